"""The kernel that bins scores by their leading bits, against its plain NumPy twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import kernels, reference
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
PIECE = 1 << 18
BLOCK = 1024


def assert_agrees(y_true, y_score, weight=None, **options):
    actual = kernels.score_bins(y_true, y_score, weight, **options)
    expected = reference.score_bins(y_true, y_score, weight, **options)
    assert isinstance(actual[0], int)
    assert actual[0] == expected[0]
    for one, other in zip(actual[1:], expected[1:], strict=True):
        assert one.dtype == other.dtype
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=1e-12)
        else:
            np.testing.assert_array_equal(one, other)
    return actual


def rows(rng, n, dtype):
    y_true = (rng.random(n) < 0.3).astype(np.int64)
    return y_true, (rng.normal(size=n) + y_true).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*SIZES, BLOCK - 1, BLOCK, BLOCK + 1, 40_001])
@pytest.mark.parametrize("max_bins", [1, 2, 7, 100, 5000])
def test_sizes(dtype, n, max_bins):
    rng = np.random.default_rng(n)
    y_true, y_score = rows(rng, n, dtype)
    for level in (64, 13):
        assert_agrees(y_true, y_score, max_bins=max_bins, level=level)
        weight = rng.integers(0, 8, n) / 4
        assert_agrees(y_true, y_score, weight, max_bins=max_bins, level=level)
        assert_agrees(y_true, y_score, weight.astype(np.float32), max_bins=max_bins, level=level)


@settings(max_examples=300, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.one_of(
                st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 2.0**-1022, 1.7976931348623157e308]),
                st.floats(allow_nan=False, allow_infinity=False),
                st.integers(-4, 4).map(float),
            ),
        ),
        max_size=40,
    ),
    max_bins=st.integers(1, 12), level=st.integers(0, 64),
)
def test_any_scores(pairs, max_bins, level):
    y_true = np.array([label for label, _ in pairs], dtype=np.int8)
    y_score = np.array([score for _, score in pairs], dtype=np.float64)
    assert_agrees(y_true, y_score, max_bins=max_bins, level=level)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_types_of_labels(dtype):
    y_true, y_score = rows(np.random.default_rng(0), 100, np.float32)
    assert_agrees(y_true.astype(dtype), y_score, max_bins=20)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_pieces_and_threads(dtype, weighted):
    rng = np.random.default_rng(1)
    for n in (PIECE, PIECE + 1, 5 * PIECE + 3):
        y_true, y_score = rows(rng, n, dtype)
        # one piece alone has many scores
        y_score[: n // 2] = np.round(y_score[: n // 2])
        weight = rng.exponential(size=n) if weighted else None
        results = [
            kernels.score_bins(y_true, y_score, weight, max_bins=3000, n_threads=threads) for threads in THREAD_COUNTS
        ]
        for result in results[1:]:
            assert result[0] == results[0][0]
            for one, other in zip(result[1:], results[0][1:], strict=True):
                np.testing.assert_array_equal(one, other)
        assert_agrees(y_true, y_score, weight, max_bins=3000)


def test_the_level_is_that_of_all_rows_in_any_order():
    rng = np.random.default_rng(2)
    y_true, y_score = rows(rng, 3000, np.float64)
    expected = kernels.score_bins(y_true, y_score, max_bins=200)
    for order in (np.argsort(y_score), np.argsort(-y_score), rng.permutation(3000)):
        actual = kernels.score_bins(y_true[order], y_score[order], max_bins=200)
        assert actual[0] == expected[0]
        for one, other in zip(actual[1:], expected[1:], strict=True):
            np.testing.assert_array_equal(one, other)


def test_bad_input():
    y_true, y_score = rows(np.random.default_rng(3), 2000, np.float64)
    for row in (0, 7, 1999):
        for bad in (np.nan, np.inf, -np.inf):
            scores = y_score.copy()
            scores[row] = bad
            with pytest.raises(ValueError, match=f"y_score must be finite, got .* in row {row}"):
                kernels.score_bins(y_true, scores, max_bins=10)
        labels = y_true.copy()
        labels[row] = 2
        with pytest.raises(ValueError, match=f"y_true must hold labels 0 and 1, got 2 in row {row}"):
            kernels.score_bins(labels, y_score, max_bins=10)
        weight = np.ones(2000, np.float32)
        for bad in (-1, np.nan, np.inf):
            weight[row] = bad
            with pytest.raises(ValueError, match=f"sample_weight must be finite and not negative, got .* in row {row}"):
                kernels.score_bins(y_true, y_score, weight, max_bins=10)
    for wrong in ({"max_bins": 0}, {"max_bins": 3, "level": 65}, {"max_bins": 3, "level": -1}):
        with pytest.raises(ValueError, match=r"max_bins|level"):
            kernels.score_bins(y_true, y_score, **wrong)
    with pytest.raises(ValueError, match="y_score"):
        kernels.score_bins(y_true, y_score[1:], max_bins=3)
    with pytest.raises(ValueError, match="sample_weight"):
        kernels.score_bins(y_true, y_score, y_score[1:], max_bins=3)
    with pytest.raises(TypeError, match="y_score"):
        kernels.score_bins(y_true, y_true, max_bins=3)
    with pytest.raises(ValueError, match="contiguous"):
        kernels.score_bins(y_true[::2], y_score[::2], max_bins=3)
    for array in (y_true, y_score):
        array.flags.writeable = False
    assert_agrees(y_true, y_score, max_bins=3)
