"""Checks of the arrays that a kernel is given, shared by all kernel modules.

Low-level kernels never copy or convert: they raise, and say which call does.
"""
import operator

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY, isfinite

from fasttrain.kernels.table cimport FT_INT8, FT_UINT8

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    bint PyArray_ISBEHAVED_RO(cnp.ndarray array)


cdef cnp.ndarray _array(object value, str name, int ndim):
    if not cnp.PyArray_CheckExact(value):
        if not isinstance(value, np.ndarray):
            raise TypeError(
                f"{name} must be a numpy.ndarray, got {type(value).__name__}; numpy.asarray converts"
            )
        check_unmasked(value, name)
    cdef cnp.ndarray array = value
    if ndim >= 0 and cnp.PyArray_NDIM(array) != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), got shape {_shape(array)}")
    return array


cdef tuple _shape(cnp.ndarray array):
    return (<object> array).shape


cdef int check_unmasked(object array, str name) except -1:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array; use {name}.filled(...) or {name}.data")
    return 0


cdef int check_behaved(cnp.ndarray array, str name) except -1:
    if not PyArray_ISBEHAVED_RO(array):
        raise ValueError(
            f"{name} must be aligned and in native byte order; "
            f"{name}.astype({name}.dtype.newbyteorder('=')) converts"
        )
    return 0


cdef cnp.ndarray real_array(object value, str name, int ndim):
    cdef cnp.ndarray array = _array(value, name, ndim)
    cdef int kind = cnp.PyArray_TYPE(array)
    if kind != cnp.NPY_FLOAT32 and kind != cnp.NPY_FLOAT64:
        raise TypeError(
            f"{name} must have dtype float32 or float64, got {(<object> array).dtype}; "
            f"{name}.astype(numpy.float64) converts"
        )
    check_behaved(array, name)
    return array


cdef cnp.ndarray number_array(object value, str name, int ndim):
    cdef cnp.ndarray array = _array(value, name, ndim)
    cdef int kind = cnp.PyArray_TYPE(array)
    if not (
        kind == cnp.NPY_FLOAT64 or kind == cnp.NPY_FLOAT32 or cnp.PyTypeNum_ISINTEGER(kind)
        or kind == cnp.NPY_BOOL or kind == cnp.NPY_FLOAT16
    ):
        raise TypeError(
            f"{name} must hold real numbers of up to 64 bits, got dtype {(<object> array).dtype}; "
            f"{name}.astype(numpy.float64) converts"
        )
    check_behaved(array, name)
    return array


cdef cnp.ndarray int64_array(object value, str name, int ndim):
    cdef cnp.ndarray array = _array(value, name, ndim)
    cdef object dtype = (<object> array).dtype
    if dtype.kind != "i" or dtype.itemsize != 8:
        raise TypeError(
            f"{name} must have dtype int64, got {dtype}; {name}.astype(numpy.int64) converts"
        )
    check_behaved(array, name)
    return array


cdef cnp.ndarray real_array_like(object value, str name, int ndim, cnp.ndarray like, str like_name):
    cdef cnp.ndarray array = real_array(value, name, ndim)
    if cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(like):
        raise TypeError(
            f"{name} must have the dtype of {like_name}, {(<object> like).dtype}, "
            f"got {(<object> array).dtype}"
        )
    return array


cdef cnp.ndarray label_array(object value, str name):
    cdef cnp.ndarray array = _array(value, name, 1)
    if not cnp.PyTypeNum_ISINTEGER(cnp.PyArray_TYPE(array)) and not cnp.PyArray_ISBOOL(array):
        raise TypeError(
            f"{name} must have an integer dtype or bool, got {(<object> array).dtype}; "
            f"{name}.astype(numpy.int64) converts"
        )
    check_behaved(array, name)
    check_contiguous(array, name)
    return array


cdef int label_type(cnp.ndarray labels):
    cdef int width = {1: 0, 2: 1, 4: 2, 8: 3}[cnp.PyArray_ITEMSIZE(labels)]
    return (FT_INT8 if cnp.PyArray_ISSIGNED(labels) else FT_UINT8) + width


cdef int check_shape(cnp.ndarray array, str name, Py_ssize_t size0, Py_ssize_t size1=-2) except -1:
    # size1 = -2: the array has one dimension
    cdef int ndim = 1 if size1 == -2 else 2
    if (
        cnp.PyArray_NDIM(array) != ndim
        or (size0 >= 0 and cnp.PyArray_DIM(array, 0) != size0)
        or (ndim == 2 and size1 >= 0 and cnp.PyArray_DIM(array, 1) != size1)
    ):
        sizes = [size0] if ndim == 1 else [size0, size1]
        wanted = ", ".join("any" if size < 0 else str(size) for size in sizes)
        raise ValueError(
            f"{name} must have shape ({wanted}{',' if ndim == 1 else ''}), got {_shape(array)}"
        )
    return 0


cdef int check_contiguous(cnp.ndarray array, str name) except -1:
    if not cnp.PyArray_IS_C_CONTIGUOUS(array):
        raise ValueError(f"{name} must be C-contiguous; numpy.ascontiguousarray({name}) converts")
    return 0


cdef Py_ssize_t row_stride(cnp.ndarray array, str name) except -1:
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(array)
    cdef Py_ssize_t n_rows = cnp.PyArray_DIM(array, 0), n_columns = cnp.PyArray_DIM(array, 1)
    cdef Py_ssize_t between_rows = cnp.PyArray_STRIDE(array, 0), along = cnp.PyArray_STRIDE(array, 1)
    if n_rows == 0 or n_columns == 0:
        return n_columns
    if n_rows == 1:
        between_rows = n_columns * item
    if (n_columns > 1 and along != item) or between_rows < n_columns * item or between_rows % item:
        raise ValueError(
            f"the rows of {name} must be contiguous and in rising order; "
            f"numpy.ascontiguousarray({name}) converts"
        )
    return between_rows // item


cdef int check_writeable(cnp.ndarray array, str name) except -1:
    if not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{name} must be writeable, got a read-only array")
    return 0


cdef void _bounds(cnp.ndarray array, char** low, char** high) noexcept:
    cdef int axis
    cdef Py_ssize_t reach
    low[0] = cnp.PyArray_BYTES(array)
    high[0] = low[0] + cnp.PyArray_ITEMSIZE(array)
    for axis in range(cnp.PyArray_NDIM(array)):
        reach = (cnp.PyArray_DIM(array, axis) - 1) * cnp.PyArray_STRIDE(array, axis)
        if reach < 0:
            low[0] += reach
        else:
            high[0] += reach


cdef int check_disjoint(cnp.ndarray out, str out_name, cnp.ndarray array, str name) except -1:
    cdef char *out_low
    cdef char *out_high
    cdef char *low
    cdef char *high
    if cnp.PyArray_SIZE(out) == 0 or cnp.PyArray_SIZE(array) == 0:
        return 0
    _bounds(out, &out_low, &out_high)
    _bounds(array, &low, &high)
    if out_low < high and low < out_high and np.shares_memory(out, array):
        raise ValueError(f"{out_name} must not overlap {name} in memory")
    return 0


cdef int check_option(object value, str name, tuple names) except -1:
    if isinstance(value, str) and value in names:
        return names.index(value)
    kinds = ", ".join(repr(option) for option in names)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {kinds}, got {value!r}")
    raise ValueError(f"{name} must be one of {kinds}, got {value!r}")


cdef double check_number(object value, str name, double low=-INFINITY, bint positive=False) except? -1.0:
    cdef double number
    if isinstance(value, float):
        number = value
    elif isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    else:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be a real number, got {value!r}") from None
    if not isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if number < low or (positive and number <= 0.0):
        bound = "positive" if positive else f"at least {low:g}"
        raise ValueError(f"{name} must be {bound}, got {value!r}")
    return number


cdef Py_ssize_t check_integer(object value, str name, Py_ssize_t low, Py_ssize_t high) except? -1:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {number}")
    return number


# ---- update rules -----------------------------------------------------------------------------------------

cdef cnp.ndarray param_array(object value, str name):
    cdef cnp.ndarray array = real_array(value, name, -1)
    check_contiguous(array, name)
    check_writeable(array, name)
    return array


cdef cnp.ndarray param_array_like(object value, str name, cnp.ndarray param, str param_name="param"):
    cdef cnp.ndarray array = real_array_like(value, name, -1, param, param_name)
    if not cnp.PyArray_SAMESHAPE(array, param):
        raise ValueError(f"{name} must have the shape of {param_name}, {_shape(param)}, got {_shape(array)}")
    check_contiguous(array, name)
    return array


cdef cnp.ndarray state_array(object value, str name, cnp.ndarray param, cnp.ndarray grad):
    cdef cnp.ndarray array = param_array_like(value, name, param)
    check_writeable(array, name)
    check_disjoint(array, name, param, "param")
    check_disjoint(array, name, grad, "grad")
    return array


cdef double check_step(object value) except? -1.0:
    if isinstance(value, bool):
        raise TypeError(f"step must be a positive integer, got {value!r}")
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"step must be a positive integer, got {value!r}") from None
    if not 1 <= count <= 9007199254740992:
        raise ValueError(f"step must be between 1 and 2**53, got {count}")
    return <double> count


cdef bint check_flag(object value, str name) except -1:
    if value is True or value is False or isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


cdef double check_fraction(object value, str name) except? -1.0:
    cdef double number = check_number(value, name, 0.0)
    if number >= 1.0:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return number
