from typing import Any

import numpy as np
from numpy.typing import NDArray

def score_bins(
    y_true: NDArray[np.integer[Any]] | NDArray[np.bool_],
    y_score: NDArray[np.floating[Any]],
    sample_weight: NDArray[np.floating[Any]] | None = None,
    *,
    max_bins: int,
    level: int = 64,
    n_threads: int | None = None,
) -> tuple[int, NDArray[np.uint64], NDArray[Any], NDArray[Any]]: ...
