"""The long-tailed methods against softmax: one small Mask R-CNN, glyphs `bench`, equal budget.

A detector of 60 other glyphs, balanced, is trained first (of `demo` it ships with the configs): as
on LVIS, no training starts from nothing. From it, without its classifier, every method trains the
same detector for the same iterations, each seed on its own; rules at test alone evaluate the
softmax checkpoint of their seed. Runs that are there already are not repeated, so an interrupted
comparison goes on where it stopped.

- segm_AP, bbox_AP and their r, c, f: as lvis-api; fixed_AP: Dave et al. 2021, of masks, whose
  10,000 detections a class are more than a few hundred images give.
- FP: false positives an image (masks, IoU 0.5) at the score threshold at which a method finds as
  many objects as softmax does at score 0.5; none if it never does.
- relative_cost: time of a training iteration relative to softmax, medians of interleaved iterations
  on the same batch; for some methods also with the configs of LVIS, at their size.

    python benchmarks/methods/methods_detection.py
    python benchmarks/methods/methods_detection.py --size small --epochs 4         # on CPUs
    python benchmarks/methods/methods_detection.py --size demo --epochs 3          # smaller still

Writes benchmarks/results/methods_detection.json, .md and .png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish

from lt_det.datasets.glyphs import SIZES, make_glyphs
from lt_det.datasets.glyphs.recipe import OTHER_GLYPHS

CONFIGS = ROOT / 'configs' / 'glyphs'
HEAD = 'model.roi_head.bbox_head.'


def iif(link: str, count: str = 'image', stage: str = 'both') -> dict:
    return {HEAD + 'adjustment': dict(type='IIF', link=link, count=count, stage=stage)}


def adjusted(**rule) -> dict:
    return {HEAD + 'adjustment': rule}


def cosine(scale: float) -> dict:
    return {HEAD + 'cls_predictor_cfg': dict(type='CosineLinear', scale=scale)}


def loss(**kwargs) -> dict:
    return {HEAD + 'loss_cls': dict(_delete_=True, **kwargs)}


# the features of the small detector have 64 channels
CAMC = {
    'model.roi_head.type': 'CAMCalibratedRoIHead',
    'model.roi_head.calibration': dict(embed_channels=64),
}
TRAINED: dict[str, dict] = {
    'softmax': {},
    'rfs': {},  # these wrap the data set, see config()
    'copy_paste': {},
    'copy_paste_iif': iif('smooth'),
    'cosine': cosine(20.0),
    'iif_raw': iif('raw'),
    'iif_smooth': iif('smooth'),
    'iif_base10_obj': iif('base10', 'instance'),
    'iif_cosine': {**iif('raw'), **cosine(8.0)},
    'iif_mean_cosine': {**adjusted(type='IIF', link='smooth', norm='mean'), **cosine(20.0)},
    'camc': {**CAMC, **cosine(20.0)},
    'iif_camc': {**CAMC, **iif('raw')},
    'seesaw': loss(type='LongTailSeesawLoss'),
    'eqlv2': loss(type='LongTailEQLV2Loss'),
    'federated': loss(type='FederatedLoss'),
    'gol': loss(type='GumbelLoss'),
    'ldam': {**loss(type='LDAMLoss', scale=20.0), **cosine(20.0)},
    'balanced_softmax': adjusted(type='PriorShift', stage='train'),
}
# strengths are those of the papers, gamma and tau the middle of the ranges that they try
AT_TEST: dict[str, dict] = {
    'norcal': adjusted(type='NorCal', gamma=0.5),
    'fracal': adjusted(type='FRACAL', lam=2.0),
    'iif_post': iif('smooth', stage='test'),
    'logit_adjustment': adjusted(type='PriorShift', stage='test'),
    'tau_norm': adjusted(type='TauNorm', tau=0.5),
}
METHODS = (*TRAINED, *AT_TEST)
# 1e-3 of LVIS repeats classes of at most 100 images; so does this of the 1600 images of bench
RFS_THRESHOLD = 100 / 1600


def pretrained(args: argparse.Namespace) -> Path:
    """The detector that training starts from."""
    if args.size == 'demo':
        return CONFIGS / 'pretrained' / 'mask_rcnn_r18_glyphs.pth'
    return args.work_dir / 'pretrained' / 'detector.pth'


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--size', choices=sorted(SIZES), default='bench', help='of the data set')
    parser.add_argument('--epochs', type=int, default=12)
    parser.add_argument('--pretrain-epochs', type=int, default=12)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=list(METHODS))
    parser.add_argument('--data', help='default: data/glyphs/SIZE')
    parser.add_argument('--work-dir', help='default: work_dirs/methods_detection/SIZE_EPOCHSe')
    parser.add_argument('--num-workers', type=int, default=2, help='of the data loader')
    parser.add_argument('--cost-rounds', type=int, default=15, help='iterations timed, or 0')
    parser.add_argument('--lvis-cost-rounds', type=int, default=5, help='the same at LVIS size')
    parser.add_argument('--name', default='methods_detection', help='of the results')
    parser.add_argument('--worker', nargs='+', help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.data = args.data or f'data/glyphs/{args.size}'
    name = f'{args.size}_{args.epochs}e'
    args.work_dir = Path(args.work_dir or f'work_dirs/methods_detection/{name}')
    args.pretrained = pretrained(args)
    return args


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import numpy as np
import torch
from methods.detection_report import collect, costs, plot, report
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, METRICS
from mmengine.runner import Runner, load_checkpoint
from speed.iteration_cost import built, cost_at_lvis_size, relative_cost

from lt_det.adjustments.box_dimension import box_dimension_of
from lt_det.evaluation.detections import Detections
from lt_det.evaluation.diagnosis.matches import match
from lt_det.evaluation.lvis_metric import LongTailLVISMetric
from lt_det.frequency import ClassFrequency


@METRICS.register_module()
class ComparisonMetric(LongTailLVISMetric):
    """LongTailLVISMetric that keeps every detection's score and whether it is right.

    Attributes:
        curve: Scores (N,) and, for masks at IoU 0.5, true positives (N,) and false ones (N,).
    """

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        metrics = super().compute_metrics(results)
        parts = [kept['segm'] for state in results for _, kept in state['kept']]
        matches = match(self.truth, Detections.concatenate(parts), 'segm', self.max_per_img)
        hit = matches.hit[0]
        self.curve = matches.score, hit, ~hit & ~matches.ignored[0]
        return metrics


# ---------------------------------------------------------------------------------------- one run


def config(args: argparse.Namespace, method: str, seed: int = 0) -> Config:
    """The config of a method: the pretrained detector, the data set, the budget, the method."""
    cfg = plain_config(args, args.data, SIZES[args.size].num_classes, args.epochs)
    cfg.merge_from_dict(
        {
            'load_from': str(args.pretrained),
            'randomness.seed': seed,
            'work_dir': str(args.work_dir / method / str(seed)),
            'experiment_name': f'{method}_{seed}',
            **(TRAINED | AT_TEST)[method],
        }
    )
    num_classes = cfg.model.roi_head.bbox_head.num_classes
    loss_cls = cfg.model.roi_head.bbox_head.loss_cls
    if loss_cls.type != 'CrossEntropyLoss':
        loss_cls.num_classes = num_classes
    if method == 'rfs':
        plain = cfg.train_dataloader.dataset
        cfg.train_dataloader.dataset = dict(
            type='RepeatFactorDataset', oversample_thr=RFS_THRESHOLD, dataset=plain
        )
    if method.startswith('copy_paste'):
        plain = cfg.train_dataloader.dataset
        *plain.pipeline, pack = plain.pipeline
        mix = [dict(type='RareCopyPaste'), pack]
        cfg.train_dataloader.dataset = dict(
            type='MultiImageMixDataset', dataset=plain, pipeline=mix
        )
    if method == 'federated':
        pack = cfg.train_dataloader.dataset.pipeline[-1]
        pack.meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
        pack.meta_keys += ('neg_category_ids', 'not_exhaustive_category_ids')
        cfg.custom_hooks.append(dict(type='FederatedLabelsHook'))
    return cfg


def plain_config(args: argparse.Namespace, data: str, num_classes: int, epochs: int) -> Config:
    """Softmax on a data set of the size."""
    register_all_modules(init_default_scope=True)
    size = args.size if args.size in ('small', 'demo') else 'bench'
    cfg = Config.fromfile(CONFIGS / f'mask_rcnn_r18_softmax_{size}.py')
    root = f'{data}/'
    cfg.merge_from_dict(
        {
            'data_root': root,
            HEAD + 'num_classes': num_classes,
            'model.roi_head.mask_head.num_classes': num_classes,
            'train_dataloader.num_workers': args.num_workers,
            'train_dataloader.dataset.data_root': root,
        }
    )
    # counted in iterations: repeated images make longer epochs, not a larger budget
    length = len(DATASETS.build(cfg.train_dataloader.dataset))
    iterations = epochs * (length // cfg.train_dataloader.batch_size)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    cfg.log_processor.by_epoch = False
    cfg.param_scheduler[1].update(
        by_epoch=False, convert_to_iter_based=False, end=iterations, T_max=iterations
    )
    side = SIZES[args.size].side
    for split in ('train', 'val', 'test'):
        for step in cfg[f'{split}_dataloader'].dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (side, side)
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = root
        cfg[f'{split}_evaluator'].update(
            type='ComparisonMetric', ann_file=f'{root}annotations/glyphs_val.json', fixed_ap=True
        )
    return cfg


def pretrain(args: argparse.Namespace) -> None:
    """Train on the other glyphs and save all but the classifier."""
    folder = args.pretrained.parent
    recipe = replace(
        SIZES[args.size],
        size='others',
        glyphs=OTHER_GLYPHS,
        train_counts=(60,) * len(OTHER_GLYPHS),
        train_images=1200,
        val_images=100,
        val_count=5,
        negatives=(0, 0),
        cue_classes=0,
    )
    data = make_glyphs(f'{args.data}_others', recipe)
    cfg = plain_config(args, str(data), recipe.num_classes, args.pretrain_epochs)
    cfg.merge_from_dict({'work_dir': str(folder), 'randomness.seed': 0})
    runner = Runner.from_cfg(cfg)
    runner.train()
    state = runner.model.state_dict()
    state = {key: value.cpu() for key, value in state.items() if 'bbox_head.fc_cls' not in key}
    torch.save(dict(state_dict=state), args.pretrained)


def run(args: argparse.Namespace, method: str, seed: int) -> None:
    """Train or evaluate one method with one seed; writes result.json and curve.npz."""
    cfg = config(args, method, seed)
    if method in AT_TEST:
        (checkpoint,) = (args.work_dir / 'softmax' / str(seed)).glob('iter_*.pth')
        cfg.load_from = str(checkpoint)
        runner = Runner.from_cfg(cfg)
        metrics = runner.test()
        metric = runner.test_evaluator.metrics[0]
    else:
        runner = Runner.from_cfg(cfg)
        runner.train()
        metric = runner.val_evaluator.metrics[0]
        metrics = json.loads((Path(cfg.work_dir) / 'metrics.json').read_text())
    plain = {key.split('/')[-1]: float(value) for key, value in metrics.items()}
    plain['fixed_AP'] = plain['segm_fixed_AP']
    folder = Path(cfg.work_dir)
    np.savez(folder / 'curve.npz', *metric.curve)
    content = dict(metrics=plain, per_class=metric.per_class)
    (folder / 'result.json').write_text(json.dumps(content))


def measure_cost(args: argparse.Namespace, methods: list[str]) -> None:
    """Relative cost of each method: cost.json."""
    dataset = DATASETS.build(config(args, 'softmax').train_dataloader.dataset)
    batch = pseudo_collate([dataset[index] for index in range(4)])
    dimension, frequency = box_dimension_of(dataset), ClassFrequency.from_dataset(dataset)
    models = {}
    for method in methods:
        models[method] = built(config(args, method).model, frequency, dimension)
        load_checkpoint(models[method], str(args.pretrained), map_location='cpu')
    cost = relative_cost(models, batch, args.cost_rounds)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    (args.work_dir / 'cost.json').write_text(json.dumps(cost))


def main() -> None:
    args = parse_args()
    if args.worker:
        kind, *arguments = args.worker
        if kind == 'pretrain':
            pretrain(args)
        elif kind == 'cost':
            measure_cost(args, arguments)
        elif kind == 'cost_lvis':
            cost = cost_at_lvis_size(args.lvis_cost_rounds)
            (args.work_dir / 'cost_lvis.json').write_text(json.dumps(cost))
        else:
            run(args, arguments[0], int(arguments[1]))
        return
    if 'softmax' not in args.methods:
        args.methods = ['softmax', *args.methods]  # all others are compared to it
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'on the CPU'
    where = origin(device, f'torch {torch.__version__}')
    make_glyphs(args.data, args.size)
    command = [sys.executable, __file__, *sys.argv[1:], '--worker']
    if not args.pretrained.exists():
        subprocess.run([*command, 'pretrain'], check=True)
    for seed in args.seeds:
        for method in sorted(args.methods, key=METHODS.index):  # softmax first
            if not (args.work_dir / method / str(seed) / 'result.json').exists():
                print(f'{method}, seed {seed}', flush=True)
                subprocess.run([*command, 'run', method, str(seed)], check=True)
    if args.cost_rounds and not (args.work_dir / 'cost.json').exists():
        trained = [method for method in args.methods if method in TRAINED]
        subprocess.run([*command, 'cost', *trained], check=True)
    if args.lvis_cost_rounds and not (args.work_dir / 'cost_lvis.json').exists():
        subprocess.run([*command, 'cost_lvis'], check=True)
    num_images = SIZES[args.size].val_images
    content = {
        **where,
        'rows': collect(args.work_dir, args.methods, args.seeds, num_images),
        'cost_of_softmax_again': costs(args.work_dir, 'cost.json').get('softmax again'),
        'cost_at_lvis_size': costs(args.work_dir, 'cost_lvis.json'),
    }
    at_test = sum(method in AT_TEST for method in args.methods)
    picture = f'{args.name}.png'
    publish(args.out, args.name, content, report(content, at_test, picture))
    plot(args.work_dir, args.methods, args.seeds, Path(args.out) / picture)


if __name__ == '__main__':
    main()
