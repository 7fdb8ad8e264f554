"""Update rules of the optimizers, in place: one pass over parameters, gradients and state.

A step works on a list of targets, each a parameter with its gradient and its state.  Targets are cut into
pieces of a fixed number of elements, numbered through the whole list, and one parallel region walks the
numbers: a list of many small arrays costs one fork and join, and which thread takes a piece changes no bit,
because every element is updated by itself.

Two ways lead there.  The public functions check their arrays and build one target on the stack.  Update
holds the targets of an optimizer, whose parameters and state were checked once; a step then checks only the
gradients, and that the parameters' memory is still where it was.
"""
import operator

cimport cython
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport expm1, log, sqrt
from libc.stdlib cimport free, malloc

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_disjoint,
    check_number,
    check_writeable,
    real_array,
    real_array_like,
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
from fasttrain.kernels.table cimport ft_adam_scalars, ft_sgd_scalars

import numpy as np

cnp.import_array()

# Elements of a piece.  Small: a few microseconds of work in cache, so little of the whole that the threads
# finish together.  Large, from a million elements on: reading memory, long runs are worth a fifth of the
# bandwidth.  Powers of two, so that pieces start on the cache lines that the array starts on.
cdef Py_ssize_t SMALL_PIECE = 8192, LARGE_PIECE = 65536, LARGE_SIZE = 1048576
# Parameter bytes for which one more thread pays for its start; SGD does less for each.
cdef double SGD_GRAIN = 524288, ADAM_GRAIN = 131072

cdef enum Rule:
    SGD
    ADAM

cdef struct Target:
    char* param
    char* state[2]          # what the rule keeps: momentum_buffer, or exp_avg and exp_avg_sq
    Py_ssize_t size
    Py_ssize_t first_piece
    int item                # bytes of an element: 4 or 8

# The scalars of a step of either rule.
cdef struct Scalars:
    ft_sgd_scalars sgd
    ft_adam_scalars adam


# ---- scalars ---------------------------------------------------------------------------------------------

cdef ft_adam_scalars adam_scalars(
    double step, double lr, double beta1, double beta2, double eps, double weight_decay, bint decoupled,
    bint bias_correction,
) noexcept nogil:
    # lr m / (1 - beta1^t) / (sqrt(v) / r + eps) = (lr r / (1 - beta1^t)) m / (sqrt(v) + r eps), where
    # r = sqrt(1 - beta2^t); expm1 keeps every digit of 1 - beta^t, and the powers are exact enough for any t.
    cdef ft_adam_scalars s
    cdef double root = 1.0
    s.step_size = lr
    if bias_correction:
        root = sqrt(-expm1(step * log(beta2)))
        s.step_size = lr * root / -expm1(step * log(beta1))
    s.beta1 = beta1
    s.beta2 = beta2
    s.eps = eps * root
    s.weight_decay = 0.0 if decoupled else weight_decay
    s.decay_factor = 1.0 - lr * weight_decay if decoupled else 1.0
    return s


cdef ft_sgd_scalars sgd_scalars(
    double lr, double momentum, double dampening, double weight_decay, bint nesterov, bint first_step,
) noexcept nogil:
    cdef ft_sgd_scalars s
    s.lr = lr
    s.momentum = momentum
    s.grad_factor = 1.0 if first_step else 1.0 - dampening
    s.weight_decay = weight_decay
    s.nesterov = nesterov
    s.first_step = first_step
    return s


cdef double _check_beta(object value, str name) except? -1.0:
    cdef double beta = check_number(value, name, 0.0)
    if beta >= 1.0:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return beta


cdef double _check_step(object value) except? -1.0:
    # as a double, which holds every count up to 2^53
    if isinstance(value, bool):
        raise TypeError(f"step must be a positive integer, got {value!r}")
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"step must be a positive integer, got {value!r}") from None
    if not 1 <= count <= 9007199254740992:
        raise ValueError(f"step must be between 1 and 2**53, got {count}")
    return <double> count


cdef bint _check_flag(object value, str name) except -1:
    if value is True or value is False or isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


cdef ft_adam_scalars _checked_adam_scalars(
    object step, object lr, object betas, object eps, object weight_decay, object decoupled,
    object bias_correction,
) except *:
    cdef double count = _check_step(step)
    cdef double rate = check_number(lr, "lr", 0.0)
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
    cdef double beta1 = _check_beta(betas[0], "betas[0]")
    cdef double beta2 = _check_beta(betas[1], "betas[1]")
    return adam_scalars(
        count, rate, beta1, beta2, check_number(eps, "eps", 0.0),
        check_number(weight_decay, "weight_decay", 0.0), _check_flag(decoupled, "decoupled"),
        _check_flag(bias_correction, "bias_correction"),
    )


cdef ft_sgd_scalars _checked_sgd_scalars(
    object lr, object momentum, object dampening, object weight_decay, object nesterov, object first_step,
) except *:
    return sgd_scalars(
        check_number(lr, "lr", 0.0), check_number(momentum, "momentum", 0.0),
        check_number(dampening, "dampening"), check_number(weight_decay, "weight_decay", 0.0),
        _check_flag(nesterov, "nesterov"), _check_flag(first_step, "first_step"),
    )


def check_adam_options(*, lr, betas, eps, weight_decay, decoupled, bias_correction):
    """Raise for options that :func:`adam_update` would refuse."""
    _checked_adam_scalars(1, lr, betas, eps, weight_decay, decoupled, bias_correction)


def check_sgd_options(*, lr, momentum, dampening, weight_decay, nesterov):
    """Raise for options that :func:`sgd_update` would refuse."""
    _checked_sgd_scalars(lr, momentum, dampening, weight_decay, nesterov, False)


# ---- the parallel pass -----------------------------------------------------------------------------------

cdef inline Py_ssize_t _piece_size(Py_ssize_t size) noexcept nogil:
    return SMALL_PIECE if size < LARGE_SIZE else LARGE_PIECE


cdef inline Py_ssize_t _n_pieces(Py_ssize_t size) noexcept nogil:
    return (size + _piece_size(size) - 1) // _piece_size(size)


cdef void _update_piece(
    Rule rule, const Target* target, const char* grad, Py_ssize_t piece, const Scalars* scalars,
) noexcept nogil:
    cdef Py_ssize_t piece_size = _piece_size(target.size), start = piece * piece_size
    cdef Py_ssize_t n = min(piece_size, target.size - start), offset = start * target.item
    cdef char* param = target.param + offset
    cdef char* state0 = target.state[0] + offset if target.state[0] != NULL else NULL
    cdef char* state1 = target.state[1] + offset if target.state[1] != NULL else NULL
    grad += offset
    if rule == SGD and target.item == 4:
        table.f32.sgd_update(n, <float*> param, <const float*> grad, <float*> state0, &scalars.sgd)
    elif rule == SGD:
        table.f64.sgd_update(n, <double*> param, <const double*> grad, <double*> state0, &scalars.sgd)
    elif target.item == 4:
        table.f32.adam_update(
            n, <float*> param, <const float*> grad, <float*> state0, <float*> state1, &scalars.adam
        )
    else:
        table.f64.adam_update(
            n, <double*> param, <const double*> grad, <double*> state0, <double*> state1, &scalars.adam
        )


cdef inline Py_ssize_t _target_of(
    const Target* targets, Py_ssize_t n_targets, Py_ssize_t piece,
) noexcept nogil:
    # the last target whose first piece is not beyond `piece`; an empty one shares its number with the next
    cdef Py_ssize_t low = 0, high = n_targets, middle
    while high - low > 1:
        middle = (low + high) // 2
        if targets[middle].first_piece <= piece:
            low = middle
        else:
            high = middle
    return low


cdef void _update_member(
    Rule rule, const Target* targets, const char** grads, Py_ssize_t n_targets, Py_ssize_t n_pieces,
    const Scalars* scalars, ft_crew* crew,
) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t i, piece = ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        i = _target_of(targets, n_targets, piece)
        _update_piece(rule, &targets[i], grads[i], piece - targets[i].first_piece, scalars)
        piece = ft_crew_take(crew, thread, 0, n_pieces)
    ft_crew_leave(crew, thread)


cdef void _update(
    Rule rule, const Target* targets, const char** grads, Py_ssize_t n_targets, Py_ssize_t n_pieces,
    const Scalars* scalars, int n_threads,
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef ft_crew crew
    if n_threads == 1:
        for i in range(n_targets):
            for piece in range(_n_pieces(targets[i].size)):
                _update_piece(rule, &targets[i], grads[i], piece, scalars)
        return
    ft_crew_start(&crew, n_threads)
    with parallel(num_threads=n_threads):
        _update_member(rule, targets, grads, n_targets, n_pieces, scalars, &crew)


# ---- one array -------------------------------------------------------------------------------------------

cdef cnp.ndarray _check_operand(object value, str name, cnp.ndarray param):
    cdef cnp.ndarray array = real_array_like(value, name, -1, param, "param")
    if not cnp.PyArray_SAMESHAPE(array, param):
        raise ValueError(
            f"{name} must have the shape of param, {(<object> param).shape}, got {(<object> array).shape}"
        )
    check_contiguous(array, name)
    return array


cdef cnp.ndarray _check_state(object value, str name, cnp.ndarray param, cnp.ndarray grad):
    cdef cnp.ndarray array = _check_operand(value, name, param)
    check_writeable(array, name)
    check_disjoint(array, name, param, "param")
    check_disjoint(array, name, grad, "grad")
    return array


cdef cnp.ndarray _check_param(object value, str name):
    cdef cnp.ndarray param = real_array(value, name, -1)
    check_contiguous(param, name)
    check_writeable(param, name)
    return param


cdef int _update_one(
    Rule rule, cnp.ndarray param, cnp.ndarray grad, cnp.ndarray state0, cnp.ndarray state1,
    const Scalars* scalars, object n_threads,
) except -1:
    cdef Target target
    cdef const char* gradient = cnp.PyArray_BYTES(grad)
    cdef int threads
    target.param = cnp.PyArray_BYTES(param)
    target.state[0] = NULL if state0 is None else cnp.PyArray_BYTES(state0)
    target.state[1] = NULL if state1 is None else cnp.PyArray_BYTES(state1)
    target.size = cnp.PyArray_SIZE(param)
    target.first_piece = 0
    target.item = cnp.PyArray_ITEMSIZE(param)
    threads = threads_for(n_threads, cnp.PyArray_NBYTES(param), SGD_GRAIN if rule == SGD else ADAM_GRAIN)
    with nogil:
        _update(rule, &target, &gradient, 1, _n_pieces(target.size), scalars, threads)
    return 0


def sgd_update(
    param, grad, momentum_buffer=None, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
    first_step=False, n_threads=None,
):
    """One step of stochastic gradient descent, in place.

    With t counting steps from 1::

        d_t = grad + weight_decay * param
        b_1 = d_1,    b_t = momentum * b_(t-1) + (1 - dampening) * d_t
        param -= lr * d_t                        without momentum
        param -= lr * b_t                        with momentum
        param -= lr * (d_t + momentum * b_t)     with Nesterov momentum

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param.
    momentum_buffer : ndarray like param, optional
        b; updated in place.  Needed if momentum is not zero, not touched if it is.
    lr : float
        Learning rate, at least 0.
    momentum : float
        At least 0.
    dampening : float
    weight_decay : float
        At least 0.  Factor of the L2 penalty's gradient, which is added to grad.
    nesterov : bool
    first_step : bool
        The step is t = 1: the buffer's content is ignored and it starts as d.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or buffer, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    Each operation is rounded alone, in the order written, so that the bits are the same at every CPU level.
    Subnormal operands count as zero and subnormal results are zero.

    The formula is that of ``torch.optim.SGD``.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import sgd_update
    >>> theta = np.array([1.0, 2.0])
    >>> sgd_update(theta, np.array([10.0, -10.0]), lr=0.01)
    >>> theta
    array([0.9, 2.1])
    """
    cdef cnp.ndarray parameter, gradient, buffer = None
    cdef Scalars scalars
    parameter = _check_param(param, "param")
    gradient = _check_operand(grad, "grad", parameter)
    check_disjoint(parameter, "param", gradient, "grad")
    scalars.sgd = _checked_sgd_scalars(lr, momentum, dampening, weight_decay, nesterov, first_step)
    if momentum_buffer is not None:
        buffer = _check_state(momentum_buffer, "momentum_buffer", parameter, gradient)
    elif scalars.sgd.momentum != 0.0:
        raise ValueError(
            f"momentum_buffer must be given with momentum={momentum!r}; numpy.zeros_like(param) makes it"
        )
    _update_one(
        SGD, parameter, gradient, buffer if scalars.sgd.momentum != 0.0 else None, None, &scalars, n_threads
    )


def adam_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    decoupled=False, bias_correction=True, n_threads=None,
):
    """One step of Adam, or with ``decoupled=True`` of AdamW, in place.

    With t = step and b1, b2 = betas::

        g = grad + weight_decay * param                        L2 penalty; not with decoupled
        param *= 1 - lr * weight_decay                         with decoupled only
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        param -= lr / (1 - b1^t) * exp_avg / (sqrt(exp_avg_sq / (1 - b2^t)) + eps)

    and without bias correction ``param -= lr * exp_avg / (sqrt(exp_avg_sq) + eps)``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param and state.
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
    decoupled : bool
        Decay the parameter itself (AdamW), instead of adding the L2 penalty's gradient.
    bias_correction : bool
        False gives the plain textbook rule.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    The corrections are folded into two scalars, computed in double: with r = sqrt(1 - b2^t) the last line
    is ``param -= (lr r / (1 - b1^t)) exp_avg / (sqrt(exp_avg_sq) + r eps)``, one division and one square
    root per element.  Each operation is rounded alone, so that the bits are the same at every CPU
    level.  Subnormal operands count as zero and subnormal results are zero.

    The formula is that of ``torch.optim.Adam`` and ``AdamW``; D. P. Kingma and J. Ba, "Adam: a method for
    stochastic optimization", ICLR 2015, algorithm 1; I. Loshchilov and F. Hutter, "Decoupled weight decay
    regularization", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import adam_update
    >>> theta, m, v = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> adam_update(theta, np.array([10.0, -0.1]), m, v, step=1, lr=0.01)
    >>> theta.round(6)
    array([0.99, 2.01])
    """
    cdef cnp.ndarray parameter, gradient, first, second
    cdef Scalars scalars
    parameter = _check_param(param, "param")
    gradient = _check_operand(grad, "grad", parameter)
    check_disjoint(parameter, "param", gradient, "grad")
    first = _check_state(exp_avg, "exp_avg", parameter, gradient)
    second = _check_state(exp_avg_sq, "exp_avg_sq", parameter, gradient)
    check_disjoint(first, "exp_avg", second, "exp_avg_sq")
    scalars.adam = _checked_adam_scalars(step, lr, betas, eps, weight_decay, decoupled, bias_correction)
    _update_one(ADAM, parameter, gradient, first, second, &scalars, n_threads)


# ---- a list of arrays ------------------------------------------------------------------------------------

# The memory of a parameter or of its state; the arrays of an optimizer overlap nowhere, so that ranges sorted
# by `low` are sorted by `high` too.
cdef struct Range:
    char* low
    char* high
    Py_ssize_t target
    int role                # 0 is the parameter, 1 and 2 its state


cdef cnp.ndarray _zeros_like(cnp.ndarray param):
    # on a cache line, so that no vector of it lies on two
    cdef Py_ssize_t n_bytes = cnp.PyArray_NBYTES(param)
    cdef cnp.ndarray memory = np.zeros(n_bytes + 64, dtype=np.uint8)
    cdef Py_ssize_t start = -<Py_ssize_t> cnp.PyArray_BYTES(memory) & 63
    return memory[start:start + n_bytes].view((<object> param).dtype).reshape((<object> param).shape)


@cython.final
cdef class Update:
    """Parameters and the state of their rule, checked once, for one fused pass per step.

    Not public: :mod:`fasttrain.optim` is built on it.

    Parameters
    ----------
    params : sequence of ndarray
        Updated in place by every step; any shapes, float32 and float64 mixed.
    is_list : bool
        False for a single parameter: steps then take a single gradient, and errors name it without an index.
    n_states : int
        Arrays of state per parameter: 0, 1 or 2; zeros at first.
    """

    cdef readonly list params
    cdef readonly list states       # n_states lists of arrays
    cdef list param_names, grad_names   # made once: building a name costs more than checking its array
    cdef bint is_list
    cdef Target* targets
    cdef Range* ranges
    cdef Py_ssize_t n_ranges, n_pieces
    cdef double n_bytes          # of the parameters

    def __cinit__(self, object params, bint is_list, int n_states):
        cdef Py_ssize_t i, n_params
        cdef cnp.ndarray param
        cdef Target* target
        self.is_list = is_list
        self.params = list(params)
        n_params = len(self.params)
        self.param_names = [f"params[{i}]" for i in range(n_params)] if is_list else ["params"]
        self.grad_names = [f"grads[{i}]" for i in range(n_params)] if is_list else ["grads"]
        for i in range(n_params):
            _check_param(self.params[i], self.param_names[i])
        self.states = [[_zeros_like(param) for param in self.params] for _ in range(n_states)]
        self.targets = <Target*> malloc(max(n_params, 1) * sizeof(Target))
        self.ranges = <Range*> malloc(max(n_params * (1 + n_states), 1) * sizeof(Range))
        if self.targets == NULL or self.ranges == NULL:
            raise MemoryError()
        self.n_pieces = 0
        self.n_bytes = 0.0
        for i in range(n_params):
            param = self.params[i]
            target = &self.targets[i]
            target.param = cnp.PyArray_BYTES(param)
            target.state[0] = cnp.PyArray_BYTES(self.states[0][i]) if n_states > 0 else NULL
            target.state[1] = cnp.PyArray_BYTES(self.states[1][i]) if n_states > 1 else NULL
            target.size = cnp.PyArray_SIZE(param)
            target.first_piece = self.n_pieces
            target.item = cnp.PyArray_ITEMSIZE(param)
            self.n_pieces += _n_pieces(target.size)
            self.n_bytes += cnp.PyArray_NBYTES(param)
        self._sort_ranges()

    def __dealloc__(self):
        free(self.targets)
        free(self.ranges)

    cdef int _sort_ranges(self) except -1:
        cdef list order = []
        cdef Py_ssize_t i
        cdef int role
        cdef cnp.ndarray array
        for role, arrays in enumerate([self.params, *self.states]):
            for i, array in enumerate(arrays):
                if cnp.PyArray_SIZE(array):
                    order.append((<size_t> cnp.PyArray_BYTES(array), cnp.PyArray_NBYTES(array), i, role))
        order.sort()
        self.n_ranges = len(order)
        for i, (low, n_bytes, target, role) in enumerate(order):
            self.ranges[i].low = <char*> <size_t> low
            self.ranges[i].high = self.ranges[i].low + <Py_ssize_t> n_bytes
            self.ranges[i].target = target
            self.ranges[i].role = role
            if i and self.ranges[i - 1].high > self.ranges[i].low:
                # only parameters can overlap: the state was allocated here
                one, two = sorted([self.ranges[i - 1].target, target])
                check_disjoint(
                    self.params[two], self.param_names[two], self.params[one], self.param_names[one]
                )
        return 0

    cdef int _check_not_owned(self, cnp.ndarray grad, str name) except -1:
        # grad is C-contiguous
        cdef char* low = cnp.PyArray_BYTES(grad)
        cdef char* high = low + cnp.PyArray_NBYTES(grad)
        cdef Py_ssize_t first = 0, last = self.n_ranges, middle
        while first < last:     # the first range that ends beyond low
            middle = (first + last) // 2
            if self.ranges[middle].high > low:
                last = middle
            else:
                first = middle + 1
        if first < self.n_ranges and self.ranges[first].low < high:
            i, role = self.ranges[first].target, self.ranges[first].role
            if role == 0:
                check_disjoint(grad, name, self.params[i], self.param_names[i])
            else:
                check_disjoint(grad, name, self.states[role - 1][i], "the state of " + self.param_names[i])
        return 0

    cdef int _step(self, Rule rule, object grads, const Scalars* scalars, object n_threads) except -1:
        cdef Py_ssize_t n_targets = len(self.params), i
        cdef list held = [grads]     # keeps the gradients alive while the GIL is released
        cdef const char* few[8]
        cdef const char** pointers = few
        cdef const Target* target
        cdef cnp.ndarray grad, param
        cdef int threads
        if self.is_list:
            if not isinstance(grads, (list, tuple)):
                raise TypeError(
                    f"grads must be a list of {n_targets} arrays, as params is, got {type(grads).__name__}"
                )
            held = list(grads)
        if len(held) != n_targets:
            raise ValueError(f"grads must hold {n_targets} arrays, as params does, got {len(held)}")
        threads = threads_for(n_threads, self.n_bytes, SGD_GRAIN if rule == SGD else ADAM_GRAIN)
        if n_targets > 8:
            pointers = <const char**> malloc(n_targets * sizeof(char*))
            if pointers == NULL:
                raise MemoryError()
        try:
            for i in range(n_targets):
                param = <cnp.ndarray> self.params[i]
                target = &self.targets[i]
                if cnp.PyArray_BYTES(param) != target.param or cnp.PyArray_SIZE(param) != target.size:
                    raise ValueError(
                        f"{self.param_names[i]} was resized or moved in memory after the optimizer was made"
                    )
                if not cnp.PyArray_ISWRITEABLE(param):
                    check_writeable(param, self.param_names[i])
                grad = self._checked_grad(held[i], i, param)
                pointers[i] = cnp.PyArray_BYTES(grad)
            with nogil:
                _update(rule, self.targets, pointers, n_targets, self.n_pieces, scalars, threads)
        finally:
            if pointers != few:
                free(pointers)
        return 0

    cdef cnp.ndarray _checked_grad(self, object value, Py_ssize_t i, cnp.ndarray param):
        cdef str name = self.grad_names[i], param_name = self.param_names[i]
        cdef cnp.ndarray grad = real_array_like(value, name, -1, param, param_name)
        if not cnp.PyArray_SAMESHAPE(grad, param):
            raise ValueError(
                f"{name} must have the shape of {param_name}, {(<object> param).shape}, "
                f"got {(<object> grad).shape}"
            )
        check_contiguous(grad, name)
        self._check_not_owned(grad, name)
        return grad

    def sgd(
        self, grads, *, lr, momentum, dampening, weight_decay, nesterov, first_step, n_threads,
    ):
        """One step of :func:`sgd_update` on every parameter."""
        cdef Scalars scalars
        scalars.sgd = _checked_sgd_scalars(lr, momentum, dampening, weight_decay, nesterov, first_step)
        self._step(SGD, grads, &scalars, n_threads)

    def adam(
        self, grads, *, step, lr, betas, eps, weight_decay, decoupled, bias_correction, n_threads,
    ):
        """One step of :func:`adam_update` on every parameter."""
        cdef Scalars scalars
        scalars.adam = _checked_adam_scalars(step, lr, betas, eps, weight_decay, decoupled, bias_correction)
        self._step(ADAM, grads, &scalars, n_threads)
