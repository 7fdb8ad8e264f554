"""Elementary functions in numpy.longdouble, for tests of float64: accurate where longdouble has 64 bits or more."""
import numpy as np
import pytest

requires_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="numpy.longdouble is no wider than float64 here"
)
_SQRT_PI = np.sqrt(np.longdouble("3.14159265358979323846264338327950288"))


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x > 0, np.longdouble(1), e) / (1 + e)


def _exp_of_minus_square(x, factor=1):
    # x^2 in two parts: the square of x's leading 24 bits is exact
    high = x.astype(np.float32).astype(np.longdouble)
    return np.exp(-high * high * factor) * np.exp((high - x) * (x + high) * factor)


def _erf_series(x):
    """2 / sqrt(pi) e^(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!, all terms positive; for 0 <= x <= 1."""
    term = x.copy()
    total = x.copy()
    for n in range(1, 40):
        term = term * (2 * x * x) / (2 * n + 1)
        total += term
    return total * 2 / _SQRT_PI * _exp_of_minus_square(x)


def _erfc_fraction(x):
    """e^(-x^2) / sqrt(pi) / (x + 1/2 / (x + 2/2 / (x + 3/2 / ...))); for x >= 1."""
    tail = x.copy()
    for n in range(400, 0, -1):
        tail = x + np.longdouble(n) / 2 / tail
    return _exp_of_minus_square(x) / _SQRT_PI / tail


def _erf_and_erfc(x):
    magnitude = np.minimum(np.abs(x), 120)  # where both are constant in every dtype under test
    near = magnitude <= 1
    series = _erf_series(np.where(near, magnitude, 0))
    fraction = _erfc_fraction(np.where(near, 1, magnitude))
    upper = np.where(near, 1 - series, fraction)
    return np.copysign(np.where(near, series, 1 - fraction), x), np.where(x < 0, 2 - upper, upper)


def erf(x):
    return _erf_and_erfc(x)[0]


def erfc(x):
    return _erf_and_erfc(x)[1]


def normal_cdf(x):
    return erfc(-x / np.sqrt(np.longdouble(2))) / 2


def normal_density(x):
    return _exp_of_minus_square(x, np.longdouble(0.5)) / (_SQRT_PI * np.sqrt(np.longdouble(2)))
