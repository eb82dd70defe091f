"""1x1 convolutions that are evaluated for one output channel of each RoI.

A class-specific mask head needs the logits of one class only: the label of its RoI. Shapes below:
R RoIs, D features, C classes, h x w pixels of a RoI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .normed_predictors import NormedConv2d


class IndexableByClass:
    """Logits (R, C, h, w), or what was made of them, of which one class per RoI will be asked for.

    Stands between the forward of a mask head and its loss or prediction, where the labels are
    known. What RoI heads do in between to (R, C, h, w) (sigmoid, mean over the stages of a cascade)
    does not mix classes, so it is put off as well and done to (R, 1, h, w).
    """

    def at(self, labels: Tensor) -> Tensor:
        """The values of one class per RoI.

        Args:
            labels: (R,) int64 in [0, C).

        Returns:
            (R, 1, h, w).
        """
        raise NotImplementedError

    def sigmoid(self) -> IndexableByClass:
        return _Derived(torch.sigmoid, self)

    def detach(self) -> IndexableByClass:
        return _Derived(torch.detach, self)

    def mean(self, dim: int) -> IndexableByClass:
        return _Derived(lambda values: values.mean(dim=dim), self)

    def __getitem__(self, item) -> IndexableByClass:
        return _Derived(lambda values: values[item], self)

    def __mul__(self, factor: float) -> IndexableByClass:
        return _Derived(lambda values: values * factor, self)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is not torch.cat:
            return NotImplemented
        parts, *rest = args
        return _Derived(lambda *values: torch.cat(values, *rest, **(kwargs or {})), *parts)


class _Derived(IndexableByClass):
    def __init__(self, function: Callable[..., Tensor], *parts: IndexableByClass) -> None:
        self.function = function
        self.parts = parts

    def at(self, labels: Tensor) -> Tensor:
        return self.function(*(part.at(labels) for part in self.parts))


class ClassIndexedLogits(IndexableByClass):
    """What a class-indexed convolution returns: its input, until the labels are known.

    Args:
        conv: The convolution.
        features: (R, D, h, w).
    """

    def __init__(self, conv: ClassIndexedConv2d | ClassIndexedNormedConv2d, features: Tensor):
        self.conv = conv
        self.features = features

    def at(self, labels: Tensor) -> Tensor:
        return self.conv.logits_at(self.features, labels)

    def split(self, sizes: Sequence[int], dim: int = 0) -> list[ClassIndexedLogits]:
        """One for each image, of ``sizes`` RoIs."""
        return [ClassIndexedLogits(self.conv, part) for part in self.features.split(sizes, dim)]


class ClassIndexedConv2d(nn.Conv2d):
    """1x1 ``nn.Conv2d`` whose output channels are evaluated where they are asked for."""

    def forward(self, x: Tensor) -> ClassIndexedLogits | Tensor:
        """(R, D, h, w) to logits (R, C, h, w): a tensor in a traced graph, else put off."""
        return super().forward(x) if traced() else ClassIndexedLogits(self, x)

    def logits_at(self, x: Tensor, labels: Tensor) -> Tensor:
        """Channel ``labels[r]`` of the convolution of ``x[r]``.

        Args:
            x: (R, D, h, w).
            labels: (R,) int64 in [0, C).

        Returns:
            (R, 1, h, w).
        """
        return _add_bias(_dot(x, _rows(self.weight, labels)), self.bias, labels)


class ClassIndexedNormedConv2d(NormedConv2d):
    """1x1 ``NormedConv2d`` whose output channels are evaluated where they are asked for."""

    def forward(self, x: Tensor) -> ClassIndexedLogits | Tensor:
        """(R, D, h, w) to logits (R, C, h, w): a tensor in a traced graph, else put off."""
        return super().forward(x) if traced() else ClassIndexedLogits(self, x)

    def logits_at(self, x: Tensor, labels: Tensor) -> Tensor:
        """``temperature * <x, w> / ((|x|^power + eps) (|w|^power + eps)) + bias`` of one class.

        Args:
            x: (R, D, h, w).
            labels: (R,) int64 in [0, C).

        Returns:
            (R, 1, h, w).
        """
        weight = _rows(self.weight, labels)
        weight = weight / (weight.norm(dim=1, keepdim=True).pow(self.power) + self.eps)
        # the scalar product is normalised, not x, which has D times as many values
        scale = x.norm(dim=1, keepdim=True).pow(self.power) + self.eps
        logits = _dot(x, weight) / scale * self.temperature
        return _add_bias(logits, self.bias, labels)


def _rows(weight: Tensor, labels: Tensor) -> Tensor:
    """(C, D, 1, 1), (R,) to (R, D). Unlike indexing, an embedding takes no negative labels."""
    return F.embedding(labels, weight.flatten(1))


def _dot(x: Tensor, weight: Tensor) -> Tensor:
    """(R, D, h, w), (R, D) to (R, 1, h, w)."""
    return (weight[:, None] @ x.flatten(2)).unflatten(2, x.shape[2:])


def _add_bias(logits: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    return logits if bias is None else logits + bias[labels].view(-1, 1, 1, 1)


def traced() -> bool:
    """Whether a graph is being recorded, which takes tensors alone."""
    return torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()
