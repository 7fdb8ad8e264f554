"""A dense network over one parameter buffer."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fasttrain.kernels import network as engine
from fasttrain.kernels.vector_math import ACTIVATIONS
from fasttrain.nn.plan import as_steps, dense_plan, parameter_count


class Network:
    """Dense layers with an activation behind each but the last, and a loss on the last one's outputs (logits).

    Parameters
    ----------
    layer_sizes : sequence of int
        ``(n_in, hidden..., n_out)``; without hidden layers it is a linear model.
    activation : str or sequence of str
        Of the hidden layers, one for all or one each: identity, relu, leaky_relu, tanh, sigmoid, gelu, silu,
        softplus or elu.
    loss : {'cross_entropy', 'binary_cross_entropy', 'half_squared_error'}
        cross_entropy: softmax over the outputs, one int64 label a row.  binary_cross_entropy: a sigmoid for each
        output, targets in [0, 1] (n_rows, n_out), summed over outputs.  half_squared_error: 1/2 (p - t)^2,
        targets (n_rows, n_out), the mean over outputs.
    dtype : {float32, float64}
        Of the parameters, the data and the arithmetic.

    Attributes
    ----------
    parameters : ndarray (n_parameters,)
        All weights and biases, one buffer.
    weights, biases : list of ndarray
        Views (n_in, n_out) and (n_out,) of it, one per layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.nn import Network
    >>> network = Network((2, 3, 1), loss="half_squared_error", dtype=np.float64)
    >>> network.initialize(seed=0)
    >>> network.predict(np.zeros((5, 2))).shape
    (5, 1)
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        activation: str | Sequence[str] = "relu",
        loss: str = "cross_entropy",
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = tuple(operator.index(size) for size in layer_sizes)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"layer_sizes must hold at least two positive sizes, got {layer_sizes!r}")
        n_hidden = len(sizes) - 2
        hidden = (activation,) * n_hidden if isinstance(activation, str) else tuple(activation)
        if len(hidden) != n_hidden:
            raise ValueError(f"activation must name one function per hidden layer ({n_hidden}), got {activation!r}")
        for name in hidden if n_hidden else (activation,) if isinstance(activation, str) else ():
            if name not in ACTIVATIONS:
                raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
        if loss not in engine.LOSSES:
            raise ValueError(f"loss must be one of {', '.join(engine.LOSSES)}, got {loss!r}")
        if loss == "cross_entropy" and sizes[-1] < 2:
            raise ValueError(f"cross_entropy needs at least 2 outputs, got layer_sizes {layer_sizes!r}")
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        self.layer_sizes = sizes
        self.loss = loss
        self.dtype = np.dtype(dtype)
        self.plan = dense_plan(sizes, (*hidden, "identity"))
        self.n_parameters = parameter_count(self.plan)
        self.parameters: NDArray[Any] = np.zeros(self.n_parameters, dtype=self.dtype)

    @property
    def program(self) -> Any:
        """The steps as the engine walks them."""
        return engine.Program(as_steps(self.plan))

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Views (n_in, n_out) of the parameters, one per layer."""
        return [
            self.parameters[layer.weight : layer.weight + layer.n_in * layer.n_out].reshape(layer.n_in, layer.n_out)
            for layer in self.plan
        ]

    @property
    def biases(self) -> list[NDArray[Any]]:
        """Views (n_out,) of the parameters, one per layer."""
        return [self.parameters[layer.bias : layer.bias + layer.n_out] for layer in self.plan]

    def initialize(self, seed: int) -> None:
        """Draw all parameters as scikit-learn's perceptrons do: uniform in +-sqrt(f / (n_in + n_out)).

        f is 2 where the hidden activation is a sigmoid and 6 otherwise (Glorot and Bengio, 2010); biases too, and
        the last layer as the one before it.  The numbers are a function of the seed and their places alone.
        """
        factor = 6.0
        for step, (layer, weight, bias) in enumerate(zip(self.plan, self.weights, self.biases, strict=True)):
            if layer is not self.plan[-1]:
                factor = 2.0 if layer.activation == "sigmoid" else 6.0
            bound = float(np.sqrt(factor / (layer.n_in + layer.n_out)))
            for stream, part in enumerate((weight.reshape(-1), bias)):
                engine.uniform(part, -bound, bound, seed=seed, step=2 * step + stream)

    def predict(
        self, X: NDArray[Any], out: NDArray[Any] | None = None, *, n_threads: int | None = None
    ) -> NDArray[Any]:
        """Probabilities (softmax or sigmoid by the loss) or values, (n_rows, n_out).

        A row's result does not depend on the rows beside it, nor on the number of threads.
        """
        return engine.predict(self.program, self.parameters, X, out, loss=self.loss, n_threads=n_threads)

    def decision(
        self, X: NDArray[Any], out: NDArray[Any] | None = None, *, n_threads: int | None = None
    ) -> NDArray[Any]:
        """Logits, (n_rows, n_out): the last layer's outputs."""
        return engine.predict(
            self.program, self.parameters, X, out, loss=self.loss, decision=True, n_threads=n_threads
        )

    def evaluate(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None = None,
        *,
        n_threads: int | None = None,
    ) -> float:
        """Mean loss over the rows, weighted by `sample_weight`, without a penalty."""
        return engine.evaluate(
            self.program, self.parameters, X, y, sample_weight, loss=self.loss, n_threads=n_threads
        )

    def value_and_grad(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None = None,
        *,
        grad: NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> tuple[float, NDArray[Any]]:
        """Mean loss over the rows, weighted by `sample_weight`, and its gradient by all parameters.

        Parameters
        ----------
        X, y, sample_weight
            As :meth:`fasttrain.nn.Trainer.run_epoch` says.
        grad : ndarray (n_parameters,), optional
            Where the gradient is written; a new array without it.
        n_threads : int, optional
            See :func:`fasttrain.set_num_threads`; results have the same bits for any number.

        Returns
        -------
        (float, ndarray)
            The loss, and the gradient in the places of ``parameters``: what an optimizer of
            :mod:`fasttrain.optim`, or ``minimize_lbfgs``, takes.
        """
        if grad is None:
            grad = np.empty_like(self.parameters)
        value = engine.value_and_grad(
            self.program, self.parameters, X, y, sample_weight, grad=grad, loss=self.loss, n_threads=n_threads
        )
        return value, grad
