"""What a person wants to see after a run: a table, a page, and their numbers as json."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner

from ..errors import UserError
from ..evaluation.per_class import write_per_class
from ..formats.files import write_text
from ..report import (
    draw_detections,
    format_table,
    plot_accuracy_by_frequency,
    plot_ap_by_frequency,
    plot_reliability,
)
from ..report.backends import send_metrics, send_pictures
from ..report.page.run_note import NAME, PREDICTIONS, circumstances, describe
from ..values import check_values
from .checkpoint_hook import latest_checkpoint


@HOOKS.register_module()
class ReportHook(Hook):
    """Prints the final table; writes ``report.html`` and what it is made from.

    That is ``metrics.json``, ``run.json`` (what was evaluated, when and how) and, with this
    package's metrics, ``predictions.npz``; ``lt_det report`` makes the page from them again, beside
    a baseline for example. Pictures: ``detections.png``, ``ap_by_frequency.png``.
    Of a classifier: ``per_class.csv``, ``accuracy_by_frequency.png`` and ``reliability.png``.
    After training they describe the last validation and go into the work dir; after testing, into
    ``test/`` in it, and the metrics also to the backends of the visualizer, as ``test/...``; group
    metrics and pictures go there under one prefix, see ``lt_det.report.backends``. What a
    model does not have (masks, a per-class metric) is left out.

    Args:
        num_images: Validation images in the picture, spread over the data of the main process.
        score_thr: Detections with a lower score are not drawn.
        page: Whether to write ``predictions.npz`` and ``report.html``.
        most_images: Of larger data no detections are kept, which take memory in all processes until
            the end of an evaluation; the page then has numbers only. ``predictions_file`` of
            LongTailLVISMetric keeps them all the same.

    Raises:
        BadInputError: A number is outside its range.
    """

    # After the hooks that write into the metrics' dict.
    priority = 'VERY_LOW'

    def __init__(
        self,
        num_images: int = 6,
        score_thr: float = 0.3,
        page: bool = True,
        most_images: int = 5000,
    ) -> None:
        check_values(
            'ReportHook',
            num_images=(num_images, 'a whole number >= 0'),
            score_thr=(score_thr, 'a number in [0, 1]'),
            page=(page, 'True or False'),
            most_images=(most_images, 'a whole number >= 0'),
        )
        self.num_images = num_images
        self.score_thr = score_thr
        self.page = page
        self.most_images = most_images
        self._samples: list = []
        self._metrics: dict[str, float] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        self._samples = []
        self._keep_predictions(runner.val_loop, Path(runner.work_dir))

    def before_test_epoch(self, runner: Runner) -> None:
        self._samples = []
        self._keep_predictions(runner.test_loop, Path(runner.work_dir, 'test'))

    def _keep_predictions(self, loop: BaseLoop, folder: Path) -> None:
        wanted = self.page and len(loop.dataloader.dataset) <= self.most_images
        for metric in loop.evaluator.metrics if wanted else ():
            if getattr(metric, 'predictions_file', '') is None:
                metric.predictions_file = str(folder / PREDICTIONS)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._keep(batch_idx, len(runner.val_dataloader), outputs)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        self._keep(batch_idx, len(runner.test_dataloader), outputs)

    def _keep(self, batch_idx: int, num_batches: int, outputs) -> None:
        stride = max(1, num_batches // max(1, self.num_images))
        if not is_main_process() or len(self._samples) >= self.num_images or batch_idx % stride:
            return
        for sample in outputs[:1]:
            if 'pred_instances' not in sample or 'img_path' not in sample:
                continue
            visible = sample.pred_instances.scores >= self.score_thr
            # 300 full-size masks an image would fill the memory.
            drawn = sample.new()
            drawn.pred_instances = sample.pred_instances[visible]
            self._samples.append(drawn.cpu())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._metrics = dict(metrics or {})
        send_metrics(runner.visualizer, self._metrics, 'val', runner.iter)

    def after_train(self, runner: Runner) -> None:
        if self._metrics:
            folder = Path(runner.work_dir)
            self._write(runner, folder, runner.val_evaluator, runner.val_dataloader, 'val')

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._metrics = dict(metrics or {})
        # mmengine's LoggerHook sends validation's scalars to the backends, but not the test's
        scalars = {f'test/{k}': v for k, v in self._metrics.items() if isinstance(v, (int, float))}
        runner.visualizer.add_scalars(scalars)
        send_metrics(runner.visualizer, self._metrics, 'test', 0)
        folder = Path(runner.work_dir, 'test')
        self._write(runner, folder, runner.test_evaluator, runner.test_dataloader, 'test')

    def _write(self, runner: Runner, folder: Path, evaluator, dataloader, part: str) -> None:
        if not is_main_process():
            return
        written = [folder / 'metrics.json']
        plain = {key.split('/')[-1]: value for key, value in self._metrics.items()}
        write_text(written[0], json.dumps(plain, indent=2) + '\n')
        if self._samples:
            names = dataloader.dataset.metainfo['classes']
            written.append(folder / 'detections.png')
            draw_detections(self._samples, names, written[-1], self.score_thr)
        for metric in evaluator.metrics:
            per_class = getattr(metric, 'per_class', None)
            if per_class and 'accuracy' in per_class[0]:
                written += _classification(folder, per_class, metric.reliability)
                if self.page:
                    from ..report.page.attention import with_attention
                    from ..report.page.classified import Classified

                    predictions = Classified.of(metric, dataloader.dataset)
                    predictions = with_attention(predictions, runner.model, dataloader.dataset)
                    predictions.write(folder / PREDICTIONS)
            elif per_class:
                iou_type = 'segm' if 'segm_AP' in per_class[0] else 'bbox'
                written.append(folder / 'ap_by_frequency.png')
                plot_ap_by_frequency(per_class, written[-1], iou_type)
        step = runner.iter if part == 'val' else 0
        send_pictures(runner.visualizer, written, part, step)
        table = format_table(plain)
        if table:
            runner.logger.info('\n' + table + '\n')
        if self.page:
            write_text(folder / NAME, json.dumps(_note(runner, part), indent=2) + '\n')
            written += self._page(runner, folder)
        runner.logger.info('written: ' + ', '.join(map(str, written)))

    def _page(self, runner: Runner, folder: Path) -> list[Path]:
        from ..report.page.write import write_report

        try:
            return [write_report(folder)[0]]
        except (UserError, OSError) as error:  # the run itself has ended well
            runner.logger.warning(f'no report.html: {error}')
            return []


def _note(runner: Runner, part: str) -> dict:
    """What ``run.json`` holds."""
    config = Path(runner.work_dir, Path(runner.cfg.filename or 'config.py').name)
    checkpoint = runner.cfg.get('load_from')
    if part == 'val':
        checkpoint = latest_checkpoint(runner.work_dir)
    config = str(config) if config.is_file() else None
    return {
        'format': 1,
        **describe(runner.cfg, part),
        'config': config,
        **circumstances(checkpoint),
    }


def _classification(folder: Path, per_class: list[dict], reliability: dict) -> list[Path]:
    names = ('per_class.csv', 'accuracy_by_frequency.png', 'reliability.png')
    written = [folder / name for name in names]
    write_per_class(per_class, written[0])
    plot_accuracy_by_frequency(per_class, written[1])
    plot_reliability(reliability, written[2])
    return written
