"""How good predicted probabilities and decision values are, by scikit-learn's names and definitions.

Labels that are integers go to the kernels of :mod:`fasttrain.kernels.probability` as they are: the two lowest
are tried as the classes, since the kernels validate labels anyway.  All others (strings, floats, wide gaps)
are first replaced by their positions among the classes.  Whatever the inputs' dtype, losses are computed and
summed in float64, and no widened copy of an array is made.
"""

import math
import numbers
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.kernels.probability import binary_probability_loss, class_probability_loss
from fasttrain.metrics._labels import label_kind
from fasttrain.metrics._validation import (
    as_array,
    check_array_like,
    check_boolean,
    check_lengths,
    check_sample_weight,
    one_column,
)

__all__ = ["brier_score_loss", "hinge_loss", "log_loss", "top_k_accuracy_score"]

_Array = NDArray[Any]

_PIECE_NUMBERS = 1 << 16
# Labels in a range of so many are counted instead of sorted.
_SMALL_RANGE = 1 << 16


def log_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike | None = None,
    *,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    y_pred: Any = "deprecated",
) -> float:
    """Logarithmic loss (cross-entropy) of predicted probabilities, ``-sum_i w_i log(p_i) / sum_i w_i``.

    p_i is the probability that row i was given for its own class, held within ``[eps, 1 - eps]``, where eps is
    that of the dtype of ``y_proba``.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,) or (n_rows, n_classes)
        Labels (integers of any width, bool, strings, floats that hold integers), or an indicator matrix.
    y_proba : array-like of shape (n_rows,) or (n_rows, n_classes)
        Probabilities of the greater of two labels, or of all classes in the order of their labels.
    normalize : bool, default True
        False gives the sum of losses instead of their mean.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    labels : array-like, optional
        The classes, where not all of them occur in ``y_true``.
    y_pred : array-like
        The former name of ``y_proba``.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty data, probabilities out of [0, 1] or NaN, one class only, labels that are
        not in ``labels``, another number of columns than of classes, bad weights.

    Warns
    -----
    UserWarning
        Rows of probabilities that do not sum to 1; ``labels`` that are not in order.

    Notes
    -----
    Probabilities of float32 are taken as they are and the logarithms computed in float64, so that the result
    is that of the same numbers in float64 but for eps; scikit-learn computes in float32.
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> from fasttrain.metrics import log_loss
    >>> log_loss(["spam", "ham", "ham", "spam"], [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]])
    0.21616187468057912
    """
    if not (isinstance(y_pred, str) and y_pred == "deprecated"):
        if y_proba is not None:
            raise ValueError("y_pred is the former name of y_proba: only one of them may be given")
        warn(
            "`y_pred` was renamed to `y_proba` in version 1.9 and will be removed in 1.11. Use `y_proba` instead.",
            FutureWarning,
        )
        y_proba = y_pred
    check_boolean(normalize, "normalize")
    if labels is not None:
        check_array_like(labels, "labels")
    proba = _scores(y_proba, "y_proba")
    loss, total, _ = _class_loss("log", y_true, proba, sample_weight, labels)
    return loss / total if normalize else loss


def brier_score_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_label: float | str | bool | None = None,
    labels: ArrayLike | None = None,
    scale_by_half: bool | Literal["auto"] = "auto",
) -> float:
    """Brier score: mean squared error of predicted probabilities, ``sum_i w_i sum_c (y_ic - p_ic)^2 / sum_i w_i``.

    y_ic is 1 for the class of row i and 0 for the others.  Half of it for two classes, so that it is the squared
    error of the probability of one of them.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,) or (n_rows, n_classes)
        Labels (integers of any width, bool, strings, floats that hold integers), or an indicator matrix.
    y_proba : array-like of shape (n_rows,) or (n_rows, n_classes)
        Probabilities of ``pos_label``, or of all classes in the order of their labels.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    pos_label : int, float, bool or str, optional
        The label that probabilities of one column are of: 1 for labels within {0, 1} or {-1, 1}, else the
        greater number; must be given for strings.
    labels : array-like, optional
        The classes of several columns, where not all of them occur in ``y_true``.
    scale_by_half : bool or 'auto', default 'auto'
        Whether to halve the score; 'auto' does for fewer than three classes.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As :func:`log_loss`; strings without ``pos_label``; more than two labels for one column.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> from fasttrain.metrics import brier_score_loss
    >>> brier_score_loss([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3])
    0.03749999999999999
    """
    if not (pos_label is None or isinstance(pos_label, (numbers.Real, str, bool, np.bool_))):
        raise InvalidParameterError(f"pos_label must be a number or a string, got {pos_label!r}")
    if not isinstance(scale_by_half, (bool, np.bool_)) and not (
        isinstance(scale_by_half, str) and scale_by_half == "auto"
    ):
        raise InvalidParameterError(f"scale_by_half must be True, False or 'auto', got {scale_by_half!r}")
    if labels is not None:
        check_array_like(labels, "labels")
    proba = _scores(y_proba, "y_proba")
    if proba.ndim == 1 or proba.shape[1] == 1:
        loss, total = _positive_loss(y_true, proba.reshape(-1), sample_weight, pos_label)
        n_classes = 2
        # of two columns, each with the same error
        loss *= 2.0
    else:
        loss, total, n_classes = _class_loss("squared", y_true, proba, sample_weight, labels)
    halve = n_classes < 3 if isinstance(scale_by_half, str) else scale_by_half
    return loss / total * (0.5 if halve else 1.0)


def top_k_accuracy_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    k: int = 2,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    labels: ArrayLike | None = None,
) -> float:
    """Share of rows whose class is among the k with the highest scores.

    Of equal scores the one of the greater label is taken as the higher, as in scikit-learn.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels: integers of any width, bool, strings, floats that hold integers.
    y_score : array-like of shape (n_rows,) or (n_rows, n_classes)
        Scores of the greater of two labels (at k = 1 predicted above 0.5 if all scores lie in [0, 1], else
        above 0), or of all classes in the order of their labels.
    k : int, default 2
        At least 1.
    normalize : bool, default True
        False gives the number of rows, or the sum of their weights.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    labels : array-like, optional
        The classes in order, where not all of them occur in ``y_true``.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty data, NaN or infinity, labels that are not in ``labels``, another number of
        columns than of classes, ``labels`` that are not in order or not unique, bad weights.

    Warns
    -----
    UndefinedMetricWarning
        k is at least the number of classes.

    Examples
    --------
    >>> from fasttrain.metrics import top_k_accuracy_score
    >>> scores = [[0.5, 0.2, 0.2], [0.3, 0.4, 0.2], [0.2, 0.4, 0.3], [0.7, 0.2, 0.1]]
    >>> top_k_accuracy_score([0, 1, 2, 2], scores, k=2)
    0.75
    """
    if not isinstance(k, numbers.Integral) or k < 1:
        raise InvalidParameterError(f"k must be an integer of at least 1, got {k!r}")
    check_boolean(normalize, "normalize")
    true, score, weight = truth_and_scores(y_true, y_score, "y_score", sample_weight, labels)
    present = distinct_labels(true)
    classes = present
    if labels is not None:
        given = one_column(as_array(labels, "labels"), "labels")
        classes = np.unique(given)
        if len(classes) != len(given) or not (classes == given).all():
            raise ValueError(f"labels must be unique and in order, got {given.tolist()}")
    binary = len(present) <= 2 and len(classes) <= 2
    if binary:
        if score.ndim == 2 and score.shape[1] != 1:
            raise ValueError(
                f"y_score must have one column for two classes, got {score.shape[1]}; if y_true does not hold all "
                "labels, pass them in the argument labels"
            )
        score = score.reshape(-1)
    elif score.ndim != 2:
        raise ValueError(f"y_score must have shape (n_rows, n_classes) for several classes, got {score.shape}")
    n_columns = 2 if binary else score.shape[1]
    if len(classes) != n_columns:
        raise ValueError(
            f"y_score must have as many classes as {'y_true' if labels is None else 'labels'}, {len(classes)}, "
            f"got {n_columns}; the argument labels gives classes that do not occur"
        )
    codes = _codes(true, classes)
    if k >= len(classes):
        warn(
            f"k ({k}) is at least the number of classes ({len(classes)}): the score is perfect and meaningless",
            UndefinedMetricWarning,
        )
    if not binary:
        hits = _in_top(codes, score, int(k))
    elif k == 1:
        hits = (score > (0.5 if score.min() >= 0 and score.max() <= 1 else 0)) == (codes == 1)
    else:
        hits = np.ones(len(codes), dtype=bool)
    if weight is None:
        n_hits = float(np.count_nonzero(hits))
        return n_hits / len(hits) if normalize else n_hits
    right = float(weight.sum(where=hits, dtype=np.float64))
    return right / float(weight.sum(dtype=np.float64)) if normalize else right


def hinge_loss(
    y_true: ArrayLike,
    pred_decision: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean hinge loss of decision values, ``sum_i w_i max(0, 1 - m_i) / sum_i w_i``.

    The margin m_i is the decision value, its sign turned for rows of the lesser of two labels; of several
    classes, the value of the row's own less the largest of the others (Crammer and Singer).

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels: integers of any width, bool, strings, floats that hold integers.
    pred_decision : array-like of shape (n_rows,) or (n_rows, n_classes)
        Decision values for the greater of two labels, or for all classes in the order of their labels.
    labels : array-like, optional
        The classes, where not all of them occur in ``y_true``.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty data, NaN or infinity, labels that are not in ``labels``, another number of
        columns than of classes, bad weights.

    Notes
    -----
    Where ``y_true`` holds one label of two, its rows count as negative, as in scikit-learn.

    Examples
    --------
    >>> from fasttrain.metrics import hinge_loss
    >>> hinge_loss([-1, 1, 1], [-2.0, 0.5, 0.25])
    0.4166666666666667
    """
    true, decision, weight = truth_and_scores(y_true, pred_decision, "pred_decision", sample_weight, labels)
    present = distinct_labels(true)
    classes = present if labels is None else np.unique(as_array(labels, "labels"))
    if len(classes) > 2:
        if decision.ndim != 2 or decision.shape[1] != len(classes):
            raise ValueError(
                f"pred_decision must have shape ({len(true)}, {len(classes)}), got {decision.shape}; the argument "
                "labels gives classes that do not occur"
            )
        codes = _codes(true, classes)
    else:
        decision = one_column(decision, "pred_decision")
        _codes(true, classes)  # refuses other labels
        codes = (true == present[-1]) if len(present) == 2 else np.zeros(len(true), dtype=bool)
    total = 0.0
    step = max(1, _PIECE_NUMBERS // (1 if decision.ndim == 1 else decision.shape[1]))
    for begin in range(0, len(true), step):
        rows = slice(begin, begin + step)
        if decision.ndim == 1:
            values = decision[rows].astype(np.float64)
            losses = np.where(codes[rows], 1.0 - values, 1.0 + values)
        else:
            values, index = decision[rows].astype(np.float64), codes[rows, np.newaxis]
            own = np.take_along_axis(values, index, axis=1)[:, 0]
            np.put_along_axis(values, index, -np.inf, axis=1)
            losses = 1.0 - (own - values.max(axis=1))
        np.maximum(losses, 0.0, out=losses)
        total += float(losses.sum() if weight is None else np.dot(losses, weight[rows]))
    return total / (len(true) if weight is None else float(weight.sum(dtype=np.float64)))


# ---- losses of probabilities -----------------------------------------------------------------------------


def _class_loss(
    loss: Literal["log", "squared"], y_true: Any, proba: _Array, sample_weight: Any, labels: Any
) -> tuple[float, float, int]:
    """(sum of losses, sum of weights, number of classes) of one column for two classes, or one for each."""
    if proba.ndim == 2 and proba.shape[1] == 1:
        proba = proba[:, 0]
    eps = float(np.finfo(proba.dtype).eps)
    proba = _kernel_array(proba)
    true, weight = _truth(y_true, proba, "y_proba", sample_weight)
    if label_kind(true, "y_true") == "multilabel-indicator":
        return _indicator_loss(loss, true, proba, weight, labels, eps)
    true = one_column(true, "y_true")
    if labels is None:
        if proba.ndim == 1:
            return _binary_loss(loss, true, proba, weight, eps)
        n_classes = proba.shape[1]
        if true.dtype.kind in "biu":
            low, high = int(true.min()), int(true.max())
            if high - low + 1 == n_classes and low >= -(2**31) and high < 2**31:
                found = class_probability_loss(true, proba, weight, loss=loss, first_label=low, eps=eps)
                if found[2].all():
                    return _summed_rows(found, proba, eps)
        classes = np.unique(true)
        _check_classes(classes, labels, n_classes)
        codes = np.searchsorted(classes, true).astype(np.int32)
    else:
        given = one_column(as_array(labels, "labels"), "labels")
        classes = np.unique(given)
        if len(classes) != len(given):
            raise ValueError(f"labels must be unique, got {given.tolist()}")
        if not (classes == given).all():
            warn(
                f"labels are {given.tolist()}, but the columns of y_proba are taken to be in the order "
                f"{classes.tolist()}",
                UserWarning,
            )
        n_classes = 2 if proba.ndim == 1 else proba.shape[1]
        _check_classes(classes, labels, n_classes)
        if true.dtype.kind in "biu" and classes.dtype.kind in "biu":
            # the kernels refuse labels that are not among the classes
            low, high = int(classes[0]), int(classes[-1])
            if proba.ndim == 1 and high < 2**63:
                total = binary_probability_loss(
                    true, proba, weight, loss=loss, negative=low, positive=high, eps=eps
                )
                return total[0], total[1], 2
            if proba.ndim == 2 and high - low + 1 == n_classes and low >= -(2**31) and high < 2**31:
                return _summed_rows(
                    class_probability_loss(true, proba, weight, loss=loss, first_label=low, eps=eps), proba, eps
                )
        codes = _codes(true, classes)
    if proba.ndim == 1:
        loss_sum, weight_sum, _ = binary_probability_loss(codes, proba, weight, loss=loss, eps=eps)
        return loss_sum, weight_sum, 2
    return _summed_rows(class_probability_loss(codes, proba, weight, loss=loss, eps=eps), proba, eps)


def _binary_loss(
    loss: Literal["log", "squared"], true: _Array, proba: _Array, weight: _Array | None, eps: float
) -> tuple[float, float, int]:
    """Of the probabilities of the greater of the two labels that occur."""
    low, high = 0, 1
    if true.dtype.kind in "biu":
        try:
            total = binary_probability_loss(true, proba, weight, loss=loss, eps=eps)
        except ValueError:
            low, high = int(true.min()), int(true.max())
            if low == high or high >= 2**63:
                total = None
            else:
                total = binary_probability_loss(
                    true, proba, weight, loss=loss, negative=low, positive=high, eps=eps
                )
        if total is not None and 0 < total[2] < len(true):
            return total[0], total[1], 2
    classes = np.unique(true)
    _check_classes(classes, None, 2)
    codes = (true == classes[1]).view(np.uint8)
    total = binary_probability_loss(codes, proba, weight, loss=loss, eps=eps)
    return total[0], total[1], 2


def _check_classes(classes: _Array, labels: Any, n_columns: int) -> None:
    what = "y_true" if labels is None else "labels"
    if len(classes) == 1:
        raise ValueError(f"{what} must hold at least two classes, got {classes.tolist()}; labels names them all")
    if len(classes) != n_columns:
        raise ValueError(
            f"y_proba must have as many classes as {what}, {len(classes)}, got {n_columns}; the argument labels "
            "gives classes that do not occur"
        )


def _summed_rows(
    total: tuple[float, float, _Array, float], proba: _Array, eps: float
) -> tuple[float, float, int]:
    """The sums of a pass over rows of probabilities; warns where the rows do not sum to 1."""
    _warn_of_sums(total[3], eps)
    return total[0], total[1], proba.shape[1]


def _warn_of_sums(deviation: float, eps: float) -> None:
    if deviation > 1e-8 + math.sqrt(eps):
        warn("The y_prob values do not sum to one. Make sure to pass probabilities.", UserWarning)


def _indicator_loss(
    loss: Literal["log", "squared"], true: _Array, proba: _Array, weight: _Array | None, labels: Any, eps: float
) -> tuple[float, float, int]:
    """Of an indicator matrix of classes, any number of them a row."""
    if labels is not None or true.shape != (len(proba), proba.shape[1] if proba.ndim == 2 else 2):
        raise ValueError(
            f"y_true must be labels, or an indicator matrix with a column for each of y_proba and no labels, got "
            f"shapes {true.shape} and {proba.shape}"
        )
    if not (proba.min() >= 0 and proba.max() <= 1):
        raise ValueError("y_proba must hold probabilities in [0, 1]")
    if proba.ndim == 1:
        proba = np.stack([1.0 - proba, proba], axis=1)
    else:
        _warn_of_sums(float(np.abs(proba.sum(axis=1, dtype=np.float64) - 1.0).max()), eps)
    total, step = 0.0, max(1, _PIECE_NUMBERS // proba.shape[1])
    for begin in range(0, len(true), step):
        rows = slice(begin, begin + step)
        p = proba[rows].astype(np.float64)
        if loss == "log":
            losses = -(true[rows] * np.log(np.clip(p, eps, 1.0 - eps))).sum(axis=1)
        else:
            losses = ((true[rows] - p) ** 2).sum(axis=1)
        total += float(losses.sum() if weight is None else np.dot(losses, weight[rows]))
    return total, float(len(true) if weight is None else weight.sum(dtype=np.float64)), proba.shape[1]


def _positive_loss(y_true: Any, proba: _Array, sample_weight: Any, pos_label: Any) -> tuple[float, float]:
    """(sum of squared errors, sum of weights) of the probabilities of pos_label."""
    proba = _kernel_array(proba)
    true, weight = _truth(y_true, proba, "y_proba", sample_weight)
    if label_kind(true, "y_true") != "labels":
        raise ValueError(f"y_true must hold labels where y_proba has one column, got shape {true.shape}")
    true = one_column(true, "y_true")
    if true.dtype.kind in "biu" and (pos_label is None or pos_label == 1):
        try:
            # labels within {0, 1} or {-1, 1}, of which either may be absent
            low = -1 if true.dtype.kind == "i" and true.min() < 0 else 0
            return binary_probability_loss(true, proba, weight, loss="squared", negative=low, positive=1)[:2]
        except ValueError:
            pass
    classes = np.unique(true)
    if len(classes) > 2:
        raise ValueError(f"y_true must hold at most two labels where y_proba has one column, got {len(classes)}")
    if pos_label is None:
        if true.dtype.kind not in "biuf":
            raise ValueError(f"pos_label must be given for labels {classes.tolist()}")
        pos_label = 1 if classes.tolist() in ([0, 1], [-1, 1], [0], [-1], [1]) else classes[-1]
    # a label of another kind than those of y_true equals none of them
    is_positive = np.asarray(true == pos_label) & np.ones(len(true), dtype=bool)
    return binary_probability_loss(is_positive, proba, weight, loss="squared")[:2]


# ---- scores of classes -----------------------------------------------------------------------------------


def _in_top(codes: _Array, score: _Array, k: int) -> _Array:
    """Whether fewer than k classes are above the row's own: a higher score, or the same and a greater label."""
    n_rows, n_classes = score.shape
    hits = np.empty(n_rows, dtype=bool)
    step = max(1, _PIECE_NUMBERS // n_classes)
    for begin in range(0, n_rows, step):
        values, index = score[begin : begin + step], codes[begin : begin + step]
        own = values[np.arange(len(index)), index][:, np.newaxis]
        above, same = values > own, values == own
        if np.count_nonzero(same) > len(index):
            above |= same & (np.arange(n_classes) > index[:, np.newaxis])
        # a product is several times as fast as a count along short rows
        n_above = above.view(np.int8) @ np.ones(n_classes, np.int8) if n_classes < 128 else above.sum(axis=1)
        hits[begin : begin + step] = n_above < k
    return hits


# ---- what goes in ----------------------------------------------------------------------------------------


def _scores(value: Any, name: str) -> _Array:
    """Numbers of one or two dimensions as an array of float16, float32 or float64."""
    # the common case first: a call on few rows costs microseconds
    array = as_array(value, name)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        if array.dtype.kind not in "biufOUT":
            raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
        array = array.astype(np.float64)
    if array.ndim > 2 or not array.size:
        raise ValueError(f"{name} must have shape (n_rows,) or (n_rows, n_classes), not empty, got {array.shape}")
    return array


def _truth(y_true: Any, scores: _Array, name: str, sample_weight: Any) -> tuple[_Array, _Array | None]:
    """(y_true, weights as floats or None), of the length of the scores."""
    true = as_array(y_true, "y_true")
    if sample_weight is None:
        if len(true) != len(scores):
            check_lengths(("y_true", true), (name, scores))
        return true, None
    check_array_like(sample_weight, "sample_weight")
    weight = as_array(sample_weight, "sample_weight")
    check_lengths(("y_true", true), (name, scores), ("sample_weight", weight))
    weight = check_sample_weight(weight, len(true))
    return true, weight if weight.dtype.kind == "f" else weight.astype(np.float64)


def truth_and_scores(
    y_true: Any, scores: Any, name: str, sample_weight: Any, labels: Any
) -> tuple[_Array, _Array, _Array | None]:
    """(labels of the rows, finite scores, weights or None)."""
    for value, what in ((y_true, "y_true"), (scores, name)):
        check_array_like(value, what)
    if labels is not None:
        check_array_like(labels, "labels")
    values = _scores(scores, name)
    # NaN spreads to both, and fails both comparisons
    if not (values.min() > -np.inf and values.max() < np.inf):
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise ValueError(f"{name} must not hold NaN or infinity, got {values[row]} in row {row}")
    true, weight = _truth(y_true, values, name, sample_weight)
    if label_kind(true, "y_true") != "labels":
        raise ValueError(f"y_true must hold one label a row, got shape {true.shape}")
    return one_column(true, "y_true"), values, weight


def _kernel_array(proba: _Array) -> _Array:
    """The same numbers as the kernels take them: float32 or float64, aligned, C-contiguous."""
    if proba.dtype == np.float16:
        proba = proba.astype(np.float32)
    flags = proba.flags
    return proba if flags.c_contiguous and flags.aligned else np.array(proba, order="C")


def distinct_labels(labels: _Array) -> _Array:
    """The sorted distinct labels, without a sort of the rows where they are integers in a small range."""
    if labels.dtype.kind in "biu":
        low, high = int(labels.min()), int(labels.max())
        if high - low <= 1:
            return np.array([low, high][: 1 + high - low], dtype=labels.dtype)
        if high - low < min(len(labels), _SMALL_RANGE) and low >= -(2**31) and high < 2**31:
            present = np.bincount(np.subtract(labels, low, dtype=np.int64, casting="unsafe"))
            return (np.flatnonzero(present) + low).astype(labels.dtype)
    return np.unique(labels)


def _codes(true: _Array, classes: _Array) -> _Array:
    """Positions of the labels among the sorted classes, which must hold them all."""
    if (true.dtype.kind in "UTO") != (classes.dtype.kind in "UTO"):
        raise ValueError(f"labels must be of the kind of y_true, got dtypes {classes.dtype} and {true.dtype}")
    codes = np.searchsorted(classes, true)
    codes[codes == len(classes)] = 0
    strange = classes[codes] != true
    if strange.any():
        raise ValueError(
            f"y_true must hold the labels {classes.tolist()} alone, got {true[strange][0]!r} in row "
            f"{int(np.argmax(strange))}"
        )
    return codes
