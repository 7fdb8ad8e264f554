"""LAMB in plain NumPy.  Every operation is rounded and flushed as the kernel's; see reference/optim.py."""
import math

import numpy as np

from fasttrain.reference.optim import correction, mean_square, moved, not_flushed, start


def lamb_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0,
    bias_correction=True, maximize=False, grad_factor=1.0, max_param_norm=math.inf, max_trust_ratio=math.inf,
    n_threads=None,
):
    """One step of LAMB, in place; see :func:`fasttrain.kernels.lamb_update`."""
    (beta1, beta2), mean_factor, root = map(float, betas), 1.0, 1.0
    if bias_correction:
        root = math.sqrt(correction(beta2, step))
        mean_factor = root / correction(beta1, step)
    theta, g, m, v = start(param, grad, exp_avg, exp_avg_sq, weight_decay=0.0, maximize=maximize)
    g = float(grad_factor) * g
    exp_avg[...] = m = moved(m, g, beta1)
    exp_avg_sq[...] = v = mean_square(v, g, beta2)
    update = mean_factor * m / (np.sqrt(v) + not_flushed(float(eps) * root, param.dtype)) + float(weight_decay) * theta
    with np.errstate(all="ignore"):
        param_norm, update_norm = (math.sqrt(np.sum(np.asarray(x, np.float64) ** 2)) for x in (theta, update))
        ratio = 1.0
        if param_norm != 0.0 and update_norm != 0.0:
            ratio = np.minimum(np.minimum(param_norm, max_param_norm) / update_norm, max_trust_ratio)
    param[...] = theta - float(lr * ratio) * update
