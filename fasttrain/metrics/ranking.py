"""How well scores rank the rows, by scikit-learn's names, arguments, answers, warnings and errors.

Everything here is read off one descent through the rows in the order of their scores
(:mod:`fasttrain.kernels.ranking`).  Labels 0 and 1 go to the kernel as they are, which validates them on the
way; only where it refuses them is it looked up what they are.

Weights must not be negative: a rate of negative rows has no meaning, and scikit-learn's curves then turn back.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.kernels.ranking import ranking_curve, ranking_scores
from fasttrain.metrics._validation import (
    as_array,
    as_floats,
    check_array_like,
    check_boolean,
    check_choice,
    check_lengths,
    check_sample_weight,
    one_column,
)

__all__ = [
    "auc",
    "average_precision_score",
    "det_curve",
    "precision_recall_curve",
    "roc_auc_score",
    "roc_curve",
]

_Array = NDArray[Any]
_Average = Literal["micro", "macro", "samples", "weighted"] | None
_Label = float | str | bool
# of (which rows are positive, scores, weights or None)
_Metric = Callable[[_Array, _Array, _Array | None], float]

_AVERAGES = ("micro", "macro", "samples", "weighted", None)


def auc(x: ArrayLike, y: ArrayLike) -> float:
    """Area under a curve by the trapezoidal rule, ``sum_i (x_(i+1) - x_i) (y_i + y_(i+1)) / 2``.

    Parameters
    ----------
    x : array-like of shape (n_points,)
        Rising or falling; the area is positive for positive ``y`` either way.
    y : array-like of shape (n_points,)

    Returns
    -------
    float
        Added in float64, whatever the dtypes.

    Raises
    ------
    ValueError
        Fewer than two points, lengths that differ, ``x`` that neither rises nor falls.

    Examples
    --------
    >>> from fasttrain.metrics import auc
    >>> auc([0.0, 0.5, 1.0], [0.0, 0.8, 1.0])
    0.65
    """
    check_array_like(x, "x")
    check_array_like(y, "y")
    across, up = as_floats(one_column(as_array(x, "x"), "x"), "x"), as_floats(one_column(as_array(y, "y"), "y"), "y")
    if len(across) != len(up):
        raise ValueError(f"x and y must have the same length, got {len(across)} and {len(up)}")
    if len(across) < 2:
        raise ValueError(f"x must hold at least 2 points, got {len(across)}")
    return _area(across.astype(np.float64, copy=False), up.astype(np.float64, copy=False))


def _area(x: _Array, y: _Array) -> float:
    steps = np.diff(x)
    sign = 1.0
    if (steps < 0).any():
        if not (steps <= 0).all():
            raise ValueError("x must rise or fall, got values that do both")
        sign = -1.0
    return sign * float((steps * (y[1:] + y[:-1]) / 2.0).sum())


def roc_auc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: _Average = "macro",
    sample_weight: ArrayLike | None = None,
    max_fpr: float | None = None,
    multi_class: Literal["raise", "ovr", "ovo"] = "raise",
    labels: ArrayLike | None = None,
) -> Any:
    """Area under the ROC curve: how often a positive row outranks a negative one, ties by half.

    With two classes the larger label is positive.  ``AUC = (pairs with s_pos > s_neg + pairs with
    s_pos = s_neg / 2) / (n_pos n_neg)``, pairs weighted by the product of their rows' weights.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or an indicator matrix.
    y_score : array-like of shape (n_rows,) or (n_rows, n_classes)
        Finite scores.  With more than two classes: probabilities, each row summing to 1, columns in the order
        of the sorted labels.
    average : {'macro', 'micro', 'weighted', 'samples'}, optional
        Over the columns of an indicator matrix or the classes.  None: one score each.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    max_fpr : float in (0, 1], optional
        The area up to this false positive rate, standardised so that chance is 0.5 (McClish 1989).
    multi_class : {'raise', 'ovr', 'ovo'}
        With more than two classes: each against the rest, or each against each other (Hand & Till 2001).
    labels : array-like of shape (n_classes,), optional
        The sorted labels of the columns; those in ``y_true`` if not given.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``
        nan, with an ``UndefinedMetricWarning``, where one class only is present.

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty data, NaN or infinity, bad weights, options that do not fit the data.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.  Without
    weights the area is counted in integers and rounded once.

    Examples
    --------
    >>> from fasttrain.metrics import roc_auc_score
    >>> roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    check_choice(average, "average", _AVERAGES)
    check_choice(multi_class, "multi_class", ("raise", "ovr", "ovo"))
    if max_fpr is None:
        found = _quick(y_true, y_score, sample_weight)
        if found is not None and not math.isnan(found[0]):
            return found[0]
    max_fpr = check_max_fpr(max_fpr)
    if labels is not None:
        check_array_like(labels, "labels")
    kind, true, classes, score, weight = _inputs(y_true, y_score, sample_weight)
    if kind == "multiclass" or (kind == "binary" and score.ndim == 2 and score.shape[1] > 2):
        if max_fpr is not None and max_fpr != 1.0:
            raise ValueError(f"max_fpr must be None with more than two classes, got {max_fpr!r}")
        if multi_class == "raise":
            raise ValueError("multi_class must be 'ovr' or 'ovo' with more than two classes, got 'raise'")
        return _multiclass_auc(true, classes, score, labels, multi_class, average, weight)

    def metric(positive: _Array, column: _Array, weights: _Array | None) -> float:
        return _binary_auc(positive, column, weights, max_fpr)

    if kind == "binary":
        positive = true == classes[-1] if len(classes) == 2 else np.zeros(len(true), dtype=bool)
        return metric(positive, one_column(score, "y_score"), weight)
    if not (np.isin(classes, (0, 1)).all() or np.isin(classes, (-1, 1)).all()):
        raise ValueError(f"y_true must be a matrix of 0 and 1 or of -1 and 1, got {classes.tolist()}")
    return _averaged(metric, true, true == 1, score, average, weight)


def _binary_auc(positive: _Array, score: _Array, weight: _Array | None, max_fpr: float | None = None) -> float:
    roc_auc, _, n_positive, n_negative = ranking_scores(positive, score, weight)
    if not n_positive or not n_negative:
        warn_of_one_class()
        return math.nan
    if max_fpr is None or max_fpr == 1:
        return roc_auc
    tps, fps, _ = ranking_curve(positive, score, weight)
    return partial_auc(tps, fps, max_fpr)


def check_max_fpr(max_fpr: Any) -> float | None:
    """None, or a number above 0 and at most 1, as a float, so that all that follows is of that precision."""
    if max_fpr is None:
        return None
    if not isinstance(max_fpr, numbers.Real) or not 0 < float(max_fpr) <= 1:
        raise InvalidParameterError(f"max_fpr must be above 0 and at most 1, got {max_fpr!r}")
    return float(max_fpr)


def warn_of_one_class() -> None:
    """There is no area under a curve that has one direction only."""
    warn("ROC AUC is not defined where y_true holds one class only.", UndefinedMetricWarning)


def partial_auc(tps: _Array, fps: _Array, max_fpr: float) -> float:
    """The standardised area up to this false positive rate, from the counts down the distinct scores."""
    tpr, fpr = np.concatenate([[0.0], tps / tps[-1]]), np.concatenate([[0.0], fps / fps[-1]])
    stop = int(np.searchsorted(fpr, max_fpr, "right"))
    end = np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1])
    return standardised_area(_area(np.append(fpr[:stop], max_fpr), np.append(tpr[:stop], end)), max_fpr)


def standardised_area(area: float, max_fpr: float) -> float:
    """An area up to this false positive rate, scaled so that chance is 0.5 (McClish 1989)."""
    least, most = 0.5 * max_fpr**2, max_fpr
    return 0.5 * (1.0 + (area - least) / (most - least))


def _multiclass_auc(
    true: _Array,
    present: _Array,
    score: _Array,
    labels: Any,
    multi_class: str,
    average: str | None,
    weight: _Array | None,
) -> Any:
    if score.ndim != 2:
        raise ValueError(f"y_score must have shape (n_rows, n_classes), got {score.shape}")
    if not np.allclose(1, score.sum(axis=1)):
        raise ValueError("y_score must hold probabilities, each row summing to 1")
    if average == "samples" or (average == "micro" and multi_class == "ovo"):
        raise ValueError(f"average must not be {average!r} with multi_class={multi_class!r}")
    if average is None and multi_class == "ovo":
        raise NotImplementedError("average must not be None with multi_class='ovo'")
    classes = present
    if labels is not None:
        classes = one_column(as_array(labels, "labels"), "labels")
        if not np.array_equal(np.unique(classes), classes):
            raise ValueError("labels must be sorted and each there once")
        if not np.isin(present, classes).all():
            raise ValueError("labels must hold all labels of y_true")
    if len(classes) != score.shape[1]:
        raise ValueError(f"y_score must have a column for each of the {len(classes)} labels, got {score.shape}")
    if multi_class == "ovr":
        indicator = true[:, np.newaxis] == classes
        return _averaged(_binary_auc, indicator, indicator, score, average, weight)
    if weight is not None:
        raise ValueError("sample_weight must be None with multi_class='ovo'")
    code = np.searchsorted(classes, true)
    found = np.flatnonzero(np.bincount(code, minlength=len(classes)))
    pairs, shares = [], []
    for i, low in enumerate(found):
        for high in found[i + 1 :]:
            either = (code == low) | (code == high)
            is_low = code[either] == low
            pairs.append(
                (
                    _binary_auc(is_low, np.ascontiguousarray(score[either, low]), None)
                    + _binary_auc(~is_low, np.ascontiguousarray(score[either, high]), None)
                )
                / 2.0
            )
            shares.append(float(either.mean()))
    if not pairs and average == "macro":
        return math.nan
    return float(np.average(pairs, weights=shares if average == "weighted" else None))


def average_precision_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: _Average = "macro",
    pos_label: _Label = 1,
    sample_weight: ArrayLike | None = None,
) -> Any:
    """Average precision, ``sum_i (R_i - R_(i-1)) P_i`` over the distinct scores, without interpolation.

    Precision P and recall R are those of the rows whose score is at least the i-th largest.  This is not the area
    by trapezoids, ``auc(recall, precision)``, which is too large.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or an indicator matrix.
    y_score : array-like of shape (n_rows,) or (n_rows, n_classes)
        Finite scores; with more than two classes, columns in the order of the sorted labels.
    average : {'macro', 'micro', 'weighted', 'samples'}, optional
        Over the columns of an indicator matrix or the classes.  None: one score each.
    pos_label : int, float, bool or str, default 1
        The positive one of two classes.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``
        0, with a ``UserWarning``, where no row is positive.

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty data, NaN or infinity, bad weights, options that do not fit the data.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> from fasttrain.metrics import average_precision_score
    >>> average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.8333333333333333
    """
    check_choice(average, "average", _AVERAGES)
    if type(pos_label) is not int:
        check_pos_label(pos_label)
    if pos_label == 1:
        found = _quick(y_true, y_score, sample_weight)
        if found is not None and found[2]:
            return found[1]
    kind, true, classes, score, weight = _inputs(y_true, y_score, sample_weight)
    if kind == "binary":
        if len(classes) == 2 and pos_label not in classes.tolist():
            raise ValueError(f"pos_label must be one of {classes.tolist()}, got {pos_label!r}")
        return _average_precision(true == pos_label, one_column(score, "y_score"), weight)
    if pos_label != 1:
        raise ValueError(f"pos_label must be 1 where y_true is {kind}, got {pos_label!r}")
    if kind == "multiclass":
        true = true[:, np.newaxis] == classes
        if score.shape != true.shape:
            raise ValueError(f"y_score must have shape {true.shape}, one column a class, got {score.shape}")
    return _averaged(_average_precision, true, true == 1, score, average, weight)


def _average_precision(positive: _Array, score: _Array, weight: _Array | None) -> float:
    _, precision, n_positive, _ = ranking_scores(positive, score, weight)
    if not n_positive:
        warn_of_no_positives()
        return 0.0
    return precision


def warn_of_no_positives() -> None:
    """Of no positive rows every threshold finds all."""
    warn("No row of y_true is positive: recall is 1 at every threshold.", UserWarning, undefined=True)


def roc_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
    drop_intermediate: bool = True,
) -> tuple[_Array, _Array, _Array]:
    """Receiver operating characteristic: false and true positive rates at each distinct score.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels of two classes, or of more with ``pos_label``.
    y_score : array-like of shape (n_rows,)
        Finite scores.
    pos_label : int, float, bool or str, optional
        The positive class; 1 if the labels are 0 and 1 or -1 and 1.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    drop_intermediate : bool, default True
        Leave out points on the line through their neighbours.

    Returns
    -------
    fpr, tpr : float64 ndarray of shape (n_thresholds,)
        Rates of the rows whose score is at least the threshold.  nan, with an ``UndefinedMetricWarning``, where
        there are no negative or no positive rows.
    thresholds : float64 ndarray of shape (n_thresholds,)
        In falling order; infinity first, at the point (0, 0).

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty data, NaN or infinity, bad weights, labels that need ``pos_label``.

    Examples
    --------
    >>> from fasttrain.metrics import roc_curve
    >>> fpr, tpr, thresholds = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0], [inf, 0.8, 0.4, 0.35, 0.1])
    """
    check_boolean(drop_intermediate, "drop_intermediate")
    return roc_points(*descent(y_true, y_score, pos_label, sample_weight), drop_intermediate)


def roc_points(
    tps: _Array, fps: _Array, thresholds: _Array, drop_intermediate: bool
) -> tuple[_Array, _Array, _Array]:
    """The ROC curve from the counts down the distinct scores."""
    if drop_intermediate and len(fps) > 2:
        turns = (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0)
        tps, fps, thresholds = _keep(turns, tps, fps, thresholds)
    fpr = rate(fps, "negative")
    tpr = rate(tps, "positive")
    return fpr, tpr, np.concatenate([[np.inf], thresholds.astype(np.float64, copy=False)])


def rate(counts: _Array, kind: str) -> _Array:
    if counts[-1] <= 0:
        warn(f"No row of y_true is {kind}: the rate of such rows is not defined.", UndefinedMetricWarning)
        return np.full(len(counts) + 1, np.nan)
    return np.concatenate([[0.0], counts / counts[-1]])


def _keep(inner: _Array, *curve: _Array) -> tuple[_Array, ...]:
    """The first point, the inner ones that are marked, and the last."""
    index = np.flatnonzero(np.concatenate([[True], inner, [True]]))
    return tuple(one[index] for one in curve)


def precision_recall_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
    drop_intermediate: bool = False,
) -> tuple[_Array, _Array, _Array]:
    """Precision and recall at each distinct score.

    Parameters
    ----------
    y_true, y_score, pos_label, sample_weight
        As for :func:`roc_curve`.
    drop_intermediate : bool, default False
        Of the thresholds with the same recall leave out all but the first and the last.

    Returns
    -------
    precision, recall : float64 ndarray of shape (n_thresholds + 1,)
        Of the rows whose score is at least the threshold; 1 and 0 at the end, which has no threshold.  Recall is
        1, with a ``UserWarning``, where no row is positive.
    thresholds : ndarray of shape (n_thresholds,)
        In rising order, of the dtype of ``y_score``.

    Raises
    ------
    ValueError, TypeError
        As :func:`roc_curve`.

    Examples
    --------
    >>> from fasttrain.metrics import precision_recall_curve
    >>> precision, recall, thresholds = precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> recall.tolist(), thresholds.tolist()
    ([1.0, 1.0, 0.5, 0.5, 0.0], [0.1, 0.35, 0.4, 0.8])
    """
    check_boolean(drop_intermediate, "drop_intermediate")
    return precision_recall_points(*descent(y_true, y_score, pos_label, sample_weight), drop_intermediate)


def precision_recall_points(
    tps: _Array, fps: _Array, thresholds: _Array, drop_intermediate: bool
) -> tuple[_Array, _Array, _Array]:
    """The precision-recall curve from the counts down the distinct scores."""
    if drop_intermediate and len(fps) > 2:
        tps, fps, thresholds = _keep(_ends_of_plateaus(tps), tps, fps, thresholds)
    precision = tps / (tps + fps)  # rows without weight have no threshold: never 0 / 0
    if tps[-1] == 0:
        warn_of_no_positives()
        recall = np.ones(len(tps))
    else:
        recall = tps / tps[-1]
    return (
        np.concatenate([precision[::-1], [1.0]]),
        np.concatenate([recall[::-1], [0.0]]),
        thresholds[::-1].copy(),  # a state's thresholds are its memory, and may be reversed themselves
    )


def _ends_of_plateaus(tps: _Array) -> _Array:
    changes = np.diff(tps) != 0
    ends: _Array = changes[:-1] | changes[1:]
    return ends


def det_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
    drop_intermediate: bool = False,
) -> tuple[_Array, _Array, _Array]:
    """Detection error tradeoff: false positive and false negative rates at each distinct score.

    Parameters
    ----------
    y_true, y_score, pos_label, sample_weight
        As for :func:`roc_curve`.
    drop_intermediate : bool, default False
        Of the thresholds with the same false negative rate leave out all but the first and the last.

    Returns
    -------
    fpr, fnr : float64 ndarray of shape (n_thresholds,)
        False positive rates, falling, and false negative rates.
    thresholds : float64 ndarray of shape (n_thresholds,)
        In rising order, infinity last if the highest score is a negative row's.

    Raises
    ------
    ValueError, TypeError
        As :func:`roc_curve`; not two classes in ``y_true``.

    Examples
    --------
    >>> from fasttrain.metrics import det_curve
    >>> fpr, fnr, thresholds = det_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> fpr.tolist(), fnr.tolist(), thresholds.tolist()
    ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.35, 0.4, 0.8])
    """
    check_boolean(drop_intermediate, "drop_intermediate")
    tps, fps, thresholds = descent(y_true, y_score, pos_label, sample_weight)
    n_classes = len(_classes(one_column(as_array(y_true, "y_true"), "y_true")))
    if n_classes != 2:
        raise ValueError(f"y_true must hold two classes, got {n_classes}")
    return det_points(tps, fps, thresholds, drop_intermediate)


def det_points(
    tps: _Array, fps: _Array, thresholds: _Array, drop_intermediate: bool
) -> tuple[_Array, _Array, _Array]:
    """The DET curve from the counts down the distinct scores."""
    zero = np.zeros(1, dtype=tps.dtype)
    tps, fps = np.concatenate([zero, tps]), np.concatenate([zero, fps])
    thresholds = np.concatenate([[np.inf], thresholds.astype(np.float64, copy=False)])
    if drop_intermediate and len(fps) > 2:
        tps, fps, thresholds = _keep(_ends_of_plateaus(tps), tps, fps, thresholds)
    # from the last threshold without false positives to the first without false negatives
    first = int(np.searchsorted(fps, fps[0], side="right")) - 1
    last = int(np.searchsorted(tps, tps[-1])) + 1
    chosen = slice(first, last)
    with np.errstate(invalid="ignore"):  # all rows of a class may be without weight
        return (
            fps[chosen][::-1] / fps[-1],
            (tps[-1] - tps[chosen])[::-1] / tps[-1],
            np.ascontiguousarray(thresholds[chosen][::-1]),
        )


# ---- what comes in ---------------------------------------------------------------------------------------


def _quick(y_true: Any, y_score: Any, sample_weight: Any) -> tuple[Any, Any, Any, Any] | None:
    """The kernel's answer where the arrays are such as it takes, and nothing is wrong with them."""
    if type(y_true) is not np.ndarray or type(y_score) is not np.ndarray:
        return None
    try:
        return ranking_scores(y_true, y_score, sample_weight)
    except (TypeError, ValueError):
        return None  # it will be found out why


def _inputs(
    y_true: Any, y_score: Any, sample_weight: Any, allow_zero: bool = False
) -> tuple[str, _Array, _Array, _Array, _Array | None]:
    """(kind of y_true, y_true, its sorted classes, scores as the kernel takes them, weights or None)."""
    check_array_like(y_true, "y_true")
    check_array_like(y_score, "y_score")
    true, score = as_array(y_true, "y_true"), as_array(y_score, "y_score")
    weight = None
    if sample_weight is not None:
        check_array_like(sample_weight, "sample_weight")
        weight = one_column(as_array(sample_weight, "sample_weight"), "sample_weight")
    check_lengths(("y_true", true), ("y_score", score), ("sample_weight", weight))
    if weight is not None:
        weight = check_sample_weight(weight, len(true), allow_zero)
        weight = weight.astype(np.float64) if weight.dtype.kind == "i" else weight
    kind, classes = _kind(true)
    if kind != "multilabel-indicator":
        true = true.reshape(-1)
    if score.ndim not in (1, 2) or not score.size:
        raise ValueError(f"y_score must have shape (n_rows,) or (n_rows, n_classes), got {score.shape}")
    score = np.ascontiguousarray(as_floats(score, "y_score"))
    if score.ndim == 2 and not np.isfinite(score).all():
        row, column = np.argwhere(~np.isfinite(score))[0].tolist()
        raise ValueError(f"y_score must be finite, got {score[row, column]} in row {row}, column {column}")
    return kind, true, classes, score, weight


def _kind(y: _Array) -> tuple[str, _Array]:
    """('binary', 'multiclass' or 'multilabel-indicator', the sorted classes); raises for all else."""
    kind = y.dtype.kind
    if kind == "S" or (kind == "O" and y.size and isinstance(y.flat[0], bytes)):
        raise TypeError("y_true must not hold bytes; y_true.astype(str) converts")
    if y.ndim > 2 or not y.size or kind not in "biufOUT" or (kind == "O" and not isinstance(y.flat[0], str)):
        raise ValueError(f"y_true must hold labels, got shape {y.shape} and dtype {y.dtype}")
    if kind == "O" and not all(isinstance(label, str) for label in y.flat):
        raise TypeError("y_true must hold strings alone in an array of dtype object")
    if kind == "f" and not (np.isfinite(y).all() and (np.floor(y) == y).all()):
        raise ValueError("y_true must hold classes, got continuous values, NaN or infinity")
    classes = _classes(y)
    if y.ndim == 1 or y.shape[1] == 1:
        return "binary" if len(classes) <= 2 else "multiclass", classes
    if kind in "biuf" and len(classes) <= 2:
        return "multilabel-indicator", classes
    raise ValueError(f"y_true must be one column of labels or an indicator matrix, got shape {y.shape}")


def _classes(y: _Array) -> _Array:
    """The sorted distinct labels; of two without sorting all."""
    if y.dtype.kind in "biuf":
        low, high = y.min(), y.max()
        if ((y == low) | (y == high)).all():
            return np.array([low, high] if low != high else [low], dtype=y.dtype)
    classes: _Array = np.unique(y)
    return classes


def positive_label(classes: _Array, pos_label: Any) -> Any:
    """pos_label, or 1 where it is None and the classes are within {0, 1} or {-1, 1}."""
    if pos_label is not None:
        return pos_label
    present = set(classes.tolist())
    if present <= {0, 1} or present <= {-1, 1}:
        return 1
    raise ValueError(f"pos_label must be given where y_true holds {classes.tolist()}")


def check_pos_label(pos_label: Any) -> None:
    """A label."""
    if not isinstance(pos_label, (numbers.Real, str, np.bool_)):
        raise InvalidParameterError(f"pos_label must be a number, a bool or a string, got {pos_label!r}")


def descent(
    y_true: Any, y_score: Any, pos_label: Any, sample_weight: Any
) -> tuple[_Array, _Array, _Array]:
    """(true positives, false positives, thresholds) at the distinct scores, falling."""
    if pos_label is not None:
        check_pos_label(pos_label)
    if type(y_true) is np.ndarray and type(y_score) is np.ndarray and (pos_label is None or pos_label == 1):
        try:
            curve = ranking_curve(y_true, y_score, sample_weight)
            if len(curve[0]):
                return curve
        except (TypeError, ValueError):
            pass  # it will be found out why
    positive, score, weight = positive_rows(y_true, y_score, pos_label, sample_weight)
    tps, fps, thresholds = ranking_curve(positive, score, weight)
    given = as_array(y_score, "y_score").dtype
    return tps, fps, thresholds if given.kind == "O" else thresholds.astype(given, copy=False)


def positive_rows(
    y_true: Any, y_score: Any, pos_label: Any, sample_weight: Any, allow_zero: bool = False
) -> tuple[_Array, _Array, _Array | None]:
    """(which rows are positive, scores, weights or None), as the kernels take them.

    allow_zero: all rows may be without weight.
    """
    kind, true, classes, score, weight = _inputs(y_true, y_score, sample_weight, allow_zero)
    if kind == "multilabel-indicator" or (kind == "multiclass" and pos_label is None):
        raise ValueError(f"y_true must hold two classes, or pos_label be given, got a {kind} target")
    return true == positive_label(classes, pos_label), one_column(score, "y_score"), weight


def _averaged(
    metric: _Metric, true: _Array, positive: _Array, score: _Array, average: str | None, weight: _Array | None
) -> Any:
    """The metric of each column, or of each row for 'samples', averaged."""
    if score.shape != true.shape:
        raise ValueError(f"y_score must have the shape of y_true, {true.shape}, got {score.shape}")
    if average == "micro":
        weight = None if weight is None else np.repeat(weight, true.shape[1])
        return metric(positive.reshape(-1), score.reshape(-1), weight)
    average_weight = None
    if average == "weighted":
        average_weight = true.sum(axis=0) if weight is None else true.T @ weight.astype(np.float64)
        if np.isclose(average_weight.sum(), 0.0):
            return 0.0
    elif average == "samples":
        average_weight, weight = weight, None
    if average != "samples":
        positive, score = positive.T, score.T
    scores = np.array(
        [
            metric(np.ascontiguousarray(one), np.ascontiguousarray(its_score), weight)
            for one, its_score in zip(positive, score, strict=True)
        ]
    )
    if average is None:
        return scores
    if average_weight is not None:
        # what counts nothing may be undefined
        scores[average_weight == 0] = 0.0
    return float(np.average(scores, weights=average_weight))
