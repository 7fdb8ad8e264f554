/*
 * What the machine can do at most: fused multiply-adds a second, and bytes a second from memory.
 *
 * Compiled at benchmark time for the CPU level in use (ceiling.py), never shipped.  Every function runs
 * one variant once on n_threads threads and returns the seconds; ceiling.py keeps the best of all variants
 * and runs.  VECTOR_BYTES is the width of the level's vectors.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __x86_64__
#include <immintrin.h>
#endif

typedef float f32v __attribute__((vector_size(VECTOR_BYTES)));
typedef double f64v __attribute__((vector_size(VECTOR_BYTES)));
typedef float f32u __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
#define LANES (VECTOR_BYTES / 4)
#define UNROLL _Pragma("GCC unroll 32")

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/*
 * ---- arithmetic: independent chains of a = a * x + y, enough of them to hide the latency ----
 *
 * x and y come from volatile memory: a compiler that knew them would see that a chain which starts at the fixed
 * point of a x + y stays there, and leave it out.
 */
static volatile double factor = 0.9999, term = 0.0001;

#define FMA_CHAINS(V, T, N)                                                                              \
    __attribute__((noinline)) static T fma_##V##_##N(long n_steps) {                                     \
        V acc[N], x = (V){0} + (T)factor, y = (V){0} + (T)term;                                          \
        UNROLL for (int j = 0; j < N; j++) acc[j] = (V){0} + (T)j;                                       \
        for (long i = 0; i < n_steps; i++) {                                                             \
            UNROLL for (int j = 0; j < N; j++) acc[j] = acc[j] * x + y;                                  \
        }                                                                                                \
        V sum = acc[0];                                                                                  \
        UNROLL for (int j = 1; j < N; j++) sum += acc[j];                                                \
        return sum[0];                                                                                   \
    }

#define FMA_FAMILY(V, T)                                                                                 \
    FMA_CHAINS(V, T, 8)                                                                                  \
    FMA_CHAINS(V, T, 10)                                                                                 \
    FMA_CHAINS(V, T, 12)                                                                                 \
    FMA_CHAINS(V, T, 14)                                                                                 \
    FMA_CHAINS(V, T, 16)                                                                                 \
    FMA_CHAINS(V, T, 20)                                                                                 \
    FMA_CHAINS(V, T, 24)                                                                                 \
    static T (*const V##_chains[])(long) = {fma_##V##_8,  fma_##V##_10, fma_##V##_12, fma_##V##_14,      \
                                            fma_##V##_16, fma_##V##_20, fma_##V##_24};

FMA_FAMILY(f32v, float)
FMA_FAMILY(f64v, double)

/* Chains in variant 0 .. 6; ceiling.py needs them to count the operations. */
const int ceiling_fma_chains[] = {8, 10, 12, 14, 16, 20, 24, 0};

double ceiling_fma(int is_double, int variant, long n_steps, int n_threads, double *sink) {
    double total = 0.0, start = now();
    (void)n_threads;
#pragma omp parallel num_threads(n_threads) reduction(+ : total)
    total += is_double ? f64v_chains[variant](n_steps) : (double)f32v_chains[variant](n_steps);
    double seconds = now() - start;
    *sink = total;
    return seconds;
}

/* ---- memory: streams over arrays far larger than the caches, in pieces that threads take in turn ---- */

#define PIECE ((ptrdiff_t)1 << 18) /* floats: 1 MiB */

static f32v load(const float *x) { return *(const f32u *)x; }
static void store(float *x, f32v v) { *(f32u *)x = v; }
/* Past the caches, which saves reading the line first; x is a multiple of the vector's size. */
static void stream(float *x, f32v v) {
#if defined(__x86_64__) && VECTOR_BYTES == 64
    _mm512_stream_ps(x, (__m512)v);
#elif defined(__x86_64__) && VECTOR_BYTES == 32
    _mm256_stream_ps(x, (__m256)v);
#elif defined(__x86_64__)
    _mm_stream_ps(x, (__m128)v);
#else
    store(x, v);
#endif
}

static float sum_of(f32v *acc) {
    UNROLL for (int j = 1; j < 8; j++) acc[0] += acc[j];
    float sum = 0.0f;
    for (int lane = 0; lane < LANES; lane++)
        sum += acc[0][lane];
    return sum;
}

static float read_piece(const float *x, ptrdiff_t n, int prefetch) {
    f32v acc[8];
    UNROLL for (int j = 0; j < 8; j++) acc[j] = (f32v){0};
    for (ptrdiff_t i = 0; i < n; i += 8 * LANES) {
        if (prefetch)
            UNROLL for (int line = 0; line < 8 * VECTOR_BYTES / 64; line++)
                __builtin_prefetch(x + i + 16 * line + 1024);
        UNROLL for (int j = 0; j < 8; j++) acc[j] += load(x + i + j * LANES);
    }
    return sum_of(acc);
}

static float read_two(const float *x, const float *y, ptrdiff_t n) {
    f32v acc[8];
    UNROLL for (int j = 0; j < 8; j++) acc[j] = (f32v){0};
    for (ptrdiff_t i = 0; i < n; i += 4 * LANES)
        UNROLL for (int j = 0; j < 4; j++) {
            acc[j] += load(x + i + j * LANES);
            acc[4 + j] += load(y + i + j * LANES);
        }
    return sum_of(acc);
}

/* variant 0: plain; 1: with prefetch; 2: two halves by turns.  n is a multiple of PIECE, and so below. */
double ceiling_read(int variant, const float *x, ptrdiff_t n, int n_threads, double *sink) {
    double total = 0.0, start = now();
    (void)n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic) reduction(+ : total)
    for (ptrdiff_t i = 0; i < n; i += PIECE)
        total += variant < 2 ? read_piece(x + i, PIECE, variant) : read_two(x + i / 2, x + (n + i) / 2, PIECE / 2);
    double seconds = now() - start;
    *sink = total;
    return seconds;
}

/* y = x.  variant 0: memcpy; 1: plain vectors; 2: past the caches. */
double ceiling_copy(int variant, const float *x, float *y, ptrdiff_t n, int n_threads) {
    double start = now();
    (void)n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
    for (ptrdiff_t i = 0; i < n; i += PIECE) {
        if (variant == 0)
            memcpy(y + i, x + i, PIECE * sizeof *y);
        else if (variant == 1)
            for (ptrdiff_t p = i; p < i + PIECE; p += LANES)
                store(y + p, load(x + p));
        else
            for (ptrdiff_t p = i; p < i + PIECE; p += LANES)
                stream(y + p, load(x + p));
    }
    return now() - start;
}

/*
 * Sums into memory.  variant 0: a = b + c; 1: the same past the caches; 2: a += b (these count three
 * arrays); 3: a, b and c updated in place from d (seven: four read, three written).
 */
double ceiling_add(int variant, float *a, float *b, float *c, const float *d, ptrdiff_t n, int n_threads) {
    double start = now();
    (void)n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
    for (ptrdiff_t i = 0; i < n; i += PIECE) {
        if (variant == 0)
            for (ptrdiff_t p = i; p < i + PIECE; p += LANES)
                store(a + p, load(b + p) + load(c + p));
        else if (variant == 1)
            for (ptrdiff_t p = i; p < i + PIECE; p += LANES)
                stream(a + p, load(b + p) + load(c + p));
        else if (variant == 2)
            for (ptrdiff_t p = i; p < i + PIECE; p += LANES)
                store(a + p, load(a + p) + load(b + p));
        else
            for (ptrdiff_t p = i; p < i + PIECE; p += LANES) {
                f32v step = load(d + p);
                store(a + p, load(a + p) + step);
                store(b + p, load(b + p) + step);
                store(c + p, load(c + p) + step);
            }
    }
    return now() - start;
}
