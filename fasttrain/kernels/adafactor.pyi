from typing import Any

from numpy.typing import NDArray

def adafactor_update(
    param: NDArray[Any],
    grad: NDArray[Any],
    row_var: NDArray[Any] | None = None,
    col_var: NDArray[Any] | None = None,
    variance: NDArray[Any] | None = None,
    *,
    step: int,
    lr: float = 0.01,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
    maximize: bool = False,
    grad_factor: float = 1.0,
    n_threads: int | None = None,
) -> None: ...
