"""Memory that torch's allocator holds at the peak of a step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_mb(step: Callable[[], object], device: torch.device | str = 'cpu') -> float:
    """MB at the peak of a call, beyond what was there before it.

    On a CPU from the profiler's record of every allocation. A first call may hold more.
    """
    if torch.device(device).type == 'cpu':
        return _peak_on_cpu(step) / 2**20
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    base = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - base) / 2**20


def _peak_on_cpu(step: Callable[[], object]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    events = record.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == '[memory]']
    held = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        peak = max(peak, held)
    return peak
