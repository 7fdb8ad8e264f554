/*
 * A stable radix sort of ROWs by KEY, from the highest digit on; included by ranking.h for words and for rows
 * with weights.
 *
 * Only bits in which keys differ are looked at, and a digit has about as many values as there are rows, so that
 * random keys are apart after two or three digits however many bits they have.  The few rows that are not
 * are sorted by insertion, in one sweep at the end: none has far to go.  Keys that differ late only cost a digit
 * more for each eight bits.  Many rows that differ in few bits take two digits from the lowest on instead: these
 * need no pass over the parts of the first.
 */
#ifndef FT_RANK_FEW
#define FT_RANK_FEW 12
#define FT_RANK_DIGIT 8
#define FT_RANK_HALF 10 /* two digits of at most this many bits */
#endif

/* ends: counts become positions. */
#ifndef FT_RANK_STARTS
#define FT_RANK_STARTS
static void ft_rank_starts(ptrdiff_t n_values, uint32_t *ends) {
    uint32_t begin = 0;
    for (ptrdiff_t value = 0; value < n_values; value++) {
        const uint32_t size = ends[value];
        ends[value] = begin;
        begin += size;
    }
}
#endif

/* Sorts by the lowest 2 * digit bits of the key. */
static void NAMED(ft_rank_two_digits)(ptrdiff_t n, int digit, ROW *rows, ROW *restrict scratch) {
    uint32_t low[1 << FT_RANK_HALF], high[1 << FT_RANK_HALF];
    const WORD mask = ((WORD)1 << digit) - 1;
    memset(low, 0, sizeof *low << digit);
    memset(high, 0, sizeof *high << digit);
    for (ptrdiff_t i = 0; i < n; i++) {
        const WORD key = KEY(rows[i]);
        low[key & mask]++;
        high[key >> digit & mask]++;
    }
    ft_rank_starts((ptrdiff_t)1 << digit, low);
    ft_rank_starts((ptrdiff_t)1 << digit, high);
    for (ptrdiff_t i = 0; i < n; i++)
        scratch[low[KEY(rows[i]) & mask]++] = rows[i];
    for (ptrdiff_t i = 0; i < n; i++)
        rows[high[KEY(scratch[i]) >> digit & mask]++] = scratch[i];
}

/* Sorts all but runs of at most FT_RANK_FEW rows, which are in place as a whole. */
static void NAMED(ft_rank_split)(ptrdiff_t n, ROW *rows, ROW *scratch) {
    uint32_t ends[1 << FT_RANK_DIGIT];
    WORD differ = 0;
    for (ptrdiff_t i = 1; i < n; i++)
        differ |= KEY(rows[i]) ^ KEY(rows[0]);
    const int bits = ft_bit_length(differ);
    if (bits == 0)
        return;
    if (bits <= 2 * FT_RANK_HALF && n >= 1 << FT_RANK_HALF) {
        NAMED(ft_rank_two_digits)(n, (bits + 1) / 2, rows, scratch);
        return;
    }
    int digit = ft_bit_length((uint64_t)n) - 1;
    digit = digit < FT_RANK_DIGIT ? digit : FT_RANK_DIGIT;
    digit = digit < bits ? digit : bits;
    const int shift = bits - digit;
    const WORD mask = ((WORD)1 << digit) - 1;
    memset(ends, 0, sizeof *ends << digit);
    for (ptrdiff_t i = 0; i < n; i++)
        ends[(KEY(rows[i]) >> shift) & mask]++;
    ft_rank_starts((ptrdiff_t)1 << digit, ends);
    for (ptrdiff_t i = 0; i < n; i++)
        scratch[ends[(KEY(rows[i]) >> shift) & mask]++] = rows[i];
    memcpy(rows, scratch, (size_t)n * sizeof *rows);
    if (shift == 0)
        return;
    uint32_t begin = 0;
    for (WORD value = 0; value <= mask; value++) {
        const uint32_t end = ends[value];
        if (end - begin > FT_RANK_FEW)
            NAMED(ft_rank_split)(end - begin, rows + begin, scratch + begin);
        begin = end;
    }
}

static void NAMED(ft_rank_sort)(ptrdiff_t n, ROW *rows, ROW *scratch) {
    if (n > FT_RANK_FEW)
        NAMED(ft_rank_split)(n, rows, scratch);
    for (ptrdiff_t i = 1; i < n; i++) {
        const ROW row = rows[i];
        ptrdiff_t place = i;
        while (place > 0 && KEY(rows[place - 1]) > KEY(row)) {
            rows[place] = rows[place - 1];
            place--;
        }
        rows[place] = row;
    }
}
