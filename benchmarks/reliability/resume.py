"""Trainings that go on from a checkpoint, inside an epoch and at its end, against whole ones.

A tiny detector on glyphs is trained for two epochs with a checkpoint per iteration, by one process
or two; then again from some of these. Both must end with the same bits: weights, buffers of losses
and layers, their averages (EMAHook), and the scaler of mixed precision. That begins at a value at
which gradients are infinite, and grows each iteration: which steps it leaves out depends on it.

    python benchmarks/reliability/resume.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common'), str(Path(__file__).parent)]

from child import import_everything
from group import Group
from origin import option_parser
from outcome import write_outcome
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
    'AMP scaler': "optim_wrapper = dict(type='CpuAmpOptimWrapper')",
    'persistent workers': "train_dataloader['persistent_workers'] = True",
}
ON_TWO = ('IIF, EMA', 'repeat factor sampling', 'Seesaw', 'EQLv2', 'FASA', 'AMP scaler')
# AmpOptimWrapper of MMEngine, which asks for a GPU, with the scaler that torch has for the CPU.
CPU_AMP = """
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(AmpOptimWrapper):
    def __init__(self, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = None
        self.cast_dtype = torch.bfloat16
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=2.0**126, growth_interval=1)
"""
CHECKPOINTS = 'by_epoch=False, interval=1, max_keep_ckpts=-1'
IMPORTS = "custom_imports = dict(imports=['lt_det', 'cpu_amp'], allow_failed_imports=False)"
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
    path.write_text(f"{text}\n{IMPORTS}\ntrain_cfg['val_interval'] = 9\n{hooks}\n{more}\n")
    return path


def train(processes: int, out: Path, config: Path, *options: object) -> str:
    """Train; what is wrong where it does not end well."""
    arguments = ('train', config, '--work-dir', out, *options)
    return ', '.join(Group(processes, out, *arguments).failures())


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--only', nargs='+', choices=list(SETTINGS), default=list(SETTINGS))
    args = parser.parse_args()
    import torch

    import_everything()
    tries, lost, rows = 0, [], {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_data(folder)
        (folder / 'cpu_amp.py').write_text(CPU_AMP)
        sys.path.insert(0, str(folder))
        for name, processes in [(name, 1) for name in args.only] + [
            (name, 2) for name in args.only if name in ON_TWO
        ]:
            title = name if processes == 1 else f'{name}, two processes'
            config = write_config(folder, data, title, SETTINGS[name])
            straight = folder / f'{config.stem}_straight'
            problems = train(processes, straight, config)
            if problems:
                raise SystemExit(f'{title}: {problems}')
            end, theirs = state(straight)
            rows[title] = {}
            for start in (end // 2 - 1, end // 2):  # inside an epoch, and at its end
                out = folder / f'{config.stem}_{start}'
                options = ('--resume', straight / f'iter_{start}.pth')
                problems = train(processes, out, config, *options)
                at, ours = state(out)
                shared = ours.keys() & theirs.keys()
                differing = sorted(k for k in shared if not torch.equal(ours[k], theirs[k]))
                good = not problems and at == end and ours.keys() == theirs.keys()
                good = good and not differing
                tries += 1
                rows[title][start] = 'equal' if good else f'{problems}, {differing[:3]}'
                if not good:
                    lost.append(f'{title} from iteration {start}: {rows[title][start]}')
                print(title, start, rows[title][start], flush=True)
    write_outcome(args.out, 'resume', tries, lost, FOUND, rows=rows)


if __name__ == '__main__':
    main()
