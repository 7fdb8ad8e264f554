/*
 * LAMB, in two passes over a piece: the moments, with the squares of parameter and update, and then the step,
 * which works the update out once more from the moments.  It is never stored.
 *
 * Operations are rounded alone, as in optim.h, and squares are summed as in squares.h: the same bits at every
 * level.
 */

/* Half a kilobyte. */
#define FT_LAMB_AHEAD (512 / (ptrdiff_t)sizeof(REAL))

typedef struct {
    VEC grad_factor, mean_weight, beta2, one_minus_beta2, mean_factor, eps, weight_decay;
} SUFFIX(ft_lamb_vectors);

FT_INLINE SUFFIX(ft_lamb_vectors) SUFFIX(ft_lamb_broadcast)(const ft_lamb_scalars *scalars, int from_grad) {
    /* A positive eps must not be flushed: 0 / 0 would be NaN where the gradients have all been zero. */
    REAL eps = (REAL)scalars->eps;
    if (scalars->eps > 0.0 && eps < SUFFIX(FT_SMALLEST))
        eps = SUFFIX(FT_SMALLEST);
    return (SUFFIX(ft_lamb_vectors)){
        BROADCAST((REAL)scalars->grad_factor),
        BROADCAST((REAL)(from_grad ? scalars->beta1 : 1.0 - scalars->beta1)),
        BROADCAST((REAL)scalars->beta2),
        BROADCAST((REAL)(1.0 - scalars->beta2)),
        BROADCAST((REAL)scalars->mean_factor),
        BROADCAST(eps),
        BROADCAST((REAL)scalars->weight_decay),
    };
}

/* The bias corrections are in mean_factor and eps, as Adam's are in its step size and eps. */
FT_INLINE VEC SUFFIX(ft_lamb_direction)(VEC param, VEC exp_avg, VEC exp_avg_sq, const SUFFIX(ft_lamb_vectors) * s) {
    return (s->mean_factor * exp_avg) / (SQRT(exp_avg_sq) + s->eps) + s->weight_decay * param;
}

/* `count` elements, as of ft_load_run. */
FT_INLINE void SUFFIX(ft_lamb_moments_run)(ptrdiff_t count, const REAL *param, const REAL *grad, REAL *exp_avg,
                                           REAL *exp_avg_sq, const SUFFIX(ft_lamb_vectors) * s, int from_grad,
                                           ft_square_sums *param_sums, ft_square_sums *update_sums) {
    VEC p[FT_RUN_VECTORS], g[FT_RUN_VECTORS], m[FT_RUN_VECTORS], v[FT_RUN_VECTORS], u[FT_RUN_VECTORS];
    SUFFIX(ft_load_run)(param, count, p);
    SUFFIX(ft_load_run)(grad, count, g);
    SUFFIX(ft_load_run)(exp_avg, count, m);
    SUFFIX(ft_load_run)(exp_avg_sq, count, v);
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++) {
        const VEC gradient = s->grad_factor * g[j];
        m[j] = from_grad ? gradient + s->mean_weight * (m[j] - gradient) : m[j] + s->mean_weight * (gradient - m[j]);
        v[j] = s->beta2 * v[j] + (s->one_minus_beta2 * gradient) * gradient;
        u[j] = SUFFIX(ft_lamb_direction)(p[j], m[j], v[j], s);
    }
    /* lanes past the end hold 0 / eps, and 0 / 0 without eps */
    if (count < FT_SQUARE_RUN)
        FT_UNROLL
        for (int j = 0; j < FT_RUN_VECTORS; j++)
            u[j] = KEEP(FIRST_LANES(count - j * LANES), u[j]);
    SUFFIX(ft_store_run)(exp_avg, count, m);
    SUFFIX(ft_store_run)(exp_avg_sq, count, v);
    SUFFIX(ft_squares_of_run)(param_sums, p);
    SUFFIX(ft_squares_of_run)(update_sums, u);
}

FT_TAIL SUFFIX(ft_lamb_moments_tail)(ptrdiff_t count, const REAL *param, const REAL *grad, REAL *exp_avg,
                                     REAL *exp_avg_sq, const SUFFIX(ft_lamb_vectors) * s, int from_grad,
                                     ft_square_sums *param_sums, ft_square_sums *update_sums) {
    SUFFIX(ft_lamb_moments_run)(count, param, grad, exp_avg, exp_avg_sq, s, from_grad, param_sums, update_sums);
}

FT_INLINE void SUFFIX(ft_lamb_moments_walk)(ptrdiff_t n, const REAL *param, const REAL *grad, REAL *exp_avg,
                                            REAL *exp_avg_sq, const ft_lamb_scalars *scalars, double *sums,
                                            int from_grad) {
    const SUFFIX(ft_lamb_vectors) s = SUFFIX(ft_lamb_broadcast)(scalars, from_grad);
    ft_square_sums param_sums = {0}, update_sums = {0};
    ptrdiff_t i = 0;
    for (; i + FT_SQUARE_RUN <= n; i += FT_SQUARE_RUN) {
        SUFFIX(ft_fetch_run)(param + i + FT_LAMB_AHEAD);
        SUFFIX(ft_fetch_run)(grad + i + FT_LAMB_AHEAD);
        SUFFIX(ft_fetch_run)(exp_avg + i + FT_LAMB_AHEAD);
        SUFFIX(ft_fetch_run)(exp_avg_sq + i + FT_LAMB_AHEAD);
        SUFFIX(ft_lamb_moments_run)(FT_SQUARE_RUN, param + i, grad + i, exp_avg + i, exp_avg_sq + i, &s, from_grad,
                                    &param_sums, &update_sums);
    }
    if (i < n)
        SUFFIX(ft_lamb_moments_tail)(n - i, param + i, grad + i, exp_avg + i, exp_avg_sq + i, &s, from_grad,
                                     &param_sums, &update_sums);
    sums[0] = ft_squares_total(&param_sums);
    sums[1] = ft_squares_total(&update_sums);
}

static void SUFFIX(ft_lamb_moments)(ptrdiff_t n, const REAL *param, const REAL *grad, REAL *exp_avg,
                                    REAL *exp_avg_sq, const ft_lamb_scalars *scalars, double *sums) {
    const ft_float_state state = ft_flush_subnormals();
    if (scalars->beta1 <= 0.5)
        SUFFIX(ft_lamb_moments_walk)(n, param, grad, exp_avg, exp_avg_sq, scalars, sums, 1);
    else
        SUFFIX(ft_lamb_moments_walk)(n, param, grad, exp_avg, exp_avg_sq, scalars, sums, 0);
    ft_float_state_set(state);
}

FT_INLINE void SUFFIX(ft_lamb_step_run)(ptrdiff_t count, REAL *param, const REAL *exp_avg, const REAL *exp_avg_sq,
                                        const SUFFIX(ft_lamb_vectors) * s, VEC step_size) {
    VEC p[FT_RUN_VECTORS], m[FT_RUN_VECTORS], v[FT_RUN_VECTORS];
    SUFFIX(ft_load_run)(param, count, p);
    SUFFIX(ft_load_run)(exp_avg, count, m);
    SUFFIX(ft_load_run)(exp_avg_sq, count, v);
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++)
        p[j] = p[j] - step_size * SUFFIX(ft_lamb_direction)(p[j], m[j], v[j], s);
    SUFFIX(ft_store_run)(param, count, p);
}

static void SUFFIX(ft_lamb_step)(ptrdiff_t n, REAL *param, const REAL *exp_avg, const REAL *exp_avg_sq,
                                 const ft_lamb_scalars *scalars, double step_size) {
    const ft_float_state state = ft_flush_subnormals();
    const SUFFIX(ft_lamb_vectors) s = SUFFIX(ft_lamb_broadcast)(scalars, 0);
    const VEC size = BROADCAST((REAL)step_size);
    ptrdiff_t i = 0;
    for (; i + FT_SQUARE_RUN <= n; i += FT_SQUARE_RUN) {
        SUFFIX(ft_fetch_run)(param + i + FT_LAMB_AHEAD);
        SUFFIX(ft_fetch_run)(exp_avg + i + FT_LAMB_AHEAD);
        SUFFIX(ft_fetch_run)(exp_avg_sq + i + FT_LAMB_AHEAD);
        SUFFIX(ft_lamb_step_run)(FT_SQUARE_RUN, param + i, exp_avg + i, exp_avg_sq + i, &s, size);
    }
    if (i < n)
        SUFFIX(ft_lamb_step_run)(n - i, param + i, exp_avg + i, exp_avg_sq + i, &s, size);
    ft_float_state_set(state);
}
