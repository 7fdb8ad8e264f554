"""Averages of parameters over the steps of a run: exponential, or of equal weights."""
import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from fasttrain.kernels.rules import check_options
from fasttrain.kernels.update import Update, to_bfloat16
from fasttrain.optim._base import Array, Arrays, _check_state, _is_bfloat16, _listed, _plain, parts

STARTS = ("copy", "warmup", "debias")


class AveragedParameters:
    """A running average of parameters, which often generalises better than their last values.

    The first update copies the parameters.  Each later one, with n updates before it, does ::

        average = d * average + (1 - d) * param

        d = n / (n + 1)                                         decay=None: all weights equal
        d = decay                                               start="copy"
        d = min(decay, (1 + n) / (10 + n))                      start="warmup"
        d = decay * (1 - decay^n) / (1 - decay^(n + 1))         start="debias"

    Parameters
    ----------
    params : array or list of arrays
        The memory that the optimizer updates, ``optimizer.params`` for one: float64, float32 or bfloat16, of any shape,
        C-contiguous, not overlapping.  NumPy's, or anything that exports writable CPU memory by DLPack or the buffer
        protocol.  Changed by ``swap()`` alone.
    decay : float, optional
        Of the exponential average, in [0, 1): 0.999 averages over about the last 1,000 updates.  None gives
        stochastic weight averaging: all updates count the same.  May be changed between updates.
    start : {"copy", "warmup", "debias"}
        How an exponential average outgrows its first value.  "copy": by the decay alone, as torch does.
        "warmup": the decay grows, from 2 / 11 at the second update.  "debias": as if it had begun at zero and
        been divided by the sum of its weights, as Adam's means are.
    dtype : {"bfloat16"}, optional
        What arrays of dtype uint16 hold.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result is the same for any number.

    Attributes
    ----------
    averages : ndarray or list of ndarray
        As ``params`` was given: float64 for float64, else float32.  Before the first update copies of the
        parameters.  The memory itself, not a copy; not to be had between two calls of ``swap()``.
    decay, start, n_threads
        As given.
    n_updates : int

    Notes
    -----
    Equal weights and ``start="copy"`` are what ``torch.optim.swa_utils`` calls ``get_swa_avg_fn`` and
    ``get_ema_avg_fn``; "warmup" has TensorFlow's formula, and diffusers' first steps; "debias" is ``optax.ema``.
    NaN and infinity in a parameter pass into the average and stay in an exponential one: take the optimizer's steps
    with ``check_finite`` where that may happen.  Subnormals count as zero.

    P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.
    D. Morales-Brotons, T. Vogels and H. Hendrikx, "Exponential moving average of weights in deep learning", TMLR 2024.

    Examples
    --------
    Noise in the gradients keeps the parameters moving about their target; the average settles:

    >>> import numpy as np
    >>> from fasttrain.optim import SGD, AveragedParameters
    >>> rng = np.random.default_rng(0)
    >>> target = np.array([3.0, -1.0])
    >>> theta = np.zeros(2)
    >>> optimizer = SGD(theta, lr=0.3)
    >>> averaged = AveragedParameters(theta, decay=0.999, start="debias")
    >>> for step in range(2000):
    ...     taken = optimizer.step(theta - target + rng.normal(size=2))
    ...     averaged.update()
    >>> theta.round(1), averaged.averages.round(1)
    (array([ 2.8, -0.7]), array([ 3., -1.]))

    Evaluate with the average, then go on:

    >>> with averaged.swapped():
    ...     print(theta.round(1))
    [ 3. -1.]
    >>> theta.round(1)
    array([ 2.8, -0.7])
    """

    def __init__(
        self,
        params: Arrays,
        decay: float | None = None,
        *,
        start: str = "copy",
        dtype: Literal["bfloat16"] | None = None,
        n_threads: int | None = None,
    ) -> None:
        listed = _listed(params)
        self._is_list = listed is not None
        given = [params] if listed is None else list(listed)
        if not given:
            raise ValueError("params must hold at least one array, got an empty list")
        _check(decay, start)
        names = [f"params[{i}]" if self._is_list else "params" for i in range(len(given))]
        owners, masks = [0] * len(given), [None] * len(given)
        # the parameters' memory, and the checks of an optimizer over it
        self._params: list[Array] = Update(
            "average", given, names, names, owners, "float32", False, masks, _is_bfloat16(dtype), n_threads
        ).params
        self._averages: list[Array] = [
            np.empty(param.shape, np.float64 if param.dtype == np.float64 else np.float32) for param in self._params
        ]
        average_names = [name.replace("params", "averages") for name in names]
        self._update = Update("average", self._averages, average_names, names, owners, "float32", True, masks, True)
        self._copy()
        self._held: list[Array] | None = None  # bfloat16 parameters, while they hold averages
        self.decay = decay
        self.start = start
        self.n_updates = 0
        self.n_threads = n_threads

    @property
    def averages(self) -> Any:
        self._check_unswapped("averages")
        return list(self._averages) if self._is_list else self._averages[0]

    def update(self) -> None:
        """Take the parameters as they are now into the average.

        Raises
        ------
        TypeError, ValueError
            For a decay or start that was set to another value than those allowed, between two calls of
            ``swap()``, and for parameters that were resized.  Nothing has been changed then.
        """
        self._check_unswapped("update")
        self._update.step([{"decay": self._next_decay()}], self._params, n_threads=self.n_threads)
        if self.n_updates == 0:  # the copy itself, also where there was NaN
            self._copy()
        self.n_updates += 1

    def swap(self) -> None:
        """Exchange averages and parameters, in place; the second call brings back every bit of both.

        bfloat16 parameters then hold the averages rounded to nearest, and are kept aside.  Take no step of the
        optimizer in between.

        Raises
        ------
        ValueError
            For parameters that were resized or made read-only.  Nothing has been changed then.
        """
        for i, (param, average) in enumerate(zip(self._params, self._averages, strict=True)):
            if not param.flags.writeable or param.shape != average.shape:
                name = f"params[{i}]" if self._is_list else "params"
                raise ValueError(f"{name} was resized or made read-only after the averages were made")
        kept = self._held
        self._held = [param.copy() for param in self._params if param.dtype == np.uint16] if kept is None else None
        rest = iter(kept or [])
        for param, average in zip(self._params, self._averages, strict=True):
            if param.dtype == np.uint16 and kept is not None:
                param[...] = next(rest)
                continue
            for one, other in zip(parts(param), parts(average), strict=True):
                if param.dtype == np.uint16:
                    one[...] = to_bfloat16(other)
                else:
                    values = one.copy()
                    one[...] = other
                    other[...] = values

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """A ``with`` block in which the parameters hold the averages: ``swap()`` before and after it."""
        self._check_unswapped("swapped")
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """All that a later ``load_state_dict`` needs to go on bit for bit.

        Returns
        -------
        dict
            Flat, of plain values: ``n_updates`` (int), ``start`` (str), ``decay`` (float; left out where it is
            None), and copies of the averages, ``average.0`` for the first parameter and so on.
        """
        self._check_unswapped("state_dict")
        state: dict[str, Any] = {"n_updates": self.n_updates, "start": self.start}
        if self.decay is not None:
            state["decay"] = float(self.decay)
        state.update((f"average.{i}", average.copy()) for i, average in enumerate(self._averages))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: averages, count of updates and options.

        Parameters
        ----------
        state : mapping
            From ``state_dict()`` over parameters of the same shapes and dtypes in the same order, or what a file of it
            gives back.

        Raises
        ------
        TypeError, ValueError
            For missing or unknown entries, bad values, arrays of another shape or dtype.  Nothing has been changed
            then.
        """
        self._check_unswapped("load_state_dict")
        names = [f"average.{i}" for i in range(len(self._averages))]
        if missing := sorted({"n_updates", "start", *names} - set(state)):
            raise ValueError(f"state lacks {', '.join(missing)}")
        if unknown := sorted(set(state) - {"n_updates", "start", "decay", *names}):
            raise ValueError(f"state has entries unknown to averages of {len(names)} parameters: {', '.join(unknown)}")
        n_updates, start = _plain(state["n_updates"]), _plain(state["start"])
        decay = _plain(state["decay"]) if "decay" in state else None
        if isinstance(n_updates, bool) or not isinstance(n_updates, int) or n_updates < 0:
            raise ValueError(f"n_updates in state must be a non-negative integer, got {n_updates!r}")
        _check(decay, start)
        for name, average in zip(names, self._averages, strict=True):
            _check_state(state[name], name, average.shape, average.dtype)
        for name, average in zip(names, self._averages, strict=True):
            average[...] = state[name]
        self.n_updates, self.start, self.decay = n_updates, start, decay

    def _next_decay(self) -> float:
        _check(self.decay, self.start)
        n = self.n_updates
        if self.decay is None:
            return n / (n + 1)
        decay = float(self.decay)
        if self.start == "warmup":
            return min(decay, (1 + n) / (10 + n))
        if self.start == "debias" and decay > 0:
            log = math.log(decay)  # 1 - decay^n with every digit
            return decay * (math.expm1(n * log) / math.expm1((n + 1) * log))
        return decay

    def _copy(self) -> None:
        for param, average in zip(self._params, self._averages, strict=True):
            if param.dtype == np.uint16:
                bits = average.view(np.uint32)
                bits[...] = param
                bits <<= 16
            else:
                average[...] = param

    def _check_unswapped(self, name: str) -> None:
        if self._held is not None:
            raise ValueError(f"{name} needs the parameters in their place: call swap() once more")


def _check(decay: Any, start: Any) -> None:
    if start not in STARTS:
        raise ValueError(f"start must be 'copy', 'warmup' or 'debias', got {start!r}")
    if decay is not None:
        check_options("average", {"decay": decay})
    elif start != "copy":
        raise ValueError(f"start={start!r} is of the exponential average: it needs a decay")
