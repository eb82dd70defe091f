"""Small detectors that have been calibrated, on disk."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from lt_det.adjustments.base import SIGMOID_START
from lt_det.calibration.choice import Choice, HeadMap
from lt_det.calibration.fold import fold
from lt_det.formats.files import sha256
from lt_det.models.any_detector import find_class_logits

from ..test_models.test_any_detector.zoo import FREQUENCY, C, model_config

NORCAL = dict(type='NorCal', gamma=0.5, stage='test')
SHIFT = dict(type='PriorShift', tau=0.7, stage='test')
TRAINED = dict(type='IIF', link='smooth')
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='LoadCompactAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]


@dataclass
class Case:
    """One detector: what it was trained with, and the rule that is folded into it."""

    family: str
    setting: list[dict]
    trained: list[dict] = field(default_factory=lambda: [TRAINED])
    box_head: dict | None = None  # of LongTailBBoxHead in place of LongTail

    def model(self, rules: list[dict]) -> ConfigDict:
        stock = model_config(self.family)
        if self.box_head is None:
            stock.detector, stock.type = stock.type, 'LongTail'
            stock.adjustment = rules or None
            return stock
        head = stock.roi_head
        changes = dict(self.box_head, type='LongTailBBoxHead', num_shared_fcs=2)
        for key, value in dict(changes, adjustment=rules or None).items():
            head.bbox_head[key] = value  # update() merges what is in dicts
        head.bbox_roi_extractor.type = 'Float32RoIExtractor'
        if 'mask_head' in head:
            head.mask_head.type = 'ClassIndexedMaskHead'
        return stock


CASES = {
    'Mask R-CNN': Case('Mask R-CNN', [NORCAL], box_head={}),
    'Faster R-CNN': Case('Faster R-CNN', [dict(type='TauNorm', tau=0.5), NORCAL], trained=[]),
    'RetinaNet': Case('RetinaNet', [SHIFT]),
    'DINO': Case('DINO', [SHIFT]),
    'Deformable DETR': Case('Deformable DETR', [SHIFT]),
    'Mask2Former': Case('Mask2Former', [NORCAL]),
    'Cascade R-CNN': Case('Cascade R-CNN', [dict(type='TauNorm', tau=0.5), NORCAL], trained=[]),
    'RTMDet': Case('RTMDet', [SHIFT]),
    'cosine': Case(
        'Faster R-CNN',
        [NORCAL, dict(type='Temperature', temperature=0.5)],
        trained=[],
        box_head=dict(cls_predictor_cfg=dict(type='CosineLinear', scale=8.0, learn_scale=True)),
    ),
    'cosine of weights': Case(
        'Faster R-CNN',
        [NORCAL],
        box_head=dict(
            cls_predictor_cfg=dict(type='CosineLinear', scale=2.0, normalize_features=False)
        ),
    ),
    'normed': Case(
        'Faster R-CNN',
        [NORCAL],
        trained=[],
        box_head=dict(
            cls_predictor_cfg=dict(type='NormedLinear', tempearture=9.0, learn_temperature=True)
        ),
    ),
    'without bias': Case(
        'Faster R-CNN', [NORCAL], box_head=dict(cls_predictor_cfg=dict(type='Linear', bias=False))
    ),
    'Seesaw': Case(
        'Faster R-CNN', [SHIFT], box_head=dict(loss_cls=dict(type='LongTailSeesawLoss'))
    ),
    'LDAM': Case('Faster R-CNN', [NORCAL], box_head=dict(loss_cls=dict(type='LDAMLoss'))),
    'federated': Case('Faster R-CNN', [SHIFT], box_head=dict(loss_cls=dict(type='FederatedLoss'))),
}


@dataclass
class Files:
    """A calibrated detector on disk."""

    config: Path
    checkpoint: Path
    choice: Path
    adjusted: Config
    plain: Config

    def fold(self, out: Path, **kwargs):
        return fold(self.checkpoint, self.choice, out, **kwargs)


def detector_of(config: Config, checkpoint: Path) -> nn.Module:
    """With the class statistics, which a head with other rules than before does not load."""
    model = init_detector(copy.deepcopy(config), str(checkpoint), device='cpu')
    return with_statistics(model)


def with_statistics(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if hasattr(module, 'set_class_frequency'):
            module.set_class_frequency(FREQUENCY)
    return model


def scores_of(config: Config, checkpoint: Path, image: Path):
    torch.manual_seed(0)
    return inference_detector(detector_of(config, checkpoint), str(image)).pred_instances


def whole_config(model: dict, glyphs: Path, masks: bool) -> Config:
    data = few_classes(glyphs)
    names = [category['name'] for category in json.loads(data.read_text())['categories']]
    pipeline = copy.deepcopy(PIPELINE)
    pipeline[2]['with_mask'] = masks
    return Config(
        dict(
            default_scope='mmdet',
            custom_imports=dict(imports=['lt_det'], allow_failed_imports=False),
            default_hooks=dict(logger=dict(type='LoggerHook')),
            custom_hooks=[dict(type='ClassFrequencyHook')],
            model=model,
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=1),
            test_cfg=dict(type='TestLoop'),
            test_dataloader=dict(
                batch_size=1,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                worker_init_fn=dict(type='seed_worker'),
                dataset=dict(
                    type='LongTailLVISDataset',
                    data_root=str(glyphs),
                    ann_file=str(data),
                    metainfo=dict(classes=names),
                    test_mode=True,
                    cache=False,
                    pipeline=pipeline,
                ),
            ),
            test_evaluator=dict(
                type='LongTailLVISMetric',
                ann_file=str(data),
                metric=['bbox', 'boundary'],
            ),
        )
    )


def few_classes(glyphs: Path) -> Path:
    """Annotations of the first C classes of the validation images, beside the data set."""
    path = glyphs.parent / 'few_classes.json'
    if not path.exists():
        content = json.loads((glyphs / 'annotations' / 'glyphs_val.json').read_text())
        ids = {category['id'] for category in content['categories'][:C]}
        content['categories'] = content['categories'][:C]
        content['annotations'] = [a for a in content['annotations'] if a['category_id'] in ids]
        for image in content['images']:
            for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
                image[key] = [each for each in image[key] if each in ids]
        path.write_text(json.dumps(content))
    return path


def calibrated(case: Case, folder: Path, glyphs: Path, image: Path) -> Files:
    """Train nothing, choose what the case says, and write what calibration writes."""
    from mmdet.registry import MODELS

    masks = case.family in ('Mask R-CNN', 'Mask2Former')
    plain = whole_config(case.model(case.trained), glyphs, masks)
    adjusted = whole_config(case.model([*case.trained, *case.setting]), glyphs, masks)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    detector = with_statistics(MODELS.build(plain.model))
    MMLogger.get_current_instance().setLevel('ERROR')  # each parameter has a line of its own
    detector.init_weights()
    spread_scores(detector.eval(), plain, image)
    folder.mkdir(parents=True)
    names = list(plain.test_dataloader.dataset.metainfo.classes)
    files = Files(folder / 'mine.py', folder / 'mine.pth', folder / 'choice.json', adjusted, plain)
    plain.dump(files.config)
    state = detector.state_dict()
    torch.save(
        dict(
            meta=dict(cfg=plain.pretty_text, epoch=3, dataset_meta=dict(classes=names)),
            state_dict=state,
            ema_state_dict={f'module.{key}': value + 1 for key, value in state.items()},
            optimizer=dict(state={}),
            message_hub={},
        ),
        files.checkpoint,
    )
    Choice(
        kind='detector',
        fold=True,
        reason='',
        setting=dict(name='the setting', rules=case.setting),
        classes=names,
        heads=heads_of(detector_of(adjusted, files.checkpoint)),
        image_count=FREQUENCY.image_count.tolist(),
        instance_count=FREQUENCY.instance_count.tolist(),
        num_images=FREQUENCY.num_images,
        metric='AP',
        config=str(files.config),
        checkpoint=str(files.checkpoint),
        sha256=dict(config=sha256(files.config), checkpoint=sha256(files.checkpoint)),
    ).write(files.choice)
    return files


def spread_scores(detector: nn.Module, config: Config, image: Path) -> None:
    """Set class weights so that logits vary by about 1 over an image, however small features are.

    Without a training the scores of all candidates are one number otherwise.
    """
    found = find_class_logits(detector)
    layers = [layer for logits in found for layer in logits.layers]
    start = SIGMOID_START if found[0].activation == 'sigmoid' else 0.0
    features = {}

    def keep(layer: nn.Module, inputs: tuple) -> None:
        x = inputs[0].movedim(1, -1) if isinstance(layer, nn.Conv2d) else inputs[0]
        features.setdefault(layer, []).append(x.flatten(0, -2))

    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    detector.cfg = config
    inference_detector(detector, str(image))
    for layer, hook in zip(layers, hooks):
        hook.remove()
        x = torch.cat(features.get(layer, [torch.randn(9, layer.weight.size(1))]))
        std = layer.weight[0].numel() ** -0.5 / x.std(0).mean()
        nn.init.normal_(layer.weight, std=0.5 * std.item())
        if layer.bias is not None:
            nn.init.normal_(layer.bias, mean=start, std=0.5)
            layer.bias.data -= layer.weight.data.unsqueeze(-1).flatten(2).sum(2) @ x.mean(0)


def heads_of(model: nn.Module) -> list[HeadMap]:
    """The maps of a detector's own adjustments, which are the whole of the chosen ones."""
    paths = {id(module): name for name, module in model.named_modules()}
    heads = []
    for logits in find_class_logits(model):
        rule = logits.head.adjustment.eval()
        for each in rule.rules:
            if hasattr(each, 'set_classifier'):
                each.set_classifier(logits.at_test[0].weight, logits.at_test[0].bias)
        layers = [paths[id(layer)] for layer in logits.at_test]
        heads.append(
            HeadMap(
                logits.name,
                logits.activation,
                logits.num_extra,
                layers,
                rule.scale.tolist(),
                rule.shift.tolist(),
            )
        )
    return heads
