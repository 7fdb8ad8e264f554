"""Losses of predicted probabilities against labels, in plain NumPy."""

import numpy as np


def binary_probability_loss(
    y_true, y_proba, sample_weight=None, *, loss="log", negative=0, positive=1, eps=None, n_threads=None
):
    """Sum of the losses of the probabilities of one of two labels, sum of the weights, positive rows.

    See :func:`fasttrain.kernels.binary_probability_loss`; ``n_threads`` is ignored.
    """
    is_positive, is_negative = y_true == positive, y_true == negative
    if not (is_positive | is_negative).all():
        raise ValueError(f"y_true must hold labels {negative} or {positive}")
    _check(y_proba, sample_weight)
    p = y_proba.astype(np.float64)
    weight = np.ones(len(p)) if sample_weight is None else sample_weight.astype(np.float64)
    if loss == "squared":
        losses = np.where(is_positive, 1.0 - p, p) ** 2
    else:
        losses = _log_loss(np.where(is_positive, p, 1.0 - p), y_proba.dtype, eps)
    return float(np.sum(weight * losses)), float(weight.sum()), int(is_positive.sum())


def class_probability_loss(
    y_true, y_proba, sample_weight=None, *, loss="log", first_label=0, eps=None, n_threads=None
):
    """Sum of the losses of the probabilities of classes, sum of the weights, rows of each class, deviation.

    See :func:`fasttrain.kernels.class_probability_loss`; ``n_threads`` is ignored.
    """
    n_rows, n_classes = y_proba.shape
    # Python integers: exact for any width and any first label
    codes = np.array([int(label) - first_label for label in y_true], dtype=object)
    if not all(0 <= code < n_classes for code in codes):
        raise ValueError(f"y_true must hold labels in {first_label} .. {first_label + n_classes - 1}")
    codes = codes.astype(np.intp)
    _check(y_proba, sample_weight)
    p = y_proba.astype(np.float64)
    weight = np.ones(n_rows) if sample_weight is None else sample_weight.astype(np.float64)
    if loss == "squared":
        losses = np.sum((p - (codes[:, np.newaxis] == np.arange(n_classes))) ** 2, axis=1)
    else:
        losses = _log_loss(p[np.arange(n_rows), codes], y_proba.dtype, eps)
    deviation = np.max(np.abs(p.sum(axis=1) - 1.0), initial=0.0)
    counts = np.bincount(codes, minlength=n_classes).astype(np.int64)
    return float(np.sum(weight * losses)), float(weight.sum()), counts, float(deviation)


def _check(y_proba, sample_weight):
    if not ((y_proba >= 0) & (y_proba <= 1)).all():
        raise ValueError("y_proba must hold probabilities in [0, 1]")
    if sample_weight is not None and not (np.isfinite(sample_weight).all() and (sample_weight >= 0).all()):
        raise ValueError("sample_weight must be finite and not negative")


def _log_loss(q, dtype, eps):
    eps = np.finfo(dtype).eps if eps is None else eps
    with np.errstate(divide="ignore"):  # eps = 0
        return -np.log(np.clip(q, float(eps), 1.0 - float(eps)))
