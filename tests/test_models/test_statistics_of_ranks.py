"""What modules count in training is the same in all processes when a checkpoint is written.

A checkpoint has the buffers of one process, so every buffer that training changes has to hold the
sum over all of them at the end of an iteration, whoever had how many rows.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import lt_det
from lt_det.engine import ClassFrequencyHook
from lt_det.frequency import ClassFrequency
from lt_det.models.layers import FASA, CAMCalibration
from lt_det.models.losses import EqualizedFocalLoss, LongTailEQLV2Loss, LongTailSeesawLoss

from .two_processes import in_two_processes

C, ROWS = 3, 6
SHARES = (4, ROWS, 1)  # rows of the first process, of each iteration; the second has the others

Iteration = Callable[[nn.Module, Tensor, Tensor, int], None]


def on_logits(channels: int) -> Iteration:
    def iteration(loss: nn.Module, features: Tensor, labels: Tensor, rank: int) -> None:
        loss(features.flatten(1)[:, :channels], labels)

    return iteration


def on_dense_logits(loss: nn.Module, features: Tensor, labels: Tensor, rank: int) -> None:
    """The first process asks three times, of which once for nothing, the other one once."""
    halves = (slice(0, 2), slice(2, None), slice(0, 0)) if rank == 0 else (slice(None),)
    logits = features.flatten(1)[:, :C].clone().requires_grad_()
    sum(loss(logits[half], labels[half], avg_factor=1.0) for half in halves).backward()


def calibrate(layer: nn.Module, features: Tensor, labels: Tensor, rank: int) -> None:
    layer(features, labels=labels, update=True)


def augment(layer: nn.Module, features: Tensor, labels: Tensor, rank: int) -> None:
    layer.update(features.mean((2, 3)), labels, features.flatten(1)[:, 0].exp())
    layer.adapt()
    layer.update(features.mean((2, 3)), labels, features.flatten(1)[:, 1].exp())


def fasa() -> FASA:
    layer = FASA(C, 4)
    layer.set_class_frequency(ClassFrequency([9, 3, 1]))
    return layer


# what training changes: how it is made, and an iteration of it
COUNTING: dict[type[nn.Module], tuple[Callable[[], nn.Module], Iteration]] = {
    LongTailSeesawLoss: (lambda: LongTailSeesawLoss(num_classes=C), on_logits(C + 2)),
    LongTailEQLV2Loss: (lambda: LongTailEQLV2Loss(num_classes=C), on_logits(C + 1)),
    EqualizedFocalLoss: (lambda: EqualizedFocalLoss(C), on_dense_logits),
    CAMCalibration: (lambda: CAMCalibration(C, 4, embed_channels=4), calibrate),
    FASA: (fasa, augment),
}
# buffers that follow from the training set, the config or a checkpoint alone
CONSTANT = {
    'BALLAD',
    'DetectorStatistics',
    'FRACAL',
    'FederatedLoss',
    'FrequencyModule',
    'IIF',
    'LearnedScale',
    'LogitAdjustment',
    'MinorLabels',
    'NorCal',
    'PriorShift',
    'TauNorm',
    'Temperature',
    # pixel statistics
    'ClipDataPreprocessor',
    'MultiViewDataPreprocessor',
}


def modules_with_buffers() -> set[str]:
    """Names of the modules of this package that have buffers of their own."""
    names = set()
    for info in pkgutil.walk_packages(lt_det.__path__, 'lt_det.'):
        if info.name.endswith('__main__'):
            continue
        module = importlib.import_module(info.name)
        for name, kind in vars(module).items():
            if not inspect.isclass(kind) or not issubclass(kind, nn.Module):
                continue
            if kind.__module__ == info.name and any(map(_registers, kind.__mro__)):
                names.add(name)
    return names


def _registers(kind: type) -> bool:
    ours = kind.__module__.split('.')[0] in ('lt_det', 'mmdet', 'mmpretrain')
    return ours and 'register_buffer(' in inspect.getsource(kind)


def test_every_module_with_buffers_is_one_or_the_other():
    counting = {kind.__name__ for kind in COUNTING}
    assert counting.isdisjoint(CONSTANT)
    assert modules_with_buffers() == counting | CONSTANT


def state_after(kind: type[nn.Module], part: Callable[[int], slice], rank: int) -> list[dict]:
    """The state after each of some iterations on a part of the rows."""
    torch.manual_seed(0)
    module = COUNTING[kind][0]()
    states = []
    for index in range(len(SHARES)):
        features = torch.randn(ROWS, 4, 2, 2)
        labels = torch.randint(C + 1, (ROWS,))
        rows = part(index)
        COUNTING[kind][1](module, features[rows], labels[rows], rank)
        if hasattr(module, 'end_iteration'):
            module.end_iteration()
        states.append({name: value.clone() for name, value in module.state_dict().items()})
    return states


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('kind', COUNTING)
def test_rows_that_are_no_numbers_leave_no_trace(kind, value):
    """As in a step that mixed precision skips; what they left would stay for ever."""
    torch.manual_seed(0)
    features, labels = torch.randn(ROWS, 4, 2, 2), torch.randint(C + 1, (ROWS,))
    features[:2] = value
    labels[:2] = C - 1
    states = []
    for rows in (slice(None), slice(2, None)):
        torch.manual_seed(0)
        module = COUNTING[kind][0]()
        COUNTING[kind][1](module, features[rows], labels[rows], 1)
        if hasattr(module, 'end_iteration'):
            module.end_iteration()
        states.append({name: getattr(module, name) for name in module.data_buffers})
    assert all(buffer.isfinite().all() for buffer in states[0].values())
    for name, buffer in states[0].items():
        if name != 'cum_samples':  # counts labels, whatever the logits are
            torch.testing.assert_close(buffer, states[1][name], msg=name)


def work(rank: int, expected: dict[type, list[dict]]) -> None:
    for kind, states in expected.items():
        parts = {0: lambda i: slice(0, SHARES[i]), 1: lambda i: slice(SHARES[i], None)}
        for found, whole in zip(state_after(kind, parts[rank], rank), states, strict=True):
            assert found.keys() == whole.keys()
            for name, value in found.items():
                torch.testing.assert_close(value, whole[name], msg=f'{kind.__name__}.{name}')
                other = value.clone()
                torch.distributed.broadcast(other, 0)
                assert torch.equal(other, value), f'{kind.__name__}.{name} of rank {rank}'


def test_two_processes_hold_the_state_of_one_though_one_has_no_rows():
    expected = {kind: state_after(kind, lambda _: slice(None), 1) for kind in COUNTING}
    for states in expected.values():  # training changes something
        assert any(not torch.equal(states[0][name], states[-1][name]) for name in states[0])
    in_two_processes(work, expected)


def resume(rank: int, state: dict[str, Tensor]) -> None:
    loss = EqualizedFocalLoss(C)
    loss.load_state_dict(state)
    loss.end_iteration()
    torch.testing.assert_close(loss.pos_grad, torch.full([C], 2.0))
    loss.pending[0] = rank  # one process has had no backward pass
    loss.end_iteration()
    torch.testing.assert_close(loss.pos_grad, torch.full([C], 3.0))


def test_what_an_interrupted_iteration_left_behind_is_counted_once():
    loss = EqualizedFocalLoss(C)
    loss.pending[0] = 2
    in_two_processes(resume, loss.state_dict())


@pytest.mark.parametrize('wrapped', [False, True])
def test_the_hook_ends_iterations_before_others_save(wrapped):
    loss = EqualizedFocalLoss(C)
    model = nn.ModuleDict(dict(head=loss))
    if wrapped:
        model = nn.DataParallel(model)
    runner = SimpleNamespace(model=model)
    hook = ClassFrequencyHook()
    hook.before_train(runner)
    loss(torch.randn(4, C, requires_grad=True), torch.tensor([0, 1, 2, 3])).backward()
    assert loss.pending.any()
    hook.after_train_iter(runner, 0)
    assert not loss.pending.any()
    assert (loss.pos_grad > 0).all()
    assert hook.priority == 'VERY_HIGH'
