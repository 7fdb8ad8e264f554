"""The update kernels: closed forms, the NumPy twins, torch, levels, threads, subnormals, bad input."""
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import fasttrain.kernels
import fasttrain.reference
from tests import tolerances
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, ulp_distance

# One below, at and above the pieces and the sizes where a further thread and larger pieces begin.
LARGE_SIZES = (8191, 8193, 16385, 65537, 65536 * 3 + 1, 1048577)

SGD_OPTIONS = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "nesterov_decay": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
}
ADAM_OPTIONS = {
    "plain": {},
    "betas": {"betas": (0.8, 0.95), "eps": 1e-5},
    "small_betas": {"betas": (0.3, 0.5), "weight_decay": 0.1},
    "zero_betas": {"betas": (0.0, 0.0)},
    "l2": {"weight_decay": 0.1},
    "decoupled": {"weight_decay": 0.1, "decoupled": True},
    "textbook": {"bias_correction": False},
    "textbook_decoupled": {"bias_correction": False, "weight_decay": 0.1, "decoupled": True},
}
CASES = [("sgd_update", name) for name in SGD_OPTIONS] + [("adam_update", name) for name in ADAM_OPTIONS]


def options_of(function, name):
    return (SGD_OPTIONS if function == "sgd_update" else ADAM_OPTIONS)[name]


def operands(function, options, size, dtype, seed=0, subnormals=False):
    """param, grad and the state that the rule needs, after some steps."""
    random = np.random.default_rng(seed)
    param, grad, first = (random.standard_normal(size).astype(dtype) for _ in range(3))
    second = np.square(random.standard_normal(size)).astype(dtype) * dtype(1e-3)
    if subnormals:
        smallest = np.finfo(dtype).smallest_normal
        for array in (param, grad, first, second):
            tiny = random.random(size) < 0.3
            array[tiny] = (random.uniform(0, 2, size=size) * smallest).astype(dtype)[tiny]
    if function == "adam_update":
        return [param, grad, first, second]
    return [param, grad, first] if options.get("momentum") else [param, grad]


def call(module, function, arrays, options, step, **more):
    if function == "adam_update":
        getattr(module, function)(*arrays, step=step, lr=0.01, **options, **more)
    else:
        getattr(module, function)(*arrays, lr=0.01, first_step=step == 1, **options, **more)


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


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_first_step_is_lr_times_the_sign(dtype):
    # exp_avg / (1 - b1) = g and exp_avg_sq / (1 - b2) = g^2, so the step is lr g / (|g| + eps)
    grad = np.array([2.0, -0.5, 1e-3, 0.0], dtype)
    param, first, second = np.ones(4, dtype), np.zeros(4, dtype), np.zeros(4, dtype)
    fasttrain.kernels.adam_update(param, grad, first, second, step=1, lr=0.1, eps=1e-3)
    g = grad.astype(np.float64)
    rtol = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(param, 1.0 - 0.1 * g / (np.abs(g) + 1e-3), rtol=rtol)
    np.testing.assert_allclose(first, 0.1 * g, rtol=rtol)
    np.testing.assert_allclose(second, 0.001 * g * g, rtol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_without_bias_correction_is_the_textbook_rule(dtype):
    grad = np.array([2.0, -0.5], dtype)
    param, first, second = np.ones(2, dtype), np.zeros(2, dtype), np.zeros(2, dtype)
    fasttrain.kernels.adam_update(param, grad, first, second, step=7, lr=0.1, eps=0.5, bias_correction=False)
    m, v = 0.1 * grad.astype(np.float64), 0.001 * np.square(grad, dtype=np.float64)
    np.testing.assert_allclose(param, 1.0 - 0.1 * m / (np.sqrt(v) + 0.5), rtol=8 * np.finfo(dtype).eps)


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
@pytest.mark.parametrize(("function", "name"), CASES)
def test_twin(function, name, dtype, subnormals):
    options = options_of(function, name)
    for size in (*SIZES, 8193):
        arrays = operands(function, options, size, dtype, seed=size, subnormals=subnormals)
        for step in (1, 2, 3):
            grad_before = arrays[1].copy()
            twins = [array.copy() for array in arrays]
            call(fasttrain.kernels, function, arrays, options, step)
            call(fasttrain.reference, function, twins, options, step)
            for actual, expected in zip(arrays, twins, strict=True):
                assert np.all(ulp_distance(actual, expected) <= tolerances.ULP_ELEMENTWISE)
            np.testing.assert_array_equal(arrays[1], grad_before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ["sgd_update", "adam_update"])
def test_nan_and_infinity_pass_through(function, dtype):
    options = {"momentum": 0.9} if function == "sgd_update" else {}
    arrays = operands(function, options, 19, dtype)
    arrays[1][[3, 18]] = np.nan
    arrays[1][5] = np.inf
    twins = [array.copy() for array in arrays]
    call(fasttrain.kernels, function, arrays, options, 2)
    call(fasttrain.reference, function, twins, options, 2)
    bad = np.isin(np.arange(19), [3, 18] if function == "sgd_update" else [3, 5, 18])
    np.testing.assert_array_equal(np.isnan(arrays[0]), bad)
    for actual, expected in zip(arrays, twins, strict=True):
        assert np.all(ulp_distance(actual, expected) <= tolerances.ULP_ELEMENTWISE)


@pytest.mark.parametrize("eps", [1e-30, 1e-40, 0.0])
def test_zero_gradients_leave_parameters_with_any_positive_eps(eps):
    param, grad, first, second = np.ones(5, np.float32), *(np.zeros(5, np.float32) for _ in range(3))
    fasttrain.kernels.adam_update(param, grad, first, second, step=1, lr=0.1, eps=eps)
    if eps:
        np.testing.assert_array_equal(param, np.ones(5, np.float32))
    else:
        assert np.all(np.isnan(param))  # 0 / 0, as in torch


@pytest.mark.parametrize("shape", [(), (3, 0), (2, 3, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize("function", ["sgd_update", "adam_update"])
def test_shapes(function, shape):
    options = {"momentum": 0.9} if function == "sgd_update" else {}
    arrays = operands(function, options, math.prod(shape), np.float64)
    flat = [array.copy() for array in arrays]
    shaped = [array.reshape(shape) for array in arrays]
    call(fasttrain.kernels, function, shaped, options, 2)
    call(fasttrain.kernels, function, flat, options, 2)
    for actual, expected in zip(shaped, flat, strict=True):
        np.testing.assert_array_equal(actual.ravel(), expected)


def test_memory_mapped_and_read_only_gradient(tmp_path):
    param = np.memmap(tmp_path / "param", dtype=np.float32, mode="w+", shape=(33,))
    param[:] = 1.0
    grad = np.ones(33, np.float32)
    grad.flags.writeable = False
    fasttrain.kernels.sgd_update(param, grad, lr=0.5)
    np.testing.assert_array_equal(param, np.full(33, 0.5))


def test_momentum_zero_leaves_the_buffer():
    buffer = np.full(3, 7.0)
    fasttrain.kernels.sgd_update(np.ones(3), np.ones(3), buffer, lr=0.1)
    np.testing.assert_array_equal(buffer, np.full(3, 7.0))


# ---- torch -----------------------------------------------------------------------------------------------

def torch_trajectory(torch, function, options, grads, dtype):
    param = torch.nn.Parameter(torch.ones(grads.shape[1], dtype=dtype))
    options = dict(options)
    if function == "sgd_update":
        optimizer = torch.optim.SGD([param], lr=0.01, **options)
    else:
        rule = torch.optim.AdamW if options.pop("decoupled", False) else torch.optim.Adam
        optimizer = rule([param], **{"lr": 0.01, "weight_decay": 0.0, **options})
    for grad in grads:
        param.grad = torch.from_numpy(grad).to(dtype)
        optimizer.step()
    return param.detach().numpy()


def own_trajectory(function, options, grads, dtype):
    n = grads.shape[1]
    n_states = 2 if function == "adam_update" else bool(options.get("momentum"))
    arrays = [np.ones(n, dtype), np.empty(n, dtype), *(np.zeros(n, dtype) for _ in range(n_states))]
    for step, grad in enumerate(grads, start=1):
        arrays[1][:] = grad
        call(fasttrain.kernels, function, arrays, options, step)
    return arrays[0]


@pytest.mark.parametrize(("function", "name"), [case for case in CASES if "textbook" not in case[1]])
def test_thousand_steps_against_torch(function, name):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    options = options_of(function, name)
    grads = np.random.default_rng(3).standard_normal((1000, 37))
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        exact = torch_trajectory(torch, function, options, grads, torch.float64)
    finally:
        torch.set_default_dtype(default)
    own = own_trajectory(function, options, grads, np.float64)
    assert np.abs(own - exact).max() <= 1e-12 * np.abs(exact).max()

    peer_error = np.abs(torch_trajectory(torch, function, options, grads, torch.float32) - exact).max()
    own_error = np.abs(own_trajectory(function, options, grads, np.float32) - exact).max()
    assert own_error <= 1.5 * peer_error


# ---- the same bits -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("function", "name"),
    [("sgd_update", "nesterov_decay"), ("adam_update", "l2"), ("adam_update", "decoupled")],
)
def test_thread_counts_give_the_same_bits(function, name, dtype):
    options = options_of(function, name)
    for size in LARGE_SIZES:
        base = operands(function, options, size, dtype)
        results = []
        for n_threads in THREAD_COUNTS:
            arrays = [array.copy() for array in base]
            call(fasttrain.kernels, function, arrays, options, 2, n_threads=n_threads)
            results.append([array.tobytes() for array in arrays])
        assert results[0] == results[1] == results[2]


LEVEL_SCRIPT = """
import hashlib
import fasttrain.kernels
from tests.kernels.test_optim import CASES, DTYPES, call, operands, options_of
digest = hashlib.sha256()
for function, name in CASES:
    for dtype in DTYPES:
        for size in (1, 7, 33, 97, 8193):
            arrays = operands(function, options_of(function, name), size, dtype, size, subnormals=True)
            for step in (1, 2):
                call(fasttrain.kernels, function, arrays, options_of(function, name), step)
            for array in arrays:
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
@pytest.mark.parametrize("function", ["sgd_update", "adam_update"])
def test_subnormals_are_flushed_and_the_mode_put_back(function, dtype, n_threads):
    options = {"momentum": 0.9} if function == "sgd_update" else {}
    smallest = np.finfo(dtype).smallest_normal
    arrays = [np.full(200_001, smallest / 2, dtype) for _ in operands(function, options, 1, dtype)]
    for step in (1, 2):
        call(fasttrain.kernels, function, arrays, options, step, n_threads=n_threads)
        for array in [arrays[0], *arrays[2:]]:
            assert not np.any(array)
    assert np.all(arrays[1] == smallest / 2)
    halves = np.full(200_001, smallest, dtype) / dtype(2)
    assert np.all(halves == smallest / 2)
    assert np.all(halves > 0)
    assert sys.float_info.min / 2.0 > 0.0


def test_no_floating_point_flag_leaks():
    param, grad = np.ones(5, np.float32), np.full(5, np.inf, np.float32)
    first, second = np.zeros(5, np.float32), np.zeros(5, np.float32)
    with np.errstate(all="raise"):
        fasttrain.kernels.adam_update(param, grad, first, second, step=1, lr=0.1)
        assert np.add(np.float32(1.0), np.ones(3, np.float32)).sum() == 6.0
    assert np.all(np.isnan(param))


# ---- bad input ---------------------------------------------------------------------------------------------

def good_operands(function):
    random = np.random.default_rng(5)
    names = ["param", "grad", "momentum_buffer"] if function == "sgd_update" else [
        "param", "grad", "exp_avg", "exp_avg_sq"
    ]
    return {name: random.standard_normal(12) for name in names}


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


def assert_refused(function, arrays, error, match, **options):
    kept = {name: np.array(array) for name, array in arrays.items()}
    scalars = {"lr": 0.1, "momentum": 0.9} if function == "sgd_update" else {"lr": 0.1, "step": 2}
    with pytest.raises(error, match=match):
        getattr(fasttrain.kernels, function)(**arrays, **{**scalars, **options})
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.array(array), kept[name])


@pytest.mark.parametrize("kind", BAD_ARRAYS)
@pytest.mark.parametrize("function", ["sgd_update", "adam_update"])
def test_bad_arrays_are_refused(function, kind):
    spoil, error, match = BAD_ARRAYS[kind]
    for name in good_operands(function):
        arrays = good_operands(function)
        arrays[name] = spoil(arrays[name])
        assert_refused(function, arrays, error, f"^{name} .*{match}")


@pytest.mark.parametrize("function", ["sgd_update", "adam_update"])
def test_other_shapes_and_dtypes_are_refused(function):
    for name in list(good_operands(function))[1:]:
        arrays = good_operands(function)
        arrays[name] = arrays[name][:-1].copy()
        assert_refused(function, arrays, ValueError, rf"^{name} must have the shape of param, .*got \(11,\)")
        arrays[name] = np.zeros((3, 4))
        assert_refused(function, arrays, ValueError, rf"^{name} must have the shape of param, .*got \(3, 4\)")
        arrays[name] = np.zeros(12, np.float32)
        assert_refused(function, arrays, TypeError, f"^{name} must have the dtype of param, .*got float32")


@pytest.mark.parametrize("function", ["sgd_update", "adam_update"])
def test_read_only_and_overlapping_are_refused(function):
    names = list(good_operands(function))
    for name in names:
        if name != "grad":
            arrays = good_operands(function)
            arrays[name].flags.writeable = False
            assert_refused(function, arrays, ValueError, f"^{name} must be writeable")
        for other in names[: names.index(name)]:
            arrays = good_operands(function)
            memory = np.zeros(23)
            arrays[name], arrays[other] = memory[:12], memory[11:]
            match = f"{name}.* overlap .*{other}|{other}.* overlap .*{name}"
            assert_refused(function, arrays, ValueError, match)


@pytest.mark.parametrize(
    ("function", "options", "error", "match"),
    [
        ("sgd_update", {"lr": -0.1}, ValueError, "lr must be at least 0"),
        ("sgd_update", {"lr": math.nan}, ValueError, "lr must be finite"),
        ("sgd_update", {"lr": "0.1"}, TypeError, "lr must be a real number"),
        ("sgd_update", {"momentum": -0.5}, ValueError, "momentum must be at least 0"),
        ("sgd_update", {"dampening": math.inf}, ValueError, "dampening must be finite"),
        ("sgd_update", {"weight_decay": -1}, ValueError, "weight_decay must be at least 0"),
        ("sgd_update", {"nesterov": 1}, TypeError, "nesterov must be True or False"),
        ("sgd_update", {"momentum_buffer": None}, ValueError, "momentum_buffer must be given"),
        ("sgd_update", {"n_threads": 0}, ValueError, "n_threads must be between"),
        ("adam_update", {"step": 0}, ValueError, "step must be between 1 and"),
        ("adam_update", {"step": 2**53 + 1}, ValueError, "step must be between 1 and"),
        ("adam_update", {"step": 1.0}, TypeError, "step must be a positive integer"),
        ("adam_update", {"step": True}, TypeError, "step must be a positive integer"),
        ("adam_update", {"lr": -1.0}, ValueError, "lr must be at least 0"),
        ("adam_update", {"betas": 0.9}, TypeError, "betas must be a pair"),
        ("adam_update", {"betas": (0.9,)}, TypeError, "betas must be a pair"),
        ("adam_update", {"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be in \[0, 1\)"),
        ("adam_update", {"betas": (0.9, -0.1)}, ValueError, r"betas\[1\] must be at least 0"),
        ("adam_update", {"eps": -1e-8}, ValueError, "eps must be at least 0"),
        ("adam_update", {"weight_decay": None}, TypeError, "weight_decay must be a real number"),
        ("adam_update", {"decoupled": "yes"}, TypeError, "decoupled must be True or False"),
        ("adam_update", {"bias_correction": 0}, TypeError, "bias_correction must be True or False"),
    ],
)
def test_bad_scalars_are_refused(function, options, error, match):
    arrays = good_operands(function)
    options = dict(options)
    if "momentum_buffer" in options:
        del arrays["momentum_buffer"]
    assert_refused(function, arrays, error, match, **options)
