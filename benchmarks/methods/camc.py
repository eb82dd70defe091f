"""Readings of CAMC: which attention, used how, helps rare classes beyond a cosine classifier.

CAMC (Zhang et al., arXiv 2108.12757) highlights, in training and in prediction, the regions of an
image that correlate across the data, reinforces them, and normalises the classifier. Its abstract
leaves open what that is. Here are readings of it, on images in which they should help:

- ``lying``: the crops of SMCL's comparison, whose backgrounds lie about the class
  (benchmarks/common/lying_backgrounds.py);
- ``honest``: the same objects on backgrounds that say nothing;
- ``many``: 60 classes of 200 to 2 images, backgrounds as in ``lying``, half the epochs.

Attention A of a feature map F, of mean 1, for the class probabilities pi of a first pass, which
classifies the averaged map with the same classifier:

- ``prototypes``: lt_det's CAMCalibration: a learned embedding against moving averages of classes.
- ``coattention``: the same, but in training against the other images of the class in the batch:
  the best match of a place in each of them; prototypes where there is none, and in prediction.
- ``weights``: the class activation map of the classifier's own weights, which get no gradient from
  it, through a softmax over places with a learned temperature.
- ``contrast``: that map, less the mean map of all classes.
- ``object``: the object's pixels themselves, in training and prediction: what no attention can
  know, and so what perfect attention would bring.

``residual`` takes F (1 + gamma A) / (1 + gamma), gamma learned from 0, ``replace`` takes F A.
The loss is that of the calibrated pass and half that of the first. Every method trains the same
network for as many epochs on the same images. Reported are balanced accuracies, and ``on_object``:
mean attention on the object's pixels in validation (1: blind).

    python benchmarks/methods/camc.py --workers 2

writes benchmarks/results/camc.json and .md. What is finished lies in the work dir and is not done
again when the command is repeated. --smoke runs everything in a minute, badly.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.lying_backgrounds import RECIPE
from common.origin import option_parser, origin, per_cent, publish

from lt_det.datasets.glyphs.crops import CROP_GLYPHS, plan_crops
from lt_det.datasets.glyphs.recipe import exponential_counts

MANY = exponential_counts(60, 200, 2)
DATA_SETS = {
    'lying': RECIPE,
    'honest': replace(RECIPE, cue_classes=0),
    'many': replace(
        RECIPE,
        glyphs=CROP_GLYPHS[:60],
        train_counts=MANY,
        train_images=sum(MANY),
        val_images=60 * 20,
        val_count=20,
    ),
}
EPOCHS = {'many': 0.5}  # of those of the others
SCALE, FIRST = 16.0, 0.5  # of the cosine classifier, and weight of the first pass in the loss

# attention, and how it is used
READINGS: dict[str, tuple[str | None, str]] = {
    'softmax': (None, ''),
    'cosine': (None, ''),
    'prototypes residual': ('prototypes', 'residual'),
    'prototypes replace': ('prototypes', 'replace'),
    'coattention replace': ('coattention', 'replace'),
    'weights replace': ('weights', 'replace'),
    'contrast replace': ('contrast', 'replace'),
    'object residual': ('object', 'residual'),
    'object replace': ('object', 'replace'),
}
METRICS = ('top1', 'many', 'medium', 'few', 'on_object')
BATCH, PAD = 32, 4


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--epochs', type=int, default=60)
    parser.add_argument('--methods', nargs='+', choices=list(READINGS), default=list(READINGS))
    parser.add_argument('--data-sets', nargs='+', choices=list(DATA_SETS), default=list(DATA_SETS))
    parser.add_argument('--work-dir', default='work_dirs/camc')
    parser.add_argument('--workers', type=int, default=1, help='trainings at a time')
    parser.add_argument('--smoke', action='store_true')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import numpy as np
import torch
from common.shifted import shifted
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules
from torch import Tensor, nn
from torch.nn import functional as F

from lt_det.datasets.glyphs.render import render_image
from lt_det.evaluation.classification import class_accuracy, group_means
from lt_det.frequency import ClassFrequency
from lt_det.models.layers import CAMCalibration, CosineLinear

# -------------------------------------------------------------------------------------- readings


class Prototypes(nn.Module):
    """Attention of lt_det's CAMCalibration."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        classes, channels = classifier.weight.shape
        self.calibration = CAMCalibration(classes, channels, embed_channels=64)

    def forward(self, features: Tensor, first: Tensor, labels: Tensor | None) -> Tensor:
        """A (B, h, w) of features (B, D, h, w) and probabilities (B, C); labels in training."""
        embedding, scale = self.calibration.embedding(features)
        chosen = self.calibration.chosen(first, labels)
        attention = self.calibration.attention(embedding, scale, *chosen)
        if labels is not None:
            attention = self.in_training(embedding * scale[:, None], attention, labels)
            self.calibration.update(embedding, scale * attention, labels)
        return attention

    def in_training(self, embedding: Tensor, attention: Tensor, labels: Tensor) -> Tensor:
        return attention


class CoAttention(Prototypes):
    """In training, where the places of an image have a likeness in others of its class."""

    def in_training(self, embedding: Tensor, attention: Tensor, labels: Tensor) -> Tensor:
        places = embedding.flatten(2)
        likeness = torch.einsum('bdp,cdq->bcpq', places, places).amax(3)
        partner = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool)
        count = partner.sum(1)
        mean = (likeness * partner[..., None]).sum(1) / count.clamp(min=1)[:, None]
        found = (mean / self.calibration.temperature).softmax(1) * mean.shape[1]
        return torch.where(count[:, None, None] > 0, found.view_as(attention), attention)


class Weights(nn.Module):
    """The class activation map of the classifier's own weights."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = [classifier]  # not a second time among the parameters
        self.log_temperature = nn.Parameter(torch.tensor(0.1).log())

    def forward(self, features: Tensor, first: Tensor, labels: Tensor | None) -> Tensor:
        weight = F.normalize(self.classifier[0].weight.detach(), dim=1)
        query = self.shares(first.detach()) @ weight
        response = torch.einsum('bd,bdhw->bhw', query, F.normalize(features, dim=1))
        places = (response.flatten(1) / self.log_temperature.exp()).softmax(1)
        return places.view_as(response) * places.shape[1]

    def shares(self, first: Tensor) -> Tensor:
        """Share of each class's map (B, C) in the map."""
        return first


class Contrast(Weights):
    """That map, less the mean map of the classes."""

    def shares(self, first: Tensor) -> Tensor:
        return first - 1 / first.shape[1]


ATTENTION = {
    'prototypes': Prototypes,
    'coattention': CoAttention,
    'weights': Weights,
    'contrast': Contrast,
}


def object_attention(objects: Tensor, size: tuple[int, int]) -> Tensor:
    """The object's share of each place (B, h, w), over its mean, of masks (B, S, S)."""
    share = F.interpolate(objects[:, None], size, mode='area')[:, 0]
    return share / share.mean((1, 2), keepdim=True)


class Classifier(nn.Module):
    """A small ResNet, an attention or none, and a classifier of the averaged map."""

    def __init__(self, classes: int, method: str) -> None:
        super().__init__()
        self.backbone = MODELS.build(
            dict(
                type='LongTailResNet',
                depth=10,
                stem_channels=16,
                base_channels=16,
                num_stages=3,
                strides=(1, 2, 2),
                dilations=(1, 1, 1),
                out_indices=(2,),
            )
        )
        linear = method == 'softmax'
        self.fc = nn.Linear(64, classes) if linear else CosineLinear(64, classes, SCALE)
        kind, use = READINGS[method]
        self.by_object = kind == 'object'
        self.attention = ATTENTION[kind](self.fc) if kind in ATTENTION else None
        self.gamma = nn.Parameter(torch.zeros(())) if use == 'residual' else None

    def forward(
        self, images: Tensor, objects: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Logits (B, C), those of the first pass, and attention (B, h, w), if there is one."""
        (features,) = self.backbone((images.float() - 127.5) / 64)
        first = self.fc(features.mean((2, 3)))
        if self.by_object:
            attention = object_attention(objects.float(), features.shape[2:])
        elif self.attention is None:
            return first, None, None
        else:
            attention = self.attention(features, first.softmax(1), labels)
        factor = attention
        if self.gamma is not None:
            factor = (1 + self.gamma * attention) / (1 + self.gamma)
        return self.fc((features * factor[:, None]).mean((2, 3))), first, attention


# -------------------------------------------------------------------------------------- one run


@lru_cache(maxsize=1)
def images_of(name: str, seed: int):
    """Images (N, 3, S, S), labels (N,) and masks of the objects (N, S, S) of both splits."""
    plan = plan_crops(replace(DATA_SETS[name], seed=seed))
    split: dict[str, list] = {'train': [], 'val': []}
    for image in plan.images:
        pixels, placed = render_image(plan, image)
        split[image.split].append((pixels, image.classes[0], placed[0].visible))
    both = []
    for rows in split.values():
        pixels, labels, objects = zip(*rows)
        both.append(
            (
                torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(),
                torch.tensor(labels),
                torch.from_numpy(np.stack(objects)),
            )
        )
    return both, plan.train_counts


def train(
    method: str, images: Tensor, labels: Tensor, objects: Tensor, seed: int, epochs: int
) -> Classifier:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Classifier(int(labels.max()) + 1, method).train()
    steps = len(labels) // BATCH
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, epochs * steps, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=generator)
        for batch in order[: steps * BATCH].split(BATCH):
            places = torch.randint(2 * PAD + 1, (BATCH, 2), generator=generator).tolist()
            moved = shifted(images[batch].float(), places, PAD)
            masks = shifted(objects[batch, None].float(), places, PAD)[:, 0]
            logits, first, _ = model(moved, masks, labels[batch])
            loss = F.cross_entropy(logits, labels[batch])
            if first is not None:
                loss = loss + FIRST * F.cross_entropy(first, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def score(model: Classifier, images: Tensor, labels: Tensor, objects: Tensor, counts) -> dict:
    right, attended = [], []
    for batch in torch.arange(len(labels)).split(200):
        logits, _, attention = model(images[batch], objects[batch])
        right.append(logits.argmax(1) == labels[batch])
        if attention is not None:
            shown = objects[batch].float()
            wide = F.interpolate(attention[:, None], shown.shape[1:], mode='bilinear')[:, 0]
            attended.append((wide * shown).sum((1, 2)) / shown.sum((1, 2)))
    right = torch.cat(right).numpy()
    accuracy = class_accuracy(labels.numpy(), right, len(counts))
    return {
        'top1': float(right.mean()),
        **group_means(accuracy, ClassFrequency(counts).groups('shot')),
        'on_object': float(torch.cat(attended).mean()) if attended else 1.0,
    }


def run(name: str, data: str, seed: int, epochs: int, folder: Path) -> dict:
    """A method on a data set with a seed; reads what an earlier call has found."""
    done = folder / f'{name}_{data}_{seed}.json'.replace(' ', '_')
    if done.exists():
        return json.loads(done.read_text())
    register_all_modules(init_default_scope=True)
    torch.set_num_threads(1)
    (train_set, val_set), counts = images_of(data, seed)
    start = time.process_time()
    model = train(name, *train_set, seed, math.ceil(EPOCHS.get(data, 1) * epochs))
    seconds = time.process_time() - start
    metrics = score(model, *val_set, counts)
    shown = ' '.join(f'{key} {metrics[key]:.3f}' for key in METRICS)
    print(f'{data:13} {seed} {name:44} {shown} {seconds:.0f} s', flush=True)
    row = dict(method=name, data=data, seed=seed, metrics=metrics, train_cpu_s=round(seconds, 1))
    done.write_text(json.dumps(row))
    return row


# ----------------------------------------------------------------------------------------- report


def table(result: dict) -> str:
    """A table of each data set, per cent; the difference to the cosine classifier by seed."""
    lines = [
        '# Readings of CAMC',
        '',
        f'{result["date"]}, `{result["command"]}`, {result["machine"]}, commit {result["commit"]}.',
        'Per cent, mean ± standard deviation over seeds (data and training); few against cosine:',
        'difference to `cosine` by seed; cost: time of training relative to `softmax`.',
        '`benchmarks/methods/camc.py` says what is measured.',
    ]
    for data in dict.fromkeys(row['data'] for row in result['rows']):
        rows = [row for row in result['rows'] if row['data'] == data]
        base = {row['seed']: row for row in rows if row['method'] == 'cosine'}
        plain = {row['seed']: row for row in rows if row['method'] == 'softmax'}
        lines += [
            '',
            f'| {data} | top1 | many | medium | few | few against cosine | on object | cost |',
        ]
        lines.append('|---|---|---|---|---|---|---|---|')
        for method in dict.fromkeys(row['method'] for row in rows):
            mine = [row for row in rows if row['method'] == method]
            cells = [per_cent([row['metrics'][key] for row in mine]) for key in METRICS[:4]]
            pairs = [(row, base[row['seed']]) for row in mine if row['seed'] in base]
            gaps = [row['metrics']['few'] - other['metrics']['few'] for row, other in pairs]
            cells.append(per_cent(gaps) if gaps and method != 'cosine' else '')
            cells.append(f'{statistics.mean(row["metrics"]["on_object"] for row in mine):.2f}')
            pairs = [(row, plain[row['seed']]) for row in mine if row['seed'] in plain]
            cost = [row['train_cpu_s'] / other['train_cpu_s'] for row, other in pairs]
            cells.append(f'{statistics.mean(cost):.2f}' if cost else '')
            lines.append(f'| {method} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    if args.smoke:
        args.seeds, args.epochs = 1, 1
    register_all_modules(init_default_scope=True)
    result = origin('one thread', f'torch {torch.__version__}')
    folder = Path(args.work_dir) / f'{args.epochs}e'
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers, get_context('spawn')) as pool:
        runs = [
            pool.submit(run, name, data, seed, args.epochs, folder)
            for data in args.data_sets
            for seed in range(args.seeds)
            for name in args.methods
        ]
        result['rows'] = [each.result() for each in runs]
    publish(args.out, 'camc', result, table(result))


if __name__ == '__main__':
    main()
