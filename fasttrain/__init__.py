"""fasttrain: train and evaluate models on CPUs from NumPy arrays."""
from fasttrain._show_config import show_config
from fasttrain._version import __version__
from fasttrain.kernels.runtime import get_num_threads, num_threads, set_num_threads

__all__ = ["__version__", "get_num_threads", "num_threads", "set_num_threads", "show_config"]
