cimport numpy as cnp

from fasttrain.kernels.table cimport ft_packing


# out = op(a) op(a), a product that is symmetric: a a^T, a^T a, or a a of a symmetric a.  The same bits as matmul's, for
# half the work.  The arrays are as matmul checks them.
cdef int symmetric_product(cnp.ndarray a, bint transpose_a, bint transpose_b, cnp.ndarray out,
                           object n_threads) except -1

# Blocks in which a sum over k is added up, of about block_depth terms each.  By k alone: they decide on the bits.
cdef inline Py_ssize_t depth_blocks(Py_ssize_t k, Py_ssize_t block_depth) noexcept nogil:
    return 1 if 3 * k <= 4 * block_depth else (k + block_depth - 1) // block_depth


# Whether b (k, n), with contiguous rows row_bytes apart, is worth packing for m rows of a.  What counts is the
# memory that b spans: its lines and pages are as far apart as if it had all of it.
cdef inline bint worth_packing(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Py_ssize_t row_bytes, Py_ssize_t panel,
                               const ft_packing* packing) noexcept nogil:
    if k <= packing.depth or n <= panel:
        return False
    return m > packing.rows or (
        m > packing.few_rows
        and (k * row_bytes > packing.large_bytes or (row_bytes > 0 and row_bytes % packing.alias_bytes == 0))
    )
