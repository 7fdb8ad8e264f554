"""The loss kernels against closed forms, their NumPy twins, differences, and torch."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import kernels, reference
from tests import tolerances
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, numerical_gradient

REDUCTIONS = ("sum", "mean", "weighted_mean")


def _random(seed=0):
    return np.random.default_rng(seed)


def _elementwise_inputs(name, rng, shape, dtype):
    """Prediction and target of a loss that goes by elements."""
    if name in ("mse", "half_squared_error"):
        return rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    target = np.where(rng.random(shape) < 0.5, rng.integers(0, 2, shape), rng.random(shape)).astype(dtype)
    if name == "bce_probabilities":
        return rng.random(shape).astype(dtype), target
    return (rng.normal(size=shape) * 5).astype(dtype), target


def _cross_entropy_inputs(name, rng, shape, dtype):
    n_rows, n_classes = shape
    logits = (rng.normal(size=shape) * 5).astype(dtype)
    if name == "cross_entropy_soft":
        return logits, rng.dirichlet(np.ones(n_classes), n_rows).astype(dtype).reshape(shape)
    return logits, rng.integers(0, n_classes, n_rows)


def _inputs(name, rng, shape, dtype):
    make = _cross_entropy_inputs if name.startswith("cross_entropy") else _elementwise_inputs
    return make(name, rng, shape, dtype)


# name of a case: function, fixed arguments
CASES = {
    "mse": ("mse_value_and_grad", {}),
    "half_squared_error": ("half_squared_error_value_and_grad", {}),
    "bce_logits": ("bce_value_and_grad", {}),
    "bce_probabilities": ("bce_value_and_grad", {"from_logits": False}),
    "cross_entropy": ("cross_entropy_value_and_grad", {}),
    "cross_entropy_smooth": ("cross_entropy_value_and_grad", {"label_smoothing": 0.1}),
    "cross_entropy_soft": ("cross_entropy_value_and_grad", {}),
    "cross_entropy_soft_smooth": ("cross_entropy_value_and_grad", {"label_smoothing": 0.1}),
}
ELEMENTWISE = ("mse", "half_squared_error", "bce_logits", "bce_probabilities")


def _call(module, name, *args, **options):
    function, fixed = CASES[name]
    return getattr(module, function)(*args, **fixed, **options)


def _as_float64(options):
    return {
        key: value.astype(np.float64) if isinstance(value, np.ndarray) else value
        for key, value in options.items()
    }


def _check_against_twin(name, prediction, target, **options):
    """Value and gradient against the twin in float64, on the same numbers."""
    dtype = prediction.dtype
    value, grad = _call(kernels, name, prediction, target, **options)
    in_float64 = target if target.dtype.kind == "i" else target.astype(np.float64)
    expected, expected_grad = _call(
        reference, name, prediction.astype(np.float64), in_float64, **_as_float64(options)
    )
    assert isinstance(value, float)
    assert grad.dtype == dtype
    assert grad.shape == prediction.shape
    rtol = tolerances.RTOL_REDUCTION[dtype]
    # without negative weights all terms of the value are >= 0, so that sum|x| is the value
    np.testing.assert_allclose(value, expected, rtol=rtol)
    # Elementwise, against the size of the terms whose difference an element is.
    bound = np.abs(expected_grad)
    if name not in ("mse", "half_squared_error", "bce_probabilities"):
        total = _call(
            reference,
            name,
            prediction.astype(np.float64),
            in_float64,
            **{**_as_float64(options), "reduction": "sum"},
        )[0]
        weight = options.get("class_weight", options.get("pos_weight"))
        term = max(1.0, 1.0 if weight is None else float(weight.max())) * (expected / total if total else 1.0)
        rows = options.get("sample_weight")
        rows = np.ones(len(prediction)) if rows is None else rows.astype(np.float64)
        bound = bound + term * rows.reshape(-1, *[1] * (prediction.ndim - 1))
    # two transcendental functions, and the factors
    assert np.all(
        np.abs(grad - expected_grad) <= 2 * tolerances.ULP_TRANSCENDENTAL * np.finfo(dtype).eps * bound
    )
    return value, grad


# ---- closed form ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_closed_forms(dtype):
    p, t = np.array([1.0, 2.0, -3.0], dtype), np.array([0.0, 4.0, -3.0], dtype)
    value, grad = kernels.mse_value_and_grad(p, t, reduction="sum")
    assert value == 5.0
    assert grad.tolist() == [2.0, -4.0, 0.0]
    value, grad = kernels.half_squared_error_value_and_grad(p, t)
    assert value == pytest.approx(2.5 / 3, rel=1e-15)
    np.testing.assert_array_max_ulp(grad, np.array([1 / 3, -2 / 3, 0], dtype), maxulp=2)

    rtol = tolerances.RTOL_REDUCTION[np.dtype(dtype)]
    value, grad = kernels.bce_value_and_grad(np.zeros(4, dtype), np.array([0, 1, 0.5, 0.25], dtype))
    assert value == pytest.approx(math.log(2.0), rel=rtol)
    assert grad.tolist() == [0.125, -0.125, 0.0, 0.0625]
    value, grad = kernels.bce_value_and_grad(
        np.array([0.5], dtype), np.array([1.0], dtype), from_logits=False
    )
    assert value == pytest.approx(math.log(2.0), rel=rtol)
    assert grad.tolist() == [-2.0]

    value, grad = kernels.cross_entropy_value_and_grad(np.zeros((2, 4), dtype), np.array([0, 3]))
    assert value == pytest.approx(math.log(4.0), rel=rtol)
    assert grad.tolist() == [[-0.375, 0.125, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]]
    # p = (1/4, 3/4), weights 2 and 1, labels 0 and 1: (2 log 4 + log 4/3) / 3
    logits = np.array([[0.0, math.log(3.0)]] * 2, dtype)
    value, _ = kernels.cross_entropy_value_and_grad(
        logits, np.array([0, 1]), class_weight=np.array([2.0, 1.0], dtype)
    )
    assert value == pytest.approx((2 * math.log(4.0) + math.log(4.0 / 3.0)) / 3.0, rel=rtol)
    # smoothing 1/2 of two classes: 3/4 log 4 + 1/4 log 4/3
    value, _ = kernels.cross_entropy_value_and_grad(logits[:1], np.array([0]), label_smoothing=0.5)
    assert value == pytest.approx(0.75 * math.log(4.0) + 0.25 * math.log(4.0 / 3.0), rel=rtol)
    np.testing.assert_allclose(kernels.softmax(logits), [[0.25, 0.75]] * 2, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_confident_rows_keep_their_relative_accuracy(dtype):
    # -log p = log1p(exp(-z)), about exp(-z), which 1 - p would lose
    z = np.array([20.0, 40.0, 60.0], dtype)
    expected = np.log1p(np.exp(-z.astype(np.float64)))
    for row in range(3):
        value, grad = kernels.bce_value_and_grad(z[row : row + 1], np.ones(1, dtype))
        assert value == pytest.approx(expected[row], rel=8 * float(np.finfo(dtype).eps))
        assert -grad[0] == pytest.approx(expected[row], rel=8 * float(np.finfo(dtype).eps) + 2e-9)
        logits = np.array([[0.0, z[row]]], dtype)
        value, grad = kernels.cross_entropy_value_and_grad(logits, np.array([1]))
        assert value == pytest.approx(expected[row], rel=8 * float(np.finfo(dtype).eps))
        assert -grad[0, 1] == pytest.approx(expected[row], rel=8 * float(np.finfo(dtype).eps) + 2e-9)


# ---- the twins -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_twin_for_all_widths(name, dtype):
    rng = _random(1)
    for n_columns in SIZES[1:]:
        for n_rows in (1, 5, 17):
            prediction, target = _inputs(name, rng, (n_rows, n_columns), dtype)
            weight = rng.uniform(0.0, 2.0, n_rows).astype(dtype)
            _check_against_twin(name, prediction, target)
            _check_against_twin(name, prediction, target, sample_weight=weight, reduction="weighted_mean")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("which", ["sample_weight", "class_weight"])
def test_a_power_of_two_in_all_weights_changes_no_bit_of_a_weighted_mean(name, dtype, which):
    rng = _random(12)
    if which == "class_weight" and not name.startswith("cross_entropy"):
        return
    prediction, target = _inputs(name, rng, (33, 7), dtype)
    # of few bits, so that nothing is lost among the subnormal numbers
    weight = (rng.integers(1, 9, 33 if which == "sample_weight" else 7) / 4.0).astype(dtype)
    expected = _call(kernels, name, prediction, target, reduction="weighted_mean", **{which: weight})
    for exponent in (-140, -70, 70, 120) if dtype is np.float32 else (-1060, -600, 600, 1000):
        far = np.ldexp(weight, exponent)
        kept = far.copy()
        value, grad = _call(kernels, name, prediction, target, reduction="weighted_mean", **{which: far})
        assert value == expected[0]
        assert np.array_equal(grad, expected[1])
        assert np.array_equal(far, kept)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_twin_in_one_dimension(name, dtype):
    rng = _random(2)
    for n in SIZES[1:]:
        prediction, target = _inputs(name, rng, n, dtype)
        weight = rng.uniform(0.0, 2.0, n).astype(dtype)
        for reduction in REDUCTIONS:
            value, grad = _check_against_twin(name, prediction, target, reduction=reduction)
            columns = _call(kernels, name, prediction[:, None], target[:, None], reduction=reduction)
            assert value == columns[0]
            assert np.array_equal(grad, columns[1][:, 0])
            _check_against_twin(name, prediction, target, reduction=reduction, sample_weight=weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("cross_entropy")])
def test_cross_entropy_twin_for_all_options(name, dtype):
    rng = _random(3)
    for shape in ((1, 1), (9, 2), (65, 10), (33, 17), (5, 400)):
        logits, target = _inputs(name, rng, shape, dtype)
        class_weight = rng.uniform(0.5, 2.0, shape[1]).astype(dtype)
        sample_weight = rng.uniform(0.5, 2.0, shape[0]).astype(dtype)
        for reduction, c, s in itertools.product(REDUCTIONS, (None, class_weight), (None, sample_weight)):
            options = {"reduction": reduction, "class_weight": c, "sample_weight": s}
            _check_against_twin(name, logits, target, **options)
            if target.ndim == 1 and shape[0] > 1:
                ignored = int(target[0])
                kept = np.flatnonzero(target != ignored)
                if len(kept):
                    _, grad = _check_against_twin(name, logits, target, ignore_index=ignored, **options)
                    assert not grad[target == ignored].any()
                    # ignored rows are as if they were not there
                    alone = _call(
                        kernels,
                        name,
                        logits[kept],
                        target[kept],
                        reduction=reduction,
                        class_weight=c,
                        sample_weight=None if s is None else s[kept],
                    )
                    assert np.array_equal(grad[kept], alone[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_pos_weight_twin(dtype):
    rng = _random(4)
    for shape in ((17, 3), (5, 33), (40, 1), (23,)):
        logits, target = _inputs("bce_logits", rng, shape, dtype)
        pos_weight = rng.uniform(0.0, 3.0, shape[1] if len(shape) == 2 else 1).astype(dtype)
        weight = rng.uniform(0.0, 2.0, shape[0]).astype(dtype)
        for s in (None, weight):
            _check_against_twin("bce_logits", logits, target, pos_weight=pos_weight, sample_weight=s)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_hot_probabilities_agree_with_labels_under_the_weighted_mean(dtype):
    rng = _random(5)
    logits, labels = _inputs("cross_entropy", rng, (50, 7), dtype)
    weights = {
        "class_weight": rng.uniform(0.5, 2, 7).astype(dtype),
        "sample_weight": rng.uniform(0.5, 2, 50).astype(dtype),
    }
    rtol = tolerances.RTOL_REDUCTION[np.dtype(dtype)]
    for smoothing in (0.0, 0.2):
        options = {**weights, "label_smoothing": smoothing, "reduction": "weighted_mean"}
        by_label = kernels.cross_entropy_value_and_grad(logits, labels, **options)
        by_row = kernels.cross_entropy_value_and_grad(logits, np.eye(7, dtype=dtype)[labels], **options)
        assert by_row[0] == pytest.approx(by_label[0], rel=rtol)
        np.testing.assert_allclose(by_row[1], by_label[1], atol=rtol)


def test_signatures_and_names_are_those_of_the_twins():
    import inspect

    for function in {function for function, _ in CASES.values()} | {"softmax"}:
        ours = inspect.signature(getattr(kernels, function))
        twin = inspect.signature(getattr(reference, function))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in twin.parameters.values()
        ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax(dtype):
    rng = _random(6)
    for shape in [(0, 3), (3, 0), *((3, n) for n in SIZES[1:]), (2, 1000)]:
        x = (rng.normal(size=shape) * 4).astype(dtype)
        y = kernels.softmax(x)
        expected = reference.softmax(x.astype(np.float64))
        # the rounding of the difference to the maximum, of at most 40, in the exponent
        np.testing.assert_allclose(y, expected, rtol=64 * np.finfo(dtype).eps)
        assert kernels.softmax(x, x) is x
        assert np.array_equal(x, y)
    extreme = np.array([[1e4, -1e4, 1e4], [-np.inf, 0.0, -np.inf]], dtype)
    assert kernels.softmax(extreme).tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
    for bad in (np.nan, np.inf):
        assert np.isnan(kernels.softmax(np.array([[0.0, bad]], dtype))).all()
    assert np.isnan(kernels.softmax(np.full((1, 3), -np.inf, dtype))).all()


# ---- gradients by differences, and torch ---------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient_by_differences(name, reduction):
    rng = _random(7)
    shape = (4, 5)
    prediction, target = _inputs(name, rng, shape, np.float64)
    if name == "bce_probabilities":
        prediction = rng.uniform(0.1, 0.9, shape)  # away from the poles, where differences fail
    else:
        prediction /= 2.0
    options = {"reduction": reduction, "sample_weight": rng.uniform(0.5, 2.0, 4)}
    if name == "bce_logits":
        options["pos_weight"] = rng.uniform(0.5, 2.0, 5)
    if name.startswith("cross_entropy"):
        options["class_weight"] = rng.uniform(0.5, 2.0, 5)
    _, grad = _call(kernels, name, prediction, target, **options)
    differences = numerical_gradient(lambda x: _call(kernels, name, x, target, **options)[0], prediction)
    np.testing.assert_allclose(
        grad, differences, rtol=tolerances.GRADIENT_RTOL, atol=tolerances.GRADIENT_ATOL
    )


def _torch():
    torch = pytest.importorskip("torch", reason="torch is not installed; its losses are the definition")
    torch.set_num_threads(1)  # the arrays are small
    return torch


def _torch_gradient(function, prediction):
    torch = _torch()
    x = torch.tensor(prediction.astype(np.float64), requires_grad=True)
    value = function(x)
    value.backward()
    return value.item(), x.grad.numpy()


def _check_against_torch(ours, theirs, dtype):
    rtol = tolerances.RTOL_REDUCTION[np.dtype(dtype)]
    np.testing.assert_allclose(ours[0], theirs[0], rtol=10 * rtol if dtype == np.float64 else rtol)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=10 * rtol * np.abs(theirs[1]).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_elementwise_losses_are_those_of_torch(dtype, reduction):
    torch = _torch()
    functional = torch.nn.functional
    rng = _random(8)
    for shape in ((37,), (19, 3), (6, 33)):
        for name in ("mse", "bce_logits", "bce_probabilities"):
            prediction, target = _inputs(name, rng, shape, dtype)
            t = torch.tensor(target.astype(np.float64))
            function = {
                "mse": functional.mse_loss,
                "bce_logits": functional.binary_cross_entropy_with_logits,
                "bce_probabilities": functional.binary_cross_entropy,
            }[name]
            theirs = _torch_gradient(lambda x, f=function, t=t: f(x, t, reduction=reduction), prediction)
            ours = _call(kernels, name, prediction, target, reduction=reduction)
            _check_against_torch(ours, theirs, dtype)
            if name == "bce_logits":
                q = rng.uniform(0.5, 3.0, shape[-1] if len(shape) == 2 else 1).astype(dtype)
                w = torch.tensor(q.astype(np.float64))
                theirs = _torch_gradient(
                    lambda x, t=t, w=w: functional.binary_cross_entropy_with_logits(
                        x, t, pos_weight=w, reduction=reduction
                    ),
                    prediction,
                )
                ours = _call(kernels, name, prediction, target, pos_weight=q, reduction=reduction)
                _check_against_torch(ours, theirs, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_cross_entropy_is_that_of_torch(dtype, soft, reduction):
    torch = _torch()
    rng = _random(9)
    for shape in ((1, 2), (9, 2), (33, 10), (12, 70)):
        name = "cross_entropy_soft" if soft else "cross_entropy"
        logits, target = _inputs(name, rng, shape, dtype)
        t = torch.tensor(target.astype(np.float64) if soft else target)
        weight = rng.uniform(0.5, 2.0, shape[1]).astype(dtype)
        ignored = (-100,) if soft or shape[0] == 1 else (-100, int(target[-1]), 10**6)
        for w, smoothing, ignore in itertools.product((None, weight), (0.0, 0.1, 1.0), ignored):
            labels = target
            if ignore == 10**6:
                labels = target.copy()
                labels[::2] = ignore
                t_used = torch.tensor(labels)
            else:
                t_used = t
            theirs = _torch_gradient(
                lambda x, t=t_used, w=w, smoothing=smoothing, ignore=ignore: (
                    torch.nn.functional.cross_entropy(
                        x,
                        t,
                        weight=None if w is None else torch.tensor(w.astype(np.float64)),
                        label_smoothing=smoothing,
                        ignore_index=ignore,
                        reduction=reduction,
                    )
                ),
                logits,
            )
            ours = kernels.cross_entropy_value_and_grad(
                logits,
                labels,
                class_weight=w,
                label_smoothing=smoothing,
                ignore_index=ignore,
                reduction=reduction,
            )
            _check_against_torch(ours, theirs, dtype)


def test_all_rows_ignored_is_what_torch_gives():
    torch = _torch()
    logits = _random(10).normal(size=(3, 4))
    for smoothing in (0.0, 0.1):
        for reduction, expected in (("mean", math.nan), ("weighted_mean", math.nan), ("sum", 0.0)):
            value, grad = kernels.cross_entropy_value_and_grad(
                logits, np.full(3, -100), label_smoothing=smoothing, reduction=reduction
            )
            np.testing.assert_equal(value, expected)
            assert not grad.any()
            if reduction != "weighted_mean":
                theirs = _torch_gradient(
                    lambda x, smoothing=smoothing, reduction=reduction: torch.nn.functional.cross_entropy(
                        x, torch.full((3,), -100), label_smoothing=smoothing, reduction=reduction
                    ),
                    logits,
                )
                np.testing.assert_equal(theirs[0], value)
                assert np.array_equal(theirs[1], grad)


# ---- extreme values ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_logits(dtype):
    rtol = tolerances.RTOL_REDUCTION[np.dtype(dtype)]
    z = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4], [0.0, 1e4, -1e4]], dtype)
    value, grad = kernels.cross_entropy_value_and_grad(z, np.array([0, 1, 0, 2]), reduction="sum")
    assert value == pytest.approx(math.log(3) + math.log(2) + 2e4, rel=rtol)
    third = np.float64(dtype(1 / 3))
    np.testing.assert_allclose(
        grad, [[0, 0, 0], [third, -2 * third, third], [-0.5, 0.5, 0], [0, 1, -1]], rtol=1e-6, atol=0
    )
    t = np.array([1.0, 0.0, 1.0, 0.0, 0.5, 0.5], dtype)
    z = np.array([1e4, 1e4, -1e4, -1e4, 1e4, -1e4], dtype)
    value, grad = kernels.bce_value_and_grad(z, t, reduction="sum")
    assert value == 3e4
    assert grad.tolist() == [0.0, 1.0, -1.0, 0.0, 0.5, -0.5]
    # probabilities at both ends: torch's clamps
    p = np.array([0.0, 1.0, 0.0, 1.0], dtype)
    value, grad = kernels.bce_value_and_grad(
        p, np.array([1, 0, 0, 1], dtype), from_logits=False, reduction="sum"
    )
    assert value == 200.0
    np.testing.assert_allclose(grad, [-1e12, 1e12, 0, 0], rtol=1e-6)


# An infinite probability is an error, tested below; an infinite logit may be right and cost nothing.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        (name, bad)
        for name in CASES
        for bad in (math.nan, math.inf, -math.inf)
        if math.isnan(bad) or not name.startswith("bce")
    ],
)
def test_non_finite_predictions_give_a_non_finite_value(name, bad, dtype):
    rng = _random(11)
    for n_columns in (1, 2, 9, 40):
        for column in {0, n_columns - 1}:
            prediction, target = _inputs(name, rng, (12, n_columns), dtype)
            prediction[5, column] = bad
            if bad == -math.inf and target.ndim == 1:
                target[5] = column
            value, _ = _call(kernels, name, prediction, target)
            assert not math.isfinite(value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_minus_infinity_is_a_class_of_probability_zero(dtype):
    z = np.array([[0.0, -np.inf, 0.0]], dtype)
    value, grad = kernels.cross_entropy_value_and_grad(z, np.array([0]))
    assert value == pytest.approx(math.log(2), rel=1e-6)
    assert grad.tolist() == [[-0.5, 0.0, 0.5]]
    value, grad = kernels.cross_entropy_value_and_grad(z, np.array([[1, 0, 0]], dtype))
    assert value == pytest.approx(math.log(2), rel=1e-6)
    assert grad.tolist() == [[-0.5, 0.0, 0.5]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_subnormals(name, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    prediction, target = _inputs(name, _random(12), (3, 5), dtype)
    prediction[...] = tiny
    _check_against_twin(name, prediction, target)


# ---- pieces, threads, memory ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_same_bits_for_any_number_of_threads(name, dtype):
    rng = _random(13)
    # above every grain, with a partial piece at the end
    for shape in ((20011, 10), (3, 70001), (200003, 1)):
        if shape[0] * shape[1] > 10**6 or (shape[1] > 10**4 and name.startswith("cross_entropy_soft")):
            continue
        prediction, target = _inputs(name, rng, shape, dtype)
        weight = rng.uniform(0.5, 2.0, shape[0]).astype(dtype)
        for s in (None, weight):
            results = [
                _call(
                    kernels,
                    name,
                    prediction,
                    target,
                    sample_weight=s,
                    reduction="weighted_mean",
                    n_threads=n_threads,
                )
                for n_threads in THREAD_COUNTS
            ]
            for value, grad in results[1:]:
                assert value == results[0][0]
                assert np.array_equal(grad, results[0][1])
            assert math.isfinite(results[0][0])
        if shape[1] <= 10:
            _check_against_twin(name, prediction, target, sample_weight=weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_grad_may_be_the_prediction(name, dtype):
    rng = _random(14)
    for shape in ((5, 3), (40, 17), (9, 300), (17, 1)):
        prediction, target = _inputs(name, rng, shape, dtype)
        value, expected = _call(kernels, name, prediction, target)
        again, grad = _call(kernels, name, prediction, target, prediction)
        assert grad is prediction
        assert again == value
        assert np.array_equal(grad, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_rows_may_be_apart_and_read_only(name, dtype):
    rng = _random(15)
    prediction, target = _inputs(name, rng, (19, 11), dtype)
    value, expected = _call(kernels, name, prediction, target)
    wide = np.zeros((19, 32), dtype)
    wide[:, 3:14] = prediction
    wide[:, 15:26] = target if target.ndim == 2 else 0
    wide.flags.writeable = False
    out = np.full((38, 20), 7, dtype)
    t = wide[:, 15:26] if target.ndim == 2 else target
    t.flags.writeable = False
    strided, grad = _call(kernels, name, wide[:, 3:14], t, out[::2, 4:15])
    # runs end at the rows instead of crossing them, so the order of the sum may differ
    assert strided == pytest.approx(value, rel=tolerances.RTOL_REDUCTION[np.dtype(dtype)])
    assert np.shares_memory(grad, out)
    assert np.array_equal(grad, expected)
    untouched = np.ones_like(out, dtype=bool)
    untouched[::2, 4:15] = False
    assert np.all(out[untouched] == 7)


@pytest.mark.parametrize("name", CASES)
def test_without_gradient(name):
    prediction, target = _inputs(name, _random(16), (33, 6), np.float64)
    value, grad = _call(kernels, name, prediction, target, False)
    assert grad is None
    assert value == _call(kernels, name, prediction, target)[0]
    assert _call(reference, name, prediction, target, False)[1] is None


@pytest.mark.parametrize("name", CASES)
def test_empty(name):
    for shape in ((0, 3), (0, 0), *([(3, 0)] if name in ELEMENTWISE else [])):
        prediction = np.zeros(shape)
        target = np.zeros(shape if name in ELEMENTWISE or "soft" in name else 0, np.float64)
        target = target if target.ndim == 2 else target.astype(np.int64)
        value, grad = _call(kernels, name, prediction, target, reduction="sum")
        assert value == 0.0
        assert grad.shape == shape
        for reduction in ("mean", "weighted_mean"):
            with pytest.raises(ValueError, match=r"needs at least one element, got \w+ of shape"):
                _call(kernels, name, prediction, target, reduction=reduction)
    if name not in ELEMENTWISE:
        with pytest.raises(ValueError, match="at least one class"):
            kernels.cross_entropy_value_and_grad(np.zeros((2, 0)), np.zeros(2, np.int64), reduction="sum")


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_columns", [1, 3, 40])
@pytest.mark.parametrize("row", [0, 7, 19])
def test_bad_targets_are_named_with_their_row(dtype, n_columns, row):
    rng = _random(17)
    column = n_columns - 1
    place = f"in row {row}, column {column}"
    for name in ("mse", "bce_logits", "bce_probabilities", "cross_entropy_soft"):
        prediction, target = _inputs(name, rng, (20, n_columns), dtype)
        bad_values = {math.nan, math.inf, -math.inf}
        if name != "mse":
            bad_values |= {-0.5}
        if name.startswith("bce"):
            bad_values |= {1.5}
        for bad in bad_values:
            spoilt = target.copy()
            spoilt[row, column] = bad
            for sample_weight, grad in itertools.product((None, np.ones(20, dtype)), (None, False)):
                with pytest.raises(ValueError, match=f"^target must be .* got {bad} {place}$"):
                    _call(kernels, name, prediction, spoilt, grad, sample_weight=sample_weight)
            # two bad rows: the first is named
            spoilt[19] = bad
            with pytest.raises(ValueError, match=f"in row {row}, column"):
                _call(kernels, name, prediction, spoilt)
        if n_columns == 1:
            spoilt = target[:, 0].copy()
            spoilt[row] = math.nan
            if name != "cross_entropy_soft":
                with pytest.raises(ValueError, match=f"^target must be .* got nan in row {row}$"):
                    _call(kernels, name, prediction[:, 0].copy(), spoilt)
    for bad in (-0.25, 1.25, math.inf, -math.inf):
        prediction, target = _inputs("bce_probabilities", rng, (20, n_columns), dtype)
        prediction[row, column] = bad
        for grad in (None, prediction):
            with pytest.raises(
                ValueError, match=f"^prediction must be between 0 and 1 .* got {bad} {place}$"
            ):
                _call(kernels, "bce_probabilities", prediction.copy() if grad is None else prediction, target)


def test_bad_targets_far_into_the_data():
    target = np.zeros(100_000)
    target[[70_001, 90_000]] = math.nan
    for n_threads in THREAD_COUNTS:
        with pytest.raises(ValueError, match=r"got nan in row 70001$"):
            kernels.mse_value_and_grad(np.zeros(100_000), target, n_threads=n_threads)
        with pytest.raises(ValueError, match=r"got nan in row 7000, column 1$"):
            kernels.mse_value_and_grad(np.zeros((10_000, 10)), target.reshape(-1, 10), n_threads=n_threads)
    labels = np.zeros(100_000, np.int64)
    labels[70_001] = 5
    for n_threads in THREAD_COUNTS:
        with pytest.raises(ValueError, match=r"got 5 in row 70001$"):
            kernels.cross_entropy_value_and_grad(np.zeros((100_000, 5)), labels, n_threads=n_threads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label", [-1, 4, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("row", [0, 8, 19])
def test_labels_out_of_range(dtype, label, row):
    target = _random(18).integers(0, 4, 20)
    target[row] = label
    options = [{}, {"reduction": "sum"}, {"class_weight": np.ones(4, dtype)}, {"label_smoothing": 0.1}]
    options += [{"sample_weight": np.ones(20, dtype)}]
    for option in options:
        with pytest.raises(
            ValueError, match=rf"between 0 and 3 .*ignore_index=-100.* got {label} in row {row}$"
        ):
            kernels.cross_entropy_value_and_grad(np.zeros((20, 4), dtype), target, **option)
    value, _ = kernels.cross_entropy_value_and_grad(np.zeros((20, 4), dtype), target, ignore_index=label)
    assert value == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_must_be_finite(name, dtype, reduction):
    prediction, target = _inputs(name, _random(19), (9, 3), dtype)
    for bad in (math.nan, math.inf):
        weight = np.ones(9, dtype)
        weight[4] = bad
        with pytest.raises(ValueError, match=f"^sample_weight must be finite, got {bad} in row 4$"):
            _call(kernels, name, prediction, target, sample_weight=weight, reduction=reduction)
    kind = {"bce_logits": "pos_weight"}.get(name, "class_weight" if name.startswith("cross") else None)
    for bad in (math.nan, math.inf, -1.0) if kind else ():
        weight = np.ones(3, dtype)
        weight[2] = bad
        with pytest.raises(
            ValueError, match=f"^{kind} must be finite and not negative, got {bad} at position 2$"
        ):
            _call(kernels, name, prediction, target, **{kind: weight}, reduction=reduction)


def test_negative_sample_weights_are_weights():
    # a policy gradient weights cross-entropy by advantages
    logits, labels = _inputs("cross_entropy", _random(20), (6, 3), np.float64)
    weight = np.array([1.0, -2.0, 0.0, 3.0, -1.0, 1.0])
    ours = kernels.cross_entropy_value_and_grad(logits, labels, sample_weight=weight, reduction="sum")
    twin = reference.cross_entropy_value_and_grad(logits, labels, sample_weight=weight, reduction="sum")
    np.testing.assert_allclose(ours[0], twin[0], rtol=1e-13)
    np.testing.assert_allclose(ours[1], twin[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_bad_arrays(name):
    rng = _random(21)
    p, t = _inputs(name, rng, (6, 4), np.float64)
    first = "logits" if name.startswith("cross") else "prediction"
    with pytest.raises(TypeError, match=f"{first} must be a numpy.ndarray, got list"):
        _call(kernels, name, p.tolist(), t)
    with pytest.raises(TypeError, match=f"{first} must have dtype float32 or float64, got int64"):
        _call(kernels, name, p.astype(np.int64), t)
    with pytest.raises(ValueError, match=f"{first} must be aligned and in native byte order"):
        _call(kernels, name, p.astype(">f8"), t)
    with pytest.raises(ValueError, match=f"{first} must have .* got shape"):
        _call(kernels, name, p[None], t)
    with pytest.raises(ValueError, match=f"the rows of {first} must be contiguous"):
        _call(kernels, name, np.asfortranarray(p), t)
    with pytest.raises(ValueError, match=f"the rows of {first} must be contiguous"):
        _call(kernels, name, p[::-1], t)
    with pytest.raises(TypeError, match=r"target must be a numpy.ndarray, got list"):
        _call(kernels, name, p, t.tolist())
    with pytest.raises(TypeError, match="target must have"):
        _call(kernels, name, p, t.astype(np.float32 if t.ndim == 2 else np.int32))
    with pytest.raises(ValueError, match=r"target must have shape \(6,.*got \(5,"):
        _call(kernels, name, p, t[:5])
    unaligned = np.zeros(t.nbytes + 1, np.uint8)[1:].view(t.dtype).reshape(t.shape)
    with pytest.raises(ValueError, match="target must be aligned"):
        _call(kernels, name, p, unaligned)
    if t.ndim == 1:
        with pytest.raises(ValueError, match="target must be C-contiguous"):
            _call(kernels, name, p, np.repeat(t, 2)[::2])
    for weight, error, message in (
        (np.ones(5), ValueError, r"sample_weight must have shape \(6,\), got \(5,\)"),
        (np.ones((6, 1)), ValueError, r"sample_weight must have 1 dimension"),
        (np.ones(6, np.float32), TypeError, f"sample_weight must have the dtype of {first}, float64"),
        (np.ones(12)[::2], ValueError, "sample_weight must be C-contiguous"),
        ([1.0] * 6, TypeError, "sample_weight must be a numpy.ndarray"),
    ):
        with pytest.raises(error, match=message):
            _call(kernels, name, p, t, sample_weight=weight)
    frozen = np.zeros((6, 4))
    frozen.flags.writeable = False
    buffer = np.zeros(100)
    buffer[: p.size] = p.ravel()
    overlapping = buffer[: p.size].reshape(p.shape), buffer[4 : 4 + p.size].reshape(p.shape)
    for grad, error, message in (
        (np.zeros((6, 5)), ValueError, r"grad must have shape \(6, 4\), got \(6, 5\)"),
        (np.zeros(24), ValueError, r"grad must have shape \(6, 4\), got \(24,\)"),
        (
            np.zeros((6, 4), np.float32),
            TypeError,
            f"grad must have the dtype of {first}, float64, got float32",
        ),
        (frozen, ValueError, "grad must be writeable"),
        (np.zeros((6, 4), order="F"), ValueError, "the rows of grad must be contiguous"),
        (np.zeros((6, 4)).tolist(), TypeError, "grad must be a numpy.ndarray"),
    ):
        with pytest.raises(error, match=message):
            _call(kernels, name, p, t, grad)
    with pytest.raises(ValueError, match=f"grad must not overlap {first} in memory"):
        _call(kernels, name, overlapping[0], t, overlapping[1])
    if t.ndim == 2:
        with pytest.raises(ValueError, match="grad must not overlap target"):
            _call(kernels, name, p, t, t)
    weight = np.ones(24)
    with pytest.raises(ValueError, match="grad must not overlap sample_weight"):
        _call(kernels, name, p, t, weight.reshape(6, 4), sample_weight=weight[:6])
    assert np.array_equal(weight, np.ones(24))


def test_bad_options():
    p, t, labels = np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(3, np.int64)
    with pytest.raises(
        ValueError, match=r"reduction must be one of 'sum', 'mean', 'weighted_mean', got 'none'"
    ):
        kernels.mse_value_and_grad(p, t, reduction="none")
    with pytest.raises(TypeError, match="reduction must be one of"):
        kernels.mse_value_and_grad(p, t, reduction=None)
    with pytest.raises(ValueError, match="n_threads must be between"):
        kernels.mse_value_and_grad(p, t, n_threads=0)
    with pytest.raises(TypeError, match="from_logits must be True or False, got 'yes'"):
        kernels.bce_value_and_grad(p, t, from_logits="yes")
    with pytest.raises(ValueError, match="pos_weight needs from_logits=True"):
        kernels.bce_value_and_grad(p, t, from_logits=False, pos_weight=np.ones(4))
    with pytest.raises(ValueError, match=r"pos_weight must have shape \(4,\), got \(3,\)"):
        kernels.bce_value_and_grad(p, t, pos_weight=np.ones(3))
    with pytest.raises(ValueError, match=r"class_weight must have shape \(4,\), got \(5,\)"):
        kernels.cross_entropy_value_and_grad(p, labels, class_weight=np.ones(5))
    for smoothing, message in ((-0.1, "at least 0"), (1.5, "at most 1"), (math.nan, "finite")):
        with pytest.raises(ValueError, match=f"label_smoothing must be {message}"):
            kernels.cross_entropy_value_and_grad(p, labels, label_smoothing=smoothing)
    with pytest.raises(TypeError, match="label_smoothing must be a real number"):
        kernels.cross_entropy_value_and_grad(p, labels, label_smoothing="a")
    with pytest.raises(TypeError, match=r"ignore_index must be an integer, got 1.5"):
        kernels.cross_entropy_value_and_grad(p, labels, ignore_index=1.5)
    with pytest.raises(ValueError, match="ignore_index must fit int64"):
        kernels.cross_entropy_value_and_grad(p, labels, ignore_index=2**64)
    with pytest.raises(TypeError, match=r"out must be a numpy.ndarray"):
        kernels.softmax(p, False)


# ---- any shape -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(CASES)),
    dtype=st.sampled_from(DTYPES),
    n_rows=st.integers(1, 70),
    n_columns=st.integers(1, 70),
    reduction=st.sampled_from(REDUCTIONS),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(name, dtype, n_rows, n_columns, reduction, weighted, seed):
    rng = _random(seed)
    prediction, target = _inputs(name, rng, (n_rows, n_columns), dtype)
    weight = rng.uniform(0.1, 2.0, n_rows).astype(dtype) if weighted else None
    _check_against_twin(name, prediction, target, sample_weight=weight, reduction=reduction)


@pytest.mark.parametrize("n_classes", [2, 40])
def test_a_label_without_weight_and_without_probability_adds_nothing(n_classes):
    # smoothing of 1 takes all weight off the label, and 0 times an infinite loss is 0
    logits = np.zeros((1, n_classes))
    logits[0, 1] = -np.inf
    class_weight = np.ones(n_classes)
    class_weight[1] = 0.0
    value, _ = kernels.cross_entropy_value_and_grad(
        logits, np.array([1]), label_smoothing=1.0, class_weight=class_weight, reduction="sum"
    )
    assert value == pytest.approx((n_classes - 1) / n_classes * np.log(n_classes - 1), rel=1e-15, abs=0)
    value, _ = kernels.cross_entropy_value_and_grad(
        logits, np.array([1]), label_smoothing=1.0, reduction="sum"
    )
    assert value == np.inf
