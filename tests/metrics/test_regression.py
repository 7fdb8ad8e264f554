"""Regression metrics against scikit-learn, and what both must refuse.

scikit-learn computes in the dtype of the inputs, fasttrain in float64: they are compared on float64, and on other
dtypes after these are widened for scikit-learn.
"""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import metrics
from tests.metrics.compare import assert_same

peer = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")

# Sums of these and of their squares are exact, so that both libraries find the same outputs constant.
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 2.5, 3.0, 0.125, -7.25])
POSITIVE = st.sampled_from([0.5, 1.0, 2.5, 3.0, 0.125, 1e3, 1e-3, 7.25])
WEIGHTS = st.sampled_from([0.0, 1.0, 0.25, 3.0])
ROUNDED = st.sampled_from([0.0, 1.0, -1.0, 2.5, 3.0, 1e-8, 1e8, -7.25, 0.1])
ROUNDED_WEIGHTS = st.sampled_from([0.0, 1.0, 0.1, 3.0, 1e-3])

ERRORS = [
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_error",
    "median_absolute_error",
    "mean_absolute_percentage_error",
    "mean_pinball_loss",
]
LOG_ERRORS = ["mean_squared_log_error", "root_mean_squared_log_error"]
SCORES = ["r2_score", "explained_variance_score", "d2_pinball_score", "d2_absolute_error_score"]
DEVIANCES = [
    "mean_tweedie_deviance", "mean_poisson_deviance", "mean_gamma_deviance", "d2_tweedie_score"
]  # fmt: skip
ALL = [*ERRORS, *LOG_ERRORS, *SCORES, *DEVIANCES, "max_error"]
WITH_ALPHA = ("mean_pinball_loss", "d2_pinball_score")
WITH_POWER = ("mean_tweedie_deviance", "d2_tweedie_score")
WITH_FORCE_FINITE = ("r2_score", "explained_variance_score")


@st.composite
def targets(draw, numbers=NUMBERS, weights=WEIGHTS, most_outputs=3):
    """(y_true, y_pred, sample_weight, n_outputs)."""
    n, k = draw(st.integers(1, 8)), draw(st.integers(0, most_outputs))
    y_true, y_pred = (
        np.array(draw(st.lists(numbers, min_size=n * max(k, 1), max_size=n * max(k, 1)))).reshape(
            (n, k) if k else n
        )
        for _ in range(2)
    )
    if draw(st.booleans()):
        y_pred = y_true.copy()
        y_pred[:1] = draw(numbers)
    if draw(st.sampled_from([False, False, False, True])):
        y_true[:] = y_true[:1]
    weight = draw(st.one_of(st.none(), st.lists(weights, min_size=n, max_size=n)))
    return y_true, y_pred, weight, max(k, 1)


def multioutputs(k):
    names = ["raw_values", "uniform_average"]
    return st.one_of(
        st.sampled_from(names), st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=k, max_size=k)
    )


def compare(name, *arguments, **options):
    # a score is 1 less a quotient, whose last digits are those of 1
    atol = 1e-14 if name in SCORES or name == "d2_tweedie_score" else 1e-15
    assert_same(getattr(metrics, name), getattr(peer, name), *arguments, atol=atol, **options)


@pytest.mark.parametrize("name", [*ERRORS, *SCORES])
@settings(max_examples=150, deadline=None)
@given(data=st.data(), case=targets())
def test_errors_and_scores(name, data, case):
    y_true, y_pred, weight, k = case
    options = {"sample_weight": weight, "multioutput": data.draw(multioutputs(k))}
    if name in WITH_ALPHA:
        options["alpha"] = data.draw(st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]))
    if name in WITH_FORCE_FINITE:
        options["force_finite"] = data.draw(st.booleans())
        if data.draw(st.booleans()):
            options["multioutput"] = data.draw(st.sampled_from([None, "variance_weighted"]))
    compare(name, y_true, y_pred, **options)


@pytest.mark.parametrize("name", [*ERRORS, *SCORES])
@settings(max_examples=80, deadline=None)
@given(data=st.data(), case=targets(ROUNDED, ROUNDED_WEIGHTS))
def test_errors_and_scores_that_round(name, data, case):
    y_true, y_pred, weight, k = case
    options = {"sample_weight": weight, "multioutput": data.draw(multioutputs(k))}
    if name in SCORES:
        used = np.ones(len(y_true), bool) if weight is None else np.array(weight) > 0
        spread = np.ptp(np.atleast_2d(y_true.T)[:, used], axis=1) if used.any() else np.zeros(1)
        errors = np.ptp(np.atleast_2d((y_true - y_pred).T)[:, used], axis=1) if used.any() else np.zeros(1)
        scale = np.abs(y_true).max()
        # in a sum of squares about a mean that is rounded, a constant is not quite one in scikit-learn
        if (spread <= 1e-6 * scale).any() or (errors <= 1e-6 * scale).any():
            return
    compare(name, y_true, y_pred, **options)


@pytest.mark.parametrize("name", LOG_ERRORS)
@settings(max_examples=80, deadline=None)
@given(data=st.data(), case=targets(st.sampled_from([0.0, 1.0, -0.5, 2.5, 1e8, 1e-8, -0.999])))
def test_log_errors(name, data, case):
    y_true, y_pred, weight, k = case
    if data.draw(st.integers(0, 5)) == 0:
        bad = data.draw(st.sampled_from([y_true, y_pred]))
        bad.flat[data.draw(st.integers(0, bad.size - 1))] = data.draw(st.sampled_from([-1.0, -2.0]))
    compare(name, y_true, y_pred, sample_weight=weight, multioutput=data.draw(multioutputs(k)))


@pytest.mark.parametrize("name", DEVIANCES)
@settings(max_examples=150, deadline=None)
@given(data=st.data(), case=targets(POSITIVE, most_outputs=2))
def test_deviances(name, data, case):
    y_true, y_pred, weight, _ = case
    options = {}
    if name in WITH_POWER:
        options["power"] = data.draw(st.sampled_from([-2, -0.5, 0, 0.5, 1, 1.0, 1.5, 2, 2.5, 3, np.nan, "x"]))
    if data.draw(st.booleans()):
        changed = data.draw(st.sampled_from([y_true, y_pred]))
        changed.flat[data.draw(st.integers(0, changed.size - 1))] = data.draw(st.sampled_from([-1.0, 0.0]))
    if name == "d2_tweedie_score" and (weight is None or any(weight)):
        used = y_true[slice(None) if weight is None else np.array(weight) > 0]
        # a constant that is not quite its own mean in scikit-learn: docs/differences-from-scikit-learn.md
        if np.ptp(used) == 0 and (np.average(y_true, axis=0, weights=weight) != used[0]).any():
            return
    compare(name, y_true, y_pred, sample_weight=weight, **options)


def test_score_of_a_constant_beside_a_row_without_weight():
    with pytest.raises(ZeroDivisionError):
        metrics.d2_tweedie_score([2.5, 0.001], [0.5, 0.5], sample_weight=[0, 1], power=1)
    y_true, y_pred, weight = [2.5, 0.1, 0.1], [1.0, 2.0, 3.0], [0, 1, 1]
    assert metrics.r2_score(y_true, y_pred, sample_weight=weight) == 0.0
    assert metrics.explained_variance_score(y_true, y_pred, sample_weight=weight) == 0.0


def test_poisson_score_of_targets_that_are_all_zero():
    compare("d2_tweedie_score", [0.0, 0.0, 0.0], [1.0, 2.0, 1.0], power=1)


@settings(max_examples=80, deadline=None)
@given(case=targets(most_outputs=2))
def test_max_error(case):
    compare("max_error", *case[:2])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), n=st.integers(1, 12))
def test_weighted_medians_and_quantiles(data, n):
    """Ranks that fall exactly on a row, rows without weight at either end, ties, columns of their own."""
    shape = data.draw(st.sampled_from([(n,), (n, 2)]))
    size = int(np.prod(shape))
    values = st.lists(st.integers(-3, 3), min_size=size, max_size=size)
    y_true, y_pred = (np.array(data.draw(values), dtype=float).reshape(shape) for _ in range(2))
    weight = data.draw(
        st.one_of(st.none(), st.lists(st.sampled_from([0, 0, 1, 1, 2, 0.5]), min_size=n, max_size=n))
    )
    options = {"sample_weight": weight, "multioutput": "raw_values"}
    compare("median_absolute_error", y_true, y_pred, **options)
    compare("d2_absolute_error_score", y_true, y_pred, **options)
    alpha = data.draw(st.one_of(st.floats(1e-9, 1), st.integers(0, n).map(lambda k: k / n)))
    compare("d2_pinball_score", y_true, y_pred, alpha=alpha, **options)


@pytest.mark.parametrize("name", ALL)
def test_many_rows(name):
    """More than a piece, and more than a thread."""
    rng = np.random.default_rng(0)
    y_true, y_pred, weight = rng.gamma(2.0, size=(3, 200_003)) + 0.125
    arguments = [(y_true, y_pred)]
    if name not in (*DEVIANCES, "max_error"):
        arguments.append((y_true[:-2].reshape(-1, 3), y_pred[:-2].reshape(-1, 3)))
    for true, pred in arguments:
        for one in (None, weight[: len(true)]):
            options = {} if name == "max_error" else {"sample_weight": one}
            for power in (-1.5, 0, 1, 1.5, 2, 3) if name in WITH_POWER else (None,):
                more = {} if power is None else {"power": power}
                compare(name, true, pred, **options, **more)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble, np.int8, np.uint64, ">f8", object])
def test_other_types(name, dtype):
    rng = np.random.default_rng(0)
    y_true, y_pred = (rng.integers(1, 20, 500).astype(dtype) for _ in range(2))
    wide_true, wide_pred = y_true.astype(np.float64), y_pred.astype(np.float64)
    expected = getattr(peer, name)(wide_true, wide_pred)
    for arguments in ((y_true, y_pred), (y_true, wide_pred), (wide_true.tolist(), y_pred)):
        actual = getattr(metrics, name)(*arguments)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.uint64, bool]
)
# six rows at least where there are many columns: of fewer random rows some column is constant, and scikit-learn's
# score of it is one of rounding
@pytest.mark.parametrize("shape", [(70_000,), (1,), (2,), (16_385,), (5000, 7), (7, 5000), (6, 20_000)])
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


@pytest.mark.parametrize("name", ALL)
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
    if (name in DEVIANCES and "multioutput" in options) or (name == "max_error" and options):
        return
    compare(name, y_true, y_pred, **options)


@pytest.mark.parametrize("name", WITH_ALPHA)
@pytest.mark.parametrize("alpha", [-0.1, 1.1, np.nan, "0.5", None, True, np.float32(0.25)])
def test_alpha(name, alpha):
    compare(name, HALVES, HALVES[::-1], alpha=alpha)


def test_negative_weights_are_refused():
    """scikit-learn takes them here; neither a centred sum nor a median of such weights is one."""
    for name in [*ERRORS, *LOG_ERRORS, *SCORES, *DEVIANCES]:
        with pytest.raises(ValueError, match="sample_weight must be finite and not negative, got -1"):
            getattr(metrics, name)(HALVES, HALVES, sample_weight=[1, -1, 3])


def test_options_of_one_function():
    assert_same(metrics.mean_squared_error, peer.mean_squared_error, HALVES, HALVES, multioutput=None)
    assert_same(
        metrics.mean_squared_error, peer.mean_squared_error, HALVES, HALVES, multioutput="variance_weighted"
    )
    assert_same(metrics.r2_score, peer.r2_score, HALVES, HALVES, force_finite=1)


def test_the_bad_number_is_named():
    with pytest.raises(ValueError, match=r"y_pred must not hold NaN or infinity, got nan in row 1"):
        metrics.mean_squared_error(HALVES, [0, np.nan, 1])


def test_overflow_of_finite_numbers_is_infinity():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.mean_squared_error([1e300, 1], [-1e300, 1]) == math.inf
