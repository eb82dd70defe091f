"""Versions of what is installed, and the glyphs that a later step trains on."""

from __future__ import annotations

import importlib.metadata as metadata
import platform
from importlib import import_module

import torch

from lt_det.compat.ops import Ops
from lt_det.datasets.glyphs import make_glyphs

from .context import Context

PACKAGES = (
    *('torch', 'torchvision', 'numpy', 'scipy', 'onedl-mmengine', 'onedl-mmcv'),
    *('onedl-mmdetection', 'onedl-mmpretrain', 'open_clip_torch', 'hotcoco', 'pycocotools'),
)


def run(context: Context) -> None:
    versions = {'Python': platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = 'missing'
    context.note('versions', **versions)
    # lt_det's stand for those that are not: with them stock has other times, and needs more memory
    compiled = not isinstance(import_module('mmcv._ext'), Ops)
    context.note('operations of MMCV', compiled=compiled)
    if context.on_gpu:
        properties = torch.cuda.get_device_properties(context.device)
        context.note(
            'device',
            name=properties.name,
            gib=properties.total_memory / 2**30,
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
        )
    a = torch.randn(512, 512, device=context.device)
    error = (a @ a.T - (a.cpu() @ a.cpu().T).to(a)).abs().max().item() / 512
    context.check('a matrix product', error < 1e-4, 'error < 1e-4, no TF32', error=error)
    folder = make_glyphs(context.folder / 'glyphs', 'tiny', progress=False)
    number = len(list(folder.glob('train/*.png')))
    context.check('tiny glyphs rendered', number == 120, '120 training images', images=number)
