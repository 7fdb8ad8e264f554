"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""
from fasttrain.reference.linear import linear_value_and_grad
from fasttrain.reference.losses import bce_value_and_grad, cross_entropy_value_and_grad, mse_value_and_grad
from fasttrain.reference.metrics import confusion_matrix

__all__ = [
    "bce_value_and_grad",
    "confusion_matrix",
    "cross_entropy_value_and_grad",
    "linear_value_and_grad",
    "mse_value_and_grad",
from fasttrain.reference.vector_math import (
    activation_backward,
    activation_forward,
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    sigmoid,
    tanh,
)

__all__ = [
    "activation_backward",
    "activation_forward",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sigmoid",
    "tanh",
]
