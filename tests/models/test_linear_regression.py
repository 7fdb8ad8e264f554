"""Linear regression: the closed form, and the optimum that other solvers find."""
import warnings

import numpy as np
import pytest

from fasttrain import LinearRegression
from fasttrain.exceptions import ConvergenceWarning
from fasttrain.models.linear_regression import least_squares
from tests.helpers import DTYPES, THREAD_COUNTS


def problem(n_rows, n_features, n_outputs=None, seed=0, dtype=np.float64):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n_rows, n_features)) + 3.0
    shape = (n_features,) if n_outputs is None else (n_features, n_outputs)
    y = X @ generator.normal(size=shape) + generator.normal(size=(n_rows, *shape[1:]))
    return X.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("n_outputs", [None, 1, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("n_rows", "n_features"), [(50, 4), (5, 4), (4, 9), (1, 3), (3, 1), (4, 4)])
def test_exact_is_numpy_lstsq(n_rows, n_features, fit_intercept, n_outputs):
    X, y = problem(n_rows, n_features, n_outputs)
    model = LinearRegression(fit_intercept=fit_intercept).fit(X, y)
    centre = X.mean(axis=0) if fit_intercept else np.zeros(n_features)
    level = y.mean(axis=0) if fit_intercept else np.zeros(y.shape[1:])
    coef, _, rank, singular = np.linalg.lstsq(X - centre, y - level, rcond=None)
    np.testing.assert_allclose(model.coef_, coef.T, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(model.intercept_, level - centre @ coef, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(model.predict(X), X @ coef + level - centre @ coef, rtol=1e-9)
    assert model.coef_.shape == y.shape[1:] + (n_features,)
    assert np.shape(model.intercept_) == y.shape[1:]
    assert model.rank_ == rank
    assert model.singular_.shape == (min(n_rows, n_features),)
    np.testing.assert_allclose(model.singular_, singular, rtol=1e-9, atol=1e-9)
    half_mse = 0.5 * np.mean((model.predict(X) - y) ** 2)
    np.testing.assert_allclose(model.loss_, half_mse, rtol=1e-9, atol=1e-20)
    assert model.loss_curve_ == [model.loss_]


def test_many_blocks_of_rows_are_one_solution():
    X, y = problem(20_000, 7, 2)
    weight = np.random.default_rng(1).uniform(0, 2, len(X))
    model = LinearRegression().fit(X, y, weight)
    root = np.sqrt(weight)[:, np.newaxis]
    design = np.hstack([np.ones((len(X), 1)), X])
    expected = np.linalg.lstsq(root * design, root * y, rcond=None)[0]
    np.testing.assert_allclose(model.intercept_, expected[0], rtol=1e-9)
    np.testing.assert_allclose(model.coef_, expected[1:].T, rtol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rank_deficient_data_gives_the_solution_of_least_norm(dtype):
    X, y = problem(200, 4, dtype=dtype)
    X = np.column_stack([X, X[:, 0], X[:, 1] + X[:, 2], np.full(200, 7e3)]).astype(dtype)
    model = LinearRegression().fit(X, y)
    assert model.rank_ == 4
    wide = X.astype(np.float64)
    wide -= wide.mean(axis=0)
    wide[:, -1] = 0.0
    expected = np.linalg.pinv(wide, rcond=1e-6) @ (y - y.mean())
    tolerance = 1e-10 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(model.coef_, expected, rtol=tolerance, atol=tolerance)
    assert model.coef_[-1] == 0.0  # a constant column is no column at all
    np.testing.assert_allclose(model.coef_[0], model.coef_[4], rtol=tolerance)


def test_a_large_mean_costs_no_digits():
    X, y = problem(5000, 3)
    coef = LinearRegression().fit(X, y).coef_
    shifted = LinearRegression().fit(X + 1e6, y).coef_
    np.testing.assert_allclose(shifted, coef, rtol=1e-7)


def test_cutoff_of_singular_values():
    X, y = problem(100, 3)
    X = np.column_stack([X, X[:, 0] + 1e-5 * np.random.default_rng(1).normal(size=100)])
    assert LinearRegression().fit(X, y).rank_ == 4
    assert LinearRegression(rcond=1e-3).fit(X, y).rank_ == 3


def test_exact_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X, y = problem(300, 6, 2)
    weight = np.random.default_rng(1).integers(0, 3, 300)
    for fit_intercept in (True, False):
        ours = LinearRegression(fit_intercept=fit_intercept).fit(X, y, weight)
        theirs = linear_model.LinearRegression(fit_intercept=fit_intercept).fit(X, y, weight)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.score(X, y, weight), theirs.score(X, y, weight), rtol=1e-12)


def test_weights_of_zero_are_absent_rows():
    X, y = problem(60, 3)
    weight = (np.arange(60) % 3 > 0) * 2.0
    X[::3] = 1e9
    ours = LinearRegression().fit(X, y, weight)
    kept = LinearRegression().fit(X[weight > 0], y[weight > 0])
    np.testing.assert_allclose(ours.coef_, kept.coef_, rtol=1e-9)


def test_least_squares_in_float64_for_float32():
    X, y = problem(1000, 5, 1, dtype=np.float32)
    coef, intercept, rank, singular = least_squares(X, y, None, fit_intercept=True)
    assert coef.dtype == intercept.dtype == singular.dtype == np.float64
    assert rank == 5
    expected = np.linalg.lstsq(np.hstack([np.ones((1000, 1)), X.astype(float)]), y, rcond=None)[0]
    np.testing.assert_allclose(coef, expected[1:], rtol=1e-10)
    model = LinearRegression().fit(X, y)
    assert model.coef_.dtype == model.predict(X).dtype == model.singular_.dtype == np.float32


def test_exact_scores_validation_data_once():
    X, y = problem(60, 3)
    model = LinearRegression().fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    np.testing.assert_allclose(model.validation_scores_, [model.score(X[40:], y[40:])], rtol=1e-12)
    expected = 0.5 * np.mean((model.predict(X[40:]) - y[40:]) ** 2)
    np.testing.assert_allclose(model.validation_loss_curve_, [expected], rtol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_rows", [300, 3000])
def test_iterative_solvers_reach_the_exact_solution(solver, fit_intercept, n_rows):
    X, y = problem(n_rows, 4)
    X = (X - 3.0) * [1.0, 0.5, 2.0, 1.0]
    settings = {"fit_intercept": fit_intercept, "random_state": 0}
    exact = LinearRegression(**settings).fit(X, y)
    model = LinearRegression(solver=solver, **settings).fit(X, y)
    assert model.loss_ <= exact.loss_ * (1 + 1e-3)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=0.02)
    np.testing.assert_allclose(model.intercept_, exact.intercept_, atol=0.02)
    if not fit_intercept:
        assert model.intercept_ == 0.0
    assert not hasattr(model, "rank_")


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(dtype):
    X, y = problem(700, 5, dtype=dtype)
    runs = []
    for n_threads in THREAD_COUNTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LinearRegression(solver="sgd", max_iter=5, random_state=0, n_threads=n_threads)
            runs.append(model.fit(X, y).coef_)
    for coef in runs[1:]:
        np.testing.assert_array_equal(coef, runs[0])
