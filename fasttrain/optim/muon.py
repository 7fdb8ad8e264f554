"""Muon: momentum, orthogonalised."""
from typing import Any

import numpy as np

from fasttrain.kernels.muon import muon_update
from fasttrain.optim._base import Array, Arrays
from fasttrain.optim._whole import WholeOptimizer


class Muon(WholeOptimizer):
    """Momentum that a Newton-Schulz iteration makes nearly orthogonal, in place; for the matrices of hidden layers.

    With a, b, c = ns_coefficients, g the gradient and a matrix of n_rows by n_columns::

        momentum_buffer = momentum * momentum_buffer + (1 - momentum) * g
        u = momentum_buffer, or with nesterov: (1 - momentum) * g + momentum * momentum_buffer
        X = u / max(norm(u), eps)                              the Frobenius norm
        X = (a I + b A + c A^2) X  with  A = X X^T             ns_steps times
        param *= 1 - lr * weight_decay
        param -= lr * sqrt(max(1, n_rows / n_columns)) * X     adjust_lr_fn "original" or None
        param -= lr * 0.2 * sqrt(max(n_rows, n_columns)) * X   "match_rms_adamw"

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        Updated in place, never copied: float64 or float32, C-contiguous, each a matrix; biases and embeddings are for
        another rule.  See :class:`Optimizer` for groups of options and other libraries' arrays.
    lr : float
        Learning rate.  This and the options below may be changed between steps, in ``param_groups``.
    weight_decay : float
        Of the decoupled decay.
    momentum : float
        At least 0.
    nesterov : bool
    ns_coefficients : three floats
        Of the odd polynomial that is applied to the singular values.
    eps : float
        What the norm is at least.
    ns_steps : int
        From 0 to 99.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}
        How the step depends on the shape.  None is "original"; with "match_rms_adamw" lr and weight_decay are as for
        AdamW.
    maximize : bool
        Go up: the gradient is negated first.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Raises
    ------
    ValueError
        For a parameter that is no matrix.

    Notes
    -----
    The iteration is in the dtype of the parameter, where ``torch.optim.Muon`` takes the products in bfloat16.  Its
    memory is allocated once, for the largest matrix.  Of the options of a step, ``max_value`` is refused.  Gradients
    must have the dtype of their parameters.

    The formula is that of ``torch.optim.Muon``; K. Jordan, "Muon: an optimizer for hidden layers in neural networks",
    2024; J. Liu et al., "Muon is scalable for LLM training", 2025, for "match_rms_adamw".

    See Also
    --------
    fasttrain.kernels.muon_update : the same step on arrays of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import Muon
    >>> target = np.array([[3.0, -1.0], [2.0, 0.5]])
    >>> theta = np.zeros((2, 2))
    >>> optimizer = Muon(theta, lr=0.1, weight_decay=0)
    >>> for step in range(300):
    ...     optimizer.lr = 0.1 * (1 - step / 300)
    ...     taken = optimizer.step(theta - target)
    >>> theta.round(1)
    array([[ 3. , -1. ],
           [ 2. ,  0.5]])
    """

    _family = "Muon"
    _options = (
        "lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn", "maximize",
    )
    _kernel = staticmethod(muon_update)
    _counts_steps = False

    def __init__(
        self,
        params: Arrays,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        maximize: bool = False,
        n_threads: int | None = None,
    ) -> None:
        options = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps,
            "adjust_lr_fn": "original" if adjust_lr_fn is None else adjust_lr_fn, "maximize": maximize,
        }
        super().__init__(params, options, n_threads=n_threads)

    def _state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"momentum_buffer": shape}

    def _check_params(self, params: list[Array], names: list[str]) -> None:
        for param, name in zip(params, names, strict=True):
            if param.ndim != 2:
                raise ValueError(
                    f"{name} must have 2 dimensions, got shape {param.shape}: Muon is for matrices; give the others "
                    "to another rule, such as Adam"
                )

    def _extra(self, params: list[Array]) -> list[dict[str, Any]]:
        sizes: dict[Any, int] = {}
        for param in params:
            size = 2 * param.size + 2 * min(param.shape) ** 2 + 64
            sizes[param.dtype] = max(size, sizes.get(param.dtype, 0))
        workspaces = {dtype: np.empty(size, dtype) for dtype, size in sizes.items()}
        return [{"workspace": workspaces[param.dtype]} for param in params]
