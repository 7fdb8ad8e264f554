"""What is computed from the table of pairs, and the scores of classes beside precision and recall."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from tests.metrics.compare import assert_same
from tests.metrics.test_classification import ALPHABETS, ONES, chosen_labels, indicator_pairs, label_pairs

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

AVERAGES = [None, "micro", "macro", "weighted", "samples"]
# Sums of these are exact in any order, so that a difference of two is the same number here and there.
EXACT_WEIGHTS = [0.0, 0.25, 1.0, 2.5, 1024.0]


@st.composite
def exactly_weighted(draw, pairs):
    """The same pairs, weighted by what adds up exactly."""
    y_true, y_pred, _, more = draw(pairs)
    n = len(y_true)
    weight = draw(st.one_of(st.none(), st.lists(st.sampled_from(EXACT_WEIGHTS), min_size=n, max_size=n)))
    return y_true, y_pred, weight, more


@settings(max_examples=100, deadline=None)
@given(pair=label_pairs(), adjusted=st.booleans())
def test_balanced_accuracy(pair, adjusted):
    y_true, y_pred, weight, _ = pair
    assert_same(
        metrics.balanced_accuracy_score, peer.balanced_accuracy_score, y_true, y_pred,
        sample_weight=weight, adjusted=adjusted,
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    pair=exactly_weighted(label_pairs()),
    weights=st.sampled_from([None, "linear", "quadratic"]),
    undefined=st.sampled_from([np.nan, 0.0, 1.0, -1, 1]),
)
def test_kappa(data, pair, weights, undefined):
    y1, y2, weight, alphabet = pair
    assert_same(
        metrics.cohen_kappa_score, peer.cohen_kappa_score, y1, y2, labels=data.draw(chosen_labels(alphabet)),
        weights=weights, sample_weight=weight, replace_undefined_by=undefined,
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(pair=exactly_weighted(label_pairs()))
def test_matthews(pair):
    y_true, y_pred, weight, _ = pair
    assert_same(metrics.matthews_corrcoef, peer.matthews_corrcoef, y_true, y_pred, sample_weight=weight)


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    pair=label_pairs(alphabets=[a for a in ALPHABETS if len(a) <= 3]),
    undefined=st.sampled_from(
        [np.nan, 1.0, {"LR+": 1.0, "LR-": 0.0}, {"LR+": np.inf, "LR-": 0.5}, {"LR+": np.nan, "LR-": np.nan}]
    ),
)
def test_likelihood_ratios(data, pair, undefined):
    y_true, y_pred, weight, alphabet = pair
    labels = data.draw(chosen_labels(alphabet))
    if labels is not None and len(labels) > 2:
        labels = labels[:2]
    assert_same(
        metrics.class_likelihood_ratios, peer.class_likelihood_ratios, y_true, y_pred,
        labels=labels, sample_weight=weight, replace_undefined_by=undefined,
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(pair=exactly_weighted(st.one_of(label_pairs(), indicator_pairs())), normalize=st.booleans())
def test_losses(pair, normalize):
    y_true, y_pred, weight, _ = pair
    if np.ndim(y_true) == 2 and np.shape(y_true)[1] > 1:
        # scikit-learn cannot subtract sparse bool matrices
        y_true, y_pred = np.asarray(y_true, dtype=np.int64), np.asarray(y_pred, dtype=np.int64)
    assert_same(metrics.hamming_loss, peer.hamming_loss, y_true, y_pred, sample_weight=weight)
    assert_same(
        metrics.zero_one_loss, peer.zero_one_loss, y_true, y_pred, normalize=normalize, sample_weight=weight
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), pair=label_pairs(), average=st.sampled_from(AVERAGES))
def test_jaccard_and_fbeta(data, pair, average):
    y_true, y_pred, weight, alphabet = pair
    options = {"labels": data.draw(chosen_labels(alphabet)), "average": average, "sample_weight": weight}
    zero_division = data.draw(st.sampled_from(["warn", 0, 1, np.nan]))
    assert_same(metrics.jaccard_score, peer.jaccard_score, y_true, y_pred, zero_division=zero_division, **options)
    assert_same(
        metrics.fbeta_score, peer.fbeta_score, y_true, y_pred, beta=data.draw(st.sampled_from([0, 0.5, 2, math.inf])),
        zero_division=zero_division, **options,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(data=st.data(), pair=label_pairs(alphabets=[a for a in ALPHABETS if len(a) <= 3]))
def test_binary_jaccard_and_fbeta(data, pair):
    y_true, y_pred, weight, alphabet = pair
    options = {
        "sample_weight": weight,
        "pos_label": data.draw(st.sampled_from([*alphabet, 1, "x"])),
        "zero_division": data.draw(st.sampled_from(["warn", 0, 1])),
    }
    assert_same(metrics.jaccard_score, peer.jaccard_score, y_true, y_pred, **options)
    assert_same(metrics.fbeta_score, peer.fbeta_score, y_true, y_pred, beta=2, **options)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), pair=indicator_pairs(), average=st.sampled_from([*AVERAGES, "binary"]))
def test_multilabel_jaccard_and_fbeta(data, pair, average):
    y_true, y_pred, weight, k = pair
    options = {
        "labels": data.draw(
            st.one_of(st.none(), st.lists(st.integers(0, k - 1), min_size=1, max_size=k, unique=True))
        ),
        "average": average,
        "sample_weight": weight,
        "zero_division": data.draw(st.sampled_from(["warn", 0, 1])),
    }
    assert_same(metrics.jaccard_score, peer.jaccard_score, y_true, y_pred, **options)
    assert_same(metrics.fbeta_score, peer.fbeta_score, y_true, y_pred, beta=0.5, **options)


def _as_floats(function):
    """scikit-learn's counts are float64 where no row is right, ours int64 if unweighted."""
    return lambda *args, **kwargs: function(*args, **kwargs).astype(np.float64)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), pair=exactly_weighted(label_pairs()), samplewise=st.booleans())
def test_multilabel_confusion_matrix_of_labels(data, pair, samplewise):
    y_true, y_pred, weight, alphabet = pair
    assert_same(
        _as_floats(metrics.multilabel_confusion_matrix), _as_floats(peer.multilabel_confusion_matrix),
        y_true, y_pred, labels=data.draw(chosen_labels(alphabet)), sample_weight=weight, samplewise=samplewise,
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    pair=exactly_weighted(indicator_pairs()),
    samplewise=st.booleans(),
    whole_weights=st.booleans(),
)
def test_multilabel_confusion_matrix_of_indicators(data, pair, samplewise, whole_weights):
    y_true, y_pred, weight, k = pair
    if weight is not None and whole_weights:
        weight = [math.ceil(one) for one in weight]
    labels = data.draw(
        st.one_of(st.none(), st.lists(st.integers(0, k), min_size=1, max_size=k, unique=True))
    )
    assert_same(
        _as_floats(metrics.multilabel_confusion_matrix), _as_floats(peer.multilabel_confusion_matrix),
        y_true, y_pred, labels=labels, sample_weight=weight, samplewise=samplewise,
    )  # fmt: skip


def test_counts_are_integers():
    matrices = metrics.multilabel_confusion_matrix([0, 1], [1, 0])
    assert matrices.dtype == np.int64
    np.testing.assert_array_equal(matrices, [[[0, 1], [1, 0]], [[0, 1], [1, 0]]])
    y = np.eye(2, dtype=int)
    assert metrics.multilabel_confusion_matrix(y, y, samplewise=True, sample_weight=[1, 2]).dtype == np.int64
    assert metrics.multilabel_confusion_matrix(y, y, sample_weight=[1, 2]).dtype == np.float64


NAMES = [
    "balanced_accuracy_score", "class_likelihood_ratios", "cohen_kappa_score", "hamming_loss", "jaccard_score",
    "matthews_corrcoef", "multilabel_confusion_matrix", "zero_one_loss",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("y_true", "y_pred"),
    [
        ([], []),
        (ONES, [1, 0]),
        (ONES, [0.5, 0.1, 1]),
        (ONES, [0.0, np.nan, 1]),
        (ONES, ["a", "b", "a"]),
        (ONES, "abc"),
        (ONES, None),
        (ONES, [[1, 0], [0, 1], [1, 1]]),
        ([[1, 2], [0, 1], [1, 1]], [[1, 2], [0, 1], [1, 1]]),
        ([[1, 0], [0, 1]], [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_bad_targets(name, y_true, y_pred):
    with pytest.raises((ValueError, TypeError)):
        getattr(metrics, name)(y_true, y_pred)
    assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_pred)


@pytest.mark.parametrize("name", ["balanced_accuracy_score", "class_likelihood_ratios", "cohen_kappa_score",
                                  "matthews_corrcoef"])  # fmt: skip
def test_indicator_matrices_are_refused(name):
    y = np.eye(3, dtype=int)
    assert_same(getattr(metrics, name), getattr(peer, name), y, y)
    with pytest.raises(ValueError, match=r"must be labels, got indicator matrices"):
        getattr(metrics, name)(y, y)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weight", [[1, 2], [0, 0, 0], [1, np.nan, 1], [1, np.inf, 1], ["a", "b", "c"], 1.0])
def test_bad_weights(name, weight):
    with pytest.raises((ValueError, TypeError)):
        getattr(metrics, name)(ONES, ONES, sample_weight=weight)
    assert_same(getattr(metrics, name), getattr(peer, name), ONES, ONES, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("balanced_accuracy_score", {"adjusted": 1}),
        ("zero_one_loss", {"normalize": None}),
        ("multilabel_confusion_matrix", {"samplewise": "no"}),
        ("multilabel_confusion_matrix", {"samplewise": True}),
        ("multilabel_confusion_matrix", {"labels": 3}),
        ("cohen_kappa_score", {"weights": "cubic"}),
        ("cohen_kappa_score", {"replace_undefined_by": 2}),
        ("cohen_kappa_score", {"replace_undefined_by": None}),
        ("cohen_kappa_score", {"replace_undefined_by": "nan"}),
        ("cohen_kappa_score", {"labels": [7, 8]}),
        ("cohen_kappa_score", {"labels": []}),
        ("jaccard_score", {"zero_division": np.nan}),
        ("jaccard_score", {"zero_division": 2}),
        ("jaccard_score", {"average": "mean"}),
        ("jaccard_score", {"average": "samples"}),
        ("jaccard_score", {"pos_label": 7}),
        ("jaccard_score", {"pos_label": [1]}),
        ("fbeta_score", {}),
        ("fbeta_score", {"beta": -1}),
        ("fbeta_score", {"beta": "1"}),
        ("class_likelihood_ratios", {"replace_undefined_by": 0.5}),
        ("class_likelihood_ratios", {"replace_undefined_by": "nan"}),
        ("class_likelihood_ratios", {"replace_undefined_by": {"LR+": 1.0}}),
        ("class_likelihood_ratios", {"replace_undefined_by": {"LR+": 0.5, "LR-": 0.0}}),
        ("class_likelihood_ratios", {"replace_undefined_by": {"LR+": 1.0, "LR-": 2.0}}),
        ("class_likelihood_ratios", {"replace_undefined_by": {"LR+": None, "LR-": 0.5}}),
        ("class_likelihood_ratios", {"labels": [0, 1, 2]}),
        ("class_likelihood_ratios", {"labels": [1]}),
    ],
)
def test_bad_options(name, options):
    with pytest.raises((ValueError, TypeError)):
        getattr(metrics, name)(ONES, ONES, **options)
    assert_same(getattr(metrics, name), getattr(peer, name), ONES, ONES, **options)


def test_likelihood_ratios_of_three_classes_are_refused():
    assert_same(metrics.class_likelihood_ratios, peer.class_likelihood_ratios, [0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="must hold two classes, got 3"):
        metrics.class_likelihood_ratios([0, 1, 2], [0, 1, 2])


def test_kappa_names_its_own_arguments():
    with pytest.raises(ValueError, match="y2 must not hold NaN or infinity"):
        metrics.cohen_kappa_score(ONES, [0.0, np.nan, 1.0])
    with pytest.raises(ValueError, match="at least one label that is in y1"):
        metrics.cohen_kappa_score(ONES, ONES, labels=[5])


def test_a_loss_of_few_rows_among_many_weights_keeps_its_digits():
    """A deliberate difference: scikit-learn subtracts the accuracy from 1."""
    loss = metrics.zero_one_loss([0, 1], [0, 0], sample_weight=[1e8, 1e-8])
    assert loss == 1e-8 / (1e8 + 1e-8)
    assert metrics.zero_one_loss([0, 1], [0, 0], sample_weight=[1e8, 1e-8], normalize=False) == 1e-8


def test_likelihood_ratios_beyond_products_of_int64():
    weight = np.array([3, 1, 1, 3]) * 2**40
    assert metrics.class_likelihood_ratios([0, 0, 1, 1], [0, 1, 0, 1], sample_weight=weight) == (3.0, 1 / 3)


def test_adjusted_balanced_accuracy_of_one_class_is_nan():
    with pytest.warns(UserWarning, match="A single label"):
        assert math.isnan(metrics.balanced_accuracy_score([1, 1], [1, 1], adjusted=True))


def test_undefined_kappa_is_warned_of():
    with (
        pytest.warns(UndefinedMetricWarning, match="one label in common"),
        pytest.warns(UserWarning, match="A single label"),
    ):
        assert metrics.cohen_kappa_score([1, 1], [1, 1], replace_undefined_by=0.0) == 0.0


def test_an_option_of_the_wrong_type_is_a_value_and_a_type_error():
    with pytest.raises(InvalidParameterError, match="weights must be one of"):
        metrics.cohen_kappa_score(ONES, ONES, weights="cubic")


@pytest.mark.parametrize("n_classes", [2, 10, 40, 3000])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_rows(n_classes, weighted):
    rng = np.random.default_rng(n_classes)
    n = 50_000
    y_true = rng.integers(0, n_classes, n)
    y_pred = np.where(rng.random(n) < 0.7, y_true, rng.integers(0, n_classes, n)).astype(np.int16)
    options = {"sample_weight": rng.random(n) if weighted else None}
    for name in ("balanced_accuracy_score", "cohen_kappa_score", "hamming_loss", "matthews_corrcoef", "zero_one_loss"):
        assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_pred, **options)
    for average in AVERAGES[:-1]:
        assert_same(metrics.jaccard_score, peer.jaccard_score, y_true, y_pred, average=average, **options)
