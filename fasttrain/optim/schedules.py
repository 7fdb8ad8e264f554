"""How fast to learn: schedules of the learning rate.

A schedule is a small frozen object that is called with the number of updates made so far::

    optimizer.lr = schedule(step)        step = 0, 1, 2, ...; 0 before the first update

Each is a closed form of the step and holds no state: a run is resumed by its step count alone, steps may be
asked for in any order, and no rounding adds up.  Places within a period are found in integers, so
they are exact for huge steps.  "Step" may as well count epochs.  An array of steps gives the array of learning
rates, as plots want it.  Schedules can be compared, hashed and pickled.  :class:`ReduceLROnPlateau` is the one
that needs more than the step, and has a state.

Names, parameters, defaults and values are those of ``torch.optim.lr_scheduler``, with the learning rate in the
optimizer's place; :class:`Constant` and :class:`LinearWarmup` mean something else than torch's ``ConstantLR`` and
``LinearLR`` and are named otherwise.  Most of torch's schedulers multiply the last learning rate by a ratio, so
their rounding adds up: over some hundred steps they differ from these by less than 1e-12 of the value.

Bad arguments raise TypeError or ValueError when the schedule is made, bad steps when it is called.

Examples
--------
Five steps of warm-up, then half a cosine down to zero:

>>> import numpy as np
>>> from fasttrain.optim import SGD, CosineAnnealingLR, LinearWarmup
>>> schedule = LinearWarmup(CosineAnnealingLR(0.5, T_max=45), total_iters=5)
>>> target = np.array([3.0, -1.0])
>>> theta = np.zeros(2)
>>> optimizer = SGD(theta, momentum=0.5)
>>> for step in range(50):
...     optimizer.lr = schedule(step)
...     taken = optimizer.step(theta - target)
>>> theta.round(3)
array([ 3., -1.])
>>> schedule(np.array([0, 5, 50])).round(3)
array([0.167, 0.5  , 0.   ])
"""
import math
import numbers
import operator
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, SupportsFloat, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from fasttrain.optim._base import _plain

__all__ = [
    "Constant",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearWarmup",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

Step: TypeAlias = int | np.integer[Any]
Steps: TypeAlias = npt.NDArray[np.integer[Any]]
Rates: TypeAlias = npt.NDArray[np.float64]


# ---- checks of arguments: each gives back the plain value -------------------------------------------------

def _number(value: Any, name: str, low: float = 0.0, high: float = math.inf) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (low <= number <= high and math.isfinite(number)):
        limits = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be a finite number {limits}, got {value!r}")
    return number


def _positive_number(value: Any, name: str) -> float:
    number = _number(value, name)
    if number == 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def _fraction(value: Any, name: str) -> float:
    return _number(value, name, 0.0, 1.0)


def _integer(value: Any, name: str, low: int = 0) -> int:
    try:
        integer = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        integer = None
    if integer is None:
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if integer < low:
        raise ValueError(f"{name} must be at least {low}, got {integer}")
    return integer


def _positive_integer(value: Any, name: str) -> int:
    return _integer(value, name, 1)


def _choice(*choices: str) -> Callable[[Any, str], str]:
    def check(value: Any, name: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
        return value

    return check


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _sequence(value: Any, name: str) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, (Sequence, np.ndarray)):
        raise TypeError(f"{name} must be a list or a tuple, got {type(value).__name__}")
    return tuple(value)


def _milestones(value: Any, name: str) -> tuple[int, ...]:
    milestones = tuple(_integer(step, f"{name}[{i}]") for i, step in enumerate(_sequence(value, name)))
    if list(milestones) != sorted(milestones):
        raise ValueError(f"{name} must be in ascending order, got {list(milestones)}")
    return milestones


def _schedule(value: Any, name: str) -> Callable[[int], float]:
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{name} must be a schedule, callable with a step, got {value!r}")
    return value


def _schedules(value: Any, name: str) -> tuple[Callable[[int], float], ...]:
    return tuple(_schedule(schedule, f"{name}[{i}]") for i, schedule in enumerate(_sequence(value, name)))


def _set_checked(instance: Any, **checks: Callable[[Any, str], Any]) -> None:
    """Replace each of these attributes by what its check gives back, in frozen objects too."""
    for name, check in checks.items():
        object.__setattr__(instance, name, check(getattr(instance, name), name))


# ---- arithmetic -------------------------------------------------------------------------------------------

_BEYOND_FLOATS = 2**1023  # a count this large is as good as any larger one, and still converts to a float


def _decayed(lr: float, gamma: float, n_decays: int) -> float:
    """lr * gamma^n_decays: 0 or infinity where the power leaves the range of floats."""
    try:
        return lr * gamma ** min(n_decays, _BEYOND_FLOATS)
    except OverflowError:
        return math.inf if lr > 0 else 0.0


def _between(start: float, end: float, share: float) -> float:
    """share * start + (1 - share) * end, exact at both ends and where they are equal."""
    if share < 0.5:
        return end + (start - end) * share
    return start + (end - start) * (1.0 - share)


def _cosine_share(left: float) -> float:
    """(1 + cos(pi * (1 - left))) / 2 by a formula that keeps its relative accuracy where it nears 0."""
    return math.sin(0.5 * math.pi * left) ** 2


def _each(function: Callable[[int], float], step: Step | Steps) -> Any:
    if isinstance(step, np.ndarray):
        rates = [function(_integer(one, "step")) for one in step.ravel().tolist()]
        return np.array(rates, dtype=np.float64).reshape(step.shape)
    return function(_integer(step, "step"))


# ---- schedules --------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Schedule:
    """What the schedules share: the call."""

    @overload
    def __call__(self, step: Step) -> float: ...
    @overload
    def __call__(self, step: Steps) -> Rates: ...
    def __call__(self, step: Step | Steps) -> float | Rates:
        """Learning rate of the update that follows `step` others.

        Parameters
        ----------
        step : int or ndarray of int
            From 0; of any size.

        Returns
        -------
        float or ndarray of float64
            Of the shape of `step`.

        Raises
        ------
        TypeError, ValueError
            For a step that is no integer, or negative.
        """
        return _each(self._at, step)

    def _at(self, step: int) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(_Schedule):
    """The same learning rate at every step: lr(t) = lr.

    For the places that want a schedule, such as :class:`LinearWarmup` and :class:`SequentialLR`.

    Parameters
    ----------
    lr : float
        At least 0.

    Notes
    -----
    Not ``torch.optim.lr_scheduler.ConstantLR``, which holds back the learning rate by a factor for its first
    steps.  It is ``optax.constant_schedule``.

    Examples
    --------
    >>> from fasttrain.optim import Constant
    >>> Constant(0.1)(1_000_000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        _set_checked(self, lr=_number)

    def _at(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class StepLR(_Schedule):
    """Decay by a factor every `step_size` steps.

    ::

        lr(t) = lr * gamma^floor(t / step_size)

    Parameters
    ----------
    lr : float
        At the start; at least 0.
    step_size : int
        Steps from one decay to the next; at least 1.
    gamma : float, default 0.1
        At least 0; above 1 the learning rate grows.

    Notes
    -----
    ``torch.optim.lr_scheduler.StepLR``.  In Keras and optax it is the exponential decay with
    ``staircase=True``.

    Examples
    --------
    >>> from fasttrain.optim import StepLR
    >>> schedule = StepLR(0.8, step_size=30, gamma=0.5)
    >>> [schedule(step) for step in (0, 29, 30, 60)]
    [0.8, 0.8, 0.4, 0.2]
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _set_checked(self, lr=_number, step_size=_positive_integer, gamma=_number)

    def _at(self, step: int) -> float:
        return _decayed(self.lr, self.gamma, step // self.step_size)


@dataclass(frozen=True)
class MultiStepLR(_Schedule):
    """Decay by a factor at each of the given steps.

    ::

        lr(t) = lr * gamma^(number of milestones <= t)

    Parameters
    ----------
    lr : float
        At the start; at least 0.
    milestones : sequence of int
        Steps from which on the learning rate is lower, in ascending order.  One that stands twice counts twice.
    gamma : float, default 0.1
        At least 0; above 1 the learning rate grows.

    Notes
    -----
    ``torch.optim.lr_scheduler.MultiStepLR``, and ``optax.piecewise_constant_schedule`` with equal factors.
    Keras's ``PiecewiseConstantDecay`` still has the old value at the boundary: it changes one step later.

    K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR 2016, divide by 10
    after 32000 and 48000 steps.

    Examples
    --------
    >>> from fasttrain.optim import MultiStepLR
    >>> schedule = MultiStepLR(0.8, milestones=[30, 80], gamma=0.5)
    >>> [schedule(step) for step in (29, 30, 79, 80)]
    [0.8, 0.4, 0.4, 0.2]
    """

    lr: float
    milestones: Sequence[int]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _set_checked(self, lr=_number, milestones=_milestones, gamma=_number)

    def _at(self, step: int) -> float:
        return _decayed(self.lr, self.gamma, bisect_right(self.milestones, step))


@dataclass(frozen=True)
class ExponentialLR(_Schedule):
    """Decay by a factor in every step.

    ::

        lr(t) = lr * gamma^t

    Parameters
    ----------
    lr : float
        At the start; at least 0.
    gamma : float
        At least 0; above 1 the learning rate grows, as in a search for the largest one that still trains.

    Notes
    -----
    ``torch.optim.lr_scheduler.ExponentialLR``.  Keras and optax have ``lr * decay_rate^(t / decay_steps)``
    (``transition_steps`` in optax): gamma is ``decay_rate ** (1 / decay_steps)``.

    A. Senior, G. Heigold, M. Ranzato and K. Yang, "An empirical study of learning rates in deep neural networks
    for speech recognition", ICASSP 2013.

    Examples
    --------
    >>> from fasttrain.optim import ExponentialLR
    >>> schedule = ExponentialLR(1.0, gamma=0.5)
    >>> [schedule(step) for step in (0, 1, 2, 3)]
    [1.0, 0.5, 0.25, 0.125]
    """

    lr: float
    gamma: float

    def __post_init__(self) -> None:
        _set_checked(self, lr=_number, gamma=_number)

    def _at(self, step: int) -> float:
        return _decayed(self.lr, self.gamma, step)


@dataclass(frozen=True)
class PolynomialLR(_Schedule):
    """A power of the steps that are left; with power 1 a straight line.

    ::

        lr(t) = end_lr + (lr - end_lr) * (1 - min(t, total_iters) / total_iters)^power

    Parameters
    ----------
    lr : float
        At the start; at least 0.
    total_iters : int, default 5
        The step from which on the learning rate is `end_lr`; at least 1.
    power : float, default 1
        At least 0.
    end_lr : float, default 0
        At least 0.

    Notes
    -----
    ``torch.optim.lr_scheduler.PolynomialLR``, which ends at 0.  Keras's ``PolynomialDecay`` ends at 1e-4 unless
    told otherwise, and can start anew (``cycle``); ``optax.polynomial_schedule`` has no default for its end.

    L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy and A. L. Yuille, "DeepLab: semantic image segmentation
    with deep convolutional nets, atrous convolution, and fully connected CRFs", IEEE TPAMI 40(4), 2018, with
    power 0.9.

    Examples
    --------
    >>> from fasttrain.optim import PolynomialLR
    >>> schedule = PolynomialLR(1.0, total_iters=4, power=2)
    >>> [schedule(step) for step in (0, 1, 2, 4, 5)]
    [1.0, 0.5625, 0.25, 0.0, 0.0]
    """

    lr: float
    total_iters: int = 5
    power: float = 1.0
    end_lr: float = 0.0

    def __post_init__(self) -> None:
        _set_checked(self, lr=_number, total_iters=_positive_integer, power=_number, end_lr=_number)

    def _at(self, step: int) -> float:
        left = max(self.total_iters - step, 0) / self.total_iters
        return _between(self.lr, self.end_lr, left**self.power)


@dataclass(frozen=True)
class CosineAnnealingLR(_Schedule):
    """Half a cosine from the learning rate down to its minimum.

    ::

        lr(t) = eta_min + (lr - eta_min) * (1 + cos(pi * t / T_max)) / 2

    Parameters
    ----------
    lr : float
        At the start; at least 0.
    T_max : int
        The step at which the minimum is reached; at least 1.
    eta_min : float, default 0
        The minimum; at least 0.

    Notes
    -----
    ``torch.optim.lr_scheduler.CosineAnnealingLR``: after T_max the cosine climbs again, with period 2 * T_max.
    Keras's ``CosineDecay`` and ``optax.cosine_decay_schedule`` stay at the minimum, which they take as a fraction
    of the learning rate (``alpha``); so does
    ``SequentialLR([CosineAnnealingLR(lr, T_max, eta_min), Constant(eta_min)], [T_max])``.

    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.

    Examples
    --------
    >>> from fasttrain.optim import CosineAnnealingLR
    >>> schedule = CosineAnnealingLR(0.5, T_max=100, eta_min=0.1)
    >>> [round(schedule(step), 4) for step in (0, 50, 100, 200)]
    [0.5, 0.3, 0.1, 0.5]
    """

    lr: float
    T_max: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        _set_checked(self, lr=_number, T_max=_positive_integer, eta_min=_number)

    def _at(self, step: int) -> float:
        left = abs(self.T_max - step % (2 * self.T_max)) / self.T_max
        return _between(self.lr, self.eta_min, _cosine_share(left))


@dataclass(frozen=True)
class CosineAnnealingWarmRestarts(_Schedule):
    """Half cosines one after the other, each `T_mult` times as long as the one before.

    ::

        lr(t) = eta_min + (lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2

    where T_i = T_0 * T_mult^i is the length of the cycle that t falls in, and T_cur the steps since it began.

    Parameters
    ----------
    lr : float
        At the start of each cycle; at least 0.
    T_0 : int
        Length of the first cycle; at least 1.
    T_mult : int, default 1
        At least 1.
    eta_min : float, default 0
        The minimum, one step short of which each cycle ends; at least 0.

    Notes
    -----
    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``.  Keras's ``CosineDecayRestarts`` doubles the length
    unless told otherwise (``t_mul=2``), may lower the start of each cycle (``m_mul``) and takes the minimum as a
    fraction of the learning rate (``alpha``); ``optax.sgdr_schedule`` takes a list of cycles, each with a warm-up.

    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.

    Examples
    --------
    >>> from fasttrain.optim import CosineAnnealingWarmRestarts
    >>> schedule = CosineAnnealingWarmRestarts(1.0, T_0=10, T_mult=2)
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 20, 30)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    lr: float
    T_0: int
    T_mult: int = 1
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        _set_checked(self, lr=_number, T_0=_positive_integer, T_mult=_positive_integer, eta_min=_number)

    def _at(self, step: int) -> float:
        length = self.T_0
        if self.T_mult == 1:
            step %= length
        # a logarithm would find the cycle at once, but its rounding misses the first step of some
        while step >= length:
            step -= length
            length *= self.T_mult
        return _between(self.lr, self.eta_min, _cosine_share((length - step) / length))


@dataclass(frozen=True)
class LinearWarmup(_Schedule):
    """A straight rise to the start of another schedule, which follows.

    ::

        lr(t) = schedule(0) * (start_factor + (1 - start_factor) * t / total_iters)    for t < total_iters
        lr(t) = schedule(t - total_iters)                                              from then on

    Parameters
    ----------
    schedule : callable
        Of the step: one of this module or any function.
    total_iters : int
        Steps of the rise; the full learning rate is first used in the step after them.  0 is none.
    start_factor : float, default 1/3
        Where the rise starts, as a part of ``schedule(0)``; from 0 to 1.  With 0 the first update changes nothing;
        with ``1 / (total_iters + 1)`` the learning rate is ``(t + 1) / (total_iters + 1)`` of the full one.

    Notes
    -----
    ``torch.optim.lr_scheduler.SequentialLR`` of a ``LinearLR`` and the schedule, with its milestone at
    total_iters.  Keras's ``CosineDecay(warmup_target, warmup_steps)`` starts from an absolute value, and its
    decay_steps begin after the warm-up, as T_max does here; the decay_steps of
    ``optax.warmup_cosine_decay_schedule`` include the warm-up.

    P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677, section 2.2.

    Examples
    --------
    >>> from fasttrain.optim import LinearWarmup, StepLR
    >>> schedule = LinearWarmup(StepLR(0.8, step_size=10), total_iters=4, start_factor=0)
    >>> [round(schedule(step), 4) for step in (0, 1, 2, 4, 13, 14)]
    [0.0, 0.2, 0.4, 0.8, 0.8, 0.08]
    """

    schedule: Callable[[int], float]
    total_iters: int
    start_factor: float = 1 / 3

    def __post_init__(self) -> None:
        _set_checked(self, schedule=_schedule, total_iters=_integer, start_factor=_fraction)

    def _at(self, step: int) -> float:
        if step >= self.total_iters:
            return float(self.schedule(step - self.total_iters))
        full = float(self.schedule(0))
        return _between(full * self.start_factor, full, (self.total_iters - step) / self.total_iters)


@dataclass(frozen=True)
class OneCycleLR(_Schedule):
    """One rise to a large learning rate and one fall far below its start, and the momentum the other way.

    With n = total_steps, initial = max_lr / div_factor and last = initial / final_div_factor, the learning rate
    (the momentum) moves through the phases::

        steps 0 to pct_start * n - 1             initial -> max_lr        (max_momentum -> base_momentum)
        up to step n - 1                         max_lr  -> last          (base_momentum -> max_momentum)

    or, with three_phase::

        steps 0 to pct_start * n - 1             initial -> max_lr        (max_momentum -> base_momentum)
        up to step 2 * pct_start * n - 2         max_lr  -> initial       (base_momentum -> max_momentum)
        up to step n - 1                         initial -> last          (max_momentum)

    From start to end a phase is, with p the part of it that has passed::

        end + (start - end) * (1 + cos(pi * p)) / 2         anneal_strategy 'cos'
        start + (end - start) * p                           anneal_strategy 'linear'

    From step n - 1 on, both keep their last values.

    Parameters
    ----------
    max_lr : float
        At least 0.
    total_steps : int
        Of the whole cycle; at least 1.
    pct_start : float, default 0.3
        The part of the steps that rises; from 0 to 1, with three_phase to 0.5.
    anneal_strategy : {'cos', 'linear'}
    base_momentum, max_momentum : float, default 0.85 and 0.95
        At least 0.
    div_factor, final_div_factor : float, default 25 and 1e4
        Positive.
    three_phase : bool, default False
        The cycle of the paper, which comes back to its start before the last phase.

    Notes
    -----
    ``torch.optim.lr_scheduler.OneCycleLR``, which can take total_steps as a product, sets the momentum itself, and
    raises past its last step and where a phase has no length.
    ``optax.cosine_onecycle_schedule`` peaks at step int(pct_start * n) and ends at step n, each one later;
    ``optax.linear_onecycle_schedule`` has three phases, the second up to ``pct_final``.  Keras has none.

    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", arXiv:1708.07120; two phases of cosines are fastai's.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import SGD, OneCycleLR
    >>> schedule = OneCycleLR(0.5, total_steps=200)
    >>> theta = np.zeros(2)
    >>> optimizer = SGD(theta)
    >>> for step in range(200):
    ...     optimizer.set_options(lr=schedule(step), momentum=schedule.momentum(step))
    ...     taken = optimizer.step(theta - np.array([3.0, -1.0]))
    >>> theta.round(2)
    array([ 3., -1.])
    >>> [round(schedule(step), 6) for step in (0, 59, 199)]
    [0.02, 0.5, 2e-06]
    >>> [round(schedule.momentum(step), 6) for step in (0, 59, 199)]
    [0.95, 0.85, 0.95]
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        _set_checked(
            self,
            max_lr=_number,
            total_steps=_positive_integer,
            pct_start=_fraction,
            anneal_strategy=_choice("cos", "linear"),
            base_momentum=_number,
            max_momentum=_number,
            div_factor=_positive_number,
            final_div_factor=_positive_number,
            three_phase=_boolean,
        )
        if self.three_phase and self.pct_start > 0.5:
            raise ValueError(f"pct_start must be at most 0.5 with three_phase=True, got {self.pct_start!r}")

    @overload
    def momentum(self, step: Step) -> float: ...
    @overload
    def momentum(self, step: Steps) -> Rates: ...
    def momentum(self, step: Step | Steps) -> float | Rates:
        """Momentum of the update that follows `step` others.

        The bound method is a schedule of its own, to hand on where one is wanted.  For Adam it is b1:
        ``optimizer.set_options(betas=(schedule.momentum(step), 0.999))``.

        Parameters
        ----------
        step : int or ndarray of int
            From 0; of any size.

        Returns
        -------
        float or ndarray of float64
            Of the shape of `step`.

        Raises
        ------
        TypeError, ValueError
            For a step that is no integer, or negative.
        """
        return _each(self._momentum_at, step)

    def _momentum_at(self, step: int) -> float:
        return self._annealed(step, (self.max_momentum, self.base_momentum, self.max_momentum, self.max_momentum))

    def _at(self, step: int) -> float:
        initial = self.max_lr / self.div_factor
        last = initial / self.final_div_factor
        back = (initial,) if self.three_phase else ()
        return self._annealed(step, (initial, self.max_lr, *back, last))

    def _annealed(self, step: int, corners: tuple[float, ...]) -> float:
        """The value at `step`; phase i goes from corner i to corner i + 1."""
        rise, last_step = self.pct_start * self.total_steps, self.total_steps - 1
        bounds = (0.0, rise - 1, 2 * rise - 2, last_step) if self.three_phase else (0.0, rise - 1, last_step)
        step = min(step, last_step)
        phase = 0
        while phase < len(bounds) - 2 and step > bounds[phase + 1]:
            phase += 1
        begin, end = bounds[phase], bounds[phase + 1]
        left = (end - step) / (end - begin) if end > begin else 0.0  # a phase without length is at its end
        share = _cosine_share(left) if self.anneal_strategy == "cos" else left
        return _between(corners[phase], corners[phase + 1], share)


@dataclass(frozen=True)
class SequentialLR(_Schedule):
    """Schedules one after the other, each counting its own steps from 0.

    ::

        lr(t) = schedules[i](t - milestones[i - 1])    with i the number of milestones <= t,

    and schedules[0](t) before the first milestone.

    Parameters
    ----------
    schedules : sequence of callable
        Each of the step: of this module or any function.
    milestones : sequence of int
        The first step of every schedule but the first, in ascending order.

    Notes
    -----
    ``torch.optim.lr_scheduler.SequentialLR`` and ``optax.join_schedules``.  Here each schedule has a learning
    rate of its own; torch's start from that of the optimizer.  Keras has none.

    Examples
    --------
    >>> from fasttrain.optim import Constant, ExponentialLR, SequentialLR
    >>> schedule = SequentialLR([Constant(0.1), ExponentialLR(0.8, gamma=0.5)], milestones=[20])
    >>> [schedule(step) for step in (0, 19, 20, 21)]
    [0.1, 0.1, 0.8, 0.4]
    """

    schedules: Sequence[Callable[[int], float]]
    milestones: Sequence[int]

    def __post_init__(self) -> None:
        _set_checked(self, schedules=_schedules, milestones=_milestones)
        if len(self.schedules) != len(self.milestones) + 1:
            raise ValueError(
                "milestones must be one fewer than the schedules, "
                f"got {len(self.milestones)} for {len(self.schedules)} schedules"
            )

    def _at(self, step: int) -> float:
        i = bisect_right(self.milestones, step)
        return float(self.schedules[i](step - self.milestones[i - 1] if i else step))


# ---- by a metric ------------------------------------------------------------------------------------------

@dataclass
class ReduceLROnPlateau:
    """Lower the learning rate when a metric has stopped improving.

    Each ``update(value)`` counts the values since the last improvement.  When there are more than `patience`::

        lr = max(lr * factor, min_lr)        unless that changes it by no more than eps

    and the count starts anew, after `cooldown` further values.  A value improves on the best one so far if::

        value < best * (1 - threshold)       mode 'min', threshold_mode 'rel'
        value < best - threshold             mode 'min', threshold_mode 'abs'
        value > best * (1 + threshold)       mode 'max', threshold_mode 'rel'
        value > best + threshold             mode 'max', threshold_mode 'abs'

    'rel' is for metrics that are not negative.  NaN never improves.

    Parameters
    ----------
    lr : float
        At the start; at least 0.  The attribute ``lr`` is the current one.  With 1 it is a factor for another
        schedule: ``optimizer.lr = schedule(step) * plateau.lr``.
    mode : {'min', 'max'}
        Whether small or large values are good.
    factor : float, default 0.1
        At least 0, below 1.
    patience : int, default 10
        Values without improvement that are borne with.
    threshold : float, default 1e-4
        At least 0.
    threshold_mode : {'rel', 'abs'}
    cooldown : int, default 0
        Values after a reduction that are not counted against it.
    min_lr : float, default 0
        At least 0.
    eps : float, default 1e-8
        At least 0.

    Notes
    -----
    ``torch.optim.lr_scheduler.ReduceLROnPlateau``, bit for bit.  Keras's callback of that name and
    ``optax.contrib.reduce_on_plateau`` reduce at the value that makes `patience` without improvement, one
    earlier: their patience of k is k - 1 here.  Keras's ``min_delta`` is a threshold of mode 'abs'.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import SGD, ReduceLROnPlateau
    >>> plateau = ReduceLROnPlateau(0.4, factor=0.5, patience=1)
    >>> optimizer = SGD(np.zeros(2), lr=plateau.lr)
    >>> for validation_loss in (1.0, 0.8, 0.9, 0.8, 0.7):
    ...     optimizer.lr = plateau.update(validation_loss)
    ...     print(optimizer.lr)
    0.4
    0.4
    0.4
    0.2
    0.2
    """

    lr: float
    mode: Literal["min", "max"] = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    best: float = field(init=False, repr=False)
    num_bad_epochs: int = field(init=False, repr=False, default=0)
    cooldown_counter: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        _set_checked(
            self,
            lr=_number,
            mode=_choice("min", "max"),
            factor=_fraction,
            patience=_integer,
            threshold=_number,
            threshold_mode=_choice("rel", "abs"),
            cooldown=_integer,
            min_lr=_number,
            eps=_number,
        )
        if self.factor == 1:
            raise ValueError(f"factor must be below 1, got {self.factor!r}")
        self.best = math.inf if self.mode == "min" else -math.inf

    def update(self, value: SupportsFloat) -> float:
        """Take in the next value of the metric.

        Parameters
        ----------
        value : float

        Returns
        -------
        float
            ``lr``, as it is now.

        Raises
        ------
        TypeError
            For a value that is no number.  Nothing has been changed then.
        """
        current = _metric(value)
        if self._improves(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            reduced = max(self.lr * self.factor, self.min_lr)
            if self.lr - reduced > self.eps:
                self.lr = reduced
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        return self.lr

    def _improves(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        margin = sign * self.threshold
        bound = self.best * (1.0 + margin) if self.threshold_mode == "rel" else self.best + margin
        return sign * value > sign * bound

    def state_dict(self) -> dict[str, Any]:
        """All that a later ``load_state_dict`` needs to go on bit for bit.

        Returns
        -------
        dict
            Flat, of plain values: ``rule`` (str), the parameters by name with ``lr`` as it is now, ``best``,
            ``num_bad_epochs`` and ``cooldown_counter``.  ``numpy.savez(path, **state)`` saves it and
            ``numpy.load(path)`` gives back what ``load_state_dict`` takes.
        """
        return {"rule": type(self).__name__, **asdict(self)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: parameters, learning rate and counts.

        Parameters
        ----------
        state : mapping
            From ``state_dict()``.

        Raises
        ------
        TypeError, ValueError
            For a state of something else, missing or unknown entries, values that are refused.  Nothing has been
            changed then.
        """
        rule = type(self).__name__
        if set(state) != set(self.state_dict()):
            raise ValueError(f"state must have the entries {', '.join(self.state_dict())}, got {', '.join(state)}")
        values = {name: _plain(state[name]) for name in state}
        if values.pop("rule") != rule:
            raise ValueError(f"state must be of rule {rule!r}, got {_plain(state['rule'])!r}")
        best = _metric(values.pop("best"), "best in state")
        if math.isnan(best):
            raise ValueError("best in state must not be nan")
        counts = {
            name: _integer(values.pop(name), f"{name} in state") for name in ("num_bad_epochs", "cooldown_counter")
        }
        checked = type(self)(**values)
        vars(self).update(vars(checked), best=best, **counts)


def _metric(value: Any, name: str = "value") -> float:
    try:
        if isinstance(value, SupportsFloat):
            return float(value)
    except TypeError:  # an array of many
        pass
    raise TypeError(f"{name} must be a number, got {value!r}")
