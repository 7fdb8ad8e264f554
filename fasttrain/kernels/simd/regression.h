/*
 * Sums over pairs of numbers, a target and its prediction, that regression metrics are made of.
 *
 * Layers: widening loads (float and double both become vectors of double in registers, so that a sum has the
 * same digits whatever came in); the step of one vector of pairs; the two ways in which a vector can lie in
 * memory: down the rows of one column, whose lanes are folded at the end, or along the columns of a row, a lane
 * for each output.  Bodies are always inlined with constant flags; other element types are widened by the
 * caller, a piece at a time (ft_widen).
 *
 * The centred sums of a piece come from one pass about a shift, the piece's first row with a weight: sum d^2 - (sum d)^2 / n
 * with d = y - shift.  It loses no more digits than (shift - mean)^2 exceeds the variance; where that is more
 * than six bits, the piece, which is still in the cache, is summed again about its mean.  A constant has d = 0
 * in every row, and a centred sum of exactly 0.  Means are given less an origin, one for all pieces: between
 * pieces they then differ by few units of a large mean and yet in all of their digits.
 *
 * Not in here by floating-point type (real_f32.h): it is included once per level.
 */

/* ---- numbers of any type -------------------------------------------------------------------------- */

#define FT_DEFINE_WIDEN(S, T)                                                                            \
    static void ft_widen_##S(ptrdiff_t n, const T *x, double *restrict y) {                              \
        for (ptrdiff_t i = 0; i < n; i++)                                                                \
            y[i] = (double)x[i];                                                                         \
    }

FT_DEFINE_WIDEN(i8, int8_t)
FT_DEFINE_WIDEN(i16, int16_t)
FT_DEFINE_WIDEN(i32, int32_t)
FT_DEFINE_WIDEN(i64, int64_t)
FT_DEFINE_WIDEN(u8, uint8_t)
FT_DEFINE_WIDEN(u16, uint16_t)
FT_DEFINE_WIDEN(u32, uint32_t)
FT_DEFINE_WIDEN(u64, uint64_t)
FT_DEFINE_WIDEN(f32, float)

/* Bits of a half, moved up to those of a float, are its value times 2^-112, subnormals included. */
static void ft_widen_f16(ptrdiff_t n, const uint16_t *x, double *restrict y) {
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t magnitude = (uint32_t)(x[i] & 0x7fff) << 13, special = magnitude | 0x7f800000;
        float value, infinite;
        memcpy(&value, &magnitude, sizeof value);
        memcpy(&infinite, &special, sizeof infinite);
        value = magnitude >= 0x0f800000 ? infinite : value * 0x1p112f;
        y[i] = (double)(x[i] & 0x8000 ? -value : value);
    }
}

/* y (n,) = x (n,) as double */
static void ft_widen(int type, ptrdiff_t n, const void *x, double *restrict y) {
    switch (type) {
    case FT_INT8: ft_widen_i8(n, (const int8_t *)x, y); break;
    case FT_INT16: ft_widen_i16(n, (const int16_t *)x, y); break;
    case FT_INT32: ft_widen_i32(n, (const int32_t *)x, y); break;
    case FT_INT64: ft_widen_i64(n, (const int64_t *)x, y); break;
    case FT_UINT8: ft_widen_u8(n, (const uint8_t *)x, y); break;
    case FT_UINT16: ft_widen_u16(n, (const uint16_t *)x, y); break;
    case FT_UINT32: ft_widen_u32(n, (const uint32_t *)x, y); break;
    case FT_UINT64: ft_widen_u64(n, (const uint64_t *)x, y); break;
    case FT_FLOAT16: ft_widen_f16(n, (const uint16_t *)x, y); break;
    case FT_FLOAT32: ft_widen_f32(n, (const float *)x, y); break;
    default: memcpy(y, x, (size_t)n * sizeof *y);
    }
}

/* ---- loads ---------------------------------------------------------------------------------------- */

typedef float ft_narrow_u __attribute__((vector_size(FT_VECTOR_BYTES / 2), aligned(4), may_alias));

/* Elements i .. i + count - 1 as double, a full vector of them where count is as large; 0 in other lanes. */
FT_INLINE f64v ft_pair_load(int is_double, const void *x, ptrdiff_t i, ptrdiff_t count) {
    if (is_double) {
        const double *from = (const double *)x + i;
        return count >= FT_LANES_f64 ? ft_load_f64(from) : ft_load_partial_f64(from, count);
    }
    const float *from = (const float *)x + i;
    if (count >= FT_LANES_f64)
        return __builtin_convertvector(*(const ft_narrow_u *)from, f64v);
    f32v narrow = ft_load_partial_f32(from, count);
    f64v wide;
    for (int lane = 0; lane < FT_LANES_f64; lane++)
        wide[lane] = narrow[lane];
    return wide;
}

FT_INLINE double ft_pair_number(int is_double, const void *x, ptrdiff_t i) {
    return is_double ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

/* ---- moments -------------------------------------------------------------------------------------- */

/* The first row with a weight, whose numbers serve as shift; the first of all if none has one. */
FT_INLINE ptrdiff_t ft_first_weighted(int is_double, ptrdiff_t n_rows, const void *weight) {
    for (ptrdiff_t i = 0; i < n_rows; i++)
        if (ft_pair_number(is_double, weight, i) != 0)
            return i;
    return 0;
}

/* Steps after which running sums are put aside: the error of a sum grows with the run and not with the piece. */
enum { FT_RUN = 128 };

typedef struct {
    f64v weight, true_sum, true_squares, error_sum, error_squares, squares;
    i64v negative;
} ft_moment_sums;

/* count < FT_LANES_f64: the lanes from count on are not data. */
FT_INLINE void ft_moments_step(ft_moment_sums *s, f64v y_true, f64v y_pred, int weighted, f64v weight,
                               f64v true_shift, f64v error_shift, ptrdiff_t count) {
    f64v error = y_true - y_pred, d = y_true - true_shift, e = error - error_shift;
    if (count < FT_LANES_f64) {
        i64v live = ft_first_lanes_f64(count);
        d = ft_keep_f64(live, d);
        e = ft_keep_f64(live, e);
    }
    f64v weighted_d = d, weighted_e = e, weighted_error = error;
    if (weighted) {
        weighted_d *= weight;
        weighted_e *= weight;
        weighted_error *= weight;
        s->weight += weight;
        s->negative |= weight < 0;
    }
    s->true_sum += weighted_d;
    s->true_squares = ft_fma_f64(weighted_d, d, s->true_squares);
    s->error_sum += weighted_e;
    s->error_squares = ft_fma_f64(weighted_e, e, s->error_squares);
    s->squares = ft_fma_f64(weighted_error, error, s->squares);
}

FT_INLINE void ft_moments_put_aside(ft_moment_sums *total, const ft_moment_sums *run) {
    total->weight += run->weight;
    total->true_sum += run->true_sum;
    total->true_squares += run->true_squares;
    total->error_sum += run->error_sum;
    total->error_squares += run->error_squares;
    total->squares += run->squares;
    total->negative |= run->negative;
}

/* From sums about a shift: the mean, as it is (*mean) and less an origin (*offset), and the centred sum; true if
   too many digits are lost. */
FT_INLINE int ft_centre(double weight, double sum, double squares, double shift, double origin, double *mean,
                        double *offset, double *centred) {
    double step = weight > 0 ? sum / weight : 0, rest = squares - sum * step;
    *mean = shift + step;
    *offset = (shift - origin) + step;
    if (!(rest < __builtin_inf())) /* the squares overflow, or there is a NaN */
        rest = squares;
    *centred = rest < 0 ? 0 : rest;
    return rest < squares * 0x1p-6;
}

/* The sums of one output into moments, FT_MOMENT_* times `stride` apart; the shifts become the means. */
FT_INLINE int ft_moments_finish(double weight, int negative, double true_sum, double true_squares,
                                double error_sum, double error_squares, double squares, double *true_shift,
                                double *error_shift, const double *origins, double *moments, ptrdiff_t stride) {
    int again = ft_centre(weight, true_sum, true_squares, *true_shift, origins[0], true_shift,
                          moments + FT_MOMENT_TRUE_MEAN * stride, moments + FT_MOMENT_TRUE_CENTRED * stride);
    again |= ft_centre(weight, error_sum, error_squares, *error_shift, origins[stride], error_shift,
                       moments + FT_MOMENT_ERROR_MEAN * stride, moments + FT_MOMENT_ERROR_CENTRED * stride);
    moments[FT_MOMENT_WEIGHT * stride] = negative ? __builtin_nan("") : weight;
    moments[FT_MOMENT_SQUARED_ERROR * stride] = squares;
    return again;
}

FT_INLINE void ft_moments_down(int is_double, int weighted, ptrdiff_t n_rows, const void *y_true,
                               const void *y_pred, const void *weight, const double *origins, double *moments,
                               ptrdiff_t stride) {
    const f64v one = ft_broadcast_f64(1);
    const ptrdiff_t first = weighted ? ft_first_weighted(is_double, n_rows, weight) : 0;
    double true_shift = ft_pair_number(is_double, y_true, first);
    double error_shift = true_shift - ft_pair_number(is_double, y_pred, first);
    for (int again = 1, pass = 0; again && pass < 2; pass++) {
        ft_moment_sums s = {0};
        const f64v t = ft_broadcast_f64(true_shift), e = ft_broadcast_f64(error_shift);
        for (ptrdiff_t i = 0, stop; i < n_rows; i = stop) {
            ft_moment_sums run = {0};
            stop = n_rows - i < FT_RUN * FT_LANES_f64 ? n_rows : i + FT_RUN * FT_LANES_f64;
            for (; i + FT_LANES_f64 <= stop; i += FT_LANES_f64)
                ft_moments_step(&run, ft_pair_load(is_double, y_true, i, FT_LANES_f64),
                                ft_pair_load(is_double, y_pred, i, FT_LANES_f64), weighted,
                                weighted ? ft_pair_load(is_double, weight, i, FT_LANES_f64) : one, t, e,
                                FT_LANES_f64);
            if (i < stop)
                ft_moments_step(&run, ft_pair_load(is_double, y_true, i, stop - i),
                                ft_pair_load(is_double, y_pred, i, stop - i), weighted,
                                weighted ? ft_pair_load(is_double, weight, i, stop - i) : one, t, e, stop - i);
            ft_moments_put_aside(&s, &run);
        }
        again = ft_moments_finish(weighted ? ft_sum_f64(s.weight) : (double)n_rows, ft_any_f64(s.negative),
                                  ft_sum_f64(s.true_sum), ft_sum_f64(s.true_squares), ft_sum_f64(s.error_sum),
                                  ft_sum_f64(s.error_squares), ft_sum_f64(s.squares), &true_shift, &error_shift,
                                  origins, moments, stride);
    }
}

/* Up to FT_LANES_f64 neighbouring columns. */
FT_INLINE void ft_moments_along(int is_double, ptrdiff_t n_rows, ptrdiff_t n_columns, ptrdiff_t row_stride,
                                const void *y_true, const void *y_pred, const void *weight,
                                const double *origins, double *moments, ptrdiff_t stride) {
    const ptrdiff_t count = n_columns < FT_LANES_f64 ? n_columns : FT_LANES_f64;
    const ptrdiff_t first = weight ? ft_first_weighted(is_double, n_rows, weight) * row_stride : 0;
    f64v true_shift = ft_pair_load(is_double, y_true, first, n_columns);
    f64v error_shift = true_shift - ft_pair_load(is_double, y_pred, first, n_columns);
    for (int again = 1, pass = 0; again && pass < 2; pass++) {
        ft_moment_sums s = {0};
        double sums[6][FT_LANES_f64], shifts[2][FT_LANES_f64];
        for (ptrdiff_t i = 0, stop; i < n_rows; i = stop) {
            ft_moment_sums run = {0};
            stop = n_rows - i < FT_RUN ? n_rows : i + FT_RUN;
            for (; i < stop; i++)
                ft_moments_step(&run, ft_pair_load(is_double, y_true, i * row_stride, n_columns),
                                ft_pair_load(is_double, y_pred, i * row_stride, n_columns), 1,
                                ft_broadcast_f64(weight ? ft_pair_number(is_double, weight, i) : 1), true_shift,
                                error_shift, n_columns);
            ft_moments_put_aside(&s, &run);
        }
        memcpy(sums[0], &s.weight, sizeof sums[0]);
        memcpy(sums[1], &s.true_sum, sizeof sums[0]);
        memcpy(sums[2], &s.true_squares, sizeof sums[0]);
        memcpy(sums[3], &s.error_sum, sizeof sums[0]);
        memcpy(sums[4], &s.error_squares, sizeof sums[0]);
        memcpy(sums[5], &s.squares, sizeof sums[0]);
        memcpy(shifts[0], &true_shift, sizeof shifts[0]);
        memcpy(shifts[1], &error_shift, sizeof shifts[0]);
        again = 0;
        for (ptrdiff_t j = 0; j < count; j++)
            again |= ft_moments_finish(sums[0][j], ft_any_f64(s.negative), sums[1][j], sums[2][j], sums[3][j],
                                       sums[4][j], sums[5][j], &shifts[0][j], &shifts[1][j], origins + j,
                                       moments + j, stride);
        memcpy(&true_shift, shifts[0], sizeof shifts[0]);
        memcpy(&error_shift, shifts[1], sizeof shifts[0]);
    }
}

static void ft_regression_moments(ptrdiff_t n_rows, ptrdiff_t n_columns, ptrdiff_t row_stride, int is_double,
                                  const void *y_true, const void *y_pred, const void *weight,
                                  const double *origins, double *moments, ptrdiff_t stride) {
    if (row_stride == 1) {
        if (is_double && weight)
            ft_moments_down(1, 1, n_rows, y_true, y_pred, weight, origins, moments, stride);
        else if (is_double)
            ft_moments_down(1, 0, n_rows, y_true, y_pred, weight, origins, moments, stride);
        else if (weight)
            ft_moments_down(0, 1, n_rows, y_true, y_pred, weight, origins, moments, stride);
        else
            ft_moments_down(0, 0, n_rows, y_true, y_pred, weight, origins, moments, stride);
        return;
    }
    for (ptrdiff_t j = 0; j < n_columns; j += FT_LANES_f64) {
        const ptrdiff_t count = n_columns - j;
        if (is_double)
            ft_moments_along(1, n_rows, count, row_stride, (const double *)y_true + j, (const double *)y_pred + j,
                             weight, origins + j, moments + j, stride);
        else
            ft_moments_along(0, n_rows, count, row_stride, (const float *)y_true + j, (const float *)y_pred + j,
                             weight, origins + j, moments + j, stride);
    }
}

/* ---- losses --------------------------------------------------------------------------------------- */

/* NaN where a number is outside of the loss's domain. */
FT_INLINE f64v ft_pair_loss(int loss, f64v y_true, f64v y_pred, double alpha) {
    const f64v error = y_true - y_pred, zero = {0}, nan = zero + __builtin_nan("");
    f64v value;
    switch (loss) {
    case FT_LOSS_SQUARED: return error * error;
    case FT_LOSS_SQUARED_LOG:
        value = ft_vec_log1p_f64(y_true) - ft_vec_log1p_f64(y_pred);
        return ft_select_f64((y_true > -1) & (y_pred > -1), value * value, nan);
    case FT_LOSS_PERCENTAGE:
        return ft_magnitude_f64(error) / ft_max_f64(ft_broadcast_f64(0x1p-52), ft_magnitude_f64(y_true));
    case FT_LOSS_PINBALL: return ft_select_f64(error >= 0, alpha * error, -((1 - alpha) * error));
    case FT_LOSS_POISSON:
        value = ft_select_f64(y_true == 0, zero, y_true * ft_vec_log_f64(y_true / y_pred));
        return ft_select_f64((y_true >= 0) & (y_pred > 0), 2 * (value - y_true + y_pred), nan);
    case FT_LOSS_GAMMA:
        value = 2 * (ft_vec_log_f64(y_pred / y_true) + y_true / y_pred - 1);
        return ft_select_f64((y_true > 0) & (y_pred > 0), value, nan);
    default: return ft_magnitude_f64(error); /* FT_LOSS_ABSOLUTE, FT_LOSS_MAXIMUM */
    }
}

typedef struct {
    f64v weight, total;
    i64v negative;
} ft_error_sums;

/* NaN is larger than all numbers. */
FT_INLINE f64v ft_loss_larger(f64v a, f64v b) { return ft_select_f64((b > a) | (b != b), b, a); }

FT_INLINE void ft_loss_put_aside(ft_error_sums *total, int loss, const ft_error_sums *run) {
    total->weight += run->weight;
    total->negative |= run->negative;
    total->total = loss == FT_LOSS_MAXIMUM ? ft_loss_larger(total->total, run->total) : total->total + run->total;
}

FT_INLINE void ft_loss_step(ft_error_sums *s, int loss, f64v y_true, f64v y_pred, double alpha, int weighted,
                            f64v weight, ptrdiff_t count) {
    f64v value = ft_pair_loss(loss, y_true, y_pred, alpha);
    if (count < FT_LANES_f64)
        value = ft_keep_f64(ft_first_lanes_f64(count), value);
    if (loss == FT_LOSS_MAXIMUM) {
        s->total = ft_loss_larger(s->total, value);
    } else if (weighted) {
        s->weight += weight;
        s->negative |= weight < 0;
        s->total = ft_fma_f64(weight, value, s->total);
    } else {
        s->total += value;
    }
}

FT_INLINE void ft_loss_down(int loss, int is_double, int weighted, double alpha, ptrdiff_t n_rows,
                            const void *y_true, const void *y_pred, const void *weight, double *sums,
                            ptrdiff_t stride) {
    const f64v one = ft_broadcast_f64(1);
    ft_error_sums s = {0};
    for (ptrdiff_t i = 0, stop; i < n_rows; i = stop) {
        ft_error_sums run = {0};
        stop = n_rows - i < FT_RUN * FT_LANES_f64 ? n_rows : i + FT_RUN * FT_LANES_f64;
        for (; i + FT_LANES_f64 <= stop; i += FT_LANES_f64)
            ft_loss_step(&run, loss, ft_pair_load(is_double, y_true, i, FT_LANES_f64),
                         ft_pair_load(is_double, y_pred, i, FT_LANES_f64), alpha, weighted,
                         weighted ? ft_pair_load(is_double, weight, i, FT_LANES_f64) : one, FT_LANES_f64);
        if (i < stop)
            ft_loss_step(&run, loss, ft_pair_load(is_double, y_true, i, stop - i),
                         ft_pair_load(is_double, y_pred, i, stop - i), alpha, weighted,
                         weighted ? ft_pair_load(is_double, weight, i, stop - i) : one, stop - i);
        ft_loss_put_aside(&s, loss, &run);
    }
    sums[0] = weighted ? ft_sum_f64(s.weight) : (double)n_rows;
    if (ft_any_f64(s.negative))
        sums[0] = __builtin_nan("");
    if (loss != FT_LOSS_MAXIMUM) {
        sums[stride] = ft_sum_f64(s.total);
        return;
    }
    double lanes[FT_LANES_f64], largest = 0;
    memcpy(lanes, &s.total, sizeof lanes);
    for (int lane = 0; lane < FT_LANES_f64; lane++)
        if (lanes[lane] > largest || lanes[lane] != lanes[lane])
            largest = lanes[lane];
    sums[stride] = largest;
}

/* Up to FT_LANES_f64 neighbouring columns. */
FT_INLINE void ft_loss_along(int loss, int is_double, double alpha, ptrdiff_t n_rows, ptrdiff_t n_columns,
                             ptrdiff_t row_stride, const void *y_true, const void *y_pred, const void *weight,
                             double *sums, ptrdiff_t stride) {
    const ptrdiff_t count = n_columns < FT_LANES_f64 ? n_columns : FT_LANES_f64;
    ft_error_sums s = {0};
    for (ptrdiff_t i = 0, stop; i < n_rows; i = stop) {
        ft_error_sums run = {0};
        stop = n_rows - i < FT_RUN ? n_rows : i + FT_RUN;
        for (; i < stop; i++)
            ft_loss_step(&run, loss, ft_pair_load(is_double, y_true, i * row_stride, n_columns),
                         ft_pair_load(is_double, y_pred, i * row_stride, n_columns), alpha, 1,
                         ft_broadcast_f64(weight ? ft_pair_number(is_double, weight, i) : 1), n_columns);
        ft_loss_put_aside(&s, loss, &run);
    }
    if (loss == FT_LOSS_MAXIMUM)
        s.weight = ft_broadcast_f64((double)n_rows);
    if (ft_any_f64(s.negative))
        s.weight = ft_broadcast_f64(__builtin_nan(""));
    ft_store_partial_f64(sums, count, s.weight);
    ft_store_partial_f64(sums + stride, count, s.total);
}

FT_INLINE void ft_loss_sum(int loss, double alpha, ptrdiff_t n_rows, ptrdiff_t n_columns, ptrdiff_t row_stride,
                           int is_double, const void *y_true, const void *y_pred, const void *weight,
                           double *sums, ptrdiff_t stride) {
    if (row_stride == 1) {
        if (is_double && weight)
            ft_loss_down(loss, 1, 1, alpha, n_rows, y_true, y_pred, weight, sums, stride);
        else if (is_double)
            ft_loss_down(loss, 1, 0, alpha, n_rows, y_true, y_pred, weight, sums, stride);
        else if (weight)
            ft_loss_down(loss, 0, 1, alpha, n_rows, y_true, y_pred, weight, sums, stride);
        else
            ft_loss_down(loss, 0, 0, alpha, n_rows, y_true, y_pred, weight, sums, stride);
        return;
    }
    for (ptrdiff_t j = 0; j < n_columns; j += FT_LANES_f64) {
        const ptrdiff_t count = n_columns - j;
        if (is_double)
            ft_loss_along(loss, 1, alpha, n_rows, count, row_stride, (const double *)y_true + j,
                          (const double *)y_pred + j, weight, sums + j, stride);
        else
            ft_loss_along(loss, 0, alpha, n_rows, count, row_stride, (const float *)y_true + j,
                          (const float *)y_pred + j, weight, sums + j, stride);
    }
}

#define FT_LOSS_CASE(code)                                                                               \
    case code:                                                                                           \
        ft_loss_sum(code, alpha, n_rows, n_columns, row_stride, is_double, y_true, y_pred, weight, sums, stride); \
        break;

static void ft_regression_loss(int loss, double alpha, ptrdiff_t n_rows, ptrdiff_t n_columns,
                               ptrdiff_t row_stride, int is_double, const void *y_true, const void *y_pred,
                               const void *weight, double *sums, ptrdiff_t stride) {
    switch (loss) {
        FT_LOSS_CASE(FT_LOSS_SQUARED)
        FT_LOSS_CASE(FT_LOSS_ABSOLUTE)
        FT_LOSS_CASE(FT_LOSS_MAXIMUM)
        FT_LOSS_CASE(FT_LOSS_SQUARED_LOG)
        FT_LOSS_CASE(FT_LOSS_PERCENTAGE)
        FT_LOSS_CASE(FT_LOSS_PINBALL)
        FT_LOSS_CASE(FT_LOSS_POISSON)
        FT_LOSS_CASE(FT_LOSS_GAMMA)
    }
}

#undef FT_LOSS_CASE
