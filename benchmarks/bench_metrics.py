"""Metrics: the counting kernel, and scikit-learn's functions of the same names."""
import dataclasses
import statistics
import subprocess
import sys

import numpy as np

from benchmarks.harness import QUICK, Contestant, agree
from fasttrain import kernels, metrics, reference

COVERS = {
    "binary_probability_loss",
    "class_probability_loss",
    "confusion_matrix",
    "ranking_curve",
    "ranking_scores",
    "regression_loss",
    "regression_moments",
    "score_bins",
}

N_ROWS = 10_000 if QUICK else 1_000_000
MANY_ROWS = 10_000 if QUICK else 10_000_000
FEW_ROWS = 1000
# Past the caches, so that memory is the ceiling.
MEMORY_BYTES = 1e8


def labels(n_classes, dtype=np.int64, n_rows=N_ROWS):
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, n_classes, n_rows)
    y_pred = np.where(rng.random(n_rows) < 0.8, y_true, rng.integers(0, n_classes, n_rows))
    return y_true.astype(dtype), y_pred.astype(dtype)


def sklearn_metric(name, *arguments, **options):
    def prepare():
        import sklearn.metrics

        return lambda: getattr(sklearn.metrics, name)(*arguments, **options)

    return prepare


def metric_row(table, peers, name, arguments, options=None, *, work=None, rtol=1e-9, ceiling=None, seconds=None):
    """A metric against scikit-learn's."""
    options = options or {}

    def ours():
        return getattr(metrics, name)(*arguments, **options)

    contestants = peers.sklearn(sklearn_metric(name, *arguments, **options))
    if contestants:
        agree(ours(), contestants[0].call(), rtol)
    return table.row(work or name, ours, contestants, ceiling=ceiling, seconds=seconds)


def bench_confusion_kernel(bench, peers):
    table = bench.table(f"kernels.confusion_matrix, {N_ROWS:,} rows")
    for n_classes, dtype in ((2, np.int64), (10, np.int64), (10, np.uint8), (1000, np.int32)):
        y_true, y_pred = labels(n_classes, dtype)

        def ours(y_true=y_true, y_pred=y_pred, n_classes=n_classes):
            return kernels.confusion_matrix(y_true, y_pred, n_classes)

        def reference_call(y_true=y_true, y_pred=y_pred, n_classes=n_classes):
            return reference.confusion_matrix(y_true, y_pred, n_classes)

        agree(ours(), reference_call(), 0)
        bytes_read = float(y_true.nbytes + y_pred.nbytes)
        table.row(
            f"{n_classes} classes, {np.dtype(dtype).name}", ours, peers.reference(reference_call),
            # int64 labels of a full run are past the caches; the others are not
            ceiling=("read", bytes_read) if dtype is np.int64 and not QUICK and bytes_read > 1e9 else None,
        )


def bench_metrics(bench, peers):
    table = bench.table(f"metrics, {N_ROWS:,} rows, 10 classes")
    y_true, y_pred = labels(10)
    for name, arguments, options in (
        ("accuracy_score", (y_true, y_pred), {}),
        ("precision_score", (y_true, y_pred), {"average": "macro"}),
        ("recall_score", (y_true, y_pred), {"average": "macro"}),
        ("f1_score", (y_true, y_pred), {"average": "macro"}),
        ("precision_recall_fscore_support", (y_true, y_pred), {}),
        ("confusion_matrix", (y_true, y_pred), {}),
        ("classification_report", (y_true, y_pred), {}),
        ("multilabel_confusion_matrix", (y_true, y_pred), {}),
        ("fbeta_score", (y_true, y_pred), {"average": "macro", "beta": 0.5}),
        ("jaccard_score", (y_true, y_pred), {"average": "macro"}),
        ("balanced_accuracy_score", (y_true, y_pred), {}),
        ("cohen_kappa_score", (y_true, y_pred), {}),
        ("matthews_corrcoef", (y_true, y_pred), {}),
        ("hamming_loss", (y_true, y_pred), {}),
        ("zero_one_loss", (y_true, y_pred), {}),
    ):
        metric_row(table, peers, name, arguments, options)


def bench_metrics_of_many_rows(bench, peers):
    table = bench.table(f"metrics, {MANY_ROWS:,} rows, int64 labels")
    for name, n_classes, options, at_least in (
        ("accuracy_score", 10, {}, 30.0),
        ("f1_score", 2, {}, 60.0),
        ("f1_score", 10, {"average": "macro"}, 60.0),
        ("confusion_matrix", 10, {}, 60.0),
        ("classification_report", 10, {}, 100.0),
    ):
        work = f"{name}, {n_classes} classes"
        row = metric_row(table, peers, name, labels(n_classes, n_rows=MANY_ROWS), options, work=work)
        bench.target(f"{work}, {MANY_ROWS:,} rows, over scikit-learn", row.ratio("scikit-learn"), at_least=at_least)


def probabilities(n_rows, n_classes, dtype):
    """Labels and probabilities (n_rows,) of two classes, or (n_rows, n_classes)."""
    rng = np.random.default_rng(2)
    if n_classes == 2:
        p = rng.random(n_rows, dtype=dtype)
        return (rng.random(n_rows) < p).astype(np.int64), p
    p = rng.random((n_rows, n_classes), dtype=dtype)
    p /= p.sum(axis=1, keepdims=True)
    return rng.integers(0, n_classes, n_rows), p


def bench_probability_kernels(bench, peers):
    table = bench.table(f"kernels.binary_probability_loss and class_probability_loss, {N_ROWS:,} rows")
    for name, n_classes, dtype, loss in (
        ("binary_probability_loss", 2, np.float64, "log"),
        ("binary_probability_loss", 2, np.float32, "log"),
        ("binary_probability_loss", 2, np.float64, "squared"),
        ("class_probability_loss", 10, np.float64, "log"),
        ("class_probability_loss", 10, np.float32, "squared"),
    ):
        y_true, p = probabilities(N_ROWS, n_classes, dtype)

        def ours(name=name, y_true=y_true, p=p, loss=loss):
            return getattr(kernels, name)(y_true, p, loss=loss)

        def reference_call(name=name, y_true=y_true, p=p, loss=loss):
            return getattr(reference, name)(y_true, p, loss=loss)

        agree(ours()[:3], reference_call()[:3], 1e-11)
        table.row(f"{name}, {n_classes} classes, {np.dtype(dtype).name}, {loss}", ours, peers.reference(reference_call))


def bench_probability_metrics(bench, peers):
    table = bench.table(f"metrics of probabilities, {MANY_ROWS:,} rows")
    for name, at_least in (("log_loss", 100.0), ("brier_score_loss", 20.0)):
        for dtype in (np.float64, np.float32):
            y_true, p = probabilities(MANY_ROWS, 2, dtype)
            # scikit-learn computes in the dtype of the probabilities
            row = metric_row(
                table, peers, name, (y_true, p), work=f"{name}, binary, {np.dtype(dtype).name}",
                rtol=1e-9 if dtype is np.float64 else 1e-4,
            )
            if dtype is np.float64:
                bench.target(
                    f"{name}, {MANY_ROWS:,} rows, over scikit-learn", row.ratio("scikit-learn"), at_least=at_least
                )
    y_true, p = probabilities(N_ROWS, 10, np.float64)
    table = bench.table(f"metrics of the scores of 10 classes, {N_ROWS:,} rows")
    for name in ("log_loss", "brier_score_loss", "top_k_accuracy_score", "hinge_loss"):
        metric_row(table, peers, name, (y_true, p))


def bench_small_calls(bench, peers):
    table = bench.table(f"metrics, {FEW_ROWS:,} rows")
    y_true, p = probabilities(FEW_ROWS, 2, np.float64)
    y_pred = (p > 0.5).astype(np.int64)
    for name, arguments in (
        ("log_loss", (y_true, p)), ("brier_score_loss", (y_true, p)), ("hinge_loss", (y_true, p)),
        ("balanced_accuracy_score", (y_true, y_pred)), ("cohen_kappa_score", (y_true, y_pred)),
        ("matthews_corrcoef", (y_true, y_pred)), ("hamming_loss", (y_true, y_pred)),
        ("zero_one_loss", (y_true, y_pred)), ("jaccard_score", (y_true, y_pred)),
        ("class_likelihood_ratios", (y_true, y_pred)),
    ):
        row = metric_row(table, peers, name, arguments)
        bench.target(f"{name}, {FEW_ROWS:,} rows, over scikit-learn", row.ratio("scikit-learn"), at_least=10.0)


def regression_pairs(n_rows, dtype=np.float64):
    rng = np.random.default_rng(1)
    y_true = rng.gamma(2.0, size=n_rows) + 0.1
    return y_true.astype(dtype), (y_true * rng.uniform(0.8, 1.25, n_rows)).astype(dtype)


def reading(*arrays):
    n_bytes = float(sum(array.nbytes for array in arrays))
    return ("read", n_bytes) if n_bytes > MEMORY_BYTES else None


def regression_kernel(name, *arguments, **options):
    def ours():
        return getattr(kernels, name)(*arguments, **options)

    def reference_call():
        return getattr(reference, name)(*arguments, **options)

    agree(ours(), reference_call(), 1e-9, 1e-9)
    return ours, reference_call


def bench_regression_kernels(bench, peers):
    table = bench.table(f"kernels of regression metrics, {MANY_ROWS:,} rows")
    for dtype in (np.float64, np.float32):
        y_true, y_pred = regression_pairs(MANY_ROWS, dtype)
        weight = np.random.default_rng(2).random(MANY_ROWS).astype(dtype)
        for work, name, arguments, options in (
            ("moments", "regression_moments", (y_true, y_pred), {}),
            ("moments, weighted", "regression_moments", (y_true, y_pred, weight), {}),
            ("squared", "regression_loss", (y_true, y_pred), {}),
            ("squared, weighted", "regression_loss", (y_true, y_pred, weight), {}),
            ("percentage", "regression_loss", (y_true, y_pred), {"loss": "percentage"}),
            ("squared_log", "regression_loss", (y_true, y_pred), {"loss": "squared_log"}),
            ("poisson", "regression_loss", (y_true, y_pred), {"loss": "poisson"}),
        ):
            ours, reference_call = regression_kernel(name, *arguments, **options)
            table.row(
                f"{work}, {np.dtype(dtype).name}", ours, peers.reference(reference_call),
                ceiling=reading(*arguments), seconds=3.0,
            )


def bench_regression(bench, peers):
    table = bench.table(f"regression metrics, {MANY_ROWS:,} rows, float64")
    y_true, y_pred = regression_pairs(MANY_ROWS)
    for name in ("mean_squared_error", "r2_score"):
        row = metric_row(table, peers, name, (y_true, y_pred), ceiling=reading(y_true, y_pred))
        bench.target(f"{name}, {MANY_ROWS:,} rows, over scikit-learn", row.ratio("scikit-learn"), at_least=2.0)
        bench.target(
            f"{name}, {MANY_ROWS:,} rows, read bandwidth", row.share(), at_least=0.85, form="{:.0%}"
        )
    for name in (
        "mean_absolute_error", "mean_squared_log_error", "mean_absolute_percentage_error", "max_error",
        "explained_variance_score", "mean_pinball_loss", "mean_poisson_deviance", "mean_gamma_deviance",
    ):
        metric_row(table, peers, name, (y_true, y_pred), ceiling=reading(y_true, y_pred), seconds=3.0)
    for name in ("median_absolute_error", "d2_absolute_error_score"):
        metric_row(table, peers, name, (y_true, y_pred), seconds=3.0)


def bench_regression_of_few_rows(bench, peers):
    table = bench.table(f"regression metrics, {FEW_ROWS:,} rows, float64")
    y_true, y_pred = regression_pairs(FEW_ROWS)
    for name in ("mean_squared_error", "r2_score", "mean_absolute_error", "mean_poisson_deviance"):
        metric_row(table, peers, name, (y_true, y_pred))


def ranked(n, dtype):
    """Labels, a tenth of them 1, and scores between 0 and 1 that tell something of them."""
    rng = np.random.default_rng(2)
    y_true = (rng.random(n) < 0.1).astype(np.int64)
    return y_true, (1.0 / (1.0 + np.exp(-rng.normal(size=n) - y_true))).astype(dtype)


def bench_ranking_kernels(bench, peers):
    n_rows = MANY_ROWS // 10
    table = bench.table(f"ranking kernels, {n_rows:,} rows, 10 % of label 1")
    for dtype in (np.float32, np.float64):
        y_true, y_score = ranked(n_rows, dtype)
        weight = np.random.default_rng(3).exponential(size=n_rows)
        for name in ("ranking_scores", "ranking_curve"):
            for weights in (None, weight):
                arguments = (y_true, y_score, weights)

                def ours(name=name, arguments=arguments):
                    return getattr(kernels, name)(*arguments)

                def reference_call(name=name, arguments=arguments):
                    return getattr(reference, name)(*arguments)

                agree(ours(), reference_call(), 1e-11)
                work = f"{name}, {np.dtype(dtype).name}" + (", weights" if weights is not None else "")
                table.row(work, ours, peers.reference(reference_call))


def bench_ranking_metrics(bench, peers):
    for n_rows, at_least in ((MANY_ROWS, 40.0), (FEW_ROWS, 10.0)):
        table = bench.table(f"ranking metrics, {n_rows:,} rows, 10 % positive")
        for dtype in (np.float32, np.float64):
            y_true, y_score = ranked(n_rows, dtype)
            for name in ("roc_auc_score", "average_precision_score"):
                row = metric_row(
                    table, peers, name, (y_true, y_score), work=f"{name}, {np.dtype(dtype).name}", rtol=1e-11
                )
                if dtype is np.float32:
                    bench.target(
                        f"{name}, {n_rows:,} rows, float32, over scikit-learn", row.ratio("scikit-learn"),
                        at_least=at_least,
                    )


def bench_relevance(bench, peers):
    n_rows, n_documents = (100, 20) if QUICK else (10_000, 100)
    table = bench.table(f"metrics of rankings of {n_documents} documents, {n_rows:,} rows")
    rng = np.random.default_rng(4)
    grades, scores = rng.integers(0, 5, (n_rows, n_documents)), rng.random((n_rows, n_documents))
    for work, y_score, options in (
        ("ndcg_score", scores, {}),
        ("ndcg_score, ties", scores.round(1), {}),
        ("ndcg_score, ignore_ties", scores, {"ignore_ties": True}),
        ("ndcg_score, k=10", scores, {"k": 10}),
    ):
        metric_row(table, peers, "ndcg_score", (grades, y_score), options, work=work, seconds=3.0)
    metric_row(table, peers, "label_ranking_average_precision_score", (grades > 3, scores), seconds=3.0)


def sklearn_best_f1(y_true, y_score):
    """What a user of scikit-learn writes."""
    def prepare():
        from sklearn.metrics import precision_recall_curve

        def best_f1():
            precision, recall, thresholds = precision_recall_curve(y_true, y_score)
            f1 = 2 * precision * recall / (precision + recall)
            best = int(np.nanargmax(f1))
            return thresholds[best], f1[best]

        return best_f1

    return prepare


def sklearn_calibration_curve(*arguments):
    def prepare():
        from sklearn.calibration import calibration_curve

        return lambda: calibration_curve(*arguments)

    return prepare


def bench_thresholds(bench, peers):
    for n_rows in (MANY_ROWS // 10, FEW_ROWS):
        table = bench.table(f"thresholds and calibration, {n_rows:,} rows, 10 % positive")
        y_true, y_score = ranked(n_rows, np.float64)
        for name, peer in (("best_threshold", sklearn_best_f1), ("calibration_curve", sklearn_calibration_curve)):
            def ours(name=name, y_true=y_true, y_score=y_score):
                return getattr(metrics, name)(y_true, y_score)

            contestants = peers.sklearn(peer(y_true, y_score))
            if contestants:
                agree(ours(), contestants[0].call(), 1e-9)
            table.row(name, ours, contestants, seconds=3.0)
        table.row("ks_statistic", lambda y_true=y_true, y_score=y_score: metrics.ks_statistic(y_true, y_score))
        table.row(
            "expected_calibration_error",
            lambda y_true=y_true, y_score=y_score: metrics.expected_calibration_error(y_true, y_score),
        )


def delong_by_midranks(y_true, *scores):
    """[(area, standard error), ...] of each score, and of a difference, by midranks (Sun & Xu 2014)."""
    from scipy.stats import rankdata

    positive = y_true == 1
    n_positive, n_negative = np.count_nonzero(positive), np.count_nonzero(~positive)
    v, w = [], []
    for score in scores:
        ranks = rankdata(score)
        v.append((ranks[positive] - rankdata(score[positive])) / n_negative)
        w.append(1.0 - (ranks[~positive] - rankdata(score[~positive])) / n_positive)
    if len(scores) == 2:
        v.append(v[0] - v[1])
        w.append(w[0] - w[1])
    return [
        (above.mean(), np.sqrt(above.var(ddof=1) / n_positive + below.var(ddof=1) / n_negative))
        for above, below in zip(v, w, strict=True)
    ]


def bench_intervals(bench, peers):
    table = bench.table(f"intervals of ROC-AUC, {N_ROWS:,} rows, 10 % positive")
    for dtype in (np.float32, np.float64):
        y_true, y_score = ranked(N_ROWS, dtype)
        other = (y_score + np.random.default_rng(4).random(N_ROWS)).astype(dtype)

        def one(y_true=y_true, y_score=y_score):
            return metrics.roc_auc_interval(y_true, y_score)

        def midranks(y_true=y_true, y_score=y_score):
            return delong_by_midranks(y_true, y_score)

        def two(y_true=y_true, y_score=y_score, other=other):
            return metrics.roc_auc_test(y_true, y_score, other)

        def midranks_of_two(y_true=y_true, y_score=y_score, other=other):
            return delong_by_midranks(y_true, y_score, other)

        for name, ours, theirs in (("roc_auc_interval", one, midranks), ("roc_auc_test", two, midranks_of_two)):
            contestants = peers.scipy("NumPy and scipy midranks", theirs)
            if contestants:
                found = ours()
                agree((found[0], found.standard_error), theirs()[-1], 1e-9)
            table.row(f"{name}, {np.dtype(dtype).name}", ours, contestants)
    table = bench.table("intervals of 1,000 proportions")
    trials = np.arange(1, 1001) * 1000
    for method, peer in (("wilson", None), ("clopper-pearson", clopper_pearson_by_scipy)):
        def proportions(method=method):
            return metrics.proportion_interval(trials // 3, trials, method=method)

        contestants = peers.scipy("scipy", lambda peer=peer: peer(trials // 3, trials)) if peer else []
        if contestants:
            agree(proportions()[1:], contestants[0].call(), 1e-9)
        table.row(method, proportions, contestants)


def clopper_pearson_by_scipy(x, n):
    from scipy.special import betaincinv

    return betaincinv(x, n - x + 1, 0.025), betaincinv(x + 1, n - x, 0.975)


@dataclasses.dataclass
class Turns(Contestant):
    """A loop of which a part is run: it takes `times` as long."""

    times: float = 1.0

    def sample(self, n_calls, warm):
        return self.times * super().sample(n_calls, warm)


def bench_bootstrap(bench, peers):
    """Against a loop that draws rows and calls scikit-learn's metric of them."""
    n_resamples, n_turns = (100, 2) if QUICK else (1000, 4)
    table = bench.table(
        f"bootstrap, {n_resamples:,} resamples of {N_ROWS:,} rows; a loop of scikit-learn from {n_turns} of its turns"
    )
    y_true, y_score = ranked(N_ROWS, np.float64)
    for name, prediction in (
        ("roc_auc_score", y_score), ("average_precision_score", y_score), ("mean_squared_error", y_score),
        ("accuracy_score", (y_score > 0.7).astype(np.int64)),
    ):
        def ours(name=name, prediction=prediction):
            return metrics.bootstrap(name, y_true, prediction, n_resamples=n_resamples)

        def prepare(name=name, prediction=prediction):
            import sklearn.metrics

            metric, rng = getattr(sklearn.metrics, name), np.random.default_rng(0)

            def call():
                drawn = [rng.integers(0, N_ROWS, N_ROWS) for _ in range(n_turns)]
                return [metric(y_true[rows], prediction[rows]) for rows in drawn]

            return call

        contestants = [
            Turns(one.name, one.call, one.n_threads, one.set_threads, n_resamples / n_turns)
            for one in peers.sklearn(prepare)
        ]
        if contestants:
            found = ours()
            # other resamples of the same rows
            assert abs(np.mean(contestants[0].call()) - found.value) < 5 * found.standard_error
        row = table.row(name, ours, contestants, seconds=3.0)
        if name == "roc_auc_score":
            work = f"bootstrap of roc_auc_score, {n_resamples:,} resamples x {N_ROWS:,} rows"
            bench.target(work, statistics.median(row.ours), at_most=3.0, form="{:.2f} s")
            bench.target(f"{work}, over scikit-learn", row.ratio("scikit-learn"), at_least=80.0)


def bench_score_bins(bench, peers):
    n_rows = MANY_ROWS // 10
    table = bench.table(f"kernels.score_bins, {n_rows:,} rows, at most 65,536 bins")
    for dtype in (np.float32, np.float64):
        y_true, y_score = ranked(n_rows, dtype)
        weight = np.random.default_rng(3).exponential(size=n_rows)
        level = kernels.score_bins(y_true, y_score, max_bins=65536)[0]
        for work, weights, options in (
            ("level to be found", None, {}), ("level known", None, {"level": level}),
            ("level known, weights", weight, {"level": level}),
        ):
            def ours(y_true=y_true, y_score=y_score, weights=weights, options=options):
                return kernels.score_bins(y_true, y_score, weights, max_bins=65536, **options)

            def reference_call(y_true=y_true, y_score=y_score, weights=weights, options=options):
                return reference.score_bins(y_true, y_score, weights, max_bins=65536, **options)

            agree(ours()[1:], reference_call()[1:], 1e-9)
            table.row(f"{work}, {np.dtype(dtype).name}", ours, peers.reference(reference_call), seconds=3.0)


def bench_states(bench, peers):
    """A chunk into a state that has met it before, beside the functions that need all rows."""
    for n_rows in (FEW_ROWS, MANY_ROWS):
        table = bench.table(f"update of a state, {n_rows:,} rows")
        y_true, y_score = ranked(n_rows, np.float32)
        y_pred = (y_score > 0.5).astype(np.int64)
        numbers = regression_pairs(n_rows)
        for work, state, rows, name in (
            ("ConfusionState", metrics.ConfusionState(), (y_true, y_pred), "accuracy_score"),
            ("ScoreState", metrics.ScoreState(), (y_true, y_score), "roc_auc_score"),
            ("ScoreState(max_bins=65536)", metrics.ScoreState(max_bins=65536), (y_true, y_score), "roc_auc_score"),
            ("RegressionState", metrics.RegressionState(), numbers, "r2_score"),
        ):
            state.update(*rows)
            answer, whole = getattr(state, name)(), getattr(metrics, name)(*rows)
            if isinstance(answer, tuple):
                assert answer[0] <= whole <= answer[1]
            else:
                agree(answer, whole, 1e-11)

            def ours(state=state, rows=rows):
                return state.update(*rows)

            table.row(work, ours, peers.sklearn(sklearn_metric(name, *rows)), seconds=3.0)


STATE_MEMORY_CODE = """
import resource
import sys
import numpy as np
from fasttrain.metrics import ScoreState

n_chunks, n_rows = map(int, sys.argv[1:])
block = 1 << 16


def status(name):
    try:
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith(name))
    except OSError:  # not Linux: no current figure, and the peak in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


rng = np.random.default_rng(0)
y_true, y_score = np.empty(n_rows, np.int64), np.empty(n_rows, np.float32)


def fill():
    # a block at a time, so that the peak is the state's own
    for begin in range(0, n_rows, block):
        rows = slice(begin, min(begin + block, n_rows))
        label = rng.random(rows.stop - begin) < 0.1
        y_true[rows] = label
        y_score[rows] = 1.0 / (1.0 + np.exp(-rng.normal(size=len(label)) - label))


fill()
ScoreState(max_bins=16).update(y_true[:1000], y_score[:1000])
before = status("VmRSS")
state = ScoreState(max_bins=65536)
for _ in range(n_chunks):
    state.update(y_true, y_score)
    fill()
low, high = state.roc_auc_score()
assert 0.75 < low < high < 0.77 and high - low < 1e-3
assert state.to_arrays()["n_rows"] == n_chunks * n_rows
print((status("VmHWM") - before) / 1e6)
"""


def bench_state_memory(bench):
    n_chunks, n_rows = (2, 100_000) if QUICK else (10, 10_000_000)
    command = [sys.executable, "-c", STATE_MEMORY_CODE, str(n_chunks), str(n_rows)]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    bench.target(
        f"ScoreState with 65,536 bins on {n_chunks * n_rows:,} scores in chunks, MB of resident memory over the chunk",
        float(child.stdout), at_most=50.0, form="{:.1f}",
    )
