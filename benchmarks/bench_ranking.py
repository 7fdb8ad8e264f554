"""Rankings: ROC-AUC, average precision, gains, thresholds and calibration."""
import numpy as np

from benchmarks.harness import QUICK, agree
from benchmarks.metric_cases import FEW_ROWS, MANY_ROWS, metric_row, ranked
from fasttrain import kernels, metrics, reference

COVERS = {
    "ranking_curve",
    "ranking_scores",
}


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
