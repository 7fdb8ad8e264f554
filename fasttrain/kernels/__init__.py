"""The compiled layer: low-level kernels on NumPy arrays, public and documented.

Each function works in place or into ``out=``, releases the GIL, takes ``n_threads`` where it can use
threads, and never copies or converts an array silently.  Each has a twin of the same name and signature
in :mod:`fasttrain.reference`, in plain NumPy.
"""
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
