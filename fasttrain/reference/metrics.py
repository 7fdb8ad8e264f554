"""Counts that classification metrics are made of, in plain NumPy."""

import numpy as np


def confusion_matrix(y_true, y_pred, n_classes, sample_weight=None, *, first_label=0, n_threads=None):
    """Number of rows, or sum of their weights, for each pair of true and predicted label.

    See :func:`fasttrain.kernels.confusion_matrix`; ``n_threads`` is ignored.
    """
    rows = []
    for name, labels in (("y_true", y_true), ("y_pred", y_pred)):
        # Python integers: exact for any width and any first label
        codes = np.array([int(label) - first_label for label in labels], dtype=object)
        if not all(0 <= code < n_classes for code in codes):
            raise ValueError(f"{name} must hold labels in {first_label} .. {first_label + n_classes - 1}")
        rows.append(codes.astype(np.intp))
    if rows[0].shape != rows[1].shape:
        raise ValueError(f"y_pred must have shape {rows[0].shape}, got {rows[1].shape}")
    if sample_weight is None:
        matrix = np.zeros((n_classes, n_classes), dtype=np.int64)
        np.add.at(matrix, tuple(rows), 1)
        return matrix
    if not (np.isfinite(sample_weight).all() and (sample_weight >= 0).all()):
        raise ValueError("sample_weight must be finite and not negative")
    matrix = np.zeros((n_classes, n_classes))
    np.add.at(matrix, tuple(rows), sample_weight.astype(np.float64))
    return matrix
