"""Cost of the report page of 1203 classes: seconds and memory to make it, its size, how it feels.

Data in the shape of LVIS v1 val (``common/lvis_data.py``), 5,000 images with 300 detections each,
boxes alone and boxes with masks, and two runs of them, of which the second is the baseline of the
first in a third case. A process evaluates a run and keeps its detections, another one makes the
page as ``lt_det report`` does, a third one opens it in a headless Chromium.

    python benchmarks/speed/report_page.py

Writes benchmarks/results/report_page.json and .md. Without playwright or a browser the page is made
but not opened.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
import numpy as np
from common.browser import browser_path
from common.lvis_data import HEIGHT, NUM_CATEGORIES, PER_IMAGE, WIDTH
from common.lvis_runs import make_runs
from common.origin import option_parser, origin, publish
from common.process import FamilyMemory, cpu_seconds, measure, median

# name: run, baseline
CASES = {
    'boxes': ('boxes', None),
    'boxes and masks': ('masks', None),
    'boxes and masks, with a baseline': ('masks', 'baseline'),
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--images', type=int, default=5000)
    parser.add_argument('--repeats', type=int, default=3, help='of the page')
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--worker', nargs='+', help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------ steps, each in a process


def evaluate(folder: str, run: str) -> dict:
    """Evaluate a run, keep its detections; seconds of both."""
    from lt_det.evaluation import LVISEvaluator
    from lt_det.evaluation.detections import Detections
    from lt_det.evaluation.ground_truth import GroundTruth
    from lt_det.evaluation.kept_detections import write_kept
    from lt_det.report.page.run_note import NAME, PREDICTIONS

    out = Path(folder, run)
    out.mkdir()
    with np.load(Path(folder, 'detections.npz')) as file:
        columns = dict(file.items())
    score = columns['score']
    if run == 'baseline':  # another model: its scores are others
        score = score * np.random.default_rng(3).uniform(0.5, 1, len(score))
    start = now()
    truth = GroundTruth(str(Path(folder, 'truth.json')))
    detections = Detections(
        truth.find_images(columns['image_id']),
        truth.find_categories(columns['category_id']),
        score,
        columns['bbox'],
    )
    found = {'bbox': detections.take(columns['masked'])}
    if run != 'boxes':
        ends = np.cumsum(columns['lengths'])
        codes = columns['codes'].tobytes()
        masks = [
            {'size': [HEIGHT, WIDTH], 'counts': codes[end - length : end]}
            for end, length in zip(ends.tolist(), columns['lengths'].tolist())
        ]
        chosen = found['bbox']
        found['segm'] = Detections(chosen.image, chosen.category, chosen.score, segmentations=masks)
    metrics = {}
    for iou_type in found:
        values = LVISEvaluator(truth, iou_type).evaluate(found[iou_type])
        metrics |= {f'{iou_type}_{key}': value for key, value in values.items()}
    (out / 'metrics.json').write_text(json.dumps(metrics))
    evaluated = now()
    everything = np.ones(truth.num_images, bool), np.ones(truth.num_categories, bool)
    write_kept(out / PREDICTIONS, truth, *everything, found)
    note = {
        'kind': 'detector',
        'ann_file': str(Path(folder, 'truth.json')),
        'images': str(Path(folder, 'pictures')),
        'train_ann_file': None,
        'protocol': 'lvis',
        'config': f'{run}.py',
    }
    (out / NAME).write_text(json.dumps(note))
    return {'evaluation': since(start, evaluated), 'keeping': since(evaluated)}


def make_page(folder: str, run: str, against: str, out: str) -> dict:
    """What ``lt_det report`` does, its imports included."""
    start = now()
    from lt_det.report.page.write import write_report

    against = None if against == '-' else Path(folder, against)
    with FamilyMemory() as memory:
        path, notes = write_report(Path(folder, run), against, out)
    if notes:
        raise RuntimeError(f'the page lacks something: {notes}')
    return {
        'page': since(start),
        'peak_mb': memory.peak,
        'file_mb': path.stat().st_size / 1e6,
    }


def open_page(path: str) -> dict:
    """Open a page in a browser that has started; then sort and filter the table of all classes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=['--no-sandbox'])
        page = browser.new_context(viewport={'width': 1440, 'height': 900}).new_page()
        page.goto('about:blank')
        start = time.perf_counter()
        page.goto(Path(path).as_uri())
        page.locator('html[data-ready=yes]').wait_for(state='attached')
        page.locator('.chart:not(:has(svg))').first.wait_for(state='detached')
        seconds = time.perf_counter() - start
        measured = {'interactive_s': seconds}
        for rows, name in ((25, 'page of 25'), (100000, 'all rows')):
            page.locator('#classes select').last.select_option(str(rows))
            measured[f'sort_ms, {name}'] = page.evaluate(SORT)
            measured[f'filter_ms, {name}'] = page.evaluate(FILTER)
        browser.close()
    return measured


# the table is laid out at the end of each; the slowest of all columns, of 10 texts
SORT = """Math.max(...[...document.querySelectorAll('.classes button.sort')].map((button) => {
  const start = performance.now();
  button.click();
  document.querySelector('.classes').getBoundingClientRect();
  return performance.now() - start;
}))"""
FILTER = """Math.max(...[...'1234567890'].map((text) => {
  const input = document.querySelector('#classes input[type=search]');
  const start = performance.now();
  input.value = text === '0' ? '' : text;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  document.querySelector('.classes').getBoundingClientRect();
  return performance.now() - start;
}))"""


def now() -> tuple[float, float]:
    return time.perf_counter(), cpu_seconds()


def since(start: tuple[float, float], end: tuple[float, float] | None = None) -> dict[str, float]:
    end = end or now()
    return {'s': end[0] - start[0], 'cpu_s': end[1] - start[1]}


# ------------------------------------------------------------------------------------ the whole run


def run(args: argparse.Namespace, folder: Path) -> list[dict]:
    make_runs(folder, args.images)
    names = dict.fromkeys(name for case in args.cases for name in CASES[case] if name)
    evaluated = {}
    for name in names:
        say(f'evaluation of {name}')
        evaluated[name] = measure(__file__, 'evaluate', str(folder), name)
    rows = []
    for case in args.cases:
        name, against = CASES[case]
        made, opened = [], []
        path = str(folder / 'report.html')
        for turn in range(args.repeats):
            say(f'{case}, {turn + 1}')
            made.append(measure(__file__, 'page', str(folder), name, against or '-', path))
            if browser_path():
                opened.append(measure(__file__, 'open', path))
        row = {'case': case, 'repeats': args.repeats}
        for part in ('evaluation', 'keeping'):
            row |= {f'{part}_{unit}': evaluated[name][part][unit] for unit in ('s', 'cpu_s')}
        for unit in ('s', 'cpu_s'):
            row[f'page_{unit}'] = statistics.median(result['page'][unit] for result in made)
        row |= {key: median(made, key) for key in ('peak_mb', 'file_mb')}
        row |= {key: median(opened, key) for key in (opened[0] if opened else ())}
        rows.append({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()})
    return rows


def say(what: str) -> None:
    print(time.strftime('%H:%M:%S'), what, flush=True)


def report(content: dict) -> str:
    rows = content['rows']
    lines = [
        '# The report page',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}; '
        f'`{content["command"]}`',
        '',
        f'{content["classes"]:,} classes, {content["images"]:,} images, {PER_IMAGE} detections per '
        'image; medians. The evaluation starts with detections in memory, the page with the files '
        'of a run. Keeping the detections and making the page is what the page costs beyond the '
        'evaluation; the goals are 20 s, a peak of 1,024 MB, 8 MB, and 2 s until all charts are '
        'drawn. Seconds of the processor do not depend as much on what else the machine does.',
        '',
        '| | ' + ' | '.join(row['case'] for row in rows) + ' |',
        '|---|' + '---|' * len(rows),
    ]
    for title, key, digits in LINES:
        cells = [f'{row[key]:.{digits}f}' if key in row else '-' for row in rows]
        lines.append(f'| {title} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


LINES = (
    ('evaluation, s', 'evaluation_s', 1),
    ('evaluation, CPU s', 'evaluation_cpu_s', 1),
    ('keeping the detections, s', 'keeping_s', 1),
    ('keeping the detections, CPU s', 'keeping_cpu_s', 1),
    ('making the page, s', 'page_s', 1),
    ('making the page, CPU s', 'page_cpu_s', 1),
    ('peak memory of that and its forks, MB', 'peak_mb', 0),
    ('file, MB', 'file_mb', 2),
    ('browser: all charts drawn, s', 'interactive_s', 2),
    ('sorting the table, 25 rows shown, ms', 'sort_ms, page of 25', 1),
    ('filtering it, ms', 'filter_ms, page of 25', 1),
    ('sorting it, all rows shown, ms', 'sort_ms, all rows', 1),
    ('filtering it, ms', 'filter_ms, all rows', 1),
)
WORKERS = {'evaluate': evaluate, 'page': make_page, 'open': open_page}


def main() -> None:
    args = parse_args()
    if args.worker:
        print(json.dumps(WORKERS[args.worker[0]](*args.worker[1:])))
        return
    where = origin()
    with tempfile.TemporaryDirectory() as folder:
        rows = run(args, Path(folder))
    content = where | {'classes': NUM_CATEGORIES, 'images': args.images, 'rows': rows}
    publish(args.out, 'report_page', content, report(content))


if __name__ == '__main__':
    main()
