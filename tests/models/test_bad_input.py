"""What the estimators refuse, and what they say."""
import numpy as np
import pytest

from fasttrain import LinearRegression, LogisticRegression, MLPClassifier, MLPRegressor
from fasttrain.exceptions import DataConversionWarning

CLASSIFIERS = (LogisticRegression, MLPClassifier)
REGRESSORS = (LinearRegression, MLPRegressor)
ALL = CLASSIFIERS + REGRESSORS

X = np.random.default_rng(0).normal(size=(20, 3))
LABELS = np.arange(20) % 2


class Sparse:
    """Looks like scipy's matrices to whoever asks."""

    shape = (20, 3)

    def tocsr(self):
        return self

    def toarray(self):
        return X


def with_value(value, array=X):
    array = array.astype(float)
    array.flat[3] = value
    return array


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (with_value(np.nan), ValueError, "Input X contains NaN"),
        (with_value(np.inf), ValueError, r"Input X contains infinity .* for dtype\('float64'\)"),
        (with_value(-np.inf).astype(np.float32), ValueError, r"infinity .* dtype\('float32'\)"),
        (X[0], ValueError, r"Expected 2D array, got 1D array instead.*reshape\(-1, 1\)"),
        (np.float64(3), ValueError, "Expected 2D array, got 0D array"),
        (X[np.newaxis], ValueError, "Found array with dim 3"),
        (X[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
        (X[:, :0], ValueError, r"0 feature\(s\) \(shape=\(20, 0\)\) while a minimum of 1 is required"),
        (X + 1j, ValueError, "Complex data not supported"),
        (X.astype(str), ValueError, "X must be numeric, got dtype <U"),
        (X.astype(object) + [0, 0, 1j], ValueError, "Complex data not supported"),
        (np.array([[{}] * 3] * 20), TypeError, "X must be numeric.*float"),
        (X.astype("datetime64[s]"), ValueError, "X must be numeric"),
        ([[1.0, 2.0], [3.0]] * 10, ValueError, "X is no rectangular array"),
        (Sparse(), TypeError, r"X is a sparse matrix.*X\.toarray\(\)"),
        (np.ma.masked_greater(X, 1.0), TypeError, "masked"),
        (None, ValueError, "Expected array-like for X, got None"),
        ("text", ValueError, "Expected array-like for X"),
    ],
)
def test_bad_X(kind, bad, error, message):
    model = kind()
    with pytest.raises(error, match=message):
        model.fit(bad, LABELS)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("kind", REGRESSORS)
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (with_value(np.nan, LABELS), ValueError, "Input y contains NaN"),
        (with_value(np.inf, LABELS), ValueError, "Input y contains infinity"),
        (LABELS[:-1], ValueError, "y must have as many rows as X, 20, got 19"),
        (LABELS.astype(str), ValueError, "y must be numeric"),
        (X[:, :0], ValueError, "y has no columns"),
        (X[np.newaxis], ValueError, "y must be 1-D or 2-D"),
        (None, ValueError, "requires y to be passed, but the target y is None"),
        (Sparse(), TypeError, "y is a sparse matrix"),
    ],
)
def test_bad_values(kind, bad, error, message):
    with pytest.raises(error, match=message):
        kind().fit(X, bad)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (with_value(np.nan, LABELS), ValueError, "Input y contains NaN"),
        (with_value(np.inf, LABELS), ValueError, "Input y contains infinity"),
        (with_value(0.5, LABELS), ValueError, "Unknown label type: continuous"),
        (LABELS[:-1], ValueError, "y must have as many rows as X, 20, got 19"),
        (np.zeros(20), ValueError, "at least two classes to tell apart, but it has one class: "),
        (np.array(["a", 1] * 10, dtype=object), ValueError, "cannot be sorted, of types int, str"),
        (np.array(["a", None] * 10, dtype=object), ValueError, "mixes labels that cannot be sorted"),
        (np.array([np.nan, 1.0] * 10, dtype=object), ValueError, "Input y contains NaN"),
        (np.column_stack([LABELS, 2 * LABELS]), ValueError, "Unknown label type: multiclass-multioutput"),
        (X, ValueError, "Unknown label type: continuous"),
        (X[np.newaxis], ValueError, "y should be a 1d array"),
        (LABELS * 1j, ValueError, "Complex data not supported"),
        (None, ValueError, "requires y to be passed, but the target y is None"),
        (Sparse(), TypeError, "y is a sparse matrix"),
    ],
)
def test_bad_labels(kind, bad, error, message):
    with pytest.raises(error, match=message):
        kind().fit(X, bad)


def test_several_labels_a_row_are_not_for_logistic_regression():
    with pytest.raises(ValueError, match="y should be a 1d array"):
        LogisticRegression().fit(X, X > 0)


@pytest.mark.parametrize("kind", [LogisticRegression, MLPClassifier, MLPRegressor])
@pytest.mark.filterwarnings("ignore:Maximum iterations:UserWarning")
def test_a_column_is_taken_with_a_warning(kind):
    model = kind(max_iter=2, random_state=0)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed") as caught:
        model.fit(X, LABELS[:, np.newaxis])
    assert sum(issubclass(each.category, DataConversionWarning) for each in caught) == 1
    assert model.predict(X).shape == (20,)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(19), r"sample_weight must have shape \(20,\), got \(19,\)"),
        (np.ones((20, 1)), r"sample_weight must have shape \(20,\), got \(20, 1\)"),
        (with_value(np.nan, np.ones(20)), "Input sample_weight contains NaN"),
        (with_value(np.inf, np.ones(20)), "Input sample_weight contains infinity"),
        (with_value(-1.0, np.ones(20)), "sample_weight must not be negative, got -1.0"),
        (np.zeros(20), "Sample weights must contain at least one non-zero number"),
        (np.ones(20) * 1j, "Complex data not supported"),
        (["heavy"] * 20, "sample_weight must be numeric"),
    ],
)
def test_bad_sample_weight(kind, bad, message):
    with pytest.raises(ValueError, match=message):
        kind().fit(X, LABELS, bad)


@pytest.mark.parametrize("kind", ALL)
def test_bad_validation_data(kind):
    model = kind()
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        model.fit(X, LABELS, X_val=X)
    with pytest.raises(ValueError, match=r"X_val has 2 features, but .* is expecting 3"):
        model.fit(X, LABELS, X_val=X[:, :2], y_val=LABELS)
    with pytest.raises(ValueError, match="y_val must have as many rows as X"):
        model.fit(X, LABELS, X_val=X, y_val=LABELS[:3])
    with pytest.raises(ValueError, match="Input X_val contains NaN"):
        model.fit(X, LABELS, X_val=with_value(np.nan), y_val=LABELS)
    if kind in CLASSIFIERS:
        with pytest.raises(ValueError, match="`y_val` has classes not in"):
            model.fit(X, LABELS, X_val=X, y_val=LABELS + 1)
    else:
        with pytest.raises(ValueError, match="outputs"):
            model.fit(X, LABELS, X_val=X, y_val=X)


@pytest.mark.parametrize("kind", ALL)
def test_bad_X_to_predict(kind):
    model = kind(**({} if kind is LinearRegression else {"max_iter": 500, "tol": 1.0})).fit(X, LABELS)
    with pytest.raises(ValueError, match=f"X has 2 features, but {kind.__name__} is expecting 3 features"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(with_value(np.nan))
    with pytest.raises(ValueError, match="Reshape your data"):
        model.predict(X[0])
    with pytest.raises(ValueError, match="infinity or a value too large for dtype"):
        kind(**({} if kind is LinearRegression else {"max_iter": 500, "tol": 1.0})).fit(
            X.astype(np.float32), LABELS
        ).predict(with_value(1e300))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"hidden_layer_sizes": (0,)}, ValueError, "hidden_layer_sizes must be at least 1, got 0"),
        ({"hidden_layer_sizes": (2.5,)}, TypeError, "hidden_layer_sizes must be an integer, got 2.5"),
        ({"hidden_layer_sizes": "wide"}, TypeError, "hidden_layer_sizes must be an integer or a sequence"),
        ({"hidden_layer_sizes": None}, TypeError, "hidden_layer_sizes must be an integer or a sequence"),
        ({"activation": "step"}, ValueError, "activation must be one of 'identity', .* got 'step'"),
        ({"activation": ["relu", "tanh"]}, ValueError, "one for each of the 1 hidden layers"),
        ({"activation": None}, TypeError, "activation must be one of"),
        ({"solver": "lbfgs"}, ValueError, "solver must be one of 'adam', 'sgd', got 'lbfgs'"),
        ({"alpha": -1}, ValueError, r"alpha must lie in \[0, inf\), got -1"),
        ({"alpha": "big"}, TypeError, "alpha must be a number"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": "all"}, ValueError, "batch_size must be 'auto' or a positive integer, got 'all'"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an integer, got 1.5"),
        ({"learning_rate": "falling"}, ValueError, "learning_rate must be one of 'constant'"),
        ({"learning_rate_init": 0.0}, ValueError, r"learning_rate_init must lie in \(0, inf\), got 0.0"),
        ({"learning_rate_init": np.nan}, ValueError, "learning_rate_init must lie in"),
        ({"power_t": np.inf}, ValueError, "power_t must lie in"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1, got 0"),
        ({"max_iter": True}, TypeError, "max_iter must be an integer, got True"),
        ({"tol": np.inf}, ValueError, "tol must lie in"),
        ({"verbose": "loud"}, TypeError, "verbose must be an integer"),
        ({"momentum": 1.5}, ValueError, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"validation_fraction": 1.0}, ValueError, r"validation_fraction must lie in \(0, 1\), got 1.0"),
        ({"beta_1": 1.0}, ValueError, r"beta_1 must lie in \[0, 1\), got 1.0"),
        ({"beta_2": -0.1}, ValueError, "beta_2 must lie in"),
        ({"epsilon": 0.0}, ValueError, "epsilon must lie in"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change must be at least 1"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        ({"warm_start": "yes"}, TypeError, "warm_start must be True or False"),
        ({"random_state": -1}, ValueError, "random_state must lie between 0 and"),
        ({"random_state": "lucky"}, ValueError, "random_state must be None, an integer"),
        ({"n_threads": 0}, ValueError, "n_threads must be between 1 and"),
    ],
)
def test_bad_settings_of_perceptrons(kind, settings, error, message):
    model = kind(**settings)
    with pytest.raises(error, match=message):
        model.fit(X, LABELS)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (LogisticRegression(C=0), ValueError, r"C must lie in \(0, inf\], got 0"),
        (LogisticRegression(C=np.nan), ValueError, "C must lie in"),
        (LogisticRegression(l1_ratio=1.5), ValueError, r"l1_ratio must lie in \[0, 1\], got 1.5"),
        (LogisticRegression(l1_ratio="half"), TypeError, "l1_ratio must be a number, got 'half'"),
        (LogisticRegression(l1_ratio=0.5, solver="adam"), ValueError, "'adam' has no L1 penalty: l1_ratio .* got 0.5"),
        (LogisticRegression(tol=-1e-4), ValueError, r"tol must lie in \[0, inf\), got -0.0001"),
        (LogisticRegression(solver="exact"), ValueError, "solver must be one of .* got 'exact'"),
        (LogisticRegression(class_weight="even"), ValueError, "class_weight must be one of .* got 'even'"),
        (LogisticRegression(class_weight=[1, 2]), TypeError, "class_weight must be a dict"),
        (LogisticRegression(class_weight={7: 1.0}), ValueError, r"classes that y does not have: \[7\]"),
        (LogisticRegression(class_weight={1: -1.0}), ValueError, r"class_weight must lie in .* got -1"),
        (LogisticRegression(class_weight={0: 0, 1: 0}), ValueError, "leave no row with a weight"),
        (LogisticRegression(fit_intercept="no"), TypeError, "fit_intercept must be True or False"),
        (LinearRegression(solver="lbfgs"), ValueError, "solver must be one of 'exact', 'adam', 'sgd'"),
        (LinearRegression(rcond=-1.0), ValueError, r"rcond must lie in \[0, 1\], got -1.0"),
        (LinearRegression(learning_rate="falling"), ValueError, "learning_rate must be one of"),
        (LinearRegression(momentum=-1), ValueError, "momentum must lie in"),
        (LinearRegression(tol="small"), TypeError, "tol must be a number, got 'small' of type str"),
    ],
)
def test_bad_settings_of_linear_models(model, error, message):
    with pytest.raises(error, match=message):
        model.fit(X, LABELS)
    assert not hasattr(model, "coef_")


@pytest.mark.filterwarnings("ignore:Maximum iterations:UserWarning")
def test_a_batch_larger_than_the_data_is_clipped_with_a_warning():
    with pytest.warns(UserWarning, match="larger than sample size, 50 > 20"):
        MLPClassifier((2,), batch_size=50, max_iter=1).fit(X, LABELS)
