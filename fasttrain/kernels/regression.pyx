"""Sums over pairs of a target and a prediction, which regression metrics are made of, in one pass.

The pairs are cut into pieces by size alone and handed to threads as they come; each piece has sums of its own.
These are combined pairwise, as the leaves of a tree that depends on the number of pieces alone: the same bits
for any number of threads, and an error that grows with the tree's height.  Centred sums are combined by the
formula of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
(1979), about the first row's values, so a mean far from zero costs no digits.

float32 and float64 are widened in registers.  Other types, and targets and predictions of two types, are
widened a piece at a time into scratch memory of the thread, which stays in its cache.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport isfinite

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_number,
    check_option,
    check_shape,
    number_array,
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
from fasttrain.kernels.table cimport (
    FT_FLOAT16,
    FT_FLOAT32,
    FT_FLOAT64,
    FT_INT8,
    FT_LOSS_MAXIMUM,
    FT_MOMENT_ERROR_CENTRED,
    FT_MOMENT_ERROR_MEAN,
    FT_MOMENT_SQUARED_ERROR,
    FT_MOMENT_TRUE_CENTRED,
    FT_MOMENT_TRUE_MEAN,
    FT_MOMENT_WEIGHT,
    FT_N_MOMENTS,
    FT_UINT8,
)

cnp.import_array()

cdef enum:
    # Pairs of a piece: in double, three arrays of them stay in the second-level cache.
    _PIECE_PAIRS = 1 << 14
    # A piece has no more columns than these, and no fewer rows than these unless there are fewer: the sums of
    # a piece are then small beside the piece.
    _PIECE_COLUMNS = 256
    _PIECE_ROWS = 64
    # a thread less than this much work costs more than it gives
    _GRAIN_PAIRS = 1 << 15
    # numbers that are searched at a time for one that is not finite
    _SEARCH_NUMBERS = 1 << 16

# In the order of FT_LOSS_*.
_LOSSES = ("squared", "absolute", "maximum", "squared_log", "percentage", "pinball", "poisson", "gamma")
# What a loss asks of y_true and of y_pred.
_DOMAINS = {
    "squared_log": (("greater than -1", lambda y: y > -1), ("greater than -1", lambda y: y > -1)),
    "poisson": (("at least 0", lambda y: y >= 0), ("positive", lambda y: y > 0)),
    "gamma": (("positive", lambda y: y > 0), ("positive", lambda y: y > 0)),
}


def regression_moments(y_true, y_pred, sample_weight=None, *, origins=None, n_threads=None):
    """Weight, means and centred sums of squares of the target and of the error, for each output, in one pass.

    With ``e = y_true - y_pred`` and weights ``w`` of 1 where none are given, the rows of the result are
    ``W = sum_i w_i``, ``mean(t) = sum_i w_i t_i / W``, ``sum_i w_i (t_i - mean(t))^2``, ``mean(e)``,
    ``sum_i w_i (e_i - mean(e))^2`` and ``sum_i w_i e_i^2``.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        bool, integers or floats of up to 64 bits, C-contiguous, finite.  The two may differ in dtype; nothing
        is copied as a whole.
    sample_weight : ndarray of shape (n_rows,), optional
        Any of these dtypes, C-contiguous, finite and not negative.
    origins : float64 ndarray of shape (2, n_outputs), optional
        Numbers near the targets, and near the errors: the means are then given less these.  A mean far from zero
        is rounded more coarsely than its distance from such a number.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    float64 ndarray of shape (6, n_outputs)
        Sums are float64 whatever the dtypes; a constant's centred sum is exactly 0.  Means are those of
        the first row where all weights are 0.  Zeros where there are no rows.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; NaN or infinity; a bad weight (the first such row is named).

    Notes
    -----
    Centred sums of pieces are combined by Chan, Golub and LeVeque's formula (1979), so that a mean far
    from zero costs no digits.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import regression_moments
    >>> regression_moments(np.array([1.0, 2.0, 6.0]), np.array([1.0, 3.0, 4.0])).tolist()[:3]
    [[3.0], [3.0], [14.0]]
    """
    return _reduce(y_true, y_pred, sample_weight, "", 0.0, -1, origins, n_threads)


def regression_loss(y_true, y_pred, sample_weight=None, *, loss="squared", alpha=0.5, n_threads=None):
    """Sum of the weights and weighted sum of a loss, for each output, in one pass.

    ``result[0] = sum_i w_i`` and ``result[1] = sum_i w_i loss(t_i, p_i)``; with ``loss="maximum"`` the second
    row is the largest ``|t_i - p_i|``.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        bool, integers or floats of up to 64 bits, C-contiguous, finite.  The two may differ in dtype; nothing
        is copied as a whole.
    sample_weight : ndarray of shape (n_rows,), optional
        Any of these dtypes, C-contiguous, finite and not negative.  None for the maximum.
    loss : str, default 'squared'
        Of a target ``t`` and its prediction ``p``:

        - 'squared': ``(t - p)^2``
        - 'absolute', 'maximum': ``|t - p|``
        - 'squared_log': ``(log(1 + t) - log(1 + p))^2``, both greater than -1
        - 'percentage': ``|t - p| / max(|t|, 2^-52)``
        - 'pinball': ``alpha (t - p)`` where ``t >= p``, else ``(1 - alpha) (p - t)``
        - 'poisson': ``2 (t log(t / p) - t + p)``, the first term 0 for t = 0; t at least 0, p positive
        - 'gamma': ``2 (log(p / t) + t / p - 1)``, both positive
    alpha : float, default 0.5
        The slope of the pinball loss above the prediction, 0 to 1.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    float64 ndarray of shape (2, n_outputs)
        Sums are float64 whatever the dtypes.  Zeros where there are no rows.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; NaN or infinity; a number outside of the loss's domain; a bad weight (the first
        such row is named).

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import regression_loss
    >>> regression_loss(np.array([1.0, 2.0]), np.array([1, 5]), loss="absolute").tolist()
    [[2.0], [3.0]]
    """
    code = check_option(loss, "loss", _LOSSES)
    slope = check_number(alpha, "alpha", 0.0)
    if slope > 1:
        raise ValueError(f"alpha must be at most 1, got {alpha!r}")
    if code == FT_LOSS_MAXIMUM and sample_weight is not None:
        raise ValueError("sample_weight must be None where loss is 'maximum'")
    return _reduce(y_true, y_pred, sample_weight, loss, slope, code, None, n_threads)


# A pass over the pairs: what goes in, how it is cut, and what comes out.
ctypedef struct Pairs:
    Py_ssize_t n_rows, n_columns, piece_rows, piece_columns, n_down, n_along
    int loss                    # -1 for moments
    double alpha
    int true_type, pred_type, weight_type
    Py_ssize_t true_width, pred_width, weight_width
    const char* y_true
    const char* y_pred
    const char* weight          # NULL without weights
    int widen_pairs, widen_weight
    double* scratch             # NULL, or scratch_numbers for each thread
    Py_ssize_t scratch_numbers
    Py_ssize_t n_sums
    const double* origins       # of moments, (2, n_columns)
    double* sums                # (n_down, n_sums, n_columns)


cdef int _number_type(cnp.ndarray array) noexcept:
    cdef int kind = cnp.PyArray_TYPE(array)
    if kind == cnp.NPY_FLOAT64:
        return FT_FLOAT64
    if kind == cnp.NPY_FLOAT32:
        return FT_FLOAT32
    if kind == cnp.NPY_FLOAT16:
        return FT_FLOAT16
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(array)
    return (FT_INT8 if cnp.PyArray_ISSIGNED(array) else FT_UINT8) + (
        3 if size == 8 else 2 if size == 4 else size - 1
    )


cdef void _widen_block(int type, Py_ssize_t width, const char* x, Py_ssize_t x_row_stride, Py_ssize_t n_rows,
                       Py_ssize_t n_columns, double* y) noexcept nogil:
    cdef Py_ssize_t row
    if n_columns == x_row_stride:
        table.widen(type, n_rows * n_columns, x, y)
        return
    for row in range(n_rows):
        table.widen(type, n_columns, x + row * x_row_stride * width, y + row * n_columns)


cdef void _piece(const Pairs* s, Py_ssize_t piece, double* scratch) noexcept nogil:
    cdef Py_ssize_t down = piece // s.n_along, along = piece % s.n_along
    cdef Py_ssize_t row = down * s.piece_rows, column = along * s.piece_columns
    cdef Py_ssize_t rows = min(s.n_rows - row, s.piece_rows), columns = min(s.n_columns - column, s.piece_columns)
    cdef Py_ssize_t start = row * s.n_columns + column, stride = s.n_columns
    cdef const char* y_true = s.y_true + start * s.true_width
    cdef const char* y_pred = s.y_pred + start * s.pred_width
    cdef const char* weight = s.weight
    cdef int is_double = s.true_type == FT_FLOAT64
    cdef double* sums = s.sums + down * s.n_sums * s.n_columns + column
    if weight != NULL:
        weight += row * s.weight_width
        if s.widen_weight:
            table.widen(s.weight_type, rows, weight, scratch)
            weight = <char*> scratch
            scratch += rows
    if s.widen_pairs:
        _widen_block(s.true_type, s.true_width, y_true, stride, rows, columns, scratch)
        y_true = <char*> scratch
        scratch += rows * columns
        _widen_block(s.pred_type, s.pred_width, y_pred, stride, rows, columns, scratch)
        y_pred = <char*> scratch
        is_double, stride = 1, columns
    if s.loss < 0:
        table.regression_moments(rows, columns, stride, is_double, y_true, y_pred, weight,
                                 s.origins + column, sums, s.n_columns)
    else:
        table.regression_loss(s.loss, s.alpha, rows, columns, stride, is_double, y_true, y_pred,
                              weight, sums, s.n_columns)


cdef void _member(const Pairs* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t n_pieces = s.n_down * s.n_along
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        _piece(s, piece, s.scratch if s.scratch == NULL else s.scratch + thread * s.scratch_numbers)
        piece = ft_crew_take(crew, thread, 0, n_pieces)
    ft_crew_leave(crew, thread)


# Targets and errors of the first row that has a weight, or of the first of all.
cdef cnp.ndarray _origins(const Pairs* s):
    cdef cnp.ndarray origins = np.empty((2, s.n_columns))
    cdef double* first = <double*> cnp.PyArray_DATA(origins)
    cdef Py_ssize_t row = 0, j
    cdef double weight = 0.0
    if s.weight != NULL:
        while weight == 0.0 and row < s.n_rows:
            table.widen(s.weight_type, 1, s.weight + row * s.weight_width, &weight)
            row += 1
        row = row - 1 if weight != 0.0 else 0
    table.widen(s.true_type, s.n_columns, s.y_true + row * s.n_columns * s.true_width, first)
    table.widen(s.pred_type, s.n_columns, s.y_pred + row * s.n_columns * s.pred_width, first + s.n_columns)
    for j in range(s.n_columns):
        first[s.n_columns + j] = first[j] - first[s.n_columns + j]
    return origins


# mean and centred sum of a += those of b, of these weights; none is 0
cdef inline void _merge(double* a_mean, double* a_centred, double a_weight, double b_mean, double b_centred,
                        double b_weight) noexcept nogil:
    cdef double delta = b_mean - a_mean[0], share = b_weight / (a_weight + b_weight)
    a_mean[0] += delta * share
    a_centred[0] += b_centred + delta * delta * a_weight * share


cdef void _combine_moments(double* a, const double* b, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j, true_mean, true_centred, error_mean, error_centred, squares
    cdef double b_weight
    for j in range(n):
        true_mean, true_centred = j + FT_MOMENT_TRUE_MEAN * n, j + FT_MOMENT_TRUE_CENTRED * n
        error_mean, error_centred = j + FT_MOMENT_ERROR_MEAN * n, j + FT_MOMENT_ERROR_CENTRED * n
        squares = j + FT_MOMENT_SQUARED_ERROR * n
        b_weight = b[j + FT_MOMENT_WEIGHT * n]
        a[squares] += b[squares]
        if a[j + FT_MOMENT_WEIGHT * n] == 0 and b_weight != 0:
            a[true_mean], a[error_mean] = b[true_mean], b[error_mean]
            a[true_centred] += b[true_centred]
            a[error_centred] += b[error_centred]
        elif b_weight == 0:  # 0, or NaN where the data are bad
            a[true_centred] += b[true_centred]
            a[error_centred] += b[error_centred]
        else:
            _merge(&a[true_mean], &a[true_centred], a[j + FT_MOMENT_WEIGHT * n], b[true_mean],
                   b[true_centred], b_weight)
            _merge(&a[error_mean], &a[error_centred], a[j + FT_MOMENT_WEIGHT * n], b[error_mean],
                   b[error_centred], b_weight)
        a[j + FT_MOMENT_WEIGHT * n] += b_weight


cdef void _combine_losses(int loss, double* a, const double* b, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        a[j] += b[j]
        if loss != FT_LOSS_MAXIMUM:
            a[n + j] += b[n + j]
        elif b[n + j] > a[n + j] or b[n + j] != b[n + j]:
            a[n + j] = b[n + j]


cdef void _combine(const Pairs* s) noexcept nogil:
    """All pieces' sums into the first piece's."""
    cdef Py_ssize_t width = 1, i, size = s.n_sums * s.n_columns
    while width < s.n_down:
        i = 0
        while i + width < s.n_down:
            if s.loss < 0:
                _combine_moments(s.sums + i * size, s.sums + (i + width) * size, s.n_columns)
            else:
                _combine_losses(s.loss, s.sums + i * size, s.sums + (i + width) * size, s.n_columns)
            i += 2 * width
        width *= 2


cdef _reduce(object y_true, object y_pred, object sample_weight, str name, double alpha, int loss,
             object given_origins, object n_threads):
    cdef cnp.ndarray true = number_array(y_true, "y_true", -1)
    cdef cnp.ndarray pred = number_array(y_pred, "y_pred", -1)
    cdef cnp.ndarray weight = None, partial, scratch, origins = None
    cdef int ndim = cnp.PyArray_NDIM(true), threads
    cdef bint add_origins = given_origins is None
    cdef Pairs s
    cdef ft_crew crew
    cdef Py_ssize_t i
    if ndim != 1 and ndim != 2:
        raise ValueError(f"y_true must have 1 or 2 dimensions, got shape {y_true.shape}")
    check_contiguous(true, "y_true")
    s.n_rows = cnp.PyArray_DIM(true, 0)
    s.n_columns = 1 if ndim == 1 else cnp.PyArray_DIM(true, 1)
    if ndim == 1:
        check_shape(pred, "y_pred", s.n_rows)
    else:
        check_shape(pred, "y_pred", s.n_rows, s.n_columns)
    check_contiguous(pred, "y_pred")
    s.true_type, s.pred_type = _number_type(true), _number_type(pred)
    s.true_width, s.pred_width = cnp.PyArray_ITEMSIZE(true), cnp.PyArray_ITEMSIZE(pred)
    s.y_true, s.y_pred, s.weight = cnp.PyArray_BYTES(true), cnp.PyArray_BYTES(pred), NULL
    s.widen_pairs = s.true_type != s.pred_type or (s.true_type != FT_FLOAT64 and s.true_type != FT_FLOAT32)
    s.widen_weight, s.weight_type, s.weight_width = 0, FT_FLOAT64, 8
    if sample_weight is not None:
        weight = number_array(sample_weight, "sample_weight", 1)
        check_shape(weight, "sample_weight", s.n_rows)
        check_contiguous(weight, "sample_weight")
        s.weight, s.weight_type = cnp.PyArray_BYTES(weight), _number_type(weight)
        s.weight_width = cnp.PyArray_ITEMSIZE(weight)
        # weights are of the pairs' type, or float32 is widened too
        if s.weight_type != s.true_type:
            s.widen_pairs = s.widen_pairs or s.true_type == FT_FLOAT32
        s.widen_weight = s.weight_type != FT_FLOAT64 and (s.widen_pairs or s.true_type == FT_FLOAT64)
    if given_origins is not None:
        origins = real_array(given_origins, "origins", 2)
        check_shape(origins, "origins", 2, s.n_columns)
        check_contiguous(origins, "origins")
        if cnp.PyArray_TYPE(origins) != cnp.NPY_FLOAT64 or not np.isfinite(given_origins).all():
            raise ValueError(f"origins must be finite and of dtype float64, got dtype {given_origins.dtype}")
    s.loss, s.alpha, s.origins = loss, alpha, NULL
    s.n_sums = FT_N_MOMENTS if loss < 0 else 2
    threads = threads_for(n_threads, <double> s.n_rows * s.n_columns, _GRAIN_PAIRS)
    if s.n_rows == 0 or s.n_columns == 0:
        _refuse(y_true, y_pred, sample_weight, name)  # weights of rows without outputs
        return np.zeros((s.n_sums, s.n_columns))
    s.piece_columns = min(s.n_columns, <Py_ssize_t> _PIECE_COLUMNS)
    s.piece_rows = min(s.n_rows, max(<Py_ssize_t> _PIECE_ROWS, <Py_ssize_t> _PIECE_PAIRS // s.piece_columns))
    s.n_down = (s.n_rows + s.piece_rows - 1) // s.piece_rows
    s.n_along = (s.n_columns + s.piece_columns - 1) // s.piece_columns
    threads = min(threads, s.n_down * s.n_along)
    partial = np.empty((s.n_down, s.n_sums, s.n_columns))
    s.sums = <double*> cnp.PyArray_DATA(partial)
    s.scratch, s.scratch_numbers = NULL, 0
    if s.widen_pairs or s.widen_weight:
        # a cache line apart
        s.scratch_numbers = s.piece_rows * (2 * s.piece_columns * s.widen_pairs + s.widen_weight) + 16
        scratch = np.empty(threads * s.scratch_numbers)
        s.scratch = <double*> cnp.PyArray_DATA(scratch)
    if loss < 0:
        if origins is None:
            origins = _origins(&s)
        s.origins = <double*> cnp.PyArray_DATA(origins)
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _member(&s, &crew)
        else:
            with parallel(num_threads=threads):
                _member(&s, &crew)
        _combine(&s)
        if loss < 0 and add_origins:
            for i in range(s.n_columns):
                s.sums[FT_MOMENT_TRUE_MEAN * s.n_columns + i] += s.origins[i]
                s.sums[FT_MOMENT_ERROR_MEAN * s.n_columns + i] += s.origins[s.n_columns + i]
    for i in range(s.n_sums * s.n_columns):
        if not isfinite(s.sums[i]):
            _refuse(y_true, y_pred, sample_weight, name)
            break  # finite numbers whose squares are not
    return (<object> partial)[0] if s.n_down == 1 else (<object> partial)[0].copy()


# The sums hold NaN or infinity: say which number is to blame, if one is.
def _refuse(y_true, y_pred, sample_weight, loss):
    domains = _DOMAINS.get(loss, (None, None))
    for name, numbers in (("y_true", y_true), ("y_pred", y_pred)):
        _search(name, numbers, "must not hold NaN or infinity", np.isfinite)
    if sample_weight is not None:
        _search("sample_weight", sample_weight, "must be finite and not negative",
                lambda weight: np.isfinite(weight) & (weight >= 0))
    for (name, numbers), domain in zip((("y_true", y_true), ("y_pred", y_pred)), domains, strict=True):
        if domain is not None:
            _search(name, numbers, f"must be {domain[0]} for the loss {loss!r}", domain[1])


def _search(name, numbers, complaint, good):
    step = max(1, _SEARCH_NUMBERS // (numbers.shape[1] or 1 if numbers.ndim == 2 else 1))
    for begin in range(0, len(numbers), step):
        bad = ~good(numbers[begin:begin + step])
        if bad.any():
            row = begin + int(np.argwhere(bad)[0][0])
            value = numbers[row] if numbers.ndim == 1 else numbers[row][np.argmax(bad[row - begin])]
            raise ValueError(f"{name} {complaint}, got {value} in row {row}")
