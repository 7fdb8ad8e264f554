"""Anything at all to every public kernel: an exact answer or a clean error.

Each kernel has an entry that draws well-formed arguments. One of them is then twisted: another dtype, memory
layout, shape or type, or memory shared with another argument. Whatever happens, no input may change, nothing
beside a buffer may be written, and the kernel must either agree with its reference twin or raise ValueError
or TypeError. Without a twist it must not raise.

Values are quarters, so that sums of products are exact and a wrong element cannot hide in a tolerance.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from fasttrain import kernels, reference
from tests.kernels.test_optim import CASES as UPDATES
from tests.kernels.test_optim import UNSIGNED
from tests.kernels.test_twins import KERNELS

ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "elu"
)  # fmt: skip
GUARD = 64  # bytes on each side of an array that nobody may write
DTYPES = (
    "float16", "float32", "float64", "longdouble", "int8", "int32", "int64", "uint8", "uint64", "bool",
    "complex64", "object", "U4", "M8[s]",
)  # fmt: skip
LAYOUTS = (
    "fortran", "spaced", "spaced_rows", "reversed", "mirrored", "unaligned", "swapped", "read_only",
    "repeated",
)  # fmt: skip
JUNK = (
    None, "x", b"x", 1.5, -1, 0, 3, 2**31, 2**63, 2**70, float("nan"), float("inf"), -0.5, 1j, (), (0.9,),
    [1], True, np.float64(0.5), np.array(2), np.array([1.0, 2.0]), object(),
)  # fmt: skip


# ---- arrays in memory with a guard around them -----------------------------------------------------------


@dataclass
class Placed:
    """An array within a guarded piece of memory, and that memory as it was before the call."""

    array: np.ndarray
    memory: np.ndarray | None
    before: Any

    def unchanged(self):
        """Nothing was written: neither the elements nor anything beside them."""
        if self.memory is None:
            return _same(self.array, self.before)
        return self.memory.tobytes() == self.before.tobytes()

    def guard_unchanged(self):
        """Nothing was written but elements of the array."""
        if self.memory is None:
            return True
        offset = self.array.__array_interface__["data"][0] - self.memory.__array_interface__["data"][0]
        after = self.memory.copy()
        a, b = (
            np.ndarray(self.array.shape, self.array.dtype, memory, offset, self.array.strides)
            for memory in (after, self.before)
        )
        a[...] = b
        return after.tobytes() == self.before.tobytes()


def _same(a, b):
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and all(x is y or x == y or (x != x and y != y) for x, y in zip(a.ravel(), b.ravel(), strict=True))
    )


def place(values, layout="contiguous"):
    """The values in memory of their own, laid out as named."""
    values = np.asarray(values)
    if values.dtype.hasobject:
        array = values.copy()
        return Placed(array, None, array.copy())
    dtype = values.dtype.newbyteorder() if layout == "swapped" else values.dtype
    shape, item = values.shape, dtype.itemsize
    room = [max(1, n) for n in shape]
    if layout == "spaced":
        room = [2 * n for n in room]
    elif layout == "spaced_rows" and len(shape) > 1:
        room[-1] += 3
    order = range(len(shape)) if layout == "fortran" else reversed(range(len(shape)))
    strides, stride = [0] * len(shape), item
    for axis in order:
        strides[axis] = stride
        stride *= room[axis]
    memory = np.full(stride + 2 * GUARD + 1, 0xA5, np.uint8)
    offset = GUARD + (1 if layout == "unaligned" else 0)
    if layout == "spaced":
        strides = [2 * s if n > 1 else s for s, n in zip(strides, shape, strict=True)]
        memory = np.full(2 ** len(shape) * stride + 2 * GUARD + 1, 0xA5, np.uint8)
    if shape and min(shape) > 0:
        if layout in ("reversed", "mirrored"):
            axis = 0 if layout == "reversed" else -1
            offset += (shape[axis] - 1) * strides[axis]
            strides[axis] = -strides[axis]
        elif layout == "repeated":
            strides[0] = 0
            values = np.broadcast_to(values[:1], shape)
    array = np.ndarray(shape, dtype, memory, offset, strides)
    array[...] = values
    if layout == "read_only":
        array.flags.writeable = False
    return Placed(array, memory, memory.copy())


def place_together(first, second, shift):
    """Two arrays in one memory, the second `shift` elements after the first."""
    item = first.dtype.itemsize
    memory = np.zeros((first.size + second.size + shift) * item + 1, np.uint8)
    arrays = [
        np.ndarray(array.shape, array.dtype, memory, offset)
        for array, offset in ((first, 0), (second, shift * item))
    ]
    for array, values in zip(arrays, (first, second), strict=True):
        array[...] = values
    return arrays


# ---- what each kernel is given ---------------------------------------------------------------------------


@dataclass
class Entry:
    draw: Any  # (draw, rng, dtype) -> arguments by name, all of them well-formed
    written: tuple[str, ...] = ()  # buffers: undefined after an error
    in_place: tuple[str, ...] = ()  # updated by a call that succeeds, unchanged after an error
    exact: bool = False  # equal to the twin bit by bit, in the dtype of the arguments
    compared: bool = True  # False for an iteration that ends elsewhere than the twin's: its own tests hold the answers
    ties: bool = False  # a softmax of large scores: those that tie after rounding share what one of them would get
    dtypes: tuple[Any, ...] = (np.float32, np.float64)


ENTRIES: dict[str, Entry] = {}


def entry(name, **options):
    def add(function):
        ENTRIES[name] = Entry(function, **options)
        return function

    return add


sizes = st.one_of(st.integers(0, 5), st.integers(0, 40))
booleans = st.booleans()


def quarters(rng, dtype, *shape, low=-4.0, high=4.0):
    return np.asarray(rng.integers(round(4 * low), round(4 * high) + 1, shape) / 4.0, dtype)


def maybe(draw, value):
    return value if draw(booleans) else None


@entry("matmul", written=("out",))
def draw_matmul(draw, rng, dtype):
    m, k, n = draw(sizes), draw(sizes), draw(sizes)
    transpose_a, transpose_b = draw(booleans), draw(booleans)
    out = maybe(draw, quarters(rng, dtype, m, n))
    return {
        "a": quarters(rng, dtype, *((k, m) if transpose_a else (m, k))),
        "b": quarters(rng, dtype, *((n, k) if transpose_b else (k, n))),
        "out": out,
        "transpose_a": transpose_a,
        "transpose_b": transpose_b,
        "accumulate": out is not None and draw(booleans),
    }


@entry("dense_forward", written=("out", "pre_activation"))
def draw_dense_forward(draw, rng, dtype):
    m, k, n = draw(sizes), draw(sizes), draw(sizes)
    return {
        "x": quarters(rng, dtype, m, k),
        "weight": quarters(rng, dtype, k, n, low=-1, high=1),
        "bias": maybe(draw, quarters(rng, dtype, n)),
        "out": maybe(draw, quarters(rng, dtype, m, n)),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "pre_activation": maybe(draw, quarters(rng, dtype, m, n)),
    }


@entry("dense_backward", written=("grad_x", "grad_weight", "grad_bias"))
def draw_dense_backward(draw, rng, dtype):
    m, k, n = draw(sizes), draw(sizes), draw(sizes)
    need_grad_x = draw(booleans)
    return {
        "grad_output": quarters(rng, dtype, m, n),
        "x": quarters(rng, dtype, m, k),
        "weight": quarters(rng, dtype, k, n),
        "output": quarters(rng, dtype, m, n, low=-1, high=1),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "pre_activation": quarters(rng, dtype, m, n),
        "grad_x": maybe(draw, quarters(rng, dtype, m, k)) if need_grad_x else None,
        "grad_weight": maybe(draw, quarters(rng, dtype, k, n)),
        "grad_bias": maybe(draw, quarters(rng, dtype, n)),
        "need_grad_x": need_grad_x,
    }


@entry("linear_value_and_grad", written=("grad",), ties=True)
def draw_linear(draw, rng, dtype):
    n_rows, n_features, n_outputs = draw(sizes), draw(sizes), draw(sizes)
    loss = draw(st.sampled_from(["half_squared_error", "binary_cross_entropy", "cross_entropy"]))
    intercept = draw(booleans)
    flat = loss != "cross_entropy" and draw(booleans)
    if loss == "cross_entropy":
        n_outputs += 1
        y = rng.integers(0, n_outputs, n_rows)
    else:
        low, high = (0, 1) if loss == "binary_cross_entropy" else (-4, 4)
        y = quarters(rng, dtype, *((n_rows,) if flat else (n_rows, n_outputs)), low=low, high=high)
    shape = (n_features + intercept,) if flat else (n_features + intercept, n_outputs)
    return {
        "X": quarters(rng, dtype, n_rows, n_features),
        "y": y,
        "theta": quarters(rng, dtype, *shape, low=-1, high=1),
        "loss": loss,
        "reduction": draw(st.sampled_from(["sum", "mean"])),
        "intercept": intercept,
        "l2": draw(st.sampled_from([0.0, 0.5])),
        "sample_weight": maybe(draw, quarters(rng, dtype, n_rows, low=0.25)),
        "grad": maybe(draw, quarters(rng, dtype, *shape)),
    }


def loss_shape(draw):
    return draw(st.one_of(st.tuples(sizes), st.tuples(sizes, sizes)))


def loss_options(draw, rng, dtype, shape):
    return {
        "grad": draw(st.sampled_from([None, False, quarters(rng, dtype, *shape)])),
        "reduction": draw(st.sampled_from(["sum", "mean", "weighted_mean"])),
        "sample_weight": maybe(draw, quarters(rng, dtype, shape[0], low=0.25)),
    }


@entry("mse_value_and_grad", written=("grad",))
@entry("half_squared_error_value_and_grad", written=("grad",))
def draw_squared_error(draw, rng, dtype):
    shape = loss_shape(draw)
    return {
        "prediction": quarters(rng, dtype, *shape),
        "target": quarters(rng, dtype, *shape),
        **loss_options(draw, rng, dtype, shape),
    }


@entry("bce_value_and_grad", written=("grad",))
def draw_bce(draw, rng, dtype):
    shape = loss_shape(draw)
    from_logits = draw(booleans)
    low, high = (-4, 4) if from_logits else (0, 1)
    n_columns = shape[1] if len(shape) == 2 else 1
    return {
        "prediction": quarters(rng, dtype, *shape, low=low, high=high),
        "target": quarters(rng, dtype, *shape, low=0, high=1),
        "from_logits": from_logits,
        "pos_weight": maybe(draw, quarters(rng, dtype, n_columns, low=0)) if from_logits else None,
        **loss_options(draw, rng, dtype, shape),
    }


@entry("cross_entropy_value_and_grad", written=("grad",))
def draw_cross_entropy(draw, rng, dtype):
    shape = draw(sizes), draw(sizes) + 1
    if draw(booleans):
        target = rng.integers(0, shape[1], shape[0])
        target[rng.random(shape[0]) < 0.1] = -100
    else:
        target = quarters(rng, dtype, *shape, low=0, high=1)
    return {
        "logits": quarters(rng, dtype, *shape),
        "target": target,
        "class_weight": maybe(draw, quarters(rng, dtype, shape[1], low=0.25)),
        "label_smoothing": draw(st.sampled_from([0.0, 0.25, 1.0])),
        **loss_options(draw, rng, dtype, shape),
    }


@entry("softmax", written=("out",))
def draw_softmax(draw, rng, dtype):
    shape = draw(sizes), draw(sizes)
    return {"x": quarters(rng, dtype, *shape), "out": maybe(draw, quarters(rng, dtype, *shape))}


@entry(
    "confusion_matrix",
    dtypes=("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
def draw_confusion_matrix(draw, rng, dtype):
    n_rows = draw(sizes)
    n_classes = draw(st.integers(2, 9))
    high = 2 if dtype == "bool" else n_classes
    weight_dtype = draw(st.sampled_from([np.float32, np.float64]))
    return {
        "y_true": rng.integers(0, high, n_rows).astype(dtype),
        "y_pred": rng.integers(0, n_classes, n_rows).astype(
            draw(st.sampled_from(["int8", "int64", "uint16"]))
        ),
        "n_classes": n_classes,
        "sample_weight": maybe(draw, quarters(rng, weight_dtype, n_rows, low=0)),
    }


def eighths(rng, dtype, *shape):
    return np.asarray(rng.integers(0, 9, shape) / 8.0, dtype)


@entry("binary_probability_loss")
def draw_binary_probability_loss(draw, rng, dtype):
    n_rows = draw(sizes)
    return {
        "y_true": rng.integers(0, 2, n_rows).astype(draw(st.sampled_from(["bool", "int8", "int64", "uint16"]))),
        "y_proba": eighths(rng, dtype, n_rows),
        "sample_weight": maybe(draw, quarters(rng, dtype, n_rows, low=0)),
        "loss": draw(st.sampled_from(["log", "squared"])),
        "eps": draw(st.sampled_from([1e-6, 0.125])),
    }


@entry("class_probability_loss")
def draw_class_probability_loss(draw, rng, dtype):
    n_rows, n_classes = draw(sizes), draw(st.integers(1, 20))
    return {
        "y_true": rng.integers(0, n_classes, n_rows).astype(draw(st.sampled_from(["int8", "int64", "uint16"]))),
        "y_proba": eighths(rng, dtype, n_rows, n_classes),
        "sample_weight": maybe(draw, quarters(rng, dtype, n_rows, low=0)),
        "loss": draw(st.sampled_from(["log", "squared"])),
        "eps": draw(st.sampled_from([1e-6, 0.125])),
    }
def draw_regression(draw, rng, dtype, low=-4.0):
    shape = draw(st.one_of(st.tuples(sizes), st.tuples(sizes, sizes)))
    weight_dtype = draw(st.sampled_from([np.float32, np.float64, np.uint8]))
    return {
        "y_true": quarters(rng, dtype, *shape, low=low),
        "y_pred": quarters(rng, draw(st.sampled_from([dtype, np.float32, np.float64])), *shape, low=low),
        "sample_weight": maybe(draw, quarters(rng, weight_dtype, shape[0], low=0)),
    }


@entry("regression_moments")
def draw_regression_moments(draw, rng, dtype):
    arguments = draw_regression(draw, rng, dtype)
    shape = arguments["y_true"].shape
    return {**arguments, "origins": maybe(draw, quarters(rng, np.float64, 2, *(shape[1:] or (1,))))}


@entry("all_finite", exact=True)
def draw_all_finite(draw, rng, dtype):
    return {"x": quarters(rng, dtype, *draw(st.lists(sizes, max_size=3)))}


@entry("regression_loss")
def draw_regression_loss(draw, rng, dtype):
    loss = draw(
        st.sampled_from(
            ["squared", "absolute", "maximum", "squared_log", "percentage", "pinball", "poisson", "gamma"]
        )
    )
    low = 0.25 if loss in ("squared_log", "poisson", "gamma") else -4.0
    arguments = draw_regression(draw, rng, dtype, low)
    if loss == "maximum":
        arguments["sample_weight"] = None
    return {**arguments, "loss": loss, "alpha": draw(st.sampled_from([0.0, 0.25, 1.0]))}
LABEL_DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def draw_ranking(draw, rng, dtype):
    n_rows = draw(sizes)
    return {
        "y_true": rng.integers(0, 2, n_rows).astype(dtype),
        "y_score": quarters(rng, draw(st.sampled_from([np.float32, np.float64])), n_rows),
        "sample_weight": maybe(draw, quarters(rng, draw(st.sampled_from([np.float32, np.float64])), n_rows, low=0)),
        "allow_infinity": draw(booleans),
    }


entry("ranking_scores", dtypes=LABEL_DTYPES)(draw_ranking)
# sums of quarters are exact
entry("ranking_curve", exact=True, dtypes=LABEL_DTYPES)(draw_ranking)


def some_boxes(rng, dtype, n):
    """Left, top and sizes, which may be 0; as corners they are boxes too."""
    corner, size = quarters(rng, dtype, n, 2, low=-2, high=0), quarters(rng, dtype, n, 2, low=0, high=2)
    return np.concatenate([corner, size], axis=1)


@entry("box_iou", exact=True)
def draw_box_iou(draw, rng, dtype):
    n_a, n_b = draw(sizes), draw(sizes)
    return {
        "boxes_a": some_boxes(rng, dtype, n_a),
        "boxes_b": some_boxes(rng, draw(st.sampled_from([np.float32, np.float64])), n_b),
        "crowd": maybe(draw, rng.random(n_b) < 0.3),
        "box_format": draw(st.sampled_from(["xyxy", "xywh"])),
    }


@entry("detection_precision_recall", exact=True)
def draw_detection(draw, rng, dtype):
    n_true, n_pred = draw(sizes), draw(sizes)
    n_classes, n_images = draw(st.integers(1, 3)), max(1, min(3, n_true + n_pred))
    other = draw(st.sampled_from([np.float32, np.float64]))
    return {
        "true_boxes": some_boxes(rng, dtype, n_true),
        "true_classes": rng.integers(0, n_classes, n_true),
        "true_images": rng.integers(0, n_images, n_true),
        "pred_boxes": some_boxes(rng, other, n_pred),
        "pred_scores": quarters(rng, dtype, n_pred, low=-1, high=1),
        "pred_classes": rng.integers(0, n_classes, n_pred),
        "pred_images": rng.integers(0, n_images, n_pred),
        "iou_thresholds": np.array([0.25, 0.5, 1.0][: draw(st.integers(0, 3))]),
        "recall_points": np.array([0.5, 0.0, 1.0][: draw(st.integers(0, 3))]),
        "area_ranges": np.array([[0.0, 9.0], [0.25, 1.0]][: draw(st.integers(1, 2))]),
        "max_detections": np.array([2, 100])[: draw(st.integers(0, 2))],
        "n_classes": n_classes,
        "crowd": maybe(draw, rng.random(n_true) < 0.3),
        "ignore": maybe(draw, rng.random(n_true) < 0.3),
        "areas": maybe(draw, quarters(rng, other, n_true, low=0)),
        "box_format": draw(st.sampled_from(["xyxy", "xywh"])),
    }


def descent_options(draw):
    return {
        "l1": draw(st.sampled_from([0.0, 0.5, 3.0])),
        "l2": draw(st.sampled_from([0.25, 1.0])),
        "max_iter": draw(st.integers(1, 5)),
    }


@entry("coordinate_descent", in_place=("coef",), compared=False, dtypes=(np.float64,))
def draw_coordinate_descent(draw, rng, dtype):
    n_features, n_rows, n_outputs = draw(sizes), draw(sizes), draw(st.integers(0, 4))
    return {
        "columns": quarters(rng, dtype, n_features, n_rows),
        "targets": quarters(rng, dtype, n_outputs, n_rows),
        "coef": quarters(rng, dtype, n_outputs, n_features),
        **descent_options(draw),
    }


@entry("coordinate_descent_gram", in_place=("coef",), compared=False, dtypes=(np.float64,))
def draw_coordinate_descent_gram(draw, rng, dtype):
    arguments = draw_coordinate_descent(draw, rng, dtype)
    columns, targets = arguments.pop("columns"), arguments.pop("targets")
    squares = np.square(targets).sum(axis=1)
    return {"gram": columns @ columns.T, "moments": targets @ columns.T, "squares": squares, **arguments}


@entry("score_bins", exact=True, dtypes=LABEL_DTYPES)
def draw_score_bins(draw, rng, dtype):
    arguments = draw_ranking(draw, rng, dtype)
    del arguments["allow_infinity"]
    return {**arguments, "max_bins": draw(st.integers(1, 40)), "level": draw(st.sampled_from([0, 5, 12, 64]))}


# What rules count: between the first step's value and those of later ones.
COUNTED = {"mu_product": [1.0, 0.45, 0.0], "weight_sum": [0.0, 0.5], "lr_max": [0.0, 0.1]}


def draw_update(draw, rng, dtype, function):
    case = draw(st.sampled_from([case for case in UPDATES if case.function == function]))
    shape = draw(st.one_of(st.just(()), st.tuples(sizes), st.tuples(sizes, sizes)))
    arrays = {name: quarters(rng, dtype, *shape, low=0 if name in UNSIGNED else -4) for name in case.arrays}
    options = {name: draw(st.sampled_from(COUNTED[name])) for name in case.counted}
    if function != "average_update":
        options["lr"] = draw(st.sampled_from([0.0, 0.1]))
    if function == "sgd_update":
        options["first_step"] = draw(booleans)
    elif case.counts_steps:
        options["step"] = draw(st.integers(1, 1000))
    return {**arrays, **case.given, **options}


for _name in sorted({case.function for case in UPDATES}):
    _arrays = {name for case in UPDATES if case.function == _name for name in case.arrays if name != case.first[1]}
    entry(_name, in_place=tuple(sorted(_arrays)), exact=True)(partial(draw_update, function=_name))


# In float64, since junk for a factor makes squares that no float32 holds.
whole_entry = partial(entry, dtypes=(np.float64,))


def whole_options(draw):
    return {
        "lr": draw(st.sampled_from([0.0, 0.1])),
        "weight_decay": draw(st.sampled_from([0.0, 0.1])),
        "maximize": draw(booleans),
        "grad_factor": draw(st.sampled_from([1.0, 0.5])),
    }


@whole_entry("lamb_update", in_place=("param", "exp_avg", "exp_avg_sq"))
def draw_lamb_update(draw, rng, dtype):
    shape = draw(st.one_of(st.just(()), st.tuples(sizes), st.tuples(sizes, sizes)))
    arrays = {name: quarters(rng, dtype, *shape) for name in ("param", "grad", "exp_avg")}
    return {
        **arrays,
        "exp_avg_sq": quarters(rng, dtype, *shape, low=0),
        "step": draw(st.integers(1, 1000)),
        "eps": 0.125,
        **whole_options(draw),
    }


@whole_entry("adafactor_update", in_place=("param", "row_var", "col_var", "variance"))
def draw_adafactor_update(draw, rng, dtype):
    shape = tuple(draw(st.lists(st.integers(0, 12), max_size=3)))
    options = {"step": draw(st.integers(1, 1000)), "eps": (0.125, 0.125), **whole_options(draw)}
    arrays = {"param": quarters(rng, dtype, *shape), "grad": quarters(rng, dtype, *shape)}
    if len(shape) < 2:
        return {**arrays, "variance": quarters(rng, dtype, *shape, low=0), **options}
    rows, columns = (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])
    return {
        **arrays,
        "row_var": quarters(rng, dtype, *rows, low=0),
        "col_var": quarters(rng, dtype, *columns, low=0),
        **options,
    }


@whole_entry("muon_update", in_place=("param", "momentum_buffer"))
def draw_muon_update(draw, rng, dtype):
    shape = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    return {
        **{name: quarters(rng, dtype, *shape) for name in ("param", "grad", "momentum_buffer")},
        "momentum": draw(st.sampled_from([0.0, 0.5])),
        "nesterov": draw(booleans),
        # one iteration, of a matrix that is not small beside eps: five of them enlarge what rounding leaves of zeros
        "ns_steps": 1,
        "eps": 0.125,
        **whole_options(draw),
    }


def draw_elementwise(draw, rng, dtype):
    shape = draw(
        st.one_of(st.just(()), st.tuples(sizes), st.tuples(sizes, sizes), st.tuples(sizes, sizes, sizes))
    )
    return {"x": quarters(rng, dtype, *shape), "out": maybe(draw, quarters(rng, dtype, *shape))}


for _name in ("erf", "erfc", "exp", "expm1", "log", "log1p", "sigmoid", "tanh"):
    entry(_name, written=("out",))(draw_elementwise)


@entry("activation_forward", written=("out",))
def draw_activation_forward(draw, rng, dtype):
    shape = draw(sizes), draw(sizes)
    return {
        "z": quarters(rng, dtype, *shape),
        "out": maybe(draw, quarters(rng, dtype, *shape)),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
    }


@entry("activation_backward", written=("out",))
def draw_activation_backward(draw, rng, dtype):
    shape = draw(sizes), draw(sizes)
    return {
        "grad_output": quarters(rng, dtype, *shape),
        "saved": quarters(rng, dtype, *shape, low=-1, high=1),
        "out": maybe(draw, quarters(rng, dtype, *shape)),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
    }


# ---- the call and what must hold afterwards ---------------------------------------------------------------


def flat(result):
    """The arrays and numbers of a result."""
    if isinstance(result, tuple | list):
        return [part for item in result for part in flat(item)]
    return [] if result is None else [np.asarray(result)]


def ask_reference(name, arguments, widen, shrink=None):
    """What the twin says for copies of the arguments: its result and the buffers it wrote.

    widen: floats become float64. shrink: a generator and a factor; every element comes nearer to 0 by a
    random share of it, which stays in the domain of every argument.
    """

    def copy(value):
        if not isinstance(value, np.ndarray) or (value.ndim == 0 and name not in POINTWISE):
            return value
        value = np.array(value, dtype=value.dtype.newbyteorder("="))
        if value.dtype.kind == "f" and widen:
            value = value.astype(np.float64)
            if shrink is not None:
                rng, factor = shrink
                value *= 1.0 - factor * rng.random(value.shape)
        return value

    copies = {key: copy(value) for key, value in arguments.items()}
    with np.errstate(all="ignore"):
        result = getattr(reference, name)(**copies)
    buffers = ENTRIES[name].written + ENTRIES[name].in_place
    return flat(result) + [copies[key] for key in buffers if isinstance(copies.get(key), np.ndarray)]


POINTWISE = {
    "erf", "erfc", "exp", "expm1", "log", "log1p", "sigmoid", "tanh", "lamb_update", "adafactor_update",
    *(case.function for case in UPDATES)
}  # fmt: skip


def assert_agrees(name, arguments, originals, result):
    """The kernel's result and buffers are those of the twin for the same arguments."""
    spec = ENTRIES[name]
    buffers = spec.written + spec.in_place
    actual = flat(result) + [arguments[key] for key in buffers if isinstance(arguments.get(key), np.ndarray)]
    expected = ask_reference(name, originals, widen=not spec.exact)
    assert [a.shape for a in actual] == [e.shape for e in expected]
    if spec.exact or expected[0].dtype.kind == "i":
        for a, e in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(a, e)
        return
    # Rounding is no more than what inputs that are a few units of the last place away would give, or, where
    # scores may tie, than the twin's own in the dtype of the inputs.
    floats = [
        value.dtype for value in originals.values() if getattr(value, "dtype", np.dtype("O")).kind == "f"
    ]
    eps = max(float(np.finfo(dtype).eps) for dtype in floats)
    rng = np.random.default_rng(0)
    nearby = [ask_reference(name, originals, widen=True, shrink=(rng, 8 * eps)) for _ in range(3)]
    rounded = ask_reference(name, originals, widen=False) if spec.ties else None
    # A row's loss is good to some units of 1, not of itself: log(1 + x) of a small x has lost x's last digits.
    # Its weight, times an element of X for the gradient, carries that into a sum; a mean divides by the weights.
    weights = originals.get("sample_weight")
    rows = 0.0
    if isinstance(weights, np.ndarray) and originals.get("reduction") == "sum":
        rows = 64 * eps * float(np.sum(np.abs(weights), dtype=np.float64))
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        with np.errstate(invalid="ignore"):
            spread = np.max([np.abs(near[i] - e) for near in nearby], axis=0)
            if rounded is not None:
                spread = np.where(np.isfinite(rounded[i]), np.maximum(spread, np.abs(rounded[i] - e)), spread)
            bound = 16 * eps * np.abs(e) + 8 * spread + 16 * eps + rows
            close = (np.abs(a.astype(np.float64) - e) <= bound) | (a == e) | (np.isnan(a) & np.isnan(e))
        assert close.all(), (a, e, bound)


def call(name, arguments):
    """The kernel's result, or the clean error that it raised; any other exception is a failure."""
    try:
        return getattr(kernels, name)(**arguments), None
    except (TypeError, ValueError) as error:
        return None, error


def check(name, arguments, placed=(), undefined=()):
    """One call: an exact answer or a clean error; nothing changes that may not.

    placed: the arrays in guarded memory, by argument; undefined: arguments that share memory with a buffer.
    """
    spec = ENTRIES[name]
    originals = {
        key: np.array(value) if isinstance(value, np.ndarray) else value for key, value in arguments.items()
    }
    result, error = call(name, arguments)
    for key, item in dict(placed).items():
        if key in spec.written or (key in spec.in_place and error is None):
            assert item.guard_unchanged(), f"written beside {key}"
        elif key not in undefined:
            assert item.unchanged(), f"{key} was changed"
    if error is None and spec.compared:
        assert_agrees(name, arguments, originals, result)
    return error


@st.composite
def calls(draw, name):
    """Well-formed arguments, with some number of threads."""
    spec = ENTRIES[name]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    arguments = spec.draw(draw, rng, draw(st.sampled_from(spec.dtypes)))
    arguments["n_threads"] = draw(st.sampled_from([None, 1, 2, 3]))
    return arguments


def arrays_of(arguments):
    return [key for key, value in arguments.items() if isinstance(value, np.ndarray)]


def put(arguments, twisted=None, layout="contiguous"):
    """The arguments with their arrays in guarded memory, and these."""
    placed = {
        key: place(arguments[key], layout if key == twisted else "contiguous") for key in arrays_of(arguments)
    }
    return {**arguments, **{key: item.array for key, item in placed.items()}}, placed


few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def test_every_kernel_has_an_entry():
    assert sorted(ENTRIES) == KERNELS


@pytest.mark.parametrize("name", KERNELS)
@few
@given(data=st.data())
def test_good_arguments_give_the_answer(name, data):
    arguments, placed = put(data.draw(calls(name)))
    error = check(name, arguments, placed)
    if error is not None:
        # the one error left is that of a mean over nothing
        assert any(value.size == 0 for value in arguments.values() if isinstance(value, np.ndarray)), error
        assert arguments["reduction"] != "sum", error


@pytest.mark.parametrize("name", KERNELS)
@many
@given(data=st.data())
def test_any_layout(name, data):
    arguments = data.draw(calls(name))
    twisted = data.draw(st.sampled_from(arrays_of(arguments)))
    layout = data.draw(st.sampled_from(LAYOUTS))
    arguments, placed = put(arguments, twisted, layout)
    error = check(name, arguments, placed)
    if layout == "read_only":
        assert placed[twisted].unchanged()
    event(f"{layout}: {'an answer' if error is None else 'an error'}")


@pytest.mark.parametrize("name", KERNELS)
@many
@given(data=st.data())
def test_any_dtype(name, data):
    arguments = data.draw(calls(name))
    twisted = data.draw(st.sampled_from(arrays_of(arguments)))
    dtype = data.draw(st.sampled_from(DTYPES))
    values = arguments[twisted]
    with np.errstate(invalid="ignore"):
        arguments[twisted] = (values.astype(np.int64) if dtype.startswith("M") else values).astype(dtype)
    arguments, placed = put(arguments, twisted)
    error = check(name, arguments, placed)
    event(f"{dtype}: {'an answer' if error is None else 'an error'}")


@pytest.mark.parametrize("name", KERNELS)
@many
@given(data=st.data())
def test_any_shape(name, data):
    arguments = data.draw(calls(name))
    twisted = data.draw(st.sampled_from(arrays_of(arguments)))
    values = arguments[twisted]
    shape = data.draw(
        st.one_of(
            st.lists(st.integers(0, 5), max_size=4).map(tuple),
            st.sampled_from([(*values.shape, 1), (1, *values.shape), values.shape[:-1], values.shape[1:]]),
            st.tuples(*(st.integers(max(0, n - 1), n + 1) for n in values.shape)),
        )
    )
    arguments[twisted] = np.resize(values, shape) if values.size else np.zeros(shape, values.dtype)
    arguments, placed = put(arguments, twisted)
    check(name, arguments, placed)


@pytest.mark.parametrize("name", KERNELS)
@many
@given(data=st.data())
def test_any_value_of_an_option(name, data):
    arguments = data.draw(calls(name))
    twisted = data.draw(st.sampled_from(sorted(arguments)))
    arguments[twisted] = data.draw(st.sampled_from(JUNK))
    arguments, placed = put(arguments)
    error = check(name, arguments, placed)
    event(f"{twisted}: {'an answer' if error is None else 'an error'}")


@pytest.mark.parametrize("name", KERNELS)
@many
@given(data=st.data())
def test_any_bad_value_in_the_data(name, data):
    arguments = data.draw(calls(name))
    filled = [key for key in arrays_of(arguments) if arguments[key].size]
    if not filled:
        return
    twisted = data.draw(st.sampled_from(filled))
    values = arguments[twisted]
    if values.dtype.kind == "f":
        bad = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 1e12, -1e12, 1e-40, 2.0]))
    elif values.dtype.kind == "b":
        bad = True
    else:
        ends = np.iinfo(values.dtype)
        bad = data.draw(st.sampled_from([ends.min, ends.max, ends.max // 2, 100]))
    values.flat[data.draw(st.integers(0, values.size - 1))] = bad
    arguments, placed = put(arguments)
    check(name, arguments, placed)


@pytest.mark.parametrize(
    "name", [name for name in KERNELS if ENTRIES[name].written or ENTRIES[name].in_place]
)
@many
@given(data=st.data())
def test_any_overlap(name, data):
    arguments = data.draw(calls(name))
    spec = ENTRIES[name]
    buffers = [key for key in arrays_of(arguments) if key in spec.written + spec.in_place]
    pairs = [
        (buffer, other)
        for buffer, other in itertools.product(buffers, arrays_of(arguments))
        if buffer != other and arguments[buffer].dtype == arguments[other].dtype
    ]
    if not pairs:
        return
    pair = data.draw(st.sampled_from(pairs))
    shift = data.draw(st.integers(0, max(0, arguments[pair[0]].size - 1)))
    shared = dict(zip(pair, place_together(*(arguments[key] for key in pair), shift), strict=True))
    rest, placed = put({key: value for key, value in arguments.items() if key not in pair})
    error = check(name, {**rest, **shared}, placed, undefined=pair)
    event("an answer" if error is None else "an error")
