"""The update kernels: closed forms, the NumPy twins, torch, levels, threads, subnormals, bad input."""
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

import fasttrain.kernels
import fasttrain.reference
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS

# One below, at and above the pieces and the sizes where a further thread and larger pieces begin.
LARGE_SIZES = (8191, 8193, 16385, 65537, 65536 * 3 + 1, 1048577)


# ---- the rules and their options ---------------------------------------------------------------------------

@dataclass(frozen=True)
class Case:
    """A rule with some options; amsgrad and centered stand for the array that makes them."""

    function: str
    name: str
    options: dict = field(default_factory=dict)
    states: tuple = ()
    counted: dict = field(default_factory=dict)  # before the first step; what a step returns comes next
    counts_steps: bool = True

    def __str__(self):
        return f"{self.function.removesuffix('_update')}-{self.name}"

    @property
    def first(self):
        """Names of the array that is updated and of the one that it is updated by."""
        return ("average", "value") if self.function == "average_update" else ("param", "grad")

    @property
    def arrays(self):
        return (*self.first, *self.states)

    @property
    def given(self):
        return {name: value for name, value in self.options.items() if name not in ("amsgrad", "centered")}


UNSIGNED = {"exp_avg_sq", "max_exp_avg_sq", "exp_inf", "sum", "square_avg", "acc_delta"}
MOMENTS = ("exp_avg", "exp_avg_sq")


def sgd(name, **options):
    return Case("sgd_update", name, options, ("momentum_buffer",) if "momentum" in options else ())


def adam(name, **options):
    return Case("adam_update", name, options, (*MOMENTS, "max_exp_avg_sq") if "amsgrad" in options else MOMENTS)


def rmsprop(name, **options):
    states = ("square_avg", *("grad_avg",) * ("centered" in options), *("momentum_buffer",) * ("momentum" in options))
    return Case("rmsprop_update", name, options, states, counts_steps=False)


def rule(function, name, states, counts_steps=True, counted=None, **options):
    return Case(function + "_update", name, options, states, counted or {}, counts_steps)


def nadam(name, **options):
    return rule("nadam", name, MOMENTS, counted={"mu_product": 1.0}, **options)


def schedule_free(name, **options):
    states, counted = ("z", "exp_avg_sq"), {"weight_sum": 0.0, "lr_max": 0.0}
    return rule("schedule_free", name, states, counted=counted, **options)


CASES = [
    sgd("plain"),
    sgd("decay", weight_decay=0.1, maximize=True),
    sgd("momentum", momentum=0.9),
    sgd("dampening", momentum=0.9, dampening=0.3, weight_decay=0.1),
    sgd("nesterov", momentum=0.9, nesterov=True, maximize=True),
    sgd("nesterov_decay", momentum=0.8, nesterov=True, weight_decay=0.1),
    adam("plain"),
    adam("betas", betas=(0.8, 0.95), eps=1e-5, maximize=True),
    adam("small_betas", betas=(0.3, 0.5), weight_decay=0.1),
    adam("zero_betas", betas=(0.0, 0.0)),
    adam("l2", weight_decay=0.1),
    adam("decoupled", weight_decay=0.1, decoupled_weight_decay=True),
    adam("amsgrad", amsgrad=True, weight_decay=0.1),
    adam("textbook", bias_correction=False),
    adam("textbook_decoupled", bias_correction=False, weight_decay=0.1, decoupled_weight_decay=True),
    adam("uncorrected", eps_mode="uncorrected", eps=1e-3),
    nadam("plain"),
    nadam("l2", weight_decay=0.1, momentum_decay=0.1, maximize=True),
    nadam("decoupled", weight_decay=0.1, decoupled_weight_decay=True, betas=(0.4, 0.99)),
    rule("radam", "plain", MOMENTS),
    rule("radam", "l2", MOMENTS, weight_decay=0.1, betas=(0.4, 0.99), maximize=True),
    rule("radam", "decoupled", MOMENTS, weight_decay=0.1, decoupled_weight_decay=True),
    rule("adamax", "plain", ("exp_avg", "exp_inf")),
    rule("adamax", "l2", ("exp_avg", "exp_inf"), weight_decay=0.1, betas=(0.4, 0.9), eps=1e-3, maximize=True),
    rule("adagrad", "plain", ("sum",)),
    rule("adagrad", "decay", ("sum",), lr_decay=0.01, weight_decay=0.1, eps=1e-3, maximize=True),
    rmsprop("plain"),
    rmsprop("l2", weight_decay=0.1, alpha=0.4, eps=1e-3, maximize=True),
    rmsprop("momentum", momentum=0.9),
    rmsprop("centered", centered=True),
    rmsprop("all", centered=True, momentum=0.9, weight_decay=0.1, alpha=0.9),
    rmsprop("inside", eps_mode="inside", eps=1e-2),
    rmsprop("all_inside", eps_mode="inside", centered=True, momentum=0.5),
    rule("adadelta", "plain", ("square_avg", "acc_delta"), False),
    rule("adadelta", "l2", ("square_avg", "acc_delta"), False, rho=0.4, eps=1e-4, weight_decay=0.1, maximize=True),
    rule("lion", "plain", ("exp_avg",), False),
    rule("lion", "decay", ("exp_avg",), False, betas=(0.6, 0.3), weight_decay=0.1, maximize=True),
    schedule_free("plain"),
    schedule_free("warmup", warmup_steps=7, weight_decay=0.1, betas=(0.4, 0.9), maximize=True),
    schedule_free("weights", r=0.5, weight_lr_power=0.0, eps=1e-3),
    rule("average", "slow", (), False, decay=0.999),
    rule("average", "fast", (), False, decay=0.25),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
# One of each function, that with the most arrays.
FULLEST = [max((c for c in CASES if c.function == name), key=lambda c: len(c.arrays)) for name in
           dict.fromkeys(case.function for case in CASES)]
every_function = pytest.mark.parametrize("case", FULLEST, ids=lambda case: case.function)


def operands(case, size, dtype, seed=0, subnormals=False):
    """Arrays by name: what is updated, the gradient and the state after some steps."""
    random = np.random.default_rng(seed)
    arrays = {name: random.standard_normal(size).astype(dtype) for name in case.arrays}
    for name in UNSIGNED & set(case.arrays):
        arrays[name] = np.square(arrays[name]) * dtype(1e-3)
    if subnormals:
        smallest = np.finfo(dtype).smallest_normal
        for array in arrays.values():
            tiny = random.random(size) < 0.3
            array[tiny] = (random.uniform(0, 2, size=size) * smallest).astype(dtype)[tiny]
    return arrays


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def call(module, case, arrays, step, counted=None, /, **more):
    """A step; returns what the rule has counted."""
    counted = counted or case.counted
    options = {} if case.function == "average_update" else {"lr": 0.01}
    if case.function == "sgd_update":
        options["first_step"] = step == 1
    elif case.counts_steps:
        options["step"] = step
    result = getattr(module, case.function)(**arrays, **{**options, **case.given, **counted, **more})
    results = result if isinstance(result, tuple) else () if result is None else (result,)
    return dict(zip(counted, results, strict=True))


def assert_same_bits(actual, expected):
    """Equal, zeros with their signs, and NaN in the same places."""
    assert list(actual) == list(expected)
    for name, values in actual.items():
        assert values.dtype == expected[name].dtype
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
        signs = [np.signbit(array[array == 0]) for array in (values, expected[name])]
        np.testing.assert_array_equal(*signs, err_msg=f"signs of zeros in {name}")


def test_the_table_has_every_update_kernel():
    functions = {name for name in fasttrain.kernels.__all__ if name.endswith("_update")}
    whole = {"adafactor_update", "lamb_update", "muon_update"}  # test_matrix_optim.py has those of whole arrays
    assert {case.function for case in CASES} == functions - whole
    assert len({str(case) for case in CASES}) == len(CASES)


# ---- values ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd_first_steps_in_closed_form(dtype):
    param, buffer = np.array([1.0, -2.0], dtype), np.full(2, np.nan, dtype)
    grad = np.array([0.5, 0.25], dtype)
    options = {"lr": 0.5, "momentum": 0.5, "dampening": 0.5}
    fasttrain.kernels.sgd_update(param, grad, buffer, first_step=True, **options)
    np.testing.assert_array_equal(buffer, grad)  # the first step takes no dampening and ignores the content
    np.testing.assert_array_equal(param, [0.75, -2.125])
    fasttrain.kernels.sgd_update(param, grad, buffer, **options)
    np.testing.assert_array_equal(buffer, [0.5, 0.25])
    np.testing.assert_array_equal(param, [0.5, -2.25])
    fasttrain.kernels.sgd_update(param, grad, buffer, lr=0.5, momentum=0.5, nesterov=True, weight_decay=2.0)
    # d = [1.5, -4.25], b = 0.5 b + d = [1.75, -4.125], param -= 0.5 (d + 0.5 b)
    np.testing.assert_array_equal(buffer, [1.75, -4.125])
    np.testing.assert_array_equal(param, [-0.6875, 0.90625])


G = np.array([2.0, -0.5, 1e-3, 0.0])
# What a first step from param = 1 with these gradients, lr = 0.1, the other options and fresh state leaves; z and
# the average start at 1, too.
FIRST_STEPS = {
    # exp_avg / (1 - b1) = g and exp_avg_sq / (1 - b2) = g^2
    "adam": ("adam_update", {"eps": 1e-3}, {
        "param": 1 - 0.1 * G / (np.abs(G) + 1e-3), "exp_avg": 0.1 * G, "exp_avg_sq": 0.001 * G * G,
    }),
    "adam decoupled": ("adam_update", {"eps": 1e-3, "weight_decay": 0.5, "decoupled_weight_decay": True}, {
        "param": 0.95 - 0.1 * G / (np.abs(G) + 1e-3), "exp_avg": 0.1 * G,
    }),
    "adam textbook": ("adam_update", {"eps": 0.5, "bias_correction": False}, {
        "param": 1 - 0.1 * 0.1 * G / (np.sqrt(0.001) * np.abs(G) + 0.5),
    }),
    "adam uncorrected": ("adam_update", {"eps": 0.5, "eps_mode": "uncorrected"}, {
        "param": 1 - 0.1 * np.sqrt(0.001) * G / (np.sqrt(0.001) * np.abs(G) + 0.5),
    }),
    "amsgrad": ("adam_update", {"eps": 1e-3, "amsgrad": True}, {
        "param": 1 - 0.1 * G / (np.abs(G) + 1e-3), "max_exp_avg_sq": 0.001 * G * G,
    }),
    # with mu = b1 / 2 at every step
    "nadam": ("nadam_update", {"eps": 1e-3, "momentum_decay": 0.0, "betas": (0.5, 0.999)}, {
        "param": 1 - 0.1 * (0.25 * 0.5 * G / (1 - 0.25**2) + 0.75 * G / (1 - 0.25)) / (np.abs(G) + 1e-3),
        "exp_avg": 0.5 * G, "exp_avg_sq": 0.001 * G * G,
    }),
    # too early for the root
    "radam": ("radam_update", {}, {"param": 1 - 0.1 * G, "exp_avg": 0.1 * G, "exp_avg_sq": 0.001 * G * G}),
    "adamax": ("adamax_update", {"eps": 1e-3}, {
        "param": 1 - 0.1 * G / (np.abs(G) + 1e-3), "exp_avg": 0.1 * G, "exp_inf": np.abs(G) + 1e-3,
    }),
    "adagrad": ("adagrad_update", {"eps": 1e-3, "lr_decay": 7.0}, {
        "param": 1 - 0.1 * G / (np.abs(G) + 1e-3), "sum": G * G,
    }),
    "rmsprop": ("rmsprop_update", {"eps": 1e-3, "alpha": 0.75}, {
        "param": 1 - 0.1 * G / (0.5 * np.abs(G) + 1e-3), "square_avg": 0.25 * G * G,
    }),
    "rmsprop inside": ("rmsprop_update", {"eps": 1e-3, "alpha": 0.75, "eps_mode": "inside"}, {
        "param": 1 - 0.1 * G / np.sqrt(0.25 * G * G + 1e-3),
    }),
    "rmsprop centered": ("rmsprop_update", {"eps": 1e-3, "alpha": 0.75, "centered": True, "momentum": 0.5}, {
        "param": 1 - 0.1 * G / (np.sqrt(0.25 - 0.0625) * np.abs(G) + 1e-3), "grad_avg": 0.25 * G,
        "momentum_buffer": G / (np.sqrt(0.25 - 0.0625) * np.abs(G) + 1e-3),
    }),
    "adadelta": ("adadelta_update", {"eps": 1e-3, "rho": 0.75}, {
        "param": 1 - 0.1 * np.sqrt(1e-3) / np.sqrt(0.25 * G * G + 1e-3) * G, "square_avg": 0.25 * G * G,
        "acc_delta": 0.25 * 1e-3 / (0.25 * G * G + 1e-3) * G * G,
    }),
    "lion": ("lion_update", {"weight_decay": 0.5}, {"param": 0.95 - 0.1 * np.sign(G), "exp_avg": 0.01 * G}),
    # all the weight on the one step: x = z = y
    "schedule free": ("schedule_free_update", {"eps": 1e-3, "weight_decay": 0.5}, {
        "param": 1 - 0.1 * (G / (np.abs(G) + 1e-3) + 0.5), "z": 1 - 0.1 * (G / (np.abs(G) + 1e-3) + 0.5),
    }),
    "average": ("average_update", {"decay": 0.75}, {"average": 0.75 + 0.25 * G}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FIRST_STEPS)
def test_first_step_in_closed_form(name, dtype):
    function, options, expected = FIRST_STEPS[name]
    make = {"adam_update": adam, "rmsprop_update": rmsprop, "nadam_update": nadam}.get(function)
    states = next(case.states for case in CASES if case.function == function)
    case = make(name, **options) if make else next(
        Case(function, name, options, states, c.counted, c.counts_steps) for c in CASES if c.function == function
    )
    arrays = {key: np.zeros(4, dtype) for key in case.arrays}
    arrays[case.first[0]][:] = 1.0
    arrays[case.first[1]][:] = G
    if "z" in arrays:
        arrays["z"][:] = 1.0
    call(fasttrain.kernels, case, arrays, 1, **({} if function == "average_update" else {"lr": 0.1}))
    for key, values in expected.items():
        np.testing.assert_allclose(arrays[key], values, rtol=16 * np.finfo(dtype).eps, err_msg=key)


def test_what_a_rule_counts_is_returned():
    case = nadam("plain", momentum_decay=0.5)
    arrays = operands(case, 3, np.float64)
    mus = [0.9 * (1 - 0.5 * 0.96 ** (step * 0.5)) for step in (1, 2, 3)]
    counted = case.counted
    for step in (1, 2, 3):
        counted = call(fasttrain.kernels, case, arrays, step, counted)
        assert counted == {"mu_product": pytest.approx(math.prod(mus[:step]), rel=1e-15)}

    case = schedule_free("warmup", warmup_steps=4, r=1.0)
    arrays = operands(case, 3, np.float64)
    counted, weights = case.counted, 0.0
    for step, lr in enumerate((0.0025, 0.005, 0.0075, 0.01, 0.01), start=1):
        counted = call(fasttrain.kernels, case, arrays, step, counted)
        weights += step * lr**2
        assert counted == {"weight_sum": pytest.approx(weights, rel=1e-14), "lr_max": pytest.approx(lr, rel=1e-15)}


def test_amsgrad_keeps_the_largest():
    case, large, small = adam("amsgrad", amsgrad=True), np.full(3, 4.0), np.full(3, 1e-3)
    arrays = {**operands(case, 3, np.float64), "grad": large, "exp_avg_sq": np.zeros(3), "max_exp_avg_sq": np.zeros(3)}
    call(fasttrain.kernels, case, arrays, 1)
    largest = arrays["max_exp_avg_sq"].copy()
    np.testing.assert_array_equal(largest, arrays["exp_avg_sq"])
    call(fasttrain.kernels, case, {**arrays, "grad": small}, 2)
    np.testing.assert_array_equal(arrays["max_exp_avg_sq"], largest)
    assert np.all(arrays["exp_avg_sq"] < largest)


def test_a_variance_below_zero_counts_as_zero():
    # (1 - alpha) g^2 against ((1 - alpha) g)^2 with alpha = 0: equal but for rounding, of either sign
    case = rmsprop("centered", centered=True, alpha=0.0, eps=1.0)
    arrays = {**operands(case, 1000, np.float32), "grad_avg": np.ones(1000, np.float32)}
    before = copies(arrays)
    call(fasttrain.kernels, case, arrays, 1)
    expected = before["param"] - np.float32(0.01) * before["grad"]
    np.testing.assert_allclose(arrays["param"], expected, atol=1e-5)  # the root is at most sqrt(2^-24) |g|


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.5, 0.7, 0.999])
def test_an_average_of_equal_values_is_that_value(decay):
    value = np.random.default_rng(0).standard_normal(97).astype(np.float32)
    average = value.copy()
    fasttrain.kernels.average_update(average, value, decay=decay)
    np.testing.assert_array_equal(average, value)


def test_an_average_with_decay_zero_is_the_value():
    average, value = np.full(3, 1e30), np.array([1.0, -2.0, 0.1])
    fasttrain.kernels.average_update(average, value, decay=0.0)
    np.testing.assert_array_equal(average, value)


@pytest.mark.parametrize("step", [2**24, 2**24 + 1, 2**24 + 3, 2**53])
def test_step_counts_are_exact_past_float32(step):
    # beta so near one that the correction of step t is t (1 - beta) to first order
    beta = 1.0 - 2.0**-52
    param, first, second = np.zeros(1), np.zeros(1), np.zeros(1)
    fasttrain.kernels.adam_update(
        param, np.ones(1), first, second, step=step, lr=1.0, betas=(beta, 0.0), eps=0.0
    )
    expected = -(2.0**-52) / -math.expm1(step * math.log(beta))
    np.testing.assert_allclose(param, expected, rtol=1e-15)
    other = np.zeros(1)
    if step < 2**53:
        fasttrain.kernels.adam_update(
            other, np.ones(1), np.zeros(1), np.zeros(1), step=step + 1, lr=1.0, betas=(beta, 0.0), eps=0.0
        )
        assert other[0] != param[0]


@pytest.mark.parametrize("subnormals", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@every_case
def test_twin(case, dtype, subnormals):
    for size in (*SIZES, 8193):
        arrays = operands(case, size, dtype, seed=size, subnormals=subnormals)
        grad = arrays[case.first[1]].copy()
        twins = copies(arrays)
        counted = twin_counted = case.counted
        for step in (1, 2, 9):  # RAdam divides by the root from the sixth on
            counted = call(fasttrain.kernels, case, arrays, step, counted)
            twin_counted = call(fasttrain.reference, case, twins, step, twin_counted)
            assert counted == twin_counted
        assert_same_bits(arrays, twins)
        np.testing.assert_array_equal(arrays[case.first[1]], grad)


@pytest.mark.parametrize("dtype", DTYPES)
@every_case
def test_nan_and_infinity_pass_through(case, dtype):
    arrays = operands(case, 19, dtype)
    updated, grad = (arrays[name] for name in case.first)
    grad[[3, 18]] = np.nan
    grad[5], grad[6] = np.inf, -np.inf
    twins = copies(arrays)
    call(fasttrain.kernels, case, arrays, 9)
    call(fasttrain.reference, case, twins, 9)
    assert_same_bits(arrays, twins)
    assert np.all(np.isnan(updated[[3, 18]]))
    finite = ~np.isin(np.arange(19), [3, 5, 6, 18])
    assert np.all(np.isfinite(updated[finite]))
    if case.function == "lion_update":  # a step of infinity is as long as any
        assert np.all(np.isfinite(updated[[5, 6]]))
    else:
        assert not np.any(np.isfinite(updated[[5, 6]]))


@pytest.mark.parametrize("eps", [1e-30, 1e-40, 0.0])
@pytest.mark.parametrize("function", ["adam", "nadam", "adamax", "adagrad", "rmsprop", "adadelta", "schedule_free"])
def test_zero_gradients_leave_parameters_with_any_positive_eps(function, eps):
    found = next(case for case in CASES if case.function == function + "_update" and "weight_decay" not in case.given)
    arrays = {name: np.zeros(5, np.float32) for name in found.arrays}
    arrays["param"][:] = 1.0
    if "z" in arrays:
        arrays["z"][:] = 1.0
    call(fasttrain.kernels, found, arrays, 1, eps=eps)
    if eps:
        np.testing.assert_array_equal(arrays["param"], np.ones(5, np.float32))
    else:
        assert np.all(np.isnan(arrays["param"]))  # 0 / 0, as in torch


@pytest.mark.parametrize("shape", [(), (3, 0), (2, 3, 5), (1, 1, 1, 1)])
@every_function
def test_shapes(case, shape):
    flat = operands(case, math.prod(shape), np.float64)
    shaped = {name: array.reshape(shape).copy() for name, array in flat.items()}
    call(fasttrain.kernels, case, shaped, 2)
    call(fasttrain.kernels, case, flat, 2)
    assert_same_bits({name: array.ravel() for name, array in shaped.items()}, flat)


def test_memory_mapped_and_read_only_gradient(tmp_path):
    param = np.memmap(tmp_path / "param", dtype=np.float32, mode="w+", shape=(33,))
    param[:] = 1.0
    grad = np.ones(33, np.float32)
    grad.flags.writeable = False
    fasttrain.kernels.sgd_update(param, grad, lr=0.5)
    np.testing.assert_array_equal(param, np.full(33, 0.5))


@pytest.mark.parametrize("function", ["sgd", "rmsprop"])
def test_momentum_zero_leaves_the_buffer(function):
    case = next(case for case in CASES if str(case) == function + "-plain")
    arrays = {**operands(case, 3, np.float64), "momentum_buffer": np.full(3, 7.0)}
    call(fasttrain.kernels, case, arrays, 1)
    np.testing.assert_array_equal(arrays["momentum_buffer"], np.full(3, 7.0))


# ---- peers -----------------------------------------------------------------------------------------------

TORCH_CLASSES = {
    "sgd_update": "SGD", "adam_update": "Adam", "nadam_update": "NAdam", "radam_update": "RAdam",
    "adamax_update": "Adamax", "adagrad_update": "Adagrad", "rmsprop_update": "RMSprop", "adadelta_update": "Adadelta",
}
AGAINST_TORCH = [
    case for case in CASES
    if case.function in TORCH_CLASSES and "eps_mode" not in case.options and "bias_correction" not in case.options
]


def torch_trajectory(torch, case, grads, dtype):
    param = torch.nn.Parameter(torch.ones(grads.shape[1], dtype=dtype))
    optimizer = getattr(torch.optim, TORCH_CLASSES[case.function])([param], lr=0.01, **case.options)
    for grad in grads:
        param.grad = torch.from_numpy(grad).to(dtype)
        optimizer.step()
    return param.detach().numpy()


def own_trajectory(case, grads, dtype):
    arrays = {name: np.zeros(grads.shape[1], dtype) for name in case.arrays}
    for name in {case.first[0], "z"} & set(case.arrays):
        arrays[name][:] = 1.0
    counted = case.counted
    for step, grad in enumerate(grads, start=1):
        arrays[case.first[1]][:] = grad
        counted = call(fasttrain.kernels, case, arrays, step, counted)
    return arrays[case.first[0]]


# Gradients of 1,000 steps.  The root mean square of the float32 errors is the same as torch's within some hundredths;
# the largest of a few is a matter of luck, and over 37 elements the ratio of two such may be anything up to two.
GRADIENTS = np.random.default_rng(3).standard_normal((1000, 2000))


def assert_like_peer(case, exact, peer_in_float32):
    own = own_trajectory(case, GRADIENTS, np.float64)
    assert np.abs(own - exact).max() <= 1e-12 * np.abs(exact).max()
    peer_error = np.abs(peer_in_float32 - exact).max()
    own_error = np.abs(own_trajectory(case, GRADIENTS, np.float32) - exact).max()
    assert own_error <= 1.5 * peer_error


@pytest.mark.parametrize("case", AGAINST_TORCH, ids=str)
def test_thousand_steps_against_torch(case):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        exact = torch_trajectory(torch, case, GRADIENTS, torch.float64)
    finally:
        torch.set_default_dtype(default)
    assert_like_peer(case, exact, torch_trajectory(torch, case, GRADIENTS, torch.float32))


def textbook(case, grads, dtype):
    """The rules that torch lacks, by the formulas of their papers."""
    o, lr = case.options, 0.01
    beta1, beta2 = o.get("betas", (0.9, 0.99 if case.function == "lion_update" else 0.999))
    decay, eps, sign = o.get("weight_decay", 0.0), o.get("eps", 1e-8), -1 if o.get("maximize") else 1
    p = np.ones(grads.shape[1], dtype)
    x, z, m, v = p.copy(), p.copy(), np.zeros_like(p), np.zeros_like(p)
    weights, lr_max = 0.0, 0.0
    for step, g in enumerate((sign * grads).astype(dtype), start=1):
        if case.function == "lion_update":
            p = p * (1 - lr * decay) - lr * np.sign(beta1 * m + (1 - beta1) * g)
            m = beta2 * m + (1 - beta2) * g
        elif case.function == "schedule_free_update":
            rate = lr * min(1.0, step / o["warmup_steps"]) if "warmup_steps" in o else lr
            v = beta2 * v + (1 - beta2) * g * g
            z = z - rate * (g / (np.sqrt(v / (1 - beta2**step)) + eps) + decay * p)
            lr_max = max(lr_max, rate)
            weight = step ** o.get("r", 0.0) * lr_max ** o.get("weight_lr_power", 2.0)
            weights += weight
            x = (1 - weight / weights) * x + weight / weights * z
            p = (1 - beta1) * z + beta1 * x
        else:
            p = o["decay"] * p + (1 - o["decay"]) * g
    return p


@pytest.mark.parametrize("case", [c for c in CASES if c.function not in TORCH_CLASSES], ids=str)
def test_thousand_steps_against_the_textbook(case):
    exact = textbook(case, GRADIENTS, np.float64)
    assert_like_peer(case, exact, textbook(case, GRADIENTS, np.float32))


# ---- the same bits -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
@every_function
def test_thread_counts_give_the_same_bits(case, dtype):
    for size in LARGE_SIZES:
        base = operands(case, size, dtype)
        results = []
        for n_threads in THREAD_COUNTS:
            arrays = copies(base)
            call(fasttrain.kernels, case, arrays, 2, n_threads=n_threads)
            results.append([array.tobytes() for array in arrays.values()])
        assert results[0] == results[1] == results[2]


LEVEL_SCRIPT = """
import hashlib
import fasttrain.kernels
from tests.kernels.test_optim import CASES, DTYPES, call, operands
digest = hashlib.sha256()
for case in CASES:
    for dtype in DTYPES:
        for size in (1, 7, 33, 97, 8193):
            arrays = operands(case, size, dtype, size, subnormals=True)
            for step in (1, 2, 9):
                call(fasttrain.kernels, case, arrays, step)
            for array in arrays.values():
                digest.update(array.tobytes())
print(fasttrain.kernels.cpu_level(), digest.hexdigest())
"""

def test_levels_give_the_same_bits():
    levels = fasttrain.kernels.available_cpu_levels()
    digests = {}
    path = os.pathsep.join(filter(None, sys.path))
    for level in levels:
        result = subprocess.run(
            [sys.executable, "-c", LEVEL_SCRIPT],
            env={**os.environ, "FASTTRAIN_CPU_LEVEL": level, "PYTHONPATH": path},
            cwd=os.getcwd(), capture_output=True, text=True, timeout=120, check=True,
        )
        name, digests[level] = result.stdout.split()
        assert name == level
    assert len(set(digests.values())) == 1, digests


# ---- subnormals --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@every_function
def test_subnormals_are_flushed_and_the_mode_put_back(case, dtype, n_threads):
    smallest = np.finfo(dtype).smallest_normal
    arrays = {name: np.full(200_001, smallest / 2, dtype) for name in case.arrays}
    options = {} if case.function in ("sgd_update", "lion_update", "average_update") else {"eps": 1.0}
    grad = arrays.pop(case.first[1])
    for step in (1, 2):
        call(fasttrain.kernels, case, {**arrays, case.first[1]: grad}, step, n_threads=n_threads, **options)
        for name, array in arrays.items():
            if name == "exp_inf":
                assert np.all(array >= 0.8)  # of eps
            else:
                assert not np.any(array[array != smallest / 2]), name
                assert name == "max_exp_avg_sq" or not np.any(array), name
    assert np.all(grad == smallest / 2)
    halves = np.full(200_001, smallest, dtype) / dtype(2)
    assert np.all(halves == smallest / 2)
    assert np.all(halves > 0)
    assert sys.float_info.min / 2.0 > 0.0


@every_function
def test_no_floating_point_flag_leaks(case):
    arrays = operands(case, 5, np.float32)
    arrays[case.first[1]][:] = [np.inf, -np.inf, np.nan, 1e30, 1e-30]
    with np.errstate(all="raise"):
        call(fasttrain.kernels, case, arrays, 1)
        assert np.add(np.float32(1.0), np.ones(3, np.float32)).sum() == 6.0
    assert np.isnan(arrays[case.first[0]][2])


# ---- bad input ---------------------------------------------------------------------------------------------

def good_operands(case):
    return operands(case, 12, np.float64, seed=5)


BAD_ARRAYS = {
    "list": (lambda a: a.tolist(), TypeError, "must be a numpy.ndarray, got list"),
    "integers": (lambda a: a.astype(np.int64), TypeError, "must have dtype float32 or float64, got int64"),
    "half": (lambda a: a.astype(np.float16), TypeError, "must have dtype float32 or float64, got float16"),
    "byte order": (lambda a: a.astype(a.dtype.newbyteorder()), ValueError, "native byte order"),
    "strided": (lambda a: np.repeat(a, 2)[::2], ValueError, "must be C-contiguous"),
    "reversed": (lambda a: a[::-1], ValueError, "must be C-contiguous"),
    "masked": (np.ma.masked_array, TypeError, "must not be a masked array"),
    "unaligned": (
        lambda a: np.frombuffer(bytearray(a.nbytes + 1), np.uint8)[1:].view(a.dtype), ValueError, "aligned"
    ),
}


def assert_refused(case, arrays, error, match, **options):
    kept = {name: np.array(array) for name, array in arrays.items()}
    with pytest.raises(error, match=match):
        call(fasttrain.kernels, case, arrays, 2, **options)
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.array(array), kept[name])


@pytest.mark.parametrize("kind", BAD_ARRAYS)
@every_function
def test_bad_arrays_are_refused(case, kind):
    spoil, error, match = BAD_ARRAYS[kind]
    for name in case.arrays:
        arrays = good_operands(case)
        arrays[name] = spoil(arrays[name])
        assert_refused(case, arrays, error, f"^{name} .*{match}")


@every_function
def test_other_shapes_and_dtypes_are_refused(case):
    first = case.first[0]
    for name in case.arrays[1:]:
        arrays = good_operands(case)
        arrays[name] = arrays[name][:-1].copy()
        assert_refused(case, arrays, ValueError, rf"^{name} must have the shape of {first}, .*got \(11,\)")
        arrays[name] = np.zeros((3, 4))
        assert_refused(case, arrays, ValueError, rf"^{name} must have the shape of {first}, .*got \(3, 4\)")
        arrays[name] = np.zeros(12, np.float32)
        assert_refused(case, arrays, TypeError, f"^{name} must have the dtype of {first}, .*got float32")


@every_function
def test_read_only_and_overlapping_are_refused(case):
    names = case.arrays
    for name in names:
        if name != case.first[1]:
            arrays = good_operands(case)
            arrays[name].flags.writeable = False
            assert_refused(case, arrays, ValueError, f"^{name} must be writeable")
        for other in names[: names.index(name)]:
            arrays = good_operands(case)
            memory = np.zeros(23)
            arrays[name], arrays[other] = memory[:12], memory[11:]
            match = f"{name}.* overlap .*{other}|{other}.* overlap .*{name}"
            assert_refused(case, arrays, ValueError, match)


@pytest.mark.parametrize(
    ("function", "options", "error", "match"),
    [
        ("sgd", {"lr": -0.1}, ValueError, "lr must be at least 0"),
        ("sgd", {"lr": math.nan}, ValueError, "lr must be finite"),
        ("sgd", {"lr": "0.1"}, TypeError, "lr must be a real number"),
        ("sgd", {"momentum": -0.5}, ValueError, "momentum must be at least 0"),
        ("sgd", {"dampening": math.inf}, ValueError, "dampening must be finite"),
        ("sgd", {"weight_decay": -1}, ValueError, "weight_decay must be at least 0"),
        ("sgd", {"nesterov": 1}, TypeError, "nesterov must be True or False"),
        ("sgd", {"maximize": None}, TypeError, "maximize must be True or False"),
        ("sgd", {"momentum_buffer": None}, ValueError, "momentum_buffer must be given"),
        ("sgd", {"n_threads": 0}, ValueError, "n_threads must be between"),
        ("adam", {"step": 0}, ValueError, "step must be between 1 and"),
        ("adam", {"step": 2**53 + 1}, ValueError, "step must be between 1 and"),
        ("adam", {"step": 1.0}, TypeError, "step must be a positive integer"),
        ("adam", {"step": True}, TypeError, "step must be a positive integer"),
        ("adam", {"lr": -1.0}, ValueError, "lr must be at least 0"),
        ("adam", {"betas": 0.9}, TypeError, "betas must be a pair"),
        ("adam", {"betas": (0.9,)}, TypeError, "betas must be a pair"),
        ("adam", {"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be in \[0, 1\)"),
        ("adam", {"betas": (0.9, -0.1)}, ValueError, r"betas\[1\] must be at least 0"),
        ("adam", {"eps": -1e-8}, ValueError, "eps must be at least 0"),
        ("adam", {"weight_decay": None}, TypeError, "weight_decay must be a real number"),
        ("adam", {"decoupled_weight_decay": "yes"}, TypeError, "decoupled_weight_decay must be True or False"),
        ("adam", {"bias_correction": 0}, TypeError, "bias_correction must be True or False"),
        ("adam", {"eps_mode": "inside"}, ValueError, "eps_mode must be"),
        ("adam", {"exp_avg_sq": None}, ValueError, "exp_avg_sq must be given"),
        ("nadam", {"mu_product": 1.5}, ValueError, r"mu_product must be in \[0, 1\]"),
        ("nadam", {"mu_product": -0.5}, ValueError, "mu_product must be at least 0"),
        ("nadam", {"momentum_decay": -1}, ValueError, "momentum_decay must be at least 0"),
        ("nadam", {"step": 0}, ValueError, "step must be between 1 and"),
        ("radam", {"step": 0}, ValueError, "step must be between 1 and"),
        ("radam", {"decoupled_weight_decay": 1}, TypeError, "decoupled_weight_decay must be True or False"),
        ("adamax", {"step": 0}, ValueError, "step must be between 1 and"),
        ("adamax", {"betas": [0.9, 1.0]}, ValueError, r"betas\[1\] must be in \[0, 1\)"),
        ("adagrad", {"step": 0}, ValueError, "step must be between 1 and"),
        ("adagrad", {"lr_decay": -1}, ValueError, "lr_decay must be at least 0"),
        ("rmsprop", {"alpha": 1.0}, ValueError, r"alpha must be in \[0, 1\)"),
        ("rmsprop", {"momentum": -0.1}, ValueError, "momentum must be at least 0"),
        ("rmsprop", {"momentum_buffer": None, "momentum": 0.5}, ValueError, "momentum_buffer must be given"),
        ("rmsprop", {"eps_mode": "corrected"}, ValueError, "eps_mode must be"),
        ("adadelta", {"rho": 1.0}, ValueError, r"rho must be in \[0, 1\)"),
        ("lion", {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be in \[0, 1\)"),
        ("schedule_free", {"weight_sum": -1.0}, ValueError, "weight_sum must be at least 0"),
        ("schedule_free", {"lr_max": math.nan}, ValueError, "lr_max must be finite"),
        ("schedule_free", {"warmup_steps": -1}, ValueError, "warmup_steps must be at least 0"),
        ("schedule_free", {"r": -1}, ValueError, "r must be at least 0"),
        ("schedule_free", {"weight_lr_power": "2"}, TypeError, "weight_lr_power must be a real number"),
        ("average", {"decay": 1.0}, ValueError, r"decay must be in \[0, 1\)"),
        ("average", {"decay": -0.1}, ValueError, "decay must be at least 0"),
    ],
)
def test_bad_scalars_are_refused(function, options, error, match):
    case = next(case for case in FULLEST if case.function == function + "_update")
    arrays = {name: array for name, array in good_operands(case).items() if name not in options}
    assert_refused(case, arrays, error, match, **options)
