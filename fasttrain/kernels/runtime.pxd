# What every kernel module needs of the runtime: the level's table and the number of threads.
from libc.stdint cimport int64_t, uint64_t

from fasttrain.kernels.table cimport ft_table


cdef extern from "threads.h" nogil:
    int ft_openmp_version()
    ctypedef struct ft_crew:
        pass
    void ft_crew_start(ft_crew* crew, int n_threads)
    int ft_crew_join(ft_crew* crew)
    int64_t ft_crew_take(ft_crew* crew, int thread, uint64_t phase, int64_t n_pieces)
    int ft_crew_finish(ft_crew* crew, int64_t n_pieces)
    void ft_crew_advance(ft_crew* crew, uint64_t phase)
    void ft_crew_wait(ft_crew* crew, uint64_t phase)
    void ft_crew_leave(ft_crew* crew, int thread)

# The table of the level in use; set once, while the module is imported.
cdef const ft_table* table

# Threads to use: n_threads if given, else the setting in force (see get_num_threads), and no more than
# work / grain, at least one.  work and grain are in any common unit.  Raises for a bad n_threads.
cdef int threads_for(object n_threads, double work, double grain) except -1
