"""What linear models share: networks without hidden layers, and the settings of their iterative solvers."""
from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from fasttrain.models import validation as check
from fasttrain.models.base import Estimator, seed_from
from fasttrain.models.training import Engine, History, LearningRate, Loop, Validation

Array = NDArray[Any]

_SCHEDULES = ("constant", "invscaling", "adaptive")


class Linear(Estimator):
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
