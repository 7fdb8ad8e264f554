"""What is counted down a ranking, in plain NumPy."""

import numpy as np


def ranking_scores(y_true, y_score, sample_weight=None, *, allow_infinity=False, n_threads=None):
    """Area under the ROC curve, average precision, and the (weighted) numbers of labels 1 and 0.

    See :func:`fasttrain.kernels.ranking_scores`; ``n_threads`` is ignored.
    """
    tps, fps, _ = ranking_curve(y_true, y_score, sample_weight, allow_infinity=allow_infinity)
    # a descent that begins at the corner
    tps, fps = np.append(tps[:0], [0, *tps]), np.append(fps[:0], [0, *fps])
    positives, negatives = tps[-1].item(), fps[-1].item()
    rise, run = np.diff(tps), np.diff(fps)
    roc_auc = average_precision = np.nan
    if positives and negatives:
        roc_auc = float(np.sum(run / negatives * ((tps[:-1] + tps[1:]) / 2 / positives)))
    if positives:
        precision = tps[1:] / (tps[1:] + fps[1:])
        average_precision = float(np.sum(rise / positives * precision))
    return roc_auc, average_precision, positives, negatives


def ranking_curve(y_true, y_score, sample_weight=None, *, allow_infinity=False, n_threads=None):
    """True and false positives at each distinct score, from the largest on.

    See :func:`fasttrain.kernels.ranking_curve`; ``n_threads`` is ignored.
    """
    if y_true.ndim != 1 or y_score.shape != y_true.shape:
        raise ValueError(f"y_score must have shape {y_true.shape}, got {y_score.shape}")
    if np.isnan(y_score).any() or not (allow_infinity or np.isfinite(y_score).all()):
        raise ValueError("y_score must not hold NaN, nor infinity unless it is allowed")
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError("y_true must hold labels 0 and 1")
    ones = np.ones(len(y_true), dtype=np.int64)
    weight = ones if sample_weight is None else sample_weight.astype(np.float64)
    if weight.shape != y_true.shape or not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("sample_weight must be as long as y_true, finite and not negative")
    # NumPy sorts -0.0 and +0.0 as equal; the stable sort keeps the order of rows
    kept = np.flatnonzero(weight)
    order = kept[np.argsort(-y_score[kept], kind="stable")]
    scores, positive = y_score[order], y_true[order] == 1
    tps = np.cumsum(np.where(positive, weight[order], 0))
    fps = np.cumsum(np.where(positive, 0, weight[order]))
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    # one zero for both
    return tps[last], fps[last], scores[last] + scores.dtype.type(0)
