"""Metrics of streams: updates, bins of scores, memory."""
import subprocess
import sys

import numpy as np

from benchmarks.harness import QUICK, agree
from benchmarks.metric_cases import FEW_ROWS, MANY_ROWS, ranked, regression_pairs, sklearn_metric
from fasttrain import kernels, metrics, reference

COVERS = {
    "score_bins",
}


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
