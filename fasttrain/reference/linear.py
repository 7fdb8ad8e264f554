"""Loss and gradient of a linear model: the specification of :mod:`fasttrain.kernels.linear`."""

import numpy as np


def linear_value_and_grad(
    X,
    y,
    theta,
    *,
    loss="half_squared_error",
    reduction="sum",
    intercept=False,
    l2=0.0,
    sample_weight=None,
    grad=None,
    n_threads=None,
):
    """Loss of a linear model and its gradient; the arithmetic is in the dtype of X and theta."""
    X, theta = np.asarray(X), np.asarray(theta)
    dtype = np.result_type(X, theta)
    scores = X @ theta[: X.shape[1]]  # (n_rows,) or (n_rows, n_outputs)
    if intercept:
        scores = scores + theta[-1]
    weight = np.ones(len(X), dtype) if sample_weight is None else np.asarray(sample_weight)
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError("sample_weight must be finite and at least 0")

    y = np.asarray(y)
    if loss == "half_squared_error":
        if not np.isfinite(y).all():
            raise ValueError("y must be finite")
        losses = (scores - y) ** 2 / 2
        residual = scores - y
    elif loss == "binary_cross_entropy":
        if not ((y >= 0) & (y <= 1)).all():
            raise ValueError("y must be from 0 to 1")
        # softplus(z) - y z, without the difference
        losses = y * np.logaddexp(0, -scores) + (1 - y) * np.logaddexp(0, scores)
        exp = np.exp(-np.abs(scores))
        residual = np.where(scores >= 0, 1, exp) / (1 + exp) - y
    elif loss == "cross_entropy":
        if not ((y >= 0) & (y < theta.shape[1])).all():
            raise ValueError("y must be labels from 0 to n_outputs - 1")
        rows = np.arange(len(y))
        shifted = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
        log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        losses = log_sum[:, 0] - shifted[rows, y]
        residual = np.exp(shifted - log_sum)
        residual[rows, y] -= 1
    else:
        raise ValueError(f"unknown loss {loss!r}")

    if losses.ndim == 2:
        losses = losses.sum(axis=1)
    residual = (residual.T * weight).T
    scale = 1.0
    if reduction == "mean":
        total = weight.sum(dtype=np.float64)
        if not total > 0:
            raise ValueError("the mean needs a positive total weight")
        scale = 1.0 / total
    elif reduction != "sum":
        raise ValueError(f"unknown reduction {reduction!r}")

    penalised = theta[: X.shape[1]]
    value = scale * float(weight @ losses)
    result = np.zeros(theta.shape, dtype) if grad is None else grad
    result[: X.shape[1]] = scale * (X.T @ residual)
    if l2 != 0.0:
        value += l2 / 2 * float((penalised.astype(np.float64) ** 2).sum())
        result[: X.shape[1]] += l2 * penalised
    if intercept:
        result[-1] = scale * residual.sum(axis=0)
    return value, result
