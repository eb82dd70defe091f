"""The predictions of a detector under other rules, without computing again what no rule changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

T = TypeVar('T')


class Replay:
    """Remembers what the modules of a detector returned, and returns it again to equal inputs.

    The detector's own code runs for every rule, from the images to the detections: its
    post-processing, its thresholds, its order. But where a module that has no classifier in it is
    called with the inputs of the first run, it answers with the output of the first run. So the
    result is that of a run of its own, whatever the family; what a rule does change (a RoI head
    that refines boxes by class, masks of other detections) has other inputs and is computed.

    In evaluation mode a module is a function of its inputs and weights. Inputs are compared by
    their place in memory, or else value by value; a tensor that was written to after it was
    remembered is not relied upon.

    Use it as a context, which alone has an effect on the detector::

        with Replay(detector, layers) as replay:
            for batch in batches:
                replay.forget()
                replay.run(lambda: predict(batch))  # computes everything
                rule.tau = 1.0
                replay.run(lambda: predict(batch))  # what comes behind the class logits

    Args:
        detector: In evaluation mode, on any device; gradients have to be off.
        classifiers: The layers behind which rules act. What they compute is remembered, what hooks
            make of it is not.
    """

    def __init__(self, detector: nn.Module, classifiers: Iterable[nn.Module]) -> None:
        self._inside = False
        self._recording = True
        chosen = {id(layer) for layer in classifiers}
        self._memories = []
        for module in detector.modules():
            if id(module) in chosen:
                self._memories.append(_Memory(self, module, 'forward'))
            elif not any(id(inner) in chosen for inner in module.modules()):
                self._memories.append(_Memory(self, module, 'forward'))
                if callable(getattr(module, 'predict', None)):  # of a region proposal network
                    self._memories.append(_Memory(self, module, 'predict'))

    def __enter__(self) -> Replay:
        for memory in self._memories:
            memory.install()
        return self

    def __exit__(self, *_) -> None:
        for memory in self._memories:
            memory.remove()

    def forget(self) -> None:
        """Start anew, for the next batch."""
        self._recording = True
        for memory in self._memories:
            memory.calls.clear()

    def run(self, function: Callable[[], T]) -> T:
        """Call ``function``: the first time since :meth:`forget` for real, then from memory."""
        for memory in self._memories:
            memory.next = 0
        result = function()
        if self._recording:
            self._recording = False
            for memory in self._memories:
                memory.settle()
        return result


@dataclass
class _Call:
    """What a call got and returned, and how often those tensors had been written to then."""

    arguments: Any
    arguments_then: list[int]
    output: Any
    output_then: list[int]
    copied: bool  # whether the tensors of ``output`` are copies that nobody else has


class _Memory:
    """Stands for a method of a module."""

    def __init__(self, replay: Replay, module: nn.Module, name: str) -> None:
        self.replay = replay
        self.module = module
        self.name = name
        self.function = getattr(module, name)
        self.own = module.__dict__.get(name)  # where it is not the method of the class
        self.calls: list[_Call | None] = []
        self.next = 0
        self.overwritten = False  # whether others write into what it returns

    def install(self) -> None:
        setattr(self.module, self.name, self)

    def remove(self) -> None:
        delattr(self.module, self.name)
        if self.own is not None:
            setattr(self.module, self.name, self.own)
        self.calls.clear()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        replay = self.replay
        if replay._inside:
            return self.function(*args, **kwargs)
        call = None
        if not replay._recording:
            call = self.calls[self.next] if self.next < len(self.calls) else None
            self.next += 1
        if call is not None and _same((args, kwargs), call.arguments, call.arguments_then):
            if call.copied:
                return _rebuilt(call.output, Tensor.clone)
            if _versions(call.output) == call.output_then:
                return _rebuilt(call.output)
        arguments = _rebuilt((args, kwargs))
        arguments_then = _versions(arguments)
        replay._inside = True
        try:
            output = self.function(*args, **kwargs)
        finally:
            replay._inside = False
        if replay._recording:
            kept = _rebuilt(output, Tensor.clone if self.overwritten else None)
            self.calls.append(
                _Call(arguments, arguments_then, kept, _versions(kept), self.overwritten)
            )
        return output

    def settle(self) -> None:
        """After the first run: what was written into meanwhile is not to be relied upon."""
        for number, call in enumerate(self.calls):
            if _versions(call.output) != call.output_then:
                self.calls[number] = None
                self.overwritten = True  # from the next batch on copies are kept


def _same(now: Any, first: Any, then: list[int]) -> bool:
    """Whether arguments are those of the first run, which must not have changed since."""
    return _versions(first) == then and _equal(now, first)


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return _at_one_place(a, b) or (
            a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
        )
    if isinstance(a, DetDataSample):  # an image of the batch, which stays the same
        return True
    if isinstance(a, BaseDataElement):
        return _equal(dict(a.items()), dict(b.items()))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return isinstance(a, (int, float, str, bool, torch.Size, torch.dtype)) and a == b


def _at_one_place(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are views of the same memory; the first run's keeps it in use."""
    return (
        a.data_ptr() == b.data_ptr() != 0
        and a.shape == b.shape
        and a.stride() == b.stride()
        and a.dtype == b.dtype
        and a.device == b.device
    )


def _versions(value: Any) -> list[int]:
    """How often each tensor in a value has been written to."""
    return [tensor._version for tensor in _tensors(value)]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, DetDataSample):  # its predictions are written into it
        return
    elif isinstance(value, BaseDataElement):
        yield from _tensors(value.values())
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


def _rebuilt(value: Any, of_tensor: Callable[[Tensor], Tensor] | None = None) -> Any:
    """A value in containers of its own, which others may take apart; with the same tensors, or
    ``of_tensor`` of them."""
    if isinstance(value, Tensor):
        return value if of_tensor is None else of_tensor(value)
    if isinstance(value, DetDataSample):
        return value
    if isinstance(value, BaseDataElement):
        return value.new(**{key: _rebuilt(part, of_tensor) for key, part in value.items()})
    if type(value) in (dict, list, tuple):
        if isinstance(value, dict):
            return {key: _rebuilt(part, of_tensor) for key, part in value.items()}
        return type(value)(_rebuilt(part, of_tensor) for part in value)
    return value
