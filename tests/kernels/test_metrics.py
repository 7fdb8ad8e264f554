"""The confusion kernel against its plain NumPy twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import kernels, reference
from tests.helpers import SIZES, THREAD_COUNTS

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
PIECE = 1 << 17


def labels(rng, n, n_classes, dtype=np.int64, first=0):
    return (first + rng.integers(0, n_classes, n)).astype(dtype)


def test_closed_form():
    matrix = kernels.confusion_matrix(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2]), 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 0, 1], [0, 0, 2]])
    assert matrix.dtype == np.int64


@pytest.mark.parametrize("n", [*SIZES, 1023, 1024, 1025, 8191, 8192, 8193, 10_001])
@pytest.mark.parametrize("n_classes", [1, 2, 10, 32, 33, 127])
def test_sizes(n, n_classes):
    rng = np.random.default_rng(n)
    y_true, y_pred = labels(rng, n, n_classes, np.int32), labels(rng, n, n_classes, np.uint8)
    np.testing.assert_array_equal(
        kernels.confusion_matrix(y_true, y_pred, n_classes),
        reference.confusion_matrix(y_true, y_pred, n_classes),
    )


@pytest.mark.parametrize("true_type", [*INTEGERS, np.bool_])
@pytest.mark.parametrize("pred_type", [*INTEGERS, np.bool_])
def test_any_pair_of_types(true_type, pred_type):
    rng = np.random.default_rng(0)
    n_classes = 2 if np.bool_ in (true_type, pred_type) else 100
    y_true, y_pred = labels(rng, 333, n_classes, true_type), labels(rng, 333, n_classes, pred_type)
    np.testing.assert_array_equal(
        kernels.confusion_matrix(y_true, y_pred, n_classes),
        reference.confusion_matrix(y_true, y_pred, n_classes),
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_range_at_the_ends_of_a_type(data):
    """Either the twin's answer or its refusal, for labels and ranges at the ends of the types."""
    n_classes = data.draw(st.integers(1, 12), label="n_classes")
    arrays = []
    for name in ("y_true", "y_pred"):
        dtype = data.draw(st.sampled_from(INTEGERS), label=f"type of {name}")
        ends = np.iinfo(dtype)
        value = st.integers(0, 6).flatmap(
            lambda k, ends=ends: st.sampled_from(
                [
                    v
                    for v in (ends.min + k, ends.max - k, k, -k, 2**31 - 1 - k, -(2**31) + k)
                    if ends.min <= v <= ends.max
                ]
            )
        )
        arrays.append(np.array(data.draw(st.lists(value, min_size=3, max_size=3), label=name), dtype=dtype))
    first = int(arrays[0][0]) - data.draw(st.integers(0, 2))
    first = min(max(first, -(2**31)), 2**31 - n_classes)
    try:
        expected = reference.confusion_matrix(*arrays, n_classes, first_label=first)
    except ValueError:
        with pytest.raises(ValueError, match="must hold labels in"):
            kernels.confusion_matrix(*arrays, n_classes, first_label=first)
    else:
        np.testing.assert_array_equal(
            kernels.confusion_matrix(*arrays, n_classes, first_label=first), expected
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 32, 33])
@pytest.mark.parametrize("n", [0, 1, 5, 1025, 9001])
def test_weights(dtype, n_classes, n):
    rng = np.random.default_rng(1)
    y_true, y_pred = labels(rng, n, n_classes), labels(rng, n, n_classes, np.int16)
    weight = rng.exponential(size=n).astype(dtype)
    weight[: n // 4] = 0
    matrix = kernels.confusion_matrix(y_true, y_pred, n_classes, weight)
    assert matrix.dtype == np.float64
    expected = reference.confusion_matrix(y_true, y_pred, n_classes, weight)
    np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=0)


def test_weights_beyond_the_integers_of_float32():
    """2^24 + 1 unit weights in float32: the sum is exact."""
    n = 2**24 + 1
    y = np.zeros(n, dtype=np.int8)
    assert kernels.confusion_matrix(y, y, 1, np.ones(n, dtype=np.float32))[0, 0] == n
    assert kernels.confusion_matrix(y, y, 1)[0, 0] == n


@pytest.mark.parametrize("n_classes", [3, 40, 600])
@pytest.mark.parametrize("weighted", [False, True])
def test_any_number_of_threads_gives_the_same_bits(n_classes, weighted):
    rng = np.random.default_rng(2)
    n = 5 * PIECE + 17
    y_true, y_pred = labels(rng, n, n_classes, np.int32), labels(rng, n, n_classes, np.int16)
    weight = rng.exponential(size=n) if weighted else None
    results = [
        kernels.confusion_matrix(y_true, y_pred, n_classes, weight, n_threads=threads)
        for threads in THREAD_COUNTS
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    cells = y_true.astype(np.int64) * n_classes + y_pred
    expected = np.bincount(cells, weight, n_classes**2).reshape(n_classes, n_classes)
    np.testing.assert_allclose(results[0], expected, rtol=1e-12 if weighted else 0, atol=0)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_table_too_large_for_copies(weighted):
    n_classes = 3000
    rng = np.random.default_rng(3)
    y_true, y_pred = labels(rng, 3 * PIECE, n_classes), labels(rng, 3 * PIECE, n_classes)
    weight = rng.random(3 * PIECE) if weighted else None
    matrix = kernels.confusion_matrix(y_true, y_pred, n_classes, weight, n_threads=2)
    np.testing.assert_allclose(matrix.sum(axis=1), np.bincount(y_true, weight, n_classes), rtol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=0), np.bincount(y_pred, weight, n_classes), rtol=1e-12)
    assert matrix[y_true[7], y_pred[7]] > 0


@pytest.mark.parametrize("bad", [-1, 10, 2**40, -(2**40)])
@pytest.mark.parametrize("name", ["y_true", "y_pred"])
@pytest.mark.parametrize("row", [0, 700, 3 * PIECE + 5])
def test_the_first_bad_label_is_named(name, row, bad):
    arrays = {"y_true": np.zeros(4 * PIECE, dtype=np.int64), "y_pred": np.zeros(4 * PIECE, dtype=np.int64)}
    arrays[name][row] = bad
    arrays[name][-1] = -7
    for threads in THREAD_COUNTS:
        with pytest.raises(
            ValueError, match=rf"{name} must hold labels in 0 \.\. 9, got {bad} in row {row}$"
        ):
            kernels.confusion_matrix(**arrays, n_classes=10, n_threads=threads)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf, -np.inf, -5e-324])
def test_the_first_bad_weight_is_named(bad):
    y = np.zeros(3000, dtype=np.uint8)
    weight = np.ones(3000)
    weight[2000] = bad
    with pytest.raises(
        ValueError, match=r"sample_weight must be finite and not negative, got .* in row 2000"
    ):
        kernels.confusion_matrix(y, y, 2, weight)


def test_negative_labels():
    y_true, y_pred = np.array([-1, 1, 1, -1], dtype=np.int8), np.array([-1, -1, 1, -1])
    np.testing.assert_array_equal(
        kernels.confusion_matrix(y_true, y_pred, 3, first_label=-1), [[2, 0, 0], [0, 0, 0], [1, 0, 1]]
    )


GOOD = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((GOOD.tolist(), GOOD, 2), TypeError, "y_true must be a numpy.ndarray, got list"),
        ((GOOD, GOOD.astype(float), 2), TypeError, "y_pred must have an integer dtype or bool, got float64"),
        ((GOOD.astype(str), GOOD, 2), TypeError, "y_true must have an integer dtype"),
        ((GOOD, GOOD[:2], 2), ValueError, r"y_pred must have shape \(3,\), got \(2,\)"),
        ((GOOD[:, None], GOOD, 2), ValueError, r"y_true must have 1 dimension\(s\)"),
        ((np.repeat(GOOD, 2)[::2], GOOD, 2), ValueError, "y_true must be C-contiguous"),
        ((GOOD[::-1], GOOD, 2), ValueError, "y_true must be C-contiguous"),
        ((GOOD, GOOD.astype(">i8"), 2), ValueError, "y_pred must be aligned and in native byte order"),
        ((GOOD, GOOD, 0), ValueError, "n_classes must be between 1 and 65535, got 0"),
        ((GOOD, GOOD, 2**16), ValueError, "n_classes must be between 1 and 65535, got 65536"),
        ((GOOD, GOOD, 2.0), TypeError, "n_classes must be an integer, got 2.0 of type float"),
        ((GOOD, GOOD, True), TypeError, "n_classes must be an integer, got True"),
        ((GOOD, GOOD, 2, [1.0, 1.0, 1.0]), TypeError, "sample_weight must be a numpy.ndarray"),
        ((GOOD, GOOD, 2, GOOD), TypeError, "sample_weight must have dtype float32 or float64, got int64"),
        ((GOOD, GOOD, 2, np.ones(2)), ValueError, r"sample_weight must have shape \(3,\)"),
        ((GOOD, GOOD, 2, np.ones(6)[::2]), ValueError, "sample_weight must be C-contiguous"),
        ((np.ma.masked_array(GOOD), GOOD, 2), TypeError, "y_true must not be a masked array"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        kernels.confusion_matrix(*arguments)


@pytest.mark.parametrize("first", [-(2**31) - 1, 2**31 - 1])
def test_range_outside_int32(first):
    with pytest.raises(ValueError, match="first_label must be between"):
        kernels.confusion_matrix(GOOD, GOOD, 2, first_label=first)


@pytest.mark.parametrize("n", [0, 3])
def test_bad_n_threads(n):
    with pytest.raises(ValueError, match="n_threads"):
        kernels.confusion_matrix(GOOD[:n], GOOD[:n], 2, n_threads=0)


def test_read_only_and_unaligned():
    frozen = GOOD.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(kernels.confusion_matrix(frozen, frozen, 2), [[1, 0], [0, 2]])
    shifted = np.frombuffer(b"\0" + GOOD.tobytes(), dtype=np.uint8)[1:].view(np.int64)
    with pytest.raises(ValueError, match="y_true must be aligned"):
        kernels.confusion_matrix(shifted, GOOD, 2)
