/* What the network engine needs beyond the other families' kernels. */

/* The sum of x^2 in double: vectors of partial sums over blocks that are short enough for REAL. */
static double SUFFIX(ft_sum_squares)(ptrdiff_t n, const REAL *x) {
    double total = 0;
    for (ptrdiff_t start = 0; start < n; start += 32 * LANES) {
        VEC even = {0}, odd = {0};
        for (ptrdiff_t i = start; i < n && i < start + 32 * LANES; i += 2 * LANES) {
            ptrdiff_t left = n - i;
            VEC first = left >= LANES ? LOAD(x + i) : LOAD_PARTIAL(x + i, left);
            VEC second = {0};
            if (left >= 2 * LANES)
                second = LOAD(x + i + LANES);
            else if (left > LANES)
                second = LOAD_PARTIAL(x + i + LANES, left - LANES);
            even = FMA(first, first, even);
            odd = FMA(second, second, odd);
        }
        total += SUM(even + odd);
    }
    return total;
}
