"""fasttrain: train and evaluate models on CPUs from NumPy arrays."""
from typing import Any

from fasttrain._show_config import show_config
from fasttrain._version import __version__
from fasttrain.kernels.runtime import get_num_threads, num_threads, set_num_threads

_MODELS = ("LinearRegression", "LogisticRegression", "MLPClassifier", "MLPRegressor")
_SUBMODULES = (
    "data", "exceptions", "kernels", "losses", "metrics", "models", "nn", "optim", "plots",
)  # fmt: skip

__all__ = [
    "__version__", "get_num_threads", "num_threads", "set_num_threads", "show_config", *_MODELS, *_SUBMODULES,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Estimators and submodules load on first use, so that the import costs little more than NumPy's."""
    import importlib

    if name in _MODELS:
        value = getattr(importlib.import_module("fasttrain.models"), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"fasttrain.{name}")
    raise AttributeError(f"module 'fasttrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
