"""What classifiers cost beside their training: steps with our head, and reading a long list."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from lt_det.frequency import ClassFrequency


def throughput(repeats: int = 15) -> dict[str, float]:
    """Training steps with LongTailClsHead (IIF, cosine) against LinearClsHead, in turns.

    ResNet-10 at 112 x 112, 32 images, 1000 classes; processor seconds, medians, and the median of
    the ratios of the two steps of a turn.
    """
    heads = dict(
        stock=dict(type='LinearClsHead'),
        ours=dict(
            type='LongTailClsHead',
            adjustment=dict(type='IIF', link='smooth'),
            cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
        ),
    )
    steps: dict[str, Callable] = {}
    for name, head in heads.items():
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='LongTailResNet', depth=10),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(num_classes=1000, in_channels=512, **head),
            )
        )
        if name == 'ours':
            model.head.set_class_frequency(ClassFrequency(np.arange(1, 1001)))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        steps[name] = _step(model.train(), optimizer)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if repeat:  # the first is for warming up
                seconds[name].append(time.process_time() - start)
    stock, ours = (statistics.median(seconds[name]) for name in ('stock', 'ours'))
    ratio = statistics.median(a / b for a, b in zip(seconds['stock'], seconds['ours']))
    return dict(stock_s=stock, ours_s=ours, relative_throughput=ratio)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable:
    images = torch.randn(32, 3, 112, 112)
    samples = [DataSample().set_gt_label(label) for label in range(32)]

    def step() -> None:
        optimizer.zero_grad()
        model(images, samples, mode='loss')['loss'].backward()
        optimizer.step()

    return step


# in a process of its own, as the peak of memory never falls; getrusage has that of the parent too
READING = """
import re, sys, time
from pathlib import Path
from lt_det.datasets import ListFileDataset
def peak():
    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])
before, start = peak(), time.process_time()
ListFileDataset(sys.argv[1], num_classes=8142)
print(time.process_time() - start, peak() - before)
"""


def reading(lines: int = 437_513) -> dict[str, float]:
    """Seconds and memory (MB, on Linux) of a data set from a list as long as iNaturalist 2018's."""
    name = 'train_val2018/Plantae/{0}/3b60c9486db1d2ee875f11a669fb{1:08x}.jpg {0}\n'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'list.txt')
        path.write_text(''.join(name.format(i % 8142, i) for i in range(lines)))
        command = [sys.executable, '-c', READING, str(path)]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for _ in range(3)
        ]
    seconds, kib = zip(*(map(float, run.split()[-2:]) for run in runs))
    return dict(lines=lines, seconds=statistics.median(seconds), mb=max(kib) / 1024)
