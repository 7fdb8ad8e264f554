"""Matrix products and the dense layer: c = a b, its fused forward form, and its gradients.

How a product is cut.  c (m, n) is divided into a grid of shares, one for each thread, and every share into
pieces of rows; a piece is computed by one thread with one call of the C kernel per block of depth.  Where b is
read many times, or its rows are not contiguous, it is packed once into panels that all threads share; where
the reading of a would be slow, a thread copies the rows of its piece, one block of depth at a time, into the
order in which the tiles read them.  Few rows of a by a long transposed b are computed as the transpose of
b^T a^T: then the small a is packed instead of b, and each piece is transposed into c.  The sum over k runs in
order through registers and, beyond block_depth, through c: every element of c has the same bits for any number
of threads and whatever is computed beside it.

Of a product that is known to be symmetric, pieces leave out the panels right of their last row, and what is left of
the diagonal is copied there in the end.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t, uint64_t
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
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_advance,
    ft_crew_finish,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    ft_crew_wait,
    table,
    threads_for,
)
from fasttrain.kernels.table cimport FT_GELU, FT_IDENTITY, FT_SILU, FT_TILED, ft_packing
from fasttrain.kernels.vector_math import ACTIVATIONS

cnp.import_array()

ctypedef fused real:
    float
    double

# Multiply-adds that pay for one more thread (about 6 microseconds of work), and those of a piece that
# a share is cut into so that threads can help each other.
cdef double THREAD_GRAIN = 3e5
cdef double PIECE_GRAIN = 5e6
# Rows of a piece at most, without and with a copied a: one block of depth of them stays in the second-level cache.
cdef Py_ssize_t PIECE_ROWS = 96, TILED_PIECE_ROWS = 192
# Rows of c, register panels of it, and depth, from which a transposed a is copied; and panels of c and length of
# the rows of a, of which either is enough for any a; so are rows that alias.
cdef Py_ssize_t TILED_ROWS = 48, TILED_PANELS = 6, TILED_DEPTH = 64, TILED_WIDE = 48, TILED_LENGTH = 1024
# Rows of a by a transposed b that are computed as the transpose: multiples of the widest register panel, so that
# none of it is left empty; and elements of a at most, since each thread packs a copy.
cdef Py_ssize_t FLIPPED_ROWS = 32, FLIPPED_SIZE = 1 << 15
# The first-level cache: ways of a set, and bytes after which addresses come back to the same set.
cdef Py_ssize_t CACHE_WAYS = 8, CACHE_SETS_BYTES = 4096
# Register panels that are packed as one piece: enough for long runs along the rows of b.
cdef Py_ssize_t PACK_PANELS = 4
# Bytes of b that are packed at a time.
cdef Py_ssize_t PACK_BYTES = 32 << 20
# Rows whose column sums are one piece.
cdef Py_ssize_t SUM_ROWS = 512
# Of a symmetric product: rows of a piece at least, since fewer rows leave out more and pieces are of unequal width;
# and rows that are copied across the diagonal as one piece.
cdef Py_ssize_t SYMMETRIC_ROWS = 32, MIRROR_ROWS = 64

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


cdef inline void transpose(Py_ssize_t m, Py_ssize_t n, const real* x, Py_ssize_t x_row_stride, real* y,
                           Py_ssize_t y_row_stride) noexcept nogil:
    if real is float:
        table.f32.transpose(m, n, x, x_row_stride, y, y_row_stride)
    else:
        table.f64.transpose(m, n, x, x_row_stride, y, y_row_stride)


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


# A product and how it is cut; the pointers are to elements of its type.
ctypedef struct product:
    Py_ssize_t m, n, k
    const void* a
    Py_ssize_t a_row_stride, a_column_stride
    const void* b
    Py_ssize_t b_row_stride, b_column_stride
    void* c
    Py_ssize_t c_row_stride
    const void* bias                # (n,) or NULL
    const epilogue* after
    bint accumulate, pack, tile, symmetric
    bint flipped                    # c is (n, m) in memory
    Py_ssize_t panel, n_panels, n_blocks, deepest
    # b is packed in sections of some panels by some blocks of depth; there is one section if it is not packed
    Py_ssize_t section_panels, section_blocks, n_sections
    # shares of c, and pieces of rows in each
    Py_ssize_t row_shares, column_shares, share_pieces
    void* panels                    # a section of b, of panels_size elements; all of it for each thread of a flipped c
    Py_ssize_t panels_size
    void* tiles                     # for each thread, of tiles_size elements: a block of a, or a piece of a flipped c
    Py_ssize_t tiles_size
    ft_crew crew


cdef void _pack_piece(const real* b, const product* p, real* panels, Py_ssize_t first_panel, Py_ssize_t end_panel,
                      Py_ssize_t first_block, Py_ssize_t piece) noexcept nogil:
    """Some panels of one block of a section."""
    cdef Py_ssize_t chunks = (end_panel - first_panel + PACK_PANELS - 1) // PACK_PANELS
    cdef Py_ssize_t block = first_block + piece // chunks, panel = first_panel + piece % chunks * PACK_PANELS
    cdef Py_ssize_t section_start = p.k * first_block // p.n_blocks
    cdef Py_ssize_t start = p.k * block // p.n_blocks, depth = p.k * (block + 1) // p.n_blocks - start
    cdef Py_ssize_t columns = min(p.n, min(end_panel, panel + PACK_PANELS) * p.panel) - panel * p.panel
    pack_panels(depth, columns, b + start * p.b_row_stride + panel * p.panel * p.b_column_stride, p.b_row_stride,
                p.b_column_stride,
                panels + ((end_panel - first_panel) * (start - section_start)
                          + (panel - first_panel) * depth) * p.panel)


cdef void _compute_piece(const real* b, const product* p, Py_ssize_t first_panel, Py_ssize_t end_panel,
                         Py_ssize_t first_block, Py_ssize_t end_block, int thread, Py_ssize_t piece) noexcept nogil:
    """Rows of one share of a section, through its blocks."""
    cdef Py_ssize_t share = piece // p.share_pieces, row_piece = piece % p.share_pieces
    row_piece += share // p.column_shares * p.share_pieces
    cdef Py_ssize_t row = p.m * row_piece // (p.row_shares * p.share_pieces)
    cdef Py_ssize_t n_rows = p.m * (row_piece + 1) // (p.row_shares * p.share_pieces) - row
    cdef Py_ssize_t n_panels = end_panel - first_panel, column_share = share % p.column_shares
    cdef Py_ssize_t panel = first_panel + n_panels * column_share // p.column_shares
    cdef Py_ssize_t past = first_panel + n_panels * (column_share + 1) // p.column_shares
    if p.symmetric:
        past = min(past, (row + n_rows + p.panel - 1) // p.panel)
    cdef Py_ssize_t column = panel * p.panel, n_columns = min(p.n, past * p.panel) - column
    cdef Py_ssize_t section_start = p.k * first_block // p.n_blocks, block, start, depth, z_stride = p.c_row_stride
    cdef Py_ssize_t a_row_stride = p.a_row_stride, a_column_stride = p.a_column_stride
    cdef const real* block_a
    cdef const real* block_b
    cdef const real* panels = <const real*> p.panels + (thread * p.panels_size if p.flipped else 0)
    cdef real* tiles = <real*> p.tiles + thread * p.tiles_size
    cdef real* z = <real*> p.c
    if n_rows <= 0 or n_columns <= 0:
        return
    if p.after.pre_activation != NULL:
        z = <real*> p.after.pre_activation
        z_stride = p.after.pre_activation_stride
    if p.flipped:
        z, z_stride = tiles, n_columns
    else:
        z += row * z_stride + column
    for block in range(first_block, end_block):
        start = p.k * block // p.n_blocks
        depth = p.k * (block + 1) // p.n_blocks - start
        block_a = <const real*> p.a + row * p.a_row_stride + start * p.a_column_stride
        if p.tile:
            pack_tiles(n_rows, depth, block_a, p.a_row_stride, p.a_column_stride, tiles)
            block_a, a_row_stride, a_column_stride = tiles, 1, FT_TILED
        if p.pack:
            block_b = panels + (n_panels * (start - section_start) + (panel - first_panel) * depth) * p.panel
        else:
            block_b = b + start * p.b_row_stride + column
        gemm_block(n_rows, n_columns, depth, block_a, a_row_stride, a_column_stride, block_b,
                   p.panel if p.pack else p.b_row_stride, p.panel * depth if p.pack else p.panel,
                   z, z_stride, p.accumulate or block > 0,
                   <const real*> p.bias + column if p.bias != NULL and block == 0 else NULL)
    if p.flipped:
        transpose(n_rows, n_columns, z, z_stride, <real*> p.c + column * p.c_row_stride + row, p.c_row_stride)
    elif end_block == p.n_blocks:
        _finish_piece(n_rows, n_columns, <real*> p.c, p.c_row_stride, row, column, p.after)


cdef void _mirror_piece(real* c, const product* p, Py_ssize_t piece) noexcept nogil:
    """Some rows of the left of c, as columns of its right."""
    cdef Py_ssize_t row = piece * MIRROR_ROWS, end = min(p.m, row + MIRROR_ROWS), i, j
    transpose(end - row, row, c + row * p.c_row_stride, p.c_row_stride, c + row, p.c_row_stride)
    for i in range(row, end):
        for j in range(i + 1, end):
            c[i * p.c_row_stride + j] = c[j * p.c_row_stride + i]


cdef void _member(const real* b, product* p) noexcept nogil:
    """One thread's way through the product; see threads.h for the crew."""
    cdef int thread = ft_crew_join(&p.crew)
    cdef Py_ssize_t columns = (p.n_panels + p.section_panels - 1) // p.section_panels
    cdef Py_ssize_t section, first_panel, end_panel, first_block, end_block
    cdef int64_t piece, n_pieces
    cdef uint64_t phase = 0
    for section in range(p.n_sections):
        first_panel = section % columns * p.section_panels
        end_panel = min(p.n_panels, first_panel + p.section_panels)
        first_block = section // columns * p.section_blocks
        end_block = min(p.n_blocks, first_block + p.section_blocks)
        if p.pack:
            n_pieces = (end_block - first_block) * ((end_panel - first_panel + PACK_PANELS - 1) // PACK_PANELS)
        if p.flipped:
            # each thread packs a copy of its own: it is small, and needs no phase
            for piece in range(n_pieces):
                _pack_piece(b, p, <real*> p.panels + thread * p.panels_size, first_panel, end_panel, first_block, piece)
        elif p.pack:
            piece = ft_crew_take(&p.crew, thread, phase, n_pieces)
            while piece >= 0:
                _pack_piece(b, p, <real*> p.panels, first_panel, end_panel, first_block, piece)
                if ft_crew_finish(&p.crew, n_pieces):
                    ft_crew_advance(&p.crew, phase)
                piece = ft_crew_take(&p.crew, thread, phase, n_pieces)
            ft_crew_wait(&p.crew, phase)
            phase += 1
        n_pieces = p.row_shares * p.column_shares * p.share_pieces
        piece = ft_crew_take(&p.crew, thread, phase, n_pieces)
        while piece >= 0:
            _compute_piece(b, p, first_panel, end_panel, first_block, end_block, thread, piece)
            if ft_crew_finish(&p.crew, n_pieces):
                ft_crew_advance(&p.crew, phase)
            piece = ft_crew_take(&p.crew, thread, phase, n_pieces)
        if section + 1 < p.n_sections or p.symmetric:
            ft_crew_wait(&p.crew, phase)
            phase += 1
    if p.symmetric:
        n_pieces = (p.m + MIRROR_ROWS - 1) // MIRROR_ROWS
        piece = ft_crew_take(&p.crew, thread, phase, n_pieces)
        while piece >= 0:
            _mirror_piece(<real*> p.c, p, piece)
            piece = ft_crew_take(&p.crew, thread, phase, n_pieces)
    ft_crew_leave(&p.crew, thread)


cdef void _cut(product* p, Py_ssize_t itemsize, Py_ssize_t tile_rows, const ft_packing* packing,
               Py_ssize_t block_depth, int n_threads) noexcept nogil:
    """Decide how the product is cut.  Of these, n_blocks alone bears on the bits."""
    cdef Py_ssize_t rows, columns, block_bytes
    cdef double cost, least = -1.0
    cdef bint aliased
    p.n_panels = (p.n + p.panel - 1) // p.panel
    p.n_blocks = depth_blocks(p.k, block_depth)
    p.deepest = (p.k + p.n_blocks - 1) // p.n_blocks
    p.pack = p.flipped or (p.b_column_stride != 1 and p.n > 1)
    if not p.pack:
        p.pack = worth_packing(p.m, p.n, p.k, p.b_row_stride * itemsize, p.panel, packing)
    # rows of a that fall into the same sets of the first-level cache, and are more than it has ways
    aliased = tile_rows > CACHE_WAYS and p.a_row_stride * itemsize % CACHE_SETS_BYTES == 0
    p.tile = (not p.flipped and p.m >= TILED_ROWS and p.n_panels >= TILED_PANELS and p.deepest >= TILED_DEPTH
              and (p.a_row_stride == 1 or p.n_panels >= TILED_WIDE or p.k >= TILED_LENGTH or aliased))
    p.section_panels, p.section_blocks = p.n_panels, p.n_blocks
    if p.pack:
        block_bytes = max(1, p.deepest) * p.panel * itemsize
        p.section_panels = max(1, min(p.n_panels, PACK_BYTES // block_bytes))
        p.section_blocks = max(1, min(p.n_blocks, PACK_BYTES // (block_bytes * p.section_panels)))
    p.n_sections = ((p.n_panels + p.section_panels - 1) // p.section_panels
                    * ((p.n_blocks + p.section_blocks - 1) // p.section_blocks))
    # the grid of shares whose parts of a and b are least; a copied a is copied for every share of columns
    p.row_shares, p.column_shares = 1, n_threads
    for columns in range(1, n_threads + 1):
        rows = n_threads // columns
        if rows * columns != n_threads or columns > p.section_panels or (rows > 1 and p.m < 8 * rows):
            continue
        cost = (2.0 if p.tile else 1.0) * p.m / rows + <double> p.section_panels * p.panel / columns
        if least < 0.0 or cost < least:
            least, p.row_shares, p.column_shares = cost, rows, columns
    rows = (p.m + p.row_shares - 1) // p.row_shares
    p.share_pieces = max(
        (rows + (TILED_PIECE_ROWS if p.tile else PIECE_ROWS) - 1) // (TILED_PIECE_ROWS if p.tile else PIECE_ROWS),
        min(4, min(rows // 16, <Py_ssize_t> (<double> p.m * p.n * p.k / (PIECE_GRAIN * n_threads)))),
        min(8, rows // SYMMETRIC_ROWS) if p.symmetric else 1,
        1,
    )


cdef int _product(const real* b, product* p, int n_threads) except -1 nogil:
    """c (m, n) = [c +] a (m, k) b (k, n) [+ bias], then the epilogue; any strides on a and b."""
    cdef Py_ssize_t scratch_size
    cdef void* scratch = NULL
    if real is float:
        p.panel = table.f32.tile_columns
        _cut(p, sizeof(float), table.f32.tile_rows, &table.f32.packing, table.f32.block_depth, n_threads)
    else:
        p.panel = table.f64.tile_columns
        _cut(p, sizeof(double), table.f64.tile_rows, &table.f64.packing, table.f64.block_depth, n_threads)
    p.tiles_size = p.panels_size = 0
    if p.pack:
        p.panels_size = p.section_panels * p.panel * p.section_blocks * p.deepest
    if p.tile:
        p.tiles_size = (min(p.m, TILED_PIECE_ROWS) * p.deepest + 15) // 16 * 16
    elif p.flipped:
        p.tiles_size = (min(p.m, PIECE_ROWS) * p.n + 15) // 16 * 16
    if p.pack or p.tile or p.flipped:
        scratch_size = (n_threads if p.flipped else 1) * p.panels_size + n_threads * p.tiles_size
        scratch = malloc(scratch_size * sizeof(real) + 64)
        if scratch == NULL:
            with gil:
                raise MemoryError(f"no memory to pack matrices of {p.m} x {p.k} and {p.k} x {p.n}")
    # packed panels start on a cache line
    p.panels = <void*> ((<size_t> scratch + 63) & ~<size_t> 63)
    p.tiles = <real*> p.panels + (n_threads if p.flipped else 1) * p.panels_size
    ft_crew_start(&p.crew, n_threads)
    if n_threads == 1:
        _member(b, p)
    else:
        with parallel(num_threads=n_threads):
            _member(b, p)
    free(scratch)
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
                   object n_threads, bint symmetric=False) except -1:
    """_product for the dtype of the arrays; all checks are done."""
    cdef int threads = threads_for(n_threads, <double> a_rows * b_columns * k, THREAD_GRAIN)
    cdef product p
    if a_rows == 0 or b_columns == 0:
        return 0
    p.m, p.n, p.k = a_rows, b_columns, k
    p.a, p.a_row_stride, p.a_column_stride = cnp.PyArray_DATA(a), a_row_stride, a_column_stride
    p.b, p.b_row_stride, p.b_column_stride = cnp.PyArray_DATA(b), b_row_stride, b_column_stride
    p.c, p.c_row_stride = cnp.PyArray_DATA(out), row_stride(out, "out")
    p.bias = cnp.PyArray_DATA(bias) if bias is not None else NULL
    p.after, p.accumulate, p.flipped, p.symmetric = after, accumulate, False, symmetric
    cdef bint plain = (not symmetric and not accumulate and bias is None and after.activation == FT_IDENTITY
                       and after.pre_activation == NULL)
    if (
        # what is packed and transposed, a and c, must be less than b, which would be packed
        plain and b_row_stride == 1 and a_column_stride == 1 and a_rows % FLIPPED_ROWS == 0 and a_rows <= k
        and a_rows * k <= FLIPPED_SIZE and 2 * a_rows <= b_columns
    ):
        p.flipped = True
        p.a, p.b, p.m, p.n = p.b, p.a, b_columns, a_rows
        p.a_row_stride, p.a_column_stride, p.b_row_stride, p.b_column_stride = b_column_stride, 1, 1, a_row_stride
    elif (
        b_columns == 1 and a_row_stride == 1 and p.c_row_stride == 1 and bias is None
        and (after.pre_activation == NULL or after.pre_activation_stride == 1)
    ):
        # a column is the transpose of a row: a is then read along its contiguous side
        p.a, p.b, p.m, p.n = p.b, p.a, 1, a_rows
        p.a_row_stride, p.a_column_stride, p.b_row_stride, p.b_column_stride = 1, b_row_stride, a_column_stride, 1
    if cnp.PyArray_TYPE(out) == cnp.NPY_FLOAT32:
        with nogil:
            _product[float](<const float*> p.b, &p, threads)
    else:
        with nogil:
            _product[double](<const double*> p.b, &p, threads)
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


cdef int symmetric_product(cnp.ndarray a, bint transpose_a, bint transpose_b, cnp.ndarray out,
                           object n_threads) except -1:
    cdef int a_row_axis = 1 if transpose_a else 0, b_row_axis = 1 if transpose_b else 0
    cdef Py_ssize_t n = cnp.PyArray_DIM(a, a_row_axis)
    cdef epilogue after
    after.activation, after.pre_activation, after.pre_activation_stride = FT_IDENTITY, NULL, 0
    return _multiply(a, n, _element_stride(a, a_row_axis, "a"), _element_stride(a, 1 - a_row_axis, "a"),
                     a, n, _element_stride(a, b_row_axis, "a"), _element_stride(a, 1 - b_row_axis, "a"),
                     cnp.PyArray_DIM(a, 1 - a_row_axis), out, False, None, &after, n_threads, True)


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


cdef void _delta_member(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const void* grad_output,
                        Py_ssize_t grad_stride, const void* saved, Py_ssize_t saved_stride, void* delta,
                        real* piece_sums, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t row, count, n_pieces = (n_rows + SUM_ROWS - 1) // SUM_ROWS
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        row = piece * SUM_ROWS
        count = min(SUM_ROWS, n_rows - row)
        if delta != grad_output:
            activation_backward(activation, count, n_columns, <const real*> grad_output + row * grad_stride,
                                grad_stride, <const real*> saved + row * saved_stride, saved_stride,
                                <real*> delta + row * n_columns, n_columns)
            column_sums(count, n_columns, <const real*> delta + row * n_columns, n_columns,
                        piece_sums + piece * n_columns)
        else:
            column_sums(count, n_columns, <const real*> delta + row * grad_stride, grad_stride,
                        piece_sums + piece * n_columns)
        piece = ft_crew_take(crew, thread, 0, n_pieces)
    ft_crew_leave(crew, thread)


cdef void _delta(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const void* grad_output,
                 Py_ssize_t grad_stride, const void* saved, Py_ssize_t saved_stride, void* delta,
                 void* grad_bias, real* piece_sums, int n_threads) noexcept nogil:
    """delta = grad_output * f'; the bias gradient is its column sums, pieces added in order, in double."""
    cdef Py_ssize_t n_pieces = (n_rows + SUM_ROWS - 1) // SUM_ROWS, piece, j
    cdef double total
    cdef ft_crew crew
    ft_crew_start(&crew, n_threads)
    if n_threads == 1:
        _delta_member(activation, n_rows, n_columns, grad_output, grad_stride, saved, saved_stride, delta,
                      piece_sums, &crew)
    else:
        with parallel(num_threads=n_threads):
            _delta_member(activation, n_rows, n_columns, grad_output, grad_stride, saved, saved_stride, delta,
                          piece_sums, &crew)
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
