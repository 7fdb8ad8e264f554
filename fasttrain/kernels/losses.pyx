"""Losses: value and gradient in one pass over the predictions.

Here: the checks of the arrays, the partition and the order of the sum.  The arithmetic is in simd/loss.h.

A call is described once, in a ``Pass``; its rows are cut into pieces by size alone, each piece writes its
part of the gradient and its own partial sum in double, and the sums are added in piece order, so that the
bits do not depend on the number of threads.  A mean needs its divisor before the gradient is written: where
that is a sum of weights, a first sweep over labels and weights adds it up.
"""
import math
import operator

import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport fabs, frexp, ldexp
from libc.stdint cimport int64_t
from libc.string cimport memset

from fasttrain.kernels cimport checks, runtime

cnp.import_array()

ctypedef fused real:
    float
    double

cdef enum:
    SQUARED_ERROR
    BCE_LOGITS
    BCE_PROBABILITIES
    CROSS_ENTROPY
    CROSS_ENTROPY_SOFT
    SOFTMAX
    TOTAL_WEIGHT  # the sweep before the others

cdef enum:
    SUM
    MEAN
    WEIGHTED_MEAN

# Elements of a piece, and the fewest of them that are worth another thread, by the loss's cost.
cdef Py_ssize_t PIECE = 8192
cdef double GRAIN_ARITHMETIC = 65536.0
cdef double GRAIN_TRANSCENDENTAL = 16384.0

# A total weight beyond this, or its reciprocal, is too far from 1 for a product with a float32.
cdef double FAR_WEIGHT = 2.0**60

cdef tuple _REDUCTIONS = ("sum", "mean", "weighted_mean")


cdef struct Pass:
    int loss
    bint single                     # float32
    Py_ssize_t n_rows, n_columns, rows_per_piece
    const char* prediction          # (n_rows, n_columns)
    Py_ssize_t prediction_stride
    const char* target              # (n_rows, n_columns), or NULL with labels
    Py_ssize_t target_stride
    const int64_t* labels           # (n_rows,) or NULL
    const char* row_weight          # (n_rows,) or NULL
    const char* column_weight       # (n_columns,) or NULL
    double factor, label_smoothing, scale
    int64_t ignore_index
    bint classes_weigh              # the total weight is one of labels or targets, not of rows alone
    char* grad                      # (n_rows, n_columns) or NULL
    Py_ssize_t grad_stride


cdef Pass _new_pass(int loss):
    cdef Pass job
    memset(&job, 0, sizeof(job))
    job.loss, job.factor = loss, 1.0
    return job


cdef Py_ssize_t _rows(const Pass* job, int work, const real* kind, Py_ssize_t begin, Py_ssize_t n,
                      double* value) noexcept nogil:
    # rows begin .. begin + n - 1; `kind` only chooses the element type
    cdef Py_ssize_t width = job.n_columns, ps = job.prediction_stride, ts = job.target_stride
    cdef Py_ssize_t gs = job.grad_stride
    cdef const real* prediction = <const real*> job.prediction
    cdef const real* target = <const real*> job.target
    cdef const real* row_weight = <const real*> job.row_weight
    cdef const real* column_weight = <const real*> job.column_weight
    cdef const int64_t* labels = job.labels
    cdef real* grad = <real*> job.grad
    if prediction != NULL:
        prediction += begin * ps
    if target != NULL:
        target += begin * ts
    if row_weight != NULL:
        row_weight += begin
    if labels != NULL:
        labels += begin
    if grad != NULL:
        grad += begin * gs
    if work == TOTAL_WEIGHT:
        if not job.classes_weigh:
            labels, target, column_weight = NULL, NULL, NULL
        if real is float:
            return runtime.table.f32.total_weight(
                n, width, labels, target, ts, column_weight, row_weight, job.ignore_index, value
            )
        else:
            return runtime.table.f64.total_weight(
                n, width, labels, target, ts, column_weight, row_weight, job.ignore_index, value
            )
    if work == SQUARED_ERROR:
        if real is float:
            return runtime.table.f32.squared_error(
                n, width, prediction, ps, target, ts, row_weight, job.factor, job.scale, grad, gs,
                value
            )
        else:
            return runtime.table.f64.squared_error(
                n, width, prediction, ps, target, ts, row_weight, job.factor, job.scale, grad, gs,
                value
            )
    if work == BCE_LOGITS:
        if real is float:
            return runtime.table.f32.bce_logits(
                n, width, prediction, ps, target, ts, row_weight, column_weight, job.scale, grad,
                gs, value
            )
        else:
            return runtime.table.f64.bce_logits(
                n, width, prediction, ps, target, ts, row_weight, column_weight, job.scale, grad,
                gs, value
            )
    if work == BCE_PROBABILITIES:
        if real is float:
            return runtime.table.f32.bce_probabilities(
                n, width, prediction, ps, target, ts, row_weight, job.scale, grad, gs, value
            )
        else:
            return runtime.table.f64.bce_probabilities(
                n, width, prediction, ps, target, ts, row_weight, job.scale, grad, gs, value
            )
    if work == CROSS_ENTROPY:
        if real is float:
            return runtime.table.f32.cross_entropy(
                n, width, prediction, ps, labels, column_weight, row_weight, job.label_smoothing,
                job.ignore_index, job.scale, grad, gs, value
            )
        else:
            return runtime.table.f64.cross_entropy(
                n, width, prediction, ps, labels, column_weight, row_weight, job.label_smoothing,
                job.ignore_index, job.scale, grad, gs, value
            )
    if work == CROSS_ENTROPY_SOFT:
        if real is float:
            return runtime.table.f32.cross_entropy_soft(
                n, width, prediction, ps, target, ts, column_weight, row_weight,
                job.label_smoothing, job.scale, grad, gs, value
            )
        else:
            return runtime.table.f64.cross_entropy_soft(
                n, width, prediction, ps, target, ts, column_weight, row_weight,
                job.label_smoothing, job.scale, grad, gs, value
            )
    if real is float:
        runtime.table.f32.softmax(n, width, prediction, ps, grad, gs)
    else:
        runtime.table.f64.softmax(n, width, prediction, ps, grad, gs)
    return -1


cdef void _piece(const Pass* job, int work, Py_ssize_t piece, double* partial,
                 Py_ssize_t* bad) noexcept nogil:
    cdef Py_ssize_t begin = piece * job.rows_per_piece
    cdef Py_ssize_t n = min(job.rows_per_piece, job.n_rows - begin)
    partial[0] = 0.0
    if job.single:
        bad[0] = _rows[float](job, work, NULL, begin, n, partial)
    else:
        bad[0] = _rows[double](job, work, NULL, begin, n, partial)


cdef void _member(const Pass* job, int work, Py_ssize_t n_pieces, double* partials, Py_ssize_t* bad,
                  runtime.ft_crew* crew) noexcept nogil:
    cdef int thread = runtime.ft_crew_join(crew)
    cdef Py_ssize_t piece = runtime.ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        _piece(job, work, piece, partials + piece, bad + piece)
        piece = runtime.ft_crew_take(crew, thread, 0, n_pieces)
    runtime.ft_crew_leave(crew, thread)


cdef Py_ssize_t _sweep(const Pass* job, int work, int n_threads, Py_ssize_t n_pieces, double* partials,
                       Py_ssize_t* bad, double* total) noexcept nogil:
    # All pieces; their sum in piece order, or the first bad row.
    cdef Py_ssize_t piece
    cdef runtime.ft_crew crew
    runtime.ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _member(job, work, n_pieces, partials, bad, &crew)
    else:
        with parallel(num_threads=n_threads):
            _member(job, work, n_pieces, partials, bad, &crew)
    total[0] = 0.0
    for piece in range(n_pieces):
        if bad[piece] >= 0:
            return piece * job.rows_per_piece + bad[piece]
        total[0] += partials[piece]
    return -1


cdef cnp.ndarray _bring_near(Pass* job):
    # Weights so large or small that their products leave the range of their dtype: a copy of those of the rows, or
    # else of the columns, times the power of two that makes the largest about 1; the mean does not change.
    cdef bint of_rows = job.row_weight != NULL
    cdef Py_ssize_t n = job.n_rows if of_rows else job.n_columns, i
    cdef const char* weight = job.row_weight if of_rows else job.column_weight
    cdef double largest = 0.0
    cdef int exponent = 0
    cdef cnp.ndarray scaled
    if weight == NULL:  # the total is a number of rows
        return None
    for i in range(n):
        largest = max(largest, fabs((<const float*> weight)[i] if job.single else (<const double*> weight)[i]))
    scaled = np.empty(n, dtype=np.float32 if job.single else np.float64)
    frexp(largest, &exponent)
    for i in range(n):
        if job.single:
            (<float*> cnp.PyArray_DATA(scaled))[i] = <float> ldexp((<const float*> weight)[i], -exponent)
        else:
            (<double*> cnp.PyArray_DATA(scaled))[i] = ldexp((<const double*> weight)[i], -exponent)
    if of_rows:
        job.row_weight = cnp.PyArray_BYTES(scaled)
    else:
        job.column_weight = cnp.PyArray_BYTES(scaled)
    return scaled


cdef Py_ssize_t _run(Pass* job, object n_threads, bint by_weight, double divisor, double* value) except -2:
    # Value and gradient, divided by `divisor`, and by the total weight if `by_weight`; or the first bad row.
    cdef Py_ssize_t n_pieces, bad = -1
    cdef double grain = GRAIN_ARITHMETIC if job.loss == SQUARED_ERROR else GRAIN_TRANSCENDENTAL
    cdef int threads = runtime.threads_for(n_threads, <double> job.n_rows * job.n_columns, grain)
    cdef double few_partials[8]
    cdef Py_ssize_t few_bad[8]
    cdef double* partials = few_partials
    cdef Py_ssize_t* bad_rows = few_bad
    cdef double total = 0.0, weight = 0.0
    cdef cnp.ndarray partials_array, bad_array, _kept
    job.rows_per_piece = max(PIECE // max(job.n_columns, 1), 1)
    n_pieces = (job.n_rows + job.rows_per_piece - 1) // job.rows_per_piece
    if n_pieces > 8:
        partials_array = np.empty(n_pieces, dtype=np.float64)
        bad_array = np.empty(n_pieces, dtype=np.intp)
        partials = <double*> cnp.PyArray_DATA(partials_array)
        bad_rows = <Py_ssize_t*> cnp.PyArray_DATA(bad_array)
    with nogil:
        # the weights of rows are checked even where their sum is not used
        if by_weight or job.row_weight != NULL:
            bad = _sweep(job, TOTAL_WEIGHT, threads, n_pieces, partials, bad_rows, &weight)
    if bad >= 0:
        return bad
    if by_weight:
        if not 1.0 / FAR_WEIGHT <= fabs(weight) <= FAR_WEIGHT:
            _kept = _bring_near(job)
            with nogil:
                _sweep(job, TOTAL_WEIGHT, threads, n_pieces, partials, bad_rows, &weight)
        divisor *= weight
    with nogil:
        job.scale = 1.0 / divisor
        bad = _sweep(job, job.loss, threads, n_pieces, partials, bad_rows, &total)
        value[0] = total / divisor
    return bad


# ---- arrays -------------------------------------------------------------------------------------------

cdef Py_ssize_t _layout(cnp.ndarray array, str name) except -1:
    # The row stride of a (n_rows, n_columns) array; (n_rows,) is read as (n_rows, 1).
    if cnp.PyArray_NDIM(array) == 1:
        checks.check_contiguous(array, name)
        return 1
    return checks.row_stride(array, name)


cdef cnp.ndarray _predictions(Pass* job, object value, str name, int ndim):
    cdef cnp.ndarray array = checks.real_array(value, name, ndim)
    if ndim < 0 and cnp.PyArray_NDIM(array) not in (1, 2):
        raise ValueError(f"{name} must have 1 or 2 dimensions, got shape {(<object> array).shape}")
    job.prediction_stride = _layout(array, name)
    job.prediction = cnp.PyArray_BYTES(array)
    job.single = cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32
    job.n_rows = cnp.PyArray_DIM(array, 0)
    job.n_columns = cnp.PyArray_DIM(array, 1) if cnp.PyArray_NDIM(array) == 2 else 1
    return array


cdef cnp.ndarray _targets(Pass* job, object value, cnp.ndarray prediction, str name):
    cdef cnp.ndarray array = checks.real_array_like(value, "target", -1, prediction, name)
    if cnp.PyArray_NDIM(prediction) == 1:
        checks.check_shape(array, "target", job.n_rows)
    else:
        checks.check_shape(array, "target", job.n_rows, job.n_columns)
    job.target_stride = _layout(array, "target")
    job.target = cnp.PyArray_BYTES(array)
    return array


cdef cnp.ndarray _row_weights(Pass* job, object value, cnp.ndarray prediction, str name):
    if value is None:
        return None
    cdef cnp.ndarray array = checks.real_array_like(value, "sample_weight", 1, prediction, name)
    checks.check_shape(array, "sample_weight", job.n_rows)
    checks.check_contiguous(array, "sample_weight")
    job.row_weight = cnp.PyArray_BYTES(array)
    return array


cdef cnp.ndarray _column_weights(Pass* job, object value, cnp.ndarray prediction, str name, str weight_name):
    if value is None:
        return None
    cdef cnp.ndarray array = checks.real_array_like(value, weight_name, 1, prediction, name)
    cdef Py_ssize_t i
    checks.check_shape(array, weight_name, job.n_columns)
    checks.check_contiguous(array, weight_name)
    for i, weight in enumerate(array.tolist()):
        if not 0.0 <= weight < math.inf:
            raise ValueError(f"{weight_name} must be finite and not negative, got {weight} at position {i}")
    job.column_weight = cnp.PyArray_BYTES(array)
    return array


cdef object _gradients(Pass* job, object value, str out_name, cnp.ndarray prediction, str name, tuple inputs):
    # The array for the gradient: a new one for None, none for False.  inputs: (array, name) that it must not
    # overlap; it may be the prediction itself.
    cdef cnp.ndarray array, other
    if value is False:
        return None
    if value is None:
        array = np.empty((<object> prediction).shape, dtype=(<object> prediction).dtype)
    else:
        array = checks.real_array_like(value, out_name, -1, prediction, name)
        if cnp.PyArray_NDIM(prediction) == 1:
            checks.check_shape(array, out_name, job.n_rows)
        else:
            checks.check_shape(array, out_name, job.n_rows, job.n_columns)
        checks.check_writeable(array, out_name)
    job.grad_stride = _layout(array, out_name)
    job.grad = cnp.PyArray_BYTES(array)
    if value is not None:
        if job.grad != job.prediction or job.grad_stride != job.prediction_stride:
            checks.check_disjoint(array, out_name, prediction, name)
        for other, other_name in inputs:
            if other is not None:
                checks.check_disjoint(array, out_name, other, other_name)
    return array


cdef int _refuse_empty_mean(Pass* job, int reduction, str name, cnp.ndarray array) except -1:
    if reduction != SUM and job.n_rows * job.n_columns == 0:
        raise ValueError(
            f"reduction={_REDUCTIONS[reduction]!r} needs at least one element, "
            f"got {name} of shape {(<object> array).shape}; reduction='sum' gives 0"
        )
    return 0


cdef int _refuse_weight(Py_ssize_t row, object sample_weight) except -1:
    if sample_weight is not None and not math.isfinite(sample_weight[row]):
        raise ValueError(f"sample_weight must be finite, got {sample_weight[row]} in row {row}")
    return 0


# ---- elementwise losses -------------------------------------------------------------------------------

cdef tuple _elementwise(int loss, double factor, object prediction, object target, object grad,
                        object pos_weight, object reduction, object sample_weight, object n_threads):
    cdef Pass job = _new_pass(loss)
    cdef int how = checks.check_option(reduction, "reduction", _REDUCTIONS)
    cdef cnp.ndarray p = _predictions(&job, prediction, "prediction", -1)
    cdef cnp.ndarray t = _targets(&job, target, p, "prediction")
    cdef cnp.ndarray weights = _row_weights(&job, sample_weight, p, "prediction")
    cdef cnp.ndarray columns = _column_weights(&job, pos_weight, p, "prediction", "pos_weight")
    cdef object g = _gradients(&job, grad, "grad", p, "prediction",
                               ((t, "target"), (weights, "sample_weight"), (columns, "pos_weight")))
    cdef Py_ssize_t row, n_columns = job.n_columns
    cdef bint flat = False
    cdef double value = 0.0, divisor = 1.0
    job.factor = factor
    _refuse_empty_mean(&job, how, "prediction", p)
    if job.n_rows * n_columns == 0:
        return 0.0, g
    if weights is None and columns is None and job.prediction_stride == job.target_stride == n_columns:
        flat = job.grad == NULL or job.grad_stride == n_columns
    if flat:
        # one column of all elements, so that few long rows are cut into pieces, too
        job.n_rows, job.n_columns = job.n_rows * n_columns, 1
        job.prediction_stride = job.target_stride = job.grad_stride = 1
    if how == MEAN:
        divisor = <double> job.n_rows * job.n_columns
    elif how == WEIGHTED_MEAN:
        divisor = job.n_columns
    row = _run(&job, n_threads, how == WEIGHTED_MEAN, divisor, &value)
    if row >= 0:
        _refuse_weight(row, weights)
        _refuse_target(loss, row // n_columns if flat else row, p, t)
    return value, g


cdef int _refuse_target(int loss, Py_ssize_t row, object p, object t) except -1:
    targets = np.atleast_1d(t[row])
    good = np.isfinite(targets) if loss == SQUARED_ERROR else (targets >= 0) & (targets <= 1)
    if good.all():
        predictions = np.atleast_1d(p[row])
        name, column = "prediction", int(np.argmax((predictions < 0) | (predictions > 1)))
        got, wanted = predictions[column], "between 0 and 1 with from_logits=False"
    else:
        name, column = "target", int(np.argmin(good))
        got, wanted = targets[column], "finite" if loss == SQUARED_ERROR else "between 0 and 1"
    place = f"row {row}" if t.ndim == 1 else f"row {row}, column {column}"
    raise ValueError(f"{name} must be {wanted}, got {got} in {place}")


def mse_value_and_grad(
    prediction, target, grad=None, *, reduction="mean", sample_weight=None, n_threads=None
):
    """Squared error and its gradient, in one pass.

    value = (1/D) sum_ij s_i (p_ij - t_ij)^2,  grad_ij = (2/D) s_i (p_ij - t_ij)

    Parameters
    ----------
    prediction : ndarray of float32 or float64, shape (n_rows,) or (n_rows, n_columns)
        Contiguous rows.
    target : ndarray of the same shape and dtype
        Finite.
    grad : ndarray of the same shape and dtype, None or False
        Where the gradient is written; may be `prediction` itself.  None makes a new array; with False no
        gradient is computed.
    reduction : {'mean', 'sum', 'weighted_mean'}
        D is the number of elements (torch's mean, also with weights), 1, or n_columns * sum_i s_i.
    sample_weight : ndarray of the same dtype, shape (n_rows,), optional
        s_i; 1 if not given.  Finite, of either sign.
    n_threads : int, optional
        Threads to use; see :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    value : float
        Summed in float64.
    grad : ndarray
        The array of `grad`; None with ``grad=False``.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or layout, an overlap, a target or weight that is NaN or infinite, or a mean
        of no elements.  The contents of `grad` are then undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import mse_value_and_grad
    >>> mse_value_and_grad(np.array([1.0, 2.0]), np.array([0.0, 4.0]))
    (2.5, array([ 1., -2.]))

    Notes
    -----
    The definition is that of ``torch.nn.MSELoss``: without a factor 1/2.
    """
    return _elementwise(SQUARED_ERROR, 1.0, prediction, target, grad, None, reduction, sample_weight,
                        n_threads)


def half_squared_error_value_and_grad(
    prediction, target, grad=None, *, reduction="mean", sample_weight=None, n_threads=None
):
    """Half the squared error and its gradient, in one pass.

    value = (1/2D) sum_ij s_i (p_ij - t_ij)^2,  grad_ij = (1/D) s_i (p_ij - t_ij)

    Parameters, errors and threads are those of :func:`mse_value_and_grad`.

    Parameters
    ----------
    prediction : ndarray of float32 or float64, shape (n_rows,) or (n_rows, n_columns)
    target : ndarray of the same shape and dtype
    grad : ndarray of the same shape and dtype, None or False
    reduction : {'mean', 'sum', 'weighted_mean'}
    sample_weight : ndarray of the same dtype, shape (n_rows,), optional
    n_threads : int, optional

    Returns
    -------
    value : float
    grad : ndarray
        The array of `grad`; None with ``grad=False``.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import half_squared_error_value_and_grad
    >>> half_squared_error_value_and_grad(np.array([1.0, 2.0]), np.array([0.0, 4.0]), reduction="sum")
    (2.5, array([ 1., -2.]))

    Notes
    -----
    With ``reduction="mean"`` this is the squared loss of scikit-learn's MLPRegressor.
    """
    return _elementwise(SQUARED_ERROR, 0.5, prediction, target, grad, None, reduction, sample_weight,
                        n_threads)


def bce_value_and_grad(
    prediction, target, grad=None, *, from_logits=True, pos_weight=None, reduction="mean", sample_weight=None,
    n_threads=None,
):
    """Binary cross-entropy and its gradient, in one pass.

    From logits z:  l_ij = q_j t softplus(-z) + (1 - t) softplus(z),
    dl/dz = (1 - t) sigmoid(z) - q_j t sigmoid(-z).

    From probabilities p:  l_ij = -t max(log p, -100) - (1 - t) max(log(1 - p), -100),
    dl/dp = (p - t) / max(p (1 - p), 1e-12).

    value = (1/D) sum_ij s_i l_ij

    Logits are stable at any size, and confident right predictions keep their relative accuracy.

    Parameters
    ----------
    prediction : ndarray of float32 or float64, shape (n_rows,) or (n_rows, n_columns)
        Logits, or with ``from_logits=False`` probabilities between 0 and 1.  Contiguous rows.
    target : ndarray of the same shape and dtype
        Between 0 and 1.
    grad : ndarray of the same shape and dtype, None or False
        Where the gradient is written; may be `prediction` itself.  None makes a new array; with False no
        gradient is computed.
    from_logits : bool
        What `prediction` is.
    pos_weight : ndarray of the same dtype, shape (n_columns,), optional
        q_j, the weight of the positive term; shape (1,) for predictions of one dimension.  Finite, not
        negative; only with logits.
    reduction : {'mean', 'sum', 'weighted_mean'}
        D is the number of elements (torch's mean, also with weights), 1, or n_columns * sum_i s_i.
    sample_weight : ndarray of the same dtype, shape (n_rows,), optional
        s_i; 1 if not given.  Finite, of either sign.
    n_threads : int, optional
        Threads to use; see :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    value : float
        Summed in float64.
    grad : ndarray
        The array of `grad`; None with ``grad=False``.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or layout, an overlap, a target or probability outside 0 to 1, a weight that
        is not finite, or a mean of no elements.  The contents of `grad` are then undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import bce_value_and_grad
    >>> value, grad = bce_value_and_grad(np.array([0.0, 1e4]), np.array([1.0, 1.0]), reduction="sum")
    >>> round(value, 6), grad
    (0.693147, array([-0.5,  0. ]))

    Notes
    -----
    The definitions are those of ``torch.nn.BCEWithLogitsLoss`` and ``torch.nn.BCELoss``.
    """
    if not isinstance(from_logits, (bool, np.bool_)):
        raise TypeError(f"from_logits must be True or False, got {from_logits!r}")
    if pos_weight is not None and not from_logits:
        raise ValueError("pos_weight needs from_logits=True")
    return _elementwise(BCE_LOGITS if from_logits else BCE_PROBABILITIES, 1.0, prediction, target, grad,
                        pos_weight, reduction, sample_weight, n_threads)


# ---- softmax and cross-entropy ------------------------------------------------------------------------

cdef int64_t _label(object value, str name) except? -1:
    try:
        label = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not -2 ** 63 <= label < 2 ** 63:
        raise ValueError(f"{name} must fit int64, got {label}")
    return label


def cross_entropy_value_and_grad(
    logits, target, grad=None, *, class_weight=None, sample_weight=None, label_smoothing=0.0,
    ignore_index=-100, reduction="mean", n_threads=None,
):
    """Softmax cross-entropy and its gradient, in one pass.

    With log p_ic = z_ic - logsumexp(z_i) and smoothing e, a row's loss is

    - for labels y_i:  l_i = -(1 - e) w_y log p_iy - (e / C) sum_c w_c log p_ic, and 0 where
      y_i = ignore_index;
    - for probabilities t_ic:  l_i = -sum_c w_c ((1 - e) t_ic + e / C) log p_ic.

    value = (1/D) sum_i s_i l_i.  With a_ic = -(the factor of log p_ic), the gradient is
    (s_i / D) (p_ic sum_k a_ik - a_ic).

    Parameters
    ----------
    logits : ndarray of float32 or float64, shape (n_rows, n_classes)
        Contiguous rows.  Any size of logit is stable.  -inf is a class of probability 0 (and 0 log 0 is
        0); NaN and +inf make the row's loss NaN.
    target : ndarray of int64, shape (n_rows,), or of the dtype of logits, shape (n_rows, n_classes)
        Labels 0 .. n_classes - 1 (or ignore_index), or probabilities: finite and not negative; that they add
        up to 1 is not checked.
    grad : ndarray of the shape and dtype of logits, None or False
        Where the gradient is written; may be `logits` itself.  None makes a new array; with False no
        gradient is computed.
    class_weight : ndarray of the dtype of logits, shape (n_classes,), optional
        w_c; 1 if not given.  Finite, not negative.
    sample_weight : ndarray of the dtype of logits, shape (n_rows,), optional
        s_i; 1 if not given.  Finite, of either sign.
    label_smoothing : float
        e, between 0 and 1.
    ignore_index : int
        Rows with this label count nowhere and get a gradient of 0.  Not used with probabilities.
    reduction : {'mean', 'sum', 'weighted_mean'}
        D.  'sum': 1.  'mean', torch's: for labels sum_i s_i w_{y_i} over the rows not ignored, for
        probabilities n_rows.  'weighted_mean': the same for labels, and sum_i s_i sum_c w_c t_ic for
        probabilities, which is what one-hot rows need to agree with labels.
    n_threads : int, optional
        Threads to use; see :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    value : float
        Summed in float64.  NaN for a mean over rows that are all ignored, as in torch; the gradient is
        then 0.
    grad : ndarray
        The array of `grad`; None with ``grad=False``.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or layout, an overlap, a label out of range (named with its row), a
        probability that is negative or not finite, a weight that is not finite, or a mean of no rows.  The
        contents of `grad` are then undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import cross_entropy_value_and_grad
    >>> value, grad = cross_entropy_value_and_grad(np.array([[0.0, 0.0], [1e4, 0.0]]), np.array([0, 0]))
    >>> round(value, 6)
    0.346574
    >>> grad
    array([[-0.25,  0.25],
           [ 0.  ,  0.  ]])

    Notes
    -----
    The definitions are those of ``torch.nn.CrossEntropyLoss``.
    """
    cdef Pass job = _new_pass(CROSS_ENTROPY)
    cdef int how = checks.check_option(reduction, "reduction", _REDUCTIONS)
    cdef cnp.ndarray z = _predictions(&job, logits, "logits", 2)
    cdef cnp.ndarray t, weights, columns
    cdef Py_ssize_t row
    cdef double value = 0.0, divisor = 1.0
    if isinstance(target, np.ndarray) and target.ndim == 2:
        job.loss = CROSS_ENTROPY_SOFT
        t = _targets(&job, target, z, "logits")
    else:
        t = checks.int64_array(target, "target", 1)
        checks.check_shape(t, "target", job.n_rows)
        checks.check_contiguous(t, "target")
        job.labels = <const int64_t*> cnp.PyArray_DATA(t)
    weights = _row_weights(&job, sample_weight, z, "logits")
    columns = _column_weights(&job, class_weight, z, "logits", "class_weight")
    job.label_smoothing = checks.check_number(label_smoothing, "label_smoothing", 0.0)
    if job.label_smoothing > 1.0:
        raise ValueError(f"label_smoothing must be at most 1, got {label_smoothing!r}")
    job.ignore_index = _label(ignore_index, "ignore_index")
    g = _gradients(&job, grad, "grad", z, "logits",
                   ((t, "target"), (weights, "sample_weight"), (columns, "class_weight")))
    _refuse_empty_mean(&job, how, "logits", z)
    if job.n_rows == 0:
        return 0.0, g
    if job.n_columns == 0:
        raise ValueError(f"logits must have at least one class, got shape {(<object> z).shape}")

    if how == MEAN and job.loss == CROSS_ENTROPY_SOFT:
        divisor = job.n_rows
    else:
        job.classes_weigh = how != SUM
    row = _run(&job, n_threads, job.classes_weigh, divisor, &value)
    if row >= 0:
        _refuse_weight(row, weights)
        if job.loss == CROSS_ENTROPY:
            raise ValueError(
                f"target must be a label between 0 and {job.n_columns - 1}"
                f" (or ignore_index={job.ignore_index}), got {t[row]} in row {row}"
            )
        column = int(np.argmin(np.isfinite(t[row]) & (t[row] >= 0)))
        raise ValueError(
            f"target must be finite and not negative, got {t[row, column]} in row {row}, column {column}"
        )
    return value, g


def softmax(x, out=None, *, n_threads=None):
    """Softmax of each row: y_ic = exp(x_ic - max_k x_ik) / sum_k exp(x_ik - max_k x_ik).

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (n_rows, n_classes)
        Contiguous rows.  A row with NaN or +inf, or with -inf alone, gives NaN.
    out : ndarray of the shape and dtype of x, optional
        Where the result is written; may be `x` itself.
    n_threads : int, optional
        Threads to use; see :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or layout, or an overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import softmax
    >>> softmax(np.array([[0.0, 0.0], [1e4, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])

    Notes
    -----
    The definition is that of ``scipy.special.softmax(x, axis=1)``.
    """
    cdef Pass job = _new_pass(SOFTMAX)
    cdef double value = 0.0
    cdef cnp.ndarray z = _predictions(&job, x, "x", 2)
    if out is not None:
        out = checks.real_array_like(out, "out", 2, z, "x")
    y = _gradients(&job, out, "out", z, "x", ())
    if job.n_rows * job.n_columns > 0:
        _run(&job, n_threads, False, 1.0, &value)
    return y
