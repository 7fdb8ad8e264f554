from collections.abc import Sequence
from typing import Any, Self

from numpy.typing import NDArray
from typing_extensions import disjoint_base

LOSSES: tuple[str, ...]

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
    states: Sequence[NDArray[Any]],
    X: NDArray[Any],
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    *,
    loss: str,
    optimizer: str,
    options: dict[str, Any],
    progress: dict[str, float],
    batch_size: int,
    shuffle: bool,
    seed: int,
    epoch: int,
    l2: float,
    l2_per_batch: bool,
    train_biases: bool,
    n_threads: int | None = None,
) -> tuple[float, dict[str, float], bool]: ...
def check_data(
    program: Program,
    parameters: NDArray[Any],
    X: NDArray[Any],
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    *,
    loss: str,
) -> None: ...
def value_and_grad(
    program: Program,
    parameters: NDArray[Any],
    X: NDArray[Any],
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    *,
    grad: NDArray[Any],
    loss: str,
    n_threads: int | None = None,
) -> float: ...
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
