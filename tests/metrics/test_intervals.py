"""Intervals and the paired test: against direct sums over pairs, exact probabilities, scipy, and by simulation."""

import itertools
import math
import warnings
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasttrain
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from fasttrain.metrics import proportion_interval, roc_auc_interval, roc_auc_score, roc_auc_test
from tests.helpers import THREAD_COUNTS
from tests.metrics.test_ranking import rankings

special = pytest.importorskip("scipy.special", reason="compares with scipy")
stats = pytest.importorskip("scipy.stats", reason="compares with scipy")

Z = 1.959963984540054  # the normal quantile of 0.975
N_SIMULATIONS = 10_000


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def placements(positive, score):
    """Of each positive row the share of negative rows below it, of each negative row that of positive rows above."""
    score = np.asarray(score, dtype=np.float64)
    above, below = score[positive][:, np.newaxis], score[~positive]
    wins = 0.5 * (above > below) + 0.5 * (above >= below)
    return wins.mean(axis=1), wins.mean(axis=0)


def direct_error(v, w, most):
    """DeLong's standard error from placements, with `most` for the variance of one alone."""
    return math.sqrt(sum((np.var(one, ddof=1) if len(one) > 1 else most) / len(one) for one in (v, w)))


def as_positive(y_true):
    """The larger of two labels."""
    flat = np.ravel(np.array(y_true))
    return flat == max(flat.tolist())


# ---- one area --------------------------------------------------------------------------------------------


def test_on_paper():
    """V = (1/2, 1), W = (1, 1/2): the variance is 2 (1/8) / 2."""
    found = roc_auc_interval([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    np.testing.assert_allclose(found, (0.75, 0.75 - Z * math.sqrt(0.125), 1.0, math.sqrt(0.125)), rtol=1e-14)
    logit = roc_auc_interval([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], method="logit")
    odds = [3 * math.exp(sign * Z * math.sqrt(0.125) * 16 / 3) for sign in (-1, 1)]
    np.testing.assert_allclose(logit[1:3], [one / (1 + one) for one in odds], rtol=1e-14)


@settings(max_examples=300, deadline=None)
@given(ranking=rankings(), method=st.sampled_from(["delong", "logit"]), confidence=st.sampled_from([0.5, 0.95, 0.999]))
def test_against_all_pairs(ranking, method, confidence):
    """Labels of every kind, scores of every dtype, tied, -0.0 and subnormal."""
    y_true, y_score, _, _ = ranking
    positive = as_positive(y_true)
    found = quietly(roc_auc_interval, y_true, y_score, method=method, confidence=confidence)
    if positive.all():
        assert np.isnan(found).all()
        return
    v, w = placements(positive, np.ravel(y_score))
    area = v.mean()
    assert found.roc_auc == roc_auc_score(y_true, y_score)
    np.testing.assert_allclose(found.roc_auc, area, rtol=1e-12)
    error = direct_error(v, w, area * (1 - area))
    np.testing.assert_allclose(found.standard_error, error, rtol=1e-12, atol=1e-16)
    if found.standard_error == 0:
        assert found.low == found.high == found.roc_auc
        return
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if method == "delong":
        ends = [max(area - z * error, 0), min(area + z * error, 1)]
    else:
        ends = special.expit(special.logit(area) + np.array([-1, 1]) * z * error / (area * (1 - area)))
    np.testing.assert_allclose(found[1:3], ends, rtol=1e-12, atol=1e-12)
    assert 0 <= found.low <= found.roc_auc <= found.high <= 1


def test_all_small_rankings():
    """Every ranking with ties of up to three positive and three negative rows, in fractions."""
    for n_positive, n_negative in itertools.product((1, 2, 3), repeat=2):
        y_true = np.array([1] * n_positive + [0] * n_negative)
        for scores in itertools.combinations_with_replacement(range(3), n_positive):
            for others in itertools.combinations_with_replacement(range(3), n_negative):
                wins = [[Fraction((s > t) + (s >= t), 2) for t in others] for s in scores]
                v = [sum(row) / n_negative for row in wins]
                w = [sum(column) / n_positive for column in zip(*wins, strict=True)]
                area = sum(v) / n_positive
                variance = Fraction(0)
                for one in (v, w):
                    squares = sum((x - area) ** 2 for x in one)
                    variance += squares / (len(one) - 1) / len(one) if len(one) > 1 else area * (1 - area)
                found = quietly(roc_auc_interval, y_true, np.array([*scores, *others], dtype=np.float32))
                assert found.roc_auc == float(area)
                assert (found.standard_error == 0) == (variance == 0)
                assert found.standard_error**2 == pytest.approx(float(variance), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_each", [200_000, 2_500_000])
def test_millions_of_rows(dtype, n_each):
    """Exact in Python's integers, where products of three counts pass 2^64; the same for any number of threads."""
    rng = np.random.default_rng(0)
    weights = rng.random((2, 21)) + [[0], [0.1]] * np.arange(21)
    counts = (weights / weights.sum(axis=1, keepdims=True) * n_each).astype(int)
    score = np.repeat(np.tile(np.linspace(-1, 1, 21, dtype=dtype), 2), counts.ravel())
    y_true = np.repeat(np.array([0, 1], dtype=np.int8), counts.sum(axis=1))
    negatives, positives = counts.tolist()
    n_negative, n_positive = sum(negatives), sum(positives)
    v = [Fraction(2 * sum(negatives[:k]) + negatives[k], 2 * n_negative) for k in range(21)]
    w = [Fraction(2 * sum(positives[k + 1 :]) + positives[k], 2 * n_positive) for k in range(21)]
    area = sum(n * x for n, x in zip(positives, v, strict=True)) / n_positive
    variance = sum(
        sum(n * (x - area) ** 2 for n, x in zip(rows, places, strict=True)) / (total - 1) / total
        for rows, places, total in ((positives, v, n_positive), (negatives, w, n_negative))
    )
    order = rng.permutation(len(score))
    results = []
    for threads in THREAD_COUNTS:
        with fasttrain.num_threads(threads):
            results.append(roc_auc_interval(y_true[order], score[order]))
    assert results[0] == results[1] == results[2]
    assert results[0].roc_auc == float(area)
    assert results[0].standard_error == pytest.approx(math.sqrt(variance), rel=1e-14)
    if n_each == 200_000:
        other = (-score[::-1])[order]
        found = roc_auc_test(y_true[order], score[order], other)
        assert found.roc_auc_a == float(area)
        assert found.roc_auc_b == roc_auc_score(y_true[order], other)


def test_many_distinct_scores():
    """Over several blocks of distinct scores."""
    rng = np.random.default_rng(3)
    y_true = rng.random(40_000) < 0.005
    score = rng.normal(size=40_000) + y_true
    v, w = placements(y_true, score)
    found = roc_auc_interval(y_true, score)
    assert found.standard_error == pytest.approx(direct_error(v, w, 0), rel=1e-12)
    assert found.roc_auc == pytest.approx(v.mean(), rel=1e-12)


def test_single_rows_of_a_class():
    """One positive row: AUC (1 - AUC) is the most that the variance of a placement can be."""
    found = roc_auc_interval([0, 0, 0, 0, 1], [0.1, 0.2, 0.3, 0.9, 0.5])
    assert found.roc_auc == 0.75
    assert found.standard_error == pytest.approx(math.sqrt(0.75 * 0.25 + 0.75 * 0.25 / 3))
    assert found == roc_auc_interval([1, 1, 1, 1, 0], [-0.1, -0.2, -0.3, -0.9, -0.5])
    with pytest.warns(UserWarning, match="is a point"):
        assert roc_auc_interval([0, 1], [0.1, 0.2]) == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("method", ["delong", "logit"])
def test_separated_classes(method):
    for sign, area in ((1, 1.0), (-1, 0.0)):
        with pytest.warns(UserWarning, match="interval of the ROC AUC is a point"):
            found = roc_auc_interval([0, 0, 1, 1], sign * np.array([1, 2, 3, 4]), method=method)
        assert found == (area, area, area, 0.0)
    with pytest.warns(UserWarning, match="is a point"):
        assert roc_auc_interval([0, 0, 1, 1], np.zeros(4), method=method) == (0.5, 0.5, 0.5, 0.0)


# ---- two areas -------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(ranking=rankings(), data=st.data())
def test_pairs_of_models_against_all_pairs(ranking, data):
    y_true, a, _, _ = ranking
    positive = as_positive(y_true)
    value = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 2.0]), st.floats(-1, 1))
    b = data.draw(st.one_of(st.just(a), st.lists(value, min_size=len(positive), max_size=len(positive))))
    found = quietly(roc_auc_test, y_true, a, b)
    if positive.all():
        assert np.isnan(found).all()
        return
    (v_a, w_a), (v_b, w_b) = placements(positive, np.ravel(a)), placements(positive, np.ravel(b))
    difference = v_a.mean() - v_b.mean()
    assert (found.roc_auc_a, found.roc_auc_b) == (roc_auc_score(y_true, a), roc_auc_score(y_true, b))
    np.testing.assert_allclose(found.difference, difference, rtol=1e-12, atol=1e-15)
    error = direct_error(v_a - v_b, w_a - w_b, 1 - difference**2)
    np.testing.assert_allclose(found.standard_error, error, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        found[1:3], [max(difference - Z * error, -1), min(difference + Z * error, 1)], rtol=1e-12, atol=1e-14
    )
    if found.standard_error > 0:
        np.testing.assert_allclose(found.z, difference / error, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(found.p_value, 2 * stats.norm.sf(abs(found.z)), rtol=1e-12)
    else:
        expected = (0.0, 1.0) if difference == 0 else (math.copysign(math.inf, difference), 0.0)
        assert (found.z, found.p_value) == expected
    # the other way round
    turned = quietly(roc_auc_test, y_true, b, a)
    assert turned[:6] == (-found[0], -found[2], -found[1], found[3], -found[4], found[5])


def test_models_that_rank_alike():
    rng = np.random.default_rng(0)
    y_true, score = rng.integers(0, 2, 50), rng.normal(size=50)
    found = roc_auc_test(y_true, score, np.exp(score))
    assert found[:6] == (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    with pytest.warns(UserWarning, match="z is not finite"):
        found = roc_auc_test([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1])
    assert found == (1.0, 1.0, 1.0, 0.0, math.inf, 0.0, 1.0, 0.0)


def test_a_single_positive_row_of_two_models():
    found = roc_auc_test([0, 0, 1], [1.0, 3.0, 2.0], [3.0, 1.0, 2.0])
    assert found.difference == 0.0
    # W_a - W_b = (1, -1): s^2 = 2
    assert found.standard_error == pytest.approx(math.sqrt(1.0 + 2 / 2))
    assert (found.low, found.high, found.p_value) == (-1.0, 1.0, 1.0)


# ---- coverage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "shift", "method"),
    [(100, 100, 1.0, "delong"), (60, 60, 1.0, "logit"), (40, 160, 1.0, "logit")],
)
def test_coverage_of_areas(n_positive, n_negative, shift, method):
    """Normal scores, one apart: the true area is Phi(shift / sqrt(2))."""
    rng = np.random.default_rng(0)
    y_true = np.repeat([1, 0], [n_positive, n_negative])
    scores = rng.normal(size=(N_SIMULATIONS, n_positive + n_negative)) + shift * y_true
    area = NormalDist().cdf(shift / math.sqrt(2))
    held = 0
    for score in scores:
        _, low, high, _ = roc_auc_interval(y_true, score, method=method)
        held += low <= area <= high
    assert 0.935 <= held / N_SIMULATIONS <= 0.965


def test_false_positives_of_the_paired_test():
    """Two equally good models whose errors are correlated: 5 % of p-values are below 0.05."""
    rng = np.random.default_rng(0)
    y_true = np.repeat([1, 0], [50, 70])
    common = rng.normal(size=(N_SIMULATIONS, 120)) + y_true
    rejected = held = 0
    for one in common:
        a, b = one + 0.7 * rng.normal(size=(2, 120))
        found = roc_auc_test(y_true, a, b)
        rejected += found.p_value < 0.05
        held += found.low <= 0 <= found.high
    assert 0.035 <= rejected / N_SIMULATIONS <= 0.065
    assert held == N_SIMULATIONS - rejected


@pytest.mark.parametrize(("n", "p"), [(60, 0.5), (100, 0.2), (200, 0.1), (500, 0.9)])
def test_coverage_of_proportions(n, p):
    """Exactly, by adding the probabilities of the counts whose interval holds p; and by simulation."""
    every = np.arange(n + 1)
    probability = stats.binom.pmf(every, n, p)
    counts = np.random.default_rng(0).binomial(n, p, N_SIMULATIONS)
    for method, least, most in (("wilson", 0.935, 0.965), ("clopper-pearson", 0.95, 1.0)):
        _, low, high = proportion_interval(every, n, method=method)
        holds = (low <= p) & (p <= high)
        assert least <= probability[holds].sum() <= most
        assert least <= holds[counts].mean() <= most


@pytest.mark.parametrize("n", [1, 2, 7, 30, 200])
def test_clopper_pearson_covers_every_proportion(n):
    p = np.linspace(0.001, 0.999, 333)[:, np.newaxis]
    every = np.arange(n + 1)
    for confidence in (0.8, 0.95, 0.99):
        _, low, high = proportion_interval(every, n, confidence=confidence, method="clopper-pearson")
        coverage = (stats.binom.pmf(every, n, p) * ((low <= p) & (p <= high))).sum(axis=1)
        assert (coverage >= confidence - 1e-12).all()
    # Wilson's holds so much on average over proportions alone
    _, low, high = proportion_interval(every, n)
    coverage = (stats.binom.pmf(every, n, p) * ((low <= p) & (p <= high))).sum(axis=1)
    assert coverage.min() < 0.95
    assert n < 30 or 0.945 < coverage.mean() < 0.96


# ---- proportions -----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(data=st.data(), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_proportions_against_scipy(data, confidence):
    n = data.draw(st.one_of(st.integers(1, 30), st.integers(1, 10**9)))
    x = data.draw(st.one_of(st.integers(0, n), st.integers(0, min(n, 5)), st.integers(max(n - 5, 0), n)))
    found = proportion_interval(x, n, confidence=confidence)
    assert found.proportion == x / n
    np.testing.assert_allclose(
        found[1:], stats.binomtest(x, n).proportion_ci(confidence, method="wilson"), rtol=1e-12, atol=1e-16
    )
    _, low, high = proportion_interval(x, n, confidence=confidence, method="clopper-pearson")
    tail = (1 - confidence) / 2
    if x:
        assert low == pytest.approx(stats.beta.ppf(tail, x, n - x + 1), rel=1e-11)
    if x < n:
        assert high == pytest.approx(stats.beta.isf(tail, x + 1, n - x), rel=1e-11)
    for one in (found, proportion_interval(x, n, confidence=confidence, method="clopper-pearson")):
        assert 0 <= one.low <= one.proportion <= one.high <= 1
        assert (one.low == 0) == (x == 0)
        assert (one.high == 1) == (x == n)


def test_ends_of_proportions():
    """All or nothing: Clopper-Pearson's other end is (alpha / 2)^(1 / n), the rule of three's elder sister."""
    for n in (1, 10, 10**6, 10**9):
        _, low, high = proportion_interval([0, n], n, method="clopper-pearson")
        np.testing.assert_allclose(low, [0, 0.025 ** (1 / n)], rtol=1e-14)
        np.testing.assert_allclose(high, [-math.expm1(math.log(0.025) / n), 1], rtol=1e-14)
        _, low, high = proportion_interval([0, n], n)
        np.testing.assert_allclose(low, [0, n / (n + Z * Z)], rtol=1e-14)
        np.testing.assert_allclose(high, [Z * Z / (n + Z * Z), 1], rtol=1e-14)


@pytest.mark.parametrize("method", ["wilson", "clopper-pearson"])
def test_shapes_of_proportions(method):
    found = proportion_interval([[1], [0]], np.array([4, 5], dtype=np.uint8), method=method)
    assert all(one.shape == (2, 2) for one in found)
    one = proportion_interval(1, 5.0, method=method)
    assert all(type(value) is float for value in one)
    assert one == tuple(value[0, 1] for value in found)
    assert [value.shape for value in proportion_interval([], 3, method=method)] == [(0,)] * 3
    nothing = proportion_interval([0, 2], [0, 3], method=method)
    assert np.isnan(nothing.proportion[0])
    assert (nothing.low[0], nothing.high[0]) == (0.0, 1.0)
    assert 0 < nothing.low[1] < 2 / 3 < nothing.high[1] < 1


# ---- what is refused -------------------------------------------------------------------------------------

GOOD = np.array([0.1, 0.4, 0.35, 0.8])


@pytest.mark.parametrize("function", [roc_auc_interval, lambda y, s, **k: roc_auc_test(y, GOOD[: len(s)], s, **k)])
def test_bad_rankings(function):
    name = "y_score" if function is roc_auc_interval else "y_score_b"
    y_true = np.array([0, 1, 1, 0])
    for confidence in (0, 1, 95, -0.5, np.nan, "a", None):
        with pytest.raises(InvalidParameterError, match="confidence must be a number between 0 and 1"):
            function(y_true, GOOD, confidence=confidence)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=rf"{name} must be finite, got {bad} in row 2"):
            function(y_true, np.array([0.1, 0.2, bad, 0.3]))
    with pytest.raises(ValueError, match="same number of rows"):
        function(y_true[:3], GOOD)
    with pytest.raises(ValueError, match="at least one row"):
        function(y_true[:0], GOOD[:0])
    with pytest.raises(ValueError, match="y_true must hold two classes, got a multiclass target"):
        function(np.array([0, 1, 2, 1]), GOOD)
    with pytest.raises(ValueError, match="y_true must hold two classes, got a multilabel-indicator target"):
        function(np.array([[0, 1]] * 4), GOOD)
    with pytest.raises(ValueError, match=rf"{name} must hold numbers"):
        function(y_true, np.array(["a", "b", "c", "d"]))
    with pytest.raises(ValueError, match=rf"{name} must have one column"):
        function(y_true, np.ones((4, 2)))
    with pytest.raises(InvalidParameterError, match=rf"{name} must be an array"):
        function(y_true, "abcd")
    with pytest.warns(UndefinedMetricWarning, match="one class only"):
        assert np.isnan(function([1, 1, 1, 1], GOOD)).all()
    # lists, strings and -1 are as good as arrays of 0 and 1
    expected = function(y_true, GOOD)
    assert function(["a", "b", "b", "a"], GOOD.tolist()) == expected
    assert function(2 * y_true - 1, GOOD[:, np.newaxis]) == expected


@pytest.mark.parametrize("name", ["pandas", "polars", "torch"])
def test_columns_of_other_libraries(name):
    library = pytest.importorskip(name, reason=f"compares with {name}")
    make = library.tensor if name == "torch" else library.Series
    y_true, other = [0, 1, 1, 0, 1], [0.25, 0.5, 0.75, 1.0, 0.125]
    score = [0.5, 0.75, 0.25, 0.125, 1.0]
    assert roc_auc_interval(make(y_true), make(score)) == roc_auc_interval(y_true, score)
    assert roc_auc_test(make(y_true), make(score), make(other)) == roc_auc_test(y_true, score, other)
    np.testing.assert_array_equal(proportion_interval(make([1, 2]), make([3, 4])), proportion_interval([1, 2], [3, 4]))


def test_bad_options_and_counts():
    with pytest.raises(InvalidParameterError, match="method must be one of 'delong', 'logit', got 'bca'"):
        roc_auc_interval([0, 1], [0.1, 0.2], method="bca")
    with pytest.raises(InvalidParameterError, match="method must be one of 'wilson', 'clopper-pearson'"):
        proportion_interval(1, 2, method="wald")
    for bad in (-1, 0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match="successes must hold counts"):
            proportion_interval(bad, 2)
        with pytest.raises(ValueError, match="n_trials must hold counts"):
            proportion_interval(0, [bad])
    for bad in ("a", None, True, 1j):
        with pytest.raises(InvalidParameterError, match="successes must hold counts"):
            proportion_interval(bad, 2)
    with pytest.raises(ValueError, match="must not be more than n_trials, got 3 of 2"):
        proportion_interval([1, 3], 2)
    with pytest.raises(ValueError, match=r"must broadcast, got shapes \(2,\) and \(3,\)"):
        proportion_interval([1, 2], [3, 4, 5])
    with pytest.raises(InvalidParameterError, match="confidence"):
        proportion_interval(1, 2, confidence=1.5)
