"""What a person at a console wants to see while a run goes on."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from tqdm import tqdm

from ..adjustments.base import LogitAdjustment
from ..bare_model import bare_model
from ..config_parts import classifies
from ..report.summary import summarize, summarize_shots
from ..report.table import DETECTION_COLUMNS, IOU_TYPES
from ..values import check_values
from .report_hook import ReportHook


@HOOKS.register_module()
class ConsoleHook(Hook):
    """Says in a line each what is trained on what; then a progress line with losses and ETA.

    ``lt_det train``, ``test`` and ``tools/*.py`` add it unless they are verbose. On a terminal the
    progress line is rewritten; elsewhere a new one is written at most every ``interval`` seconds.

    Args:
        interval: Seconds between two lines where the output is no terminal.

    Raises:
        BadInputError: ``interval`` is no number >= 0.
    """

    # after the hooks that count, load and log
    priority = 'VERY_LOW'

    def __init__(self, interval: float = 60.0) -> None:
        check_values('ConsoleHook', interval=(interval, 'a number >= 0'))
        self.interval = interval
        self._line: ProgressLine | None = None

    def before_train(self, runner: Runner) -> None:
        if is_main_process():
            print(describe_data(runner))
            print(describe_model(runner))
            print(f'files: {runner.work_dir} (log: {runner.logger.log_file})', flush=True)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        if self._line is None:
            self._open('training', runner.max_iters, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        loss = runner.message_hub.log_scalars.get('train/loss')
        if self._line and self._line.is_due(runner.iter + 1):
            # means over the last iterations; reading them waits for the device, when due alone
            text = '' if loss is None else f'loss {float(loss.mean(20)):.3f}'
            epochs = f'epoch {runner.epoch + 1}/{runner.max_epochs}' if runner.max_epochs else ''
            self._line.update(runner.iter + 1, ', '.join(filter(None, (epochs, text))))

    def before_val(self, runner: Runner) -> None:
        self._close()

    def before_val_epoch(self, runner: Runner) -> None:
        self._open('validation', len(runner.val_dataloader))

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._advance(batch_idx)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._close()
        line = metrics_line(metrics or {})
        # ReportHook prints the table of the last one
        last = runner.iter >= runner.max_iters and _reports(runner)
        if line and is_main_process() and not last:
            print(f'epoch {runner.epoch}: {line}' if runner.max_epochs else line, flush=True)

    def before_test_epoch(self, runner: Runner) -> None:
        self._open('test', len(runner.test_dataloader))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        self._advance(batch_idx)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._close()
        line = metrics_line(metrics or {})
        if line and is_main_process() and not _reports(runner):
            print(line, flush=True)

    def after_train(self, runner: Runner) -> None:
        self._close()

    def _open(self, label: str, total: int, done: int = 0) -> None:
        self._close()
        if is_main_process():
            self._line = ProgressLine(label, total, done, self.interval)

    def _advance(self, batch_idx: int) -> None:
        if self._line and self._line.is_due(batch_idx + 1):
            self._line.update(batch_idx + 1)

    def _close(self) -> None:
        if self._line:
            self._line.close()
            self._line = None


def _reports(runner: Runner) -> bool:
    return any(isinstance(hook, ReportHook) for hook in runner.hooks)


class ProgressLine:
    """Steps done of all, time per step and the time that is left.

    Args:
        label: What is going on.
        total: Number of steps.
        done: Steps that an earlier run has done.
        interval: Seconds between two lines where stdout is no terminal.
    """

    def __init__(self, label: str, total: int, done: int = 0, interval: float = 60.0) -> None:
        self.label = label
        self.total = total
        self.first = self.done = done
        self.start = self.last = time.monotonic()
        terminal = sys.stdout.isatty()
        self.interval = 0.5 if terminal else interval
        self.bar = (
            tqdm(total=total, initial=done, desc=label, file=sys.stdout) if terminal else None
        )

    def is_due(self, done: int) -> bool:
        """Whether it is time to show that ``done`` steps are done."""
        return done >= self.total or time.monotonic() - self.last >= self.interval

    def update(self, done: int, text: str = '') -> None:
        self.last = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(done - self.done)
        self.done = done
        if self.bar is None:
            per_step = (self.last - self.start) / max(done - self.first, 1)
            left = timedelta(seconds=round(per_step * (self.total - done)))
            words = [f'{self.label} {done}/{self.total}', text, f'{per_step:.2f} s each']
            words.append(f'{left} left' if done < self.total else '')
            print(', '.join(filter(None, words)), flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def describe_data(runner: Runner) -> str:
    """One line on the training and validation data."""
    words = [f'data: {len(runner.train_dataloader.dataset):,} training images']
    words += [
        (summarize_shots if classifies(runner.cfg) else summarize)(hook.training_frequency)
        for hook in runner.hooks
        if getattr(hook, 'training_frequency', None) is not None
    ][:1]
    loop = runner._val_loop
    if hasattr(loop, 'dataloader'):
        words.append(f'{len(loop.dataloader.dataset):,} for validation')
    return '; '.join(words)


def describe_model(runner: Runner) -> str:
    """One line on the model, what de-biases it, and where it runs."""
    model = bare_model(runner.model)
    size = sum(parameter.numel() for parameter in model.parameters())
    words = [
        f'model: {type(model).__name__}, {size / 1e6:.3g} M parameters',
        describe_method(model),
    ]
    wrapper = type(runner.train_dataloader.dataset).__name__
    sampler = type(runner.train_dataloader.sampler).__name__
    words += [name for name in (wrapper, sampler) if name in SAMPLING]
    device = next(model.parameters()).device
    where = torch.cuda.get_device_name(device) if device.type == 'cuda' else str(device)
    ranks = get_world_size()
    words.append(f'on {ranks} x {where}' if ranks > 1 else f'on {where}')
    return '; '.join(words)


SAMPLING = ('RepeatFactorDataset', 'ClassBalancedDataset', 'LongTailSampler')


def describe_method(model: nn.Module) -> str:
    """The adjustments of the class logits and the losses of the classifiers, each once."""
    kinds = dict.fromkeys(
        repr(module) for module in model.modules() if isinstance(module, LogitAdjustment)
    )
    losses = dict.fromkeys(
        type(module.loss_cls).__name__
        for name, module in model.named_modules()
        if isinstance(getattr(module, 'loss_cls', None), nn.Module) and 'rpn' not in name
    )
    return ' + '.join([*kinds, *losses]) or 'no adjustment'


def metrics_line(metrics: dict[str, float]) -> str:
    """The metrics of a validation in a line: AP by group, or accuracies."""
    plain = {key.split('/')[-1]: value for key, value in metrics.items()}
    for iou_type in reversed(IOU_TYPES[:2]):
        values = {name: plain.get(f'{iou_type}_{name}', -1) for name in DETECTION_COLUMNS[:4]}
        if f'{iou_type}_AP' in plain:
            cells = [f'{name} {value:.3f}' for name, value in values.items() if value >= 0]
            return f'{iou_type} ' + '  '.join(cells)
    names = [name for name in ('top1', 'many', 'medium', 'few') if plain.get(name) is not None]
    return '  '.join(f'{name} {plain[name]:.3f}' for name in names)
