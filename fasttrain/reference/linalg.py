"""Matrix products and the dense layer in plain NumPy."""

from typing import Any

from numpy.typing import NDArray

from fasttrain.reference.vector_math import activation_backward, activation_forward


def matmul(
    a: NDArray[Any],
    b: NDArray[Any],
    out: NDArray[Any] | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    n_threads: int | None = None,
) -> NDArray[Any]:
    """out = [out +] op(a) op(b); op transposes if asked."""
    product = (a.T if transpose_a else a) @ (b.T if transpose_b else b)
    if out is None:
        return product
    out[...] = out + product if accumulate else product
    return out


def dense_forward(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    out: NDArray[Any] | None = None,
    *,
    activation: str = "identity",
    pre_activation: NDArray[Any] | None = None,
    n_threads: int | None = None,
) -> NDArray[Any]:
    """out = f(x weight + bias); pre_activation takes x weight + bias."""
    z = x @ weight if bias is None else x @ weight + bias
    if pre_activation is not None:
        pre_activation[...] = z
    y = activation_forward(z, activation=activation)
    if out is None:
        return y
    out[...] = y
    return out


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
) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any]]:
    """delta = grad_output f'(z); (delta weight^T, x^T delta, sum of delta over rows)."""
    delta = grad_output
    if activation != "identity":
        saved = pre_activation if activation in ("gelu", "silu") else output
        delta = activation_backward(grad_output, saved, activation=activation)
    results: list[NDArray[Any] | None] = []
    for wanted, target, value in (
        (need_grad_x, grad_x, delta @ weight.T),
        (True, grad_weight, x.T @ delta),
        (True, grad_bias, delta.sum(axis=0)),
    ):
        if target is not None and wanted:
            target[...] = value
            value = target
        results.append(value if wanted else None)
    return tuple(results)  # type: ignore[return-value]
