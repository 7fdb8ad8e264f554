"""DCG, NDCG and label ranking average precision against scikit-learn and against a loop over rows."""
import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError
from tests.metrics.compare import assert_same

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

NAMES = ["dcg_score", "ndcg_score", "label_ranking_average_precision_score"]
DTYPES = [np.int64, np.uint8, np.float32, np.float64]


def arrangements(array, form):
    """The same matrix laid out in another way."""
    if form == "list":
        return array.tolist()
    if form == "fortran":
        return np.asfortranarray(array)
    if form == "strided":
        return np.repeat(array, 2, axis=1)[:, ::2]
    return array


@st.composite
def rankings(draw, grades, ties=True):
    n, m = draw(st.integers(1, 5)), draw(st.integers(2, 7))
    y_true = np.array(draw(st.lists(grades, min_size=n * m, max_size=n * m))).reshape(n, m)
    if ties:
        some = st.one_of(st.sampled_from([0.0, -0.0, 0.5, 0.25, 2.0**-149]), st.floats(-10, 10, width=32))
        y_score = np.array(draw(st.lists(some, min_size=n * m, max_size=n * m))).reshape(n, m)
    else:
        y_score = np.array([draw(st.permutations(range(m))) for _ in range(n)], dtype=float) - m / 2
    y_score = y_score.astype(draw(st.sampled_from([np.float32, np.float64])))
    weight = draw(st.none() | st.lists(st.sampled_from([0.0, 1.0, 0.3, 1e8, 1e-8]), min_size=n, max_size=n))
    form = draw(st.sampled_from(["as it is", "list", "fortran", "strided"]))
    return arrangements(y_true, form), arrangements(y_score, form), weight if weight and any(weight) else None


def plain_dcg(y_true, y_score, k, log_base):
    """With equal scores in their order from the last column on."""
    total = 0.0
    order = sorted(range(len(y_true)), key=lambda column: (y_score[column], column), reverse=True)
    for rank, column in enumerate(order[:k], start=1):
        total += y_true[column] * math.log(log_base) / math.log(rank + 1)
    return total


@settings(max_examples=300, deadline=None)
@given(
    case=rankings(st.one_of(st.integers(0, 4), st.floats(0, 8))),
    k=st.sampled_from([None, None, 1, 2, 3, 9]),
    log_base=st.sampled_from([2, 2.0, 10, 0.5]),
)
def test_gains_with_ties(case, k, log_base):
    y_true, y_score, weight = case
    assert_same(metrics.ndcg_score, peer.ndcg_score, y_true, y_score, k=k, sample_weight=weight)
    assert_same(metrics.dcg_score, peer.dcg_score, y_true, y_score, k=k, log_base=log_base, sample_weight=weight)


@settings(max_examples=200, deadline=None)
@given(case=rankings(st.integers(-3, 3), ties=False), k=st.sampled_from([None, 1, 2, 9]))
def test_gains_without_ties(case, k):
    y_true, y_score, weight = case
    assert_same(metrics.dcg_score, peer.dcg_score, y_true, y_score, k=k, sample_weight=weight, ignore_ties=True)
    y_true = np.abs(y_true)
    assert_same(metrics.ndcg_score, peer.ndcg_score, y_true, y_score, k=k, sample_weight=weight, ignore_ties=True)


@settings(max_examples=300, deadline=None)
@given(case=rankings(st.integers(0, 4)), k=st.sampled_from([None, 1, 2, 3, 9]))
def test_ignored_ties_put_the_later_column_first(case, k):
    """Where scikit-learn's order is its sort's."""
    y_true, y_score, weight = case
    rows = [plain_dcg(true, score, k, 2) for true, score in zip(np.asarray(y_true), np.asarray(y_score), strict=True)]
    actual = metrics.dcg_score(y_true, y_score, k=k, sample_weight=weight, ignore_ties=True)
    np.testing.assert_allclose(actual, np.average(rows, weights=weight), rtol=1e-12, atol=1e-15)


def test_ties_are_the_mean_over_all_orders():
    rng = np.random.default_rng(0)
    y_true, y_score = rng.random((1, 6)), np.array([[1.0, 2.0, 2.0, 2.0, 0.0, 0.0]])
    # random distances too small to move other scores: many orders, each as likely
    orders = [
        plain_dcg(y_true[0], y_score[0] + 1e-3 * jitter, 3, 2)
        for jitter in np.array([rng.permutation(6) for _ in range(20_000)])
    ]
    error = np.std(orders) / math.sqrt(len(orders))
    assert abs(metrics.dcg_score(y_true, y_score, k=3) - np.mean(orders)) < 4 * error


@pytest.mark.parametrize(
    ("dtype", "score_dtype"),
    [
        (np.int64, np.float64), (np.float32, np.float32), (np.float64, np.int8), (np.uint8, np.float16),
        (np.int64, np.int64),
    ],
)  # fmt: skip
def test_many_rows(dtype, score_dtype):
    """Across pieces of rows, and of one row that is longer than a piece."""
    rng = np.random.default_rng(1)
    for shape in ((3000, 40), (2, 70_000)):
        y_true = rng.integers(0, 4, shape).astype(dtype)
        y_score = rng.integers(-60, 60, shape).astype(score_dtype)  # with ties across rank 10 in some rows
        for k in (None, 10):
            assert_same(metrics.ndcg_score, peer.ndcg_score, y_true, y_score, k=k)
        relevant = y_true > 2
        assert_same(
            metrics.label_ranking_average_precision_score, peer.label_ranking_average_precision_score,
            relevant.astype(dtype), y_score.astype(np.float64),
        )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(case=rankings(st.integers(0, 1)), dtype=st.sampled_from([*DTYPES, bool]))
def test_label_ranking(case, dtype):
    y_true, y_score, weight = case
    if not isinstance(y_true, list):
        y_true = y_true.astype(dtype)
    weight = None if weight is None else np.array(weight)
    assert_same(
        metrics.label_ranking_average_precision_score, peer.label_ranking_average_precision_score,
        y_true, y_score, sample_weight=weight,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, bool, object, ">f4"])
def test_scores_of_any_dtype(name, dtype):
    rng = np.random.default_rng(2)
    y_true = rng.integers(0, 2, (5, 6))
    y_score = rng.integers(0, 2 if dtype is bool else 200, (5, 6))
    actual = getattr(metrics, name)(y_true, y_score.astype(dtype))
    np.testing.assert_allclose(actual, getattr(peer, name)(y_true, y_score), rtol=1e-12)
    actual = getattr(metrics, name)(y_true.astype(dtype), y_score)
    np.testing.assert_allclose(actual, getattr(peer, name)(y_true, y_score), rtol=1e-12)


def test_one_label():
    for y_true in ([[0], [1]], [[1], [1]]):
        assert_same(
            metrics.label_ranking_average_precision_score, peer.label_ranking_average_precision_score,
            np.array(y_true), np.array([[0.5], [0.25]]),
        )  # fmt: skip


def test_log_base_one():
    """Every discount is 0."""
    with np.errstate(divide="ignore"):
        assert peer.dcg_score([[1, 2]], [[1.0, 2.0]], log_base=1) == 0.0
    assert metrics.dcg_score([[1, 2]], [[1.0, 2.0]], log_base=1) == 0.0


GRADES = np.array([[0, 1, 1], [1, 0, 0]])
SCORES = np.array([[0.5, 0.25, 0.75], [0.1, 0.2, 0.3]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("y_true", "y_score", "weight"),
    [
        (GRADES, SCORES[:1], None),
        (GRADES, np.where(SCORES > 0.7, np.nan, SCORES), None),
        (GRADES, np.where(SCORES > 0.7, np.inf, SCORES), None),
        (np.where(GRADES > 0, np.nan, 0.0), SCORES, None),
        (np.where(GRADES > 0, np.inf, 0.0), SCORES, None),
        (GRADES[0], SCORES[0], None),
        (GRADES[:0], SCORES[:0], None),
        (GRADES[:, :, np.newaxis], SCORES[:, :, np.newaxis], None),
        (np.array([["a", "b", "c"], ["a", "b", "c"]]), SCORES, None),
        (GRADES, np.array([["a", "b", "c"], ["a", "b", "c"]]), None),
        (GRADES + 0.5j, SCORES, None),
        (3, SCORES, None),
        (GRADES, None, None),
        (GRADES, SCORES, 2.0),
        (GRADES, SCORES, [1.0, 2.0, 3.0]),
    ],
)  # fmt: skip
def test_what_both_refuse(name, y_true, y_score, weight):
    with pytest.raises((TypeError, ValueError)):
        getattr(peer, name)(y_true, y_score, sample_weight=weight)
    assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_score, sample_weight=weight)


def test_bad_options():
    for name, options in (
        ("ndcg_score", {"k": 0}), ("ndcg_score", {"k": 1.5}), ("ndcg_score", {"ignore_ties": 1}),
        ("dcg_score", {"k": -1}), ("dcg_score", {"log_base": 0}), ("dcg_score", {"log_base": "2"}),
    ):  # fmt: skip
        assert_same(getattr(metrics, name), getattr(peer, name), GRADES, SCORES, **options)
        with pytest.raises(InvalidParameterError, match=next(iter(options))):
            getattr(metrics, name)(GRADES, SCORES, **options)
    for y_true, message in ((GRADES - 1, "negative relevance, got -1"), (GRADES[:, :1], "two documents or more")):
        assert_same(metrics.ndcg_score, peer.ndcg_score, y_true, SCORES[:, : y_true.shape[1]])
        with pytest.raises(ValueError, match=message):
            metrics.ndcg_score(y_true, SCORES[:, : y_true.shape[1]])
    assert_same(metrics.dcg_score, peer.dcg_score, GRADES[:, :1], SCORES[:, :1])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused_here(name):
    function = getattr(metrics, name)
    with pytest.raises(ValueError, match=r"same shape, got \(2, 3\) and \(2, 2\)"):
        function(GRADES, SCORES[:, :2])
    with pytest.raises(ValueError, match="sample_weight must be finite and not negative"):
        function(GRADES, SCORES, sample_weight=[1.0, -1.0])
    with pytest.raises(ValueError, match="sample_weight must not be zero in every row"):
        function(GRADES, SCORES, sample_weight=[0.0, 0.0])
    with pytest.raises(ValueError, match="y_score must be finite, got nan in row 1, column 0"):
        function(GRADES, np.array([[1.0, 2.0, 3.0], [np.nan, 1.0, 2.0]]))
    if name.startswith("label"):
        with pytest.raises(ValueError, match="indicators 0 and 1 alone, got -1"):
            function(2 * GRADES - 1, SCORES)


def test_signatures():
    for name in NAMES:
        ours, theirs = (inspect.signature(getattr(module, name)) for module in (metrics, peer))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in theirs.parameters.values()
        ]
