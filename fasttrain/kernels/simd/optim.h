/*
 * Update rules of the optimizers: the arithmetic of each on one vector, and what is the same for all.
 *
 * A rule is a function of a vector of parameters, their gradients and up to FT_MAX_STATES vectors of state.  update.h
 * walks it over memory, and coded.h over state of 8 bits.  Every operation is written out and rounded alone (no fused multiply-add, no
 * reciprocal), and every scalar is computed in double and rounded once, so that the same bits come out at every level
 * and a plain NumPy twin can follow them.  Adam has another step on state of fewer bits: narrow_adam.h.
 *
 * Before its rule, a gradient is multiplied by grad_factor (scaling, clipping by norm, the sign of maximize) and gets
 * the L2 penalty's gradient, and the parameter is multiplied by decay_factor (decoupled decay; 1 changes no bit).
 */
#include "flush.h"

/* ft_update_scalars, rounded */
typedef struct {
    VEC grad_factor, weight_decay, decay_factor, step_size, grad_step, mean_weight, beta2, one_minus_beta2, eps,
        momentum, step_decay;
} SUFFIX(ft_update_vectors);

FT_INLINE SUFFIX(ft_update_vectors) SUFFIX(ft_update_round)(const ft_update_scalars *s) {
    /* A positive eps must not be flushed: 0 / 0 would be NaN where the gradients have all been zero. */
    REAL eps = (REAL)s->eps;
    if (s->eps > 0.0 && eps < SUFFIX(FT_SMALLEST))
        eps = SUFFIX(FT_SMALLEST);
    return (SUFFIX(ft_update_vectors)){
        BROADCAST((REAL)s->grad_factor), BROADCAST((REAL)s->weight_decay), BROADCAST((REAL)s->decay_factor),
        BROADCAST((REAL)s->step_size),   BROADCAST((REAL)s->grad_step),    BROADCAST((REAL)s->mean_weight),
        BROADCAST((REAL)s->beta2),       BROADCAST((REAL)(1.0 - s->beta2)), BROADCAST(eps),
        BROADCAST((REAL)s->momentum),    BROADCAST((REAL)s->step_decay),
    };
}

/* A running mean moves from the nearer of its two ends: from the gradient where its decay is small, or else a
   gradient much smaller than the old mean would lose its digits. */
FT_INLINE VEC SUFFIX(ft_moved)(VEC mean, VEC grad, const SUFFIX(ft_update_vectors) * s, int flags) {
    return flags & FT_FROM_GRAD ? grad + s->mean_weight * (mean - grad) : mean + s->mean_weight * (grad - mean);
}

FT_INLINE VEC SUFFIX(ft_mean_square)(VEC mean, VEC grad, const SUFFIX(ft_update_vectors) * s) {
    return s->beta2 * mean + (s->one_minus_beta2 * grad) * grad;
}

FT_INLINE VEC SUFFIX(ft_over_root)(VEC step, VEC square, VEC eps) {
    return step / (SQRT(square) + eps);
}

/* ---- the rules: state[0], state[1], ... in the order in which fasttrain.optim names them --------------------- */

/* grad only */
FT_INLINE void SUFFIX(ft_sgd_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s, int flags) {
    (void)state, (void)flags;
    *param = *param - s->step_size * grad;
}

/* b = momentum b + grad_step g, or g at first;  p -= lr (g + momentum b) with Nesterov's look-ahead, lr b without */
FT_INLINE void SUFFIX(ft_momentum_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                        int flags) {
    state[0] = flags & FT_FIRST_STEP ? grad : s->momentum * state[0] + s->grad_step * grad;
    *param = *param - s->step_size * (flags & FT_NESTEROV ? grad + s->momentum * state[0] : state[0]);
}

/* One square root and one division per element are the floor in cache: the bias corrections are in step_size and
   eps.  state: exp_avg, exp_avg_sq */
FT_INLINE void SUFFIX(ft_adam_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s, int flags) {
    state[0] = SUFFIX(ft_moved)(state[0], grad, s, flags);
    state[1] = SUFFIX(ft_mean_square)(state[1], grad, s);
    *param = *param - SUFFIX(ft_over_root)(s->step_size * state[0], state[1], s->eps);
}

/* state: exp_avg, exp_avg_sq, max_exp_avg_sq */
FT_INLINE void SUFFIX(ft_amsgrad_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                       int flags) {
    state[0] = SUFFIX(ft_moved)(state[0], grad, s, flags);
    state[1] = SUFFIX(ft_mean_square)(state[1], grad, s);
    state[2] = SELECT(state[1] <= state[2], state[2], state[1]);
    *param = *param - SUFFIX(ft_over_root)(s->step_size * state[0], state[2], s->eps);
}

/* state: exp_avg, exp_avg_sq */
FT_INLINE void SUFFIX(ft_nadam_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s, int flags) {
    state[0] = SUFFIX(ft_moved)(state[0], grad, s, flags);
    state[1] = SUFFIX(ft_mean_square)(state[1], grad, s);
    *param = *param - SUFFIX(ft_over_root)(s->grad_step * grad + s->step_size * state[0], state[1], s->eps);
}

/* state: exp_avg, exp_avg_sq */
FT_INLINE void SUFFIX(ft_radam_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s, int flags) {
    state[0] = SUFFIX(ft_moved)(state[0], grad, s, flags);
    state[1] = SUFFIX(ft_mean_square)(state[1], grad, s);
    VEC step = s->step_size * state[0];
    *param = *param - (flags & FT_RECTIFIED ? SUFFIX(ft_over_root)(step, state[1], s->eps) : step);
}

/* state: exp_avg, exp_inf, the largest of the decayed gradients */
FT_INLINE void SUFFIX(ft_adamax_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                      int flags) {
    VEC size = SUFFIX(ft_magnitude)(grad) + s->eps, old = s->beta2 * state[1];
    state[0] = SUFFIX(ft_moved)(state[0], grad, s, flags);
    state[1] = SELECT(size <= old, old, size);
    *param = *param - (s->step_size * state[0]) / state[1];
}

/* state: sum */
FT_INLINE void SUFFIX(ft_adagrad_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                       int flags) {
    (void)flags;
    state[0] = state[0] + grad * grad;
    *param = *param - SUFFIX(ft_over_root)(s->step_size * grad, state[0], s->eps);
}

/* eps on either side of the root */
FT_INLINE VEC SUFFIX(ft_over_rms)(VEC step, VEC square, const SUFFIX(ft_update_vectors) * s, int flags) {
    if (flags & FT_EPS_INSIDE)
        return step / SQRT(square + s->eps);
    return SUFFIX(ft_over_root)(step, square, s->eps);
}
/* Rounding may leave a variance below zero, which counts as zero. */
FT_INLINE VEC SUFFIX(ft_variance)(VEC square, VEC mean) {
    VEC variance = square - mean * mean;
    return SELECT(variance < BROADCAST(0), BROADCAST(0), variance);
}

/* state: square_avg */
FT_INLINE void SUFFIX(ft_rmsprop_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                       int flags) {
    state[0] = SUFFIX(ft_mean_square)(state[0], grad, s);
    *param = *param - SUFFIX(ft_over_rms)(s->step_size * grad, state[0], s, flags);
}

/* state: square_avg, momentum_buffer */
FT_INLINE void SUFFIX(ft_rmsprop_momentum_step)(VEC *param, VEC grad, VEC *state,
                                                const SUFFIX(ft_update_vectors) * s, int flags) {
    state[0] = SUFFIX(ft_mean_square)(state[0], grad, s);
    state[1] = s->momentum * state[1] + SUFFIX(ft_over_rms)(grad, state[0], s, flags);
    *param = *param - s->step_size * state[1];
}

/* state: square_avg, grad_avg */
FT_INLINE void SUFFIX(ft_rmsprop_centered_step)(VEC *param, VEC grad, VEC *state,
                                                const SUFFIX(ft_update_vectors) * s, int flags) {
    state[0] = SUFFIX(ft_mean_square)(state[0], grad, s);
    state[1] = SUFFIX(ft_moved)(state[1], grad, s, flags);
    VEC variance = SUFFIX(ft_variance)(state[0], state[1]);
    *param = *param - SUFFIX(ft_over_rms)(s->step_size * grad, variance, s, flags);
}

/* state: square_avg, grad_avg, momentum_buffer */
FT_INLINE void SUFFIX(ft_rmsprop_centered_momentum_step)(VEC *param, VEC grad, VEC *state,
                                                         const SUFFIX(ft_update_vectors) * s, int flags) {
    state[0] = SUFFIX(ft_mean_square)(state[0], grad, s);
    state[1] = SUFFIX(ft_moved)(state[1], grad, s, flags);
    VEC variance = SUFFIX(ft_variance)(state[0], state[1]);
    state[2] = s->momentum * state[2] + SUFFIX(ft_over_rms)(grad, variance, s, flags);
    *param = *param - s->step_size * state[2];
}

/* state: square_avg, acc_delta */
FT_INLINE void SUFFIX(ft_adadelta_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                        int flags) {
    (void)flags;
    state[0] = SUFFIX(ft_mean_square)(state[0], grad, s);
    VEC delta = SQRT(state[1] + s->eps) / SQRT(state[0] + s->eps) * grad;
    state[1] = SUFFIX(ft_mean_square)(state[1], delta, s);
    *param = *param - s->step_size * delta;
}

/* The sign of the gradient's mean over beta1, and then the mean over beta2.  state: exp_avg; NaN stays */
FT_INLINE void SUFFIX(ft_lion_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s, int flags) {
    VEC mean = state[0] + s->grad_step * (grad - state[0]), zero = BROADCAST(0);
    VEC step = SELECT(mean > zero, s->step_size, SELECT(mean < zero, -s->step_size, mean));
    state[0] = SUFFIX(ft_moved)(state[0], grad, s, flags);
    *param = *param - step;
}

/* param is y, between the point z that the gradients move and the average x.  state: z, exp_avg_sq */
FT_INLINE void SUFFIX(ft_schedule_free_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                             int flags) {
    state[1] = SUFFIX(ft_mean_square)(state[1], grad, s);
    VEC y = *param, step = SUFFIX(ft_over_root)(grad, state[1], s->eps) + s->step_decay * y;
    *param = SUFFIX(ft_moved)(y, state[0], s, flags) - s->grad_step * step;
    state[0] = state[0] - s->step_size * step;
}

/* param is an average of values that come as gradients */
FT_INLINE void SUFFIX(ft_average_step)(VEC *param, VEC grad, VEC *state, const SUFFIX(ft_update_vectors) * s,
                                       int flags) {
    (void)state;
    *param = SUFFIX(ft_moved)(*param, grad, s, flags);
}
