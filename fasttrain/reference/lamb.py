"""LAMB in plain NumPy.  Every line is one operation, rounded and flushed as the kernel's; see reference/optim.py."""
import math

import numpy as np

from fasttrain.reference.optim import flush


def lamb_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0,
    bias_correction=True, maximize=False, grad_factor=1.0, max_param_norm=math.inf, max_trust_ratio=math.inf,
    n_threads=None,
):
    """One step of LAMB, in place; see :func:`fasttrain.kernels.lamb_update`."""
    real = param.dtype.type
    beta1, beta2 = betas
    mean_factor, added = 1.0, eps
    if bias_correction:
        root = math.sqrt(-math.expm1(step * math.log(beta2))) if beta2 > 0.0 else 1.0
        mean_factor = root / (-math.expm1(step * math.log(beta1)) if beta1 > 0.0 else 1.0)
        added = eps * root
    if added > 0.0:
        added = max(added, float(np.finfo(real).smallest_normal))
    theta, first, second = flush(param), flush(exp_avg), flush(exp_avg_sq)
    with np.errstate(all="ignore"):
        gradient = flush(flush(real(-grad_factor if maximize else grad_factor)) * flush(grad))
        # the mean moves from the nearer of its two ends
        near, far, weight = (gradient, first, beta1) if beta1 <= 0.5 else (first, gradient, 1.0 - beta1)
        first = flush(near + flush(flush(real(weight)) * flush(far - near)))
        square = flush(flush(flush(real(1.0 - beta2)) * gradient) * gradient)
        second = flush(flush(flush(real(beta2)) * second) + square)
        update = flush(flush(real(mean_factor) * first) / flush(np.sqrt(second) + real(added)))
        update = flush(update + flush(flush(real(weight_decay)) * theta))
        param_norm, update_norm = (math.sqrt(np.sum(np.square(x, dtype=np.float64))) for x in (theta, update))
        ratio = 1.0
        if param_norm != 0.0 and update_norm != 0.0:
            ratio = np.minimum(np.minimum(param_norm, max_param_norm) / update_norm, max_trust_ratio)
        param[...] = flush(theta - flush(flush(real(lr * ratio)) * update))
    exp_avg[...] = first
    exp_avg_sq[...] = second
