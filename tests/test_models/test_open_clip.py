"""CLIP models by name: what is built, and what is said when something is wrong."""

from __future__ import annotations

import copy
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.hooks import EMAHook
from torch import nn

from lt_det.engine import ExportClipHook
from lt_det.errors import BadInputError, MissingFileError
from lt_det.models.open_clip import (
    build_clip,
    export_clip,
    has_quick_gelu,
    prompt_templates,
)

open_clip = pytest.importorskip('open_clip', reason="open_clip is the extra 'clip' of lt_det")

SMALL = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1),
)
NAME = 'ViT-B-32-quickgelu'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('clip') / 'small.pt'
    torch.manual_seed(0)
    model = build_clip(NAME, **SMALL)
    torch.save(dict(state_dict=model.state_dict()), path)
    return path, model


def test_weights_from_a_file(weights):
    path, model = weights
    again = build_clip(NAME, str(path), quick_gelu=True, **SMALL)
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    larger = build_clip(NAME, str(path), image_size=64, **SMALL)
    assert larger.visual.image_size in (64, (64, 64))
    assert larger.visual.positional_embedding.shape == (17, 32)
    torch.testing.assert_close(larger.text_projection, model.text_projection)


def test_a_torchscript_archive_is_openai_s_and_needs_quickgelu(weights, tmp_path):
    _, model = weights
    path = tmp_path / 'small.pt'
    archived = copy.deepcopy(model)
    archived.attn_mask = None  # OpenAI's archives do not hold it
    torch.jit.script(archived).save(str(path))
    again = build_clip(NAME, str(path), **SMALL)
    torch.testing.assert_close(again.text_projection, model.text_projection)
    with pytest.raises(
        BadInputError, match=r'with QuickGELU, but ViT-B-32 computes GELU; .*-quick'
    ):
        build_clip('ViT-B-32', str(path), **SMALL)


@pytest.mark.parametrize('trained', ['ViT-B-32-quickgelu', 'ViT-B-32'])
def test_exported_towers_tell_how_they_were_trained(trained, tmp_path):
    (other,) = {'ViT-B-32-quickgelu', 'ViT-B-32'} - {trained}
    model = build_clip(trained, **SMALL)
    assert has_quick_gelu(model) == trained.endswith('quickgelu')
    model.visual.preprocess_cfg.update(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    path = tmp_path / 'clip.pt'
    export_clip(model, path)
    again = build_clip(trained, str(path), **SMALL)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.eval().encode_image(images), model.eval().encode_image(images))
    found = open_clip.get_model_preprocess_cfg(again)
    assert tuple(found['mean']) == (0.5, 0.4, 0.3) and tuple(found['std']) == (0.2, 0.2, 0.1)
    with pytest.raises(BadInputError, match=rf"computes .*GELU; clip.name='{trained}' has it"):
        build_clip(other, str(path), **SMALL)
    with pytest.raises(BadInputError, match='clip.quick_gelu is .*, but weights'):
        build_clip(trained, str(path), quick_gelu=not trained.endswith('gelu'), **SMALL)
    # open_clip itself takes the file too
    plain = open_clip.create_model(trained, pretrained=str(path), **SMALL)
    assert torch.equal(plain.text_projection, model.text_projection)


def test_an_average_of_the_weights_is_what_is_exported(tmp_path):
    trained, average = (nn.ModuleDict(dict(clip=build_clip(NAME, **SMALL))) for _ in range(2))
    ema = EMAHook()
    ema.ema_model = SimpleNamespace(module=average)
    for hooks, expected in (([], trained), ([ema], average)):
        runner = SimpleNamespace(hooks=hooks, model=trained, work_dir=tmp_path, logger=Mock())
        ExportClipHook().after_train(runner)
        found = build_clip(NAME, str(tmp_path / 'clip.pt'), **SMALL)
        assert torch.equal(found.text_projection, expected.clip.text_projection)


@pytest.mark.parametrize(
    ('name', 'pretrained', 'kwargs', 'message'),
    [
        ('RN5O', None, {}, r"clip.name 'RN5O' does not exist in open_clip; near it: RN50"),
        ('clip', None, {}, 'clip.name .clip. does not exist'),
        ('RN50', 'opnai', {}, r"'opnai' is neither a file nor a tag of RN50; near it: openai"),
        ('RN50', 'openai', {}, r"with QuickGELU, but RN50 computes GELU; clip.name='RN50-quickg"),
        ('RN50-quickgelu', 'openai', dict(quick_gelu=False), 'quick_gelu is False, but'),
        ('ViT-B-32-quickgelu', 'laion2b_s34b_b79k', {}, 'is neither a file nor a tag'),
    ],
)
def test_unknown_names_and_wrong_activation(name, pretrained, kwargs, message):
    with pytest.raises(BadInputError, match=message):
        build_clip(name, pretrained, **kwargs)


def test_files_that_are_missing_or_do_not_fit(weights, tmp_path):
    path, model = weights
    with pytest.raises(MissingFileError, match=r'file none/RN50.pt does not exist'):
        build_clip('RN50', 'none/RN50.pt')
    other = {**SMALL, 'embed_dim': 8}
    with pytest.raises(
        BadInputError, match=r'do not fit ViT-B-32-quickgelu: size mismatch .* more'
    ):
        build_clip(NAME, str(path), **other)
    state = model.state_dict()
    del state['text_projection']
    torch.save(state, tmp_path / 'part.pt')
    with pytest.raises(BadInputError, match=r'do not fit .*: Missing key.*text_projection'):
        build_clip(NAME, str(tmp_path / 'part.pt'), **SMALL)
    (tmp_path / 'text.pt').write_text('hello')
    with pytest.raises(BadInputError, match=r'text.pt. of ViT-B-32-quickgelu cannot be loaded'):
        build_clip(NAME, str(tmp_path / 'text.pt'), **SMALL)
    with pytest.raises(
        BadInputError, match=r'trained with GELU, but .*quickgelu computes QuickGELU'
    ):
        build_clip(NAME, str(path), quick_gelu=False, **SMALL)
    with pytest.raises(BadInputError, match=r'ViT-B-32-quickgelu cannot be built'):
        build_clip(NAME, **{**SMALL, 'vision_cfg': dict(depth=3)})


def test_a_download_that_fails(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError('no network')

    monkeypatch.setattr(open_clip.factory, 'download_pretrained', fail)
    with pytest.raises(MissingFileError, match=r"'openai' of RN50-quickgelu cannot .*no network"):
        build_clip('RN50-quickgelu', 'openai')


def test_without_open_clip(monkeypatch):
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    with pytest.raises(BadInputError, match=r'needs open_clip .*: pip install open_clip_torch'):
        build_clip('RN50')


def test_templates():
    assert prompt_templates('a {}') == ['a {}']
    assert prompt_templates('openai')[0] == 'a bad photo of a {}.'
    assert len(prompt_templates('simple')) == 7
