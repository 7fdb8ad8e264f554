"""Losses: what to minimise.

Each is an object with torch's names of options: ``loss(pred, target)`` is the value, a float;
``loss.value_and_grad(pred, target, out=None)`` is the value and the gradient with respect to `pred`, in one
pass over the data.

These classes accept what :func:`numpy.asarray` accepts and convert it: integers, bool and float16 in `pred`
become float64; `pred` and `target` of different precision meet in the wider one, as NumPy has it; rows that
are not contiguous are copied.  Arrays of float32 or float64 with contiguous rows are used as they are.  The
functions of :mod:`fasttrain.kernels` do the work and never convert.
"""

import operator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain import kernels

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HalfSquaredLoss", "MSELoss"]

Reduction = Literal["mean", "sum", "weighted_mean", "none"]
_Array = NDArray[Any]

_REDUCTIONS = ("mean", "sum", "weighted_mean", "none")


def _asarray(value: Any, name: str) -> _Array:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array; use {name}.filled(...) or {name}.data")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array


def _real_dtype(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """float32 or float64: NumPy's promotion, with float64 for whatever is neither."""
    dtype = np.result_type(*dtypes)
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


def _dense(array: _Array, dtype: np.dtype[Any] | type) -> _Array:
    """The array as the kernels want it; itself if it is so."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def _vector(value: ArrayLike | None, name: str, dtype: np.dtype[Any]) -> _Array | None:
    if value is None:
        return None
    array = _asarray(value, name)
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension, got shape {array.shape}")
    return _dense(array, dtype)


def _check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"out must have shape {shape} and dtype {dtype}, got {out.shape} and {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, got a read-only array")


class _Loss:
    """What the losses share: the reduction, and the way of the gradient into `out`."""

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"reduction must be one of {', '.join(map(repr, _REDUCTIONS))}, got {reduction!r}"
            )
        self.reduction = reduction

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"

    def __call__(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        pred, target : array-like
            As the class describes.
        sample_weight : array-like, shape (n_rows,), optional
            Multiplies the losses of each row.
        n_threads : int, optional

        Returns
        -------
        float or ndarray
            With ``reduction='none'`` the losses of the elements, or of the rows for CrossEntropyLoss, in
            pred's dtype.
        """
        p, t = self._arrays(pred, target)
        weight = _vector(sample_weight, "sample_weight", p.dtype)
        if self.reduction != "none":
            return self._kernel(p, t, False, self.reduction, weight, n_threads)[0]
        # the kernel checks the data
        self._kernel(p, t, False, "sum", weight, n_threads)
        losses = self._losses(p.astype(np.float64), t)
        if weight is not None:
            losses = losses * weight.reshape(-1, *[1] * (losses.ndim - 1))
        return losses.astype(p.dtype).reshape(
            np.shape(pred)[: 1 if losses.ndim == 1 and p.ndim == 2 else None]
        )

    def value_and_grad(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        out: _Array | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[float, _Array]:
        """Value of the loss and its gradient with respect to `pred`, in one pass.

        Parameters
        ----------
        pred, target : array-like
            As the class describes.
        out : ndarray of pred's shape, optional
            Where the gradient is written; its dtype is that of `pred` once converted.  May be `pred`.  Memory
            that the kernel cannot write to directly (rows that are not contiguous, a partial overlap with an
            input) is filled by a copy.
        sample_weight : array-like, shape (n_rows,), optional
            Multiplies the losses of each row.
        n_threads : int, optional

        Returns
        -------
        value : float
        grad : ndarray
            `out`, or a new array.
        """
        if self.reduction == "none":
            raise ValueError("value_and_grad needs a reduction to one value, got reduction='none'")
        p, t = self._arrays(pred, target)
        weight = _vector(sample_weight, "sample_weight", p.dtype)
        shape = np.shape(pred)
        if out is None:
            value, grad = self._kernel(p, t, None, self.reduction, weight, n_threads)
            return value, grad.reshape(shape)
        _check_out(out, shape, p.dtype)
        if out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative:
            direct = out.reshape(p.shape)
            inputs = [array for array in (t, weight, *vars(self).values()) if isinstance(array, np.ndarray)]
            if direct.ctypes.data != p.ctypes.data:
                inputs.append(p)
            if not any(np.may_share_memory(direct, array) for array in inputs):
                return self._kernel(p, t, direct, self.reduction, weight, n_threads)[0], out
        value, grad = self._kernel(p, t, None, self.reduction, weight, n_threads)
        out[...] = grad.reshape(shape)
        return value, out

    def _arrays(self, pred: ArrayLike, target: ArrayLike) -> tuple[_Array, _Array]:
        raise NotImplementedError

    def _kernel(
        self, p: _Array, t: _Array, grad: Any, reduction: Any, weight: _Array | None, n_threads: int | None
    ) -> tuple[float, Any]:
        raise NotImplementedError

    def _losses(self, p: _Array, t: _Array) -> Any:
        """Losses without reduction; p is float64."""
        raise NotImplementedError


class _Elementwise(_Loss):
    _exact_labels = False  # integers in the target are 0 and 1, exact in any float

    def _arrays(self, pred: ArrayLike, target: ArrayLike) -> tuple[_Array, _Array]:
        p, t = _asarray(pred, "pred"), _asarray(target, "target")
        if p.shape != t.shape:
            raise ValueError(f"target must have the shape of pred, {p.shape}, got {t.shape}")
        if self._exact_labels and t.dtype.kind in "biu":
            dtype = _real_dtype(p.dtype)
        else:
            dtype = _real_dtype(p.dtype, t.dtype)
        # any number of dimensions: all but the last are rows
        shape = p.shape if p.ndim in (1, 2) else (-1, p.shape[-1]) if p.size and p.ndim else (p.size,)
        return (
            _dense(p, dtype).reshape(shape),
            _dense(t, dtype).reshape(shape),
        )


class MSELoss(_Elementwise):
    """Squared error: l = (p - t)^2, as ``torch.nn.MSELoss``.

    pred and target have the same shape, of any number of dimensions; rows run along the last axis (with one
    dimension each element is a row).  Integers in either promote as NumPy promotes them.

    Parameters
    ----------
    reduction : {'mean', 'sum', 'weighted_mean', 'none'}
        'mean' divides by the number of elements, weighted or not; 'weighted_mean' by the weights of the
        elements.

    Raises
    ------
    ValueError
        For targets that are NaN or infinite, for shapes that differ, and for a mean of nothing.

    Examples
    --------
    >>> from fasttrain.losses import MSELoss
    >>> loss = MSELoss()
    >>> loss([1.0, 2.0], [0.0, 4.0])
    2.5
    >>> loss.value_and_grad([1.0, 2.0], [0.0, 4.0])
    (2.5, array([ 1., -2.]))
    """

    def _kernel(
        self, p: _Array, t: _Array, grad: Any, reduction: Any, weight: _Array | None, n_threads: int | None
    ) -> tuple[float, Any]:
        return kernels.mse_value_and_grad(
            p, t, grad, reduction=reduction, sample_weight=weight, n_threads=n_threads
        )

    def _losses(self, p: _Array, t: _Array) -> Any:
        return np.square(p - t)


class HalfSquaredLoss(_Elementwise):
    """Half the squared error: l = (p - t)^2 / 2, scikit-learn's squared loss.

    Shapes, conversions, errors and reductions are those of :class:`MSELoss`.  With ``reduction='sum'`` the
    gradient is p - t.

    Parameters
    ----------
    reduction : {'mean', 'sum', 'weighted_mean', 'none'}

    Examples
    --------
    >>> from fasttrain.losses import HalfSquaredLoss
    >>> HalfSquaredLoss(reduction="sum").value_and_grad([1.0, 2.0], [0.0, 4.0])
    (2.5, array([ 1., -2.]))
    """

    def _kernel(
        self, p: _Array, t: _Array, grad: Any, reduction: Any, weight: _Array | None, n_threads: int | None
    ) -> tuple[float, Any]:
        return kernels.half_squared_error_value_and_grad(
            p, t, grad, reduction=reduction, sample_weight=weight, n_threads=n_threads
        )

    def _losses(self, p: _Array, t: _Array) -> Any:
        return np.square(p - t) / 2.0


class BCELoss(_Elementwise):
    """Binary cross-entropy of probabilities: l = -t log p - (1 - t) log(1 - p), as ``torch.nn.BCELoss``.

    Logarithms are clamped at -100 and the gradient's denominator p (1 - p) at 1e-12, as torch does.  Where
    logits are at hand, :class:`BCEWithLogitsLoss` is more accurate.

    pred and target have the same shape; both lie between 0 and 1.  Integer and bool targets take the
    precision of pred.

    Parameters
    ----------
    reduction : {'mean', 'sum', 'weighted_mean', 'none'}
        As in :class:`MSELoss`.

    Raises
    ------
    ValueError
        For targets or probabilities outside 0 to 1, for shapes that differ, and for a mean of nothing.

    Examples
    --------
    >>> from fasttrain.losses import BCELoss
    >>> round(BCELoss()([0.9, 0.2], [1, 0]), 6)
    0.164252
    """

    _exact_labels = True

    def _kernel(
        self, p: _Array, t: _Array, grad: Any, reduction: Any, weight: _Array | None, n_threads: int | None
    ) -> tuple[float, Any]:
        return kernels.bce_value_and_grad(
            p, t, grad, from_logits=False, reduction=reduction, sample_weight=weight, n_threads=n_threads
        )

    def _losses(self, p: _Array, t: _Array) -> Any:
        with np.errstate(divide="ignore"):
            log_p, log_not_p = np.maximum(np.log(p), -100.0), np.maximum(np.log1p(-p), -100.0)
        return -(t * log_p + (1.0 - t) * log_not_p)


class BCEWithLogitsLoss(_Elementwise):
    """Binary cross-entropy of logits: l = q t softplus(-z) + (1 - t) softplus(z), q = pos_weight.

    As ``torch.nn.BCEWithLogitsLoss``; stable for logits of any size.  pred and target have the same shape;
    targets lie between 0 and 1.  Integer and bool targets take the precision of pred.

    Parameters
    ----------
    pos_weight : float or array-like, shape (n_columns,), optional
        Weight of the positive term, one for all columns or one each.
    reduction : {'mean', 'sum', 'weighted_mean', 'none'}
        As in :class:`MSELoss`.

    Raises
    ------
    ValueError
        For targets outside 0 to 1, for shapes that differ, and for a mean of nothing.

    Examples
    --------
    >>> from fasttrain.losses import BCEWithLogitsLoss
    >>> round(BCEWithLogitsLoss()([2.0, -1e4], [1, 0]), 6)
    0.063464
    """

    _exact_labels = True

    def __init__(self, *, pos_weight: ArrayLike | None = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.pos_weight = (
            None if pos_weight is None else _asarray(pos_weight, "pos_weight").astype(np.float64)
        )
        if self.pos_weight is not None and self.pos_weight.ndim > 1:
            raise ValueError(f"pos_weight must have at most 1 dimension, got shape {self.pos_weight.shape}")

    def _pos_weight(self, p: _Array) -> _Array | None:
        if self.pos_weight is None:
            return None
        weight = np.atleast_1d(self.pos_weight).astype(p.dtype)
        if weight.size == 1 and p.ndim == 2:
            return np.full(p.shape[1], weight[0])
        return weight

    def _kernel(
        self, p: _Array, t: _Array, grad: Any, reduction: Any, weight: _Array | None, n_threads: int | None
    ) -> tuple[float, Any]:
        return kernels.bce_value_and_grad(
            p,
            t,
            grad,
            pos_weight=self._pos_weight(p),
            reduction=reduction,
            sample_weight=weight,
            n_threads=n_threads,
        )

    def _losses(self, p: _Array, t: _Array) -> Any:
        q = 1.0 if self.pos_weight is None else self.pos_weight
        return q * t * np.logaddexp(0.0, -p) + (1.0 - t) * np.logaddexp(0.0, p)


class CrossEntropyLoss(_Loss):
    """Softmax cross-entropy of logits, as ``torch.nn.CrossEntropyLoss``.

    pred is (n_rows, n_classes).  target is (n_rows,) of integers, the labels, or (n_rows, n_classes), target
    probabilities.  The formulas are in :func:`fasttrain.kernels.cross_entropy_value_and_grad`.  Labels of any
    integer width, and bool, are accepted; integer probabilities (one-hot rows) take the precision of pred.

    Parameters
    ----------
    weight : array-like, shape (n_classes,), optional
        Weight of each class.
    ignore_index : int
        Rows with this label count nowhere, and get a gradient of 0.
    label_smoothing : float
        Between 0 and 1.
    reduction : {'mean', 'sum', 'weighted_mean', 'none'}
        'mean' divides, as torch does, by the sum of the weights of the labels of the rows not ignored (NaN if
        all are), and with probabilities by the number of rows.  'weighted_mean' is the same for labels, and
        divides by sum_i sum_c weight_c target_ic with probabilities.  Sample weights multiply in both.

    Raises
    ------
    TypeError, ValueError
        For labels out of range or not integers, probabilities that are negative or not finite, shapes that
        do not fit, and a mean of no rows.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.losses import CrossEntropyLoss
    >>> loss = CrossEntropyLoss()
    >>> value, grad = loss.value_and_grad(np.zeros((2, 4)), [0, 3])
    >>> round(value, 6)
    1.386294
    >>> grad
    array([[-0.375,  0.125,  0.125,  0.125],
           [ 0.125,  0.125,  0.125, -0.375]])
    """

    def __init__(
        self,
        *,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.weight = _vector(weight, "weight", np.dtype(np.float64))
        self.ignore_index = operator.index(ignore_index)
        self.label_smoothing = label_smoothing

    def _arrays(self, pred: ArrayLike, target: ArrayLike) -> tuple[_Array, _Array]:
        p, t = _asarray(pred, "pred"), _asarray(target, "target")
        if p.ndim != 2:
            raise ValueError(f"pred must have shape (n_rows, n_classes), got {p.shape}")
        if t.shape not in (p.shape, p.shape[:1]):
            raise ValueError(f"target must have shape {p.shape[:1]} or {p.shape}, got {t.shape}")
        if self.weight is not None and len(self.weight) != p.shape[1]:
            raise ValueError(f"weight must have one number per class, {p.shape[1]}, got {len(self.weight)}")
        if t.ndim == 2:
            dtype = _real_dtype(p.dtype) if t.dtype.kind in "biu" else _real_dtype(p.dtype, t.dtype)
            return _dense(p, dtype), _dense(t, dtype)
        if t.dtype.kind == "f" and t.size:
            raise TypeError(
                f"target must be integer labels, got dtype {t.dtype}; target.astype(int) converts"
            )
        if t.dtype == np.uint64 and t.size and t.max() > np.iinfo(np.int64).max:
            raise ValueError(f"target must be a label between 0 and {p.shape[1] - 1}, got {t.max()}")
        labels = _dense(t, np.int64)
        return _dense(p, _real_dtype(p.dtype)), labels

    def _kernel(
        self, p: _Array, t: _Array, grad: Any, reduction: Any, weight: _Array | None, n_threads: int | None
    ) -> tuple[float, Any]:
        return kernels.cross_entropy_value_and_grad(
            p,
            t,
            grad,
            class_weight=None if self.weight is None else self.weight.astype(p.dtype),
            sample_weight=weight,
            label_smoothing=self.label_smoothing,
            ignore_index=self.ignore_index,
            reduction=reduction,
            n_threads=n_threads,
        )

    def _losses(self, p: _Array, t: _Array) -> Any:
        if not p.size:
            return np.zeros(len(p))
        # the largest logit's own exponential, 1, is left to log1p
        rows = np.arange(len(p))
        below = p - p.max(axis=1, keepdims=True)
        others = np.exp(below)
        others[rows, np.argmax(p, axis=1)] = 0.0
        nll = np.log1p(others.sum(axis=1, keepdims=True)) - below
        shares = np.full(p.shape, self.label_smoothing / p.shape[1])
        if t.ndim == 2:
            shares += (1.0 - self.label_smoothing) * t
        else:
            kept = t != self.ignore_index
            shares[~kept] = 0.0
            shares[rows[kept], t[kept]] += 1.0 - self.label_smoothing
            nll[~kept] = 0.0
        if self.weight is not None:
            shares *= self.weight
        # 0 log 0 is 0
        return np.sum(shares * np.where(shares == 0.0, 0.0, nll), axis=1)
