"""Checks of arguments that the metrics share; each raises what scikit-learn raises."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain.exceptions import InvalidParameterError


def check_array_like(value: Any, name: str) -> None:
    """Refuse what has no length: numbers, strings, None."""
    # the common case first: a call on few rows costs microseconds
    if type(value) is np.ndarray:
        return
    if isinstance(value, (str, bytes, np.generic)) or not (
        hasattr(value, "__len__") or hasattr(value, "shape") or hasattr(value, "__array__")
    ):
        raise InvalidParameterError(f"{name} must be an array or a sequence, got {value!r}")


def as_array(value: Any, name: str) -> NDArray[Any]:
    """value as an ndarray in native byte order, without a copy where that is possible.

    Raises
    ------
    TypeError
        A sparse or masked array, a numpy.matrix, a scalar array, bytes.
    ValueError
        Not an array or a sequence; ragged or complex data.
    """
    if type(value) is not np.ndarray:
        check_array_like(value, name)
        if hasattr(value, "tocsr"):
            raise TypeError(f"{name} must be a dense array, got a sparse one; {name}.toarray() converts")
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{name} must not be a masked array; use {name}.filled(...) or {name}.data")
        if isinstance(value, np.matrix):
            raise TypeError(f"{name} must not be a numpy.matrix; numpy.asarray({name}) converts")
        if not (hasattr(value, "__array__") or hasattr(value, "__buffer__") or isinstance(value, Sequence)):
            raise InvalidParameterError(f"{name} must be an array or a sequence, got {type(value).__name__}")
        value = np.asarray(value)
    array: NDArray[Any] = value
    if array.ndim == 0:
        raise TypeError(f"{name} must have at least one dimension, got the scalar {value!r}")
    if array.dtype.kind == "c":
        raise InvalidParameterError(f"{name} must not be complex, got dtype {array.dtype}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_floats(y: NDArray[Any], name: str) -> NDArray[Any]:
    """y as float32 or float64."""
    if y.dtype in (np.float32, np.float64):
        return y
    if y.dtype.kind not in "biufO":
        raise ValueError(f"{name} must hold numbers, got dtype {y.dtype}")
    return y.astype(np.float32 if y.dtype == np.float16 else np.float64)


def one_column(y: NDArray[Any], name: str) -> NDArray[Any]:
    """One column as a C-contiguous vector."""
    if y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
        y = y.reshape(-1)
        return y if y.flags.c_contiguous and y.flags.aligned else np.array(y, order="C")
    raise ValueError(f"{name} must have one column, got shape {y.shape}")


def check_lengths(*named_arrays: tuple[str, NDArray[Any] | None]) -> None:
    """The same number of rows, at least one; None is passed over."""
    lengths = {name: len(array) for name, array in named_arrays if array is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the arrays must have the same number of rows, got {lengths}")
    if not next(iter(lengths.values())):
        raise ValueError("y_true and y_pred must hold at least one row, got empty arrays")


def check_sample_weight(sample_weight: Any, n_rows: int, allow_zero: bool = False) -> NDArray[Any]:
    """Weights as a C-contiguous array of float32, float64 or int64; finite, not negative, not all zero.

    allow_zero: of the rows of a chunk all may be without weight.
    """
    weight = as_array(sample_weight, "sample_weight")
    if weight.ndim != 1 or weight.shape[0] != n_rows:
        raise ValueError(f"sample_weight must have shape ({n_rows},), got {weight.shape}")
    if weight.dtype.kind in "biu":
        # an unsigned weight beyond int64 turns negative and is refused below
        weight = weight.astype(np.int64, copy=False)
    elif weight.dtype not in (np.float32, np.float64):
        if weight.dtype.kind not in "fO":
            raise InvalidParameterError(f"sample_weight must hold numbers, got dtype {weight.dtype}")
        weight = weight.astype(np.float64)
    low, high = weight.min(), weight.max()
    # NaN spreads to both, and fails both comparisons
    if not (low >= 0 and high < math.inf):
        raise ValueError(f"sample_weight must be finite and not negative, got values from {low} to {high}")
    if high == 0 and not allow_zero:
        raise ValueError("sample_weight must not be zero in every row")
    return np.ascontiguousarray(weight)


def check_choice(value: Any, name: str, choices: tuple[str | None, ...]) -> None:
    """One of a few strings, or None where that is among them."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise InvalidParameterError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_boolean(value: Any, name: str) -> None:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidParameterError(f"{name} must be True or False, got {value!r}")


def check_number(value: Any, name: str, kind: type[Any]) -> None:
    """A number of this kind (of :mod:`numbers`) of at least 0."""
    if not (isinstance(value, kind) and value >= 0):
        raise InvalidParameterError(f"{name} must be a number of at least 0, got {value!r}")


def zero_division_value(zero_division: Any) -> float:
    """What stands for a quotient with a zero denominator."""
    if isinstance(zero_division, str):
        if zero_division == "warn":
            return 0.0
    elif isinstance(zero_division, numbers.Real) and (zero_division in (0, 1) or math.isnan(zero_division)):
        return float(zero_division)
    raise InvalidParameterError(f"zero_division must be 'warn', 0, 1 or nan, got {zero_division!r}")
