"""The loss classes: conversions, reductions, errors; the arithmetic is tested with the kernels."""

import itertools
import math

import numpy as np
import pytest

from fasttrain.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, HalfSquaredLoss, MSELoss
from tests import tolerances
from tests.helpers import DTYPES, numerical_gradient

LOSSES = (MSELoss, HalfSquaredLoss, BCELoss, BCEWithLogitsLoss, CrossEntropyLoss)
ELEMENTWISE = LOSSES[:4]


def _inputs(loss, shape=(6, 4), dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    if loss is CrossEntropyLoss:
        return rng.normal(size=shape).astype(dtype), rng.integers(0, shape[1], shape[0])
    if loss in (BCELoss, BCEWithLogitsLoss):
        return rng.uniform(0.1, 0.9, shape).astype(dtype), rng.random(shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)


def _torch():
    torch = pytest.importorskip("torch", reason="torch is not installed; its losses are the definition")
    torch.set_num_threads(1)  # the arrays are small
    return torch


# ---- against torch -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_names_options_and_values_are_those_of_torch(dtype, reduction):
    torch = _torch()
    weight = np.array([0.5, 2.0, 1.0, 3.0])
    as_torch = torch.tensor(weight)
    labels = {"ignore_index": 2}
    cases = [
        (MSELoss(reduction=reduction), torch.nn.MSELoss(reduction=reduction)),
        (BCELoss(reduction=reduction), torch.nn.BCELoss(reduction=reduction)),
        (BCEWithLogitsLoss(reduction=reduction), torch.nn.BCEWithLogitsLoss(reduction=reduction)),
        (
            BCEWithLogitsLoss(pos_weight=weight, reduction=reduction),
            torch.nn.BCEWithLogitsLoss(pos_weight=as_torch, reduction=reduction),
        ),
        (
            BCEWithLogitsLoss(pos_weight=2.5, reduction=reduction),
            torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.5), reduction=reduction),
        ),
    ]
    for w, smoothing, options in itertools.product((None, weight), (0.0, 0.2), ({}, labels)):
        ours = CrossEntropyLoss(weight=w, label_smoothing=smoothing, reduction=reduction, **options)
        theirs = torch.nn.CrossEntropyLoss(
            weight=None if w is None else as_torch, label_smoothing=smoothing, reduction=reduction, **options
        )
        cases.append((ours, theirs))
    rtol = 10 * tolerances.RTOL_REDUCTION[np.dtype(dtype)]
    for ours, theirs in cases:
        pred, target = _inputs(type(ours), dtype=dtype)
        targets = [target]
        if isinstance(ours, CrossEntropyLoss) and ours.ignore_index == -100:
            targets.append(np.random.default_rng(1).dirichlet(np.ones(4), 6).astype(dtype))
        for t in targets:
            x = torch.tensor(pred.astype(np.float64), requires_grad=True)
            expected = theirs(x, torch.tensor(t if t.dtype.kind == "i" else t.astype(np.float64)))
            value = ours(pred, t)
            if reduction == "none":
                assert value.dtype == dtype
                assert value.shape == tuple(expected.shape)
                np.testing.assert_allclose(value, expected.detach().numpy(), rtol=rtol, atol=rtol)
                continue
            assert isinstance(value, float)
            np.testing.assert_allclose(value, expected.item(), rtol=rtol)
            expected.backward()
            again, grad = ours.value_and_grad(pred, t)
            assert again == value
            np.testing.assert_allclose(grad, x.grad.numpy(), rtol=rtol, atol=rtol)


def test_half_squared_loss_is_half():
    pred, target = _inputs(MSELoss)
    for reduction in ("mean", "sum", "weighted_mean"):
        half, full = HalfSquaredLoss(reduction=reduction), MSELoss(reduction=reduction)
        assert half(pred, target) == full(pred, target) / 2
        assert np.array_equal(2 * half.value_and_grad(pred, target)[1], full.value_and_grad(pred, target)[1])
    np.testing.assert_array_equal(
        HalfSquaredLoss(reduction="sum").value_and_grad(pred, target)[1], pred - target
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_reductions_agree_with_each_other(loss):
    pred, target = _inputs(loss)
    weight = np.array([1.0, 0.0, 2.0, 0.5, 3.0, 1.0])
    columns = 1 if loss is CrossEntropyLoss else 4
    rows = 6 if loss is not CrossEntropyLoss else weight.sum()  # torch's mean is over weights there
    for s, total, mean in ((None, 6, 6), (weight, weight.sum(), rows)):
        each = loss(reduction="none")(pred, target, sample_weight=s)
        assert each.shape == ((6,) if loss is CrossEntropyLoss else (6, 4))
        value = loss(reduction="sum")(pred, target, sample_weight=s)
        assert value == pytest.approx(each.sum(), rel=1e-14)
        assert loss()(pred, target, sample_weight=s) == pytest.approx(value / (mean * columns), rel=1e-14)
        weighted = loss(reduction="weighted_mean")(pred, target, sample_weight=s)
        assert weighted == pytest.approx(value / (total * columns), rel=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_by_differences(loss):
    pred, target = _inputs(loss)
    _, grad = loss().value_and_grad(pred, target)
    differences = numerical_gradient(lambda x: loss()(x, target), pred)
    np.testing.assert_allclose(
        grad, differences, rtol=tolerances.GRADIENT_RTOL, atol=tolerances.GRADIENT_ATOL
    )


def test_unreduced_extremes():
    none = {"reduction": "none"}
    assert BCEWithLogitsLoss(**none)([1e4, -1e4, 1e4], [1, 1, 0]).tolist() == [0.0, 1e4, 1e4]
    assert BCELoss(**none)([0.0, 1.0], [1, 1]).tolist() == [100.0, 0.0]
    assert CrossEntropyLoss(**none)([[1e4, -1e4], [1e4, -1e4]], [0, 1]).tolist() == [0.0, 2e4]
    small = CrossEntropyLoss(**none)([[0.0, 60.0]], [1])
    np.testing.assert_allclose(small, math.exp(-60), rtol=1e-14)
    masked = CrossEntropyLoss(**none)([[0.0, -math.inf, 0.0]], [[1, 0, 0]])
    np.testing.assert_allclose(masked, math.log(2), rtol=1e-15)
    ignored = CrossEntropyLoss(ignore_index=0, label_smoothing=0.1, **none)
    assert ignored(np.zeros((2, 3)), [0, 1])[0] == 0.0


# ---- conversions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_dtypes(loss):
    pred, target = _inputs(loss)
    for given, wanted in ((np.float32, np.float32), (np.float64, np.float64), (np.float16, np.float64)):
        _, grad = loss().value_and_grad(
            pred.astype(given), target.astype(given) if target.ndim == 2 else target
        )
        assert grad.dtype == wanted
    if loss in ELEMENTWISE:
        for p, t, wanted in (
            (np.float32, np.float64, np.float64),
            (np.float64, np.float32, np.float64),
            (np.float32, np.float16, np.float32),
        ):
            assert loss().value_and_grad(pred.astype(p), target.astype(t))[1].dtype == wanted
    binary = np.eye(6, 4)
    for given in (np.int64, np.uint8, bool):
        wanted = np.result_type(np.float32, given) if loss in (MSELoss, HalfSquaredLoss) else np.float32
        value, grad = loss().value_and_grad(pred.astype(np.float32), binary.astype(given))
        assert grad.dtype == wanted
        assert value == pytest.approx(loss()(pred, binary), rel=1e-6)
    integers = loss().value_and_grad(np.zeros((6, 4), np.int32) if loss is not BCELoss else binary, target)
    assert integers[1].dtype == np.float64


@pytest.mark.parametrize("loss", LOSSES)
def test_arrays_of_every_layout(loss):
    pred, target = _inputs(loss)
    value, expected = loss().value_and_grad(pred, target)
    spread = np.zeros((12, 8))
    spread[::2, ::2] = pred
    frozen = pred.copy()
    frozen.flags.writeable = False
    unaligned = np.zeros(pred.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(6, 4)
    unaligned[...] = pred
    for p in (
        np.asfortranarray(pred),
        spread[::2, ::2],
        frozen,
        pred.astype(">f8"),
        unaligned,
        pred.tolist(),
    ):
        again, grad = loss().value_and_grad(p, target)
        assert again == value
        assert np.array_equal(grad, expected)
    for t in (target.tolist(), np.asfortranarray(target), target[::-1].copy()[::-1]):
        assert loss()(pred, t) == value


def test_arrays_of_torch():
    torch = _torch()
    pred, target = _inputs(CrossEntropyLoss)
    assert CrossEntropyLoss()(torch.tensor(pred), torch.tensor(target)) == CrossEntropyLoss()(pred, target)


def test_arrays_of_pandas():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pred, target = _inputs(CrossEntropyLoss)
    assert CrossEntropyLoss()(pandas.DataFrame(pred), pandas.Series(target)) == CrossEntropyLoss()(
        pred, target
    )


@pytest.mark.parametrize("loss", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (1,), (24,), (24, 1), (1, 24), (2, 3, 4), (2, 2, 3, 2)])
def test_any_number_of_dimensions(loss, shape):
    pred, target = _inputs(loss)
    size = math.prod(shape)
    p, t = pred.ravel()[:size].reshape(shape), target.ravel()[:size].reshape(shape)
    value, grad = loss().value_and_grad(p, t)
    flat, flat_grad = loss().value_and_grad(p.ravel(), t.ravel())
    assert value == flat
    assert grad.shape == shape
    assert np.array_equal(grad.ravel(), flat_grad)
    assert loss(reduction="none")(p, t).shape == shape
    out = np.empty(shape)
    assert loss().value_and_grad(p, t, out)[1] is out
    assert np.array_equal(out, grad)


def test_pos_weight_follows_the_last_axis():
    pred, target = _inputs(BCEWithLogitsLoss)
    weight = [1.0, 2.0, 3.0, 4.0]
    loss = BCEWithLogitsLoss(pos_weight=weight)
    value = loss(pred, target)
    assert loss(pred.reshape(2, 3, 4), target.reshape(2, 3, 4)) == value
    assert BCEWithLogitsLoss(pos_weight=2)(pred.ravel(), target.ravel()) == pytest.approx(
        BCEWithLogitsLoss(pos_weight=[2.0] * 4)(pred, target), rel=1e-14
    )


@pytest.mark.parametrize("width", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4"])
def test_labels_of_any_width(width):
    pred, target = _inputs(CrossEntropyLoss)
    value, expected = CrossEntropyLoss().value_and_grad(pred, target)
    again, grad = CrossEntropyLoss().value_and_grad(pred, target.astype(width))
    assert again == value
    assert np.array_equal(grad, expected)
    booleans = target % 2 == 1
    assert CrossEntropyLoss()(pred, booleans) == CrossEntropyLoss()(pred, booleans.astype(int))


# ---- out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_out(loss):
    pred, target = _inputs(loss)
    value, expected = loss().value_and_grad(pred, target)
    buffer = np.full((13, 9), 7.0)
    for out in (
        np.empty((6, 4)),
        np.empty((6, 4), order="F"),
        buffer[1::2, 1::2],
        np.empty((6, 4))[::-1],
    ):
        again, grad = loss().value_and_grad(pred, target, out)
        assert grad is out
        assert again == value
        assert np.array_equal(grad, expected)
    assert np.all(buffer[::2] == 7.0)
    assert np.all(buffer[:, ::2] == 7.0)
    # the prediction itself, and memory that it shares in part
    same = pred.copy()
    assert loss().value_and_grad(same, target, same)[1] is same
    assert np.array_equal(same, expected)
    memory = np.zeros(28)
    overlapping, out = memory[:24].reshape(6, 4), memory[4:].reshape(6, 4)
    overlapping[...] = pred
    assert loss().value_and_grad(overlapping, target, out)[0] == value
    assert np.array_equal(out, expected)
    if target.ndim == 2:
        over = target.copy()
        loss().value_and_grad(pred, over, over)
        assert np.array_equal(over, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_bad_out(loss):
    pred, target = _inputs(loss)
    frozen = np.zeros((6, 4))
    frozen.flags.writeable = False
    for out, error, message in (
        (np.zeros((4, 6)), ValueError, r"out must have shape \(6, 4\) and dtype float64, got \(4, 6\)"),
        (
            np.zeros((6, 4), np.float32),
            ValueError,
            r"out must have .* dtype float64, got \(6, 4\) and float32",
        ),
        (frozen, ValueError, "out must be writeable"),
        (np.zeros((6, 4)).tolist(), TypeError, "out must be a numpy.ndarray, got list"),
    ):
        with pytest.raises(error, match=message):
            loss().value_and_grad(pred, target, out)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_bad_arguments(loss):
    pred, target = _inputs(loss)
    with pytest.raises(
        ValueError, match="reduction must be one of 'mean', 'sum', 'weighted_mean', 'none', got 'av'"
    ):
        loss(reduction="av")
    with pytest.raises(
        ValueError, match="value_and_grad needs a reduction to one value, got reduction='none'"
    ):
        loss(reduction="none").value_and_grad(pred, target)
    with pytest.raises(ValueError, match=r"target must have (the )?shape .*\(6, 4\), got \(5,"):
        loss()(pred, target[:5])
    with pytest.raises(TypeError, match="pred must be an array of real numbers, got dtype complex128"):
        loss()(pred * 1j, target)
    with pytest.raises(TypeError, match="target must be an array of real numbers, got dtype <U"):
        loss()(pred, target.astype(str))
    with pytest.raises(TypeError, match="pred must not be a masked array"):
        loss()(np.ma.masked_array(pred), target)
    with pytest.raises(ValueError, match=r"sample_weight must have 1 dimension, got shape \(6, 4\)"):
        loss()(pred, target, sample_weight=np.ones((6, 4)))
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(6,\), got \(5,\)"):
        loss()(pred, target, sample_weight=np.ones(5))
    with pytest.raises(ValueError, match="n_threads must be between 1 and 4096, got 0"):
        loss()(pred, target, n_threads=0)
    for reduction, shape in itertools.product(("mean", "weighted_mean"), ((0, 4), (0, 0))):
        empty = np.zeros(shape), np.zeros(shape)
        with pytest.raises(ValueError, match="needs at least one element"):
            loss(reduction=reduction)(*empty)
    assert loss(reduction="sum")(np.zeros((0, 4)), np.zeros((0, 4))) == 0.0
    assert loss(reduction="none")(np.zeros((0, 4)), np.zeros((0, 4))).shape[0] == 0


@pytest.mark.parametrize("reduction", ["mean", "sum", "weighted_mean", "none"])
@pytest.mark.parametrize("loss", ELEMENTWISE)
def test_bad_targets(loss, reduction):
    pred, target = _inputs(loss)
    for bad in (math.nan, math.inf):
        spoilt = target.copy()
        spoilt[3, 1] = bad
        with pytest.raises(ValueError, match=f"^target must be .*, got {bad} in row 3, column 1$"):
            loss(reduction=reduction)(pred, spoilt)
    # the shape that broadcasting would turn into an outer difference
    with pytest.raises(ValueError, match=r"target must have the shape of pred, \(6, 1\), got \(6,\)"):
        loss(reduction=reduction)(pred[:, :1], target[:, 0])


def test_bad_probabilities():
    with pytest.raises(
        ValueError, match=r"^prediction must be between 0 and 1 with from_logits=False, got 1.5 in row 1$"
    ):
        BCELoss()([0.5, 1.5], [0, 1])
    with pytest.raises(ValueError, match=r"^target must be between 0 and 1, got 2.0 in row 0$"):
        BCEWithLogitsLoss()([0.5, 1.5], [2, 1])
    with pytest.raises(ValueError, match="pos_weight must have at most 1 dimension"):
        BCEWithLogitsLoss(pos_weight=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"pos_weight must have shape \(4,\), got \(3,\)"):
        BCEWithLogitsLoss(pos_weight=np.ones(3))(np.zeros((6, 4)), np.zeros((6, 4)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "weighted_mean", "none"])
def test_bad_labels(reduction):
    loss = CrossEntropyLoss(reduction=reduction)
    pred, target = _inputs(CrossEntropyLoss)
    for label in (-1, 4, 2**62):
        spoilt = target.copy()
        spoilt[2] = label
        with pytest.raises(
            ValueError, match=rf"^target must be a label between 0 and 3 .*got {label} in row 2$"
        ):
            loss(pred, spoilt)
    # would be -100 as int64
    with pytest.raises(ValueError, match=f"got {2**64 - 100}$"):
        loss(pred, np.full(6, 2**64 - 100, np.uint64))
    with pytest.raises(
        TypeError, match=r"target must be integer labels, got dtype float64; target.astype\(int\)"
    ):
        loss(pred, target.astype(float))
    with pytest.raises(ValueError, match=r"pred must have shape \(n_rows, n_classes\), got \(6,\)"):
        loss(pred[:, 0], target)
    with pytest.raises(ValueError, match=r"target must have shape \(6,\) or \(6, 4\), got \(6, 1\)"):
        loss(pred, target[:, None])
    for bad in (-0.5, math.nan, math.inf):
        probabilities = np.full((6, 4), 0.25)
        probabilities[5, 3] = bad
        with pytest.raises(
            ValueError, match=f"^target must be finite and not negative, got {bad} in row 5, column 3$"
        ):
            loss(pred, probabilities)
    with pytest.raises(ValueError, match="weight must have one number per class, 4, got 3"):
        CrossEntropyLoss(weight=[1, 1, 1], reduction=reduction)(pred, target)
    with pytest.raises(
        ValueError, match=r"class_weight must be finite and not negative, got -1.0 at position 1"
    ):
        CrossEntropyLoss(weight=[1, -1, 1, 1], reduction=reduction)(pred, target)
    with pytest.raises(ValueError, match="label_smoothing must be at most 1"):
        CrossEntropyLoss(label_smoothing=2, reduction=reduction)(pred, target)
    with pytest.raises(TypeError):
        CrossEntropyLoss(ignore_index=1.5)


def test_repr_shows_the_options():
    assert repr(MSELoss()) == "MSELoss(reduction='mean')"
    assert repr(CrossEntropyLoss(ignore_index=0)) == (
        "CrossEntropyLoss(reduction='mean', weight=None, ignore_index=0, label_smoothing=0.0)"
    )
