"""Time and memory that a training set of LVIS's size takes to start, against stock MMDetection.

The annotation file is generated in the shape of LVIS v1 train: 1,270,141 annotations on 100,170
images in 1203 categories that follow Zipf's law, polygons of 42 points on average, 1 GB. Stock is
LVISV1Dataset and ClassBalancedDataset; ours LongTailLVISDataset (first with no cache, then with the
one that it made) and RepeatFactorDataset. Neither looks at image files, which are not there. Each
measurement is a process of its own; contenders take turns. Memory is what the process has more than
after its imports: its own (anonymous), and all that is mapped, pages that the ranks share included.

Then 100 images of 640x480 with 13 objects on average go through the training and the test pipeline
of the LVIS config and are pickled and read again, as between a worker and its rank, with
LoadAnnotations and with LoadCompactAnnotations; and the mask targets of 128 positives are cut.

    python benchmarks/speed/startup.py

Writes benchmarks/results/startup.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
import numpy as np
from common.origin import ROOT, option_parser, origin, publish
from common.process import measure, median, reset_peak, status_mb

NUM_ANNOTATIONS = 1_270_141
NUM_IMAGES = 100_170
NUM_CATEGORIES = 1203
HEIGHT, WIDTH = 480, 640
OVERSAMPLE_THR = 1e-3
COMPARED = 2000  # items
PIPELINE = 100  # images
MEMORY = {
    'own, after the start': 'own_mb',
    'all that is mapped, after the start': 'all_mb',
    'peak of all that is mapped, during the start': 'mb',
    'own, after reading all items': 'items_own_mb',
    'all that is mapped, after reading all items': 'items_all_mb',
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--annotations', type=int, default=NUM_ANNOTATIONS)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--worker', nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------------------------- data


def outlines(rng: np.random.Generator, number: int) -> list[str]:
    """Json of area, bbox and segmentation of bumpy ellipses."""
    found = []
    for _ in range(number):
        points = int(np.clip(rng.lognormal(3.5, 0.7), 4, 400))
        size = np.exp(rng.normal(3.6, 1, 2)).clip(2, 400)
        centre = size / 2 + rng.random(2) * ([WIDTH, HEIGHT] - size).clip(0)
        angle = np.sort(rng.random(points)) * 2 * np.pi
        radius = 1 + 0.1 * rng.normal(size=(points, 1))
        outline = np.stack([np.cos(angle), np.sin(angle)], 1) * radius * size / 2 + centre
        outline = outline.clip(0, [WIDTH, HEIGHT]).round(2)
        x, y = outline.min(0).tolist()
        w, h = (outline.max(0) - [x, y]).round(2).tolist()
        polygons = [outline.ravel().tolist()]
        shape = dict(area=round(0.7 * w * h, 2), bbox=[x, y, w, h], segmentation=polygons)
        found.append(json.dumps(shape)[1:])
    return found


def write_annotations(path: Path, number: int) -> int:
    """Write a json with a number of annotations; gives the number of images."""
    rng = np.random.default_rng(0)
    num_images = max(number * NUM_IMAGES // NUM_ANNOTATIONS, 1)
    share = 1 / np.arange(1, NUM_CATEGORIES + 1) ** 1.1
    category = rng.choice(NUM_CATEGORIES, number, p=rng.permutation(share / share.sum())) + 1
    image = np.sort(rng.integers(0, num_images, number)) + 1
    pool = outlines(rng, 2000)
    shape = rng.integers(0, len(pool), number)
    with path.open('w') as file:
        file.write('{"info": {"year": 2020}, "annotations": [')
        for i in range(number):
            file.write(
                f'{", " if i else ""}{{"id": {i + 1}, "image_id": {image[i]}, '
                f'"category_id": {category[i]}, {pool[shape[i]]}'
            )
        images = [
            dict(
                id=i,
                width=WIDTH,
                height=HEIGHT,
                coco_url=f'http://images.cocodataset.org/train2017/{i:012d}.jpg',
                flickr_url='http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg',
                date_captured='2013-11-14 16:28:13',
                license=4,
                neg_category_ids=rng.integers(1, NUM_CATEGORIES + 1, 6).tolist(),
                not_exhaustive_category_ids=rng.integers(1, NUM_CATEGORIES + 1, 1).tolist(),
            )
            for i in range(1, num_images + 1)
        ]
        categories = [
            dict(id=i, name=f'c{i}', frequency='f', synonyms=[f'c{i}'])
            for i in range(1, NUM_CATEGORIES + 1)
        ]
        file.write(f'], "images": {json.dumps(images)}, "categories": {json.dumps(categories)}}}')
    return num_images


# ---------------------------------------------------------------------------------- measurements


def stopwatch() -> tuple[Callable, dict[str, float]]:
    """A function that measures a stage, and what it has found so far."""
    base, own_base = status_mb('VmRSS'), status_mb('RssAnon')
    found = {}

    def timed(prefix: str, stage: Callable[[], object]) -> object:
        """Seconds and the peak of memory of a stage, and what the process holds afterwards."""
        reset_peak()
        cpu, begin = time.process_time(), time.perf_counter()
        result = stage()
        found[f'{prefix}s'] = time.perf_counter() - begin
        found[f'{prefix}cpu_s'] = time.process_time() - cpu
        found[f'{prefix}mb'] = status_mb('VmHWM') - base
        found[f'{prefix}own_mb'] = status_mb('RssAnon') - own_base
        found[f'{prefix}all_mb'] = status_mb('VmRSS') - base
        return result

    return timed, found


def work(contender: str, ann_file: str) -> dict:
    """One start in this process, then the sampling, then some items."""
    import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

    # isort: split
    from mmdet.datasets import LVISV1Dataset
    from mmengine.dataset import ClassBalancedDataset

    from lt_det.datasets import LongTailLVISDataset, RepeatFactorDataset

    arguments = dict(
        ann_file=ann_file,
        data_prefix=dict(img=''),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[],
    )
    timed, found = stopwatch()
    if contender == 'stock':
        metainfo = dict(classes=tuple(f'c{i}' for i in range(1, NUM_CATEGORIES + 1)))
        dataset = timed('', lambda: LVISV1Dataset(metainfo=metainfo, **arguments))
        wrapper = ClassBalancedDataset
    else:
        dataset = timed('', lambda: LongTailLVISDataset(check_images=False, **arguments))
        wrapper = RepeatFactorDataset
    repeated = timed('rfs_', lambda: wrapper(dataset, OVERSAMPLE_THR))

    digest = hashlib.sha256(json.dumps(repeated.repeat_indices).encode())
    for index in np.linspace(0, len(dataset) - 1, COMPARED).astype(int).tolist():
        item = dataset.get_data_info(index)
        for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
            item.pop(key, None)  # stock drops them
        digest.update(json.dumps(item, sort_keys=True).encode())

    def read_all() -> None:
        for index in range(len(dataset)):
            dataset.get_data_info(index)

    timed('items_', read_all)
    return {**found, 'result': digest.hexdigest()}


def work_pipeline(contender: str, ann_file: str) -> dict:
    """Images through the pipelines of the LVIS config, and the mask targets of one."""
    import lt_det  # noqa: F401

    # isort: split
    import cv2
    import torch
    from mmdet.registry import DATASETS
    from mmdet.structures.mask import mask_target
    from mmengine.config import Config, ConfigDict
    from mmengine.registry import DefaultScope

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    root = Path(ann_file).parent
    config = Config.fromfile(ROOT / 'configs/_base_/datasets/lvis_v1_instance.py')
    timed, found = stopwatch()
    digest = hashlib.sha256()
    for split in ('train', 'val'):
        settings = config[f'{split}_dataloader'].dataset
        settings.update(ann_file=ann_file, data_root='', data_prefix=dict(img=str(root)))
        for step in settings.pipeline:
            if step.type == 'LoadCompactAnnotations' and contender == 'stock':
                step.type = 'LoadAnnotations'
        with DefaultScope.overwrite_default_scope('mmdet'):
            dataset = DATASETS.build(settings)
        np.random.seed(0)
        samples = timed(
            f'{split}_', lambda data=dataset: [transferred(data[i]) for i in range(PIPELINE)]
        )
        for sample in samples:
            masks = sample['data_samples'].gt_instances.masks
            # of a copy: the sample does not keep what is drawn
            digest.update(masks[np.arange(len(masks))].masks.tobytes())
        del samples
    sample = dataset[0]['data_samples']
    masks = sample.gt_instances.masks.rescale((1333, 800))
    rng = np.random.default_rng(0)
    assigned = torch.from_numpy(rng.integers(0, len(masks), 128))
    boxes = masks.get_bboxes('hbox').tensor[assigned] + torch.from_numpy(rng.normal(0, 3, (128, 4)))
    masks = sample.gt_instances.masks.rescale((1333, 800))  # not drawn yet, as in training
    size = ConfigDict(mask_size=28)
    targets = timed('targets_', lambda: mask_target([boxes.float()], [assigned], [masks], size))
    digest.update(targets.numpy().tobytes())
    return {**found, 'result': digest.hexdigest()}


def transferred(sample: dict) -> dict:
    return pickle.loads(ForkingPickler.dumps(sample))


def write_images(ann_file: Path, number: int) -> None:
    import cv2

    (ann_file.parent / 'train2017').mkdir()
    rng = np.random.default_rng(0)
    for i in range(1, number + 1):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        path = ann_file.parent / 'train2017' / f'{i:012d}.jpg'
        cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (0, 0), 3))


def run(args: argparse.Namespace, folder: Path) -> dict:
    ann_file = folder / 'lvis_v1_train.json'
    write_annotations(ann_file, args.annotations)
    found: dict[str, list[dict]] = {'stock': [], 'first': [], 'later': []}
    for turn in range(args.repeats):
        for name in found:
            print(f'{time.strftime("%H:%M:%S")} {name}, {turn + 1} of {args.repeats}', flush=True)
            if name == 'first':
                shutil.rmtree(f'{ann_file}.columns', ignore_errors=True)
            found[name].append(
                measure(__file__, 'stock' if name == 'stock' else 'ours', str(ann_file))
            )
    cache = sum(file.stat().st_size for file in Path(f'{ann_file}.columns').glob('*')) / 1e6
    small = folder / 'images' / 'small.json'
    small.parent.mkdir()
    num_images = write_annotations(small, PIPELINE * 14)
    write_images(small, num_images)
    images: dict[str, list[dict]] = {'stock': [], 'ours': []}
    for turn in range(args.repeats):
        for name, results in images.items():
            print(f'{time.strftime("%H:%M:%S")} {name} pipeline, {turn + 1}', flush=True)
            results.append(measure(__file__, f'{name}-pipeline', str(small)))
    stages = {
        'start, the first time': ('first', ''),
        'start, afterwards': ('later', ''),
        'repeat factor sampling': ('later', 'rfs_'),
        'reading all items once': ('later', 'items_'),
    }
    rows = [
        row(stage, found['stock'], found[name], prefix) for stage, (name, prefix) in stages.items()
    ]
    pipelines = {
        f'training pipeline, {PIPELINE} images': 'train_',
        f'test pipeline, {PIPELINE} images': 'val_',
        'mask targets of 128 positives': 'targets_',
    }
    rows += [
        row(stage, images['stock'], images['ours'], prefix) for stage, prefix in pipelines.items()
    ]
    memory = []
    for label, key in MEMORY.items():
        values = {'what': label, 'stock_mb': median(found['stock'], key)}
        for name in ('first', 'later'):
            values[f'{name}_mb'] = median(found[name], key)
        memory.append({k: v if k == 'what' else round(v, 1) for k, v in values.items()})
    return {
        'rows': rows,
        'memory': memory,
        'json_mb': round(ann_file.stat().st_size / 1e6, 1),
        'columns_mb': round(cache, 1),
        'same_results': all(
            len({one['result'] for some in group.values() for one in some}) == 1
            for group in (found, images)
        ),
        'repeats': args.repeats,
    }


def row(stage: str, stock: list[dict], ours: list[dict], prefix: str) -> dict:
    values = {'stage': stage}
    for side, several in (('stock', stock), ('ours', ours)):
        for key in ('s', 'cpu_s', 'mb'):
            values[f'{side}_{key}'] = round(median(several, prefix + key), 3)
    values['speedup'] = round(values['stock_s'] / max(values['ours_s'], 1e-3), 1)
    return values


def report(content: dict) -> str:
    lines = [
        '# Start-up on an LVIS-sized annotation file',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        f'Medians of {content["repeats"]}. The json has {content["json_mb"]:,} MB, its columns '
        f'{content["columns_mb"]:,} MB. Memory is what a process has more than after its imports. '
        'Where other work shares the machine, CPU seconds are the steadier number. Items, '
        'repeated indices, masks and mask targets of stock and ours are '
        f'{"the same" if content["same_results"] else "NOT the same"}.',
        '',
        '| stage | stock s | ours s | speedup | stock CPU s | ours CPU s | stock peak MB '
        '| ours peak MB |',
        '|---|---|---|---|---|---|---|---|',
    ]
    keys = ('stock_s', 'ours_s', 'speedup', 'stock_cpu_s', 'ours_cpu_s', 'stock_mb', 'ours_mb')
    for values in content['rows']:
        cells = [f'{values[key]:,.{0 if key.endswith("mb") else 2}f}' for key in keys]
        lines.append(f'| {values["stage"]} | ' + ' | '.join(cells) + ' |')
    lines += ['', '| memory of a rank, MB | stock | ours, first time | ours, afterwards |']
    lines += ['|---|---|---|---|']
    for values in content['memory']:
        cells = [f'{values[key]:,.0f}' for key in ('stock_mb', 'first_mb', 'later_mb')]
        lines.append(f'| {values["what"]} | ' + ' | '.join(cells) + ' |')
    lines += [
        '',
        'What is mapped but not own are pages of the columns; all ranks and workers share',
    ]
    lines += ['them, and the system takes them back when it needs memory.']
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    if args.worker:
        name, ann_file = args.worker
        kind = work_pipeline if name.endswith('-pipeline') else work
        print(json.dumps(kind(name.removesuffix('-pipeline'), ann_file)))
        return
    where = origin()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
    content = where | found
    publish(args.out, 'startup', content, report(content))


if __name__ == '__main__':
    main()
