"""Logistic regression: a network without hidden layers, whose loss is a cross-entropy.

The penalised objective is scikit-learn's, divided by C times the total weight so that neither a gradient nor a
step size depends on the number of rows:

    mean of s_i loss_i + (l1_ratio ||w||_1 + (1 - l1_ratio) ||w||^2 / 2) / (C S),  S = sum of the weights s_i

L-BFGS evaluates it over all rows.  Stochastic steps reach its minimum only as the learning rate goes to zero, so
it is halved each time that the loss stalls, and training ends when a hundredth of it has stalled too.
"""
from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fasttrain.exceptions import ConvergenceWarning, warn
from fasttrain.kernels import linear_value_and_grad
from fasttrain.models import validation as check
from fasttrain.models._linear import Array, Linear
from fasttrain.models.base import Classifier
from fasttrain.models.training import Engine, History, Progress, Validation
from fasttrain.optim import LBFGSResult, minimize_lbfgs

# Of L-BFGS, as scikit-learn sets it: a smaller decrease of the objective is rounding.
_FTOL = 64 * float(np.finfo(np.float64).eps)


class LogisticRegression(Classifier, Linear):
    """Linear classifier by penalised maximum likelihood, for two or more classes.

    Minimises ``C sum_i s_i loss_i + l1_ratio ||w||_1 + (1 - l1_ratio) ||w||^2 / 2``, where loss_i is the
    cross-entropy of row i, of a sigmoid for two classes and of a softmax for more; s_i is the row's weight, and the
    intercept is not penalised.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty; infinity for none.
    l1_ratio : float or None, default=0.0
        Share of the L1 penalty, from 0 to 1: 0 or None is L2, 1 is L1, which makes coefficients exactly zero, and
        what is between is the elastic net.  The stochastic solvers have L2 only.
    fit_intercept : bool, default=True
    class_weight : dict, "balanced" or None, default=None
        Factor of each class's weights, 1 for a class that is not named; "balanced" is
        S / (n_classes S_class), for total weights S.
    solver : {"lbfgs", "adam", "sgd"}, default="lbfgs"
        "lbfgs" takes all rows at each step and finds the minimum to any tolerance: L-BFGS, and OWL-QN where there is
        an L1 penalty (see :func:`fasttrain.optim.minimize_lbfgs`).  "adam" and "sgd" train by mini-batches, for
        data of which a few passes must do.
    max_iter : int, default=100
        Iterations of "lbfgs", each about one pass over the data, or epochs, at most.
    tol : float, default=1e-4
        For "lbfgs": converged where no element of the gradient is larger in magnitude; the gradient is that of the
        objective divided by C times the total weight.  For "adam" and "sgd": what counts as an improvement
        of that loss; their minimum takes smaller ones, such as tol=1e-6 with max_iter=1000.
    learning_rate : {"adaptive", "constant", "invscaling"}, default="adaptive"
        Of the stochastic solvers, as all that follows up to random_state.  "adaptive" halves the learning rate each
        time that training stalls, down to a hundredth.
    learning_rate_init : float, default=0.05
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch.  "auto" is min(200, n_rows), and all rows if they are weighted: a batch is
        divided by its own weight, so that small ones would not have the objective's minimum on average.
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
        True for a line of progress, 2 for a line for each epoch or iteration.
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
        After each iteration of "lbfgs"; of each epoch.
    validation_scores_, validation_loss_curve_, best_validation_score_
        Accuracy and loss, without penalty, of the validation data after each iteration or epoch, or None.
    n_iter_, t_ : int
        Iterations or epochs, and rows seen.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had string column names.

    Notes
    -----
    Parameters and their meanings are those of scikit-learn 1.9's class of the same name where it has them, and
    "lbfgs" has its objective, tolerance and defaults, so that both find the same coefficients.  scikit-learn leaves an
    L1 penalty to other solvers.

    Features of zero mean and unit variance take far fewer iterations; on features of very different scales the
    stochastic solvers stop before the minimum.

    Examples
    --------
    >>> import numpy as np
    >>> import fasttrain
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = fasttrain.LogisticRegression().fit(X, ["no", "no", "yes", "yes"])
    >>> model.predict([[-3.0], [3.0]]).tolist()
    ['no', 'yes']
    """

    _labels: check.Labels

    def __init__(
        self,
        *,
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        solver: str = "lbfgs",
        max_iter: int = 100,
        tol: float = 1e-4,
        learning_rate: str = "adaptive",
        learning_rate_init: float = 0.05,
        batch_size: int | str = "auto",
        n_iter_no_change: int = 10,
        momentum: float = 0.9,
        shuffle: bool = True,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool | int = False,
        n_threads: int | None = None,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
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
            Validation data, scored after each iteration or epoch.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For bad settings or data, or if the loss becomes non-finite; the estimator is then as it was.
        """
        self._check_parameters(("lbfgs", "adam", "sgd"))
        check.check_number(self.C, "C", 0, open_low=True)
        l1_ratio = 0.0
        if self.l1_ratio is not None:
            check.check_number(self.l1_ratio, "l1_ratio", 0, 1)
            l1_ratio = float(self.l1_ratio)
        if self.solver == "lbfgs":
            check.check_number(self.tol, "tol", 0, open_high=True)
        elif l1_ratio > 0:
            raise ValueError(f"solver={self.solver!r} has no L1 penalty: l1_ratio must be 0, got {self.l1_ratio!r}")
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
        strength = 1.0 / (float(self.C) * total)
        l1, l2 = l1_ratio * strength, (1.0 - l1_ratio) * strength
        if self.solver == "lbfgs":
            history = self._minimise(engine, X, target, weights, l1, l2, validation)
        else:
            history = self._run(engine, X, target, weights, l2, validation)
        self._replace_fitted(
            described
            | history.attributes(early_stopping=False)
            | {"classes_": labels.classes, "_engine": engine, "_labels": labels}
        )
        return self

    def _minimise(
        self,
        engine: Engine,
        X: Array,
        target: Array,
        weights: Array | None,
        l1: float,
        l2: float,
        validation: Validation | None,
    ) -> History:
        """Bring the engine's parameters to the minimum of the objective by L-BFGS."""
        network = engine.network
        loss: Any = network.loss
        intercept = bool(self.fit_intercept)
        # the buffer holds the weights (n_features, n_outputs) and behind them the intercepts, as the kernel wants it
        theta = network.parameters.reshape(X.shape[1] + 1, -1)[: X.shape[1] + intercept]
        penalty = np.full((len(theta), 1), l1)
        penalty[X.shape[1] :] = 0.0
        grad = np.empty_like(theta)
        history = History()
        progress = Progress(self.verbose, int(self.max_iter))

        def value_and_grad(x: Array) -> tuple[float, Array]:
            value, _ = linear_value_and_grad(
                X, target, x, loss=loss, reduction="mean", intercept=intercept, l2=l2,
                sample_weight=weights, grad=grad, n_threads=self.n_threads,
            )
            if history.t == 0 and not (np.isfinite(value) and np.isfinite(grad).all()):
                raise ValueError("the gradient is not finite at the start: scale the features")
            history.t += X.shape[0]
            return value, grad

        def note(state: LBFGSResult) -> None:
            theta[:] = state.x
            history.n_iter = state.n_iter
            history.loss_curve.append(state.value)
            history.best_loss = min(history.best_loss, state.value)
            scored = None
            if validation is not None:
                validation_loss, score = validation.evaluate(network, self.n_threads)
                history.validation_loss_curve.append(validation_loss)
                history.validation_scores.append(score)
                history.best_validation_score = max(history.best_validation_score, score)
                scored = (validation.score_name, score)
            progress.epoch(history.n_iter, state.value, scored)

        try:
            result = minimize_lbfgs(
                value_and_grad, theta, l1=penalty, max_iter=int(self.max_iter), gtol=float(self.tol), ftol=_FTOL,
                callback=note,
            )
            if result.n_iter == 0:
                note(result)
        except KeyboardInterrupt:
            if history.n_iter == 0:
                raise
            warnings.warn("Training interrupted by user.", UserWarning, stacklevel=3)
            return history
        finally:
            progress.close()
        if result.status == "max_iter":
            warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
            )
        elif not result.converged:
            warn(f"lbfgs stopped before the gradient was below tol={self.tol:g}: {result.message}", ConvergenceWarning)
        return history

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
