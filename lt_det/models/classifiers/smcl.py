"""Saliency masked contrastive learning: a classifier with masked and contrastive views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import BadInputError
from ...upload import upload
from ...values import check_values
from ..layers.minor_labels import MinorLabels
from ..losses.balanced_contrastive_loss import Membership
from ..losses.masked_loss import masked_loss
from .contrastive_branch import ContrastiveBranch

TARGETS = ('mixed', 'hard')


@MODELS.register_module()
class SMCLClassifier(ImageClassifier):
    """ImageClassifier trained so that backgrounds do not vote for the frequent classes.

    After the principle that SMCL (arXiv 2406.02223) states: mask the salient part of an image and
    pull what is left, its background, towards rare classes, by a masked cross-entropy and a masked
    contrastive loss. The details are ours. A training image comes as V views (``MaskedMultiView``):
    a clean one, and others of which some are masked (``SaliencyMask``)::

        loss = CE(clean) + masked_weight * L_MCE(others) + L_MSC(others)

    with :func:`~lt_det.models.losses.masked_loss.masked_loss` and ``BalancedContrastiveLoss``.
    Where nothing is masked L_MSC alone is balanced contrastive learning. Prediction is that of
    ImageClassifier, and so is any head with a linear classifier ``fc``: adjustments and cosine
    classifiers are configured there.

    Args:
        backbone, head, neck, ...: Those of ImageClassifier.
        contrast: Arguments of ``ContrastiveBranch`` without ``in_channels``; None: no L_MSC.
        masked_weight: Factor of L_MCE; 0: without it.
        minor_power: r of :class:`~lt_det.models.layers.minor_labels.MinorLabels`.
        target: ``'mixed'``: a masked image keeps its label with its visible share; ``'hard'``: it
            has the minor label alone, which lowers the votes of backgrounds that lie where
            ``'mixed'`` does not (benchmarks/results/smcl.md). Mask with ``fill='background'`` then:
            of boxes of one colour it learns the box.
        masking: Config of a module that masks views on the device from their class activation
            maps under the present weights (``CAMMasking``), in place of ``SaliencyMask``. Costs
            another forward pass of the backbone.

    Raises:
        BadInputError: Unknown ``target``, negative ``masked_weight``, no ``head.fc``, or images
            that come without views.
    """

    def __init__(
        self,
        *args,
        contrast: dict | None = None,
        masked_weight: float = 1.0,
        minor_power: float = 1.0,
        target: str = 'mixed',
        masking: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        **kwargs,
    ) -> None:
        if data_preprocessor is None or isinstance(data_preprocessor, dict):
            data_preprocessor = {'type': 'MultiViewDataPreprocessor', **(data_preprocessor or {})}
        super().__init__(*args, data_preprocessor=data_preprocessor, **kwargs)
        check_values(
            'model', target=(target, TARGETS), masked_weight=(masked_weight, 'a number >= 0')
        )
        if not hasattr(self.head, 'fc'):
            raise BadInputError(
                f'model.head.type is {type(self.head).__name__}, which has no linear classifier '
                "'fc'; expected LinearClsHead, LongTailClsHead or the like"
            )
        self.masked_weight = masked_weight
        self.target = target
        self.minor_labels = MinorLabels(self.head.num_classes, minor_power)
        self.masking = None if masking is None else MODELS.build(masking)
        self.contrast = None
        if contrast is not None:
            self.contrast = ContrastiveBranch(self.head.in_channels, **contrast)

    def loss(self, inputs: Sequence[Tensor], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Losses of V views (B, channels, H, W), the first of them the clean one."""
        if isinstance(inputs, Tensor) or len(inputs) < 2:
            raise BadInputError(
                'SMCLClassifier got one view per image, expected a clean one and others; put '
                "dict(type='MaskedMultiView', ...) into train_pipeline"
            )
        clean, *views = inputs
        size = len(clean)
        labels = torch.cat([sample.gt_label for sample in data_samples]).repeat(len(views))
        share = self._visible_share(data_samples, len(views))
        views = torch.cat(views)
        if self.masking is not None:
            views, share = self.masking(views, self.activation_maps(views, labels))
        feats = self.extract_feat(torch.cat([clean, views]))
        losses = self.head.loss(tuple(feat[:size] for feat in feats), data_samples)
        feats = tuple(feat[size:] for feat in feats)

        minor = None
        if share is not None:
            minor = self.minor_labels(len(labels))
            if self.target == 'hard':
                share = (share == 1).to(share)
        if self.masked_weight:
            losses['loss_masked'] = self.masked_weight * self._masked_loss(
                self.head(feats), labels, minor, share
            )
        if self.contrast is not None:
            membership = Membership(labels, self.head.num_classes, minor, share)
            features = self.head.pre_logits(feats)
            losses['loss_contrast'] = self.contrast(features, membership, self.head.fc.weight)
        return losses

    @torch.no_grad()
    def activation_maps(self, images: Tensor, labels: Tensor) -> Tensor:
        """Class activation maps (N, h, w) of the labels (N,) in images (N, channels, H, W)."""
        mode = self.backbone.training
        # statistics of batch norm are for the images that train
        self.backbone.eval()
        features = self.backbone(images)[-1]
        self.backbone.train(mode)
        return torch.einsum('ndhw,nd->nhw', features, self.head.fc.weight[labels].to(features))

    def _visible_share(self, data_samples: list[DataSample], views: int) -> Tensor | None:
        """(views * B,) in the order of the views, or None where the pipeline masks nothing."""
        if 'visible_share' not in data_samples[0]:
            return None
        share = torch.stack([sample.visible_share for sample in data_samples])
        # the clean view is not asked for
        share = upload(share, self.head.fc.weight.device)
        return share[:, -views:].T.flatten()

    def _masked_loss(
        self, logits: Tensor, labels: Tensor, minor: Tensor | None, share: Tensor | None
    ) -> Tensor:
        if share is None:
            return self.head.loss_module(logits, labels, avg_factor=len(labels))
        return masked_loss(self.head.loss_module, logits, labels, minor, share)
