"""Logistic regression: a network without hidden layers, whose loss is a cross-entropy.

The penalised objective is scikit-learn's, divided by C times the total weight so that the step size does not
depend on the number of rows:

    mean of s_i loss_i + ||w||^2 / (2 C S),  S = sum of the weights s_i

Stochastic steps reach its minimum only as the learning rate goes to zero, so it is halved each time
that the loss stalls, and training ends when a hundredth of it has stalled too.
"""
from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fasttrain.models import validation as check
from fasttrain.models._linear import Array, Linear
from fasttrain.models.base import Classifier
from fasttrain.models.training import Validation


class LogisticRegression(Classifier, Linear):
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
