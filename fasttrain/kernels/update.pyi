from collections.abc import Mapping, Sequence
from typing import Any, Self, SupportsIndex, TypeAlias, final

import numpy as np
import numpy.typing as npt

_Array: TypeAlias = npt.NDArray[Any]

STATE_DTYPES: tuple[str, ...]

def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]: ...
def to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]: ...
@final
class Update:
    params: list[_Array]
    states: list[dict[str, _Array]]
    def __new__(
        cls,
        family: str,
        owners: list[Any],
        names: list[str],
        grad_names: list[str],
        groups: list[int],
        state_dtype: str,
        master_weights: bool,
        masks: list[Any],
        uint16_is_bfloat16: bool,
        n_threads: SupportsIndex | None = None,
    ) -> Self: ...
    def check_options(self, options: Sequence[Mapping[str, Any]]) -> None: ...
    def make_states(self, options: Sequence[Mapping[str, Any]]) -> None: ...
    def possible_states(
        self, options: Sequence[Mapping[str, Any]]
    ) -> list[tuple[dict[str, tuple[tuple[int, ...], np.dtype[Any]]], set[str]]]: ...
    def set_states(self, states: list[dict[str, _Array]]) -> None: ...
    @property
    def is_plain(self) -> bool: ...
    def round_masters(self) -> None: ...
    def get_progress(self) -> list[dict[str, float]]: ...
    def set_progress(self, progress: list[dict[str, float]]) -> None: ...
    def check_grads(self, grads: list[Any]) -> list[_Array]: ...
    def norm(self, grads: list[Any], *, n_threads: SupportsIndex | None = None) -> tuple[float, str | None]: ...
    def step(
        self,
        options: Sequence[Mapping[str, Any]],
        grads: list[Any],
        *,
        grad_factor: float = 1.0,
        clip: float = ...,
        n_threads: SupportsIndex | None = None,
    ) -> None: ...
