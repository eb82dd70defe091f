# %% [markdown]
# # From a json to a calibrated detector
#
# Look at long-tailed data, train a small detector, mend its rare classes without training, and read
# the page of the run: a few minutes on two CPU cores, with nothing to download.
#
# `python docs/notebooks/make.py` makes the notebook of this script, and runs it.

# %%
import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def run(command: str) -> None:
    """A command of the shell: in a notebook, `!` in front of it is the same."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    print((done.stdout + done.stderr).strip())


# %% [markdown]
# ## The data
#
# Any json in COCO or LVIS format, and a folder of images. Here: twelve kinds of drawn shapes, from
# 100 objects to 2, with file names and category ids as they come. With data of your own, go on
# at the next cell.

# %%
COLOURS = dict(red='#c82828', green='#28a028', blue='#283cc8', black='#141414')
CORNERS = dict(disc=24, triangle=3, square=4)
NAMES = [f'{colour} {shape}' for shape in CORNERS for colour in COLOURS]
IDS = [3, 17, 21, 22, 40, 58, 101, 102, 200, 305, 306, 999]
COUNTS = dict(train=[100, 60, 40, 26, 18, 12, 9, 7, 5, 4, 3, 2], val=[6] * 12, held=[12] * 12)


def draw(split: str, counts: list[int], rng: np.random.Generator) -> dict:
    labels = rng.permutation(np.repeat(np.arange(12), counts))
    images, annotations = [], []
    for number, start in enumerate(range(0, len(labels), 2)):
        image = Image.fromarray(rng.integers(150, 240, (96, 96, 3), np.uint8))
        image_id = 1000 * len(counts) + 7 * number
        for place, label in enumerate(labels[start : start + 2].tolist()):
            corners = list(CORNERS.values())[label // 4]
            angles = 2 * np.pi * (np.arange(corners) / corners + rng.random())
            radius = rng.uniform(12, 20)
            centre = [24 + 48 * place, rng.uniform(22, 74)]
            ring = (centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)).round(1)
            fill = list(COLOURS.values())[label % 4]
            ImageDraw.Draw(image).polygon(ring.ravel().tolist(), fill)
            low, high = ring.min(0), ring.max(0)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=IDS[label],
                    bbox=[*low.tolist(), *(high - low).round(1).tolist()],
                    area=float(np.prod(high - low).round(1)),
                    iscrowd=0,
                    segmentation=[ring.ravel().tolist()],
                )
            )
        name = f'IMG_{split}_{number:04d}.jpg'
        image.save(Path('photos', name))
        images.append(dict(id=image_id, file_name=name, width=96, height=96))
    categories = [dict(id=i, name=name) for i, name in zip(IDS, NAMES)]
    return dict(images=images, annotations=annotations, categories=categories)


Path('photos').mkdir(exist_ok=True)
for seed, (split, counts) in enumerate(COUNTS.items()):
    content = draw(split, counts, np.random.default_rng(seed))
    Path(f'{split}.json').write_text(json.dumps(content))

# %% [markdown]
# ## Look
#
# `inspect` shows the tail, and every problem of the files with what training and evaluation would
# do with it. Nothing is changed.

# %%
run('lt_det inspect train.json val.json --images photos')

# %% [markdown]
# ## Write a config
#
# With a GPU, `init` writes the config to train: a detector of COCO, whose weights are downloaded.

# %%
run('lt_det init train.json val.json --images photos --method softmax --out mine.py')
print(Path('mine.py').read_text())

# %% [markdown]
# Here, without a GPU, the small detector of the demo takes its place: the same keys, another base.
# It starts from a detector of rendered glyphs that comes with this package.

# %%
Path('small.py').write_text(f"""
_base_ = ['lt_det::glyphs/mask_rcnn_r18_softmax_demo.py']
classes = {tuple(NAMES)}
model = dict(roi_head=dict(bbox_head=dict(num_classes=12), mask_head=dict(num_classes=12)))
files = dict(data_root='', data_prefix=dict(img='photos'), metainfo=dict(classes=classes))
train_dataloader = dict(dataset=dict(ann_file='train.json', **files))
val_dataloader = dict(dataset=dict(ann_file='val.json', **files))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='val.json', protocol='coco')
test_evaluator = val_evaluator
""")
run('lt_det train small.py')

# %% [markdown]
# ## Mend the rare classes without training
#
# `calibrate` chooses a rule on images that were kept apart, and measures what it is worth on images
# that the choice was not made on. When that is not above chance, it says so and changes nothing.

# %%
run(
    'lt_det calibrate small.py work_dirs/small/epoch_3.pth --held-out held.json --images photos '
    '--masks none --out calibrated'
)

# %% [markdown]
# `lt_det fold` writes a choice into the weights, for MMDetection without this package.
#
# ## Read the page
#
# One html file: AP of each class against its training images, errors, crops.

# %%
run('lt_det report work_dirs/small')

# %% [markdown]
# ## Predict
#
# And score the predictions, as those of any framework.

# %%
run(
    'lt_det predict small.py work_dirs/small/epoch_3.pth photos/IMG_val_*.jpg --score-thr 0 '
    '--no-pictures'
)
run('lt_det evaluate predictions/predictions.json --ann val.json --train train.json')
