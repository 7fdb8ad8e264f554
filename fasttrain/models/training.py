"""Training by epochs, for every estimator: the engine with its state, and the loop around it.

An epoch is one call of the engine.  Between epochs the loop notes the loss, scores the validation set if
there is one, moves the learning rate, and decides when to stop.  The rules for that are scikit-learn's.
"""
from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from fasttrain import nn
from fasttrain.exceptions import ConvergenceWarning, warn

Array = NDArray[Any]


class Engine:
    """A network and its trainer.  Pickled and copied by its settings and plain arrays."""

    def __init__(self, network_settings: dict[str, Any]) -> None:
        self._network_settings = network_settings
        self._trainer_settings: dict[str, Any] | None = None
        self.network = nn.Network(**network_settings)
        self.trainer: Any = None

    def is_like(self, network_settings: dict[str, Any]) -> bool:
        return self._network_settings == network_settings

    def copy_network(self) -> Engine:
        """An engine with the same network and no trainer."""
        copy = Engine(self._network_settings)
        copy.network.parameters[:] = self.network.parameters
        return copy

    def set_trainer(self, settings: dict[str, Any], *, keep_state: bool = False) -> None:
        """A new trainer; with `keep_state` the old one, or its state if the optimizer is the same."""
        state = None
        if keep_state and self.trainer is not None and self._trainer_settings is not None:
            old = self._trainer_settings
            # the seed is the first call's: the epoch's number makes each shuffle another one
            settings = settings | {"seed": old["seed"]}
            if settings == old:
                return
            if _optimizer_of(settings) == _optimizer_of(old):
                state = self.trainer.state_dict()
        self.trainer = nn.Trainer(self.network, **settings)
        self._trainer_settings = settings
        if state is not None:
            rate = state["lr"]  # a schedule may have changed it
            state.update(self.trainer.optimizer.options)
            if settings["learning_rate"] == old["learning_rate"]:
                state["lr"] = rate
            self.trainer.load_state_dict(state)

    def drop_trainer(self) -> None:
        """Free the optimizer's memory, where training is not to be gone on with."""
        self.trainer = self._trainer_settings = None

    def snapshot(self) -> tuple[Any, ...]:
        """What `restore` needs to undo the training from here on."""
        trainer = self.trainer
        state = None if trainer is None else trainer.state_dict()
        rate = None if trainer is None else trainer.learning_rate
        return self.network.parameters.copy(), trainer, self._trainer_settings, state, rate

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        parameters, self.trainer, self._trainer_settings, state, rate = snapshot
        self.network.parameters[:] = parameters
        if self.trainer is not None:
            self.trainer.load_state_dict(state)
            self.trainer.learning_rate = rate

    def __getstate__(self) -> dict[str, Any]:
        trainer = self.trainer
        return {
            "network_settings": self._network_settings,
            "parameters": np.array(self.network.parameters),
            "trainer_settings": self._trainer_settings,
            "trainer_state": None if trainer is None else trainer.state_dict(),
            "learning_rate": None if trainer is None else trainer.learning_rate,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Engine.__init__(self, state["network_settings"])
        self.network.parameters[:] = state["parameters"]
        self._trainer_settings = state["trainer_settings"]
        if self._trainer_settings is not None:
            self.trainer = nn.Trainer(self.network, **self._trainer_settings)
            self.trainer.load_state_dict(state["trainer_state"])
            self.trainer.learning_rate = state["learning_rate"]


def _optimizer_of(settings: dict[str, Any]) -> tuple[str, bool]:
    """What decides on the arrays of an optimizer's state."""
    return settings["optimizer"], settings.get("momentum", 0.0) > 0


@dataclass
class Validation:
    """Rows that are scored after each epoch; `score` takes logits, target and weights."""

    X: Array  # (n_rows, n_features)
    target: Array
    sample_weight: Array | None
    score: Callable[[Array, Array, Array | None], float]
    score_name: str
    _logits: Array | None = field(default=None, repr=False)

    def evaluate(self, network: Any, n_threads: int | None) -> tuple[float, float]:
        """Mean loss, without penalty, and score."""
        loss = network.evaluate(self.X, self.target, self.sample_weight, n_threads=n_threads)
        self._logits = network.decision(self.X, out=self._logits, n_threads=n_threads)
        if not np.isfinite(self._logits).all():
            return float(loss), float("nan")
        return float(loss), self.score(self._logits, self.target, self.sample_weight)


@dataclass
class History:
    """What was seen in training; the estimators' attributes of the same names, without the underscore."""

    loss_curve: list[float] = field(default_factory=list)
    best_loss: float = np.inf
    validation_scores: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] = field(default_factory=list)
    best_validation_score: float = -np.inf
    n_iter: int = 0
    t: int = 0
    no_improvement: int = 0

    def copy(self) -> History:
        return History(
            list(self.loss_curve),
            self.best_loss,
            list(self.validation_scores),
            list(self.validation_loss_curve),
            self.best_validation_score,
            self.n_iter,
            self.t,
            self.no_improvement,
        )

    def attributes(self, *, early_stopping: bool) -> dict[str, Any]:
        """The estimator's attributes; what a run does not have is None."""
        validated = bool(self.validation_scores)
        return {
            "loss_": self.loss_curve[-1],
            "best_loss_": None if early_stopping else self.best_loss,
            "loss_curve_": self.loss_curve,
            "validation_scores_": self.validation_scores if validated else None,
            "validation_loss_curve_": self.validation_loss_curve if validated else None,
            "best_validation_score_": self.best_validation_score if validated else None,
            "n_iter_": self.n_iter,
            "t_": self.t,
        }


@dataclass
class LearningRate:
    """How the learning rate moves between epochs.

    constant     stays
    invscaling   initial / (rows seen + 1)**power_t
    adaptive     divided by `factor` each time that training stalls, which ends only below `minimum`
    """

    schedule: str
    initial: float
    power_t: float = 0.5
    minimum: float = 1e-6
    factor: float = 5.0
    fresh_start: bool = False  # each learning rate is judged by its own losses, not by the best one so far

    def epoch_ended(self, trainer: Any, n_rows_seen: int) -> None:
        if self.schedule == "invscaling":
            trainer.learning_rate = self.initial / (n_rows_seen + 1) ** self.power_t

    def goes_on_after_stall(self, trainer: Any) -> bool:
        if self.schedule != "adaptive" or trainer.learning_rate <= self.minimum:
            return False
        trainer.learning_rate = trainer.learning_rate / self.factor
        return True


class Progress:
    """The line that tells how far training is.

    On a terminal one line is rewritten, at most 20 times a second; elsewhere about ten lines are written in
    all.  With verbose of 2 or more there is a line for each epoch, anywhere.  Nothing with verbose false.
    """

    def __init__(self, verbose: bool | int, n_epochs: int, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._n_epochs = n_epochs
        self._on = bool(verbose)
        self._rewrites = self._on and int(verbose) < 2 and self._stream.isatty()
        self._every = 1 if int(verbose) > 1 else max(1, n_epochs // 10)
        self._last_time = -np.inf
        self._shown = True
        self._line = ""

    def epoch(self, number: int, loss: float, validation: tuple[str, float] | None) -> None:
        if not self._on:
            return
        width = len(str(self._n_epochs))
        self._line = f"epoch {number:{width}d}/{self._n_epochs}  loss {loss:.5f}"
        if validation is not None:
            self._line += f"  validation {validation[0]} {validation[1]:.4f}"
        if self._rewrites:
            now = time.monotonic()
            self._shown = now - self._last_time >= 0.05
            if self._shown:
                self._last_time = now
                self._write("\r" + self._line + "\x1b[K")
        else:
            self._shown = number == 1 or number % self._every == 0
            if self._shown:
                self._write(self._line + "\n")

    def message(self, text: str) -> None:
        """A line of its own, after the one of the epoch."""
        if self._on:
            self._end_line()
            self._write(text + "\n")

    def close(self) -> None:
        """The last epoch's line stays."""
        if self._on:
            self._end_line()

    def _end_line(self) -> None:
        if not self._line:
            return
        if self._rewrites:
            self._write("\r" + self._line + "\x1b[K\n")
        elif not self._shown:
            self._write(self._line + "\n")
        self._line = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@dataclass
class Loop:
    """Settings of `run`, in the words of the estimators' parameters."""

    max_iter: int
    tol: float
    n_iter_no_change: int
    learning_rate: LearningRate
    early_stopping: bool = False
    verbose: bool | int = False
    n_threads: int | None = None

    def run(
        self,
        engine: Engine,
        history: History,
        X: Array,
        target: Array,
        sample_weight: Array | None,
        validation: Validation | None = None,
        *,
        single_epoch: bool = False,
    ) -> None:
        """Train until nothing improves any more, or for `max_iter` epochs; `history` is carried on.

        With early stopping the parameters of the best validation score are put back at the end.  A loss that
        is no longer finite raises ValueError.
        """
        network, trainer = engine.network, engine.trainer
        progress = Progress(self.verbose, 1 if single_epoch else self.max_iter)
        best = network.parameters.copy() if self.early_stopping else None
        history.n_iter = 0
        reference = history.best_loss  # what a loss has to fall below to count as an improvement
        converged = False
        try:
            while history.n_iter < self.max_iter:
                loss = float(trainer.run_epoch(X, target, sample_weight))
                history.n_iter += 1
                history.t += X.shape[0]
                history.loss_curve.append(loss)
                scored = None
                if validation is not None:
                    validation_loss, score = validation.evaluate(network, self.n_threads)
                    history.validation_loss_curve.append(validation_loss)
                    history.validation_scores.append(score)
                    scored = (validation.score_name, score)
                progress.epoch(history.n_iter, loss, scored)
                best_so_far = self._note(history, loss, None if scored is None else scored[1], reference)
                reference = min(reference, loss)
                if best is not None and best_so_far:
                    best[:] = network.parameters
                self.learning_rate.epoch_ended(trainer, history.t)
                if history.no_improvement > self.n_iter_no_change:
                    what = "Validation score" if self.early_stopping else "Training loss"
                    text = (
                        f"{what} did not improve more than tol={self.tol:g} for {self.n_iter_no_change} "
                        "consecutive epochs."
                    )
                    if not self.learning_rate.goes_on_after_stall(trainer):
                        progress.message(f"{text} Stopping.")
                        converged = True
                        break
                    progress.message(f"{text} Setting the learning rate to {trainer.learning_rate:g}.")
                    history.no_improvement = 0
                    if self.learning_rate.fresh_start:
                        reference = np.inf
                if single_epoch:
                    converged = True
                    break
        except KeyboardInterrupt:
            if history.n_iter == 0:
                raise
            converged = True
            warnings.warn("Training interrupted by user.", UserWarning, stacklevel=2)
        finally:
            progress.close()
        if best is not None:
            network.parameters[:] = best
        if not np.isfinite(network.parameters).all():
            raise ValueError(
                f"the parameters became non-finite in epoch {history.n_iter}: scale the features, or train "
                "with a smaller learning_rate_init"
            )
        if not converged:
            warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
            )

    def _note(self, history: History, loss: float, score: float | None, reference: float) -> bool:
        """Count the epochs without improvement by more than tol; True if the score is the best one yet."""
        stalled = loss > reference - self.tol
        best = False
        history.best_loss = min(history.best_loss, loss)
        if score is not None:
            if self.early_stopping:
                stalled = not score >= history.best_validation_score + self.tol
            best = score > history.best_validation_score
            if best:
                history.best_validation_score = score
        history.no_improvement = history.no_improvement + 1 if stalled else 0
        return best
