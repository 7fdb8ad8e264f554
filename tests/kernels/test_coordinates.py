"""Coordinate descent: closed forms, conditions of the minimum, the plain NumPy twin."""

import numpy as np
import pytest

from fasttrain import kernels, reference
from fasttrain.reference.coordinates import duality_gap
from tests.helpers import SIZES, THREAD_COUNTS

PENALTIES = [(0.3, 0.0), (0.3, 0.2), (0.01, 1.0), (0.0, 0.5)]  # l1 and l2, as shares of the largest |X^T y|
# a working set of more is not packed
MOST_PACKED = 2048


def problem(n_rows, n_features, n_outputs=1, seed=0):
    """Columns (n_features, n_rows) that are correlated with each other, and targets (n_outputs, n_rows)."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n_features, n_rows)) + rng.normal(size=n_rows)
    true = rng.normal(size=(n_outputs, n_features)) * (rng.random((n_outputs, n_features)) < 0.3)
    return columns, true @ columns + rng.normal(size=(n_outputs, n_rows))


def products(columns, targets):
    return columns @ columns.T, targets @ columns.T, np.square(targets).sum(axis=1)


def scaled(penalty, columns, targets):
    largest = np.abs(targets @ columns.T).max(initial=0.0)
    return {"l1": penalty[0] * largest, "l2": penalty[1] * largest}


def both(columns, targets, start=None, **settings):
    """The results of the two kernels, (coef, gap, n_iter, converged) each."""
    results = []
    for function, inputs in (
        (kernels.coordinate_descent, (columns, targets)),
        (kernels.coordinate_descent_gram, products(columns, targets)),
    ):
        coef = np.zeros((len(targets), len(columns))) if start is None else start.copy()
        results.append((coef, *function(*inputs, coef, **settings)))
    return results


def objective(columns, targets, coef, l1, l2):
    residual = targets - coef @ columns
    return np.square(residual).sum(axis=1) / 2 + l1 * np.abs(coef).sum(axis=1) + l2 / 2 * np.square(coef).sum(axis=1)


def assert_is_minimum(columns, targets, coef, l1, l2, atol):
    """The subgradient of the objective holds zero."""
    gradient = (targets - coef @ columns) @ columns.T - l2 * coef
    at_zero = coef == 0
    assert (np.abs(gradient[at_zero]) <= l1 + atol).all()
    np.testing.assert_allclose(gradient[~at_zero], l1 * np.sign(coef[~at_zero]), rtol=0, atol=atol)


def test_orthogonal_columns_have_a_closed_form():
    scales = np.array([1.0, 2.0, 0.5, 3.0])
    targets = np.array([[3.0, -2.0, 0.4, 0.1], [0.0, 1.0, -9.0, 2.0]])
    along = targets * scales
    expected = np.sign(along) * np.maximum(np.abs(along) - 1.5, 0) / (scales**2 + 0.25)
    for coef, gap, _, converged in both(np.diag(scales), targets, l1=1.5, l2=0.25, tol=0.0):
        np.testing.assert_allclose(coef, expected, rtol=1e-15)
        np.testing.assert_allclose(gap, 0.0, atol=1e-14)
        assert converged.all()  # nothing moves any more


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("n_features", [size for size in SIZES if size])
@pytest.mark.parametrize("n_rows", [1, 20, 150])
def test_minimum(n_rows, n_features, penalty):
    columns, targets = problem(n_rows, n_features, 2, seed=n_features)
    penalties = scaled(penalty, columns, targets)
    settings = {"tol": 1e-13, "max_iter": 1_000_000, **penalties}
    scale = np.linalg.norm(columns, axis=1).max() * np.linalg.norm(targets)
    for coef, gap, _, converged in both(columns, targets, **settings):
        assert converged.all()
        assert (gap <= 1e-13 * np.square(targets).sum(axis=1)).all()
        # tol bounds the last steps, of which the slowest of these problems has a thousand still before it
        assert_is_minimum(columns, targets, coef, **penalties, atol=1e-10 * scale)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(("n_rows", "n_features"), [(30, 5), (60, 17), (10, 12)])
def test_twin(n_rows, n_features, penalty):
    columns, targets = problem(n_rows, n_features, 3)
    settings = {"tol": 1e-12, "max_iter": 100_000, **scaled(penalty, columns, targets)}
    for name, inputs in (
        ("coordinate_descent", (columns, targets)),
        ("coordinate_descent_gram", products(columns, targets)),
    ):
        ours, theirs = np.zeros((2, 3, n_features))
        _, _, converged = getattr(kernels, name)(*inputs, ours, **settings)
        _, _, twin_converged = getattr(reference, name)(*inputs, theirs, **settings)
        assert converged.all()
        assert twin_converged.all()
        # both stop at steps of 1e-12, and are some hundred steps from the minimum
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * np.abs(theirs).max())
        np.testing.assert_array_equal(ours == 0, theirs == 0)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("max_iter", [0, 1, 3, 6])
def test_gap_is_that_of_the_coefficients_and_bounds_the_distance(penalty, max_iter):
    columns, targets = problem(50, 40, 2)
    penalties = scaled(penalty, columns, targets)
    best = both(columns, targets, tol=1e-14, max_iter=100_000, **penalties)[0][0]
    start = np.random.default_rng(1).normal(size=best.shape)
    squares = np.square(targets).sum(axis=1)
    for coef, gap, n_iter, converged in both(
        columns, targets, start, tol=1e-15, max_iter=max_iter, **penalties
    ):
        above = objective(columns, targets, coef, **penalties) - objective(columns, targets, best, **penalties)
        assert (above <= gap + 1e-12 * squares).all()
        gram, moments, _ = products(columns, targets)
        expected = [
            duality_gap(gram, moments[k], squares[k], coef[k], **penalties) for k in range(len(targets))
        ]
        np.testing.assert_allclose(gap, expected, rtol=1e-9, atol=1e-12 * squares.max())
        assert (n_iter == max_iter).all()
        assert not converged.any()
        if max_iter == 0:
            np.testing.assert_array_equal(coef, start)


def test_correlated_columns_take_fewer_sweeps_than_plain_descent():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(20, 100)).cumsum(axis=0)
    targets = columns[::4].sum(axis=0)[np.newaxis] + rng.normal(size=(1, 100))
    settings = {"tol": 1e-8, "max_iter": 100_000, **scaled((1e-3, 0.0), columns, targets)}
    expected = np.zeros((1, 20))
    _, plain, converged = reference.coordinate_descent(columns, targets, expected, **settings)
    assert converged.all()
    for coef, _, n_iter, converged in both(columns, targets, **settings):
        assert converged.all()
        assert n_iter[0] < plain[0] / 2
        # the plain steps of 1e-8 are a hundred sweeps from the end
        np.testing.assert_allclose(coef, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("l1", [2.0, 4.0])
def test_extrapolation_does_not_follow_rounding(l1):
    # nearly as many coefficients as rows: the objective is flat to its last digits long before the descent ends
    rng = np.random.default_rng(0)
    columns = np.ascontiguousarray((rng.normal(size=(20, 60)) + 3.0).T)
    targets = rng.normal(size=(3, 60)) @ columns + rng.normal(size=(3, 20))
    for _, gap, _, converged in both(columns, targets, l1=l1, tol=1e-12, max_iter=100_000):
        assert converged.all()
        assert (gap <= 1e-12 * np.square(targets).sum(axis=1)).all()


def test_scikit_learn_agrees():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    columns, targets = problem(80, 30, 2)
    peer = linear_model.ElasticNet(0.5, l1_ratio=0.8, fit_intercept=False, tol=1e-13, max_iter=100_000)
    peer.fit(columns.T, targets.T)
    for coef, gap, _, _ in both(columns, targets, l1=80 * 0.4, l2=80 * 0.1, tol=1e-13, max_iter=100_000):
        np.testing.assert_allclose(coef, peer.coef_, rtol=1e-10, atol=1e-12)
        assert (gap <= 1e-13 * np.square(targets).sum(axis=1)).all()


def test_a_start_at_the_minimum_stays_there():
    columns, targets = problem(50, 20, 2)
    settings = {"l1": 20.0, "tol": 1e-6}
    for coef, *_ in both(columns, targets, **settings):
        for again, gap, n_iter, converged in both(columns, targets, coef, **settings):
            np.testing.assert_array_equal(again, coef)
            assert (gap <= 1e-6 * np.square(targets).sum(axis=1)).all()
            assert n_iter.tolist() == [0, 0]
            assert converged.all()


def test_a_large_penalty_leaves_nothing():
    columns, targets = problem(50, 20)
    for coef, gap, n_iter, converged in both(columns, targets, l1=2 * np.abs(targets @ columns.T).max()):
        assert not coef.any()
        assert (gap[0], n_iter[0], converged[0]) == (0.0, 0, True)


def test_zero_columns_have_no_coefficient():
    columns, targets = problem(50, 6)
    columns[[1, 4]] = 0.0
    for coef, _, _, converged in both(columns, targets, np.ones((1, 6)), l1=1.0, tol=1e-10):
        assert converged.all()
        assert coef[0, [1, 4]].tolist() == [0.0, 0.0]
        assert coef[0, [0, 2, 3, 5]].all()


def test_equal_columns_share_under_an_l2_penalty():
    columns, targets = problem(50, 6)
    columns = np.vstack([columns, columns[:2]])
    for coef, _, _, converged in both(columns, targets, l1=1.0, l2=1.0, tol=1e-12, max_iter=100_000):
        assert converged.all()
        np.testing.assert_allclose(coef[0, 6:], coef[0, :2], rtol=1e-8)


@pytest.mark.parametrize("n_features", [MOST_PACKED - 1, MOST_PACKED, MOST_PACKED + 1])
def test_large_working_sets(n_features):
    # diagonal and rank one: (2 I + u u^T) w = moments - l1, for coefficients that are all positive
    direction = np.linspace(0.0, 0.01, n_features)
    gram = np.outer(direction, direction)
    gram.flat[:: n_features + 1] += 2.0
    moments = np.linspace(3.0, 4.0, n_features)
    expected = (moments - 1.0) / 2
    expected -= direction * (direction @ expected) / (2 + direction @ direction)
    coef = np.zeros((1, n_features))
    _, _, converged = kernels.coordinate_descent_gram(
        gram, moments[np.newaxis], np.array([1e5]), coef, l1=1.0, tol=1e-14
    )
    assert converged.all()
    np.testing.assert_allclose(coef[0], expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 4, 0)])
def test_nothing(shape):
    n_rows, n_features, n_outputs = shape
    columns, targets = np.ones((n_features, n_rows)), np.ones((n_outputs, n_rows))
    for coef, gap, n_iter, converged in both(columns, targets, l1=1.0):
        assert coef.shape == (n_outputs, n_features)
        assert not coef.any()
        assert gap.tolist() == [0.0] * n_outputs
        assert n_iter.tolist() == [0] * n_outputs
        assert converged.tolist() == [True] * n_outputs


def test_same_bits_for_any_number_of_threads():
    columns, targets = problem(200, 150, 7)
    settings = {"l1": 30.0, "l2": 1.0, "tol": 1e-9, "max_iter": 10_000}
    runs = [both(columns, targets, n_threads=n_threads, **settings) for n_threads in THREAD_COUNTS]
    alone = [both(columns, targets[k : k + 1], **settings) for k in range(7)]
    for run in runs:
        for kernel, result in enumerate(run):
            for part, array in enumerate(result):
                np.testing.assert_array_equal(array, runs[0][kernel][part])
        # products of several outputs may be rounded in another way than those of one
        for k in range(7):
            np.testing.assert_array_equal(run[0][0][k], alone[k][0][0][0])


def test_read_only_inputs():
    columns, targets = problem(20, 5)
    columns.flags.writeable = targets.flags.writeable = False
    for coef, *_ in both(columns, targets, l1=1.0):
        assert coef.any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"columns": np.ones((5, 20), np.float32)}, TypeError, "columns must have dtype float64, got float32"),
        ({"columns": [[1.0]]}, TypeError, "columns must be a numpy.ndarray, got list"),
        ({"columns": np.ones(5)}, ValueError, r"columns must have 2 dimension\(s\)"),
        ({"columns": np.ones((20, 5)).T}, ValueError, "columns must be C-contiguous"),
        ({"columns": np.full((5, 20), np.nan)}, ValueError, "columns must be finite"),
        ({"columns": np.full((5, 20), 1e200)}, ValueError, "columns must be finite, and its squares too"),
        ({"targets": np.ones((1, 19))}, ValueError, "targets"),
        ({"targets": np.full((1, 20), np.inf)}, ValueError, "targets must be finite"),
        ({"coef": np.zeros((1, 4))}, ValueError, "coef"),
        ({"coef": np.zeros((2, 5))}, ValueError, "coef"),
        ({"coef": np.zeros((1, 5), np.float32)}, TypeError, "coef must have dtype float64"),
        ({"coef": np.full((1, 5), np.nan)}, ValueError, "coef must be finite"),
        ({"l1": -1.0}, ValueError, "l1 must be at least 0"),
        ({"l1": np.inf}, ValueError, "l1 must be finite"),
        ({"l1": "1"}, TypeError, "l1 must be a real number"),
        ({"l2": -1.0}, ValueError, "l2 must be at least 0"),
        ({"l1": 0.0}, ValueError, "l1 and l2 must not both be 0"),
        ({"tol": -1.0}, ValueError, "tol must be at least 0"),
        ({"max_iter": -1}, ValueError, "max_iter must be between 0 and"),
        ({"max_iter": 1.5}, TypeError, "max_iter must be an integer"),
        ({"n_threads": 0}, ValueError, "n_threads"),
    ],
)
def test_bad_arguments(change, error, message):
    columns, targets = problem(20, 5)
    arguments = {"columns": columns, "targets": targets, "coef": np.zeros((1, 5)), "l1": 1.0} | change
    before = arguments["coef"].copy()
    with np.errstate(over="ignore"), pytest.raises(error, match=message):
        kernels.coordinate_descent(**arguments)
    np.testing.assert_array_equal(arguments["coef"], before)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"gram": np.ones((5, 4))}, ValueError, "gram"),
        ({"gram": np.ones((5, 5), int)}, TypeError, "gram must have dtype float32 or float64, got int64"),
        ({"gram": np.full((5, 5), np.inf)}, ValueError, "gram must be finite"),
        ({"moments": np.ones((1, 4))}, ValueError, "moments"),
        ({"squares": np.ones(2)}, ValueError, "squares"),
        ({"squares": np.array([np.nan])}, ValueError, "moments must be finite, and its squares too"),
    ],
)
def test_bad_products(change, error, message):
    gram, moments, squares = products(*problem(20, 5))
    arguments = {"gram": gram, "moments": moments, "squares": squares, "coef": np.zeros((1, 5)), "l1": 1.0}
    with pytest.raises(error, match=message):
        kernels.coordinate_descent_gram(**(arguments | change))


def test_coef_is_to_be_written():
    columns, targets = problem(20, 5)
    fixed = np.zeros((1, 5))
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="coef"):
        kernels.coordinate_descent(columns, targets, fixed, l1=1.0)
    with pytest.raises(ValueError, match=r"coef.*columns"):
        kernels.coordinate_descent(columns, targets, columns.reshape(-1)[:5].reshape(1, 5), l1=1.0)
    with pytest.raises(ValueError, match=r"coef.*targets"):
        kernels.coordinate_descent(columns, targets, targets.reshape(-1)[:5].reshape(1, 5), l1=1.0)
