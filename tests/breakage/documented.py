"""What the documentation says that a file holds, read as simply as can be.

``REFUSED`` is a file that must be refused; ``ANY`` one that may be, but must not end otherwise.
"""

from __future__ import annotations

import codecs
import json
import math
from typing import Any

REFUSED, ANY = 'refused', 'any'
_MARKS = [
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
]


class RefusedError(Exception):
    pass


def need(good: Any) -> None:
    if not good:
        raise RefusedError


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise RefusedError from None


def text_of(data: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), 'utf-8')
    try:
        return data.decode(encoding).replace('\r\n', '\n').replace('\r', '\n')
    except UnicodeDecodeError:
        raise RefusedError from None


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def finite(value: Any) -> float:
    need(is_number(value))
    try:
        need(math.isfinite(float(value)))
    except OverflowError:
        raise RefusedError from None
    return float(value)


def whole(value: Any, least: int = -(2**63), most: int = 2**63 - 1) -> int:
    need(is_number(value) and math.isfinite(value) and value == value // 1)
    need(least <= int(value) <= most)
    return int(value)


def ids(value: Any) -> list[int]:
    need(value is None or isinstance(value, list))
    return [whole(one) for one in value or ()]


def flag(value: Any) -> bool:
    need(value is None or (isinstance(value, (bool, int, float)) and value in (0, 1)))
    return bool(value)


def text(value: Any) -> str:
    need(value is None or isinstance(value, str))
    return value or ''


def annotations(data: bytes) -> dict:
    """Plain content of an LVIS or COCO json: what every reader of it takes for true."""
    content = parsed(data)
    need(isinstance(content, dict))
    sections = [content.get(name) for name in ('images', 'annotations', 'categories')]
    need(all(s is None or isinstance(s, list) for s in sections))
    need(None not in (sections[0], sections[2]))
    records = [record for section in sections for record in section or ()]
    need(all(isinstance(record, dict) for record in records))
    images = [
        {
            'id': whole(image.get('id')),
            'height': whole(image.get('height'), 1, 2**31 - 1),
            'width': whole(image.get('width'), 1, 2**31 - 1),
            'file_name': text(image.get('file_name')),
            'coco_url': '' if is_number(url := image.get('coco_url')) else text(url),
            'neg_category_ids': ids(image.get('neg_category_ids')),
            'not_exhaustive_category_ids': ids(image.get('not_exhaustive_category_ids')),
        }
        for image in sections[0]
    ]
    federated = any(
        name in image
        for image in sections[0]
        for name in ('neg_category_ids', 'not_exhaustive_category_ids')
    )
    if not federated:
        for image in images:
            del image['neg_category_ids'], image['not_exhaustive_category_ids']
    categories = []
    for category in sections[2]:
        name = category.get('name')
        need(isinstance(name, str) or is_number(name))
        categories.append({**category, 'id': whole(category.get('id')), 'name': str(name)})
    categories.sort(key=lambda category: category['id'])
    objects = []
    for record in sections[1] or ():
        box = record.get('bbox')
        need(isinstance(box, list) and len(box) == 4)
        box = [finite(side) for side in box]
        area = record.get('area')
        need(area is None or is_number(area))
        try:
            area = box[2] * box[3] if area is None else float(area)
        except OverflowError:
            raise RefusedError from None
        objects.append(
            {
                'id': whole(record.get('id')),
                'image_id': whole(record.get('image_id')),
                'category_id': whole(record.get('category_id')),
                'bbox': box,
                'area': area,
                'ignore': flag(record.get('ignore')),
                'iscrowd': flag(record.get('iscrowd')),
                'segmentation': record.get('segmentation'),
            }
        )
    for section in (images, categories, objects):
        need(len({record['id'] for record in section}) == len(section))
    need(len({category['name'] for category in categories}) == len(categories))
    need({record['image_id'] for record in objects} <= {image['id'] for image in images})
    need({record['category_id'] for record in objects} <= {c['id'] for c in categories})
    plain = {'images': images, 'categories': categories}
    return plain if sections[1] is None else {**plain, 'annotations': objects}


def has_section_twice(data: bytes) -> bool:
    text = data.decode(errors='replace')
    return any(text.count(f'"{name}"') > 1 for name in ('images', 'annotations', 'categories'))


def counts(content: dict) -> tuple[list[int], list[int]]:
    """Images and instances of each category that training learns from."""
    size = {image['id']: (image['width'], image['height']) for image in content['images']}
    learned = []
    for record in content.get('annotations', ()):
        x, y, w, h = record['bbox']
        width, height = size[record['image_id']]
        inside = min(x + w, width) > max(x, 0) and min(y + h, height) > max(y, 0)
        good = 0 < record['area'] < math.inf and w >= 1 and h >= 1 and inside
        if good and not record['ignore'] and not record['iscrowd']:
            learned.append((record['category_id'], record['image_id']))
    numbers = [category['id'] for category in content['categories']]
    images = [sum(c == number for c, _ in set(learned)) for number in numbers]
    return images, [sum(c == number for c, _ in learned) for number in numbers]


def results(data: bytes, content: dict) -> list[tuple]:
    """Detections of boxes: image, category, score, box."""
    records = parsed(data)
    need(isinstance(records, list))
    images = {image['id'] for image in content['images']}
    categories = {category['id'] for category in content['categories']}
    found = []
    for record in records:
        need(isinstance(record, dict))
        image, category = whole(record.get('image_id')), whole(record.get('category_id'))
        need(image in images and category in categories)
        box = record.get('bbox')
        need(isinstance(box, list) and len(box) == 4)
        box = [finite(side) for side in box]
        need(box[2] >= 0 and box[3] >= 0)
        found.append((image, category, finite(record.get('score')), tuple(box)))
    return found


def list_file(data: bytes, num_classes: int) -> list[tuple[str, int]]:
    """Names are bytes of the file system, in UTF-8 or not."""
    if data.startswith(tuple(mark for mark, _ in _MARKS)):
        data = text_of(data).encode()
    found = []
    for line in data.replace(b'\r\n', b'\n').replace(b'\r', b'\n').split(b'\n'):
        if not line.strip():
            continue
        words = line.rsplit(None, 1)
        need(len(words) == 2)
        try:
            label = int(words[1])
        except ValueError:
            raise RefusedError from None
        need(0 <= label < num_classes)
        found.append((words[0].decode(errors='surrogateescape'), label))
    need(found)
    return found


def vocabulary(data: bytes) -> list[str]:
    words = [line.strip() for line in text_of(data).split('\n') if line.strip()]
    need(words and len(set(words)) == len(words))
    return words


def word_file(data: bytes, known: list[str]) -> dict[str, tuple[int, ...]]:
    found = {}
    for line in text_of(data).split('\n'):
        name, *words = (part.strip() for part in line.split('\t'))
        if name:
            need(name not in found)
            need(all(word in known for word in words if word))
            found[name] = tuple(sorted({known.index(word) for word in words if word}))
    return found


def class_names(data: bytes) -> list[str]:
    names = [line.strip() for line in text_of(data).rstrip().split('\n')]
    need(all(names) and len(set(names)) == len(names))
    return names


def categories(data: bytes) -> list[str]:
    """Names of a json of categories, by id."""
    content = parsed(data)
    records = content.get('categories') if isinstance(content, dict) else content
    need(isinstance(records, list) and all(isinstance(r, dict) for r in records))
    found = {}
    for record in records:
        name, number = record.get('name'), whole(record.get('id'))
        need(isinstance(name, str) or is_number(name))
        need(number not in found)
        found[number] = str(name).strip()
    names = [found[number] for number in sorted(found)]
    need(all(names) and len(set(names)) == len(names))
    return names


def word_vectors(data: bytes, words: list[str], width: int) -> list[list[float] | None]:
    found = {}
    try:
        lines = data.decode('utf-8-sig').replace('\r\n', '\n').replace('\r', '\n').split('\n')
    except UnicodeDecodeError:
        raise RefusedError from None
    for number, line in enumerate(lines):
        if number == len(lines) - 1 and not line:
            continue
        name, _, rest = line.partition(' ')
        if name in words or not number:
            try:
                values = [float(value) for value in rest.split()]
            except ValueError:
                raise RefusedError from None
            need(len(values) == width)
            need(all(abs(value) < 3e38 for value in values))
            found[name] = values
    return [found.get(word) for word in words]
