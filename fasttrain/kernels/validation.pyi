from typing import Any

from numpy.typing import NDArray

def all_finite(x: NDArray[Any], *, n_threads: int | None = None) -> bool: ...
