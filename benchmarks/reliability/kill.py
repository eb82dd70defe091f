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
from collections import Counter
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common'), str(Path(__file__).parent)]

import targets
from child import import_everything, run_child
from origin import option_parser
from outcome import write_outcome
from tiny_detector import make_data

# By hand: found by reading and by tests, before the tries that results/reliability tells of.
FOUND = [
    'CheckpointHook of MMEngine wrote checkpoints in place: half a file where it was killed',
    'last_checkpoint was emptied before it was written',
    'with max_keep_ckpts=1 the only checkpoint was removed before the new one was written; the '
    'best checkpoint always was',
    'an epoch that was interrupted began anew, with the iterations counted on',
]
# Each is killed more often the more it writes.
ORDER = (
    *('training, checkpoints by epoch', 'annotation cache', 'report'),
    *('training, checkpoints by iteration', 'annotation cache', 'calibration'),
    *('training, checkpoints by epoch', 'report', 'annotation cache', 'evaluation'),
    *('training, checkpoints by epoch', 'report', 'training, checkpoints by iteration'),
    *('annotation cache', 'calibration', 'report'),
)


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


def log_iterations() -> None:
    """Have every finished iteration leave a word in the output."""
    from mmengine.runner import EpochBasedTrainLoop

    run_iter = EpochBasedTrainLoop.run_iter

    def run(self, *args) -> None:
        run_iter(self, *args)
        os.write(1, b'ITERATION\n')

    EpochBasedTrainLoop.run_iter = run


def try_once(
    target: targets.Target, out: Path, straight: Path, moment: float
) -> tuple[list[str], bool]:
    """Kill a command at a moment in seconds and let it go on: what is wrong, and if it died."""
    log = out.with_suffix('.log')
    died = run_child(target.start(out), log, moment) == -signal.SIGKILL
    wrong = half_files(out) if out.exists() else []
    wrong += target.unsaved(out, log.read_text(errors='replace') if log.exists() else '')
    status = run_child(target.go_on(out), log)
    if status:
        return [*wrong, f'going on ends with status {status}'], died
    return [*wrong, *half_files(out), *target.differs(out, straight)], died


def run_straight(target: targets.Target, out: Path) -> float:
    """Run a command that nobody kills; its seconds."""
    out.parent.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    status = run_child(target.start(out), out.with_suffix('.log'))
    seconds = time.perf_counter() - begin
    assert status == 0, out.with_suffix('.log').read_text()[-3000:]
    print(f'{target.name}: {seconds:.1f} s', flush=True)
    return seconds


def all_targets(folder: Path) -> dict[Path, targets.Target]:
    """The commands, by the folders of their runs that nobody kills, in the order of these runs."""
    data = make_data(folder)
    held_out = data / 'annotations/val.json'
    large = targets.large_file(held_out, folder / 'large.json')
    by_epoch, by_iteration = (
        targets.write_config(folder, data, kind) for kind in targets.CHECKPOINTS
    )
    straight = folder / 'straight'
    trained = straight / 'training'
    checkpoint = trained / 'epoch_2.pth'
    return {
        trained: targets.training(by_epoch, 'by epoch'),
        straight / 'iterations': targets.training(by_iteration, 'by iteration'),
        straight / 'calibration': targets.calibration(by_epoch, checkpoint, held_out),
        straight / 'annotation cache': targets.annotation_cache(large),
        straight / 'evaluation': targets.evaluation(by_epoch, checkpoint),
        straight / 'report': targets.report(trained),
    }


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--tries', type=int, default=50)
    parser.add_argument('--minutes', type=float, default=60, help='no try begins after these')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--keep', help='folder of all files; default: a temporary one')
    args = parser.parse_args()
    import lt_det.report.page.write  # noqa: F401

    import_everything()
    log_iterations()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        straight = all_targets(folder)
        seconds = {target.name: run_straight(target, out) for out, target in straight.items()}
        by_name = {target.name: (target, out) for out, target in straight.items()}
        start = time.perf_counter()
        draw, rows, lost, died = random.Random(args.seed), Counter(), [], 0
        for number in range(args.tries):
            if time.perf_counter() - start > args.minutes * 60:
                break
            name = ORDER[number % len(ORDER)]
            target, finished = by_name[name]
            moment = draw.uniform(0, seconds[name])
            wrong, killed = try_once(target, folder / f'try_{number}', finished, moment)
            rows[name] += 1
            died += killed
            if wrong:
                lost.append(f'{name}, killed after {moment:.2f} s: {"; ".join(wrong)}')
            print(number, name, f'{moment:.1f} s', 'killed' if killed else 'ended', wrong)
            sys.stdout.flush()
    more = dict(killed_before_the_end=died, tries_by_task=dict(rows))
    path = write_outcome(args.out, 'kill', rows.total(), lost, FOUND, **more)
    print(path, rows.total() - len(lost), 'of', rows.total())


if __name__ == '__main__':
    main()
