/*
 * Sums of squares in double, for the norms of the update rules that need them.
 *
 * Elements are walked in runs of FT_SQUARE_RUN.  Element i of a run is squared in double and summed in lane i mod
 * FT_SQUARE_LANES, its two squares of that lane added to each other first, whatever the width of the level's
 * vectors: the same bits come out at every level.
 *
 * A walk is a loop over whole runs, one copy of it for each combination of options, and a tail: a function of its own,
 * in which options are variables, since loads of parts of vectors are long code where the level has no masks.
 */
#include "flush.h"

#ifndef FT_SQUARES_ONCE
#define FT_SQUARES_ONCE

#define FT_SQUARE_RUN 16
#define FT_TAIL static __attribute__((noinline)) void
#define FT_SQUARE_LANES 8
#define FT_SQUARE_VECTORS (FT_SQUARE_LANES / FT_LANES_f64)

typedef struct {
    f64v part[FT_SQUARE_VECTORS];
} ft_square_sums;

/* The lanes' sum: halves are folded together. */
FT_INLINE double ft_squares_total(const ft_square_sums *sums) {
    double lane[FT_SQUARE_LANES];
    memcpy(lane, sums->part, sizeof lane);
    for (int width = FT_SQUARE_LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

FT_INLINE void ft_squares_add(ft_square_sums *sums, const f64v squares[2 * FT_SQUARE_VECTORS]) {
    FT_UNROLL
    for (int k = 0; k < FT_SQUARE_VECTORS; k++)
        sums->part[k] += squares[k] + squares[k + FT_SQUARE_VECTORS];
}

#endif

#define FT_RUN_VECTORS (FT_SQUARE_RUN / LANES)

/* Fetches a run that is needed soon: hardware fetches a stream too, but stops at every page and restarts slowly where
   there are several.  Never faults, past the end of x neither. */
FT_INLINE void SUFFIX(ft_fetch_run)(const REAL *x) {
    __builtin_prefetch(x);
    if (FT_SQUARE_RUN * sizeof(REAL) > 64)
        __builtin_prefetch((const char *)x + 64);
}

/* The first `count` elements of a run, or all of it from FT_SQUARE_RUN on; zeros beyond. */
FT_INLINE void SUFFIX(ft_load_run)(const REAL *x, ptrdiff_t count, VEC run[FT_RUN_VECTORS]) {
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++) {
        const ptrdiff_t left = count - j * LANES;
        run[j] = left >= LANES ? LOAD(x + j * LANES) : left > 0 ? LOAD_PARTIAL(x + j * LANES, left) : (VEC){0};
    }
}

FT_INLINE void SUFFIX(ft_store_run)(REAL *x, ptrdiff_t count, const VEC run[FT_RUN_VECTORS]) {
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++) {
        const ptrdiff_t left = count - j * LANES;
        if (left >= LANES)
            STORE(x + j * LANES, run[j]);
        else if (left > 0)
            STORE_PARTIAL(x + j * LANES, left, run[j]);
    }
}

/* The squares of a run in double, in its order. */
FT_INLINE void SUFFIX(ft_square_run)(const VEC run[FT_RUN_VECTORS], f64v squares[2 * FT_SQUARE_VECTORS]) {
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++) {
#if REAL_IS_FLOAT
        f64v low, high;
        for (int lane = 0; lane < FT_LANES_f64; lane++) {
            low[lane] = run[j][lane];
            high[lane] = run[j][lane + FT_LANES_f64];
        }
        squares[2 * j] = low * low;
        squares[2 * j + 1] = high * high;
#else
        squares[j] = run[j] * run[j];
#endif
    }
}

FT_INLINE void SUFFIX(ft_squares_of_run)(ft_square_sums *sums, const VEC run[FT_RUN_VECTORS]) {
    f64v squares[2 * FT_SQUARE_VECTORS];
    SUFFIX(ft_square_run)(run, squares);
    ft_squares_add(sums, squares);
}
