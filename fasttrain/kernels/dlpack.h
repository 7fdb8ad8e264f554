/*
 * The structs of DLPack 1.x, by which array libraries lend each other memory: the layout that its
 * specification fixes (https://dmlc.github.io/dlpack), in names of our own.
 *
 * A producer's __dlpack__() gives a capsule of one of the two managed tensors.  Whoever takes the tensor out
 * renames the capsule and calls the deleter, once, when done with the memory.
 */
#ifndef FT_DLPACK_H
#define FT_DLPACK_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Devices whose memory the CPU reads and writes as its own: the other two are pages locked for a GPU. */
enum { FT_DLPACK_CPU = 1, FT_DLPACK_CUDA_HOST = 3, FT_DLPACK_ROCM_HOST = 11 };

/* What an element is. */
enum { FT_DLPACK_UINT = 1, FT_DLPACK_FLOAT = 2, FT_DLPACK_BFLOAT = 4 };

/* Bits of ft_dlpack_versioned.flags. */
enum { FT_DLPACK_READ_ONLY = 1, FT_DLPACK_IS_COPIED = 2 };

typedef struct {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits; /* of an element: its kind and its width */
    uint16_t lanes;     /* numbers in an element: 1, or more in vectors */
    int64_t *shape;     /* (ndim) */
    int64_t *strides;   /* (ndim), in elements; NULL is C order */
    uint64_t byte_offset; /* of the first element from data */
} ft_dlpack_tensor;

/* In a capsule "dltensor", then "used_dltensor". */
typedef struct ft_dlpack_managed {
    ft_dlpack_tensor tensor;
    void *context; /* the producer's */
    void (*deleter)(struct ft_dlpack_managed *self); /* may be NULL */
} ft_dlpack_managed;

/* In a capsule "dltensor_versioned", then "used_dltensor_versioned".  With another major version only the
 * members up to the deleter are sure to be there. */
typedef struct ft_dlpack_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct ft_dlpack_versioned *self);
    uint64_t flags;
    ft_dlpack_tensor tensor;
} ft_dlpack_versioned;

/* In a capsule "dlpack_exchange_api", the attribute __dlpack_c_exchange_api__ of a type: __dlpack__() of its
 * objects without Python. */
typedef struct {
    uint32_t major, minor;
    void *older; /* the same of an older version; may be NULL */
    void (*allocate)(void);
    /* 0, and *out is the caller's; or -1 with a Python exception set.  Waits for no stream of a GPU. */
    int (*take)(void *object, ft_dlpack_versioned **out);
    /* more that is not used here */
} ft_dlpack_exchange;

static_assert(offsetof(ft_dlpack_tensor, shape) == sizeof(void *) + 16, "DLPack's layout");
static_assert(offsetof(ft_dlpack_versioned, tensor) == 2 * sizeof(void *) + 16, "DLPack's layout");
static_assert(offsetof(ft_dlpack_exchange, take) == 2 * sizeof(void *) + 8, "DLPack's layout");

#endif
