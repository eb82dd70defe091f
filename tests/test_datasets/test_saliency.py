"""Saliency maps against their formulas, and the masks made from them."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.registry import TRANSFORMS
from mmpretrain.utils import register_all_modules

from lt_det.datasets.saliency import (
    FineGrained,
    RandomPoint,
    SpectralResidual,
    build_saliency,
    grey,
    reduce,
    salient_point,
)
from lt_det.datasets.saliency_mask import MaskedMultiView, SaliencyMask, masked_box
from lt_det.errors import BadInputError


@pytest.fixture(autouse=True)
def seeded():
    register_all_modules(init_default_scope=True)
    np.random.seed(0)


def picture(height: int = 48, width: int = 64, channels: int = 3, dtype=np.uint8) -> np.ndarray:
    """Soft grain, and a bright disc in the lower right."""
    image = cv2.GaussianBlur(np.random.uniform(60, 140, (height, width)), (0, 0), 1.5)
    cv2.circle(image, (int(0.75 * width), int(0.7 * height)), height // 8, 250.0, -1)
    image = np.rint(image) if dtype == np.uint8 else image
    return np.stack([image] * channels, 2).astype(dtype) if channels else image.astype(dtype)


def naive_spectral_residual(image: np.ndarray, side: int, sigma: float, edge: int) -> np.ndarray:
    """Equations 2 to 5 of Hou and Zhang with numpy's transform in float64 and loops."""
    small = reduce(image, side).astype(np.float64)
    spectrum = np.fft.fft2(small)
    amplitude = np.maximum(np.abs(spectrum), 1e-6 * np.abs(spectrum).max())
    log = np.log(amplitude)
    residual = np.empty_like(log)
    for y in range(side):
        for x in range(side):
            near = [log[(y + i) % side, (x + j) % side] for i in (-1, 0, 1) for j in (-1, 0, 1)]
            residual[y, x] = log[y, x] - sum(near) / 9
    kept = np.abs(spectrum) / amplitude  # 1 but for absent frequencies
    response = np.fft.ifft2(np.exp(residual) * kept * np.exp(1j * np.angle(spectrum)))
    energy = np.abs(response) ** 2
    for y in range(side):
        for x in range(side):
            if min(y, x, side - 1 - y, side - 1 - x) < edge:
                energy[y, x] = 0
    return cv2.GaussianBlur(energy, (0, 0), sigma)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(('side', 'edge'), [(16, 0), (33, 0), (33, 3)])
def test_spectral_residual_is_the_formula(dtype, side, edge):
    image = picture(channels=0, dtype=dtype)
    found = SpectralResidual(side=side, sigma=2.0, edge=edge)(image)
    expected = naive_spectral_residual(image, side, 2.0, edge)
    assert found.shape == (side, side)
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=2e-3)


@pytest.mark.parametrize(('height', 'width', 'halved'), [(64, 96, 2), (224, 224, 1), (31, 90, 0)])
def test_images_are_reduced_by_means_of_areas(height, width, halved):
    image = picture(height, width, channels=0, dtype=np.float64)
    side = 16 if halved != 1 else 64
    blocks = image.reshape(height >> halved, 1 << halved, width >> halved, 1 << halved)
    expected = cv2.resize(blocks.mean((1, 3)), (side, side), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(reduce(image, side), expected)
    direct = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    assert np.abs(expected - direct).max() < 0.1 * np.ptp(image)


@pytest.mark.parametrize(('height', 'width'), [(48, 64), (224, 224), (31, 90)])
def test_the_salient_point_is_in_the_object(height, width):
    image = picture(height, width)
    y, x = salient_point(SpectralResidual()(image), height, width)
    assert np.hypot(y - 0.7 * height, x - 0.75 * width) < height / 5


def test_the_seam_between_opposite_borders_is_not_salient():
    image = np.tile(np.linspace(20, 220, 224), (224, 1)).astype(np.uint8)
    cv2.circle(image, (130, 90), 12, 150, -1)
    _, x = salient_point(SpectralResidual(edge=0)(image), 224, 224)
    assert min(x, 223 - x) < 4
    y, x = salient_point(SpectralResidual()(image), 224, 224)
    assert np.hypot(y - 90, x - 130) < 12


def test_point_of_a_map():
    found = np.zeros((4, 5), np.float32)
    found[3, 2] = 1
    assert salient_point(found, 4, 5) == (3, 2)
    assert salient_point(found, 8, 15) == (7, 7)
    assert salient_point(found, 1, 1) == (0, 0)
    assert salient_point(np.ones((4, 5), np.float32), 8, 8) is None
    assert salient_point(np.full((4, 5), np.nan), 8, 8) is None


def test_random_points_are_anywhere():
    points = [salient_point(RandomPoint()(picture(4, 6)), 4, 6) for _ in range(400)]
    counts = np.unique(points, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert counts.max() < 45  # 17 expected


def test_fine_grained_needs_a_contrib_build(monkeypatch):
    monkeypatch.delattr(cv2, 'saliency', raising=False)
    with pytest.raises(BadInputError, match=r"needs cv2\.saliency.*'SpectralResidual' works"):
        build_saliency(dict(type='FineGrained'))
    asked = []

    class Method:
        def computeSaliency(self, image):
            asked.append(image.shape)
            return True, np.eye(*image.shape, dtype=np.float64)

    module = SimpleNamespace(StaticSaliencyFineGrained_create=Method)
    monkeypatch.setattr(cv2, 'saliency', module, raising=False)
    saliency = pickle.loads(pickle.dumps(build_saliency(dict(type='FineGrained'))))
    assert isinstance(saliency, FineGrained)
    found = saliency(picture(6, 9))
    assert (found.shape, found.dtype, asked) == ((6, 9), np.float32, [(6, 9)])


@pytest.mark.skipif(not hasattr(cv2, 'saliency'), reason='this OpenCV is no contrib build')
def test_fine_grained_finds_the_object():
    image = picture(96, 128)
    saliency = pickle.loads(pickle.dumps(build_saliency(dict(type='FineGrained'))))(image)
    assert (saliency.shape, saliency.dtype) == ((96, 128), np.float32)
    y, x = salient_point(saliency, 96, 128)
    assert np.hypot(y - 67, x - 96) < 12 + 8  # it is largest at edges, on either side
    assert salient_point(FineGrained()(np.full((9, 8, 3), 70, np.uint8)), 9, 8) is None


@pytest.mark.skipif(not hasattr(cv2, 'saliency'), reason='this OpenCV is no contrib build')
def test_spectral_residual_resembles_that_of_opencv():
    stock = cv2.saliency.StaticSaliencySpectralResidual_create()
    correlation = []
    for _ in range(20):
        image = picture(192, 256)
        ours = cv2.resize(SpectralResidual(sigma=2.0, edge=0)(image), (256, 192))
        theirs = stock.computeSaliency(image)[1]  # another reduction, and squared after the blur
        correlation.append(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])
    assert np.mean(correlation) > 0.8


@pytest.mark.parametrize('dtype', [np.uint8, np.float32, np.float64])
def test_grey_weighs_the_channels_in_their_order(dtype):
    image = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(dtype)
    for view in (image, image[..., ::-1], image[:, ::-1], image[::2, ::3]):
        blue, green, red = np.moveaxis(view.astype(float), -1, 0)
        expected = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
        np.testing.assert_allclose(grey(view), expected, atol=1 if dtype == np.uint8 else 1e-3)


def naive_box(height, width, centre, share) -> np.ndarray:
    """Boolean (H, W), pixel by pixel."""
    h, w = int(height * np.sqrt(1 - share)), int(width * np.sqrt(1 - share))
    inside = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            from_top, from_left = y - (centre[0] - h // 2), x - (centre[1] - w // 2)
            inside[y, x] = 0 <= from_top < h and 0 <= from_left < w
    return inside


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.floats(0, 0.999), st.floats(0, 0.99)
)
def test_box_and_visible_share(height, width, share, down, right):
    centre = int(down * height), int(right * width)
    peak = np.zeros((height, width), np.float32)
    peak[centre] = 1
    image = np.random.randint(0, 200, (height, width, 3)).astype(np.uint8)
    transform = SaliencyMask(saliency=lambda _: peak, fill=(201, 202, 203))
    masked, box, visible = transform.mask(image, share)
    inside = naive_box(height, width, centre, share)
    if height * width == 1:  # a map of one value has no contrast
        assert (box, visible) == (None, 1.0)
        return
    assert (masked[inside] == (201, 202, 203)).all()
    assert (masked[~inside] == image[~inside]).all()
    assert visible == pytest.approx(1 - inside.mean())
    x1, y1, x2, y2 = box
    assert inside[y1:y2, x1:x2].all()
    assert box == masked_box(height, width, centre, share)


@pytest.mark.parametrize('shape', [(1, 1, 3), (1, 7, 3), (7, 1), (2, 2, 1), (5, 5)])
@pytest.mark.parametrize('share', [0.0, 0.01, 0.5, 0.999, 1.0])
def test_images_smaller_than_the_box_are_masked_as_far_as_they_go(shape, share):
    image = np.random.randint(0, 255, shape).astype(np.uint8)
    masked, box, visible = SaliencyMask(fill=7).mask(image, share)
    assert masked.shape == shape
    assert 0 <= visible <= 1
    if box is not None:
        x1, y1, x2, y2 = box
        assert visible == pytest.approx(1 - (x2 - x1) * (y2 - y1) / (shape[0] * shape[1]))
        assert (masked[y1:y2, x1:x2] == 7).all()


@pytest.mark.parametrize('value', [0, 128, 255])
def test_constant_images_stay_whole(value):
    image = np.full((20, 30, 3), value, np.uint8)
    for saliency in (SpectralResidual(), lambda image: np.ones((4, 4), np.float32)):
        results = SaliencyMask(saliency, prob=1.0)(dict(img=image))
        assert results['img'] is image
        assert (results['visible_share'], results['mask_box']) == (1.0, None)


def test_probability_and_shares_of_many_images():
    image = picture()
    before = image.copy()
    transform = SaliencyMask(prob=0.5)
    shares = np.array([transform(dict(img=image))['visible_share'] for _ in range(400)])
    assert 150 < (shares < 1).sum() < 250
    assert (image == before).all()
    never = [SaliencyMask(prob=0.0)(dict(img=image))['visible_share'] for _ in range(50)]
    assert never == [1.0] * 50
    # lambda of a box that is inside is uniform for alpha = 1, up to whole pixels
    centre = np.zeros((48, 64), np.float32)
    centre[24, 32] = 1
    transform = SaliencyMask(lambda _: centre, prob=1.0)
    shares = [transform(dict(img=image))['visible_share'] for _ in range(1000)]
    np.testing.assert_allclose(np.quantile(shares, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.06)


def test_float_images_keep_the_exact_mean():
    image = picture(dtype=np.float32)
    masked, (x1, y1, x2, y2), _ = SaliencyMask(fill=(0.25, 0.5, 0.75)).mask(image, 0.3)
    assert masked.dtype == np.float32
    assert (masked[y1:y2, x1:x2] == np.array([0.25, 0.5, 0.75], np.float32)).all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(prob=1.5), r'SaliencyMask\.prob is 1\.5, expected a number in \[0, 1\]'),
        (dict(alpha=0), r'SaliencyMask\.alpha is 0, expected a number > 0'),
        (dict(saliency=dict(type='Eyes')), "saliency.type is 'Eyes', expected one of.*'RandomP"),
        (dict(saliency=dict(type='SpectralResidual', size=3)), "saliency=.*'size'"),
        (dict(saliency=dict(type='SpectralResidual', side=2)), 'saliency.side is 2'),
        (dict(saliency=dict(type='SpectralResidual', sigma=0)), 'saliency.sigma is 0'),
        (dict(saliency=dict(type='SpectralResidual', edge=-1)), 'saliency.edge is -1'),
        (
            dict(saliency=dict(type='SpectralResidual', side=8, edge=4)),
            r'saliency.edge is 4.*\(8\)',
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(BadInputError, match=message):
        SaliencyMask(**arguments)


@pytest.mark.parametrize('shape', [(0, 4, 3), (4, 0, 3), (4,), (4, 4, 3, 2)])
def test_images_without_pixels(shape):
    with pytest.raises(BadInputError, match=r'got an image of shape .*at least one pixel'):
        SaliencyMask(prob=1.0)(dict(img=np.zeros(shape, np.uint8)))


@pytest.mark.parametrize('fill', [(10, 20.5, 30), 'background'])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_masks_of_views_are_those_of_copies(fill, dtype):
    image = picture().astype(dtype)
    image[..., 1] //= 2
    plane = image[..., 0].copy()
    views = [image, image[..., ::-1], image[:, ::-1], image[::2, ::3]]
    views += [image[..., :1], plane, plane[:, ::-1]] if fill == 'background' else []
    for view in views:
        before = view.copy()
        found, expected = (SaliencyMask(fill=fill).mask(v, 0.4) for v in (view, before))
        assert (found[0] == expected[0]).all()
        assert (found[0] != before).any()
        # one block of memory, with the channels in the order that they had there
        assert found[0][..., :: -1 if view is views[1] else 1].flags.c_contiguous
        assert found[1:] == expected[1:]
        assert (view == before).all()


@pytest.mark.parametrize('shape', [(9, 12, 3), (7, 5)])
def test_box_filled_with_the_opposite_pixels(shape):
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    masked, (x1, y1, x2, y2), visible = SaliencyMask(fill='background').mask(image, 0.4)
    height, width = shape[:2]
    for y in range(height):
        for x in range(width):
            inside = y1 <= y < y2 and x1 <= x < x2
            source = (y - height // 2) % height, (x - width // 2) % width
            np.testing.assert_array_equal(masked[y, x], image[source if inside else (y, x)])
    assert visible == 1 - (x2 - x1) * (y2 - y1) / (height * width)
    with pytest.raises(BadInputError, match="fill is 'noise', expected numbers or 'background'"):
        SaliencyMask(fill='noise')


def test_fill_of_another_number_of_channels():
    with pytest.raises(BadInputError, match=r'fill has 3 numbers for an image of shape \(5, 5\)'):
        SaliencyMask(prob=1.0)(dict(img=picture(5, 5, channels=0)))


def test_views_in_a_pipeline():
    image, steps = picture(), [dict(type='SaliencyMask', prob=1.0, fill=0)]
    packed = TRANSFORMS.build(
        dict(type='MaskedMultiView', transforms=[[], steps], num_views=[1, 2])
    )(dict(img=image, gt_label=3))
    first, *others = packed['img']
    assert (first == image).all()
    assert packed['visible_share'].dtype == torch.float32
    assert packed['visible_share'][0] == 1
    for view, share in zip(others, packed['visible_share'][1:].tolist()):
        assert ((view == 0).all(2)).mean() >= 1 - share - 1e-6
    sample = TRANSFORMS.build(dict(type='PackInputs', algorithm_keys=('visible_share',)))(packed)
    assert [tuple(view.shape) for view in sample['inputs']] == [(3, 48, 64)] * 3
    assert torch.equal(sample['data_samples'].visible_share, packed['visible_share'])
    with pytest.raises(BadInputError, match='1 pipelines in transforms and 2 numbers'):
        MaskedMultiView([[]], [1, 2])
