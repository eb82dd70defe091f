"""The same training twice, with one seed: the same bits come out.

Each setting is trained and evaluated by two processes one after the other, in folders of their own,
with other hashes of text (PYTHONHASHSEED), one by two data workers and one by three. A try is lost
where a weight, a buffer, an average, a state of the optimizer or a metric differs in one bit.

    python benchmarks/reliability/determinism.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common'), str(Path(__file__).parent)]

from child import command, import_everything, run_child
from group import Group
from origin import option_parser
from outcome import write_outcome
from resume import CPU_AMP, IMPORTS, SETTINGS
from tiny_detector import config_text, make_data

DATA_WORKERS = os.environ.get('DATA_WORKERS', '2')
SEED = 'randomness = dict(seed=3)'
CHECKPOINTS = 'interval=1, max_keep_ckpts=1'
HEAD = "model['roi_head']['bbox_head'].update({})"
RULES = {
    rule: HEAD.format(f"adjustment=dict(type='{rule}')")
    for rule in ('FRACAL', 'PriorShift', 'TauNorm')
}
RULES['NorCal'] = HEAD.format("adjustment=dict(type='NorCal', gamma=1.0)")
RULES['Temperature'] = HEAD.format("adjustment=dict(type='Temperature', temperature=2.0)")
LOSSES = {
    'cosine classifier': HEAD.format("cls_predictor_cfg=dict(type='CosineLinear', scale=20.0)"),
    'federated loss': HEAD.format(
        "loss_cls=dict(_delete_=True, type='FederatedLoss', num_classes=8, num_sampled=3), "
        'adjustment=None'
    ),
}
# Of configs/glyphs, as they are but for fewer images and epochs.
DETECTORS = (
    *('atss_r18_prior_shift_demo', 'retinanet_r18_prior_shift_demo'),
    *('rtmdet_ins_r18_prior_shift_demo', 'sparse_rcnn_r18_prior_shift_demo'),
    *('dino_r18_prior_shift_demo', 'deformable_detr_r18_prior_shift_demo'),
    *('mask2former_r18_prior_shift_demo', 'cascade_rcnn_r18_norcal_demo'),
)
CLASSIFIERS = (
    *('crops_softmax', 'crops_iif', 'crops_cosine', 'crops_camc', 'crops_ldam_drw'),
    *('crops_class_balanced', 'crops_smcl', 'crops_smcl_cam'),
    # second stages, on the first
    *('crops_crt', 'crops_lws', 'crops_iif_decoupled'),
)
READY = 'ready'
# By hand: what these runs found before those that results/reliability tells of.
FOUND: list[str] = []


class Setting:
    """A training.

    Args:
        name: Name in the results.
        config: Text of its config.
        processes: How many.
        threads: Of torch.
    """

    def __init__(self, name: str, config: str, processes: int = 1, threads: int = 1) -> None:
        self.name = name
        self.config = f'{config}\n{SEED}\n'
        self.processes = processes
        self.threads = threads
        self.stem = ''.join(c for c in name if c.isalnum())


def settings(folder: Path) -> Iterator[Setting]:
    """All of them; ``folder`` gets the data, and has it where it is there."""
    tiny = f'{config_text(make_data(folder / "tiny"), CHECKPOINTS)}\n{IMPORTS}\n'
    tiny += "custom_hooks.insert(0, dict(type='ModuleEpochHook'))\n"
    tiny += f"train_dataloader['num_workers'] = {DATA_WORKERS}\n"
    for name, more in {**SETTINGS, **RULES, **LOSSES}.items():
        yield Setting(name, f'{tiny}{more}')
    yield Setting('IIF, EMA, two threads', tiny, threads=2)
    for name in ('IIF, EMA', 'repeat factor sampling', 'Seesaw', 'EQLv2', 'FASA'):
        yield Setting(f'{name}, two processes', f'{tiny}{SETTINGS[name]}', processes=2)
    data = demo_data(folder / 'demo')
    for name in DETECTORS:
        yield Setting(name, detector(name, data))
    crops = crop_data(folder / 'crops')
    for name in CLASSIFIERS:
        yield Setting(name, classifier(name, crops, folder))
    yield Setting('crops_iif, two processes', classifier('crops_iif', crops, folder), processes=2)
    yield Setting('words_cmltnet', words(folder / 'words'))


def demo_data(data: Path) -> Path:
    """Twelve training images and six others, with the classes of the demo."""
    from lt_det.datasets.glyphs import make_glyphs

    if not data.exists():
        make_glyphs(data, size='demo', progress=False)
        for part, number in (('train', 12), ('val', 6)):
            path = data / f'annotations/glyphs_{part}.json'
            content = json.loads(path.read_text())
            content['images'] = content['images'][:number]
            shown = {image['id'] for image in content['images']}
            content['annotations'] = [a for a in content['annotations'] if a['image_id'] in shown]
            path.write_text(json.dumps(content))
    return data


def detector(name: str, data: Path) -> str:
    return f"""
_base_ = ['{ROOT}/configs/glyphs/{name}.py']
train_dataloader = dict(
    batch_size=4, num_workers={DATA_WORKERS}, dataset=dict(data_root='{data}/')
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root='{data}/'))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/annotations/glyphs_val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1, val_interval=1)
custom_hooks = [
    dict(hook, empty_classes='warn') if hook['type'] == 'ClassFrequencyHook' else hook
    for hook in _base_.custom_hooks
]
"""


def crop_data(data: Path) -> Path:
    from lt_det.datasets.glyphs import make_crops

    return data if data.exists() else make_crops(data, 'crops_tiny', progress=False)


def classifier(name: str, data: Path, folder: Path) -> str:
    lines = [
        f"_base_ = ['{ROOT}/configs/glyphs/{name}.py']",
        'model = dict(head=dict(num_classes=8))',
        'data_preprocessor = dict(num_classes=8)',
        f"data = dict(data_root='{data}/', classes='{data}/classes.txt')",
        f'train_dataloader = dict(num_workers={DATA_WORKERS}, dataset=data)',
        'val_dataloader = dict(num_workers=1, dataset=data)',
        'test_dataloader = val_dataloader',
        'train_cfg = dict(max_epochs=2, val_interval=2)',
        'custom_hooks = [',
        "    dict(hook, work_dir='cropssoftmax', config='cropssoftmax.py')",
        "    if hook['type'] == 'FirstStageHook' else hook for hook in _base_.custom_hooks",
        ']',
    ]
    return '\n'.join(lines)


def words(data: Path) -> str:
    from lt_det.datasets.glyphs import make_crops

    if not data.exists():
        make_crops(data, 'crops_words_tiny', progress=False)
    number = len((data / 'words.txt').read_text().splitlines())
    files = f"data_root='{data}/', classes='{data}/classes.txt', vocabulary='{data}/words.txt'"
    return f"""
_base_ = ['{ROOT}/configs/glyphs/words_cmltnet.py']
model = dict(head=dict(num_classes=9, num_words={number}))
data_preprocessor = dict(num_classes=9)
train_dataloader = dict(num_workers={DATA_WORKERS}, dataset=dict({files}))
val_dataloader = dict(num_workers=1, dataset=dict({files}))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=2)
"""


def train(setting: Setting) -> None:
    """Train a setting in the working folder; its state and metrics go into STEM.pth."""
    import torch

    config, out = Path(f'{setting.stem}.py'), Path(setting.stem)
    config.write_text(setting.config)
    arguments = ('train', config, '--work-dir', out)
    if setting.processes > 1:
        group = Group(setting.processes, out.resolve(), *arguments)
        failure = ', '.join(group.failures())
    else:
        torch.set_num_threads(setting.threads)
        log = Path(f'{setting.stem}.log').resolve()
        failure = log.read_text()[-500:] if run_child(command(*arguments), log) else ''
        torch.set_num_threads(1)
    torch.save(dict(failure=failure) if failure else outcome(out), f'{setting.stem}.pth')


def outcome(out: Path) -> dict:
    """Weights, averages, and momentum of the last checkpoint, and all metrics."""
    import torch

    from lt_det.engine.checkpoint_hook import latest_checkpoint

    checkpoint = torch.load(latest_checkpoint(out), weights_only=False)
    state = {**checkpoint['state_dict']}
    for key, value in checkpoint.get('ema_state_dict', {}).items():
        state[f'ema.{key}'] = value
    for number, values in checkpoint['optimizer']['state'].items():
        state.update({f'optimizer.{number}.{key}': value for key, value in values.items()})
    metrics = [json.loads(path.read_text()) for path in sorted(out.rglob('metrics.json'))]
    return dict(state=state, metrics=metrics)


def difference(one: dict, other: dict) -> str:
    """What differs between two outcomes; nothing where they are the same bits."""
    import torch

    failure = one.get('failure') or other.get('failure')
    if failure:
        return failure
    (ours, theirs), keys = (one['state'], other['state']), one['state'].keys()
    if keys != theirs.keys():
        return 'other keys'
    differing = [
        key
        for key in keys
        if not (
            torch.equal(ours[key], theirs[key])
            if isinstance(ours[key], torch.Tensor)
            else ours[key] == theirs[key]
        )
    ]
    if differing:
        return f'{len(differing)} of {len(keys)} differ: {", ".join(differing[:3])}'
    # as text: what is not a number equals itself
    metrics = [json.dumps(part['metrics']) for part in (one, other)]
    if metrics[0] != metrics[1] or not one['metrics']:
        return f'metrics: {metrics[0][:200]} and {metrics[1][:200]}'
    return ''


def worker(folder: Path) -> None:
    """Train in the working folder the settings whose names come in, a line each."""
    import_everything()
    known = {setting.name: setting for setting in settings(folder)}
    for line in sys.stdin:
        train(known[line.strip()])
        print(READY, flush=True)


class Worker:
    """A process that trains settings in a folder of its own.

    Args:
        folder: Has the data.
        name: Of the folder in it.
        seed: Of the hashes of text; it has a data worker more.
    """

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), '--worker', str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={
                **os.environ,
                'PYTHONHASHSEED': str(seed),
                'PYTHONPATH': f'{ROOT}:{folder}',
                'DATA_WORKERS': str(1 + seed),
            },
        )

    def train(self, setting: Setting) -> dict:
        """The outcome of a setting.

        Raises:
            RuntimeError: The process has ended.
        """
        import torch

        print(setting.name, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.strip() == READY:
                return torch.load(self.folder / f'{setting.stem}.pth', weights_only=False)
        raise RuntimeError(f'{setting.name} has ended its process')


def main() -> None:
    if sys.argv[1:2] == ['--worker']:
        worker(Path(sys.argv[2]))
        return
    parser = option_parser(__doc__)
    parser.add_argument('--only', default='', help='a pattern of names of settings')
    parser.add_argument('--minutes', type=float, default=600, help='after which no other begins')
    args = parser.parse_args()

    lost, rows, stop = [], {}, time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'cpu_amp.py').write_text(CPU_AMP)
        chosen = [setting for setting in settings(folder) if re.search(args.only, setting.name)]
        pair = [Worker(folder, name, seed) for seed, name in enumerate(('one', 'other'), 1)]
        for setting in chosen:
            if time.monotonic() > stop:
                break
            problem = difference(*(each.train(setting) for each in pair))
            rows[setting.name] = problem or 'the same bits'
            lost += [f'{setting.name}: {problem}'] if problem else []
            print(setting.name, rows[setting.name], sep=': ', flush=True)
        for each in pair:
            each.process.stdin.close()
            each.process.wait()
    write_outcome(args.out, 'determinism', len(rows), lost, FOUND, rows=rows)


if __name__ == '__main__':
    main()
