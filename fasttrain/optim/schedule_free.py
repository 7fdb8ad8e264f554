"""Schedule-free AdamW: averaging in the place of a learning-rate schedule."""
from collections.abc import Mapping
from typing import Any

import numpy as np

from fasttrain.kernels.update import from_bfloat16, to_bfloat16
from fasttrain.optim._base import Array, Arrays, Optimizer, parts


class ScheduleFreeAdamW(Optimizer):
    """AdamW whose average of steps takes the place of a learning-rate schedule, in place.

    Three points: z, which the gradients move; x, the weighted average of all z, which is the result; and y between
    them, at which gradients are taken.  With b1, b2 = betas, t counting steps from 1 and g the gradient at y::

        exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * g^2
        d = g / (sqrt(exp_avg_sq / (1 - b2^t)) + eps) + weight_decay * y
        z = z - lr_t * d                               lr_t = lr * min(1, t / warmup_steps)
        w_t = t^r * max(lr_1, ..., lr_t)^weight_lr_power,    c_t = w_t / (w_1 + ... + w_t)
        x = (1 - c_t) * x + c_t * z
        y = (1 - b1) * z + b1 * x

    While training, the parameters hold y; between ``eval()`` and ``train()`` they hold x.

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64, float32 or bfloat16, C-contiguous, of any shape.  See
        :class:`Optimizer` for groups of options, other libraries' arrays, and bfloat16.
    lr : float
        Learning rate, constant after the warm-up.  This and the options below may be changed between steps, in
        ``param_groups``.
    betas : pair of float
        Share of x in y, above 0, and decay of the mean of squares, in [0, 1).
    eps : float
        Added to the root after its bias correction.
    weight_decay : float
        Of the decay at y.
    warmup_steps : float
    r, weight_lr_power : float
        Of the weights of the average.
    maximize : bool
        Go up: the gradient is negated first.
    dtype, state_dtype, master_weights, n_threads
        See :class:`Optimizer`; z keeps the precision of the arithmetic.

    Notes
    -----
    x is not stored: it is y + (1 - 1 / b1) (z - y).  A. Defazio et al., "The road less scheduled", NeurIPS 2024, whose
    package ``schedulefree`` has the same options and defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import ScheduleFreeAdamW
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = ScheduleFreeAdamW(theta, lr=0.1)
    >>> for step in range(1000):
    ...     taken = optimizer.step(theta - target)
    >>> optimizer.eval()
    >>> theta.round(2)
    array([ 3., -1.])
    """

    _family = "ScheduleFreeAdamW"

    def __init__(
        self,
        params: Arrays,
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        warmup_steps: float = 0,
        r: float = 0,
        weight_lr_power: float = 2,
        *,
        maximize: bool = False,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "warmup_steps": warmup_steps, "r": r,
            "weight_lr_power": weight_lr_power, "maximize": maximize,
        }
        super().__init__(
            params, options, dtype=dtype, state_dtype=state_dtype, master_weights=master_weights, n_threads=n_threads
        )
        self._held: list[Array] | None = None  # y, while the parameters hold x

    def eval(self) -> None:
        """Let the parameters hold x, the average; a copy of y is kept until ``train()``."""
        if self._held is not None:
            return
        points = self._points()
        self._held = [y.copy() for y in points]
        for i, y in enumerate(points):
            if "z" not in self._update.states[i]:  # before the first step x, y and z are one
                continue
            factor = 1.0 - 1.0 / self._group_of(i)["betas"][0]
            for part, z in zip(parts(y), parts(self._update.states[i]["z"]), strict=True):
                if part.dtype == np.uint16:
                    wide = from_bfloat16(part)
                    part[...] = to_bfloat16(wide + factor * (z - wide))
                else:
                    part += factor * (z - part)
        self._update.round_masters()

    def train(self) -> None:
        """Let the parameters hold y again, with all their bits."""
        if self._held is None:
            return
        for y, held in zip(self._points(), self._held, strict=True):
            y[...] = held
        self._held = None
        self._update.round_masters()

    def _points(self) -> list[Array]:
        return [own.get("master", param) for own, param in zip(self._update.states, self._update.params, strict=True)]

    def step(self, grads: Arrays, **options: Any) -> bool:
        """Update the parameters by their gradients at y; see :meth:`Optimizer.step`."""
        self._check_training("step")
        return super().step(grads, **options)

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Optimizer.state_dict`."""
        self._check_training("state_dict")
        return super().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Optimizer.load_state_dict`."""
        self._check_training("load_state_dict")
        super().load_state_dict(state)

    def _check_training(self, name: str) -> None:
        if self._held is not None:
            raise ValueError(f"{name} needs the parameters at y: call train() after eval()")
