"""Intervals by resampling: replicates by hand, the exact jackknife, coverage."""
import functools
import threading
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import fasttrain
from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError, UndefinedMetricWarning
from fasttrain.kernels.bootstrap import cell_counts, resample_counts
from fasttrain.metrics import _statistics, bootstrap, bootstrap_difference
from fasttrain.metrics.resampling import _cells, _Resamples, _units
from tests.helpers import THREAD_COUNTS

RTOL = 1e-12


def f1_macro(y_true, y_pred, sample_weight=None):
    return metrics.f1_score(y_true, y_pred, average="macro", sample_weight=sample_weight)


def worst(y_true, y_pred):
    """A metric without weights."""
    return metrics.max_error(y_true, y_pred)


LABELS = [
    "accuracy_score", "balanced_accuracy_score", "precision_score", "recall_score", "f1_score",
    functools.partial(metrics.fbeta_score, beta=0.5), "jaccard_score", "matthews_corrcoef", "cohen_kappa_score",
    "hamming_loss", "zero_one_loss", functools.partial(metrics.accuracy_score, normalize=False), f1_macro,
]  # fmt: skip
SCORES = ["roc_auc_score", "average_precision_score", functools.partial(metrics.average_precision_score, pos_label=0)]
PROBABILITIES = ["log_loss", "brier_score_loss", *SCORES]
NUMBERS = [
    "mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "mean_squared_log_error",
    "root_mean_squared_log_error", "mean_absolute_percentage_error", "mean_pinball_loss",
    functools.partial(metrics.mean_pinball_loss, alpha=0.2), "mean_poisson_deviance", "mean_gamma_deviance",
    "r2_score", "median_absolute_error", "explained_variance_score",
]  # fmt: skip


def make(kind, n, seed=0):
    """(metrics, y_true, prediction)"""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, 2, n)
    if kind == "labels":
        return LABELS, y_true, np.where(rng.random(n) < 0.7, y_true, 1 - y_true)
    if kind == "scores":
        return SCORES, y_true, np.round(y_true + rng.normal(size=n), 1)
    if kind == "probabilities":
        return PROBABILITIES, y_true, np.round(np.clip(0.3 + 0.3 * y_true + 0.3 * rng.normal(size=n), 0, 1), 2)
    y_true = rng.gamma(2.0, size=n) + 0.1
    return NUMBERS, y_true, y_true * rng.uniform(0.5, 2.0, n)


KINDS = ("labels", "scores", "probabilities", "numbers")


def call(metric, y_true, y_pred, counts, weight=None):
    """The metric of a resample, or nan where it is not defined."""
    rows = np.repeat(np.arange(len(counts)), counts)
    function = getattr(metrics, metric) if isinstance(metric, str) else metric
    options = {} if weight is None else {"sample_weight": weight[rows]}
    if metric == "log_loss":
        options["labels"] = np.unique(y_true)  # of a resample they are those of the data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", UndefinedMetricWarning)
        # average precision is then 0 by convention only
        warnings.filterwarnings("error", message="No row of y_true is positive")
        try:
            return float(function(y_true[rows], y_pred[rows], **options))
        except (UserWarning, ValueError):
            return np.nan


def assert_replicates(found, some, y_true, y_pred, counts, weight=None, sizes=None):
    for metric, result in zip(some, found, strict=True):
        expected = [call(metric, y_true, y_pred, one, weight) for one in counts]
        np.testing.assert_allclose(result.replicates, expected, rtol=RTOL, atol=1e-13, err_msg=str(metric))
        assert result.n_undefined == np.isnan(expected).sum()
        whole = np.ones(len(y_true), dtype=int) if sizes is None else sizes
        np.testing.assert_allclose(result.value, call(metric, y_true, y_pred, whole, weight), rtol=RTOL)
        tail = (1 - result.confidence) / 2
        np.testing.assert_allclose(
            [result.low, result.high], np.nanquantile(expected, [tail, 1 - tail]), rtol=RTOL, atol=1e-13
        )
        np.testing.assert_allclose(result.standard_error, np.nanstd(expected, ddof=1), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [30, 100, 5000])
def test_replicates_are_the_metric_of_the_rows_drawn(kind, n):
    some, y_true, y_pred = make(kind, n)
    # a metric of rows: then every row is a unit
    some = [*some, "max_error" if kind == "numbers" else "mean_absolute_error"]
    found = bootstrap(some, y_true, y_pred, n_resamples=20, seed=3, confidence=0.9)
    cells = _cells(y_true, [y_pred], None)
    assert (cells is not None) == (n == 5000 and kind == "labels")
    if cells is not None:
        first, sizes, _ = cells
        counts = cell_counts(sizes, [0, len(sizes)], 20, seed=3)
        assert_replicates(found, some, y_true[first], y_pred[first], counts, sizes=sizes)
        return
    assert_replicates(found, some, y_true, y_pred, resample_counts([n], 20, seed=3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_strata_and_groups(kind, grouped, stratified, weighted):
    n = 60
    some, y_true, y_pred = make(kind, n, 1)
    rng = np.random.default_rng(2)
    weight = rng.exponential(size=n) * (rng.random(n) < 0.8) if weighted else None
    group = rng.integers(0, 20, n) if grouped else None
    strata = None if not stratified else (group % 3 if grouped else rng.integers(5, 8, n))
    if weighted and kind == "numbers":
        some = [*some, functools.partial(metrics.mean_absolute_error, multioutput="uniform_average")]
    found = bootstrap(
        some, y_true, y_pred, n_resamples=15, seed=4, sample_weight=weight, stratify=strata, groups=group
    )
    unit, sizes = _units(
        n,
        None if strata is None else np.unique(strata, return_inverse=True)[1],
        None if group is None else np.unique(group, return_inverse=True)[1],
    )
    counts = resample_counts(sizes, 15, seed=4)
    if unit is not None:
        counts = counts[:, unit]
    if stratified and not grouped:
        for label in np.unique(strata):
            assert (counts[:, strata == label].sum(axis=1) == (strata == label).sum()).all()
    assert_replicates(found, some, y_true, y_pred, counts, weight)


def test_a_ranking_alone_is_drawn_in_its_own_order():
    _, y_true, y_score = make("scores", 9000)
    y_score = y_score + 1e-3 * np.random.default_rng(5).random(9000)
    descent = _statistics.Descent(_statistics.Rows(y_true, y_score, None, None, None, 9000), y_true == 1)
    rows = descent.order[_statistics.order_in_memory(9000)]
    counts = np.empty((20, 9000), dtype=int)
    counts[:, rows] = resample_counts([9000], 20, seed=1)
    some = ["roc_auc_score", "average_precision_score"]
    found = bootstrap(some, y_true, y_score, n_resamples=20, seed=1)
    assert_replicates(found, some, y_true, y_score, counts)
    alone = bootstrap("roc_auc_score", y_true, y_score, n_resamples=20, seed=1)
    np.testing.assert_array_equal(alone.replicates, found[0].replicates)


def test_few_distinct_rows_are_drawn_by_cells():
    rng = np.random.default_rng(3)
    y_true = np.array(["ham", "spam"])[rng.integers(0, 2, 20_000)]
    y_score = np.round(rng.normal(size=20_000) + (y_true == "spam"))
    strata = rng.integers(0, 3, 20_000)
    first, sizes, stratum = _cells(y_true, [y_score], strata)
    assert sizes.sum() == 20_000
    starts = [0, *np.cumsum(np.bincount(stratum)).tolist()]
    counts = cell_counts(sizes, starts, 20, seed=6)
    for label in range(3):
        assert (counts[:, stratum == label].sum(axis=1) == (strata == label).sum()).all()
    some = ["roc_auc_score", functools.partial(metrics.average_precision_score, pos_label="spam")]
    found = bootstrap(some, y_true, y_score, n_resamples=20, seed=6, stratify=strata)
    assert_replicates(found, some, y_true[first], y_score[first], counts, sizes=sizes)


@pytest.mark.parametrize("kind", KINDS)
def test_differences_are_those_of_the_same_rows(kind):
    some, y_true, a = make(kind, 50)
    b = np.random.default_rng(7).permutation(a)
    found = bootstrap_difference(some, y_true, a, b, n_resamples=15, seed=8)
    counts = resample_counts([50], 15, seed=8)
    for metric, result in zip(some, found, strict=True):
        expected = [call(metric, y_true, a, one) - call(metric, y_true, b, one) for one in counts]
        np.testing.assert_allclose(result.replicates, expected, rtol=1e-10, atol=RTOL, err_msg=str(metric))
    same = bootstrap_difference(some[0], y_true, a, a, n_resamples=15)
    assert (same.value, same.low, same.high) == (0, 0, 0)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_adversarial_rankings(data):
    """Ties, both zeros, one class, weights that are zero, huge or tiny."""
    n = data.draw(st.integers(1, 40))

    def column(elements):
        return np.array(data.draw(st.lists(elements, min_size=n, max_size=n)))

    y_true = column(st.integers(0, 1))
    score = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1 + 2**-52, 5e-324, -5e-324, 1e300])
    y_score = column(st.one_of(score, st.floats(-1, 1)))
    weight = None
    if data.draw(st.booleans()):
        # products of those of either class are still normal numbers, in any unit
        weight = column(st.sampled_from([0.0, 1.0, 0.1, 1e-70, 1e70]))
        weight[0] = weight[0] or 1.0
        weight *= data.draw(st.sampled_from([1e-200, 1.0, 1e200]))
    group = column(st.integers(0, 9)) if data.draw(st.booleans()) else None
    some = ["roc_auc_score", "average_precision_score"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = bootstrap(some, y_true, y_score, n_resamples=8, sample_weight=weight, groups=group)
    if group is None:
        descent = _statistics.Descent(_statistics.Rows(y_true, y_score, None, None, None, n), y_true == y_true.max())
        counts = np.empty((8, n), dtype=int)
        counts[:, descent.order[_statistics.order_in_memory(n)]] = resample_counts([n], 8, seed=0)
        if y_true.max() == 0:
            # the two metrics disagree on which label is positive, and so the rows are the units
            counts = resample_counts([n], 8, seed=0)
    else:
        unit, sizes = _units(n, None, np.unique(group, return_inverse=True)[1])
        counts = resample_counts(sizes, 8, seed=0)[:, unit]
    for metric, result in zip(some, found, strict=True):
        expected = [call(metric, y_true, y_score, one, weight) for one in counts]
        np.testing.assert_allclose(result.replicates, expected, rtol=1e-11, err_msg=metric)


# ---- the jackknife ---------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_values_without_each_unit(data):
    kind = data.draw(st.sampled_from(KINDS))
    n = data.draw(st.one_of(st.integers(3, 30), st.just(70)))
    some, y_true, y_pred = make(kind, n, data.draw(st.integers(0, 1000)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    weight = rng.exponential(size=n) if data.draw(st.booleans()) else None
    group = rng.integers(0, 6, n) if data.draw(st.booleans()) else None
    unit, sizes = _units(n, None, None if group is None else np.unique(group, return_inverse=True)[1])
    rows = _statistics.Rows(y_true, y_pred, weight, None, unit, int(sizes.sum()), group is not None)
    for metric in some:
        function, options = getattr(metric, "func", metric), getattr(metric, "keywords", {})
        function = getattr(metrics, function) if isinstance(function, str) else function
        one = _statistics.statistic(_statistics.Metric(function, options), rows, [])
        of_row = np.arange(n) if unit is None else unit
        expected = [call(metric, y_true, y_pred, (of_row != u).astype(int), weight) for u in range(rows.n_units)]
        np.testing.assert_allclose(one.without_each(), expected, rtol=1e-9, atol=1e-11, err_msg=str(metric))


@pytest.mark.parametrize("kind", ["labels", "scores"])
def test_values_without_a_row_of_each_cell(kind):
    some, y_true, y_pred = make(kind, 20_000)
    y_pred = np.round(y_pred)
    resamples = _Resamples(y_true, [y_pred], None, None, None, 1, 0, False)
    rows = resamples.rows[0]
    assert rows.sizes.sum() == 20_000
    for metric in some:
        function, options = getattr(metric, "func", metric), getattr(metric, "keywords", {})
        function = getattr(metrics, function) if isinstance(function, str) else function
        one = _statistics.statistic(_statistics.Metric(function, options), rows, [])
        expected = []
        for cell in range(len(rows.sizes)):
            sizes = rows.sizes.copy()
            sizes[cell] -= 1
            expected.append(call(metric, rows.true, rows.pred, sizes))
        np.testing.assert_allclose(one.without_each(), expected, rtol=1e-11, err_msg=str(metric))


def test_bca_is_that_of_scipy():
    rng = np.random.default_rng(0)
    y_true = rng.gamma(1.0, size=40)
    y_pred = np.zeros(40)
    found = bootstrap("mean_absolute_error", y_true, y_pred, method="bca", confidence=0.9)

    class Known:
        bootstrap_distribution = found.replicates

    peer = scipy.stats.bootstrap(
        (y_true,), np.mean, n_resamples=0, bootstrap_result=Known, confidence_level=0.9, method="BCa"
    )
    np.testing.assert_allclose(
        [found.low, found.high, found.standard_error], [*peer.confidence_interval, peer.standard_error], rtol=1e-10
    )
    plain = bootstrap("mean_absolute_error", y_true, y_pred, confidence=0.9)
    np.testing.assert_array_equal(plain.replicates, found.replicates)
    assert found.low > plain.low and found.high > plain.high


def test_bca_that_is_not_defined():
    # without its one positive row ROC-AUC is not defined
    y_true, y_score = np.array([1, *[0] * 30]), np.arange(31.0) % 7
    with pytest.warns(UndefinedMetricWarning, match="not defined without one of the rows"):
        found = bootstrap("roc_auc_score", y_true, y_score, method="bca")
    assert np.isnan([found.low, found.high]).all()
    assert found.standard_error > 0 and 0 < found.n_undefined < 1000
    # no resample has as many distinct rows as the data
    with pytest.warns(UndefinedMetricWarning, match="all replicates lie on one side"):
        found = bootstrap(lambda t, p: len(np.unique(t)), np.arange(31), np.zeros(31), method="bca")
    assert np.isnan(found.low)
    # perfect predictions have no spread, and that is known
    found = bootstrap("accuracy_score", y_true, y_true, method="bca")
    assert (found.value, found.low, found.high, found.standard_error) == (1, 1, 1, 0)


def test_bca_does_not_depend_on_the_unit_of_a_loss():
    y_true = np.random.default_rng(0).gamma(1.0, size=40)
    found = bootstrap("mean_squared_error", y_true, np.zeros(40), method="bca")
    small = bootstrap("mean_squared_error", y_true * 2.0**-27, np.zeros(40), method="bca")
    assert (small.low * 2.0**54, small.high * 2.0**54) == (found.low, found.high)


@pytest.mark.parametrize("metric", ["average_precision_score", "roc_auc_score", "f1_score"])
def test_bca_with_strata_is_as_fast_as_without(metric):
    """Each row by itself: the acceleration is that of the rows, from sums and not from a call for each."""
    rng = np.random.default_rng(0)
    n = 20_000
    y_true = rng.integers(0, 2, n)
    y_pred = y_true ^ (rng.random(n) < 0.2) if metric == "f1_score" else y_true + rng.normal(size=n)
    stratum = rng.random(n)  # each row its own
    calls = []
    whole = _statistics.Metric.of_counts
    unit, sizes = _units(n, np.argsort(np.argsort(stratum)), None)
    rows = _statistics.Rows(y_true, y_pred, None, None, unit, int(sizes.sum()), False)
    one = _statistics.statistic(_statistics.Metric(getattr(metrics, metric), {}), rows, [])

    def counted(self, true, pred, weight, counts):
        calls.append(len(counts))
        return whole(self, true, pred, weight, counts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_statistics.Metric, "of_counts", counted)
        values = one.without_each()
    assert sum(calls) <= 4  # distinct rows of labels
    plain = _statistics.Rows(y_true, y_pred, None, None, None, n, False)
    other = _statistics.statistic(_statistics.Metric(getattr(metrics, metric), {}), plain, []).without_each()
    np.testing.assert_allclose(np.sort(values), np.sort(other), rtol=1e-12)


def test_r2_of_rows_far_from_their_middle():
    """Rows without weight, or groups, that are drawn together leave a mean far from the middle of all."""
    rng = np.random.default_rng(0)
    y_true = np.concatenate([np.zeros(51), 1e7 + rng.normal(size=50)])
    y_pred = y_true + 0.5 * rng.normal(size=101)
    weight = np.repeat([0.0, 1.0], [51, 50])
    found = bootstrap("r2_score", y_true, y_pred, n_resamples=50, sample_weight=weight)
    assert_replicates([found], ["r2_score"], y_true, y_pred, resample_counts([101], 50, seed=0), weight)
    assert found.n_undefined == 0
    group = np.repeat([0, 1], [51, 50])
    found = bootstrap("r2_score", y_true, y_pred, n_resamples=50, groups=group)
    counts = resample_counts([2], 50, seed=0)[:, group]
    assert_replicates([found], ["r2_score"], y_true, y_pred, counts)
    assert found.n_undefined == 0


@pytest.mark.parametrize("n", [20, 63, 64, 300])
def test_r2_of_a_constant_target_is_that_of_the_function(n):
    y_true = np.zeros(n)
    y_true[0] = 1.0
    y_pred = y_true + 0.1 * np.random.default_rng(0).random(n)
    found = bootstrap("r2_score", y_true, y_pred, n_resamples=50)
    assert_replicates([found], ["r2_score"], y_true, y_pred, resample_counts([n], 50, seed=0))
    assert found.n_undefined == 0 and (found.replicates == 0).any()


# ---- what is not defined, options, errors ----------------------------------------------------------------


@pytest.mark.parametrize("metric", ["roc_auc_score", "average_precision_score", "precision_score"])
def test_undefined_replicates_are_counted_and_left_out(metric):
    y_true = np.array([1, *[0] * 9])
    y_pred = np.array([1, 1, *[0] * 8])
    found = bootstrap([metric, "mean_absolute_error"], y_true, y_pred, n_resamples=300)[0]
    expected = [call(metric, y_true, y_pred, one) for one in resample_counts([10], 300, seed=0)]
    np.testing.assert_allclose(found.replicates, expected, rtol=RTOL)
    assert found.n_undefined == np.isnan(expected).sum() > 0
    assert found.low == np.nanquantile(expected, 0.025)


def test_an_option_that_is_the_default_changes_nothing():
    y_true, y_score = np.array([1, *[0] * 9]), np.arange(10.0)
    plain = bootstrap("average_precision_score", y_true, y_score, n_resamples=100)
    with_default = functools.partial(metrics.average_precision_score, average="macro")
    assert bootstrap(with_default, y_true, y_score, n_resamples=100) == plain
    assert plain.n_undefined > 0


def test_average_precision_that_is_called_is_undefined_without_positives():
    y_true, y_score = np.array([[1, 0], *[[0, 1]] * 9]), np.arange(20.0).reshape(10, 2)
    found = bootstrap("average_precision_score", y_true, y_score, n_resamples=100)
    expected = [call("average_precision_score", y_true, y_score, one) for one in resample_counts([10], 100, seed=0)]
    np.testing.assert_allclose(found.replicates, expected, rtol=RTOL)
    assert found.n_undefined == np.isnan(expected).sum() > 0


def test_other_threads_are_warned_meanwhile():
    """Of a metric of fasttrain that is called for each resample."""
    inside, leave, n_calls = threading.Event(), threading.Event(), [0]
    whole = metrics.median_absolute_error

    def slow(*args, **kwargs):
        n_calls[0] += 1
        if n_calls[0] == 3:
            inside.set()
            leave.wait(30)
        return whole(*args, **kwargs)

    slow.__module__ = "fasttrain.metrics.regression"
    numbers = np.arange(40.0)
    thread = threading.Thread(target=lambda: bootstrap(slow, numbers, numbers + 1, n_resamples=5))
    thread.start()
    assert inside.wait(30)
    try:
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(metrics.roc_auc_score([1, 1], [0.1, 0.2]))
    finally:
        leave.set()
        thread.join()
    with pytest.warns(UndefinedMetricWarning):
        metrics.roc_auc_score([1, 1], [0.1, 0.2])


def test_labels_beyond_int64():
    y_true = np.array([2**63, 2**63 + 1] * 50, dtype=np.uint64)
    assert bootstrap("accuracy_score", y_true, y_true, n_resamples=5).value == 1.0


def test_a_value_that_is_not_defined():
    with pytest.warns(UndefinedMetricWarning) as caught:
        found = bootstrap("roc_auc_score", [1, 1, 1], [0.1, 0.2, 0.3], n_resamples=10)
    assert np.isnan([found.value, found.low, found.high, found.standard_error]).all()
    assert found.n_undefined == 10
    assert len(caught) == 2


def test_several_metrics_come_back_as_they_were_asked_for():
    _, y_true, y_pred = make("labels", 40)
    assert list(bootstrap({"a": "f1_score", 2: metrics.accuracy_score}, y_true, y_pred, n_resamples=10)) == ["a", 2]
    assert type(bootstrap(("f1_score",), y_true, y_pred, n_resamples=10)) is tuple
    both = bootstrap(["f1_score", "accuracy_score"], y_true, y_pred, n_resamples=10)
    assert both[0] == bootstrap("f1_score", y_true, y_pred, n_resamples=10)
    assert "replicates" not in repr(both[0])


def test_seeds():
    _, y_true, y_score = make("scores", 50)
    one, two, other = (bootstrap("roc_auc_score", y_true, y_score, n_resamples=20, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.replicates, two.replicates)
    assert not np.array_equal(one.replicates, other.replicates)
    random = [bootstrap("roc_auc_score", y_true, y_score, n_resamples=20, seed=None).replicates for _ in range(2)]
    assert not np.array_equal(*random)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_threads_gives_the_same_bits(kind, grouped):
    """So many draws, 1.6 million, that three threads have work; weights keep the rows from being counted as cells."""
    n = 40_000
    some, y_true, y_pred = make(kind, n)
    known = ("roc_auc_score", "average_precision_score", "log_loss", "r2_score", "mean_absolute_error", "f1_score")
    some = [one for one in some if one in known]
    options = {"sample_weight": np.random.default_rng(1).random(n), "groups": np.arange(n) // 2 if grouped else None}
    found = []
    for threads in THREAD_COUNTS:
        with fasttrain.num_threads(threads):
            results = bootstrap(some, y_true, y_pred, n_resamples=80 if grouped else 40, **options)
        found.append([one.replicates.tobytes() for one in results])
    assert found[0] == found[1] == found[2]


def test_poisson_resamples_differ_in_size():
    _, y_true, y_pred = make("labels", 100)
    count = functools.partial(metrics.accuracy_score, normalize=False)
    found = bootstrap(count, y_true, y_pred, resampling="poisson")
    counts = resample_counts([100], 1000, seed=0, poisson=True)
    np.testing.assert_array_equal(found.replicates, counts @ (y_true == y_pred))
    assert abs(found.standard_error**2 / found.value - 1) < 0.2


def test_inputs_of_every_kind():
    _, y_true, y_score = make("scores", 80)
    expected = bootstrap("roc_auc_score", y_true, y_score, n_resamples=20)
    for true, score in (
        (y_true.tolist(), y_score.tolist()),
        (y_true[:, np.newaxis], y_score),
        (np.array(["no", "yes"])[y_true], y_score),
        (y_true.astype(bool), y_score.astype(np.float32)),
        (np.repeat(y_true, 2)[::2], np.repeat(y_score, 2)[::2]),
        (y_true.astype(float), (y_score * 10).round().astype(np.int16)),
    ):
        found = bootstrap("roc_auc_score", true, score, n_resamples=20)
        np.testing.assert_array_equal(found.replicates, expected.replicates)


def test_many_columns():
    rng = np.random.default_rng(1)
    y_true, y_pred = rng.normal(size=(2, 30, 3))
    found = bootstrap("mean_squared_error", y_true, y_pred, n_resamples=10)
    counts = resample_counts([30], 10, seed=0)
    errors = ((y_true - y_pred) ** 2).mean(axis=1)
    np.testing.assert_allclose(found.replicates, counts @ errors / 30, rtol=RTOL)
    proba = rng.random((30, 3))
    proba /= proba.sum(axis=1, keepdims=True)
    labels = np.arange(30) % 3
    found = bootstrap("log_loss", labels, proba, n_resamples=10)
    np.testing.assert_allclose(found.replicates, counts @ -np.log(proba[np.arange(30), labels]) / 30, rtol=RTOL)


def test_a_metric_whose_options_refuse_weights():
    rng = np.random.default_rng(1)
    y_true, proba = rng.integers(0, 3, 60), rng.random((60, 3))
    proba /= proba.sum(axis=1, keepdims=True)
    metric = functools.partial(metrics.roc_auc_score, multi_class="ovo")
    found = bootstrap(metric, y_true, proba, n_resamples=10)
    counts = resample_counts([60], 10, seed=0)
    np.testing.assert_allclose(found.replicates, [call(metric, y_true, proba, one) for one in counts], rtol=RTOL)


Y, P = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.6])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metric": "no_such_score"}, InvalidParameterError, "metric must be the name of a function"),
        ({"metric": 3}, InvalidParameterError, "metric must be a name, a function, or several"),
        ({"metric": "roc_curve"}, InvalidParameterError, "metric must give one number"),
        ({"n_resamples": 0}, InvalidParameterError, "n_resamples must be an integer of at least 1, got 0"),
        ({"n_resamples": 2.0}, InvalidParameterError, "n_resamples must be an integer"),
        ({"confidence": 1.0}, InvalidParameterError, "confidence must be above 0 and below 1, got 1.0"),
        ({"method": "normal"}, InvalidParameterError, "method must be one of 'percentile', 'bca', got 'normal'"),
        ({"resampling": "half"}, InvalidParameterError, "resampling must be one of"),
        ({"seed": -1}, InvalidParameterError, "seed must be an integer from 0"),
        ({"seed": "x"}, InvalidParameterError, "seed must be an integer from 0"),
        ({"sample_weight": [1, 1]}, ValueError, r"sample_weight must have shape \(4,\)"),
        ({"sample_weight": [1, 1, 1, -1]}, ValueError, "sample_weight must be finite and not negative"),
        ({"stratify": [1, 1]}, ValueError, r"stratify must have shape \(4,\), got \(2,\)"),
        ({"groups": [1, 1]}, ValueError, r"groups must have shape \(4,\), got \(2,\)"),
        ({"groups": [1, 1, 2, np.nan]}, ValueError, "groups must not hold NaN"),
        ({"groups": [1, 1, 2, 2], "stratify": [0, 1, 1, 1]}, ValueError, "groups must lie in one stratum each"),
        ({"y_true": []}, ValueError, "same number of rows"),
        ({"y_true": 3}, InvalidParameterError, "y_true must be an array or a sequence"),
        ({"y_pred": [0.1, 0.2, np.nan, 0.3]}, ValueError, "y_score must be finite"),
        (
            {"metric": functools.partial(metrics.f1_score, sample_weight=P)}, InvalidParameterError,
            "sample_weight must be given to bootstrap",
        ),
        ({"metric": worst, "sample_weight": [1, 1, 1, 1]}, ValueError, "sample_weight must be None for a metric"),
    ],
)  # fmt: skip
def test_bad_arguments(options, error, message):
    arguments = {"metric": "roc_auc_score", "y_true": Y, "y_pred": P, **options}
    with pytest.raises(error, match=message):
        bootstrap(**arguments)


# ---- coverage --------------------------------------------------------------------------------------------

N_SIMULATIONS = 10_000


def covered(metric, truth, draw, **options):
    """Share of the simulations whose interval holds the truth."""
    rng = np.random.default_rng(11)
    hits = 0
    with fasttrain.num_threads(1):  # a call takes less than a millisecond
        for seed in range(N_SIMULATIONS):
            found = bootstrap(metric, *draw(rng), seed=seed, **options)
            hits += found.low <= truth <= found.high
    return hits / N_SIMULATIONS


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_coverage_of_roc_auc(method):
    """Normal scores a standard deviation apart."""

    def draw(rng):
        y_true = np.arange(200) % 2
        return y_true, y_true + rng.normal(size=200)

    truth = scipy.stats.norm.cdf(1 / np.sqrt(2))
    assert 0.935 <= covered("roc_auc_score", truth, draw, n_resamples=300, stratify=True, method=method) <= 0.965


def test_coverage_of_accuracy():
    def draw(rng):
        return np.zeros(600, dtype=np.int8), rng.random(600) < 0.2

    assert 0.935 <= covered("accuracy_score", 0.8, draw, n_resamples=400) <= 0.965


def test_coverage_of_a_mean_over_groups():
    """Rows of a group share an error: drawn one by one, they would pass for more than they are."""
    group = np.repeat(np.arange(200), 3)

    def draw(rng):
        return np.zeros(600), 2 + rng.normal(size=200)[group] + 0.1 * rng.normal(size=600)

    truth = 4 + 1 + 0.01
    assert 0.935 <= covered("mean_squared_error", truth, draw, n_resamples=300, groups=group) <= 0.965
