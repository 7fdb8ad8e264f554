"""The embedded digits."""
import numpy as np
import pytest

from fasttrain.data import load_digits


def test_equal_to_scikit_learns():
    peer = pytest.importorskip("sklearn.datasets", reason="compares with scikit-learn").load_digits()
    digits = load_digits()
    np.testing.assert_array_equal(digits.data, peer.data)
    np.testing.assert_array_equal(digits.images, peer.images)
    np.testing.assert_array_equal(digits.target, peer.target)
    np.testing.assert_array_equal(digits.target_names, peer.target_names)
    assert digits.data.dtype == peer.data.dtype
    assert digits.target.dtype == np.int64


def test_known_values():
    digits = load_digits()
    assert digits.data.shape == (1797, 64)
    assert digits.data.min() == 0
    assert digits.data.max() == 16
    np.testing.assert_array_equal(digits.images[0, 0], [0, 0, 5, 13, 9, 1, 0, 0])
    np.testing.assert_array_equal(np.bincount(digits.target), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float32"])
@pytest.mark.parametrize("scaled", [False, True])
def test_options(dtype, scaled):
    X, y = load_digits(return_X_y=True, dtype=dtype, scaled=scaled)
    assert X.dtype == np.dtype(dtype)
    assert X.flags.c_contiguous
    assert X.flags.writeable
    np.testing.assert_array_equal(X * (16 if scaled else 1), load_digits().data)
    np.testing.assert_array_equal(y, load_digits().target)


def test_source_and_licence_come_along():
    for text in (load_digits().DESCR, load_digits.__doc__):
        assert "10.24432/C50P49" in text
        assert "CC BY 4.0" in text
        assert "Alpaydin" in text


@pytest.mark.parametrize("dtype", [np.int64, "float16", None])
def test_bad_dtype(dtype):
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        load_digits(dtype=dtype)
