"""Adafactor: second moments of rows and columns in place of one for each element."""
import math
from collections.abc import Mapping
from typing import Any

from fasttrain.kernels.adafactor import adafactor_update
from fasttrain.optim._base import Arrays, _plain
from fasttrain.optim._whole import WholeOptimizer


class Adafactor(WholeOptimizer):
    """Adaptive steps with a state of the size of rows and columns, in place.

    With rho = t^beta2_decay, t counting steps from 1, eps1, eps2 = eps and g the gradient, for an array whose last two
    axes are matrices::

        alpha = max(eps2, rms(param)) * min(lr, 1 / sqrt(t))   rms(x) = norm(x) / sqrt(size of x)
        param *= 1 - lr * weight_decay
        row_var = (1 - rho) * row_var + rho * mean of g^2 over each row
        col_var = (1 - rho) * col_var + rho * mean of g^2 over each column
        v = row_var col_var / max(eps1, mean of row_var)       the matrix product, column by row
        u = g / sqrt(max(v, eps1^2))
        param -= alpha / max(1, rms(u) / d) * u

    and for an array of one axis or none, v = variance = (1 - rho) * variance + rho * g^2.

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64 or float32, C-contiguous, of any shape.  See :class:`Optimizer` for
        groups of options and other libraries' arrays.
    lr : float
        What a step relative to the parameter is at most.  This and the options below may be changed between steps, in
        ``param_groups``.
    beta2_decay : float
        At most 0.
    eps : pair of float
        Each at least 0.  None for the first is the machine epsilon of the dtype.
    d : float
        At least 1; what the root mean square of the update is at most.
    weight_decay : float
        Of the decoupled decay.
    maximize : bool
        Go up: the gradient is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Notes
    -----
    Of the options of a step, ``max_value`` is refused.  Gradients must have the dtype of their parameters.

    The formula is that of ``torch.optim.Adafactor``; N. Shazeer and M. Stern, "Adafactor: adaptive learning rates
    with sublinear memory cost", ICML 2018.

    See Also
    --------
    fasttrain.kernels.adafactor_update : the same step on arrays of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import Adafactor
    >>> target = np.array([[3.0, -1.0], [2.0, 0.5]])
    >>> theta = np.zeros((2, 2))
    >>> optimizer = Adafactor(theta, lr=0.1)
    >>> for step in range(500):
    ...     optimizer.lr = 0.1 * (1 - step / 500)
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(2)
    array([[ 3. , -1. ],
           [ 2. ,  0.5]])
    >>> state = optimizer.state_dict()
    >>> state["row_var.0"].shape, state["col_var.0"].shape
    ((2, 1), (1, 2))
    """

    _family = "Adafactor"
    _options = ("lr", "beta2_decay", "eps", "d", "weight_decay", "maximize")
    _kernel = staticmethod(adafactor_update)

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options, n_threads=n_threads)

    def state_dict(self) -> dict[str, Any]:
        """As that of every rule; None in eps is NaN, since a file of arrays holds no None."""
        state = super().state_dict()
        state.update((name, _saved(state[name])) for name in state if _is_eps(name))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As that of every rule."""
        super().load_state_dict({**state, **{name: _loaded(state[name]) for name in state if _is_eps(name)}})

    def _state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        if len(shape) < 2:
            return {"variance": shape}
        return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}


def _is_eps(name: str) -> bool:
    return name == "eps" or name.endswith(".eps")


def _saved(eps: tuple[float | None, float]) -> tuple[float, float]:
    return (math.nan if eps[0] is None else eps[0], eps[1])


def _loaded(value: Any) -> Any:
    eps = _plain(value)
    return (None, *eps[1:]) if isinstance(eps, tuple) and eps and eps[0] != eps[0] else eps
