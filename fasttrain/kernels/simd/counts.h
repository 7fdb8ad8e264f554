/*
 * Confusion counts: pairs of integer labels into a table, one pass over the data.
 *
 * A block of labels at a time is turned into codes 0 .. n_classes - 1, in a loop that vectorises and that
 * also says whether any label is out of range; only then is a code used as an index.  So the two label
 * arrays may have different widths, at the cost of a few kilobytes of cache and not of a kernel per pair
 * of types.  (The label types end here: whatever else counts labels can start from codes.)
 *
 * Predictions are mostly right, so the same few cells are hit again and again, and each increment would
 * wait for the store of the last one.  Small tables are therefore kept FT_COUNT_LANES times, row i adding
 * to lane i modulo FT_COUNT_LANES; the lanes of a cell are neighbours, and are folded at the end.
 *
 * Not in here by floating-point type (real_f32.h): it is included once per level.
 */
#define FT_BLOCK 1024

/* codes = labels - first_label; returns nonzero if one is not in 0 .. n_classes - 1.  W is unsigned, wide
   enough for every label.  An unsigned label with W's top bit set is out of range whatever first_label
   is: without that test it would wrap around to a small code where first_label is negative. */
#define FT_DEFINE_CODES(S, T, W)                                                                         \
    static int ft_codes_##S(ptrdiff_t n, const T *labels, int64_t first_label, ptrdiff_t n_classes,      \
                            uint32_t *restrict codes) {                                                  \
        const W first = (W)first_label, limit = (W)n_classes;                                            \
        const W wraps = (T)-1 > 0 ? (W)1 << (8 * sizeof(W) - 1) : 0;                                     \
        W bad = 0;                                                                                       \
        for (ptrdiff_t i = 0; i < n; i++) {                                                              \
            W code = (W)labels[i] - first;                                                               \
            codes[i] = (uint32_t)code;                                                                   \
            bad |= (W)(code >= limit) | ((W)labels[i] & wraps);                                          \
        }                                                                                                \
        return bad != 0;                                                                                 \
    }

FT_DEFINE_CODES(i8, int8_t, uint32_t)
FT_DEFINE_CODES(i16, int16_t, uint32_t)
FT_DEFINE_CODES(i32, int32_t, uint32_t)
FT_DEFINE_CODES(i64, int64_t, uint64_t)
FT_DEFINE_CODES(u8, uint8_t, uint32_t)
FT_DEFINE_CODES(u16, uint16_t, uint32_t)
FT_DEFINE_CODES(u32, uint32_t, uint32_t)
FT_DEFINE_CODES(u64, uint64_t, uint64_t)

/* The codes of rows begin .. begin + n - 1. */
static int ft_label_codes(int type, const void *labels, ptrdiff_t begin, ptrdiff_t n, int64_t first_label,
                          ptrdiff_t n_classes, uint32_t *codes) {
    switch (type) {
    case FT_INT8: return ft_codes_i8(n, (const int8_t *)labels + begin, first_label, n_classes, codes);
    case FT_INT16: return ft_codes_i16(n, (const int16_t *)labels + begin, first_label, n_classes, codes);
    case FT_INT32: return ft_codes_i32(n, (const int32_t *)labels + begin, first_label, n_classes, codes);
    case FT_INT64: return ft_codes_i64(n, (const int64_t *)labels + begin, first_label, n_classes, codes);
    case FT_UINT8: return ft_codes_u8(n, (const uint8_t *)labels + begin, first_label, n_classes, codes);
    case FT_UINT16: return ft_codes_u16(n, (const uint16_t *)labels + begin, first_label, n_classes, codes);
    case FT_UINT32: return ft_codes_u32(n, (const uint32_t *)labels + begin, first_label, n_classes, codes);
    default: return ft_codes_u64(n, (const uint64_t *)labels + begin, first_label, n_classes, codes);
    }
}

/* Weights as double; returns nonzero if one is negative, infinite or NaN. */
#define FT_DEFINE_WEIGHTS(S, T)                                                                          \
    static int ft_weights_##S(ptrdiff_t n, const T *sample_weight, double *restrict weights) {           \
        int bad = 0;                                                                                     \
        for (ptrdiff_t i = 0; i < n; i++) {                                                              \
            double weight = (double)sample_weight[i];                                                    \
            weights[i] = weight;                                                                         \
            bad |= !((weight >= 0.0) & (weight < (double)__builtin_inf()));                              \
        }                                                                                                \
        return bad;                                                                                      \
    }

FT_DEFINE_WEIGHTS(f32, float)
FT_DEFINE_WEIGHTS(f64, double)

static int ft_block_weights(int is_double, const void *sample_weight, ptrdiff_t begin, ptrdiff_t n,
                            double *weights) {
    return is_double ? ft_weights_f64(n, (const double *)sample_weight + begin, weights)
                     : ft_weights_f32(n, (const float *)sample_weight + begin, weights);
}

/* The table's cell of each pair, row i in lane i modulo lanes (a power of two); n_classes^2 * lanes must fit
   in 32 bits. */
static void ft_cells(ptrdiff_t n, const uint32_t *true_codes, const uint32_t *pred_codes, uint32_t n_classes,
                     uint32_t lanes, uint32_t *restrict cells) {
    for (ptrdiff_t i = 0; i < n; i++)
        cells[i] = (true_codes[i] * n_classes + pred_codes[i]) * lanes + ((uint32_t)i & (lanes - 1));
}

/*
 * The updates of the table touch nothing but the cache, so they ask meanwhile for the labels of the next
 * block: otherwise their time would add to the time of reading instead of hiding in it.  A prefetch
 * beyond the end of an array is harmless.
 */
typedef struct {
    uintptr_t y_true, y_pred; /* addresses, since they may lie beyond the arrays */
    ptrdiff_t true_width, pred_width;
} ft_next_block;

#define FT_GROUP 8 /* rows between prefetches: a cache line of the widest labels */

#define FT_UPDATE_TABLE(n, update)                                                                       \
    for (ptrdiff_t group = 0; group < (n); group += FT_GROUP) {                                          \
        const ptrdiff_t stop = (n) - group < FT_GROUP ? (n) : group + FT_GROUP;                          \
        __builtin_prefetch((const void *)(next.y_true + (uintptr_t)(group * next.true_width)));          \
        __builtin_prefetch((const void *)(next.y_pred + (uintptr_t)(group * next.pred_width)));          \
        for (ptrdiff_t i = group; i < stop; i++)                                                         \
            update;                                                                                      \
    }

static void ft_count_cells(ptrdiff_t n, const uint32_t *cells, int64_t *restrict table, ft_next_block next) {
    FT_UPDATE_TABLE(n, table[cells[i]]++)
}

static void ft_weigh_cells(ptrdiff_t n, const uint32_t *cells, const double *weights, double *restrict table,
                           ft_next_block next) {
    FT_UPDATE_TABLE(n, table[cells[i]] += weights[i])
}

/* Bytes of a label, and the addresses of the rows from `begin` on. */
static ptrdiff_t ft_label_width(int type) { return (ptrdiff_t)1 << (type % 4); }
static ft_next_block ft_rows_from(ptrdiff_t begin, int true_type, const void *y_true, int pred_type, const void *y_pred) {
    const ptrdiff_t true_width = ft_label_width(true_type), pred_width = ft_label_width(pred_type);
    return (ft_next_block){(uintptr_t)y_true + (uintptr_t)(begin * true_width),
                           (uintptr_t)y_pred + (uintptr_t)(begin * pred_width), true_width, pred_width};
}

static ptrdiff_t ft_confusion_counts(ptrdiff_t n, int true_type, const void *y_true, int pred_type,
                                     const void *y_pred, int64_t first_label, ptrdiff_t n_classes,
                                     int64_t *restrict counts, int64_t *restrict scratch) {
    uint32_t true_codes[FT_BLOCK], pred_codes[FT_BLOCK], cells[FT_BLOCK];
    const ptrdiff_t n_cells = n_classes * n_classes;
    if (scratch)
        memset(scratch, 0, (size_t)n_cells * FT_COUNT_LANES * sizeof *scratch);
    for (ptrdiff_t begin = 0; begin < n; begin += FT_BLOCK) {
        const ptrdiff_t size = n - begin < FT_BLOCK ? n - begin : FT_BLOCK;
        int bad = ft_label_codes(true_type, y_true, begin, size, first_label, n_classes, true_codes);
        bad |= ft_label_codes(pred_type, y_pred, begin, size, first_label, n_classes, pred_codes);
        if (bad)
            for (ptrdiff_t row = begin;; row++)
                if (ft_label_codes(true_type, y_true, row, 1, first_label, n_classes, true_codes) ||
                    ft_label_codes(pred_type, y_pred, row, 1, first_label, n_classes, pred_codes))
                    return row;
        ft_cells(size, true_codes, pred_codes, (uint32_t)n_classes, scratch ? FT_COUNT_LANES : 1, cells);
        ft_count_cells(size, cells, scratch ? scratch : counts,
                       ft_rows_from(begin + FT_BLOCK, true_type, y_true, pred_type, y_pred));
    }
    if (scratch)
        for (ptrdiff_t cell = 0; cell < n_cells; cell++)
            for (int lane = 0; lane < FT_COUNT_LANES; lane++)
                counts[cell] += scratch[cell * FT_COUNT_LANES + lane];
    return -1;
}

static ptrdiff_t ft_confusion_weights(ptrdiff_t n, int true_type, const void *y_true, int pred_type,
                                      const void *y_pred, int64_t first_label, ptrdiff_t n_classes,
                                      int weight_is_double, const void *sample_weight,
                                      double *restrict sums, double *restrict scratch) {
    uint32_t true_codes[FT_BLOCK], pred_codes[FT_BLOCK], cells[FT_BLOCK];
    double weights[FT_BLOCK];
    const ptrdiff_t n_cells = n_classes * n_classes;
    if (scratch)
        memset(scratch, 0, (size_t)n_cells * FT_WEIGHT_LANES * sizeof *scratch);
    for (ptrdiff_t begin = 0; begin < n; begin += FT_BLOCK) {
        const ptrdiff_t size = n - begin < FT_BLOCK ? n - begin : FT_BLOCK;
        int bad = ft_label_codes(true_type, y_true, begin, size, first_label, n_classes, true_codes);
        bad |= ft_label_codes(pred_type, y_pred, begin, size, first_label, n_classes, pred_codes);
        bad |= ft_block_weights(weight_is_double, sample_weight, begin, size, weights);
        if (bad)
            for (ptrdiff_t row = begin;; row++)
                if (ft_label_codes(true_type, y_true, row, 1, first_label, n_classes, true_codes) ||
                    ft_label_codes(pred_type, y_pred, row, 1, first_label, n_classes, pred_codes) ||
                    ft_block_weights(weight_is_double, sample_weight, row, 1, weights))
                    return row;
        ft_cells(size, true_codes, pred_codes, (uint32_t)n_classes, scratch ? FT_WEIGHT_LANES : 1, cells);
        ft_weigh_cells(size, cells, weights, scratch ? scratch : sums,
                       ft_rows_from(begin + FT_BLOCK, true_type, y_true, pred_type, y_pred));
    }
    if (scratch)
        for (ptrdiff_t cell = 0; cell < n_cells; cell++) {
            const double *lane = scratch + cell * FT_WEIGHT_LANES;
            sums[cell] += (lane[0] + lane[2]) + (lane[1] + lane[3]);
        }
    return -1;
}
