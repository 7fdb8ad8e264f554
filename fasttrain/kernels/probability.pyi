from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

def binary_probability_loss(
    y_true: NDArray[np.integer[Any]] | NDArray[np.bool_],
    y_proba: NDArray[np.floating[Any]],
    sample_weight: NDArray[np.floating[Any]] | None = None,
    *,
    loss: Literal["log", "squared"] = "log",
    negative: int = 0,
    positive: int = 1,
    eps: float | None = None,
    n_threads: int | None = None,
) -> tuple[float, float, int]: ...
def class_probability_loss(
    y_true: NDArray[np.integer[Any]] | NDArray[np.bool_],
    y_proba: NDArray[np.floating[Any]],
    sample_weight: NDArray[np.floating[Any]] | None = None,
    *,
    loss: Literal["log", "squared"] = "log",
    first_label: int = 0,
    eps: float | None = None,
    n_threads: int | None = None,
) -> tuple[float, float, NDArray[np.int64], float]: ...
