"""Metrics of probabilities and decision values against scikit-learn, and what both must refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasttrain
from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from tests.helpers import THREAD_COUNTS
from tests.metrics.compare import assert_same, call

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

LABEL_SETS = [
    [0, 1], [-1, 1], [1, 2], [-3, 40], [-(2**40), 2**40], [0.0, 1.0], [2.0, 7.0], ["a", "b"], ["no", "yes"],
    [False, True], [0, 1, 2], [-1, 0, 1], [3, 4, 5, 6], [0, 2, 9], ["a", "b", "ccc"], [1.0, 2.0, 5.0],
]  # fmt: skip
PROBABILITIES = [0.0, 1.0, 0.5, 0.25, 0.9, 1e-20, 1e-3, 1 - 1e-9]
WEIGHTS = [0.0, 1.0, 0.1, 2.5, 1e-8, 1e8]


@st.composite
def labelled(draw, sets=LABEL_SETS, max_rows=10):
    """(y_true, the classes that it is of, sample_weight); classes may be absent."""
    classes = draw(st.sampled_from(sets))
    n = draw(st.integers(1, max_rows))
    y = draw(st.lists(st.sampled_from(classes), min_size=n, max_size=n))
    form = draw(st.integers(0, 4))
    if form:
        y = np.array(y)
        if form == 2 and y.dtype.kind == "i" and abs(y).max() < 100:
            y = y.astype(draw(st.sampled_from([np.int8, np.int16, np.int32])))
        elif form == 2 and y.dtype.kind == "U":
            y = y.astype(object)
        elif form == 3:
            y = np.repeat(y, 2)[::2]
        elif form == 4 and y.dtype.kind == "i" and y.min() >= 0 and y.max() < 100:
            y = y.astype(draw(st.sampled_from([np.uint8, np.uint64])))
    weight = draw(
        st.one_of(
            st.none(),
            st.lists(st.sampled_from(WEIGHTS), min_size=n, max_size=n),
            st.lists(st.integers(0, 5), min_size=n, max_size=n),
        )
    )
    # scikit-learn divides by zero, or counts nothing, where all weights are zero
    return y, classes, weight if weight is None or any(weight) else None


@st.composite
def probabilities(draw, n, n_columns):
    """(n,) for one column, or (n, n_columns), as an array of one of several layouts."""
    if n_columns == 1:
        p = np.array(draw(st.lists(st.sampled_from(PROBABILITIES), min_size=n, max_size=n)))
        return p[:, np.newaxis] if draw(st.booleans()) else p
    p = np.random.default_rng(draw(st.integers(0, 1000))).dirichlet(np.ones(n_columns), n)
    form = draw(st.integers(0, 4))
    if form == 1:
        p = np.eye(n_columns)[draw(st.lists(st.integers(0, n_columns - 1), min_size=n, max_size=n))]
    elif form == 2:
        p = np.asfortranarray(p)
    elif form == 3:
        p = p / 2  # does not sum to 1
    return p.tolist() if form == 4 else p


@st.composite
def columns_and_labels(draw, classes):
    """(number of columns, labels=): mostly such as fit the classes."""
    labels = draw(st.one_of(st.none(), st.just(classes), st.just(classes[::-1])))
    n_columns = len(classes) if len(classes) > 2 else draw(st.sampled_from([1, 2]))
    return draw(st.sampled_from([n_columns] * 5 + [1, 2, 3])), labels


@settings(max_examples=300, deadline=None)
@given(data=st.data(), truth=labelled(), normalize=st.booleans())
def test_log_loss(data, truth, normalize):
    y_true, classes, weight = truth
    n_columns, labels = data.draw(columns_and_labels(classes))
    p = data.draw(probabilities(len(y_true), n_columns))
    assert_same(
        metrics.log_loss, peer.log_loss, y_true, p, normalize=normalize, sample_weight=weight, labels=labels
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data(), truth=labelled(), half=st.sampled_from([True, False, "auto"]))
def test_brier(data, truth, half):
    y_true, classes, weight = truth
    n_columns, labels = data.draw(columns_and_labels(classes))
    p = data.draw(probabilities(len(y_true), n_columns))
    assert_same(
        metrics.brier_score_loss, peer.brier_score_loss, y_true, p, sample_weight=weight, labels=labels,
        pos_label=data.draw(st.sampled_from([None, None, classes[0], classes[-1], 1, "zzz"])), scale_by_half=half,
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(data=st.data(), truth=labelled(), k=st.integers(1, 4), normalize=st.booleans())
def test_top_k(data, truth, k, normalize):
    y_true, classes, weight = truth
    n_columns, labels = data.draw(columns_and_labels(classes))
    n = len(y_true)
    # many ties, of -0.0 and 0.0 too
    score = np.array(
        data.draw(st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 0.75, 2.0]), min_size=n * n_columns,
                           max_size=n * n_columns))
    ).reshape(n, n_columns)  # fmt: skip
    score = data.draw(st.sampled_from([score, score.astype(np.float32), score.clip(0, 1), (2 * score).astype(int)]))
    if n_columns == 1 and data.draw(st.booleans()):
        score = score[:, 0]
    assert_same(
        metrics.top_k_accuracy_score, peer.top_k_accuracy_score, y_true, score, k=k, normalize=normalize,
        sample_weight=weight, labels=labels,
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(data=st.data(), truth=labelled())
def test_hinge(data, truth):
    y_true, classes, weight = truth
    n_columns, labels = data.draw(columns_and_labels(classes))
    n = len(y_true)
    decision = np.random.default_rng(data.draw(st.integers(0, 1000))).normal(size=(n, n_columns)) * 3
    decision = data.draw(st.sampled_from([decision, decision.tolist(), np.asfortranarray(decision)]))
    if n_columns == 1 and data.draw(st.booleans()):
        decision = np.ravel(decision)
    assert_same(
        metrics.hinge_loss, peer.hinge_loss, y_true, decision, labels=labels, sample_weight=weight
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), n=st.integers(1, 6), k=st.integers(2, 4))
def test_indicator_matrices(data, n, k):
    dtype = data.draw(st.sampled_from([np.int64, np.uint8, np.float64]))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n * k, max_size=n * k))).reshape(n, k)
    p = np.random.default_rng(0).dirichlet(np.ones(k), n)
    weight = data.draw(st.one_of(st.none(), st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=n, max_size=n)))
    for name in ("log_loss", "brier_score_loss"):
        assert_same(getattr(metrics, name), getattr(peer, name), y.astype(dtype), p, sample_weight=weight)


@pytest.mark.parametrize("name", ["log_loss", "brier_score_loss"])
@pytest.mark.parametrize("n_classes", [2, 7])
def test_float32_is_computed_in_float64(name, n_classes):
    """A deliberate difference: scikit-learn computes in float32, and loses what 1 - p rounds off."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, 5000)
    p = rng.dirichlet(np.ones(n_classes), 5000).astype(np.float32)
    ours = getattr(metrics, name)(y, p)
    np.testing.assert_allclose(ours, getattr(peer, name)(y, p), rtol=1e-5)
    exact = p.astype(np.float64)
    if name == "log_loss":
        expected = -np.log(exact[np.arange(5000), y]).mean()
    else:
        expected = ((exact - np.eye(n_classes)[y]) ** 2).sum(axis=1).mean() / (2 if n_classes == 2 else 1)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    if n_classes == 2:
        np.testing.assert_allclose(ours, getattr(metrics, name)(y, p[:, 1]), rtol=1e-6)


def test_float16_has_the_eps_of_float16():
    loss = metrics.log_loss([0, 1], np.array([1.0, 1.0], dtype=np.float16))
    assert math.isclose(loss, -0.5 * (math.log(2.0**-10) + math.log1p(-(2.0**-10))), rel_tol=1e-12)


ONES = [1, 1, 0]
HALVES = [0.5, 0.25, 0.75]
NAMES = ["log_loss", "brier_score_loss", "top_k_accuracy_score", "hinge_loss"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("y_true", "values"),
    [
        ([], []),
        (ONES, [0.5, 0.25]),
        (ONES, [0.5, np.nan, 0.5]),
        (ONES, [0.5, np.inf, 0.5]),
        (ONES, [0.5, -np.inf, 0.5]),
        (ONES, ["a", "b", "c"]),
        (ONES, "abc"),
        (ONES, None),
        (ONES, 0.5),
        (ONES, np.float64(0.5)),
        (ONES, [[0.5, 0.25], [0.5], [0.5]]),
        (ONES, np.zeros((3, 2, 2))),
        (ONES, np.zeros((3, 0))),
        (ONES, [0.5 + 1j, 0.5, 0.5]),
        (None, HALVES),
        ("abc", HALVES),
        (1, HALVES),
        ([0.5, 0.25, 1.0], HALVES),
        ([0.0, np.nan, 1.0], HALVES),
        ([b"a", b"b", b"a"], HALVES),
        ([None, 1, 0], HALVES),
        (np.zeros((3, 2, 2), dtype=int), HALVES),
        ([[1, 2], [0, 1], [1, 1]], HALVES),
        ([0, 1, 2], HALVES),
        ([0, 1, 2], np.full((3, 2), 0.5)),
        ([0, 1, 1], np.full((3, 3), 1 / 3)),
        ([0, 2, 2], np.full((3, 3), 1 / 3)),
    ],
)
def test_bad_data(name, y_true, values):
    with pytest.raises((ValueError, TypeError)):
        getattr(metrics, name)(y_true, values)
    if name == "hinge_loss" and isinstance(y_true, list) and None in y_true:
        return  # scikit-learn's sort of the labels fails, with a TypeError
    assert_same(getattr(metrics, name), getattr(peer, name), y_true, values)


@pytest.mark.parametrize("name", ["log_loss", "brier_score_loss"])
@pytest.mark.parametrize("bad", [-0.25, 1.5, -1e-30, 1 + 1e-15])
@pytest.mark.parametrize("columns", [1, 2])
def test_bad_probabilities(name, bad, columns):
    p = np.array([0.5, bad, 0.5]) if columns == 1 else np.array([[0.5, 0.5], [1.0, bad], [0.5, 0.5]])
    with pytest.raises(ValueError, match=r"y_proba must hold probabilities in \[0, 1\], got .* in row 1"):
        getattr(metrics, name)(ONES, p)
    assert_same(getattr(metrics, name), getattr(peer, name), ONES, p)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "weight", [[1, 2], [[1, 1, 1]], [1, np.nan, 1], [1, np.inf, 1], ["a", "b", "c"], 1.0, "abc", [0, 0, 0], [1, -1, 1]]
)
def test_bad_weights(name, weight):
    with pytest.raises((ValueError, TypeError)):
        getattr(metrics, name)(ONES, HALVES, sample_weight=weight)
    theirs, _ = call(getattr(peer, name), ONES, HALVES, sample_weight=weight)
    # Deliberate differences: negative weights are refused, and of hinge and top k those that scikit-learn takes
    # as they come (NaN, infinity, all zero), which give NaN or divide by zero there.
    if isinstance(theirs, (ValueError, TypeError)) and name in ("log_loss", "brier_score_loss"):
        assert_same(getattr(metrics, name), getattr(peer, name), ONES, HALVES, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("log_loss", {"normalize": 1}),
        ("log_loss", {"labels": 1}),
        ("log_loss", {"labels": [1]}),
        ("log_loss", {"labels": [0, 0, 1]}),
        ("log_loss", {"labels": [0, 2]}),
        ("log_loss", {"labels": [0, 1, 2]}),
        ("log_loss", {"labels": ["a", "b"]}),
        ("log_loss", {"y_pred": HALVES}),
        ("brier_score_loss", {"pos_label": [1]}),
        ("brier_score_loss", {"scale_by_half": 1}),
        ("brier_score_loss", {"scale_by_half": "no"}),
        ("brier_score_loss", {"labels": 1}),
        ("top_k_accuracy_score", {"k": 0}),
        ("top_k_accuracy_score", {"k": 1.0}),
        ("top_k_accuracy_score", {"normalize": "yes"}),
        ("top_k_accuracy_score", {"labels": [1, 0]}),
        ("top_k_accuracy_score", {"labels": [0, 1, 1]}),
        ("top_k_accuracy_score", {"labels": [0, 2]}),
        ("top_k_accuracy_score", {"labels": [0, 1, 2]}),
        ("hinge_loss", {"labels": 1}),
        ("hinge_loss", {"labels": [0, 1, 2]}),
    ],
)
def test_bad_options(name, options):
    with pytest.raises((ValueError, TypeError)):
        getattr(metrics, name)(ONES, HALVES, **options)
    assert_same(getattr(metrics, name), getattr(peer, name), ONES, HALVES, **options)


def test_strings_need_a_pos_label():
    assert_same(metrics.brier_score_loss, peer.brier_score_loss, ["a", "b", "a"], HALVES)
    with pytest.raises(ValueError, match=r"pos_label must be given for labels \['a', 'b'\]"):
        metrics.brier_score_loss(["a", "b", "a"], HALVES)


def test_the_former_name_of_y_proba():
    with pytest.warns(FutureWarning, match="renamed to `y_proba`"):
        assert metrics.log_loss(ONES, y_pred=HALVES) == metrics.log_loss(ONES, HALVES)


def test_labels_outside_labels_are_refused_by_hinge():
    """A deliberate difference: with two labels scikit-learn takes the first of three as the negative one."""
    with pytest.raises(ValueError, match="y_true must hold the labels"):
        metrics.hinge_loss([0, 1, 2], HALVES, labels=[0, 1])


def test_one_class_and_rows_that_do_not_sum_to_one():
    with pytest.raises(ValueError, match="y_true must hold at least two classes"):
        metrics.log_loss([1, 1], [0.5, 0.5])
    with pytest.warns(UserWarning, match="do not sum to one"):
        metrics.log_loss([0, 1], [[0.5, 0.25], [0.5, 0.5]])


def test_top_k_of_all_classes_is_warned_of():
    with pytest.warns(UndefinedMetricWarning, match="perfect and meaningless"):
        assert metrics.top_k_accuracy_score([0, 1], [0.25, 0.5]) == 1.0
    with pytest.raises(InvalidParameterError, match="k must be an integer of at least 1, got 0"):
        metrics.top_k_accuracy_score([0, 1], [0.25, 0.5], k=0)


@pytest.mark.parametrize("label_type", [np.int64, np.int8, np.uint8, np.bool_, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_rows_for_any_number_of_threads(label_type, weighted):
    rng = np.random.default_rng(0)
    n = 150_000
    y, p = rng.integers(0, 2, n).astype(label_type), rng.random(n)
    weight = rng.exponential(size=n) if weighted else None
    several, rows = rng.integers(0, 5, n), rng.dirichlet(np.ones(5), n)
    for name, arguments in (
        ("log_loss", (y, p)), ("brier_score_loss", (y, p)), ("log_loss", (several, rows)),
        ("brier_score_loss", (several, rows)), ("top_k_accuracy_score", (several, rows)),
        ("hinge_loss", (y, p)), ("hinge_loss", (several, rows)),
    ):  # fmt: skip
        results = []
        for threads in THREAD_COUNTS:
            with fasttrain.num_threads(threads):
                results.append(getattr(metrics, name)(*arguments, sample_weight=weight))
        assert results[1:] == results[:1] * 2
        np.testing.assert_allclose(results[0], getattr(peer, name)(*arguments, sample_weight=weight), rtol=1e-12)


@pytest.mark.parametrize("name", ["pandas", "polars", "torch"])
def test_columns_of_other_libraries(name):
    library = pytest.importorskip(name, reason=f"compares with {name}")
    make = library.tensor if name == "torch" else library.Series
    for metric in ("log_loss", "brier_score_loss", "hinge_loss"):
        function = getattr(metrics, metric)
        assert function(make(ONES), make(HALVES)) == pytest.approx(function(ONES, HALVES), rel=1e-7)


def test_layouts_and_byte_orders():
    y, p = np.array(ONES), np.array(HALVES)
    frozen = p.copy()
    frozen.flags.writeable = False
    shifted = np.frombuffer(b"\0" + p.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    for other in (p.astype(">f8"), np.repeat(p, 2)[::2], p[::-1].copy()[::-1], frozen, shifted):
        for name in ("log_loss", "brier_score_loss", "hinge_loss"):
            assert getattr(metrics, name)(y, other) == getattr(metrics, name)(y, p)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint8, np.uint64])
def test_labels_at_the_ends_of_their_types(dtype):
    ends = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    for labels in ([ends.min, ends.max], [ends.min, ends.min + 1, ends.max], [ends.max - 1, ends.max]):
        y = np.tile(np.array(labels, dtype=dtype), 200)
        values = rng.random((len(y), len(labels)))
        values /= values.sum(axis=1, keepdims=True)
        if len(labels) == 2:
            values = values[:, 1]
        for name in NAMES:
            options = {"k": 1} if name == "top_k_accuracy_score" else {}
            assert_same(getattr(metrics, name), getattr(peer, name), y, values, **options)
