/*
 * Bins of scores: how many rows of either label have a score whose bits begin alike.
 *
 * A score, as a double, has a key: its bits as an unsigned integer that rises with the score; the two zeros
 * have one key.  The bins of a level are the prefixes of so many bits that occur.  They are kept in a table with
 * open addressing; when one bin more than allowed occurs, all bins go up a level and the search goes on, so that
 * the level after the last row is the deepest that all rows allow, whatever their order.
 *
 * Not in here by floating-point type (real_f32.h): it is included once per level, after counts.h and
 * regression.h, whose label codes, weights and widening it uses.
 */
#define FT_NO_BIN UINT64_MAX /* no prefix: the highest key belongs to a NaN */

/* The keys of n scores; nonzero if one is NaN or infinite. */
static int ft_score_keys(ptrdiff_t n, const double *scores, uint64_t *restrict keys) {
    const uint64_t sign = UINT64_C(1) << 63, limit = UINT64_C(0x7fefffffffffffff);
    uint64_t bad = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, scores + i, sizeof bits);
        const uint64_t magnitude = bits & ~sign;
        bad |= (uint64_t)(magnitude > limit);
        bits = magnitude ? bits : 0; /* -0.0 is +0.0 */
        keys[i] = bits ^ (bits & sign ? ~UINT64_C(0) : sign);
    }
    return bad != 0;
}

static uint64_t ft_score_prefix(uint64_t key, int level) { return level ? key >> (64 - level) : 0; }

/* The bin of a prefix, made if there is room for one more, else NULL. */
static inline ft_score_bin *ft_score_bin_of(ft_score_bins *bins, uint64_t prefix) {
    const uint64_t last = (UINT64_C(1) << bins->slot_bits) - 1;
    uint64_t slot = (prefix * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - bins->slot_bits);
    while (bins->slots[slot].prefix != prefix) {
        if (bins->slots[slot].prefix == FT_NO_BIN) {
            if (bins->n_bins == bins->max_bins)
                return NULL;
            bins->n_bins++;
            bins->slots[slot] = (ft_score_bin){.prefix = prefix};
            break;
        }
        slot = (slot + 1) & last;
    }
    return bins->slots + slot;
}

static void ft_score_bin_add(ft_score_bin *bin, const ft_score_bin *other, int weighted) {
    for (int label = 0; label < 2; label++)
        if (weighted)
            bin->of[label].weight += other->of[label].weight;
        else
            bin->of[label].count += other->of[label].count;
}

/* Copies the occupied slots to `collected` (n_bins,), in the order of the slots. */
static void ft_score_bins_collect(const ft_score_bins *bins, ft_score_bin *collected) {
    const ptrdiff_t n_slots = (ptrdiff_t)1 << bins->slot_bits;
    ptrdiff_t found = 0;
    for (ptrdiff_t slot = 0; slot < n_slots && found < bins->n_bins; slot++)
        if (bins->slots[slot].prefix != FT_NO_BIN)
            collected[found++] = bins->slots[slot];
}

static void ft_score_bins_clear(ft_score_bins *bins) {
    bins->n_bins = 0;
    memset(bins->slots, 0xff, sizeof *bins->slots << bins->slot_bits);
}

/* All bins one level up: there are no more of them than before. */
static void ft_score_bins_rise(ft_score_bins *bins) {
    const ptrdiff_t n_bins = bins->n_bins;
    ft_score_bins_collect(bins, bins->spare);
    ft_score_bins_clear(bins);
    bins->level--;
    for (ptrdiff_t i = 0; i < n_bins; i++)
        ft_score_bin_add(ft_score_bin_of(bins, bins->spare[i].prefix >> 1), bins->spare + i, bins->weighted);
}

static ptrdiff_t ft_score_bins_rows(ptrdiff_t n, int label_type, const void *labels, int score_is_double,
                                    const void *scores, int weight_is_double, const void *sample_weight,
                                    ft_score_bins *bins) {
    uint64_t keys[FT_BLOCK];
    uint32_t codes[FT_BLOCK];
    double widened[FT_BLOCK], weights[FT_BLOCK];
    const int score_type = score_is_double ? FT_FLOAT64 : FT_FLOAT32;
    const ptrdiff_t width = score_is_double ? sizeof(double) : sizeof(float);
    ft_score_bins_clear(bins);
    for (ptrdiff_t begin = 0; begin < n; begin += FT_BLOCK) {
        const ptrdiff_t size = n - begin < FT_BLOCK ? n - begin : FT_BLOCK;
        ft_widen(score_type, size, (const char *)scores + begin * width, widened);
        int bad = ft_score_keys(size, widened, keys) | ft_label_codes(label_type, labels, begin, size, 0, 2, codes);
        if (sample_weight)
            bad |= ft_block_weights(weight_is_double, sample_weight, begin, size, weights);
        if (bad)
            for (ptrdiff_t i = 0;; i++)
                if (ft_score_keys(1, widened + i, keys) ||
                    ft_label_codes(label_type, labels, begin + i, 1, 0, 2, codes) ||
                    (sample_weight && ft_block_weights(weight_is_double, sample_weight, begin + i, 1, weights)))
                    return begin + i;
        for (ptrdiff_t i = 0; i < size; i++) {
            if (sample_weight && weights[i] == 0.0)
                continue;
            ft_score_bin *bin;
            while (!(bin = ft_score_bin_of(bins, ft_score_prefix(keys[i], bins->level))))
                ft_score_bins_rise(bins);
            if (sample_weight)
                bin->of[codes[i]].weight += weights[i];
            else
                bin->of[codes[i]].count++;
        }
    }
    return -1;
}

static void ft_score_bins_merge(ft_score_bins *bins, const ft_score_bins *other) {
    const ptrdiff_t n_slots = (ptrdiff_t)1 << other->slot_bits;
    while (bins->level > other->level)
        ft_score_bins_rise(bins);
    for (ptrdiff_t slot = 0; slot < n_slots; slot++) {
        const ft_score_bin *from = other->slots + slot;
        if (from->prefix == FT_NO_BIN)
            continue;
        ft_score_bin *bin;
        for (;;) {
            const int up = other->level - bins->level;
            bin = ft_score_bin_of(bins, up < 64 ? from->prefix >> up : 0);
            if (bin)
                break;
            ft_score_bins_rise(bins);
        }
        ft_score_bin_add(bin, from, bins->weighted);
    }
}
