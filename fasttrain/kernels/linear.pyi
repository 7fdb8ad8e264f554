from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

__all__ = ["linear_value_and_grad"]

def linear_value_and_grad(
    X: NDArray[_Real],
    y: NDArray[_Real] | NDArray[np.int64],
    theta: NDArray[_Real],
    *,
    loss: Literal["half_squared_error", "binary_cross_entropy", "cross_entropy"] = "half_squared_error",
    reduction: Literal["sum", "mean"] = "sum",
    intercept: bool = False,
    l2: float = 0.0,
    sample_weight: NDArray[_Real] | None = None,
    grad: NDArray[_Real] | None = None,
    n_threads: int | None = None,
) -> tuple[float, NDArray[_Real]]: ...
