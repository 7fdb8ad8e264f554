"""How good predicted numbers are, by scikit-learn's names, arguments, answers, warnings and errors.

Every function here is a few sums over pairs of a target and its prediction, which one pass over the data gives
(:mod:`fasttrain.kernels.regression`).  Whatever the inputs' dtype, all is computed in float64, and no widened
copy of an array of float32 or float64 is made; scikit-learn computes in float32 or float16 where the inputs are.
Weights must not be negative, which scikit-learn allows here.
"""

import math
import numbers
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning, warn
from fasttrain.kernels.regression import regression_loss, regression_moments
from fasttrain.metrics._validation import (
    as_array,
    check_array_like,
    check_boolean,
    check_lengths,
)

__all__ = [
    "d2_absolute_error_score",
    "d2_pinball_score",
    "d2_tweedie_score",
    "explained_variance_score",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_gamma_deviance",
    "mean_pinball_loss",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_squared_log_error",
    "mean_tweedie_deviance",
    "median_absolute_error",
    "r2_score",
    "root_mean_squared_error",
    "root_mean_squared_log_error",
]

_Array = NDArray[Any]
_Floats = NDArray[np.float64]
_Outputs = Literal["raw_values", "uniform_average"] | ArrayLike
_ScoreOutputs = Literal["raw_values", "uniform_average", "variance_weighted"] | ArrayLike

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_EPSILON = float(np.finfo(np.float64).eps)
ERRORS = ("raw_values", "uniform_average")
SCORES = ("raw_values", "uniform_average", "variance_weighted")

# Rows that are handled at a time where a piece of an array is made.
_PIECE_ROWS = 1 << 16


def mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Mean of the squared errors, ``sum_i w_i (t_i - p_i)^2 / sum_i w_i``.

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
    return _mean_loss("squared", y_true, y_pred, sample_weight, multioutput)


def root_mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Root of :func:`mean_squared_error`, taken of each output.

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
    >>> from fasttrain.metrics import root_mean_squared_error
    >>> root_mean_squared_error([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])
    0.6123724356957945
    """
    check_outputs(multioutput, ERRORS)
    values = np.sqrt(mean_squared_error(y_true, y_pred, sample_weight=sample_weight, multioutput="raw_values"))
    # as in scikit-learn, a weight of the one output is no error here
    return average_outputs(values, multioutput, None if isinstance(multioutput, str) else multioutput)


def mean_absolute_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Mean of the absolute errors, ``sum_i w_i |t_i - p_i| / sum_i w_i``.

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
    >>> from fasttrain.metrics import mean_absolute_error
    >>> mean_absolute_error([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])
    0.5
    """
    return _mean_loss("absolute", y_true, y_pred, sample_weight, multioutput)


def mean_squared_log_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Mean of ``(log(1 + t_i) - log(1 + p_i))^2``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Greater than -1, finite.
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
        Lengths or numbers of outputs that differ, empty data, NaN or infinity, bad weights,
        a number of at most -1.

    Examples
    --------
    >>> from fasttrain.metrics import mean_squared_log_error
    >>> round(mean_squared_log_error([3, 5, 2.5, 7], [2.5, 5, 4, 8]), 6)
    0.03973
    """
    return _mean_loss("squared_log", y_true, y_pred, sample_weight, multioutput)


def root_mean_squared_log_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Root of :func:`mean_squared_log_error`, taken of each output.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Greater than -1, finite.
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
        Lengths or numbers of outputs that differ, empty data, NaN or infinity, bad weights,
        a number of at most -1.

    Examples
    --------
    >>> from fasttrain.metrics import root_mean_squared_log_error
    >>> round(root_mean_squared_log_error([3, 5, 2.5, 7], [2.5, 5, 4, 8]), 6)
    0.199324
    """
    return _mean_loss("squared_log", y_true, y_pred, sample_weight, multioutput, finish=np.sqrt)


def mean_absolute_percentage_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Mean of the relative errors, ``|t_i - p_i| / max(|t_i|, 2^-52)``; 1 is an error of 100 %.

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
    >>> from fasttrain.metrics import mean_absolute_percentage_error
    >>> round(mean_absolute_percentage_error([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]), 6)
    0.327381
    """
    return _mean_loss("percentage", y_true, y_pred, sample_weight, multioutput)


def mean_pinball_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.5,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Mean of ``alpha (t_i - p_i)`` where ``t_i >= p_i`` and ``(1 - alpha) (p_i - t_i)`` elsewhere.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Real numbers, finite.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    alpha : float, default 0.5
        The quantile, 0 to 1; for 0.5 the loss is half the absolute error.
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
    >>> from fasttrain.metrics import mean_pinball_loss
    >>> round(mean_pinball_loss([1, 2, 3], [0, 2, 3], alpha=0.1), 6)
    0.033333
    """
    _check_alpha(alpha)
    return _mean_loss("pinball", y_true, y_pred, sample_weight, multioutput, alpha=alpha)


def median_absolute_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    multioutput: _Outputs = "uniform_average",
    sample_weight: ArrayLike | None = None,
) -> Any:
    """Median of the absolute errors ``|t_i - p_i|``.

    With weights, the least error below or at which half of the weight lies; where that is exactly half, the mean
    of it and the next error with weight.

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
        Lengths or numbers of outputs that differ, empty data, NaN or infinity, bad weights, strings.

    Examples
    --------
    >>> from fasttrain.metrics import median_absolute_error
    >>> median_absolute_error([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])
    0.5
    """
    check_outputs(multioutput, ERRORS)
    true, pred, weight, output_weights = check_pairs(
        y_true, y_pred, sample_weight, multioutput, allow_strings=False
    )
    # refuses what is not finite
    weight_sum(regression_loss(true, pred, weight, loss="absolute"))
    errors = np.subtract(pred, true, dtype=np.float64)
    np.abs(errors, out=errors)
    if weight is None:
        medians = np.atleast_1d(np.median(errors, axis=0))
    else:
        medians = _quantiles(errors, weight, 50.0)
    return average_outputs(medians, multioutput, output_weights)


def max_error(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Largest absolute error, ``max_i |t_i - p_i|``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Real numbers, finite.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, more than one output, empty data, NaN or infinity, strings.

    Examples
    --------
    >>> from fasttrain.metrics import max_error
    >>> max_error([3, 2, 7, 1], [4, 2, 7, 1])
    1.0
    """
    true, pred, _, _ = check_pairs(y_true, y_pred, None, None, allow_strings=False)
    check_one_output(true, "max_error")
    return float(regression_loss(true, pred, loss="maximum")[1, 0])


def r2_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _ScoreOutputs | None = "uniform_average",
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
    >>> round(r2_score([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]), 6)
    0.948608
    """
    if multioutput is not None:
        check_outputs(multioutput, SCORES)
    check_boolean(force_finite, "force_finite")
    true, pred, weight, output_weights = check_pairs(y_true, y_pred, sample_weight, multioutput)
    moments = regression_moments(true, pred, weight)
    return r2_of_moments(moments, len(true), multioutput, output_weights, force_finite)


def r2_of_moments(
    moments: _Floats, n_rows: int, multioutput: Any, output_weights: _Floats | None, force_finite: bool
) -> Any:
    """R^2 from the moments of the kernel of that name."""
    weight_sum(moments)
    if n_rows < 2:
        warn("R^2 score is not well-defined with less than two samples.", UndefinedMetricWarning)
        return math.nan
    return _share_explained(moments[5], moments[2], multioutput, output_weights, force_finite)


def explained_variance_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _ScoreOutputs = "uniform_average",
    force_finite: bool = True,
) -> Any:
    """Share of the variance explained, ``1 - Var(t - p) / Var(t)``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Real numbers, finite.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    multioutput : {'uniform_average', 'raw_values', 'variance_weighted'} or array-like of shape (n_outputs,)
        The mean over outputs, one value for each, or the mean weighted by the variances of
        ``y_true`` or by these weights.
    force_finite : bool, default True
        Of a constant ``y_true``: 1 for perfect predictions and 0 for others, instead of nan and -inf.

    Returns
    -------
    float, or float64 ndarray of shape (n_outputs,) with 'raw_values'

    Raises
    ------
    ValueError, TypeError
        Lengths or numbers of outputs that differ, empty data, NaN or infinity, bad weights.

    Examples
    --------
    >>> from fasttrain.metrics import explained_variance_score
    >>> round(explained_variance_score([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]), 6)
    0.957173
    """
    check_outputs(multioutput, SCORES)
    check_boolean(force_finite, "force_finite")
    true, pred, weight, output_weights = check_pairs(y_true, y_pred, sample_weight, multioutput)
    moments = regression_moments(true, pred, weight)
    return explained_variance_of_moments(moments, multioutput, output_weights, force_finite)


def explained_variance_of_moments(
    moments: _Floats, multioutput: Any, output_weights: _Floats | None, force_finite: bool
) -> Any:
    """The variance explained from the moments of the kernel of that name."""
    weight_sum(moments)
    return _share_explained(moments[4], moments[2], multioutput, output_weights, force_finite)


def mean_tweedie_deviance(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None, power: float = 0
) -> float:
    """Mean deviance of the Tweedie distribution with this power ``q``.

    ``2 (max(t, 0)^(2-q) / ((1-q) (2-q)) - t p^(1-q) / (1-q) + p^(2-q) / (2-q))`` for each pair, and its limits for
    q = 0, 1 and 2: ``(t - p)^2``, ``2 (t log(t / p) - t + p)`` and ``2 (log(p / t) + t / p - 1)``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Real numbers, finite, in the domain that the power asks for.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    power : float, default 0
        At most 0 or at least 1.  Below 0, ``y_pred`` must be positive; from 1 to below 2, ``y_true`` at least 0
        and ``y_pred`` positive (1 is Poisson's); from 2 on, both positive (2 is the gamma's, 3 the inverse
        Gaussian's).

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, more than one output, empty data, NaN or infinity, bad weights, a number outside
        of the distribution's domain.

    Examples
    --------
    >>> from fasttrain.metrics import mean_tweedie_deviance
    >>> round(mean_tweedie_deviance([2, 0, 1, 4], [0.5, 0.5, 2, 2], power=1), 6)
    1.426015
    """
    check_power(power)
    true, pred, weight, _ = check_pairs(y_true, y_pred, sample_weight, None)
    check_one_output(true, "mean_tweedie_deviance")
    return _mean_deviance(true, pred, weight, power)


def mean_poisson_deviance(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean deviance of the Poisson distribution, ``2 (t log(t / p) - t + p)`` for each pair.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        ``y_true`` at least 0 and ``y_pred`` positive, finite.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, more than one output, empty data, NaN or infinity, bad weights, a number outside
        of the distribution's domain.

    Examples
    --------
    >>> from fasttrain.metrics import mean_poisson_deviance
    >>> round(mean_poisson_deviance([2, 0, 1, 4], [0.5, 0.5, 2, 2]), 6)
    1.426015
    """
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=1)


def mean_gamma_deviance(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean deviance of the gamma distribution, ``2 (log(p / t) + t / p - 1)`` for each pair.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Positive, finite.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, more than one output, empty data, NaN or infinity, bad weights, a number outside
        of the distribution's domain.

    Examples
    --------
    >>> from fasttrain.metrics import mean_gamma_deviance
    >>> round(mean_gamma_deviance([2, 0.5, 1, 4], [0.5, 0.5, 2, 2]), 6)
    1.056853
    """
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=2)


def d2_tweedie_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None, power: float = 0
) -> float:
    """Share of the Tweedie deviance explained: 1 less its ratio to that of the mean of ``y_true``.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        Real numbers, finite, in the domain that the power asks for.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    power : float, default 0
        At most 0 or at least 1.  See :func:`mean_tweedie_deviance`.

    Returns
    -------
    float
        nan, with an ``UndefinedMetricWarning``, for fewer than two rows.

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, more than one output, empty data, NaN or infinity, bad weights, a number outside
        of the distribution's domain.
    ZeroDivisionError
        The mean predicts ``y_true`` exactly.

    Examples
    --------
    >>> from fasttrain.metrics import d2_tweedie_score
    >>> round(d2_tweedie_score([0.5, 1, 2.5, 7], [1, 1, 5, 3.5], power=1), 6)
    0.487915
    """
    check_power(power)
    true, pred, weight, _ = check_pairs(y_true, y_pred, sample_weight, None)
    check_one_output(true, "d2_tweedie_score")
    moments = regression_moments(true, pred, weight)
    total = weight_sum(moments)
    if len(true) < 2:
        warn("D^2 score is not well-defined with less than two samples.", UndefinedMetricWarning)
        return math.nan
    if power == 0:
        return 1 - float(moments[5, 0]) / float(moments[2, 0])
    numerator = _mean_deviance(true, pred, weight, power)
    mean = float(moments[1, 0])
    if power == 1 and mean == 0:
        denominator = 0.0  # every target is 0, and so is its deviance
    elif power in (1, 2):
        loss = "poisson" if power == 1 else "gamma"
        denominator = float(_loss_of_constant(loss, true, np.array([mean]), weight)[0]) / total
    else:
        denominator = _power_deviance(true, mean, weight, power) / total
    return 1 - numerator / denominator


def d2_pinball_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.5,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Share of the pinball loss explained: 1 less its ratio to that of the ``alpha`` quantile of ``y_true``.

    Of a constant ``y_true`` it is 1 for perfect predictions and 0 for others.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Real numbers, finite.
    sample_weight : array-like of shape (n_rows,), optional
        Finite, not negative, not all zero.
    alpha : float, default 0.5
        The quantile, 0 to 1.
    multioutput : {'uniform_average', 'raw_values'} or array-like of shape (n_outputs,)
        The mean over outputs, one value for each, or the mean with these weights.

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
    >>> from fasttrain.metrics import d2_pinball_score
    >>> d2_pinball_score([1, 2, 3], [1, 3, 3])
    0.5
    """
    check_outputs(multioutput, ERRORS)
    _check_alpha(alpha)
    true, pred, weight, output_weights = check_pairs(y_true, y_pred, sample_weight, multioutput)
    alpha = float(alpha)
    sums = regression_loss(true, pred, weight, loss="pinball", alpha=alpha)
    weight_sum(sums)
    if len(true) < 2:
        warn("D^2 score is not well-defined with less than two samples.", UndefinedMetricWarning)
        return math.nan
    quantiles = _quantiles(true, weight, alpha * 100)
    denominator = _loss_of_constant("pinball", true, quantiles, weight, alpha)
    return _share_explained(sums[1], denominator, multioutput, output_weights, True)


def d2_absolute_error_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: _Outputs = "uniform_average",
) -> Any:
    """Share of the absolute error explained: 1 less its ratio to that of the median of ``y_true``.

    Of a constant ``y_true`` it is 1 for perfect predictions and 0 for others.

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
        nan, with an ``UndefinedMetricWarning``, for fewer than two rows.

    Raises
    ------
    ValueError, TypeError
        Lengths or numbers of outputs that differ, empty data, NaN or infinity, bad weights.

    Examples
    --------
    >>> from fasttrain.metrics import d2_absolute_error_score
    >>> round(d2_absolute_error_score([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]), 6)
    0.764706
    """
    return d2_pinball_score(y_true, y_pred, sample_weight=sample_weight, multioutput=multioutput)


def _mean_loss(
    loss: Any,
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
    multioutput: Any,
    *,
    alpha: float = 0.5,
    finish: Callable[[_Array], _Array] | None = None,
) -> Any:
    check_outputs(multioutput, ERRORS)
    true, pred, weight, output_weights = check_pairs(y_true, y_pred, sample_weight, multioutput)
    sums = regression_loss(true, pred, weight, loss=loss, alpha=float(alpha))
    return mean_of_sums(sums, multioutput, output_weights, finish)


def mean_of_sums(
    sums: _Floats, multioutput: Any, output_weights: Any, finish: Callable[[_Array], _Array] | None = None
) -> Any:
    """The mean loss from (2, n_outputs), the sums of weights and of weighted losses, averaged over the outputs."""
    values = sums[1] / weight_sum(sums)
    if finish is not None:
        values = finish(values)
    return average_outputs(values, multioutput, output_weights)


def _plain(y: Any) -> bool:
    """One contiguous column that a kernel reads as it is."""
    if type(y) is not np.ndarray or y.ndim != 1:
        return False
    flags, dtype = y.flags, y.dtype
    return bool(flags.c_contiguous and flags.aligned and (dtype == _FLOAT64 or dtype == _FLOAT32))


def check_pairs(
    y_true: Any, y_pred: Any, sample_weight: Any, multioutput: Any, *, allow_strings: bool = True
) -> tuple[_Array, _Array, _Array | None, _Floats | None]:
    """What the kernels take: y_true and y_pred of one shape, weights or None; and the outputs' weights or None.

    Columns of one output come back with one dimension.
    """
    # the common case first: a call on few rows costs microseconds
    if (
        _plain(y_true)
        and _plain(y_pred)
        and len(y_true) == len(y_pred) > 0
        and (sample_weight is None or (_plain(sample_weight) and len(sample_weight) == len(y_true)))
        and (multioutput is None or isinstance(multioutput, str))
    ):
        return y_true, y_pred, sample_weight, None
    for value, name in ((y_true, "y_true"), (y_pred, "y_pred"), (sample_weight, "sample_weight")):
        if value is not None or name != "sample_weight":
            check_array_like(value, name)
    true, pred = as_array(y_true, "y_true"), as_array(y_pred, "y_pred")
    weight = None if sample_weight is None else as_array(sample_weight, "sample_weight")
    check_lengths(("y_true", true), ("y_pred", pred), ("sample_weight", weight))
    if weight is not None:
        if weight.ndim != 1:
            raise ValueError(f"sample_weight must have shape ({len(true)},), got {weight.shape}")
        if weight.dtype.kind not in "biufO":
            raise InvalidParameterError(f"sample_weight must hold numbers, got dtype {weight.dtype}")
        weight = _kernel_array(weight)
    true, pred = _columns(true, "y_true", allow_strings), _columns(pred, "y_pred", allow_strings)
    n_outputs = 1 if true.ndim == 1 else true.shape[1]
    if pred.shape != true.shape:
        other = 1 if pred.ndim == 1 else pred.shape[1]
        raise ValueError(f"y_true and y_pred must have the same number of outputs, got {n_outputs} and {other}")
    return true, pred, weight, check_output_weights(multioutput, n_outputs)


def check_output_weights(multioutput: Any, n_outputs: int) -> _Floats | None:
    """The weights of the outputs, or None where `multioutput` is a name."""
    if multioutput is None or isinstance(multioutput, str):
        return None
    check_array_like(multioutput, "multioutput")
    output_weights = np.asarray(multioutput, dtype=np.float64)
    if n_outputs == 1:
        raise ValueError("multioutput must not be weights where there is one output")
    if output_weights.shape != (n_outputs,):
        raise ValueError(f"multioutput must have shape ({n_outputs},), got {output_weights.shape}")
    if not np.isfinite(output_weights).all():
        raise ValueError("multioutput must not hold NaN or infinity")
    return output_weights


def _columns(y: _Array, name: str, allow_strings: bool) -> _Array:
    if y.dtype.kind not in "biufO" and not (allow_strings and y.dtype.kind in "UT"):
        raise ValueError(f"{name} must hold real numbers, got dtype {y.dtype}")
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(f"{name} must have shape (n_rows,) or (n_rows, n_outputs), got {y.shape}")
    return _kernel_array(y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y)


def _kernel_array(y: _Array) -> _Array:
    """C-contiguous, aligned and of a dtype that the kernels read."""
    if y.dtype.kind not in "biuf" or y.dtype.itemsize > 8:
        y = y.astype(np.float64)
    return np.require(y, requirements=["C", "A"])


def check_outputs(multioutput: Any, names: tuple[str, ...]) -> None:
    """None, one of these names, or an array."""
    if isinstance(multioutput, str):
        if multioutput in names:
            return
    elif multioutput is not None:
        check_array_like(multioutput, "multioutput")
        return
    options = ", ".join(map(repr, names))
    raise InvalidParameterError(f"multioutput must be {options} or an array of weights, got {multioutput!r}")


def check_one_output(true: _Array, name: str) -> None:
    """Some metrics are defined for one output."""
    if true.ndim == 2:
        raise ValueError(f"{name} takes one output, got y_true of shape {true.shape}")


def _check_alpha(alpha: Any) -> None:
    if not (isinstance(alpha, numbers.Real) and 0 <= float(alpha) <= 1):
        raise InvalidParameterError(f"alpha must be a number from 0 to 1, got {alpha!r}")


def check_power(power: Any) -> None:
    """A power for which there is a Tweedie distribution."""
    if not (isinstance(power, numbers.Real) and (float(power) <= 0 or float(power) >= 1)):
        raise InvalidParameterError(f"power must be a number of at most 0 or at least 1, got {power!r}")


def weight_sum(sums: _Floats) -> float:
    """The sum of the weights, first among the sums of a kernel; not 0."""
    total = float(sums[0, 0])
    if total == 0:
        raise ValueError("sample_weight must not be zero in every row")
    return total


def average_outputs(values: _Floats, multioutput: Any, weights: Any) -> Any:
    """One value of those of the outputs, or all of them."""
    if isinstance(multioutput, str) and multioutput == "raw_values":
        return values
    if len(values) == 1 and weights is None:
        return float(values[0])
    with np.errstate(invalid="ignore"):  # a score of -inf without weight makes the average NaN
        return float(np.average(values, weights=weights))


def _share_explained(
    numerator: _Floats,
    denominator: _Floats,
    multioutput: Any,
    output_weights: _Floats | None,
    force_finite: bool,
) -> Any:
    """1 - numerator / denominator of each output; 1 or 0 where the denominator is 0 and force_finite is true."""
    constant = denominator == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = 1.0 - numerator / denominator
    if force_finite and constant.any():
        scores[constant] = np.where(numerator[constant] == 0, 1.0, 0.0)
    if isinstance(multioutput, str) and multioutput == "variance_weighted" and not constant.all():
        return average_outputs(scores, None, denominator)
    return average_outputs(scores, multioutput, output_weights)


def _pieces(n_rows: int) -> Iterator[slice]:
    return (slice(begin, min(begin + _PIECE_ROWS, n_rows)) for begin in range(0, n_rows, _PIECE_ROWS))


def _loss_of_constant(
    loss: Any, true: _Array, constant: _Floats, weight: _Array | None, alpha: float = 0.5
) -> _Floats:
    """Weighted sum of the loss of one prediction for all rows, (n_outputs,) for each output."""
    shape = (min(len(true), _PIECE_ROWS), *true.shape[1:])
    pred = np.broadcast_to(constant if true.ndim == 2 else constant[0], shape).astype(np.float64, order="C")
    sums = [
        regression_loss(
            true[rows], pred[: rows.stop - rows.start], None if weight is None else weight[rows],
            loss=loss, alpha=alpha,
        )[1]
        for rows in _pieces(len(true))
    ]  # fmt: skip
    total: _Floats = np.sum(sums, axis=0)
    return total


def _quantiles(values: _Array, weight: _Array | None, rank: float) -> _Floats:
    """Of each column the quantile of this rank in percent, as scikit-learn's metrics define it.

    The least value below or at which that share of the weight lies; where it is exactly that share, the mean of
    this value and the next with weight.
    """
    columns = values[:, np.newaxis] if values.ndim == 1 else values
    if weight is None:
        return np.array([_quantile(column, rank) for column in columns.T])
    return np.array([_weighted_quantile(column, weight, rank) for column in columns.T])


def _quantile(values: _Array, rank: float) -> float:
    last = len(values) - 1
    share = max(rank / 100 * len(values), 5e-324)
    position = min(math.ceil(share) - 1, last)
    if position + 1 - share > _EPSILON or position == last:
        return float(np.partition(values, position)[position])
    ends = np.partition(values, (position, position + 1))[position : position + 2].astype(np.float64)
    return float((ends[0] + ends[1]) / 2)


def _weighted_quantile(values: _Array, weight: _Array, rank: float) -> float:
    order, last = np.argsort(values), len(values) - 1
    below = np.cumsum(weight[order], dtype=np.float64)
    share = max(rank / 100 * float(below[-1]), 5e-324)  # a rank of 0 passes over rows without weight
    position = min(int(np.searchsorted(below, share)), last)
    value = float(values[order[position]])
    if below[position] - share > _EPSILON:
        return value
    following = min(position + 1, last)
    if weight[order[following]] == 0:
        following = int(np.searchsorted(below, below[position], side="right"))
        if following > last:
            following = position
    return (value + float(values[order[following]])) / 2


def _mean_deviance(true: _Array, pred: _Array, weight: _Array | None, power: float) -> float:
    sums = deviance_sums(true, pred, weight, power)
    return float(sums[1, 0]) / weight_sum(sums)


def deviance_sums(true: _Array, pred: _Array, weight: _Array | None, power: float) -> _Floats:
    """(2, 1): the sums of the weights and of the weighted deviances of one output."""
    losses: dict[float, Any] = {0: "squared", 1: "poisson", 2: "gamma"}
    if power in losses:
        return regression_loss(true, pred, weight, loss=losses[power])
    # refuses what is not finite
    sums = regression_loss(true, pred, weight, loss="absolute")
    for name, y, least in (("y_true", true, power >= 2), ("y_pred", pred, True)):
        if (power > 0 or y is pred) and not ((y > 0) if least else (y >= 0)).all():
            raise ValueError(
                f"{name} must be {'positive' if least else 'at least 0'} for power={power}, got {y.min()}"
            )
    sums[1] = _power_deviance(true, pred, weight, power)
    return sums


def _power_deviance(true: _Array, pred: _Array | float, weight: _Array | None, power: float) -> float:
    """Weighted sum of the deviance for a power other than 0, 1 and 2: piece by piece, powers by NumPy."""
    sums = []
    with np.errstate(all="ignore"):
        for rows in _pieces(len(true)):
            t = true[rows].astype(np.float64)
            p = pred if isinstance(pred, float) else pred[rows].astype(np.float64)
            positive = np.maximum(t, 0.0) if power < 0 else t
            deviance = 2 * (
                np.power(positive, 2 - power) / ((1 - power) * (2 - power))
                - t * np.power(p, 1 - power) / (1 - power)
                + np.power(p, 2 - power) / (2 - power)
            )
            sums.append(np.sum(deviance if weight is None else deviance * weight[rows]))
    return float(np.sum(sums))
