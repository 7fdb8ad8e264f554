import numpy as np
from numpy.typing import NDArray

__all__ = ["coordinate_descent", "coordinate_descent_gram"]

def coordinate_descent(
    columns: NDArray[np.float64],
    targets: NDArray[np.float64],
    coef: NDArray[np.float64],
    *,
    l1: float,
    l2: float = 0.0,
    tol: float = 1e-4,
    max_iter: int = 1000,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]: ...
def coordinate_descent_gram(
    gram: NDArray[np.float64],
    moments: NDArray[np.float64],
    squares: NDArray[np.float64],
    coef: NDArray[np.float64],
    *,
    l1: float,
    l2: float = 0.0,
    tol: float = 1e-4,
    max_iter: int = 1000,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]: ...
