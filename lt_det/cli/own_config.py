"""The text of a config for somebody's own data."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from .config_code import Code, assignments, changed
from .methods import Method
from .own_models import MODELS, Model, model_config

# a schedule of 12 epochs is LVIS's, with 100,000 images; few images are shown more often
EPOCHS, MIN_VIEWS, MAX_EPOCHS = 12, 36_000, 72
WARMUP = 500
MAX_LINES = 30
BOUNDS = (10, 100)  # lt_det.frequency.LVIS_BOUNDS, which needs numpy


@dataclass(frozen=True)
class OwnData:
    """What the config of a data set says.

    Args:
        train, val: Annotation files.
        images, val_images: Folders of the images.
        classes: C names, in the order of the labels.
        names_file: Text file for them, where they are too many for the config.
        num_images: Training images.
        protocol: 'coco' or 'lvis', how the validation is scored.
        bounds: Most training images of a rare and of a common class.
        summary: Its statistics in a line, for a comment.
    """

    train: str
    val: str
    images: str
    val_images: str
    classes: tuple[str, ...]
    names_file: str
    num_images: int
    protocol: str
    bounds: tuple[int, int]
    summary: str


@dataclass(frozen=True)
class Schedule:
    """Images per iteration on each of some GPUs, and for how long.

    Args:
        gpus: Number of GPUs; 0 is a CPU.
        batch_size: Images of a GPU in an iteration.
        epochs: How often an image is shown.
        iterations: Iterations of the whole training.
    """

    gpus: int
    batch_size: int
    epochs: int
    iterations: int

    @classmethod
    def of(cls, num_images: int, gpus: int, batch_size: int, epochs: int | None) -> Schedule:
        """By default 12 epochs, more where there are less than 3,000 images, at most 72."""
        if epochs is None:
            epochs = min(MAX_EPOCHS, max(EPOCHS, ceil(MIN_VIEWS / num_images)))
        batch = batch_size * max(gpus, 1)
        return cls(gpus, batch_size, epochs, epochs * ceil(num_images / batch))

    @property
    def machine(self) -> str:
        """What it is for, in words."""
        return {0: 'a CPU', 1: '1 GPU'}.get(self.gpus, f'{self.gpus} GPUs')

    def lr(self, model: Model) -> float:
        """Learning rate, in proportion to the images of an iteration (Goyal et al. 2017)."""
        return model.lr * self.batch_size * max(self.gpus, 1) / model.batch


def config_text(
    data: OwnData,
    model: str,
    method: str,
    schedule: Schedule,
    weights: str | None,
    comment: str,
    names_inline: bool = True,
) -> str:
    """The config; of at most 30 lines where the names of the classes are in a file of their own.

    Args:
        model: Name of a file in ``configs/custom``.
        method: Key of its methods.
        weights: 'coco' and None leave what the base has; 'imagenet', 'none', or a checkpoint.
        comment: The first line.
    """
    own = MODELS[model]
    chosen = own.methods[method]
    names = dict(classes=data.classes) if names_inline else {}
    classes = Code('classes') if names_inline else data.names_file
    lines = [
        f'# {comment}',
        f'# {data.summary}; {schedule.machine} x {schedule.batch_size}',
        f"_base_ = ['lt_det::custom/{model}.py']",
        *assignments(
            **names,
            model=model_config(model, chosen, len(data.classes), weights),
            train_dataloader=_train(data, classes, chosen, schedule),
            val_dataloader=dict(dataset=_dataset(data.val, data.val_images, classes)),
            val_evaluator=_evaluator(data),
        ),
        'test_dataloader, test_evaluator = val_dataloader, val_evaluator',
        *assignments(
            optim_wrapper=dict(optimizer=dict(lr=float(f'{schedule.lr(own):.4g}'))),
            **_schedule(schedule, own),
            **_weights(weights),
        ),
    ]
    return '\n'.join(lines) + '\n'


def names_fit(text: str) -> bool:
    """Whether a config with its class names is short enough."""
    return text.count('\n') <= MAX_LINES


def _dataset(ann_file: str, images: str, classes: str) -> dict:
    return dict(
        ann_file=ann_file,
        data_prefix=dict(img=images),
        metainfo=dict(classes=classes),
    )


def _train(data: OwnData, classes: str, method: Method, schedule: Schedule) -> dict:
    dataset = _dataset(data.train, data.images, classes)
    if method.repeat:
        from ..frequency import repeat_threshold

        dataset = dict(
            _delete_=True,
            type='RepeatFactorDataset',
            oversample_thr=float(f'{repeat_threshold(data.num_images, data.bounds):.4g}'),
            dataset=changed('_base_.train_dataloader.dataset', dataset),
        )
    if method.paste:
        dataset = dict(pipeline=Code('_base_.train_pipeline[:-1]'), **dataset)
        dataset = dict(
            _delete_=True,
            type='MultiImageMixDataset',
            dataset=changed('_base_.train_dataloader.dataset', dataset),
            pipeline=[
                dict(type='RareCopyPaste', max_images=data.bounds[1]),
                Code('_base_.train_pipeline[-1]'),
            ],
        )
    return dict(batch_size=schedule.batch_size, dataset=dataset)


def _evaluator(data: OwnData) -> dict:
    bounds = {} if data.bounds == BOUNDS else dict(bounds=data.bounds)
    return dict(ann_file=data.val, protocol=data.protocol, **bounds)


def _schedule(schedule: Schedule, model: Model) -> dict:
    epochs = schedule.epochs
    if epochs == EPOCHS and schedule.iterations >= 10 * WARMUP:
        return {}  # the base's
    warmup = max(2, min(WARMUP, schedule.iterations // 10))  # of 1, it never ends
    steps = [max(1, round(epochs * share)) for share in (2 / 3, 11 / 12)]
    hooks = {}
    if model.switches:
        last = Code(f'dict(hook, switch_epoch={epochs - ceil(epochs / 6)})')
        hooks['custom_hooks'] = Code(
            f"[{last} if hook.type == 'PipelineSwitchHook' else hook\n"
            '    for hook in _base_.custom_hooks]'
        )
    return dict(
        train_cfg=dict(max_epochs=epochs, val_interval=ceil(epochs / 6)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.001, by_epoch=False, end=warmup),
            dict(type='MultiStepLR', end=epochs, milestones=steps, gamma=0.1),
        ],
        **hooks,
    )


def _weights(weights: str | None) -> dict:
    if weights in (None, 'coco'):
        return {}
    return dict(load_from=None if weights in ('imagenet', 'none') else weights)
