"""Exceptions and warnings, by scikit-learn's names.

Where scikit-learn is already imported, what is raised and warned of belongs to its classes too, so that
the ``except`` clauses and warning filters of either library work.  It is never imported from here.
"""

import contextlib
import functools
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

__all__ = [
    "ConvergenceWarning",
    "DataConversionWarning",
    "InvalidParameterError",
    "NotFittedError",
    "UndefinedMetricWarning",
]


class NotFittedError(ValueError, AttributeError):
    """An estimator was used before it was fitted."""


class InvalidParameterError(ValueError, TypeError):
    """An argument is of a type or has a value that the function does not accept."""


class ConvergenceWarning(UserWarning):
    """Training stopped before it converged."""


class DataConversionWarning(UserWarning):
    """Data was converted to another shape or type than the one given."""


class UndefinedMetricWarning(UserWarning):
    """A metric is not defined for the given data; a stand-in value is returned."""


def exception_class(own: Any) -> type[Any]:
    """The class to raise or warn with: ``own``, and scikit-learn's of the same name if it is imported.

    Parameters
    ----------
    own : type
        A class of this module.

    Returns
    -------
    type
        ``own`` itself, or a subclass of both.

    Examples
    --------
    >>> from fasttrain.exceptions import NotFittedError, exception_class
    >>> issubclass(exception_class(NotFittedError), NotFittedError)
    True
    """
    peer: Any = getattr(sys.modules.get("sklearn.exceptions"), own.__name__, None)
    return own if peer is None else _joined(own, peer)


@functools.cache
def _joined(own: Any, peer: Any) -> type[Any]:
    # unpickled by name, since the class itself is made at run time and stands in no module
    def reduce(self: BaseException) -> tuple[Any, ...]:
        return _restore, (own, self.args)

    return type(
        own.__name__, (own, peer), {"__doc__": own.__doc__, "__module__": __name__, "__reduce__": reduce}
    )


def _restore(own: type[Any], args: tuple[Any, ...]) -> Any:
    return exception_class(own)(*args)


# Who is told of warnings instead of the filters, which all threads share: whether the answer is undefined.
_listener: ContextVar[Callable[[bool], None] | None] = ContextVar("_listener", default=None)


@contextlib.contextmanager
def listening(listener: Callable[[bool], None]) -> Iterator[None]:
    """Within this context and thread, :func:`warn` calls ``listener(undefined)`` and warns nobody.

    Parameters
    ----------
    listener : callable
        Of one bool: whether the warning says that an answer is not defined.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def warn(message: str, own: type[Warning], *, undefined: bool = False) -> None:
    """Warn with :func:`exception_class` of ``own``, naming the first line outside fasttrain as the place.

    Parameters
    ----------
    message : str
    own : type
        A warning class: of this module, or a built-in one, which is taken as it is.
    undefined : bool, default False
        The answer is a stand-in, although the warning is no ``UndefinedMetricWarning``.
    """
    listener = _listener.get()
    if listener is not None:
        listener(undefined or own is UndefinedMetricWarning)
        return
    level = 2
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fasttrain":
        frame = frame.f_back
        level += 1
    category = exception_class(own) if own.__module__ == __name__ else own
    warnings.warn(message, category, stacklevel=level)
