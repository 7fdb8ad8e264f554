"""Elementary functions and activations in plain NumPy: the twins of fasttrain.kernels.vector_math.

Everything is computed in float64 and rounded to the dtype of the input once, at the end.
"""
import math

import numpy as np

ACTIVATIONS = ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "elu")


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x > 0, 1.0, e) / (1.0 + e)


def _erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _erfc(x):
    return np.vectorize(math.erfc, otypes=[np.float64])(x)


def _apply(function, x, out):
    with np.errstate(all="ignore"):
        result = np.asarray(function(x.astype(np.float64))).astype(x.dtype)
    if out is None:
        return result
    out[...] = result
    return out


def exp(x, out=None, *, n_threads=None):
    """e^x."""
    return _apply(np.exp, x, out)


def expm1(x, out=None, *, n_threads=None):
    """e^x - 1."""
    return _apply(np.expm1, x, out)


def log(x, out=None, *, n_threads=None):
    """Natural logarithm."""
    return _apply(np.log, x, out)


def log1p(x, out=None, *, n_threads=None):
    """Natural logarithm of 1 + x."""
    return _apply(np.log1p, x, out)


def tanh(x, out=None, *, n_threads=None):
    """Hyperbolic tangent."""
    return _apply(np.tanh, x, out)


def sigmoid(x, out=None, *, n_threads=None):
    """1 / (1 + e^-x)."""
    return _apply(_sigmoid, x, out)


def erf(x, out=None, *, n_threads=None):
    """Error function."""
    return _apply(_erf, x, out)


def erfc(x, out=None, *, n_threads=None):
    """1 - erf(x)."""
    return _apply(_erfc, x, out)


# ---- activations: f(z), and f' of what backward saves (z for gelu and silu, y for the others) -----------

def _normal_cdf(z):
    return 0.5 * _erfc(-z / math.sqrt(2.0))


def _gelu(z):
    return np.where(z == -np.inf, 0.0, z * _normal_cdf(z))


def _gelu_slope(z):
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return _normal_cdf(z) + np.where(np.isinf(z), 0.0, z * density)


def _silu(z):
    return np.where(z == -np.inf, 0.0, z * _sigmoid(z))


def _silu_slope(z):
    s = _sigmoid(z)
    return s + np.where(np.isinf(z), 0.0, z * s * _sigmoid(-z))


_FORWARD = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "gelu": _gelu,
    "silu": _silu,
    "softplus": lambda z: np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
}

_SLOPE = {
    "identity": lambda y: np.ones_like(y),
    "relu": lambda y: np.where(y <= 0, 0.0, 1.0),
    "leaky_relu": lambda y: np.where(y > 0, 1.0, 0.01),
    "tanh": lambda y: (1.0 - y) * (1.0 + y),
    "sigmoid": lambda y: y * (1.0 - y),
    "gelu": _gelu_slope,
    "silu": _silu_slope,
    "softplus": lambda y: -np.expm1(-y),
    "elu": lambda y: np.where(y > 0, 1.0, y + 1.0),
}


def activation_forward(z, out=None, *, activation, n_threads=None):
    """y = f(z)."""
    return _apply(_FORWARD[activation], z, out)


def activation_backward(grad_output, saved, out=None, *, activation, n_threads=None):
    """grad_output f'(z), f' from saved: z for gelu and silu, y for the others."""
    if activation == "relu":
        # nothing passes, not even NaN
        return _apply(lambda grad: np.where(saved <= 0, 0.0, grad), grad_output, out)
    slope = _SLOPE[activation]
    return _apply(lambda grad: grad * slope(saved.astype(np.float64)), grad_output, out)
