"""Post-hoc rules for a trained detector, chosen on held-out images in one pass.

Shapes: I held-out images, C classes, K categories of the held-out file, S settings.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config
from torch import nn

from ..errors import BadInputError, DataWarning
from ..evaluation.diagnosis.matches import metric_groups
from ..formats.files import sha256
from ..frequency import ClassFrequency
from ..frequency_module import FrequencyModule
from .choice import Choice, HeadMap, KeptConfig
from .detector_data import DetectorData
from .mask_check import has_masks, mask_metrics
from .overlay import Overlay, Rule, overlays
from .page import write_page
from .precisions import AveragePrecisions, positives, rarest_class, scored_images
from .select import check_images, check_options, select
from .selection import METRICS, Selection
from .settings import Setting, default_settings, read_settings
from .spool import Spool, images_done
from .sweep import Sweep
from .sweep_file import write_sweep

NAMES = METRICS['detector']


@dataclass
class Options:
    """How a setting is chosen.

    Args:
        rules: File of settings; None: the default grid of the head.
        metric: What is to be high.
        keep: How much other metrics may fall, by name; None: 0.005 of APf.
        iou_type: ``'bbox'`` or ``'segm'``: what AP is of.
        check_masks: Whether AP of masks is measured too, of the choice alone, where a detector that
            makes masks is calibrated by boxes.
        resamples: Of the bootstrap over images.
        seed: Of the halves and the bootstrap.
        resume: Whether to go on with a sweep that was interrupted, or to choose anew from one that
            is complete.
    """

    rules: str | None = None
    metric: str = 'AP'
    keep: Mapping[str, float] | None = None
    iou_type: str = 'bbox'
    check_masks: bool = True
    resamples: int = 100
    seed: int = 0
    resume: bool = False


def calibrate_detector(
    cfg: Config,
    checkpoint: str | os.PathLike,
    data: DetectorData,
    out_dir: str | os.PathLike,
    options: Options,
    progress: bool = True,
) -> Selection:
    """Choose among rules behind the class logits of a detector.

    The model of the config is run once over the held-out images, as a test runs it; of each setting
    the matched detections go to disk. Metrics are AP of boxes or masks, over all classes and by
    training frequency.

    Writes ``sweep.csv`` (a row per setting), ``choice.json`` (:class:`Choice`), ``config.py`` (for
    folding) and ``calibration.html`` into ``out_dir``, each whole or not at all;
    ``out_dir/sweep`` holds the matched detections, ``out_dir/run`` the log. Values of classes in
    the answer are in the order of the classes of the config.

    Args:
        cfg: Config of a detector of MMDetection, with or without ``LongTail``.
        checkpoint: Weights.
        data: The held-out images.
        out_dir: Folder of what is written.
        options: How to choose.
        progress: Whether to show a progress line.

    Raises:
        MissingFileError: The checkpoint does not exist.
        BadInputError: The head allows no such rule, there are no class statistics, classes do not
            agree, a metric cannot be judged, or there is a sweep already.
        UserError: The disk is full.
    """
    check_options(NAMES, options.metric, options.keep, options.resamples)
    images = scored_images(data)
    check_images(int(images.sum()))
    config = KeptConfig(cfg)
    files = dict(checkpoint=checkpoint, held_out=data.held_out, train=data.train_file)
    hashes = {
        name: sha256(path) if path and os.path.isfile(path) else None
        for name, path in files.items()
    }
    hashes['config'] = config.sha256
    prepared = _Prepared(data, options)

    def spool(num_settings: int) -> Spool:
        names = [setting.name for setting in prepared.settings]
        origin = {**hashes, 'settings': names, 'iou_type': options.iou_type}
        return Spool(Path(out_dir, 'sweep'), num_settings, origin, options.resume)

    done = images_done(Path(out_dir, 'sweep'))
    sweep = Sweep(data, options.iou_type, prepared, spool, done)
    sweep.run(cfg, checkpoint, Path(out_dir, 'run'), progress)

    truth = data.truth
    precisions = AveragePrecisions(truth, sweep.spool, images, options.iou_type)
    used = np.zeros(truth.num_categories, bool)
    used[data.categories] = True
    groups = metric_groups(truth, used)
    counts = positives(truth, images)
    selection = select(
        prepared.settings,
        precisions,
        groups,
        images,
        metric=options.metric,
        keep=options.keep,
        resamples=options.resamples,
        seed=options.seed,
        strata=rarest_class(truth, prepared.frequency, data.categories),
        positives=counts,
    )
    before, after = (
        [values[k] for k in data.categories] for values in (selection.before, selection.after)
    )
    selection = replace(selection, before=before, after=after)
    group = np.full(truth.num_categories, 'AP', object)
    for name in NAMES[1:]:
        if name in groups:
            group[groups[name]] = name
    write_sweep(Path(out_dir, 'sweep.csv'), prepared.settings, selection)
    chosen = prepared.settings[selection.chosen]
    masks = None
    wanted = options.check_masks and options.iou_type == 'bbox' and selection.fold
    if wanted and sweep.makes_masks and has_masks(data):
        rules = prepared.rules[selection.chosen]
        where = cfg, checkpoint, data, out_dir
        masks = mask_metrics(*where, chosen, rules, groups, images, progress)
    Choice(
        kind='detector',
        fold=selection.fold,
        reason=selection.reason,
        setting=dict(name=chosen.name, rules=[dict(rule) for rule in chosen.rules]),
        classes=data.classes,
        heads=prepared.maps[selection.chosen],
        image_count=prepared.frequency.image_count.tolist(),
        instance_count=prepared.frequency.instance_count.tolist(),
        num_images=prepared.frequency.num_images,
        metric=options.metric,
        keep=selection.keep,
        selection=selection.as_dict(),
        config=config.write(out_dir),
        checkpoint=str(checkpoint),
        sha256=hashes,
        iou_type=options.iou_type,
        masks=masks,
        per_class={
            key: values[data.categories].tolist()
            for key, values in {'group': group, **counts}.items()
        },
    ).write(Path(out_dir, 'choice.json'))
    write_page(out_dir)
    return selection


class _Prepared:
    """Settings and their rules, made when the detector has its weights.

    Attributes:
        settings: Those that the heads allow, S.
        frequency: Statistics of the training set.
        rules: Of each setting, the rule of each head.
        maps: Of each setting, the map of each head.
    """

    def __init__(self, data: DetectorData, options: Options) -> None:
        self.data = data
        self.options = options

    def __call__(self, detector: nn.Module) -> tuple[list[Overlay], list[list[Rule | None]]]:
        heads = overlays(detector)
        number = heads[0].logits.num_classes
        if number != len(self.data.classes):
            raise BadInputError(
                f'model.{heads[0].logits.name}.num_classes is {number}, the held-out data set has '
                f'{len(self.data.classes)} classes'
            )
        self.frequency = self.data.frequency(_carried(detector))
        _check_judged(self.data, self.options)
        self.settings, self.rules = self._allowed(heads)
        names = {id(module): name for name, module in detector.named_modules()}
        self.maps = [
            [head_map(overlay, rule, names) for overlay, rule in zip(heads, of_heads, strict=True)]
            for of_heads in self.rules
        ]
        return heads, self.rules

    def _allowed(self, heads: list[Overlay]) -> tuple[list[Setting], list[list[Rule | None]]]:
        logits = heads[0].logits
        background = logits.num_extra > 0 and logits.activation == 'softmax'
        custom = getattr(getattr(logits.head, 'loss_cls', None), 'custom_cls_channels', False)
        background = background and not custom
        given = self.options.rules is not None
        if given:
            settings = read_settings(self.options.rules, logits.activation, background)
        else:
            settings = default_settings(logits.activation, background)
        dimension = None
        if any(setting.needs_boxes for setting in settings):
            dimension = self.data.dimension()
        allowed, rules, refused = [], [], {}
        for setting in settings:
            try:
                if setting.needs_boxes and dimension is None:
                    raise BadInputError('the training json is not there, whose boxes they read')
                of_heads = [o.built(setting.rules, self.frequency, dimension) for o in heads]
            except BadInputError as error:
                if given:
                    raise BadInputError(f'{self.options.rules}: {setting.name}: {error}') from error
                refused.setdefault(str(error), []).append(setting)
                continue
            allowed.append(setting)
            rules.append(of_heads)
        for reason, left_out in refused.items():
            warnings.warn(
                f'{len(left_out)} of {len(settings)} settings are left out, as '
                f'{left_out[0].name}: {reason}',
                DataWarning,
                stacklevel=2,
            )
        return allowed, rules


def head_map(overlay: Overlay, rule: Rule | None, names: Mapping[int, str]) -> HeadMap:
    """What is done to the logits of a head at test.

    Args:
        overlay: Of the head.
        rule: Behind its own adjustment.
        names: Paths of modules in the detector, by id.
    """
    logits = overlay.logits
    values = dict(
        name=logits.name,
        activation=logits.activation,
        num_extra=logits.num_extra,
        layers=[names[id(layer)] for layer in logits.at_test],
    )
    affine = overlay.affine_map(rule)
    if affine is None:
        return HeadMap(**values, not_affine='not all of the rules are affine maps')
    scale, shift = affine
    return HeadMap(**values, scale=scale.tolist(), shift=shift.tolist())


def _carried(detector: nn.Module) -> ClassFrequency | None:
    modules = (m for m in detector.modules() if isinstance(m, FrequencyModule) and m.has_frequency)
    module = next(modules, None)
    return None if module is None else module.frequency


def _check_judged(data: DetectorData, options: Options) -> None:
    """Refuse metrics that the held-out images cannot tell, before the pass over them."""
    truth = data.truth
    annotated = truth.annotated(scored_images(data))
    groups = {name: np.zeros(truth.num_categories, bool) for name in NAMES}
    groups.update(metric_groups(truth, np.isin(np.arange(truth.num_categories), data.categories)))
    asked = [('--metric', options.metric), *(('--keep', name) for name in options.keep or ())]
    for option, name in asked:
        if not (groups[name] & annotated).any():
            raise BadInputError(
                f'{option} is {name}, which cannot be judged: none of its '
                f'{int(groups[name].sum())} classes is on the held-out images of {data.held_out}'
            )
    for name in NAMES[1:]:
        if groups[name].any() and not (groups[name] & annotated).any():
            warnings.warn(
                f'{name} cannot be judged: none of its {int(groups[name].sum())} classes is on the '
                f'held-out images of {data.held_out}',
                DataWarning,
                stacklevel=2,
            )
