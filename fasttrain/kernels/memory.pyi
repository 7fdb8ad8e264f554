from typing import Any, Literal

import numpy.typing as npt

def view_memory(
    value: Any, name: str, *, dtype: Literal["bfloat16"] | None = None
) -> tuple[npt.NDArray[Any], Literal["float64", "float32", "float16", "bfloat16"]]: ...
