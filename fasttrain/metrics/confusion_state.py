"""Counts of pairs of true and predicted labels that grow with a stream and add up over shards."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.metrics import agreement, classification, report
from fasttrain.metrics._labels import (
    IndicatorCounts,
    IndicatorPairs,
    LabelCounts,
    LabelPairs,
    check_targets,
    join_labels,
    positions,
)
from fasttrain.metrics._state import (
    Arrays,
    add_counts,
    check_finite_sum,
    check_same_kind,
    fitting,
    is_empty,
    method_of,
)
from fasttrain.metrics._validation import as_array, check_array_like

__all__ = ["ConfusionState"]

_Array = NDArray[Any]
_STATE = "fasttrain.metrics.ConfusionState 1"


class ConfusionState:
    """Every metric that the table of pairs of labels determines, of rows that come in chunks or lie in shards.

    Fed in any split and merged in any order, it answers as the functions of the same names do for all rows at
    once: to the bit where the counts are integers, to rounding where weights are not.  Labels that appear later
    are taken up.  With indicator matrices it keeps the sums of each column; what only single rows determine,
    ``average="samples"``, it refuses.

    Parameters
    ----------
    labels : array-like of shape (n_labels,), optional
        All labels that may occur; another one in ``update`` is an error.  Methods then answer as with the option
        ``labels`` of these labels in this order, unless another is given.

    Notes
    -----
    Memory: a table of (n_labels, n_labels) numbers of 8 bytes.

    Examples
    --------
    >>> from fasttrain.metrics import ConfusionState
    >>> monday = ConfusionState().update(["cat", "dog"], ["cat", "cat"])
    >>> tuesday = ConfusionState().update(["dog", "cow"], ["dog", "cow"])
    >>> week = monday.merge(tuesday)
    >>> week.accuracy_score()
    0.75
    >>> week.f1_score(average=None).round(2).tolist()
    [0.67, 1.0, 0.67]
    """

    def __init__(self, *, labels: ArrayLike | None = None) -> None:
        self._fixed: _Array | None = None  # in the caller's order
        self._sorted: _Array | None = None
        if labels is not None:
            check_array_like(labels, "labels")
            self._fix(_plain_labels(as_array(labels, "labels")))
        self._label_counts: LabelCounts | None = None
        self._indicator_counts: IndicatorCounts | None = None

    def _fix(self, labels: _Array) -> None:
        if labels.ndim != 1 or not labels.size or labels.dtype.kind not in "biufU":
            raise ValueError(f"labels must hold labels in one dimension, got {labels!r}")
        self._sorted = np.unique(labels)
        if len(self._sorted) != len(labels):
            raise ValueError(f"labels must hold each label once, got {labels.tolist()}")
        self._fixed = labels.copy()

    def update(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> "ConfusionState":
        """Count more rows.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_rows,) or (n_rows, n_labels)
            Labels (integers of any width, bool, strings, floats that hold integers) or indicator matrices; chunks
            without rows are passed over.
        sample_weight : array-like of shape (n_rows,), optional
            Finite and not negative.

        Returns
        -------
        ConfusionState
            This state; after an error it is as it was.

        Raises
        ------
        ValueError, TypeError
            As :func:`confusion_matrix`; labels that are not among ``labels``; strings after numbers, or labels after
            indicator matrices, or matrices of another width.
        """
        if is_empty(y_true, y_pred, sample_weight):
            return self
        targets = check_targets(y_true, y_pred, sample_weight, allow_zero=True)
        if isinstance(targets, LabelPairs):
            labels = _plain_labels(targets.labels)
            _check_exact(labels, targets.y_true, targets.y_pred)
            if self._sorted is not None:
                foreign = positions(self._sorted, labels) < 0
                if foreign.any():
                    raise ValueError(
                        f"y_true and y_pred must hold labels among {self._sorted.tolist()}, "
                        f"got {labels[foreign].tolist()}"
                    )
            weighted = targets.sample_weight is not None
            self._add(LabelCounts(labels, targets.exact_table, targets.in_true, weighted), None)
        elif isinstance(targets, IndicatorPairs):
            dtype = np.int64 if targets.sample_weight is None else np.float64
            with np.errstate(over="ignore"):
                right, _ = targets.right_and_all()
                wrong, _ = targets.wrong_and_all()
                row_counts = np.array(
                    [right, wrong, targets.wrong_labels_and_all()[0], float(targets.total())], dtype=dtype
                )
                class_sums = np.stack(targets.class_sums)
            self._add(None, IndicatorCounts(class_sums, row_counts))
        return self

    def merge(self, other: "ConfusionState") -> "ConfusionState":
        """Add the counts of another state to this one's, in place.

        Parameters
        ----------
        other : ConfusionState
            Of the same fixed labels, if any; it is left as it is.

        Returns
        -------
        ConfusionState
            This state; after an error both are as they were.

        Raises
        ------
        TypeError, ValueError
            Not a ConfusionState; other fixed labels; strings and numbers, or labels and indicator matrices.
        """
        check_same_kind(self, other)
        mine, its = self._fixed, other._fixed
        if (mine is None) != (its is None) or (
            mine is not None and its is not None and mine.tolist() != its.tolist()
        ):
            shown = [None if labels is None else labels.tolist() for labels in (mine, its)]
            raise ValueError(f"other must have the same fixed labels, got {shown[0]} here and {shown[1]} there")
        self._add(other._label_counts, other._indicator_counts)
        return self

    def _add(self, labels: LabelCounts | None, indicators: IndicatorCounts | None) -> None:
        if (labels is not None and self._indicator_counts is not None) or (
            indicators is not None and (self._label_counts is not None or self._fixed is not None)
        ):
            raise ValueError("a state must be fed either labels or, without fixed labels, indicator matrices")
        if labels is not None:
            mine = self._label_counts
            with np.errstate(over="ignore"):
                labels = labels if mine is None else _joined(mine, labels)
                check_finite_sum(float(labels.table.sum(dtype=np.float64)))
            self._label_counts = labels
        if indicators is not None:
            counts = self._indicator_counts
            if counts is not None and len(counts.labels) != len(indicators.labels):
                raise ValueError(
                    f"indicator matrices must have {len(counts.labels)} columns as before, got {len(indicators.labels)}"
                )
            with np.errstate(over="ignore"):
                if counts is not None:
                    class_sums = add_counts(np.stack(counts.class_sums), np.stack(indicators.class_sums))
                    row_counts = add_counts(counts.row_counts, indicators.row_counts)
                    indicators = IndicatorCounts(*fitting(class_sums, row_counts))
                # all rows, or the wrong labels of all: no sum of a column is larger
                check_finite_sum(float(indicators.row_counts.max()))
            self._indicator_counts = indicators

    def _rows(self, names: set[str], options: dict[str, Any]) -> tuple[Any, None]:
        """What stands for y_true and y_pred in the functions: copies, so that no answer is a part of the state."""
        targets: LabelCounts | IndicatorCounts
        if self._label_counts is not None:
            mine = self._label_counts
            targets = LabelCounts(mine.labels.copy(), mine.table.copy(), mine.in_true, mine.weighted)
        elif self._indicator_counts is not None:
            counts = self._indicator_counts
            targets = IndicatorCounts(np.stack(counts.class_sums), counts.row_counts)
        else:
            raise ValueError("the state must hold at least one row, got none so far")
        if not targets.total():
            raise ValueError("sample_weight must not be zero in every row")
        if self._fixed is not None and "labels" in names and options.get("labels") is None:
            options["labels"] = self._fixed
        return targets, None

    @property
    def labels(self) -> _Array:
        """The fixed labels, or those that have occurred, sorted, or the numbers of the columns."""
        if self._fixed is not None:
            return self._fixed.copy()
        counts = self._label_counts or self._indicator_counts
        return np.zeros(0, dtype=np.int64) if counts is None else counts.labels.copy()

    def to_arrays(self) -> dict[str, _Array]:
        """The state as plain arrays, for :meth:`from_arrays`: to store, to send, to reduce elsewhere.

        Returns
        -------
        dict of str to ndarray
            'state' names class and version, 'fixed_labels' may be empty.  Then 'labels' (n_labels,), 'table' (n_labels,
            n_labels), 'in_true' (n_labels,) and 'weighted'; or 'class_sums' (3, n_labels) and 'row_counts' (4,) of
            indicator matrices; or none, where no row came.
        """
        fixed = np.zeros(0, dtype=np.int64) if self._fixed is None else self._fixed.copy()
        arrays = {"state": np.array(_STATE), "fixed_labels": fixed}
        if self._label_counts is not None:
            counts = self._label_counts
            arrays["labels"], arrays["table"] = counts.labels.copy(), counts.table.copy()
            arrays["in_true"], arrays["weighted"] = counts.in_true.copy(), np.array(counts.weighted)
        if self._indicator_counts is not None:
            arrays["class_sums"] = np.stack(self._indicator_counts.class_sums)
            arrays["row_counts"] = self._indicator_counts.row_counts.copy()
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Any) -> "ConfusionState":
        """The state that :meth:`to_arrays` gave these arrays.

        Parameters
        ----------
        arrays : dict of str to array-like
            Or what `numpy.load` gives for a file of them.

        Raises
        ------
        TypeError, ValueError
            Arrays of another state, missing or left over, of another shape or dtype, or that contradict each other.
        """
        given = Arrays(arrays, _STATE)
        fixed = given.take("fixed_labels", "biufU", (None,))
        state = cls(labels=fixed if fixed.size else None)
        if "labels" in given:
            labels = given.take("labels", "biufU", (None,)).copy()
            n_labels = len(labels)
            table = given.take_counts("table", (n_labels, n_labels))
            in_true = given.take("in_true", "b", (n_labels,)).copy()
            weighted = given.take_flag("weighted")
            if not n_labels or not np.array_equal(np.unique(labels), labels):
                raise ValueError("arrays['labels'] must be sorted and hold each label once")
            if state._sorted is not None and (positions(state._sorted, labels) < 0).any():
                raise ValueError("arrays['labels'] must be among arrays['fixed_labels']")
            if table[~in_true].any():
                raise ValueError("arrays['in_true'] must be true where arrays['table'] has rows")
            if table.dtype.kind == "f" and not weighted:
                raise ValueError("arrays['weighted'] must be true where arrays['table'] holds sums of weights")
            (table,) = fitting(table)
            state._add(LabelCounts(labels, table, in_true, weighted or table.dtype.kind == "f"), None)
        if "class_sums" in given:
            sums = given.take_counts("class_sums", (3, None))
            rows = given.take_counts("row_counts", (4,))
            if sums.dtype != rows.dtype:
                raise ValueError("arrays['class_sums'] and arrays['row_counts'] must have one dtype")
            sums, rows = fitting(sums, rows)
            # sums of floats keep their order only to rounding
            slack = 0.0 if rows.dtype.kind == "i" else 1e-9 * float(rows[3])
            if (sums[0] > np.minimum(sums[1], sums[2]) + slack).any() or (sums[1:] > rows[3] + slack).any():
                raise ValueError("arrays['class_sums'] must not have more true positives than rows")
            if abs(rows[0] + rows[1] - rows[3]) > slack:
                raise ValueError("arrays['row_counts'] must have right and wrong rows that add up to all")
            if rows.dtype.kind == "i":
                # two that are not zero may differ all the same
                least = max(int((sums[1] + sums[2] - 2 * sums[0]).sum()), int(rows[1]))
                if not least <= int(rows[2]) <= sums.shape[1] * int(rows[1]):
                    raise ValueError("arrays['row_counts'] must have as many wrong labels as arrays['class_sums'] tell")
            state._add(None, IndicatorCounts(sums, rows))
        given.finish()
        return state

    accuracy_score = method_of(classification.accuracy_score, "_rows")
    balanced_accuracy_score = method_of(agreement.balanced_accuracy_score, "_rows")
    class_likelihood_ratios = method_of(agreement.class_likelihood_ratios, "_rows")
    classification_report = method_of(report.classification_report, "_rows")
    cohen_kappa_score = method_of(agreement.cohen_kappa_score, "_rows")
    confusion_matrix = method_of(classification.confusion_matrix, "_rows")
    f1_score = method_of(classification.f1_score, "_rows")
    fbeta_score = method_of(classification.fbeta_score, "_rows")
    hamming_loss = method_of(agreement.hamming_loss, "_rows")
    jaccard_score = method_of(classification.jaccard_score, "_rows")
    matthews_corrcoef = method_of(agreement.matthews_corrcoef, "_rows")
    multilabel_confusion_matrix = method_of(classification.multilabel_confusion_matrix, "_rows")
    precision_recall_fscore_support = method_of(classification.precision_recall_fscore_support, "_rows")
    precision_score = method_of(classification.precision_score, "_rows")
    recall_score = method_of(classification.recall_score, "_rows")
    zero_one_loss = method_of(agreement.zero_one_loss, "_rows")


def _plain_labels(labels: _Array) -> _Array:
    """Strings as NumPy's own, so that they can be stored anywhere."""
    return labels.astype(str) if labels.dtype.kind in "OT" else labels


def _joined(a: LabelCounts, b: LabelCounts) -> LabelCounts:
    weighted = a.weighted or b.weighted
    if a.labels.dtype == b.labels.dtype and np.array_equal(a.labels, b.labels):
        table = add_counts(a.table, b.table)
        return LabelCounts(a.labels, table, a.in_true | b.in_true, weighted or table.dtype.kind == "f")
    if (a.labels.dtype.kind == "U") != (b.labels.dtype.kind == "U"):
        raise ValueError(
            f"labels must not mix strings and numbers, got dtypes {a.labels.dtype} before and {b.labels.dtype}"
        )
    labels, place_a, place_b = join_labels(a.labels, b.labels)
    if a.labels.dtype != b.labels.dtype and labels.dtype.kind != "U":
        labels = labels.astype(_joint_dtype(labels, a.labels.dtype.kind + b.labels.dtype.kind))
        _check_exact(labels, a.labels, b.labels)
    n_labels = len(labels)
    table_a = np.zeros((n_labels, n_labels), dtype=a.table.dtype)
    table_b = np.zeros((n_labels, n_labels), dtype=b.table.dtype)
    table_a[np.ix_(place_a, place_a)] = a.table
    table_b[np.ix_(place_b, place_b)] = b.table
    in_true = np.zeros(n_labels, dtype=bool)
    in_true[place_a] |= a.in_true
    in_true[place_b] |= b.in_true
    table = add_counts(table_a, table_b)
    return LabelCounts(labels, table, in_true, weighted or table.dtype.kind == "f")


def _joint_dtype(labels: _Array, kinds: str) -> Any:
    """Of labels from arrays of these kinds in any order; which of True, 1 and 1.0 comes first would depend on it."""
    low, high = int(labels[0]), int(labels[-1])
    if "f" not in kinds and high < 2**63:
        return np.int64
    return np.uint64 if "f" not in kinds and low >= 0 else np.float64


def _check_exact(labels: _Array, *parts: _Array) -> None:
    """Integers that have met floats are still themselves."""
    for part in parts:
        if labels.dtype.kind == "f" and part.dtype.kind in "iu":
            # Python compares exactly
            lost = [label for label in np.unique(part).tolist() if float(label) != label]
            if lost:
                raise ValueError(f"labels must not be floats and integers beyond 2^53, got {lost[0]} beside floats")
