"""Adagrad, RMSprop and Adadelta: gradients divided by their own size."""
from collections.abc import Mapping
from typing import Any

import numpy as np

from fasttrain.kernels.update import to_bfloat16
from fasttrain.optim._base import Arrays, Optimizer, check_number


class Adagrad(Optimizer):
    """Gradient descent divided by the root of all squares so far, in place.

    With t counting steps from 1 and g the gradient::

        sum += g^2
        param -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(sum) + eps)

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    lr_decay : float
    weight_decay : float
        The L2 penalty's factor: its gradient, weight_decay * param, is added to g first.
    initial_accumulator_value : float
        What the sum starts with, read once, when the optimizer is made; not with 8-bit state.
    eps : float
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    The formula is that of ``torch.optim.Adagrad``; Keras starts the sum at 0.1.  J. Duchi, E. Hazan and Y. Singer,
    "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import Adagrad
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = Adagrad(theta, lr=1.0)
    >>> for step in range(300):
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "Adagrad"

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "eps": eps, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )
        if any(group["initial_accumulator_value"] for group in self.param_groups):
            if state_dtype == "8bit":
                raise ValueError("initial_accumulator_value and state_dtype='8bit' exclude each other")
            self._update.make_states(self.param_groups)
            for i, own in enumerate(self._update.states):
                value = self._group_of(i)["initial_accumulator_value"]
                is_bfloat16 = own["sum"].dtype == np.uint16
                own["sum"][...] = to_bfloat16(np.full(1, value, np.float32)) if is_bfloat16 else value

    def _check_options(self, options: Mapping[str, Any]) -> None:
        super()._check_options(options)
        check_number(options["initial_accumulator_value"], "initial_accumulator_value", zero=True)


class RMSprop(Optimizer):
    """Gradient descent divided by the root of a running mean of squares, in place.

    With g the gradient::

        square_avg = alpha * square_avg + (1 - alpha) * g^2
        grad_avg   = alpha * grad_avg   + (1 - alpha) * g          with centered only
        d = g / (sqrt(square_avg - grad_avg^2) + eps)              grad_avg = 0 without centered
        param -= lr * d                                            without momentum
        b = momentum * b + d,  param -= lr * b                     with momentum

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    alpha : float
        Decay of the running means, in [0, 1).
    eps : float
    weight_decay : float
        The L2 penalty's factor: its gradient, weight_decay * param, is added to g first.
    momentum : float
    centered : bool
        Divide by the root of the variance.  All state keeps the precision of the arithmetic then, whatever the
        state_dtype: the difference of the two means is small, and what is divided by it of any size.
    eps_mode : {"outside", "inside"}
        Whether eps is added to the root, as in torch, or below it, as in Keras and TensorFlow, which matters where eps
        is large.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    The formula is that of ``torch.optim.RMSprop``; Keras calls alpha rho, its defaults are 0.9 and 1e-7.  A variance
    that rounding leaves below zero counts as zero.  T. Tieleman and G. Hinton, lecture 6.5 of "Neural networks for
    machine learning", 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import RMSprop
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = RMSprop(theta, lr=0.01)
    >>> for step in range(1000):
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "RMSprop"

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        eps_mode: str = "outside",
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
            "momentum": momentum, "centered": centered, "eps_mode": eps_mode, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )


class Adadelta(Optimizer):
    """Gradient descent with steps in the size of the last ones, in place.

    With g the gradient::

        square_avg = rho * square_avg + (1 - rho) * g^2
        d = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g
        acc_delta  = rho * acc_delta  + (1 - rho) * d^2
        param -= lr * d

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    rho : float
        Decay of the running means, in [0, 1).
    eps : float
        Added below both roots.
    weight_decay : float
        The L2 penalty's factor: its gradient, weight_decay * param, is added to g first.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`.

    Notes
    -----
    The formula is that of ``torch.optim.Adadelta``.  M. D. Zeiler, "ADADELTA: an adaptive learning rate method",
    2012.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import Adadelta
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = Adadelta(theta)
    >>> for step in range(3000):
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "Adadelta"

    def __init__(
        self,
        params: Arrays,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )
