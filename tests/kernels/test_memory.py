"""The caller's memory as ndarrays: what is taken, that nothing is copied or leaked, what is refused."""
import array
import ctypes
import gc
import mmap
import sys
import threading
from typing import ClassVar

import numpy as np
import pytest

from fasttrain.kernels.memory import view_memory
from tests.helpers import run_python

NUMPY_DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
ELEMENTS = tuple(NUMPY_DTYPES)
CODES = {"float64": (2, 64), "float32": (2, 32), "float16": (2, 16), "bfloat16": (4, 16)}


def address(x):
    return x.__array_interface__["data"][0]


# ---- a producer that counts ------------------------------------------------------------------------------

class Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    )


class Managed(ctypes.Structure):
    _fields_ = (("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", Tensor),
    )


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_SetName", ctypes.pythonapi)
)
# The destructor takes the capsule as an address, since it must not be kept alive.
is_capsule_at = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
pointer_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
# Global, because a capsule keeps no more than the pointer to its name.
NAMES = {Managed: b"dltensor", Versioned: b"dltensor_versioned"}
USED, EXCHANGE = b"used_dltensor_versioned", b"dlpack_exchange_api"
DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)


@DESTRUCTOR
def destroy(capsule):
    """What a producer does for a capsule that nobody took: call the tensor's deleter."""
    for struct, name in NAMES.items():
        if is_capsule_at(capsule, name):
            pointer = pointer_at(capsule, name)
            deleter = struct.from_address(pointer).deleter
            if deleter:
                DELETER(deleter)(pointer)


class Producer:
    """Exports six elements by DLPack, as its arguments say, and counts the calls of its deleters.

    A struct lives until its deleter has been called and is overwritten then, so that a second call or a use
    after it cannot pass unseen.
    """

    every: ClassVar = []    # a view needs its producer, which has no other way to stay alive

    def __init__(self, *, versioned=True, keywords=True, device=1, tensor_device=None, element="float32",
                 shape=(2, 3), strides=(3, 1), byte_offset=0, version=(1, 3), flags=0, deleter=True, **fields):
        self.every.append(self)
        self.struct = Versioned if versioned else Managed
        self.keywords, self.device, self.fields = keywords, device, fields
        self.memory = ctypes.create_string_buffer(128)
        self.start = -ctypes.addressof(self.memory) % 64
        self.fields.setdefault("data", ctypes.addressof(self.memory) + self.start)
        code, bits = CODES[element]
        for name, value in {
            "device_type": device if tensor_device is None else tensor_device, "ndim": len(shape), "code": code,
            "bits": bits, "lanes": 1, "byte_offset": byte_offset,
        }.items():
            self.fields.setdefault(name, value)
        self.sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        self.steps = None if strides is None else (ctypes.c_int64 * max(len(strides), 1))(*strides)
        self.version, self.flags = version, flags
        self.capsule, self.live, self.n_exported, self.n_deleted = None, {}, 0, 0
        self.deleter = DELETER(self.delete) if deleter else None

    def delete(self, pointer):
        struct = self.live.pop(pointer)     # KeyError, which pytest reports, for a second call
        ctypes.memset(pointer, 0xFF, ctypes.sizeof(struct))
        self.n_deleted += 1

    def __dlpack_device__(self):
        return (self.device, 0)

    def __dlpack__(self, **keywords):
        if keywords and not self.keywords:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        struct = self.struct()
        for name, value in self.fields.items():
            setattr(struct.tensor, name, value)
        struct.tensor.shape = ctypes.cast(self.sizes, ctypes.POINTER(ctypes.c_int64))
        if self.steps is not None:
            struct.tensor.strides = ctypes.cast(self.steps, ctypes.POINTER(ctypes.c_int64))
        if self.struct is Versioned:
            assert keywords["max_version"] == (1, 0)
            struct.major, struct.minor = self.version
            struct.flags = self.flags
        if self.deleter is not None:
            struct.deleter = ctypes.cast(self.deleter, ctypes.c_void_p).value
        self.live[ctypes.addressof(struct)] = struct
        self.n_exported += 1
        self.capsule = new_capsule(ctypes.addressof(struct), NAMES[self.struct], destroy)
        return self.capsule


class Capsules:
    """The same object by its Python methods alone."""

    def __init__(self, value):
        self.__dlpack__, self.__dlpack_device__ = value.__dlpack__, value.__dlpack_device__


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    """A deleter or destructor cannot raise: what it could not raise fails the test.

    No capsule is left for the interpreter's end, when the destructor may be gone.
    """
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: seen.append(event.exc_value))
    yield
    for producer in Producer.every:
        producer.capsule = None
    assert seen == []


# ---- ndarrays --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("element", ELEMENTS[:3])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3), (0, 5), (2, 1, 4)])
def test_ndarrays_are_returned_themselves(element, shape):
    x = np.ones(shape, NUMPY_DTYPES[element])
    frozen = x.view()
    frozen.flags.writeable = False
    for given in (x, frozen, x.T, np.ones((4, 6), x.dtype)[::-2, ::3]):
        viewed, found = view_memory(given, "x")
        assert viewed is given and found == element


def test_subclasses_are_returned_themselves(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=3)
    viewed, element = view_memory(x, "x")
    assert viewed is x and element == "float32"


def test_uint16_is_bfloat16_only_where_the_caller_says_so():
    bits = np.array([0x3F80, 0xC000], np.uint16)
    viewed, element = view_memory(bits, "x", dtype="bfloat16")
    assert viewed is bits and element == "bfloat16"
    message = (
        "grads must have dtype float32, float64, float16 or bfloat16, got uint16; "
        "uint16 is taken for bfloat16 with dtype='bfloat16'"
    )
    with pytest.raises(TypeError) as caught:
        view_memory(bits, "grads")
    assert str(caught.value) == message
    # the other dtypes remain what they are
    assert view_memory(np.ones(2), "x", dtype="bfloat16")[1] == "float64"


@pytest.mark.parametrize("dtype", ["float32", "uint16", np.uint16, 1, True])
def test_no_other_dtype_can_be_said(dtype):
    with pytest.raises((TypeError, ValueError), match="dtype must be one of 'bfloat16', got"):
        view_memory(np.ones(2), "x", dtype=dtype)


@pytest.mark.parametrize("shape", [(), (0,), (7,), (4, 6)])
def test_registered_bfloat16_is_viewed_as_uint16(shape):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.full(shape, 1.5, ml_dtypes.bfloat16)
    for given in (x, x.T, x[..., ::2] if shape else x):
        viewed, element = view_memory(given, "x")
        assert element == "bfloat16" and viewed.dtype == np.uint16 and type(viewed) is np.ndarray
        assert (viewed.shape, viewed.strides, address(viewed)) == (given.shape, given.strides, address(given))
        assert np.all(viewed == 0x3FC0)     # 1.5 is 0 01111111 1000000
    x.flags.writeable = False
    assert not view_memory(x, "x")[0].flags.writeable


def test_other_registered_dtypes_are_refused():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in ("float8_e4m3", "float8_e5m2", "int4"):
        with pytest.raises(TypeError, match=f"x must have dtype .* got {name}"):
            view_memory(np.ones(2, getattr(ml_dtypes, name)), "x")


# ---- DLPack ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("element", ELEMENTS)
def test_a_tensor_is_viewed_in_place(element, versioned):
    producer = Producer(versioned=versioned, keywords=versioned, element=element)
    item = CODES[element][1] // 8
    viewed, found = view_memory(producer, "x")
    assert found == element and viewed.dtype == NUMPY_DTYPES[element] and type(viewed) is np.ndarray
    assert (viewed.shape, viewed.strides) == ((2, 3), (3 * item, item))
    assert address(viewed) == producer.fields["data"]
    assert viewed.flags.writeable and viewed.flags.aligned and viewed.flags.c_contiguous
    assert not viewed.flags.owndata
    name = NAMES[producer.struct]
    assert is_capsule(producer.capsule, b"used_" + name) and not is_capsule(producer.capsule, name)
    viewed[1, 2] = 3
    assert producer.memory.raw[producer.start + 5 * item :][:item] == viewed[1, 2].tobytes()


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize(
    ("shape", "strides", "expected"),
    [
        ((2, 3), None, (12, 4)),
        ((3, 2), (1, 3), (4, 12)),
        ((2, 3), (0, 1), (0, 4)),
        ((), None, ()),
        ((), (), ()),
        ((6,), None, (4,)),
        ((3,), (2,), (8,)),
        ((1, 2, 3), None, (24, 12, 4)),
        ((0,), None, None),
        ((2, 0, 3), None, None),
        ((2, 0, 3), (3, 3, 1), None),
    ],
)
def test_shapes_and_strides(shape, strides, expected, versioned):
    producer = Producer(versioned=versioned, shape=shape, strides=strides)
    viewed, _ = view_memory(producer, "x")
    assert viewed.shape == shape and address(viewed) == producer.fields["data"]
    if expected is not None:
        assert viewed.strides == expected
    assert view_memory(Producer(shape=(1,) * 64, strides=None), "x")[0].ndim == 64


def test_negative_strides_and_an_offset():
    producer = Producer(shape=(6,), strides=(-1,), byte_offset=20)
    whole, _ = view_memory(Producer(shape=(6,), strides=None, data=producer.fields["data"]), "x")
    whole[:] = range(6)
    viewed, _ = view_memory(producer, "x")
    np.testing.assert_array_equal(viewed, [5, 4, 3, 2, 1, 0])


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("flags", [0, 1])
def test_an_empty_tensor_may_have_no_memory(versioned, flags):
    producer = Producer(versioned=versioned, shape=(3, 0), strides=None, data=None, flags=flags)
    viewed, element = view_memory(producer, "x")
    assert viewed.shape == (3, 0) and element == "float32" and viewed.flags.aligned
    assert viewed.flags.writeable == (not versioned or flags == 0)
    assert not viewed.flags.owndata


def test_read_only_memory_is_read_only():
    viewed, _ = view_memory(Producer(flags=1), "x")
    assert not viewed.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        viewed.flags.writeable = True
    # bit 2 tells of padding, and bits beyond are for versions to come
    assert view_memory(Producer(flags=4 + 2**40), "x")[0].flags.writeable


@pytest.mark.parametrize("device", [1, 3, 11])
def test_pinned_memory_is_memory_of_the_cpu(device):
    viewed, _ = view_memory(Producer(device=device), "x")
    viewed[:] = 1
    # a producer may call pinned memory the CPU's in one place only
    assert view_memory(Producer(device=device, tensor_device=1), "x")[0].shape == (2, 3)


@pytest.mark.parametrize("versioned", [True, False])
def test_uint16_tensors_are_bfloat16_only_where_the_caller_says_so(versioned):
    producer = Producer(versioned=versioned, code=1, bits=16)
    viewed, element = view_memory(producer, "x", dtype="bfloat16")
    assert element == "bfloat16" and viewed.dtype == np.uint16
    with pytest.raises(TypeError, match="got uint16; uint16 is taken for bfloat16 with dtype='bfloat16'"):
        view_memory(producer, "x")


@pytest.mark.parametrize("versioned", [True, False])
def test_the_deleter_is_called_once_when_the_last_view_is_gone(versioned):
    producer = Producer(versioned=versioned)
    viewed, _ = view_memory(producer, "x")
    part = viewed[1:]
    producer.capsule = None
    gc.collect()
    del viewed
    gc.collect()
    assert producer.n_deleted == 0
    part[:] = 7
    del part
    gc.collect()
    assert (producer.n_exported, producer.n_deleted, producer.live) == (1, 1, {})


BAD_TENSORS = {
    "device": ({"device": 2}, ValueError, r"device type 2 \(CUDA\)"),
    "tensor_device": ({"tensor_device": 10}, ValueError, r"device type 10 \(ROCm\)"),
    "unknown_device": ({"device": 99}, ValueError, r"device type 99 \(unknown\)"),
    "managed": ({"device": 13}, ValueError, r"device type 13 \(CUDA managed\)"),
    "int32": ({"code": 0, "bits": 32}, TypeError, "bfloat16, got int32$"),
    "bool": ({"code": 6, "bits": 8}, TypeError, "got bool8"),
    "complex": ({"code": 5, "bits": 64}, TypeError, "got complex64"),
    "float128": ({"bits": 128}, TypeError, "got float128"),
    "float8": ({"code": 10, "bits": 8}, TypeError, "got DLPack's type code 10 of 8 bits and 1 lanes"),
    "bfloat32": ({"code": 4, "bits": 32}, TypeError, "got bfloat32"),
    "lanes": ({"lanes": 4}, TypeError, "got DLPack's type code 2 of 32 bits and 4 lanes"),
    "dimensions": ({"ndim": 65}, ValueError, "must have at most 64 dimensions, got 65"),
    "negative_dimensions": ({"ndim": -1}, ValueError, "at most 64 dimensions, got -1"),
    "negative_size": ({"shape": (-2, 3)}, ValueError, "shape that NumPy can have: negative dimensions"),
    "absurd_size": ({"shape": (2**62, 2**62), "strides": None}, ValueError, "shape that NumPy can have: .*too big"),
    "null": ({"data": None}, ValueError, "exports no memory"),
    "unaligned": ({"byte_offset": 2}, ValueError, "must be aligned"),
    "unaligned_stride": ({"element": "float64", "byte_offset": 4}, ValueError, "must be aligned"),
}
BAD_VERSIONED = {
    "version": ({"version": (2, 0)}, TypeError, r"must export version 1 of DLPack, got version 2\.0"),
    "copied": ({"flags": 2}, TypeError, "must export its own memory by DLPack, got a copy of it"),
}


class Exchange(ctypes.Structure):
    TAKE = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(ctypes.c_void_p))
    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("older", ctypes.c_void_p),
        ("allocate", ctypes.c_void_p), ("take", TAKE),
    )


class Direct(Producer):
    """Offers the functions in C too; of tensors that come by them, `n_direct` were taken."""

    n_direct = 0

    def take(self, out):
        capsule = self.__dlpack__(max_version=(1, 0))
        out[0] = pointer_at(id(capsule), b"dltensor_versioned")
        set_name(capsule, USED)
        self.n_direct += 1
        return 0

    table = Exchange(1, 3, None, None, Exchange.TAKE(take))
    __dlpack_c_exchange_api__ = new_capsule(ctypes.addressof(table), EXCHANGE, None)


class Newer(Direct):
    table = Exchange(2, 0)
    __dlpack_c_exchange_api__ = new_capsule(ctypes.addressof(table), EXCHANGE, None)


class Draft(Direct):
    __dlpack_c_exchange_api__ = ctypes.addressof(Direct.table)


def test_the_functions_in_c_are_preferred_where_they_are_of_version_1():
    for cls, n_direct in [(Direct, 1), (Newer, 0), (Draft, 0)]:
        producer = cls()
        viewed, element = view_memory(producer, "x")
        assert (producer.n_exported, producer.n_direct) == (1, n_direct)
        assert element == "float32" and address(viewed) == producer.fields["data"]
        producer.capsule = None
        assert producer.n_deleted == 0
        del viewed
        assert (producer.n_deleted, producer.live) == (1, {})


@pytest.mark.parametrize("name", sorted(BAD_TENSORS | BAD_VERSIONED))
def test_a_bad_tensor_by_the_functions_in_c_is_deleted(name):
    fields, error, message = (BAD_TENSORS | BAD_VERSIONED)[name]
    producer = Direct(**fields)
    with pytest.raises(error, match=message):
        view_memory(producer, "params[3]")
    producer.capsule = None
    gc.collect()
    assert producer.n_deleted == producer.n_exported == producer.n_direct == 1


@pytest.mark.parametrize("versioned", [True, False])
def test_a_deleter_may_be_missing(versioned):
    producer = Producer(versioned=versioned, deleter=False)
    viewed, _ = view_memory(producer, "x")
    del viewed
    producer.capsule = None
    assert producer.n_deleted == 0


@pytest.mark.parametrize(
    ("name", "versioned"),
    [(name, versioned) for name in BAD_TENSORS for versioned in (True, False)] + [(n, True) for n in BAD_VERSIONED],
)
def test_a_bad_tensor_is_refused_and_given_back(name, versioned):
    fields, error, message = (BAD_TENSORS | BAD_VERSIONED)[name]
    producer = Producer(versioned=versioned, **fields)
    with pytest.raises(error, match=message) as caught:
        view_memory(producer, "params[3]")
    assert str(caught.value).startswith("params[3] ")
    del caught
    if producer.n_exported:
        assert not is_capsule(producer.capsule, b"used_" + NAMES[producer.struct])
        producer.capsule = None
    gc.collect()
    assert producer.n_deleted == producer.n_exported == (0 if "device" in fields else 1)


@pytest.mark.parametrize("versioned", [True, False])
def test_a_capsule_is_taken_once(versioned):
    producer = Producer(versioned=versioned)
    viewed, _ = view_memory(producer, "x")
    capsule = producer.capsule

    class Stale:
        def __dlpack_device__(self):
            return (1, 0)

        def __dlpack__(self, **keywords):
            return capsule

    with pytest.raises(TypeError, match=r"x.__dlpack__\(\) must return a new capsule .*got <capsule object \"used_"):
        view_memory(Stale(), "x")
    del viewed
    assert producer.n_deleted == 1


class Odd:
    """Speaks of DLPack, and does something else."""

    def __init__(self, device, capsule):
        self.device, self.capsule = device, capsule

    def __dlpack_device__(self):
        if isinstance(self.device, BaseException):
            raise self.device
        return self.device

    def __dlpack__(self, **keywords):
        if isinstance(self.capsule, BaseException):
            raise self.capsule
        return self.capsule


@pytest.mark.parametrize(
    ("odd", "error", "message"),
    [
        (Odd(None, None), TypeError, "x does not export its memory by DLPack: .*NoneType"),
        (Odd(("cpu", 0), None), TypeError, "x does not export its memory by DLPack: "),
        (Odd(ValueError("no device"), None), TypeError, "x does not export its memory by DLPack: no device"),
        (Odd((1, 0), BufferError("sparse")), TypeError, "x does not export its memory by DLPack: sparse"),
        (Odd((1, 0), TypeError("neither way")), TypeError, "x does not export its memory by DLPack: neither way"),
        (Odd((1, 0), RuntimeError("lost")), TypeError, "x does not export its memory by DLPack: lost"),
        (Odd((1, 0), KeyboardInterrupt("now")), KeyboardInterrupt, "^now$"),
        (Odd((1, 0), None), TypeError, r"x.__dlpack__\(\) must return a new capsule of a tensor, got None"),
        (Odd((1, 0), [1.0]), TypeError, r"x.__dlpack__\(\) must return a new capsule of a tensor, got \[1.0\]"),
        (np.ndarray, TypeError, "x does not export its memory by DLPack: "),
    ],
)
def test_odd_producers(odd, error, message):
    with pytest.raises(error, match=message):
        view_memory(odd, "x")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_what_another_library_exports_of_numpys_memory(dtype):
    whole = np.arange(24, dtype=dtype).reshape(4, 6)
    for x in (whole, whole.T, whole[::-1, ::2], whole[:0], whole[1:2, 2].reshape(())):
        viewed, element = view_memory(Capsules(x), "x")
        assert element == np.dtype(dtype).name and viewed.dtype == x.dtype and viewed.flags.writeable
        assert viewed.shape == x.shape and np.array_equal(viewed, x)
        assert address(viewed) == address(x) and (x.size < 2 or viewed.strides == x.strides)
    whole.flags.writeable = False
    assert not view_memory(Capsules(whole), "x")[0].flags.writeable


# ---- torch -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("way", [lambda tensor: tensor, Capsules], ids=["functions", "capsules"])
@pytest.mark.parametrize("element", ELEMENTS)
def test_torch_tensors_are_viewed_in_place(element, way):
    torch = pytest.importorskip("torch")
    whole = torch.arange(24, dtype=getattr(torch, element)).reshape(4, 6)
    tensors = {
        "whole": whole, "transposed": whole.T, "strided": whole[:, 1::2], "one": whole[2, 3], "empty": whole[:0],
        "none": torch.empty(0, dtype=whole.dtype), "expanded": whole[0].expand(3, 6), "row": whole[1:2],
    }
    for name, tensor in tensors.items():
        viewed, found = view_memory(way(tensor), "x")
        assert found == element and viewed.dtype == NUMPY_DTYPES[element], name
        assert viewed.shape == tuple(tensor.shape) and viewed.flags.writeable, name
        bits = tensor.view(torch.uint16) if element == "bfloat16" else tensor
        np.testing.assert_array_equal(viewed, bits.numpy(), err_msg=name)
        if viewed.size:
            assert address(viewed) == tensor.data_ptr(), name
        if viewed.size > 1 and name != "row":
            assert viewed.strides == tuple(step * tensor.itemsize for step in tensor.stride()), name
    viewed, _ = view_memory(whole, "x")
    viewed[3, 5] = 0
    assert whole[3, 5] == 0
    whole[0, 1] = 0
    assert viewed[0, 1] == 0


def test_torch_tensors_that_require_grad_are_refused_with_the_way_out():
    torch = pytest.importorskip("torch")
    leaf = torch.ones(3, requires_grad=True)
    for tensor in (leaf, leaf * 2, torch.nn.Parameter(torch.ones(3))):
        with pytest.raises(ValueError, match=r"params\[0\] must not require grad, .* pass params\[0\]\.detach\(\) or"):
            view_memory(tensor, "params[0]")
        viewed, _ = view_memory(tensor.detach(), "x")
        assert address(viewed) == tensor.data_ptr()
        assert address(view_memory(tensor.data, "x")[0]) == tensor.data_ptr()
    leaf.sum().backward()
    np.testing.assert_array_equal(view_memory(leaf.grad, "x")[0], np.ones(3))


def test_torch_tensors_of_another_kind_are_refused():
    torch = pytest.importorskip("torch")
    for tensor, error, message in [
        (torch.ones(2, dtype=torch.int64), TypeError, "x must have dtype .* got int64"),
        (torch.ones(2, dtype=torch.bool), TypeError, "x must have dtype .* got bool8"),
        (torch.ones(2, dtype=torch.complex64), TypeError, "x must have dtype .* got complex64"),
        (torch.ones(2, dtype=torch.uint16), TypeError, "x must have dtype .* got uint16; uint16 is taken for"),
        (torch.ones(2, device="meta"), TypeError, "x does not export its memory by DLPack: Unknown device type meta"),
        (torch.eye(2).to_sparse(), TypeError, "x does not export its memory by DLPack: .*layout"),
        # torch exports this one, as the negative of what it is
        (torch.tensor([1 + 2j]).conj().imag, ValueError, r"x must not have its negative bit set; pass x.resolve_neg"),
    ]:
        with pytest.raises(error, match=message):
            view_memory(tensor, "x")
    assert view_memory(torch.tensor([1 + 2j]).conj().imag.resolve_neg(), "x")[0] == -2


def test_torch_memory_outlives_its_tensor_and_no_longer():
    torch = pytest.importorskip("torch")
    reductions = pytest.importorskip("torch.multiprocessing.reductions")
    tensor = torch.full((1000,), 2.0)
    storage = reductions.StorageWeakRef(tensor.untyped_storage())
    views = [view_memory(tensor, "x")[0] for _ in range(10)]
    del tensor
    gc.collect()
    del views[1:]
    np.testing.assert_array_equal(views[0], np.full(1000, 2.0))
    assert not storage.expired()
    del views
    assert storage.expired()


def test_torch_is_not_imported():
    child = run_python("import sys, fasttrain.kernels.memory; print({'torch', 'ml_dtypes'} & set(sys.modules))")
    assert child.stdout.strip() == "set()", child.stderr


# ---- the buffer protocol ---------------------------------------------------------------------------------

BUFFERS = {
    "array_f": (lambda: array.array("f", [1, 2, 3]), "float32", (3,)),
    "array_d": (lambda: array.array("d", [1, 2, 3]), "float64", (3,)),
    "memoryview": (lambda: memoryview(array.array("d", [1, 2, 3, 4]))[::2], "float64", (2,)),
    "reversed": (lambda: memoryview(array.array("f", [1, 2, 3]))[::-1], "float32", (3,)),
    "bytearray": (lambda: memoryview(bytearray(24)).cast("f", (2, 3)), "float32", (2, 3)),
    "empty": (lambda: array.array("f"), "float32", (0,)),
    "half": (lambda: memoryview(np.ones((2, 3), np.float16)), "float16", (2, 3)),
    "transposed": (lambda: memoryview(np.ones((2, 3)).T), "float64", (3, 2)),
    "ctypes": (lambda: (ctypes.c_double * 3 * 2)(), "float64", (2, 3)),
    "ctypes_scalar": (lambda: ctypes.c_float(1.5), "float32", ()),
    "mmap": (lambda: memoryview(mmap.mmap(-1, 64)).cast("d"), "float64", (8,)),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffers_are_viewed_in_place(name):
    make, element, shape = BUFFERS[name]
    value = make()
    viewed, found = view_memory(value, "x")
    assert found == element and viewed.dtype == NUMPY_DTYPES[element]
    assert type(viewed) is np.ndarray and viewed.shape == shape and viewed.flags.writeable
    np.testing.assert_array_equal(viewed, np.array(memoryview(value)))
    viewed[...] = 4.5
    assert np.all(np.array(memoryview(value)) == 4.5)


def test_a_buffer_is_held_while_it_is_viewed():
    value = array.array("f", [1, 2, 3])
    viewed, _ = view_memory(value, "x")
    with pytest.raises(BufferError):
        value.append(4)
    del viewed
    value.append(4)


def test_read_only_buffers_are_read_only():
    viewed, _ = view_memory(memoryview(np.ones(2).tobytes()).cast("d"), "x")
    assert not viewed.flags.writeable
    np.testing.assert_array_equal(viewed, np.ones(2))


def test_uint16_buffers_are_bfloat16_only_where_the_caller_says_so():
    value = array.array("H", [0x3F80])
    viewed, element = view_memory(value, "x", dtype="bfloat16")
    assert element == "bfloat16" and viewed.dtype == np.uint16 and viewed[0] == 0x3F80
    with pytest.raises(TypeError, match="got array of format 'H'; 'H' is taken for bfloat16 with dtype='bfloat16'"):
        view_memory(value, "x")


def test_buffers_with_pointers_on_the_way_are_refused():
    testbuffer = pytest.importorskip("_testbuffer")
    value = testbuffer.ndarray([1.0, 2.0], shape=[2, 1], format="d", flags=testbuffer.ND_PIL)
    assert memoryview(value).suboffsets
    with pytest.raises(TypeError, match="x must be one block of memory, got ndarray with suboffsets"):
        view_memory(value, "x")


class Big(ctypes.BigEndianStructure):
    _fields_ = (("x", ctypes.c_float),)


SWAPPED = ctypes.c_float.__ctype_be__ if sys.byteorder == "little" else ctypes.c_float.__ctype_le__


def released():
    view = memoryview(array.array("f", [1.0]))
    view.release()
    return view


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (b"12345678", TypeError, r"params\[3\] must hold elements of format 'f' .* got bytes of format 'B'"),
        (bytearray(8), TypeError, "got bytearray of format 'B'"),
        (array.array("i", [1]), TypeError, "got array of format 'i'"),
        (array.array("H", [1]), TypeError, "got array of format 'H'"),
        ((ctypes.c_longdouble * 2)(), TypeError, "got c_longdouble_Array_2 of format '<?g'"),
        (Big(), TypeError, "got Big of format 'T{>f:x:}'"),
        (SWAPPED(1.0), ValueError, r"params\[3\] must be aligned in memory and in native byte order"),
        (memoryview(bytearray(13))[1:].cast("f"), ValueError, "must be aligned in memory"),
        (released(), TypeError, r"params\[3\] does not export its memory by the buffer protocol: .*released"),
    ],
)
def test_bad_buffers(value, error, message):
    with pytest.raises(error, match=message):
        view_memory(value, "params[3]")


# ---- all of them -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", [[1.0], (1.0,), None, 1.0, "1.0", {"x": 1.0}, object(), {1.0}])
def test_other_objects_are_refused_by_name(value):
    with pytest.raises(TypeError) as caught:
        view_memory(value, "params[3]")
    assert str(caught.value) == (
        "params[3] must be a numpy.ndarray or export CPU memory by DLPack or the buffer protocol, "
        f"got {type(value).__name__}"
    )


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones(2, np.int64), TypeError, r"params\[3\] must have dtype float32, .* or bfloat16, got int64"),
        (np.ones(2, np.complex64), TypeError, "got complex64"),
        (np.ones(2, np.bool_), TypeError, "got bool"),
        (np.ones(2, object), TypeError, "got object"),
        (np.ones(2, "S2"), TypeError, r"got \|S2"),
        (np.ones(2, [("x", "f4")]), TypeError, "got .*x"),
        (np.ma.ones(2), TypeError, r"params\[3\] must not be a masked array"),
        (np.ones(2, np.dtype(np.float32).newbyteorder()), ValueError, r"params\[3\] must be aligned and in native"),
        (np.zeros(9, np.uint8)[1:].view(np.float32), ValueError, r"params\[3\] must be aligned and in native"),
    ],
)
def test_bad_ndarrays(value, error, message):
    with pytest.raises(error, match=message):
        view_memory(value, "params[3]")


def test_nothing_leaks():
    producers = [Producer(versioned=versioned, keywords=versioned) for versioned in (True, False)] + [Direct()]
    bad = Producer(byte_offset=1)
    buffer, x = array.array("f", [1, 2, 3]), np.ones(3)
    counts = [sys.getrefcount(value) for value in (producers[0], buffer, x)]
    for _ in range(10_000):
        for value in (*producers, buffer, x):
            view_memory(value, "x")
        with pytest.raises(ValueError, match="aligned"):
            view_memory(bad, "x")
    del value
    for producer in (*producers, bad):
        producer.capsule = None
    gc.collect()
    assert [sys.getrefcount(value) for value in (producers[0], buffer, x)] == counts
    assert [(p.n_exported, p.n_deleted, p.live) for p in (*producers, bad)] == [(10_000, 10_000, {})] * 4
    buffer.append(4)    # so no view of it is left


def test_threads_view_the_same_memory_at_once():
    producer, x = Producer(), np.ones(3)
    buffer = array.array("f", [1, 2, 3])
    start, failures = threading.Barrier(4), []

    def work():
        start.wait()
        for _ in range(500):
            try:
                assert view_memory(producer, "x")[0].shape == (2, 3)
                assert view_memory(buffer, "x")[0].shape == (3,)
                assert view_memory(x, "x")[0] is x
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.capsule = None
    gc.collect()
    assert failures == [] and producer.live == {} and producer.n_exported == 2000
