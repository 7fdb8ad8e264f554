"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""
from fasttrain.reference.metrics import confusion_matrix

__all__ = ["confusion_matrix"]
