"""What a metric needs of a resample, so that data are sorted or counted once and not for each.

A statistic is one metric of one prediction.  It knows three things: what the kernel is to add up over a resample
(:mod:`fasttrain.kernels.bootstrap`) and its value of that; its values for counts of the rows, one row a resample;
and its value without each unit, for the jackknife.

============  ====================================================  =======================================
kind          metrics                                               what is added up
============  ====================================================  =======================================
ranking       ROC-AUC and average precision of two classes          pairs and precisions down the ranking
means         losses that are means over rows, and r2               a few sums of terms of the rows
tables        all of pairs of labels                                rows by true and predicted label
others        every other function of (y_true, y_pred)              nothing: the rows are handed to it
============  ====================================================  =======================================
"""

import contextlib
import functools
import inspect
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain.exceptions import UndefinedMetricWarning, listening
from fasttrain.kernels import matmul
from fasttrain.kernels.bootstrap import LAST, POSITIVE, order_in_memory
from fasttrain.metrics import agreement, classification, probability, ranking, regression

_Array = NDArray[Any]
_Floats = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)

_TINY = float(np.finfo(np.float64).tiny)
# Numbers of a table that are held at a time.
_TABLE_NUMBERS = 1 << 22
# Python's warning filters belong to all threads.
_FILTERS = threading.RLock()

_TABLES = {
    classification.accuracy_score,
    classification.precision_score,
    classification.recall_score,
    classification.f1_score,
    classification.fbeta_score,
    classification.jaccard_score,
    agreement.balanced_accuracy_score,
    agreement.cohen_kappa_score,
    agreement.hamming_loss,
    agreement.matthews_corrcoef,
    agreement.zero_one_loss,
}


class Rows:
    """The rows of a data set, or its distinct rows, and what they count.

    true, pred : of each row.
    weight : float64 of each row, or None.
    sizes : how many rows of the data set each stands for, or None where it stands for itself.
    unit : uint32, the unit of each row, or None where each is its own.
    grouped : whether a unit may have several rows.
    """

    def __init__(
        self, true: _Array, pred: _Array, weight: _Array | None, sizes: _Array | None, unit: _Array | None,
        n_units: int, grouped: bool = False,
    ) -> None:  # fmt: skip
        self.true, self.pred, self.weight, self.sizes, self.unit = true, pred, weight, sizes, unit
        self.n_units, self.grouped = n_units, grouped

    @property
    def mass(self) -> _Floats:
        """The weight of each, of all rows that it stands for."""
        if self.sizes is not None:
            return self.sizes.astype(np.float64)
        return np.ones(len(self.true)) if self.weight is None else self.weight

    @property
    def part(self) -> _Floats:
        """The weight of one of the rows that each stands for."""
        return np.ones(len(self.true)) if self.weight is None else self.weight

    def by_unit(self, values: _Floats) -> _Floats:
        """Sums over the rows of each unit."""
        if self.unit is None:
            return values
        return np.bincount(self.unit, values, self.n_units).astype(np.float64, copy=False)


class Metric:
    """A function of (y_true, y_pred, sample_weight=None) with its options."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.function, self.options = function, options
        self._asked: tuple[_Array, _Array, bool] | None = None

    @functools.cached_property
    def takes_weights(self) -> bool:
        try:
            parameters = inspect.signature(self.function).parameters
        except (TypeError, ValueError):
            return False
        return "sample_weight" in parameters

    def __call__(self, true: _Array, pred: _Array, weight: _Array | None) -> Any:
        if weight is None:
            return self.function(true, pred, **self.options)
        return self.function(true, pred, sample_weight=weight, **self.options)

    @functools.cached_property
    def _is_ours(self) -> bool:
        return str(getattr(self.function, "__module__", "")).partition(".")[0] == "fasttrain"

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[tuple[type[Exception], ...]]:
        """Nobody is warned; that the metric is undefined is one of the exceptions that are yielded."""
        with listening(_raise_if_undefined), np.errstate(all="ignore"):
            if self._is_ours:
                yield (ValueError, ZeroDivisionError, _Undefined)
                return
            undefined: tuple[type[Warning], ...] = (UndefinedMetricWarning,)
            peer: Any = getattr(sys.modules.get("sklearn.exceptions"), "UndefinedMetricWarning", None)
            if peer is not None:
                undefined = (*undefined, peer)
            with _FILTERS, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for category in undefined:
                    warnings.simplefilter("error", category)
                yield (ValueError, ZeroDivisionError, _Undefined, *undefined)

    def _weighs(self, true: _Array, pred: _Array) -> bool:
        """Whether it takes weights for such data: some options refuse them."""
        if not self.takes_weights:
            return False
        if self._asked is None or self._asked[0] is not true or self._asked[1] is not pred:
            found = True
            with self._quiet() as refused:
                try:
                    self(true, pred, np.ones(len(true)))
                except (_Undefined, Warning):
                    pass  # it has taken them
                except refused:
                    found = False
                except TypeError:
                    found = False
            self._asked = true, pred, found
        return self._asked[2]

    def of_counts(self, true: _Array, pred: _Array, weight: _Array | None, counts: _Array) -> _Floats:
        """The values of resamples: counts (n_resamples, n_rows), integers or sums of weights.

        nan where the metric refuses a resample, or warns that it is not defined.
        """
        values = np.full(len(counts), np.nan)
        weighs = self._weighs(true, pred)
        with self._quiet() as refused:
            for resample, count in enumerate(counts):
                kept = np.flatnonzero(count)
                if not len(kept):
                    continue
                if not weighs:
                    kept = np.repeat(np.arange(len(count)), count)
                    given = None
                else:
                    given = count[kept] if count.dtype.kind == "f" else count[kept].astype(np.int64)
                    if len(kept) == 1 and given.dtype.kind == "i" and given[0] > 1:
                        # one row that is drawn again is two: some metrics ask for so many
                        kept, given = np.repeat(kept, 2), np.array([given[0] - 1, 1])
                    if weight is not None:
                        given = given * weight[kept]
                try:
                    values[resample] = float(self(true[kept], pred[kept], given))
                except refused:
                    continue
        return values


class _Undefined(Exception):
    """A metric of fasttrain warns that it is not defined."""


def _raise_if_undefined(undefined: bool) -> None:
    if undefined:
        raise _Undefined


class Statistic:
    """One metric of one prediction; the kind for which nothing is known of the metric."""

    # what the kernel is to add up, if it can
    terms: _Floats | None = None
    descent: "Descent | None" = None
    precision = False
    table: tuple[_Array, int] | None = None

    def __init__(self, metric: Metric, rows: Rows) -> None:
        self.metric, self.rows = metric, rows

    def of_sums(self, sums: _Floats) -> _Floats:
        """The values of resamples from what was added up over each."""
        raise NotImplementedError

    def of_counts(self, counts: _Array) -> _Floats:
        """The values of resamples; counts (n_resamples, n_rows)."""
        return self.metric.of_counts(self.rows.true, self.rows.pred, self.rows.weight, counts)

    def without_each(self) -> _Floats:
        """The value without each unit, or without one of the rows that each row stands for; nan if undefined."""
        return self._without(np.arange(self.rows.n_units))

    def _without(self, units: _Array) -> _Floats:
        """The value without each of these, by calling the metric."""
        rows, values = self.rows, np.empty(len(units))
        counts = np.ones(len(rows.true), dtype=np.int64) if rows.sizes is None else rows.sizes.astype(np.int64)
        unit_of = np.arange(len(counts)) if rows.unit is None else rows.unit
        for i, unit in enumerate(units):
            left = (counts - (unit_of == unit))[np.newaxis]
            values[i] = self.metric.of_counts(rows.true, rows.pred, rows.weight, left)[0]
        return values


# ---- means -----------------------------------------------------------------------------------------------


class Means(Statistic):
    """A function of a few sums over the rows; terms (n_terms, n_rows), the first of which are the weights."""

    def __init__(self, metric: Metric, rows: Rows, terms: list[_Floats], finish: Callable[..., _Floats]) -> None:
        super().__init__(metric, rows)
        self.finish = finish
        weight = rows.part
        self.row_terms = np.stack([weight, *(weight * term for term in terms)])

    @functools.cached_property
    def terms(self) -> _Floats:  # type: ignore[override]
        """(n_terms, n_units)"""
        return np.ascontiguousarray(np.stack([self.rows.by_unit(term) for term in self.row_terms]))

    def of_sums(self, sums: _Floats) -> _Floats:
        """nan where the sums are of no weight, or tell too little."""
        total, *others = sums.T
        values = np.full(len(total), np.nan)
        some = total > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            values[some] = self.finish(total[some], *(one[some] for one in others))
        return values

    def of_counts(self, counts: _Array) -> _Floats:
        sums = matmul(counts.astype(np.float64), self.row_terms, transpose_b=True)
        values = self.of_sums(sums)
        for resample in self.doubtful(sums, values):
            values[resample] = super().of_counts(counts[resample : resample + 1])[0]
        return values

    @staticmethod
    def doubtful(sums: _Floats, values: _Floats) -> _Array:
        """Of which the sums tell too little."""
        return np.flatnonzero(np.isnan(values) & (sums[:, 0] > 0))

    def without_each(self) -> _Floats:
        multiplicity = np.ones(len(self.rows.true)) if self.rows.sizes is None else self.rows.sizes
        whole = (self.row_terms * multiplicity).sum(axis=1)
        left = whole - self.terms.T
        # what rounding leaves of nothing is nothing
        left[left[:, 0] <= 1e-12 * whole[0], 0] = 0.0
        values = self.of_sums(left)
        units = self.doubtful(left, values)
        values[units] = self._without(units)
        return values


def _mean(total: _Floats, loss: _Floats) -> _Floats:
    return loss / total


def _root(total: _Floats, loss: _Floats) -> _Floats:
    return np.sqrt(loss / total)


def _share_explained(total: _Floats, squares: _Floats, first: _Floats, second: _Floats) -> _Floats:
    """1 - sum of squared errors / sum of squared deviations; `first` and `second`: moments about some origin."""
    deviations = second - first * first / total
    # less than this has lost digits, and a constant target leaves rounding errors only
    return np.where(deviations > 1e-3 * second, 1.0 - squares / deviations, np.nan)


def _regression_terms(
    name: str, options: dict[str, Any], true: _Array, pred: _Array, mass: _Floats
) -> tuple[list[_Floats], Callable[..., _Floats]] | None:
    """The terms of each row; None if the options or the data need the metric itself."""
    if true.ndim != 1 or pred.ndim != 1 or true.dtype.kind not in "biuf" or pred.dtype.kind not in "biuf":
        return None
    if set(options) - ({"alpha"} if name == "mean_pinball_loss" else set()):
        return None
    t, p = true.astype(np.float64, copy=False), pred.astype(np.float64, copy=False)
    if name in ("mean_squared_error", "root_mean_squared_error"):
        return [(t - p) ** 2], _mean if name.startswith("mean") else _root
    if name == "mean_absolute_error":
        return [np.abs(t - p)], _mean
    if name in ("mean_squared_log_error", "root_mean_squared_log_error"):
        return [(np.log1p(t) - np.log1p(p)) ** 2], _mean if name.startswith("mean") else _root
    if name == "mean_absolute_percentage_error":
        return [np.abs(t - p) / np.maximum(np.abs(t), _EPSILON)], _mean
    if name == "mean_pinball_loss":
        alpha = options.get("alpha", 0.5)
        return [np.where(t >= p, alpha * (t - p), (1.0 - alpha) * (p - t))], _mean
    if name == "mean_poisson_deviance":
        logarithms = np.log(np.where(t > 0, t / p, 1.0))
        return [2.0 * (t * logarithms - t + p)], _mean
    if name == "mean_gamma_deviance":
        return [2.0 * (np.log(p / t) + t / p - 1.0)], _mean
    if name == "r2_score":
        # the moments must not be large beside their difference: about the middle, an outlier that is not drawn does
        # not matter
        centred = t - np.median(t[mass > 0])
        return [(t - p) ** 2, centred, centred**2], _share_explained
    return None


def _probability_terms(name: str, options: dict[str, Any], true: _Array, pred: _Array) -> list[_Floats] | None:
    if options or true.ndim != 1 or pred.dtype.kind not in "biuf":
        return None
    classes, codes = np.unique(true, return_inverse=True)
    eps = float(np.finfo(pred.dtype).eps) if pred.dtype.kind == "f" else _EPSILON
    if pred.ndim == 1:
        if len(classes) != 2 or (name == "brier_score_loss" and classes.tolist() not in ([0, 1], [-1, 1])):
            return None
        p = pred.astype(np.float64, copy=False)
        own = np.where(codes == 1, p, 1.0 - p)
        if name == "brier_score_loss":
            return [(1.0 - own) ** 2]
    else:
        if name == "brier_score_loss" or pred.ndim != 2 or pred.shape[1] != len(classes) or len(classes) < 2:
            return None
        own = pred[np.arange(len(codes)), codes].astype(np.float64)
    return [-np.log(np.clip(own, eps, 1.0 - eps))]


# ---- rankings --------------------------------------------------------------------------------------------


class Descent:
    """Rows of two classes from the highest score on; of equal scores those of label 1 come first."""

    def __init__(self, rows: Rows, positive: _Array) -> None:
        self.rows = rows
        order = np.concatenate([np.flatnonzero(positive), np.flatnonzero(~positive)])
        falling = -rows.pred[order].astype(np.float64 if rows.pred.dtype.kind != "f" else rows.pred.dtype, copy=False)
        place = np.argsort(falling, kind="stable")
        self.order, falling = order[place], falling[place]
        self.positive = positive[self.order]
        self.last = np.append(falling[1:] != falling[:-1], True)
        self.ends = np.flatnonzero(self.last) + 1
        self.starts = np.append(0, self.ends[:-1])

    def in_memory(self, own_units: bool, precision: bool) -> tuple[Any, ...]:
        """What the kernel takes; own_units: the places in memory are the units."""
        rows, memory = self.rows, order_in_memory(len(self.order))
        ones = np.append(0, np.cumsum(self.positive))
        middles = self.starts + ones[self.ends] - ones[self.starts]
        mixed = (middles > self.starts) & (middles < self.ends)
        ties = np.stack([self.starts[mixed], middles[mixed], self.ends[mixed]], axis=1).astype(np.int64)
        flags = (self.positive * POSITIVE + self.last * LAST).astype(np.uint8)[memory]
        order = self.order[memory]
        index = None
        if not own_units:
            index = order.astype(np.uint32) if rows.unit is None else rows.unit[order]
        weight = None if rows.weight is None else rows.weight[order]
        return flags, ties, index, weight, precision

    @functools.cached_property
    def group(self) -> _Array:
        """Of each row in the order of the descent, which of the distinct scores it has."""
        return np.cumsum(self.last) - self.last

    def sums(self, mass: _Array) -> tuple[_Array, _Array]:
        """(of label 1, of label 0) at each distinct score; mass (..., n_rows), rows in their own order."""
        mass = mass[..., self.order]
        return tuple(
            np.add.reduceat(mass * label, self.starts, axis=-1) for label in (self.positive, ~self.positive)
        )  # type: ignore[return-value]


class RankingScore(Statistic):
    """ROC-AUC, or average precision."""

    descent: Descent

    def __init__(self, metric: Metric, rows: Rows, descent: Descent, precision: bool) -> None:
        super().__init__(metric, rows)
        self.descent, self.precision = descent, precision

    def of_sums(self, sums: _Floats) -> _Floats:
        return sums[:, int(self.precision)]

    def of_counts(self, counts: _Array) -> _Floats:
        if self.rows.weight is not None:
            counts = counts * self.rows.weight
        ones, zeros = self.descent.sums(counts)
        return _scores_of(ones, zeros, self.precision)

    def without_each(self) -> _Floats:
        rows, d = self.rows, self.descent
        mass, part = rows.mass, rows.part
        if self.precision:
            if rows.grouped or rows.weight is not None:
                return super().without_each()
            return self._precision_without_each(*d.sums(mass))
        is_one = np.empty(len(mass), dtype=bool)
        is_one[d.order] = d.positive
        # the unit of the weights of a class does not matter, but pairs must not overflow
        largest = np.where(is_one, *(part.max(where=which, initial=_TINY) for which in (is_one, ~is_one)))
        mass, part = mass / largest, part / largest
        ones, zeros = d.sums(mass)
        above, below = np.cumsum(ones) - ones / 2, zeros.sum() - np.cumsum(zeros) + zeros / 2
        n_ones, n_zeros = float(ones.sum()), float(zeros.sum())
        pairs = float(np.dot(zeros, above))
        # of each row, in its own order: its pairs with all others
        beaten = np.empty(len(mass))
        beaten[d.order] = np.where(d.positive, below[d.group], above[d.group])
        gone_ones, gone_zeros = rows.by_unit(part * is_one), rows.by_unit(part * ~is_one)
        left = pairs - rows.by_unit(part * beaten)
        if rows.unit is not None:
            # pairs within a unit were taken away twice
            left += self._pairs_within_units(part)
        n_ones_left, n_zeros_left = n_ones - gone_ones, n_zeros - gone_zeros
        # what rounding leaves of nothing is nothing
        undefined = (n_ones_left <= 1e-12 * n_ones) | (n_zeros_left <= 1e-12 * n_zeros)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(undefined, np.nan, left / n_ones_left / n_zeros_left)

    def _pairs_within_units(self, part: _Floats) -> _Floats:
        d, unit = self.descent, self.rows.unit
        assert unit is not None
        of_row = unit[d.order]
        order = np.argsort(of_row, kind="stable")
        of_row, positive, mass = of_row[order], d.positive[order], part[d.order][order]
        group = d.group[order]
        first_of_unit = np.append(True, of_row[1:] != of_row[:-1])
        starts = np.flatnonzero(first_of_unit | np.append(True, group[1:] != group[:-1]))
        ones, zeros = np.add.reduceat(mass * positive, starts), np.add.reduceat(mass * ~positive, starts)
        before = np.cumsum(ones) - ones
        before -= before[np.maximum.accumulate(np.where(first_of_unit[starts], np.arange(len(starts)), 0))]
        pairs = np.bincount(of_row[starts], zeros * (before + ones / 2), self.rows.n_units)
        return pairs.astype(np.float64, copy=False)

    def _precision_without_each(self, ones: _Floats, zeros: _Floats) -> _Floats:
        """A row changes the precisions at its own score and at those below."""
        d = self.descent
        tp, all_ = np.cumsum(ones), np.cumsum(ones) + np.cumsum(zeros)
        kept = np.cumsum(np.append(0.0, ones * tp / all_))  # before each score
        with np.errstate(invalid="ignore", divide="ignore"):
            less_one = np.where(all_ > 1, (tp - 1) / (all_ - 1), 0.0)
            less_zero = np.where(all_ > 1, tp / (all_ - 1), 0.0)
            below_one = np.append(np.cumsum((ones * less_one)[::-1])[::-1], 0.0)
            below_zero = np.append(np.cumsum((ones * less_zero)[::-1])[::-1], 0.0)
            without_one = (kept[:-1] + (ones - 1) * less_one + below_one[1:]) / (tp[-1] - 1)
            without_zero = (kept[:-1] + ones * less_zero + below_zero[1:]) / tp[-1]
        values = np.empty(len(d.order))
        values[d.order] = np.where(d.positive, without_one[d.group], without_zero[d.group])
        values[d.order[d.positive]] = values[d.order[d.positive]] if tp[-1] > 1 else np.nan
        return values


def _scores_of(ones: _Array, zeros: _Array, precision: bool) -> _Floats:
    """Of (n_resamples, n_distinct scores): rows of either label at each."""
    tp, fp = np.cumsum(ones, axis=1), np.cumsum(zeros, axis=1)
    n_ones, n_zeros = tp[:, -1], fp[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        if precision:
            shares = np.where(tp > 0, tp / (tp + fp), 0.0)
            return np.where(n_ones > 0, (ones * shares).sum(axis=1) / n_ones, np.nan)
        half_pairs = (zeros * (2 * tp - ones)).sum(axis=1)
        area = half_pairs / (2 * n_ones * n_zeros)
        return np.where((n_ones > 0) & (n_zeros > 0), area, np.nan)


# ---- tables ----------------------------------------------------------------------------------------------


class LabelScore(Statistic):
    """A function of the table of true and predicted labels."""

    def __init__(self, metric: Metric, rows: Rows) -> None:
        super().__init__(metric, rows)
        true, n_true = codes_of(rows.true)
        pred, n_pred = codes_of(rows.pred)
        if n_true * n_pred <= 4 * len(true):
            key, size = true * n_pred + pred, n_true * n_pred
            found = np.flatnonzero(np.bincount(key, minlength=size))
            place = np.zeros(size, dtype=np.int64)
            place[found] = np.arange(len(found))
            cell = place[key]
        else:
            found, cell = np.unique(true * n_pred + pred, return_inverse=True)
        self.cell = cell.astype(np.int32)
        representative = np.empty(len(found), dtype=np.int64)
        representative[cell] = np.arange(len(cell))
        self.true, self.pred = rows.true[representative], rows.pred[representative]
        self.table = self.cell, len(found)

    def of_sums(self, sums: _Array) -> _Floats:
        function, options = self.metric.function, self.metric.options
        if not options and function in (
            classification.accuracy_score, agreement.zero_one_loss, agreement.hamming_loss
        ):  # fmt: skip
            right = self.true == self.pred
            chosen = right if function is classification.accuracy_score else ~right
            with np.errstate(invalid="ignore"):
                return sums[:, chosen].sum(axis=1) / sums.sum(axis=1)
        if self.rows.weight is None:
            sums = sums.astype(np.int64)
        return self.metric.of_counts(self.true, self.pred, None, sums)

    def of_counts(self, counts: _Array) -> _Floats:
        if self.rows.weight is not None:
            counts = counts * self.rows.weight
        sums = np.zeros((self.table[1], len(counts)), dtype=counts.dtype)  # type: ignore[index]
        np.add.at(sums, self.cell, counts.T)
        return self.of_sums(sums.T)

    def without_each(self) -> _Floats:
        rows, n_cells = self.rows, len(self.true)
        table = np.bincount(self.cell, rows.mass, n_cells).astype(np.float64)
        index: _Array | None = None
        if rows.grouped:
            assert rows.unit is not None
            cell, of_cell = self.cell, rows.part
            owner, n_owners = rows.unit.astype(np.int64), rows.n_units
        elif rows.weight is None:
            cell, of_cell, index = np.arange(n_cells), np.ones(n_cells), self.cell
            owner, n_owners = cell, n_cells
        else:
            # rows of one cell and one weight leave the same behind
            key = np.stack([self.cell.astype(np.float64), rows.part], axis=1)
            distinct, index = np.unique(key, axis=0, return_inverse=True)
            cell, of_cell = distinct[:, 0].astype(np.int64), distinct[:, 1]
            owner, n_owners = np.arange(len(cell)), len(cell)
        order = np.argsort(owner, kind="stable")
        values = np.empty(n_owners)
        step = max(1, _TABLE_NUMBERS // n_cells)
        for begin in range(0, n_owners, step):
            size = min(step, n_owners - begin)
            own = order[slice(*np.searchsorted(owner, (begin, begin + size), sorter=order))]
            gone = np.bincount((owner[own] - begin) * n_cells + cell[own], of_cell[own], size * n_cells)
            left = table - gone.reshape(size, n_cells)
            left[np.abs(left) <= 1e-12 * table] = 0.0
            values[begin : begin + size] = self.of_sums(left)
        return values if index is None else values[index.reshape(-1)]


def codes_of(labels: _Array) -> tuple[_Array, int]:
    """(positions among the sorted distinct labels, or labels less the least, as int64; a bound of them)"""
    if labels.dtype.kind in "biu":
        low, high = int(labels.min()), int(labels.max())
        if high - low < 1 << 12:
            # uint64 may lie beyond int64, and differences of small integers may not fit them
            if labels.dtype.kind == "u":
                return (labels - labels.dtype.type(low)).astype(np.int64), high - low + 1
            return np.subtract(labels, low, dtype=np.int64, casting="unsafe"), high - low + 1
    distinct, codes = np.unique(labels, return_inverse=True)
    return codes.astype(np.int64).reshape(-1), len(distinct)


# ---- which kind ------------------------------------------------------------------------------------------


def statistic(metric: Metric, rows: Rows, descents: list[Descent]) -> Statistic:
    """The statistic of the kind that does the least work.

    descents: those made before, which grow by the one that is made here.
    """
    function, options, true, pred = metric.function, metric.options, rows.true, rows.pred
    name = getattr(function, "__name__", "")
    precision = function is ranking.average_precision_score
    if precision or function is ranking.roc_auc_score:
        positive = _positive_of_two(true, options, precision)
        if positive is not None and pred.ndim == 1 and pred.dtype.kind in "biuf":
            # both metrics mostly mean the same label, and then share a descent
            for descent in descents:
                if descent.rows is rows and np.array_equal(descent.positive, positive[descent.order]):
                    return RankingScore(metric, rows, descent, precision)
            descents.append(Descent(rows, positive))
            return RankingScore(metric, rows, descents[-1], precision)
    elif getattr(regression, name, None) is function:
        found = _regression_terms(name, options, true, pred, rows.mass)
        if found is not None:
            return Means(metric, rows, *found)
    elif function in (probability.log_loss, probability.brier_score_loss):
        terms = _probability_terms(name, options, true, pred)
        if terms is not None:
            return Means(metric, rows, terms, _mean)
    elif function in _TABLES and true.ndim == pred.ndim == 1:
        return LabelScore(metric, rows)
    return Statistic(metric, rows)


def _positive_of_two(true: _Array, options: dict[str, Any], precision: bool) -> _Array | None:
    """Which rows are positive, where that is all that the metric asks of the labels."""
    if true.ndim != 1 or set(options) - ({"pos_label"} if precision else set()):
        return None
    if true.dtype.kind in "biu":
        low, high = true.min(), true.max()
        if not ((true == low) | (true == high)).all():
            return None
    else:
        classes = np.unique(true)
        if len(classes) > 2:
            return None
        high = classes[-1]
    return np.asarray(true == (options.get("pos_label", 1) if precision else high))
