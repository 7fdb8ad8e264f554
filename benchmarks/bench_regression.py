"""Metrics of numbers, and the kernels that add them up."""
import numpy as np

from benchmarks.harness import agree
from benchmarks.metric_cases import FEW_ROWS, MANY_ROWS, metric_row, reading, regression_pairs
from fasttrain import kernels, reference

COVERS = {
    "regression_loss",
    "regression_moments",
}


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
