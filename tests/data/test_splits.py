"""Splits: every row once, sizes as scikit-learn's, classes kept."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fasttrain.data import train_test_split, train_validation_test_split

SIZES = st.one_of(st.none(), st.integers(1, 40), st.floats(0.01, 0.99))


@settings(max_examples=100, deadline=None)
@example(n=2, test_size=0.5, train_size=0.75, shuffle=False)
@given(n=st.integers(1, 40), test_size=SIZES, train_size=SIZES, shuffle=st.booleans())
def test_sizes_as_scikit_learns(n, test_size, train_size, shuffle):
    peer = pytest.importorskip("sklearn.model_selection", reason="compares with scikit-learn")
    options = {"test_size": test_size, "train_size": train_size, "shuffle": shuffle, "random_state": 0}
    rows = np.arange(n)
    try:
        expected = peer.train_test_split(rows, **options)
    except ValueError:
        with pytest.raises(ValueError, match="size"):
            train_test_split(rows, **options)
        return
    if not expected[1].size:
        # no row is left for testing: scikit-learn allows that in one corner
        return
    train, test = train_test_split(rows, **options)
    assert [len(train), len(test)] == [len(part) for part in expected]
    assert len(np.unique(np.concatenate([train, test]))) == len(train) + len(test)
    if not shuffle:
        np.testing.assert_array_equal(train, expected[0])
        np.testing.assert_array_equal(test, expected[1])


@pytest.mark.parametrize("stratify", [None, np.arange(100) % 3])
def test_three_parts_are_all_rows_once(stratify):
    parts = train_validation_test_split(
        np.arange(100), validation_size=0.15, test_size=25, stratify=stratify, random_state=0
    )
    assert [len(part) for part in parts] == [60, 15, 25]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(100))
    for part in parts:
        assert not np.array_equal(part, np.sort(part))


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(3, 30), min_size=1, max_size=6),
    validation=st.integers(1, 30),
    test=st.integers(1, 30),
    seed=st.integers(0, 5),
)
def test_stratified_parts(counts, validation, test, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    n, n_classes = len(y), len(counts)
    train = n - validation - test
    options = {"validation_size": validation, "test_size": test, "stratify": y, "random_state": seed}
    if min(train, validation, test) < n_classes or max(validation, test) >= n:
        with pytest.raises(ValueError, match=r"part must have a row of each|leave no row|must be smaller"):
            train_validation_test_split(y, **options)
        return
    parts = train_validation_test_split(y, **options)
    table = np.array([np.bincount(part, minlength=n_classes) for part in parts])
    assert table.sum(axis=1).tolist() == [train, validation, test]
    assert table.sum(axis=0).tolist() == counts
    assert table.min() >= 1
    exact = np.outer([train, validation, test], counts) / n
    if exact.min() >= 1:
        # the test part has its own largest remainders, the others what is then left
        assert np.abs(table - exact)[2].max() < 1
        assert np.abs(table - exact).max() < 2


def test_largest_remainders():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    _, test = train_test_split(y, test_size=7, stratify=y, random_state=0)
    # shares 3.5, 2.1, 1.4
    np.testing.assert_array_equal(np.bincount(test), [4, 2, 1])


def test_a_rare_class_is_in_each_part():
    y = np.array(["common"] * 997 + ["rare"] * 3)
    for part in train_validation_test_split(y, validation_size=10, test_size=10, stratify=y, random_state=0):
        assert (part == "rare").sum() == 1


def test_stratify_by_rows_of_two_columns():
    y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    train, test = train_test_split(np.arange(20), test_size=4, stratify=y, random_state=0)
    assert len(np.unique(y[test], axis=0)) == 4
    assert len(train) == 16


def test_reproducible_from_the_seed():
    y = np.arange(50) % 2
    for options in ({}, {"stratify": y}):
        first = train_test_split(np.arange(50), random_state=3, **options)
        again = train_test_split(np.arange(50), random_state=np.int32(3), **options)
        other = train_test_split(np.arange(50), random_state=4, **options)
        np.testing.assert_array_equal(first[0], again[0])
        assert not np.array_equal(first[0], other[0])
    generator = np.random.Generator(np.random.Philox(3))
    np.testing.assert_array_equal(
        train_test_split(np.arange(50), random_state=generator)[0],
        train_test_split(np.arange(50), random_state=3)[0],
    )
    # the generator has moved on; and without a seed, parts differ from call to call
    assert not np.array_equal(
        train_test_split(np.arange(50), random_state=generator)[0],
        train_test_split(np.arange(50), random_state=3)[0],
    )
    assert not np.array_equal(train_test_split(np.arange(50))[0], train_test_split(np.arange(50))[0])


def test_these_parts_forever():
    """The permutation is part of the interface: results are cited with their seed."""
    train, test = train_test_split(np.arange(10), test_size=3, random_state=0)
    order = np.random.Generator(np.random.Philox(0)).permutation(10)
    np.testing.assert_array_equal(np.concatenate([train, test]), order)


def test_rows_of_all_arrays_stay_together():
    rng = np.random.default_rng(0)
    X, y, names = rng.random((30, 4)), np.arange(30), [str(i) for i in range(30)]
    X_train, X_test, y_train, y_test, names_train, names_test, none, nothing = train_test_split(
        X, y, names, None, random_state=0
    )
    np.testing.assert_array_equal(X_train, X[y_train])
    np.testing.assert_array_equal(X_test, X[y_test])
    assert names_train == [str(i) for i in y_train]
    assert names_test == [str(i) for i in y_test]
    assert none is None
    assert nothing is None
    assert not np.shares_memory(X_train, X)


def test_without_shuffle_the_parts_are_views():
    X = np.arange(10)
    parts = train_validation_test_split(X, X.tolist(), shuffle=False)
    np.testing.assert_array_equal(np.concatenate(parts[:3]), X)
    assert all(np.shares_memory(part, X) for part in parts[:3])
    assert parts[3:] == [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]]


@pytest.mark.parametrize("name", ["pandas", "torch"])
def test_other_containers(name):
    library = pytest.importorskip(name, reason=f"splits an array of {name}")
    make = library.tensor if name == "torch" else library.Series
    train, test = train_test_split(make(list(range(10))), random_state=0)
    assert type(train) is type(test) is type(make([0]))
    assert sorted([int(i) for i in train] + [int(i) for i in test]) == list(range(10))


X = np.arange(10)


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one array"),
        ([X, X[:5]], {}, ValueError, r"same number of rows, got \[10, 5\]"),
        ([np.array(1)], {}, TypeError, "arrays must have rows"),
        ([3], {}, TypeError, "arrays must have rows, got 3"),
        ([X[:1]], {}, ValueError, "none would be left in the train part"),
        ([X], {"test_size": 0}, ValueError, "test_size must be a share in"),
        ([X], {"test_size": 1.0}, ValueError, "test_size must be a share in"),
        ([X], {"test_size": -0.1}, TypeError, "test_size must be a share in"),
        ([X], {"test_size": True}, ValueError, "test_size must be a share in"),
        ([X], {"test_size": "half"}, TypeError, "test_size must be a share in"),
        ([X], {"test_size": np.nan}, ValueError, "test_size must be a share in"),
        (
            [X],
            {"train_size": 10},
            ValueError,
            "train_size must be smaller than the number of rows, 10, got 10",
        ),
        ([X], {"test_size": 5, "train_size": 6}, ValueError, "ask for 11 rows, got 10"),
        ([X], {"random_state": -1}, ValueError, "random_state must be None"),
        ([X], {"random_state": 1.5}, TypeError, "random_state must be None"),
        ([X], {"random_state": np.random.RandomState(0)}, TypeError, "random_state must be None"),
        ([X], {"stratify": X % 2, "shuffle": False}, ValueError, "stratify needs shuffle=True"),
        ([X], {"stratify": X[:5]}, ValueError, r"stratify must have 10 rows, got shape \(5,\)"),
        ([X], {"stratify": X}, ValueError, "at least 2 rows of each class, got 1 of class"),
        (
            [X],
            {"stratify": X // 2, "test_size": 4},
            ValueError,
            "test part must have a row of each of 5 classes, got 4",
        ),
        ([X], {"stratify": np.where(X > 5, np.nan, 0)}, ValueError, "stratify must not hold NaN"),
    ],
)
def test_bad_arguments(arrays, options, error, message):
    with pytest.raises(error, match=message):
        train_test_split(*arrays, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_size": 0.5, "test_size": 0.5}, "leave no row of 10 for training"),
        ({"validation_size": 8, "test_size": 3}, "leave no row of 10 for training"),
        ({"validation_size": None}, "must be numbers, got None"),
        ({"stratify": X // 2, "validation_size": 2, "test_size": 2}, "at least 3 rows of each class"),
    ],
)
def test_bad_three_way_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        train_validation_test_split(X, **options)
