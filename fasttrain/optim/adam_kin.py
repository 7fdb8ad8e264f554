"""NAdam, RAdam and Adamax: kin of Adam."""
from fasttrain.optim._base import Arrays, Optimizer


class NAdam(Optimizer):
    """Adam with Nesterov momentum, in place.

    With b1, b2 = betas, t counting steps from 1 and g the gradient::

        mu_t = b1 * (1 - 0.96^(t * momentum_decay) / 2)
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        ahead = mu_(t+1) * exp_avg / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) * g / (1 - mu_1 ... mu_t)
        param -= lr * ahead / (sqrt(exp_avg_sq / (1 - b2^t)) + eps)

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    betas : pair of float
        Decay of the running means, each in [0, 1).
    eps : float
        Added to the root after its bias correction.
    weight_decay : float
        The L2 penalty's factor: its gradient, weight_decay * param, is added to g first.
    momentum_decay : float
        Of the schedule of mu; 0 keeps it at b1 / 2.
    decoupled_weight_decay : bool
        Decay the parameter itself, ``param *= 1 - lr * weight_decay`` first, instead of adding to the gradient.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    The formula is that of ``torch.optim.NAdam``.  T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR
    workshop 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import NAdam
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = NAdam(theta, lr=0.1)
    >>> for step in range(300):
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "NAdam"

    def __init__(
        self,
        params: Arrays,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )


class RAdam(Optimizer):
    """Adam with a rectified start, in place.

    With b1, b2 = betas, t counting steps from 1, g the gradient and rho = 2 / (1 - b2) - 1::

        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        rho_t = rho - 2 t b2^t / (1 - b2^t)
        r_t   = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t))
        param -= lr * r_t * exp_avg / (1 - b1^t) * sqrt(1 - b2^t) / (sqrt(exp_avg_sq) + eps)     where rho_t > 5
        param -= lr * exp_avg / (1 - b1^t)                                                       in the first steps

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    betas : pair of float
        Decay of the running means, each in [0, 1).
    eps : float
        Added to the root before its bias correction.
    weight_decay : float
        The L2 penalty's factor: its gradient, weight_decay * param, is added to g first.
    decoupled_weight_decay : bool
        Decay the parameter itself, ``param *= 1 - lr * weight_decay`` first, instead of adding to the gradient.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    The formula is that of ``torch.optim.RAdam``.  L. Liu et al., "On the variance of the adaptive learning rate and
    beyond", ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import RAdam
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = RAdam(theta, lr=0.1)
    >>> for step in range(300):
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "RAdam"

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )


class Adamax(Optimizer):
    """Adam by the largest gradient instead of the mean square, in place.

    With b1, b2 = betas, t counting steps from 1 and g the gradient::

        exp_avg = b1 * exp_avg + (1 - b1) * g
        exp_inf = max(b2 * exp_inf, |g| + eps)
        param -= lr / (1 - b1^t) * exp_avg / exp_inf

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    betas : pair of float
        Decay of the running means, each in [0, 1).
    eps : float
        Added to the gradient's magnitude.
    weight_decay : float
        The L2 penalty's factor: its gradient, weight_decay * param, is added to g first.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    The formula is that of ``torch.optim.Adamax``.  D. P. Kingma and J. Ba, "Adam: a method for stochastic
    optimization", ICLR 2015, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import Adamax
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = Adamax(theta, lr=0.1)
    >>> for step in range(300):
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "Adamax"

    def __init__(
        self,
        params: Arrays,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )
