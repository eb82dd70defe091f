"""Options of data loaders fit each other in every config, whatever number of workers is asked."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from lt_det.cli.loader_options import OF_WORKERS, check_shared_memory, fit_loader_options
from lt_det.errors import BadInputError

from ..conftest import ROOT

CONFIGS = sorted(p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name != '_base_')


def build(loader: dict) -> DataLoader:
    """What MMEngine makes of it, with three numbers for the data."""
    options = {k: v for k, v in loader.items() if k in (*OF_WORKERS, 'num_workers', 'drop_last')}
    if loader.get('batch_sampler') is not None:
        drop_last = loader['batch_sampler'].get('drop_last', False)
        options['batch_sampler'] = BatchSampler(SequentialSampler([1, 2, 3]), 2, drop_last)
    else:
        options['batch_size'] = 2
    return DataLoader([1, 2, 3], **options)


@pytest.mark.parametrize('folder', sorted({path.parent.name for path in CONFIGS}))
def test_every_config_loads_without_workers(folder):
    for path in CONFIGS:
        if path.parent.name != folder:
            continue
        cfg = Config.fromfile(path)
        for kind in ('train', 'val', 'test'):
            loader = cfg.get(f'{kind}_dataloader')
            if loader:
                # tools of MMDetection have no fit_loader_options; mosaic needs workers that stay
                stay = kind == 'train' and path.stem.startswith('rtmdet_ins_s')
                assert bool(loader.get('persistent_workers')) == stay, path
                loader.update(num_workers=0, persistent_workers=True, prefetch_factor=4)
        fit_loader_options(cfg)
        for kind in ('train', 'val', 'test'):
            loader = cfg.get(f'{kind}_dataloader')
            if loader:
                assert len(list(build(loader))) == 2, path


def test_options_of_workers_go_with_them_alone():
    loader = dict(num_workers=2, persistent_workers=True, prefetch_factor=3, timeout=5)
    cfg = dict(train_dataloader=dict(loader), phases=[dict(val_dataloader=dict(loader))])
    kept = deepcopy(cfg)
    fit_loader_options(cfg)
    assert cfg == kept
    cfg['phases'][0]['val_dataloader']['num_workers'] = 0
    fit_loader_options(cfg)
    assert cfg == {**kept, 'phases': [dict(val_dataloader=dict(num_workers=0))]}


@pytest.mark.parametrize('drop_last', [False, True])
def test_batch_samplers_get_drop_last(drop_last):
    loader = dict(num_workers=0, batch_sampler=dict(type='AspectRatioBatchSampler'))
    cfg = dict(train_dataloader=dict(loader, drop_last=drop_last))
    fit_loader_options(cfg)
    assert [len(batch) for batch in build(cfg['train_dataloader'])] == [2, 1][: 2 - drop_last]
    fit_loader_options(cfg)  # a second time changes nothing
    assert 'drop_last' not in cfg['train_dataloader']
    contradiction = dict(loader, drop_last=drop_last)
    contradiction['batch_sampler'] = dict(type='AspectRatioBatchSampler', drop_last=not drop_last)
    with pytest.raises(BadInputError, match=r'drop_last is .*, but .*batch_sampler\.drop_last is'):
        fit_loader_options(dict(train_dataloader=contradiction))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(num_workers=-1), 'num_workers is -1, expected a whole number >= 0'),
        (dict(num_workers='two'), "num_workers is 'two', expected a whole number"),
        (dict(batch_size=0), 'batch_size is 0, expected a whole number >= 1'),
        (dict(prefetch_factor=0), 'prefetch_factor is 0, expected'),
        (dict(timeout=-1), 'timeout is -1, expected seconds'),
        (dict(persistent_workers='yes'), "persistent_workers is 'yes', expected True or False"),
        (dict(shuffle=True), r'expected test_dataloader\.sampler\.shuffle=True'),
    ],
)
def test_bad_values(option, message):
    with pytest.raises(BadInputError, match=r'^test_dataloader\..*' + message.lstrip('^')):
        fit_loader_options(dict(test_dataloader=dict(option)))


def test_no_room_for_what_workers_hand_over(tmp_path, monkeypatch):
    """On 64 kB of /dev/shm torch waits for its workers forever."""
    space = SimpleNamespace(f_bavail=16, f_frsize=4096)
    monkeypatch.setattr('os.statvfs', lambda folder: space)
    workers = dict(train_dataloader=dict(num_workers=2), val_dataloader=dict(num_workers=0))
    message = '65,536 bytes free, .* at least 16,777,216 .* train_dataloader.num_workers=0$'
    with pytest.raises(BadInputError, match=message):
        check_shared_memory(workers, str(tmp_path))
    check_shared_memory(workers, str(tmp_path / 'nothing'))  # as on other systems
    workers['train_dataloader']['num_workers'] = 0
    check_shared_memory(workers, str(tmp_path))
    workers['train_dataloader']['num_workers'] = 2
    space.f_bavail = 2**20
    check_shared_memory(workers, str(tmp_path))
