"""A detector against another that should be the same: losses, gradients, detections."""

from __future__ import annotations

from copy import deepcopy

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.structures import InstanceData
from torch import Tensor, nn


def assert_alike(
    stock: nn.Module, ours: nn.Module, num_classes: int, **boxes: float
) -> list[tuple[InstanceData, InstanceData]]:
    """Train a step and predict with both, on the same images and random numbers.

    Args:
        stock: A detector with masks.
        ours: The other.
        num_classes: C.
        **boxes: Tolerance of the detections, ``rtol`` and ``atol``.

    Returns:
        Detections of ``stock`` and of ``ours`` in each image.
    """
    packed = demo_mm_inputs(
        2, [[3, 128, 128], [3, 120, 128]], num_classes=num_classes, with_mask=True
    )
    expected, found = (_train_and_predict(model, packed) for model in (stock, ours))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)
    pairs = list(zip(expected[2], found[2], strict=True))
    for theirs, result in pairs:
        assert len(theirs)
        for key in ('scores', 'labels', 'bboxes'):
            torch.testing.assert_close(result[key], theirs[key], **boxes)
    return pairs


def _train_and_predict(
    model: nn.Module, packed: dict
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[InstanceData]]:
    model.train()
    torch.manual_seed(0)
    data = model.data_preprocessor(deepcopy(packed), True)
    losses = model.loss(data['inputs'], data['data_samples'])
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
    total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(deepcopy(packed), False)
        predictions = model.predict(data['inputs'], data['data_samples'])
    return losses, gradients, [sample.pred_instances for sample in predictions]
