"""Losses of predicted probabilities against labels, for metrics.

One pass over the rows reads labels, probabilities and weights once and validates them.  The rows are cut into
pieces by size alone and handed to threads as they come; each piece has sums of its own, in double, which are
added in piece order: the same bits for any number of threads.  Numbers of rows are integers.  The arithmetic is
in simd/probability.h.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t
from libc.string cimport memset

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_integer,
    check_number,
    check_option,
    check_shape,
    label_array,
    label_type,
    real_array,
    row_stride,
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
from fasttrain.kernels.table cimport ft_loss_sums

cnp.import_array()

cdef enum:
    # numbers of probability of a piece, and the fewest that repay another thread
    _PIECE = 1 << 15
    _GRAIN = 1 << 15

cdef tuple _LOSSES = ("log", "squared")


# A pass over the rows: what goes in, how it is cut, and the sums of each piece.
ctypedef struct Pass:
    Py_ssize_t n_rows, piece_rows, n_pieces
    Py_ssize_t n_classes            # 0: two labels and one column
    int squared, label_type, is_double, weight_is_double
    int64_t negative, positive      # the two labels; positive is the first of n_classes
    Py_ssize_t label_width, row_bytes, row_stride, weight_width
    double eps
    const char* labels
    const char* probabilities
    const char* weights             # NULL without weights
    ft_loss_sums* sums              # (n_pieces,)
    int64_t* counts                 # (n_pieces, max(n_classes, 1)): rows of each class, or that are positive
    double* deviations              # (n_pieces,)
    int64_t* bad                    # (n_pieces,): the first bad row, or -1


cdef void _piece(const Pass* s, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t begin = piece * s.piece_rows, size = min(s.n_rows - begin, s.piece_rows)
    cdef const char* labels = s.labels + begin * s.label_width
    cdef const char* probabilities = s.probabilities + begin * s.row_bytes
    cdef const char* weights = s.weights if s.weights == NULL else s.weights + begin * s.weight_width
    if s.n_classes == 0:
        s.bad[piece] = table.binary_probability_loss(
            size, s.squared, s.label_type, labels, s.negative, s.positive, s.is_double, probabilities, s.eps,
            s.weight_is_double, weights, s.sums + piece, s.counts + piece,
        )
    else:
        s.bad[piece] = table.class_probability_loss(
            size, s.n_classes, s.squared, s.label_type, labels, s.positive, s.is_double, probabilities,
            s.row_stride, s.eps, s.weight_is_double, weights, s.sums + piece, s.counts + piece * s.n_classes,
            s.deviations + piece,
        )
    if s.bad[piece] >= 0:
        s.bad[piece] += begin


cdef void _member(const Pass* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    while piece >= 0:
        _piece(s, piece)
        piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    ft_crew_leave(crew, thread)


cdef int _describe(
    Pass* s, object y_true, object y_proba, object sample_weight, object loss, object eps, int ndim
) except -1:
    """Checks the arrays, which the caller holds, and fills in all but the labels and the pieces."""
    memset(s, 0, sizeof(Pass))
    cdef cnp.ndarray labels = label_array(y_true, "y_true")
    cdef cnp.ndarray probabilities = real_array(y_proba, "y_proba", ndim)
    cdef cnp.ndarray weights = None
    s.n_rows = cnp.PyArray_DIM(labels, 0)
    if ndim == 1:
        check_shape(probabilities, "y_proba", s.n_rows)
        check_contiguous(probabilities, "y_proba")
        s.row_stride = 1
    else:
        check_shape(probabilities, "y_proba", s.n_rows, -1)
        s.n_classes = check_integer(cnp.PyArray_DIM(probabilities, 1), "the number of columns of y_proba", 1, 2**16 - 1)
        s.row_stride = row_stride(probabilities, "y_proba")
    if sample_weight is not None:
        weights = real_array(sample_weight, "sample_weight", 1)
        check_shape(weights, "sample_weight", s.n_rows)
        check_contiguous(weights, "sample_weight")
        s.weights, s.weight_width = cnp.PyArray_BYTES(weights), cnp.PyArray_ITEMSIZE(weights)
        s.weight_is_double = cnp.PyArray_TYPE(weights) == cnp.NPY_FLOAT64
    s.squared = check_option(loss, "loss", _LOSSES)
    s.label_type, s.label_width = label_type(labels), cnp.PyArray_ITEMSIZE(labels)
    s.is_double = cnp.PyArray_TYPE(probabilities) == cnp.NPY_FLOAT64
    if eps is None:
        s.eps = 2.0**-52 if s.is_double else 2.0**-23
    else:
        s.eps = check_number(eps, "eps", 0.0)
        if s.eps >= 0.5:
            raise ValueError(f"eps must be below 0.5, got {eps!r}")
    s.row_bytes = s.row_stride * cnp.PyArray_ITEMSIZE(probabilities)
    s.labels, s.probabilities = cnp.PyArray_BYTES(labels), cnp.PyArray_BYTES(probabilities)
    return 0


cdef tuple _run(Pass* s, object n_threads):
    """(sum of w * loss, sum of w, counts, largest deviation, first bad row or -1)"""
    cdef Py_ssize_t width = max(s.n_classes, <Py_ssize_t> 1), piece
    cdef cnp.ndarray sums, counts, deviations, bad
    cdef ft_crew crew
    cdef ft_loss_sums total
    cdef double deviation = 0.0
    cdef int threads
    s.piece_rows = max(_PIECE // width, <Py_ssize_t> 1)
    s.n_pieces = (s.n_rows + s.piece_rows - 1) // s.piece_rows
    threads = min(threads_for(n_threads, <double> s.n_rows * width, _GRAIN), max(s.n_pieces, <Py_ssize_t> 1))
    sums, counts = np.zeros((s.n_pieces, 2)), np.zeros((s.n_pieces, width), dtype=np.int64)
    deviations, bad = np.zeros(s.n_pieces), np.full(s.n_pieces, -1, dtype=np.int64)
    s.sums, s.counts = <ft_loss_sums*> cnp.PyArray_DATA(sums), <int64_t*> cnp.PyArray_DATA(counts)
    s.deviations, s.bad = <double*> cnp.PyArray_DATA(deviations), <int64_t*> cnp.PyArray_DATA(bad)
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _member(s, &crew)
        else:
            with parallel(num_threads=threads):
                _member(s, &crew)
    total.loss, total.weight = 0.0, 0.0
    for piece in range(s.n_pieces):
        if s.bad[piece] >= 0:
            return 0.0, 0.0, None, 0.0, s.bad[piece]
        total.loss += s.sums[piece].loss
        total.weight += s.sums[piece].weight
        deviation = max(deviation, s.deviations[piece])
    return total.loss, total.weight, counts.sum(axis=0), deviation, -1


cdef str _complaint(
    object y_true, object y_proba, object sample_weight, Py_ssize_t row, str labels, bint known
):
    if not known:
        return f"y_true must hold labels {labels}, got {int(y_true[row])} in row {row}"
    values = np.atleast_1d(y_proba[row])
    wrong = values[~((values >= 0) & (values <= 1))]
    if wrong.size:
        return f"y_proba must hold probabilities in [0, 1], got {wrong[0]} in row {row}"
    return f"sample_weight must be finite and not negative, got {sample_weight[row]} in row {row}"


def binary_probability_loss(
    y_true, y_proba, sample_weight=None, *, loss="log", negative=0, positive=1, eps=None, n_threads=None
):
    """Loss of the predicted probabilities of one of two labels, summed in one pass that also validates.

    With q_i the probability that row i was given for its own label, ``y_proba[i]`` where ``y_true[i]`` is
    ``positive`` and ``1 - y_proba[i]`` where it is ``negative``: ``sum_i w_i loss(q_i)``, where the loss is
    ``-log(min(max(q, eps), 1 - eps))`` or ``(1 - q)^2``.  Computed and summed in float64.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        Labels, ``negative`` or ``positive``: bool or integers of any width, C-contiguous.
    y_proba : ndarray of shape (n_rows,)
        float32 or float64, in [0, 1], C-contiguous; nothing is converted or copied.
    sample_weight : ndarray of shape (n_rows,), optional
        float32 or float64, C-contiguous, finite and not negative.
    loss : {'log', 'squared'}
    negative, positive : int
        The two labels, different and in the range of int64.
    eps : float, optional
        At least 0 and below 0.5; 2^-52 for float64 probabilities and 2^-23 for float32 if not given.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    loss_sum, weight_sum : float
        The sum of losses, and that of the weights or the number of rows; 0 where there are no rows.
    n_positive : int
        Rows whose label is ``positive``.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; a label that is neither, a probability out of [0, 1] or a bad weight (the
        first such row is named).

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import binary_probability_loss
    >>> binary_probability_loss(np.array([1, 0]), np.array([0.75, 0.5]), loss="squared")
    (0.3125, 2.0, 1)
    """
    cdef Pass s
    _describe(&s, y_true, y_proba, sample_weight, loss, eps, 1)
    s.negative = check_integer(negative, "negative", INT64_MIN, INT64_MAX)
    s.positive = check_integer(positive, "positive", INT64_MIN, INT64_MAX)
    if s.negative == s.positive:
        raise ValueError(f"negative and positive must differ, got {negative} for both")
    loss_sum, weight_sum, counts, _, bad_row = _run(&s, n_threads)
    if bad_row >= 0:
        known = int(y_true[bad_row]) in (s.negative, s.positive)
        labels = f"{s.negative} or {s.positive}"
        raise ValueError(_complaint(y_true, y_proba, sample_weight, bad_row, labels, known))
    return loss_sum, weight_sum, int(counts[0])


def class_probability_loss(
    y_true, y_proba, sample_weight=None, *, loss="log", first_label=0, eps=None, n_threads=None
):
    """Loss of the predicted probabilities of several classes, summed in one pass that also validates.

    With p_ic the probability of class c in row i and c_i the row's own: ``sum_i w_i loss_i``, where the loss is
    ``-log(min(max(p_ic_i, eps), 1 - eps))`` or ``sum_c (p_ic - [c = c_i])^2``.  Computed and summed in float64.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        Labels in ``first_label .. first_label + n_classes - 1``: bool or integers of any width, C-contiguous.
    y_proba : ndarray of shape (n_rows, n_classes)
        float32 or float64, in [0, 1], rows contiguous; 1 to 65,535 columns.
    sample_weight : ndarray of shape (n_rows,), optional
        float32 or float64, C-contiguous, finite and not negative.
    loss : {'log', 'squared'}
    first_label : int, default 0
        The lowest label; all labels must lie in the range of int32.
    eps : float, optional
        At least 0 and below 0.5; 2^-52 for float64 probabilities and 2^-23 for float32 if not given.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    loss_sum, weight_sum : float
        The sum of losses, and that of the weights or the number of rows; 0 where there are no rows.
    class_counts : ndarray of shape (n_classes,)
        int64, the rows of each class.
    deviation : float
        The largest difference of the sum of a row of probabilities from 1.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; a label out of range, a probability out of [0, 1] or a bad weight (the first
        such row is named).

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import class_probability_loss
    >>> class_probability_loss(np.array([2, 0]), np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]), loss="squared")
    (0.5, 2.0, array([1, 0, 1]), 0.0)
    """
    cdef Pass s
    _describe(&s, y_true, y_proba, sample_weight, loss, eps, 2)
    s.positive = check_integer(first_label, "first_label", -2**31, 2**31 - s.n_classes)
    loss_sum, weight_sum, counts, deviation, bad_row = _run(&s, n_threads)
    if bad_row >= 0:
        last = s.positive + s.n_classes - 1
        known = s.positive <= int(y_true[bad_row]) <= last
        raise ValueError(_complaint(y_true, y_proba, sample_weight, bad_row, f"in {s.positive} .. {last}", known))
    return loss_sum, weight_sum, counts, deviation
