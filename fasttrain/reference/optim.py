"""Update rules of the optimizers in plain NumPy: twins of :mod:`fasttrain.kernels.optim`.

Factors that do not depend on the element are Python's floats, in double.  Every operation on arrays is one of the
kernel's, in its order, rounded in the dtype of the parameter and flushed, so that both give the same bits step by
step.  NumPy itself has gradual underflow; Flushed stands for what the kernel's processor mode does.
"""
import math

import numpy as np


def flush(x):
    """x with zeros of the same sign in place of subnormal numbers."""
    return np.where(np.abs(x) < np.finfo(x.dtype).smallest_normal, np.copysign(np.zeros_like(x), x), x)


class Flushed(np.ndarray):
    """An array of floats of which every operation flushes its operands and its result; other operands, Python's
    floats or arrays, are rounded to its dtype first."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        with np.errstate(all="ignore"):
            result = getattr(ufunc, method)(*(flush(np.asarray(x, self.dtype)) for x in inputs), **options)
        return flush(result).view(Flushed) if result.dtype == self.dtype else result


def select(condition, one, other):
    return np.where(condition, one, other).view(Flushed)


def start(param, grad, *states, weight_decay, maximize, lr=0.0, decoupled=False):
    """What comes before every rule: parameter and gradient after the decays, and the state."""
    param, grad, *read = (np.array(array).view(Flushed) for array in (param, grad, *states))
    grad = (-1.0 if maximize else 1.0) * grad
    if weight_decay != 0.0 and not decoupled:
        grad = grad + float(weight_decay) * param
    param = param * (1.0 - float(lr) * float(weight_decay) if decoupled else 1.0)
    return param, grad, *read


def moved(mean, value, decay):
    """The mean decay * mean + (1 - decay) * value, moved from the nearer of its two ends."""
    if decay <= 0.5:
        return value + decay * (mean - value)
    return mean + (1.0 - decay) * (value - mean)


def mean_square(mean, value, decay):
    return decay * mean + ((1.0 - decay) * value) * value


def not_flushed(eps, dtype):
    """eps, which if it is positive must not vanish: 0 / 0 would be NaN where the gradients have all been zero."""
    return max(eps, float(np.finfo(dtype).smallest_normal)) if eps > 0.0 else 0.0


def correction(beta, step):
    """1 - beta^step with every digit."""
    return -math.expm1(step * math.log(beta)) if beta > 0.0 else 1.0


def power(base, exponent):
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def sgd_update(
    param, grad, momentum_buffer=None, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
    maximize=False, first_step=False, n_threads=None,
):
    """One step of stochastic gradient descent, in place; see :func:`fasttrain.kernels.sgd_update`."""
    lr, momentum = float(lr), float(momentum)
    theta, g = start(param, grad, weight_decay=weight_decay, maximize=maximize)
    step = g
    if momentum != 0.0:
        b = np.array(momentum_buffer).view(Flushed)
        b = g if first_step else momentum * b + (1.0 - float(dampening)) * g
        step = g + momentum * b if nesterov else b
        momentum_buffer[...] = b
    param[...] = theta - lr * step


def adam_update(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq=None, *, step, lr, betas=(0.9, 0.999), eps=1e-8,
    weight_decay=0.0, decoupled_weight_decay=False, bias_correction=True, eps_mode="corrected", maximize=False,
    n_threads=None,
):
    """One step of Adam or AdamW, in place; see :func:`fasttrain.kernels.adam_update`."""
    (beta1, beta2), lr, eps = map(float, betas), float(lr), float(eps)
    correction1, root2 = 1.0, 1.0
    if bias_correction:
        correction1, root2 = correction(beta1, step), math.sqrt(correction(beta2, step))
    step_size = lr * root2 / correction1
    eps = not_flushed(eps if eps_mode == "uncorrected" else eps * root2, param.dtype)
    theta, g, m, v = start(
        param, grad, exp_avg, exp_avg_sq, weight_decay=weight_decay, maximize=maximize, lr=lr,
        decoupled=decoupled_weight_decay,
    )
    exp_avg[...] = m = moved(m, g, beta1)
    exp_avg_sq[...] = v = mean_square(v, g, beta2)
    if max_exp_avg_sq is not None:
        largest = np.array(max_exp_avg_sq).view(Flushed)
        max_exp_avg_sq[...] = v = select(v <= largest, largest, v)
    param[...] = theta - (step_size * m) / (np.sqrt(v) + eps)


def nadam_update(
    param, grad, exp_avg, exp_avg_sq, *, step, mu_product, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    momentum_decay=4e-3, decoupled_weight_decay=False, maximize=False, n_threads=None,
):
    """One step of NAdam, in place; see :func:`fasttrain.kernels.nadam_update`."""
    (beta1, beta2), lr, momentum_decay = map(float, betas), float(lr), float(momentum_decay)
    mu = beta1 * (1.0 - 0.5 * math.pow(0.96, step * momentum_decay))
    mu_next = beta1 * (1.0 - 0.5 * math.pow(0.96, (step + 1.0) * momentum_decay))
    mu_product = float(mu_product) * mu
    root2 = math.sqrt(correction(beta2, step))
    grad_step = lr * (1.0 - mu) / (1.0 - mu_product) * root2
    step_size = lr * mu_next / (1.0 - mu_product * mu_next) * root2
    eps = not_flushed(float(eps) * root2, param.dtype)
    theta, g, m, v = start(
        param, grad, exp_avg, exp_avg_sq, weight_decay=weight_decay, maximize=maximize, lr=lr,
        decoupled=decoupled_weight_decay,
    )
    exp_avg[...] = m = moved(m, g, beta1)
    exp_avg_sq[...] = v = mean_square(v, g, beta2)
    param[...] = theta - (grad_step * g + step_size * m) / (np.sqrt(v) + eps)
    return mu_product


def radam_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    decoupled_weight_decay=False, maximize=False, n_threads=None,
):
    """One step of RAdam, in place; see :func:`fasttrain.kernels.radam_update`."""
    (beta1, beta2), lr = map(float, betas), float(lr)
    root2 = math.sqrt(correction(beta2, step))
    rho_inf = 2.0 / (1.0 - beta2) - 1.0
    rho = rho_inf - 2.0 * step * math.pow(beta2, step) / (root2 * root2)
    step_size = lr / correction(beta1, step)
    if rho > 5.0:
        step_size *= root2 * math.sqrt((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))
    theta, g, m, v = start(
        param, grad, exp_avg, exp_avg_sq, weight_decay=weight_decay, maximize=maximize, lr=lr,
        decoupled=decoupled_weight_decay,
    )
    exp_avg[...] = m = moved(m, g, beta1)
    exp_avg_sq[...] = v = mean_square(v, g, beta2)
    change = step_size * m
    if rho > 5.0:
        change = change / (np.sqrt(v) + not_flushed(float(eps), param.dtype))
    param[...] = theta - change


def adamax_update(
    param, grad, exp_avg, exp_inf, *, step, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False,
    n_threads=None,
):
    """One step of Adamax, in place; see :func:`fasttrain.kernels.adamax_update`."""
    beta1, beta2 = map(float, betas)
    step_size = float(lr) / correction(beta1, step)
    theta, g, m, largest = start(param, grad, exp_avg, exp_inf, weight_decay=weight_decay, maximize=maximize)
    size = np.abs(g) + not_flushed(float(eps), param.dtype)
    largest = beta2 * largest
    exp_avg[...] = m = moved(m, g, beta1)
    exp_inf[...] = largest = select(size <= largest, largest, size)
    param[...] = theta - (step_size * m) / largest


def adagrad_update(
    param, grad, sum, *, step, lr, lr_decay=0.0, weight_decay=0.0, eps=1e-10, maximize=False, n_threads=None,
):
    """One step of Adagrad, in place; see :func:`fasttrain.kernels.adagrad_update`."""
    step_size = float(lr) / (1.0 + (step - 1.0) * float(lr_decay))
    theta, g, squares = start(param, grad, sum, weight_decay=weight_decay, maximize=maximize)
    sum[...] = squares = squares + g * g
    param[...] = theta - (step_size * g) / (np.sqrt(squares) + not_flushed(float(eps), param.dtype))


def rmsprop_update(
    param, grad, square_avg, grad_avg=None, momentum_buffer=None, *, lr, alpha=0.99, eps=1e-8, weight_decay=0.0,
    momentum=0.0, eps_mode="outside", maximize=False, n_threads=None,
):
    """One step of RMSprop, in place; see :func:`fasttrain.kernels.rmsprop_update`."""
    lr, alpha, momentum = float(lr), float(alpha), float(momentum)
    eps = not_flushed(float(eps), param.dtype)
    theta, g, v = start(param, grad, square_avg, weight_decay=weight_decay, maximize=maximize)
    square_avg[...] = v = mean_square(v, g, alpha)
    if grad_avg is not None:
        grad_avg[...] = mean = moved(np.array(grad_avg).view(Flushed), g, alpha)
        v = v - mean * mean
        v = select(v < 0.0, np.zeros_like(v), v)
    root = np.sqrt(v + eps) if eps_mode == "inside" else np.sqrt(v) + eps
    if momentum == 0.0:
        param[...] = theta - (lr * g) / root
    else:
        momentum_buffer[...] = b = momentum * np.array(momentum_buffer).view(Flushed) + g / root
        param[...] = theta - lr * b


def adadelta_update(
    param, grad, square_avg, acc_delta, *, lr, rho=0.9, eps=1e-6, weight_decay=0.0, maximize=False, n_threads=None,
):
    """One step of Adadelta, in place; see :func:`fasttrain.kernels.adadelta_update`."""
    rho, eps = float(rho), not_flushed(float(eps), param.dtype)
    theta, g, v, deltas = start(param, grad, square_avg, acc_delta, weight_decay=weight_decay, maximize=maximize)
    square_avg[...] = v = mean_square(v, g, rho)
    delta = np.sqrt(deltas + eps) / np.sqrt(v + eps) * g
    acc_delta[...] = mean_square(deltas, delta, rho)
    param[...] = theta - float(lr) * delta


def lion_update(
    param, grad, exp_avg, *, lr, betas=(0.9, 0.99), weight_decay=0.0, maximize=False, n_threads=None,
):
    """One step of Lion, in place; see :func:`fasttrain.kernels.lion_update`."""
    (beta1, beta2), lr = map(float, betas), float(lr)
    theta, g, m = start(param, grad, exp_avg, weight_decay=weight_decay, maximize=maximize, lr=lr, decoupled=True)
    direction = m + (1.0 - beta1) * (g - m)
    exp_avg[...] = moved(m, g, beta2)
    param[...] = theta - lr * np.sign(direction)  # a product by one: not rounded


def schedule_free_update(
    param, grad, z, exp_avg_sq, *, step, weight_sum, lr_max, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    warmup_steps=0.0, r=0.0, weight_lr_power=2.0, maximize=False, n_threads=None,
):
    """One step of schedule-free AdamW, in place; see :func:`fasttrain.kernels.schedule_free_update`."""
    (beta1, beta2), lr, step = map(float, betas), float(lr), float(step)
    if step <= warmup_steps:
        lr *= step / float(warmup_steps)
    lr_max = max(float(lr_max), lr)
    weight = power(step, r) * power(lr_max, weight_lr_power)
    weight_sum = float(weight_sum) + weight
    share = weight / weight_sum if weight_sum > 0.0 else 0.0  # of the newest point in the average
    root2 = math.sqrt(correction(beta2, step))
    eps = not_flushed(float(eps) * root2, param.dtype)
    y, g, point, v = start(param, grad, z, exp_avg_sq, weight_decay=0.0, maximize=maximize)
    exp_avg_sq[...] = v = mean_square(v, g, beta2)
    # the root's correction goes into both steps, so the decay beside the gradient takes it back
    change = g / (np.sqrt(v) + eps) + (float(weight_decay) / root2) * y
    y = point + (1.0 - share) * (y - point) if share >= 0.5 else y + share * (point - y)
    param[...] = y - (lr * (1.0 - beta1 * (1.0 - share)) * root2) * change
    z[...] = point - (lr * root2) * change
    return weight_sum, lr_max


def average_update(average, value, *, decay, n_threads=None):
    """Let a running mean take in a value, in place; see :func:`fasttrain.kernels.average_update`."""
    mean, new = start(average, value, weight_decay=0.0, maximize=False)
    average[...] = moved(mean, new, float(decay))
