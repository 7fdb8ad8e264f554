"""A state of counts answers as the functions do of all rows, whatever the split and the order of merging."""

import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import metrics
from fasttrain.metrics import ConfusionState
from tests.metrics.compare import assert_equal
from tests.metrics.splits import (
    assert_refuses_broken_arrays,
    assert_same_arrays,
    assert_same_metric,
    cuts,
    fed,
    fed_by_shards,
)

METHODS = sorted(name for name in vars(ConfusionState) if name in metrics.__all__)
ALPHABETS = [[0, 1], [0, 1, 2, 5], [-3, 40], ["a", "bb", "ccc"], [1.0, 2.0, 7.0], [0, 2**40, -(2**40)], [False, True]]
OPTIONS = {
    "fbeta_score": [{"beta": 2.0}],
    "f1_score": [{"average": a} for a in (None, "binary", "micro", "macro", "weighted")],
    "precision_score": [{"average": "macro", "zero_division": np.nan}, {"average": "micro"}],
    "recall_score": [{"average": "weighted", "zero_division": 1}],
    "jaccard_score": [{"average": "macro"}, {"average": None}],
    "confusion_matrix": [{}, {"normalize": "true"}, {"normalize": "all"}],
    "accuracy_score": [{}, {"normalize": False}],
    "zero_one_loss": [{}, {"normalize": False}],
    "cohen_kappa_score": [{}, {"weights": "quadratic"}],
    "balanced_accuracy_score": [{}, {"adjusted": True}],
    "classification_report": [{}, {"output_dict": True, "zero_division": 0}],
}


def weights(n):
    return st.one_of(
        st.none(),
        # huge and tiny, and yet their sums are exact, so that differences of sums (true negatives) are too
        st.lists(st.sampled_from([0.0, 1.0, 0.125, 2.5, 2.0**-20, 2.0**25]), min_size=n, max_size=n).map(np.array),
        st.lists(st.integers(0, 5), min_size=n, max_size=n).map(lambda w: np.array(w, dtype=np.int32)),
    )


@st.composite
def streams(draw):
    alphabet = draw(st.sampled_from(ALPHABETS))
    n = draw(st.integers(1, 12))
    values = st.lists(st.sampled_from(alphabet), min_size=n, max_size=n)
    y_true, y_pred = np.array(draw(values)), np.array(draw(values))
    weight = draw(weights(n))
    if weight is not None and not weight.any():
        weight[0] = 1
    return y_true, y_pred, weight, draw(cuts(n)), alphabet


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=60, deadline=None)
@given(stream=streams(), tree=st.lists(st.integers(0, 9), max_size=5), data=st.data())
def test_any_split_answers_as_all_rows(name, stream, tree, data):
    y_true, y_pred, weight, chunks, alphabet = stream
    options = dict(data.draw(st.sampled_from(OPTIONS.get(name, [{}]))))
    function = getattr(metrics, name)
    if "labels" in inspect.signature(function).parameters and data.draw(st.booleans()):
        options["labels"] = data.draw(st.permutations(alphabet))
    streamed = fed(ConfusionState(), chunks, y_true, y_pred, weight)
    sharded = fed_by_shards(ConfusionState, chunks, tree, y_true, y_pred, weight)
    whole = [y_true, y_pred] if weight is None else [y_true, y_pred, weight]
    if weight is not None:
        def function(y_true, y_pred, weight, **options):
            return getattr(metrics, name)(y_true, y_pred, sample_weight=weight, **options)
    for state in (streamed, sharded):
        assert_same_metric(getattr(state, name), function, *whole, **options)
    if weight is None or weight.dtype.kind == "i":
        assert_same_arrays(streamed.to_arrays(), sharded.to_arrays())


@pytest.mark.parametrize("name", [n for n in METHODS if n not in ("balanced_accuracy_score", "classification_report")])
@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 99), data=st.data())
def test_indicator_matrices(name, n, seed, data):
    rng = np.random.default_rng(seed)
    y_true, y_pred = rng.integers(0, 2, (2, n, 3))
    y_true[0], y_pred[0] = [0, 1, 0], [1, 0, 1]
    weight = data.draw(st.sampled_from([None, rng.integers(0, 4, n) + (np.arange(n) == 0), rng.random(n) + 0.1]))
    # a chunk of one value is no less an indicator matrix
    chunks = data.draw(cuts(n))
    options = {"average": "macro"} if "average" in inspect.signature(getattr(metrics, name)).parameters else {}
    if name == "fbeta_score":
        options["beta"] = 0.5
    state = fed_by_shards(ConfusionState, chunks, [], y_true, y_pred, weight)

    def function(**options):
        return getattr(metrics, name)(y_true, y_pred, sample_weight=weight, **options)

    if name == "cohen_kappa_score":
        def function(**options):
            return metrics.cohen_kappa_score(y_true, y_pred, sample_weight=weight)
    # rows of neither label are what is left of the total, some units of weight
    assert_same_metric(getattr(state, name), function, atol=1e-14, **options)


def test_every_metric_of_labels_is_there():
    of_rows = {"auc", "median_absolute_error"}
    from fasttrain.metrics import agreement, classification, report

    assert set(METHODS) == {*agreement.__all__, *classification.__all__, *report.__all__} - of_rows


def test_what_single_rows_determine_is_refused():
    state = ConfusionState().update(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [1, 0]]))
    for ask in (lambda: state.f1_score(average="samples"), state.classification_report,
                lambda: state.multilabel_confusion_matrix(samplewise=True)):
        with pytest.raises(ValueError, match="does not keep what single rows have"):
            ask()


def test_fixed_labels():
    state = ConfusionState(labels=["c", "a", "b"]).update(["a", "b"], ["a", "a"])
    assert state.labels.tolist() == ["c", "a", "b"]
    assert_equal(state.confusion_matrix(), metrics.confusion_matrix(["a", "b"], ["a", "a"], labels=["c", "a", "b"]))
    assert_equal(state.confusion_matrix(labels=["a", "b"]), metrics.confusion_matrix(["a", "b"], ["a", "a"]))
    before = state.to_arrays()
    with pytest.raises(ValueError, match=r"must hold labels among \['a', 'b', 'c'\], got \['d'\]"):
        state.update(["a", "d"], ["a", "a"])
    with pytest.raises(ValueError, match="fed either labels"):
        state.update(np.eye(2), np.eye(2))
    other = ConfusionState(labels=["a", "b", "c"]).update(["a"], ["c"])
    for stranger in (other, ConfusionState().update(["a"], ["a"]), ConfusionState()):
        theirs = stranger.to_arrays()
        with pytest.raises(ValueError, match="same fixed labels"):
            state.merge(stranger)
        assert_same_arrays(stranger.to_arrays(), theirs)
    assert_same_arrays(state.to_arrays(), before)
    assert_refuses_broken_arrays(state)
    for wrong in ([], [[1, 2]], [1, 1]):
        with pytest.raises(ValueError, match="labels must"):
            ConfusionState(labels=wrong)


def test_errors_leave_the_state_as_it_was():
    state = ConfusionState().update([0, 1], [1, 1], [0.5, 1.0])
    before = state.to_arrays()
    for rows in (([0, 1], [1]), (["a"], ["b"]), ([0.5], [1]), ([0], [1], [-1.0]), ([0], [1], [np.nan]),
                 (np.eye(2), np.eye(2)), ([], [1]), ([0], ["a"])):
        with pytest.raises(ValueError, match="must"):
            state.update(*rows)
    with pytest.raises(ValueError, match="same number of rows"):
        state.update([], [], [1.0, 2.0])
    with pytest.raises(TypeError, match="other must be a ConfusionState, got dict"):
        state.merge({})
    with pytest.raises(ValueError, match="mix strings and numbers"):
        state.merge(ConfusionState().update(["a"], ["a"]))
    assert_same_arrays(state.to_arrays(), before)
    matrices = ConfusionState().update(np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="2 columns"):
        matrices.update(np.eye(3), np.eye(3))
    with pytest.raises(TypeError, match=r"f1_score\(\) of a state takes .*sample_weight"):
        state.f1_score(sample_weight=[1])


def test_nothing_to_answer_from():
    with pytest.raises(ValueError, match="at least one row"):
        ConfusionState().accuracy_score()
    state = ConfusionState().update([], []).update([0, 1], [1, 1], [0, 0])
    with pytest.raises(ValueError, match="must not be zero in every row"):
        state.f1_score()
    # a row without weight has a label all the same
    state.update([1], [1], [1])
    assert state.labels.tolist() == [0, 1]
    assert_equal(state.confusion_matrix(), np.array([[0, 0], [0, 1]]))


def test_answers_are_no_part_of_the_state():
    state = ConfusionState().update([0, 1, 1], [1, 1, 0])
    matrices = ConfusionState().update(np.eye(2), np.eye(2))
    before, before_matrices = state.to_arrays(), matrices.to_arrays()
    state.confusion_matrix()[:] = 9
    state.labels[:] = 9
    matrices.precision_recall_fscore_support()[3][:] = 9
    for array in (*state.to_arrays().values(), *matrices.to_arrays().values()):
        array[...] = 1 if array.dtype.kind != "U" else "x"
    assert_same_arrays(state.to_arrays(), before)
    assert_same_arrays(matrices.to_arrays(), before_matrices)


def test_broken_arrays():
    state = ConfusionState().update(["a", "b"], ["b", "b"])
    assert_refuses_broken_arrays(state)
    assert_refuses_broken_arrays(ConfusionState().update(np.eye(2), np.eye(2), [0.5, 2.0]))
    arrays = state.to_arrays()
    for change, message in (
        ({"labels": np.array(["b", "a"])}, "sorted"),
        ({"in_true": np.array([False, True])}, "must be true where"),
        ({"table": arrays["table"] * 0.5}, "weighted"),
        ({"fixed_labels": np.array(["a"])}, "among"),
    ):
        with pytest.raises(ValueError, match=message):
            ConfusionState.from_arrays({**arrays, **change})
    matrices = ConfusionState().update(np.eye(2), np.eye(2)).to_arrays()
    for change in ({"class_sums": matrices["class_sums"] * 9}, {"row_counts": matrices["row_counts"] * [1, 1, 1, 2]},
                   {"row_counts": matrices["row_counts"] * 1.0}, {"row_counts": matrices["row_counts"] + [0, 0, 1, 0]}):
        with pytest.raises(ValueError, match="must"):
            ConfusionState.from_arrays({**matrices, **change})


def test_integers_beyond_53_bits_are_exact():
    state = ConfusionState()
    for _ in range(3):
        state.update([0, 1], [0, 1], np.array([2**53 + 1, 1]))
    assert state.confusion_matrix().tolist() == [[3 * (2**53 + 1), 0], [0, 3]]
    # and those beyond int64 are sums of floats, not other numbers
    for _ in range(3):
        state.update([0], [0], np.array([2**62]))
    assert state.confusion_matrix()[0, 0] == 3 * 2.0**62 + 3 * 2.0**53


def test_wrong_labels_of_a_state_are_those_that_the_columns_tell():
    rng = np.random.default_rng(0)
    for values in ((0, 1), (0, 2), (1, 2)):
        # of two that are not zero each is a yes, and yet they may differ
        state = ConfusionState().update(rng.choice([0, 1], (9, 3)), rng.choice(values, (9, 3)))
        arrays = state.to_arrays()
        assert_same_arrays(ConfusionState.from_arrays(arrays).to_arrays(), arrays)
        for wrong in (0, 28):
            with pytest.raises(ValueError, match="wrong labels"):
                ConfusionState.from_arrays({**arrays, "row_counts": np.array([*arrays["row_counts"][:2], wrong, 9])})


def test_integer_weights_of_one_chunk_beyond_int64():
    y_true, y_pred, weight = np.array([0, 0, 0, 1]), np.zeros(4, np.int64), np.array([2**62] * 4)
    table = [[3 * 2.0**62, 0], [2.0**62, 0]]
    assert metrics.confusion_matrix(y_true, y_pred, sample_weight=weight).tolist() == table
    state = ConfusionState().update(y_true, y_pred, weight)
    assert state.confusion_matrix().tolist() == table
    assert state.accuracy_score() == metrics.accuracy_score(y_true, y_pred, sample_weight=weight) == 0.75
    arrays = ConfusionState().update(y_true, y_pred, weight // 8).to_arrays()
    assert arrays["table"].dtype == np.int64
    state = ConfusionState.from_arrays({**arrays, "table": np.array([[2**62, 2**62], [2**62, 2**62]])})
    assert state.accuracy_score() == 0.5
    assert state.to_arrays()["table"].sum() == 2.0**64
    matrices = np.array([[0, 1], [1, 1]]), np.array([[1, 0], [1, 1]])
    state = ConfusionState().update(*matrices, np.array([2**62, 2**62]))
    assert state.hamming_loss() == metrics.hamming_loss(*matrices, sample_weight=np.array([2**62, 2**62])) == 0.5


def test_states_merged_with_themselves_beyond_int64():
    for state in (ConfusionState().update([0, 1], [0, 0]), ConfusionState().update(np.eye(2), np.eye(2)[::-1])):
        accuracy = state.accuracy_score()
        for _ in range(70):
            state.merge(state)
        back = ConfusionState.from_arrays(state.to_arrays())
        assert state.accuracy_score() == back.accuracy_score() == accuracy


@pytest.mark.parametrize("parts", [
    [[True], [1], [1.0]], [[True], [1]], [[0, 1], [0.0, 1.0, 2.0], [False, True]],
    [np.array([3], np.int8), np.array([3], np.uint8), np.array([3], np.float16)],
    [np.array([2**63], np.uint64), np.array([5], np.int8), np.array([7], np.uint32)],
    [np.array([3], np.uint64), np.array([-5], np.int64)], [np.array([2**63], np.uint64), [-1], [3.0]],
    [["a"], ["a", "bbb"], ["cc"]],
])  # fmt: skip
def test_labels_do_not_depend_on_the_order_of_merging(parts):
    for other in itertools.permutations(parts):
        states = [ConfusionState().update(part, part) for part in other]
        for order in (other, other[::-1]):
            merged = ConfusionState()
            for part in order:
                merged.merge(ConfusionState().update(part, part))
            nested = states[0]
            if len(states) == 3:
                nested = ConfusionState().merge(states[0]).merge(ConfusionState().merge(states[1]).merge(states[2]))
            else:
                nested = ConfusionState().merge(states[0]).merge(states[1])
            assert_same_arrays(merged.to_arrays(), nested.to_arrays())


def test_integers_that_floats_cannot_be():
    large, small = np.array([2**53 + 1]), np.array([1.0])
    state = ConfusionState().update(large, large)
    before = state.to_arrays()
    for add in (lambda: state.update(small, small), lambda: ConfusionState().update(small, small).merge(state),
                lambda: ConfusionState().update(large, small)):
        with pytest.raises(ValueError, match=r"beyond 2\^53, got 9007199254740993"):
            add()
    assert_same_arrays(state.to_arrays(), before)
    # what a float can be stays
    state = ConfusionState().update(np.array([2**60]), np.array([2**60])).update(small, small)
    assert state.labels.tolist() == [1.0, 2.0**60]


@pytest.mark.parametrize("rows", [([0, 1], [0, 0]), (np.eye(2), np.eye(2))])
def test_weights_whose_sum_is_infinite(rows):
    state = ConfusionState().update(*rows, [1e308, 1.0])
    before = state.to_arrays()
    other = ConfusionState().update(*rows, [1.0, 1e308])
    for add in (lambda: state.merge(other), lambda: state.update(*rows, [1e308, 0.0]),
                lambda: ConfusionState().update(*rows, [1e308, 1e308])):
        with pytest.raises(ValueError, match="finite sum over all rows"):
            add()
    assert_same_arrays(state.to_arrays(), before)
