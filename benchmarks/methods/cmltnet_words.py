"""CMLTNet's gates where words are missing or wrong, on the crops of cmltnet.py.

Words in training: ``half missing``, or ``50% wrong``: so many images have the words of another
image, drawn from all. How the path of the image, z_v, and that of the
predicted words, s, are fused:

- ``mean``: (z_v + s) / 2;
- ``gate``: the package's, learned: a weight of each image and dimension;
- ``gate of images``: a weight of each image;
- ``gate of classes``: a weight of each class, learned, which mixes the logits of both.

Beside them, once, the same network without words (``images alone``: cosine classifier, balanced
softmax). Everything else is as in cmltnet.py; every seed has its own data.

    OMP_NUM_THREADS=1 python benchmarks/methods/cmltnet_words.py

writes benchmarks/results/cmltnet_words.json and .md. What is finished lies in the work dir and is
not done again when the command is repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, per_cent, publish, table_page

# share of the images that have words, share of those whose words are another image's
WORDS = {
    'half missing': (0.5, 0.0),
    '50% wrong': (1.0, 0.5),
}
GATES = {
    'mean': dict(type='CrossModalHead', fusion=False),
    'gate': dict(type='CrossModalHead', fusion=True),
    'gate of images': dict(type='ImageGateHead', fusion=True),
    'gate of classes': dict(type='ClassGateHead', fusion=False),
}
SCALE = 16.0  # of the classifiers
SHOWN = ('top1', 'many', 'medium', 'few')


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--size', default='crops_words', help='preset of crops with words')
    parser.add_argument('--words', nargs='+', choices=WORDS, default=list(WORDS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, default=16)
    parser.add_argument('--data', default='data/glyphs')
    parser.add_argument('--work-dir', default='work_dirs/cmltnet_words')
    args = parser.parse_args()
    args.batch, args.lr = 32, 0.05
    return args


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import numpy as np
import torch
from methods.cmltnet import METHODS, PARTS, SHARED, Crops, build_model, evaluate, train_model
from mmengine.logging import MMLogger
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules
from torch import Tensor, nn

from lt_det.datasets.glyphs import make_crops
from lt_det.models.classifiers.cmltnet import CrossModalHead, ImagePath
from lt_det.models.layers import CosineLinear


@MODELS.register_module()
class ImageGateHead(CrossModalHead):
    """A gate of one weight an image."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.gate = nn.Linear(self.gate.in_features, 1)


class ClassGate(CosineLinear):
    """A classifier of embeddings (B, E), and of pairs (B, 2 E) of them, whose logits it mixes."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.gate = nn.Parameter(torch.zeros(self.out_features))

    def forward(self, embedded: Tensor) -> Tensor:
        if embedded.shape[1] == self.in_features:
            return super().forward(embedded)
        image, semantic = (super(ClassGate, self).forward(part) for part in embedded.chunk(2, 1))
        return semantic + self.gate.sigmoid() * (image - semantic)


@MODELS.register_module()
class ClassGateHead(CrossModalHead):
    """A gate of one weight a class."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fc = ClassGate(self.fc.in_features, self.fc.out_features, scale=SCALE)

    def embed(self, v: Tensor) -> ImagePath:
        path = super().embed(v)
        return path._replace(fused=torch.cat([path.image, path.semantic], 1))


def exchange(crops: Crops, share: float, seed: int) -> None:
    """Give a share of the images the words of another image."""
    rng = np.random.default_rng(seed)
    number = len(crops.words)
    wrong = rng.permutation(number)[: round(share * number)]
    other = (wrong + rng.integers(1, number, len(wrong))) % number
    words = list(crops.words)
    for index, source in zip(wrong.tolist(), other.tolist(), strict=True):
        crops.words[index] = words[source]


def run(args: argparse.Namespace, words: str, gate: str, seed: int) -> dict:
    """The row of a gate, or of images alone, with a seed."""
    done = Path(args.work_dir, f'{words}_{gate}_{seed}.json'.replace(' ', '_'))
    if done.exists():
        return json.loads(done.read_text())
    root = make_crops(f'{args.data}/{args.size}_{seed}', args.size, seed, progress=False)
    described, wrong = WORDS.get(words, (0.0, 0.0))
    train = Crops(root, 'train', described, seed)
    exchange(train, wrong, seed)
    head = {**SHARED, **PARTS, **GATES[gate]} if gate in GATES else METHODS['balanced_softmax'][0]
    model = build_model(head, train, seed)
    seconds = train_model(model, train, args, args.epochs, seed)
    groups = train.dataset.class_frequency.groups('shot')
    metrics = evaluate(model, Crops(root, 'val'), groups)
    row = dict(words=words, gate=gate, seed=seed, metrics=metrics, train_cpu_s=round(seconds, 1))
    if gate == 'gate of classes':
        of_classes = model.head.fc.gate.detach().sigmoid()
        row['gate_many_few'] = [float(of_classes[groups == g].mean()) for g in ('many', 'few')]
    print(json.dumps(row), flush=True)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps(row))
    return row


def main() -> None:
    args = parse_args()
    content = origin(f'torch {torch.__version__}, {torch.get_num_threads()} threads')
    content['command'] = f'OMP_NUM_THREADS=1 {content["command"]}'
    register_all_modules(init_default_scope=True)
    MMLogger.get_instance('benchmark', log_level='WARNING')  # of the first weights
    settings = [
        ('none', 'images alone'),
        *((words, gate) for words in args.words for gate in GATES),
    ]
    content['rows'] = [run(args, *each, seed) for seed in args.seeds for each in settings]
    cells = []
    for words, gate in settings:
        mine = [row for row in content['rows'] if (row['words'], row['gate']) == (words, gate)]
        cells.append(
            [words, gate, *(per_cent([row['metrics'][key] for row in mine]) for key in SHOWN)]
        )
    about = (
        f'Per cent, mean and standard deviation over seeds, {args.epochs} epochs. '
        '`benchmarks/methods/cmltnet_words.py` says what the words and the gates are.'
    )
    columns = ('words', 'fused by', 'overall', 'many', 'medium', 'few')
    page = table_page("CMLTNet's gates and wrong words", content, about, columns, cells)
    publish(args.out, 'cmltnet_words', content, page)


if __name__ == '__main__':
    main()
