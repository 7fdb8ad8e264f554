"""Overlaps of boxes and COCO's precision and recall of detections, in plain NumPy."""

import numpy as np


def box_iou(boxes_a, boxes_b, crowd=None, *, box_format="xyxy", n_threads=None):
    """Area of the intersection over area of the union, of each box of a with each box of b.

    See :func:`fasttrain.kernels.box_iou`; ``n_threads`` is ignored.
    """
    a, b = _corners(boxes_a, box_format)[:, np.newaxis], _corners(boxes_b, box_format)[np.newaxis]
    crowd = np.zeros(len(boxes_b), dtype=bool) if crowd is None else crowd
    if crowd.shape != (len(boxes_b),):
        raise ValueError(f"crowd must have shape {(len(boxes_b),)}, got {crowd.shape}")
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    intersection = np.where((width > 0) & (height > 0), width * height, 0.0)
    union = np.where(crowd, a[..., 4], a[..., 4] + b[..., 4] - intersection)
    # where rounding leaves no union around an intersection, the boxes are one
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(intersection > 0, np.where(union > 0, intersection / union, 1.0), 0.0)


def _corners(boxes, box_format):
    """(n, 5) float64: left, top, right, bottom, area."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (n, 4), got {boxes.shape}")
    left, top, third, fourth = boxes.astype(np.float64).T
    if box_format == "xywh":
        columns, sizes = (left, top, left + third, top + fourth, third * fourth), (third, fourth)
    else:
        sizes = third - left, fourth - top
        columns = left, top, third, fourth, sizes[0] * sizes[1]
    corners = np.stack(columns, axis=1)
    if not np.isfinite(corners).all() or np.min(sizes, initial=0.0) < 0:
        raise ValueError("boxes must be finite and of no negative size")
    return corners


def detection_precision_recall(
    true_boxes, true_classes, true_images, pred_boxes, pred_scores, pred_classes, pred_images,
    iou_thresholds, recall_points, area_ranges, max_detections, n_classes, *,
    crowd=None, ignore=None, areas=None, box_format="xyxy", n_threads=None,
):  # fmt: skip
    """COCO's precision at recall points, and its recall, by threshold, class, area range and detections per image.

    See :func:`fasttrain.kernels.detection_precision_recall`; ``n_threads`` is ignored.
    """
    n_true, n_pred = len(true_boxes), len(pred_boxes)
    for values, shape in (
        (true_classes, (n_true,)), (true_images, (n_true,)), (pred_scores, (n_pred,)), (pred_classes, (n_pred,)),
        (pred_images, (n_pred,)), (area_ranges, (len(area_ranges), 2)),
    ):  # fmt: skip
        if values.shape != shape:
            raise ValueError(f"an array must have shape {shape}, got {values.shape}")
    pred_areas = _corners(pred_boxes, box_format)[:, 4]
    areas = _corners(true_boxes, box_format)[:, 4] if areas is None else areas
    crowd = np.zeros(n_true, dtype=bool) if crowd is None else crowd
    ignore = crowd if ignore is None else crowd | ignore
    n_ranges, n_limits = len(area_ranges), len(max_detections)
    precision = np.full((len(iou_thresholds), len(recall_points), n_classes, n_ranges, n_limits), -1.0)
    recall = np.full((len(iou_thresholds), n_classes, n_ranges, n_limits), -1.0)
    most = int(max(max_detections, default=0))
    for k, a, t in np.ndindex(n_classes, n_ranges, len(iou_thresholds)):
        low, high = area_ranges[a]
        n_positives, found = 0, []
        for image in np.unique([*true_images[true_classes == k], *pred_images[pred_classes == k]]):
            true = np.flatnonzero((true_classes == k) & (true_images == image))
            pred = np.flatnonzero((pred_classes == k) & (pred_images == image))
            # by falling score, equal ones in their own order
            pred = pred[np.argsort(-pred_scores[pred], kind="stable")][:most]
            ignored = ignore[true] | (areas[true] < low) | (areas[true] > high)
            n_positives += int(np.count_nonzero(~ignored))
            overlap = box_iou(pred_boxes[pred], true_boxes[true], crowd[true], box_format=box_format)
            match = _match(overlap, iou_thresholds[t], ignored, crowd[true])
            for rank, (row, matched) in enumerate(zip(pred, match, strict=True)):
                outside = pred_areas[row] < low or pred_areas[row] > high
                is_ignored = ignored[matched] if matched >= 0 else outside
                found.append((-pred_scores[row], rank, matched >= 0, is_ignored))
        if n_positives == 0:
            continue
        found.sort(key=lambda one: one[0])
        for m, limit in enumerate(max_detections.tolist()):
            kept = [one for one in found if one[1] < limit]
            tp = np.cumsum([hit and not is_ignored for _, _, hit, is_ignored in kept], dtype=np.float64)
            fp = np.cumsum([not hit and not is_ignored for _, _, hit, is_ignored in kept], dtype=np.float64)
            recalls = tp / n_positives
            # the best precision at this recall or a higher one
            best = np.maximum.accumulate((tp / (fp + tp + np.spacing(1.0)))[::-1])[::-1]
            index = np.searchsorted(recalls, recall_points, side="left")
            precision[t, :, k, a, m] = np.append(best, 0.0)[index]
            recall[t, k, a, m] = recalls[-1] if len(recalls) else 0.0
    return precision, recall


def _match(overlap, threshold, ignored, crowd):
    """For each row of overlaps, in this order, the column that it matches, or -1."""
    taken = np.zeros(len(crowd), dtype=bool)
    match = []
    for row in overlap:
        best, column = min(threshold, 1 - 1e-10), -1
        # those that count first: one that is ignored is taken only where none of them can be
        for candidates in (np.flatnonzero(~ignored), np.flatnonzero(ignored)):
            if column < 0:
                for j in candidates.tolist():
                    # the later of two equal ones wins
                    if row[j] >= best and (crowd[j] or not taken[j]):
                        best, column = row[j], j
        if column >= 0:
            taken[column] = True
        match.append(column)
    return match
