"""What several test files need: ULP distances, gradients by differences, every thread count."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

import fasttrain
from tests import tolerances

THREAD_COUNTS = (1, 2, 3)
DTYPES = (np.float32, np.float64)
# Around vector widths and pieces.
SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97)


def ulp_distance(actual, expected):
    """Distance in units of the last place of `actual`'s dtype; NaNs and equal infinities are 0 apart.

    `expected` is float64 (or wider) and is compared as it is, not rounded first.
    """
    actual = np.asarray(actual)
    expected = np.asarray(expected, dtype=np.longdouble)
    spacing = np.spacing(np.abs(expected).astype(actual.dtype)).astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        distance = np.abs(actual.astype(np.longdouble) - expected) / spacing
    same = (np.isnan(actual) & np.isnan(expected)) | (actual == expected.astype(actual.dtype))
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance)).astype(np.float64)


def numerical_gradient(function, x, step=tolerances.GRADIENT_STEP):
    """Gradient of a scalar function of a float64 array by fourth-order central differences."""
    x = np.array(x, dtype=np.float64)
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        centre = x[index]
        h = step * max(1.0, abs(centre))
        values = []
        for offset in (-2, -1, 1, 2):
            x[index] = centre + offset * h
            values.append(function(x))
        x[index] = centre
        gradient[index] = (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * h)
    return gradient


def run_python(code, *arguments, timeout=60, **environment):
    """Run `code` in a fresh interpreter that imports this fasttrain.

    The environment is this process's, less the settings of threads, with `environment` on top; None unsets.
    Returns the finished process with its output as text; a hung child raises subprocess.TimeoutExpired.
    """
    settings = {"FASTTRAIN_NUM_THREADS": None, "OMP_NUM_THREADS": None, **environment}
    settings["PYTHONPATH"] = str(Path(fasttrain.__file__).parents[1])
    variables = {name: value for name, value in (os.environ | settings).items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=variables, capture_output=True, text=True, timeout=timeout, check=False,
    )
