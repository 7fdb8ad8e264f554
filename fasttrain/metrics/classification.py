"""How good predicted classes are, by scikit-learn's names, arguments, answers, warnings and errors.

Every function here is a few sums over a table of pairs of labels, which one pass over the data gives
(:mod:`fasttrain.metrics._labels`).
"""
import math
import numbers

import numpy as np

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.metrics._labels import check_targets, positions
from fasttrain.metrics._validation import check_array_like, check_boolean, check_choice, zero_division_value

__all__ = [
    "accuracy_score",
    "classification_report",
    "confusion_matrix",
    "f1_score",
    "precision_recall_fscore_support",
    "precision_score",
    "recall_score",
]

_AVERAGES = (None, "binary", "micro", "macro", "weighted", "samples")


def accuracy_score(y_true, y_pred, *, normalize=True, sample_weight=None):
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


def confusion_matrix(y_true, y_pred, *, labels=None, sample_weight=None, normalize=None):
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
    if targets.multilabel:
        raise ValueError("y_true and y_pred must be labels, got indicator matrices")
    matrix = targets.table
    if matrix.dtype != np.int64 and targets.sample_weight.dtype.kind == "i":
        matrix = _exact_table(targets, matrix)
    if labels is not None:
        index = positions(targets.labels, labels)
        if not index.size:
            raise ValueError("labels must hold at least one label")
        found = index >= 0
        if not matrix[index[found]].any() and not _any_true(targets, index[found]):
            raise ValueError("labels must hold at least one label that is in y_true")
        selected = np.zeros((index.size, index.size), dtype=matrix.dtype)
        # of a label that is given twice, the last place counts
        place = np.full(len(matrix), -1)
        place[index[found]] = np.flatnonzero(found)
        kept = np.flatnonzero(place >= 0)
        selected[np.ix_(place[kept], place[kept])] = matrix[np.ix_(kept, kept)]
        matrix = selected
    if normalize is not None:
        axis = {"true": 1, "pred": 0, "all": None}[normalize]
        total = matrix.sum(axis=axis, keepdims=True)
        matrix = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total != 0)
    elif not matrix.flags.owndata:
        matrix = matrix.copy()
    if matrix.shape == (1, 1):
        warn(
            "A single label was found in y_true and y_pred. For a confusion matrix of the correct shape, "
            "pass all known labels in the argument labels.",
            UserWarning,
        )
    return matrix


def _any_true(targets, index):
    # rows of a true label may all have zero weight: ask the labels themselves
    return targets.sample_weight is not None and bool(np.isin(targets.y_true, targets.labels[index]).any())


def _exact_table(targets, table):
    """The int64 table of integer weights, from the table of their sums in float64."""
    if targets.sample_weight.sum(dtype=np.float64) < 2.0**52:
        return table.astype(np.int64)
    _, y_true, y_pred = targets._coded
    exact = np.zeros(table.shape, dtype=np.int64)
    np.add.at(exact, (y_true, y_pred), targets.sample_weight)
    return exact


def precision_recall_fscore_support(
    y_true,
    y_pred,
    *,
    beta=1.0,
    labels=None,
    pos_label=1,
    average=None,
    warn_for=("precision", "recall", "f-score"),
    sample_weight=None,
    zero_division="warn",
):
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
    if not (isinstance(beta, numbers.Real) and beta >= 0):
        raise InvalidParameterError(f"beta must be a number of at least 0, got {beta!r}")
    if not isinstance(warn_for, (list, tuple, set)):
        raise InvalidParameterError(f"warn_for must be a tuple of names, got {warn_for!r}")
    _check_common(labels, pos_label, average, zero_division)
    targets = check_targets(y_true, y_pred, sample_weight)
    if average == "binary":
        labels = [_positive(targets, pos_label)]
    elif pos_label not in (None, 1):
        warn(
            f"pos_label (set to {pos_label!r}) is ignored when average != 'binary' (got {average!r}); "
            "labels=[pos_label] selects one positive class",
            UserWarning,
        )
    sums = _sums(targets, labels, average)
    warned = _Warnings(average, warn_for if zero_division == "warn" else ())
    scores = _scores(sums, beta, average, zero_division_value(zero_division), warned)
    if average is None:
        return *scores, sums[2]
    weights = {"weighted": sums[2], "samples": targets.sample_weight}.get(average)
    return *(_mean(score, weights) for score in scores), None


def precision_score(
    y_true, y_pred, *, labels=None, pos_label=1, average="binary", sample_weight=None, zero_division="warn"
):
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
    y_true, y_pred, *, labels=None, pos_label=1, average="binary", sample_weight=None, zero_division="warn"
):
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
    y_true, y_pred, *, labels=None, pos_label=1, average="binary", sample_weight=None, zero_division="warn"
):
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


def classification_report(
    y_true,
    y_pred,
    *,
    labels=None,
    target_names=None,
    sample_weight=None,
    digits=2,
    output_dict=False,
    zero_division="warn",
):
    """Precision, recall, F1 and support of each class and their averages, as a text or a dict.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or indicator matrices.
    labels : array-like, optional
        The classes to report, in this order; all that occur, sorted, if not given.
    target_names : sequence of str, optional
        Their names, in the same order.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    digits : int, default 2
        Digits after the point in the text.
    output_dict : bool, default False
        Return a dict of dicts of floats instead of a text.
    zero_division : {'warn', 0, 1, nan}, default 'warn'
        See :func:`precision_recall_fscore_support`.

    Returns
    -------
    str or dict

    Raises
    ------
    ValueError, TypeError
        As :func:`precision_recall_fscore_support`; names that do not match the labels in number.

    Examples
    --------
    >>> from fasttrain.metrics import classification_report
    >>> print(classification_report([0, 1, 2, 2, 2], [0, 0, 2, 2, 1], zero_division=0))
                  precision    recall  f1-score   support
    <BLANKLINE>
               0       0.50      1.00      0.67         1
               1       0.00      0.00      0.00         1
               2       1.00      0.67      0.80         3
    <BLANKLINE>
        accuracy                           0.60         5
       macro avg       0.50      0.56      0.49         5
    weighted avg       0.70      0.60      0.61         5
    <BLANKLINE>
    """
    _check_common(labels, 1, None, zero_division)
    check_boolean(output_dict, "output_dict")
    if not isinstance(digits, numbers.Integral) or digits < 0:
        raise InvalidParameterError(f"digits must be an integer of at least 0, got {digits!r}")
    if target_names is not None:
        check_array_like(target_names, "target_names")
    targets = check_targets(y_true, y_pred, sample_weight)
    given = labels is not None
    labels = np.asarray(labels) if given else targets.labels
    micro_is_accuracy = not targets.multilabel and (
        not given or set(labels.tolist()) >= set(targets.labels.tolist())
    )
    if target_names is None:
        target_names = [str(label) for label in labels]
    elif len(labels) != len(target_names):
        if not given:
            raise ValueError(
                f"target_names must name the {len(labels)} classes that occur, got {len(target_names)} names; "
                "the argument labels gives others"
            )
        warn(f"target_names has {len(target_names)} names for {len(labels)} labels", UserWarning)

    zero = zero_division_value(zero_division)
    warn_for = ("precision", "recall", "f-score") if zero_division == "warn" else ()
    sums = _sums(targets, labels if given else None, None)
    scores = _scores(sums, 1.0, None, zero, _Warnings(None, warn_for))
    rows = [(str(name), *values) for name, *values in zip(target_names, *scores, sums[2], strict=False)]
    support = sums[2].sum()

    pooled = _pool(sums)
    micro = _scores(pooled, 1.0, "micro", zero, _Warnings("micro", warn_for))
    averages = [("accuracy" if micro_is_accuracy else "micro avg", *(float(score[0]) for score in micro), support)]
    averages.append(("macro avg", *(_mean(score, None) for score in scores), support))
    averages.append(("weighted avg", *(_mean(score, sums[2]) for score in scores), support))
    if targets.multilabel:
        by_row = _scores(
            _sums(targets, labels if given else None, "samples"), 1.0, "samples", zero, _Warnings("samples", warn_for)
        )
        averages.append(("samples avg", *(_mean(score, targets.sample_weight) for score in by_row), support))
    if output_dict:
        headers = ("precision", "recall", "f1-score", "support")
        report = {name: dict(zip(headers, map(float, values), strict=True)) for name, *values in rows + averages}
        if micro_is_accuracy:
            report["accuracy"] = report["accuracy"]["precision"]
        return report
    return _layout(rows, averages, micro_is_accuracy, digits)


def _layout(rows, averages, micro_is_accuracy, digits):
    width = max(len("weighted avg"), digits, *(len(name) for name, *_ in rows))

    def line(name, precision, recall, fscore, support):
        return f"{name:>{width}s}  {precision:>9} {recall:>9} {fscore:>9} {support:>9}\n"

    def scores(name, *values):
        return line(name, *(f"{value:.{digits}f}" for value in values[:3]), values[3])

    lines = [line("", "precision", "recall", "f1-score", "support"), "\n"]
    lines += [scores(*row) for row in rows]
    lines.append("\n")
    if micro_is_accuracy:
        name, _, _, accuracy, support = averages[0]
        lines.append(line(name, "", "", f"{accuracy:.{digits}f}", support))
    lines += [scores(*row) for row in averages[micro_is_accuracy:]]
    return "".join(lines)


def _check_common(labels, pos_label, average, zero_division):
    check_choice(average, "average", _AVERAGES)
    zero_division_value(zero_division)
    if labels is not None:
        check_array_like(labels, "labels")
    if not (pos_label is None or isinstance(pos_label, (numbers.Real, str, bool, np.bool_))):
        raise InvalidParameterError(f"pos_label must be a number or a string, got {pos_label!r}")


def _positive(targets, pos_label):
    if targets.kind != "binary":
        choices = ", ".join(repr(a) for a in _AVERAGES if a != "binary" and (targets.multilabel or a != "samples"))
        raise ValueError(f"average must be one of {choices} for {targets.kind} targets, got 'binary'")
    present = targets.labels.tolist()
    if pos_label not in present and len(present) >= 2:
        raise ValueError(f"pos_label must be one of {present}, got {pos_label!r}")
    return pos_label


def _sums(targets, labels, average):
    """(true positives, predicted, true) of each class of `labels`, of each row, or of all."""
    if average == "samples":
        if not targets.multilabel:
            raise ValueError("average='samples' needs indicator matrices, got one label a row")
        return targets.row_sums(None if labels is None else targets.columns(labels))
    sums = targets.class_sums
    if labels is not None:
        if targets.multilabel:
            index = targets.columns(labels)
        elif average == "binary":
            present = targets.labels.tolist()
            index = np.array([present.index(labels[0]) if labels[0] in present else -1])
        else:
            index = positions(targets.labels, labels)
        sums = tuple(np.where(index >= 0, one[index], 0) for one in sums)
    return _pool(sums) if average == "micro" else sums


def _pool(sums):
    return tuple(one.sum(keepdims=True) for one in sums)


class _Warnings:
    """Warns for undefined scores as scikit-learn words it."""

    def __init__(self, average, warn_for):
        self.average = average
        self.warn_for = warn_for

    def __call__(self, metric, modifier, n_scores):
        if metric not in self.warn_for:
            return
        one, each = ("label", "sample") if self.average == "samples" else ("sample", "label")
        where = "due to" if n_scores == 1 else f"in {each}s with"
        warn(
            f"{metric.capitalize()} is ill-defined and being set to 0.0 {where} no {modifier} {one}s. "
            "Use `zero_division` parameter to control this behavior.",
            UndefinedMetricWarning,
        )


def _scores(sums, beta, average, zero, warned):
    """(precision, recall, F-beta) from (true positives, predicted, true)."""
    tp, predicted, true = sums
    precision = _divide(tp, predicted, zero, warned, "precision", "predicted")
    recall = _divide(tp, true, zero, warned, "recall", "true")
    if math.isinf(beta):
        return precision, recall, recall
    if beta == 0:
        return precision, recall, precision
    square = beta * beta
    fscore = _divide((1.0 + square) * tp, square * true + predicted, zero, warned, "f-score", "true nor predicted")
    return precision, recall, fscore


def _divide(numerator, denominator, zero, warned, metric, modifier):
    defined = denominator != 0
    if defined.all():
        return numerator / denominator
    warned(metric, modifier, len(denominator))
    return np.divide(numerator, denominator, out=np.full(len(denominator), zero), where=defined)


def _mean(scores, weights):
    """Mean over the scores that are not nan; nan if there are none."""
    defined = ~np.isnan(scores)
    if not defined.all():
        scores = scores[defined]
        weights = None if weights is None else weights[defined]
    if not len(scores):
        return math.nan
    if weights is None:
        return float(scores.mean())
    total = weights.sum(dtype=np.float64)
    # all weights zero: every class counts the same
    return float((scores * weights).sum() / total) if total else float(scores.mean())
