"""Schedules of the learning rate: values on paper, torch's schedulers, huge steps, what objects owe, errors."""
import dataclasses
import inspect
import itertools
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

from fasttrain import optim
from fasttrain.optim import (
    SGD,
    Constant,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearWarmup,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from tests.tolerances import ULP_TRANSCENDENTAL

# torch's schedulers multiply the last learning rate by a ratio and so gather rounding over hundreds of steps.
TORCH_RTOL = 1e-12

EPS = np.finfo(float).eps

ON_PAPER = [
    (Constant(0.25), {0: 0.25, 7: 0.25}),
    (StepLR(0.5, 3, 0.5), {0: 0.5, 2: 0.5, 3: 0.25, 5: 0.25, 6: 0.125}),
    (StepLR(0.5, 1, 2.0), {0: 0.5, 3: 4.0}),
    (MultiStepLR(0.5, [2, 5, 5, 8], 0.5), {0: 0.5, 1: 0.5, 2: 0.25, 4: 0.25, 5: 0.0625, 7: 0.0625, 8: 0.03125}),
    (MultiStepLR(0.5, [0], 0.5), {0: 0.25}),
    (MultiStepLR(0.5, []), {9: 0.5}),
    (ExponentialLR(3.0, 0.5), {0: 3.0, 1: 1.5, 4: 0.1875}),
    (ExponentialLR(3.0, 0), {0: 3.0, 1: 0.0}),
    (PolynomialLR(1.0, 4), {0: 1.0, 1: 0.75, 3: 0.25, 4: 0.0, 5: 0.0}),
    (PolynomialLR(1.0, 4, 2, 0.5), {0: 1.0, 1: 0.78125, 2: 0.625, 4: 0.5, 9: 0.5}),
    (PolynomialLR(0.1, 2, power=0, end_lr=0.5), {0: 0.1, 2: 0.1}),
    (
        CosineAnnealingLR(3.0, 6, 1.0),
        {0: 3.0, 1: 2 + math.sqrt(3) / 2, 2: 2.5, 3: 2.0, 4: 1.5, 6: 1.0, 8: 1.5, 9: 2.0, 12: 3.0, 14: 2.5},
    ),
    (CosineAnnealingLR(3.0, 1), {0: 3.0, 1: 0.0, 2: 3.0}),
    (CosineAnnealingWarmRestarts(3.0, 3, eta_min=1.0), {0: 3.0, 1: 2.5, 2: 1.5, 3: 3.0, 4: 2.5, 8: 1.5, 9: 3.0}),
    (CosineAnnealingWarmRestarts(2.0, 1, 3), {0: 2.0, 1: 2.0, 2: 1.5, 3: 0.5, 4: 2.0, 7: 1.5, 13: 2.0}),
    (LinearWarmup(Constant(1.0), 4, 0), {0: 0.0, 1: 0.25, 3: 0.75, 4: 1.0, 9: 1.0}),
    (LinearWarmup(ExponentialLR(0.8, 0.5), 2, 0.5), {0: 0.4, 1: 0.6, 2: 0.8, 3: 0.4}),
    (LinearWarmup(ExponentialLR(0.8, 0.5), 0), {0: 0.8, 1: 0.4}),
    (LinearWarmup(Constant(1.0), 3, 1 / 4), {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0}),
    # initial 1, rise up to step 2, fall to 1 / 8 up to step 9
    (OneCycleLR(4.0, 10, anneal_strategy="linear", div_factor=4, final_div_factor=8), {
        0: 1.0, 1: 2.5, 2: 4.0, 9: 0.125, 10: 0.125, 99: 0.125, **{2 + i: 4 - 3.875 * i / 7 for i in range(8)},
    }),
    (OneCycleLR(4.0, 10, div_factor=4, final_div_factor=8), {
        0: 1.0, 1: 2.5, 2: 4.0, 9: 0.125, 10: 0.125, 3: 0.125 + 3.875 * (1 + math.cos(math.pi / 7)) / 2,
    }),
    # rise up to step 4, back at step 8, down to 1 / 8 at step 9
    (OneCycleLR(4.0, 10, 0.5, "linear", div_factor=4, final_div_factor=8, three_phase=True), {
        0: 1.0, 1: 1.75, 4: 4.0, 5: 3.25, 8: 1.0, 9: 0.125, 10: 0.125,
    }),
    (OneCycleLR(4.0, 10, 0.1), {0: 4.0}),  # no step to rise in
    (OneCycleLR(4.0, 10, 1.0, div_factor=4), {0: 1.0, 9: 4.0, 99: 4.0}),  # none to fall in
    (OneCycleLR(4.0, 1, div_factor=4, final_div_factor=8), {0: 0.125, 1: 0.125}),
    (SequentialLR([Constant(0.5), ExponentialLR(2.0, 0.5), Constant(0.25)], [2, 4]), {
        0: 0.5, 1: 0.5, 2: 2.0, 3: 1.0, 4: 0.25, 99: 0.25,
    }),
    (SequentialLR([Constant(0.5), Constant(0.75), ExponentialLR(2.0, 0.5)], [0, 0]), {0: 2.0, 1: 1.0}),
    (SequentialLR([Constant(0.5)], []), {3: 0.5}),
]
SCHEDULES = [schedule for schedule, _ in ON_PAPER]


@pytest.mark.parametrize(("schedule", "values"), ON_PAPER, ids=repr)
def test_values_on_paper(schedule, values):
    for step, value in values.items():
        rate = schedule(step)
        assert type(rate) is float
        np.testing.assert_allclose(rate, value, rtol=ULP_TRANSCENDENTAL * EPS, atol=0, err_msg=f"step {step}")


def test_momentum_on_paper():
    two = OneCycleLR(4.0, 10, anneal_strategy="linear", base_momentum=0.5, max_momentum=0.75)
    assert [two.momentum(step) for step in (0, 1, 2, 9, 10)] == [0.75, 0.625, 0.5, 0.75, 0.75]
    three = dataclasses.replace(two, pct_start=0.5, three_phase=True)
    assert [three.momentum(step) for step in (0, 2, 4, 6, 8, 9, 10)] == [0.75, 0.625, 0.5, 0.625, 0.75, 0.75, 0.75]
    cosine = OneCycleLR(4.0, 31, pct_start=10 / 31, base_momentum=0.5, max_momentum=0.75)
    np.testing.assert_allclose(cosine.momentum(3), 0.625 + 0.125 * math.cos(math.pi / 3), rtol=1e-15)


# ---- torch ------------------------------------------------------------------------------------------------

# Each case is a schedule and a function that makes torch's scheduler.

def like(name, **options):
    return pytest.param(
        getattr(optim, name)(0.3, **options),
        lambda torch, optimizer: getattr(torch.optim.lr_scheduler, name)(optimizer, **options),
        id=f"{name} {options}",
    )


def joined(torch, optimizer, *parts, milestones):
    schedulers = torch.optim.lr_scheduler
    return schedulers.SequentialLR(
        optimizer, [getattr(schedulers, name)(optimizer, **options) for name, options in parts], milestones
    )


def warmed_up(inner, **options):
    name, inner_options = inner
    return pytest.param(
        LinearWarmup(getattr(optim, name)(0.3, **inner_options), **options),
        lambda torch, optimizer: joined(
            torch, optimizer, ("LinearLR", options), inner, milestones=[options["total_iters"]]
        ),
        id=f"LinearWarmup {options} {name}",
    )


TORCH = [
    like("StepLR", step_size=7),
    like("StepLR", step_size=1, gamma=0.9),
    like("MultiStepLR", milestones=[0, 3, 50, 50, 211]),
    like("MultiStepLR", milestones=[30, 80], gamma=0.3),
    like("ExponentialLR", gamma=0.97),
    like("ExponentialLR", gamma=1.01),
    like("PolynomialLR"),
    like("PolynomialLR", total_iters=301, power=0.9),
    like("PolynomialLR", total_iters=250, power=2.0),
    like("CosineAnnealingLR", T_max=97),
    like("CosineAnnealingLR", T_max=300, eta_min=0.01),
    like("CosineAnnealingLR", T_max=1, eta_min=0.01),
    like("CosineAnnealingWarmRestarts", T_0=10),
    like("CosineAnnealingWarmRestarts", T_0=3, T_mult=2, eta_min=0.02),
    like("CosineAnnealingWarmRestarts", T_0=1, T_mult=5),
    warmed_up(("ExponentialLR", {"gamma": 0.99}), total_iters=20),
    warmed_up(("StepLR", {"step_size": 9}), total_iters=50, start_factor=0.01),
    warmed_up(("CosineAnnealingLR", {"T_max": 200, "eta_min": 0.01}), total_iters=100, start_factor=1.0),
    pytest.param(
        SequentialLR([ExponentialLR(0.3, 0.9), StepLR(0.3, 5), PolynomialLR(0.3, 40)], [20, 31]),
        lambda torch, optimizer: joined(
            torch, optimizer, ("ExponentialLR", {"gamma": 0.9}), ("StepLR", {"step_size": 5}),
            ("PolynomialLR", {"total_iters": 40}), milestones=[20, 31],
        ),
        id="SequentialLR",
    ),
]


@pytest.mark.parametrize(("schedule", "scheduler"), TORCH)
def test_against_torch(schedule, scheduler):
    torch = pytest.importorskip("torch", reason="compares with torch.optim.lr_scheduler")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    peer = scheduler(torch, optimizer)
    closed_form = getattr(peer, "_get_closed_form_lr", None)
    for step in range(400):
        rate = schedule(step)
        # near its minimum 1 + cos(...) cancels, and torch's value keeps an error of some 1e-16 of lr
        tolerance = {"rtol": TORCH_RTOL, "atol": 1e-15, "err_msg": f"step {step}"}
        np.testing.assert_allclose(rate, optimizer.param_groups[0]["lr"], **tolerance)
        if closed_form is not None:
            np.testing.assert_allclose(rate, closed_form()[0], **tolerance)
        optimizer.step()
        peer.step()


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
@pytest.mark.parametrize(
    ("pct_start", "three_phase"), [(0.3, False), (0.3, True), (0.5, True), (0.013, False), (1.0, False)]
)
@pytest.mark.parametrize("total_steps", [10, 301])
def test_one_cycle_against_torch(rule, anneal_strategy, pct_start, three_phase, total_steps):
    torch = pytest.importorskip("torch", reason="compares with torch.optim.lr_scheduler")
    optimizer = getattr(torch.optim, rule)([torch.zeros(1)], lr=0.1)
    options = {
        "max_lr": 0.3, "total_steps": total_steps, "pct_start": pct_start, "anneal_strategy": anneal_strategy,
        "base_momentum": 0.8, "max_momentum": 0.9, "div_factor": 10.0, "final_div_factor": 100.0,
        "three_phase": three_phase,
    }
    peer = torch.optim.lr_scheduler.OneCycleLR(optimizer, **options)
    schedule = OneCycleLR(**options)
    for step in range(total_steps):
        group = optimizer.param_groups[0]
        momentum = group["momentum"] if rule == "SGD" else group["betas"][0]
        np.testing.assert_allclose(schedule(step), group["lr"], rtol=TORCH_RTOL, err_msg=f"step {step}")
        np.testing.assert_allclose(schedule.momentum(step), momentum, rtol=TORCH_RTOL, err_msg=f"step {step}")
        optimizer.step()
        if step < total_steps - 1:
            peer.step()


def test_defaults_are_those_of_torch():
    torch = pytest.importorskip("torch", reason="compares with torch.optim.lr_scheduler")
    for name in optim.schedules.__all__:
        peer = getattr(torch.optim.lr_scheduler, name, None)
        if peer is None:
            assert name in ("Constant", "LinearWarmup")
            continue
        ours = inspect.signature(getattr(optim, name)).parameters
        theirs = inspect.signature(peer).parameters
        common = set(ours) & set(theirs)
        assert common
        for parameter in common - {"total_steps"}:  # which torch may take from epochs and steps_per_epoch
            assert ours[parameter].default == theirs[parameter].default, (name, parameter)
        shared = [parameter for parameter in ours if parameter in common]
        assert shared == [parameter for parameter in theirs if parameter in common]
        assert set(ours) - common <= {"lr", "end_lr", "schedules"}


# ---- exactness --------------------------------------------------------------------------------------------

def test_huge_steps():
    huge = 10**400  # beyond the range of floats
    assert Constant(0.1)(huge) == 0.1
    assert ExponentialLR(0.1, 0.9)(10**7) == ExponentialLR(0.1, 0.9)(huge) == 0.0
    assert ExponentialLR(0.1, 1)(huge) == 0.1
    assert ExponentialLR(0.1, 1.1)(10**7) == ExponentialLR(0.1, 1.1)(huge) == math.inf
    assert ExponentialLR(0.0, 1.1)(huge) == 0.0
    assert StepLR(0.1, huge, 0.5)(2 * huge) == 0.025
    assert MultiStepLR(0.1, [huge], 0.5)(huge - 1) == 0.1
    assert MultiStepLR(0.1, [huge], 0.5)(huge) == 0.05
    assert PolynomialLR(1.0, 4 * huge)(huge) == 0.75
    assert CosineAnnealingLR(1.0, 2 * huge)(huge) == CosineAnnealingLR(1.0, 2)(1)
    assert LinearWarmup(Constant(1.0), 4 * huge, 0.0)(huge) == 0.25
    assert OneCycleLR(1.0, 100)(huge) == OneCycleLR(1.0, 100)(99)
    assert SequentialLR([Constant(1.0), CosineAnnealingLR(1.0, 3)], [huge])(huge + 2) == CosineAnnealingLR(1.0, 3)(2)
    for schedule, period in (
        (CosineAnnealingLR(0.3, 12345, 0.01), 2 * 12345), (CosineAnnealingWarmRestarts(0.3, 12345), 12345),
    ):
        for step in (0, 1, 6000, 12344, 12346):
            assert schedule(step + period * 10**30) == schedule(step)


@pytest.mark.parametrize("T_0", [1, 3, 10])
@pytest.mark.parametrize("T_mult", [2, 3, 7])
def test_restarts_fall_on_their_steps(T_0, T_mult):
    schedule = CosineAnnealingWarmRestarts(0.3, T_0, T_mult, eta_min=0.1)
    begin, length = 0, T_0
    for _ in range(60):
        assert schedule(begin) == 0.3
        assert schedule(begin + length // 2) == CosineAnnealingLR(0.3, length, 0.1)(length // 2)
        assert schedule(begin + length - 1) == CosineAnnealingLR(0.3, length, 0.1)(length - 1)
        begin, length = begin + length, length * T_mult


@pytest.mark.parametrize(("start", "end"), [(0.3, 0.1), (0.1, 0.7), (1e-3, 0.0), (0.7, 0.7), (1.0, 1e-300)])
def test_ends_are_exact(start, end):
    for n in (1, 2, 3, 7, 1000):
        for schedule in (CosineAnnealingLR(start, n, end), PolynomialLR(start, n, 0.9, end)):
            assert schedule(0) == start
            assert schedule(n) == end
            low, high = sorted((start, end))
            assert all(low <= schedule(step) <= high for step in range(n))


def test_the_cosine_keeps_its_accuracy_near_its_minimum():
    n = 10**7
    for left in (1, 2, 30):
        x = Fraction(left, 2 * n) * Fraction(math.pi)
        exact = x**2 - x**4 / 3  # of sin(x)^2; the next term is below 1e-20 of it
        for schedule in (CosineAnnealingLR(1.0, n), CosineAnnealingWarmRestarts(1.0, n)):
            assert abs(Fraction(schedule(n - left)) / exact - 1) < 1e-15


# ---- objects ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_arrays_of_steps(schedule):
    steps = np.arange(24).reshape(4, 6)[:, ::-1]
    for dtype in (np.int64, np.uint8, np.dtype(">i4"), object):
        rates = schedule(steps.astype(dtype))
        assert rates.dtype == np.float64
        np.testing.assert_array_equal(rates, [[schedule(int(step)) for step in row] for row in steps])
    assert schedule(np.zeros((0, 3), dtype=int)).shape == (0, 3)
    assert schedule(np.array(3)).shape == ()
    assert type(schedule(np.int32(3))) is float
    assert schedule(np.int32(3)) == schedule(3)


def test_arrays_of_momenta():
    schedule = OneCycleLR(1.0, 20)
    steps = np.arange(25)
    np.testing.assert_array_equal(schedule.momentum(steps), [schedule.momentum(int(step)) for step in steps])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_values_like_any_other(schedule):
    assert eval(repr(schedule), vars(optim)) == schedule
    copy = pickle.loads(pickle.dumps(schedule))
    assert copy == schedule
    assert hash(copy) == hash(schedule)
    name = dataclasses.fields(schedule)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(schedule, name, 0.5)
    assert sum(other == schedule for other in SCHEDULES) == 1


def test_arguments_become_plain_values():
    schedule = MultiStepLR(np.float32(0.5), np.array([2, 4], dtype=np.int8), Fraction(1, 2))
    assert repr(schedule) == "MultiStepLR(lr=0.5, milestones=(2, 4), gamma=0.5)"
    assert schedule == MultiStepLR(0.5, [2, 4], 0.5) == MultiStepLR(0.5, range(2, 5, 2), 0.5)
    assert repr(StepLR(1, np.int64(3))) == "StepLR(lr=1.0, step_size=3, gamma=0.1)"
    assert repr(OneCycleLR(1, 10, three_phase=np.True_)).endswith("three_phase=True)")


def test_any_function_of_the_step_can_be_joined():
    schedule = SequentialLR([lambda step: 1 / (1 + step), OneCycleLR(1.0, 10).momentum], [3])
    assert [schedule(step) for step in (0, 1, 3)] == [1.0, 0.5, 0.95]
    assert LinearWarmup(lambda step: np.float32(0.5), 2, 0)(1) == 0.25
    assert type(LinearWarmup(lambda step: np.float32(0.5), 2, 0)(2)) is float
    momentum = pickle.loads(pickle.dumps(OneCycleLR(1.0, 10).momentum))
    assert momentum(0) == 0.95


def test_training_resumes_by_the_step_count():
    schedule = LinearWarmup(CosineAnnealingLR(0.4, 30), 10)

    def train(theta, first, last, state=None):
        optimizer = SGD(theta, momentum=0.5)
        if state is not None:
            optimizer.load_state_dict(state)
        for step in range(first, last):
            optimizer.lr = schedule(step)
            optimizer.step(theta - 1.0)
        return optimizer.state_dict()

    whole = np.zeros(3)
    train(whole, 0, 40)
    halves = np.zeros(3)
    state = train(halves, 0, 17)
    train(halves, state["step"], 40, state)
    np.testing.assert_array_equal(whole, halves)
    assert 0 < whole[0] != 1


# ---- by a metric ------------------------------------------------------------------------------------------

def values_of_a_run(mode, seed, n=400):
    """A metric that improves ever more slowly, with noise, plateaus, ties, infinities and NaN."""
    generator = np.random.default_rng(seed)
    t = np.arange(n)
    values = 0.2 + 1 / (1 + t / 20) + 0.05 * generator.standard_normal(n)
    values[50:90] = values[50]
    values[generator.integers(0, n, 8)] = math.nan
    values[generator.integers(0, n, 4)] = math.inf
    return values if mode == "min" else -values + 2


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"patience": 0, "eps": 0.0}, {"patience": 2, "cooldown": 3, "factor": 0.7, "threshold": 0.05},
        {"patience": 1, "min_lr": 0.02, "factor": 0.5}, {"min_lr": 0.5}, {"patience": 3, "factor": 0.0, "threshold": 0},
    ],
    ids=repr,
)
def test_plateau_against_torch(mode, threshold_mode, options):
    torch = pytest.importorskip("torch", reason="compares with torch.optim.lr_scheduler")
    options = {"mode": mode, "threshold_mode": threshold_mode, **options}
    for seed in range(3):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
        peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        plateau = ReduceLROnPlateau(0.3, **options)
        for value in values_of_a_run(mode, seed):
            peer.step(value)
            assert plateau.update(value) == optimizer.param_groups[0]["lr"] == plateau.lr
            for name in ("best", "num_bad_epochs", "cooldown_counter"):
                assert getattr(plateau, name) == getattr(peer, name)
        assert plateau.lr < 0.3 or options.get("min_lr") == 0.5


def test_plateau_on_paper():
    plateau = ReduceLROnPlateau(1.0, factor=0.5, patience=1, cooldown=2, threshold=0.25, min_lr=0.2)
    rates = [plateau.update(value) for value in (
        8, 6.5, 6.5,  # 8 sets the mark of 6: two values above it are one too many
        9, 9,  # cooldown
        9, math.nan,  # two more
        5, 4,  # cooldown; 5 is an improvement, 4 is not
        4, 4,  # reduced to the minimum
        9, 9, 9, 9, 9, 9,
    )]
    assert rates == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]
    for eps, rate in ((0.5, 1.0), (0.4375, 0.5)):  # a change of no more than eps is none
        plateau = ReduceLROnPlateau(1.0, factor=0.5, patience=0, eps=eps)
        assert [plateau.update(1.0) for _ in range(2)] == [1.0, rate]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_resumes_from_a_file(tmp_path, mode):
    values = values_of_a_run(mode, 5)
    options = {"mode": mode, "patience": 2, "cooldown": 3, "factor": 0.7}
    whole = ReduceLROnPlateau(0.3, **options)
    rates = [whole.update(value) for value in values]
    for cut in (0, 1, 60, 61, 62, 63, 200):
        first = ReduceLROnPlateau(0.3, **options)
        start = [first.update(value) for value in values[:cut]]
        np.savez(tmp_path / "state.npz", **first.state_dict())
        second = ReduceLROnPlateau(7.0)
        with np.load(tmp_path / "state.npz") as state:
            second.load_state_dict(state)
        assert second == first
        assert pickle.loads(pickle.dumps(first)) == first
        assert type(second.lr) is type(second.best) is float
        assert start + [second.update(value) for value in values[cut:]] == rates
    assert repr(ReduceLROnPlateau(0.3, "max")) == (
        "ReduceLROnPlateau(lr=0.3, mode='max', factor=0.1, patience=10, threshold=0.0001, threshold_mode='rel', "
        "cooldown=0, min_lr=0.0, eps=1e-08)"
    )


def test_plateau_leaves_its_state_alone_after_errors():
    plateau = ReduceLROnPlateau(0.3, patience=0)
    plateau.update(1.0)
    plateau.update(np.array(2.0))
    before = plateau.state_dict()
    for value in ("1.0", None, [1.0], np.ones(2)):
        with pytest.raises(TypeError, match="value must be a number"):
            plateau.update(value)
    lacking = {name: value for name, value in before.items() if name != "best"}
    for state, error, message in (
        (lacking, ValueError, "state must have the entries rule, lr, .*best"),
        ({**before, "momentum": 0.9}, ValueError, "state must have the entries rule, lr, .*momentum"),
        ({**before, "rule": "SGD"}, ValueError, "state must be of rule 'ReduceLROnPlateau', got 'SGD'"),
        ({**before, "lr": -1}, ValueError, "lr must be"),
        ({**before, "factor": "x"}, TypeError, "factor must be"),
        ({**before, "best": math.nan}, ValueError, "best in state must not be nan"),
        ({**before, "best": "x"}, TypeError, "best in state must be a number"),
        ({**before, "num_bad_epochs": -1}, ValueError, "num_bad_epochs in state must be at least 0, got -1"),
        ({**before, "cooldown_counter": 0.5}, TypeError, "cooldown_counter in state must be an integer, got 0.5"),
    ):
        with pytest.raises(error, match=message):
            plateau.load_state_dict(state)
        assert plateau.state_dict() == before
    assert before["num_bad_epochs"] == 0
    assert before["lr"] == 0.3 * 0.1


# ---- errors -----------------------------------------------------------------------------------------------

# The smallest number that each argument may be, and what else its schedule needs.
INTEGERS = [
    (StepLR, "step_size", 1, {"lr": 1}), (PolynomialLR, "total_iters", 1, {"lr": 1}),
    (CosineAnnealingLR, "T_max", 1, {"lr": 1}), (CosineAnnealingWarmRestarts, "T_0", 1, {"lr": 1}),
    (CosineAnnealingWarmRestarts, "T_mult", 1, {"lr": 1, "T_0": 1}),
    (LinearWarmup, "total_iters", 0, {"schedule": Constant(1)}), (OneCycleLR, "total_steps", 1, {"max_lr": 1}),
    (ReduceLROnPlateau, "patience", 0, {"lr": 1}), (ReduceLROnPlateau, "cooldown", 0, {"lr": 1}),
]
NUMBERS = [
    (Constant, "lr", {}), (StepLR, "lr", {"step_size": 1}), (StepLR, "gamma", {"lr": 1, "step_size": 1}),
    (MultiStepLR, "lr", {"milestones": []}), (MultiStepLR, "gamma", {"lr": 1, "milestones": []}),
    (ExponentialLR, "lr", {"gamma": 1}), (ExponentialLR, "gamma", {"lr": 1}),
    (PolynomialLR, "lr", {}), (PolynomialLR, "power", {"lr": 1}), (PolynomialLR, "end_lr", {"lr": 1}),
    (CosineAnnealingLR, "lr", {"T_max": 1}), (CosineAnnealingLR, "eta_min", {"lr": 1, "T_max": 1}),
    (CosineAnnealingWarmRestarts, "lr", {"T_0": 1}), (CosineAnnealingWarmRestarts, "eta_min", {"lr": 1, "T_0": 1}),
    (LinearWarmup, "start_factor", {"schedule": Constant(1), "total_iters": 1}),
    (OneCycleLR, "max_lr", {"total_steps": 1}),
    *((OneCycleLR, name, {"max_lr": 1, "total_steps": 1}) for name in (
        "pct_start", "base_momentum", "max_momentum", "div_factor", "final_div_factor",
    )),
    (ReduceLROnPlateau, "lr", {}),
    *((ReduceLROnPlateau, name, {"lr": 1}) for name in ("factor", "threshold", "min_lr", "eps")),
]


@pytest.mark.parametrize(("make", "name", "low", "others"), INTEGERS)
def test_integers_that_do_not_fit(make, name, low, others):
    assert getattr(make(**{name: np.int16(low)}, **others), name) == low
    for value in ("1", None, [1], True, 1j, 2.0):
        with pytest.raises(TypeError, match=f"^{name} must be an integer, got"):
            make(**{name: value}, **others)
    with pytest.raises(ValueError, match=f"^{name} must be at least {low}, got {low - 1}"):
        make(**{name: low - 1}, **others)


@pytest.mark.parametrize(("make", "name", "others"), NUMBERS)
def test_numbers_that_do_not_fit(make, name, others):
    assert getattr(make(**{name: np.float32(0.25)}, **others), name) == 0.25
    for value in ("1", None, [1], True, 1j, SGD(np.zeros(1))):
        with pytest.raises(TypeError, match=f"^{name} must be a number, got"):
            make(**{name: value}, **others)
    for value in (-0.5, math.nan, math.inf, -math.inf, 10**400):
        with pytest.raises(ValueError, match=f"^{name} must be a finite number (of at least 0|from 0 to 1), got"):
            make(**{name: value}, **others)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MultiStepLR(0.1, [3, 2]), ValueError, r"milestones must be in ascending order, got \[3, 2\]"),
        (lambda: MultiStepLR(0.1, [1, -1]), ValueError, r"milestones\[1\] must be at least 0, got -1"),
        (lambda: MultiStepLR(0.1, [1.0]), TypeError, r"milestones\[0\] must be an integer, got 1.0"),
        (lambda: MultiStepLR(0.1, 3), TypeError, "milestones must be a list or a tuple, got int"),
        (lambda: MultiStepLR(0.1, "3"), TypeError, "milestones must be a list or a tuple, got str"),
        (lambda: MultiStepLR(0.1, {3, 4}), TypeError, "milestones must be a list or a tuple, got set"),
        (lambda: LinearWarmup(0.1, 5), TypeError, "schedule must be a schedule, callable with a step, got 0.1"),
        (lambda: LinearWarmup(Constant, 5), TypeError, "schedule must be a schedule"),
        (lambda: LinearWarmup(ReduceLROnPlateau(0.1), 5), TypeError, "schedule must be a schedule"),
        (lambda: LinearWarmup(Constant(0.1), 5, 1.5), ValueError, "start_factor must be a finite number from 0 to 1"),
        (lambda: SequentialLR([Constant(1), 0.1], [3]), TypeError, r"schedules\[1\] must be a schedule"),
        (lambda: SequentialLR(Constant(1), [3]), TypeError, "schedules must be a list or a tuple, got Constant"),
        (lambda: SequentialLR([Constant(1)], [3]), ValueError, "milestones must be one fewer than .* got 1 "),
        (lambda: SequentialLR([], []), ValueError, "milestones must be one fewer than .* got 0 "),
        (lambda: OneCycleLR(1, 10, 1.5), ValueError, "pct_start must be a finite number from 0 to 1, got 1.5"),
        (lambda: OneCycleLR(1, 10, 0.6, three_phase=True), ValueError, "pct_start must be at most 0.5"),
        (lambda: OneCycleLR(1, 10, anneal_strategy="cosine"), ValueError,
         "anneal_strategy must be one of 'cos', 'linear', got 'cosine'"),
        (lambda: OneCycleLR(1, 10, div_factor=0), ValueError, "div_factor must be positive, got 0"),
        (lambda: OneCycleLR(1, 10, final_div_factor=0.0), ValueError, "final_div_factor must be positive, got 0.0"),
        (lambda: OneCycleLR(1, 10, three_phase=1), TypeError, "three_phase must be True or False, got 1"),
        (lambda: ReduceLROnPlateau(1, "auto"), ValueError, "mode must be one of 'min', 'max', got 'auto'"),
        (lambda: ReduceLROnPlateau(1, threshold_mode=[]), ValueError, "threshold_mode must be one of 'rel', 'abs'"),
        (lambda: ReduceLROnPlateau(1, factor=1), ValueError, "factor must be below 1, got 1"),
    ],
    ids=itertools.count(),
)
def test_arguments_that_do_not_fit(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make()


@pytest.mark.parametrize("schedule", [*SCHEDULES, OneCycleLR(1.0, 10).momentum], ids=repr)
def test_steps_that_do_not_fit(schedule):
    for step in (-1, np.int64(-3), np.array([3, -1])):
        with pytest.raises(ValueError, match=r"^step must be at least 0, got -"):
            schedule(step)
    for step in (1.0, True, "1", None, [1], np.array([1.0]), np.array([True])):
        with pytest.raises(TypeError, match=r"^step must be an integer, got"):
            schedule(step)
