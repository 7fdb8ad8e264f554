"""The optimizer classes of rules over whole arrays: LAMB, Adafactor and Muon, over one array, lists and groups."""
import copy
import math

import numpy as np
import pytest

from fasttrain import kernels
from fasttrain.optim import LAMB, Adafactor, Muon
from tests.helpers import DTYPES, THREAD_COUNTS

# name: class, kernel, options
RULES = {
    "lamb": (LAMB, kernels.lamb_update, {"lr": 0.05, "weight_decay": 0.1}),
    "lamb bounds": (LAMB, kernels.lamb_update, {"lr": 0.05, "max_param_norm": 2.0, "max_trust_ratio": 0.5}),
    "adafactor": (Adafactor, kernels.adafactor_update, {"lr": 0.05}),
    "adafactor eps": (Adafactor, kernels.adafactor_update, {"lr": 0.05, "eps": (1e-4, 1e-2), "weight_decay": 0.1}),
    "muon": (Muon, kernels.muon_update, {"lr": 0.05}),
    "muon rms": (Muon, kernels.muon_update, {"lr": 0.05, "adjust_lr_fn": "match_rms_adamw", "nesterov": False}),
}
MATRIX_SHAPES = [(7, 5), (1, 9), (5, 7), (0, 3), (60, 40), (2, 2)]
SHAPES = [*MATRIX_SHAPES, (5,), (), (3, 1, 11), (9000,)]

every_rule = pytest.mark.parametrize("name", RULES)


def shapes_of(name):
    return MATRIX_SHAPES if name.startswith("muon") else SHAPES


def arrays_of(shapes, dtype, seed):
    random = np.random.default_rng(seed)
    return [np.array(random.standard_normal(shape), dtype=dtype) for shape in shapes]


def make(name, params, **more):
    rule, _, options = RULES[name]
    return rule(params, **options, **more)


def zero_state(name, param):
    if name.startswith("lamb"):
        return {"exp_avg": np.zeros_like(param), "exp_avg_sq": np.zeros_like(param)}
    if name.startswith("muon"):
        return {"momentum_buffer": np.zeros_like(param)}
    if param.ndim < 2:
        return {"variance": np.zeros_like(param)}
    return {"row_var": 0 * param[..., :, :1].copy() if param.size else np.zeros(param.shape[:-1] + (1,), param.dtype),
            "col_var": np.zeros(param.shape[:-2] + (1, param.shape[-1]), param.dtype)}


def kernel_step(name, param, grad, state, step, **more):
    _, kernel, options = RULES[name]
    count = {} if name.startswith("muon") else {"step": step}
    kernel(param, grad, **state, **count, **{**options, **more})


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- steps -------------------------------------------------------------------------------------------------

@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_are_those_of_the_kernels(name, dtype):
    shapes = shapes_of(name)
    params = arrays_of(shapes, dtype, 0)
    expected = copy.deepcopy(params)
    states = [zero_state(name, param) for param in params]
    optimizer = make(name, params)
    for step in (1, 2, 3):
        grads = arrays_of(shapes, dtype, step)
        assert optimizer.step(grads) is True
        same(grads, arrays_of(shapes, dtype, step))
        for param, grad, state in zip(expected, grads, states, strict=True):
            kernel_step(name, param, grad, state, step)
        same(params, expected)
    assert optimizer.n_steps == 3


@every_rule
def test_one_array_and_a_list_of_it_agree(name):
    one, listed = np.linspace(-1, 1, 33).reshape(3, 11), np.linspace(-1, 1, 33).reshape(3, 11)
    single, many = make(name, one), make(name, (listed,))
    for seed in range(3):
        (grad,) = arrays_of([(3, 11)], np.float64, seed)
        single.step(grad)
        many.step([grad])
    np.testing.assert_array_equal(one, listed)
    assert single.params is one
    assert many.params[0] is listed


@every_rule
def test_groups_have_options_of_their_own(name):
    params, expected = (arrays_of([(3, 4), (4, 3)], np.float64, 0) for _ in range(2))
    grads = arrays_of([(3, 4), (4, 3)], np.float64, 1)
    optimizer = make(name, [{"params": params[:1]}, {"params": params[1:], "lr": 0.5}])
    optimizer.step(grads)
    for param, grad, options in zip(expected, grads, ({}, {"lr": 0.5}), strict=True):
        kernel_step(name, param, grad, zero_state(name, param), 1, **options)
    same(params, expected)


@every_rule
def test_scaled_and_clipped_gradients(name):
    params, expected = (arrays_of([(3, 4), (4, 3)], np.float32, 0) for _ in range(2))
    grads = arrays_of([(3, 4), (4, 3)], np.float32, 1)
    optimizer = make(name, params)
    optimizer.step(grads, grad_scale=8.0, max_norm=0.25)
    norm = math.sqrt(sum(float(np.sum(np.square(grad, dtype=np.float64))) for grad in grads)) / 8.0
    np.testing.assert_allclose(optimizer.grad_norm, norm, rtol=1e-6)
    factor = 0.25 / (optimizer.grad_norm + 1e-6) / 8.0
    for param, grad in zip(expected, grads, strict=True):
        kernel_step(name, param, grad, zero_state(name, param), 1, grad_factor=factor)
    for one, other in zip(params, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@every_rule
def test_thread_counts_give_the_same_bits(name):
    results = []
    shapes = [*shapes_of(name), (300, 200)]
    for n_threads in THREAD_COUNTS:
        params = arrays_of(shapes, np.float32, 0) + arrays_of([(200, 300)], np.float64, 1)
        optimizer = make(name, params, n_threads=n_threads)
        for step in (1, 2):
            optimizer.step(arrays_of(shapes, np.float32, step) + arrays_of([(200, 300)], np.float64, step))
        results.append([param.tobytes() for param in params])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", ["adafactor", "adafactor eps"])
def test_adafactor_against_torch(name):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    shapes = [(3, 4), (5,), (2, 3, 4)]
    params = arrays_of(shapes, np.float64, 0)
    peers = [torch.nn.Parameter(torch.from_numpy(param.copy())) for param in params]
    optimizer, peer = make(name, params), torch.optim.Adafactor(peers, **RULES[name][2])
    for step in range(20):
        grads = arrays_of(shapes, np.float64, step)
        for tensor, grad in zip(peers, grads, strict=True):
            tensor.grad = torch.from_numpy(grad.copy())
        optimizer.step(grads)
        peer.step()
    for param, tensor in zip(params, peers, strict=True):
        # torch counts steps in float32, and 1 / sqrt(t) and t^beta2_decay are of that count: exact for these
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=0, atol=1e-13)


def test_torch_parameters_are_updated_in_place():
    torch = pytest.importorskip("torch", reason="updates torch's tensors")
    for name in RULES:
        tensor, array = torch.ones((3, 4)), np.ones((3, 4), np.float32)
        grad = torch.linspace(-1, 1, 12).reshape(3, 4)
        make(name, tensor).step(grad)
        make(name, array).step(grad.numpy())
        np.testing.assert_array_equal(tensor.numpy(), array)


# ---- state -------------------------------------------------------------------------------------------------

@every_rule
@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_resumed_run_goes_on_bit_for_bit(name, through_a_file, tmp_path):
    shapes = shapes_of(name)
    params = arrays_of(shapes, np.float32, 0)
    optimizer = make(name, params)
    for step in (1, 2):
        optimizer.step(arrays_of(shapes, np.float32, step))
    optimizer.lr = 0.03
    state = optimizer.state_dict()
    if through_a_file:
        np.savez(tmp_path / "state.npz", **state)
        with np.load(tmp_path / "state.npz") as loaded:
            state = dict(loaded)
    resumed_params = copy.deepcopy(params)
    resumed = type(optimizer)(resumed_params)
    resumed.load_state_dict(state)
    assert resumed.n_steps == 2
    assert resumed.param_groups[0] == {**optimizer.param_groups[0], "params": tuple(resumed_params)}
    for step in (3, 4):
        for one in (optimizer, resumed):
            one.step(arrays_of(shapes, np.float32, step))
    same(params, resumed_params)


@every_rule
def test_states_that_do_not_fit_change_nothing(name):
    optimizer = make(name, np.ones((3, 4)))
    optimizer.step(np.ones((3, 4)))
    state = optimizer.state_dict()
    array = next(key for key in state if key.endswith(".0"))
    for change, match in (
        ({"rule": "Adam"}, "state must be of rule"), ({"lr": -1.0}, "lr must be at least 0"),
        ({array: np.ones((9, 9))}, "must have shape"), ({"more.0": np.ones(3)}, "unknown"),
    ):
        with pytest.raises(ValueError, match=match):
            optimizer.load_state_dict({**state, **change})
        after = optimizer.state_dict()
        assert sorted(after) == sorted(state)
        np.testing.assert_array_equal(after[array], state[array])


# ---- bad input ---------------------------------------------------------------------------------------------

@every_rule
def test_bad_gradients_change_nothing(name):
    params = arrays_of([(3, 4), (4, 3)], np.float32, 0)
    kept = copy.deepcopy(params)
    good = arrays_of([(3, 4), (4, 3)], np.float32, 1)
    optimizer = make(name, params)
    for bad, error, match in (
        (good[0], TypeError, "grads must be a list of 2 arrays"),
        (good[:1], ValueError, "grads must hold 2 arrays"),
        ([good[0], np.ones((3, 4), np.float32)], ValueError, r"grads\[1\] must have the shape of params\[1\]"),
        ([good[0], good[1].astype(np.float16)], TypeError, r"grads\[1\] must have dtype float32, as its parameter has"),
        ([good[0], params[1]], ValueError, r"grads\[1\] must not overlap params\[1\]"),
    ):
        with pytest.raises(error, match=match):
            optimizer.step(bad)
        same(params, kept)
    with pytest.raises(ValueError, match=r"max_value is for elementwise rules, .*got max_value=0\.5"):
        optimizer.step(good, max_value=0.5)
    with pytest.raises(ValueError, match="must be between 1 and 4096, got 0"):
        make(name, params, n_threads=0).step(good)
    same(params, kept)
    assert optimizer.n_steps == 0


@every_rule
def test_bad_options_of_the_second_group_change_nothing(name):
    params = arrays_of([(3, 4), (4, 3)], np.float32, 0)
    kept = copy.deepcopy(params)
    optimizer = make(name, [{"params": params[:1]}, {"params": params[1:]}])
    optimizer.param_groups[1]["weight_decay"] = math.nan
    with pytest.raises(ValueError, match="weight_decay must be finite"):
        optimizer.step(arrays_of([(3, 4), (4, 3)], np.float32, 1))
    same(params, kept)


@every_rule
def test_parameters_that_the_rule_does_not_take(name):
    rule = RULES[name][0]
    with pytest.raises(TypeError, match="params must have dtype float32"):
        rule(np.zeros((3, 4), np.float16))
    with pytest.raises(ValueError, match=r"takes no masks, got one for params\[0\]"):
        rule([{"params": [np.ones((3, 4))], "masks": [np.ones((3, 4), bool)]}])
    with pytest.raises(ValueError, match="lr must be at least 0"):
        rule(np.ones((3, 4)), lr=-1.0)


@every_rule
def test_parameters_of_bfloat16_are_refused(name):
    torch = pytest.importorskip("torch", reason="has arrays of bfloat16")
    rule = RULES[name][0]
    with pytest.raises(TypeError, match=f"params must have dtype float32 or float64 for {rule.__name__}, got bfloat16"):
        rule(torch.ones((3, 4), dtype=torch.bfloat16))


def test_muon_says_what_to_do_with_other_parameters():
    with pytest.raises(ValueError, match=r"^params\[1\] must have 2 dimensions, got shape \(4,\): .*another rule"):
        Muon([np.ones((3, 4)), np.ones(4)])
