"""Perceptrons: what they learn, and that settings, weights and seeds mean what they say."""
import pickle
import warnings

import numpy as np
import pytest

import fasttrain
from fasttrain import MLPClassifier, MLPRegressor
from fasttrain.data import load_digits, train_test_split, train_validation_test_split
from fasttrain.exceptions import ConvergenceWarning
from tests.helpers import DTYPES, THREAD_COUNTS

FEW_EPOCHS = pytest.mark.filterwarnings("ignore:Maximum iterations:UserWarning")


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_validation_test_split((X / 16).astype(np.float32), y, stratify=y, random_state=0)


def spirals(n=200, seed=0):
    """Two classes that no line separates."""
    generator = np.random.default_rng(seed)
    angle = generator.uniform(0.5, 3.0, n) * np.pi
    label = np.arange(n) % 2
    sign = 2.0 * label - 1.0
    return np.column_stack([sign * angle * np.cos(angle), sign * angle * np.sin(angle)]) / 5.0, label


@FEW_EPOCHS
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_learns_digits(digits, solver):
    X_train, X_val, X_test, y_train, y_val, y_test = digits
    rate = 0.005 if solver == "adam" else 0.1
    model = MLPClassifier(
        (64,), solver=solver, learning_rate_init=rate, batch_size=32, max_iter=30, random_state=0
    ).fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert model.score(X_test, y_test) >= 0.95
    assert len(model.loss_curve_) == len(model.validation_scores_) == len(model.validation_loss_curve_) == 30
    assert model.loss_curve_[-1] < 0.1 * model.loss_curve_[0]
    assert model.validation_scores_[-1] == np.mean(model.predict(X_val) == y_val)
    assert model.best_validation_score_ == max(model.validation_scores_) > 0.95
    probability = model.predict_proba(X_val)
    expected = -np.log(probability[np.arange(len(y_val)), y_val]).mean()
    np.testing.assert_allclose(model.validation_loss_curve_[-1], expected, rtol=1e-4)


@FEW_EPOCHS
@pytest.mark.parametrize(
    "activation",
    [
        "relu", "leaky_relu", "tanh", "sigmoid", "logistic", "gelu", "silu", "softplus", "elu",
        ("relu", "tanh"),
    ],
)
def test_every_activation_tells_inside_from_outside(activation):
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = (X**2).sum(axis=1) > 1.4
    model = MLPClassifier(
        (32, 16), activation, learning_rate_init=0.02, batch_size=20, max_iter=200, random_state=0
    ).fit(X, y)
    assert model.score(X, y) > 0.9


@FEW_EPOCHS
def test_logistic_is_sigmoid():
    X, y = spirals()
    one, other = (
        MLPClassifier((8,), name, max_iter=5, random_state=0).fit(X, y) for name in ("logistic", "sigmoid")
    )
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@FEW_EPOCHS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_same_bits_for_any_number_of_threads(digits, dtype, solver):
    X_train, _, X_test, y_train, _, _ = digits
    runs = []
    for n_threads in THREAD_COUNTS:
        model = MLPClassifier(
            (48, 24), solver=solver, max_iter=3, early_stopping=True, random_state=7, n_threads=n_threads
        ).fit(X_train.astype(dtype), y_train)
        runs.append((model.loss_curve_, model.validation_scores_, *model.coefs_, *model.intercepts_))
        runs[-1] += (model.predict_proba(X_test.astype(dtype)),)
    for run in runs[1:]:
        for actual, expected in zip(run, runs[0], strict=True):
            np.testing.assert_array_equal(actual, expected)


@FEW_EPOCHS
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_of_X_is_kept(dtype):
    X, y = spirals()
    X = X.astype(dtype)
    classifier = MLPClassifier((4,), max_iter=2, random_state=0).fit(X, y)
    regressor = MLPRegressor((4,), max_iter=2, random_state=0).fit(X, X[:, 0])
    assert {array.dtype for array in classifier.coefs_ + classifier.intercepts_} == {np.dtype(dtype)}
    assert classifier.predict_proba(X).dtype == classifier.predict_log_proba(X).dtype == dtype
    assert regressor.predict(X).dtype == dtype
    assert regressor.predict(X.astype(np.float64)).dtype == dtype


@FEW_EPOCHS
def test_random_states():
    X, y = spirals()

    def coefs(random_state):
        return MLPClassifier((4,), max_iter=2, random_state=random_state).fit(X, y).coefs_[0].copy()

    np.testing.assert_array_equal(coefs(3), coefs(np.int64(3)))
    for kind in (np.random.RandomState, np.random.default_rng):
        np.testing.assert_array_equal(coefs(kind(3)), coefs(kind(3)))
        shared = kind(3)
        assert not np.array_equal(coefs(shared), coefs(shared))
    assert not np.array_equal(coefs(None), coefs(None))
    assert not np.array_equal(coefs(3), coefs(4))


@FEW_EPOCHS
def test_layouts_give_the_same_model():
    X, y = spirals()
    X = np.hstack([X, X**2])
    wide = np.zeros((2 * len(X), 9))
    wide[::2, :4] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    expected = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, y).predict_proba(X)
    for other in (
        np.asfortranarray(X), wide[::2, :4], X[::-1][::-1], read_only, X.astype(">f8"), X.tolist(),
        np.ascontiguousarray(X[:, ::-1])[:, ::-1],
    ):  # fmt: skip
        model = MLPClassifier((5,), max_iter=3, random_state=0).fit(other, y)
        np.testing.assert_array_equal(model.predict_proba(other), expected)


def test_binary_multiclass_and_multilabel_outputs():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(300, 4))
    binary = np.where(X[:, 0] > 0, "yes", "no")
    three = np.digitize(X[:, 1], [-0.5, 0.5]) * 10
    several = (X[:, :3] > 0).astype(int)
    settings = {"learning_rate_init": 0.02, "max_iter": 400, "tol": 1e-3, "random_state": 0}

    model = MLPClassifier((16,), **settings).fit(X, binary)
    assert (model.n_outputs_, model.out_activation_, model.n_layers_) == (1, "logistic", 3)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predict_proba(X).shape == (300, 2)
    assert model.score(X, binary) > 0.95

    model = MLPClassifier((16,), **settings).fit(X, three)
    assert (model.n_outputs_, model.out_activation_) == (3, "softmax")
    assert model.classes_.tolist() == [0, 10, 20]
    assert model.score(X, three) > 0.95

    model = MLPClassifier((16,), **settings).fit(X, several, X_val=X[:50], y_val=several[:50])
    assert (model.n_outputs_, model.out_activation_) == (3, "logistic")
    assert model.predict(X).shape == model.predict_proba(X).shape == (300, 3)
    assert model.score(X, several) > 0.9
    assert model.validation_scores_[-1] == model.score(X[:50], several[:50])
    for labels in (binary, three, several):
        model = MLPClassifier((16,), **settings).fit(X, labels)
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)), atol=1e-9)


def test_log_probability_does_not_underflow():
    X = np.array([[-1.0], [1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier((), max_iter=1, random_state=0).fit(X, [0, 1])
    model.coefs_[0][:] = 2000.0
    model.intercepts_[0][:] = 0.0
    np.testing.assert_allclose(model.predict_log_proba(X), [[0.0, -2000.0], [-2000.0, 0.0]])


def test_coefs_are_views_that_predict_uses():
    X, _ = spirals()
    model = MLPRegressor((), max_iter=500, learning_rate_init=0.05, random_state=0)
    model.fit(X, X @ [2.0, -1.0] + 3)
    np.testing.assert_allclose(model.coefs_[0][:, 0], [2.0, -1.0], atol=0.05)
    model.coefs_[0][:] = 0.0
    np.testing.assert_array_equal(model.predict(X), np.full(len(X), model.intercepts_[0][0]))


def test_regression_with_several_outputs():
    generator = np.random.default_rng(0)
    X = generator.uniform(-1, 1, (400, 2))
    y = np.column_stack([np.sin(2 * X[:, 0]), X[:, 0] * X[:, 1], X.sum(axis=1)])
    model = MLPRegressor((32,), learning_rate_init=0.01, tol=1e-5, max_iter=1000, random_state=0)
    model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert model.predict(X).shape == (400, 3)
    assert model.score(X[300:], y[300:]) > 0.98
    np.testing.assert_allclose(model.validation_scores_[-1], model.score(X[300:], y[300:]), rtol=1e-9)
    expected = 0.5 * np.mean((model.predict(X[300:]) - y[300:]) ** 2)
    np.testing.assert_allclose(model.validation_loss_curve_[-1], expected, rtol=1e-9)


@FEW_EPOCHS
def test_one_full_batch_step_of_gradient_descent_by_hand():
    # without hidden layers, momentum and penalty: theta <- theta - rate * X^T (p - y) / n
    X, y = spirals(40)
    settings = {"solver": "sgd", "momentum": 0.0, "alpha": 0.0, "learning_rate_init": 0.5, "random_state": 0}
    model = MLPClassifier((), max_iter=1, batch_size=40, **settings).fit(X, y)
    weight, bias = model.coefs_[0].copy(), model.intercepts_[0].copy()
    residual = model.predict_proba(X)[:, 1] - y
    model.set_params(warm_start=True).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], weight[:, 0] - 0.5 * X.T @ residual / 40, rtol=1e-12)
    np.testing.assert_allclose(model.intercepts_[0], bias - 0.5 * residual.mean(), rtol=1e-12)


@FEW_EPOCHS
def test_alpha_is_divided_by_the_weight_of_the_batch():
    X, y = spirals(40)
    zeros = np.zeros_like(X)
    settings = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.5, "alpha": 2.0, "random_state": 0}
    model = MLPClassifier((), max_iter=1, batch_size=10, **settings).fit(zeros, y, np.full(40, 3.0))
    # X is zero, so the weights only shrink: 4 batches of weight 30
    start = MLPClassifier((), max_iter=1, **(settings | {"alpha": 0.0})).fit(zeros, y).coefs_[0]
    np.testing.assert_allclose(model.coefs_[0], start * (1 - 0.5 * 2.0 / 30) ** 4, rtol=1e-12)


@FEW_EPOCHS
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weights_are_as_good_as_repeated_rows(solver):
    X, y = spirals(30)
    weight = np.random.default_rng(0).integers(0, 4, 30)
    settings = {"solver": solver, "max_iter": 20, "random_state": 0, "shuffle": False}
    weighted = MLPClassifier((6,), batch_size=30, **settings).fit(X, y, weight)
    repeated = MLPClassifier((6,), batch_size=weight.sum(), **settings)
    repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-9)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


@FEW_EPOCHS
def test_batches_of_rows_without_weight():
    X, y = spirals(200)
    weight = np.zeros(200)
    weight[:20] = 1.0
    model = MLPClassifier((16,), batch_size=5, max_iter=300, learning_rate_init=0.02, random_state=0)
    model.fit(X, y, weight)
    assert np.isfinite(model.loss_curve_).all()
    assert model.score(X[:20], y[:20]) > 0.9


# ---- going on ------------------------------------------------------------------------------------------


@FEW_EPOCHS
def test_partial_fit_is_an_epoch_of_fit():
    X, y = spirals()
    fitted = MLPClassifier((8,), batch_size=16, max_iter=4, random_state=0).fit(X, y)
    model = MLPClassifier((8,), batch_size=16, random_state=0)
    for _ in range(4):
        assert model.partial_fit(X, y, classes=[0, 1]) is model
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(model.loss_curve_, fitted.loss_curve_)
    assert (model.n_iter_, model.t_) == (1, 800)


@FEW_EPOCHS
def test_partial_fit_goes_on_after_fit_and_pickling():
    X, y = spirals()
    fitted = MLPClassifier((8,), max_iter=6, random_state=0).fit(X, y)
    model = MLPClassifier((8,), max_iter=4, random_state=0).fit(X, y)
    model.partial_fit(X, y)
    pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    model = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))


def test_partial_fit_on_parts_of_any_size():
    X, y = spirals(400)
    model = MLPClassifier((16,), learning_rate_init=0.02, random_state=0)
    for _ in range(60):
        for part in np.array_split(np.arange(400), 9):
            model.partial_fit(X[part], y[part], classes=[0, 1])
    assert model.score(X, y) > 0.9
    assert model.t_ == 60 * 400


def test_partial_fit_with_another_optimizer_keeps_the_parameters():
    X, y = spirals()
    model = MLPClassifier((8,), random_state=0)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1])
    before = [array.copy() for array in model.coefs_]
    model.set_params(solver="sgd", learning_rate_init=1e-9, momentum=0.5).partial_fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], before[0], atol=1e-6)
    model.set_params(momentum=0.0).partial_fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], before[0], atol=1e-6)


def test_partial_fit_takes_a_new_learning_rate_and_keeps_the_moments():
    X, y = spirals()
    model = MLPClassifier((8,), random_state=0).partial_fit(X, y, classes=[0, 1])
    moment = model._engine.trainer.state_dict()["exp_avg_sq.0"]
    before = model.coefs_[0].copy()
    model.set_params(learning_rate_init=1e-12).partial_fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], before, atol=1e-9)
    trainer = model._engine.trainer
    assert (trainer.learning_rate, trainer.epoch, trainer.step) == (1e-12, 2, 2)
    np.testing.assert_allclose(trainer.state_dict()["exp_avg_sq.0"], moment, rtol=0.1, atol=1e-4)


def test_partial_fit_wants_the_classes():
    X, y = spirals(20)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    model = MLPClassifier((2,)).partial_fit(X[:1], y[:1], classes=[0, 1])
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"has classes not in `self.classes_`"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        model.set_params(early_stopping=True).partial_fit(X, y)


@FEW_EPOCHS
def test_warm_start_goes_on_with_a_new_optimizer():
    X, y = spirals()
    model = MLPClassifier((8,), max_iter=5, random_state=0, warm_start=True).fit(X, y)
    loss = model.loss_
    model.fit(X, y)
    assert model.loss_ < loss
    assert (len(model.loss_curve_), model.n_iter_, model.t_) == (10, 5, 2000)
    cold = MLPClassifier((8,), max_iter=5, random_state=0).fit(X, y)
    cold.fit(X, y)
    assert len(cold.loss_curve_) == 5
    assert cold.loss_ == loss


@FEW_EPOCHS
def test_warm_start_needs_the_same_model():
    X, y = spirals()
    model = MLPClassifier((8,), max_iter=2, random_state=0, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        model.fit(X, y + np.arange(len(y)) % 3)
    with pytest.raises(ValueError, match="has 1 features, but MLPClassifier is expecting 2"):
        model.fit(X[:, :1], y)
    with pytest.raises(ValueError, match="hidden_layer_sizes, activation and the outputs must be those"):
        model.set_params(hidden_layer_sizes=(9,)).fit(X, y)
    regressor = MLPRegressor((3,), max_iter=2, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="y must have 1 outputs, got 2"):
        regressor.fit(X, X)


# ---- stopping -------------------------------------------------------------------------------------------


def test_early_stopping_puts_the_best_parameters_back():
    X, y = spirals(300)
    X_train, X_val, y_train, y_val = train_test_split(X, y, random_state=0)
    flipped = y_train.copy()
    flipped[::7] = 1 - flipped[::7]  # labels to overfit
    model = MLPClassifier(
        (64,), early_stopping=True, n_iter_no_change=15, learning_rate_init=0.02, batch_size=16, max_iter=500,
        random_state=0,
    ).fit(X_train, flipped, X_val=X_val, y_val=y_val)  # fmt: skip
    assert model.n_iter_ < 500
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert np.mean(model.predict(X_val) == y_val) == model.best_validation_score_
    assert model.best_loss_ is None
    best = int(np.argmax(model.validation_scores_))
    assert model.n_iter_ >= best + 15


def test_early_stopping_splits_by_class():
    X, y = spirals(200)
    y = np.where(np.arange(200) < 20, 2, y)
    model = MLPClassifier((4,), early_stopping=True, validation_fraction=0.1, random_state=0).fit(X, y)
    assert model.t_ == 180 * model.n_iter_
    assert all(np.isclose(20 * score, round(20 * score)) for score in model.validation_scores_)
    regressor = MLPRegressor((4,), early_stopping=True, learning_rate_init=0.1, random_state=0)
    regressor.fit(X, X[:, 0], np.ones(200))
    assert len(regressor.validation_scores_) == regressor.n_iter_
    with pytest.raises(ValueError, match="validation set is too small"):
        MLPRegressor(early_stopping=True, validation_fraction=0.01).fit(X[:40], X[:40, 0])


def test_stops_when_the_loss_stalls():
    X, y = spirals()
    model = MLPClassifier((4,), tol=10.0, n_iter_no_change=3, random_state=0).fit(X, y)
    assert model.n_iter_ == 5  # the first epoch improves on infinity, and four do not
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.validation_scores_ is model.validation_loss_curve_ is model.best_validation_score_ is None


def test_max_iter_warns():
    X, y = spirals()
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\) reached"):
        model = MLPClassifier((4,), max_iter=3, random_state=0).fit(X, y)
    assert model.n_iter_ == 3


@FEW_EPOCHS
def test_learning_rate_schedules():
    X, y = spirals(100)
    settings = {"solver": "sgd", "learning_rate_init": 0.1, "random_state": 0, "max_iter": 3}
    model = MLPClassifier((4,), learning_rate="invscaling", power_t=0.5, **settings).fit(X, y)
    assert np.isclose(model._engine.trainer.learning_rate, 0.1 / 301**0.5)
    model = MLPClassifier((4,), learning_rate="constant", **settings).fit(X, y)
    assert model._engine.trainer.learning_rate == 0.1
    settings |= {"tol": 10.0, "n_iter_no_change": 1, "max_iter": 500}
    model = MLPClassifier((4,), learning_rate="adaptive", **settings).fit(X, y)
    assert model._engine.trainer.learning_rate <= 1e-6
    assert model.n_iter_ == 1 + 2 * 9  # 0.1 / 5**8 is the first rate below 1e-6


def test_interrupt_keeps_what_was_trained(monkeypatch):
    X, y = spirals()
    run_epoch = fasttrain.nn.Trainer.run_epoch

    def interrupted(self, *arguments):
        if self.epoch == 2:
            raise KeyboardInterrupt
        return run_epoch(self, *arguments)

    monkeypatch.setattr(fasttrain.nn.Trainer, "run_epoch", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        model = MLPClassifier((4,), random_state=0).fit(X, y)
    assert model.n_iter_ == 2
    assert model.predict(X).shape == y.shape


# ---- against scikit-learn ---------------------------------------------------------------------------------


@FEW_EPOCHS
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_trains_as_scikit_learn_does_from_the_same_parameters(solver):
    neural_network = pytest.importorskip("sklearn.neural_network", reason="needs scikit-learn")
    X, y = spirals(60)
    y = np.digitize(X[:, 0], [-0.4, 0.4])
    settings = {
        "solver": solver, "alpha": 0.1, "batch_size": 7, "shuffle": False, "max_iter": 15, "random_state": 0,
        "learning_rate_init": 0.01, "warm_start": True,
    }  # fmt: skip
    # its epsilon stands at another place, so there is hardly any
    settings |= {"epsilon": 1e-20} if solver == "adam" else {}
    peer = neural_network.MLPClassifier((6, 5), activation="tanh", **settings)
    model = MLPClassifier((6, 5), activation="tanh", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.set_params(max_iter=1).fit(X, y)
        model.set_params(max_iter=1).fit(X, y)
        for ours, theirs in zip(
            model.coefs_ + model.intercepts_, peer.coefs_ + peer.intercepts_, strict=True
        ):
            ours[:] = theirs
        peer.set_params(max_iter=15).fit(X, y)
        model.set_params(max_iter=15).fit(X, y)
    for ours, theirs in zip(model.coefs_ + model.intercepts_, peer.coefs_ + peer.intercepts_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.loss_curve_[1:], peer.loss_curve_[1:], rtol=1e-9)
    np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), rtol=1e-7)
