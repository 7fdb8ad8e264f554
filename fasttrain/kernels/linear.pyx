"""Loss and gradient of a linear model in one pass over the rows of X: the kernel of gradient descent.

The rows are cut into pieces, by size alone, and each piece into blocks that stay in a near cache.  A block is
read once from memory: its scores z = X theta, the loss and the residuals d loss / d z, then X^T residual, for
which the block is still there.  One output runs on dot products and rank-one updates (simd/linear.h), several
on the matrix kernel.  A piece has its own gradient, in double; in the end they are added in the order of the
pieces, so any number of threads gives the same bits.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport INT64_MIN, int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fasttrain.kernels cimport checks
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    table,
    threads_for,
)

cnp.import_array()

__all__ = ["linear_value_and_grad"]

ctypedef fused real:
    float
    double

cdef enum:
    _HALF_SQUARED_ERROR = 0
    _BINARY_CROSS_ENTROPY = 1
    _CROSS_ENTROPY = 2

cdef tuple _LOSSES = ("half_squared_error", "binary_cross_entropy", "cross_entropy")
cdef tuple _REDUCTIONS = ("sum", "mean")

# Bytes of X in a block: with one output it stays in the first-level cache, with room for what the processor fetches
# ahead; the matrix kernel wants longer sums and takes the second.  4 and 8 KB measured alike, 16 KB a fifth slower.
# Fetching ahead by prefetch instructions was slower than the processor's own, which follows rows in their order.
cdef Py_ssize_t _BLOCK_BYTES = 8 << 10
cdef Py_ssize_t _MATRIX_BLOCK_BYTES = 192 << 10
# A block of wide rows may take this much before its rows are fewer than four.
cdef Py_ssize_t _WIDE_BLOCK_BYTES = 256 << 10
# A piece has at least this many products, and at least this many rows for each output: its gradient, in
# double, is then small beside its share of X.  There are at most _MAX_PIECES.
cdef Py_ssize_t _PIECE_PRODUCTS = 1 << 16
cdef Py_ssize_t _PIECE_ROWS_PER_OUTPUT = 32
cdef Py_ssize_t _MAX_PIECES = 256
# Rows whose gradients are added up in the dtype of X, at least, before they go to the piece's sums in double:
# enough to make that cheap, few enough to round little.
cdef Py_ssize_t _FLUSH_ROWS = 64
cdef Py_ssize_t _MOST_BLOCK_ROWS = 256
# The pieces' gradients are added up in ranges of parameters, on several threads if there is this much of it.
cdef enum:
    _RANGE = 2048
cdef Py_ssize_t _PARALLEL_FINISH = 64


# A call: its arrays, its sizes (strides count elements) and its working memory.
cdef struct _Work:
    const void* x               # (n_rows, n_features)
    const void* y               # (n_rows,) or (n_rows, n_outputs)
    const void* weight          # (n_rows,) or NULL
    void* grad                  # the shape of theta
    char* memory
    Py_ssize_t n_rows
    Py_ssize_t n_features
    Py_ssize_t n_outputs
    Py_ssize_t n_parameters     # elements of theta
    Py_ssize_t x_row_stride
    Py_ssize_t y_row_stride
    Py_ssize_t block_rows
    Py_ssize_t piece_rows
    Py_ssize_t n_pieces
    Py_ssize_t range_size       # of penalised parameters, or where turned of features
    Py_ssize_t n_ranges
    # Where things are in the working memory, in bytes: sums (n_pieces, n_parameters) in double, norms
    # (n_ranges,), outcomes (n_pieces,), the panels of theta, then for each thread scores (block_rows,
    # n_outputs) and part (n_parameters,).
    Py_ssize_t sums_at
    Py_ssize_t norms_at
    Py_ssize_t outcomes_at
    Py_ssize_t panels_at
    Py_ssize_t threads_at
    Py_ssize_t part_at          # after the thread's scores
    Py_ssize_t thread_bytes
    int loss
    bint intercept
    bint turned                 # the pieces' gradients are (n_outputs, n_features), the intercepts behind
    bint mean
    double l2


# What a piece has found; a bad row counts from the first of X.
cdef struct _Outcome:
    double value
    double weight
    Py_ssize_t bad_target
    Py_ssize_t bad_weight


cdef inline Py_ssize_t _round_up(Py_ssize_t n, Py_ssize_t step) noexcept nogil:
    return (n + step - 1) // step * step


cdef void _partition(_Work* s, Py_ssize_t item, Py_ssize_t tile_columns) noexcept nogil:
    cdef Py_ssize_t row_bytes = max(1, s.n_features) * item
    cdef Py_ssize_t rows = (_MATRIX_BLOCK_BYTES if s.n_outputs > 1 else _BLOCK_BYTES) // row_bytes
    cdef Py_ssize_t lanes = tile_columns // 2
    cdef Py_ssize_t panels = s.n_features * _round_up(s.n_outputs, tile_columns) if s.n_outputs > 1 else 0
    if rows < 4:
        rows = min(4, max(1, _WIDE_BLOCK_BYTES // row_bytes))
    else:
        rows = min(rows, _MOST_BLOCK_ROWS) // 4 * 4
    s.block_rows = rows
    s.piece_rows = max(
        _PIECE_PRODUCTS // (max(1, s.n_features) * max(1, s.n_outputs)),
        _PIECE_ROWS_PER_OUTPUT * s.n_outputs,
        (s.n_rows + _MAX_PIECES - 1) // _MAX_PIECES,
    )
    s.piece_rows = _round_up(s.piece_rows, rows)
    s.n_pieces = (s.n_rows + s.piece_rows - 1) // s.piece_rows
    # X^T residual, or its transpose: the one whose rows leave fewer lanes of the last vector idle.  With few outputs
    # that is the transpose, which also takes X row by row.
    s.turned = s.n_outputs > 1 and (
        s.n_outputs * _round_up(s.n_features, lanes) < s.n_features * _round_up(s.n_outputs, lanes)
    )
    s.range_size = max(1, _RANGE // s.n_outputs) if s.turned else _RANGE
    s.n_ranges = (s.n_features * (1 if s.turned else s.n_outputs) + s.range_size - 1) // s.range_size
    s.sums_at = 0
    s.norms_at = _round_up(s.n_pieces * s.n_parameters * <Py_ssize_t> sizeof(double), 64)
    s.outcomes_at = _round_up(s.norms_at + s.n_ranges * <Py_ssize_t> sizeof(double), 64)
    s.panels_at = _round_up(s.outcomes_at + s.n_pieces * <Py_ssize_t> sizeof(_Outcome), 64)
    s.threads_at = _round_up(s.panels_at + panels * item, 64)
    s.part_at = _round_up(rows * s.n_outputs * item, 64)
    s.thread_bytes = s.part_at + _round_up(s.n_parameters * item, 64)


# Scores and residuals of a block into z (n_rows, n_outputs); returns the first row with a bad target, or -1.
cdef inline Py_ssize_t _residuals(
    const _Work* s, Py_ssize_t n_rows, const real* x, const void* y, const real* weight, const real* theta,
    const real* panels, real* z, double* value,
) noexcept nogil:
    cdef Py_ssize_t n_outputs = s.n_outputs, n_features = s.n_features, y_stride = s.y_row_stride, i
    cdef const int64_t* labels
    if real is float:
        ops = &table.f32
    else:
        ops = &table.f64
    if n_outputs == 1:
        ops.linear_predict(
            n_rows, n_features, x, s.x_row_stride, theta, theta[n_features] if s.intercept else 0, z
        )
    else:
        ops.gemm_block(
            n_rows, n_outputs, n_features, x, s.x_row_stride, 1, panels, ops.tile_columns,
            ops.tile_columns * n_features, z, n_outputs, 0,
            theta + n_features * n_outputs if s.intercept else NULL,
        )
    if s.loss == _CROSS_ENTROPY:
        labels = <const int64_t*> y
        # the kernel must be given a label to ignore, and no label is ignored here
        for i in range(n_rows):
            if labels[i] == INT64_MIN:
                return i
        return ops.cross_entropy(
            n_rows, n_outputs, z, n_outputs, labels, NULL, weight, 0.0, INT64_MIN, 1.0, z, n_outputs, value
        )
    if s.loss == _HALF_SQUARED_ERROR:
        return ops.squared_error(
            n_rows, n_outputs, z, n_outputs, <const real*> y, y_stride, weight, 0.5, 1.0, z, n_outputs, value
        )
    return ops.bce_logits(
        n_rows, n_outputs, z, n_outputs, <const real*> y, y_stride, weight, NULL, 1.0, z, n_outputs, value
    )


# part (n_parameters,) += the gradient of a block, from its residuals.
cdef inline void _add_gradient(
    const _Work* s, Py_ssize_t n_rows, const real* x, const real* residual, real* part
) noexcept nogil:
    cdef Py_ssize_t n_outputs = s.n_outputs, n_features = s.n_features
    cdef real one = 1       # the column of the intercept, with stride 0
    if real is float:
        ops = &table.f32
    else:
        ops = &table.f64
    if n_outputs == 1:
        ops.linear_gradient(n_rows, n_features, x, s.x_row_stride, residual, part)
        if s.intercept:
            ops.linear_gradient(n_rows, 1, &one, 0, residual, part + n_features)
    else:
        if s.turned:
            ops.gemm_block(
                n_outputs, n_features, n_rows, residual, 1, n_outputs, x, s.x_row_stride, ops.tile_columns,
                part, n_features, 1, NULL,
            )
        else:
            ops.gemm_block(
                n_features, n_outputs, n_rows, x, 1, s.x_row_stride, residual, n_outputs, ops.tile_columns,
                part, n_outputs, 1, NULL,
            )
        if s.intercept:
            ops.column_sums(n_rows, n_outputs, residual, n_outputs, part + n_features * n_outputs, 1)


# One piece: its loss, weight, bad rows and gradient into its own places.  `thread` has scores and a part of
# its own; part is zero before and after.
cdef void _walk_piece(const _Work* s, Py_ssize_t piece, int thread, const real* theta) noexcept nogil:
    cdef Py_ssize_t begin = piece * s.piece_rows, end = min(begin + s.piece_rows, s.n_rows)
    cdef Py_ssize_t y_item = sizeof(int64_t) if s.loss == _CROSS_ENTROPY else sizeof(real)
    cdef Py_ssize_t row = begin, unflushed = 0, n_rows, bad
    cdef char* own = s.memory + s.threads_at + thread * s.thread_bytes
    cdef real* z = <real*> own
    cdef real* part = <real*> (own + s.part_at)
    cdef const real* panels = <const real*> (s.memory + s.panels_at)
    cdef double* sums = <double*> (s.memory + s.sums_at) + piece * s.n_parameters
    cdef _Outcome* outcome = <_Outcome*> (s.memory + s.outcomes_at) + piece
    cdef const real* x
    cdef const real* weight = NULL
    if real is float:
        ops = &table.f32
    else:
        ops = &table.f64
    memset(sums, 0, s.n_parameters * sizeof(double))
    outcome.value = outcome.weight = 0.0
    outcome.bad_target = outcome.bad_weight = -1
    while row < end:
        n_rows = min(s.block_rows, end - row)
        x = <const real*> s.x + row * s.x_row_stride
        if s.weight != NULL:
            weight = <const real*> s.weight + row
            bad = ops.weight_sum(n_rows, weight, &outcome.weight)
            if bad >= 0:
                outcome.bad_weight = row + bad
                break
        bad = _residuals(
            s, n_rows, x, <const char*> s.y + row * s.y_row_stride * y_item, weight, theta, panels, z,
            &outcome.value,
        )
        if bad >= 0:
            outcome.bad_target = row + bad
            break
        _add_gradient(s, n_rows, x, z, part)
        row += n_rows
        unflushed += n_rows
        if unflushed >= _FLUSH_ROWS or row >= end:
            ops.linear_flush(s.n_parameters, part, sums)
            unflushed = 0


# A range of the penalised parameters: grad from the pieces' sums, and the range's share of ||theta||^2.
cdef void _finish_range(const _Work* s, Py_ssize_t i, double scale, const real* theta) noexcept nogil:
    cdef Py_ssize_t begin = i * s.range_size, end, output, j, place
    cdef double* norms = <double*> (s.memory + s.norms_at)
    cdef double* sums = <double*> (s.memory + s.sums_at) + begin
    cdef real* grad = <real*> s.grad
    cdef real[_RANGE] some_theta
    cdef real[_RANGE] some_grad
    if real is float:
        ops = &table.f32
    else:
        ops = &table.f64
    if not s.turned:
        end = min(begin + s.range_size, s.n_features * s.n_outputs)
        norms[i] = ops.linear_finish(
            end - begin, s.n_pieces, sums, s.n_parameters, scale, s.l2, theta + begin, grad + begin
        )
        return
    end = min(begin + s.range_size, s.n_features)
    norms[i] = 0.0
    for output in range(s.n_outputs):
        place = begin * s.n_outputs + output
        for j in range(end - begin):
            some_theta[j] = theta[place + j * s.n_outputs]
        norms[i] += ops.linear_finish(
            end - begin, s.n_pieces, sums + output * s.n_features, s.n_parameters, scale, s.l2, some_theta, some_grad
        )
        for j in range(end - begin):
            grad[place + j * s.n_outputs] = some_grad[j]


cdef void _walk_member(const _Work* s, const real* theta, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    while piece >= 0:
        _walk_piece(s, piece, thread, theta)
        piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    ft_crew_leave(crew, thread)


cdef void _finish_member(const _Work* s, double scale, const real* theta, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t i = ft_crew_take(crew, thread, 0, s.n_ranges)
    while i >= 0:
        _finish_range(s, i, scale, theta)
        i = ft_crew_take(crew, thread, 0, s.n_ranges)
    ft_crew_leave(crew, thread)


# Everything without the GIL.  Returns the first piece with a bad row, or -1; grad is undefined then, and
# where the mean has no weight.
cdef Py_ssize_t _run(
    const _Work* s, int n_threads, const real* theta, double* value, double* total_weight
) noexcept nogil:
    cdef Py_ssize_t n_penalised = s.n_features * s.n_outputs, i
    cdef double* sums = <double*> (s.memory + s.sums_at)
    cdef double* norms = <double*> (s.memory + s.norms_at)
    cdef _Outcome* outcomes = <_Outcome*> (s.memory + s.outcomes_at)
    cdef double scale = 1.0, norm = 0.0
    cdef ft_crew crew
    if real is float:
        ops = &table.f32
    else:
        ops = &table.f64
    if s.n_outputs > 1:
        ops.pack_panels(s.n_features, s.n_outputs, theta, s.n_outputs, 1, <real*> (s.memory + s.panels_at))
    memset(s.memory + s.threads_at, 0, n_threads * s.thread_bytes)
    ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _walk_member(s, theta, &crew)
    else:
        with parallel(num_threads=n_threads):
            _walk_member(s, theta, &crew)
    value[0] = 0.0
    total_weight[0] = 0.0 if s.weight != NULL else <double> s.n_rows
    for i in range(s.n_pieces):
        if outcomes[i].bad_target >= 0 or outcomes[i].bad_weight >= 0:
            return i
        value[0] += outcomes[i].value
        total_weight[0] += outcomes[i].weight
    if s.mean:
        scale = 1.0 / total_weight[0]
    if s.n_ranges * s.n_pieces < _PARALLEL_FINISH:
        n_threads = 1
    ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _finish_member(s, scale, theta, &crew)
    else:
        with parallel(num_threads=n_threads):
            _finish_member(s, scale, theta, &crew)
    for i in range(s.n_ranges):
        norm += norms[i]
    if s.intercept:
        ops.linear_finish(
            s.n_outputs, s.n_pieces, sums + n_penalised, s.n_parameters, scale, 0.0, theta + n_penalised,
            <real*> s.grad + n_penalised,
        )
    value[0] = scale * value[0] + 0.5 * s.l2 * norm
    return -1


def linear_value_and_grad(
    X,
    y,
    theta,
    *,
    loss="half_squared_error",
    reduction="sum",
    intercept=False,
    l2=0.0,
    sample_weight=None,
    grad=None,
    n_threads=None,
):
    """Loss of a linear model and its gradient, in one pass over X.

    With scores ``z = X @ theta`` (plus the intercept), a weight ``w`` of 1 or ``sample_weight`` for each row,
    and ``N`` = 1 for ``reduction="sum"`` or ``N = sum(w)`` for ``reduction="mean"``::

        value = (1 / N) * sum_i w_i * loss(z_i, y_i)  +  l2 / 2 * sum(theta ** 2)
        grad  = (1 / N) * X.T @ (w * dloss/dz)        +  l2 * theta

    The penalty is added after the reduction, so ``N`` does not divide it, and leaves out the intercept.  The
    losses of a row, each summed over the outputs, are

    - ``"half_squared_error"``: ``(z - y) ** 2 / 2``, so the gradient of the sum is ``X.T @ (X @ theta - y)``;
    - ``"binary_cross_entropy"``: ``log(1 + exp(z)) - y * z``, for targets y from 0 to 1 and logits z;
    - ``"cross_entropy"``: ``log(sum(exp(z))) - z[y]``, for class labels y, softmax over the outputs.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32 or float64
        The elements of each row next to each other; the rows may be further apart.
    y : ndarray
        Of the dtype of X, shape (n_rows,) for a 1-D theta (C-contiguous) or (n_rows, n_outputs) for a 2-D one
        (contiguous rows); for ``"cross_entropy"`` int64 labels from 0 to n_outputs - 1, shape (n_rows,),
        C-contiguous.
    theta : ndarray of shape (n_features,) or (n_features, n_outputs), dtype of X, C-contiguous
        Two dimensions for ``"cross_entropy"``.  With ``intercept=True`` there is one row more, and the LAST
        row is the intercept.
    loss : {"half_squared_error", "binary_cross_entropy", "cross_entropy"}
    reduction : {"sum", "mean"}
        The mean divides by the sum of the weights, never by the number of outputs.
    intercept : bool
        Whether the last row of theta is an intercept.
    l2 : float
        Strength of the penalty, at least 0.
    sample_weight : ndarray of shape (n_rows,), dtype of X, C-contiguous, optional
        Finite and at least 0.
    grad : ndarray of the shape and dtype of theta, C-contiguous, optional
        Where the gradient is written; must not overlap the other arrays.
    n_threads : int, optional
        See :func:`fasttrain.set_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    value : float
    grad : ndarray
        The argument ``grad`` if given, else a new array.

    Raises
    ------
    TypeError
        For an array of another dtype, or an option of another type.
    ValueError
        For shapes that do not fit, an array that would need a copy, a target or weight that is not finite or
        out of range (the message names a row, the same one for any number of threads), or a mean over no rows
        or a total weight of 0.  The contents of ``grad`` are then undefined; nothing else has changed.

    Notes
    -----
    A row is read from memory once.  X and theta are not searched for NaN and infinity: they spread to the
    value and the gradient, as in NumPy.  Extra memory: the gradients of up to 256 pieces of X, in double,
    about a tenth of X at most where X has more than 32 rows for each output.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), sections 3.1, 4.3.2 and 4.3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import linear_value_and_grad
    >>> X = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0], [4.0, 5.0]])
    >>> y = np.array([0.0, 1.0, 1.0, 0.0])
    >>> value, grad = linear_value_and_grad(X, y, np.array([0.5, -0.5]))
    >>> value
    2.5
    >>> grad
    array([-10., -14.])
    """
    cdef cnp.ndarray x_array = checks.real_array(X, "X", 2)
    cdef cnp.ndarray theta_array = checks.real_array_like(theta, "theta", -1, x_array, "X")
    cdef cnp.ndarray y_array, grad_array, weight_array = None
    cdef _Work s
    cdef bint single = cnp.PyArray_TYPE(x_array) == cnp.NPY_FLOAT32
    cdef double value = 0.0, total_weight = 0.0
    cdef Py_ssize_t bad_piece = -1
    cdef _Outcome outcome
    cdef int threads
    cdef char* memory

    s.loss = checks.check_option(loss, "loss", _LOSSES)
    s.mean = checks.check_option(reduction, "reduction", _REDUCTIONS) == 1
    s.l2 = checks.check_number(l2, "l2", 0.0)
    if intercept is not True and intercept is not False and not isinstance(intercept, np.bool_):
        raise TypeError(f"intercept must be True or False, got {intercept!r}")
    s.intercept = intercept
    s.n_rows = cnp.PyArray_DIM(x_array, 0)
    s.n_features = cnp.PyArray_DIM(x_array, 1)
    s.x_row_stride = checks.row_stride(x_array, "X")

    if cnp.PyArray_NDIM(theta_array) == 1 and s.loss != _CROSS_ENTROPY:
        checks.check_shape(theta_array, "theta", s.n_features + s.intercept)
        s.n_outputs = 1
    elif cnp.PyArray_NDIM(theta_array) == 2:
        checks.check_shape(theta_array, "theta", s.n_features + s.intercept, -1)
        s.n_outputs = cnp.PyArray_DIM(theta_array, 1)
    else:
        raise ValueError(
            f"theta must have {'2 dimensions' if s.loss == _CROSS_ENTROPY else '1 or 2 dimensions'} "
            f"for loss={loss!r}, got shape {theta.shape}"
        )
    checks.check_contiguous(theta_array, "theta")
    s.n_parameters = cnp.PyArray_SIZE(theta_array)

    s.y_row_stride = 1
    if s.loss == _CROSS_ENTROPY:
        y_array = checks.int64_array(y, "y", 1)
        checks.check_shape(y_array, "y", s.n_rows)
        checks.check_contiguous(y_array, "y")
    elif cnp.PyArray_NDIM(theta_array) == 1:
        y_array = checks.real_array_like(y, "y", 1, x_array, "X")
        checks.check_shape(y_array, "y", s.n_rows)
        checks.check_contiguous(y_array, "y")
    else:
        y_array = checks.real_array_like(y, "y", 2, x_array, "X")
        checks.check_shape(y_array, "y", s.n_rows, s.n_outputs)
        s.y_row_stride = checks.row_stride(y_array, "y")

    s.weight = NULL
    if sample_weight is not None:
        weight_array = checks.real_array_like(sample_weight, "sample_weight", 1, x_array, "X")
        checks.check_shape(weight_array, "sample_weight", s.n_rows)
        checks.check_contiguous(weight_array, "sample_weight")
        s.weight = cnp.PyArray_DATA(weight_array)
    if s.mean and s.n_rows == 0:
        raise ValueError("X has no rows; reduction='mean' needs at least one")

    if grad is None:
        grad_array = cnp.PyArray_EMPTY(
            cnp.PyArray_NDIM(theta_array), cnp.PyArray_DIMS(theta_array), cnp.PyArray_TYPE(theta_array), 0
        )
    else:
        grad_array = checks.real_array_like(grad, "grad", cnp.PyArray_NDIM(theta_array), x_array, "X")
        if cnp.PyArray_NDIM(theta_array) == 1:
            checks.check_shape(grad_array, "grad", cnp.PyArray_DIM(theta_array, 0))
        else:
            checks.check_shape(
                grad_array, "grad", cnp.PyArray_DIM(theta_array, 0), cnp.PyArray_DIM(theta_array, 1)
            )
        checks.check_contiguous(grad_array, "grad")
        checks.check_writeable(grad_array, "grad")
        checks.check_disjoint(grad_array, "grad", x_array, "X")
        checks.check_disjoint(grad_array, "grad", y_array, "y")
        checks.check_disjoint(grad_array, "grad", theta_array, "theta")
        if weight_array is not None:
            checks.check_disjoint(grad_array, "grad", weight_array, "sample_weight")

    threads = threads_for(
        n_threads, <double> s.n_rows * max(1, s.n_features) * max(1, s.n_outputs), <double> _PIECE_PRODUCTS
    )
    _partition(
        &s, cnp.PyArray_ITEMSIZE(x_array), table.f32.tile_columns if single else table.f64.tile_columns
    )
    memory = <char*> malloc(s.threads_at + threads * s.thread_bytes + 64)
    if memory == NULL:
        raise MemoryError("no memory for the gradients of the pieces of X")
    s.memory = <char*> ((<uintptr_t> memory + 63) // 64 * 64)
    s.x = cnp.PyArray_DATA(x_array)
    s.y = cnp.PyArray_DATA(y_array)
    s.grad = cnp.PyArray_DATA(grad_array)
    with nogil:
        if single:
            bad_piece = _run(
                &s, threads, <const float*> cnp.PyArray_DATA(theta_array), &value, &total_weight
            )
        else:
            bad_piece = _run(
                &s, threads, <const double*> cnp.PyArray_DATA(theta_array), &value, &total_weight
            )
        if bad_piece >= 0:
            outcome = (<_Outcome*> (s.memory + s.outcomes_at))[bad_piece]
        free(memory)
    if bad_piece >= 0:
        _raise_bad_row(&s, &outcome, y, sample_weight)
    if s.mean and total_weight == 0.0:
        raise ValueError("the sum of sample_weight must be positive for reduction='mean', got 0")
    return value, grad_array


cdef int _raise_bad_row(const _Work* s, const _Outcome* outcome, object y, object sample_weight) except -1:
    if outcome.bad_weight >= 0:
        raise ValueError(
            f"sample_weight must be finite and at least 0, got {sample_weight[outcome.bad_weight]} "
            f"in row {outcome.bad_weight}"
        )
    wanted = (
        "finite",
        "from 0 to 1",
        f"labels from 0 to {s.n_outputs - 1}",
    )[s.loss]
    raise ValueError(f"y must be {wanted}, got {y[outcome.bad_target]} in row {outcome.bad_target}")
