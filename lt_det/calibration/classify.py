"""Post-hoc rules for a trained classifier, chosen on held-out images in one pass.

Shapes: I held-out images, C classes, S settings, R rows of image weights.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from ..errors import BadInputError, DataWarning
from ..evaluation.classification import SHOT_GROUPS
from ..formats.files import sha256
from ..frequency import ClassFrequency
from ..frequency_module import FrequencyModule, frequency_modules
from .choice import Choice, HeadMap, KeptConfig
from .classifier_data import ClassifierData
from .classifier_head import allowed_settings, build_rule, check_head, check_settings, head_map
from .page import write_page
from .select import check_images, check_options, select
from .selection import METRICS, Selection
from .settings import Setting
from .sweep_file import write_sweep
from .test_runner import runner_of_test

NAMES = METRICS['classifier']


def calibrate_classifier(
    cfg: Config,
    checkpoint: str | os.PathLike,
    held_out: str | os.PathLike,
    train: str | os.PathLike | None,
    out_dir: str | os.PathLike,
    settings: Sequence[Setting],
    metric: str = 'macro',
    keep: Mapping[str, float] | None = None,
    resamples: int = 100,
    seed: int = 0,
    images: str | os.PathLike | None = None,
    progress: bool = True,
) -> Selection:
    """Choose among rules behind the logits of a classifier of MMPretrain.

    The model of the config is run once over the held-out images, as a test runs it; of each setting
    the predicted labels are kept. The metrics are means of the accuracy over classes: ``'macro'``
    over all that have a held-out image, ``'few'``, ``'medium'`` and ``'many'`` over those of a
    group (:meth:`lt_det.frequency.ClassFrequency.groups`).

    Writes ``sweep.csv`` (a row per setting), ``choice.json`` (:class:`Choice`) and
    ``calibration.html``, which shows both, into ``out_dir``, each whole or not at all, and the log
    of the run into ``out_dir/run``.

    Args:
        cfg: Config of a classifier whose head is a ``LinearClsHead`` or a ``LongTailClsHead``.
        checkpoint: Weights.
        held_out: What ``ann_file`` of the config's test data set takes, for images that were
            neither trained on nor will be reported on. Relative to the working directory.
        train: The same for the images trained on. Without, they are those of the config. Class
            statistics come from the checkpoint where it has them.
        out_dir: Folder of what is written.
        settings: Rules to choose from, the identity among them.
        metric: What is to be high.
        keep: How much other metrics may fall, by name.
        resamples: Of the bootstrap over images.
        seed: Of the folds and the bootstrap.
        images: Folder that the paths of ``held_out`` begin in; None: that of the config.
        progress: Whether to show a progress line.

    Raises:
        MissingFileError: A list, an image or the checkpoint does not exist.
        BadInputError: The head has no linear classifier, held-out images are training or test
            images, classes do not agree, or a metric cannot be judged.
    """
    keep = dict(keep or {})
    check_options(NAMES, metric, keep, resamples)
    check_settings(settings)
    hashes = {
        name: None if path is None else sha256(path)
        for name, path in dict(checkpoint=checkpoint, held_out=held_out, train=train).items()
    }
    config = KeptConfig(cfg)
    hashes['config'] = config.sha256
    data = ClassifierData(cfg, held_out, train, images)
    check_images(len(data.labels))
    sweep = Sweep(settings, data, [metric, *keep])
    sweep.run(cfg, checkpoint, Path(out_dir, 'run'), progress)

    frequency, labels = sweep.frequency, sweep.labels
    accuracies = Accuracies(labels, sweep.predicted, frequency.num_classes)
    groups = class_groups(frequency)
    images = np.bincount(labels, minlength=frequency.num_classes)
    selection = select(
        sweep.settings,
        accuracies,
        groups,
        np.ones(len(labels), bool),
        metric=metric,
        keep=keep,
        resamples=resamples,
        seed=seed,
        strata=labels,
        positives={'images': images},
    )
    write_sweep(Path(out_dir, 'sweep.csv'), sweep.settings, selection)
    chosen = sweep.settings[selection.chosen]
    Choice(
        kind='classifier',
        fold=selection.fold,
        reason=selection.reason,
        setting=dict(name=chosen.name, rules=[dict(rule) for rule in chosen.rules]),
        classes=data.classes,
        heads=[sweep.maps[selection.chosen]],
        image_count=frequency.image_count.tolist(),
        instance_count=frequency.instance_count.tolist(),
        num_images=frequency.num_images,
        metric=metric,
        keep=keep,
        selection=selection.as_dict(),
        config=config.write(out_dir),
        checkpoint=str(checkpoint),
        sha256=hashes,
        per_class={'group': frequency.groups('shot').tolist(), 'images': images.tolist()},
    ).write(Path(out_dir, 'choice.json'))
    write_page(out_dir)
    return selection


class Accuracies:
    """Accuracy of each class under each setting, with images that count more or less often.

    Args:
        labels: (I,) in 0..C-1.
        predicted: (S, I) predicted labels.
        num_classes: C.
    """

    def __init__(self, labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> None:
        self.num_classes = num_classes
        self._order = np.argsort(labels, kind='stable')
        self._present, self._starts = np.unique(labels[self._order], return_index=True)
        self._correct = (predicted == labels)[:, self._order]

    def __call__(self, number: int, weights: np.ndarray) -> np.ndarray:
        """Accuracies (R, C) of setting ``number`` where image i counts ``weights[r, i]`` times.

        NaN where a class has no image.
        """
        weights = np.asarray(weights, np.int64)[:, self._order]
        right = np.add.reduceat(weights * self._correct[number], self._starts, axis=1)
        total = np.add.reduceat(weights, self._starts, axis=1)
        values = np.full((len(weights), self.num_classes), np.nan)
        with np.errstate(invalid='ignore'):
            values[:, self._present] = right / total
        return values


def class_groups(frequency: ClassFrequency) -> dict[str, np.ndarray]:
    """Which classes (C,) each metric is the mean over."""
    names = frequency.groups('shot')
    groups = {'macro': np.ones(frequency.num_classes, bool)}
    return {**groups, **{name: names == name for name in SHOT_GROUPS}}


class Sweep(Hook):
    """What each setting predicts, from one test of the model.

    Args:
        settings: Rules.
        data: The held-out images.
        judged: Metrics that they have to be able to tell.

    Attributes:
        settings: Those that the head allows, S; all of them before the run.
        frequency: Statistics of the training set.
        labels: (I,).
        predicted: (S, I).
        maps: The map of each setting.
    """

    def __init__(
        self, settings: Sequence[Setting], data: ClassifierData, judged: Sequence[str]
    ) -> None:
        self.settings = list(settings)
        self.data = data
        self.judged = judged
        self.maps: list[HeadMap] = []
        self._batches: list[tuple[np.ndarray, np.ndarray]] = []

    def run(
        self, cfg: Config, checkpoint: str | os.PathLike, work_dir: Path, progress: bool = False
    ) -> None:
        """Test the checkpoint on the held-out images; the log goes to ``work_dir``."""
        cfg = deepcopy(cfg)
        cfg.test_dataloader.dataset = self.data.config
        runner = runner_of_test(cfg, checkpoint, work_dir, progress)
        runner.register_hook(self, priority='HIGHEST')
        runner.test()

    @property
    def labels(self) -> np.ndarray:
        return np.concatenate([labels for labels, _ in self._batches])

    @property
    def predicted(self) -> np.ndarray:
        return np.concatenate([predicted for _, predicted in self._batches], axis=1)

    def before_test(self, runner: Runner) -> None:
        """The checkpoint is loaded: check the head, find the statistics and hand them over."""
        model = runner.model
        check_head(model, self.data.classes)
        carried = next(
            (m for m in model.modules() if isinstance(m, FrequencyModule) and m.has_frequency), None
        )
        self.frequency = self.data.frequency(None if carried is None else carried.frequency)
        for module in frequency_modules(model) if carried is None else ():
            module.set_class_frequency(self.frequency)
        _check_groups(self.frequency, self.data.labels, self.judged)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Weights are those of the test now (EMA included): build the rules."""
        if batch_idx:
            return
        head = runner.model.head
        self.settings = allowed_settings(self.settings, head)
        rules = [build_rule(setting, head, self.frequency) for setting in self.settings]
        self.maps = [head_map(head, rule) for rule in rules]
        head._get_predictions = partial(self._collect, head._get_predictions, rules)

    def after_test(self, runner: Runner) -> None:
        del runner.model.head._get_predictions

    def _collect(self, predict, rules: list, logits: Tensor, samples: Sequence) -> list:
        adjusted = (logits if rule is None else rule(logits) for rule in rules)
        # as ClsHead predicts: rounding may make scores equal that were not
        predicted = torch.stack([each.softmax(1).argmax(1) for each in adjusted])
        labels = torch.cat([sample.gt_label for sample in samples])
        self._batches.append((labels.cpu().numpy(), predicted.to('cpu', torch.int32).numpy()))
        return predict(logits, samples)


def _check_groups(frequency: ClassFrequency, labels: np.ndarray, judged: Sequence[str]) -> None:
    """Refuse metrics that the held-out images cannot tell; say which others they cannot."""
    seen = np.bincount(labels, minlength=frequency.num_classes) > 0
    for name, members in class_groups(frequency).items():
        if not members.any() and name in judged:
            raise BadInputError(
                f"'{name}' cannot be judged: the training set has no class of that group; without "
                f'{", ".join(SHOT_GROUPS)} there is macro'
            )
        if members.any() and not seen[members].any():
            text = f'none of the {members.sum()} classes has a held-out image'
            if name in judged:
                raise BadInputError(f"'{name}' cannot be judged: {text}")
            warnings.warn(f"accuracy '{name}' is not known: {text}", DataWarning, stacklevel=2)
    if not seen.all():
        warnings.warn(
            f'{(~seen).sum()} of {len(seen)} classes have no held-out image and take no part',
            DataWarning,
            stacklevel=2,
        )
