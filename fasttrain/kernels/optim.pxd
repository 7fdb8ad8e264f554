# For kernels that update parameters themselves: the scalars of a step, computed in one place.
from fasttrain.kernels.table cimport ft_adam_scalars, ft_sgd_scalars

# step counts from 1 and is exact up to 2^53.
cdef ft_adam_scalars adam_scalars(
    double step, double lr, double beta1, double beta2, double eps, double weight_decay, bint decoupled,
    bint bias_correction,
) noexcept nogil
cdef ft_sgd_scalars sgd_scalars(
    double lr, double momentum, double dampening, double weight_decay, bint nesterov, bint first_step,
) noexcept nogil
