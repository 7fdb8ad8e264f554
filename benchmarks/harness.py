"""Timing: several contestants of one piece of work, interleaved, and the tables of what came out.

A row of a table is one piece of work.  Its contestants take turns, round after round, in an order that
rotates, so that a machine that slows down slows all of them; each is given by the median of its rounds, and a
ratio is the median of the rounds' own ratios: two virtual cores may share one core of their host for seconds,
and are then half as fast.  A peer enters once on one thread and once on all (peers.py) and counts with the
better; fasttrain enters as it is by default.  Short calls are repeated until a sample is long enough to time.

A target is what the project promises.  A share of one of the machine's ceilings is the median of the rounds' own
shares as well: the ceiling is sampled at the end of every round, since memory and the cores of a shared machine
give twice as much in one second as in another.  A share over 100 % means that a ceiling is wrong and fails the run.
"""
import dataclasses
import gc
import math
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

QUICK = os.environ.get("FASTTRAIN_BENCHMARK_QUICK", "0") not in ("", "0")

# Seconds of a sample, and of all rounds of a row; rounds at least (and where a round is slow), and at most.
SAMPLE_SECONDS, ROW_SECONDS = (0.0005, 0.02) if QUICK else (0.005, 6.0)
MIN_ROUNDS, MIN_SLOW_ROUNDS, MAX_ROUNDS = (1, 1, 3) if QUICK else (5, 3, 25)
# A round is slow from this on.
SLOW_SECONDS = 8.0
# Calls are not warmed up by another where one of a row's is as long as this.
LONG_SECONDS = 0.5
# Before each sample the threads of the one before must have gone to sleep: OpenBLAS's spin for 0.11 s after
# their last call, on cores that the next contestant needs.  They have when so little of a step is CPU time.
SETTLE_STEP, SETTLE_SHARE, SETTLE_STEPS = 0.01, 0.1, 50

CEILING_NAMES = {
    "fma_f32": "FMA peak (f32)",
    "fma_f64": "FMA peak (f64)",
    "read": "read bandwidth",
    "copy": "copy bandwidth",
    "add": "add bandwidth",
}


@dataclasses.dataclass
class Contestant:
    """One way to do a row's work; `set_threads`, if any, is called with `n_threads` before each sample."""

    name: str
    call: Callable[[], object]
    n_threads: int | None = None
    set_threads: Callable[[int], object] | None = None

    def sample(self, n_calls, warm):
        """Seconds of one call, as the mean of n_calls in a row, after one that is not timed if `warm`."""
        if self.set_threads is not None:
            self.set_threads(self.n_threads)
        call = self.call
        if warm:
            call()
        start = time.perf_counter()
        for _ in range(n_calls):
            call()
        return (time.perf_counter() - start) / n_calls


def settle():
    """Wait until no thread of this process is busy; a while at most."""
    for _ in range(0 if QUICK else SETTLE_STEPS):
        before = time.process_time()
        time.sleep(SETTLE_STEP)
        if time.process_time() - before < SETTLE_SHARE * SETTLE_STEP:
            break


def race(contestants, between_rounds=None, seconds=None):
    """Seconds of a call in each round, for each contestant in their order."""
    counts, round_seconds = [], 0.0
    firsts = [contestant.sample(1, False) for contestant in contestants]
    warm = max(firsts) < LONG_SECONDS
    for contestant, first in zip(contestants, firsts, strict=True):
        once = first if first > LONG_SECONDS else min(contestant.sample(1, warm) for _ in range(3))
        counts.append(max(1, min(20_000, math.ceil(SAMPLE_SECONDS / max(once, 1e-9)))))
        round_seconds += once * (counts[-1] + warm)
    least = MIN_SLOW_ROUNDS if round_seconds > SLOW_SECONDS else MIN_ROUNDS
    budget = ROW_SECONDS if seconds is None or QUICK else seconds
    samples = [[] for _ in contestants]
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for turn in range(MAX_ROUNDS):
            if turn >= least and time.perf_counter() - start > budget:
                break
            for step in range(len(contestants)):
                i = (turn + step) % len(contestants)
                settle()
                samples[i].append(contestants[i].sample(counts[i], warm))
            if between_rounds is not None:
                between_rounds()
    finally:
        gc.enable()
    return samples


def agree(actual, expected, rtol, atol=0.0):
    """Contestants must give the same answer before they are timed; sequences are compared item by item."""
    if isinstance(expected, (tuple, list)):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            agree(one, other, rtol, atol)
    elif isinstance(expected, str):
        assert actual == expected
    else:
        np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


class Row:
    """One piece of work: fasttrain's seconds and each peer's, round by round, and the ceiling it is held against.

    ceiling is None or (kind, seconds): what the work would take at the ceiling, in each round.
    """

    def __init__(self, work, ours, peers, ceiling):
        self.work, self.ours, self.peers, self._ceiling = work, ours, peers, ceiling

    def ratio(self, peer):
        """How many times as long the peer takes; NaN where the peer is not installed."""
        if peer not in self.peers:
            return math.nan
        return statistics.median(theirs / ours for ours, theirs in zip(self.ours, self.peers[peer], strict=True))

    def share(self, peer=None):
        """Fraction of the machine's ceiling that fasttrain reaches, or a peer; NaN without one."""
        times = self.ours if peer is None else self.peers.get(peer)
        if times is None or self._ceiling is None:
            return math.nan
        return statistics.median(least / one for least, one in zip(self._ceiling[1], times, strict=True))

    def cells(self, peers):
        yield self.work
        yield format_seconds(statistics.median(self.ours))
        for peer in peers:
            timed = peer in self.peers
            yield f"{format_seconds(statistics.median(self.peers[peer]))} ({self.ratio(peer):.2f}x)" if timed else "-"
        share = self.share()
        if self._ceiling is None or math.isnan(share):
            yield "-"
        else:
            yield f"{100 * share:.0f} % of {CEILING_NAMES[self._ceiling[0]]}"


@dataclasses.dataclass
class Target:
    """A promise: `measure()` is worked out at the end; `form` renders all numbers.

    `limit()` is what could be measured at most, with the whole of the machine's ceiling.
    """

    work: str
    measure: Callable[[], float]
    at_least: float | None = None
    at_most: float | None = None
    limit: Callable[[], float] | None = None
    form: str = "{:.2f}x"
    in_quick: bool = False

    def cells(self):
        measured = self.measure()
        yield self.work
        if self.at_least is not None:
            yield "at least " + self.form.format(self.at_least)
        elif self.at_most is not None:
            yield "at most " + self.form.format(self.at_most)
        else:
            yield "none at this CPU level"
        yield "-" if math.isnan(measured) else self.form.format(measured)
        limit = math.nan if self.limit is None else self.limit()
        yield "" if math.isnan(limit) else self.form.format(limit)
        yield self._verdict(measured)

    def _verdict(self, measured):
        if QUICK and not self.in_quick:
            return "not judged (quick)"
        if math.isnan(measured):
            return "not measured"
        if self.at_least is None and self.at_most is None:
            return "-"
        met = measured >= self.at_least if self.at_least is not None else measured <= self.at_most
        return "met" if met else "missed"


class Table:
    """Rows of one kind."""

    def __init__(self, title, bench):
        self.title, self.rows, self._bench = title, [], bench

    def row(self, work, ours, peers=(), *, ceiling=None, seconds=None):
        """Time `ours`, a call, against contestants of other names.

        ceiling is (kind, amount): what one call does, in operations or bytes.  seconds is the time to
        spend, if not the usual.  Returns the row.
        """
        contestants = [Contestant("fasttrain", ours), *peers]
        rates, again = [], None
        if ceiling is not None and not self._bench.ceilings.reason:
            def again():
                settle()
                rates.append(self._bench.ceilings.sample(*ceiling))
        times = race(contestants, again, seconds)
        best = {}
        for contestant, theirs in zip(contestants[1:], times[1:], strict=True):
            best[contestant.name] = min(theirs, best.get(contestant.name, theirs), key=statistics.median)
        row = Row(work, times[0], best, (ceiling[0], [ceiling[1] / rate for rate in rates]) if rates else None)
        self.rows.append(row)
        return row

    def ratio(self, peer, combine=geometric_mean):
        """The rows' ratios to one peer, combined; NaN where it is not installed."""
        ratios = [row.ratio(peer) for row in self.rows if peer in row.peers]
        return combine(ratios) if ratios else math.nan

    def limit(self, peer, combine=geometric_mean):
        """What the rows' ratios to a peer could be at most: the ceiling's over the peer's own share of it."""
        shares = [row.share(peer) for row in self.rows]
        return math.nan if any(map(math.isnan, shares)) else combine([1.0 / share for share in shares])

    def grid(self):
        """Header and rows of text."""
        peers = list(dict.fromkeys(peer for row in self.rows for peer in row.peers))
        lines = [list(row.cells(peers)) for row in self.rows]
        header = ["work", "fasttrain", *peers, "share"]
        if all(line[-1] == "-" for line in lines):
            header, lines = header[:-1], [line[:-1] for line in lines]
        return [header, *lines]


class Bench:
    """What a benchmark is given: the ceilings, and where its tables and targets go."""

    def __init__(self, ceilings, level, n_threads):
        self.ceilings, self.level, self.n_threads = ceilings, level, n_threads
        self.tables, self.targets, self.facts = [], [], []

    def table(self, title):
        self.tables.append(Table(title, self))
        return self.tables[-1]

    def target(self, work, measure, **bound):
        """Promise a number; see Target.  `measure` is called at the end, or is the number itself."""
        self.targets.append(Target(work, measure if callable(measure) else lambda: measure, **bound))

    def wrong_shares(self):
        """Rows that are faster than the machine can be."""
        return [
            f"{table.title}, {row.work}: {100 * row.share():.1f} % of the ceiling"
            for table in self.tables for row in table.rows if row.share() > 1.0
        ]

    def sections(self):
        """(title, grid) of everything: the targets first, then the tables, then the ceilings."""
        if self.targets:
            lines = [list(target.cells()) for target in self.targets]
            yield "Targets", [["work", "target", "measured", "ceiling", "verdict"], *lines]
        for table in self.tables:
            if table.rows:
                yield table.title, table.grid()
        if self.ceilings.best:
            rates = [
                [
                    CEILING_NAMES[kind], f"{rate / 1e9:.1f}",
                    "GFLOP/s" if kind.startswith("fma") else "GB/s",
                ]
                for kind, rate in self.ceilings.best.items()
            ]
            yield "Ceilings of this machine in this run", [["ceiling", "best", "unit"], *rates]


def format_seconds(seconds):
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def as_text(grid):
    """Aligned columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = []
    for cells in grid:
        first, *rest = (cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(cells, widths, strict=True)))
        lines.append("   ".join([first, *rest]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return lines


def as_markdown(grid):
    header, *lines = grid
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *lines)]
