"""Counts that classification metrics are made of.

The rows are cut into pieces by size alone and handed to threads as they come.  Counts are integers, so
each thread adds to a table of its own and the tables are added up at the end.  Sums of weights depend on
the order of additions, so each piece has a table of its own and these are added up in piece order: the
same bits for any number of threads.  Where the tables would take more memory than _TABLES_BYTES, there
are fewer of them, down to the result itself.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

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
from fasttrain.kernels.table cimport FT_COUNT_LANES, FT_WEIGHT_LANES

cnp.import_array()

cdef enum:
    _PIECE_ROWS = 1 << 17
    # a thread less than this much work costs more than it gives
    _GRAIN_ROWS = 1 << 16
    # largest table that is kept once per lane, and the fewest rows that repay clearing and folding the lanes
    _LANES_CELLS = 1024
    _LANES_ROWS = 8192
    # between the scratch tables of two threads, in bytes, so that they share no cache line
    _GAP_BYTES = 128
    _TABLES_BYTES = 1 << 26


def confusion_matrix(y_true, y_pred, n_classes, sample_weight=None, *, first_label=0, n_threads=None):
    """Confusion matrix of integer labels, in one pass that also validates them.

    ``result[i, j]`` is the number of rows, or the sum of their weights, with the true label
    ``first_label + i`` and the predicted label ``first_label + j``.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_rows,)
        Labels in ``first_label .. first_label + n_classes - 1``: bool or integers of any width, C-contiguous.
        The two may differ in width; nothing is converted or copied.
    n_classes : int
        1 to 65,535.
    sample_weight : ndarray of shape (n_rows,), optional
        float32 or float64, C-contiguous, finite and not negative.
    first_label : int, default 0
        The lowest label; all labels must lie in the range of int32.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    ndarray of shape (n_classes, n_classes)
        int64 counts, or float64 sums with ``sample_weight``.  Zeros where there are no rows.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; a label out of range or a bad weight (the first such row is named).

    Notes
    -----
    Beside the result, up to 64 MiB are used for the tables of threads and pieces.  Where one table is
    larger than that, the work is done by one thread.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import confusion_matrix
    >>> confusion_matrix(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2], dtype=np.uint8), 3)
    array([[1, 0, 0],
           [0, 0, 1],
           [0, 0, 2]])
    """
    cdef cnp.ndarray true_labels = label_array(y_true, "y_true")
    cdef cnp.ndarray pred_labels = label_array(y_pred, "y_pred")
    cdef Py_ssize_t n_rows = cnp.PyArray_DIM(true_labels, 0)
    check_shape(pred_labels, "y_pred", n_rows)
    cdef Py_ssize_t classes = check_integer(n_classes, "n_classes", 1, 2**16 - 1)
    cdef Py_ssize_t first = check_integer(first_label, "first_label", -2**31, 2**31 - classes)
    cdef cnp.ndarray weights = None
    if sample_weight is not None:
        weights = real_array(sample_weight, "sample_weight", 1)
        check_shape(weights, "sample_weight", n_rows)
        check_contiguous(weights, "sample_weight")
    result = np.zeros((classes, classes), dtype=np.int64 if weights is None else np.float64)
    cdef Py_ssize_t bad_row = -1
    cdef int threads
    if n_rows:
        # a table of its own must repay the thread: as many rows as cells
        threads = threads_for(n_threads, n_rows, max(<double> _GRAIN_ROWS, <double> classes * classes))
        if weights is None:
            bad_row = _count(true_labels, pred_labels, first, classes, result, threads)
        else:
            bad_row = _weigh(true_labels, pred_labels, first, classes, weights, result, threads)
    else:
        threads_for(n_threads, 0, 1)  # refuses a bad n_threads
    if bad_row >= 0:
        raise ValueError(_complaint(y_true, y_pred, sample_weight, bad_row, first, first + classes - 1))
    return result


cdef str _complaint(
    object y_true, object y_pred, object sample_weight, Py_ssize_t row, Py_ssize_t low, Py_ssize_t high
):
    for name, labels in (("y_true", y_true), ("y_pred", y_pred)):
        if not low <= int(labels[row]) <= high:
            return f"{name} must hold labels in {low} .. {high}, got {int(labels[row])} in row {row}"
    return f"sample_weight must be finite and not negative, got {sample_weight[row]} in row {row}"


# A pass over the rows: what goes in, how it is cut, and what comes out.  Unweighted, a thread has a table of
# counts and lanes of its own; weighted, every piece has a table of sums, and a thread its lanes.
ctypedef struct Count:
    Py_ssize_t n_rows, piece_rows, n_pieces, n_classes
    int64_t first_label
    int true_type, pred_type, weight_is_double
    Py_ssize_t true_width, pred_width, weight_width
    const char* true_labels
    const char* pred_labels
    const char* weights         # NULL without weights
    int64_t* counts             # the first thread's table
    int64_t* other_counts       # the other threads' tables
    double* sums
    char* lanes                 # NULL, or thread_lanes bytes for each thread
    Py_ssize_t thread_lanes
    int64_t* bad                # of each piece, its first bad row or -1


cdef void _member(const Count* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t begin, size, n_cells = s.n_classes * s.n_classes
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    cdef char* lanes = s.lanes if s.lanes == NULL else s.lanes + thread * s.thread_lanes
    while piece >= 0:
        begin = piece * s.piece_rows
        size = min(s.n_rows - begin, s.piece_rows)
        if s.weights == NULL:
            s.bad[piece] = table.confusion_counts(
                size, s.true_type, s.true_labels + begin * s.true_width, s.pred_type,
                s.pred_labels + begin * s.pred_width, s.first_label, s.n_classes,
                s.counts if thread == 0 else s.other_counts + (thread - 1) * n_cells, <int64_t*> lanes,
            )
        else:
            s.bad[piece] = table.confusion_weights(
                size, s.true_type, s.true_labels + begin * s.true_width, s.pred_type,
                s.pred_labels + begin * s.pred_width, s.first_label, s.n_classes, s.weight_is_double,
                s.weights + begin * s.weight_width, s.sums + piece * n_cells, <double*> lanes,
            )
        if s.bad[piece] >= 0:
            s.bad[piece] += begin
        piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    ft_crew_leave(crew, thread)


cdef Py_ssize_t _sweep(Count* s, int threads) except? -2:
    """All pieces; the first bad row, or -1."""
    cdef cnp.ndarray bad_rows = np.full(s.n_pieces, -1, dtype=np.int64)
    cdef ft_crew crew
    cdef Py_ssize_t piece
    s.bad = <int64_t*> cnp.PyArray_DATA(bad_rows)
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _member(s, &crew)
        else:
            with parallel(num_threads=threads):
                _member(s, &crew)
    for piece in range(s.n_pieces):
        if s.bad[piece] >= 0:
            return s.bad[piece]
    return -1


cdef void _describe(Count* s, cnp.ndarray y_true, cnp.ndarray y_pred, int64_t first_label, Py_ssize_t n_classes):
    s.n_rows, s.n_classes, s.first_label = cnp.PyArray_DIM(y_true, 0), n_classes, first_label
    s.true_type, s.pred_type = label_type(y_true), label_type(y_pred)
    s.true_width, s.pred_width = cnp.PyArray_ITEMSIZE(y_true), cnp.PyArray_ITEMSIZE(y_pred)
    s.true_labels, s.pred_labels = cnp.PyArray_BYTES(y_true), cnp.PyArray_BYTES(y_pred)
    s.weights, s.lanes = NULL, NULL


cdef Py_ssize_t _count(cnp.ndarray y_true, cnp.ndarray y_pred, int64_t first_label, Py_ssize_t n_classes,
                       cnp.ndarray result, int threads) except? -2:
    cdef Count s
    cdef Py_ssize_t n_cells = n_classes * n_classes, bad
    cdef cnp.ndarray others = None, lanes
    _describe(&s, y_true, y_pred, first_label, n_classes)
    s.piece_rows = _PIECE_ROWS
    s.n_pieces = (s.n_rows + s.piece_rows - 1) // s.piece_rows
    if n_cells * 8 * threads > _TABLES_BYTES or s.n_pieces < threads:
        threads = 1 if n_cells * 8 * threads > _TABLES_BYTES else <int> s.n_pieces
    # the first thread's table is the result
    s.counts = <int64_t*> cnp.PyArray_DATA(result)
    if threads > 1:
        others = np.zeros((threads - 1, n_cells), dtype=np.int64)
        s.other_counts = <int64_t*> cnp.PyArray_DATA(others)
    if n_cells <= _LANES_CELLS and s.n_rows >= _LANES_ROWS:
        s.thread_lanes = n_cells * FT_COUNT_LANES * 8 + _GAP_BYTES
        lanes = np.empty(threads * s.thread_lanes // 8, dtype=np.int64)
        s.lanes = cnp.PyArray_BYTES(lanes)
    bad = _sweep(&s, threads)
    if others is not None:
        result += others.sum(axis=0).reshape(n_classes, n_classes)
    return bad


cdef Py_ssize_t _weigh(cnp.ndarray y_true, cnp.ndarray y_pred, int64_t first_label, Py_ssize_t n_classes,
                       cnp.ndarray sample_weight, cnp.ndarray result, int threads) except? -2:
    cdef Count s
    cdef Py_ssize_t n_cells = n_classes * n_classes, bad
    # as many pieces as there may be tables, which depends on the sizes and not on the threads
    cdef Py_ssize_t most_pieces = max(<Py_ssize_t> _TABLES_BYTES // 8 // n_cells, <Py_ssize_t> 1)
    cdef cnp.ndarray partial, lanes
    _describe(&s, y_true, y_pred, first_label, n_classes)
    s.weights, s.weight_width = cnp.PyArray_BYTES(sample_weight), cnp.PyArray_ITEMSIZE(sample_weight)
    s.weight_is_double = cnp.PyArray_TYPE(sample_weight) == cnp.NPY_FLOAT64
    s.piece_rows = max(<Py_ssize_t> _PIECE_ROWS, (s.n_rows + most_pieces - 1) // most_pieces)
    s.n_pieces = (s.n_rows + s.piece_rows - 1) // s.piece_rows
    threads = min(threads, s.n_pieces)
    partial = result if s.n_pieces == 1 else np.zeros((s.n_pieces, n_cells))
    s.sums = <double*> cnp.PyArray_DATA(partial)
    if n_cells <= _LANES_CELLS:
        s.thread_lanes = n_cells * FT_WEIGHT_LANES * 8 + _GAP_BYTES
        lanes = np.empty(threads * s.thread_lanes // 8)
        s.lanes = cnp.PyArray_BYTES(lanes)
    bad = _sweep(&s, threads)
    if s.n_pieces > 1:
        result += np.add.reduce(partial, axis=0).reshape(n_classes, n_classes)
    return bad
