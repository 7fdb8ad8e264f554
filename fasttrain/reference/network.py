"""One epoch of training in plain NumPy: what the engine computes, for dense layers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain.reference.linalg import dense_backward, dense_forward
from fasttrain.reference.losses import (
    bce_value_and_grad,
    cross_entropy_value_and_grad,
    half_squared_error_value_and_grad,
)
from fasttrain.reference.optim import adam_update, sgd_update


def batch_objective(
    weights: list[NDArray[Any]],
    biases: list[NDArray[Any]],
    activations: list[str],
    loss: str,
    x: NDArray[Any],
    y: NDArray[Any],
    row_weight: NDArray[Any],
    l2: float,
) -> tuple[float, list[NDArray[Any]], list[NDArray[Any]]]:
    """(1/S) sum s_i loss_i + l2 / 2 sum W^2, and its gradients by the weights and the biases."""
    outputs, saved = [x], []
    for weight, bias, activation in zip(weights, biases, activations, strict=True):
        z = np.empty((len(x), weight.shape[1]))
        outputs.append(dense_forward(outputs[-1], weight, bias, activation=activation, pre_activation=z))
        saved.append(z)
    total = float(row_weight.sum())
    if loss == "cross_entropy":
        value, grad = cross_entropy_value_and_grad(outputs[-1], y, sample_weight=row_weight, reduction="sum")
    elif loss == "binary_cross_entropy":
        value, grad = bce_value_and_grad(outputs[-1], y, sample_weight=row_weight, reduction="sum")
    else:
        value, grad = half_squared_error_value_and_grad(outputs[-1], y, sample_weight=row_weight, reduction="sum")
        value, grad = value / y.shape[1], grad / y.shape[1]
    value, grad = value / total, grad / total
    grad_weights: list[NDArray[Any]] = []
    grad_biases: list[NDArray[Any]] = []
    for i in reversed(range(len(weights))):
        grad, grad_weight, grad_bias = dense_backward(
            grad, outputs[i], weights[i], outputs[i + 1], activation=activations[i], pre_activation=saved[i]
        )
        grad_weights.insert(0, grad_weight + l2 * weights[i])
        grad_biases.insert(0, grad_bias)
    return value + 0.5 * l2 * sum(float((w**2).sum()) for w in weights), grad_weights, grad_biases


def train_epoch(
    weights: list[NDArray[Any]],
    biases: list[NDArray[Any]],
    activations: list[str],
    loss: str,
    X: NDArray[Any],
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None,
    order: NDArray[Any],
    batch_size: int,
    optimizer: str,
    moments: list[list[NDArray[Any]]],
    step: int,
    settings: dict[str, Any],
    l2: float,
    l2_per_batch: bool,
) -> tuple[float, int]:
    """Update float64 weights and biases in place, batch by batch; returns the mean objective and the last step.

    moments: for each parameter array, weights first, its state arrays.  settings: keyword arguments of the update.
    """
    row_weight = np.ones(len(X)) if sample_weight is None else sample_weight.astype(np.float64)
    objective = 0.0
    for start in range(0, len(X), batch_size):
        rows = order[start : start + batch_size]
        total = float(row_weight[rows].sum())
        value, grad_weights, grad_biases = batch_objective(
            weights, biases, activations, loss, X[rows], y[rows], row_weight[rows], l2 / total if l2_per_batch else l2
        )
        objective += value * total
        step += 1
        for param, grad, state in zip([*weights, *biases], [*grad_weights, *grad_biases], moments, strict=True):
            if optimizer == "adam":
                adam_update(param, grad, *state, step=step, **settings)
            else:
                sgd_update(param, grad, *state, first_step=step == 1, **settings)
    return objective / float(row_weight.sum()), step
