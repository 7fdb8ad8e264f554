"""The classification report: precision, recall, F1 and support of every class, as a text or a dict."""

import numbers
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from fasttrain.exceptions import warn
from fasttrain.metrics._class_scores import (
    UndefinedWarnings,
    check_options,
    mean_of,
    pool,
    scores_of,
    sums_of,
)
from fasttrain.metrics._labels import check_targets
from fasttrain.metrics._validation import check_array_like, check_boolean, check_number, zero_division_value

__all__ = ["classification_report"]

_ZeroDivision = float | Literal["warn"]


@overload
def classification_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    target_names: Any = None,
    sample_weight: ArrayLike | None = None,
    digits: int = 2,
    output_dict: Literal[False] = False,
    zero_division: _ZeroDivision = "warn",
) -> str: ...
@overload
def classification_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    target_names: Any = None,
    sample_weight: ArrayLike | None = None,
    digits: int = 2,
    output_dict: Literal[True],
    zero_division: _ZeroDivision = "warn",
) -> dict[str, Any]: ...
def classification_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    target_names: Any = None,
    sample_weight: ArrayLike | None = None,
    digits: int = 2,
    output_dict: bool = False,
    zero_division: _ZeroDivision = "warn",
) -> str | dict[str, Any]:
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
    check_options(labels, 1, None, zero_division)
    check_boolean(output_dict, "output_dict")
    check_number(digits, "digits", numbers.Integral)
    if target_names is not None:
        check_array_like(target_names, "target_names")
    targets = check_targets(y_true, y_pred, sample_weight)
    classes = targets.labels if labels is None else np.asarray(labels)
    micro_is_accuracy = not targets.multilabel and (
        labels is None or set(classes.tolist()) >= set(targets.labels.tolist())
    )
    if target_names is None:
        target_names = [str(label) for label in classes]
    elif len(classes) != len(target_names):
        message = f"target_names must name {len(classes)} classes, got {len(target_names)} names"
        if labels is None:
            raise ValueError(f"{message}; the argument labels gives other classes than those that occur")
        warn(message, UserWarning)

    zero = zero_division_value(zero_division)
    warn_for = ("precision", "recall", "f-score") if zero_division == "warn" else ()
    sums = sums_of(targets, labels, None)
    scores = scores_of(sums, 1.0, zero, UndefinedWarnings(None, warn_for))
    rows = [(str(name), *values) for name, *values in zip(target_names, *scores, sums[2], strict=False)]
    micro = scores_of(pool(sums), 1.0, zero, UndefinedWarnings("micro", warn_for))
    total = sums[2].sum()
    averages = [
        ("accuracy" if micro_is_accuracy else "micro avg", *(float(score[0]) for score in micro), total),
        ("macro avg", *(mean_of(score, None) for score in scores), total),
        ("weighted avg", *(mean_of(score, sums[2]) for score in scores), total),
    ]
    if targets.multilabel:
        by_row = scores_of(sums_of(targets, labels, "samples"), 1.0, zero, UndefinedWarnings("samples", warn_for))
        averages.append(("samples avg", *(mean_of(score, targets.sample_weight) for score in by_row), total))
    if output_dict:
        headers = ("precision", "recall", "f1-score", "support")
        report: dict[str, Any] = {
            name: dict(zip(headers, map(float, values), strict=True)) for name, *values in rows + averages
        }
        if micro_is_accuracy:
            report["accuracy"] = report["accuracy"]["precision"]
        return report
    return _layout(rows, averages, micro_is_accuracy, digits)


def _layout(
    rows: list[tuple[Any, ...]], averages: list[tuple[Any, ...]], micro_is_accuracy: bool, digits: int
) -> str:
    width = max(len("weighted avg"), digits, *(len(name) for name, *_ in rows))

    def line(name: str, precision: str, recall: str, fscore: str, support: Any) -> str:
        return f"{name:>{width}s}  {precision:>9} {recall:>9} {fscore:>9} {support:>9}\n"

    def scores(name: str, precision: float, recall: float, fscore: float, support: Any) -> str:
        shown = [f"{value:.{digits}f}" for value in (precision, recall, fscore)]
        return line(name, shown[0], shown[1], shown[2], support)

    lines = [line("", "precision", "recall", "f1-score", "support"), "\n"]
    lines += [scores(*row) for row in rows]
    lines.append("\n")
    if micro_is_accuracy:
        name, _, _, accuracy, support = averages[0]
        lines.append(line(name, "", "", f"{accuracy:.{digits}f}", support))
    lines += [scores(*row) for row in averages[micro_is_accuracy:]]
    return "".join(lines)
