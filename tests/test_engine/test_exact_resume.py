"""A resumed run ends with the weights of the uninterrupted one, bit by bit."""

from __future__ import annotations

import itertools
import logging
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import lt_det  # noqa: F401
from lt_det.engine.data_position import position_batches

NUMBERS = itertools.count()
ITEMS, BATCH = 22, 4
BATCHES = 6  # an epoch: the last has 2 items


class Items(Dataset):
    metainfo = dict(classes=('a', 'b'))

    def __len__(self):
        return ITEMS

    def __getitem__(self, index):
        drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
        return torch.tensor([index / ITEMS, *drawn]), torch.tensor(index)


class Model(BaseModel):
    """Draws too, and has a layer with statistics."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)
        )

    def forward(self, inputs, indices, mode='tensor'):
        values = self.layers(inputs)
        return dict(loss=(values - indices[:, None] / ITEMS).square().mean())


class Seen(Hook):
    def __init__(self):
        self.indices = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.indices.append(data_batch[1].tolist())


def train(
    work: Path,
    resume: Path | str | None = None,
    heard: list | None = None,
    extra_hooks: list | None = None,
    **options,
) -> tuple[dict, list, list]:
    """Train; the last checkpoint, the batches, and what was said about the resuming.

    ``heard`` gets all that is logged, ``resume='auto'`` takes the latest checkpoint.
    """
    loader = dict(
        batch_size=BATCH,
        num_workers=0,
        dataset=Items(),
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
    )
    loader.update(options.pop('loader', {}))
    seen, said = Seen(), [] if heard is None else heard
    torch.manual_seed(0)  # of the weights
    config = dict(
        model=Model(),
        work_dir=str(work),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=15),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=-1)
        ),
        custom_hooks=[
            dict(type='EpochSeedHook'),
            dict(type='EMAHook', momentum=0.1),
            seen,
            *(extra_hooks or []),
        ],
        randomness=dict(seed=3),
        load_from=None if resume in (None, 'auto') else str(resume),
        resume=resume is not None,
        experiment_name=f'exact{next(NUMBERS)}',
        default_scope='mmengine',
    )
    runner = Runner(**{**config, **options})
    logger = MMLogger.get_current_instance()
    logger.setLevel(logging.WARNING)
    for level in ('warning', 'info'):
        record = lambda text, *args, level=level, **kwargs: said.append((level, text))  # noqa: E731
        setattr(logger, level, record)
    runner.train()
    workers = runner.train_loop.dataloader._iterator  # those that persist
    if workers is not None:
        workers._shutdown_workers()  # the garbage collector would wait for each in vain
    checkpoint = torch.load(runner.message_hub.get_info('last_ckpt'), weights_only=False)
    return checkpoint, seen.indices, [line for line in said if line[1].startswith('resumed after')]


def equal(one: dict, other: dict) -> bool:
    """Whether weights, averages and momentum are the same bits."""
    parts = [
        {**c['state_dict'], **{f'ema.{k}': v for k, v in c['ema_state_dict'].items()}}
        | {f'momentum.{k}': v['momentum_buffer'] for k, v in c['optimizer']['state'].items()}
        for c in (one, other)
    ]
    return parts[0].keys() == parts[1].keys() and all(
        torch.equal(value, parts[1][key]) for key, value in parts[0].items()
    )


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """Folder, last checkpoint and batches of a run without interruption or workers."""
    folder = tmp_path_factory.mktemp('straight')
    return folder, *train(folder)[:2]


@pytest.mark.parametrize('start', [1, 5, 6, 8, 18])
def test_from_every_place_of_an_epoch(start, straight, tmp_path):
    folder, checkpoint, batches = straight
    assert len(batches) == 3 * BATCHES
    again, rest, said = train(tmp_path, folder / f'iter_{start}.pth')
    assert rest == batches[start:]
    assert equal(checkpoint, again)
    ((level, text),) = said
    assert level == 'info' and 'as if nothing had interrupted' in text


@pytest.mark.parametrize('persistent', [False, True])
def test_workers_load_what_the_process_itself_loads(persistent, straight, tmp_path):
    folder, checkpoint, batches = straight
    loader = dict(num_workers=2, persistent_workers=persistent)
    again, rest, _ = train(tmp_path, folder / 'iter_8.pth', loader=loader)
    assert rest == batches[8:]
    assert equal(checkpoint, again)


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
def test_by_iterations(sampler, tmp_path, monkeypatch):
    # alone there: threads that wait would turn in circles
    monkeypatch.setattr('mmengine.runner.loops.time', SimpleNamespace(sleep=lambda seconds: None))
    options = dict(train_cfg=dict(by_epoch=False, max_iters=15), loader={})
    options['loader'] = dict(sampler=dict(type=sampler, shuffle=True))
    straight, batches, _ = train(tmp_path / 'a', **dict(options))
    for start in (3, 6, 13):
        again, rest, said = train(
            tmp_path / f'b{start}', tmp_path / f'a/iter_{start}.pth', **dict(options)
        )
        assert rest == batches[start:]
        assert equal(straight, again)
        assert said == [('info', said[0][1])]


def test_no_seed_is_given(tmp_path):
    options = dict(randomness=dict(seed=None))
    straight, batches, _ = train(tmp_path / 'a', **options)
    again, rest, _ = train(tmp_path / 'b', tmp_path / 'a/iter_8.pth', **options)
    assert rest == batches[8:] and equal(straight, again)


def test_other_batches_and_accumulated_gradients_are_said(straight, tmp_path):
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), accumulative_counts=4)
    _, rest, said = train(
        tmp_path, straight[0] / 'iter_9.pth', optim_wrapper=wrapper, loader=dict(batch_size=2)
    )
    # 3 of 6 batches of epoch 2 are 5 of 11: what is left is those and an epoch
    assert len(rest) == 6 + 11
    ((level, text),) = said
    assert level == 'warning' and 'after 5 of 11 batches of epoch 2' in text
    assert 'is of 6 batches per epoch, this run has 11' in text
    assert 'accumulated over 4 iterations' in text


def test_a_checkpoint_of_a_run_without_the_hook(straight, tmp_path):
    checkpoint = torch.load(straight[0] / 'iter_8.pth', weights_only=False)
    del checkpoint['meta']['data_position']
    torch.save(checkpoint, tmp_path / 'iter_8.pth')
    _, rest, said = train(tmp_path, tmp_path / 'iter_8.pth')
    assert len(rest) == 3 * BATCHES - 8
    assert said[0][0] == 'warning' and 'without this hook' in said[0][1]


def test_a_data_set_that_loads_whole_batches(tmp_path):
    asked = []

    class Whole(Items):
        def __getitems__(self, indices):
            asked.append(list(indices))
            return [self[index] for index in indices]

    loader = torch.utils.data.DataLoader(Whole(), batch_size=BATCH)
    position_batches(loader, 1, 2)
    first = [batch[0] for batch in loader]
    loader.batch_sampler.skip(4)
    loader.batch_sampler.epoch = 0
    rest = [batch[0] for batch in loader]
    assert len(rest) == 2 and torch.equal(torch.cat(rest), torch.cat(first[4:]))
    assert len(asked) == 8
    assert len(loader) == BATCHES and loader.batch_sampler.batch_size == BATCH


def test_a_stream_has_no_positions():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(3))

    assert position_batches(torch.utils.data.DataLoader(Stream())) is None
