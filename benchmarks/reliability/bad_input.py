"""Files of every kind broken in one place: read as documented, or refused in one line.

The generator and the documented readings are those of ``tests/breakage``. Each process tries some
hundreds of cases with 2 GB of memory more than it has after its imports, and 10 seconds of the
processor a case. A case is lost where anything comes out but an equal reading or one line of
``UserError``.

    python benchmarks/reliability/bad_input.py --tries 10000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common')]

MEMORY, SECONDS = 2 * 2**30, 10
PER_PROCESS = 500

# What the first campaigns found, mended as kinds; tests: tests/breakage.
FIXED = [
    'names of images that are false, [] or {} were taken for missing ones in plain records',
    'half a character in the name of a class, and a model that is None: tracebacks',
    'bytes that no json has were passed over in sections of annotation files that nobody reads',
    'an image of more than 2^31 pixels a side was read, and ended evaluation with a traceback',
    'scores in predictions by image that are no numbers; hooks and evaluators that are no dicts',
    'values that are not finite in the note of a checkpoint ended a report with a traceback',
    'a last_checkpoint that is no text, or too long for a name, ended --resume with a traceback',
    'half a character of a json ended the page of a calibration; so could names a table of classes',
    'bins of a reliability diagram by the billion; a changed bit in cached features was read',
    'a result file cut off behind a record was scored as if it were whole',
    'a checkpoint of which a bit had changed was read with another weight: checksums are compared',
    'true was taken for the id or score 1 in a file without other faults, and refused in others',
    'rows of a sweep that were cut off were filled up with zeros when it went on',
    'NaN in a word vector made the word one without a vector',
    'an imaginary part of boxes in a pickle was dropped',
    'kept predictions, columns and features: arrays of other kinds and shapes, bytes that are none',
    'notes of a run, logs, states of a sweep, choices and rules with values of other types',
    'pickled results with values of other kinds; class names of a checkpoint that are none',
    'configs that are no Python, or whose parts are no dict or list',
    'labels of more than 64 bits; json nested beyond the depth of Python',
    'messages of more than a line, or of a hundred thousand characters',
    'CLIP archives and proposal files could run code (tests/breakage/test_attacks.py)',
]


class TooLongError(Exception):
    pass


def worker(seed: int, tries: int, only: str | None) -> None:
    """Try cases; a line of json before and after each."""
    import hypothesis
    from hypothesis import strategies as st

    import lt_det.datasets
    import lt_det.evaluation  # noqa: F401
    from tests.breakage import subjects

    def late(*_: object) -> None:
        raise TooLongError(f'more than {SECONDS} s')

    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, late)
    with tempfile.TemporaryDirectory() as folder:  # what is imported late, before limits
        for name in [only] if only else subjects.SUBJECTS:
            with contextlib.suppress(Exception):
                subjects.check(name, Path(folder), b'')
        subjects.check('choice', Path(folder), subjects.calibration.calibration_texts()[0].encode())
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    cases = subjects.cases()
    if only is not None:
        cases = st.tuples(st.just(only), subjects.SUBJECTS[only].broken)
    with tempfile.TemporaryDirectory() as folder:

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=tries,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(cases)
        def attempt(case: tuple) -> None:
            name, (way, how, data) = case
            print(json.dumps({'begin': [name, way, how]}), flush=True)
            start, problem = time.process_time(), None
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(6 * SECONDS)  # that of a machine which others use
            try:
                subjects.check(name, Path(folder), data)
            except (Exception, MemoryError) as error:
                problem = described(error)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.alarm(0)
            seconds = round(time.process_time() - start, 2)
            print(json.dumps({'problem': problem, 'seconds': seconds}), flush=True)

        attempt()


def described(error: BaseException) -> str:
    """Type, message, and the innermost line of this project that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if '/lt_det/' in f.filename] or frames
    last = own[-1]
    text = ' '.join(str(error).split())[:300]
    return f'{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {text}'


def run(tries: int, seed: int, only: str | None, limit: float, workers: int) -> dict:
    """All cases, in processes of ``PER_PROCESS`` cases each."""
    starts = range(0, tries, PER_PROCESS)
    stop = time.monotonic() + limit

    def part(start: int) -> list[tuple]:
        if time.monotonic() > stop:
            return []
        return process(seed + start, min(PER_PROCESS, tries - start), only, stop)

    with ThreadPoolExecutor(workers) as pool:
        cases = [case for cases in pool.map(part, starts) for case in cases]
    lost: dict[tuple[str, str], list[str]] = {}
    kinds: dict[str, Counter] = {}
    for name, way, how, problem, _ in cases:
        kinds.setdefault(name, Counter())[way] += 1
        if problem:
            lost.setdefault((name, problem), []).append(how)
    number = sum(map(len, lost.values()))
    tried = sum(map(len, kinds.values()))
    return {
        'tries': len(cases),
        'survived': len(cases) - number,
        'lost': number,
        'longest_s': max((seconds for *_, seconds in cases), default=0),
        'note': f'{tried:,} kinds were tried: a kind is one of {len(kinds)} types of file, and a '
        'way of breaking it.',
        'kinds': {name: dict(sorted(ways.items())) for name, ways in sorted(kinds.items())},
        'found': [
            f'{name}: {how[0]}: {problem} ({len(how)})'
            for (name, problem), how in sorted(lost.items())
        ],
    }


def process(seed: int, tries: int, only: str | None, stop: float) -> list[tuple]:
    """File, way, what was done, problem or None, and seconds of each case of a process."""
    command = [sys.executable, __file__, '--worker', str(seed), str(tries)]
    command += [only] if only else []
    environment = {**os.environ, 'RAYON_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1'}
    environment['PYTHONHASHSEED'] = '0'
    cases, begun = [], None
    with (
        tempfile.TemporaryFile('w+') as said,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment
        ) as child,
    ):
        for line in child.stdout:
            if line.startswith('{"begin"'):
                begun = json.loads(line)['begin']
            elif line.startswith('{"problem"') and begun:
                record = json.loads(line)
                cases.append((*begun, record['problem'], record['seconds']))
                if record['problem']:
                    print(*cases[-1][:4], sep=': ', file=sys.stderr, flush=True)
                begun = None
                if time.monotonic() > stop:
                    child.kill()
                    return cases
        child.wait()
        if child.returncode and begun is None:
            said.seek(0)
            raise RuntimeError(said.read())
    if begun:  # the case has ended the process
        cases.append((*begun, f'the process ended with {child.returncode}', 0.0))
    return cases


def main() -> None:
    if sys.argv[1:2] == ['--worker']:
        seed, tries, *only = sys.argv[2:]
        worker(int(seed), int(tries), only[0] if only else None)
        return
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--tries', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', help='a kind of file of tests/breakage/subjects')
    parser.add_argument('--workers', type=int, default=2, help='processes at a time')
    parser.add_argument('--limit', type=float, default=3600, help='seconds after which to end')
    parser.add_argument('--out', help='a json; default: benchmarks/results/reliability')
    args = parser.parse_args()
    from origin import RESULTS, origin

    facts = origin()
    result = run(args.tries, args.seed, args.only, args.limit, args.workers)
    content = {'campaign': 'bad input', **result, 'fixed': FIXED, 'command': facts['command']}
    content['origin'] = facts
    path = Path(args.out or RESULTS / 'reliability' / 'bad_input.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    print(f'{result["tries"]} tries, {result["survived"]} survived, {result["lost"]} lost: {path}')


if __name__ == '__main__':
    main()
