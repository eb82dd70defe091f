"""Class activation map calibration: features weighted by where their class is seen."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ...data_buffers import DataBuffers
from ...values import check_values
from ..precision import full_precision

_SAMPLES = 256  # of which the embedding is there in full precision at a time


class CAMCalibration(DataBuffers):
    """Raises features at the places that resemble the prototypes of their probable classes.

    After the principle that CAMC (Zhang et al., arXiv 2108.12757) states: highlight, in training
    and in prediction, the regions that correlate across the data, and reinforce them. The details
    are ours. With features F (B, D, h, w), a unit embedding ``e(p) = l2(conv1x1 F(p))`` and class
    prototypes P (C, d)::

        r(p) = sum_c pi_c e(p) . P_c             pi: the k largest class probabilities
        A    = h w softmax_p(r / temperature)    mean 1
        F'   = F (1 + gamma A) / (1 + gamma)     gamma: learned from 0, hence the identity at first

    The sum over classes is taken over the prototypes, so the cost beyond choosing k of C
    probabilities does not depend on C. Prototypes are moving averages of the embeddings pooled by A
    over the samples of a class, over all processes. A class not seen yet has the prototype 0 and
    leaves A flat.

    Args:
        num_classes: C, without background.
        in_channels: D.
        embed_channels: d.
        top_k: k.
        momentum: Of the prototypes.
        temperature: Of the softmax over places.
        label_prob: Probability that training takes the label in place of the class probabilities.
        branches: Number of gammas, for feature maps that share embedding and prototypes.

    Attributes:
        gamma: (branches,).
        prototypes: Buffer (C, d).
        seen: Buffer (C,), whether the class has a prototype.

    Raises:
        BadInputError: A number outside its range.
    """

    data_buffers = ('prototypes', 'seen')

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        embed_channels: int = 256,
        top_k: int = 50,
        momentum: float = 0.99,
        temperature: float = 0.1,
        label_prob: float = 0.5,
        branches: int = 1,
    ) -> None:
        super().__init__()
        check_values(
            'calibration',
            embed_channels=(embed_channels, 'a whole number >= 1'),
            top_k=(top_k, 'a whole number >= 1'),
            momentum=(momentum, 'a number in [0, 1)'),
            temperature=(temperature, 'a number > 0'),
            label_prob=(label_prob, 'a number in [0, 1]'),
        )
        self.num_classes = num_classes
        self.top_k = min(top_k, num_classes)
        self.momentum = momentum
        self.temperature = temperature
        self.label_prob = label_prob
        self.embed = nn.Conv2d(in_channels, embed_channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(branches))
        self.register_buffer('prototypes', torch.zeros(num_classes, embed_channels))
        self.register_buffer('seen', torch.zeros(num_classes, dtype=torch.bool))

    def forward(
        self,
        features: Tensor,
        probabilities: Tensor | None = None,
        labels: Tensor | None = None,
        branch: int = 0,
        update: bool = False,
    ) -> Tensor:
        """Calibrate features.

        Args:
            features: F (B, D, h, w).
            probabilities: (B, C) or, with background last, (B, C + 1); no gradient flows there.
            labels: (B,), C for background. Without ``probabilities`` they stand for them.
            branch: Which gamma.
            update: Whether the prototypes learn from ``labels``.

        Returns:
            F' (B, D, h, w).
        """
        embedding, scale = self.embedding(features)
        attention = self.attention(embedding, scale, *self.chosen(probabilities, labels))
        if update:
            self.update(embedding, scale * attention, labels)
        gamma = self.gamma[branch]
        # divided before it is spread over the channels
        factor = (1 + gamma * attention) / (1 + gamma)
        return features * factor.to(features)[:, None]

    def embedding(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """conv1x1 F (B, d, h, w) of features (B, D, h, w), and what scales it to e, (B, h, w)."""
        embedding = self.embed(features)
        # in half precision squares overflow; as an argument, dtype makes no wide copy to be kept
        dtype = torch.promote_types(embedding.dtype, torch.float32)
        norm = torch.linalg.vector_norm(embedding, dim=1, dtype=dtype)
        return embedding, norm.clamp(min=1e-12).reciprocal()

    def attention(
        self, embedding: Tensor, scale: Tensor, classes: Tensor, weights: Tensor
    ) -> Tensor:
        """A (B, h, w) of an ``embedding`` for the given classes (B, k) and their weights (B, k)."""
        query = F.embedding_bag(
            classes, self.prototypes, mode='sum', per_sample_weights=weights.to(self.prototypes)
        )
        # scaled after the product: unit vectors of all places would be one more map to keep
        response = torch.einsum('bd,bdhw->bhw', query.to(embedding), embedding) * scale
        attention = (response.flatten(1) / self.temperature).softmax(1) * scale.shape[1:].numel()
        return attention.view_as(response)

    @torch.no_grad()
    def chosen(self, probabilities: Tensor | None, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The classes (B, k) that the attention looks for, and their weights (B, k)."""
        if labels is not None:
            one_hot = (labels < self.num_classes).float()
            labels = labels.clamp(max=self.num_classes - 1)
        if probabilities is None:
            return labels[:, None], one_hot[:, None]
        weights, classes = probabilities[:, : self.num_classes].float().topk(self.top_k)
        if labels is None or not self.training:
            return classes, weights
        by_label = torch.rand_like(one_hot) < self.label_prob
        classes[:, 0] = torch.where(by_label, labels, classes[:, 0])
        weights[:, 0] = torch.where(by_label, one_hot, weights[:, 0])
        weights[:, 1:] *= ~by_label[:, None]
        return classes, weights

    @torch.no_grad()
    def update(self, embedding: Tensor, weights: Tensor, labels: Tensor) -> None:
        """Move the prototypes of the classes in ``labels`` (B,) towards their pooled embeddings.

        The weights of the places (B, h, w) are attention times scale. Samples that are not finite,
        as in a step that mixed precision skips, do not count.
        """
        with full_precision(embedding):  # the scale overflows in half
            pooled = [
                torch.einsum('bdhw,bhw->bd', part.to(weights), weight)
                for part, weight in zip(embedding.split(_SAMPLES), weights.split(_SAMPLES))
            ]
        pooled = torch.cat(pooled).float() / weights.shape[1:].numel()
        # one row more for what does not count: the background; the last column counts
        labels = labels.where(pooled.isfinite().all(1), self.num_classes)
        rows = torch.cat([pooled, torch.ones_like(pooled[:, :1])], 1)
        total = rows.new_zeros(self.num_classes + 1, rows.shape[1]).index_add_(0, labels, rows)
        total = total[:-1].contiguous()
        all_reduce(total)
        count = total[:, -1:]
        mean = (total[:, :-1] / count.clamp(min=1)).to(self.prototypes)
        kept = self.momentum * self.seen[:, None]  # the first mean of a class is taken as it is
        moved = kept * self.prototypes + (1 - kept) * mean
        self.prototypes.copy_(torch.where(count > 0, moved, self.prototypes))
        self.seen |= count[:, 0] > 0
