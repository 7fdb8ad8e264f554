/*
 * The walk of an update rule over a piece of memory, in two ways.
 *
 * Plain: parameters, gradients and state all of one floating-point type.  Runs of two cache lines of each stream at a
 * time; of arrays in memory the runs three ahead are fetched stream by stream, so that memory gives neighbours
 * together: up to a twentieth of the time, where several streams wait for nothing else.
 *
 * General: each stream in a format of its own (formats.h), widened to float in registers; parameters may be bfloat16,
 * alone or as a copy of float ones; elements may be left out by a mask, gradients clipped by value.  It goes by
 * blocks of FT_BLOCK elements: those of 8-bit state are decoded in registers, updated, kept in the first-level cache
 * until the block's largest is known, and encoded.
 *
 * The step is a constant of the inlined walk, which is a loop of its own for each rule.
 */
#if REAL_IS_FLOAT
#include "formats.h"
#endif

#define FT_RUN (128 / (ptrdiff_t)sizeof(REAL))
#define FT_FETCH_RUN(x)                                                                                      \
    do {                                                                                                     \
        __builtin_prefetch((const char *)(x) + 384);                                                         \
        __builtin_prefetch((const char *)(x) + 448);                                                         \
    } while (0)

typedef void (*SUFFIX(ft_step))(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s, int flags);

/* What comes between the gradient, multiplied by grad_factor, and the rule, and the rule. */
FT_INLINE void SUFFIX(ft_update_vector)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                        int decays, int flags, SUFFIX(ft_step) step) {
    if (decays)
        grad = grad + s->weight_decay * *param;
    *param = *param * s->decay_factor;
    step(param, grad, state, s, flags);
}

/* ---- plain ------------------------------------------------------------------------------------------------ */

FT_INLINE void SUFFIX(ft_update_at)(ptrdiff_t i, ptrdiff_t count, REAL *param, const REAL *grad, REAL *const *state,
                                    const SUFFIX(ft_update_vectors) * s, int decays, int flags, SUFFIX(ft_step) step,
                                    int n_states) {
    const int whole = count >= LANES;
    VEC p = whole ? LOAD(param + i) : LOAD_PARTIAL(param + i, count);
    VEC g = whole ? LOAD(grad + i) : LOAD_PARTIAL(grad + i, count);
    VEC v[FT_MAX_STATES] = {{0}};
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        v[k] = whole ? LOAD(state[k] + i) : LOAD_PARTIAL(state[k] + i, count);
    SUFFIX(ft_update_vector)(&p, s->grad_factor * g, v, s, decays, flags, step);
    if (whole)
        STORE(param + i, p);
    else
        STORE_PARTIAL(param + i, count, p);
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (whole)
            STORE(state[k] + i, v[k]);
        else
            STORE_PARTIAL(state[k] + i, count, v[k]);
}

FT_INLINE void SUFFIX(ft_update_walk)(ptrdiff_t n, REAL *param, const REAL *grad, REAL **states, int fetch,
                                      const ft_update_scalars *scalars, SUFFIX(ft_step) step, int n_states) {
    const ft_float_state float_state = ft_flush_subnormals();
    const SUFFIX(ft_update_vectors) s = SUFFIX(ft_update_round)(scalars);
    const int decays = scalars->weight_decay != 0.0, flags = scalars->flags;
    REAL *state[FT_MAX_STATES];
    for (int k = 0; k < n_states; k++)
        state[k] = states[k];
    ptrdiff_t i = 0;
    for (; i + FT_RUN <= n; i += FT_RUN) {
        if (fetch) {
            FT_FETCH_RUN(grad + i);
            FT_FETCH_RUN(param + i);
            FT_UNROLL
            for (int k = 0; k < n_states; k++)
                FT_FETCH_RUN(state[k] + i);
        }
        for (ptrdiff_t j = i; j < i + FT_RUN; j += LANES)
            SUFFIX(ft_update_at)(j, LANES, param, grad, state, &s, decays, flags, step, n_states);
    }
    for (; i + LANES <= n; i += LANES)
        SUFFIX(ft_update_at)(i, LANES, param, grad, state, &s, decays, flags, step, n_states);
    if (i < n)
        SUFFIX(ft_update_at)(i, n - i, param, grad, state, &s, decays, flags, step, n_states);
    ft_float_state_set(float_state);
}

/* ---- general ----------------------------------------------------------------------------------------------- */

/* Which of a rule's states holds what: two bits for each state in turn, FT_SIGNED_STATE and so on. */
#define FT_KIND(kinds, k) ((kinds) >> 2 * (k) & 3)

#if REAL_IS_FLOAT
/* How the states of a rule are stored, all in one way but whole ones; constants of the inlined block. */
enum { FT_STATES_NATIVE = 0, FT_STATES_BFLOAT16, FT_STATES_CODED };
/* What is known of the rest while compiling: nothing, or that parameters and gradients are both float or both bfloat16,
   and that nothing is masked, clipped, penalised or copied.  Tests of what does not change cost an eighth of the time. */
enum { FT_ANY = 0, FT_BARE_FLOAT, FT_BARE_BFLOAT16 };
#endif

/* Bytes of an element as it is stored. */
FT_INLINE ptrdiff_t SUFFIX(ft_width)(int format) {
    return format == FT_NATIVE ? (ptrdiff_t)sizeof(REAL) : format == FT_BFLOAT16 || format == FT_HALF ? 2 : 1;
}

/* Streams of a block of FT_BLOCK elements; the states' units and keys are the target's. */
typedef struct {
    void *param, *copy, *state[FT_MAX_STATES];
    const void *grad;
    const uint8_t *mask;
} SUFFIX(ft_streams);

FT_INLINE VEC SUFFIX(ft_load_format)(const void *x, int format, ptrdiff_t i) {
#if REAL_IS_FLOAT
    if (format == FT_BFLOAT16)
        return ft_from_bfloat16(ft_load_u16((const uint16_t *)x + i));
    if (format == FT_HALF)
        return ft_from_float16(ft_load_u16((const uint16_t *)x + i));
#else
    (void)format;
#endif
    return LOAD((const REAL *)x + i);
}

/* All ones where the mask's byte is not zero. */
FT_INLINE IVEC SUFFIX(ft_kept)(const uint8_t *mask) {
    IVEC kept;
    for (int lane = 0; lane < LANES; lane++)
        kept[lane] = mask[lane] ? -1 : 0;
    return kept;
}

#if REAL_IS_FLOAT
/* Coded state of a block that has been updated, before it is encoded, with the largest of its bits and the random
   numbers of its first elements. */
typedef struct {
    _Alignas(64) float wide[FT_MAX_STATES][FT_BLOCK];
    u32v top[FT_MAX_STATES], random;
    float inverse[FT_MAX_STATES];
    float *unit[FT_MAX_STATES];
    uint8_t *state[FT_MAX_STATES];
    const char *param, *grad; /* of the next block */
    ptrdiff_t param_width, grad_width;
} ft_uncoded;

FT_INLINE void ft_set_units(ft_uncoded *block, const ft_update_scalars *scalars, int n_states, int kinds) {
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (FT_KIND(kinds, k) != FT_WHOLE_STATE) {
            const float unit = ft_unit(*block->unit[k] * (float)scalars->state_decay[k], ft_top_lane(block->top[k]));
            *block->unit[k] = unit;
            block->inverse[k] = unit > 0.0f ? 1.0f / unit : 0.0f;
        }
}

/* Memory is idle meanwhile, but for the next block, which is fetched here: a quarter of the time of float parameters in
   memory. */
FT_INLINE void ft_encode_block(const ft_uncoded *block, const ft_dice *dice, int n_states, int kinds) {
    u32v random = block->random;
    f32v inverse[FT_MAX_STATES] = {{0}};
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        inverse[k] = ft_broadcast_f32(block->inverse[k]);
    _Pragma("GCC unroll 1")
    for (ptrdiff_t i = 0; i < FT_BLOCK; i += FT_LANES_f32) {
        FT_UNROLL
        for (int k = 0; k < n_states; k++) {
            const f32v x = ft_load_f32(&block->wide[k][i]);
            const u32v bits = ft_dice_20(random, k);
            if (FT_KIND(kinds, k) == FT_UNSIGNED_STATE)
                ft_store_u8(block->state[k] + i, ft_to_unsigned_code(x, inverse[k], bits));
            else if (FT_KIND(kinds, k) == FT_SIGNED_STATE)
                ft_store_u8(block->state[k] + i, ft_to_signed_code(x, inverse[k], bits));
        }
        random = ft_dice_next(dice, random);
        __builtin_prefetch(block->param + i * block->param_width);
        __builtin_prefetch(block->grad + i * block->grad_width);
        if (i % 64 == 0) {
            FT_UNROLL
            for (int k = 0; k < n_states; k++)
                if (FT_KIND(kinds, k) != FT_WHOLE_STATE)
                    __builtin_prefetch(block->state[k] + FT_BLOCK + i);
        }
    }
}
#endif

/* One block; coded state is left in `uncoded`. */
FT_INLINE void SUFFIX(ft_update_block)(const SUFFIX(ft_streams) * streams, const ft_update_target *target,
                                       ptrdiff_t block, const ft_update_scalars *scalars,
                                       const SUFFIX(ft_update_vectors) * s, const void *dice_pointer,
                                       void *uncoded_pointer, SUFFIX(ft_step) step, int n_states, int kinds,
                                       int storage, int bare) {
    const int decays = !bare && scalars->weight_decay != 0.0;
    const int flags = scalars->flags;
    const int clips = !bare && scalars->clip < __builtin_inf();
    const VEC clip = BROADCAST((REAL)scalars->clip), nothing = {0};
    const SUFFIX(ft_streams) at = *streams;
    const uint8_t *mask = bare ? NULL : at.mask;
    const int bare_format = bare == 2 ? FT_BFLOAT16 : FT_NATIVE;
    const int param_format = bare ? bare_format : target->param_format;
    const int grad_format = bare ? bare_format : target->grad_format;
#if REAL_IS_FLOAT
    uint16_t *copy = bare ? NULL : (uint16_t *)at.copy;
    const ft_dice *dice = (const ft_dice *)dice_pointer;
    ft_uncoded *uncoded = (ft_uncoded *)uncoded_pointer;
    u32v top[FT_MAX_STATES] = {{0}}, random = {0};
    f32v unit[FT_MAX_STATES] = {{0}};
    const int rounds = storage == FT_STATES_BFLOAT16 || param_format == FT_BFLOAT16;
    if (rounds || storage == FT_STATES_CODED)
        random = ft_dice_first(dice, scalars->key ^ target->key, (uint64_t)block);
    if (storage == FT_STATES_CODED)
        uncoded->random = random;
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (storage == FT_STATES_CODED && FT_KIND(kinds, k) != FT_WHOLE_STATE)
            unit[k] = ft_broadcast_f32(target->unit[k][block]);
#else
    (void)dice_pointer, (void)uncoded_pointer, (void)block, (void)kinds, (void)storage;
#endif
    _Pragma("GCC unroll 1")
    for (ptrdiff_t i = 0; i < FT_BLOCK; i += LANES) {
        VEC p = SUFFIX(ft_load_format)(at.param, param_format, i), old_p = p;
        VEC g = SUFFIX(ft_load_format)(at.grad, grad_format, i);
        VEC v[FT_MAX_STATES] = {{0}}, old_v[FT_MAX_STATES];
        FT_UNROLL
        for (int k = 0; k < n_states; k++) {
#if REAL_IS_FLOAT
            const uint8_t *codes = (const uint8_t *)at.state[k] + i;
            if (storage == FT_STATES_BFLOAT16 && FT_KIND(kinds, k) != FT_WHOLE_STATE)
                v[k] = ft_from_bfloat16(ft_load_u16((const uint16_t *)at.state[k] + i));
            else if (storage == FT_STATES_CODED && FT_KIND(kinds, k) == FT_UNSIGNED_STATE)
                v[k] = ft_from_unsigned_code(ft_load_high_u8(codes), unit[k]);
            else if (storage == FT_STATES_CODED && FT_KIND(kinds, k) == FT_SIGNED_STATE)
                v[k] = ft_from_signed_code(ft_load_high_u8(codes), unit[k]);
            else
#endif
                v[k] = LOAD((const REAL *)at.state[k] + i);
            old_v[k] = v[k];
        }
        g = s->grad_factor * g;
        if (clips) /* NaN stays */
            g = SELECT(g > clip, clip, SELECT(g < nothing - clip, nothing - clip, g));
        SUFFIX(ft_update_vector)(&p, g, v, s, decays, flags, step);
        if (mask) {
            const IVEC kept = SUFFIX(ft_kept)(mask + i);
            p = SELECT(kept, p, old_p);
            FT_UNROLL
            for (int k = 0; k < n_states; k++)
                v[k] = SELECT(kept, v[k], old_v[k]);
        }
#if REAL_IS_FLOAT
        if (param_format == FT_BFLOAT16)
            ft_store_u16((uint16_t *)at.param + i, ft_to_bfloat16(p, ft_dice_16(random, 0)));
        else
            STORE((float *)at.param + i, p);
        if (copy)
            ft_store_u16(copy + i, ft_to_nearest_bfloat16(p));
        FT_UNROLL
        for (int k = 0; k < n_states; k++) {
            if (storage == FT_STATES_NATIVE || FT_KIND(kinds, k) == FT_WHOLE_STATE) {
                STORE((float *)at.state[k] + i, v[k]);
            } else if (storage == FT_STATES_BFLOAT16) {
                ft_store_u16((uint16_t *)at.state[k] + i, ft_to_bfloat16(v[k], ft_dice_16(random, k)));
            } else {
                const u32v bits = FT_BITS(v[k]); /* a negative NaN is the largest number, too */
                top[k] = ft_max_u32(FT_KIND(kinds, k) == FT_UNSIGNED_STATE ? bits : bits & FT_MAGNITUDE, top[k]);
                STORE(&uncoded->wide[k][i], v[k]);
            }
        }
        if (rounds)
            random = ft_dice_next(dice, random);
#else
        STORE((double *)at.param + i, p);
        FT_UNROLL
        for (int k = 0; k < n_states; k++)
            STORE((double *)at.state[k] + i, v[k]);
#endif
    }
#if REAL_IS_FLOAT
    if (storage == FT_STATES_CODED) {
        uncoded->param_width = ft_width_f32(param_format);
        uncoded->grad_width = ft_width_f32(grad_format);
        uncoded->param = (const char *)at.param + FT_BLOCK * uncoded->param_width;
        uncoded->grad = (const char *)at.grad + FT_BLOCK * uncoded->grad_width;
    }
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (storage == FT_STATES_CODED && FT_KIND(kinds, k) != FT_WHOLE_STATE) {
            uncoded->top[k] = top[k];
            uncoded->unit[k] = &target->unit[k][block];
            uncoded->state[k] = at.state[k];
        }
#endif
}

/* All blocks of elements start .. start + n - 1; the last, where it is not whole, in padded copies of its streams. */
FT_INLINE void SUFFIX(ft_update_blocks)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,
                                        const void *grad, const ft_update_scalars *scalars, SUFFIX(ft_step) step,
                                        int n_states, int kinds, int storage, int bare) {
    const ft_float_state float_state = ft_flush_subnormals();
    const SUFFIX(ft_update_vectors) s = SUFFIX(ft_update_round)(scalars);
    const ptrdiff_t param_width = SUFFIX(ft_width)(target->param_format);
    const ptrdiff_t grad_width = SUFFIX(ft_width)(target->grad_format);
    ptrdiff_t state_width[FT_MAX_STATES];
    for (int k = 0; k < n_states; k++)
        state_width[k] = SUFFIX(ft_width)(target->state_format[k]);
#if REAL_IS_FLOAT
    ft_dice dice;
    ft_uncoded uncoded;
    ft_dice_open(&dice);
#endif
    for (ptrdiff_t i = start; i < start + n; i += FT_BLOCK) {
        const ptrdiff_t count = start + n - i < FT_BLOCK ? start + n - i : FT_BLOCK;
        REAL padded[3 + FT_MAX_STATES][FT_BLOCK];
        uint8_t mask[FT_BLOCK];
        SUFFIX(ft_streams) at = {
            .param = (char *)target->param + i * param_width,
            .copy = target->copy ? (uint16_t *)target->copy + i : NULL,
            .grad = (const char *)grad + i * grad_width,
            .mask = target->mask ? target->mask + i : NULL,
        };
        for (int k = 0; k < n_states; k++)
            at.state[k] = (char *)target->state[k] + i * state_width[k];
        const SUFFIX(ft_streams) own = at;
        if (count < FT_BLOCK) {
            memset(padded, 0, sizeof padded);
            memset(mask, 0, sizeof mask);
            at.param = memcpy(padded[0], own.param, (size_t)(count * param_width));
            at.grad = memcpy(padded[1], own.grad, (size_t)(count * grad_width));
            at.copy = own.copy ? padded[2] : NULL;
            at.mask = own.mask ? memcpy(mask, own.mask, (size_t)count) : NULL;
            for (int k = 0; k < n_states; k++)
                at.state[k] = memcpy(padded[3 + k], own.state[k], (size_t)(count * state_width[k]));
        }
#if REAL_IS_FLOAT
        ft_update_block_f32(&at, target, i / FT_BLOCK, scalars, &s, &dice, &uncoded, step, n_states, kinds,
                            storage, bare);
        if (storage == FT_STATES_CODED) {
            ft_set_units(&uncoded, scalars, n_states, kinds);
            ft_encode_block(&uncoded, &dice, n_states, kinds);
        }
#else
        ft_update_block_f64(&at, target, i / FT_BLOCK, scalars, &s, NULL, NULL, step, n_states, kinds, storage, bare);
#endif
        if (count < FT_BLOCK) {
            memcpy(own.param, at.param, (size_t)(count * param_width));
            if (own.copy)
                memcpy(own.copy, at.copy, (size_t)count * sizeof(uint16_t));
            for (int k = 0; k < n_states; k++)
                memcpy(own.state[k], at.state[k], (size_t)(count * state_width[k]));
        }
    }
    ft_float_state_set(float_state);
}

/* ---- one loop for each rule ---------------------------------------------------------------------------------- */

#if REAL_IS_FLOAT
/* FT_BARE_FLOAT or FT_BARE_BFLOAT16 where they hold. */
FT_INLINE int ft_bareness(const ft_update_target *target, const ft_update_scalars *scalars) {
    if (target->mask || target->copy || scalars->clip < __builtin_inf() || scalars->weight_decay != 0.0 ||
        target->param_format != target->grad_format)
        return FT_ANY;
    return target->param_format == FT_NATIVE ? FT_BARE_FLOAT : FT_BARE_BFLOAT16;
}

/* bare: 1 for the rules that are worth two more loops over coded state, without what is not asked for. */
#define FT_DEFINE_GENERAL(rule, n_states, kinds, bare)                                                       \
    static void SUFFIX(ft_##rule##_general)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,    \
                                            const void *grad, const ft_update_scalars *scalars) {            \
        const int format = n_states ? target->state_format[n_states - 1] : FT_NATIVE;                        \
        const int bareness = bare ? ft_bareness(target, scalars) : FT_ANY;                                   \
        if (format == FT_NATIVE)                                                                             \
            ft_update_blocks_f32(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,     \
                                 FT_STATES_NATIVE, FT_ANY);                                                  \
        else if (format == FT_BFLOAT16)                                                                      \
            ft_update_blocks_f32(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,     \
                                 FT_STATES_BFLOAT16, FT_ANY);                                                \
        else if (bareness == FT_BARE_FLOAT)                                                                  \
            ft_update_blocks_f32(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,     \
                                 FT_STATES_CODED, FT_BARE_FLOAT);                                            \
        else if (bareness == FT_BARE_BFLOAT16)                                                               \
            ft_update_blocks_f32(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,     \
                                 FT_STATES_CODED, FT_BARE_BFLOAT16);                                         \
        else                                                                                                 \
            ft_update_blocks_f32(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,     \
                                 FT_STATES_CODED, FT_ANY);                                                   \
    }
#else
#define FT_DEFINE_GENERAL(rule, n_states, kinds, bare)                                                       \
    static void SUFFIX(ft_##rule##_general)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,    \
                                            const void *grad, const ft_update_scalars *scalars) {            \
        ft_update_blocks_f64(start, n, target, grad, scalars, ft_##rule##_step_f64, n_states, kinds, 0, 0);  \
    }
#endif

#define FT_DEFINE_RULE(rule, n_states, kinds, bare)                                                          \
    static void SUFFIX(ft_##rule##_update)(ptrdiff_t n, REAL *param, const REAL *grad, REAL **state,         \
                                           int fetch, const ft_update_scalars *scalars) {                    \
        SUFFIX(ft_update_walk)(n, param, grad, state, fetch, scalars, SUFFIX(ft_##rule##_step), n_states);   \
    }                                                                                                        \
    FT_DEFINE_GENERAL(rule, n_states, kinds, bare)

/* What each state of a rule holds, in the order of its states; rules.pyx has the same list with their names. */
#define FT_KINDS(a, b, c) ((a) | (b) << 2 | (c) << 4)
#define S FT_SIGNED_STATE
#define U FT_UNSIGNED_STATE
#define W FT_WHOLE_STATE

FT_DEFINE_RULE(sgd, 0, 0, 0)
FT_DEFINE_RULE(momentum, 1, FT_KINDS(S, 0, 0), 1)
FT_DEFINE_RULE(adam, 2, FT_KINDS(S, U, 0), 1)
FT_DEFINE_RULE(amsgrad, 3, FT_KINDS(S, U, U), 0)
FT_DEFINE_RULE(nadam, 2, FT_KINDS(S, U, 0), 0)
FT_DEFINE_RULE(radam, 2, FT_KINDS(S, U, 0), 0)
FT_DEFINE_RULE(adamax, 2, FT_KINDS(S, U, 0), 0)
FT_DEFINE_RULE(adagrad, 1, FT_KINDS(U, 0, 0), 0)
FT_DEFINE_RULE(rmsprop, 1, FT_KINDS(U, 0, 0), 0)
FT_DEFINE_RULE(rmsprop_momentum, 2, FT_KINDS(U, S, 0), 0)
FT_DEFINE_RULE(rmsprop_centered, 2, FT_KINDS(W, W, 0), 0)
FT_DEFINE_RULE(rmsprop_centered_momentum, 3, FT_KINDS(W, W, S), 0)
FT_DEFINE_RULE(adadelta, 2, FT_KINDS(U, U, 0), 0)
FT_DEFINE_RULE(lion, 1, FT_KINDS(S, 0, 0), 1)
FT_DEFINE_RULE(schedule_free, 2, FT_KINDS(W, U, 0), 0)
FT_DEFINE_RULE(average, 0, 0, 0)

#undef S
#undef U
#undef W
#undef FT_KINDS
#undef FT_KIND
#undef FT_DEFINE_GENERAL
#undef FT_DEFINE_RULE
#undef FT_RUN
#undef FT_FETCH_RUN
