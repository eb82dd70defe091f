"""CrossModalHead against its formulas, computed again with loops over images, words and classes."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from torch.nn import functional as F

from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency
from lt_det.models.classifiers import CrossModalHead
from lt_det.models.classifiers.cmltnet import (
    distillation,
    label_aware_infonce,
    stack_words,
    word_prediction_loss,
)
from lt_det.models.layers import WordTable

C, D, E, V, W, B = 4, 6, 8, 7, 5, 6
LABELS = [0, 3, 0, 1, 0, 2]
WORDS = [[0, 2], [], [1], [3, 4, 6], None, [2, 5]]
VOCABULARY = ['red', 'green onion', 'garlic', 'rice', 'egg', 'small_letter', 'pork']
COUNTS = [8, 4, 6, 1, 2, 3, 0]
FREQUENCY = ClassFrequency([60, 20, 9, 3])
LOG_PRIOR = torch.tensor([math.log(n / 92) for n in (60, 20, 9, 3)])
BALANCED = dict(type='PriorShift', tau=1.0, stage='train')
OFF = dict(alignment=False, inference=False, fusion=False)


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def build(**kwargs) -> CrossModalHead:
    arguments = dict(adjustment=BALANCED, embed_dims=E, word_vectors=dict(width=W), **kwargs)
    head = CrossModalHead(C, D, V, **arguments)
    head.set_class_frequency(FREQUENCY)
    head.set_words(VOCABULARY, np.array(COUNTS), described=10)
    return head


def samples(words=WORDS) -> list[DataSample]:
    result = []
    for label, some in zip(LABELS, words):
        sample = DataSample().set_gt_label(label)
        if some is not None:
            sample.set_field(np.array(some, np.int64), 'words')
        result.append(sample)
    return result


def unit(vector):
    return vector / vector.square().sum().sqrt()


def mlp(layers, x):
    hidden = (layers[0].weight @ x + layers[0].bias).clamp(min=0)
    return layers[2].weight @ hidden + layers[2].bias


def cross_entropy(head, embedded, label) -> torch.Tensor:
    """Of the balanced softmax over scaled cosines (Ren et al., arXiv 2007.10740)."""
    scores = torch.stack([16 * unit(embedded) @ unit(row) for row in head.fc.weight])
    return -(scores + LOG_PRIOR.to(scores)).log_softmax(0)[label]


def image_path(head, v) -> dict:
    """z_v, s, h and the scores of words of one image."""
    z = unit(head.image_projection.weight @ v + head.image_projection.bias)
    u = mlp(head.word_predictor, v)
    scores = torch.stack([u @ row for row in head.words.weight])
    mixed = sum(1 / (1 + (-score).exp()) * row for score, row in zip(scores, head.words.weight))
    s = unit(mlp(head.semantic_encoder, mixed))
    gate = head.gate.weight @ torch.cat([z, s]) + head.gate.bias
    g = 1 / (1 + (-gate).exp())
    return dict(z=z, s=s, h=g * z + (1 - g) * s, scores=scores)


def naive_infonce(z, t, labels, described, tau) -> torch.Tensor:
    def one_way(a, b, exists):
        by_class = {}
        for i in range(len(a)):
            q = {j: (a[i] @ b[j] / tau).exp() for j in range(len(b)) if exists[1][j]}
            positive = [j for j in q if labels[j] == labels[i]]
            if exists[0][i] and positive:
                total = 0
                for label in {labels[j] for j in q}:
                    own = [q[j] for j in q if labels[j] == label]
                    total += sum(own) / len(own)
                losses = [-(q[j] / total).log() for j in positive]
                by_class.setdefault(labels[i], []).append(sum(losses) / len(losses))
        means = [sum(losses) / len(losses) for losses in by_class.values()]
        return sum(means) / len(means)

    everything = [True] * len(labels)
    return (one_way(z, t, (everything, described)) + one_way(t, z, (described, everything))) / 2


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_losses_of_the_full_model(dtype):
    head = build().to(dtype)
    v = torch.randn(B, D, dtype=dtype)
    losses = head.loss((v,), samples())
    paths = [image_path(head, row) for row in v]
    texts = {}
    for i, words in enumerate(WORDS):
        if words:
            pooled = sum(head.words.weight[w] for w in words) / len(words)
            texts[i] = unit(mlp(head.text_encoder, pooled))

    def mean_ce(embedded: dict) -> torch.Tensor:
        found = [cross_entropy(head, e, LABELS[i]) for i, e in embedded.items()]
        return sum(found) / len(found)

    expected = {
        name: factor * mean_ce({i: path[key] for i, path in enumerate(paths)})
        for name, key, factor in (
            ('loss', 'h', 1.0),
            ('loss_image', 'z', 0.5),
            ('loss_semantic', 's', 0.5),
        )
    }
    expected['loss_text'] = 0.5 * mean_ce(texts)
    blank = torch.zeros(E, dtype=dtype)
    expected['loss_align'] = naive_infonce(
        [path['z'] for path in paths],
        [texts.get(i, blank) for i in range(B)],
        LABELS,
        [i in texts for i in range(B)],
        0.1,
    )
    divergences = []
    for i, text in texts.items():
        p, q = (
            torch.stack([16 * unit(e) @ unit(row) for row in head.fc.weight]) + LOG_PRIOR
            for e in (text, paths[i]['z'])
        )
        p, q = p / 2, q / 2
        p, q = p.softmax(0), q.softmax(0)
        divergences.append(sum(a * (a / b).log() for a, b in zip(p, q)))
    expected['loss_distill'] = 4 * sum(divergences) / len(divergences)
    total = 0
    for i in texts:
        for w, score in enumerate(paths[i]['scores']):
            p = 1 / (1 + (-score).exp())
            share = max(COUNTS[w], 1) / 10
            total = total - (p.log() / math.sqrt(share) if w in WORDS[i] else (1 - p).log())
    expected['loss_words'] = total / sum(len(WORDS[i]) for i in texts)
    for name in ('loss_text', 'loss_align', 'loss_distill', 'loss_words'):
        expected[name] = expected[name] * len(texts) / B
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        found = losses[name].to(dtype)
        torch.testing.assert_close(found, value.to(dtype), rtol=1e-5, atol=1e-5, msg=name)


def test_gradients_of_the_losses_match_those_of_loops():
    z, t = (F.normalize(torch.randn(B, E, dtype=torch.float64), dim=1) for _ in range(2))
    described = [bool(words) for words in WORDS]
    inputs = [x.clone().requires_grad_() for x in (z, t)]
    ours = label_aware_infonce(*inputs, torch.tensor(LABELS), torch.tensor(described), 0.1)
    mine = torch.autograd.grad(ours, inputs)
    theirs = torch.autograd.grad(naive_infonce(*inputs, LABELS, described, 0.1), inputs)
    for a, b in zip(mine, theirs):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    text, image = (torch.randn(3, C, requires_grad=True) for _ in range(2))
    chosen = torch.tensor([True, False, True])
    distillation(text, image, chosen, 2.0).backward()
    assert text.grad is None
    p, q = (text / 2).softmax(1), (image / 2).softmax(1)
    # d KL / d z = (q - p) / t, times t^2, mean over two images
    torch.testing.assert_close(image.grad, (q - p) * 2 / 2 * chosen[:, None])
    logits = torch.randn(2, V, requires_grad=True)
    has_word = torch.tensor([[0.0] * V, [1, 0, 0, 1, 0, 0, 0]])
    weight = torch.rand(V) + 1
    word_prediction_loss(logits, has_word, weight).backward()
    p = logits.detach()[1].sigmoid()
    expected = torch.where(has_word[1] > 0, weight * (p - 1), p) / 2
    torch.testing.assert_close(logits.grad, torch.stack([torch.zeros(V), expected]))


def test_mixed_precision():
    head = build()
    v = torch.randn(B, D)
    full = head.loss((v,), samples())
    with torch.autocast('cpu', torch.bfloat16):
        mixed = head.loss((v,), samples())
    for name, value in full.items():
        torch.testing.assert_close(mixed[name].float(), value, rtol=0.05, atol=0.05)
        assert mixed[name].dtype == torch.float32


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast_changes_neither_contrast_nor_gradients(dtype):
    labels, described = torch.tensor(LABELS), torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        image, text = (F.normalize(torch.randn(B, E)).requires_grad_() for _ in range(2))
        with torch.autocast('cpu', dtype, enabled):
            loss = label_aware_infonce(image, text, labels, described, 0.1)
        found.append((loss, *torch.autograd.grad(loss, [image, text])))
    for plain, mixed in zip(*found):
        assert torch.equal(plain, mixed)


def test_an_average_of_the_model_made_before_its_words_are_known_follows_it():
    head = CrossModalHead(C, D, V, adjustment=BALANCED, embed_dims=E, word_vectors=dict(width=W))
    average = ExponentialMovingAverage(head)
    head.set_class_frequency(FREQUENCY)
    head.set_words(VOCABULARY, np.array(COUNTS), described=10)
    average.update_parameters(head)
    for ours, theirs in zip(average.module.buffers(), head.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_contrast_counts_every_class_alike():
    """A class with three images weighs as much as one with one: copies change nothing."""
    z, t = (F.normalize(torch.randn(3, E), dim=1) for _ in range(2))
    labels, every = torch.tensor([0, 1, 2]), torch.ones(3, dtype=torch.bool)
    alone = label_aware_infonce(z, t, labels, every, 0.1)
    again = torch.tensor([0, 1, 2, 0, 0, 1])
    repeated = label_aware_infonce(z[again], t[again], labels[again], torch.ones(6).bool(), 0.1)
    torch.testing.assert_close(repeated, alone)


@pytest.mark.parametrize(
    'parts',
    [
        OFF,
        {**OFF, 'alignment': True},
        {**OFF, 'inference': True},
        dict(alignment=False),
        dict(fusion=False),
        {},
    ],
)
def test_words_at_test_change_nothing(parts):
    head = build(**parts).eval()
    v = torch.randn(B, D)
    with_words, without = (head.predict((v,), some) for some in (samples(), None))
    assert all(
        torch.equal(a.pred_score, b.pred_score) and torch.equal(a.pred_label, b.pred_label)
        for a, b in zip(with_words, without)
    )
    assert torch.equal(head((v,)).softmax(1), torch.stack([s.pred_score for s in without]))
    assert ('pred_words' in without[0]) == head.inference
    expected = {'loss'}
    expected |= {'loss_text', 'loss_align', 'loss_distill'} if head.alignment else set()
    expected |= {'loss_image', 'loss_semantic', 'loss_words'} if head.inference else set()
    losses = head.train().loss((v,), samples())
    assert losses.keys() == expected
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())


def test_deployed_model_predicts_the_same_without_word_encoders():
    v = torch.randn(B, D)
    for parts, gone in (
        ({}, {'text_encoder'}),
        ({**OFF, 'alignment': True}, {'text_encoder', 'words'}),
    ):
        head = build(**parts).eval()
        expected = head((v,))
        lean = CrossModalHead(
            C, D, V, adjustment=BALANCED, embed_dims=E, word_vectors=dict(width=W), deploy=True,
            **parts,
        )  # fmt: skip
        missing, unexpected = lean.load_state_dict(head.state_dict(), strict=False)
        assert not missing and {key.split('.')[0] for key in unexpected} == gone
        assert torch.equal(lean.eval()((v,)), expected)
        head.switch_to_deploy()
        assert torch.equal(head((v,)), expected)
        assert head.state_dict().keys() == lean.state_dict().keys()


def test_batch_without_any_words_still_trains_everything():
    head = build()
    losses = head.loss((torch.randn(B, D),), samples([None] * B))
    zero = {'loss_words', 'loss_text', 'loss_align', 'loss_distill'}
    assert all((losses[name] == 0) == (name in zero) for name in losses)
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_words_of_samples():
    expected = torch.zeros(B, V)
    for row, words in zip(expected, WORDS):
        row[words or []] = 1
    assert torch.equal(stack_words(samples(), V), expected)


def test_mean_of_image_and_semantics_without_fusion():
    head = build(fusion=False)
    path = head.embed(torch.randn(B, D))
    torch.testing.assert_close(path.fused, (path.image + path.semantic) / 2)


@pytest.mark.parametrize('backbone', ['CIFARResNet', 'MobileNetV2'])
def test_any_backbone_trains_through_a_classifier(backbone):
    small = dict(depth=20) if backbone == 'CIFARResNet' else dict(widen_factor=0.25)
    channels = 64 if backbone == 'CIFARResNet' else 1280
    head = dict(type='CrossModalHead', num_classes=C, in_channels=channels, num_words=V)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type=backbone, **small),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(head, adjustment=[dict(type='IIF', link='smooth')], embed_dims=E),
        )
    )
    model.head.set_class_frequency(FREQUENCY)
    model.head.set_words(VOCABULARY, np.array(COUNTS), 10)
    data = dict(inputs=list(torch.rand(B, 3, 32, 32)), data_samples=samples())
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    sum(losses.values()).backward()
    assert next(model.backbone.parameters()).grad.abs().sum() > 0
    assert len(model.eval()(torch.rand(2, 3, 32, 32), mode='predict')) == 2


def test_vectors_from_a_file(tmp_path):
    path = tmp_path / 'vectors.txt'
    vectors = {word: np.random.default_rng(i).normal(size=W) for i, word in enumerate(
        ['red', 'green', 'onion', 'garlic', 'unused', 'egg', 'small', 'letter', 'pork']
    )}  # fmt: skip
    lines = [' '.join([word, *map(str, row)]) for word, row in vectors.items()]
    path.write_text('\n'.join(lines))
    table = WordTable(V, W, source='file', path=str(path), missing='random')
    random = deepcopy(table.weight)
    table.fill(VOCABULARY)
    parts = [['red'], ['green', 'onion'], ['garlic'], None, ['egg'], ['small', 'letter'], ['pork']]
    for row, some, start in zip(table.weight, parts, random):
        mean = start if some is None else torch.tensor(np.mean([vectors[s] for s in some], 0))
        torch.testing.assert_close(row.double(), unit(mean.double()), rtol=1e-5, atol=1e-6)
    path.write_text('\n'.join(lines), encoding='utf-8-sig')  # with a byte order mark
    marked = WordTable(V, W, source='file', path=str(path), missing='random')
    marked.fill(VOCABULARY)
    assert torch.equal(marked.weight[0], table.weight[0])
    path.write_bytes('\n'.join(lines).encode('utf-16'))
    with pytest.raises(BadInputError, match=r'vectors\.txt: not a text in UTF-8'):
        WordTable(V, W, source='file', path=str(path)).fill(VOCABULARY)
    path.write_text('\n'.join(lines))
    assert not table.weight.requires_grad
    assert WordTable(V, W, source='file', path=str(path), train=True).weight.requires_grad
    with pytest.raises(BadInputError, match=r"no vector for 1 words: 'rice'; .*missing"):
        WordTable(V, W, source='file', path=str(path)).fill(VOCABULARY)
    with pytest.raises(BadInputError, match=r'vectors\.txt:1 has 5 numbers, expected .*width=300'):
        WordTable(V, 300, source='file', path=str(path)).fill(VOCABULARY)
    path.write_text('red one two three four five')
    with pytest.raises(BadInputError, match=r'vectors\.txt:1 is not a word and numbers'):
        WordTable(V, W, source='file', path=str(path)).fill(VOCABULARY)
    with pytest.raises(MissingFileError, match='word vectors gone.txt does not exist'):
        WordTable(V, W, source='file', path='gone.txt').fill(VOCABULARY)


def test_vectors_from_the_text_tower_of_clip():
    pytest.importorskip('open_clip', reason="open_clip is the extra 'clip' of lt_det")
    from lt_det.models.open_clip import build_clip, build_tokenizer

    text = dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1)
    vision = dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16)
    clip = dict(name='ViT-B-32', embed_dim=W, vision_cfg=vision, text_cfg=text)
    table = WordTable(V, W, source='open_clip', clip=clip, prompt='a photo of {}')
    torch.manual_seed(1)
    table.fill(VOCABULARY)
    torch.manual_seed(1)
    model, tokenize = build_clip(**clip).eval(), build_tokenizer('ViT-B-32', 77)
    for row, word in zip(table.weight, VOCABULARY):
        torch.testing.assert_close(
            row, unit(model.encode_text(tokenize([f'a photo of {word}']))[0])
        )
    with pytest.raises(BadInputError, match='width=9, those of ViT-B-32 have 5 numbers'):
        WordTable(V, 9, source='open_clip', clip=clip).fill(VOCABULARY)


def test_bad_input():
    with pytest.raises(BadInputError, match=r'head\.fusion=True with head\.inference=False'):
        build(inference=False)
    with pytest.raises(BadInputError, match='vocabulary has 0 words, expected at least 1'):
        CrossModalHead(C, D, 0)
    with pytest.raises(BadInputError, match=r'head\.num_words=7, .* has 2 words'):
        build().set_words(VOCABULARY[:2], np.ones(2), 2)
    for bad, message in (
        (dict(source='glove'), "word_vectors.source is 'glove'"),
        (dict(missing='skip'), "word_vectors.missing is 'skip'"),
    ):
        with pytest.raises(BadInputError, match=message):
            WordTable(V, W, **bad)
    mixed = [sample.set_gt_score(torch.full((C,), 0.25)) for sample in samples()]
    with pytest.raises(BadInputError, match='augments that mix images'):
        build().loss((torch.randn(B, D),), mixed)
    unready = CrossModalHead(C, D, V)
    with pytest.raises(RuntimeError, match='no word statistics yet: add .*WordsHook'):
        unready.loss((torch.randn(B, D),), samples())
