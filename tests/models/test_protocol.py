"""The estimators among others: parameters, copies, pickles, scikit-learn's tools, imports."""
import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fasttrain
from fasttrain import LinearRegression, LogisticRegression, MLPClassifier, MLPRegressor
from fasttrain.data import load_digits
from fasttrain.exceptions import NotFittedError

CLASSES = (LinearRegression, LogisticRegression, MLPClassifier, MLPRegressor)
# also for scikit-learn's own subclass of it
FEW_EPOCHS = pytest.mark.filterwarnings("ignore:Maximum iterations:UserWarning")


def small(kind):
    """An unfitted estimator that trains fast."""
    if kind is LinearRegression:
        return kind()
    settings = {"max_iter": 5, "random_state": 0}
    return kind(**settings) if kind is LogisticRegression else kind((5,), **settings)


def data(kind, n_rows=60):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n_rows, 3))
    return X, (np.digitize(X[:, 0], [-0.5, 0.5]) if "Regress" not in kind.__name__ else X[:, 0] * 2)


def data_for(kind):
    X, y = data(kind)
    return (X, np.digitize(X[:, 0], [-0.5, 0.5])) if kind is LogisticRegression else (X, y)


@pytest.mark.parametrize("kind", CLASSES)
def test_parameters(kind):
    model = kind()
    names = model.get_params()
    assert names == model.get_params(deep=False)
    assert all(getattr(model, name) is value for name, value in names.items())
    assert model.set_params(tol=0.5, n_threads=2) is model
    assert (model.tol, model.n_threads) == (0.5, 2)
    with pytest.raises(ValueError, match=r"Invalid parameter 'depth' for estimator .* Valid parameters are"):
        model.set_params(tol=0.25, depth=3)
    assert model.tol == 0.5
    assert repr(kind()) == f"{kind.__name__}()"
    assert repr(model) == f"{kind.__name__}(tol=0.5, n_threads=2)"
    assert repr(eval(repr(model))) == repr(model)


def test_parameters_are_scikit_learns():
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn import linear_model, neural_network

    for ours, theirs, left_out in (
        (MLPClassifier, neural_network.MLPClassifier, {"max_fun"}),
        (MLPRegressor, neural_network.MLPRegressor, {"max_fun", "loss"}),
    ):
        peers = theirs().get_params()
        mine = ours().get_params()
        assert set(peers) - set(mine) == left_out
        assert set(mine) - set(peers) == {"n_threads"}
        assert {name: mine[name] for name in mine if name in peers} == {
            name: peers[name] for name in peers if name in mine
        }
    peers, mine = linear_model.LogisticRegression().get_params(), LogisticRegression().get_params()
    assert set(peers) - set(mine) == {"penalty", "dual", "intercept_scaling", "n_jobs"}
    assert all(mine[name] == peers[name] for name in mine if name in peers)


@FEW_EPOCHS
@pytest.mark.parametrize("kind", CLASSES)
def test_copies_and_pickles(kind):
    X, y = data_for(kind)
    model = small(kind).fit(X, y)
    expected = model.predict(X)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X), expected)
        assert other.n_iter_ == model.n_iter_
        coefs = other.coefs_ if hasattr(other, "coefs_") else [other.coef_]
        coefs[0][:] = 0.0
        assert not np.array_equal(other.predict(X), expected)
        np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("kind", CLASSES)
def test_not_fitted(kind):
    model = small(kind)
    X, _ = data_for(kind)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        if hasattr(model, method):
            with pytest.raises(NotFittedError, match=f"This {kind.__name__} instance is not fitted yet"):
                getattr(model, method)(X)
    for name in ("coef_", "coefs_", "intercept_", "intercepts_", "loss_curve_"):
        assert not hasattr(model, name)


@FEW_EPOCHS
@pytest.mark.parametrize("kind", CLASSES)
def test_a_fit_that_fails_changes_nothing(kind):
    X, y = data_for(kind)
    model = small(kind).fit(X, y)
    before = pickle.dumps(vars(model))
    expected = model.predict(X)
    for bad_X, bad_y in ((X * np.nan, y), (X, y[:-1]), (X[:0], y[:0])):
        with pytest.raises(ValueError, match=r"NaN|must have as many rows|0 sample"):
            model.fit(bad_X, bad_y)
        assert pickle.dumps(vars(model)) == before
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("kind", [LinearRegression, LogisticRegression, MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("how", ["fit", "warm_start", "partial_fit"])
@FEW_EPOCHS
def test_a_loss_that_becomes_non_finite_changes_nothing(kind, how):
    X, y = data_for(kind)
    model = small(kind)
    if kind is LinearRegression:
        model.set_params(solver="sgd", max_iter=5, random_state=0)
    if how == "partial_fit" and not hasattr(model, "partial_fit"):
        pytest.skip("the linear models have no partial_fit")
    model.set_params(solver="sgd", warm_start=how == "warm_start").fit(X, y)
    model.set_params(learning_rate_init=1e300)
    before = pickle.dumps(vars(model))
    expected = model.predict(X)
    train = model.partial_fit if how == "partial_fit" else model.fit
    with pytest.raises(ValueError, match=r"(not finite in epoch \d+, step \d+)|(non-finite in epoch)"):
        train(X * 1e10, y)
    assert pickle.dumps(vars(model)) == before
    np.testing.assert_array_equal(model.predict(X), expected)


@FEW_EPOCHS
def test_refitting_forgets_the_last_fit():
    X, y = data(MLPRegressor)
    model = LinearRegression().fit(X, y)
    model.note = "kept"
    model.set_params(solver="adam", max_iter=2, random_state=0).fit(X[:, :2], y)
    assert (model.n_features_in_, model.note) == (2, "kept")
    assert not hasattr(model, "rank_")


class Frame:
    """A data frame as estimators see one: columns with names, and an array."""

    def __init__(self, X, columns):
        self.X, self.columns = X, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.X, dtype=dtype)


def test_feature_names():
    X, y = data(MLPRegressor)
    model = LinearRegression().fit(Frame(X, ["a", "b", "c"]), y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(
        model.predict(Frame(X, ["a", "b", "c"])), LinearRegression().fit(X, y).predict(X)
    )
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(Frame(X, ["a", "c", "b"]))
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- d\nFeature names seen .*missing:\n- c"):
        model.predict(Frame(X, ["a", "b", "d"]))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        model.fit(Frame(X, ["a", "b", 3]), y)
    model.fit(Frame(X, [1, 2, 3]), y)
    assert not hasattr(model, "feature_names_in_")
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        model.predict(Frame(X, ["a", "b", "c"]))


@FEW_EPOCHS
def test_with_scikit_learns_tools():
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = load_digits(return_X_y=True)
    X, y = X[:500].astype(np.float32), y[:500]
    model = MLPClassifier((16,), max_iter=15, learning_rate_init=0.02, random_state=0)
    copied = clone(model.fit(X, y))
    assert copied.get_params() == model.get_params()
    assert not hasattr(copied, "coefs_")
    assert is_classifier(model)
    assert is_classifier(LogisticRegression())
    assert is_regressor(MLPRegressor())
    assert is_regressor(LinearRegression())
    pipeline = make_pipeline(StandardScaler(), model)
    assert "MLPClassifier" in pipeline._repr_html_()
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.85
    grid = {"mlpclassifier__alpha": [1e-4, 1e-1], "mlpclassifier__hidden_layer_sizes": [(4,), (24,)]}
    search = GridSearchCV(pipeline, grid, cv=2)
    search.fit(X, y, mlpclassifier__sample_weight=np.ones(500))
    assert search.best_params_["mlpclassifier__hidden_layer_sizes"] == (24,)
    assert search.score(X, y) > 0.9
    scores = cross_val_score(LogisticRegression(), X / 16, y, cv=2, scoring="neg_log_loss")
    assert scores.mean() > -0.7


def test_public_names_load_on_first_use():
    code = """
import sys, numpy
before = set(sys.modules)
import fasttrain
loaded = {name for name in set(sys.modules) - before if name.startswith("fasttrain.")}
assert not {name.split(".")[1] for name in loaded} - {"_version", "_show_config", "kernels"}, loaded
assert set(fasttrain.__all__) <= set(dir(fasttrain))
import fasttrain.models
for name in ("LinearRegression", "LogisticRegression", "MLPClassifier", "MLPRegressor"):
    assert getattr(fasttrain, name) is getattr(fasttrain.models, name)
for name in ("data", "exceptions", "kernels", "losses", "metrics", "models", "nn", "optim", "plots"):
    assert getattr(fasttrain, name) is sys.modules["fasttrain." + name]
fasttrain.LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]).score([[1.0], [2.0]], [1.0, 2.0])
assert "sklearn" not in sys.modules and "matplotlib" not in sys.modules and "scipy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="module 'fasttrain' has no attribute 'nothing'"):
        _ = fasttrain.nothing
