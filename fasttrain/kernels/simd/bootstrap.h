/*
 * One block of a resample: how often each of its units is drawn, and what that adds to a metric.
 *
 * Included once per level.  A block has at most FT_BOOTSTRAP_BLOCK units, so that its counts stay in the first
 * cache while it is drawn and read.  Draws are exact: the index of a unit is 12 of 16 random bits in a full
 * block; in a smaller one it is the upper half of a product with 16 random bits, and those that would favour a
 * unit are drawn anew (Lemire, "Fast random integer generation in an interval", 2019).
 *
 * Everything here has the same bits on every level: counts are integers, and sums of doubles are kept in
 * FT_BOOTSTRAP_LANES lanes whatever the width of a vector.
 */

#define FT_BOOTSTRAP_BATCH 32 /* positions of the generator at a time, of eight draws each */

#define FT_BOOTSTRAP_VECTORS (FT_BOOTSTRAP_LANES / FT_LANES_f32)

/* The product of the lower halves of the lanes. */
FT_INLINE u64v ft_multiply_halves(u64v a, u64v b) {
#if FT_VECTOR_BYTES == 64
    return (u64v)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif FT_VECTOR_BYTES == 32
    return (u64v)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return (u64v)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

/*
 * ft_random (random.h) at the positions base .. base + FT_BOOTSTRAP_BATCH - 1, base a multiple of 2^32 plus a
 * small number: bits[0][i] holds the first two words of position i, bits[1][i] the other two.  A word has 64
 * bits of a lane; what is left over in the upper half is never read.
 */
FT_INLINE void ft_random_batch(uint64_t seed, uint32_t stream, uint32_t step, uint64_t base,
                               uint64_t bits[2][FT_BOOTSTRAP_BATCH]) {
    enum { VECTORS = FT_BOOTSTRAP_BATCH / FT_LANES_f64 };
    /* a few vectors at a time hide each other's latency and stay in registers */
    enum { TOGETHER = FT_VECTOR_BYTES == 64 ? 4 : 2 };
    const u64v zero = {0}, low = zero + 0xffffffff;
    const u64v factor0 = zero + UINT64_C(0xD2511F53), factor1 = zero + UINT64_C(0xCD9E8D57);
    u64v lane;
    for (int i = 0; i < FT_LANES_f64; i++)
        lane[i] = (uint64_t)i;
    for (int v = 0; v < VECTORS; v += TOGETHER) {
        u64v x0[TOGETHER], x1[TOGETHER], x2[TOGETHER], x3[TOGETHER];
        FT_UNROLL
        for (int t = 0; t < TOGETHER; t++) {
            const u64v position = lane + (base + (uint64_t)((v + t) * FT_LANES_f64));
            x0[t] = position;
            x1[t] = position >> 32;
            x2[t] = zero + step;
            x3[t] = zero + stream;
        }
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
        FT_UNROLL
        for (int round = 0; round < 10; round++) {
            const u64v k0 = zero + key0, k1 = zero + key1;
            FT_UNROLL
            for (int t = 0; t < TOGETHER; t++) {
                const u64v product0 = ft_multiply_halves(x0[t], factor0);
                const u64v product1 = ft_multiply_halves(x2[t], factor1);
                x0[t] = (product1 >> 32) ^ x1[t] ^ k0;
                x2[t] = (product0 >> 32) ^ x3[t] ^ k1;
                x1[t] = product1;
                x3[t] = product0;
            }
            key0 += UINT32_C(0x9E3779B9);
            key1 += UINT32_C(0xBB67AE85);
        }
        FT_UNROLL
        for (int t = 0; t < TOGETHER; t++) {
            const u64v first = (x0[t] & low) | x1[t] << 32, second = (x2[t] & low) | x3[t] << 32;
            memcpy(&bits[0][(v + t) * FT_LANES_f64], &first, sizeof first);
            memcpy(&bits[1][(v + t) * FT_LANES_f64], &second, sizeof second);
        }
    }
}

/* counts (size,) = how often each unit of the block comes up in n_draws draws. */
static void ft_bootstrap_draw(uint64_t seed, uint32_t stream, uint32_t resample, uint64_t block, ptrdiff_t size,
                              int64_t n_draws, uint32_t *restrict counts) {
    enum { DRAWS = 8 * FT_BOOTSTRAP_BATCH };
    uint64_t bits[2][FT_BOOTSTRAP_BATCH];
    const uint64_t *words = &bits[0][0];
    memset(counts, 0, (size_t)size * sizeof *counts);
    uint64_t base = block << 32;
    if (size == FT_BOOTSTRAP_BLOCK) {
        const uint64_t mask = FT_BOOTSTRAP_BLOCK - 1;
        for (; n_draws >= DRAWS; n_draws -= DRAWS, base += FT_BOOTSTRAP_BATCH) {
            ft_random_batch(seed, stream, resample, base, bits);
            for (int i = 0; i < 2 * FT_BOOTSTRAP_BATCH; i++) {
                const uint64_t word = words[i];
                counts[word & mask]++;
                counts[word >> 16 & mask]++;
                counts[word >> 32 & mask]++;
                counts[word >> 48 & mask]++;
            }
        }
    }
    const uint32_t range = (uint32_t)size, biased = size ? 65536u % range : 0;
    for (; n_draws > 0; base += FT_BOOTSTRAP_BATCH) {
        ft_random_batch(seed, stream, resample, base, bits);
        for (int i = 0; i < 2 * FT_BOOTSTRAP_BATCH && n_draws > 0; i++)
            for (int shift = 0; shift < 64 && n_draws > 0; shift += 16) {
                const uint32_t bits16 = (uint32_t)(words[i] >> shift) & 0xffff, product = bits16 * range;
                if ((product & 0xffff) < biased)
                    continue;
                counts[size == FT_BOOTSTRAP_BLOCK ? bits16 & (FT_BOOTSTRAP_BLOCK - 1) : product >> 16]++;
                n_draws--;
            }
    }
}

/*
 * Positions of a ranking lie in a block as the elements of a matrix of FT_BOOTSTRAP_LANES columns lie in memory
 * that is read column by column: a lane has neighbouring positions, so that running sums go down the lanes and
 * never across.  The last few, fewer than there are lanes, follow in their order.
 *
 * A lane holds at most a quarter of the square of the number of rows drawn in it, and so fits into 32 bits up to
 * 2^17 of them: 512 times what is expected, which a unit reaches with a probability below 1 / 512!.
 */
static uint64_t ft_bootstrap_pairs(ptrdiff_t size, const uint32_t *counts, const uint8_t *flags, uint64_t *positives,
                                   uint64_t *negatives) {
    const ptrdiff_t depth = size / FT_BOOTSTRAP_LANES;
    uint32_t drawn[FT_BOOTSTRAP_LANES], of_label_1[FT_BOOTSTRAP_LANES], pairs[FT_BOOTSTRAP_LANES];
    typedef uint8_t bytes __attribute__((vector_size(FT_LANES_f32)));
    for (int v = 0; v < FT_BOOTSTRAP_VECTORS; v++) {
        u32v all = {0}, ones = {0}, sum = {0};
        for (ptrdiff_t i = 0; i < depth; i++) {
            const ptrdiff_t at = i * FT_BOOTSTRAP_LANES + v * FT_LANES_f32;
            u32v count;
            bytes flag;
            memcpy(&count, counts + at, sizeof count);
            memcpy(&flag, flags + at, sizeof flag);
            const u32v label = -(__builtin_convertvector(flag, u32v) & FT_BOOTSTRAP_POSITIVE);
            all += count;
            ones += count & label;
            sum += (count & ~label) * ones;
        }
        memcpy(drawn + v * FT_LANES_f32, &all, sizeof all);
        memcpy(of_label_1 + v * FT_LANES_f32, &ones, sizeof ones);
        memcpy(pairs + v * FT_LANES_f32, &sum, sizeof sum);
    }
    uint64_t total = 0, before = *positives, label_0 = 0;
    for (int lane = 0; lane < FT_BOOTSTRAP_LANES; lane++) {
        label_0 += drawn[lane] - of_label_1[lane];
        total += pairs[lane] + before * (drawn[lane] - of_label_1[lane]);
        before += of_label_1[lane];
    }
    for (ptrdiff_t i = depth * FT_BOOTSTRAP_LANES; i < size; i++) {
        const int is_1 = flags[i] & FT_BOOTSTRAP_POSITIVE;
        total += is_1 ? 0 : counts[i] * before;
        label_0 += is_1 ? 0 : counts[i];
        before += is_1 ? counts[i] : 0;
    }
    *positives = before;
    *negatives += label_0;
    return total;
}

/* sum_i counts[i] terms[i], element i in lane i % FT_BOOTSTRAP_LANES; counts below 2^31. */
static double ft_bootstrap_sum(ptrdiff_t size, const uint32_t *counts, const double *terms) {
    enum { VECTORS = FT_BOOTSTRAP_LANES / FT_LANES_f64 };
    typedef int32_t halves __attribute__((vector_size(4 * FT_LANES_f64)));
    const ptrdiff_t depth = size / FT_BOOTSTRAP_LANES;
    double lanes[FT_BOOTSTRAP_LANES];
    f64v sums[VECTORS] = {{0}};
    for (ptrdiff_t i = 0; i < depth; i++)
        FT_UNROLL
        for (int v = 0; v < VECTORS; v++) {
            const ptrdiff_t at = i * FT_BOOTSTRAP_LANES + v * FT_LANES_f64;
            halves count;
            memcpy(&count, counts + at, sizeof count);
            sums[v] += __builtin_convertvector(count, f64v) * ft_load_f64(terms + at);
        }
    memcpy(lanes, sums, sizeof lanes);
    for (ptrdiff_t i = depth * FT_BOOTSTRAP_LANES; i < size; i++)
        lanes[i % FT_BOOTSTRAP_LANES] += (double)counts[i] * terms[i];
    double total = 0.0;
    for (int lane = 0; lane < FT_BOOTSTRAP_LANES; lane++)
        total += lanes[lane];
    return total;
}
