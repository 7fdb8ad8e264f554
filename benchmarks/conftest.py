"""What turns benchmark files into tables: the fixtures, the check that nothing is left out, the report."""
import ast
import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

import pytest

import fasttrain
from benchmarks import harness
from benchmarks.ceiling import Ceilings
from benchmarks.peers import Peers, installed
from fasttrain import kernels

BENCH = pytest.StashKey[harness.Bench]()
# Functions of fasttrain.kernels that tell something and compute nothing.
NOT_KERNELS = {"available_cpu_levels", "cpu_level"}


def covered():
    """Kernels named by the benchmark files: the union of their COVERS, read without importing them."""
    names = set()
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "COVERS":
                names |= ast.literal_eval(statement.value)
    return names


def pytest_collection_modifyitems(items):
    if not any(Path(__file__).parent in item.path.parents for item in items):
        return
    exported = {name for name in kernels.__all__ if callable(getattr(kernels, name))} - NOT_KERNELS
    if missing := exported - covered():
        raise pytest.UsageError(f"in no benchmark's COVERS: {', '.join(sorted(missing))}")
    if unknown := covered() - exported:
        raise pytest.UsageError(f"COVERS names what fasttrain.kernels lacks: {', '.join(sorted(unknown))}")


@pytest.fixture(scope="session")
def bench(request):
    config = fasttrain.show_config(mode="dict")
    n_threads = config["n_threads"]
    # far larger than any cache of the machines this is meant for, but in a quick run
    n_mebibytes = 16 if harness.QUICK else 256
    ceilings = Ceilings(config["cpu_level"], config["vector_bytes"], n_threads, n_mebibytes)
    ceilings.measure(list(harness.CEILING_NAMES), n_rounds=1 if harness.QUICK else 5)
    request.config.stash[BENCH] = harness.Bench(ceilings, config["cpu_level"], n_threads)
    return request.config.stash[BENCH]


@pytest.fixture(scope="session")
def _peers(bench):
    peers = Peers(bench.n_threads, has_avx512="v4" in kernels.available_cpu_levels())
    yield peers
    peers.close()


@pytest.fixture
def peers(_peers):
    yield _peers
    _peers.restore_threads()


# ---- the report ------------------------------------------------------------------------------------------


def pytest_sessionfinish(session):
    bench = session.config.stash.get(BENCH, None)
    if bench is not None and bench.wrong_shares() and not harness.QUICK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    bench = config.stash.get(BENCH, None)
    if bench is None:
        return
    terminalreporter.section("benchmarks")
    for name, value in facts(bench):
        terminalreporter.write_line(f"{name + ':':14}{value}")
    for title, grid in bench.sections():
        terminalreporter.write_line("")
        terminalreporter.write_line(title, bold=True)
        for line in harness.as_text(grid):
            terminalreporter.write_line(line)
    if not harness.QUICK:
        for line in bench.wrong_shares():
            terminalreporter.write_line(f"WRONG CEILING: {line}", red=True)
    if path := os.environ.get("FASTTRAIN_BENCHMARK_REPORT"):
        Path(path).write_text(markdown(bench), encoding="utf-8")
        terminalreporter.write_line(f"\nwritten to {path}")


def markdown(bench):
    lines = [f"- {name}: {value}" for name, value in facts(bench)]
    for title, grid in bench.sections():
        lines += ["", f"### {title}", "", *harness.as_markdown(grid)]
    return "\n".join(lines) + "\n"


def facts(bench):
    """The machine and the versions."""
    config = fasttrain.show_config(mode="dict")
    yield "date", datetime.date.today().isoformat()
    yield "machine", f"{processor()}, {bench.n_threads} threads, {config['machine']}"
    yield "CPU level", f"{bench.level} (of {', '.join(config['available_cpu_levels'])})"
    yield "compiler", config["compiler"]
    versions = [f"Python {platform.python_version()}", f"fasttrain {fasttrain.__version__}"]
    for name, module in (("NumPy", "numpy"), ("scikit-learn", "sklearn"), ("torch", "torch")):
        version = importlib.metadata.version(name) if installed(module) else "not installed"
        versions.append(f"{name} {version}")
    yield "versions", ", ".join(versions)
    if harness.QUICK:
        yield "quick run", "shows that the benchmarks work; its figures mean nothing"
    if bench.ceilings.reason:
        yield "no ceilings", bench.ceilings.reason
    yield from bench.facts


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
