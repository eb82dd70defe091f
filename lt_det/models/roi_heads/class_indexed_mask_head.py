"""Mask heads that compute the logits of one class per RoI instead of all of them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead, HTCMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.utils import InstanceList
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair
from torch.utils.checkpoint import checkpoint

from ...datasets.compact_masks import CompactMasks
from ...datasets.mask_targets import mask_targets
from ...errors import BadInputError
from ...upload import upload
from ...values import check_values
from ..layers import ClassIndexedConv2d, ClassIndexedNormedConv2d, IndexableByClass
from ..layers.class_indexed_conv import traced
from .lazy_masks import LazyMasks

_PREDICTORS = {
    None: ClassIndexedConv2d,
    'Conv': ClassIndexedConv2d,
    'Conv2d': ClassIndexedConv2d,
    'NormedConv2d': ClassIndexedNormedConv2d,
}


class _ClassIndexed:
    """Loss and prediction of a mask head from the logits of each RoI's class.

    In training the class is the target label, in prediction the predicted one. The parameters, and
    so checkpoints, the loss, its gradients and the predicted masks are those of the stock head.
    """

    def __init__(
        self,
        *args,
        predictor_cfg: dict | None = None,
        class_agnostic: bool = False,
        lazy_masks: bool = True,
        **kwargs,
    ) -> None:
        check_values(
            'mask_head',
            class_agnostic=(class_agnostic, 'True or False'),
            lazy_masks=(lazy_masks, 'True or False'),
        )
        predictor_cfg = dict(predictor_cfg or dict(type='Conv'))
        if not class_agnostic:
            predictor_cfg['type'] = _class_indexed(predictor_cfg.get('type'))
        super().__init__(
            *args, predictor_cfg=predictor_cfg, class_agnostic=class_agnostic, **kwargs
        )
        self.lazy_masks = lazy_masks

    def loss_and_target(
        self, mask_preds, sampling_results, batch_gt_instances, rcnn_train_cfg
    ) -> dict:
        """Loss at the target labels, of the RoIs whose object has a mask.

        Args:
            mask_preds: What forward returned for the R positive RoIs.
            sampling_results: One for each image, with pos_gt_labels.
            batch_gt_instances: One for each image, with masks; of CompactMasks some objects may
                have none.
            rcnn_train_cfg: Has mask_size.

        Returns:
            ``loss_mask``, a dict with the loss, and ``mask_targets`` (R, h, w), or (R', h, w) if
            only R' RoIs have a mask to learn.

        Raises:
            BadInputError: A label is outside [0, C). Only checked on the CPU; elsewhere the kernel
                asserts, and ClassFrequencyHook checks before the labels leave the CPU.
        """
        learned = _with_masks(sampling_results, batch_gt_instances)
        if not isinstance(mask_preds, IndexableByClass):
            if learned is not None:
                mask_preds = mask_preds[learned[0]]
                sampling_results = _chosen(sampling_results, learned[1])
            return super().loss_and_target(
                mask_preds, sampling_results, batch_gt_instances, rcnn_train_cfg
            )
        for i, sampled in enumerate(sampling_results):
            self._check(sampled.pos_gt_labels, f'image {i} of the batch')
        logits = mask_preds.at(torch.cat([sampled.pos_gt_labels for sampled in sampling_results]))
        if learned is not None:
            logits = logits[learned[0]]
            sampling_results = _chosen(sampling_results, learned[1])
        labels = torch.cat([sampled.pos_gt_labels for sampled in sampling_results])
        targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        if len(labels):
            loss = self.loss_mask(logits, targets, torch.zeros_like(labels))
        else:
            loss = logits.sum()
        return dict(loss_mask=dict(loss_mask=loss), mask_targets=targets)

    def get_targets(
        self, sampling_results, batch_gt_instances: InstanceList, rcnn_train_cfg: dict
    ) -> Tensor:
        """Mask targets (R, h, w) of the positive RoIs, those of the stock head.

        Where all masks are CompactMasks they are made for the whole batch on the device, which is
        waited for once, for the numbers of the objects; the stock head waits for each image.

        Args:
            sampling_results: One for each image, with pos_priors and pos_assigned_gt_inds.
            batch_gt_instances: One for each image, with masks.
            rcnn_train_cfg: Has mask_size and perhaps soft_mask_target.

        Raises:
            BadInputError: An object of CompactMasks has no mask.
        """
        masks = [instances.masks for instances in batch_gt_instances]
        if not masks or not all(isinstance(of_image, CompactMasks) for of_image in masks):
            return super().get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        objects = [sampled.pos_assigned_gt_inds for sampled in sampling_results]
        numbers = torch.cat(objects).cpu().split([len(of_image) for of_image in objects])
        numbers = [of_image.numpy() for of_image in numbers]
        for of_image, chosen in zip(masks, numbers):
            of_image.require_masks(chosen)
        targets = mask_targets(
            [of_image.crops for of_image in masks],
            [(of_image.height, of_image.width) for of_image in masks],
            [sampled.pos_priors for sampled in sampling_results],
            numbers,
            _pair(rcnn_train_cfg['mask_size']),
            binarize=not rcnn_train_cfg.get('soft_mask_target', False),
            clip=True,  # as the stock head does it
        )
        return targets.float()

    def _predict_by_feat_single(
        self,
        mask_preds,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: dict,
        rcnn_test_cfg: dict,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> Tensor:
        """Masks of one image.

        Args:
            mask_preds: What forward returned for the N detections; after sigmoid, if
                ``activate_map``.
            bboxes: (N, 4) as x1, y1, x2, y2 in pixels of the network's input; divided in place by
                the scale factor, if ``rescale``.
            labels: (N,).
            img_meta: Has ori_shape and scale_factor.
            rcnn_test_cfg: Has mask_thr_binary.
            rescale: Whether masks are those of the original image.
            activate_map: Whether ``mask_preds`` are probabilities.

        Returns:
            (N, H, W), pasted when they are read if ``lazy_masks``.

        Raises:
            BadInputError: A label is outside [0, C).
        """
        if isinstance(mask_preds, IndexableByClass):
            self._check(labels, img_meta.get('img_path', 'an image'))
            mask_preds = mask_preds.at(labels)
        elif not self.class_agnostic:
            mask_preds = mask_preds[torch.arange(len(labels), device=labels.device), labels, None]
        probabilities = mask_preds if activate_map else mask_preds.sigmoid()
        height, width = img_meta['ori_shape'][:2]
        if rescale:
            bboxes /= bboxes.new_tensor(img_meta['scale_factor']).repeat(1, 2)
        else:
            # rounded as the stock head does it, through the type of the boxes
            scale = torch.tensor(img_meta['scale_factor'][:2], dtype=bboxes.dtype)
            width, height = np.round([width, height] * scale.double().numpy()).astype(int)
        masks = LazyMasks(
            probabilities, bboxes.clone(), (height, width), rcnn_test_cfg['mask_thr_binary']
        )
        return masks if self.lazy_masks else masks.pasted()

    def _check(self, labels: Tensor, where: str) -> None:
        # reading the labels would make another device wait
        if not labels.is_cpu or not len(labels):
            return
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high >= self.num_classes:
            raise BadInputError(
                f'{where} has label {low if low < 0 else high}, but mask_head.num_classes is '
                f'{self.num_classes}'
            )


@MODELS.register_module()
class ClassIndexedMaskHead(_ClassIndexed, FCNMaskHead):
    """FCNMaskHead whose cost does not grow with the number of classes.

    Args:
        predictor_cfg: Of type 'Conv' or 'NormedConv2d'.
        class_agnostic: Whether there is one mask for all classes; then nothing is to be gained in
            the predictor.
        lazy_masks: Whether masks are pasted into the image when they are read. Predictions are
            tensors (N, H, W) all the same.
        rois_at_once: In training, how many RoIs at most have their masks computed together. Of more
            than these only features and logits are held; what lies between is computed anew in the
            backward pass, at the cost of one more forward pass of this head. None is all. A head
            with a norm that learns statistics, which need all RoIs, and a class-agnostic one
            compute all together.
        **kwargs: Those of FCNMaskHead.

    Raises:
        BadInputError: ``predictor_cfg`` has another type, or ``rois_at_once`` is no positive
            integer.
    """

    def __init__(self, *args, rois_at_once: int | None = None, **kwargs) -> None:
        check_values('mask_head', rois_at_once=(rois_at_once, 'a whole number >= 1, or None'))
        super().__init__(*args, **kwargs)
        self.rois_at_once = rois_at_once

    def forward(self, x: Tensor) -> IndexableByClass | Tensor:
        """(R, D, h, w) to logits (R, C, 2h, 2w), which are computed where they are asked for."""
        if self.rois_at_once is None or len(x) <= self.rois_at_once or self._all_at_once():
            return super().forward(x)
        return _Anew(super().forward, x, self.rois_at_once)

    def _all_at_once(self) -> bool:
        if not torch.is_grad_enabled() or not self.training or self.class_agnostic or traced():
            return True
        return any(
            m.training and (isinstance(m, _BatchNorm) or hasattr(m, 'running_mean'))
            for m in self.modules()
        )


class _Anew(IndexableByClass):
    """Logits of parts of the RoIs, each computed anew in the backward pass.

    Args:
        forward: From features (r, D, h, w) to an IndexableByClass.
        features: (R, D, h, w).
        at_once: r at most.
    """

    def __init__(
        self, forward: Callable[[Tensor], IndexableByClass], features: Tensor, at_once: int
    ) -> None:
        self.forward = forward
        self.features = features
        self.parts = math.ceil(len(features) / at_once)

    def at(self, labels: Tensor) -> Tensor:
        def logits(features: Tensor, labels: Tensor) -> Tensor:
            return self.forward(features).at(labels)

        parts = zip(self.features.chunk(self.parts), labels.chunk(self.parts))
        # nothing is random in a mask head
        return torch.cat(
            [checkpoint(logits, *p, use_reentrant=False, preserve_rng_state=False) for p in parts]
        )


@MODELS.register_module()
class ClassIndexedHTCMaskHead(_ClassIndexed, HTCMaskHead):
    """HTCMaskHead with the same changes as :class:`ClassIndexedMaskHead`."""


def _with_masks(
    sampling_results: Sequence[SamplingResult], batch_gt_instances: InstanceList
) -> tuple[Tensor, list[Tensor]] | None:
    """Positive RoIs whose object has a mask, of the batch (R',) and of each image; None if all do.

    Only if some object has none, the device is waited for, once.
    """
    images = [getattr(instances.masks, 'maskless', None) for instances in batch_gt_instances]
    if not any(maskless is not None and maskless.any() for maskless in images):
        return None
    objects = [sampled.pos_assigned_gt_inds for sampled in sampling_results]
    sizes = [len(of_image) for of_image in objects]
    learned = [
        np.ones(len(chosen), bool) if maskless is None else ~maskless[chosen.numpy()]
        for maskless, chosen in zip(images, torch.cat(objects).cpu().split(sizes), strict=True)
    ]
    rows = upload(np.flatnonzero(np.concatenate(learned)), objects[0].device)
    of_images = rows.split([int(of_image.sum()) for of_image in learned])
    first = np.cumsum([0, *sizes]).tolist()
    return rows, [of_image - start for of_image, start in zip(of_images, first)]


def _chosen(
    sampling_results: Sequence[SamplingResult], rows: list[Tensor]
) -> list[SimpleNamespace]:
    """What a mask head reads of its positive RoIs, of some of them."""
    names = ('pos_priors', 'pos_assigned_gt_inds', 'pos_gt_labels')
    return [
        SimpleNamespace(**{name: getattr(sampled, name)[chosen] for name in names})
        for sampled, chosen in zip(sampling_results, rows, strict=True)
    ]


def _class_indexed(predictor: str | type | None) -> type:
    if inspect.isclass(predictor) and issubclass(predictor, tuple(_PREDICTORS.values())):
        return predictor
    name = predictor.removeprefix('mmdet.') if isinstance(predictor, str) else predictor
    if name not in _PREDICTORS:
        raise BadInputError(
            f"mask_head.predictor_cfg.type is {predictor!r}; expected 'Conv' or 'NormedConv2d' "
            '(the stock mask head takes others)'
        )
    return _PREDICTORS[name]
