"""Linear regression: least squares and its penalties, solved exactly, or by gradient steps."""
from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fasttrain.exceptions import ConvergenceWarning, warn
from fasttrain.models import validation as check
from fasttrain.models._least_squares import Solution, elastic_net, least_squares, ridge
from fasttrain.models._linear import Array, Linear
from fasttrain.models.base import Regressor
from fasttrain.models.training import Engine, History, Validation


class LinearRegression(Regressor, Linear):
    """Least squares, ridge, lasso and elastic net.

    Minimises over the coefficients w and the intercept b, with weights s_i of the rows and their sum S::

        sum_i s_i (y_i - x_i w - b)^2 / (2 S)  +  alpha l1_ratio ||w||_1  +  alpha (1 - l1_ratio) ||w||^2 / 2

    This is the objective of scikit-learn's ElasticNet; its classes are these settings, for weights of sum S, the
    number of rows without weights:

    ==================================  ==================================
    scikit-learn                        fasttrain
    ==================================  ==================================
    LinearRegression()                  LinearRegression()
    Ridge(alpha)                        LinearRegression(alpha=alpha / S)
    Lasso(alpha)                        LinearRegression(alpha=alpha, l1_ratio=1)
    ElasticNet(alpha, l1_ratio=r)       LinearRegression(alpha=alpha, l1_ratio=r)
    ==================================  ==================================

    Several outputs are models of their own that share X; MultiTaskLasso, whose penalty ties them together, is
    another objective.

    Parameters
    ----------
    alpha : float, default=0.0
        Strength of the penalty; the intercept is not penalised.
    l1_ratio : float, default=0.0
        Share of the L1 penalty, which makes coefficients zero, from 0 to 1.
    fit_intercept : bool, default=True
        Whether there is a constant term.
    solver : {"exact", "adam", "sgd"}, default="exact"
        "exact" solves for the minimum in float64, on centred blocks of rows.  Without a penalty: a QR
        decomposition and a singular value decomposition of what is left, which give the solution of least norm
        where there are many.  With an L2 penalty alone: the normal equations, corrected by the gradient of the
        rows, or that QR decomposition where they are ill-conditioned.  With an L1 penalty: coordinate descent on
        the Gram matrix, or on the columns of X where they are more than the rows.  X is copied only if it has
        fewer rows than columns.  "adam" and "sgd" train by mini-batches, with an L2 penalty or none; scale the
        features for them.
    rcond : float or None, default=None
        For "exact" without a penalty: singular values below rcond times the largest count as zero.  None is the
        larger of max(n_rows, n_features) times the float64 epsilon and, for float32 data, twice the float32
        epsilon.
    learning_rate : {"adaptive", "constant", "invscaling"}, default="adaptive"
        Of the iterative solvers.  "adaptive" halves the learning rate each time that training stalls, down
        to a hundredth.
    learning_rate_init : float, default=0.05
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch.  "auto" is min(200, n_rows), and all rows if they are weighted: a batch is
        divided by its own weight, so that small ones would not have the objective's minimum on average.
    max_iter : int, default=1000
        Epochs at most, or sweeps of coordinate descent.
    tol : float, default=1e-6
        What counts as an improvement of the loss.  Coordinate descent ends when no coefficient moves by more than
        tol times the largest one, and the duality gap is at most tol times the mean square of the centred y:
        scikit-learn's rule, whose tol is 1e-4.
    n_iter_no_change : int, default=10
        Epochs without improvement that are waited for.
    momentum : float, default=0.9
        Of solver "sgd", Nesterov's.
    shuffle : bool, default=True
    random_state : int, RandomState, Generator or None, default=None
        Seed of the shuffles.
    warm_start : bool, default=False
        Whether an iterative solver or coordinate descent starts from the last solution.
    verbose : bool or int, default=False
        True for a line of progress, 2 for a line for each epoch.
    n_threads : int or None, default=None
        Threads of the engine.  The linear algebra of "exact" is NumPy's, with its own threads.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or ndarray of shape (n_outputs,)
    rank_ : int
        Rank of the centred X, with solver "exact" and no penalty.
    singular_ : ndarray of shape (min(n_rows, n_features),)
        Singular values of the centred X, with solver "exact" and no penalty.
    dual_gap_ : float or ndarray of shape (n_outputs,)
        No less than what the objective is above its minimum, with solver "exact" and an L1 penalty.
    loss_, best_loss_ : float
        The objective, its mean over the outputs: half the mean squared error, and the penalty.
    loss_curve_ : list of float
        Of each epoch; one value with solver "exact".
    validation_scores_, validation_loss_curve_, best_validation_score_
        R2 and loss of the validation data after each epoch, or None.
    n_iter_, t_ : int
        Epochs, or sweeps of coordinate descent, and rows seen.
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
    >>> lasso = fasttrain.LinearRegression(alpha=0.5, l1_ratio=1).fit(X, X @ [1.0, 2.0] + 3.0)
    >>> lasso.coef_.round(6).tolist()
    [0.0, 1.5]
    """

    def __init__(
        self,
        *,
        alpha: float = 0.0,
        l1_ratio: float = 0.0,
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
        self.alpha = alpha
        self.l1_ratio = l1_ratio
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

        Warns
        -----
        ConvergenceWarning
            If `max_iter` was not enough.
        """
        self._check_parameters(("exact", "adam", "sgd"))
        check.check_number(self.alpha, "alpha", 0, open_high=True)
        check.check_number(self.l1_ratio, "l1_ratio", 0, 1)
        l1, l2 = float(self.alpha * self.l1_ratio), float(self.alpha * (1 - self.l1_ratio))
        if l1 > 0 and self.solver == "exact":
            check.check_number(self.tol, "tol", 0, open_high=True)
        elif l1 > 0:
            raise ValueError(
                f"l1_ratio must be 0 with solver={self.solver!r}, which has no L1 penalty, got {self.l1_ratio!r}; "
                "solver='exact' has it"
            )
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
            history, solved = self._solve(engine, X, target, weights, l1, l2)
            if "dual_gap_" in solved and values.ndim == 1:
                solved["dual_gap_"] = float(solved["dual_gap_"][0])
            if validation is not None:
                loss, score = validation.evaluate(engine.network, self.n_threads)
                history.validation_loss_curve.append(loss)
                history.validation_scores.append(score)
                history.best_validation_score = score
        else:
            # the loss of these solvers is a mean over the outputs
            history = self._run(engine, X, target, weights, l2 / target.shape[1], validation)
        self._replace_fitted(
            described
            | history.attributes(early_stopping=False)
            | solved
            | {"_engine": engine, "_one_output": values.ndim == 1}
        )
        return self

    def _solve(
        self, engine: Engine, X: Array, target: Array, weights: Array | None, l1: float, l2: float
    ) -> tuple[History, dict[str, Any]]:
        """The minimum, into the engine's network; and the attributes that this way of finding it has."""
        network = engine.network
        fit_intercept = bool(self.fit_intercept)
        history = History(n_iter=1, t=X.shape[0])
        solved: dict[str, Any] = {}
        solution: Solution
        if l1 > 0:
            solution, descent = elastic_net(
                X,
                target,
                weights,
                network.weights[0],
                fit_intercept=fit_intercept,
                l1=l1,
                l2=l2,
                tol=float(self.tol),
                max_iter=int(self.max_iter),
                n_threads=self.n_threads,
            )
            history.n_iter = int(descent.n_iter.max())
            solved["dual_gap_"] = descent.gap
        elif l2 > 0:
            solution = ridge(X, target, weights, fit_intercept=fit_intercept, l2=l2)
        else:
            solution, rank, singular = least_squares(
                X, target, weights, fit_intercept=fit_intercept, rcond=self.rcond
            )
            solved = {"rank_": rank, "singular_": singular.astype(X.dtype)}
        network.weights[0][:] = solution.coef
        network.biases[0][:] = solution.intercept
        if not np.isfinite(network.parameters).all():
            raise ValueError("the solution is not finite: scale the features and the targets")
        if l1 > 0 and not descent.converged.all():
            warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet. "
                f"The duality gap is {descent.gap[~descent.converged].max():.3g}.",
                ConvergenceWarning,
            )
        penalty = l1 * np.abs(solution.coef).sum() + l2 * np.square(solution.coef).sum() / 2
        loss = network.evaluate(X, target, weights, n_threads=self.n_threads)
        history.best_loss = float(loss + penalty / target.shape[1])
        history.loss_curve.append(history.best_loss)
        return history, solved

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
