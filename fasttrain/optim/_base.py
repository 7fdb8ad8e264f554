"""What all rules share: the caller's memory, groups of options, the step count, and state in and out.

A rule names its family, whose options and arithmetic are in :mod:`fasttrain.kernels.rules`, and its defaults; the
pass over the arrays is :class:`fasttrain.kernels.update.Update`.
"""
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from fasttrain.kernels.rules import COUNTED, OPTIONS, check_options, state_names
from fasttrain.kernels.update import Update

Array: TypeAlias = npt.NDArray[Any]
# One array or several: of NumPy, or anything that exports writable CPU memory by DLPack or the buffer protocol.
Arrays: TypeAlias = Any


class Optimizer:
    """A rule over parameters that it updates in place; see the classes of :mod:`fasttrain.optim`.

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        float64, float32 or bfloat16, any shape, C-contiguous; updated in place, never copied.  Anything that exports
        writable CPU memory by DLPack or the buffer protocol.  A tuple or an iterator is a list.  A dict is a group:
        ``params``, a list of arrays, options of its own by name, and ``masks``, a list of boolean arrays in the
        shapes of the parameters (or None for some), where False keeps parameter and state as they are; the masks are
        copied.
    options : dict
        The options of groups that have no own.
    dtype : {"bfloat16"}, optional
        What arrays of dtype uint16 hold, parameters and gradients.
    state_dtype : {"float32", "bfloat16", "8bit"}
        Of the rule's state for float32 and bfloat16 parameters.  "8bit" keeps codes and one float32 unit for each
        256 elements, so what is not finite in a gradient spoils its block of 256 from the next step on.
    master_weights : bool
        bfloat16 parameters have a float32 copy that is updated, and are that copy rounded; False updates them by
        stochastic rounding and keeps no copy.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Attributes
    ----------
    param_groups : list of dict
        Options of each group by name, which may be changed between steps, and its ``params``, a tuple.
    grad_norm : float or None
        The norm of all gradients at the last step that computed it.
    """

    _family: ClassVar[str]

    def __init__(
        self,
        params: Arrays,
        options: Mapping[str, Any],
        *,
        dtype: str | None = None,
        state_dtype: str = "float32",
        master_weights: bool = True,
        n_threads: int | None = None,
    ) -> None:
        uint16_is_bfloat16 = _is_bfloat16(dtype)
        if not isinstance(master_weights, bool):
            raise TypeError(f"master_weights must be True or False, got {master_weights!r}")
        listed = _listed(params)
        self._is_list = listed is not None
        given = [params] if listed is None else listed
        groups = given if self._is_list and given and isinstance(given[0], Mapping) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = []
        owners: list[Any] = []
        masks: list[Any] = []
        self._group_numbers: list[int] = []  # the group of each parameter
        for i, group in enumerate(groups):
            taken = self._group(group, options)
            own_masks = taken.pop("masks")
            self.param_groups.append(taken)
            owners.extend(taken["params"])
            masks.extend(own_masks)
            self._group_numbers.extend([i] * len(own_masks))
        if not owners:
            raise ValueError("params must hold at least one array, got an empty list")
        names = [f"params[{i}]" for i in range(len(owners))] if self._is_list else ["params"]
        grad_names = [name.replace("params", "grads") for name in names]
        self._update = self._make_update(
            owners, names, grad_names, self._group_numbers, state_dtype, master_weights, masks, uint16_is_bfloat16,
            n_threads,
        )
        self._update.check_options(self.param_groups)
        self.grad_norm: float | None = None
        self.n_threads = n_threads

    def _make_update(self, *arguments: Any) -> Any:
        """Parameters and state, checked once, with the step over them; the arguments are Update's after the family."""
        return Update(self._family, *arguments)

    def _option_names(self) -> Sequence[str]:
        """Of the rule's options, in the order in which they are saved."""
        return OPTIONS[self._family]

    def _group(self, group: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """The group with all its options, its parameters as a tuple, and a mask or None for each."""
        if not isinstance(group, Mapping):
            raise TypeError(f"params must hold either arrays or dicts, got {type(group).__name__} beside a dict")
        if "params" not in group or set(group) - set(options) - {"params", "masks"}:
            names = ", ".join(map(str, group))
            raise ValueError(f"a group must have params and may have masks and {', '.join(options)}, got {names}")
        taken = {**options, **group}
        params = _listed(group["params"])
        taken["params"] = (group["params"],) if params is None else tuple(params)
        masks = group.get("masks")
        n_params = len(taken["params"])
        if masks is None:
            masks = [None] * n_params
        elif not isinstance(masks, (list, tuple)) or len(masks) != n_params:
            came = str(len(masks)) if isinstance(masks, (list, tuple)) else type(masks).__name__
            raise ValueError(f"masks must be a list of {n_params} arrays or None, as params is, got {came}")
        taken["masks"] = masks
        self._check_options(taken)
        return taken

    def _group_of(self, i: int) -> dict[str, Any]:
        """The options of parameter i."""
        return self.param_groups[self._group_numbers[i]]

    @property
    def params(self) -> Any:
        """The parameters as they were given: one array, or a list of arrays."""
        params = [param for group in self.param_groups for param in group["params"]]
        return params if self._is_list else params[0]

    @property
    def lr(self) -> Any:
        """Learning rate; setting it sets that of all groups, reading needs one that they share."""
        rates = [group["lr"] for group in self.param_groups]
        if any(rate != rates[0] for rate in rates):
            raise ValueError(f"the groups have learning rates of their own, {rates}: read param_groups")
        return rates[0]

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    @property
    def family(self) -> str:
        """What the kernels call the rule."""
        return self._family

    @property
    def n_steps(self) -> int:
        """Steps taken."""
        return int(self._update.get_progress()[0]["step"])

    @property
    def options(self) -> dict[str, Any]:
        """The options of the first group."""
        return self._options_of(self.param_groups[0])

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "lr" and name in self._option_names():
            raise AttributeError(f"{name} is an option of the groups: set_options({name}=...) sets it in all of them")
        super().__setattr__(name, value)

    def set_options(self, **options: Any) -> None:
        """Set options of all groups, after a check of their values."""
        for group in self.param_groups:
            if unknown := sorted(set(options) - set(self._option_names())):
                raise ValueError(f"{type(self).__name__} has no option {', '.join(unknown)}")
            self._check_options({**group, **options})
        for group in self.param_groups:
            group.update(options)

    def flat_state(self, param: Array) -> tuple[list[Array], dict[str, Any], dict[str, float]] | None:
        """For an engine that takes the steps of a single parameter itself: its arrays of state in the rule's order,
        the options, and what the rule has counted; None where the parameter is another, or more than the array."""
        update = self._update
        if len(update.params) != 1 or not update.is_plain or not np.shares_memory(param, update.params[0]):
            return None
        options = self._options_of(self.param_groups[0])
        update.make_states([options])
        names = state_names(self._family, options)
        return [update.states[0][name] for name in names], options, update.get_progress()[0]

    def advance_to(self, progress: Mapping[str, float]) -> None:
        """Take over what an engine has counted."""
        self._update.set_progress([dict(progress)])

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """Raise for values of the options that the rule refuses; a subclass adds those that no step reads."""
        check_options(self._family, options)

    def step(
        self,
        grads: Arrays,
        *,
        grad_scale: float = 1.0,
        max_norm: float | None = None,
        max_value: float | None = None,
        check_finite: bool | str = False,
    ) -> bool:
        """Update the parameters by their gradients.

        Parameters
        ----------
        grads : array or list of arrays
            As ``params`` was given, groups one after the other, of the same shapes, C-contiguous, not overlapping
            the parameters; never written.  float64 for float64 parameters; float32, float16 or bfloat16 for others.
            NaN and infinity pass through to parameters and state, as in torch.
        grad_scale : float
            The gradients are divided by it first: the factor that the loss was scaled by.
        max_norm : float, optional
            The norm of all gradients together at most: they are multiplied by ``max_norm / (norm + 1e-6)`` where
            that is below 1, as ``torch.nn.utils.clip_grad_norm_`` does, without writing them.  A norm of NaN makes
            all parameters NaN, there as here.
        max_value : float, optional
            The magnitude of each element at most, after that.
        check_finite : bool or "skip"
            True raises for gradients with NaN or infinity, "skip" leaves everything as it is then.  Costs another
            reading of the gradients, and nothing beside max_norm.

        Returns
        -------
        bool
            Whether the step was taken: False only if it was skipped.

        Raises
        ------
        TypeError, ValueError
            For a gradient or an option that does not fit.  No parameter and no state has been changed then.
        """
        arrays = self._grads(grads)
        factor, clip = 1.0, math.inf
        if type(grad_scale) is not float or grad_scale != 1.0:
            factor = 1.0 / check_number(grad_scale, "grad_scale")
        if max_value is not None:
            clip = check_number(max_value, "max_value")
        if max_norm is not None or check_finite is not False:
            limit = math.inf
            if max_norm is not None and not (isinstance(max_norm, float) and max_norm == math.inf):
                limit = check_number(max_norm, "max_norm")
            if not isinstance(check_finite, bool) and check_finite != "skip":
                raise ValueError(f"check_finite must be True, False or 'skip', got {check_finite!r}")
            norm, bad = self._update.norm(arrays, n_threads=self.n_threads)
            if bad is not None and check_finite is True:
                raise ValueError(f"{bad} must be finite, but holds NaN or infinity; nothing was changed")
            self.grad_norm = norm * factor
            if bad is not None and check_finite == "skip":
                return False
            ratio = limit / (self.grad_norm + 1e-6)
            factor *= 1.0 if ratio >= 1.0 else ratio  # NaN too
        self._update.step(self.param_groups, arrays, grad_factor=factor, clip=clip, n_threads=self.n_threads)
        return True

    def _grads(self, grads: Arrays) -> list[Any]:
        if not self._is_list:
            return [grads]
        listed = _listed(grads)
        if listed is None:
            raise TypeError(
                f"grads must be a list of {len(self._group_numbers)} arrays, as params is, got {type(grads).__name__}"
            )
        return listed

    # ---- state in and out ------------------------------------------------------------------------------------

    def _options_of(self, group: Mapping[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in self._option_names()}

    def _prefix(self, i: int) -> str:
        return f"groups.{i}." if len(self.param_groups) > 1 else ""

    def state_dict(self) -> dict[str, Any]:
        """All that a later ``load_state_dict`` needs to go on bit for bit, but the parameters.

        Returns
        -------
        dict
            Flat, of plain values: ``rule`` (str), ``step`` (int, steps taken), the options by name (float, bool,
            str, a tuple for ``betas``; with several groups ``groups.0.lr`` and so on; one that is None is left out),
            and copies of the arrays of state, ``exp_avg.0`` for the first parameter and so on: of the parameter's
            dtype, uint16 for bfloat16 state, or uint8 codes and ``exp_avg_unit.0``, float32, for the units of their
            blocks; ``master.0`` is the float32 copy of a bfloat16 parameter.  ``numpy.savez(path, **state)`` saves it
            and ``numpy.load(path)`` gives back what ``load_state_dict`` takes; so do the arrays as tensors and the
            rest as JSON in the metadata of a safetensors file.
        """
        state: dict[str, Any] = {"rule": type(self).__name__, "step": self.n_steps}
        for i, (group, progress) in enumerate(zip(self.param_groups, self._update.get_progress(), strict=True)):
            options = self._options_of(group)
            # None is in no file of arrays
            state.update((self._prefix(i) + name, value) for name, value in options.items() if value is not None)
            state.update((self._prefix(i) + name, progress[name]) for name in COUNTED.get(self._family, ()))
        for i, arrays in enumerate(self._update.states):
            state.update((f"{name}.{i}", array.copy()) for name, array in arrays.items())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: step count, options and arrays.

        Parameters
        ----------
        state : mapping
            From ``state_dict()`` of an optimizer of the same rule and settings, over parameters of the same shapes
            and dtypes in the same order and groups.

        Raises
        ------
        TypeError, ValueError
            For a state of another rule, missing or unknown entries, values that the rule refuses, arrays of
            another shape or dtype.  Nothing has been changed then.
        """
        rule = type(self).__name__
        if "rule" not in state or _plain(state["rule"]) != rule:
            raise ValueError(f"state must be of rule {rule!r}, got {_plain(state.get('rule'))!r}")
        names = [name for name in self._option_names() if name not in _OPTIONAL]
        counted = COUNTED.get(self._family, ())
        n_groups = len(self.param_groups)
        scalars = {self._prefix(i) + name for i in range(n_groups) for name in (*names, *counted)}
        optional = {self._prefix(i) + name for i in range(n_groups) for name in self._option_names()}
        if missing := sorted({"step", *scalars} - set(state)):
            raise ValueError(f"state lacks {', '.join(missing)}")
        groups = [
            {name: _plain(state.get(self._prefix(i) + name)) for name in self._option_names()} for i in range(n_groups)
        ]
        for group, taken in zip(self.param_groups, groups, strict=True):
            self._check_options({**group, **taken})
        n_steps = _plain(state["step"])
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or not 0 <= n_steps < 2**53:
            raise ValueError(f"step in state must be a non-negative integer, got {n_steps!r}")
        states = self._checked_states(state, n_steps, known={"rule", "step", *scalars, *optional}, options=groups)
        progress = self._update.get_progress()
        for i, own in enumerate(progress):
            own["step"] = float(n_steps)
            for name in counted:
                own[name] = check_number(_plain(state[self._prefix(i) + name]), f"{name} in state", zero=True)
        self._update.set_states(states)
        self._update.set_progress(progress)
        for group, taken in zip(self.param_groups, groups, strict=True):
            group.update(taken)

    def _checked_states(
        self, state: Mapping[str, Any], n_steps: int, known: set[str], options: list[dict[str, Any]]
    ) -> list[dict[str, Array]]:
        """The arrays of each parameter; options: of each group, as they will be.

        A state that all options of the rule make must be there after the first step; one that some make is there if
        a step was taken with them, then for all parameters of a group.
        """
        possible = self._update.possible_states(options)
        states: list[dict[str, Array]] = [
            {name: state[f"{name}.{i}"] for name in kinds if f"{name}.{i}" in state}
            for i, (kinds, _) in enumerate(possible)
        ]
        if unknown := sorted(set(state) - known - {f"{name}.{i}" for i, own in enumerate(states) for name in own}):
            raise ValueError(
                f"state has entries unknown to {type(self).__name__} of {len(states)} parameters with these settings: "
                f"{', '.join(unknown)}"
            )
        in_group: list[set[str]] = [set() for _ in self.param_groups]
        for group, own in zip(self._group_numbers, states, strict=True):
            in_group[group] |= set(own)
        for i, (own, (kinds, made)) in enumerate(zip(states, possible, strict=True)):
            needed = in_group[self._group_numbers[i]] | (made if n_steps else set()) | ({"master"} & set(kinds))
            needed |= {f"{name}_unit" for name in needed} & set(kinds)
            if missing := sorted(f"{name}.{i}" for name in (needed & set(kinds)) - set(own)):
                raise ValueError(f"state lacks {', '.join(missing)}")
            for name, array in own.items():
                _check_state(array, f"{name}.{i}", *kinds[name])
        return states


# Options that may be None, and are left out of a state then.
_OPTIONAL = ("initial_lr",)


def _is_bfloat16(dtype: str | None) -> bool:
    """Whether the caller's arrays of uint16 hold bfloat16."""
    if dtype not in (None, "bfloat16"):
        raise ValueError(f"dtype must be None or 'bfloat16', got {dtype!r}")
    return dtype is not None


def _listed(value: Any) -> list[Any] | None:
    """The arrays of a list, a tuple or an iterator; None for one array."""
    if isinstance(value, list):
        return value
    return list(value) if isinstance(value, tuple) or hasattr(value, "__next__") else None


def check_number(value: Any, name: str, zero: bool = False) -> float:
    number = float(value) if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) else math.nan
    if not (number > 0 or (zero and number == 0)) or not math.isfinite(number):
        raise ValueError(f"{name} must be a {'non-negative' if zero else 'positive'} number, got {value!r}")
    return number


def parts(array: Array) -> Iterable[Array]:
    """Pieces of an array, small enough for temporaries."""
    flat = array.reshape(-1)
    return (flat[start : start + 65536] for start in range(0, flat.size, 65536))


def _plain(value: Any) -> Any:
    """A Python value for what may have become an array or a NumPy scalar on its way through a file."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def _check_state(array: Any, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} in state must be a numpy.ndarray, got {type(array).__name__}")
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name} in state must have shape {shape} and dtype {dtype}, as its parameter needs, "
            f"got {array.shape} and {array.dtype}"
        )
