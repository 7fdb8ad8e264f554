"""Metrics: the counting kernel, and scikit-learn's functions of the same names."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, metrics, reference

COVERS = {"confusion_matrix", "ranking_curve", "ranking_scores"}

N_ROWS = 10_000 if QUICK else 1_000_000
N_RANKED = 10_000 if QUICK else 10_000_000


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


def ranked(n, dtype):
    """Labels, a tenth of them 1, and scores between 0 and 1 that tell something of them."""
    rng = np.random.default_rng(2)
    y_true = (rng.random(n) < 0.1).astype(np.int64)
    return y_true, (1.0 / (1.0 + np.exp(-rng.normal(size=n) - y_true))).astype(dtype)


def bench_ranking_kernels(bench, peers):
    n_rows = N_RANKED // 10
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
    for n_rows, at_least in ((N_RANKED, 40.0), (1000, 10.0)):
        table = bench.table(f"ranking metrics, {n_rows:,} rows, 10 % positive")
        for dtype in (np.float32, np.float64):
            y_true, y_score = ranked(n_rows, dtype)
            for name in ("roc_auc_score", "average_precision_score"):
                def ours(name=name, arguments=(y_true, y_score)):
                    return getattr(metrics, name)(*arguments)

                contestants = peers.sklearn(sklearn_metric(name, y_true, y_score))
                if contestants:
                    agree(ours(), contestants[0].call(), 1e-11)
                row = table.row(f"{name}, {np.dtype(dtype).name}", ours, contestants)
                if dtype is np.float32:
                    bench.target(
                        f"{name}, {n_rows:,} rows, float32: against scikit-learn",
                        lambda row=row: row.ratio("scikit-learn"), at_least=at_least,
                    )
