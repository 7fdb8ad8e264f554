# The scalars of a step of every update rule, computed in one place, in double.
from fasttrain.kernels.table cimport ft_update_scalars

cdef enum Family:
    SGD, ADAM, NADAM, RADAM, ADAMAX, ADAGRAD, RMSPROP, ADADELTA, LION, SCHEDULE_FREE, AVERAGE
    N_FAMILIES

# The options of a family, checked; those that it does not have are 0.
cdef struct Options:
    double lr, beta1, beta2, eps, weight_decay, initial_lr, momentum, dampening, lr_decay, momentum_decay
    double warmup_steps, r, weight_lr_power
    bint maximize, decoupled, bias_correction, amsgrad, nesterov, centered, eps_inside

# What a family counts from step to step.
cdef struct Progress:
    double step                 # steps taken; exact up to 2^53
    double mu_product           # nadam: the product of the momenta
    double weight_sum, lr_max   # schedule-free: of the average

cdef void progress_start(Progress* progress) noexcept nogil

# The options named in `given` by the Python classes; raises for one that is missing or bad.
cdef int options_of(Family family, object given, Options* options) except -1
# One step further: the scalars, and which rule of the table takes them.
cdef int scalars_of(Family family, const Options* options, Progress* progress, ft_update_scalars* s) noexcept nogil
