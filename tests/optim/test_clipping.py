"""What happens to gradients before the rule: scaling, clipping, checks of finiteness, 16-bit gradients."""
import copy
import math

import numpy as np
import pytest

from fasttrain import optim
from tests.helpers import DTYPES
from tests.optim.rules import (
    SMALL_SHAPES,
    Unchanged,
    arrays_of,
    assert_same,
    bits_of,
    every_state_dtype,
    fullest_cases,
    make,
)


def norm_of(grads):
    return math.sqrt(sum(float(np.square(grad, dtype=np.float64).sum()) for grad in grads))


# ---- clipping and scaling --------------------------------------------------------------------------------------

@pytest.mark.parametrize("max_value", [None, 0.1])
@pytest.mark.parametrize("max_norm", [None, 0.5, 1e6])
def test_clipping_against_torch(max_norm, max_value):
    torch = pytest.importorskip("torch", reason="compares with torch.nn.utils")
    params = arrays_of(SMALL_SHAPES, np.float64, 0)
    peers = [torch.nn.Parameter(torch.from_numpy(param.copy())) for param in params]
    own, peer = optim.SGD(params, lr=0.1, momentum=0.9), torch.optim.SGD(peers, lr=0.1, momentum=0.9)
    for step in range(20):
        grads = arrays_of(SMALL_SHAPES, np.float64, step, scale=1 + step % 3)
        for tensor, grad in zip(peers, grads, strict=True):
            tensor.grad = torch.from_numpy(grad.copy())
        if max_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(peers, max_norm).item()
        if max_value is not None:
            torch.nn.utils.clip_grad_value_(peers, max_value)
        own.step(grads, max_norm=max_norm, max_value=max_value)
        peer.step()
        if max_norm is None:
            assert own.grad_norm is None
        else:
            np.testing.assert_allclose(own.grad_norm, norm, rtol=1e-14)
        assert_same(grads, arrays_of(SMALL_SHAPES, np.float64, step, scale=1 + step % 3))
    for param, tensor in zip(params, peers, strict=True):
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=0, atol=1e-13)


@every_state_dtype
@pytest.mark.parametrize("maximize", [False, True])
@fullest_cases
def test_scaled_and_clipped_gradients_are_those_computed_before(name, maximize, state_dtype):
    params = arrays_of(SMALL_SHAPES, np.float32, 0)
    twins = copy.deepcopy(params)
    optimizer = make(name, params, maximize=maximize, state_dtype=state_dtype)
    twin = make(name, twins, maximize=maximize, state_dtype=state_dtype)
    for step in range(4):
        grads = arrays_of(SMALL_SHAPES, np.float32, step)
        scaled = [grad * np.float32(1024) for grad in grads]
        norm = norm_of(grads)
        if step == 0:
            optimizer.step(scaled, grad_scale=1024.0)
        elif step == 1:
            optimizer.step(scaled, grad_scale=1024, max_value=0.5)
            grads = [np.clip(grad, -0.5, 0.5) for grad in grads]
        elif step == 2:
            # half of the norm but for 1e-6: the factor is the same double, rounded once
            optimizer.step(scaled, grad_scale=1024.0, max_norm=0.5)
            factor = np.float32(0.5 / (optimizer.grad_norm + 1e-6) / 1024)
            grads = [grad * factor for grad in scaled]
            np.testing.assert_allclose(optimizer.grad_norm, norm, rtol=1e-6)
        else:
            optimizer.step(grads, max_norm=1e3)
        # the same walk through memory, whose rounding is by the way that the memory is walked
        twin.step(grads, max_value=None if step != 1 else 1e9)
    assert_same(params, twins)


def test_norm_is_of_all_groups_and_threads():
    shapes = [(70_001,), (3,), (), (0,), (300_000,)]
    for dtype in DTYPES:
        grads = arrays_of(shapes, dtype, 3)
        norms = set()
        for n_threads in (1, 2, 3):
            params = arrays_of(shapes, dtype, 0)
            optimizer = optim.SGD([{"params": params[:2]}, {"params": params[2:]}], lr=0.0, n_threads=n_threads)
            optimizer.step(grads, max_norm=1.0)
            norms.add(optimizer.grad_norm)
        assert len(norms) == 1
        # 32 squares are added in the dtype before double takes over
        np.testing.assert_allclose(norms.pop(), norm_of(grads), rtol=32 * np.finfo(dtype).eps)


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float16"])
def test_huge_gradients_are_finite(kind):
    size = {"float64": 1e200, "float32": 1e30, "bfloat16": 2.0**100, "float16": 65504.0}[kind]
    grads = [np.full(3, 1.0), np.full(70_001, size), np.full((), -2 * size if kind != "float16" else -size)]
    expected = size * math.sqrt(70_001 + (4 if kind != "float16" else 1))
    if kind == "bfloat16":
        grads = [bits_of(grad) for grad in grads]
    else:
        grads = [grad.astype(kind) for grad in grads]
    wide = np.float64 if kind == "float64" else np.float32
    params = [np.zeros(grad.shape, wide) for grad in grads]
    optimizer = optim.SGD(params, lr=1.0, dtype="bfloat16" if kind == "bfloat16" else None)
    assert optimizer.step(grads, max_norm=1.0, check_finite=True) is True
    np.testing.assert_allclose(optimizer.grad_norm, expected, rtol=1e-6)
    np.testing.assert_allclose(params[1], -size / expected, rtol=1e-6)


def test_squares_that_overflow_only_in_their_sum():
    grads = [np.full(1, 1.2e154) for _ in range(3)]  # each square is finite, two together are not
    params = [np.zeros(1) for _ in grads]
    optimizer = optim.SGD(params, lr=1.0)
    optimizer.step(grads, max_norm=1.0)
    np.testing.assert_allclose(optimizer.grad_norm, 1.2e154 * math.sqrt(3), rtol=1e-14)
    np.testing.assert_allclose(params, -np.full((3, 1), 1 / math.sqrt(3)), rtol=1e-14)


# ---- finiteness ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@fullest_cases
def test_gradients_that_are_not_finite(name, bad, kind):
    shapes = [(3,), (70_001,), ()]
    wide = np.float64 if kind == "float64" else np.float32
    params = arrays_of(shapes, wide, 0)
    optimizer = make(name, params, dtype="bfloat16" if kind == "bfloat16" else None)
    grads = arrays_of(shapes, wide, 1)
    for i, place in ((0, 2), (1, 70_000), (2, ())):
        spoiled = copy.deepcopy(grads)
        spoiled[i][place] = bad
        if kind == "bfloat16":
            spoiled = [np.array(grad.view(np.uint32) >> 16, np.uint16) for grad in spoiled]
        else:
            spoiled = [grad.astype(kind) for grad in spoiled]
        match = rf"^grads\[{i}\] must be finite, but holds NaN or infinity; nothing was changed$"
        for options in ({}, {"max_norm": 1.0}):
            with Unchanged(optimizer, params), pytest.raises(ValueError, match=match):
                optimizer.step(spoiled, check_finite=True, **options)
            with Unchanged(optimizer, params):
                assert optimizer.step(spoiled, check_finite="skip", **options) is False
    assert optimizer.step(grads, check_finite="skip") is True
    assert optimizer.step(grads, check_finite=True) is True
    assert optimizer.n_steps == 2


def test_a_norm_of_nan_makes_all_nan_as_in_torch():
    theta = [np.zeros(3), np.zeros(2)]
    optimizer = optim.SGD(theta, lr=1.0)
    optimizer.step([np.ones(3), np.array([np.nan, 1.0])], max_norm=1.0)
    assert math.isnan(optimizer.grad_norm)
    assert np.all(np.isnan(np.concatenate(theta)))


# ---- gradients of 16 bits --------------------------------------------------------------------------------------

@every_state_dtype
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@fullest_cases
def test_narrow_gradients_are_their_float32(name, kind, state_dtype):
    every = np.arange(2**16, dtype=np.uint16)
    if kind == "float16":
        every = every.view(np.float16)
        grad, wide = every[np.isfinite(every)], every[np.isfinite(every)].astype(np.float32)
    else:
        wide = (every.astype(np.uint32) << 16).view(np.float32)
        fits = np.isfinite(wide) & (np.abs(wide) < 1e15)  # whose squares are finite
        grad, wide = every[fits], wide[fits]
    kept = grad.copy()
    params, twins = (arrays_of([grad.shape], np.float32, 0) for _ in range(2))
    # both through the general walk, whose bits are of the memory's order
    optimizer = make(name, params, state_dtype=state_dtype, dtype="bfloat16" if kind == "bfloat16" else None)
    twin = make(name, twins, state_dtype=state_dtype)
    for _ in range(2):
        optimizer.step([grad])
        twin.step([wide], max_value=3e38)
    assert_same(params, twins)
    np.testing.assert_array_equal(grad, kept)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_subnormal_float16_gradients_count(kind):
    theta = np.zeros(20, np.float32)
    grad = (np.arange(1, 21) * 2.0**-24).astype(kind)
    optim.SGD(theta, lr=1.0).step(grad)
    np.testing.assert_array_equal(theta, -(np.arange(1, 21) * 2.0**-24))


def test_an_infinite_norm_only_measures():
    theta, other = np.zeros(2), np.zeros(2)
    optimizer = optim.SGD(theta, lr=1.0)
    optimizer.step(np.array([3.0, 4.0]), max_norm=np.inf)
    optim.SGD(other, lr=1.0).step(np.array([3.0, 4.0]))
    assert optimizer.grad_norm == 5.0
    np.testing.assert_array_equal(theta, other)
