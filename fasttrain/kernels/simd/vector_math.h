/* First version, lane by lane from the C library: the names and signatures are what the other kernels use. */
#include <math.h>

#if REAL_IS_FLOAT
#define FT_LIBM(name) name##f
#else
#undef FT_LIBM
#define FT_LIBM(name) name
#endif

#define FT_DEFINE_MATH(name, expression)                                                                 \
    FT_INLINE VEC SUFFIX(ft_vec_##name)(VEC v) {                                                         \
        VEC r;                                                                                           \
        for (int lane = 0; lane < LANES; lane++) {                                                       \
            REAL x = v[lane];                                                                            \
            r[lane] = (expression);                                                                      \
        }                                                                                                \
        return r;                                                                                        \
    }                                                                                                    \
    static void SUFFIX(ft_##name)(ptrdiff_t n, const REAL *x, REAL *y) {                                 \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                                       \
            ptrdiff_t count = n - i < LANES ? n - i : LANES;                                             \
            STORE_PARTIAL(y + i, count, SUFFIX(ft_vec_##name)(LOAD_PARTIAL(x + i, count)));              \
        }                                                                                                \
    }

FT_DEFINE_MATH(exp, FT_LIBM(exp)(x))
FT_DEFINE_MATH(expm1, FT_LIBM(expm1)(x))
FT_DEFINE_MATH(log, FT_LIBM(log)(x))
FT_DEFINE_MATH(log1p, FT_LIBM(log1p)(x))
FT_DEFINE_MATH(tanh, FT_LIBM(tanh)(x))
FT_DEFINE_MATH(sigmoid, 1 / (1 + FT_LIBM(exp)(-x)))
FT_DEFINE_MATH(erf, FT_LIBM(erf)(x))
FT_DEFINE_MATH(erfc, FT_LIBM(erfc)(x))
