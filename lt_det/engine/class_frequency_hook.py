"""Carries the statistics of the training set into the model, and checks that they belong to it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from ..adjustments.box_dimension import box_dimension_of
from ..bare_model import bare_model
from ..dataset_parts import items_of
from ..errors import BadInputError, MissingFileError, UserError, listed
from ..frequency import ClassFrequency
from ..frequency_module import COUNT_BUFFERS, FrequencyModule, frequency_modules
from ..label_order import follow_json
from ..protocols import (
    EndsIteration,
    TakesBoxDimension,
    TakesClassFrequency,
    WelcomesClassFrequency,
)
from ..values import check_values
from .model_checks import (
    check_epoch_is_told,
    check_num_classes,
    check_same_classes,
    check_same_order,
    check_sampler_is_told,
)


@HOOKS.register_module()
class ClassFrequencyHook(Hook):
    """Hands the :class:`ClassFrequency` of the training set to every module that asks for it.

    A module asks by having a method ``set_class_frequency``
    (:class:`lt_det.protocols.TakesClassFrequency`). The statistics go into buffers, so a
    checkpoint carries them; a checkpoint with others than those of the training set is refused.
    Testing takes them from the checkpoint and reads the training set only where that has none.
    Metrics that ask in the same way (``LongTailAccuracy``) get them before an evaluation.

    After each iteration of a training it calls ``end_iteration`` of every module that has it, in
    every process: there statistics are summed over processes, so that a checkpoint, which one
    process writes, has those of all.

    Args:
        ann_file: Read the statistics from this file rather than from the training set.
        empty_classes: ``'error'`` refuses to train with classes that have no training image,
            ``'warn'`` gives them the weight that the rule documents.
        replace: Where a checkpoint has other statistics or class names (fine-tuning on other data),
            take those of the training set and start all that came from the old data anew
            (``data_buffers`` of every module), rather than refuse other statistics and name other
            classes.

    Attributes:
        training_frequency: ClassFrequency of the training set, None before a training.

    Raises:
        BadInputError: An argument is none of the above; when a run begins, the training set has
            other classes than the model or the checkpoint, or classes without an image.
    """

    # Before hooks that copy the model (EMA) or save it.
    priority = 'VERY_HIGH'

    def __init__(
        self, ann_file: str | None = None, empty_classes: str = 'error', replace: bool = False
    ) -> None:
        if empty_classes not in ('error', 'warn'):
            raise BadInputError(
                f"ClassFrequencyHook.empty_classes is '{empty_classes}', expected 'error' or 'warn'"
            )
        self.ann_file = ann_file
        self.empty_classes = empty_classes
        check_values('ClassFrequencyHook', replace=(replace, 'True or False'))
        self.replace = replace
        self.training_frequency: ClassFrequency | None = None
        self._counting: list[EndsIteration] = []

    def before_run(self, runner: Runner) -> None:
        """Before training: read the statistics, check the model against them, hand them over."""
        train_loop = runner._train_loop
        if not hasattr(train_loop, 'dataloader'):  # only testing: the loop is still a config
            return
        dataset = train_loop.dataloader.dataset
        frequency = self._read(dataset, bare_model(runner.model))
        check_num_classes(bare_model(runner.model), frequency, runner.cfg)
        check_epoch_is_told(bare_model(runner.model), runner.hooks)
        sampler = getattr(train_loop.dataloader, 'sampler', None)
        check_sampler_is_told(sampler, runner.hooks)
        val_loop = runner._val_loop
        if hasattr(val_loop, 'dataloader'):
            check_same_classes(dataset, val_loop.dataloader.dataset)
        empty = frequency.empty_classes
        if empty and self.empty_classes == 'error':
            raise BadInputError(
                f'{len(empty)} of {frequency.num_classes} classes have no training image'
                f'{_source(dataset)}: {listed(empty)}; remove them from the annotation file, or '
                f"their folders, or train all the same with ClassFrequencyHook's "
                f"empty_classes='warn'{_cfg_option(runner)}"
            )
        runner.logger.info(f'{frequency}', extra=dict(log_only=True))
        for module in frequency_modules(bare_model(runner.model)):
            module.set_class_frequency(frequency)
        self._set_box_dimension(runner, dataset)
        self.training_frequency = frequency

    def before_train(self, runner: Runner) -> None:
        modules = bare_model(runner.model).modules()
        self._counting = [module for module in modules if isinstance(module, EndsIteration)]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Refuse labels that no class has, while they are on the CPU and their image is known."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples or ():
            instances = getattr(sample, 'gt_instances', None)
            labels = () if instances is None else instances.get('labels', ())
            if len(labels) == 0 or not labels.is_cpu or self.training_frequency is None:
                continue
            low, high = labels.min().item(), labels.max().item()
            if low < 0 or high >= self.training_frequency.num_classes:
                raise BadInputError(
                    f'{sample.get("img_path", "an image")}: label {low if low < 0 else high}, but '
                    f'the training set has {self.training_frequency.num_classes} classes'
                )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Let statistics be summed over all processes, before anything copies or saves them."""
        for module in self._counting:
            module.end_iteration()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a checkpoint of another training set, or leave out what it knows of that."""
        state = checkpoint.get('state_dict', checkpoint)
        if self.training_frequency is None:
            _check_fits(bare_model(runner.model), state)
            return
        difference = _difference(self.training_frequency, state)
        renamed = _other_names(
            self.training_frequency, checkpoint.get('meta') or {}, follow_json(runner.cfg)
        )
        if difference is None and renamed is None:
            return
        if self.replace:
            dropped = _drop_data(bare_model(runner.model), checkpoint)
            runner.logger.warning(
                f'the checkpoint was trained on another data set: {difference or renamed}; what it '
                f'knows of that is left out: {dropped or "nothing"}'
            )
        elif difference is not None:
            raise BadInputError(
                'the checkpoint was trained on another data set than this training set: '
                f'{difference}; to go on with the statistics of this training set, set '
                'replace=True of ClassFrequencyHook'
            )
        else:
            runner.logger.warning(
                f'the checkpoint was trained with other classes: {renamed}; what it has of them '
                'is used where the shapes fit; to leave its statistics out, set replace=True of '
                'ClassFrequencyHook'
            )

    def before_test(self, runner: Runner) -> None:
        """Where the checkpoint brought no statistics, read those of the training set."""
        self._fill(runner, runner.test_evaluator.metrics)

    def before_val(self, runner: Runner) -> None:
        self._fill(runner, runner.val_evaluator.metrics)

    def _fill(self, runner: Runner, metrics: list) -> None:
        model = bare_model(runner.model)
        needy = [m for one in _models(runner) for m in frequency_modules(one) if not _satisfied(m)]
        welcome = [metric for metric in metrics if isinstance(metric, WelcomesClassFrequency)]
        metrics = [metric for metric in metrics if isinstance(metric, TakesClassFrequency)]
        known = self.training_frequency or _carried(model)
        if needy or (metrics and known is None):
            known = self._read_for_test(runner, needy)
        if known is None and any(metric.wants_frequency for metric in welcome):
            known = self._read_if_there(runner)
        for metric in metrics:
            metric.set_class_frequency(known)
        for metric in welcome if known is not None else ():
            metric.use_frequency(known)

    def _read_training(self, runner: Runner) -> tuple[Any, ClassFrequency]:
        """The training set of the config, None where a file stands for it, and its statistics."""
        dataset = None if self.ann_file else _train_dataset(runner)
        return dataset, self._read(dataset, bare_model(runner.model))

    def _read_if_there(self, runner: Runner) -> ClassFrequency | None:
        try:
            return self._read_training(runner)[1]
        except (UserError, OSError) as error:
            runner.logger.warning(f'no APr, APc, APf: the training set cannot be read: {error}')
            return None

    def _read_for_test(self, runner: Runner, needy: list[nn.Module]) -> ClassFrequency:
        try:
            dataset, frequency = self._read_training(runner)
        except MissingFileError as error:
            raise MissingFileError(
                'the checkpoint carries no class statistics, and the training set that has them '
                f'cannot be read: {error}; or set ann_file of ClassFrequencyHook'
            ) from error
        check_num_classes(bare_model(runner.model), frequency, runner.cfg)
        tested = getattr(runner._test_loop, 'dataloader', None)
        if dataset is not None and tested is not None:
            check_same_order(dataset, tested.dataset)
        for module in needy:
            module.set_class_frequency(frequency)
        self._set_box_dimension(runner, dataset)
        return frequency

    def _set_box_dimension(self, runner: Runner, dataset) -> None:
        """Only for rules that ask for it: it reads every box."""
        modules = [module for model in _models(runner) for module in model.modules()]
        rules = [module for module in modules if isinstance(module, TakesBoxDimension)]
        asking = [rule for rule in rules if not rule.has_dimension]
        if not asking:
            return
        if dataset is None:
            config = dict(type='LongTailLVISDataset', ann_file=self.ann_file, test_mode=True)
            dataset = DATASETS.build(dict(config, check_images=False))
        dimension = box_dimension_of(dataset)
        for rule in asking:
            rule.set_box_dimension(dimension)

    def _read(self, dataset, model: nn.Module) -> ClassFrequency:
        if self.ann_file:
            num_classes = _num_classes(model if dataset is None else dataset)
            return ClassFrequency.from_annotation_file(self.ann_file, num_classes)
        return ClassFrequency.from_dataset(dataset)


def _models(runner: Runner) -> list[nn.Module]:
    """The model, and averages that take its place in a test, with buffers of their own (EMA)."""
    averages = [hook.ema_model.module for hook in runner.hooks if hasattr(hook, 'ema_model')]
    return [bare_model(runner.model), *averages]


def _num_classes(source) -> int | None:
    """C of a data set, be it a stream, or of a model whose parts agree."""
    if not isinstance(source, nn.Module):
        names = (getattr(source, 'metainfo', None) or {}).get('classes')
        return None if names is None else len(names)
    numbers = {getattr(module, 'num_classes', None) for module in source.modules()}
    numbers = {number for number in numbers if isinstance(number, int) and number > 0}
    return numbers.pop() if len(numbers) == 1 else None


def _difference(training: ClassFrequency, state: dict) -> str | None:
    """The first difference of the statistics in a state dict to those of the training set."""
    for key in state:
        if not key.endswith('.image_count'):
            continue
        prefix = key.removesuffix('image_count')
        counts = [state.get(prefix + name) for name in COUNT_BUFFERS]
        if not all(isinstance(count, Tensor) for count in counts):
            continue  # the module refuses a part of them
        images, instances, total = (count.long().cpu().numpy() for count in counts)
        saved = ClassFrequency(images.ravel(), instances.ravel(), total.item())
        difference = training.difference(saved) if saved.num_images else None
        if difference is not None:
            return f'{difference} in the checkpoint ({prefix[:-1]})'
    return None


def _check_fits(model: nn.Module, state: dict) -> None:
    """Refuse statistics of another number of classes than a model has that is only tested."""
    for key, buffer in model.named_buffers():
        key = key.removeprefix('module.')  # of a model with test-time augmentation
        saved = state.get(key, state.get(f'module.{key}'))
        if not (key.endswith('image_count') and isinstance(saved, Tensor)):
            continue
        if saved.numel() != len(buffer):
            raise BadInputError(
                f'the checkpoint has the statistics of {saved.numel()} classes, the model of the '
                f'config is built for num_classes={len(buffer)} ({key})'
            )


def _other_names(training: ClassFrequency, meta: dict, in_any_order: bool) -> str | None:
    """The first difference of the class names in a checkpoint to those of the training set.

    Args:
        training: Statistics with names.
        meta: Of the checkpoint.
        in_any_order: Whether the order in the checkpoint may not be that of its labels.
    """
    dataset_meta = meta.get('dataset_meta')
    names = dataset_meta.get('classes') if isinstance(dataset_meta, dict) else None
    if not isinstance(names, (list, tuple)) or training.class_names is None:
        return None
    if in_any_order and sorted(map(str, names)) == sorted(training.class_names):
        return None
    for label, (ours, theirs) in enumerate(zip(training.class_names, names)):
        if ours != theirs:
            return f'class {label} is {ours!r} against {theirs!r} in the checkpoint'
    if len(names) != training.num_classes:
        return f'{training.num_classes} classes against {len(names)} in the checkpoint'
    return None


def _drop_data(model: nn.Module, checkpoint: dict) -> str:
    """Take out of a checkpoint what the modules say comes from data; the keys, shortened."""
    names = {
        f'{module_name}.{buffer}'.lstrip('.')
        for module_name, module in model.named_modules()
        for buffer in getattr(module, 'data_buffers', ())
    }
    dropped = []
    # EMAHook swaps the two when it resumes
    for state in (checkpoint.get('state_dict', checkpoint), checkpoint.get('ema_state_dict', {})):
        dropped += [key for key in state if key.removeprefix('module.') in names]
        for key in [key for key in state if key.removeprefix('module.') in names]:
            del state[key]
    return ', '.join(dropped[:5]) + (f' ({len(dropped)} in all)' if len(dropped) > 5 else '')


def _carried(model: nn.Module) -> ClassFrequency | None:
    """The statistics that the model holds, from a checkpoint."""
    for module in model.modules():
        if isinstance(module, FrequencyModule) and module.has_frequency:
            return module.frequency
    return None


def _satisfied(module: nn.Module) -> bool:
    return all(
        getattr(part, 'has_frequency', True) or getattr(part, 'optional', False)
        for part in module.modules()
    )


def _train_dataset(runner: Runner):
    config = runner.cfg.get('train_dataloader')
    if not config:
        raise MissingFileError('the config has no train_dataloader')
    return DATASETS.build(config['dataset'])


def _source(dataset) -> str:
    paths = [part.ann_file for part in items_of(dataset).parts if getattr(part, 'ann_file', None)]
    return f' in {", ".join(map(str, paths))}' if paths else ''


def _cfg_option(runner: Runner) -> str:
    for index, hook in enumerate(runner.cfg.get('custom_hooks', None) or []):
        if hook.get('type') == ClassFrequencyHook.__name__:
            return f' (--cfg-options custom_hooks.{index}.empty_classes=warn)'
    return ''
