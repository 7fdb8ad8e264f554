from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.floating[Any]] | NDArray[np.integer[Any]] | NDArray[np.bool_]

def regression_moments(
    y_true: _Numbers,
    y_pred: _Numbers,
    sample_weight: _Numbers | None = None,
    *,
    origins: NDArray[np.float64] | None = None,
    n_threads: int | None = None,
) -> NDArray[np.float64]: ...
def regression_loss(
    y_true: _Numbers,
    y_pred: _Numbers,
    sample_weight: _Numbers | None = None,
    *,
    loss: Literal[
        "squared", "absolute", "maximum", "squared_log", "percentage", "pinball", "poisson", "gamma"
    ] = "squared",
    alpha: float = 0.5,
    n_threads: int | None = None,
) -> NDArray[np.float64]: ...
