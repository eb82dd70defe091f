"""CLIP models of open_clip by name, with errors that say what there is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInputError, MissingFileError

MARK = 'lt_det'  # in an exported file


def import_open_clip() -> Any:
    """The package open_clip.

    Raises:
        BadInputError: It is not installed.
    """
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise BadInputError(
            f'this model needs open_clip ({error}): pip install open_clip_torch'
        ) from error
    return open_clip


def build_clip(
    name: str,
    pretrained: str | None = None,
    image_size: int | None = None,
    quick_gelu: bool | None = None,
    cache_dir: str | None = None,
    **overrides,
) -> nn.Module:
    """A model of open_clip in float32, with its weights.

    Args:
        name: A name of ``open_clip.list_models()``, e.g. 'RN50-quickgelu'.
        pretrained: A tag that open_clip has for it (downloaded once), or a file: safetensors, a
            checkpoint of open_clip or MMEngine, or a TorchScript archive as OpenAI publishes them.
            None: random weights.
        image_size: Side of the images, where it is not the model's own; positional embeddings are
            interpolated.
        quick_gelu: Whether the weights were trained with QuickGELU. Known for tags, OpenAI's
            archives and what ``ExportClipHook`` wrote; for another file it is compared with the
            model only if given here.
        cache_dir: Where open_clip keeps what it downloads.
        **overrides: Entries of the model's config that are replaced: ``embed_dim``,
            ``vision_cfg``, ``text_cfg``.

    Raises:
        BadInputError: There is no such model or tag (names the nearest), the weights do not fit it
            or were trained with another activation, or open_clip is not installed.
        MissingFileError: There is no such file, or a tag's weights could not be downloaded.
    """
    open_clip = import_open_clip()
    known = open_clip.list_models()
    if name not in known:
        raise BadInputError(f"clip.name '{name}' does not exist in open_clip; {_near(name, known)}")
    path = None
    if pretrained is not None and not open_clip.get_pretrained_cfg(name, pretrained):
        path = _weights_file(name, pretrained, open_clip.list_pretrained_tags_by_model(name))
    torchscript = path is not None and _is_torchscript(path)
    mark = {} if path is None or torchscript else _read_mark(path)
    trained = True if torchscript else mark.get('quick_gelu')
    _check_activation(open_clip, name, pretrained, quick_gelu, trained)
    # config objects of MMEngine refuse the getattr that open_clip asks dicts for
    overrides = {key: _plain(value) for key, value in overrides.items()}
    if image_size is not None and 'vision_cfg' in overrides:
        overrides['vision_cfg']['image_size'] = image_size
    try:
        with warnings.catch_warnings():
            if torchscript:
                warnings.filterwarnings('ignore', "'torch.load' received a zip file")
            model = open_clip.create_model(
                name,
                pretrained=str(path or pretrained) if pretrained else None,
                precision='fp32',
                force_image_size=image_size,
                cache_dir=cache_dir,
                weights_only=not torchscript,
                **overrides,
            )
        if 'preprocess' in mark:
            preprocess = {**open_clip.get_model_preprocess_cfg(model), **mark['preprocess']}
            open_clip.factory.set_model_preprocess_cfg(model, preprocess)
        return model
    except FileNotFoundError as error:
        raise MissingFileError(_reason(name, pretrained, error)) from error
    except Exception as error:  # of any kind, as bytes that are no weights go
        kind = MissingFileError if 'download' in str(error).lower() else BadInputError
        raise kind(_reason(name, pretrained, error)) from error


@lru_cache(maxsize=4)
def build_tokenizer(name: str, context_length: int) -> Callable[[list[str]], Tensor]:
    """The tokenizer of a model of open_clip: K texts to token ids (K, context_length)."""
    return import_open_clip().get_tokenizer(name, context_length=context_length)


def prompt_templates(templates: str | Sequence[str]) -> list[str]:
    """Templates with one ``{}`` each.

    Args:
        templates: One, several (an ensemble), or ``'openai'`` and ``'simple'``: the 80 and 7 of
            Radford et al. (arXiv 2103.00020) for ImageNet, from open_clip.

    Raises:
        BadInputError: None, or one that has no ``{}`` or several.
    """
    if templates in ('openai', 'simple'):
        named = getattr(import_open_clip(), f'{templates.upper()}_IMAGENET_TEMPLATES')
        return [template('{}') for template in named]
    templates = [templates] if isinstance(templates, str) else list(templates)
    for template in templates:
        if template.count('{}') != 1:
            raise BadInputError(f"templates: '{template}' needs one {{}} for the class name")
    if not templates:
        raise BadInputError("templates is empty, expected at least one, e.g. 'a photo of a {}.'")
    return templates


def _weights_file(name: str, pretrained: str, tags: list[str]) -> Path:
    path = Path(pretrained).expanduser()
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        raise MissingFileError(f'clip.pretrained: file {pretrained} does not exist')
    raise BadInputError(
        f"clip.pretrained '{pretrained}' is neither a file nor a tag of {name}; "
        + (_near(pretrained, tags) if tags else f'open_clip has no weights for {name}')
    )


def _check_activation(
    open_clip: Any,
    name: str,
    pretrained: str | None,
    quick_gelu: bool | None,
    of_file: bool | None,
) -> None:
    """Refuse weights trained with another activation than the model of that name has."""
    if pretrained is None:
        return
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    trained = quick_gelu if of_file is None else of_file
    if tag:
        trained = tag.get('quick_gelu', False)
    if quick_gelu is not None and trained is not quick_gelu:
        raise BadInputError(
            f"clip.quick_gelu is {quick_gelu}, but weights '{pretrained}' have quick_gelu={trained}"
        )
    built = open_clip.get_model_config(name).get('quick_gelu', False)
    if trained is None or trained == built:
        return
    other = f'{name}-quickgelu' if trained else name.removesuffix('-quickgelu')
    hint = f"; clip.name='{other}' has it" if other in open_clip.list_models() else ''
    raise BadInputError(
        f"weights '{pretrained}' were trained with {'QuickGELU' if trained else 'GELU'}, but "
        f'{name} computes {"QuickGELU" if built else "GELU"}' + hint
    )


def has_quick_gelu(model: nn.Module) -> bool:
    """Whether a model of open_clip computes QuickGELU."""
    return any(type(module).__name__ == 'QuickGELU' for module in model.modules())


def export_clip(model: nn.Module, path: Path) -> None:
    """Write a model as a file that open_clip reads, with what its weights do not tell.

    :func:`build_clip` reads from it the activation, and how images were normalised.
    """
    preprocess = import_open_clip().get_model_preprocess_cfg(model)
    kept = {key: preprocess[key] for key in ('mean', 'std') if key in preprocess}
    mark = dict(quick_gelu=has_quick_gelu(model), preprocess=kept)
    torch.save({'state_dict': model.state_dict(), MARK: mark}, path)


def _read_mark(path: Path) -> dict:
    """What :func:`export_clip` wrote beside the weights; empty for files of others."""
    if path.suffix == '.safetensors':
        return {}
    try:
        content = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception:  # as bytes that are no weights raise; reported where they are loaded
        return {}
    mark = content.get(MARK) if isinstance(content, dict) else None
    return mark if isinstance(mark, dict) else {}


def _is_torchscript(path: Path) -> bool:
    """By torch's own decision: what it does not take for such an archive it would unpickle."""
    with path.open('rb') as file:
        if not torch.serialization._is_zipfile(file):
            return False
    try:
        reader = torch._C.PyTorchFileReader(str(path))
    except RuntimeError:  # reported where it is loaded
        return False
    return torch.serialization._is_torchscript_zip(reader)


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name.lower(), [word.lower() for word in known], n=5, cutoff=0.4)
    words = {word.lower(): word for word in known}
    if near:
        return 'near it: ' + ', '.join(words[word] for word in near)
    return 'there are ' + ', '.join(known[:20]) + (', ...' if len(known) > 20 else '')


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list) else value


def _reason(name: str, pretrained: str | None, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    wrong = [line for line in lines if line.startswith(('size mismatch', 'Missing', 'Unexpected'))]
    if pretrained is None:
        return f'{name} cannot be built: {lines[0]}'
    if wrong:
        more = f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''
        return f"weights '{pretrained}' do not fit {name}: {wrong[0]:.200}{more}"
    return f"weights '{pretrained}' of {name} cannot be loaded: {lines[0]:.300}"
