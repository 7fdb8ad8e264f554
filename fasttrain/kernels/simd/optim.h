/*
 * Update rules of the optimizers: one pass over parameter, gradient and state, in place.
 *
 * Every operation is written out and rounded alone (no fused multiply-add, no reciprocal), and every
 * scalar is computed in double and rounded once, so that the same bits come out at every level and a
 * plain NumPy twin can follow them.  A rule is two functions: the arithmetic on one vector, and the walk
 * over the piece.  Options that are off cost nothing: flags are constants of the inlined walk, one copy
 * of the loop for each combination.
 *
 * Moments that die out become subnormal, and arithmetic on those is many times slower.  So subnormal
 * operands count as zero and subnormal results are zero while a piece is walked; the caller's
 * floating-point state, its exception flags included, is put back before the return.
 */
#ifndef FT_OPTIM_ONCE
#define FT_OPTIM_ONCE

/* The assembly statements are barriers to the compiler: no store moves out of the flushing part. */
#if defined(__x86_64__)
typedef uint32_t ft_float_state;
FT_INLINE void ft_float_state_set(ft_float_state state) {
    __asm__ volatile("ldmxcsr %0" : : "m"(state) : "memory");
}
FT_INLINE ft_float_state ft_flush_subnormals(void) {
    ft_float_state state;
    __asm__ volatile("stmxcsr %0" : "=m"(state) : : "memory");
    ft_float_state_set(state | 0x8040u); /* FTZ and DAZ */
    return state;
}
#elif defined(__aarch64__)
typedef uint64_t ft_float_state;
FT_INLINE void ft_float_state_set(ft_float_state state) {
    __asm__ volatile("msr fpcr, %0" : : "r"(state) : "memory");
}
FT_INLINE ft_float_state ft_flush_subnormals(void) {
    ft_float_state state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state) : : "memory");
    ft_float_state_set(state | (UINT64_C(1) << 24)); /* FZ: operands and results */
    return state;
}
#else
typedef int ft_float_state;
FT_INLINE void ft_float_state_set(ft_float_state state) { (void)state; }
FT_INLINE ft_float_state ft_flush_subnormals(void) { return 0; }
#endif

/* Fetches x into cache, half a kilobyte ahead of its use: hardware fetches a stream too, but stops at every
   page and restarts slowly where there are several.  Worth a tenth of the time on arrays in memory, and
   nothing in cache, where the division is slower than all loads.  Never faults, past the end of x neither. */
#define FT_FETCH_AHEAD(x) __builtin_prefetch((const char *)(x) + 512)

/* Adam walks runs of two lines of each of its streams, and fetches those three runs ahead stream by stream, so that
   memory gives neighbours together: up to a twentieth of the time on arrays in memory, where its four streams wait
   for nothing else. */
#define FT_ADAM_RUN (128 / (ptrdiff_t)sizeof(REAL))
#define FT_FETCH_RUN(x)                                                                                      \
    do {                                                                                                     \
        __builtin_prefetch((const char *)(x) + 384);                                                         \
        __builtin_prefetch((const char *)(x) + 448);                                                         \
    } while (0)

/* Smallest normal numbers of float and double. */
#define FT_SMALLEST_f32 0x1p-126f
#define FT_SMALLEST_f64 0x1p-1022

enum { FT_NO_MOMENTUM = 0, FT_MOMENTUM, FT_FIRST_MOMENTUM };

#endif

/* ---- stochastic gradient descent --------------------------------------------------------------------- */

typedef struct {
    VEC lr, momentum, grad_factor, weight_decay;
} SUFFIX(ft_sgd_vectors);

/* d = grad + weight_decay param;  buffer = momentum buffer + grad_factor d, or grad_factor d at first;
   param -= lr (d + momentum buffer) with Nesterov's look-ahead, lr buffer without. */
FT_INLINE void SUFFIX(ft_sgd_step)(VEC *param, VEC grad, VEC *buffer, const SUFFIX(ft_sgd_vectors) * s,
                                   int decays, int momentum, int nesterov) {
    VEC direction = grad;
    if (decays)
        direction = direction + s->weight_decay * *param;
    if (momentum) {
        VEC scaled = s->grad_factor * direction;
        *buffer = momentum == FT_FIRST_MOMENTUM ? scaled : s->momentum * *buffer + scaled;
        direction = nesterov ? direction + s->momentum * *buffer : *buffer;
    }
    *param = *param - s->lr * direction;
}

FT_INLINE void SUFFIX(ft_sgd_walk)(ptrdiff_t n, REAL *param, const REAL *grad, REAL *buffer,
                                   const ft_sgd_scalars *scalars, int decays, int momentum, int nesterov) {
    const SUFFIX(ft_sgd_vectors) s = {
        BROADCAST((REAL)scalars->lr),
        BROADCAST((REAL)scalars->momentum),
        BROADCAST((REAL)scalars->grad_factor),
        BROADCAST((REAL)scalars->weight_decay),
    };
    const int reads_buffer = momentum == FT_MOMENTUM;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        VEC p = LOAD(param + i), b = {0};
        FT_FETCH_AHEAD(param + i);
        FT_FETCH_AHEAD(grad + i);
        if (momentum)
            FT_FETCH_AHEAD(buffer + i);
        if (reads_buffer)
            b = LOAD(buffer + i);
        SUFFIX(ft_sgd_step)(&p, LOAD(grad + i), &b, &s, decays, momentum, nesterov);
        STORE(param + i, p);
        if (momentum)
            STORE(buffer + i, b);
    }
    if (i < n) {
        const ptrdiff_t count = n - i;
        VEC p = LOAD_PARTIAL(param + i, count), b = {0};
        if (reads_buffer)
            b = LOAD_PARTIAL(buffer + i, count);
        SUFFIX(ft_sgd_step)(&p, LOAD_PARTIAL(grad + i, count), &b, &s, decays, momentum, nesterov);
        STORE_PARTIAL(param + i, count, p);
        if (momentum)
            STORE_PARTIAL(buffer + i, count, b);
    }
}

static void SUFFIX(ft_sgd_update)(ptrdiff_t n, REAL *param, const REAL *grad, REAL *momentum_buffer,
                                  const ft_sgd_scalars *scalars) {
    const ft_float_state state = ft_flush_subnormals();
    const int momentum = !momentum_buffer       ? FT_NO_MOMENTUM
                         : scalars->first_step ? FT_FIRST_MOMENTUM
                                               : FT_MOMENTUM;
#define FT_WALK(decays, momentum, nesterov)                                                                  \
    SUFFIX(ft_sgd_walk)(n, param, grad, momentum_buffer, scalars, decays, momentum, nesterov)
#define FT_WALK_MOMENTUM(decays)                                                                             \
    if (momentum == FT_NO_MOMENTUM)                                                                          \
        FT_WALK(decays, FT_NO_MOMENTUM, 0);                                                                  \
    else if (momentum == FT_MOMENTUM && !scalars->nesterov)                                                  \
        FT_WALK(decays, FT_MOMENTUM, 0);                                                                     \
    else if (momentum == FT_MOMENTUM)                                                                        \
        FT_WALK(decays, FT_MOMENTUM, 1);                                                                     \
    else if (!scalars->nesterov)                                                                             \
        FT_WALK(decays, FT_FIRST_MOMENTUM, 0);                                                               \
    else                                                                                                     \
        FT_WALK(decays, FT_FIRST_MOMENTUM, 1)
    if (scalars->weight_decay != 0.0) {
        FT_WALK_MOMENTUM(1);
    } else {
        FT_WALK_MOMENTUM(0);
    }
#undef FT_WALK_MOMENTUM
#undef FT_WALK
    ft_float_state_set(state);
}

/* ---- Adam -------------------------------------------------------------------------------------------- */

typedef struct {
    VEC step_size, mean_weight, beta2, one_minus_beta2, eps, weight_decay, decay_factor;
} SUFFIX(ft_adam_vectors);

/* One square root and one division per element are the floor in cache: the bias corrections are in
   step_size and eps.  The mean moves from the nearer of its two ends, mean_weight of the way: from the
   gradient where beta1 is small, or else a gradient much smaller than the old mean would lose its digits. */
FT_INLINE void SUFFIX(ft_adam_step)(VEC *param, VEC grad, VEC *exp_avg, VEC *exp_avg_sq,
                                    const SUFFIX(ft_adam_vectors) * s, int decays, int decoupled,
                                    int from_grad) {
    VEC p = *param;
    if (decoupled)
        p = p * s->decay_factor;
    if (decays)
        grad = grad + s->weight_decay * p;
    VEC m = from_grad ? grad + s->mean_weight * (*exp_avg - grad)
                      : *exp_avg + s->mean_weight * (grad - *exp_avg);
    VEC v = s->beta2 * *exp_avg_sq + (s->one_minus_beta2 * grad) * grad;
    *param = p - (s->step_size * m) / (SQRT(v) + s->eps);
    *exp_avg = m;
    *exp_avg_sq = v;
}

FT_INLINE void SUFFIX(ft_adam_vector)(REAL *param, const REAL *grad, REAL *exp_avg, REAL *exp_avg_sq,
                                      const SUFFIX(ft_adam_vectors) * s, int decays, int decoupled, int from_grad) {
    VEC p = LOAD(param), m = LOAD(exp_avg), v = LOAD(exp_avg_sq);
    SUFFIX(ft_adam_step)(&p, LOAD(grad), &m, &v, s, decays, decoupled, from_grad);
    STORE(param, p);
    STORE(exp_avg, m);
    STORE(exp_avg_sq, v);
}

FT_INLINE void SUFFIX(ft_adam_walk)(ptrdiff_t n, REAL *param, const REAL *grad, REAL *exp_avg,
                                    REAL *exp_avg_sq, const ft_adam_scalars *scalars, int decays,
                                    int decoupled, int from_grad) {
    /* A positive eps must not be flushed: 0 / 0 would be NaN where the gradients have all been zero. */
    REAL eps = (REAL)scalars->eps;
    if (scalars->eps > 0.0 && eps < SUFFIX(FT_SMALLEST))
        eps = SUFFIX(FT_SMALLEST);
    const SUFFIX(ft_adam_vectors) s = {
        BROADCAST((REAL)scalars->step_size),
        BROADCAST((REAL)(from_grad ? scalars->beta1 : 1.0 - scalars->beta1)),
        BROADCAST((REAL)scalars->beta2),
        BROADCAST((REAL)(1.0 - scalars->beta2)),
        BROADCAST(eps),
        BROADCAST((REAL)scalars->weight_decay),
        BROADCAST((REAL)scalars->decay_factor),
    };
    ptrdiff_t i = 0;
    for (; i + FT_ADAM_RUN <= n; i += FT_ADAM_RUN) {
        FT_FETCH_RUN(grad + i);
        FT_FETCH_RUN(param + i);
        FT_FETCH_RUN(exp_avg + i);
        FT_FETCH_RUN(exp_avg_sq + i);
        for (ptrdiff_t j = i; j < i + FT_ADAM_RUN; j += LANES)
            SUFFIX(ft_adam_vector)(param + j, grad + j, exp_avg + j, exp_avg_sq + j, &s, decays, decoupled, from_grad);
    }
    for (; i + LANES <= n; i += LANES)
        SUFFIX(ft_adam_vector)(param + i, grad + i, exp_avg + i, exp_avg_sq + i, &s, decays, decoupled, from_grad);
    if (i < n) {
        const ptrdiff_t count = n - i;
        VEC p = LOAD_PARTIAL(param + i, count), m = LOAD_PARTIAL(exp_avg + i, count);
        VEC v = LOAD_PARTIAL(exp_avg_sq + i, count);
        SUFFIX(ft_adam_step)(&p, LOAD_PARTIAL(grad + i, count), &m, &v, &s, decays, decoupled, from_grad);
        STORE_PARTIAL(param + i, count, p);
        STORE_PARTIAL(exp_avg + i, count, m);
        STORE_PARTIAL(exp_avg_sq + i, count, v);
    }
}

static void SUFFIX(ft_adam_update)(ptrdiff_t n, REAL *param, const REAL *grad, REAL *exp_avg,
                                   REAL *exp_avg_sq, const ft_adam_scalars *scalars) {
    const ft_float_state state = ft_flush_subnormals();
#define FT_WALK(decays, decoupled)                                                                           \
    if (scalars->beta1 <= 0.5)                                                                               \
        SUFFIX(ft_adam_walk)(n, param, grad, exp_avg, exp_avg_sq, scalars, decays, decoupled, 1);            \
    else                                                                                                     \
        SUFFIX(ft_adam_walk)(n, param, grad, exp_avg, exp_avg_sq, scalars, decays, decoupled, 0)
    if (scalars->decay_factor != 1.0) {
        FT_WALK(0, 1);
    } else if (scalars->weight_decay != 0.0) {
        FT_WALK(1, 0);
    } else {
        FT_WALK(0, 0);
    }
#undef FT_WALK
    ft_float_state_set(state);
}
