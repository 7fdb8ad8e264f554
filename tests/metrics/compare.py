"""The same call to fasttrain and to scikit-learn: same answer, same warnings, same refusals."""

import warnings

import numpy as np

from fasttrain.exceptions import InvalidParameterError

RTOL = 1e-12


def call(function, *args, **kwargs):
    """(result or exception, categories of the warnings)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = function(*args, **kwargs)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            result = error
    return result, {one.category.__name__ for one in caught}


def assert_same(ours, theirs, *args, atol=1e-15, **kwargs):
    """Call both; compare results, exception classes and kinds of warnings."""
    actual, actual_warnings = call(ours, *args, **kwargs)
    expected, expected_warnings = call(theirs, *args, **kwargs)
    if isinstance(expected, Exception):
        assert isinstance(actual, Exception), f"{expected!r} expected, got {actual!r}"
        if isinstance(expected, InvalidParameterError) or type(expected).__name__ == "InvalidParameterError":
            assert isinstance(actual, InvalidParameterError), repr(actual)
        else:
            assert isinstance(actual, type(expected)), f"{expected!r} expected, got {actual!r}"
        return
    if isinstance(actual, Exception):
        raise actual
    # scikit-learn's divisions leak NumPy's own warnings in places
    assert actual_warnings == expected_warnings - {"RuntimeWarning"}
    assert_equal(actual, expected, atol)


def assert_equal(actual, expected, atol=1e-15):
    """Integers and texts exactly, floats to RTOL or atol, and the same types of containers."""
    if isinstance(expected, tuple):
        assert isinstance(actual, tuple)
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_equal(one, other, atol)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_equal(actual[key], expected[key], atol)
    elif expected is None or isinstance(expected, str):
        assert actual == expected
    else:
        assert np.shape(actual) == np.shape(expected)
        if isinstance(expected, np.ndarray) and expected.dtype.kind == "i":
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected)
        else:
            np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=atol)
