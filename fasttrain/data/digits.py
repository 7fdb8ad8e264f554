"""The embedded handwritten digits."""
from dataclasses import dataclass
from importlib import resources

import numpy as np

from fasttrain.exceptions import InvalidParameterError


@dataclass(frozen=True, eq=False)
class Digits:
    """What :func:`load_digits` returns."""

    data: np.ndarray  # (1797, 64)
    target: np.ndarray  # (1797,) int64
    target_names: np.ndarray  # (10,) int64
    DESCR: str

    @property
    def images(self):
        """The data as images, (1797, 8, 8); a view."""
        return self.data.reshape(-1, 8, 8)


def load_digits(*, return_X_y=False, dtype=np.float64, scaled=False):
    """The 1,797 handwritten digits of 8x8 pixels that come with the package.

    Parameters
    ----------
    return_X_y : bool, default False
        Return ``(data, target)`` alone.
    dtype : float32 or float64, default float64
        Of the data.
    scaled : bool, default False
        Divide by 16, so that values lie in 0 .. 1 instead of 0 .. 16.

    Returns
    -------
    Digits
        With ``data`` of shape (1797, 64), ``images`` of shape (1797, 8, 8), ``target`` of shape (1797,)
        and dtype int64, ``target_names`` and ``DESCR``: the source and licence.  The arrays are new at
        each call.

    Notes
    -----
    The test set of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, 1998, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0.  The values, their order and the
    classes are those of ``sklearn.datasets.load_digits``.

    Examples
    --------
    >>> from fasttrain.data import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> X.shape, y[:5].tolist()
    ((1797, 64), [0, 1, 2, 3, 4])
    """
    if dtype not in (np.float32, np.float64, "float32", "float64"):
        raise InvalidParameterError(f"dtype must be float32 or float64, got {dtype!r}")
    folder = resources.files("fasttrain.data")
    with folder.joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        data = arrays["images"].astype(dtype)
        target = arrays["labels"].astype(np.int64)
    if scaled:
        data /= 16
    if return_X_y:
        return data, target
    return Digits(data, target, np.arange(10), folder.joinpath("digits.txt").read_text(encoding="utf-8"))
