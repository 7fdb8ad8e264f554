"""What all rules share: the caller's parameters, the step count, options and state in and out.

A rule names its options and its arrays of state, and takes a step; the checks of arrays and the arithmetic
are in :class:`fasttrain.kernels.optim.Update`.
"""
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from fasttrain.kernels.optim import Update

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Array | Sequence[Array]


class Optimizer:
    """A rule over parameters that it updates in place; see SGD and Adam."""

    # Attributes that the rule reads at every step, in state_dict's order, and its arrays per parameter.
    _options: ClassVar[tuple[str, ...]]
    _state_names: ClassVar[tuple[str, ...]]

    def __init__(self, params: Arrays, n_states: int, n_threads: int | None) -> None:
        if not isinstance(params, (np.ndarray, list, tuple)):
            raise TypeError(f"params must be a numpy.ndarray or a list of them, got {type(params).__name__}")
        self._is_list = not isinstance(params, np.ndarray)
        arrays: Sequence[Array] = [params] if isinstance(params, np.ndarray) else params
        if not arrays:
            raise ValueError("params must hold at least one array, got an empty list")
        self._update = Update(arrays, self._is_list, n_states)
        self._n_steps = 0
        self.n_threads = n_threads

    @property
    def params(self) -> Arrays:
        """The parameters: one array, or a list of arrays."""
        return list(self._update.params) if self._is_list else self._update.params[0]

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """Raise for values of the options that the rule refuses."""
        raise NotImplementedError

    def _states(self) -> list[list[Array]]:
        """Per name of state, the arrays to save."""
        return self._update.states

    def _set_states(self, states: list[list[Array]]) -> None:
        """Take over arrays that have been checked."""
        for own, new in zip(self._update.states, states, strict=True):
            for array, value in zip(own, new, strict=True):
                array[...] = value

    def _saved_states(self, state: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the arrays that a saved state must have."""
        return self._state_names

    def state_dict(self) -> dict[str, Any]:
        """All that a later ``load_state_dict`` needs to go on bit for bit, but the parameters.

        Returns
        -------
        dict
            Flat, of plain values: ``rule`` (str), ``step`` (int, steps taken), the options by name
            (float, bool, a tuple for ``betas``), and copies of the arrays of state, ``exp_avg.0`` for the
            first parameter and so on.  ``numpy.savez(path, **state)`` saves it and ``numpy.load(path)``
            gives back what ``load_state_dict`` takes.
        """
        state: dict[str, Any] = {"rule": type(self).__name__, "step": self._n_steps}
        state.update((name, getattr(self, name)) for name in self._options)
        for name, arrays in zip(self._state_names, self._states(), strict=False):
            state.update((f"{name}.{i}", array.copy()) for i, array in enumerate(arrays))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: step count, options and arrays.

        Parameters
        ----------
        state : mapping
            From ``state_dict()`` of an optimizer of the same rule, over parameters of the same shapes and
            dtypes in the same order.

        Raises
        ------
        TypeError, ValueError
            For a state of another rule, missing or unknown entries, values that the rule refuses, arrays of
            another shape or dtype.  Nothing has been changed then.
        """
        rule = type(self).__name__
        names = self._saved_states(state)
        params = self._update.params
        arrays = {f"{name}.{i}" for name in names for i in range(len(params))}
        expected = {"rule", "step", *self._options, *arrays}
        if "rule" not in state or _plain(state["rule"]) != rule:
            raise ValueError(f"state must be of rule {rule!r}, got {_plain(state.get('rule'))!r}")
        if missing := sorted(expected - set(state)):
            raise ValueError(f"state lacks {', '.join(missing)}")
        if unknown := sorted(set(state) - expected):
            raise ValueError(
                f"state has entries unknown to {rule} of {len(params)} parameters: {', '.join(unknown)}"
            )
        n_steps = _plain(state["step"])
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 0:
            raise ValueError(f"step in state must be a non-negative integer, got {n_steps!r}")
        options = {name: _plain(state[name]) for name in self._options}
        self._check_options(options)
        states = [[_checked_state(state, name, i, param) for i, param in enumerate(params)] for name in names]
        self._set_states(states)
        self._n_steps = n_steps
        for name, value in options.items():
            setattr(self, name, value)


def _plain(value: Any) -> Any:
    """A Python value for what may have become an array or a NumPy scalar on its way through a file."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def _checked_state(state: Mapping[str, Any], name: str, i: int, param: Array) -> Array:
    array = state[f"{name}.{i}"]
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}.{i} in state must be a numpy.ndarray, got {type(array).__name__}")
    if array.shape != param.shape or array.dtype != param.dtype:
        raise ValueError(
            f"{name}.{i} in state must have shape {param.shape} and dtype {param.dtype}, as its parameter "
            f"has, got {array.shape} and {array.dtype}"
        )
    return array
