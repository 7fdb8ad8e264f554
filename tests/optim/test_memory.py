"""The caller's memory: lists and groups, other libraries' arrays, masks, and what may not be updated in place."""
import array
import copy
import tracemalloc

import numpy as np
import pytest

from fasttrain import optim
from tests.helpers import DTYPES, THREAD_COUNTS
from tests.optim.rules import (
    SHAPES,
    SMALL_SHAPES,
    Unchanged,
    arrays_of,
    assert_same,
    bits_of,
    every_rule,
    every_state_dtype,
    fullest_cases,
    make,
    values_of,
)

# ---- lists and groups ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
@fullest_cases
def test_one_array_lists_tuples_and_iterators_agree(name, dtype):
    ways = {
        "one": lambda array: array,
        "list": lambda array: [array],
        "tuple": lambda array: (array,),
        "generator": lambda array: (array for _ in range(1)),
        "iterator": lambda array: iter([array]),
    }
    thetas = {way: np.linspace(-1, 1, 333, dtype=dtype) for way in ways}
    for way, put in ways.items():
        optimizer = make(name, put(thetas[way]))
        for seed in range(3):
            (grad,) = arrays_of([333], dtype, seed)
            optimizer.step(put(grad))
        np.testing.assert_array_equal(thetas[way], thetas["one"])
        given = optimizer.params
        assert (given if way == "one" else given[0]) is thetas[way]
        assert isinstance(given, np.ndarray if way == "one" else list)


@fullest_cases
def test_a_list_is_its_arrays_each_alone(name):
    params = arrays_of(SHAPES, np.float32, 0)
    alone = copy.deepcopy(params)
    together, each = make(name, params), [make(name, param) for param in alone]
    for step in range(3):
        grads = arrays_of(SHAPES, np.float32, step)
        together.step(grads)
        for optimizer, grad in zip(each, grads, strict=True):
            optimizer.step(grad)
    assert_same(params, alone)


@fullest_cases
def test_many_small_arrays_are_one_flat_buffer(name):
    flat = np.linspace(-2, 2, 200 * 60, dtype=np.float32)
    params = [row.copy() for row in flat.reshape(200, 60)]
    one, many = make(name, flat), make(name, params)
    for step in range(3):
        (grad,) = arrays_of([200 * 60], np.float32, step)
        one.step(grad)
        many.step(list(grad.reshape(200, 60)))
    np.testing.assert_array_equal(flat.reshape(200, 60), params)


@fullest_cases
def test_groups_have_options_of_their_own(name):
    params = arrays_of(SMALL_SHAPES, np.float64, 0)
    alone = copy.deepcopy(params)
    together = make(name, [
        {"params": params[:2]}, {"params": params[2], "lr": 0.003}, {"params": tuple(params[3:]), "weight_decay": 0.3},
    ])
    assert [len(group["params"]) for group in together.param_groups] == [2, 1, 2]
    each = [make(name, alone[:2]), make(name, alone[2:3], lr=0.003), make(name, alone[3:], weight_decay=0.3)]
    for step in range(4):
        if step == 2:
            together.param_groups[1]["lr"] = each[1].lr = 0.5
        grads = arrays_of(SMALL_SHAPES, np.float64, step)
        together.step(grads)
        for optimizer, own in zip(each, (grads[:2], grads[2:3], grads[3:]), strict=True):
            optimizer.step(own)
    assert_same(params, alone)
    assert all(one is other for one, other in zip(together.params, params, strict=True))


def test_learning_rate_of_groups():
    optimizer = optim.SGD([{"params": [np.zeros(1)]}, {"params": [np.zeros(1)], "lr": 0.5}], lr=0.1)
    with pytest.raises(ValueError, match=r"learning rates of their own, \[0.1, 0.5\]"):
        optimizer.lr  # noqa: B018
    optimizer.lr = 0.25
    assert optimizer.lr == 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_nothing_but_empty_arrays():
    optimizer = optim.Adam([np.zeros(0), np.zeros((3, 0))])
    assert optimizer.step([np.zeros(0), np.zeros((3, 0))], max_norm=1.0) is True
    assert optimizer.grad_norm == 0.0
    assert optimizer.n_steps == 1


# ---- masks -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("state_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", DTYPES)
@fullest_cases
def test_masked_elements_keep_parameter_and_state(name, dtype, state_dtype):
    if dtype == np.float64 and state_dtype != "float32":
        pytest.skip("float64 has state of float64")
    params = arrays_of(SMALL_SHAPES, dtype, 0)
    masks = [np.random.default_rng(1).random(param.shape) < 0.5 for param in params]
    masks[1] = None
    before, unmasked = copy.deepcopy(params), copy.deepcopy(params)
    optimizer = make(name, [{"params": params, "masks": masks}], state_dtype=state_dtype)
    other = make(name, unmasked, state_dtype=state_dtype)
    masks[0][...] = False  # it has a copy
    masks[0] = np.random.default_rng(1).random(params[0].shape) < 0.5
    for step in range(3):
        grads = arrays_of(SMALL_SHAPES, dtype, step)
        for grad, mask in zip(grads, masks, strict=True):
            if mask is not None:
                grad[~mask] = np.nan
        optimizer.step(grads)
        other.step(arrays_of(SMALL_SHAPES, dtype, step))
    for param, start, free, mask in zip(params, before, unmasked, masks, strict=True):
        np.testing.assert_array_equal(param, free if mask is None else np.where(mask, free, start))
    for key, value in optimizer.state_dict().items():
        if isinstance(value, np.ndarray) and key.startswith("exp_avg"):
            mask = masks[int(key.rpartition(".")[2])]
            if mask is not None:
                assert not np.any(value[~mask])


# ---- other exporters of memory ---------------------------------------------------------------------------------

@fullest_cases
def test_torch_tensors_are_updated_in_place(name):
    torch = pytest.importorskip("torch", reason="updates tensors of torch")
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 60, dtype=kind).reshape(3, 20))
        plain, other = torch.linspace(1, 2, 7, dtype=kind), torch.linspace(0, 1, 5, dtype=kind)
        tensors = [parameter.detach(), plain, torch.nn.Parameter(other).data]
        wide = np.float64 if kind == torch.float64 else np.float32
        numbers = [np.array(tensor.to(torch.float64).numpy(), dtype=wide) for tensor in tensors]
        if kind == torch.bfloat16:
            numbers = [bits_of(number) for number in numbers]
        optimizer = make(name, tensors)
        twin = make(name, numbers, dtype="bfloat16" if kind == torch.bfloat16 else None)
        pointers = [tensor.data_ptr() for tensor in tensors]
        for seed in range(3):
            grads = [torch.from_numpy(grad).to(kind) for grad in arrays_of([(3, 20), 7, 5], wide, seed)]
            optimizer.step(grads, max_norm=1.0)
            twin.step([values_of(bits_of(grad.float().numpy())) if kind == torch.bfloat16 else grad.numpy()
                       for grad in grads], max_norm=1.0)
        assert [tensor.data_ptr() for tensor in tensors] == pointers
        for tensor, number in zip([parameter.detach(), plain, other], numbers, strict=True):
            value = values_of(number) if kind == torch.bfloat16 else number
            np.testing.assert_array_equal(tensor.to(torch.float64).numpy(), value)
        assert optimizer.params[1] is plain


@every_rule
def test_torch_tensors_that_cannot_be_updated_are_refused(rule):
    torch = pytest.importorskip("torch", reason="updates tensors of torch")
    parameter = torch.nn.Parameter(torch.zeros(4))
    with pytest.raises(ValueError, match=r"params must not require grad.*pass params\.detach\(\)"):
        rule(parameter)
    with pytest.raises(ValueError, match=r"params\[0\] must not require grad"):
        rule(torch.nn.Linear(3, 2).parameters())
    with pytest.raises(ValueError, match="params must be C-contiguous"):
        rule(torch.zeros(4, 4).T)
    memory = torch.zeros(10)
    with pytest.raises(ValueError, match=r"params\[1\] must not overlap params\[0\] in memory"):
        rule([memory[:6], memory[5:]])
    with pytest.raises(ValueError, match=r"params\[1\] must not overlap params\[0\] in memory"):
        rule([memory, memory.view(2, 5)])
    with pytest.raises(TypeError, match=r"params must have dtype.*got int64"):
        rule(torch.zeros(3, dtype=torch.int64))
    optimizer = rule([memory[:5], memory[5:]])
    with Unchanged(optimizer, [memory.numpy()]):
        with pytest.raises(ValueError, match=r"grads\[0\] must not require grad"):
            optimizer.step([torch.nn.Parameter(torch.zeros(5)), torch.zeros(5)])
        with pytest.raises(ValueError, match=r"grads\[1\] must not overlap params\[0\]"):
            optimizer.step([torch.zeros(5), memory[2:7]])
        with pytest.raises(TypeError, match=r"grads\[1\] must be a numpy.ndarray or export.*got NoneType"):
            optimizer.step([torch.zeros(5), None])


def test_torch_tensors_that_moved_are_refused():
    torch = pytest.importorskip("torch", reason="updates tensors of torch")
    tensor = torch.zeros(5)
    optimizer = optim.SGD(tensor, lr=1.0)
    optimizer.step(torch.ones(5))
    tensor.resize_(2_000_000)
    for grad in (torch.ones(5), torch.ones(2_000_000)):
        with pytest.raises(ValueError, match="params was resized or moved in memory"):
            optimizer.step(grad)
    tensor = torch.zeros(5)
    optimizer = optim.SGD([tensor], lr=1.0)
    tensor.set_(torch.zeros(5))
    with pytest.raises(ValueError, match=r"params\[0\] was resized or moved in memory"):
        optimizer.step([torch.ones(5)])
    assert not tensor.any()


def test_torch_modules_train():
    torch = pytest.importorskip("torch", reason="updates tensors of torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    peer = copy.deepcopy(model)
    parameters = list(model.parameters())
    own = optim.AdamW([parameter.detach() for parameter in parameters], lr=0.01)
    theirs = torch.optim.AdamW(peer.parameters(), lr=0.01)
    X = torch.randn(64, 4)
    y = X.sum(1, keepdim=True).sin()
    for _ in range(100):
        for net in (model, peer):
            net.zero_grad()
            torch.nn.functional.mse_loss(net(X), y).backward()
        own.step([parameter.grad for parameter in parameters])
        theirs.step()
    for one, other in zip(parameters, peer.parameters(), strict=True):
        # float32 of two orders of rounding, a hundred steps of at most lr each
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("way", ["ml_dtypes", "uint16"])
@fullest_cases
def test_bfloat16_of_numpy_is_updated_in_place(name, way):
    params = arrays_of(SMALL_SHAPES, np.float32, 0)
    bits = [bits_of(param) for param in params]
    twins = copy.deepcopy(bits)
    if way == "ml_dtypes":
        kind = pytest.importorskip("ml_dtypes", reason="updates its arrays").bfloat16
        optimizer = make(name, [array.view(kind) for array in bits])
    else:
        kind = np.uint16
        optimizer = make(name, bits, dtype="bfloat16")
    twin = make(name, twins, dtype="bfloat16")
    for step in range(3):
        grads = arrays_of(SMALL_SHAPES, np.float32, step)
        optimizer.step([bits_of(grad).view(kind) for grad in grads])
        twin.step([values_of(bits_of(grad)) for grad in grads])
    assert_same(bits, twins)


def test_arrays_of_the_standard_library_and_of_files(tmp_path):
    theta = array.array("f", [1.0, 2.0, 3.0])
    mapped = np.memmap(tmp_path / "param", dtype=np.float32, mode="w+", shape=(3,))
    mapped[:] = [1.0, 2.0, 3.0]
    for params in (mapped, theta):
        optimizer = optim.SGD(params, lr=0.5)
        optimizer.step(array.array("f", [1.0, -1.0, 0.0]))
        np.testing.assert_array_equal(np.asarray(params), [0.5, 2.5, 3.0])
        assert optimizer.params is params
    with pytest.raises(BufferError):
        theta.append(1.0)  # the optimizer holds its memory
    mapped.flush()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "param", np.float32), [0.5, 2.5, 3.0])


@every_rule
def test_bad_parameters_are_refused(rule):
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    memory = np.zeros(10)
    for params, error, match in [
        ([], ValueError, "at least one array"),
        ([{"params": []}], ValueError, "at least one array"),
        ("theta", TypeError, "params must be a numpy.ndarray or export.*got str"),
        ({"params": [memory]}, TypeError, "params must be .*got dict"),
        ([1.0, 2.0], TypeError, r"params\[0\] must be .*got float"),
        ([memory, {"params": [read_only]}], TypeError, r"params\[1\] must be .*got dict"),
        ([{"params": [memory]}, read_only], TypeError, "either arrays or dicts, got ndarray beside a dict"),
        ([{"param": [memory]}], ValueError, "a group must have params"),
        ([{"params": [memory], "learning_rate": 1.0}], ValueError, "got params, learning_rate"),
        ([{"params": [memory], "lr": -1.0}], ValueError, "lr must be at least 0"),
        (np.zeros(3, np.int64), TypeError, "params must have dtype float32, float64, float16 or bfloat16, got int64"),
        (np.zeros(3, np.uint16), TypeError, "uint16 is taken for bfloat16 with dtype='bfloat16'"),
        ([np.zeros(3), np.zeros(3, np.float16)], TypeError, r"params\[1\] must have dtype .*bfloat16, got float16"),
        (np.zeros((4, 4))[:, ::2], ValueError, "params must be C-contiguous"),
        (np.zeros((4, 4), order="F"), ValueError, "params must be C-contiguous"),
        (read_only, ValueError, "params must be writeable"),
        (memoryview(b"12345678").cast("d"), ValueError, "params must be writeable"),
        (np.ma.masked_array(memory), TypeError, "params must not be a masked array"),
        (memory.astype(">f8"), ValueError, "params must be aligned and in native byte order"),
        ([memory, np.zeros(2), memory], ValueError, r"params\[2\] must not overlap params\[0\]"),
        ([memory[5:], np.zeros(2), memory[:6]], ValueError, r"params\[2\] must not overlap params\[0\]"),
        ([{"params": [memory[:5]]}, {"params": [memory[4:]]}], ValueError, r"params\[1\] must not overlap params\[0\]"),
        ([{"params": [memory], "masks": [np.ones(9, bool)]}], ValueError, r"mask of params\[0\].*got bool \(9,\)"),
        ([{"params": [memory], "masks": [np.ones(10)]}], ValueError, r"must be boolean of its shape.*got float64"),
        ([{"params": [memory], "masks": []}], ValueError, "masks must be a list of 1 arrays or None.*got 0"),
        ([{"params": [memory], "masks": np.ones(10, bool)}], ValueError, "masks must be a list.*got ndarray"),
    ]:
        with pytest.raises(error, match=match):
            rule(params)


def test_settings_that_exclude_each_other():
    theta = np.zeros(3, np.float32)
    group = {"params": [theta], "masks": [np.ones(3, bool)]}
    with pytest.raises(ValueError, match="a mask needs state of 'float32' or 'bfloat16', got state_dtype='8bit'"):
        optim.Adam([group], state_dtype="8bit")
    for state_dtype in ("bfloat16", "8bit"):
        with pytest.raises(ValueError, match="but params has dtype float64"):
            optim.Adam(np.zeros(3), state_dtype=state_dtype)
    with pytest.raises(ValueError, match="initial_accumulator_value and state_dtype='8bit' exclude"):
        optim.Adagrad(theta, initial_accumulator_value=0.1, state_dtype="8bit")
    with pytest.raises(ValueError, match="centered is a difference that state_dtype='8bit' does not hold"):
        optim.RMSprop(theta, centered=True, state_dtype="8bit")
    optimizer = optim.RMSprop(theta, state_dtype="8bit")
    optimizer.param_groups[0]["centered"] = True
    with pytest.raises(ValueError, match="centered is a difference that state_dtype='8bit' does not hold"):
        optimizer.step(theta + 1)
    with pytest.raises(ValueError, match="state_dtype must be one of 'float32', 'bfloat16', '8bit', got '4bit'"):
        optim.Adam(theta, state_dtype="4bit")
    with pytest.raises(ValueError, match="dtype must be None or 'bfloat16', got 'float16'"):
        optim.Adam(theta, dtype="float16")
    with pytest.raises(TypeError, match="master_weights must be True or False, got 1"):
        optim.Adam(theta, master_weights=1)


def test_parameters_that_changed_underneath_are_refused():
    theta = np.zeros(10)
    optimizer = optim.SGD(theta, lr=1.0)
    theta.flags.writeable = False
    with pytest.raises(ValueError, match="params must be writeable"):
        optimizer.step(np.ones(10))
    theta.flags.writeable = True
    theta.resize(1_000_000, refcheck=False)
    with pytest.raises(ValueError, match="params was resized or moved"):
        optimizer.step(np.ones(1_000_000))


@fullest_cases
def test_gradients_that_are_parameters_or_state_are_refused(name):
    memory = np.zeros(40)
    params = [memory[:10], memory[20:30]]
    optimizer = make(name, params)
    free = [np.zeros(10), np.zeros(10)]
    for start in (15, 20, 25, 29):
        with pytest.raises(ValueError, match=r"grads\[0\] must not overlap params\[1\] in memory"):
            optimizer.step([memory[start : start + 10], free[1]])
    optimizer.step([memory[10:20], memory[30:40]])  # next to them is fine
    optimizer.step([free[0], free[0]])  # and so is one gradient twice
    for state in optimizer._update.states[1].values():
        with pytest.raises(ValueError, match=r"grads\[0\] must not overlap the state of params\[1\]"):
            optimizer.step([state, free[1]])


# ---- temporaries -----------------------------------------------------------------------------------------------

@every_state_dtype
@pytest.mark.parametrize("kind", [np.float32, np.uint16])
@fullest_cases
def test_no_step_has_a_temporary_of_a_megabyte(name, kind, state_dtype):
    n = 2_000_000
    theta = np.zeros(n, kind)
    optimizer = make(name, theta, dtype="bfloat16", state_dtype=state_dtype)
    grad = np.full(n, 0x3F80, np.uint16) if kind == np.uint16 else np.ones(n, np.float32)
    optimizer.step(grad)
    tracemalloc.start()
    try:
        optimizer.step(grad, max_norm=1.0, max_value=0.5, check_finite=True)
        grad[-1] = 0x7F80 if kind == np.uint16 else np.inf
        with pytest.raises(ValueError, match="must be finite"):
            optimizer.step(grad, check_finite=True)
        grad[-1] = 0x7F00 if kind == np.uint16 else 1e38
        optimizer.step(grad, max_norm=1.0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("n_threads", THREAD_COUNTS)
def test_ten_million_parameters_have_no_temporary_of_a_megabyte(n_threads):
    theta, grad = np.zeros(10_000_000, np.float32), np.ones(10_000_000, np.float32)
    optimizer = optim.AdamW(theta, n_threads=n_threads)
    optimizer.step(grad)
    tracemalloc.start()
    try:
        optimizer.step(grad, max_norm=1.0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
