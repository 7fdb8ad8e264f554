"""What the benchmarks of metrics share: sizes, data, and scikit-learn's functions of the same names."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import metrics

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


def probabilities(n_rows, n_classes, dtype):
    """Labels and probabilities (n_rows,) of two classes, or (n_rows, n_classes)."""
    rng = np.random.default_rng(2)
    if n_classes == 2:
        p = rng.random(n_rows, dtype=dtype)
        return (rng.random(n_rows) < p).astype(np.int64), p
    p = rng.random((n_rows, n_classes), dtype=dtype)
    p /= p.sum(axis=1, keepdims=True)
    return rng.integers(0, n_classes, n_rows), p


def ranked(n, dtype):
    """Labels, a tenth of them 1, and scores between 0 and 1 that tell something of them."""
    rng = np.random.default_rng(2)
    y_true = (rng.random(n) < 0.1).astype(np.int64)
    return y_true, (1.0 / (1.0 + np.exp(-rng.normal(size=n) - y_true))).astype(dtype)


def regression_pairs(n_rows, dtype=np.float64):
    rng = np.random.default_rng(1)
    y_true = rng.gamma(2.0, size=n_rows) + 0.1
    return y_true.astype(dtype), (y_true * rng.uniform(0.8, 1.25, n_rows)).astype(dtype)


def reading(*arrays):
    n_bytes = float(sum(array.nbytes for array in arrays))
    return ("read", n_bytes) if n_bytes > MEMORY_BYTES else None


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
