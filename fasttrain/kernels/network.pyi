from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

LOSSES: tuple[str, ...]
OPTIMIZERS: tuple[str, ...]

class Program:
    n_steps: int
    n_in: int
    n_out: int
    n_parameters: int
    def __init__(self, steps: list[tuple[Any, ...]]) -> None: ...

def train_epoch(
    program: Program,
    parameters: NDArray[Any],
    gradients: NDArray[Any],
    moments: Sequence[NDArray[Any]],
    X: NDArray[Any],
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    *,
    loss: str,
    optimizer: str,
    batch_size: int,
    shuffle: bool,
    seed: int,
    epoch: int,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    momentum: float,
    nesterov: bool,
    l2: float,
    l2_per_batch: bool,
    train_biases: bool,
    n_threads: int | None = None,
) -> tuple[float, int, bool]: ...
def predict(
    program: Program,
    parameters: NDArray[Any],
    X: NDArray[Any],
    out: NDArray[Any] | None = None,
    *,
    loss: str,
    decision: bool = False,
    n_threads: int | None = None,
) -> NDArray[Any]: ...
def evaluate(
    program: Program,
    parameters: NDArray[Any],
    X: NDArray[Any],
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    *,
    loss: str,
    n_threads: int | None = None,
) -> float: ...
def uniform(out: NDArray[Any], low: float, high: float, *, seed: int, step: int = 0) -> NDArray[Any]: ...
def permutation(n: int, *, seed: int, step: int = 0) -> NDArray[Any]: ...
