"""The contrastive loss against a double loop, SupConLoss of pytorch-metric-learning, and ranks."""

from __future__ import annotations

import math
import socket

import pytest
import torch
import torch.distributed as dist
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules
from pytorch_metric_learning.losses import SupConLoss
from pytorch_metric_learning.reducers import DoNothingReducer

from lt_det.errors import BadInputError
from lt_det.models.losses import BalancedContrastiveLoss
from lt_det.models.losses.balanced_contrastive_loss import Membership, class_membership

C, D = 4, 6
LABELS = torch.tensor([0, 1, 0, 3, 0, 1, 0])
OTHERS = torch.tensor([2, 1, 3, 1, 0, 2, 3])
SHARE = torch.tensor([1.0, 0.3, 0.75, 0.0, 0.5, 1.0, 0.2])
DTYPES = [torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def seeded():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def naive(z, w, centres, temperature: float, class_average: bool = True):
    """The docstring's formula, view by view and class by class, with torch scalars."""
    z = [row / row.norm() for row in z]
    pool = [(row, list(share)) for row, share in zip(z, w.tolist())]
    if centres is not None:
        one_hot = torch.eye(len(centres)).tolist()
        pool += [(row / row.norm(), share) for row, share in zip(centres, one_hot)]
    losses = []
    for i, row in enumerate(z):
        total, sums, sizes = 0, [], []
        for k in range(w.shape[1]):
            members = [(other, s[k]) for j, (other, s) in enumerate(pool) if j != i and s[k] > 0]
            size = sum(share for _, share in members)
            power = sum(s * torch.exp(row @ other / temperature) for other, s in members)
            total = total + (power / size if class_average and members else power)
            sums.append(sum(s * (row @ other) / temperature for other, s in members))
            sizes.append(size)
        parts = [
            w[i, k].item() * (torch.log(total) - sums[k] / sizes[k])
            for k in range(w.shape[1])
            if sizes[k] > 0 and w[i, k] > 0
        ]
        if parts:
            losses.append(sum(parts))
    return sum(losses) / len(losses)


def inputs(dtype, with_centres: bool):
    z = torch.randn(len(LABELS), D, dtype=dtype, requires_grad=True)
    centres = torch.randn(C, D, dtype=dtype, requires_grad=True) if with_centres else None
    return z, centres


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('with_centres', [True, False])
@pytest.mark.parametrize('class_average', [True, False])
@pytest.mark.parametrize('masked', [True, False])
@pytest.mark.parametrize('temperature', [0.07, 1.0])
def test_values_and_gradients_are_those_of_the_double_loop(
    dtype, with_centres, class_average, masked, temperature
):
    z, centres = inputs(dtype, with_centres)
    w = class_membership(LABELS, C, *((OTHERS, SHARE) if masked else ()))
    loss = BalancedContrastiveLoss(temperature, class_average)
    found = loss(z, w, centres)
    expected = naive(z, w, centres, temperature, class_average)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    leaves = [z] if centres is None else [z, centres]
    torch.testing.assert_close(
        torch.autograd.grad(found, leaves),
        torch.autograd.grad(expected, leaves),
        rtol=2e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('temperature', [0.1, 0.5])
def test_without_class_average_and_centres_it_is_supcon(dtype, temperature):
    z, _ = inputs(dtype, False)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 1])
    found = BalancedContrastiveLoss(temperature, class_average=False)(
        z, class_membership(labels, C)
    )
    expected = SupConLoss(temperature)(z, labels)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, z), torch.autograd.grad(expected, z), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize('dtype', DTYPES)
def test_of_equal_counts_it_is_supcon_less_their_logarithm(dtype):
    """A view of class 0, of which there are three, sees two views of every class."""
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 2])
    z = torch.randn(len(labels), D, dtype=dtype)
    supcon = SupConLoss(0.1, reducer=DoNothingReducer())(z, labels)['loss']['losses']
    found, _ = BalancedContrastiveLoss(0.1).per_view(z, class_membership(labels, C))
    torch.testing.assert_close(found[labels == 0], supcon[labels == 0] - math.log(2))


def test_batch_without_a_second_view_of_a_class():
    z, centres = inputs(torch.float32, True)
    loss = BalancedContrastiveLoss(0.1)
    labels = torch.tensor([0, 1, 0, 2, 0, 0, 0])
    # views 1 and 3 are alone: no loss of their own, but others are pushed from them
    found = loss(z, class_membership(labels, C))
    torch.testing.assert_close(found, naive(z, class_membership(labels, C), None, 0.1))
    assert torch.isfinite(torch.autograd.grad(found, z)[0]).all()
    # with centres every view has a positive
    found = loss(z, class_membership(labels, C), centres)
    torch.testing.assert_close(found, naive(z, class_membership(labels, C), centres, 0.1))
    has_loss = [loss.per_view(z, class_membership(labels, C), c)[1] for c in (None, centres)]
    assert has_loss[0].tolist() == [True, False, True, False, True, True, True]
    assert has_loss[1].all()


@pytest.mark.parametrize('size', [1, 3])
@pytest.mark.parametrize('temperature', [0.001, 0.1])
def test_batch_in_which_every_view_is_alone(size, temperature):
    z = torch.randn(size, D, requires_grad=True)
    found = BalancedContrastiveLoss(temperature)(z, class_membership(torch.arange(size), C))
    assert found.item() == 0
    assert (torch.autograd.grad(found, z)[0] == 0).all()


@pytest.mark.parametrize('temperature', [0.002, 0.01])
def test_small_temperatures_do_not_overflow(temperature):
    z, centres = inputs(torch.float32, True)
    loss = BalancedContrastiveLoss(temperature)
    found = loss(-z, class_membership(LABELS, C), centres)
    expected = naive(
        -z.double(), class_membership(LABELS, C).double(), centres.double(), temperature
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    assert torch.isfinite(torch.autograd.grad(found, z)[0]).all()


def test_half_precision_is_computed_in_float32():
    z, centres = inputs(torch.float32, True)
    w = class_membership(LABELS, C)
    found = BalancedContrastiveLoss(0.07)(z.bfloat16(), w, centres.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, naive(z, w, centres, 0.07), rtol=0.05, atol=0.05)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast_changes_neither_loss_nor_gradients(dtype):
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        z, centres = inputs(torch.float32, True)
        with torch.autocast('cpu', dtype, enabled):
            loss = BalancedContrastiveLoss(0.07)(z, class_membership(LABELS, C), centres)
        found.append((loss, *torch.autograd.grad(loss, [z, centres])))
    for plain, mixed in zip(*found):
        assert torch.equal(plain, mixed)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_embeddings_of_zeros_have_finite_gradients(dtype):
    z = torch.zeros(len(LABELS), D, dtype=dtype, requires_grad=True)
    loss = BalancedContrastiveLoss(0.05)(z, class_membership(LABELS, C), torch.randn(C, D))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_a_class_counts_the_same_however_many_views_it_has():
    """More copies of a view of class 0 leave the loss of views of class 1 as it is."""
    z = torch.randn(4, D)
    found = []
    for copies in (1, 5):
        views = torch.cat([z, z[3:].repeat(copies - 1, 1)])
        labels = torch.tensor([1, 1, 2] + [0] * copies)
        loss, _ = BalancedContrastiveLoss(0.5).per_view(views, class_membership(labels, C))
        found.append(loss[:2])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize('mixed', [False, True])
def test_labels_stand_for_their_membership(mixed):
    z, centres = inputs(torch.float32, True)
    given = Membership(LABELS, C, *((OTHERS, SHARE) if mixed else ()))
    found, expected = (
        BalancedContrastiveLoss(0.1)(z, w, centres) for w in (given, class_membership(*given))
    )
    assert torch.equal(found, expected)


def test_membership():
    w = class_membership(LABELS, C, OTHERS, SHARE)
    expected = torch.zeros(len(LABELS), C)
    for i, (y, other, share) in enumerate(zip(LABELS, OTHERS, SHARE)):
        expected[i, y] += share
        expected[i, other] += 1 - share
    torch.testing.assert_close(w, expected)
    torch.testing.assert_close(w.sum(1), torch.ones(len(w)))
    assert class_membership(LABELS, C).argmax(1).tolist() == LABELS.tolist()


@pytest.mark.parametrize('temperature', [0, -1])
def test_bad_temperature(temperature):
    with pytest.raises(BadInputError, match=r'temperature is .*, expected a number > 0'):
        MODELS.build(dict(type='BalancedContrastiveLoss', temperature=temperature))


def _rank(rank: int, port: int, given: dict, out: str) -> None:
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    half = slice(3 * rank, 3 * rank + 3)
    z = given['z'][half].clone().requires_grad_()
    centres = given['centres'].clone().requires_grad_()
    sent = []
    gather = dist.all_gather
    dist.all_gather = lambda parts, mine, **kwargs: sent.append(mine) or gather(parts, mine)
    w = given['w']
    if isinstance(w, Membership):
        w = Membership(*(x[half] if isinstance(x, torch.Tensor) else x for x in w))
    else:
        w = w[half]
    loss = BalancedContrastiveLoss(0.1)(z, w, centres)
    # of labels, three numbers a view; whatever the number of classes is
    tables = [mine for mine in sent if mine.shape == (3, C)]
    assert len(sent) > 1 and bool(tables) != isinstance(w, Membership)
    loss.backward()
    torch.save(dict(loss=loss.detach(), z=z.grad, centres=centres.grad), f'{out}/{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.parametrize('by_labels', [False, True])
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path, by_labels):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    z = torch.randn(6, D, dtype=torch.float64)
    centres = torch.randn(C, D, dtype=torch.float64)
    w = class_membership(LABELS[:6], C, OTHERS[:6], SHARE[:6].double())
    if by_labels:
        given_w = Membership(LABELS[:6], C, OTHERS[:6], SHARE[:6].double())
    given = dict(z=z, centres=centres, w=given_w if by_labels else w)
    arguments = (port, given, str(tmp_path))
    # forked: a new interpreter would import everything again
    torch.multiprocessing.start_processes(_rank, arguments, nprocs=2, start_method='fork')
    parts = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    z.requires_grad_(), centres.requires_grad_()
    loss = BalancedContrastiveLoss(0.1)(z, w, centres)
    loss.backward()
    torch.testing.assert_close((parts[0]['loss'] + parts[1]['loss']) / 2, loss.detach())
    # processes average gradients
    torch.testing.assert_close(torch.cat([part['z'] for part in parts]) / 2, z.grad)
    torch.testing.assert_close((parts[0]['centres'] + parts[1]['centres']) / 2, centres.grad)
