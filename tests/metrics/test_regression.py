"""Regression metrics against scikit-learn, and what both must refuse."""
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import metrics
from tests.metrics.compare import assert_same

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 2.5, 3.0, 1e-8, 1e8, -7.25])


@st.composite
def targets(draw):
    """(y_true, y_pred, sample_weight, n_outputs)."""
    n, k = draw(st.integers(1, 8)), draw(st.integers(0, 3))
    y_true, y_pred = (
        np.array(draw(st.lists(NUMBERS, min_size=n * max(k, 1), max_size=n * max(k, 1)))).reshape((n, k) if k else n)
        for _ in range(2)
    )
    if draw(st.booleans()):
        y_pred = y_true.copy()
        y_pred[:1] = draw(NUMBERS)
    weight = draw(st.one_of(st.none(), st.lists(st.sampled_from([0.0, 1.0, 0.1, 3.0]), min_size=n, max_size=n)))
    return y_true, y_pred, weight, max(k, 1)


def multioutputs(k):
    names = ["raw_values", "uniform_average"]
    return st.one_of(st.sampled_from(names), st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=k, max_size=k))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), case=targets())
def test_mean_squared_error(data, case):
    y_true, y_pred, weight, k = case
    assert_same(
        metrics.mean_squared_error, peer.mean_squared_error, y_true, y_pred,
        sample_weight=weight, multioutput=data.draw(multioutputs(k)),
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(data=st.data(), case=targets(), force_finite=st.booleans())
def test_r2(data, case, force_finite):
    y_true, y_pred, weight, k = case
    multioutput = data.draw(st.one_of(multioutputs(k), st.sampled_from([None, "variance_weighted"])))
    scale = np.abs(y_true).max()
    # in a sum of squares about a mean that is rounded, a constant is not quite one, in either library
    weighted_constant = weight is not None and any(np.ptp(column) < 1e-6 * scale for column in np.atleast_2d(y_true.T))
    if not weighted_constant:
        assert_same(
            metrics.r2_score, peer.r2_score, y_true, y_pred,
            sample_weight=weight, multioutput=multioutput, force_finite=force_finite,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.uint64, bool])
@pytest.mark.parametrize("shape", [(70_000,), (1,), (2,), (16_385,), (5000, 7), (7, 5000), (3, 40_000)])
def test_types_and_sizes(dtype, shape):
    """float32 and smaller types add up in float64."""
    rng = np.random.default_rng(0)
    y_true, y_pred = (rng.integers(0, 2 if dtype is bool else 100, shape).astype(dtype) for _ in range(2))
    if np.dtype(dtype).kind == "f":
        y_true, y_pred = y_true / dtype(7), y_pred / dtype(7)
    wide_true, wide_pred = y_true.astype(np.float64), y_pred.astype(np.float64)
    weight = rng.random(shape[0])
    for options in ({}, {"sample_weight": weight}):
        for name in ("mean_squared_error", "r2_score"):
            if name == "r2_score" and shape[0] < 2:
                continue
            np.testing.assert_allclose(
                getattr(metrics, name)(y_true, y_pred, **options),
                getattr(peer, name)(wide_true, wide_pred, **options),
                rtol=1e-12,
                # r2 is 1 minus a sum
                atol=1e-12 if name == "r2_score" else 0,
            )


def test_a_mean_far_from_zero_costs_no_digits():
    rng = np.random.default_rng(0)
    y_true = 1e9 + rng.standard_normal(100_000)
    y_pred = y_true + 0.1 * rng.standard_normal(100_000)
    exact = y_true - 1e9
    expected = 1 - np.sum((y_true - y_pred) ** 2) / np.sum((exact - exact.mean()) ** 2)
    np.testing.assert_allclose(metrics.r2_score(y_true, y_pred), expected, rtol=1e-9)


def test_layouts():
    y = np.arange(12.0).reshape(4, 3)
    other = y[::-1] + 1
    expected = peer.mean_squared_error(y, other)
    for a in (y, np.asfortranarray(y), y.astype(">f8"), np.repeat(y, 2, axis=1)[:, ::2], y.tolist()):
        np.testing.assert_allclose(metrics.mean_squared_error(a, other), expected, rtol=1e-12)


HALVES = [0.5, 1.5, 2.5]


@pytest.mark.parametrize("name", ["mean_squared_error", "r2_score"])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "options"),
    [
        ([], [], {}),
        (HALVES, HALVES[:2], {}),
        (HALVES, [0.5, np.nan, 1], {}),
        ([0.5, np.inf, 1], HALVES, {}),
        ([np.inf, 1, 2], [np.inf, 1, 2], {}),
        (HALVES, [[1, 2]] * 3, {}),
        (HALVES, np.zeros((3, 1, 1)), {}),
        (HALVES, np.zeros((3, 0)), {}),
        (HALVES, "abc", {}),
        (HALVES, 1.0, {}),
        (None, HALVES, {}),
        (HALVES, np.array(1.0), {}),
        (HALVES, ["a", "b", "c"], {}),
        (HALVES, [1j, 1, 2], {}),
        (HALVES, [[1, 2], [1], [2]], {}),
        (HALVES, HALVES, {"multioutput": "mean"}),
        (HALVES, HALVES, {"multioutput": 1}),
        (HALVES, HALVES, {"multioutput": [1.0]}),
        ([[1, 2]] * 3, [[1, 2]] * 3, {"multioutput": [1.0]}),
        ([[1, 2]] * 3, [[1, 2]] * 3, {"multioutput": [1.0, np.nan]}),
        ([[1, 2]] * 3, [[1, 2]] * 3, {"multioutput": [1.0, -1.0]}),
        (HALVES, HALVES, {"sample_weight": [1, 2]}),
        (HALVES, HALVES, {"sample_weight": [0, 0, 0]}),
        (HALVES, HALVES, {"sample_weight": [1, np.nan, 0]}),
        (HALVES, HALVES, {"sample_weight": 1.0}),
        (HALVES, HALVES, {"sample_weight": [[1], [1], [1]]}),
        ([1.0], [2.0], {}),
    ],
)
def test_bad_input_is_refused_as_by_scikit_learn(name, y_true, y_pred, options):
    assert_same(getattr(metrics, name), getattr(peer, name), y_true, y_pred, **options)


def test_options_of_one_function():
    assert_same(metrics.mean_squared_error, peer.mean_squared_error, HALVES, HALVES, multioutput=None)
    assert_same(metrics.mean_squared_error, peer.mean_squared_error, HALVES, HALVES, multioutput="variance_weighted")
    assert_same(metrics.r2_score, peer.r2_score, HALVES, HALVES, force_finite=1)


def test_the_bad_number_is_named():
    with pytest.raises(ValueError, match=r"y_pred must not hold NaN or infinity, got \[nan\] in row 1"):
        metrics.mean_squared_error(HALVES, [0, np.nan, 1])


def test_overflow_of_finite_numbers_is_infinity():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.mean_squared_error([1e300, 1], [-1e300, 1]) == math.inf
