from typing import Any

import numpy as np
from numpy.typing import NDArray

def confusion_matrix(
    y_true: NDArray[np.integer[Any]] | NDArray[np.bool_],
    y_pred: NDArray[np.integer[Any]] | NDArray[np.bool_],
    n_classes: int,
    sample_weight: NDArray[np.floating[Any]] | None = None,
    *,
    first_label: int = 0,
    n_threads: int | None = None,
) -> NDArray[np.int64] | NDArray[np.float64]: ...
