"""The kernels of losses of probabilities against their plain NumPy twins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import kernels, reference
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
LOSSES = ["log", "squared"]
BLOCK, PIECE = 512, 1 << 15
RTOL = 1e-12  # sums of terms that are not negative, in float64, of logarithms within 2 ULP


def binary(rng, n, dtype=np.float64, label_type=np.int64):
    return rng.integers(0, 2, n).astype(label_type), rng.random(n).astype(dtype)


def classes(rng, n, n_classes, dtype=np.float64, label_type=np.int64):
    p = rng.random((n, n_classes)).astype(dtype)
    return rng.integers(0, n_classes, n).astype(label_type), (p / p.sum(axis=1, keepdims=True)).astype(dtype)


def assert_agrees(actual, expected):
    assert len(actual) == len(expected)
    np.testing.assert_allclose(actual[:2], expected[:2], rtol=RTOL, atol=0)
    np.testing.assert_array_equal(actual[2], expected[2])
    # sums of a few numbers of size 1
    np.testing.assert_allclose(actual[3:], expected[3:], rtol=0, atol=1e-13)


def test_closed_form():
    y, p = np.array([1, 0, 1]), np.array([0.5, 0.75, 1.0])
    loss, weight, n_positive = kernels.binary_probability_loss(y, p)
    assert math.isclose(loss, math.log(2) + math.log(4) - math.log1p(-(2.0**-52)), rel_tol=1e-15)
    assert (weight, n_positive) == (3.0, 2)
    assert kernels.binary_probability_loss(y, p, loss="squared") == (0.8125, 3.0, 2)
    loss, weight, counts, deviation = kernels.class_probability_loss(
        np.array([0, 2]), np.array([[0.5, 0.25, 0.25], [0.25, 0.25, 0.25]])
    )
    assert math.isclose(loss, math.log(8), rel_tol=1e-15)
    np.testing.assert_array_equal(counts, [1, 0, 1])
    assert (weight, deviation, counts.dtype) == (2.0, 0.25, np.int64)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*SIZES, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3, PIECE + 1])
def test_sizes(n, dtype, loss):
    rng = np.random.default_rng(n)
    y, p = binary(rng, n, dtype)
    for weight in (None, rng.exponential(size=n), rng.random(n).astype(np.float32)):
        assert_agrees(
            kernels.binary_probability_loss(y, p, weight, loss=loss),
            reference.binary_probability_loss(y, p, weight, loss=loss),
        )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33, 100])
@pytest.mark.parametrize("n", [0, 1, 5, BLOCK + 1])
def test_sizes_of_classes(n, n_classes, dtype, loss):
    rng = np.random.default_rng(n)
    y, p = classes(rng, n, n_classes, dtype)
    for weight in (None, rng.exponential(size=n).astype(dtype)):
        assert_agrees(
            kernels.class_probability_loss(y, p, weight, loss=loss),
            reference.class_probability_loss(y, p, weight, loss=loss),
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label_type", [*INTEGERS, np.bool_])
def test_types_of_labels(label_type, dtype):
    rng = np.random.default_rng(0)
    y, p = binary(rng, 1000, dtype, label_type)
    assert_agrees(kernels.binary_probability_loss(y, p), reference.binary_probability_loss(y, p))
    y, p = classes(rng, 1000, 2 if label_type is np.bool_ else 100, dtype, label_type)
    assert_agrees(kernels.class_probability_loss(y, p), reference.class_probability_loss(y, p))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_two_labels(data):
    """Either the twin's answer or its refusal, for labels at the ends of the types and beyond them."""
    dtype = data.draw(st.sampled_from(INTEGERS))
    ends = np.iinfo(dtype)
    few = [0, 1, 2, -1, ends.min, ends.max, ends.max - 1, ends.min + 1]
    inside = [one for one in few if ends.min <= one <= ends.max]
    y = np.array(data.draw(st.lists(st.sampled_from(inside), min_size=1, max_size=4)), dtype=dtype)
    # the same bits as a label of the type, and another number
    wrapped = [one + (1 << 8 * ends.dtype.itemsize) for one in inside]
    candidates = [one for one in {*few, *wrapped, -2, -ends.max} if -(2**63) <= one < 2**63]
    negative, positive = data.draw(
        st.lists(st.sampled_from(sorted(candidates)), min_size=2, max_size=2, unique=True)
    )
    p = np.full(len(y), 0.25)
    known = [int(label) in (negative, positive) for label in y]
    if all(known):
        n_positive = sum(int(label) == positive for label in y)
        squares = n_positive * 0.5625 + (len(y) - n_positive) * 0.0625
        assert kernels.binary_probability_loss(
            y, p, loss="squared", negative=negative, positive=positive
        ) == (squares, len(y), n_positive)
    else:
        row = known.index(False)
        with pytest.raises(ValueError, match=rf"y_true must hold labels .*, got {int(y[row])} in row {row}$"):
            kernels.binary_probability_loss(y, p, negative=negative, positive=positive)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_probabilities(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    p = np.array([0.0, 1.0, tiny, np.finfo(dtype).tiny, np.finfo(dtype).eps, 1 - np.finfo(dtype).epsneg], dtype)
    for label in (0, 1):
        y = np.full(len(p), label)
        for eps in (None, 0.0, 1e-3, 1e-300):
            assert_agrees(
                kernels.binary_probability_loss(y, p, eps=eps), reference.binary_probability_loss(y, p, eps=eps)
            )
            pair = np.stack([1 - p, p], axis=1)
            assert_agrees(
                kernels.class_probability_loss(y, pair, eps=eps),
                reference.class_probability_loss(y, pair, eps=eps),
            )


def test_float32_loses_nothing_of_the_complement():
    """1 - p of a float32 p is exact: the answer is that of the same numbers in float64."""
    rng = np.random.default_rng(0)
    y, p = binary(rng, 1000, np.float32)
    p *= np.float32(1e-3)
    eps = 2.0**-23
    single, double = (
        kernels.binary_probability_loss(y, q, eps=eps) for q in (p, p.astype(np.float64))
    )
    assert single == double


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_any_number_of_threads_gives_the_same_bits(weighted, loss):
    rng = np.random.default_rng(2)
    n = 5 * PIECE + 17
    y, p = binary(rng, n, np.float32, np.int8)
    weight = rng.exponential(size=n) if weighted else None
    results = [
        kernels.binary_probability_loss(y, p, weight, loss=loss, n_threads=threads) for threads in THREAD_COUNTS
    ]
    assert results[1:] == results[:1] * 2
    assert_agrees(results[0], reference.binary_probability_loss(y, p, weight, loss=loss))
    y, p = classes(rng, n // 10, 10)
    weight = weight[: n // 10] if weighted else None
    results = [
        kernels.class_probability_loss(y, p, weight, loss=loss, n_threads=threads) for threads in THREAD_COUNTS
    ]
    for result in results[1:]:
        assert result[:2] == results[0][:2]
        np.testing.assert_array_equal(result[2], results[0][2])
        assert result[3] == results[0][3]
    assert_agrees(results[0], reference.class_probability_loss(y, p, weight, loss=loss))


def test_weights_beyond_the_integers_of_float32():
    n = 2**24 + 1
    y, p = np.ones(n, dtype=np.int8), np.ones(n, dtype=np.float32)
    assert kernels.binary_probability_loss(y, p, np.ones(n, dtype=np.float32), loss="squared") == (0.0, n, n)


@pytest.mark.parametrize("row", [0, BLOCK + 5, 3 * PIECE + 7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_bad_row_is_named(row, dtype):
    n = 4 * PIECE
    for bad in (-0.1, 1.5, np.nan, np.inf, -np.inf, -1e-30):
        y, p = np.ones(n, dtype=np.int16), np.full(n, 0.5, dtype=dtype)
        p[row], p[-1], y[-1] = bad, 7.0, 7
        for threads in THREAD_COUNTS:
            with pytest.raises(
                ValueError, match=rf"y_proba must hold probabilities in \[0, 1\], got .* in row {row}$"
            ):
                kernels.binary_probability_loss(y, p, n_threads=threads)
        few = np.repeat(p[: row + 1], 3).reshape(-1, 3)[row - min(row, 600) :]
        with pytest.raises(ValueError, match=rf"y_proba must hold .* in row {len(few) - 1}$"):
            kernels.class_probability_loss(y[: len(few)], few)


@pytest.mark.parametrize("bad", [-1, 2, 100])
def test_the_first_bad_label_is_named(bad):
    y = np.zeros(2000, dtype=np.int8)
    y[1500] = bad
    with pytest.raises(ValueError, match=rf"y_true must hold labels 0 or 1, got {bad} in row 1500$"):
        kernels.binary_probability_loss(y, np.full(2000, 0.5))
    with pytest.raises(ValueError, match=rf"y_true must hold labels in 0 \.\. 1, got {bad} in row 1500$"):
        kernels.class_probability_loss(y, np.full((2000, 2), 0.5))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_the_first_bad_weight_is_named(bad):
    y, weight = np.zeros(2000, dtype=np.int8), np.ones(2000)
    weight[1500] = bad
    for call in (
        lambda: kernels.binary_probability_loss(y, np.full(2000, 0.5), weight),
        lambda: kernels.class_probability_loss(y, np.full((2000, 2), 0.5), weight),
    ):
        with pytest.raises(ValueError, match=r"sample_weight must be finite and not negative, got .* in row 1500$"):
            call()


Y, P, PP = np.array([0, 1, 1]), np.array([0.25, 0.5, 1.0]), np.full((3, 2), 0.5)


@pytest.mark.parametrize(
    ("name", "arguments", "options", "error", "message"),
    [
        ("binary", (Y.tolist(), P), {}, TypeError, "y_true must be a numpy.ndarray, got list"),
        ("binary", (Y * 1.0, P), {}, TypeError, "y_true must have an integer dtype or bool"),
        ("binary", (Y, Y), {}, TypeError, "y_proba must have dtype float32 or float64, got int64"),
        ("binary", (Y, P[:2]), {}, ValueError, r"y_proba must have shape \(3,\), got \(2,\)"),
        ("binary", (Y, PP), {}, ValueError, r"y_proba must have 1 dimension\(s\)"),
        ("binary", (Y, np.repeat(P, 2)[::2]), {}, ValueError, "y_proba must be C-contiguous"),
        ("binary", (Y, P, P[:2]), {}, ValueError, r"sample_weight must have shape \(3,\)"),
        ("binary", (Y, P, Y), {}, TypeError, "sample_weight must have dtype float32 or float64"),
        ("binary", (Y, P), {"loss": "hinge"}, ValueError, "loss must be one of 'log', 'squared', got 'hinge'"),
        ("binary", (Y, P), {"positive": 0}, ValueError, "negative and positive must differ, got 0 for both"),
        ("binary", (Y, P), {"positive": 1.0}, TypeError, "positive must be an integer"),
        ("binary", (Y, P), {"negative": 2**63}, ValueError, "negative must be between"),
        ("binary", (Y, P), {"eps": 0.5}, ValueError, "eps must be below 0.5, got 0.5"),
        ("binary", (Y, P), {"eps": -1.0}, ValueError, "eps must be at least 0"),
        ("binary", (Y, P), {"n_threads": 0}, ValueError, "n_threads"),
        ("class", (Y, P), {}, ValueError, r"y_proba must have 2 dimension\(s\)"),
        ("class", (Y, PP[:2]), {}, ValueError, r"y_proba must have shape \(3, any\), got \(2, 2\)"),
        ("class", (Y, PP[:, :0]), {}, ValueError, "columns of y_proba must be between 1 and 65535, got 0"),
        ("class", (Y, np.full((3, 4), 0.25)[:, ::2]), {}, ValueError, "the rows of y_proba must be contiguous"),
        ("class", (Y, PP), {"first_label": 2**31}, ValueError, "first_label must be between"),
        ("class", (Y[:0], PP[:0]), {"n_threads": 0}, ValueError, "n_threads"),
    ],
)
def test_bad_arguments(name, arguments, options, error, message):
    with pytest.raises(error, match=message):
        getattr(kernels, f"{name}_probability_loss")(*arguments, **options)


def test_first_labels_and_strides():
    rng = np.random.default_rng(1)
    y, p = classes(rng, 700, 5)
    spaced = np.zeros((700, 9))
    spaced[:, :5] = p
    expected = kernels.class_probability_loss(y, p)
    for first, labels in ((-3, (y - 3).astype(np.int8)), (2**31 - 5, y + 2**31 - 5)):
        actual = kernels.class_probability_loss(labels, spaced[:, :5], first_label=first)
        assert actual[:2] == expected[:2]
        np.testing.assert_array_equal(actual[2], expected[2])


def test_read_only():
    y, p = Y.copy(), P.copy()
    y.flags.writeable = p.flags.writeable = False
    assert kernels.binary_probability_loss(y, p, p, loss="squared") == (0.25 * 0.0625 + 0.5 * 0.25, 1.75, 2)
