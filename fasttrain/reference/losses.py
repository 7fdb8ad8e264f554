"""Losses in plain NumPy: value and gradient, computed in float64."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]
_Grad = NDArray[Any] | Literal[False] | None
_Result = tuple[float, Any]


def _divisor(reduction: str, mean: float, weighted_mean: float) -> float:
    return {"sum": 1.0, "mean": mean, "weighted_mean": weighted_mean}[reduction]


def _rows(array: _Array) -> _Array:
    """A (n_rows, n_columns) view in float64; (n_rows,) is read as (n_rows, 1)."""
    array = np.asarray(array, dtype=np.float64)
    return array[:, np.newaxis] if array.ndim == 1 else array


def _finish(
    losses: _Array,
    slopes: _Array,
    divisor: float,
    prediction: _Array,
    grad: _Grad,
    ignored: _Array | None = None,
) -> _Result:
    """Value and gradient of the losses of rows or elements, and of their slopes; 0 in the rows ignored."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.divide(np.sum(losses), divisor))
        slopes = np.divide(slopes, divisor)
    if ignored is not None:
        slopes[ignored] = 0.0
    if grad is False:
        return value, None
    if grad is None:
        grad = np.empty_like(prediction)
    grad[...] = slopes.reshape(prediction.shape)
    return value, grad


def _elementwise(
    losses: _Array,
    slopes: _Array,
    prediction: _Array,
    grad: _Grad,
    reduction: str,
    sample_weight: _Array | None,
) -> _Result:
    weight = (
        np.ones(len(prediction)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    )
    n_columns = losses.shape[1]
    divisor = _divisor(reduction, losses.size, n_columns * weight.sum())
    return _finish(weight[:, None] * losses, weight[:, None] * slopes, divisor, prediction, grad)


def mse_value_and_grad(
    prediction: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    reduction: str = "mean",
    sample_weight: _Array | None = None,
    n_threads: int | None = None,
) -> _Result:
    """(p - t)^2 and 2 (p - t)."""
    difference = _rows(prediction) - _rows(target)
    return _elementwise(difference**2, 2.0 * difference, prediction, grad, reduction, sample_weight)


def half_squared_error_value_and_grad(
    prediction: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    reduction: str = "mean",
    sample_weight: _Array | None = None,
    n_threads: int | None = None,
) -> _Result:
    """(p - t)^2 / 2 and p - t."""
    difference = _rows(prediction) - _rows(target)
    return _elementwise(difference**2 / 2.0, difference, prediction, grad, reduction, sample_weight)


def _sigmoid(z: _Array) -> Any:
    small = np.exp(-np.abs(z))
    return np.where(z > 0, 1.0, small) / (1.0 + small)


def bce_value_and_grad(
    prediction: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    from_logits: bool = True,
    pos_weight: _Array | None = None,
    reduction: str = "mean",
    sample_weight: _Array | None = None,
    n_threads: int | None = None,
) -> _Result:
    """Binary cross-entropy from logits or from probabilities."""
    t = _rows(target)
    if from_logits:
        z = _rows(prediction)
        positive = t if pos_weight is None else t * np.asarray(pos_weight, dtype=np.float64)
        losses = positive * np.logaddexp(0.0, -z) + (1.0 - t) * np.logaddexp(0.0, z)
        slopes = (1.0 - t) * _sigmoid(z) - positive * _sigmoid(-z)
    else:
        p = _rows(prediction)
        with np.errstate(divide="ignore"):
            log_p, log_not_p = np.maximum(np.log(p), -100.0), np.maximum(np.log1p(-p), -100.0)
        losses = -(t * log_p + (1.0 - t) * log_not_p)
        slopes = (p - t) / np.maximum(p * (1.0 - p), 1e-12)
    return _elementwise(losses, slopes, prediction, grad, reduction, sample_weight)


def softmax(x: _Array, out: _Array | None = None, *, n_threads: int | None = None) -> _Array:
    """exp(x) / sum exp(x) in each row."""
    e = np.exp(np.asarray(x, dtype=np.float64) - np.max(x, axis=1, keepdims=True, initial=-np.inf))
    if out is None:
        out = np.empty_like(x)
    out[...] = e / e.sum(axis=1, keepdims=True)
    return out


def cross_entropy_value_and_grad(
    logits: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    class_weight: _Array | None = None,
    sample_weight: _Array | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    n_threads: int | None = None,
) -> _Result:
    """Softmax cross-entropy with labels or with target probabilities.

    The loss of a row is sum_c a_c (-log p_c), its gradient p sum_c a_c - a.
    """
    n_rows, n_classes = logits.shape
    z = np.asarray(logits, dtype=np.float64)
    w = np.ones(n_classes) if class_weight is None else np.asarray(class_weight, dtype=np.float64)
    s = np.ones(n_rows) if sample_weight is None else np.array(sample_weight, dtype=np.float64)
    kept = np.ones(n_rows, dtype=bool)
    if target.ndim == 1:
        kept = target != ignore_index
        one_hot = np.zeros((n_rows, n_classes))
        one_hot[kept, target[kept]] = 1.0
        s = np.where(kept, s, 0.0)
    else:
        one_hot = np.asarray(target, dtype=np.float64)
    a = w * ((1.0 - label_smoothing) * one_hot + label_smoothing / max(1, n_classes))
    weight = np.sum(s * (one_hot @ w))
    divisor = _divisor(reduction, weight if target.ndim == 1 else n_rows, weight)

    # less the largest logit: all terms of the loss are then of one sign
    below = z - z.max(axis=1, keepdims=True, initial=-np.inf)
    e = np.exp(below)
    # sum_c exp(below_c) is 1 + excess, with the 1 of one largest logit left out of the sum
    others = e.copy()
    others[np.arange(n_rows), np.argmax(z, axis=1) if n_rows else []] = 0.0
    # a row with NaN or +inf has no probabilities at all
    excess = np.where(z.max(axis=1, initial=-np.inf) < np.inf, others.sum(axis=1), np.nan)
    log_sum = np.log1p(excess)
    # 0 log 0 is 0
    losses = a.sum(axis=1) * log_sum - np.sum(a * np.where(a == 0.0, 0.0, below), axis=1)
    # p_c - 1 = -(sum of the other p), which does not cancel
    p = e / (1.0 + excess[:, None])
    rest = ((1.0 - e) + excess[:, None]) / (1.0 + excess[:, None])
    slopes = (a.sum(axis=1, keepdims=True) - a) * p - a * rest
    return _finish(np.where(kept, s * losses, 0.0), s[:, None] * slopes, divisor, logits, grad, ~kept)
