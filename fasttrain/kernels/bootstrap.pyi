from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK: int
LANES: int
POSITIVE: int
LAST: int


def resample_counts(
    strata: ArrayLike, n_resamples: int, *, seed: int, poisson: bool = False, first: int = 0
) -> NDArray[np.uint32]: ...
def cell_counts(
    sizes: ArrayLike,
    starts: ArrayLike,
    n_resamples: int,
    *,
    seed: int,
    poisson: bool = False,
    first: int = 0,
    n_threads: int | None = None,
) -> NDArray[np.int64]: ...
def resample_sums(
    strata: ArrayLike,
    n_resamples: int,
    *,
    seed: int,
    poisson: bool = False,
    first: int = 0,
    terms: NDArray[np.float64] | None = None,
    rankings: Sequence[Any] = (),
    tables: Sequence[Any] = (),
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float64]]]: ...
def order_in_memory(n_rows: int) -> NDArray[np.int64]: ...
