"""Commands of lt_det where a disk is full, a folder cannot be written to, a home is missing ...

Each row is a shell in namespaces of its own, in which small file systems are mounted, limits are
set, and a command is run. A row survives if the command works, or ends with status 2 and one line
of error, and what lay there before is as it was. Needs Linux and ``unshare`` with mounts.

    python benchmarks/reliability/environment.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common')]

# Mended since the first campaign; tests are in tests/breakage/test_found_in_*.py.
FIXED = [
    'in another locale last_checkpoint was not written, and lines of the log had tracebacks',
    'evaluate and inspect wrote their files in place: on a full disk a traceback and half a file',
    'training on a full disk ended with a traceback, and another for each line of the log',
    'with 64 kB in /dev/shm a training with data workers waited forever',
    'a folder that is a file, or a part that is a folder, hid why a file could not be written',
]

COLUMNS = (
    'from lt_det.formats import annotation_cache as c; c.SMALLEST = 0; '
    "a = c.load_columns('data/val.json').arrays; print(len(a['annotation_id']))"
)
WITHOUT_LOCKS = (
    'import fcntl\ndef flock(*a): raise OSError(37, "No locks available")\nfcntl.flock = flock\n'
)
FULL = (
    'mkdir -p out && mount -t tmpfs -o size=64k none out && (head -c 1M /dev/zero > out/f || true)'
)


def rows(python: str) -> dict[str, tuple[str, str]]:
    """For each name: what is done before, and the command."""
    lt_det = f'{python} -m lt_det'
    evaluate = f'{lt_det} evaluate data/results.json --ann data/val.json'
    inspect = f'{lt_det} inspect data/val.json'
    train = f'{lt_det} train data/mine.py --work-dir out'
    columns = f'{python} -c {shlex.quote(COLUMNS)}'
    unlocked = f'{python} -c {shlex.quote(WITHOUT_LOCKS + COLUMNS)}'
    read_only = 'mount --bind data data && mount -o remount,ro,bind data'
    dark = 'export LC_ALL=POSIX PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING='
    both = '{0} & a=$!; {0} & b=$!; {0} && wait $a && wait $b'
    return {
        'full disk, metrics': (FULL, f'{evaluate} --out out/m.json'),
        'full disk, classes': (FULL, f'{evaluate} --per-class out/c.csv'),
        'full disk, diagnosis': (FULL, f'{evaluate} --diagnose out/d.json'),
        'full disk, inspection': (FULL, f'{inspect} --json out/i.json'),
        'full disk, work dir': (FULL, train),
        'full disk, column cache': (
            'mount -t tmpfs -o size=200k none data && cp ../good/val.json data '
            '&& (head -c 1M /dev/zero > data/f || true)',
            columns,
        ),
        'read-only data, evaluation': (read_only, evaluate),
        'read-only data, column cache': (read_only, columns),
        'read-only data, training': (read_only, train),
        '64 kB in /dev/shm': ('mount -t tmpfs -o size=64k none /dev/shm', train),
        '256 file handles, training': ('ulimit -n 256', train),
        '256 file handles, evaluation': ('ulimit -n 256', evaluate),
        'no home': (
            'unset HOME; export XDG_CACHE_HOME=/nonexistent',
            f'{evaluate} --diagnose d.json',
        ),
        'a home that is not there': ('export HOME=/nonexistent', train),
        'another locale, names': (
            dark,
            # 1 where there is something to mend in the data
            f'{inspect} > i; [ $? -le 1 ] && {evaluate} --per-class c.csv',
        ),
        'another locale, training': (dark, train),
        'umask 077': ('umask 077', f'{train} && {evaluate} --out m.json'),
        'clock set back': (
            f'{columns} && touch -d 2001-01-01 data/val.json',
            f'{columns} && sed -i s/,/,\\ / data/val.json && touch -d 2001-01-01 data/val.json '
            f'&& {columns}',
        ),
        'three processes that share a new cache': ('true', both.format(columns)),
        'three processes, no locks': ('true', both.format(unlocked)),
    }


def make_data(folder: Path) -> None:
    """Annotations, detections and a config in ``good``."""
    from tiny_detector import config_text

    from lt_det.datasets.glyphs import make_glyphs
    from tests.breakage import files

    good = folder / 'good'
    make_glyphs(good / 'glyphs', size='tiny', progress=False)
    content = files.annotations()
    content['categories'][0]['name'] = 'Käse 奶酪'
    (good / 'val.json').write_text(json.dumps(content))
    (good / 'results.json').write_text(json.dumps(files.results()))
    for part in ('train', 'val'):
        source = good / f'glyphs/annotations/glyphs_{part}.json'
        (good / f'glyphs/annotations/{part}.json').write_bytes(source.read_bytes())
    text = config_text('data/glyphs', 'interval=1').replace('max_epochs=2', 'max_epochs=1')
    text += '\ntrain_dataloader.update(num_workers=2)\n'
    (good / 'mine.py').write_text(text)


def attempt(folder: Path, name: str, before: str, command: str) -> dict:
    """Run a row in a folder with an unusual name that holds a copy of the data."""
    home = folder / f'it\'s "{len(list(folder.iterdir()))}" – Käse 奶酪'
    home.mkdir()
    subprocess.run(['cp', '-r', str(folder / 'good'), str(home / 'data')], check=True)
    digests = contents(home / 'data')
    script = f'{before}\n{command}'
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    run = ['unshare', '-m', 'bash', '-c', script]
    try:
        done = subprocess.run(
            run, cwd=home, env=environment, capture_output=True, timeout=900, errors='replace'
        )
        status, said = done.returncode, done.stderr
        out = done.stdout
    except subprocess.TimeoutExpired:
        status, said, out = 'hangs', '', ''
    lines = [line for line in said.splitlines() if line.startswith('error: ')]
    changed = [] if 'sed -i' in command else lost(digests, contents(home / 'data'))
    good = not changed and 'Traceback' not in said + out
    good &= status == 0 or (status == 2 and len(lines) == 1)
    if 'columns' in command or 'load_columns' in command:
        good &= status != 0 or set(''.join(out.split())) == {'7'}
    answer = lines[0] if lines else 'works' if status == 0 else said.strip()[-300:]
    answer = answer.replace(str(home), '.').replace(str(ROOT), '')
    print(f'{"ok  " if good else "LOST"} {name}: {status}: {answer}', flush=True)
    return {'row': name, 'good': bool(good), 'status': status, 'answer': answer, 'damaged': changed}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def lost(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name, digest in before.items() if after.get(name) != digest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', help='rows whose name has this text')
    parser.add_argument('--out', help='a json; default: benchmarks/results/reliability')
    args = parser.parse_args()
    from origin import RESULTS, origin

    facts = origin()
    path = Path(args.out or RESULTS / 'reliability' / 'environment.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = rows(shlex.quote(sys.executable))
    # what takes a second first: what there is of a campaign that was ended is in the file
    order = sorted(chosen, key=lambda name: 'mine.py' in chosen[name][1])
    found = []
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder))
        for name in order:
            if not args.only or args.only in name:
                found.append(attempt(Path(folder), name, *chosen[name]))
                path.write_text(as_json(found, len(chosen), facts), encoding='utf-8')


def as_json(found: list[dict], planned: int, facts: dict) -> str:
    bad = [row for row in found if not row['good']]
    content = {
        'campaign': 'environment',
        'planned': planned,
        'tries': len(found),
        'survived': len(found) - len(bad),
        'lost': len(bad),
        'found': bad,
        'fixed': FIXED,
        'rows': found,
        'command': facts['command'],
        'origin': facts,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + '\n'


if __name__ == '__main__':
    main()
