"""Update rules of the optimizers on arrays of one's own, in place: one pass over parameter, gradient and state."""
from fasttrain.kernels.checks cimport check_number, check_step
from fasttrain.kernels.rules cimport (
    ADADELTA,
    ADAGRAD,
    ADAM,
    ADAMAX,
    AVERAGE,
    LION,
    NADAM,
    RADAM,
    RMSPROP,
    SCHEDULE_FREE,
    SGD,
    Progress,
    progress_start,
)
from fasttrain.kernels.update cimport update_one


cdef Progress _before(object step) except *:
    """What a rule has counted before a step, which counts from 1."""
    cdef Progress progress
    progress_start(&progress)
    progress.step = check_step(step) - 1.0
    return progress


def sgd_update(
    param, grad, momentum_buffer=None, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
    maximize=False, first_step=False, n_threads=None,
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
    maximize : bool
        Go up: grad is negated first.
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
    cdef Progress progress = _before(1)
    if not first_step:
        progress.step = 1.0
    given = {
        "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
        "maximize": maximize,
    }
    update_one(SGD, given, &progress, param, grad, {"momentum_buffer": momentum_buffer}, n_threads)


def adam_update(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq=None, *, step, lr, betas=(0.9, 0.999), eps=1e-8,
    weight_decay=0.0, decoupled_weight_decay=False, bias_correction=True, eps_mode="corrected", maximize=False,
    n_threads=None,
):
    """One step of Adam, or with ``decoupled_weight_decay=True`` of AdamW, in place.

    With t = step and b1, b2 = betas::

        g = grad + weight_decay * param                        L2 penalty; not with decoupled decay
        param *= 1 - lr * weight_decay                         with decoupled decay only
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        param -= lr / (1 - b1^t) * exp_avg / (sqrt(exp_avg_sq / (1 - b2^t)) + eps)

    and without bias correction ``param -= lr * exp_avg / (sqrt(exp_avg_sq) + eps)``.  AMSGrad keeps the largest
    exp_avg_sq so far in max_exp_avg_sq, and divides by its root.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param and state.
    exp_avg, exp_avg_sq : ndarray like param
        Running means of the gradient and of its square, zeros before the first step; updated in place.
    max_exp_avg_sq : ndarray like param, optional
        Of AMSGrad, zeros before the first step; updated in place.
    step : int
        Number of this step, from 1 to 2**53, exact over the whole range.
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        In [0, 1).
    eps : float
        At least 0; added to the root after its bias correction, or, with ``eps_mode="uncorrected"``, before:
        ``lr * sqrt(1 - b2^t) / (1 - b1^t) * exp_avg / (sqrt(exp_avg_sq) + eps)``, as Keras and scikit-learn do.
    weight_decay : float
        At least 0.
    decoupled_weight_decay : bool
        Decay the parameter itself (AdamW), instead of adding the L2 penalty's gradient.
    bias_correction : bool
        False gives the plain textbook rule.
    eps_mode : {"corrected", "uncorrected"}
    maximize : bool
        Go up: grad is negated first.
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

    The formula is that of ``torch.optim.Adam`` and ``AdamW``, AMSGrad's largest taken before its bias correction
    included; D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1;
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019; S. J. Reddi, S. Kale and
    S. Kumar, "On the convergence of Adam and beyond", ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import adam_update
    >>> theta, m, v = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> adam_update(theta, np.array([10.0, -0.1]), m, v, step=1, lr=0.01)
    >>> theta.round(6)
    array([0.99, 2.01])
    """
    cdef Progress progress = _before(step)
    given = {
        "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
        "decoupled_weight_decay": decoupled_weight_decay, "initial_lr": None, "bias_correction": bias_correction,
        "amsgrad": max_exp_avg_sq is not None, "eps_mode": eps_mode, "maximize": maximize,
    }
    states = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq, "max_exp_avg_sq": max_exp_avg_sq}
    update_one(ADAM, given, &progress, param, grad, states, n_threads)


def nadam_update(
    param, grad, exp_avg, exp_avg_sq, *, step, mu_product, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    momentum_decay=4e-3, decoupled_weight_decay=False, maximize=False, n_threads=None,
):
    """One step of NAdam, Adam with Nesterov momentum, in place.

    With t = step and b1, b2 = betas::

        g = grad + weight_decay * param                        L2 penalty; not with decoupled decay
        param *= 1 - lr * weight_decay                         with decoupled decay only
        mu_t = b1 * (1 - 0.96^(t * momentum_decay) / 2)
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        ahead = mu_(t+1) * exp_avg / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) * g / (1 - mu_1 ... mu_t)
        param -= lr * ahead / (sqrt(exp_avg_sq / (1 - b2^t)) + eps)

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
    mu_product : float
        mu_1 ... mu_(t-1): what the step before returned, and 1 at first; in [0, 1].
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        In [0, 1).
    eps : float
        At least 0; added to the root after its bias correction.
    weight_decay : float
        At least 0.
    decoupled_weight_decay : bool
        Decay the parameter itself, instead of adding the L2 penalty's gradient.
    momentum_decay : float
        At least 0.  Of the schedule of mu; 0 keeps it at b1 / 2.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Returns
    -------
    float
        mu_1 ... mu_t, for the next step.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    The factors are computed in double, the root's correction in all of them, so that an element takes one division
    and one square root.
    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    The formula is that of ``torch.optim.NAdam``; T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR
    workshop 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import nadam_update
    >>> theta, m, v = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> mu_product = nadam_update(theta, np.array([10.0, -0.1]), m, v, step=1, mu_product=1.0, lr=0.01)
    >>> theta.round(6), round(mu_product, 6)
    (array([0.989435, 2.010565]), 0.450073)
    """
    cdef Progress progress = _before(step)
    progress.mu_product = check_number(mu_product, "mu_product", 0.0)
    if progress.mu_product > 1.0:
        raise ValueError(f"mu_product must be in [0, 1], got {mu_product!r}")
    given = {
        "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
        "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
    }
    update_one(NADAM, given, &progress, param, grad, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}, n_threads)
    return progress.mu_product


def radam_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    decoupled_weight_decay=False, maximize=False, n_threads=None,
):
    """One step of RAdam, Adam with a rectified start, in place.

    With t = step, b1, b2 = betas and rho = 2 / (1 - b2) - 1::

        g = grad + weight_decay * param                        L2 penalty; not with decoupled decay
        param *= 1 - lr * weight_decay                         with decoupled decay only
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        rho_t = rho - 2 t b2^t / (1 - b2^t)
        r_t   = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t))
        param -= lr * r_t * exp_avg / (1 - b1^t) * sqrt(1 - b2^t) / (sqrt(exp_avg_sq) + eps)     where rho_t > 5
        param -= lr * exp_avg / (1 - b1^t)                                                       in the first steps

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
        At least 0; added to the root before its bias correction.
    weight_decay : float
        At least 0.
    decoupled_weight_decay : bool
        Decay the parameter itself, instead of adding the L2 penalty's gradient.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    The formula is that of ``torch.optim.RAdam``; L. Liu et al., "On the variance of the adaptive learning rate and
    beyond", ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import radam_update
    >>> theta, m, v = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> radam_update(theta, np.array([10.0, -0.1]), m, v, step=1, lr=0.01)
    >>> theta.round(6)
    array([0.9  , 2.001])
    """
    cdef Progress progress = _before(step)
    given = {
        "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
        "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
    }
    update_one(RADAM, given, &progress, param, grad, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}, n_threads)


def adamax_update(
    param, grad, exp_avg, exp_inf, *, step, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False,
    n_threads=None,
):
    """One step of Adamax, Adam by the largest gradient instead of the mean square, in place.

    With t = step and b1, b2 = betas::

        g = grad + weight_decay * param
        exp_avg = b1 * exp_avg + (1 - b1) * g
        exp_inf = max(b2 * exp_inf, |g| + eps)
        param -= lr / (1 - b1^t) * exp_avg / exp_inf

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param and state.
    exp_avg, exp_inf : ndarray like param
        Running mean of the gradient and largest of its decayed magnitudes, zeros before the first step; updated in
        place.
    step : int
        Number of this step, from 1 to 2**53, exact over the whole range.
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        In [0, 1).
    eps : float
        At least 0; added to the gradient's magnitude.
    weight_decay : float
        At least 0.  Factor of the L2 penalty's gradient, which is added to grad.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    The formula is that of ``torch.optim.Adamax``; D. P. Kingma and J. Ba, "Adam: a method for stochastic
    optimization", ICLR 2015, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import adamax_update
    >>> theta, m, u = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> adamax_update(theta, np.array([10.0, -0.1]), m, u, step=1, lr=0.01)
    >>> theta.round(6)
    array([0.99, 2.01])
    """
    cdef Progress progress = _before(step)
    given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
    update_one(ADAMAX, given, &progress, param, grad, {"exp_avg": exp_avg, "exp_inf": exp_inf}, n_threads)


def adagrad_update(
    param, grad, sum, *, step, lr, lr_decay=0.0, weight_decay=0.0, eps=1e-10, maximize=False, n_threads=None,
):
    """One step of Adagrad, gradient descent divided by the root of all squares so far, in place.

    With t = step::

        g = grad + weight_decay * param
        sum += g^2
        param -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(sum) + eps)

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param and state.
    sum : ndarray like param
        Of the squares, zeros or another start before the first step; updated in place.
    step : int
        Number of this step, from 1 to 2**53, exact over the whole range.
    lr : float
        Learning rate, at least 0.
    lr_decay : float
        At least 0.
    weight_decay : float
        At least 0.  Factor of the L2 penalty's gradient, which is added to grad.
    eps : float
        At least 0; added to the root.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    The formula is that of ``torch.optim.Adagrad``; J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods
    for online learning and stochastic optimization", JMLR 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import adagrad_update
    >>> theta, squares = np.array([1.0, 2.0]), np.zeros(2)
    >>> adagrad_update(theta, np.array([10.0, -0.1]), squares, step=1, lr=0.01)
    >>> theta.round(6)
    array([0.99, 2.01])
    """
    cdef Progress progress = _before(step)
    given = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
    update_one(ADAGRAD, given, &progress, param, grad, {"sum": sum}, n_threads)


def rmsprop_update(
    param, grad, square_avg, grad_avg=None, momentum_buffer=None, *, lr, alpha=0.99, eps=1e-8, weight_decay=0.0,
    momentum=0.0, eps_mode="outside", maximize=False, n_threads=None,
):
    """One step of RMSprop, gradient descent divided by the root of a running mean of squares, in place.

    ::

        g = grad + weight_decay * param
        square_avg = alpha * square_avg + (1 - alpha) * g^2
        grad_avg   = alpha * grad_avg   + (1 - alpha) * g          if it is given
        d = g / (sqrt(square_avg - grad_avg^2) + eps)              without grad_avg if it is not
        param -= lr * d                                            without momentum
        b = momentum * b + d,  param -= lr * b                     with momentum

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param and state.
    square_avg : ndarray like param
        Running mean of squares, zeros before the first step; updated in place.
    grad_avg : ndarray like param, optional
        Running mean of gradients, zeros before the first step; updated in place.  Given, the rule is centered: it
        divides by the root of the variance.
    momentum_buffer : ndarray like param, optional
        b, zeros before the first step; updated in place.  Needed if momentum is not zero, not touched if it is.
    lr : float
        Learning rate, at least 0.
    alpha : float
        In [0, 1).
    eps : float
        At least 0.
    weight_decay : float
        At least 0.  Factor of the L2 penalty's gradient, which is added to grad.
    momentum : float
        At least 0.
    eps_mode : {"outside", "inside"}
        Whether eps is added to the root, as in torch, or below it, as in Keras and TensorFlow.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    A variance that rounding leaves below zero counts as zero.

    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    The formula is that of ``torch.optim.RMSprop``; T. Tieleman and G. Hinton, lecture 6.5 of "Neural networks for
    machine learning", 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import rmsprop_update
    >>> theta, squares = np.array([1.0, 2.0]), np.zeros(2)
    >>> rmsprop_update(theta, np.array([10.0, -0.1]), squares, lr=0.01)
    >>> theta.round(4)
    array([0.9, 2.1])
    """
    cdef Progress progress = _before(1)
    given = {
        "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum,
        "centered": grad_avg is not None, "eps_mode": eps_mode, "maximize": maximize,
    }
    states = {"square_avg": square_avg, "grad_avg": grad_avg, "momentum_buffer": momentum_buffer}
    update_one(RMSPROP, given, &progress, param, grad, states, n_threads)


def adadelta_update(
    param, grad, square_avg, acc_delta, *, lr, rho=0.9, eps=1e-6, weight_decay=0.0, maximize=False, n_threads=None,
):
    """One step of Adadelta, gradient descent with steps in the size of the last ones, in place.

    ::

        g = grad + weight_decay * param
        square_avg = rho * square_avg + (1 - rho) * g^2
        d = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g
        acc_delta  = rho * acc_delta  + (1 - rho) * d^2
        param -= lr * d

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param and state.
    square_avg, acc_delta : ndarray like param
        Running means of the squares of gradients and of steps, zeros before the first step; updated in place.
    lr : float
        Learning rate, at least 0.
    rho : float
        In [0, 1).
    eps : float
        At least 0; added below both roots.
    weight_decay : float
        At least 0.  Factor of the L2 penalty's gradient, which is added to grad.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    The formula is that of ``torch.optim.Adadelta``; M. D. Zeiler, "ADADELTA: an adaptive learning rate method",
    2012.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import adadelta_update
    >>> theta, squares, deltas = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> adadelta_update(theta, np.array([10.0, -0.1]), squares, deltas, lr=1.0)
    >>> theta.round(6)
    array([0.996838, 2.003161])
    """
    cdef Progress progress = _before(1)
    given = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
    update_one(ADADELTA, given, &progress, param, grad, {"square_avg": square_avg, "acc_delta": acc_delta}, n_threads)


def lion_update(
    param, grad, exp_avg, *, lr, betas=(0.9, 0.99), weight_decay=0.0, maximize=False, n_threads=None,
):
    """One step of Lion, by the sign of a running mean of gradients, in place.

    With b1, b2 = betas::

        param *= 1 - lr * weight_decay
        param -= lr * sign(b1 * exp_avg + (1 - b1) * grad)
        exp_avg = b2 * exp_avg + (1 - b2) * grad

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    grad : ndarray like param
        Never written.  NaN and infinity pass through to param and state.
    exp_avg : ndarray like param
        Running mean of the gradient, zeros before the first step; updated in place.
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        In [0, 1).
    weight_decay : float
        At least 0.  Of the decoupled decay.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    The sign of zero is zero, that of NaN is NaN.

    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import lion_update
    >>> theta, m = np.array([1.0, 2.0]), np.zeros(2)
    >>> lion_update(theta, np.array([10.0, -0.1]), m, lr=0.01)
    >>> theta
    array([0.99, 2.01])
    """
    cdef Progress progress = _before(1)
    given = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
    update_one(LION, given, &progress, param, grad, {"exp_avg": exp_avg}, n_threads)


def schedule_free_update(
    param, grad, z, exp_avg_sq, *, step, weight_sum, lr_max, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    warmup_steps=0.0, r=0.0, weight_lr_power=2.0, maximize=False, n_threads=None,
):
    """One step of schedule-free AdamW, in place.

    Three points: z, which the gradients move; x, the weighted average of all z, which is the result; and y between
    them, at which gradients are taken.  param holds y, and x is ``y + (1 - 1 / b1) (z - y)``.  With t = step and
    b1, b2 = betas::

        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * grad^2
        d = grad / (sqrt(exp_avg_sq / (1 - b2^t)) + eps) + weight_decay * y
        lr_t = lr * min(1, t / warmup_steps)
        w_t = t^r * max(lr_1, ..., lr_t)^weight_lr_power,    c_t = w_t / (w_1 + ... + w_t)
        y = (1 - c_t) * y + c_t * z - lr_t * (1 - b1 * (1 - c_t)) * d
        z = z - lr_t * d

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape, C-contiguous
        y; updated in place.
    grad : ndarray like param
        At y.  Never written.  NaN and infinity pass through to param and state.
    z : ndarray like param
        A copy of param before the first step; updated in place.
    exp_avg_sq : ndarray like param
        Running mean of the gradient's square, zeros before the first step; updated in place.
    step : int
        Number of this step, from 1 to 2**53, exact over the whole range.
    weight_sum, lr_max : float
        w_1 + ... + w_(t-1) and max(lr_1, ..., lr_(t-1)): what the step before returned, and 0 at first.
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        In [0, 1).
    eps : float
        At least 0; added to the root after its bias correction.
    weight_decay : float
        At least 0.  Of the decay at y.
    warmup_steps, r, weight_lr_power : float
        At least 0.
    maximize : bool
        Go up: grad is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Returns
    -------
    tuple of float
        weight_sum and lr_max for the next step.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only param or state, arrays that
        overlap, or a scalar out of range.  Nothing has been changed then.

    Notes
    -----
    The factors are computed in double, the root's correction in all of them, so that an element takes one division
    and one square root.
    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    The step of y is that of (1 - b1) z + b1 x, written without x.  A. Defazio et al., "The road less scheduled",
    NeurIPS 2024, as in the package ``schedulefree``.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import schedule_free_update
    >>> y, v = np.array([1.0, 2.0]), np.zeros(2)
    >>> z, counted = y.copy(), (0.0, 0.0)
    >>> for step in (1, 2):
    ...     counted = schedule_free_update(
    ...         y, np.array([10.0, -0.1]), z, v, step=step, weight_sum=counted[0], lr_max=counted[1], lr=0.5)
    >>> z.round(6), y.round(6), counted
    (array([0., 3.]), array([0.225, 2.775]), (0.5, 0.5))
    """
    cdef Progress progress = _before(step)
    progress.weight_sum = check_number(weight_sum, "weight_sum", 0.0)
    progress.lr_max = check_number(lr_max, "lr_max", 0.0)
    given = {
        "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "warmup_steps": warmup_steps, "r": r,
        "weight_lr_power": weight_lr_power, "maximize": maximize,
    }
    update_one(SCHEDULE_FREE, given, &progress, param, grad, {"z": z, "exp_avg_sq": exp_avg_sq}, n_threads)
    return progress.weight_sum, progress.lr_max


def average_update(average, value, *, decay, n_threads=None):
    """Let a running mean take in a value, in place: ``average = decay * average + (1 - decay) * value``.

    Parameters
    ----------
    average : ndarray of float32 or float64, any shape, C-contiguous
        Updated in place.
    value : ndarray like average
        Never written.  NaN and infinity pass through.
    decay : float
        In [0, 1).  A decay of (t - 1) / t at the step t = 1, 2, ... gives the mean of all values.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype, shape or memory order, a read-only average, arrays that overlap, or a decay
        out of range.  Nothing has been changed then.

    Notes
    -----
    The mean moves from the nearer of its ends: ``average + (1 - decay) (value - average)`` where decay is above one
    half, ``value + decay (average - value)`` where it is not.

    Each operation is rounded alone, so that the bits are the same at every CPU level.  Subnormal operands count
    as zero and subnormal results are zero.

    B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import average_update
    >>> average = np.array([1.0, 2.0])
    >>> average_update(average, np.array([5.0, -2.0]), decay=0.75)
    >>> average
    array([2., 1.])
    """
    cdef Progress progress = _before(1)
    update_one(AVERAGE, {"decay": decay}, &progress, average, value, {}, n_threads, "average", "value")
