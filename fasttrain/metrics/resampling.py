"""Intervals by resampling: how far a metric, or the difference of two models, may be off.

The bootstrap draws as many rows as there are, with replacement, and takes the metric of each such resample
(Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993).  Here the rows are sorted or counted once, and a
resample only counts how often each comes up.  The counts have the multinomial distribution exactly; nothing is
subsampled or binned.

Where the data hold few distinct rows (labels, rounded scores), the counts of the distinct ones are drawn, by
binomials; else those of the rows.  Both are the same distribution.
"""

import functools
import inspect
import math
import numbers
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.kernels.bootstrap import cell_counts, resample_counts, resample_sums
from fasttrain.metrics._statistics import Descent, Means, Metric, Rows, Statistic, codes_of, statistic
from fasttrain.metrics._validation import (
    as_array,
    check_array_like,
    check_choice,
    check_lengths,
    check_sample_weight,
)

__all__ = ["BootstrapResult", "bootstrap", "bootstrap_difference"]

_Array = NDArray[Any]
_Floats = NDArray[np.float64]
_Function = str | Callable[..., Any]
_Metrics = _Function | list[_Function] | tuple[_Function, ...] | dict[Any, _Function]

# A binomial costs as much as some tens of draws.
_ROWS_PER_CELL = 64
# Rows that are looked at before all are.
_SAMPLE = 4096
# Counts that are kept at a time.
_COUNTS = 1 << 24


@dataclass(frozen=True)
class BootstrapResult:
    """An estimate, its interval, and the resamples that it is from.

    Attributes
    ----------
    value : float
        The metric of the data themselves.
    low, high : float
        The ends of the interval; nan where it is not defined.
    standard_error : float
        Standard deviation of the replicates.
    replicates : float64 ndarray of shape (n_resamples,)
        The metric of each resample, nan where it is not defined.
    n_undefined : int
        How many of them are nan; they are left out of all else.
    confidence : float
    method : str
    """

    value: float
    low: float
    high: float
    standard_error: float
    replicates: _Floats = field(repr=False, compare=False)
    n_undefined: int
    confidence: float
    method: str


def bootstrap(
    metric: _Metrics,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    seed: int | None = 0,
    sample_weight: ArrayLike | None = None,
    stratify: ArrayLike | bool | None = None,
    groups: ArrayLike | None = None,
    resampling: Literal["multinomial", "poisson"] = "multinomial",
) -> Any:
    """Confidence interval of a metric by resampling the rows.

    Parameters
    ----------
    metric : str, callable, functools.partial, or a list, tuple or dict of them
        A metric of this module by its name or itself, options by :func:`functools.partial`; or any function of
        ``(y_true, y_pred, sample_weight=None)`` that gives one number.  Several are evaluated on the same resamples.
    y_true : array-like of shape (n_rows,) or (n_rows, n_outputs)
    y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Predictions or scores, as the metric takes them.
    n_resamples : int, default 1000
    confidence : float in (0, 1), default 0.95
    method : {'percentile', 'bca'}, default 'percentile'
        The quantiles of the replicates at ``(1 - confidence) / 2`` and the same from above, or at levels corrected for
        bias and skewness (BCa, Efron 1987), the acceleration from the exact jackknife.
    seed : int or None, default 0
        The same seed gives the same resamples, for any number of threads.  None: a new one each time.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.  A row that is drawn brings its weight.
    stratify : array-like of shape (n_rows,) or True, optional
        Strata, each resampled by itself, so that its number of rows stays; True: by ``y_true``.
    groups : array-like of shape (n_rows,), optional
        Groups that are drawn as a whole, as many as there are (in each stratum): for rows that are not independent
        of one another.  A group must lie in one stratum.
    resampling : {'multinomial', 'poisson'}, default 'multinomial'
        As many rows as there are, or a number of each row (or group) of its own, of Poisson's distribution with
        mean 1, so that resamples differ in size.

    Returns
    -------
    BootstrapResult, or a list, tuple or dict of them, as ``metric`` is

    Raises
    ------
    ValueError, TypeError
        What the metric raises for the data, a metric of more than one number, bad options.

    Warns
    -----
    UndefinedMetricWarning
        The interval is not defined: fewer than two replicates are, or, with 'bca', all replicates lie on one side of
        the value, or the metric is not defined without one of the rows (or groups).  ``low`` and ``high`` are
        then nan.

    Notes
    -----
    A replicate is not defined where the metric of a resample is not: one class only, no positive row for average
    precision, a metric that raises ValueError or warns that it is undefined.  Such replicates are nan, counted in
    ``n_undefined``, and left out.

    ROC-AUC and average precision of two classes, means over rows (squared, absolute and percentage errors,
    deviances, log loss, Brier score), r2 and metrics of labels are computed from sums over a resample, in about a
    nanosecond a row and core; others are called once for each.  Functions of other libraries are called while
    Python's warning filters, which all threads share, are changed; by one thread at a time.

    Log loss without options takes the classes of the data for those of each resample.  The classes of an average
    over classes are those that occur in the resample, unless the metric's ``labels`` say otherwise.  Expected
    calibration error by quantiles bins a resample by its rows, and the data by interpolated quantiles.

    With 'bca', average precision with weights or groups, and metrics that are called, are computed once without
    each row or group; metrics of labels without each distinct row or group.  Where the metric is the same without
    any of them, the acceleration is 0.  Strata do not enter the acceleration.

    Weights of one class that differ by a factor of more than 1e150 are beyond what ROC-AUC and average precision of a
    resample can add up.

    Which rows a seed draws also depends on which metrics are asked for at once.

    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.metrics import bootstrap
    >>> rng = np.random.default_rng(0)
    >>> y_true = rng.integers(0, 2, 500)
    >>> y_score = y_true + rng.normal(size=500)
    >>> found = bootstrap("roc_auc_score", y_true, y_score)
    >>> round(found.value, 3), found.low < found.value < found.high, found.n_undefined
    (0.727, True, 0)
    """
    (results,) = _bootstrap(
        metric, y_true, [(y_pred, "y_pred")], n_resamples, confidence, method, seed, sample_weight, stratify, groups,
        resampling, difference=False,
    )  # fmt: skip
    return results


def bootstrap_difference(
    metric: _Metrics,
    y_true: ArrayLike,
    y_pred_a: ArrayLike,
    y_pred_b: ArrayLike,
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    seed: int | None = 0,
    sample_weight: ArrayLike | None = None,
    stratify: ArrayLike | bool | None = None,
    groups: ArrayLike | None = None,
    resampling: Literal["multinomial", "poisson"] = "multinomial",
) -> Any:
    """Confidence interval of the difference of two models, ``metric(a) - metric(b)``, on the same rows.

    Both are evaluated on the same resamples, so what makes a row hard for both does not widen the interval.

    Parameters
    ----------
    metric, y_true
        As for :func:`bootstrap`.
    y_pred_a, y_pred_b : array-like
        What either model predicts for the rows of ``y_true``.
    n_resamples, confidence, method, seed, sample_weight, stratify, groups, resampling
        As for :func:`bootstrap`.

    Returns
    -------
    BootstrapResult, or a list, tuple or dict of them, as ``metric`` is
        Of the difference; a replicate is not defined where either metric is not.

    Raises
    ------
    ValueError, TypeError
        As :func:`bootstrap`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.metrics import bootstrap_difference
    >>> rng = np.random.default_rng(0)
    >>> y_true = rng.integers(0, 2, 500)
    >>> a = y_true + rng.normal(size=500)
    >>> found = bootstrap_difference("roc_auc_score", y_true, a, a + rng.normal(size=500))
    >>> found.low > 0
    True
    """
    (results,) = _bootstrap(
        metric, y_true, [(y_pred_a, "y_pred_a"), (y_pred_b, "y_pred_b")], n_resamples, confidence, method, seed,
        sample_weight, stratify, groups, resampling, difference=True,
    )  # fmt: skip
    return results


# ---- what comes in ---------------------------------------------------------------------------------------


def _bootstrap(
    metric: Any,
    y_true: Any,
    named_preds: list[tuple[Any, str]],
    n_resamples: Any,
    confidence: Any,
    method: Any,
    seed: Any,
    sample_weight: Any,
    stratify: Any,
    groups: Any,
    resampling: Any,
    difference: bool,
) -> list[Any]:
    metrics = _metrics(metric)
    if not _is_integer(n_resamples) or not 0 < n_resamples < 2**28:
        raise InvalidParameterError(f"n_resamples must be an integer of at least 1, got {n_resamples!r}")
    if not isinstance(confidence, numbers.Real) or not 0 < float(confidence) < 1:
        raise InvalidParameterError(f"confidence must be above 0 and below 1, got {confidence!r}")
    check_choice(method, "method", ("percentile", "bca"))
    check_choice(resampling, "resampling", ("multinomial", "poisson"))
    if seed is None:
        seed = int.from_bytes(os.urandom(8))
    elif not _is_integer(seed) or not 0 <= seed < 2**64:
        raise InvalidParameterError(f"seed must be an integer from 0 to 2**64 - 1 or None, got {seed!r}")
    for value, name in [(y_true, "y_true"), *named_preds]:
        check_array_like(value, name)
    true = _vector(as_array(y_true, "y_true"))
    preds = [_vector(as_array(pred, name)) for pred, name in named_preds]
    check_lengths(("y_true", true), *((name, pred) for pred, (_, name) in zip(preds, named_preds, strict=True)))
    weight = None
    if sample_weight is not None:
        check_array_like(sample_weight, "sample_weight")
        weight = check_sample_weight(sample_weight, len(true)).astype(np.float64, copy=False)
    strata = _strata(stratify, true)
    group = None if groups is None else _labels(groups, "groups", len(true))
    # what is wrong with the data, the metric says
    values = [[_value(one, true, pred, weight) for one in metrics] for pred in preds]
    resamples = _Resamples(true, preds, weight, strata, group, int(n_resamples), int(seed), resampling == "poisson")
    replicates, without = resamples.of(metrics, jackknife=method == "bca")
    results = []
    for i in range(len(metrics)):
        value, replicate = values[0][i], replicates[0][i]
        if difference:
            value, replicate = value - values[1][i], replicate - replicates[1][i]
        acceleration = None
        if without is not None:
            acceleration = _acceleration([of_pred[i] for of_pred in without], resamples.multiplicity)
        results.append(_result(value, replicate, acceleration, float(confidence), method))
    if isinstance(metric, dict):
        return [dict(zip(metric, results, strict=True))]
    if isinstance(metric, (list, tuple)):
        return [type(metric)(results)]
    return results


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _metrics(metric: Any) -> list[Metric]:
    several = list(metric.values()) if isinstance(metric, dict) else metric
    if not isinstance(several, (list, tuple)):
        several = [several]
    return [_metric(one) for one in several]


def _metric(metric: Any) -> Metric:
    options: dict[str, Any] = {}
    if isinstance(metric, functools.partial) and not metric.args:
        metric, options = metric.func, metric.keywords
    if isinstance(metric, str):
        import fasttrain.metrics

        if metric not in fasttrain.metrics.__all__ or not callable(getattr(fasttrain.metrics, metric)):
            raise InvalidParameterError(f"metric must be the name of a function of fasttrain.metrics, got {metric!r}")
        metric = getattr(fasttrain.metrics, metric)
    if not callable(metric):
        raise InvalidParameterError(f"metric must be a name, a function, or several of them, got {metric!r}")
    if "sample_weight" in options:
        raise InvalidParameterError("sample_weight must be given to bootstrap, not to the metric")
    return Metric(metric, _without_defaults(metric, options))


def _without_defaults(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options that are not what the function takes anyway: with those it may be one that is known."""
    if not options:
        return options
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return options
    plain = (str, bool, int, float, type(None))
    return {
        name: value
        for name, value in options.items()
        if not isinstance(value, plain)
        or name not in parameters
        or type(parameters[name].default) is not type(value)
        or parameters[name].default != value
    }


def _vector(array: _Array) -> _Array:
    """A column as a vector; contiguous."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    return np.ascontiguousarray(array)


def _labels(value: Any, name: str, n_rows: int) -> _Array:
    check_array_like(value, name)
    array = as_array(value, name)
    if array.shape != (n_rows,):
        raise ValueError(f"{name} must have shape ({n_rows},), got {array.shape}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{name} must not hold NaN")
    codes: _Array = np.unique(array, return_inverse=True)[1].reshape(-1)
    return codes


def _strata(stratify: Any, true: _Array) -> _Array | None:
    if stratify is None or stratify is False:
        return None
    if stratify is True:
        if true.ndim != 1:
            raise ValueError(f"stratify must be an array where y_true has several columns, got True and {true.shape}")
        return _labels(true, "y_true", len(true))
    return _labels(stratify, "stratify", len(true))


def _value(metric: Metric, true: _Array, pred: _Array, weight: _Array | None) -> float:
    if weight is not None and not metric.takes_weights:
        raise ValueError(f"sample_weight must be None for a metric that takes none, {metric.function!r}")
    value = metric(true, pred, weight)
    if not isinstance(value, (numbers.Real, np.generic)) and np.ndim(value) == 0:
        value = np.asarray(value).item()
    if not isinstance(value, numbers.Real):
        raise InvalidParameterError(f"metric must give one number, got {value!r} from {metric.function!r}")
    return float(value)


# ---- resamples -------------------------------------------------------------------------------------------


class _Resamples:
    """The data, what is drawn of them, and the metrics of the resamples."""

    def __init__(
        self,
        true: _Array,
        preds: list[_Array],
        weight: _Array | None,
        strata: _Array | None,
        group: _Array | None,
        n_resamples: int,
        seed: int,
        poisson: bool,
    ) -> None:
        self.n_resamples = n_resamples
        self.drawn: dict[str, Any] = {"seed": seed, "poisson": poisson}
        self.starts: _Array | None = None
        # how many units of the jackknife each stands for
        self.multiplicity: _Array | None = None
        cells = None if group is not None or weight is not None else _cells(true, preds, strata)
        if cells is not None:
            first, sizes, stratum = cells
            self.sizes = self.multiplicity = sizes
            self.starts = np.concatenate([[0], np.cumsum(np.bincount(stratum))])
            self.rows = [Rows(true[first], pred[first], None, sizes, None, len(first)) for pred in preds]
            return
        unit, self.sizes = _units(len(true), strata, group)
        n_units = int(self.sizes.sum())
        self.rows = [Rows(true, pred, weight, None, unit, n_units, group is not None) for pred in preds]

    def of(
        self, metrics: list[Metric], jackknife: bool
    ) -> tuple[list[list[_Floats]], list[list[_Floats]] | None]:
        """Of each prediction and metric: the values of the resamples, and those without each unit."""
        descents: list[Descent] = []
        statistics = [[statistic(metric, rows, descents) for metric in metrics] for rows in self.rows]
        every = [one for of_pred in statistics for one in of_pred]
        values = self._of_rows(every, descents) if self.starts is None else self._of_cells(every, self.starts)
        replicates = [values[i : i + len(metrics)] for i in range(0, len(values), len(metrics))]
        if not jackknife:
            return replicates, None
        return replicates, [[one.without_each() for one in of_pred] for of_pred in statistics]

    def _of_cells(self, statistics: list[Statistic], starts: _Array) -> list[_Floats]:
        parts: list[list[_Floats]] = [[] for _ in statistics]
        for first, n in self._pieces(len(self.sizes)):
            counts = cell_counts(self.sizes, starts, n, first=first, **self.drawn)
            for one, values in zip(statistics, parts, strict=True):
                values.append(one.of_counts(counts))
        return [np.concatenate(values) for values in parts]

    def _of_rows(self, statistics: list[Statistic], descents: list[Descent]) -> list[_Floats]:
        unit = self.rows[0].unit
        # where a ranking is all that is asked for, its places are the units
        own_units = len(descents) == 1 and unit is None and all(one.descent is not None for one in statistics)
        rankings = [
            descent.in_memory(own_units, any(one.descent is descent and one.precision for one in statistics))
            for descent in descents
        ]
        terms = [one.terms for one in statistics if one.terms is not None]
        tables = [(*one.table, unit, one.rows.weight) for one in statistics if one.table is not None]
        found: dict[int, _Floats] = {}
        if terms or rankings or tables:
            sums, scores, counted = resample_sums(
                self.sizes, self.n_resamples, terms=np.concatenate(terms) if terms else None, rankings=rankings,
                tables=tables, **self.drawn,
            )  # fmt: skip
            n_terms = n_tables = 0
            for i, one in enumerate(statistics):
                if isinstance(one, Means):
                    its_sums = sums[:, n_terms : n_terms + len(one.terms)]
                    found[i] = one.of_sums(its_sums)
                    for resample in one.doubtful(its_sums, found[i]):
                        counts = self._row_counts(int(resample), 1)
                        found[i][resample] = Statistic.of_counts(one, counts)[0]
                    n_terms += len(one.terms)
                elif one.table is not None:
                    found[i] = one.of_sums(counted[n_tables])
                    n_tables += 1
                elif one.descent is not None:
                    number = next(j for j, descent in enumerate(descents) if descent is one.descent)
                    found[i] = one.of_sums(scores[:, number])
        parts: dict[int, list[_Floats]] = {i: [] for i in range(len(statistics)) if i not in found}
        if parts:
            n_rows = len(self.rows[0].true)
            for first, n in self._pieces(max(self.rows[0].n_units, n_rows)):
                counts = self._row_counts(first, n)
                for i, values in parts.items():
                    values.append(statistics[i].of_counts(counts))
        return [found[i] if i in found else np.concatenate(parts[i]) for i in range(len(statistics))]

    def _row_counts(self, first: int, n: int) -> _Array:
        """How often each row comes up, (n, n_rows)."""
        counts: _Array = resample_counts(self.sizes, n, first=first, **self.drawn)
        unit = self.rows[0].unit
        return counts if unit is None else counts[:, unit]

    def _pieces(self, n_counts: int) -> Iterator[tuple[int, int]]:
        """(first resample, how many) of the pieces whose counts are held at a time."""
        step = max(1, _COUNTS // n_counts)
        for first in range(0, self.n_resamples, step):
            yield first, min(step, self.n_resamples - first)


def _cells(true: _Array, preds: list[_Array], strata: _Array | None) -> tuple[_Array, _Array, _Array] | None:
    """(a row of each distinct kind, how many there are, their strata), where there are few; strata rise."""
    n_rows = len(true)
    most = n_rows // _ROWS_PER_CELL
    columns = [*([] if strata is None else [strata]), true, *preds]
    if most < 2 or any(column.ndim != 1 for column in columns):
        return None
    # of n / 64 distinct values, as many as there may be, a sample of this size repeats an eighth at least
    sample = slice(None, None, max(1, n_rows // _SAMPLE))
    if any(len(np.unique(column[sample])) > min(most, 0.9 * min(n_rows, _SAMPLE)) for column in columns):
        return None
    key, size = np.zeros(n_rows, dtype=np.int64), 1
    for column in columns:
        codes, n_codes = codes_of(column)
        if n_codes > most and len(np.unique(codes)) > most:
            return None
        if size * n_codes > 4 * n_rows + 4096:
            distinct, key = np.unique(key, return_inverse=True)
            size, key = len(distinct), key.reshape(-1)
            if size > most:
                return None
        key, size = key * n_codes + codes, size * n_codes
    if size > 4 * n_rows + 4096:
        distinct, key = np.unique(key, return_inverse=True)
        size, key = len(distinct), key.reshape(-1)
    counts = np.bincount(key, minlength=size)
    found = np.flatnonzero(counts)
    if len(found) > most:
        return None
    first = np.empty(size, dtype=np.int64)
    first[key] = np.arange(n_rows)
    first = first[found]
    return first, counts[found], np.zeros(len(first), dtype=np.int64) if strata is None else strata[first]


def _units(n_rows: int, strata: _Array | None, group: _Array | None) -> tuple[_Array | None, _Array]:
    """(the unit of each row or None where each is its own, units of each stratum); those of a stratum adjoin."""
    if group is None:
        if strata is None:
            return None, np.array([n_rows])
        unit = np.empty(n_rows, dtype=np.uint32)
        unit[np.argsort(strata, kind="stable")] = np.arange(n_rows)
        return unit, np.bincount(strata)
    n_groups = int(group.max()) + 1
    if strata is None:
        return group.astype(np.uint32), np.array([n_groups])
    stratum = np.empty(n_groups, dtype=np.int64)
    stratum[group] = strata
    if (stratum[group] != strata).any():
        row = int(np.flatnonzero(stratum[group] != strata)[0])
        raise ValueError(f"groups must lie in one stratum each, got one in several (that of row {row})")
    unit = np.empty(n_groups, dtype=np.uint32)
    unit[np.argsort(stratum, kind="stable")] = np.arange(n_groups)
    return unit[group], np.bincount(stratum)


# ---- intervals -------------------------------------------------------------------------------------------


def _result(
    value: float, replicates: _Floats, acceleration: float | None, confidence: float, method: str
) -> BootstrapResult:
    defined = replicates[~np.isnan(replicates)]
    n_undefined = len(replicates) - len(defined)
    low = high = error = math.nan
    if len(defined) < 2 or math.isnan(value):
        warn(
            f"The interval is not defined: the value is {value}, and {len(defined)} of {len(replicates)} replicates "
            "are defined.",
            UndefinedMetricWarning,
        )
    else:
        error = float(np.std(defined, ddof=1))
        tail = (1.0 - confidence) / 2.0
        levels: tuple[float, float] | None = (tail, 1.0 - tail)
        if acceleration is not None:
            levels = _corrected_levels(value, defined, acceleration, tail)
        if levels is not None:
            low, high = np.quantile(defined, levels).tolist()
    return BootstrapResult(value, low, high, error, replicates, n_undefined, confidence, method)


def _corrected_levels(
    value: float, defined: _Floats, acceleration: float, tail: float
) -> tuple[float, float] | None:
    """The levels of BCa, or None with a warning."""
    from statistics import NormalDist  # costs more to import than all metrics

    below = (np.count_nonzero(defined < value) + 0.5 * np.count_nonzero(defined == value)) / len(defined)
    if not 0 < below < 1 or math.isnan(acceleration):
        reason = "all replicates lie on one side of the value"
        if 0 < below < 1:
            reason = "the metric is not defined without one of the rows or groups"
        warn(f"The interval by 'bca' is not defined: {reason}.", UndefinedMetricWarning)
        return None
    normal = NormalDist()
    bias = normal.inv_cdf(below)
    levels = []
    for level in (tail, 1.0 - tail):
        shifted = bias + normal.inv_cdf(level)
        # past the pole the level is that of the pole
        slope = 1.0 - acceleration * shifted
        levels.append(normal.cdf(bias + shifted / slope) if slope > 0 else float(shifted > 0))
    return levels[0], levels[1]


def _acceleration(without: list[_Floats], multiplicity: _Array | None) -> float:
    """From the values without each unit, of one prediction or of the two of a difference."""
    values = without[0] if len(without) == 1 else without[0] - without[1]
    if np.isnan(values).any():
        return math.nan
    deviations = np.average(values, weights=multiplicity) - values
    scale = np.abs(deviations).max()
    # what rounding leaves of equal values
    if scale <= 1e-14 * max(float(np.abs(one).max()) for one in without):
        return 0.0
    deviations /= scale
    many = np.ones(len(values)) if multiplicity is None else multiplicity
    return float((many * deviations**3).sum() / (6.0 * (many * deviations**2).sum() ** 1.5))
