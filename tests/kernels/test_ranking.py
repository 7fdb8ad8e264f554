"""The ranking kernels against their plain NumPy twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import kernels, reference
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
PIECE = 1 << 19
# sizes at which prefixes get a bit more, and around tables of counts and runs left to insertion
MORE_SIZES = [11, 12, 13, 127, 128, 129, 1023, 1024, 1025, 4097, 16_383, 16_385, 40_001]


def ranking(rng, n, dtype=np.float64, share=0.3, distinct=None):
    y_true = (rng.random(n) < share).astype(np.int64)
    y_score = rng.normal(size=n) + y_true
    if distinct:
        y_score = np.round(y_score * distinct) / distinct
    return y_true, y_score.astype(dtype)


def assert_agrees(y_true, y_score, weight=None, **options):
    """Both kernels and their twins: counts and thresholds exactly, sums to rounding."""
    actual = kernels.ranking_scores(y_true, y_score, weight, **options)
    expected = reference.ranking_scores(y_true, y_score, weight, **options)
    # areas and precisions are sums of shares of 1: a weight may be lost beside one 1e16 times as large
    np.testing.assert_allclose(actual[:2], expected[:2], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(actual[2:], expected[2:], rtol=1e-12, atol=0)
    curve = kernels.ranking_curve(y_true, y_score, weight, **options)
    for one, other in zip(curve, reference.ranking_curve(y_true, y_score, weight, **options), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
        assert not np.signbit(one[one == 0]).any()


def test_closed_form():
    y_true, y_score = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    assert kernels.ranking_scores(y_true, y_score) == (0.75, (1 + 2 / 3) / 2, 2, 2)
    tps, fps, thresholds = kernels.ranking_curve(y_true, y_score)
    assert (tps.tolist(), fps.tolist()) == ([1, 1, 2, 2], [0, 1, 1, 2])
    assert thresholds.tolist() == [0.8, 0.4, 0.35, 0.1]
    # ties count half
    assert kernels.ranking_scores(y_true, np.zeros(4)) == (0.5, 0.5, 2, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*SIZES, *MORE_SIZES])
@pytest.mark.parametrize("distinct", [None, 1, 50])
def test_sizes(dtype, n, distinct):
    rng = np.random.default_rng(n)
    y_true, y_score = ranking(rng, n, dtype, distinct=distinct)
    assert_agrees(y_true, y_score)
    weight = rng.exponential(size=n)
    weight[rng.random(n) < 0.3] = 0
    assert_agrees(y_true, y_score, weight)
    assert_agrees(y_true, y_score, weight.astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_scores_of_any_size(dtype, data):
    """Every power, both signs, both zeros, subnormals, infinities, near and equal scores."""
    width = 32 if dtype is np.float32 else 64
    score = st.one_of(
        st.floats(width=width, allow_nan=False),
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 1 + 2**-23, np.inf, -np.inf, 2.0**-149, -(2.0**-149), 2.0**-126]),
    )
    y_score = np.array(data.draw(st.lists(score, max_size=40)), dtype=dtype)
    y_true = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(y_score), max_size=len(y_score))))
    y_true = y_true.astype(data.draw(st.sampled_from(INTEGERS)))
    weight = data.draw(
        st.one_of(
            st.none(),
            st.lists(
                st.sampled_from([0.0, 1.0, 0.1, 1e-200, 1e200]), min_size=len(y_score), max_size=len(y_score)
            ).map(np.array),
        )
    )
    if weight is not None:
        weight = weight.astype(np.float64)
    assert_agrees(y_true, y_score, weight, allow_infinity=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "bits",
    [
        # one prefix, differences in the low bits only, then in a middle and a low digit
        lambda rng, n, word: rng.integers(0, 8, n, dtype=word),
        lambda rng, n, word: rng.integers(0, 2**15, n, dtype=word),
        lambda rng, n, word: rng.integers(0, 2, n, dtype=word) * word(2**20) + rng.integers(0, 300, n, dtype=word),
        # many near one score and a few far away
        lambda rng, n, word: np.where(rng.random(n) < 0.99, rng.integers(0, 100, n, dtype=word), word(2**27)),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_adversarial_bits(dtype, bits, sign):
    rng = np.random.default_rng(3)
    n = 30_000
    word = np.uint32 if dtype is np.float32 else np.uint64
    base = np.array(0.7, dtype=dtype).view(word)
    y_score = sign * (base + bits(rng, n, word)).astype(word).view(dtype)
    y_true = rng.integers(0, 2, n).astype(np.uint8)
    assert_agrees(y_true, y_score)
    assert_agrees(y_true, y_score, rng.random(n))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["uniform", "rounded", "constant"])
@pytest.mark.parametrize("weighted", [False, True])
def test_any_number_of_threads_gives_the_same_bits(dtype, kind, weighted):
    rng = np.random.default_rng(2)
    n = 3 * PIECE + 17
    y_true = (rng.random(n) < 0.1).astype(np.int8)
    y_score = rng.random(n).astype(dtype)
    if kind == "rounded":
        y_score = np.round(y_score, 2)
    elif kind == "constant":
        y_score[:] = 0.25
    weight = rng.exponential(size=n) * (rng.random(n) < 0.9) if weighted else None
    scores = [kernels.ranking_scores(y_true, y_score, weight, n_threads=k) for k in THREAD_COUNTS]
    assert scores[1] == scores[2] == scores[0]
    curves = [kernels.ranking_curve(y_true, y_score, weight, n_threads=k) for k in THREAD_COUNTS]
    for curve in curves[1:]:
        for one, other in zip(curve, curves[0], strict=True):
            np.testing.assert_array_equal(one, other)
    expected = reference.ranking_curve(y_true, y_score, weight)
    for one, other in zip(curves[0], expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(scores[0], reference.ranking_scores(y_true, y_score, weight), rtol=1e-11)


def test_counts_beyond_the_integers_of_float32():
    """2^24 + 1 rows of either label with float32 scores: the area is exact."""
    half = 2**24 + 1
    y_true = np.zeros(2 * half, dtype=np.int8)
    y_true[:half] = 1
    y_score = np.full(2 * half, 0.5, dtype=np.float32)
    y_score[0] = 0.25  # one positive row below all negative ones
    roc_auc, precision, positives, negatives = kernels.ranking_scores(y_true, y_score)
    assert (positives, negatives) == (half, half)
    assert roc_auc == (half - 1) / (2 * half)
    np.testing.assert_allclose(
        precision, ((half - 1) / half) * ((half - 1) / (2 * half - 1)) + 1 / half * 0.5, rtol=1e-15
    )
    tps, fps, _ = kernels.ranking_curve(y_true, y_score)
    assert (tps.tolist(), fps.tolist()) == ([half - 1, half], [half, half])


def test_undefined():
    y_score = np.array([0.5, 0.25])
    for y_true, precision in ((np.zeros(2, dtype=int), np.nan), (np.ones(2, dtype=int), 1.0)):
        roc_auc, average_precision, *_ = kernels.ranking_scores(y_true, y_score)
        assert np.isnan(roc_auc)
        np.testing.assert_equal(average_precision, precision)
    y_true = np.array([0, 1])
    np.testing.assert_equal(kernels.ranking_scores(y_true, y_score, np.zeros(2)), (np.nan, np.nan, 0, 0))
    assert all(len(one) == 0 for one in kernels.ranking_curve(y_true, y_score, np.zeros(2)))


KERNELS = [kernels.ranking_scores, kernels.ranking_curve]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [0, 1500, PIECE + 5])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -np.nan])
def test_the_first_bad_score_is_named(kernel, dtype, row, bad):
    y_score = np.zeros(2 * PIECE, dtype=dtype)
    y_score[row] = bad
    y_score[-1] = np.nan
    for threads in THREAD_COUNTS:
        with pytest.raises(ValueError, match=rf"y_score must be finite, got -?(nan|inf) in row {row}$"):
            kernel(np.zeros(2 * PIECE, dtype=np.int8), y_score, n_threads=threads)


@pytest.mark.parametrize("kernel", KERNELS)
def test_infinity_where_it_is_allowed(kernel):
    y_true, y_score = np.array([1, 0, 1]), np.array([np.inf, -np.inf, np.nan])
    kernel(y_true[:2], y_score[:2], allow_infinity=True)
    with pytest.raises(ValueError, match="y_score must not be NaN, got nan in row 2"):
        kernel(y_true, y_score, allow_infinity=True)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("row", [0, 1500, PIECE + 5])
@pytest.mark.parametrize("bad", [-1, 2, 2**40])
def test_the_first_bad_label_is_named(kernel, row, bad):
    y_true = np.zeros(2 * PIECE, dtype=np.int64)
    y_true[row], y_true[-1] = bad, 7
    for threads in THREAD_COUNTS:
        with pytest.raises(ValueError, match=rf"y_true must hold labels 0 and 1, got {bad} in row {row}$"):
            kernel(y_true, np.zeros(2 * PIECE), n_threads=threads)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf, -5e-324])
def test_the_first_bad_weight_is_named(kernel, bad):
    weight = np.ones(3000)
    weight[2000] = bad
    with pytest.raises(ValueError, match=r"sample_weight must be finite and not negative, got .* in row 2000"):
        kernel(np.zeros(3000, dtype=bool), np.zeros(3000), weight)


LABELS, SCORES = np.array([0, 1, 1]), np.array([0.5, 0.25, 0.75])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((LABELS.tolist(), SCORES), TypeError, "y_true must be a numpy.ndarray, got list"),
        ((LABELS.astype(float), SCORES), TypeError, "y_true must have an integer dtype or bool, got float64"),
        ((LABELS, LABELS), TypeError, "y_score must have dtype float32 or float64, got int64"),
        ((LABELS, SCORES[:2]), ValueError, r"y_score must have shape \(3,\), got \(2,\)"),
        ((LABELS, SCORES[:, None]), ValueError, r"y_score must have 1 dimension\(s\)"),
        ((LABELS[::-1], SCORES), ValueError, "y_true must be C-contiguous"),
        ((LABELS, SCORES[::-1]), ValueError, "y_score must be C-contiguous"),
        ((LABELS, SCORES.astype(">f8")), ValueError, "y_score must be aligned and in native byte order"),
        ((LABELS, SCORES, LABELS), TypeError, "sample_weight must have dtype float32 or float64"),
        ((LABELS, SCORES, SCORES[:2]), ValueError, r"sample_weight must have shape \(3,\)"),
        ((LABELS, SCORES, np.ones(6)[::2]), ValueError, "sample_weight must be C-contiguous"),
    ],
)
def test_bad_arguments(kernel, arguments, error, message):
    with pytest.raises(error, match=message):
        kernel(*arguments)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bad_options(kernel):
    with pytest.raises(TypeError, match="allow_infinity must be True or False, got 1"):
        kernel(LABELS, SCORES, allow_infinity=1)
    for n in (0, 3):
        with pytest.raises(ValueError, match="n_threads"):
            kernel(LABELS[:n], SCORES[:n], n_threads=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_inputs_may_be_read_only_and_are_not_changed(kernel):
    arrays = [np.array([1, 0, 1]), np.array([0.25, 0.5, -0.0]), np.array([1.0, 0.0, 2.0])]
    before = [one.tobytes() for one in arrays]
    for one in arrays:
        one.flags.writeable = False
    kernel(*arrays)
    assert [one.tobytes() for one in arrays] == before
