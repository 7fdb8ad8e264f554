"""Coordinate descent for least squares with an L1 and an L2 penalty.

Both functions minimise ||y - X w||^2 / 2 + l1 ||w||_1 + l2 ||w||^2 / 2: one from the columns of X, one from the Gram
matrix X^T X, for which a sweep costs nothing that depends on the rows of X.  A step along a coordinate adds a multiple
of a row of `matrix` to a residual: a column of X to y - X w, or a row of the Gram matrix to X^T (y - X w), which is
the gradient itself.  Nothing else tells the two apart.

Most coefficients are zero.  Sweeps go over a working set alone, the coefficients that are not zero and those whose
gradient would make them so; then residual and gradient are made afresh for all, and the set with them.  The part of
the Gram matrix that belongs to a small set is packed, so that a step costs the set's size.  Where columns are
correlated, sweeps go on for long in nearly the same direction: after each few of them their limit is extrapolated, and
taken if the objective is smaller there.

Each output is one thread's from the beginning to the end: the same bits for any number of threads.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport fabs, isfinite
from libc.stdint cimport int64_t, uint8_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fasttrain.kernels cimport checks
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    table,
    threads_for,
)

cnp.import_array()

__all__ = ["coordinate_descent", "coordinate_descent_gram"]

cdef enum:
    # a thread less than this many products of one sweep costs more than it gives
    _GRAIN_PRODUCTS = 1 << 15
    # the largest working set whose part of the Gram matrix is packed: 32 MB
    _MOST_PACKED = 2048
    # Packed rows start at a multiple of so many elements, at cache lines: vectors across two cost nearly twice as much.
    _ROW_ELEMENTS = 8
    # Sweeps over the working set in the time of making the gradient afresh, of which this many times as many
    # are allowed before the set is looked at again.
    _SWEEPS_PER_REFRESH = 5
    # sweeps from whose steps the limit is extrapolated
    _STEPS = 5

# A share of their sum that is added to the squared lengths of the steps, which are nearly parallel.
cdef double _STEADYING = 1e-12

# The limit is taken if twice the objective is smaller there by this share of ||y||^2: less may be rounding, and to
# follow that would keep the sweeps from their end.
cdef double _ROUNDING = 4e-15

# The working set is solved until its gap is this share of the gap of all coordinates.
cdef double _GAP_SHARE = 0.1


cdef struct _Problem:
    const double* matrix        # (n_features, length): the Gram matrix, or the columns of X
    const double* targets       # (n_outputs, length): X^T y, or y
    const double* squares       # (n_outputs,): ||y||^2
    const double* norms         # (n_features,): squared norms of the columns of X
    double* coef                # (n_outputs, n_features)
    double* gaps                # (n_outputs,)
    int64_t* n_iter             # (n_outputs,)
    uint8_t* converged          # (n_outputs,)
    double* memory              # (n_threads, thread_length)
    Py_ssize_t n_outputs
    Py_ssize_t n_features
    Py_ssize_t length
    Py_ssize_t most_packed
    Py_ssize_t thread_length
    Py_ssize_t max_iter
    double l1
    double l2
    double tol
    bint gram


# One output of it: what its thread works on.  A packed set has its residuals and its part of the Gram matrix by their
# positions in the set, with zeros after them to the end of a row.
cdef struct _Output:
    double* w                   # (n_features,)
    const double* target        # (length,)
    double* residual            # (length,)
    double* gradient            # (n_features,): X^T (y - X w); the residual itself with the Gram matrix
    Py_ssize_t* members         # (n_members,): the working set, in rising order
    Py_ssize_t n_members
    Py_ssize_t packed_length    # n_members and what fills the last cache line; 0 for a set that is not packed
    double* packed_residual     # (packed_length,)
    double* packed_matrix       # (n_members, packed_length)
    double* history             # (_STEPS + 1, n_features): the set's coefficients after each of the last sweeps
    double* kept                # (length,): a residual to go back to
    int n_history
    double square
    double change               # of the last sweep: the largest change of a coefficient,
    double largest              # and the largest coefficient


cdef inline double _dot(Py_ssize_t n, const double* x, const double* y) noexcept nogil:
    cdef double product
    table.f64.linear_predict(1, n, x, n, y, 0.0, &product)
    return product


cdef inline void _add(Py_ssize_t n, double factor, const double* x, double* y) noexcept nogil:
    table.f64.linear_gradient(1, n, x, n, &factor, y)


cdef inline Py_ssize_t _round_up(Py_ssize_t n) noexcept nogil:
    return (n + _ROW_ELEMENTS - 1) // _ROW_ELEMENTS * _ROW_ELEMENTS


cdef inline double _shrink(double x, double threshold) noexcept nogil:
    return x - threshold if x > threshold else x + threshold if x < -threshold else 0.0


# Residual and gradient of all coordinates, without what steps have left of rounding.
cdef void _refresh(const _Problem* s, _Output* o) noexcept nogil:
    cdef Py_ssize_t j
    memcpy(o.residual, o.target, s.length * sizeof(double))
    for j in range(s.n_features):
        if o.w[j] != 0.0:
            _add(s.length, -o.w[j], s.matrix + j * s.length, o.residual)
    if not s.gram:
        table.f64.linear_predict(s.n_features, s.length, s.matrix, s.length, o.residual, 0.0, o.gradient)


# The duality gap of all coordinates, or of the working set; coefficients outside of it are zero.  With h = X^T (y -
# X w) - l2 w it is the smaller of two bounds, each from a feasible point of a dual problem:
#     (1 - t)^2 (||y - X w||^2 + l2 ||w||^2) / 2 + sum of l1 |w| - t w h,             t = min(1, l1 / max |h|)
#     sum of l1 |w| - w (gradient - g) + (l2 w - g)^2 / (2 l2),                      g = gradient shrunk by l1
# Written so, as sums of what is zero at the minimum, they lose no digits to ||y||^2 there.
cdef double _gap(const _Problem* s, const _Output* o, bint of_all) noexcept nogil:
    cdef double gradient, w, h, share, square, most = 0.0, absolute = 0.0, product = 0.0, norm = 0.0
    cdef double first, second = 0.0
    cdef Py_ssize_t i, j
    if s.gram:
        square = o.square
    else:
        square = _dot(s.length, o.residual, o.residual)
    for i in range(s.n_features if of_all else o.n_members):
        j = i if of_all else o.members[i]
        w = o.w[j]
        gradient = o.gradient[j] if of_all or not o.packed_length else o.packed_residual[i]
        if s.gram:
            square -= w * (o.target[j] + gradient)
        h = gradient - s.l2 * w
        most = max(most, fabs(h))
        absolute += fabs(w)
        product += w * h
        norm += w * w
        if s.l2 > 0.0:
            h = _shrink(gradient, s.l1)
            second += s.l1 * fabs(w) - w * (gradient - h) + (s.l2 * w - h) ** 2 / (2.0 * s.l2)
    share = s.l1 / most if most > s.l1 else 1.0
    first = (1.0 - share) ** 2 * (max(square, 0.0) + s.l2 * norm) / 2.0 + (s.l1 * absolute - share * product)
    return min(first, second) if s.l2 > 0.0 else first


# The working set: coefficients that are not zero, or are to be so no longer.
cdef void _choose(const _Problem* s, _Output* o) noexcept nogil:
    cdef Py_ssize_t i, j, n = 0
    cdef bint same = True
    cdef double* row
    cdef const double* whole
    for j in range(s.n_features):
        if o.w[j] != 0.0 or fabs(o.gradient[j]) > s.l1:
            same = same and n < o.n_members and o.members[n] == j
            o.members[n] = j
            n += 1
    same = same and n == o.n_members
    o.n_members = n
    if n > s.most_packed:
        o.packed_length = 0
        return
    o.packed_length = _round_up(n)
    for i in range(o.packed_length):
        o.packed_residual[i] = o.residual[o.members[i]] if i < n else 0.0
    if same:
        return
    for i in range(n):
        row = o.packed_matrix + i * o.packed_length
        whole = s.matrix + o.members[i] * s.length
        for j in range(n):
            row[j] = whole[o.members[j]]
        for j in range(n, o.packed_length):
            row[j] = 0.0


# One step along each coordinate of the working set.
cdef void _sweep(const _Problem* s, _Output* o) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef double gradient, old, new
    o.change = o.largest = 0.0
    for i in range(o.n_members):
        j = o.members[i]
        if o.packed_length:
            gradient = o.packed_residual[i]
        elif s.gram:
            gradient = o.residual[j]
        else:
            gradient = _dot(s.length, s.matrix + j * s.length, o.residual)
        old = o.w[j]
        new = _shrink(gradient + s.norms[j] * old, s.l1) / (s.norms[j] + s.l2)
        if new != old:
            o.w[j] = new
            if o.packed_length:
                _add(o.packed_length, old - new, o.packed_matrix + i * o.packed_length, o.packed_residual)
            else:
                _add(s.length, old - new, s.matrix + j * s.length, o.residual)
            o.change = max(o.change, fabs(new - old))
        o.largest = max(o.largest, fabs(new))


# The gradient of the working set after steps along columns of X; with the Gram matrix it is up to date.
cdef void _look(const _Problem* s, _Output* o) noexcept nogil:
    cdef Py_ssize_t i
    if not s.gram:
        for i in range(o.n_members):
            o.gradient[o.members[i]] = _dot(s.length, s.matrix + o.members[i] * s.length, o.residual)


# Keep the set's coefficients as the next of the history.
cdef void _remember(const _Problem* s, _Output* o) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(o.n_members):
        o.history[o.n_history * s.n_features + i] = o.w[o.members[i]]
    o.n_history += 1


# Factors (_STEPS,) of sum 1 for which the combination of the last steps is shortest; false if there are none.
cdef bint _combine(const _Problem* s, const _Output* o, double* factors) noexcept nogil:
    cdef double products[_STEPS][_STEPS]
    cdef double ratio, total = 0.0
    cdef const double* first
    cdef const double* second
    cdef int a, b, c
    cdef Py_ssize_t i
    for a in range(_STEPS):
        for b in range(a + 1):
            first, second = o.history + a * s.n_features, o.history + b * s.n_features
            products[a][b] = 0.0
            for i in range(o.n_members):
                products[a][b] += (first[s.n_features + i] - first[i]) * (second[s.n_features + i] - second[i])
            products[b][a] = products[a][b]
        total += products[a][a]
    for a in range(_STEPS):
        products[a][a] += _STEADYING * total
        factors[a] = 1.0
    # elimination needs no other order where the matrix is positive definite
    for a in range(_STEPS):
        if not products[a][a] > 0.0:
            return False
        for b in range(a + 1, _STEPS):
            ratio = products[b][a] / products[a][a]
            for c in range(a, _STEPS):
                products[b][c] -= ratio * products[a][c]
            factors[b] -= ratio * factors[a]
    total = 0.0
    for a in range(_STEPS - 1, -1, -1):
        for b in range(a + 1, _STEPS):
            factors[a] -= products[a][b] * factors[b]
        factors[a] /= products[a][a]
        total += factors[a]
    for a in range(_STEPS):
        factors[a] /= total
    return isfinite(total) and total != 0.0


# Go to where the last sweeps lead, if the objective is smaller there.  The residual is moved by steps: a combination of
# the last ones, whose factors may be large, would have rounding errors that are taken for progress.
cdef void _extrapolate(const _Problem* s, _Output* o) noexcept nogil:
    cdef double factors[_STEPS]
    cdef double* residual = o.packed_residual if o.packed_length else o.residual
    cdef Py_ssize_t length = o.packed_length if o.packed_length else s.length
    cdef double* target = o.history     # in place of the first, which is no longer needed
    cdef double new, old, twice = 0.0
    cdef Py_ssize_t i, j, position
    cdef int a
    o.n_history = 0
    if _combine(s, o, factors):
        memcpy(o.kept, residual, length * sizeof(double))
        for i in range(o.n_members):
            j = o.members[i]
            old, new = o.w[j], 0.0
            for a in range(_STEPS):
                new += factors[a] * o.history[(a + 1) * s.n_features + i]
            target[i] = new
            if new != old:
                if o.packed_length:
                    _add(length, old - new, o.packed_matrix + i * length, residual)
                else:
                    _add(length, old - new, s.matrix + j * length, residual)
                twice += 2.0 * s.l1 * (fabs(new) - fabs(old)) + s.l2 * (new - old) * (new + old)
        # the change of ||y - X w||^2, without the difference of two of them
        if s.gram:
            for i in range(o.n_members):
                position = i if o.packed_length else o.members[i]
                twice -= (target[i] - o.w[o.members[i]]) * (o.kept[position] + residual[position])
        else:
            for i in range(length):
                twice -= (o.kept[i] - residual[i]) * (o.kept[i] + residual[i])
        if twice < -_ROUNDING * o.square:
            for i in range(o.n_members):
                o.w[o.members[i]] = target[i]
        else:
            memcpy(residual, o.kept, length * sizeof(double))
    _remember(s, o)


cdef void _solve(const _Problem* s, Py_ssize_t output, _Output* o) noexcept nogil:
    cdef Py_ssize_t j, n_iter = 0, sweeps, most
    cdef double gap, inner, enough
    cdef bint settled = True, fixed = False
    o.w = s.coef + output * s.n_features
    o.target = s.targets + output * s.length
    o.square = s.squares[output]
    o.n_members = 0
    enough = s.tol * o.square
    for j in range(s.n_features):
        if s.norms[j] == 0.0:
            o.w[j] = 0.0
    while True:
        _refresh(s, o)
        gap = _gap(s, o, True)
        if fixed or (gap <= enough and settled) or n_iter == s.max_iter:
            break
        _choose(s, o)
        o.n_history = 0
        _remember(s, o)
        most = _SWEEPS_PER_REFRESH * (1 + s.n_features // max(1, o.n_members))
        for sweeps in range(1, min(most, s.max_iter - n_iter) + 1):
            n_iter += 1
            _sweep(s, o)
            settled = o.change <= s.tol * o.largest
            # nothing moves although all that should was tried: what is left of the gap is rounding
            fixed = sweeps == 1 and o.change == 0.0
            _remember(s, o)
            # the gradient of all columns costs as much as a sweep
            if not (s.gram or settled or o.n_history > _STEPS):
                continue
            _look(s, o)
            inner = _gap(s, o, False)
            if inner <= enough:
                if settled:
                    break
            elif inner <= _GAP_SHARE * gap or o.change == 0.0:
                break
            if o.n_history > _STEPS:
                _extrapolate(s, o)
    s.gaps[output] = gap
    s.n_iter[output] = n_iter
    s.converged[output] = fixed or (gap <= enough and settled)


cdef void _member(const _Problem* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t output = ft_crew_take(crew, thread, 0, s.n_outputs)
    cdef double* memory = s.memory + thread * s.thread_length
    cdef _Output o
    o.residual = memory
    memory += _round_up(s.length)
    o.gradient = o.residual
    if not s.gram:
        o.gradient = memory
        memory += _round_up(s.n_features)
    o.members = <Py_ssize_t*> memory
    memory += _round_up(s.n_features)
    o.history = memory
    memory += _round_up((_STEPS + 1) * s.n_features)
    o.kept = memory
    memory += _round_up(max(s.length, _ROW_ELEMENTS))
    o.packed_residual = memory
    o.packed_matrix = memory + _round_up(s.most_packed)
    while output >= 0:
        _solve(s, output, &o)
        output = ft_crew_take(crew, thread, 0, s.n_outputs)
    ft_crew_leave(crew, thread)


cdef cnp.ndarray _doubles(object value, str name, int ndim):
    cdef cnp.ndarray array = checks.real_array(value, name, ndim)
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT64:
        raise TypeError(f"{name} must have dtype float64, got float32; {name}.astype(numpy.float64) converts")
    checks.check_contiguous(array, name)
    return array


cdef tuple _descend(
    cnp.ndarray matrix, str matrix_name, cnp.ndarray targets, str targets_name, object squares, object norms,
    object coef, object l1, object l2, object tol, object max_iter, object n_threads, bint gram,
):
    cdef cnp.ndarray coef_array = _doubles(coef, "coef", 2), gaps, n_iter, converged
    cdef cnp.ndarray squares_array = squares, norms_array = norms
    cdef _Problem s
    cdef ft_crew crew
    cdef void* memory
    cdef int threads
    s.gram = gram
    s.n_features, s.length = cnp.PyArray_DIM(matrix, 0), cnp.PyArray_DIM(matrix, 1)
    s.n_outputs = cnp.PyArray_DIM(targets, 0)
    checks.check_shape(targets, targets_name, s.n_outputs, s.length)
    checks.check_shape(coef_array, "coef", s.n_outputs, s.n_features)
    checks.check_writeable(coef_array, "coef")
    checks.check_disjoint(coef_array, "coef", matrix, matrix_name)
    checks.check_disjoint(coef_array, "coef", targets, targets_name)
    s.l1, s.l2 = checks.check_number(l1, "l1", 0.0), checks.check_number(l2, "l2", 0.0)
    if s.l1 == 0.0 and s.l2 == 0.0:
        raise ValueError("l1 and l2 must not both be 0: without a penalty there is no duality gap")
    s.tol = checks.check_number(tol, "tol", 0.0)
    s.max_iter = checks.check_integer(max_iter, "max_iter", 0, 2**53)
    for value, name in ((norms, matrix_name), (squares, targets_name), (coef, "coef")):
        if not np.isfinite(value).all():
            raise ValueError(f"{name} must be finite, and its squares too")
    gaps = np.empty(s.n_outputs)
    n_iter = np.empty(s.n_outputs, dtype=np.int64)
    converged = np.empty(s.n_outputs, dtype=np.bool_)
    threads = threads_for(n_threads, <double> s.n_outputs * s.n_features * s.length, _GRAIN_PRODUCTS)
    threads = <int> max(1, min(threads, s.n_outputs))
    s.most_packed = min(s.n_features // 2, <Py_ssize_t> _MOST_PACKED) if gram else 0
    s.thread_length = (
        _round_up(s.length) + _round_up(max(s.length, _ROW_ELEMENTS)) + 2 * _round_up(s.n_features)
        + _round_up((_STEPS + 1) * s.n_features) + _round_up(s.most_packed) * (1 + s.most_packed)
    )
    memory = malloc((threads * s.thread_length + _ROW_ELEMENTS) * sizeof(double))
    if memory == NULL:
        raise MemoryError("no memory for the residuals and the working sets of coordinate descent")
    s.memory = <double*> ((<uintptr_t> memory + 63) // 64 * 64)
    s.matrix, s.targets = <const double*> cnp.PyArray_DATA(matrix), <const double*> cnp.PyArray_DATA(targets)
    s.squares, s.norms = <double*> cnp.PyArray_DATA(squares_array), <double*> cnp.PyArray_DATA(norms_array)
    s.coef, s.gaps = <double*> cnp.PyArray_DATA(coef_array), <double*> cnp.PyArray_DATA(gaps)
    s.n_iter, s.converged = <int64_t*> cnp.PyArray_DATA(n_iter), <uint8_t*> cnp.PyArray_DATA(converged)
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _member(&s, &crew)
        else:
            with parallel(num_threads=threads):
                _member(&s, &crew)
        free(memory)
    return gaps, n_iter, converged


def coordinate_descent(columns, targets, coef, *, l1, l2=0.0, tol=1e-4, max_iter=1000, n_threads=None):
    """Least squares with an L1 and an L2 penalty, from the columns of X.

    Minimises for each output, a row of ``targets`` and of ``coef``, in place and from the coefficients given::

        ||y - X w||^2 / 2  +  l1 ||w||_1  +  l2 ||w||^2 / 2

    A sweep takes the coordinates of a working set in rising order, and sets each to the minimum along it; after some
    sweeps their limit is extrapolated, and taken if the objective is smaller there.  The end is
    reached when a sweep moves no coefficient by more than ``tol`` times the largest one, and the duality gap, which is
    no less than what the objective is above its minimum, is at most ``tol ||y||^2``.

    Parameters
    ----------
    columns : float64 ndarray of shape (n_features, n_rows)
        The transpose of X, C-contiguous.
    targets : float64 ndarray of shape (n_outputs, n_rows)
        C-contiguous.
    coef : float64 ndarray of shape (n_outputs, n_features)
        C-contiguous; updated.
    l1, l2 : float
        Not negative, and not both 0.
    tol : float, default 1e-4
        Not negative.
    max_iter : int, default 1000
        Sweeps at most, of each output.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  Outputs are shared out; the bits are the same for any number.

    Returns
    -------
    gap : float64 ndarray of shape (n_outputs,)
        The duality gap at the end.
    n_iter : int64 ndarray of shape (n_outputs,)
        Sweeps.
    converged : bool ndarray of shape (n_outputs,)
        Whether the end was reached, or nothing moved any more, before sweep ``max_iter`` was over.

    Raises
    ------
    TypeError
        An argument is not a float64 ndarray or not a number.
    ValueError
        Another shape or layout; values or their squares that are not finite; a number out of range; ``coef`` is
        read-only or overlaps an input.

    Notes
    -----
    The steps are those of Friedman, Hastie and Tibshirani (2010), "Regularization paths for generalized linear
    models via coordinate descent"; the extrapolation is that of Bertrand and Massias (2021), "Anderson acceleration of
    coordinate descent".  The gap is the smaller one of two formulations, of Fercoq, Gramfort and Salmon (2015), "Mind
    the duality gap", and of Dünner et al. (2016), "Primal-dual rates and certificates".

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import coordinate_descent
    >>> coef = np.zeros((1, 2))
    >>> gap, n_iter, converged = coordinate_descent(np.eye(2), np.array([[3.0, -0.5]]), coef, l1=1.0)
    >>> coef.tolist(), converged.tolist()
    ([[2.0, 0.0]], [True])
    """
    matrix, right = _doubles(columns, "columns", 2), _doubles(targets, "targets", 2)
    return _descend(
        matrix, "columns", right, "targets", np.einsum("ij,ij->i", right, right),
        np.einsum("ij,ij->i", matrix, matrix), coef, l1, l2, tol, max_iter, n_threads, False,
    )


def coordinate_descent_gram(
    gram, moments, squares, coef, *, l1, l2=0.0, tol=1e-4, max_iter=1000, n_threads=None
):
    """Least squares with an L1 and an L2 penalty, from the Gram matrix of X.

    What :func:`coordinate_descent` does, at a cost that does not depend on the rows of X, and with the digits that
    the squares of X have left.

    Parameters
    ----------
    gram : float64 ndarray of shape (n_features, n_features)
        ``X.T @ X``, C-contiguous.  That it is symmetric is not checked.
    moments : float64 ndarray of shape (n_outputs, n_features)
        ``y @ X`` of each output, C-contiguous.
    squares : float64 ndarray of shape (n_outputs,)
        ``y @ y`` of each output.
    coef : float64 ndarray of shape (n_outputs, n_features)
        C-contiguous; updated.
    l1, l2 : float
        Not negative, and not both 0.
    tol : float, default 1e-4
        Not negative.
    max_iter : int, default 1000
        Sweeps at most, of each output.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  Outputs are shared out; the bits are the same for any number.

    Returns
    -------
    gap : float64 ndarray of shape (n_outputs,)
        The duality gap at the end.
    n_iter : int64 ndarray of shape (n_outputs,)
        Sweeps.
    converged : bool ndarray of shape (n_outputs,)
        Whether the end was reached, or nothing moved any more, before sweep ``max_iter`` was over.

    Raises
    ------
    TypeError
        An argument is not a float64 ndarray or not a number.
    ValueError
        Another shape or layout; values that are not finite; a number out of range; ``coef`` is read-only or
        overlaps an input.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import coordinate_descent_gram
    >>> X, y = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([3.0, 2.0])
    >>> coef = np.zeros((1, 2))
    >>> gap, n_iter, converged = coordinate_descent_gram(X.T @ X, (y @ X)[None], y[None] @ y, coef, l1=1.0)
    >>> coef.tolist(), converged.tolist()
    ([[2.0, 0.0]], [True])
    """
    matrix, right, total = _doubles(gram, "gram", 2), _doubles(moments, "moments", 2), _doubles(squares, "squares", 1)
    checks.check_shape(matrix, "gram", -1, matrix.shape[0])
    checks.check_shape(total, "squares", right.shape[0])
    return _descend(
        matrix, "gram", right, "moments", total, matrix.diagonal().copy(), coef, l1, l2, tol, max_iter, n_threads,
        True,
    )
