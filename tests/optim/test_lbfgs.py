"""L-BFGS and OWL-QN: closed forms, scipy's optimum and evaluations, the conditions of an L1 minimum."""
import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest

from fasttrain.kernels import linear_value_and_grad
from fasttrain.optim import LBFGSResult, minimize_lbfgs
from tests.helpers import DTYPES, THREAD_COUNTS

DATA = Path(__file__).parents[3] / "shared" / "data"


def quadratic(matrix, b, counter=None):
    """x -> (x.A x / 2 - b.x, its gradient), for x of the shape of b."""

    def value_and_grad(x):
        if counter is not None:
            counter.append(x.copy())
        product = (matrix @ x.ravel()).reshape(x.shape)
        return 0.5 * np.sum(x * product) - np.sum(b * x), product - b

    return value_and_grad


def rosenbrock(x):
    grad = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    grad[1:] += 200 * inner
    grad[:-1] += -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    return float(np.sum(100 * inner**2 + (1 - x[:-1]) ** 2)), grad


def logistic(X, y, l2=0.0, loss="binary_cross_entropy", **settings):
    return lambda theta: linear_value_and_grad(
        X, y, theta, loss=loss, reduction="mean", intercept=True, l2=l2, **settings
    )


def problem(n_rows=300, n_features=8, dtype=np.float64):
    random = np.random.default_rng(0)
    X = random.standard_normal((n_rows, n_features))
    y = X @ random.standard_normal(n_features) + 2 * random.standard_normal(n_rows) > 0.5
    return X.astype(dtype), y.astype(dtype)


# ---- closed forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_quadratic(n):
    random = np.random.default_rng(n)
    root = random.standard_normal((n, n))
    matrix, b = root @ root.T + np.eye(n), random.standard_normal(n)
    result = minimize_lbfgs(quadratic(matrix, b), np.zeros(n), gtol=1e-10, ftol=0, history_size=n)
    np.testing.assert_allclose(result.x, np.linalg.solve(matrix, b), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(result.value, -0.5 * b @ np.linalg.solve(matrix, b), rtol=1e-12)
    np.testing.assert_allclose(result.grad, matrix @ result.x - b, atol=1e-12)
    assert result.status == "gtol"
    assert np.abs(result.grad).max() <= 1e-10


@pytest.mark.parametrize("n_different", [1, 2, 3])
def test_steps_of_a_quadratic_grow_with_its_different_eigenvalues_alone(n_different):
    matrix = np.diag(np.resize(np.arange(1.0, 1 + n_different), 30))
    result = minimize_lbfgs(quadratic(matrix, np.ones(30)), np.zeros(30), gtol=1e-8, ftol=0)
    np.testing.assert_allclose(result.x, 1 / np.diag(matrix), rtol=1e-7)
    # one step finds the scale; then as many as a search of exact steps would need, and some since ours are not
    assert result.n_iter <= 2 + 3 * (n_different - 1)


@pytest.mark.parametrize("n", [2, 10, 100])
def test_rosenbrock(n):
    result = minimize_lbfgs(rosenbrock, np.resize([-1.2, 1.0], n), gtol=1e-8, ftol=0)
    np.testing.assert_allclose(result.x, 1.0, rtol=1e-7)
    assert result.converged


def test_soft_threshold():
    # identity design: each element is moved towards zero by its own penalty, or is zero
    c = np.array([[3.0, -2.0, 0.5, -0.5], [0.25, 0.0, 4.0, -7.0]])
    l1 = np.array([[1.0, 0.5, 1.0, 0.75], [0.0, 1.0, 4.0, 2.0]])
    for start in (np.zeros_like(c), np.full_like(c, 5.0), -c):
        result = minimize_lbfgs(lambda x: (0.5 * np.sum((x - c) ** 2), x - c), start, l1=l1, gtol=1e-12, ftol=0)
        expected = np.sign(c) * np.maximum(np.abs(c) - l1, 0)
        np.testing.assert_allclose(result.x, expected, rtol=1e-11)
        np.testing.assert_array_equal(result.x[expected == 0], 0.0)
        np.testing.assert_allclose(
            result.value, 0.5 * np.sum((expected - c) ** 2) + np.sum(l1 * np.abs(expected)), rtol=1e-14
        )
        np.testing.assert_allclose(result.grad, 0.0, atol=1e-12)


@pytest.mark.parametrize("history_size", [1, 3, 10, 50])
@pytest.mark.parametrize("l1", [1e-3, 0.02, 0.1])
def test_conditions_of_an_l1_minimum(l1, history_size):
    X, y = problem(n_features=30)
    penalty = np.full(31, l1)
    penalty[-1] = 0.0
    function = logistic(X, y)
    result = minimize_lbfgs(
        function, np.zeros(31), l1=penalty, gtol=1e-8, ftol=0, history_size=history_size
    )
    assert result.status == "gtol"
    _, grad = function(result.x)
    zero = result.x == 0
    np.testing.assert_allclose(grad[~zero], -(penalty * np.sign(result.x))[~zero], atol=1e-8)
    assert np.all(np.abs(grad[zero]) <= penalty[zero] + 1e-8)
    assert abs(grad[-1]) <= 1e-8
    assert 0 < zero.sum() < 31 or l1 == 1e-3


def test_a_large_penalty_leaves_the_intercept_alone():
    X, y = problem()
    penalty = np.append(np.full(8, 10.0), 0.0)
    result = minimize_lbfgs(logistic(X, y), np.ones(9), l1=penalty, gtol=1e-10, ftol=0)
    np.testing.assert_array_equal(result.x[:-1], 0.0)
    np.testing.assert_allclose(result.x[-1], np.log(y.mean() / (1 - y.mean())), rtol=1e-8)


# ---- against scipy -----------------------------------------------------------------------------------------


def compare_with_scipy(function, x0):
    """scipy's optimum to 1e-6, in no more evaluations than scipy's and a fifth.

    A fifth, since the tails of two runs differ by chance: a difference in the last bit grows with every iteration.
    """
    optimize = pytest.importorskip("scipy.optimize", reason="needs scipy")
    values = []

    def flat(x):
        value, grad = function(x.reshape(x0.shape))
        values.append(value)
        return value, grad.ravel()

    options = {"maxcor": 10, "gtol": 1e-5, "ftol": 1e-9, "maxiter": 15000}
    peer = optimize.minimize(flat, x0.ravel(), jac=True, method="L-BFGS-B", options=options)
    n_theirs = 1 + int(np.argmax(np.array(values) <= peer.fun + 1e-6))
    result = minimize_lbfgs(
        function, x0, history_size=10, gtol=0, ftol=0, callback=lambda state: state.value <= peer.fun + 1e-6
    )
    assert result.value <= peer.fun + 1e-6
    assert result.n_evaluations <= 1.2 * n_theirs


@pytest.mark.skipif(not (DATA / "tabular-a9a").is_dir(), reason=f"needs the a9a files in {DATA}")
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_as_good_as_scipy_on_a9a(C):
    rows = [line.split() for line in (DATA / "tabular-a9a" / "a9a").read_text().splitlines()]
    X, y = np.zeros((len(rows), 123)), np.zeros(len(rows))
    for i, (label, *entries) in enumerate(rows):
        y[i] = float(label) > 0
        for entry in entries:
            column, value = entry.split(":")
            X[i, int(column) - 1] = float(value)
    compare_with_scipy(logistic(X, y, l2=1 / (C * len(X))), np.zeros(124))


@pytest.mark.skipif(not (DATA / "fashion-mnist").is_dir(), reason=f"needs the Fashion-MNIST files in {DATA}")
def test_as_good_as_scipy_on_fashion_mnist():
    with gzip.open(DATA / "fashion-mnist" / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)[:6000]
    with gzip.open(DATA / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:6000].astype(np.int64)
    function = logistic(images / 255.0, labels, l2=0.01, loss="cross_entropy")
    compare_with_scipy(function, np.zeros((785, 10)))


# ---- what goes in and out ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_dtype_and_shape_are_kept_and_x0_is_not_written(dtype, l1):
    X, y = problem(dtype=dtype)
    x0 = np.full((9, 1), 0.1, dtype)
    x0.flags.writeable = False
    seen = []

    def function(theta):
        seen.append((theta.dtype, theta.shape))
        value, grad = linear_value_and_grad(
            X, y[:, np.newaxis], theta, loss="binary_cross_entropy", reduction="mean", intercept=True
        )
        return value, grad

    result = minimize_lbfgs(function, x0, l1=l1)
    assert set(seen) == {(np.dtype(dtype), (9, 1))}
    assert len(seen) == result.n_evaluations
    assert result.x.dtype == result.grad.dtype == dtype
    assert result.x.shape == result.grad.shape == (9, 1)
    assert isinstance(result.value, float)
    assert result.converged
    np.testing.assert_array_equal(x0, np.full((9, 1), 0.1, dtype))
    precise = minimize_lbfgs(logistic(*problem()), np.zeros(9), l1=l1, gtol=1e-9, ftol=0)
    np.testing.assert_allclose(result.value, precise.value, atol=1e-6)


def test_float32_reaches_its_own_precision_and_stops():
    X, y = problem(2000, dtype=np.float32)
    precise = minimize_lbfgs(logistic(X.astype(np.float64), y.astype(np.float64)), np.zeros(9), gtol=1e-10, ftol=0)
    for ftol in (1e-14, 0.0):
        result = minimize_lbfgs(logistic(X, y), np.zeros(9, np.float32), gtol=1e-12, ftol=ftol, max_iter=300)
        np.testing.assert_allclose(result.value, precise.value, rtol=1e-7)
        # near the minimum a value's rounding of 1e-8 hides its square root in x
        np.testing.assert_allclose(result.x, precise.x, atol=1e-4)
        # which of the two it is depends on the last bit
        assert result.status in ("ftol", "line_search") or ftol == 0


@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_one_buffer_for_every_gradient(l1):
    X, y = problem()
    buffer = np.empty(9)
    result = minimize_lbfgs(logistic(X, y, grad=buffer), np.zeros(9), l1=l1)
    other = minimize_lbfgs(logistic(X, y), np.zeros(9), l1=l1)
    np.testing.assert_array_equal(result.x, other.x)
    assert result.n_evaluations == other.n_evaluations


@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_same_bits_for_any_number_of_threads(l1):
    X, y = problem(5000, 40)
    results = [
        minimize_lbfgs(logistic(X, y, n_threads=n_threads), np.zeros(41), l1=l1) for n_threads in THREAD_COUNTS
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.x, results[0].x)
        assert result.value == results[0].value


def test_integers_and_lists_start_in_float64():
    for x0 in ([3, 4], (3, 4), np.array([3, 4], np.int8), [[3, 4]], [3.0, 4.0]):
        result = minimize_lbfgs(lambda x: (0.5 * np.sum(x * x), x), x0)
        assert result.x.dtype == np.float64
        assert result.x.shape == np.shape(x0)
        np.testing.assert_allclose(result.x, 0.0, atol=1e-5)


def test_nothing_to_do():
    for x0 in (np.ones(3), np.ones(1), np.ones(()), np.empty(0), np.empty((0, 4)), 1.0):
        calls = []

        def flat(x, calls=calls):
            calls.append(x.copy())
            return 2.5, np.zeros(np.shape(x))

        result = minimize_lbfgs(flat, x0)
        assert (result.status, result.n_iter, result.n_evaluations, len(calls)) == ("gtol", 0, 1, 1)
        assert result.value == 2.5
        np.testing.assert_array_equal(result.x, x0)


def test_one_element():
    for l1, expected in ((0.0, 2.0), (0.5, 1.5), (5.0, 0.0)):
        for x0 in (np.array([-7.0]), np.array(9.0)):
            result = minimize_lbfgs(lambda x: (0.5 * float(np.sum((x - 2) ** 2)), x - 2), x0, l1=l1, gtol=1e-9)
            np.testing.assert_allclose(result.x, np.full(x0.shape, expected), atol=1e-8)


# ---- values that are not finite ----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["value", "grad"])
@pytest.mark.parametrize("l1", [0.0, 1e-12])
def test_a_step_into_the_void_is_shortened(bad, where, l1):
    refused = []

    def barrier(x):
        """x - log(x), and nothing below 0; the minimum is at 1."""
        if x[0] > 0:
            return float(x[0] - np.log(x[0])), 1 - 1 / x
        refused.append(float(x[0]))
        return (bad, np.ones(1)) if where == "value" else (1.0, np.full(1, bad))

    result = minimize_lbfgs(barrier, [500.0], l1=l1, gtol=1e-9, ftol=0)
    np.testing.assert_allclose(result.x, 1.0, rtol=1e-8)
    # the start at -1/x is long on the other side: a first step of length 1 from 1/2 or from 1/64
    for x0 in (0.5, 1 / 64):
        np.testing.assert_allclose(minimize_lbfgs(barrier, [x0], l1=l1, gtol=1e-9, ftol=0).x, 1.0, rtol=1e-8)
    assert refused


@pytest.mark.parametrize("l1", [0.0, 0.5])
def test_not_finite_at_the_start(l1):
    for value, grad in ((np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan), (1.0, -np.inf)):
        with pytest.raises(ValueError, match="must be finite at x0"):
            minimize_lbfgs(lambda x, value=value, grad=grad: (value, np.full(2, grad)), np.zeros(2), l1=l1)


@pytest.mark.parametrize("l1", [0.0, 0.5])
def test_finite_nowhere_else(l1):
    def function(x):
        return (1.0, np.ones(2)) if not x.any() else (np.nan, np.ones(2))

    result = minimize_lbfgs(function, np.zeros(2), l1=l1)
    assert result.status == "line_search"
    assert not result.converged
    np.testing.assert_array_equal(result.x, 0.0)
    assert result.value == 1.0


# ---- how it ends -------------------------------------------------------------------------------------------


def test_a_wrong_gradient_ends_with_a_status():
    result = minimize_lbfgs(lambda x: (float(np.sum(x * x)), -2 * x), np.ones(3))
    assert result.status == "line_search"
    assert "gradient is wrong" in result.message
    np.testing.assert_array_equal(result.x, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_function_without_a_minimum_ends_at_a_limit(dtype):
    values = []
    result = minimize_lbfgs(
        lambda x: (-float(x[0]), np.array([-1.0, 0.0])), np.zeros(2, dtype), max_iter=3,
        callback=lambda state: values.append(state.value),
    )
    assert result.status in ("max_iter", "line_search")
    assert np.all(np.diff([0.0, *values]) < 0)
    assert np.isfinite(result.x).all()


@pytest.mark.parametrize("l1", [0.0, 1e-3])
def test_limits(l1):
    start = np.resize([-1.2, 1.0], 10)
    for n in (1, 2, 7):
        result = minimize_lbfgs(rosenbrock, start, l1=l1, max_iter=n)
        assert (result.status, result.n_iter, result.converged) == ("max_iter", n, False)
        assert f"max_iter={n}" in result.message
    last = rosenbrock(start)[0] + l1 * np.abs(start).sum()
    for n in (1, 2, 5, 12):
        result = minimize_lbfgs(rosenbrock, start, l1=l1, max_evaluations=n)
        assert (result.status, result.n_evaluations) == ("max_evaluations", n)
        assert result.value <= last
        last = result.value
        expected = rosenbrock(result.x)[0] + l1 * np.abs(result.x).sum()
        np.testing.assert_allclose(result.value, expected, rtol=1e-14)


def test_tolerances():
    start = np.resize([-1.2, 1.0], 10)
    result = minimize_lbfgs(rosenbrock, start, gtol=1e-3, ftol=0)
    assert result.status == "gtol"
    assert np.abs(result.grad).max() <= 1e-3
    result = minimize_lbfgs(rosenbrock, start, gtol=0, ftol=1e-3)
    assert result.status == "ftol"
    values = []
    minimize_lbfgs(rosenbrock, start, gtol=0, ftol=1e-3, callback=lambda state: values.append(state.value))
    drops = -np.diff([rosenbrock(start)[0], *values])
    assert drops[-1] <= 1e-3 * max(values[-2], 1)
    assert np.all(drops[:-1] > 1e-3 * np.maximum(values[:-1], 1))


@pytest.mark.parametrize("l1", [0.0, 1e-3])
def test_callback(l1):
    states = []

    def callback(state):
        states.append(dataclasses.replace(state, x=state.x.copy(), grad=state.grad.copy()))
        return len(states) == 4

    start = np.resize([-1.2, 1.0], 6)
    result = minimize_lbfgs(rosenbrock, start, l1=l1, callback=callback)
    assert result.status == "callback"
    assert [state.n_iter for state in states] == [1, 2, 3, 4]
    assert all(isinstance(state, LBFGSResult) and not state.converged for state in states)
    assert np.all(np.diff([state.value for state in states]) < 0)
    np.testing.assert_array_equal(result.x, states[-1].x)
    np.testing.assert_array_equal(result.grad, states[-1].grad)
    again = minimize_lbfgs(rosenbrock, start, l1=l1, max_iter=3)
    np.testing.assert_array_equal(again.x, states[2].x)


def test_exceptions_pass_through():
    class Oops(Exception):
        pass

    def third_fails(x, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 3:
            raise Oops
        return rosenbrock(x)

    x0 = np.array([-1.2, 1.0])
    with pytest.raises(Oops):
        minimize_lbfgs(third_fails, x0)
    np.testing.assert_array_equal(x0, [-1.2, 1.0])

    def callback(state):
        raise Oops

    with pytest.raises(Oops):
        minimize_lbfgs(rosenbrock, x0, callback=callback)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"history_size": 0}, ValueError, "history_size must be at least 1, got 0"),
        ({"history_size": 2.0}, TypeError, "history_size must be an integer, got 2.0"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"max_iter": True}, TypeError, "max_iter must be an integer, got True"),
        ({"max_evaluations": -1}, ValueError, "max_evaluations must be at least 1, got -1"),
        ({"gtol": -1e-5}, ValueError, "gtol must be finite and not negative"),
        ({"gtol": "small"}, TypeError, "gtol must be a number, got 'small'"),
        ({"ftol": np.nan}, ValueError, "ftol must be finite and not negative, got nan"),
        ({"ftol": None}, TypeError, "ftol must be a number"),
        ({"l1": -0.5}, ValueError, "l1 must be finite and not negative, got -0.5"),
        ({"l1": [0.5, np.nan]}, ValueError, "l1 must be finite"),
        ({"l1": np.ones(3)}, ValueError, r"l1 must be a number or an array that broadcasts to the shape \(2,\)"),
        ({"l1": "much"}, ValueError, "l1 must be a number or an array"),
        ({"callback": 3}, TypeError, "callback must be callable or None, got 3"),
        ({"value_and_grad": None}, TypeError, "value_and_grad must be callable, got None"),
        ({"x0": ["a", "b"]}, TypeError, "x0 must be of float32, float64 or integers"),
        ({"x0": np.zeros(2, np.float16)}, TypeError, "x0 must be of float32, .* got dtype float16"),
        ({"value_and_grad": lambda x: (1.0, np.zeros(3))}, ValueError, r"gradient of shape \(2,\), got \(3,\)"),
        ({"value_and_grad": lambda x: (1.0, 1j * x)}, TypeError, "Cannot cast"),
        ({"value_and_grad": lambda x: 1.0}, TypeError, "unpack"),
    ],
)
def test_bad_input(settings, error, message):
    arguments = {"value_and_grad": rosenbrock, "x0": np.zeros(2)} | settings
    with pytest.raises(error, match=message):
        minimize_lbfgs(**arguments)
