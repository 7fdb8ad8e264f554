"""Training: epochs of a network over data, with an optimizer's state."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain import optim
from fasttrain.kernels import network as engine
from fasttrain.nn.network import Network
from fasttrain.optim import Optimizer

# The rules that may be named.
RULES: dict[str, Any] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "nadam": optim.NAdam,
    "radam": optim.RAdam,
    "adamax": optim.Adamax,
    "adagrad": optim.Adagrad,
    "rmsprop": optim.RMSprop,
    "adadelta": optim.Adadelta,
    "lion": optim.Lion,
    "schedule_free_adamw": optim.ScheduleFreeAdamW,
    "lamb": optim.LAMB,
    "adafactor": optim.Adafactor,
}
# Those among them that look at a whole array, so that they are made over the weights and biases of each layer.
OF_ARRAYS = ("lamb", "adafactor")


class Trainer:
    """Trains a network by mini-batches; each epoch is one call of the engine.

    The objective of a batch is (1/S) sum_i s_i loss_i + penalty, with s the sample weights and S their sum in the
    batch.  The penalty is l2 / (2 S) sum W^2 with `l2_per_batch` (scikit-learn's alpha) and l2 / 2 sum W^2
    without; biases are never penalised.

    Parameters
    ----------
    network : Network
        Its parameters are updated in place.
    optimizer : str, fasttrain.optim.Optimizer, or list of them
        The name of a rule of :mod:`fasttrain.optim` in small letters, such as 'adam', 'sgd' or 'rmsprop'; or an
        optimizer made over ``network.parameters``, or over its ``weights`` and ``biases``; or several over parts of
        them, such as ``[Muon(network.weights), AdamW(network.biases)]``.  A single elementwise rule over all parameters
        with state of their dtype is part of the engine's pass; others take their steps between its batches.
    learning_rate : float, optional
        None is the rule's default.  May be changed between epochs.
    batch_size : int
        Rows of a batch; the last one of an epoch may have fewer.  At least the number of rows: full-batch
        gradient descent.  1: stochastic gradient descent.
    l2, l2_per_batch : float, bool
        The penalty.
    train_biases : bool
        False leaves all biases as they are.
    shuffle : bool
        Draw a new order of the rows in each epoch.
    seed : int
        Of the orders; from 0 to 2^64 - 1.
    n_threads : int, optional
        See :func:`fasttrain.set_num_threads`; results have the same bits for any number.
    **options
        Of the rule, if it is given by name: ``betas``, ``momentum`` and so on.  A weight_decay is of the weights alone.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.nn import Network, Trainer
    >>> X = np.linspace(-1, 1, 64).reshape(64, 1)
    >>> network = Network((1, 1), loss="half_squared_error", dtype=np.float64)
    >>> trainer = Trainer(network, optimizer="sgd", learning_rate=0.5, batch_size=16)
    >>> for _ in range(50):
    ...     loss = trainer.run_epoch(X, 3 * X + 1)
    >>> network.parameters.round(3)
    array([3., 1.])
    """

    def __init__(
        self,
        network: Network,
        *,
        optimizer: str | Optimizer | Sequence[Optimizer] = "adam",
        learning_rate: float | None = None,
        batch_size: int = 200,
        l2: float = 0.0,
        l2_per_batch: bool = True,
        train_biases: bool = True,
        shuffle: bool = True,
        seed: int = 0,
        n_threads: int | None = None,
        **options: Any,
    ) -> None:
        if operator.index(batch_size) < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not (math.isfinite(l2) and l2 >= 0.0):
            raise ValueError(f"l2 must be finite and not negative, got {l2!r}")
        if not 0 <= operator.index(seed) < 2**64:
            raise ValueError(f"seed must lie in [0, 2^64), got {seed}")
        if isinstance(optimizer, str):
            if optimizer not in RULES:
                raise ValueError(f"optimizer must be one of {', '.join(RULES)}, got {optimizer!r}")
            arrays = [*network.weights, *network.biases] if optimizer in OF_ARRAYS else network.parameters
            self.optimizers: list[Optimizer] = [RULES[optimizer](arrays, n_threads=n_threads, **options)]
        else:
            if options:
                raise ValueError(f"options belong to an optimizer given by name, got {', '.join(options)}")
            self.optimizers = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
            if not self.optimizers or not all(isinstance(one, Optimizer) for one in self.optimizers):
                raise TypeError(f"optimizer must be a name, an Optimizer or a list of them, got {optimizer!r}")
        if learning_rate is not None:
            self.optimizer.set_options(lr=learning_rate)
        self.network = network
        self.batch_size = operator.index(batch_size)
        self.l2 = l2
        self.l2_per_batch = l2_per_batch
        self.train_biases = train_biases
        self.shuffle = shuffle
        self.seed = operator.index(seed)
        self.n_threads = n_threads
        self.epoch = 0

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, where there is one."""
        if len(self.optimizers) != 1:
            raise ValueError(f"there are {len(self.optimizers)} optimizers: read `optimizers`")
        return self.optimizers[0]

    @property
    def learning_rate(self) -> float:
        """The optimizer's."""
        return float(self.optimizer.lr)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.optimizer.lr = value

    @property
    def step(self) -> int:
        """Updates done so far."""
        return self.optimizers[0].n_steps

    def run_epoch(self, X: NDArray[Any], y: NDArray[Any], sample_weight: NDArray[Any] | None = None) -> float:
        """Train on all rows once.

        Parameters
        ----------
        X : ndarray (n_rows, n_in)
            Of the network's dtype, contiguous rows; read in place.
        y : ndarray
            int64 labels (n_rows,) for cross_entropy; else targets (n_rows, n_out) of the network's dtype.
        sample_weight : ndarray (n_rows,), optional
            Of the network's dtype, finite, not negative.

        Returns
        -------
        float
            Mean objective of the epoch's batches, each at the parameters it was met with, weighted by S.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit; nothing is changed then.  ValueError also if a batch's loss is not
            finite: the message names epoch and step, and the parameters are those before that step.
        """
        optimizer = self.optimizers[0]
        flat = optimizer.flat_state(self.network.parameters) if len(self.optimizers) == 1 else None
        if flat is None:
            objective, failed = self._step_by_step(X, y, sample_weight)
        else:
            states, options, progress = flat
            objective, progress, failed = engine.train_epoch(
                self.network.program,
                self.network.parameters,
                states,
                X,
                y,
                sample_weight,
                loss=self.network.loss,
                optimizer=optimizer.family,
                options=options,
                progress=progress,
                batch_size=self.batch_size,
                shuffle=self.shuffle,
                seed=self.seed,
                epoch=self.epoch,
                l2=self.l2,
                l2_per_batch=self.l2_per_batch,
                train_biases=self.train_biases,
                n_threads=self.n_threads,
            )
            optimizer.advance_to(progress)
        if failed:
            raise ValueError(
                f"the loss is not finite in epoch {self.epoch + 1}, step {self.step + 1}; the parameters are those "
                "before that step (check X for NaN and infinity, or lower the learning rate)"
            )
        self.epoch += 1
        return float(objective)

    def _step_by_step(
        self, X: NDArray[Any], y: NDArray[Any], sample_weight: NDArray[Any] | None
    ) -> tuple[float, bool]:
        """An epoch for an optimizer that the engine does not know: its mean objective, and whether it failed."""
        network = self.network
        engine.check_data(network.program, network.parameters, X, y, sample_weight, loss=network.loss)
        n_rows = len(X)
        order = None
        if self.shuffle and self.batch_size < n_rows:
            order = engine.permutation(n_rows, seed=self.seed, step=self.epoch)
        grad = np.empty_like(network.parameters)
        grads: list[Any] = []
        for optimizer in self.optimizers:
            places = optimizer.params if isinstance(optimizer.params, list) else [optimizer.params]
            parts = [_at_place_of(param, network.parameters, grad) for param in places]
            grads.append(parts if isinstance(optimizer.params, list) else parts[0])
        objective = total = 0.0
        for start in range(0, n_rows, self.batch_size):
            rows: Any = slice(start, start + self.batch_size)
            if order is not None:
                rows = order[rows]
            weights = None if sample_weight is None else sample_weight[rows]
            weight = float(len(X[rows])) if weights is None else float(weights.sum(dtype=np.float64))
            value = network.value_and_grad(X[rows], y[rows], weights, grad=grad, n_threads=self.n_threads)[0]
            decay = self.l2 / weight if self.l2_per_batch and weight > 0 else self.l2
            for layer in network.plan:
                matrix = slice(layer.weight, layer.weight + layer.n_in * layer.n_out)
                if decay > 0.0:
                    value += 0.5 * decay * float(np.square(network.parameters[matrix], dtype=np.float64).sum())
                    grad[matrix] += grad.dtype.type(decay) * network.parameters[matrix]
                if not self.train_biases:
                    grad[layer.bias : layer.bias + layer.n_out] = 0
            if not math.isfinite(value):
                return 0.0, True
            for optimizer, own in zip(self.optimizers, grads, strict=True):
                optimizer.step(own)
            objective += value * weight
            total += weight
        return (objective / total if total > 0.0 else 0.0), False

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the epoch, copied; the parameters are the network's."""
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        if len(states) == 1:
            return {**states[0], "epoch": self.epoch}
        return {
            **{f"optimizers.{i}.{name}": value for i, state in enumerate(states) for name, value in state.items()},
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; a training resumed so goes on bit for bit.  Checks everything first."""
        epoch = operator.index(state["epoch"])
        own = {name: value for name, value in state.items() if name != "epoch"}
        if len(self.optimizers) == 1:
            self.optimizer.load_state_dict(own)
        else:
            before = [optimizer.state_dict() for optimizer in self.optimizers]
            try:
                for i, optimizer in enumerate(self.optimizers):
                    prefix = f"optimizers.{i}."
                    part = {name.removeprefix(prefix): v for name, v in own.items() if name.startswith(prefix)}
                    optimizer.load_state_dict(part)
            except (TypeError, ValueError):
                for optimizer, kept in zip(self.optimizers, before, strict=True):
                    optimizer.load_state_dict(kept)
                raise
        self.epoch = epoch


def _at_place_of(param: Any, parameters: NDArray[Any], grad: NDArray[Any]) -> NDArray[Any]:
    """The part of grad that has the place of param in the parameters."""
    offset = -1
    if isinstance(param, np.ndarray) and param.dtype == parameters.dtype:
        distance = param.__array_interface__["data"][0] - parameters.__array_interface__["data"][0]
        offset = distance // parameters.itemsize
    if not (0 <= offset <= parameters.size - np.size(param)):
        raise ValueError("the optimizer's parameters must be parts of network.parameters")
    return grad[offset : offset + param.size].reshape(param.shape)
