"""Sums that regression metrics are made of, in plain NumPy."""

import numpy as np

LOSSES = (
    "squared", "absolute", "maximum", "squared_log", "percentage", "pinball", "poisson", "gamma"
)  # fmt: skip


def regression_moments(y_true, y_pred, sample_weight=None, *, origins=None, n_threads=None):
    """Weight, means and centred sums of squares of the target and of the error, for each output.

    See :func:`fasttrain.kernels.regression_moments`; ``n_threads`` is ignored.
    """
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    total = weight.sum()
    moments = np.zeros((6, true.shape[1]))
    if origins is not None and (origins.shape != (2, true.shape[1]) or not np.isfinite(origins).all()):
        raise ValueError(f"origins must be finite and have shape (2, {true.shape[1]}), got {origins!r}")
    if len(true):
        moments[0] = total
        moments[5] = weight @ (true - pred) ** 2
        first = np.argmax(weight != 0)  # or 0
        for row, values in ((1, true), (3, true - pred)):
            # about a row that counts, so that the mean of a constant is that constant
            moments[row] = values[first] + (weight @ (values - values[first]) / total if total > 0 else 0)
            moments[row + 1] = weight @ (values - moments[row]) ** 2
        if origins is not None:
            moments[[1, 3]] -= origins
    return moments


def regression_loss(y_true, y_pred, sample_weight=None, *, loss="squared", alpha=0.5, n_threads=None):
    """Sum of the weights and weighted sum of a loss, for each output.

    See :func:`fasttrain.kernels.regression_loss`; ``n_threads`` is ignored.
    """
    if loss not in LOSSES or not 0 <= alpha <= 1:
        raise ValueError(f"bad loss or alpha: {loss!r}, {alpha!r}")
    if loss == "maximum" and sample_weight is not None:
        raise ValueError("sample_weight has no meaning for the maximum")
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    error = true - pred
    inside = np.True_
    with np.errstate(all="ignore"):
        if loss == "squared":
            values = error**2
        elif loss in ("absolute", "maximum"):
            values = np.abs(error)
        elif loss == "squared_log":
            values = (np.log1p(true) - np.log1p(pred)) ** 2
            inside = (true > -1) & (pred > -1)
        elif loss == "percentage":
            values = np.abs(error) / np.maximum(np.abs(true), np.finfo(np.float64).eps)
        elif loss == "pinball":
            values = np.where(error >= 0, alpha * error, -(1 - alpha) * error)
        elif loss == "poisson":
            values = 2 * (np.where(true == 0, 0, true * np.log(true / pred)) - true + pred)
            inside = (true >= 0) & (pred > 0)
        else:
            values = 2 * (np.log(pred / true) + true / pred - 1)
            inside = (true > 0) & (pred > 0)
    if not np.all(inside):
        raise ValueError(f"y_true or y_pred is outside the domain of {loss!r}")
    sums = np.zeros((2, true.shape[1]))
    sums[0] = weight.sum()
    sums[1] = values.max(axis=0, initial=0) if loss == "maximum" else weight @ values
    return sums


def _columns(y_true, y_pred, sample_weight):
    if y_true.shape != y_pred.shape or y_true.ndim not in (1, 2):
        raise ValueError(f"y_true and y_pred must have one shape, got {y_true.shape} and {y_pred.shape}")
    true, pred = (y.astype(np.float64).reshape(len(y), *y.shape[1:] or (1,)) for y in (y_true, y_pred))
    weight = np.ones(len(true)) if sample_weight is None else sample_weight.astype(np.float64)
    if weight.shape != (len(true),):
        raise ValueError(f"sample_weight must have shape ({len(true)},), got {weight.shape}")
    if not (np.isfinite(true).all() and np.isfinite(pred).all()):
        raise ValueError("y_true and y_pred must not hold NaN or infinity")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("sample_weight must be finite and not negative")
    return true, pred, weight
