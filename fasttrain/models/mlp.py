"""Multi-layer perceptrons with scikit-learn's parameters and meanings.

What differs from scikit-learn: X stays in float32 or float64 as it comes and is not copied, validation data
may be given to ``fit``, more activations, no solver "lbfgs", epsilon stands in Adam's denominator as in the
paper's algorithm 1, and the random numbers come from the engine's own generator.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.models import validation as check
from fasttrain.models.base import Classifier, Estimator, Regressor, seed_from
from fasttrain.models.training import Engine, History, LearningRate, Loop, Validation

Array = NDArray[Any]

ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "logistic",
)  # fmt: skip

_PARAMETERS = """hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of each hidden layer; empty for a linear model.
    activation : str or sequence of str, default="relu"
        Of the hidden layers, one for all or one for each: "identity", "relu", "leaky_relu", "tanh",
        "sigmoid" (scikit-learn's "logistic" is the same), "gelu", "silu", "softplus", "elu".
    solver : {"adam", "sgd"}, default="adam"
        The optimizer.
    alpha : float, default=0.0001
        L2 penalty alpha / (2 S) ||weights||^2 of a batch of total weight S; biases are not penalised.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch; "auto" is min(200, n_rows).  n_rows gives full-batch gradient descent, 1 gives
        stochastic gradient descent on single rows.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        For solver "sgd": the learning rate stays, or is learning_rate_init / (rows seen + 1)**power_t, or is
        divided by 5 each time that training stalls.
    learning_rate_init : float, default=0.001
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Epochs at most.
    shuffle : bool, default=True
        Whether the rows are in a new order in each epoch.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the first parameters, the shuffles and the validation split.  The same seed gives the same
        bits for any number of threads.
    tol : float, default=1e-4
        What counts as an improvement of the loss, or of the validation score with early stopping.
    verbose : bool or int, default=False
        True for a line of progress, 2 for a line for each epoch.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the parameters of the last one.
    momentum : float, default=0.9
        Of solver "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
    early_stopping : bool, default=False
        Whether to stop when the score of the validation data stalls, and put the best parameters back.
        Without ``X_val`` in ``fit``, a part of the training data is set apart for it, which copies the
        training data.
    validation_fraction : float, default=0.1
        That part.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Of solver "adam", in [0, 1).
    epsilon : float, default=1e-8
        Of solver "adam".
    n_iter_no_change : int, default=10
        Epochs without improvement that are waited for.
    n_threads : int or None, default=None
        Threads; None is the setting in force (see :func:`fasttrain.get_num_threads`)."""

_ATTRIBUTES = """coefs_, intercepts_ : list of ndarray
        Weights (n_in, n_out) and biases (n_out,) of each layer: views of the network's one buffer.
    loss_, best_loss_ : float
        Training loss with penalty, the mean over the last epoch and the best one; best_loss_ is None with
        early stopping.
    loss_curve_ : list of float
        Training loss of each epoch.
    validation_scores_, validation_loss_curve_ : list of float or None
        Score and loss, without penalty, of the validation data after each epoch.
    best_validation_score_ : float or None
    n_iter_ : int
        Epochs of the last fit.
    t_ : int
        Rows seen in all epochs.
    n_layers_, n_outputs_ : int
    out_activation_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had string column names."""


def _documented(cls: type) -> type:
    if cls.__doc__ is not None:  # python -OO has none
        cls.__doc__ = cls.__doc__.replace("{parameters}", _PARAMETERS).replace("{attributes}", _ATTRIBUTES)
    return cls


class _MLP(Estimator):
    """What both perceptrons share."""

    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    validation_loss_curve_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    _engine: Engine
    _history: History

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        n_threads: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.n_threads = n_threads

    # ---- what the two kinds fill in -----------------------------------------------------------------------

    def _check_y(self, y: Any, X: Array, name: str) -> Array:
        """y as a checked array, not yet encoded."""
        raise NotImplementedError

    def _first_labels(self, y: Array, classes: Any) -> Any:
        """How the y of a first fit is encoded."""
        raise NotImplementedError

    def _next_labels(self, y: Array, *, incremental: bool) -> Any:
        """How the y of a fit that goes on is encoded; raises if it does not belong to the model."""
        raise NotImplementedError

    def _describe(self, labels: Any) -> dict[str, Any]:
        """Attributes that tell of the outputs."""
        raise NotImplementedError

    def _score_of(self, labels: Any) -> tuple[str, Any]:
        """Name and function of the validation score."""
        raise NotImplementedError

    # ---- settings -----------------------------------------------------------------------------------------

    def _check_parameters(self) -> tuple[list[int], str | list[str]]:
        """Check all settings; returns the hidden sizes and activations in the engine's form."""
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, str) or not (hasattr(sizes, "__iter__") or hasattr(sizes, "__index__")):
            raise TypeError(f"hidden_layer_sizes must be an integer or a sequence of them, got {sizes!r}")
        hidden = list(sizes) if isinstance(sizes, (Sequence, np.ndarray)) else [sizes]
        for size in hidden:
            check.check_integer(size, "hidden_layer_sizes", 1)
        if isinstance(self.activation, str) or not isinstance(self.activation, Sequence):
            names = [self.activation]
        else:
            names = list(self.activation)
            if len(names) != len(hidden):
                raise ValueError(
                    f"activation must be one name or one for each of the {len(hidden)} hidden layers, "
                    f"got {self.activation!r}"
                )
        for name in names:
            check.check_option(name, "activation", ACTIVATIONS)
        names = ["sigmoid" if name == "logistic" else name for name in names]
        check.check_option(self.solver, "solver", ("adam", "sgd"))
        check.check_option(self.learning_rate, "learning_rate", ("constant", "invscaling", "adaptive"))
        check.check_batch_size(self.batch_size)
        check.check_number(self.alpha, "alpha", 0, open_high=True)
        check.check_number(self.learning_rate_init, "learning_rate_init", 0, open_low=True, open_high=True)
        check.check_number(self.power_t, "power_t", 0, open_high=True)
        check.check_integer(self.max_iter, "max_iter", 1)
        check.check_number(self.tol, "tol", open_low=True, open_high=True)
        check.check_verbose(self.verbose)
        check.check_number(self.momentum, "momentum", 0, 1)
        check.check_number(
            self.validation_fraction, "validation_fraction", 0, 1, open_low=True, open_high=True
        )
        check.check_number(self.beta_1, "beta_1", 0, 1, open_high=True)
        check.check_number(self.beta_2, "beta_2", 0, 1, open_high=True)
        check.check_number(self.epsilon, "epsilon", 0, open_low=True, open_high=True)
        if not (isinstance(self.n_iter_no_change, float) and self.n_iter_no_change == np.inf):
            check.check_integer(self.n_iter_no_change, "n_iter_no_change", 1)
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
            check.check_flag(getattr(self, name), name)
        single = isinstance(self.activation, str)
        return [int(size) for size in hidden], names[0] if single else names

    def _trainer_settings(self, batch_size: int, seed: int) -> dict[str, Any]:
        if self.solver == "adam":
            options: dict[str, Any] = {
                "betas": (float(self.beta_1), float(self.beta_2)),
                "eps": float(self.epsilon),
            }
        else:
            options = {
                "momentum": float(self.momentum),
                "nesterov": bool(self.nesterovs_momentum) and self.momentum > 0,
            }
        return options | {
            "optimizer": self.solver,
            "learning_rate": float(self.learning_rate_init),
            "batch_size": batch_size,
            "l2": float(self.alpha),
            "l2_per_batch": True,
            "shuffle": bool(self.shuffle),
            "seed": seed,
            "n_threads": self.n_threads,
        }

    # ---- fitting ------------------------------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train on X and y.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Not copied if it is a float32 or float64 array whose rows are contiguous; float32 trains a
            float32 network, all else a float64 one.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Labels or values; for a classifier, two dimensions are one column of 0 and 1 for each label.
        sample_weight : array-like of shape (n_rows,), optional
            Not negative.
        X_val, y_val : array-like, optional
            Validation data, scored after each epoch, and used by early stopping.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For bad settings or data, or if the loss becomes non-finite; the estimator is then as it was.
        """
        return self._fit(X, y, sample_weight, X_val=X_val, y_val=y_val)

    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        incremental: bool = False,
        classes: Any = None,
    ) -> Self:
        hidden, activation = self._check_parameters()
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together, got only one of them")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not self.__sklearn_is_fitted__() or not (self.warm_start or incremental)
        if first:
            X, described = self._check_new_X(X)
            y = self._check_y(y, X, "y")
            labels = self._first_labels(y, classes)
        else:
            X = self._check_X(X)
            described = self._described()
            y = self._check_y(y, X, "y")
            labels = self._next_labels(y, incremental=incremental)
        target = labels.target(y, X.dtype, "y")
        weights = check.as_weights(sample_weight, X.shape[0], X.dtype)
        n_outputs = labels.n_outputs
        network_settings = {
            "layer_sizes": (X.shape[1], *hidden, n_outputs),
            "activation": activation,
            "loss": labels.loss,
            "dtype": X.dtype,
        }
        seed = seed_from(self.random_state)
        validation = None
        if X_val is not None and y_val is not None:
            X_scored = self._check_X(X_val, described=described, dtype=X.dtype, name="X_val")
            y_scored = labels.target(self._check_y(y_val, X_scored, "y_val"), X.dtype, "y_val")
            validation = self._validation(labels, X_scored, y_scored, None)
        elif self.early_stopping:
            X, target, weights, validation = self._split(labels, X, target, weights, seed)

        batch_size = 200
        if not isinstance(self.batch_size, str):
            batch_size = int(self.batch_size)
            if not incremental:
                batch_size = check.clip_batch_size(batch_size, X.shape[0])
        settings = self._trainer_settings(batch_size, seed)
        snapshot = None
        if first:
            engine, history = Engine(network_settings), History()
            engine.network.initialize(seed)
            engine.set_trainer(settings)
        else:
            engine, history = self._engine, self._history.copy()
            if not engine.is_like(network_settings):
                raise ValueError(
                    "hidden_layer_sizes, activation and the outputs must be those of the fitted model for "
                    f"{'partial_fit' if incremental else 'warm_start'} to go on from it"
                )
            if incremental:
                snapshot = engine.snapshot()
            else:
                engine = engine.copy_network()
                history.no_improvement = 0
            engine.set_trainer(settings, keep_state=incremental)
        loop = Loop(
            max_iter=int(self.max_iter),
            tol=float(self.tol),
            n_iter_no_change=self.n_iter_no_change,
            learning_rate=LearningRate(
                self.learning_rate if self.solver == "sgd" else "constant",
                float(self.learning_rate_init),
                float(self.power_t),
            ),
            early_stopping=bool(self.early_stopping),
            verbose=self.verbose,
            n_threads=self.n_threads,
        )
        try:
            loop.run(engine, history, X, target, weights, validation, single_epoch=incremental)
        except BaseException:
            if snapshot is not None:
                engine.restore(snapshot)
            raise
        self._replace_fitted(
            described
            | history.attributes(early_stopping=bool(self.early_stopping))
            | self._describe(labels)
            | {
                "n_layers_": len(hidden) + 2,
                "n_outputs_": n_outputs,
                "_engine": engine,
                "_history": history,
                "_labels": labels,
            }
        )
        return self

    def _validation(self, labels: Any, X: Array, target: Array, weights: Array | None) -> Validation:
        name, score = self._score_of(labels)
        return Validation(X, target, weights, score, name)

    def _split(
        self, labels: Any, X: Array, target: Array, weights: Array | None, seed: int
    ) -> tuple[Array, Array, Array | None, Validation]:
        """Set the validation rows apart, in the shares of the classes where there is one class a row."""
        from fasttrain.data import train_test_split

        stratify = None
        if isinstance(labels, check.Labels) and labels.kind != "multilabel":
            stratify = target if target.ndim == 1 else target[:, 0]
        arrays = (X, target) if weights is None else (X, target, weights)
        parts = train_test_split(
            *arrays, test_size=self.validation_fraction, stratify=stratify, random_state=seed % 2**32
        )
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        train_weights, weights = (None, None) if weights is None else (parts[4], parts[5])
        return parts[0], parts[2], train_weights, self._validation(labels, parts[1], parts[3], weights)

    # ---- what was learned ---------------------------------------------------------------------------------

    def _decision(self, X: ArrayLike) -> Array:
        self._check_fitted()
        logits: Array = self._engine.network.decision(self._check_X(X), n_threads=self.n_threads)
        return logits

    def _layers(self, name: str) -> Any:
        if "_engine" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} before it is fitted")
        return self._engine.network

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer, (n_in, n_out): views of the network's buffer."""
        return list(self._layers("coefs_").weights)

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer, (n_out,): views of the network's buffer."""
        return list(self._layers("intercepts_").biases)


@_documented
class MLPClassifier(Classifier, _MLP):
    """Neural network of dense layers that tells classes apart.

    The mean cross-entropy of softmax outputs is minimised; with two classes, or several labels a row, that
    of sigmoid outputs: one output for two classes, one for each label.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray
        Class labels in sorted order; 0 to n_labels - 1 for several labels a row.
    {attributes}

    Notes
    -----
    Parameters and their meanings are those of scikit-learn 1.9's class of the same name.  Scale the
    features, to [0, 1] or to zero mean and unit variance.

    Examples
    --------
    >>> import fasttrain
    >>> from fasttrain.data import load_digits, train_test_split
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
    >>> model = fasttrain.MLPClassifier((64,), learning_rate_init=0.01, tol=0.001, random_state=0)
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """

    _labels: check.Labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _check_y(self, y: Any, X: Array, name: str) -> Array:
        return check.as_labels(y, X.shape[0], name)

    def _first_labels(self, y: Array, classes: Any) -> check.Labels:
        if classes is None or y.ndim == 2:
            return check.Labels.found_in(y, multilabel=True)
        return check.Labels.of_classes(check.unique(np.asarray(classes), "classes"))

    def _next_labels(self, y: Array, *, incremental: bool) -> check.Labels:
        labels = self._labels
        if not incremental and labels.kind != "multilabel" and y.ndim == 1:
            classes = check.unique(y, "y")
            if not np.array_equal(classes, labels.classes):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to "
                    f"fit. Previously got {labels.classes}, `y` has {classes}"
                )
        return labels

    def _describe(self, labels: check.Labels) -> dict[str, Any]:
        softmax = labels.kind == "multiclass"
        return {"classes_": labels.classes, "out_activation_": "softmax" if softmax else "logistic"}

    def _score_of(self, labels: check.Labels) -> tuple[str, Any]:
        return "accuracy", labels.accuracy

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, classes: Any = None
    ) -> Self:
        """Train for one epoch, going on from the parameters and the optimizer's state of the last call.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
        sample_weight : array-like of shape (n_rows,), optional
        classes : array-like, optional
            All classes there will be, which the first call needs for 1-D y.

        Returns
        -------
        self
        """
        if self.__sklearn_is_fitted__():
            if classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                    f"{self.classes_!r}"
                )
        elif classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: ArrayLike) -> Array:
        """Most probable class of each row; for several labels, those more probable than not.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Converted to the network's dtype if it has another one.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_labels)
        """
        logits = self._decision(X)
        return self._labels.labels(logits)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Of the network's dtype.
        """
        self._check_fitted()
        probability = self._engine.network.predict(self._check_X(X), n_threads=self.n_threads)
        return check.both_classes(probability) if self._labels.kind == "binary" else probability

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Logarithm of the probability of each class, finite where the probability underflows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
        """
        logits = self._decision(X)
        return self._labels.log_probability(logits)


class _Values:
    """The counterpart of Labels for real targets."""

    loss = "half_squared_error"

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs

    def target(self, y: Array, dtype: Any, name: str) -> Array:
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if n_outputs != self.n_outputs:
            raise ValueError(f"{name} must have {self.n_outputs} outputs, got {n_outputs}")
        return np.ascontiguousarray(y, dtype=dtype).reshape(-1, n_outputs)

    @staticmethod
    def score(prediction: Array, target: Array, sample_weight: Array | None) -> float:
        from fasttrain import metrics

        return float(metrics.r2_score(target, prediction, sample_weight=sample_weight))


@_documented
class MLPRegressor(Regressor, _MLP):
    """Neural network of dense layers that predicts real values.

    Half the squared error, averaged over rows and outputs, is minimised.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    Parameters and their meanings are those of scikit-learn 1.9's class of the same name.  Scale the features
    and the targets, to zero mean and unit variance.

    Examples
    --------
    >>> import numpy as np
    >>> import fasttrain
    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> y = np.sin(3 * X[:, 0])
    >>> model = fasttrain.MLPRegressor((32,), learning_rate_init=0.01, max_iter=500, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.99
    True
    """

    _labels: _Values

    def _check_y(self, y: Any, X: Array, name: str) -> Array:
        return check.as_column(check.as_targets(y, X.shape[0], X.dtype, name), name)

    def _first_labels(self, y: Array, classes: Any) -> _Values:
        return _Values(1 if y.ndim == 1 else y.shape[1])

    def _next_labels(self, y: Array, *, incremental: bool) -> _Values:
        return self._labels

    def _describe(self, labels: _Values) -> dict[str, Any]:
        return {"out_activation_": "identity"}

    def _score_of(self, labels: _Values) -> tuple[str, Any]:
        return "R2", labels.score

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch, going on from the parameters and the optimizer's state of the last call.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: ArrayLike) -> Array:
        """Predicted values.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Converted to the network's dtype if it has another one.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Of the network's dtype.
        """
        values = self._decision(X)
        return values[:, 0] if values.shape[1] == 1 else values
