"""Scores of classes from sums over rows, and their averages: what precision, recall, F and Jaccard share."""

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.metrics._labels import ManyLabelsARow, Targets, positions
from fasttrain.metrics._validation import check_array_like, check_choice, zero_division_value

_Array = NDArray[Any]
_Sums = tuple[_Array, _Array, _Array]

_AVERAGES = (None, "binary", "micro", "macro", "weighted", "samples")


def check_options(labels: Any, pos_label: Any, average: Any, zero_division: Any) -> None:
    """Refuse options that no data could fit."""
    check_choice(average, "average", _AVERAGES)
    zero_division_value(zero_division)
    if labels is not None:
        check_array_like(labels, "labels")
    if not (pos_label is None or isinstance(pos_label, (numbers.Real, str, bool, np.bool_))):
        raise InvalidParameterError(f"pos_label must be a number or a string, got {pos_label!r}")


def chosen_labels(
    targets: Targets, labels: Any, pos_label: Any, average: str | None
) -> Any:
    """`labels`, or the positive one where the average is 'binary'."""
    if average == "binary":
        return [_positive(targets, pos_label)]
    if pos_label not in (None, 1):
        warn(
            f"pos_label (set to {pos_label!r}) is ignored when average != 'binary' (got {average!r}); "
            "labels=[pos_label] selects one positive class",
            UserWarning,
        )
    return labels


def _positive(targets: Targets, pos_label: Any) -> Any:
    if targets.kind != "binary":
        choices = ", ".join(
            repr(a) for a in _AVERAGES if a != "binary" and (targets.multilabel or a != "samples")
        )
        raise ValueError(f"average must be one of {choices} for {targets.kind} targets, got 'binary'")
    present = targets.labels.tolist()
    if pos_label not in present and len(present) >= 2:
        raise ValueError(f"pos_label must be one of {present}, got {pos_label!r}")
    return pos_label


def sums_of(targets: Targets, labels: Any, average: str | None) -> _Sums:
    """(true positives, predicted, true) of each class of `labels`, of each row, or of all."""
    if average == "samples":
        if not isinstance(targets, ManyLabelsARow):
            raise InvalidParameterError("average='samples' needs indicator matrices, got one label a row")
        return targets.row_sums(None if labels is None else targets.columns(labels))
    sums = targets.class_sums
    if labels is not None:
        if isinstance(targets, ManyLabelsARow):
            index = targets.columns(labels)
        elif average == "binary":
            present = targets.labels.tolist()
            index = np.array([present.index(labels[0]) if labels[0] in present else -1])
        else:
            index = positions(targets.labels, labels)
        tp, predicted, true = sums
        found = index >= 0
        sums = found * tp[index], found * predicted[index], found * true[index]
    return pool(sums) if average == "micro" else sums


def pool(sums: _Sums) -> _Sums:
    """The sums over all classes, as one class."""
    tp, predicted, true = sums
    return tp.sum(keepdims=True), predicted.sum(keepdims=True), true.sum(keepdims=True)


class UndefinedWarnings:
    """Warns for undefined scores as scikit-learn words it."""

    def __init__(self, average: str | None, warn_for: tuple[str, ...] | list[str] | set[str]) -> None:
        self.average = average
        self.warn_for = warn_for

    def __call__(self, metric: str, modifier: str, n_scores: int) -> None:
        if metric not in self.warn_for:
            return
        one, each = ("label", "sample") if self.average == "samples" else ("sample", "label")
        where = "due to" if n_scores == 1 else f"in {each}s with"
        warn(
            f"{metric.capitalize()} is ill-defined and being set to 0.0 {where} no {modifier} {one}s. "
            "Use `zero_division` parameter to control this behavior.",
            UndefinedMetricWarning,
        )


def scores_of(sums: _Sums, beta: float, zero: float, warned: UndefinedWarnings) -> _Sums:
    """(precision, recall, F-beta) from (true positives, predicted, true)."""
    tp, predicted, true = sums
    precision = divide(tp, predicted, zero, warned, "precision", "predicted")
    recall = divide(tp, true, zero, warned, "recall", "true")
    if math.isinf(beta):
        return precision, recall, recall
    if beta == 0:
        return precision, recall, precision
    square = beta * beta
    fscore = divide(
        (1.0 + square) * tp, square * true + predicted, zero, warned, "f-score", "true nor predicted"
    )
    return precision, recall, fscore


def divide(
    numerator: _Array, denominator: _Array, zero: float, warned: UndefinedWarnings, metric: str, modifier: str
) -> _Array:
    quotient = np.full(len(denominator), zero)
    defined = denominator != 0
    if not defined.all():
        warned(metric, modifier, len(denominator))
    np.divide(numerator, denominator, out=quotient, where=defined)
    return quotient


def mean_of(scores: _Array, weights: _Array | None) -> float:
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
