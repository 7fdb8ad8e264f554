/*
 * Numbers of 16 and 8 bits: an optimizer's gradients, parameters and state, widened to float in registers.
 *
 * bfloat16 is the upper half of a float.  It is rounded to the nearest, or stochastically: random bits are added below
 * the last that is kept, so that the mean over many roundings is the number itself, and small changes of a large
 * number are not lost step after step.
 *
 * Codes of 8 bits stand for numbers of up to 1.875 of a block's unit, with three bits behind the leading one:
 *
 *     unsigned:  z = 2^-31 (1 + code / 8) up to one binade, doubling every 8 codes;  number = (z - 2^-31) unit
 *     signed:    the same of 7 bits from 2^-15 on; the highest bit is 1 for negative numbers
 *
 * so a code is nothing but bits 20 .. 27 of the float z, or bits 20 .. 26 and the sign; next to zero the steps are
 * equal.  All codes are rounded stochastically, and an unsigned number never to zero, since it stands below a division;
 * a zero becomes the smallest of all, too.
 * A block is FT_BLOCK numbers long.  Its unit decays with the state, and is otherwise changed by powers of two: a mean
 * of squares that gets nothing new keeps its codes, and rounding only adds noise to what is new, a thousandth of it in
 * a step at beta2 = 0.999.
 *
 * The random bits: FT_BLOCK numbers from a place in a fixed table, all combined with one more number; both come from a
 * hash of the step's key and the block's number.  All roundings of one element in a step take bits of the same number.
 * An element's numbers are uniform and independent from step to step; those of two elements of a block differ by one of
 * FT_BLOCK patterns, so that they are independent of each other only on the average over steps.
 *
 * Not by floating-point type: included once per level.
 */

#define FT_CODE_TOP 1.87f /* the largest number in units; 1.875 would be the code after the last */

typedef uint8_t u8v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef uint16_t u16v __attribute__((vector_size(FT_VECTOR_BYTES)));
typedef uint32_t u32u __attribute__((vector_size(FT_VECTOR_BYTES), aligned(1), may_alias));

#define FT_BITS(x) ((u32v)(x))
#define FT_SPLAT(x) ((uint32_t)(x) - (u32v){0})
#define FT_MAGNITUDE FT_SPLAT(0x7fffffff)

/* Bits of a where those of the mask are 1, of b elsewhere. */
FT_INLINE u32v ft_pick(u32v mask, u32v a, u32v b) {
#if FT_VECTOR_BYTES == 64
    return (u32v)_mm512_ternarylogic_epi32((__m512i)mask, (__m512i)a, (__m512i)b, 0xca);
#else
    return (mask & a) | (~mask & b);
#endif
}
/* The larger of each two bytes, and of each two halves of lanes. */
FT_INLINE u32v ft_max_u8(u32v a, u32v b) {
#if FT_VECTOR_BYTES == 64
    return (u32v)_mm512_max_epu8((__m512i)a, (__m512i)b);
#elif FT_VECTOR_BYTES == 32
    return (u32v)_mm256_max_epu8((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return (u32v)_mm_max_epu8((__m128i)a, (__m128i)b);
#else
    const u8v larger = (u8v)((u8v)a > (u8v)b);
    return (u32v)((larger & (u8v)a) | (~larger & (u8v)b));
#endif
}
FT_INLINE u32v ft_max_u16(u32v a, u32v b) {
#if FT_VECTOR_BYTES == 64
    return (u32v)_mm512_max_epu16((__m512i)a, (__m512i)b);
#elif FT_VECTOR_BYTES == 32
    return (u32v)_mm256_max_epu16((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return (u32v)_mm_max_epu16((__m128i)a, (__m128i)b);
#else
    const u16v larger = (u16v)((u16v)a > (u16v)b);
    return (u32v)((larger & (u16v)a) | (~larger & (u16v)b));
#endif
}

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

/* Vector 0 or 1 of a pair that lies from x on, each number in the upper half of its lane, and back. */
FT_INLINE u32v ft_load_of_pair(const uint16_t *x, int which) {
#if FT_VECTOR_BYTES == 64
    const __m512i place = _mm512_add_epi32(
        _mm512_set_epi32(0xf0000, 0xe0000, 0xd0000, 0xc0000, 0xb0000, 0xa0000, 0x90000, 0x80000, 0x70000, 0x60000,
                         0x50000, 0x40000, 0x30000, 0x20000, 0x10000, 0x00000),
        _mm512_set1_epi32(which ? 0x100000 : 0));
    return (u32v)_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, place, _mm512_loadu_si512(x));
#else
    return ft_load_u16(x + which * FT_LANES_f32) << 16;
#endif
}
FT_INLINE void ft_store_pair(uint16_t *x, u32v first, u32v second) {
#if FT_VECTOR_BYTES == 64
    const __m512i both = (__m512i)ft_pick(FT_SPLAT(0xffff0000), second, first >> 16);
    const __m512i place = _mm512_set_epi32(
        0x001f001d, 0x001b0019, 0x00170015, 0x00130011, 0x000f000d, 0x000b0009, 0x00070005, 0x00030001, 0x001e001c,
        0x001a0018, 0x00160014, 0x00120010, 0x000e000c, 0x000a0008, 0x00060004, 0x00020000);
    _mm512_storeu_si512(x, _mm512_permutexvar_epi16(place, both));
#else
    ft_store_u16(x, first >> 16);
    ft_store_u16(x + FT_LANES_f32, second >> 16);
#endif
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

#if defined(__x86_64__)
/* The lower halves of a and b, which are below 2^16, and the lower bytes of a and b, which are below 2^8: pieces of 128
   bits in turn, but after both in their order. */
FT_INLINE u16v ft_pack_u32(u32v a, u32v b) {
#if FT_VECTOR_BYTES == 64
    return (u16v)_mm512_packus_epi32((__m512i)a, (__m512i)b);
#elif FT_VECTOR_BYTES == 32
    return (u16v)_mm256_packus_epi32((__m256i)a, (__m256i)b);
#else
    return (u16v)_mm_packus_epi32((__m128i)a, (__m128i)b);
#endif
}
FT_INLINE u32v ft_pack_u16(u16v a, u16v b) {
#if FT_VECTOR_BYTES == 64
    const __m512i packed = _mm512_packus_epi16((__m512i)a, (__m512i)b);
    const __m512i place = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return (u32v)_mm512_permutexvar_epi32(place, packed);
#elif FT_VECTOR_BYTES == 32
    const __m256i packed = _mm256_packus_epi16((__m256i)a, (__m256i)b);
    return (u32v)_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#else
    return (u32v)_mm_packus_epi16((__m128i)a, (__m128i)b);
#endif
}
#endif

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
/* Four vectors of codes: unsigned ones in the lowest byte of each lane; those with a sign in the lowest 7 bits, and the
   sign in bit 11. */
FT_INLINE void ft_store_codes(uint8_t *x, const u32v *codes, int has_sign) {
#if defined(__x86_64__)
    u16v low = ft_pack_u32(codes[0], codes[1]), high = ft_pack_u32(codes[2], codes[3]);
    if (has_sign) {
        low = (u16v)ft_pick(FT_SPLAT(0x007f007f), (u32v)low, (u32v)(low >> 4));
        high = (u16v)ft_pick(FT_SPLAT(0x007f007f), (u32v)high, (u32v)(high >> 4));
    }
    const u32v packed = ft_pack_u16(low, high);
    *(u32u *)x = has_sign ? packed : ft_max_u8(packed, FT_SPLAT(0x01010101));
#else
    for (int j = 0; j < 4; j++)
        for (int lane = 0; lane < FT_LANES_f32; lane++) {
            const uint32_t code = codes[j][lane];
            x[j * FT_LANES_f32 + lane] =
                (uint8_t)(has_sign ? (code & 0x7f) | (code >> 4 & 0x80) : code < 1 ? 1 : code > 255 ? 255 : code);
        }
#endif
}

#define FT_UNSIGNED_BASE (96u << 23) /* bits of 2^-31 and of 2^-15: zeros where the codes are */
#define FT_SIGNED_BASE (112u << 23)

/* The float z of a code in the highest byte, with the sign of signed ones. */
FT_INLINE f32v ft_z_of_unsigned(u32v high) { return (f32v)(high >> 4 | FT_SPLAT(FT_UNSIGNED_BASE)); }
FT_INLINE f32v ft_z_of_signed(u32v high) {
    return (f32v)ft_pick(FT_SPLAT(0x87f00000), (u32v)((i32v)high >> 4), FT_SPLAT(FT_SIGNED_BASE));
}
FT_INLINE f32v ft_with_sign(f32v magnitude, f32v of) {
    return (f32v)ft_pick(FT_MAGNITUDE, FT_BITS(magnitude), FT_BITS(of));
}
FT_INLINE f32v ft_from_unsigned_code(u32v high, f32v unit) {
    return ft_fma_f32(ft_z_of_unsigned(high), unit, -unit * ft_broadcast_f32(0x1p-31f));
}
FT_INLINE f32v ft_from_signed_code(u32v high, f32v unit) {
    const f32v z = ft_z_of_signed(high);
    return ft_fma_f32(z, unit, -ft_with_sign(unit * ft_broadcast_f32(0x1p-15f), z));
}

/* For ft_store_codes.  random: 20 bits above which FT_WITHOUT_BASE is added; x >= 0 for the unsigned one. */
#define FT_WITHOUT_BASE (0u - FT_UNSIGNED_BASE)
FT_INLINE u32v ft_to_unsigned_code(f32v x, f32v inverse, u32v random) {
    return (FT_BITS(ft_fma_f32(x, inverse, ft_broadcast_f32(0x1p-31f))) + random) >> 20;
}
FT_INLINE u32v ft_to_signed_code(f32v x, f32v inverse, u32v random) {
    return (FT_BITS(ft_fma_f32(x, inverse, ft_with_sign(ft_broadcast_f32(0x1p-15f), x))) + random) >> 20;
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

/* The largest byte of a vector. */
FT_INLINE uint32_t ft_top_byte(u32v v) {
#if defined(__x86_64__)
#if FT_VECTOR_BYTES == 64
    const __m256i half = _mm256_max_epu8(_mm512_castsi512_si256((__m512i)v), _mm512_extracti64x4_epi64((__m512i)v, 1));
#elif FT_VECTOR_BYTES == 32
    const __m256i half = (__m256i)v;
#endif
#if FT_VECTOR_BYTES >= 32
    const __m128i quarter = _mm_max_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
#else
    const __m128i quarter = (__m128i)v;
#endif
    const __m128i words = _mm_max_epu8(quarter, _mm_srli_epi16(quarter, 8));
    /* the instruction finds the smallest of eight numbers */
    const __m128i below = _mm_minpos_epu16(_mm_andnot_si128(words, _mm_set1_epi16(0xff)));
    return 0xff - ((uint32_t)_mm_cvtsi128_si32(below) & 0xff);
#else
    v = ft_max_u8(v, v >> 16);
    return ft_top_lane(ft_max_u8(v, v >> 8) & 0xff);
#endif
}
/* The largest of codes of a block, without their signs. */
FT_INLINE uint32_t ft_top_code(const uint8_t *codes, int has_sign) {
    const u32v kept = FT_SPLAT(has_sign ? 0x7f7f7f7f : 0xffffffff);
    u32v top = *(const u32u *)codes & kept;
    FT_UNROLL
    for (ptrdiff_t i = FT_VECTOR_BYTES; i < FT_BLOCK; i += FT_VECTOR_BYTES)
        top = ft_max_u8(top, *(const u32u *)(codes + i) & kept);
    return ft_top_byte(top);
}

FT_INLINE uint32_t ft_bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
FT_INLINE float ft_float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The unit for a block whose numbers are at most `top`, and 1 / unit: that of the last step, decayed, or a power of two
   times it.  A bound that is not finite, or next to the end of the range, makes the whole block NaN.  Bits of positive
   floats are ordered and grow by 2^23 a binade, so neither waits for the other. */
FT_INLINE float ft_unit(float decayed, float top, float *inverse) {
    const float old_inverse = 1.0f / decayed, full = FT_CODE_TOP * decayed;
    /* the least power of two above top / full */
    const int32_t binades = ((int32_t)(ft_bits_of(top) - ft_bits_of(full)) >> 23) + 1;
    const uint32_t old = ft_bits_of(decayed) >> 23, exponent = old + (uint32_t)binades;
    if (__builtin_expect(top > 0.0f && top <= __FLT_MAX__ && old - 2 < 250 && exponent - 2 < 250, 1)) {
        *inverse = ft_float_of(ft_bits_of(old_inverse) - ((uint32_t)binades << 23));
        return ft_float_of(ft_bits_of(decayed) + ((uint32_t)binades << 23));
    }
    /* the old unit is 0, or what fits is next to the ends of the range, where 1 / unit must be a normal number, too */
    float unit = top > 0.0f ? top / (0.75f * FT_CODE_TOP) : decayed;
    if (!(top <= __FLT_MAX__ && unit <= 0x1p125f))
        unit = __builtin_nanf("");
    else if (top > 0.0f && unit < FT_SMALLEST_f32)
        unit = FT_SMALLEST_f32;
    *inverse = unit > 0.0f ? 1.0f / unit : 0.0f;
    return unit;
}

/* ---- random bits --------------------------------------------------------------------------------------- */

/* Upper 20 bits of a linear congruential sequence. */
typedef struct {
    uint32_t number[2 * FT_BLOCK];
} ft_dice;
/* The numbers of a block's elements: number[i] ^ mask. */
typedef struct {
    const uint32_t *number;
    uint32_t mask;
} ft_thrown;

FT_INLINE void ft_dice_open(ft_dice *dice) {
    const uint32_t factor = 747796405u, term = 2891336453u;
    uint32_t first[FT_LANES_f32], x = term, lanes_factor = 1, lanes_term = 0;
    for (int lane = 0; lane < FT_LANES_f32; lane++) {
        first[lane] = x;
        x = x * factor + term;
        lanes_term = lanes_term * factor + term;
        lanes_factor *= factor;
    }
    u32v numbers;
    memcpy(&numbers, first, sizeof first);
    for (int i = 0; i < 2 * FT_BLOCK; i += FT_LANES_f32) {
        *(u32u *)&dice->number[i] = numbers >> 12;
        numbers = numbers * FT_SPLAT(lanes_factor) + FT_SPLAT(lanes_term);
    }
}
/* The mixer of Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
FT_INLINE ft_thrown ft_throw(const ft_dice *dice, uint64_t key, uint64_t block) {
    uint64_t x = key + block * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (ft_thrown){dice->number + (x >> 32 & (FT_BLOCK - 1)), (uint32_t)(x >> 44)};
}
FT_INLINE u32v ft_thrown_at(ft_thrown thrown, ptrdiff_t i) {
    return *(const u32u *)(thrown.number + i) ^ FT_SPLAT(thrown.mask);
}
