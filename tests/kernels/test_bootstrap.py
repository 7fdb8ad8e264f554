"""Resamples: the distribution of what is drawn, the twin's numbers, and what is added up over them."""
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fasttrain import kernels, reference
from fasttrain.kernels import bootstrap
from fasttrain.reference import bootstrap as twin
from tests.helpers import THREAD_COUNTS, run_python
from tests.kernels.test_twins import shape_of

# A chi-square statistic above this level at a fixed seed would mean a wrong distribution, not bad luck.
LEVEL = 1 - 1e-4


def assert_distributed(observed, expected):
    """Counts of outcomes against what is expected of them; rare outcomes are pooled."""
    observed, expected = np.asarray(observed, dtype=float), np.asarray(expected, dtype=float)
    order = np.argsort(expected)
    starts, sum_ = [0], 0.0
    for i, one in enumerate(expected[order]):
        sum_ += one
        # the last bin takes what would not fill one
        if sum_ >= 10 and expected[order[i + 1 :]].sum() >= 10:
            starts.append(i + 1)
            sum_ = 0.0
    pooled, wanted = (np.add.reduceat(one[order], starts) for one in (observed, expected))
    assert pooled.sum() == observed.sum() and wanted.min() > 9
    observed, expected = pooled, wanted
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert len(expected) > 1
    assert statistic < stats.chi2.ppf(LEVEL, len(expected) - 1)


@pytest.mark.parametrize("name", ["resample_counts", "cell_counts", "resample_sums", "order_in_memory"])
def test_twins_have_the_same_signatures(name):
    assert shape_of(getattr(bootstrap, name)) == shape_of(getattr(twin, name))
    for constant in ("BLOCK", "LANES", "POSITIVE", "LAST"):
        assert getattr(bootstrap, constant) == getattr(twin, constant)


@pytest.mark.parametrize("strata", [[1], [2], [7], [200], [4096], [4097], [5000, 3, 4096, 9000], [100_000]])
@pytest.mark.parametrize("seed", [0, 2**64 - 1, 12345678901234567890])
def test_the_twin_draws_the_same(strata, seed):
    poisson = bootstrap.resample_counts(strata, 3, seed=seed, first=7, poisson=True)
    np.testing.assert_array_equal(poisson, twin.resample_counts(strata, 3, seed=seed, first=7, poisson=True))
    counts = bootstrap.resample_counts(strata, 3, seed=seed, first=7)
    np.testing.assert_array_equal(counts, twin.resample_counts(strata, 3, seed=seed, first=7))
    for part in np.split(counts, np.cumsum(strata)[:-1], axis=1):
        assert (part.sum(axis=1) == part.shape[1]).all()


@pytest.mark.parametrize("sizes", [[1], [3, 4], [10, 20, 70], [1000, 10**6, 5, 1, 10**9], [2**50, 2**50, 1]])
def test_the_twin_draws_the_same_cells(sizes):
    counts = bootstrap.cell_counts(sizes, [0, len(sizes)], 50, seed=3)
    assert (counts.sum(axis=1) == sum(sizes)).all()
    # from 2^40 on the twin's logarithms of factorials have lost the digits that decide
    if sum(sizes) < 2**40:
        np.testing.assert_array_equal(counts, twin.cell_counts(sizes, [0, len(sizes)], 50, seed=3))
        poisson = bootstrap.cell_counts(sizes, [0, len(sizes)], 50, seed=3, poisson=True)
        np.testing.assert_array_equal(poisson, twin.cell_counts(sizes, [0, len(sizes)], 50, seed=3, poisson=True))


def test_resamples_are_numbered():
    every = bootstrap.resample_counts([300], 10, seed=1)
    np.testing.assert_array_equal(every[4:], bootstrap.resample_counts([300], 6, seed=1, first=4))
    assert len(np.unique(every, axis=0)) == 10
    assert not np.array_equal(every, bootstrap.resample_counts([300], 10, seed=2))
    cells = bootstrap.cell_counts([100, 200], [0, 2], 10, seed=1)
    np.testing.assert_array_equal(cells[4:], bootstrap.cell_counts([100, 200], [0, 2], 6, seed=1, first=4))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_every_resample_of_a_few_rows_is_as_likely_as_it_should_be(n):
    n_resamples = 100_000
    counts = bootstrap.resample_counts([n], n_resamples, seed=5)
    outcomes = [one for one in itertools.product(range(n + 1), repeat=n) if sum(one) == n]
    found, times = np.unique(counts, axis=0, return_counts=True)
    seen = dict(zip(map(tuple, found.tolist()), times.tolist(), strict=True))
    assert set(seen) == set(outcomes)
    if n > 1:
        ways = [math.factorial(n) / math.prod(map(math.factorial, one)) for one in outcomes]
        assert_distributed([seen[one] for one in outcomes], np.array(ways) / n**n * n_resamples)


def test_counts_of_many_rows():
    n, n_resamples = 3 * bootstrap.BLOCK + 1000, 400
    counts = bootstrap.resample_counts([n], n_resamples, seed=6).astype(np.int64)
    k = np.arange(10)
    assert_distributed(
        np.bincount(counts.ravel(), minlength=10)[:10], stats.binom.pmf(k, n, 1 / n) * n * n_resamples
    )
    # every unit is as likely as any other, in full blocks and in the last
    assert_distributed(counts.sum(axis=0), np.full(n, float(n_resamples)))
    # and blocks get binomial shares: a variance within its own error
    totals = np.add.reduceat(counts, np.arange(0, n, bootstrap.BLOCK), axis=1)
    sizes = np.diff(np.append(np.arange(0, n, bootstrap.BLOCK), n))
    variance = sizes * (1 - sizes / n)
    assert np.abs(totals.mean(axis=0) - sizes).max() < (4 * np.sqrt(variance / n_resamples)).max()
    np.testing.assert_allclose(totals.var(axis=0), variance, rtol=4 * math.sqrt(2 / n_resamples))
    # draws of two units in one block are as correlated as those of a multinomial distribution
    pairs = (counts[:, :-1:2] * counts[:, 1::2]).mean()
    assert abs(pairs - (1 - 1 / n)) < 4 / math.sqrt(n_resamples * n / 2) * 2


@pytest.mark.parametrize(
    ("n", "p"),
    [
        (1, 0.5), (5, 0.3), (30, 0.2), (99, 0.1), (101, 0.1), (100, 0.5), (1000, 0.009), (1000, 0.011),
        (1000, 0.995), (10**6, 1e-6), (10**6, 0.3), (10**9, 0.5), (2**40, 0.25), (2**52, 0.125),
    ],
)  # fmt: skip
def test_binomials(n, p):
    n_draws = 40_000
    size = round(n * p)
    if size == 0:
        size = 1
    counts = bootstrap.cell_counts([size, n - size] if n > size else [size], [0, 2 if n > size else 1], n_draws, seed=8)
    if n == size:
        assert (counts == n).all()
        return
    law = stats.binom(n, size / n)
    # outcomes in fifty classes of about the same probability
    edges = np.unique(law.ppf(np.linspace(0, 1, 51)[1:-1]))
    observed = np.bincount(np.searchsorted(edges, counts[:, 0]), minlength=len(edges) + 1)
    assert_distributed(observed, np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]])) * n_draws)


@pytest.mark.parametrize("n", [3, 8, 12, 300, 10_000])
def test_poisson_totals_and_counts(n):
    n_resamples = 20_000 if n < 1000 else 2000
    counts = bootstrap.resample_counts([n], n_resamples, seed=9, poisson=True).astype(np.int64)
    k = np.arange(12)
    assert_distributed(
        np.bincount(counts.ravel(), minlength=12)[:12], stats.poisson.pmf(k, 1) * n * n_resamples
    )
    law = stats.poisson(n)
    edges = np.unique(law.ppf(np.linspace(0, 1, 31)[1:-1]))
    for totals in (
        counts.sum(axis=1), bootstrap.cell_counts([n], [0, 1], n_resamples, seed=10, poisson=True)[:, 0]
    ):  # fmt: skip
        observed = np.bincount(np.searchsorted(edges, totals), minlength=len(edges) + 1)
        assert_distributed(observed, np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]])) * n_resamples)


def ranking(y_true, y_score, weight=None, index=None, precision=False):
    """What the kernel takes, and the row at each place in memory."""
    order = np.lexsort((1 - y_true, -y_score))
    score, label = y_score[order], y_true[order]
    last = np.append(score[1:] != score[:-1], True)
    ends = np.flatnonzero(last) + 1
    ties = [
        (begin, begin + int(label[begin:end].sum()), end)
        for begin, end in zip(np.append(0, ends[:-1]).tolist(), ends.tolist(), strict=True)
    ]
    ties = [tie for tie in ties if tie[0] < tie[1] < tie[2]]
    memory = bootstrap.order_in_memory(len(order))
    rows = order[memory]
    return (
        (label * bootstrap.POSITIVE + last * bootstrap.LAST).astype(np.uint8)[memory],
        np.array(ties, dtype=np.int64).reshape(-1, 3),
        None if index is None else index[rows].astype(np.uint32),
        None if weight is None else weight[rows],
        precision,
    ), rows


def data(n, distinct, seed=0):
    rng = np.random.default_rng(seed)
    y_true = (rng.random(n) < 0.3).astype(np.int64)
    y_score = rng.normal(size=n) + y_true
    if distinct:
        y_score = np.round(y_score * distinct / 8)
    return y_true, y_score, rng.exponential(size=n) * (rng.random(n) < 0.9)


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 33, 200, 4095, 4096, 4097, 13_000])
@pytest.mark.parametrize("distinct", [None, 1, 3, 40, 2000])
def test_rankings_are_those_of_the_rows_drawn(n, distinct):
    y_true, y_score, weight = data(n, distinct)
    plain, rows = ranking(y_true, y_score)
    own, _ = ranking(y_true, y_score, index=np.arange(n))
    n_units = n // 3 + 1
    unit = np.random.default_rng(1).integers(0, n_units, n)
    n_resamples = 5
    given = [
        plain,
        ranking(y_true, y_score, precision=True)[0],
        ranking(y_true, y_score, weight, precision=True)[0],
    ]
    _, scores, _ = bootstrap.resample_sums([n], n_resamples, seed=4, rankings=given)
    counts = bootstrap.resample_counts([n], n_resamples, seed=4)
    gathered = bootstrap.resample_sums([n], n_resamples, seed=4, rankings=[own])[1]
    by_unit = bootstrap.resample_sums(
        [n_units], n_resamples, seed=4,
        rankings=[ranking(y_true, y_score, index=unit)[0], ranking(y_true, y_score, weight, unit)[0]],
    )[1]  # fmt: skip
    unit_counts = bootstrap.resample_counts([n_units], n_resamples, seed=4)
    for resample in range(n_resamples):
        of_rows = np.zeros(n, dtype=np.int64)
        of_rows[rows] = counts[resample]
        exact, precision, *_ = kernels.ranking_scores(*repeated(of_rows, y_true, y_score))
        np.testing.assert_array_equal(scores[resample, :2, 0], exact)
        np.testing.assert_allclose(scores[resample, 1, 1], precision, rtol=1e-12)
        np.testing.assert_allclose(
            scores[resample, 2], reference.ranking_scores(y_true, y_score, of_rows * weight)[:2], rtol=1e-12
        )
        exact = kernels.ranking_scores(*repeated(counts[resample], y_true, y_score))[0]
        np.testing.assert_array_equal(gathered[resample, 0, 0], exact)
        of_rows = unit_counts[resample][unit]
        exact = kernels.ranking_scores(*repeated(of_rows, y_true, y_score))[0]
        np.testing.assert_array_equal(by_unit[resample, 0, 0], exact)
        np.testing.assert_allclose(
            by_unit[resample, 1, 0], reference.ranking_scores(y_true, y_score, of_rows * weight)[0], rtol=1e-12
        )


def repeated(counts, *arrays):
    rows = np.repeat(np.arange(len(counts)), counts)
    return [one[rows] for one in arrays]


@pytest.mark.parametrize("n", [1, 17, 4097, 13_000])
def test_sums_and_tables_are_those_of_the_rows_drawn(n):
    rng = np.random.default_rng(n)
    terms, cells, weight = rng.normal(size=(3, n)), rng.integers(0, 7, n).astype(np.int32), rng.random(n)
    index = rng.integers(0, n, 2 * n).astype(np.uint32)
    more = rng.integers(0, 3, 2 * n).astype(np.int32)
    strata = [n] if n < 3 else [n // 3, n - n // 3]
    sums, scores, tables = bootstrap.resample_sums(
        strata, 4, seed=2, terms=terms,
        tables=[(cells, 7, None, None), (cells, 7, None, weight), (more, 3, index, None)],
    )  # fmt: skip
    counts = bootstrap.resample_counts(strata, 4, seed=2)
    assert scores.shape == (4, 0, 2)
    np.testing.assert_allclose(sums, counts @ terms.T, rtol=0, atol=1e-12 * n)
    for resample in range(4):
        np.testing.assert_array_equal(tables[0][resample], np.bincount(cells, counts[resample], 7))
        np.testing.assert_allclose(tables[1][resample], np.bincount(cells, counts[resample] * weight, 7), rtol=1e-12)
        np.testing.assert_array_equal(tables[2][resample], np.bincount(more, counts[resample][index], 3))


@pytest.mark.parametrize("n", [1, 40, 5000])
@pytest.mark.parametrize("poisson", [False, True])
def test_the_twin_adds_up_the_same(n, poisson):
    y_true, y_score, weight = data(n, 20)
    rng = np.random.default_rng(5)
    index = rng.integers(0, n, n)
    np.testing.assert_array_equal(bootstrap.order_in_memory(n), twin.order_in_memory(n))
    arguments = {
        "terms": rng.normal(size=(2, n)),
        "rankings": [
            ranking(y_true, y_score)[0], ranking(y_true, y_score, weight)[0],
            ranking(y_true, y_score, index=index, precision=True)[0],
        ],
        "tables": [
            (y_true.astype(np.int32), 2, None, weight),
            (y_true.astype(np.int32), 2, index.astype(np.uint32), None),
        ],
    }  # fmt: skip
    actual, expected = (
        one.resample_sums([n], 3, seed=1, first=2, poisson=poisson, **arguments) for one in (bootstrap, twin)
    )
    np.testing.assert_allclose(actual[0], expected[0], rtol=0, atol=1e-12 * n)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-12)
    for one, other in zip(actual[2], expected[2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


FINGERPRINT = """
import hashlib
import numpy as np
from fasttrain.kernels import bootstrap
from tests.kernels.test_bootstrap import everything
print(everything(None))
"""


def everything(n_threads):
    """All that the kernels give for one data set, as text."""
    n = 5 * bootstrap.BLOCK + 77
    y_true, y_score, weight = data(n, 5000)
    index = np.random.default_rng(3).permutation(n)
    rankings = [
        ranking(y_true, y_score)[0], ranking(y_true, y_score, weight, precision=True)[0],
        ranking(y_true, y_score, index=index, precision=True)[0],
    ]  # fmt: skip
    tables = [(y_true.astype(np.int32), 2, None, weight)]
    sums, scores, (table,) = bootstrap.resample_sums(
        [n], 12, seed=1, terms=np.random.default_rng(4).normal(size=(2, n)), rankings=rankings, tables=tables,
        n_threads=n_threads,
    )  # fmt: skip
    cells = bootstrap.cell_counts(np.arange(1, 5000), [0, 1000, 4999], 12, seed=1, n_threads=n_threads)
    return [one.tobytes().hex() for one in (sums, scores, table, cells)]


def test_any_number_of_threads_gives_the_same_bits():
    first, *others = [everything(n) for n in THREAD_COUNTS]
    assert all(one == first for one in others)


def test_every_cpu_level_gives_the_same_bits():
    here = str(everything(None))
    for level in kernels.available_cpu_levels():
        ran = run_python(FINGERPRINT, FASTTRAIN_CPU_LEVEL=level)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip() == here


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap.resample_counts([3, 0], 1, seed=0), "strata must hold sizes of at least 1"),
        (lambda: bootstrap.resample_counts([2**31], 1, seed=0), "strata must hold sizes of at least 1, fewer than"),
        (lambda: bootstrap.resample_counts([3], -1, seed=0), "n_resamples must be between 0"),
        (lambda: bootstrap.cell_counts([3, 0], [0, 2], 1, seed=0), "sizes must be at least 1"),
        (lambda: bootstrap.cell_counts([3, 1], [0, 1], 1, seed=0), "starts must rise from 0 to the number of cells"),
        (lambda: sums(terms=np.ones((1, 3))), r"terms must have shape \(n_terms, 4\), got \(1, 3\)"),
        (lambda: sums(tables=[(np.full(4, 2, np.int32), 2, None, None)]), r"cells must lie in 0 \.\. 1"),
        (lambda: sums(tables=[(np.zeros(3, np.int32), 2, None, None)]), "cells must be of all units where index is"),
        (lambda: sums(tables=[(np.zeros(3, np.int32), 2, np.full(3, 4, np.uint32), None)]), "index must lie in 0"),
        (lambda: sums(tables=[(np.zeros(4, np.int32), 2, None, np.ones(3))]), r"weights must have shape \(4,\)"),
        (lambda: sums(rankings=[(np.zeros(3, np.uint8), np.zeros((0, 3), int), None, None, False)]), "flags must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def sums(**arguments):
    return bootstrap.resample_sums([4], 2, seed=0, **arguments)


def test_nothing_to_draw():
    assert bootstrap.resample_counts([], 3, seed=0).shape == (3, 0)
    assert bootstrap.resample_counts([5], 0, seed=0).shape == (0, 5)
    assert bootstrap.cell_counts([], [0], 3, seed=0).shape == (3, 0)
    assert bootstrap.resample_sums([5], 0, seed=0, terms=np.ones((2, 5)))[0].shape == (0, 2)
