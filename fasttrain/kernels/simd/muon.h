/*
 * The elementwise parts of Muon; its products are those of gemm.h.  Operations are rounded alone, as in optim.h.
 */

/* The buffer moves to the gradient by 1 - momentum and, with Nesterov's look-ahead, the update is the gradient moved
   to the buffer by momentum.  Both start from the buffer where momentum is over a half, or else from the gradient;
   then the weight of the way to the other end is the same for both, 1 - momentum or momentum. */
FT_INLINE void SUFFIX(ft_muon_run)(ptrdiff_t count, const REAL *grad, REAL *buffer, REAL *update, VEC grad_factor,
                                   VEC weight, int nesterov, int from_buffer, ft_square_sums *sums) {
    VEC g[FT_RUN_VECTORS], b[FT_RUN_VECTORS], u[FT_RUN_VECTORS];
    SUFFIX(ft_load_run)(grad, count, g);
    SUFFIX(ft_load_run)(buffer, count, b);
    FT_UNROLL
    for (int j = 0; j < FT_RUN_VECTORS; j++) {
        const VEC gradient = grad_factor * g[j], way = weight * (gradient - b[j]);
        b[j] = from_buffer ? b[j] + way : gradient - way;
        u[j] = b[j];
        if (nesterov) {
            const VEC ahead = weight * (gradient - b[j]);
            u[j] = from_buffer ? b[j] + ahead : gradient - ahead;
        }
    }
    SUFFIX(ft_store_run)(buffer, count, b);
    SUFFIX(ft_store_run)(update, count, u);
    SUFFIX(ft_squares_of_run)(sums, u);
}

FT_TAIL SUFFIX(ft_muon_tail)(ptrdiff_t count, const REAL *grad, REAL *buffer, REAL *update, VEC grad_factor, VEC weight,
                             int nesterov, int from_buffer, ft_square_sums *sums) {
    SUFFIX(ft_muon_run)(count, grad, buffer, update, grad_factor, weight, nesterov, from_buffer, sums);
}

FT_INLINE double SUFFIX(ft_muon_walk)(ptrdiff_t n, const REAL *grad, REAL *buffer, REAL *update, double grad_factor,
                                      double momentum, int nesterov, int from_buffer) {
    const VEC factor = BROADCAST((REAL)grad_factor);
    const VEC weight = BROADCAST((REAL)(from_buffer ? 1.0 - momentum : momentum));
    ft_square_sums sums = {0};
    ptrdiff_t i = 0;
    for (; i + FT_SQUARE_RUN <= n; i += FT_SQUARE_RUN)
        SUFFIX(ft_muon_run)(FT_SQUARE_RUN, grad + i, buffer + i, update + i, factor, weight, nesterov, from_buffer,
                            &sums);
    if (i < n)
        SUFFIX(ft_muon_tail)(n - i, grad + i, buffer + i, update + i, factor, weight, nesterov, from_buffer, &sums);
    return ft_squares_total(&sums);
}

static double SUFFIX(ft_muon_momentum)(ptrdiff_t n, const REAL *grad, REAL *buffer, REAL *update, double grad_factor,
                                       double momentum, int nesterov) {
    const ft_float_state state = ft_flush_subnormals();
    double total;
    if (momentum > 0.5 && nesterov)
        total = SUFFIX(ft_muon_walk)(n, grad, buffer, update, grad_factor, momentum, 1, 1);
    else if (momentum > 0.5)
        total = SUFFIX(ft_muon_walk)(n, grad, buffer, update, grad_factor, momentum, 0, 1);
    else if (nesterov)
        total = SUFFIX(ft_muon_walk)(n, grad, buffer, update, grad_factor, momentum, 1, 0);
    else
        total = SUFFIX(ft_muon_walk)(n, grad, buffer, update, grad_factor, momentum, 0, 0);
    ft_float_state_set(state);
    return total;
}

static void SUFFIX(ft_scale_add)(ptrdiff_t n, double alpha, REAL *y, double beta, const REAL *x) {
    const ft_float_state state = ft_flush_subnormals();
    const VEC of_y = BROADCAST((REAL)alpha), of_x = BROADCAST((REAL)beta);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t left = n - i;
        VEC total = of_y * (left >= LANES ? LOAD(y + i) : LOAD_PARTIAL(y + i, left));
        if (x)
            total = total + of_x * (left >= LANES ? LOAD(x + i) : LOAD_PARTIAL(x + i, left));
        if (left >= LANES)
            STORE(y + i, total);
        else
            STORE_PARTIAL(y + i, left, total);
    }
    ft_float_state_set(state);
}
