"""What fasttrain costs before it does anything: the time of its import and the size of its wheel."""
import statistics
import subprocess
import sys
import zlib
from pathlib import Path

import fasttrain
from benchmarks.harness import QUICK

IMPORT = """
import time
import numpy
start = time.perf_counter()
import fasttrain
print(time.perf_counter() - start)
"""
# What packages.find and package-data in pyproject.toml let into a wheel.
WHEEL_SUFFIXES = {".py", ".pyi", ".so", ".typed", ".csv", ".gz", ".npy", ".npz", ".txt"}


def bench_import_time(bench):
    seconds = []
    command = [sys.executable, "-c", IMPORT]
    for _ in range(3 if QUICK else 21):
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(float(child.stdout))
    bench.target(
        "import fasttrain, over import numpy", 1e3 * statistics.median(seconds), at_most=30.0,
        form="{:.1f} ms", in_quick=True,
    )


def bench_wheel_size(bench):
    """The package's files, deflated as a wheel does it; its metadata adds a few kilobytes."""
    package = Path(fasttrain.__file__).parent
    files = [path for path in package.rglob("*") if path.suffix in WHEEL_SUFFIXES and path.is_file()]
    size = sum(len(zlib.compress(path.read_bytes())) for path in files)
    bench.target("wheel, before vendored libraries", size / 1e6, at_most=3.0, form="{:.2f} MB", in_quick=True)
