"""How well each row's scores rank its labels or documents, by scikit-learn's names, arguments and answers.

Every row is a ranking of its own.  Rows are sorted some at a time, so that what is made on the way is small
whatever the number of rows; no step is done row by row.
"""

import math
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError
from fasttrain.metrics._validation import (
    as_array,
    check_array_like,
    check_boolean,
    check_lengths,
    check_sample_weight,
)

__all__ = ["dcg_score", "label_ranking_average_precision_score", "ndcg_score"]

_Array = NDArray[Any]

# Pieces of rows that stay in a core's cache.
_PIECE_NUMBERS = 1 << 16


def dcg_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    k: int | None = None,
    log_base: float = 2,
    sample_weight: ArrayLike | None = None,
    ignore_ties: bool = False,
) -> float:
    """Discounted cumulative gain, ``sum_r gain_r log(log_base) / log(r + 1)`` over ranks r = 1 .. k, mean over rows.

    gain_r is the relevance of the document with the r-th highest score.

    Parameters
    ----------
    y_true : array-like of shape (n_rows, n_documents)
        Finite relevances; two documents or more.
    y_score : array-like of shape (n_rows, n_documents)
        Finite scores; float32 and integers are compared as they are.
    k : int, optional
        Ranks that count, at least 1; all if not given.
    log_base : float, default 2
        Above 0.
    sample_weight : array-like of shape (n_rows,), optional
        Of the mean over rows: finite, not negative, not all zero.
    ignore_ties : bool, default False
        By default documents with the same score share their ranks: each takes the mean of their relevances, which
        is the mean over all their orders (McSherry and Najork 2008).  True ranks the later column first.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Shapes that differ or are not (n_rows, n_documents), empty data, NaN or infinity, bad weights or options.

    Notes
    -----
    With ``ignore_ties=True`` scikit-learn leaves the order of equal scores to its sort.  It negates scores, so that
    it ranks unsigned integers wrongly and refuses bool; here they are the numbers that they are.

    Examples
    --------
    >>> from fasttrain.metrics import dcg_score
    >>> round(dcg_score([[10, 0, 0, 1, 5]], [[0.1, 0.2, 0.3, 4, 70]]), 4)
    9.4995
    >>> dcg_score([[10, 0, 0, 1, 5]], [[1, 0, 0, 0, 1]], k=1)
    7.5
    """
    _check_options(k, ignore_ties)
    if not isinstance(log_base, numbers.Real) or not 0 < log_base < math.inf:
        raise InvalidParameterError(f"log_base must be a finite number above 0, got {log_base!r}")
    true, score, weight = _rankings(y_true, y_score, sample_weight)
    _check_documents(true)
    return _mean(_gains(true, score, _discounts(true.shape[1], k, float(log_base)), ignore_ties), weight)


def ndcg_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_ties: bool = False,
) -> float:
    """Normalised discounted cumulative gain: the gain of each row over the best that a ranking could reach.

    ``mean_i dcg_i / ideal_i``, of :func:`dcg_score` in base 2; rows without relevance score 0.

    Parameters
    ----------
    y_true : array-like of shape (n_rows, n_documents)
        Finite relevances, not negative; two documents or more.
    y_score, k, sample_weight, ignore_ties
        As for :func:`dcg_score`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        As :func:`dcg_score`; negative relevances.

    Examples
    --------
    >>> from fasttrain.metrics import ndcg_score
    >>> round(ndcg_score([[10, 0, 0, 1, 5]], [[0.1, 0.2, 0.3, 4, 70]]), 4)
    0.6957
    """
    _check_options(k, ignore_ties)
    true, score, weight = _rankings(y_true, y_score, sample_weight)
    _check_documents(true)
    lowest = true.min()
    if lowest < 0:
        raise ValueError(f"y_true must hold no negative relevance, got {lowest}")
    discount = _discounts(true.shape[1], k, 2.0)
    gains = _gains(true, score, discount, ignore_ties)
    best = np.empty(len(true))
    n_ranks = len(discount)
    for rows in _pieces(true):
        top = np.partition(true[rows], -n_ranks, axis=1)[:, -n_ranks:] if _is_few(n_ranks, true) else true[rows]
        best[rows] = (np.sort(top, axis=1)[:, ::-1][:, :n_ranks] * discount).sum(axis=1)
    return _mean(np.divide(gains, best, out=np.zeros(len(true)), where=best != 0), weight)


def label_ranking_average_precision_score(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Label ranking average precision: the share of relevant labels among those ranked as high as a relevant one.

    ``mean_i mean_(j relevant) |{l relevant: s_il >= s_ij}| / |{l: s_il >= s_ij}|``; 1 for rows whose labels are
    all relevant or none.

    Parameters
    ----------
    y_true : array-like of shape (n_rows, n_labels)
        Indicators: 1 or True for relevant labels, 0 or False for others.
    y_score : array-like of shape (n_rows, n_labels)
        Finite scores; float32 and integers are compared as they are.
    sample_weight : array-like of shape (n_rows,), optional
        Of the mean over rows: finite, not negative, not all zero.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError, TypeError
        Shapes that differ or have not two dimensions, other indicators, empty data, NaN or infinity, bad weights.

    Notes
    -----
    scikit-learn takes every value but 0 as relevant, so -1 too; here other values than 0 and 1 are refused.

    Examples
    --------
    >>> from fasttrain.metrics import label_ranking_average_precision_score
    >>> round(label_ranking_average_precision_score([[1, 0, 0], [0, 0, 1]], [[0.75, 0.5, 1], [1, 0.2, 0.1]]), 4)
    0.4167
    """
    true, score, weight = _rankings(y_true, y_score, sample_weight)
    precisions = np.empty(len(true))
    n_labels = true.shape[1]
    for rows in _pieces(true):
        part = true[rows]
        relevant = part == 1
        strange = ~relevant & (part != 0)
        if strange.any():
            raise ValueError(f"y_true must hold indicators 0 and 1 alone, got {part[strange][0]}")
        order, tied = _descending(score[rows])
        relevant = np.take_along_axis(relevant, order, axis=1)
        above = np.cumsum(relevant, axis=1)
        n_relevant = above[:, -1].copy()
        rank: _Array = np.arange(1, n_labels + 1)
        if tied.any():
            # all of a group stand where its last one does
            ends = np.flatnonzero(np.pad(~tied, ((0, 0), (0, 1)), constant_values=True))
            sizes = np.diff(ends, prepend=-1)
            above = np.repeat(above.reshape(-1)[ends], sizes).reshape(above.shape)
            rank = np.repeat(ends % n_labels + 1, sizes).reshape(above.shape)
        total = (above / rank).sum(axis=1, where=relevant)
        trivial = (n_relevant == 0) | (n_relevant == n_labels)
        precisions[rows] = np.where(trivial, 1.0, total / np.maximum(n_relevant, 1))
    return _mean(precisions, weight)


# ---- rows in the order of their scores -------------------------------------------------------------------


def _pieces(rows: _Array) -> Iterator[slice]:
    step = max(1, _PIECE_NUMBERS // rows.shape[1])
    for begin in range(0, len(rows), step):
        yield slice(begin, begin + step)


def _descending(score: _Array, stable: bool = False) -> tuple[_Array, _Array]:
    """(columns by falling score; whether each is followed by one of its score).

    stable: the later of equal ones first.
    """
    order = np.argsort(score, axis=1)
    ranked = np.take_along_axis(score, order, axis=1)
    tied = ranked[:, 1:] == ranked[:, :-1]
    if stable:
        # the sort that keeps the order of equal ones takes several times as long
        rows = np.flatnonzero(tied.any(axis=1))
        order[rows] = np.argsort(score[rows], axis=1, kind="stable")
    return np.ascontiguousarray(order[:, ::-1]), tied[:, ::-1]


def _discounts(n_documents: int, k: int | None, log_base: float) -> _Array:
    """Of the ranks that count."""
    n_ranks = n_documents if k is None else min(int(k), n_documents)
    with np.errstate(divide="ignore"):  # of base 1 every discount is 0
        return 1.0 / (np.log(np.arange(n_ranks) + 2) / np.log(log_base))


def _is_few(n_ranks: int, rows: _Array) -> bool:
    """Whether it is faster to part the highest from the others before they are sorted."""
    return 2 * n_ranks <= rows.shape[1]


def _gains(true: _Array, score: _Array, discount: _Array, ignore_ties: bool) -> _Array:
    """The discounted gain of each row."""
    gains = np.empty(len(true))
    n_ranks = len(discount)
    for rows in _pieces(true):
        part, its_score = true[rows], score[rows]
        if not _is_few(n_ranks, true):
            gains[rows] = _sorted_gains(part, its_score, discount, ignore_ties)
            continue
        # in the order of the columns, by which ties are broken
        top = np.sort(np.argpartition(its_score, -n_ranks, axis=1)[:, -n_ranks:], axis=1)
        its_top = np.take_along_axis(its_score, top, axis=1)
        gains[rows] = _sorted_gains(np.take_along_axis(part, top, axis=1), its_top, discount, ignore_ties)
        # of scores that are equal across the last rank any may be among the top
        n_as_high = np.count_nonzero(its_score >= its_top.min(axis=1, keepdims=True), axis=1)
        cut = np.flatnonzero(n_as_high > n_ranks)
        if len(cut):
            gains[rows.start + cut] = _sorted_gains(part[cut], its_score[cut], discount, ignore_ties)
    return gains


def _sorted_gains(true: _Array, score: _Array, discount: _Array, ignore_ties: bool) -> _Array:
    order, tied = _descending(score, stable=ignore_ties)
    ranked = np.take_along_axis(true, order, axis=1).astype(np.float64, copy=False)
    if not ignore_ties:
        with_ties = np.flatnonzero(tied.any(axis=1))
        if len(with_ties):
            ranked[with_ties] = _tie_means(ranked[with_ties], tied[with_ties])
    gains: _Array = (ranked[:, : len(discount)] * discount).sum(axis=1)
    return gains


def _tie_means(ranked: _Array, tied: _Array) -> _Array:
    """Every value replaced by the mean of those that it is tied with."""
    starts = np.flatnonzero(np.pad(~tied, ((0, 0), (1, 0)), constant_values=True))
    sizes = np.diff(starts, append=ranked.size)
    means = np.add.reduceat(ranked.reshape(-1), starts) / sizes
    return np.repeat(means, sizes).reshape(ranked.shape)


def _mean(values: _Array, weight: _Array | None) -> float:
    return float(np.average(values, weights=weight))


# ---- what comes in ---------------------------------------------------------------------------------------


def _check_options(k: Any, ignore_ties: Any) -> None:
    if k is not None and (not isinstance(k, numbers.Integral) or k < 1):
        raise InvalidParameterError(f"k must be an integer of at least 1 or None, got {k!r}")
    check_boolean(ignore_ties, "ignore_ties")


def _check_documents(true: _Array) -> None:
    if true.shape[1] < 2:
        raise ValueError(f"y_true must hold two documents or more a row, got shape {true.shape}")


def _rankings(y_true: Any, y_score: Any, sample_weight: Any) -> tuple[_Array, _Array, _Array | None]:
    """(values, scores, weights or None); two matrices of one shape."""
    true, score = _matrix(y_true, "y_true"), _matrix(y_score, "y_score")
    weight = None
    if sample_weight is not None:
        check_array_like(sample_weight, "sample_weight")
        weight = as_array(sample_weight, "sample_weight")
    check_lengths(("y_true", true), ("y_score", score), ("sample_weight", weight))
    if true.shape != score.shape:
        raise ValueError(f"y_true and y_score must have the same shape, got {true.shape} and {score.shape}")
    if weight is not None:
        weight = check_sample_weight(weight, len(true))
    return true, score, weight


def _matrix(value: Any, name: str) -> _Array:
    """Finite numbers of shape (n_rows, n_columns), in the dtype in which they came."""
    check_array_like(value, name)
    array = as_array(value, name)
    if array.dtype.kind not in "biufO":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    if array.dtype.kind == "O":
        array = array.astype(np.float64)
    if array.ndim != 2 or (len(array) and not array.shape[1]):
        raise ValueError(f"{name} must have shape (n_rows, n_columns), got {array.shape}")
    if array.dtype.kind == "f" and array.size:
        # NaN spreads to both, and fails both comparisons
        if not (array.min() > -np.inf and array.max() < np.inf):
            row, column = np.argwhere(~np.isfinite(array))[0].tolist()
            raise ValueError(f"{name} must be finite, got {array[row, column]} in row {row}, column {column}")
    return array
