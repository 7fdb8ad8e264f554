"""How far two labellings of the same rows agree, in one or two numbers.

Each is a function of the table of pairs of labels that one pass over the data gives
(:mod:`fasttrain.metrics._labels`); names, arguments, answers, warnings and errors are scikit-learn's.
"""

import math
import numbers
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.metrics._labels import ManyLabelsARow, OneLabelARow, check_targets
from fasttrain.metrics._validation import check_array_like, check_boolean, check_choice
from fasttrain.metrics.classification import table_of_labels

__all__ = [
    "balanced_accuracy_score",
    "class_likelihood_ratios",
    "cohen_kappa_score",
    "hamming_loss",
    "matthews_corrcoef",
    "zero_one_loss",
]

_Array = NDArray[Any]


def balanced_accuracy_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    adjusted: bool = False,
) -> float:
    """Mean of the classes' recalls, so that each class counts the same however many rows it has.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Labels: integers of any width, bool, strings, floats that hold integers.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    adjusted : bool, default False
        Scale so that guessing gives 0 and perfect predictions 1: ``(score - 1/k) / (1 - 1/k)`` for k classes
        in ``y_true``; where there is one, nan for perfect predictions and -infinity for others.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As :func:`confusion_matrix`.

    Warns
    -----
    UserWarning
        ``y_pred`` has classes that ``y_true`` has not, which are left out; all rows have one label.

    Examples
    --------
    >>> from fasttrain.metrics import balanced_accuracy_score
    >>> balanced_accuracy_score([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1])
    0.625
    """
    check_boolean(adjusted, "adjusted")
    matrix = table_of_labels(_label_pairs(y_true, y_pred, sample_weight))
    right, true = matrix.diagonal(), matrix.sum(axis=1)
    occurs = true != 0
    if not occurs.all():
        warn("y_pred contains classes not in y_true", UserWarning)
        right, true = right[occurs], true[occurs]
    score = float((right / true).mean())
    if not adjusted:
        return score
    chance = 1.0 / len(true)
    if len(true) == 1:
        return math.nan if score == 1 else -math.inf
    return (score - chance) / (1.0 - chance)


def cohen_kappa_score(
    y1: ArrayLike,
    y2: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    weights: Literal["linear", "quadratic"] | None = None,
    sample_weight: ArrayLike | None = None,
    replace_undefined_by: float = np.nan,
) -> float:
    """Cohen's kappa: agreement of two annotators beyond what their own frequencies give by chance.

    ``1 - sum_ij d_ij n_ij / sum_ij d_ij e_ij``, where n is the table of pairs, e_ij the product of its sums
    over row i and column j divided by its sum, and d_ij is 1 off the diagonal and 0 on it, or |i - j|, or
    (i - j)^2.

    Parameters
    ----------
    y1, y2 : array-like of shape (n_rows,)
        Labels: integers of any width, bool, strings, floats that hold integers.
    labels : array-like of shape (n_labels,), optional
        The labels that count, in the order that ``weights`` measure by; all that occur, sorted, if not given.
    weights : {'linear', 'quadratic'}, optional
        How the distance of two labels weighs; None: all disagreements alike.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    replace_undefined_by : float in [-1, 1] or nan, default nan
        What 0 / 0 is; it is warned of.

    Returns
    -------
    float
        At most 1; 0 for chance.

    Raises
    ------
    ValueError, TypeError
        As :func:`confusion_matrix`.

    Examples
    --------
    >>> from fasttrain.metrics import cohen_kappa_score
    >>> cohen_kappa_score(["no", "yes", "yes", "no"], ["no", "yes", "no", "no"])
    0.5
    """
    check_choice(weights, "weights", ("linear", "quadratic", None))
    undefined = replace_undefined_by
    if not isinstance(undefined, numbers.Real) or not (-1 <= undefined <= 1 or math.isnan(undefined)):
        raise InvalidParameterError(f"replace_undefined_by must be in [-1, 1] or nan, got {undefined!r}")
    if labels is not None:
        check_array_like(labels, "labels")
    targets = _label_pairs(y1, y2, sample_weight, ("y1", "y2"))
    matrix = table_of_labels(targets, labels, "y1").astype(np.float64)
    columns, rows = matrix.sum(axis=0), matrix.sum(axis=1)
    total = columns.sum()
    if total == 0:
        warn(
            "y2 holds no labels that are in both y1 and labels: cohen_kappa_score is undefined and set to "
            f"replace_undefined_by, {undefined!r}",
            UndefinedMetricWarning,
        )
        return undefined
    place = np.arange(len(matrix), dtype=np.float64)
    distance = np.abs(place[:, np.newaxis] - place)
    if weights is None:
        distance = np.minimum(distance, 1.0)
    elif weights == "quadratic":
        distance *= distance
    expected = (distance * (np.outer(columns, rows) / total)).sum()
    if expected == 0:
        warn(
            "y1, y2 and labels have but one label in common: cohen_kappa_score is undefined and set to "
            f"replace_undefined_by, {undefined!r}",
            UndefinedMetricWarning,
        )
        return undefined
    return float(1.0 - (distance * matrix).sum() / expected)


def matthews_corrcoef(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Matthews' correlation coefficient of true and predicted classes, for any number of them.

    ``(c s - sum_k t_k p_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))``, where s is the number of rows
    (or the sum of their weights), c that of the rows predicted right, t_k that of class k in ``y_true`` and
    p_k in ``y_pred``; 0 where either vector holds one class only.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Labels: integers of any width, bool, strings, floats that hold integers.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float
        From -1 to 1; 1 for perfect predictions, 0 for chance.

    Raises
    ------
    ValueError, TypeError
        As :func:`confusion_matrix`.

    Examples
    --------
    >>> from fasttrain.metrics import matthews_corrcoef
    >>> matthews_corrcoef([1, 1, 1, -1], [1, -1, 1, 1])
    -0.3333333333333333
    """
    matrix = table_of_labels(_label_pairs(y_true, y_pred, sample_weight))
    true, predicted = matrix.sum(axis=1, dtype=np.float64), matrix.sum(axis=0, dtype=np.float64)
    total = predicted.sum()
    spread = (total**2 - np.dot(predicted, predicted)) * (total**2 - np.dot(true, true))
    if spread == 0:
        return 0.0
    covariance = matrix.trace(dtype=np.float64) * total - np.dot(true, predicted)
    return float(covariance / np.sqrt(spread))


def class_likelihood_ratios(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    replace_undefined_by: float | dict[str, float] = np.nan,
) -> tuple[float, float]:
    """Likelihood ratios of two classes, ``(LR+, LR-)``.

    ``LR+ = (tp / (tp + fn)) / (fp / (tn + fp))``: how much a positive prediction raises the odds of the
    positive class; ``LR- = (fn / (tp + fn)) / (tn / (tn + fp))``: how much a negative one lowers them.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Labels of two classes: integers of any width, bool, strings, floats that hold integers.
    labels : array-like of shape (2,), optional
        The negative and the positive class; the two that occur, sorted, if not given.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    replace_undefined_by : nan, 1.0 or dict, default nan
        What an undefined ratio is: nan or 1 for both, or ``{"LR+": a, "LR-": b}`` with a at least 1 or nan
        and b in [0, 1] or nan.

    Returns
    -------
    LR+, LR- : float

    Raises
    ------
    ValueError, TypeError
        As :func:`confusion_matrix`; other than two classes.

    Warns
    -----
    UndefinedMetricWarning
        No row of the positive class, no false positive, or no true negative.

    Examples
    --------
    >>> from fasttrain.metrics import class_likelihood_ratios
    >>> class_likelihood_ratios(["no", "yes", "no", "yes", "no"], ["yes", "yes", "no", "no", "no"])
    (1.5, 0.75)
    """
    if labels is not None:
        check_array_like(labels, "labels")
    replacements = _replacements(replace_undefined_by)
    targets = _label_pairs(y_true, y_pred, sample_weight)
    if targets.kind != "binary":
        raise ValueError(f"y_true and y_pred must hold two classes, got {len(targets.labels)}")
    n_classes = len(targets.labels if labels is None else np.asarray(labels))
    if n_classes != 2:
        raise ValueError(f"y_true and y_pred, or labels, must hold two classes, got {n_classes}")
    matrix = table_of_labels(targets, labels)
    # in float64: products of int64 counts overflow from 2^32 rows on
    tn, fp, fn, tp = matrix.ravel().tolist()
    positives, negatives = float(tp + fn), float(tn + fp)
    if positives == 0:
        warn(
            "LR+ and LR- are ill-defined: y_true holds no row of the positive class. Use the "
            "`replace_undefined_by` parameter to control this behavior.",
            UndefinedMetricWarning,
        )
    ratios = []
    for name, numerator, denominator, missing in (
        ("LR+", tp, fp, "no row is predicted positive" if tp == 0 else "no negative row is predicted positive"),
        ("LR-", fn, tn, "no negative row is predicted negative"),
    ):
        if denominator == 0:
            warn(
                f"{name} is ill-defined: {missing}. Use the `replace_undefined_by` parameter to control this "
                "behavior.",
                UndefinedMetricWarning,
            )
            ratios.append(replacements[name])
        elif positives == 0:
            ratios.append(math.nan)
        else:
            ratios.append(numerator * negatives / (denominator * positives))
    return ratios[0], ratios[1]


def _replacements(value: Any) -> dict[str, float]:
    if isinstance(value, dict):
        positive, negative = value.get("LR+"), value.get("LR-")
        if isinstance(positive, numbers.Real) and isinstance(negative, numbers.Real):
            replacements = {"LR+": float(positive), "LR-": float(negative)}
            if not (replacements["LR+"] < 1 or replacements["LR-"] < 0 or replacements["LR-"] > 1):
                return replacements
        raise ValueError(
            "replace_undefined_by must be {'LR+': a, 'LR-': b} with a at least 1 or nan and b in [0, 1] or "
            f"nan, got {value!r}"
        )
    if not isinstance(value, numbers.Real) or not (value == 1 or math.isnan(value)):
        raise InvalidParameterError(f"replace_undefined_by must be nan, 1.0 or a dict, got {value!r}")
    return dict.fromkeys(("LR+", "LR-"), float(value))


def hamming_loss(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Share of labels that are predicted wrong.

    ``sum_i w_i |labels of row i that are wrong| / (n_labels sum_i w_i)``; of vectors, with one label a row,
    the share of rows.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or indicator matrices.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy_score`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.metrics import hamming_loss
    >>> hamming_loss([1, 2, 3, 4], [2, 2, 3, 4])
    0.25
    >>> hamming_loss(np.array([[0, 1], [1, 1]]), np.zeros((2, 2)))
    0.75
    """
    wrong, total = check_targets(y_true, y_pred, sample_weight).wrong_labels_and_all()
    return wrong / total


def zero_one_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of rows that are predicted wrong, ``1 - accuracy_score(...)``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_labels)
        Labels (integers of any width, bool, strings, floats that hold integers) or indicator matrices; a row
        of these is right if all of its labels are.
    normalize : bool, default True
        False gives the number of rows that are wrong, or the sum of their weights.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy_score`.

    Examples
    --------
    >>> from fasttrain.metrics import zero_one_loss
    >>> zero_one_loss([1, 2, 3, 4], [2, 2, 3, 4])
    0.25
    >>> zero_one_loss([1, 2, 3, 4], [2, 2, 3, 4], normalize=False)
    1.0
    """
    check_boolean(normalize, "normalize")
    wrong, total = check_targets(y_true, y_pred, sample_weight).wrong_and_all()
    return wrong / total if normalize else wrong


def _label_pairs(
    y_true: Any, y_pred: Any, sample_weight: Any, names: tuple[str, str] = ("y_true", "y_pred")
) -> OneLabelARow:
    targets = check_targets(y_true, y_pred, sample_weight, names)
    if isinstance(targets, ManyLabelsARow):
        raise InvalidParameterError(f"{names[0]} and {names[1]} must be labels, got indicator matrices")
    return targets
