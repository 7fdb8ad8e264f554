/*
 * exp, expm1, log, log1p, tanh, sigmoid, erf, erfc of vectors and of arrays: branch-free, at most 2 ULP
 * from the exact value over the whole range of float and double, subnormals, infinities and NaN included.
 *
 * Layers: constants of the two types; reductions (2^n e^r, 2^k m); functions of a vector, ft_vec_*; of an
 * array, ft_*.  One body serves both types.  No step needs a fused multiply-add: where a product must be
 * exact, one factor has trailing zeros or the product is split; so the bound holds at every level.
 *
 * Polynomials: minimax by the Remez exchange in 60 digits, then rounded; the comment beside each gives the
 * function, the interval and the weight of the error, which is all that is needed to derive it again.
 */
#include "vector.h"

#if REAL_IS_FLOAT
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define SIGN_BIT ((INT)0x80000000)
#define HIGH_HALF ((INT)0xfffff000)      /* keeps 12 of 24 bits, so that a square is exact */
#define ONE_BITS 0x3f800000
#define SQRT_HALF_BITS 0x3f3504f3
#define INFINITE_BITS 0x7f800000
#define LOWEST_NORMAL 0x1p-126f
#define TO_NORMAL 0x1p25f                /* takes every subnormal to a normal number */
#define TO_NORMAL_BITS 25
#define ROUNDER (0x1.8p23f + 127)        /* adding it rounds to an integer, kept in the low bits, biased */
#define LOG2_E 0x1.715476p+0f
#define LN2_HIGH 0x1.62e4p-1f            /* 16 bits: its product with an exponent is exact */
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXP_LOWEST -104.0f               /* e^x rounds to 0 */
#define EXP_HIGHEST 89.0f                /* e^x overflows */
#define EXPM1_LOWEST -20.0f              /* e^x - 1 rounds to -1 */
#define SIGMOID_REACH 120.0f             /* e^-x, and x e^-x, round to 0 */
#define TANH_REACH 10.0f                 /* tanh rounds to 1 */
#define ERFC_REACH 10.5f                 /* erfc rounds to 0 */
#define GELU_REACH 14.8f                 /* x erfc(x / sqrt 2) rounds to 0; x / sqrt 2 <= ERFC_REACH */
#else
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define SIGN_BIT INT64_MIN
#define HIGH_HALF ((INT)0xfffffffff8000000) /* 26 of 53 bits */
#define ONE_BITS 0x3ff0000000000000
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#define INFINITE_BITS 0x7ff0000000000000
#define LOWEST_NORMAL 0x1p-1022
#define TO_NORMAL 0x1p54
#define TO_NORMAL_BITS 54
#define ROUNDER (0x1.8p52 + 1023)
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa38p-1 /* 42 bits */
#define LN2_LOW 0x1.ef35793c7673p-45
#define EXP_LOWEST -746.0
#define EXP_HIGHEST 710.0
#define EXPM1_LOWEST -40.0
#define SIGMOID_REACH 760.0
#define TANH_REACH 22.0
#define ERFC_REACH 28.0
#define GELU_REACH 39.5
#endif

/* (e^r - 1 - r) / r^2 for |r| <= 1.005 ln(2) / 2, weight |r| */
static const REAL SUFFIX(ft_exp_terms)[] = {
#if REAL_IS_FLOAT
    0x1.000000p-1f, 0x1.5554acp-3f, 0x1.555482p-5f, 0x1.122abcp-7f, 0x1.6d9cd8p-10f,
#else
    0x1.0000000000005p-1, 0x1.555555555555dp-3, 0x1.5555555551eddp-5, 0x1.111111110e540p-7,
    0x1.6c16c17fc939ep-10, 0x1.a01a01b6744a2p-13, 0x1.a019a4b92160cp-16, 0x1.71dde88596e41p-19,
    0x1.28a488f73ea98p-22, 0x1.af793a037f7d9p-26,
#endif
};

/* (2 artanh(s) / s - 2) / s^2 in s^2, for s = f / (2 + f), sqrt(1/2) <= 1 + f <= sqrt(2), weight s^2 */
static const REAL SUFFIX(ft_log_terms)[] = {
#if REAL_IS_FLOAT
    0x1.55557cp-1f, 0x1.995d84p-2f, 0x1.320638p-2f,
#else
    0x1.5555555555597p-1, 0x1.999999997e3e2p-2, 0x1.24924943794cep-2, 0x1.c71c50b69c14dp-3,
    0x1.7466884680261p-3, 0x1.3999f76bc2e5ep-3, 0x1.2f571ff4c1e73p-3,
#endif
};

/* (tanh(x) / x - 1) / x^2 in x^2, for |x| <= 0.55, weight x^2 */
static const REAL SUFFIX(ft_tanh_terms)[] = {
#if REAL_IS_FLOAT
    -0x1.55554cp-2f, 0x1.110d3ap-3f, -0x1.b92b7ep-5f, 0x1.595472p-6f, -0x1.9badd8p-8f,
#else
    -0x1.55555555554a4p-2, 0x1.1111111102fc4p-3, -0x1.ba1ba1adb8a72p-5, 0x1.664f45cf2cbdbp-6,
    -0x1.226dde7ceb4f4p-7, 0x1.d6c6423bd49dbp-9, -0x1.7cf512385dbb9p-10, 0x1.2faa02374c353p-11,
    -0x1.b9381ad51a725p-13, 0x1.ac7b29a85dd92p-15,
#endif
};

/* erf(x) / x - 1 in x^2, for |x| <= 0.75, weight 1 */
static const REAL SUFFIX(ft_erf_terms)[] = {
#if REAL_IS_FLOAT
    0x1.06eba8p-3f, -0x1.81273ap-2f, 0x1.ce2af2p-4f, -0x1.b7abe0p-6f, 0x1.4f470cp-8f, -0x1.627448p-11f,
#else
    0x1.06eba8214db69p-3, -0x1.812746b0379e0p-2, 0x1.ce2f21a0424d9p-4, -0x1.b82ce31257bc5p-6,
    0x1.565bcd037b5a9p-8, -0x1.c02db12682280p-11, 0x1.f9a2b0313a765p-14, -0x1.f4c5e99ceedf0p-17,
    0x1.b90f4e4b767cbp-20, -0x1.5652c15662083p-23, 0x1.8a43a901d4dc4p-27,
#endif
};

/* e^(y^2) erfc(y) (y + 3/4) in t = (y - 3) / (y + 3), 0 <= y <= ERFC_REACH, relative error: the constant in
   two parts, then the coefficients of t, t^2, ...  With 3/4 the function varies least, from 0.75 to 0.77
   to 0.56, and so the rounding of t counts least. */
static const REAL SUFFIX(ft_erfc_constant)[] = {
#if REAL_IS_FLOAT
    0x1.57aea6p-1f, -0x1.4a4430p-26f,
#else
    0x1.57aea5550735ap-1, -0x1.543030481df16p-59,
#endif
};
static const REAL SUFFIX(ft_erfc_terms)[] = {
#if REAL_IS_FLOAT
    -0x1.31e85ap-3f, 0x1.342e48p-5f, 0x1.bf3084p-6f, -0x1.55c240p-5f, 0x1.cb9008p-6f,
    -0x1.63001ep-7f, 0x1.7ecfb4p-10f, 0x1.c0715cp-11f, -0x1.8a1c38p-12f, -0x1.edf426p-14f,
#else
    -0x1.31e8582c4b6fap-3, 0x1.342e7214b06ecp-5, 0x1.bf2da2b8be397p-6, -0x1.55c5f6623e88bp-5,
    0x1.cbaaed42b04b0p-6, -0x1.627bbced9c460p-7, 0x1.79ea51d15f099p-10, 0x1.a0d9c9ec0c51dp-11,
    -0x1.8cfe4037e3540p-12, -0x1.32bc3bae889c7p-15, 0x1.f1ba97c54af74p-15, 0x1.01a0da150adb4p-21,
    -0x1.3f601c7c68800p-17, -0x1.b9f45a05fa114p-25, 0x1.bd151bf22b1b1p-20, 0x1.f69fff8623311p-24,
    -0x1.3c6ecac1148cfp-22, -0x1.d85734dd48530p-25, 0x1.87be839c8b8f6p-25, 0x1.0016c49186ae4p-26,
    -0x1.25fba604973dfp-28, -0x1.0f8846bb816b9p-29,
#endif
};

#define N_TERMS(name) ((int)(sizeof SUFFIX(name) / sizeof(REAL)))
#define POLYNOMIAL(x, name) SUFFIX(ft_polynomial)(x, SUFFIX(name), N_TERMS(name))

/* ---- parts ---------------------------------------------------------------------------------------- */

/* terms[0] + terms[1] x + ..., even and odd powers by Horner's rule side by side: half the latency */
FT_INLINE VEC SUFFIX(ft_polynomial)(VEC x, const REAL *terms, int n_terms) {
    VEC square = x * x, upper = BROADCAST(terms[n_terms - 1]), lower = BROADCAST(terms[n_terms - 2]);
    FT_UNROLL
    for (int i = n_terms - 3; i >= 0; i--) {
        VEC sum = FMA(upper, square, BROADCAST(terms[i]));
        upper = lower;
        lower = sum;
    }
    return FMA(upper, x, lower);
}

FT_INLINE VEC SUFFIX(ft_magnitude)(VEC x) { return (VEC)((IVEC)x & ~SIGN_BIT); }

/* A result whose sign is that of x or whose value is +0. */
FT_INLINE VEC SUFFIX(ft_with_sign_of)(VEC result, VEC x) {
    return (VEC)((IVEC)result | ((IVEC)x & SIGN_BIT));
}

/* n = x / ln 2 rounded; n + EXPONENT_BIAS in the low bits of *code.  NaN stays NaN. */
FT_INLINE VEC SUFFIX(ft_binary_exponent)(VEC x, IVEC *code) {
    VEC rounded = FMA(x, BROADCAST(LOG2_E), BROADCAST(ROUNDER));
    *code = (IVEC)rounded;
    return rounded - ROUNDER;
}

/* 2^(n + shift) for a normal result */
FT_INLINE VEC SUFFIX(ft_power_of_two)(IVEC code, int shift) {
    return (VEC)((code + shift) << MANTISSA_BITS);
}

/* x 2^n with one rounding, for any result: the first of two factors keeps x normal. */
FT_INLINE VEC SUFFIX(ft_scale)(VEC x, VEC n, IVEC code) {
    IVEC half = (IVEC)FMA(n, BROADCAST((REAL)0.5), BROADCAST(ROUNDER));
    return x * SUFFIX(ft_power_of_two)(half, 0) * SUFFIX(ft_power_of_two)(code - half, EXPONENT_BIAS);
}

/* x - n ln 2: the first difference is exact, and n LN2_LOW is far below it. */
FT_INLINE VEC SUFFIX(ft_remainder)(VEC x, VEC n) {
    return FMA(n, BROADCAST(-LN2_LOW), FMA(n, BROADCAST(-LN2_HIGH), x));
}

/* e^r - 1 - r for |r| <= ln(2) / 2 */
FT_INLINE VEC SUFFIX(ft_exp_tail)(VEC r) { return r * r * POLYNOMIAL(r, ft_exp_terms); }

/* sigmoid(-y) 2^-n for y >= 0, where n = -y / ln 2 rounded (n <= 0): with s = 2^n and e^r = e^y 2^n,
   sigmoid(-y) = s / (s + e^r).  The rounding of the sum is made good to first order. */
FT_INLINE VEC SUFFIX(ft_sigmoid_part)(VEC r, VEC s) {
    VEC t = r + SUFFIX(ft_exp_tail)(r);
    VEC sum = (1 + s) + t;
    VEC sum_error = ((1 - sum) + s) + t;
    VEC q = 1 / sum;
    return q - q * q * sum_error;
}

/* log(1 + f) + k ln 2 + correction for sqrt(1/2) <= 1 + f < sqrt(2).  log(1 + f) = f - f^2/2 + s (f^2/2 + R)
   with s = f / (2 + f): all but f is small, so f's own exactness is kept. */
FT_INLINE VEC SUFFIX(ft_log_sum)(VEC f, VEC k, VEC correction) {
    VEC s = f / (2 + f), z = s * s;
    VEC half_square = (REAL)0.5 * f * f;
    VEC rest = z * POLYNOMIAL(z, ft_log_terms);
    VEC low = FMA(s, half_square + rest, FMA(k, BROADCAST(LN2_LOW), correction));
    return FMA(k, BROADCAST(LN2_HIGH), f - (half_square - low));
}

/* x > 0 and normal is m 2^k with sqrt(1/2) <= m < sqrt(2) */
FT_INLINE VEC SUFFIX(ft_split)(VEC x, VEC *k) {
    IVEC bits = (IVEC)x + (ONE_BITS - SQRT_HALF_BITS);
    /* an integer in the mantissa of 2^MANTISSA_BITS is added to it */
    const REAL unit = (REAL)((INT)1 << MANTISSA_BITS);
    const INT unit_bits = (INT)(EXPONENT_BIAS + MANTISSA_BITS) << MANTISSA_BITS;
    *k = (VEC)((IVEC)((UVEC)bits >> MANTISSA_BITS) | unit_bits) - (unit + EXPONENT_BIAS);
    return (VEC)((bits & (((INT)1 << MANTISSA_BITS) - 1)) + SQRT_HALF_BITS);
}

/* a b - product for a product close to a b, as if a b were exact */
FT_INLINE VEC SUFFIX(ft_product_error)(VEC a, VEC b, VEC product) {
    if (FT_HAS_FMA)
        return FMA(a, b, -product);
    VEC a_high = (VEC)((IVEC)a & HIGH_HALF), b_high = (VEC)((IVEC)b & HIGH_HALF);
    VEC a_low = a - a_high, b_low = b - b_high;
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
}

/* erfc(y) 2^-n for 0 <= y <= ERFC_REACH, and e^(-y^2) 2^-n in *power, given y^2 = square + square_low,
   square without its last bits: e^(-y^2) G(t) / (y + 3/4), t = (y - 3) / (y + 3).  e^(-y^2), G and
   y + 3/4 carry their rounding errors along; all of them meet in one correction of the quotient. */
FT_INLINE VEC SUFFIX(ft_erfc_part)(VEC y, VEC square, VEC square_low, VEC *power, VEC *n,
                                       IVEC *code) {
    *n = SUFFIX(ft_binary_exponent)(-(square + square_low), code);
    VEC r = SUFFIX(ft_remainder)(-square, *n) - square_low;
    VEC r_exp = r + SUFFIX(ft_exp_tail)(r);
    VEC e = 1 + r_exp, e_low = r_exp - (e - 1);
    *power = e;

    VEC inverse = 1 / (y + 3);
    VEC t = (y - 3) * inverse;
    VEC w = FMA(t, POLYNOMIAL(t, ft_erfc_terms), BROADCAST(SUFFIX(ft_erfc_constant)[1]));
    VEC g = SUFFIX(ft_erfc_constant)[0] + w, g_low = w - (g - SUFFIX(ft_erfc_constant)[0]);

    const REAL offset = (REAL)0.75;
    VEC d = y + offset, d_part = d - y;
    VEC d_low = (y - (d - d_part)) + (offset - d_part);

    VEC product = e * g, reciprocal = 1 / d, quotient = product * reciprocal;
    VEC low = FMA(e, g_low, FMA(e_low, g, SUFFIX(ft_product_error)(e, g, product)));
    VEC remainder = (low - quotient * d_low) - SUFFIX(ft_product_error)(quotient, d, product);
    return FMA(remainder, reciprocal, quotient);
}

/* ---- functions of a vector ------------------------------------------------------------------------ */

FT_INLINE VEC SUFFIX(ft_vec_exp)(VEC x) {
    IVEC code;
    x = MAX(BROADCAST(EXP_LOWEST), MIN(BROADCAST(EXP_HIGHEST), x));
    VEC n = SUFFIX(ft_binary_exponent)(x, &code);
    VEC r = SUFFIX(ft_remainder)(x, n);
    return SUFFIX(ft_scale)(1 + (r + SUFFIX(ft_exp_tail)(r)), n, code);
}

/* (2^n - 1) + 2^n r + 2^n tail, halved so that 2^n cannot overflow, its first sum exact; for n = 0 it is
   r + tail, where r = x. */
FT_INLINE VEC SUFFIX(ft_vec_expm1)(VEC x) {
    IVEC code;
    VEC clamped = MAX(BROADCAST(EXPM1_LOWEST), MIN(BROADCAST(EXP_HIGHEST), x));
    VEC n = SUFFIX(ft_binary_exponent)(clamped, &code);
    VEC r = SUFFIX(ft_remainder)(clamped, n), tail = SUFFIX(ft_exp_tail)(r);
    VEC half_power = SUFFIX(ft_power_of_two)(code, -1);
    VEC a = half_power - (REAL)0.5, b = half_power * r;
    VEC sum = a + b, sum_error = (a - sum) + b;
    VEC scaled = 2 * (sum + FMA(half_power, tail, sum_error));
    return SUFFIX(ft_with_sign_of)(SELECT(n == 0, r + tail, scaled), x);
}

FT_INLINE VEC SUFFIX(ft_vec_log)(VEC x) {
    const VEC zero = {0}, infinity = (VEC)((IVEC)zero + INFINITE_BITS);
    IVEC small = x < LOWEST_NORMAL;
    VEC k, m = SUFFIX(ft_split)(SELECT(small, x * TO_NORMAL, x), &k);
    k -= (VEC)(small & (IVEC)BROADCAST((REAL)TO_NORMAL_BITS));
    VEC result = SUFFIX(ft_log_sum)(m - 1, k, zero);
    /* x - x is NaN for infinities: x < 0 gives NaN by way of -infinity */
    VEC special = SELECT(x < zero, infinity - infinity, SELECT(x == zero, -infinity, x));
    return SELECT((x > zero) & (x < infinity), result, special);
}

/* log(u) + c / u, where u + c = 1 + x exactly; near 0, where u loses bits of x, f = x itself. */
FT_INLINE VEC SUFFIX(ft_vec_log1p)(VEC x) {
    const VEC zero = {0}, infinity = (VEC)((IVEC)zero + INFINITE_BITS);
    VEC u = 1 + x, u_part = u - 1;
    VEC c = (1 - (u - u_part)) + (x - u_part);
    VEC k, m = SUFFIX(ft_split)(u, &k);
    VEC f = SELECT(k == zero, x, m - 1);
    VEC correction = (VEC)((IVEC)(c / u) & (k != zero));
    VEC result = SUFFIX(ft_with_sign_of)(SUFFIX(ft_log_sum)(f, k, correction), x);
    VEC special = SELECT(x < -1, infinity - infinity, SELECT(x == -1, -infinity, x));
    return SELECT((x > -1) & (x < infinity), result, special);
}

/* sigmoid(-y) 2^-n for y = |x|, no larger than SIGMOID_REACH, which comes back in *magnitude */
FT_INLINE VEC SUFFIX(ft_sigmoid_of_minus)(VEC x, VEC *magnitude, VEC *n, IVEC *code) {
    VEC y = MIN(BROADCAST((REAL)SIGMOID_REACH), SUFFIX(ft_magnitude)(x));
    *magnitude = y;
    *n = SUFFIX(ft_binary_exponent)(-y, code);
    VEC s = SUFFIX(ft_scale)(BROADCAST(1), *n, *code);
    return SUFFIX(ft_sigmoid_part)(-SUFFIX(ft_remainder)(-y, *n), s);
}

FT_INLINE VEC SUFFIX(ft_vec_sigmoid)(VEC x) {
    IVEC code;
    VEC n, magnitude, part = SUFFIX(ft_sigmoid_of_minus)(x, &magnitude, &n, &code);
    VEC lower = SUFFIX(ft_scale)(part, n, code);
    return SELECT(x > 0, 1 - lower, lower);
}

/* 1 - 2 sigmoid(-2|x|) from 0.55 on, where the difference is above 1/2 */
FT_INLINE VEC SUFFIX(ft_vec_tanh)(VEC x) {
    VEC magnitude = SUFFIX(ft_magnitude)(x), z = x * x;
    VEC near_zero = FMA(x, z * POLYNOMIAL(z, ft_tanh_terms), x);
    VEC twice = -2 * MIN(BROADCAST((REAL)TANH_REACH), magnitude);
    IVEC code;
    VEC n = SUFFIX(ft_binary_exponent)(twice, &code);
    VEC s = SUFFIX(ft_power_of_two)(code, 0);
    VEC far = 1 - 2 * s * SUFFIX(ft_sigmoid_part)(-SUFFIX(ft_remainder)(twice, n), s);
    return SUFFIX(ft_with_sign_of)(SELECT(magnitude < (REAL)0.55, near_zero, far), x);
}

/* erfc(|x|) */
FT_INLINE VEC SUFFIX(ft_erfc_of_magnitude)(VEC x) {
    IVEC code;
    VEC y = MIN(BROADCAST((REAL)ERFC_REACH), SUFFIX(ft_magnitude)(x));
    VEC y_high = (VEC)((IVEC)y & HIGH_HALF);
    VEC n, power, square_low = (y - y_high) * (y + y_high);
    VEC part = SUFFIX(ft_erfc_part)(y, y_high * y_high, square_low, &power, &n, &code);
    return SUFFIX(ft_scale)(part, n, code);
}

FT_INLINE VEC SUFFIX(ft_vec_erfc)(VEC x) {
    VEC upper = SUFFIX(ft_erfc_of_magnitude)(x);
    return SELECT(x < 0, 2 - upper, upper);
}

FT_INLINE VEC SUFFIX(ft_vec_erf)(VEC x) {
    VEC near_zero = FMA(x, POLYNOMIAL(x * x, ft_erf_terms), x);
    VEC far = SUFFIX(ft_with_sign_of)(1 - SUFFIX(ft_erfc_of_magnitude)(x), x);
    return SELECT(SUFFIX(ft_magnitude)(x) < (REAL)0.75, near_zero, far);
}

/* Phi(-y) 2^-n, Phi the distribution function of the normal distribution, and its density at y times 2^-n
   in *density, for y = |z|, no larger than GELU_REACH, which comes back in *magnitude.  y^2 / 2 is split as
   for erfc, since an error of y / sqrt 2 would grow by y^2. */
FT_INLINE VEC SUFFIX(ft_normal_part)(VEC z, VEC *magnitude, VEC *density, VEC *n, IVEC *code) {
    VEC y = MIN(BROADCAST((REAL)GELU_REACH), SUFFIX(ft_magnitude)(z));
    VEC y_high = (VEC)((IVEC)y & HIGH_HALF);
    VEC square = (REAL)0.5 * y_high * y_high, square_low = (REAL)0.5 * (y - y_high) * (y + y_high);
    VEC scaled = y * (REAL)0.70710678118654752440;
    VEC power, part = SUFFIX(ft_erfc_part)(scaled, square, square_low, &power, n, code);
    *magnitude = y;
    *density = power * (REAL)0.39894228040143267794;
    return (REAL)0.5 * part;
}

/* ---- functions of an array ------------------------------------------------------------------------ */

/* The first `count` elements, or a full vector where there are as many. */
FT_INLINE VEC SUFFIX(ft_load_up_to)(const REAL *x, ptrdiff_t count) {
    return count >= LANES ? LOAD(x) : LOAD_PARTIAL(x, count);
}
FT_INLINE void SUFFIX(ft_store_up_to)(REAL *y, ptrdiff_t count, VEC v) {
    if (count >= LANES)
        STORE(y, v);
    else
        STORE_PARTIAL(y, count, v);
}

#define FT_DEFINE_ARRAY_FUNCTION(name)                                                                   \
    static void SUFFIX(ft_##name)(ptrdiff_t n, const REAL *x, REAL *y) {                                 \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                                       \
            VEC v = SUFFIX(ft_load_up_to)(x + i, n - i);                                                 \
            SUFFIX(ft_store_up_to)(y + i, n - i, SUFFIX(ft_vec_##name)(v));                              \
        }                                                                                                \
    }

FT_DEFINE_ARRAY_FUNCTION(exp)
FT_DEFINE_ARRAY_FUNCTION(expm1)
FT_DEFINE_ARRAY_FUNCTION(log)
FT_DEFINE_ARRAY_FUNCTION(log1p)
FT_DEFINE_ARRAY_FUNCTION(tanh)
FT_DEFINE_ARRAY_FUNCTION(sigmoid)
FT_DEFINE_ARRAY_FUNCTION(erf)
FT_DEFINE_ARRAY_FUNCTION(erfc)

#undef FT_DEFINE_ARRAY_FUNCTION
#undef N_TERMS
#undef POLYNOMIAL
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef SIGN_BIT
#undef HIGH_HALF
#undef ONE_BITS
#undef SQRT_HALF_BITS
#undef INFINITE_BITS
#undef LOWEST_NORMAL
#undef TO_NORMAL
#undef TO_NORMAL_BITS
#undef ROUNDER
#undef LOG2_E
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_LOWEST
#undef EXP_HIGHEST
#undef EXPM1_LOWEST
#undef SIGMOID_REACH
#undef TANH_REACH
#undef ERFC_REACH
#undef GELU_REACH
