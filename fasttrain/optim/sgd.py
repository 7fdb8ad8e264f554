"""Stochastic gradient descent, with momentum."""
from collections.abc import Mapping
from typing import Any

from fasttrain.kernels.optim import Update, check_sgd_options
from fasttrain.optim._base import Array, Arrays, Optimizer


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
    params : ndarray or list of ndarray
        float32 or float64, any shape, C-contiguous; updated in place, never copied.
    lr : float
        Learning rate.  This and the options below are attributes that may be changed between steps.
    momentum, dampening, weight_decay : float
        weight_decay is the factor of the L2 penalty's gradient.
    nesterov : bool
        Needs a momentum and no dampening.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

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
    ...             optimizer.step(X[batch].T @ (X[batch] @ theta - y[batch]))
    ...     print(batch_size, theta.round(4))
    4 [0.057 0.085]
    1 [0.0345 0.0595]
    2 [0.0455 0.0716]
    """

    _options = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    _state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        n_threads: int | None = None,
    ) -> None:
        self.lr, self.momentum, self.dampening = lr, momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        self._check_options({name: getattr(self, name) for name in self._options})
        super().__init__(params, 1 if momentum else 0, n_threads)
        self._has_buffer = False  # true once a step has filled it

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_sgd_options(**options)
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError(
                "nesterov=True needs a positive momentum and dampening 0, "
                f"got momentum={options['momentum']!r} and dampening={options['dampening']!r}"
            )

    def step(self, grads: Arrays) -> None:
        """Update the parameters by their gradients.

        Parameters
        ----------
        grads : ndarray or list of ndarray
            As ``params`` was given, of the same shapes and dtypes, C-contiguous, not overlapping the
            parameters; never written.  NaN and infinity pass through to the parameters, as in torch.

        Raises
        ------
        TypeError, ValueError
            For a gradient or an option that does not fit.  No parameter and no state has been changed then.
        """
        if self.momentum and not self._update.states:
            self._update = Update(self._update.params, self._is_list, 1)
        self._update.sgd(
            grads,
            lr=self.lr,
            momentum=self.momentum,
            dampening=self.dampening,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            first_step=not self._has_buffer,
            n_threads=self.n_threads,
        )
        self._has_buffer = self._has_buffer or self.momentum != 0
        self._n_steps += 1

    def _states(self) -> list[list[Array]]:
        return self._update.states if self._has_buffer else []

    def _saved_states(self, state: Mapping[str, Any]) -> tuple[str, ...]:
        return self._state_names if any(name.startswith("momentum_buffer.") for name in state) else ()

    def _set_states(self, states: list[list[Array]]) -> None:
        self._has_buffer = bool(states)
        if states:
            if not self._update.states:
                self._update = Update(self._update.params, self._is_list, 1)
            super()._set_states(states)
