/*
 * Losses: value and gradient in one pass.
 *
 * Two shapes of work.  The elementwise losses (squared error, binary cross-entropy) walk runs of elements,
 * and a run is as long as the memory allows: one row, or all rows where they lie end to end and share
 * their weight.  The softmax family takes LANES rows at a time.  Where classes are few, as in most training,
 * a lane is a row: no sum across lanes, no lane idle.  Where they are many a lane is a class, row after row,
 * and only the logarithms of the group are taken together.
 *
 * Numbers.  Every loss is written as a sum of terms that are not negative, so that nothing cancels: a row
 * with a confident and right prediction keeps its relative accuracy.  For that the sum of exponentials is
 * kept as `excess`, without the 1 that the largest logit adds: logsumexp = maximum + log1p(excess).
 * Within 16 vectors partial sums are of the element type, beyond that of double.
 *
 * Data are checked on the way (NaN in a target, a label that is no class); only when the answer at the
 * end is that something was bad is the row looked for.
 */
#define FT_BLOCK (16 * LANES)
#define FT_FEW_CLASSES 16

#if REAL_IS_FLOAT
enum { FT_SQUARED_ERROR, FT_BCE_LOGITS, FT_BCE_PROBABILITIES };
enum { FT_SOFTMAX, FT_HARD, FT_SMOOTH, FT_SOFT };
#endif

FT_INLINE VEC SUFFIX(ft_load_count)(const REAL *x, ptrdiff_t count) {
    return count == LANES ? LOAD(x) : LOAD_PARTIAL(x, count);
}

FT_INLINE void SUFFIX(ft_store_count)(REAL *x, ptrdiff_t count, VEC v) {
    if (count == LANES)
        STORE(x, v);
    else
        STORE_PARTIAL(x, count, v);
}

/* x from an array, or the constant where there is none. */
FT_INLINE VEC SUFFIX(ft_operand)(const REAL *x, ptrdiff_t i, ptrdiff_t count, VEC constant) {
    return x != NULL ? SUFFIX(ft_load_count)(x + i, count) : constant;
}

/* ---- elementwise losses -------------------------------------------------------------------------- */

/* Loss and slope of one vector; marks the lanes whose target is out of the loss's domain. */
FT_INLINE VEC SUFFIX(ft_elementwise)(int loss, VEC p, VEC t, VEC pos_weight, VEC *slope, IVEC *bad) {
    const VEC zero = {0}, one = BROADCAST(1);
    if (loss == FT_SQUARED_ERROR) {
        *bad |= t - t != zero;
        *slope = p - t;
        return *slope * *slope;
    }
    *bad |= ~((t >= zero) & (t <= one));
    if (loss == FT_BCE_LOGITS) {
        /* t softplus(-z) + (1 - t) softplus(z), softplus(z) = max(z, 0) + log1p(exp(-|z|)) */
        IVEC positive = p > zero;
        VEC size = SELECT(positive, p, -p);
        VEC small = SUFFIX(ft_vec_exp)(-size);
        VEC yes = pos_weight * t, no = one - t;
        *slope = (no * SELECT(positive, one, small) - yes * SELECT(positive, small, one)) / (one + small);
        return size * SELECT(positive, no, yes) + (yes + no) * SUFFIX(ft_vec_log1p)(small);
    }
    const VEC floor = BROADCAST(-100), tiny = BROADCAST((REAL)1e-12);
    *bad |= (p < zero) | (p > one);
    VEC log_yes = SUFFIX(ft_vec_log)(p), log_no = SUFFIX(ft_vec_log1p)(-p), spread = p * (one - p);
    log_yes = SELECT(log_yes < floor, floor, log_yes);
    log_no = SELECT(log_no < floor, floor, log_no);
    *slope = (p - t) / SELECT(spread < tiny, tiny, spread);
    return -(t * log_yes + (one - t) * log_no);
}

/* One run of n elements; the weights are arrays (n,), or constants where the array is NULL.
   Returns the first element that must not be passed, or -1. */
FT_INLINE ptrdiff_t SUFFIX(ft_elementwise_run)(int loss, ptrdiff_t n, const REAL *prediction,
                                               const REAL *target, const REAL *weights, VEC weight,
                                               const REAL *pos_weights, VEC pos_weight, VEC scale, REAL *grad,
                                               SUFFIX(ft_sums) *sums, IVEC *bad) {
    for (ptrdiff_t i = 0, stop; i < n; i = stop) {
        VEC part = {0};
        stop = n - i < FT_BLOCK ? n : i + FT_BLOCK;
#define FT_STEP(count)                                                                                   \
    do {                                                                                                 \
        IVEC step_bad = {0};                                                                             \
        VEC slope, w = SUFFIX(ft_operand)(weights, i, count, weight);                                    \
        VEC value = SUFFIX(ft_elementwise)(loss, SUFFIX(ft_load_count)(prediction + i, count),           \
                                           SUFFIX(ft_load_count)(target + i, count),                     \
                                           SUFFIX(ft_operand)(pos_weights, i, count, pos_weight),        \
                                           &slope, &step_bad);                                           \
        /* the prediction, which is checked too, may be gone after the store */                          \
        if (loss == FT_BCE_PROBABILITIES && ANY(step_bad))                                               \
            return i;                                                                                    \
        *bad |= step_bad;                                                                                \
        part += KEEP(FIRST_LANES(count), w * value);                                                     \
        if (grad != NULL)                                                                                \
            SUFFIX(ft_store_count)(grad + i, count, scale * w * slope);                                  \
    } while (0)
        for (; i + LANES <= stop; i += LANES)
            FT_STEP(LANES);
        if (i < stop)
            FT_STEP(stop - i);
#undef FT_STEP
        SUFFIX(ft_sums_add)(sums, part);
    }
    return -1;
}

/* The first row with an element out of the loss's domain, from element `from` on. */
static ptrdiff_t SUFFIX(ft_first_bad_row)(int loss, ptrdiff_t n_rows, ptrdiff_t n_columns,
                                          const REAL *prediction, ptrdiff_t prediction_row_stride,
                                          const REAL *target, ptrdiff_t target_row_stride, ptrdiff_t from) {
    for (ptrdiff_t row = from / n_columns, column = from % n_columns; row < n_rows; row++, column = 0)
        for (; column < n_columns; column++) {
            REAL t = target[row * target_row_stride + column];
            REAL p = prediction[row * prediction_row_stride + column];
            if (loss == FT_SQUARED_ERROR ? t - t != 0 : !(t >= 0 && t <= 1))
                return row;
            if (loss == FT_BCE_PROBABILITIES && (p < 0 || p > 1))
                return row;
        }
    return -1;
}

FT_INLINE ptrdiff_t SUFFIX(ft_elementwise_rows)(int loss, ptrdiff_t n_rows, ptrdiff_t n_columns,
                                                const REAL *prediction, ptrdiff_t prediction_row_stride,
                                                const REAL *target, ptrdiff_t target_row_stride,
                                                const REAL *row_weight, const REAL *pos_weight,
                                                double factor, double scale, REAL *grad,
                                                ptrdiff_t grad_row_stride, double *value) {
    if (n_rows <= 0 || n_columns <= 0)
        return -1;
    const VEC one = BROADCAST(1), scales = BROADCAST((REAL)scale);
    SUFFIX(ft_sums) sums = {0};
    IVEC bad = {0};
    ptrdiff_t n_runs = n_rows, run = n_columns;
    const REAL *weights = NULL;
    VEC pos = one;
    int dense = prediction_row_stride == n_columns && target_row_stride == n_columns &&
                (grad == NULL || grad_row_stride == n_columns);
    if (n_columns == 1) {
        if (pos_weight != NULL)
            pos = BROADCAST(pos_weight[0]);
        pos_weight = NULL;
        if (dense)
            weights = row_weight;
    }
    if (dense && pos_weight == NULL && (row_weight == NULL || n_columns == 1)) {
        n_runs = 1;
        run = n_rows * n_columns;
        row_weight = NULL;
    }
    for (ptrdiff_t row = 0; row < n_runs; row++) {
        VEC weight = row_weight != NULL ? BROADCAST(row_weight[row]) : one;
        ptrdiff_t stopped = SUFFIX(ft_elementwise_run)(
            loss, run, prediction + row * prediction_row_stride, target + row * target_row_stride, weights,
            weight, pos_weight, pos, scales, grad == NULL ? NULL : grad + row * grad_row_stride, &sums, &bad);
        if (stopped >= 0)
            return SUFFIX(ft_first_bad_row)(loss, n_rows, n_columns, prediction, prediction_row_stride,
                                            target, target_row_stride, row * n_columns + stopped);
    }
    if (ANY(bad))
        return SUFFIX(ft_first_bad_row)(loss, n_rows, n_columns, prediction, prediction_row_stride, target,
                                        target_row_stride, 0);
    *value += factor * SUFFIX(ft_sums_total)(sums);
    return -1;
}

static ptrdiff_t SUFFIX(ft_squared_error)(ptrdiff_t n_rows, ptrdiff_t n_columns, const REAL *prediction,
                                          ptrdiff_t prediction_row_stride, const REAL *target,
                                          ptrdiff_t target_row_stride, const REAL *row_weight,
                                          double factor, double scale, REAL *grad, ptrdiff_t grad_row_stride,
                                          double *value) {
    return SUFFIX(ft_elementwise_rows)(FT_SQUARED_ERROR, n_rows, n_columns, prediction, prediction_row_stride,
                                       target, target_row_stride, row_weight, NULL, factor,
                                       2 * factor * scale, grad, grad_row_stride, value);
}

static ptrdiff_t SUFFIX(ft_bce_logits)(ptrdiff_t n_rows, ptrdiff_t n_columns, const REAL *logits,
                                       ptrdiff_t logits_row_stride, const REAL *target,
                                       ptrdiff_t target_row_stride, const REAL *row_weight,
                                       const REAL *pos_weight, double scale, REAL *grad,
                                       ptrdiff_t grad_row_stride, double *value) {
    return SUFFIX(ft_elementwise_rows)(FT_BCE_LOGITS, n_rows, n_columns, logits, logits_row_stride, target,
                                       target_row_stride, row_weight, pos_weight, 1, scale, grad,
                                       grad_row_stride, value);
}

static ptrdiff_t SUFFIX(ft_bce_probabilities)(ptrdiff_t n_rows, ptrdiff_t n_columns, const REAL *probability,
                                              ptrdiff_t probability_row_stride, const REAL *target,
                                              ptrdiff_t target_row_stride, const REAL *row_weight,
                                              double scale, REAL *grad, ptrdiff_t grad_row_stride,
                                              double *value) {
    return SUFFIX(ft_elementwise_rows)(FT_BCE_PROBABILITIES, n_rows, n_columns, probability,
                                       probability_row_stride, target, target_row_stride, row_weight, NULL, 1,
                                       scale, grad, grad_row_stride, value);
}

/* ---- softmax and cross-entropy ------------------------------------------------------------------- */

/*
 * The loss of a row is  hard * nll_y + sum_c share_c * nll_c,  nll_c = log1p(excess) + (maximum - z_c),
 * where `hard` belongs to the label and the shares to smoothing or to target probabilities; its gradient is
 * (hard + mass) * p_c - share_c - hard * [c = y],  mass = sum_c share_c.
 */
typedef struct {
    const REAL *class_weight;   /* (n_classes,) or NULL */
    VEC kept, spread;           /* share_c = class_weight_c * (target_c * kept + spread) */
} SUFFIX(ft_shares);

typedef struct {
    double excess;  /* sum_c exp(z_c - maximum), less 1 */
    double depth;   /* maximum - z_y */
    double mass, mixed; /* sum_c share_c, sum_c share_c * (maximum - z_c) */
} SUFFIX(ft_row);

FT_INLINE VEC SUFFIX(ft_share)(int kind, const SUFFIX(ft_shares) *shares, const REAL *target, ptrdiff_t i,
                               ptrdiff_t count, IVEC *bad) {
    VEC part = shares->spread;
    if (kind == FT_SOFT) {
        const VEC zero = {0};
        VEC t = SUFFIX(ft_load_count)(target + i, count);
        *bad |= ~((t >= zero) & (t - t == zero));
        part += t * shares->kept;
    }
    if (shares->class_weight != NULL)
        part *= SUFFIX(ft_load_count)(shares->class_weight + i, count);
    return KEEP(FIRST_LANES(count), part);
}

/* exp(x) for x <= 0 and NaN, with 0 for what would be subnormal: that is nothing beside the 1 of the largest
   logit, and computing it costs most processors dear. */
FT_INLINE VEC SUFFIX(ft_exp_or_zero)(VEC x) {
    const VEC lowest = BROADCAST(REAL_IS_FLOAT ? -87 : -708);
    return KEEP(~(x < lowest), SUFFIX(ft_vec_exp)(MAX(lowest, x)));
}

/* grad (n,) = factor * d loss / d z, or the probabilities for FT_SOFTMAX; grad may be z, or NULL. */
FT_INLINE SUFFIX(ft_row) SUFFIX(ft_softmax_row)(int kind, ptrdiff_t n, const REAL *z, const REAL *target,
                                                const SUFFIX(ft_shares) *shares, ptrdiff_t label, double hard,
                                                double factor, REAL *grad, IVEC *bad) {
    const VEC zero = {0}, one = BROADCAST(1), lowest = BROADCAST(-(REAL)__builtin_inf());
    const int labelled = kind == FT_HARD || kind == FT_SMOOTH, shared = kind == FT_SMOOTH || kind == FT_SOFT;
    const ptrdiff_t rest = n % LANES, full = n - rest;
    const IVEC valid = FIRST_LANES(rest);
    VEC tail = SELECT(valid, LOAD_PARTIAL(z + full, rest), lowest);

    VEC largest = MAX(tail, lowest); /* NaN gives way; it comes back through the differences */
    for (ptrdiff_t i = 0; i < full; i += LANES)
        largest = MAX(LOAD(z + i), largest);
    const REAL maximum = MAX_LANE(largest);
    const VEC shift = BROADCAST(maximum);

    SUFFIX(ft_row) row = {0};
    REAL depth = labelled ? maximum - z[label] : 0;
    SUFFIX(ft_sums) excess = {0}, mass = {0}, mixed = {0};
    VEC ones = {0}; /* how often each lane met the maximum */
    REAL ends[LANES]; /* the exponentials of the last, partial vector */
    for (ptrdiff_t i = 0, stop; i < n; i = stop) {
        VEC excess_part = {0}, mass_part = {0}, mixed_part = {0};
        stop = n - i < FT_BLOCK ? n : i + FT_BLOCK;
#define FT_STEP(count, logits)                                                                           \
    VEC below = (logits) - shift, e = SUFFIX(ft_exp_or_zero)(below);                                     \
    IVEC top = below == zero;                                                                            \
    ones += KEEP(top, one);                                                                              \
    excess_part += KEEP(~top, e);                                                                        \
    if (shared) {                                                                                        \
        VEC share = SUFFIX(ft_share)(kind, shares, target, i, count, bad);                               \
        mass_part += share;                                                                              \
        /* 0 log 0 is 0; so are the lanes beyond the row */                                              \
        mixed_part -= KEEP(share != zero, share * below);                                                \
    }
        for (; i + LANES <= stop; i += LANES) {
            FT_STEP(LANES, LOAD(z + i))
            if (grad != NULL)
                STORE(grad + i, e);
        }
        if (i < stop) {
            FT_STEP(rest, tail)
            tail = e;
            STORE(ends, e);
        }
#undef FT_STEP
        SUFFIX(ft_sums_add)(&excess, excess_part);
        if (shared) {
            SUFFIX(ft_sums_add)(&mass, mass_part);
            SUFFIX(ft_sums_add)(&mixed, mixed_part);
        }
    }
    row.excess = SUFFIX(ft_sums_total)(excess) + ((double)SUM(ones) - 1);
    row.depth = depth;
    if (shared) {
        row.mass = SUFFIX(ft_sums_total)(mass);
        row.mixed = SUFFIX(ft_sums_total)(mixed);
    }
    if (grad == NULL)
        return row;

    const double per_sum = 1 / (1 + row.excess);
    double at_label = 0;
    if (labelled) {
        double e = label < full ? grad[label] : ends[label - full];
        at_label = 0 - hard * ((1 - e) + row.excess) * per_sum;
        if (shared) {
            double weight = shares->class_weight != NULL ? shares->class_weight[label] : 1;
            at_label += row.mass * e * per_sum - weight * (double)shares->spread[0];
        }
    }
    const VEC factors = BROADCAST((REAL)factor);
    const VEC slope = BROADCAST((REAL)(factor * (hard + row.mass) * per_sum));
#define FT_STEP(count, e)                                                                                \
    VEC g = slope * (e);                                                                                 \
    if (shared)                                                                                          \
        g -= factors * SUFFIX(ft_share)(kind, shares, target, i, count, bad);                            \
    SUFFIX(ft_store_count)(grad + i, count, g);
    ptrdiff_t i = 0;
    for (; i < full; i += LANES) {
        FT_STEP(LANES, LOAD(grad + i))
    }
    if (rest > 0) {
        FT_STEP(rest, tail)
    }
#undef FT_STEP
    if (labelled)
        grad[label] = (REAL)(factor * at_label);
    return row;
}

/* Element c of each of n rows; the last row again in the lanes beyond. */
FT_INLINE VEC SUFFIX(ft_column)(ptrdiff_t n, const REAL *x, ptrdiff_t row_stride, ptrdiff_t c) {
    VEC v;
    if (n == LANES)
        for (int lane = 0; lane < LANES; lane++)
            v[lane] = x[lane * row_stride + c];
    else
        for (int lane = 0; lane < LANES; lane++)
            v[lane] = x[(lane < n ? lane : n - 1) * row_stride + c];
    return v;
}

/* Up to LANES rows of few classes, a row to a lane; hard, weight and label are per lane, and lanes with label
   -1 are rows to ignore.  Adds the weighted losses to sums. */
FT_INLINE void SUFFIX(ft_softmax_group)(int kind, ptrdiff_t n, ptrdiff_t n_classes, const REAL *logits,
                                        ptrdiff_t logits_row_stride, const REAL *target,
                                        ptrdiff_t target_row_stride, const SUFFIX(ft_shares) *shares,
                                        IVEC label, VEC hard, VEC weight, REAL scale, REAL *grad,
                                        ptrdiff_t grad_row_stride, SUFFIX(ft_sums) *sums, IVEC *bad) {
    const VEC zero = {0}, one = BROADCAST(1);
    const int labelled = kind == FT_HARD || kind == FT_SMOOTH, shared = kind == FT_SMOOTH || kind == FT_SOFT;
    const IVEC used = FIRST_LANES(n) & (label >= 0);
    VEC e[FT_FEW_CLASSES], share[FT_FEW_CLASSES];
    /* NaN gives way to the others; it comes back through the differences */
    VEC maximum = BROADCAST(-(REAL)__builtin_inf());
    for (ptrdiff_t c = 0; c < n_classes; c++) {
        e[c] = SUFFIX(ft_column)(n, logits, logits_row_stride, c);
        maximum = MAX(e[c], maximum);
    }
    VEC excess = -one, others = zero, depth = zero, e_label = zero, mass = zero, mixed = zero;
    for (ptrdiff_t c = 0; c < n_classes; c++) {
        VEC below = e[c] - maximum;
        IVEC top = below == zero;
        e[c] = SUFFIX(ft_exp_or_zero)(below);
        excess += KEEP(top, one);
        others += KEEP(~top, e[c]);
        if (labelled) {
            IVEC mine = label == (INT)c;
            depth = SELECT(mine, -below, depth);
            e_label = SELECT(mine, e[c], e_label);
        }
        if (shared) {
            share[c] = shares->spread;
            if (kind == FT_SOFT) {
                VEC t = SUFFIX(ft_column)(n, target, target_row_stride, c);
                *bad |= ~((t >= zero) & (t - t == zero));
                share[c] += t * shares->kept;
            }
            if (shares->class_weight != NULL)
                share[c] *= BROADCAST(shares->class_weight[c]);
            mass += share[c];
            mixed -= KEEP(share[c] != zero, share[c] * below);
        }
    }
    excess += others;
    if (kind != FT_SOFTMAX) {
        VEC log_sum = SUFFIX(ft_vec_log1p)(excess);
        /* 0 log 0 is 0 */
        VEC loss = hard * (log_sum + KEEP(hard != zero, depth));
        if (shared)
            loss += mass * log_sum + mixed;
        SUFFIX(ft_sums_add)(sums, KEEP(used, weight * loss));
    }
    if (grad == NULL)
        return;
    const VEC per_sum = one / (one + excess), factor = BROADCAST(scale) * weight;
    const VEC slope = factor * (hard + mass) * per_sum;
    /* p_y - 1 = -(sum of the other p), which does not cancel */
    VEC at_label = zero - hard * ((one - e_label) + excess) * per_sum;
    if (shared)
        at_label += mass * (e_label * per_sum);
    at_label *= factor;
    for (ptrdiff_t c = 0; c < n_classes; c++) {
        VEC g = slope * e[c];
        if (labelled)
            g = SELECT(label == (INT)c, at_label, g);
        if (shared)
            g -= factor * share[c];
        REAL column[LANES];
        STORE(column, KEEP(used, g));
        for (ptrdiff_t lane = 0; lane < n; lane++)
            grad[lane * grad_row_stride + c] = column[lane];
    }
}

FT_INLINE ptrdiff_t SUFFIX(ft_cross_entropy_rows)(int kind, ptrdiff_t n_rows, ptrdiff_t n_classes,
                                                  const REAL *logits, ptrdiff_t logits_row_stride,
                                                  const int64_t *labels, const REAL *target,
                                                  ptrdiff_t target_row_stride, const REAL *class_weight,
                                                  const REAL *row_weight, double label_smoothing,
                                                  int64_t ignore_index, double scale, REAL *grad,
                                                  ptrdiff_t grad_row_stride, double *value) {
    const SUFFIX(ft_shares) shares = {
        .class_weight = class_weight,
        .kept = BROADCAST((REAL)(1 - label_smoothing)),
        .spread = BROADCAST((REAL)(n_classes > 0 ? label_smoothing / (double)n_classes : 0)),
    };
    SUFFIX(ft_sums) sums = {0};
    IVEC bad = {0};
    for (ptrdiff_t first = 0; first < n_rows; first += LANES) {
        const ptrdiff_t n = n_rows - first < LANES ? n_rows - first : LANES;
        const REAL *z = logits + first * logits_row_stride;
        const REAL *t = kind == FT_SOFT ? target + first * target_row_stride : NULL;
        REAL *g = grad == NULL ? NULL : grad + first * grad_row_stride;
        ptrdiff_t label[LANES] = {0};
        REAL hard[LANES] = {0}, weight[LANES] = {0};
        for (ptrdiff_t lane = 0; lane < n; lane++) {
            weight[lane] = row_weight != NULL ? row_weight[first + lane] : 1;
            if (kind == FT_SOFT)
                continue;
            int64_t y = labels[first + lane];
            if (y == ignore_index) {
                label[lane] = -1;
                continue;
            }
            if (y < 0 || y >= n_classes)
                return first + lane;
            label[lane] = (ptrdiff_t)y;
            hard[lane] = (REAL)((1 - label_smoothing) * (class_weight != NULL ? class_weight[y] : 1));
        }
        if (n_classes <= FT_FEW_CLASSES) {
            IVEC label_lanes;
            for (int lane = 0; lane < LANES; lane++)
                label_lanes[lane] = (INT)label[lane];
            SUFFIX(ft_softmax_group)(kind, n, n_classes, z, logits_row_stride, t, target_row_stride, &shares,
                                     label_lanes, LOAD(hard), LOAD(weight), (REAL)scale, g, grad_row_stride,
                                     &sums, &bad);
            continue;
        }
        SUFFIX(ft_row) rows[LANES];
        REAL log_sum[LANES] = {0}, losses[LANES] = {0};
        for (ptrdiff_t lane = 0; lane < n; lane++) {
            REAL *row_grad = g == NULL ? NULL : g + lane * grad_row_stride;
            if (label[lane] < 0) {
                if (row_grad != NULL)
                    memset(row_grad, 0, (size_t)n_classes * sizeof(REAL));
                continue;
            }
            rows[lane] = SUFFIX(ft_softmax_row)(kind, n_classes, z + lane * logits_row_stride,
                                                kind == FT_SOFT ? t + lane * target_row_stride : NULL,
                                                &shares, label[lane], hard[lane], scale * weight[lane],
                                                row_grad, &bad);
            log_sum[lane] = (REAL)rows[lane].excess;
        }
        STORE(log_sum, SUFFIX(ft_vec_log1p)(LOAD(log_sum)));
        for (ptrdiff_t lane = 0; lane < n; lane++)
            if (label[lane] >= 0) {
                const double depth = hard[lane] != 0 ? rows[lane].depth : 0; /* 0 log 0 is 0 */
                losses[lane] = (REAL)(weight[lane] * (hard[lane] * (log_sum[lane] + depth) +
                                                      (rows[lane].mass * log_sum[lane] + rows[lane].mixed)));
            }
        SUFFIX(ft_sums_add)(&sums, LOAD(losses));
    }
    if (kind == FT_SOFT && ANY(bad))
        for (ptrdiff_t r = 0; r < n_rows; r++)
            for (ptrdiff_t c = 0; c < n_classes; c++) {
                REAL t = target[r * target_row_stride + c];
                if (!(t >= 0) || t - t != 0)
                    return r;
            }
    *value += SUFFIX(ft_sums_total)(sums);
    return -1;
}

static ptrdiff_t SUFFIX(ft_cross_entropy)(ptrdiff_t n_rows, ptrdiff_t n_classes, const REAL *logits,
                                          ptrdiff_t logits_row_stride, const int64_t *labels,
                                          const REAL *class_weight, const REAL *row_weight,
                                          double label_smoothing, int64_t ignore_index, double scale,
                                          REAL *grad, ptrdiff_t grad_row_stride, double *value) {
    if (label_smoothing == 0)
        return SUFFIX(ft_cross_entropy_rows)(FT_HARD, n_rows, n_classes, logits, logits_row_stride, labels,
                                             NULL, 0, class_weight, row_weight, 0, ignore_index, scale, grad,
                                             grad_row_stride, value);
    return SUFFIX(ft_cross_entropy_rows)(FT_SMOOTH, n_rows, n_classes, logits, logits_row_stride, labels,
                                         NULL, 0, class_weight, row_weight, label_smoothing, ignore_index,
                                         scale, grad, grad_row_stride, value);
}

static ptrdiff_t SUFFIX(ft_cross_entropy_soft)(ptrdiff_t n_rows, ptrdiff_t n_classes, const REAL *logits,
                                               ptrdiff_t logits_row_stride, const REAL *target,
                                               ptrdiff_t target_row_stride, const REAL *class_weight,
                                               const REAL *row_weight, double label_smoothing, double scale,
                                               REAL *grad, ptrdiff_t grad_row_stride, double *value) {
    if (n_classes <= 0)
        return -1;
    return SUFFIX(ft_cross_entropy_rows)(FT_SOFT, n_rows, n_classes, logits, logits_row_stride, NULL, target,
                                         target_row_stride, class_weight, row_weight, label_smoothing, 0,
                                         scale, grad, grad_row_stride, value);
}

static void SUFFIX(ft_softmax)(ptrdiff_t n_rows, ptrdiff_t n_classes, const REAL *x, ptrdiff_t x_row_stride,
                               REAL *y, ptrdiff_t y_row_stride) {
    const SUFFIX(ft_shares) none = {0};
    SUFFIX(ft_sums) unused = {0};
    IVEC label = {0}, bad = {0};
    if (n_classes > FT_FEW_CLASSES)
        for (ptrdiff_t r = 0; r < n_rows; r++)
            SUFFIX(ft_softmax_row)(FT_SOFTMAX, n_classes, x + r * x_row_stride, NULL, &none, 0, 1, 1,
                                   y + r * y_row_stride, &bad);
    else
        for (ptrdiff_t r = 0; r < n_rows; r += LANES)
            SUFFIX(ft_softmax_group)(FT_SOFTMAX, n_rows - r < LANES ? n_rows - r : LANES, n_classes,
                                     x + r * x_row_stride, x_row_stride, NULL, 0, &none, label, BROADCAST(1),
                                     BROADCAST(1), 1, y + r * y_row_stride, y_row_stride, &unused, &bad);
}

/* ---- the normaliser ------------------------------------------------------------------------------ */

static ptrdiff_t SUFFIX(ft_total_weight)(ptrdiff_t n_rows, ptrdiff_t n_classes, const int64_t *labels,
                                         const REAL *target, ptrdiff_t target_row_stride,
                                         const REAL *class_weight, const REAL *row_weight,
                                         int64_t ignore_index, double *total) {
    double sum = 0;
    if (class_weight == NULL && row_weight == NULL && target == NULL) {
        /* a count; its labels are checked where they are used */
        int64_t n_ignored = 0;
        if (labels != NULL)
            for (ptrdiff_t r = 0; r < n_rows; r++)
                n_ignored += labels[r] == ignore_index;
        *total += (double)(n_rows - n_ignored);
        return -1;
    }
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        double weight = row_weight != NULL ? row_weight[r] : 1;
        if (weight - weight != 0)
            return r;
        if (labels != NULL) {
            if (labels[r] == ignore_index)
                continue;
            if (labels[r] < 0 || labels[r] >= n_classes)
                return r;
            if (class_weight != NULL)
                weight *= class_weight[labels[r]];
        }
        if (target != NULL) {
            SUFFIX(ft_sums) sums = {0};
            for (ptrdiff_t c = 0; c < n_classes; c += LANES) {
                ptrdiff_t count = n_classes - c < LANES ? n_classes - c : LANES;
                VEC t = SUFFIX(ft_load_count)(target + r * target_row_stride + c, count);
                SUFFIX(ft_sums_add)(&sums, t * SUFFIX(ft_operand)(class_weight, c, count, BROADCAST(1)));
            }
            weight *= SUFFIX(ft_sums_total)(sums);
        }
        sum += weight;
    }
    *total += sum;
    return -1;
}

#undef FT_BLOCK
#undef FT_FEW_CLASSES
