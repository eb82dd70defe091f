"""Kinds of problems of a data set, and what training and evaluation do with each."""

from __future__ import annotations

from typing import NamedTuple


class Effect(NamedTuple):
    """What becomes of a thing.

    Args:
        what: 'used', 'filled' (a value is assumed), 'clipped', 'ignored' (neither object nor
            background), 'dropped' or 'refused' (an error at start).
        text: How, in a line.
    """

    what: str
    text: str


class Kind(NamedTuple):
    """Effects of a kind of problem; ``coco`` where evaluation by COCO's rules is another.

    Args:
        counted: What is counted.
        title: What holds for them.
        training, evaluation: Effects.
        coco: Effect on evaluation by COCO's rules, where it differs.
        lost: Whether something is lost, be it the meaning of a result; by default that follows
            from the effects.
    """

    counted: str
    title: str
    training: Effect
    evaluation: Effect
    coco: Effect | None = None
    lost: bool | None = None

    @property
    def line(self) -> str:
        return f'{self.counted} {self.title}'


def _used(text: str = 'as it is') -> Effect:
    return Effect('used', text)


_AS_IS = _used()
_SCORED = _used('scored as it is')
_BACKGROUND = Effect('dropped', 'not trained on and not counted; its place is background')
_UNSCORED = Effect('dropped', 'not scored')
_REFUSED_TOO = Effect('refused', 'an error at the start of lt_det test')
_REFUSED = Effect('refused', 'an error at start')
_NAMES = Effect('refused', 'an error at start: both sets have to have the same classes')
_LEFT_OUT = Effect(
    'refused', 'unless metainfo=dict(classes=...) leaves them out, as lt_det init does'
)
_CHOSEN = Effect(
    'refused', 'unless metainfo=dict(classes=...) of both names them, as lt_det init does'
)

_REFUSALS = {
    'unreadable': ('files', 'that cannot be read'),
    'malformed_image': ('images', 'with a value that cannot be used'),
    'malformed_annotation': ('annotations', 'with a value that cannot be used'),
    'malformed_category': ('categories', 'with a value that cannot be used'),
    'repeated_image_id': ('ids', 'of several images'),
    'repeated_annotation_id': ('ids', 'of several annotations'),
    'repeated_category_id': ('ids', 'of several categories'),
    'repeated_category_name': ('names', 'of several categories'),
    'unknown_image_id': ('annotations', 'of an image that is not in the file'),
    'unknown_category_id': ('annotations', 'of a category that is not in the file'),
}

ANNOTATION_KINDS: dict[str, Kind] = {
    **{kind: Kind(*words, _REFUSED, _REFUSED) for kind, words in _REFUSALS.items()},
    # the file as a whole
    'no_annotations': Kind(
        'files',
        "without the list 'annotations'",
        _REFUSED,
        _used('result files are written, nothing is scored'),
    ),
    'evaluation_refused': Kind('files', 'that evaluation refuses', _AS_IS, _REFUSED),
    # boxes and flags
    'area_zero': Kind('annotations', 'with an area of 0', _BACKGROUND, _UNSCORED, _SCORED),
    'area_negative': Kind(
        'annotations',
        'with a negative area',
        _BACKGROUND,
        _UNSCORED,
        Effect('ignored', 'in no range of sizes'),
    ),
    'area_infinite': Kind(
        'annotations', 'with an area that is infinite or no number', _BACKGROUND, _UNSCORED
    ),
    'ignore': Kind(
        'annotations',
        "with 'ignore' set",
        _BACKGROUND,
        Effect('ignored', 'neither it nor a detection of it counts, as the mark asks for'),
        _used("scored: COCO's rules do not look at the mark"),
    ),
    'box_negative': Kind('annotations', 'with a negative width or height', _BACKGROUND, _SCORED),
    'box_small': Kind('annotations', 'less than 1 pixel wide or high', _BACKGROUND, _SCORED),
    'box_outside': Kind('annotations', 'with a box outside of their image', _BACKGROUND, _SCORED),
    'box_beyond': Kind(
        'annotations',
        'with a box that reaches more than 1 pixel beyond the image',
        Effect('clipped', 'cut to the image'),
        _SCORED,
    ),
    'corners': Kind(
        'annotations',
        'with a box that reaches beyond its image, which most boxes do: corners x1, y1, x2, y2 in '
        'place of x, y, width, height?',
        Effect('clipped', 'taken for x, y, width, height, and cut to the image'),
        _used('scored as x, y, width, height'),
        lost=True,
    ),
    'annotation_repeated': Kind(
        'annotations',
        'with the box and category of another of their image',
        _used('each counts'),
        _used('each is scored, and one detection finds one of them'),
    ),
    'area_missing': Kind(
        'annotations',
        'without an area',
        Effect('filled', 'width * height of the box'),
        Effect('filled', 'width * height of the box'),
    ),
    'crowd': Kind(
        'annotations',
        "with 'iscrowd' set",
        Effect('ignored', 'neither object nor background, not counted, as the mark asks for'),
        _used("scored as any other: LVIS's rules do not look at the mark"),
        Effect('ignored', 'detections of it do not count, as the mark asks for'),
        lost=False,
    ),
    # masks
    'mask_missing': Kind(
        'annotations',
        'without a mask, where others have one',
        Effect(
            'ignored',
            'for masks; its box is learned with the configs of lt_det init and by box detectors, '
            "and ignored too where a loader of masks has maskless='ignore', as for LVIS",
        ),
        Effect('refused', 'where masks are scored; box AP uses it'),
    ),
    'mask_malformed': Kind(
        'annotations',
        'with a malformed mask',
        Effect('refused', 'where masks are trained; box detectors do not look at it'),
        Effect('refused', 'where masks are scored; box AP does not look at it'),
    ),
    'mask_size': Kind(
        'annotations',
        'with a run-length mask of another size than their image',
        Effect('refused', 'where masks are trained; box detectors do not look at it'),
        Effect('refused', 'where masks are scored; box AP does not look at it'),
    ),
    'mask_debris': Kind(
        'annotations',
        'with polygons of less than 3 points, or of half a point, beside others',
        _used('without those polygons, which enclose nothing'),
        _used('without those polygons, which enclose nothing'),
    ),
    # federated lists
    **{
        f'no_{name}': Kind(
            'images',
            f'without {name}, which others have',
            Effect('filled', 'taken for an empty list'),
            Effect('filled', 'taken for an empty list'),
        )
        for name in ('neg_category_ids', 'not_exhaustive_category_ids')
    },
    **{
        f'unknown_{name}': Kind(
            'images',
            f'with ids in {name} that are no category',
            _used('without those ids'),
            _used('without those ids'),
        )
        for name in ('neg_category_ids', 'not_exhaustive_category_ids')
    },
    'negative_annotated': Kind(
        'images',
        'with an annotation of a category that their neg_category_ids rule out',
        _used('the annotation counts'),
        _used('the annotation is scored'),
    ),
    'negative_not_exhaustive': Kind(
        'images',
        'with a category in both neg_category_ids and not_exhaustive_category_ids',
        _used('federated loss: the category is no negative there'),
        _used('detections of the category there are ignored'),
    ),
    # classes
    'class_empty': Kind(
        'classes',
        'without annotations',
        _LEFT_OUT,
        _used('without objects there, their AP is -1 and not in the mean'),
    ),
    'class_lost': Kind(
        'classes',
        'with annotations, but none that training learns from',
        _LEFT_OUT,
        _used('what of them is not dropped is scored'),
    ),
    'class_train_only': Kind('classes', 'that the validation file lacks', _NAMES, _NAMES),
    'class_val_only': Kind(
        'classes',
        'that the training file lacks',
        _CHOSEN,
        _CHOSEN,
    ),
    'class_order': Kind('classes', 'in another order of ids than in training', _CHOSEN, _CHOSEN),
    'class_group': Kind(
        'classes',
        'whose frequency (r, c, f) in the validation file is not that of their training images',
        _used('not looked at'),
        _used('the groups of the file, unless bounds are set, as lt_det init does'),
    ),
    'class_ids': Kind(
        'classes',
        'with another id than in training',
        _used('matched by name'),
        _used('matched by name'),
    ),
    # images
    'image_empty': Kind(
        'images',
        'without annotations',
        Effect('dropped', 'by filter_empty_gt=True of the configs'),
        _used('detections on them are false positives where the class is judged'),
        lost=False,
    ),
    'image_small': Kind(
        'images',
        'with a side below 32 pixels',
        Effect('dropped', 'by min_size=32 of the configs, with their annotations'),
        _SCORED,
    ),
    'image_nameless': Kind('images', 'without file_name and coco_url', _REFUSED, _REFUSED_TOO),
    'image_repeated': Kind(
        'images',
        'that are the file of another image of the json too',
        _used('shown for each image, with the annotations of that image alone'),
        _used('scored for each image'),
    ),
    'image_in_both': Kind(
        'images',
        'that both sets have, by id and name',
        _used('trained on'),
        _used('scored, though trained on: the result is too good'),
        lost=True,
    ),
}

FILE_KINDS: dict[str, Kind] = {
    'image_missing': Kind('images', 'whose file is missing', _REFUSED, _REFUSED_TOO),
    'image_broken': Kind('images', 'whose file is broken', _REFUSED, _REFUSED_TOO),
    'image_size': Kind('images', 'of another size than the json says', _REFUSED, _REFUSED_TOO),
    'image_shared': Kind(
        'images', 'with different names that lead to one file', _REFUSED, _REFUSED_TOO
    ),
    'image_turned': Kind(
        'images',
        'with an EXIF orientation',
        _used('turned by it when loaded, so the boxes have to be those of the turned image'),
        _used('turned by it when loaded, so the boxes have to be those of the turned image'),
    ),
    'image_deep': Kind(
        'images',
        'of more than 8 bits per channel',
        _used('the upper 8 bits'),
        _used('the upper 8 bits'),
    ),
    'image_alpha': Kind('images', 'with transparency', _used('without it'), _used('without it')),
    'image_same_content': Kind(
        'images',
        'that are a copy of the file of another image of the json',
        _used('shown for each image, with the annotations of that image alone'),
        _used('scored for each image'),
    ),
    'content_in_both': Kind(
        'images',
        'of validation that training has too, by the content of their files',
        _used('trained on'),
        _used('scored, though trained on: the result is too good'),
        lost=True,
    ),
}

KINDS = {**ANNOTATION_KINDS, **FILE_KINDS}
# What is refused, but not with a config of lt_det init, which names the classes.
CHOSEN_BY_INIT = ('class_empty', 'class_lost', 'class_val_only', 'class_order')
