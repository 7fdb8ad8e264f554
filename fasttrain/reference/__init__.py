"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""
from fasttrain.reference.linear import linear_value_and_grad

__all__ = ["linear_value_and_grad"]
