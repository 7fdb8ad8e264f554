"""How well boxes are found, by COCO's definition: from plain arrays of boxes, scores, labels and image ids.

:func:`evaluate` matches once and keeps precision and recall at every threshold, class, area range and number of
detections; :func:`average_precision` and :func:`average_recall` are means of a part of them.
"""

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError
from fasttrain.kernels.detection import box_iou as overlaps
from fasttrain.kernels.detection import detection_precision_recall
from fasttrain.metrics._labels import LabelPairs, label_kind
from fasttrain.metrics._validation import as_array, as_floats, check_array_like, check_choice

__all__ = ["AREA_RANGES", "Evaluation", "average_precision", "average_recall", "box_iou", "evaluate"]

_Array = NDArray[Any]
_Format = Literal["xyxy", "xywh"]
_Average = Literal["macro"] | None
_Ranges = Mapping[str, tuple[float, float]]

# Areas in square pixels; each range has both its ends, so that an area of 1024 is small and medium.
AREA_RANGES: _Ranges = MappingProxyType(
    {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
)
_SUFFIXES = {"small": "s", "medium": "m", "large": "l"}


def box_iou(
    boxes_a: ArrayLike, boxes_b: ArrayLike, *, box_format: _Format = "xyxy", crowd: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Intersection over union of each box of a with each box of b.

    ``out[i, j] = I / (A_i + B_j - I)`` with the areas of the two boxes and of their intersection; 0 where that
    is empty.  Where ``crowd[j]``, ``out[i, j] = I / A_i``.

    Parameters
    ----------
    boxes_a : array-like of shape (n_a, 4)
        Finite; no size may be negative.  float32 and float64 are taken as they are.
    boxes_b : array-like of shape (n_b, 4)
    box_format : {'xyxy', 'xywh'}
        A box is left, top, right and bottom, or left, top, width and height.
    crowd : array-like of shape (n_b,), optional
        True, or 1, for boxes around many objects: they are met to the part that the other box lies in them.

    Returns
    -------
    float64 ndarray of shape (n_a, n_b)
        Computed in float64, whatever the dtypes.

    Raises
    ------
    ValueError
        Another shape or format; NaN, infinity, a negative size.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.

    Examples
    --------
    >>> from fasttrain.metrics import box_iou
    >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 1], [1, 0, 3, 2]], box_format="xyxy").round(4)
    array([[0.5   , 0.3333]])
    """
    check_choice(box_format, "box_format", ("xyxy", "xywh"))
    a, b = _boxes(boxes_a, "boxes_a"), _boxes(boxes_b, "boxes_b")
    return overlaps(a, b, _flags(crowd, "crowd", len(b)), box_format=box_format)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Precision and recall of detections, as :func:`evaluate` returns them.

    Attributes
    ----------
    precision : float64 ndarray of shape (n_thresholds, n_recalls, n_classes, n_ranges, n_limits)
        The best precision at each recall point or a higher recall; -1 where a class has no truth in the range.
    recall : float64 ndarray of shape (n_thresholds, n_classes, n_ranges, n_limits)
        Over all detections; -1 likewise.
    classes : ndarray of shape (n_classes,)
        The sorted labels of truths and predictions.
    iou_thresholds, recall_points : float64 ndarrays of shapes (n_thresholds,), (n_recalls,)
    area_ranges : dict
        (least, greatest area) by name, in the order of the arrays; the first is that of figures without a name.
    max_detections : tuple of int
        Detections of an image and class that count, in the order of the arrays.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    classes: _Array
    iou_thresholds: NDArray[np.float64]
    recall_points: NDArray[np.float64]
    area_ranges: dict[str, tuple[float, float]]
    max_detections: tuple[int, ...]

    def __repr__(self) -> str:
        return f"<Evaluation of {len(self.classes)} classes, AP {self.average_precision():.4f}>"

    def average_precision(
        self,
        *,
        iou: float | None = None,
        area: str | None = None,
        max_detections: int | None = None,
        average: _Average = "macro",
    ) -> Any:
        """The mean of precision over thresholds, recall points and the classes that have truths.

        Parameters
        ----------
        iou : float, optional
            One of the thresholds; all if not given.
        area : str, optional
            The name of an area range; the first if not given.
        max_detections : int, optional
            One of the limits; the greatest if not given.
        average : {'macro'}, optional
            None: one figure for each class.

        Returns
        -------
        float, or float64 ndarray of shape (n_classes,) with ``average=None``
            -1 where there is no truth to find.

        Raises
        ------
        ValueError
            What was not evaluated.
        """
        return self._mean(self.precision, iou, area, max_detections, average)

    def average_recall(
        self,
        *,
        iou: float | None = None,
        area: str | None = None,
        max_detections: int | None = None,
        average: _Average = "macro",
    ) -> Any:
        """The mean of recall over thresholds and the classes that have truths.

        Parameters, returns and errors are those of :meth:`average_precision`.
        """
        return self._mean(self.recall, iou, area, max_detections, average)

    def summary(self) -> dict[str, float]:
        """COCO's figures by name: with the defaults of :func:`evaluate`, its twelve in their order.

        AP, AP50, AP75 over all areas, at all thresholds and at two; APs, APm, APl of small, medium and large truths;
        AR1, AR10, AR100 with so many detections; ARs, ARm, ARl.  AP50 and AP75 are missing where their thresholds
        are; other area ranges stand as AP_name and AR_name.

        Returns
        -------
        dict of str to float
            -1 where there is no truth to find.
        """
        figures = {"AP": self.average_precision()}
        for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
            if self._threshold(threshold) is not None:
                figures[name] = self.average_precision(iou=threshold)
        parts = {name: _SUFFIXES.get(name, f"_{name}") for name in list(self.area_ranges)[1:]}
        figures |= {f"AP{suffix}": self.average_precision(area=name) for name, suffix in parts.items()}
        figures |= {f"AR{limit}": self.average_recall(max_detections=limit) for limit in self.max_detections}
        figures |= {f"AR{suffix}": self.average_recall(area=name) for name, suffix in parts.items()}
        return figures

    def _threshold(self, iou: float) -> int | None:
        """The place of a threshold, which may be off by rounding."""
        distance = np.abs(self.iou_thresholds - iou)
        place = int(distance.argmin())
        return place if distance[place] < 1e-9 else None

    def _mean(
        self, values: _Array, iou: float | None, area: str | None, max_detections: int | None, average: _Average
    ) -> Any:
        check_choice(average, "average", ("macro", None))
        if area is not None and area not in self.area_ranges:
            raise ValueError(f"area must be one of {list(self.area_ranges)}, got {area!r}")
        if max_detections is not None and max_detections not in self.max_detections:
            raise ValueError(f"max_detections must be one of {self.max_detections}, got {max_detections!r}")
        range_place = 0 if area is None else list(self.area_ranges).index(area)
        limit = max(self.max_detections) if max_detections is None else max_detections
        values = values[..., range_place, self.max_detections.index(limit)]
        if iou is not None:
            if not isinstance(iou, numbers.Real) or (place := self._threshold(float(iou))) is None:
                raise ValueError(f"iou must be one of {self.iou_thresholds.tolist()}, got {iou!r}")
            values = values[place : place + 1]
        if average is None:
            return values.mean(axis=tuple(range(values.ndim - 1)))
        values = values[values > -1]
        return float(values.mean()) if values.size else -1.0


def evaluate(
    true_boxes: ArrayLike,
    true_labels: ArrayLike,
    true_images: ArrayLike,
    pred_boxes: ArrayLike,
    pred_scores: ArrayLike,
    pred_labels: ArrayLike,
    pred_images: ArrayLike,
    *,
    crowd: ArrayLike | None = None,
    ignore: ArrayLike | None = None,
    areas: ArrayLike | None = None,
    box_format: _Format = "xyxy",
    iou_thresholds: ArrayLike | float | None = None,
    recall_points: ArrayLike | None = None,
    area_ranges: _Ranges | None = None,
    max_detections: Sequence[int] | int = (1, 10, 100),
) -> Evaluation:
    """Precision and recall of detections by COCO's definition, all of them from one matching.

    In each image and class, predictions choose truths in the order of falling scores (equal ones in the order of
    rows).  One chooses, of the truths that are not taken and overlap it by at least the threshold, the one that it
    overlaps most (of equal ones, the last), and an ignored truth only where no other can be had.  It is then a
    hit, or ignored with its truth; one that finds none is a miss, or ignored where its own area is out of range.
    Down the scores of a class (equal ones in the order of sorted image ids), with ``tp`` hits and ``fp`` misses so
    far, of ``n`` truths that are not ignored: ``recall = tp / n`` and ``precision = tp / (fp + tp)``.

    Parameters
    ----------
    true_boxes : array-like of shape (n_true, 4)
        Finite; no size may be negative.  float32 and float64 are taken as they are.  Empty is allowed.
    true_labels, true_images : array-like of shape (n_true,)
        Class and image of each box: integers of any width, bool, strings.
    pred_boxes : array-like of shape (n_pred, 4)
    pred_scores : array-like of shape (n_pred,)
        Finite.
    pred_labels, pred_images : array-like of shape (n_pred,)
        Images and classes may have only truths or only predictions.
    crowd : array-like of shape (n_true,), optional
        True, or 1, for boxes around many objects: ignored, never taken, and overlapping by intersection over the
        prediction's area.
    ignore : array-like of shape (n_true,), optional
        True, or 1, for truths that count neither as found nor as missed.
    areas : array-like of shape (n_true,), optional
        The truths' areas for the ranges; those of their boxes if not given.  COCO's annotations have ``area``,
        that of the object's outline.
    box_format : {'xyxy', 'xywh'}
        A box is left, top, right and bottom, or left, top, width and height (COCO's own).
    iou_thresholds : float or array-like of shape (n_thresholds,), optional
        Above 0, at most 1.  0.5, 0.55, ..., 0.95 if not given.
    recall_points : array-like of shape (n_recalls,), optional
        In [0, 1].  0, 0.01, ..., 1 if not given.
    area_ranges : mapping of str to (float, float), optional
        The least and the greatest area by name, both within the range; :data:`AREA_RANGES` if not given.
    max_detections : int or sequence of int
        Predictions that count, of an image and class: those of the highest scores.

    Returns
    -------
    Evaluation
        With ``summary()``, ``average_precision(...)`` and ``average_recall(...)``.

    Raises
    ------
    ValueError, TypeError
        Lengths that differ, NaN or infinity, negative sizes, labels of different kinds, bad options.

    Notes
    -----
    Uses the threads in force (:func:`fasttrain.get_num_threads`); the result does not depend on them.  The numbers
    are those of pycocotools' ``COCOeval`` for boxes to the last bits, but that there a truth whose id is 0 is never
    found.  ``AP`` uses the greatest of ``max_detections``, whatever it is.

    References
    ----------
    Lin et al. Microsoft COCO: Common Objects in Context. ECCV 2014.  https://cocodataset.org/#detection-eval

    Examples
    --------
    >>> from fasttrain.metrics import detection
    >>> evaluation = detection.evaluate(
    ...     [[0, 0, 40, 40], [50, 50, 90, 90]], ["cat", "cat"], [7, 7],
    ...     [[0, 0, 40, 38], [55, 50, 90, 95]], [0.9, 0.6], ["cat", "cat"], [7, 7],
    ... )
    >>> {name: round(figure, 3) for name, figure in evaluation.summary().items() if figure >= 0}
    {'AP': 0.802, 'AP50': 1.0, 'AP75': 1.0, 'APm': 0.802, 'AR1': 0.5, 'AR10': 0.8, 'AR100': 0.8, 'ARm': 0.8}
    """
    check_choice(box_format, "box_format", ("xyxy", "xywh"))
    thresholds = _points(iou_thresholds, "iou_thresholds", np.linspace(0.5, 0.95, 10))
    points = _points(recall_points, "recall_points", np.linspace(0.0, 1.0, 101))
    ranges, limits = _ranges(AREA_RANGES if area_ranges is None else area_ranges), _limits(max_detections)
    boxes, found = _boxes(true_boxes, "true_boxes"), _boxes(pred_boxes, "pred_boxes")
    scores = _vector(pred_scores, "pred_scores", len(found))
    classes, true_classes, pred_classes = _codes(true_labels, pred_labels, "labels", len(boxes), len(found))
    _, true_places, pred_places = _codes(true_images, pred_images, "images", len(boxes), len(found))
    precision, recall = detection_precision_recall(
        boxes, true_classes, true_places, found, scores, pred_classes, pred_places,
        thresholds, points, np.array(list(ranges.values())), np.array(limits, dtype=np.int64), len(classes),
        crowd=_flags(crowd, "crowd", len(boxes)), ignore=_flags(ignore, "ignore", len(boxes)),
        areas=None if areas is None else _vector(areas, "areas", len(boxes)), box_format=box_format,
    )  # fmt: skip
    return Evaluation(precision, recall, classes, thresholds, points, ranges, limits)


def average_precision(
    true_boxes: ArrayLike,
    true_labels: ArrayLike,
    true_images: ArrayLike,
    pred_boxes: ArrayLike,
    pred_scores: ArrayLike,
    pred_labels: ArrayLike,
    pred_images: ArrayLike,
    *,
    crowd: ArrayLike | None = None,
    ignore: ArrayLike | None = None,
    areas: ArrayLike | None = None,
    box_format: _Format = "xyxy",
    iou_thresholds: ArrayLike | float | None = None,
    recall_points: ArrayLike | None = None,
    area_range: str | tuple[float, float] = "all",
    max_detections: int = 100,
    average: _Average = "macro",
) -> Any:
    """COCO's AP: the mean of precision over thresholds, recall points and the classes that have truths.

    Parameters
    ----------
    true_boxes, true_labels, true_images, pred_boxes, pred_scores, pred_labels, pred_images, crowd, ignore, areas, \
box_format, iou_thresholds, recall_points
        As for :func:`evaluate`; with ``iou_thresholds=0.5`` the figure is AP50.
    area_range : str or (float, float)
        A name of :data:`AREA_RANGES`, or the least and the greatest area.
    max_detections : int
        Predictions that count, of an image and class.
    average : {'macro'}, optional
        None: one figure for each of the sorted labels.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``
        -1 where there is no truth to find.

    Raises
    ------
    ValueError, TypeError
        As :func:`evaluate`.

    Notes
    -----
    For more than one figure :func:`evaluate` matches once.

    Examples
    --------
    >>> from fasttrain.metrics import detection
    >>> truth, found = [[0, 0, 40, 40], [50, 50, 90, 90]], [[0, 0, 40, 38], [55, 50, 90, 95]]
    >>> round(detection.average_precision(truth, [1, 1], [7, 7], found, [0.9, 0.6], [1, 1], [7, 7]), 3)
    0.802
    """
    check_choice(average, "average", ("macro", None))
    return evaluate(
        true_boxes, true_labels, true_images, pred_boxes, pred_scores, pred_labels, pred_images,
        crowd=crowd, ignore=ignore, areas=areas, box_format=box_format, iou_thresholds=iou_thresholds,
        recall_points=recall_points, area_ranges=_one_range(area_range), max_detections=_limit(max_detections),
    ).average_precision(average=average)  # fmt: skip


def average_recall(
    true_boxes: ArrayLike,
    true_labels: ArrayLike,
    true_images: ArrayLike,
    pred_boxes: ArrayLike,
    pred_scores: ArrayLike,
    pred_labels: ArrayLike,
    pred_images: ArrayLike,
    *,
    crowd: ArrayLike | None = None,
    ignore: ArrayLike | None = None,
    areas: ArrayLike | None = None,
    box_format: _Format = "xyxy",
    iou_thresholds: ArrayLike | float | None = None,
    area_range: str | tuple[float, float] = "all",
    max_detections: int = 100,
    average: _Average = "macro",
) -> Any:
    """COCO's AR: the mean over thresholds and the classes that have truths of the share of truths found.

    Parameters
    ----------
    true_boxes, true_labels, true_images, pred_boxes, pred_scores, pred_labels, pred_images, crowd, ignore, areas, \
box_format, iou_thresholds
        As for :func:`evaluate`.
    area_range, max_detections, average
        As for :func:`average_precision`.

    Returns
    -------
    float, or float64 ndarray of shape (n_classes,) with ``average=None``
        -1 where there is no truth to find.

    Raises
    ------
    ValueError, TypeError
        As :func:`evaluate`.

    Examples
    --------
    >>> from fasttrain.metrics import detection
    >>> truth, found = [[0, 0, 40, 40], [50, 50, 90, 90]], [[0, 0, 40, 38]]
    >>> round(detection.average_recall(truth, [1, 1], [7, 7], found, [0.9], [1], [7]), 3)
    0.5
    """
    check_choice(average, "average", ("macro", None))
    return evaluate(
        true_boxes, true_labels, true_images, pred_boxes, pred_scores, pred_labels, pred_images,
        crowd=crowd, ignore=ignore, areas=areas, box_format=box_format, iou_thresholds=iou_thresholds,
        recall_points=[0.0], area_ranges=_one_range(area_range), max_detections=_limit(max_detections),
    ).average_recall(average=average)  # fmt: skip


# ---- options ---------------------------------------------------------------------------------------------


def _points(value: Any, name: str, default: _Array) -> _Array:
    """Thresholds or points as a vector of float64; the kernel checks their range."""
    if value is None:
        return default
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        value = [value]
    points = as_floats(as_array(value, name), name)
    if points.ndim != 1 or not points.size:
        raise ValueError(f"{name} must have shape (n,), not empty, got {points.shape}")
    return np.array(points, dtype=np.float64)


def _ranges(area_ranges: Any) -> dict[str, tuple[float, float]]:
    if not isinstance(area_ranges, Mapping) or not area_ranges:
        raise InvalidParameterError(f"area_ranges must map names to (least, greatest), got {area_ranges!r}")
    ranges = {}
    for name, pair in area_ranges.items():
        if not isinstance(name, str):
            raise InvalidParameterError(f"area_ranges must have strings as names, got {name!r}")
        ranges[name] = _pair(pair, f"area_ranges[{name!r}]")
    return ranges


def _pair(value: Any, name: str) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        raise InvalidParameterError(f"{name} must be a pair (least, greatest area), got {value!r}") from None
    if not low <= high:
        raise ValueError(f"{name} must be a pair (least, greatest area), got {value!r}")
    return low, high


def _one_range(area_range: Any) -> _Ranges:
    if not isinstance(area_range, str):
        return {"all": _pair(area_range, "area_range")}
    check_choice(area_range, "area_range", tuple(AREA_RANGES))
    return {"all": AREA_RANGES[area_range]}


def _limits(max_detections: Any) -> tuple[int, ...]:
    one = isinstance(max_detections, numbers.Integral)
    if not one and (isinstance(max_detections, str) or not hasattr(max_detections, "__iter__")):
        raise InvalidParameterError(f"max_detections must be a whole number or several, got {max_detections!r}")
    limits = (max_detections,) if one else tuple(max_detections)
    if not limits or len(set(limits)) < len(limits):
        raise ValueError(f"max_detections must be different numbers, at least one, got {max_detections!r}")
    return tuple(_limit(limit) for limit in limits)


def _limit(limit: Any) -> int:
    if not isinstance(limit, numbers.Integral) or isinstance(limit, bool) or not 1 <= int(limit) < 2**63:
        raise InvalidParameterError(f"max_detections must be whole numbers of at least 1, got {limit!r}")
    return int(limit)


# ---- what goes in ----------------------------------------------------------------------------------------


def _kernel_array(array: _Array) -> _Array:
    """The same numbers as the kernels take them: aligned, C-contiguous."""
    return np.require(array, requirements=("C", "A"))


def _boxes(value: Any, name: str) -> _Array:
    """(n, 4) as float32 or float64."""
    check_array_like(value, name)
    boxes = as_floats(as_array(value, name), name)
    if boxes.shape == (0,):
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} must have shape (n, 4), got {boxes.shape}")
    return _kernel_array(boxes)


def _vector(value: Any, name: str, size: int) -> _Array:
    """(size,) as float32 or float64."""
    check_array_like(value, name)
    vector = as_floats(as_array(value, name), name)
    if vector.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), one for each box, got {vector.shape}")
    return _kernel_array(vector)


def _flags(value: Any, name: str, size: int) -> _Array | None:
    """(size,) as bool."""
    if value is None:
        return None
    check_array_like(value, name)
    flags = as_array(value, name)
    if flags.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), one for each box, got {flags.shape}")
    if flags.dtype != bool:
        if size and (flags.dtype.kind not in "iu" or not ((flags == 0) | (flags == 1)).all()):
            raise ValueError(f"{name} must hold True and False, or 1 and 0, got dtype {flags.dtype}")
        flags = flags.astype(bool)
    return _kernel_array(flags)


def _codes(true: Any, pred: Any, what: str, n_true: int, n_pred: int) -> tuple[_Array, _Array, _Array]:
    """(sorted distinct values of both, positions of the one's and of the other's among them as int64)."""
    pair = []
    for value, name, size in ((true, f"true_{what}", n_true), (pred, f"pred_{what}", n_pred)):
        check_array_like(value, name)
        column = as_array(value, name)
        if column.shape != (size,):
            raise ValueError(f"{name} must have shape ({size},), one for each box, got {column.shape}")
        if size:
            label_kind(column, name)
        pair.append(column)
    one, other = pair
    # what is empty has any dtype
    if not n_true:
        one = one.astype(other.dtype)
    if not n_pred:
        other = other.astype(one.dtype)
    if (one.dtype.kind in "UTO") != (other.dtype.kind in "UTO"):
        raise ValueError(
            f"true_{what} and pred_{what} must not mix strings and numbers, got dtypes {one.dtype} and {other.dtype}"
        )
    if one.dtype.kind in "biu" and other.dtype.kind in "biu" and (found := _small_codes(one, other)) is not None:
        return found
    classes, one, other = LabelPairs(one, other, None)._coded
    return classes, one.astype(np.int64), other.astype(np.int64)


def _small_codes(one: _Array, other: _Array) -> tuple[_Array, _Array, _Array] | None:
    """The same for integers in a small range, without sorting; None for others."""
    ends = [end for part in (one, other) if part.size for end in (int(part.min()), int(part.max()))]
    low, high = min(ends, default=0), max(ends, default=0)
    width = high - low + 1
    if high >= 2**63 or width > 4 * (len(one) + len(other)) + 1024:
        return None
    shifted = [part.astype(np.int64) - low for part in (one, other)]
    present = np.zeros(width, dtype=bool)
    for part in shifted:
        present[part] = True
    places = np.cumsum(present) - 1
    classes = (np.flatnonzero(present) + low).astype(np.result_type(one.dtype, other.dtype))
    return classes, places[shifted[0]], places[shifted[1]]
