"""A linear layer of C classes that is evaluated for the classes that are asked for.

A class-specific box regression has 4 outputs for each class, of which a RoI needs those of its
label. Shapes below: R RoIs, D features, C classes, K outputs of a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .class_indexed_conv import traced

# Evaluating one class of one RoI takes as long as so many of them in a product of matrices.
_SLOWER = 128
_CHUNK = 512  # pairs whose weights are gathered at a time, 8 MB


class ClassIndexedLinear(nn.Linear):
    """``nn.Linear`` whose outputs are evaluated where they are asked for.

    Args:
        in_features: D.
        out_features: C K, those of a class side by side.
        num_classes: C.
        bias: As in ``nn.Linear``.
    """

    def __init__(
        self, in_features: int, out_features: int, num_classes: int, bias: bool = True
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.num_classes = num_classes

    def forward(self, x: Tensor) -> ClassIndexedOutputs | Tensor:
        """(R, D) to (R, C K): a tensor in a traced graph, else put off."""
        return super().forward(x) if traced() else ClassIndexedOutputs(self, x)

    def outputs_at(self, x: Tensor, labels: Tensor) -> Tensor:
        """Outputs (R, K) of one class (R,) in [0, C) for each row of ``x`` (R, D)."""
        weight = F.embedding(labels, self.weight.view(self.num_classes, -1))
        outputs = (weight.unflatten(1, (-1, x.size(1))) @ x[:, :, None]).squeeze(2)
        return (
            outputs
            if self.bias is None
            else outputs + self.bias.unflatten(0, (-1, outputs.size(1)))[labels]
        )


class ClassIndexedOutputs:
    """Outputs (R, C K) that are put off until it is known which of them are wanted.

    What else is asked of it is asked of all outputs.

    Args:
        layer: The linear layer.
        features: (R, D).
    """

    def __init__(self, layer: ClassIndexedLinear, features: Tensor) -> None:
        self.layer = layer
        self.features = features
        self._whole: Tensor | None = None
        self._asked = 0

    def at(self, labels: Tensor) -> Tensor:
        """Outputs (R, K) of one class (R,) in [0, C) for each RoI."""
        return self.layer.outputs_at(self.features, labels)

    def of(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Outputs (M, K) of pairs of RoI (M,) and class (M,), one by one while they are few."""
        classes = self.layer.num_classes
        self._asked += len(rows)
        if self._whole is not None or self._asked * _SLOWER > len(self) * classes:
            return self.whole().unflatten(1, (classes, -1))[rows, labels]
        parts = [
            self.layer.outputs_at(self.features[part], of)
            for part, of in zip(rows.split(_CHUNK), labels.split(_CHUNK))
        ]
        return torch.cat(parts)

    def whole(self) -> Tensor:
        """All outputs (R, C K)."""
        if self._whole is None:
            self._whole = F.linear(self.features, self.layer.weight, self.layer.bias)
        return self._whole

    def split(self, sizes: Sequence[int]) -> tuple[ClassIndexedOutputs, ...]:
        """One for each image, of ``sizes`` RoIs."""
        return tuple(ClassIndexedOutputs(self.layer, part) for part in self.features.split(sizes))

    def __getitem__(self, rows: Tensor) -> ClassIndexedOutputs:
        return ClassIndexedOutputs(self.layer, self.features[rows])

    def __len__(self) -> int:
        return len(self.features)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):  # of protocols, such as copying, that go by its own
            raise AttributeError(name)
        return getattr(self.whole(), name)
