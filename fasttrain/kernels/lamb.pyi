from typing import Any

from numpy.typing import NDArray

def lamb_update(
    param: NDArray[Any],
    grad: NDArray[Any],
    exp_avg: NDArray[Any],
    exp_avg_sq: NDArray[Any],
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    bias_correction: bool = True,
    maximize: bool = False,
    grad_factor: float = 1.0,
    max_param_norm: float = ...,
    max_trust_ratio: float = ...,
    n_threads: int | None = None,
) -> None: ...
