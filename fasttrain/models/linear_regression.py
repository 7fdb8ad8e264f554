"""Linear regression: least squares in closed form, or by gradient steps."""
from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fasttrain.models import validation as check
from fasttrain.models._linear import Array, Linear
from fasttrain.models.base import Regressor
from fasttrain.models.training import History, Validation


class LinearRegression(Regressor, Linear):
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
