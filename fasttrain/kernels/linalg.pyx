"""Matrix products and the dense layer: c = a b, its fused forward form, and its gradients.

How a product is cut.  c (m, n) is divided into pieces of whole register panels, by its size alone; a piece is
computed by one thread with one call of the C kernel per block of depth.  Where b is read many times, or its
rows are not contiguous, it is packed once into panels that all threads share.  The sum over k runs in order
through registers and, beyond block_depth, through c: every element of c has the same bits for any number of
threads and whatever rows are computed beside it.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdlib cimport free, malloc

from fasttrain.kernels.checks cimport (
    check_disjoint,
    check_option,
    check_shape,
    check_writeable,
    real_array,
    real_array_like,
    row_stride,
)
from fasttrain.kernels.runtime cimport table, threads_for
from fasttrain.kernels.table cimport FT_GELU, FT_IDENTITY, FT_SILU, FT_TILED
from fasttrain.kernels.vector_math import ACTIVATIONS

cnp.import_array()

ctypedef fused real:
    float
    double

# Multiply-adds that pay for waking one more thread (about 10 microseconds of work), and those of a piece.
cdef double THREAD_GRAIN = 5e5
cdef double PIECE_GRAIN = 1e6
# Rows of a piece at most: its part of a, one block of depth, stays in the second-level cache.
cdef Py_ssize_t PIECE_ROWS = 144
# Rows of c, register panels of it, and depth, from which a transposed a is copied; and length of the rows of a
# from which any a is.
cdef Py_ssize_t TILED_ROWS = 48, TILED_PANELS = 6, TILED_DEPTH = 64, TILED_LENGTH = 1024
# Rows whose column sums are one piece.
cdef Py_ssize_t SUM_ROWS = 512

# What follows the product in each piece of c.
ctypedef struct epilogue:
    int activation
    void* pre_activation            # (m, n) or NULL: takes the product, and c the activation of it
    Py_ssize_t pre_activation_stride


# ---- the kernels of an element type ---------------------------------------------------------------------

cdef inline void gemm_block(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Py_ssize_t a_row_stride,
                            Py_ssize_t a_column_stride, const real* b, Py_ssize_t b_row_stride,
                            Py_ssize_t b_panel_stride, real* c, Py_ssize_t c_row_stride, int accumulate,
                            const real* bias) noexcept nogil:
    if real is float:
        table.f32.gemm_block(m, n, k, a, a_row_stride, a_column_stride, b, b_row_stride, b_panel_stride, c,
                             c_row_stride, accumulate, bias)
    else:
        table.f64.gemm_block(m, n, k, a, a_row_stride, a_column_stride, b, b_row_stride, b_panel_stride, c,
                             c_row_stride, accumulate, bias)


cdef inline void pack_panels(Py_ssize_t k, Py_ssize_t n, const real* b, Py_ssize_t b_row_stride,
                             Py_ssize_t b_column_stride, real* packed) noexcept nogil:
    if real is float:
        table.f32.pack_panels(k, n, b, b_row_stride, b_column_stride, packed)
    else:
        table.f64.pack_panels(k, n, b, b_row_stride, b_column_stride, packed)


cdef inline void pack_tiles(Py_ssize_t m, Py_ssize_t k, const real* a, Py_ssize_t a_row_stride,
                            Py_ssize_t a_column_stride, real* packed) noexcept nogil:
    if real is float:
        table.f32.pack_tiles(m, k, a, a_row_stride, a_column_stride, packed)
    else:
        table.f64.pack_tiles(m, k, a, a_row_stride, a_column_stride, packed)


cdef inline void activation_forward(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const real* z,
                                    Py_ssize_t z_row_stride, real* y, Py_ssize_t y_row_stride) noexcept nogil:
    if real is float:
        table.f32.activation_forward(activation, n_rows, n_columns, z, z_row_stride, y, y_row_stride)
    else:
        table.f64.activation_forward(activation, n_rows, n_columns, z, z_row_stride, y, y_row_stride)


cdef inline void activation_backward(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const real* grad_y,
                                     Py_ssize_t grad_y_row_stride, const real* saved, Py_ssize_t saved_row_stride,
                                     real* delta, Py_ssize_t delta_row_stride) noexcept nogil:
    if real is float:
        table.f32.activation_backward(activation, n_rows, n_columns, grad_y, grad_y_row_stride, saved,
                                      saved_row_stride, delta, delta_row_stride)
    else:
        table.f64.activation_backward(activation, n_rows, n_columns, grad_y, grad_y_row_stride, saved,
                                      saved_row_stride, delta, delta_row_stride)


cdef inline void column_sums(Py_ssize_t n_rows, Py_ssize_t n_columns, const real* x, Py_ssize_t x_row_stride,
                             real* sums) noexcept nogil:
    if real is float:
        table.f32.column_sums(n_rows, n_columns, x, x_row_stride, sums, 0)
    else:
        table.f64.column_sums(n_rows, n_columns, x, x_row_stride, sums, 0)


# ---- the product ----------------------------------------------------------------------------------------

cdef void _finish_piece(Py_ssize_t n_rows, Py_ssize_t n_columns, real* c, Py_ssize_t c_row_stride,
                        Py_ssize_t row, Py_ssize_t column, const epilogue* after) noexcept nogil:
    cdef real* z = c
    cdef Py_ssize_t z_stride = c_row_stride
    if after.pre_activation != NULL:
        z = <real*> after.pre_activation
        z_stride = after.pre_activation_stride
    elif after.activation == FT_IDENTITY:
        return
    activation_forward(after.activation, n_rows, n_columns, z + row * z_stride + column, z_stride,
                       c + row * c_row_stride + column, c_row_stride)


cdef int _product(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Py_ssize_t a_row_stride,
                  Py_ssize_t a_column_stride, const real* b, Py_ssize_t b_row_stride, Py_ssize_t b_column_stride,
                  real* c, Py_ssize_t c_row_stride, bint accumulate, const real* bias, const epilogue* after,
                  int n_threads) except -1 nogil:
    """c (m, n) = [c +] a (m, k) b (k, n) [+ bias], then the epilogue; any strides on a and b."""
    cdef Py_ssize_t panel, pack_rows, pack_depth, block_depth
    if real is float:
        panel, pack_rows = table.f32.tile_columns, table.f32.pack_rows
        pack_depth, block_depth = table.f32.pack_depth, table.f32.block_depth
    else:
        panel, pack_rows = table.f64.tile_columns, table.f64.pack_rows
        pack_depth, block_depth = table.f64.pack_depth, table.f64.block_depth
    cdef Py_ssize_t n_panels = (n + panel - 1) // panel
    cdef bint pack = (b_column_stride != 1 and n > 1) or (m > pack_rows and k > pack_depth and n > panel)
    cdef Py_ssize_t n_blocks = depth_blocks(k, block_depth)
    cdef Py_ssize_t deepest = (k + n_blocks - 1) // n_blocks

    # The grid of pieces: the longer side is halved until a piece is small enough.
    cdef double work = <double> m * n * k
    cdef Py_ssize_t row_pieces = (m + PIECE_ROWS - 1) // PIECE_ROWS, column_pieces = 1
    while work > 2 * PIECE_GRAIN * row_pieces * column_pieces and row_pieces * column_pieces < 4096:
        if n_panels >= 2 * column_pieces and n * row_pieces >= m * column_pieces:
            column_pieces *= 2
        elif m >= 16 * row_pieces:
            row_pieces *= 2
        elif n_panels >= 2 * column_pieces:
            column_pieces *= 2
        else:
            break

    # A column of a transposed a lies across many cache lines, and so do the rows of a large one: where it is
    # read for many panels it is copied, in the order in which the tiles read it.
    cdef bint tile = (m >= TILED_ROWS and n >= TILED_PANELS * panel and deepest >= TILED_DEPTH
                      and (a_row_stride == 1 or k >= TILED_LENGTH))
    cdef Py_ssize_t panels_size = n_panels * panel * deepest if pack else 0
    cdef Py_ssize_t tiles_size = m * deepest if tile else 0
    cdef real* packed = NULL
    if pack or tile:
        packed = <real*> malloc((panels_size + tiles_size) * sizeof(real) + 64)
        if packed == NULL:
            with gil:
                raise MemoryError(f"no memory to pack matrices of {m} x {k} and {k} x {n}")
    # packed panels start on a cache line
    cdef real* panels = <real*> ((<size_t> packed + 63) & ~<size_t> 63)
    cdef real* tiles = panels + panels_size
    cdef real* z = c
    cdef Py_ssize_t z_stride = c_row_stride
    if after.pre_activation != NULL:
        z = <real*> after.pre_activation
        z_stride = after.pre_activation_stride

    cdef Py_ssize_t block, start, depth, piece, n_pieces = row_pieces * column_pieces
    cdef Py_ssize_t row, row_end, column, column_end, first, past
    # panels packed as one piece: enough for long runs along the rows of b, and for all threads
    cdef Py_ssize_t chunk = 16 if n_panels >= 128 else 4
    cdef Py_ssize_t n_chunks = (n_panels + chunk - 1) // chunk if pack else 0, n_tiled = row_pieces if tile else 0
    for block in range(n_blocks):
        start = k * block // n_blocks
        depth = k * (block + 1) // n_blocks - start
        if pack or tile:
            for piece in prange(n_chunks + n_tiled, num_threads=n_threads, schedule="dynamic",
                                use_threads_if=n_threads > 1):
                if piece < n_chunks:
                    first = chunk * piece
                    past = n - first * panel if n - first * panel < chunk * panel else chunk * panel
                    pack_panels(depth, past, b + start * b_row_stride + first * panel * b_column_stride,
                                b_row_stride, b_column_stride, panels + first * panel * depth)
                else:
                    row = m * (piece - n_chunks) // row_pieces
                    row_end = m * (piece - n_chunks + 1) // row_pieces
                    pack_tiles(row_end - row, depth, a + row * a_row_stride + start * a_column_stride, a_row_stride,
                               a_column_stride, tiles + row * depth)
        for piece in prange(n_pieces, num_threads=n_threads, schedule="dynamic", use_threads_if=n_threads > 1):
            row = m * (piece // column_pieces) // row_pieces
            row_end = m * (piece // column_pieces + 1) // row_pieces
            first = n_panels * (piece % column_pieces) // column_pieces
            past = n_panels * (piece % column_pieces + 1) // column_pieces
            column = first * panel
            column_end = past * panel if past * panel < n else n
            gemm_block(row_end - row, column_end - column, depth,
                       tiles + row * depth if tile else a + row * a_row_stride + start * a_column_stride,
                       1 if tile else a_row_stride, FT_TILED if tile else a_column_stride,
                       panels + column * depth if pack else b + start * b_row_stride + column,
                       panel if pack else b_row_stride, panel * depth if pack else panel,
                       z + row * z_stride + column, z_stride, accumulate or block > 0,
                       bias + column if bias != NULL and block == 0 else NULL)
            if block == n_blocks - 1:
                _finish_piece(row_end - row, column_end - column, c, c_row_stride, row, column, after)
    free(packed)
    return 0


cdef Py_ssize_t _element_stride(cnp.ndarray array, int axis, str name) except? -1:
    cdef Py_ssize_t stride = cnp.PyArray_STRIDE(array, axis), item = cnp.PyArray_ITEMSIZE(array)
    if stride % item:
        raise ValueError(
            f"the strides of {name} must be multiples of its item size; numpy.ascontiguousarray({name}) converts"
        )
    return stride // item


cdef cnp.ndarray _output(object out, str name, Py_ssize_t n_rows, Py_ssize_t n_columns, cnp.ndarray like,
                         str like_name):
    """out checked, or a new array of shape (n_rows, n_columns)."""
    cdef cnp.npy_intp shape[2]
    if out is None:
        shape[0], shape[1] = n_rows, n_columns
        return cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(like), 0)
    cdef cnp.ndarray array = real_array_like(out, name, 2, like, like_name)
    check_shape(array, name, n_rows, n_columns)
    check_writeable(array, name)
    row_stride(array, name)
    return array


cdef int _multiply(cnp.ndarray a, Py_ssize_t a_rows, Py_ssize_t a_row_stride, Py_ssize_t a_column_stride,
                   cnp.ndarray b, Py_ssize_t b_columns, Py_ssize_t b_row_stride, Py_ssize_t b_column_stride,
                   Py_ssize_t k, cnp.ndarray out, bint accumulate, cnp.ndarray bias, const epilogue* after,
                   object n_threads) except -1:
    """_product for the dtype of the arrays; all checks are done."""
    cdef int threads = threads_for(n_threads, <double> a_rows * b_columns * k, THREAD_GRAIN)
    cdef Py_ssize_t out_stride = row_stride(out, "out")
    cdef void* shift = cnp.PyArray_DATA(bias) if bias is not None else NULL
    cdef void* a_data = cnp.PyArray_DATA(a)
    cdef void* b_data = cnp.PyArray_DATA(b)
    cdef void* c_data = cnp.PyArray_DATA(out)
    cdef Py_ssize_t c_columns = b_columns
    if a_rows == 0 or b_columns == 0:
        return 0
    if (
        b_columns == 1 and a_row_stride == 1 and out_stride == 1 and bias is None
        and (after.pre_activation == NULL or after.pre_activation_stride == 1)
    ):
        # a column is the transpose of a row: a is then read along its contiguous side
        a_data, b_data = b_data, a_data
        a_rows, c_columns = 1, a_rows
        a_row_stride, a_column_stride, b_row_stride, b_column_stride = 1, b_row_stride, a_column_stride, 1
    if cnp.PyArray_TYPE(out) == cnp.NPY_FLOAT32:
        with nogil:
            _product[float](a_rows, c_columns, k, <const float*> a_data, a_row_stride, a_column_stride,
                            <const float*> b_data, b_row_stride, b_column_stride, <float*> c_data, out_stride,
                            accumulate, <const float*> shift, after, threads)
    else:
        with nogil:
            _product[double](a_rows, c_columns, k, <const double*> a_data, a_row_stride, a_column_stride,
                             <const double*> b_data, b_row_stride, b_column_stride, <double*> c_data, out_stride,
                             accumulate, <const double*> shift, after, threads)
    return 0


def matmul(a, b, out=None, *, bint transpose_a=False, bint transpose_b=False, bint accumulate=False,
           n_threads=None):
    """Matrix product, ``out = [out +] op(a) op(b)``, where op transposes if asked.

    Parameters
    ----------
    a : ndarray (m, k), or (k, m) with `transpose_a`
        float32 or float64, any strides.
    b : ndarray (k, n), or (n, k) with `transpose_b`
        Of a's dtype, any strides.
    out : ndarray (m, n), optional
        Of a's dtype, with contiguous rows; must not overlap a or b.  A new array if None.
    transpose_a, transpose_b : bool
        Take the transpose; nothing is copied.
    accumulate : bool
        Add the product to `out`, which must then be given.
    n_threads : int, optional
        See :func:`fasttrain.set_num_threads`.

    Returns
    -------
    ndarray (m, n)
        `out`.  A sum over k = 0 terms is 0.

    Raises
    ------
    TypeError
        If an argument is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If the shapes do not fit, or `out` is read-only or overlaps an input.

    Notes
    -----
    Each element is summed over k in order with fused multiply-adds where the CPU level has them, so its bits
    depend neither on the number of threads nor on m and n.  The error is at most about k eps sum |a| |b|.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import matmul
    >>> matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [1.0]]))
    array([[3.],
           [7.]])
    """
    cdef cnp.ndarray left = real_array(a, "a", 2)
    cdef cnp.ndarray right = real_array_like(b, "b", 2, left, "a")
    cdef int a_row_axis = 1 if transpose_a else 0, b_row_axis = 1 if transpose_b else 0
    cdef Py_ssize_t m = cnp.PyArray_DIM(left, a_row_axis), k = cnp.PyArray_DIM(left, 1 - a_row_axis)
    cdef Py_ssize_t n = cnp.PyArray_DIM(right, 1 - b_row_axis)
    cdef epilogue after
    if cnp.PyArray_DIM(right, b_row_axis) != k:
        raise ValueError(
            f"a {a.shape} and b {b.shape} do not fit: op(a) has {k} columns, "
            f"op(b) has {cnp.PyArray_DIM(right, b_row_axis)} rows"
        )
    if accumulate and out is None:
        raise ValueError("accumulate=True needs out, the array to add to")
    cdef cnp.ndarray result = _output(out, "out", m, n, left, "a")
    if out is not None:
        check_disjoint(result, "out", left, "a")
        check_disjoint(result, "out", right, "b")
    after.activation, after.pre_activation, after.pre_activation_stride = FT_IDENTITY, NULL, 0
    _multiply(left, m, _element_stride(left, a_row_axis, "a"), _element_stride(left, 1 - a_row_axis, "a"),
              right, n, _element_stride(right, b_row_axis, "b"), _element_stride(right, 1 - b_row_axis, "b"),
              k, result, accumulate, None, &after, n_threads)
    return result


# ---- the dense layer ---------------------------------------------------------------------------------------

def dense_forward(x, weight, bias, out=None, *, str activation="identity", pre_activation=None, n_threads=None):
    """Dense layer, ``out = f(x weight + bias)``.

    Parameters
    ----------
    x : ndarray (n_rows, n_in)
        float32 or float64, any strides.
    weight : ndarray (n_in, n_out)
        Of x's dtype, any strides.
    bias : ndarray (n_out,) or None
        Of x's dtype, contiguous.
    out : ndarray (n_rows, n_out), optional
        Of x's dtype, with contiguous rows; must not overlap an input.  A new array if None.
    activation : str
        f: identity, relu, leaky_relu (slope 0.01), tanh, sigmoid, gelu (exact, by erf), silu, softplus
        or elu (alpha 1).
    pre_activation : ndarray (n_rows, n_out), optional
        Filled with ``x weight + bias``, which :func:`dense_backward` needs for gelu and silu.
    n_threads : int, optional
        See :func:`fasttrain.set_num_threads`.

    Returns
    -------
    ndarray (n_rows, n_out)
        `out`.

    Raises
    ------
    TypeError, ValueError
        As :func:`matmul`; also for an unknown activation.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import dense_forward
    >>> dense_forward(np.array([[1.0, -2.0]]), np.eye(2), np.zeros(2), activation="relu")
    array([[1., 0.]])
    """
    cdef cnp.ndarray left = real_array(x, "x", 2)
    cdef cnp.ndarray right = real_array_like(weight, "weight", 2, left, "x")
    cdef Py_ssize_t m = cnp.PyArray_DIM(left, 0), k = cnp.PyArray_DIM(left, 1), n = cnp.PyArray_DIM(right, 1)
    cdef cnp.ndarray shift = None, saved = None
    cdef epilogue after
    check_shape(right, "weight", k, n)
    if bias is not None:
        shift = _vector(bias, "bias", n, left)
    after.activation = check_option(activation, "activation", ACTIVATIONS)
    cdef cnp.ndarray result = _output(out, "out", m, n, left, "x")
    after.pre_activation, after.pre_activation_stride = NULL, 0
    if pre_activation is not None:
        saved = _output(pre_activation, "pre_activation", m, n, left, "x")
        after.pre_activation = cnp.PyArray_DATA(saved)
        after.pre_activation_stride = row_stride(saved, "pre_activation")
        check_disjoint(saved, "pre_activation", result, "out")
    for target, name in ((result, "out"), (saved, "pre_activation")):
        if target is not None:
            check_disjoint(target, name, left, "x")
            check_disjoint(target, name, right, "weight")
            if shift is not None:
                check_disjoint(target, name, shift, "bias")
    _multiply(left, m, _element_stride(left, 0, "x"), _element_stride(left, 1, "x"),
              right, n, _element_stride(right, 0, "weight"), _element_stride(right, 1, "weight"),
              k, result, False, shift, &after, n_threads)
    return result


cdef cnp.ndarray _vector(object value, str name, Py_ssize_t size, cnp.ndarray like):
    cdef cnp.ndarray array = real_array_like(value, name, 1, like, "x")
    check_shape(array, name, size)
    if size > 1 and cnp.PyArray_STRIDE(array, 0) != cnp.PyArray_ITEMSIZE(array):
        raise ValueError(f"{name} must be contiguous; numpy.ascontiguousarray({name}) converts")
    return array


cdef void _delta(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const void* grad_output,
                 Py_ssize_t grad_stride, const void* saved, Py_ssize_t saved_stride, void* delta,
                 void* grad_bias, real* piece_sums, int n_threads) noexcept nogil:
    """delta = grad_output * f'; the bias gradient is its column sums, pieces added in order, in double."""
    cdef Py_ssize_t n_pieces = (n_rows + SUM_ROWS - 1) // SUM_ROWS
    cdef Py_ssize_t piece, row, count, j
    cdef double total
    for piece in prange(n_pieces, num_threads=n_threads, schedule="static", use_threads_if=n_threads > 1):
        row = piece * SUM_ROWS
        count = n_rows - row if n_rows - row < SUM_ROWS else SUM_ROWS
        if delta != grad_output:
            activation_backward(activation, count, n_columns, <const real*> grad_output + row * grad_stride,
                                grad_stride, <const real*> saved + row * saved_stride, saved_stride,
                                <real*> delta + row * n_columns, n_columns)
            column_sums(count, n_columns, <const real*> delta + row * n_columns, n_columns,
                        piece_sums + piece * n_columns)
        else:
            column_sums(count, n_columns, <const real*> delta + row * grad_stride, grad_stride,
                        piece_sums + piece * n_columns)
    for j in range(n_columns):
        total = 0.0
        for piece in range(n_pieces):
            total += piece_sums[piece * n_columns + j]
        (<real*> grad_bias)[j] = <real> total


def dense_backward(grad_output, x, weight, output=None, *, str activation="identity", pre_activation=None,
                   grad_x=None, grad_weight=None, grad_bias=None, bint need_grad_x=True, n_threads=None):
    """Gradients of the dense layer: the matrix-product gradient with the activation's derivative.

    With delta = grad_output * f'(z), z = x weight + bias:
    grad_x = delta weight^T, grad_weight = x^T delta, grad_bias = the sum of delta over rows.

    Parameters
    ----------
    grad_output : ndarray (n_rows, n_out)
        Gradient of the loss by the layer's output; float32 or float64, contiguous rows.
    x : ndarray (n_rows, n_in)
        The layer's input, any strides.
    weight : ndarray (n_in, n_out)
        Any strides.
    output : ndarray (n_rows, n_out), optional
        What :func:`dense_forward` returned, contiguous rows; needed for every activation but identity, gelu
        and silu.
    activation : str
        As given to :func:`dense_forward`.
    pre_activation : ndarray (n_rows, n_out), optional
        As filled by :func:`dense_forward`; needed for gelu and silu.
    grad_x, grad_weight, grad_bias : ndarray, optional
        Outputs of shapes (n_rows, n_in), (n_in, n_out) with contiguous rows and (n_out,), overwritten;
        new arrays if None.  They must not overlap the inputs or each other.
    need_grad_x : bool
        False leaves grad_x out (a network's first layer); None is returned in its place.
    n_threads : int, optional
        See :func:`fasttrain.set_num_threads`.

    Returns
    -------
    (grad_x, grad_weight, grad_bias)

    Raises
    ------
    TypeError, ValueError
        As :func:`matmul`; also if what the activation needs is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import dense_backward
    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> grad_x, grad_weight, grad_bias = dense_backward(np.array([[1.0]]), x, weight)
    >>> grad_x, grad_weight, grad_bias
    (array([[3., 4.]]), array([[1.],
           [2.]]), array([1.]))
    """
    cdef cnp.ndarray grad = real_array(grad_output, "grad_output", 2)
    cdef cnp.ndarray left = real_array_like(x, "x", 2, grad, "grad_output")
    cdef cnp.ndarray right = real_array_like(weight, "weight", 2, grad, "grad_output")
    cdef Py_ssize_t m = cnp.PyArray_DIM(grad, 0), n = cnp.PyArray_DIM(grad, 1), k = cnp.PyArray_DIM(left, 1)
    cdef int kind = check_option(activation, "activation", ACTIVATIONS)
    cdef cnp.ndarray saved = None, to_x = None, delta, sums
    cdef epilogue after
    after.activation, after.pre_activation, after.pre_activation_stride = FT_IDENTITY, NULL, 0
    check_shape(left, "x", m, -1)
    check_shape(right, "weight", k, n)
    cdef Py_ssize_t grad_stride = row_stride(grad, "grad_output"), saved_stride = 0
    saved_name = "pre_activation" if kind == FT_GELU or kind == FT_SILU else "output"
    if kind != FT_IDENTITY:
        saved = pre_activation if saved_name == "pre_activation" else output
        if saved is None:
            raise ValueError(f"activation {activation!r} needs {saved_name} of the forward pass")
        saved = real_array_like(saved, saved_name, 2, grad, "grad_output")
        check_shape(saved, saved_name, m, n)
        saved_stride = row_stride(saved, saved_name)
    cdef cnp.ndarray to_weight = _output(grad_weight, "grad_weight", k, n, grad, "grad_output")
    if grad_bias is None:
        grad_bias = np.empty(n, dtype=grad.dtype)
    cdef cnp.ndarray to_bias = _vector(grad_bias, "grad_bias", n, grad)
    check_writeable(to_bias, "grad_bias")
    if need_grad_x:
        to_x = _output(grad_x, "grad_x", m, k, grad, "grad_output")
    targets = [(to_weight, "grad_weight"), (to_bias, "grad_bias")] + ([(to_x, "grad_x")] if need_grad_x else [])
    for i, (target, name) in enumerate(targets):
        check_disjoint(target, name, grad, "grad_output")
        check_disjoint(target, name, left, "x")
        check_disjoint(target, name, right, "weight")
        if saved is not None:
            check_disjoint(target, name, saved, saved_name)
        for other, other_name in targets[:i]:
            check_disjoint(target, name, other, other_name)

    delta = grad if kind == FT_IDENTITY else np.empty((m, n), dtype=grad.dtype)
    sums = np.empty(((m + SUM_ROWS - 1) // SUM_ROWS, n), dtype=grad.dtype)
    cdef void* saved_data = cnp.PyArray_DATA(saved) if saved is not None else NULL
    cdef int threads = threads_for(n_threads, <double> m * n, 3e4)
    if cnp.PyArray_TYPE(grad) == cnp.NPY_FLOAT32:
        with nogil:
            _delta[float](kind, m, n, cnp.PyArray_DATA(grad), grad_stride, saved_data, saved_stride,
                          cnp.PyArray_DATA(delta), cnp.PyArray_DATA(to_bias),
                          <float*> cnp.PyArray_DATA(sums), threads)
    else:
        with nogil:
            _delta[double](kind, m, n, cnp.PyArray_DATA(grad), grad_stride, saved_data, saved_stride,
                           cnp.PyArray_DATA(delta), cnp.PyArray_DATA(to_bias),
                           <double*> cnp.PyArray_DATA(sums), threads)
    cdef Py_ssize_t delta_stride = row_stride(delta, "delta")
    _multiply(left, k, _element_stride(left, 1, "x"), _element_stride(left, 0, "x"),
              delta, n, delta_stride, 1, m, to_weight, False, None, &after, n_threads)
    if need_grad_x:
        _multiply(delta, m, delta_stride, 1,
                  right, k, _element_stride(right, 1, "weight"), _element_stride(right, 0, "weight"),
                  n, to_x, False, None, &after, n_threads)
    return to_x, to_weight, to_bias
