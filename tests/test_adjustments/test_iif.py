import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm as normal

from lt_det.adjustments import build_adjustment
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency

# LVIS v1, class 0: 64 of 100,170 images, 109 of 1,270,141 instances
PUBLISHED = {
    ('raw', 'image'): 7.355740938246138,
    ('smooth', 'image'): 8.340246734689194,
    ('normit', 'image'): 3.2209133650223976,
    ('gombit', 'image'): 7.355421396446917,
    ('base2', 'image'): 10.612090973671634,
    ('base10', 'image'): 3.194557699790146,
    ('raw', 'instance'): 9.363290593665011,
    ('rel', 'image'): 7.3551018202072465,
}
LINKS = ('raw', 'smooth', 'rel', 'normit', 'gombit', 'base2', 'base10')


def naive(link: str, n: int, total: int) -> float:
    p = n / total
    return {
        'raw': lambda: math.log(1 / p),
        'smooth': lambda: math.log((total + 1) / (n + 1)) + 1,
        'rel': lambda: math.log((1 - p) / p),
        'normit': lambda: -normal.ppf(p),
        'gombit': lambda: -math.log(-math.log(1 - p)),
        'base2': lambda: math.log2(1 / p),
        'base10': lambda: math.log10(1 / p),
    }[link]()


@pytest.mark.parametrize(('rule', 'expected'), PUBLISHED.items())
def test_published_value_of_lvis_class_0(lvis_v1, rule, expected):
    link, count = rule
    adjustment = build_adjustment(dict(type='IIF', link=link, count=count), lvis_v1)
    # gombit: the published digits stem from log(1 - p), ours from log1p(-p)
    assert adjustment.coefficients(lvis_v1)[0][0] == pytest.approx(expected, rel=1e-10)
    assert adjustment.scale[0].item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize('link', LINKS)
@pytest.mark.parametrize('count', ['image', 'instance'])
def test_all_lvis_classes_equal_the_formula(lvis_v1, link, count):
    adjustment = build_adjustment(dict(type='IIF', link=link, count=count), lvis_v1)
    counts = lvis_v1.image_count if count == 'image' else lvis_v1.instance_count
    total = lvis_v1.num_images if count == 'image' else lvis_v1.num_instances
    expected = [naive(link, int(n), total) for n in counts]
    np.testing.assert_allclose(adjustment.coefficients(lvis_v1)[0], expected, rtol=1e-9)
    assert adjustment.scale.shape == (1204,)
    assert adjustment.scale[-1] == 1
    assert not adjustment.shift.any()


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=6),
    st.sampled_from(LINKS),
    st.sampled_from([None, 1.0, 2.0, 'mean']),
)
def test_every_edge_is_finite_and_positive(counts, link, norm):
    frequency = ClassFrequency(counts, num_images=max(*counts, 1))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        adjustment = build_adjustment(dict(type='IIF', link=link, norm=norm), frequency)
        plain = build_adjustment(dict(type='IIF', link=link), frequency).scale[:-1]
    scale = adjustment.scale[:-1]
    assert torch.isfinite(scale).all()
    assert (scale > 0).all()
    # the order and the ratios of the classes stay
    torch.testing.assert_close(scale * plain.sum(), plain * scale.sum(), rtol=1e-5, atol=0)
    assert adjustment.scale[-1] == 1
    if norm == 'mean':
        assert scale.mean().item() == pytest.approx(1, rel=1e-5)
    elif norm is not None:
        assert scale.norm(norm).item() == pytest.approx(1, rel=1e-5)


def test_class_without_images_counts_as_one_with_a_single_image():
    frequency = ClassFrequency([0, 1, 50], num_images=100, class_names=['nix', 'one', 'half'])
    with pytest.warns(UserWarning, match="classes 'nix' have no training sample"):
        adjustment = build_adjustment(dict(type='IIF', link='raw'), frequency)
    assert adjustment.scale[0] == adjustment.scale[1]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        smooth = build_adjustment(dict(type='IIF', link='smooth'), frequency)
    assert smooth.scale[0].item() == pytest.approx(math.log(101) + 1)


@pytest.mark.parametrize(
    ('link', 'images'), [('rel', 50), ('normit', 50), ('gombit', 64), ('raw', 100)]
)
def test_weights_of_very_frequent_classes_are_raised_to_the_floor(link, images):
    frequency = ClassFrequency([images, 1], num_images=100, class_names=['often', 'seldom'])
    with pytest.warns(UserWarning, match="classes 'often' have a weight of IIF below 0.2"):
        adjustment = build_adjustment(dict(type='IIF', link=link, min_weight=0.2), frequency)
    assert adjustment.scale[0].item() == pytest.approx(0.2)
    assert adjustment.scale[1] > 0.2


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_output_and_gradient_equal_a_plain_product(dtype):
    frequency = ClassFrequency([10, 3], num_images=100)
    adjustment = build_adjustment(dict(type='IIF'), frequency)
    torch.manual_seed(0)
    logits = torch.randn(5, 3, dtype=dtype, requires_grad=True)
    weight = torch.tensor([math.log(10), math.log(100 / 3), 1]).to(dtype)
    out = adjustment(logits)
    torch.testing.assert_close(out, logits * weight, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(out.sum(), logits)
    torch.testing.assert_close(gradient, weight.expand(5, 3), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(link='log'), "link is 'log', expected one of .*'base10'"),
        (dict(count='box'), "count is 'box'"),
        (dict(norm=0), 'norm is 0'),
        (dict(norm='max'), "norm is 'max', expected a number > 0, 'mean' or None"),
        (dict(min_weight=0), 'min_weight is 0'),
        (dict(stage='val'), "stage is 'val'"),
        (dict(links='raw'), 'links'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(BadInputError, match=message):
        build_adjustment(dict(type='IIF', **arguments), num_classes=3)


def test_an_option_of_another_rule_is_named():
    message = r'adjustment\.tau is 0\.5, which IIF has not; expected some of count, link, min_w'
    with pytest.raises(BadInputError, match=message):
        build_adjustment(dict(type='IIF', tau=0.5), num_classes=3)
