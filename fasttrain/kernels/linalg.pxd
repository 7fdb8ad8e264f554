# Blocks in which a sum over k is added up, of about block_depth terms each.  By k alone: they decide on the bits.
cdef inline Py_ssize_t depth_blocks(Py_ssize_t k, Py_ssize_t block_depth) noexcept nogil:
    return 1 if 3 * k <= 4 * block_depth else (k + block_depth - 1) // block_depth


# Whether b (k, n), with contiguous rows row_bytes apart, is worth packing for m rows of a.  Where rows are a
# multiple of 2,048 bytes apart, the lines of a panel fall into so few sets of the caches that they drive each
# other out, and packing pays from 33 rows.
cdef inline bint worth_packing(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Py_ssize_t row_bytes, Py_ssize_t panel,
                               Py_ssize_t pack_rows, Py_ssize_t pack_depth) noexcept nogil:
    return (m > pack_rows or (m > 32 and row_bytes % 2048 == 0)) and k > pack_depth and n > panel
