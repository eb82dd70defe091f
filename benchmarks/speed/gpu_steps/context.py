"""What a step gets: the device, sizes, the time that is left, and where its rows go."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common.allocations import peak_mb


@dataclass
class Context:
    """The setting of a run.

    Attributes:
        device: Where everything runs.
        toy: Whether sizes are those of a dry run on a CPU.
        folder: For files that steps make; gone at the end.
        deadline: On the clock of ``time.monotonic``, when the step at hand is cut.
        add_row: Takes the rows of the step at hand.
    """

    device: torch.device
    toy: bool
    folder: Path
    deadline: float = 0.0
    add_row: Callable[[dict], None] = print

    @property
    def on_gpu(self) -> bool:
        return self.device.type == 'cuda'

    def pick(self, full: Any, toy: Any) -> Any:
        """The first value, in a dry run the second."""
        return toy if self.toy else full

    def left(self) -> float:
        """Seconds until the step is cut."""
        return self.deadline - time.monotonic()

    def check(self, stage: str, held: bool, expected: str, **found: Any) -> None:
        """A row that holds or does not."""
        self.add_row(dict(stage=stage, held=bool(held), expected=expected, **_short(found)))

    def note(self, stage: str, **found: Any) -> None:
        """A row of measurements alone."""
        self.add_row(dict(stage=stage, **_short(found)))

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def free(self) -> None:
        """Give back what no tensor uses any more."""
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()

    def clock(self, function: Callable[[], Any]) -> float:
        """Seconds of a call, the work on the device included."""
        self.synchronize()
        begin = time.perf_counter()
        function()
        self.synchronize()
        return time.perf_counter() - begin

    def median_s(self, function: Callable[[], Any], repeats: int, warm_up: int = 3) -> float:
        """Median seconds of some calls after others that do not count."""
        for _ in range(self.pick(warm_up, 1)):
            function()
        return statistics.median(self.clock(function) for _ in range(self.pick(repeats, 1)))

    def peak_mb(self, function: Callable[[], Any]) -> float | None:
        """MB on the GPU at the peak of a call, beyond what was there before; None on a CPU."""
        if not self.on_gpu:
            function()
            return None
        return peak_mb(function, self.device)


def _short(found: dict[str, Any]) -> dict[str, Any]:
    """Numbers with the digits that mean something."""
    return {
        key: float(f'{value:.4g}') if isinstance(value, float) else value
        for key, value in found.items()
    }
