"""fasttrain: train and evaluate models on CPUs from NumPy arrays."""
from typing import TYPE_CHECKING, Any

from fasttrain._show_config import show_config
from fasttrain._version import __version__
from fasttrain.kernels.runtime import get_num_threads, num_threads, set_num_threads

if TYPE_CHECKING:
    from fasttrain import data, exceptions, kernels, losses, metrics, models, nn, optim, plots
    from fasttrain.models import LinearRegression, LogisticRegression, MLPClassifier, MLPRegressor

__all__ = [
    "LinearRegression",
    "LogisticRegression",
    "MLPClassifier",
    "MLPRegressor",
    "__version__",
    "data",
    "exceptions",
    "get_num_threads",
    "kernels",
    "losses",
    "metrics",
    "models",
    "nn",
    "num_threads",
    "optim",
    "plots",
    "set_num_threads",
    "show_config",
]


def __getattr__(name: str) -> Any:
    """Estimators and submodules load on first use, so that the import costs little more than NumPy's."""
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'fasttrain' has no attribute {name!r}")
    if name.islower():  # a submodule; the rest are classes
        return importlib.import_module(f"fasttrain.{name}")
    value = getattr(importlib.import_module("fasttrain.models"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
