"""What the states share: metrics as methods, and plain arrays in and out.

A state is what is left of rows when they are gone: enough to compute metrics, and to be added to another's.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain.metrics._labels import sum_fits

_Array = NDArray[Any]

# What a state is computed from; no argument of its methods.
_ROWS = ("y_true", "y_pred", "y_score", "y1", "y2", "sample_weight")


def method_of(function: Callable[..., Any], stand_in: str, doc: str = "") -> Any:
    """The method of a state for a function of (y_true, y_pred): same name, options, answers, warnings and errors.

    stand_in: the state's method (name of the function) -> what takes the place of the rows in the call, as a tuple.
    """
    options = [p for p in inspect.signature(function).parameters.values() if p.name not in _ROWS]
    names = {p.name for p in options}

    def method(self: Any, **given: Any) -> Any:
        if not names.issuperset(given):
            unknown = sorted(given.keys() - names)
            raise TypeError(f"{function.__name__}() of a state takes {sorted(names) or 'nothing'}, got {unknown}")
        return function(*getattr(self, stand_in)(names, given), **given)

    method.__name__ = function.__name__
    method.__doc__ = f":func:`{function.__name__}` of all rows so far, with its options.{doc}"
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [me, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in options)]
    )
    return method


def check_same_kind(state: Any, other: Any) -> None:
    """Only states of one class are merged."""
    if type(other) is not type(state):
        raise TypeError(f"other must be a {type(state).__name__}, got {type(other).__name__}")


def is_empty(a: Any, b: Any, sample_weight: Any = None) -> bool:
    """No rows came: the arrays are all of length 0."""
    arrays = (a, b) if sample_weight is None else (a, b, sample_weight)
    return all(hasattr(array, "__len__") and not len(array) for array in arrays)


def check_finite_sum(weight: float) -> None:
    """The sum of the weights of all rows, or what is made of them, is a number."""
    if not math.isfinite(weight):
        raise ValueError("sample_weight must have a finite sum over all rows so far, got infinity")


def fitting(*counts: _Array) -> tuple[_Array, ...]:
    """Counts as they are: int64 where all are and the sums of each fit, else float64."""
    if all(one.dtype.kind == "i" and sum_fits(one) for one in counts):
        return counts
    return tuple(one.astype(np.float64) for one in counts)


def add_counts(a: _Array, b: _Array) -> _Array:
    """a + b: int64 where both are and the sums fit, else float64."""
    if a.dtype.kind == b.dtype.kind == "i" and not sum_fits(a, b):
        a = a.astype(np.float64)
    total: _Array = a + b
    return total


class Arrays:
    """The arrays of a state as they come back, each asked for by name and checked."""

    def __init__(self, arrays: Any, state: str) -> None:
        if not isinstance(arrays, Mapping) and not hasattr(arrays, "keys"):
            raise TypeError(f"arrays must be a dict of arrays, got {type(arrays).__name__}")
        self._arrays = {str(name): np.asarray(arrays[name]) for name in arrays.keys()}
        self._left = set(self._arrays)
        kind = self.take("state", "U", ())
        if str(kind) != state:
            raise ValueError(f"arrays must be those of a state {state!r}, got {str(kind)!r}")

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def take(self, name: str, kinds: str, shape: tuple[int | None, ...]) -> _Array:
        """The array of this name, of one of these kinds of dtypes and of this shape; None is any size."""
        if name not in self._arrays:
            raise ValueError(f"arrays must hold {name!r}, got {sorted(self._arrays)}")
        array = self._arrays[name]
        self._left.discard(name)
        if array.dtype.kind not in kinds:
            raise ValueError(f"arrays[{name!r}] must have a dtype of kind {kinds!r}, got {array.dtype}")
        if array.ndim != len(shape) or any(
            want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"arrays[{name!r}] must have shape ({wanted}), got {array.shape}")
        return array

    def take_counts(self, name: str, shape: tuple[int | None, ...]) -> _Array:
        """Counts or sums of weights: int64 or float64, finite and not negative, as a copy."""
        array = self.take(name, "if", shape)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float64)
        bad = array[~(np.isfinite(array) & (array >= 0))]
        if bad.size:
            raise ValueError(f"arrays[{name!r}] must be finite and not negative, got {bad[0]}")
        return array

    def take_flag(self, name: str) -> bool:
        """A bool."""
        return bool(self.take(name, "b", ()))

    def finish(self) -> None:
        """Nothing is left over."""
        if self._left:
            raise ValueError(f"arrays must hold nothing else, got {sorted(self._left)}")
