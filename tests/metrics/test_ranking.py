"""Ranking metrics against scikit-learn, and what both must refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasttrain
from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from tests.helpers import THREAD_COUNTS
from tests.metrics.compare import assert_same

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32]
ALPHABETS = [[0, 1], [0, 1], [0, 1], [-1, 1], [0], [1], [1, 2], [0.0, 1.0], ["a", "b"], [False, True], [3, 90_000]]
CURVES = ["roc_curve", "precision_recall_curve", "det_curve"]


def score_values(width):
    return st.one_of(
        st.sampled_from([0.0, -0.0, 0.5, 0.25, 1.0]),
        st.floats(width=width, allow_nan=False, allow_infinity=False),
        st.sampled_from([2.0**-149, -(2.0**-149), 2.0**-126]),
    )


def weights(n):
    return st.one_of(
        st.none(),
        st.lists(st.sampled_from([0.0, 1.0, 0.1, 2.5, 1e-8, 1e8]), min_size=n, max_size=n),
        st.lists(st.sampled_from([0.0, 1.0, 0.125, 3.0]), min_size=n, max_size=n).map(
            lambda w: np.array(w, dtype=np.float32)
        ),
        st.lists(st.integers(0, 5), min_size=n, max_size=n),
    )


@st.composite
def rankings(draw, alphabets=ALPHABETS, max_rows=14):
    """(y_true, y_score, sample_weight, alphabet)."""
    alphabet = draw(st.sampled_from(alphabets))
    n = draw(st.integers(1, max_rows))
    some = draw(st.lists(st.sampled_from(alphabet), min_size=1, max_size=len(alphabet), unique=True))
    y_true = draw(st.lists(st.sampled_from(some), min_size=n, max_size=n))
    form = draw(st.integers(0, 4))
    if form:
        y_true = np.array(y_true)
        if form > 1 and y_true.dtype.kind == "i" and y_true.min() >= 0 and y_true.max() < 128:
            y_true = y_true.astype(draw(st.sampled_from(INTEGERS)))
        elif form == 3:
            y_true = np.repeat(y_true, 2)[::2]
        elif form == 2 and y_true.dtype.kind == "U":
            y_true = y_true.astype(object)
    kind = draw(st.sampled_from(["f4", "f8", "list", "int", "column"]))
    if kind == "int":
        y_score = np.array(draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)))
    else:
        y_score = draw(st.lists(score_values(32 if kind == "f4" else 64), min_size=n, max_size=n))
        if kind != "list":
            y_score = np.array(y_score, dtype="f4" if kind == "f4" else "f8")
        if kind == "column":
            y_score = y_score[:, np.newaxis]
    return y_true, y_score, draw(weights(n)), alphabet


@settings(max_examples=300, deadline=None)
@given(ranking=rankings(), max_fpr=st.sampled_from([None, None, 1.0, 0.5, 0.1, 0.01, 0.0, 1.5]))
def test_binary_auc(ranking, max_fpr):
    y_true, y_score, weight, _ = ranking
    if weight is not None and (not np.any(weight) or (max_fpr and len(set(np.ravel(y_true).tolist())) == 2)):
        # scikit-learn does not look at weights where one class only is there, and where all rows of a class are
        # without weight its search in an array of nan may end beyond it
        weight = np.asarray(weight) + 0.5
    assert_same(metrics.roc_auc_score, peer.roc_auc_score, y_true, y_score, sample_weight=weight, max_fpr=max_fpr)


@settings(max_examples=300, deadline=None)
@given(ranking=rankings(), data=st.data())
def test_binary_average_precision(ranking, data):
    y_true, y_score, weight, alphabet = ranking
    pos_label = data.draw(st.sampled_from([1, alphabet[-1], alphabet[0], "x", 7]))
    assert_same(
        metrics.average_precision_score, peer.average_precision_score, y_true, y_score,
        pos_label=pos_label, sample_weight=weight,
    )  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
@settings(max_examples=300, deadline=None)
@given(ranking=rankings([*ALPHABETS, [0, 1, 2], ["a", "b", "c"]]), data=st.data(), drop=st.booleans())
def test_curves(name, ranking, data, drop):
    """Point by point, the points that are left out too."""
    y_true, y_score, weight, alphabet = ranking
    pos_label = data.draw(st.sampled_from([None, None, 1, alphabet[-1], alphabet[0]]))
    assert_same(
        getattr(metrics, name), getattr(peer, name), y_true, y_score,
        pos_label=pos_label, sample_weight=weight, drop_intermediate=drop,
    )  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_long_curves(name, dtype, weighted):
    rng = np.random.default_rng(0)
    n = 50_000
    y_true = rng.integers(0, 2, n)
    y_score = (rng.normal(size=n) + y_true).round(3).astype(dtype)
    weight = rng.exponential(size=n) * (rng.random(n) < 0.9) if weighted else None
    for drop in (False, True):
        assert_same(
            getattr(metrics, name), getattr(peer, name), y_true, y_score,
            sample_weight=weight, drop_intermediate=drop,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["roc_auc_score", "average_precision_score"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [2, 9])
def test_many_rows(name, dtype, weighted, digits):
    rng = np.random.default_rng(1)
    n = 300_000
    y_true = (rng.random(n) < 0.1).astype(np.int64)
    y_score = (rng.normal(size=n) + y_true).round(digits).astype(dtype)
    weight = rng.exponential(size=n) if weighted else None
    assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_score, sample_weight=weight)
    results = []
    for threads in THREAD_COUNTS:
        with fasttrain.num_threads(threads):
            results.append(getattr(metrics, name)(y_true, y_score, sample_weight=weight))
    assert results[1] == results[2] == results[0]


@st.composite
def indicators(draw):
    n, k = draw(st.integers(1, 8)), draw(st.integers(2, 4))
    dtype = draw(st.sampled_from([np.int64, np.uint8, np.float32]))
    y_true = np.array(draw(st.lists(st.integers(0, 1), min_size=n * k, max_size=n * k))).reshape(n, k)
    score = st.one_of(st.sampled_from([0.0, -0.0, 0.5, 0.25]), st.floats(-10, 10))
    y_score = np.array(draw(st.lists(score, min_size=n * k, max_size=n * k))).reshape(n, k)
    weight = draw(
        st.one_of(st.none(), st.lists(st.sampled_from([1.0, 0.3, 2.0]), min_size=n, max_size=n).map(np.array))
    )
    if draw(st.booleans()):
        y_score = np.asfortranarray(y_score)
    return y_true.astype(dtype), y_score, weight


@pytest.mark.parametrize("name", ["roc_auc_score", "average_precision_score"])
@settings(max_examples=200, deadline=None)
@given(case=indicators(), average=st.sampled_from([None, "micro", "macro", "weighted", "samples", "binary"]))
def test_multilabel(name, case, average):
    y_true, y_score, weight = case
    assert_same(
        getattr(metrics, name), getattr(peer, name), y_true, y_score, average=average, sample_weight=weight
    )


@st.composite
def multiclass(draw):
    k = draw(st.integers(3, 5))
    n = draw(st.integers(1, 14))
    names = draw(st.sampled_from([list(range(k)), [2 * i - 3 for i in range(k)], ["a", "b", "c", "d", "e"][:k]]))
    y_true = np.array(draw(st.lists(st.sampled_from(names), min_size=n, max_size=n)))
    raw = np.array(draw(st.lists(st.integers(1, 5), min_size=n * k, max_size=n * k)), dtype=float).reshape(n, k)
    return names, y_true, raw / raw.sum(axis=1, keepdims=True), draw(weights(n))


@settings(max_examples=300, deadline=None)
@given(
    case=multiclass(),
    multi_class=st.sampled_from(["ovr", "ovo", "ovr", "ovo", "raise", "x"]),
    average=st.sampled_from(["macro", "weighted", "micro", None, "samples"]),
    with_labels=st.booleans(),
    with_weights=st.booleans(),
    max_fpr=st.sampled_from([None, None, None, 1.0, 0.5]),
)
def test_multiclass_auc(case, multi_class, average, with_labels, with_weights, max_fpr):
    names, y_true, y_score, weight = case
    weight = np.asarray(weight, dtype=float) + 0.5 if with_weights and weight is not None else None
    if average is None and multi_class == "ovo":
        average = "macro"
    assert_same(
        metrics.roc_auc_score, peer.roc_auc_score, y_true, y_score, multi_class=multi_class, average=average,
        labels=names if with_labels else None, sample_weight=weight, max_fpr=max_fpr,
    )  # fmt: skip


def test_one_against_one_without_average():
    y_true, y_score = np.array([0, 1, 2]), np.full((3, 3), 1 / 3)
    for module in (metrics, peer):
        with pytest.raises(NotImplementedError, match="average"):
            module.roc_auc_score(y_true, y_score, multi_class="ovo", average=None)


@settings(max_examples=150, deadline=None)
@given(
    case=multiclass(),
    average=st.sampled_from(["macro", "weighted", "micro", None, "samples"]),
    pos_label=st.sampled_from([1, 1, 1, 0]),
)
def test_multiclass_average_precision(case, average, pos_label):
    _, y_true, y_score, _ = case
    if len(np.unique(y_true)) > 2:
        assert_same(
            metrics.average_precision_score, peer.average_precision_score, y_true, y_score,
            average=average, pos_label=pos_label,
        )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_auc(data):
    n = data.draw(st.integers(0, 8))
    values = st.lists(st.floats(-10, 10), min_size=n, max_size=n)
    x, y = np.array(data.draw(values)), np.array(data.draw(values))
    order = data.draw(st.sampled_from(["as is", "rising", "falling"]))
    if order != "as is":
        x = np.sort(x)[:: 1 if order == "rising" else -1]
    assert_same(metrics.auc, peer.auc, x, y)


ONES = np.array([0, 1, 1, 0])
GOOD = np.array([0.1, 0.4, 0.35, 0.8])


@pytest.mark.parametrize("name", ["roc_auc_score", "average_precision_score", *CURVES])
@pytest.mark.parametrize(
    ("y_true", "y_score", "weight"),
    [
        (ONES, GOOD[:3], None),
        (ONES, np.array([0.1, np.nan, 0.3, 0.2]), None),
        (ONES, np.array([0.1, np.inf, 0.3, 0.2]), None),
        (ONES, np.array([0.1, -np.inf, 0.3, 0.2], dtype=np.float32), None),
        (ONES, GOOD, [1.0, np.nan, 1.0, 1.0]),
        (ONES, GOOD, [1.0, np.inf, 1.0, 1.0]),
        (ONES, GOOD, [0.0, 0.0, 0.0, 0.0]),
        (ONES, GOOD, [1.0, 1.0, 1.0]),
        (ONES, np.stack([GOOD, GOOD], axis=1), None),
        (np.array([0.5, 0.25, 1.0, 0.0]), GOOD, None),
        (np.array([0.0, np.nan, 1.0, 0.0]), GOOD, None),
        (np.array([b"a", b"b", b"a", b"b"]), GOOD, None),
        (np.array([[0, 1], [2, 3], [1, 0], [1, 1]]), GOOD, None),
        (3, GOOD, None),
        (ONES, None, None),
        (ONES, GOOD, 2.0),
    ],
)  # fmt: skip
def test_what_both_refuse(name, y_true, y_score, weight):
    assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_score, sample_weight=weight)


@pytest.mark.parametrize("name", ["roc_auc_score", "average_precision_score", *CURVES])
def test_what_is_refused_here(name):
    function = getattr(metrics, name)
    with pytest.raises(ValueError, match="sample_weight must be finite and not negative"):
        function(ONES, GOOD, sample_weight=[1.0, -1.0, 1.0, 1.0])
    # scikit-learn raises whatever its arithmetic runs into
    with pytest.raises(ValueError, match="y_score must hold numbers, got dtype <U1"):
        function(ONES, np.array(["a", "b", "c", "d"]))
    with pytest.raises(ValueError, match="at least one row"):
        function(ONES[:0], GOOD[:0])
    with pytest.raises(ValueError, match="y_score must be finite, got nan in row 2"):
        function(ONES, np.array([0.1, 0.2, np.nan, 0.4]))


def test_bad_options():
    for arguments in ({"average": "binary"}, {"multi_class": "x"}, {"max_fpr": 0.0}, {"max_fpr": "a"}):
        with pytest.raises(InvalidParameterError):
            metrics.roc_auc_score(ONES, GOOD, **arguments)
    with pytest.raises(InvalidParameterError, match="pos_label"):
        metrics.average_precision_score(ONES, GOOD, pos_label=[1])
    with pytest.raises(InvalidParameterError, match="drop_intermediate"):
        metrics.roc_curve(ONES, GOOD, drop_intermediate=1)


def test_one_class_only():
    with pytest.warns(UndefinedMetricWarning, match="one class only"):
        assert np.isnan(metrics.roc_auc_score([1, 1], [0.5, 0.25]))
    with pytest.warns(UserWarning, match="No row of y_true is positive"):
        assert metrics.average_precision_score([0, 0], [0.5, 0.25]) == 0.0


def test_signatures():
    import inspect

    for name in ["roc_auc_score", "average_precision_score", "auc", *CURVES]:
        ours, theirs = (inspect.signature(getattr(module, name)) for module in (metrics, peer))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in theirs.parameters.values()
        ]
