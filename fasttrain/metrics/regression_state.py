"""Sums over pairs of targets and predictions that grow with a stream and add up over shards."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError
from fasttrain.kernels.regression import regression_loss, regression_moments
from fasttrain.metrics._state import Arrays, check_finite_sum, check_same_kind, is_empty
from fasttrain.metrics._validation import check_boolean
from fasttrain.metrics.regression import (
    ERRORS,
    SCORES,
    average_outputs,
    check_output_weights,
    check_outputs,
    check_pairs,
    check_power,
    deviance_sums,
    explained_variance_of_moments,
    mean_of_sums,
    r2_of_moments,
)

__all__ = ["RegressionState"]

_Array = NDArray[Any]
_Floats = NDArray[np.float64]
_STATE = "fasttrain.metrics.RegressionState 1"

# The rows of the sums: the moments of the kernel of that name, these losses, and the deviances of chosen powers.
_N_MOMENTS = 6
_WEIGHT, _SQUARED = 0, 5
_MEAN_AND_CENTRED = ((1, 2), (3, 4))
_LOSSES: tuple[Any, ...] = ("maximum", "absolute", "percentage", "squared_log", "poisson", "gamma")
_OF_ONE_OUTPUT = ("poisson", "gamma")
_MAXIMUM = _N_MOMENTS
# Sums wait until so many are combined pairwise at once.
_GROUP = 32


class RegressionState:
    """The regression metrics that sums determine, of rows that come in chunks or lie in shards.

    Fed in any split and merged in any order, it answers as the functions of the same names do for all rows at
    once, to rounding.  Sums are combined pairwise, and those of squares about the mean, so that neither many chunks
    nor a mean far from zero cost digits.  Medians and quantiles are not determined by sums: metrics of them are no
    methods, nor is the D^2 of a deviance.

    Parameters
    ----------
    powers : iterable of float, optional
        Powers of the Tweedie deviance to keep besides 0, 1 and 2.

    Notes
    -----
    A loss whose domain a chunk leaves, as the logarithmic ones' by negative numbers, is no error in ``update`` but in
    the method that asks for it.

    Examples
    --------
    >>> from fasttrain.metrics import RegressionState
    >>> state = RegressionState().update([3, -0.5], [2.5, 0.0]).merge(RegressionState().update([2, 7], [2, 8]))
    >>> state.mean_squared_error(), round(state.r2_score(), 6)
    (0.375, 0.948608)
    """

    def __init__(self, *, powers: Iterable[float] = ()) -> None:
        if isinstance(powers, (str, bytes)) or not isinstance(powers, Iterable):
            raise InvalidParameterError(f"powers must be numbers in a sequence, got {powers!r}")
        chosen = list(powers)
        for power in chosen:
            check_power(power)
        self._powers = tuple(sorted({float(power) for power in chosen} - {0.0, 1.0, 2.0}))
        # sums by how many groups they are made of: those of a chunk, of _GROUP chunks, of _GROUP of these, ...
        self._sums: list[list[_Floats]] = [[]]
        # targets and errors of the first row with a weight: all means are kept less these, or a mean far from zero
        # would cost digits, and that of a constant not be the constant
        self._origins = np.zeros((2, 0))
        self._weight = 0.0  # of all rows
        self._outside = np.zeros(len(_LOSSES) + len(self._powers), dtype=bool)
        self._n_rows = 0
        self._n_outputs = 0

    def update(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> "RegressionState":
        """Add more rows.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Real numbers, finite; chunks without rows are passed over.
        sample_weight : array-like of shape (n_rows,), optional
            Finite and not negative.

        Returns
        -------
        RegressionState
            This state; after an error it is as it was.

        Raises
        ------
        ValueError, TypeError
            As :func:`mean_squared_error`; another number of outputs than before.
        """
        if is_empty(y_true, y_pred, sample_weight):
            return self
        true, pred, weight, _ = check_pairs(y_true, y_pred, sample_weight, None, allow_strings=False)
        n_outputs = 1 if true.ndim == 1 else true.shape[1]
        if self._n_outputs not in (0, n_outputs):
            raise ValueError(f"y_true must have {self._n_outputs} outputs as before, got {n_outputs}")
        sums = np.zeros((_N_MOMENTS + len(self._outside), n_outputs))
        # refuses what is not finite, so that all that follows can refuse is what leaves a domain
        origins = self._origins if self._weight > 0 else _first_row(true, pred, weight)
        sums[:_N_MOMENTS] = regression_moments(true, pred, weight, origins=origins)
        total = self._weight + float(sums[_WEIGHT, 0])
        check_finite_sum(total)
        if sums[_WEIGHT, 0] == 0:
            # of no weight is no mean, whatever the origins
            sums[_WEIGHT + 1 : _SQUARED] = 0.0
        outside = self._outside.copy()
        for place, loss in enumerate((*_LOSSES, *self._powers)):
            if outside[place] or (n_outputs > 1 and (isinstance(loss, float) or loss in _OF_ONE_OUTPUT)):
                continue
            try:
                if isinstance(loss, float):
                    sums[_N_MOMENTS + place] = deviance_sums(true, pred, weight, loss)[1]
                else:
                    of_loss = regression_loss(true, pred, None if loss == "maximum" else weight, loss=loss)
                    sums[_N_MOMENTS + place] = of_loss[1]
            except ValueError:
                outside[place] = True
        self._outside, self._origins, self._n_outputs, self._weight = outside, origins, n_outputs, total
        self._n_rows += len(true)
        self._add(0, [sums])
        return self

    def merge(self, other: "RegressionState") -> "RegressionState":
        """Add the rows of another state to this one's, in place.

        Parameters
        ----------
        other : RegressionState
            Of the same ``powers`` and number of outputs; it is left as it is.

        Returns
        -------
        RegressionState
            This state; after an error both are as they were.

        Raises
        ------
        TypeError, ValueError
            Not a RegressionState; other ``powers`` or numbers of outputs.
        """
        check_same_kind(self, other)
        if self._powers != other._powers:
            raise ValueError(f"other must have the same powers, got {self._powers} here and {other._powers} there")
        if 0 not in (self._n_outputs, other._n_outputs) and self._n_outputs != other._n_outputs:
            raise ValueError(
                f"other must have the same number of outputs, got {self._n_outputs} here and {other._n_outputs} there"
            )
        if not other._n_outputs:
            return self
        total = self._weight + other._weight
        check_finite_sum(total)
        if not self._weight > 0:
            self._origins, self._n_outputs = other._origins, other._n_outputs
        self._outside, self._weight = self._outside | other._outside, total
        self._n_rows += other._n_rows
        with np.errstate(over="ignore"):
            further = other._origins - self._origins
        for level, sums in enumerate([[_moved(one, further) for one in sums] for sums in other._sums]):
            self._add(level, sums)
        return self

    def _add(self, level: int, sums: list[_Floats]) -> None:
        while len(self._sums) <= level:
            self._sums.append([])
        self._sums[level] += sums
        if len(self._sums[level]) >= _GROUP:
            group, self._sums[level] = self._sums[level], []
            self._add(level + 1, [_combined(group)])

    def _all(self) -> _Floats:
        """All sums, (n_sums, n_outputs)."""
        if not self._n_rows:
            raise ValueError("the state must hold at least one row, got none so far")
        # the smallest first
        return _combined([sums for level in self._sums for sums in level])

    def _loss(self, loss: Any) -> _Floats:
        """(2, n_outputs): the sums of the weights and of the weighted losses."""
        sums = self._all()
        place = (*_LOSSES, *self._powers).index(loss)
        if self._outside[place]:
            name = f"the deviance of power {loss}" if isinstance(loss, float) else f"the loss {loss!r}"
            raise ValueError(f"y_true and y_pred must be in the domain of {name}, got numbers outside of it")
        return sums[[_WEIGHT, _N_MOMENTS + place]]

    def _mean(self, sums: _Floats, multioutput: Any, root: bool = False) -> Any:
        weights = check_output_weights(multioutput, self._n_outputs)
        return mean_of_sums(sums, multioutput, weights, np.sqrt if root else None)

    def _check_one_output(self, name: str) -> None:
        if self._n_outputs > 1:
            raise ValueError(f"{name} takes one output, got {self._n_outputs}")

    def mean_squared_error(self, *, multioutput: Any = "uniform_average") -> Any:
        """:func:`mean_squared_error` of all rows so far."""
        check_outputs(multioutput, ERRORS)
        return self._mean(self._all()[[_WEIGHT, _SQUARED]], multioutput)

    def root_mean_squared_error(self, *, multioutput: Any = "uniform_average") -> Any:
        """:func:`root_mean_squared_error` of all rows so far."""
        check_outputs(multioutput, ERRORS)
        values = np.sqrt(self.mean_squared_error(multioutput="raw_values"))
        # as the function, which takes a weight of the one output
        return average_outputs(values, multioutput, None if isinstance(multioutput, str) else multioutput)

    def mean_absolute_error(self, *, multioutput: Any = "uniform_average") -> Any:
        """:func:`mean_absolute_error` of all rows so far."""
        check_outputs(multioutput, ERRORS)
        return self._mean(self._loss("absolute"), multioutput)

    def mean_absolute_percentage_error(self, *, multioutput: Any = "uniform_average") -> Any:
        """:func:`mean_absolute_percentage_error` of all rows so far."""
        check_outputs(multioutput, ERRORS)
        return self._mean(self._loss("percentage"), multioutput)

    def mean_squared_log_error(self, *, multioutput: Any = "uniform_average") -> Any:
        """:func:`mean_squared_log_error` of all rows so far."""
        check_outputs(multioutput, ERRORS)
        return self._mean(self._loss("squared_log"), multioutput)

    def root_mean_squared_log_error(self, *, multioutput: Any = "uniform_average") -> Any:
        """:func:`root_mean_squared_log_error` of all rows so far."""
        check_outputs(multioutput, ERRORS)
        return self._mean(self._loss("squared_log"), multioutput, root=True)

    def max_error(self) -> float:
        """:func:`max_error` of all rows so far, whatever their weights."""
        sums = self._all()
        self._check_one_output("max_error")
        return float(sums[_MAXIMUM, 0])

    def r2_score(self, *, multioutput: Any = "uniform_average", force_finite: bool = True) -> Any:
        """:func:`r2_score` of all rows so far."""
        if multioutput is not None:
            check_outputs(multioutput, SCORES)
        check_boolean(force_finite, "force_finite")
        moments = self._all()[:_N_MOMENTS]
        weights = check_output_weights(multioutput, self._n_outputs)
        return r2_of_moments(moments, self._n_rows, multioutput, weights, force_finite)

    def explained_variance_score(self, *, multioutput: Any = "uniform_average", force_finite: bool = True) -> Any:
        """:func:`explained_variance_score` of all rows so far."""
        check_outputs(multioutput, SCORES)
        check_boolean(force_finite, "force_finite")
        moments = self._all()[:_N_MOMENTS]
        weights = check_output_weights(multioutput, self._n_outputs)
        return explained_variance_of_moments(moments, multioutput, weights, force_finite)

    def mean_tweedie_deviance(self, *, power: float = 0) -> float:
        """:func:`mean_tweedie_deviance` of all rows so far, for 0, 1, 2 or one of ``powers``."""
        check_power(power)
        self._all()
        self._check_one_output("mean_tweedie_deviance")
        if power == 0:
            return float(self.mean_squared_error())
        if power not in (1, 2, *self._powers):
            raise ValueError(f"power must be 0, 1, 2 or one of powers, {list(self._powers)}, got {power!r}")
        losses: dict[float, Any] = {1: "poisson", 2: "gamma"}
        return float(self._mean(self._loss(losses.get(power, float(power))), "uniform_average"))

    def mean_poisson_deviance(self) -> float:
        """:func:`mean_poisson_deviance` of all rows so far."""
        return self.mean_tweedie_deviance(power=1)

    def mean_gamma_deviance(self) -> float:
        """:func:`mean_gamma_deviance` of all rows so far."""
        return self.mean_tweedie_deviance(power=2)

    def to_arrays(self) -> dict[str, _Array]:
        """The state as plain arrays, for :meth:`from_arrays`: to store, to send, to reduce elsewhere.

        Returns
        -------
        dict of str to ndarray
            'state' names class and version; 'powers' (n_powers,); 'n_rows'; 'outside' (6 + n_powers,), whether a chunk
            left the domain of a loss; 'origins' (2, n_outputs) and 'sums' (12 + n_powers, n_outputs): the six rows of
            :func:`fasttrain.kernels.regression_moments` for these origins, the largest absolute error, and the sums of
            the absolute, percentage, squared log, Poisson and gamma losses and of the deviances of ``powers``.
        """
        return {
            "state": np.array(_STATE),
            "powers": np.array(self._powers, dtype=np.float64),
            "n_rows": np.array(self._n_rows),
            "outside": self._outside.copy(),
            "origins": self._origins.copy(),
            "sums": self._all() if self._n_rows else np.zeros((_N_MOMENTS + len(self._outside), 0)),
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> "RegressionState":
        """The state that :meth:`to_arrays` gave these arrays.

        Parameters
        ----------
        arrays : dict of str to array-like
            Or what `numpy.load` gives for a file of them.

        Raises
        ------
        TypeError, ValueError
            Arrays of another state, missing or left over, of another shape or dtype, or that contradict each other.
        """
        given = Arrays(arrays, _STATE)
        powers = given.take("powers", "f", (None,)).tolist()
        state = cls(powers=powers)
        if list(state._powers) != powers:
            raise ValueError(f"arrays['powers'] must rise and be none of 0, 1 and 2, got {powers}")
        n_losses = len(state._outside)
        state._n_rows = int(given.take("n_rows", "iu", ()))
        state._outside = given.take("outside", "b", (n_losses,)).copy()
        sums = given.take("sums", "f", (_N_MOMENTS + n_losses, None)).astype(np.float64)
        state._origins = given.take("origins", "f", (2, sums.shape[1])).astype(np.float64)
        given.finish()
        state._n_outputs = sums.shape[1]
        if not np.isfinite(state._origins).all():
            raise ValueError("arrays['origins'] must be finite")
        if state._n_rows < 0 or (state._n_rows == 0) != (sums.shape[1] == 0):
            raise ValueError(f"arrays['n_rows'] must be that of arrays['sums'], got {state._n_rows}")
        weight = sums[_WEIGHT]
        if not np.isfinite(weight).all() or (weight != weight[:1]).any():
            raise ValueError("arrays['sums'] must begin with one finite sum of weights")
        # deviances are not negative but for rounding
        rows = [_WEIGHT, *(centred for _, centred in _MEAN_AND_CENTRED), *range(_SQUARED, _N_MOMENTS + 4)]
        if (sums[rows] < 0).any():
            raise ValueError("arrays['sums'] must not hold negative sums of weights, squares or errors")
        if state._n_rows:
            state._weight = float(weight[0])
            state._add(0, [sums])
        return state


def _first_row(true: _Array, pred: _Array, weight: _Array | None) -> _Floats:
    """Targets and errors of the first row with a weight, or of the first of all."""
    row = 0 if weight is None else int(np.argmax(weight > 0))
    first = np.array([true[row], pred[row]], dtype=np.float64).reshape(2, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        origins = np.stack([first[0], first[0] - first[1]])
    # the kernel finds what is not finite, and says where
    return np.where(np.isfinite(origins), origins, 0.0)


def _moved(sums: _Floats, further: _Floats) -> _Floats:
    """The sums with the means less other origins."""
    moved = sums.copy()
    if moved[_WEIGHT, 0] > 0:
        with np.errstate(over="ignore", invalid="ignore"):
            for (mean, _), distance in zip(_MEAN_AND_CENTRED, further, strict=True):
                moved[mean] += distance
    return moved


def _combined(sums: list[_Floats]) -> _Floats:
    """One (n_sums, n_outputs) of many, as the leaves of a tree."""
    if len(sums) == 1:
        return sums[0].copy()
    stack = np.stack(sums)
    while len(stack) > 1:
        pairs = len(stack) // 2
        both = _pairwise(stack[0 : 2 * pairs : 2], stack[1 : 2 * pairs : 2])
        stack = np.concatenate([both, stack[2 * pairs :]])
    return stack[0]


def _pairwise(a: _Floats, b: _Floats) -> _Floats:
    """Sums of two sets of rows from those of each, (n, n_sums, n_outputs).

    Means and sums of squares about them by Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances" (1979).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total = a + b
        a_weight, weight = a[:, _WEIGHT], total[:, _WEIGHT]
        share = np.divide(b[:, _WEIGHT], weight, out=np.zeros_like(weight), where=weight > 0)
        for mean, centred in _MEAN_AND_CENTRED:
            difference = b[:, mean] - a[:, mean]
            empty = (a_weight == 0) & (share > 0)
            joint = np.where(share > 0, a[:, mean] + difference * share, a[:, mean])
            total[:, mean] = np.where(empty, b[:, mean], joint)
            # of no weight is no spread, though the difference be infinite
            spread = difference * difference * (a_weight * share)
            total[:, centred] += np.where(a_weight * share > 0, spread, 0.0)
        total[:, _MAXIMUM] = np.maximum(a[:, _MAXIMUM], b[:, _MAXIMUM])
    return total
