"""A setting of a sweep against a test of its own, and folded weights in MMDetection alone.

Used by ``calibration.py``. As a script it is the process without ``lt_det``::

    python calibration_equal.py CONFIG CHECKPOINT DATA_ROOT OUT.npz
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmengine.config import Config

# of which the strongest setting is tested
FAMILIES = ('NorCal', 'IIF(link=smooth)', 'TauNorm', 'FRACAL', 'TauNorm + NorCal')
TESTS = Path(__file__).resolve().parents[2] / 'tests' / 'test_calibration'


def tests_of_settings(cfg: Config, checkpoint: Path, folder: Path) -> list[dict]:
    """Metrics in ``folder/choice.json`` against those of a test with the setting in the config."""
    from mmengine.runner import Runner

    from lt_det.calibration.choice import read_choice
    from lt_det.calibration.settings import default_settings

    selection = read_choice(folder / 'choice.json').selection
    settings = {setting.name: setting for setting in default_settings('softmax', True)}
    strongest = {settings[name].family: name for name in selection['settings']}
    found = []
    for name in [strongest[family] for family in FAMILIES]:
        test = cfg.copy()
        test.model.roi_head.bbox_head.adjustment = [dict(rule) for rule in settings[name].rules]
        test.load_from, test.work_dir = str(checkpoint), str(folder / 'test')
        test.test_evaluator.metric = ['bbox']
        metrics = Runner.from_cfg(test).test()
        swept = selection['metrics'][selection['settings'].index(name)]
        tested = {key: float(metrics[f'lvis/bbox_{key}']) for key in swept}
        difference = max(abs(swept[key] - tested[key]) for key in swept)
        found.append(dict(setting=name, sweep=swept, test=tested, difference=difference))
    return found


def fold_and_test(cfg: Config, checkpoint: Path, choice: Path, folder: Path) -> dict:
    """AP and scores of our run with the rule, and of the folded weights in stock MMDetection."""
    from lt_det.calibration.choice import read_choice
    from lt_det.calibration.fold import fold

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    out, found = folder / 'stock.pth', folder / 'stock.npz'
    fold(checkpoint, choice, out)
    setting = read_choice(choice).setting
    test = cfg.copy()
    test.model.roi_head.bbox_head.adjustment = setting['rules']
    ours = detections(test, checkpoint, folder / 'test')
    # the stock config is that of the config file, which has other data
    data = cfg.test_dataloader.dataset.data_root
    command = [sys.executable, __file__, str(out.with_suffix('.py')), str(out), data, str(found)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'the test in stock MMDetection failed:\n{done.stderr}')
    with np.load(found) as loaded:
        theirs = {name: loaded[name] for name in loaded.files}
    first, second = ours['score'], theirs['score']
    same = len(first) == len(second)
    return dict(
        setting=setting['name'],
        detections=[len(first), len(second)],
        score_difference=float(np.abs(first - second).max()) if same else None,
        ours=average_precision(cfg.test_evaluator.ann_file, ours),
        stock=average_precision(cfg.test_evaluator.ann_file, theirs),
    )


def detections(cfg: Config, checkpoint: str | Path, work_dir: Path) -> dict[str, np.ndarray]:
    """All detections of a test as columns, by image, then from the highest score down.

    Boxes are x, y, width, height; labels are 0, 1, 2 ...
    """
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    parts: dict[str, list] = dict(image_id=[], label=[], score=[], bbox=[])

    class Collect(Hook):
        def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
            for sample in outputs:
                instances = sample.pred_instances
                parts['image_id'].append(np.full(len(instances), sample.img_id))
                for name, key in (('label', 'labels'), ('score', 'scores'), ('bbox', 'bboxes')):
                    parts[name].append(instances[key].numpy())

    cfg = cfg.copy()
    cfg.load_from, cfg.work_dir = str(checkpoint), str(work_dir)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Collect())
    runner.test()
    columns = {name: np.concatenate(part) for name, part in parts.items()}
    order = np.lexsort((-columns['score'], columns['image_id']))
    columns = {name: column[order] for name, column in columns.items()}
    columns['bbox'] = columns['bbox'].astype(np.float64)
    columns['bbox'][:, 2:] -= columns['bbox'][:, :2]
    return columns


def average_precision(annotations: str, columns: dict[str, np.ndarray]) -> dict[str, float]:
    """AP by the protocol of LVIS; the classes are the categories of the file, in their order."""
    from lt_det.evaluation import LVISEvaluator

    ids = sorted(c['id'] for c in json.loads(Path(annotations).read_text())['categories'])
    given = {name: columns[name] for name in ('image_id', 'score', 'bbox')}
    given['category_id'] = np.array(ids)[columns['label']]
    metrics = LVISEvaluator(annotations, 'bbox').evaluate(given)
    return {name: float(metrics[name]) for name in ('AP', 'APr', 'APc', 'APf')}


def stock(config: str, checkpoint: str, data: str, out: str) -> None:
    """Test the folded weights where there is no ``lt_det``."""
    sys.path.insert(0, str(TESTS))
    import torch
    from stock_process import provide_ops

    torch.set_num_threads(1)
    np.float = float  # lvis 0.5.3, MMDetection's metric, needs numpy < 1.24
    provide_ops()
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(config)
    dataset = cfg.test_dataloader.dataset
    dataset.data_root = data
    cfg.test_evaluator.ann_file = str(Path(data, dataset.ann_file))
    columns = detections(cfg, checkpoint, Path(out).parent / 'stock')
    own = {name for name in sys.modules if name.partition('.')[0] == 'lt_det'}
    if 'LongTailBBoxHead' in MODELS or not all(n.startswith('lt_det.compat') for n in own):
        raise RuntimeError('lt_det is in a process that should do without')
    np.savez(out, **columns)


if __name__ == '__main__':
    stock(*sys.argv[1:])
