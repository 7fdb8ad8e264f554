"""The kernels of regression metrics against their plain NumPy twins and exact sums."""

import math
from fractions import Fraction

import numpy as np
import pytest

from fasttrain import kernels, reference
from fasttrain.reference.regression import LOSSES
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS

NUMBER_TYPES = [
    bool, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
    np.float16, np.float32, np.float64,
]  # fmt: skip
PIECE = 1 << 14
RTOL = 1e-12


def pairs(rng, shape, dtype=np.float64):
    """Positive numbers, in the domain of every loss."""
    return tuple(rng.gamma(2.0, size=shape).astype(dtype) + dtype(0.25) for _ in range(2))


def weights(rng, n, dtype=np.float64):
    weight = rng.exponential(size=n).astype(dtype)
    weight[: n // 4] = 0
    return weight


def assert_agrees(arguments, loss=None, **options):
    if loss is None:
        actual = kernels.regression_moments(*arguments, **options)
        expected = reference.regression_moments(*arguments)
        # means of errors cancel: against the size of what is added up
        atol = 1e-13 * (1 + np.abs(expected).max(initial=0))
    else:
        actual = kernels.regression_loss(*arguments, loss=loss, alpha=0.3, **options)
        expected = reference.regression_loss(*arguments, loss=loss, alpha=0.3)
        # logarithms of ratios near 1 cancel, so against the size of the terms and not of their sum
        atol = 1e-14 * (1 + arguments[0].astype(np.float64).sum()) if loss in ("poisson", "gamma") else 0
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=atol)


def test_closed_form():
    y_true, y_pred = np.array([1.0, 2.0, 6.0]), np.array([1.0, 3.0, 4.0])
    moments = kernels.regression_moments(y_true, y_pred)
    np.testing.assert_allclose(moments[:, 0], [3, 3, 14, 1 / 3, 14 / 3, 5], rtol=1e-15)
    less = kernels.regression_moments(y_true, y_pred, origins=np.array([[1.0], [-2.0]]))
    np.testing.assert_allclose(less[:, 0], [3, 2, 14, 7 / 3, 14 / 3, 5], rtol=1e-15)
    weight = np.array([1.0, 0.0, 3.0])
    moments = kernels.regression_moments(y_true, y_pred, weight)
    np.testing.assert_allclose(moments[:, 0], [4, 19 / 4, 75 / 4, 1.5, 3, 12], rtol=1e-15)
    expected = {
        "squared": 5,
        "absolute": 3,
        "maximum": 2,
        "squared_log": math.log(3 / 4) ** 2 + math.log(7 / 5) ** 2,
        "percentage": 1 / 2 + 2 / 6,
        "pinball": 0.75 + 0.25 * 2,
        "poisson": 2 * (2 * math.log(2 / 3) + 1 + 6 * math.log(6 / 4) - 2),
        "gamma": 2 * (math.log(3 / 2) + 2 / 3 - 1 + math.log(4 / 6) + 6 / 4 - 1),
    }
    assert tuple(expected) == LOSSES
    for loss, value in expected.items():
        sums = kernels.regression_loss(y_true, y_pred, loss=loss, alpha=0.25)
        np.testing.assert_allclose(sums, [[3], [value]], rtol=1e-14)


@pytest.mark.parametrize("loss", [None, *LOSSES])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*SIZES, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 17])
def test_sizes(n, dtype, loss):
    rng = np.random.default_rng(n)
    arguments = pairs(rng, n, dtype)
    assert_agrees(arguments, loss)
    if loss != "maximum":
        assert_agrees((*arguments, weights(rng, n, dtype)), loss)


@pytest.mark.parametrize("loss", [None, *LOSSES])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [(0, 3), (3, 0), (1, 1), (2, 1), (1, 5), (9, 2), (70, 3), (33, 8), (65, 17), (200, 255), (130, 257),
     (3, 1000), (9000, 3)],
)  # fmt: skip
def test_outputs(shape, dtype, loss):
    rng = np.random.default_rng(0)
    arguments = pairs(rng, shape, dtype)
    assert_agrees(arguments, loss)
    if loss != "maximum":
        assert_agrees((*arguments, weights(rng, shape[0], dtype)), loss)


@pytest.mark.parametrize("true_type", NUMBER_TYPES)
@pytest.mark.parametrize("pred_type", NUMBER_TYPES)
def test_any_pair_of_types(true_type, pred_type):
    rng = np.random.default_rng(0)
    for shape in ((77,), (70, 3), (3, 300)):
        arguments = [rng.integers(1, 100, shape).astype(dtype) for dtype in (true_type, pred_type)]
        assert_agrees(arguments)
        assert_agrees(arguments, "squared")
        weight = rng.integers(0, 3, shape[0]).astype(true_type)
        assert_agrees((*arguments, weight))
        assert_agrees((*arguments, weight), "absolute")


def test_every_half():
    bits = np.arange(1 << 16, dtype=np.uint16)
    halves = bits.view(np.float16)
    finite = np.ascontiguousarray(halves[np.isfinite(halves)])
    zeros = np.zeros_like(finite)
    for start in range(0, len(finite), 61):
        value = finite[start : start + 1]
        sums = kernels.regression_loss(value, zeros[:1], loss="absolute")
        assert sums[1, 0] == abs(float(value[0]))
    assert_agrees((finite, zeros), "absolute")
    for bad in halves[~np.isfinite(halves)][::97]:
        with pytest.raises(ValueError, match="y_true must not hold NaN or infinity"):
            kernels.regression_loss(np.array([bad]), zeros[:1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [None, 3, 300])
def test_a_mean_far_from_zero_costs_no_digits(dtype, columns):
    """Against exact sums; one row far from all others comes first."""
    rng = np.random.default_rng(0)
    n = 3 * PIECE if columns is None else 400
    y_true = (1e6 + rng.standard_normal((n, columns or 1))).astype(dtype)
    y_true[0] = -1e9
    y_pred = y_true + dtype(1)
    if columns is None:
        y_true, y_pred = y_true[:, 0].copy(), y_pred[:, 0].copy()
    moments = kernels.regression_moments(y_true, y_pred)
    column = [Fraction(float(value)) for value in (y_true if columns is None else y_true[:, 1])]
    mean = sum(column) / n
    centred = sum((value - mean) ** 2 for value in column)
    output = 0 if columns is None else 1
    assert abs(moments[1, output] - float(mean)) <= 1e-14 * 1e9
    # runs of 128 terms, 16 to 64 of them in a piece
    assert abs(moments[2, output] / float(centred) - 1) < 2e-14
    # without the outlier, where the centred sum is 1e12 times smaller than the sum of squares
    moments = kernels.regression_moments(y_true[1:], y_pred[1:])
    mean = sum(column[1:]) / (n - 1)
    centred = sum((value - mean) ** 2 for value in column[1:])
    assert abs(moments[2, output] / float(centred) - 1) < 2e-14


@pytest.mark.parametrize("value", [0.1, 1e8 / 3, -7e-9])
@pytest.mark.parametrize("shape", [(5,), (100_003,), (5000, 3)])
def test_a_constant_is_one(value, shape):
    y = np.full(shape, value)
    weight = np.random.default_rng(0).random(shape[0])
    for options in ({}, {"sample_weight": weight}):
        moments = kernels.regression_moments(y, np.zeros(shape), **options)
        np.testing.assert_array_equal(moments[[2, 4]], 0)
        np.testing.assert_array_equal(moments[[1, 3]], value)
    # other values without weight, some or all of a first piece
    for n_strange in (1, min(shape[0] - 1, PIECE + 1)):
        strange, weight = y.copy(), np.random.default_rng(0).integers(1, 9, shape[0])
        strange[:n_strange] = 2.5
        weight[:n_strange] = 0
        moments = kernels.regression_moments(strange, np.zeros(shape), weight)
        np.testing.assert_array_equal(moments[[2, 4]], 0)
        np.testing.assert_array_equal(moments[[1, 3]], value)


@pytest.mark.parametrize("loss", [None, *LOSSES])
@pytest.mark.parametrize("shape", [(40 * PIECE + 3,), (20_000, 7), (500, 600)])
@pytest.mark.parametrize("dtypes", [(np.float64, np.float64), (np.float32, np.float32), (np.float32, np.int64)])
def test_any_number_of_threads_gives_the_same_bits(shape, loss, dtypes):
    rng = np.random.default_rng(1)
    y_true, y_pred = ((1 + 9 * rng.random(shape)).astype(dtype) for dtype in dtypes)
    weight = None if loss == "maximum" else rng.random(shape[0]).astype(dtypes[0])
    if loss is None:
        results = [
            kernels.regression_moments(y_true, y_pred, weight, n_threads=threads) for threads in THREAD_COUNTS
        ]
    else:
        results = [
            kernels.regression_loss(y_true, y_pred, weight, loss=loss, n_threads=threads)
            for threads in THREAD_COUNTS
        ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("name", ["y_true", "y_pred", "sample_weight"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 700, 3 * PIECE + 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_number_that_is_not_finite_is_named(name, bad, row, dtype):
    for columns in (None, 3):
        shape = (4 * PIECE,) if columns is None else (4 * PIECE, columns)
        arrays = {
            "y_true": np.ones(shape, dtype),
            "y_pred": np.full(shape, 2, dtype),
            "sample_weight": np.ones(4 * PIECE, dtype),
        }
        arrays[name][row] = bad
        arrays[name][-1] = np.nan
        message = rf"{name} must .*finit.*, got {bad} in row {row}$"
        with pytest.raises(ValueError, match=message):
            kernels.regression_moments(**arrays)
        for loss in LOSSES:
            if loss == "maximum":
                if name == "sample_weight":
                    continue
                arrays["sample_weight"] = None
            with pytest.raises(ValueError, match=message):
                kernels.regression_loss(**arrays, loss=loss)
            if loss == "maximum":
                arrays["sample_weight"] = np.ones(4 * PIECE, dtype)
                if name == "sample_weight":
                    arrays[name][row] = bad


def test_the_first_negative_weight_is_named():
    y = np.zeros(3000)
    weight = np.ones(3000)
    weight[2000] = -5e-324
    for function in (kernels.regression_moments, kernels.regression_loss):
        with pytest.raises(ValueError, match=r"sample_weight must be finite and not negative, got .* in row 2000"):
            function(y, y, weight)


@pytest.mark.parametrize(
    ("loss", "true", "pred", "message"),
    [
        ("squared_log", -1.0, 1.0, "y_true must be greater than -1 for the loss 'squared_log', got -1.0 in row 9"),
        ("squared_log", 1.0, -2.0, "y_pred must be greater than -1 .* got -2.0 in row 9"),
        ("poisson", -0.5, 1.0, "y_true must be at least 0 for the loss 'poisson', got -0.5 in row 9"),
        ("poisson", 0.0, 0.0, "y_pred must be positive .* got 0.0 in row 9"),
        ("gamma", 0.0, 1.0, "y_true must be positive for the loss 'gamma', got 0.0 in row 9"),
        ("gamma", 1.0, -1.0, "y_pred must be positive .* got -1.0 in row 9"),
    ],
)
@pytest.mark.parametrize("columns", [None, 2])
def test_numbers_outside_of_the_domain(loss, true, pred, message, columns):
    shape = 40 if columns is None else (40, columns)
    y_true, y_pred = np.ones(shape), np.ones(shape)
    y_true[9], y_pred[9] = true, pred
    for weight in (None, np.zeros(40)):  # a weight of 0 does not hide it
        with pytest.raises(ValueError, match=message):
            kernels.regression_loss(y_true, y_pred, weight, loss=loss)


def test_overflow_of_finite_numbers_is_infinity():
    y = np.array([1e300, 1.0])
    assert kernels.regression_loss(y, -y)[1, 0] == math.inf
    moments = kernels.regression_moments(y, -y)
    assert moments[5, 0] == moments[2, 0] == math.inf


GOOD = np.array([0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((GOOD.tolist(), GOOD), TypeError, "y_true must be a numpy.ndarray, got list"),
        ((GOOD, GOOD.astype(complex)), TypeError, "y_pred must hold real numbers of up to 64 bits, got dtype complex"),
        ((GOOD.astype(str), GOOD), TypeError, "y_true must hold real numbers"),
        ((GOOD.astype(object), GOOD), TypeError, "y_true must hold real numbers"),
        ((GOOD, GOOD[:2]), ValueError, r"y_pred must have shape \(3,\), got \(2,\)"),
        ((GOOD[:, None], GOOD), ValueError, r"y_pred must have shape \(3, 1\), got \(3,\)"),
        ((GOOD[:, None, None], GOOD), ValueError, "y_true must have 1 or 2 dimensions"),
        ((np.repeat(GOOD, 2)[::2], GOOD), ValueError, "y_true must be C-contiguous"),
        ((GOOD, GOOD[::-1]), ValueError, "y_pred must be C-contiguous"),
        ((GOOD, GOOD.astype(">f8")), ValueError, "y_pred must be aligned and in native byte order"),
        ((GOOD, GOOD, [1.0, 1.0, 1.0]), TypeError, "sample_weight must be a numpy.ndarray"),
        ((GOOD, GOOD, np.ones(2)), ValueError, r"sample_weight must have shape \(3,\)"),
        ((GOOD, GOOD, np.ones((3, 1))), ValueError, r"sample_weight must have 1 dimension"),
        ((GOOD, GOOD, np.ones(6)[::2]), ValueError, "sample_weight must be C-contiguous"),
        ((np.ma.masked_array(GOOD), GOOD), TypeError, "y_true must not be a masked array"),
    ],
)
@pytest.mark.parametrize("function", [kernels.regression_moments, kernels.regression_loss])
def test_bad_arguments(function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"loss": "cubed"}, ValueError, "loss must be one of 'squared', .* got 'cubed'"),
        ({"loss": 2}, TypeError, "loss must be one of"),
        ({"alpha": 1.5}, ValueError, "alpha must be at most 1, got 1.5"),
        ({"alpha": -0.1}, ValueError, "alpha must be at least 0, got -0.1"),
        ({"alpha": "x"}, TypeError, "alpha must be a real number"),
        ({"n_threads": 0}, ValueError, "n_threads"),
        ({"loss": "maximum", "sample_weight": GOOD}, ValueError, "sample_weight must be None where loss is"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        kernels.regression_loss(GOOD, GOOD, **options)


def test_read_only_and_unaligned():
    frozen = GOOD.copy()
    frozen.flags.writeable = False
    assert kernels.regression_loss(frozen, frozen)[1, 0] == 0
    shifted = np.frombuffer(b"\0" + GOOD.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    with pytest.raises(ValueError, match="y_true must be aligned"):
        kernels.regression_moments(shifted, GOOD)


def test_means_less_origins_keep_their_digits():
    # a mean near 2^60 is rounded to 2^8
    y_true = 2.0**60 + 2.0**8 * np.array([0.0, 1.0, 1.0])
    y_pred = np.zeros(3)
    origins = np.array([[2.0**60], [2.0**60]])
    moments = kernels.regression_moments(y_true, y_pred, origins=origins)
    np.testing.assert_allclose(moments[[1, 3], 0], 2.0**8 * 2 / 3, rtol=1e-15)
    np.testing.assert_allclose(moments[[2, 4], 0], 2.0**16 * 2 / 3, rtol=1e-12)


@pytest.mark.parametrize(
    "origins", [np.zeros((2, 2)), np.zeros(2), np.zeros((2, 1), np.float32), np.array([[np.nan], [0.0]]), [[0.0]]]
)
def test_bad_origins(origins):
    with pytest.raises((TypeError, ValueError), match="origins"):
        kernels.regression_moments(np.zeros(3), np.zeros(3), origins=origins)
