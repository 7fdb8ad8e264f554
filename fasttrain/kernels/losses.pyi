from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Reduction: TypeAlias = Literal["sum", "mean", "weighted_mean"]
_Array: TypeAlias = NDArray[Any]
_Grad: TypeAlias = NDArray[Any] | Literal[False] | None

def mse_value_and_grad(
    prediction: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    reduction: _Reduction = "mean",
    sample_weight: _Array | None = None,
    n_threads: int | None = None,
) -> tuple[float, Any]: ...
def half_squared_error_value_and_grad(
    prediction: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    reduction: _Reduction = "mean",
    sample_weight: _Array | None = None,
    n_threads: int | None = None,
) -> tuple[float, Any]: ...
def bce_value_and_grad(
    prediction: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    from_logits: bool | np.bool_ = True,
    pos_weight: _Array | None = None,
    reduction: _Reduction = "mean",
    sample_weight: _Array | None = None,
    n_threads: int | None = None,
) -> tuple[float, Any]: ...
def cross_entropy_value_and_grad(
    logits: _Array,
    target: _Array,
    grad: _Grad = None,
    *,
    class_weight: _Array | None = None,
    sample_weight: _Array | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: _Reduction = "mean",
    n_threads: int | None = None,
) -> tuple[float, Any]: ...
def softmax(x: _Array, out: _Array | None = None, *, n_threads: int | None = None) -> _Array: ...
