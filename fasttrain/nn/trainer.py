"""Training: epochs of a network over data, with an optimizer's state."""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain.kernels import network as engine
from fasttrain.nn.network import Network


class Trainer:
    """Trains a network by mini-batches; each epoch is one call of the engine.

    The objective of a batch is (1/S) sum_i s_i loss_i + penalty, with s the sample weights and S their sum in the
    batch.  The penalty is l2 / (2 S) sum W^2 with `l2_per_batch` (scikit-learn's alpha) and l2 / 2 sum W^2
    without; biases are never penalised.

    Parameters
    ----------
    network : Network
        Its parameters are updated in place.
    optimizer : {'adam', 'sgd'}
        Formulas of :class:`fasttrain.optim.Adam` and :class:`fasttrain.optim.SGD`.
    learning_rate : float
        May be changed between epochs.
    batch_size : int
        Rows of a batch; the last one of an epoch may have fewer.  At least the number of rows: full-batch
        gradient descent.  1: stochastic gradient descent.
    betas, eps : (float, float), float
        Of adam.
    momentum, nesterov : float, bool
        Of sgd.
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
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 200,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum: float = 0.9,
        nesterov: bool = True,
        l2: float = 0.0,
        l2_per_batch: bool = True,
        train_biases: bool = True,
        shuffle: bool = True,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        if optimizer not in engine.OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(engine.OPTIMIZERS)}, got {optimizer!r}")
        if operator.index(batch_size) < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        for name, value in (("learning_rate", learning_rate), ("eps", eps), ("momentum", momentum), ("l2", l2)):
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} must be finite and not negative, got {value!r}")
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"betas must lie in [0, 1), got {betas!r}")
        if not 0 <= operator.index(seed) < 2**64:
            raise ValueError(f"seed must lie in [0, 2^64), got {seed}")
        self.network = network
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = operator.index(batch_size)
        self.betas = betas
        self.eps = eps
        self.momentum = momentum
        self.nesterov = nesterov and momentum > 0.0
        self.l2 = l2
        self.l2_per_batch = l2_per_batch
        self.train_biases = train_biases
        self.shuffle = shuffle
        self.seed = operator.index(seed)
        self.n_threads = n_threads
        self.epoch = 0
        self.step = 0
        n_moments = 2 if optimizer == "adam" else 1 if momentum > 0.0 else 0
        self.moments = tuple(np.zeros_like(network.parameters) for _ in range(n_moments))

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
        objective, n_steps, failed = engine.train_epoch(
            self.network.program,
            self.network.parameters,
            self.moments,
            X,
            y,
            sample_weight,
            loss=self.network.loss,
            optimizer=self.optimizer,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            seed=self.seed,
            epoch=self.epoch,
            step=self.step,
            learning_rate=self.learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=self.eps,
            momentum=self.momentum,
            nesterov=self.nesterov,
            l2=self.l2,
            l2_per_batch=self.l2_per_batch,
            train_biases=self.train_biases,
            n_threads=self.n_threads,
        )
        self.step += n_steps
        if failed:
            raise ValueError(
                f"the loss is not finite in epoch {self.epoch + 1}, step {self.step + 1}; the parameters are those "
                "before that step (check X for NaN and infinity, or lower the learning rate)"
            )
        self.epoch += 1
        return float(objective)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, step and the optimizer's moments, copied; the parameters are the network's."""
        return {
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "epoch": self.epoch,
            "step": self.step,
            "moments": [moment.copy() for moment in self.moments],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; a training resumed so goes on bit for bit.  Checks everything first."""
        if state["optimizer"] != self.optimizer or len(state["moments"]) != len(self.moments):
            raise ValueError(
                f"state must come from optimizer {self.optimizer!r} with {len(self.moments)} moments, got "
                f"{state['optimizer']!r} with {len(state['moments'])}"
            )
        for moment, value in zip(self.moments, state["moments"], strict=True):
            if value.shape != moment.shape or value.dtype != moment.dtype:
                raise ValueError(
                    f"moments must have shape {moment.shape} and dtype {moment.dtype}, "
                    f"got {value.shape} and {value.dtype}"
                )
        epoch, step = operator.index(state["epoch"]), operator.index(state["step"])
        learning_rate = float(state["learning_rate"])
        for moment, value in zip(self.moments, state["moments"], strict=True):
            moment[...] = value
        self.epoch, self.step, self.learning_rate = epoch, step, learning_rate
