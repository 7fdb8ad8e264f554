/*
 * Adafactor.  A matrix is walked in tiles of at most FT_ADAFACTOR_STRIP columns, three times: for the squares of
 * its rows and columns, for the norm of the update, and for the step.  The update is
 * grad * min(limit, row_factor * column_factor), the factors being reciprocal roots that are taken once for each
 * row and column, so that an element costs two multiplications; nothing of the matrix's size is stored.
 *
 * Operations are rounded alone, as in optim.h, and squares are summed in double, as in squares.h or, down a column,
 * row by row: the same bits at every level.
 */
#ifndef FT_ADAFACTOR_ONCE
#define FT_ADAFACTOR_ONCE

/* start moved to end by weight, from the nearer of the two */
FT_INLINE double ft_lerp(double start, double end, double weight) {
    return weight < 0.5 ? start + weight * (end - start) : end - (1.0 - weight) * (end - start);
}

#endif

FT_INLINE void SUFFIX(ft_multiply_run)(VEC run[FT_RUN_VECTORS], VEC factor) {
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++)
        run[j] = factor * run[j];
}

/* `rows` rows of a run of columns; totals (FT_SQUARE_RUN,) += their squares, added to each other in pairs first. */
FT_INLINE void SUFFIX(ft_adafactor_run)(const int rows, ptrdiff_t count, const REAL *grad, ptrdiff_t row_stride,
                                        VEC factor, ft_square_sums *row_sums, double *totals) {
    f64v squares[4][2 * FT_SQUARE_VECTORS];
    FT_UNROLL
    for (int r = 0; r < rows; r++) {
        VEC g[FT_RUN_VECTORS];
        /* the next rows: the row of a tile of a wide matrix ends with a page */
        SUFFIX(ft_fetch_run)(grad + (r + rows) * row_stride);
        SUFFIX(ft_load_run)(grad + r * row_stride, count, g);
        SUFFIX(ft_multiply_run)(g, factor);
        SUFFIX(ft_square_run)(g, squares[r]);
        ft_squares_add(&row_sums[r], squares[r]);
    }
    FT_UNROLL
    for (int k = 0; k < 2 * FT_SQUARE_VECTORS; k++) {
        f64v sum = squares[0][k];
        if (rows == 4)
            sum = (sum + squares[1][k]) + (squares[2][k] + squares[3][k]);
        ft_store_f64(totals + k * FT_LANES_f64, ft_load_f64(totals + k * FT_LANES_f64) + sum);
    }
}

FT_INLINE void SUFFIX(ft_adafactor_rows)(const int rows, ptrdiff_t n_columns, const REAL *grad, ptrdiff_t row_stride,
                                         VEC factor, double *row_sums, double *totals) {
    ft_square_sums sums[4] = {0};
    ptrdiff_t i = 0;
    for (; i + FT_SQUARE_RUN <= n_columns; i += FT_SQUARE_RUN)
        SUFFIX(ft_adafactor_run)(rows, FT_SQUARE_RUN, grad + i, row_stride, factor, sums, totals + i);
    if (i < n_columns)
        SUFFIX(ft_adafactor_run)(rows, n_columns - i, grad + i, row_stride, factor, sums, totals + i);
    for (int r = 0; r < rows; r++)
        row_sums[r] = ft_squares_total(&sums[r]);
}

static double SUFFIX(ft_adafactor_sums)(ptrdiff_t n_rows, ptrdiff_t n_columns, const REAL *param, const REAL *grad,
                                        ptrdiff_t row_stride, double grad_factor, double *row_sums,
                                        double *column_sums) {
    const ft_float_state state = ft_flush_subnormals();
    const VEC factor = BROADCAST((REAL)grad_factor);
    double totals[FT_ADAFACTOR_STRIP]; /* of whole runs of columns */
    ft_square_sums param_sums = {0};
    ptrdiff_t row = 0;
    memset(totals, 0, (n_columns + FT_SQUARE_RUN - 1) / FT_SQUARE_RUN * FT_SQUARE_RUN * sizeof(double));
    for (; row + 4 <= n_rows; row += 4)
        SUFFIX(ft_adafactor_rows)(4, n_columns, grad + row * row_stride, row_stride, factor, row_sums + row, totals);
    for (; row < n_rows; row++)
        SUFFIX(ft_adafactor_rows)(1, n_columns, grad + row * row_stride, row_stride, factor, row_sums + row, totals);
    memcpy(column_sums, totals, n_columns * sizeof(double));
    for (row = 0; row < n_rows; row++)
        for (ptrdiff_t i = 0; i < n_columns; i += FT_SQUARE_RUN) {
            VEC p[FT_RUN_VECTORS];
            SUFFIX(ft_fetch_run)(param + (row + 1) * row_stride + i);
            SUFFIX(ft_load_run)(param + row * row_stride + i, n_columns - i, p);
            SUFFIX(ft_squares_of_run)(&param_sums, p);
        }
    ft_float_state_set(state);
    return ft_squares_total(&param_sums);
}

static double SUFFIX(ft_adafactor_means)(ptrdiff_t n, ptrdiff_t n_parts, const double *sums, double count,
                                         double weight, REAL *means) {
    const ft_float_state state = ft_flush_subnormals();
    double lane[FT_SQUARE_LANES] = {0}, total = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        double sum = sums[i];
        for (ptrdiff_t part = 1; part < n_parts; part++)
            sum += sums[part * n + i];
        means[i] = (REAL)ft_lerp(means[i], sum / count, weight);
        lane[i % FT_SQUARE_LANES] += means[i];
    }
    for (int i = 0; i < FT_SQUARE_LANES; i++)
        total += lane[i];
    ft_float_state_set(state);
    return total;
}

static void SUFFIX(ft_adafactor_factors)(ptrdiff_t n, const REAL *means, double divisor, REAL *factors) {
    const ft_float_state state = ft_flush_subnormals();
    for (ptrdiff_t i = 0; i < n; i++)
        factors[i] = (REAL)(1.0 / __builtin_sqrt(means[i] / divisor));
    ft_float_state_set(state);
}

/* The update of a run of a row in place of its gradient; NaN stays NaN, since the product is MIN's second. */
FT_INLINE void SUFFIX(ft_adafactor_direction)(VEC g[FT_RUN_VECTORS], const VEC column[FT_RUN_VECTORS], VEC factor,
                                              VEC row, VEC limit) {
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++)
        g[j] = (factor * g[j]) * MIN(limit, row * column[j]);
}

FT_INLINE void SUFFIX(ft_adafactor_norm_run)(ptrdiff_t count, const REAL *grad, ptrdiff_t row_stride,
                                             const REAL *column_factors, VEC factor, VEC row, VEC limit,
                                             ft_square_sums *sums) {
    VEC g[FT_RUN_VECTORS], column[FT_RUN_VECTORS];
    SUFFIX(ft_fetch_run)(grad + row_stride);
    SUFFIX(ft_load_run)(grad, count, g);
    SUFFIX(ft_load_run)(column_factors, count, column);
    SUFFIX(ft_adafactor_direction)(g, column, factor, row, limit);
    /* lanes past the end may hold 0 times infinity */
    if (count < FT_SQUARE_RUN)
        FT_UNROLL
        for (int j = 0; j < FT_RUN_VECTORS; j++)
            g[j] = KEEP(FIRST_LANES(count - j * LANES), g[j]);
    SUFFIX(ft_squares_of_run)(sums, g);
}

static double SUFFIX(ft_adafactor_norm)(ptrdiff_t n_rows, ptrdiff_t n_columns, const REAL *grad, ptrdiff_t row_stride,
                                        double grad_factor, const REAL *row_factors, const REAL *column_factors,
                                        double limit) {
    const ft_float_state state = ft_flush_subnormals();
    const VEC factor = BROADCAST((REAL)grad_factor), at_most = BROADCAST((REAL)limit);
    ft_square_sums sums = {0};
    for (ptrdiff_t row = 0; row < n_rows; row++, grad += row_stride) {
        const VEC of_row = BROADCAST(row_factors[row]);
        ptrdiff_t i = 0;
        for (; i + FT_SQUARE_RUN <= n_columns; i += FT_SQUARE_RUN)
            SUFFIX(ft_adafactor_norm_run)(FT_SQUARE_RUN, grad + i, row_stride, column_factors + i, factor, of_row,
                                          at_most, &sums);
        if (i < n_columns)
            SUFFIX(ft_adafactor_norm_run)(n_columns - i, grad + i, row_stride, column_factors + i, factor, of_row,
                                          at_most, &sums);
    }
    ft_float_state_set(state);
    return ft_squares_total(&sums);
}

FT_INLINE void SUFFIX(ft_adafactor_step_run)(ptrdiff_t count, REAL *param, const REAL *grad, ptrdiff_t row_stride,
                                             const REAL *column_factors, VEC factor, VEC row, VEC limit, VEC decay,
                                             VEC step_size) {
    VEC p[FT_RUN_VECTORS], g[FT_RUN_VECTORS], column[FT_RUN_VECTORS];
    SUFFIX(ft_fetch_run)(param + row_stride);
    SUFFIX(ft_fetch_run)(grad + row_stride);
    SUFFIX(ft_load_run)(param, count, p);
    SUFFIX(ft_load_run)(grad, count, g);
    SUFFIX(ft_load_run)(column_factors, count, column);
    SUFFIX(ft_adafactor_direction)(g, column, factor, row, limit);
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++)
        p[j] = decay * p[j] - step_size * g[j];
    SUFFIX(ft_store_run)(param, count, p);
}

static void SUFFIX(ft_adafactor_step)(ptrdiff_t n_rows, ptrdiff_t n_columns, REAL *param, const REAL *grad,
                                      ptrdiff_t row_stride, double grad_factor, const REAL *row_factors,
                                      const REAL *column_factors, double limit, double decay_factor,
                                      double step_size) {
    const ft_float_state state = ft_flush_subnormals();
    const VEC factor = BROADCAST((REAL)grad_factor), at_most = BROADCAST((REAL)limit);
    const VEC decay = BROADCAST((REAL)decay_factor), size = BROADCAST((REAL)step_size);
    for (ptrdiff_t row = 0; row < n_rows; row++, param += row_stride, grad += row_stride) {
        const VEC of_row = BROADCAST(row_factors[row]);
        ptrdiff_t i = 0;
        for (; i + FT_SQUARE_RUN <= n_columns; i += FT_SQUARE_RUN)
            SUFFIX(ft_adafactor_step_run)(FT_SQUARE_RUN, param + i, grad + i, row_stride, column_factors + i, factor,
                                          of_row, at_most, decay, size);
        if (i < n_columns)
            SUFFIX(ft_adafactor_step_run)(n_columns - i, param + i, grad + i, row_stride, column_factors + i, factor,
                                          of_row, at_most, decay, size);
    }
    ft_float_state_set(state);
}

/* ---- vectors: the running mean of squares is of their own size --------------------------------------- */

typedef struct {
    VEC grad_factor, mean_weight, eps;
} SUFFIX(ft_adafactor_vectors);

FT_INLINE SUFFIX(ft_adafactor_vectors)
    SUFFIX(ft_adafactor_broadcast)(double grad_factor, double weight, double eps) {
    return (SUFFIX(ft_adafactor_vectors)){
        BROADCAST((REAL)grad_factor),
        BROADCAST((REAL)(weight < 0.5 ? weight : 1.0 - weight)),
        BROADCAST((REAL)eps),
    };
}

/* MAX gives its second where either is NaN. */
FT_INLINE VEC SUFFIX(ft_adafactor_quotient)(VEC gradient, VEC variance, VEC eps) {
    return gradient / MAX(eps, SQRT(variance));
}

FT_INLINE void SUFFIX(ft_adafactor_variance_run)(ptrdiff_t count, const REAL *param, const REAL *grad, REAL *variance,
                                                 const SUFFIX(ft_adafactor_vectors) * s, int from_mean,
                                                 ft_square_sums *param_sums, ft_square_sums *update_sums) {
    VEC p[FT_RUN_VECTORS], g[FT_RUN_VECTORS], v[FT_RUN_VECTORS], u[FT_RUN_VECTORS];
    SUFFIX(ft_load_run)(param, count, p);
    SUFFIX(ft_load_run)(grad, count, g);
    SUFFIX(ft_load_run)(variance, count, v);
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++) {
        const VEC gradient = s->grad_factor * g[j], square = gradient * gradient, way = square - v[j];
        v[j] = from_mean ? v[j] + s->mean_weight * way : square - s->mean_weight * way;
        u[j] = SUFFIX(ft_adafactor_quotient)(gradient, v[j], s->eps);
        if (count < FT_SQUARE_RUN) /* lanes past the end hold 0 / eps, and 0 / 0 without eps */
            u[j] = KEEP(FIRST_LANES(count - j * LANES), u[j]);
    }
    SUFFIX(ft_store_run)(variance, count, v);
    SUFFIX(ft_squares_of_run)(param_sums, p);
    SUFFIX(ft_squares_of_run)(update_sums, u);
}

FT_TAIL SUFFIX(ft_adafactor_variance_tail)(ptrdiff_t count, const REAL *param, const REAL *grad, REAL *variance,
                                           const SUFFIX(ft_adafactor_vectors) * s, int from_mean,
                                           ft_square_sums *param_sums, ft_square_sums *update_sums) {
    SUFFIX(ft_adafactor_variance_run)(count, param, grad, variance, s, from_mean, param_sums, update_sums);
}

FT_INLINE void SUFFIX(ft_adafactor_variance_walk)(ptrdiff_t n, const REAL *param, const REAL *grad, REAL *variance,
                                                  double grad_factor, double weight, double eps, double *sums,
                                                  int from_mean) {
    const SUFFIX(ft_adafactor_vectors) s = SUFFIX(ft_adafactor_broadcast)(grad_factor, weight, eps);
    ft_square_sums param_sums = {0}, update_sums = {0};
    ptrdiff_t i = 0;
    for (; i + FT_SQUARE_RUN <= n; i += FT_SQUARE_RUN)
        SUFFIX(ft_adafactor_variance_run)(FT_SQUARE_RUN, param + i, grad + i, variance + i, &s, from_mean, &param_sums,
                                          &update_sums);
    if (i < n)
        SUFFIX(ft_adafactor_variance_tail)(n - i, param + i, grad + i, variance + i, &s, from_mean, &param_sums,
                                           &update_sums);
    sums[0] = ft_squares_total(&param_sums);
    sums[1] = ft_squares_total(&update_sums);
}

static void SUFFIX(ft_adafactor_variance)(ptrdiff_t n, const REAL *param, const REAL *grad, REAL *variance,
                                          double grad_factor, double weight, double eps, double *sums) {
    const ft_float_state state = ft_flush_subnormals();
    if (weight < 0.5)
        SUFFIX(ft_adafactor_variance_walk)(n, param, grad, variance, grad_factor, weight, eps, sums, 1);
    else
        SUFFIX(ft_adafactor_variance_walk)(n, param, grad, variance, grad_factor, weight, eps, sums, 0);
    ft_float_state_set(state);
}

FT_INLINE void SUFFIX(ft_adafactor_vector_run)(ptrdiff_t count, REAL *param, const REAL *grad, const REAL *variance,
                                               const SUFFIX(ft_adafactor_vectors) * s, VEC decay, VEC step_size) {
    VEC p[FT_RUN_VECTORS], g[FT_RUN_VECTORS], v[FT_RUN_VECTORS];
    SUFFIX(ft_load_run)(param, count, p);
    SUFFIX(ft_load_run)(grad, count, g);
    SUFFIX(ft_load_run)(variance, count, v);
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++)
        p[j] = decay * p[j] - step_size * SUFFIX(ft_adafactor_quotient)(s->grad_factor * g[j], v[j], s->eps);
    SUFFIX(ft_store_run)(param, count, p);
}

static void SUFFIX(ft_adafactor_vector_step)(ptrdiff_t n, REAL *param, const REAL *grad, const REAL *variance,
                                             double grad_factor, double eps, double decay_factor, double step_size) {
    const ft_float_state state = ft_flush_subnormals();
    const SUFFIX(ft_adafactor_vectors) s = SUFFIX(ft_adafactor_broadcast)(grad_factor, 0.0, eps);
    const VEC decay = BROADCAST((REAL)decay_factor), size = BROADCAST((REAL)step_size);
    ptrdiff_t i = 0;
    for (; i + FT_SQUARE_RUN <= n; i += FT_SQUARE_RUN)
        SUFFIX(ft_adafactor_vector_run)(FT_SQUARE_RUN, param + i, grad + i, variance + i, &s, decay, size);
    if (i < n)
        SUFFIX(ft_adafactor_vector_run)(n - i, param + i, grad + i, variance + i, &s, decay, size);
    ft_float_state_set(state);
}
