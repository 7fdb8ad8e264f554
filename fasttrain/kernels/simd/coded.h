/*
 * The walk over 8-bit state: each vector is decoded, updated and encoded in registers, in one pass but for a look at the
 * gradients and the codes of the next block.
 *
 * For that the units of a block must be known before its new numbers are.  They are chosen for a bound of these, which
 * the rule gives (`top` of the scalars) from the largest number so far, by its code, and the largest gradient.  A bound
 * that is too large by a binade costs one of the 15 or 31 binades that the codes have, and no precision.
 *
 * Adam moves its means straight from the codes' floats: narrow_adam.h.
 */
typedef struct {
    float unit[FT_MAX_STATES], inverse[FT_MAX_STATES]; /* the old units; 1 / the new ones */
} ft_units;
/* state_decay, top and |grad_factor| of the scalars. */
typedef struct {
    float decay[FT_MAX_STATES], top[FT_MAX_STATES][5], grad_factor;
} ft_bounds;

FT_INLINE ft_bounds ft_bounds_open(const ft_update_scalars *scalars, int n_states) {
    ft_bounds bounds = {.grad_factor = __builtin_fabsf((float)scalars->grad_factor)};
    for (int k = 0; k < n_states; k++) {
        bounds.decay[k] = (float)scalars->state_decay[k];
        for (int term = 0; term < 5; term++)
            bounds.top[k][term] = (float)scalars->top[k][term];
    }
    if (scalars->flags & FT_FIRST_STEP) /* the gradient itself */
        bounds.top[0][1] = 1.0f;
    return bounds;
}

/* The largest magnitude of a block's gradients, as the rule gets them; NaN where one is NaN. */
FT_INLINE float ft_largest_gradient(const ft_streams_f32 *at, const ft_update_target *target,
                                    const ft_update_scalars *scalars, const ft_update_vectors_f32 *s, int bare) {
    u32v top = {0};
    if (bare == FT_BARE_BFLOAT16) {
        FT_UNROLL
        for (ptrdiff_t i = 0; i < FT_BLOCK; i += 2 * FT_LANES_f32)
            top = ft_max_u16(top, *(const u32u *)((const uint16_t *)at->grad + i) & FT_SPLAT(0x7fff7fff));
        top = ft_max_u16(top, top << 16) & 0xffff0000;
    } else if (bare) {
        FT_UNROLL
        for (ptrdiff_t i = 0; i < FT_BLOCK; i += FT_LANES_f32)
            top = ft_max_u32(top, FT_BITS(ft_load_f32((const float *)at->grad + i)) & FT_MAGNITUDE);
    } else {
        const int decays = scalars->weight_decay != 0.0, clips = scalars->clip < __builtin_inf();
        const f32v clip = ft_broadcast_f32((float)scalars->clip);
        _Pragma("GCC unroll 1")
        for (ptrdiff_t i = 0; i < FT_BLOCK; i += FT_LANES_f32) {
            const f32v p = ft_load_format_f32(at->param, target->param_format, i);
            const f32v g = ft_load_format_f32(at->grad, target->grad_format, i);
            top = ft_max_u32(top, FT_BITS(ft_taken_f32(g, p, s, clips, clip, decays)) & FT_MAGNITUDE);
        }
    }
    return ft_float_of(ft_top_lane(top));
}

FT_INLINE void ft_next_units(const ft_streams_f32 *at, const ft_update_target *target, ptrdiff_t block,
                             const ft_update_scalars *scalars, const ft_update_vectors_f32 *s,
                             const ft_bounds *bounds, int n_states, int kinds, int bare, ft_units *units) {
    const float factor = bare ? bounds->grad_factor : 1.0f;
    const float largest = factor * ft_largest_gradient(at, target, scalars, s, bare);
    float bound = 0.0f;
    FT_UNROLL
    for (int k = 0; k < n_states; k++) {
        const int has_sign = FT_KIND(kinds, k) == FT_SIGNED_STATE;
        if (FT_KIND(kinds, k) == FT_WHOLE_STATE)
            continue;
        const uint32_t base = has_sign ? FT_SIGNED_BASE : FT_UNSIGNED_BASE;
        const float z = ft_float_of(base + (ft_top_code((const uint8_t *)at->state[k], has_sign) << 20));
        const float *top = bounds->top[k];
        float *unit = &target->unit[k][block];
        const float first = top[1] * largest > top[4] ? top[4] : top[1] * largest; /* NaN stays */
        const float of_grad = first + (top[2] * largest) * largest + top[3];
        const float own = (z - ft_float_of(base)) * (top[0] * *unit) + of_grad;
        const float decayed = *unit * bounds->decay[k];
        bound = k == 2 && (bound > own || bound != bound) ? bound : own; /* a third state is a maximum of the second */
        /* one NaN only: bfloat16 parameters must not get any of its lower bits */
        units->unit[k] = *unit == *unit ? *unit : __builtin_nanf("");
        *unit = ft_unit(decayed, bound, &units->inverse[k]);
    }
}
/* Out of line: for the rules that are not worth its size each. */
static __attribute__((noinline)) void ft_any_next_units(const ft_streams_f32 *at, const ft_update_target *target,
                                                        ptrdiff_t block, const ft_update_scalars *scalars,
                                                        const ft_update_vectors_f32 *s, const ft_bounds *bounds,
                                                        int n_states, int kinds, ft_units *units) {
    ft_next_units(at, target, block, scalars, s, bounds, n_states, kinds, FT_ANY, units);
}

/* What is the same for all vectors of a block. */
typedef struct {
    const ft_update_vectors_f32 *s;
    ft_thrown thrown;
    f32v unit[FT_MAX_STATES], inverse[FT_MAX_STATES], clip;
    ft_narrow_adam adam;
    f32v mean_unit, square_unit; /* Adam: beta1 and beta2 times the units */
    int decays, clips, flags, param_format, grad_format;
    ptrdiff_t param_width, grad_width;
} ft_coding;

/* Vector j of the four from i on: everything but the stores of codes and of parameters in pairs. */
FT_INLINE void ft_coded_vector(const ft_streams_f32 *at, ptrdiff_t i, int j, const ft_coding *c, ft_step_f32 step,
                               int n_states, int kinds, int bare, u32v (*codes)[4], u32v *rounded) {
    const ptrdiff_t place = i + j * FT_LANES_f32, pair = i + j / 2 * 2 * FT_LANES_f32;
    const int is_adam = step == ft_adam_step_f32;
    const ptrdiff_t width = bare == FT_BARE_BFLOAT16 ? 2 : 4;
    const ptrdiff_t far = place + 4 * FT_BLOCK;
    f32v p, g, v[FT_MAX_STATES] = {{0}};
    u32v high[FT_MAX_STATES];
    if (bare != FT_BARE_BFLOAT16 || j % 2 == 0) {
        __builtin_prefetch((const char *)at->param + far * (bare ? width : c->param_width));
        __builtin_prefetch((const char *)at->grad + far * (bare ? width : c->grad_width));
    }
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (FT_KIND(kinds, k) == FT_WHOLE_STATE)
            __builtin_prefetch((const float *)at->state[k] + far);
        else if (j == 0)
            __builtin_prefetch((const uint8_t *)at->state[k] + far);
    if (bare == FT_BARE_BFLOAT16) {
        p = (f32v)ft_load_of_pair((const uint16_t *)at->param + pair, j & 1);
        g = (f32v)ft_load_of_pair((const uint16_t *)at->grad + pair, j & 1);
    } else {
        p = ft_load_format_f32(at->param, bare ? FT_NATIVE : c->param_format, place);
        g = ft_load_format_f32(at->grad, bare ? FT_NATIVE : c->grad_format, place);
    }
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (FT_KIND(kinds, k) == FT_WHOLE_STATE)
            v[k] = ft_load_f32((const float *)at->state[k] + place);
        else
            high[k] = ft_load_high_u8((const uint8_t *)at->state[k] + place);
    if (!is_adam || !bare) /* or else by adam.root */
        g = ft_taken_f32(g, p, c->s, c->clips, c->clip, !bare && c->decays);
    p = p * c->s->decay_factor;
    if (is_adam) {
        v[0] = ft_z_of_signed(high[0]);
        v[1] = ft_z_of_unsigned(high[1]);
        ft_narrow_adam_step(&p, c->adam.root * g, v, c->mean_unit,
                            ft_with_sign(c->mean_unit * ft_broadcast_f32(0x1p-15f), (f32v)high[0]), c->square_unit,
                            c->square_unit * ft_broadcast_f32(0x1p-31f), &c->adam, c->s);
    } else {
        FT_UNROLL
        for (int k = 0; k < n_states; k++)
            if (FT_KIND(kinds, k) == FT_UNSIGNED_STATE)
                v[k] = ft_from_unsigned_code(high[k], c->unit[k]);
            else if (FT_KIND(kinds, k) == FT_SIGNED_STATE)
                v[k] = ft_from_signed_code(high[k], c->unit[k]);
        step(&p, g, v, c->s, c->flags);
    }
    const u32v random = ft_thrown_at(c->thrown, place);
    if (bare == FT_BARE_BFLOAT16) /* no NaN of parameters, gradients or units has lower bits, so none wraps */
        rounded[j] = FT_BITS(p) + (random & 0xffff);
    else if (!bare && c->param_format == FT_BFLOAT16)
        ft_store_u16((uint16_t *)at->param + place, ft_to_bfloat16(p, random & 0xffff));
    else
        ft_store_f32((float *)at->param + place, p);
    if (!bare && at->copy)
        ft_store_u16((uint16_t *)at->copy + place, ft_to_nearest_bfloat16(p));
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (FT_KIND(kinds, k) == FT_WHOLE_STATE)
            ft_store_f32((float *)at->state[k] + place, v[k]);
        else if (FT_KIND(kinds, k) == FT_UNSIGNED_STATE)
            codes[k][j] = ft_to_unsigned_code(v[k], c->inverse[k], random);
        else
            codes[k][j] = ft_to_signed_code(v[k], c->inverse[k], random);
}

FT_INLINE void ft_store_coded(const ft_streams_f32 *at, ptrdiff_t i, int n_states, int kinds, int bare,
                              u32v (*codes)[4], const u32v *rounded) {
    FT_UNROLL
    for (int k = 0; k < n_states; k++)
        if (FT_KIND(kinds, k) != FT_WHOLE_STATE)
            ft_store_codes((uint8_t *)at->state[k] + i, codes[k], FT_KIND(kinds, k) == FT_SIGNED_STATE);
    if (bare == FT_BARE_BFLOAT16) {
        ft_store_pair((uint16_t *)at->param + i, rounded[0], rounded[1]);
        ft_store_pair((uint16_t *)at->param + i + 2 * FT_LANES_f32, rounded[2], rounded[3]);
    }
}

/* What is the same for all blocks. */
FT_INLINE void ft_coding_open(ft_coding *c, const ft_update_target *target, const ft_update_scalars *scalars,
                              const ft_update_vectors_f32 *s, int bare) {
    c->s = s;
    c->clip = ft_broadcast_f32((float)scalars->clip);
    c->adam = ft_narrow_adam_open(scalars, bare ? scalars->grad_factor : 1.0);
    c->decays = scalars->weight_decay != 0.0;
    c->clips = !bare && scalars->clip < __builtin_inf();
    c->flags = scalars->flags;
    c->param_format = target->param_format;
    c->grad_format = target->grad_format;
    c->param_width = ft_width_f32(target->param_format);
    c->grad_width = ft_width_f32(target->grad_format);
}

FT_INLINE void ft_coded_block(const ft_streams_f32 *streams, ft_coding *coding, ft_units units, ft_step_f32 step,
                              int n_states, int kinds, int bare) {
    const ft_streams_f32 at = *streams;
    FT_UNROLL
    for (int k = 0; k < n_states; k++) {
        coding->unit[k] = ft_broadcast_f32(units.unit[k]);
        coding->inverse[k] = ft_broadcast_f32(units.inverse[k]);
    }
    if (step == ft_adam_step_f32) {
        coding->mean_unit = coding->unit[0] * coding->adam.mean_decay;
        coding->square_unit = coding->unit[1] * coding->s->beta2;
    }
    const ft_coding c = *coding;
    if (bare) {
        _Pragma("GCC unroll 1")
        for (ptrdiff_t i = 0; i < FT_BLOCK; i += 4 * FT_LANES_f32) {
            u32v codes[FT_MAX_STATES][4], rounded[4];
            FT_UNROLL
            for (int j = 0; j < 4; j++)
                ft_coded_vector(&at, i, j, &c, step, n_states, kinds, bare, codes, rounded);
            ft_store_coded(&at, i, n_states, kinds, bare, codes, rounded);
        }
    } else {
        _Pragma("GCC unroll 1")
        for (ptrdiff_t i = 0; i < FT_BLOCK; i += 4 * FT_LANES_f32) {
            u32v codes[FT_MAX_STATES][4];
            _Pragma("GCC unroll 1")
            for (int j = 0; j < 4; j++)
                ft_coded_vector(&at, i, j, &c, step, n_states, kinds, bare, codes, NULL);
            ft_store_coded(&at, i, n_states, kinds, bare, codes, NULL);
        }
    }
}

/* All blocks of elements start .. start + n - 1.  The units of a block, at the end of a chain of a hundred cycles, are
   found before the block in front of it is updated. */
FT_INLINE void ft_update_coded(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target, const void *grad,
                               const ft_update_scalars *scalars, ft_step_f32 step, int n_states, int kinds, int bare) {
    const ft_float_state float_state = ft_flush_subnormals();
    const ft_update_vectors_f32 s = ft_update_round_f32(scalars);
    const ft_bounds bounds = ft_bounds_open(scalars, n_states);
    const uint64_t key = scalars->key ^ target->key;
    ft_streams_f32 at = {0}, next = {0};
    ft_units units = {{0}, {0}}, next_units = units;
    ft_part_f32 part;
    ft_dice dice;
    ft_coding coding;
    ft_dice_open(&dice);
    ft_coding_open(&coding, target, scalars, &s, bare);
    for (ptrdiff_t i = start - FT_BLOCK; i < start + n; i += FT_BLOCK) {
        const ptrdiff_t left = start + n - i - FT_BLOCK;
        if (left > 0) {
            next = ft_streams_at_f32(target, grad, i + FT_BLOCK, n_states);
            if (left < FT_BLOCK)
                ft_part_open_f32(&part, &next, target, left, n_states);
            if (bare)
                ft_next_units(&next, target, i / FT_BLOCK + 1, scalars, &s, &bounds, n_states, kinds, bare, &next_units);
            else
                ft_any_next_units(&next, target, i / FT_BLOCK + 1, scalars, &s, &bounds, n_states, kinds, &next_units);
        }
        if (i >= start) {
            coding.thrown = ft_throw(&dice, key, (uint64_t)(i / FT_BLOCK));
            coding.thrown.mask |= FT_WITHOUT_BASE;
            ft_coded_block(&at, &coding, units, step, n_states, kinds, bare);
        }
        at = next;
        units = next_units;
    }
    if (n % FT_BLOCK)
        ft_part_close_f32(&part, target, n_states);
    ft_float_state_set(float_state);
}
