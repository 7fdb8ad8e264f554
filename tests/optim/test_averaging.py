"""Averages of parameters: closed forms, torch's, exchange and state bit for bit."""
import array
import copy
import math

import numpy as np
import pytest

from fasttrain.kernels.update import to_bfloat16 as _to_bfloat16
from fasttrain.optim import AveragedParameters
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, run_python

# name: options
KINDS = {
    "equal": {},
    "copy": {"decay": 0.9},
    "warmup": {"decay": 0.6, "start": "warmup"},
    "debias": {"decay": 0.99, "start": "debias"},
    "last": {"decay": 0.0, "start": "debias"},
}
SHAPES = [(7, 5), (5,), (0,), (), (3, 1, 11), (9000,), (70001,), *((size,) for size in SIZES)]

every_kind = pytest.mark.parametrize("kind", KINDS)


def values(shape, dtype, seed):
    return np.array(np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


def weights(kind, count):
    """Of every update in the average, by the definition and not by the recurrence."""
    options = KINDS[kind]
    if kind == "equal":
        return np.full(count, 1.0 / count)
    if kind == "debias":
        raw = options["decay"] ** np.arange(count - 1, -1, -1.0)
        return raw / raw.sum()
    if kind == "last":
        return np.eye(count)[-1]
    decays = np.full(count, options["decay"])
    if kind == "warmup":
        decays = np.minimum(decays, (1 + np.arange(count)) / (10 + np.arange(count)))
    decays[0] = 0.0
    return np.array([(1 - decays[i]) * decays[i + 1:].prod() for i in range(count)])


def to_bfloat16(x):
    return np.array(np.asarray(x, np.float32).view(np.uint32) >> 16, dtype=np.uint16)


def from_bfloat16(bits):
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)


def bits_of(arrays):
    return [one.tobytes() for one in arrays]


# ---- the averages ------------------------------------------------------------------------------------------

@every_kind
@pytest.mark.parametrize("dtype", DTYPES)
def test_averages_are_sums_by_their_weights(kind, dtype):
    params = [values(shape, dtype, 0) for shape in SHAPES]
    averaged = AveragedParameters(params, **KINDS[kind])
    seen = []
    for seed in range(1, 8):
        for param in params:
            param[...] = values(param.shape, dtype, seed)
        averaged.update()
        seen.append(copy.deepcopy(params))
    assert averaged.n_updates == 7
    share = weights(kind, 7)
    assert math.isclose(share.sum(), 1.0)
    for i, average in enumerate(averaged.averages):
        assert average.dtype == dtype
        expected = sum(w * one[i].astype(np.float64) for w, one in zip(share, seen, strict=True))
        # seven steps of three roundings of values up to 4
        np.testing.assert_allclose(average, expected, rtol=0, atol=7 * 3 * 4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(params[0], seen[-1][0])


@every_kind
def test_first_update_copies_whatever_was_there(kind):
    # the memory of numpy.empty may hold NaN when the averages are made
    param = np.full(5, np.nan, np.float32)
    averaged = AveragedParameters(param, **KINDS[kind])
    param[:] = [1.0, -0.0, 1e-42, np.inf, 3.0]
    averaged.update()
    assert averaged.averages.tobytes() == param.tobytes()


def test_averages_begin_as_copies_of_the_parameters():
    params = [values((3, 2), np.float64, 0), values((4,), np.float32, 1)]
    averaged = AveragedParameters(params)
    assert [average.dtype for average in averaged.averages] == [np.float64, np.float32]
    assert bits_of(averaged.averages) == bits_of(params)
    params[0] += 1
    assert (averaged.averages[0] != params[0]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("decay", [None, 0.99, 0.3])
def test_against_torch(dtype, decay):
    torch = pytest.importorskip("torch", reason="compares with torch.optim.swa_utils")
    swa_utils = torch.optim.swa_utils
    # torch's get_swa_multi_avg_fn takes 1 / n in its default dtype, float32
    average_of = swa_utils.get_swa_avg_fn() if decay is None else swa_utils.get_ema_avg_fn(decay)
    model = torch.nn.Linear(31, 17, dtype=torch.float32 if dtype == np.float32 else torch.float64)
    params = [param.detach() for param in model.parameters()]
    peer = swa_utils.AveragedModel(model, avg_fn=average_of)
    averaged = AveragedParameters(params, decay)
    for seed in range(300):
        for i, param in enumerate(params):
            param.copy_(torch.from_numpy(values(tuple(param.shape), dtype, 2 * seed + i)))
        peer.update_parameters(model)
        averaged.update()
    for ours, theirs in zip(averaged.averages, peer.module.parameters(), strict=True):
        # torch rounds some products and sums once; errors of the steps fade or are averaged
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=16 * np.finfo(dtype).eps)


@every_kind
def test_thread_counts_give_the_same_bits(kind):
    results = []
    for n_threads in THREAD_COUNTS:
        params = [values(shape, np.float32, 0) for shape in [*SHAPES, (600_001,)]]
        averaged = AveragedParameters(params, **KINDS[kind], n_threads=n_threads)
        for seed in (1, 2, 3):
            for param in params:
                param[...] = values(param.shape, np.float32, seed)
            averaged.update()
        results.append(bits_of(averaged.averages))
    assert results[0] == results[1] == results[2]


def test_weights_keep_their_digits_far_on():
    param = np.zeros(3)
    averaged = AveragedParameters(param)
    averaged.update()
    averaged.n_updates = 10**7 - 1
    param[:] = 1.0
    averaged.update()
    # 1 - n / (n + 1) has lost 7 of 16 digits
    np.testing.assert_allclose(averaged.averages, 1e-7, rtol=1e-8)
    averaged = AveragedParameters(param, 1 - 1e-9, start="debias")
    averaged.update()
    param[:] = 3.0
    averaged.update()
    np.testing.assert_allclose(averaged.averages, 2.0, rtol=1e-9)  # its weights are all but equal


def test_options_may_change_between_updates():
    param = np.zeros(2)
    averaged = AveragedParameters(param, 0.5)
    averaged.update()
    averaged.decay = 0.75
    param[:] = 1.0
    averaged.update()
    np.testing.assert_array_equal(averaged.averages, 0.25)
    averaged.decay = None
    param[:] = 2.25
    averaged.n_updates = 3
    averaged.update()
    np.testing.assert_array_equal(averaged.averages, 0.75)


# ---- memory ------------------------------------------------------------------------------------------------

def test_bfloat16_parameters_have_float32_averages():
    first, second = to_bfloat16([1.0, -2.5, 3.0, 1e-3]), to_bfloat16([2.0, 0.5, 3.0, 1e30])
    param = first.copy()
    averaged = AveragedParameters([param], dtype="bfloat16")
    np.testing.assert_array_equal(averaged.averages[0], from_bfloat16(first))
    averaged.update()
    param[:] = second
    averaged.update()
    assert averaged.averages[0].dtype == np.float32
    expected = (from_bfloat16(first).astype(np.float64) + from_bfloat16(second)) / 2
    np.testing.assert_allclose(averaged.averages[0], expected, rtol=1e-6)


def test_torch_tensors_and_buffers_are_read_where_they_are():
    torch = pytest.importorskip("torch", reason="averages torch tensors")
    tensor = torch.zeros(3, 2, dtype=torch.bfloat16)
    buffer = array.array("d", [0.0, 0.0])
    averaged = AveragedParameters([tensor, buffer])
    averaged.update()
    tensor += 2.0
    buffer[1] = 4.0
    averaged.update()
    np.testing.assert_array_equal(averaged.averages[0], np.ones((3, 2)))
    np.testing.assert_array_equal(averaged.averages[1], [0.0, 2.0])
    with averaged.swapped():
        assert tensor.tolist() == [[1.0, 1.0]] * 3
        assert buffer.tolist() == [0.0, 2.0]
    assert tensor.tolist() == [[2.0, 2.0]] * 3
    with pytest.raises(ValueError, match=r"params\[0\] must not require grad"):
        AveragedParameters(list(torch.nn.Linear(2, 1).parameters()))


def test_one_array_a_list_and_an_iterator():
    param = np.ones(3)
    for given in ([param], (param,), iter([param])):
        (average,) = AveragedParameters(given).averages
        np.testing.assert_array_equal(average, param)
    assert isinstance(AveragedParameters(param).averages, np.ndarray)


@every_kind
def test_swapping_twice_brings_back_every_bit(kind):
    params = [values(shape, dtype, 0) for shape in SHAPES for dtype in DTYPES]
    params += [to_bfloat16(values(shape, np.float32, 1)) for shape in [(3, 5), (70001,), (), (0,)]]
    params[0][0] = [np.nan, -np.nan, np.inf, -0.0, 1e-42]
    params[-4][0, :2] = 0x7F81, 0x8001  # NaN, subnormal
    averaged = AveragedParameters(params, **KINDS[kind], dtype="bfloat16")
    averaged.update()
    for param in params:
        param[...] = param[::-1] if param.ndim else param
    averaged.update()
    before, averages = bits_of(params), copy.deepcopy(averaged.averages)
    averaged.swap()
    for param, average in zip(params, averages, strict=True):
        expected = average if param.dtype != np.uint16 else _to_bfloat16(average)
        np.testing.assert_array_equal(param, expected)
    averaged.swap()
    assert bits_of(params) == before
    assert bits_of(averaged.averages) == bits_of(averages)


def test_swapped_swaps_back_after_an_error():
    param = np.zeros(2)
    averaged = AveragedParameters(param, 0.5)
    averaged.update()
    param += 1
    averaged.update()

    def evaluate():
        with averaged.swapped():
            np.testing.assert_array_equal(param, 0.5)
            raise KeyError

    with pytest.raises(KeyError):
        evaluate()
    np.testing.assert_array_equal(param, 1.0)


def test_rounding_to_bfloat16_is_to_nearest_even():
    torch = pytest.importorskip("torch", reason="compares with torch's rounding")
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 100_000, dtype=np.uint32)
    bits[:6] = 0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0xFFFFFFFF
    x = bits.view(np.float32)
    expected = torch.from_numpy(x).to(torch.bfloat16)
    np.testing.assert_array_equal(
        from_bfloat16(_to_bfloat16(x)), expected.to(torch.float32).numpy(),
    )


def test_no_update_has_a_large_temporary():
    # NumPy reports its allocations; 32 MB of float32 parameters
    result = run_python(
        """
        import tracemalloc
        import numpy as np
        from fasttrain.optim import AveragedParameters
        param = np.ones(8_000_000, np.float32)
        averaged = AveragedParameters(param, 0.9)
        tracemalloc.start()
        for _ in range(2):
            averaged.update()
        averaged.swap()
        averaged.swap()
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < 1_000_000, peak
        """
    )
    assert result.returncode == 0, result.stderr


# ---- state -------------------------------------------------------------------------------------------------

@every_kind
@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_resumed_average_goes_on_bit_for_bit(kind, through_a_file, tmp_path):
    params = [values((70,), np.float32, 0), values((3, 2), np.float64, 0), to_bfloat16(values((9,), np.float32, 0))]
    averaged = AveragedParameters(params, **KINDS[kind], dtype="bfloat16")

    def run(one, seeds):
        for seed in seeds:
            params[0][...] = values((70,), np.float32, seed)
            params[1][...] = values((3, 2), np.float64, seed)
            params[2][...] = to_bfloat16(values((9,), np.float32, seed))
            one.update()

    run(averaged, range(3))
    state = averaged.state_dict()
    if through_a_file:
        np.savez(tmp_path / "state.npz", **state)
        with np.load(tmp_path / "state.npz") as loaded:
            state = dict(loaded)
    resumed = AveragedParameters(params, dtype="bfloat16")
    resumed.load_state_dict(state)
    assert bits_of(resumed.averages) == bits_of(averaged.averages)
    run(averaged, range(3, 6))
    run(resumed, range(3, 6))
    assert resumed.n_updates == averaged.n_updates == 6
    assert bits_of(resumed.averages) == bits_of(averaged.averages)


def test_state_is_flat_and_a_copy():
    averaged = AveragedParameters([np.ones(2), np.ones(3)], 0.9, start="warmup")
    state = averaged.state_dict()
    assert list(state) == ["n_updates", "start", "decay", "average.0", "average.1"]
    assert not np.shares_memory(state["average.0"], averaged.averages[0])
    assert "decay" not in AveragedParameters(np.ones(2)).state_dict()
    averaged.load_state_dict({"n_updates": 0, "start": "copy", "average.0": np.zeros(2), "average.1": np.zeros(3)})
    assert (averaged.decay, averaged.start) == (None, "copy")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"n_updates": -1}, ValueError, "n_updates in state must be a non-negative integer, got -1"),
        ({"n_updates": 2.0}, ValueError, "n_updates in state must be a non-negative integer"),
        ({"n_updates": None}, ValueError, "state lacks n_updates"),
        ({"start": "slow"}, ValueError, "start must be 'copy', 'warmup' or 'debias', got 'slow'"),
        ({"decay": 1.0}, ValueError, r"decay must be in \[0, 1\)"),
        ({"start": "warmup", "decay": None}, ValueError, "it needs a decay"),
        ({"average.0": None}, ValueError, "state lacks average.0"),
        ({"average.0": [1.0, 2.0]}, TypeError, "average.0 in state must be a numpy.ndarray, got list"),
        ({"average.0": np.ones(3)}, ValueError, r"average.0 in state must have shape \(2,\)"),
        ({"average.1": np.ones((2, 2), np.float32)}, ValueError, "average.1 in state must have .* dtype float64"),
        ({"average.2": np.ones(2)}, ValueError, "entries unknown to averages of 2 parameters: average.2"),
    ],
)
def test_a_bad_state_changes_nothing(change, error, match):
    averaged = AveragedParameters([np.ones(2), np.ones((2, 2))], 0.9)
    averaged.update()
    before = averaged.state_dict()
    state = {name: value for name, value in {**before, **change}.items() if value is not None}
    state["average.1"] = state["average.1"] + 1
    with pytest.raises(error, match=match):
        averaged.load_state_dict(state)
    after = averaged.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


# ---- bad input ---------------------------------------------------------------------------------------------

READ_ONLY = np.ones(3)
READ_ONLY.flags.writeable = False
SHARED = np.ones(8)


@pytest.mark.parametrize(
    ("params", "options", "error", "match"),
    [
        ([], {}, ValueError, "params must hold at least one array"),
        ([1.0], {}, TypeError, r"params\[0\] must be a numpy.ndarray or export CPU memory"),
        (np.ones(3, int), {}, TypeError, "params must have dtype float32, float64, float16 or bfloat16, got int64"),
        (np.ones(3, np.float16), {}, TypeError, "params must have dtype float32, float64 or bfloat16, got float16"),
        (np.ones(3, np.uint16), {}, TypeError, "uint16 is taken for bfloat16 with dtype='bfloat16'"),
        (np.ones((4, 4))[:, 1], {}, ValueError, "params must be C-contiguous"),
        (READ_ONLY, {}, ValueError, "params must be writeable, got a read-only array"),
        ([SHARED[:5], SHARED[4:]], {}, ValueError, r"params\[1\] must not overlap params\[0\] in memory"),
        (np.ones(3), {"decay": 1.0}, ValueError, r"decay must be in \[0, 1\), got 1.0"),
        (np.ones(3), {"decay": -0.1}, ValueError, "decay must be at least 0, got -0.1"),
        (np.ones(3), {"decay": np.nan}, ValueError, "decay must be finite"),
        (np.ones(3), {"decay": "0.9"}, TypeError, "decay must be a real number, got '0.9'"),
        (np.ones(3), {"start": "warmup"}, ValueError, "start='warmup' is of the exponential average: it needs a decay"),
        (np.ones(3), {"decay": 0.5, "start": 3}, ValueError, "start must be 'copy', 'warmup' or 'debias', got 3"),
        (np.ones(3), {"dtype": "float16"}, ValueError, "dtype must be"),
    ],
)
def test_bad_arguments_are_refused(params, options, error, match):
    with pytest.raises(error, match=match):
        AveragedParameters(params, **options)


def test_a_bad_option_set_later_is_refused_by_the_update():
    param = np.zeros(2)
    averaged = AveragedParameters(param, 0.5)
    averaged.update()
    param += 1
    for name, value in (("decay", 2.0), ("start", "slow")):
        good = getattr(averaged, name)
        setattr(averaged, name, value)
        with pytest.raises(ValueError, match=f"{name} must be"):
            averaged.update()
        setattr(averaged, name, good)
    assert averaged.n_updates == 1
    np.testing.assert_array_equal(averaged.averages, 0.0)


def test_between_two_swaps_the_averages_are_not_to_be_had():
    param = np.zeros(2)
    averaged = AveragedParameters(param)
    state = averaged.state_dict()
    averaged.swap()
    for use in (
        averaged.update, averaged.state_dict, lambda: averaged.load_state_dict(state), lambda: averaged.averages,
        averaged.swapped().__enter__,
    ):
        with pytest.raises(ValueError, match=r"needs the parameters in their place: call swap\(\) once more"):
            use()
    averaged.swap()
    averaged.update()
    assert averaged.n_updates == 1


def test_parameters_that_changed_underneath_are_refused():
    params = [np.zeros(2), np.zeros(4)]
    averaged = AveragedParameters(params)
    params[0] += 1
    params[1].flags.writeable = False
    averaged.update()  # only reads
    params[0] += 1
    with pytest.raises(ValueError, match=r"params\[1\] was resized or made read-only"):
        averaged.swap()
    np.testing.assert_array_equal(params[0], 2.0)
    params[1].flags.writeable = True
    params[1].resize((3,), refcheck=False)
    with pytest.raises(ValueError, match=r"params\[1\] must have the shape of averages\[1\], \(4,\), got \(3,\)"):
        averaged.update()
    with pytest.raises(ValueError, match=r"params\[1\] was resized"):
        averaged.swap()
    np.testing.assert_array_equal(averaged.averages[0], 1.0)
    assert averaged.n_updates == 1
