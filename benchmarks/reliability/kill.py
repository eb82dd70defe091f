"""Processes killed at random moments, and what is left when the same command goes on.

A process is forked from one that has imported everything, runs a command of lt_det and gets
SIGKILL, its data workers too, after a random share of the time that the command takes. Then
everything in its folder is read, and the command goes on (``--resume``). A try is lost where a file
is half, where a checkpoint that was there is gone or cannot be read, where more than the work since
the last save is lost, or where the end is not that of a run that nobody killed.

    python benchmarks/reliability/kill.py --tries 50
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common')]

from origin import option_parser, origin

CONFIG = """
_base_ = ['{root}/configs/glyphs/mask_rcnn_r18_softmax_demo.py']
data_root = '{data}/'
load_from = None
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(
            in_channels=16, fc_out_channels=16, num_classes=8,
            adjustment=dict(type='IIF', link='raw'),
        ),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=8),
    ),
    test_cfg=dict(rpn=dict(max_per_img=30), rcnn=dict(score_thr=0.0, max_per_img=20)),
)
train_dataloader = dict(
    batch_size=2, num_workers=1,
    dataset=dict(data_root=data_root, ann_file='annotations/train.json'),
)
val_dataloader = dict(
    num_workers=1, persistent_workers=False,
    dataset=dict(data_root=data_root, ann_file='annotations/val.json'),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(checkpoint=dict({checkpoint}))
custom_hooks = [
    dict(type='ClassFrequencyHook', empty_classes='warn'),
    dict(type='EpochSeedHook'),
    dict(type='EMAHook', momentum=0.01),
    dict(type='ReportHook'),
]
"""
CHECKPOINTS = {
    'by epoch': "interval=1, max_keep_ckpts=1, save_best='lvis/bbox_AP', rule='greater'",
    'by iteration': 'by_epoch=False, interval=1, max_keep_ckpts=1',
}
FOUND = [
    'CheckpointHook of MMEngine wrote checkpoints in place: half a file where it was killed',
    'last_checkpoint was emptied before it was written',
    'with max_keep_ckpts=1 the only checkpoint was removed before the new one was written; the '
    'best checkpoint always was',
    'an epoch that was interrupted began anew, with the iterations counted on',
]


def run_child(function: Callable[[], object], log: Path, dies_after: float | None = None) -> int:
    """Run a function in a forked process of a group of its own.

    Args:
        function: What to run.
        log: Where its output goes.
        dies_after: Seconds until the group gets SIGKILL; None: it ends by itself.

    Returns:
        Exit status; -9 where it was killed.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(output, 1), os.dup2(output, 2)
            status = int(function() or 0)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    if dies_after is not None:
        time.sleep(dies_after)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:  # it has ended, or has not begun its group yet
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def command(*arguments: object) -> Callable[[], int]:
    """What runs a command of lt_det in this process."""

    def call() -> int:
        from lt_det.cli.main import main

        return main([str(argument) for argument in arguments])

    return call


def half_files(folder: Path) -> list[str]:
    """Files that are there and cannot be read as whole."""
    import torch

    bad = []
    for path in sorted(folder.rglob('*')):
        if not path.is_file() or path.name.endswith('.part') or '/sweep/' in str(path):
            continue
        try:
            if path.suffix == '.pth':
                torch.load(path, weights_only=False)
            elif path.suffix == '.json' and path.parent.name != 'vis_data':
                json.loads(path.read_text())  # logs of lines grow, they are not files to read
            elif path.suffix == '.html':
                assert path.read_text().rstrip().endswith('</html>')
            elif path.name == 'last_checkpoint':
                torch.load(path.read_text(), weights_only=False)
        except Exception as error:
            bad.append(f'{path.name}: {type(error).__name__} {str(error)[:80]}')
    return bad


def state(folder: Path) -> tuple[int, dict]:
    """Iteration and tensors of the latest checkpoint; (0, {}) without one."""
    import torch

    from lt_det.engine.checkpoint_hook import latest_checkpoint

    path = latest_checkpoint(folder)
    if path is None:
        return 0, {}
    checkpoint = torch.load(path, weights_only=False)
    averages = {f'ema.{key}': value for key, value in checkpoint['ema_state_dict'].items()}
    return checkpoint['meta']['iter'], {**checkpoint['state_dict'], **averages}


class Training:
    """``lt_det train``, killed in reading, saving, validation or the report."""

    def __init__(self, folder: Path, data: Path, checkpoints: str) -> None:
        self.folder, self.name = folder, f'training, checkpoints {checkpoints}'
        self.config = folder / f'{checkpoints.replace(" ", "_")}.py'
        text = CONFIG.format(root=ROOT, data=data, checkpoint=CHECKPOINTS[checkpoints])
        self.config.write_text(text)
        self.every = 1 if checkpoints == 'by iteration' else 3

    def start(self, out: Path) -> Callable[[], int]:
        return command('train', self.config, '--work-dir', out)

    def go_on(self, out: Path) -> Callable[[], int]:
        return command('train', self.config, '--work-dir', out, '--resume')

    def saved(self, out: Path, log: str) -> list[str]:
        """What is wrong with the checkpoint that is there, given what the log says was done."""
        done = log.count('ITERATION')
        at = state(out)[0]
        # an iteration is done before what it ends is saved
        return [] if at >= (done - 1) // self.every * self.every else [f'{done} done, {at} saved']

    def differs(self, out: Path, straight: Path) -> list[str]:
        import torch

        (at, ours), (end, theirs) = state(out), state(straight)
        if at != end or ours.keys() != theirs.keys():
            return [f'ends at iteration {at} rather than {end}']
        return [f'{key} differs' for key in ours if not torch.equal(ours[key], theirs[key])][:1]


class Evaluation(Training):
    """``lt_det test`` and the report of it."""

    def __init__(self, folder: Path, training: Training, checkpoint: Path) -> None:
        self.name, self.config, self.checkpoint = 'evaluation', training.config, checkpoint

    def start(self, out: Path) -> Callable[[], int]:
        return command('test', self.config, self.checkpoint, '--work-dir', out)

    go_on = start

    def saved(self, out: Path, log: str) -> list[str]:
        return []

    def differs(self, out: Path, straight: Path) -> list[str]:
        one, other = (
            json.loads(next(p.rglob('metrics.json')).read_text()) for p in (out, straight)
        )
        return [] if one == other else ['other metrics']


class Report(Evaluation):
    """``lt_det report``."""

    def __init__(self, work_dir: Path) -> None:
        self.name, self.work_dir = 'report', work_dir

    def start(self, out: Path) -> Callable[[], int]:
        out.mkdir(parents=True, exist_ok=True)
        return command('report', self.work_dir, '--out', out / 'report.html')

    go_on = start

    def differs(self, out: Path, straight: Path) -> list[str]:
        return [] if (out / 'report.html').stat().st_size else ['no report']


class Calibration(Evaluation):
    """``lt_det calibrate``."""

    def __init__(self, training: Training, checkpoint: Path, held_out: Path) -> None:
        self.name, self.config, self.checkpoint = 'calibration', training.config, checkpoint
        self.held_out = held_out

    def start(self, out: Path, *more: str) -> Callable[[], int]:
        held = ('--held-out', self.held_out, '--resamples', 20, '--masks', 'none')
        return command('calibrate', self.config, self.checkpoint, *held, '--out', out, *more)

    def go_on(self, out: Path) -> Callable[[], int]:
        return self.start(out, '--resume')

    def differs(self, out: Path, straight: Path) -> list[str]:
        # but for the folder, which the choice names
        return [
            name
            for name in ('choice.json', 'sweep.csv')
            if (out / name).read_text().replace(str(out), '')
            != (straight / name).read_text().replace(str(straight), '')
        ]


class Cache(Evaluation):
    """The column cache of a large annotation file, which a second process waits for."""

    def __init__(self, source: Path) -> None:
        self.name, self.source = 'annotation cache', source

    def start(self, out: Path) -> Callable[[], int]:
        out.mkdir(parents=True, exist_ok=True)
        path = out / 'large.json'
        if not path.exists():
            os.link(self.source, path)

        def call() -> None:
            import numpy as np

            from lt_det.formats.annotation_cache import load_columns

            columns = load_columns(path)
            digest = {k: hash(np.asarray(v).tobytes()) for k, v in columns.arrays.items()}
            (out / 'digest.txt').write_text(repr(sorted(digest.items())))

        return call

    go_on = start

    def differs(self, out: Path, straight: Path) -> list[str]:
        one, other = ((p / 'digest.txt').read_text() for p in (out, straight))
        return [] if one == other else ['other columns']


def make_data(folder: Path) -> tuple[Path, Path]:
    """Six training images and four others of the glyphs; a large json of 30,000 boxes."""
    from lt_det.datasets.glyphs import make_glyphs

    data = make_glyphs(folder / 'glyphs', size='tiny', progress=False)
    for part, number in (('train', 6), ('val', 4)):
        content = json.loads((data / f'annotations/glyphs_{part}.json').read_text())
        content['images'] = content['images'][:number]
        shown = {image['id'] for image in content['images']}
        content['annotations'] = [a for a in content['annotations'] if a['image_id'] in shown]
        (data / f'annotations/{part}.json').write_text(json.dumps(content))
    few = len(content['annotations'])
    content['annotations'] = [
        {**content['annotations'][n % few], 'id': n + 1} for n in range(30_000)
    ]
    large = folder / 'large.json'
    large.write_text(json.dumps(content))
    return data, large


def log_iterations() -> None:
    """Have every finished iteration leave a word in the output."""
    from mmengine.runner import EpochBasedTrainLoop

    run_iter = EpochBasedTrainLoop.run_iter

    def run(self, *args) -> None:
        run_iter(self, *args)
        os.write(1, b'ITERATION\n')

    EpochBasedTrainLoop.run_iter = run


def try_once(task: Training, out: Path, straight: Path, moment: float) -> tuple[list[str], bool]:
    """Kill the task at a moment in seconds and let it go on: what is wrong, and whether it died."""
    log = out.with_suffix('.log')
    died = run_child(task.start(out), log, moment) == -signal.SIGKILL
    wrong = half_files(out) if out.exists() else []
    wrong += task.saved(out, log.read_text(errors='replace') if log.exists() else '')
    status = run_child(task.go_on(out), log)
    if status:
        return [*wrong, f'going on ends with status {status}'], died
    return [*wrong, *half_files(out), *task.differs(out, straight)], died


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--tries', type=int, default=50)
    parser.add_argument('--minutes', type=float, default=60, help='no try begins after these')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--keep', help='folder of all files; default: a temporary one')
    args = parser.parse_args()
    import mmdet.utils
    import torch

    import lt_det.components
    import lt_det.report.page.write  # noqa: F401

    mmdet.utils.register_all_modules(init_default_scope=False)
    torch.set_num_threads(1)
    log_iterations()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        data, large = make_data(folder)
        by_epoch, by_iteration = (Training(folder, data, kind) for kind in CHECKPOINTS)
        trained = folder / 'straight' / 'training'
        first = Evaluation(folder, by_epoch, trained / 'epoch_2.pth')
        calibration = Calibration(by_epoch, first.checkpoint, data / 'annotations/val.json')
        tasks = [by_epoch, by_iteration, calibration, Cache(large), first, Report(trained)]
        report, cache = tasks[-1], tasks[3]
        shares = [by_epoch, cache, report, by_iteration, cache, calibration, by_epoch, report]
        shares += [cache, first, by_epoch, report, by_iteration, cache, calibration, report]
        seconds = {}
        for task in tasks:
            out = trained if task is by_epoch else folder / 'straight' / task.name.split(',')[0]
            out = out.with_name('iterations') if task is by_iteration else out
            out.parent.mkdir(parents=True, exist_ok=True)
            begin = time.perf_counter()
            status = run_child(task.start(out), out.with_suffix('.log'))
            seconds[task.name] = time.perf_counter() - begin
            assert status == 0, out.with_suffix('.log').read_text()[-3000:]
            task.straight = out
            print(f'{task.name}: {seconds[task.name]:.1f} s', flush=True)
        start = time.perf_counter()
        draw, rows, lost, died = random.Random(args.seed), Counter(), [], 0
        for number in range(args.tries):
            if time.perf_counter() - start > args.minutes * 60:
                break
            task = shares[number % len(shares)]
            moment = draw.uniform(0, seconds[task.name])
            out = folder / f'try_{number}'
            wrong, killed = try_once(task, out, task.straight, moment)
            rows[task.name] += 1
            died += killed
            if wrong:
                lost.append(f'{task.name}, killed after {moment:.2f} s: {"; ".join(wrong)}')
            print(number, task.name, f'{moment:.1f} s', 'killed' if killed else 'ended', wrong)
            sys.stdout.flush()
    content = dict(
        campaign='kill',
        tries=rows.total(),
        survived=rows.total() - len(lost),
        lost=len(lost),
        found=[*FOUND, *lost],
        fixed=FOUND,
        killed_before_the_end=died,
        tries_by_task=dict(rows),
        **origin(f'torch {torch.__version__}'),
    )
    path = Path(args.out, 'reliability', 'kill.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + '\n')
    print(path, content['survived'], 'of', rows.total())


if __name__ == '__main__':
    main()
