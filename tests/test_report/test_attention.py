"""Class activation maps of a classifier's page."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import nn

from lt_det.report.page.attention import activation, with_attention
from lt_det.report.page.classified import Classified
from lt_det.report.page.classifier import _core, _gallery
from lt_det.report.page.thumbnails import veil

CLASSES, CHANNELS = 3, 5


def coded(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


class Mean(nn.Module):
    def forward(self, maps):
        return tuple(features.mean((2, 3)) for features in maps)


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, features):
        return self.fc(features[-1])


class Backbone(nn.Conv2d):
    def forward(self, inputs):
        return (super().forward(inputs),)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.neck, self.head = Backbone(3, CHANNELS, 8, stride=8), Mean(), Head()
        self.data_preprocessor = ClsDataPreprocessor(mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True)

    def logits(self, pixels):
        batch = dict(inputs=[pixels], data_samples=[DataSample()])
        inputs = self.data_preprocessor(batch, False)['inputs']
        return self.head(self.neck(self.backbone(inputs)))[0]


def images(number: int = 20) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 255, (number, 3, 4, 6)).astype(np.uint8)
    return [torch.from_numpy(row).repeat_interleave(8, 1).repeat_interleave(8, 2) for row in rows]


def evaluated(model: Model, inputs: list[torch.Tensor], path: str = '') -> Classified:
    with torch.no_grad():
        predicted = np.array([int(model.logits(pixels).argmax()) for pixels in inputs])
    return Classified(
        label=np.arange(len(inputs)) % CLASSES,
        predicted=predicted,
        confidence=np.linspace(0.4, 0.9, len(inputs)),
        image=np.array([path] * len(inputs), str),
        name=np.array(['a', 'b', 'c']),
        group=np.array(['few', 'medium', 'many']),
        train_images=np.array([3, 30, 300]),
        num_bins=15,
    )


def dataset(inputs):
    """Items as PackInputs makes them."""
    return [dict(inputs=pixels, data_samples=DataSample()) for pixels in inputs]


def test_a_map_is_the_weighted_sum_of_channels():
    torch.manual_seed(1)
    head, features = Head(), torch.randn(4, CHANNELS, 2, 3)
    labels = torch.tensor([0, 2, 2, 1])
    found = activation(head, (features,), Mean()((features,)), labels)
    for k in range(4):
        expected = torch.zeros(2, 3)
        for d in range(CHANNELS):
            expected += head.fc.weight[labels[k], d] * features[k, d]
        # its mean and the bias are the logit
        logit = head(Mean()((features,)))[k, labels[k]]
        assert torch.isclose(expected.mean() + head.fc.bias[labels[k]], logit, atol=1e-6)
        expected = expected.clamp(min=0)
        assert torch.allclose(found[k], expected / expected.max(), atol=1e-6)


def test_a_head_with_an_attention_of_its_own_is_asked():
    head = Head()
    head.attention = lambda maps: maps[-1].mean(1)
    features = torch.rand(2, CHANNELS, 2, 3)
    found = activation(head, (features,), features, torch.tensor([0, 1]))
    assert torch.allclose(found, features.mean(1) / features.mean(1).amax((1, 2), keepdim=True))


def test_what_speaks_against_a_class_is_zero():
    head, features = Head(), torch.ones(1, CHANNELS, 2, 2)
    nn.init.constant_(head.fc.weight, -1)
    assert not activation(head, (features,), Mean()((features,)), torch.tensor([0])).any()
    assert _core(np.zeros((2, 2), np.float16), (16, 16, 3)) is None


@pytest.mark.parametrize('other', ['maximum', 'no fc', 'width', 'flat', 'single'])
def test_models_without_such_a_map(other):
    head, features = Head(), torch.rand(2, CHANNELS, 2, 3)
    maps, pooled = (features,), (features.mean((2, 3)),)
    if other == 'maximum':
        pooled = (features.amax((2, 3)),)
    elif other == 'no fc':
        del head.fc
    elif other == 'width':
        head.fc = nn.Linear(CHANNELS + 1, CLASSES)
    elif other == 'flat':
        maps = (features.mean((2, 3)),)
    else:
        maps = features
    assert activation(head, maps, pooled, torch.tensor([0, 1])) is None


def test_pictures_are_what_the_network_sees_of_the_images_of_the_page(tmp_path):
    model, inputs = Model(), images()
    found = evaluated(model, inputs, 'file.png')
    model.train()
    more = with_attention(found, model, dataset(inputs))
    assert model.training
    assert more.attention.shape == (len(more.shown), 4, 6) and len(more.shown) > 5
    assert (more.attention.max((1, 2)) <= 1).all() and (more.attention >= 0).all()
    more.write(tmp_path / 'predictions.npz')
    read = Classified.read(tmp_path / 'predictions.npz')
    notes = []
    crops = _gallery(read, notes)
    assert crops and notes == []
    for crop in crops:
        jpeg = base64.b64decode(crop['src'].split(',')[1])
        pixels = cv2.imdecode(coded(jpeg), cv2.IMREAD_COLOR)
        views = [view.permute(1, 2, 0).numpy() for view in inputs]
        difference = [np.abs(view - pixels.astype(int)).mean() for view in views]
        index = int(np.argmin(difference))
        assert min(difference) < 40 and pixels.shape == (32, 48, 3)
        assert (crop['truth'], crop['predicted']) == (found.label[index], found.predicted[index])
        place = more.shown.tolist().index(index)
        layers = coded(base64.b64decode(crop['veil'].split(',')[1]))
        layers = cv2.imdecode(layers, cv2.IMREAD_UNCHANGED)
        assert np.array_equal(layers, cv2.imdecode(coded(veil(more.attention[place])), -1))


def test_the_outline_holds_the_most_of_a_map():
    attention = np.zeros((4, 6), np.float16)
    attention[1:3, 3:5] = 1
    mask = np.zeros((64, 96), np.uint8)
    cv2.fillPoly(mask, [np.array(_core(attention, (64, 96, 3))).astype(int)], 1)
    assert mask[16:48, 48:80].mean() > 0.9 and mask.sum() < 2 * 32 * 32


def test_images_that_are_no_files_are_rgb():
    model, inputs = Model(), images()
    of_files = with_attention(evaluated(model, inputs, 'a.png'), model, dataset(inputs))
    others = with_attention(evaluated(model, inputs), model, dataset(inputs))
    for one, other in zip(of_files.view.tolist(), others.view.tolist()):
        one, other = (cv2.imdecode(coded(x), 1).astype(int) for x in (one, other))
        assert np.abs(one - other[..., ::-1]).mean() < 25 < np.abs(one - other).mean()


def test_other_weights_than_those_evaluated_show_nothing():
    model, inputs = Model(), images()
    found = evaluated(model, inputs)
    found.predicted = (found.predicted + 1) % CLASSES
    assert with_attention(found, model, dataset(inputs)) is found
    notes = []
    assert _gallery(found, notes) == []  # and there is no file to show
    assert any('class activation map' in note for note in notes)


def test_a_model_of_another_kind_is_left_alone():
    found = evaluated(Model(), images())
    assert with_attention(found, SimpleNamespace(head=None), []) is found


def test_a_veil_is_darkest_where_a_map_is_low():
    attention = np.random.default_rng(0).random((4, 7)).astype(np.float16)
    attention[2, 3] = 0
    layers = cv2.imdecode(coded(veil(attention)), -1)
    assert layers.shape == (40, 70, 4) and not layers[..., :3].any()
    assert layers[..., 3].max() <= 150 and layers[24:26, 34:36, 3].max() > 140
    middles = 150 * (1 - attention.astype(float))
    smooth = layers[..., 3].reshape(4, 10, 7, 10)[:, 4:6, :, 4:6].mean((1, 3))
    assert np.abs(smooth - middles).max() < 15
    assert np.allclose(layers[..., 3].mean(), middles.mean(), atol=5)
