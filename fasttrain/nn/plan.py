"""From layers to a program: where every parameter lies, and the steps that use it."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Dense(NamedTuple):
    """A dense layer's sizes, activation, and places in the parameter buffer.

    weight: the place of the weights (n_in, n_out); bias: that of the biases (n_out,).
    """

    n_in: int
    n_out: int
    activation: str
    weight: int
    bias: int


def dense_plan(layer_sizes: Sequence[int], activations: Sequence[str]) -> list[Dense]:
    """Lay out dense layers one behind the other: weights, biases, weights, biases, ..."""
    plan = []
    place = 0
    for n_in, n_out, activation in zip(layer_sizes[:-1], layer_sizes[1:], activations, strict=True):
        plan.append(Dense(n_in, n_out, activation, place, place + n_in * n_out))
        place += (n_in + 1) * n_out
    return plan


def parameter_count(plan: list[Dense]) -> int:
    """Number of parameters of a plan."""
    return plan[-1].bias + plan[-1].n_out


def as_steps(plan: list[Dense]) -> list[tuple[Any, ...]]:
    """The plan as the engine takes it."""
    return [tuple(layer) for layer in plan]
