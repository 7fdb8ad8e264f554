"""CPU level and threads: which kernels run, and on how many cores.

The level is chosen once, at import: the best that the machine can run, capped by FASTTRAIN_CPU_LEVEL.
The number of threads is resolved anew for every call, in this order: the argument ``n_threads``, the
context ``num_threads(n)``, ``set_num_threads(n)``, FASTTRAIN_NUM_THREADS, OMP_NUM_THREADS, the CPUs
that this process may use (affinity and the control group's quota).  It is passed to each parallel region;
the OpenMP runtime's own settings are never changed.  A forked child runs on one thread, whatever was
asked, because GNU OpenMP's pool does not survive a fork.
"""
import contextvars
import operator
import os

from fasttrain.kernels.table cimport (
    ft_level_generic,
    ft_level_neon,
    ft_level_v2,
    ft_level_v3,
    ft_level_v4,
    ft_table,
)

cdef extern from "cpu.h" nogil:
    const char* ft_missing_feature(unsigned level, size_t i)
    const char* ft_compiler()


cdef list _missing(unsigned level):
    cdef list names = []
    cdef const char* name = ft_missing_feature(level, 0)
    while name != NULL:
        names.append(name.decode())
        name = ft_missing_feature(level, len(names))
    return names


# ---- CPU level -------------------------------------------------------------------------------------

cdef const ft_table* _tables[5]
_tables[0], _tables[1], _tables[2] = ft_level_v2, ft_level_v3, ft_level_v4
_tables[3], _tables[4] = ft_level_neon, ft_level_generic

# Names of the levels in rising order; the machine number is what cpu.h calls the level.
cdef tuple _NAMES = ("v2", "v3", "v4", "neon", "generic")


def available_cpu_levels():
    """CPU levels that this build has and this machine can run, the best one last.

    Returns
    -------
    list of str
    """
    cdef int i
    return [
        _NAMES[i] for i in range(5)
        if _tables[i] != NULL and (i > 2 or not _missing(i + 2))
    ]


cdef int _choose_level() except -1:
    global table
    levels = available_cpu_levels()
    if not levels:
        raise ImportError(
            "fasttrain needs an x86-64-v2 processor or newer; this one lacks " + ", ".join(_missing(2))
        )
    wanted = os.environ.get("FASTTRAIN_CPU_LEVEL", "")
    if wanted and wanted not in levels:
        raise ImportError(
            f"FASTTRAIN_CPU_LEVEL={wanted!r} is not available here; choose one of {', '.join(levels)}"
        )
    table = _tables[_NAMES.index(wanted or levels[-1])]
    return 0


_choose_level()


def cpu_level():
    """Name of the CPU level in use: 'v2', 'v3', 'v4', 'neon' or 'generic'."""
    return table.name.decode()


# ---- threads ---------------------------------------------------------------------------------------

cdef object _context = contextvars.ContextVar("fasttrain.num_threads", default=None)
cdef int _setting = 0       # set_num_threads; 0 means not set.  Read and written as one aligned word.
cdef bint _forked = False
cdef int _default = 0       # from the environment or the machine, found on first use


def _after_fork_in_child():
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


cdef int _check_count(object n, str name) except -1:
    if isinstance(n, bool):
        raise TypeError(f"{name} must be a positive integer, got {n!r}")
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"{name} must be a positive integer, got {n!r} of type {type(n).__name__}") from None
    if not 1 <= count <= 4096:
        raise ValueError(f"{name} must be between 1 and 4096, got {count}")
    return count


def _quota_cpus():
    """CPUs that the control group's quota allows, rounded up, or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()[:2]
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return None
    try:
        if int(quota) <= 0:
            return None
        return max(1, -(-int(quota) // int(period)))
    except (ValueError, ZeroDivisionError):
        return None  # "max": no quota


cdef int _find_default() except -1:
    for name in ("FASTTRAIN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").strip()
        if not value:
            continue
        first = value.split(",")[0].strip()
        if first.isdigit() and int(first) >= 1:
            return min(int(first), 4096)
        if name == "FASTTRAIN_NUM_THREADS":
            raise ValueError(f"FASTTRAIN_NUM_THREADS must be a positive integer, got {value!r}")
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    quota = _quota_cpus()
    return max(1, min(usable, quota) if quota else usable)


cdef int _threads_in_force(object n_threads) except -1:
    global _default
    cdef int n
    if n_threads is not None:
        n = _check_count(n_threads, "n_threads")
    else:
        in_context = _context.get()
        if in_context is not None:
            n = in_context
        elif _setting:
            n = _setting
        else:
            if not _default:
                _default = _find_default()
            n = _default
    if _forked or ft_openmp_version() == 0:
        return 1
    return n


cdef int threads_for(object n_threads, double work, double grain) except -1:
    cdef int n = _threads_in_force(n_threads)
    if n > 1 and work < n * grain:
        n = <int> (work / grain)
    return n if n > 1 else 1


def get_num_threads():
    """Number of threads that a call without ``n_threads`` may use now.

    Order: the context ``num_threads(n)``, ``set_num_threads(n)``, the environment variables
    FASTTRAIN_NUM_THREADS and OMP_NUM_THREADS, the CPUs that this process may use.  Always 1 in a forked
    child and in a build without OpenMP.
    """
    return _threads_in_force(None)


def set_num_threads(n):
    """Set the number of threads for all calls without ``n_threads``, in all Python threads.

    Parameters
    ----------
    n : int or None
        At least 1; None returns to the environment's or the machine's number.

    Examples
    --------
    >>> import fasttrain
    >>> fasttrain.set_num_threads(1)
    >>> fasttrain.get_num_threads()
    1
    >>> fasttrain.set_num_threads(None)
    """
    global _setting
    _setting = 0 if n is None else _check_count(n, "n")


class num_threads:
    """Context that holds the calls of this Python thread (or task) to ``n`` threads.

    Parameters
    ----------
    n : int
        At least 1.

    Examples
    --------
    >>> import fasttrain
    >>> with fasttrain.num_threads(1):
    ...     fasttrain.get_num_threads()
    1
    """

    def __init__(self, n):
        self._n = _check_count(n, "n")
        self._tokens = []

    def __enter__(self):
        self._tokens.append(_context.set(self._n))
        return self

    def __exit__(self, *exc_info):
        _context.reset(self._tokens.pop())


# ---- what this build is --------------------------------------------------------------------------------

def build_info():
    """Facts of the build and the machine, as a dict of plain values (see ``fasttrain.show_config``)."""
    return {
        "cpu_level": cpu_level(),
        "available_cpu_levels": available_cpu_levels(),
        "vector_bytes": table.vector_bytes,
        "openmp": ft_openmp_version() or None,
        "compiler": ft_compiler().decode(),
    }
