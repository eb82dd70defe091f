"""2,000 iterations and 30 validations: memory, open files and speed at the end are as before.

A tiny detector on glyphs is trained with a data worker that persists, averaged weights, checkpoints
and the files of the report. At the end of each iteration the main process and each of its children
are looked at; medians of the second fifth and of the last fifth of the training are compared. A try
is one such measure of one run; it is lost where it has grown by more than 2% (open files: at all;
time of an iteration: 10%, for other processes share the machine).

    python benchmarks/reliability/long_run.py
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common'), str(Path(__file__).parent)]

from child import command, import_everything, run_child
from origin import option_parser
from outcome import write_outcome
from tiny_detector import config_text, make_data

EPOCHS, IMAGES = 31, 66  # 2,046 iterations of an image each, 31 validations
CHECKPOINTS = "interval=1, max_keep_ckpts=1, save_best='lvis/bbox_AP', rule='greater'"
LIMITS = {'main_mb': 0.02, 'workers_mb': 0.02, 'files': 0.0, 'worker_files': 0.0, 'cpu_s': 0.1}
RUNS = {
    'IIF, EMA': '',
    'Seesaw, CAM calibration': "model['roi_head']['bbox_head'].update(loss_cls=dict(_delete_=True, "
    "type='LongTailSeesawLoss', num_classes=8), adjustment=None)\n"
    "model['roi_head']['type'] = 'CAMCalibratedRoIHead'",
    'FASA, workers of an epoch': "model['roi_head']['bbox_head'].update(type='FASABBoxHead', "
    "fasa=dict())\ntrain_dataloader['persistent_workers'] = False",
}
# Memory that a forked process has written to; it grows while pages are copied from its parent.
SHOWN = ('main_private_mb', 'workers_private_mb')
# By hand: what these runs found before those that results/reliability tells of.
FOUND: list[str] = []

WATCH = """
import json, os, time
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


def memory_mb(process, kind='Rss'):
    lines = Path(f'/proc/{process}/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def open_files(process):
    return len(os.listdir(f'/proc/{process}/fd'))


@HOOKS.register_module()
class Watch(Hook):
    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.validations = 0
        self.file = open(Path(runner.work_dir, 'watch.jsonl'), 'a')

    def after_val(self, runner):
        self.validations += 1

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.start = time.process_time()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        cpu_s = time.process_time() - self.start
        if batch_idx % 3:
            return
        main = os.getpid()
        workers = Path(f'/proc/{main}/task/{main}/children').read_text().split()
        row = dict(
            iteration=runner.iter + 1,
            cpu_s=cpu_s,
            validations=self.validations,
            main_mb=memory_mb(main),
            main_private_mb=memory_mb(main, 'Private_'),
            files=open_files(main),
            workers=len(workers),
            workers_mb=sum(map(memory_mb, workers)),
            workers_private_mb=sum(memory_mb(worker, 'Private_') for worker in workers),
            worker_files=sum(map(open_files, workers)),
        )
        print(json.dumps(row), file=self.file, flush=True)
"""


def write_data(folder: Path) -> Path:
    """The tiny detector's data, its images again and again."""
    data = make_data(folder)
    path = data / 'annotations/train.json'
    content = json.loads(path.read_text())
    images, annotations = content['images'], content['annotations']
    copies = range(IMAGES // len(images))
    content['images'] = [
        {**image, 'id': 1000 * copy + image['id']} for copy in copies for image in images
    ]
    content['annotations'] = [
        {**a, 'id': 10_000 * copy + a['id'], 'image_id': 1000 * copy + a['image_id']}
        for copy in copies
        for a in annotations
    ]
    path.write_text(json.dumps(content))
    return data


def write_config(folder: Path, data: Path, name: str, more: str) -> Path:
    path = folder / f'{"".join(c for c in name if c.isalnum())}.py'
    path.write_text(
        f"{config_text(data, CHECKPOINTS)}\ntrain_cfg['max_epochs'] = {EPOCHS}\n"
        "custom_imports = dict(imports=['lt_det', 'watch'], allow_failed_imports=False)\n"
        "custom_hooks += [dict(type='ModuleEpochHook'), dict(type='Watch')]\n"
        f'train_dataloader.update(batch_size=1, persistent_workers=True)\n{more}\n'
    )
    return path


def compare(rows: list[dict]) -> dict[str, dict[str, float]]:
    """For each measure, medians of the second and the last fifth, and the growth between them."""
    fifth = len(rows) // 5
    compared = {}
    for key in (*LIMITS, *SHOWN):
        early, late = (
            statistics.median(row[key] for row in part)
            for part in (rows[fifth : 2 * fifth], rows[-fifth:])
        )
        growth = late / early - 1 if early else 0.0
        compared[key] = dict(early=round(early, 4), late=round(late, 4), growth=round(growth, 4))
    return compared


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--only', nargs='+', choices=list(RUNS), default=list(RUNS))
    args = parser.parse_args()
    import_everything()
    tries, lost, runs = 0, [], {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'watch.py').write_text(WATCH)
        sys.path.insert(0, str(folder))
        data = write_data(folder)
        for name in args.only:
            config = write_config(folder, data, name, RUNS[name])
            out, log = folder / config.stem, folder / f'{config.stem}.log'
            if run_child(command('train', config, '--work-dir', out), log):
                raise SystemExit(f'{name}: {log.read_text()[-2000:]}')
            lines = (out / 'watch.jsonl').read_text().splitlines()
            rows = [json.loads(line) for line in lines]
            compared = compare(rows)
            runs[name] = {key: rows[-1][key] for key in ('iteration', 'validations')}
            runs[name].update(compared)
            for key, limit in LIMITS.items():
                tries += 1
                if compared[key]['growth'] > limit:
                    lost.append(f'{name}: {key} {compared[key]}')
            print(name, json.dumps(compared), flush=True)
    write_outcome(args.out, 'long run', tries, lost, FOUND, rows=runs)


if __name__ == '__main__':
    main()
