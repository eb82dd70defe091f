"""A process in which MMDetection and MMPretrain are alone: what do folded checkpoints predict?

``python stock_process.py CASES.json IMAGE OUT.pth``. Where mmcv has no compiled ops, the stand-ins
of ``lt_det.compat.ops`` take their place, without ``lt_det`` itself, whose import would register
its components.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch

PACKAGE = Path(__file__).resolve().parents[2] / 'lt_det'
OWN = ('LongTail', 'LongTailBBoxHead', 'LongTailClsHead', 'CosineLinear', 'FederatedLoss')


def provide_ops() -> None:
    if importlib.util.find_spec('mmcv._ext') is None:
        bare = types.ModuleType('lt_det')
        bare.__path__ = [str(PACKAGE)]
        sys.modules['lt_det'] = bare
        from lt_det.compat.import_hooks import stand_in
        from lt_det.compat.ops import Ops

        stand_in('mmcv._ext', Ops)
        del sys.modules['lt_det']


def detections(config: str, checkpoint: str, image: str) -> dict:
    from mmdet.apis import inference_detector, init_detector

    model = init_detector(config, checkpoint, device='cpu')
    instances = inference_detector(model, image).pred_instances
    return {
        'classes': list(model.dataset_meta['classes']),
        **{key: instances[key] for key in ('scores', 'labels', 'bboxes')},
    }


def classified(config: str, checkpoint: str, image: str) -> dict:
    from mmpretrain.apis import ImageClassificationInferencer

    inferencer = ImageClassificationInferencer(config, checkpoint, device='cpu')
    result = inferencer(image)[0]
    return dict(classes=list(inferencer.classes), scores=torch.tensor(result['pred_scores']))


def data(config: str) -> dict:
    """Number of test images and labels of the first; the metric can be built."""
    from mmengine.config import Config
    from mmengine.registry import DATASETS, METRICS, init_default_scope

    config = Config.fromfile(config)
    init_default_scope(config.default_scope)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    METRICS.build(config.test_evaluator)
    sample = dataset[0]['data_samples']
    labels = sample.gt_label if 'gt_label' in sample else sample.gt_instances.labels
    return dict(images=len(dataset), labels=labels)


def tested(config: str, checkpoint: str, folder: Path) -> dict:
    """Metrics of what ``tools/test.py`` of MMDetection runs."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    config = Config.fromfile(config)
    config.update(load_from=checkpoint, work_dir=str(folder / 'work'), log_level='ERROR')
    return Runner.from_cfg(config).test()


def main(cases: str, image: str, out: str) -> None:
    warnings.simplefilter('ignore')
    np.float = float  # lvis 0.5.3 needs numpy < 1.24
    torch.set_num_threads(1)
    provide_ops()
    import mmdet.models  # noqa: F401
    import mmpretrain.models  # noqa: F401
    from mmdet.registry import MODELS
    from mmpretrain.registry import MODELS as CLASSIFIERS

    found = {}
    for case in json.loads(Path(cases).read_text()):
        files = case['config'], case['checkpoint']
        run = classified if case['kind'] == 'classifier' else detections
        torch.manual_seed(0)
        found[case['name']] = run(*files, image)
        found[case['name']]['data'] = data(case['config'])
        if case.get('test'):
            found[case['name']]['metrics'] = tested(*files, Path(out).parent)
    assert not any(name in registry for registry in (MODELS, CLASSIFIERS) for name in OWN)
    own = {name for name in sys.modules if name.partition('.')[0] == 'lt_det'}
    assert all(name.startswith('lt_det.compat') for name in own), own
    torch.save(found, out)


if __name__ == '__main__':
    main(*sys.argv[1:])
