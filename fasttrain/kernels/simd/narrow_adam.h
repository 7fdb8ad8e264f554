/*
 * Adam's step on state of 16 or 8 bits.
 *
 * Its numbers are known to 2^-7 or 2^-3, so time spent on the last bits of a step would be wasted: means move by fused
 * multiply-adds, and the root and the quotient, which no state depends on, are approximate on x86, to 2^-13 of the step
 * with AVX-512 and to 2^-10 without.  There the parameter becomes NaN where a mean of squares is infinite.
 */
typedef struct {
    f32v root, mean_weight, mean_decay; /* sqrt(1 - beta2), (1 - beta1) / root, beta1 */
} ft_narrow_adam;

/* factor: of gradients that come without grad_factor */
FT_INLINE ft_narrow_adam ft_narrow_adam_open(const ft_update_scalars *scalars, double factor) {
    const double root = __builtin_sqrt(1.0 - scalars->beta2), beta1 = scalars->state_decay[0];
    return (ft_narrow_adam){
        ft_broadcast_f32((float)(factor * root)),
        ft_broadcast_f32((float)((1.0 - beta1) / root)),
        ft_broadcast_f32((float)beta1),
    };
}

/* 1 / x, and sqrt(x) + y for x >= 0. */
FT_INLINE f32v ft_rough_inverse(f32v x) {
#if FT_VECTOR_BYTES == 64
    return (f32v)_mm512_rcp14_ps((__m512)x);
#elif FT_VECTOR_BYTES == 32
    return (f32v)_mm256_rcp_ps((__m256)x);
#elif defined(__x86_64__)
    return (f32v)_mm_rcp_ps((__m128)x);
#else
    return ft_broadcast_f32(1.0f) / x;
#endif
}
FT_INLINE f32v ft_rough_root_plus(f32v x, f32v y) {
#if defined(__x86_64__)
    const f32v positive = ft_max_f32(x, ft_broadcast_f32(FT_SMALLEST_f32));
#if FT_VECTOR_BYTES == 64
    return ft_fma_f32(x, (f32v)_mm512_rsqrt14_ps((__m512)positive), y);
#elif FT_VECTOR_BYTES == 32
    return ft_fma_f32(x, (f32v)_mm256_rsqrt_ps((__m256)positive), y);
#else
    return ft_fma_f32(x, (f32v)_mm_rsqrt_ps((__m128)positive), y);
#endif
#else
    return ft_sqrt_f32(x) + y;
#endif
}

/* state <- scale state - offset + (1 - beta) grad or grad^2, for both means; param is decayed already, grad multiplied
   by root. */
FT_INLINE void ft_narrow_adam_step(f32v *param, f32v grad, f32v *state, f32v mean_scale, f32v mean_offset,
                                   f32v square_scale, f32v square_offset, const ft_narrow_adam *adam,
                                   const ft_update_vectors_f32 *s) {
    state[0] = ft_fma_f32(state[0], mean_scale, ft_fma_f32(adam->mean_weight, grad, -mean_offset));
    state[1] = ft_fma_f32(state[1], square_scale, ft_fma_f32(grad, grad, -square_offset));
    const f32v inverse = ft_rough_inverse(ft_rough_root_plus(state[1], s->eps));
    *param = ft_fma_f32(-s->step_size, state[0] * inverse, *param);
}
