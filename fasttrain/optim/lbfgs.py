"""L-BFGS for functions of which every evaluation is exact: full batches, and whatever else is smooth.

An iteration takes the last pairs s = change of x, y = change of the gradient, for an estimate H of the inverse
Hessian (two loops over the pairs, Nocedal 1980), and steps along -H grad as far as a line search says.  With an
L1 penalty it is OWL-QN: the step stays in one orthant, where the penalty is linear.

Vectors are in the dtype of x; scalars, sums of products among them, are in double.  These sums come from einsum,
which is one thread in one order: a BLAS's dot product may have other bits on another number of threads.
"""
from __future__ import annotations

import math
import numbers
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
ValueAndGrad: TypeAlias = Callable[[Array], tuple[Any, Any]]

# The strong Wolfe conditions: a share of the decrease that the slope promises, and of the slope at most.  A step
# that meets the second is near a minimum along the line; 0.9 asks for little, since the next direction is better
# than a better step.  Nocedal and Wright, section 3.1.
_DECREASE, _CURVATURE = 1e-4, 0.9
# Evaluations of a line search at most; scikit-learn lets scipy's take as many.
_SEARCH_EVALUATIONS = 50
# Rounding of a value, in units of the dtype's epsilon: a rise by less says nothing, and a step that it would
# refuse is judged by its slope alone (Hager and Zhang 2005, the approximate Wolfe conditions).
_VALUE_NOISE = 4.0
# Iterations without a new lowest value that end a run among such rises.
_STALLED_ITERATIONS = 10
# After a value that is not finite: the next step, as a share of the way to it.
_RETREAT = 0.1
# A longer step is at least and at most so many times the last.
_SHORT_STRIDE, _LONG_STRIDE = 1.1, 10.0

_MESSAGES = {
    "gtol": "the largest element of the gradient is at most gtol={gtol:g}",
    "ftol": "the last iteration lowered the value by no more than ftol={ftol:g} of it",
    "max_iter": "reached max_iter={max_iter} iterations",
    "max_evaluations": "reached max_evaluations={max_evaluations} evaluations",
    "callback": "the callback asked to stop",
    "line_search": "no step along the direction of descent lowered the value: the gradient is wrong or not exact "
    "enough, or the rounding of the value is reached",
}


@dataclass(frozen=True)
class LBFGSResult:
    """What :func:`minimize_lbfgs` has found.

    Attributes
    ----------
    x : ndarray
        The point with the shape of x0.
    value : float
        The objective there, its L1 penalty included.
    grad : ndarray
        Its gradient; with an L1 penalty the subgradient of least norm, which is zero at the minimum.
    n_iter, n_evaluations : int
        Iterations done, and calls of the function.
    status : {"gtol", "ftol", "max_iter", "max_evaluations", "callback", "line_search"}
        Why it stopped; "running" in a callback.
    message : str
        The same as a sentence.
    """

    x: Array
    value: float
    grad: Array
    n_iter: int
    n_evaluations: int
    status: str
    message: str

    @property
    def converged(self) -> bool:
        """Whether one of the two tolerances was met."""
        return self.status in ("gtol", "ftol")


def minimize_lbfgs(
    value_and_grad: ValueAndGrad,
    x0: ArrayLike,
    *,
    l1: ArrayLike = 0.0,
    history_size: int = 10,
    max_iter: int = 15000,
    max_evaluations: int = 15000,
    gtol: float = 1e-5,
    ftol: float = 2.2e-9,
    callback: Callable[[LBFGSResult], Any] | None = None,
) -> LBFGSResult:
    """Minimise a function by L-BFGS, or with an L1 penalty by OWL-QN.

    The objective is ``f(x) + sum(l1 * |x|)``, with f smooth.  A step is along ``d = -H g``: g is the gradient, or
    with ``l1`` the subgradient of least norm, and H comes from the last ``history_size`` changes of x and of the
    gradient of f, scaled by ``s.y / y.y`` of the latest.  Its length t meets the strong Wolfe conditions ::

        f(x + t d) <= f(x) + 1e-4 t g.d        and        |f'(x + t d).d| <= 0.9 |g.d|

    With ``l1`` the elements of d that do not go downhill are zero, x + t d is cut to zero where it would change
    its sign, and t is halved until the objective has fallen enough.

    Parameters
    ----------
    value_and_grad : callable
        ``value_and_grad(x) -> (value, grad)``: f and its gradient, of the shape of x.  x is reused by later calls
        and must be neither kept nor written; grad is copied at once, so it may be one buffer for all calls.
    x0 : array-like, any shape
        Where to start; never written.  float32 and float64 are kept, integers become float64.
    l1 : float or array-like that broadcasts to the shape of x0, default=0.0
        Strength of the L1 penalty, of each element; 0 leaves an element free, such as an intercept.
    history_size : int, default=10
        Pairs kept, two vectors each.
    max_iter, max_evaluations : int, default=15000
        Iterations, and calls of value_and_grad, at most.
    gtol : float, default=1e-5
        Converged where no element of g is larger in magnitude.
    ftol : float, default=2.2e-9
        Converged where an iteration has lowered the value from a to b with ``a - b <= ftol * max(|a|, |b|, 1)``; 0 for
        never.
    callback : callable, optional
        Called with the :class:`LBFGSResult` so far after each iteration; its arrays are reused later: copy what is
        kept.  A true return value ends the run.

    Returns
    -------
    LBFGSResult

    Raises
    ------
    TypeError, ValueError
        For an argument or a gradient that does not fit, and for a value or gradient at x0 that is not finite;
        elsewhere that only shortens the step.  What value_and_grad or callback raises passes through.

    Notes
    -----
    The bits of the result depend on those of value_and_grad alone, not on the number of threads.

    A value may rise by a few units in its last place where the slope says that the step is good: the gradient of
    float32 data leads further down than their value can tell.  Ten iterations without a new lowest value, beyond
    ftol, end the run like one that lowers it too little.

    Source: J. Nocedal and S. Wright, Numerical Optimization (2006), algorithms 3.5, 3.6, 7.4 and 7.5.  G. Andrew and
    J. Gao, "Scalable training of L1-regularized log-linear models", ICML 2007.  Stopping rules and defaults are
    those of scipy's L-BFGS-B.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.optim import minimize_lbfgs
    >>> def rosenbrock(x):
    ...     a, b = x
    ...     value = (1 - a) ** 2 + 100 * (b - a**2) ** 2
    ...     return value, np.array([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)])
    >>> result = minimize_lbfgs(rosenbrock, [-1.2, 1.0])
    >>> result.converged, result.x.round(4)
    (True, array([1., 1.]))

    Half the squared distance from c with an L1 penalty: c is moved towards zero by l1.

    >>> c = np.array([3.0, -2.0, 0.5])
    >>> minimize_lbfgs(lambda x: (0.5 * np.sum((x - c) ** 2), x - c), np.zeros(3), l1=1.0).x
    array([ 2., -1.,  0.])
    """
    if not callable(value_and_grad):
        raise TypeError(f"value_and_grad must be callable, got {value_and_grad!r}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, got {callback!r}")
    for name, count in (
        ("history_size", history_size),
        ("max_iter", max_iter),
        ("max_evaluations", max_evaluations),
    ):
        _check_count(name, count)
    for name, number in (("gtol", gtol), ("ftol", ftol)):
        if isinstance(number, bool) or not isinstance(number, numbers.Real):
            raise TypeError(f"{name} must be a number, got {number!r}")
        if not 0 <= number < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {number}")
    start = _as_start(x0)
    penalty = _as_penalty(l1, start.shape)

    objective = _Objective(value_and_grad, start, penalty)
    here = objective.first(start)
    history = _History(int(history_size), start.size, start.dtype)
    direction = np.empty(start.size, start.dtype)
    search: _Search = _OrthantSearch(objective) if penalty is not None else _WolfeSearch(objective)
    lowest = here.value
    n_iter = n_stalled = 0

    def result(status: str) -> LBFGSResult:
        message = _MESSAGES.get(status, "").format(
            gtol=gtol, ftol=ftol, max_iter=max_iter, max_evaluations=max_evaluations
        )
        shape = start.shape
        return LBFGSResult(
            here.x.reshape(shape), here.value, here.subgrad.reshape(shape), n_iter, objective.n_evaluations, status,
            message,
        )

    if _largest(here.subgrad) <= gtol:
        return result("gtol")
    while True:
        if n_iter == max_iter:
            return result("max_iter")
        history.direction(here.subgrad, direction, search.free(here))
        found = None
        if search.prepare(here, direction):
            step = 1.0 if history.pairs else 1.0 / math.sqrt(_dot(direction, direction))
            found = search.run(here, direction, step, max_evaluations - objective.n_evaluations)
        if found is None:
            if objective.n_evaluations >= max_evaluations:
                return result("max_evaluations")
            if not history.pairs:
                return result("line_search")
            history.clear()  # the pairs have misled: once more from steepest descent
            continue
        history.add(here, found)
        before = here.value
        search.keep(found, here)
        here = found
        n_iter += 1
        if callback is not None and callback(result("running")):
            return result("callback")
        if _largest(here.subgrad) <= gtol:
            return result("gtol")
        least = ftol * max(abs(before), abs(here.value), 1.0)
        n_stalled = 0 if lowest - here.value > least else n_stalled + 1
        lowest = min(lowest, here.value)
        if ftol > 0.0 and (0.0 <= before - here.value <= least or n_stalled == _STALLED_ITERATIONS):
            return result("ftol")


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _as_start(x0: ArrayLike) -> Array:
    array = np.asarray(x0)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"x0 must be of float32, float64 or integers, got dtype {array.dtype}")
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _as_penalty(l1: ArrayLike, shape: tuple[int, ...]) -> Array | None:
    """The penalty of each element of x, flat and in float64, or None if all are zero."""
    try:
        penalty = np.broadcast_to(np.asarray(l1, dtype=np.float64), shape).reshape(-1)
    except (TypeError, ValueError):
        raise ValueError(f"l1 must be a number or an array that broadcasts to the shape {shape} of x0") from None
    if not (np.isfinite(penalty).all() and (penalty >= 0).all()):
        raise ValueError(f"l1 must be finite and not negative, got {l1!r}")
    return penalty if penalty.any() else None


def _dot(a: Array, b: Array) -> float:
    return float(np.einsum("i,i->", a, b, dtype=np.float64))


def _largest(a: Array) -> float:
    """Largest magnitude; NaN if there is one."""
    return float(max(a.max(initial=0.0), -a.min(initial=0.0)))


class _Point:
    """A point, and what is known there.

    value is that of the objective, grad the gradient of its smooth part, and subgrad the objective's subgradient of
    least norm, which without a penalty is the same array.  step and rate are the place and the slope on a line.
    """

    def __init__(self, size: int, dtype: Any, penalised: bool) -> None:
        self.x = np.zeros(size, dtype)
        self.grad = np.zeros(size, dtype)
        self.subgrad = np.zeros(size, dtype) if penalised else self.grad
        self.value = math.nan
        self.step = 0.0
        self.rate = math.nan


class _Objective:
    """The caller's function and the penalty, over flat points."""

    def __init__(self, value_and_grad: ValueAndGrad, start: Array, l1: Array | None) -> None:
        self._value_and_grad = value_and_grad
        self._shape, self._size, self.dtype = start.shape, start.size, start.dtype
        self.l1 = l1
        self.n_evaluations = 0
        self.noise = _VALUE_NOISE * float(np.finfo(start.dtype).eps)

    def point(self) -> _Point:
        return _Point(self._size, self.dtype, self.l1 is not None)

    def first(self, start: Array) -> _Point:
        point = self.point()
        point.x[:] = start.reshape(-1)
        self.evaluate(point)
        if not (math.isfinite(point.value) and math.isfinite(_largest(point.grad))):
            raise ValueError(f"value_and_grad must be finite at x0, got the value {point.value}")
        return point

    def evaluate(self, point: _Point) -> None:
        """Fill the value and both gradients of a point."""
        self.n_evaluations += 1
        value, grad = self._value_and_grad(point.x.reshape(self._shape))
        grad = np.asarray(grad)
        if grad.shape != self._shape:
            raise ValueError(f"value_and_grad must return a gradient of shape {self._shape}, got {grad.shape}")
        with np.errstate(over="ignore"):  # what is too large for float32 is not finite, and shortens the step
            np.copyto(point.grad.reshape(self._shape), grad, casting="same_kind")
        point.value = float(value)
        if self.l1 is not None:
            point.value += _dot(self.l1, np.abs(point.x))
            _least_subgradient(point, self.l1)


def _least_subgradient(point: _Point, l1: Array) -> None:
    """subgrad = the element of least magnitude of grad + l1 * (sign of x, or [-1, 1] where x is 0)."""
    at_zero = point.grad - np.clip(point.grad, -l1, l1)
    np.copyto(point.subgrad, np.where(point.x == 0, at_zero, point.grad + l1 * np.sign(point.x)), casting="same_kind")


class _Pair(NamedTuple):
    """A change of x and the gradient's, and their products s.y and y.y."""

    s: Array
    y: Array
    curvature: float
    square: float

    @classmethod
    def of(cls, s: Array, y: Array) -> _Pair | None:
        """A pair, or None where s.y is not positive by more than rounding.

        The Wolfe conditions leave that to rounding alone; elements that are held, and functions that are not convex,
        do not, and the estimate would not be positive definite.
        """
        curvature, square = _dot(s, y), _dot(y, y)
        return cls(s, y, curvature, square) if curvature > float(np.finfo(np.float64).eps) * square else None


class _History:
    """The latest pairs (s, y) and the estimate of the inverse Hessian that they give."""

    def __init__(self, size: int, length: int, dtype: Any) -> None:
        self._size, self._length, self._dtype = size, length, dtype
        self.pairs: deque[_Pair] = deque()
        self._work = np.empty(length, dtype)

    def clear(self) -> None:
        self.pairs.clear()

    def add(self, old: _Point, new: _Point) -> None:
        if len(self.pairs) == self._size:
            s, y, _, _ = self.pairs.popleft()
        else:
            s, y = np.empty(self._length, self._dtype), np.empty(self._length, self._dtype)
        np.subtract(new.x, old.x, out=s)
        np.subtract(new.grad, old.grad, out=y)
        if pair := _Pair.of(s, y):
            self.pairs.append(pair)

    def direction(self, grad: Array, out: Array, free: Array | None = None) -> None:
        """out = -H grad, with the elements that are not `free` held at zero: H is the inverse of the rest alone."""
        if free is None:
            np.negative(grad, out=out)
            self._multiply(out, list(self.pairs))
            return
        part = -grad[free]
        self._multiply(part, [pair for s, y, _, _ in self.pairs if (pair := _Pair.of(s[free], y[free]))])
        out[:] = 0
        out[free] = part

    def _multiply(self, q: Array, pairs: list[_Pair]) -> None:
        """q = H q."""
        work = self._work[: len(q)]
        shares = []
        for s, y, curvature, _ in reversed(pairs):
            shares.append(_dot(s, q) / curvature)
            q -= np.multiply(y, shares[-1], out=work)
        if pairs:
            q *= pairs[-1].curvature / pairs[-1].square
        for (s, y, curvature, _), share in zip(pairs, reversed(shares), strict=True):
            q += np.multiply(s, share - _dot(y, q) / curvature, out=work)


class _Search:
    """A line search, with the points that it needs besides the current one."""

    def __init__(self, objective: _Objective) -> None:
        self.objective = objective
        self.spare = [objective.point()]

    def free(self, start: _Point) -> Array | None:
        """The places of the elements that may move; None for all."""
        return None

    def prepare(self, start: _Point, direction: Array) -> bool:
        """Fit the direction to the objective; whether it goes down."""
        start.step, start.rate = 0.0, _dot(direction, start.subgrad)
        return -math.inf < start.rate < 0.0

    @staticmethod
    def move(start: _Point, direction: Array, step: float, trial: _Point) -> None:
        """trial.x = start.x + step * direction."""
        with np.errstate(over="ignore"):  # the caller's function has the say on an infinite x
            np.multiply(direction, step, out=trial.x)
            trial.x += start.x

    def run(self, start: _Point, direction: Array, step: float, most: int) -> _Point | None:
        """A point that is good enough, or None; `most` evaluations."""
        raise NotImplementedError

    def keep(self, found: _Point, old: _Point) -> None:
        """Reuse the memory of the old point."""
        self.spare = [point for point in self.spare if point is not found] + [old]


class _WolfeSearch(_Search):
    """Steps that meet the strong Wolfe conditions, by bracketing and cubic interpolation."""

    def __init__(self, objective: _Objective) -> None:
        super().__init__(objective)
        self.spare.append(objective.point())

    def run(self, start: _Point, direction: Array, step: float, most: int) -> _Point | None:
        # low is the best point that has decreased enough; high is the other end of an interval that holds good
        # steps, once there is one: (step, value, rate), the latter two NaN where they are not finite
        trial, low = self.spare[0], start
        high: tuple[float, float, float] | None = None
        ceiling = start.value + self.objective.noise * abs(start.value)
        width = math.inf
        for _ in range(min(most, _SEARCH_EVALUATIONS)):
            self.move(start, direction, step, trial)
            self.objective.evaluate(trial)
            trial.step, trial.rate = step, _dot(direction, trial.grad)
            value, rate = trial.value, trial.rate
            if not (math.isfinite(value) and math.isfinite(rate)):
                high = (step, math.nan, math.nan)
                step = low.step + _RETREAT * (step - low.step)
                continue
            flat = abs(rate) <= -_CURVATURE * start.rate
            enough = value <= start.value + _DECREASE * step * start.rate
            if flat and (enough or value <= ceiling):
                return trial
            last = low
            if not enough or value >= low.value:
                high = (step, value, rate)
            else:
                if rate * (1.0 if high is None else high[0] - low.step) >= 0.0:
                    high = (low.step, low.value, low.rate)
                low, trial = trial, self.spare[1] if trial is self.spare[0] else self.spare[0]
            if high is None:
                reach = low.step - last.step
                step = _cubic_minimum(last.step, last.value, last.rate, low.step, low.value, low.rate)
                if not step > low.step + _SHORT_STRIDE * reach:
                    step = low.step + _SHORT_STRIDE * reach
                step = min(step, low.step + _LONG_STRIDE * reach)
                continue
            before, width = width, abs(high[0] - low.step)
            if width <= np.finfo(np.float64).eps * abs(low.step):
                break
            step = _cubic_minimum(low.step, low.value, low.rate, *high)
            margin = 0.1 * (high[0] - low.step)
            inside = min(low.step + margin, high[0] - margin) <= step <= max(low.step + margin, high[0] - margin)
            if width > 0.66 * before or not math.isfinite(step):
                step = 0.5 * (low.step + high[0]) if math.isfinite(high[1]) else low.step + margin
            elif not inside:
                step = low.step + margin if abs(step - low.step) < abs(step - high[0]) else high[0] - margin
        return low if low is not start else None


def _cubic_minimum(a: float, fa: float, da: float, b: float, fb: float, db: float) -> float:
    """Minimiser of the cubic with the values f and slopes d at a and b, or NaN; Nocedal and Wright, (3.59)."""
    theta = da + db - 3.0 * (fa - fb) / (a - b)
    square = theta * theta - da * db
    if not square >= 0.0:
        return math.nan
    root = math.copysign(math.sqrt(square), b - a)
    divisor = db - da + 2.0 * root
    return b - (b - a) * (db + root - theta) / divisor if divisor != 0.0 else math.nan


class _OrthantSearch(_Search):
    """OWL-QN's: steps within the orthant of the current point, halved until the objective has fallen enough.

    Unlike the paper's, which takes the inverse Hessian of all elements and then drops some of its product, elements
    that stay at zero are left out of the pairs, and an element other than zero may go uphill: both keep the direction
    that of Newton's method among the elements that move, and save iterations tenfold where they are correlated.
    """

    def __init__(self, objective: _Objective) -> None:
        super().__init__(objective)
        assert objective.l1 is not None
        self._unpenalised = objective.l1 == 0.0
        self._sign = np.empty(len(self._unpenalised), objective.dtype)

    def free(self, start: _Point) -> Array | None:
        moving = self._unpenalised | (start.x != 0) | (start.subgrad != 0)
        return None if moving.all() else np.flatnonzero(moving)

    def prepare(self, start: _Point, direction: Array) -> bool:
        np.sign(np.where(start.x == 0, -start.subgrad, start.x), out=self._sign)
        # what leaves zero must do so downhill
        direction[~self._unpenalised & (start.x == 0) & (np.sign(direction) != self._sign)] = 0
        return super().prepare(start, direction)

    def run(self, start: _Point, direction: Array, step: float, most: int) -> _Point | None:
        trial = self.spare[0]
        ceiling = start.value + self.objective.noise * abs(start.value)
        for _ in range(min(most, _SEARCH_EVALUATIONS)):
            self.move(start, direction, step, trial)
            trial.x[~self._unpenalised & (trial.x * self._sign <= 0)] = 0
            moved = trial.x - start.x
            if not moved.any():
                return None
            self.objective.evaluate(trial)
            if not (math.isfinite(trial.value) and math.isfinite(_largest(trial.grad))):
                step *= _RETREAT
                continue
            promised = _dot(start.subgrad, moved)  # what is cut may leave the rest to go uphill
            if promised < 0.0 and (
                trial.value <= start.value + _DECREASE * promised
                or (trial.value <= ceiling and _largest(trial.subgrad) < _largest(start.subgrad))
            ):
                return trial
            step *= 0.5
        return None
