"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""
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
