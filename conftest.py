"""The option --benchmark: `pytest` runs the tests, `pytest --benchmark` the benchmarks."""
import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--benchmark",
        action="store_true",
        help="run benchmarks/ instead of tests/ and print its tables (FASTTRAIN_BENCHMARK_QUICK=1: a short "
        "run that only shows that they work; FASTTRAIN_BENCHMARK_REPORT=file: the tables in Markdown too)",
    )


def pytest_configure(config):
    named_by_user = config.args_source is pytest.Config.ArgsSource.ARGS
    if config.getoption("--benchmark") and not named_by_user:
        config.args[:] = [str(config.rootpath / "benchmarks")]
