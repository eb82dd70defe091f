"""BALLAD against its formulas, computed again from open_clip's own towers."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from speed.ballad_cost import PeakBytes

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.layers.residual_adapter import ResidualAdapter
from lt_det.models.losses.class_contrastive_loss import class_contrastive_loss
from lt_det.models.open_clip import build_tokenizer

open_clip = pytest.importorskip('open_clip', reason="open_clip is the extra 'clip' of lt_det")

TEXT = dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1)
VIT = dict(
    name='ViT-B-32',
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16),
    text_cfg=TEXT,
)
RESNET = dict(
    name='RN50',
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=[1, 1, 1, 1], width=8, patch_size=None),
    text_cfg=TEXT,
)
NAMES = ['greek small letter alpha', 'airplane', 'skull', 'black star', 'snowflake']
C = len(NAMES)


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def build(phase='A', clip=VIT, head=None, **kwargs):
    kind = 'LongTailClsHead' if phase in ('linear_probe', 'fine_tune') else 'TextClsHead'
    head = dict(type=kind, num_classes=C, **(head or {}))
    names = dict(class_names=NAMES) if kind == 'TextClsHead' else {}
    return MODELS.build(dict(type='BALLAD', clip=clip, head=head, phase=phase, **names, **kwargs))


def samples(labels=(0, 3, 1, 1)) -> list[DataSample]:
    return [DataSample().set_gt_label(label) for label in labels]


def logits_by_hand(model, images, adapter=None, templates=('a photo of a {}.',), scale=100.0):
    """Every logit as a cosine of vectors that open_clip's encoders return."""
    tokenizer = build_tokenizer('ViT-B-32', 77)
    rows = []
    for image in images:
        u = model.clip.encode_image(image[None])[0]
        u = u if adapter is None else adapter(u)
        row = []
        for name in NAMES:
            texts = [model.clip.encode_text(tokenizer([t.format(name)]))[0] for t in templates]
            mean = sum(text / text.norm() for text in texts) / len(texts)
            row.append(scale * (u / u.norm()) @ (mean / mean.norm()))
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize('clip', [VIT, RESNET], ids=['vit', 'resnet'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_phase_a_is_a_softmax_over_all_class_texts(clip, dtype):
    model = build('A', clip).to(dtype).train()
    images = torch.randn(4, 3, 32, 32, dtype=dtype)
    logits = logits_by_hand(model, images)
    expected = -sum(
        logits[i, y] - logits[i].exp().sum().log() for i, y in enumerate([0, 3, 1, 1])
    ) / len(images)
    found = model(images, samples(), mode='loss')['loss']
    # float32 knows logits of 100 to 1e-5 in each step
    close = dict(rtol=1e-5, atol=1e-4) if dtype == torch.float32 else {}
    torch.testing.assert_close(found, expected, **close)
    parameters = [p for p in model.clip.parameters() if p.requires_grad]
    assert parameters
    theirs = torch.autograd.grad(expected, parameters, allow_unused=True)
    mine = torch.autograd.grad(found, parameters, allow_unused=True)
    largest = max(float(g.abs().max()) for g in theirs if g is not None)
    tolerance = dict(rtol=1e-4, atol=2e-5 * largest) if dtype == torch.float32 else {}
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    assert sum(g is not None and bool(g.abs().sum() > 0) for g in mine) > len(mine) // 2


@pytest.mark.parametrize('chunk', [1, 2, 3, 100])
@pytest.mark.parametrize('grad_checkpointing', [False, True])
def test_chunks_and_checkpointing_change_neither_loss_nor_gradients(chunk, grad_checkpointing):
    templates = ['a photo of a {}.', 'the glyph {}.']
    whole = build('A', templates=templates).double().train()
    parts = build('A', templates=templates, text_chunk=chunk, grad_checkpointing=grad_checkpointing)
    parts = parts.double().train()
    parts.load_state_dict(whole.state_dict())
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    for model in (whole, parts):
        model(images, samples(), mode='loss')['loss'].backward()
    for (name, a), b in zip(whole.clip.named_parameters(), parts.clip.parameters(), strict=True):
        if a.grad is None:
            assert b.grad is None, name
        else:
            torch.testing.assert_close(b.grad, a.grad)
    torch.testing.assert_close(
        parts(images, samples(), mode='loss'), whole(images, samples(), mode='loss')
    )


def test_memory_of_a_training_step_is_bounded_by_the_chunk():
    peaks = []
    for texts, chunk in ((100, None), (100, 10), (200, 10)):
        model = build('A', text_chunk=chunk).train()
        # without the gradient of the vocabulary, which is larger than all the rest here
        model.clip.token_embedding.requires_grad_(False)
        tokens = model.tokens.repeat(1, texts // C, 1)
        with PeakBytes() as counter:
            model.encode_texts(tokens).sum().backward()
        peaks.append(counter.peak)
    assert peaks[1] < 0.25 * peaks[0]
    assert peaks[2] < 1.3 * peaks[1]


def test_memory_of_constant_texts_is_bounded_without_a_chunk(monkeypatch):
    monkeypatch.setattr('lt_det.models.class_texts._TEXTS', 10)
    peaks = []
    for texts, chunk in ((100, 1000), (100, None), (200, None)):
        model = build('zero_shot', text_chunk=chunk).eval()
        tokens = model.tokens.repeat(1, texts // C, 1)
        with PeakBytes() as counter, torch.no_grad():
            found = model.encode_texts(tokens)
        torch.testing.assert_close(found[:C], found[-C:])
        peaks.append(counter.peak)
    assert peaks[1] < 0.25 * peaks[0]
    assert peaks[2] < 1.3 * peaks[1]


def test_short_prompts_are_encoded_as_far_as_they_reach():
    model = build('A').double()
    tokenizer = build_tokenizer('ViT-B-32', 77)
    tokens = tokenizer([f'a photo of a {name}.' for name in NAMES])
    assert model.tokens.shape[-1] == int(tokens.argmax(1).max()) + 1 < 15
    full = model.clip.encode_text(tokens, normalize=True)
    torch.testing.assert_close(model.class_texts(), full)
    assert model.clip.positional_embedding.shape == (77, 16)


def test_phase_b_starts_as_zero_shot_and_trains_the_adapter_alone():
    model = build('B').double().train()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    zero_shot = build('zero_shot').double().eval()
    load_state_dict(zero_shot, model.state_dict())  # into a model that is in evaluation already
    torch.testing.assert_close(model(images), zero_shot(images))
    torch.nn.init.normal_(model.adapter.weight)

    def adapter(u):
        w = model.adapter.weight
        out = [sum(w[i, j] * u[j] for j in range(16)) for i in range(16)]
        return 0.2 * torch.stack(out) + 0.8 * u

    logits = logits_by_hand(model, images, adapter)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3, 1, 1]))
    found = model(images, samples(), mode='loss')['loss']
    torch.testing.assert_close(found, expected)
    (theirs,) = torch.autograd.grad(expected, [model.adapter.weight])
    found.backward()
    torch.testing.assert_close(model.adapter.weight.grad, theirs)
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {'adapter.weight'}
    assert not any(module.training for module in model.clip.modules())


def test_features_in_place_of_images():
    model = build('B').train()
    raw = list(torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8))
    data = model.data_preprocessor(dict(inputs=raw, data_samples=samples()), training=True)
    features = model.image_features(data['inputs'])
    cached = model.data_preprocessor(dict(inputs=list(features), data_samples=samples()))
    torch.testing.assert_close(cached['inputs'], features, rtol=0, atol=0)
    torch.testing.assert_close(
        model(**cached, mode='loss'), model(**data, mode='loss'), rtol=0, atol=0
    )
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN)[:, None, None]
    std = torch.tensor(open_clip.OPENAI_DATASET_STD)[:, None, None]
    expected = (raw[0].flip(0) / 255 - mean) / std
    torch.testing.assert_close(data['inputs'][0], expected)
    with pytest.raises(BadInputError, match=r"phase 'A' takes images .* of shape \(16,\)"):
        build('A')(features)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('ratio', [0.0, 0.2, 1.0])
def test_adapter(ratio, dtype):
    adapter = ResidualAdapter(3, ratio).to(dtype)
    u = torch.randn(2, 3, dtype=dtype)
    torch.testing.assert_close(adapter(u), u)
    torch.nn.init.normal_(adapter.weight)
    expected = [
        torch.stack([ratio * sum(w * row) + (1 - ratio) * x for w, x in zip(adapter.weight, row)])
        for row in u
    ]
    torch.testing.assert_close(adapter(u), torch.stack(expected))
    assert torch.autograd.gradcheck(ResidualAdapter(3, ratio).double(), u.double().requires_grad_())
    with pytest.raises(BadInputError, match=r'ratio is 1.5, expected a number in \[0, 1\]'):
        ResidualAdapter(3, 1.5)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('labels', [[0, 1, 2, 3], [0, 1, 1, 3], [2, 2, 2, 2]])
def test_contrastive_loss(labels, dtype):
    s = (3 * torch.randn(4, 4, dtype=dtype)).requires_grad_()
    total = 0
    for i in range(4):
        positives = [j for j in range(4) if labels[j] == labels[i]]
        for j in positives:
            row = s[i, j].exp() / sum(s[i, k].exp() for k in range(4))
            column = s[j, i].exp() / sum(s[k, i].exp() for k in range(4))
            total = total - (row.log() + column.log()) / len(positives)
    expected = total / (2 * 4)
    found = class_contrastive_loss(s, torch.tensor(labels))
    torch.testing.assert_close(found, expected)
    grads = [torch.autograd.grad(loss, s)[0] for loss in (found, expected)]
    torch.testing.assert_close(*grads)


def test_contrastive_loss_without_repetition_is_that_of_open_clip():
    u, t = torch.randn(2, 6, 8).double().unbind()
    expected = open_clip.ClipLoss()(u, t, logit_scale=torch.tensor(20.0).double())
    found = class_contrastive_loss(20 * u @ t.T, torch.arange(6))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('labels', [(0, 3, 1, 1), (0, 3, 1, 1, 2, 2, 4, 0)])
def test_contrastive_phase_a(labels):
    """With fewer images than classes the texts of the images are encoded, else all of them."""
    model = build('A', contrastive=True).double().train()
    images = torch.randn(len(labels), 3, 32, 32, dtype=torch.float64)
    s = logits_by_hand(model, images)[:, list(labels)]
    found = model(images, samples(labels), mode='loss')['loss']
    torch.testing.assert_close(found, class_contrastive_loss(s, torch.tensor(labels)))
    found.backward()
    assert model.clip.token_embedding.weight.grad.abs().sum() > 0
    assert model.clip.visual.conv1.weight.grad.abs().sum() > 0


def test_prompt_ensemble_is_the_normalised_mean():
    templates = ('a photo of a {}.', 'a drawing of the {}.', '{}')
    model = build('zero_shot', templates=templates).double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = logits_by_hand(model, images, templates=templates)
    torch.testing.assert_close(model(images), expected)
    assert len(build('zero_shot', templates='openai', text_chunk=100).templates) == 80
    assert build('zero_shot', templates='simple').templates[-1].count('{}') == 1
    for bad in ('a photo', ['{} {}'], []):
        with pytest.raises(BadInputError, match='templates'):
            build('zero_shot', templates=bad)


def test_batch_norm_stays_on_running_statistics_unless_told_otherwise():
    images = torch.randn(4, 3, 32, 32)
    for phase, kwargs, moves in (
        ('A', {}, False),
        ('B', {}, False),
        ('linear_probe', {}, False),
        ('fine_tune', {}, False),
        ('fine_tune', dict(norm_eval=False), True),
    ):
        model = build(phase, RESNET, **kwargs).train()
        before = model.clip.visual.bn1.running_mean.clone()
        model(images, samples(), mode='loss')
        assert torch.equal(model.clip.visual.bn1.running_mean, before) is not moves
        assert model.clip.visual.bn1.training is moves
    assert build('A', RESNET).train().clip.visual.layer1.training


def test_baselines_without_texts():
    images = torch.randn(4, 3, 32, 32)
    for phase, trained in (('linear_probe', 'head.'), ('fine_tune', ('head.', 'clip.visual.'))):
        model = build(phase).train()
        u = model.clip.encode_image(images)
        torch.testing.assert_close(model(images), u @ model.head.fc.weight.T + model.head.fc.bias)
        model(images, samples(), mode='loss')['loss'].backward()
        moved = {name for name, p in model.named_parameters() if p.grad is not None}
        assert moved and all(name.startswith(trained) for name in moved)
        assert 'head.fc.weight' in moved
        assert ('clip.visual.conv1.weight' in moved) is (phase == 'fine_tune')


def test_checkpoints_of_a_phase_load_into_the_next():
    keys = [set(build(phase).state_dict()) for phase in ('A', 'B', 'zero_shot')]
    assert keys[0] == keys[1] == keys[2]
    assert not any('token' in key and 'embedding' not in key for key in keys[0])


def test_checkpoints_of_another_activation_are_refused():
    state = build('A', clip={**VIT, 'name': 'ViT-B-32-quickgelu'}).state_dict()
    with pytest.raises(BadInputError, match='trained with QuickGELU, but .* a model with GELU'):
        build('B').load_state_dict(state)
    del state['quick_gelu']  # an older checkpoint does not tell
    build('B').load_state_dict(state, strict=True)


def test_texts_are_encoded_anew_when_the_weights_change():
    model = build('A').double().train()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    first = model.eval()(images)
    torch.testing.assert_close(model(images), first)
    with torch.no_grad():
        model.clip.text_projection.normal_()
    torch.testing.assert_close(model.train().eval()(images), logits_by_hand(model, images))
    frozen = build('B').double().eval()
    frozen(images)
    frozen.load_state_dict(model.state_dict())
    torch.testing.assert_close(frozen(images), model(images))


def test_bfloat16_keeps_float32_weights_and_nearly_the_losses():
    full, half = build('A', RESNET), build('A', RESNET, precision='bf16')
    half.load_state_dict(full.state_dict())
    images = torch.randn(4, 3, 32, 32)
    losses = [m.train()(images, samples(), mode='loss')['loss'] for m in (full, half)]
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=0.1, atol=0.3)
    assert losses[0].item() != losses[1].item()
    losses[1].backward()
    used = [p for p in half.parameters() if p.grad is not None]
    assert {p.dtype for p in used} == {p.grad.dtype for p in used} == {torch.float32}


@pytest.mark.parametrize('phase', ['A', 'B', 'zero_shot'])
def test_autocast_around_the_model_reaches_the_towers_but_not_the_logits(phase):
    model = build(phase).eval()
    with torch.no_grad():
        model.adapter.weight += 0.1 * torch.randn_like(model.adapter.weight)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        found = model(images)
        u, texts = model.clip.encode_image(images).float(), model.class_texts()
    assert not torch.equal(u, model.clip.encode_image(images))
    adapter = model.adapter if phase == 'B' else torch.nn.Identity()
    expected = 100 * torch.nn.functional.normalize(adapter(u)) @ texts.T
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_autocast_leaves_the_contrastive_product_alone():
    model = build('A', contrastive=True).train()
    images = torch.randn(4, 3, 32, 32)
    with torch.autocast('cpu', torch.bfloat16):
        found = model(images, samples(), mode='loss')['loss']
        u, texts = model.image_features(images), model.encode_texts(model.tokens[:, [0, 3, 1, 1]])
    logits = 100 * torch.nn.functional.normalize(u.float()) @ texts.T
    expected = class_contrastive_loss(logits, torch.tensor([0, 3, 1, 1]))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_adjustment_on_the_logits():
    counts = [300, 60, 40, 5, 2]
    images = torch.randn(2, 3, 32, 32)
    model = build('B', head=dict(adjustment=dict(type='PriorShift', tau=1.0, stage='test')))
    model.head.set_class_frequency(ClassFrequency(counts))
    prior = torch.tensor([math.log(n / sum(counts)) for n in counts])
    torch.testing.assert_close(model.eval()(images), model.extract_feat(images) - prior)
    torch.testing.assert_close(model.train()(images), model.extract_feat(images))
    prediction = model.eval()(images, samples([0, 1]), mode='predict')
    assert prediction[1].pred_score.shape == (C,)
    with pytest.raises(BadInputError, match='TauNorm reads the weights of a classifier'):
        build('B', head=dict(adjustment=dict(type='TauNorm', tau=1.0)))


def test_open_vocabulary():
    model = build('B', eval_class_names=[*NAMES[:2], 'teapot']).double().train()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    tokens = build_tokenizer('ViT-B-32', 77)(['a photo of a teapot.'])
    text = model.clip.encode_text(tokens, normalize=True)[0]
    logits = model.eval()(images)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(logits[:, :2], logits_by_hand(model, images)[:, :2])
    u = torch.nn.functional.normalize(model.clip.encode_image(images), dim=-1)
    torch.testing.assert_close(logits[:, 2], 100 * u @ text)
    adjusted = dict(adjustment=dict(type='IIF'))
    with pytest.raises(BadInputError, match='eval_class_names and .*adjustment are both set'):
        build('B', head=adjusted, eval_class_names=NAMES)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(phase='C'), "model.phase is 'C', expected one of"),
        (dict(precision='fp16'), "model.precision is 'fp16'"),
        (dict(text_chunk=0), 'text_chunk is 0'),
        (dict(class_names=NAMES[:3]), 'class_names has 3 class names, fewer than num_classes=5'),
        (dict(class_names=[*NAMES, 'x']), 'class_names has 6 class names, more than'),
        (
            dict(class_names=[*NAMES[:4], 'skull']),
            "classes 2 and 4 have the same name 'skull'",
        ),
        (
            dict(class_names=[*NAMES[:4], 'Skull']),
            "class names 'skull' and 'Skull' give the same 77 tokens",
        ),
        (dict(class_names=None), 'class_names is not set'),
        (dict(phase='fine_tune'), "head is TextClsHead, phase 'fine_tune' takes a classifier"),
    ],
)
def test_bad_input(change, message):
    kwargs = dict(type='BALLAD', clip=VIT, class_names=NAMES, phase='A')
    head = dict(type='TextClsHead', num_classes=C)
    with pytest.raises(BadInputError, match=message):
        MODELS.build({**kwargs, 'head': head, **change})


def test_images_of_another_size_than_the_model_takes():
    with pytest.raises(BadInputError, match='images are 64 x 48, the image tower takes 32 x 32'):
        build('zero_shot')(torch.zeros(1, 3, 64, 48))
    model = build('zero_shot', {**VIT, 'image_size': 64})
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, C)
