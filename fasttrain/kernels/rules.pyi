from collections.abc import Mapping
from typing import Any

FAMILIES: tuple[str, ...]
OPTIONS: dict[str, tuple[str, ...]]
COUNTED: dict[str, tuple[str, ...]]
EPS_MODES: tuple[str, ...]
RMSPROP_EPS_MODES: tuple[str, ...]
STATES: tuple[tuple[tuple[str, int], ...], ...]
VARIANTS: tuple[tuple[int, int], ...]

def check_options(family: str, given: Mapping[str, Any]) -> None: ...
def state_names(family: str, given: Mapping[str, Any]) -> list[str]: ...
