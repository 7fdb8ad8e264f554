"""Detections: overlaps of boxes, and COCO's figures against the evaluators that people use."""
import contextlib
import io

import numpy as np

from benchmarks.harness import QUICK, agree
from benchmarks.peers import installed
from fasttrain import kernels, metrics, reference

COVERS = {"box_iou", "detection_precision_recall"}

# as many as COCO's validation set has; a call of a peer takes ten seconds for it, so it gets a tenth of the images
N_IMAGES, N_CLASSES = (50, 10) if QUICK else (5000, 80)
TRUTHS_OF_TEN_IMAGES, DETECTIONS_OF_AN_IMAGE = 72, 100
N_BOXES = 200 if QUICK else 2000


def boxes(rng, n):
    """Left, top, width and height in images of 640 x 480, most of them small."""
    size = np.exp(rng.uniform(np.log(8), np.log(320), (n, 2)))
    corner = rng.random((n, 2)) * (np.array([640.0, 480.0]) - size)
    return np.concatenate([corner, size], axis=1)


def problem(n_images, n_classes):
    """Truths, and as many detections in each image: a third near its truths, the others anywhere."""
    rng = np.random.default_rng(0)
    n_truths = n_images * TRUTHS_OF_TEN_IMAGES // 10
    # few classes have most of the truths
    share = 1.0 / np.arange(2, n_classes + 2)
    labels = rng.choice(n_classes, n_truths, p=share / share.sum())
    truth = boxes(rng, n_truths), labels, np.sort(rng.integers(0, n_images, n_truths))
    n_pred = n_images * DETECTIONS_OF_AN_IMAGE
    pred_images = np.repeat(np.arange(n_images), DETECTIONS_OF_AN_IMAGE)
    pred_boxes, pred_labels, pred_scores = boxes(rng, n_pred), rng.integers(0, n_classes, n_pred), rng.random(n_pred)
    first, end = np.searchsorted(truth[2], pred_images), np.searchsorted(truth[2], pred_images, side="right")
    near = np.flatnonzero((rng.random(n_pred) < 1 / 3) & (end > first))
    chosen = first[near] + (rng.random(len(near)) * (end - first)[near]).astype(np.int64)
    target = truth[0][chosen]
    pred_boxes[near] = np.abs(target + rng.normal(0, 0.15, (len(near), 4)) * target[:, [2, 3, 2, 3]])
    pred_labels[near] = truth[1][chosen]
    pred_scores[near] = np.sqrt(pred_scores[near])
    crowd = rng.random(n_truths) < 0.01
    return {
        "true_boxes": truth[0], "true_labels": truth[1], "true_images": truth[2], "pred_boxes": pred_boxes,
        "pred_scores": pred_scores, "pred_labels": pred_labels, "pred_images": pred_images, "crowd": crowd,
        "areas": truth[0][:, 2] * truth[0][:, 3] * 0.6, "box_format": "xywh",
    }


def coco_rows(data, kind, **more):
    """Annotations as COCO's files have them."""
    columns = [data[f"{kind}_boxes"].tolist(), data[f"{kind}_labels"].tolist(), data[f"{kind}_images"].tolist()]
    columns += [data[name].tolist() for name in more.values()]
    keys = "bbox", "category_id", "image_id", *more
    return [{"id": i + 1, **dict(zip(keys, row, strict=True))} for i, row in enumerate(zip(*columns, strict=True))]


def coco_evaluator(data, coco_class, evaluator):
    """A call that evaluates what is loaded, and returns the twelve figures."""
    truth = coco_class()
    rows = coco_rows(data, "true", iscrowd="crowd", area="areas")
    truth.dataset = {
        "images": [{"id": i} for i in np.unique(data["pred_images"]).tolist()],
        "categories": [{"id": i} for i in range(N_CLASSES)],
        "annotations": [{**row, "iscrowd": int(row["iscrowd"])} for row in rows],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes([{**row, "id": None} for row in coco_rows(data, "pred", score="pred_scores")])

    def call():
        with contextlib.redirect_stdout(io.StringIO()):
            run = evaluator(truth, found, "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
        return run.stats[:12]

    return call


def contestant(data, peers):
    """One of the peers: a call of the second takes as long as all other benchmarks of detection."""
    if installed("faster_coco_eval"):
        from faster_coco_eval import COCO, COCOeval_faster

        return peers.alone("faster-coco-eval", coco_evaluator(data, COCO, COCOeval_faster))
    if installed("pycocotools"):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return peers.alone("pycocotools", coco_evaluator(data, COCO, COCOeval))
    return []


def bench_evaluation(bench, peers):
    table = bench.table(
        f"detection.evaluate and its twelve figures, {N_CLASSES} classes, {DETECTIONS_OF_AN_IMAGE} detections an image"
    )
    for n_images in (N_IMAGES // 10, N_IMAGES):
        data = problem(n_images, N_CLASSES)

        def ours(data=data):
            return list(metrics.detection.evaluate(**data).summary().values())

        contestants = contestant(data, peers) if n_images < N_IMAGES else []
        if contestants:
            agree(ours(), contestants[0].call(), 1e-12)
        table.row(
            f"{n_images:,} images, {len(data['true_boxes']):,} truths, {len(data['pred_boxes']):,} detections", ours,
            contestants, seconds=3.0,
        )


def bench_detection_kernels(bench, peers):
    table = bench.table("detection kernels")
    rng = np.random.default_rng(1)
    for dtype in (np.float64, np.float32):
        a, b = boxes(rng, N_BOXES).astype(dtype), boxes(rng, N_BOXES).astype(dtype)

        def overlaps(a=a, b=b):
            return kernels.box_iou(a, b, box_format="xywh")

        def reference_overlaps(a=a, b=b):
            return reference.box_iou(a, b, box_format="xywh")

        agree(overlaps(), reference_overlaps(), 0)
        table.row(
            f"box_iou, {N_BOXES:,} x {N_BOXES:,}, {np.dtype(dtype).name}", overlaps,
            peers.reference(reference_overlaps), seconds=2.0,
        )
    # the twin takes a second for what COCO's evaluator does in a tenth
    data = problem(20, 5)
    arguments = [
        *(data[name] for name in ("true_boxes", "true_labels", "true_images", "pred_boxes", "pred_scores")),
        data["pred_labels"], data["pred_images"], np.linspace(0.5, 0.95, 10), np.linspace(0.0, 1.0, 101),
        np.array(list(metrics.detection.AREA_RANGES.values())), np.array([1, 10, 100]), 5,
    ]
    options = {name: data[name] for name in ("crowd", "areas", "box_format")}

    def ours():
        return kernels.detection_precision_recall(*arguments, **options)

    def reference_call():
        return reference.detection_precision_recall(*arguments, **options)

    for one, other in zip(ours(), reference_call(), strict=True):
        agree(one, other, 0)
    table.row(
        "detection_precision_recall, 20 images, 5 classes, 144 truths, 2,000 detections", ours,
        peers.reference(reference_call), seconds=3.0,
    )
