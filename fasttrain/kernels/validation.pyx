"""What an array holds, told in one pass over it."""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport isfinite
from libc.stdlib cimport free, malloc
from libc.string cimport memchr

from fasttrain.kernels.checks cimport check_contiguous, real_array, row_stride
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

# Bytes that pay for one more thread, and those of a piece.
cdef double GRAIN = 1 << 20
cdef Py_ssize_t PIECE_BYTES = 1 << 18


# The array as runs of adjacent elements: (n_runs, length), or one run that pieces cut.
ctypedef struct Search:
    Py_ssize_t n_runs, length, stride     # from run to run, in elements
    Py_ssize_t piece_runs, piece_length, n_pieces
    int item                              # bytes of an element: 4 or 8
    const char* data
    char* bad                             # (n_pieces,): a piece holds what is not finite


cdef bint _is_finite(int item, Py_ssize_t n, const char* run) noexcept nogil:
    # A sum of squares is finite where all elements are, unless they are huge; so the slow look is rare.
    cdef const float* single = <const float*> run
    cdef const double* wide = <const double*> run
    cdef Py_ssize_t i
    if isfinite(table.f32.sum_squares(n, single) if item == 4 else table.f64.sum_squares(n, wide)):
        return True
    for i in range(n):
        if not (isfinite(single[i]) if item == 4 else isfinite(wide[i])):
            return False
    return True


cdef bint _piece_is_finite(const Search* s, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t begin = piece * s.piece_length, run = piece * s.piece_runs
    if s.n_runs == 1:
        return _is_finite(s.item, min(s.length - begin, s.piece_length), s.data + begin * s.item)
    for run in range(run, min(run + s.piece_runs, s.n_runs)):
        if not _is_finite(s.item, s.length, s.data + run * s.stride * s.item):
            return False
    return True


cdef void _member(const Search* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    while piece >= 0:
        s.bad[piece] = not _piece_is_finite(s, piece)
        piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    ft_crew_leave(crew, thread)


def all_finite(x, *, n_threads=None):
    """Whether no element is NaN or infinite, in one pass and without a temporary.

    The same as ``numpy.isfinite(x).all()``.

    Parameters
    ----------
    x : ndarray of float32 or float64
        C-contiguous, of any shape, or 2-D with contiguous rows at any distance.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.

    Returns
    -------
    bool
        True for an array without elements.

    Raises
    ------
    TypeError
        ``x`` is not an ndarray of these dtypes.
    ValueError
        Another layout.

    Notes
    -----
    Reads at the speed of memory: a sum of squares over each piece tells nearly all there is; only a piece where it
    is not finite is looked at element by element.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import all_finite
    >>> all_finite(np.array([1.0, 1e300])), all_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    cdef cnp.ndarray array = real_array(x, "x", -1)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(array)
    cdef Search s
    cdef ft_crew crew
    cdef int threads = threads_for(n_threads, <double> cnp.PyArray_NBYTES(array), GRAIN)
    s.item, s.data = cnp.PyArray_ITEMSIZE(array), <const char*> cnp.PyArray_DATA(array)
    s.n_runs, s.length, s.stride = 1, size, size
    if cnp.PyArray_NDIM(array) != 2:
        check_contiguous(array, "x")
    elif not cnp.PyArray_IS_C_CONTIGUOUS(array):
        s.stride = row_stride(array, "x")
        s.n_runs, s.length = cnp.PyArray_DIM(array, 0), cnp.PyArray_DIM(array, 1)
    if size == 0:
        return True
    s.piece_length = PIECE_BYTES // s.item
    s.piece_runs = max(s.piece_length // s.length, <Py_ssize_t> 1)
    s.n_pieces = (
        (s.length - 1) // s.piece_length + 1 if s.n_runs == 1 else (s.n_runs - 1) // s.piece_runs + 1
    )
    s.bad = <char*> malloc(s.n_pieces)
    if s.bad == NULL:
        raise MemoryError(f"no memory for the findings of {s.n_pieces} pieces")
    with nogil:
        ft_crew_start(&crew, threads)
        if threads == 1:
            _member(&s, &crew)
        else:
            with parallel(num_threads=threads):
                _member(&s, &crew)
    found = memchr(s.bad, 1, s.n_pieces) != NULL
    free(s.bad)
    return not found
