"""Every rule's arithmetic: the kernels, torch, the papers' formulas; the same bits for all threads and CPU levels."""
import copy
import math

import numpy as np
import pytest

import fasttrain.kernels
from fasttrain import optim
from fasttrain.kernels.rules import FAMILIES
from tests.helpers import DTYPES, THREAD_COUNTS, run_python
from tests.optim.rules import (
    CASES,
    FULLEST,
    SHAPES,
    arrays_of,
    assert_same,
    every_case,
    fullest_cases,
    make,
)

# ---- kernels ---------------------------------------------------------------------------------------------------

KERNELS = {optim.SGD: "sgd_update", optim.Adam: "adam_update", optim.AdamW: "adam_update"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case.rule in KERNELS and "initial_lr" not in case.options]
)
def test_steps_are_those_of_the_kernels(name, dtype):
    rule = CASES[name].rule
    params = arrays_of(SHAPES, dtype, 0)
    expected = copy.deepcopy(params)
    states = [[np.zeros_like(param) for _ in range(3)] for param in params]
    optimizer = make(name, params)
    options = {key: value for key, value in optimizer.param_groups[0].items() if key not in ("params", "initial_lr")}
    amsgrad = options.pop("amsgrad", False)
    for step in (1, 2, 3):
        grads = arrays_of(SHAPES, dtype, step)
        assert optimizer.step(grads) is True
        assert_same(grads, arrays_of(SHAPES, dtype, step))
        for param, grad, state in zip(expected, grads, states, strict=True):
            if rule is optim.SGD:
                fasttrain.kernels.sgd_update(param, grad, state[0], first_step=step == 1, **options)
            else:
                fasttrain.kernels.adam_update(param, grad, *state[: 3 if amsgrad else 2], step=step, **options)
        assert_same(params, expected)
    assert optimizer.n_steps == 3


# ---- torch -----------------------------------------------------------------------------------------------------

N_STEPS = 1000
TORCH_SHAPES = [(5, 4), (17,), ()]


def grads_of(step, dtype):
    # magnitudes that differ from element to element and over time, and some zeros
    grads = arrays_of(TORCH_SHAPES, dtype, 1000 + step, scale=1.0 + math.sin(step))
    grads[1][step % 17] = 0.0
    return grads


def own_trajectory(name, dtype, groups=None):
    params = arrays_of(TORCH_SHAPES, dtype, 0)
    optimizer = make(name, params if groups is None else groups(params))
    for step in range(N_STEPS):
        optimizer.step(grads_of(step, dtype))
    return np.concatenate([param.ravel() for param in params])


def torch_trajectory(torch, name, dtype, groups=None):
    case = CASES[name]
    kind = getattr(torch, np.dtype(dtype).name)
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)  # of the scalars that some rules keep in tensors
    try:
        params = [torch.nn.Parameter(torch.from_numpy(param)) for param in arrays_of(TORCH_SHAPES, dtype, 0)]
        optimizer = getattr(torch.optim, case.peer)(params if groups is None else groups(params), **case.options)
        for step in range(N_STEPS):
            for param, grad in zip(params, grads_of(step, dtype), strict=True):
                param.grad = torch.from_numpy(grad)
            optimizer.step()
    finally:
        torch.set_default_dtype(before)
    return np.concatenate([param.detach().numpy().ravel() for param in params])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.peer])
def test_thousand_steps_against_torch(name):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    exact = torch_trajectory(torch, name, np.float64)
    own = own_trajectory(name, np.float64)
    assert np.abs(own - exact).max() <= 1e-12 * np.abs(exact).max()

    peer_error = np.abs(torch_trajectory(torch, name, np.float32) - exact).max()
    own_error = np.abs(own_trajectory(name, np.float32) - exact).max()
    assert own_error <= 1.5 * peer_error


@pytest.mark.parametrize("name", ["SGD dampening", "AdamW plain", "NAdam decoupled", "RMSprop centered momentum"])
def test_groups_against_torch(name):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")

    def groups(params):
        return [{"params": params[:1], "weight_decay": 0.3}, {"params": params[1:], "lr": 0.003}]

    exact = torch_trajectory(torch, name, np.float64, groups)
    assert np.abs(own_trajectory(name, np.float64, groups) - exact).max() <= 1e-12 * np.abs(exact).max()


# ---- closed forms ----------------------------------------------------------------------------------------------

def test_sgd_with_momentum_switched_on_and_off():
    theta = np.zeros(2)
    optimizer = optim.SGD(theta, lr=1.0)
    group = optimizer.param_groups[0]
    optimizer.step(np.ones(2))
    optimizer.lr = 0.25
    optimizer.step(np.ones(2))
    np.testing.assert_array_equal(theta, [-1.25, -1.25])
    group["momentum"], group["dampening"] = 0.5, 0.5  # the first step with momentum: the buffer starts as the gradient
    optimizer.step(np.ones(2))  # b = 1
    optimizer.step(np.ones(2))  # b = 0.5 + 0.5
    np.testing.assert_array_equal(theta, [-1.75, -1.75])
    group["momentum"] = 0.0
    optimizer.step(np.full(2, 5.0))
    group["momentum"] = 0.5  # the buffer is where it was, as in torch
    optimizer.step(np.ones(2))
    np.testing.assert_array_equal(theta, [-1.75 - 1.25 - 0.25] * 2)


def test_adam_eps_modes():
    # After one step exp_avg / (1 - b1) = g and exp_avg_sq = (1 - b2) g^2.
    g, lr, eps, b2 = np.array([2.0, -1e-3]), 0.1, 1e-2, 0.99
    for mode, expected in [
        ("corrected", -lr * g / (np.abs(g) + eps)),
        ("uncorrected", -lr * math.sqrt(1 - b2) * g / (math.sqrt(1 - b2) * np.abs(g) + eps)),
    ]:
        theta = np.zeros(2)
        optim.Adam(theta, lr=lr, eps=eps, betas=(0.9, b2), eps_mode=mode).step(g)
        np.testing.assert_allclose(theta, expected, rtol=1e-14)


def test_adam_without_bias_correction():
    g, theta = np.array([2.0, -1e-3]), np.zeros(2)
    for mode in ("corrected", "uncorrected"):  # without a correction they are one
        theta[:] = 0.0
        optim.Adam(theta, lr=0.1, eps=0.5, betas=(0.9, 0.99), bias_correction=False, eps_mode=mode).step(g)
        np.testing.assert_allclose(theta, -0.1 * 0.1 * g / (np.sqrt(0.01) * np.abs(g) + 0.5), rtol=1e-14)


def test_decay_of_the_paper_follows_the_schedule_only():
    theta = np.ones(3)
    optimizer = optim.AdamW(theta, lr=0.5, weight_decay=0.25, initial_lr=0.5)
    optimizer.step(np.zeros(3))
    np.testing.assert_array_equal(theta, [0.75] * 3)  # 1 - 0.25 * 0.5 / 0.5
    optimizer.lr = 0.125
    optimizer.step(np.zeros(3))
    np.testing.assert_array_equal(theta, [0.75 * (1 - 0.25 * 0.25)] * 3)


def test_rmsprop_eps_modes():
    g, lr, eps, alpha = np.array([2.0, -1e-3]), 0.1, 1e-2, 0.9
    square = (1 - alpha) * g**2
    variance = square - ((1 - alpha) * g) ** 2
    for centered, below in [(False, square), (True, variance)]:
        for mode, root in [("outside", np.sqrt(below) + eps), ("inside", np.sqrt(below + eps))]:
            theta = np.zeros(2)
            optim.RMSprop(theta, lr=lr, eps=eps, alpha=alpha, centered=centered, eps_mode=mode).step(g)
            np.testing.assert_allclose(theta, -lr * g / root, rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_centered_rmsprop_of_a_constant_gradient_has_no_negative_variance(dtype):
    theta = np.zeros(100, dtype)
    optimizer = optim.RMSprop(theta, lr=1e-3, centered=True, alpha=0.5)
    grad = np.linspace(-3, 3, 100).astype(dtype)
    for _ in range(200):  # the variance goes to nothing but rounding
        optimizer.step(grad)
    assert np.all(np.isfinite(theta))


@pytest.mark.parametrize("name", ["Lion plain", "Lion decay"])
def test_lion_against_its_paper(name):
    options = {"betas": (0.9, 0.99), "weight_decay": 0.0, "maximize": False, **CASES[name].options}
    lr, (b1, b2) = options["lr"], options["betas"]
    theta = np.random.default_rng(0).standard_normal(31)
    expected, mean = theta.copy(), np.zeros(31)
    optimizer = make(name, theta)
    for step in range(N_STEPS):
        (grad,) = arrays_of([31], np.float64, step)
        grad[step % 31 :: 7] = 0.0
        optimizer.step(grad)
        g = -grad if options["maximize"] else grad
        expected = expected * (1 - lr * options["weight_decay"])
        expected -= lr * np.sign(b1 * mean + (1 - b1) * g)
        mean = b2 * mean + (1 - b2) * g
    assert np.abs(theta - expected).max() <= 1e-12 * np.abs(expected).max()


def schedule_free(theta, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, warmup_steps=0, r=0,
                  weight_lr_power=2, maximize=False):
    """Points x, y, z of the paper after every step; grads: functions of nothing, one a step."""
    b1, b2 = betas
    x, y, z = theta.copy(), theta.copy(), theta.copy()
    square, weights, lr_max = np.zeros_like(theta), 0.0, 0.0
    for t, grad in enumerate(grads, start=1):
        g = -grad if maximize else grad
        square = b2 * square + (1 - b2) * g**2
        d = g / (np.sqrt(square / (1 - b2**t)) + eps) + weight_decay * y
        lr_t = lr * min(1.0, t / warmup_steps) if warmup_steps else lr
        z = z - lr_t * d
        lr_max = max(lr_max, lr_t)
        weight = t**r * lr_max**weight_lr_power
        weights += weight
        x = x + weight / weights * (z - x)
        y = (1 - b1) * z + b1 * x
        yield x, y, z


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.rule is optim.ScheduleFreeAdamW])
def test_schedule_free_against_its_paper(name):
    (start,) = arrays_of([31], np.float64, 7)
    theta = start.copy()
    grads = [arrays_of([31], np.float64, step)[0] for step in range(N_STEPS)]
    optimizer = make(name, theta)
    for t, (x, y, z) in enumerate(schedule_free(start, grads, **CASES[name].options)):
        optimizer.step(grads[t])
        assert np.abs(theta - y).max() <= 1e-12 * np.abs(y).max()
        if t in (0, 1, 10, N_STEPS - 1):
            held = theta.copy()
            optimizer.eval()
            optimizer.eval()  # twice is once
            # x = y + (1 - 1 / b1) (z - y) has the rounding of y, 1 / b1 times as large
            assert np.abs(theta - x).max() <= 1e-11 * np.abs(z).max()
            for action in (lambda: optimizer.step(grads[0]), optimizer.state_dict):
                with pytest.raises(ValueError, match=r"needs the parameters at y: call train\(\)"):
                    action()
            optimizer.train()
            optimizer.train()
            np.testing.assert_array_equal(theta, held)


def test_schedule_free_before_its_first_step():
    theta = np.ones(3)
    optimizer = optim.ScheduleFreeAdamW(theta)
    optimizer.eval()
    np.testing.assert_array_equal(theta, np.ones(3))
    with pytest.raises(ValueError, match="load_state_dict needs the parameters at y"):
        optimizer.load_state_dict({})
    optimizer.train()
    optimizer.step(np.zeros(3))
    np.testing.assert_array_equal(theta, np.ones(3))


@pytest.mark.parametrize("dtype", DTYPES)
@every_case
def test_nan_and_infinity_pass_through_to_their_elements_alone(name, dtype):
    params = arrays_of([(300,)], dtype, 0)
    twin = copy.deepcopy(params)
    optimizer, other = make(name, params), make(name, twin)
    (grad,) = arrays_of([(300,)], dtype, 1)
    spoiled = grad.copy()
    spoiled[[3, 299]] = np.nan
    optimizer.step([spoiled])
    other.step([grad])
    bad = np.isin(np.arange(300), [3, 299])
    np.testing.assert_array_equal(np.isnan(params[0]), bad)
    np.testing.assert_array_equal(params[0][~bad], twin[0][~bad])


@pytest.mark.parametrize("dtype", DTYPES)
@every_case
def test_zero_gradients_at_the_start_move_nothing_but_by_decay(name, dtype):
    params = arrays_of([(40,)], dtype, 0)
    case = CASES[name]
    optimizer = case.rule(params, **{**case.options, "weight_decay": 0})
    before = copy.deepcopy(params)
    for _ in range(3):
        optimizer.step([np.zeros(40, dtype)])
    assert_same(params, before)


# ---- the same bits ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
@fullest_cases
def test_thread_counts_give_the_same_bits(name, dtype):
    results = []
    for n_threads in THREAD_COUNTS:
        params = arrays_of([*SHAPES, (600_001,)], dtype, 0)
        optimizer = make(name, params, n_threads=n_threads)
        for step in (1, 2):
            optimizer.step(arrays_of([*SHAPES, (600_001,)], dtype, step), max_norm=1.0)
        state = optimizer.state_dict()
        results.append([np.asarray(array).tobytes() for array in [*params, *state.values()]])
    assert results[0] == results[1] == results[2]


LEVEL_SCRIPT = """
import hashlib
import numpy as np
from fasttrain import kernels
from tests.optim.rules import CASES, arrays_of, make
digest = hashlib.sha256()
for name in CASES:
    for dtype in (np.float32, np.float64):
        shapes = [(1,), (7,), (33,), (97,), (8193,)]
        params = arrays_of(shapes, dtype, 0)
        masks = [None, *(np.arange(param.size) % 3 > 0 for param in params[1:])]
        optimizer = make(name, [{"params": params[:3]}, {"params": params[3:], "masks": masks[3:]}])
        tiny = np.finfo(dtype).smallest_normal
        for step in (1, 2, 3):
            grads = arrays_of(shapes, dtype, step)
            for grad in grads:
                grad[::5] *= tiny
            optimizer.step(grads, max_value=None if step < 3 else 0.5)
        for array in [*params, *optimizer.state_dict().values()]:
            digest.update(np.asarray(array).tobytes())
print(kernels.cpu_level(), digest.hexdigest())
"""


def test_levels_give_the_same_bits():
    digests = {}
    for level in fasttrain.kernels.available_cpu_levels():
        result = run_python(LEVEL_SCRIPT, FASTTRAIN_CPU_LEVEL=level)
        assert result.returncode == 0, result.stderr
        name, digests[level] = result.stdout.split()
        assert name == level
    assert len(set(digests.values())) == 1, digests


def test_the_table_has_every_rule_of_the_package():
    rules = {
        rule for rule in vars(optim).values()
        if isinstance(rule, type) and issubclass(rule, optim.Optimizer) and rule is not optim.Optimizer
        and rule._family in FAMILIES  # those of whole arrays have tests of their own
    }
    assert {CASES[name].rule for name in FULLEST} == rules == {case.rule for case in CASES.values()}
