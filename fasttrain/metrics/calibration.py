"""How far predicted probabilities can be taken at their word: the reliability curve and the calibration error.

Rows are put into bins by probability.  A bin is closed above and open below, ``(a, b]``, and the first is closed at
both ends; so scikit-learn bins, and Guo et al. 2017.  One pass adds up each bin's rows, positive ones and
probabilities in float64, a piece of rows at a time.
"""

import math
import numbers
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError
from fasttrain.metrics._validation import as_array, check_choice, one_column
from fasttrain.metrics.probability import distinct_labels, truth_and_scores
from fasttrain.metrics.ranking import check_pos_label, positive_label

__all__ = ["calibration_curve", "expected_calibration_error"]

_Array = NDArray[Any]
_Label = float | str | bool
_Strategy = Literal["uniform", "quantile"]

_PIECE_ROWS = 1 << 14
# Up to so many edges, comparing with each takes less time than a search.
_FEW_EDGES = 64


def calibration_curve(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    pos_label: _Label | None = None,
    n_bins: int = 5,
    strategy: _Strategy = "uniform",
    sample_weight: ArrayLike | None = None,
) -> tuple[_Array, _Array]:
    """Reliability curve: the share of positive rows and the mean probability in each bin of probabilities.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        At most two labels: integers of any width, bool, strings, floats that hold integers.
    y_prob : array-like of shape (n_rows,)
        Probabilities of ``pos_label``.
    pos_label : int, float, bool or str, optional
        1 if not given, for labels within {0, 1} or {-1, 1}.
    n_bins : int, default 5
        At least 1.
    strategy : {'uniform', 'quantile'}, default 'uniform'
        Bins of the same width between 0 and 1, or with edges at the quantiles of ``y_prob``, so that each has as many
        rows.  A bin holds its upper edge and not its lower one, the first bin both.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.  Quantiles are then those of the weighted distribution, by its inverse
        (``numpy.quantile(..., method="inverted_cdf")``) and not interpolated: between rows of different weights
        there is no agreed way to.

    Returns
    -------
    prob_true, prob_pred : float64 ndarray of shape (n_bins,) or shorter
        Shares of positive rows, and mean probabilities, weighted if there are weights.  Bins without rows (or whose
        rows have no weight) are left out.

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty data, more than two labels, probabilities that are NaN or outside [0, 1], bad
        weights or options.

    Notes
    -----
    The weights are an addition to scikit-learn's function, which lets NaN pass.

    Examples
    --------
    >>> from fasttrain.metrics import calibration_curve
    >>> prob_true, prob_pred = calibration_curve([0, 0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.65, 0.7, 0.8], n_bins=2)
    >>> prob_true.tolist(), prob_pred.round(4).tolist()
    ([0.0, 1.0], [0.25, 0.7167])
    """
    _check_bins(n_bins, strategy)
    true, prob, weight = truth_and_scores(y_true, y_prob, "y_prob", sample_weight, None)
    positive, prob = _positives(true, pos_label), _probabilities(one_column(prob, "y_prob"))
    totals, positives, probs = _bin_sums(positive, prob, weight, int(n_bins), strategy)
    filled = totals > 0
    return positives[filled] / totals[filled], probs[filled] / totals[filled]


def expected_calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: _Strategy = "uniform",
    norm: Literal["l1", "l2", "max"] = "l1",
    pos_label: _Label | None = None,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Expected calibration error: the mean distance, over bins, between what was predicted and what happened.

    With W_b the rows (or sums of weights) in bin b and W that of all: ``sum_b W_b / W |share_b - confidence_b|``.

    - Probabilities of one column: confidence_b is the mean probability in the bin, and share_b that of positive
      rows, as in :func:`calibration_curve` (Naeini et al. 2015).
    - Of several columns: a row's confidence is the largest of its probabilities, by which it is put into a bin, and
      share_b is the accuracy of the classes that have them (Guo et al. 2017).  Two columns are not one: there the
      confidence is at least 1/2.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels: integers of any width, bool, strings, floats that hold integers.
    y_prob : array-like of shape (n_rows,) or (n_rows, n_classes)
        Probabilities of ``pos_label``, or of all classes in the order of their labels.  Of equal largest ones the
        first is taken.
    n_bins : int, default 15
        At least 1.
    strategy : {'uniform', 'quantile'}, default 'uniform'
        As for :func:`calibration_curve`; of several columns quantiles are those of the confidences.
    norm : {'l1', 'l2', 'max'}, default 'l1'
        The mean of distances; the root of the mean of their squares, ``sqrt(sum_b W_b / W (share_b -
        confidence_b)^2)``; the largest distance (maximum calibration error).
    pos_label : int, float, bool or str, optional
        Of one column: 1 if not given, for labels within {0, 1} or {-1, 1}.
    labels : array-like, optional
        Of several columns: the classes in order, where not all of them occur in ``y_true``.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero; as for :func:`calibration_curve`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        As :func:`calibration_curve`; another number of columns than of classes; labels that are not in ``labels``;
        ``labels`` that are not in order or not unique; ``labels`` for one column, ``pos_label`` for several.

    Notes
    -----
    torchmetrics' ``BinaryCalibrationError`` and ``MulticlassCalibrationError`` have the same definitions and defaults,
    but for the bin that a probability on an edge is put into.  The error is biased upwards on few rows: bins are hit by
    chance.

    Examples
    --------
    >>> from fasttrain.metrics import expected_calibration_error
    >>> round(expected_calibration_error([0, 0, 1, 1], [0.2, 0.3, 0.6, 0.9], n_bins=2), 4)
    0.25
    >>> round(expected_calibration_error([0, 1, 2], [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]]), 4)
    0.4333
    """
    _check_bins(n_bins, strategy)
    check_choice(norm, "norm", ("l1", "l2", "max"))
    true, prob, weight = truth_and_scores(y_true, y_prob, "y_prob", sample_weight, labels)
    _probabilities(prob)
    if prob.ndim == 1 or prob.shape[1] == 1:
        if labels is not None:
            raise ValueError("labels must be None where y_prob has one column; pos_label names its label")
        hits, prob = _positives(true, pos_label), prob.reshape(-1)
    else:
        if pos_label is not None:
            raise ValueError("pos_label must be None where y_prob has several columns; labels gives their labels")
        top = prob.argmax(axis=1)
        hits = _classes(true, labels, prob.shape[1])[top] == true
        prob = np.take_along_axis(prob, top[:, np.newaxis], axis=1)[:, 0]
    totals, shares, confidences = _bin_sums(hits, prob, weight, int(n_bins), strategy)
    filled = totals > 0
    totals, distances = totals[filled], np.abs(shares[filled] - confidences[filled])  # times the totals
    if norm == "max":
        return float((distances / totals).max())
    if norm == "l1":
        return float(distances.sum() / totals.sum())
    return math.sqrt(float((distances * (distances / totals)).sum() / totals.sum()))


# ---- bins ------------------------------------------------------------------------------------------------


def _bin_sums(
    hits: _Array, prob: _Array, weight: _Array | None, n_bins: int, strategy: str
) -> tuple[_Array, _Array, _Array]:
    """Of each bin: (rows, hits among them, probabilities), or sums of weights and of weighted ones."""
    edges = _inner_edges(prob, weight, n_bins, strategy)
    counts, probs = np.zeros(2 * n_bins), np.zeros(n_bins)
    for begin in range(0, len(prob), _PIECE_ROWS):
        rows = slice(begin, begin + _PIECE_ROWS)
        values = prob[rows].astype(np.float64)
        place = _places(values, edges)
        of_rows = None if weight is None else weight[rows]
        # misses in the first half, hits in the second
        counts += np.bincount(place + n_bins * hits[rows], of_rows, 2 * n_bins)
        probs += np.bincount(place, values if of_rows is None else values * of_rows, n_bins)
    return counts[:n_bins] + counts[n_bins:], counts[n_bins:], probs


def _inner_edges(prob: _Array, weight: _Array | None, n_bins: int, strategy: str) -> _Array:
    parts = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    if strategy == "uniform" or not len(parts):
        return parts
    if weight is None:
        return np.percentile(prob, parts * 100)
    return np.quantile(prob, parts, weights=weight, method="inverted_cdf")


def _places(values: _Array, edges: _Array) -> _Array:
    """How many edges are below each value."""
    if len(edges) > _FEW_EDGES:
        return np.searchsorted(edges, values)
    place = np.zeros(len(values), dtype=np.uint8)
    for edge in edges:
        place += values > edge
    return place.astype(np.intp)


# ---- what comes in ---------------------------------------------------------------------------------------


def _check_bins(n_bins: Any, strategy: Any) -> None:
    if not isinstance(n_bins, numbers.Integral) or n_bins < 1:
        raise InvalidParameterError(f"n_bins must be an integer of at least 1, got {n_bins!r}")
    check_choice(strategy, "strategy", ("uniform", "quantile"))


def _probabilities(prob: _Array) -> _Array:
    low, high = prob.min(), prob.max()
    if low < 0 or high > 1:
        raise ValueError(f"y_prob must hold probabilities in [0, 1], got values from {low} to {high}")
    return prob


def _positives(true: _Array, pos_label: Any) -> _Array:
    """Which rows are of pos_label; at most two labels are there."""
    if pos_label is not None:
        check_pos_label(pos_label)
    classes = distinct_labels(true)
    if len(classes) > 2:
        raise ValueError(f"y_true must hold at most two labels, got {len(classes)}")
    # a label of another kind than those of y_true equals none of them
    return np.asarray(true == positive_label(classes, pos_label)) & np.ones(len(true), dtype=bool)


def _classes(true: _Array, labels: Any, n_columns: int) -> _Array:
    """The labels of the columns."""
    classes = present = distinct_labels(true)
    if labels is not None:
        classes = one_column(as_array(labels, "labels"), "labels")
        if (classes.dtype.kind in "UTO") != (present.dtype.kind in "UTO"):
            raise ValueError(f"labels must be of the kind of y_true, got dtypes {classes.dtype} and {present.dtype}")
        if len(classes) != len(np.unique(classes)) or not (classes[:-1] < classes[1:]).all():
            raise ValueError(f"labels must be unique and in order, got {classes.tolist()}")
        strange = present[~np.isin(present, classes)]
        if len(strange):
            raise ValueError(f"y_true must hold the labels {classes.tolist()} alone, got {strange[0]!r}")
    if len(classes) != n_columns:
        raise ValueError(
            f"y_prob must have as many columns as there are classes, {len(classes)}, got {n_columns}; the argument "
            "labels gives classes that do not occur"
        )
    return classes
