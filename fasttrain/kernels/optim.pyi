from collections.abc import Sequence
from typing import Any, Self, final

import numpy.typing as npt

def sgd_update(
    param: npt.NDArray[Any],
    grad: npt.NDArray[Any],
    momentum_buffer: npt.NDArray[Any] | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first_step: bool = False,
    n_threads: int | None = None,
) -> None: ...
def adam_update(
    param: npt.NDArray[Any],
    grad: npt.NDArray[Any],
    exp_avg: npt.NDArray[Any],
    exp_avg_sq: npt.NDArray[Any],
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    bias_correction: bool = True,
    n_threads: int | None = None,
) -> None: ...
def check_adam_options(
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    bias_correction: bool,
) -> None: ...
def check_sgd_options(
    *, lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool
) -> None: ...

@final
class Update:
    params: list[npt.NDArray[Any]]
    states: list[list[npt.NDArray[Any]]]
    def __new__(cls, params: Sequence[npt.NDArray[Any]], is_list: bool, n_states: int) -> Self: ...
    def sgd(
        self,
        grads: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        *,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        first_step: bool,
        n_threads: int | None,
    ) -> None: ...
    def adam(
        self,
        grads: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        *,
        step: int,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        decoupled: bool,
        bias_correction: bool,
        n_threads: int | None,
    ) -> None: ...
