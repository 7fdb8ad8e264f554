# Blocks in which a sum over k is added up, of about block_depth terms each.  By k alone: they decide on the bits.
cdef inline Py_ssize_t depth_blocks(Py_ssize_t k, Py_ssize_t block_depth) noexcept nogil:
    return 1 if 3 * k <= 4 * block_depth else (k + block_depth - 1) // block_depth
