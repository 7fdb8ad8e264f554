"""Reliability curve against scikit-learn, calibration error against a plain loop over rows."""
import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError
from tests.metrics.compare import assert_equal, assert_same

peer = pytest.importorskip("sklearn.calibration", reason="compares with scikit-learn")

ALPHABETS = [[0, 1], [0, 1], [-1, 1], [0], [1], [2, 5], ["a", "b"], [False, True], [0.0, 1.0], [0, 1, 2]]
# edges of bins, and their neighbours
PROBABILITIES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 0.5, 0.2, 0.4, 0.6000000000000001, 0.6, 0.8, 0.1, 0.3, 2.0**-1074]),
    st.integers(0, 15).map(lambda k: k / 15),
    st.integers(0, 15).map(lambda k: float(np.nextafter(k / 15, 0.5))),
    st.floats(0, 1),
)


@st.composite
def predictions(draw, alphabets=ALPHABETS):
    """(y_true, y_prob, sample_weight, alphabet)."""
    alphabet = draw(st.sampled_from(alphabets))
    n = draw(st.integers(1, 20))
    y_true = np.array(draw(st.lists(st.sampled_from(alphabet), min_size=n, max_size=n)))
    y_prob = np.array(draw(st.lists(PROBABILITIES, min_size=n, max_size=n)))
    y_prob = y_prob.astype(draw(st.sampled_from([np.float32, np.float64])))
    weight = draw(st.none() | st.lists(st.sampled_from([0.0, 1.0, 0.3, 1e8, 1e-8]), min_size=n, max_size=n))
    form = draw(st.sampled_from(["as it is", "list", "strided", "column"]))
    if form == "list":
        y_true, y_prob = y_true.tolist(), y_prob.tolist()
    elif form == "strided":
        y_true, y_prob = np.repeat(y_true, 2)[::2], np.repeat(y_prob, 2)[::2]
    elif form == "column":
        y_prob = y_prob[:, np.newaxis]
    return y_true, y_prob, weight if weight and any(weight) else None, alphabet


@settings(max_examples=400, deadline=None)
@given(
    case=predictions(), n_bins=st.sampled_from([1, 2, 3, 5, 10, 15, 100, 300]),
    strategy=st.sampled_from(["uniform", "quantile"]), data=st.data(),
)  # fmt: skip
def test_curve(case, n_bins, strategy, data):
    y_true, y_prob, _, alphabet = case
    pos_label = data.draw(st.sampled_from([None, None, alphabet[-1], alphabet[0]]))
    if isinstance(y_prob, np.ndarray):
        y_prob = y_prob.reshape(-1)  # of a column scikit-learn warns
    assert_same(
        metrics.calibration_curve, peer.calibration_curve, y_true, y_prob, pos_label=pos_label, n_bins=n_bins,
        strategy=strategy,
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(case=predictions([[0, 1]]), n_bins=st.integers(1, 12), data=st.data())
def test_weights_are_rows_repeated(case, n_bins, data):
    y_true, y_prob, _, _ = case
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(y_true), max_size=len(y_true)))
    if not any(times):
        return
    actual = metrics.calibration_curve(y_true, y_prob, n_bins=n_bins, sample_weight=times)
    expected = peer.calibration_curve(np.repeat(y_true, times), np.repeat(np.ravel(y_prob), times), n_bins=n_bins)
    assert_equal(actual, expected)


def plain_bins(hits, probabilities, weights, edges):
    """For each bin that has weight: (sum of weights, share of hits, mean probability), row by row."""
    bins = {}
    for hit, probability, weight in zip(hits, probabilities, weights, strict=True):
        # (a, b], the first with its lower edge
        place = sum(1 for edge in edges if probability > edge)
        one = bins.setdefault(place, [0.0, 0.0, 0.0])
        one[0] += weight
        one[1] += weight * hit
        one[2] += weight * probability
    return [(total, hit / total, mean / total) for _, (total, hit, mean) in sorted(bins.items()) if total]


def plain_error(bins, norm):
    everything = sum(total for total, _, _ in bins)
    distances = [abs(hit - mean) for _, hit, mean in bins]
    shares = [total / everything for total, _, _ in bins]
    if norm == "max":
        return max(distances)
    power = {"l1": 1, "l2": 2}[norm]
    return sum(s * d**power for s, d in zip(shares, distances, strict=True)) ** (1 / power)


def plain_edges(probabilities, weights, n_bins, strategy):
    parts = np.linspace(0, 1, n_bins + 1)[1:-1]
    if strategy == "uniform":
        return parts.tolist()
    if weights is None:
        return np.percentile(probabilities, parts * 100).tolist()
    # the least score that a share of the weight is not above
    order = np.argsort(probabilities, kind="stable")
    up_to = np.cumsum(np.asarray(weights)[order])
    return [float(probabilities[order][np.searchsorted(up_to / up_to[-1], part)]) for part in parts]


@settings(max_examples=400, deadline=None)
@given(
    case=predictions([[0, 1], [-1, 1]]), n_bins=st.sampled_from([1, 2, 3, 5, 10, 15, 100]),
    strategy=st.sampled_from(["uniform", "quantile"]), norm=st.sampled_from(["l1", "l2", "max"]),
)  # fmt: skip
def test_binary_error(case, n_bins, strategy, norm):
    y_true, y_prob, weight, _ = case
    probabilities = np.ravel(y_prob)
    if strategy == "quantile" and weight is not None:
        weight = [2.0**i if one else 0.0 for i, one in enumerate(weight)]  # no two sums that are near
    edges = plain_edges(probabilities, weight, n_bins, strategy)
    hits = (np.ravel(y_true) == 1).tolist()
    bins = plain_bins(hits, probabilities.tolist(), np.ones(len(hits)) if weight is None else weight, edges)
    options = {"n_bins": n_bins, "strategy": strategy, "sample_weight": weight}
    actual = metrics.expected_calibration_error(y_true, y_prob, norm=norm, **options)
    np.testing.assert_allclose(actual, plain_error(bins, norm), rtol=1e-9, atol=1e-13)
    shares, means = metrics.calibration_curve(y_true, y_prob, **options)
    np.testing.assert_allclose(shares, [hit for _, hit, _ in bins], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(means, [mean for _, _, mean in bins], rtol=1e-12)


@st.composite
def multiclass(draw):
    k = draw(st.integers(2, 4))
    n = draw(st.integers(1, 12))
    names = draw(st.sampled_from([[0, 1, 2, 3], [-7, 2, 90_000, 90_001], ["a", "b", "c", "d"]]))[:k]
    y_true = np.array(draw(st.lists(st.sampled_from(names), min_size=n, max_size=n)))
    raw = np.array(draw(st.lists(st.integers(1, 5), min_size=n * k, max_size=n * k)), dtype=float).reshape(n, k)
    weight = draw(st.none() | st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=n, max_size=n))
    y_prob = (raw / raw.sum(axis=1, keepdims=True)).astype(draw(st.sampled_from([np.float32, np.float64])))
    return names, y_true, y_prob, weight


@settings(max_examples=300, deadline=None)
@given(case=multiclass(), n_bins=st.sampled_from([1, 3, 15]), norm=st.sampled_from(["l1", "l2", "max"]))
def test_top_label_error(case, n_bins, norm):
    names, y_true, y_prob, weight = case
    hits, confidences = [], []
    for label, row in zip(y_true.tolist(), y_prob.tolist(), strict=True):
        top = max(range(len(row)), key=lambda column: (row[column], -column))
        hits.append(names[top] == label)
        confidences.append(row[top])
    edges = plain_edges(None, None, n_bins, "uniform")
    bins = plain_bins(hits, confidences, weight or [1.0] * len(hits), edges)
    actual = metrics.expected_calibration_error(
        y_true, np.asfortranarray(y_prob), n_bins=n_bins, norm=norm, labels=names, sample_weight=weight
    )
    np.testing.assert_allclose(actual, plain_error(bins, norm), rtol=1e-9, atol=1e-13)
    if len(set(y_true.tolist())) == len(names):
        assert actual == metrics.expected_calibration_error(
            y_true, y_prob, n_bins=n_bins, norm=norm, sample_weight=weight
        )


@pytest.mark.parametrize("name", ["calibration_curve", "expected_calibration_error"])
def test_labels_of_any_kind(name):
    function = getattr(metrics, name)
    expected = function(TRUE, PROB)
    for labels, pos_label in (
        (np.array(["n", "y"])[TRUE], "y"), (np.array(["n", "y"])[TRUE].astype(object), "y"), (TRUE == 1, True),
        (TRUE == 1, None), (2 * TRUE - 1, None), (TRUE.astype(np.uint64), 1), (3 + TRUE, 4),
        (TRUE * 2.0**40, 2**40), (TRUE.astype(float), None), (TRUE.astype(">i2"), None), (TRUE.tolist(), None),
    ):  # fmt: skip
        np.testing.assert_array_equal(function(labels, PROB, pos_label=pos_label), expected)
    # no row is of a label of another kind
    np.testing.assert_array_equal(function(TRUE, PROB, pos_label="y"), function(0 * TRUE, PROB))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_bins", [10, 200])
def test_many_rows(dtype, n_bins):
    """Across pieces of rows."""
    rng = np.random.default_rng(3)
    n = 50_001
    y_prob = rng.random(n).astype(dtype)
    y_true = (rng.random(n) < y_prob).astype(np.int8)
    for strategy in ("uniform", "quantile"):
        if dtype != np.float16 or strategy == "uniform":
            assert_same(
                metrics.calibration_curve, peer.calibration_curve, y_true, y_prob, n_bins=n_bins, strategy=strategy
            )
    # probabilities that can be believed are believed; confident ones of coins are not
    assert metrics.expected_calibration_error(y_true, y_prob) < 0.02
    coins = rng.integers(0, 2, n)
    np.testing.assert_allclose(metrics.expected_calibration_error(coins, y_prob), 0.25, atol=0.02)


def test_edges_belong_to_the_bin_below():
    # 0 and 1/2 in the first bin, 1 in the second
    shares, means = metrics.calibration_curve([0, 1, 1], [0.0, 0.5, 1.0], n_bins=2)
    assert shares.tolist() == [0.5, 1.0]
    assert means.tolist() == [0.25, 1.0]


TRUE = np.array([0, 1, 1, 0])
PROB = np.array([0.1, 0.4, 0.35, 0.8])


@pytest.mark.parametrize(
    ("y_true", "y_prob"),
    [
        (TRUE, PROB[:3]),
        (TRUE, PROB + 0.5),
        (TRUE, PROB - 0.5),
        (np.array([0, 1, 2, 1]), PROB),
        (np.array(["a", "b", "a", "b"]), PROB),
        (TRUE, np.stack([PROB, PROB], axis=1)),
        (TRUE[:0], PROB[:0]),
        (3, PROB),
        (TRUE, None),
    ],
)  # fmt: skip
def test_what_both_refuse(y_true, y_prob):
    with pytest.raises((TypeError, ValueError)):
        peer.calibration_curve(y_true, y_prob)
    assert_same(metrics.calibration_curve, peer.calibration_curve, y_true, y_prob)


@pytest.mark.parametrize("name", ["calibration_curve", "expected_calibration_error"])
def test_what_is_refused_here(name):
    function = getattr(metrics, name)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="y_prob must not hold NaN or infinity"):
            function(TRUE, np.where(PROB > 0.5, bad, PROB))
    with pytest.raises(ValueError, match=r"y_prob must hold probabilities in \[0, 1\], got values from 0.2 to 1.6"):
        function(TRUE, 2 * PROB)
    with pytest.raises(ValueError, match="sample_weight must be finite and not negative"):
        function(TRUE, PROB, sample_weight=[1.0, 1.0, -1.0, 1.0])
    with pytest.raises(ValueError, match="sample_weight must not be zero in every row"):
        function(TRUE, PROB, sample_weight=[0, 0, 0, 0])
    for options, message in (
        ({"n_bins": 0}, "n_bins"), ({"n_bins": 2.0}, "n_bins"), ({"strategy": "x"}, "strategy"),
        ({"pos_label": [1]}, "pos_label"),
    ):  # fmt: skip
        with pytest.raises(InvalidParameterError, match=message):
            function(TRUE, PROB, **options)
        with pytest.raises(InvalidParameterError.__mro__[1:3], match=message):
            peer.calibration_curve(TRUE, PROB, **options)


def test_what_the_error_refuses():
    error = metrics.expected_calibration_error
    three = np.full((4, 3), 1 / 3)
    with pytest.raises(InvalidParameterError, match="norm must be one of"):
        error(TRUE, PROB, norm="l3")
    with pytest.raises(ValueError, match="as many columns as there are classes, 2, got 3"):
        error(TRUE, three)
    with pytest.raises(ValueError, match="labels must be unique and in order"):
        error(TRUE, three, labels=[1, 0, 2])
    with pytest.raises(ValueError, match="labels must be unique and in order"):
        error(TRUE, three, labels=[0, 1, 1])
    with pytest.raises(ValueError, match=r"y_true must hold the labels \[1, 2, 3\] alone, got"):
        error(TRUE, three, labels=[1, 2, 3])
    with pytest.raises(ValueError, match="labels must be of the kind of y_true"):
        error(TRUE, three, labels=["a", "b", "c"])
    with pytest.raises(ValueError, match="labels must be None where y_prob has one column"):
        error(TRUE, PROB, labels=[0, 1])
    with pytest.raises(ValueError, match="pos_label must be None where y_prob has several columns"):
        error(TRUE, np.stack([1 - PROB, PROB], axis=1), pos_label=1)


def test_a_known_error():
    # confidences of 0.8 right in 3 of 4 rows, of 0.6 in 0 of 1
    y_prob = [[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8], [0.6, 0.4]]
    y_true = [0, 0, 1, 0, 1]
    error = metrics.expected_calibration_error
    assert math.isclose(error(y_true, y_prob, n_bins=5), 0.8 * 0.05 + 0.2 * 0.6)
    assert math.isclose(error(y_true, y_prob, n_bins=5, norm="max"), 0.6)
    assert math.isclose(error(y_true, y_prob, n_bins=5, norm="l2"), math.sqrt(0.8 * 0.05**2 + 0.2 * 0.6**2))


def test_signature():
    ours = list(inspect.signature(metrics.calibration_curve).parameters.values())
    theirs = list(inspect.signature(peer.calibration_curve).parameters.values())
    assert ours[-1].name == "sample_weight"
    assert [(p.name, p.kind, p.default) for p in ours[:-1]] == [(p.name, p.kind, p.default) for p in theirs]
