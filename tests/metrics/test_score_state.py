"""A state of scores answers as the functions do of all rows; its bounds contain what fractions give."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import kernels, metrics
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from fasttrain.metrics import ScoreState
from tests.metrics.compare import assert_equal
from tests.metrics.splits import (
    assert_refuses_broken_arrays,
    assert_same_arrays,
    assert_same_metric,
    cuts,
    fed,
    fed_by_shards,
)

METHODS = sorted(name for name in vars(ScoreState) if name in metrics.__all__)
OPTIONS = {
    "roc_auc_score": [{}, {"max_fpr": 0.3}, {"max_fpr": 1.0}, {"max_fpr": 0}],
    "roc_curve": [{}, {"drop_intermediate": False}],
    "precision_recall_curve": [{}, {"drop_intermediate": True}],
    "det_curve": [{}, {"drop_intermediate": True}],
}
MAX_BINS = [1, 2, 3, 5, 16]


def score_values(width):
    return st.one_of(
        st.sampled_from([0.0, -0.0, 0.5, 0.25, 1.0, 0.75]),
        st.integers(0, 8).map(lambda i: i / 8),
        st.floats(width=width, allow_nan=False, allow_infinity=False),
        st.sampled_from([2.0**-149, -(2.0**-149), 2.0**-126, np.nextafter(np.float32(0.5), np.float32(1)).item()]),
    )


def weights(n):
    return st.one_of(
        st.none(),
        # sums are exact
        st.lists(st.sampled_from([0.0, 1.0, 0.125, 2.5, 2.0**-20, 2.0**25]), min_size=n, max_size=n).map(np.array),
        st.lists(st.integers(0, 5), min_size=n, max_size=n).map(lambda w: np.array(w, dtype=np.int32)),
        st.lists(st.sampled_from([0.0, 1.0, 0.125, 3.0]), min_size=n, max_size=n).map(
            lambda w: np.array(w, dtype=np.float32)
        ),
    )


@st.composite
def streams(draw, max_rows=14, weight=weights):
    n = draw(st.integers(1, max_rows))
    y_true = np.array(draw(st.lists(st.sampled_from([0, 1]), min_size=n, max_size=n)))
    dtype = draw(st.sampled_from(["f4", "f8"]))
    score = np.array(draw(st.lists(score_values(32 if dtype == "f4" else 64), min_size=n, max_size=n)), dtype=dtype)
    weight = draw(weight(n))
    if weight is not None and not weight.any():
        weight[0] = 1
    return y_true, score, weight, draw(cuts(n))


def without_zero_weights(y_true, score, weight):
    # the DET curve asks for classes, though they be without weight
    return (y_true, score, weight) if weight is None else tuple(one[weight > 0] for one in (y_true, score, weight))


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=150, deadline=None)
@given(stream=streams(), tree=st.lists(st.integers(0, 9), max_size=5), data=st.data())
def test_any_split_answers_as_all_rows(name, stream, tree, data):
    y_true, score, weight, chunks = stream
    options = data.draw(st.sampled_from(OPTIONS.get(name, [{}])))
    streamed = fed(ScoreState(), chunks, y_true, score, weight)
    sharded = fed_by_shards(ScoreState, chunks, tree, y_true, score, weight)
    assert_same_arrays(streamed.to_arrays(), sharded.to_arrays())
    y_true, score, weight = without_zero_weights(y_true, score, weight)

    def function(**options):
        return getattr(metrics, name)(y_true, score, sample_weight=weight, **options)

    if name == "precision_recall_curve":
        assert streamed.to_arrays()["values"].dtype == score.dtype  # that of the thresholds
    for state in (streamed, sharded):
        assert_same_metric(getattr(state, name), function, **options)


@settings(max_examples=300, deadline=None)
@given(stream=streams(), tree=st.lists(st.integers(0, 9), max_size=5), max_bins=st.sampled_from(MAX_BINS))
def test_bins_depend_on_the_data_alone(stream, tree, max_bins):
    y_true, score, weight, chunks = stream

    def make():
        return ScoreState(max_bins=max_bins)

    whole = fed(make(), [slice(None)], y_true, score, weight)
    assert_same_arrays(fed(make(), chunks, y_true, score, weight).to_arrays(), whole.to_arrays())
    assert_same_arrays(fed_by_shards(make, chunks, tree, y_true, score, weight).to_arrays(), whole.to_arrays())
    # the deepest level with so many bins, of the definition
    kept = np.ones(len(score), bool) if weight is None else weight > 0
    keys = []
    for value in score[kept].astype(np.float64):
        bits = int(np.float64(value + 0.0).view(np.uint64))
        keys.append(bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63)
    level = max(d for d in range(65) if len({key >> (64 - d) for key in keys}) <= max_bins)
    arrays = whole.to_arrays()
    assert arrays["level"] == level
    assert arrays["values"].tolist() == sorted({key >> (64 - level) for key in keys})


def exact_values(y_true, score, weight, max_fpr=None):
    """ROC-AUC up to max_fpr and average precision as fractions; None where they are not defined."""
    w = [Fraction(1)] * len(score) if weight is None else [Fraction(x.item()) for x in weight]
    groups = {}
    for label, value, one in zip(y_true, score, w, strict=True):
        group = groups.setdefault(float(value) + 0.0, [Fraction(0), Fraction(0)])
        group[label] += one
    negative, positive = (sum(group[label] for group in groups.values()) for label in (0, 1))
    tp = fp = area = precision = Fraction(0)
    limit = Fraction(1 if max_fpr is None else max_fpr) * negative
    for value in sorted(groups, reverse=True):
        n, p = groups[value]
        inside = max(Fraction(0), min(n, limit - fp))
        if n:
            area += inside * (tp + p * inside / n / 2)
        tp, fp = tp + p, fp + n
        if p:
            precision += p * tp / (tp + fp)
    auc = None
    if positive and negative:
        auc = area / positive / negative
        if max_fpr is not None:
            least, most = Fraction(max_fpr) ** 2 / 2, Fraction(max_fpr)
            auc = (1 + (auc - least) / (most - least)) / 2
    return auc, precision / positive if positive else None


def any_weights(n):
    return st.one_of(
        weights(n),
        st.lists(st.sampled_from([0.1, 0.3, 1 / 3, 1e-8, 1e8, 1e-200, 1e150]), min_size=n, max_size=n).map(np.array),
        st.lists(st.floats(0, 10), min_size=n, max_size=n).map(np.array),
    )


@settings(max_examples=1500, deadline=None)
@given(
    stream=streams(max_rows=24, weight=any_weights), max_bins=st.sampled_from(MAX_BINS),
    max_fpr=st.sampled_from([None, None, 1.0, 0.5, 0.1, 1 / 3, 1e-3]),
)
def test_bounds_contain_the_exact_value(stream, max_bins, max_fpr):
    y_true, score, weight, chunks = stream
    state = fed(ScoreState(max_bins=max_bins), chunks, y_true, score, weight)
    auc, precision = exact_values(y_true, score, weight, max_fpr)
    if auc is not None:
        low, high = state.roc_auc_score(max_fpr=max_fpr)
        assert 0 <= low <= high <= 1
        assert Fraction(low) <= auc <= Fraction(high)
        if state.to_arrays()["level"] == 64:
            assert high - low < 1e-12 / (max_fpr or 1)
    if precision is not None:
        low, high = state.average_precision_score()
        assert 0 <= low <= high <= 1
        assert Fraction(low) <= precision <= Fraction(high)
        if state.to_arrays()["level"] == 64:
            assert high - low < 1e-12


def test_bounds_of_weights_far_apart():
    # the quotient of the weights is beyond the range of float64
    y_true, score = np.array([0, 1, 0]), np.array([0.5, 0.51, 0.1])
    for w in (np.array([1e-200, 1e150, 1.0]), np.array([1e150, 1e-200, 1.0]), np.array([1e-200, 1e-200, 1e150])):
        state = ScoreState(max_bins=2).update(y_true, score, w)
        auc, precision = exact_values(y_true, score, w)
        for value, (low, high) in ((auc, state.roc_auc_score()), (precision, state.average_precision_score())):
            assert Fraction(low) <= value <= Fraction(high)
    low, high = ScoreState(max_bins=2).update(y_true, score, np.array([1e-200, 1e150, 1.0])).average_precision_score()
    assert low > 1 - 1e-12
    # and below it
    y_true, score, w = np.array([0, 0, 1]), np.array([0.5, 0.25, 0.0]), np.array([0.1, 1e150, 1e-200])
    for max_bins in (1, 2, 3):
        low, high = ScoreState(max_bins=max_bins).update(y_true, score, w).average_precision_score()
        assert 0 <= low <= high and Fraction(low) <= exact_values(y_true, score, w)[1] <= Fraction(high)


@settings(max_examples=300, deadline=None)
@given(
    bins=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=5),
    weight=st.sampled_from([1, 1, 3, Fraction(1, 4)]), split=st.integers(1, 4),
)
def test_bounds_of_the_area_and_the_upper_one_of_the_precision_are_reached(bins, weight, split):
    # of all orders in a bin, that of negative rows first and distinct positive ones, and that of tied positive first
    worst, best = [], []
    for number, (p, n) in enumerate(bins):
        base = float(2 ** (number + 1))
        spread = base * (1 + np.linspace(0, 0.5, n + p + 1))
        worst += [(0, spread[-1 - i]) for i in range(n)] + [(1, spread[p - 1 - i]) for i in range(p)]
        best += [(1, spread[-1])] * p + [(0, spread[0])] * n
    for rows in (worst, best):
        if not any(label for label, _ in rows) or all(label for label, _ in rows):
            continue
        y_true, score = np.array([label for label, _ in rows]), np.array([value for _, value in rows])
        w = None if weight == 1 else np.full(len(rows), float(weight))
        state = ScoreState(max_bins=len(bins)).update(y_true, score, w)
        auc, precision = exact_values(y_true, score, w)
        for value, (low, high) in ((auc, state.roc_auc_score()), (precision, state.average_precision_score())):
            assert Fraction(low) <= value <= Fraction(high)
        if state.to_arrays()["level"] < 64 and len(state.to_arrays()["values"]) == len([b for b in bins if sum(b)]):
            bound = 0 if rows is worst else 1
            assert float(auc) == pytest.approx(state.roc_auc_score()[bound], abs=1e-12)
            if rows is best:
                assert float(precision) == pytest.approx(state.average_precision_score()[1], abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_rows(dtype, weighted):
    rng = np.random.default_rng(0)
    n = 300_000
    y_true = (rng.random(n) < 0.1).astype(np.int8)
    score = (rng.normal(size=n) + y_true).astype(dtype)
    weight = rng.exponential(size=n) if weighted else None
    binned = ScoreState(max_bins=4096)
    exact = ScoreState()
    for chunk in (slice(0, 1000), slice(1000, 200_000), slice(200_000, None)):
        for state in (binned, exact):
            state.update(y_true[chunk], score[chunk], None if weight is None else weight[chunk])
    level, prefixes, positives, negatives = kernels.score_bins(y_true, score, weight, max_bins=4096)
    arrays = binned.to_arrays()
    assert arrays["level"] == level
    np.testing.assert_array_equal(arrays["values"], prefixes)
    np.testing.assert_allclose(arrays["positives"], positives, rtol=1e-12)
    np.testing.assert_allclose(arrays["negatives"], negatives, rtol=1e-12)
    for name in ("roc_auc_score", "average_precision_score"):
        expected = getattr(metrics, name)(y_true, score, sample_weight=weight)
        assert getattr(exact, name)() == pytest.approx(expected, rel=1e-12)
        low, high = getattr(binned, name)()
        assert low < expected < high < low + 1e-2
    # the points of the curve are points of the whole one
    fpr, tpr, thresholds = binned.roc_curve(drop_intermediate=False)
    assert len(thresholds) == len(prefixes) + 1
    for point in (1, len(thresholds) // 2, -1):
        found = score.astype(np.float64) >= thresholds[point]
        w = np.ones(n) if weight is None else weight
        assert tpr[point] == pytest.approx(w[found & (y_true == 1)].sum() / w[y_true == 1].sum(), rel=1e-9)
        assert fpr[point] == pytest.approx(w[found & (y_true == 0)].sum() / w[y_true == 0].sum(), rel=1e-9)


def test_runs_are_merged_before_they_grow_beyond_what_is_distinct():
    rng = np.random.default_rng(1)
    state = ScoreState()
    for _ in range(200):
        state.update(rng.integers(0, 2, 1000), rng.integers(0, 3000, 1000) / 3000)
        assert sum(len(run.values) for run in state._runs) <= 3000 + (1 << 14)
    assert len(state.to_arrays()["values"]) == 3000
    assert state.to_arrays()["n_rows"] == 200_000


def test_scores_of_two_dtypes():
    y_true = np.array([0, 1, 1, 0])
    single, double = np.array([0.1, 0.5], np.float32), np.array([0.1, 0.5])
    for max_bins in (None, 3, 100):
        state = ScoreState(max_bins=max_bins).update(y_true[:2], single).update(y_true[2:], double)
        whole = ScoreState(max_bins=max_bins).update(y_true, np.concatenate([single, double]))
        assert_same_arrays(state.to_arrays(), whole.to_arrays())
    assert ScoreState().update(y_true[:2], single).to_arrays()["values"].dtype == np.float32


@pytest.mark.parametrize("max_bins", [None, 4])
def test_labels(max_bins):
    score = [0.2, 0.6, 0.7, 0.4]
    expected = ScoreState(max_bins=max_bins).update([0, 1, 1, 0], score).roc_auc_score()
    for labels, pos_label in (
        ([-1, 1, 1, -1], None), ([False, True, True, False], None), ([0.0, 1.0, 1.0, 0.0], None), ([2, 1, 1, 3], 1),
        (["n", "y", "y", "n"], "y"), (np.array([5, 7, 7, 5], np.uint8), 7),
    ):
        state = ScoreState(max_bins=max_bins, pos_label=pos_label)
        state.update(labels[:1], score[:1]).update(labels[1:], score[1:])
        assert_equal(state.roc_auc_score(), expected)
        back = ScoreState.from_arrays(state.to_arrays())
        assert_equal(back.merge(ScoreState(max_bins=max_bins, pos_label=pos_label)).roc_auc_score(), expected)
    with pytest.raises(ValueError, match="pos_label must be given"):
        ScoreState(max_bins=max_bins).update(["y", "n"], [0.1, 0.2])
    with pytest.raises(ValueError, match="multiclass"):
        ScoreState(max_bins=max_bins).update([0, 1, 2], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("max_bins", [None, 3])
def test_errors_leave_the_state_as_it_was(max_bins):
    state = ScoreState(max_bins=max_bins).update([0, 1, 1], [0.1, 0.2, 0.9])
    before = state.to_arrays()
    for rows in (([0, 1], [0.5]), ([0, 1], [0.5, np.nan]), ([0, 1], [0.5, np.inf]), ([0, 3], [0.5, 0.5]),
                 ([0], [0.5], [-1.0]), ([0], [0.5], [np.nan]), (["a"], [0.5]), ([0, 1], [[1, 2], [3, 4]]),
                 (np.array([0, 1]), np.array([0.5, np.nan])), (np.array([0, 2]), np.array([0.5, 0.5])), ([], [0.5])):
        with pytest.raises(ValueError, match=r"must|rows"):
            state.update(*rows)
    for nothing in ([], np.zeros(0)):
        with pytest.raises(ValueError, match="same number of rows"):
            state.update(nothing, nothing, [1.0, 2.0])
    for stranger in (ScoreState(max_bins=7), ScoreState(max_bins=max_bins, pos_label=1)):
        theirs = stranger.to_arrays()
        with pytest.raises(ValueError, match="other must have the same"):
            state.merge(stranger)
        assert_same_arrays(stranger.to_arrays(), theirs)
    with pytest.raises(TypeError, match="other must be a ScoreState, got int"):
        state.merge(3)
    assert_same_arrays(state.to_arrays(), before)
    for array in state.to_arrays().values():
        array[...] = 1 if array.dtype.kind != "U" else "x"
    assert_same_arrays(state.to_arrays(), before)
    for wrong in (0, -1, 1.5, "3", True):
        with pytest.raises(InvalidParameterError, match="max_bins"):
            ScoreState(max_bins=wrong)


@pytest.mark.parametrize("max_bins", [None, 3])
def test_weights_whose_sum_is_infinite(max_bins):
    state = ScoreState(max_bins=max_bins).update([0, 1], [0.1, 0.2], [1e308, 1.0])
    before = state.to_arrays()
    other = ScoreState(max_bins=max_bins).update([0, 1], [0.1, 0.2], [1.0, 1e308])
    for add in (lambda: state.merge(other), lambda: state.update([0], [0.3], [1e308]),
                lambda: other.update([0, 0], [0.3, 0.4], [1e308, 1e308])):
        with pytest.raises(ValueError, match="finite sum"):
            add()
    assert_same_arrays(state.to_arrays(), before)


@pytest.mark.parametrize("max_bins", [None, 3])
def test_nothing_to_answer_from(max_bins):
    state = ScoreState(max_bins=max_bins).update([], [])
    with pytest.raises(ValueError, match="at least one row"):
        state.roc_auc_score()
    assert_same_arrays(ScoreState.from_arrays(state.to_arrays()).to_arrays(), state.to_arrays())
    state.update([1], [0.5], [0.0])
    with pytest.raises(ValueError, match="must not be zero in every row"):
        state.average_precision_score()
    state.update([0], [0.25])
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(state.roc_auc_score()).all()
    with pytest.warns(UserWarning, match="No row"):
        assert_equal(state.average_precision_score(), 0.0 if max_bins is None else (0.0, 0.0))
    with pytest.raises(ValueError, match="two classes"):
        state.det_curve()


@pytest.mark.parametrize("max_bins", [None, 2])
@pytest.mark.parametrize("weight", [None, [0.5, 1.0, 2.0]])
def test_broken_arrays(max_bins, weight):
    state = ScoreState(max_bins=max_bins).update([0, 1, 1], [0.25, 0.375, 0.75], weight)
    assert_refuses_broken_arrays(state, signed=["negative_label"])
    arrays = state.to_arrays()
    changes = [
        ({"values": arrays["values"][::-1]}, "must rise"),
        ({"positives": arrays["positives"] * 0, "negatives": arrays["negatives"] * 0}, "a row for each value"),
        ({"n_rows": np.array(1)}, "at least"),
        ({"level": np.array(65)}, "level"),
        ({"positives": arrays["positives"].astype(np.float64 if weight is None else np.int64)}, "one dtype"),
        ({"positives": arrays["positives"][:1]}, "shape"),
        ({"pos_label": np.array([1, 2])}, "at most one"), ({"pos_label": np.array([1])}, "negative_label"),
        ({"negative_label": np.array([1])}, "0 and -1"), ({"negative_label": np.array([0, -1])}, "at most one"),
        ({"negative_label": np.zeros(0, np.int64)}, "the label of"), ({"n_rows": np.array(2**62)}, "fewer than 2"),
    ]
    if max_bins:
        changes += [
            ({"max_bins": np.array(1)}, "at most 1"), ({"max_bins": np.array(0)}, "64 of scores"),
            ({"values": arrays["values"] + (np.uint64(1) << np.uint64(arrays["level"]))}, "bits"),
            ({"values": arrays["values"].astype(np.uint32)}, "uint64"),
        ]
    else:
        changes += [
            ({"values": np.array([0.25, 0.375, np.inf])}, "finite"), ({"max_bins": np.array(3)}, "dtype"),
            ({"level": np.array(3)}, "64 of scores"), ({"values": arrays["values"].astype(np.longdouble)}, "64 bits"),
        ]
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            ScoreState.from_arrays({**arrays, **change})


def test_areas_beyond_int64_are_exact():
    arrays = ScoreState().update([0, 1, 1], [0.1, 0.2, 0.3]).to_arrays()
    arrays.update(
        values=np.array([0.1, 0.2]), positives=np.array([2**40, 1]), negatives=np.array([2**40, 0]),
        n_rows=np.array(2**41 + 1),
    )
    state = ScoreState.from_arrays(arrays)
    expected = (2**40 + Fraction(2**80, 2)) / Fraction((2**40 + 1) * 2**40)
    assert math.isclose(state.roc_auc_score(), expected, rel_tol=1e-15)


@pytest.mark.parametrize("max_bins", [None, 3, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [None, np.array([0.5, 1.0, 0.0, 2.0, 0.25, 3.0])])
def test_answers_are_no_part_of_the_state(max_bins, dtype, weight):
    y_true, score = np.array([0, 1, 1, 0, 1, 0]), np.array([0.1, 0.2, 0.9, 0.4, 0.4, 0.3], dtype)
    for chunks in ([slice(None)], [slice(0, 2), slice(2, 4), slice(4, 6)]):
        fed_state = fed(ScoreState(max_bins=max_bins), chunks, y_true, score, weight)
        for state in (fed_state, ScoreState.from_arrays(fed_state.to_arrays()),
                      ScoreState(max_bins=max_bins).merge(fed_state)):
            before = state.to_arrays()
            for name in METHODS:
                answer = getattr(state, name)()
                expected = [np.array(one) for one in answer] if isinstance(answer, tuple) else [answer]
                for one in answer if isinstance(answer, tuple) else ():
                    if isinstance(one, np.ndarray):
                        one[...] = 9
                again = getattr(state, name)()
                for one, other in zip(again if isinstance(again, tuple) else [again], expected, strict=True):
                    np.testing.assert_array_equal(one, other)
            assert_same_arrays(state.to_arrays(), before)


MAX_FPRS = [np.float32(0.1), np.float32(1 / 3), np.float64(0.7), Fraction(1, 3), np.float32(1)]


@pytest.mark.parametrize("max_fpr", MAX_FPRS)
@pytest.mark.parametrize("weighted", [False, True])
def test_max_fpr_of_any_type(max_fpr, weighted):
    rng = np.random.default_rng(0)
    y_true, score = rng.integers(0, 2, 300), rng.normal(size=300)
    weight = rng.random(300) + 0.5 if weighted else None
    expected = metrics.roc_auc_score(y_true, score, sample_weight=weight, max_fpr=float(max_fpr))
    assert metrics.roc_auc_score(y_true, score, sample_weight=weight, max_fpr=max_fpr) == expected
    exact = ScoreState().update(y_true, score, weight).roc_auc_score(max_fpr=max_fpr)
    assert exact == pytest.approx(expected, rel=1e-12)
    value = exact_values(y_true, score, weight, Fraction(*max_fpr.as_integer_ratio()))[0]
    for max_bins in (20, 1000):
        low, high = ScoreState(max_bins=max_bins).update(y_true, score, weight).roc_auc_score(max_fpr=max_fpr)
        assert type(low) is type(high) is float
        assert Fraction(low) <= value <= Fraction(high)
    assert high - low < 1e-11


def test_counts_do_not_wrap():
    state = ScoreState().update([0, 1], [0.25, 0.5])
    arrays = state.to_arrays()
    for positives, negatives in (([2**62, 2**62], [2**62, 1]), ([2**63 - 1, 1], [1, 0]), ([2**62, 0], [0, 1])):
        with pytest.raises(ValueError, match="less than 2"):
            ScoreState.from_arrays({**arrays, "positives": np.array(positives), "negatives": np.array(negatives)})
    for _ in range(60):
        state.merge(state)
    assert state.to_arrays()["positives"].tolist() == [0, 2**60]
    assert state.roc_auc_score() == 1.0
    before = state.to_arrays()
    with pytest.raises(ValueError, match="fewer than 2"):
        state.merge(state)
    assert_same_arrays(state.to_arrays(), before)


@pytest.mark.parametrize("max_bins", [2, 100])
def test_bounds_of_more_weights_than_rounding_allows(max_bins):
    arrays = ScoreState(max_bins=max_bins).update([0, 1, 1], [0.25, 0.5, 0.2], [0.5, 1.0, 1.0]).to_arrays()
    for n_rows, certain in ((2**42, True), (2**43, False), (2**53, False), (2**61, False)):
        state = ScoreState.from_arrays({**arrays, "n_rows": np.array(n_rows)})
        for bounds in (state.roc_auc_score(), state.roc_auc_score(max_fpr=0.5), state.average_precision_score()):
            assert bounds[0] <= bounds[1]
            assert certain or bounds == (0.0, 1.0)


@pytest.mark.parametrize("max_bins", [None, 3])
@pytest.mark.parametrize("weight", [None, [0.0, 0.0]])
def test_two_negative_labels_in_two_chunks_are_refused(max_bins, weight):
    for first, second in (([0, 1], [-1, 1]), ([-1, 1], [0, 1]), ([-1.0, -1.0], [False, True])):
        for rows, later in ((first, second), (np.array(first), np.array(second))):
            state = ScoreState(max_bins=max_bins).update([1, 1], [0.1, 0.3]).update(rows, np.array([0.1, 0.2]), weight)
            for one in (state, ScoreState.from_arrays(state.to_arrays())):
                before = one.to_arrays()
                with pytest.raises(ValueError, match="y_true must hold two classes"):
                    one.update(later, np.array([0.3, 0.4]))
                other = ScoreState(max_bins=max_bins).update(later, np.array([0.3, 0.4]))
                with pytest.raises(ValueError, match="y_true must hold two classes"):
                    one.merge(other)
                with pytest.raises(ValueError, match="y_true must hold two classes"):
                    other.merge(one)
                assert_same_arrays(one.to_arrays(), before)
                one.update(rows, [0.3, 0.4])
    # with pos_label all others are negative
    state = ScoreState(max_bins=max_bins, pos_label=1).update([0, 1], [0.1, 0.2]).update([-1, 1], [0.3, 0.4])
    assert state.to_arrays()["n_rows"] == 4


@pytest.mark.parametrize("max_bins", [None, 50, 100_000])
@pytest.mark.parametrize("size", [1, 7])
def test_few_runs_wait(max_bins, size):
    rng = np.random.default_rng(0)
    n = 3000 * size
    y_true, score = rng.integers(0, 2, n), rng.normal(size=n)
    state = ScoreState(max_bins=max_bins)
    for begin in range(0, n, size):
        state.update(y_true[begin : begin + size], score[begin : begin + size])
        assert len(state._runs) <= 257
        assert state._n_waiting == sum(len(run.values) for run in state._runs[1:])
        assert state._level == min(run.level for run in state._runs)
    assert_same_arrays(state.to_arrays(), ScoreState(max_bins=max_bins).update(y_true, score).to_arrays())


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.uint64, np.bool_, np.float16, np.float32])
@pytest.mark.parametrize("weight", [None, np.array([1.0, 0.5, 2.0, 0.0])])
def test_thresholds_have_the_dtype_of_the_scores(dtype, weight):
    y_true, score = np.array([0, 1, 1, 0]), np.array([3, 0, 1, 1]).astype(dtype)
    state = fed(ScoreState(), [slice(0, 2), slice(2, 4)], y_true, score, weight)
    for one in (state, ScoreState.from_arrays(state.to_arrays())):
        actual = one.precision_recall_curve()
        expected = metrics.precision_recall_curve(y_true, score, sample_weight=weight)
        assert actual[2].dtype == expected[2].dtype == dtype
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    state.update(y_true, score.astype(np.float64) + 0.5)
    assert state.precision_recall_curve()[2].dtype == np.float64


def test_integers_that_round_out_of_their_dtype():
    for dtype in (np.int64, np.uint64):
        most = np.iinfo(dtype).max
        state = ScoreState().update([0, 1], np.array([1, most], dtype)).update([1], np.array([5], dtype))
        assert state.precision_recall_curve()[2].tolist() == [1.0, 5.0, float(most)]


@pytest.mark.parametrize("max_bins", [None, 3])
def test_scores_of_two_dimensions_and_other_types(max_bins):
    y_true, score = np.array([0, 1, 1, 0, 1]), np.array([3, 5, 2, 8, 1])
    expected = ScoreState(max_bins=max_bins).update(y_true, score.astype(np.float64)).to_arrays()
    for its in (score[:, np.newaxis], score.astype(np.float16), score.astype(object), score.astype(">f8")):
        actual = ScoreState(max_bins=max_bins).update(y_true, its).to_arrays()
        for name, array in expected.items():
            np.testing.assert_array_equal(actual[name], array)
    # and no warning that a part is discarded
    with pytest.raises(InvalidParameterError, match="complex"):
        ScoreState(max_bins=max_bins).update(y_true, score.astype(np.complex128))


def test_prefixes_without_scores_are_refused():
    arrays = ScoreState(max_bins=2).update([0, 1], [0.25, 0.5]).to_arrays()
    highest = np.finfo(np.float64).max

    def key(score):
        bits = int(np.float64(score).view(np.uint64))
        return bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63

    for level in (64, 63, 20, 12):
        for value in (highest, -highest, 5e-324, -5e-324, 0.0):
            state = ScoreState.from_arrays({
                **arrays, "level": np.array(level), "values": np.array([key(value) >> (64 - level)], np.uint64),
                "positives": np.array([1]), "negatives": np.array([1]),
            })
            assert all(np.isfinite(threshold) for threshold in state.roc_curve()[2][1:])
        for value in (np.inf, -np.inf, np.nan, -np.nan, *([-0.0] if level == 64 else [])):
            with pytest.raises(ValueError, match="finite scores"):
                ScoreState.from_arrays({
                    **arrays, "level": np.array(level), "values": np.array([key(value) >> (64 - level)], np.uint64),
                    "positives": np.array([1]), "negatives": np.array([1]),
                })


def test_runs_are_joined_at_the_lowest_of_their_own_levels():
    # as if another thread had merged all, and told the level a moment later
    state = ScoreState(max_bins=3)
    rows = [0, 1, 0, 1, 1], np.arange(5) / 7
    expected = state.update(*rows).update(rows[0], rows[1] + 1).roc_auc_score()
    state = ScoreState(max_bins=3).update(*rows).update(rows[0], rows[1] + 1)
    state._level = 64
    assert state.roc_auc_score() == expected
