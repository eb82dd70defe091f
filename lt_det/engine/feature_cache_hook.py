"""Puts cached features of a frozen image tower in the place of the images."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..bare_model import bare_model
from ..datasets.feature_cache import DTYPES, FeatureCacheDataset, state_key
from ..errors import BadInputError
from ..values import check_values

# what a loader keeps where features are not cached
OF_WORKERS = ('num_workers', 'prefetch_factor', 'persistent_workers', 'timeout')


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Before training and testing, computes the features of all images once, in V augmentations.

    For models whose image tower is frozen (``BALLAD`` in phase B, as a linear probe or zero-shot).
    The data loaders then read the features from a memory-mapped file. A cache is tied to the
    weights, layers and activations of the tower, its precision and image size, how images are
    normalised, the list of images, the pipeline with all its options, and the seed; that image
    files have not changed is taken for granted.

    Args:
        views: V, augmentations of each training image; N V D numbers lie on disk.
        folder: Of the caches, visible to all processes. Default: ``features`` in the work dir.
        seed: Of the augmentations.
        cached: False: the same augmentations through the tower at every step (for comparison).
        replace: Compute a cache of other weights or data anew instead of refusing it. Default: if
            ``folder`` is the default.
        dtype: ``'float32'`` or ``'float16'``, of the file.

    Raises:
        BadInputError: The tower is trained, or a cache belongs to other weights or data.
    """

    # behind the hooks that load the weights
    priority = 'LOW'

    def __init__(
        self,
        views: int = 10,
        folder: str | None = None,
        seed: int = 0,
        cached: bool = True,
        replace: bool | None = None,
        dtype: str = 'float32',
    ) -> None:
        check_values(
            'FeatureCacheHook',
            views=(views, 'a whole number >= 1'),
            seed=(seed, 'a whole number >= 0'),
            dtype=(dtype, DTYPES),
            cached=(cached, 'True or False'),
            replace=(replace, 'True or False, or None'),
        )
        self.views = views
        self.folder = folder
        self.seed = seed
        self.cached = cached
        self.replace = folder is None if replace is None else replace
        self.dtype = dtype

    def before_train(self, runner: Runner) -> None:
        self._put(runner, runner.train_loop, 'train')
        if hasattr(runner._val_loop, 'dataloader'):
            self._put(runner, runner.val_loop, 'val')

    def before_val(self, runner: Runner) -> None:
        self._put(runner, runner.val_loop, 'val')

    def before_test(self, runner: Runner) -> None:
        self._put(runner, runner.test_loop, 'test')

    def _put(self, runner: Runner, loop, split: str) -> None:
        loader = loop.dataloader
        if isinstance(loader.dataset, FeatureCacheDataset):
            return
        model = bare_model(runner.model)
        if getattr(model, 'towers_train', True):
            raise BadInputError(
                'FeatureCacheHook: the image tower of this model is trained, so its features '
                'cannot be cached; remove the hook'
            )
        dataset = FeatureCacheDataset(
            loader.dataset,
            Path(self.folder or Path(runner.work_dir, 'features'), split),
            views=self.views if split == 'train' else 1,
            seed=self.seed,
            replace=self.replace,
            dtype=self.dtype,
        )
        if self.cached:
            self._open(runner, model, dataset, loader)
        workers = {name: getattr(loader, name) for name in OF_WORKERS}
        loop.dataloader = DataLoader(
            dataset,
            batch_size=loader.batch_size,
            sampler=loader.sampler,
            # reading a few rows is not worth a process
            **({} if self.cached else workers),
            pin_memory=loader.pin_memory,
            collate_fn=loader.collate_fn,
            drop_last=loader.drop_last,
            worker_init_fn=loader.worker_init_fn,
        )

    @staticmethod
    def _open(runner: Runner, model, dataset: FeatureCacheDataset, loader: DataLoader) -> None:
        preprocess, training = model.data_preprocessor, model.training
        key = state_key(
            model.clip.visual.state_dict(),
            repr(model.clip.visual),  # layers and activations
            (model.precision, tuple(model.image_size), preprocess.to_rgb),
            (preprocess.mean.tolist(), preprocess.std.tolist()),
        )

        @torch.no_grad()
        def compute(batch: dict) -> torch.Tensor:
            return model.image_features(preprocess(batch)['inputs'])

        start = time.time()
        model.eval()
        computed = dataset.open(
            key, compute, batch_size=loader.batch_size, num_workers=loader.num_workers
        )
        model.train(training)
        runner.logger.info(
            f'features of {dataset.views} x {len(dataset)} images '
            f'{"computed" if computed else "found"} in {dataset.folder} '
            f'({time.time() - start:.1f} s)'
        )
