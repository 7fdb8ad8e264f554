/*
 * Losses of predicted probabilities against labels: the logarithmic and the squared one, in one pass that
 * also validates labels, probabilities and weights.
 *
 * A block of rows at a time.  Labels, of any integer width, become what the arithmetic needs (all ones where
 * the row is positive; or the number of the class), probabilities of either type become doubles, and only then
 * come the logarithms, in full vectors: so neither the label's type nor the probability's multiplies the
 * kernels, and what lies between the steps stays in the first-level cache.  Everything is computed and
 * summed in double, whatever the inputs: a float costs the same read, and 1 - p loses nothing.
 *
 * Like counts.h, whose label codes and weights it uses, it is included once per level.
 */
#define FT_ROWS 512 /* of a block */

/* positive[i] = -1 where the label is `yes`, 0 where it is `no`; returns nonzero where it is neither. */
#define FT_DEFINE_POSITIVES(S, T)                                                                        \
    static int ft_positives_##S(ptrdiff_t n, const T *labels, int64_t no, int64_t yes,                   \
                                int64_t *restrict positive) {                                            \
        const T yes_label = (T)yes, no_label = (T)no;                                                    \
        /* a label that the type cannot hold does not occur */                                           \
        const int64_t has_yes = -(int64_t)((int64_t)yes_label == yes && (!((T)-1 > 0) || yes >= 0));     \
        const int64_t has_no = -(int64_t)((int64_t)no_label == no && (!((T)-1 > 0) || no >= 0));         \
        int64_t known = -1;                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                              \
            int64_t is_yes = -(int64_t)(labels[i] == yes_label) & has_yes;                               \
            positive[i] = is_yes;                                                                        \
            known &= is_yes | (-(int64_t)(labels[i] == no_label) & has_no);                              \
        }                                                                                                \
        return known == 0;                                                                               \
    }

FT_DEFINE_POSITIVES(i8, int8_t)
FT_DEFINE_POSITIVES(i16, int16_t)
FT_DEFINE_POSITIVES(i32, int32_t)
FT_DEFINE_POSITIVES(i64, int64_t)
FT_DEFINE_POSITIVES(u8, uint8_t)
FT_DEFINE_POSITIVES(u16, uint16_t)
FT_DEFINE_POSITIVES(u32, uint32_t)
FT_DEFINE_POSITIVES(u64, uint64_t)

static int ft_positives(int type, const void *labels, ptrdiff_t begin, ptrdiff_t n, int64_t no, int64_t yes,
                        int64_t *positive) {
    switch (type) {
    case FT_INT8: return ft_positives_i8(n, (const int8_t *)labels + begin, no, yes, positive);
    case FT_INT16: return ft_positives_i16(n, (const int16_t *)labels + begin, no, yes, positive);
    case FT_INT32: return ft_positives_i32(n, (const int32_t *)labels + begin, no, yes, positive);
    case FT_INT64: return ft_positives_i64(n, (const int64_t *)labels + begin, no, yes, positive);
    case FT_UINT8: return ft_positives_u8(n, (const uint8_t *)labels + begin, no, yes, positive);
    case FT_UINT16: return ft_positives_u16(n, (const uint16_t *)labels + begin, no, yes, positive);
    case FT_UINT32: return ft_positives_u32(n, (const uint32_t *)labels + begin, no, yes, positive);
    default: return ft_positives_u64(n, (const uint64_t *)labels + begin, no, yes, positive);
    }
}

/* Of each row the probability p of the positive class where `positive` is -1, and 1 - p where it is 0, or the
   other way round where flip is -1; *n_positive += rows that are positive.  Returns nonzero if a p is not in
   [0, 1]. */
#define FT_DEFINE_SHARES(S, T)                                                                           \
    static int ft_row_shares_##S(ptrdiff_t n, const T *probability, const int64_t *positive, int64_t flip,   \
                             double *restrict share, int64_t *n_positive) {                              \
        int64_t count = 0, good = -1;                                                                    \
        for (ptrdiff_t i = 0; i < n; i++) {                                                              \
            double p = (double)probability[i], rest = 1.0 - p;                                           \
            good &= -(int64_t)((p >= 0.0) & (p <= 1.0));                                                 \
            count -= positive[i];                                                                        \
            share[i] = positive[i] ^ flip ? p : rest;                                                    \
        }                                                                                                \
        *n_positive += count;                                                                            \
        return good == 0;                                                                                \
    }

FT_DEFINE_SHARES(f32, float)
FT_DEFINE_SHARES(f64, double)

static int ft_row_shares(int is_double, const void *probability, ptrdiff_t begin, ptrdiff_t n,
                     const int64_t *positive, int64_t flip, double *share, int64_t *n_positive) {
    return is_double ? ft_row_shares_f64(n, (const double *)probability + begin, positive, flip, share, n_positive)
                     : ft_row_shares_f32(n, (const float *)probability + begin, positive, flip, share, n_positive);
}

FT_INLINE f64v ft_load_rows(const double *x, ptrdiff_t left) {
    return left >= FT_LANES_f64 ? ft_load_f64(x) : ft_load_partial_f64(x, left);
}

/* What `share` is: the loss itself; the error, to be squared; or the probability of what happened, to be held
   within [eps, 1 - eps], where eps is a normal number or may be less. */
enum { FT_SHARE_LOSS, FT_SHARE_ERROR, FT_SHARE_LOG_NORMAL, FT_SHARE_LOG };

FT_INLINE f64v ft_share_loss(int kind, f64v share, f64v low, f64v high) {
    const f64v zero = {0};
    if (kind == FT_SHARE_LOSS)
        return share;
    if (kind == FT_SHARE_ERROR)
        return share * share;
    share = ft_max_f64(ft_min_f64(share, high), low);
    if (kind == FT_SHARE_LOG)
        return -ft_vec_log_f64(share);
    /* positive, normal and finite: without the cases of ft_vec_log, which are a third of its time */
    f64v k, m = ft_split_f64(share, &k);
    return -ft_log_sum_f64(m - 1, k, zero);
}

/* Adds w and w * loss of n rows; weights (n,) or NULL for ones.  The logarithms touch nothing but the cache, so
   they ask meanwhile for the rows of the next block, unless that is NULL (see counts.h); squares are too quick
   for it to pay. */
FT_INLINE void ft_add_losses_of(int kind, ptrdiff_t n, const double *share, const double *weights, double eps,
                                const ft_next_block *next, ft_loss_sums *sums) {
    const f64v low = ft_broadcast_f64(eps), high = ft_broadcast_f64(1.0 - eps), one = ft_broadcast_f64(1.0);
    f64v loss = {0}, total = {0};
    for (ptrdiff_t i = 0; i < n; i += FT_LANES_f64) {
        if (next && i % FT_GROUP == 0) {
            __builtin_prefetch((const void *)(next->y_true + (uintptr_t)(i * next->true_width)));
            __builtin_prefetch((const void *)(next->y_pred + (uintptr_t)(i * next->pred_width)));
        }
        f64v value = ft_share_loss(kind, ft_load_rows(share + i, n - i), low, high);
        f64v w = weights ? ft_load_rows(weights + i, n - i) : one;
        if (n - i < FT_LANES_f64) {
            value = ft_keep_f64(ft_first_lanes_f64(n - i), value);
            w = ft_keep_f64(ft_first_lanes_f64(n - i), w);
        }
        loss += w * value;
        total += w;
    }
    sums->loss += ft_sum_f64(loss);
    sums->weight += ft_sum_f64(total);
}

static void ft_add_losses(int kind, ptrdiff_t n, const double *share, const double *weights, double eps,
                          const ft_next_block *next, ft_loss_sums *sums) {
    switch (kind) {
    case FT_SHARE_LOSS: ft_add_losses_of(FT_SHARE_LOSS, n, share, weights, eps, next, sums); break;
    case FT_SHARE_ERROR: ft_add_losses_of(FT_SHARE_ERROR, n, share, weights, eps, next, sums); break;
    case FT_SHARE_LOG_NORMAL: ft_add_losses_of(FT_SHARE_LOG_NORMAL, n, share, weights, eps, next, sums); break;
    default: ft_add_losses_of(FT_SHARE_LOG, n, share, weights, eps, next, sums);
    }
}

static int ft_log_kind(double eps) { return eps >= 0x1p-1022 ? FT_SHARE_LOG_NORMAL : FT_SHARE_LOG; }

static ptrdiff_t ft_binary_probability_loss(ptrdiff_t n, int squared, int label_type, const void *y_true,
                                            int64_t negative, int64_t positive, int is_double,
                                            const void *y_proba, double eps, int weight_is_double,
                                            const void *sample_weight, ft_loss_sums *sums, int64_t *n_positive) {
    int64_t yes[FT_ROWS];
    double share[FT_ROWS], weights[FT_ROWS];
    const int64_t flip = squared ? -1 : 0; /* the error is what was given to the other class */
    const int kind = squared ? FT_SHARE_ERROR : ft_log_kind(eps);
    const ptrdiff_t label_width = ft_label_width(label_type), width = is_double ? 8 : 4;
    for (ptrdiff_t begin = 0; begin < n; begin += FT_ROWS) {
        const ptrdiff_t size = n - begin < FT_ROWS ? n - begin : FT_ROWS;
        int bad = ft_positives(label_type, y_true, begin, size, negative, positive, yes);
        bad |= ft_row_shares(is_double, y_proba, begin, size, yes, flip, share, n_positive);
        if (sample_weight)
            bad |= ft_block_weights(weight_is_double, sample_weight, begin, size, weights);
        if (bad)
            for (ptrdiff_t row = begin;; row++)
                if (ft_positives(label_type, y_true, row, 1, negative, positive, yes) ||
                    ft_row_shares(is_double, y_proba, row, 1, yes, flip, share, n_positive) ||
                    (sample_weight && ft_block_weights(weight_is_double, sample_weight, row, 1, weights)))
                    return row;
        const uintptr_t end = (uintptr_t)(begin + FT_ROWS);
        const ft_next_block next = {(uintptr_t)y_true + end * (uintptr_t)label_width,
                                    (uintptr_t)y_proba + end * (uintptr_t)width, label_width, width};
        ft_add_losses(kind, size, share, sample_weight ? weights : NULL, eps, squared ? NULL : &next, sums);
    }
    return -1;
}

/* ---- classes ------------------------------------------------------------------------------------- */

typedef float ft_half_f32 __attribute__((vector_size(FT_VECTOR_BYTES / 2)));

/* The first `count` of a vector of doubles, from either type; the other lanes are zero. */
FT_INLINE f64v ft_load_wide_f64(const double *x, ptrdiff_t count) { return ft_load_rows(x, count); }
FT_INLINE f64v ft_load_wide_f32(const float *x, ptrdiff_t count) {
    ft_half_f32 half = {0};
    if (count >= FT_LANES_f64)
        memcpy(&half, x, sizeof half);
    else
        for (int lane = 0; lane < FT_LANES_f64; lane++)
            if (lane < count)
                half[lane] = x[lane];
    return __builtin_convertvector(half, f64v);
}

/* Of each of n rows of probabilities, what ft_add_losses takes: the probability of the row's class, or the sum
   of squared errors; *deviation = the largest |sum of a row - 1|.  Returns nonzero if one is not in [0, 1]. */
#define FT_DEFINE_CLASS_SHARES(S, T)                                                                     \
    static int ft_class_shares_##S(ptrdiff_t n, ptrdiff_t n_classes, int squared, const T *probability,  \
                                   ptrdiff_t row_stride, const uint32_t *codes, double *restrict share,  \
                                   double *deviation) {                                                  \
        const f64v zero = {0}, one = ft_broadcast_f64(1.0);                                              \
        i64v good = ft_first_lanes_f64(FT_LANES_f64), lanes;                                             \
        for (int lane = 0; lane < FT_LANES_f64; lane++)                                                  \
            lanes[lane] = lane;                                                                          \
        for (ptrdiff_t i = 0; i < n; i++, probability += row_stride) {                                   \
            f64v total = {0}, squares = {0};                                                             \
            const i64v own = (i64v){0} + (int64_t)codes[i];                                              \
            for (ptrdiff_t c = 0; c < n_classes; c += FT_LANES_f64) {                                    \
                const f64v p = ft_load_wide_##S(probability + c, n_classes - c);                         \
                good &= (p >= zero) & (p <= one);                                                        \
                total += p;                                                                              \
                if (squared) {                                                                           \
                    const f64v error = p - ft_keep_f64(lanes + c == own, one);                           \
                    squares += error * error;                                                            \
                }                                                                                        \
            }                                                                                            \
            share[i] = squared ? ft_sum_f64(squares) : (double)probability[codes[i]];                    \
            const double away = ft_sum_f64(total) - 1.0, size = away < 0.0 ? -away : away;               \
            *deviation = size > *deviation ? size : *deviation;                                          \
        }                                                                                                \
        return ft_any_f64(~good);                                                                        \
    }

FT_DEFINE_CLASS_SHARES(f32, float)
FT_DEFINE_CLASS_SHARES(f64, double)

static int ft_class_shares(int is_double, ptrdiff_t n, ptrdiff_t n_classes, int squared, const void *probability,
                           ptrdiff_t begin, ptrdiff_t row_stride, const uint32_t *codes, double *share,
                           double *deviation) {
    return is_double ? ft_class_shares_f64(n, n_classes, squared, (const double *)probability + begin * row_stride,
                                           row_stride, codes, share, deviation)
                     : ft_class_shares_f32(n, n_classes, squared, (const float *)probability + begin * row_stride,
                                           row_stride, codes, share, deviation);
}

static ptrdiff_t ft_class_probability_loss(ptrdiff_t n, ptrdiff_t n_classes, int squared, int label_type,
                                           const void *y_true, int64_t first_label, int is_double,
                                           const void *y_proba, ptrdiff_t row_stride, double eps,
                                           int weight_is_double, const void *sample_weight, ft_loss_sums *sums,
                                           int64_t *class_counts, double *deviation) {
    uint32_t codes[FT_ROWS];
    double share[FT_ROWS], weights[FT_ROWS];
    for (ptrdiff_t begin = 0; begin < n; begin += FT_ROWS) {
        const ptrdiff_t size = n - begin < FT_ROWS ? n - begin : FT_ROWS;
        /* codes are indices, so nothing is read by them before all are known to be good */
        int bad = ft_label_codes(label_type, y_true, begin, size, first_label, n_classes, codes);
        bad = bad || ft_class_shares(is_double, size, n_classes, squared, y_proba, begin, row_stride, codes, share,
                                     deviation);
        if (sample_weight)
            bad |= ft_block_weights(weight_is_double, sample_weight, begin, size, weights);
        if (bad)
            for (ptrdiff_t row = begin;; row++)
                if (ft_label_codes(label_type, y_true, row, 1, first_label, n_classes, codes) ||
                    ft_class_shares(is_double, 1, n_classes, squared, y_proba, row, row_stride, codes, share,
                                    deviation) ||
                    (sample_weight && ft_block_weights(weight_is_double, sample_weight, row, 1, weights)))
                    return row;
        for (ptrdiff_t i = 0; i < size; i++)
            class_counts[codes[i]]++;
        ft_add_losses(squared ? FT_SHARE_LOSS : ft_log_kind(eps), size, share, sample_weight ? weights : NULL, eps,
                      NULL, sums);
    }
    return -1;
}
