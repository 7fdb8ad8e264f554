"""The examples in docstrings run as shown, and every kernel has one."""
import doctest
import importlib
import pkgutil

import pytest

import fasttrain
from fasttrain import kernels

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(fasttrain.__path__, "fasttrain.")
    if not module.name.endswith("__main__")
)


@pytest.fixture(autouse=True)
def _no_setting_left():
    yield
    fasttrain.set_num_threads(None)


@pytest.mark.parametrize("name", ["fasttrain", *MODULES])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder().find(module):
        runner.run(example, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("name", sorted(set(kernels.__all__) - {"available_cpu_levels", "cpu_level"}))
def test_every_kernel_tells_its_parameters_and_has_an_example(name):
    documentation = getattr(kernels, name).__doc__
    # a family may tell them once
    assert "Parameters\n----" in documentation or "Parameters, errors and threads" in documentation
    assert "Examples\n----" in documentation
    assert ">>> " in documentation
