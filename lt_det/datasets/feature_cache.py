"""Features of a frozen image tower, computed once and read from a memory-mapped file."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import barrier, get_rank, get_world_size
from mmpretrain.datasets import BaseDataset
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from ..errors import BadInputError
from ..formats.files import sha256
from ..values import check_values

FEATURES, MARK = 'features.npy', 'cache.json'

DTYPES = ('float32', 'float16')  # of the file


class FeatureCacheDataset(Dataset):
    """A data set in V fixed augmentations of each image, whose features a cache may hold.

    An item is one of the V views, drawn anew each time. View v of image i is what the pipeline
    gives when it is seeded with (seed, v, i), so images and cached features show the same. Items
    are the images until :meth:`open` has been called.

    Args:
        dataset: A classification data set of MMPretrain, N images.
        folder: Where the cache is or will be.
        views: V; 1 for evaluation.
        seed: Of the augmentations.
        replace: Compute a cache of other weights or data anew instead of refusing it.
        dtype: ``'float32'`` or ``'float16'``, of the file.

    Raises:
        BadInputError: ``views`` below 1, another ``dtype``, or a data set of another kind or
            without an image.
    """

    def __init__(
        self,
        dataset: BaseDataset,
        folder: str | Path,
        views: int = 1,
        seed: int = 0,
        replace: bool = False,
        dtype: str = 'float32',
    ) -> None:
        check_values(
            'FeatureCacheDataset',
            views=(views, 'a whole number >= 1'),
            seed=(seed, 'a whole number >= 0'),
            dtype=(dtype, DTYPES),
        )
        if not isinstance(dataset, BaseDataset):
            raise BadInputError(
                f'features of {type(dataset).__name__} cannot be cached, only those of a data set '
                'of MMPretrain without a wrapper'
            )
        dataset.full_init()
        if not len(dataset):
            raise BadInputError(f'{type(dataset).__name__} has no image, expected some')
        self.dataset = dataset
        self.folder = Path(folder)
        self.views = views
        self.seed = seed
        self.replace = replace
        self.dtype = dtype
        self.features: np.ndarray | None = None
        self.labels = np.asarray(dataset.get_gt_labels(), np.int64)

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        (item,) = self.__getitems__([index])
        return item

    def __getitems__(self, indices: list[int]) -> list[dict]:
        """B items, each with ``inputs``: image (3, h, w), or features (D,) of an open cache."""
        views = np.random.randint(self.views, size=len(indices))
        if self.features is None:
            return [self.image(*pair) for pair in zip(indices, views, strict=True)]
        features = torch.from_numpy(self.features[views, indices]).float()
        return [
            dict(inputs=row, data_samples=DataSample().set_gt_label(label))
            for row, label in zip(features, torch.from_numpy(self.labels[indices]), strict=True)
        ]

    def image(self, index: int, view: int) -> dict:
        """What the pipeline gives for an image; global random states are as before."""
        with _seeded(self.seed, int(view), int(index)):
            return self.dataset[index]

    def data_key(self) -> str:
        """Digest of the items, the pipeline and the seed. File contents are not looked at."""
        what = (self.dataset.img_prefix, self.views, self.seed, self.dtype)
        digest = hashlib.sha256((describe(self.dataset.pipeline) + repr(what)).encode())
        data = getattr(self.dataset, 'data_bytes', ())
        digest.update(data if len(data) else pickle.dumps(self.dataset.data_list))
        return digest.hexdigest()

    def open(self, weights_key: str, compute: Callable[[dict], torch.Tensor], **loading) -> bool:
        """Read the features from now on; compute them first where the cache has none.

        All processes take part in computing: the folder must be visible to all.

        Args:
            weights_key: Digest of the weights that the features depend on.
            compute: Features (B, D) of a batch as the data loader gives it.
            **loading: ``batch_size`` and ``num_workers`` of that loader.

        Returns:
            Whether they had to be computed.

        Raises:
            BadInputError: The cache belongs to other weights or other data, or is damaged.
        """
        wanted = dict(weights=weights_key, data=self.data_key())
        mark = self._read_mark()
        fresh = mark is not None and all(mark.get(key) == wanted[key] for key in wanted)
        if mark is not None and not fresh and not self.replace:
            what = 'weights' if mark.get('weights') != weights_key else 'data'
            raise BadInputError(
                f'{self.folder} holds features of other {what} ({str(mark.get(what))[:12]}, now '
                f'{wanted[what][:12]}): delete it, name another folder, or set '
                'replace=True of FeatureCacheHook'
            )
        fresh = fresh and self._is_whole(mark)
        barrier()  # nobody writes before everybody has looked
        if not fresh:
            self._compute(wanted, compute, loading)
        self.features = self._map(self.folder)
        return not fresh

    def _read_mark(self) -> dict | None:
        path = self.folder / MARK
        if path.is_file():
            try:
                mark = json.loads(path.read_bytes())
            except (ValueError, RecursionError):
                return dict()
            return mark if isinstance(mark, dict) else dict()
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise BadInputError(f'{self.folder} is no feature cache ({MARK} is missing)')
        return None

    def _is_whole(self, mark: dict) -> bool:
        """Whether the features are those that were computed; older caches have no digest."""
        path = self.folder / FEATURES
        if 'sha256' not in mark or (is_now := sha256(path)) == mark['sha256']:
            return True
        if self.replace:
            return False
        raise BadInputError(
            f'{path} has the digest {is_now[:12]}, expected {str(mark["sha256"])[:12]} as when it '
            f'was computed; delete {self.folder} to have it computed anew'
        )

    def _map(self, folder: Path) -> np.ndarray:
        try:
            features = np.load(folder / FEATURES, mmap_mode='r')
        except Exception as error:  # bytes that are no array raise what they happen to
            raise BadInputError(f'{folder / FEATURES} cannot be read: {error}') from error
        if features.dtype not in (np.float32, np.float16):
            raise BadInputError(
                f'{folder / FEATURES} is of type {features.dtype}, expected float32 or float16'
            )
        if features.ndim != 3 or features.shape[:2] != (self.views, len(self)):
            raise BadInputError(
                f'{folder / FEATURES} has shape {features.shape}, expected {self.views} views of '
                f'{len(self)} images'
            )
        return features

    def _compute(self, wanted: dict, compute: Callable, loading: dict) -> None:
        part = self.folder.with_name(self.folder.name + '.part')
        rank, world = get_rank(), get_world_size()
        order = [(v, i) for v in range(self.views) for i in range(len(self))][rank::world]
        loader = DataLoader(_Views(self, order), collate_fn=list, **loading)
        batches = (_computed(compute, items) for items in loader)
        if rank == 0:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        first = next(batches, None)  # of a process without a view
        features, done = self._allocate(part, first, rank), 0
        for values in () if first is None else chain([first], batches):
            views, indices = np.array(order[done : done + len(values)]).T
            features[views, indices] = values
            done += len(values)
        features.flush()
        del features
        barrier()
        if rank == 0:
            mark = dict(wanted, views=self.views, images=len(self), sha256=sha256(part / FEATURES))
            (part / MARK).write_text(json.dumps(mark, indent=1) + '\n', encoding='utf-8')
            shutil.rmtree(self.folder, ignore_errors=True)
            part.rename(self.folder)
        barrier()

    def _allocate(self, part: Path, first: np.ndarray | None, rank: int) -> np.ndarray:
        """The file, made by the process that always has a view; ``first`` (B, D) are its features.

        All processes have to call it.
        """
        path = part / FEATURES
        if rank == 0:
            shape = (self.views, len(self), first.shape[1])
            np.lib.format.open_memmap(path, 'w+', self.dtype, shape).flush()
        barrier()
        return np.load(path, mmap_mode='r+')

    def __getstate__(self) -> dict:
        # a memory map would be copied into every spawned worker
        return {**self.__dict__, 'features': None if self.features is None else 'closed'}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if self.features is not None:
            self.features = self._map(self.folder)


class _Views(Dataset):
    """Chosen (view, image) pairs of a FeatureCacheDataset, as images."""

    def __init__(self, dataset: FeatureCacheDataset, order: list[tuple[int, int]]) -> None:
        self.dataset = dataset
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> dict:
        view, index = self.order[position]
        return self.dataset.image(index, view)


def _computed(compute: Callable[[dict], torch.Tensor], items: list[dict]) -> np.ndarray:
    """Features (B, D) of a batch."""
    batch = dict(
        inputs=[item['inputs'] for item in items],
        data_samples=[item['data_samples'] for item in items],
    )
    return compute(batch).float().cpu().numpy()


@contextmanager
def _seeded(*entropy: int) -> Iterator[None]:
    """Python, NumPy and torch (CPU) seeded inside, and as before behind it."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.default_generator.manual_seed(int(words[2]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def describe(value: object, outer: tuple = ()) -> str:
    """A text of a transform, or of what it holds, that differs where an option does.

    The ``repr`` of many transforms leaves options out, or has an address in it.
    """
    if any(value is other for other in outer):
        return '...'
    outer = (*outer, value)
    if isinstance(value, dict):
        entries = (f'{key!r}: {describe(value[key], outer)}' for key in sorted(value, key=str))
        return f'{{{", ".join(entries)}}}'
    if isinstance(value, list | tuple):
        return f'[{", ".join(describe(entry, outer) for entry in value)}]'
    if isinstance(value, np.ndarray | torch.Tensor):
        return repr(value.tolist())
    if hasattr(value, '__qualname__'):  # functions, classes
        return f'{value.__module__}.{value.__qualname__}'
    if hasattr(value, '__dict__') and not isinstance(value, Enum):
        kind = type(value)
        return f'{kind.__module__}.{kind.__qualname__}{describe(vars(value), outer)}'
    return re.sub(r' at 0x\w+', '', repr(value))


def state_key(*states: object) -> str:
    """Digest of state dicts and of anything with a stable ``repr``."""
    digest = hashlib.sha256()
    for state in states:
        if not isinstance(state, dict):
            digest.update(repr(state).encode())
            continue
        for name in sorted(state):
            value = state[name].detach().cpu().contiguous()
            digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
