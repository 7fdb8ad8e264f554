"""Resamples in plain NumPy: the same numbers of the same generator, and metrics of the counts.

Not exported: :mod:`fasttrain.kernels.bootstrap` serves :mod:`fasttrain.metrics` alone.
"""

import itertools
import math

import numpy as np

from fasttrain.reference.ranking import ranking_scores

BLOCK, LANES, BATCH = 4096, 16, 32
POSITIVE, LAST = 1, 2
RESAMPLE, SHARE = 3, 4


def random_words(seed, stream, step, positions):
    """Philox 4x32-10: uint32 (n, 4) for uint64 positions (n,)."""
    positions = np.asarray(positions, dtype=np.uint64)
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1 = positions & low, positions >> shift
    x2, x3 = np.full_like(x0, step), np.full_like(x0, stream)
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        product0, product1 = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (
            (product1 >> shift) ^ x1 ^ np.uint64(key0),
            product1 & low,
            (product0 >> shift) ^ x3 ^ np.uint64(key1),
            product0 & low,
        )
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=1).astype(np.uint32)


class Uniforms:
    """The numbers that shares of a part are drawn with."""

    def __init__(self, seed, resample, part):
        self.seed, self.resample, self.position = seed, resample, part << 32

    def __call__(self):
        self.position += 1
        high, low = random_words(self.seed, SHARE, self.resample, [self.position])[0, :2].tolist()
        return ((high << 32 | low) >> 11) * 2.0**-53


def binomial(n, p, uniform):
    """Successes in n trials: by inversion, or by BTRS."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(n, 1.0 - p, uniform)
    odds = p / (1.0 - p)
    if n * p < 10:
        while True:
            mass, u, found = math.exp(n * math.log1p(-p)), uniform(), 0
            while u > mass and found < n and mass > 0:
                u -= mass
                found += 1
                mass *= odds * (n - found + 1) / found
            if u <= mass:
                return found
    spread = math.sqrt(n * p * (1.0 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * spread
    mode = math.floor((n + 1) * p)

    def log_mass(k):
        return k * math.log(odds) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = math.floor((2.0 * a / us + b) * u + n * p + 0.5)
        if us >= 0.07 and v <= 0.92 - 4.2 / b:
            return k
        if 0 <= k <= n and (
            v == 0 or math.log(v * alpha / (a / (us * us) + b)) <= log_mass(k) - log_mass(mode)
        ):
            return k


def poisson_number(mean, uniform):
    """Of Poisson's distribution: by inversion, or by PTRS."""
    if mean < 10:
        while True:
            mass, u, found = math.exp(-mean), uniform(), 0
            while u > mass and mass > 0:
                u -= mass
                found += 1
                mass *= mean / found
            if u <= mass:
                return found
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse = 1.1239 + 1.1328 / (b - 3.4)
    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2.0):
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        bound = k * math.log(mean) - mean - math.lgamma(k + 1)
        if v == 0 or math.log(v * inverse / (a / (us * us) + b)) <= bound:
            return k


def draw_block(seed, resample, block, size, n_draws):
    """How often each of `size` units comes up in n_draws draws."""
    counts = np.zeros(size, dtype=np.int64)
    base = block << 32
    while n_draws > 0:
        words = random_words(seed, RESAMPLE, resample, base + np.arange(BATCH, dtype=np.uint64))
        # first the first halves of all positions, then the second ones, 16 bits at a time from the lowest
        halves = words.reshape(BATCH, 2, 2).transpose(1, 0, 2).reshape(-1)
        bits = np.stack([halves & 0xFFFF, halves >> 16], axis=1).reshape(-1).astype(np.int64)
        if size == BLOCK:
            units = bits & (BLOCK - 1)
        else:
            product = bits * size
            units = (product >> 16)[(product & 0xFFFF) >= 65536 % size]
        units = units[:n_draws]
        np.add.at(counts, units, 1)
        n_draws -= len(units)
        base += BATCH
    return counts


def resample_counts(strata, n_resamples, *, seed, poisson=False, first=0):
    """How often each unit is drawn in each resample, (n_resamples, n_units).

    See :func:`fasttrain.kernels.bootstrap.resample_counts`.
    """
    every = np.zeros((n_resamples, int(np.sum(strata))), dtype=np.uint32)
    for resample, counts in enumerate(every, first):
        unit = block = 0
        for left in strata:
            draws = left
            if poisson:
                uniform = Uniforms(seed, resample, block)
                uniform.position |= 1 << 31
                draws = poisson_number(left, uniform)
            while left > 0:
                size = min(left, BLOCK)
                share = draws if size == left else binomial(draws, size / left, Uniforms(seed, resample, block))
                counts[unit : unit + size] = draw_block(seed, resample, block, size, share)
                unit, draws, left, block = unit + size, draws - share, left - size, block + 1
    return every


def cell_counts(sizes, starts, n_resamples, *, seed, poisson=False, first=0, n_threads=None):
    """How many rows of each cell are drawn in each resample, (n_resamples, n_cells).

    See :func:`fasttrain.kernels.bootstrap.cell_counts`; ``n_threads`` is ignored.
    """
    every = np.zeros((n_resamples, len(sizes)), dtype=np.int64)
    for resample, counts in enumerate(every, first):
        for begin, end in itertools.pairwise(starts):
            left = draws = int(np.sum(sizes[begin:end]))
            for cell in range(begin, end):
                size, uniform = int(sizes[cell]), Uniforms(seed, resample, cell)
                if poisson:
                    counts[cell] = poisson_number(size, uniform)
                    continue
                counts[cell] = draws if size == left else binomial(draws, size / left, uniform)
                draws, left = draws - int(counts[cell]), left - size
    return every


def order_in_memory(n_rows):
    """The position of a ranking at each place in memory.

    See :func:`fasttrain.kernels.bootstrap.order_in_memory`.
    """
    places = []
    for begin in range(0, n_rows, BLOCK):
        size = min(BLOCK, n_rows - begin)
        depth = size // LANES
        places += [begin + lane * depth + i for i in range(depth) for lane in range(LANES)]
        places += range(begin + depth * LANES, begin + size)
    return np.array(places, dtype=np.int64)


def resample_sums(
    strata, n_resamples, *, seed, poisson=False, first=0, terms=None, rankings=(), tables=(), n_threads=None
):
    """What each resample adds up to, from the counts of its units.

    See :func:`fasttrain.kernels.bootstrap.resample_sums`; ``n_threads`` is ignored.
    """
    counts = resample_counts(strata, n_resamples, seed=seed, poisson=poisson, first=first).astype(np.float64)
    sums = np.zeros((n_resamples, 0)) if terms is None else counts @ terms.T
    scores = np.full((n_resamples, len(rankings), 2), np.nan)
    for number, (flags, _, index, weights, precision) in enumerate(rankings):
        place = np.argsort(order_in_memory(len(flags)))
        mass = (counts if index is None else counts[:, index]) * (1.0 if weights is None else weights)
        mass, flags = mass[:, place], flags[place]
        group = np.cumsum(flags & LAST != 0) - (flags & LAST != 0)
        for resample, one in enumerate(mass):
            kept = np.flatnonzero(one)
            found = ranking_scores((flags & POSITIVE)[kept], -group[kept].astype(np.float64), one[kept])
            scores[resample, number] = found[:2] if precision or weights is not None else (found[0], np.nan)
    counted = []
    for cells, n_cells, index, weights in tables:
        mass = (counts if index is None else counts[:, index]) * (1.0 if weights is None else weights)
        counted.append(np.array([np.bincount(cells, one, n_cells) for one in mass]).reshape(n_resamples, n_cells))
    return sums, scores, counted
