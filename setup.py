"""The extension modules; everything else is in pyproject.toml."""
import os
import sys
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

KERNELS = Path("fasttrain/kernels")

compile_args = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fvisibility=hidden"]
# No debugging information, but the symbols stay: profilers name the kernels by them, and tests/test_build.py
# checks in any build, installed wheels included, which file an AVX instruction came from.
compile_args += ["-g0", *os.environ.get("FASTTRAIN_EXTRA_CFLAGS", "").split()]
link_args = []
if os.environ.get("FASTTRAIN_NO_OPENMP", "0") == "0":
    if sys.platform == "darwin":
        compile_args += ["-Xpreprocessor", "-fopenmp"]
        link_args += ["-lomp"]
    else:
        compile_args += ["-fopenmp"]
        link_args += ["-fopenmp"]

levels = sorted(str(path) for path in KERNELS.glob("simd/level_*.c"))
headers = sorted(str(path) for path in [*KERNELS.glob("*.h"), *KERNELS.glob("simd/*.h")])
extensions = [
    Extension(
        f"fasttrain.kernels.{path.stem}",
        # the level tables live in `runtime`; the other modules reach them through its pointer
        [str(path), *(levels if path.stem == "runtime" else [])],
        include_dirs=[str(KERNELS), np.get_include()],
        depends=headers,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        language="c",
    )
    for path in sorted(KERNELS.glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "cdivision": True,
            "freethreading_compatible": True,
            "embedsignature": True,
            "embedsignature.format": "python",
        },
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
