"""Elementary functions and activations, elementwise: at most 2 ULP from the exact value for the former.

Layers: the public functions check their arrays and hand over; ``_math``, ``_forward`` and ``_backward`` cut
the work into pieces of fixed size, so that every element's bits are the same for any number of threads;
the vector code is in ``simd/vector_math.h`` and ``simd/activation.h``.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_disjoint,
    check_option,
    check_shape,
    check_writeable,
    real_array,
    real_array_like,
    row_stride,
)
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    table,
    threads_for,
)
from fasttrain.kernels.table cimport (
    FT_MATH_ERF,
    FT_MATH_ERFC,
    FT_MATH_EXP,
    FT_MATH_EXPM1,
    FT_MATH_LOG,
    FT_MATH_LOG1P,
    FT_MATH_SIGMOID,
    FT_MATH_TANH,
)

cnp.import_array()

ctypedef fused real:
    float
    double

# Names of the activations, in the order of the enumeration in table.h.
ACTIVATIONS = ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "elu")

# Elements of a piece: 10 microseconds or more of the cheapest function, against 2 to 5 for starting threads.
cdef Py_ssize_t PIECE = 32768


cdef void _math_member(int function, Py_ssize_t n, const real* x, real* y, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t begin, n_pieces = (n + PIECE - 1) // PIECE
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        begin = piece * PIECE
        if real is float:
            table.f32.math[function](min(PIECE, n - begin), x + begin, y + begin)
        else:
            table.f64.math[function](min(PIECE, n - begin), x + begin, y + begin)
        piece = ft_crew_take(crew, thread, 0, n_pieces)
    ft_crew_leave(crew, thread)


cdef void _math(int function, Py_ssize_t n, const real* x, real* y, int n_threads) noexcept nogil:
    cdef ft_crew crew
    ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _math_member(function, n, x, y, &crew)
    else:
        with parallel(num_threads=n_threads):
            _math_member(function, n, x, y, &crew)


cdef object _apply(int function, object x_object, object out_object, object n_threads):
    cdef cnp.ndarray x = real_array(x_object, "x", -1)
    cdef cnp.ndarray out
    check_contiguous(x, "x")
    if out_object is None:
        out = np.empty((<object> x).shape, (<object> x).dtype)
    else:
        out = real_array_like(out_object, "out", -1, x, "x")
        if (<object> out).shape != (<object> x).shape:
            raise ValueError(
                f"out must have the shape of x, {(<object> x).shape}, got {(<object> out).shape}"
            )
        check_contiguous(out, "out")
        check_writeable(out, "out")
        if cnp.PyArray_DATA(out) != cnp.PyArray_DATA(x):
            check_disjoint(out, "out", x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef int threads = threads_for(n_threads, n, PIECE)
    cdef void* from_memory = cnp.PyArray_DATA(x)
    cdef void* to_memory = cnp.PyArray_DATA(out)
    cdef bint is_float = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32
    with nogil:
        if is_float:
            _math(function, n, <const float*> from_memory, <float*> to_memory, threads)
        else:
            _math(function, n, <const double*> from_memory, <double*> to_memory, threads)
    return out


def exp(x, out=None, *, n_threads=None):
    """Exponential function e^x, elementwise, with an error of at most 2 ULP.

    Overflow gives infinity, and results below the normal numbers are rounded to subnormal ones.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape, C-contiguous
    out : ndarray of x's shape and dtype, C-contiguous, optional
        Where to put the result; x itself is allowed, any other overlap is not.
    n_threads : int, optional
        Number of threads; the bits of the result do not depend on it.

    Returns
    -------
    ndarray
        `out`, or a new array of x's shape and dtype.

    Raises
    ------
    TypeError
        x or out is not an array, or of another dtype.
    ValueError
        x or out is not contiguous; out has another shape, is read-only or overlaps x.

    Notes
    -----
    x = n ln 2 + r, e^x = 2^n e^r, e^r by a minimax polynomial for \\|r\\| <= ln(2)/2.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import exp
    >>> exp(np.array([-np.inf, 0.0, 1.0]))
    array([0.        , 1.        , 2.71828183])
    """
    return _apply(FT_MATH_EXP, x, out, n_threads)


def expm1(x, out=None, *, n_threads=None):
    """Exponential function less one, e^x - 1, elementwise: at most 2 ULP, near 0 as well.

    Parameters, errors and threads are those of `exp`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import expm1
    >>> expm1(np.array([-1e-20, 0.0, 1.0]))
    array([-1.00000000e-20,  0.00000000e+00,  1.71828183e+00])
    """
    return _apply(FT_MATH_EXPM1, x, out, n_threads)


def log(x, out=None, *, n_threads=None):
    """Natural logarithm, elementwise, at most 2 ULP; -infinity at 0 and NaN below, without a warning.

    Parameters, errors and threads are those of `exp`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import log
    >>> log(np.array([0.0, 1.0, 10.0]))
    array([      -inf, 0.        , 2.30258509])
    """
    return _apply(FT_MATH_LOG, x, out, n_threads)


def log1p(x, out=None, *, n_threads=None):
    """Natural logarithm of 1 + x, elementwise: at most 2 ULP, near 0 as well; -infinity at -1, NaN below.

    Parameters, errors and threads are those of `exp`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import log1p
    >>> log1p(np.array([-1.0, 1e-20, 1.0]))
    array([          -inf, 1.00000000e-20, 6.93147181e-01])
    """
    return _apply(FT_MATH_LOG1P, x, out, n_threads)


def tanh(x, out=None, *, n_threads=None):
    """Hyperbolic tangent, elementwise, at most 2 ULP.

    Parameters, errors and threads are those of `exp`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import tanh
    >>> tanh(np.array([-np.inf, 0.0, 0.5]))
    array([-1.        ,  0.        ,  0.46211716])
    """
    return _apply(FT_MATH_TANH, x, out, n_threads)


def sigmoid(x, out=None, *, n_threads=None):
    """Logistic function 1 / (1 + e^-x), elementwise: at most 2 ULP, in the lower tail as well.

    Parameters, errors and threads are those of `exp`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import sigmoid
    >>> sigmoid(np.array([-1000.0, -1.0, 0.0]))
    array([0.        , 0.26894142, 0.5       ])
    """
    return _apply(FT_MATH_SIGMOID, x, out, n_threads)


def erf(x, out=None, *, n_threads=None):
    """Error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x, elementwise, at most 2 ULP.

    Parameters, errors and threads are those of `exp`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import erf
    >>> erf(np.array([-1.0, 0.0, 0.5]))
    array([-0.84270079,  0.        ,  0.52049988])
    """
    return _apply(FT_MATH_ERF, x, out, n_threads)


def erfc(x, out=None, *, n_threads=None):
    """Complement of the error function, 1 - erf(x), elementwise: at most 2 ULP, in the upper tail as well.

    Parameters, errors and threads are those of `exp`.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import erfc
    >>> erfc(np.array([-np.inf, 0.0, 1.0]))
    array([2.        , 1.        , 0.15729921])
    """
    return _apply(FT_MATH_ERFC, x, out, n_threads)


# ---- activations -----------------------------------------------------------------------------------

cdef void _forward_member(
    int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, Py_ssize_t rows_of_piece,
    const real* z, Py_ssize_t z_row_stride,  # (n_rows, n_columns)
    real* y, Py_ssize_t y_row_stride,  # (n_rows, n_columns)
    ft_crew* crew,
) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t row, rows, n_pieces = (n_rows + rows_of_piece - 1) // rows_of_piece
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        row = piece * rows_of_piece
        rows = min(rows_of_piece, n_rows - row)
        if real is float:
            table.f32.activation_forward(
                activation, rows, n_columns, z + row * z_row_stride, z_row_stride,
                y + row * y_row_stride, y_row_stride,
            )
        else:
            table.f64.activation_forward(
                activation, rows, n_columns, z + row * z_row_stride, z_row_stride,
                y + row * y_row_stride, y_row_stride,
            )
        piece = ft_crew_take(crew, thread, 0, n_pieces)
    ft_crew_leave(crew, thread)


cdef void _forward(
    int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, Py_ssize_t rows_of_piece,
    const real* z, Py_ssize_t z_row_stride,  # (n_rows, n_columns)
    real* y, Py_ssize_t y_row_stride,  # (n_rows, n_columns)
    int n_threads,
) noexcept nogil:
    cdef ft_crew crew
    ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _forward_member(
            activation, n_rows, n_columns, rows_of_piece, z, z_row_stride, y, y_row_stride, &crew,
        )
    else:
        with parallel(num_threads=n_threads):
            _forward_member(
                activation, n_rows, n_columns, rows_of_piece, z, z_row_stride, y, y_row_stride, &crew,
            )


cdef void _backward_member(
    int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, Py_ssize_t rows_of_piece,
    const real* grad, Py_ssize_t grad_row_stride,  # (n_rows, n_columns)
    const real* saved, Py_ssize_t saved_row_stride,  # (n_rows, n_columns)
    real* delta, Py_ssize_t delta_row_stride,  # (n_rows, n_columns)
    ft_crew* crew,
) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t row, rows, n_pieces = (n_rows + rows_of_piece - 1) // rows_of_piece
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        row = piece * rows_of_piece
        rows = min(rows_of_piece, n_rows - row)
        if real is float:
            table.f32.activation_backward(
                activation, rows, n_columns, grad + row * grad_row_stride, grad_row_stride,
                saved + row * saved_row_stride, saved_row_stride,
                delta + row * delta_row_stride, delta_row_stride,
            )
        else:
            table.f64.activation_backward(
                activation, rows, n_columns, grad + row * grad_row_stride, grad_row_stride,
                saved + row * saved_row_stride, saved_row_stride,
                delta + row * delta_row_stride, delta_row_stride,
            )
        piece = ft_crew_take(crew, thread, 0, n_pieces)
    ft_crew_leave(crew, thread)


cdef void _backward(
    int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, Py_ssize_t rows_of_piece,
    const real* grad, Py_ssize_t grad_row_stride,  # (n_rows, n_columns)
    const real* saved, Py_ssize_t saved_row_stride,  # (n_rows, n_columns)
    real* delta, Py_ssize_t delta_row_stride,  # (n_rows, n_columns)
    int n_threads,
) noexcept nogil:
    cdef ft_crew crew
    ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _backward_member(
            activation, n_rows, n_columns, rows_of_piece, grad, grad_row_stride, saved, saved_row_stride,
            delta, delta_row_stride, &crew,
        )
    else:
        with parallel(num_threads=n_threads):
            _backward_member(
                activation, n_rows, n_columns, rows_of_piece, grad, grad_row_stride, saved, saved_row_stride,
                delta, delta_row_stride, &crew,
            )


# The output: `out_object` after its checks, or a new array.  It may be `source` itself, element upon element.
cdef cnp.ndarray _output(object out_object, cnp.ndarray source, str source_name):
    cdef Py_ssize_t n_rows = cnp.PyArray_DIM(source, 0), n_columns = cnp.PyArray_DIM(source, 1)
    if out_object is None:
        return np.empty((n_rows, n_columns), (<object> source).dtype)
    cdef cnp.ndarray out = real_array_like(out_object, "out", 2, source, source_name)
    check_shape(out, "out", n_rows, n_columns)
    check_writeable(out, "out")
    if (
        cnp.PyArray_DATA(out) != cnp.PyArray_DATA(source)
        or row_stride(out, "out") != row_stride(source, source_name)
    ):
        check_disjoint(out, "out", source, source_name)
    return out


def activation_forward(z, out=None, *, activation, n_threads=None):
    """Apply an activation y = f(z) to each element.

    ============  ==========================================  =========
    activation    f(z)                                        backward
    ============  ==========================================  =========
    identity      z                                           y
    relu          max(z, 0)                                   y
    leaky_relu    z for z > 0, else 0.01 z                    y
    tanh          tanh(z)                                     y
    sigmoid       1 / (1 + e^-z)                              y
    gelu          z Phi(z) = z erfc(-z / sqrt 2) / 2          z
    silu          z / (1 + e^-z)                              z
    softplus      log(1 + e^z)                                y
    elu           z for z > 0, else e^z - 1                   y
    ============  ==========================================  =========

    The last column is what `activation_backward` takes as `saved`.  NaN gives NaN.

    Parameters
    ----------
    z : ndarray of float32 or float64, (n_rows, n_columns), contiguous rows
    out : ndarray of z's shape and dtype, contiguous rows, optional
        Where to put y; z itself is allowed, any other overlap is not.
    activation : str
    n_threads : int, optional
        Number of threads; the bits of the result do not depend on it.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        z or out is not an array, or of another dtype.
    ValueError
        An unknown activation; rows that are not contiguous; out of another shape, read-only or overlapping.

    Notes
    -----
    gelu is the exact one of Hendrycks and Gimpel, 2016, without the approximation by tanh; names and
    defaults are those of torch.nn.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import activation_forward
    >>> activation_forward(np.array([[-1.0, 0.0, 2.0]]), activation="leaky_relu")
    array([[-0.01,  0.  ,  2.  ]])
    """
    cdef cnp.ndarray z_array = real_array(z, "z", 2)
    cdef int kind = check_option(activation, "activation", ACTIVATIONS)
    cdef Py_ssize_t z_row_stride = row_stride(z_array, "z")
    cdef cnp.ndarray y_array = _output(out, z_array, "z")
    cdef Py_ssize_t y_row_stride = row_stride(y_array, "out")
    cdef Py_ssize_t n_rows = cnp.PyArray_DIM(z_array, 0), n_columns = cnp.PyArray_DIM(z_array, 1)
    cdef int threads = threads_for(n_threads, <double> n_rows * n_columns, PIECE)
    cdef Py_ssize_t rows_of_piece
    cdef void* z_memory = cnp.PyArray_DATA(z_array)
    cdef void* y_memory = cnp.PyArray_DATA(y_array)
    cdef bint is_float = cnp.PyArray_TYPE(z_array) == cnp.NPY_FLOAT32
    if z_row_stride == n_columns and y_row_stride == n_columns:
        # one column as long as all of it: pieces need not end with a row
        n_rows, n_columns, z_row_stride, y_row_stride = n_rows * n_columns, 1, 1, 1
    rows_of_piece = max(1, PIECE // max(1, n_columns))
    with nogil:
        if is_float:
            _forward(
                kind, n_rows, n_columns, rows_of_piece, <const float*> z_memory, z_row_stride,
                <float*> y_memory, y_row_stride, threads,
            )
        else:
            _forward(
                kind, n_rows, n_columns, rows_of_piece, <const double*> z_memory, z_row_stride,
                <double*> y_memory, y_row_stride, threads,
            )
    return y_array


def activation_backward(grad_output, saved, out=None, *, activation, n_threads=None):
    """Gradient with respect to z of an activation y = f(z): grad_output f'(z), elementwise.

    f' at a kink is what torch takes: 0 for relu, the slope 0.01 for leaky_relu.

    Parameters
    ----------
    grad_output : ndarray of float32 or float64, (n_rows, n_columns), contiguous rows
        Gradient with respect to y.
    saved : ndarray of the same shape and dtype, contiguous rows
        z for gelu and silu, y for all others (see `activation_forward`).
    out : ndarray of the same shape and dtype, contiguous rows, optional
        Where to put the gradient (overwritten); grad_output itself is allowed, any other overlap is not.
    activation : str
    n_threads : int, optional
        Number of threads; the bits of the result do not depend on it.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        An argument is not an array, or of another dtype.
    ValueError
        An unknown activation; rows that are not contiguous; another shape; out read-only or overlapping.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import activation_backward
    >>> y = np.array([[0.0, 3.0]])
    >>> activation_backward(np.array([[5.0, 5.0]]), y, activation="relu")
    array([[0., 5.]])
    """
    cdef cnp.ndarray grad_array = real_array(grad_output, "grad_output", 2)
    cdef cnp.ndarray saved_array = real_array_like(saved, "saved", 2, grad_array, "grad_output")
    cdef int kind = check_option(activation, "activation", ACTIVATIONS)
    cdef Py_ssize_t n_rows = cnp.PyArray_DIM(grad_array, 0), n_columns = cnp.PyArray_DIM(grad_array, 1)
    check_shape(saved_array, "saved", n_rows, n_columns)
    cdef Py_ssize_t grad_row_stride = row_stride(grad_array, "grad_output")
    cdef Py_ssize_t saved_row_stride = row_stride(saved_array, "saved")
    cdef cnp.ndarray delta_array = _output(out, grad_array, "grad_output")
    cdef Py_ssize_t delta_row_stride = row_stride(delta_array, "out")
    check_disjoint(delta_array, "out", saved_array, "saved")
    cdef int threads = threads_for(n_threads, <double> n_rows * n_columns, PIECE)
    cdef Py_ssize_t rows_of_piece
    cdef void* grad_memory = cnp.PyArray_DATA(grad_array)
    cdef void* saved_memory = cnp.PyArray_DATA(saved_array)
    cdef void* delta_memory = cnp.PyArray_DATA(delta_array)
    cdef bint is_float = cnp.PyArray_TYPE(grad_array) == cnp.NPY_FLOAT32
    if grad_row_stride == n_columns and saved_row_stride == n_columns and delta_row_stride == n_columns:
        n_rows, n_columns = n_rows * n_columns, 1
        grad_row_stride, saved_row_stride, delta_row_stride = 1, 1, 1
    rows_of_piece = max(1, PIECE // max(1, n_columns))
    with nogil:
        if is_float:
            _backward(
                kind, n_rows, n_columns, rows_of_piece, <const float*> grad_memory, grad_row_stride,
                <const float*> saved_memory, saved_row_stride,
                <float*> delta_memory, delta_row_stride, threads,
            )
        else:
            _backward(
                kind, n_rows, n_columns, rows_of_piece, <const double*> grad_memory, grad_row_stride,
                <const double*> saved_memory, saved_row_stride,
                <double*> delta_memory, delta_row_stride, threads,
            )
    return delta_array
