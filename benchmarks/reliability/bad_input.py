"""Files of every kind broken in one place: read as documented, or refused in one line.

The generator and the documented readings are those of ``tests/breakage``. Each process tries some
hundreds of cases with 2 GB of memory more than it has after its imports, and 10 seconds a case. A
case is lost where anything comes out but an equal reading or one line of ``UserError``.

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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common')]

MEMORY, SECONDS = 2 * 2**30, 10
PER_PROCESS = 500

# Mended since the first campaign; each is a test of tests/breakage, most in test_found.py.
FIXED: list[str] = []


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

    signal.signal(signal.SIGALRM, late)
    with tempfile.TemporaryDirectory() as folder:  # what is imported late, before limits
        for name in [only] if only else subjects.SUBJECTS:
            with contextlib.suppress(Exception):
                subjects.check(name, Path(folder), b'')
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
            name, (how, data) = case
            print(json.dumps({'begin': [name, how]}), flush=True)
            start, problem = time.monotonic(), None
            signal.alarm(SECONDS)
            try:
                subjects.check(name, Path(folder), data)
            except (Exception, MemoryError) as error:
                problem = described(error)
            finally:
                signal.alarm(0)
            seconds = round(time.monotonic() - start, 2)
            print(json.dumps({'problem': problem, 'seconds': seconds}), flush=True)

        attempt()


def described(error: BaseException) -> str:
    """Type, message, and the innermost line of this project that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if '/lt_det/' in f.filename] or frames
    last = own[-1]
    text = ' '.join(str(error).split())[:300]
    return f'{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {text}'


def run(tries: int, seed: int, only: str | None, limit: float) -> dict:
    """All processes, one after the other."""
    results, begun, longest, stop = Counter(), 0, 0.0, time.monotonic() + limit
    lost: dict[tuple[str, str], list] = {}
    while begun < tries and time.monotonic() < stop:
        number = min(PER_PROCESS, tries - begun)
        command = [sys.executable, __file__, '--worker', str(seed + begun), str(number)]
        command += [only] if only else []
        environment = {**os.environ, 'RAYON_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1'}
        environment['PYTHONHASHSEED'] = '0'
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            case = None
            for line in process.stdout:
                if not line.startswith(('{"begin"', '{"problem"')):
                    continue
                record = json.loads(line)
                if 'begin' in record:
                    case, begun = record['begin'], begun + 1
                    continue
                longest = max(longest, record['seconds'])
                results['lost' if record['problem'] else 'survived'] += 1
                if record['problem']:
                    note(lost, case, record['problem'])
                case = None
            said = process.stderr.read()
        if process.returncode:
            if case is None:
                raise RuntimeError(said)
            results['lost'] += 1
            note(lost, case, f'the process ended with {process.returncode}')
    found = [
        {'kind': key[0], 'problem': key[1], 'cases': len(how), 'first': how[0]}
        for key, how in sorted(lost.items())
    ]
    return {
        'tries': begun,
        'survived': results['survived'],
        'lost': results['lost'],
        'longest_s': longest,
        'found': found,
    }


def note(lost: dict, case: list, problem: str) -> None:
    print(f'{case[0]}: {case[1]}: {problem}', file=sys.stderr, flush=True)
    lost.setdefault((case[0], problem), []).append(case[1])


def main() -> None:
    if sys.argv[1:2] == ['--worker']:
        seed, tries, *only = sys.argv[2:]
        worker(int(seed), int(tries), only[0] if only else None)
        return
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--tries', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', help='a kind of file of tests/breakage/subjects.py')
    parser.add_argument('--limit', type=float, default=3600, help='seconds after which to end')
    parser.add_argument('--out', help='a json; default: benchmarks/results/reliability')
    args = parser.parse_args()
    from origin import RESULTS, origin

    facts = origin()
    result = run(args.tries, args.seed, args.only, args.limit)
    content = {'campaign': 'bad input', **result, 'fixed': FIXED, 'command': facts['command']}
    content['origin'] = facts
    path = Path(args.out or RESULTS / 'reliability' / 'bad_input.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    print(f'{result["tries"]} tries, {result["survived"]} survived, {result["lost"]} lost: {path}')


if __name__ == '__main__':
    main()
