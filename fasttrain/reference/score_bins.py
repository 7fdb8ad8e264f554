"""Bins of scores by their leading bits, in plain NumPy."""

import numpy as np


def score_bins(y_true, y_score, sample_weight=None, *, max_bins, level=64, n_threads=None):
    """The level, and of each bin its prefix and its (weighted) rows of label 1 and 0.

    See :func:`fasttrain.kernels.score_bins`; ``n_threads`` is ignored.
    """
    if y_true.ndim != 1 or y_score.shape != y_true.shape:
        raise ValueError(f"y_score must have shape {y_true.shape}, got {y_score.shape}")
    if not np.isfinite(y_score).all() or not np.isin(y_true, (0, 1)).all():
        raise ValueError("y_score must be finite and y_true hold labels 0 and 1")
    if max_bins < 1 or not 0 <= level <= 64:
        raise ValueError(f"max_bins must be at least 1 and level from 0 to 64, got {max_bins} and {level}")
    weight = np.ones(len(y_true), np.int64) if sample_weight is None else sample_weight.astype(np.float64)
    if weight.shape != y_true.shape or not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("sample_weight must be as long as y_true, finite and not negative")
    kept = weight != 0
    # one zero for both
    bits = (y_score[kept].astype(np.float64) + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    keys = np.where(bits & sign, ~bits, bits | sign)
    prefixes = _distinct(np.sort(keys >> np.uint64(64 - level) if level else keys * 0))
    while len(prefixes) > max_bins:
        level -= 1
        prefixes = _distinct(prefixes >> np.uint64(1))
    index = np.searchsorted(prefixes, keys >> np.uint64(64 - level) if level else keys * 0)
    positives, negatives = np.zeros((2, len(prefixes)), dtype=weight.dtype)
    np.add.at(positives, index, weight[kept] * (y_true[kept] == 1))
    np.add.at(negatives, index, weight[kept] * (y_true[kept] == 0))
    return level, prefixes, positives, negatives


def _distinct(rising):
    # numpy.unique hashes, which is many times slower for such keys
    return rising[np.append(True, rising[1:] != rising[:-1])[: len(rising)]]
