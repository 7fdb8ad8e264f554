"""Intervals, by formulas and by resampling."""
import dataclasses
import statistics

import numpy as np

from benchmarks.harness import QUICK, Contestant, agree
from benchmarks.metric_cases import N_ROWS, ranked
from fasttrain import metrics


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
