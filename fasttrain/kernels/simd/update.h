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

/* What comes before every rule, and the rule. */
FT_INLINE void SUFFIX(ft_update_vector)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                        int decays, int flags, SUFFIX(ft_step) step) {
    grad = s->grad_factor * grad;
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
    SUFFIX(ft_update_vector)(&p, g, v, s, decays, flags, step);
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

FT_INLINE VEC SUFFIX(ft_load_format)(const void *x, int format, ptrdiff_t i, ptrdiff_t count) {
#if REAL_IS_FLOAT
    if (format == FT_BFLOAT16)
        return ft_from_bfloat16(ft_load_u16((const uint16_t *)x + i, count));
    if (format == FT_HALF)
        return ft_from_float16(ft_load_u16((const uint16_t *)x + i, count));
#else
    (void)format;
#endif
    return count >= LANES ? LOAD((const REAL *)x + i) : LOAD_PARTIAL((const REAL *)x + i, count);
}

FT_INLINE void SUFFIX(ft_store_full)(REAL *x, ptrdiff_t i, ptrdiff_t count, VEC v) {
    if (count >= LANES)
        STORE(x + i, v);
    else
        STORE_PARTIAL(x + i, count, v);
}

/* All ones where the mask's byte is not zero. */
FT_INLINE IVEC SUFFIX(ft_kept)(const uint8_t *mask, ptrdiff_t count) {
    IVEC kept;
    for (int lane = 0; lane < LANES; lane++)
        kept[lane] = lane < count && mask[lane] ? -1 : 0;
    return kept;
}

FT_INLINE void SUFFIX(ft_update_general)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,
                                         const void *grad, const ft_update_scalars *scalars, SUFFIX(ft_step) step,
                                         int n_states) {
    const ft_float_state float_state = ft_flush_subnormals();
    const SUFFIX(ft_update_vectors) s = SUFFIX(ft_update_round)(scalars);
    const int decays = scalars->weight_decay != 0.0, flags = scalars->flags;
    const int clips = scalars->clip < __builtin_inf();
    const VEC clip = BROADCAST((REAL)scalars->clip);
    const uint8_t *mask = target->mask;
#if REAL_IS_FLOAT
    /* 8-bit state of a block, before it is encoded */
    _Alignas(64) float wide[FT_MAX_STATES][FT_BLOCK];
    ft_dice dice = {{0}, {0}, {0}};
    ft_dice_open(&dice);
#endif
    for (ptrdiff_t begin = start; begin < start + n; begin += FT_BLOCK) {
        const ptrdiff_t end = begin + FT_BLOCK < start + n ? begin + FT_BLOCK : start + n;
#if REAL_IS_FLOAT
        u32v top[FT_MAX_STATES] = {{0}};
        f32v unit[FT_MAX_STATES] = {{0}};
        ft_dice_seed(&dice, scalars->key ^ target->key, (uint64_t)(begin / FT_BLOCK));
        const ft_dice first = dice;
        FT_UNROLL
        for (int k = 0; k < n_states; k++)
            if (target->unit[k])
                unit[k] = ft_broadcast_f32(target->unit[k][begin / FT_BLOCK]);
#endif
        for (ptrdiff_t i = begin; i < end; i += LANES) {
            const ptrdiff_t count = end - i < LANES ? end - i : LANES;
            VEC p = SUFFIX(ft_load_format)(target->param, target->param_format, i, count), old_p = p;
            VEC g = SUFFIX(ft_load_format)(grad, target->grad_format, i, count);
            VEC v[FT_MAX_STATES] = {{0}}, old_v[FT_MAX_STATES];
            FT_UNROLL
            for (int k = 0; k < n_states; k++) {
#if REAL_IS_FLOAT
                const int format = target->state_format[k];
                if (format == FT_UNSIGNED_CODE)
                    v[k] = ft_from_unsigned_code(ft_load_u8((const uint8_t *)target->state[k] + i, count), unit[k]);
                else if (format == FT_SIGNED_CODE)
                    v[k] = ft_from_signed_code(ft_load_u8((const uint8_t *)target->state[k] + i, count), unit[k]);
                else
#endif
                    v[k] = SUFFIX(ft_load_format)(target->state[k], target->state_format[k], i, count);
                old_v[k] = v[k];
            }
            if (clips) { /* NaN stays */
                g = s.grad_factor * g;
                g = SELECT(g > clip, clip, SELECT(g < -clip, -clip, g));
                SUFFIX(ft_update_vectors) scaled = s;
                scaled.grad_factor = BROADCAST(1);
                SUFFIX(ft_update_vector)(&p, g, v, &scaled, decays, flags, step);
            } else {
                SUFFIX(ft_update_vector)(&p, g, v, &s, decays, flags, step);
            }
            if (mask) {
                const IVEC kept = SUFFIX(ft_kept)(mask + i, count);
                p = SELECT(kept, p, old_p);
                FT_UNROLL
                for (int k = 0; k < n_states; k++)
                    v[k] = SELECT(kept, v[k], old_v[k]);
            }
#if REAL_IS_FLOAT
            const u32v random = ft_dice_throw(&dice);
            if (target->param_format == FT_BFLOAT16)
                ft_store_u16((uint16_t *)target->param + i, count, ft_to_bfloat16(p, ft_dice_16(random, 2)));
            else
                ft_store_full_f32((float *)target->param, i, count, p);
            if (target->copy)
                ft_store_u16((uint16_t *)target->copy + i, count, ft_to_nearest_bfloat16(p));
            FT_UNROLL
            for (int k = 0; k < n_states; k++) {
                const int format = target->state_format[k];
                if (format == FT_NATIVE) {
                    ft_store_full_f32((float *)target->state[k], i, count, v[k]);
                } else if (format == FT_BFLOAT16) {
                    ft_store_u16((uint16_t *)target->state[k] + i, count, ft_to_bfloat16(v[k], ft_dice_16(random, k)));
                } else {
                    u32v size = FT_BITS(v[k]) & 0x7fffffff;
                    if (count < LANES)
                        size &= (u32v)FIRST_LANES(count);
                    top[k] = (u32v)ft_max_i32((i32v)size, (i32v)top[k]);
                    ft_store_f32(&wide[k][i - begin], v[k]);
                }
            }
#else
            ft_store_full_f64((double *)target->param, i, count, p);
            FT_UNROLL
            for (int k = 0; k < n_states; k++)
                ft_store_full_f64((double *)target->state[k], i, count, v[k]);
#endif
        }
#if REAL_IS_FLOAT
        f32v inverse[FT_MAX_STATES] = {{0}};
        int coded = 0;
        FT_UNROLL
        for (int k = 0; k < n_states; k++)
            if (target->unit[k]) {
                float *own = &target->unit[k][begin / FT_BLOCK];
                *own = ft_unit(*own * (float)scalars->state_decay[k], ft_top_lane(top[k]));
                inverse[k] = ft_broadcast_f32(*own > 0.0f ? 1.0f / *own : 0.0f);
                coded = 1;
            }
        if (!coded)
            continue;
        dice = first;
        for (ptrdiff_t i = begin; i < end; i += LANES) {
            const ptrdiff_t count = end - i < LANES ? end - i : LANES;
            const u32v random = ft_dice_throw(&dice);
            FT_UNROLL
            for (int k = 0; k < n_states; k++) {
                const int format = target->state_format[k];
                if (format != FT_UNSIGNED_CODE && format != FT_SIGNED_CODE)
                    continue;
                const f32v x = ft_load_f32(&wide[k][i - begin]);
                const u32v bits = ft_dice_20(random, k);
                ft_store_u8((uint8_t *)target->state[k] + i, count,
                            format == FT_UNSIGNED_CODE ? ft_to_unsigned_code(x, inverse[k], bits)
                                                       : ft_to_signed_code(x, inverse[k], bits));
            }
        }
#endif
    }
    ft_float_state_set(float_state);
}

/* ---- one loop for each rule ---------------------------------------------------------------------------------- */

#define FT_DEFINE_RULE(rule, n_states)                                                                       \
    static void SUFFIX(ft_##rule##_update)(ptrdiff_t n, REAL *param, const REAL *grad, REAL **state,         \
                                           int fetch, const ft_update_scalars *scalars) {                    \
        SUFFIX(ft_update_walk)(n, param, grad, state, fetch, scalars, SUFFIX(ft_##rule##_step), n_states);   \
    }                                                                                                        \
    static void SUFFIX(ft_##rule##_general)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,    \
                                            const void *grad, const ft_update_scalars *scalars) {            \
        SUFFIX(ft_update_general)(start, n, target, grad, scalars, SUFFIX(ft_##rule##_step), n_states);      \
    }

FT_DEFINE_RULE(sgd, 0)
FT_DEFINE_RULE(momentum, 1)
FT_DEFINE_RULE(adam, 2)
FT_DEFINE_RULE(amsgrad, 3)
FT_DEFINE_RULE(nadam, 2)
FT_DEFINE_RULE(radam, 2)
FT_DEFINE_RULE(adamax, 2)
FT_DEFINE_RULE(adagrad, 1)
FT_DEFINE_RULE(rmsprop, 1)
FT_DEFINE_RULE(rmsprop_momentum, 2)
FT_DEFINE_RULE(rmsprop_centered, 2)
FT_DEFINE_RULE(rmsprop_centered_momentum, 3)
FT_DEFINE_RULE(adadelta, 2)
FT_DEFINE_RULE(lion, 1)
FT_DEFINE_RULE(schedule_free, 2)
FT_DEFINE_RULE(average, 0)

#undef FT_DEFINE_RULE
#undef FT_RUN
#undef FT_FETCH_RUN
