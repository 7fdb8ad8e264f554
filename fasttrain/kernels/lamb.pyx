"""LAMB: Adam's update, with a step as long as the parameter's norm says.

The norms need a first pass over the array, which moves the moments; the second works the update out again from
them, so that nothing is stored but two numbers for each piece.  Both passes are phases of one parallel region.
Pieces have a fixed number of elements, and their sums are added in piece order.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport INFINITY, expm1, log, sqrt
from libc.stdlib cimport free, malloc

from fasttrain.kernels.checks cimport (
    check_disjoint,
    check_flag,
    check_fraction,
    check_number,
    check_step,
    param_array,
    param_array_like,
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
from fasttrain.kernels.table cimport ft_lamb_scalars

cnp.import_array()

ctypedef fused real:
    float
    double

# Elements of a piece: small ones let threads finish together, and large ones keep memory streaming.
cdef Py_ssize_t SMALL_PIECE = 8192, LARGE_PIECE = 65536, LARGE_SIZE = 1048576
# Parameter bytes for which one more thread pays for its start.
cdef double GRAIN = 65536

cdef struct Step:
    Py_ssize_t size, piece_size, n_pieces
    double lr, max_param_norm, max_trust_ratio
    ft_lamb_scalars scalars
    double* sums            # (n_pieces, 2): squares of the parameter, and of its update
    double step_size        # lr * trust ratio, known after the first phase
    ft_crew crew


cdef double _step_size(const Step* s) noexcept nogil:
    cdef double param_norm = 0.0, update_norm = 0.0, ratio
    cdef Py_ssize_t piece
    for piece in range(s.n_pieces):
        param_norm += s.sums[2 * piece]
        update_norm += s.sums[2 * piece + 1]
    param_norm, update_norm = sqrt(param_norm), sqrt(update_norm)
    if param_norm == 0.0 or update_norm == 0.0:
        return s.lr
    if param_norm > s.max_param_norm:
        param_norm = s.max_param_norm
    ratio = param_norm / update_norm
    if ratio > s.max_trust_ratio:
        ratio = s.max_trust_ratio
    return s.lr * ratio


cdef void _moments(const Step* s, Py_ssize_t piece, const real* param, const real* grad, real* exp_avg,
                   real* exp_avg_sq) noexcept nogil:
    cdef Py_ssize_t start = piece * s.piece_size, n = min(s.piece_size, s.size - start)
    if real is float:
        table.f32.lamb_moments(n, param + start, grad + start, exp_avg + start, exp_avg_sq + start, &s.scalars,
                               s.sums + 2 * piece)
    else:
        table.f64.lamb_moments(n, param + start, grad + start, exp_avg + start, exp_avg_sq + start, &s.scalars,
                               s.sums + 2 * piece)


cdef void _apply(const Step* s, Py_ssize_t piece, real* param, const real* exp_avg,
                 const real* exp_avg_sq) noexcept nogil:
    cdef Py_ssize_t start = piece * s.piece_size, n = min(s.piece_size, s.size - start)
    if real is float:
        table.f32.lamb_step(n, param + start, exp_avg + start, exp_avg_sq + start, &s.scalars, s.step_size)
    else:
        table.f64.lamb_step(n, param + start, exp_avg + start, exp_avg_sq + start, &s.scalars, s.step_size)


cdef void _member(Step* s, real* param, const real* grad, real* exp_avg, real* exp_avg_sq) noexcept nogil:
    cdef int thread = ft_crew_join(&s.crew)
    cdef Py_ssize_t piece = ft_crew_take(&s.crew, thread, 0, s.n_pieces)
    while piece >= 0:
        _moments(s, piece, param, grad, exp_avg, exp_avg_sq)
        if ft_crew_finish(&s.crew, s.n_pieces):
            s.step_size = _step_size(s)
            ft_crew_advance(&s.crew, 0)
        piece = ft_crew_take(&s.crew, thread, 0, s.n_pieces)
    ft_crew_wait(&s.crew, 0)
    piece = ft_crew_take(&s.crew, thread, 1, s.n_pieces)
    while piece >= 0:
        _apply(s, piece, param, exp_avg, exp_avg_sq)
        piece = ft_crew_take(&s.crew, thread, 1, s.n_pieces)
    ft_crew_leave(&s.crew, thread)


cdef void _update(Step* s, real* param, const real* grad, real* exp_avg, real* exp_avg_sq,
                  int n_threads) noexcept nogil:
    ft_crew_start(&s.crew, n_threads)
    if n_threads == 1:
        _member(s, param, grad, exp_avg, exp_avg_sq)
    else:
        with parallel(num_threads=n_threads):
            _member(s, param, grad, exp_avg, exp_avg_sq)


cdef double _check_bound(object value, str name) except? -1.0:
    return INFINITY if value == INFINITY else check_number(value, name, 0.0, True)


cdef Step _checked_step(
    object step, object lr, object betas, object eps, object weight_decay, object bias_correction, object maximize,
    object grad_factor, object max_param_norm, object max_trust_ratio,
) except *:
    cdef Step s
    cdef double t = check_step(step), root
    s.lr = check_number(lr, "lr", 0.0)
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
    s.scalars.beta1 = check_fraction(betas[0], "betas[0]")
    s.scalars.beta2 = check_fraction(betas[1], "betas[1]")
    s.scalars.eps = check_number(eps, "eps", 0.0)
    s.scalars.weight_decay = check_number(weight_decay, "weight_decay", 0.0)
    s.scalars.mean_factor = 1.0
    if check_flag(bias_correction, "bias_correction"):
        # m / (1 - b1^t) / (sqrt(v) / r + eps) = (r / (1 - b1^t)) m / (sqrt(v) + r eps), where r = sqrt(1 - b2^t)
        root = sqrt(-expm1(t * log(s.scalars.beta2)))
        s.scalars.mean_factor = root / -expm1(t * log(s.scalars.beta1))
        s.scalars.eps *= root
    s.scalars.grad_factor = check_number(grad_factor, "grad_factor", 0.0)
    if check_flag(maximize, "maximize"):
        s.scalars.grad_factor = -s.scalars.grad_factor
    s.max_param_norm = _check_bound(max_param_norm, "max_param_norm")
    s.max_trust_ratio = _check_bound(max_trust_ratio, "max_trust_ratio")
    return s


def lamb_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0,
    bias_correction=True, maximize=False, grad_factor=1.0, max_param_norm=INFINITY, max_trust_ratio=INFINITY,
    n_threads=None,
):
    """One step of LAMB, in place: Adam with a step that is relative to the parameter's norm.

    With t = step, b1, b2 = betas and norms over the whole array::

        g = grad_factor * grad                                 with maximize: -grad_factor * grad
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        u = exp_avg / (1 - b1^t) / (sqrt(exp_avg_sq / (1 - b2^t)) + eps) + weight_decay * param
        ratio = min(norm(param), max_param_norm) / norm(u)     1 where either norm is 0
        param -= lr * min(ratio, max_trust_ratio) * u

    and without bias correction ``u = exp_avg / (sqrt(exp_avg_sq) + eps) + weight_decay * param``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.  The norms are those of the layer, so that a layer should be one array.
    grad : ndarray like param
        Never written.
    exp_avg, exp_avg_sq : ndarray like param
        Running means of the gradient and of its square, zeros before the first step; updated in place.
    step : int
        Number of this step, from 1 to 2**53, exact over the whole range.
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        In [0, 1).
    eps : float
        At least 0; added to the root after its bias correction.
    weight_decay : float
        At least 0.
    bias_correction : bool
    maximize : bool
        Go along the gradient, not against it.
    grad_factor : float
        At least 0; multiplied into the gradient first, to unscale or to clip it.
    max_param_norm : float
        The paper's upper bound on the norm of the parameter; implementations that have one use 10.
    max_trust_ratio : float
        A bound on the ratio of the norms, often 1.  It does not bear on a ratio that is 1 for a norm of 0.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    NaN in the gradient spreads to the whole parameter through the norm.  Each operation is rounded alone, and the
    squares are summed in double in an order that depends on the size alone, so that the bits are the same at every
    CPU level.  Subnormal operands count as zero and subnormal results are zero.

    Y. You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import lamb_update
    >>> theta, m, v = np.array([3.0, 4.0]), np.zeros(2), np.zeros(2)
    >>> lamb_update(theta, np.array([10.0, -0.1]), m, v, step=1, lr=0.01, eps=0)
    >>> theta.round(6)      # a step of 0.01 * norm(theta), in the direction of the signs
    array([2.964645, 4.035355])
    """
    cdef cnp.ndarray parameter, gradient, first, second
    cdef Step s
    cdef int threads
    parameter = param_array(param, "param")
    gradient = param_array_like(grad, "grad", parameter)
    check_disjoint(parameter, "param", gradient, "grad")
    first = state_array(exp_avg, "exp_avg", parameter, gradient)
    second = state_array(exp_avg_sq, "exp_avg_sq", parameter, gradient)
    check_disjoint(first, "exp_avg", second, "exp_avg_sq")
    s = _checked_step(step, lr, betas, eps, weight_decay, bias_correction, maximize, grad_factor, max_param_norm,
                      max_trust_ratio)
    threads = threads_for(n_threads, cnp.PyArray_NBYTES(parameter), GRAIN)
    s.size = cnp.PyArray_SIZE(parameter)
    if s.size == 0:
        return
    s.piece_size = SMALL_PIECE if s.size < LARGE_SIZE else LARGE_PIECE
    s.n_pieces = (s.size + s.piece_size - 1) // s.piece_size
    s.sums = <double*> malloc(2 * s.n_pieces * sizeof(double))
    if s.sums == NULL:
        raise MemoryError()
    if cnp.PyArray_TYPE(parameter) == cnp.NPY_FLOAT32:
        with nogil:
            _update[float](&s, <float*> cnp.PyArray_DATA(parameter), <float*> cnp.PyArray_DATA(gradient),
                           <float*> cnp.PyArray_DATA(first), <float*> cnp.PyArray_DATA(second), threads)
    else:
        with nogil:
            _update[double](&s, <double*> cnp.PyArray_DATA(parameter), <double*> cnp.PyArray_DATA(gradient),
                            <double*> cnp.PyArray_DATA(first), <double*> cnp.PyArray_DATA(second), threads)
    free(s.sums)
