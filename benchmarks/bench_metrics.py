"""Metrics of labels and of probabilities, and the kernels that count and add them up."""
import numpy as np

from benchmarks.harness import QUICK, agree
from benchmarks.metric_cases import FEW_ROWS, MANY_ROWS, N_ROWS, labels, metric_row, probabilities
from fasttrain import kernels, reference

COVERS = {
    "binary_probability_loss",
    "class_probability_loss",
    "confusion_matrix",
}


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
        ("accuracy_score", (y_true, y_pred)), ("f1_score", (y_true, y_pred)), ("confusion_matrix", (y_true, y_pred)),
        ("log_loss", (y_true, p)), ("brier_score_loss", (y_true, p)), ("hinge_loss", (y_true, p)),
        ("balanced_accuracy_score", (y_true, y_pred)), ("cohen_kappa_score", (y_true, y_pred)),
        ("matthews_corrcoef", (y_true, y_pred)), ("hamming_loss", (y_true, y_pred)),
        ("zero_one_loss", (y_true, y_pred)), ("jaccard_score", (y_true, y_pred)),
        ("class_likelihood_ratios", (y_true, y_pred)),
    ):
        row = metric_row(table, peers, name, arguments)
        bench.target(f"{name}, {FEW_ROWS:,} rows, over scikit-learn", row.ratio("scikit-learn"), at_least=10.0)
