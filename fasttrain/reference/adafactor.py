"""Adafactor in plain NumPy, in float64; flush() as in reference/optim.py."""
import math

import numpy as np

from fasttrain.reference.optim import flush


def _move(mean, end, weight):
    """mean moves to end by weight, from the nearer of the two."""
    start = flush(mean).astype(np.float64)
    moved = start + weight * (end - start) if weight < 0.5 else end - (1.0 - weight) * (end - start)
    mean[...] = flush(moved.astype(mean.dtype))


def _rms(x):
    return math.sqrt(np.mean(np.square(x)))


def adafactor_update(
    param, grad, row_var=None, col_var=None, variance=None, *, step, lr=0.01, beta2_decay=-0.8, eps=(None, 1e-3),
    d=1.0, weight_decay=0.0, maximize=False, grad_factor=1.0, n_threads=None,
):
    """One step of Adafactor, in place; see :func:`fasttrain.kernels.adafactor_update`."""
    if param.size == 0:
        return
    eps1 = float(np.finfo(param.dtype).eps) if eps[0] is None else eps[0]
    weight = float(step) ** beta2_decay
    gradient = flush(param.dtype.type(-grad_factor if maximize else grad_factor) * flush(grad)).astype(np.float64)
    theta = flush(param).astype(np.float64)
    alpha = np.maximum(eps[1], _rms(theta)) * min(lr, 1.0 / math.sqrt(step))
    square = np.square(gradient)
    if variance is None:
        _move(row_var, square.mean(axis=-1, keepdims=True), weight)
        _move(col_var, square.mean(axis=-2, keepdims=True), weight)
        rows, columns = row_var.astype(np.float64), col_var.astype(np.float64)
        moments = rows / np.maximum(eps1, rows.mean(axis=-2, keepdims=True)) * columns
    else:
        _move(variance, square, weight)
        moments = variance.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 without an eps
        update = gradient / np.maximum(eps1, np.sqrt(moments))
    step_size = alpha / np.maximum(1.0, _rms(update) / d)
    param[...] = (1.0 - lr * weight_decay) * theta - step_size * update
