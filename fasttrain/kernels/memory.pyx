"""The caller's memory as an ndarray, whatever exports it: nothing is copied, and no other library imported.

Memory comes in three ways, tried in this order.

ndarrays are returned themselves.  bfloat16, which NumPy lacks, is seen as uint16: packages that register it as
a dtype (ml_dtypes) are known by the dtype's name, and plain uint16 is taken for it only where the caller says
so.

DLPack is how tensors come, torch's among them.  NumPy's own from_dlpack refuses bfloat16 and memory that is
pinned for a GPU, hence ours.  What a capsule holds is checked while the capsule owns it, so that an error
leaves the producer's own clean-up to run; then the capsule is marked as used, and a _Managed, the base of the
ndarray, calls the deleter.  Types that offer DLPack's functions in C are asked by them, which takes a tenth of
the time: the gradients of a model come anew at every step.  A capsule of the old kind cannot say that its
memory is read-only: its protocol has producers refuse instead, so it is taken as writeable.  Memory of another
device, and memory that the producer copied, is refused: writing to a copy would be lost without a word.  So are
torch tensors that require grad, whose change autograd would not see, and those with a pending sign (is_neg),
whose memory holds the negative of their values, which DLPack cannot say.

The buffer protocol is how array.array, memoryview, mmap and ctypes come.

Either way a view holds the memory, not the object: one who frees it under a view (tensor.resize_ beyond the
storage's size) leaves it dangling, as with every consumer of DLPack.
"""
cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyObject_CheckBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_SetName
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fasttrain.kernels.checks cimport check_behaved, check_option, check_unmasked

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    bint PyArray_ISBEHAVED_RO(cnp.ndarray array)

cdef extern from "dlpack.h":
    enum:
        FT_DLPACK_CPU, FT_DLPACK_CUDA_HOST, FT_DLPACK_ROCM_HOST
        FT_DLPACK_UINT, FT_DLPACK_FLOAT, FT_DLPACK_BFLOAT
        FT_DLPACK_READ_ONLY, FT_DLPACK_IS_COPIED

    ctypedef struct ft_dlpack_tensor:
        void* data
        int32_t device_type, ndim
        uint8_t code, bits
        uint16_t lanes
        int64_t* shape
        int64_t* strides
        uint64_t byte_offset

    ctypedef struct ft_dlpack_managed:
        ft_dlpack_tensor tensor
        void (*deleter)(ft_dlpack_managed*) noexcept

    ctypedef struct ft_dlpack_versioned:
        uint32_t major, minor
        void (*deleter)(ft_dlpack_versioned*) noexcept
        uint64_t flags
        ft_dlpack_tensor tensor

    ctypedef struct ft_dlpack_exchange:
        uint32_t major
        int (*take)(void* object, ft_dlpack_versioned** out) except -1

cdef enum:
    MAX_DIMENSIONS = 64     # NumPy's own limit

cdef tuple ELEMENT_NAMES = ("float64", "float32", "float16", "bfloat16")    # in the order of Element
cdef tuple VERSION = (1, 0)     # of DLPack, the highest that is understood; minor ones only add
cdef dict DEVICE_NAMES = {
    2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 9: "VPI", 10: "ROCm", 12: "extension", 13: "CUDA managed",
    14: "oneAPI", 15: "WebGPU", 16: "Hexagon", 17: "MAIA", 18: "Trainium",
}

# What producers raise for objects of theirs that they cannot export.
cdef tuple EXPORT_ERRORS = (BufferError, RuntimeError, TypeError, ValueError)

cdef double NOTHING     # where an empty array may point


# ---- ndarrays --------------------------------------------------------------------------------------------

cdef inline int _element(cnp.ndarray array, bint uint16_is_bfloat16) noexcept:
    # of NumPy's own dtypes; -1 for others
    cdef int kind = cnp.PyArray_TYPE(array)
    if kind == cnp.NPY_FLOAT32:
        return FLOAT32
    if kind == cnp.NPY_FLOAT64:
        return FLOAT64
    if kind == cnp.NPY_FLOAT16:
        return FLOAT16
    if kind == cnp.NPY_UINT16 and uint16_is_bfloat16:
        return BFLOAT16
    return -1


cdef object _bad_dtype(object array, str name):
    hint = "; uint16 is taken for bfloat16 with dtype='bfloat16'" if array.dtype == np.uint16 else ""
    return TypeError(
        f"{name} must have dtype float32, float64, float16 or bfloat16, got {array.dtype}{hint}"
    )


cdef cnp.ndarray _registered_bfloat16(cnp.ndarray array, str name):
    # a dtype of that name that another package registered
    if cnp.PyArray_ITEMSIZE(array) != 2 or (<object> array).dtype.name != "bfloat16":
        raise _bad_dtype(array, name)
    check_behaved(array, name)      # before the byte order is lost
    return np.ndarray.view(array, np.uint16, np.ndarray)


# ---- DLPack ----------------------------------------------------------------------------------------------

@cython.final
cdef class _Managed:
    # The owner of a tensor that was taken out of its capsule: the base of the ndarray that views it.
    cdef ft_dlpack_managed* managed         # one of the two
    cdef ft_dlpack_versioned* versioned

    def __dealloc__(self):
        if self.managed != NULL and self.managed.deleter != NULL:
            self.managed.deleter(self.managed)
        if self.versioned != NULL and self.versioned.deleter != NULL:
            self.versioned.deleter(self.versioned)


cdef bint _is_host(int device_type) noexcept:
    return device_type in (FT_DLPACK_CPU, FT_DLPACK_CUDA_HOST, FT_DLPACK_ROCM_HOST)


cdef object _bad_device(int device_type, str name):
    kind = DEVICE_NAMES.get(device_type, "unknown")
    return ValueError(
        f"{name} must be in the CPU's memory, got memory of DLPack's device type {device_type} ({kind})"
    )


cdef int _dlpack_type(const ft_dlpack_tensor* tensor, str name, bint uint16_is_bfloat16) except -1:
    # NumPy's number of the dtype
    if tensor.lanes == 1:
        if tensor.code == FT_DLPACK_FLOAT and tensor.bits == 32:
            return cnp.NPY_FLOAT32
        if tensor.code == FT_DLPACK_FLOAT and tensor.bits == 64:
            return cnp.NPY_FLOAT64
        if tensor.code == FT_DLPACK_FLOAT and tensor.bits == 16:
            return cnp.NPY_FLOAT16
        if tensor.code == FT_DLPACK_BFLOAT and tensor.bits == 16:
            return cnp.NPY_UINT16
        if tensor.code == FT_DLPACK_UINT and tensor.bits == 16 and uint16_is_bfloat16:
            return cnp.NPY_UINT16
    kind = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}.get(tensor.code)
    came = f"{kind}{tensor.bits}" if kind and tensor.lanes == 1 else (
        f"DLPack's type code {tensor.code} of {tensor.bits} bits and {tensor.lanes} lanes"
    )
    hint = "; uint16 is taken for bfloat16 with dtype='bfloat16'" if came == "uint16" else ""
    raise TypeError(f"{name} must have dtype float32, float64, float16 or bfloat16, got {came}{hint}")


cdef cnp.ndarray _array_of_tensor(
    const ft_dlpack_tensor* tensor, str name, bint writeable, bint uint16_is_bfloat16, _Managed owner,
):
    cdef int dtype, axis
    cdef Py_ssize_t item
    cdef size_t step                # unsigned, so that an absurd shape may wrap before NumPy refuses it
    cdef bint empty = False
    cdef cnp.npy_intp shape[MAX_DIMENSIONS]
    cdef cnp.npy_intp strides[MAX_DIMENSIONS]
    cdef char* data = <char*> tensor.data
    cdef cnp.ndarray array
    if not _is_host(tensor.device_type):
        raise _bad_device(tensor.device_type, name)
    dtype = _dlpack_type(tensor, name, uint16_is_bfloat16)
    if tensor.ndim < 0 or tensor.ndim > MAX_DIMENSIONS:
        raise ValueError(f"{name} must have at most {MAX_DIMENSIONS} dimensions, got {tensor.ndim}")
    item = tensor.bits // 8
    step = item
    for axis in range(tensor.ndim - 1, -1, -1):
        shape[axis] = tensor.shape[axis]
        strides[axis] = step if tensor.strides == NULL else item * tensor.strides[axis]
        step *= shape[axis]
        empty = empty or shape[axis] == 0
    if data != NULL:
        data += tensor.byte_offset
    elif empty:
        data = <char*> &NOTHING     # NumPy takes NULL as an order to allocate
    else:
        raise ValueError(f"{name} exports no memory: its DLPack tensor has a null pointer")
    try:
        array = cnp.PyArray_New(
            cnp.ndarray, tensor.ndim, shape, dtype, strides, data, 0,
            cnp.NPY_ARRAY_WRITEABLE if writeable else 0, None
        )
    except ValueError as error:
        raise ValueError(f"{name} must have a shape that NumPy can have: {error}") from error
    if not PyArray_ISBEHAVED_RO(array):
        raise ValueError(f"{name} must be aligned to its element's size in memory")
    cnp.set_array_base(array, owner)
    return array


cdef cnp.ndarray _array_of_versioned(
    const ft_dlpack_versioned* versioned, str name, bint uint16_is_bfloat16, _Managed owner,
):
    if versioned.major != 1:
        raise TypeError(
            f"{name} must export version 1 of DLPack, got version {versioned.major}.{versioned.minor}"
        )
    if versioned.flags & FT_DLPACK_IS_COPIED:
        raise TypeError(f"{name} must export its own memory by DLPack, got a copy of it")
    return _array_of_tensor(
        &versioned.tensor, name, not versioned.flags & FT_DLPACK_READ_ONLY, uint16_is_bfloat16, owner
    )


cdef int _check_plain(object value, str name) except -1:
    if getattr(value, "requires_grad", False) is True:
        raise ValueError(
            f"{name} must not require grad, because autograd does not see what is done to its memory; "
            f"pass {name}.detach() or {name}.data"
        )
    is_neg = getattr(value, "is_neg", None)
    if is_neg is not None and is_neg() is True:
        raise ValueError(f"{name} must not have its negative bit set; pass {name}.resolve_neg()")
    return 0


cdef const ft_dlpack_exchange* _exchange(object value) except? NULL:
    # of value's type, or NULL
    cdef const ft_dlpack_exchange* exchange
    table = getattr(type(value), "__dlpack_c_exchange_api__", None)
    if not PyCapsule_IsValid(table, "dlpack_exchange_api"):
        return NULL
    exchange = <const ft_dlpack_exchange*> PyCapsule_GetPointer(table, "dlpack_exchange_api")
    return exchange if exchange.major == 1 else NULL


cdef cnp.ndarray _array_by_exchange(
    const ft_dlpack_exchange* exchange, object value, str name, bint uint16_is_bfloat16,
):
    # None if the producer fails
    cdef _Managed owner = _Managed.__new__(_Managed)
    try:
        exchange.take(<void*> value, &owner.versioned)
    except EXPORT_ERRORS:
        return None
    return _array_of_versioned(owner.versioned, name, uint16_is_bfloat16, owner)


cdef object _capsule(object value):
    try:
        return value.__dlpack__(max_version=VERSION)
    except TypeError:       # from before version 1
        return value.__dlpack__()


cdef cnp.ndarray _array_by_capsule(object value, str name, bint uint16_is_bfloat16):
    cdef _Managed owner = _Managed.__new__(_Managed)
    cdef ft_dlpack_managed* managed
    cdef ft_dlpack_versioned* versioned
    cdef cnp.ndarray array
    cdef object capsule = None
    cdef int device_type
    try:
        device_type = value.__dlpack_device__()[0]
        if _is_host(device_type):
            capsule = _capsule(value)
    except EXPORT_ERRORS as error:
        raise TypeError(f"{name} does not export its memory by DLPack: {error}") from error
    if not _is_host(device_type):
        raise _bad_device(device_type, name)
    # The owner is empty until the capsule has given the tensor away, which is the last that can fail.
    if PyCapsule_IsValid(capsule, "dltensor_versioned"):
        versioned = <ft_dlpack_versioned*> PyCapsule_GetPointer(capsule, "dltensor_versioned")
        array = _array_of_versioned(versioned, name, uint16_is_bfloat16, owner)
        PyCapsule_SetName(capsule, "used_dltensor_versioned")
        owner.versioned = versioned
    elif PyCapsule_IsValid(capsule, "dltensor"):
        managed = <ft_dlpack_managed*> PyCapsule_GetPointer(capsule, "dltensor")
        array = _array_of_tensor(&managed.tensor, name, True, uint16_is_bfloat16, owner)
        PyCapsule_SetName(capsule, "used_dltensor")
        owner.managed = managed
    else:
        raise TypeError(f"{name}.__dlpack__() must return a new capsule of a tensor, got {capsule!r}")
    return array


cdef cnp.ndarray _array_by_dlpack(object value, str name, bint uint16_is_bfloat16):
    cdef const ft_dlpack_exchange* exchange
    cdef cnp.ndarray array = None
    _check_plain(value, name)
    exchange = _exchange(value)
    if exchange != NULL:
        array = _array_by_exchange(exchange, value, name, uint16_is_bfloat16)
    if array is None:       # a producer's methods in Python say better why it cannot
        array = _array_by_capsule(value, name, uint16_is_bfloat16)
    return array


# ---- the buffer protocol ---------------------------------------------------------------------------------

cdef cnp.ndarray _array_by_buffer(object value, str name, bint uint16_is_bfloat16):
    cdef cnp.ndarray array
    try:
        memory = memoryview(value)
    except (BufferError, TypeError, ValueError) as error:
        raise TypeError(f"{name} does not export its memory by the buffer protocol: {error}") from error
    # One element's format and no pointers on the way to it, where NumPy makes a view.
    code = memory.format.lstrip("@=<>")
    if code not in ("f", "d", "e", "H") or (code == "H" and not uint16_is_bfloat16):
        hint = "; 'H' is taken for bfloat16 with dtype='bfloat16'" if code == "H" else ""
        raise TypeError(
            f"{name} must hold elements of format 'f' (float32), 'd' (float64) or 'e' (float16), "
            f"got {type(value).__name__} of format {memory.format!r}{hint}"
        )
    if memory.suboffsets:
        raise TypeError(f"{name} must be one block of memory, got {type(value).__name__} with suboffsets")
    array = np.asarray(memory, copy=False)
    if not PyArray_ISBEHAVED_RO(array):
        raise ValueError(f"{name} must be aligned in memory and in native byte order")
    return array


# ---- all of them -----------------------------------------------------------------------------------------

cdef cnp.ndarray _array_of_exporter(object value, str name, bint uint16_is_bfloat16):
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _array_by_dlpack(value, name, uint16_is_bfloat16)
    if PyObject_CheckBuffer(value):
        return _array_by_buffer(value, name, uint16_is_bfloat16)
    raise TypeError(
        f"{name} must be a numpy.ndarray or export CPU memory by DLPack or the buffer protocol, "
        f"got {type(value).__name__}"
    )


cdef cnp.ndarray array_of_memory(object value, str name, Element* element, bint uint16_is_bfloat16=False):
    cdef cnp.ndarray array
    cdef int kind
    if cnp.PyArray_Check(value):
        if not cnp.PyArray_CheckExact(value):
            check_unmasked(value, name)
        array = value
        kind = _element(array, uint16_is_bfloat16)
        if kind < 0:
            array = _registered_bfloat16(array, name)
            kind = BFLOAT16
        else:
            check_behaved(array, name)
    else:
        array = _array_of_exporter(value, name, uint16_is_bfloat16)
        kind = _element(array, True)
    element[0] = <Element> kind
    return array


def view_memory(value, name, *, dtype=None):
    """An ndarray on the memory of `value`, and what its elements are.

    Not public: the other kernel modules call ``array_of_memory``, this one is for Python.

    Parameters
    ----------
    value : ndarray, or any object that exports CPU memory by DLPack or the buffer protocol
        Of float32, float64, float16 or bfloat16.
    name : str
        The argument's name in errors.
    dtype : "bfloat16", optional
        Elements of uint16 are the bits of bfloat16; they are refused otherwise.

    Returns
    -------
    array : ndarray
        `value` itself if it is an ndarray, but for bfloat16, else a view that keeps its memory alive.  Aligned,
        in native byte order, of any shape and strides, read-only where `value` is.  bfloat16 is seen as
        uint16.
    element : "float64", "float32", "float16" or "bfloat16"

    Raises
    ------
    TypeError
        For an object that does not export memory, another dtype, a masked array.
    ValueError
        For memory of another device, unaligned or in foreign byte order, a torch tensor that requires grad.
    """
    cdef Element element
    if dtype is not None:
        check_option(dtype, "dtype", ("bfloat16",))
    array = array_of_memory(value, name, &element, dtype is not None)
    return array, ELEMENT_NAMES[element]
