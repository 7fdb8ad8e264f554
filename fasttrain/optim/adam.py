"""Adam and AdamW."""
from collections.abc import Mapping
from typing import Any

from fasttrain.kernels.optim import check_adam_options
from fasttrain.optim._base import Arrays, Optimizer


class Adam(Optimizer):
    """Adam, or with ``decoupled=True`` AdamW, in place.

    With b1, b2 = betas, t counting steps from 1 and g the gradient::

        g = g + weight_decay * param                           L2 penalty; not with decoupled
        param *= 1 - lr * weight_decay                         with decoupled only
        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        param -= lr / (1 - b1^t) * exp_avg / (sqrt(exp_avg_sq / (1 - b2^t)) + eps)

    Parameters
    ----------
    params : ndarray or list of ndarray
        float32 or float64, any shape, C-contiguous; updated in place, never copied.
    lr : float
        Learning rate.  This and the options below are attributes that may be changed between steps.
    betas : pair of float
        Decay of the running means, each in [0, 1).
    eps : float
        Added to the root after its bias correction.
    weight_decay : float
        The L2 penalty's factor, its gradient added to g as in ``torch.optim.Adam``; with ``decoupled=True``
        the decay of AdamW.  Keras means the decoupled decay by this name in its Adam, too.
    decoupled : bool
        AdamW: decay the parameter itself, by lr * weight_decay as torch and Keras do.
    bias_correction : bool
        False gives the plain textbook rule, ``param -= lr * exp_avg / (sqrt(exp_avg_sq) + eps)``.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Notes
    -----
    The place of eps is that of the paper's algorithm 1 and of torch; Keras and scikit-learn add it before
    the correction, which makes it 31.6 times larger in the first step at b2 = 0.999.  Step counts are exact
    up to 2^53.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.  I. Loshchilov and
    F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

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
    ...     optimizer.step(theta - target)
    >>> theta.round(3)
    array([ 3., -1.])
    """

    _options = ("lr", "betas", "eps", "weight_decay", "decoupled", "bias_correction")
    _state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        decoupled: bool = False,
        bias_correction: bool = True,
        n_threads: int | None = None,
    ) -> None:
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.decoupled, self.bias_correction = decoupled, bias_correction
        self._check_options({name: getattr(self, name) for name in self._options})
        super().__init__(params, 2, n_threads)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_adam_options(**options)

    def step(self, grads: Arrays) -> None:
        """Update the parameters by their gradients.

        Parameters
        ----------
        grads : ndarray or list of ndarray
            As ``params`` was given, of the same shapes and dtypes, C-contiguous, not overlapping the
            parameters; never written.  NaN and infinity pass through to parameters and state, as in torch.

        Raises
        ------
        TypeError, ValueError
            For a gradient or an option that does not fit.  No parameter and no state has been changed then.
        """
        self._update.adam(
            grads,
            step=self._n_steps + 1,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            decoupled=self.decoupled,
            bias_correction=self.bias_correction,
            n_threads=self.n_threads,
        )
        self._n_steps += 1
