"""Rows cut into chunks, chunks fed to states, states merged in some order: what the tests of all states share."""

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.metrics.compare import assert_equal, call


@st.composite
def cuts(draw, n_rows, most=4):
    """Slices of all rows, some of them maybe empty."""
    ends = sorted(draw(st.lists(st.integers(0, n_rows), max_size=most)))
    return [slice(begin, end) for begin, end in zip([0, *ends], [*ends, n_rows], strict=True)]


def fed(state, chunks, *columns):
    """The state after these chunks of the columns; a column may be None."""
    for chunk in chunks:
        assert state.update(*(None if one is None else one[chunk] for one in columns)) is state
    return state


def fed_by_shards(make, chunks, tree, *columns):
    """One state a chunk, through arrays, merged in the order that `tree` (a sequence of numbers) tells."""
    states = [fed(make(), [chunk], *columns) for chunk in chunks]
    states = [type(state).from_arrays(state.to_arrays()) for state in states]
    for number in tree:
        if len(states) == 1:
            break
        one = states.pop(number % len(states))
        other = states[number % len(states)]
        before = other.to_arrays(), one.to_arrays()
        assert other.merge(one) is other
        assert_same_arrays(one.to_arrays(), before[1])
    while len(states) > 1:
        last = states.pop()
        states[0].merge(last)
    return states[0]


def assert_same_arrays(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        np.testing.assert_array_equal(a[name], b[name])


def assert_same_metric(method, function, *rows, atol=1e-15, **options):
    """The state's answer is the function's: values, warnings and classes of errors."""
    actual, actual_warnings = call(method, **options)
    expected, expected_warnings = call(function, *rows, **options)
    if isinstance(expected, Exception):
        assert isinstance(actual, type(expected)), f"{expected!r} expected, got {actual!r}"
        return
    if isinstance(actual, Exception):
        raise actual
    assert actual_warnings == expected_warnings
    assert_equal(actual, expected, atol)


def assert_refuses_broken_arrays(state, signed=()):
    """Arrays that lack one, have one too many, or have one of another dtype or shape, or negative numbers."""
    make, arrays = type(state).from_arrays, state.to_arrays()
    make(arrays)
    with pytest.raises(TypeError, match="arrays must be a dict"):
        make(3)
    with pytest.raises(ValueError, match="nothing else"):
        make({**arrays, "more": np.zeros(1)})
    with pytest.raises(ValueError, match="arrays must be those of a state"):
        make({**arrays, "state": np.array("another 1")})
    for name in arrays:
        with pytest.raises(ValueError, match="must"):
            make({key: value for key, value in arrays.items() if key != name})
        for broken in (np.zeros(arrays[name].shape, "M8[s]"), arrays[name][np.newaxis]):
            with pytest.raises(ValueError, match=f"arrays\\['{name}'\\] must have"):
                make({**arrays, name: broken})
        if name not in signed and arrays[name].size and arrays[name].ndim and arrays[name].dtype.kind in "if":
            with pytest.raises(ValueError, match="must"):
                make({**arrays, name: -1 - arrays[name]})
