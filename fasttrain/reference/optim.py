"""Update rules of the optimizers in plain NumPy: twins of :mod:`fasttrain.kernels.optim`.

Every line is one operation, rounded in the dtype of the parameter and flushed, in the kernel's order, so
that both give the same numbers step by step.  NumPy itself has gradual underflow; flush() stands for what
the kernel's processor mode does to every operand and result.
"""
import math

import numpy as np


def flush(x):
    """x with zeros of the same sign in place of subnormal numbers."""
    return np.where(np.abs(x) < np.finfo(x.dtype).smallest_normal, np.copysign(np.zeros_like(x), x), x)


def sgd_update(
    param, grad, momentum_buffer=None, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
    first_step=False, n_threads=None,
):
    """One step of stochastic gradient descent, in place; see :func:`fasttrain.kernels.sgd_update`."""
    real = param.dtype.type
    theta = flush(param)
    with np.errstate(all="ignore"):
        direction = flush(grad)
        if weight_decay != 0.0:
            direction = flush(direction + flush(flush(real(weight_decay)) * theta))
        if momentum != 0.0:
            buffer = flush(flush(real(1.0 if first_step else 1.0 - dampening)) * direction)
            if not first_step:
                buffer = flush(flush(flush(real(momentum)) * flush(momentum_buffer)) + buffer)
            momentum_buffer[...] = buffer
            direction = flush(direction + flush(flush(real(momentum)) * buffer)) if nesterov else buffer
        param[...] = flush(theta - flush(flush(real(lr)) * direction))


def adam_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    decoupled=False, bias_correction=True, n_threads=None,
):
    """One step of Adam or AdamW, in place; see :func:`fasttrain.kernels.adam_update`."""
    real = param.dtype.type
    beta1, beta2 = betas
    step_size, added = lr, eps
    if bias_correction:
        root = math.sqrt(-math.expm1(step * math.log(beta2))) if beta2 > 0.0 else 1.0
        step_size = lr * root / (-math.expm1(step * math.log(beta1)) if beta1 > 0.0 else 1.0)
        added = eps * root
    if added > 0.0:
        added = max(added, float(np.finfo(real).smallest_normal))
    theta = flush(param)
    gradient, first, second = flush(grad), flush(exp_avg), flush(exp_avg_sq)
    with np.errstate(all="ignore"):
        if decoupled:
            theta = flush(theta * real(1.0 - lr * weight_decay))
        elif weight_decay != 0.0:
            gradient = flush(gradient + flush(flush(real(weight_decay)) * theta))
        # the mean moves from the nearer of its two ends
        near, far, weight = (gradient, first, beta1) if beta1 <= 0.5 else (first, gradient, 1.0 - beta1)
        first = flush(near + flush(flush(real(weight)) * flush(far - near)))
        square = flush(flush(flush(real(1.0 - beta2)) * gradient) * gradient)
        second = flush(flush(flush(real(beta2)) * second) + square)
        scaled = flush(flush(real(step_size)) * first)
        param[...] = flush(theta - flush(scaled / flush(np.sqrt(second) + real(added))))
    exp_avg[...] = first
    exp_avg_sq[...] = second
