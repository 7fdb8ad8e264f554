"""What the rules share that take a whole array at a time: LAMB, Adafactor and Muon.

Their kernels are functions of one array, called for one parameter after the other.  The checks that must come before
anything is changed, of all gradients together, are those of :class:`fasttrain.kernels.update.Update`.
"""
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fasttrain.kernels.update import Update
from fasttrain.optim._base import Array, Optimizer


class WholeUpdate:
    """In the place of Update: parameters and the state of a rule that takes a whole array at a time.

    `kernel` takes a parameter, its gradient, its state, and by name what `extra` has for the parameter and what
    `take_options` gives for its group; `counts_steps` says whether it takes the number of the step.
    """

    is_plain = False  # no engine takes these steps itself

    def __init__(
        self,
        checks: Update,
        kernel: Callable[..., None],
        grad_names: list[str],
        groups: list[int],
        states: list[dict[str, Array]],
        extra: list[dict[str, Any]],
        take_options: Callable[[Mapping[str, Any]], dict[str, Any]],
        counts_steps: bool,
    ) -> None:
        self._checks, self._kernel, self._grad_names, self._groups = checks, kernel, grad_names, groups
        self._extra, self._take_options, self._counts_steps = extra, take_options, counts_steps
        self._n_steps = [0] * (max(groups) + 1)
        self.params, self.states = checks.params, states

    def check_options(self, options: Sequence[Mapping[str, Any]]) -> None:
        """Raise for options of the groups that a step would refuse."""
        for group in options:
            self._take_options(group)

    def possible_states(
        self, options: Sequence[Mapping[str, Any]]
    ) -> list[tuple[dict[str, tuple[tuple[int, ...], Any]], set[str]]]:
        """Of each parameter, the arrays of its state, name to (shape, dtype), and their names: every step has all."""
        return [({name: (array.shape, array.dtype) for name, array in own.items()}, set(own)) for own in self.states]

    def set_states(self, states: list[dict[str, Array]]) -> None:
        """Take over copies of states that have been checked; of each parameter a dict, maybe without any array."""
        for own, new in zip(self.states, states, strict=True):
            for name, array in own.items():
                array[...] = new.get(name, 0)

    def get_progress(self) -> list[dict[str, float]]:
        """Of each group a dict of what its rule counts."""
        return [{"step": float(n)} for n in self._n_steps]

    def set_progress(self, progress: list[dict[str, float]]) -> None:
        """Take over what each group has counted."""
        self._n_steps = [int(own["step"]) for own in progress]

    def norm(self, grads: list[Any], *, n_threads: int | None = None) -> tuple[float, str | None]:
        """The norm of all gradients together, and the name of the first that holds NaN or infinity, or None."""
        return self._checks.norm(grads, n_threads=n_threads)

    def step(
        self, groups: list[dict[str, Any]], grads: list[Any], *, grad_factor: float = 1.0, clip: float = math.inf,
        n_threads: int | None = None,
    ) -> None:
        """One step with the options of each group."""
        if len(groups) != len(self._n_steps):
            raise ValueError(
                f"param_groups must hold the {len(self._n_steps)} group(s) that the optimizer was made with, "
                f"got {len(groups)}"
            )
        options = [self._take_options(group) for group in groups]
        if clip < math.inf:
            raise ValueError(f"max_value is for elementwise rules, and max_norm for this one; got max_value={clip}")
        arrays = self._checks.check_grads(grads)
        for param, grad, name in zip(self.params, arrays, self._grad_names, strict=True):
            if grad.dtype != param.dtype:
                raise TypeError(f"{name} must have dtype {param.dtype}, as its parameter has, got {grad.dtype}")
        for i, (param, grad) in enumerate(zip(self.params, arrays, strict=True)):
            group = self._groups[i]
            count = {"step": self._n_steps[group] + 1} if self._counts_steps else {}
            self._kernel(
                param, grad, **self.states[i], **count, **options[group], **self._extra[i], grad_factor=grad_factor,
                n_threads=n_threads,
            )
        self._n_steps = [n + 1 for n in self._n_steps]


class WholeOptimizer(Optimizer):
    """A rule over whole arrays, whose kernel is a function of one of them."""

    _options: ClassVar[tuple[str, ...]]
    _kernel: ClassVar[Callable[..., None]]
    _counts_steps: ClassVar[bool] = True

    def _option_names(self) -> Sequence[str]:
        return self._options

    def _state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Of the state of a parameter of a shape, by name."""
        raise NotImplementedError

    def _extra(self, params: list[Array]) -> list[dict[str, Any]]:
        """What the kernel is given for each parameter beside options and state."""
        return [{} for _ in params]

    def _checked_options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        # where there is one group, the kernel checks its options before anything is changed
        if len(self.param_groups) > 1:
            self._check_options(group)
        return self._options_of(group)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        empty = np.zeros((0, 0))
        count = {"step": 1} if self._counts_steps else {}
        state = {name: np.zeros(shape) for name, shape in self._state_shapes(empty.shape).items()}
        type(self)._kernel(empty, empty.copy(), **state, **count, **self._options_of(options))

    def _check_params(self, params: list[Array], names: list[str]) -> None:
        """Raise for parameters that the rule refuses."""

    def _make_update(
        self, owners: list[Any], names: list[str], grad_names: list[str], groups: list[int], state_dtype: str,
        master_weights: bool, masks: list[Any], uint16_is_bfloat16: bool, n_threads: int | None,
    ) -> WholeUpdate:
        rule = type(self).__name__
        checks = Update(
            "SGD", owners, names, grad_names, groups, state_dtype, False, [None] * len(owners), uint16_is_bfloat16,
            n_threads,
        )
        params = checks.params
        for param, name, mask in zip(params, names, masks, strict=True):
            if param.dtype == np.uint16:
                raise TypeError(f"{name} must have dtype float32 or float64 for {rule}, got bfloat16")
            if mask is not None:
                raise ValueError(f"{rule} is of a whole array and takes no masks, got one for {name}")
        self._check_params(params, names)
        states = [
            {name: np.zeros(shape, param.dtype) for name, shape in self._state_shapes(param.shape).items()}
            for param in params
        ]
        return WholeUpdate(
            checks, type(self)._kernel, grad_names, groups, states, self._extra(params), self._checked_options,
            self._counts_steps,
        )
