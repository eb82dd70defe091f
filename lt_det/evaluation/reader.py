"""Result records, from memory or a file, turned into columns and checked."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..errors import BadInputError
from ..formats.result_files import parse_piece, record_blocks, text_pieces
from .detections import Detections
from .ground_truth import LVISGroundTruth
from .masks import box_polygon, compressed_masks, rle_areas, segmentation_problem, to_rle
from .parallel import fork_map
from .record_columns import Columns, from_columns, from_records, is_finite, position

_BLOCK = 65536  # records checked at a time
_FIRST_BYTES = 1 << 16  # read to see the first record
_MASK_BLOCK = 512  # masks decoded at a time
_MASK = 'segmentation'
_NAMING = ('image_id', 'category_id')


class DetectionReader:
    """Turns result records into ``Detections`` and refuses, or counts, those that are invalid.

    As in lvis-api, the first record decides where areas come from: from the box if it has one,
    also when masks are compared, else from the mask. Masks are compared by the polygon of the box
    where a record has no segmentation, boxes by the box of the mask where there is no box.

    Args:
        truth: Annotations that the records are checked against.
        iou_type: 'bbox', 'segm' or 'boundary'.
        skip_invalid: Whether to leave invalid records out and count them instead of raising.

    Attributes:
        skipped (Counter): Number of records left out, by the field that is invalid.
    """

    def __init__(self, truth: LVISGroundTruth, iou_type: str, skip_invalid: bool = False) -> None:
        self.truth = truth
        self.iou_type = iou_type
        self.skip_invalid = skip_invalid
        self.skipped: Counter = Counter()
        self.source = 'detections'
        self._use_box: bool | None = None
        self._all_masks = False

    def read(
        self,
        detections: Sequence[dict] | Mapping[str, Sequence] | str | os.PathLike,
        progress: Callable[[int, int], None] | None = None,
        all_masks: bool = False,
        num_workers: int = 1,
    ) -> Detections:
        """Reads all records.

        Args:
            detections: Records with image_id, category_id, score and bbox (x, y, w, h in pixels)
                or segmentation; or a dict of such columns of equal length, bbox (N, 4); or the
                path of a json file with a list of records, which is read in pieces.
            progress: Called with what is done and what there is: bytes of a file, else records.
            all_masks: Whether to hold the masks of detections that cannot be scored too.
            num_workers: Number of processes that share the parsing of a file.

        Raises:
            MissingFileError: The file does not exist.
            BadInputError: The file is no json list, is empty, or a record is invalid.
        """
        self.source = 'detections'
        self.skipped.clear()
        self._use_box = None
        self._all_masks = all_masks
        if isinstance(detections, (str, os.PathLike)):
            self.source = os.fspath(detections)
            if num_workers > 1:
                try:
                    return self._read_shared(self.source, progress, num_workers)
                except ValueError:
                    # Read in one process, to number the record that is invalid.
                    self.skipped.clear()
        parts = []
        count = 0
        with _no_collection():
            for block, done, total in self._blocks(detections):
                if len(block):
                    parts.append(self._read_block(block, count))
                    count += len(block)
                if progress is not None:
                    progress(done, total)
        return self._joined(parts)

    def _joined(self, parts: list[Detections]) -> Detections:
        if any(map(len, parts)):
            return Detections.concatenate(parts)
        if not self.skip_invalid:
            raise BadInputError(f'{self.source}: the list of results is empty')
        return Detections.empty(self.iou_type)

    def _read_shared(
        self, path: str, progress: Callable[[int, int], None] | None, num_workers: int
    ) -> Detections:
        positions = []

        def pieces() -> Iterator[bytes]:
            for piece, reached in text_pieces(path):
                if self._use_box is None:
                    # The first record decides for all processes.
                    blocks = record_blocks(path, _FIRST_BYTES)
                    first = next((record for block, _ in blocks for record in block), None)
                    self._use_box = isinstance(first, dict) and 'bbox' in first
                positions.append(reached)
                yield piece

        def read_piece(piece: bytes) -> tuple[Detections, Counter]:
            self.skipped = Counter()
            with _no_collection():
                return self._read_block(parse_piece(piece), 0), self.skipped

        parts = []
        all_skipped: Counter = Counter()
        for part, skipped in fork_map(read_piece, pieces(), num_workers):
            parts.append(part)
            all_skipped.update(skipped)
            if progress is not None:
                progress(positions[len(parts) - 1], os.path.getsize(path))
        self.skipped = all_skipped
        return self._joined(parts)

    def _blocks(self, detections: Any) -> Iterator[tuple[Sequence[dict] | Columns, int, int]]:
        """Some records at a time, how far they reach, and how far all of them do."""
        if isinstance(detections, (str, os.PathLike)):
            for records, position in record_blocks(detections):
                size = os.path.getsize(detections)
                for start in range(0, len(records), _BLOCK):
                    yield records[start : start + _BLOCK], position, size
            return
        if isinstance(detections, Mapping):
            detections = Columns(detections)
        elif not isinstance(detections, (list, tuple)):
            raise BadInputError(
                f'{self.source}: expected a list of records, columns, or a path, got '
                f'{type(detections).__name__}'
            )
        for start in range(0, len(detections), _BLOCK):
            block = detections[start : start + _BLOCK]
            yield block, start + len(block), len(detections)

    def _read_block(self, records: Sequence[dict] | Columns, start: int) -> Detections:
        numbers = np.arange(start, start + len(records))
        if self._use_box is None:
            self._use_box = isinstance(records[0], dict) and 'bbox' in records[0]
        columns = self._checked(records)
        if columns is None:
            records = list(records)
            problems = {i: p for i, r in enumerate(records) if (p := self._problem(r))}
            self._report(problems, records, numbers)
            good = [i for i in range(len(records)) if i not in problems]
            records, numbers = [records[i] for i in good], numbers[good]
            columns = self._checked(records)
            if columns is None:
                raise BadInputError(f'{self.source}: no valid records from number {start} on')
        image, category, score, boxes = columns
        masks = None
        if self.iou_type != 'bbox' or boxes is None:
            masks, areas, problems = self._masks(records, image)
            if problems:
                self._report(problems, records, numbers)
                good = [i for i in range(len(records)) if i not in problems]
                masks = [masks[i] for i in good]
                image, category, score, areas = (
                    column[good] for column in (image, category, score, areas)
                )
                boxes = None if boxes is None else boxes[good]
        if boxes is not None:
            areas = boxes[:, 2] * boxes[:, 3]
        elif self.iou_type == 'bbox':
            boxes = np.array(mask_utils.toBbox(masks), dtype=np.float64).reshape(-1, 4)
        if self.iou_type != 'bbox' and not self._all_masks:
            scored = self.truth.find_pairs(image, category) >= 0
            masks = [mask if kept else None for mask, kept in zip(masks, scored.tolist())]
        return Detections(
            image.astype(np.int32),
            category.astype(np.int32),
            score,
            areas.astype(np.float64),
            boxes=boxes if self.iou_type == 'bbox' else None,
            segmentations=None if self.iou_type == 'bbox' else masks,
        )

    def _checked(self, records: Sequence[dict] | Columns) -> tuple | None:
        """Image, category, score, boxes of records; None when any record is not valid."""
        if not len(records):
            ids = np.zeros(0, dtype=np.int64)
            return ids, ids, np.zeros(0), np.zeros((0, 4)) if self._use_box else None
        extract = from_columns if isinstance(records, Columns) else from_records
        columns = extract(records, self._use_box)
        if columns is None:
            return None
        image_ids, category_ids, score, boxes = columns
        image = position(self.truth.image_ids, image_ids)
        category = position(self.truth.category_ids, category_ids)
        if (image < 0).any() or (category < 0).any() or not np.isfinite(score).all():
            return None
        if boxes is not None and not (np.isfinite(boxes).all() and (boxes[:, 2:] >= 0).all()):
            return None
        return image, category, score, boxes

    def _problem(self, record: Any) -> tuple[str, str] | None:
        """The field that makes a record invalid and why, apart from its mask."""
        if not isinstance(record, dict):
            return 'record', f'is {type(record).__name__}; expected a dict'
        for field in ['image_id', 'category_id', 'score'] + ['bbox'] * self._use_box:
            if field not in record:
                return field, 'is missing'
        for field, known in (
            ('image_id', self.truth.image_ids),
            ('category_id', self.truth.category_ids),
        ):
            if not isinstance(record[field], (int, np.integer)) or isinstance(record[field], bool):
                return field, f'is {record[field]!r}; expected an integer'
            if record[field] not in known:
                return field, f'{record[field]} is not in {self.truth.source}'
        if not is_finite(record['score']):
            return 'score', f'is {record["score"]!r}; expected a finite number'
        if self._use_box:
            box = record['bbox']
            if not isinstance(box, (list, tuple, np.ndarray)) or len(box) != 4:
                return 'bbox', f'is {box!r}; expected [x, y, width, height]'
            if not all(map(is_finite, box)):
                return 'bbox', f'is {box!r}; expected finite numbers'
            if box[2] < 0 or box[3] < 0:
                return 'bbox', f'is {box!r}; width and height must not be negative'
        return None

    def _masks(
        self, records: Sequence[dict], image: np.ndarray
    ) -> tuple[list[dict | None], np.ndarray, dict[int, tuple[str, str]]]:
        """Compressed masks of records, their areas, and what is wrong with some of them."""
        sizes = self.truth.image_sizes[image]
        masks = compressed_masks(records, sizes)
        problems = {}
        if masks is None:
            masks, problems = self._formed_masks(records, sizes)
        areas = np.zeros(len(records), dtype=np.int64)
        formed = [i for i, mask in enumerate(masks) if mask is not None]
        pixels = sizes.prod(1)
        for start in range(0, len(formed), _MASK_BLOCK):
            block = formed[start : start + _MASK_BLOCK]
            areas[block] = rle_areas([masks[i]['counts'] for i in block], pixels[block])
        for index in np.flatnonzero(areas < 0).tolist():
            problems[index] = (_MASK, 'is not usable: malformed RLE')
        return masks, areas, problems

    def _formed_masks(
        self, records: Sequence[dict], sizes: np.ndarray
    ) -> tuple[list[dict | None], dict[int, tuple[str, str]]]:
        """Compressed masks of records in any form, and those whose form is wrong."""
        masks: list[dict | None] = [None] * len(records)
        problems = {}
        for index, (record, (height, width)) in enumerate(zip(records, sizes.tolist())):
            segmentation = record.get(_MASK)
            if segmentation is None and self._use_box:
                segmentation = box_polygon(record['bbox'])
            if segmentation is None:
                problems[index] = (
                    self.iou_type if self.iou_type == 'bbox' else _MASK,
                    'is missing',
                )
                continue
            problem = segmentation_problem(segmentation, height, width)
            if problem:
                problems[index] = (_MASK, f'is not usable: {problem}')
            else:
                masks[index] = to_rle(segmentation, height, width)
        return masks, problems

    def _report(
        self, problems: dict[int, tuple[str, str]], records: Sequence[Any], numbers: np.ndarray
    ) -> None:
        """Raises for the first problem, or counts all of them."""
        for index in sorted(problems):
            field, detail = problems[index]
            if self.skip_invalid:
                self.skipped[field] += 1
                continue
            record = records[index]
            known = record if isinstance(record, dict) else {}
            named = [f'{key} {known[key]}' for key in _NAMING if key in known]
            where = f' ({", ".join(named)})' if named else ''
            raise BadInputError(f'{self.source}: record {numbers[index]}{where}: {field} {detail}')


@contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage collection takes longer than reading where millions of records hold no cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
