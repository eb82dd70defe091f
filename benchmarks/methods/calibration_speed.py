"""One sweep of all settings against one test, for ``calibration.py``.

Mask R-CNN R50-FPN of the LVIS config, 1203 classes, boxes of each class. Weights are random; those
of the classifier are drawn so that its logits are independent of one another, and that of the
background so high that the others share less than a tenth of a proposal's score: of the 1.2 million
scores of an image about 60,000 are above the threshold.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from common.lvis_data import HEIGHT, NUM_CATEGORIES, WIDTH, make_data, write_annotations
from common.origin import ROOT
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner, save_checkpoint
from torch import Tensor, nn

from lt_det.calibration.detect import Options, calibrate_detector
from lt_det.calibration.detector_data import DetectorData

SPREAD = 2.5  # standard deviation of the class logits
BACKGROUND = 14.5  # what the logit of the background is higher
TRAINING_IMAGES = 5000
OPTIONS = Options(check_masks=False)


@HOOKS.register_module()
class ClockHook(Hook):
    """Wall and processor time of the loop over the images, the evaluation included."""

    found: list[dict] = []

    def before_test_epoch(self, runner: Runner) -> None:
        self.began = time.perf_counter(), time.process_time()

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        wall, cpu = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        self.found.append(dict(s=wall, cpu_s=cpu))


def write_data(folder: Path, number: int) -> None:
    """Annotations of ``number`` images and of training images, and the former, half noise."""
    rng = np.random.default_rng(0)
    truth, _ = make_data(TRAINING_IMAGES)
    for image in truth['images']:
        image['file_name'] = f'train_{image["id"]}.jpg'
    write_annotations(folder / 'train.json', truth, TRAINING_IMAGES)
    truth, _ = make_data(number, seed=1)
    for image in truth['images']:
        image['file_name'] = f'{image["id"]}.jpg'
        smooth = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (WIDTH, HEIGHT))
        noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(folder / image['file_name']), smooth // 2 + noise // 2)
    write_annotations(folder / 'val.json', truth, number, masks=True)


def config_of(folder: Path) -> Config:
    cfg = Config.fromfile(ROOT / 'configs' / 'lvis' / 'mask_rcnn_r50_softmax.py')
    cfg.model.backbone.init_cfg = None
    for split, name in (('train', 'train'), ('test', 'val')):
        loader = cfg[f'{split}_dataloader']
        loader.num_workers = 0
        loader.dataset.update(data_root=f'{folder}/', ann_file=f'{name}.json')
    cfg.test_evaluator.ann_file = str(folder / 'val.json')
    cfg.load_from, cfg.work_dir = str(folder / 'weights.pth'), str(folder / 'test')
    cfg.custom_hooks = [dict(type='ClockHook', priority='LOWEST')]
    return cfg


def write_weights(cfg: Config) -> dict[str, float]:
    """Random weights with a classifier whose logits are spread; says how much they are."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.eval()
    head = model.roi_head.bbox_head
    loader = Runner.build_dataloader(cfg.test_dataloader)
    inputs = []
    handle = head.fc_cls.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.no_grad():
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            features = model.extract_feat(data['inputs'])
            proposals = model.rpn_head.predict(features, data['data_samples'], rescale=False)
            model.roi_head.predict_bbox(
                features,
                [sample.metainfo for sample in data['data_samples']],
                proposals,
                model.test_cfg.rcnn,
            )
        handle.remove()
        x = torch.cat(inputs)
        _spread_logits(head.fc_cls, x)
        scores = head.fc_cls(x).softmax(1)
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), cfg.load_from)
    return dict(
        proposals=len(x) / len(inputs),
        candidates=(scores[:, :-1] > model.test_cfg.rcnn.score_thr).sum().item() / len(inputs),
        background=scores[:, -1].mean().item(),
    )


def _spread_logits(layer: nn.Linear, x: Tensor) -> None:
    """Make the logits of inputs (N, D) independent, with deviation ``SPREAD``."""
    mean = x.double().mean(0)
    values, vectors = torch.linalg.eigh((x.double() - mean).T.cov())
    kept = values > 1e-3 * values.max()
    whiten = vectors[:, kept] * values[kept].rsqrt()
    weight = torch.randn(len(layer.weight), int(kept.sum()), dtype=torch.float64)
    weight = weight / weight.norm(dim=1, keepdim=True) * SPREAD @ whiten.T
    layer.weight.copy_(weight)
    layer.bias.copy_(-weight @ mean)
    layer.bias[-1] += BACKGROUND


def measure(number: int, repeats: int) -> dict:
    """Times of the loop of a test (boxes and masks) and of a sweep (boxes), which take turns."""
    warnings.filterwarnings('ignore')
    torch.set_num_threads(1)
    register_all_modules(init_default_scope=True)
    found: dict[str, list[dict]] = {'test': [], 'sweep': []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, number)
        cfg = config_of(folder)
        content = write_weights(cfg)
        for turn in range(repeats):
            ClockHook.found.clear()
            Runner.from_cfg(cfg.copy()).test()
            out = folder / f'sweep{turn}'
            data = DetectorData(cfg, folder / 'val.json')
            selection = calibrate_detector(cfg, cfg.load_from, data, out, OPTIONS, progress=False)
            for kind, times in zip(found, ClockHook.found, strict=True):
                found[kind].append(times)
    settings = len(selection.settings)
    return dict(images=number, classes=NUM_CATEGORIES, settings=settings, **content, **found)
