"""Metrics: the counting kernel, and scikit-learn's functions of the same names."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, metrics, reference

COVERS = {"confusion_matrix"}

N_ROWS = 10_000 if QUICK else 1_000_000


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
    numbers = np.random.default_rng(1).normal(size=(2, N_ROWS))
    for name, arguments, options in (
        ("accuracy_score", (y_true, y_pred), {}),
        ("precision_score", (y_true, y_pred), {"average": "macro"}),
        ("recall_score", (y_true, y_pred), {"average": "macro"}),
        ("f1_score", (y_true, y_pred), {"average": "macro"}),
        ("precision_recall_fscore_support", (y_true, y_pred), {}),
        ("confusion_matrix", (y_true, y_pred), {}),
        ("classification_report", (y_true, y_pred), {}),
        ("mean_squared_error", tuple(numbers), {}),
        ("r2_score", tuple(numbers), {}),
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
