"""Muon in plain NumPy, in float64; flush() as in reference/optim.py."""
import math

import numpy as np

from fasttrain.reference.optim import flush, moved


def muon_update(
    param, grad, momentum_buffer, *, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
    ns_coefficients=(3.4445, -4.775, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None, maximize=False,
    grad_factor=1.0, workspace=None, n_threads=None,
):
    """One step of Muon, in place; see :func:`fasttrain.kernels.muon_update`."""
    if param.size == 0:
        return
    n_rows, n_columns = param.shape
    gradient = flush(param.dtype.type(-grad_factor if maximize else grad_factor) * flush(grad)).astype(np.float64)
    momentum_buffer[...] = moved(momentum_buffer.astype(np.float64), gradient, momentum)
    update = momentum_buffer.astype(np.float64)
    if nesterov:
        update = moved(update, gradient, momentum)
    x = update.T if n_rows > n_columns else update
    x = x / max(float(np.linalg.norm(x)), eps)
    a, b, c = ns_coefficients
    for _ in range(ns_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    if n_rows > n_columns:
        x = x.T
    ratio = math.sqrt(max(1.0, n_rows / n_columns))
    if adjust_lr_fn == "match_rms_adamw":
        ratio = 0.2 * math.sqrt(max(n_rows, n_columns))
    param[...] = (1.0 - lr * weight_decay) * param.astype(np.float64) - lr * ratio * x
