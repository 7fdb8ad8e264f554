"""The one table of tolerances, by family of function.  A looser number needs its reason beside it.

eps is the machine epsilon of the dtype under test.
"""
import numpy as np

# Elementwise without transcendental functions, and with them: units in the last place.
ULP_ELEMENTWISE = 2
ULP_TRANSCENDENTAL = 4

# Reductions: |error| <= RTOL_REDUCTION[dtype] * sum|x|.
RTOL_REDUCTION = {np.dtype("float64"): 1e-12, np.dtype("float32"): 1e-6}

# Matrix products: |error| <= RTOL_MATMUL[dtype] * growth(k) * (|A| |B|), elementwise.
RTOL_MATMUL = {np.dtype("float64"): 1e-14, np.dtype("float32"): 1e-6}


def matmul_growth(k):
    """Growth of rounding with the length of the sum: random-walk, with room for an unlucky order."""
    return 1.0 + np.sqrt(k) / 4.0


# Fourth-order central differences in float64.
GRADIENT_STEP = 1e-3
GRADIENT_RTOL = 5e-6
GRADIENT_ATOL = 1e-10
