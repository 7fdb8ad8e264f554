"""Where to cut a binary score: counts at every threshold, the best threshold, Kolmogorov-Smirnov, gain and lift.

All is read off the one descent through the rows in the order of their scores that :func:`~fasttrain.metrics.roc_curve`
takes, and by its rule: a row is predicted positive when its score is at least the threshold.  Thresholds are the
distinct scores, and infinity, at which nothing is positive.

scikit-learn 1.9 has the counts (``confusion_matrix_at_thresholds``), and ``metric_at_thresholds``, which calls a
metric of labels once for each threshold, in time that grows with the square of the number of rows.
:func:`best_threshold` evaluates all thresholds in one go, and takes any function of the counts.
``TunedThresholdClassifierCV`` asks for an estimator, and looks at thresholds on a grid.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.metrics._validation import check_choice
from fasttrain.metrics.ranking import descent, rate

__all__ = ["best_threshold", "confusion_matrix_at_thresholds", "gain_curve", "ks_statistic", "lift_curve"]

_Array = NDArray[Any]
_Label = float | str | bool
# of (tn, fp, fn, tp), each of shape (n_thresholds,)
_Objective = Callable[[_Array, _Array, _Array, _Array], Any]


def confusion_matrix_at_thresholds(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[_Array, _Array, _Array, _Array, _Array]:
    """True and false negatives and positives at each distinct score.

    Parameters
    ----------
    y_true, y_score, pos_label, sample_weight
        As for :func:`roc_curve`.

    Returns
    -------
    tns, fps, fns, tps : float64 ndarray of shape (n_thresholds,)
        Rows, or sums of their weights: negative below the threshold, negative from it on, positive below it,
        positive from it on.
    thresholds : ndarray of shape (n_thresholds,)
        The distinct scores, falling, of the dtype of ``y_score``.

    Raises
    ------
    ValueError, TypeError
        As :func:`roc_curve`.

    Examples
    --------
    >>> from fasttrain.metrics import confusion_matrix_at_thresholds
    >>> tns, fps, fns, tps, thresholds = confusion_matrix_at_thresholds([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> tps.tolist(), fps.tolist(), thresholds.tolist()
    ([1.0, 1.0, 2.0, 2.0], [0.0, 1.0, 1.0, 2.0], [0.8, 0.4, 0.35, 0.1])
    """
    tps, fps, thresholds = descent(y_true, y_score, pos_label, sample_weight)
    tps, fps = tps.astype(np.float64, copy=False), fps.astype(np.float64, copy=False)
    return fps[-1] - fps, fps, tps[-1] - tps, tps, thresholds


def best_threshold(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    objective: Literal["fbeta", "youden", "cost"] | _Objective = "fbeta",
    beta: float = 1.0,
    cost_fp: float = 1.0,
    cost_fn: float = 1.0,
    cost_tp: float = 0.0,
    cost_tn: float = 0.0,
    prevalence: float | None = None,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, float]:
    """The threshold of a score that serves an objective best: predict positive when the score is at least it.

    Parameters
    ----------
    y_true, y_score, pos_label, sample_weight
        As for :func:`roc_curve`.
    objective : {'fbeta', 'youden', 'cost'} or callable, default 'fbeta'
        With the counts (or sums of weights) tn, fp, fn, tp at a threshold:

        - ``'fbeta'``: the largest ``(1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp)``;
        - ``'youden'``: the largest ``J = tp / (tp + fn) - fp / (fp + tn)`` (Youden 1950);
        - ``'cost'``: the lowest mean cost of a row,
          ``(cost_fp fp + cost_fn fn + cost_tp tp + cost_tn tn) / (tn + fp + fn + tp)``;
        - a function ``objective(tn, fp, fn, tp)`` of four float64 arrays of shape (n_thresholds + 1,), for infinity
          and the distinct scores, falling: the largest of the values that it returns, nan passed over.
    beta : float, default 1.0
        Weight of recall in F-beta, at least 0: 1 gives F1, 0 precision, infinity recall.
    cost_fp, cost_fn, cost_tp, cost_tn : float
        Costs of a false positive, a false negative, a true positive, a true negative; negative ones are gains.
    prevalence : float in (0, 1), optional
        Share of positive rows where the threshold will be used; that of the data if not given.  The counts of the
        two classes are scaled to sums of ``prevalence`` and ``1 - prevalence``.  J does not depend on it.

    Returns
    -------
    threshold : float
        One of the scores, or infinity where it is best to predict nothing positive.  Of thresholds with the same
        value (in float64) the highest, which predicts the fewest rows positive.
    value : float
        Of the objective there.  F-beta is 0, with an ``UndefinedMetricWarning``, where no row is positive; the
        threshold and J are nan, with that warning, where one class only is present.

    Raises
    ------
    ValueError, TypeError
        As :func:`roc_curve`; bad options; ``prevalence`` where one class only is present; another shape of values
        than one for each threshold.

    Notes
    -----
    The value is that of the rows which the threshold was chosen on, so it flatters: choose on rows that are not
    those for the final evaluation.  For calibrated probabilities the expected cost is lowest at ``(cost_fp -
    cost_tn) / (cost_fp - cost_tn + cost_fn - cost_tp)``, without any data (Elkan 2001).

    Examples
    --------
    >>> from fasttrain.metrics import best_threshold
    >>> y_true, y_score = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    >>> best_threshold(y_true, y_score)
    (0.35, 0.8)
    >>> best_threshold(y_true, y_score, objective="cost", cost_fp=5.0)
    (0.8, 0.25)
    >>> best_threshold(y_true, y_score, objective="cost", cost_fn=0.0)
    (inf, 0.0)

    The largest recall at a precision of at least 0.6:

    >>> import numpy as np
    >>> def recall(tn, fp, fn, tp):
    ...     return np.where(tp >= 0.6 * (tp + fp), tp / (tp + fn), np.nan)
    >>> best_threshold(y_true, y_score, objective=recall)
    (0.35, 1.0)
    """
    if not callable(objective):
        check_choice(objective, "objective", ("fbeta", "youden", "cost"))
    if not isinstance(beta, numbers.Real) or not beta >= 0:
        raise InvalidParameterError(f"beta must be a number of at least 0, got {beta!r}")
    costs = {"cost_fp": cost_fp, "cost_fn": cost_fn, "cost_tp": cost_tp, "cost_tn": cost_tn}
    for name, cost in costs.items():
        if not isinstance(cost, numbers.Real) or not math.isfinite(cost):
            raise InvalidParameterError(f"{name} must be a finite number, got {cost!r}")
    if prevalence is not None and (not isinstance(prevalence, numbers.Real) or not 0 < prevalence < 1):
        raise InvalidParameterError(f"prevalence must lie between 0 and 1, got {prevalence!r}")
    tps, fps, thresholds = descent(y_true, y_score, pos_label, sample_weight)
    if prevalence is not None and (tps[-1] == 0 or fps[-1] == 0):
        raise ValueError("y_true must hold rows of both classes where prevalence is given")
    if objective == "youden":
        if tps[-1] == 0 or fps[-1] == 0:
            return _undefined("Youden's J")
        return _highest(_rate_differences(_from_nothing(tps), _from_nothing(fps)), thresholds)
    tp, fp = _from_nothing(tps, np.float64), _from_nothing(fps, np.float64)
    if prevalence is not None:
        tp *= prevalence / tp[-1]
        fp *= (1.0 - prevalence) / fp[-1]
    if objective == "fbeta":
        if tp[-1] == 0:
            warn("F-beta is not defined where no row of y_true is positive.", UndefinedMetricWarning)
            return math.inf, 0.0
        return _highest(_fbeta(tp, fp, float(beta)), thresholds)
    fn, tn = tp[-1] - tp, fp[-1] - fp
    if objective == "cost":
        saved = -(cost_fp * fp + cost_fn * fn + cost_tp * tp + cost_tn * tn)
        threshold, most = _highest(saved, thresholds)
        return threshold, 0.0 - most / float(tp[-1] + fp[-1])
    assert callable(objective)
    values = np.asarray(objective(tn, fp, fn, tp), dtype=np.float64)
    if values.shape != tp.shape:
        raise ValueError(f"objective must return an array of shape {tp.shape}, got {values.shape}")
    if np.isnan(values).all():
        return _undefined("The objective")
    return _highest(values, thresholds)


def ks_statistic(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, float]:
    """Kolmogorov-Smirnov: the largest distance between the distributions of scores of the two classes.

    ``D = max_t |tpr(t) - fpr(t)|``, over the rates of positive and of negative rows whose score is at least t.  A
    score that ranks the classes the wrong way round has a large D too.

    Parameters
    ----------
    y_true, y_score, pos_label, sample_weight
        As for :func:`roc_curve`.

    Returns
    -------
    statistic : float
        In [0, 1]; nan, with an ``UndefinedMetricWarning``, where one class only is present.
    threshold : float
        The highest score t at which it is reached; infinity if the distributions are the same; nan with nan.

    Raises
    ------
    ValueError, TypeError
        As :func:`roc_curve`.

    Notes
    -----
    The statistic is that of ``scipy.stats.ks_2samp``, which names as its place the score below the threshold, since
    its distributions count the rows up to a score.

    Examples
    --------
    >>> from fasttrain.metrics import ks_statistic
    >>> ks_statistic([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    (0.5, 0.8)
    """
    tps, fps, thresholds = descent(y_true, y_score, pos_label, sample_weight)
    if tps[-1] == 0 or fps[-1] == 0:
        return _undefined("The Kolmogorov-Smirnov statistic")
    distances = np.abs(_rate_differences(_from_nothing(tps), _from_nothing(fps)))
    threshold, statistic = _highest(distances, thresholds)
    return statistic, threshold


def gain_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[_Array, _Array, _Array]:
    """Cumulative gain: the share of positive rows that are captured by targeting the rows with the highest scores.

    Parameters
    ----------
    y_true, y_score, pos_label, sample_weight
        As for :func:`roc_curve`.

    Returns
    -------
    targeted : float64 ndarray of shape (n_thresholds + 1,)
        Share of all rows, or of their weights, whose score is at least the threshold.
    captured : float64 ndarray of shape (n_thresholds + 1,)
        Share of the positive rows among them; nan, with an ``UndefinedMetricWarning``, where no row is positive.
    thresholds : float64 ndarray of shape (n_thresholds + 1,)
        The distinct scores, falling, after infinity, at which nothing is targeted.

    Raises
    ------
    ValueError, TypeError
        As :func:`roc_curve`.

    Examples
    --------
    >>> from fasttrain.metrics import gain_curve
    >>> targeted, captured, thresholds = gain_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> targeted.tolist(), captured.tolist()
    ([0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    tps, fps, thresholds = descent(y_true, y_score, pos_label, sample_weight)
    captured = rate(tps, "positive")
    n_targeted = _from_nothing(tps + fps)
    return n_targeted / n_targeted[-1], captured, np.concatenate([[np.inf], thresholds.astype(np.float64, copy=False)])


def lift_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: _Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[_Array, _Array, _Array]:
    """Lift: how many times as many positive rows are captured as by targeting as many rows at random.

    ``lift = captured / targeted`` of :func:`gain_curve`, which is the precision over the share of positive rows.

    Parameters
    ----------
    y_true, y_score, pos_label, sample_weight
        As for :func:`roc_curve`.

    Returns
    -------
    targeted, lift : float64 ndarray of shape (n_thresholds,)
        Share of rows targeted, rising to 1, and lift, ending at 1.  The lift is nan, with an
        ``UndefinedMetricWarning``, where no row is positive.
    thresholds : float64 ndarray of shape (n_thresholds,)
        The distinct scores, falling: there is no lift at infinity, where nothing is targeted.

    Raises
    ------
    ValueError, TypeError
        As :func:`roc_curve`.

    Examples
    --------
    >>> from fasttrain.metrics import lift_curve
    >>> targeted, lift, thresholds = lift_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> lift.round(4).tolist(), thresholds.tolist()
    ([2.0, 1.0, 1.3333, 1.0], [0.8, 0.4, 0.35, 0.1])
    """
    targeted, captured, thresholds = gain_curve(y_true, y_score, pos_label=pos_label, sample_weight=sample_weight)
    # rows without weight have no threshold: never 0 / 0
    return targeted[1:], captured[1:] / targeted[1:], thresholds[1:]


def _from_nothing(counts: _Array, dtype: Any = None) -> _Array:
    """The counts at infinity and at the thresholds."""
    every = np.empty(len(counts) + 1, dtype=dtype or counts.dtype)
    every[0] = 0
    every[1:] = counts
    return every


def _fbeta(tp: _Array, fp: _Array, beta: float) -> _Array:
    """F-beta, 0 without true positives; equal ones are equal floats where the counts and beta are integers."""
    squared = beta * beta
    if squared > 1e100:  # no digit of it is but of recall
        return tp / tp[-1]
    value = tp + fp
    value += squared * tp[-1]
    value[0] = value[0] or 1.0  # of beta 0
    np.divide(tp, value, out=value)
    value *= 1.0 + squared
    return value


def _rate_differences(tps: _Array, fps: _Array) -> _Array:
    """True less false positive rates; equal ones are equal floats where counts are integers."""
    if tps.dtype.kind == "i":  # of fewer than 2^32 rows, so that products fit
        return (tps * fps[-1] - fps * tps[-1]) / (float(tps[-1]) * float(fps[-1]))
    return tps / tps[-1] - fps / fps[-1]


def _highest(values: _Array, thresholds: _Array) -> tuple[float, float]:
    """(the highest threshold with the largest value, that value)."""
    best = int(np.nanargmax(values))
    return float(thresholds[best - 1]) if best else math.inf, float(values[best])


def _undefined(what: str) -> tuple[float, float]:
    warn(f"{what} is not defined for this y_true.", UndefinedMetricWarning)
    return math.nan, math.nan
