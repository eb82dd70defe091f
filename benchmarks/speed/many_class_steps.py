"""The steps that ``many_class.py`` measures, as MMDetection and as lt_det take them.

Each is made by a function of contender, number of classes and device, and returns what shows that
both contenders do the same, and the MB that do not count as its own.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

# isort: split
import numpy as np
import torch
from common.origin import ROOT
from mmdet.evaluation import LVISMetric
from mmdet.models.layers import multiclass_nms
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

from lt_det.evaluation.lvis_metric import LongTailLVISMetric
from lt_det.models.roi_heads.topk_nms import topk_multiclass_nms

HEIGHT, WIDTH = 768, 1024


def mask_logits(contender: str, num_classes: int, device: str) -> Callable:
    kind = dict(stock='FCNMaskHead', ours='ClassIndexedMaskHead')[contender]
    head = MODELS.build(dict(type=kind, num_convs=0, num_classes=num_classes)).to(device)
    torch.nn.init.normal_(head.conv_logits.weight, std=0.05)
    features = torch.randn(128, 256, 28, 28).to(device).requires_grad_()
    labels = torch.randint(num_classes, (128,)).to(device)
    targets = torch.randint(2, (128, 28, 28)).float().to(device)
    parameters = [features, *head.conv_logits.parameters()]

    def step() -> tuple[float, float]:
        logits = head.conv_logits(features)
        if contender == 'stock':
            loss = head.loss_mask(logits, targets, labels)
        else:
            loss = head.loss_mask(logits.at(labels), targets, torch.zeros_like(labels))
        gradients = torch.autograd.grad(loss.sum(), parameters)
        check = loss.item() + sum(gradient.norm().item() for gradient in gradients)
        return check, sum(gradient.nbytes for gradient in gradients) / 2**20

    return step


def nms(contender: str, num_classes: int, device: str, above: int | None = None) -> Callable:
    corner = torch.rand(20, 2) * torch.tensor([WIDTH, HEIGHT]) * 0.8
    objects = torch.cat([corner, corner + 30 + torch.rand(20, 2) * 170], 1)
    boxes = objects[torch.randint(20, (1000,)), None] + 5 * torch.randn(1000, num_classes, 4)
    scores = (3 * torch.randn(1000, num_classes + 1)).softmax(1)
    # as far below 1e-4 as no softmax goes here
    threshold = 0.0
    if above is not None:
        threshold = scores[:, :-1].flatten().sort(descending=True).values[above].item()
    boxes, scores = boxes.to(device), scores.to(device)
    stock_boxes = boxes.flatten(1)

    def step() -> tuple[float, float]:
        if contender == 'stock':
            cfg = dict(type='nms', iou_threshold=0.5)
            found = multiclass_nms(stock_boxes, scores, threshold, cfg, 300)[0][:, -1]
        else:
            found = topk_multiclass_nms(
                scores[:, :-1], lambda p, c: boxes[p, c], threshold, 0.5, 300
            )[1]
        return found.double().sum().item(), 0.0

    return step


def detector(contender: str, num_classes: int, device: str):
    """Mask R-CNN R50-FPN of the LVIS config with random weights, and its config."""
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/mask_rcnn_r50_fpn_lvis.py').model
    cfg.backbone.init_cfg = None
    heads = cfg.roi_head
    heads.bbox_head.num_classes = heads.mask_head.num_classes = num_classes
    if contender == 'stock':
        heads.bbox_head.type = 'ConvFCBBoxHead'
        heads.mask_head.type = 'FCNMaskHead'
    model = MODELS.build(cfg)
    model.init_weights()
    return model.to(device), cfg


def images_and_truth(num_classes: int) -> tuple[list, dict, list]:
    """Two images, LVIS annotations of 30 objects in each, and data samples with them."""
    rng = np.random.default_rng(0)
    truth = {
        'images': [],
        'annotations': [],
        'categories': [
            {'id': c + 1, 'name': f'c{c}', 'frequency': 'rcf'[c % 3]} for c in range(num_classes)
        ],
    }
    samples = []
    for image_id in (1, 2):
        labels = rng.integers(0, num_classes, 30)
        corner = rng.random((30, 2)) * [WIDTH - 250, HEIGHT - 250]
        boxes = np.hstack([corner, corner + 40 + rng.random((30, 2)) * 200]).astype(np.float32)
        masks = np.zeros((30, HEIGHT, WIDTH), dtype=np.uint8)
        for mask, label, (x1, y1, x2, y2) in zip(masks, labels, boxes.astype(int).tolist()):
            mask[y1:y2, x1:x2] = 1
            truth['annotations'].append(
                {
                    'id': len(truth['annotations']) + 1,
                    'image_id': image_id,
                    'category_id': int(label) + 1,
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'area': (x2 - x1) * (y2 - y1),
                    'segmentation': [[x1, y1, x2, y1, x2, y2, x1, y2]],
                }
            )
        absent = np.setdiff1d(np.arange(num_classes), labels)
        absent = rng.choice(absent, max(int(0.3 * num_classes) - 30, 0), replace=False) + 1
        truth['images'].append(
            {
                'id': image_id,
                'height': HEIGHT,
                'width': WIDTH,
                'neg_category_ids': absent.tolist(),
                'not_exhaustive_category_ids': [],
            }
        )
        shape = dict(img_shape=(HEIGHT, WIDTH), ori_shape=(HEIGHT, WIDTH), scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=dict(img_id=image_id, **shape))
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(labels),
            masks=BitmapMasks(masks, HEIGHT, WIDTH),
        )
        samples.append(sample)
    return [torch.randint(256, (3, HEIGHT, WIDTH)).byte() for _ in samples], truth, samples


def predict(contender: str, num_classes: int, device: str) -> Callable:
    logging.disable(logging.ERROR)
    np.float = float  # lvis 0.5.3 needs numpy < 1.24
    model, _ = detector(contender, num_classes, device)
    # not so small that the scores of all classes are alike
    torch.nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.05)
    model.eval()
    images, truth, samples = images_and_truth(num_classes)
    kind = LVISMetric if contender == 'stock' else LongTailLVISMetric
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'annotations.json')
        path.write_text(json.dumps(truth))
        metric = kind(ann_file=str(path), metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=[c['name'] for c in truth['categories']])

    def step() -> tuple[float, float]:
        with torch.no_grad():
            found = model.test_step(dict(inputs=images, data_samples=samples))
        number = sum(len(sample.pred_instances) for sample in found)
        if number != 600:
            raise RuntimeError(f'{number} detections instead of 300 in each image')
        check = sum(sample.pred_instances.scores.double().sum().item() for sample in found)
        metric.process({}, [sample.to_dict() for sample in found])
        metric.evaluate(2)
        return check, 0.0

    return step


def train(contender: str, num_classes: int, device: str) -> Callable:
    model, cfg = detector(contender, num_classes, device)
    model.train()
    images, _, samples = images_and_truth(num_classes)
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
    proposals = []
    for sample in data['data_samples']:
        # boxes on the objects, enough for the 128 positives, and boxes anywhere
        boxes = sample.gt_instances.bboxes
        near = boxes.repeat(20, 1) + 4 * torch.randn(600, 4, device=boxes.device)
        corner = torch.rand(1000, 2, device=boxes.device) * boxes.new_tensor([WIDTH, HEIGHT])
        far = torch.cat([corner, corner + 20], 1)
        proposals.append(torch.cat([near, far]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    rpn_cfg = cfg.train_cfg.rpn_proposal

    def step() -> tuple[float, float]:
        # the same RoIs for both contenders
        torch.manual_seed(0)
        features = model.extract_feat(data['inputs'])
        losses, _ = model.rpn_head.loss_and_predict(features, rpn_samples(data), rpn_cfg)
        losses = {f'rpn_{key}': value for key, value in losses.items()}
        given = [InstanceData(bboxes=boxes, scores=boxes[:, 0]) for boxes in proposals]
        losses.update(model.roi_head.loss(features, given, data['data_samples']))
        loss, _ = model.parse_losses(losses)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item(), 0.0

    return step


def rpn_samples(data: dict) -> list:
    """Data samples whose objects have one label, as TwoStageDetector makes them for its RPN."""
    samples = [sample.clone() for sample in data['data_samples']]
    for sample in samples:
        sample.gt_instances.labels = sample.gt_instances.labels * 0
    return samples


MAKE = {
    'mask logits': mask_logits,
    'nms all': nms,
    'nms 20000': lambda *args: nms(*args, above=20_000),
    'predict': predict,
    'train': train,
}
