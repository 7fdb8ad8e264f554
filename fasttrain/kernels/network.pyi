from collections.abc import Sequence
from typing import Any, Self

from numpy.typing import NDArray
from typing_extensions import disjoint_base

LOSSES: tuple[str, ...]
OPTIMIZERS: tuple[str, ...]

@disjoint_base
class Program:
    n_steps: int
    n_in: int
    n_out: int
    n_parameters: int
    def __new__(cls, steps: list[tuple[Any, ...]]) -> Self: ...

def train_epoch(
    program: Program,
    parameters: NDArray[Any],
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
