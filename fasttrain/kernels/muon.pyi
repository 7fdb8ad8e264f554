from typing import Any

from numpy.typing import NDArray

def muon_update(
    param: NDArray[Any],
    grad: NDArray[Any],
    momentum_buffer: NDArray[Any],
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
    maximize: bool = False,
    grad_factor: float = 1.0,
    workspace: NDArray[Any] | None = None,
    n_threads: int | None = None,
) -> None: ...
