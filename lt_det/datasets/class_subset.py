"""A list file without some of its classes, for training what an open vocabulary is tested on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmpretrain.registry import DATASETS

from ..formats.list_file import read_list_file
from .class_names import kept_labels
from .list_file_dataset import ListFileDataset


@DATASETS.register_module()
class ClassSubsetDataset(ListFileDataset):
    """:class:`ListFileDataset` without the images of some classes; the others are renumbered.

    Args:
        left_out: Their labels. The labels of the rest become 0, 1, ... in the old order.
        **kwargs: Those of ListFileDataset, for all classes.

    Raises:
        BadInputError: A label that is not in 0..C-1, or none is left.
    """

    def __init__(self, left_out: Sequence[int], lazy_init: bool = False, **kwargs) -> None:
        super().__init__(lazy_init=True, **kwargs)
        names = list(self.CLASSES)
        self.kept = kept_labels(left_out, len(names))
        self._metainfo['classes'] = tuple(names[label] for label in self.kept)
        self.num_classes = len(names)
        if not lazy_init:
            self.full_init()

    def load_data_list(self) -> list[bytes]:
        """The lines of the remaining images, with their new labels."""
        lines, labels = read_list_file(self.ann_file, self.num_classes)
        new = np.full(self.num_classes, -1)
        new[self.kept] = np.arange(len(self.kept))
        return [
            b'%s %d' % (line.rsplit(None, 1)[0], new[label])
            for line, label in zip(lines, labels, strict=True)
            if new[label] >= 0
        ]
