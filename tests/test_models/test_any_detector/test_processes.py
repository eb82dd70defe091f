"""Two processes with an image each take the step of one process with both."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..two_processes import in_two_processes
from .zoo import FAMILIES, adjusted, batch, in_training

# Families that divide their losses by sums over all processes and draw nothing at random: RetinaNet
# and two-stage detectors divide in each process, DINO and DDQ draw noise, Mask2Former draws points,
# and the divisor of RTMDet is at least 1 in each process.
NAMES = [
    'FCOS',
    'ATSS',
    'GFL',
    'YOLOX',
    'DETR',
    'Conditional DETR',
    'DAB-DETR',
    'Deformable DETR',
    'Sparse R-CNN',
    'QueryInst',
    'MaskFormer',
]
RULES = [dict(type='IIF', link='smooth'), dict(type='PriorShift')]


class Step(nn.Module):
    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, data: dict) -> torch.Tensor:
        data = self.detector.data_preprocessor(data, training=True)
        losses = self.detector(**data, mode='loss')
        return self.detector.parse_losses(losses)[0]


def gradients(name: str, images: slice, parallel: bool) -> list[torch.Tensor]:
    """Of the classifiers, after a step on some of two images."""
    detector = in_training(adjusted(name, RULES))
    step = Step(detector)
    model = DistributedDataParallel(step, find_unused_parameters=True) if parallel else step
    data = {key: value[images] for key, value in batch(name).items()}
    model(data).backward()
    return [detector.get_submodule(path).weight.grad for path in FAMILIES[name].classifiers]


def work(rank: int, name: str, expected: list[torch.Tensor]) -> None:
    for ours, theirs in zip(gradients(name, slice(rank, rank + 1), True), expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize('name', NAMES)
def test_two_processes_step_as_one(name):
    expected = gradients(name, slice(0, 2), False)
    assert max(gradient.abs().max() for gradient in expected) > 0
    in_two_processes(work, name, expected)
