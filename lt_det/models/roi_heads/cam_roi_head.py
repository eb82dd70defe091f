"""StandardRoIHead whose RoI features are calibrated by class activation."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import BadInputError
from ...values import check_values
from ..layers.cam_calibration import CAMCalibration


@MODELS.register_module()
class CAMCalibratedRoIHead(StandardRoIHead):
    """Calibrates the RoI features of the box head and of the mask head.

    See :class:`CAMCalibration` for the rule and its source. The class probabilities of a RoI come
    from a linear classifier on its averaged features, trained beside the box head by cross-entropy;
    the box head's adjustment, where it has one, adjusts these logits too. Masks know their class:
    the label in training, the detected one in prediction. Background RoIs have a flat attention
    and do not move prototypes.

    A checkpoint of the same model with a StandardRoIHead predicts the same here, bit for bit, until
    gamma is trained.

    Args:
        calibration: Arguments of CAMCalibration, but for numbers of classes and channels.
        first_pass_weight: Weight of the loss of the first classifier (``loss_first_pass``).
        calibrate_mask: Whether mask features are calibrated.
        **kwargs: Those of StandardRoIHead.

    Raises:
        BadInputError: The box head has no class weights, or the RoI features of boxes and masks
            have different numbers of channels.
    """

    def __init__(
        self,
        *args,
        calibration: dict | None = None,
        first_pass_weight: float = 0.5,
        calibrate_mask: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        head = getattr(self, 'bbox_head', None)
        if not getattr(head, 'with_cls', False) or not hasattr(head, 'fc_cls'):
            raise BadInputError(
                'roi_head.type is CAMCalibratedRoIHead, but roi_head.bbox_head is '
                f'{type(head).__name__} without class weights; expected a head with_cls=True, '
                'such as LongTailBBoxHead'
            )
        channels = self.bbox_roi_extractor.out_channels
        self.calibrate_mask = calibrate_mask and self.with_mask
        if self.calibrate_mask and self.mask_roi_extractor.out_channels != channels:
            raise BadInputError(
                f'roi_head.mask_roi_extractor.out_channels is '
                f'{self.mask_roi_extractor.out_channels}, expected {channels} as in '
                'bbox_roi_extractor; or set roi_head.calibrate_mask=False'
            )
        check_values('roi_head', first_pass_weight=(first_pass_weight, 'a number >= 0'))
        self.first_pass_weight = first_pass_weight
        self.first_pass = nn.Linear(channels, head.num_classes + 1)
        nn.init.normal_(self.first_pass.weight, std=0.01)
        nn.init.zeros_(self.first_pass.bias)
        self.calibration = CAMCalibration(
            head.num_classes, channels, branches=2, **(calibration or {})
        )
        # what the next _mask_forward calibrates by; its callers hand no labels on
        self._mask_labels: Tensor | None = None

    def bbox_loss(self, x: tuple[Tensor], sampling_results: list[SamplingResult]) -> dict:
        """Losses of the box head and of the first classifier (StandardRoIHead's, with labels)."""
        rois = bbox2roi([result.priors for result in sampling_results])
        background = self.bbox_head.num_classes
        labels = torch.cat(
            [
                F.pad(result.pos_gt_labels, (0, len(result.neg_priors)), value=background)
                for result in sampling_results
            ]
        )
        results = self._bbox_forward(x, rois, labels)
        losses = self.bbox_head.loss_and_target(
            cls_score=results['cls_score'],
            bbox_pred=results['bbox_pred'],
            rois=rois,
            sampling_results=sampling_results,
            rcnn_train_cfg=self.train_cfg,
        )['loss_bbox']
        first_pass = F.cross_entropy(results['first_pass'], labels, reduction='sum')
        losses['loss_first_pass'] = self.first_pass_weight * first_pass / max(len(labels), 1)
        return dict(results, loss_bbox=losses)

    def _bbox_forward(self, x: tuple[Tensor], rois: Tensor, labels: Tensor | None = None) -> dict:
        """StandardRoIHead's, with ``first_pass`` logits (R, C + 1); labels (R,) in training."""
        features = self.bbox_roi_extractor(x[: self.bbox_roi_extractor.num_inputs], rois)
        if self.with_shared_head:
            features = self.shared_head(features)
        first_pass = self.first_pass(features.mean((2, 3)))
        adjustment = getattr(self.bbox_head, 'adjustment', None)
        if adjustment is not None and not self.bbox_head.custom_cls_channels:
            first_pass = adjustment(first_pass)
        calibrated = self.calibration(
            features, first_pass.softmax(1), labels, update=self.training and labels is not None
        )
        logits, deltas = self.bbox_head(calibrated)
        return dict(cls_score=logits, bbox_pred=deltas, bbox_feats=features, first_pass=first_pass)

    def mask_loss(
        self,
        x: tuple[Tensor],
        sampling_results: list[SamplingResult],
        bbox_feats: Tensor,
        batch_gt_instances: InstanceList,
    ) -> dict:
        """StandardRoIHead's, on features calibrated by the labels."""
        self._mask_labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        return super().mask_loss(x, sampling_results, bbox_feats, batch_gt_instances)

    def predict_mask(
        self,
        x: tuple[Tensor],
        batch_img_metas: list[dict],
        results_list: InstanceList,
        rescale: bool = False,
    ) -> InstanceList:
        """StandardRoIHead's, on features calibrated by the detected classes."""
        self._mask_labels = torch.cat([result.labels for result in results_list])
        try:
            return super().predict_mask(x, batch_img_metas, results_list, rescale)
        finally:
            self._mask_labels = None  # nothing has asked for them where nothing is detected

    def _mask_forward(
        self,
        x: tuple[Tensor],
        rois: Tensor | None = None,
        pos_inds: Tensor | None = None,
        bbox_feats: Tensor | None = None,
    ) -> dict:
        """StandardRoIHead's, on calibrated features where the labels are known."""
        labels, self._mask_labels = self._mask_labels, None
        if rois is None:
            features = bbox_feats[pos_inds.bool()]
        else:
            features = self.mask_roi_extractor(x[: self.mask_roi_extractor.num_inputs], rois)
            if self.with_shared_head:
                features = self.shared_head(features)
        if self.calibrate_mask and labels is not None:
            features = self.calibration(features, labels=labels, branch=1)
        return dict(mask_preds=self.mask_head(features), mask_feats=features)

    def attention(self, x: tuple[Tensor], rois: Tensor, labels: Tensor) -> Tensor:
        """Where RoIs (R, 5) show their classes (R,): attention (R, h, w) of mean 1."""
        extractor = self.mask_roi_extractor if self.with_mask else self.bbox_roi_extractor
        features = extractor(x[: extractor.num_inputs], rois)
        embedding = self.calibration.embedding(features)
        return self.calibration.attention(*embedding, *self.calibration.chosen(None, labels))
