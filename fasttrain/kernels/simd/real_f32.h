/* The names that a kernel body is written in, for float.  real_end.h takes them away again. */
#define REAL float
#define VEC f32v
#define INT int32_t
#define IVEC i32v
#define LANES FT_LANES_f32
#define SUFFIX(name) name##_f32
#define REAL_IS_FLOAT 1
#define LOAD ft_load_f32
#define STORE ft_store_f32
#define LOAD_PARTIAL ft_load_partial_f32
#define STORE_PARTIAL ft_store_partial_f32
#define BROADCAST ft_broadcast_f32
#define SELECT ft_select_f32
#define FMA ft_fma_f32
#define SQRT ft_sqrt_f32
#define SUM ft_sum_f32
