"""docs/differences-from-scikit-learn.md says what is so: each of its rows, with both libraries side by side.

A row of the page is found by its id.  A row without a check here fails, a check without a row fails, and a check
fails where the two libraries do as the page does not say, or no longer differ.
"""

import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from fasttrain import metrics
from tests.metrics.compare import call

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
sklearn = pytest.importorskip("sklearn", reason="compares with scikit-learn")

PAGE = Path(__file__).parents[2] / "docs" / "differences-from-scikit-learn.md"

CHECKS = {}
ONES, HALVES = [1, 1, 0], [0.5, 0.25, 0.75]
CLASS_METRICS = [
    "accuracy_score", "balanced_accuracy_score", "class_likelihood_ratios", "classification_report",
    "cohen_kappa_score", "confusion_matrix", "f1_score", "fbeta_score", "hamming_loss", "jaccard_score",
    "matthews_corrcoef", "multilabel_confusion_matrix", "precision_recall_fscore_support", "precision_score",
    "recall_score", "zero_one_loss",
]  # fmt: skip
SCORE_METRICS = [
    "average_precision_score", "brier_score_loss", "confusion_matrix_at_thresholds", "det_curve", "hinge_loss",
    "log_loss", "precision_recall_curve", "roc_auc_score", "roc_curve", "top_k_accuracy_score",
]  # fmt: skip
NUMBER_METRICS = [
    "d2_absolute_error_score", "d2_pinball_score", "d2_tweedie_score", "explained_variance_score",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_gamma_deviance", "mean_pinball_loss",
    "mean_poisson_deviance", "mean_squared_error", "mean_squared_log_error", "mean_tweedie_deviance",
    "median_absolute_error", "r2_score", "root_mean_squared_error", "root_mean_squared_log_error",
]  # fmt: skip
MATRIX_METRICS = ["dcg_score", "label_ranking_average_precision_score", "ndcg_score"]
NEEDED = {"fbeta_score": {"beta": 1}, "top_k_accuracy_score": {"k": 1}}
# every function that takes sample_weight: data of three rows, and options it cannot do without
WEIGHTED = {
    name: (y_true, values, NEEDED.get(name, {}))
    for names, y_true, values in (
        (CLASS_METRICS, ONES, [1, 0, 0]), (SCORE_METRICS, ONES, HALVES), (NUMBER_METRICS, HALVES, [1.0, 2.0, 3.0]),
        (MATRIX_METRICS, [[1, 0], [0, 1], [1, 0]], [[1, 2], [1, 2], [2, 1]]),
    )
    for name in names
}  # fmt: skip


def row(name):
    """The check of the row of this id."""

    def add(check):
        assert name not in CHECKS
        CHECKS[name] = check
        return check

    return add


def both(name, *args, **kwargs):
    """What comes out of our function and of theirs, exceptions included."""
    return [call(getattr(module, name), *args, **kwargs)[0] for module in (metrics, peer)]


def refused(result, kind=ValueError):
    return isinstance(result, kind)


def computed(result):
    return not isinstance(result, Exception)


def ids_on_the_page():
    return re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE.read_text(), re.MULTILINE) if PAGE.exists() else []


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not beside tests/")
def test_every_row_has_a_check_and_every_check_a_row():
    found = ids_on_the_page()
    assert found
    assert sorted(found) == sorted(CHECKS)


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not beside tests/")
def test_functions_named_on_the_page_exist():
    cells = [line.split("|")[2] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    names = {name for cell in cells for name in re.findall(r"`(\w+)(?:\(\w*=?\))?`", cell)}
    assert "hinge_loss" in names
    assert names - set(metrics.__all__) == {"y_true", "sample_weight", "StringDType"} & names


def test_all_functions_with_weights_are_looked_at():
    import inspect

    weighted = {
        name for name in metrics.__all__
        if hasattr(peer, name) and "sample_weight" in inspect.signature(getattr(metrics, name)).parameters
    }  # fmt: skip
    assert weighted == set(WEIGHTED), "a function that is new belongs into WEIGHTED"


@row("negative-weights")
def _():
    for name, (y_true, values, options) in WEIGHTED.items():
        ours, theirs = both(name, y_true, values, sample_weight=[2, -1, 3], **options)
        assert refused(ours) and "sample_weight must be finite and not negative" in str(ours), name
        assert computed(theirs), name
    assert both("accuracy_score", ONES, [1, 0, 0], sample_weight=[1, -1, 1])[1] == 2.0


@row("useless-weights")
def _():
    for name in ("hinge_loss", "top_k_accuracy_score", *MATRIX_METRICS):
        y_true, values, options = WEIGHTED[name]
        for weight in ([1, math.nan, 1], [1, math.inf, 1], [0, 0, 0]):
            ours, theirs = both(name, y_true, values, sample_weight=weight, **options)
            assert refused(ours), name
            assert refused(theirs, ZeroDivisionError) or math.isnan(theirs), name


@row("unsigned-weights")
def _():
    weight = np.array([2**63, 1, 1], dtype=np.uint64)
    for name, values in (("accuracy_score", ONES), ("roc_auc_score", HALVES), ("log_loss", HALVES)):
        ours, theirs = both(name, ONES, values, sample_weight=weight)
        assert refused(ours) and computed(theirs)
    ours, theirs = both("mean_squared_error", HALVES, ONES, sample_weight=weight)
    assert ours == theirs


@row("strange-indicators")
def _():
    ours, theirs = both("label_ranking_average_precision_score", [[1, -1, -1]], [[3, 2, 1]])
    assert refused(ours)
    assert theirs == peer.label_ranking_average_precision_score([[1, 1, 1]], [[3, 2, 1]]) == 1.0


@row("order-of-ties")
def _():
    rng = np.random.default_rng(0)
    y_true, tied = rng.integers(0, 9, (4, 100)), rng.integers(0, 3, (4, 100))
    later_first = np.take_along_axis(y_true, np.argsort(tied, axis=1, kind="stable")[:, ::-1], axis=1)
    ours, theirs = both("dcg_score", y_true, tied, k=5, ignore_ties=True)
    assert ours == pytest.approx(metrics.dcg_score(later_first, -np.mgrid[:4, :100][1], k=5))
    assert abs(ours - theirs) > 0.01


@row("scores-are-not-negated")
def _():
    y_true, small = [[0, 1, 2]], np.array([[0, 1, 2]], dtype=np.uint8)
    ours, theirs = both("dcg_score", y_true, small, ignore_ties=True)
    assert ours == metrics.dcg_score(y_true, small.astype(float)) == peer.dcg_score(y_true, small.astype(float))
    ours, theirs = both("ndcg_score", y_true, small)
    assert ours == 1.0 and theirs < 1.0
    ours, theirs = both("ndcg_score", y_true, small > 0)
    assert computed(ours) and refused(theirs, TypeError)


@row("nan-probabilities")
def _():
    from sklearn.calibration import calibration_curve

    arguments = [0, 1, 1], [0.25, math.nan, 0.75]
    assert refused(call(metrics.calibration_curve, *arguments)[0])
    assert computed(call(calibration_curve, *arguments)[0])


@row("lengths-with-one-class")
def _():
    for score, weight in (([0.5, 0.25, 0.75], None), ([0.5, 0.25], [1, 1, 1]), ([0.5, 0.25], [0, 0])):
        ours, theirs = both("roc_auc_score", [1, 1], score, sample_weight=weight)
        assert refused(ours) and math.isnan(theirs)


@row("hinge-labels")
def _():
    ours, theirs = both("hinge_loss", [0, 1, 2], HALVES, labels=[0, 1])
    assert refused(ours) and computed(theirs)


@row("labels-of-another-kind")
def _():
    ours, theirs = both("f1_score", ONES, ONES, labels=["a"], average="macro")
    assert refused(ours) and theirs == 0.0
    ours, theirs = both("confusion_matrix", ONES, ONES, labels=[[0, 1]])
    assert refused(ours) and theirs.tolist() == [[1, 0], [0, 2]]


@row("sparse")
def _():
    sparse = pytest.importorskip("scipy.sparse", reason="makes a sparse array")
    y = sparse.csr_array(np.array([[1, 0], [0, 1], [1, 1]]))
    for name in ("accuracy_score", "hamming_loss", "multilabel_confusion_matrix"):
        ours, theirs = both(name, y, y)
        assert refused(ours, TypeError) and "y_true.toarray()" in str(ours)
        assert computed(theirs)


@row("masked")
def _():
    masked = np.ma.masked_array([1.0, 1.0, 0.0], [False, False, True])
    for name in ("mean_squared_error", "roc_auc_score"):
        ours, theirs = both(name, masked, HALVES)
        assert refused(ours, TypeError)
        assert theirs == getattr(peer, name)(masked.data, HALVES)


@row("dates")
def _():
    ours, theirs = both("mean_squared_error", [np.datetime64("2020")], [1])
    assert refused(ours) and theirs == 49.0**2


@row("checks-stay-on")
def _():
    with sklearn.config_context(assume_finite=True):
        for name, true, values in (
            ("mean_squared_error", HALVES, [1, 2, math.nan]), ("roc_auc_score", ONES, [0.5, 0.25, math.nan]),
            ("log_loss", ONES, [0.5, 0.25, math.nan]),
        ):  # fmt: skip
            ours, theirs = both(name, true, values)
            assert refused(ours) and computed(theirs)
    with sklearn.config_context(skip_parameter_validation=True):
        ours, theirs = both("accuracy_score", ONES, ONES, normalize="no")
        assert refused(ours) and theirs == 1.0


@row("float64-sums")
def _():
    rng = np.random.default_rng(0)
    true, pred = rng.gamma(2.0, size=(2, 30_000)).astype(np.float32) + np.float32(0.1)
    y = rng.integers(0, 2, 30_000)
    p = rng.random(30_000, dtype=np.float32)
    rows = np.stack([1 - p, p], axis=1)
    cases = [(name, true, pred) for name in ("mean_squared_error", "r2_score", "mean_absolute_error")]
    cases += [("brier_score_loss", y, p), ("auc", np.sort(true), pred)]
    for name, one, other in cases:
        wide = getattr(metrics, name)(*(np.asarray(x, dtype=np.float64) if x is not y else x for x in (one, other)))
        ours, theirs = both(name, one, other)
        np.testing.assert_allclose(ours, wide, rtol=1e-12)
        # the same to the digits of float32, and no more
        assert 1e-12 < abs(theirs / ours - 1) < 1e-4, name
    ours, theirs = both("log_loss", y, rows)
    chosen = np.where(y, rows[:, 1], rows[:, 0]).astype(np.float64)
    eps = float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(ours, -np.log(np.clip(chosen, eps, 1 - eps)).mean(), rtol=1e-12)
    assert 1e-12 < abs(theirs / ours - 1) < 1e-4
    ours, theirs = both("mean_squared_error", np.array([300.0], np.float16), np.array([0.0], np.float16))
    assert (ours, theirs) == (90_000.0, math.inf)
    # eps is that of the type in both
    ours, theirs = both("log_loss", [0, 1], np.ones(2, dtype=np.float32))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert ours < 8 < 18 < metrics.log_loss([0, 1], np.ones(2))


@row("float64-results")
def _():
    true, pred = np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32)
    ours, theirs = both("mean_squared_error", true, pred, multioutput="raw_values")
    assert (ours.dtype, theirs.dtype) == (np.float64, np.float32)


@row("integer-wrap")
def _():
    for name, wrapped in (("max_error", 254.0), ("median_absolute_error", (254 + 2) / 2)):
        assert both(name, np.array([-128], np.int8), np.array([127], np.int8)) == [255.0, 1.0]
        assert both(name, np.array([3, 5], np.uint8), np.array([5, 3], np.uint8)) == [2.0, wrapped]


@row("booleans")
def _():
    for name, expected in (("max_error", 1.0), ("median_absolute_error", 0.5)):
        ours, theirs = both(name, [True, False], [False, False])
        assert ours == expected and refused(theirs, TypeError)
    ours, theirs = both("auc", [False, True], [1, 2])
    assert ours == 1.5 and refused(theirs, TypeError)
    assert both("mean_absolute_error", [True, False], [False, False]) == [0.5, 0.5]


@row("constant-targets")
def _():
    for name in ("r2_score", "explained_variance_score"):
        ours, theirs = both(name, [0.1] * 3, [0.1, 0.1, 0.2])
        assert ours == 0.0 and theirs < -1e30
        assert both(name, [0.5] * 3, [0.5, 0.5, 0.75]) == [0.0, 0.0]
        assert metrics.r2_score([0.1] * 3, [0.1] * 3) == 1.0


@row("constant-deviance")
def _():
    ours, theirs = both("d2_tweedie_score", [0.1] * 3, [0.1, 0.1, 0.2])
    assert refused(ours, ZeroDivisionError) and theirs < -1e30
    assert all(refused(one, ZeroDivisionError) for one in both("d2_tweedie_score", [0.5] * 3, [0.5, 0.5, 0.75]))


@row("wrong-is-summed")
def _():
    ours, theirs = both("zero_one_loss", [0, 1], [0, 0], sample_weight=[1e8, 1e-8])
    assert ours == pytest.approx(1e-16, rel=1e-12)
    assert abs(theirs / 1e-16 - 1) > 0.1


@row("likelihood-ratios-overflow")
def _():
    weight = np.array([3, 1, 1, 3]) * 2**40
    ours, theirs = both("class_likelihood_ratios", [0, 0, 1, 1], [0, 1, 0, 1], sample_weight=weight)
    assert ours == (3.0, 1 / 3)
    assert np.isnan(theirs).all()


@row("counts-stay-integers")
def _():
    for right, kind in (([0, 1], np.int64), ([1, 0], np.float64)):
        ours, theirs = both("multilabel_confusion_matrix", [0, 1], right)
        assert (ours.dtype, theirs.dtype) == (np.int64, kind)
        ours, theirs = both("precision_recall_fscore_support", [0, 1], right, zero_division=0)
        assert (ours[3].dtype, theirs[3].dtype) == (np.int64, kind)
    ours, theirs = both("classification_report", [0, 1], [1, 0])
    assert "2.0" not in ours and "2.0" in theirs


@row("uint64-labels")
def _():
    y_true = np.array([2**63 - 1, -(2**63), 0])
    y_pred = np.array([2**63 - 1, 2**64 - 1, 0], dtype=np.uint64)
    ours, theirs = both("confusion_matrix", y_true, y_pred)
    assert ours.sum() == 3 and theirs.sum() == 1
    ours, theirs = both("classification_report", np.array([0, 1], dtype=np.uint64), np.array([0, 2]), zero_division=0)
    for report, labels in ((ours, ["0", "1", "2"]), (theirs, ["0.0", "1.0", "2.0"])):
        assert [line.split()[0] for line in report.splitlines()[2:5]] == labels


@row("weightless-class")
def _():
    ours, theirs = both("roc_auc_score", ONES, HALVES, sample_weight=[1, 1, 0], max_fpr=0.5)
    assert math.isnan(ours) and refused(theirs)
    ours, theirs = both("roc_auc_score", ONES, HALVES, sample_weight=[1, 1, 0])
    assert math.isnan(ours) and math.isnan(theirs)


@row("empty-labels-in-report")
def _():
    ours, theirs = both("classification_report", [0, 1], [0, 1], labels=[])
    assert "macro avg" in ours and refused(theirs)
    options = {"labels": [], "average": "macro"}
    for one in both("precision_recall_fscore_support", [0, 1], [0, 1], **options):
        assert np.isnan(one[:3]).all()


@row("numpy-warnings")
def _():
    for name, args, kwargs in (
        ("mean_squared_error", ([1e300, 1.0], [-1e300, 1.0]), {}),
        ("det_curve", ([0, 1], [0.5, 0.25]), {"sample_weight": [1, 0]}),
        ("balanced_accuracy_score", ([1, 1], [1, 1]), {"adjusted": True}),
    ):
        (_, ours), (_, theirs) = (call(getattr(module, name), *args, **kwargs) for module in (metrics, peer))
        assert theirs - ours == {"RuntimeWarning"}
        assert ours <= theirs


@row("empty-average-precision")
def _():
    ours, theirs = both("average_precision_score", np.zeros(0, dtype=int), np.zeros(0))
    assert refused(ours) and refused(theirs, IndexError)


@row("odd-labels")
def _():
    ours, theirs = both("hinge_loss", [None, 1, 0], HALVES)
    assert refused(ours) and refused(theirs, TypeError)


@row("more-containers")
def _():
    y = np.array(ONES)
    ours, theirs = both("accuracy_score", memoryview(y), y)
    assert ours == 1.0 and refused(theirs)
    names = np.array(["a", "b"])
    ours, theirs = both("accuracy_score", names.astype(np.dtypes.StringDType()), names)
    assert ours == 1.0 and refused(theirs, TypeError)


@pytest.mark.parametrize("name", CHECKS)
def test_difference(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CHECKS[name]()
