"""What all rules share: the caller's memory, groups of options, the step count, and state in and out.

A rule names its family, whose options and arithmetic are in :mod:`fasttrain.kernels.rules`, and its defaults; the
pass over the arrays is :class:`fasttrain.kernels.update.Update`.
"""
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from fasttrain.kernels.memory import view_memory
from fasttrain.kernels.rules import COUNTED, OPTIONS, check_options, state_names
from fasttrain.kernels.update import Update
from fasttrain.kernels.validation import all_finite

Array: TypeAlias = npt.NDArray[Any]
# One array or several: of NumPy, or anything that exports writable CPU memory by DLPack or the buffer protocol.
Arrays: TypeAlias = Any


class Optimizer:
    """A rule over parameters that it updates in place; see the classes of :mod:`fasttrain.optim`.

    Parameters
    ----------
    params : array, list of arrays, or list of dict
        float64, float32 or bfloat16, any shape, C-contiguous; updated in place, never copied.  Anything that exports
        writable CPU memory by DLPack or the buffer protocol.  A dict is a group: ``params``, a list of arrays,
        options of its own by name, and ``masks``, a list of boolean arrays in the shapes of the parameters (or None
        for some), where False keeps parameter and state as they are.
    options : dict
        The options of groups that have no own.
    dtype : {"bfloat16"}, optional
        What arrays of dtype uint16 hold, parameters and gradients.
    state_dtype : {"float32", "bfloat16", "8bit"}
        Of the rule's state for float32 and bfloat16 parameters.
    master_weights : bool
        bfloat16 parameters have a float32 copy that is updated, and are that copy rounded; False updates them by
        stochastic rounding and keeps no copy.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Attributes
    ----------
    param_groups : list of dict
        Options of each group by name, which may be changed between steps, and its ``params``.
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
        if dtype not in (None, "bfloat16"):
            raise ValueError(f"dtype must be None or 'bfloat16', got {dtype!r}")
        if not isinstance(master_weights, bool):
            raise TypeError(f"master_weights must be True or False, got {master_weights!r}")
        self._is_list = isinstance(params, (list, tuple)) or hasattr(params, "__next__")
        given = list(params) if self._is_list else [params]
        if not given:
            raise ValueError("params must hold at least one array, got an empty list")
        self._dtype = dtype
        self._owners: list[int] = []  # the group of each parameter
        groups = given if isinstance(given[0], Mapping) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = [self._group(group, options) for group in groups]
        arrays: list[Array] = []
        masks: list[Array | None] = []
        many = sum(len(group["params"]) for group in self.param_groups)
        names = [f"params[{i}]" if self._is_list else "params" for i in range(many)]
        for i, group in enumerate(self.param_groups):
            own_masks = group.pop("masks", None) or [None] * len(group["params"])
            if len(own_masks) != len(group["params"]):
                raise ValueError(f"masks must hold {len(group['params'])} arrays or None, as params, got {len(own_masks)}")
            for value, mask in zip(group["params"], own_masks, strict=True):
                array = self._array(value, names[len(arrays)])
                if array.dtype not in (np.float32, np.float64, np.uint16):
                    raise TypeError(
                        f"{names[len(arrays)]} must have dtype float32, float64 or bfloat16, got {array.dtype}"
                    )
                masks.append(_as_mask(mask, array, names[len(arrays)]))
                arrays.append(array)
                self._owners.append(i)
        if not arrays:
            raise ValueError("params must hold at least one array")
        grad_names = [name.replace("params", "grads") for name in names]
        self._grad_names = grad_names
        self._update = self._make_update(arrays, names, grad_names, masks, state_dtype, master_weights)
        self.grad_norm: float | None = None
        self.n_threads = n_threads

    def _make_update(
        self, params: list[Array], names: list[str], grad_names: list[str], masks: list[Array | None],
        state_dtype: str, master_weights: bool,
    ) -> Any:
        """Parameters and state, checked once, with the step over them."""
        return Update(self._family, params, names, grad_names, self._owners, state_dtype, master_weights, masks)

    def _option_names(self) -> Sequence[str]:
        """Of the rule's options, in the order in which they are saved."""
        return OPTIONS[self._family]

    def _group(self, group: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(group, Mapping):
            raise TypeError(f"params must hold either arrays or dicts, got {type(group).__name__} beside a dict")
        unknown = sorted(set(group) - set(options) - {"params", "masks"})
        if "params" not in group or unknown:
            raise ValueError(
                f"a group must have params and may have masks and {', '.join(options)}, got {', '.join(map(str, group))}"
            )
        params = group["params"]
        taken = {**options, **group, "params": list(params) if isinstance(params, (list, tuple)) else [params]}
        self._check_options(taken)
        return taken

    def _group_of(self, i: int) -> dict[str, Any]:
        """The options of parameter i."""
        return self.param_groups[self._owners[i]]

    def _array(self, value: Any, name: str) -> Array:
        """The caller's memory; bfloat16 as uint16."""
        return view_memory(value, name, dtype=self._dtype)[0]

    @property
    def params(self) -> Any:
        """The parameters as they were given: one array, or a list of arrays."""
        params = [param for group in self.param_groups for param in group["params"]]
        return params if self._is_list else params[0]

    @property
    def lr(self) -> Any:
        """Learning rate; setting it sets that of all groups, reading needs one that they share."""
        rates = {group["lr"] for group in self.param_groups}
        if len(rates) != 1:
            raise ValueError(f"the groups have learning rates of their own, {sorted(rates)}: read param_groups")
        return rates.pop()

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
        """Raise for values of the options that the rule refuses."""
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
            that is below 1, as ``torch.nn.utils.clip_grad_norm_`` does, without writing them.
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
        if grad_scale != 1.0:
            factor = 1.0 / _positive(grad_scale, "grad_scale")
        if max_value is not None:
            clip = _positive(max_value, "max_value")
        if max_norm is not None or check_finite is not False:
            if check_finite not in (False, True, "skip"):
                raise ValueError(f"check_finite must be True, False or 'skip', got {check_finite!r}")
            norm, bad = self._norm(arrays)
            self.grad_norm = norm * factor
            if bad is not None and check_finite == "skip":
                return False
            if bad is not None and check_finite:
                raise ValueError(f"{bad} must be finite, but holds NaN or infinity; nothing was changed")
            if max_norm is not None:
                factor *= min(1.0, _positive(max_norm, "max_norm") / (self.grad_norm + 1e-6))
        self._update.step(self.param_groups, arrays, grad_factor=factor, clip=clip, n_threads=self.n_threads)
        return True

    def _grads(self, grads: Arrays) -> list[Array]:
        names = self._grad_names
        if not self._is_list:
            return [self._array(grads, "grads")]
        if not isinstance(grads, (list, tuple)):
            raise TypeError(
                f"grads must be a list of {len(names)} arrays, as params is, got {type(grads).__name__}"
            )
        if len(grads) != len(names):
            raise ValueError(f"grads must hold {len(names)} arrays, as params does, got {len(grads)}")
        return [self._array(grad, name) for grad, name in zip(grads, names, strict=True)]

    def _norm(self, grads: list[Array]) -> tuple[float, str | None]:
        """The norm of all gradients, and the name of the first that is not finite."""
        norm, first = self._update.norm(grads, n_threads=self.n_threads)
        if first < 0:
            return norm, None
        for grad, name in list(zip(grads, self._grad_names, strict=True))[first:]:
            if grad.dtype.itemsize == 2 or not all_finite(grad, n_threads=self.n_threads):
                return norm, name
        # all finite, and yet too large for their squares
        largest = max(float(np.abs(grad).max(initial=0)) for grad in grads)
        squares = sum(float(np.square(part / largest).sum()) for grad in grads for part in parts(grad))
        return largest * math.sqrt(squares), None

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
            str, a tuple for ``betas``; with several groups ``groups.0.lr`` and so on), and copies of the arrays of
            state, ``exp_avg.0`` for the first parameter and so on: of the parameter's dtype, uint16 for bfloat16
            state, or uint8 codes and ``exp_avg_unit.0``, float32, for the units of their blocks.
            ``numpy.savez(path, **state)`` saves it and ``numpy.load(path)`` gives back what ``load_state_dict``
            takes.
        """
        state: dict[str, Any] = {"rule": type(self).__name__, "step": self.n_steps}
        for i, (group, progress) in enumerate(zip(self.param_groups, self._update.get_progress(), strict=True)):
            state.update((self._prefix(i) + name, value) for name, value in self._options_of(group).items())
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
        names = self._option_names()
        counted = COUNTED.get(self._family, ())
        scalars = [self._prefix(i) + name for i in range(len(self.param_groups)) for name in (*names, *counted)]
        if missing := sorted({"step", *scalars} - set(state)):
            raise ValueError(f"state lacks {', '.join(missing)}")
        groups = [{name: _plain(state[self._prefix(i) + name]) for name in names} for i in range(len(self.param_groups))]
        for group in groups:
            self._check_options(group)
        n_steps = _plain(state["step"])
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or not 0 <= n_steps < 2**53:
            raise ValueError(f"step in state must be a non-negative integer, got {n_steps!r}")
        kept = groups
        if self._family == "SGD":  # the buffer is made by the first step with momentum, and stays
            has_buffer = any(name.startswith("momentum_buffer.") for name in state)
            kept = [{**group, "momentum": float(has_buffer)} for group in groups]
        expected = self._update.expected_states(kept)
        if n_steps == 0 and not any(f"{name}.0" in state for name in expected[0] if name != "master"):
            expected = [{name: kind for name, kind in own.items() if name == "master"} for own in expected]
        arrays = {f"{name}.{i}" for i, own in enumerate(expected) for name in own}
        if missing := sorted(arrays - set(state)):
            raise ValueError(f"state lacks {', '.join(missing)}")
        if unknown := sorted(set(state) - arrays - {"rule", "step", *scalars}):
            raise ValueError(
                f"state has entries unknown to {rule} of {len(expected)} parameters: {', '.join(unknown)}"
            )
        states = [
            {name: _checked_state(state[f"{name}.{i}"], f"{name}.{i}", *kind) for name, kind in own.items()}
            for i, own in enumerate(expected)
        ]
        progress = self._update.get_progress()
        for i, own in enumerate(progress):
            own["step"] = float(n_steps)
            for name in counted:
                own[name] = _positive(_plain(state[self._prefix(i) + name]), name, zero=True)
        self._update.set_states(states)
        self._update.set_progress(progress)
        for group, taken in zip(self.param_groups, groups, strict=True):
            group.update(taken)


def _positive(value: Any, name: str, zero: bool = False) -> float:
    number = float(value) if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) else math.nan
    if not (number > 0 or (zero and number == 0)) or not math.isfinite(number):
        raise ValueError(f"{name} must be a {'non-negative' if zero else 'positive'} number, got {value!r}")
    return number


def parts(array: Array) -> Iterable[Array]:
    """Pieces of an array, small enough for temporaries."""
    flat = array.reshape(-1)
    return (flat[start : start + 65536] for start in range(0, flat.size, 65536))


def _as_mask(mask: Any, param: Array, name: str) -> Array | None:
    if mask is None:
        return None
    array = np.ascontiguousarray(mask)
    if array.dtype != np.bool_ or array.shape != param.shape:
        raise ValueError(
            f"the mask of {name} must be boolean of its shape, {param.shape}, got {array.dtype} {array.shape}"
        )
    return array


def _plain(value: Any) -> Any:
    """A Python value for what may have become an array or a NumPy scalar on its way through a file."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def _checked_state(array: Any, name: str, shape: Sequence[int], dtype: Any) -> Array:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} in state must be a numpy.ndarray, got {type(array).__name__}")
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name} in state must have shape {shape} and dtype {dtype}, as its parameter needs, "
            f"got {array.shape} and {array.dtype}"
        )
    return array
