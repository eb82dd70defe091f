"""Long-tailed detection and classification for MMDetection and MMPretrain.

Importing ``lt_det`` registers every component. Without MMDetection the parts that need only torch
and numpy (``lt_det.frequency``, ``lt_det.adjustments``, ``lt_det.evaluation``) still work.
"""

from importlib.util import find_spec

from .version import __version__

if find_spec('mmdet') is not None:
    from .compat import config_names, mmcv_ops

    config_names.install()
    mmcv_ops.install()  # before anything imports mmcv.ops

    from . import datasets, engine, models
    from .evaluation import long_tail_accuracy, lvis_metric, open_vocabulary, word_retrieval

__all__ = ['__version__']
