"""How good predicted numbers are, by scikit-learn's names, arguments, answers, warnings and errors.

The data are read in pieces of some thousand numbers, which are widened to float64 in the cache: whatever
the inputs' dtype, sums are float64 and no widened copy of an array is made.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.metrics._validation import (
    as_array,
    check_array_like,
    check_boolean,
    check_lengths,
    check_sample_weight,
)

__all__ = ["mean_squared_error", "r2_score"]

_Array = NDArray[Any]

_PIECE_NUMBERS = 1 << 14


def mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Literal["raw_values", "uniform_average"] | ArrayLike = "uniform_average",
) -> Any:
    """Mean of the squared errors, ``sum_i w_i (y_true_i - y_pred_i)^2 / sum_i w_i``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Real numbers, finite.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    multioutput : {'uniform_average', 'raw_values'} or array-like of shape (n_outputs,)
        The mean over outputs, one value for each, or the mean with these weights.

    Returns
    -------
    float, or float64 ndarray of shape (n_outputs,) with 'raw_values'

    Raises
    ------
    ValueError, TypeError
        Lengths or numbers of outputs that differ, empty data, NaN or infinity, bad weights.

    Examples
    --------
    >>> from fasttrain.metrics import mean_squared_error
    >>> mean_squared_error([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])
    0.375
    """
    if multioutput is None or (
        isinstance(multioutput, str) and multioutput not in ("raw_values", "uniform_average")
    ):
        raise InvalidParameterError(
            f"multioutput must be 'raw_values', 'uniform_average' or an array of weights, got {multioutput!r}"
        )
    true, pred, weight, output_weights = _check(y_true, y_pred, sample_weight, multioutput)
    total = len(true) if weight is None else weight.sum(dtype=np.float64)
    errors = _squared_errors(true, pred, weight) / total
    return _average_outputs(errors, multioutput, output_weights)


def r2_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: (
        Literal["raw_values", "uniform_average", "variance_weighted"] | ArrayLike | None
    ) = "uniform_average",
    force_finite: bool = True,
) -> Any:
    """Coefficient of determination, ``1 - sum_i w_i (t_i - p_i)^2 / sum_i w_i (t_i - mean(t))^2``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Real numbers, finite.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    multioutput : {'uniform_average', 'raw_values', 'variance_weighted'} or array-like of shape (n_outputs,)
        The mean over outputs (None too), one value for each, or the mean weighted by the variances of
        ``y_true`` or by these weights.
    force_finite : bool, default True
        Of a constant ``y_true``: 1 for perfect predictions and 0 for others, instead of nan and -inf.

    Returns
    -------
    float, or float64 ndarray of shape (n_outputs,) with 'raw_values'
        nan, with an ``UndefinedMetricWarning``, for fewer than two rows.

    Raises
    ------
    ValueError, TypeError
        Lengths or numbers of outputs that differ, empty data, NaN or infinity, bad weights.

    Examples
    --------
    >>> from fasttrain.metrics import r2_score
    >>> r2_score([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])
    0.9486081370449679
    """
    allowed = ("raw_values", "uniform_average", "variance_weighted")
    if isinstance(multioutput, str) and multioutput not in allowed:
        raise InvalidParameterError(
            f"multioutput must be one of {allowed}, None or an array, got {multioutput!r}"
        )
    check_boolean(force_finite, "force_finite")
    true, pred, weight, output_weights = _check(y_true, y_pred, sample_weight, multioutput)
    if len(true) < 2:
        warn("R^2 score is not well-defined with less than two samples.", UndefinedMetricWarning)
        return math.nan
    total = len(true) if weight is None else weight.sum(dtype=np.float64)
    residual = _squared_errors(true, pred, weight)
    mean = _sums(true, weight) / total
    spread = _squared_errors(true, mean, weight)
    constant = spread == 0
    if not force_finite:
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1.0 - residual / spread
    else:
        scores = np.where(residual == 0, 1.0, 0.0)
        np.divide(residual, spread, out=scores, where=~constant)
        np.subtract(1.0, scores, out=scores, where=~constant)
    if isinstance(multioutput, str) and multioutput == "variance_weighted" and not constant.all():
        return _average_outputs(scores, None, spread)
    return _average_outputs(scores, multioutput, output_weights)


def _check(
    y_true: Any, y_pred: Any, sample_weight: Any, multioutput: Any
) -> tuple[_Array, _Array, _Array | None, _Array | None]:
    """(y_true, y_pred) as (n_rows, n_outputs), weights or None, weights of the outputs or None."""
    for value, name in ((y_true, "y_true"), (y_pred, "y_pred"), (sample_weight, "sample_weight")):
        if value is not None or name != "sample_weight":
            check_array_like(value, name)
    true, pred = as_array(y_true, "y_true"), as_array(y_pred, "y_pred")
    weight = None if sample_weight is None else as_array(sample_weight, "sample_weight")
    check_lengths(("y_true", true), ("y_pred", pred), ("sample_weight", weight))
    if weight is not None:
        weight = check_sample_weight(weight, len(true))
    true, pred = _columns(true, "y_true"), _columns(pred, "y_pred")
    n_outputs = true.shape[1]
    if pred.shape[1] != n_outputs:
        raise ValueError(
            f"y_true and y_pred must have the same number of outputs, got {n_outputs} and {pred.shape[1]}"
        )
    if multioutput is None or isinstance(multioutput, str):
        return true, pred, weight, None
    check_array_like(multioutput, "multioutput")
    output_weights = np.asarray(multioutput, dtype=np.float64)
    if n_outputs == 1:
        raise ValueError("multioutput must not be weights where there is one output")
    if output_weights.shape != (n_outputs,):
        raise ValueError(f"multioutput must have shape ({n_outputs},), got {output_weights.shape}")
    if not np.isfinite(output_weights).all():
        raise ValueError("multioutput must not hold NaN or infinity")
    return true, pred, weight, output_weights


def _columns(y: _Array, name: str) -> _Array:
    if y.dtype.kind not in "biuf":
        if y.dtype.kind not in "OUT":
            raise ValueError(f"{name} must hold real numbers, got dtype {y.dtype}")
        y = y.astype(np.float64)
    if y.ndim == 1:
        y = y[:, np.newaxis]
    if y.ndim != 2 or not y.shape[1]:
        raise ValueError(f"{name} must have shape (n_rows,) or (n_rows, n_outputs), got {y.shape}")
    return y


def _pieces(y: _Array) -> Iterator[slice]:
    step = max(1, _PIECE_NUMBERS // y.shape[1])
    return (slice(begin, begin + step) for begin in range(0, len(y), step))


def _add(errors: _Array, weight: _Array | None, rows: slice, total: _Array) -> None:
    if weight is not None:
        errors *= weight[rows, np.newaxis]
    # along one column NumPy adds pairwise
    total += errors.sum() if errors.shape[1] == 1 else errors.sum(axis=0)


def _squared_errors(y_true: _Array, y_pred: _Array, weight: _Array | None) -> _Array:
    """Sums over the rows of w (y_true - y_pred)^2; y_pred may be one row, (n_outputs,)."""
    total = np.zeros(y_true.shape[1])
    whole = y_pred.ndim == 2
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in _pieces(y_true):
            errors = np.subtract(y_true[rows], y_pred[rows] if whole else y_pred, dtype=np.float64)
            errors *= errors
            _add(errors, weight, rows, total)
    # NaN and infinity spread to the sum, so the data are searched only if it has caught one
    if not np.isfinite(total).all():
        _check_finite(y_true, "y_true")
        if whole:
            _check_finite(y_pred, "y_pred")
    return total


def _sums(y: _Array, weight: _Array | None) -> _Array:
    total = np.zeros(y.shape[1])
    for rows in _pieces(y):
        _add(y[rows].astype(np.float64), weight, rows, total)
    return total


def _check_finite(y: _Array, name: str) -> None:
    finite = np.isfinite(y)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise ValueError(f"{name} must not hold NaN or infinity, got {y[row]} in row {row}")


def _average_outputs(values: _Array, multioutput: Any, weights: _Array | None) -> Any:
    if isinstance(multioutput, str) and multioutput == "raw_values":
        return values
    with np.errstate(invalid="ignore"):  # a score of -inf without weight makes the average NaN
        return float(np.average(values, weights=weights))
