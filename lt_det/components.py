"""Import this to import, and thereby register, every component of the package.

After ``import lt_det`` the first look-up in any registry of MMEngine, MMDetection or MMPretrain
does it; a module that registers something is listed here, or imported by one that is.
"""

from . import engine, models
from .datasets import (
    cifar_lt,
    class_subset,
    compact_annotations,
    cross_modal,
    list_file_dataset,
    long_tail_lvis,
    rare_copy_paste,
    repeat_factor,
    saliency,
    saliency_mask,
    samplers,
)
from .evaluation import long_tail_accuracy, lvis_metric, open_vocabulary, word_retrieval
