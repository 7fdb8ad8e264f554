"""One adapter per peer: how its threads are set, and which settings count as its best.

Each call of an adapter gives the contestants of one row, on one thread and on all; the better counts.
An adapter of a peer that is not installed gives none, so that the row goes without it.
"""
import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import threadpoolctl

from benchmarks.harness import QUICK, Contestant
from benchmarks.numpy_worker import CALLS


def installed(module):
    return importlib.util.find_spec(module) is not None


class Peers:
    """All peers of a run that uses n_threads threads."""

    def __init__(self, n_threads, has_avx512):
        self._counts = sorted({1, n_threads})
        self._controller = threadpoolctl.ThreadpoolController()
        self._has_avx512 = has_avx512 and not QUICK
        self._worker = None

    @staticmethod
    def alone(name, call):
        """Another way to do the work, as it is."""
        return [Contestant(name, call)]

    # ---- NumPy ----

    def reference(self, call):
        """The kernel's twin in fasttrain.reference: NumPy written to be read, not to be fast."""
        return self._each("NumPy reference", call, self._set_blas_threads)

    def numpy_blas(self, name, *arrays):
        """NumPy on one of numpy_worker.CALLS, and once more with OpenBLAS's kernels for AVX-512, if any."""
        call = CALLS[name]
        contestants = self._each("NumPy", lambda: call(*arrays), self._set_blas_threads)
        if self._has_avx512:
            contestants += self._avx512(name, arrays)
        return contestants

    def _avx512(self, name, arrays):
        if self._worker is None:
            self._worker = _Worker()
            if "SkylakeX" not in self._worker.ask("architecture"):
                self._has_avx512 = False  # not OpenBLAS, or one without these kernels
                return []
        self._worker.ask("load", name, arrays)
        return [_InWorker("NumPy, AVX-512 OpenBLAS", None, n, worker=self._worker) for n in self._counts]

    # ---- torch and scikit-learn ----

    def torch(self, prepare):
        """torch, if installed: what prepare(torch) returns."""
        if not installed("torch"):
            return []
        import torch

        return self._each("torch", prepare(torch), torch.set_num_threads)

    def sklearn(self, prepare):
        """scikit-learn, if installed: what prepare() returns, which may import it."""
        if not installed("sklearn"):
            return []
        return self._each("scikit-learn", prepare(), self._set_all_threads)

    def scipy(self, name, call):
        """A way that needs scipy, if installed; it has no threads."""
        return self.alone(name, call) if installed("scipy") else []

    # ---- threads ----

    def _each(self, name, call, set_threads):
        return [Contestant(name, call, n, set_threads) for n in self._counts]

    def _set_blas_threads(self, n_threads):
        self._controller.limit(limits=n_threads, user_api="blas")

    def _set_all_threads(self, n_threads):
        # anew: scikit-learn brings libraries that were not loaded when the run began
        threadpoolctl.threadpool_limits(limits=n_threads)

    def restore_threads(self):
        """All threads for everybody, as it is where nobody sets any."""
        threadpoolctl.threadpool_limits(limits=self._counts[-1])

    def close(self):
        if self._worker is not None:
            self._worker.close()


class _Worker:
    """NumPy in another process, with OpenBLAS forced to its kernels for AVX-512."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("numpy_worker.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_CORETYPE": "SkylakeX"},
        )

    def ask(self, *request):
        pickle.dump(request, self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)


class _InWorker(Contestant):
    """The row that the worker has loaded."""

    def __init__(self, *arguments, worker):
        super().__init__(*arguments)
        self._worker = worker

    def sample(self, n_calls, warm):
        return self._worker.ask("sample", self.n_threads, n_calls, warm)
