/*
 * The one generator: Philox 4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011).  Counter-based: a number is a function of (seed, stream, position) alone, so nothing drawn
 * depends on threads or on what was drawn before.
 */
#ifndef FT_RANDOM_H
#define FT_RANDOM_H

#include <stdint.h>

/* What numbers are drawn for; streams of one seed are independent. */
enum {
    FT_STREAM_INITIALIZE = 1,
    FT_STREAM_SHUFFLE = 2,
    FT_STREAM_RESAMPLE = 3, /* which units are drawn */
    FT_STREAM_SHARE = 4     /* how many draws a part gets */
};

typedef struct {
    uint32_t word[4];
} ft_random_block;

/* 128 random bits. position: 64 bits; step: 32 bits. */
static inline ft_random_block ft_random(uint64_t seed, uint32_t stream, uint32_t step, uint64_t position) {
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    ft_random_block x = {{(uint32_t)position, (uint32_t)(position >> 32), step, stream}};
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = UINT64_C(0xD2511F53) * x.word[0], product1 = UINT64_C(0xCD9E8D57) * x.word[2];
        ft_random_block y = {{(uint32_t)(product1 >> 32) ^ x.word[1] ^ key0, (uint32_t)product1,
                              (uint32_t)(product0 >> 32) ^ x.word[3] ^ key1, (uint32_t)product0}};
        x = y;
        key0 += UINT32_C(0x9E3779B9);
        key1 += UINT32_C(0xBB67AE85);
    }
    return x;
}

/* Uniform in [0, 1), 53 bits. */
static inline double ft_random_uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t position) {
    ft_random_block x = ft_random(seed, stream, step, position);
    return (double)(((uint64_t)x.word[0] << 32 | x.word[1]) >> 11) * 0x1p-53;
}

/* A permutation of 0 .. n - 1 by Fisher and Yates; 64 random bits a draw, so the bias is below n / 2^64. */
static inline void ft_random_permutation(uint64_t seed, uint32_t stream, uint32_t step, uint32_t n, uint32_t *rows) {
    for (uint32_t i = 0; i < n; i++)
        rows[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        ft_random_block x = ft_random(seed, stream, step, i);
        uint64_t bits = (uint64_t)x.word[0] << 32 | x.word[1];
        uint32_t j = (uint32_t)((unsigned __int128)bits * i >> 64);
        uint32_t row = rows[i - 1];
        rows[i - 1] = rows[j];
        rows[j] = row;
    }
}

#endif
