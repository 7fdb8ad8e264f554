"""Scores and labels of a stream or of shards: the distinct scores with their counts, or bins of them.

Each chunk is a sorted run of its own.  Runs are merged when those that wait hold as many entries as the first, and the
small ones among themselves when many wait: memory stays in proportion to what is distinct, and each row takes part in
logarithmically many merges.
"""

import math
import numbers
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError
from fasttrain.kernels.ranking import ranking_curve
from fasttrain.kernels.score_bins import score_bins
from fasttrain.metrics._labels import sum_fits
from fasttrain.metrics._state import Arrays, check_finite_sum, check_same_kind, is_empty
from fasttrain.metrics._validation import as_array, check_boolean
from fasttrain.metrics.ranking import (
    check_max_fpr,
    check_pos_label,
    det_points,
    partial_auc,
    positive_rows,
    precision_recall_points,
    roc_points,
    standardised_area,
    warn_of_no_positives,
    warn_of_one_class,
)

__all__ = ["ScoreState"]

_Array = NDArray[Any]
_STATE = "fasttrain.metrics.ScoreState 1"

# Scores of these dtypes go to the kernels as they are.
_PLAIN = (np.dtype(np.float32), np.dtype(np.float64))
# Runs are not merged for fewer entries than these.
_FEW_ENTRIES = 1 << 14
# No more of them wait, though they be small: an array costs more than its few entries.
_MANY_RUNS = 256
# Counts of fewer rows do not wrap.
_MOST_ROWS = 1 << 62
# Of a chunk, so many scores for each bin tell about how deep its level is.
_SAMPLE = 4
_UNIT = 2.0**-53  # the relative error of one rounding
_SIGN = np.uint64(1 << 63)


class _Run(NamedTuple):
    """Distinct values, rising, with the rows of either label: numbers, or sums of weights."""

    level: int  # of values that are prefixes of keys; 64 of values that are scores
    values: _Array
    positives: _Array
    negatives: _Array


class ScoreState:
    """ROC-AUC, average precision and curves of two classes, of rows that come in chunks or lie in shards.

    Without ``max_bins`` it is exact: it keeps each distinct score with the rows of either label, and answers as the
    functions of the same names do for all rows at once.  With ``max_bins`` its memory is bounded, and the scores
    are kept by their leading bits: a score's key is its bits as a float64, turned so that they rise with the score
    (:func:`fasttrain.kernels.score_bins`), and the bins are the prefixes of the keys, at the deepest level that has
    at most ``max_bins`` of them.  That level depends on the scores alone, so the bins are the same for any split and
    any order of merging.  ``roc_auc_score`` and ``average_precision_score`` then are pairs ``(low, high)`` between
    which the exact value is certain to lie; the points of the curves are exact, but fewer.

    Classes are two; for each label of several make a state of its own.

    Parameters
    ----------
    max_bins : int, optional
        At least 1.
    pos_label : int, float, bool or str, optional
        The positive class; 1 if the labels are 0 and 1 or -1 and 1.  A chunk may hold one class only, so which of
        two other labels is positive has to be said.

    Notes
    -----
    Counts are integers, so that states of rows without weights are the same to the bit, however they were split and
    merged; sums of weights are the same to rounding.  Memory: 24 bytes for a distinct score or bin, up to twice that
    while a stream grows, and for a moment several times that, while chunks are merged.

    Examples
    --------
    >>> from fasttrain.metrics import ScoreState
    >>> state = ScoreState().update([0, 0], [0.1, 0.4]).merge(ScoreState().update([1, 1], [0.35, 0.8]))
    >>> state.roc_auc_score()
    0.75
    >>> binned = ScoreState(max_bins=3).update([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> low, high = binned.roc_auc_score()
    >>> round(low, 6), round(high, 6)
    (0.75, 1.0)
    """

    def __init__(self, *, max_bins: int | None = None, pos_label: float | str | bool | None = None) -> None:
        if max_bins is not None and not (
            isinstance(max_bins, numbers.Integral) and not isinstance(max_bins, bool) and 1 <= max_bins < 2**48
        ):
            raise InvalidParameterError(f"max_bins must be None or an integer of at least 1, got {max_bins!r}")
        if pos_label is not None:
            check_pos_label(pos_label)
        self._max_bins = None if max_bins is None else int(max_bins)
        self._pos_label = pos_label
        self._runs: list[_Run] = []
        self._n_waiting = 0  # entries of all runs but the first
        self._level = 64  # the lowest of the runs
        self._weight = 0.0  # of all rows with weights
        self._n_rows = 0
        # 0 or -1, of which only one may occur beside 1; None until it does, and where pos_label is given
        self._negative: int | None = None

    def update(
        self, y_true: ArrayLike, y_score: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> "ScoreState":
        """Count more rows.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
            Labels of two classes, or of more with ``pos_label``; chunks without rows are passed over.
        y_score : array-like of shape (n_rows,)
            Finite scores.
        sample_weight : array-like of shape (n_rows,), optional
            Finite and not negative.

        Returns
        -------
        ScoreState
            This state; after an error it is as it was.

        Raises
        ------
        ValueError, TypeError
            As :func:`roc_curve`.
        """
        if is_empty(y_true, y_score, sample_weight):
            return self
        if (
            type(y_true) is type(y_score) is np.ndarray
            and y_score.ndim == 1
            and y_score.dtype in _PLAIN
            and (self._pos_label is None or self._pos_label == 1)
            and sample_weight is None
        ):
            try:
                run = self._run(y_true, y_score, None)
            except (TypeError, ValueError):
                pass  # it will be found out why
            else:
                negative = 0 if self._pos_label is None and run.negatives.any() else None
                self._add([run], len(y_true), negative)
                return self
        true, given = as_array(y_true, "y_true"), as_array(y_score, "y_score")
        positive, score, weight = positive_rows(true, given, self._pos_label, sample_weight, allow_zero=True)
        negative = None
        if self._pos_label is None and not positive.all():
            negative = int(true.reshape(-1)[np.argmin(positive)])
        run = self._run(positive, score, weight)
        if self._max_bins is None:
            run = run._replace(values=_as_given(run.values, given.dtype))
        self._add([run], len(positive), negative)
        return self

    def _run(self, positive: _Array, score: _Array, weight: _Array | None) -> _Run:
        if self._max_bins is not None:
            level = self._level_to_try(score, weight)
            return _Run(*score_bins(positive, score, weight, max_bins=self._max_bins, level=level))
        if weight is None:
            tps, fps, scores = ranking_curve(positive, score)
            return _Run(64, scores[::-1], _steps(tps)[::-1], _steps(fps)[::-1])
        # differences of running sums of weights would lose digits
        ranking_curve(positive, score, weight)  # checks
        kept = np.flatnonzero(weight)
        score, weight = score[kept] + score.dtype.type(0), weight[kept].astype(np.float64)
        zero = np.zeros(1)
        return _joined(64, score, np.where(positive[kept], weight, zero), np.where(positive[kept], zero, weight))

    def _level_to_try(self, score: _Array, weight: _Array | None) -> int:
        """A level that is not less deep than that of all rows, these among them; the nearer, the less is to search."""
        assert self._max_bins is not None
        level = self._level
        if level == 64 and len(score) > self._max_bins:
            step = max(1, len(score) // (_SAMPLE * self._max_bins))
            sample = score[::step]
            if weight is not None:
                sample = sample[weight[::step] != 0]
            level = 64 - _surplus_bits(np.sort(_keys(sample)), self._max_bins)
        return level

    def merge(self, other: "ScoreState") -> "ScoreState":
        """Add the rows of another state to this one's, in place.

        Parameters
        ----------
        other : ScoreState
            Of the same ``max_bins`` and ``pos_label``; it is left as it is.

        Returns
        -------
        ScoreState
            This state; after an error both are as they were.

        Raises
        ------
        TypeError, ValueError
            Not a ScoreState; another ``max_bins`` or ``pos_label``.
        """
        check_same_kind(self, other)
        for name, mine, its in (
            ("max_bins", self._max_bins, other._max_bins), ("pos_label", self._pos_label, other._pos_label)
        ):  # fmt: skip
            if mine != its:
                raise ValueError(f"other must have the same {name}, got {mine!r} here and {its!r} there")
        self._add(list(other._runs), other._n_rows, other._negative)
        return self

    def _add(self, runs: list[_Run], n_rows: int, negative: int | None) -> None:
        n_rows += self._n_rows
        if n_rows >= _MOST_ROWS:
            raise ValueError(f"a state must hold fewer than 2^62 rows, got {n_rows}")
        if negative is None:
            negative = self._negative
        elif self._negative not in (None, negative):
            raise ValueError(
                "y_true must hold two classes, or pos_label be given, "
                f"got negative rows of label {self._negative} before and of {negative} now"
            )
        weight = self._weight
        with np.errstate(over="ignore"):
            for run in runs:
                if run.positives.dtype.kind == "f":
                    weight += float(run.positives.sum() + run.negatives.sum())
        check_finite_sum(weight)
        self._weight, self._n_rows, self._negative = weight, n_rows, negative
        for run in runs:
            if len(run.values):
                self._n_waiting += len(run.values) if self._runs else 0
                self._level = min(self._level, run.level)
                self._runs.append(run)
        if self._runs and self._n_waiting >= max(len(self._runs[0].values), _FEW_ENTRIES):
            self._merged()
        elif len(self._runs) > 1 + _MANY_RUNS:
            self._gather()

    def _gather(self) -> None:
        """Merge the last half of the runs that may wait, and those before them that are not much larger."""
        sizes = [len(run.values) for run in self._runs]
        first = len(sizes) - _MANY_RUNS // 2
        size = sum(sizes[first:])
        while first > 1 and sizes[first - 1] <= 2 * size:
            first -= 1
            size += sizes[first]
        run = self._joined(self._runs[first:])
        self._runs[first:] = [run]
        self._n_waiting += len(run.values) - size
        self._level = min(self._level, run.level)

    def _merged(self) -> _Run:
        """All runs as one."""
        # methods may be asked by many threads at once
        runs = self._runs
        if not runs:
            if self._n_rows:
                raise ValueError("sample_weight must not be zero in every row")
            raise ValueError("the state must hold at least one row, got none so far")
        if len(runs) == 1:
            return runs[0]
        run = self._joined(runs)
        self._runs, self._n_waiting, self._level = [run], 0, run.level
        return run

    def _joined(self, runs: list[_Run]) -> _Run:
        """These runs as one."""
        level = min(run.level for run in runs)
        run = _joined(
            level,
            np.concatenate([
                run.values if run.level == level else _shifted(run.values, run.level - level) for run in runs
            ]),
            np.concatenate([run.positives for run in runs]),
            np.concatenate([run.negatives for run in runs]),
        )  # fmt: skip
        if self._max_bins is not None and len(run.values) > self._max_bins:
            up = _surplus_bits(run.values, self._max_bins)
            run = _joined(level - up, _shifted(run.values, up), run.positives, run.negatives)
        return run

    def _descent(self) -> tuple[_Array, _Array, _Array]:
        """(true positives, false positives, thresholds) at the distinct scores or the bins' lower ends, falling."""
        run = self._merged()
        scores = run.values if self._max_bins is None else _lowest_scores(run.values, run.level)
        return np.cumsum(run.positives[::-1]), np.cumsum(run.negatives[::-1]), scores[::-1]

    def roc_auc_score(self, *, max_fpr: float | None = None) -> Any:
        """:func:`roc_auc_score` of all rows so far.

        Parameters
        ----------
        max_fpr : float in (0, 1], optional
            The area up to this false positive rate, standardised so that chance is 0.5.

        Returns
        -------
        float, or (float, float) with ``max_bins``
            With ``max_bins`` two bounds between which the exact value lies.  nan, or two of them, with an
            ``UndefinedMetricWarning``, where one class only is present.

        Notes
        -----
        Which of a bin's p positive and n negative rows rank higher is not known, but the ROC curve stays in the box
        that they span, between its lower right and its upper left corner: negative rows above all positive ones, or
        below.  The bounds are the areas under these two staircases, widened by the error of their arithmetic.
        """
        max_fpr = check_max_fpr(max_fpr)
        run = self._merged()
        positives, negatives = run.positives[::-1], run.negatives[::-1]
        n_positive, n_negative = positives.sum(), negatives.sum()
        if not n_positive or not n_negative:
            warn_of_one_class()
            return math.nan if self._max_bins is None else (math.nan, math.nan)
        if self._max_bins is not None:
            return _auc_bounds(positives, negatives, max_fpr, run.level == 64, self._error())
        tps = np.cumsum(positives)
        if max_fpr is not None and max_fpr != 1:
            return partial_auc(tps, np.cumsum(negatives), max_fpr)
        if tps.dtype.kind == "i":
            total = 2 * int(n_positive) * int(n_negative)
            kind: Any = np.int64 if total < 2**63 else object
            half_pairs = (negatives.astype(kind) * (2 * tps.astype(kind) - positives)).sum()
            return float(half_pairs) / float(total)
        return float(np.sum(negatives / n_negative * ((tps - 0.5 * positives) / n_positive)))

    def average_precision_score(self) -> Any:
        """:func:`average_precision_score` of all rows so far.

        Returns
        -------
        float, or (float, float) with ``max_bins``
            With ``max_bins`` two bounds between which the exact value lies.  0, or two of them, with a
            ``UserWarning``, where no row is positive.

        Notes
        -----
        A bin has p positive and n negative rows, with T positive and F negative ones above it.  At a threshold within
        it t positive and f negative rows are found, with t at most T + p and f at least F, so the precision of each
        of its positive rows is at most ``(T + p) / (T + p + F)``: that of positive rows that tie above all negative.

        The j-th of its positive rows has a threshold with t at least T + j and f at most c = F + n, whatever the
        ties, so its precision is at least g(T + j), with ``g(x) = x / (x + c)``.  As g is concave, g(x) is at least
        its mean from x - 1/2 to x + 1/2, and the p rows have at least the integral of g from T + 1/2 to
        T + p + 1/2, which is ``p - c log(1 + p / (T + 1/2 + c))``.  With weights j is the weight of the first j
        positive rows; as g rises, a row's weight times g at its end is at least the integral of g over its
        weight, and the integral goes from T to T + p.

        The bounds are these sums, widened by the error of their arithmetic.
        """
        run = self._merged()
        positives, negatives = run.positives[::-1], run.negatives[::-1]
        n_positive = positives.sum()
        if not n_positive:
            warn_of_no_positives()
            return 0.0 if self._max_bins is None else (0.0, 0.0)
        if self._max_bins is not None:
            return _precision_bounds(positives, negatives, run.level == 64, self._error())
        tps, fps = np.cumsum(positives), np.cumsum(negatives)
        return float(np.sum(positives / n_positive * (tps / (tps + fps))))

    def roc_curve(self, *, drop_intermediate: bool = True) -> tuple[_Array, _Array, _Array]:
        """:func:`roc_curve` of all rows so far; with ``max_bins``, its points at the bins' lower ends."""
        check_boolean(drop_intermediate, "drop_intermediate")
        return roc_points(*self._descent(), drop_intermediate)

    def precision_recall_curve(self, *, drop_intermediate: bool = False) -> tuple[_Array, _Array, _Array]:
        """:func:`precision_recall_curve` of all rows so far; with ``max_bins``, its points at the bins' lower ends."""
        check_boolean(drop_intermediate, "drop_intermediate")
        return precision_recall_points(*self._descent(), drop_intermediate)

    def det_curve(self, *, drop_intermediate: bool = False) -> tuple[_Array, _Array, _Array]:
        """:func:`det_curve` of all rows so far; with ``max_bins``, its points at the bins' lower ends."""
        check_boolean(drop_intermediate, "drop_intermediate")
        tps, fps, thresholds = self._descent()
        if not tps[-1] or not fps[-1]:
            raise ValueError("y_true must hold two classes, got 1")
        return det_points(tps, fps, thresholds, drop_intermediate)

    def _error(self) -> float:
        """A bound of the relative error of every sum of weights of the state; infinity where it would be of no use.

        A sum of k numbers that are not negative has at most k - 1 roundings on the way of each, in any order.
        """
        if self._merged().positives.dtype.kind == "i":
            return 0.0
        error = self._n_rows * _UNIT
        return error / (1.0 - error) if error < 2.0**-10 else math.inf

    def to_arrays(self) -> dict[str, _Array]:
        """The state as plain arrays, for :meth:`from_arrays`: to store, to send, to reduce elsewhere.

        Returns
        -------
        dict of str to ndarray
            'state' names class and version; 'max_bins', 0 for none; 'pos_label' (1,) or (0,); 'negative_label', 0 or
            -1, (1,) or (0,) where 'pos_label' is given or no row is negative; 'n_rows'; 'level', 64 of scores;
            'values' (n,) of scores or of uint64 prefixes, rising; 'positives' and 'negatives' (n,), int64 counts or
            float64 sums of weights.
        """
        if self._runs:
            run = self._merged()
        else:
            values = np.zeros(0, dtype=np.float64 if self._max_bins is None else np.uint64)
            run = _Run(64, values, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        none = np.zeros(0, dtype=np.int64)
        return {
            "state": np.array(_STATE),
            "max_bins": np.array(self._max_bins or 0),
            "pos_label": none if self._pos_label is None else np.array([self._pos_label]),
            "negative_label": none.copy() if self._negative is None else np.array([self._negative]),
            "n_rows": np.array(self._n_rows),
            "level": np.array(run.level),
            "values": run.values.copy(),
            "positives": run.positives.copy(),
            "negatives": run.negatives.copy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> "ScoreState":
        """The state that :meth:`to_arrays` gave these arrays.

        Parameters
        ----------
        arrays : dict of str to array-like
            Or what `numpy.load` gives for a file of them.

        Raises
        ------
        TypeError, ValueError
            Arrays of another state, missing or left over, of another shape or dtype, or that contradict each other.
        """
        given = Arrays(arrays, _STATE)
        max_bins = int(given.take("max_bins", "iu", ()))
        label = given.take("pos_label", "biufU", (None,))
        if max_bins < 0 or len(label) > 1:
            raise ValueError("arrays['max_bins'] must be at least 0 and arrays['pos_label'] hold at most one label")
        state = cls(max_bins=max_bins or None, pos_label=label[0].item() if len(label) else None)
        negative = given.take("negative_label", "i", (None,)).tolist()
        if negative not in ([], [0], [-1]) or (negative and len(label)):
            raise ValueError(
                "arrays['negative_label'] must hold at most one of 0 and -1, and none beside a positive label, "
                f"got {negative}"
            )
        n_rows = int(given.take("n_rows", "iu", ()))
        level = int(given.take("level", "iu", ()))
        values = given.take("values", "u" if max_bins else "biuf", (None,)).copy()
        positives = given.take_counts("positives", (len(values),))
        negatives = given.take_counts("negatives", (len(values),))
        given.finish()
        if positives.dtype != negatives.dtype:
            raise ValueError("arrays['positives'] and arrays['negatives'] must have one dtype")
        if not (0 <= level <= 64 and (max_bins or level == 64)):
            raise ValueError(f"arrays['level'] must be from 0 to 64, and 64 of scores, got {level}")
        if values.dtype != np.uint64 if max_bins else values.dtype.itemsize > 8:
            raise ValueError(
                f"arrays['values'] must be uint64 prefixes, or scores of at most 64 bits, got {values.dtype}"
            )
        if max_bins and (len(values) > max_bins or (len(values) and int(values[-1]) >> level)):
            raise ValueError(f"arrays['values'] must be at most {max_bins} prefixes of {level} bits")
        if not max_bins and not np.isfinite(values).all():
            raise ValueError("arrays['values'] must be finite")
        if not (values[1:] > values[:-1]).all():
            raise ValueError("arrays['values'] must rise")
        if max_bins and not _all_hold_scores(values, level):
            raise ValueError(f"arrays['values'] must be prefixes of {level} bits of finite scores")
        if not ((positives > 0) | (negatives > 0)).all():
            raise ValueError("arrays['positives'] and arrays['negatives'] must hold a row for each value")
        counted = positives.dtype.kind == "i"
        if counted and not sum_fits(positives, negatives):
            raise ValueError("arrays['positives'] and arrays['negatives'] must add up to less than 2^62")
        rows = int(positives.sum()) + int(negatives.sum()) if counted else len(values)
        if n_rows < rows:
            raise ValueError(f"arrays['n_rows'] must be at least {rows}, got {n_rows}")
        if not len(label) and not negative and negatives.any():
            raise ValueError("arrays['negative_label'] must hold the label of arrays['negatives']")
        state._add([_Run(level, values, positives, negatives)], n_rows, negative[0] if negative else None)
        return state


def _as_given(values: _Array, dtype: Any) -> _Array:
    """Scores of float32 or float64 in the dtype they had, as the thresholds of the functions are."""
    if dtype.kind in "iu":
        # the largest integers have been rounded up to what is no longer one of them
        return values.astype(dtype) if not len(values) or int(values[-1]) <= np.iinfo(dtype).max else values
    return values.astype(dtype) if dtype.kind == "b" or dtype == np.float16 else values


def _steps(running: _Array) -> _Array:
    steps = running.copy()
    steps[1:] -= running[:-1]
    return steps


def _joined(level: int, values: _Array, positives: _Array, negatives: _Array) -> _Run:
    """A run of values in any order; equal ones are one entry."""
    # the stable sort merges runs that are sorted, in their order
    order = np.argsort(values, kind="stable")
    values = values[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    if not len(first):
        return _Run(level, values, positives, negatives)
    return _Run(level, values[first], _grouped(positives[order], first), _grouped(negatives[order], first))


def _grouped(counts: _Array, first: _Array) -> _Array:
    """The sums of the groups that begin at these places."""
    if counts.dtype.kind != "i":
        return np.add.reduceat(counts, first)
    # faster, and of integers as exact
    running = np.cumsum(counts)
    return _steps(running[np.append(first[1:], len(counts)) - 1])


def _keys(scores: _Array) -> _Array:
    """uint64 keys that rise with the scores; see the kernel score_bins."""
    bits = (scores.astype(np.float64) + 0.0).view(np.uint64)
    keys: _Array = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return keys


def _lowest_scores(prefixes: _Array, level: int) -> _Array:
    """The lowest finite scores whose keys begin with these prefixes of so many bits."""
    keys = prefixes << np.uint64(64 - level) if level else np.zeros_like(prefixes)
    # lower keys than that of the lowest score are those of infinity and NaN
    keys = np.maximum(keys, _keys(np.array([-np.finfo(np.float64).max])))
    scores: _Array = np.where(keys & _SIGN, keys & ~_SIGN, ~keys).view(np.float64)
    return scores


def _all_hold_scores(prefixes: _Array, level: int) -> bool:
    """Each of these rising prefixes of so many bits begins the key of a finite score."""
    if not len(prefixes):
        return True
    below = 64 - level
    highest = np.finfo(np.float64).max
    least, zero, most = (int(key) for key in _keys(np.array([-highest, 0.0, highest])))
    # no score has the key of -0.0, which is just below that of 0.0
    return (
        ((int(prefixes[0]) + 1) << below) > least
        and int(prefixes[-1]) << below <= most
        and not (level == 64 and (prefixes == np.uint64(zero - 1)).any())
    )


def _shifted(prefixes: _Array, bits: int) -> _Array:
    return prefixes >> np.uint64(bits) if bits < 64 else np.zeros_like(prefixes)


def _surplus_bits(prefixes: _Array, most: int) -> int:
    """How many bits fewer give at most so many distinct prefixes; these rise, and may be there more than once.

    Neighbours stay apart where the highest bit in which they differ is kept, so fewer than `most` differences may
    stay: the `most`-th largest has to vanish.
    """
    if len(prefixes) <= most:
        return 0
    differences = prefixes[1:] ^ prefixes[:-1]
    place = len(differences) - most
    return int(np.partition(differences, place)[place]).bit_length()


# ---- bounds --------------------------------------------------------------------------------------------------
#
# `error` bounds the relative error of each sum of weights.  Every factor of a term is such a sum or a quotient of two;
# all are not negative, so relative errors add up and pass through sums unchanged.  math.fsum rounds once.  In _widened
# 8 errors and 16 roundings cover each of the products here twice; 1e-300, products that leave the range of float64.
#
# The integral L(T, p, c) of x / (x + c) from T to T + p is no product, but its condition is small: a relative change
# of T, p or c changes it by at most 1, 2 or 1 times as much.  So errors of the sums stay relative errors of L too;
# only its evaluation, as a difference, has an absolute error.
#
# Where so many weights were added that their sums' errors are not small, all that is certain is 0 and 1.


def _widened(low: float, high: float, error: float, absolute: float) -> tuple[float, float]:
    relative = 8.0 * error + 16.0 * _UNIT
    return (
        max(0.0, low * (1.0 - relative) - absolute - 1e-300),
        min(1.0, high * (1.0 + relative) + absolute + 1e-300),
    )


def _above(counts: _Array) -> _Array:
    """Of each bin, the sum of those before it."""
    running = np.cumsum(counts)
    return np.concatenate([running[:1] * 0, running[:-1]]).astype(np.float64)


def _auc_bounds(
    positives: _Array, negatives: _Array, max_fpr: float | None, exact: bool, error: float
) -> tuple[float, float]:
    """Bounds of the area, from the rows of either label in bins of falling scores; exact: each is one score."""
    if math.isinf(error):
        return 0.0, 1.0
    height, width = positives / positives.sum(), negatives / negatives.sum()
    base = _above(positives) / positives.sum()
    share = np.ones(len(width))
    limited = max_fpr is not None and max_fpr != 1
    if max_fpr is not None and limited:
        inside = np.clip(max_fpr - _above(negatives) / negatives.sum(), 0.0, width)
        np.divide(inside, width, out=share, where=width > 0)
        width = inside
    if exact:
        low = high = math.fsum((width * (base + 0.5 * share * height)).tolist())
    else:
        low = math.fsum((width * base).tolist())
        high = math.fsum((width * (base + height)).tolist())
    # where the limit cuts a bin is a difference, of numbers of at most 1
    low, high = _widened(low, high, error, 8.0 * (error + _UNIT) if limited else 0.0)
    if max_fpr is not None and limited:
        high = min(high, max_fpr)
        return (
            max(0.0, standardised_area(low, max_fpr) - 16.0 * _UNIT),
            min(1.0, standardised_area(high, max_fpr) + 16.0 * _UNIT),
        )
    return low, high


def _precision_bounds(positives: _Array, negatives: _Array, exact: bool, error: float) -> tuple[float, float]:
    """Bounds of the average precision, from the rows of either label in bins of falling scores."""
    if math.isinf(error):
        return 0.0, 1.0
    counted = positives.dtype.kind == "i"
    kept = positives > 0
    p, total = positives[kept].astype(np.float64), float(positives.sum())
    above, wrong = _above(positives)[kept], _above(negatives)[kept]
    wrong_within = np.cumsum(negatives)[kept].astype(np.float64)
    best = (above + p) / (above + p + (wrong_within if exact else wrong))
    high = math.fsum((p / total * best).tolist())
    if exact:
        return _widened(high, high, error, 0.0)
    base = above + (0.5 if counted else 0.0)
    start = base + wrong_within
    with np.errstate(over="ignore", under="ignore"):
        ratio = np.divide(p, start, out=np.zeros(len(p)), where=wrong_within > 0)
    # a ratio beyond the range of float64 has a logarithm well within it
    logarithm, beyond = np.log1p(ratio), np.isinf(ratio)
    logarithm[beyond] = np.log(start[beyond] + p[beyond]) - np.log(start[beyond])
    gained = np.maximum(p - wrong_within * logarithm, 0.0)
    # one below it is lost; the logarithm is at most the ratio, and p - c p / (b + c) = p b / (b + c)
    below = (wrong_within > 0) & (ratio < 1e-300)
    gained[below] = p[below] * (base[below] / start[below])
    low = math.fsum((gained / total).tolist())
    # the difference has an absolute error of 8 roundings of p at most
    return _widened(low, high, error, 16.0 * _UNIT)
