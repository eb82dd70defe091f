"""Modules with a schedule learn the epoch, whatever the loop counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn

from lt_det.engine import ModuleEpochHook

BY_EPOCH = dict(by_epoch=True, max_epochs=3)
BY_ITERATION = dict(by_epoch=False, max_iters=6)


class Scheduled(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 1)
        self.epoch, self.told, self.seen = -1, [], []

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.told.append(epoch)

    def forward(self, images: Tensor, mode: str = 'loss') -> dict[str, Tensor]:
        self.seen.append(self.epoch)
        return dict(loss=self.fc(images).mean())

    def train_step(self, data, optim_wrapper) -> dict[str, Tensor]:
        losses = self(torch.stack(data))
        optim_wrapper.update_params(losses['loss'])
        return losses


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
@pytest.mark.parametrize('loop', [BY_EPOCH, BY_ITERATION], ids=['epochs', 'iterations'])
def test_each_epoch_is_told_once(loop, sampler, tmp_path: Path, monkeypatch):
    if loop is BY_EPOCH and sampler == 'InfiniteSampler':
        pytest.skip('such an epoch never ends')
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # MMEngine's, between two passes
    model = Scheduled()
    Runner(
        model,
        str(tmp_path),
        train_dataloader=dict(
            dataset=[torch.zeros(2)] * 4,
            batch_size=2,
            sampler=dict(type=sampler, shuffle=False),
            collate_fn=list,
        ),
        train_cfg=loop,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[ModuleEpochHook()],
        log_level='ERROR',
        experiment_name=f'{sampler} {tmp_path.name}',
    ).train()
    assert model.seen == [0, 0, 1, 1, 2, 2] and model.told == [0, 1, 2]
