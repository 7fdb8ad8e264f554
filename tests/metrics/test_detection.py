"""Detections against COCO's own figures, pycocotools, and a plain implementation."""

import contextlib
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasttrain
from fasttrain import kernels, metrics, reference
from fasttrain.exceptions import InvalidParameterError
from fasttrain.metrics import detection
from tests.helpers import THREAD_COUNTS

DATA = Path(__file__).parent / "data" / "coco_val2014_100.npz"
# Published with the results (README.md in data/), and by pycocotools to all digits.
FIGURES = {
    "AP": 0.5045806987249628, "AP50": 0.6969727247299577, "AP75": 0.5729816669904824,
    "APs": 0.5856257209410443, "APm": 0.5193996948036719, "APl": 0.5013978986347466,
    "AR1": 0.38681277964578054, "AR10": 0.5936795762842003, "AR100": 0.595352982877607,
    "ARs": 0.6398109626113442, "ARm": 0.5664205978994309, "ARl": 0.5642905982905982,
}  # fmt: skip
THRESHOLDS, POINTS = np.linspace(0.5, 0.95, 10), np.linspace(0.0, 1.0, 101)
NAMES = ("true_boxes", "true_labels", "true_images", "pred_boxes", "pred_scores", "pred_labels", "pred_images")


@pytest.fixture(scope="module")
def coco():
    with np.load(DATA) as arrays:
        return dict(arrays)


def evaluate(data, **options):
    """detection.evaluate of a dictionary of arrays."""
    given = {name: data[name] for name in ("crowd", "ignore", "areas", "box_format") if name in data}
    return detection.evaluate(*(data[name] for name in NAMES), **{**given, **options})


# ---- the data set ----------------------------------------------------------------------------------------


def test_the_twelve_figures_of_coco(coco):
    assert (len(coco["true_boxes"]), int(coco["crowd"].sum()), len(coco["pred_boxes"])) == (839, 9, 734)
    summary = evaluate(coco, box_format="xywh").summary()
    assert list(summary) == list(FIGURES)
    np.testing.assert_allclose(list(summary.values()), list(FIGURES.values()), rtol=1e-12, atol=0)


def test_single_figures(coco):
    arguments = [coco[name] for name in NAMES]
    options = {"crowd": coco["crowd"], "areas": coco["areas"], "box_format": "xywh"}
    for name, more in (
        ("AP", {}), ("AP50", {"iou_thresholds": 0.5}), ("AP75", {"iou_thresholds": [0.75]}),
        ("APs", {"area_range": "small"}), ("APm", {"area_range": (1024, 9216)}), ("APl", {"area_range": "large"}),
    ):  # fmt: skip
        actual = detection.average_precision(*arguments, **options, **more)
        assert isinstance(actual, float)
        np.testing.assert_allclose(actual, FIGURES[name], rtol=1e-12, err_msg=name)
    for name, more in (
        ("AR1", {"max_detections": 1}), ("AR10", {"max_detections": 10}), ("AR100", {}),
        ("ARs", {"area_range": "small"}), ("ARm", {"area_range": "medium"}), ("ARl", {"area_range": (9216.0, 1e10)}),
    ):  # fmt: skip
        actual = detection.average_recall(*arguments, **options, **more)
        np.testing.assert_allclose(actual, FIGURES[name], rtol=1e-12, err_msg=name)
    by_class = detection.average_precision(*arguments, **options, average=None)
    assert by_class.shape == (len(np.unique([*coco["true_labels"], *coco["pred_labels"]])),)
    np.testing.assert_allclose(by_class[by_class > -1].mean(), FIGURES["AP"], rtol=1e-12)


def test_any_number_of_threads_gives_the_same_bits(coco):
    data = crowded(np.random.default_rng(0), 3000, 9000, n_labels=40, n_images=60)
    for one in ({**coco, "box_format": "xywh"}, data):
        results = []
        for n_threads in THREAD_COUNTS:
            with fasttrain.num_threads(n_threads):
                results.append(evaluate(one))
        for other in results[1:]:
            np.testing.assert_array_equal(other.precision, results[0].precision)
            np.testing.assert_array_equal(other.recall, results[0].recall)


def test_the_order_of_rows_counts_only_among_equal_scores(coco):
    rng = np.random.default_rng(1)
    order, n_pred = rng.permutation(len(coco["pred_scores"])), len(coco["pred_scores"])
    distinct = {**coco, "pred_scores": rng.permutation(n_pred) / n_pred}
    expected = evaluate(distinct, box_format="xywh")
    shuffled = {name: values[order] if name.startswith("pred") else values for name, values in distinct.items()}
    np.testing.assert_array_equal(evaluate(shuffled, box_format="xywh").precision, expected.precision)


# ---- adversarial cases -----------------------------------------------------------------------------------


def crowded(rng, n_true, n_pred, n_labels=3, n_images=4):
    """Boxes on a small grid, so that overlaps, areas and scores tie; some have no area."""

    def boxes(n):
        return np.concatenate([rng.integers(0, 4, (n, 2)), rng.integers(0, 5, (n, 2))], axis=1) * 16.0

    return {
        "true_boxes": boxes(n_true),
        "true_labels": rng.integers(0, n_labels, n_true),
        "true_images": rng.integers(0, n_images, n_true),
        "pred_boxes": boxes(n_pred),
        "pred_scores": rng.integers(0, 6, n_pred) / 4.0 - 0.25,
        "pred_labels": rng.integers(0, n_labels, n_pred),
        "pred_images": rng.integers(0, n_images + 1, n_pred),
        "crowd": rng.random(n_true) < 0.2,
        "ignore": rng.random(n_true) < 0.1,
        "areas": rng.choice([0.0, 1023.0, 1024.0, 4000.0, 9216.0, 9217.0, 2e10], n_true),
        "box_format": "xywh",
    }


def codes(*parts):
    values = np.unique(np.concatenate(parts))
    return [len(values), *(np.searchsorted(values, part) for part in parts)]


def by_reference(data, limits=(1, 10, 100), thresholds=THRESHOLDS):
    n_classes, true_classes, pred_classes = codes(data["true_labels"], data["pred_labels"])
    _, true_images, pred_images = codes(data["true_images"], data["pred_images"])
    return reference.detection_precision_recall(
        data["true_boxes"], true_classes, true_images, data["pred_boxes"], data["pred_scores"], pred_classes,
        pred_images, thresholds, POINTS, np.array([*detection.AREA_RANGES.values()]), np.array(limits), n_classes,
        crowd=data["crowd"], ignore=data["ignore"], areas=data["areas"], box_format=data["box_format"],
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), n_true=st.integers(0, 25), n_pred=st.integers(0, 40), n_labels=st.integers(1, 3),
    limits=st.sampled_from([(1, 10, 100), (2,), (5, 3)]),
)  # fmt: skip
def test_against_the_plain_implementation(seed, n_true, n_pred, n_labels, limits):
    data = crowded(np.random.default_rng(seed), n_true, n_pred, n_labels)
    thresholds = np.array([0.25, 0.5, 0.75, 1.0])
    precision, recall = by_reference(data, limits, thresholds=thresholds)
    actual = evaluate(data, max_detections=limits, iou_thresholds=thresholds)
    np.testing.assert_array_equal(actual.precision, precision)
    np.testing.assert_array_equal(actual.recall, recall)


def coco_eval(data, limits):
    """(precision, recall, twelve figures) of pycocotools; ids of truths begin at 1."""
    coco_module = pytest.importorskip("pycocotools.coco", reason="needs pycocotools")
    from pycocotools.cocoeval import COCOeval

    def rows(kind, **more):
        columns = {"bbox": f"{kind}_boxes", "category_id": f"{kind}_labels", "image_id": f"{kind}_images", **more}
        values = {key: data[name].tolist() for key, name in columns.items()}
        return [
            {"id": i + 1, **dict(zip(values, row, strict=True))}
            for i, row in enumerate(zip(*values.values(), strict=True))
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = coco_module.COCO(), coco_module.COCO()
        images = np.unique([*data["true_images"], *data["pred_images"]]).tolist()
        labels = np.unique([*data["true_labels"], *data["pred_labels"]]).tolist()
        truth.dataset = {
            "images": [{"id": image} for image in images], "categories": [{"id": label} for label in labels],
            "annotations": [
                {**row, "iscrowd": int(row["iscrowd"])} for row in rows("true", iscrowd="crowd", area="areas")
            ],
        }  # fmt: skip
        found.dataset = {
            **truth.dataset,
            "annotations": [
                {**row, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]}
                for row in rows("pred", score="pred_scores")
            ],
        }
        truth.createIndex()
        found.createIndex()
        run = COCOeval(truth, found, "bbox")
        run.params.maxDets = list(limits)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.eval["precision"], run.eval["recall"], run.stats


# pycocotools ends with nothing to evaluate in an error
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n_true=st.integers(1, 40), n_pred=st.integers(1, 60), n_labels=st.integers(1, 4))
def test_against_pycocotools(seed, n_true, n_pred, n_labels):
    data = crowded(np.random.default_rng(seed), n_true, n_pred, n_labels)
    del data["ignore"]  # which it overwrites
    precision, recall, stats = coco_eval(data, (1, 3, 100))
    actual = evaluate(data, max_detections=(1, 3, 100))
    np.testing.assert_array_equal(actual.precision, precision)
    np.testing.assert_array_equal(actual.recall, recall)
    np.testing.assert_allclose(list(actual.summary().values()), stats, rtol=1e-12, atol=0)


def test_boxes_of_any_size_against_pycocotools():
    """Overlaps that do not tie, with digits to lose."""
    rng = np.random.default_rng(5)
    data = crowded(rng, 400, 900, n_labels=4, n_images=30)
    del data["ignore"]
    data["pred_boxes"] = rng.random((900, 4)) * 1e3
    data["true_boxes"] = data["pred_boxes"][rng.integers(0, 900, 400)] * rng.uniform(0.9, 1.1, (400, 4))
    data["pred_scores"] = rng.random(900)
    precision, recall, stats = coco_eval(data, (1, 10, 100))
    actual = evaluate(data)
    np.testing.assert_array_equal(actual.precision, precision)
    np.testing.assert_array_equal(actual.recall, recall)
    np.testing.assert_allclose(list(actual.summary().values()), stats, rtol=1e-12, atol=0)


# ---- single rules of the definition ----------------------------------------------------------------------

SQUARE = [0.0, 0.0, 10.0, 10.0]


def recall_of(true_boxes, pred_boxes, threshold=0.5, **options):
    """Recall at one threshold of one image and class; scores fall row by row."""
    n, m = len(true_boxes), len(pred_boxes)
    return detection.average_recall(
        true_boxes, np.zeros(n, int), np.zeros(n, int), pred_boxes, np.arange(m, 0.0, -1), np.zeros(m, int),
        np.zeros(m, int), iou_thresholds=threshold, **options,
    )  # fmt: skip


def test_a_threshold_is_met_with_equality():
    assert recall_of([SQUARE], [[0, 0, 10, 5]], 0.5) == 1.0
    assert recall_of([SQUARE], [[0, 0, 10, 5]], np.nextafter(0.5, 1)) == 0.0
    # at 1 it is 1 - 1e-10
    assert recall_of([SQUARE], [SQUARE], 1.0) == 1.0
    assert recall_of([SQUARE], [[0, 0, 10, 10 - 1e-10]], 1.0) == 1.0
    assert recall_of([SQUARE], [[0, 0, 10, 10 - 1e-8]], 1.0) == 0.0


def test_among_equal_overlaps_the_later_truth_wins():
    """The first prediction takes one of two truths that it overlaps alike; the second fits one of them alone."""
    left, right = [0, 0, 10, 10], [4, 0, 14, 10]
    middle, near_left = [2, 0, 12, 10], [-1, 0, 9, 10]
    assert recall_of([left, right], [middle, near_left]) == 1.0
    assert recall_of([right, left], [middle, near_left]) == 0.5


def test_a_truth_is_taken_once_and_a_crowd_never():
    boxes, labels = [SQUARE, SQUARE], [1, 1]
    options = {"iou_thresholds": 0.5, "recall_points": [1.0]}
    found = boxes, [0.9, 0.8], labels, [0, 0]
    # the second prediction is a miss, but below the only truth
    assert detection.average_precision([SQUARE], [1], [0], *found, **options) == 1 / (1 + np.spacing(1.0))
    # both are ignored with the crowd, so the third, a hit, is first
    truth = [SQUARE, [20, 0, 30, 10]], [1, 1], [0, 0]
    found = [SQUARE, SQUARE, [20, 0, 30, 10]], [0.9, 0.8, 0.7], [1, 1, 1], [0, 0, 0]
    assert detection.average_precision(*truth, *found, crowd=[1, 0], **options) == 1 / (1 + np.spacing(1.0))
    # a truth that is only ignored is taken by the first, and the second is a miss
    assert detection.average_precision(*truth, *found, ignore=[1, 0], **options) == 1 / 2


def test_a_crowd_overlaps_by_the_share_of_the_prediction():
    np.testing.assert_array_equal(metrics.box_iou([SQUARE], [[0, 0, 100, 5]], crowd=[True]), [[0.5]])
    truth = [[0, 0, 1000, 1000], [2000, 0, 2010, 10]], [1, 1], [0, 0]
    found = [[5, 5, 15, 15], [2000, 0, 2010, 10]], [0.9, 0.8], [1, 1], [0, 0]
    precision = detection.average_precision(*truth, *found, crowd=[1, 0], recall_points=[1.0])
    assert precision == 1 / (1 + np.spacing(1.0))
    assert detection.average_precision(*truth, *found, recall_points=[0.5]) == 1 / 2


def test_area_ranges_have_both_their_ends():
    evaluation = detection.evaluate([[0, 0, 32, 32]], [1], [0], [[0, 0, 32, 32]], [0.5], [1], [0])
    summary = evaluation.summary()
    assert (summary["ARs"], summary["ARm"], summary["ARl"]) == (1.0, 1.0, -1.0)
    # the truth's own area counts, and of a prediction that matches not its own
    evaluation = detection.evaluate([[0, 0, 32, 32]], [1], [0], [[0, 0, 32, 32]], [0.5], [1], [0], areas=[9216])
    summary = evaluation.summary()
    assert (summary["ARs"], summary["ARm"], summary["ARl"]) == (-1.0, 1.0, 1.0)


def test_a_prediction_out_of_range_is_no_miss():
    truth = [[0, 0, 10, 10]], [1], [0]
    found = [[500, 500, 900, 900], [0, 0, 10, 10]], [0.9, 0.8], [1, 1], [0, 0]
    summary = detection.evaluate(*truth, *found, recall_points=[1.0]).summary()
    assert (summary["AP"], summary["APs"]) == (1 / 2, 1 / (1 + np.spacing(1.0)))


def test_images_rank_among_equal_scores_by_their_ids():
    """A miss in image 2 and a hit in image 10: numbers rank as numbers, strings as strings."""
    truth, found = ([SQUARE], [1]), ([[50, 50, 60, 60], SQUARE], [0.5, 0.5], [1, 1])
    options = {"recall_points": [1.0], "iou_thresholds": 0.5}
    one, half = 1 / (1 + np.spacing(1.0)), 1 / 2
    assert detection.average_precision(*truth, [10], *found, [2, 10], **options) == half
    assert detection.average_precision(*truth, ["10"], *found, ["2", "10"], **options) == one


@pytest.mark.parametrize("empty", [[], np.zeros((0, 4))])
def test_without_truths_or_predictions(empty):
    summary = detection.evaluate(empty, [], [], empty, [], [], []).summary()
    assert list(summary) == list(FIGURES)
    assert set(summary.values()) == {-1.0}
    summary = detection.evaluate([SQUARE], ["a"], [3], empty, [], [], []).summary()
    assert (summary["AP"], summary["AR100"], summary["APl"]) == (0.0, 0.0, -1.0)
    evaluation = detection.evaluate(empty, [], [], [SQUARE], [0.5], ["a"], [3])
    assert evaluation.classes.tolist() == ["a"]
    assert set(evaluation.summary().values()) == {-1.0}
    assert evaluation.average_precision(average=None).tolist() == [-1.0]


def test_a_class_without_truths_does_not_count():
    evaluation = detection.evaluate(
        [SQUARE], ["b"], ["x"], [SQUARE, SQUARE], [0.5, 0.9], ["b", "a"], ["x", "y"], recall_points=[0.0, 1.0]
    )
    assert evaluation.classes.tolist() == ["a", "b"]
    assert evaluation.average_recall(average=None).tolist() == [-1.0, 1.0]
    assert evaluation.average_recall() == 1.0


def test_boxes_without_area_match_nothing():
    assert recall_of([[5, 5, 5, 5]], [[5, 5, 5, 5]]) == 0.0
    assert recall_of([[5, 5, 5, 9]], [[0, 0, 10, 10]], crowd=[False]) == 0.0


# ---- what goes in ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_labels_of_any_integers(coco, dtype):
    expected = evaluate(coco, box_format="xywh")
    data = {**coco, "true_labels": coco["true_labels"].astype(dtype), "pred_labels": coco["pred_labels"].astype(dtype)}
    actual = evaluate(data, box_format="xywh")
    np.testing.assert_array_equal(actual.precision, expected.precision)
    assert actual.classes.tolist() == expected.classes.tolist()


def test_labels_and_images_of_other_kinds(coco):
    expected = evaluate(coco, box_format="xywh")
    # texts of equal width keep the order of the numbers
    kinds = [
        lambda values: np.char.zfill(values.astype(str), 8),
        lambda values: np.char.zfill(values.astype(str), 8).astype(object),
        lambda values: values.astype(np.int64) * 10**12 - 5,
        lambda values: values.astype(np.float64),
        lambda values: values.tolist(),
    ]
    keys = ("true_labels", "pred_labels", "true_images", "pred_images")
    for kind in kinds:
        data = {**coco, **{key: kind(coco[key]) for key in keys}}
        np.testing.assert_array_equal(evaluate(data, box_format="xywh").precision, expected.precision)
    high = {key: coco[key].astype(np.uint64) + np.uint64(2**63) for key in keys}
    np.testing.assert_array_equal(evaluate({**coco, **high}, box_format="xywh").precision, expected.precision)


def test_labels_of_truths_and_predictions_may_differ_in_dtype():
    boxes, scores = [SQUARE, [20, 20, 30, 30], [40, 40, 50, 50]], [0.9, 0.8, 0.7]
    far = 2**60
    for true, pred in (
        (np.array([-1, 0, far]), np.array([far, 0, 7], dtype=np.uint64)),
        (np.array([0, 1, 1], dtype=bool), np.array([1, 1, 0], dtype=np.int8)),
        (np.array([1.0, 2.0, 3.0]), np.array([3, 2, 1])),
        (np.array(["a", "bcd", "e"]), np.array(["e", "bcd", "longer"], dtype=object)),
    ):
        evaluation = detection.evaluate(boxes, true, [0, 0, 0], boxes, scores, pred, [0, 0, 0])
        classes = sorted({*true.tolist(), *pred.tolist()})
        assert evaluation.classes.tolist() == classes
        n_true = [true.tolist().count(label) for label in classes]
        hits = [sum(one == label == other for one, other in zip(true, pred, strict=True)) for label in classes]
        expected = [hit / n if n else -1.0 for hit, n in zip(hits, n_true, strict=True)]
        assert evaluation.average_recall(average=None).tolist() == expected


def test_boxes_and_scores_of_other_dtypes_and_layouts():
    data = crowded(np.random.default_rng(7), 200, 300)
    expected = evaluate(data)
    for dtype in (np.float32, np.int64, np.int32, np.float16, ">f8", np.longdouble):
        change = {key: data[key].astype(dtype) for key in ("true_boxes", "pred_boxes")}
        if np.dtype(dtype).kind == "f":
            change["pred_scores"] = data["pred_scores"].astype(dtype)
        np.testing.assert_array_equal(evaluate({**data, **change}).precision, expected.precision)
    change = {key: np.asfortranarray(data[key]) for key in ("true_boxes", "pred_boxes")}
    change |= {key: np.repeat(data[key], 2)[::2] for key in ("areas", "crowd", "pred_scores", "true_labels")}
    np.testing.assert_array_equal(evaluate({**data, **change}).precision, expected.precision)
    corners = {key: data[key].copy() for key in ("true_boxes", "pred_boxes")}
    for boxes in corners.values():
        boxes[:, 2:] += boxes[:, :2]
        boxes.flags.writeable = False
    np.testing.assert_array_equal(evaluate({**data, **corners, "box_format": "xyxy"}).precision, expected.precision)


def test_torch_tensors_and_data_frames():
    torch = pytest.importorskip("torch", reason="needs torch")
    data = crowded(np.random.default_rng(8), 50, 80)
    tensors = {key: torch.from_numpy(value) if key != "box_format" else value for key, value in data.items()}
    np.testing.assert_array_equal(evaluate(tensors).precision, evaluate(data).precision)


def test_box_iou():
    a, b = [[0, 0, 2, 2], [1, 1, 1, 5]], np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]], dtype=np.float32)
    np.testing.assert_array_equal(metrics.box_iou(a, b), [[1 / 7, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(metrics.box_iou(a, b, crowd=[1, 0, 0])[0], [1 / 4, 1, 0])
    assert metrics.box_iou([], b).shape == (0, 3)
    rng = np.random.default_rng(9)
    boxes = rng.random((50, 4)) * 10
    expected = kernels.box_iou(boxes, boxes[:20], box_format="xywh")
    np.testing.assert_array_equal(metrics.box_iou(boxes, boxes[:20], box_format="xywh"), expected)
    assert detection.box_iou is metrics.box_iou


# ---- options, and what is refused ------------------------------------------------------------------------


def test_options(coco):
    ranges = {"any": (0.0, np.inf), "tiny": (0.0, 400.0)}
    evaluation = evaluate(
        coco, box_format="xywh", iou_thresholds=[0.3, 0.75], recall_points=[0.5, 1.0, 0.0], area_ranges=ranges,
        max_detections=(20, 2),
    )  # fmt: skip
    n_classes = len(evaluation.classes)
    assert evaluation.precision.shape == (2, 3, n_classes, 2, 2)
    assert evaluation.recall.shape == (2, n_classes, 2, 2)
    assert list(evaluation.summary()) == ["AP", "AP75", "AP_tiny", "AR20", "AR2", "AR_tiny"]
    assert (evaluation.precision[:, 2] >= evaluation.precision[:, 0]).all()
    assert evaluation.average_recall() == evaluation.average_recall(max_detections=20, area="any")
    figures = [evaluation.average_precision(iou=iou) for iou in (0.3, 0.75)]
    np.testing.assert_allclose(np.mean(figures), evaluation.average_precision(), rtol=1e-12)
    assert repr(evaluation) == f"<Evaluation of {n_classes} classes, AP {evaluation.average_precision():.4f}>"
    # the order of options only orders the arrays
    turned = evaluate(
        coco, box_format="xywh", iou_thresholds=[0.75, 0.3], recall_points=[0.0, 1.0, 0.5],
        area_ranges=dict(reversed(ranges.items())), max_detections=(2, 20),
    )  # fmt: skip
    np.testing.assert_array_equal(turned.precision, evaluation.precision[::-1, ::-1, :, ::-1, ::-1])


def test_what_was_not_evaluated_is_refused():
    evaluation = detection.evaluate([SQUARE], [1], [0], [SQUARE], [0.5], [1], [0])
    for options, message in (
        ({"iou": 0.51}, "iou must be one of"), ({"iou": "x"}, "iou must be one of"),
        ({"area": "tiny"}, "area must be one of .*'small'"), ({"max_detections": 5}, "max_detections must be one of"),
        ({"average": "micro"}, "average must be one of"),
    ):  # fmt: skip
        for method in (evaluation.average_precision, evaluation.average_recall):
            with pytest.raises(ValueError, match=message):
                method(**options)


GOOD = {
    "true_boxes": [SQUARE, SQUARE], "true_labels": [1, 2], "true_images": [0, 0], "pred_boxes": [SQUARE],
    "pred_scores": [0.5], "pred_labels": [1], "pred_images": [0],
}  # fmt: skip
NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"true_boxes": [[0, 0, NAN, 1]] * 2}, "true_boxes must hold finite boxes"),
        ({"true_boxes": [SQUARE, [0, 0, INF, 1]]}, "true_boxes must hold finite boxes .* in row 1"),
        ({"pred_boxes": [[-INF, 0, INF, 1]]}, "pred_boxes must hold finite boxes"),
        ({"pred_boxes": [[3, 0, 2, 1]]}, r"pred_boxes must hold finite boxes .* got \[3.0, 0.0, 2.0, 1.0\] in row 0"),
        ({"pred_boxes": [[0, 0, 5, -1]], "box_format": "xywh"}, "pred_boxes must hold .* x, y, width, height of no"),
        ({"pred_boxes": [[0, 0, 1e200, 1e200]]}, "areas up to 2"),
        ({"pred_boxes": [[1e308, 0, 1e308, 0]], "box_format": "xywh"}, "pred_boxes must hold finite boxes"),
        ({"pred_boxes": SQUARE}, r"pred_boxes must have shape \(n, 4\), got \(4,\)"),
        ({"pred_boxes": [[1, 2, 3]]}, r"pred_boxes must have shape \(n, 4\), got \(1, 3\)"),
        ({"pred_boxes": [["a", "b", "c", "d"]]}, "pred_boxes must hold numbers"),
        ({"pred_boxes": 3}, "pred_boxes must be an array"),
        ({"pred_scores": [NAN]}, "pred_scores must be finite, got nan in row 0"),
        ({"pred_scores": [INF]}, "pred_scores must be finite"),
        ({"pred_scores": [0.5, 0.5]}, r"pred_scores must have shape \(1,\), one for each box, got \(2,\)"),
        ({"pred_labels": [1, 1]}, r"pred_labels must have shape \(1,\)"),
        ({"true_labels": [1]}, r"true_labels must have shape \(2,\)"),
        ({"true_images": [[0], [0]]}, r"true_images must have shape \(2,\)"),
        ({"true_labels": ["a", "b"]}, "true_labels and pred_labels must not mix strings and numbers"),
        ({"true_labels": [0.5, 1]}, "true_labels must hold classes, got continuous values"),
        ({"true_images": [NAN, 1]}, "true_images must not hold NaN"),
        ({"crowd": [True]}, r"crowd must have shape \(2,\)"),
        ({"crowd": [0, 2]}, "crowd must hold True and False"),
        ({"ignore": [0.0, 1.0]}, "ignore must hold True and False"),
        ({"areas": [1.0]}, r"areas must have shape \(2,\)"),
        ({"areas": [1.0, -1.0]}, "areas must be finite and not negative, got -1.0 in row 1"),
        ({"areas": [NAN, 1.0]}, "areas must be finite and not negative"),
        ({"box_format": "cxcywh"}, "box_format must be one of 'xyxy', 'xywh'"),
        ({"iou_thresholds": [0.0]}, "iou_thresholds must be above 0 and at most 1, got 0.0"),
        ({"iou_thresholds": 1.5}, "iou_thresholds must be above 0 and at most 1, got 1.5"),
        ({"iou_thresholds": [NAN]}, "iou_thresholds must be above 0"),
        ({"iou_thresholds": []}, "iou_thresholds must have shape"),
        ({"recall_points": [-0.1]}, "recall_points must be at least 0 and at most 1, got -0.1"),
        ({"max_detections": 0}, "max_detections must be whole numbers of at least 1, got 0"),
        ({"max_detections": 1.5}, "max_detections must be a whole number"),
        ({"max_detections": (1, True)}, "max_detections must be"),
        ({"max_detections": ()}, "max_detections must be different numbers, at least one"),
        ({"max_detections": "12"}, "max_detections must be a whole number"),
        ({"area_ranges": {}}, "area_ranges must map names"),
        ({"area_ranges": [(0, 1)]}, "area_ranges must map names"),
        ({"area_ranges": {"a": (2, 1)}}, r"area_ranges\['a'\] must be a pair"),
        ({"area_ranges": {"a": (0, NAN)}}, r"area_ranges\['a'\] must be a pair"),
        ({"area_ranges": {"a": 3}}, r"area_ranges\['a'\] must be a pair"),
        ({"area_ranges": {1: (0, 1)}}, "area_ranges must have strings as names"),
    ],
)
def test_bad_input(change, message):
    detection.evaluate(**GOOD)
    with pytest.raises(ValueError, match=message):
        detection.evaluate(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area_range": "tiny"}, "area_range must be one of 'all', 'small', 'medium', 'large', got 'tiny'"),
        ({"area_range": (2.0, 1.0)}, "area_range must be a pair"),
        ({"max_detections": (1, 10)}, "max_detections must be whole numbers"),
        ({"average": "weighted"}, "average must be one of 'macro', None"),
    ],
)
def test_bad_options_of_single_figures(options, message):
    for function in (detection.average_precision, detection.average_recall):
        function(**GOOD)
        with pytest.raises(InvalidParameterError if "pair" not in message else ValueError, match=message):
            function(**GOOD, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[0, 0, 1]], [SQUARE]), {}, r"boxes_a must have shape \(n, 4\), got \(1, 3\)"),
        (([SQUARE], [[0, 0, NAN, 1]]), {}, "boxes_b must hold finite boxes"),
        (([SQUARE], [SQUARE]), {"crowd": [1, 0]}, r"crowd must have shape \(1,\)"),
        (([SQUARE], [SQUARE]), {"box_format": "yxyx"}, "box_format must be one of"),
    ],
)
def test_bad_input_of_box_iou(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        metrics.box_iou(*arguments, **options)


def test_inputs_are_not_changed(coco):
    before = {name: values.tobytes() for name, values in coco.items()}
    for values in coco.values():
        values.flags.writeable = False
    evaluate(coco, box_format="xywh")
    assert {name: values.tobytes() for name, values in coco.items()} == before


def test_every_pair_of_figures_rests_on_one_evaluation(coco):
    """The parts by method are those of the arrays."""
    evaluation = evaluate(coco, box_format="xywh")
    for (a, area), (m, limit) in itertools.product(enumerate(detection.AREA_RANGES), enumerate((1, 10, 100))):
        precision, recall = evaluation.precision[..., a, m], evaluation.recall[..., a, m]
        for actual, values in (
            (evaluation.average_precision(area=area, max_detections=limit, average=None), precision.mean((0, 1))),
            (evaluation.average_recall(area=area, max_detections=limit, average=None), recall.mean(0)),
        ):
            np.testing.assert_allclose(actual, values, rtol=1e-12)
