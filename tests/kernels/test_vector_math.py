"""Elementary functions: the bound of 2 ULP, special values, and how arrays are treated."""
import inspect
import math

import numpy as np
import pytest

from fasttrain import kernels, reference
from fasttrain.kernels import vector_math
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, ulp_distance
from tests.kernels import wide

NAMES = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "erfc")
MAX_ULP = 2.0
PIECE = 32768  # elements of a piece in vector_math.pyx

# Where a function is neither constant nor undefined, in float32 and float64.
DOMAINS = {
    "exp": ((-105.0, 89.0), (-746.0, 710.0)),
    "expm1": ((-18.0, 89.0), (-38.0, 710.0)),
    "log": ((0.0, 20.0), (0.0, 20.0)),
    "log1p": ((-1.0, 20.0), (-1.0, 20.0)),
    "tanh": ((-10.0, 10.0), (-20.0, 20.0)),
    "sigmoid": ((-105.0, 20.0), (-746.0, 40.0)),
    "erf": ((-4.5, 4.5), (-6.5, 6.5)),
    "erfc": ((-4.5, 10.2), (-6.5, 27.3)),
}
WIDE = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh,
    "sigmoid": wide.sigmoid, "erf": wide.erf, "erfc": wide.erfc,
}


def every_exponent(dtype, mantissas, rng):
    """Both signs, every exponent (zero, subnormal, infinity and NaN among them), `mantissas` of each."""
    unsigned, mantissa_bits = (np.uint32, 23) if dtype == np.float32 else (np.uint64, 52)
    high = np.arange(2 ** (8 * np.dtype(dtype).itemsize - mantissa_bits), dtype=unsigned)[:, None]
    low = rng.integers(0, 2**mantissa_bits, size=(high.size, mantissas), dtype=unsigned)
    low[:, :2] = (0, 2**mantissa_bits - 1)
    return ((high << unsigned(mantissa_bits)) | low).view(dtype).ravel()


def points(name, dtype, mantissas, n_domain):
    rng = np.random.default_rng(20240601)
    low, high = DOMAINS[name][0 if dtype == np.float32 else 1]
    return np.concatenate([
        every_exponent(dtype, mantissas, rng),
        rng.uniform(low, high, n_domain).astype(dtype),
        rng.uniform(-1.5, 1.5, n_domain).astype(dtype),
    ])


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_within_two_ulp(name):
    x = points(name, np.float32, 1024, 500_000)
    with np.errstate(all="ignore"):
        if name in ("erf", "erfc"):
            function = getattr(math, name)
            expected = np.fromiter(map(function, x.tolist()), np.float64, x.size)
        else:
            expected = WIDE[name](x.astype(np.float64))
        distance = ulp_distance(getattr(kernels, name)(x), expected)
    assert distance.max() <= MAX_ULP, x[distance.argmax()].hex()


@wide.requires_longdouble
@pytest.mark.parametrize("name", NAMES)
def test_float64_is_within_two_ulp(name):
    few = name in ("erf", "erfc")  # their longdouble versions take hundreds of terms
    x = points(name, np.float64, 4 if few else 32, 20_000 if few else 200_000)
    with np.errstate(all="ignore"):
        expected = WIDE[name](x.astype(np.longdouble))
        distance = ulp_distance(getattr(kernels, name)(x), expected)
    assert distance.max() <= MAX_ULP, x[distance.argmax()].hex()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name, dtype):
    inf, nan = np.inf, np.nan
    tiny = np.finfo(dtype).smallest_subnormal
    arguments = np.array([0.0, -0.0, inf, -inf, nan, tiny, -tiny, -1.0], dtype)
    expected = {
        "exp": [1, 1, inf, 0, nan, 1, 1, None],
        "expm1": [0.0, -0.0, inf, -1, nan, tiny, -tiny, None],
        "log": [-inf, -inf, inf, nan, nan, None, nan, nan],
        "log1p": [0.0, -0.0, inf, nan, nan, tiny, -tiny, -inf],
        "tanh": [0.0, -0.0, 1, -1, nan, tiny, -tiny, None],
        "sigmoid": [0.5, 0.5, 1, 0, nan, 0.5, 0.5, None],
        "erf": [0.0, -0.0, 1, -1, nan, tiny, -tiny, None],
        "erfc": [1, 1, 0, 2, nan, 1, 1, None],
    }[name]
    actual = getattr(kernels, name)(arguments)
    for x, y, wanted in zip(arguments, actual, expected, strict=True):
        if wanted is not None:
            np.testing.assert_equal(y, dtype(wanted), err_msg=f"{name}({x})")
            assert math.isnan(wanted) or np.signbit(y) == np.signbit(dtype(wanted)), f"{name}({x}) = {y}"


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [("exp", 1.0, math.e), ("expm1", 1.0, math.e - 1), ("log", 8.0, 3 * math.log(2)), ("log1p", 1.0, math.log(2)),
     ("tanh", math.log(2), 0.6), ("sigmoid", math.log(3), 0.75), ("erf", 0.5, 0.5204998778130465),
     ("erfc", 5.0, 1.5374597944280349e-12)],
)
def test_closed_form(name, argument, expected):
    assert getattr(kernels, name)(np.array([argument]))[0] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_and_symmetry(dtype):
    x = np.concatenate([np.linspace(-30, 30, 20_001), np.linspace(-800, 800, 1_001)]).astype(dtype)
    for name, low, high in (("tanh", -1, 1), ("erf", -1, 1), ("sigmoid", 0, 1), ("erfc", 0, 2), ("expm1", -1, np.inf)):
        y = getattr(kernels, name)(x)
        assert y.min() >= low and y.max() <= high
    for name in ("tanh", "erf"):
        np.testing.assert_array_equal(getattr(kernels, name)(-x), -getattr(kernels, name)(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_value_does_not_depend_on_its_place(name, dtype):
    x = np.random.default_rng(1).uniform(0.01, 3.0, 128).astype(dtype)
    function = getattr(kernels, name)
    whole = function(x)
    for n in SIZES:
        out = np.full(n + 2, 7.0, dtype)
        result = function(x[:n], out=out[1 : n + 1])
        assert np.shares_memory(result, out) or n == 0
        np.testing.assert_array_equal(result, whole[:n])
        assert out[0] == 7.0 and out[-1] == 7.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_in_place_and_any_shape(name, dtype):
    x = np.random.default_rng(2).uniform(0.01, 3.0, (3, 5, 7)).astype(dtype)
    expected = getattr(reference, name)(x)
    y = getattr(kernels, name)(x)
    assert y.shape == x.shape and y.dtype == dtype
    assert ulp_distance(y, expected).max() <= MAX_ULP + 0.5  # the reference is rounded
    assert getattr(kernels, name)(x, out=x) is x
    np.testing.assert_array_equal(x, y)
    scalar = np.array(0.5, dtype)
    assert getattr(kernels, name)(scalar).shape == ()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_threads_give_the_same_bits(name, dtype):
    x = np.random.default_rng(3).uniform(0.01, 3.0, 3 * PIECE + 17).astype(dtype)
    results = [getattr(kernels, name)(x, n_threads=n) for n in THREAD_COUNTS]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    np.testing.assert_array_equal(results[0][-20:], getattr(kernels, name)(x[-20:].copy()))


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments(name):
    function = getattr(kernels, name)
    x = np.linspace(0.1, 1.0, 12)
    before = x.copy()
    with pytest.raises(TypeError, match=r"x must be a numpy\.ndarray, got list"):
        function([1.0])
    with pytest.raises(TypeError, match="x must have dtype float32 or float64, got int64"):
        function(np.arange(3, dtype=np.int64))
    with pytest.raises(ValueError, match="native byte order"):
        function(x.astype(x.dtype.newbyteorder()))
    with pytest.raises(ValueError, match="x must be C-contiguous"):
        function(x[::2])
    with pytest.raises(ValueError, match="x must be C-contiguous"):
        function(x[::-1])
    with pytest.raises(ValueError, match="x must be C-contiguous"):
        function(np.asfortranarray(x.reshape(3, 4)))
    with pytest.raises(TypeError, match="out must have the dtype of x, float64, got float32"):
        function(x, out=np.empty(12, np.float32))
    with pytest.raises(ValueError, match=r"out must have the shape of x, \(12,\), got \(3, 4\)"):
        function(x, out=np.empty((3, 4)))
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        function(x, out=np.empty(24)[::2])
    with pytest.raises(ValueError, match="out must not overlap x"):
        function(x[:-1], out=x[1:])
    with pytest.raises(ValueError, match="n_threads must be between 1 and"):
        function(x, n_threads=0)
    read_only = np.empty(12)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writeable"):
        function(x, out=read_only)
    np.testing.assert_array_equal(x, before)


def test_a_read_only_input_is_fine():
    x = np.linspace(0.1, 1.0, 12)
    x.flags.writeable = False
    np.testing.assert_array_equal(kernels.exp(x), kernels.exp(x.copy()))


@pytest.mark.parametrize("name", [*NAMES, "activation_forward", "activation_backward"])
def test_twins_have_the_same_signature(name):
    assert inspect.signature(getattr(kernels, name)) == inspect.signature(getattr(reference, name))
    assert name in kernels.__all__ and name in reference.__all__


def test_the_names_of_activations_agree():
    assert vector_math.ACTIVATIONS == reference.vector_math.ACTIVATIONS
