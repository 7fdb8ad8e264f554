"""`fasttrain.show_config()`: what this build is and what it runs on."""
import os
import platform
from typing import Any, Literal, overload

import numpy as np

from fasttrain._version import __version__
from fasttrain.kernels.runtime import build_info, get_num_threads

# How the files of OpenMP runtimes begin: GNU, LLVM (also Apple's), Intel.
_OPENMP_LIBRARIES = ("libgomp", "libomp", "libiomp")


def _loaded_openmp_runtimes() -> list[str]:
    """File names of the OpenMP runtimes in this process; more than one means more than one thread pool."""
    try:
        with open("/proc/self/maps") as file:
            names = {os.path.basename(line.rstrip("\n").partition("/")[2]) for line in file}
    except OSError:  # not Linux
        return []
    return sorted(name for name in names if name.startswith(_OPENMP_LIBRARIES))


@overload
def show_config(mode: Literal["print"] = "print") -> None: ...
@overload
def show_config(mode: Literal["dict"]) -> dict[str, Any]: ...
def show_config(mode: str = "print") -> dict[str, Any] | None:
    """Print or return the CPU level, the threads, the OpenMP runtime, the compiler and the versions.

    Parameters
    ----------
    mode : {"print", "dict"}
        Print the facts, or return them.

    Returns
    -------
    dict or None
        With ``mode="dict"``, the keys:

        - ``fasttrain``, ``numpy``, ``python``: versions
        - ``machine``: architecture and operating system
        - ``cpu_level``: the kernels in use; ``available_cpu_levels``: what FASTTRAIN_CPU_LEVEL may name
        - ``vector_bytes``: width of the level's vectors
        - ``n_threads``: threads that a call may use now (see ``fasttrain.set_num_threads``)
        - ``openmp``: date of the OpenMP standard, as yyyymm, or None in a build without OpenMP
        - ``openmp_runtimes``: file names of all OpenMP runtimes in the process (Linux only)
        - ``compiler``: what the kernels were compiled with

    Raises
    ------
    ValueError
        If `mode` is unknown.

    Examples
    --------
    >>> import fasttrain
    >>> config = fasttrain.show_config(mode="dict")
    >>> config["cpu_level"] in config["available_cpu_levels"]
    True
    """
    if mode not in ("print", "dict"):
        raise ValueError(f"mode must be 'print' or 'dict', got {mode!r}")
    config: dict[str, Any] = {
        "fasttrain": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {platform.system()}",
        **build_info(),
        "n_threads": get_num_threads(),
        "openmp_runtimes": _loaded_openmp_runtimes(),
    }
    if mode == "dict":
        return config
    for name, value in config.items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{name + ':':22}{'none' if text in (None, '') else text}")
    return None
