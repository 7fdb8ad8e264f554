"""Bins of scores by their leading bits, at the deepest level that has at most so many of them.

The rows are cut into few pieces by size alone; each has a table of its own (simd/score_bins.h), and the tables are
joined in the order of the pieces.  The level depends on the set of scores alone, counts are integers, and sums of
weights are added in that order: the same bits for any number of threads.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_integer,
    check_shape,
    label_array,
    label_type,
    real_array,
)
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    table,
    threads_for,
)
from fasttrain.kernels.table cimport ft_score_bin, ft_score_bins

cnp.import_array()

cdef enum:
    # a thread less than this much work costs more than it gives
    _GRAIN_ROWS = 1 << 15
    _PIECE_ROWS = 1 << 18
    # each piece has a table of its own, which may be larger than a core's cache
    _MOST_PIECES = 4

_BIN = np.dtype([("prefix", np.uint64), ("negatives", np.int64), ("positives", np.int64)])
_WEIGHTED_BIN = np.dtype([("prefix", np.uint64), ("negatives", np.float64), ("positives", np.float64)])


ctypedef struct Binning:
    Py_ssize_t n_rows, piece_rows, n_pieces
    int label_type, score_is_double, weight_is_double
    Py_ssize_t label_width, score_width, weight_width
    const char* labels
    const char* scores
    const char* weights         # NULL without weights
    ft_score_bins bins[_MOST_PIECES]
    Py_ssize_t bad[_MOST_PIECES]    # of each piece, its first bad row or -1


cdef void _member(Binning* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_pieces), begin, bad
    while piece >= 0:
        begin = piece * s.piece_rows
        bad = table.score_bins_rows(
            min(s.n_rows - begin, s.piece_rows), s.label_type, s.labels + begin * s.label_width,
            s.score_is_double, s.scores + begin * s.score_width, s.weight_is_double,
            s.weights + begin * s.weight_width, &s.bins[piece],
        )
        s.bad[piece] = bad if bad < 0 else begin + bad
        piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    ft_crew_leave(crew, thread)


def score_bins(y_true, y_score, sample_weight=None, *, max_bins, level=64, n_threads=None):
    """Rows of label 1 and 0 by the leading bits of their scores, in at most so many bins.

    A score's key is its bits as a float64, read as an unsigned integer after they are turned so that they rise
    with the score: all of a negative score's bits are inverted, of others the sign bit alone; -0.0 is +0.0.  The
    bins of a level from 0 to 64 are the prefixes of so many bits of the keys that occur.  Found is the deepest level
    that has at most ``max_bins`` bins.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        0 or 1: bool or integers of any width, C-contiguous.
    y_score : ndarray of shape (n_rows,)
        float32 or float64, C-contiguous, finite.
    sample_weight : ndarray of shape (n_rows,), optional
        float32 or float64, C-contiguous, finite and not negative.  Rows of zero weight have no bin.
    max_bins : int
        At least 1.
    level : int, default 64
        No deeper level than this; where it is known, less is searched.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    level : int
        From 0 to 64; at 64 every bin is one score.
    prefixes : uint64 ndarray of shape (n_bins,)
        In rising order.
    positives, negatives : ndarray of shape (n_bins,)
        Rows of label 1 and of label 0: int64, or float64 sums of weights.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; a score that is not finite, a bad label or a bad weight (the first such row is
        named); ``max_bins`` or ``level`` out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import score_bins
    >>> score_bins(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]), max_bins=3)
    (12, array([3067, 3069, 3070], dtype=uint64), array([0, 1, 1]), array([1, 1, 0]))
    """
    cdef cnp.ndarray labels = label_array(y_true, "y_true")
    cdef cnp.ndarray scores = real_array(y_score, "y_score", 1)
    cdef cnp.ndarray weights = None, slots, spare, collected
    cdef Binning s
    cdef ft_crew crew
    cdef Py_ssize_t piece, size, most = check_integer(max_bins, "max_bins", 1, 2**48)
    cdef int deepest = <int> check_integer(level, "level", 0, 64), threads, slot_bits = 1
    s.n_rows = cnp.PyArray_DIM(labels, 0)
    check_shape(scores, "y_score", s.n_rows)
    check_contiguous(scores, "y_score")
    # so that NULL stays NULL at every row
    s.weights, s.weight_width, s.weight_is_double = NULL, 0, 0
    if sample_weight is not None:
        weights = real_array(sample_weight, "sample_weight", 1)
        check_shape(weights, "sample_weight", s.n_rows)
        check_contiguous(weights, "sample_weight")
        s.weights, s.weight_width = cnp.PyArray_BYTES(weights), cnp.PyArray_ITEMSIZE(weights)
        s.weight_is_double = cnp.PyArray_TYPE(weights) == cnp.NPY_FLOAT64
    threads = threads_for(n_threads, s.n_rows, _GRAIN_ROWS)
    s.label_type, s.score_is_double = label_type(labels), cnp.PyArray_TYPE(scores) == cnp.NPY_FLOAT64
    s.label_width, s.score_width = cnp.PyArray_ITEMSIZE(labels), cnp.PyArray_ITEMSIZE(scores)
    s.labels, s.scores = cnp.PyArray_BYTES(labels), cnp.PyArray_BYTES(scores)
    s.n_pieces = min(max((s.n_rows + _PIECE_ROWS - 1) // _PIECE_ROWS, 1), <Py_ssize_t> _MOST_PIECES)
    threads = min(threads, s.n_pieces)
    s.piece_rows = (s.n_rows + s.n_pieces - 1) // s.n_pieces
    # no piece needs more bins than rows, but the first, which takes those of all
    most = max(1, min(most, s.n_rows))
    size = most if s.n_pieces > 1 else max(1, min(most, s.piece_rows))
    while <Py_ssize_t> 1 << slot_bits < size + size // 2 + 1:
        slot_bits += 1
    dtype = _BIN if weights is None else _WEIGHTED_BIN
    slots = np.empty(s.n_pieces << slot_bits, dtype=dtype)
    spare = np.empty(s.n_pieces * size, dtype=dtype)
    for piece in range(s.n_pieces):
        s.bins[piece].level, s.bins[piece].weighted = deepest, weights is not None
        s.bins[piece].slot_bits, s.bins[piece].n_bins, s.bins[piece].max_bins = slot_bits, 0, size
        s.bins[piece].slots = <ft_score_bin*> cnp.PyArray_DATA(slots) + (piece << slot_bits)
        s.bins[piece].spare = <ft_score_bin*> cnp.PyArray_DATA(spare) + piece * size
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _member(&s, &crew)
        else:
            with parallel(num_threads=threads):
                _member(&s, &crew)
    for piece in range(s.n_pieces):
        if s.bad[piece] >= 0:
            _refuse(y_true, y_score, sample_weight, s.bad[piece])
    with nogil:
        for piece in range(1, s.n_pieces):
            table.score_bins_merge(&s.bins[0], &s.bins[piece])
    collected = np.empty(s.bins[0].n_bins, dtype=dtype)
    table.score_bins_collect(&s.bins[0], <ft_score_bin*> cnp.PyArray_DATA(collected))
    prefixes = (<object> collected)["prefix"]
    order = np.argsort(prefixes)
    return (
        s.bins[0].level,
        prefixes[order],
        (<object> collected)["positives"][order],
        (<object> collected)["negatives"][order],
    )


def _refuse(y_true, y_score, sample_weight, row):
    if not np.isfinite(y_score[row]):
        raise ValueError(f"y_score must be finite, got {y_score[row]} in row {row}")
    if int(y_true[row]) not in (0, 1):
        raise ValueError(f"y_true must hold labels 0 and 1, got {int(y_true[row])} in row {row}")
    raise ValueError(f"sample_weight must be finite and not negative, got {sample_weight[row]} in row {row}")
