/* The names that a kernel body is written in, for double.  real_end.h takes them away again. */
#define REAL double
#define VEC f64v
#define INT int64_t
#define IVEC i64v
#define LANES FT_LANES_f64
#define SUFFIX(name) name##_f64
#define REAL_IS_FLOAT 0
#define LOAD ft_load_f64
#define STORE ft_store_f64
#define LOAD_PARTIAL ft_load_partial_f64
#define STORE_PARTIAL ft_store_partial_f64
#define BROADCAST ft_broadcast_f64
#define SELECT ft_select_f64
#define FMA ft_fma_f64
#define SQRT ft_sqrt_f64
#define SUM ft_sum_f64
