"""The detection kernels against their plain NumPy twins."""

import numpy as np
import pytest

from fasttrain import kernels, reference
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS

FORMATS = ("xyxy", "xywh")
THRESHOLDS, POINTS = np.array([0.25, 0.5, 0.75, 1.0]), np.linspace(0.0, 1.0, 11)
RANGES, LIMITS = np.array([[0.0, 1e10], [0.0, 64.0], [64.0, 200.0]]), np.array([100, 1, 7])


def boxes(rng, n, dtype=np.float64, box_format="xyxy", whole=True):
    """Left, top and sizes up to 15, or corners; whole numbers, so that there are ties, or any."""
    values = rng.integers(0, 16, (n, 4)).astype(np.float64) if whole else rng.random((n, 4)) * 15
    if box_format == "xyxy":
        values[:, 2:] += values[:, :2]
    return values.astype(dtype)


def problem(rng, n_true, n_pred, n_classes=3, n_images=5, dtype=np.float64, box_format="xyxy", whole=True):
    """Arguments of detection_precision_recall, and its options."""
    n_images = max(1, min(n_images, n_true + n_pred))
    arguments = [
        boxes(rng, n_true, dtype, box_format, whole), rng.integers(0, n_classes, n_true),
        rng.integers(0, n_images, n_true), boxes(rng, n_pred, dtype, box_format, whole),
        rng.integers(-4, 5, n_pred).astype(dtype) / 4, rng.integers(0, n_classes, n_pred),
        rng.integers(0, n_images, n_pred), THRESHOLDS, POINTS, RANGES, LIMITS, n_classes,
    ]  # fmt: skip
    options = {
        "crowd": rng.random(n_true) < 0.2, "ignore": rng.random(n_true) < 0.1,
        "areas": rng.integers(0, 30, n_true) * dtype(8), "box_format": box_format,
    }  # fmt: skip
    return arguments, options


def assert_agrees(arguments, options):
    actual = kernels.detection_precision_recall(*arguments, **options)
    expected = reference.detection_precision_recall(*arguments, **options)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == np.float64
        np.testing.assert_array_equal(one, other)


# ---- overlaps --------------------------------------------------------------------------------------------


def test_closed_form_of_overlaps():
    a = np.array([[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    b = np.array([[2.0, 1.0, 6.0, 3.0], [4.0, 0.0, 5.0, 2.0], [0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 8.0, 8.0]])
    np.testing.assert_array_equal(kernels.box_iou(a, b), [[2 / 14, 0, 1, 8 / 64], [0, 0, 0, 0]])
    crowd = np.array([True, True, False, True])
    np.testing.assert_array_equal(kernels.box_iou(a, b, crowd), [[2 / 8, 0, 1, 1], [0, 0, 0, 0]])
    b[:, 2:] -= b[:, :2]
    np.testing.assert_array_equal(kernels.box_iou(a[:1], b, box_format="xywh"), [[2 / 14, 0, 1, 8 / 64]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*SIZES, 255, 256, 257, 700])
@pytest.mark.parametrize("box_format", FORMATS)
def test_overlaps_of_any_number_of_boxes(dtype, n, box_format):
    rng = np.random.default_rng(n)
    for whole in (True, False):
        a, b = boxes(rng, 37, np.float32, box_format, whole), boxes(rng, n, dtype, box_format, whole)
        crowd = rng.random(n) < 0.5
        for one, other, flags in ((a, b, None), (a, b, crowd), (b, a, None)):
            actual = kernels.box_iou(one, other, flags, box_format=box_format)
            assert actual.dtype == np.float64
            np.testing.assert_array_equal(
                actual, reference.box_iou(one, other, flags, box_format=box_format)
            )


@pytest.mark.parametrize("crowd", [False, True])
def test_overlaps_have_the_same_bits_for_any_number_of_threads(crowd):
    rng = np.random.default_rng(1)
    a, b = boxes(rng, 1001, whole=False), boxes(rng, 513, whole=False)
    flags = rng.random(513) < 0.5 if crowd else None
    results = [kernels.box_iou(a, b, flags, n_threads=k) for k in THREAD_COUNTS]
    for result in (*results[1:], reference.box_iou(a, b, flags)):
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("scale", [1e-300, 5e-324, 1e-160, 1e150])
@pytest.mark.parametrize("box_format", FORMATS)
def test_overlaps_of_tiny_and_huge_boxes(scale, box_format):
    rng = np.random.default_rng(2)
    a = boxes(rng, 50, box_format=box_format) * scale
    actual = kernels.box_iou(a, a, box_format=box_format)
    assert (actual >= 0).all()
    # a corner that is rounded may make an intersection greater than both boxes by as much
    assert (actual <= 1 + 1e-15).all()
    np.testing.assert_array_equal(actual, reference.box_iou(a, a, box_format=box_format))


def test_overlaps_far_from_the_origin_are_numbers():
    """Coordinates that have lost digits of the sizes: the union may vanish, and then the boxes are one."""
    a = np.full((40, 4), 1e15)
    a[:, 2:] = np.linspace(0.01, 0.4, 40)[:, None]
    for crowd in (None, np.ones(40, dtype=bool)):
        actual = kernels.box_iou(a, a, crowd, box_format="xywh")
        assert np.isfinite(actual).all()
        assert (actual >= 0).all()
        np.testing.assert_array_equal(actual, reference.box_iou(a, a, crowd, box_format="xywh"))


# ---- precision and recall --------------------------------------------------------------------------------


def test_closed_form_of_precision_and_recall():
    truth = np.array([[0.0, 0.0, 8.0, 8.0], [20.0, 0.0, 28.0, 8.0]]), np.zeros(2, np.int64), np.zeros(2, np.int64)
    found = np.array([[0.0, 0.0, 8.0, 8.0], [50.0, 0.0, 58.0, 8.0], [20.0, 0.0, 28.0, 8.0]])
    zeros = np.zeros(3, np.int64)
    precision, recall = kernels.detection_precision_recall(
        *truth, found, np.array([0.9, 0.8, 0.7]), zeros, zeros, np.array([0.5]), np.array([0.0, 0.5, 0.51, 1.0]),
        np.array([[0.0, 1e10]]), np.array([1, 2, 3]), 2,
    )  # fmt: skip
    # of a perfect start the definition's spacing(1) leaves its mark
    one = 1 / (1 + np.spacing(1.0))
    assert precision[0, :, 0, 0].T.tolist() == [[one, one, 0, 0], [one, one, 0, 0], [one, one, 2 / 3, 2 / 3]]
    assert recall[0, 0, 0].tolist() == [0.5, 0.5, 1.0]
    assert (precision[:, :, 1] == -1).all()
    assert (recall[:, 1] == -1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("box_format", FORMATS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 12, 13, 24, 25, 60])
def test_few_and_many_rows(dtype, box_format, n):
    rng = np.random.default_rng(n)
    for n_true, n_pred in ((n, 20), (20, n), (n, 3 * n)):
        for n_images in (1, 6):
            arguments, options = problem(rng, n_true, n_pred, 2, n_images, dtype, box_format)
            assert_agrees(arguments, options)
            assert_agrees(arguments, {"box_format": box_format})


def test_long_lists_of_equal_and_distinct_scores():
    """Sorting by merging: one group and one class of many predictions."""
    rng = np.random.default_rng(3)
    for scores in (lambda n: rng.random(n), lambda n: np.zeros(n), lambda n: rng.integers(0, 9, n) / 8.0):
        arguments, options = problem(rng, 30, 400, 1, 2, whole=False)
        arguments[4], arguments[10] = scores(400), np.array([1000, 50])
        assert_agrees(arguments, options)


def test_zeros_of_either_sign_tie():
    rng = np.random.default_rng(4)
    arguments, options = problem(rng, 20, 40, 1, 3)
    arguments[4] = np.where(rng.random(40) < 0.5, 0.0, -0.0)
    assert_agrees(arguments, options)


@pytest.mark.parametrize("n_classes", [1, 90])
def test_the_same_bits_for_any_number_of_threads(n_classes):
    rng = np.random.default_rng(5)
    arguments, options = problem(rng, 4000, 9000, n_classes, 80, whole=False)
    results = [kernels.detection_precision_recall(*arguments, **options, n_threads=k) for k in THREAD_COUNTS]
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_empty_options():
    arguments, options = problem(np.random.default_rng(6), 5, 5)
    for place in (7, 8, 9, 10):
        changed = [*arguments]
        changed[place] = arguments[place][:0]
        assert_agrees(changed, options)


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["boxes_a", "boxes_b"])
@pytest.mark.parametrize("box_format", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(4))
def test_the_first_bad_box_is_named(name, box_format, dtype, bad, column):
    values = boxes(np.random.default_rng(7), 30, dtype, box_format)
    values[11, column], values[12] = bad, np.nan
    arguments = {"boxes_a": np.zeros((2, 4)), "boxes_b": np.zeros((2, 4), dtype=np.float32), name: values}
    with pytest.raises(ValueError, match=rf"^{name} must hold finite boxes .* in row 11$"):
        kernels.box_iou(**arguments, box_format=box_format)


@pytest.mark.parametrize(
    ("bad", "box_format"),
    [
        ([1, 0, 0, 1], "xyxy"), ([0, 1, 1, 0], "xyxy"), ([0, 0, -1, -1], "xywh"), ([0, 0, -1, 1], "xywh"),
        ([1, 1, 0, 0], "xyxy"), ([0, 0, 1e160, 1e160], "xywh"), ([-1e308, 0, 1e308, 1], "xyxy"),
        ([1e308, 0, 1e308, 0], "xywh"), ([0, 0, 2.0**1000, 2.0**23], "xywh"),
    ],
)  # fmt: skip
def test_boxes_of_negative_or_boundless_size(bad, box_format):
    with pytest.raises(ValueError, match="boxes_a must hold finite boxes"):
        kernels.box_iou(np.array([bad], dtype=np.float64), np.zeros((0, 4)), box_format=box_format)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_negative_size_far_from_the_origin(dtype):
    """The corners of such a box are the same number."""
    bad = np.array([[1e15, 0, -0.0078125, 1]], dtype=dtype)
    for module in (kernels, reference):
        with pytest.raises(ValueError, match="negative size"):
            module.box_iou(bad, np.zeros((1, 4)), box_format="xywh")


BOXES = np.zeros((3, 4))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((BOXES.tolist(), BOXES), TypeError, "boxes_a must be a numpy.ndarray, got list"),
        ((BOXES, BOXES.astype(int)), TypeError, "boxes_b must have dtype float32 or float64, got int64"),
        ((BOXES[0], BOXES), ValueError, r"boxes_a must have 2 dimension\(s\)"),
        ((BOXES, BOXES[:, :3]), ValueError, r"boxes_b must have shape \(any, 4\), got \(3, 3\)"),
        ((BOXES[::-1], BOXES), ValueError, "boxes_a must be C-contiguous"),
        ((BOXES, BOXES, np.zeros(3, int)), TypeError, "crowd must have dtype bool, got int64"),
        ((BOXES, BOXES, np.zeros(2, bool)), ValueError, r"crowd must have shape \(3,\), got \(2,\)"),
    ],
)
def test_bad_arguments_of_overlaps(arguments, error, message):
    with pytest.raises(error, match=message):
        kernels.box_iou(*arguments)


@pytest.mark.parametrize(
    ("place", "value", "error", "message"),
    [
        (0, BOXES - np.inf, ValueError, "true_boxes must hold finite boxes"),
        (1, np.array([0, 2, 0]), ValueError, "true_classes must be at least 0 and below n_classes, 2, got 2 in row 1"),
        (1, np.array([0, 1, -1]), ValueError, "true_classes must be .* got -1 in row 2"),
        (1, np.zeros(3, np.int32), TypeError, "true_classes must have dtype int64"),
        (2, np.array([0, 7, 0]), ValueError, "true_images must be .* number of truths and predictions, 7, got 7"),
        (2, np.zeros(2, np.int64), ValueError, r"true_images must have shape \(3,\)"),
        (3, np.ones((4, 3)), ValueError, "pred_boxes must have shape"),
        (4, np.array([0, np.nan, 0, 0]), ValueError, "pred_scores must be finite, got nan in row 1"),
        (4, np.zeros(3), ValueError, r"pred_scores must have shape \(4,\)"),
        (5, np.array([0, 0, 0, 2**40]), ValueError, "pred_classes must be .* in row 3"),
        (6, np.array([-1, 0, 0, 0]), ValueError, "pred_images must be .* got -1 in row 0"),
        (7, np.array([0.5, 0.0]), ValueError, "iou_thresholds must be above 0 and at most 1, got 0.0"),
        (7, np.array([0.5], np.float32), TypeError, "iou_thresholds must have dtype float64, got float32"),
        (8, np.array([np.nan]), ValueError, "recall_points must be at least 0 and at most 1, got nan"),
        (9, np.array([[1.0, 0.0]]), ValueError, "area_ranges must hold pairs"),
        (9, np.array([[0.0, np.nan]]), ValueError, "area_ranges must hold pairs"),
        (9, np.zeros((1, 3)), ValueError, r"area_ranges must have shape \(any, 2\)"),
        (9, np.zeros((1, 2), np.float32), TypeError, "area_ranges must have dtype float64"),
        (10, np.array([10, 0]), ValueError, "max_detections must be at least 1, got 0"),
        (10, np.array([10.0]), TypeError, "max_detections must have dtype int64"),
        (11, -1, ValueError, "n_classes must be between 0 and 65535, got -1"),
        (11, 1.5, TypeError, "n_classes must be an integer"),
    ],
)
def test_bad_arguments(place, value, error, message):
    rng = np.random.default_rng(8)
    arguments, options = problem(rng, 3, 4, 2, 2)
    arguments[place] = value
    for threads in THREAD_COUNTS:
        with pytest.raises(error, match=message):
            kernels.detection_precision_recall(*arguments, **options, n_threads=threads)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("crowd", np.zeros(3, np.uint8), TypeError, "crowd must have dtype bool"),
        ("ignore", np.zeros(4, bool), ValueError, r"ignore must have shape \(3,\)"),
        ("areas", np.array([0.0, 1.0, -1.0]), ValueError, "areas must be finite and not negative, got -1.0 in row 2"),
        ("areas", np.array([0.0, np.inf, 1.0]), ValueError, "areas must be finite"),
        ("areas", np.zeros(3, int), TypeError, "areas must have dtype float32 or float64"),
        ("box_format", "yxyx", ValueError, "box_format must be one of 'xyxy', 'xywh', got 'yxyx'"),
        ("n_threads", 0, ValueError, "n_threads"),
    ],
)
def test_bad_options(name, value, error, message):
    arguments, options = problem(np.random.default_rng(9), 3, 4, 2, 2)
    with pytest.raises(error, match=message):
        kernels.detection_precision_recall(*arguments, **{**options, name: value})


def test_inputs_may_be_read_only_and_are_not_changed():
    arguments, options = problem(np.random.default_rng(10), 30, 40)
    arrays = [one for one in (*arguments, *options.values()) if isinstance(one, np.ndarray)]
    before = [one.tobytes() for one in arrays]
    for one in arrays:
        one.flags.writeable = False
    kernels.detection_precision_recall(*arguments, **options)
    kernels.box_iou(arguments[0], arguments[3])
    assert [one.tobytes() for one in arrays] == before
    for one in arrays:
        one.flags.writeable = True
