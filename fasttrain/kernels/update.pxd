# One step of update rules over many arrays: the parallel pass that all optimizers share.
from fasttrain.kernels.rules cimport Family, Progress

# One step of a family on arrays of a user, float32 or float64 all of them.  given: the options by name; states: by
# name, in any order, None for one that is not there.  The progress moves on by a step.
cdef int update_one(Family family, dict given, Progress* progress, object param, object grad, dict states,
                    object n_threads) except -1
