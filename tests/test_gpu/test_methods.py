"""The scripts that compare methods, where a Runner has put the model on a GPU."""

from __future__ import annotations

import pytest
import torch
from methods import methods_classification as methods
from torch import nn

from lt_det.frequency import ClassFrequency


class Colours(nn.Module):
    """Logits from the mean colour of an image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, classes)

    def data_preprocessor(self, data: dict) -> dict:
        images = torch.stack(data['inputs']).to(self.fc.weight.device)
        return dict(inputs=images.float() / 255)

    def forward(self, inputs: torch.Tensor, mode: str) -> torch.Tensor:
        return self.fc(inputs.mean((2, 3)))


def scores(folder, device: torch.device | str) -> dict:
    torch.manual_seed(0)
    frequency = ClassFrequency.from_annotation_file(folder / 'train.txt')
    model = Colours(frequency.num_classes).to(device)
    return methods.score(*methods.predict(model, folder), frequency)


def test_gpu_equals_cpu(tiny_crops, device):
    found, expected = (scores(tiny_crops, place) for place in (device, 'cpu'))
    assert 0 <= expected['top1'] <= 1
    assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)
