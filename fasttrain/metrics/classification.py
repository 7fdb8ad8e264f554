"""How good predicted classes are, by scikit-learn's names, arguments, answers, warnings and errors.

Every function here is a few sums over a table of pairs of labels, which one pass over the data gives
(:mod:`fasttrain.metrics._labels`).
"""

import math
import numbers
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, warn
from fasttrain.metrics._class_scores import (
    UndefinedWarnings,
    check_options,
    chosen_labels,
    divide,
    mean_of,
    scores_of,
    sums_of,
)
from fasttrain.metrics._labels import ManyLabelsARow, OneLabelARow, check_targets, positions
from fasttrain.metrics._validation import (
    check_array_like,
    check_boolean,
    check_choice,
    check_number,
    zero_division_value,
)

__all__ = [
    "accuracy_score",
    "confusion_matrix",
    "f1_score",
    "fbeta_score",
    "jaccard_score",
    "multilabel_confusion_matrix",
    "precision_recall_fscore_support",
    "precision_score",
    "recall_score",
]

_Array = NDArray[Any]
_Average = Literal["binary", "micro", "macro", "weighted", "samples"] | None
_Label = float | str | bool
_ZeroDivision = float | Literal["warn"]


def accuracy_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of rows that are predicted right.

    ``sum_i w_i [y_true_i = y_pred_i] / sum_i w_i``; in indicator matrices a row is right if all of its
    labels are.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or indicator matrices.
    normalize : bool, default True
        False gives the number of rows that are right, or the sum of their weights.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, empty or continuous data, mixed strings and numbers, bad weights.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> from fasttrain.metrics import accuracy_score
    >>> accuracy_score([0, 1, 2, 3], [0, 2, 1, 3])
    0.5
    """
    check_boolean(normalize, "normalize")
    right, total = check_targets(y_true, y_pred, sample_weight).right_and_all()
    return right / total if normalize else right


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    normalize: Literal["true", "pred", "all"] | None = None,
) -> NDArray[Any]:
    """Number of rows for each pair of true (row) and predicted (column) label.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Labels: integers of any width, bool, strings, floats that hold integers.
    labels : array-like of shape (n_labels,), optional
        The labels of rows and columns, in this order; rows of the data with another label are left out.
        All labels that occur, sorted, if not given.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    normalize : {'true', 'pred', 'all'}, optional
        Divide by the sums over rows, over columns, or by the sum of all; 0 / 0 is 0.

    Returns
    -------
    ndarray of shape (n_labels, n_labels)
        int64, or float64 with weights of a floating-point type or ``normalize``.

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy_score`; indicator matrices; no label of ``labels`` in ``y_true``.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> from fasttrain.metrics import confusion_matrix
    >>> confusion_matrix([2, 0, 2, 2, 0, 1], [0, 0, 2, 2, 0, 2])
    array([[2, 0, 0],
           [0, 0, 1],
           [1, 0, 2]])
    """
    check_choice(normalize, "normalize", ("true", "pred", "all", None))
    if labels is not None:
        check_array_like(labels, "labels")
    targets = check_targets(y_true, y_pred, sample_weight)
    if isinstance(targets, ManyLabelsARow):
        raise InvalidParameterError("y_true and y_pred must be labels, got indicator matrices")
    matrix = table_of_labels(targets, labels)
    if normalize is not None:
        axis = {"true": 1, "pred": 0, "all": None}[normalize]
        total = matrix.sum(axis=axis, keepdims=True)
        matrix = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total != 0)
    elif not matrix.flags.owndata:
        matrix = matrix.copy()
    return matrix


def table_of_labels(targets: OneLabelARow, labels: Any = None, true_name: str = "y_true") -> _Array:
    """The table of pairs of `labels`, in their order, or of all that occur; warns where there is but one."""
    matrix = targets.exact_table
    if labels is not None:
        index = positions(targets.labels, labels)
        if not index.size:
            raise ValueError("labels must hold at least one label")
        found = index >= 0
        if not targets.in_true[index[found]].any():
            raise ValueError(f"labels must hold at least one label that is in {true_name}")
        selected = np.zeros((index.size, index.size), dtype=matrix.dtype)
        # of a label that is given twice, the last place counts
        place = np.full(len(matrix), -1)
        place[index[found]] = np.flatnonzero(found)
        kept = np.flatnonzero(place >= 0)
        selected[np.ix_(place[kept], place[kept])] = matrix[np.ix_(kept, kept)]
        matrix = selected
    if matrix.shape == (1, 1):
        warn(
            "A single label was found in y_true and y_pred. For a confusion matrix of the correct shape, "
            "pass all known labels in the argument labels.",
            UserWarning,
        )
    return matrix


def multilabel_confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    samplewise: bool = False,
) -> NDArray[Any]:
    """One confusion matrix ``[[tn, fp], [fn, tp]]`` for each class against all others, or for each row.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or indicator matrices.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    labels : array-like, optional
        The classes, in this order, or the columns of indicator matrices; all that occur if not given.
    samplewise : bool, default False
        Of indicator matrices: count over the labels of each row instead of over the rows of each label.

    Returns
    -------
    ndarray of shape (n_classes, 2, 2) or, samplewise, (n_rows, 2, 2)
        int64, or float64 with weights.

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy_score`; ``samplewise`` with one label a row; a column that does not exist.

    Examples
    --------
    >>> from fasttrain.metrics import multilabel_confusion_matrix
    >>> multilabel_confusion_matrix(["cat", "ant", "cat"], ["ant", "ant", "cat"], labels=["ant", "cat"])
    array([[[1, 1],
            [0, 1]],
    <BLANKLINE>
           [[1, 0],
            [1, 1]]])
    """
    check_boolean(samplewise, "samplewise")
    if labels is not None:
        check_array_like(labels, "labels")
    targets = check_targets(y_true, y_pred, sample_weight)
    if samplewise and not targets.multilabel:
        raise ValueError("samplewise must be False where there is one label a row")
    sums = sums_of(targets, labels, "samples" if samplewise else None)
    weight = targets.sample_weight
    if not samplewise:
        total = targets.total()
    else:
        total = len(targets.labels if labels is None else np.asarray(labels))
        if weight is not None:
            sums = sums[0] * weight, sums[1] * weight, sums[2] * weight
            total = total * weight
    tp, predicted, true = sums
    fp, fn = predicted - tp, true - tp
    return np.stack([total - tp - fp - fn, fp, fn, tp], axis=1).reshape(-1, 2, 2)


def precision_recall_fscore_support(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    beta: float = 1.0,
    labels: ArrayLike | None = None,
    pos_label: _Label | None = 1,
    average: _Average = None,
    warn_for: tuple[str, ...] | list[str] | set[str] = ("precision", "recall", "f-score"),
    sample_weight: ArrayLike | None = None,
    zero_division: _ZeroDivision = "warn",
) -> tuple[Any, Any, Any, Any]:
    """Precision, recall, F-beta and support, for each class or averaged.

    With tp, fp, fn the (weighted) numbers of true positives, false positives and false negatives:
    precision = tp / (tp + fp), recall = tp / (tp + fn),
    F-beta = (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp), support = tp + fn.
    Each is undefined only where its own denominator is 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or indicator matrices.
    beta : float, default 1.0
        Weight of recall against precision; 0 gives precision, infinity recall.
    labels : array-like, optional
        The classes to report or to average, in this order; classes that do not occur count as empty.
    pos_label : int, float, bool or str, default 1
        The class to report with ``average='binary'``.
    average : {'binary', 'micro', 'macro', 'weighted', 'samples'}, optional
        None: arrays with one entry a class.  'binary': the class ``pos_label`` of two.  'micro': from the
        sums of tp, fp, fn over classes.  'macro', 'weighted': mean over classes, plain or weighted by
        support.  'samples': mean over the rows of indicator matrices.
    warn_for : tuple of str
        Of 'precision', 'recall', 'f-score': those to warn for.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    zero_division : {'warn', 0, 1, nan}, default 'warn'
        What an undefined score is; 'warn' is 0 with an ``UndefinedMetricWarning``.  Averages leave nan out.

    Returns
    -------
    precision, recall, fscore : float, or float64 ndarray of shape (n_classes,)
    support : None with an average, else ndarray of shape (n_classes,)
        int64, or float64 with weights.

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy_score`; options that do not fit the data.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> from fasttrain.metrics import precision_recall_fscore_support
    >>> y_true, y_pred = ["cat", "dog", "dog", "cat"], ["cat", "dog", "cat", "cat"]
    >>> precision_recall_fscore_support(y_true, y_pred, average="macro")
    (0.8333333333333333, 0.75, 0.7333333333333334, None)
    """
    check_number(beta, "beta", numbers.Real)
    if not isinstance(warn_for, (list, tuple, set)):
        raise InvalidParameterError(f"warn_for must be a tuple of names, got {warn_for!r}")
    check_options(labels, pos_label, average, zero_division)
    targets = check_targets(y_true, y_pred, sample_weight)
    sums = sums_of(targets, chosen_labels(targets, labels, pos_label, average), average)
    warned = UndefinedWarnings(average, warn_for if zero_division == "warn" else ())
    scores = scores_of(sums, beta, zero_division_value(zero_division), warned)
    if average is None:
        return *scores, sums[2]
    weights = {"weighted": sums[2], "samples": targets.sample_weight}.get(average)
    precision, recall, fscore = (mean_of(score, weights) for score in scores)
    return precision, recall, fscore, None


def precision_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: _Label | None = 1,
    average: _Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: _ZeroDivision = "warn",
) -> Any:
    """Precision, tp / (tp + fp): the share of rows predicted positive that are positive.

    See :func:`precision_recall_fscore_support` for the arguments.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``

    Examples
    --------
    >>> from fasttrain.metrics import precision_score
    >>> precision_score([0, 1, 1, 0], [0, 1, 1, 1])
    0.6666666666666666
    """
    return precision_recall_fscore_support(
        y_true,
        y_pred,
        labels=labels,
        pos_label=pos_label,
        average=average,
        warn_for=("precision",),
        sample_weight=sample_weight,
        zero_division=zero_division,
    )[0]


def recall_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: _Label | None = 1,
    average: _Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: _ZeroDivision = "warn",
) -> Any:
    """Recall, tp / (tp + fn): the share of positive rows that are predicted positive.

    See :func:`precision_recall_fscore_support` for the arguments.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``

    Examples
    --------
    >>> from fasttrain.metrics import recall_score
    >>> recall_score([0, 1, 1, 0], [0, 1, 0, 1])
    0.5
    """
    return precision_recall_fscore_support(
        y_true,
        y_pred,
        labels=labels,
        pos_label=pos_label,
        average=average,
        warn_for=("recall",),
        sample_weight=sample_weight,
        zero_division=zero_division,
    )[1]


def f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: _Label | None = 1,
    average: _Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: _ZeroDivision = "warn",
) -> Any:
    """F1, 2 tp / (2 tp + fn + fp): the harmonic mean of precision and recall.

    See :func:`precision_recall_fscore_support` for the arguments.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``

    Examples
    --------
    >>> from fasttrain.metrics import f1_score
    >>> f1_score([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], average="micro")
    0.3333333333333333
    """
    return precision_recall_fscore_support(
        y_true,
        y_pred,
        labels=labels,
        pos_label=pos_label,
        average=average,
        warn_for=("f-score",),
        sample_weight=sample_weight,
        zero_division=zero_division,
    )[2]


def fbeta_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    beta: float,
    labels: ArrayLike | None = None,
    pos_label: _Label | None = 1,
    average: _Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: _ZeroDivision = "warn",
) -> Any:
    """F-beta, (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp): F1 with recall beta times as important.

    See :func:`precision_recall_fscore_support` for the arguments.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``

    Examples
    --------
    >>> from fasttrain.metrics import fbeta_score
    >>> fbeta_score([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], average="macro", beta=0.5)
    0.2380952380952381
    """
    return precision_recall_fscore_support(
        y_true,
        y_pred,
        beta=beta,
        labels=labels,
        pos_label=pos_label,
        average=average,
        warn_for=("f-score",),
        sample_weight=sample_weight,
        zero_division=zero_division,
    )[2]


def jaccard_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: _Label | None = 1,
    average: _Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: _ZeroDivision = "warn",
) -> Any:
    """Jaccard index, tp / (tp + fp + fn): rows of a class in both vectors over rows in either.

    See :func:`precision_recall_fscore_support` for the arguments; ``zero_division`` may not be nan here, as
    in scikit-learn.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``

    Examples
    --------
    >>> from fasttrain.metrics import jaccard_score
    >>> jaccard_score([0, 1, 1, 0], [0, 1, 1, 1])
    0.6666666666666666
    """
    check_options(labels, pos_label, average, zero_division)
    zero = zero_division_value(zero_division)
    if math.isnan(zero):
        raise InvalidParameterError("zero_division must be 'warn', 0 or 1, got nan")
    targets = check_targets(y_true, y_pred, sample_weight)
    tp, predicted, true = sums_of(targets, chosen_labels(targets, labels, pos_label, average), average)
    warned = UndefinedWarnings(average, ("jaccard",) if zero_division == "warn" else ())
    scores = divide(tp, predicted + true - tp, zero, warned, "jaccard", "true or predicted")
    if average is None:
        return scores
    return mean_of(scores, {"weighted": true, "samples": targets.sample_weight}.get(average))
