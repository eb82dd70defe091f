"""BALLAD: CLIP fine-tuned on long-tailed data, then adapted on balanced samples."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...datasets.class_names import load_class_names
from ...errors import BadInputError
from ...values import check_values
from ..class_texts import encode_classes, tokenize_classes
from ..layers.residual_adapter import ResidualAdapter
from ..losses.class_contrastive_loss import class_contrastive_loss
from ..open_clip import build_clip, has_quick_gelu, import_open_clip, prompt_templates
from ..precision import full_precision, unit, widen
from .text_cls_head import TextClsHead

# the towers that each phase trains
TOWERS: dict[str, str | None] = dict(
    A='clip', B=None, zero_shot=None, linear_probe=None, fine_tune='clip.visual'
)
TEXT_PHASES = ('A', 'B', 'zero_shot')
PRECISIONS = ('fp32', 'bf16')


@MODELS.register_module()
class ClipDataPreprocessor(ClsDataPreprocessor):
    """ClsDataPreprocessor that lets cached features pass: items (D,) are stacked as they are."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.features = ClsDataPreprocessor()

    def forward(self, data: dict, training: bool = False) -> dict:
        """``inputs`` (B, 3, h, w) normalised, or (B, D)."""
        inputs = data['inputs']
        if inputs[0].ndim == 1:
            stacked = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
            return self.features(dict(data, inputs=stacked), training)
        return super().forward(data, training)


@MODELS.register_module()
class BALLAD(BaseClassifier):
    """CLIP of open_clip in the two phases of BALLAD (Ma et al., arXiv 2111.14745) and baselines.

    With image features u (B, D), unit text features T (C, D) of the prompts of all classes, and
    scale s, logits are ``s l2(u') T^T``:

    ================  ==========================  =====================================
    phase             u'                          trained
    ================  ==========================  =====================================
    ``'A'``           u                           both towers; T encoded at every step
    ``'B'``           ``r W u + (1 - r) u``       adapter W, which starts as the identity
    ``'zero_shot'``   u                           nothing
    ================  ==========================  =====================================

    ``'linear_probe'`` and ``'fine_tune'`` have no texts: ``head`` is a classifier of u, with the
    image tower frozen or trained. Every phase has the same parameters in its checkpoints, but for
    the head. In phase B (and the other frozen ones) the model also takes features (B, D) in place
    of images. BatchNorm uses its running statistics in every phase.

    Where the text tower is causal, prompts are encoded only as far as the longest one reaches,
    which changes nothing behind it.

    Args:
        clip: Arguments of :func:`lt_det.models.open_clip.build_clip`.
        head: ``TextClsHead`` with ``num_classes``, ``adjustment``, ``loss``; in the phases without
            texts ``LongTailClsHead`` (``in_channels`` is filled in).
        class_names: See :func:`lt_det.datasets.class_names.load_class_names`.
        phase: One of the above.
        templates: See :func:`lt_det.models.open_clip.prompt_templates`; T is the normalised mean
            over them.
        ratio: r.
        scale: s.
        contrastive: Phase A: :func:`class_contrastive_loss` in the batch (of each process) instead
            of the softmax over all classes.
        text_chunk: Texts encoded at a time. In training the activations of a chunk are computed
            again in the backward pass, so memory does not grow with C. Default: all where the
            text tower is trained, else 1024.
        grad_checkpointing: The same for every block of the towers (open_clip's own).
        precision: ``'bf16'`` runs the towers in bfloat16 autocast; weights stay float32. Under an
            autocast around the model, as that of AmpOptimWrapper, ``'fp32'`` has no effect. The
            product of images and texts is one of float32 in any case.
        norm_eval: False lets BatchNorm train (from random weights).
        eval_class_names: Evaluate on these classes instead (open vocabulary), C' in place of C.
        data_preprocessor: Default: RGB, normalised with mean and deviation of the CLIP model.

    Attributes:
        clip: The model of open_clip.
        image_size: (height, width) of its images.

    Raises:
        BadInputError: Unknown phase or precision; class names that are missing, doubled or of
            another number than C; images of another size than the model takes.
    """

    def __init__(
        self,
        clip: dict,
        head: dict,
        class_names: str | Path | Sequence[str] | None = None,
        phase: str = 'A',
        templates: str | Sequence[str] = 'a photo of a {}.',
        ratio: float = 0.2,
        scale: float = 100.0,
        contrastive: bool = False,
        text_chunk: int | None = None,
        grad_checkpointing: bool = False,
        precision: str = 'fp32',
        norm_eval: bool = True,
        eval_class_names: str | Path | Sequence[str] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        check_values(
            'model',
            phase=(phase, tuple(TOWERS)),
            precision=(precision, PRECISIONS),
            scale=(scale, 'a number > 0'),
            text_chunk=(text_chunk, 'a whole number >= 1, or None'),
        )
        model = build_clip(**clip)
        prepare = import_open_clip().get_model_preprocess_cfg(model)
        preprocessor = dict(
            type='ClipDataPreprocessor',
            mean=[255 * value for value in prepare['mean']],
            std=[255 * value for value in prepare['std']],
            to_rgb=True,
            num_classes=head.get('num_classes'),
        )
        preprocessor = MODELS.build({**preprocessor, **(data_preprocessor or {})})
        super().__init__(init_cfg=init_cfg, data_preprocessor=preprocessor)
        self.clip = model
        # in checkpoints, since the weights do not tell what they were trained with
        self.register_buffer('quick_gelu', torch.tensor(has_quick_gelu(model)))
        size = model.visual.image_size
        self.image_size = tuple(size) if isinstance(size, Sequence) else (size, size)
        self.phase = phase
        self.scale = scale
        self.contrastive = contrastive
        self.text_chunk = text_chunk
        self.precision = precision
        self.norm_eval = norm_eval
        if grad_checkpointing:
            model.set_grad_checkpointing()
        channels = _embed_dim(model)
        self.adapter = ResidualAdapter(channels, ratio)
        self.head = MODELS.build({'in_channels': channels, **head})
        if isinstance(self.head, TextClsHead) != (phase in TEXT_PHASES):
            raise BadInputError(
                f"model.head is {type(self.head).__name__}, phase '{phase}' takes "
                + ('TextClsHead' if phase in TEXT_PHASES else 'a classifier as LongTailClsHead')
            )
        self._set_texts(clip, class_names, eval_class_names, templates)
        self._freeze()
        self.register_load_state_dict_post_hook(BALLAD._forget_texts)

    def _set_texts(self, clip, class_names, eval_class_names, templates) -> None:
        if self.phase not in TEXT_PHASES:
            return
        if class_names is None:
            raise BadInputError(
                f"model.class_names is not set, but phase '{self.phase}' needs the names of the "
                f'{self.head.num_classes} classes'
            )
        names = load_class_names(class_names, self.head.num_classes)
        self.templates = prompt_templates(templates)
        tokens = tokenize_classes(self.clip, clip['name'], names, self.templates)
        # not in checkpoints: both follow from the config and the weights
        self.register_buffer('tokens', tokens, persistent=False)
        if eval_class_names is not None:
            if self.head.adjustment is not None:
                raise BadInputError(
                    'model.eval_class_names and model.head.adjustment are both set, but classes '
                    'that were not in training have no frequency'
                )
            names = load_class_names(eval_class_names)
            tokens = tokenize_classes(self.clip, clip['name'], names, self.templates)
        self.register_buffer('eval_tokens', tokens, persistent=False)
        constant = torch.zeros(tokens.shape[1], _embed_dim(self.clip))
        self.register_buffer('text_features', constant, persistent=False)
        self._texts_known = False

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        saved = state_dict.setdefault(f'{prefix}quick_gelu', self.quick_gelu)  # older: not told
        if bool(saved) != bool(self.quick_gelu):
            activation = ('GELU', 'QuickGELU')
            raise BadInputError(
                f'the checkpoint was trained with {activation[bool(saved)]}, but model.clip.name '
                f'is that of a model with {activation[bool(self.quick_gelu)]}'
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _freeze(self) -> None:
        self.clip.requires_grad_(False)
        self.adapter.requires_grad_(self.phase == 'B')
        if self.towers_train:
            self.get_submodule(TOWERS[self.phase]).requires_grad_(True)
        for name in ('logit_scale', 'logit_bias'):  # s takes their place
            parameter = getattr(self.clip, name, None)
            if parameter is not None:
                parameter.requires_grad_(False)

    @property
    def towers_train(self) -> bool:
        """Whether a tower is trained; if none is, features may come from a cache."""
        return TOWERS[self.phase] is not None

    def train(self, mode: bool = True):
        """Switch the mode: frozen towers stay in evaluation, BatchNorm too unless it trains."""
        super().train(mode)
        if not self.towers_train:
            self.clip.eval()
        elif self.norm_eval:
            for module in self.clip.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        if self.phase == 'A':
            self._texts_known = False
        return self

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """Losses, predictions or logits of images (B, 3, h, w) or features (B, D).

        Args:
            inputs: Normalised images, or in frozen phases their features.
            data_samples: B samples with labels, for ``'loss'``.
            mode: ``'loss'``: dict of losses; ``'predict'``: B samples with scores (C,);
                ``'tensor'``: adjusted logits (B, C).
        """
        if mode == 'loss' and self.phase == 'A' and self.contrastive:
            labels = torch.cat([sample.gt_label for sample in data_samples])
            return dict(loss=self._contrastive_loss(inputs, labels))
        feats = (self.extract_feat(inputs),)
        if mode == 'tensor':
            return self.head(feats)
        if mode == 'loss':
            return self.head.loss(feats, data_samples)
        if mode == 'predict':
            return self.head.predict(feats, data_samples)
        raise RuntimeError(f'invalid mode "{mode}"')

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """What the head takes: logits (B, C) before adjustment; without texts, features (B, D)."""
        features = self.image_features(inputs)
        if self.phase not in TEXT_PHASES:
            return features
        texts = self.class_texts()
        with full_precision(features):  # s would make of rounded cosines coarse logits
            if self.phase == 'B':
                features = self.adapter(features)
            return self.scale * unit(features) @ widen(texts).T

    def image_features(self, inputs: Tensor) -> Tensor:
        """Features (B, D) of the image tower, not normalised; features are returned as they are."""
        if inputs.ndim == 2 and not self.towers_train:
            return inputs
        if inputs.ndim != 4:
            raise BadInputError(
                f"phase '{self.phase}' takes images (3, h, w), the data set gives items of shape "
                f'{tuple(inputs.shape[1:])}'
            )
        if inputs.shape[-2:] != self.image_size:
            raise BadInputError(
                f'images are {inputs.shape[-2]} x {inputs.shape[-1]}, the image tower takes '
                f'{self.image_size[0]} x {self.image_size[1]}: change the pipeline, or set '
                'model.clip.image_size'
            )
        with self._running(inputs, frozen=not self.towers_train):
            return self.clip.encode_image(inputs).to(inputs.dtype)

    def class_texts(self) -> Tensor:
        """Unit text features T (C, D); constants are computed once."""
        if self.phase == 'A' and self.training:
            return self.encode_texts(self.tokens)
        if not self._texts_known:
            with torch.no_grad():
                self.text_features.copy_(self.encode_texts(self.eval_tokens))
            self._texts_known = True
        return self.text_features

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Unit features (K, D) of K classes from the tokens (T, K, L) of their prompts."""
        with self._running(tokens, frozen=self.phase != 'A'):
            return encode_classes(self.clip, tokens, self.text_chunk)

    def _contrastive_loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        images = unit(self.image_features(inputs))
        if len(labels) < self.head.num_classes * len(self.templates):
            texts = self.encode_texts(self.tokens[:, labels])
        else:
            texts = self.class_texts()[labels]
        with full_precision(images):
            return class_contrastive_loss(self.scale * images @ widen(texts).T, labels)

    @contextmanager
    def _running(self, like: Tensor, frozen: bool):
        """Gradients off where the towers are frozen; autocast where it is asked for."""
        kind, half = like.device.type, nullcontext()  # an autocast around the model stays on
        if self.precision == 'bf16' and torch.amp.is_autocast_available(kind):  # not on meta
            half = torch.autocast(kind, torch.bfloat16)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen), half:
            yield

    def _forget_texts(self, incompatible_keys) -> None:
        self._texts_known = False


def _embed_dim(clip: nn.Module) -> int:
    projection = getattr(clip, 'text_projection', None)
    if projection is None:
        projection = clip.text.text_projection
    return projection.shape[1] if isinstance(projection, Tensor) else projection.out_features
