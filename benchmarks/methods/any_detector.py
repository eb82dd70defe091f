"""Long-tailed rules on five families of detectors: glyphs `demo`, equal budget.

RetinaNet, RTMDet-Ins, DINO, Mask2Former and Cascade R-CNN, small, each trained first on 60
other glyphs, balanced: as on LVIS, no training starts from nothing. From that, without its
classifier, each is trained for the same iterations with and without a rule, each seed on its own;
rules at test alone evaluate the baseline of their seed. An image has at most 100 detections, for 30
classes: on independent sigmoids a shift at test acts through this competition alone.

Which rule a family gets, and how strong, is chosen on another seed, the pilot: that of the highest
APr among those whose AP is not below the baseline's. Runs that are there already are not repeated,
so an interrupted comparison goes on where it stopped.

    OMP_NUM_THREADS=1 python benchmarks/methods/any_detector.py

Writes benchmarks/results/any_detector.json and .md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish
from methods.any_detector_families import FAMILIES, RULES

CONFIGS = ROOT / 'configs' / 'glyphs'
OTHERS, NUM_OTHERS = 'data/glyphs/pretrain', 60
RFS_THRESHOLD = 100 / 600  # repeats classes of at most 100 images, as 1e-3 does on LVIS
ROLES = ('baseline', 'rule', 'rule at test', 'RFS', 'rule + RFS')


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--families', nargs='+', choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument('--methods', nargs='+', choices=ROLES, default=list(ROLES))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--pilot-seed', type=int, default=10)
    parser.add_argument('--data', default='data/glyphs/demo')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/any_detector'))
    parser.add_argument('--processes', type=int, default=2, help='of one thread each')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import torch
from methods.any_detector_report import report
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from lt_det.datasets.glyphs import make_glyphs

# ---------------------------------------------------------------------------------------- one run


def folder_of(work_dir: Path, family: str, method: str, seed: int) -> Path:
    return work_dir / FAMILIES[family].config / method / str(seed)


def pretrained(work_dir: Path, family: str) -> Path:
    return work_dir / FAMILIES[family].config / 'pretrained' / 'detector.pth'


def plain_config(family: str, data: str, work_dir: Path, epochs: int | None = None) -> Config:
    """The baseline of a family on a data set, its budget counted in iterations."""
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(CONFIGS / f'{FAMILIES[family].config}.py')
    for split in ('train', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{data}/'
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
    cfg.test_evaluator.ann_file = f'{data}/annotations/glyphs_val.json'
    # evaluated once, behind the training
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'ReportHook']
    length = len(DATASETS.build(cfg.train_dataloader.dataset))
    iterations = (epochs or cfg.max_epochs) * (length // cfg.train_dataloader.batch_size)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations)
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=iterations,
        save_optimizer=False,
        save_param_scheduler=False,
    )
    cfg.log_processor.by_epoch = False
    cfg.param_scheduler[1].update(
        by_epoch=False, convert_to_iter_based=False, end=iterations, T_max=iterations
    )
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = '_'.join(work_dir.parts[-3:])
    return cfg


def config(args: argparse.Namespace, family: str, method: str, seed: int) -> Config:
    """The config of a method: a name of RULES, 'baseline', 'rfs', or a name with '+rfs'."""
    cfg = plain_config(family, args.data, folder_of(args.work_dir, family, method, seed))
    cfg.load_from = str(pretrained(args.work_dir, family))
    cfg.randomness.seed = seed
    name = method.removesuffix('+rfs')
    if name != method or method == 'rfs':
        plain = cfg.train_dataloader.dataset
        cfg.train_dataloader.dataset = dict(
            type='RepeatFactorDataset', oversample_thr=RFS_THRESHOLD, dataset=plain
        )
    rule = RULES.get(name, {})
    if 'adjustment' in rule:
        cfg.model.update(type='LongTail', detector=cfg.model.type, adjustment=rule['adjustment'])
    if 'loss_cls' in rule:
        head = cfg.model.bbox_head
        head.loss_cls = dict(rule['loss_cls'], num_classes=head.num_classes, use_sigmoid=True)
    return cfg


def run(args: argparse.Namespace, family: str, method: str, seed: int) -> None:
    """Train or evaluate one method with one seed; writes result.json."""
    folder = folder_of(args.work_dir, family, method, seed)
    cfg = config(args, family, method, seed)
    if method in FAMILIES[family].candidates(at_test=True):
        baseline = folder_of(args.work_dir, family, 'baseline', seed)
        (checkpoint,) = baseline.glob('iter_*.pth')
        cfg.load_from = str(checkpoint)
    runner = Runner.from_cfg(cfg)
    if method not in FAMILIES[family].candidates(at_test=True):
        runner.train()
    save_result(folder, runner.test())


def pretrain(args: argparse.Namespace, family: str) -> None:
    """Train on the other glyphs and save all but the classifier."""
    path = pretrained(args.work_dir, family)
    cfg = plain_config(family, OTHERS, path.parent, FAMILIES[family].epochs)
    set_classes(cfg.model, NUM_OTHERS)
    del cfg.optim_wrapper.paramwise_cfg  # more than the classifier is new
    runner = Runner.from_cfg(cfg)
    runner.train()
    save_result(path.parent, runner.test())
    dropped = re.compile(FAMILIES[family].classifier)
    state = runner.model.state_dict()
    state = {key: value for key, value in state.items() if not dropped.search(key)}
    torch.save(dict(state_dict=state), path)


def set_classes(part: dict | list, num_classes: int) -> None:
    """Have a config of a detector built for another number of classes."""
    if isinstance(part, list):
        for item in part:
            set_classes(item, num_classes)
    elif isinstance(part, dict):
        for key in {'num_classes', 'num_things_classes'} & part.keys():
            part[key] = num_classes
        if part.get('class_weight'):
            part.class_weight = [1.0] * num_classes + part.class_weight[-1:]
        for item in part.values():
            set_classes(item, num_classes)


def save_result(folder: Path, metrics: dict) -> None:
    plain = {key.split('/')[-1]: float(value) for key, value in metrics.items()}
    (folder / 'result.json').write_text(json.dumps(plain))


# ------------------------------------------------------------------------------------- all of them


def result(args: argparse.Namespace, family: str, method: str, seed: int) -> dict[str, float]:
    return json.loads(output(args, family, method, seed).read_text())


def choose(args: argparse.Namespace, family: str, at_test: bool) -> str:
    """The candidate of the highest APr in the pilot, if possible with AP not below the baseline."""
    candidates = FAMILIES[family].candidates(at_test)
    metric = FAMILIES[family].metric
    found = {name: result(args, family, name, args.pilot_seed) for name in candidates}
    least = result(args, family, 'baseline', args.pilot_seed)[f'{metric}_AP']
    good = [name for name in candidates if found[name][f'{metric}_AP'] >= least]
    return max(good or candidates, key=lambda name: found[name][f'{metric}_APr'])


def run_all(args: argparse.Namespace, jobs: list[tuple[str, str, int]]) -> None:
    """Run jobs (family, method, seed), several at a time."""
    waiting = [job for job in dict.fromkeys(jobs) if not output(args, *job).exists()]
    running = {}
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(args.processes, context, start_process) as pool:
        while waiting or running:
            for job in [job for job in waiting if needed(args, *job).exists()]:
                if len(running) < args.processes:
                    running[pool.submit(work, args, *job)] = job
                    waiting.remove(job)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                print(*running.pop(future), f'done, {len(waiting)} wait', flush=True)


def output(args: argparse.Namespace, family: str, method: str, seed: int) -> Path:
    """What is there when a run has ended."""
    if method == 'pretrained':
        return pretrained(args.work_dir, family)
    return folder_of(args.work_dir, family, method, seed) / 'result.json'


def needed(args: argparse.Namespace, family: str, method: str, seed: int) -> Path:
    """What has to be there before a run starts."""
    if method == 'pretrained':
        return Path(args.data)
    if method in FAMILIES[family].candidates(at_test=True):
        return output(args, family, 'baseline', seed)
    return pretrained(args.work_dir, family)


def work(args: argparse.Namespace, family: str, method: str, seed: int) -> None:
    if method == 'pretrained':
        pretrain(args, family)
    else:
        run(args, family, method, seed)


def start_process() -> None:
    torch.set_num_threads(1)


def rows(args: argparse.Namespace, methods: dict[str, dict[str, str]], seeds: list[int]) -> list:
    """A row for each family, method and seed; ``methods`` are their names by family and role."""
    return [
        dict(
            family=family,
            method=role,
            rule=method,
            seed=seed,
            metrics=result(args, family, method, seed),
        )
        for family, roles in methods.items()
        for role, method in roles.items()
        for seed in seeds
    ]


def main() -> None:
    args = parse_args()
    where = origin(f'torch {torch.__version__}')
    make_glyphs(args.data, 'demo')
    make_glyphs(OTHERS, 'pretrain', 1)
    families, pilot = args.families, args.pilot_seed
    tried = {family: ('baseline', *FAMILIES[family].rules) for family in families}
    jobs = [(family, 'pretrained', 0) for family in families]
    jobs += [(family, name, pilot) for family in families for name in tried[family]]
    jobs += [(family, 'baseline', seed) for seed in args.seeds for family in families]
    run_all(args, jobs)
    methods = {}
    for family in families:
        rule = choose(args, family, at_test=False)
        methods[family] = {
            'baseline': 'baseline',
            'rule': rule,
            'rule at test': choose(args, family, at_test=True),
            'RFS': 'rfs',
            'rule + RFS': f'{rule}+rfs',
        }
        methods[family] = {role: methods[family][role] for role in args.methods}
    jobs = [(f, methods[f][r], s) for r in args.methods for s in args.seeds for f in families]
    run_all(args, jobs)
    content = {
        **where,
        'metric': {family: FAMILIES[family].metric for family in families},
        'rows': rows(args, methods, args.seeds),
        'pilot': rows(args, {f: {name: name for name in tried[f]} for f in families}, [pilot]),
        'pretrained': {family: result_of_pretraining(args, family) for family in families},
    }
    publish(args.out, 'any_detector', content, report(content))


def result_of_pretraining(args: argparse.Namespace, family: str) -> dict[str, float]:
    return json.loads((pretrained(args.work_dir, family).parent / 'result.json').read_text())


if __name__ == '__main__':
    main()
