"""What only a GPU can show of lt_det, in ten minutes on one.

Ten steps, each for itself: an error or its time limit ends a step, and the next one goes on. After
every measurement the results are written, so that an interruption loses no more than what was at
work. A step held where all its checks did.

0. versions; tiny glyphs are rendered
1. losses, heads, statistics and a detector: CPU and GPU agree in float32
2. where the host waits for the device
3. training from scratch in float32, float16 and bfloat16
4. time and memory of a training step, MMDetection and lt_det
5. inference and its evaluation, MMDetection and lt_det
6. BALLAD with ViT-B/16
7. training by torchrun; statistics summed over processes
8. switches of the backbone: compiled, norms folded into weights
9. the same seed twice, deterministic mode

    python benchmarks/speed/gpu.py
    python benchmarks/speed/gpu.py --cpu-dry-run --out /tmp/dry

Images are noise with ellipses, weights are random: nothing is downloaded. Writes
benchmarks/results/gpu.json and gpu.md.
"""

from __future__ import annotations

import time

STARTED = time.time()  # before torch is imported, which takes long on a cold machine

import argparse
import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]  # benchmarks/, project

# isort: split
from common.origin import machine, option_parser, origin
from speed.gpu_steps import STEPS


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--device', default='cuda:0', help="of torch, e.g. 'cuda:1'")
    parser.add_argument('--budget', type=float, default=480.0, help='seconds for all steps')
    parser.add_argument(
        '--steps',
        type=lambda text: [int(part) for part in text.split(',')],
        default=list(STEPS),
        metavar='N,N',
        help='those to take; they run in the order 0, 1, 3, 4, 5, 8, 7, 2, 9, 6',
    )
    parser.add_argument(
        '--cpu-dry-run', action='store_true', help='every step on a CPU at toy size'
    )
    parser.add_argument('--commit', help='name of the commit, for a copy without git')
    parser.add_argument('--resumed', type=float, help=argparse.SUPPRESS)
    parser.add_argument('--worker', nargs='+', help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.steps) - set(STEPS)
    if unknown:
        parser.error(f'--steps: there is no {sorted(unknown)}, expected some of {sorted(STEPS)}')
    return args


class Results:
    """What is known so far, on disk after every change."""

    def __init__(self, folder: str, content: dict) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.content = content
        self.write()

    def step(self, number: int) -> dict:
        return next(step for step in self.content['steps'] if step['step'] == number)

    def add_row(self, number: int, row: dict) -> None:
        self.content['rows'].append({'step': number, **row})
        self.write()
        sign = {True: 'held  ', False: 'FAILED', None: '      '}[row.get('held')]
        print(f'  {sign} {row["stage"]}: {details(row)}', flush=True)

    def write(self) -> None:
        for name, text in (
            ('gpu.json', json.dumps(self.content, indent=1) + '\n'),
            ('gpu.md', report(self.content)),
        ):
            part = self.folder / f'{name}.part'
            part.write_text(text)
            part.replace(self.folder / name)


def details(row: dict) -> str:
    shown = {k: v for k, v in row.items() if k not in ('step', 'stage', 'held', 'expected')}
    return ', '.join(f'{key} {value}' for key, value in shown.items() if value is not None)


def report(content: dict) -> str:
    lines = [
        '# On a GPU',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        'What the steps do: the head of benchmarks/speed/gpu.py.',
        '',
        '| step | | status | s | |',
        '|---|---|---|---|---|',
    ]
    for step in content['steps']:
        reason = ' '.join(step.get('reason', '').replace('|', '/').split())[:200]
        lines.append(
            f'| {step["step"]} | {step["title"]} | {step["status"]} | {step.get("s", "")} '
            f'| {reason} |'
        )
    lines += ['', '| step | stage | | found | expected |', '|---|---|---|---|---|']
    for row in content['rows']:
        held = {True: 'held', False: '**failed**', None: ''}[row.get('held')]
        found = ' '.join(details(row).replace('|', '/').split())
        lines.append(
            f'| {row["step"]} | {row["stage"]} | {held} | {found} | {row.get("expected", "")} |'
        )
    return '\n'.join(lines) + '\n'


# ------------------------------------------------------------------------------------------- steps


def take_step(number: int, context, results: Results) -> None:
    """Run a step with its time limit; what happened is in the results."""
    import torch

    entry = results.step(number)
    limit = STEPS[number].limit * context.pick(1, 3)
    seconds = max(min(limit, results.content['budget_s'] - elapsed(results)), 1)
    print(f'{number} {STEPS[number].title}, at {elapsed(results):.0f} s', flush=True)
    context.deadline = time.monotonic() + seconds
    context.add_row = lambda row: results.add_row(number, row)
    begin = time.monotonic()
    entry['status'] = 'failed'  # which stands if the process ends in it
    entry['reason'] = 'the process ended in this step'
    results.write()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        module = importlib.import_module(f'speed.gpu_steps.{STEPS[number].module}')
        module.run(context)
        checks = [row for row in results.content['rows'] if row['step'] == number]
        failed = [row['stage'] for row in checks if row.get('held') is False]
        entry['status'] = 'failed' if failed else 'held'
        entry['reason'] = ', '.join(failed)[:500]
    except Exception as error:
        text = traceback.format_exc()
        print(text, flush=True)
        entry['reason'] = f'{error!r:.200} {text[-300:]}'
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    entry['s'] = round(time.monotonic() - begin, 1)
    results.write()
    torch.set_grad_enabled(True)


def elapsed(results: Results) -> float:
    return time.time() - results.content['started']


def out_of_time(*_) -> None:
    raise TimeoutError('the time limit of the step')


def start_again(args: argparse.Namespace, steps: list[int], results: Results) -> None:
    """The remaining steps in a new process: after some errors nothing runs on the device."""
    print('the device is lost; the other steps run in a new process', flush=True)
    options = ['--steps', ','.join(map(str, steps)), '--out', args.out, '--device', args.device]
    options += ['--resumed', str(results.content['started'])]
    os.execv(sys.executable, [sys.executable, str(Path(__file__).resolve()), *options])


def make_results(args: argparse.Namespace) -> Results:
    if args.resumed:
        content = json.loads(Path(args.out, 'gpu.json').read_text())
        return Results(args.out, content)
    import torch

    on_gpu = not args.cpu_dry_run
    details = [f'torch {torch.__version__}']
    if on_gpu:
        details.append(torch.cuda.get_device_name(args.device))
    try:
        content = origin(*details)
    except OSError:  # no git
        content = dict(date=time.strftime('%Y-%m-%d'), command=' '.join(sys.argv))
        content |= dict(machine=', '.join([machine(), *details]), commit='')
    content['commit'] = args.commit or content['commit']
    steps = [
        dict(step=number, title=step.title, status='not run')
        for number, step in STEPS.items()
        if number in args.steps
    ]
    return Results(
        args.out,
        content
        | dict(device=args.device, toy=args.cpu_dry_run, budget_s=args.budget)
        | dict(started=STARTED, steps=steps, rows=[]),
    )


def run(args: argparse.Namespace) -> int:
    import torch
    from common.mock_gpu import MockGpu
    from mmengine.logging import MMLogger
    from speed.gpu_steps.context import Context

    import lt_det  # noqa: F401  (its components, and what stands in for compiled mmcv ops)

    if args.cpu_dry_run:
        args.device = 'cpu'
        MockGpu()  # which torch has to know before the first backward pass
    elif not torch.cuda.is_available():
        print('no GPU here; --cpu-dry-run takes the steps on a CPU', file=sys.stderr)
        return 2
    else:
        torch.cuda.set_device(args.device)  # that whose memory is looked at
    results = make_results(args)
    MMLogger.get_instance('mmengine', log_level='WARNING').setLevel('WARNING')
    signal.signal(signal.SIGALRM, out_of_time)
    # where even the alarm is not heard, as in a call that never returns
    rest = results.content['budget_s'] - elapsed(results)
    watch = threading.Timer(max(rest, 1) + 10, os._exit, [1])
    watch.daemon = True
    watch.start()
    with tempfile.TemporaryDirectory() as folder:
        context = Context(torch.device(args.device), args.cpu_dry_run, Path(folder))
        order = [number for number in STEPS if number in args.steps]
        for position, number in enumerate(order):
            if results.content['budget_s'] - elapsed(results) < 5:
                break
            take_step(number, context, results)
            try:
                context.synchronize()
                context.free()
            except RuntimeError:
                if not order[position + 1 :]:
                    break
                start_again(args, order[position + 1 :], results)
    watch.cancel()
    print((results.folder / 'gpu.md').read_text())
    return int(any(step['status'] == 'failed' for step in results.content['steps']))


def main() -> int:
    args = parse_args()
    if args.worker:
        importlib.import_module('speed.gpu_steps.distributed').work(*args.worker)
        return 0
    return run(args)


if __name__ == '__main__':
    sys.exit(main())
