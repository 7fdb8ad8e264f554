"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""
from fasttrain.reference.optim import adam_update, sgd_update

__all__ = ["adam_update", "sgd_update"]
