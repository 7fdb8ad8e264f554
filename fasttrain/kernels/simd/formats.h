/*
 * Numbers of 16 and 8 bits: an optimizer's gradients, parameters and state, widened to float in registers.
 *
 * bfloat16 is the upper half of a float.  It is rounded to the nearest, or stochastically: random bits are added below
 * the last that is kept, so that the mean over many roundings is the number itself, and small changes of a large
 * number are not lost step after step.
 *
 * Codes of 8 bits stand for numbers in [0, 1.875) of a block's unit, with three bits behind the leading one:
 *
 *     unsigned:  z = 2^-31 (1 + code / 8) up to one binade, doubling every 8 codes;  number = (z - 2^-31) unit
 *     signed:    7 bits from 2^-15 on, above them a bit that is 1 for positive numbers
 *
 * so the code is nothing but bits 20 .. 27 of the float z, whose sign has taken the place of a bit that is always 1; next to zero the steps are equal.  All codes are
 * rounded stochastically, and an unsigned number never to zero, since it stands below a division; a zero becomes the
 * smallest of all, too.  The unit is
 * chosen so that the largest number of the block, FT_BLOCK long, lies in the upper binade or two.  It decays with the
 * state: a mean of squares that gets nothing new keeps its codes, and rounding only adds noise to what is new, a
 * thousandth of it in a step at beta2 = 0.999.
 *
 * The random bits of a block are a linear congruential sequence, one number for each element whatever the number of
 * lanes, from a hash of the step's key and the block's number.
 *
 * Not by floating-point type: included once per level.
 */

#define FT_CODE_TOP 1.87f /* the largest number in units; 1.875 would be the code after the last */

#define FT_BITS(x) ((u32v)(x))
#define FT_SPLAT(x) ((uint32_t)(x) - (u32v){0})
#define FT_MAGNITUDE FT_SPLAT(0x7fffffff)

/* ---- 16 bits ------------------------------------------------------------------------------------------- */

/* Full vectors; GCC takes conversions of vectors apart where it does not know their alignment. */
FT_INLINE u32v ft_load_u16(const uint16_t *x) {
#if FT_VECTOR_BYTES == 64
    return (u32v)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)x));
#elif FT_VECTOR_BYTES == 32
    return (u32v)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)x));
#elif defined(__x86_64__)
    return (u32v)_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)x));
#else
    u32v v;
    for (int lane = 0; lane < FT_LANES_f32; lane++)
        v[lane] = x[lane];
    return v;
#endif
}
/* The lower halves. */
FT_INLINE void ft_store_u16(uint16_t *x, u32v v) {
#if FT_VECTOR_BYTES == 64
    _mm256_storeu_si256((__m256i *)x, _mm512_cvtepi32_epi16((__m512i)v));
#elif FT_VECTOR_BYTES == 32
    const __m256i packed = _mm256_packus_epi32((__m256i)(v & 0xffff), (__m256i)v);
    _mm_storeu_si128((__m128i *)x, _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#elif defined(__x86_64__)
    const __m128i low = (__m128i)(v & 0xffff);
    _mm_storel_epi64((__m128i *)x, _mm_packus_epi32(low, low));
#else
    for (int lane = 0; lane < FT_LANES_f32; lane++)
        x[lane] = (uint16_t)v[lane];
#endif
}
/* The first `count` lanes; zero in the others of a load. */
FT_INLINE u32v ft_load_some_u16(const uint16_t *x, ptrdiff_t count) {
    if (count >= FT_LANES_f32)
        return ft_load_u16(x);
    uint16_t part[FT_LANES_f32] = {0};
    memcpy(part, x, (size_t)count * sizeof *x);
    return ft_load_u16(part);
}
FT_INLINE void ft_store_some_u16(uint16_t *x, ptrdiff_t count, u32v v) {
    uint16_t part[FT_LANES_f32];
    if (count >= FT_LANES_f32) {
        ft_store_u16(x, v);
    } else {
        ft_store_u16(part, v);
        memcpy(x, part, (size_t)count * sizeof *x);
    }
}

FT_INLINE f32v ft_from_bfloat16(u32v x) { return (f32v)(x << 16); }

/* Nothing is added to a NaN, which arithmetic has left with its upper bits. */
FT_INLINE u32v ft_to_bfloat16(f32v x, u32v added) {
#if FT_VECTOR_BYTES == 64
    const __mmask16 number = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_ORD_Q);
    return (u32v)_mm512_mask_add_epi32((__m512i)x, number, (__m512i)x, (__m512i)added) >> 16;
#else
    return (FT_BITS(x) + ((u32v)(x == x) & added)) >> 16;
#endif
}
FT_INLINE u32v ft_to_nearest_bfloat16(f32v x) {
    const u32v quiet = (u32v)(x != x) & FT_SPLAT(0x40); /* a NaN with none of its upper bits would be infinity */
    return ft_to_bfloat16(x, FT_SPLAT(0x7fff) + (FT_BITS(x) >> 16 & 1)) | quiet; /* ties to even */
}

/* Bits of a half, moved up to those of a float, are its value times 2^-112; subnormal ones by their integer, since
   those of float count as zero here. */
FT_INLINE f32v ft_from_float16(u32v x) {
    u32v magnitude = x & 0x7fff, sign = (x & 0x8000) << 16;
    f32v normal = (f32v)((magnitude << 13) + FT_SPLAT(112 << 23));
    f32v small = __builtin_convertvector((i32v)magnitude, f32v) * ft_broadcast_f32(0x1p-24f);
    f32v special = (f32v)(magnitude << 13 | FT_SPLAT(0x7f800000));
    f32v value = ft_select_f32((i32v)magnitude < 0x400, small, normal);
    value = ft_select_f32((i32v)magnitude >= 0x7c00, special, value);
    return (f32v)(FT_BITS(value) | sign);
}

static void ft_to_bfloat16_array(ptrdiff_t n, const float *x, uint16_t *y) {
    for (ptrdiff_t i = 0; i < n; i += FT_LANES_f32) {
        const ptrdiff_t count = n - i;
        f32v value = count >= FT_LANES_f32 ? ft_load_f32(x + i) : ft_load_partial_f32(x + i, count);
        ft_store_some_u16(y + i, count, ft_to_nearest_bfloat16(value));
    }
}

static double ft_sum_squares_16(int format, ptrdiff_t n, const uint16_t *x) {
    double total = 0;
    for (ptrdiff_t start = 0; start < n; start += 32 * FT_LANES_f32) {
        f32v sums = {0};
        for (ptrdiff_t i = start; i < n && i < start + 32 * FT_LANES_f32; i += FT_LANES_f32) {
            u32v bits = ft_load_some_u16(x + i, n - i);
            f32v value = format == FT_HALF ? ft_from_float16(bits) : ft_from_bfloat16(bits);
            sums = ft_fma_f32(value, value, sums);
        }
        total += ft_sum_f32(sums);
    }
    return total;
}

/* ---- 8 bits -------------------------------------------------------------------------------------------- */

/* Into the highest byte of each lane. */
FT_INLINE u32v ft_load_high_u8(const uint8_t *x) {
#if FT_VECTOR_BYTES == 64
    const __m512i highest = _mm512_set_epi8(15, -1, -1, -1, 14, -1, -1, -1, 13, -1, -1, -1, 12, -1, -1, -1, 11, -1, -1, -1,
                                            10, -1, -1, -1, 9, -1, -1, -1, 8, -1, -1, -1, 7, -1, -1, -1, 6, -1, -1, -1, 5, -1,
                                            -1, -1, 4, -1, -1, -1, 3, -1, -1, -1, 2, -1, -1, -1, 1, -1, -1, -1, 0, -1, -1, -1);
    return (u32v)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)x)), highest);
#elif FT_VECTOR_BYTES == 32
    const __m256i highest = _mm256_set_epi8(7, -1, -1, -1, 6, -1, -1, -1, 5, -1, -1, -1, 4, -1, -1, -1, 3, -1, -1, -1, 2, -1,
                                            -1, -1, 1, -1, -1, -1, 0, -1, -1, -1);
    int64_t eight;
    memcpy(&eight, x, sizeof eight);
    return (u32v)_mm256_shuffle_epi8(_mm256_set1_epi64x(eight), highest);
#elif defined(__x86_64__)
    int32_t four;
    memcpy(&four, x, sizeof four);
    return (u32v)_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)) << 24;
#else
    u32v v;
    for (int lane = 0; lane < FT_LANES_f32; lane++)
        v[lane] = (uint32_t)x[lane] << 24;
    return v;
#endif
}
/* The lowest bytes. */
FT_INLINE void ft_store_u8(uint8_t *x, u32v v) {
#if FT_VECTOR_BYTES == 64
    _mm_storeu_si128((__m128i *)x, _mm512_cvtepi32_epi8((__m512i)v));
#elif FT_VECTOR_BYTES == 32
    const __m256i lowest = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    const __m256i packed = _mm256_shuffle_epi8((__m256i)v, lowest);
    const __m128i eight = _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
    _mm_storel_epi64((__m128i *)x, eight);
#elif defined(__x86_64__)
    const __m128i lowest = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const int32_t four = _mm_cvtsi128_si32(_mm_shuffle_epi8((__m128i)v, lowest));
    memcpy(x, &four, sizeof four);
#else
    for (int lane = 0; lane < FT_LANES_f32; lane++)
        x[lane] = (uint8_t)v[lane];
#endif
}

#define FT_UNSIGNED_BASE (96u << 23) /* bits of 2^-31 and of 2^-15: zeros where the codes are */
#define FT_SIGNED_BASE (112u << 23)

/* high: the code in the highest byte */
FT_INLINE f32v ft_from_unsigned_code(u32v high, f32v unit) {
    f32v z = (f32v)(high >> 4 | FT_SPLAT(FT_UNSIGNED_BASE));
    return ft_fma_f32(z, unit, -unit * ft_broadcast_f32(0x1p-31f));
}
FT_INLINE f32v ft_from_signed_code(u32v high, f32v unit) {
    f32v z = (f32v)((high >> 4 & FT_SPLAT(0x7f << 20)) | FT_SPLAT(FT_SIGNED_BASE));
    f32v magnitude = ft_fma_f32(z, unit, -unit * ft_broadcast_f32(0x1p-15f));
    return (f32v)((FT_BITS(magnitude) & FT_MAGNITUDE) | (~high & ~FT_MAGNITUDE));
}

/* The code in the lowest byte.  random: 20 bits; x >= 0 for the unsigned one. */
FT_INLINE u32v ft_to_unsigned_code(f32v x, f32v inverse, u32v random) {
    u32v code = (FT_BITS(ft_fma_f32(x, inverse, ft_broadcast_f32(0x1p-31f))) + random) >> 20;
    return ft_max_u32(code, FT_SPLAT((FT_UNSIGNED_BASE >> 20) + 1));
}
FT_INLINE u32v ft_to_signed_code(f32v x, f32v inverse, u32v random) {
    f32v magnitude = (f32v)(FT_BITS(x) & FT_MAGNITUDE);
    u32v bits = FT_BITS(ft_fma_f32(magnitude, inverse, ft_broadcast_f32(0x1p-15f))) + random;
    return (bits ^ (FT_BITS(x) >> 4 & FT_SPLAT(1 << 27))) >> 20; /* bit 27 is 1 in all of them */
}

/* The largest lane. */
FT_INLINE uint32_t ft_top_lane(u32v v) {
#if FT_VECTOR_BYTES == 64
    v = ft_max_u32(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    v = ft_max_u32(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15));
    v = ft_max_u32(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
#elif FT_VECTOR_BYTES == 32
    v = ft_max_u32(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
    v = ft_max_u32(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 4, 5, 6, 7));
#else
    v = ft_max_u32(v, __builtin_shufflevector(v, v, 2, 3, 0, 1));
#endif
    return v[0] > v[1] ? v[0] : v[1];
}

/* The unit for a block whose largest magnitude has these bits: that of the last step, decayed, or a power of two
   times it.  What is not finite makes the whole block NaN. */
FT_INLINE float ft_unit(float decayed, uint32_t top_bits) {
    float top, factor;
    memcpy(&top, &top_bits, sizeof top);
    const float ratio = top / (FT_CODE_TOP * decayed);
    if (__builtin_expect(ratio > 0x1p-100f && ratio < 0x1p100f, 1)) {
        uint32_t bits;
        memcpy(&bits, &ratio, sizeof bits);
        bits = (bits & 0x7f800000u) + (1u << 23); /* the power of two above the ratio */
        memcpy(&factor, &bits, sizeof factor);
        const float unit = decayed * factor;
        return unit < FT_SMALLEST_f32 ? FT_SMALLEST_f32 : unit;
    }
    if (top_bits >= 0x7f800000u)
        return __builtin_nanf("");
    if (!(top > 0.0f))
        return decayed;
    /* the old unit is 0, or far away */
    const float unit = top / (0.75f * FT_CODE_TOP);
    return unit < FT_SMALLEST_f32 ? FT_SMALLEST_f32 : unit;
}

/* ---- random bits --------------------------------------------------------------------------------------- */

#define FT_LCG_FACTOR 747796405u
#define FT_LCG_TERM 2891336453u

typedef struct {
    u32v lane_factor, lane_term; /* from a block's first number to that of each lane */
    u32v factor, term;           /* from a number to the next one of its lane */
} ft_dice;

FT_INLINE void ft_dice_open(ft_dice *dice) {
    uint32_t factors[FT_LANES_f32], terms[FT_LANES_f32], factor = 1, term = 0;
    for (int lane = 0; lane < FT_LANES_f32; lane++) {
        factors[lane] = factor;
        terms[lane] = term;
        factor *= FT_LCG_FACTOR;
        term = term * FT_LCG_FACTOR + FT_LCG_TERM;
    }
    memcpy(&dice->lane_factor, factors, sizeof factors);
    memcpy(&dice->lane_term, terms, sizeof terms);
    dice->factor = FT_SPLAT(factor);
    dice->term = FT_SPLAT(term);
}
/* Numbers of a block's first elements.  The mixer of Steele, Lea and Flood, "Fast splittable pseudorandom number
   generators", OOPSLA 2014. */
FT_INLINE u32v ft_dice_first(const ft_dice *dice, uint64_t key, uint64_t block) {
    uint64_t x = key + block * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return FT_SPLAT(x >> 32) * dice->lane_factor + dice->lane_term;
}
FT_INLINE u32v ft_dice_next(const ft_dice *dice, u32v random) { return random * dice->factor + dice->term; }
/* Up to 20 bits of a number for each state, no two of which begin at the same bit: the last bits of such a sequence
   repeat soon, though within 2^20 numbers later than a block ends.  A parameter's are those of the first state. */
FT_INLINE u32v ft_dice_20(u32v number, int state) {
    return state == 0 ? number >> 12 : state == 1 ? number & 0xfffff : number >> 6 & 0xfffff;
}
FT_INLINE u32v ft_dice_16(u32v number, int state) { return ft_dice_20(number, state) >> 4; }
