"""The counter of operations and waits, which benchmarks and tests share."""

from __future__ import annotations

import torch
from common.operations import Operations


def test_what_counts_as_a_wait():
    values = torch.arange(6.0)
    for wait, code in (
        (1, lambda: values.sum().item()),
        (1, lambda: values.sqrt().tolist()),
        (1, lambda: values.sqrt().cpu()),
        (1, lambda: values.nonzero()),
        (1, lambda: values[values > 2]),
        (0, lambda: values.masked_fill(values > 2, 0)),
        (0, lambda: values.clone().__setitem__(values > 2, 0)),
        (1, lambda: values.clone().__setitem__(values > 2, values[:3])),
        (0, lambda: values[torch.tensor([1, 2])]),
    ):
        with Operations() as count:
            code()
        assert count.waits == wait and count.number >= 1
