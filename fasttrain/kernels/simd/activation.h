/*
 * Activations, their derivatives, and sums of columns (the gradient of a bias).
 *
 * Layers: y = f(z) of a vector, and beside each the gradient delta = grad f'(saved), ft_<name> and
 * ft_<name>_gradient; then the loops over rows, with the choice of the activation outside of them.
 * What backward saves is y, so that z need not be kept, but for gelu and silu, which are not monotone.
 *
 * gelu and silu are z times a distribution function F with F(z) = 1 - F(-z).  Both are written by the
 * lower tail, y F(-y) with y = |z|, which keeps its relative accuracy down to the smallest number:
 * f(-y) = -y F(-y), f(y) = y - y F(-y), and f'(y) = 1 - f'(-y).  The factor 2^n of the tail comes
 * last, so that the tail is rounded to a subnormal once.  At -infinity this gives the limit, 0.
 */

/* ---- one vector ------------------------------------------------------------------------------------ */

FT_INLINE VEC SUFFIX(ft_identity)(VEC z) { return z; }
FT_INLINE VEC SUFFIX(ft_identity_gradient)(VEC grad, VEC y) {
    (void)y;
    return grad;
}

FT_INLINE VEC SUFFIX(ft_relu)(VEC z) { return MAX(BROADCAST(0), z); }
FT_INLINE VEC SUFFIX(ft_relu_gradient)(VEC grad, VEC y) { return SELECT(y <= 0, BROADCAST(0), grad); }

FT_INLINE VEC SUFFIX(ft_leaky_relu)(VEC z) { return SELECT(z > 0, z, z * (REAL)0.01); }
FT_INLINE VEC SUFFIX(ft_leaky_relu_gradient)(VEC grad, VEC y) {
    return SELECT(y > 0, grad, grad * (REAL)0.01);
}

/* tanh and sigmoid: ft_vec_tanh, ft_vec_sigmoid; (1 - y)(1 + y) keeps its accuracy near |y| = 1 */
FT_INLINE VEC SUFFIX(ft_tanh_gradient)(VEC grad, VEC y) { return grad * ((1 - y) * (1 + y)); }
FT_INLINE VEC SUFFIX(ft_sigmoid_gradient)(VEC grad, VEC y) { return grad * (y * (1 - y)); }

FT_INLINE VEC SUFFIX(ft_gelu)(VEC z) {
    IVEC code;
    VEC y, density, n, part = SUFFIX(ft_normal_part)(z, &y, &density, &n, &code);
    VEC tail = SUFFIX(ft_scale)(y * part, n, code);
    return SELECT(z > 0, z, BROADCAST(0)) - tail;
}
/* f'(-y) = Phi(-y) - y density(y) */
FT_INLINE VEC SUFFIX(ft_gelu_gradient)(VEC grad, VEC z) {
    IVEC code;
    VEC y, density, n, part = SUFFIX(ft_normal_part)(z, &y, &density, &n, &code);
    VEC slope = SUFFIX(ft_scale)(part - y * density, n, code);
    return grad * SELECT(z > 0, 1 - slope, slope);
}

FT_INLINE VEC SUFFIX(ft_silu)(VEC z) {
    IVEC code;
    VEC y, n, part = SUFFIX(ft_sigmoid_of_minus)(z, &y, &n, &code);
    VEC tail = SUFFIX(ft_scale)(y * part, n, code);
    return SELECT(z > 0, z, BROADCAST(0)) - tail;
}
/* f'(-y) = s (1 - y (1 - s)), s = sigmoid(-y) */
FT_INLINE VEC SUFFIX(ft_silu_gradient)(VEC grad, VEC z) {
    IVEC code;
    VEC y, n, part = SUFFIX(ft_sigmoid_of_minus)(z, &y, &n, &code);
    VEC s = SUFFIX(ft_scale)(part, n, code);
    VEC slope = SUFFIX(ft_scale)(part * (1 - y * (1 - s)), n, code);
    return grad * SELECT(z > 0, 1 - slope, slope);
}

/* log(1 + e^z) without overflow; f' = sigmoid(z) = 1 - e^-y */
FT_INLINE VEC SUFFIX(ft_softplus)(VEC z) {
    VEC above = MAX(BROADCAST(0), z);
    return above + SUFFIX(ft_vec_log1p)(SUFFIX(ft_vec_exp)(-SUFFIX(ft_magnitude)(z)));
}
FT_INLINE VEC SUFFIX(ft_softplus_gradient)(VEC grad, VEC y) { return -grad * SUFFIX(ft_vec_expm1)(-y); }

FT_INLINE VEC SUFFIX(ft_elu)(VEC z) { return SELECT(z > 0, z, SUFFIX(ft_vec_expm1)(z)); }
FT_INLINE VEC SUFFIX(ft_elu_gradient)(VEC grad, VEC y) { return SELECT(y > 0, grad, grad * (y + 1)); }

/* ---- arrays ---------------------------------------------------------------------------------------- */

#define FT_FORWARD(ACTIVATION, function)                                                                 \
    case ACTIVATION:                                                                                     \
        for (ptrdiff_t row = 0; row < n_rows; row++, z += z_row_stride, y += y_row_stride)               \
            for (ptrdiff_t i = 0; i < n_columns; i += LANES)                                             \
                SUFFIX(ft_store_up_to)(y + i, n_columns - i,                                             \
                                       SUFFIX(function)(SUFFIX(ft_load_up_to)(z + i, n_columns - i)));   \
        break;

static void SUFFIX(ft_activation_forward)(int activation, ptrdiff_t n_rows, ptrdiff_t n_columns,
                                          const REAL *z /* (n_rows, n_columns) */, ptrdiff_t z_row_stride,
                                          REAL *y /* (n_rows, n_columns) */, ptrdiff_t y_row_stride) {
    if (z_row_stride == n_columns && y_row_stride == n_columns) { /* one long row: one tail */
        n_columns *= n_rows;
        n_rows = n_rows > 0;
    }
    switch (activation) {
        FT_FORWARD(FT_IDENTITY, ft_identity)
        FT_FORWARD(FT_RELU, ft_relu)
        FT_FORWARD(FT_LEAKY_RELU, ft_leaky_relu)
        FT_FORWARD(FT_TANH, ft_vec_tanh)
        FT_FORWARD(FT_SIGMOID, ft_vec_sigmoid)
        FT_FORWARD(FT_GELU, ft_gelu)
        FT_FORWARD(FT_SILU, ft_silu)
        FT_FORWARD(FT_SOFTPLUS, ft_softplus)
        FT_FORWARD(FT_ELU, ft_elu)
    }
}

#define FT_BACKWARD(ACTIVATION, function)                                                                \
    case ACTIVATION:                                                                                     \
        for (ptrdiff_t row = 0; row < n_rows; row++) {                                                   \
            for (ptrdiff_t i = 0; i < n_columns; i += LANES) {                                           \
                ptrdiff_t count = n_columns - i;                                                         \
                VEC grad = SUFFIX(ft_load_up_to)(grad_y + i, count);                                     \
                SUFFIX(ft_store_up_to)(delta + i, count,                                                 \
                                       SUFFIX(function)(grad, SUFFIX(ft_load_up_to)(saved + i, count))); \
            }                                                                                            \
            grad_y += grad_y_row_stride, saved += saved_row_stride, delta += delta_row_stride;           \
        }                                                                                                \
        break;

static void SUFFIX(ft_activation_backward)(int activation, ptrdiff_t n_rows, ptrdiff_t n_columns,
                                           const REAL *grad_y /* (n_rows, n_columns) */,
                                           ptrdiff_t grad_y_row_stride,
                                           const REAL *saved /* (n_rows, n_columns) */,
                                           ptrdiff_t saved_row_stride,
                                           REAL *delta /* (n_rows, n_columns) */,
                                           ptrdiff_t delta_row_stride) {
    if (grad_y_row_stride == n_columns && saved_row_stride == n_columns && delta_row_stride == n_columns) {
        n_columns *= n_rows;
        n_rows = n_rows > 0;
    }
    switch (activation) {
        FT_BACKWARD(FT_IDENTITY, ft_identity_gradient)
        FT_BACKWARD(FT_RELU, ft_relu_gradient)
        FT_BACKWARD(FT_LEAKY_RELU, ft_leaky_relu_gradient)
        FT_BACKWARD(FT_TANH, ft_tanh_gradient)
        FT_BACKWARD(FT_SIGMOID, ft_sigmoid_gradient)
        FT_BACKWARD(FT_GELU, ft_gelu_gradient)
        FT_BACKWARD(FT_SILU, ft_silu_gradient)
        FT_BACKWARD(FT_SOFTPLUS, ft_softplus_gradient)
        FT_BACKWARD(FT_ELU, ft_elu_gradient)
    }
}

#undef FT_FORWARD
#undef FT_BACKWARD

/*
 * Each column by itself.  Blocks of 32 rows go to four sums of 8 terms, and the sum of blocks keeps what
 * its additions lose: the error is below 12 units of rounding times sum |x| for any number of rows.
 */
FT_INLINE VEC SUFFIX(ft_block_of_rows)(ptrdiff_t n_rows, ptrdiff_t count, const REAL *x,
                                           ptrdiff_t x_row_stride) {
    VEC part[4] = {{0}, {0}, {0}, {0}};
    ptrdiff_t row = 0;
    for (; row + 4 <= n_rows; row += 4, x += 4 * x_row_stride)
        for (int i = 0; i < 4; i++)
            part[i] += SUFFIX(ft_load_up_to)(x + i * x_row_stride, count);
    for (; row < n_rows; row++, x += x_row_stride)
        part[0] += SUFFIX(ft_load_up_to)(x, count);
    return (part[0] + part[1]) + (part[2] + part[3]);
}

static void SUFFIX(ft_column_sums)(ptrdiff_t n_rows, ptrdiff_t n_columns,
                                   const REAL *x /* (n_rows, n_columns) */, ptrdiff_t x_row_stride,
                                   REAL *sums /* (n_columns,) */, int accumulate) {
    const ptrdiff_t block_rows = 32;
    for (ptrdiff_t column = 0; column < n_columns; column += LANES) {
        ptrdiff_t count = n_columns - column;
        VEC total = accumulate ? SUFFIX(ft_load_up_to)(sums + column, count) : BROADCAST(0);
        VEC lost = BROADCAST(0);
        for (ptrdiff_t row = 0; row < n_rows; row += block_rows) {
            ptrdiff_t rows = n_rows - row < block_rows ? n_rows - row : block_rows;
            const REAL *first = x + row * x_row_stride + column;
            VEC block = count >= LANES ? SUFFIX(ft_block_of_rows)(rows, LANES, first, x_row_stride)
                                       : SUFFIX(ft_block_of_rows)(rows, count, first, x_row_stride);
            VEC sum = total + block, added = sum - total;
            lost += (total - (sum - added)) + (block - added);
            total = sum;
        }
        /* where the sum is not finite, what it lost is NaN */
        SUFFIX(ft_store_up_to)(sums + column, count, SELECT(total - total == 0, total + lost, total));
    }
}
