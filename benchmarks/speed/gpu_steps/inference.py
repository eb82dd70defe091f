"""Inference at the size of LVIS with 300 detections an image, of MMDetection and of lt_det."""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from mmdet.evaluation import LVISMetric
from torch import nn

from lt_det.evaluation.lvis_metric import LongTailLVISMetric

from .context import Context
from .detectors import STOCK, build, make_batch, num_classes

ORIGINAL = (480, 640)


def run(context: Context) -> None:
    logging.disable(logging.ERROR)
    np.float = float  # lvis 0.5.3 needs numpy < 1.24
    models = {'stock': build(context, STOCK), 'ours': build(context, {})}
    for model in models.values():
        # not so small that the scores of all classes are alike
        torch.manual_seed(0)
        nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.05)
        model.eval()
        if context.toy:
            model.roi_head.test_cfg.max_per_img = 10
    for number in context.pick((1, 8), (2,)):
        stages = {name: parts(context, model, number) for name, model in models.items()}
        scores = [found.pop('check') for found in stages.values()]
        for stage in stages['ours']:
            stock, ours = (round(stages[name][stage] / number, 5) for name in models)
            context.add_row(
                dict(
                    stage=f'{stage}, per image, batch {number}',
                    **dict(stock_s=stock, ours_s=ours, speedup=round(stock / max(ours, 1e-9), 2)),
                )
            )
        apart = abs(scores[0] / scores[1] - 1)
        expected = 'the sum of the scores within 1e-3'
        context.check(f'the same detections, batch {number}', apart < 1e-3, expected, apart=apart)
    truth = annotations(context)
    loops = {
        ('stock', 1, False): context.pick(5, 2),
        ('stock', 1, True): context.pick(5, 2),
        ('ours', 1, False): context.pick(60, 2),
        ('ours', 1, True): context.pick(60, 2),
        ('ours', context.pick(8, 2), True): context.pick(64, 2),
    }
    speeds = {}
    for (name, number, with_metric), images in loops.items():
        seconds = loop(context, models[name], name, number, images, truth if with_metric else None)
        context.note(
            f'{name}, batch {number}, {"with" if with_metric else "without"} metric',
            images=images,
            images_per_s=images / seconds,
        )
        speeds[name, number, with_metric] = images / seconds
    times = speeds['ours', 1, False] / speeds['stock', 1, False]
    with_metric = max(
        speed for (name, _, scored), speed in speeds.items() if name == 'ours' and scored
    )
    context.note(
        'goals of inference',
        times_stock_without_metric=times,
        images_per_s_with_metric=with_metric,
        goal_reached=times >= 10 and with_metric >= 20,
        expected='at least 10 times stock without metric, 20 images/s with it',
    )
    logging.disable(logging.NOTSET)


def test_batch(context: Context, number: int) -> dict:
    """A batch at the network's size of images of 480 x 640."""
    height, width = context.pick((800, 1333), (96, 128))
    batch = make_batch(number, (height, width), 12, num_classes(context))
    for sample in batch['data_samples']:
        scale = (width / ORIGINAL[1], height / ORIGINAL[0])
        sample.set_metainfo(dict(ori_shape=ORIGINAL, scale_factor=scale))
        del sample.gt_instances
    return batch


@torch.no_grad()
def parts(context: Context, model: nn.Module, number: int) -> dict[str, float]:
    """Median seconds of the network, the boxes, and the masks with all pixels, of a batch."""
    batch = test_batch(context, number)
    times: dict[str, list[float]] = {'network': [], 'boxes': [], 'masks': []}

    def clocked(stage: str, function: Callable):
        context.synchronize()
        begin = time.perf_counter()
        result = function()
        context.synchronize()
        times[stage].append(time.perf_counter() - begin)
        return result

    head = model.roi_head
    for _ in range(context.pick(2, 1) + 1):
        data = model.data_preprocessor(batch, False)
        metas = [sample.metainfo for sample in data['data_samples']]

        def network(data=data):
            features = model.extract_feat(data['inputs'])
            return features, model.rpn_head.predict(features, data['data_samples'], rescale=False)

        features, proposals = clocked('network', network)
        found = clocked(
            'boxes',
            lambda f=features, p=proposals, m=metas: head.predict_bbox(f, m, p, head.test_cfg),
        )

        def masks(features=features, metas=metas, found=found):
            results = head.predict_mask(features, metas, found, rescale=True)
            return [result.masks.sum() for result in results]  # which reads them

        clocked('masks', masks)
    check = sum(result.scores.double().sum().item() for result in found)
    return {stage: statistics.median(values[1:]) for stage, values in times.items()} | dict(
        check=check
    )


def annotations(context: Context) -> Path:
    """An LVIS file of 200 images in which 11 categories are judged."""
    rng = np.random.default_rng(0)
    classes = num_classes(context)
    images, objects = [], []
    for image_id in range(1, 201):
        judged = rng.choice(classes, 11, replace=False) + 1
        height, width = ORIGINAL
        entry = dict(id=image_id, height=height, width=width, not_exhaustive_category_ids=[])
        images.append(entry | dict(neg_category_ids=judged[3:].tolist()))
        for category in judged[:3].tolist():
            x, y = rng.integers(0, 300, 2).tolist()
            outline = [x, y, x + 90, y, x + 90, y + 90, x, y + 90]
            objects.append(
                dict(
                    id=len(objects) + 1,
                    image_id=image_id,
                    category_id=category,
                    bbox=[x, y, 90, 90],
                    area=8100,
                    segmentation=[outline],
                )
            )
    categories = [
        dict(id=c + 1, name=f'c{c}', frequency='rcf'[c % 3], image_count=1) for c in range(classes)
    ]
    path = context.folder / 'annotations.json'
    path.write_text(json.dumps(dict(images=images, annotations=objects, categories=categories)))
    return path


def loop(
    context: Context, model: nn.Module, name: str, number: int, images: int, truth: Path | None
) -> float:
    """Seconds of a test loop over some images, to the last match."""
    batch = test_batch(context, number)
    metric = None
    if truth is not None:
        kind = LVISMetric if name == 'stock' else LongTailLVISMetric
        metric = kind(ann_file=str(truth), metric=['bbox', 'segm'])
        metric.dataset_meta = dict(classes=[f'c{c}' for c in range(num_classes(context))])

    def work() -> None:
        for ids in chunks(images, number):
            for sample, image_id in zip(batch['data_samples'], ids):
                sample.set_metainfo(dict(img_id=image_id))
            with torch.no_grad():
                found = model.test_step(batch)
            if metric is not None:
                metric.process({}, [sample.to_dict() for sample in found])
        if hasattr(metric, '_worker'):
            metric._worker.wait()

    return context.clock(work)


def chunks(images: int, number: int) -> Iterator[range]:
    for start in range(1, images + 1, number):
        yield range(start, start + number)
