"""The text of a config for somebody's own data."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from .methods import METHODS, Method

# a schedule of 12 epochs is LVIS's, with 100,000 images; few images are shown more often
EPOCHS, MIN_VIEWS, MAX_EPOCHS = 12, 36_000, 72
# learning rate of SGD for 16 images an iteration
BASE_LR, BASE_BATCH = 0.02, 16
WARMUP = 500
MAX_LINES, WIDTH = 30, 100
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
    """Images an iteration on each of some GPUs, and for how long.

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
    def lr(self) -> float:
        """Learning rate, in proportion to the images of an iteration (Goyal et al. 2017)."""
        return BASE_LR * self.batch_size * max(self.gpus, 1) / BASE_BATCH


class Code(str):
    """An expression, as opposed to a text."""


def has_masks(model: str) -> bool:
    return 'mask' in model


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
        method: Key of ``METHODS``.
        weights: 'coco' and None leave what the base has; 'imagenet', 'none', or a checkpoint.
        comment: The first line.
    """
    chosen = METHODS[method]
    names = dict(classes=data.classes) if names_inline else {}
    classes = Code('classes') if names_inline else data.names_file
    where = {0: 'a CPU', 1: '1 GPU'}.get(schedule.gpus, f'{schedule.gpus} GPUs')
    lines = [
        f'# {comment}',
        f'# {data.summary}; {where} x {schedule.batch_size}',
        f"_base_ = ['lt_det::custom/{model}.py']",
        *assignments(
            **names,
            model=_model(model, chosen, len(data.classes), weights),
            train_dataloader=_train(data, classes, chosen, schedule),
            val_dataloader=dict(dataset=_dataset(data.val, data.val_images, classes)),
            val_evaluator=_evaluator(data),
        ),
        'test_dataloader, test_evaluator = val_dataloader, val_evaluator',
        *assignments(
            optim_wrapper=dict(optimizer=dict(lr=float(f'{schedule.lr:.4g}'))),
            **_schedule(schedule),
            **_weights(weights),
        ),
    ]
    return '\n'.join(lines) + '\n'


def names_fit(text: str) -> bool:
    """Whether a config with its class names is short enough."""
    return text.count('\n') <= MAX_LINES


def _model(model: str, method: Method, num_classes: int, weights: str | None) -> dict:
    cascade = model.startswith('cascade')
    head = dict(num_classes=num_classes, **method.head)
    if 'loss_cls' in head:  # of another kind than the base's
        replace = {} if cascade else dict(_delete_=True)
        head['loss_cls'] = dict(**replace, **head['loss_cls'], num_classes=num_classes)
    backbone, roi_head = {}, {}
    if weights == 'imagenet':
        name = model.split('rcnn_')[-1]
        hub = 'torchvision://resnet' if name[0] == 'r' else 'open-mmlab://resnext'
        init = dict(_delete_=True, type='Pretrained', checkpoint=hub + name[1:])
        backbone['backbone'] = dict(init_cfg=init)
    elif weights == 'none':  # from scratch nothing is frozen
        backbone['backbone'] = dict(init_cfg=None, frozen_stages=-1, norm_eval=False)
    if method.roi_head:
        roi_head['type'] = method.roi_head
    if cascade:
        each = f'dict(head, **{code(head, 8, WIDTH)})'
        roi_head['bbox_head'] = Code(
            f'[{each}\n        for head in _base_.model.roi_head.bbox_head]'
        )
    else:
        roi_head['bbox_head'] = head
    if has_masks(model):
        roi_head['mask_head'] = dict(num_classes=num_classes)
    return dict(**backbone, roi_head=roi_head)


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
            dataset=Code(f'dict(_base_.train_dataloader.dataset, **{code(dataset, 8, WIDTH)})'),
        )
    return dict(batch_size=schedule.batch_size, dataset=dataset)


def _evaluator(data: OwnData) -> dict:
    bounds = {} if data.bounds == BOUNDS else dict(bounds=data.bounds)
    return dict(ann_file=data.val, protocol=data.protocol, **bounds)


def _schedule(schedule: Schedule) -> dict:
    epochs = schedule.epochs
    if epochs == EPOCHS and schedule.iterations >= 10 * WARMUP:
        return {}  # the base's
    warmup = max(1, min(WARMUP, schedule.iterations // 10))
    steps = [max(1, round(epochs * share)) for share in (2 / 3, 11 / 12)]
    return dict(
        train_cfg=dict(max_epochs=epochs, val_interval=ceil(epochs / 6)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.001, by_epoch=False, end=warmup),
            dict(type='MultiStepLR', end=epochs, milestones=steps, gamma=0.1),
        ],
    )


def _weights(weights: str | None) -> dict:
    if weights in (None, 'coco'):
        return {}
    return dict(load_from=None if weights in ('imagenet', 'none') else weights)


def assignments(**values: object) -> list[str]:
    """Lines ``name = value``."""
    texts = (f'{name} = {code(value, 0, len(name) + 3)}' for name, value in values.items())
    return [line for text in texts for line in text.split('\n')]


def code(value: object, indent: int, used: int = 0, wide: bool = False) -> str:
    """Python that gives the value, in lines of 100 characters where it can be broken.

    Args:
        value: Dicts, lists, tuples, and what ``repr`` can write; Code is written as it is.
        indent: Columns before the lines behind the first.
        used: Columns of the first line that are taken.
        wide: Whether to write one line, however long.
    """
    if isinstance(value, Code) or not isinstance(value, dict | list | tuple):
        return str(value) if isinstance(value, Code) else repr(value)
    start, end = {dict: ('dict(', ')'), list: ('[', ']'), tuple: ('(', ')')}[type(value)]
    pairs = value.items() if isinstance(value, dict) else (('', item) for item in value)
    pairs = [(f'{key}=' if key else '', item) for key, item in pairs]
    parts = [key + code(item, indent, wide=True) for key, item in pairs]
    line = start + ', '.join(parts) + (',' if start == '(' and len(parts) == 1 else '') + end
    if wide or indent + used + len(line) < WIDTH - 1:  # room for a comma
        return line
    if len(pairs) == 1:
        key, item = pairs[0]
        return start + key + code(item, indent, used + len(start + key)) + end
    inner, lines = indent + 4, ['']
    for (key, item), part in zip(pairs, parts):
        if inner + len(part) >= WIDTH - 2:
            part = key + code(item, inner, len(key))
        if lines[-1] and (inner + len(lines[-1]) + len(part) + 2 > WIDTH - 2 or '\n' in part):
            lines.append('')
        lines[-1] += (' ' if lines[-1] else '') + part + ','
        if '\n' in part:
            lines.append('')
    filled = '\n'.join(' ' * inner + text for text in lines if text)[:-1]
    if start == '[':  # the first item beside the bracket
        return start + filled.lstrip() + end
    return f'{start}\n{filled}{end}'
