"""Trainings that go on from a checkpoint, inside an epoch and at its end, against whole ones.

A tiny detector on glyphs is trained for two epochs with a checkpoint per iteration; then again from
some of these. Both must end with the same bits: weights, buffers of losses and layers, and their
averages (EMAHook).

    python benchmarks/reliability/resume.py
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common'), str(Path(__file__).parent)]

from child import command, run_child
from origin import option_parser, origin
from tiny_detector import config_text, make_data, state

SETTINGS = {
    'IIF, EMA': '',
    'repeat factor sampling': "train_dataloader['dataset'] = dict(_delete_=True, "
    "type='RepeatFactorDataset', oversample_thr=0.5, "
    "dataset={**_base_.train_dataloader.dataset, **train_dataloader['dataset']})",
    'Seesaw': "model['roi_head']['bbox_head'].update(loss_cls=dict(_delete_=True, "
    "type='LongTailSeesawLoss', num_classes=8), adjustment=None)",
    'EQLv2': "model['roi_head']['bbox_head'].update(loss_cls=dict(_delete_=True, "
    "type='LongTailEQLV2Loss', num_classes=8), adjustment=None)",
    'FASA': "model['roi_head']['bbox_head'].update(type='FASABBoxHead', fasa=dict())",
    'CAM calibration': "model['roi_head']['type'] = 'CAMCalibratedRoIHead'",
    'persistent workers': "train_dataloader['persistent_workers'] = True",
}
CHECKPOINTS = 'by_epoch=False, interval=1, max_keep_ckpts=-1'
# By hand: found by reading and tests, before the tries that results/reliability tells of.
FOUND = [
    'persistent workers drew other augmentations after a resume',
    'without a seed in the config, the order of the data was another after a resume',
    'an epoch that was interrupted began anew: images shown twice, iterations counted on',
    'FASA adapted its probabilities again where a run was resumed inside an epoch',
    'deferred re-weighting and FASA never began, without a word, where the list of hooks had been '
    'replaced',
]


def write_config(folder: Path, data: Path, name: str, more: str) -> Path:
    """A config of two epochs without validation."""
    hooks = "custom_hooks.insert(0, dict(type='ModuleEpochHook'))"
    path = folder / f'{"".join(c for c in name if c.isalnum())}.py'
    text = config_text(data, CHECKPOINTS)
    path.write_text(f"{text}\ntrain_cfg['val_interval'] = 9\n{hooks}\n{more}\n")
    return path


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--only', nargs='+', choices=list(SETTINGS), default=list(SETTINGS))
    args = parser.parse_args()
    import mmdet.utils
    import torch

    import lt_det.components  # noqa: F401

    mmdet.utils.register_all_modules(init_default_scope=False)
    torch.set_num_threads(1)
    tries, lost, rows = 0, [], {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_data(folder)
        for name in args.only:
            config = write_config(folder, data, name, SETTINGS[name])
            straight, log = folder / f'{config.stem}_straight', folder / f'{config.stem}.log'
            status = run_child(command('train', config, '--work-dir', straight), log)
            if status:
                raise SystemExit(f'{name}: {log.read_text()[-2000:]}')
            end, theirs = state(straight)
            rows[name] = {}
            for start in (2, end // 2):
                out = folder / f'{config.stem}_{start}'
                checkpoint = straight / f'iter_{start}.pth'
                resume = command('train', config, '--work-dir', out, '--resume', checkpoint)
                status = run_child(resume, log)
                at, ours = state(out)
                shared = ours.keys() & theirs.keys()
                differing = sorted(k for k in shared if not torch.equal(ours[k], theirs[k]))
                good = status == 0 and at == end and shared == theirs.keys() and not differing
                tries += 1
                rows[name][start] = 'equal' if good else f'status {status}, {differing[:3]}'
                if not good:
                    lost.append(f'{name} from iteration {start}: {rows[name][start]}')
                print(name, start, rows[name][start], flush=True)
    content = dict(
        campaign='resume',
        tries=tries,
        survived=tries - len(lost),
        lost=len(lost),
        found=[*FOUND, *lost],
        fixed=FOUND,
        rows=rows,
        **origin(f'torch {torch.__version__}'),
    )
    path = Path(args.out, 'reliability', 'resume.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
