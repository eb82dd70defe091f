"""Where a classifier sees the class that it predicts: class activation maps for a page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from ...bare_model import bare_model
from .classified import Classified
from .classifier import picks
from .thumbnails import jpeg, shrunk

_BATCH = 16


def with_attention(found: Classified, model: nn.Module, dataset: Any) -> Classified:
    """Add class activation maps of the images that the page of a classifier shows.

    These images go through the model once more. One is left out where the model does not predict
    what it did, for its weights are others than those that were evaluated; all are, where the model
    has no such map (see :func:`activation`).

    Args:
        found: Predictions of the model.
        model: An ImageClassifier of MMPretrain, or a wrapper of it.
        dataset: The data set that was evaluated.
    """
    model = bare_model(model)
    if not all(hasattr(model, name) for name in ('backbone', 'head', 'data_preprocessor')):
        return found
    training = model.training
    model.eval()
    try:
        rows = _attended(found, model, dataset)
    finally:
        model.train(training)
    if not rows:
        return found
    shown, view, attention = zip(*rows)
    return replace(
        found, shown=np.array(shown), view=np.array(view, bytes), attention=np.stack(attention)
    )


@torch.no_grad()
def _attended(found: Classified, model: nn.Module, dataset: Any) -> list[tuple]:
    """Number, view and map of each image."""
    rows: list[tuple] = []
    images = sorted({image for _, _, image in picks(found)})
    for start in range(0, len(images), _BATCH):
        numbers = images[start : start + _BATCH]
        batch = pseudo_collate([dataset[i] for i in numbers])
        views = [_view(pixels, found.image[i]) for i, pixels in zip(numbers, batch['inputs'])]
        inputs = model.data_preprocessor(batch, False)['inputs']
        maps = model.backbone(inputs)
        neck = getattr(model, 'neck', None)
        pooled = maps if neck is None else neck(maps)
        labels = torch.as_tensor(found.predicted[numbers], device=inputs.device)
        attention = activation(model.head, maps, pooled, labels)
        if attention is None or None in views:
            return []
        same = (model.head(pooled).argmax(1) == labels).tolist()
        of_batch = zip(numbers, views, attention.half().cpu().numpy())
        rows += [row for row, is_same in zip(of_batch, same) if is_same]
    return rows


def activation(head: nn.Module, maps: Any, pooled: Any, labels: Tensor) -> Tensor | None:
    """Class activation maps (B, h, w) in 0..1, the largest of an image 1.

    The map of a class is the sum of the channels of the last feature map, each times the weight
    that the classifier has for it (Zhou et al., Learning Deep Features for Discriminative
    Localization, CVPR 2016); what is below 0 speaks against the class and is 0. A head that has an
    ``attention`` of its own (CAMCClsHead) is asked instead.

    Args:
        head: Of a classifier.
        maps: Output of its backbone, the last one (B, D, h, w).
        pooled: What the head gets.
        labels: (B,) classes that are asked for.

    Returns:
        None where there is no map: features without places, or not averaged over them, or no single
        linear layer ``fc`` over them.
    """
    features = maps[-1] if isinstance(maps, (tuple, list)) else None
    if features is None or features.dim() != 4:
        return None
    if hasattr(head, 'attention'):
        found = head.attention(maps)
    else:
        weight = getattr(getattr(head, 'fc', None), 'weight', None)
        mean, last = features.mean((2, 3)), pooled[-1]
        averaged = last.shape == mean.shape and torch.allclose(last, mean, rtol=1e-2, atol=1e-3)
        if not averaged or weight is None or weight.shape[1:] != mean.shape[1:]:
            return None
        found = torch.einsum('bdhw,bd->bhw', features, weight[labels].to(features.dtype))
    found = found.float().clamp(min=0)
    return found / found.amax((1, 2), keepdim=True).clamp(min=1e-12)


def _view(pixels: Any, path: str) -> bytes | None:
    """JPEG of an image (3, H, W) as it goes into the network; None if it is none."""
    if not isinstance(pixels, Tensor) or pixels.dim() != 3 or len(pixels) != 3:
        return None
    image = pixels.permute(1, 2, 0).clamp(0, 255).to(torch.uint8).cpu().numpy()
    if not path:  # of CIFAR and its like, which are RGB; files are read in OpenCV's order
        image = image[..., ::-1]
    return jpeg(shrunk(np.ascontiguousarray(image)))
