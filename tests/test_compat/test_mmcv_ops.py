import importlib

import pytest
import torch
from torchvision.ops import nms, roi_align

from lt_det.compat import mmcv_ops

needs_stand_in = pytest.mark.skipif(
    not isinstance(importlib.import_module('mmcv._ext'), mmcv_ops.Ops),
    reason='mmcv has compiled ops here',
)


def boxes(count: int, dtype=torch.float32) -> torch.Tensor:
    corners = torch.rand(count, 2, dtype=dtype) * 50
    return torch.cat([corners, corners + 1 + torch.rand(count, 2, dtype=dtype) * 30], 1)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_nms_equals_the_greedy_definition(dtype):
    from mmcv.ops import nms as mmcv_nms

    torch.manual_seed(0)
    rects, scores = boxes(60, dtype), torch.rand(60, dtype=dtype)
    kept = []
    for index in scores.argsort(descending=True).tolist():
        x1, y1, x2, y2 = rects[index].tolist()
        overlaps = []
        for other in kept:
            a1, b1, a2, b2 = rects[other].tolist()
            inter = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inter
            overlaps.append(inter / union)
        if all(overlap <= 0.4 for overlap in overlaps):
            kept.append(index)
    dets, indices = mmcv_nms(rects, scores, iou_threshold=0.4)
    assert indices.tolist() == kept
    torch.testing.assert_close(dets, torch.cat([rects, scores[:, None]], 1)[kept])
    assert indices.equal(nms(rects, scores, 0.4))


@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_output_and_gradient(sampling_ratio):
    from mmcv.ops import RoIAlign

    torch.manual_seed(0)
    features = torch.randn(2, 3, 16, 16, requires_grad=True)
    rois = torch.cat([torch.tensor([[0.0], [1.0], [1.0]]), boxes(3)], 1)
    layer = RoIAlign(7, 0.25, sampling_ratio)
    expected = roi_align(features, rois, 7, 0.25, sampling_ratio, aligned=True)
    torch.testing.assert_close(layer(features, rois), expected)
    weight = torch.randn_like(expected)
    for output in (layer(features, rois), expected):
        output.backward(weight)
    ours = torch.autograd.grad((layer(features, rois) * weight).sum(), features)[0]
    torch.testing.assert_close(features.grad, 2 * ours)


@needs_stand_in
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_goes_forward_and_backward(dtype, autocast):
    from mmcv.ops import RoIAlign
    from mmcv.ops import nms as mmcv_nms

    torch.manual_seed(0)
    exact = torch.randn(2, 3, 16, 16).to(dtype).float().requires_grad_()
    features = exact.detach().to(dtype).requires_grad_()
    # in float32, and with coordinates that both half types have
    rois = torch.cat([torch.tensor([[0.0], [1.0], [1.0]]), boxes(3).round()], 1)
    layer = RoIAlign(7, 0.25, 2)
    weight = torch.randn(3, 3, 7, 7).to(dtype)
    (layer(exact, rois) * weight.float()).sum().backward()
    for given in (rois, rois.to(dtype)):
        features.grad = None
        with torch.autocast('cpu', dtype, enabled=autocast):
            output = layer(features, given)
        assert output.dtype == dtype
        torch.testing.assert_close(output.float(), layer(exact, rois), rtol=1e-2, atol=1e-2)
        output.backward(weight)
        torch.testing.assert_close(features.grad.float(), exact.grad, rtol=1e-2, atol=1e-2)
    rects, scores = boxes(20).round(), torch.arange(20) / 20
    kept = mmcv_nms(rects, scores, 0.4)[1]
    assert kept.equal(mmcv_nms(rects.to(dtype), scores.to(dtype), 0.4)[1])


@needs_stand_in
def test_another_op_says_its_name_and_the_remedy():
    from mmcv.ops import sigmoid_focal_loss

    with pytest.raises(NotImplementedError, match='`sigmoid_focal_loss_forward`.*MMCV_WITH_OPS=1'):
        sigmoid_focal_loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))
    with pytest.raises(NotImplementedError, match='offset=1'):
        mmcv_ops.nms(boxes(2), torch.rand(2), 0.5, offset=1)


@needs_stand_in
def test_environment_report_works():
    from mmcv.utils import collect_env

    assert 'torchvision' in collect_env()['MMCV Compiler']
