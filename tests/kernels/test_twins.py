"""Every public kernel has a twin of the same name and signature in fasttrain.reference."""

import inspect

import pytest

from fasttrain import kernels, reference

# These tell about the machine; there is nothing to specify.
WITHOUT_TWIN = {"available_cpu_levels", "cpu_level"}
KERNELS = sorted(set(kernels.__all__) - WITHOUT_TWIN)


def shape_of(function):
    """The parameters' names, kinds and defaults; annotations are the stubs' business."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_there_is_something_to_compare():
    assert "linear_value_and_grad" in KERNELS
    assert set(kernels.__all__) >= WITHOUT_TWIN


def test_the_two_modules_export_the_same_names():
    assert sorted(reference.__all__) == KERNELS


@pytest.mark.parametrize("name", KERNELS)
def test_twin_has_the_same_signature(name):
    kernel, twin = getattr(kernels, name), getattr(reference, name)
    assert kernel.__name__ == twin.__name__ == name
    assert shape_of(kernel) == shape_of(twin)


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_has_an_example(name):
    text = inspect.getdoc(getattr(kernels, name))
    assert ">>> " in text
    assert f"{name}(" in text[text.index(">>> ") :]


@pytest.mark.parametrize("module", [kernels, reference])
def test_exported_names_are_functions_and_listed_once(module):
    assert all(callable(getattr(module, name)) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
