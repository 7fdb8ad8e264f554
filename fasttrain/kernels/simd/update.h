/*
 * The walk of an update rule over a piece of memory: plain or general, and that of coded.h.
 *
 * Plain: parameters, gradients and state all of one floating-point type.  Runs of two cache lines of each stream at a
 * time; of arrays in memory the runs three ahead are fetched stream by stream, so that memory gives neighbours
 * together: up to a twentieth of the time, where several streams wait for nothing else.
 *
 * General: each stream in a format of its own (formats.h), widened to float in registers; parameters may be bfloat16,
 * alone or as a copy of float ones; elements may be left out by a mask, gradients clipped by value.  It goes by
 * blocks of FT_BLOCK elements; those of 8-bit state are coded.h's.
 *
 * The step is a constant of the inlined walk, which is a loop of its own for each rule.
 */
#if REAL_IS_FLOAT
#include "formats.h"
#include "narrow_adam.h"
#endif

#define FT_RUN (128 / (ptrdiff_t)sizeof(REAL))
#define FT_FETCH_RUN(x)                                                                                      \
    do {                                                                                                     \
        __builtin_prefetch((const char *)(x) + 384);                                                         \
        __builtin_prefetch((const char *)(x) + 448);                                                         \
    } while (0)

typedef void (*SUFFIX(ft_step))(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s, int flags);

/* The gradient as the rule gets it; NaN stays. */
FT_INLINE VEC SUFFIX(ft_taken)(VEC grad, VEC param, const SUFFIX(ft_update_vectors) * s, int clips, VEC clip,
                               int decays) {
    grad = s->grad_factor * grad;
    if (clips)
        grad = SELECT(grad > clip, clip, SELECT(grad < -clip, -clip, grad));
    return decays ? grad + s->weight_decay * param : grad;
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
    g = SUFFIX(ft_taken)(g, p, s, 0, g, decays);
    p = p * s->decay_factor;
    step(&p, g, v, s, flags);
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
   and that nothing is clipped, penalised or copied. */
enum { FT_ANY = 0, FT_BARE_FLOAT, FT_BARE_BFLOAT16 };
#endif

/* Bytes of an element as it is stored. */
FT_INLINE ptrdiff_t SUFFIX(ft_width)(int format) {
    return format == FT_NATIVE ? (ptrdiff_t)sizeof(REAL) : format == FT_BFLOAT16 || format == FT_HALF ? 2 : 1;
}

/* What narrow state and parameters need beside the scalars. */
typedef struct {
#if REAL_IS_FLOAT
    ft_dice dice;
    ft_narrow_adam adam;
#else
    char none;
#endif
} SUFFIX(ft_narrow);

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

/* A last block that is not whole, in padded copies of its streams. */
typedef struct {
    SUFFIX(ft_streams) own;
    size_t count;
    REAL padded[3 + FT_MAX_STATES][FT_BLOCK];
    uint8_t mask[FT_BLOCK];
} SUFFIX(ft_part);

static __attribute__((noinline)) void SUFFIX(ft_part_open)(SUFFIX(ft_part) * part, SUFFIX(ft_streams) * at,
                                                           const ft_update_target *target, ptrdiff_t count,
                                                           int n_states) {
    const SUFFIX(ft_streams) own = *at;
    memset(part, 0, sizeof *part);
    part->own = own;
    part->count = (size_t)count;
    at->param = memcpy(part->padded[0], own.param, part->count * SUFFIX(ft_width)(target->param_format));
    at->grad = memcpy(part->padded[1], own.grad, part->count * SUFFIX(ft_width)(target->grad_format));
    at->copy = own.copy ? part->padded[2] : NULL;
    at->mask = own.mask ? memcpy(part->mask, own.mask, part->count) : NULL;
    for (int k = 0; k < n_states; k++)
        at->state[k] =
            memcpy(part->padded[3 + k], own.state[k], part->count * SUFFIX(ft_width)(target->state_format[k]));
}
static __attribute__((noinline)) void SUFFIX(ft_part_close)(const SUFFIX(ft_part) * part,
                                                            const ft_update_target *target, int n_states) {
    const SUFFIX(ft_streams) own = part->own;
    memcpy(own.param, part->padded[0], part->count * SUFFIX(ft_width)(target->param_format));
    if (own.copy)
        memcpy(own.copy, part->padded[2], part->count * sizeof(uint16_t));
    for (int k = 0; k < n_states; k++)
        memcpy(own.state[k], part->padded[3 + k], part->count * SUFFIX(ft_width)(target->state_format[k]));
}

/* The streams from element i on. */
FT_INLINE SUFFIX(ft_streams) SUFFIX(ft_streams_at)(const ft_update_target *target, const void *grad, ptrdiff_t i,
                                                   int n_states) {
    SUFFIX(ft_streams) at = {
        .param = (char *)target->param + i * SUFFIX(ft_width)(target->param_format),
        .copy = target->copy ? (uint16_t *)target->copy + i : NULL,
        .grad = (const char *)grad + i * SUFFIX(ft_width)(target->grad_format),
        .mask = target->mask ? target->mask + i : NULL,
    };
    for (int k = 0; k < n_states; k++)
        at.state[k] = (char *)target->state[k] + i * SUFFIX(ft_width)(target->state_format[k]);
    return at;
}

/* One block whose state is not coded. */
FT_INLINE void SUFFIX(ft_update_block)(const SUFFIX(ft_streams) * streams, const ft_update_target *target,
                                       ptrdiff_t block, const ft_update_scalars *scalars,
                                       const SUFFIX(ft_update_vectors) * s, const SUFFIX(ft_narrow) * narrow,
                                       SUFFIX(ft_step) step, int n_states, int kinds, int storage) {
    const int decays = scalars->weight_decay != 0.0;
    const int clips = scalars->clip < __builtin_inf();
    const int flags = scalars->flags;
    const VEC clip = BROADCAST((REAL)scalars->clip);
    const SUFFIX(ft_streams) at = *streams;
    const ptrdiff_t param_width = SUFFIX(ft_width)(target->param_format);
    const ptrdiff_t grad_width = SUFFIX(ft_width)(target->grad_format);
#if REAL_IS_FLOAT
    const int param_format = target->param_format;
    const int rounds = storage == FT_STATES_BFLOAT16 || param_format == FT_BFLOAT16;
    ft_thrown thrown = {NULL, 0};
    if (rounds)
        thrown = ft_throw(&narrow->dice, scalars->key ^ target->key, (uint64_t)block);
#else
    (void)narrow, (void)block, (void)kinds, (void)storage;
#endif
    _Pragma("GCC unroll 1")
    for (ptrdiff_t i = 0; i < FT_BLOCK; i += LANES) {
        VEC p = SUFFIX(ft_load_format)(at.param, target->param_format, i), old_p = p;
        VEC g = SUFFIX(ft_load_format)(at.grad, target->grad_format, i);
        VEC v[FT_MAX_STATES] = {{0}}, old_v[FT_MAX_STATES];
        /* three blocks ahead, a line of each stream at a time: many at once fill the buffers that loads need, too */
        __builtin_prefetch((const char *)at.param + (3 * FT_BLOCK + i) * param_width);
        __builtin_prefetch((const char *)at.grad + (3 * FT_BLOCK + i) * grad_width);
        FT_UNROLL
        for (int k = 0; k < n_states; k++) {
#if REAL_IS_FLOAT
            if (storage == FT_STATES_BFLOAT16 && FT_KIND(kinds, k) != FT_WHOLE_STATE) {
                __builtin_prefetch((const uint16_t *)at.state[k] + 3 * FT_BLOCK + i);
                v[k] = ft_from_bfloat16(ft_load_u16((const uint16_t *)at.state[k] + i));
            } else
#endif
            {
                __builtin_prefetch((const REAL *)at.state[k] + 3 * FT_BLOCK + i);
                v[k] = LOAD((const REAL *)at.state[k] + i);
            }
            old_v[k] = v[k];
        }
        g = SUFFIX(ft_taken)(g, p, s, clips, clip, decays);
        p = p * s->decay_factor;
#if REAL_IS_FLOAT
        if (storage == FT_STATES_BFLOAT16 && step == ft_adam_step_f32) {
            const VEC nothing = {0};
            ft_narrow_adam_step(&p, narrow->adam.root * g, v, narrow->adam.mean_decay, nothing, s->beta2, nothing,
                                &narrow->adam, s);
        } else
#endif
            step(&p, g, v, s, flags);
        if (at.mask) {
            const IVEC kept = SUFFIX(ft_kept)(at.mask + i);
            p = SELECT(kept, p, old_p);
            FT_UNROLL
            for (int k = 0; k < n_states; k++)
                v[k] = SELECT(kept, v[k], old_v[k]);
        }
#if REAL_IS_FLOAT
        const u32v random = rounds ? ft_thrown_at(thrown, i) & 0xffff : (u32v){0};
        if (param_format == FT_BFLOAT16)
            ft_store_u16((uint16_t *)at.param + i, ft_to_bfloat16(p, random));
        else
            STORE((float *)at.param + i, p);
        if (at.copy)
            ft_store_u16((uint16_t *)at.copy + i, ft_to_nearest_bfloat16(p));
        FT_UNROLL
        for (int k = 0; k < n_states; k++)
            if (storage == FT_STATES_NATIVE || FT_KIND(kinds, k) == FT_WHOLE_STATE)
                STORE((float *)at.state[k] + i, v[k]);
            else
                ft_store_u16((uint16_t *)at.state[k] + i, ft_to_bfloat16(v[k], random));
#else
        STORE((double *)at.param + i, p);
        FT_UNROLL
        for (int k = 0; k < n_states; k++)
            STORE((double *)at.state[k] + i, v[k]);
#endif
    }
}

#if REAL_IS_FLOAT
#include "coded.h"
#endif

/* All blocks of elements start .. start + n - 1 whose state is not coded. */
FT_INLINE void SUFFIX(ft_update_blocks)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,
                                        const void *grad, const ft_update_scalars *scalars, SUFFIX(ft_step) step,
                                        int n_states, int kinds, int storage) {
    const ft_float_state float_state = ft_flush_subnormals();
    const SUFFIX(ft_update_vectors) s = SUFFIX(ft_update_round)(scalars);
    SUFFIX(ft_part) part;
    SUFFIX(ft_narrow) narrow;
#if REAL_IS_FLOAT
    if (storage == FT_STATES_BFLOAT16 && step == ft_adam_step_f32)
        narrow.adam = ft_narrow_adam_open(scalars, 1.0);
    if (storage == FT_STATES_BFLOAT16 || target->param_format == FT_BFLOAT16)
        ft_dice_open(&narrow.dice);
#endif
    for (ptrdiff_t i = start; i < start + n; i += FT_BLOCK) {
        SUFFIX(ft_streams) at = SUFFIX(ft_streams_at)(target, grad, i, n_states);
        const int is_whole = start + n - i >= FT_BLOCK;
        if (!is_whole)
            SUFFIX(ft_part_open)(&part, &at, target, start + n - i, n_states);
        SUFFIX(ft_update_block)(&at, target, i / FT_BLOCK, scalars, &s, &narrow, step, n_states, kinds, storage);
        if (!is_whole)
            SUFFIX(ft_part_close)(&part, target, n_states);
    }
    ft_float_state_set(float_state);
}

/* ---- one loop for each rule ---------------------------------------------------------------------------------- */

#if REAL_IS_FLOAT
/* FT_BARE_FLOAT or FT_BARE_BFLOAT16 where they hold. */
FT_INLINE int ft_bareness(const ft_update_target *target, const ft_update_scalars *scalars) {
    if (target->copy || scalars->clip < __builtin_inf() || scalars->weight_decay != 0.0 ||
        target->param_format != target->grad_format)
        return FT_ANY;
    return target->param_format == FT_NATIVE ? FT_BARE_FLOAT : FT_BARE_BFLOAT16;
}

/* bare: 1 for the rules that are worth two more loops over coded state, without what is not asked for. */
#define FT_DEFINE_GENERAL(rule, n_states, kinds, bare)                                                       \
    static void SUFFIX(ft_##rule##_general)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,    \
                                            const void *grad, const ft_update_scalars *scalars) {            \
        const int is_whole = n_states == 0 || FT_KIND(kinds, n_states - 1) == FT_WHOLE_STATE;                \
        const int format = is_whole ? FT_NATIVE : target->state_format[n_states - 1];                        \
        const int bareness = bare ? ft_bareness(target, scalars) : FT_ANY;                                   \
        if (format == FT_NATIVE)                                                                             \
            ft_update_blocks_f32(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,     \
                                 FT_STATES_NATIVE);                                                          \
        else if (format == FT_BFLOAT16)                                                                      \
            ft_update_blocks_f32(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,     \
                                 FT_STATES_BFLOAT16);                                                        \
        else if (bareness == FT_BARE_FLOAT)                                                                  \
            ft_update_coded(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,          \
                            FT_BARE_FLOAT);                                                                  \
        else if (bareness == FT_BARE_BFLOAT16)                                                               \
            ft_update_coded(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds,          \
                            FT_BARE_BFLOAT16);                                                               \
        else                                                                                                 \
            ft_update_coded(start, n, target, grad, scalars, ft_##rule##_step_f32, n_states, kinds, FT_ANY); \
    }
#else
#define FT_DEFINE_GENERAL(rule, n_states, kinds, bare)                                                       \
    static void SUFFIX(ft_##rule##_general)(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target,    \
                                            const void *grad, const ft_update_scalars *scalars) {            \
        ft_update_blocks_f64(start, n, target, grad, scalars, ft_##rule##_step_f64, n_states, kinds, 0);     \
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
FT_DEFINE_RULE(rmsprop_centered_momentum, 3, FT_KINDS(W, W, W), 0)
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
