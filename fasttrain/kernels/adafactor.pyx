"""Adafactor: the second moments of a matrix from those of its rows and its columns.

Three passes over the gradient, in phases of one parallel region.  A matrix is cut into tiles, blocks of rows by strips
of columns.  The first pass sums squares, for each tile by row and by column; from these, added in the order of the
tiles, the running means and then the factors of rows and columns are made.  The second pass takes the norm of the
update, which bounds the step, and the third makes the step.  The parameter is read in the first, for its norm, and
in the third.  What is stored are some numbers for each row and column, never one for each element.

The last two axes of an array are a matrix, and it has as many as its other axes say.  Small ones share a piece.
A vector's moments are its own, so that its first pass finds the norm of the update too, and there is no second.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.float cimport DBL_EPSILON, DBL_MIN, FLT_EPSILON, FLT_MIN
from libc.math cimport pow, sqrt
from libc.stdlib cimport free, malloc

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_disjoint,
    check_flag,
    check_number,
    check_step,
    check_writeable,
    param_array,
    param_array_like,
    real_array_like,
    state_array,
)
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
from fasttrain.kernels.table cimport FT_ADAFACTOR_STRIP

cnp.import_array()

ctypedef fused real:
    float
    double

# Rows of a block at least, and blocks of a matrix at most: the sums of columns are kept for each block.
cdef Py_ssize_t BLOCK_ROWS = 16, MAX_BLOCKS = 64
# Elements of a piece of a vector, and of small matrices.
cdef Py_ssize_t PIECE = 8192
# Parameter bytes for which one more thread pays for its start.
cdef double GRAIN = 131072

# An array of matrices, or a vector as one row.
cdef struct Step:
    Py_ssize_t n_matrices, n_rows, n_columns
    # tiles of a matrix; if there is one, a piece has one or more matrices, and else one tile
    Py_ssize_t block_rows, n_blocks, n_strips, piece_matrices, n_pieces
    double grad_factor, weight, decay_factor
    double lr, eps, least_rms, d, rms_factor    # rms_factor: of the parameter's, min(lr, 1 / sqrt(t))
    double alpha            # the step without the bound on the update, known after the first pass
    double step_size        # and with it, known before the last
    double* row_sums        # (n_matrices, n_strips, n_rows)
    double* column_sums     # (n_matrices, n_blocks, n_columns)
    double* norms           # (n_pieces,), of the parameter and then of the update; both for a vector, (n_pieces, 2)
    void* row_factors       # (n_matrices, n_rows)
    void* column_factors    # (n_matrices, n_columns)
    ft_crew crew


# ---- the kernels of an element type ---------------------------------------------------------------------

cdef inline double adafactor_sums(Py_ssize_t n_rows, Py_ssize_t n_columns, const real* param, const real* grad,
                                  Py_ssize_t row_stride, double grad_factor, double* row_sums,
                                  double* column_sums) noexcept nogil:
    if real is float:
        return table.f32.adafactor_sums(n_rows, n_columns, param, grad, row_stride, grad_factor, row_sums, column_sums)
    else:
        return table.f64.adafactor_sums(n_rows, n_columns, param, grad, row_stride, grad_factor, row_sums, column_sums)


cdef inline double adafactor_means(Py_ssize_t n, Py_ssize_t n_parts, const double* sums, double count, double weight,
                                   real* means) noexcept nogil:
    if real is float:
        return table.f32.adafactor_means(n, n_parts, sums, count, weight, means)
    else:
        return table.f64.adafactor_means(n, n_parts, sums, count, weight, means)


cdef inline void adafactor_factors(Py_ssize_t n, const real* means, double divisor, real* factors) noexcept nogil:
    if real is float:
        table.f32.adafactor_factors(n, means, divisor, factors)
    else:
        table.f64.adafactor_factors(n, means, divisor, factors)


cdef inline double adafactor_norm(Py_ssize_t n_rows, Py_ssize_t n_columns, const real* grad, Py_ssize_t row_stride,
                                  double grad_factor, const real* row_factors, const real* column_factors,
                                  double limit) noexcept nogil:
    if real is float:
        return table.f32.adafactor_norm(n_rows, n_columns, grad, row_stride, grad_factor, row_factors, column_factors,
                                        limit)
    else:
        return table.f64.adafactor_norm(n_rows, n_columns, grad, row_stride, grad_factor, row_factors, column_factors,
                                        limit)


cdef inline void adafactor_step(Py_ssize_t n_rows, Py_ssize_t n_columns, real* param, const real* grad,
                                Py_ssize_t row_stride, double grad_factor, const real* row_factors,
                                const real* column_factors, double limit, double decay_factor,
                                double step_size) noexcept nogil:
    if real is float:
        table.f32.adafactor_step(n_rows, n_columns, param, grad, row_stride, grad_factor, row_factors, column_factors,
                                 limit, decay_factor, step_size)
    else:
        table.f64.adafactor_step(n_rows, n_columns, param, grad, row_stride, grad_factor, row_factors, column_factors,
                                 limit, decay_factor, step_size)


cdef inline void adafactor_variance(Py_ssize_t n, const real* param, const real* grad, real* variance,
                                    double grad_factor, double weight, double eps, double* sums) noexcept nogil:
    if real is float:
        table.f32.adafactor_variance(n, param, grad, variance, grad_factor, weight, eps, sums)
    else:
        table.f64.adafactor_variance(n, param, grad, variance, grad_factor, weight, eps, sums)


cdef inline void adafactor_vector_step(Py_ssize_t n, real* param, const real* grad, const real* variance,
                                       double grad_factor, double eps, double decay_factor,
                                       double step_size) noexcept nogil:
    if real is float:
        table.f32.adafactor_vector_step(n, param, grad, variance, grad_factor, eps, decay_factor, step_size)
    else:
        table.f64.adafactor_vector_step(n, param, grad, variance, grad_factor, eps, decay_factor, step_size)


# ---- the scalars that the passes find ------------------------------------------------------------------

cdef double _rms(const Step* s, Py_ssize_t first, Py_ssize_t stride) noexcept nogil:
    cdef double total = 0.0
    cdef Py_ssize_t piece
    for piece in range(s.n_pieces):
        total += s.norms[first + stride * piece]
    return sqrt(total) / sqrt(<double> s.n_matrices * s.n_rows * s.n_columns)


cdef double _maximum(double least, double x) noexcept nogil:
    # NaN stays NaN
    return least if x < least else x


cdef void _set_alpha(Step* s, double param_rms) noexcept nogil:
    s.alpha = _maximum(s.least_rms, param_rms) * s.rms_factor


cdef void _set_step_size(Step* s, double update_rms) noexcept nogil:
    s.step_size = s.alpha / _maximum(1.0, update_rms / s.d)


# ---- matrices --------------------------------------------------------------------------------------------

cdef enum Pass:
    SUMS
    NORM
    STEP


cdef double _tile(Pass what, const Step* s, Py_ssize_t matrix, Py_ssize_t block, Py_ssize_t strip, real* param,
                  const real* grad) noexcept nogil:
    cdef Py_ssize_t row = block * s.block_rows, n_rows = min(s.block_rows, s.n_rows - row)
    cdef Py_ssize_t column = strip * FT_ADAFACTOR_STRIP
    cdef Py_ssize_t n_columns = min(<Py_ssize_t> FT_ADAFACTOR_STRIP, s.n_columns - column)
    cdef Py_ssize_t start = (matrix * s.n_rows + row) * s.n_columns + column
    cdef const real* row_factors = <const real*> s.row_factors + matrix * s.n_rows + row
    cdef const real* column_factors = <const real*> s.column_factors + matrix * s.n_columns + column
    if what == SUMS:
        return adafactor_sums(n_rows, n_columns, param + start, grad + start, s.n_columns, s.grad_factor,
                              s.row_sums + (matrix * s.n_strips + strip) * s.n_rows + row,
                              s.column_sums + (matrix * s.n_blocks + block) * s.n_columns + column)
    if what == NORM:
        return adafactor_norm(n_rows, n_columns, grad + start, s.n_columns, s.grad_factor, row_factors, column_factors,
                              1.0 / s.eps)
    adafactor_step(n_rows, n_columns, param + start, grad + start, s.n_columns, s.grad_factor, row_factors,
                   column_factors, 1.0 / s.eps, s.decay_factor, s.step_size)
    return 0.0


cdef double _piece(Pass what, const Step* s, Py_ssize_t piece, real* param, const real* grad) noexcept nogil:
    """One pass over a piece; the sum that it is for."""
    cdef Py_ssize_t n_tiles = s.n_blocks * s.n_strips, matrix
    cdef double total = 0.0
    if n_tiles > 1:
        return _tile(what, s, piece // n_tiles, piece % n_tiles // s.n_strips, piece % s.n_strips, param, grad)
    for matrix in range(piece * s.piece_matrices, min(s.n_matrices, (piece + 1) * s.piece_matrices)):
        total += _tile(what, s, matrix, 0, 0, param, grad)
    return total


cdef void _factors(const Step* s, Py_ssize_t matrix, real* row_var, real* col_var) noexcept nogil:
    cdef Py_ssize_t row = matrix * s.n_rows, column = matrix * s.n_columns
    cdef double mean = adafactor_means(s.n_rows, s.n_strips, s.row_sums + row * s.n_strips, <double> s.n_columns,
                                       s.weight, row_var + row) / s.n_rows
    adafactor_factors(s.n_rows, row_var + row, _maximum(s.eps, mean), <real*> s.row_factors + row)
    adafactor_means(s.n_columns, s.n_blocks, s.column_sums + column * s.n_blocks, <double> s.n_rows, s.weight,
                    col_var + column)
    adafactor_factors(s.n_columns, col_var + column, 1.0, <real*> s.column_factors + column)


cdef void _matrix_member(Step* s, real* param, const real* grad, real* row_var, real* col_var) noexcept nogil:
    cdef int thread = ft_crew_join(&s.crew)
    cdef Py_ssize_t n_groups = (s.n_matrices + s.piece_matrices - 1) // s.piece_matrices, matrix
    cdef Py_ssize_t piece = ft_crew_take(&s.crew, thread, 0, s.n_pieces)
    while piece >= 0:
        s.norms[piece] = _piece(SUMS, s, piece, param, grad)
        if ft_crew_finish(&s.crew, s.n_pieces):
            _set_alpha(s, _rms(s, 0, 1))
            ft_crew_advance(&s.crew, 0)
        piece = ft_crew_take(&s.crew, thread, 0, s.n_pieces)
    ft_crew_wait(&s.crew, 0)
    piece = ft_crew_take(&s.crew, thread, 1, n_groups)
    while piece >= 0:
        for matrix in range(piece * s.piece_matrices, min(s.n_matrices, (piece + 1) * s.piece_matrices)):
            _factors(s, matrix, row_var, col_var)
        if ft_crew_finish(&s.crew, n_groups):
            ft_crew_advance(&s.crew, 1)
        piece = ft_crew_take(&s.crew, thread, 1, n_groups)
    ft_crew_wait(&s.crew, 1)
    piece = ft_crew_take(&s.crew, thread, 2, s.n_pieces)
    while piece >= 0:
        s.norms[piece] = _piece(NORM, s, piece, param, grad)
        if ft_crew_finish(&s.crew, s.n_pieces):
            _set_step_size(s, _rms(s, 0, 1))
            ft_crew_advance(&s.crew, 2)
        piece = ft_crew_take(&s.crew, thread, 2, s.n_pieces)
    ft_crew_wait(&s.crew, 2)
    piece = ft_crew_take(&s.crew, thread, 3, s.n_pieces)
    while piece >= 0:
        _piece(STEP, s, piece, param, grad)
        piece = ft_crew_take(&s.crew, thread, 3, s.n_pieces)
    ft_crew_leave(&s.crew, thread)


cdef int _update_matrices(Step* s, real* param, const real* grad, real* row_var, real* col_var,
                          int n_threads) except -1:
    cdef Py_ssize_t size = s.n_rows * s.n_columns, n_row_sums, n_column_sums
    cdef char* scratch
    s.block_rows = max(BLOCK_ROWS, (s.n_rows + MAX_BLOCKS - 1) // MAX_BLOCKS)
    s.n_blocks = (s.n_rows + s.block_rows - 1) // s.block_rows
    s.n_strips = (s.n_columns + FT_ADAFACTOR_STRIP - 1) // FT_ADAFACTOR_STRIP
    s.piece_matrices = max(1, PIECE // size) if s.n_blocks * s.n_strips == 1 else 1
    s.n_pieces = (s.n_matrices + s.piece_matrices - 1) // s.piece_matrices * s.n_blocks * s.n_strips
    n_row_sums = s.n_matrices * s.n_strips * s.n_rows
    n_column_sums = s.n_matrices * s.n_blocks * s.n_columns
    scratch = <char*> malloc((n_row_sums + n_column_sums + s.n_pieces) * sizeof(double)
                             + s.n_matrices * (s.n_rows + s.n_columns) * sizeof(real))
    if scratch == NULL:
        raise MemoryError()
    s.row_sums = <double*> scratch
    s.column_sums = s.row_sums + n_row_sums
    s.norms = s.column_sums + n_column_sums
    s.row_factors = s.norms + s.n_pieces
    s.column_factors = <real*> s.row_factors + s.n_matrices * s.n_rows
    with nogil:
        ft_crew_start(&s.crew, n_threads)
        if n_threads == 1:
            _matrix_member(s, param, grad, row_var, col_var)
        else:
            with parallel(num_threads=n_threads):
                _matrix_member(s, param, grad, row_var, col_var)
    free(scratch)
    return 0


# ---- vectors ---------------------------------------------------------------------------------------------

cdef void _vector_member(Step* s, real* param, const real* grad, real* variance) noexcept nogil:
    cdef int thread = ft_crew_join(&s.crew)
    cdef Py_ssize_t start, piece = ft_crew_take(&s.crew, thread, 0, s.n_pieces)
    while piece >= 0:
        start = piece * PIECE
        adafactor_variance(min(PIECE, s.n_columns - start), param + start, grad + start, variance + start,
                           s.grad_factor, s.weight, s.eps, s.norms + 2 * piece)
        if ft_crew_finish(&s.crew, s.n_pieces):
            _set_alpha(s, _rms(s, 0, 2))
            _set_step_size(s, _rms(s, 1, 2))
            ft_crew_advance(&s.crew, 0)
        piece = ft_crew_take(&s.crew, thread, 0, s.n_pieces)
    ft_crew_wait(&s.crew, 0)
    piece = ft_crew_take(&s.crew, thread, 1, s.n_pieces)
    while piece >= 0:
        start = piece * PIECE
        adafactor_vector_step(min(PIECE, s.n_columns - start), param + start, grad + start, variance + start,
                              s.grad_factor, s.eps, s.decay_factor, s.step_size)
        piece = ft_crew_take(&s.crew, thread, 1, s.n_pieces)
    ft_crew_leave(&s.crew, thread)


cdef int _update_vector(Step* s, real* param, const real* grad, real* variance, int n_threads) except -1:
    s.n_pieces = (s.n_columns + PIECE - 1) // PIECE
    s.norms = <double*> malloc(2 * s.n_pieces * sizeof(double))
    if s.norms == NULL:
        raise MemoryError()
    with nogil:
        ft_crew_start(&s.crew, n_threads)
        if n_threads == 1:
            _vector_member(s, param, grad, variance)
        else:
            with parallel(num_threads=n_threads):
                _vector_member(s, param, grad, variance)
    free(s.norms)
    return 0


# ---- the public function ---------------------------------------------------------------------------------

cdef Step _checked_step(
    object step, object lr, object beta2_decay, object eps, object d, object weight_decay, object maximize,
    object grad_factor, double default_eps,
) except *:
    cdef Step s
    cdef double t = check_step(step), exponent
    s.lr = check_number(lr, "lr", 0.0)
    s.rms_factor = min(s.lr, 1.0 / sqrt(t))
    exponent = check_number(beta2_decay, "beta2_decay")
    if exponent > 0.0:
        raise ValueError(f"beta2_decay must be at most 0, got {beta2_decay!r}")
    s.weight = pow(t, exponent)
    if not isinstance(eps, (tuple, list)) or len(eps) != 2:
        raise TypeError(f"eps must be a pair of numbers, the first of which may be None, got {eps!r}")
    s.eps = default_eps if eps[0] is None else check_number(eps[0], "eps[0]", 0.0)
    s.least_rms = check_number(eps[1], "eps[1]", 0.0)
    s.d = check_number(d, "d", 1.0)
    s.decay_factor = 1.0 - s.lr * check_number(weight_decay, "weight_decay", 0.0)
    s.grad_factor = check_number(grad_factor, "grad_factor", 0.0)
    if check_flag(maximize, "maximize"):
        s.grad_factor = -s.grad_factor
    return s


cdef cnp.ndarray _factor_array(object value, str name, cnp.ndarray param, cnp.ndarray grad, tuple shape):
    cdef cnp.ndarray array = real_array_like(value, name, -1, param, "param")
    if (<object> array).shape != shape:
        raise ValueError(
            f"{name} must have shape {shape} for a param of shape {(<object> param).shape}, "
            f"got {(<object> array).shape}"
        )
    check_contiguous(array, name)
    check_writeable(array, name)
    check_disjoint(array, name, param, "param")
    check_disjoint(array, name, grad, "grad")
    return array


def adafactor_update(
    param, grad, row_var=None, col_var=None, variance=None, *, step, lr=0.01, beta2_decay=-0.8, eps=(None, 1e-3),
    d=1.0, weight_decay=0.0, maximize=False, grad_factor=1.0, n_threads=None,
):
    """One step of Adafactor, in place: second moments from the means of rows and columns.

    With t = step, rho = t^beta2_decay and eps1, eps2 = eps, for an array whose last two axes are matrices::

        g = grad_factor * grad                                 with maximize: -grad_factor * grad
        alpha = max(eps2, rms(param)) * min(lr, 1 / sqrt(t))   rms(x) = norm(x) / sqrt(size of x)
        param *= 1 - lr * weight_decay
        row_var = (1 - rho) * row_var + rho * mean of g^2 over each row
        col_var = (1 - rho) * col_var + rho * mean of g^2 over each column
        v = row_var col_var / max(eps1, mean of row_var)       the matrix product, column by row
        u = g / sqrt(max(v, eps1^2))
        param -= alpha / max(1, rms(u) / d) * u

    and for an array of one axis or none, v = variance = (1 - rho) * variance + rho * g^2.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.
    row_var : ndarray (..., n_rows, 1), optional
        For a param of shape (..., n_rows, n_columns), of its dtype; zeros before the first step, updated in place.
    col_var : ndarray (..., 1, n_columns), optional
        The same for the columns.
    variance : ndarray like param, optional
        In place of the two, for a param of one axis or none.
    step : int
        Number of this step, from 1 to 2**53.
    lr : float
        At least 0; what the step relative to the parameter is at most.
    beta2_decay : float
        At most 0.
    eps : pair of float
        Each at least 0.  None for the first is the machine epsilon of the dtype.
    d : float
        At least 1; what the root mean square of the update is at most.
    weight_decay : float
        At least 0; decoupled.
    maximize : bool
        Go along the gradient, not against it.
    grad_factor : float
        At least 0; multiplied into the gradient first, to unscale or to clip it.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that overlap, state
        that is missing or that the number of axes does not call for, or a scalar out of range.  Nothing has been
        changed then.

    Notes
    -----
    u is worked out as ``g * min(1 / eps1, 1 / sqrt(row_var / max(eps1, mean)) * (1 / sqrt(col_var)))``, which takes
    a root for each row and column and none for an element.  Squares are summed in double, in an order that depends
    on the shape alone, and each operation is rounded alone, so that the bits are the same at every CPU level.
    Subnormal operands count as zero and subnormal results are zero.  NaN in the gradient spreads to the whole
    parameter.

    The formula is that of ``torch.optim.Adafactor``; N. Shazeer and M. Stern, "Adafactor: adaptive learning rates
    with sublinear memory cost", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import adafactor_update
    >>> theta, grad = np.ones((2, 3)), np.array([[1.0, 2.0, 4.0], [2.0, 4.0, 8.0]])
    >>> row_var, col_var = np.zeros((2, 1)), np.zeros((1, 3))
    >>> adafactor_update(theta, grad, row_var, col_var, step=1)
    >>> row_var.ravel(), col_var.ravel()
    (array([ 7., 28.]), array([ 2.5, 10. , 40. ]))
    >>> theta       # the moments of a matrix of rank one are exact, so that every update is 1
    array([[0.99, 0.99, 0.99],
           [0.99, 0.99, 0.99]])
    """
    cdef cnp.ndarray parameter = param_array(param, "param")
    cdef cnp.ndarray gradient = param_array_like(grad, "grad", parameter)
    cdef cnp.ndarray first, second = None
    cdef int n_axes = cnp.PyArray_NDIM(parameter), threads
    cdef bint is_float = cnp.PyArray_TYPE(parameter) == cnp.NPY_FLOAT32
    cdef Step s
    check_disjoint(parameter, "param", gradient, "grad")
    shape = (<object> parameter).shape
    if n_axes > 1:
        if row_var is None or col_var is None or variance is not None:
            raise ValueError(
                f"a param of shape {shape} needs row_var and col_var, and no variance; numpy.zeros makes them, of "
                f"shapes {shape[:-1] + (1,)} and {shape[:-2] + (1, shape[-1])}"
            )
        first = _factor_array(row_var, "row_var", parameter, gradient, shape[:-1] + (1,))
        second = _factor_array(col_var, "col_var", parameter, gradient, shape[:-2] + (1, shape[-1]))
        check_disjoint(first, "row_var", second, "col_var")
    else:
        if variance is None or row_var is not None or col_var is not None:
            raise ValueError(
                f"a param of shape {shape} needs variance, and no row_var or col_var; numpy.zeros_like(param) makes it"
            )
        first = state_array(variance, "variance", parameter, gradient)
    s = _checked_step(step, lr, beta2_decay, eps, d, weight_decay, maximize, grad_factor,
                      FLT_EPSILON if is_float else DBL_EPSILON)
    # a positive eps must neither be flushed nor have an infinite reciprocal: 0 / 0 and 0 infinity are NaN
    if s.eps > 0.0:
        s.eps = max(s.eps, <double> FLT_MIN if is_float else DBL_MIN)
    threads = threads_for(n_threads, cnp.PyArray_NBYTES(parameter), GRAIN)
    if cnp.PyArray_SIZE(parameter) == 0:
        return
    s.n_rows = shape[-2] if n_axes > 1 else 1
    s.n_columns = shape[-1] if n_axes > 0 else 1
    s.n_matrices = cnp.PyArray_SIZE(parameter) // (s.n_rows * s.n_columns)
    if is_float and second is not None:
        _update_matrices[float](&s, <float*> cnp.PyArray_DATA(parameter), <float*> cnp.PyArray_DATA(gradient),
                                <float*> cnp.PyArray_DATA(first), <float*> cnp.PyArray_DATA(second), threads)
    elif is_float:
        _update_vector[float](&s, <float*> cnp.PyArray_DATA(parameter), <float*> cnp.PyArray_DATA(gradient),
                              <float*> cnp.PyArray_DATA(first), threads)
    elif second is not None:
        _update_matrices[double](&s, <double*> cnp.PyArray_DATA(parameter), <double*> cnp.PyArray_DATA(gradient),
                                 <double*> cnp.PyArray_DATA(first), <double*> cnp.PyArray_DATA(second), threads)
    else:
        _update_vector[double](&s, <double*> cnp.PyArray_DATA(parameter), <double*> cnp.PyArray_DATA(gradient),
                               <double*> cnp.PyArray_DATA(first), threads)
