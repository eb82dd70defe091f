"""CIFAR-10-LT and CIFAR-100-LT: long-tailed subsets of the standard archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.dist import barrier, is_main_process
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.datasets.utils import calculate_md5
from mmpretrain.registry import DATASETS
from torchvision.datasets.utils import extract_archive

from ..errors import BadInputError, MissingFileError
from .imbalance import long_tail_counts, long_tail_subset


class LongTailedCIFAR:
    """Base of both: takes the subset, and names a file that is missing or not the published one.

    Args:
        data_root: Folder that holds the archive's folder, or the archive (then it is unpacked).
        split: ``'train'`` is long-tailed, ``'test'`` is whole and balanced.
        imbalance_factor: Count of the most frequent class over that of the rarest, >= 1.
        imbalance_shape: ``'exp'`` or ``'step'``.
        seed: Which images are left.
        download: Fetch the archive when it is not there.
        **kwargs: Those of MMPretrain's CIFAR10.

    Raises:
        MissingFileError: There is no archive.
        BadInputError: A file is not the published one (cut off, say).
    """

    def __init__(
        self,
        *args,
        imbalance_factor: float = 100,
        imbalance_shape: str = 'exp',
        seed: int = 0,
        download: bool = False,
        **kwargs,
    ) -> None:
        self.imbalance_factor = imbalance_factor
        self.imbalance_shape = imbalance_shape
        self.seed = seed
        long_tail_counts(1, 2, imbalance_factor, imbalance_shape)  # wrong values, before reading
        super().__init__(*args, download=download, **kwargs)

    def load_data_list(self) -> list[dict]:
        if not self.download and is_main_process():
            self._check_files(Path(self.data_prefix['root']))
        barrier()
        items = super().load_data_list()
        if self.split != 'train':
            return items
        labels = np.array([item['gt_label'] for item in items])
        present = np.bincount(labels, minlength=len(self.CLASSES))
        counts = long_tail_counts(
            int(present.min()), len(present), self.imbalance_factor, self.imbalance_shape
        )
        return [items[index] for index in long_tail_subset(labels, counts, self.seed)]

    def _check_files(self, root: Path) -> None:
        archive = root / self.filename
        if not (root / self.base_folder).is_dir() and archive.is_file():
            _check_file(archive, self.tgz_md5)
            extract_archive(str(archive), str(root))
        meta = self.meta['filename'], self.meta['md5']
        for name, md5 in (*self.train_list, *self.test_list, meta):
            _check_file(root / self.base_folder / name, md5)


def _check_file(path: Path, md5: str | None) -> None:
    if not path.is_file():
        raise MissingFileError(
            f'{path} does not exist; www.cs.toronto.edu/~kriz/cifar.html has the archives ("python '
            'version"), or set download=True'
        )
    if md5 is None:
        return
    digest = calculate_md5(str(path))
    if digest != md5:
        raise BadInputError(
            f'{path} ({path.stat().st_size} bytes) is cut off or changed: its MD5 is {digest}, '
            f'published is {md5}'
        )


@DATASETS.register_module()
class CIFAR10LT(LongTailedCIFAR, CIFAR10):
    """CIFAR-10-LT; imbalance factors 10, 50, 100 leave 20,431, 13,996, 12,406 training images.

    Arguments are those of :class:`LongTailedCIFAR`.
    """


@DATASETS.register_module()
class CIFAR100LT(LongTailedCIFAR, CIFAR100):
    """CIFAR-100-LT; imbalance factors 10, 50, 100 leave 19,573, 12,608, 10,847 training images.

    Arguments are those of :class:`LongTailedCIFAR`.
    """
