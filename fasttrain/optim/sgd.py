"""Stochastic gradient descent, with momentum."""
from fasttrain.optim._base import Arrays, Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, in place.

    With g the gradient, t counting steps from 1 and d = g + weight_decay * param::

        b_1 = d_1,    b_t = momentum * b_(t-1) + (1 - dampening) * d_t
        param -= lr * d_t                        without momentum
        param -= lr * b_t                        with momentum
        param -= lr * (d_t + momentum * b_t)     with Nesterov momentum

    Full-batch gradient descent, stochastic gradient descent on single samples and on mini-batches are this
    one rule: they differ in how many rows the gradient is taken over, all, one, or a number between.

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    momentum, dampening, weight_decay : float
        weight_decay is the factor of the L2 penalty's gradient.
    nesterov : bool
        Needs a momentum and no dampening.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    The learning rate stands outside the momentum, as in ``torch.optim.SGD`` and unlike Keras and
    scikit-learn (``b = momentum * b - lr * g``): the two agree as long as lr is constant.

    See Also
    --------
    fasttrain.kernels.sgd_update : the same step on arrays of one's own.

    Examples
    --------
    Three epochs over four rows, for half the squared error of X @ theta, by batches of all, one and two:

    >>> import numpy as np
    >>> from fasttrain.optim import SGD
    >>> X = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0], [4.0, 5.0]])
    >>> y = np.array([0.0, 1.0, 1.0, 0.0])
    >>> for batch_size in (4, 1, 2):
    ...     theta = np.zeros(2)
    ...     optimizer = SGD(theta, lr=0.01)
    ...     for epoch in range(3):
    ...         for start in range(0, 4, batch_size):
    ...             batch = slice(start, start + batch_size)
    ...             taken = optimizer.step(X[batch].T @ (X[batch] @ theta - y[batch]))
    ...     print(batch_size, theta.round(4))
    4 [0.057 0.085]
    1 [0.0345 0.0595]
    2 [0.0455 0.0716]
    """

    _family = "SGD"

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )
