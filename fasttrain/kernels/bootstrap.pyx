"""Resamples of data that were sorted or counted once, and the metrics of each.

A resample draws units (rows, or groups of rows) with replacement, in each stratum as many as it has.  The
stratum is cut into blocks; how many draws fall into each follows from conditional binomials, which are exact,
and the draws of a block are then made among its units (simd/bootstrap.h).  What is asked of a resample is
added up block by block while the counts are in the first cache; only where rows are not in the order of the
units are the counts of all kept.

Every random number is keyed by (seed, resample, block), resamples are the pieces of the work, and each is
added up by one thread in the order of its blocks: the same bits for any number of threads.
"""
import math

import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport NAN, exp, fabs, floor, log, log1p, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fasttrain.kernels.checks cimport check_integer
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    table,
    threads_for,
)
from fasttrain.kernels.table cimport (
    FT_BOOTSTRAP_BLOCK,
    FT_BOOTSTRAP_LANES,
    FT_BOOTSTRAP_LAST,
    FT_BOOTSTRAP_POSITIVE,
)

cdef extern from "random.h" nogil:
    enum:
        FT_STREAM_RESAMPLE, FT_STREAM_SHARE
    double ft_random_uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t position)

cnp.import_array()

cdef enum:
    # a thread less than this many draws costs more than it gives
    _GRAIN_DRAWS = 1 << 18

BLOCK = FT_BOOTSTRAP_BLOCK
LANES = FT_BOOTSTRAP_LANES
POSITIVE = FT_BOOTSTRAP_POSITIVE
LAST = FT_BOOTSTRAP_LAST


# ---- how many draws a part gets --------------------------------------------------------------------------

# log k! = (k + 1/2) log(k + 1) - (k + 1) + log(2 pi) / 2 + remainder(k)
cdef double[10] _REMAINDERS
for _k in range(10):
    _REMAINDERS[_k] = (
        math.lgamma(_k + 1) - (_k + 0.5) * math.log(_k + 1) + (_k + 1) - 0.5 * math.log(2 * math.pi)
    )

cdef double _HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


# Where in the stream of a part the next number is.
ctypedef struct Stream:
    uint64_t seed, position
    uint32_t resample


cdef Stream _stream(uint64_t seed, uint32_t resample, uint64_t part) noexcept nogil:
    cdef Stream stream
    stream.seed, stream.resample, stream.position = seed, resample, part << 32
    return stream


cdef double _uniform(Stream* stream) noexcept nogil:
    stream.position += 1
    return ft_random_uniform(stream.seed, FT_STREAM_SHARE, stream.resample, stream.position)


cdef double _remainder(double k) noexcept nogil:
    """Of Stirling's series; its next term is below 1e-10 from k = 10 on."""
    cdef double x, square
    if k < 10.0:
        return _REMAINDERS[<int> k]
    x = k + 1.0
    square = x * x
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - 1.0 / 1680 / square) / square) / square) / x


cdef int64_t _binomial(int64_t n, double p, Stream* stream) noexcept nogil:
    """Successes in n trials of probability p, n below 2^53.

    By inversion where few are expected, else by rejection (BTRS of Hoermann, "The generation of binomial random
    variates", 1993), with logarithms of ratios near 1 by log1p, so that factorials of large n cancel exactly.
    """
    cdef double q, odds, mass, u, v, us, k, spread, a, b, c, threshold, alpha, mode, bound, trials = <double> n
    cdef int64_t found = 0
    if n <= 0 or p <= 0.0:
        return 0
    if p >= 1.0:
        return n
    if p > 0.5:
        return n - _binomial(n, 1.0 - p, stream)
    q = 1.0 - p
    odds = p / q
    if trials * p < 10.0:
        while True:
            mass, u, found = exp(trials * log1p(-p)), _uniform(stream), 0
            while u > mass and found < n:
                u -= mass
                found += 1
                mass *= odds * (trials - found + 1.0) / found
                if mass == 0.0:
                    break
            if u <= mass:
                return found
            # rounding has left a crumb above the last mass: draw again
    spread = sqrt(trials * p * q)
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = trials * p + 0.5
    threshold = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    mode = floor((trials + 1.0) * p)
    while True:
        u, v = _uniform(stream) - 0.5, _uniform(stream)
        us = 0.5 - fabs(u)
        k = floor((2.0 * a / us + b) * u + c)
        if us >= 0.07 and v <= threshold:
            return <int64_t> k
        if not (0.0 <= k <= trials):
            continue
        bound = (
            (mode + 0.5) * log1p((mode - k) / (k + 1.0))
            + (trials - mode + 0.5) * log1p((k - mode) / (trials - k + 1.0))
            + (k - mode) * log(odds * (trials - k + 1.0) / (k + 1.0))
            + _remainder(mode) + _remainder(trials - mode) - _remainder(k) - _remainder(trials - k)
        )
        if log(v * alpha / (a / (us * us) + b)) <= bound:
            return <int64_t> k


cdef int64_t _poisson(double mean, Stream* stream) noexcept nogil:
    """By inversion where the mean is small, else by PTRS (Hoermann, "The transformed rejection method for
    generating Poisson random variables", 1993)."""
    cdef double mass, u, v, us, k, a, b, inverse, threshold
    cdef int64_t found
    if mean <= 0.0:
        return 0
    if mean < 10.0:
        while True:
            mass, u, found = exp(-mean), _uniform(stream), 0
            while u > mass and mass > 0.0:
                u -= mass
                found += 1
                mass *= mean / found
            if u <= mass:
                return found
    b = 0.931 + 2.53 * sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse = 1.1239 + 1.1328 / (b - 3.4)
    threshold = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u, v = _uniform(stream) - 0.5, _uniform(stream)
        us = 0.5 - fabs(u)
        k = floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= threshold:
            return <int64_t> k
        if not (0.0 <= k < 9e15) or (us < 0.013 and v > us):
            continue
        if log(v * inverse / (a / (us * us) + b)) <= (
            (k + 1.0 - mean) + k * log(mean / (k + 1.0)) - 0.5 * log(k + 1.0) - _HALF_LOG_2_PI - _remainder(k)
        ):
            return <int64_t> k


# ---- what a resample adds up -----------------------------------------------------------------------------

# A ranking of rows, in the order of memory of simd/bootstrap.h.
ctypedef struct Ranking:
    Py_ssize_t n_rows
    const uint32_t* index       # (n_rows,): the unit of each position, or NULL: positions are units
    const uint8_t* flags        # (n_rows,)
    const double* weights       # (n_rows,) or NULL
    double scale_1, scale_0     # powers of two that bring the weights of either label near 1, lest products overflow
    Py_ssize_t n_ties
    const int64_t* ties         # (n_ties, 3): begin, first of label 0, and end of equal scores of both labels
    int precision               # average precision is wanted too


# Rows in cells.
ctypedef struct Cells:
    Py_ssize_t n_rows, n_cells
    const uint32_t* index       # (n_rows,) or NULL: rows are units
    const int32_t* cells        # (n_rows,)
    const double* weights       # (n_rows,) or NULL
    double* sums                # (n_resamples, n_cells)


# What has been counted down a ranking.
ctypedef struct Descent:
    uint64_t tp, fp, last_tp, last_fp, half_pairs, tie_tp, tie_fp
    Py_ssize_t tie
    double weighted_tp, weighted_fp, tied_tp, tied_fp, area, precisions


ctypedef struct Resampling:
    uint64_t seed
    uint32_t first
    int poisson
    Py_ssize_t n_resamples, n_units, n_strata, n_terms, n_rankings, n_tables
    const int64_t* strata       # (n_strata,): units of each
    const double* terms         # (n_terms, n_units)
    double* sums                # (n_resamples, n_terms)
    const Ranking* rankings     # (n_rankings,)
    double* scores              # (n_resamples, n_rankings, 2)
    const Cells* tables         # (n_tables,)
    int keeps_counts            # of all units, since not all rows are in their order
    uint32_t* counts            # of each thread, (n_units,) or (FT_BOOTSTRAP_BLOCK,)
    uint32_t* gathered          # of each thread, (FT_BOOTSTRAP_BLOCK,)
    Descent* descents           # of each thread, (n_rankings,)


cdef void _descend(
    Descent* d, Py_ssize_t n, Py_ssize_t stride, const uint32_t* counts, const uint8_t* flags
) noexcept nogil:
    cdef Py_ssize_t place, i
    cdef uint64_t count, ones, tp = d.tp, fp = d.fp, last_tp = d.last_tp, last_fp = d.last_fp, one = 1
    cdef uint64_t half_pairs = d.half_pairs
    cdef double precisions = d.precisions
    for place in range(n):
        i = place * stride
        count = counts[i]
        ones = count & (0 - <uint64_t> (flags[i] & FT_BOOTSTRAP_POSITIVE))
        tp += ones
        fp += count - ones
        if flags[i] & FT_BOOTSTRAP_LAST:
            # where nothing was drawn 0 is added, and nothing decided that could not be foretold
            half_pairs += (fp - last_fp) * (tp + last_tp)
            precisions += <double> <int64_t> (tp - last_tp) * (
                <double> <int64_t> tp / <double> <int64_t> max(tp + fp, one)
            )
            last_fp, last_tp = fp, tp
    d.tp, d.fp, d.last_tp, d.last_fp, d.half_pairs, d.precisions = tp, fp, last_tp, last_fp, half_pairs, precisions


cdef void _descend_weighted(
    const Ranking* r, Descent* d, Py_ssize_t n, Py_ssize_t stride, const uint32_t* counts, const uint8_t* flags,
    const double* weights,
) noexcept nogil:
    cdef Py_ssize_t place, i
    cdef double weight
    for place in range(n):
        i = place * stride
        weight = counts[i] * weights[i]
        if flags[i] & FT_BOOTSTRAP_POSITIVE:
            d.tied_tp += weight
        else:
            d.tied_fp += weight
        if flags[i] & FT_BOOTSTRAP_LAST:
            # sums of equal scores of their own: differences of running sums would lose small weights to large ones
            d.area += (r.scale_0 * d.tied_fp) * (r.scale_1 * (2.0 * d.weighted_tp + d.tied_tp))
            d.weighted_tp += d.tied_tp
            d.weighted_fp += d.tied_fp
            if d.tied_tp > 0.0:
                d.precisions += (r.scale_1 * d.tied_tp) * (d.weighted_tp / (d.weighted_tp + d.weighted_fp))
            d.tied_tp, d.tied_fp = 0.0, 0.0


cdef uint64_t _sum_of_positions(
    Py_ssize_t begin, Py_ssize_t end, Py_ssize_t size, const uint32_t* counts
) noexcept nogil:
    """Over positions begin .. end - 1 of a block."""
    cdef Py_ssize_t depth = size // FT_BOOTSTRAP_LANES, body = depth * FT_BOOTSTRAP_LANES, i, row, lane
    cdef uint64_t total = 0
    for i in range(max(begin, body), end):
        total += counts[i]
    end = min(end, body)
    if begin < end:
        lane, row = begin // depth, begin % depth
        for _ in range(begin, end):
            total += counts[row * FT_BOOTSTRAP_LANES + lane]
            row += 1
            if row == depth:
                row = 0
                lane += 1
    return total


cdef void _subtract_ties(
    const Ranking* r, Descent* d, Py_ssize_t begin, Py_ssize_t size, const uint32_t* counts
) noexcept nogil:
    """Equal scores of both labels are in the order of their labels: half of their pairs are too many."""
    cdef Py_ssize_t end = begin + size
    cdef const int64_t* tie
    while d.tie < r.n_ties:
        tie = r.ties + 3 * d.tie
        if tie[0] >= end:
            break
        d.tie_tp += _sum_of_positions(max(tie[0] - begin, 0), min(tie[1], end) - begin, size, counts)
        d.tie_fp += _sum_of_positions(max(tie[1] - begin, 0), min(tie[2], end) - begin, size, counts)
        if tie[2] > end:
            break
        d.half_pairs -= d.tie_tp * d.tie_fp
        d.tie_tp, d.tie_fp = 0, 0
        d.tie += 1


cdef void _rank(
    const Ranking* r, Descent* d, Py_ssize_t begin, Py_ssize_t size, const uint32_t* counts
) noexcept nogil:
    cdef Py_ssize_t depth = size // FT_BOOTSTRAP_LANES, body = depth * FT_BOOTSTRAP_LANES, lane
    cdef const uint8_t* flags = r.flags + begin
    cdef const double* weights
    if r.weights == NULL and not r.precision:
        d.half_pairs += 2 * table.bootstrap_pairs(size, counts, flags, &d.tp, &d.fp)
        _subtract_ties(r, d, begin, size, counts)
    elif r.weights == NULL:
        for lane in range(FT_BOOTSTRAP_LANES):
            _descend(d, depth, FT_BOOTSTRAP_LANES, counts + lane, flags + lane)
        _descend(d, size - body, 1, counts + body, flags + body)
    else:
        weights = r.weights + begin
        for lane in range(FT_BOOTSTRAP_LANES):
            _descend_weighted(r, d, depth, FT_BOOTSTRAP_LANES, counts + lane, flags + lane, weights + lane)
        _descend_weighted(r, d, size - body, 1, counts + body, flags + body, weights + body)


cdef void _count(
    const Cells* t, double* sums, Py_ssize_t begin, Py_ssize_t size, const uint32_t* counts
) noexcept nogil:
    cdef const int32_t* cells = t.cells + begin
    cdef Py_ssize_t i
    # sums of counts are exact in double below 2^53
    if t.weights == NULL:
        for i in range(size):
            sums[cells[i]] += counts[i]
    else:
        for i in range(size):
            sums[cells[i]] += counts[i] * t.weights[begin + i]


cdef const uint32_t* _gather(
    const uint32_t* index, Py_ssize_t begin, Py_ssize_t size, const uint32_t* counts, uint32_t* gathered
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        gathered[i] = counts[index[begin + i]]
    return gathered


cdef int64_t _draw(
    const Resampling* s, Py_ssize_t resample, int thread, uint32_t* counts
) noexcept nogil:
    """One resample, block by block; returns how many units were drawn."""
    cdef Py_ssize_t stratum, unit = 0, left, size, i
    cdef int64_t draws, share, total = 0
    cdef uint64_t block = 0
    cdef uint32_t number = s.first + <uint32_t> resample
    cdef uint32_t* at
    cdef Stream stream
    for stratum in range(s.n_strata):
        left = s.strata[stratum]
        draws = left
        if s.poisson:
            stream = _stream(s.seed, number, block)
            # apart from the same part's numbers for its share
            stream.position |= <uint64_t> 1 << 31
            draws = _poisson(<double> left, &stream)
        total += draws
        while left > 0:
            size = min(left, <Py_ssize_t> FT_BOOTSTRAP_BLOCK)
            share = draws
            if size < left:
                stream = _stream(s.seed, number, block)
                share = _binomial(draws, <double> size / <double> left, &stream)
            at = counts + (unit if s.keeps_counts else 0)
            table.bootstrap_draw(s.seed, FT_STREAM_RESAMPLE, number, block, size, share, at)
            for i in range(s.n_terms):
                s.sums[resample * s.n_terms + i] += table.bootstrap_sum(size, at, s.terms + i * s.n_units + unit)
            for i in range(s.n_rankings):
                # a block of a ranking is a block of units only where there is one stratum
                if s.rankings[i].index == NULL:
                    _rank(&s.rankings[i], &s.descents[thread * s.n_rankings + i], unit, size, at)
            for i in range(s.n_tables):
                if s.tables[i].index == NULL:
                    _count(&s.tables[i], s.tables[i].sums + resample * s.tables[i].n_cells, unit, size, at)
            draws -= share
            left -= size
            unit += size
            block += 1
    return total


cdef void _resample(const Resampling* s, Py_ssize_t resample, int thread) noexcept nogil:
    cdef uint32_t* counts = s.counts + thread * (s.n_units if s.keeps_counts else <Py_ssize_t> FT_BOOTSTRAP_BLOCK)
    cdef uint32_t* gathered = s.gathered + thread * <Py_ssize_t> FT_BOOTSTRAP_BLOCK
    cdef Descent* descents = s.descents + thread * s.n_rankings
    cdef const Ranking* r
    cdef const Cells* t
    cdef Py_ssize_t i, block, begin, size
    cdef double* scores
    cdef Descent empty = Descent(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for i in range(s.n_rankings):
        descents[i] = empty
    _draw(s, resample, thread, counts)
    for i in range(s.n_rankings):
        r = &s.rankings[i]
        if r.index != NULL:
            for block in range((r.n_rows + FT_BOOTSTRAP_BLOCK - 1) // FT_BOOTSTRAP_BLOCK):
                begin = block * FT_BOOTSTRAP_BLOCK
                size = min(r.n_rows - begin, <Py_ssize_t> FT_BOOTSTRAP_BLOCK)
                _rank(r, &descents[i], begin, size, _gather(r.index, begin, size, counts, gathered))
    for i in range(s.n_tables):
        t = &s.tables[i]
        if t.index != NULL:
            for block in range((t.n_rows + FT_BOOTSTRAP_BLOCK - 1) // FT_BOOTSTRAP_BLOCK):
                begin = block * FT_BOOTSTRAP_BLOCK
                size = min(t.n_rows - begin, <Py_ssize_t> FT_BOOTSTRAP_BLOCK)
                _count(
                    t, t.sums + resample * t.n_cells, begin, size, _gather(t.index, begin, size, counts, gathered)
                )
    for i in range(s.n_rankings):
        scores = s.scores + 2 * (resample * s.n_rankings + i)
        _finish(&s.rankings[i], &descents[i], scores)


cdef void _finish(const Ranking* r, const Descent* d, double* scores) noexcept nogil:
    cdef double tp, fp
    scores[0], scores[1] = NAN, NAN
    if r.weights != NULL:
        tp, fp = d.weighted_tp, d.weighted_fp
        if tp > 0.0 and fp > 0.0:
            scores[0] = d.area / (r.scale_1 * tp) / (2.0 * (r.scale_0 * fp))
        if tp > 0.0:
            scores[1] = d.precisions / (r.scale_1 * tp)
        return
    if d.tp and d.fp:
        scores[0] = <double> d.half_pairs / <double> (2 * d.tp * d.fp)
    if r.precision and d.tp:
        scores[1] = d.precisions / <double> d.tp


cdef void _member(const Resampling* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_resamples)
    while piece >= 0:
        _resample(s, piece, thread)
        piece = ft_crew_take(crew, thread, 0, s.n_resamples)
    ft_crew_leave(crew, thread)


# ---- what Python calls -----------------------------------------------------------------------------------


cdef const int64_t[::1] _strata(strata, Py_ssize_t n_resamples, first):
    sizes = np.ascontiguousarray(strata, dtype=np.int64)
    if sizes.ndim != 1 or (sizes.size and sizes.min() < 1) or sizes.sum() >= 2**31:
        raise ValueError("strata must hold sizes of at least 1, fewer than 2**31 together")
    check_integer(n_resamples, "n_resamples", 0, 2**28 - 1)
    check_integer(first, "first", 0, 2**32 - 2**28)
    return sizes


cdef _check_length(array, str name, Py_ssize_t size):
    if array is not None and array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {array.shape}")


cdef _check_index(array, str name, Py_ssize_t end):
    if array is not None and array.size and not (0 <= array.min() and array.max() < end):
        raise ValueError(f"{name} must lie in 0 .. {end - 1}")


cdef double _scale(weights) except? -1.0:
    return math.ldexp(1.0, -max(-1000, min(1000, math.frexp(weights.max(initial=0.0))[1])))


def resample_counts(strata, Py_ssize_t n_resamples, *, uint64_t seed, bint poisson=False, first=0):
    """How often each unit is drawn in each resample.

    Parameters
    ----------
    strata : array-like of shape (n_strata,)
        Units of each stratum; the units of one follow those of another.
    n_resamples : int
    seed : int
        A resample is a function of it, of ``first`` plus its number, and of the arguments beside these.
    poisson : bool, default False
        Each unit is drawn a number of times of its own, of Poisson's distribution with mean 1, instead of as
        many units of each stratum as it has.
    first : int, default 0
        The number of the first resample.

    Returns
    -------
    uint32 ndarray of shape (n_resamples, n_units)

    Examples
    --------
    >>> from fasttrain.kernels.bootstrap import resample_counts
    >>> resample_counts([3, 2], 4, seed=0).sum(axis=1).tolist()
    [5, 5, 5, 5]
    """
    cdef const int64_t[::1] sizes = _strata(strata, n_resamples, first)
    cdef Py_ssize_t n_units = np.sum(sizes), resample
    cdef cnp.ndarray counts = np.zeros((n_resamples, n_units), dtype=np.uint32)
    cdef Resampling s
    _prepare(&s, sizes, n_units, n_resamples, seed, poisson, first)
    s.keeps_counts = 1
    if n_units:
        with nogil:
            for resample in range(n_resamples):
                _draw(&s, resample, 0, <uint32_t*> cnp.PyArray_DATA(counts) + resample * n_units)
    return counts


cdef _prepare(
    Resampling* s, const int64_t[::1] sizes, Py_ssize_t n_units, Py_ssize_t n_resamples, uint64_t seed, bint poisson,
    first,
):
    s.seed, s.first, s.poisson = seed, first, poisson
    s.n_resamples, s.n_units, s.n_strata = n_resamples, n_units, sizes.shape[0]
    s.strata = &sizes[0] if sizes.shape[0] else NULL
    s.n_terms = s.n_rankings = s.n_tables = 0
    s.keeps_counts = 0
    s.terms, s.sums, s.rankings, s.scores, s.tables = NULL, NULL, NULL, NULL, NULL
    s.counts, s.gathered, s.descents = NULL, NULL, NULL


def cell_counts(sizes, starts, Py_ssize_t n_resamples, *, uint64_t seed, bint poisson=False, first=0, n_threads=None):
    """How many rows of each cell are drawn in each resample: :func:`resample_counts` of rows, counted by cells.

    Parameters
    ----------
    sizes : array-like of shape (n_cells,)
        Rows of each cell.
    starts : array-like of shape (n_strata + 1,)
        The first cell of each stratum, and the end of the last.
    n_resamples, seed, poisson, first
        As for :func:`resample_counts`.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    int64 ndarray of shape (n_resamples, n_cells)

    Examples
    --------
    >>> from fasttrain.kernels.bootstrap import cell_counts
    >>> cell_counts([10, 20, 70], [0, 3], 4, seed=0).sum(axis=1).tolist()
    [100, 100, 100, 100]
    """
    cdef const int64_t[::1] cells = np.ascontiguousarray(sizes, dtype=np.int64)
    cdef const int64_t[::1] bounds = np.ascontiguousarray(starts, dtype=np.int64)
    cdef Py_ssize_t n_cells = cells.shape[0]
    if n_cells and np.min(cells) < 1:
        raise ValueError("sizes must be at least 1")
    if bounds.shape[0] < 1 or bounds[0] != 0 or bounds[-1] != n_cells or (np.diff(bounds) < 0).any():
        raise ValueError("starts must rise from 0 to the number of cells")
    _strata([1], n_resamples, first)
    cdef cnp.ndarray counts = np.zeros((n_resamples, n_cells), dtype=np.int64)
    cdef int threads = threads_for(n_threads, <double> n_resamples * n_cells * 32, _GRAIN_DRAWS)
    cdef CellDraws s
    cdef ft_crew crew
    if not n_cells:
        return counts
    s.seed, s.first, s.poisson, s.n_resamples, s.n_cells = seed, first, poisson, n_resamples, n_cells
    s.n_strata, s.sizes, s.starts, s.counts = bounds.shape[0] - 1, &cells[0], &bounds[0], (
        <int64_t*> cnp.PyArray_DATA(counts)
    )
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _draw_cells(&s, &crew)
        else:
            with parallel(num_threads=threads):
                _draw_cells(&s, &crew)
    return counts


ctypedef struct CellDraws:
    uint64_t seed
    uint32_t first
    int poisson
    Py_ssize_t n_resamples, n_cells, n_strata
    const int64_t* sizes
    const int64_t* starts
    int64_t* counts


cdef void _draw_cells(const CellDraws* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t resample = ft_crew_take(crew, thread, 0, s.n_resamples), stratum, cell
    cdef int64_t draws, left, share
    cdef int64_t* counts
    cdef Stream stream
    while resample >= 0:
        counts = s.counts + resample * s.n_cells
        for stratum in range(s.n_strata):
            left = 0
            for cell in range(s.starts[stratum], s.starts[stratum + 1]):
                left += s.sizes[cell]
            draws = left
            for cell in range(s.starts[stratum], s.starts[stratum + 1]):
                stream = _stream(s.seed, s.first + <uint32_t> resample, cell)
                if s.poisson:
                    counts[cell] = _poisson(<double> s.sizes[cell], &stream)
                    continue
                share = draws
                if s.sizes[cell] < left:
                    share = _binomial(draws, <double> s.sizes[cell] / <double> left, &stream)
                counts[cell] = share
                draws -= share
                left -= s.sizes[cell]
        resample = ft_crew_take(crew, thread, 0, s.n_resamples)
    ft_crew_leave(crew, thread)


def resample_sums(
    strata, Py_ssize_t n_resamples, *, uint64_t seed, bint poisson=False, first=0, terms=None, rankings=(),
    tables=(), n_threads=None,
):
    """What each resample adds up to, without the counts of its units.

    Parameters
    ----------
    strata, n_resamples, seed, poisson, first
        As for :func:`resample_counts`, whose resamples these are.
    terms : float64 ndarray of shape (n_terms, n_units), optional
        Each is summed over the units of a resample.
    rankings : sequence of (flags, ties, index, weights, precision)
        Rows from the highest score on, in the order of :func:`order_in_memory`: ``flags`` (n_rows,) of uint8 are
        POSITIVE for label 1 plus LAST for the last of equal scores, among which label 1 comes first; ``ties``
        (n_ties, 3) of int64 are the positions of the first, the first of label 0, and the end of equal scores of
        both labels; ``index`` (n_rows,) of uint32 is the unit of each, or None where position and unit are one;
        ``weights`` (n_rows,) of float64 or None; ``precision``: whether average precision is wanted.
    tables : sequence of (cells, n_cells, index, weights)
        Rows in cells: ``cells`` (n_rows,) of int32; ``index`` and ``weights`` as above, for rows in any order.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    sums : float64 ndarray of shape (n_resamples, n_terms)
    scores : float64 ndarray of shape (n_resamples, n_rankings, 2)
        Area under the ROC curve and average precision; nan where they are not defined.  Without weights, average
        precision is nan where it is not wanted.
    tables : list of float64 ndarray of shape (n_resamples, n_cells)
        Rows, or sums of weights, in each cell.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels.bootstrap import resample_sums
    >>> sums, _, _ = resample_sums([100], 3, seed=0, terms=np.ones((1, 100)))
    >>> sums.ravel().tolist()
    [100.0, 100.0, 100.0]
    """
    cdef const int64_t[::1] sizes = _strata(strata, n_resamples, first)
    cdef Py_ssize_t n_units = np.sum(sizes), n_terms = 0, i, rows = 0
    cdef const double[:, ::1] term_values
    cdef const uint8_t[::1] flags
    cdef const int64_t[:, ::1] ties
    cdef const uint32_t[::1] index
    cdef const double[::1] weights
    cdef const int32_t[::1] cells
    cdef Resampling s
    cdef int threads, identity
    _prepare(&s, sizes, n_units, n_resamples, seed, poisson, first)
    if terms is not None:
        if terms.ndim != 2 or terms.shape[1] != n_units:
            raise ValueError(f"terms must have shape (n_terms, {n_units}), got {terms.shape}")
        term_values = terms
        n_terms = terms.shape[0]
        if n_terms and n_units:
            s.terms = &term_values[0, 0]
    s.n_terms, s.n_rankings, s.n_tables = n_terms, len(rankings), len(tables)
    cdef cnp.ndarray sums = np.zeros((n_resamples, n_terms))
    cdef cnp.ndarray scores = np.full((n_resamples, s.n_rankings, 2), np.nan)
    cdef list found = [np.zeros((n_resamples, one[1])) for one in tables]
    cdef cnp.ndarray ranking_structs = np.zeros(s.n_rankings * sizeof(Ranking) + 1, dtype=np.uint8)
    cdef cnp.ndarray table_structs = np.zeros(s.n_tables * sizeof(Cells) + 1, dtype=np.uint8)
    cdef Ranking* r = <Ranking*> cnp.PyArray_DATA(ranking_structs)
    cdef Cells* t = <Cells*> cnp.PyArray_DATA(table_structs)
    if n_units == 0 or n_resamples == 0:
        return sums, scores, found
    for i in range(s.n_rankings):
        one_flags, one_ties, one_index, one_weights, precision = rankings[i]
        r[i].n_rows = len(one_flags)
        identity = one_index is None
        if r[i].n_rows == 0 or (identity and (r[i].n_rows != n_units or s.n_strata != 1)):
            raise ValueError("flags must be of all units of one stratum where index is None")
        _check_length(one_index, "index", r[i].n_rows)
        _check_length(one_weights, "weights", r[i].n_rows)
        _check_index(one_index, "index", n_units)
        _check_index(one_ties, "ties", r[i].n_rows + 1)
        flags, ties = one_flags, one_ties
        r[i].flags, r[i].n_ties, r[i].precision = &flags[0], ties.shape[0], bool(precision)
        if ties.shape[0]:
            if ties.shape[1] != 3:
                raise ValueError(f"ties must have shape (n_ties, 3), got {one_ties.shape}")
            r[i].ties = &ties[0, 0]
        if not identity:
            index = one_index
            r[i].index = &index[0]
        if one_weights is not None:
            weights = one_weights
            r[i].weights = &weights[0]
            is_1 = (one_flags & FT_BOOTSTRAP_POSITIVE) != 0
            r[i].scale_1, r[i].scale_0 = _scale(one_weights[is_1]), _scale(one_weights[~is_1])
        s.keeps_counts |= not identity
        rows += r[i].n_rows
    for i in range(s.n_tables):
        one_cells, n_cells, one_index, one_weights = tables[i]
        t[i].n_rows, t[i].n_cells = len(one_cells), n_cells
        identity = one_index is None
        if t[i].n_rows == 0 or (identity and t[i].n_rows != n_units):
            raise ValueError("cells must be of all units where index is None")
        _check_length(one_index, "index", t[i].n_rows)
        _check_length(one_weights, "weights", t[i].n_rows)
        _check_index(one_index, "index", n_units)
        _check_index(one_cells, "cells", n_cells)
        cells = one_cells
        t[i].cells = &cells[0]
        t[i].sums = <double*> cnp.PyArray_DATA(<cnp.ndarray> found[i])
        if not identity:
            index = one_index
            t[i].index = &index[0]
        if one_weights is not None:
            weights = one_weights
            t[i].weights = &weights[0]
        s.keeps_counts |= not identity
        rows += t[i].n_rows
    s.sums, s.scores = <double*> cnp.PyArray_DATA(sums), <double*> cnp.PyArray_DATA(scores)
    s.rankings, s.tables = r, t
    threads = threads_for(n_threads, <double> n_resamples * (n_units + rows), _GRAIN_DRAWS)
    threads = min(threads, n_resamples)
    cdef cnp.ndarray counts = np.empty(
        threads * (n_units if s.keeps_counts else <Py_ssize_t> FT_BOOTSTRAP_BLOCK), dtype=np.uint32
    )
    cdef cnp.ndarray gathered = np.empty(threads * FT_BOOTSTRAP_BLOCK, dtype=np.uint32)
    cdef cnp.ndarray descents = np.empty(threads * s.n_rankings * sizeof(Descent) + 1, dtype=np.uint8)
    s.counts = <uint32_t*> cnp.PyArray_DATA(counts)
    s.gathered = <uint32_t*> cnp.PyArray_DATA(gathered)
    s.descents = <Descent*> cnp.PyArray_DATA(descents)
    cdef ft_crew crew
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _member(&s, &crew)
        else:
            with parallel(num_threads=threads):
                _member(&s, &crew)
    return sums, scores, found


def order_in_memory(Py_ssize_t n_rows):
    """The position of a ranking at each place in memory: blocks of LANES columns that are read row by row.

    Examples
    --------
    >>> from fasttrain.kernels.bootstrap import order_in_memory
    >>> order_in_memory(34)[:3].tolist(), order_in_memory(34)[-4:].tolist()
    ([0, 2, 4], [29, 31, 32, 33])
    """
    positions = np.arange(n_rows, dtype=np.int64)
    for begin in range(0, n_rows, BLOCK):
        block = positions[begin : begin + BLOCK]
        body = block[: len(block) // LANES * LANES]
        body[:] = body.reshape(LANES, -1).T.reshape(-1)
    return positions
