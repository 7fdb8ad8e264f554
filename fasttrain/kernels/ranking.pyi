from typing import Any

import numpy as np
from numpy.typing import NDArray

_Labels = NDArray[np.integer[Any]] | NDArray[np.bool_]
_Real = NDArray[np.floating[Any]]

def ranking_scores(
    y_true: _Labels,
    y_score: _Real,
    sample_weight: _Real | None = None,
    *,
    allow_infinity: bool = False,
    n_threads: int | None = None,
) -> tuple[float, float, int | float, int | float]: ...
def ranking_curve(
    y_true: _Labels,
    y_score: _Real,
    sample_weight: _Real | None = None,
    *,
    allow_infinity: bool = False,
    n_threads: int | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
