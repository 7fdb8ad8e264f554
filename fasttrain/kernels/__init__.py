"""The compiled layer: low-level kernels on NumPy arrays, public and documented.

Each function works in place or into ``out=``, releases the GIL, takes ``n_threads`` where it can use
threads, and never copies or converts an array silently.  Each has a twin of the same name and signature
in :mod:`fasttrain.reference`, in plain NumPy.
"""
from fasttrain.kernels.optim import adam_update, sgd_update
from fasttrain.kernels.runtime import available_cpu_levels, cpu_level

__all__ = ["adam_update", "available_cpu_levels", "cpu_level", "sgd_update"]
