"""Classification metrics against scikit-learn, and what both must refuse."""
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasttrain
from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from tests.helpers import THREAD_COUNTS
from tests.metrics.compare import assert_equal, assert_same

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

SCORES = ["precision_score", "recall_score", "f1_score", "precision_recall_fscore_support"]
ZERO_DIVISIONS = ["warn", 0, 1, 0.0, 1.0, np.nan]

# uint64 has a test of its own: with int64 its labels are floats to scikit-learn, and integers here
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32]
# label sets: small, negative, wide apart, beyond int32, strings, floats
ALPHABETS = [
    [0, 1], [1, 2], [-1, 1], [0], [1], [3], [0, 1, 2], [0, 2, 5, 31], [0, 32], [-3, 7, 40], [5, 500, 90_000],
    [-(2**40), 0, 2**40], [0.0, 1.0], [0.0, 1.0, 2.0, 300.0], [-1.0, 1e12], ["a", "b"], ["a", "b", "ccc"], ["no"],
    [False, True],
]  # fmt: skip


@st.composite
def label_pairs(draw, alphabets=ALPHABETS, max_rows=12):
    """(y_true, y_pred, sample_weight, alphabet), the vectors as lists or arrays."""
    alphabet = draw(st.sampled_from(alphabets))
    n = draw(st.integers(1, max_rows))
    vectors = []
    for _ in range(2):
        # classes may be absent from either vector
        some = draw(st.lists(st.sampled_from(alphabet), min_size=1, max_size=len(alphabet), unique=True))
        y = draw(st.lists(st.sampled_from(some), min_size=n, max_size=n))
        form = draw(st.integers(0, 4))
        if form:
            y = np.array(y)
            fits = y.dtype.kind == "i"
            narrow = draw(st.sampled_from(INTEGERS)) if fits else None
            if fits and form > 1 and y.min() >= np.iinfo(narrow).min and y.max() <= np.iinfo(narrow).max:
                y = y.astype(narrow)
            elif form == 3:
                y = np.repeat(y, 2)[::2]
            elif form == 4:
                y = y[:, np.newaxis]
            elif form == 2 and y.dtype.kind == "U":
                y = y.astype(object)
        vectors.append(y)
    weight = draw(
        st.one_of(
            st.none(),
            st.lists(st.sampled_from([0.0, 1.0, 0.1, 2.5, 1e-8, 1e8]), min_size=n, max_size=n),
            st.lists(st.integers(0, 5), min_size=n, max_size=n),
        )
    )
    return (*vectors, weight, alphabet)


@st.composite
def indicator_pairs(draw):
    """(y_true, y_pred, sample_weight, number of labels)."""
    n, k = draw(st.integers(1, 6)), draw(st.integers(2, 4))
    dtype = draw(st.sampled_from([np.int64, np.uint8, np.float32, bool]))
    matrices = [
        np.array(draw(st.lists(st.integers(0, 1), min_size=n * k, max_size=n * k))).reshape(n, k).astype(dtype)
        for _ in range(2)
    ]
    weight = draw(st.one_of(st.none(), st.lists(st.sampled_from([0.0, 1.0, 0.3]), min_size=n, max_size=n)))
    return (*matrices, weight, k)


@st.composite
def chosen_labels(draw, alphabet):
    """labels=: none, a selection in any order, with labels that do not occur."""
    more = ["zzz"] if isinstance(alphabet[0], str) else [7, 1000]
    if isinstance(alphabet[0], bool):
        more = []
    return draw(st.one_of(st.none(), st.lists(st.sampled_from(alphabet + more), min_size=1, max_size=4, unique=True)))


@settings(max_examples=100, deadline=None)
@given(pair=label_pairs(), normalize=st.booleans())
def test_accuracy(pair, normalize):
    y_true, y_pred, weight, _ = pair
    assert_same(
        metrics.accuracy_score, peer.accuracy_score, y_true, y_pred, normalize=normalize, sample_weight=weight
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data(), pair=label_pairs(), normalize=st.sampled_from([None, None, "true", "pred", "all"]))
def test_confusion_matrix(data, pair, normalize):
    y_true, y_pred, weight, alphabet = pair
    labels = data.draw(chosen_labels(alphabet))
    assert_same(
        metrics.confusion_matrix, peer.confusion_matrix, y_true, y_pred,
        labels=labels, sample_weight=weight, normalize=normalize,
    )  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), pair=label_pairs(), average=st.sampled_from([None, "micro", "macro", "weighted", "samples"]))
def test_scores(name, data, pair, average):
    y_true, y_pred, weight, alphabet = pair
    options = {"zero_division": data.draw(st.sampled_from(ZERO_DIVISIONS)), "labels": data.draw(chosen_labels(alphabet))}
    if name == "precision_recall_fscore_support":
        options["beta"] = data.draw(st.sampled_from([0.5, 1, 2.0, 0, math.inf]))
    assert_same(
        _without_support_dtype(getattr(metrics, name)), _without_support_dtype(getattr(peer, name)),
        y_true, y_pred, average=average, sample_weight=weight, **options,
    )  # fmt: skip


def _without_support_dtype(function):
    """Support as float: scikit-learn's is float64 where no row is right, ours is int64 without weights always."""

    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        return tuple(
            one.astype(np.float64) if isinstance(one, np.ndarray) else one for one in result
        ) if isinstance(result, tuple) else result  # fmt: skip

    return call


@pytest.mark.parametrize("name", SCORES)
@settings(max_examples=50, deadline=None)
@given(data=st.data(), pair=label_pairs(alphabets=[a for a in ALPHABETS if len(a) <= 3]))
def test_binary_scores(name, data, pair):
    y_true, y_pred, weight, alphabet = pair
    assert_same(
        _without_support_dtype(getattr(metrics, name)), _without_support_dtype(getattr(peer, name)),
        y_true, y_pred, average="binary", sample_weight=weight,
        pos_label=data.draw(st.sampled_from([*alphabet, 1, "x"])),
        zero_division=data.draw(st.sampled_from(ZERO_DIVISIONS)),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    pair=indicator_pairs(),
    average=st.sampled_from([None, "micro", "macro", "weighted", "samples", "binary"]),
)
def test_multilabel_scores(data, pair, average):
    y_true, y_pred, weight, k = pair
    labels = data.draw(st.one_of(st.none(), st.lists(st.integers(0, k - 1), min_size=1, max_size=k, unique=True)))
    options = {"average": average, "labels": labels, "sample_weight": weight}
    zero_division = data.draw(st.sampled_from(ZERO_DIVISIONS))
    assert_same(
        metrics.precision_recall_fscore_support, peer.precision_recall_fscore_support,
        y_true, y_pred, zero_division=zero_division, **options,
    )  # fmt: skip
    name = data.draw(st.sampled_from(SCORES[:3]))
    assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_pred, zero_division=zero_division, **options)


@settings(max_examples=60, deadline=None)
@given(pair=indicator_pairs(), normalize=st.booleans())
def test_multilabel_accuracy(pair, normalize):
    y_true, y_pred, weight, _ = pair
    # scikit-learn cannot subtract sparse bool matrices
    y_true, y_pred = y_true.astype(np.int64), y_pred.astype(np.int64)
    assert_same(
        metrics.accuracy_score, peer.accuracy_score, y_true, y_pred, normalize=normalize, sample_weight=weight
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data(), pair=label_pairs(), as_dict=st.booleans(), digits=st.integers(0, 4))
def test_report(data, pair, as_dict, digits):
    y_true, y_pred, weight, alphabet = pair
    labels = data.draw(chosen_labels(alphabet))
    _compare_reports(y_true, y_pred, weight, labels, as_dict, digits, data)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), pair=indicator_pairs(), as_dict=st.booleans())
def test_multilabel_report(data, pair, as_dict):
    y_true, y_pred, weight, _ = pair
    _compare_reports(y_true, y_pred, weight, None, as_dict, 2, data)


def _compare_reports(y_true, y_pred, weight, labels, as_dict, digits, data):
    names = None
    if labels is not None and data.draw(st.booleans()):
        names = [f"class {i}" for i in range(len(labels))]
    options = {
        "labels": labels, "sample_weight": weight, "digits": digits, "target_names": names,
        "zero_division": data.draw(st.sampled_from([0, 1, np.nan, "warn"])),
    }  # fmt: skip
    # the last printed digit of sums of weights may differ, and integers show as floats where no row is right
    exact = weight is None and np.any(np.ravel(y_true) == np.ravel(y_pred))
    assert_same(
        metrics.classification_report, peer.classification_report, y_true, y_pred,
        output_dict=as_dict or not exact, **options,
    )  # fmt: skip


def test_report_is_the_text_of_scikit_learn():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 10, 500), rng.integers(0, 10, 500)
    assert metrics.classification_report(y_true, y_pred) == peer.classification_report(y_true, y_pred)
    weight = rng.integers(0, 4, 500) / 4
    assert metrics.classification_report(y_true, y_pred, sample_weight=weight, digits=4) == peer.classification_report(
        y_true, y_pred, sample_weight=weight, digits=4
    )


@settings(max_examples=100, deadline=None)
@given(pairs=st.tuples(label_pairs(), label_pairs()))
def test_vectors_that_do_not_belong_together(pairs):
    """Lengths that differ, strings with numbers, integers with floats and bools."""
    (y_true, _, _, _), (_, y_pred, _, _) = pairs
    assert_same(metrics.accuracy_score, peer.accuracy_score, y_true, y_pred)
    assert_same(metrics.confusion_matrix, peer.confusion_matrix, y_true, y_pred)
    assert_same(
        metrics.classification_report, peer.classification_report, y_true, y_pred, zero_division=0, output_dict=True
    )


ONES = [1, 1, 0]


@pytest.mark.parametrize(
    ("y_true", "y_pred"),
    [
        ([], []),
        (ONES, [1, 0]),
        (ONES, [0.5, 0.1, 1]),
        (ONES, [0.0, np.nan, 1]),
        (ONES, [0.0, np.inf, 1]),
        (ONES, [1e300, 0.0, 1]),
        (ONES, ["a", "b", "a"]),
        (["a", "b", "a"], ONES),
        (ONES, "abc"),
        (ONES, 1),
        (ONES, None),
        (ONES, np.float64(1)),
        (ONES, np.array(1)),
        (ONES, {1, 2, 3}),
        (ONES, [[1], [0]]),
        (ONES, [[1, 0], [0, 1], [1, 1]]),
        (ONES, [[1, 2], [0, 1], [1, 1]]),
        ([[1, 2], [0, 1], [1, 1]], [[1, 2], [0, 1], [1, 1]]),
        ([[1, 0], [0, 1]], [[1, 0, 0], [0, 1, 0]]),
        ([["a", "b"], ["b", "b"]], [["a", "b"], ["b", "b"]]),
        ([[0.5, 1], [0, 1]], [[1, 0], [0, 1]]),
        (ONES, [[1, 2], [0], [1]]),
        (ONES, np.zeros((3, 2, 2), dtype=int)),
        (ONES, np.zeros((3, 0), dtype=int)),
        (ONES, [1 + 1j, 0, 1]),
        (ONES, [b"a", b"b", b"c"]),
        (ONES, np.array([1, 0, 1], dtype=object)),
        (ONES, [None, 1, 0]),
        (np.array(["a", 1, 2], dtype=object), np.array(["a", 1, 2], dtype=object)),
        (["a", "b", "b"], np.array(["a", None, "b"], dtype=object)),
    ],
)
def test_bad_targets(y_true, y_pred):
    for name in ("accuracy_score", "confusion_matrix", "f1_score", "classification_report"):
        with pytest.raises((ValueError, TypeError)):
            getattr(metrics, name)(y_true, y_pred)
        assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_pred)


@pytest.mark.parametrize(
    "weight",
    [
        [1, 2], [[1, 1, 1]], [[1], [1], [1]], [0, 0, 0], [0.0, 0.0, 0.0], [1, np.nan, 1], [1, np.inf, 1],
        [1, 1 + 1j, 1], ["a", "b", "c"], 1.0, "abc", [1, 2, 3, 4],
    ],
)  # fmt: skip
def test_bad_weights(weight):
    for name in ("accuracy_score", "confusion_matrix", "f1_score", "classification_report"):
        with pytest.raises((ValueError, TypeError)):
            getattr(metrics, name)(ONES, ONES, sample_weight=weight)
        assert_same(getattr(metrics, name), getattr(peer, name), ONES, ONES, sample_weight=weight)


def test_negative_weights_are_refused():
    """A deliberate difference: scikit-learn computes with them."""
    with pytest.raises(ValueError, match="sample_weight must be finite and not negative"):
        metrics.accuracy_score(ONES, ONES, sample_weight=[1, -1, 1])


@pytest.mark.parametrize(
    "options",
    [
        {"average": "mean"}, {"average": 1}, {"average": "samples"}, {"average": "binary", "pos_label": 7},
        {"average": "binary", "pos_label": None}, {"pos_label": [1]}, {"zero_division": 2}, {"zero_division": "no"},
        {"zero_division": None}, {"labels": 3}, {"labels": "ab"}, {"average": "macro", "pos_label": 0},
        {"average": "macro", "labels": []}, {"zero_division": True},
    ],
)  # fmt: skip
def test_options_of_scores(options):
    assert_same(metrics.f1_score, peer.f1_score, ONES, [1, 0, 0], **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("accuracy_score", {"normalize": 1}),
        ("accuracy_score", {"normalize": "yes"}),
        ("confusion_matrix", {"normalize": "rows"}),
        ("confusion_matrix", {"normalize": True}),
        ("confusion_matrix", {"labels": []}),
        ("confusion_matrix", {"labels": [5, 6]}),
        ("confusion_matrix", {"labels": [1, 0, 1]}),
        ("confusion_matrix", {"labels": [1]}),
        ("precision_recall_fscore_support", {"beta": -1}),
        ("precision_recall_fscore_support", {"beta": np.nan}),
        ("precision_recall_fscore_support", {"beta": "1"}),
        ("precision_recall_fscore_support", {"warn_for": "recall"}),
        ("classification_report", {"digits": -1}),
        ("classification_report", {"digits": 1.5}),
        ("classification_report", {"output_dict": 1}),
        ("classification_report", {"target_names": ["a"]}),
        ("classification_report", {"target_names": ["a"], "labels": [0, 1]}),
        ("classification_report", {"target_names": "ab"}),
        ("classification_report", {"labels": [1]}),
        ("classification_report", {"labels": [1, 0, 3], "zero_division": 0}),
        ("classification_report", {"zero_division": 0.5}),
    ],
)
def test_other_options(name, options):
    assert_same(getattr(metrics, name), getattr(peer, name), ONES, [1, 0, 0], **options)


@pytest.mark.parametrize("labels", [[0, 5], [-1, 0]])
def test_labels_outside_an_indicator_matrix(labels):
    y = np.eye(3, dtype=int)
    assert_same(metrics.f1_score, peer.f1_score, y, y, labels=labels, average="macro")
    with pytest.raises(ValueError, match=r"labels must lie in 0 \.\. 2"):
        metrics.f1_score(y, y, labels=labels, average="macro")


def test_labels_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="labels must be of the kind of y_true"):
        metrics.f1_score(ONES, ONES, labels=["0", "1"], average="macro")


def test_warnings_name_the_callers_line_and_both_classes():
    from sklearn.exceptions import UndefinedMetricWarning as PeerWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metrics.f1_score([0, 0], [0, 0])
        metrics.precision_score([0, 1], [0, 0])
        metrics.classification_report([0, 1], [0, 0])
    assert len(caught) == 3  # for the report: precision alone, once
    for one in caught:
        assert one.filename == __file__
        assert issubclass(one.category, PeerWarning)
        assert issubclass(one.category, UndefinedMetricWarning)
    assert "Precision is ill-defined and being set to 0.0 due to no predicted samples" in str(caught[1].message)


def test_f1_is_zero_and_not_undefined_where_only_precision_is():
    """From tp, fp, fn, so F1 is undefined only if all three are 0."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        [0, 1, 2], [0, 0, 2], labels=[0, 1, 3], zero_division=np.nan
    )
    np.testing.assert_array_equal(precision, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(recall, [1, 0, np.nan])
    np.testing.assert_array_equal(f1, [2 / 3, 0, np.nan])
    np.testing.assert_array_equal(support, [1, 1, 0])
    assert support.dtype == np.int64


def test_support_is_an_integer_where_no_row_is_right():
    """A deliberate difference: scikit-learn's is float64 then."""
    assert metrics.precision_recall_fscore_support([0, 1], [1, 0])[3].dtype == np.int64


@pytest.mark.parametrize("n_classes", [2, 10, 31, 32, 33, 200, 3000])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_rows_and_classes_for_any_number_of_threads(n_classes, weighted):
    rng = np.random.default_rng(n_classes)
    n = 300_000
    y_true = rng.integers(0, n_classes, n)
    y_pred = np.where(rng.random(n) < 0.7, y_true, rng.integers(0, n_classes, n)).astype(np.int16)
    options = {"sample_weight": rng.exponential(size=n) if weighted else None}
    results = []
    for threads in THREAD_COUNTS:
        with fasttrain.num_threads(threads):
            results.append(
                (
                    metrics.accuracy_score(y_true, y_pred, **options),
                    metrics.precision_recall_fscore_support(y_true, y_pred, average="macro", **options),
                )
            )
    assert results[1] == results[0]
    assert results[2] == results[0]
    accuracy = np.average(y_true == y_pred, weights=options["sample_weight"])
    np.testing.assert_allclose(results[0][0], accuracy, rtol=1e-12)
    expected = peer.precision_recall_fscore_support(y_true, y_pred, average="macro", **options)
    assert_equal(results[0][1], expected)


def test_more_classes_than_a_table_could_hold():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 10**6, 20_000), rng.integers(0, 10**6, 20_000)
    y_pred[::3] = y_true[::3]
    for average in ("micro", "macro", "weighted"):
        options = {"average": average, "zero_division": 0}
        assert_equal(metrics.f1_score(y_true, y_pred, **options), peer.f1_score(y_true, y_pred, **options))
    assert metrics.accuracy_score(y_true, y_pred) == peer.accuracy_score(y_true, y_pred)


def test_labels_at_the_ends_of_their_types():
    y_true = np.array([2**63 - 1, -(2**63), 0])
    y_pred = np.array([2**63 - 1, 2**64 - 1, 0], dtype=np.uint64)
    assert metrics.accuracy_score(y_true, y_true) == 1
    np.testing.assert_array_equal(
        metrics.confusion_matrix(y_true, y_pred), [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    )


def test_integer_weights_beyond_the_integers_of_float64():
    weight = np.array([2**53, 1, 1])
    np.testing.assert_array_equal(
        metrics.confusion_matrix([0, 0, 1], [0, 0, 0], sample_weight=weight), [[2**53 + 1, 0], [1, 0]]
    )


@pytest.mark.parametrize("name", ["pandas", "polars", "torch"])
def test_columns_of_other_libraries(name):
    library = pytest.importorskip(name, reason=f"compares with {name}")
    make = library.tensor if name == "torch" else library.Series
    y_true, y_pred = [0, 1, 2, 2], [0, 2, 2, 2]
    assert metrics.accuracy_score(make(y_true), make(y_pred)) == 0.75
    np.testing.assert_array_equal(
        metrics.confusion_matrix(make(y_true), y_pred), peer.confusion_matrix(y_true, y_pred)
    )


def test_uint64_labels_stay_integers():
    """A deliberate difference: scikit-learn makes floats of uint64 with int64."""
    report = metrics.classification_report(np.array([0, 1], dtype=np.uint64), np.array([0, 2]), zero_division=0)
    assert [line.split()[0] for line in report.splitlines()[2:5]] == ["0", "1", "2"]


def test_layouts_and_byte_orders():
    y = np.array([0, 1, 2, 1])
    frozen = y.copy()
    frozen.flags.writeable = False
    shifted = np.frombuffer(b"\0" + y.tobytes(), dtype=np.uint8)[1:].view(np.int64)
    for other in (y.astype(">i8"), np.repeat(y, 2)[::2], y[::-1][::-1], frozen, shifted, y.astype(np.float16)):
        assert metrics.accuracy_score(y, other) == 1


@pytest.mark.parametrize("kind", ["masked", "sparse", "matrix"])
def test_masked_and_sparse_arrays_are_refused(kind):
    if kind == "sparse":
        y = pytest.importorskip("scipy.sparse", reason="makes a sparse array").csr_array(np.eye(3))
    elif kind == "masked":
        y = np.ma.masked_array(ONES)
    else:
        with pytest.warns(PendingDeprecationWarning):
            y = np.matrix(ONES)
    with pytest.raises(TypeError, match="y_true must"):
        metrics.accuracy_score(y, ONES)


def test_scikit_learn_is_never_imported():
    code = (
        "import sys, warnings, fasttrain.metrics as m, fasttrain.exceptions as e\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    m.f1_score([0, 0], [0, 0])\n"
        "assert caught[0].category is e.UndefinedMetricWarning\n"
        "assert not any(name.partition('.')[0] in ('sklearn', 'scipy') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_option_of_the_wrong_type_is_a_value_and_a_type_error():
    with pytest.raises(InvalidParameterError, match="average must be one of"):
        metrics.f1_score(ONES, ONES, average="mean")
