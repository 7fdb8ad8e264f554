"""The optimizer classes: one table of rules, over one array and over lists."""
import copy
import math

import numpy as np
import pytest

from fasttrain import kernels
from fasttrain.optim import SGD, Adam
from tests.helpers import DTYPES, THREAD_COUNTS

# name: class, options
RULES = {
    "sgd": (SGD, {"lr": 0.05}),
    "sgd decay": (SGD, {"lr": 0.05, "weight_decay": 0.1}),
    "momentum": (SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.2}),
    "nesterov": (SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (Adam, {"lr": 0.05}),
    "adam l2": (Adam, {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
    "adamw": (Adam, {"lr": 0.05, "weight_decay": 0.1, "decoupled": True}),
    "textbook": (Adam, {"lr": 0.05, "bias_correction": False}),
}
# more arrays than the pointers that a step holds on its stack
SHAPES = [(7, 5), (5,), (0,), (), (3, 1, 11), (1,) * 4, (9000,), (13,), (2, 2), (70001,)]

every_rule = pytest.mark.parametrize("name", RULES)


def arrays_of(shapes, dtype, seed):
    random = np.random.default_rng(seed)
    return [np.array(random.standard_normal(shape), dtype=dtype) for shape in shapes]


def make(name, params, **more):
    rule, options = RULES[name]
    return rule(params, **options, **more)


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- steps -------------------------------------------------------------------------------------------------

@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_are_those_of_the_kernels(name, dtype):
    rule, options = RULES[name]
    params = arrays_of(SHAPES, dtype, 0)
    expected = copy.deepcopy(params)
    states = [[np.zeros_like(param) for _ in range(2)] for param in params]
    optimizer = make(name, params)
    for step in (1, 2, 3):
        grads = arrays_of(SHAPES, dtype, step)
        optimizer.step(grads)
        same(grads, arrays_of(SHAPES, dtype, step))
        for param, grad, (first, second) in zip(expected, grads, states, strict=True):
            if rule is Adam:
                kernels.adam_update(param, grad, first, second, step=step, **options)
            else:
                kernels.sgd_update(param, grad, first, first_step=step == 1, **options)
        same(params, expected)


@every_rule
def test_one_array_and_a_list_of_it_agree(name):
    one, listed = np.linspace(-1, 1, 33), np.linspace(-1, 1, 33)
    single, many = make(name, one), make(name, (listed,))
    for seed in range(3):
        (grad,) = arrays_of([33], np.float64, seed)
        single.step(grad)
        many.step([grad])
    np.testing.assert_array_equal(one, listed)
    assert single.params is one
    assert many.params[0] is listed


@every_rule
def test_thread_counts_give_the_same_bits(name):
    results = []
    for n_threads in THREAD_COUNTS:
        params = arrays_of(SHAPES, np.float32, 0) + arrays_of([600_001], np.float64, 1)
        optimizer = make(name, params, n_threads=n_threads)
        for step in (1, 2):
            optimizer.step(arrays_of(SHAPES, np.float32, step) + arrays_of([600_001], np.float64, step))
        results.append([param.tobytes() for param in params])
    assert results[0] == results[1] == results[2]


def test_options_may_change_between_steps():
    theta = np.zeros(2)
    optimizer = SGD(theta, lr=1.0)
    optimizer.step(np.ones(2))
    optimizer.lr = 0.25
    optimizer.step(np.ones(2))
    np.testing.assert_array_equal(theta, [-1.25, -1.25])
    optimizer.momentum = 0.5  # its first step with momentum: the buffer starts as the gradient
    optimizer.step(np.ones(2))
    optimizer.step(np.ones(2))
    np.testing.assert_array_equal(theta, [-1.25 - 0.25 - 0.375] * 2)


def test_nan_passes_through():
    for rule in (SGD, Adam):
        theta = np.zeros(5)
        rule(theta).step(np.array([0.0, np.nan, 1.0, 0.0, 0.0]))
        np.testing.assert_array_equal(np.isnan(theta), [False, True, False, False, False])


def test_class_against_torch():
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    for name, (rule, options) in RULES.items():
        if name == "textbook":
            continue
        options = dict(options)
        peer_rule = torch.optim.SGD if rule is SGD else torch.optim.Adam
        if options.pop("decoupled", False):
            peer_rule = torch.optim.AdamW
        params = arrays_of([(3, 4), (5,)], np.float64, 0)
        peers = [torch.nn.Parameter(torch.from_numpy(param.copy())) for param in params]
        optimizer, peer = make(name, params), peer_rule(peers, **options)
        for step in range(20):
            grads = arrays_of([(3, 4), (5,)], np.float64, step)
            for tensor, grad in zip(peers, grads, strict=True):
                tensor.grad = torch.from_numpy(grad.copy())
            optimizer.step(grads)
            peer.step()
        for param, tensor in zip(params, peers, strict=True):
            np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=0, atol=1e-13)


# ---- state -------------------------------------------------------------------------------------------------

@every_rule
@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_resumed_run_goes_on_bit_for_bit(name, through_a_file, tmp_path):
    params = arrays_of(SHAPES, np.float32, 0)
    optimizer = make(name, params)
    for step in (1, 2):
        optimizer.step(arrays_of(SHAPES, np.float32, step))
    optimizer.lr = 0.03
    state = optimizer.state_dict()
    if through_a_file:
        np.savez(tmp_path / "state.npz", **state)
        with np.load(tmp_path / "state.npz") as loaded:
            state = dict(loaded)
    resumed_params = copy.deepcopy(params)
    resumed = type(optimizer)(resumed_params)
    resumed.load_state_dict(state)
    assert resumed.state_dict().keys() == state.keys()
    for step in (3, 4):
        optimizer.step(arrays_of(SHAPES, np.float32, step))
        resumed.step(arrays_of(SHAPES, np.float32, step))
    same(resumed_params, params)
    assert resumed.state_dict()["step"] == 4
    assert resumed.lr == 0.03


def test_state_is_flat_and_a_copy():
    theta = np.zeros(3)
    optimizer = Adam(theta, betas=(0.5, 0.5))
    optimizer.step(np.ones(3))
    state = optimizer.state_dict()
    assert list(state) == [
        "rule", "step", "lr", "betas", "eps", "weight_decay", "decoupled", "bias_correction", "exp_avg.0",
        "exp_avg_sq.0",
    ]
    assert (state["rule"], state["step"], state["betas"]) == ("Adam", 1, (0.5, 0.5))
    np.testing.assert_array_equal(state["exp_avg.0"], np.full(3, 0.5))
    state["exp_avg.0"][:] = 9.0
    np.testing.assert_array_equal(optimizer.state_dict()["exp_avg.0"], np.full(3, 0.5))
    assert "momentum_buffer.0" not in SGD(theta, momentum=0.9).state_dict()  # no step yet


def test_step_counts_past_float32_resume():
    theta = np.zeros(1)
    optimizer = Adam(theta)
    state = optimizer.state_dict()
    state["step"] = 2**24 + 1
    optimizer.load_state_dict(state)
    optimizer.step(np.ones(1))
    assert optimizer.state_dict()["step"] == 2**24 + 2


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"rule": "SGD"}, ValueError, "must be of rule 'Adam', got 'SGD'"),
        ({"step": -1}, ValueError, "step in state must be a non-negative integer"),
        ({"step": 1.5}, ValueError, "step in state must be a non-negative integer"),
        ({"lr": -1.0}, ValueError, "lr must be at least 0"),
        ({"betas": 0.9}, TypeError, "betas must be a pair"),
        ({"decoupled": 1}, TypeError, "decoupled must be True or False"),
        ({"exp_avg.0": None}, ValueError, r"state lacks exp_avg\.0"),
        ({"eps": None}, ValueError, "state lacks eps"),
        ({"exp_avg.2": np.zeros(3)}, ValueError, r"unknown to Adam of 2 parameters: exp_avg\.2"),
        ({"exp_avg_sq.1": np.zeros((3, 2))}, ValueError, r"exp_avg_sq\.1 in state must have shape \(2, 3\)"),
        ({"exp_avg_sq.1": np.zeros((2, 3), np.float32)}, ValueError, "dtype float64.*got .*float32"),
        ({"exp_avg.0": [0.0, 0.0]}, TypeError, r"exp_avg\.0 in state must be a numpy.ndarray, got list"),
    ],
)
def test_a_bad_state_changes_nothing(change, error, match):
    params = arrays_of([(2,), (2, 3)], np.float64, 0)
    optimizer = Adam(params, lr=0.5)
    optimizer.step(arrays_of([(2,), (2, 3)], np.float64, 1))
    before = optimizer.state_dict()
    state = {name: value + 1 if isinstance(value, np.ndarray) else value for name, value in before.items()}
    for name, value in change.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    with pytest.raises(error, match=match):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after.keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


# ---- bad input ---------------------------------------------------------------------------------------------

BAD_GRADS = {
    "missing": (lambda g: g[:-1], ValueError, "grads must hold 3 arrays, as params does, got 2"),
    "one array": (lambda g: g[0], TypeError, "grads must be a list of 3 arrays"),
    "shape": (lambda g: [*g[:2], g[2][:-1]], ValueError, r"grads\[2\] must have the shape of params\[2\]"),
    "dtype": (
        lambda g: [g[0], g[1].astype(np.float32), g[2]],
        TypeError,
        r"grads\[1\] must have the dtype of params\[1\]",
    ),
    "strided": (lambda g: [*g[:2], np.repeat(g[2], 2)[::2]], ValueError, r"grads\[2\] must be C-contiguous"),
    "fortran": (lambda g: [np.asfortranarray(g[0]), *g[1:]], ValueError, r"grads\[0\] must be C-contiguous"),
    "none": (lambda g: [*g[:2], None], TypeError, r"grads\[2\] must be a numpy.ndarray, got NoneType"),
}


@every_rule
@pytest.mark.parametrize("kind", BAD_GRADS)
def test_bad_gradients_change_nothing(name, kind):
    spoil, error, match = BAD_GRADS[kind]
    shapes = [(2, 3), (4,), (6,)]
    params = arrays_of(shapes, np.float64, 0)
    optimizer = make(name, params)
    optimizer.step(arrays_of(shapes, np.float64, 1))
    kept, state = copy.deepcopy(params), optimizer.state_dict()
    with pytest.raises(error, match=match):
        optimizer.step(spoil(arrays_of(shapes, np.float64, 2)))
    same(params, kept)
    after = optimizer.state_dict()
    for key, value in state.items():
        np.testing.assert_array_equal(after[key], value)


def test_gradients_that_are_parameters_or_state_are_refused():
    memory = np.zeros(40)
    params = [memory[:10], memory[20:30]]
    optimizer = Adam(params)
    free = [np.zeros(10), np.zeros(10)]
    for start in (15, 20, 25, 29):
        with pytest.raises(ValueError, match=r"grads\[0\] must not overlap params\[1\] in memory"):
            optimizer.step([memory[start : start + 10], free[1]])
    optimizer.step([memory[10:20], memory[30:40]])  # next to them is fine
    with pytest.raises(ValueError, match=r"grads\[1\] must not overlap the state of params\[0\]"):
        optimizer.step([free[0], optimizer._update.states[1][0]])


@pytest.mark.parametrize("rule", [SGD, Adam])
def test_bad_parameters_are_refused(rule):
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    memory = np.zeros(10)
    for params, error, match in [
        ([], ValueError, "at least one array"),
        ("theta", TypeError, "params must be a numpy.ndarray or a list"),
        ([1.0, 2.0], TypeError, r"params\[0\] must be a numpy.ndarray, got float"),
        (np.zeros(3, np.int64), TypeError, "params must have dtype float32 or float64, got int64"),
        ([np.zeros(3), np.zeros(3, np.float16)], TypeError, r"params\[1\] must have dtype float32"),
        (np.zeros((4, 4))[:, ::2], ValueError, "params must be C-contiguous"),
        (np.zeros((4, 4), order="F"), ValueError, "params must be C-contiguous"),
        (read_only, ValueError, "params must be writeable"),
        ([memory, np.zeros(2), memory], ValueError, r"params\[2\] must not overlap params\[0\]"),
        ([memory[5:], np.zeros(2), memory[:6]], ValueError, r"params\[2\] must not overlap params\[0\]"),
    ]:
        with pytest.raises(error, match=match):
            rule(params)


def test_parameters_that_changed_underneath_are_refused():
    theta = np.zeros(10)
    optimizer = SGD(theta, lr=1.0)
    theta.flags.writeable = False
    with pytest.raises(ValueError, match="params must be writeable"):
        optimizer.step(np.ones(10))
    theta.flags.writeable = True
    theta.resize(1_000_000, refcheck=False)
    with pytest.raises(ValueError, match="params was resized or moved"):
        optimizer.step(np.ones(1_000_000))


@pytest.mark.parametrize(
    ("rule", "options", "error", "match"),
    [
        (SGD, {"lr": -1.0}, ValueError, "lr must be at least 0"),
        (SGD, {"lr": math.nan}, ValueError, "lr must be finite"),
        (SGD, {"momentum": -0.1}, ValueError, "momentum must be at least 0"),
        (SGD, {"momentum": "0.9"}, TypeError, "momentum must be a real number"),
        (SGD, {"weight_decay": -0.1}, ValueError, "weight_decay must be at least 0"),
        (SGD, {"nesterov": True}, ValueError, "nesterov=True needs a positive momentum"),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, "and dampening 0"),
        (Adam, {"lr": None}, TypeError, "lr must be a real number"),
        (Adam, {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be in \[0, 1\)"),
        (Adam, {"eps": -1.0}, ValueError, "eps must be at least 0"),
        (Adam, {"decoupled": "no"}, TypeError, "decoupled must be True or False"),
    ],
)
def test_bad_options_are_refused(rule, options, error, match):
    with pytest.raises(error, match=match):
        rule(np.zeros(3), **options)


def test_a_bad_option_set_later_is_refused_by_the_step():
    theta = np.ones(3)
    optimizer = Adam(theta)
    for name, value in {"lr": -1.0, "betas": (2.0, 0.5), "n_threads": 0}.items():
        good = getattr(optimizer, name)
        setattr(optimizer, name, value)
        with pytest.raises(ValueError, match=name):
            optimizer.step(np.ones(3))
        setattr(optimizer, name, good)
    np.testing.assert_array_equal(theta, np.ones(3))
    assert optimizer.state_dict()["step"] == 0
