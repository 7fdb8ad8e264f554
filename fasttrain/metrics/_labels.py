"""Pairs of label vectors, and what all classification metrics are computed from.

Integer labels in a small range go to the confusion kernel as they are: the range is tried, not measured,
since the kernel validates labels anyway.  All others (wide ranges, strings, large floats) are first
replaced by their positions among the sorted distinct labels.  Floats that hold integers are labels, as in
scikit-learn.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasttrain.kernels.metrics import confusion_matrix as count_pairs
from fasttrain.metrics._validation import as_array, check_array_like, check_lengths, check_sample_weight

_Array = NDArray[Any]
_Sums = tuple[_Array, _Array, _Array]

# Labels 0 .. 31 are tried first: the kernel's tables of that size stay in the first-level cache.
_TRIED_CLASSES = 32
# Above this a table of all pairs is not kept where sums per class are enough.
_TABLE_CLASSES = 1024


def check_targets(
    y_true: Any,
    y_pred: Any,
    sample_weight: Any = None,
    names: tuple[str, str] = ("y_true", "y_pred"),
    allow_zero: bool = False,
) -> "Targets":
    """The two vectors as :class:`LabelPairs`, or the two indicator matrices as :class:`IndicatorPairs`.

    names: what the caller's user knows the two as.  Counts of rows that are gone stand for both vectors: in their
    place as `y_true` they come back as they are.  allow_zero: all rows may be without weight.
    """
    if isinstance(y_true, (LabelCounts, IndicatorCounts)):
        return y_true
    true_name, pred_name = names
    check_array_like(y_true, true_name)
    check_array_like(y_pred, pred_name)
    true, pred = as_array(y_true, true_name), as_array(y_pred, pred_name)
    if sample_weight is not None:
        check_array_like(sample_weight, "sample_weight")
        check_lengths(
            (true_name, true), (pred_name, pred), ("sample_weight", as_array(sample_weight, "sample_weight"))
        )
        weight = check_sample_weight(sample_weight, len(true), allow_zero)
    else:
        if len(true) != len(pred) or not len(true):
            check_lengths((true_name, true), (pred_name, pred))
        weight = None
    kind_true, kind_pred = label_kind(true, true_name), label_kind(pred, pred_name)
    if kind_true != kind_pred:
        raise ValueError(f"{true_name} and {pred_name} must be of one kind, got {kind_true} and {kind_pred}")
    if kind_true == "multilabel-indicator":
        if true.shape != pred.shape:
            raise ValueError(
                f"{true_name} and {pred_name} must have the same number of labels, "
                f"got {true.shape} and {pred.shape}"
            )
        return IndicatorPairs(true, pred, weight)
    true, pred = _contiguous(true), _contiguous(pred)
    if _holds_strings(true) != _holds_strings(pred):
        raise ValueError(
            f"{true_name} and {pred_name} must not mix strings and numbers, "
            f"got dtypes {true.dtype} and {pred.dtype}"
        )
    return LabelPairs(true, pred, weight)


def label_kind(y: _Array, name: str) -> str:
    """'labels' or 'multilabel-indicator'; raises for every other target."""
    kind = y.dtype.kind
    if y.ndim == 1 and kind in "biuU":
        return "labels"
    if kind == "S" or (kind == "O" and y.size and isinstance(y.flat[0], bytes)):
        raise TypeError(f"{name} must not hold bytes; {name}.astype(str) converts")
    if y.ndim > 2 or not y.size or (kind == "O" and not isinstance(y.flat[0], str)):
        raise ValueError(f"{name} must hold labels, got shape {y.shape} and dtype {y.dtype}")
    if kind == "O" and not all(isinstance(label, str) for label in y.flat):
        raise TypeError(f"{name} must hold strings alone in an array of dtype object")
    if kind == "f" and not _integral(y, name):
        raise ValueError(f"{name} must hold classes, got continuous values")
    if y.ndim == 1 or y.shape[1] == 1:
        return "labels"
    if kind in "biuf" and ((y == y.flat[0]) | (y == _another_value(y))).all():
        return "multilabel-indicator"
    raise ValueError(
        f"{name} must be one column of labels or an indicator matrix, got shape {y.shape} of many classes"
    )


def _integral(y: _Array, name: str) -> bool:
    low, high = float(y.min()), float(y.max())
    if not (low > -np.inf and high < np.inf):
        raise ValueError(f"{name} must not hold NaN or infinity")
    return low >= -(2.0**63) and high < 2.0**63 and bool((np.floor(y) == y).all())


def _another_value(y: _Array) -> Any:
    low = y.min()
    return y.max() if low == y.flat[0] else low


def _contiguous(y: _Array) -> _Array:
    flags = y.flags
    if y.ndim == 1 and flags.c_contiguous and flags.aligned:
        return y
    return np.array(y.reshape(-1), order="C")


def _holds_strings(y: _Array) -> bool:
    return y.dtype.kind in "UTO"


def _as_integers(y: _Array) -> _Array | None:
    """y where it holds integers, y converted where it holds floats in the range of int32, else None."""
    kind = y.dtype.kind
    if kind in "biu":
        return y
    if kind == "f" and float(y.min()) >= -(2.0**31) and float(y.max()) < 2.0**31:
        return y.astype(np.int32)
    return None


def positions(present: _Array, wanted: Any) -> _Array:
    """For each of `wanted` its position in the sorted array `present`, or -1."""
    wanted = np.asarray(wanted)
    if wanted.ndim != 1:
        raise ValueError(f"labels must have one dimension, got shape {wanted.shape}")
    if wanted.size == 0:
        return np.zeros(0, dtype=np.intp)
    if _holds_strings(wanted) != _holds_strings(present):
        raise ValueError(
            f"labels must be of the kind of y_true, got dtypes {wanted.dtype} and {present.dtype}"
        )
    index = np.searchsorted(present, wanted)
    index[index == len(present)] = 0
    return np.where(present[index] == wanted, index, -1)


def join_labels(a: _Array, b: _Array) -> _Sums:
    """(the sorted labels of both, the positions in them of those of a, of those of b); each sorted and distinct."""
    if a.dtype == b.dtype or _holds_strings(a):
        labels = np.unique(np.concatenate([a, b]))
        return labels, np.searchsorted(labels, a), np.searchsorted(labels, b)
    # Python's numbers compare exactly across types
    every = sorted({*a.tolist(), *b.tolist()})
    place = {label: index for index, label in enumerate(every)}
    new_a, new_b = (np.array([place[label] for label in one.tolist()], dtype=np.intp) for one in (a, b))
    return np.array(every), new_a, new_b


def sum_fits(*counts: _Array) -> bool:
    """Integers that are not negative add up to less than 2^62, so that no sum of some of them wraps."""
    return sum(float(one.sum(dtype=np.float64)) for one in counts) < 2.0**62


class _OneLabelARow:
    """What holds of two vectors of labels, and of their counts."""

    multilabel = False
    labels: Any

    @property
    def kind(self) -> str:
        """'binary' or 'multiclass', as scikit-learn names them."""
        return "binary" if len(self.labels) <= 2 else "multiclass"


class LabelPairs(_OneLabelARow):
    """Two vectors of labels, one class a row.

    Everything is computed when first asked for, and the data are passed over once for the counts and once
    more for the weights.
    """

    def __init__(self, y_true: _Array, y_pred: _Array, sample_weight: _Array | None) -> None:
        self.y_true = y_true
        self.y_pred = y_pred
        self.sample_weight = sample_weight

    @functools.cached_property
    def _weight(self) -> _Array | None:
        # the kernel takes floats
        weight = self.sample_weight
        return weight.astype(np.float64) if weight is not None and weight.dtype.kind == "i" else weight

    @functools.cached_property
    def _direct(self) -> tuple[_Array, _Array, int, _Array] | None:
        """(y_true, y_pred, lowest label, counts) for integers in a small range, else None."""
        y_true, y_pred = _as_integers(self.y_true), _as_integers(self.y_pred)
        if y_true is None or y_pred is None:
            return None
        try:
            return y_true, y_pred, 0, count_pairs(y_true, y_pred, _TRIED_CLASSES)
        except ValueError:
            pass
        low = min(int(y_true.min()), int(y_pred.min()))
        high = max(int(y_true.max()), int(y_pred.max()))
        width = high - low + 1
        if low < -(2**31) or high >= 2**31 or not _worth_a_table(width, len(y_true)):
            return None
        return y_true, y_pred, low, count_pairs(y_true, y_pred, width, first_label=low)

    @functools.cached_property
    def _coded(self) -> _Sums:
        """(labels, codes of y_true, codes of y_pred): positions among the sorted distinct labels."""
        labels_true, labels_pred = np.unique(self.y_true), np.unique(self.y_pred)
        labels, new_true, new_pred = join_labels(labels_true, labels_pred)
        return (
            labels,
            new_true.astype(np.int32)[np.searchsorted(labels_true, self.y_true)],
            new_pred.astype(np.int32)[np.searchsorted(labels_pred, self.y_pred)],
        )

    @functools.cached_property
    def _present(self) -> tuple[_Array, _Array]:
        """(sorted labels in y_true or y_pred, their positions in the table of `_direct`)."""
        assert self._direct is not None
        _, _, low, counts = self._direct
        in_true = counts.sum(axis=1)
        index = np.flatnonzero(in_true + counts.sum(axis=0))
        # the dtype that the same labels have as a set, where the first of two equal ones stays
        dtype = self.y_true.dtype
        if dtype != self.y_pred.dtype and not in_true[index].all():
            dtype = np.result_type(dtype, self.y_pred.dtype)
            if dtype.kind == "f" and "f" not in self.y_true.dtype.kind + self.y_pred.dtype.kind:
                dtype = np.dtype(np.int64)
        return (index + low).astype(dtype), index

    @functools.cached_property
    def labels(self) -> _Array:
        """The sorted distinct labels of both vectors."""
        return self._coded[0] if self._direct is None else self._present[0]

    @functools.cached_property
    def table(self) -> _Array:
        """(n_labels, n_labels): rows, or sums of weights, by true and predicted label."""
        if self._direct is None:
            labels, y_true, y_pred = self._coded
            return count_pairs(y_true, y_pred, len(labels), self._weight)
        index = self._present[1]
        table = self._direct_table
        if len(index) == len(table):
            return table
        return table[index][:, index]

    @property
    def exact_table(self) -> _Array:
        """The table, of int64 where the weights are integers too and their sum is, though the kernel sums floats."""
        weight, table = self.sample_weight, self.table
        if weight is None or weight.dtype.kind != "i":
            return table
        if weight.sum(dtype=np.float64) < 2.0**52:
            return table.astype(np.int64)
        if not sum_fits(weight):
            return table
        _, y_true, y_pred = self._coded
        exact = np.zeros(table.shape, dtype=np.int64)
        np.add.at(exact, (y_true, y_pred), weight)
        return exact

    @property
    def in_true(self) -> _Array:
        """(n_labels,) bool: labels that are in y_true, though it be in rows without weight."""
        if self._direct is None:
            labels, y_true, _ = self._coded
            return np.bincount(y_true, minlength=len(labels)) > 0
        return self._direct[3].sum(axis=1)[self._present[1]] > 0

    @functools.cached_property
    def _direct_table(self) -> _Array:
        """The table of `_direct`, of sums of weights where there are weights."""
        assert self._direct is not None
        y_true, y_pred, low, counts = self._direct
        if self.sample_weight is None:
            return counts
        return count_pairs(y_true, y_pred, len(counts), self._weight, first_label=low)

    @functools.cached_property
    def class_sums(self) -> _Sums:
        """(true positives, predicted, true), each (n_labels,): rows or sums of weights."""
        if self._direct is None and not _worth_a_table(len(self.labels), len(self.y_true)):
            _, y_true, y_pred = self._coded
            n_labels, weight = len(self.labels), self.sample_weight
            right = y_true == y_pred
            return (
                np.bincount(y_true[right], None if weight is None else weight[right], n_labels),
                np.bincount(y_pred, weight, n_labels),
                np.bincount(y_true, weight, n_labels),
            )
        table = self.table
        return table.diagonal(), table.sum(axis=0), table.sum(axis=1)

    def right_and_all(self) -> tuple[float, float]:
        """(rows predicted right, all rows), or sums of their weights."""
        if self._direct is not None:
            return _right_and_all(self._direct_table)
        return _weigh(self.y_true == self.y_pred, self.sample_weight)

    def wrong_and_all(self) -> tuple[float, float]:
        """(rows predicted wrong, all rows), or sums of their weights; no difference of two sums."""
        if self._direct is not None:
            return _wrong_and_all(self._direct_table)
        return _weigh(self.y_true != self.y_pred, self.sample_weight)

    def total(self) -> Any:
        """All rows, or the sum of their weights."""
        return _total(self.y_true, self.sample_weight)

    # of one label a row, the labels are the rows
    wrong_labels_and_all = wrong_and_all


class LabelCounts(_OneLabelARow):
    """The table of pairs of labels of rows that are gone, in place of the rows."""

    sample_weight = None

    def __init__(self, labels: _Array, table: _Array, in_true: _Array, weighted: bool) -> None:
        self.labels = labels
        self.table = self.exact_table = table
        self.in_true = in_true
        self.weighted = weighted

    @functools.cached_property
    def class_sums(self) -> _Sums:
        """(true positives, predicted, true), each (n_labels,): rows or sums of weights."""
        # sums of weights are float64, even of integers
        table = self.table.astype(np.float64) if self.weighted else self.table
        return table.diagonal(), table.sum(axis=0), table.sum(axis=1)

    def right_and_all(self) -> tuple[float, float]:
        """(rows predicted right, all rows), or sums of their weights."""
        return _right_and_all(self.table)

    def wrong_and_all(self) -> tuple[float, float]:
        """(rows predicted wrong, all rows), or sums of their weights; no difference of two sums."""
        return _wrong_and_all(self.table)

    wrong_labels_and_all = wrong_and_all

    def total(self) -> Any:
        """All rows, or the sum of their weights."""
        return self.class_sums[2].sum()


def _right_and_all(table: _Array) -> tuple[float, float]:
    return float(table.trace()), float(table.sum())


def _wrong_and_all(table: _Array) -> tuple[float, float]:
    off_diagonal = table.copy()
    np.fill_diagonal(off_diagonal, 0)
    return float(off_diagonal.sum()), float(table.sum())


def _total(y_true: _Array, weight: _Array | None) -> Any:
    return len(y_true) if weight is None else weight.sum(dtype=np.float64)


def _weigh(right: _Array, weight: _Array | None) -> tuple[float, float]:
    if weight is None:
        return float(np.count_nonzero(right)), float(len(right))
    return float(weight.sum(where=right, dtype=np.float64)), float(weight.sum(dtype=np.float64))


def _worth_a_table(n_classes: int, n_rows: int) -> bool:
    # clearing and reading the table must not cost more than passing over the rows
    return n_classes <= _TRIED_CLASSES or (
        n_classes <= _TABLE_CLASSES and n_classes * n_classes <= 4 * n_rows
    )


class _ManyLabelsARow:
    """What holds of two indicator matrices, and of their counts."""

    multilabel = True
    kind = "multilabel-indicator"
    labels: _Array

    def columns(self, labels: Any) -> _Array:
        """The columns that `labels` name, checked."""
        labels = np.asarray(labels)
        if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
            raise ValueError(f"labels must be numbers of columns, got {labels!r}")
        if labels.size and (labels.min() < 0 or labels.max() >= len(self.labels)):
            raise ValueError(
                f"labels must lie in 0 .. {len(self.labels) - 1} for indicator matrices, got {labels!r}"
            )
        index: _Array = labels.astype(np.intp)
        return index


class IndicatorPairs(_ManyLabelsARow):
    """Two indicator matrices (n_rows, n_labels), any number of classes a row; nonzero means yes."""

    def __init__(self, y_true: _Array, y_pred: _Array, sample_weight: _Array | None) -> None:
        self.y_true = y_true
        self.y_pred = y_pred
        self.sample_weight = sample_weight
        self.labels = np.arange(y_true.shape[1])

    @functools.cached_property
    def _sets(self) -> _Sums:
        true, pred = self.y_true != 0, self.y_pred != 0
        return true & pred, pred, true

    @functools.cached_property
    def class_sums(self) -> _Sums:
        """(true positives, predicted, true), each (n_labels,): rows or sums of weights."""
        both, pred, true = self._sets
        return self._column_sums(both), self._column_sums(pred), self._column_sums(true)

    def _column_sums(self, chosen: _Array) -> _Array:
        if self.sample_weight is None:
            counts: _Array = np.asarray(np.count_nonzero(chosen, axis=0))
            return counts
        weight = np.broadcast_to(self.sample_weight[:, np.newaxis], chosen.shape)
        sums: _Array = weight.sum(axis=0, where=chosen, dtype=np.float64)
        return sums

    def row_sums(self, columns: _Array | None = None) -> _Sums:
        """(true positives, predicted, true), each (n_rows,): labels of each row, of the given columns.

        Of rows without weight all three are 0, so their scores are undefined, as in scikit-learn.
        """
        both, pred, true = self._sets
        return self._row_sums(both, columns), self._row_sums(pred, columns), self._row_sums(true, columns)

    def _row_sums(self, chosen: _Array, columns: _Array | None) -> _Array:
        sums: _Array = np.asarray(np.count_nonzero(chosen if columns is None else chosen[:, columns], axis=1))
        return sums if self.sample_weight is None else sums * (self.sample_weight != 0)

    def right_and_all(self) -> tuple[float, float]:
        """(rows predicted right in every label, all rows), or sums of their weights."""
        return _weigh((self.y_true == self.y_pred).all(axis=1), self.sample_weight)

    def wrong_and_all(self) -> tuple[float, float]:
        """(rows predicted wrong in any label, all rows), or sums of their weights."""
        return _weigh((self.y_true != self.y_pred).any(axis=1), self.sample_weight)

    def wrong_labels_and_all(self) -> tuple[float, float]:
        """(labels predicted wrong, all labels) of all rows, or sums of the rows' weights."""
        wrong, weight = np.count_nonzero(self.y_true != self.y_pred, axis=1), self.sample_weight
        n_rows, n_labels = self.y_true.shape
        if weight is None:
            return float(wrong.sum()), float(n_rows * n_labels)
        return float(np.multiply(wrong, weight, dtype=np.float64).sum()), n_labels * float(weight.sum(dtype=np.float64))

    def total(self) -> Any:
        """All rows, or the sum of their weights."""
        return _total(self.y_true, self.sample_weight)


class IndicatorCounts(_ManyLabelsARow):
    """The sums of indicator matrices whose rows are gone, in place of the rows.

    class_sums: (3, n_labels), true positives, predicted and true; row_counts: (4,), rows right in every label, rows
    wrong in any, labels wrong, all rows.
    """

    sample_weight = None

    def __init__(self, class_sums: _Array, row_counts: _Array) -> None:
        self.class_sums: _Sums = (class_sums[0], class_sums[1], class_sums[2])
        self.row_counts = row_counts
        self.labels = np.arange(class_sums.shape[1])

    def row_sums(self, columns: _Array | None = None) -> _Sums:
        """What each row has is gone."""
        raise ValueError("average must not be 'samples': a state does not keep what single rows have")

    def right_and_all(self) -> tuple[float, float]:
        """(rows predicted right in every label, all rows), or sums of their weights."""
        return float(self.row_counts[0]), float(self.row_counts[3])

    def wrong_and_all(self) -> tuple[float, float]:
        """(rows predicted wrong in any label, all rows), or sums of their weights."""
        return float(self.row_counts[1]), float(self.row_counts[3])

    def wrong_labels_and_all(self) -> tuple[float, float]:
        """(labels predicted wrong, all labels) of all rows, or sums of the rows' weights."""
        return float(self.row_counts[2]), len(self.labels) * float(self.row_counts[3])

    def total(self) -> Any:
        """All rows, or the sum of their weights."""
        return self.row_counts[3]


OneLabelARow = LabelPairs | LabelCounts
ManyLabelsARow = IndicatorPairs | IndicatorCounts
Targets = OneLabelARow | ManyLabelsARow
