"""all_finite against its twin: every place, size, layout and number of threads."""
import numpy as np
import pytest

from fasttrain import reference
from fasttrain.kernels import all_finite

DTYPES = [np.float32, np.float64]
BAD = [np.nan, np.inf, -np.inf]
# a piece is 256 KB: one piece, its end, several, and a cut one
SIZES = [1, 2, 15, 16, 17, 1000, 32768, 65536, 65537, 200_000]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_one_bad_element_anywhere(dtype, size, n_threads):
    x = np.random.default_rng(0).normal(size=size).astype(dtype)
    assert all_finite(x, n_threads=n_threads) is True
    for i, place in enumerate({0, size // 3, size // 2, size - 1}):
        kept, x[place] = x[place], BAD[i % 3]
        assert all_finite(x, n_threads=n_threads) is False
        x[place] = kept


@pytest.mark.parametrize("dtype", DTYPES)
def test_finite_elements_whose_squares_are_not(dtype):
    x = np.full(100_000, np.finfo(dtype).max, dtype)
    x[1::2] *= -1
    assert all_finite(x)
    x[70_000] = np.nan
    assert not all_finite(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 9), (300, 1), (300, 7), (3, 70_000), (5_000, 40)])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_only_the_columns_of_a_view_count(dtype, shape, n_threads):
    n_rows, n_columns = shape
    wide = np.ones((n_rows, n_columns + 3), dtype)
    wide[:, [0, -2, -1]] = np.nan
    x = wide[:, 1:-2]
    assert all_finite(x, n_threads=n_threads)
    for place in [(0, 0), (n_rows - 1, n_columns - 1), (n_rows // 2, n_columns // 2)]:
        x[place] = -np.inf
        assert not all_finite(x, n_threads=n_threads)
        x[place] = 1


def test_empty_and_many_dimensions():
    for shape in [(0,), (0, 5), (5, 0), (2, 0, 3)]:
        assert all_finite(np.empty(shape)) is reference.all_finite(np.empty(shape)) is True
    x = np.zeros((2, 3, 4))
    x[1, 2, 3] = np.nan
    assert all_finite(np.array(1.0)) and not all_finite(np.array(np.inf))
    assert not all_finite(x)
    assert all_finite(x[:1])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0], TypeError, "x must be a numpy.ndarray, got list"),
        (np.ones(3, np.int64), TypeError, "x must have dtype float32 or float64, got int64"),
        (np.ones((4, 6))[:, ::2], ValueError, "the rows of x must be contiguous"),
        (np.ones((4, 6)).T, ValueError, "the rows of x must be contiguous"),
        (np.ones(6)[::2], ValueError, "x must be C-contiguous"),
        (np.ones((2, 3, 4))[:, :2], ValueError, "x must be C-contiguous"),
    ],
)
def test_bad_arguments(x, error, message):
    with pytest.raises(error, match=message):
        all_finite(x)
