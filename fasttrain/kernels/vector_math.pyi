from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Real = TypeVar("_Real", np.float32, np.float64)

ACTIVATIONS: tuple[str, ...]

def exp(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def expm1(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def log(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def log1p(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def tanh(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def sigmoid(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def erf(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def erfc(
    x: npt.NDArray[_Real], out: npt.NDArray[_Real] | None = None, *, n_threads: int | None = None
) -> npt.NDArray[_Real]: ...
def activation_forward(
    z: npt.NDArray[_Real],
    out: npt.NDArray[_Real] | None = None,
    *,
    activation: str,
    n_threads: int | None = None,
) -> npt.NDArray[_Real]: ...
def activation_backward(
    grad_output: npt.NDArray[_Real],
    saved: npt.NDArray[_Real],
    out: npt.NDArray[_Real] | None = None,
    *,
    activation: str,
    n_threads: int | None = None,
) -> npt.NDArray[_Real]: ...
