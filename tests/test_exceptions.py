"""Our exception classes, alone and together with scikit-learn's."""

import pickle
import subprocess
import sys
import warnings

import pytest

from fasttrain import exceptions
from fasttrain.exceptions import exception_class

SHARED = ["ConvergenceWarning", "DataConversionWarning", "NotFittedError", "UndefinedMetricWarning"]


def test_scikit_learn_is_not_imported_and_ours_is_used_without_it():
    code = (
        "import sys, fasttrain.exceptions as e\n"
        "assert 'sklearn' not in sys.modules\n"
        "assert e.exception_class(e.NotFittedError) is e.NotFittedError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", SHARED)
def test_both_libraries_catch_it(name):
    peer = pytest.importorskip("sklearn.exceptions", reason="compares with scikit-learn")
    own = getattr(exceptions, name)
    chosen = exception_class(own)
    assert issubclass(chosen, own)
    assert issubclass(chosen, getattr(peer, name))
    assert chosen.__name__ == name
    assert exception_class(own) is chosen


@pytest.mark.parametrize("name", exceptions.__all__)
def test_pickle_keeps_class_and_message(name):
    error = exception_class(getattr(exceptions, name))("what happened")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.args == error.args


@pytest.mark.parametrize("category", [exceptions.UndefinedMetricWarning, UserWarning])
def test_warning_names_the_callers_line(category):
    # a function that claims to be part of the package, called from here
    scope = {"__name__": "fasttrain.somewhere", "warn": exceptions.warn, "category": category}
    exec("def inner():\n    warn('odd', category)\ndef outer():\n    inner()\n", scope)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scope["outer"]()
    assert [str(one.message) for one in caught] == ["odd"]
    assert caught[0].filename == __file__
    assert issubclass(caught[0].category, category)
