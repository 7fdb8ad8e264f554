"""LAMB: Adam's update, relative to the norm of each parameter."""
import math

from fasttrain.kernels.lamb import lamb_update
from fasttrain.optim._base import Arrays
from fasttrain.optim._whole import WholeOptimizer


class LAMB(WholeOptimizer):
    """Adam with a step that is relative to the norm of each parameter, in place; for large batches.

    With b1, b2 = betas, t counting steps from 1, g the gradient, and norms over each array::

        exp_avg    = b1 * exp_avg    + (1 - b1) * g
        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        u = exp_avg / (1 - b1^t) / (sqrt(exp_avg_sq / (1 - b2^t)) + eps) + weight_decay * param
        ratio = min(norm(param), max_param_norm) / norm(u)     1 where either norm is 0
        param -= lr * min(ratio, max_trust_ratio) * u

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64 or float32, C-contiguous, of any shape.  An array is a layer: its norm
        is the unit of its step.  See :class:`Optimizer` for groups of options and other libraries' arrays.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    betas : pair of float
        Decay of the running means, each in [0, 1).
    eps : float
        Added to the root after its bias correction.
    weight_decay : float
        Factor of the parameter in the update, before its norm is taken.
    bias_correction : bool
        False leaves the running means as they are.
    max_param_norm, max_trust_ratio : float
        Upper bounds; the paper's implementations use 10 for the first, others 1 for the second.
    maximize : bool
        Go up: the gradient is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Notes
    -----
    Of the options of a step, ``max_value`` is refused.  Gradients must have the dtype of their parameters.

    Y. You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020, algorithm 2.

    See Also
    --------
    fasttrain.kernels.lamb_update : the same step on arrays of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import LAMB
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.ones(2)
    >>> optimizer = LAMB(theta, lr=0.02)
    >>> for step in range(500):
    ...     optimizer.lr = 0.02 * (1 - step / 500)
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "LAMB"
    _options = (
        "lr", "betas", "eps", "weight_decay", "bias_correction", "max_param_norm", "max_trust_ratio", "maximize",
    )
    _kernel = staticmethod(lamb_update)

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        bias_correction: bool = True,
        max_param_norm: float = math.inf,
        max_trust_ratio: float = math.inf,
        maximize: bool = False,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "bias_correction": bias_correction,
            "max_param_norm": max_param_norm, "max_trust_ratio": max_trust_ratio, "maximize": maximize,
        }
        super().__init__(params, options, n_threads=n_threads)

    def _state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"exp_avg": shape, "exp_avg_sq": shape}
