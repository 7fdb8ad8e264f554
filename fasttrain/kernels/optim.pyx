"""Update rules of the optimizers on arrays of one's own, in place: one pass over parameter, gradient and state."""
from fasttrain.kernels.rules cimport (
    ADAM,
    SGD,
    Progress,
    check_step,
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
    cdef Progress progress = _before(step)
    given = {
        "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
        "decoupled_weight_decay": decoupled_weight_decay, "initial_lr": None, "bias_correction": bias_correction,
        "amsgrad": max_exp_avg_sq is not None, "eps_mode": eps_mode, "maximize": maximize,
    }
    states = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq, "max_exp_avg_sq": max_exp_avg_sq}
    update_one(ADAM, given, &progress, param, grad, states, n_threads)
