"""What ``import lt_det`` arranges with MMEngine, MMCV, MMDetection and MMPretrain.

Each part happens when the package it concerns is imported, before or after ``lt_det``.
"""

from __future__ import annotations

import sys
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from . import families
from .import_hooks import after_import, stand_in
from .transformers_version import leave_out_multimodal

COMPONENTS = 'lt_det.components'


def install() -> None:
    """Arrange it all; without MMDetection, only what says that it is missing."""
    without = find_spec('mmdet') is None
    families.install()
    if without:
        return
    stand_in('mmcv._ext', _stand_in_for_compiled_ops)
    after_import('mmcv.ops.carafe', _let_naive_carafe_run_on_cpu)
    after_import('mmdet.models.dense_heads.ssd_head', _let_ssd_predict)
    after_import('mmengine.config', _know_config_names)
    after_import('mmengine.registry', _look_for_components)
    after_import('mmengine.registry', families.warn_of_mixtures)
    after_import('mmengine.runner.checkpoint', _read_what_mmengine_saves)
    after_import('mmpretrain.utils.dependency', leave_out_multimodal)


def _stand_in_for_compiled_ops() -> ModuleType:
    from .ops import Ops

    return Ops()


def _let_naive_carafe_run_on_cpu() -> None:
    from .ops.wrappers import let_naive_carafe_run_on_cpu

    let_naive_carafe_run_on_cpu()


def _let_ssd_predict() -> None:
    """Dense heads look at ``loss_cls`` when they predict, and SSD's has none.

    https://github.com/open-mmlab/mmdetection/issues/11063
    """
    head = sys.modules['mmdet.models.dense_heads.ssd_head'].SSDHead
    if not hasattr(head, 'loss_cls'):
        head.loss_cls = None


def _read_what_mmengine_saves() -> None:
    from .saved_types import allow_types_of_mmengine

    allow_types_of_mmengine()


def _know_config_names() -> None:
    from . import config_names

    config_names.install()


def _look_for_components() -> None:
    """Make every registry import the components, as it imports its own, at the first look-up.

    Putting them on the list of locations of each registry would miss the registries of packages
    that are not known here, and those whose locations have been imported already.
    """
    from mmengine.registry import Registry

    import_own = Registry.import_from_location

    @wraps(import_own)
    def import_from_location(self: Registry) -> None:
        import_own(self)
        import_module(COMPONENTS)

    Registry.import_from_location = import_from_location
