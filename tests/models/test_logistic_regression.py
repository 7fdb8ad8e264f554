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


def objective(model, X, y, C, sample_weight=None):
    """scikit-learn's objective, divided by C times the total weight."""
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    codes = np.searchsorted(model.classes_, y)
    log_probability = model.predict_log_proba(X)[np.arange(len(y)), codes]
    penalty = 0.0 if np.isinf(C) else 0.5 * np.sum(np.square(model.coef_)) / (C * weight.sum())
    return -np.average(log_probability, weights=weight) + penalty


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_reaches_scikit_learns_optimum(solver, binary, fit_intercept):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    X_train, X_test, y_train, y_test = standardised_digits(binary)
    for C in (1.0, 0.01):
        settings = {"C": C, "fit_intercept": fit_intercept, "random_state": 0}
        peer = linear_model.LogisticRegression(max_iter=3000, **settings).fit(X_train, y_train)
        model = LogisticRegression(solver=solver, **settings).fit(X_train, y_train)
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
    model = LogisticRegression(C=0.1, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.loss_, objective(model, X, y, 0.1), rtol=1e-3)


def test_full_batches_reach_a_gradient_of_zero():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(120, 3))
    y = (X[:, 0] + generator.normal(size=120) > 0).astype(int)
    weight = generator.uniform(0, 2, 120)
    model = LogisticRegression(C=0.5, tol=1e-12, max_iter=5000, random_state=0).fit(X, y, weight)
    residual = weight * (model.predict_proba(X)[:, 1] - y)
    gradient = residual @ X + model.coef_[0] / 0.5
    np.testing.assert_allclose(gradient / weight.sum(), 0.0, atol=1e-5)
    np.testing.assert_allclose(residual.sum() / weight.sum(), 0.0, atol=1e-5)


def test_no_penalty():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(200, 2))
    y = (X[:, 0] + generator.normal(size=200) > 0).astype(int)
    model = LogisticRegression(C=np.inf, batch_size=200, tol=1e-12, max_iter=5000, random_state=0).fit(X, y)
    residual = model.predict_proba(X)[:, 1] - y
    np.testing.assert_allclose(residual @ X / 200, 0.0, atol=1e-5)


def test_class_weight_is_a_factor_of_sample_weight():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(150, 3))
    y = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + generator.normal(size=150), [0.3, 1.5])]
    weight = generator.uniform(0.5, 1.5, 150)
    factors = {"a": 2.0, "c": 5.0}
    one = LogisticRegression(class_weight=factors, random_state=0).fit(X, y, weight)
    other = LogisticRegression(random_state=0).fit(X, y, weight * [factors.get(label, 1.0) for label in y])
    np.testing.assert_array_equal(one.coef_, other.coef_)

    totals = {label: weight[y == label].sum() for label in "abc"}
    balanced = {label: weight.sum() / (3 * total) for label, total in totals.items()}
    one = LogisticRegression(class_weight="balanced", random_state=0).fit(X, y, weight)
    other = LogisticRegression(class_weight=balanced, random_state=0).fit(X, y, weight)
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9)
    plain = LogisticRegression(random_state=0).fit(X, y)
    assert np.mean(one.predict(X) == "c") > np.mean(plain.predict(X) == "c")


def test_class_weight_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    generator = np.random.default_rng(0)
    X = generator.normal(size=(2000, 3))
    y = (X[:, 0] + generator.normal(size=2000) > 1.5).astype(int)
    peer = linear_model.LogisticRegression(class_weight="balanced").fit(X, y)
    model = LogisticRegression(class_weight="balanced", random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(dtype):
    X, X_test, y, _ = standardised_digits()
    runs = []
    for n_threads in THREAD_COUNTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=5, batch_size=100, random_state=0, n_threads=n_threads)
            model.fit(X.astype(dtype), y)
        runs.append((model.coef_, model.intercept_, model.predict_proba(X_test), model.loss_curve_))
        assert model.coef_.dtype == model.predict_proba(X_test).dtype == dtype
    for run in runs[1:]:
        for actual, expected in zip(run, runs[0], strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_decision_function_and_probabilities():
    X, X_test, y, _ = standardised_digits()
    model = LogisticRegression(random_state=0).fit(X, y)
    logits = model.decision_function(X_test)
    np.testing.assert_allclose(logits, X_test @ model.coef_.T + model.intercept_, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X_test), model.classes_[logits.argmax(axis=1)])
    np.testing.assert_allclose(model.predict_proba(X_test).sum(axis=1), 1.0)
    np.testing.assert_allclose(
        model.predict_log_proba(X_test), np.log(model.predict_proba(X_test)), atol=1e-9
    )
    two = LogisticRegression(random_state=0).fit(X, y > 4)
    logits = two.decision_function(X_test)
    assert logits.shape == (len(X_test),)
    np.testing.assert_array_equal(two.predict(X_test), logits > 0)
    np.testing.assert_allclose(two.predict_proba(X_test)[:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_warm_start_starts_from_the_solution():
    X, _, y, _ = standardised_digits(binary=True)
    model = LogisticRegression(warm_start=True, random_state=0).fit(X, y)
    first, last = model.loss_curve_[0], model.loss_
    model.fit(X, y)
    assert model.loss_curve_[0] < 0.2 * first
    assert model.loss_ <= last + 1e-4
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X[:, :5], y)


def test_validation_curve():
    X, X_test, y, y_test = standardised_digits()
    model = LogisticRegression(random_state=0).fit(X, y, X_val=X_test, y_val=y_test)
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_
    assert model.validation_scores_[-1] == model.score(X_test, y_test)
    assert model.best_validation_score_ == max(model.validation_scores_)
