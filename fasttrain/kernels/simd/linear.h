/*
 * A linear model over blocks of rows: the scores of a block, and the gradient once its residuals are known.
 * kernels/linear.pyx chooses blocks that stay in the first-level cache from the one to the other, so X is
 * read from memory once.
 *
 * Sums over features and over rows run in several vectors at once and are folded at fixed places, so a result
 * depends on the sizes alone: a row scores the same bits wherever it stands in a block.
 */

/* Longest sum over features that stays in one set of accumulators; shorter ones round less. */
#define FT_LINEAR_FOLD 2048
#define FT_LINEAR_ROWS 4    /* rows whose sums are folded together */
#define FT_LINEAR_VECTORS 13 /* vectors of the gradient that stay in registers over a block */

/*
 * z (n_rows,) += X theta, n_rows a constant up to FT_LINEAR_ROWS, n_features at most FT_LINEAR_FOLD.  Row by row:
 * X comes from memory nearly twice as fast in the order of its addresses as from several rows by turns.
 */
FT_INLINE void SUFFIX(ft_linear_rows)(ptrdiff_t n_rows, ptrdiff_t n_features, const REAL *x,
                                      ptrdiff_t x_row_stride, const REAL *theta, REAL *z) {
    VEC sum[FT_LINEAR_ROWS];
    FT_UNROLL for (ptrdiff_t i = 0; i < n_rows; i++) {
        const REAL *row = x + i * x_row_stride;
        VEC even = {0}, odd = {0};
        ptrdiff_t j = 0;
        for (; j + 2 * LANES <= n_features; j += 2 * LANES) {
            even = FMA(LOAD(row + j), LOAD(theta + j), even);
            odd = FMA(LOAD(row + j + LANES), LOAD(theta + j + LANES), odd);
        }
        if (j + LANES <= n_features) {
            even = FMA(LOAD(row + j), LOAD(theta + j), even);
            j += LANES;
        }
        if (j < n_features)
            odd = FMA(LOAD_PARTIAL(row + j, n_features - j), LOAD_PARTIAL(theta + j, n_features - j), odd);
        sum[i] = even + odd;
    }
    if (n_rows == 4) {
        REAL total[4];
        SUFFIX(ft_sum_four)(sum[0], sum[1], sum[2], sum[3], total);
        FT_UNROLL for (ptrdiff_t i = 0; i < 4; i++)
            z[i] += total[i];
    } else {
        FT_UNROLL for (ptrdiff_t i = 0; i < n_rows; i++)
            z[i] += SUM(sum[i]);
    }
}

static void SUFFIX(ft_linear_predict)(ptrdiff_t n_rows, ptrdiff_t n_features, const REAL *x,
                                      ptrdiff_t x_row_stride, const REAL *theta, REAL intercept, REAL *z) {
    for (ptrdiff_t i = 0; i < n_rows; i++)
        z[i] = intercept;
    for (ptrdiff_t j = 0; j < n_features; j += FT_LINEAR_FOLD) {
        const ptrdiff_t n = n_features - j < FT_LINEAR_FOLD ? n_features - j : FT_LINEAR_FOLD;
        ptrdiff_t i = 0;
        for (; i + FT_LINEAR_ROWS <= n_rows; i += FT_LINEAR_ROWS)
            SUFFIX(ft_linear_rows)(FT_LINEAR_ROWS, n, x + i * x_row_stride + j, x_row_stride, theta + j,
                                   z + i);
        const REAL *rest = x + i * x_row_stride + j;
        if (n_rows - i == 3)
            SUFFIX(ft_linear_rows)(3, n, rest, x_row_stride, theta + j, z + i);
        else if (n_rows - i == 2)
            SUFFIX(ft_linear_rows)(2, n, rest, x_row_stride, theta + j, z + i);
        else if (n_rows - i == 1)
            SUFFIX(ft_linear_rows)(1, n, rest, x_row_stride, theta + j, z + i);
    }
}

/* sum (n_vectors,) += residual * row, the last vector cut to last_count unless whole */
FT_INLINE void SUFFIX(ft_linear_add_row)(const ptrdiff_t n_vectors, const int whole, ptrdiff_t last_count,
                                         const REAL *row, REAL residual, VEC *sum) {
    const VEC r = BROADCAST(residual);
    FT_UNROLL for (ptrdiff_t v = 0; v < n_vectors; v++) {
        const REAL *from = row + v * LANES;
        sum[v] = FMA(v < n_vectors - 1 || whole ? LOAD(from) : LOAD_PARTIAL(from, last_count), r, sum[v]);
    }
}

/*
 * grad (n_vectors of LANES, the last cut to last_count) += X^T residual, n_vectors a constant.  Narrow columns
 * take several rows at a time, each with sums of its own, so that no sum waits for itself.
 */
FT_INLINE void SUFFIX(ft_linear_columns)(ptrdiff_t n_rows, const ptrdiff_t n_vectors, const int whole,
                                         ptrdiff_t last_count, const REAL *x, ptrdiff_t x_row_stride,
                                         const REAL *residual, REAL *grad) {
    const ptrdiff_t last = n_vectors - 1, group = n_vectors <= 3 ? 4 : n_vectors <= 6 ? 2 : 1;
    VEC sum[FT_LINEAR_VECTORS] = {{0}};
    ptrdiff_t i = 0;
    for (; i + group <= n_rows; i += group)
        FT_UNROLL for (ptrdiff_t g = 0; g < group; g++)
            SUFFIX(ft_linear_add_row)(n_vectors, whole, last_count, x + (i + g) * x_row_stride, residual[i + g],
                                      sum + g * n_vectors);
    for (; i < n_rows; i++)
        SUFFIX(ft_linear_add_row)(n_vectors, whole, last_count, x + i * x_row_stride, residual[i], sum);
    FT_UNROLL for (ptrdiff_t v = 0; v < n_vectors; v++) {
        VEC total = sum[v];
        if (group == 2)
            total += sum[n_vectors + v];
        if (group == 4)
            total = (total + sum[n_vectors + v]) + (sum[2 * n_vectors + v] + sum[3 * n_vectors + v]);
        REAL *to = grad + v * LANES;
        if (v < last || whole)
            STORE(to, LOAD(to) + total);
        else
            STORE_PARTIAL(to, last_count, LOAD_PARTIAL(to, last_count) + total);
    }
}

/* Chunks of equal width, so that none is narrow unless X is. */
static void SUFFIX(ft_linear_gradient)(ptrdiff_t n_rows, ptrdiff_t n_features, const REAL *x,
                                       ptrdiff_t x_row_stride, const REAL *residual, REAL *grad) {
    const ptrdiff_t n_vectors = (n_features + LANES - 1) / LANES;
    const ptrdiff_t n_chunks = (n_vectors + FT_LINEAR_VECTORS - 1) / FT_LINEAR_VECTORS;
    for (ptrdiff_t chunk = 0; chunk < n_chunks; chunk++) {
        const ptrdiff_t first = n_vectors * chunk / n_chunks, past = n_vectors * (chunk + 1) / n_chunks;
        const ptrdiff_t j = first * LANES, count = n_features - (past - 1) * LANES;
        const ptrdiff_t last_count = count < LANES ? count : LANES;
#define FT_LINEAR_CASE(n)                                                                               \
    case n:                                                                                             \
        if (last_count == LANES)                                                                        \
            SUFFIX(ft_linear_columns)(n_rows, n, 1, LANES, x + j, x_row_stride, residual, grad + j);    \
        else                                                                                            \
            SUFFIX(ft_linear_columns)(n_rows, n, 0, last_count, x + j, x_row_stride, residual, grad + j); \
        break;
        switch (past - first) {
            FT_LINEAR_CASE(1)
            FT_LINEAR_CASE(2)
            FT_LINEAR_CASE(3)
            FT_LINEAR_CASE(4)
            FT_LINEAR_CASE(5)
            FT_LINEAR_CASE(6)
            FT_LINEAR_CASE(7)
            FT_LINEAR_CASE(8)
            FT_LINEAR_CASE(9)
            FT_LINEAR_CASE(10)
            FT_LINEAR_CASE(11)
            FT_LINEAR_CASE(12)
            FT_LINEAR_CASE(13)
        }
#undef FT_LINEAR_CASE
    }
}

/* *sum += the weights (n,), in double; returns the first that is negative or not finite, or -1. */
static ptrdiff_t SUFFIX(ft_weight_sum)(ptrdiff_t n, const REAL *weight, double *sum) {
    double total = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (!(weight[i] >= 0) || weight[i] - weight[i] != 0)
            return i;
        total += weight[i];
    }
    *sum += total;
    return -1;
}

/* sums (n,) += part; part = 0 */
static void SUFFIX(ft_linear_flush)(ptrdiff_t n, REAL *part, double *sums) {
    for (ptrdiff_t i = 0; i < n; i++) {
        sums[i] += part[i];
        part[i] = 0;
    }
}

/* grad (n,) = scale * (the sum over pieces of sums (n_pieces, n)) + l2 * theta; returns the sum of theta^2 */
static double SUFFIX(ft_linear_finish)(ptrdiff_t n, ptrdiff_t n_pieces, const double *sums,
                                       ptrdiff_t sums_row_stride, double scale, double l2, const REAL *theta,
                                       REAL *grad) {
    enum { BATCH = 64 };
    double norm = 0.0;
    for (ptrdiff_t j = 0; j < n; j += BATCH) {
        const ptrdiff_t count = n - j < BATCH ? n - j : BATCH;
        double total[BATCH] = {0.0};
        for (ptrdiff_t piece = 0; piece < n_pieces; piece++)
            for (ptrdiff_t i = 0; i < count; i++)
                total[i] += sums[piece * sums_row_stride + j + i];
        for (ptrdiff_t i = 0; i < count; i++) {
            total[i] *= scale;
            if (l2 != 0.0) {
                total[i] += l2 * theta[j + i];
                norm += (double)theta[j + i] * theta[j + i];
            }
            grad[j + i] = (REAL)total[i];
        }
    }
    return norm;
}

#undef FT_LINEAR_FOLD
#undef FT_LINEAR_ROWS
#undef FT_LINEAR_VECTORS
