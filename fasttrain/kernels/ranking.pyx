"""Binary ranking: rows in descending order of their scores, and what is counted on the way down.

Rows move through memory once.  In a first pass each piece counts its rows by a prefix of their scores' bits;
neighbouring prefixes are then joined to buckets that fit into a core's cache, and a second pass parts the rows
into them, each piece to places of its own.  In a third each bucket is finished by itself (simd/ranking.h).

Pieces and buckets depend on the data alone.  Counts and the area are integers; sums of floats are added in the
order of the buckets.  So the result has the same bits for any number of threads.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from fasttrain.kernels.checks cimport check_contiguous, check_shape, label_array, label_type, real_array
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_advance,
    ft_crew_finish,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    ft_crew_wait,
    table,
    threads_for,
)

cnp.import_array()

cdef enum:
    # a thread less than this much work costs more than it gives
    _GRAIN_ROWS = 1 << 15
    _PIECE_ROWS = 1 << 19
    # each piece has a histogram of its own
    _MOST_PIECES = 32
    _MOST_PREFIX_BITS = 16
    # a bucket holds this many rows, or this part of all; so the write positions of all stay in the cache
    _BUCKET_ROWS = 1 << 14
    _BUCKETS = 512
    # two neighbouring buckets hold more than one's share together, but at the sign and at the end
    _MOST_BUCKETS = 2 * _BUCKETS + 4
    # scores that differ in this many bits are counted in a table
    _TABLE_BITS = 16


# The rows on their way: what comes in, how it is cut, and what comes out.
ctypedef struct Ranking:
    Py_ssize_t n_rows, piece_rows, n_pieces
    int score_is_double, weight_is_double, label_type, allow_infinity, prefix_bits
    Py_ssize_t score_width, label_width, weight_width, row_width
    const char* scores
    const char* labels
    const char* weights         # NULL without weights
    uint32_t* histograms        # (n_pieces, 2^prefix_bits)
    uint16_t* bucket_of         # (2^prefix_bits,)
    uint64_t* cursors           # (n_pieces, _MOST_BUCKETS)
    int64_t* bad                # of each piece, its first bad row or -1
    int failed
    Py_ssize_t n_buckets, low_half  # low_half: the first bucket of keys whose highest bit is set
    int64_t* starts             # (n_buckets + 1,): the first row of each bucket, and the end
    int64_t* positives          # (n_buckets + 1,): rows of label 1 before each bucket
    char* rows                  # (n_rows,): words, or words with weights
    char* scratch               # (n_rows,)
    int finish                  # buckets are finished, not only sorted
    int table_bits
    uint32_t* tables            # of each thread, 2^(table_bits + 1)
    uint64_t* half_pairs        # (n_buckets,)
    double* sums                # (n_buckets,) sums of precisions


cdef void _histogram(const Ranking* s, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t begin = piece * s.piece_rows
    cdef Py_ssize_t size = min(s.n_rows - begin, s.piece_rows), bad
    cdef const char* scores = s.scores + begin * s.score_width
    cdef const char* weights = s.weights + begin * s.weight_width
    cdef uint32_t* histogram = s.histograms + (piece << s.prefix_bits)
    if s.score_is_double:
        bad = table.f64.rank_histogram(
            size, <const double*> scores, s.weight_is_double, weights, s.allow_infinity, s.prefix_bits, histogram
        )
    else:
        bad = table.f32.rank_histogram(
            size, <const float*> scores, s.weight_is_double, weights, s.allow_infinity, s.prefix_bits, histogram
        )
    s.bad[piece] = bad if bad < 0 else begin + bad


cdef void _scatter(const Ranking* s, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t begin = piece * s.piece_rows
    cdef Py_ssize_t size = min(s.n_rows - begin, s.piece_rows), bad
    cdef const char* scores = s.scores + begin * s.score_width
    cdef const char* labels = s.labels + begin * s.label_width
    cdef const char* weights = s.weights + begin * s.weight_width
    cdef uint64_t* cursors = s.cursors + piece * _MOST_BUCKETS
    cdef uint32_t last = <uint32_t> (s.n_rows - 1)
    if s.score_is_double:
        bad = table.f64.rank_scatter(
            size, s.label_type, labels, <const double*> scores, s.weight_is_double, weights, s.prefix_bits,
            s.bucket_of, cursors, last, s.rows,
        )
    else:
        bad = table.f32.rank_scatter(
            size, s.label_type, labels, <const float*> scores, s.weight_is_double, weights, s.prefix_bits,
            s.bucket_of, cursors, last, s.rows,
        )
    s.bad[piece] = bad if bad < 0 else begin + bad


cdef void _finish(const Ranking* s, Py_ssize_t bucket, int thread) noexcept nogil:
    cdef Py_ssize_t begin = s.starts[bucket], size = s.starts[bucket + 1] - s.starts[bucket]
    cdef char* rows = s.rows + begin * s.row_width
    cdef char* scratch = s.scratch + begin * s.row_width
    cdef uint64_t tp, fp
    cdef uint32_t* counts
    if not s.finish:
        if s.score_is_double:
            table.f64.rank_sort(size, s.weights != NULL, rows, scratch)
        else:
            table.f32.rank_sort(size, s.weights != NULL, rows, scratch)
        return
    tp, fp = s.positives[bucket], begin - s.positives[bucket]
    counts = s.tables + (<Py_ssize_t> thread << (s.table_bits + 1))
    if s.score_is_double:
        table.f64.rank_finish(
            size, rows, scratch, s.table_bits, counts, &tp, &fp, &s.half_pairs[bucket], &s.sums[bucket]
        )
    else:
        table.f32.rank_finish(
            size, rows, scratch, s.table_bits, counts, &tp, &fp, &s.half_pairs[bucket], &s.sums[bucket]
        )


cdef void _check(Ranking* s) noexcept nogil:
    cdef Py_ssize_t piece
    for piece in range(s.n_pieces):
        s.failed |= s.bad[piece] >= 0


cdef void _plan(Ranking* s) noexcept nogil:
    """Join prefixes to buckets, and give each piece its places in each."""
    cdef Py_ssize_t n_prefixes = <Py_ssize_t> 1 << s.prefix_bits, prefix, piece, bucket = 0
    cdef int64_t limit = max(<Py_ssize_t> _BUCKET_ROWS, s.n_rows // _BUCKETS), filled = 0, size, place
    cdef uint32_t* total = s.histograms + s.n_pieces * n_prefixes
    cdef uint32_t* histogram
    _check(s)
    if s.failed:
        return
    for piece in range(s.n_pieces):
        histogram = s.histograms + piece * n_prefixes
        for prefix in range(n_prefixes):
            total[prefix] += histogram[prefix]
    for prefix in range(n_prefixes):
        size = total[prefix]
        if prefix == n_prefixes // 2:
            # the two halves of the keys never share a bucket: words have lost the bit that tells them
            bucket += 1
            filled = 0
            s.low_half = bucket
        elif size and filled and filled + size > limit:
            bucket += 1
            filled = 0
        s.bucket_of[prefix] = <uint16_t> bucket
        if size:
            filled += size
            for piece in range(s.n_pieces):
                s.cursors[piece * _MOST_BUCKETS + bucket] += s.histograms[piece * n_prefixes + prefix]
    s.n_buckets = bucket + 1
    place = 0
    for bucket in range(s.n_buckets):
        s.starts[bucket] = place
        for piece in range(s.n_pieces):
            size = s.cursors[piece * _MOST_BUCKETS + bucket]
            s.cursors[piece * _MOST_BUCKETS + bucket] = place
            place += size
    s.starts[s.n_buckets] = place


cdef void _count_positives(Ranking* s) noexcept nogil:
    cdef Py_ssize_t bucket, piece
    cdef int64_t positives = 0
    _check(s)
    for bucket in range(s.n_buckets):
        s.positives[bucket] = positives
        for piece in range(s.n_pieces):
            positives += s.cursors[piece * _MOST_BUCKETS + bucket] >> 32
    s.positives[s.n_buckets] = positives


cdef void _member(Ranking* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    while piece >= 0:
        _histogram(s, piece)
        if ft_crew_finish(crew, s.n_pieces):
            _plan(s)
            ft_crew_advance(crew, 0)
        piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    ft_crew_wait(crew, 0)
    if not s.failed:
        piece = ft_crew_take(crew, thread, 1, s.n_pieces)
        while piece >= 0:
            _scatter(s, piece)
            if ft_crew_finish(crew, s.n_pieces):
                _count_positives(s)
                ft_crew_advance(crew, 1)
            piece = ft_crew_take(crew, thread, 1, s.n_pieces)
        ft_crew_wait(crew, 1)
    if not s.failed:
        piece = ft_crew_take(crew, thread, 2, s.n_buckets)
        while piece >= 0:
            _finish(s, piece, thread)
            piece = ft_crew_take(crew, thread, 2, s.n_buckets)
    ft_crew_leave(crew, thread)


cdef class _Ranked:
    """The arrays of a call, checked, and its rows in buckets: finished, or sorted."""

    cdef Ranking s
    cdef tuple arrays
    cdef object dtype

    def __init__(self, y_true, y_score, sample_weight, allow_infinity, n_threads, bint finish):
        cdef cnp.ndarray labels = label_array(y_true, "y_true")
        cdef cnp.ndarray scores = real_array(y_score, "y_score", 1)
        cdef cnp.ndarray weights = None
        cdef Ranking* s = &self.s
        cdef Py_ssize_t n_prefixes
        cdef int threads, bits
        s.n_rows = cnp.PyArray_DIM(labels, 0)
        check_shape(scores, "y_score", s.n_rows)
        check_contiguous(scores, "y_score")
        if sample_weight is not None:
            weights = real_array(sample_weight, "sample_weight", 1)
            check_shape(weights, "sample_weight", s.n_rows)
            check_contiguous(weights, "sample_weight")
        if not isinstance(allow_infinity, bool):
            raise TypeError(f"allow_infinity must be True or False, got {allow_infinity!r}")
        if s.n_rows >= 2**32:
            raise ValueError(f"y_true must hold fewer than 2**32 rows, got {s.n_rows}")
        threads = threads_for(n_threads, s.n_rows, _GRAIN_ROWS)
        self.dtype = scores.dtype
        s.score_is_double = cnp.PyArray_TYPE(scores) == cnp.NPY_FLOAT64
        s.label_width, s.score_width = cnp.PyArray_ITEMSIZE(labels), cnp.PyArray_ITEMSIZE(scores)
        s.label_type = label_type(labels)
        s.scores, s.labels, s.weights = cnp.PyArray_BYTES(scores), cnp.PyArray_BYTES(labels), NULL
        # so that NULL stays NULL at every row
        s.weight_width, s.weight_is_double = 0, 0
        s.allow_infinity, s.row_width, s.finish = allow_infinity, s.score_width, finish
        if weights is not None:
            s.weights, s.weight_width = cnp.PyArray_BYTES(weights), cnp.PyArray_ITEMSIZE(weights)
            s.weight_is_double = cnp.PyArray_TYPE(weights) == cnp.NPY_FLOAT64
            s.row_width = 16
        s.failed, s.n_buckets = 0, 0
        if s.n_rows == 0:
            return
        s.n_pieces = min((s.n_rows + _PIECE_ROWS - 1) // _PIECE_ROWS, <Py_ssize_t> _MOST_PIECES)
        s.piece_rows = (s.n_rows + s.n_pieces - 1) // s.n_pieces
        s.n_pieces = (s.n_rows + s.piece_rows - 1) // s.piece_rows
        bits = _bit_length(s.n_rows)
        s.prefix_bits = max(1, min(bits - 5, <int> _MOST_PREFIX_BITS))
        s.table_bits = min(bits + 1, <int> _TABLE_BITS)
        n_prefixes = <Py_ssize_t> 1 << s.prefix_bits
        cdef cnp.ndarray rows = np.empty(s.n_rows * s.row_width // 8 + 1)
        cdef cnp.ndarray scratch = np.empty(s.n_rows * s.row_width // 8 + 1)
        cdef cnp.ndarray histograms = np.zeros((s.n_pieces + 1) * n_prefixes, dtype=np.uint32)
        cdef cnp.ndarray bucket_of = np.empty(n_prefixes, dtype=np.uint16)
        cdef cnp.ndarray cursors = np.zeros(s.n_pieces * _MOST_BUCKETS, dtype=np.uint64)
        cdef cnp.ndarray places = np.empty(2 * (_MOST_BUCKETS + 1) + s.n_pieces, dtype=np.int64)
        cdef cnp.ndarray sums = np.empty(2 * _MOST_BUCKETS)
        cdef cnp.ndarray tables = np.empty(threads << (s.table_bits + 1) if finish else 0, dtype=np.uint32)
        self.arrays = labels, scores, weights, rows, scratch, histograms, bucket_of, cursors, places, sums, tables
        s.rows, s.scratch = cnp.PyArray_BYTES(rows), cnp.PyArray_BYTES(scratch)
        s.histograms = <uint32_t*> cnp.PyArray_DATA(histograms)
        s.bucket_of = <uint16_t*> cnp.PyArray_DATA(bucket_of)
        s.cursors = <uint64_t*> cnp.PyArray_DATA(cursors)
        s.starts = <int64_t*> cnp.PyArray_DATA(places)
        s.positives = s.starts + _MOST_BUCKETS + 1
        s.bad = s.positives + _MOST_BUCKETS + 1
        s.sums = <double*> cnp.PyArray_DATA(sums)
        s.half_pairs = <uint64_t*> (s.sums + _MOST_BUCKETS)
        s.tables = <uint32_t*> cnp.PyArray_DATA(tables)
        cdef ft_crew crew
        ft_crew_start(&crew, threads)
        with nogil:
            if threads == 1:
                _member(s, &crew)
            else:
                with parallel(num_threads=threads):
                    _member(s, &crew)
        if s.failed:
            self._complain(y_true, y_score, sample_weight)

    cdef int _complain(self, object y_true, object y_score, object sample_weight) except -1:
        cdef Py_ssize_t piece, row = -1
        for piece in range(self.s.n_pieces):
            if self.s.bad[piece] >= 0:
                row = self.s.bad[piece]
                break
        score = y_score[row]
        if np.isnan(score) or (np.isinf(score) and not self.s.allow_infinity):
            kind = "not be NaN" if self.s.allow_infinity else "be finite"
            raise ValueError(f"y_score must {kind}, got {score} in row {row}")
        if int(y_true[row]) not in (0, 1):
            raise ValueError(f"y_true must hold labels 0 and 1, got {int(y_true[row])} in row {row}")
        raise ValueError(
            f"sample_weight must be finite and not negative, got {sample_weight[row]} in row {row}"
        )


cdef int _bit_length(Py_ssize_t n) noexcept:
    cdef int bits = 0
    while n >> bits:
        bits += 1
    return bits


def ranking_scores(y_true, y_score, sample_weight=None, *, allow_infinity=False, n_threads=None):
    """Area under the ROC curve and average precision of labels 0 and 1, without the curves.

    Down the distinct scores, from the largest on, with ``p_i`` and ``n_i`` the rows of label 1 and 0 that have
    the i-th (or the sums of their weights), ``P_i`` and ``N_i`` their sums down to it, ``P`` and ``N`` their sums
    over all rows: ``roc_auc = sum_i n_i (P_(i-1) + p_i / 2) / (P N)`` and
    ``average_precision = sum_i (p_i / P) (P_i / (P_i + N_i))``.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        0 or 1: bool or integers of any width, C-contiguous; fewer than 2^32 rows.
    y_score : ndarray of shape (n_rows,)
        float32 or float64, C-contiguous.  Equal scores are ties, and -0.0 is +0.0.
    sample_weight : ndarray of shape (n_rows,), optional
        float32 or float64, C-contiguous, finite and not negative.
    allow_infinity : bool, default False
        Infinite scores are largest and smallest scores and not an error.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    roc_auc : float
        nan where rows of either label lack, or all have zero weight.
    average_precision : float
        nan where rows of label 1 lack, or all have zero weight.
    positives, negatives : int, or float with ``sample_weight``
        Rows of label 1 and of label 0, or the sums of their weights.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; NaN, a bad label or a bad weight (the first such row is named).

    Notes
    -----
    Without weights the area is counted in integers and rounded once.  A row takes as many bytes as its score has,
    or 16 with weights, and as many again for sorting those that are not counted.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import ranking_scores
    >>> ranking_scores(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    (0.75, 0.8333333333333333, 2, 2)
    """
    cdef _Ranked ranked = _Ranked(
        y_true, y_score, sample_weight, allow_infinity, n_threads, sample_weight is None
    )
    if sample_weight is not None:
        return _weighted_scores(&ranked.s)
    cdef Ranking* s = &ranked.s
    cdef uint64_t half_pairs = 0, positives = 0, negatives = 0
    cdef double precisions = 0.0
    cdef Py_ssize_t bucket
    if s.n_rows:
        positives = s.positives[s.n_buckets]
        negatives = s.n_rows - positives
        for bucket in range(s.n_buckets):
            half_pairs += s.half_pairs[bucket]
            precisions += s.sums[bucket]
    return (
        (<double> half_pairs / <double> (2 * positives * negatives)) if positives and negatives else NAN,
        (precisions / <double> positives) if positives else NAN,
        positives,
        negatives,
    )


cdef tuple _weighted_scores(Ranking* s):
    cdef double positives = 0.0, negatives = 0.0, area = 0.0, precisions = 0.0
    cdef double p, n, tp = 0.0, fp = 0.0
    cdef Py_ssize_t bucket, size, turn
    cdef char* rows
    with nogil:
        # once for the totals, once for the area; each bucket starts at the sums of those before
        for turn in range(2):
            if turn == 1 and positives == 0.0:
                break
            for bucket in range(s.n_buckets):
                rows = s.rows + s.starts[bucket] * s.row_width
                size = s.starts[bucket + 1] - s.starts[bucket]
                if s.score_is_double:
                    table.f64.rank_weight_sums(size, rows, &p, &n)
                else:
                    table.f32.rank_weight_sums(size, rows, &p, &n)
                if turn == 0:
                    positives += p
                    negatives += n
                else:
                    if s.score_is_double:
                        table.f64.rank_weighted_area(
                            size, rows, positives, negatives, tp, fp, &area, &precisions
                        )
                    else:
                        table.f32.rank_weighted_area(
                            size, rows, positives, negatives, tp, fp, &area, &precisions
                        )
                    tp += p
                    fp += n
    return (
        area if positives > 0.0 and negatives > 0.0 else NAN,
        precisions if positives > 0.0 else NAN,
        positives,
        negatives,
    )


def ranking_curve(y_true, y_score, sample_weight=None, *, allow_infinity=False, n_threads=None):
    """True and false positives at each distinct score, from the largest on.

    ``tps[i]`` is the number of rows of label 1, or the sum of their weights, whose score is at least
    ``thresholds[i]``, and ``fps[i]`` that of label 0.

    Parameters
    ----------
    y_true, y_score, sample_weight, allow_infinity, n_threads
        As for :func:`ranking_scores`.  Rows of zero weight have no threshold.

    Returns
    -------
    tps, fps : ndarray of shape (n_thresholds,)
        int64, or float64 with ``sample_weight``: the weights are added one by one, as :func:`numpy.cumsum` adds
        them in descending order of the scores, and rows with the same score in their own order.
    thresholds : ndarray of shape (n_thresholds,)
        The distinct scores, in descending order and of the dtype of ``y_score``.

    Raises
    ------
    TypeError, ValueError
        As :func:`ranking_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import ranking_curve
    >>> ranking_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    (array([1, 2, 2]), array([0, 1, 2]), array([0.8, 0.4, 0.1]))
    """
    cdef _Ranked ranked = _Ranked(y_true, y_score, sample_weight, allow_infinity, n_threads, False)
    cdef Ranking* s = &ranked.s
    cdef Py_ssize_t n_kept = s.starts[s.n_buckets] if s.n_rows else 0
    cdef bint weighted = s.weights != NULL
    cdef cnp.ndarray tps = np.empty(n_kept, dtype=np.float64 if weighted else np.int64)
    cdef cnp.ndarray fps = np.empty(n_kept, dtype=np.float64 if weighted else np.int64)
    cdef cnp.ndarray thresholds = np.empty(n_kept, dtype=ranked.dtype)
    cdef Py_ssize_t n_points = _curve(
        s, cnp.PyArray_BYTES(tps), cnp.PyArray_BYTES(fps), cnp.PyArray_BYTES(thresholds)
    )
    if n_points == n_kept:
        return tps, fps, thresholds
    return tps[:n_points].copy(), fps[:n_points].copy(), thresholds[:n_points].copy()


cdef Py_ssize_t _curve(Ranking* s, char* tps, char* fps, char* thresholds):
    cdef int64_t tp = 0, fp = 0
    cdef double weighted_tp = 0.0, weighted_fp = 0.0
    cdef Py_ssize_t bucket, size, n_points = 0
    cdef int low
    cdef const char* rows
    cdef char* scores
    cdef int64_t* tp_counts
    cdef int64_t* fp_counts
    cdef double* tp_sums
    cdef double* fp_sums
    with nogil:
        for bucket in range(s.n_buckets):
            rows = s.rows + s.starts[bucket] * s.row_width
            size = s.starts[bucket + 1] - s.starts[bucket]
            low = bucket >= s.low_half
            scores = thresholds + n_points * s.score_width
            if s.weights == NULL:
                tp_counts = (<int64_t*> tps) + n_points
                fp_counts = (<int64_t*> fps) + n_points
                if s.score_is_double:
                    n_points += table.f64.rank_curve(
                        size, rows, low, &tp, &fp, tp_counts, fp_counts, <double*> scores
                    )
                else:
                    n_points += table.f32.rank_curve(
                        size, rows, low, &tp, &fp, tp_counts, fp_counts, <float*> scores
                    )
            else:
                tp_sums = (<double*> tps) + n_points
                fp_sums = (<double*> fps) + n_points
                if s.score_is_double:
                    n_points += table.f64.rank_weighted_curve(
                        size, rows, low, &weighted_tp, &weighted_fp, tp_sums, fp_sums, <double*> scores
                    )
                else:
                    n_points += table.f32.rank_weighted_curve(
                        size, rows, low, &weighted_tp, &weighted_fp, tp_sums, fp_sums, <float*> scores
                    )
    return n_points
