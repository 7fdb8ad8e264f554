"""The update kernels that look at a whole array: LAMB, Adafactor and Muon.

Closed forms, the NumPy twins, torch, levels, threads, subnormals, bad input.
"""
import hashlib
import math
import sys

import numpy as np
import pytest

import fasttrain.kernels
import fasttrain.reference
from tests import tolerances
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, run_python

# Names of the arrays after param and grad; those of a rule over matrices, and over vectors.
STATE_NAMES = {
    "lamb_update": ("exp_avg", "exp_avg_sq"),
    "adafactor_update": ("row_var", "col_var"),
    "adafactor_update vector": ("variance",),
    "muon_update": ("momentum_buffer",),
}
RULES = list(STATE_NAMES)
OPTIONS = {
    "lamb_update": {
        "plain": {},
        "decay": {"weight_decay": 0.1},
        "betas": {"betas": (0.3, 0.5), "eps": 1e-3, "weight_decay": 0.1},
        "zero_betas": {"betas": (0.0, 0.0)},
        "uncorrected": {"bias_correction": False, "weight_decay": 0.1},
        "maximize": {"maximize": True, "grad_factor": 0.25},
        "bounds": {"max_param_norm": 0.5, "max_trust_ratio": 0.01},
    },
    "adafactor_update": {
        "plain": {},
        "decay": {"weight_decay": 0.1},
        "beta2_decay": {"beta2_decay": -0.2, "lr": 0.5},
        "eps": {"eps": (1e-2, 0.5)},
        "d": {"d": 2.5, "beta2_decay": -1.0},
        "maximize": {"maximize": True, "grad_factor": 0.25},
    },
    "muon_update": {
        "plain": {},
        "decay": {"weight_decay": 0.0, "momentum": 0.3},
        "no_nesterov": {"nesterov": False},
        "match_rms_adamw": {"adjust_lr_fn": "match_rms_adamw"},
        "coefficients": {"ns_coefficients": (1.5, -0.5, 0.0), "ns_steps": 3, "eps": 1e-3},
        "no_steps": {"ns_steps": 0, "adjust_lr_fn": "original"},
        "maximize": {"maximize": True, "grad_factor": 0.25},
    },
}
CASES = [(rule, name) for rule in RULES for name in OPTIONS[rule.split()[0]]]
# Around vector widths, runs of 16, blocks of rows and strips of columns; a matrix for each.
MATRIX_SHAPES = [
    (1, 1), (1, 5), (5, 1), (3, 3), (4, 16), (5, 17), (16, 15), (17, 33), (33, 31), (65, 64), (7, 1025), (1030, 3),
    (1, 2049),
]
BATCH_SHAPES = [(2, 3, 4), (3, 2, 5, 7), (5, 0, 3), (0, 3), (3, 0), (700, 3, 3), (2, 40, 1030)]
VECTOR_SHAPES = [(), *((size,) for size in SIZES), (8193,)]


# Relative error of the twins' own sums of squares, which are in float64 as the kernels' are.
SUMS = tolerances.RTOL_REDUCTION[np.dtype("float64")]


def shapes_of(rule):
    if rule == "lamb_update":
        return VECTOR_SHAPES + MATRIX_SHAPES[-4:] + BATCH_SHAPES[:2]
    if rule == "adafactor_update":
        return MATRIX_SHAPES + BATCH_SHAPES
    return VECTOR_SHAPES if rule.endswith("vector") else MATRIX_SHAPES + [(0, 3), (3, 0)]


def state_shapes(rule, shape):
    if rule == "adafactor_update":
        return [shape[:-1] + (1,), shape[:-2] + (1, shape[-1])]
    return [shape for _ in STATE_NAMES[rule]]


def operands(rule, shape, dtype, seed=0, subnormals=False):
    """param, grad and the state by name, after some steps."""
    random = np.random.default_rng(seed)
    arrays = {name: np.array(random.standard_normal(shape), dtype) for name in ("param", "grad")}
    for name, state_shape in zip(STATE_NAMES[rule], state_shapes(rule, shape), strict=True):
        state = np.array(random.standard_normal(state_shape), dtype)
        arrays[name] = state if name in ("exp_avg", "momentum_buffer") else np.square(state, out=state)
    if subnormals:
        smallest = np.finfo(dtype).smallest_normal
        for array in arrays.values():
            tiny = random.random(array.shape) < 0.3
            array[tiny] = (random.uniform(0, 2, size=array.shape) * smallest).astype(dtype)[tiny]
    return arrays


def call(module, rule, arrays, options, step, **more):
    function = rule.split()[0]
    scalars = {"lr": 0.01, **options, **more}
    if function != "muon_update":
        scalars["step"] = step
    getattr(module, function)(**arrays, **scalars)


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def assert_like_twin(rule, options, before, actual, expected):
    eps = float(np.finfo(before["param"].dtype).eps)
    smallest = float(np.finfo(before["param"].dtype).smallest_normal)
    for name, array in actual.items():
        twin = np.asarray(expected[name], np.float64)
        error = np.abs(array - twin)
        if name == "grad":
            assert not np.any(error)
        elif name != "param":
            # a few roundings of what the mean is made of, and sums of squares in float64
            assert np.all(error <= (4 * eps + SUMS) * (np.abs(twin) + np.abs(before[name])) + 2 * smallest)
        else:
            # the step's scalar is made of sums of squares, and the update of Adafactor is rounded five times
            change = np.abs(twin - before[name]) + options.get("lr", 0.01) * np.abs(before[name])
            bound = (8 * eps + 4 * SUMS) * (np.abs(before[name]) + change)
            if rule == "muon_update":
                # an error in X grows by the polynomial's slope at 0 in each step, and the norm of X is 1 at first
                slope = options.get("ns_coefficients", (3.4445,))[0]
                ratio = 0.2 * math.sqrt(max(twin.shape, default=1)) if "adjust_lr_fn" in options else 1.0
                ratio = max(ratio, math.sqrt(max(1.0, twin.shape[0] / max(1, twin.shape[1]))))
                bound = bound + 0.01 * ratio * 4 * eps * slope ** options.get("ns_steps", 5)
            assert np.all(error <= bound + 2 * smallest)


# ---- values ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
def test_lamb_first_step_is_lr_times_the_norm_along_the_signs(dtype):
    grad = np.array([2.0, -0.5, 1e-3, -8.0], dtype)
    param = np.array([1.0, 2.0, -2.0, 4.0], dtype)
    expected = param - 0.1 * 5.0 / 2.0 * np.sign(grad)  # norms 5 and 2
    fasttrain.kernels.lamb_update(param, grad, np.zeros(4, dtype), np.zeros(4, dtype), step=1, lr=0.1, eps=0)
    np.testing.assert_allclose(param, expected, rtol=8 * np.finfo(dtype).eps)


def test_lamb_ratio_of_a_zero_norm_is_one():
    for param, grad in ((np.zeros(3), np.ones(3)), (np.ones(3), np.zeros(3))):
        theta = param.copy()
        fasttrain.kernels.lamb_update(theta, grad, np.zeros(3), np.zeros(3), step=1, lr=0.25, max_trust_ratio=0.1)
        np.testing.assert_allclose(theta, param - 0.25 * grad, rtol=1e-5)


def test_lamb_bounds_on_the_norm_and_the_ratio():
    for options, step_size in (
        ({"max_param_norm": 5.0}, 0.1 * 5.0), ({"max_param_norm": 1.0}, 0.1), ({"max_trust_ratio": 0.5}, 0.05),
    ):
        param = np.array([3.0, 4.0])
        fasttrain.kernels.lamb_update(
            param, np.array([1.0, 0.0]), np.zeros(2), np.zeros(2), step=1, lr=0.1, betas=(0.0, 0.0), eps=0.5,
            bias_correction=False, weight_decay=0.0, **options,
        )
        # u = [1 / 1.5, 0]; a bound of the ratio is on 5 / norm(u)
        norm = 1.0 if "max_trust_ratio" in options else 1.5
        np.testing.assert_allclose(param, [3.0 - step_size * norm / 1.5, 4.0], rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_adafactor_is_exact_for_moments_of_rank_one(dtype):
    rows, columns = np.array([1.0, 2.0, 4.0], dtype), np.array([0.5, -1.0, 3.0, 8.0], dtype)
    param = np.full((3, 4), 2.0, dtype)
    row_var, col_var = np.zeros((3, 1), dtype), np.zeros((1, 4), dtype)
    fasttrain.kernels.adafactor_update(param, np.outer(rows, columns), row_var, col_var, step=1, lr=0.25)
    np.testing.assert_allclose(row_var[:, 0], rows**2 * np.mean(columns**2), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(col_var[0], columns**2 * np.mean(rows**2), rtol=4 * np.finfo(dtype).eps)
    # every update is a sign, and the parameter's root mean square is 2
    np.testing.assert_allclose(param, 2.0 - 0.5 * np.outer(np.sign(rows), np.sign(columns)), rtol=4e-7)


def test_adafactor_of_a_vector_in_closed_form():
    param, variance = np.array([3.0, -4.0]), np.array([1.0, 4.0])
    fasttrain.kernels.adafactor_update(
        param, np.array([1.0, 4.0]), variance=variance, step=4, lr=1.0, beta2_decay=-0.5, weight_decay=0.5
    )
    np.testing.assert_allclose(variance, [1.0, 10.0], rtol=1e-15)
    alpha = math.sqrt(12.5) * 0.5  # rms of the parameter before its decay, and 1 / sqrt(4)
    update = np.array([1.0, 4.0 / math.sqrt(10.0)])
    update /= max(1.0, math.sqrt(np.mean(update**2)))
    np.testing.assert_allclose(param, np.array([1.5, -2.0]) - alpha * update, rtol=1e-14)


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (5, 3)])
def test_muon_applies_its_polynomial_to_the_singular_values(shape):
    random = np.random.default_rng(1)
    grad, param = random.standard_normal(shape), np.zeros(shape)
    fasttrain.kernels.muon_update(param, grad, np.zeros(shape), lr=1.0, momentum=0.0, nesterov=False)
    u, singular, vt = np.linalg.svd(grad, full_matrices=False)
    singular /= np.linalg.norm(grad)
    for _ in range(5):
        singular = 3.4445 * singular - 4.775 * singular**3 + 2.0315 * singular**5
    ratio = math.sqrt(max(1.0, shape[0] / shape[1]))
    np.testing.assert_allclose(param, -ratio * (u * singular) @ vt, atol=1e-11)


def test_muon_of_a_zero_gradient_only_decays():
    param = np.ones((3, 4), np.float32)
    fasttrain.kernels.muon_update(param, 0 * param, 0 * param, lr=0.5, weight_decay=0.5)
    np.testing.assert_array_equal(param, np.full((3, 4), 0.75))


@pytest.mark.parametrize("subnormals", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rule", "name"), CASES)
def test_twin(rule, name, dtype, subnormals):
    options = OPTIONS[rule.split()[0]][name]
    for seed, shape in enumerate(shapes_of(rule)):
        arrays = operands(rule, shape, dtype, seed, subnormals)
        for step in (1, 2, 9):
            before, twins = copies(arrays), copies(arrays)
            call(fasttrain.kernels, rule, arrays, options, step)
            call(fasttrain.reference, rule, twins, options, step)
            assert_like_twin(rule, options, before, arrays, twins)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lamb_moments_are_those_of_adam(dtype):
    lamb, adam = (operands("lamb_update", (97,), dtype) for _ in range(2))
    call(fasttrain.kernels, "lamb_update", lamb, {}, 3)
    fasttrain.kernels.adam_update(**adam, step=3, lr=0.01)
    for name in STATE_NAMES["lamb_update"]:
        np.testing.assert_array_equal(lamb[name], adam[name])


@pytest.mark.parametrize("rule", RULES)
def test_nan_spreads_to_the_whole_parameter(rule):
    arrays = operands(rule, (37,) if rule.endswith("vector") else (5, 37), np.float64)
    arrays["grad"].flat[3] = np.nan
    call(fasttrain.kernels, rule, arrays, {}, 2)
    assert np.all(np.isnan(arrays["param"]))


@pytest.mark.parametrize("eps", [1e-30, 1e-40, 0.0])
def test_zero_gradients_leave_parameters_with_any_positive_eps(eps):
    for rule in RULES[:3]:
        arrays = operands(rule, (5,) if rule.endswith("vector") else (5, 3), np.float32)
        before = arrays["param"].copy()
        for name in ("grad", *STATE_NAMES[rule]):
            arrays[name][...] = 0.0
        call(fasttrain.kernels, rule, arrays, {"eps": eps if rule == "lamb_update" else (eps, 1e-3)}, 1)
        if eps:
            np.testing.assert_array_equal(arrays["param"], before)
        else:
            assert np.all(np.isnan(arrays["param"]))  # 0 / 0, as in torch


def test_a_workspace_of_any_content_changes_no_bit():
    for shape in ((3, 5), (20, 7)):
        results = []
        size = 2 * math.prod(shape) + 2 * min(shape) ** 2 + 64
        for workspace in (None, np.full(size, np.nan), np.full(size + 4, np.inf)[1:]):
            arrays = operands("muon_update", shape, np.float64)
            call(fasttrain.kernels, "muon_update", arrays, {}, 1, workspace=workspace)
            results.append(arrays["param"].tobytes())
        assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("n_threads", THREAD_COUNTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 3), (31, 33), (64, 200), (97, 65), (130, 131), (300, 290), (40, 2000)])
def test_muon_has_the_bits_of_full_products(shape, dtype, n_threads):
    # products of which half is left out and copied; the square of the norm is exact, whatever the order of its sum
    grad = np.sign(np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    param, real = np.zeros(shape, dtype), dtype
    fasttrain.kernels.muon_update(param, grad, 0 * grad, lr=1.0, momentum=0.0, nesterov=False, n_threads=n_threads)
    x, tall = real(1.0 / math.sqrt(grad.size)) * grad, shape[0] > shape[1]
    for _ in range(5):
        gram = fasttrain.kernels.matmul(x, x, transpose_a=tall, transpose_b=not tall)
        factor = real(2.0315) * fasttrain.kernels.matmul(gram, gram) + real(-4.775) * gram
        factor += np.diag(np.full(len(gram), 3.4445, dtype))
        x = fasttrain.kernels.matmul(x, factor) if tall else fasttrain.kernels.matmul(factor, x)
    np.testing.assert_array_equal(param, -real(math.sqrt(max(1.0, shape[0] / shape[1]))) * x)


# ---- torch -----------------------------------------------------------------------------------------------

TORCH_SHAPES = {"adafactor_update": (7, 11), "adafactor_update vector": (37,), "adafactor_update batch": (2, 3, 4, 5)}


def torch_trajectory(torch, options, grads, dtype):
    param = torch.nn.Parameter(torch.ones(grads.shape[1:], dtype=dtype))
    options = {"lr": 0.01, **options}
    factor = options.pop("grad_factor", 1.0)
    optimizer = torch.optim.Adafactor([param], foreach=False, **options)
    for grad in grads:
        param.grad = factor * torch.from_numpy(grad).to(dtype)
        optimizer.step()
    return param.detach().numpy()


def own_trajectory(rule, options, grads, dtype):
    rule = rule.removesuffix(" batch")
    shape = grads.shape[1:]
    arrays = {"param": np.ones(shape, dtype), "grad": np.empty(shape, dtype)}
    arrays |= {
        name: np.zeros(state_shape, dtype)
        for name, state_shape in zip(STATE_NAMES[rule], state_shapes(rule, shape), strict=True)
    }
    for step, grad in enumerate(grads, start=1):
        arrays["grad"][...] = grad
        call(fasttrain.kernels, rule, arrays, options, step)
    return arrays["param"]


@pytest.mark.parametrize("rule", TORCH_SHAPES)
@pytest.mark.parametrize("name", OPTIONS["adafactor_update"])
def test_thousand_steps_against_torch(rule, name):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    options = OPTIONS["adafactor_update"][name]
    grads = np.random.default_rng(3).standard_normal((1000, *TORCH_SHAPES[rule]))
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        exact = torch_trajectory(torch, options, grads, torch.float64)
    finally:
        torch.set_default_dtype(default)
    own = own_trajectory(rule, options, grads, np.float64)
    assert np.abs(own - exact).max() <= 1e-12 * np.abs(exact).max()
    # the same eps in both, which is by default that of the dtype
    options = {**options, "eps": (options.get("eps", (None,))[0] or 2.0**-52, options.get("eps", (0, 1e-3))[1])}
    peer_error = np.abs(torch_trajectory(torch, options, grads, torch.float32) - exact).max()
    own_error = np.abs(own_trajectory(rule, options, grads, np.float32) - exact).max()
    assert own_error <= 1.5 * peer_error


@pytest.mark.parametrize("shape", [(6, 9), (12, 5)])
@pytest.mark.parametrize("name", OPTIONS["muon_update"])
def test_muon_against_torch(name, shape):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    options = dict(OPTIONS["muon_update"][name])
    arrays = operands("muon_update", shape, np.float32)
    arrays["momentum_buffer"][...] = 0
    param = torch.nn.Parameter(torch.from_numpy(arrays["param"].copy()))
    call(fasttrain.kernels, "muon_update", arrays, options, 1)
    factor = options.pop("grad_factor", 1.0) * (-1.0 if options.pop("maximize", False) else 1.0)
    optimizer = torch.optim.Muon([param], **{"lr": 0.01, **options})
    param.grad = factor * torch.from_numpy(arrays["grad"])
    optimizer.step()
    # torch works in bfloat16: errors of 2^-9 in X, elements of which are at most 1, grow in the iteration
    ratio = 0.2 * math.sqrt(max(shape)) if options.get("adjust_lr_fn") == "match_rms_adamw" else math.sqrt(12 / 5)
    np.testing.assert_allclose(arrays["param"], param.detach().numpy(), rtol=0, atol=0.01 * ratio * 0.05)
    np.testing.assert_allclose(
        arrays["momentum_buffer"], optimizer.state[param]["momentum_buffer"].numpy(), rtol=1e-6, atol=1e-7
    )


# ---- the same bits -----------------------------------------------------------------------------------------

LARGE_SHAPES = {
    "lamb_update": [(8193,), (65537 * 3,), (1048577,)],
    "adafactor_update": [(300, 1030), (70001, 3), (3, 70001), (9, 100, 110), (9000, 5, 3)],
    "adafactor_update vector": [(8193,), (300_001,)],
    "muon_update": [(130, 300), (300, 130), (257, 257)],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_thread_counts_give_the_same_bits(rule, dtype):
    for shape in LARGE_SHAPES[rule]:
        results = []
        for n_threads in THREAD_COUNTS:
            arrays = operands(rule, shape, dtype)
            call(fasttrain.kernels, rule, arrays, {"weight_decay": 0.1}, 2, n_threads=n_threads)
            results.append([array.tobytes() for array in arrays.values()])
        assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("rule", RULES)
def test_large_arrays_are_like_the_twin(rule):
    for shape in LARGE_SHAPES[rule]:
        arrays = operands(rule, shape, np.float32)
        before, twins = copies(arrays), copies(arrays)
        call(fasttrain.kernels, rule, arrays, {}, 2)
        call(fasttrain.reference, rule, twins, {}, 2)
        assert_like_twin(rule, {}, before, arrays, twins)


def digest_of_results():
    """For test_levels_give_the_same_bits; Muon's products are not the same at every level."""
    digest = hashlib.sha256()
    for rule, name in CASES:
        options = OPTIONS[rule.split()[0]][name]
        if rule == "muon_update":
            options = {**options, "ns_steps": 0}
        for dtype in DTYPES:
            for seed, shape in enumerate(shapes_of(rule)):
                arrays = operands(rule, shape, dtype, seed, subnormals=True)
                for step in (1, 2):
                    call(fasttrain.kernels, rule, arrays, options, step)
                for array in arrays.values():
                    digest.update(array.tobytes())
    return digest.hexdigest()


def test_levels_give_the_same_bits():
    digests = {}
    for level in fasttrain.kernels.available_cpu_levels():
        child = run_python(
            """
            import fasttrain.kernels
            from tests.kernels.test_matrix_optim import digest_of_results
            print(fasttrain.kernels.cpu_level(), digest_of_results())
            """,
            FASTTRAIN_CPU_LEVEL=level, timeout=120,
        )
        assert child.returncode == 0, child.stderr
        name, digests[level] = child.stdout.split()
        assert name == level
    assert len(set(digests.values())) == 1, digests


# ---- subnormals --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_subnormals_are_flushed_and_the_mode_put_back(rule, dtype, n_threads):
    smallest = np.finfo(dtype).smallest_normal
    shape = (200_001,) if rule.endswith("vector") else (401, 501)
    arrays = operands(rule, shape, dtype)
    for array in arrays.values():
        array[...] = smallest / 2
    call(fasttrain.kernels, rule, arrays, {"ns_steps": 1} if rule == "muon_update" else {}, 2, n_threads=n_threads)
    for name, array in arrays.items():
        assert np.all(array == (smallest / 2 if name == "grad" else 0.0))
    halves = np.full(200_001, smallest, dtype) / dtype(2)
    assert np.all(halves == smallest / 2)
    assert np.all(halves > 0)
    assert sys.float_info.min / 2.0 > 0.0


@pytest.mark.parametrize("rule", RULES)
def test_no_floating_point_flag_leaks(rule):
    arrays = operands(rule, (5,) if rule.endswith("vector") else (5, 3), np.float32)
    arrays["grad"].flat[0] = np.inf
    with np.errstate(all="raise"):
        call(fasttrain.kernels, rule, arrays, {}, 2)
        assert np.add(np.float32(1.0), np.ones(3, np.float32)).sum() == 6.0


# ---- bad input ---------------------------------------------------------------------------------------------

def good_operands(rule):
    return operands(rule, (12,) if rule.endswith("vector") else (3, 4), np.float64)


BAD_ARRAYS = {
    "list": (lambda a: a.tolist(), TypeError, "must be a numpy.ndarray, got list"),
    "integers": (lambda a: a.astype(np.int64), TypeError, "must have dtype float32 or float64, got int64"),
    "half": (lambda a: a.astype(np.float16), TypeError, "must have dtype float32 or float64, got float16"),
    "byte order": (lambda a: a.astype(a.dtype.newbyteorder()), ValueError, "native byte order"),
    "strided": (lambda a: np.repeat(np.repeat(a, 2, 0), 2, -1)[::2, ...][..., ::2], ValueError, "must be C-contiguous"),
    "masked": (np.ma.masked_array, TypeError, "must not be a masked array"),
    "unaligned": (
        lambda a: np.frombuffer(bytearray(a.nbytes + 1), np.uint8)[1:].view(a.dtype).reshape(a.shape),
        ValueError, "aligned",
    ),
}


def assert_refused(rule, arrays, error, match, **options):
    kept = {name: np.array(array) for name, array in arrays.items()}
    with pytest.raises(error, match=match):
        call(fasttrain.kernels, rule, arrays, {}, 2, **options)
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.array(array), kept[name])


@pytest.mark.parametrize("kind", BAD_ARRAYS)
@pytest.mark.parametrize("rule", RULES)
def test_bad_arrays_are_refused(rule, kind):
    spoil, error, match = BAD_ARRAYS[kind]
    for name in good_operands(rule):
        arrays = good_operands(rule)
        arrays[name] = spoil(arrays[name])
        assert_refused(rule, arrays, error, f"^{name} .*{match}")


@pytest.mark.parametrize("rule", RULES)
def test_other_shapes_and_dtypes_are_refused(rule):
    for name in list(good_operands(rule))[1:]:
        arrays = good_operands(rule)
        arrays[name] = arrays[name][..., :-1].copy()
        assert_refused(rule, arrays, ValueError, f"^{name} must have (the )?shape .*got ")
        arrays = good_operands(rule)
        arrays[name] = arrays[name].astype(np.float32)
        assert_refused(rule, arrays, TypeError, f"^{name} must have the dtype of param, .*got float32")


@pytest.mark.parametrize("rule", RULES)
def test_read_only_and_overlapping_are_refused(rule):
    names = list(good_operands(rule))
    for name in names:
        if name != "grad":
            arrays = good_operands(rule)
            arrays[name].flags.writeable = False
            assert_refused(rule, arrays, ValueError, f"^{name} must be writeable")
        for other in names[: names.index(name)]:
            arrays = good_operands(rule)
            memory = np.zeros(arrays[name].size + arrays[other].size - 1)
            arrays[name] = memory[: arrays[name].size].reshape(arrays[name].shape)
            arrays[other] = memory[arrays[name].size - 1 :].reshape(arrays[other].shape)
            assert_refused(rule, arrays, ValueError, f"{name}.* overlap .*{other}|{other}.* overlap .*{name}")


def test_state_that_does_not_fit_the_axes_is_refused():
    param, vector = np.ones((3, 4)), np.ones(4)
    update = fasttrain.kernels.adafactor_update
    for arrays in ({}, {"row_var": np.ones((3, 1))}, {"variance": np.ones((3, 4))}):
        with pytest.raises(ValueError, match=r"needs row_var and col_var, and no variance.*\(3, 1\) and \(1, 4\)"):
            update(param, param.copy(), **arrays, step=1)
    for arrays in ({}, {"row_var": np.ones(1), "variance": np.ones(4)}):
        with pytest.raises(ValueError, match=r"param of shape \(4,\) needs variance, and no row_var"):
            update(vector, vector.copy(), **arrays, step=1)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4)])
def test_muon_refuses_what_is_no_matrix(shape):
    with pytest.raises(ValueError, match=r"param must have 2 dimensions, got shape .*another rule"):
        fasttrain.kernels.muon_update(np.ones(shape), np.ones(shape), np.zeros(shape))


def test_bad_workspaces_are_refused():
    arrays = good_operands("muon_update")
    for workspace, error, match in (
        (np.zeros(105), ValueError, r"workspace must have at least 106 elements .*\(3, 4\), got 105"),
        (np.zeros((2, 100)), ValueError, "workspace must have 1 dim"),
        (np.zeros(200, np.float32), TypeError, "workspace must have the dtype of param"),
        (np.zeros(400)[::2], ValueError, "workspace must be C-contiguous"),
        ([0.0] * 200, TypeError, "workspace must be a numpy.ndarray"),
    ):
        assert_refused("muon_update", arrays, error, match, workspace=workspace)
    workspace = np.zeros(200)
    arrays["grad"] = workspace[:12].reshape(3, 4)
    assert_refused("muon_update", arrays, ValueError, "workspace must not overlap grad", workspace=workspace)


BAD_SCALARS = {
    "lamb_update": [
        ({"step": 0}, ValueError, "step must be between 1 and"),
        ({"step": 1.0}, TypeError, "step must be a positive integer"),
        ({"lr": -1.0}, ValueError, "lr must be at least 0"),
        ({"betas": 0.9}, TypeError, "betas must be a pair"),
        ({"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be in \[0, 1\)"),
        ({"betas": (0.9, -0.1)}, ValueError, r"betas\[1\] must be at least 0"),
        ({"eps": -1e-8}, ValueError, "eps must be at least 0"),
        ({"weight_decay": None}, TypeError, "weight_decay must be a real number"),
        ({"bias_correction": 0}, TypeError, "bias_correction must be True or False"),
        ({"maximize": "no"}, TypeError, "maximize must be True or False"),
        ({"grad_factor": math.inf}, ValueError, "grad_factor must be finite"),
        ({"grad_factor": -1.0}, ValueError, "grad_factor must be at least 0"),
        ({"max_param_norm": 0.0}, ValueError, "max_param_norm must be positive"),
        ({"max_trust_ratio": math.nan}, ValueError, "max_trust_ratio must be finite"),
        ({"n_threads": 0}, ValueError, "n_threads must be between"),
    ],
    "adafactor_update": [
        ({"step": 2**53 + 1}, ValueError, "step must be between 1 and"),
        ({"step": True}, TypeError, "step must be a positive integer"),
        ({"lr": math.nan}, ValueError, "lr must be finite"),
        ({"beta2_decay": 0.1}, ValueError, "beta2_decay must be at most 0"),
        ({"eps": 1e-8}, TypeError, "eps must be a pair"),
        ({"eps": (-1e-8, 1e-3)}, ValueError, r"eps\[0\] must be at least 0"),
        ({"eps": (None, None)}, TypeError, r"eps\[1\] must be a real number"),
        ({"d": 0.5}, ValueError, "d must be at least 1"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be at least 0"),
        ({"maximize": 1}, TypeError, "maximize must be True or False"),
        ({"grad_factor": "2"}, TypeError, "grad_factor must be a real number"),
        ({"n_threads": 0}, ValueError, "n_threads must be between"),
    ],
    "muon_update": [
        ({"lr": -0.1}, ValueError, "lr must be at least 0"),
        ({"weight_decay": math.inf}, ValueError, "weight_decay must be finite"),
        ({"momentum": -0.5}, ValueError, "momentum must be at least 0"),
        ({"nesterov": 1}, TypeError, "nesterov must be True or False"),
        ({"ns_coefficients": (1.0, 2.0)}, TypeError, "ns_coefficients must be three numbers"),
        ({"ns_coefficients": (1.0, 2.0, math.nan)}, ValueError, r"ns_coefficients\[2\] must be finite"),
        ({"eps": -1.0}, ValueError, "eps must be at least 0"),
        ({"ns_steps": 100}, ValueError, "ns_steps must be between 0 and 99"),
        ({"ns_steps": 2.0}, TypeError, "ns_steps must be an integer"),
        ({"adjust_lr_fn": "none"}, ValueError, "adjust_lr_fn must be one of 'original', 'match_rms_adamw'"),
        ({"adjust_lr_fn": 1}, TypeError, "adjust_lr_fn must be one of"),
        ({"maximize": 0}, TypeError, "maximize must be True or False"),
        ({"grad_factor": -1.0}, ValueError, "grad_factor must be at least 0"),
        ({"n_threads": 0}, ValueError, "n_threads must be between"),
    ],
}


@pytest.mark.parametrize(
    ("rule", "options", "error", "match"),
    [(rule, *case) for rule, cases in BAD_SCALARS.items() for case in cases],
)
def test_bad_scalars_are_refused(rule, options, error, match):
    arrays = good_operands(rule)
    kept = copies(arrays)
    scalars = {"lr": 0.1, **({} if rule == "muon_update" else {"step": 2}), **options}
    with pytest.raises(error, match=match):
        getattr(fasttrain.kernels, rule)(**arrays, **scalars)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name])
