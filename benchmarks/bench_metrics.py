"""Metrics: the counting kernel, and scikit-learn's functions of the same names."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, metrics, reference

COVERS = {"confusion_matrix", "regression_loss", "regression_moments"}

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


def regression_row(table, peers, name, y_true, y_pred, *, ceiling=None, seconds=None):
    def ours():
        return getattr(metrics, name)(y_true, y_pred)

    contestants = peers.sklearn(sklearn_metric(name, y_true, y_pred))
    if contestants:
        agree(ours(), contestants[0].call(), 1e-9)
    return table.row(name, ours, contestants, ceiling=ceiling, seconds=seconds)


def bench_regression(bench, peers):
    table = bench.table(f"regression metrics, {MANY_ROWS:,} rows, float64")
    y_true, y_pred = regression_pairs(MANY_ROWS)
    for name in ("mean_squared_error", "r2_score"):
        row = regression_row(table, peers, name, y_true, y_pred, ceiling=reading(y_true, y_pred))
        bench.target(f"{name}, {MANY_ROWS:,} rows, over scikit-learn", row.ratio("scikit-learn"), at_least=2.0)
        bench.target(
            f"{name}, {MANY_ROWS:,} rows, read bandwidth", row.share(), at_least=0.85, form="{:.0%}"
        )
    for name in (
        "mean_absolute_error", "mean_squared_log_error", "mean_absolute_percentage_error", "max_error",
        "explained_variance_score", "mean_pinball_loss", "mean_poisson_deviance", "mean_gamma_deviance",
    ):
        regression_row(table, peers, name, y_true, y_pred, ceiling=reading(y_true, y_pred), seconds=3.0)
    for name in ("median_absolute_error", "d2_absolute_error_score"):
        regression_row(table, peers, name, y_true, y_pred, seconds=3.0)


def bench_regression_of_few_rows(bench, peers):
    table = bench.table(f"regression metrics, {FEW_ROWS:,} rows, float64")
    y_true, y_pred = regression_pairs(FEW_ROWS)
    for name in ("mean_squared_error", "r2_score", "mean_absolute_error", "mean_poisson_deviance"):
        regression_row(table, peers, name, y_true, y_pred)
