# Checks of the arrays that a kernel is given; each raises and names the argument, what came and what was
# expected.  Called with the GIL, before anything is changed.
cimport numpy as cnp


# value as an ndarray of float32 or float64, native byte order, aligned; ndim dimensions, or any if ndim < 0.
cdef cnp.ndarray real_array(object value, str name, int ndim)
# The same, and of the dtype of `like`.
cdef cnp.ndarray real_array_like(object value, str name, int ndim, cnp.ndarray like, str like_name)
# value as an ndarray of bool, integers or floats of up to 64 bits, native byte order, aligned.
cdef cnp.ndarray number_array(object value, str name, int ndim)
# value as an ndarray of int64, native byte order, aligned.
cdef cnp.ndarray int64_array(object value, str name, int ndim)
# value as a 1-D C-contiguous ndarray of integers or bool, native byte order, aligned.
cdef cnp.ndarray label_array(object value, str name)
# Its type as simd/table.h names it, FT_INT8 ... FT_UINT64; bool is FT_UINT8.
cdef int label_type(cnp.ndarray labels)
# Shape; a negative size is not checked.
cdef int check_shape(cnp.ndarray array, str name, Py_ssize_t size0, Py_ssize_t size1=*) except -1
# Not a masked array, whose data alone would pass for it.
cdef int check_unmasked(object array, str name) except -1
# Aligned and in native byte order.
cdef int check_behaved(cnp.ndarray array, str name) except -1
# C-contiguous.
cdef int check_contiguous(cnp.ndarray array, str name) except -1
# 2-D with the elements of a row next to each other and rows that do not overlap; returns the row stride in
# elements.
cdef Py_ssize_t row_stride(cnp.ndarray array, str name) except -1
cdef int check_writeable(cnp.ndarray array, str name) except -1
# No element of `out` lies in the memory of `array`.
cdef int check_disjoint(cnp.ndarray out, str out_name, cnp.ndarray array, str name) except -1
# The first of `names` that value is, as an index.
cdef int check_option(object value, str name, tuple names) except -1
# A real number as a double; finite unless allow_nonfinite; at least `low`.
cdef double check_number(object value, str name, double low=*, bint positive=*) except? -1.0
# An integer, not a bool, from low to high.
cdef Py_ssize_t check_integer(object value, str name, Py_ssize_t low, Py_ssize_t high) except? -1
# What update rules are given: the parameter, any shape, C-contiguous and writeable; an array of the parameter's shape
# and dtype; and one that is written too, so that it must overlap neither param nor grad.
cdef cnp.ndarray param_array(object value, str name)
cdef cnp.ndarray param_array_like(object value, str name, cnp.ndarray param, str param_name=*)
cdef cnp.ndarray state_array(object value, str name, cnp.ndarray param, cnp.ndarray grad)
# The number of a step, from 1 to 2^53, as a double, which holds every such count.
cdef double check_step(object value) except? -1.0
cdef bint check_flag(object value, str name) except -1
# A real number in [0, 1).
cdef double check_fraction(object value, str name) except? -1.0
