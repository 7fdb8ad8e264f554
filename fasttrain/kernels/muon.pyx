"""Muon: momentum whose singular values are all brought near one, by products of matrices.

The iteration is on X (n_rows, n_columns), from the momentum divided by its norm.  With k the lesser of the two sizes,
A (k, k) is X X^T where rows are the few, and else X^T X; then B = a I + b A + c A^2, and X becomes B X, or X B.  So
nothing is transposed, and a tall matrix gives the transpose of what its transpose would.  The products are those of
:mod:`fasttrain.kernels.linalg`; what lies between them is elementwise, in pieces whose number depends on the size
alone.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport sqrt
from libc.stdlib cimport free, malloc

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_disjoint,
    check_flag,
    check_integer,
    check_number,
    check_option,
    check_writeable,
    param_array,
    param_array_like,
    real_array_like,
    state_array,
)
from fasttrain.kernels.linalg cimport symmetric_product
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

from fasttrain.kernels.linalg import matmul

import numpy as np

cnp.import_array()

ctypedef fused real:
    float
    double

cdef Py_ssize_t PIECE = 16384
# Bytes for which one more thread pays for its start.
cdef double GRAIN = 262144
# Elements that the workspace has more than its four matrices, so that they can start on a cache line.
cdef Py_ssize_t SLACK = 64
cdef tuple ADJUSTMENTS = ("original", "match_rms_adamw")


cdef inline Py_ssize_t _n_pieces(Py_ssize_t n) noexcept nogil:
    return (n + PIECE - 1) // PIECE


# ---- the elementwise passes ------------------------------------------------------------------------------

cdef inline double muon_momentum(Py_ssize_t n, const real* grad, real* buffer, real* update, double grad_factor,
                                 double momentum, int nesterov) noexcept nogil:
    if real is float:
        return table.f32.muon_momentum(n, grad, buffer, update, grad_factor, momentum, nesterov)
    else:
        return table.f64.muon_momentum(n, grad, buffer, update, grad_factor, momentum, nesterov)


cdef inline void scale_add(Py_ssize_t n, double alpha, real* y, double beta, const real* x) noexcept nogil:
    if real is float:
        table.f32.scale_add(n, alpha, y, beta, x)
    else:
        table.f64.scale_add(n, alpha, y, beta, x)


cdef struct Momentum:
    Py_ssize_t size
    double grad_factor, momentum, eps, scale
    bint nesterov
    double* sums            # (n_pieces,)
    ft_crew crew


cdef double _reciprocal_norm(const Momentum* s) noexcept nogil:
    cdef double total = 0.0
    cdef Py_ssize_t piece
    for piece in range(_n_pieces(s.size)):
        total += s.sums[piece]
    total = sqrt(total)
    return 1.0 / (s.eps if total < s.eps else total)


cdef void _momentum_member(Momentum* s, const real* grad, real* buffer, real* x) noexcept nogil:
    cdef int thread = ft_crew_join(&s.crew)
    cdef Py_ssize_t n_pieces = _n_pieces(s.size), start
    cdef Py_ssize_t piece = ft_crew_take(&s.crew, thread, 0, n_pieces)
    while piece >= 0:
        start = piece * PIECE
        s.sums[piece] = muon_momentum(min(PIECE, s.size - start), grad + start, buffer + start, x + start,
                                      s.grad_factor, s.momentum, s.nesterov)
        if ft_crew_finish(&s.crew, n_pieces):
            s.scale = _reciprocal_norm(s)
            ft_crew_advance(&s.crew, 0)
        piece = ft_crew_take(&s.crew, thread, 0, n_pieces)
    ft_crew_wait(&s.crew, 0)
    piece = ft_crew_take(&s.crew, thread, 1, n_pieces)
    while piece >= 0:
        start = piece * PIECE
        scale_add(min(PIECE, s.size - start), s.scale, x + start, 0.0, <const real*> NULL)
        piece = ft_crew_take(&s.crew, thread, 1, n_pieces)
    ft_crew_leave(&s.crew, thread)


cdef void _start(Momentum* s, const real* grad, real* buffer, real* x, int n_threads) noexcept nogil:
    """x = the update by momentum, over its norm."""
    ft_crew_start(&s.crew, n_threads)
    if n_threads == 1:
        _momentum_member(s, grad, buffer, x)
    else:
        with parallel(num_threads=n_threads):
            _momentum_member(s, grad, buffer, x)


cdef void _scale_add_member(Py_ssize_t size, double alpha, real* y, double beta, const real* x,
                            ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t start, piece = ft_crew_take(crew, thread, 0, _n_pieces(size))
    while piece >= 0:
        start = piece * PIECE
        scale_add(min(PIECE, size - start), alpha, y + start, beta, x + start)
        piece = ft_crew_take(crew, thread, 0, _n_pieces(size))
    ft_crew_leave(crew, thread)


cdef void _scale_add(Py_ssize_t size, double alpha, real* y, double beta, const real* x, int n_threads) noexcept nogil:
    """y = alpha y + beta x"""
    cdef ft_crew crew
    ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _scale_add_member(size, alpha, y, beta, x, &crew)
    else:
        with parallel(num_threads=n_threads):
            _scale_add_member(size, alpha, y, beta, x, &crew)


cdef int _combine(cnp.ndarray y, double alpha, cnp.ndarray x, double beta, double shift, object n_threads) except -1:
    """y = alpha y + beta x, and shift is added to the diagonal of y if it is not 0; all are checked."""
    cdef Py_ssize_t size = cnp.PyArray_SIZE(y), n_columns = cnp.PyArray_DIM(y, 1), i
    cdef int threads = threads_for(n_threads, cnp.PyArray_NBYTES(y), GRAIN)
    cdef float* narrow = <float*> cnp.PyArray_DATA(y)
    cdef double* wide = <double*> cnp.PyArray_DATA(y)
    if cnp.PyArray_TYPE(y) == cnp.NPY_FLOAT32:
        with nogil:
            _scale_add[float](size, alpha, narrow, beta, <const float*> cnp.PyArray_DATA(x), threads)
            if shift != 0.0:
                for i in range(n_columns):
                    narrow[i * (n_columns + 1)] += <float> shift
    else:
        with nogil:
            _scale_add[double](size, alpha, wide, beta, <const double*> cnp.PyArray_DATA(x), threads)
            if shift != 0.0:
                for i in range(n_columns):
                    wide[i * (n_columns + 1)] += shift
    return 0


# ---- the public function ---------------------------------------------------------------------------------

cdef tuple _checked_coefficients(object values):
    if not isinstance(values, (tuple, list)) or len(values) != 3:
        raise TypeError(f"ns_coefficients must be three numbers, got {values!r}")
    return tuple([check_number(value, f"ns_coefficients[{i}]") for i, value in enumerate(values)])


cdef cnp.ndarray _checked_workspace(object value, cnp.ndarray param, list others, Py_ssize_t size):
    cdef cnp.ndarray array = real_array_like(value, "workspace", 1, param, "param")
    check_contiguous(array, "workspace")
    check_writeable(array, "workspace")
    if cnp.PyArray_SIZE(array) < size:
        raise ValueError(
            f"workspace must have at least {size} elements for a param of shape {(<object> param).shape}, "
            f"got {cnp.PyArray_SIZE(array)}"
        )
    for name, other in others:
        check_disjoint(array, "workspace", other, name)
    return array


def muon_update(
    param, grad, momentum_buffer, *, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
    ns_coefficients=(3.4445, -4.775, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None, maximize=False,
    grad_factor=1.0, workspace=None, n_threads=None,
):
    """One step of Muon, in place: momentum, made nearly orthogonal by a Newton-Schulz iteration.

    With a, b, c = ns_coefficients and a matrix of n_rows by n_columns::

        g = grad_factor * grad                                 with maximize: -grad_factor * grad
        momentum_buffer = momentum * momentum_buffer + (1 - momentum) * g
        u = momentum_buffer, or with nesterov: (1 - momentum) * g + momentum * momentum_buffer
        X = u / max(norm(u), eps)                              the Frobenius norm
        X = (a I + b A + c A^2) X  with  A = X X^T             ns_steps times
        param *= 1 - lr * weight_decay
        param -= lr * sqrt(max(1, n_rows / n_columns)) * X     adjust_lr_fn "original" or None
        param -= lr * 0.2 * sqrt(max(n_rows, n_columns)) * X   "match_rms_adamw"

    Parameters
    ----------
    param : ndarray (n_rows, n_columns) of float32 or float64, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.
    momentum_buffer : ndarray like param
        Zeros before the first step; updated in place.
    lr : float
        At least 0.
    weight_decay : float
        At least 0; decoupled.
    momentum : float
        At least 0.
    nesterov : bool
    ns_coefficients : three floats
        Of the odd polynomial that is applied to the singular values.
    eps : float
        At least 0.
    ns_steps : int
        From 0 to 99.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}
    maximize : bool
        Go along the gradient, not against it.
    grad_factor : float
        At least 0; multiplied into the gradient first, to unscale or to clip it.
    workspace : ndarray (size,), optional
        Of param's dtype, at least ``2 * n_rows * n_columns + 2 * min(n_rows, n_columns)**2 + 64`` elements, of any
        content; overwritten.  Without it, each call allocates as much.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, one that is not a matrix, a read-only param, buffer or
        workspace, arrays that overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    All is computed in the dtype of param, where ``torch.optim.Muon`` takes the products in bfloat16.  With the default
    coefficients five steps do not converge: they bring singular values from 0.003 of the norm on to between 0.68
    and 1.21, which is what training needs.  Where n_rows is greater, A is X^T X, and X becomes X B.  Subnormal
    operands of the elementwise parts count as zero and subnormal results are zero.

    The formula is that of ``torch.optim.Muon``; K. Jordan, "Muon: an optimizer for hidden layers in neural networks",
    2024; J. Liu et al., "Muon is scalable for LLM training", 2025, for "match_rms_adamw".

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import muon_update
    >>> theta, buffer = np.zeros((2, 2)), np.zeros((2, 2))
    >>> muon_update(theta, np.array([[4.0, 0.0], [0.0, -1.0]]), buffer, lr=1.0)
    >>> theta.round(2)      # the singular values 4 and 1 have become nearly the same
    array([[-0.74,  0.  ],
           [ 0.  ,  0.74]])
    """
    cdef cnp.ndarray parameter, gradient, buffer, memory, x, y, a, b
    cdef Momentum s
    cdef Py_ssize_t n_rows, n_columns, k, size, start, n_steps
    cdef double rate, decay, of_i, of_a, of_b
    cdef int threads
    cdef bint tall
    parameter = param_array(param, "param")
    if cnp.PyArray_NDIM(parameter) != 2:
        raise ValueError(
            f"param must have 2 dimensions, got shape {(<object> parameter).shape}; Muon is for matrices, use another "
            "rule for this one"
        )
    gradient = param_array_like(grad, "grad", parameter)
    check_disjoint(parameter, "param", gradient, "grad")
    buffer = state_array(momentum_buffer, "momentum_buffer", parameter, gradient)
    n_rows, n_columns = cnp.PyArray_DIM(parameter, 0), cnp.PyArray_DIM(parameter, 1)
    tall, k = n_rows > n_columns, min(n_rows, n_columns)
    rate, decay = check_number(lr, "lr", 0.0), check_number(weight_decay, "weight_decay", 0.0)
    decay = 1.0 - rate * decay
    s.momentum, s.nesterov = check_number(momentum, "momentum", 0.0), check_flag(nesterov, "nesterov")
    of_i, of_a, of_b = _checked_coefficients(ns_coefficients)
    s.eps = check_number(eps, "eps", 0.0)
    n_steps = check_integer(ns_steps, "ns_steps", 0, 99)
    if adjust_lr_fn is not None and check_option(adjust_lr_fn, "adjust_lr_fn", ADJUSTMENTS) == 1:
        rate *= 0.2 * sqrt(<double> max(n_rows, n_columns))
    elif tall and k > 0:
        rate *= sqrt(<double> n_rows / n_columns)
    s.grad_factor = check_number(grad_factor, "grad_factor", 0.0)
    if check_flag(maximize, "maximize"):
        s.grad_factor = -s.grad_factor
    s.size = n_rows * n_columns
    threads = threads_for(n_threads, cnp.PyArray_NBYTES(parameter), GRAIN)
    size = 2 * s.size + 2 * k * k + SLACK
    if workspace is None:
        memory = np.empty(size, dtype=(<object> parameter).dtype)
    else:
        memory = _checked_workspace(
            workspace, parameter, [("param", parameter), ("grad", gradient), ("momentum_buffer", buffer)], size
        )
    if s.size == 0:
        return
    start = (-<Py_ssize_t> cnp.PyArray_BYTES(memory) & 63) // cnp.PyArray_ITEMSIZE(memory)
    x = memory[start:start + s.size].reshape(n_rows, n_columns)
    start += (s.size + 15) // 16 * 16
    y = memory[start:start + s.size].reshape(n_rows, n_columns)
    start += (s.size + 15) // 16 * 16
    a = memory[start:start + k * k].reshape(k, k)
    start += k * k
    b = memory[start:start + k * k].reshape(k, k)

    s.sums = <double*> malloc(_n_pieces(s.size) * sizeof(double))
    if s.sums == NULL:
        raise MemoryError()
    if cnp.PyArray_TYPE(parameter) == cnp.NPY_FLOAT32:
        with nogil:
            _start[float](&s, <const float*> cnp.PyArray_DATA(gradient), <float*> cnp.PyArray_DATA(buffer),
                          <float*> cnp.PyArray_DATA(x), threads)
    else:
        with nogil:
            _start[double](&s, <const double*> cnp.PyArray_DATA(gradient), <double*> cnp.PyArray_DATA(buffer),
                           <double*> cnp.PyArray_DATA(x), threads)
    free(s.sums)
    for _ in range(n_steps):
        symmetric_product(x, tall, not tall, a, n_threads)
        symmetric_product(a, False, False, b, n_threads)
        _combine(b, of_b, a, of_a, of_i, n_threads)
        if tall:
            matmul(x, b, y, n_threads=n_threads)
        else:
            matmul(b, x, y, n_threads=n_threads)
        x, y = y, x
    _combine(parameter, decay, x, -rate, 0.0, n_threads)
