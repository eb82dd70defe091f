"""Images alone against images with words in training, on glyph crops (letters with marks).

The data: 40 classes, 200 to 2 training images each (2 to 19 images: few-shot), whose words are
those of the Unicode name, colour, texture and size; 20 validation images a class. Every seed has
its own data (which class is rare, every image); for a seed, every method has the same first weights
of the backbone and order of images. Then the time of a prediction by the full model as it is
deployed, against the image-only model.

    OMP_NUM_THREADS=1 python benchmarks/methods/cmltnet.py

Writes benchmarks/results/cmltnet.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin

PAD = 3
BACKBONE = dict(
    type='LongTailResNet',
    depth=10,
    stem_channels=32,
    base_channels=32,
    num_stages=3,
    strides=(1, 2, 2),
    dilations=(1, 1, 1),
    out_indices=(2,),
)
FEATURES = 128
EMBED = 128
COSINE = dict(type='CosineLinear', scale=16.0)
BALANCED = dict(type='PriorShift', tau=1.0, stage='train')
IIF = dict(type='IIF', link='smooth')
IIF_MEAN = dict(type='IIF', link='smooth', norm='mean')
IIF_POST = dict(type='IIF', link='smooth', stage='test')
PARTS = dict(alignment=True, inference=True, fusion=True)
NO_PARTS = dict.fromkeys(PARTS, False)

HEAD = dict(type='LongTailClsHead')
SHARED = dict(type='CrossModalHead', adjustment=BALANCED, word_weight=0.2)
# method: head, share of the training images that have words, factor of the epochs
METHODS = {
    'softmax': (HEAD, 0, 1),
    'cosine': (dict(HEAD, cls_predictor_cfg=COSINE), 0, 1),
    'iif': (dict(HEAD, adjustment=IIF), 0, 1),
    'iif_post_cosine': (dict(HEAD, cls_predictor_cfg=COSINE, adjustment=IIF_POST), 0, 1),
    'iif_cosine': (dict(HEAD, cls_predictor_cfg=COSINE, adjustment=IIF), 0, 1),
    'iif_cosine_mean': (dict(HEAD, cls_predictor_cfg=COSINE, adjustment=IIF_MEAN), 0, 1),
    'balanced_softmax': (dict(HEAD, cls_predictor_cfg=COSINE, adjustment=BALANCED), 0, 1),
    'balanced_softmax_2x': (dict(HEAD, cls_predictor_cfg=COSINE, adjustment=BALANCED), 0, 2),
    'no_parts': (dict(SHARED, **NO_PARTS), 0, 1),
    'alignment': (dict(SHARED, **{**NO_PARTS, 'alignment': True}), 1, 1),
    'inference': (dict(SHARED, **{**PARTS, 'alignment': False}), 1, 1),
    'no_fusion': (dict(SHARED, **{**PARTS, 'fusion': False}), 1, 1),
    'full': (dict(SHARED, **PARTS), 1, 1),
    'full_2x': (dict(SHARED, **PARTS), 1, 2),
    'full_iif_post': (dict(SHARED, **{**PARTS, 'adjustment': IIF_POST}), 1, 1),
    'full_iif': (dict(SHARED, **{**PARTS, 'adjustment': IIF}), 1, 1),
    'full_iif_mean': (dict(SHARED, **{**PARTS, 'adjustment': IIF_MEAN}), 1, 1),
    'full_words50': (dict(SHARED, **PARTS), 0.5, 1),
    'full_words10': (dict(SHARED, **PARTS), 0.1, 1),
}
MEANING = {
    'softmax': 'linear classifier, cross-entropy',
    'cosine': 'cosine classifier, scale 16',
    'iif': 'linear classifier, IIF smooth in training and test',
    'iif_post_cosine': 'cosine classifier, IIF smooth at test alone',
    'iif_cosine': 'cosine classifier, IIF smooth in training and test',
    'iif_cosine_mean': 'the same with weights of mean 1',
    'balanced_softmax': 'cosine classifier, balanced softmax',
    'balanced_softmax_2x': 'the same for twice the epochs',
    'no_parts': "the full model's head and loss (balanced softmax) without its parts",
    'alignment': 'no_parts + alignment',
    'inference': 'no_parts + inference, fused by the gate',
    'no_fusion': 'no_parts + alignment + inference, fused by their mean',
    'full': 'alignment, inference and fusion',
    'full_2x': 'full for twice the epochs',
    'full_iif_post': 'full with IIF smooth, at test alone, in place of balanced softmax',
    'full_iif': 'full with IIF smooth, in training and test, in place of balanced softmax',
    'full_iif_mean': 'the same with weights of mean 1',
    'full_words50': 'full, 50% of the training images have words',
    'full_words10': 'full, 10% of the training images have words',
}
# with the schedule of the others
IMAGE_ONLY = [
    name for name, (_, described, factor) in METHODS.items() if (described, factor) == (0, 1)
]


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--size', default='crops_words', help='preset of crops with words')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=list(METHODS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, default=16)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--lr', type=float, default=0.05)
    parser.add_argument('--name', default='cmltnet', help='of the results')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import cv2
import numpy as np
import torch
from common.shifted import shifted
from methods.cmltnet_report import write
from mmengine.logging import MMLogger
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules

from lt_det.datasets import CrossModalDataset
from lt_det.datasets.glyphs import make_crops
from lt_det.evaluation.classification import class_accuracy, group_means, reliability
from lt_det.evaluation.retrieval import average_precision

# ------------------------------------------------------------------------------------------- data


class Crops:
    """A split in memory: images (N, 3, S, S) uint8, labels (N,), words by share."""

    def __init__(self, root: Path, split: str, described: float = 1.0, seed: int = 0) -> None:
        self.dataset = CrossModalDataset(
            f'{split}.txt',
            vocabulary=str(root / 'words.txt'),
            word_file=f'{split}_words.txt',
            described=described,
            seed=seed,
            data_root=str(root),
            classes=str(root / 'classes.txt'),
        )
        items = [self.dataset.get_data_info(index) for index in range(len(self.dataset))]
        pixels = np.stack([cv2.imread(item['img_path']) for item in items])
        self.images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.tensor([item['gt_label'] for item in items])
        self.words = [torch.from_numpy(item['words']) for item in items]

    @property
    def samples(self) -> list[DataSample]:
        """Labels and words as a pipeline gives them."""
        samples = [DataSample().set_gt_label(label) for label in self.labels]
        for sample, words in zip(samples, self.words, strict=True):
            sample.set_field(words, 'words')
        return samples


def normalize(images: torch.Tensor) -> torch.Tensor:
    return (images.float() - 127.5) / 64


# --------------------------------------------------------------------------------------- one run


def build_model(head: dict, train: Crops, seed: int) -> torch.nn.Module:
    head = deepcopy(head)
    head.update(num_classes=len(train.dataset.CLASSES), in_channels=FEATURES)
    if 'word_weight' in head:
        head.update(num_words=len(train.dataset.vocabulary), embed_dims=EMBED)
        head.update(word_vectors=dict(width=EMBED))
    torch.manual_seed(seed)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=deepcopy(BACKBONE),
            neck=dict(type='GlobalAveragePooling'),
            head=head,
        )
    )
    torch.manual_seed(seed)  # the heads have drawn different numbers
    model.init_weights()
    model.head.set_class_frequency(train.dataset.class_frequency)
    if 'word_weight' in head:
        model.head.set_words(train.dataset.vocabulary, *train.dataset.word_statistics())
    return model


def train_model(model: torch.nn.Module, train: Crops, args, epochs: int, seed: int) -> float:
    """Train with SGD and one cycle of the learning rate; seconds of CPU."""
    steps = epochs * (len(train.labels) // args.batch)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps)
    rng = np.random.default_rng(seed)
    samples = train.samples
    model.train()
    start = time.process_time()
    for _ in range(epochs):
        order = rng.permutation(len(samples))
        for chosen in order[: len(order) // args.batch * args.batch].reshape(-1, args.batch):
            places = rng.integers(0, 2 * PAD + 1, (len(chosen), 2)).tolist()
            images = shifted(normalize(train.images[chosen]), places, PAD)
            losses = model(images, [samples[i] for i in chosen], mode='loss')
            loss = sum(losses.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return time.process_time() - start


@torch.no_grad()
def evaluate(model: torch.nn.Module, val: Crops, groups: np.ndarray) -> dict[str, float]:
    model.eval()
    batches = normalize(val.images).split(256)
    found = [sample for batch in batches for sample in model(batch, mode='predict')]
    scores = torch.stack([sample.pred_score for sample in found])
    confidence, predicted = (values.cpu().numpy() for values in scores.max(1))
    labels = val.labels.numpy()
    correct = predicted == labels
    accuracy = class_accuracy(labels, correct, len(groups))
    metrics = dict(top1=correct.mean(), macro=accuracy.mean(), **group_means(accuracy, groups))
    metrics['ece'] = reliability(confidence, correct).calibration_error
    if 'pred_words' in found[0]:
        relevant = np.zeros((len(found), len(val.dataset.vocabulary)), bool)
        for row, words in zip(relevant, val.words, strict=True):
            row[words] = True
        predictions = torch.stack([sample.pred_words for sample in found]).cpu().numpy()
        metrics['word_map'] = np.nanmean(average_precision(predictions, relevant))
    return {name: float(value) for name, value in metrics.items()}


# --------------------------------------------------------------------------------------- latency


def time_predictions(model: torch.nn.Module, images: torch.Tensor, repeats: int) -> float:
    """Median seconds of CPU of a prediction of ``images``."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        model(images)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


@torch.no_grad()
def compare_latency() -> list[dict]:
    """Image-only model against the full one as deployed: the comparison's, and a real one's."""
    resnet50 = dict(type='ResNet', depth=50)
    cases = [
        ('ResNet-10, 40 pixels, batch 1', BACKBONE, FEATURES, (1, 3, 40, 40), (40, 42, EMBED), 60),
        ('ResNet-10, 40 pixels, batch 64', BACKBONE, FEATURES, (64, 3, 40, 40), (40, 42, EMBED), 6),
        ('ResNet-50, 224 pixels, batch 1', resnet50, 2048, (1, 3, 224, 224), (172, 353, 512), 6),
    ]
    rows = []
    for stage, backbone, features, shape, (classes, words, width), repeats in cases:
        common = dict(num_classes=classes, in_channels=features)
        full = dict(type='CrossModalHead', num_words=words, embed_dims=width, deploy=True)
        heads = [dict(HEAD, cls_predictor_cfg=COSINE), full]
        neck = dict(type='GlobalAveragePooling')
        models = [
            MODELS.build(
                dict(type='ImageClassifier', backbone=backbone, neck=neck, head=dict(h, **common))
            ).eval()
            for h in heads
        ]
        images = torch.randn(shape)
        for model in models:
            model(images)
        rounds = [[time_predictions(m, images, repeats) for m in models] for _ in range(7)]
        ratios = [ours / stock for stock, ours in rounds]
        stock, ours = (statistics.median(column) for column in zip(*rounds))
        sizes = [sum(p.numel() for p in m.parameters()) * 4 / 2**20 for m in models]
        rows.append(
            {
                'stage': f'predict, {stage}',
                'stock_s': stock,
                'ours_s': ours,
                'ratio': statistics.median(ratios),
                'stock_mb': sizes[0],
                'ours_mb': sizes[1],
            }
        )
    return rows


def main() -> None:
    args = parse_args()
    where = origin(f'torch {torch.__version__}, {torch.get_num_threads()} threads')
    register_all_modules(init_default_scope=True)
    MMLogger.get_instance('benchmark', log_level='WARNING')  # of the first weights
    content = {
        **where,
        'command': f'OMP_NUM_THREADS=1 {where["command"]}',
        'data': args.size,
        'epochs': args.epochs,
        'rows': [],
        'latency': compare_latency(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            root = make_crops(f'{folder}/crops_{seed}', args.size, seed, progress=False)
            val = Crops(root, 'val')
            softmax_seconds = None
            for method in args.methods:
                head, described, factor = METHODS[method]
                train = Crops(root, 'train', described, seed)
                model = build_model(head, train, seed)
                seconds = train_model(model, train, args, factor * args.epochs, seed)
                softmax_seconds = softmax_seconds or seconds
                groups = train.dataset.class_frequency.groups('shot')
                counts = train.dataset.class_frequency.image_count.tolist()
                content.update(classes=len(counts), most=max(counts), fewest=min(counts))
                row = {'method': method, 'seed': seed, 'metrics': evaluate(model, val, groups)}
                row['relative_cost'] = round(seconds / softmax_seconds, 3)
                content['rows'].append(row)
                found = {name: round(value, 3) for name, value in row['metrics'].items()}
                print(f'{method}, seed {seed}: {seconds:.0f} s, {found}', flush=True)
                write(content, Path(args.out), args.name, MEANING, IMAGE_ONLY)


if __name__ == '__main__':
    main()
