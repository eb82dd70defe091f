"""The modules that need class statistics, and how they are found in a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .data_buffers import DataBuffers
from .errors import BadInputError, MissingStatisticsError
from .frequency import ClassFrequency
from .protocols import TakesClassFrequency

COUNT_BUFFERS = ('image_count', 'instance_count', 'num_images')


class FrequencyModule(DataBuffers):
    """A module that needs class statistics; a checkpoint carries them in its buffers.

    ``ClassFrequencyHook`` calls :meth:`set_class_frequency` before training; loading a checkpoint
    restores the statistics without the training set. What a rule derives from them and its options
    is computed anew then, so that the present options are in force.

    Args:
        num_classes: C, foreground classes.

    Attributes:
        optional: Whether a test does without the statistics, where a checkpoint has none.
    """

    image_count: Tensor
    instance_count: Tensor
    num_images: Tensor
    optional = False
    data_buffers: tuple[str, ...] = COUNT_BUFFERS

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer('image_count', torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer('instance_count', torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer('num_images', torch.zeros((), dtype=torch.int64))
        self.has_frequency = False
        self._class_names: tuple[str, ...] | None = None  # of those that were set, for messages

    @property
    def frequency(self) -> ClassFrequency:
        """The statistics in the buffers (reads them back from the device)."""
        return ClassFrequency(
            self.image_count.cpu().numpy(),
            self.instance_count.cpu().numpy(),
            int(self.num_images),
            self._class_names,
        )

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        """Take over the statistics of the training set.

        Raises:
            BadInputError: ``frequency`` has another number of classes.
        """
        if frequency.num_classes != self.num_classes:
            raise BadInputError(
                f'{type(self).__name__} is built for num_classes={self.num_classes}, '
                f'the data set has {frequency.num_classes} classes'
            )
        self.image_count.copy_(torch.from_numpy(frequency.image_count))
        self.instance_count.copy_(torch.from_numpy(frequency.instance_count))
        self.num_images.fill_(frequency.num_images)
        self._class_names = frequency.class_names
        self.has_frequency = True

    def _load_from_state_dict(
        self,
        state_dict: dict,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        *args: Any,
    ) -> None:
        there = [
            name for name in COUNT_BUFFERS if isinstance(state_dict.get(prefix + name), Tensor)
        ]
        if 0 < len(there) < len(COUNT_BUFFERS):
            raise BadInputError(
                f'the checkpoint has of the class statistics of {prefix[:-1] or "the module"} only '
                f'{" and ".join(there)}; expected tensors {", ".join(COUNT_BUFFERS)}, or none'
            )
        missing: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, *args)
        own = {prefix + name for name in self.data_buffers}
        if own.isdisjoint(state_dict):
            # a model that was trained without this module; without statistics it refuses to run
            missing = [key for key in missing if key not in own]
        missing_keys += missing
        if prefix + 'image_count' in state_dict:
            self.has_frequency = bool(self.num_images.item())
            self._class_names = None


def frequency_modules(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules with ``set_class_frequency``; they pass it on to what they hold."""
    if isinstance(module, TakesClassFrequency):
        yield module
        return
    for child in module.children():
        yield from frequency_modules(child)


def without_statistics(module: object) -> MissingStatisticsError:
    """The error of a module or metric that is used before it has got class statistics."""
    carried = isinstance(module, FrequencyModule)
    load = ', load a checkpoint that carries them,' if carried else ''
    return MissingStatisticsError(
        f'{type(module).__name__} has no class statistics yet: add '
        f"dict(type='ClassFrequencyHook') to custom_hooks{load} or call set_class_frequency"
    )
