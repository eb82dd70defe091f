"""Checkpoints that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import os
import re
import zipfile
from contextlib import suppress
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..formats.files import whole_file

LAST = 'last_checkpoint'


class WholeFileBackend(LocalBackend):
    """MMEngine's local files; what it writes takes the place of the old file when it is whole."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        with whole_file(filepath) as part, open(part, 'wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())  # it is not renamed before it is on the disk


register_backend('whole_file', WholeFileBackend, force=True)


def latest_checkpoint(folder: str | Path) -> str | None:
    """The checkpoint of a work dir to go on from, also where the folder has moved.

    Returns:
        What ``last_checkpoint`` names, there or in the folder; else the ``epoch_N.pth`` or
        ``iter_N.pth`` of the highest N that is whole; None without one.
    """
    folder = Path(folder)
    last = folder / LAST
    # what is no text, or too long for a name, names no file
    name = os.fsdecode(last.read_bytes()[:4096]).strip() if last.is_file() else ''
    for path in (Path(name), folder / Path(name).name) if name else ():
        with suppress(OSError):
            if path.is_file():
                return str(path)
    numbered = [
        (int(match[1]), path)
        for path in folder.glob('*.pth')
        if (match := re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', path.name))
    ]
    for _, path in sorted(numbered, reverse=True):
        if zipfile.is_zipfile(path):  # what torch.save writes; it ends in its directory
            return str(path)
    return None


class LateRemoval:
    """A file backend whose removals wait.

    Args:
        backend: The file backend.
    """

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend
        self.outdated: list[str] = []

    def __getattr__(self, name: str):
        return getattr(self.__dict__['backend'], name)

    def remove(self, path: str) -> None:
        self.outdated.append(path)

    def remove_now(self) -> None:
        for path in self.outdated:
            if self.backend.isfile(path):
                self.backend.remove(path)
        self.outdated.clear()


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook, whose files survive a kill at any moment.

    MMEngine removes the oldest checkpoint and the best before it writes the new ones, and writes
    in place: a process that is killed meanwhile leaves half a file, or none. Here a checkpoint and
    ``last_checkpoint`` are replaced when the new ones are whole, and what is outdated goes after
    that. Files elsewhere (``backend_args``, a url as ``out_dir``) are written as MMEngine does.
    Resuming finds the latest checkpoint by :func:`latest_checkpoint`.
    """

    def before_run(self, runner: Runner) -> None:
        trains = hasattr(runner._train_loop, 'dataloader')  # else it is still a config
        if not (trains and runner._resume and runner._load_from is None):
            return
        runner._load_from = latest_checkpoint(runner.work_dir)
        if runner._load_from is None:
            runner.logger.warning(
                f'{runner.work_dir} has no checkpoint to resume from: the training begins anew'
            )

    def before_train(self, runner: Runner) -> None:
        folder = self.out_dir or runner.work_dir
        local = type(get_file_backend(folder, backend_args=self.backend_args)) is LocalBackend
        if local and self.file_client_args is None:
            self.backend_args = dict(backend='whole_file')
        super().before_train(runner)
        self.file_backend = LateRemoval(self.file_backend)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                oldest = self.filename_tmpl.format(self.keep_ckpt_ids[0])
                self.file_backend.remove(self.file_backend.join_path(self.out_dir, oldest))
            self.keep_ckpt_ids.append(step)  # and drops the oldest
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            with whole_file(Path(runner.work_dir, LAST)) as part:
                part.write_bytes(os.fsencode(self.last_ckpt))  # as the system has it
            self.file_backend.remove_now()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        if is_main_process():
            self.file_backend.remove_now()
