"""Logistic regression: the optimum that scikit-learn's solvers find."""
import warnings

import numpy as np
import pytest

from fasttrain import LogisticRegression
from fasttrain.data import load_digits, train_test_split
from fasttrain.exceptions import ConvergenceWarning
from tests.helpers import DTYPES, THREAD_COUNTS


def standardised_digits(binary=False):
    X, y = load_digits(return_X_y=True)
    if binary:
        X, y = X[(y == 3) | (y == 8)], y[(y == 3) | (y == 8)]
    X_train, X_test, y_train, y_test = train_test_split(
        X[:1000].astype(float), y[:1000], stratify=y[:1000], random_state=0
    )
    mean, scale = X_train.mean(axis=0), X_train.std(axis=0)
    scale[scale == 0] = 1.0
    return (X_train - mean) / scale, (X_test - mean) / scale, y_train, y_test


def problem(n_classes, n_rows=400):
    """Features of different scales, classes that overlap, and weights some of which are zero."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n_rows, 7)) * [1, 2, 0.5, 1, 1, 3, 1] + 0.5
    score = X @ generator.normal(size=7) + 2 * generator.normal(size=n_rows)
    y = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    return X, np.array(["a", "b", "c", "d", "e"])[y], np.maximum(generator.uniform(-0.2, 2, n_rows), 0)


def objective(model, X, y, C, sample_weight=None):
    """scikit-learn's objective with the L2 penalty, divided by C times the total weight."""
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    codes = np.searchsorted(model.classes_, y)
    log_probability = model.predict_log_proba(X)[np.arange(len(y)), codes]
    penalty = 0.0 if np.isinf(C) else 0.5 * np.sum(np.square(model.coef_)) / (C * weight.sum())
    return -np.average(log_probability, weights=weight) + penalty


# with an L1 penalty and an even number of classes over two the minimum is no single point
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.4, 1.0])
def test_coefficients_are_scikit_learns(l1_ratio, weighted, fit_intercept, n_classes):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X, y, weight = problem(n_classes)
    # lbfgs ends where the objective falls by less than 64 units of its rounding, 1.4e-14, and the coefficients err by
    # some square roots of that; saga ends earlier
    solver, tolerance = ("saga", 1e-5) if l1_ratio else ("lbfgs", 1e-6)
    for C in (0.02, 1.0):
        settings = {"C": C, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept, "tol": 1e-10}
        arguments = (X, y, weight if weighted else None)
        peer = linear_model.LogisticRegression(solver=solver, max_iter=20000, random_state=0, **settings)
        peer.fit(*arguments)
        model = LogisticRegression(max_iter=1000, **settings).fit(*arguments)
        np.testing.assert_allclose(model.coef_, peer.coef_, atol=tolerance)
        np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=tolerance)
        np.testing.assert_array_equal(model.coef_ == 0, peer.coef_ == 0)
        assert np.any(model.coef_ == 0) or l1_ratio == 0 or C == 1.0
        assert model.coef_.shape == peer.coef_.shape
        assert model.intercept_.shape == peer.intercept_.shape
        if not l1_ratio:
            np.testing.assert_allclose(model.loss_, objective(model, *arguments[:2], C, arguments[2]), rtol=1e-12)
            np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-6)


def test_l1_is_liblinears():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X, y, _ = problem(2)
    settings = {"C": 0.05, "l1_ratio": 1.0, "fit_intercept": False, "tol": 1e-10}
    peer = linear_model.LogisticRegression(solver="liblinear", max_iter=10000, random_state=0, **settings)
    model = LogisticRegression(max_iter=1000, **settings).fit(X, y)
    # liblinear stops earlier than its tolerance says
    np.testing.assert_allclose(model.coef_, peer.fit(X, y).coef_, atol=1e-4)


def test_defaults_are_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X, _, y, _ = standardised_digits()
    peer = linear_model.LogisticRegression().fit(X, y)
    model = LogisticRegression().fit(X, y)
    assert abs(model.n_iter_ - peer.n_iter_[0]) <= 3
    # both stop where no element of the gradient is over 1e-4
    np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=2e-3)
    np.testing.assert_array_equal(LogisticRegression(l1_ratio=None).fit(X, y).coef_, model.coef_)


@pytest.mark.parametrize("binary", [True, False])
def test_float32_is_float64_to_its_precision(binary):
    X, _, y, _ = standardised_digits(binary)
    precise = LogisticRegression(tol=1e-8, max_iter=1000).fit(X, y)
    model = LogisticRegression(tol=1e-5, max_iter=1000).fit(X.astype(np.float32), y)
    assert model.coef_.dtype == np.float32
    np.testing.assert_allclose(model.loss_, precise.loss_, rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(X), precise.predict_proba(X), atol=1e-3)


def test_a_strong_l1_penalty_leaves_the_intercept():
    X, y, weight = problem(2)
    model = LogisticRegression(C=1e-4, l1_ratio=1.0, tol=1e-9).fit(X, y, weight)
    np.testing.assert_array_equal(model.coef_, 0.0)
    share = np.average(y == "b", weights=weight)
    np.testing.assert_allclose(model.intercept_, np.log(share / (1 - share)), rtol=1e-6)


def test_the_last_iteration_is_a_warning():
    X, y, _ = problem(3)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\) reached"):
        model = LogisticRegression(max_iter=3).fit(X, y)
    assert (model.n_iter_, len(model.loss_curve_)) == (3, 3)
    assert model.loss_ == model.loss_curve_[-1] == model.best_loss_
    assert model.t_ >= 3 * len(X)
    assert np.all(np.diff(model.loss_curve_) < 0)


def test_an_interrupted_fit_keeps_what_it_has(monkeypatch):
    X, y, _ = problem(3)
    seen = []

    def epoch(self, number, loss, validation):
        seen.append(loss)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("fasttrain.models.training.Progress.epoch", epoch)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = LogisticRegression().fit(X, y)
    assert model.loss_curve_ == seen
    np.testing.assert_allclose(model.loss_, objective(model, X, y, 1.0), rtol=1e-12)


def test_features_too_large_for_a_gradient():
    X, y, _ = problem(2)
    model = LogisticRegression()
    with pytest.raises(ValueError, match="scale the features"):
        model.fit(X * 1e307, y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_stochastic_solvers_reach_scikit_learns_optimum(solver, binary, fit_intercept):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X_train, X_test, y_train, y_test = standardised_digits(binary)
    for C in (1.0, 0.01):
        settings = {"C": C, "fit_intercept": fit_intercept, "random_state": 0}
        peer = linear_model.LogisticRegression(max_iter=3000, **settings).fit(X_train, y_train)
        model = LogisticRegression(solver=solver, tol=1e-6, max_iter=1000, **settings).fit(X_train, y_train)
        assert objective(model, X_train, y_train, C) <= objective(peer, X_train, y_train, C) + 1e-3
        # the log-loss of the test set, which sgd approaches more slowly
        np.testing.assert_allclose(
            objective(model, X_test, y_test, np.inf), objective(peer, X_test, y_test, np.inf), atol=3e-3
        )
        # two rows of the test set
        assert abs(model.score(X_test, y_test) - peer.score(X_test, y_test)) <= 2.5 / len(y_test)
        assert model.coef_.shape == peer.coef_.shape
        assert model.intercept_.shape == peer.intercept_.shape
        if not fit_intercept:
            np.testing.assert_array_equal(model.intercept_, 0.0)


def test_loss_is_the_objective():
    X, _, y, _ = standardised_digits()
    model = LogisticRegression(C=0.1).fit(X, y)
    np.testing.assert_allclose(model.loss_, objective(model, X, y, 0.1), rtol=1e-12)
    # that of an epoch is the mean over its batches
    model = LogisticRegression(C=0.1, solver="adam", max_iter=1000, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.loss_, objective(model, X, y, 0.1), rtol=1e-3)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_full_batches_reach_a_gradient_of_zero(solver):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(120, 3))
    y = (X[:, 0] + generator.normal(size=120) > 0).astype(int)
    weight = generator.uniform(0, 2, 120)
    model = LogisticRegression(C=0.5, solver=solver, tol=1e-12, max_iter=5000, random_state=0).fit(X, y, weight)
    residual = weight * (model.predict_proba(X)[:, 1] - y)
    gradient = residual @ X + model.coef_[0] / 0.5
    np.testing.assert_allclose(gradient / weight.sum(), 0.0, atol=1e-5)
    np.testing.assert_allclose(residual.sum() / weight.sum(), 0.0, atol=1e-5)


def test_no_penalty():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(200, 2))
    y = (X[:, 0] + generator.normal(size=200) > 0).astype(int)
    for l1_ratio, solver in ((0.0, "lbfgs"), (0.5, "lbfgs"), (1.0, "lbfgs"), (0.0, "adam")):
        settings = {"solver": solver, "l1_ratio": l1_ratio, "batch_size": 200, "random_state": 0}
        model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=5000, **settings).fit(X, y)
        residual = model.predict_proba(X)[:, 1] - y
        np.testing.assert_allclose(residual @ X / 200, 0.0, atol=1e-5)


def test_class_weight_is_a_factor_of_sample_weight():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(150, 3))
    y = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + generator.normal(size=150), [0.3, 1.5])]
    weight = generator.uniform(0.5, 1.5, 150)
    factors = {"a": 2.0, "c": 5.0}
    one = LogisticRegression(class_weight=factors).fit(X, y, weight)
    other = LogisticRegression().fit(X, y, weight * [factors.get(label, 1.0) for label in y])
    np.testing.assert_array_equal(one.coef_, other.coef_)

    totals = {label: weight[y == label].sum() for label in "abc"}
    balanced = {label: weight.sum() / (3 * total) for label, total in totals.items()}
    one = LogisticRegression(class_weight="balanced").fit(X, y, weight)
    other = LogisticRegression(class_weight=balanced).fit(X, y, weight)
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9)
    plain = LogisticRegression().fit(X, y)
    assert np.mean(one.predict(X) == "c") > np.mean(plain.predict(X) == "c")


def test_class_weight_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    generator = np.random.default_rng(0)
    X = generator.normal(size=(2000, 3))
    y = (X[:, 0] + generator.normal(size=2000) > 1.5).astype(int)
    for weight in (None, generator.uniform(0, 2, 2000)):
        for class_weight in ("balanced", {0: 0.5, 1: 3.0}):
            settings = {"class_weight": class_weight, "tol": 1e-9}
            peer = linear_model.LogisticRegression(**settings).fit(X, y, weight)
            model = LogisticRegression(**settings).fit(X, y, weight)
            np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-7)
            np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("settings", [{}, {"l1_ratio": 0.5, "C": 0.1}, {"solver": "adam"}])
def test_same_bits_for_any_number_of_threads(settings, dtype):
    X, X_test, y, _ = standardised_digits()
    runs = []
    for n_threads in THREAD_COUNTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=5, batch_size=100, random_state=0, n_threads=n_threads, **settings)
            model.fit(X.astype(dtype), y)
        runs.append((model.coef_, model.intercept_, model.predict_proba(X_test), model.loss_curve_))
        assert model.coef_.dtype == model.predict_proba(X_test).dtype == dtype
    for run in runs[1:]:
        for actual, expected in zip(run, runs[0], strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_decision_function_and_probabilities():
    X, X_test, y, _ = standardised_digits()
    model = LogisticRegression().fit(X, y)
    logits = model.decision_function(X_test)
    np.testing.assert_allclose(logits, X_test @ model.coef_.T + model.intercept_, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X_test), model.classes_[logits.argmax(axis=1)])
    np.testing.assert_allclose(model.predict_proba(X_test).sum(axis=1), 1.0)
    np.testing.assert_allclose(
        model.predict_log_proba(X_test), np.log(model.predict_proba(X_test)), atol=1e-9
    )
    two = LogisticRegression().fit(X, y > 4)
    logits = two.decision_function(X_test)
    assert logits.shape == (len(X_test),)
    np.testing.assert_array_equal(two.predict(X_test), logits > 0)
    np.testing.assert_allclose(two.predict_proba(X_test)[:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_warm_start_starts_from_the_solution():
    X, _, y, _ = standardised_digits(binary=True)
    for settings in ({}, {"l1_ratio": 1.0}):
        model = LogisticRegression(warm_start=True, **settings).fit(X, y)
        coef, loss = model.coef_.copy(), model.loss_
        model.fit(X, y)
        assert (model.n_iter_, model.t_, model.loss_curve_) == (0, len(X), [loss])
        np.testing.assert_array_equal(model.coef_, coef)
        model.set_params(tol=1e-6).fit(X, y)
        assert model.n_iter_ > 0
        assert model.loss_curve_[0] < loss
    model = LogisticRegression(solver="adam", tol=1e-6, max_iter=1000, warm_start=True, random_state=0).fit(X, y)
    first, last = model.loss_curve_[0], model.loss_
    model.fit(X, y)
    assert model.loss_curve_[0] < 0.2 * first
    assert model.loss_ <= last + 1e-4
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X[:, :5], y)


def test_validation_curve():
    X, X_test, y, y_test = standardised_digits()
    for settings in ({}, {"solver": "adam", "random_state": 0, "max_iter": 1000}):
        model = LogisticRegression(**settings).fit(X, y, X_val=X_test, y_val=y_test)
        assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_
        assert model.validation_scores_[-1] == model.score(X_test, y_test)
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert len(model.validation_loss_curve_) == model.n_iter_
        np.testing.assert_allclose(
            model.validation_loss_curve_[-1], objective(model, X_test, y_test, np.inf), rtol=1e-12
        )
