"""What estimators accept: features, targets, labels, weights and settings, and what they say of the rest.

X stays where it is if it is a float32 or float64 array in native byte order whose rows are contiguous (any
distance between rows).  Everything else is converted, in memory of its own: other number types to float64,
other layouts to C order.
"""
from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fasttrain.exceptions import DataConversionWarning, warn
from fasttrain.kernels import all_finite

# ---- arrays ----------------------------------------------------------------------------------------------


def _is_sparse(value: Any) -> bool:
    return hasattr(value, "tocsr") and hasattr(value, "toarray")


def _as_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as an ndarray of whatever dtype, without a copy where NumPy needs none."""
    if _is_sparse(value):
        raise TypeError(
            f"{name} is a sparse matrix, which is not supported; {name}.toarray() makes a dense array of it"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(f"{name} is a masked array with masked values, which are not supported")
    if value is None or isinstance(value, (str, bytes, dict, set)):
        raise ValueError(f"Expected array-like for {name}, got {value!r}")
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of unequal length
        raise ValueError(f"{name} is no rectangular array: {error}") from None


def _as_float(array: NDArray[Any], name: str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """`array` as native floats: of `dtype`, or else of its own dtype if that is float32, or else float64."""
    if dtype is None:
        dtype = np.float32 if array.dtype == np.float32 else np.float64
    kind = array.dtype.kind
    if kind == "c" or (kind == "O" and any(isinstance(value, complex) for value in array.flat)):
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}")
    if kind in "USVmM":
        raise ValueError(f"{name} must be numeric, got dtype {array.dtype}")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are found later
            return np.require(array, np.dtype(dtype).newbyteorder("="), ["ALIGNED"])
    except TypeError as error:
        raise TypeError(f"{name} must be numeric: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name} must be numeric: {error}") from None


def _check_finite(array: NDArray[Any], name: str) -> None:
    values = array
    if array.dtype not in (np.float32, np.float64):
        with np.errstate(over="ignore"):  # what overflows is looked at as it is, below
            values = array.astype(np.float64)
    if not (values.ndim == 2 and _rows_contiguous(values)):
        values = np.ascontiguousarray(values)
    if all_finite(values):
        return
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise ValueError(f"Input {name} contains NaN.")
    if np.isinf(low) or np.isinf(high):
        raise ValueError(f"Input {name} contains infinity or a value too large for {array.dtype!r}.")


def _rows_contiguous(array: NDArray[Any]) -> bool:
    if array.shape[1] > 1 and array.strides[1] != array.itemsize:
        return False
    width = array.shape[1] * array.itemsize
    return array.shape[0] == 1 or (array.strides[0] >= width and array.strides[0] % array.itemsize == 0)


def as_features(X: ArrayLike, *, dtype: DTypeLike | None = None, name: str = "X") -> NDArray[Any]:
    """X as a finite 2-D float array with contiguous rows, not copied if it is one already."""
    array = _as_array(X, name)
    if array.ndim != 2:
        if array.ndim < 2:
            raise ValueError(
                f"Expected 2D array, got {array.ndim}D array instead: {name} has shape {array.shape}. "
                f"Reshape your data either using {name}.reshape(-1, 1) if it has a single feature or "
                f"{name}.reshape(1, -1) if it contains a single sample."
            )
        raise ValueError(f"Found array with dim {array.ndim}: {name} must be 2-D, got shape {array.shape}.")
    for size, what in zip(array.shape, ("sample(s)", "feature(s)"), strict=True):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {what} (shape={array.shape}) while a minimum of 1 is required."
            )
    array = _as_float(array, name, dtype)
    if not _rows_contiguous(array):
        array = np.ascontiguousarray(array)
    _check_finite(array, name)
    return array


def as_targets(y: ArrayLike, n_rows: int, dtype: DTypeLike, name: str = "y") -> NDArray[Any]:
    """Real targets as a finite array of `dtype`, (n_rows,) or (n_rows, n_outputs)."""
    if y is None:
        raise ValueError(f"fit requires y to be passed, but the target {name} is None")
    array = _as_float(_as_array(y, name), name, np.float64)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must be 1-D or 2-D, got shape {array.shape}")
    check_n_rows(array, n_rows, name)
    if array.ndim == 2 and array.shape[1] == 0:
        raise ValueError(f"{name} has no columns: shape {array.shape}")
    with np.errstate(over="ignore"):
        array = array.astype(dtype, copy=False)
    _check_finite(array, name)
    return array


def as_column(array: NDArray[Any], name: str = "y") -> NDArray[Any]:
    """A target of shape (n, 1) as (n,), with scikit-learn's warning; anything else as it is."""
    if array.ndim == 2 and array.shape[1] == 1:
        warn(
            f"A column-vector {name} was passed when a 1d array was expected. Please change the shape of "
            f"{name} to (n_samples, ), for example using ravel().",
            DataConversionWarning,
        )
        return array[:, 0]
    return array


def check_n_rows(array: NDArray[Any], n_rows: int, name: str) -> None:
    if array.shape[0] != n_rows:
        raise ValueError(f"{name} must have as many rows as X, {n_rows}, got {array.shape[0]}")


def as_weights(sample_weight: Any, n_rows: int, dtype: DTypeLike) -> NDArray[Any] | None:
    """Weights of the rows as a C-contiguous array of `dtype`: finite, not negative, not all zero."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Number):
        sample_weight = np.full(n_rows, sample_weight)
    array = _as_float(_as_array(sample_weight, "sample_weight"), "sample_weight", np.float64)
    if array.shape != (n_rows,):
        raise ValueError(f"sample_weight must have shape ({n_rows},), got {array.shape}")
    array = np.ascontiguousarray(array, dtype=dtype)
    _check_finite(array, "sample_weight")
    if array.min() < 0:
        raise ValueError(f"sample_weight must not be negative, got {array.min()}")
    if array.max() == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return array


# ---- names of features -----------------------------------------------------------------------------------


def feature_names(X: Any) -> NDArray[Any] | None:
    """Column names of a data frame, if all of them are strings."""
    columns = getattr(X, "columns", None)
    if columns is None or callable(columns):
        return None
    names = list(columns)
    n_strings = sum(isinstance(name, str) for name in names)
    if n_strings == 0:
        return None
    if n_strings < len(names):
        kinds = sorted({type(name).__name__ for name in names})
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types."
        )
    return np.asarray(names, dtype=object)


def check_feature_names(
    estimator_name: str, names: NDArray[Any] | None, fitted: NDArray[Any] | None
) -> None:
    """The names of an input against those of the fit: a warning if one has none, an error if they differ."""
    if names is None and fitted is None:
        return
    if fitted is None:
        warn(f"X has feature names, but {estimator_name} was fitted without feature names", UserWarning)
        return
    if names is None:
        warn(
            f"X does not have valid feature names, but {estimator_name} was fitted with feature names",
            UserWarning,
        )
        return
    if len(names) == len(fitted) and np.all(names == fitted):
        return
    message = "The feature names should match those that were passed during fit.\n"
    unexpected = sorted(set(names) - set(fitted))
    missing = sorted(set(fitted) - set(names))
    for title, found in (
        ("Feature names unseen at fit time:\n", unexpected),
        ("Feature names seen at fit time, yet now missing:\n", missing),
    ):
        if found:
            shown = found[:5] + (["..."] if len(found) > 5 else [])
            message += title + "".join(f"- {name}\n" for name in shown)
    if not unexpected and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    raise ValueError(message)


# ---- labels ----------------------------------------------------------------------------------------------


class Labels:
    """The classes of a classifier, and the way between labels and what the engine trains on.

    kind         labels y                      engine's target                 loss
    "binary"     (n,) of two classes           (n, 1) of 0 and 1               binary_cross_entropy
    "multiclass" (n,) of three or more         (n,) int64, 0 to n_classes - 1  cross_entropy
    "multilabel" (n, n_labels) of 0 and 1      the same, as floats             binary_cross_entropy
    """

    def __init__(self, classes: NDArray[Any], kind: str) -> None:
        self.classes = classes
        self.kind = kind

    @classmethod
    def found_in(cls, y: NDArray[Any], *, multilabel: bool) -> Labels:
        """Labels of the target of a first fit, as `as_labels` gives it."""
        if y.ndim == 2:
            if not multilabel:
                raise ValueError(f"y should be a 1d array, got an array of shape {y.shape} instead.")
            return cls(np.arange(y.shape[1]), "multilabel")
        return cls.of_classes(unique(y, "y"))

    @classmethod
    def of_classes(cls, classes: NDArray[Any]) -> Labels:
        if len(classes) < 2:
            raise ValueError(
                f"y must have at least two classes to tell apart, but it has one class: {classes[0]!r}"
            )
        return cls(classes, "binary" if len(classes) == 2 else "multiclass")

    @property
    def n_outputs(self) -> int:
        return 1 if self.kind == "binary" else len(self.classes)

    @property
    def loss(self) -> str:
        return "cross_entropy" if self.kind == "multiclass" else "binary_cross_entropy"

    def codes(self, y: NDArray[Any], name: str = "y") -> NDArray[np.int64]:
        """Positions of 1-D labels in the classes; an unknown label raises."""
        try:
            positions = np.searchsorted(self.classes, y)
            positions[positions == len(self.classes)] = 0
            wrong = self.classes[positions] != y
        except TypeError:
            raise ValueError(
                f"{name} has labels that cannot be compared with the classes {self.classes.tolist()}"
            ) from None
        if np.any(wrong):
            unknown = np.unique(y[wrong])
            raise ValueError(
                f"`{name}` has classes not in `self.classes_`. `self.classes_` has {self.classes}. "
                f"'{name}' has {unknown}."
            )
        return positions.astype(np.int64, copy=False)

    def target(self, y: NDArray[Any], dtype: DTypeLike, name: str = "y") -> NDArray[Any]:
        """What the engine trains on."""
        if (y.ndim == 2) != (self.kind == "multilabel"):
            raise ValueError(f"{name} has shape {y.shape}, but the model was fitted with {self.kind} labels")
        if self.kind == "multilabel":
            if y.shape[1] != len(self.classes):
                raise ValueError(f"{name} must have {len(self.classes)} columns, got {y.shape[1]}")
            return np.ascontiguousarray(y, dtype=dtype)
        codes = self.codes(y, name)
        return codes.astype(dtype)[:, np.newaxis] if self.kind == "binary" else codes

    def chosen(self, logits: NDArray[Any]) -> NDArray[Any]:
        """The engine's decision for each row of `logits`, in the form of its target."""
        if self.kind == "multiclass":
            return logits.argmax(axis=1)
        return logits > 0

    def labels(self, logits: NDArray[Any]) -> NDArray[Any]:
        """The predicted labels, in the form of y."""
        chosen = self.chosen(logits)
        if self.kind == "multilabel":
            return chosen.astype(np.int64)
        return self.classes[chosen if self.kind == "multiclass" else chosen[:, 0].astype(np.intp)]

    def log_probability(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Logarithm of each class's probability, (n_rows, n_classes), without under- or overflow."""
        if self.kind == "multiclass":
            shifted = logits - logits.max(axis=1, keepdims=True)
            return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        if self.kind == "binary":
            logits = np.hstack([-logits, logits])
        return -np.logaddexp(np.zeros((), logits.dtype), -logits)

    def accuracy(
        self, logits: NDArray[Any], target: NDArray[Any], sample_weight: NDArray[Any] | None
    ) -> float:
        """Share of the rows that are right in all outputs."""
        right = self.chosen(logits) == target
        if right.ndim == 2:
            right = right.all(axis=1)
        return float(np.average(right, weights=sample_weight))


def both_classes(probability: NDArray[Any]) -> NDArray[Any]:
    """(n_rows, 2) from the second class's probability (n_rows, 1)."""
    return np.hstack([1 - probability, probability])


def as_labels(y: Any, n_rows: int, name: str = "y") -> NDArray[Any]:
    """Labels as an array (n_rows,), or (n_rows, n_labels) of 0 and 1; no NaN, no continuous values."""
    if y is None:
        raise ValueError(f"fit requires y to be passed, but the target {name} is None")
    array = as_column(_as_array(y, name), name)
    if array.ndim not in (1, 2):
        raise ValueError(f"y should be a 1d array, got an array of shape {array.shape} instead.")
    check_n_rows(array, n_rows, name)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}")
    if array.dtype.kind == "f":
        _check_finite(array, name)
        if np.any(array != np.floor(array)):
            raise ValueError(
                "Unknown label type: continuous. Maybe you are trying to fit a classifier, which expects "
                f"discrete classes, on {name} with continuous values."
            )
    if array.ndim == 2 and (array.dtype.kind not in "biuf" or np.any((array != 0) & (array != 1))):
        raise ValueError(
            f"Unknown label type: multiclass-multioutput. A 2-D {name} must hold zeros and ones, one column "
            "for each label."
        )
    return array


def unique(y: NDArray[Any], name: str) -> NDArray[Any]:
    """Sorted classes of 1-D labels."""
    try:
        classes = np.unique(y)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in y})
        raise ValueError(
            f"Unknown label type: {name} mixes labels that cannot be sorted, of types {', '.join(kinds)}"
        ) from None
    if classes.dtype.kind == "O" and any(value != value for value in classes):
        raise ValueError(f"Input {name} contains NaN.")
    return classes


# ---- settings ----------------------------------------------------------------------------------------------


def check_option(value: Any, name: str, options: Sequence[str]) -> None:
    if not (isinstance(value, str) and value in options):
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")


def check_integer(value: Any, name: str, low: int) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")


def check_number(
    value: Any,
    name: str,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """A real number of the interval; an infinite one only where the closed interval has it as an end."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    number = float(value)
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (above and below):
        interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        raise ValueError(f"{name} must lie in {interval}, got {value!r}")


def check_flag(value: Any, name: str) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def check_batch_size(value: Any) -> None:
    if isinstance(value, str) and value == "auto":
        return
    if isinstance(value, str):
        raise ValueError(f"batch_size must be 'auto' or a positive integer, got {value!r}")
    check_integer(value, "batch_size", 1)


def check_verbose(value: Any) -> None:
    if not isinstance(value, (bool, np.bool_)):
        check_integer(value, "verbose", 0)


def clip_batch_size(batch_size: int, n_rows: int) -> int:
    """The batch size that is used for n_rows; a warning if it is larger."""
    if batch_size > n_rows:
        warnings.warn(
            f"Got `batch_size` larger than sample size, {batch_size} > {n_rows}. It is going to be clipped.",
            UserWarning,
            stacklevel=2,
        )
    return min(batch_size, n_rows)
