"""Thresholds of a binary score, against scikit-learn, SciPy and a plain loop over all thresholds."""
import inspect
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasttrain
from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from tests.helpers import THREAD_COUNTS
from tests.metrics.compare import assert_same
from tests.metrics.test_ranking import ALPHABETS, GOOD, ONES, rankings

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

OURS = ["best_threshold", "gain_curve", "ks_statistic", "lift_curve"]
# without the alphabets for which pos_label has to be told
PLAIN = [alphabet for alphabet in ALPHABETS if set(alphabet) <= {0, 1} or set(alphabet) == {-1, 1}]


@settings(max_examples=300, deadline=None)
@given(ranking=rankings([*ALPHABETS, [0, 1, 2], ["a", "b", "c"]]), data=st.data())
def test_confusion_matrix_at_thresholds(ranking, data):
    y_true, y_score, weight, alphabet = ranking
    pos_label = data.draw(st.sampled_from([None, None, 1, alphabet[-1], alphabet[0]]))
    assert_same(
        metrics.confusion_matrix_at_thresholds, peer.confusion_matrix_at_thresholds, y_true, y_score,
        pos_label=pos_label, sample_weight=weight,
    )  # fmt: skip


def test_counts_are_floats_as_those_of_scikit_learn():
    for one, other in zip(
        metrics.confusion_matrix_at_thresholds(ONES, GOOD), peer.confusion_matrix_at_thresholds(ONES, GOOD), strict=True
    ):
        assert one.dtype == other.dtype


def counted(y_true, y_score, weight, threshold):
    """(tn, fp, fn, tp), by a loop over the rows."""
    counts = [0.0, 0.0, 0.0, 0.0]
    for label, score, its_weight in zip(y_true, y_score, weight, strict=True):
        counts[2 * (label == 1) + (score >= threshold)] += its_weight
    return counts


def rescaled(counts, prevalence):
    tn, fp, fn, tp = counts
    if prevalence is None:
        return counts
    negative, positive = (1 - prevalence) / (tn + fp), prevalence / (fn + tp)
    return [tn * negative, fp * negative, fn * positive, tp * positive]


def fbeta(beta):
    return lambda tn, fp, fn, tp: (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp)


def youden(tn, fp, fn, tp):
    return tp / (tp + fn) - fp / (fp + tn)


def recall(tn, fp, fn, tp):
    return tp / (tp + fn)


def cost(cost_fp, cost_fn, cost_tp, cost_tn):
    return lambda tn, fp, fn, tp: -(cost_fp * fp + cost_fn * fn + cost_tp * tp + cost_tn * tn) / (tn + fp + fn + tp)


OBJECTIVES = [
    ({}, fbeta(1)), ({"beta": 2}, fbeta(2)), ({"beta": 0.3}, fbeta(0.3)),
    ({"beta": math.inf}, recall), ({"beta": 1e60}, recall),
    ({"objective": "youden"}, youden),
    ({"objective": "cost"}, cost(1, 1, 0, 0)),
    ({"objective": "cost", "cost_fp": 5.0, "cost_fn": 0.7}, cost(5.0, 0.7, 0, 0)),
    ({"objective": "cost", "cost_fp": 3, "cost_fn": 2, "cost_tp": -4, "cost_tn": 1}, cost(3, 2, -4, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("options", "objective"), OBJECTIVES)
@settings(max_examples=150, deadline=None)
@given(ranking=rankings(PLAIN), prevalence=st.sampled_from([None, None, 0.5, 0.01, 0.9]))
def test_best_threshold(options, objective, ranking, prevalence):
    """Against the objective by a loop over the thresholds."""
    y_true, y_score, weight, _ = ranking
    labels, scores = np.ravel(y_true).tolist(), np.ravel(y_score).tolist()
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    there = {label == 1 for label, its_weight in zip(labels, weights, strict=True) if its_weight}
    if there != {False, True}:
        return  # cases of their own below
    thresholds = [math.inf, *sorted({s for s, w in zip(scores, weights, strict=True) if w}, reverse=True)]
    values = [objective(*rescaled(counted(labels, scores, weights, t), prevalence)) for t in thresholds]
    threshold, value = metrics.best_threshold(
        y_true, y_score, sample_weight=weight, prevalence=prevalence, **options
    )
    sign = -1.0 if options.get("objective") == "cost" else 1.0
    np.testing.assert_allclose(sign * value, max(values), rtol=1e-12, atol=1e-12)
    reached = values[thresholds.index(threshold)]
    np.testing.assert_allclose(reached, max(values), rtol=1e-12, atol=1e-12)
    assert math.copysign(1.0, value) == 1.0 or value < 0
    if weight is None and prevalence is None and "beta" not in options:
        # in integers ties are exact: of those within rounding of the best the highest
        assert threshold == next(t for t, v in zip(thresholds, values, strict=True) if v > max(values) - 1e-12)


@settings(max_examples=150, deadline=None)
@given(ranking=rankings(PLAIN))
def test_best_f1_against_the_curve(ranking):
    y_true, y_score, weight, _ = ranking
    weights = np.ones(len(y_score)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not weights[np.ravel(y_true) == 1].any():
        return
    precision, recall, thresholds = peer.precision_recall_curve(y_true, np.ravel(y_score), sample_weight=weight)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    threshold, value = metrics.best_threshold(y_true, y_score, sample_weight=weight)
    np.testing.assert_allclose(value, f1.max(), rtol=1e-12)
    predicted = np.ravel(y_score) >= threshold
    positive = np.ravel(y_true) == 1
    np.testing.assert_allclose(peer.f1_score(positive, predicted, sample_weight=weight), value, rtol=1e-12)
    assert threshold in thresholds


@settings(max_examples=100, deadline=None)
@given(ranking=rankings(PLAIN))
def test_a_function_of_the_counts(ranking):
    """Gets what the counts at the thresholds are, after infinity."""
    y_true, y_score, weight, _ = ranking
    if weight is not None and not np.any(weight):
        return
    given_counts = []

    def agreement(*counts):
        given_counts.extend(counts)
        return counts[0] + counts[3]

    threshold, value = metrics.best_threshold(y_true, y_score, objective=agreement, sample_weight=weight)
    *counts, thresholds = metrics.confusion_matrix_at_thresholds(y_true, y_score, sample_weight=weight)
    for actual, expected in zip(given_counts, counts, strict=True):
        np.testing.assert_array_equal(actual[1:], expected)
        assert actual.dtype == np.float64
    sums = np.concatenate([[counts[0][-1] + counts[1][-1]], counts[0] + counts[3]])
    assert value == sums.max()
    assert threshold == [np.inf, *thresholds][int(np.argmax(sums))]
    # fewest errors: the same as the costs by default
    np.testing.assert_allclose(
        metrics.best_threshold(y_true, y_score, objective="cost", sample_weight=weight)[1],
        1.0 - value / sum(one[-1] for one in counts), rtol=0, atol=1e-12,
    )  # fmt: skip


def test_ties_go_to_the_highest_threshold():
    # 1/2, 2/4 and 3/6: the same precision at each
    y_true, y_score = [1, 0, 1, 0, 1, 0], [6, 6, 5, 5, 4, 4]
    assert metrics.best_threshold(y_true, y_score, objective="cost") == (math.inf, 0.5)
    assert metrics.best_threshold(y_true, y_score, objective="youden") == (math.inf, 0.0)
    assert metrics.best_threshold(y_true, y_score, beta=0.0) == (6.0, 0.5)
    assert metrics.ks_statistic(y_true, y_score) == (0.0, math.inf)
    # the same J of a third by sums that differ in floats
    y_true, y_score = [1, 0, 1, 0, 1, 0], [6, 5, 4, 3, 2, 1]
    threshold, value = metrics.best_threshold(y_true, y_score, objective="youden")
    assert threshold == 6.0
    assert value == 1 / 3


def test_scores_that_rank_the_wrong_way_round():
    y_true, y_score = [0, 0, 1, 1], [4.0, 3.0, 2.0, 1.0]
    assert metrics.best_threshold(y_true, y_score, objective="youden") == (math.inf, 0.0)
    assert metrics.ks_statistic(y_true, y_score) == (1.0, 3.0)


def test_one_class_only():
    for name in ("best_threshold", "ks_statistic"):
        for label in (0, 1):
            options = {"objective": "youden"} if name == "best_threshold" else {}
            with pytest.warns(UndefinedMetricWarning, match="not defined"):
                assert np.isnan(getattr(metrics, name)([label, label], [0.5, 0.25], **options)).all()
    with pytest.warns(UndefinedMetricWarning, match="F-beta"):
        assert metrics.best_threshold([0, 0], [0.5, 0.25]) == (math.inf, 0.0)
    assert metrics.best_threshold([1, 1], [0.5, 0.25]) == (0.25, 1.0)
    assert metrics.best_threshold([0, 0], [0.5, 0.25], objective="cost") == (math.inf, 0.0)
    assert metrics.best_threshold([1, 1], [0.5, 0.25], objective="cost") == (0.25, 0.0)
    with pytest.raises(ValueError, match="both classes"):
        metrics.best_threshold([1, 1], [0.5, 0.25], prevalence=0.5)
    with pytest.warns(UndefinedMetricWarning, match="positive"):
        assert np.isnan(metrics.gain_curve([0, 0], [0.5, 0.25])[1]).all()
    with pytest.warns(UndefinedMetricWarning, match="positive"):
        assert np.isnan(metrics.lift_curve([0, 0], [0.5, 0.25])[1]).all()


@settings(max_examples=300, deadline=None)
@given(ranking=rankings(PLAIN))
def test_ks_against_scipy(ranking):
    stats = pytest.importorskip("scipy.stats", reason="compares with SciPy")
    y_true, y_score, _, _ = ranking
    score, positive = np.ravel(y_score), np.ravel(y_true) == 1
    if positive.all() or not positive.any():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the p-value
        expected = stats.ks_2samp(score[positive], score[~positive], method="asymp")
    statistic, threshold = metrics.ks_statistic(y_true, y_score)
    np.testing.assert_allclose(statistic, expected.statistic, rtol=1e-12, atol=1e-15)
    if statistic:
        at = abs(np.mean(score[positive] >= threshold) - np.mean(score[~positive] >= threshold))
        np.testing.assert_allclose(at, statistic, rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(ranking=rankings(PLAIN))
def test_gain_lift_and_weighted_ks_against_a_loop(ranking):
    y_true, y_score, weight, _ = ranking
    labels, scores = np.ravel(y_true).tolist(), np.ravel(y_score).tolist()
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not weights[np.array(labels) == 1].any():
        return
    thresholds = [math.inf, *sorted({s for s, w in zip(scores, weights, strict=True) if w}, reverse=True)]
    counts = np.array([counted(labels, scores, weights, t) for t in thresholds]).T
    targeted = (counts[1] + counts[3]) / counts[:, 0].sum()
    captured = counts[3] / counts[3][-1]
    for actual, expected in zip(
        metrics.gain_curve(y_true, y_score, sample_weight=weight), (targeted, captured, thresholds), strict=True
    ):
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=1e-12)
    lift = captured[1:] / targeted[1:]
    for actual, expected in zip(
        metrics.lift_curve(y_true, y_score, sample_weight=weight), (targeted[1:], lift, thresholds[1:]), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-12)
    if counts[1][-1]:
        statistic, threshold = metrics.ks_statistic(y_true, y_score, sample_weight=weight)
        distances = np.abs(captured - counts[1] / counts[1][-1])
        np.testing.assert_allclose(statistic, distances.max(), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(distances[thresholds.index(threshold)], statistic, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
def test_many_rows_and_threads(weighted):
    rng = np.random.default_rng(1)
    n = 300_000
    y_true = (rng.random(n) < 0.1).astype(np.int64)
    y_score = (rng.normal(size=n) + y_true).astype(np.float32)
    weight = rng.exponential(size=n) if weighted else None
    results = []
    for threads in THREAD_COUNTS:
        with fasttrain.num_threads(threads):
            results.append(
                [metrics.best_threshold(y_true, y_score, objective=o, sample_weight=weight) for o in ("fbeta", "cost")]
                + [metrics.ks_statistic(y_true, y_score, sample_weight=weight)]
            )
    assert results[1] == results[2] == results[0]
    fpr, tpr, thresholds = peer.roc_curve(y_true, y_score, sample_weight=weight, drop_intermediate=False)
    best = int(np.argmax(tpr - fpr))
    statistic, threshold = results[0][-1]
    np.testing.assert_allclose(statistic, (tpr - fpr)[best], rtol=1e-12)
    assert threshold == thresholds[best]
    # a float32 score reaches its threshold
    assert np.count_nonzero(y_score == threshold) == 1


@pytest.mark.parametrize("name", OURS)
def test_labels_of_any_kind(name):
    function = getattr(metrics, name)
    expected = function(ONES, GOOD)
    for labels, pos_label in (
        (np.array(["n", "y"])[ONES], "y"), (ONES == 1, True), (ONES == 1, None), (2 * ONES - 1, None),
        (ONES.astype(np.uint8), 1), (3 + ONES, 4), (ONES.astype(float), None), (ONES.tolist(), None),
    ):  # fmt: skip
        for one, other in zip(function(labels, GOOD, pos_label=pos_label), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="pos_label must be given"):
        function(np.array(["n", "y"])[ONES], GOOD)


@pytest.mark.parametrize("name", [*OURS, "confusion_matrix_at_thresholds"])
@pytest.mark.parametrize(
    ("y_true", "y_score", "weight"),
    [
        (ONES, GOOD[:3], None),
        (ONES, np.array([0.1, np.nan, 0.3, 0.2]), None),
        (ONES, np.array([0.1, np.inf, 0.3, 0.2]), None),
        (ONES, GOOD, [1.0, np.nan, 1.0, 1.0]),
        (ONES, GOOD, [0.0, 0.0, 0.0, 0.0]),
        (ONES, GOOD, [1.0, 1.0, 1.0]),
        (ONES, np.stack([GOOD, GOOD], axis=1), None),
        (np.array([0, 1, 2, 1]), GOOD, None),
        (3, GOOD, None),
        (ONES, GOOD, 2.0),
    ],
)  # fmt: skip
def test_what_both_refuse(name, y_true, y_score, weight):
    """What scikit-learn refuses where it counts at thresholds, all refuse."""
    assert_same(
        getattr(metrics, name), peer.confusion_matrix_at_thresholds, y_true, y_score, sample_weight=weight
    )  # fmt: skip
    with pytest.raises((TypeError, ValueError)):
        getattr(metrics, name)(y_true, y_score, sample_weight=weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "f1"}, "objective must be one of 'fbeta', 'youden', 'cost', got 'f1'"),
        ({"objective": 3}, "objective must be one of"),
        ({"beta": -1.0}, "beta must be a number of at least 0, got -1.0"),
        ({"beta": math.nan}, "beta must be"),
        ({"objective": "cost", "cost_fp": math.inf}, "cost_fp must be a finite number, got inf"),
        ({"objective": "cost", "cost_tn": "1"}, "cost_tn must be a finite number, got '1'"),
        ({"prevalence": 0}, "prevalence must lie between 0 and 1, got 0"),
        ({"prevalence": 1.0}, "prevalence must lie between 0 and 1"),
        ({"pos_label": [1]}, "pos_label"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        metrics.best_threshold(ONES, GOOD, **options)


def test_bad_objectives():
    with pytest.raises(ValueError, match=r"objective must return an array of shape \(5,\), got \(\)"):
        metrics.best_threshold(ONES, GOOD, objective=lambda tn, fp, fn, tp: 1.0)
    with pytest.warns(UndefinedMetricWarning, match="objective is not defined"):
        assert np.isnan(metrics.best_threshold(ONES, GOOD, objective=lambda *counts: counts[0] * np.nan)).all()
    with np.errstate(invalid="ignore"):  # a precision at infinity is 0 / 0, and passed over
        assert metrics.best_threshold(ONES, GOOD, objective=lambda tn, fp, fn, tp: tp / (tp + fp)) == (0.35, 2 / 3)


def test_signature():
    ours, theirs = (
        inspect.signature(module.confusion_matrix_at_thresholds).parameters.values() for module in (metrics, peer)
    )
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]
