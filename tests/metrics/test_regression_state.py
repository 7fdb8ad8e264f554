"""A state of regression sums answers as the functions do of all rows, whatever the split and the order of merging."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrain import metrics
from fasttrain.exceptions import InvalidParameterError
from fasttrain.metrics import RegressionState
from tests.metrics.compare import assert_equal
from tests.metrics.splits import (
    assert_refuses_broken_arrays,
    assert_same_arrays,
    assert_same_metric,
    cuts,
    fed,
    fed_by_shards,
)

METHODS = sorted(name for name in vars(RegressionState) if name in metrics.__all__)
OF_OUTPUTS = [name for name in METHODS if name.endswith(("_error", "_score")) and name != "max_error"]
POWERS = (1.5, 3.0, -1.0)


def make():
    return RegressionState(powers=POWERS)


@st.composite
def streams(draw, outputs=(0,)):
    n = draw(st.integers(1, 12))
    n_outputs = draw(st.sampled_from(outputs))
    values = draw(st.sampled_from([
        st.integers(-20, 20).map(float), st.integers(0, 9).map(float), st.floats(0.01, 100), st.just(3.0),
        st.sampled_from([1e8 + 0.5, 1e8, 1e8 - 0.25]),
    ]))  # fmt: skip
    shape = (n, n_outputs) if n_outputs else (n,)
    size = n * max(1, n_outputs)
    y_true, y_pred = (
        np.array(draw(st.lists(values, min_size=size, max_size=size))).reshape(shape) for _ in range(2)
    )
    if draw(st.booleans()):
        y_true = y_true.astype(np.float32)
    weight = draw(st.one_of(
        st.none(),
        st.lists(st.sampled_from([0.0, 1.0, 0.1, 2.5, 1e-8, 1e8]), min_size=n, max_size=n).map(np.array),
        st.lists(st.integers(0, 4), min_size=n, max_size=n).map(np.array),
    ))  # fmt: skip
    if weight is not None and not weight.any():
        weight[0] = 1
    return y_true, y_pred, weight, draw(cuts(n))


def compare(name, rows, states, **options):
    y_true, y_pred, weight = rows

    def function(**options):
        if name == "max_error":
            return metrics.max_error(y_true, y_pred)
        return getattr(metrics, name)(y_true, y_pred, sample_weight=weight, **options)

    # a score is 1 less a ratio: near 0 it has the ratio's error
    atol = 1e-12 if name in ("r2_score", "explained_variance_score") else 1e-15
    for state in states:
        assert_same_metric(getattr(state, name), function, atol=atol, **options)


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=100, deadline=None)
@given(stream=streams(), tree=st.lists(st.integers(0, 9), max_size=5), data=st.data())
def test_any_split_answers_as_all_rows(name, stream, tree, data):
    *rows, chunks = stream
    options = {}
    if name == "mean_tweedie_deviance":
        options = {"power": data.draw(st.sampled_from([0, 1, 2, *POWERS]))}
    if name in ("r2_score", "explained_variance_score"):
        options = {"force_finite": data.draw(st.booleans())}
    states = fed(make(), chunks, *rows), fed_by_shards(make, chunks, tree, *rows)
    compare(name, rows, states, **options)


@pytest.mark.parametrize("name", OF_OUTPUTS)
@settings(max_examples=60, deadline=None)
@given(stream=streams(outputs=(1, 2, 3)), data=st.data())
def test_many_outputs(name, stream, data):
    *rows, chunks = stream
    n_outputs = rows[0].shape[1]
    options = ["uniform_average", "raw_values", np.arange(1.0, n_outputs + 1), [1.0], "variance", None]
    if name in ("r2_score", "explained_variance_score"):
        options.append("variance_weighted")
    states = fed(make(), chunks, *rows), fed_by_shards(make, chunks, [], *rows)
    compare(name, rows, states, multioutput=data.draw(st.sampled_from(options)))


def test_one_output_only():
    state = RegressionState().update(np.ones((3, 2)), np.ones((3, 2)))
    for method in (state.max_error, state.mean_tweedie_deviance, state.mean_poisson_deviance):
        with pytest.raises(ValueError, match="takes one output, got 2"):
            method()


def test_many_chunks_far_from_zero_cost_no_digits():
    rng = np.random.default_rng(0)
    y_true = 1e9 + rng.normal(size=20_000)
    y_pred = y_true + 0.1 * rng.normal(size=20_000)
    state = RegressionState()
    for begin in range(0, len(y_true), 10):
        state.update(y_true[begin : begin + 10], y_pred[begin : begin + 10])
    assert sum(len(level) for level in state._sums) < 100
    # values are rounded to 2^-23; about a mean that is exact their sums are too, in longdouble
    true, error = y_true.astype(np.longdouble), (y_true - y_pred).astype(np.longdouble)
    r2 = 1 - (error**2).sum() / ((true - true.mean()) ** 2).sum()
    assert state.r2_score() == pytest.approx(float(r2), rel=1e-12)
    assert state.mean_squared_error() == pytest.approx(float((error**2).mean()), rel=1e-13)
    expected = metrics.explained_variance_score(y_true, y_pred)
    assert state.explained_variance_score() == pytest.approx(expected, rel=1e-12)


def test_what_leaves_a_domain():
    state = make().update([1.0, 2.0], [2.0, 2.0])
    assert_equal(state.mean_gamma_deviance(), metrics.mean_gamma_deviance([1.0, 2.0], [2.0, 2.0]))
    other = make().update([0.0], [2.0])
    state.merge(other)
    with pytest.raises(ValueError, match="domain of the loss 'gamma'"):
        state.mean_gamma_deviance()
    assert_equal(state.mean_poisson_deviance(), metrics.mean_poisson_deviance([1.0, 2.0, 0.0], [2.0, 2.0, 2.0]))
    with pytest.raises(ValueError, match=r"domain of the deviance of power 3\.0"):
        RegressionState.from_arrays(state.to_arrays()).mean_tweedie_deviance(power=3)
    state.update([-1.0], [3.0])
    with pytest.raises(ValueError, match="domain of the loss 'squared_log'"):
        state.mean_squared_log_error()
    with pytest.raises(ValueError, match="power must be 0, 1, 2 or one of powers"):
        state.mean_tweedie_deviance(power=2.5)
    with pytest.raises(InvalidParameterError, match="power must be"):
        state.mean_tweedie_deviance(power=0.5)
    assert state.mean_absolute_error() == 1.75


def test_errors_leave_the_state_as_it_was():
    state = make().update([1.0, 2.0], [2.0, 2.5], [0.5, 1.0])
    before = state.to_arrays()
    for rows in (([0, 1], [1]), ([0.0, np.nan], [1, 2]), ([0.0], [np.inf]), ([0], [1], [-1.0]), ([0], [1], [np.nan]),
                 (np.ones((1, 2)), np.ones((1, 2))), (["a"], ["b"]), ([], [1])):
        with pytest.raises(ValueError, match="must"):
            state.update(*rows)
    with pytest.raises(ValueError, match="same number of rows"):
        state.update([], [], [1.0, 2.0])
    for stranger, message in (
        (RegressionState(), "same powers"), (make().update(np.ones((2, 2)), np.ones((2, 2))), "same number of outputs")
    ):
        theirs = stranger.to_arrays()
        with pytest.raises(ValueError, match=message):
            state.merge(stranger)
        assert_same_arrays(stranger.to_arrays(), theirs)
    with pytest.raises(TypeError, match="other must be a RegressionState"):
        state.merge(None)
    assert_same_arrays(state.to_arrays(), before)
    for array in state.to_arrays().values():
        array[...] = 1 if array.dtype.kind != "U" else "x"
    state.mean_squared_error(multioutput="raw_values")[:] = 9
    assert_same_arrays(state.to_arrays(), before)
    for powers in ("12", 3, [0.5], ["x"]):
        with pytest.raises(InvalidParameterError, match="power"):
            RegressionState(powers=powers)


def test_nothing_to_answer_from():
    state = RegressionState().update([], [])
    with pytest.raises(ValueError, match="at least one row"):
        state.r2_score()
    assert_same_arrays(RegressionState.from_arrays(state.to_arrays()).to_arrays(), state.to_arrays())
    state.update([1.0], [2.0], [0.0])
    with pytest.raises(ValueError, match="must not be zero in every row"):
        state.mean_squared_error()
    assert state.max_error() == 1.0
    # a state merged with itself has every row twice
    twice = RegressionState().update([1.0, 2.0], [2.0, 4.0])
    assert twice.merge(twice).mean_squared_error() == 2.5
    assert twice.to_arrays()["n_rows"] == 4


def test_broken_arrays():
    state = make().update([1.0, 2.0, 4.0], [2.0, 2.5, 3.0])
    arrays = state.to_arrays()
    assert_refuses_broken_arrays(RegressionState().update([1.0, 2.0, 4.0], [2.0, 2.5, 3.0]), signed=["origins"])
    for change in (
        {"powers": np.array([1.0, 2.5, 3.5])}, {"powers": arrays["powers"][::-1]},
        {"powers": np.array([0.5, 3.0, 4.0])}, {"origins": arrays["origins"] * np.inf},
        {"sums": arrays["sums"][:-1]}, {"sums": arrays["sums"] * np.nan}, {"sums": arrays["sums"][:, :0]},
        {"n_rows": np.array(0)}, {"outside": arrays["outside"][:-1]},
    ):
        with pytest.raises(ValueError, match="must"):
            RegressionState.from_arrays({**arrays, **change})


def test_origin_is_of_a_row_with_a_weight():
    y, p, w = np.array([1e20, 0, 1, 10, 11]), np.array([0, 0, 1, 10.5, 11]), np.array([0.0, 1, 1, 1, 1])
    expected = metrics.r2_score(y, p, sample_weight=w)
    assert expected == pytest.approx(1 - 0.25 / 101, rel=1e-14)
    for chunks in ([slice(0, 3), slice(3, 5)], [slice(0, 1), slice(1, 5)], [slice(0, 1), slice(1, 3), slice(3, 5)]):
        for state in (fed(RegressionState(), chunks, y, p, w), fed_by_shards(RegressionState, chunks, [], y, p, w),
                      fed_by_shards(RegressionState, chunks, [0, 0], y, p, w)):
            assert state.r2_score() == pytest.approx(expected, rel=1e-14)


def test_constants_beside_rows_without_weight():
    def shards():
        rows = ([0.1, 3.3], [0, 3.0], [0.0, 1.0]), ([7.7, 3.3], [0, 3.0], [0.0, 1.0]), ([5.5], [2.0], [0.0])
        return [RegressionState().update(*one) for one in rows]

    a, b, none = shards()
    assert a.merge(b).r2_score() == 0.0
    assert a.merge(none).r2_score() == 0.0
    a, b, none = shards()
    assert none.merge(a).merge(b).r2_score() == 0.0
    assert none.max_error() == 7.7
    a, b, none = shards()
    assert RegressionState.from_arrays(none.to_arrays()).update([3.3, 3.3], [0, 3.0]).r2_score() == 0.0


def test_chunks_without_weight_count_nothing():
    far = [1e100, -1e100], [-1e100, 1e100], [0.0, 0.0]
    rows = [1.0, 2.0, 4.0], [2.0, 2.5, 3.0]
    all_rows = [*rows[0], 3.0], [*rows[1], 1.0]
    for state in (RegressionState().update(*far).update(*rows), RegressionState().update(*rows).update(*far),
                  RegressionState().update(*far).merge(RegressionState().update(*rows)),
                  RegressionState().update(*rows).merge(RegressionState().update(*far))):
        state.update([3.0], [1.0])
        assert state.r2_score() == pytest.approx(metrics.r2_score(*all_rows), rel=1e-14)
    # as arrays of another maker may tell it
    arrays = RegressionState().update(*far).to_arrays()
    arrays["sums"][[1, 3]] = [[np.inf], [-np.inf]]
    arrays["origins"][:] = [[1e308], [1e308]]
    for state in (RegressionState.from_arrays(arrays).merge(RegressionState().update(*rows)),
                  RegressionState().update(*rows).merge(RegressionState.from_arrays(arrays))):
        state.update([3.0], [1.0])
        assert state.r2_score() == pytest.approx(metrics.r2_score(*all_rows), rel=1e-14)
        expected = metrics.explained_variance_score(*all_rows)
        assert state.explained_variance_score() == pytest.approx(expected, rel=1e-14)


def test_numbers_far_apart_warn_of_nothing():
    # warnings are errors here
    state = RegressionState().update([1e308, 1.0], [-1e308, 1.0]).update([-1e308, 2.0], [1e308, 2.0])
    state.merge(RegressionState().update([-1e308, 1.0], [1e308, 1.0]))
    with pytest.raises(ValueError, match="NaN or infinity"):
        RegressionState().update([np.inf, 1.0], [np.inf, 1.0])


def test_weights_whose_sum_is_infinite():
    state = RegressionState().update([0, 1], [1, 1], [1e308, 1.0])
    before = state.to_arrays()
    other = RegressionState().update([0, 1], [1, 1], [1.0, 1e308])
    for add in (lambda: state.merge(other), lambda: state.update([0], [1], [1e308]),
                lambda: RegressionState().update([0, 1], [1, 1], [1e308, 1e308])):
        with pytest.raises(ValueError, match="finite sum over all rows"):
            add()
    assert_same_arrays(state.to_arrays(), before)
