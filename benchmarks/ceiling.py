"""The machine's own ceilings, measured in the same run as the kernels that are compared with them.

Kinds: "fma_f32" and "fma_f64" in operations a second (a fused multiply-add is two), "read", "copy" and
"add" in bytes a second.  Each is the best of several variants, on one thread and on all: the run begins with
all of them, and the harness samples the best one again in every round of a case.
"""
import atexit
import ctypes
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_suffix(".c")
# What compiles for exactly the level in use; the vectors' width is told by a macro.
LEVEL_FLAGS = {
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
# Runs of which a sample is the best: the first after a pause finds the cores asleep.
SAMPLE_RUNS = 5
# Arrays that each variant of a memory kind streams over.
MEMORY_ARRAYS = {"read": (1, 1, 1), "copy": (2, 2, 2), "add": (3, 3, 3, 7)}
PIECE = 1 << 18  # floats; as in ceiling.c


def _compile(level, vector_bytes):
    """The compiled ceiling.c, or None and the reason where there is no compiler."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]
    if shutil.which(compiler[0]) is None:
        compiler = ["cc"]
    if shutil.which(compiler[0]) is None:
        return None, "no C compiler"
    folder = tempfile.mkdtemp(prefix="fasttrain-ceiling-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = Path(folder) / "ceiling.so"
    command = [*compiler, "-O3", "-shared", "-fPIC", f"-DVECTOR_BYTES={vector_bytes}"]
    command += [*LEVEL_FLAGS.get(level, []), str(SOURCE), "-o", str(library)]
    errors = ""
    for openmp in (["-fopenmp"], []):
        done = subprocess.run([*command, *openmp], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return ctypes.CDLL(str(library)), ""
        errors = errors or done.stderr
    return None, f"{compiler[0]} failed: {errors.strip().splitlines()[-1]}"


class Ceilings:
    """Best rates seen so far, by kind; `reason` says why there are none.

    n_mebibytes is the size of each of four arrays that the memory kinds stream over.
    """

    def __init__(self, level, vector_bytes, n_threads, n_mebibytes):
        self.best = {}
        self._best_variant = {}
        self._n_threads = n_threads
        self._lanes = {0: vector_bytes // 4, 1: vector_bytes // 8}
        self._n = n_mebibytes * (1 << 20) // 4 // PIECE * PIECE
        self._arrays = None
        self._library, self.reason = _compile(level, vector_bytes)
        if self._library is None:
            return
        library = self._library
        for name in ("ceiling_fma", "ceiling_read", "ceiling_copy", "ceiling_add"):
            getattr(library, name).restype = ctypes.c_double
        pointer, size, number = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int
        library.ceiling_fma.argtypes = [number, number, ctypes.c_long, number, pointer]
        library.ceiling_read.argtypes = [number, pointer, size, number, pointer]
        library.ceiling_copy.argtypes = [number, pointer, pointer, size, number]
        library.ceiling_add.argtypes = [number, pointer, pointer, pointer, pointer, size, number]
        self._chains = list((ctypes.c_int * 7).in_dll(library, "ceiling_fma_chains"))

    def measure(self, kinds, n_rounds):
        """All variants of `kinds`, on one thread and on all, `n_rounds` times."""
        if self._library is None:
            return
        for _ in range(n_rounds):
            for kind in kinds:
                for n_threads in sorted({1, self._n_threads}):
                    for variant in range(self._n_variants(kind)):
                        self._run(kind, variant, n_threads, self._n)

    def sample(self, kind, amount):
        """The rate of the best variant of `kind` now; cheap enough to stand in every round of a case.

        The memory kinds stream over `amount` bytes, or all there are: of an array that is read again and again
        the last-level cache keeps a part, which makes 188 MB 5 % faster than 512 and 80 MB 15 %.
        """
        if kind not in self._best_variant:
            self.measure([kind], 1)
        variant, n_threads = self._best_variant[kind]
        n = self._n
        if kind in MEMORY_ARRAYS:
            n = min(n, max(1, int(amount) // (4 * MEMORY_ARRAYS[kind][variant] * PIECE)) * PIECE)
        return max(self._run(kind, variant, n_threads, n) for _ in range(SAMPLE_RUNS))

    def release(self):
        """Give the arrays of the memory kinds back."""
        self._arrays = None

    def _n_variants(self, kind):
        return len(MEMORY_ARRAYS.get(kind, self._chains))

    def _run(self, kind, variant, n_threads, n):
        """A rate; n is the length in floats of each array that a memory kind streams over."""
        sink = ctypes.c_double()
        if kind in ("fma_f32", "fma_f64"):
            is_double = int(kind == "fma_f64")
            n_steps = 4_000_000 // self._chains[variant]  # about a millisecond
            seconds = self._library.ceiling_fma(is_double, variant, n_steps, n_threads, ctypes.byref(sink))
            amount = 2.0 * self._chains[variant] * n_steps * self._lanes[is_double] * n_threads
        else:
            if self._arrays is None:
                # aligned, and each page written once, so that it is there
                self._arrays = [aligned_ones(self._n) for _ in range(4)]
            a, b, c, d = (array.ctypes.data for array in self._arrays)
            if kind == "read":
                seconds = self._library.ceiling_read(variant, a, n, n_threads, ctypes.byref(sink))
            elif kind == "copy":
                seconds = self._library.ceiling_copy(variant, a, b, n, n_threads)
            else:
                seconds = self._library.ceiling_add(variant, a, b, c, d, n, n_threads)
            amount = 4.0 * n * MEMORY_ARRAYS[kind][variant]
        rate = amount / seconds
        if n == self._n and rate > self.best.get(kind, 0.0):
            self.best[kind] = rate
            self._best_variant[kind] = (variant, n_threads)
        return rate


def aligned_ones(n):
    """n float32 ones that start at a cache line."""
    memory = np.empty(4 * n + 64, np.uint8)
    start = -memory.ctypes.data % 64
    array = memory[start:start + 4 * n].view(np.float32)
    array.fill(1.0)
    return array
