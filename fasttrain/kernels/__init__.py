"""The compiled layer: low-level kernels on NumPy arrays, public and documented.

Each function works in place or into ``out=``, releases the GIL, takes ``n_threads`` where it can use
threads, and never copies or converts an array silently.  Each has a twin of the same name and signature
in :mod:`fasttrain.reference`, in plain NumPy.
"""
from fasttrain.kernels.linalg import dense_backward, dense_forward, matmul
from fasttrain.kernels.linear import linear_value_and_grad
from fasttrain.kernels.losses import bce_value_and_grad, cross_entropy_value_and_grad, mse_value_and_grad
from fasttrain.kernels.metrics import confusion_matrix
from fasttrain.kernels.runtime import available_cpu_levels, cpu_level
from fasttrain.kernels.vector_math import (
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
    "available_cpu_levels",
    "bce_value_and_grad",
    "confusion_matrix",
    "cpu_level",
    "cross_entropy_value_and_grad",
    "dense_backward",
    "dense_forward",
    "linear_value_and_grad",
    "matmul",
    "mse_value_and_grad",
    "activation_backward",
    "activation_forward",
    "available_cpu_levels",
    "cpu_level",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sigmoid",
    "tanh",
]
