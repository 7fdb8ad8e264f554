"""Metrics: the counting kernel, and scikit-learn's functions of the same names."""
import subprocess
import sys

import numpy as np

from benchmarks.harness import QUICK, agree
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


def labels(n_classes, dtype=np.int64):
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, n_classes, N_ROWS)
    y_pred = np.where(rng.random(N_ROWS) < 0.8, y_true, rng.integers(0, n_classes, N_ROWS))
    return y_true.astype(dtype), y_pred.astype(dtype)


def sklearn_metric(name, *arguments, **options):
    def prepare():
        import sklearn.metrics

        return lambda: getattr(sklearn.metrics, name)(*arguments, **options)

    return prepare


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
        def ours(name=name, arguments=arguments, options=options):
            return getattr(metrics, name)(*arguments, **options)

        contestants = peers.sklearn(sklearn_metric(name, *arguments, **options))
        if contestants:
            expected = contestants[0].call()
            if isinstance(expected, str):
                assert ours() == expected
            else:
                agree(ours(), expected, 1e-9)
        table.row(name, ours, contestants)


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


def metric_row(table, peers, name, arguments, options=None, *, work=None, rtol=1e-9, ceiling=None, seconds=None):
    """A metric against scikit-learn's."""
    options = options or {}

    def ours():
        return getattr(metrics, name)(*arguments, **options)

    contestants = peers.sklearn(sklearn_metric(name, *arguments, **options))
    if contestants:
        agree(ours(), contestants[0].call(), rtol)
    return table.row(work or name, ours, contestants, ceiling=ceiling, seconds=seconds)


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
