"""State in and out: a resumed run goes on bit for bit, and a state that does not fit changes nothing."""
import json

import numpy as np
import pytest

from fasttrain import optim
from tests.optim.rules import (
    SMALL_SHAPES,
    Unchanged,
    arrays_of,
    assert_same,
    assert_same_state,
    bits_of,
    every_case,
    every_state_dtype,
    fullest_cases,
    make,
)


def through_npz(state, path):
    np.savez(path / "state.npz", **state)
    with np.load(path / "state.npz") as loaded:
        return dict(loaded)


def through_safetensors(state, path):
    """The recipe of the docs: arrays as tensors, the rest as JSON."""
    safetensors = pytest.importorskip("safetensors", reason="saves with it")
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in state.items() if name not in arrays}
    numpy.save_file(arrays, path / "state.safetensors", metadata={"state": json.dumps(rest)})
    with safetensors.safe_open(path / "state.safetensors", framework="numpy") as file:
        return {**json.loads(file.metadata()["state"]), **{name: file.get_tensor(name) for name in file.keys()}}


FILES = {"memory": lambda state, path: state, "npz": through_npz, "safetensors": through_safetensors}


def grouped(params, is_grouped):
    return [{"params": params[:2], "lr": 0.02}, {"params": params[2:], "weight_decay": 0.2}] if is_grouped else params


def assert_resumes(name, params, grads_of, path, file="memory", is_grouped=False, **settings):
    """Two steps, a state through a file into an optimizer with other options, and two further steps of both."""
    optimizer = make(name, grouped(params, is_grouped), **settings)
    optimizer.step(grads_of(1))
    optimizer.step(grads_of(2))
    for i, group in enumerate(optimizer.param_groups):
        group["lr"] = 0.03 + 0.01 * i
    state = FILES[file](optimizer.state_dict(), path)
    copies = [param.copy() for param in params]
    resumed = type(optimizer)(grouped(copies, is_grouped), **settings)
    resumed.load_state_dict(state)
    assert_same_state(resumed.state_dict(), optimizer.state_dict())
    for seed in (3, 4):
        optimizer.step(grads_of(seed))
        resumed.step(grads_of(seed))
    assert_same(copies, params)
    assert_same_state(resumed.state_dict(), optimizer.state_dict())
    assert resumed.n_steps == 4
    assert [group["lr"] for group in resumed.param_groups] == [0.03, 0.04][: len(resumed.param_groups)]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("is_grouped", [False, True], ids=["one group", "groups"])
@every_case
def test_a_resumed_run_goes_on_bit_for_bit(name, is_grouped, file, tmp_path):
    assert_resumes(
        name, arrays_of(SMALL_SHAPES, np.float64, 0), lambda seed: arrays_of(SMALL_SHAPES, np.float64, seed), tmp_path,
        file, is_grouped,
    )


@pytest.mark.parametrize("file", ["npz", "safetensors"])
@pytest.mark.parametrize("is_grouped", [False, True], ids=["one group", "groups"])
@every_state_dtype
@fullest_cases
def test_state_of_every_dtype_goes_on_bit_for_bit(name, state_dtype, is_grouped, file, tmp_path):
    assert_resumes(
        name, arrays_of(SMALL_SHAPES, np.float32, 0), lambda seed: arrays_of(SMALL_SHAPES, np.float32, seed), tmp_path,
        file, is_grouped, state_dtype=state_dtype,
    )


@pytest.mark.parametrize("master_weights", [True, False])
@every_state_dtype
@fullest_cases
def test_bfloat16_parameters_go_on_bit_for_bit(name, state_dtype, master_weights, tmp_path):
    params = [bits_of(param) for param in arrays_of(SMALL_SHAPES, np.float32, 0)]
    assert_resumes(
        name, params, lambda seed: arrays_of(SMALL_SHAPES, np.float32, seed), tmp_path, "npz",
        dtype="bfloat16", state_dtype=state_dtype, master_weights=master_weights,
    )


@fullest_cases
def test_a_state_from_before_the_first_step(name):
    params = arrays_of(SMALL_SHAPES, np.float32, 0)
    copies = [param.copy() for param in params]
    optimizer, other = make(name, params), make(name, copies)
    state = optimizer.state_dict()
    assert state["step"] == 0
    assert not any(isinstance(value, np.ndarray) for value in state.values())
    other.step(arrays_of(SMALL_SHAPES, np.float32, 9))
    for copy, param in zip(copies, params, strict=True):
        copy[...] = param
    other.load_state_dict(state)  # takes the state of the step away
    for seed in (1, 2):
        optimizer.step(arrays_of(SMALL_SHAPES, np.float32, seed))
        other.step(arrays_of(SMALL_SHAPES, np.float32, seed))
    assert_same(copies, params)


SWITCHES = [
    (optim.SGD, {"momentum": 0.9}, {"momentum": 0.0}),
    (optim.RMSprop, {"momentum": 0.9, "centered": True}, {"momentum": 0.0, "centered": False}),
    (optim.RMSprop, {"centered": True}, {"centered": False, "momentum": 0.9}),
    (optim.Adam, {"amsgrad": True}, {"amsgrad": False}),
]


@pytest.mark.parametrize(("rule", "one", "other"), SWITCHES)
@pytest.mark.parametrize("state_dtype", ["float32", "8bit"])
@pytest.mark.parametrize("n_steps", [0, 1])
def test_state_of_options_that_were_switched(rule, one, other, state_dtype, n_steps):
    if state_dtype == "8bit":
        one, other = ({**options, "centered": False} if "centered" in options else options for options in (one, other))
    for first, second in ((one, other), (other, one)):
        params = arrays_of(SMALL_SHAPES, np.float32, 0)
        optimizer = rule(params, state_dtype=state_dtype, **first)
        optimizer.step(arrays_of(SMALL_SHAPES, np.float32, 1))
        optimizer.set_options(**second)
        for seed in range(n_steps):
            optimizer.step(arrays_of(SMALL_SHAPES, np.float32, 2 + seed))
        copies = [param.copy() for param in params]
        resumed = rule(copies, state_dtype=state_dtype)
        resumed.load_state_dict(optimizer.state_dict())
        for options in (second, first, second):
            for each in (optimizer, resumed):
                each.set_options(**options)
                each.step(arrays_of(SMALL_SHAPES, np.float32, 7))
        assert_same(copies, params)
        assert_same_state(resumed.state_dict(), optimizer.state_dict())


def test_state_is_flat_and_a_copy():
    theta = np.zeros(3)
    optimizer = optim.Adam(theta, betas=(0.5, 0.5))
    optimizer.step(np.ones(3))
    state = optimizer.state_dict()
    assert list(state) == [
        "rule", "step", "lr", "betas", "eps", "weight_decay", "amsgrad", "decoupled_weight_decay", "bias_correction",
        "eps_mode", "maximize", "exp_avg.0", "exp_avg_sq.0",
    ]
    assert (state["rule"], state["step"], state["betas"]) == ("Adam", 1, (0.5, 0.5))
    np.testing.assert_array_equal(state["exp_avg.0"], np.full(3, 0.5))
    state["exp_avg.0"][:] = 9.0
    np.testing.assert_array_equal(optimizer.state_dict()["exp_avg.0"], np.full(3, 0.5))
    optimizer.load_state_dict(state)
    state["exp_avg.0"][:] = 5.0
    np.testing.assert_array_equal(optimizer.state_dict()["exp_avg.0"], np.full(3, 9.0))


def test_progress_and_initial_accumulator_are_saved():
    theta = np.zeros(3)
    nadam = optim.NAdam(theta, betas=(0.5, 0.9), momentum_decay=0)
    for _ in range(3):
        nadam.step(np.ones(3))
    assert nadam.state_dict()["mu_product"] == 0.25**3  # mu is b1 / 2 then
    free = optim.ScheduleFreeAdamW(theta, lr=0.5, weight_lr_power=1, warmup_steps=2)
    for _ in range(3):
        free.step(np.ones(3))
    assert (free.state_dict()["weight_sum"], free.state_dict()["lr_max"]) == (0.25 + 0.5 + 0.5, 0.5)
    adagrad = optim.Adagrad([theta, np.zeros(2)], initial_accumulator_value=0.1)
    np.testing.assert_array_equal(adagrad.state_dict()["sum.1"], np.full(2, 0.1))
    narrow = optim.Adagrad(np.zeros(3, np.float32), initial_accumulator_value=0.1, state_dtype="bfloat16")
    np.testing.assert_array_equal(narrow.state_dict()["sum.0"], bits_of(np.full(3, 0.1)))


@pytest.mark.parametrize("count", [2**24 + 1, 2**31, 2**53 - 3])
def test_large_step_counts(count):
    theta, eps = np.zeros(1), 2.0**-52
    optimizer = optim.Adam(theta, lr=1.0, betas=(1 - eps, 0.0), eps=0.0)
    optimizer.step(np.zeros(1) + 1e-300)
    state = optimizer.state_dict()
    state["step"], state["exp_avg.0"][:] = count, 0.0
    theta[:] = 0.0
    optimizer.load_state_dict(state)
    optimizer.step(np.ones(1))
    assert optimizer.n_steps == count + 1
    # beta so near one that 1 - beta^t has every digit of t
    expected = -eps / -np.expm1((count + 1) * np.log1p(-eps))
    np.testing.assert_allclose(theta, expected, rtol=1e-15)
    optimizer.step(np.ones(1))
    assert optimizer.state_dict()["step"] == count + 2


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"rule": "AdamW"}, ValueError, "must be of rule 'Adam', got 'AdamW'"),
        ({"rule": None}, ValueError, "must be of rule 'Adam', got None"),
        ({"step": -1}, ValueError, "step in state must be a non-negative integer"),
        ({"step": 1.5}, ValueError, "step in state must be a non-negative integer"),
        ({"step": True}, ValueError, "step in state must be a non-negative integer"),
        ({"step": 2**53}, ValueError, "step in state must be a non-negative integer"),
        ({"step": None}, ValueError, "state lacks step"),
        ({"lr": -1.0}, ValueError, "lr must be at least 0"),
        ({"lr": np.array([1.0, 2.0])}, TypeError, "lr must be a real number"),
        ({"betas": 0.9}, TypeError, "betas must be a pair"),
        ({"decoupled_weight_decay": 1}, TypeError, "decoupled_weight_decay must be True or False"),
        ({"initial_lr": 0.1}, ValueError, "it needs decoupled_weight_decay=True"),
        ({"eps": None}, ValueError, "state lacks eps"),
        ({"exp_avg.0": None}, ValueError, r"state lacks exp_avg\.0"),
        ({"max_exp_avg_sq.0": np.zeros(2)}, ValueError, r"state lacks max_exp_avg_sq\.1"),
        ({"exp_avg.2": np.zeros(3)}, ValueError, r"unknown to Adam of 2 parameters.*: exp_avg\.2"),
        ({"exp_avg_unit.0": np.zeros(1, np.float32)}, ValueError, r"unknown to Adam .*: exp_avg_unit\.0"),
        ({"master.0": np.zeros(2)}, ValueError, r"unknown to Adam .*: master\.0"),
        ({"groups.0.lr": 0.1}, ValueError, r"unknown to Adam .*: groups\.0\.lr"),
        ({"exp_avg_sq.1": np.zeros((3, 2))}, ValueError, r"exp_avg_sq\.1 in state must have shape \(2, 3\)"),
        ({"exp_avg_sq.1": np.zeros((2, 3), np.float32)}, ValueError, r"dtype float64.*got .*float32"),
        ({"exp_avg_sq.1": np.zeros((2, 3), np.uint16)}, ValueError, r"dtype float64.*got .*uint16"),
        ({"exp_avg.0": [0.0, 0.0]}, TypeError, r"exp_avg\.0 in state must be a numpy.ndarray, got list"),
    ],
)
def test_a_bad_state_changes_nothing(change, error, match):
    params = arrays_of([(2,), (2, 3)], np.float64, 0)
    optimizer = optim.Adam(params, lr=0.5)
    optimizer.step(arrays_of([(2,), (2, 3)], np.float64, 1))
    state = optimizer.state_dict()
    state.update((name, value + 1) for name, value in optimizer.state_dict().items() if isinstance(value, np.ndarray))
    for name, value in change.items():
        state[name] = value
        if value is None:
            del state[name]
    with Unchanged(optimizer, params), pytest.raises(error, match=match):
        optimizer.load_state_dict(state)


@fullest_cases
def test_a_state_of_other_settings_is_refused(name):
    def stepped(shapes, dtype=np.float32, groups=1, **settings):
        params = arrays_of(shapes, dtype, 0)
        if dtype == np.uint16:
            params = [bits_of(param) for param in arrays_of(shapes, np.float32, 0)]
            settings["dtype"] = "bfloat16"
        taken = [{"params": params[i::groups]} for i in range(groups)]
        optimizer = make(name, taken, **settings)
        grads = arrays_of(shapes, np.float64 if dtype == np.float64 else np.float32, 1)
        optimizer.step([grad for i in range(groups) for grad in grads[i::groups]])
        return optimizer, params

    shapes = [(300,), (300,)]
    others = [
        stepped([(300,)]), stepped([(300,), (301,)]), stepped(shapes, np.float64), stepped(shapes, np.uint16),
        stepped(shapes, groups=2), stepped([*shapes, (2,)]),
    ]
    if not name.startswith("RMSprop centered"):  # whose state is never stored in fewer bits
        others += [stepped(shapes, state_dtype="bfloat16"), stepped(shapes, state_dtype="8bit")]
    optimizer, params = stepped(shapes)
    for other, its_params in others:
        for taker, own, giver in ((optimizer, params, other), (other, its_params, optimizer)):
            with Unchanged(taker, own), pytest.raises(ValueError, match=r"state"):
                taker.load_state_dict(giver.state_dict())
    if name != "Lion decay":
        with Unchanged(optimizer, params), pytest.raises(ValueError, match=r"must be of rule .*got 'Lion'"):
            optimizer.load_state_dict(optim.Lion(np.zeros(3)).state_dict())


@pytest.mark.parametrize(
    ("name", "entry"), [("NAdam l2", "mu_product"), ("ScheduleFreeAdamW warmup", "weight_sum")]
)
def test_bad_progress_changes_nothing(name, entry):
    params = arrays_of([(4,)], np.float64, 0)
    optimizer = make(name, params)
    optimizer.step(arrays_of([(4,)], np.float64, 1))
    for value in (-1.0, np.nan, np.inf, "x", None):
        state = optimizer.state_dict()
        state[entry] = value
        if value is None:
            del state[entry]
        match = f"state lacks {entry}" if value is None else f"{entry} in state must be a non-negative number"
        with Unchanged(optimizer, params), pytest.raises(ValueError, match=match):
            optimizer.load_state_dict(state)
