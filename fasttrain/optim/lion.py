"""Lion: steps by the sign of a running mean."""
from fasttrain.optim._base import Arrays, Optimizer


class Lion(Optimizer):
    """Descent by the sign of a running mean of gradients, in place.

    With b1, b2 = betas and g the gradient::

        param *= 1 - lr * weight_decay
        param -= lr * sign(b1 * exp_avg + (1 - b1) * g)
        exp_avg = b2 * exp_avg + (1 - b2) * g

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    betas : pair of float
        Decay of the running means, each in [0, 1).
    weight_decay : float
        Of the decoupled decay.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    Every element moves by lr, so lr is 3 to 10 times smaller than Adam's, and weight_decay as much larger.  X. Chen et
    al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import Lion
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = Lion(theta, lr=0.01)
    >>> for step in range(1000):
    ...     optimizer.lr = 0.01 * (1 - step / 1000)
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "Lion"

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )
