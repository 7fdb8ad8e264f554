"""Activations and their gradients."""
import numpy as np
import pytest

from fasttrain import kernels, reference
from fasttrain.kernels.vector_math import ACTIVATIONS
from tests import tolerances
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, ulp_distance
from tests.kernels import wide

SAVES_INPUT = ("gelu", "silu")
# Elements of a piece in vector_math.pyx.
PIECE = 32768


def forward(z, activation, **options):
    return kernels.activation_forward(z, activation=activation, **options)


def backward(grad, saved, activation, **options):
    return kernels.activation_backward(grad, saved, activation=activation, **options)


def saved_of(z, activation):
    return z if activation in SAVES_INPUT else forward(z, activation)


def sample(dtype, shape=(61, 37)):
    rng = np.random.default_rng(5)
    z = rng.normal(size=shape) * rng.choice([0.01, 1.0, 5.0, 30.0], size=shape)
    return z.astype(dtype)


def exact(z, activation):
    """f(z) in longdouble, from its definition."""
    z = z.astype(np.longdouble)
    with np.errstate(all="ignore"):
        return {
            "identity": lambda: z,
            "relu": lambda: np.maximum(z, 0),
            "leaky_relu": lambda: np.where(z > 0, z, np.longdouble(np.float64(0.01)) * z),
            "tanh": lambda: np.tanh(z),
            "sigmoid": lambda: wide.sigmoid(z),
            "gelu": lambda: z * wide.normal_cdf(z),
            "silu": lambda: z * wide.sigmoid(z),
            "softplus": lambda: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
            "elu": lambda: np.where(z > 0, z, np.expm1(z)),
        }[activation]()


def exact_slope(z, activation):
    """f'(z) in longdouble for the two that save z, and the size of the terms that it is the sum of."""
    z = z.astype(np.longdouble)
    if activation == "gelu":
        terms = wide.normal_cdf(z), z * wide.normal_density(z)
    else:
        s = wide.sigmoid(z)
        terms = s, z * s * wide.sigmoid(-z)
    return terms[0] + terms[1], np.abs(terms[0]) + np.abs(terms[1])


@pytest.mark.parametrize(
    ("activation", "z", "y"),
    [("identity", -2.5, -2.5), ("relu", -2.5, 0.0), ("relu", 2.5, 2.5), ("leaky_relu", -2.5, -0.025),
     ("tanh", np.log(2.0), 0.6), ("sigmoid", np.log(3.0), 0.75), ("gelu", 0.0, 0.0),
     ("gelu", 1.0, 0.8413447460685429), ("gelu", -1.0, -0.15865525393145707), ("silu", np.log(3.0), 0.75 * np.log(3.0)),
     ("softplus", 0.0, np.log(2.0)), ("elu", np.log(0.25), -0.75), ("elu", 2.0, 2.0)],
)
def test_closed_form(activation, z, y):
    assert forward(np.array([[z]]), activation)[0, 0] == pytest.approx(y, rel=1e-15, abs=1e-300)


@wide.requires_longdouble
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_exact_to_the_last_places(activation, dtype):
    # the lower tails reach the subnormal numbers, the upper ones are z itself
    low = -110.0 if dtype == np.float32 else -760.0
    tail = np.concatenate([np.linspace(low, 30, 6000), np.linspace(-16, 1, 6000), np.linspace(-40, -35, 1500)])
    for z in (sample(dtype), tail.astype(dtype)[None, :]):
        distance = ulp_distance(forward(z, activation), exact(z, activation))
        assert distance.max() <= tolerances.ULP_TRANSCENDENTAL, z.ravel()[distance.argmax()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_agrees_with_the_reference(activation):
    z = sample(np.float32)
    distance = ulp_distance(forward(z, activation), reference.activation_forward(z, activation=activation))
    assert distance.max() <= tolerances.ULP_TRANSCENDENTAL


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_agrees_with_the_reference(activation, dtype):
    z = sample(dtype)
    saved = saved_of(z, activation)
    grad = np.random.default_rng(6).normal(size=z.shape).astype(dtype)
    actual = backward(grad, saved, activation)
    if activation in SAVES_INPUT:
        # two terms of opposite sign that cancel at one z: the error is measured by their size; in the reference's
        # float64 the tail's argument is rounded, so wider numbers are used
        slope, size = exact_slope(z, activation)
        bound = 4 * np.finfo(dtype).eps * np.abs(grad) * size + 4 * np.finfo(dtype).smallest_subnormal
        assert (np.abs(actual - grad * slope) <= bound).all()
    else:
        expected = reference.activation_backward(grad, saved, activation=activation)
        assert ulp_distance(actual, expected).max() <= tolerances.ULP_TRANSCENDENTAL


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_agrees_with_differences(activation):
    z = np.linspace(-6.05, 6.05, 122)[None, :]  # no point within the steps' reach of a kink
    h = tolerances.GRADIENT_STEP * np.maximum(1.0, np.abs(z))
    values = [forward(z + offset * h, activation) for offset in (-2, -1, 1, 2)]
    slope = (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * h)
    actual = backward(np.ones_like(z), saved_of(z, activation), activation)
    np.testing.assert_allclose(actual, slope, rtol=tolerances.GRADIENT_RTOL, atol=tolerances.GRADIENT_ATOL)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_agrees_with_torch(activation, dtype):
    torch = pytest.importorskip("torch", reason="torch is a test extra")
    function = {
        "identity": lambda t: t * 1, "relu": torch.relu, "leaky_relu": torch.nn.functional.leaky_relu,
        "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": torch.nn.functional.gelu,
        "silu": torch.nn.functional.silu, "softplus": torch.nn.functional.softplus, "elu": torch.nn.functional.elu,
    }[activation]
    # torch's softplus is z itself beyond 20, and its gelu loses the far tail: the range where it is exact
    z = np.concatenate([np.linspace(-5, 15, 400), [0.0]]).astype(dtype)[None, :]
    grad = np.linspace(-1, 1, z.size).astype(dtype)[None, :]
    tensor = torch.tensor(z, requires_grad=True)
    y = function(tensor)
    y.backward(torch.tensor(grad))
    # atol: torch's own errors where gelu and softplus are small, by 1 + erf and by log1p(exp(z))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(forward(z, activation), y.detach().numpy(), rtol=8 * eps, atol=4 * eps)
    actual = backward(grad, saved_of(z, activation), activation)
    np.testing.assert_allclose(actual, tensor.grad.numpy(), rtol=16 * eps, atol=8 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_special_values(activation, dtype):
    z = np.array([[np.nan, np.inf, -np.inf, 0.0]], dtype)
    at_minus_infinity = {"identity": -np.inf, "leaky_relu": -np.inf, "tanh": -1.0, "elu": -1.0}.get(activation, 0.0)
    at_infinity = 1.0 if activation in ("tanh", "sigmoid") else np.inf
    at_zero = {"sigmoid": 0.5, "softplus": dtype(np.log(2.0))}.get(activation, 0.0)
    np.testing.assert_array_equal(forward(z, activation), np.array([[np.nan, at_infinity, at_minus_infinity, at_zero]]))


@pytest.mark.parametrize(
    ("activation", "slope"), [("relu", 0.0), ("leaky_relu", 0.01), ("elu", 1.0), ("gelu", 0.5), ("silu", 0.5)]
)
def test_slope_at_zero(activation, slope):
    z = np.zeros((1, 1))
    assert backward(np.ones((1, 1)), saved_of(z, activation), activation)[0, 0] == slope


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rows_apart_and_in_place(activation, dtype):
    for n_columns in SIZES:
        z = sample(dtype, (5, n_columns))
        grad = sample(dtype, (5, n_columns))[::-1].copy()
        y, delta = forward(z, activation), backward(grad, saved_of(z, activation), activation)

        frame = np.full((10, n_columns + 3), 7.0, dtype)
        window = frame[::2, 1 : n_columns + 1]
        window[...] = z
        assert forward(window, activation, out=window) is window
        np.testing.assert_array_equal(window, y)
        window[...] = grad
        saved = np.full((5, n_columns + 2), 9.0, dtype)[:, 2:]
        saved[...] = saved_of(z, activation)
        assert backward(window, saved, activation, out=window) is window
        np.testing.assert_array_equal(window, delta)
        frame[::2, 1 : n_columns + 1] = 7.0
        assert (frame == 7.0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_threads_give_the_same_bits(activation, dtype):
    for z in (sample(dtype, (3, PIECE + 5)), sample(dtype, (2 * PIECE // 96, 101))[:, :96]):
        saved = saved_of(z, activation)
        assert saved.shape == z.shape
        for n_threads in THREAD_COUNTS:
            y = forward(z, activation, n_threads=n_threads)
            delta = backward(z, saved, activation, n_threads=n_threads)
            if n_threads == 1:
                first = y, delta
            np.testing.assert_array_equal(y, first[0])
            np.testing.assert_array_equal(delta, first[1])


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_empty(shape):
    z = np.empty(shape)
    for activation in ACTIVATIONS:
        assert forward(z, activation).shape == shape
        assert backward(z, z, activation).shape == shape


def test_bad_arguments():
    z = np.linspace(-1, 1, 12).reshape(3, 4)
    before = z.copy()
    with pytest.raises(ValueError, match=r"activation must be one of 'identity', 'relu', .*got 'swish'"):
        forward(z, "swish")
    with pytest.raises(TypeError, match=r"activation must be one of .*got 3"):
        forward(z, 3)
    with pytest.raises(ValueError, match=r"z must have 2 dimension\(s\), got shape \(12,\)"):
        forward(z.ravel(), "relu")
    with pytest.raises(TypeError, match="z must have dtype float32 or float64, got int64"):
        forward(np.ones((2, 2), np.int64), "relu")
    with pytest.raises(ValueError, match="the rows of z must be contiguous"):
        forward(z.T, "relu")
    with pytest.raises(ValueError, match="the rows of z must be contiguous and in rising order"):
        forward(z[::-1], "relu")
    with pytest.raises(ValueError, match=r"out must have shape \(3, 4\), got \(4, 3\)"):
        forward(z, "relu", out=np.empty((4, 3)))
    with pytest.raises(ValueError, match="out must not overlap z"):
        forward(z[:2], "relu", out=z[1:])
    with pytest.raises(ValueError, match="out must be writeable"):
        forward(z, "relu", out=np.broadcast_to(np.float64(1), (3, 4)))
    with pytest.raises(TypeError, match="saved must have the dtype of grad_output, float64, got float32"):
        backward(z, z.astype(np.float32), "relu")
    with pytest.raises(ValueError, match=r"saved must have shape \(3, 4\), got \(2, 4\)"):
        backward(z, z[:2], "relu")
    with pytest.raises(ValueError, match="out must not overlap saved"):
        backward(np.ones_like(z), z, "relu", out=z)
    np.testing.assert_array_equal(z, before)
