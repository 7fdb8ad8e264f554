"""The compiled layer: low-level kernels on NumPy arrays, public and documented.

Each function works in place or into ``out=``, releases the GIL, takes ``n_threads`` where it can use
threads, and never copies or converts an array silently.  Each has a twin of the same name and signature
in :mod:`fasttrain.reference`, in plain NumPy.
"""
from fasttrain.kernels.losses import (
    bce_value_and_grad,
    cross_entropy_value_and_grad,
    half_squared_error_value_and_grad,
    mse_value_and_grad,
    softmax,
)
from fasttrain.kernels.runtime import available_cpu_levels, cpu_level

__all__ = [
    "available_cpu_levels",
    "bce_value_and_grad",
    "cpu_level",
    "cross_entropy_value_and_grad",
    "half_squared_error_value_and_grad",
    "mse_value_and_grad",
    "softmax",
]
