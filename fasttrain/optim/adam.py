"""Adam and AdamW."""
from typing import Any

from fasttrain.optim._base import Arrays, Optimizer


class Adam(Optimizer):
    """Adam, in place.

    With b1, b2 = betas, t counting steps from 1 and g the gradient::

        g = g + weight_decay * param                           L2 penalty; not with decoupled decay
        param *= 1 - lr * weight_decay                         with decoupled decay only
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        param -= lr / (1 - b1^t) * exp_avg / (sqrt(exp_avg_sq / (1 - b2^t)) + eps)

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
    weight_decay : float
        The L2 penalty's factor, its gradient added to g as in ``torch.optim.Adam``; with
        ``decoupled_weight_decay=True`` the decay of AdamW.  Keras means the decoupled decay by this name in its
        Adam, too.
    amsgrad : bool
        Divide by the root of the largest exp_avg_sq so far, taken before its bias correction as torch and Keras do
        (optax: after).
    decoupled_weight_decay : bool
        Decay the parameter itself: AdamW.
    initial_lr : float, optional
        With decoupled decay: ``param *= 1 - weight_decay * lr / initial_lr``, the paper's decay, which follows the
        schedule of the learning rate but not its size; torch and Keras decay by ``lr * weight_decay``.
    bias_correction : bool
        False gives the plain textbook rule, ``param -= lr * exp_avg / (sqrt(exp_avg_sq) + eps)``.
    eps_mode : {"corrected", "uncorrected"}
        Whether eps is added to the root after its bias correction, as in the paper's algorithm 1 and torch, or before,
        ``lr * sqrt(1 - b2^t) / (1 - b1^t) * exp_avg / (sqrt(exp_avg_sq) + eps)``, as Keras, TensorFlow and
        scikit-learn do, which makes it 31.6 times larger in the first step at b2 = 0.999.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    Step counts are exact up to 2^53.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.  I. Loshchilov and
    F. Hutter, "Decoupled weight decay regularization", ICLR 2019.  S. J. Reddi, S. Kale and S. Kumar, "On the
    convergence of Adam and beyond", ICLR 2018.

    See Also
    --------
    fasttrain.kernels.adam_update : the same step on arrays of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import Adam
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = Adam(theta, lr=0.05)
    >>> for step in range(500):
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(3)
    array([ 3., -1.])
    """

    _family = "Adam"

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        initial_lr: float | None = None,
        bias_correction: bool = True,
        eps_mode: str = "corrected",
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "decoupled_weight_decay": decoupled_weight_decay, "initial_lr": initial_lr,
            "bias_correction": bias_correction, "eps_mode": eps_mode, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )


class AdamW(Adam):
    """Adam with decoupled weight decay, in place: :class:`Adam` with other defaults.

    ::

        param *= 1 - lr * weight_decay

    and then the step of Adam.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, **options
        See :class:`Adam`.
    weight_decay : float

    Notes
    -----
    The formula and the defaults are those of ``torch.optim.AdamW``; Keras has a weight_decay of 0.004 and an eps of
    1e-7.  I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import AdamW
    >>> theta = np.full(3, 2.0)
    >>> taken = AdamW(theta, lr=0.1, weight_decay=0.5).step(np.zeros(3))
    >>> theta
    array([1.9, 1.9, 1.9])
    """

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **options)
