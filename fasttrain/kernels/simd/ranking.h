/*
 * Ranking: scores in descending order together with the label, 0 or 1, of each row.
 *
 * A score's bits are turned into a key, an unsigned integer that is smaller the larger the score is; equal
 * scores, the two zeros among them, have equal keys.  Rows are first counted and then parted by a prefix of
 * the key into buckets that fit into a cache: the only time that they move through memory.  Which bucket a row
 * is in tells the highest bit of its key, so the label takes that bit's place: key * 2 + label is a WORD as
 * wide as the score.  A bucket is then finished by one core:
 *   - where it has few different prefixes for its rows, each score's rows are counted, without any sorting;
 *   - otherwise it is sorted (ranking_sort.h).
 * Rows with weights move as a pair of word and weight.  All sorting is stable.
 *
 * Counts are integers, and the area is counted in half pairs, so that both are exact.
 */
#if REAL_IS_FLOAT
#define WORD uint32_t
#define INFINITE_BITS UINT32_C(0x7f800000)
#else
#define WORD uint64_t
#define INFINITE_BITS UINT64_C(0x7ff0000000000000)
#endif
#define WORD_BITS (8 * (int)sizeof(WORD))
#define SIGN ((WORD)1 << (WORD_BITS - 1))

#ifndef FT_RANK_SHARED
#define FT_RANK_SHARED
/* Position of the highest set bit, counted from 1. */
static int ft_bit_length(uint64_t x) { return x ? 64 - __builtin_clzll(x) : 0; }

/* How far the ranking has come. */
typedef struct {
    uint64_t tp, fp, half_pairs;
    double precisions;
} ft_rank_state;

/* Adds the rows of one score. */
static inline void ft_rank_group(ft_rank_state *s, uint64_t negatives, uint64_t positives) {
    s->half_pairs += negatives * (2 * s->tp + positives);
    s->tp += positives;
    s->fp += negatives;
    if (positives)
        s->precisions += (double)positives * ((double)s->tp / (double)(s->tp + s->fp));
}

/* Where the next row of a bucket goes; the cursor then counts it: it is a position below the number of
   positive rows.  The caller's arrays may change under us, so no position is believed. */
static inline uint32_t ft_rank_place(uint64_t *cursor, uint32_t label, uint32_t last) {
    const uint32_t place = (uint32_t)*cursor;
    *cursor += 1 + ((uint64_t)label << 32);
    return place < last ? place : last;
}
#endif

/* The keys of n scores; nonzero if the magnitude of one has bits above `limit`. */
static int SUFFIX(ft_rank_keys)(ptrdiff_t n, const REAL *scores, WORD limit, WORD *restrict keys) {
    WORD bad = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        WORD bits;
        memcpy(&bits, scores + i, sizeof bits);
        const WORD magnitude = bits & ~SIGN;
        bad |= (WORD)(magnitude > limit);
        bits = magnitude ? bits : 0; /* -0.0 is +0.0 */
        keys[i] = bits ^ (bits & SIGN ? 0 : ~SIGN);
    }
    return bad != 0;
}

/* The score of a key. */
static inline REAL SUFFIX(ft_rank_score)(WORD key) {
    const WORD bits = key ^ (key & SIGN ? 0 : ~SIGN);
    REAL score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static ptrdiff_t SUFFIX(ft_rank_histogram)(ptrdiff_t n, const REAL *scores, int weight_is_double,
                                           const void *sample_weight, int allow_infinity, int prefix_bits,
                                           uint32_t *restrict histogram) {
    WORD keys[FT_BLOCK];
    double weights[FT_BLOCK];
    const WORD limit = allow_infinity ? INFINITE_BITS : INFINITE_BITS - 1;
    const int shift = WORD_BITS - prefix_bits;
    for (ptrdiff_t begin = 0; begin < n; begin += FT_BLOCK) {
        const ptrdiff_t size = n - begin < FT_BLOCK ? n - begin : FT_BLOCK;
        int bad = SUFFIX(ft_rank_keys)(size, scores + begin, limit, keys);
        if (sample_weight)
            bad |= ft_block_weights(weight_is_double, sample_weight, begin, size, weights);
        if (bad)
            for (ptrdiff_t row = begin;; row++)
                if (SUFFIX(ft_rank_keys)(1, scores + row, limit, keys) ||
                    (sample_weight && ft_block_weights(weight_is_double, sample_weight, row, 1, weights)))
                    return row;
        if (sample_weight)
            for (ptrdiff_t i = 0; i < size; i++)
                histogram[keys[i] >> shift] += weights[i] != 0.0;
        else
            for (ptrdiff_t i = 0; i < size; i++)
                histogram[keys[i] >> shift]++;
    }
    return -1;
}

/* A row with a weight. */
typedef struct {
    WORD word;
    double weight;
} SUFFIX(ft_rank_row);

static ptrdiff_t SUFFIX(ft_rank_scatter)(ptrdiff_t n, int label_type, const void *labels, const REAL *scores,
                                         int weight_is_double, const void *sample_weight, int prefix_bits,
                                         const uint16_t *bucket_of, uint64_t *restrict cursors,
                                         uint32_t last, void *rows) {
    WORD keys[FT_BLOCK];
    uint32_t codes[FT_BLOCK];
    double weights[FT_BLOCK];
    const int shift = WORD_BITS - prefix_bits;
    for (ptrdiff_t begin = 0; begin < n; begin += FT_BLOCK) {
        const ptrdiff_t size = n - begin < FT_BLOCK ? n - begin : FT_BLOCK;
        SUFFIX(ft_rank_keys)(size, scores + begin, 0, keys);
        if (ft_label_codes(label_type, labels, begin, size, 0, 2, codes))
            for (ptrdiff_t row = begin;; row++)
                if (ft_label_codes(label_type, labels, row, 1, 0, 2, codes))
                    return row;
        if (!sample_weight) {
            WORD *restrict words = rows;
            for (ptrdiff_t i = 0; i < size; i++) {
                uint64_t *const cursor = cursors + bucket_of[keys[i] >> shift];
                words[ft_rank_place(cursor, codes[i], last)] = (WORD)(keys[i] << 1 | codes[i]);
            }
            continue;
        }
        SUFFIX(ft_rank_row) *restrict weighted = rows;
        ft_block_weights(weight_is_double, sample_weight, begin, size, weights);
        for (ptrdiff_t i = 0; i < size; i++) {
            if (weights[i] == 0.0)
                continue;
            SUFFIX(ft_rank_row) *const row =
                weighted + ft_rank_place(cursors + bucket_of[keys[i] >> shift], codes[i], last);
            row->word = (WORD)(keys[i] << 1 | codes[i]);
            row->weight = weights[i];
        }
    }
    return -1;
}

#define ROW WORD
#define KEY(row) ((row) >> 1)
#define NAMED(name) SUFFIX(name##_words)
#include "ranking_sort.h"
#undef ROW
#undef KEY
#undef NAMED
#define ROW SUFFIX(ft_rank_row)
#define KEY(row) ((row).word >> 1)
#define NAMED(name) SUFFIX(name##_rows)
#include "ranking_sort.h"
#undef ROW
#undef KEY
#undef NAMED

static void SUFFIX(ft_rank_sort)(ptrdiff_t n, int weighted, void *rows, void *scratch) {
    if (weighted)
        SUFFIX(ft_rank_sort_rows)(n, rows, scratch);
    else
        SUFFIX(ft_rank_sort_words)(n, rows, scratch);
}

/* One bucket of words, which lose their order or gain it. */
static void SUFFIX(ft_rank_finish)(ptrdiff_t n, void *rows, void *scratch, int table_bits, uint32_t *table,
                                   uint64_t *tp, uint64_t *fp, uint64_t *half_pairs, double *precisions) {
    WORD *words = rows;
    ft_rank_state state = {.tp = *tp, .fp = *fp};
    WORD differ = 0;
    for (ptrdiff_t i = 1; i < n; i++)
        differ |= words[i] ^ words[0];
    const int bits = ft_bit_length(differ >> 1);
    if (bits <= table_bits && n << 2 >> bits) { /* at least a quarter as many rows as possible scores */
        const ptrdiff_t n_scores = (ptrdiff_t)1 << bits;
        const WORD mask = (WORD)(2 * n_scores - 1);
        memset(table, 0, 2 * (size_t)n_scores * sizeof *table);
        for (ptrdiff_t i = 0; i < n; i++)
            table[words[i] & mask]++;
        for (ptrdiff_t i = 0; i < n_scores; i++)
            ft_rank_group(&state, table[2 * i], table[2 * i + 1]);
    } else {
        SUFFIX(ft_rank_sort_words)(n, words, scratch);
        for (ptrdiff_t i = 0; i < n;) {
            const ptrdiff_t begin = i;
            const WORD key = words[i] >> 1;
            uint64_t positives = 0;
            do
                positives += words[i++] & 1;
            while (i < n && words[i] >> 1 == key);
            ft_rank_group(&state, (uint64_t)(i - begin) - positives, positives);
        }
    }
    *tp = state.tp;
    *fp = state.fp;
    *half_pairs = state.half_pairs;
    *precisions = state.precisions;
}

/* The curve over one sorted bucket: appends to tps, fps and thresholds, returns how many. */
static ptrdiff_t SUFFIX(ft_rank_curve)(ptrdiff_t n, const void *rows, int low_half, int64_t *tp, int64_t *fp,
                                       int64_t *tps, int64_t *fps, REAL *thresholds) {
    const WORD *words = rows;
    ptrdiff_t n_points = 0;
    for (ptrdiff_t i = 0; i < n; n_points++) {
        const ptrdiff_t begin = i;
        const WORD key = words[i] >> 1;
        int64_t positives = 0;
        do
            positives += (int64_t)(words[i++] & 1);
        while (i < n && words[i] >> 1 == key);
        tps[n_points] = *tp += positives;
        fps[n_points] = *fp += i - begin - positives;
        thresholds[n_points] = SUFFIX(ft_rank_score)(low_half ? key | SIGN : key);
    }
    return n_points;
}

/* The same of rows with weights, added one by one. */
static ptrdiff_t SUFFIX(ft_rank_weighted_curve)(ptrdiff_t n, const void *rows, int low_half, double *tp,
                                                double *fp, double *tps, double *fps, REAL *thresholds) {
    const SUFFIX(ft_rank_row) *weighted = rows;
    ptrdiff_t n_points = 0;
    for (ptrdiff_t i = 0; i < n; n_points++) {
        const WORD key = weighted[i].word >> 1;
        do {
            *(weighted[i].word & 1 ? tp : fp) += weighted[i].weight;
            i++;
        } while (i < n && weighted[i].word >> 1 == key);
        tps[n_points] = *tp;
        fps[n_points] = *fp;
        thresholds[n_points] = SUFFIX(ft_rank_score)(low_half ? key | SIGN : key);
    }
    return n_points;
}

/* The sums of weights of one bucket. */
static void SUFFIX(ft_rank_weight_sums)(ptrdiff_t n, const void *rows, double *positives, double *negatives) {
    const SUFFIX(ft_rank_row) *weighted = rows;
    double sums[2] = {0.0, 0.0};
    for (ptrdiff_t i = 0; i < n; i++)
        sums[weighted[i].word & 1] += weighted[i].weight;
    *negatives = sums[0];
    *positives = sums[1];
}

/* The area over one sorted bucket and the sum of its precisions.  Weights are divided by all before they are
   multiplied, so that neither huge nor tiny ones leave the range. */
static void SUFFIX(ft_rank_weighted_area)(ptrdiff_t n, const void *rows, double all_positives,
                                          double all_negatives, double tp, double fp, double *area,
                                          double *precisions) {
    const SUFFIX(ft_rank_row) *weighted = rows;
    for (ptrdiff_t i = 0; i < n;) {
        const WORD key = weighted[i].word >> 1;
        double sums[2] = {0.0, 0.0};
        do {
            sums[weighted[i].word & 1] += weighted[i].weight;
            i++;
        } while (i < n && weighted[i].word >> 1 == key);
        if (sums[0] > 0.0)
            *area += sums[0] / all_negatives * ((tp + 0.5 * sums[1]) / all_positives);
        tp += sums[1];
        fp += sums[0];
        *precisions += sums[1] / all_positives * (tp / (tp + fp));
    }
}

#undef WORD
#undef INFINITE_BITS
#undef WORD_BITS
#undef SIGN
