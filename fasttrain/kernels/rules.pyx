"""Options of the update rules, and the scalars of a step.

A family is what users call an optimizer; the rules of the level's table are its variants by the state that they
keep.  Everything that does not depend on the element is computed here, once a step, in double: bias corrections,
schedules inside a rule, and their place in the formulas of simd/optim.h.
"""
from libc.math cimport INFINITY, expm1, fabs, log, pow, sqrt

from fasttrain.kernels.checks cimport check_flag, check_fraction, check_number, check_option
from fasttrain.kernels.table cimport (
    FT_ADADELTA,
    FT_ADAGRAD,
    FT_ADAM,
    FT_ADAMAX,
    FT_AMSGRAD,
    FT_AVERAGE,
    FT_EPS_INSIDE,
    FT_FROM_GRAD,
    FT_LION,
    FT_MOMENTUM,
    FT_NADAM,
    FT_NESTEROV,
    FT_RADAM,
    FT_RECTIFIED,
    FT_RMSPROP,
    FT_RMSPROP_CENTERED,
    FT_RMSPROP_CENTERED_MOMENTUM,
    FT_RMSPROP_MOMENTUM,
    FT_SCHEDULE_FREE,
    FT_SGD,
    FT_SIGNED_STATE,
    FT_UNSIGNED_STATE,
    FT_WHOLE_STATE,
)

# By name, in the order of Family.
FAMILIES = (
    "SGD", "Adam", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop", "Adadelta", "Lion", "ScheduleFreeAdamW", "average",
)
# The options of each that a step reads.
OPTIONS = {
    "SGD": ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    "Adam": ("lr", "betas", "eps", "weight_decay", "amsgrad", "decoupled_weight_decay", "initial_lr",
             "bias_correction", "eps_mode", "maximize"),
    "NAdam": ("lr", "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay", "maximize"),
    "RAdam": ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize"),
    "Adamax": ("lr", "betas", "eps", "weight_decay", "maximize"),
    "Adagrad": ("lr", "lr_decay", "weight_decay", "eps", "maximize"),
    "RMSprop": ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "eps_mode", "maximize"),
    "Adadelta": ("lr", "rho", "eps", "weight_decay", "maximize"),
    "Lion": ("lr", "betas", "weight_decay", "maximize"),
    "ScheduleFreeAdamW": ("lr", "betas", "eps", "weight_decay", "warmup_steps", "r", "weight_lr_power", "maximize"),
    "average": ("decay",),
}
# What a family counts beside its steps.
COUNTED = {"NAdam": ("mu_product",), "ScheduleFreeAdamW": ("weight_sum", "lr_max")}
EPS_MODES = ("corrected", "uncorrected")
RMSPROP_EPS_MODES = ("outside", "inside")


_MOMENTS = (("exp_avg", FT_SIGNED_STATE), ("exp_avg_sq", FT_UNSIGNED_STATE))
# Whole: rounded to fewer bits, the mean of squares would often be below the square of the mean, and steps huge.
_VARIANCE = (("square_avg", FT_WHOLE_STATE), ("grad_avg", FT_WHOLE_STATE))
# The arrays of state of each rule of the table, in its order.
STATES = (
    (),
    (("momentum_buffer", FT_SIGNED_STATE),),
    _MOMENTS,
    (*_MOMENTS, ("max_exp_avg_sq", FT_UNSIGNED_STATE)),
    _MOMENTS,
    _MOMENTS,
    (("exp_avg", FT_SIGNED_STATE), ("exp_inf", FT_UNSIGNED_STATE)),
    (("sum", FT_UNSIGNED_STATE),),
    (("square_avg", FT_UNSIGNED_STATE),),
    (("square_avg", FT_UNSIGNED_STATE), ("momentum_buffer", FT_SIGNED_STATE)),
    _VARIANCE,
    (*_VARIANCE, ("momentum_buffer", FT_WHOLE_STATE)),     # a deviation of zero makes its numbers any size
    (("square_avg", FT_UNSIGNED_STATE), ("acc_delta", FT_UNSIGNED_STATE)),
    (("exp_avg", FT_SIGNED_STATE),),
    (("z", FT_WHOLE_STATE), ("exp_avg_sq", FT_UNSIGNED_STATE)),
    (),
)
# The rules of each family with the least and the most state; the state of the first is a part of the second's.
VARIANTS = (
    (FT_SGD, FT_MOMENTUM), (FT_ADAM, FT_AMSGRAD), (FT_NADAM, FT_NADAM), (FT_RADAM, FT_RADAM), (FT_ADAMAX, FT_ADAMAX),
    (FT_ADAGRAD, FT_ADAGRAD), (FT_RMSPROP, FT_RMSPROP_CENTERED_MOMENTUM), (FT_ADADELTA, FT_ADADELTA),
    (FT_LION, FT_LION), (FT_SCHEDULE_FREE, FT_SCHEDULE_FREE), (FT_AVERAGE, FT_AVERAGE),
)


# ---- checks ------------------------------------------------------------------------------------------------------

cdef int _take_betas(object betas, Options* o) except -1:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
    o.beta1 = check_fraction(betas[0], "betas[0]")
    o.beta2 = check_fraction(betas[1], "betas[1]")
    return 0


cdef int options_of(Family family, object given, Options* o) except -1:
    o[0] = Options(
        lr=0.0, beta1=0.0, beta2=0.0, eps=0.0, weight_decay=0.0, initial_lr=0.0, momentum=0.0, dampening=0.0,
        lr_decay=0.0, momentum_decay=0.0, warmup_steps=0.0, r=0.0, weight_lr_power=0.0, maximize=False,
        decoupled=False, bias_correction=True, amsgrad=False, nesterov=False, centered=False, eps_inside=False,
    )
    if family == AVERAGE:
        o.beta1 = check_fraction(given["decay"], "decay")
        return 0
    o.lr = check_number(given["lr"], "lr", 0.0)
    o.weight_decay = check_number(given["weight_decay"], "weight_decay", 0.0)
    o.maximize = check_flag(given["maximize"], "maximize")
    if family == SGD:
        o.momentum = check_number(given["momentum"], "momentum", 0.0)
        o.dampening = check_number(given["dampening"], "dampening")
        o.nesterov = check_flag(given["nesterov"], "nesterov")
        if o.nesterov and (o.momentum == 0.0 or o.dampening != 0.0):
            raise ValueError(
                "nesterov=True needs a positive momentum and dampening 0, "
                f"got momentum={given['momentum']!r} and dampening={given['dampening']!r}"
            )
        return 0
    if family == RMSPROP:
        o.beta2 = check_fraction(given["alpha"], "alpha")
        o.momentum = check_number(given["momentum"], "momentum", 0.0)
        o.centered = check_flag(given["centered"], "centered")
        o.eps_inside = check_option(given["eps_mode"], "eps_mode", RMSPROP_EPS_MODES) == 1
    elif family == ADADELTA:
        o.beta2 = check_fraction(given["rho"], "rho")
    elif family == ADAGRAD:
        o.lr_decay = check_number(given["lr_decay"], "lr_decay", 0.0)
    else:
        _take_betas(given["betas"], o)
    if family == LION:
        o.decoupled = True
        return 0
    o.eps = check_number(given["eps"], "eps", 0.0)
    if family == ADAM:
        o.amsgrad = check_flag(given["amsgrad"], "amsgrad")
        o.bias_correction = check_flag(given["bias_correction"], "bias_correction")
        o.eps_inside = check_option(given["eps_mode"], "eps_mode", EPS_MODES) == 1
        if given["initial_lr"] is not None:
            o.initial_lr = check_number(given["initial_lr"], "initial_lr", 0.0, positive=True)
    if family in (ADAM, NADAM, RADAM):
        o.decoupled = check_flag(given["decoupled_weight_decay"], "decoupled_weight_decay")
    if family == ADAM and o.initial_lr != 0.0 and not o.decoupled:
        raise ValueError("initial_lr is of the decoupled decay: it needs decoupled_weight_decay=True")
    if family == NADAM:
        o.momentum_decay = check_number(given["momentum_decay"], "momentum_decay", 0.0)
    if family == SCHEDULE_FREE:
        if o.beta1 == 0.0:
            raise ValueError(f"betas[0] must be above 0, got {given['betas'][0]!r}")
        o.warmup_steps = check_number(given["warmup_steps"], "warmup_steps", 0.0)
        o.r = check_number(given["r"], "r", 0.0)
        o.weight_lr_power = check_number(given["weight_lr_power"], "weight_lr_power", 0.0)
    return 0


def check_options(str family, given):
    """Raise for options that a step of the family would refuse; `given` maps the names of OPTIONS to values."""
    cdef Options options
    options_of(<Family> <int> FAMILIES.index(family), given, &options)


def state_names(str family, given):
    """The arrays that the family keeps with these options."""
    cdef Options options
    cdef Progress progress
    cdef ft_update_scalars scalars
    cdef int which = FAMILIES.index(family)
    options_of(<Family> which, given, &options)
    progress_start(&progress)
    return [name for name, _ in STATES[scalars_of(<Family> which, &options, &progress, &scalars)]]


# ---- scalars -----------------------------------------------------------------------------------------------------

cdef void progress_start(Progress* progress) noexcept nogil:
    progress.step = 0.0
    progress.mu_product = 1.0
    progress.weight_sum = 0.0
    progress.lr_max = 0.0


cdef inline double _correction(double beta, double step) noexcept nogil:
    # 1 - beta^step with every digit; the logarithm of 0 is -inf, which gives 1
    return -expm1(step * log(beta))


cdef inline void _set_mean(double beta, ft_update_scalars* s) noexcept nogil:
    # the mean moves from the nearer of its two ends
    if beta <= 0.5:
        s.flags |= FT_FROM_GRAD
        s.mean_weight = beta
    else:
        s.mean_weight = 1.0 - beta


cdef inline void _set_state(
    ft_update_scalars* s, int k, double decay, double of_state, double of_grad, double of_square, double constant,
) noexcept nogil:
    # how state k decays, and the bound of its numbers after a step
    s.state_decay[k] = decay
    s.top[k][0], s.top[k][1], s.top[k][2], s.top[k][3], s.top[k][4] = of_state, of_grad, of_square, constant, INFINITY


cdef inline void _set_mean_square(ft_update_scalars* s, int k, double beta) noexcept nogil:
    _set_state(s, k, beta, beta, 0.0, 1.0 - beta, 0.0)


cdef int scalars_of(Family family, const Options* o, Progress* progress, ft_update_scalars* s) noexcept nogil:
    cdef double step, correction1 = 1.0, root2 = 1.0, mu, mu_next, rho, rho_inf, weight, share, lr
    progress.step += 1.0
    step = progress.step
    s.grad_factor = -1.0 if o.maximize else 1.0
    s.clip = INFINITY
    s.weight_decay = 0.0 if o.decoupled else o.weight_decay
    s.decay_factor = 1.0
    if o.decoupled and o.weight_decay != 0.0:
        s.decay_factor = 1.0 - (o.lr / o.initial_lr if o.initial_lr != 0.0 else o.lr) * o.weight_decay
    s.step_size, s.grad_step = o.lr, 0.0
    s.beta2, s.eps, s.momentum, s.step_decay = o.beta2, o.eps, o.momentum, 0.0
    s.flags = 0
    s.key = <unsigned long long> step * 0x9E3779B97F4A7C15ull
    _set_mean(o.beta1, s)
    _set_state(s, 0, o.beta1, o.beta1, 1.0 - o.beta1, 0.0, 0.0)
    _set_mean_square(s, 1, o.beta2)
    _set_state(s, 2, 1.0, 1.0, 0.0, 0.0, 0.0)
    if family == SGD:
        s.flags = FT_NESTEROV if o.nesterov else 0
        s.grad_step = 1.0 - o.dampening
        _set_state(s, 0, o.momentum, o.momentum, fabs(s.grad_step), 0.0, 0.0)
        return FT_SGD if o.momentum == 0.0 else FT_MOMENTUM
    if family == ADAGRAD:
        s.step_size = o.lr / (1.0 + (step - 1.0) * o.lr_decay)
        _set_state(s, 0, 1.0, 1.0, 0.0, 1.0, 0.0)
        return FT_ADAGRAD
    if family == RMSPROP:
        s.flags = 0
        _set_mean(o.beta2, s)
        s.flags |= FT_EPS_INSIDE if o.eps_inside else 0
        _set_mean_square(s, 0, o.beta2)
        if o.centered:
            return FT_RMSPROP_CENTERED if o.momentum == 0.0 else FT_RMSPROP_CENTERED_MOMENTUM
        # of grad / root: the root is not below eps, nor below sqrt(1 - alpha) |grad|
        _set_state(s, 1, o.momentum, o.momentum, 1.0 / max(sqrt(o.eps) if o.eps_inside else o.eps, 1e-37), 0.0, 0.0)
        s.top[1][4] = 1.0 / sqrt(1.0 - o.beta2)
        return FT_RMSPROP if o.momentum == 0.0 else FT_RMSPROP_MOMENTUM
    if family == ADADELTA:
        # (1 - rho) delta^2 is not above acc_delta + eps, since square_avg is not below (1 - rho) grad^2
        _set_mean_square(s, 0, o.beta2)
        _set_state(s, 1, o.beta2, 1.0 + o.beta2, 0.0, 0.0, o.eps)
        return FT_ADADELTA
    if family == LION:
        s.grad_step = 1.0 - o.beta1
        s.flags = 0
        _set_mean(o.beta2, s)
        _set_state(s, 0, o.beta2, o.beta2, 1.0 - o.beta2, 0.0, 0.0)
        return FT_LION
    if family == AVERAGE:
        return FT_AVERAGE

    # Adam and its kin: with the corrections c1 = 1 - beta1^t and r = sqrt(1 - beta2^t),
    # lr / c1 m / (sqrt(v) / r + eps) = (lr r / c1) m / (sqrt(v) + r eps)
    if o.bias_correction:
        correction1 = _correction(o.beta1, step)
        root2 = sqrt(_correction(o.beta2, step))
    if family == ADAM:
        s.step_size = o.lr * root2 / correction1
        if not o.eps_inside:
            s.eps = o.eps * root2
        return FT_AMSGRAD if o.amsgrad else FT_ADAM
    if family == NADAM:
        mu = o.beta1 * (1.0 - 0.5 * pow(0.96, step * o.momentum_decay))
        mu_next = o.beta1 * (1.0 - 0.5 * pow(0.96, (step + 1.0) * o.momentum_decay))
        progress.mu_product *= mu
        s.grad_step = o.lr * (1.0 - mu) / (1.0 - progress.mu_product) * root2
        s.step_size = o.lr * mu_next / (1.0 - progress.mu_product * mu_next) * root2
        s.eps = o.eps * root2
        return FT_NADAM
    if family == RADAM:
        rho_inf = 2.0 / (1.0 - o.beta2) - 1.0
        rho = rho_inf - 2.0 * step * pow(o.beta2, step) / (root2 * root2)
        s.step_size = o.lr / correction1
        if rho > 5.0:
            s.flags |= FT_RECTIFIED
            s.step_size *= root2 * sqrt(
                (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)
            )
        return FT_RADAM
    if family == ADAMAX:
        s.step_size = o.lr / correction1
        _set_state(s, 1, o.beta2, o.beta2, 1.0, 0.0, o.eps)
        return FT_ADAMAX
    # schedule-free: y moves towards z by the share of the newest point in the average x
    lr = o.lr
    if step <= o.warmup_steps:
        lr *= step / o.warmup_steps
    progress.lr_max = max(progress.lr_max, lr)
    weight = pow(step, o.r) * pow(progress.lr_max, o.weight_lr_power)
    progress.weight_sum += weight
    share = weight / progress.weight_sum if progress.weight_sum > 0.0 else 0.0
    s.flags = 0
    _set_mean(1.0 - share, s)
    if share <= 0.5:
        s.mean_weight = share       # all its digits
    # the root's correction goes into both steps, so the decay beside the gradient takes it back
    s.weight_decay, s.step_decay = 0.0, o.weight_decay / root2
    s.grad_step = lr * (1.0 - o.beta1 * (1.0 - share)) * root2
    s.step_size = lr * root2
    s.eps = o.eps * root2
    return FT_SCHEDULE_FREE
