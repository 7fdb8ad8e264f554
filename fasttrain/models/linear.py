"""Linear models: networks without hidden layers, and least squares in closed form.

The penalised objective of LogisticRegression is scikit-learn's, divided by C times the total weight so that
the step size does not depend on the number of rows:

    mean of s_i loss_i + ||w||^2 / (2 C S),  S = sum of the weights s_i

Stochastic steps reach its minimum only as the learning rate goes to zero, so it is halved each time
that the loss stalls, and training ends when a hundredth of it has stalled too.
"""
from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.models import validation as check
from fasttrain.models.base import Classifier, Estimator, Regressor, seed_from
from fasttrain.models.training import Engine, History, LearningRate, Loop, Validation

Array = NDArray[Any]

_SCHEDULES = ("constant", "invscaling", "adaptive")


class _Linear(Estimator):
    """What both linear models share: the settings of the iterative solvers, and the coefficients."""

    loss_: float
    best_loss_: float
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    validation_loss_curve_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    t_: int
    _engine: Engine
    fit_intercept: bool
    solver: str
    learning_rate: str
    learning_rate_init: float
    batch_size: int | str
    max_iter: int
    tol: float
    n_iter_no_change: int
    momentum: float
    shuffle: bool
    random_state: Any
    warm_start: bool
    verbose: bool | int
    n_threads: int | None

    def _check_parameters(self, solvers: tuple[str, ...]) -> None:
        check.check_option(self.solver, "solver", solvers)
        check.check_option(self.learning_rate, "learning_rate", _SCHEDULES)
        check.check_number(self.learning_rate_init, "learning_rate_init", 0, open_low=True, open_high=True)
        check.check_batch_size(self.batch_size)
        check.check_integer(self.max_iter, "max_iter", 1)
        check.check_number(self.tol, "tol", open_low=True, open_high=True)
        check.check_integer(self.n_iter_no_change, "n_iter_no_change", 1)
        check.check_number(self.momentum, "momentum", 0, 1)
        check.check_verbose(self.verbose)
        for name in ("fit_intercept", "shuffle", "warm_start"):
            check.check_flag(getattr(self, name), name)

    def _run(
        self,
        engine: Engine,
        X: Array,
        target: Array,
        weights: Array | None,
        l2: float,
        validation: Validation | None,
    ) -> History:
        n_rows = X.shape[0]
        if isinstance(self.batch_size, str):
            batch_size = min(200, n_rows) if weights is None else n_rows
        else:
            batch_size = check.clip_batch_size(int(self.batch_size), n_rows)
        rate = float(self.learning_rate_init)
        engine.set_trainer(
            {
                "optimizer": self.solver,
                "learning_rate": rate,
                "batch_size": batch_size,
                "momentum": float(self.momentum),
                "nesterov": self.momentum > 0,
                "l2": l2,
                "l2_per_batch": False,
                "shuffle": bool(self.shuffle) and batch_size < n_rows,
                "seed": seed_from(self.random_state),
                "n_threads": self.n_threads,
                "train_biases": bool(self.fit_intercept),
            }
        )
        loop = Loop(
            max_iter=int(self.max_iter),
            tol=float(self.tol),
            n_iter_no_change=int(self.n_iter_no_change),
            learning_rate=LearningRate(
                self.learning_rate, rate, minimum=rate / 100, factor=2.0, fresh_start=True
            ),
            verbose=self.verbose,
            n_threads=self.n_threads,
        )
        history = History()
        loop.run(engine, history, X, target, weights, validation)
        engine.drop_trainer()
        return history

    def _start(self, network_settings: dict[str, Any]) -> Engine:
        """The parameters to start from: zeros, or those of the last fit."""
        if not (self.warm_start and self.__sklearn_is_fitted__()):
            return Engine(network_settings)
        if not self._engine.is_like(network_settings):
            raise ValueError(
                "X and y must have the dtype, features and outputs of the previous fit for warm_start"
            )
        engine = self._engine.copy_network()
        if not self.fit_intercept:
            engine.network.biases[0][:] = 0
        return engine

    def _layer(self, name: str) -> tuple[Array, Array]:
        if "_engine" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} before it is fitted")
        network = self._engine.network
        return network.weights[0].T, network.biases[0]

    def _decision(self, X: ArrayLike) -> Array:
        self._check_fitted()
        logits: Array = self._engine.network.decision(self._check_X(X), n_threads=self.n_threads)
        return logits


class LinearRegression(Regressor, _Linear):
    """Least squares: minimises the weighted mean of the squared error.

    Parameters
    ----------
    fit_intercept : bool, default=True
        Whether there is a constant term.
    solver : {"exact", "adam", "sgd"}, default="exact"
        "exact" solves for the minimum in closed form, and gives the solution of least norm where there are
        many: float64 arithmetic, a QR decomposition of centred blocks of rows and a singular value
        decomposition of what is left; X is copied only if it has fewer rows than columns.  "adam" and "sgd"
        train by mini-batches; scale the features for them.
    rcond : float or None, default=None
        For "exact": singular values below rcond times the largest count as zero.  None is the larger of
        max(n_rows, n_features) times the float64 epsilon and, for float32 data, twice the float32 epsilon.
    learning_rate : {"adaptive", "constant", "invscaling"}, default="adaptive"
        Of the iterative solvers.  "adaptive" halves the learning rate each time that training stalls, down
        to a hundredth.
    learning_rate_init : float, default=0.05
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch.  "auto" is min(200, n_rows), and all rows if they are weighted: a batch is
        divided by its own weight, so that small ones would not have the objective's minimum on average.
    max_iter : int, default=1000
        Epochs at most.
    tol : float, default=1e-6
        What counts as an improvement of the loss.
    n_iter_no_change : int, default=10
        Epochs without improvement that are waited for.
    momentum : float, default=0.9
        Of solver "sgd", Nesterov's.
    shuffle : bool, default=True
    random_state : int, RandomState, Generator or None, default=None
        Seed of the shuffles.
    warm_start : bool, default=False
        Whether an iterative solver starts from the last solution.
    verbose : bool or int, default=False
        True for a line of progress, 2 for a line for each epoch.
    n_threads : int or None, default=None
        Threads of the engine.  The linear algebra of "exact" is NumPy's, with its own threads.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or ndarray of shape (n_outputs,)
    rank_ : int
        Rank of the centred X, with solver "exact".
    singular_ : ndarray of shape (min(n_rows, n_features),)
        Singular values of the centred X, with solver "exact".
    loss_, best_loss_ : float
        Half the mean squared error.
    loss_curve_ : list of float
        Of each epoch; one value with solver "exact".
    validation_scores_, validation_loss_curve_, best_validation_score_
        R2 and loss of the validation data after each epoch, or None.
    n_iter_, t_ : int
        Epochs and rows seen.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had string column names.

    Examples
    --------
    >>> import numpy as np
    >>> import fasttrain
    >>> X = np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 2.0], [2.0, 3.0]])
    >>> model = fasttrain.LinearRegression().fit(X, X @ [1.0, 2.0] + 3.0)
    >>> bool(np.allclose(model.coef_, [1.0, 2.0])), round(float(model.intercept_), 6)
    (True, 3.0)
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        solver: str = "exact",
        rcond: float | None = None,
        learning_rate: str = "adaptive",
        learning_rate_init: float = 0.05,
        batch_size: int | str = "auto",
        max_iter: int = 1000,
        tol: float = 1e-6,
        n_iter_no_change: int = 10,
        momentum: float = 0.9,
        shuffle: bool = True,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool | int = False,
        n_threads: int | None = None,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.rcond = rcond
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.momentum = momentum
        self.shuffle = shuffle
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.n_threads = n_threads

    _one_output: bool

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Fit to X and y.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Not copied if it is a float32 or float64 array whose rows are contiguous.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        sample_weight : array-like of shape (n_rows,), optional
            Not negative.
        X_val, y_val : array-like, optional
            Validation data, scored after each epoch.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For bad settings or data, or if the loss becomes non-finite; the estimator is then as it was.
        """
        self._check_parameters(("exact", "adam", "sgd"))
        if self.rcond is not None:
            check.check_number(self.rcond, "rcond", 0, 1)
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together, got only one of them")
        X, described = self._check_new_X(X)
        n_rows = X.shape[0]
        values = check.as_targets(y, n_rows, X.dtype)
        weights = check.as_weights(sample_weight, n_rows, X.dtype)
        target = np.ascontiguousarray(values).reshape(n_rows, -1)
        validation = None
        if X_val is not None and y_val is not None:
            X_scored = self._check_X(X_val, described=described, dtype=X.dtype, name="X_val")
            y_scored = check.as_targets(y_val, X_scored.shape[0], X.dtype, "y_val")
            if y_scored.shape[1:] != values.shape[1:]:
                raise ValueError(f"y_val must have the outputs of y, got the shape {y_scored.shape}")
            y_scored = np.ascontiguousarray(y_scored).reshape(X_scored.shape[0], -1)
            validation = Validation(X_scored, y_scored, None, _r2, "R2")
        engine = self._start(
            {"layer_sizes": (X.shape[1], target.shape[1]), "loss": "half_squared_error", "dtype": X.dtype}
        )
        solved: dict[str, Any] = {}
        if self.solver == "exact":
            coef, intercept, rank, singular = least_squares(
                X, target, weights, fit_intercept=bool(self.fit_intercept), rcond=self.rcond
            )
            network = engine.network
            network.weights[0][:] = coef
            network.biases[0][:] = intercept
            if not np.isfinite(network.parameters).all():
                raise ValueError("the solution is not finite: scale the features and the targets")
            history = History(n_iter=1, t=n_rows)
            history.best_loss = float(network.evaluate(X, target, weights, n_threads=self.n_threads))
            history.loss_curve.append(history.best_loss)
            if validation is not None:
                loss, score = validation.evaluate(network, self.n_threads)
                history.validation_loss_curve.append(loss)
                history.validation_scores.append(score)
                history.best_validation_score = score
            solved = {"rank_": rank, "singular_": singular.astype(X.dtype)}
        else:
            history = self._run(engine, X, target, weights, 0.0, validation)
        self._replace_fitted(
            described
            | history.attributes(early_stopping=False)
            | solved
            | {"_engine": engine, "_one_output": values.ndim == 1}
        )
        return self

    @property
    def coef_(self) -> Array:
        """Coefficients: a view of the model's buffer."""
        coef = self._layer("coef_")[0]
        return coef[0] if self._one_output else coef

    @property
    def intercept_(self) -> Any:
        """Constant term."""
        intercept = self._layer("intercept_")[1]
        return intercept[0] if self._one_output else intercept

    def predict(self, X: ArrayLike) -> Array:
        """Predicted values X coef + intercept.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Converted to the dtype of the model if it has another one.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
        """
        values = self._decision(X)
        return values[:, 0] if self._one_output else values


def _r2(prediction: Array, target: Array, sample_weight: Array | None) -> float:
    from fasttrain import metrics

    return float(metrics.r2_score(target, prediction, sample_weight=sample_weight))


def least_squares(
    X: Array, y: Array, sample_weight: Array | None, *, fit_intercept: bool, rcond: float | None = None
) -> tuple[Array, Array, int, Array]:
    """Weighted least squares of least norm, in float64.

    X (n_rows, n_features) and y (n_rows, n_outputs) give coef (n_features, n_outputs), intercept
    (n_outputs,), the rank and the singular values of the centred X.

    The rows are taken in blocks: each is centred, put below the triangle R of the blocks before it, and
    reduced to a new R.  R has the singular values of the whole and the same solutions, so memory for a few
    blocks is all that is needed.  Columns are shifted by one row before their means are taken: a constant
    column becomes exactly zero, however large it is, and cannot pass for one of full rank.
    """
    n_rows, n_features = X.shape
    n_columns = n_features + y.shape[1]
    block_rows = max(4 * n_columns, 4096)
    starts = range(0, n_rows, block_rows)
    weights = np.ones(n_rows) if sample_weight is None else sample_weight.astype(np.float64)

    def block(start: int) -> Array:
        rows = slice(start, start + block_rows)
        return np.hstack([X[rows], y[rows]], dtype=np.float64)

    centre = np.zeros(n_columns)
    if fit_intercept:
        first = int(np.argmax(weights > 0))
        shift = np.concatenate([X[first], y[first]], dtype=np.float64)
        for start in starts:
            centre += weights[start : start + block_rows] @ (block(start) - shift)
        centre = centre / weights.sum() + shift
        constant = np.ones(n_columns, dtype=bool)
        for start in starts:
            weighted = weights[start : start + block_rows] > 0
            constant &= (block(start)[weighted] == shift).all(axis=0)
        centre[constant] = shift[constant]
    triangle = np.empty((0, n_columns))
    for start in starts:
        rows = block(start)
        rows -= centre
        if sample_weight is not None:
            rows *= np.sqrt(weights[start : start + block_rows])[:, np.newaxis]
        triangle = np.vstack([triangle, rows])
        if triangle.shape[0] > n_columns:
            triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
    if rcond is None:
        rcond = np.finfo(np.float64).eps * max(n_rows, n_features)
        if X.dtype == np.float32:
            rcond = max(rcond, 2 * float(np.finfo(np.float32).eps))
    coef, _, rank, singular = np.linalg.lstsq(triangle[:, :n_features], triangle[:, n_features:], rcond=rcond)
    intercept = centre[n_features:] - centre[:n_features] @ coef
    return coef, intercept, int(rank), singular[: min(n_rows, n_features)]


class LogisticRegression(Classifier, _Linear):
    """Linear classifier by maximum likelihood with an L2 penalty, for two or more classes.

    Minimises C sum_i s_i loss_i + ||w||^2 / 2, where loss_i is the cross-entropy of row i, of a sigmoid for
    two classes and of a softmax for more; s_i is the row's weight, and the intercept is not penalised.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty; infinity for none.
    fit_intercept : bool, default=True
    class_weight : dict, "balanced" or None, default=None
        Factor of each class's weights, 1 for a class that is not named; "balanced" is
        S / (n_classes S_class), for total weights S.
    solver : {"adam", "sgd"}, default="adam"
        The optimizer.
    learning_rate : {"adaptive", "constant", "invscaling"}, default="adaptive"
        "adaptive" halves the learning rate each time that training stalls, down to a hundredth.
    learning_rate_init : float, default=0.05
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch.  "auto" is min(200, n_rows), and all rows if they are weighted: a batch is
        divided by its own weight, so that small ones would not have the objective's minimum on average.
    max_iter : int, default=1000
        Epochs at most.
    tol : float, default=1e-6
        What counts as an improvement of the loss, the objective divided by C times the total weight.
    n_iter_no_change : int, default=10
        Epochs without improvement that are waited for.
    momentum : float, default=0.9
        Of solver "sgd", Nesterov's.
    shuffle : bool, default=True
    random_state : int, RandomState, Generator or None, default=None
        Seed of the shuffles.
    warm_start : bool, default=False
        Whether ``fit`` starts from the last solution.
    verbose : bool or int, default=False
        True for a line of progress, 2 for a line for each epoch.
    n_threads : int or None, default=None
        Threads; None is the setting in force (see :func:`fasttrain.get_num_threads`).

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    loss_, best_loss_ : float
        The objective divided by C times the total weight.
    loss_curve_ : list of float
        Of each epoch.
    validation_scores_, validation_loss_curve_, best_validation_score_
        Accuracy and loss, without penalty, of the validation data after each epoch, or None.
    n_iter_, t_ : int
        Epochs and rows seen.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had string column names.

    Notes
    -----
    Scale the features to zero mean and unit variance: the solvers are gradient methods, and on features of
    very different scales they stop before the minimum.  Parameters and their meanings are those of
    scikit-learn 1.9's class of the same name where it has them; its solvers are other ones.

    Examples
    --------
    >>> import numpy as np
    >>> import fasttrain
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = fasttrain.LogisticRegression(random_state=0).fit(X, ["no", "no", "yes", "yes"])
    >>> model.predict([[-3.0], [3.0]]).tolist()
    ['no', 'yes']
    """

    _labels: check.Labels

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        solver: str = "adam",
        learning_rate: str = "adaptive",
        learning_rate_init: float = 0.05,
        batch_size: int | str = "auto",
        max_iter: int = 1000,
        tol: float = 1e-6,
        n_iter_no_change: int = 10,
        momentum: float = 0.9,
        shuffle: bool = True,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool | int = False,
        n_threads: int | None = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.momentum = momentum
        self.shuffle = shuffle
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.n_threads = n_threads

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Fit to X and y.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Not copied if it is a float32 or float64 array whose rows are contiguous.
        y : array-like of shape (n_rows,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_rows,), optional
            Not negative.
        X_val, y_val : array-like, optional
            Validation data, scored after each epoch.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For bad settings or data, or if the loss becomes non-finite; the estimator is then as it was.
        """
        self._check_parameters(("adam", "sgd"))
        check.check_number(self.C, "C", 0, open_low=True)
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together, got only one of them")
        X, described = self._check_new_X(X)
        n_rows = X.shape[0]
        array = check.as_labels(y, n_rows)
        labels = check.Labels.found_in(array, multilabel=False)
        weights = check.as_weights(sample_weight, n_rows, np.float64)
        weights = self._with_class_weight(labels, labels.codes(array), weights)
        target = labels.target(array, X.dtype)
        validation = None
        if X_val is not None and y_val is not None:
            X_scored = self._check_X(X_val, described=described, dtype=X.dtype, name="X_val")
            y_scored = labels.target(check.as_labels(y_val, X_scored.shape[0], "y_val"), X.dtype, "y_val")
            validation = Validation(X_scored, y_scored, None, labels.accuracy, "accuracy")
        total = n_rows if weights is None else float(weights.sum())
        engine = self._start(
            {"layer_sizes": (X.shape[1], labels.n_outputs), "loss": labels.loss, "dtype": X.dtype}
        )
        weights = None if weights is None else weights.astype(X.dtype)
        history = self._run(engine, X, target, weights, 1.0 / (float(self.C) * total), validation)
        self._replace_fitted(
            described
            | history.attributes(early_stopping=False)
            | {"classes_": labels.classes, "_engine": engine, "_labels": labels}
        )
        return self

    def _with_class_weight(
        self, labels: check.Labels, codes: Array, sample_weight: Array | None
    ) -> Array | None:
        """The rows' weights times their class's."""
        if self.class_weight is None:
            return sample_weight
        n_classes = len(labels.classes)
        if isinstance(self.class_weight, str):
            check.check_option(self.class_weight, "class_weight", ("balanced",))
            totals = np.bincount(codes, sample_weight, minlength=n_classes)
            if np.any(totals == 0):
                raise ValueError("class_weight='balanced' needs rows of positive weight in every class")
            factors = totals.sum() / (n_classes * totals)
        elif isinstance(self.class_weight, dict):
            classes = labels.classes.tolist()
            unknown = [key for key in self.class_weight if key not in classes]
            if unknown:
                raise ValueError(f"class_weight names classes that y does not have: {unknown}")
            for value in self.class_weight.values():
                check.check_number(value, "class_weight", 0, open_high=True)
            factors = np.array([float(self.class_weight.get(label, 1.0)) for label in classes])
        else:
            raise TypeError(f"class_weight must be a dict, 'balanced' or None, got {self.class_weight!r}")
        weights: Array = factors[codes] if sample_weight is None else factors[codes] * sample_weight
        if weights.max() == 0:
            raise ValueError("class_weight and sample_weight leave no row with a weight other than zero")
        return weights

    @property
    def coef_(self) -> Array:
        """Coefficients: a view of the model's buffer."""
        return self._layer("coef_")[0]

    @property
    def intercept_(self) -> Array:
        """Constant terms: a view of the model's buffer."""
        return self._layer("intercept_")[1]

    def decision_function(self, X: ArrayLike) -> Array:
        """Logits X coef + intercept.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Converted to the dtype of the model if it has another one.

        Returns
        -------
        ndarray of shape (n_rows,) for two classes, where positive means the second, or (n_rows, n_classes)
        """
        logits = self._decision(X)
        return logits[:, 0] if self._labels.kind == "binary" else logits

    def predict(self, X: ArrayLike) -> Array:
        """Most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
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
