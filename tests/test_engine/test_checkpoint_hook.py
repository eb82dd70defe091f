"""Whatever file operation a process dies at, a work dir holds a whole checkpoint to go on from."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, Hook

from lt_det.cli.train import make_resumable
from lt_det.engine import WholeCheckpointHook
from lt_det.engine.checkpoint_hook import WholeFileBackend, latest_checkpoint
from lt_det.errors import UserError

from .test_exact_resume import BATCHES, equal, train


class Killed(BaseException):
    """The process ends here."""


class Score(Hook):
    """Has every validation be the best one."""

    def after_train_epoch(self, runner):
        runner._hooks[-1].after_val_epoch(runner, dict(score=float(runner.epoch)))


def hooks(**options) -> dict:
    checkpoint = dict(type='WholeCheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=1)
    return dict(default_hooks=dict(checkpoint={**checkpoint, **options}))


def count_steps(monkeypatch, dies_at: int) -> list[str]:
    """Have no step happen from the one of that number on, of all that change a file."""
    steps = []

    def watch(owner, name):
        original = getattr(owner, name)

        def step(*args, **kwargs):
            steps.append(name)
            if len(steps) >= dies_at:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, step)

    watch(Path, 'replace')
    watch(Path, 'unlink')
    watch(os, 'fsync')
    watch(os, 'remove')
    return steps


def checked(folder: Path) -> int:
    """The iteration that a work dir can be resumed at; every checkpoint in it is whole."""
    for path in folder.glob('*.pth'):
        torch.load(path, weights_only=False)
    path = latest_checkpoint(folder)
    return 0 if path is None else torch.load(path, weights_only=False)['meta']['iter']


def test_a_run_that_dies_at_any_change_of_a_file(tmp_path, monkeypatch):
    straight, _, _ = train(tmp_path / 'a', train_cfg=dict(by_epoch=True, max_epochs=1), **hooks())
    assert sorted(path.name for path in (tmp_path / 'a').glob('*.pth*')) == [f'iter_{BATCHES}.pth']
    reached = set()
    for dies_at in range(1, 13):
        folder = tmp_path / f'b{dies_at}'
        with monkeypatch.context() as patch:
            steps = count_steps(patch, dies_at)
            with pytest.raises(Killed):
                train(folder, train_cfg=dict(by_epoch=True, max_epochs=1), **hooks())
        begun = steps[:dies_at].count('fsync')
        assert checked(folder) in (begun - 1, begun)
        reached.add(steps[dies_at - 1])
    assert {'fsync', 'replace', 'remove'} <= reached
    again, _, _ = train(
        folder, resume='auto', train_cfg=dict(by_epoch=True, max_epochs=1), **hooks()
    )
    assert equal(straight, again)


def test_the_best_goes_when_there_is_a_better_one(tmp_path, monkeypatch):
    options = hooks(by_epoch=True, save_best='score', rule='greater', max_keep_ckpts=2)
    train(tmp_path, extra_hooks=[Score()], train_cfg=dict(by_epoch=True, max_epochs=2), **options)
    assert len([*tmp_path.glob('best_*.pth')]) == 1
    kept = []
    remove = WholeFileBackend.remove

    def watched(self, path):
        kept.append((Path(path).name, sorted(p.name for p in tmp_path.glob('*.pth'))))
        remove(self, path)

    monkeypatch.setattr(WholeFileBackend, 'remove', watched)
    options['default_hooks']['checkpoint']['max_keep_ckpts'] = 1
    train(
        tmp_path,
        resume='auto',
        extra_hooks=[Score()],
        train_cfg=dict(by_epoch=True, max_epochs=4),
        **options,
    )
    removed_best = [beside for name, beside in kept if name.startswith('best')]
    assert removed_best and all(len([n for n in b if 'best' in n]) == 2 for b in removed_best)


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    WholeFileBackend().put(b'whole', path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(UserError, match=r'epoch_1\.pth cannot be written: No space left'):
        WholeFileBackend().put(b'another', path)
    assert path.read_bytes() == b'whole' and len([*tmp_path.iterdir()]) == 1


def test_the_latest_checkpoint_of_a_folder(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for number in (2, 10):
        torch.save({}, tmp_path / f'epoch_{number}.pth')
    (tmp_path / 'epoch_11.pth').write_bytes((tmp_path / 'epoch_10.pth').read_bytes()[:-100])
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')
    for text in ('', 'elsewhere/epoch_12.pth'):
        (tmp_path / 'last_checkpoint').write_text(text)
        assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')
    (tmp_path / 'last_checkpoint').write_text('/moved/from/here/epoch_2.pth')
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_2.pth')


def test_nothing_to_resume_from_is_said(tmp_path, caplog):
    said = []
    options = dict(train_cfg=dict(by_epoch=True, max_epochs=1), heard=said, **hooks())
    _, batches, _ = train(tmp_path, resume='auto', **options)
    assert len(batches) == BATCHES
    assert any('has no checkpoint to resume from' in text for _, text in said)


@pytest.mark.parametrize(
    'kind', ['CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook, None]
)
def test_any_config_trains_with_whole_checkpoints(kind):
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(type=kind, interval=3))) if kind else {})
    make_resumable(cfg)
    assert cfg.default_hooks.checkpoint.type == 'WholeCheckpointHook'
    assert cfg.default_hooks.checkpoint.interval == (3 if kind else 1)
    assert cfg.custom_hooks == [dict(type='EpochSeedHook')]
    make_resumable(cfg)
    assert len(cfg.custom_hooks) == 1


def test_what_is_configured_otherwise_stays():
    cfg = Config(dict(default_hooks=dict(checkpoint=None), custom_hooks=None))
    make_resumable(cfg)
    assert cfg.default_hooks.checkpoint is None
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(type='Mine'))))
    make_resumable(cfg)
    assert cfg.default_hooks.checkpoint.type == 'Mine'
    assert issubclass(WholeCheckpointHook, CheckpointHook)


@pytest.mark.parametrize('name', ['Käse 奶酪', os.fsdecode('Käse'.encode('latin1'))])
def test_the_name_of_the_checkpoint_is_that_of_the_system(name, tmp_path):
    """In the locale POSIX all names beyond ASCII are of the latter kind."""
    folder = tmp_path / name
    train(folder, train_cfg=dict(by_epoch=True, max_epochs=1), **hooks())
    path = Path(latest_checkpoint(folder))
    assert path.parent == folder
    assert (folder / 'last_checkpoint').read_bytes() == os.fsencode(path)
