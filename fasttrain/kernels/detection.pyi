from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_Real = NDArray[np.floating[Any]]
_Codes = NDArray[np.int64]
_Flags = NDArray[np.bool_]
_Format = Literal["xyxy", "xywh"]

def box_iou(
    boxes_a: _Real,
    boxes_b: _Real,
    crowd: _Flags | None = None,
    *,
    box_format: _Format = "xyxy",
    n_threads: int | None = None,
) -> NDArray[np.float64]: ...
def detection_precision_recall(
    true_boxes: _Real,
    true_classes: _Codes,
    true_images: _Codes,
    pred_boxes: _Real,
    pred_scores: _Real,
    pred_classes: _Codes,
    pred_images: _Codes,
    iou_thresholds: NDArray[np.float64],
    recall_points: NDArray[np.float64],
    area_ranges: NDArray[np.float64],
    max_detections: _Codes,
    n_classes: int,
    *,
    crowd: _Flags | None = None,
    ignore: _Flags | None = None,
    areas: _Real | None = None,
    box_format: _Format = "xyxy",
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
