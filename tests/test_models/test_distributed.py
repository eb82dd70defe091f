"""Statistics that are sums over all processes, in two processes."""

from __future__ import annotations

import socket

import torch
import torch.multiprocessing as mp

from lt_det.frequency import ClassFrequency
from lt_det.models.layers import FASA, CAMCalibration
from lt_det.models.losses import LongTailEQLV2Loss, LongTailSeesawLoss

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
    return [
        *(seesaw.cum_samples, eqlv2.pos_grad, eqlv2.neg_grad, calibration.prototypes),
        *(fasa.mean, fasa.variance, fasa.seen, fasa.probability, fasa.last_loss),
    ]


def work(rank: int, port: int, expected: list[torch.Tensor]) -> None:
    torch.set_num_threads(1)
    address = f'tcp://127.0.0.1:{port}'
    torch.distributed.init_process_group('gloo', address, rank=rank, world_size=2)
    mine = slice(3 * rank, 3 * rank + 3)
    logits, features = inputs()
    for ours, theirs in zip(statistics(logits[mine], features[mine], LABELS[mine]), expected):
        torch.testing.assert_close(ours, theirs)
    torch.distributed.destroy_process_group()


def test_two_processes_count_as_one_with_both_batches():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    arguments = (port, statistics(*inputs(), LABELS))
    # forked: a new interpreter would import everything again
    mp.start_processes(work, arguments, nprocs=2, start_method='fork')
