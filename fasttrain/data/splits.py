"""Random parts of a data set: for training, validation and testing."""

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import InvalidParameterError


def train_test_split(
    *arrays: Any,
    test_size: float | None = None,
    train_size: float | None = None,
    random_state: int | np.random.Generator | None = None,
    shuffle: bool = True,
    stratify: ArrayLike | None = None,
) -> list[Any]:
    """Split arrays of equal length into a training and a test part.

    Parameters
    ----------
    *arrays : arrays, lists, data frames or None
        Of the same number of rows.
    test_size, train_size : float or int, optional
        Share of the rows in (0, 1), or number of rows.  Of the one that is not given: all other rows; of
        neither: a quarter is for testing.  Shares are rounded up for testing and down for training.
    random_state : int or numpy.random.Generator, optional
        Seed of the permutation; the same seed gives the same parts.  None gives others each time.
    shuffle : bool, default True
        False: the first rows are for training and the next ones for testing.
    stratify : array-like of shape (n_rows,) or (n_rows, n_outputs), optional
        Classes whose shares are kept in each part, to the nearest row: the rows that whole shares leave over
        go to the classes with the largest remainders.  Each class is in each part.

    Returns
    -------
    list
        ``[first_train, first_test, second_train, second_test, ...]``; arrays are copies unless
        ``shuffle=False``.

    Raises
    ------
    ValueError
        Lengths that differ, sizes that do not fit, a class with fewer rows than parts.

    Notes
    -----
    The arguments mean what scikit-learn's do, but the permutation is another one.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.data import train_test_split
    >>> y = np.array([0] * 8 + [1] * 4)
    >>> y_train, y_test = train_test_split(y, test_size=3, stratify=y, random_state=0)
    >>> np.bincount(y_train), np.bincount(y_test)
    (array([6, 3]), array([2, 1]))
    """
    n_rows = _check_arrays(arrays)
    n_test = _size(test_size, "test_size", n_rows, math.ceil)
    n_train = _size(train_size, "train_size", n_rows, math.floor)
    shares = [size for size in (test_size, train_size) if size is not None and not _is_integer(size)]
    if len(shares) == 2 and sum(shares) > 1:
        raise ValueError(f"train_size={train_size} and test_size={test_size} are more than all rows")
    if n_test is None:
        n_test = math.ceil(0.25 * n_rows) if n_train is None else n_rows - n_train
    if n_train is None:
        n_train = n_rows - n_test
    if n_train + n_test > n_rows:
        raise ValueError(
            f"train_size={train_size} and test_size={test_size} ask for {n_train + n_test} rows, got {n_rows}"
        )
    parts = _parts({"train": n_train, "test": n_test}, n_rows, random_state, shuffle, stratify)
    return [_rows(array, part) for array in arrays for part in parts]


def train_validation_test_split(
    *arrays: Any,
    validation_size: float = 0.2,
    test_size: float = 0.2,
    random_state: int | np.random.Generator | None = None,
    shuffle: bool = True,
    stratify: ArrayLike | None = None,
) -> list[Any]:
    """Split arrays of equal length into a training, a validation and a test part.

    Parameters
    ----------
    *arrays : arrays, lists, data frames or None
        Of the same number of rows.
    validation_size, test_size : float or int, default 0.2
        Share of all rows in (0, 1), rounded up, or number of rows; the others are for training.
    random_state, shuffle, stratify
        As in :func:`train_test_split`.

    Returns
    -------
    list
        ``[first_train, first_validation, first_test, second_train, ...]``; arrays are copies unless
        ``shuffle=False``.

    Raises
    ------
    ValueError
        As :func:`train_test_split`.

    Examples
    --------
    >>> from fasttrain.data import load_digits, train_validation_test_split
    >>> X, y = load_digits(return_X_y=True)
    >>> parts = train_validation_test_split(X, y, stratify=y, random_state=0)
    >>> [len(part) for part in parts]
    [1077, 360, 360, 1077, 360, 360]
    """
    n_rows = _check_arrays(arrays)
    n_validation = _size(validation_size, "validation_size", n_rows, math.ceil)
    n_test = _size(test_size, "test_size", n_rows, math.ceil)
    if n_validation is None or n_test is None:
        raise InvalidParameterError("validation_size and test_size must be numbers, got None")
    n_train = n_rows - n_validation - n_test
    if n_train < 1:
        raise ValueError(
            f"validation_size={validation_size} and test_size={test_size} leave no row of {n_rows} "
            "for training"
        )
    sizes = {"train": n_train, "validation": n_validation, "test": n_test}
    parts = _parts(sizes, n_rows, random_state, shuffle, stratify)
    return [_rows(array, part) for array in arrays for part in parts]


def _check_arrays(arrays: tuple[Any, ...]) -> int:
    if not arrays:
        raise ValueError("at least one array is needed")
    lengths: list[int] = []
    for array in arrays:
        if array is None:
            continue
        shape = getattr(array, "shape", None)
        if not (hasattr(array, "__len__") if shape is None else len(shape)):
            raise TypeError(f"arrays must have rows, got {array!r}")
        lengths.append(len(array) if shape is None else int(shape[0]))
    if len(set(lengths)) != 1:
        raise ValueError(f"the arrays must have the same number of rows, got {lengths}")
    return lengths[0]


def _size(size: Any, name: str, n_rows: int, rounded: Callable[[float], int]) -> int | None:
    """Number of rows of a part, or None."""
    if size is None:
        return None
    if _is_integer(size) and size >= 1:
        if size >= n_rows:
            raise ValueError(f"{name} must be smaller than the number of rows, {n_rows}, got {size}")
        return int(size)
    if isinstance(size, numbers.Real) and 0 < float(size) < 1:
        return rounded(float(size) * n_rows)
    raise InvalidParameterError(
        f"{name} must be a share in (0, 1) or a positive number of rows, got {size!r}"
    )


def _is_integer(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Integral)


def _generator(random_state: Any) -> np.random.Generator:
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is not None and not (_is_integer(random_state) and random_state >= 0):
        raise InvalidParameterError(
            "random_state must be None, an integer of at least 0 or a numpy.random.Generator, "
            f"got {random_state!r}"
        )
    return np.random.Generator(np.random.Philox(random_state))


def _parts(sizes: dict[str, int], n_rows: int, random_state: Any, shuffle: bool, stratify: Any) -> list[Any]:
    """For each part its rows: index arrays, or slices without a shuffle."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"of {n_rows} rows none would be left in the {name} part; change the sizes")
    ends = np.cumsum(list(sizes.values())).tolist()
    if not shuffle:
        if stratify is not None:
            raise ValueError("stratify needs shuffle=True")
        return [slice(end - size, end) for end, size in zip(ends, sizes.values(), strict=True)]
    generator = _generator(random_state)
    order = generator.permutation(n_rows)
    if stratify is None:
        return [order[end - size : end] for end, size in zip(ends, sizes.values(), strict=True)]
    classes, codes = _classes(stratify, n_rows)
    counts = np.bincount(codes, minlength=len(classes))
    allocation = _allocate(counts, sizes, classes)
    # each class's rows in random order, one class after the other
    by_class = order[np.argsort(codes[order], kind="stable")]
    part_of = np.full(n_rows, len(sizes))
    begin = np.cumsum(counts) - counts
    for part, shares in enumerate(allocation):
        for first, share in zip(begin.tolist(), shares.tolist(), strict=True):
            part_of[by_class[first : first + share]] = part
        begin = begin + shares
    # and each part's rows in random order
    return [order[part_of[order] == part] for part in range(len(sizes))]


def _classes(stratify: Any, n_rows: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    stratify = np.asarray(stratify)
    if stratify.ndim not in (1, 2) or stratify.shape[0] != n_rows:
        raise ValueError(f"stratify must have {n_rows} rows, got shape {stratify.shape}")
    if stratify.dtype.kind == "f" and np.isnan(stratify).any():
        raise ValueError("stratify must not hold NaN")
    if stratify.ndim == 2 and stratify.shape[1] == 1:
        stratify = stratify[:, 0]
    axis = 0 if stratify.ndim == 2 else None
    classes, codes = np.unique(stratify, return_inverse=True, axis=axis)
    return classes, codes.reshape(-1)


def _allocate(counts: NDArray[np.intp], sizes: dict[str, int], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of each class in each part, (n_parts, n_classes), at least one.

    One part after the other takes its share of the rows that are left, by largest remainder between the
    bounds that leave a row of each class for each later part.
    """
    n_classes, n_parts = len(counts), len(sizes)
    if counts.min() < n_parts:
        rare = classes[counts.argmin()]
        raise ValueError(
            f"stratify must have at least {n_parts} rows of each class, got {counts.min()} of class {rare!r}"
        )
    for name, size in sizes.items():
        if size < n_classes:
            raise ValueError(
                f"the {name} part must have a row of each of {n_classes} classes, got {size} rows"
            )
    left = counts.copy()
    allocation = np.zeros((n_parts, n_classes), dtype=np.int64)
    # the smaller parts, later in the order of the arguments, choose first
    for part, size in reversed(list(enumerate(sizes.values()))):
        exact = size * (left / left.sum())
        most = left - part
        shares = np.clip(np.floor(exact).astype(np.int64), 1, most)
        missing = size - int(shares.sum())
        step = 1 if missing > 0 else -1
        while missing:
            room = shares < most if step > 0 else shares > 1
            by_remainder = np.argsort(-step * (exact - shares), kind="stable")
            chosen = by_remainder[room[by_remainder]][: abs(missing)]
            shares[chosen] += step
            missing -= step * len(chosen)
        allocation[part] = shares
        left -= shares
    return allocation


def _rows(array: Any, part: Any) -> Any:
    if array is None:
        return None
    if hasattr(array, "iloc"):
        return array.iloc[part]
    if isinstance(array, (list, tuple)):
        return array[part] if isinstance(part, slice) else type(array)(array[row] for row in part.tolist())
    return array[part] if hasattr(array, "shape") else np.asarray(array)[part]
