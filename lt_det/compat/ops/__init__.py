"""Ops of torch and torchvision under mmcv's names, for an mmcv installed without compiled ops.

A plain ``pip install onedl-mmcv`` has no ``mmcv._ext``, and ``import mmdet.models`` fails.
``import lt_det`` arranges that :class:`Ops` is ``mmcv._ext`` where there is none. It has what
MMDetection's detectors call, on CPU and CUDA, in half precision too, one file per family. Each op
has the arguments that mmcv gives it, and writes into the buffers that mmcv has made, as the
compiled ops do. What is narrower than float32 is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

FAMILIES = (
    'boxes',
    'carafe',
    'deform_attention',
    'deform_conv',
    'deform_roi_pool',
    'focal_loss',
    'masked_conv',
    'nms',
    'roi_align',
    'roi_pool',
    'sync_bn',
)
REMEDY = (
    'build mmcv from source with MMCV_WITH_OPS=1 (compiler and CUDA must match those of torch), '
    'or use a model without this op'
)


def _not_compiled() -> str:
    return "mmcv has no compiled ops; lt_det's stand for them, from torch and torchvision"


class Ops(ModuleType):
    """Stands for ``mmcv._ext``: an op that is not here raises when called, not on import."""

    def __init__(self) -> None:
        super().__init__('mmcv._ext', __doc__)
        for family in FAMILIES:
            for op in import_module(f'.{family}', __name__).OPS:
                setattr(self, op.__name__, op)
        self.get_compiler_version = self.get_compiling_cuda_version = _not_compiled

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(f'mmcv op `{name}` is not compiled: {REMEDY}')

        return missing
