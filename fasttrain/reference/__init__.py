"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""
from fasttrain.reference.losses import (
    bce_value_and_grad,
    cross_entropy_value_and_grad,
    half_squared_error_value_and_grad,
    mse_value_and_grad,
    softmax,
)

__all__ = [
    "bce_value_and_grad",
    "cross_entropy_value_and_grad",
    "half_squared_error_value_and_grad",
    "mse_value_and_grad",
    "softmax",
]
