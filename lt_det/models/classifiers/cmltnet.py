"""Words in training, images alone at test: alignment, inference and fusion of two modalities.

After the principle that the abstract of CMLTNet (Computational Visual Media 10(5), 2024) states:
words that describe an image are privileged information for long-tailed recognition; cross-modal
alignment draws the images of a class together, cross-modal inference predicts the semantics, and
both are fused. Everything below that level is ours.

Shapes: B images of which some are described, C classes, V words, D features of the backbone, E
embedding, W word vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import BadInputError
from ...upload import upload
from ...values import check_values
from ..layers.word_vectors import WordTable
from ..precision import full_precision, unit, widen
from .long_tail_cls_head import LongTailClsHead


class ImagePath(NamedTuple):
    """What an image alone gives.

    Attributes:
        fused: h (B, E), what is classified.
        image: z_v (B, E), of unit length.
        semantic: s (B, E), of unit length; None without inference.
        word_logits: (B, V); None without inference.
    """

    fused: Tensor
    image: Tensor
    semantic: Tensor | None
    word_logits: Tensor | None


@MODELS.register_module()
class CrossModalHead(LongTailClsHead):
    """Classifies images; in training it may see words too (see the module's docstring).

    With ``v`` (D) the feature of an image, ``T`` (V, W) the word vectors and ``l2`` the division by
    the norm::

        z_v = l2(linear(v))
        z_t = l2(MLP(mean of T over the image's words))            # alignment
        p = sigmoid(MLP(v) T^T),   s = l2(MLP(sum_w p_w T_w))      # inference
        g = sigmoid(linear([z_v; s])),   h = g z_v + (1 - g) s     # fusion

    ``s`` comes from predicted words in training too, so training and test share one path, and words
    that a test image has change nothing. One classifier serves h, z_v, s and z_t. The loss is
    ``CE(h) + auxiliary [CE(z_v) + CE(s) + CE(z_t)]``, plus for alignment
    :func:`label_aware_infonce` and :func:`distillation`, plus for inference
    :func:`word_prediction_loss`. Images without words take part in all but the parts on z_t and the
    word prediction, which are weighted by the share of the batch that has words.

    Args:
        num_classes: C.
        in_channels: D.
        num_words: V.
        alignment: Whether images are aligned with texts.
        inference: Whether words are predicted and enter the decision.
        fusion: Whether a gate weighs z_v against s; without it h is their mean.
        embed_dims: E.
        word_vectors: Arguments of :class:`lt_det.models.layers.WordTable`.
        temperature: Of the contrastive loss.
        distillation_temperature: Of the step from text to image.
        auxiliary: Weight of the further classification losses.
        align_weight, distill_weight, word_weight: Weights of the other losses.
        deploy: Build without what only training needs; see :meth:`switch_to_deploy`.
        cls_predictor_cfg: The classifier, as in LongTailClsHead; by default a cosine classifier.
        **kwargs: Those of LongTailClsHead (``adjustment``, ``loss``, ...).

    Raises:
        BadInputError: Fusion without inference.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_words: int,
        alignment: bool = True,
        inference: bool = True,
        fusion: bool = True,
        embed_dims: int = 512,
        word_vectors: dict | None = None,
        temperature: float = 0.1,
        distillation_temperature: float = 2.0,
        auxiliary: float = 0.5,
        align_weight: float = 1.0,
        distill_weight: float = 1.0,
        word_weight: float = 1.0,
        deploy: bool = False,
        cls_predictor_cfg: dict | None = None,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        check_values(
            'head',
            alignment=(alignment, 'True or False'),
            inference=(inference, 'True or False'),
            fusion=(fusion, 'True or False'),
            deploy=(deploy, 'True or False'),
            temperature=(temperature, 'a number > 0'),
            distillation_temperature=(distillation_temperature, 'a number > 0'),
            auxiliary=(auxiliary, 'a number >= 0'),
            align_weight=(align_weight, 'a number >= 0'),
            distill_weight=(distill_weight, 'a number >= 0'),
            word_weight=(word_weight, 'a number >= 0'),
        )
        if fusion and not inference:
            raise BadInputError(
                'head.fusion=True with head.inference=False: there is nothing to fuse; set '
                'fusion=False'
            )
        super().__init__(
            num_classes,
            embed_dims,
            cls_predictor_cfg=cls_predictor_cfg or dict(type='CosineLinear', scale=16.0),
            init_cfg=init_cfg,
            **kwargs,
        )
        self.in_channels = in_channels
        self.num_words = num_words
        self.alignment = alignment
        self.inference = inference
        self.fusion = fusion
        self.temperature = temperature
        self.distillation_temperature = distillation_temperature
        self.auxiliary = auxiliary
        self.align_weight = align_weight
        self.distill_weight = distill_weight
        self.word_weight = word_weight
        self.deploy = deploy
        self.image_projection = nn.Linear(in_channels, embed_dims)
        if alignment or inference:
            self.words = WordTable(num_words, **(word_vectors or {}))
        if alignment:
            self.text_encoder = _mlp(self.words.width, embed_dims, embed_dims)
        if inference:
            self.word_predictor = _mlp(in_channels, embed_dims, self.words.width)
            self.semantic_encoder = _mlp(self.words.width, embed_dims, embed_dims)
        if fusion:
            self.gate = nn.Linear(2 * embed_dims, embed_dims)
        # no buffer: it comes late, and an average of the model (EMAHook) would hold another one
        self.positive_weight: Tensor | None = None
        if deploy:
            self.switch_to_deploy()

    def set_words(self, vocabulary: Sequence[str], counts: np.ndarray, described: int) -> None:
        """Take over the words of the training set; vectors from outside are read here.

        Args:
            vocabulary: V words.
            counts: Training images that have each word, (V,).
            described: Training images that have any.

        Raises:
            BadInputError: Another number of words.
        """
        if len(vocabulary) != self.num_words:
            raise BadInputError(
                f'head.num_words={self.num_words}, the vocabulary of the training set has '
                f'{len(vocabulary)} words'
            )
        share = np.maximum(counts, 1) / max(described, 1)
        self.positive_weight = torch.from_numpy(share**-0.5)
        if self.alignment or self.inference:
            self.words.fill(vocabulary)

    def switch_to_deploy(self) -> None:
        """Drop what the path of the image does not use: the text encoder, and the word vectors
        where words are not predicted."""
        self.deploy = True
        for name in ('text_encoder',) if self.inference else ('text_encoder', 'words'):
            if hasattr(self, name):
                delattr(self, name)

    def embed(self, v: Tensor) -> ImagePath:
        """What the features v (B, D) of images give."""
        image = unit(self.image_projection(v))
        if not self.inference:
            return ImagePath(image, image, None, None)
        table = self.words.weight
        word_logits = F.linear(self.word_predictor(v), table)
        semantic = unit(self.semantic_encoder(word_logits.sigmoid() @ table))
        if self.fusion:
            gate = self.gate(torch.cat([image, semantic], 1)).sigmoid()
            fused = semantic + gate * (image - semantic)
        else:
            fused = (image + semantic) / 2
        return ImagePath(fused, image, semantic, word_logits)

    def encode_words(self, has_word: Tensor) -> Tensor:
        """z_t (B, E) of the words of images, (B, V) in 0 and 1; of no meaning where a row is 0."""
        number = has_word.sum(1, keepdim=True).clamp(min=1)
        return unit(self.text_encoder(has_word @ self.words.weight / number))

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """h (B, E) of features whose last entry is (B, D)."""
        return self.embed(feats[-1]).fused

    def predict(
        self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample] | None = None
    ) -> list[DataSample]:
        """Samples with ``pred_score`` and ``pred_label``; with inference also ``pred_words`` (V,).

        Words that the samples have are not looked at.
        """
        path = self.embed(feats[-1])
        samples = self._get_predictions(self.adjusted(self.fc(path.fused)), data_samples)
        if path.word_logits is not None:
            for sample, scores in zip(samples, path.word_logits.sigmoid()):
                sample.set_field(scores, 'pred_words')
        return samples

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], **kwargs) -> dict:
        """Losses of images with features whose last entry is (B, D); samples may have ``words``.

        Raises:
            BadInputError: The batch is mixed (mixup, CutMix), which words cannot follow.
            RuntimeError: :meth:`set_words` has not been called.
        """
        path = self.embed(feats[-1])
        losses = self._get_loss(self.adjusted(self.fc(path.fused)), data_samples, **kwargs)
        if not (self.alignment or self.inference):
            return losses
        if self.positive_weight is None:
            raise RuntimeError(
                "CrossModalHead has no word statistics yet: add dict(type='WordsHook') to "
                'custom_hooks or call set_words'
            )
        if 'gt_score' in data_samples[0]:
            raise BadInputError(
                'CrossModalHead learns from the words of each image; remove augments that mix '
                'images (mixup, CutMix) from model.train_cfg'
            )
        labels = torch.cat([sample.gt_label for sample in data_samples])
        # counts are exact in the precision of the parameters, not in that of autocast
        has_word = stack_words(data_samples, self.num_words)
        has_word = upload(has_word, self.words.weight.device).to(self.words.weight.dtype)
        self.positive_weight = upload(self.positive_weight, has_word.device).to(has_word.dtype)
        described = has_word.any(1)
        # a described image weighs as much among few as among many
        share = described.to(has_word).mean()
        if self.inference:
            losses['loss_image'] = self.auxiliary * self._classify(path.image, labels)
            losses['loss_semantic'] = self.auxiliary * self._classify(path.semantic, labels)
            losses['loss_words'] = (
                self.word_weight
                * share
                * word_prediction_loss(path.word_logits, has_word, self.positive_weight)
            )
        if self.alignment:
            text = self.encode_words(has_word)
            losses['loss_text'] = self.auxiliary * share * self._classify(text, labels, described)
            losses['loss_align'] = (
                self.align_weight
                * share
                * label_aware_infonce(path.image, text, labels, described, self.temperature)
            )
            # adjusted, as every score that is trained: without, frequent classes would gain by it
            scores = (self.adjusted(self.fc(embedded)) for embedded in (text, path.image))
            losses['loss_distill'] = (
                self.distill_weight
                * share
                * distillation(*scores, described, self.distillation_temperature)
            )
        return losses

    def _classify(self, embedded: Tensor, labels: Tensor, chosen: Tensor | None = None) -> Tensor:
        scores = self.adjusted(self.fc(embedded))
        if chosen is None:
            return self.loss_module(scores, labels, avg_factor=len(labels))
        number = chosen.sum().clamp(min=1)
        return self.loss_module(scores, labels, weight=chosen.to(scores), avg_factor=number)


def stack_words(data_samples: Sequence[DataSample], num_words: int) -> Tensor:
    """Which words the samples have, (B, V) in 0 and 1; rows of 0 where ``words`` is missing."""
    has_word = torch.zeros(len(data_samples), num_words)
    for row, sample in zip(has_word, data_samples):
        words = sample.get('words')
        if words is not None:
            row[torch.as_tensor(words, dtype=torch.int64)] = 1
    return has_word


def label_aware_infonce(
    image: Tensor, text: Tensor, labels: Tensor, described: Tensor, temperature: float
) -> Tensor:
    """Contrast of images and texts where all pairs of a class are positive.

    With ``e_ij = exp(z_v,i . z_t,j / temperature)`` and
    ``q_ij = e_ij / sum_c mean_{k: y_k = c} e_ik``, over the described texts of each class c of the
    batch, the loss of an image is ``-mean_{j: y_j = y_i} log q_ij``; likewise of a text over all
    images. Losses are averaged within each class first, then over the classes, so that a rare class
    counts as much as a frequent one, and over both directions. An image is left out where no text
    of its class is in the batch; without any text the loss is 0.

    InfoNCE (Oord et al., arXiv 1807.03748) with the positives of supervised contrastive learning
    (Khosla et al., arXiv 2004.11362, equation 2) and the class averages of balanced contrastive
    learning (Zhu et al., arXiv 2207.09052): each class of the batch repels with equal weight.

    Args:
        image: z_v (B, E).
        text: z_t (B, E).
        labels: (B,).
        described: Which texts exist, (B,) boolean.
        temperature: > 0.
    """
    with full_precision(image):
        scores = widen(image) @ widen(text).T / temperature
    same = labels[:, None] == labels
    smallest = torch.finfo(scores.dtype).min
    to_text = _log_share(scores.masked_fill(~described, smallest), same & described)
    to_image = _log_share(scores.T, same)
    every = torch.ones_like(described)
    return 0.5 * (
        _class_mean(to_text, same & described, same, every)
        + _class_mean(to_image, same, same, described)
    )


def _log_share(scores: Tensor, same: Tensor) -> Tensor:
    """log q (B, B) of scores (B, B); same (B, B) tells the columns of a class."""
    log_number = same.sum(1).clamp(min=1).to(scores).log()
    return scores - (scores - log_number).logsumexp(1, keepdim=True)


def _class_mean(log_q: Tensor, positive: Tensor, same: Tensor, anchor: Tensor) -> Tensor:
    """Negative mean of log_q (B, B) over positives, then the anchors of a class, then classes."""
    number = positive.sum(1)
    loss = -(log_q * positive).sum(1) / number.clamp(min=1)
    counted = anchor & (number > 0)
    weight = counted.to(loss) / (same & counted).sum(1).clamp(min=1)
    return (weight * loss).sum() / weight.sum().clamp(min=1)


def distillation(text: Tensor, image: Tensor, described: Tensor, temperature: float) -> Tensor:
    """``t^2 KL(softmax(text / t) || softmax(image / t))``, mean over described images.

    Hinton et al., arXiv 1503.02531, section 2; the text is the teacher and gets no gradient.

    Args:
        text: Logits (B, C) of z_t.
        image: Logits (B, C) of z_v.
        described: (B,) boolean.
        temperature: t.
    """
    teacher = (widen(text.detach()) / temperature).log_softmax(1)
    student = (widen(image) / temperature).log_softmax(1)
    divergence = (teacher.exp() * (teacher - student)).sum(1)
    return temperature**2 * (divergence * described).sum() / described.sum().clamp(min=1)


def word_prediction_loss(logits: Tensor, has_word: Tensor, positive_weight: Tensor) -> Tensor:
    """Binary cross-entropy of words, a positive multiplied by the weight of its word.

    Summed over words and described images, divided by the number of words that these have.

    Args:
        logits: (B, V).
        has_word: (B, V) in 0 and 1; a row of 0 is an image without words and does not count.
        positive_weight: ``1 / sqrt(share of the described images that have the word)``, (V,).
    """
    logits = widen(logits)
    loss = F.binary_cross_entropy_with_logits(
        logits, has_word.to(logits), pos_weight=positive_weight.to(logits), reduction='none'
    )
    described = has_word.any(1, keepdim=True)
    return (loss * described).sum() / has_word.sum().clamp(min=1)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
