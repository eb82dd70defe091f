import random
from types import SimpleNamespace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lt_det.engine import EpochSeedHook, seed_worker


class Draws(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.array([random.random(), np.random.rand(), torch.rand(()).item()])


def epoch(number: int, workers: int) -> torch.Tensor:
    loader = DataLoader(Draws(), num_workers=workers, worker_init_fn=seed_worker)
    loop = SimpleNamespace(dataloader=loader)
    EpochSeedHook().before_train_epoch(SimpleNamespace(seed=7, epoch=number, train_loop=loop))
    return torch.cat([*loader, torch.rand(1, 3, dtype=torch.float64)])


def test_an_epoch_draws_the_same_again_and_another_epoch_does_not():
    for workers in (0, 2):
        first, again, other = epoch(3, workers), epoch(3, workers), epoch(4, workers)
        assert torch.equal(first, again)
        assert not torch.isclose(first, other).any()


def test_workers_draw_differently_from_each_other():
    draws = epoch(0, 2)[:4]
    assert len(draws.unique(dim=0)) == 4
