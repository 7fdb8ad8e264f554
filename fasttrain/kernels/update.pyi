from collections.abc import Mapping, Sequence
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

STATE_DTYPES: tuple[str, ...]

@final
class Update:
    params: list[npt.NDArray[Any]]
    states: list[dict[str, npt.NDArray[Any]]]
    @property
    def is_plain(self) -> bool: ...
    def __new__(
        cls,
        family: str,
        params: list[npt.NDArray[Any]],
        names: list[str],
        grad_names: list[str],
        groups: list[int],
        state_dtype: str,
        master_weights: bool,
        masks: Sequence[npt.NDArray[np.bool_] | None],
    ) -> Self: ...
    def make_states(self, options: Sequence[Mapping[str, Any]]) -> None: ...
    def expected_states(
        self, options: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, tuple[tuple[int, ...], np.dtype[Any]]]]: ...
    def set_states(self, states: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None: ...
    def round_masters(self) -> None: ...
    def get_progress(self) -> list[dict[str, float]]: ...
    def set_progress(self, progress: Sequence[Mapping[str, float]]) -> None: ...
    def norm(self, grads: list[npt.NDArray[Any]], *, n_threads: int | None = None) -> tuple[float, int]: ...
    def step(
        self,
        options: Sequence[Mapping[str, Any]],
        grads: list[npt.NDArray[Any]],
        *,
        grad_factor: float = 1.0,
        clip: float = ...,
        n_threads: int | None = None,
    ) -> None: ...
