"""Linear regression: the closed form, and the optimum that other solvers find."""
import warnings

import numpy as np
import pytest

from fasttrain import LinearRegression
from fasttrain.exceptions import ConvergenceWarning
from fasttrain.models._least_squares import least_squares
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
    (coef, intercept), rank, singular = least_squares(X, y, None, fit_intercept=True)
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


# ---- penalties --------------------------------------------------------------------------------------------

SHAPES = [(200, 8), (30, 30), (20, 60), (5000, 6), (1, 3), (3, 1)]


def objective(model, X, y, sample_weight=None):
    """Of each output; the one that the class says it minimises."""
    residual = y - X @ model.coef_.T - model.intercept_
    l1, l2 = model.alpha * model.l1_ratio, model.alpha * (1 - model.l1_ratio)
    return (
        np.average(residual**2, axis=0, weights=sample_weight) / 2
        + l1 * np.abs(model.coef_).sum(axis=-1)
        + l2 / 2 * np.square(model.coef_).sum(axis=-1)
    )


def assert_same_model(ours, theirs, tolerance):
    """Coefficients to `tolerance` times the largest one, and what follows from them."""
    scale = max(np.abs(theirs.coef_).max(), 1e-3)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=tolerance * scale)
    assert np.shape(ours.coef_) == np.shape(theirs.coef_)
    assert np.shape(ours.intercept_) == ours.coef_.shape[:-1]
    # the mean of X is 3
    bound = tolerance * scale * 3 * theirs.coef_.shape[-1] + 1e-14
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=tolerance, atol=bound)


def weights_for(n_rows, weighted):
    return np.random.default_rng(1).uniform(0.1, 3, n_rows) if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [None, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("n_rows", "n_features"), SHAPES)
def test_ridge_agrees_with_scikit_learn(n_rows, n_features, fit_intercept, n_outputs, weighted):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X, y = problem(n_rows, n_features, n_outputs)
    weight = weights_for(n_rows, weighted)
    total = n_rows if weight is None else weight.sum()
    for alpha in (1e-3, 1.0, 1e3):
        peer = linear_model.Ridge(alpha, fit_intercept=fit_intercept, solver="svd").fit(X, y, weight)
        model = LinearRegression(alpha=alpha / total, fit_intercept=fit_intercept).fit(X, y, weight)
        assert_same_model(model, peer, 1e-10)
        np.testing.assert_allclose(model.loss_, objective(model, X, y, weight).mean(), rtol=1e-10)
        assert not hasattr(model, "rank_")
        assert not hasattr(model, "dual_gap_")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [None, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("n_rows", "n_features"), SHAPES)
@pytest.mark.parametrize("l1_ratio", [1, 0.9, 0.5])
def test_elastic_net_agrees_with_scikit_learn(l1_ratio, n_rows, n_features, fit_intercept, n_outputs, weighted):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X, y = problem(n_rows, n_features, n_outputs)
    weight = weights_for(n_rows, weighted)
    for alpha in (0.1, 1.0):
        settings = {
            "alpha": alpha, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept, "tol": 1e-12, "max_iter": 100_000
        }
        peer = linear_model.ElasticNet(**settings).fit(X, y, weight)
        model = LinearRegression(**settings).fit(X, y, weight)
        # both stop at steps of 1e-12, up to some thousand steps from the minimum
        assert_same_model(model, peer, 1e-8)
        np.testing.assert_array_equal(model.coef_ == 0, peer.coef_ == 0)
        np.testing.assert_allclose(model.loss_, objective(model, X, y, weight).mean(), rtol=1e-10, atol=1e-12)
        assert np.shape(model.dual_gap_) == np.shape(peer.dual_gap_)
        assert np.all(model.dual_gap_ <= 1e-12 * np.square(y).max())
        assert not hasattr(model, "rank_")


def test_lasso_is_an_l1_ratio_of_one():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X, y = problem(100, 10)
    peer = linear_model.Lasso(0.3, tol=1e-12).fit(X, y)
    assert_same_model(LinearRegression(alpha=0.3, l1_ratio=1, tol=1e-12).fit(X, y), peer, 1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_rows", [300, 5])
def test_penalties_of_rank_deficient_and_constant_columns(dtype, n_rows):
    X, y = problem(n_rows, 4, dtype=dtype)
    X = np.column_stack([X, X[:, 0], X[:, 1] + X[:, 2], np.full(n_rows, 7e3)]).astype(dtype)
    wide = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    wide[:, -1] = 0.0
    level = y - y.mean(dtype=np.float64)
    tolerance = 1e-10 if dtype == np.float64 else 1e-6
    model = LinearRegression(alpha=0.1).fit(X, y)
    expected = np.linalg.solve(wide.T @ wide + 0.1 * n_rows * np.eye(7), wide.T @ level)
    np.testing.assert_allclose(model.coef_, expected, rtol=tolerance, atol=tolerance)
    assert model.coef_[-1] == 0.0
    for l1_ratio in (0.5, 1.0):
        model = LinearRegression(alpha=0.1, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000).fit(X, y)
        coef = model.coef_.astype(np.float64)
        gradient = wide.T @ (level - wide @ coef) / n_rows - 0.1 * (1 - l1_ratio) * coef
        assert (np.abs(gradient) <= 0.1 * l1_ratio + tolerance * 10).all()
        active = coef != 0
        np.testing.assert_allclose(gradient[active], 0.1 * l1_ratio * np.sign(coef[active]), atol=tolerance * 10)
        assert model.coef_[-1] == 0.0
        assert model.coef_.dtype == dtype


@pytest.mark.parametrize(("n_rows", "n_features"), [(40, 8), (8, 16)])
@pytest.mark.parametrize("alpha", [1e-2, 1e-8, 1e-13, 1e-20])
def test_ridge_keeps_its_digits_where_the_normal_equations_lose_theirs(n_rows, n_features, alpha):
    generator = np.random.default_rng(0)
    left, _ = np.linalg.qr(generator.normal(size=(n_rows, 8)))
    right, _ = np.linalg.qr(generator.normal(size=(n_features, 8)))
    singular = np.logspace(0, -6, 8)
    X = left * singular @ right.T
    target = left @ (singular * np.arange(1.0, 9.0)) + 0.01 * generator.normal(size=n_rows)
    penalty = alpha * n_rows
    expected = right @ (singular / (singular**2 + penalty) * (left.T @ target))
    model = LinearRegression(alpha=alpha, fit_intercept=False).fit(X, target)
    # the condition number of the least squares problem with the penalty as rows, and room
    condition = np.sqrt((1 + penalty) / (singular[-1] ** 2 + penalty))
    error = np.linalg.norm(model.coef_ - expected) / np.linalg.norm(expected)
    residual = np.linalg.norm(target - X @ expected) / np.linalg.norm(expected)
    assert error <= 1e-14 * (condition + condition**2 * residual)


def test_a_small_penalty_approaches_the_solution_of_least_norm():
    X, y = problem(10, 30)
    least = LinearRegression().fit(X, y)
    np.testing.assert_allclose(LinearRegression(alpha=1e-15).fit(X, y).coef_, least.coef_, rtol=1e-8)
    np.testing.assert_allclose(LinearRegression(alpha=1e-300).fit(X, y).coef_, least.coef_, rtol=1e-10)


@pytest.mark.parametrize("settings", [{"alpha": 0.1}, {"alpha": 0.1, "l1_ratio": 1, "tol": 1e-12}])
def test_penalised_fits_do_not_depend_on_where_the_data_are(settings):
    X, y = problem(5000, 3)
    coef = LinearRegression(**settings).fit(X, y).coef_
    np.testing.assert_allclose(LinearRegression(**settings).fit(X + 1e6, y).coef_, coef, rtol=1e-7)
    # first rows that tell nothing of the others
    order = np.argsort(X[:, 0])
    X[order[:2000], 1] = 3.0
    X[order[:2000], 2] += 1e4
    sorted_coef = LinearRegression(**settings).fit(X[order], y[order]).coef_
    np.testing.assert_allclose(sorted_coef, LinearRegression(**settings).fit(X, y).coef_, rtol=1e-9)
    weight = np.arange(5000.0) % 3
    X[weight == 0] = 1e9
    weighted = LinearRegression(**settings).fit(X, y, weight)
    kept = LinearRegression(**settings).fit(X[weight > 0], y[weight > 0], weight[weight > 0])
    np.testing.assert_allclose(weighted.coef_, kept.coef_, rtol=1e-9)


@pytest.mark.parametrize("settings", [{"alpha": 0.1}, {"alpha": 0.1, "l1_ratio": 0.5, "tol": 1e-10}])
def test_penalised_fits_of_float32_data_are_computed_in_float64(settings):
    X, y = problem(2000, 5, dtype=np.float32)
    model = LinearRegression(**settings).fit(X, y)
    wide = LinearRegression(**settings).fit(X.astype(np.float64), y.astype(np.float64))
    assert model.coef_.dtype == model.predict(X).dtype == np.float32
    np.testing.assert_allclose(model.coef_, wide.coef_, rtol=1e-7)


def test_outputs_are_models_of_their_own():
    X, y = problem(100, 10, 3)
    settings = {"alpha": 0.3, "l1_ratio": 0.7, "tol": 1e-12}
    model = LinearRegression(**settings).fit(X, y)
    for k in range(3):
        one = LinearRegression(**settings).fit(X, y[:, k])
        np.testing.assert_allclose(model.coef_[k], one.coef_, rtol=1e-10)
        np.testing.assert_allclose(model.intercept_[k], one.intercept_, rtol=1e-10)


def test_a_large_l1_penalty_leaves_the_mean():
    X, y = problem(100, 5)
    model = LinearRegression(alpha=1e3, l1_ratio=1).fit(X, y)
    np.testing.assert_array_equal(model.coef_, 0.0)
    np.testing.assert_allclose(model.intercept_, y.mean(), rtol=1e-12)
    assert model.n_iter_ == 0
    assert model.dual_gap_ == 0.0


def test_descent_that_does_not_end_is_told_of():
    X, y = problem(50, 40, 2)
    settings = {"alpha": 1e-3, "l1_ratio": 1, "max_iter": 3}
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\) reached.*duality gap is"):
        model = LinearRegression(**settings).fit(X, y)
    assert model.n_iter_ == 3
    assert (model.dual_gap_ > 0).all()
    best = LinearRegression(alpha=1e-3, l1_ratio=1, max_iter=100_000, tol=1e-12).fit(X, y)
    above = objective(model, X, y) - objective(best, X, y)
    assert (above >= 0).all()
    assert (above <= model.dual_gap_).all()


def test_descent_starts_from_the_last_solution():
    X, y = problem(100, 20)
    model = LinearRegression(alpha=0.01, l1_ratio=1, warm_start=True).fit(X, y)
    assert model.n_iter_ > 1
    coef = model.coef_.copy()
    model.fit(X, y)
    assert model.n_iter_ == 0
    np.testing.assert_array_equal(model.coef_, coef)


@pytest.mark.parametrize("n_rows", [200, 40])
def test_penalised_fits_have_the_same_bits_for_any_number_of_threads(n_rows):
    X, y = problem(n_rows, 150, 4)
    for settings in ({"alpha": 0.1}, {"alpha": 0.3, "l1_ratio": 1, "max_iter": 10_000}):
        runs = [LinearRegression(n_threads=n, **settings).fit(X, y) for n in THREAD_COUNTS]
        for run in runs[1:]:
            np.testing.assert_array_equal(run.coef_, runs[0].coef_)
            np.testing.assert_array_equal(run.intercept_, runs[0].intercept_)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("n_outputs", [None, 3])
def test_iterative_solvers_reach_the_ridge(solver, n_outputs):
    X, y = problem(500, 4, n_outputs)
    X -= 3.0
    exact = LinearRegression(alpha=0.5).fit(X, y)
    model = LinearRegression(alpha=0.5, solver=solver, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=0.01)
    np.testing.assert_allclose(model.loss_, exact.loss_, rtol=1e-3)
    with pytest.raises(ValueError, match=r"l1_ratio must be 0 with solver='(adam|sgd)'.* got 0.5; solver='exact'"):
        LinearRegression(alpha=0.5, l1_ratio=0.5, solver=solver).fit(X, y)
    # no penalty, of which l1_ratio would be a share
    LinearRegression(l1_ratio=0.5, solver=solver, random_state=0).fit(X, y)


def test_data_whose_squares_overflow():
    X, y = problem(20, 3)
    with pytest.raises(ValueError, match="the squares of X or y are not finite: scale"):
        LinearRegression(alpha=1.0, l1_ratio=1).fit(X * 1e200, y)
    with pytest.raises(ValueError, match="the squares of X or y are not finite: scale"):
        LinearRegression(alpha=1.0, l1_ratio=1).fit(X[:2] * 1e200, y[:2])
    # a ridge needs no squares
    np.testing.assert_allclose(
        LinearRegression(alpha=1.0).fit(X * 1e200, y).coef_ * 1e200, LinearRegression().fit(X, y).coef_, rtol=1e-9
    )
