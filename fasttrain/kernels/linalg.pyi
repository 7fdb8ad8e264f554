from typing import Any

from numpy.typing import NDArray

def matmul(
    a: NDArray[Any],
    b: NDArray[Any],
    out: NDArray[Any] | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    n_threads: int | None = None,
) -> NDArray[Any]: ...
def dense_forward(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    out: NDArray[Any] | None = None,
    *,
    activation: str = "identity",
    pre_activation: NDArray[Any] | None = None,
    n_threads: int | None = None,
) -> NDArray[Any]: ...
def dense_backward(
    grad_output: NDArray[Any],
    x: NDArray[Any],
    weight: NDArray[Any],
    output: NDArray[Any] | None = None,
    *,
    activation: str = "identity",
    pre_activation: NDArray[Any] | None = None,
    grad_x: NDArray[Any] | None = None,
    grad_weight: NDArray[Any] | None = None,
    grad_bias: NDArray[Any] | None = None,
    need_grad_x: bool = True,
    n_threads: int | None = None,
) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any]]: ...
