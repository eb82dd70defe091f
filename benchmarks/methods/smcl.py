"""SMCL against its parts, where backgrounds lie about the class.

Glyph crops of 16 classes, 200 to 8 training images each. The six most frequent classes
own a background pattern, which nine in ten of their training images show; all other training
images, and all validation images, have any of the six patterns. A classifier that has learned the
patterns takes a validation image for the class that owns its background. Reported are accuracies,
and of the errors the share that names the owner of the image's background (``cue_share``), beside
the share that names another owner, on average (``other_share``: what frequency alone explains).
Every seed trains on three data sets (other classes are rare, all images differ) and counts as their
mean; all methods train the same network for as many epochs. There are two: ``local`` sees 27 of 40
pixels at a time, so background votes by itself, as it does in large images; ``whole`` sees the
image at once, and can learn that an image without an object is masked.

    python benchmarks/methods/smcl.py
    python benchmarks/methods/smcl.py --backgrounds honest    # which say nothing about the class

writes benchmarks/results/smcl.json and .md, or smcl_honest. What is finished lies in the work dir
and is not done again when the command is repeated. --smoke runs everything in a minute, badly.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.lying_backgrounds import CLASSES, CUE_CLASSES, RECIPE, SIDE
from common.origin import option_parser, origin, publish, spread

from lt_det.datasets.glyphs import GlyphRecipe, make_crops
from lt_det.datasets.glyphs.crops import plan_crops
from lt_det.datasets.glyphs.plan import BACKGROUNDS

DATA_SETS = 3
RECIPES = {'lying': RECIPE, 'honest': replace(RECIPE, size='smcl_honest', cue_classes=0)}
BATCH = 32
# no more pixels than the image; an edge changes little here (results/saliency_point.md)
SPECTRAL = dict(type='SpectralResidual', side=SIDE, sigma=2.0, edge=0)
EDGE = dict(SPECTRAL, edge=2)
RANDOM = dict(type='RandomPoint')
GREY = 127.5
# saliency, probability of a mask, its fill, views beside the clean one, weight of the masked loss,
# target, and whether there is a contrastive loss
METHODS = {
    'softmax': None,
    'softmax_two_views': (RANDOM, 0.0, GREY, 1, 1.0, 'mixed', False),
    'balanced_contrastive': (RANDOM, 0.0, GREY, 2, 0.0, 'mixed', True),
    'random_mixed': (RANDOM, 0.5, 'background', 1, 1.0, 'mixed', False),
    'random_hard': (RANDOM, 0.5, 'background', 1, 1.0, 'hard', False),
    'saliency_mixed': (SPECTRAL, 0.5, 'background', 1, 1.0, 'mixed', False),
    'saliency_hard': (SPECTRAL, 0.5, 'background', 1, 1.0, 'hard', False),
    'saliency_hard_grey': (SPECTRAL, 0.5, GREY, 1, 1.0, 'hard', False),
    'saliency_mixed_contrast': (SPECTRAL, 0.5, 'background', 2, 1.0, 'mixed', True),
    'saliency_mixed_grey_contrast': (SPECTRAL, 0.5, GREY, 2, 1.0, 'mixed', True),
    'random_hard_contrast': (RANDOM, 0.5, 'background', 2, 1.0, 'hard', True),
    'saliency_hard_contrast': (SPECTRAL, 0.5, 'background', 2, 1.0, 'hard', True),
    'saliency_hard_edge': (EDGE, 0.5, 'background', 1, 1.0, 'hard', False),
    'saliency_hard_contrast_edge': (EDGE, 0.5, 'background', 2, 1.0, 'hard', True),
}
# width and strides of the stages
NETWORKS = {'local': (64, (1,)), 'whole': (16, (1, 2, 2))}
METRICS = ('top1', 'many', 'medium', 'few', 'cue_share', 'other_share')


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--backgrounds', choices=list(RECIPES), default='lying')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--data-sets', type=int, default=DATA_SETS)
    parser.add_argument('--epochs', type=int, default=60)
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS))
    parser.add_argument('--networks', nargs='+', choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument('--work-dir', default='work_dirs/smcl')
    parser.add_argument('--workers', type=int, default=1, help='trainings at a time')
    parser.add_argument('--smoke', action='store_true')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import cv2
import numpy as np
import torch
from mmengine.dataset import default_collate
from mmengine.logging import MMLogger
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.utils import register_all_modules
from torch.utils.data import DataLoader

from lt_det.frequency import ClassFrequency
from lt_det.frequency_module import frequency_modules


def pipeline(method: tuple | None) -> list[dict]:
    augment = [dict(type='RandomCrop', crop_size=SIDE, padding=4, padding_mode='reflect')]
    if method is None:
        return [dict(type='LoadImageFromFile'), *augment, dict(type='PackInputs')]
    saliency, prob, fill, views, *_ = method
    mask = dict(type='SaliencyMask', saliency=saliency, prob=prob, fill=fill)
    return [
        dict(type='LoadImageFromFile'),
        dict(type='MaskedMultiView', transforms=[augment, [*augment, mask]], num_views=[1, views]),
        dict(type='PackInputs', algorithm_keys=('visible_share',)),
    ]


def build_model(method: tuple | None, network: str) -> torch.nn.Module:
    width, strides = NETWORKS[network]
    stages = len(strides)
    cfg = dict(
        type='ImageClassifier',
        data_preprocessor=dict(mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True),
        backbone=dict(
            type='LongTailResNet',
            depth=10,
            stem_channels=16,
            base_channels=width,
            num_stages=stages,
            strides=strides,
            dilations=(1,) * stages,
            out_indices=(stages - 1,),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LongTailClsHead', num_classes=CLASSES, in_channels=64),
    )
    if method is not None:
        *_, masked_weight, target, contrast = method
        cfg.update(type='SMCLClassifier', masked_weight=masked_weight, target=target)
        if contrast:
            loss = dict(type='BalancedContrastiveLoss', temperature=0.1, loss_weight=0.6)
            cfg.update(contrast=dict(out_channels=32, loss=loss))
    return MODELS.build(cfg)


def dataset(root: Path, split: str, steps: list[dict]):
    return DATASETS.build(
        dict(
            type='ListFileDataset',
            data_root=str(root),
            ann_file=f'{split}.txt',
            classes=str(root / 'classes.txt'),
            pipeline=steps,
            test_mode=split == 'val',
        )
    )


def train(
    method: tuple | None, network: str, root: Path, seed: int, epochs: int
) -> torch.nn.Module:
    torch.manual_seed(seed)
    np.random.seed(seed)
    model = build_model(method, network)
    model.init_weights()
    data = dataset(root, 'train', pipeline(method))
    for module in frequency_modules(model):
        module.set_class_frequency(data.class_frequency)
    loader = DataLoader(data, BATCH, shuffle=True, drop_last=True, collate_fn=default_collate)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, epochs * len(loader), pct_start=0.1, cycle_momentum=False
    )
    model.train()
    for _ in range(epochs):
        for batch in loader:
            prepared = model.data_preprocessor(batch, True)
            loss = sum(model(**prepared, mode='loss').values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def predict(model: torch.nn.Module, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true labels (N,) of the validation images, in their order."""
    data = dataset(root, 'val', [dict(type='LoadImageFromFile'), dict(type='PackInputs')])
    loader = DataLoader(data, 256, collate_fn=default_collate)
    found = [
        sample.pred_label
        for batch in loader
        for sample in model(**model.data_preprocessor(batch), mode='predict')
    ]
    return torch.cat(found).cpu().numpy(), data.get_gt_labels()


def owners(plan) -> tuple[np.ndarray, np.ndarray]:
    """The class that owns the background of each validation image (N,), and all owners (6,)."""
    heads = np.argsort(-np.array(plan.train_counts), kind='stable')[:CUE_CLASSES]
    images = [image for image in plan.images if image.split == 'val']
    return heads[[BACKGROUNDS.index(image.background) for image in images]], heads


def score(predicted: np.ndarray, labels: np.ndarray, plan) -> dict[str, float]:
    right = predicted == labels
    per_class = np.array([right[labels == c].mean() for c in range(CLASSES)])
    groups = ClassFrequency(plan.train_counts).groups('shot')
    own, heads = owners(plan)
    wrong = ~right
    errors = max(int(wrong.sum()), 1)
    cue = (wrong & (predicted == own)).sum() / errors
    owned = (wrong & np.isin(predicted, heads)).sum() / errors
    return {
        'top1': float(right.mean()),
        **{name: float(per_class[groups == name].mean()) for name in ('many', 'medium', 'few')},
        'cue_share': float(cue),
        'other_share': float((owned - cue) / (CUE_CLASSES - 1)),
        'errors': int(wrong.sum()),
    }


def run(
    recipe: GlyphRecipe, network: str, name: str, data: int, seed: int, epochs: int, folder: Path
) -> dict:
    """A method on a data set; reads what an earlier call has found."""
    done = folder / f'{network}_{name}_{data}_{seed}.json'
    if done.exists():
        return json.loads(done.read_text())
    set_up()
    root, plan = folder / f'crops_{data}', plan_crops(replace(recipe, seed=data))
    start = time.process_time()
    model = train(METHODS[name], network, root, seed, epochs)
    seconds = time.process_time() - start
    metrics = score(*predict(model, root), plan)
    shown = ' '.join(f'{key} {metrics[key]:.3f}' for key in METRICS)
    print(f'{network} {data} {seed} {name:28} {shown} {seconds:.0f} s', flush=True)
    row = {'network': network, 'method': name, 'data': data, 'seed': seed, 'metrics': metrics}
    row['train_cpu_s'] = round(seconds, 1)
    done.write_text(json.dumps(row))
    return row


def compare(args: argparse.Namespace, folder: Path) -> list[dict]:
    recipe = RECIPES[args.backgrounds]
    for data in range(args.data_sets):
        crops = folder / f'crops_{data}'
        crops.mkdir(parents=True, exist_ok=True)
        make_crops(crops, replace(recipe, seed=data), progress=False)
    with ProcessPoolExecutor(args.workers, get_context('spawn')) as pool:
        runs = [
            pool.submit(run, recipe, network, name, data, seed, args.epochs, folder)
            for network in args.networks
            for seed in range(args.seeds)
            for name in args.methods
            for data in range(args.data_sets)
        ]
        return [each.result() for each in runs]


def set_up() -> None:
    register_all_modules(init_default_scope=True)
    MMLogger.get_instance('smcl', log_level='WARNING')  # not every weight that is initialised
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


# ----------------------------------------------------------------------------------------- report


def summary(rows: list[dict]) -> dict[str, dict[str, list[float]]]:
    """Of each method, the value of each seed: the mean over the data sets."""
    found = {}
    for name in dict.fromkeys(row['method'] for row in rows):
        mine = [row for row in rows if row['method'] == name]
        seeds = [[row for row in mine if row['seed'] == s] for s in {row['seed'] for row in mine}]
        found[name] = {
            key: [statistics.mean(row['metrics'][key] for row in each) for each in seeds]
            for key in METRICS
        }
        found[name]['train_cpu_s'] = [row['train_cpu_s'] for row in mine]
    return found


def table(result: dict, backgrounds: str) -> str:
    what = 'lie' if backgrounds == 'lying' else 'say nothing'
    lines = [
        f'# SMCL on backgrounds that {what} about the class',
        '',
        f'{result["date"]}, `{result["command"]}`, {result["machine"]}, commit {result["commit"]}.',
        'Mean and standard deviation over seeds, each the mean of the data sets; cost: time of',
        'training relative to softmax. `benchmarks/methods/smcl.py` says what is measured.',
    ]
    for network in dict.fromkeys(row['network'] for row in result['rows']):
        lines += ['', f'| {network} network | ' + ' | '.join(METRICS) + ' | cost |']
        lines.append('|---|' + '---|' * (len(METRICS) + 1))
        rows = [row for row in result['rows'] if row['network'] == network]
        found = summary(rows)
        for name, values in found.items():
            cells = [spread(values[key]) for key in METRICS]
            base = sum(found['softmax']['train_cpu_s']) if 'softmax' in found else math.nan
            cells.append(f'{sum(values["train_cpu_s"]) / base:.2f}')
            lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    if args.smoke:
        args.seeds, args.data_sets, args.epochs = 1, 1, 1
    set_up()
    result = origin('one thread', f'torch {torch.__version__}')
    name = 'smcl' if args.backgrounds == 'lying' else 'smcl_honest'
    result['rows'] = compare(args, Path(args.work_dir) / f'{name}_{args.epochs}e')
    publish(args.out, name, result, table(result, args.backgrounds))


if __name__ == '__main__':
    main()
