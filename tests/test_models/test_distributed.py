"""Statistics that are sums over all processes, in two processes."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules

from lt_det.frequency import ClassFrequency
from lt_det.models.layers import FASA, CAMCalibration
from lt_det.models.losses import LongTailEQLV2Loss, LongTailSeesawLoss

from .two_processes import in_two_processes

C = 3
LABELS = torch.tensor([0, 0, 1, 3, 0, 2])


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (R, C + 2) and features (R, D, h, w) of the two processes together."""
    torch.manual_seed(0)
    return torch.randn(6, C + 2), torch.randn(6, 4, 2, 2)


def statistics(logits, features, labels) -> list[torch.Tensor]:
    torch.manual_seed(1)  # the same weights in both
    seesaw, eqlv2 = LongTailSeesawLoss(num_classes=C), LongTailEQLV2Loss(num_classes=C)
    calibration = CAMCalibration(C, 4, embed_channels=4)
    seesaw(logits, labels)
    eqlv2(logits[:, : C + 1], labels)
    calibration(features, labels=labels, update=True)
    fasa = FASA(C, 4)
    fasa.set_class_frequency(ClassFrequency([9, 3, 1]))
    for epoch in (1, 2):  # the second compares its losses with the first's
        fasa.update(features.mean((2, 3)) / epoch, labels, logits[:, 0].exp() * epoch)
        fasa.adapt()
    fasa.update(features.mean((2, 3)), labels, logits[:, 0].exp())  # the epoch goes on
    return [
        *(seesaw.cum_samples, eqlv2.pos_grad, eqlv2.neg_grad, calibration.prototypes),
        *(fasa.mean, fasa.variance, fasa.seen, fasa.probability, fasa.last_loss, fasa.loss_sum),
    ]


def work(rank: int, expected: list[torch.Tensor]) -> None:
    mine = slice(3 * rank, 3 * rank + 3)
    logits, features = inputs()
    for ours, theirs in zip(statistics(logits[mine], features[mine], LABELS[mine]), expected):
        torch.testing.assert_close(ours, theirs)


def lonely(rank: int, config: dict) -> None:
    """The loss of a head of which the second process has no RoI."""
    torch.manual_seed(rank)
    head = MODELS.build(config)
    head.set_class_frequency(ClassFrequency([9, 3, 1]))
    number = 0 if rank else 5
    features = torch.randn(number, 4, 7, 7)
    logits, deltas = head(features)
    targets = torch.randint(C + 1, (number,)), torch.ones(number), *torch.rand(2, number, 4)
    losses = head.loss(logits, deltas, torch.rand(number, 5), *targets)
    if rank:
        assert all(value == 0 for name, value in losses.items() if name.startswith('loss'))
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    # or DistributedDataParallel would wait for it
    assert all(parameter.grad is not None for parameter in head.parameters())
    for buffer in head.buffers():
        other = buffer.clone()
        torch.distributed.broadcast(other, 0)
        assert torch.equal(other, buffer)


@pytest.mark.parametrize(
    'config',
    [
        dict(loss_cls=dict(type='LongTailSeesawLoss')),
        dict(loss_cls=dict(type='LongTailEQLV2Loss')),
        dict(loss_cls=dict(type='FederatedLoss', num_sampled=2)),
        dict(loss_cls=dict(type='GumbelLoss')),
        dict(loss_cls=dict(type='LDAMLoss')),
        dict(type='FASABBoxHead', loss_cls=dict(type='CrossEntropyLoss'), fasa=dict(begin=9)),
    ],
    ids=['seesaw', 'eqlv2', 'federated', 'gumbel', 'ldam', 'fasa'],
)
def test_a_process_without_rois_keeps_pace(config):
    register_all_modules(init_default_scope=True)
    head = dict(
        type='LongTailBBoxHead',
        in_channels=4,
        num_classes=C,
        num_shared_fcs=1,
        fc_out_channels=8,
    )
    in_two_processes(lonely, {**head, **config})


def test_two_processes_count_as_one_with_both_batches():
    in_two_processes(work, statistics(*inputs(), LABELS))
