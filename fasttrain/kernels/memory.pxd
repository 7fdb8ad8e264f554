# The caller's memory as an ndarray, whatever exports it.
cimport numpy as cnp


# What the elements of memory are.
cdef enum Element:
    FLOAT64
    FLOAT32
    FLOAT16
    BFLOAT16

# value's memory as an aligned ndarray in native byte order, never a copy; an ndarray is returned itself, but
# for bfloat16, which is always seen as uint16.  The base of the ndarray keeps value's memory alive.  Any shape
# and strides; read-only where value is.  uint16_is_bfloat16: elements of uint16 are taken for bfloat16, else
# refused.
cdef cnp.ndarray array_of_memory(object value, str name, Element* element, bint uint16_is_bfloat16=*)
