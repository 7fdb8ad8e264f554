"""State and parameters in 16 and 8 bits: the twins of the formats, and steps on them bit for bit."""
import itertools
import math

import numpy as np
import pytest

from fasttrain import kernels, optim, reference
from fasttrain.reference import formats
from tests.helpers import THREAD_COUNTS
from tests.kernels.test_optim import CASES, MOMENTS, UNSIGNED, call

# A level without a fused multiply-add rounds twice where the others round once; the twin does as the level does, so
# that even numbers within a unit of the last place of a code's boundary have one code.
FUSED = kernels.cpu_level() not in ("v2", "generic")
RULES = {
    "sgd_update": optim.SGD, "adam_update": optim.Adam, "nadam_update": optim.NAdam, "radam_update": optim.RAdam,
    "adamax_update": optim.Adamax, "adagrad_update": optim.Adagrad, "rmsprop_update": optim.RMSprop,
    "adadelta_update": optim.Adadelta, "lion_update": optim.Lion, "schedule_free_update": optim.ScheduleFreeAdamW,
}
STORED = [case for case in CASES if case.function in RULES]
NARROW = ("8bit", "bfloat16")
kinds = pytest.mark.parametrize("unsigned", [False, True], ids=["signed", "unsigned"])


def state_decay(case, name):
    """What the rule multiplies a state by in a step."""
    o = case.options
    beta1, beta2 = o.get("betas", (0.9, 0.99 if case.function == "lion_update" else 0.999))
    mean = o.get("rho", 0.9) if case.function == "adadelta_update" else o.get("alpha", 0.99)
    return {
        "momentum_buffer": o.get("momentum"), "exp_avg": beta2 if case.function == "lion_update" else beta1,
        "exp_avg_sq": beta2, "exp_inf": beta2, "max_exp_avg_sq": 1.0, "sum": 1.0, "square_avg": mean,
        "grad_avg": mean, "acc_delta": mean,
    }[name]


def bound_factors(case, name, is_first):
    """Of a bound of a state's numbers after a step: of the largest before it, of the largest gradient, of its square, a
    constant, and the most that the second is."""
    o, decay = case.options, state_decay(case, name)
    if case.function == "rmsprop_update" and name == "momentum_buffer":
        eps = o.get("eps", 1e-8)
        eps = math.sqrt(eps) if o.get("eps_mode") == "inside" else eps
        return o["momentum"], 1.0 / eps, 0.0, 0.0, 1.0 / math.sqrt(1.0 - o.get("alpha", 0.99))
    return (*{
        "momentum_buffer": (decay, 1.0 if is_first else abs(1.0 - o.get("dampening", 0.0)), 0.0, 0.0),
        "exp_avg": (decay, 1.0 - decay, 0.0, 0.0),
        "exp_inf": (decay, 1.0, 0.0, o.get("eps", 1e-8)),
        "max_exp_avg_sq": (1.0, 0.0, 0.0, 0.0),
        "sum": (1.0, 0.0, 1.0, 0.0),
        "acc_delta": (1.0 + decay, 0.0, 0.0, o.get("eps", 1e-6)),
    }.get(name, (decay, 0.0, 1.0 - decay, 0.0)), math.inf)


class Twin:
    """An optimizer of one flat parameter: decode, a float32 step of the reference, encode."""

    def __init__(self, case, param, storage, master_weights=True, place=0):
        self.case, self.size, self.place = case, param.size, place
        self.n_blocks = -(-param.size // formats.BLOCK)
        self.narrow = param.dtype == np.uint16 and not master_weights
        self.param = self.padded(param if self.narrow else widened(param))
        self.rounded = param
        self.counted, self.n_steps = case.counted, 0
        dtype = {"8bit": np.uint8, "bfloat16": np.uint16, "float32": np.float32}[storage]
        # what stays float32
        whole = {"z", *("square_avg", "grad_avg", "momentum_buffer") * ("centered" in case.options)}
        self.states = {
            name: np.zeros_like(self.param, np.float32 if name in whole else dtype) for name in case.states
        }
        self.units = {name: np.zeros(self.n_blocks, np.float32) for name in case.states if name not in whole}
        if "z" in self.states:
            self.states["z"][:] = widened(self.param)
        # Adam has a step of its own on narrow state, whose parameters kernels give approximately
        self.is_adam = case.function == "adam_update" and case.states == MOMENTS and storage != "float32"

    def padded(self, array):
        blocks = np.zeros((self.n_blocks, formats.BLOCK), array.dtype)
        blocks.reshape(-1)[: self.size] = array
        return blocks

    def decoded(self, name):
        stored = self.states[name]
        if stored.dtype == np.uint8:
            return formats.decode(stored, self.units[name], name in UNSIGNED, FUSED)
        return widened(stored)

    def taken_by_adam(self, name, beta):
        """For formats.adam_step: state, scale and offset."""
        stored = self.states[name]
        if stored.dtype == np.uint16:
            return widened(stored), np.float32(beta), np.zeros(stored.shape, np.float32)
        scale = reference.optim.flush(np.float32(beta) * self.units[name])[:, None]
        return (formats.z_of(stored, name in UNSIGNED), scale, formats.small_of(stored, scale, name in UNSIGNED))

    def step_of_adam(self, param, grad):
        o = self.case.options
        beta1, beta2 = o.get("betas", (0.9, 0.999))
        correction1, root2 = 1.0, 1.0
        if o.get("bias_correction", True):
            correction1 = reference.optim.correction(beta1, self.n_steps)
            root2 = math.sqrt(reference.optim.correction(beta2, self.n_steps))
        eps = o.get("eps", 1e-8) * (1.0 if "eps_mode" in o else root2)
        return formats.adam_step(
            param, grad, self.taken_by_adam("exp_avg", beta1), self.taken_by_adam("exp_avg_sq", beta2), beta1=beta1,
            beta2=beta2, step_size=0.01 * root2 / correction1, eps=eps, fused=FUSED,
        )

    def step(self, grad):
        self.n_steps += 1
        first, second = self.case.first
        o = self.case.options
        wide = {first: widened(self.param), second: self.padded(grad)}
        decoupled = self.case.function in ("lion_update", "schedule_free_update")
        with np.errstate(all="ignore"):
            theta, taken = (np.asarray(array) for array in reference.optim.start(
                *wide.values(), weight_decay=o.get("weight_decay", 0.0), maximize=o.get("maximize", False), lr=0.01,
                decoupled=o.get("decoupled_weight_decay", decoupled),
            ))
        largest = np.max(np.abs(taken), axis=1)
        if self.is_adam:
            wide[first], wide["exp_avg"], wide["exp_avg_sq"] = self.step_of_adam(theta, taken)
        else:
            wide.update((name, self.decoded(name)) for name in self.states)
            self.counted = call(reference, self.case, wide, self.n_steps, self.counted)
        self.stepped = wide
        self.decayed, self.exact = (array.ravel()[: self.size] for array in (theta, wide[first]))
        random = formats.random_numbers(self.n_steps, self.place, self.n_blocks)
        self.param = formats.to_bfloat16(wide[first], random) if self.narrow else wide[first]
        self.round()
        tops = []
        for name, stored in self.states.items():
            if stored.dtype == np.float32:
                self.states[name] = wide[name]
            elif stored.dtype == np.uint16:
                self.states[name] = formats.to_bfloat16(wide[name], random)
            else:
                is_unsigned, factors = name in UNSIGNED, bound_factors(self.case, name, self.n_steps == 1)
                with np.errstate(all="ignore"):
                    own = [formats.bound(factors, *block, is_unsigned)
                           for block in zip(stored, self.units[name], largest, strict=True)]
                # a maximum is not above what it is taken of, either
                tops = np.maximum(tops, own) if name == "max_exp_avg_sq" else own
                decayed = reference.optim.flush(self.units[name] * np.float32(state_decay(self.case, name)))
                self.units[name] = np.array([formats.next_unit(*pair) for pair in zip(decayed, tops, strict=True)])
                self.states[name] = formats.encode(wide[name], self.units[name], random, is_unsigned, FUSED)

    def round(self):
        if self.rounded.dtype == np.uint16:
            self.rounded = (self.param if self.narrow else formats.to_nearest_bfloat16(self.param)).ravel()[: self.size]
        else:
            self.rounded = self.param.ravel()[: self.size]

    def follow(self, param, master):
        """Check a parameter whose step may be off by roundings of the root and the quotient, and go on from it."""
        got = widened(param if master is None else master)
        off = 2 * 1.5 * 2.0**-12 * np.abs(self.exact - self.decayed) + 2.0**-22 * np.abs(self.exact)
        if self.narrow:  # the next number above or below, where a number is that much off
            off += 2.0**-7 * np.abs(self.exact)
            assert np.mean(got != widened(self.rounded)) <= 0.02
        assert np.all(np.abs(got - self.exact) <= off)
        self.param = self.padded(param if self.narrow else got)
        self.round()


def widened(array):
    return formats.from_bfloat16(array) if array.dtype == np.uint16 else array


def make(case, param, storage, **options):
    return RULES[case.function](param, lr=0.01, **case.options, state_dtype=storage, **options)


def assert_like_twin(optimizer, param, twin):
    state = optimizer.state_dict()
    if twin.is_adam:
        twin.follow(param, state.get(f"master.{twin.place}"))
    np.testing.assert_array_equal(param, twin.rounded)
    for name, stored in twin.states.items():
        np.testing.assert_array_equal(state[f"{name}.{twin.place}"], stored.ravel()[: twin.size], err_msg=name)
        if stored.dtype == np.uint8:
            np.testing.assert_array_equal(state[f"{name}_unit.{twin.place}"], twin.units[name], err_msg=name)


# ---- steps ---------------------------------------------------------------------------------------------------

def gradients(size, seed=0):
    """Sizes over many orders of magnitude, zeros, and steps that are larger and smaller than those before."""
    random = np.random.default_rng(seed)
    for scale in (1.0, 1e-3, 100.0, 0.0, 1.0):
        grad = scale * random.standard_normal(size) * 10.0 ** random.uniform(-6, 2, size)
        grad[random.random(size) < 0.1] = 0.0
        yield grad.astype(np.float32)


@pytest.mark.parametrize("storage", NARROW)
@pytest.mark.parametrize("case", STORED, ids=str)
def test_steps_agree_with_the_twin(case, storage):
    for size in (1, 255, 256, 257, 1000):
        param = np.random.default_rng(size).standard_normal(size).astype(np.float32)
        twin = Twin(case, param.copy(), storage)
        optimizer = make(case, param, storage)
        for grad in gradients(size):
            optimizer.step(grad)
            twin.step(grad)
            assert_like_twin(optimizer, param, twin)


@pytest.mark.parametrize("grads", ["float32", "bfloat16"])
@pytest.mark.parametrize("master_weights", [True, False])
@pytest.mark.parametrize("storage", ["float32", *NARROW])
@pytest.mark.parametrize("function", RULES)
def test_steps_of_bfloat16_parameters_agree_with_the_twin(function, storage, master_weights, grads):
    cases = [case for case in CASES if case.function == function]
    most = max(cases, key=lambda case: len(case.states))
    # and those without an option that needs the general loop
    plain = [case for case in cases if "weight_decay" not in case.options or "decoupled_weight_decay" in case.options]
    for case, size in itertools.product({str(case): case for case in (most, *plain)}.values(), (1, 300)):
        values = np.random.default_rng(size).standard_normal(size).astype(np.float32)
        param = formats.to_nearest_bfloat16(values)
        twin = Twin(case, param.copy(), storage, master_weights)
        optimizer = make(case, param, storage, dtype="bfloat16", master_weights=master_weights)
        for grad in gradients(size):
            if grads == "bfloat16":
                grad = formats.to_nearest_bfloat16(grad)
            optimizer.step(grad)
            twin.step(widened(grad))
            assert_like_twin(optimizer, param, twin)


@pytest.mark.parametrize("storage", NARROW)
def test_each_parameter_of_a_list_is_rounded_by_bits_of_its_own(storage):
    case = next(case for case in STORED if str(case) == "adam-l2")
    params = [np.ones(300, np.float32), np.ones(300, np.float32)]
    twins = [Twin(case, param.copy(), storage, place=place) for place, param in enumerate(params)]
    optimizer = make(case, params, storage)
    for grad in gradients(300):
        optimizer.step([grad, grad])
        for param, twin in zip(params, twins, strict=True):
            twin.step(grad)
            assert_like_twin(optimizer, param, twin)
    assert not np.array_equal(twins[0].states["exp_avg"], twins[1].states["exp_avg"])


@pytest.mark.parametrize("storage", NARROW)
def test_the_floating_point_mode_is_put_back_and_no_flag_leaks(storage):
    param, grad = np.ones(600, np.float32), np.full(600, np.inf, np.float32)
    with np.errstate(all="raise"):
        optim.Adam(param, state_dtype=storage).step(grad)
        assert np.add(np.float32(1.0), np.ones(3, np.float32)).sum() == 6.0
    smallest = np.finfo(np.float32).smallest_normal
    assert np.all(np.full(64, smallest) / np.float32(2) > 0)


@pytest.mark.parametrize("storage", NARROW)
def test_a_variance_of_narrow_state_is_that_of_float32(storage):
    # the mean is ten times the deviation: rounded to fewer bits, the variance would be zero or below in places, and
    # a step a gradient divided by eps
    random = np.random.default_rng(0)
    params = [np.zeros(1000, np.float32) for _ in range(2)]
    narrow, wide = (optim.RMSprop(param, lr=1e-3, centered=True, state_dtype=dtype)
                    for param, dtype in zip(params, (storage, "float32"), strict=True))
    for _ in range(100):
        grad = (1.0 + 0.1 * random.standard_normal(1000)).astype(np.float32)
        narrow.step(grad)
        wide.step(grad)
    np.testing.assert_array_equal(*params)


@pytest.mark.parametrize("storage", NARROW)
def test_nothing_beside_a_last_partial_block_is_read_or_written(storage):
    memory, grads = np.full(1024, 7.0, np.float32), np.full(1024, np.nan, np.float32)
    grads[:300] = 1.0
    optimizer = optim.Adam(memory[:300], state_dtype=storage)
    optimizer.step(grads[:300])
    assert np.all(memory[:300] < 7.0)
    assert np.all(memory[300:] == 7.0)
    state = optimizer.state_dict()
    assert {state[f"{name}.0"].shape for name in ("exp_avg", "exp_avg_sq")} == {(300,)}
    if storage == "8bit":
        assert np.all(np.isfinite(state["exp_avg_sq_unit.0"])) and state["exp_avg_sq_unit.0"].shape == (2,)


@pytest.mark.parametrize("storage", NARROW)
def test_thread_counts_give_the_same_bits(storage):
    grad = np.random.default_rng(0).standard_normal(65536 * 3 + 1).astype(np.float32)
    results = []
    for n_threads in THREAD_COUNTS:
        param = formats.to_nearest_bfloat16(np.ones_like(grad))
        optimizer = optim.Adam(
            param, state_dtype=storage, dtype="bfloat16", master_weights=False, n_threads=n_threads
        )
        optimizer.step(grad)
        optimizer.step(grad)
        state = optimizer.state_dict()
        results.append([param.tobytes()] + [value.tobytes() for key, value in state.items() if key.endswith(".0")])
    assert results[0] == results[1] == results[2]


# ---- 16 bits -------------------------------------------------------------------------------------------------

def test_every_float16_and_bfloat16_gradient_is_taken_exactly():
    bits = np.arange(65536, dtype=np.uint16)
    for grad, dtype in ((bits.view(np.float16), None), (bits, "bfloat16")):
        param = np.zeros(65536, np.float32)
        optim.SGD(param, lr=1.0, dtype=dtype).step(grad)
        with np.errstate(invalid="ignore"):
            expected = -reference.optim.flush(widened(bits) if dtype else grad.astype(np.float32))
        np.testing.assert_array_equal(param, expected)


def floats():
    """Many bit patterns, ties between two bfloat16 and the ends of the range among them."""
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
    bits[:30_000] = bits[:30_000] & 0xFFFF0000 | 0x8000
    bits[30_000:30_006] = [0, 0x80000000, 0x7F7FFFFF, 0x7F800000, 0x00800000, 0x7F7F8000]
    return bits.view(np.float32)


def test_nearest_bfloat16_is_that_of_ml_dtypes():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="compares with its bfloat16").bfloat16
    x = floats()
    with np.errstate(all="ignore"):
        expected = x.astype(bfloat16)
    finite = ~np.isnan(x)
    rounded = formats.to_nearest_bfloat16(x)
    np.testing.assert_array_equal(rounded[finite], expected.view(np.uint16)[finite])
    assert np.all(np.isnan(formats.from_bfloat16(rounded[~finite])))


def test_parameters_with_a_master_copy_are_that_copy_rounded():
    x = floats()
    param = np.zeros(x.size, np.uint16)
    optim.SGD(param, lr=1.0, dtype="bfloat16").step(x)
    nan = np.isnan(x)
    expected = formats.to_nearest_bfloat16(0 - reference.optim.flush(np.where(nan, 0, x).astype(np.float32)))
    np.testing.assert_array_equal(param[~nan], expected[~nan])
    assert np.all(np.isnan(formats.from_bfloat16(param[nan])))


def assert_mean(values, expected, step):
    """The mean of numbers that are rounded to neighbours a step apart is within 5 standard errors."""
    assert abs(values.mean(dtype=np.float64) - expected) <= 5 * 0.5 * step / np.sqrt(values.size)
    assert len(np.unique(values)) == 2


@pytest.mark.parametrize("change", [2.0**-12, 2.0**-10, 0.7 * 2.0**-8])
def test_parameters_without_a_master_copy_are_rounded_without_bias(change):
    ones = np.full(65536, 0x3F80, np.uint16)
    param = ones.copy()
    optimizer = optim.SGD(param, lr=1.0, dtype="bfloat16", master_weights=False)
    grad, taken = np.full(65536, -change, np.float32), []
    for _ in range(4):
        param[:] = ones
        optimizer.step(grad)
        taken.append(formats.from_bfloat16(param))
    assert_mean(np.concatenate(taken), 1.0 + np.float64(np.float32(change)), 2.0**-7)
    assert not np.array_equal(taken[0], taken[1])
    assert not np.array_equal(taken[0][:256], taken[0][256:512])


# ---- 8 bits --------------------------------------------------------------------------------------------------

def numbers_of(codes, unsigned, unit=1.0):
    """By the formula, in float64."""
    codes = codes.astype(np.int64)
    magnitude = codes if unsigned else codes & 127
    base = 2.0**-31 if unsigned else 2.0**-15
    z = base * 2.0 ** (magnitude // 8) * (1 + magnitude % 8 / 8)
    return (z - base) * unit * (1 if unsigned else np.where(codes < 128, 1, -1))


@kinds
def test_decode_is_the_formula(unsigned):
    codes = np.arange(256, dtype=np.uint8)[None]
    for unit in (1.0, 3e-7, 1.7e20):
        unit = np.float32(unit)
        exact = numbers_of(codes, unsigned, np.float64(unit))
        fused = formats.decode(codes, unit[None], unsigned, fused=True)
        np.testing.assert_array_equal(fused, exact.astype(np.float32))  # rounded once
        twice = formats.decode(codes, unit[None], unsigned, fused=False)
        np.testing.assert_allclose(twice, exact, rtol=0, atol=2 * 1.875 * unit * 2.0**-24)
    assert fused.max() == fused[0, 255 if unsigned else 127]
    assert np.all(np.diff(fused[0, : 256 if unsigned else 128]) > 0) and fused[0, 0] == 0
    if not unsigned:
        np.testing.assert_array_equal(fused[0, 128:], -fused[0, :128])


@kinds
def test_every_code_encodes_to_itself(unsigned):
    codes = np.arange(256, dtype=np.uint8)[None]
    # zero is no unsigned number, and has no sign
    expected = np.maximum(codes, 1) if unsigned else np.where(codes == 128, 0, codes)
    for fused in (False, True):
        for unit in (1.0, 2.0**-40, 2.0**80):  # exact: no random number moves it
            values = formats.decode(codes, np.float32([unit]), unsigned, fused)
            for random in (0, 2**20 - 1):
                actual = formats.encode(values, np.float32([unit]), np.uint32(random), unsigned, fused)
                np.testing.assert_array_equal(actual, expected)
        for unit in (3e-7, 1.7e20, 0.1):  # an ulp of z is 1 of 2^20 random numbers
            values = formats.decode(codes, np.float32([unit]), unsigned, fused)
            for random in (8, 2**20 - 9):
                actual = formats.encode(values, np.float32([unit]), np.uint32(random), unsigned, fused)
                np.testing.assert_array_equal(actual, expected)


@kinds
def test_a_step_without_change_keeps_every_code(unsigned):
    # all codes whose numbers lie below the top of their unit, but the unsigned zero and -0, to which 0 is added
    codes = np.delete(np.arange(256, dtype=np.uint8), [0, 255] if unsigned else [127, 128, 255])
    n = codes.size
    param, grad = np.zeros(n, np.float32), np.zeros(n, np.float32)
    make_optimizer = optim.Adagrad if unsigned else lambda *a, **k: optim.SGD(*a, momentum=1.0, **k)
    optimizer = make_optimizer(param, lr=1.0, state_dtype="8bit")
    optimizer.step(grad)
    name = "sum" if unsigned else "momentum_buffer"
    optimizer.load_state_dict({**optimizer.state_dict(), f"{name}.0": codes, f"{name}_unit.0": np.ones(1, np.float32)})
    for _ in range(5):
        param[:] = 0.0
        optimizer.step(grad)
        state = optimizer.state_dict()
        np.testing.assert_array_equal(state[f"{name}.0"], codes)
        np.testing.assert_array_equal(state[f"{name}_unit.0"], [1.0])
    if not unsigned:  # the buffer is the step
        decoded = formats.decode(codes[None], np.ones(1, np.float32), unsigned, FUSED)[0]
        np.testing.assert_array_equal(param, -decoded)


@kinds
@pytest.mark.parametrize("value", [1e-7, 3e-4, 0.011, 0.3, 0.77])
def test_codes_are_rounded_without_bias(value, unsigned):
    # a first step of a sum of squares, or of a buffer, stores the value itself; one element of 1 sets the unit
    n_blocks = 512
    stored = np.full((n_blocks, 256), value)
    stored[:, 0] = 1.0
    grad = (np.sqrt(stored) if unsigned else -stored).astype(np.float32).ravel()
    param = np.zeros(grad.size, np.float32)
    optimizer = (optim.Adagrad(param, state_dtype="8bit") if unsigned
                 else optim.SGD(param, momentum=0.5, state_dtype="8bit"))
    optimizer.step(grad)
    state, name = optimizer.state_dict(), "sum" if unsigned else "momentum_buffer"
    codes, units = state[f"{name}.0"].reshape(n_blocks, 256), state[f"{name}_unit.0"]
    assert np.all(units == units[0])
    values = formats.decode(codes, units, unsigned, FUSED)[:, 1:]
    low, high = np.unique(values)
    exact = np.float64(grad[1] * grad[1] if unsigned else grad[1])
    assert low < exact < high
    assert_mean(values, exact, high - low)


def test_an_unsigned_number_is_never_rounded_to_zero():
    grad = np.full(512, 1e-12, np.float32)
    grad[0], grad[256:] = 1.0, 0.0
    param = np.zeros(512, np.float32)
    optimizer = optim.Adagrad(param, state_dtype="8bit", eps=0.0)
    optimizer.step(grad)
    state = optimizer.state_dict()
    assert np.all(state["sum.0"][1:256] == 1)
    assert np.all(formats.decode(state["sum.0"][None, :256], state["sum_unit.0"][:1], True, FUSED) > 0)


def test_what_is_not_finite_makes_its_block_nan():
    for bad in (np.nan, np.inf, -np.inf):
        param, grad = np.ones(700, np.float32), np.ones(700, np.float32)
        optimizer = optim.Adam(param, state_dtype="8bit")
        optimizer.step(grad)
        grad[300] = bad
        optimizer.step(grad)
        others = np.r_[0:256, 512:700]
        for _ in range(2):
            units = optimizer.state_dict()
            for name in ("exp_avg_unit.0", "exp_avg_sq_unit.0"):
                np.testing.assert_array_equal(np.isnan(units[name]), [False, True, False])
            assert np.all(np.isfinite(param[others]))
            optimizer.step(np.ones(700, np.float32))
        assert np.all(np.isnan(param[256:512]))  # and it stays, as in float32


def test_units_decay_with_a_state_that_gets_nothing_new():
    random = np.random.default_rng(0)
    param, betas = np.zeros(2560, np.float32), (0.875, 0.999)
    optimizer = optim.Adam(param, betas=betas, state_dtype="8bit")
    optimizer.step(random.standard_normal(2560).astype(np.float32))
    before = optimizer.state_dict()
    for _ in range(50):
        optimizer.step(np.zeros(2560, np.float32))
    after = optimizer.state_dict()
    for name, beta in zip(("exp_avg", "exp_avg_sq"), betas, strict=True):
        unit = before[f"{name}_unit.0"]
        for _ in range(50):
            unit = unit * np.float32(beta)
        np.testing.assert_array_equal(after[f"{name}_unit.0"], unit)
        # a code moves where the product's rounding and one of 2^20 random numbers meet
        assert np.mean(after[f"{name}.0"] != before[f"{name}.0"]) <= 1e-3


def test_the_largest_of_a_block_lies_in_the_upper_two_binades():
    random = np.random.default_rng(0)
    for decayed, top in 10.0 ** random.uniform(-30, 30, (2000, 2)):
        decayed, top = np.float32(decayed), np.float32(top)
        unit = formats.next_unit(decayed, top)
        assert unit / 4 <= top < formats.CODE_TOP * unit
        assert np.frexp(unit / np.float64(decayed))[0] == 0.5  # a power of two, so that codes of the same numbers stay
    assert formats.next_unit(np.float32(0), np.float32(0)) == 0
    assert formats.next_unit(np.float32(3), np.float32(0)) == 3
    assert formats.next_unit(np.float32(0), np.float32(3)) == np.float32(3) / np.float32(0.75 * 1.87)
    assert formats.next_unit(np.float32(0), np.float32(1e-38)) >= formats.SMALLEST
    assert formats.next_unit(np.float32(1e38), np.float32(1e-38)) >= formats.SMALLEST
    for top in (np.nan, np.inf):
        assert np.isnan(formats.next_unit(np.float32(1), np.float32(top)))


@pytest.mark.parametrize("case", STORED, ids=str)
def test_no_number_of_a_block_is_beyond_its_bound(case):
    random = np.random.default_rng(0)
    param = random.standard_normal(2560).astype(np.float32)
    twin = Twin(case, param, "8bit")
    largest = dict.fromkeys(twin.units, 0.0)
    for step in range(30):
        grad = random.standard_normal(2560) * 10.0 ** random.choice([-3, 0, 0, 1])
        if step % 10 == 9:
            grad *= 0.0
        twin.step(grad.astype(np.float32))
        for name, unit in twin.units.items():
            numbers = np.abs(np.asarray(twin.stepped[name]))
            top = numbers.max(axis=1)
            assert np.all(top <= 1.875 * unit)
            with np.errstate(all="ignore"):
                largest[name] = max(largest[name], np.nanmax(np.where(top > 0, unit / top, 0)))
    # nor is the bound so far beyond them that their codes would die out
    assert all(ratio <= 2.0**6 for ratio in largest.values()), largest


RMSPROP = {"alpha": 0.9, "momentum": 0.9, "eps": 1.0}


@pytest.mark.parametrize(("rule", "options", "scale", "step_options"), [
    (optim.SGD, {"momentum": 0.9, "dampening": 0.999}, 1.0, {}),
    (optim.SGD, {"momentum": 0.9, "dampening": -3.0}, 1.0, {}),
    (optim.RMSprop, RMSPROP, 1.0, {}),
    (optim.RMSprop, RMSPROP, 1e-6, {}),
    (optim.RMSprop, {**RMSPROP, "eps_mode": "inside"}, 1e-6, {}),
    (optim.Adam, {}, 1.0, {"grad_scale": 1e-4}),
    (optim.Adam, {}, 1.0, {"grad_scale": 1e4}),
    (optim.Adam, {}, 1.0, {"max_value": 1e-3}),
    (optim.Adam, {"weight_decay": 10.0}, 1.0, {"max_norm": 1e-3}),
    (optim.Lion, {}, 1.0, {"max_norm": 1e3}),
    (optim.Lion, {}, 1e-3, {"max_value": 1e-4}),
], ids=str)
def test_codes_hold_the_numbers_of_float32(rule, options, scale, step_options):
    random = np.random.default_rng(0)
    start = (scale * random.standard_normal(2560)).astype(np.float32)
    wide_param, param = start.copy(), start.copy()
    wide = rule(wide_param, lr=1e-3, **options)
    narrow = rule(param, lr=1e-3, state_dtype="8bit", **options)
    for _ in range(20):
        grad = (scale * random.standard_normal(2560)).astype(np.float32)
        wide.step(grad, **step_options)
        narrow.step(grad, **step_options)
        assert_close_norms(narrow.state_dict(), wide.state_dict())
    limit = 0.15 if rule is optim.Lion else 0.1  # signs of means next to zero turn round
    assert np.linalg.norm(param - wide_param) <= limit * np.linalg.norm(wide_param - start)


def assert_close_norms(narrow, wide):
    """Of coded state, block by block: neither cut at the top nor lost at the bottom."""
    names = [name.removesuffix("_unit.0") for name in narrow if name.endswith("_unit.0")]
    assert names
    for name in names:
        codes = narrow[f"{name}.0"].reshape(-1, 256)
        numbers = formats.decode(codes, narrow[f"{name}_unit.0"], name in UNSIGNED, FUSED)
        norms, expected = (np.linalg.norm(array, axis=1) for array in (numbers, wide[f"{name}.0"].reshape(-1, 256)))
        np.testing.assert_allclose(norms, expected, rtol=0.1, err_msg=name)


def test_a_maximum_that_begins_late_takes_the_mean_at_once():
    random = np.random.default_rng(0)
    params = [np.zeros(2560, np.float32) for _ in range(2)]
    wide, narrow = (optim.Adam(param, state_dtype=dtype)
                    for param, dtype in zip(params, ("float32", "8bit"), strict=True))
    for step in range(30):
        grad = random.standard_normal(2560).astype(np.float32)
        if step == 20:
            for optimizer in (wide, narrow):
                optimizer.param_groups[0]["amsgrad"] = True
        for optimizer in (wide, narrow):
            optimizer.step(grad if step < 20 else np.float32(1e-3) * grad)
    assert_close_norms(narrow.state_dict(), wide.state_dict())


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("rule", [optim.Adam, optim.Lion])
def test_a_unit_that_is_nan_makes_parameters_nan(rule, bits):
    theta = np.full(512, 0x3F80, np.uint16)
    optimizer = rule(theta, dtype="bfloat16", state_dtype="8bit", master_weights=False)
    grad = np.full(512, 0x3F80, np.uint16)
    optimizer.step(grad)
    state = optimizer.state_dict()
    state["exp_avg_unit.0"] = state["exp_avg_unit.0"].copy()
    state["exp_avg_unit.0"][1:].view(np.uint32)[:] = bits
    optimizer.load_state_dict(state)
    optimizer.step(grad)
    np.testing.assert_array_equal(np.isnan(formats.from_bfloat16(theta)), np.arange(512) >= 256)


# ---- random bits ---------------------------------------------------------------------------------------------

def test_random_bits_are_uniform_and_of_their_step_parameter_and_block():
    numbers = formats.random_numbers(1, 0, 4096)
    for n_bits in (20, 16):
        bits = (numbers & np.uint32(2**n_bits - 1)) / 2.0**n_bits
        assert abs(bits.mean() - 0.5) <= 5 / np.sqrt(12 * bits.size)
        along = np.mean((bits[:, 1:] - 0.5) * (bits[:, :-1] - 0.5))
        across = np.mean((bits[1:] - 0.5) * (bits[:-1] - 0.5))
        assert abs(across) <= 5 / 12 / np.sqrt(bits.size)
        assert abs(along) <= 5 / 12 / np.sqrt(511)  # blocks share the 511 neighbours of one table
        # every element has numbers of its own in the course of blocks and steps
        counts = np.histogram(bits[:, 17], 16, (0, 1))[0]
        assert np.all(np.abs(counts - 256) <= 5 * np.sqrt(256))
    firsts = [formats.random_numbers(step, target, 8)[:, 0] for step in (1, 2, 2**53) for target in (0, 1)]
    assert len(np.unique(firsts)) == 48
