"""Annotations, results and lists: what campaigns of broken files found, each as its kind."""

from __future__ import annotations

import json

import pytest
import torch

from lt_det.errors import BadInputError
from lt_det.evaluation import LVISEvaluator
from lt_det.formats.annotation_columns import read_columns
from lt_det.formats.foreign_results import read_foreign
from lt_det.formats.image_predictions import read_image_predictions
from lt_det.formats.json_file import read_json
from lt_det.formats.list_file import read_list_file
from lt_det.formats.result_files import record_blocks

from . import files
from .subjects.results import evaluator_of


@pytest.mark.parametrize('size', [8, 1 << 24])
@pytest.mark.parametrize('lost', [1, 2, 40])
def test_results_cut_off_behind_a_record_are_not_taken_for_the_whole(size, lost, tmp_path):
    path = tmp_path / 'results.json'
    text = json.dumps(files.results())
    path.write_text(text)
    assert sum(map(len, record_blocks(path, size))) == 8
    path.write_text(text[: text.rindex('}') + 1] if lost == 1 else text[:-lost].rpartition(',')[0])
    with pytest.raises(BadInputError, match=r'results\.json: (cut off|not a json)'):
        list(record_blocks(path, size))
    with pytest.raises(BadInputError, match=r'results\.json: (cut off|not a json)'):
        evaluator_of('bbox').evaluate(str(path))


@pytest.mark.parametrize('key', ['image_id', 'category_id', 'score', 'bbox'])
def test_true_is_no_number_in_a_result(key):
    records = files.results()
    records[1][key] = [True, 10, 20, 20] if key == 'bbox' else True
    with pytest.raises(BadInputError, match=f'record 1 .*{key} is .*True'):
        evaluator_of('bbox').read(records)


@pytest.mark.parametrize('label', ['9' * 30, '9' * 5000, '-' + '9' * 30])
def test_a_label_of_more_than_64_bits(label, tmp_path):
    (tmp_path / 'list.txt').write_text(f'a.jpg 1\nb.jpg {label}\n')
    with pytest.raises(BadInputError, match=r'list\.txt:2 is "b\.jpg .*expected "relative/path'):
        read_list_file(tmp_path / 'list.txt')


@pytest.mark.parametrize('text', ['[' * 10**5, '{"a":' * 10**5, '[1', '\x00', '9' * 5000])
def test_json_that_is_none(text, tmp_path):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(BadInputError, match=r'a\.json: not a json file'):
        read_json(tmp_path / 'a.json')


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('"info"', '"in\0o"'),
        ('"info"', '"in\x1fo"'),
        ('"info"', '"in\udcffo"'),
        ('"info": {', '"info": {"a": "\x01", '),
        ('"info": {', '"info": {"a": "\udcff", '),
        (', "annotations"', ',\x0b "annotations"'),
        ('"images": [', '"images":\x0c ['),
        ('}, {', '}\x0b, {'),
        ('}], "cat', '}\x0b], "cat'),
    ],
)
def test_bytes_that_no_json_has(old, new, tmp_path):
    """The reader of records passes over other sections, and over what is between records."""
    path = tmp_path / 'truth.json'
    text = json.dumps(files.annotations())
    assert old in text
    path.write_text(text.replace(old, new, 1), errors='surrogateescape')
    with pytest.raises(BadInputError, match=r'truth\.json: not a json'):
        read_columns(path)


@pytest.mark.parametrize('key', ['height', 'width'])
@pytest.mark.parametrize(
    'url', ['http://a.org/x.png', 7.5]
)  # plain records, and those that are not
def test_an_image_of_more_pixels_than_engines_count(key, url, tmp_path):
    content = files.annotations()
    content['images'][1] |= {key: 2**31, 'coco_url': url}
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(content))
    with pytest.raises(BadInputError, match=f'image 2 has {key} 2147483648; .* 1 to 2147483647'):
        read_columns(path)
    content['images'][1][key] = 2**31 - 1
    path.write_text(json.dumps(content))
    assert LVISEvaluator(str(path)).evaluate(files.results())


@pytest.mark.parametrize('key', ['file_name', 'coco_url'])
@pytest.mark.parametrize('value', [False, [], {}])
def test_what_is_no_text_and_counts_as_nothing_in_python(key, value, tmp_path):
    content = files.annotations()
    content['images'][2][key] = value
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(content))
    with pytest.raises(BadInputError, match=f'image 3 has {key} .*; expected a text'):
        read_columns(path)


def test_half_a_character_in_the_name_of_a_class(tmp_path):
    content = files.annotations()
    wanted = LVISEvaluator(content).evaluate(files.results())
    content['categories'][0]['name'] = '\ud800'
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(content))
    assert LVISEvaluator(str(path)).evaluate(files.results()) == wanted


@pytest.mark.parametrize('score', [None, '0.5', {}, True, float('nan'), 10**400])
def test_a_predicted_image_whose_score_is_no_number(score, tmp_path):
    content = files.image_predictions()
    content[1]['detections'][0]['score'] = score
    path = tmp_path / 'predictions.json'
    path.write_text(json.dumps(content))
    ids = {name: number for number, name in enumerate(files.NAMES, 1)}
    columns = read_columns(files.annotations())
    with pytest.raises(BadInputError, match=r'predictions\.json: image 1 lacks or has an .*score'):
        read_image_predictions(path, columns, ids)


def test_keys_with_letters_of_all_languages_are_read(tmp_path):
    path = tmp_path / 'truth.json'
    text = json.dumps({'größe \\': 'ö\ud800', **files.annotations()}, ensure_ascii=False)
    path.write_text(text, encoding='utf-8', errors='surrogatepass')
    assert read_columns(path).num_images == 3


@pytest.mark.parametrize(
    'boxes', [None, [[1, 2, 3]], [[1, 2, 3, 'x']] * 2, torch.ones(2, 4, dtype=torch.complex64)]
)
def test_samples_of_mmdetection_with_values_of_other_kinds(boxes, tmp_path):
    samples = files.mmdetection_samples()
    samples[1]['pred_instances'] = {**samples[1]['pred_instances'], 'bboxes': boxes}
    (tmp_path / 'a.pkl').write_bytes(files.pickle_bytes(samples))
    ids = {name: number for number, name in enumerate(files.NAMES, 1)}
    with pytest.raises(BadInputError, match=r'a\.pkl: |detections: '):
        found = read_foreign(tmp_path / 'a.pkl', files.NAMES, ids)
        evaluator_of('bbox').evaluate(found['bbox'])
