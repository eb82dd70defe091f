"""ConvFCBBoxHead whose class logits are adjusted for the class frequencies."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor, scale_boxes
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...adjustments import build_adjustment, show_classifier
from ...errors import BadInputError
from ...frequency import ClassFrequency
from ...protocols import TakesClassFrequency, TakesClassifier, TakesRois
from ...values import check_values
from ..layers.class_indexed_linear import ClassIndexedLinear, ClassIndexedOutputs
from ..losses.class_count import with_class_count
from ..losses.head_losses import check_adjustable
from .topk_nms import is_plain, topk_multiclass_nms

_LINEAR = ('Linear', 'mmdet.Linear')
Deltas = Tensor | ClassIndexedOutputs


@MODELS.register_module()
class LongTailBBoxHead(ConvFCBBoxHead):
    """Adjusts the logits between the predictor and everything that reads class scores.

    Loss, accuracy, softmax at test and box refinement between the stages of a cascade see the same
    logits. Where IIF multiplies them in training and the predictor is a plain ``Linear`` layer, its
    weights start at the constant 0.001 with bias 0 (weights up to 11.5 make a normal start
    unstable; arXiv 2209.04861), unless ``init_cfg`` is given. Where the loss is one of independent
    sigmoids, its ``prior_prob`` is where all scores start (Lin et al., arXiv 1708.02002); another
    loss may have a ``predictor_start`` for a ``Linear`` layer. A loss with a number of classes gets
    that of the head.

    Args:
        adjustment: Config of one adjustment, or of several applied in turn
            (:func:`lt_det.adjustments.build_adjustment`). None: no adjustment.
        topk_nms: Whether prediction decodes and suppresses candidates only until the best
            ``max_per_img`` are known (:func:`.topk_nms.topk_multiclass_nms`). Where ``test_cfg``
            asks for more than plain NMS per class, or for all detections, it is the stock path.
        class_indexed_reg: Whether class-specific box deltas are evaluated for the classes that are
            asked for: in training those of the labels, in prediction those of the candidates that
            NMS looks at. Parameters, losses and gradients are those of the stock head. Where
            ``reg_predictor_cfg`` is not a plain ``Linear`` layer, it is the stock path.
        **kwargs: Those of ConvFCBBoxHead.

    Raises:
        BadInputError: ``adjustment`` cannot be built, is given in the loss, or does not fit the
            loss or the predictor; or the loss is given another number of classes.
    """

    def __init__(
        self,
        *args,
        adjustment: dict | Sequence[dict] | None = None,
        topk_nms: bool = True,
        class_indexed_reg: bool = True,
        init_cfg=None,
        **kwargs,
    ) -> None:
        if 'adjustment' in (kwargs.get('loss_cls') or {}):
            raise BadInputError(
                'bbox_head.loss_cls.adjustment is given, but losses take none; expected it in '
                'bbox_head.adjustment alone, from where loss and prediction get it'
            )
        if 'loss_cls' in kwargs and 'num_classes' in kwargs:
            kwargs['loss_cls'] = with_class_count(
                kwargs['loss_cls'], kwargs['num_classes'], 'bbox_head', 'bbox_head.loss_cls', MODELS
            )
        check_values(
            'bbox_head',
            topk_nms=(topk_nms, 'True or False'),
            class_indexed_reg=(class_indexed_reg, 'True or False'),
            reg_class_agnostic=(kwargs.get('reg_class_agnostic', False), 'True or False'),
        )
        if class_indexed_reg and not kwargs.get('reg_class_agnostic', False):
            regression = kwargs.get('reg_predictor_cfg') or dict(type='Linear')
            if regression['type'] in _LINEAR:
                indexed = dict(type=ClassIndexedLinear, num_classes=kwargs.get('num_classes', 80))
                kwargs['reg_predictor_cfg'] = {**regression, **indexed}
        super().__init__(*args, init_cfg=init_cfg, **kwargs)
        self.topk_nms = topk_nms
        self.adjustment = None if adjustment is None else self._build_adjustment(adjustment)
        self.register_load_state_dict_post_hook(_show_classifier)
        if init_cfg is None and self.with_cls:
            start = self._start_of_predictor()
            self.init_cfg = [
                dict(start, override=dict(name='fc_cls'))
                if start and _initialises(cfg, 'fc_cls')
                else cfg
                for cfg in self.init_cfg
            ]

    def _build_adjustment(self, cfg: dict | Sequence[dict]) -> nn.Module:
        if not self.with_cls:
            raise BadInputError(
                'bbox_head has an adjustment but with_cls=False, so no class logits'
            )
        check_adjustable(self.loss_cls, 'bbox_head.adjustment', 'bbox_head.loss_cls')
        num_logits, sigmoid = self.num_classes + 1, False
        if self.custom_cls_channels:
            num_logits = self.loss_cls.get_cls_channels(self.num_classes)
            sigmoid = getattr(self.loss_cls, 'use_sigmoid', False)
        adjustment = build_adjustment(
            cfg,
            num_classes=self.num_classes,
            num_extra=num_logits - self.num_classes,
            activation='sigmoid' if sigmoid else 'softmax',
        )
        for rule in adjustment.rules:
            if self.custom_cls_channels and getattr(rule, 'needs_background', False):
                raise BadInputError(
                    f"bbox_head.adjustment.type is '{type(rule).__name__}', which shifts the "
                    'foreground against the background of one softmax, but bbox_head.loss_cls.type '
                    f"'{type(self.loss_cls).__name__}' has channels of its own for that; expected "
                    "another adjustment, such as 'IIF', or 'CrossEntropyLoss'"
                )
            if isinstance(rule, TakesClassifier) and not self._is_linear:
                raise BadInputError(
                    f"bbox_head.adjustment.type is '{type(rule).__name__}', which reads the norms "
                    'of class weights, but bbox_head.cls_predictor_cfg.type is '
                    f"'{self.cls_predictor_cfg['type']}', expected 'Linear'"
                )
        return adjustment

    @property
    def _is_linear(self) -> bool:
        return self.cls_predictor_cfg['type'] in _LINEAR

    def _start_of_predictor(self) -> dict | None:
        """Initialisation of the class predictor where it is not ConvFCBBoxHead's."""
        if hasattr(self.loss_cls, 'prior_prob'):
            return dict(type='Normal', std=0.01, bias_prob=self.loss_cls.prior_prob)
        if self._is_linear and hasattr(self.loss_cls, 'predictor_start'):
            return self.loss_cls.predictor_start
        if self.adjustment is not None and self._is_linear and self.adjustment.scales_in_training:
            return dict(type='Constant', val=0.001)
        return None

    def train(self, mode: bool = True) -> LongTailBBoxHead:
        super().train(mode)
        if not mode:
            _show_classifier(self)
        return self

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        """Check the number of classes; the adjustment and the loss get the statistics from here."""
        if frequency.num_classes != self.num_classes:
            raise BadInputError(
                f'bbox_head.num_classes={self.num_classes}, the data set has '
                f'{frequency.num_classes} classes'
            )
        for part in (self.adjustment, self.loss_cls):
            if isinstance(part, TakesClassFrequency):
                part.set_class_frequency(frequency)

    def forward(self, x: Tensor) -> tuple[Tensor | None, Deltas | None]:
        """Predict from RoI features.

        Args:
            x: (R, D, h, w).

        Returns:
            Adjusted class logits (R, C + 1), background last, and box deltas (R, 4) or (R, 4 C),
            the latter put off.
        """
        if x.shape[1] != self.in_channels:
            raise BadInputError(
                f'bbox_head.in_channels is {self.in_channels}, but the RoI features have '
                f'{x.shape[1]} channels (out_channels of bbox_roi_extractor and neck)'
            )
        logits, deltas = super().forward(x)
        if self.adjustment is not None:
            logits = self.adjustment(logits)
        return logits, deltas

    def loss(
        self,
        cls_score: Tensor | None,
        bbox_pred: Deltas | None,
        rois: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        bbox_weights: Tensor,
        reduction_override: str | None = None,
    ) -> dict[str, Tensor]:
        """ConvFCBBoxHead's; a loss that asks for it learns which image each RoI is from.

        Args:
            cls_score: (R, C + 1).
            bbox_pred: (R, 4) or (R, 4 C).
            rois: (R, 5) as image, x1, y1, x2, y2.
            labels: (R,), C for background.
            label_weights: (R,).
            bbox_targets: (R, 4).
            bbox_weights: (R, 4).
            reduction_override: In place of that of the losses.
        """
        if rois is not None and isinstance(self.loss_cls, TakesRois):
            self.loss_cls.set_rois(rois)
        put_off = isinstance(bbox_pred, ClassIndexedOutputs)
        targets = labels, label_weights, bbox_targets, bbox_weights, reduction_override
        losses = super().loss(cls_score, None if put_off else bbox_pred, rois, *targets)
        if cls_score is not None and not cls_score.numel():
            # stock leaves the class loss out where there are no RoIs: its sums over all processes
            # would wait for this one for ever, and the classifier would have no gradient
            class_loss = self.loss_cls(
                cls_score,
                labels,
                label_weights,
                avg_factor=1.0,
                reduction_override=reduction_override,
            )
            losses.update(class_loss if isinstance(class_loss, dict) else dict(loss_cls=class_loss))
        if put_off:
            positive = (labels < self.num_classes).nonzero().squeeze(1)  # the one wait here
            deltas = bbox_pred[positive].at(labels[positive])
            if len(deltas) and self.reg_decoded_bbox:
                deltas = get_box_tensor(self.bbox_coder.decode(rois[positive, 1:], deltas))
            losses['loss_bbox'] = (
                self.loss_bbox(
                    deltas,
                    bbox_targets[positive],
                    bbox_weights[positive],
                    avg_factor=len(bbox_targets),
                    reduction_override=reduction_override,
                )
                if len(deltas)
                else deltas.sum()
            )
        return losses

    def bbox_pred_split(
        self, bbox_pred: ClassIndexedOutputs, sizes: Sequence[int]
    ) -> tuple[ClassIndexedOutputs, ...]:
        """Box deltas of each image; what RoI heads call where they are no tensor."""
        return bbox_pred.split(sizes)

    def regress_by_class(
        self, priors: Tensor, label: Tensor, bbox_pred: Deltas, img_meta: dict
    ) -> Tensor:
        """Boxes (R, 4) of one class (R,), from priors (R, 4): the next stage's in a cascade."""
        if not isinstance(bbox_pred, ClassIndexedOutputs):
            return super().regress_by_class(priors, label, bbox_pred, img_meta)
        return self.bbox_coder.decode(priors, bbox_pred.at(label), max_shape=img_meta['img_shape'])

    def _predict_by_feat_single(
        self,
        roi: Tensor,
        cls_score: Tensor | None,
        bbox_pred: Deltas | None,
        img_meta: dict,
        rescale: bool = False,
        rcnn_test_cfg: dict | None = None,
    ) -> InstanceData:
        """Detections of one image.

        Args:
            roi: (R, 5) as image, x1, y1, x2, y2 in pixels of the network's input.
            cls_score: Logits (R, C + 1).
            bbox_pred: (R, 4) or (R, 4 C), or None.
            img_meta: Has img_shape and, to rescale, scale_factor.
            rescale: Whether boxes are those in the original image.
            rcnn_test_cfg: Has score_thr, nms and max_per_img. None: all boxes, without NMS.

        Returns:
            bboxes (K, 4), scores (K,) and labels (K,), best first.
        """
        simple = (
            self.topk_nms
            and rcnn_test_cfg is not None
            and rcnn_test_cfg['max_per_img'] > 0
            and is_plain(rcnn_test_cfg['nms'])
        )
        put_off = isinstance(bbox_pred, ClassIndexedOutputs)
        if not simple or bbox_pred is None or cls_score is None or not len(roi):
            bbox_pred = bbox_pred.whole() if put_off else bbox_pred
            return super()._predict_by_feat_single(
                roi, cls_score, bbox_pred, img_meta, rescale, rcnn_test_cfg
            )
        if self.custom_cls_channels:
            scores = self.loss_cls.get_activation(cls_score)
        else:
            scores = cls_score.softmax(-1)
        if not put_off:
            deltas = bbox_pred.view(len(roi), -1, self.bbox_coder.encode_size)

        def boxes_of(proposals: Tensor, labels: Tensor) -> Tensor:
            if put_off:
                chosen = bbox_pred.of(proposals, labels)
            else:
                chosen = deltas[proposals, 0 if self.reg_class_agnostic else labels]
            boxes = self.bbox_coder.decode(
                roi[proposals, 1:], chosen, max_shape=img_meta['img_shape']
            )
            if rescale:
                boxes = scale_boxes(boxes, [1 / s for s in img_meta['scale_factor']])
            return get_box_tensor(boxes)

        boxes, scores, labels = topk_multiclass_nms(
            scores[:, :-1],
            boxes_of,
            rcnn_test_cfg['score_thr'],
            rcnn_test_cfg['nms']['iou_threshold'],
            rcnn_test_cfg['max_per_img'],
        )
        return InstanceData(bboxes=boxes, scores=scores, labels=labels)


def _show_classifier(head: LongTailBBoxHead, *_) -> None:
    """Let the rules that read the class weights read them."""
    if head.with_cls:
        show_classifier(head.adjustment, head.fc_cls.weight, getattr(head.fc_cls, 'bias', None))


def _initialises(cfg: dict, name: str) -> bool:
    override = cfg.get('override')
    return isinstance(override, dict) and override.get('name') == name
