"""Modules with buffers that come from the training data."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


class DataBuffers(nn.Module):
    """A module whose buffers are never in half precision, also where ``model.half()`` is called.

    Counts of classes and sums over a training do not fit there: float16 ends at 65,504, and loses
    steps of 1 from 2,048 on, bfloat16 from 256. What is derived from them was computed in float64.

    Attributes:
        data_buffers: Names of the buffers that come from the training data. Any module may have
            such a list; fine-tuning on other data leaves them out of the checkpoint.
    """

    data_buffers: tuple[str, ...] = ()

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        before = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            now = self._buffers[name]
            if now is not None and now.is_floating_point() and now.itemsize < 4:
                self._buffers[name] = buffer.to(now.device)
        return self
