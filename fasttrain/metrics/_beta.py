"""Quantiles of the beta distribution, which exact intervals of proportions are made of.

In the variable ``t = log(x / (1 - x))`` the density is smooth and log-concave on the whole line, for any a and b:
with its mode at ``log(a / b)``, ``m = min(a, b)``, ``r = m / (a + b)`` and ``w`` the distance to the right of the
mode where ``a <= b``, else to the left,

    log density(t) = log density(mode) + m w - (a + b) log1p(r expm1(w)).

Nothing here is larger than about sqrt(m) where the density matters, so little is lost however many trials there are.
The integral up to t is one double-exponential quadrature (Takahasi & Mori 1974), with the same few nodes whatever a
and b are, where the usual continued fraction takes sqrt(a + b) steps.  The logarithm of the integral is concave in t,
so Newton's method finds a quantile from any start, and from the left after the first step.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["beta_quantile"]

_Array = NDArray[np.float64]

# y = exp(v - exp(-v)) and dy of the quadrature of an integrand that falls from y = 0 on at least as exp(-y) does
_STEP = 1.0 / 16.0
_V = np.arange(-3.75, 4.5, _STEP)
_Y = np.exp(_V - np.exp(-_V))
_DY = _STEP * _Y * (1.0 + np.exp(-_V))

# B_2k / (2k (2k - 1)), of Stirling's series
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)

# quantiles found at a time, so that their nodes stay in the cache
_BLOCK = 256
_MOST_STEPS = 60


def _stirling_error(a: _Array) -> _Array:
    """``lgamma(a) - (a - 1/2) log(a) + a - log(2 pi) / 2`` for a of at least 1."""
    error = np.zeros_like(a)
    for _ in range(8):
        error += (a + 0.5) * np.log1p(1.0 / a) - 1.0
        a = a + 1.0
    series = np.zeros_like(a)
    for coefficient in reversed(_STIRLING):
        series = series / (a * a) + coefficient
    return error + series / a


class _Density:
    """The density of t, of ``a`` and ``b`` of shape (n_values,) and at least 1; ``u`` is t less its mode."""

    def __init__(self, a: _Array, b: _Array) -> None:
        total = a + b
        self.a, self.b, self.total = a, b, total
        self.smaller = np.minimum(a, b)
        self.sign = np.where(a <= b, 1.0, -1.0)
        self.log_mode = 0.5 * np.log(a / total * b / (2.0 * math.pi)) + (
            _stirling_error(total) - _stirling_error(a) - _stirling_error(b)
        )

    def log_ratio(self, u: _Array) -> _Array:
        """log(density / density at the mode), of shape (n_values, ...)."""
        shape = (-1,) + (1,) * (u.ndim - 1)
        smaller, total = self.smaller.reshape(shape), self.total.reshape(shape)
        w = self.sign.reshape(shape) * u
        with np.errstate(over="ignore"):  # to infinity, where the density is 0
            return smaller * w - total * np.log1p(smaller / total * np.expm1(w))

    def tail(self, u: _Array, side: _Array) -> tuple[_Array, _Array]:
        """(log of the integral beyond u, that integral over the density at u).

        side: -1 for all below u, 1 for all above.  Not for u many standard deviations on the other side.
        """
        # the slope and the curvature of the log density at u
        x = self.share(u)
        slope = np.abs(self.total * (self.a / self.total - x))
        scale = 1.0 / (0.5 * slope + np.sqrt(self.total * x * self.share(-u, -1)))
        at_u = self.log_ratio(u)
        nodes = u[:, np.newaxis] + (side * scale)[:, np.newaxis] * _Y
        over_density = scale * (np.exp(self.log_ratio(nodes) - at_u[:, np.newaxis]) * _DY).sum(axis=1)
        return self.log_mode + at_u + np.log(over_density), over_density

    def share(self, u: _Array, sign: int = 1) -> _Array:
        """x at u, or 1 - x at -u for the sign -1: each to its own last digits."""
        a, b = (self.a, self.b) if sign == 1 else (self.b, self.a)
        with np.errstate(over="ignore"):
            return 1.0 / (1.0 + b / a * np.exp(-u))


def beta_quantile(tail: float, a: Any, b: Any) -> tuple[_Array, _Array]:
    """x with ``I_x(a, b) = tail``, and 1 - x to its own last digits.

    Parameters
    ----------
    tail : float
        Above 0 and at most a half.  Of a greater one, exchange a and b, and x and 1 - x.
    a, b : ndarray of shape (n_values,)
        At least 1.

    Returns
    -------
    x, complement : float64 ndarray of shape (n_values,)

    Examples
    --------
    >>> from fasttrain.metrics._beta import beta_quantile
    >>> x, complement = beta_quantile(0.025, [1, 5], [10, 6])
    >>> x.round(6).tolist(), complement.round(6).tolist()
    ([0.002529, 0.187086], [0.997471, 0.812914])
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    x, complement = np.empty(len(a)), np.empty(len(a))
    for begin in range(0, len(a), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        x[block], complement[block] = _quantiles(tail, a[block], b[block])
    return x, complement


def _quantiles(tail: float, a: _Array, b: _Array) -> tuple[_Array, _Array]:
    density = _Density(a, b)
    log_tail, below = math.log(tail), np.full(len(a), -1.0)
    u = -math.sqrt(-2.0 * log_tail) * np.sqrt(1.0 / a + 1.0 / b)
    found = np.zeros(len(a), dtype=bool)
    for _ in range(_MOST_STEPS):
        log_integral, over_density = density.tail(u, below)
        step = (log_tail - log_integral) * over_density
        # what is found stays, so that it does not depend on its neighbours
        u = np.where(found, u, u + step)
        # it converges quadratically: after a step so small there is nothing left
        found |= np.abs(step) < 1e-9 * np.minimum(1.0, over_density)
        if found.all():
            break
    return density.share(u), density.share(-u, -1)
