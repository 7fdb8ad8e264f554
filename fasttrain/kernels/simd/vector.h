/*
 * Vector types and the few operations that GCC's and Clang's vector extensions do not spell.
 *
 * A level file (level_v3.c, ...) sets FT_VECTOR_BYTES, FT_HAS_FMA and FT_LEVEL_NAME and then includes
 * level.h, which includes this header once.  Everything here is static and always inlined, so that no
 * vector ever crosses a call between files compiled for different levels.
 *
 * Names: <element>v is a vector (f32v, f64v, i32v, i64v); f32u and f64u are the same vectors at any
 * address, for loads and stores.  Comparisons of vectors give integer vectors of 0 and -1.
 */
#ifndef FT_VECTOR_H
#define FT_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define FT_INLINE static inline __attribute__((always_inline, unused))
#define FT_UNROLL _Pragma("GCC unroll 32")

typedef float f32v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef double f64v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef int32_t i32v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef int64_t i64v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef uint32_t u32v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef uint64_t u64v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef float f32u __attribute__((vector_size(FT_VECTOR_BYTES), aligned(4), may_alias));
typedef double f64u __attribute__((vector_size(FT_VECTOR_BYTES), aligned(8), may_alias));

#define FT_LANES_f32 (FT_VECTOR_BYTES / 4)
#define FT_LANES_f64 (FT_VECTOR_BYTES / 8)

/*
 * Partial loads and stores touch only the first `count` lanes, 0 <= count <= lanes; the other lanes
 * of a load are zero.  They give tails the same code path and the same rounding as full vectors.
 */
#if FT_VECTOR_BYTES == 64
FT_INLINE f32v ft_load_partial_f32(const float *x, ptrdiff_t count) {
    return (f32v)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1u), x);
}
FT_INLINE void ft_store_partial_f32(float *x, ptrdiff_t count, f32v v) {
    _mm512_mask_storeu_ps(x, (__mmask16)((1u << count) - 1u), (__m512)v);
}
FT_INLINE f64v ft_load_partial_f64(const double *x, ptrdiff_t count) {
    return (f64v)_mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1u), x);
}
FT_INLINE void ft_store_partial_f64(double *x, ptrdiff_t count, f64v v) {
    _mm512_mask_storeu_pd(x, (__mmask8)((1u << count) - 1u), (__m512d)v);
}
#elif FT_VECTOR_BYTES == 32
static const int32_t ft_mask_words[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
FT_INLINE __m256i ft_mask_f32(ptrdiff_t count) {
    return _mm256_loadu_si256((const __m256i *)(ft_mask_words + 8 - count));
}
FT_INLINE __m256i ft_mask_f64(ptrdiff_t count) {
    return _mm256_loadu_si256((const __m256i *)(ft_mask_words + 8 - 2 * count));
}
FT_INLINE f32v ft_load_partial_f32(const float *x, ptrdiff_t count) {
    return (f32v)_mm256_maskload_ps(x, ft_mask_f32(count));
}
FT_INLINE void ft_store_partial_f32(float *x, ptrdiff_t count, f32v v) {
    _mm256_maskstore_ps(x, ft_mask_f32(count), (__m256)v);
}
FT_INLINE f64v ft_load_partial_f64(const double *x, ptrdiff_t count) {
    return (f64v)_mm256_maskload_pd(x, ft_mask_f64(count));
}
FT_INLINE void ft_store_partial_f64(double *x, ptrdiff_t count, f64v v) {
    _mm256_maskstore_pd(x, ft_mask_f64(count), (__m256d)v);
}
#else
FT_INLINE f32v ft_load_partial_f32(const float *x, ptrdiff_t count) {
    f32v v = {0};
    for (ptrdiff_t lane = 0; lane < FT_LANES_f32; lane++)
        if (lane < count)
            v[lane] = x[lane];
    return v;
}
FT_INLINE void ft_store_partial_f32(float *x, ptrdiff_t count, f32v v) {
    for (ptrdiff_t lane = 0; lane < FT_LANES_f32; lane++)
        if (lane < count)
            x[lane] = v[lane];
}
FT_INLINE f64v ft_load_partial_f64(const double *x, ptrdiff_t count) {
    f64v v = {0};
    for (ptrdiff_t lane = 0; lane < FT_LANES_f64; lane++)
        if (lane < count)
            v[lane] = x[lane];
    return v;
}
FT_INLINE void ft_store_partial_f64(double *x, ptrdiff_t count, f64v v) {
    for (ptrdiff_t lane = 0; lane < FT_LANES_f64; lane++)
        if (lane < count)
            x[lane] = v[lane];
}
#endif

/*
 * Pairs of lanes taken in turn from a and b, within each 128 bits: the low halves, or the high halves.
 * The steps of a transposition.
 */
#if FT_VECTOR_BYTES == 64
#define FT_LOW_PAIRS_f32 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define FT_HIGH_PAIRS_f32 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define FT_LOW_PAIRS_f64 0, 8, 2, 10, 4, 12, 6, 14
#define FT_HIGH_PAIRS_f64 1, 9, 3, 11, 5, 13, 7, 15
#elif FT_VECTOR_BYTES == 32
#define FT_LOW_PAIRS_f32 0, 8, 1, 9, 4, 12, 5, 13
#define FT_HIGH_PAIRS_f32 2, 10, 3, 11, 6, 14, 7, 15
#define FT_LOW_PAIRS_f64 0, 4, 2, 6
#define FT_HIGH_PAIRS_f64 1, 5, 3, 7
#else
#define FT_LOW_PAIRS_f32 0, 4, 1, 5
#define FT_HIGH_PAIRS_f32 2, 6, 3, 7
#define FT_LOW_PAIRS_f64 0, 2
#define FT_HIGH_PAIRS_f64 1, 3
#endif

/* A vector from pieces of 128 bits, `stride` bytes apart. */
typedef double ft_piece __attribute__((vector_size(16)));
FT_INLINE ft_piece ft_load_piece(const char *from) {
    ft_piece piece;
    memcpy(&piece, from, sizeof piece);
    return piece;
}
FT_INLINE f64v ft_load_pieces(const char *from, ptrdiff_t stride) {
#if FT_VECTOR_BYTES == 16
    (void)stride;
    return (f64v)ft_load_piece(from);
#elif FT_VECTOR_BYTES == 32
    return __builtin_shufflevector(ft_load_piece(from), ft_load_piece(from + stride), 0, 1, 2, 3);
#elif defined(__x86_64__)
    /* a masked broadcast is a load and a blend; the compiler would shuffle */
    __m512d pieces = _mm512_castpd128_pd512((__m128d)ft_load_piece(from));
    pieces = _mm512_mask_broadcast_f64x2(pieces, 0x0c, (__m128d)ft_load_piece(from + stride));
    pieces = _mm512_mask_broadcast_f64x2(pieces, 0x30, (__m128d)ft_load_piece(from + 2 * stride));
    return (f64v)_mm512_mask_broadcast_f64x2(pieces, 0xc0, (__m128d)ft_load_piece(from + 3 * stride));
#endif
}

/* Piece i of a vector, to any address. */
FT_INLINE void ft_store_piece(char *to, f64v v, int i) { memcpy(to, (const char *)&v + 16 * i, 16); }

#define FT_LOW_PAIRS(S, a, b) __builtin_shufflevector(a, b, FT_LOW_PAIRS_##S)
#define FT_HIGH_PAIRS(S, a, b) __builtin_shufflevector(a, b, FT_HIGH_PAIRS_##S)

/*
 * select: yes where the mask is -1, no where it is 0.  min, max: b where either is NaN.  x86 has one
 * instruction for each; GCC finds only the AVX-512 select from plain vector code.
 */
#if FT_VECTOR_BYTES == 64 || !defined(__x86_64__)
FT_INLINE f32v ft_select_f32(i32v mask, f32v yes, f32v no) {
    return (f32v)((mask & (i32v)yes) | (~mask & (i32v)no));
}
FT_INLINE f64v ft_select_f64(i64v mask, f64v yes, f64v no) {
    return (f64v)((mask & (i64v)yes) | (~mask & (i64v)no));
}
#endif
#if FT_VECTOR_BYTES == 64
FT_INLINE f32v ft_min_f32(f32v a, f32v b) { return (f32v)_mm512_min_ps((__m512)a, (__m512)b); }
FT_INLINE f64v ft_min_f64(f64v a, f64v b) { return (f64v)_mm512_min_pd((__m512d)a, (__m512d)b); }
FT_INLINE f32v ft_max_f32(f32v a, f32v b) { return (f32v)_mm512_max_ps((__m512)a, (__m512)b); }
FT_INLINE f64v ft_max_f64(f64v a, f64v b) { return (f64v)_mm512_max_pd((__m512d)a, (__m512d)b); }
FT_INLINE u32v ft_max_u32(u32v a, u32v b) { return (u32v)_mm512_max_epu32((__m512i)a, (__m512i)b); }
#elif FT_VECTOR_BYTES == 32
FT_INLINE f32v ft_select_f32(i32v mask, f32v yes, f32v no) {
    return (f32v)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
}
FT_INLINE f64v ft_select_f64(i64v mask, f64v yes, f64v no) {
    return (f64v)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)mask);
}
FT_INLINE f32v ft_min_f32(f32v a, f32v b) { return (f32v)_mm256_min_ps((__m256)a, (__m256)b); }
FT_INLINE f64v ft_min_f64(f64v a, f64v b) { return (f64v)_mm256_min_pd((__m256d)a, (__m256d)b); }
FT_INLINE f32v ft_max_f32(f32v a, f32v b) { return (f32v)_mm256_max_ps((__m256)a, (__m256)b); }
FT_INLINE f64v ft_max_f64(f64v a, f64v b) { return (f64v)_mm256_max_pd((__m256d)a, (__m256d)b); }
FT_INLINE u32v ft_max_u32(u32v a, u32v b) { return (u32v)_mm256_max_epu32((__m256i)a, (__m256i)b); }
#elif defined(__x86_64__)
FT_INLINE f32v ft_select_f32(i32v mask, f32v yes, f32v no) {
    return (f32v)_mm_blendv_ps((__m128)no, (__m128)yes, (__m128)mask);
}
FT_INLINE f64v ft_select_f64(i64v mask, f64v yes, f64v no) {
    return (f64v)_mm_blendv_pd((__m128d)no, (__m128d)yes, (__m128d)mask);
}
FT_INLINE f32v ft_min_f32(f32v a, f32v b) { return (f32v)_mm_min_ps((__m128)a, (__m128)b); }
FT_INLINE f64v ft_min_f64(f64v a, f64v b) { return (f64v)_mm_min_pd((__m128d)a, (__m128d)b); }
FT_INLINE f32v ft_max_f32(f32v a, f32v b) { return (f32v)_mm_max_ps((__m128)a, (__m128)b); }
FT_INLINE f64v ft_max_f64(f64v a, f64v b) { return (f64v)_mm_max_pd((__m128d)a, (__m128d)b); }
FT_INLINE u32v ft_max_u32(u32v a, u32v b) { return (u32v)_mm_max_epu32((__m128i)a, (__m128i)b); }
#else
FT_INLINE f32v ft_min_f32(f32v a, f32v b) { return ft_select_f32(a < b, a, b); }
FT_INLINE f64v ft_min_f64(f64v a, f64v b) { return ft_select_f64(a < b, a, b); }
FT_INLINE f32v ft_max_f32(f32v a, f32v b) { return ft_select_f32(a > b, a, b); }
FT_INLINE f64v ft_max_f64(f64v a, f64v b) { return ft_select_f64(a > b, a, b); }
FT_INLINE u32v ft_max_u32(u32v a, u32v b) { return (u32v)ft_select_f32((i32v)(a > b), (f32v)a, (f32v)b); }
#endif

/* a * b + c: one rounding where the level has the instruction, two where it has not. */
#if FT_HAS_FMA && FT_VECTOR_BYTES == 64
FT_INLINE f32v ft_fma_f32(f32v a, f32v b, f32v c) { return (f32v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
FT_INLINE f64v ft_fma_f64(f64v a, f64v b, f64v c) { return (f64v)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
#elif FT_HAS_FMA && FT_VECTOR_BYTES == 32
FT_INLINE f32v ft_fma_f32(f32v a, f32v b, f32v c) { return (f32v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
FT_INLINE f64v ft_fma_f64(f64v a, f64v b, f64v c) { return (f64v)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#elif FT_HAS_FMA
FT_INLINE f32v ft_fma_f32(f32v a, f32v b, f32v c) {
    f32v r;
    for (int lane = 0; lane < FT_LANES_f32; lane++)
        r[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
    return r;
}
FT_INLINE f64v ft_fma_f64(f64v a, f64v b, f64v c) {
    f64v r;
    for (int lane = 0; lane < FT_LANES_f64; lane++)
        r[lane] = __builtin_fma(a[lane], b[lane], c[lane]);
    return r;
}
#else
FT_INLINE f32v ft_fma_f32(f32v a, f32v b, f32v c) { return a * b + c; }
FT_INLINE f64v ft_fma_f64(f64v a, f64v b, f64v c) { return a * b + c; }
#endif

/* One body for float and double; both families of names are made here. */
#define FT_DEFINE_VECTOR_OPS(S, T, IS, SQRT)                                                        \
    FT_INLINE S##v ft_load_##S(const T *x) { return *(const S##u *)x; }                              \
    FT_INLINE void ft_store_##S(T *x, S##v v) { *(S##u *)x = v; }                                    \
    FT_INLINE S##v ft_broadcast_##S(T x) { return x - (S##v){0}; }                                   \
    FT_INLINE S##v ft_sqrt_##S(S##v a) {                                                             \
        S##v r;                                                                                      \
        for (int lane = 0; lane < FT_LANES_##S; lane++)                                              \
            r[lane] = SQRT(a[lane]);                                                                 \
        return r;                                                                                    \
    }                                                                                                \
    /* The lanes' sum, in a fixed order: halves are folded together. */                              \
    FT_INLINE T ft_sum_##S(S##v v) {                                                                 \
        T part[FT_LANES_##S];                                                                        \
        memcpy(part, &v, sizeof part);                                                               \
        for (int width = FT_LANES_##S / 2; width > 0; width /= 2)                                    \
            for (int lane = 0; lane < width; lane++)                                                 \
                part[lane] += part[lane + width];                                                    \
        return part[0];                                                                              \
    }                                                                                                \
    /* The largest lane of a vector without NaN. */                                                  \
    FT_INLINE T ft_max_lane_##S(S##v v) {                                                            \
        T part[FT_LANES_##S];                                                                        \
        memcpy(part, &v, sizeof part);                                                               \
        for (int width = FT_LANES_##S / 2; width > 0; width /= 2)                                    \
            for (int lane = 0; lane < width; lane++)                                                 \
                part[lane] = part[lane] > part[lane + width] ? part[lane] : part[lane + width];      \
        return part[0];                                                                              \
    }                                                                                                \
    /* All ones in the first `count` lanes. */                                                       \
    FT_INLINE IS##v ft_first_lanes_##S(ptrdiff_t count) {                                            \
        IS##v r;                                                                                     \
        for (int lane = 0; lane < FT_LANES_##S; lane++)                                              \
            r[lane] = lane < count ? -1 : 0;                                                         \
        return r;                                                                                    \
    }                                                                                                \
    /* v where the mask is, 0 elsewhere. */                                                          \
    FT_INLINE S##v ft_keep_##S(IS##v mask, S##v v) { return (S##v)(mask & (IS##v)v); }               \
    FT_INLINE int ft_any_##S(IS##v mask) {                                                           \
        uint64_t part[FT_VECTOR_BYTES / 8], any = 0;                                                 \
        memcpy(part, &mask, sizeof part);                                                            \
        for (int i = 0; i < FT_VECTOR_BYTES / 8; i++)                                                \
            any |= part[i];                                                                          \
        return any != 0;                                                                             \
    }

FT_DEFINE_VECTOR_OPS(f32, float, i32, __builtin_sqrtf)
FT_DEFINE_VECTOR_OPS(f64, double, i64, __builtin_sqrt)

/*
 * Sums of four vectors at once, each in the order of ft_sum: halves are folded together down to 128 bits, and
 * those of the four are transposed.
 */
typedef float ft_quad __attribute__((vector_size(16)));
#if FT_VECTOR_BYTES == 64
FT_INLINE ft_quad ft_fold_f32(f32v v) {
    typedef float half __attribute__((vector_size(32)));
    half h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
}
FT_INLINE ft_piece ft_fold_f64(f64v v) {
    typedef double half __attribute__((vector_size(32)));
    half h = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
    return __builtin_shufflevector(h, h, 0, 1) + __builtin_shufflevector(h, h, 2, 3);
}
#elif FT_VECTOR_BYTES == 32
FT_INLINE ft_quad ft_fold_f32(f32v v) {
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
}
FT_INLINE ft_piece ft_fold_f64(f64v v) {
    return __builtin_shufflevector(v, v, 0, 1) + __builtin_shufflevector(v, v, 2, 3);
}
#else
FT_INLINE ft_quad ft_fold_f32(f32v v) { return v; }
FT_INLINE ft_piece ft_fold_f64(f64v v) { return v; }
#endif
FT_INLINE void ft_sum_four_f32(f32v a, f32v b, f32v c, f32v d, float *sums) {
    ft_quad p = ft_fold_f32(a), q = ft_fold_f32(b), r = ft_fold_f32(c), s = ft_fold_f32(d);
    ft_quad pq_low = __builtin_shufflevector(p, q, 0, 4, 1, 5), pq_high = __builtin_shufflevector(p, q, 2, 6, 3, 7);
    ft_quad rs_low = __builtin_shufflevector(r, s, 0, 4, 1, 5), rs_high = __builtin_shufflevector(r, s, 2, 6, 3, 7);
    ft_quad pq = pq_low + pq_high, rs = rs_low + rs_high; /* lanes 0 + 2 of p and q, 1 + 3 of p and q */
    ft_quad total = __builtin_shufflevector(pq, rs, 0, 1, 4, 5) + __builtin_shufflevector(pq, rs, 2, 3, 6, 7);
    memcpy(sums, &total, sizeof total);
}
FT_INLINE void ft_sum_four_f64(f64v a, f64v b, f64v c, f64v d, double *sums) {
    ft_piece p = ft_fold_f64(a), q = ft_fold_f64(b), r = ft_fold_f64(c), s = ft_fold_f64(d);
    ft_piece pq = __builtin_shufflevector(p, q, 0, 2) + __builtin_shufflevector(p, q, 1, 3);
    ft_piece rs = __builtin_shufflevector(r, s, 0, 2) + __builtin_shufflevector(r, s, 1, 3);
    memcpy(sums, &pq, sizeof pq);
    memcpy(sums + 2, &rs, sizeof rs);
}

/* Running sums in double of vectors of either type: one lane of double for each lane that comes in. */
typedef struct {
    f64v low, high;
} ft_sums_f32;
typedef struct {
    f64v low;
} ft_sums_f64;

FT_INLINE void ft_sums_add_f32(ft_sums_f32 *sums, f32v v) {
    f64v low, high;
    for (int lane = 0; lane < FT_LANES_f64; lane++) {
        low[lane] = v[lane];
        high[lane] = v[lane + FT_LANES_f64];
    }
    sums->low += low;
    sums->high += high;
}
FT_INLINE void ft_sums_add_f64(ft_sums_f64 *sums, f64v v) { sums->low += v; }
FT_INLINE double ft_sums_total_f32(ft_sums_f32 sums) { return ft_sum_f64(sums.low + sums.high); }
FT_INLINE double ft_sums_total_f64(ft_sums_f64 sums) { return ft_sum_f64(sums.low); }

#endif
