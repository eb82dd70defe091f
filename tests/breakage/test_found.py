"""What the first campaigns of broken files found, each as the kind that it is."""

from __future__ import annotations

import errno
import json
import logging
import os
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from lt_det.calibration.spool import ROW, Spool
from lt_det.cli.common import add_statistics, load_config
from lt_det.compat.checkpoint import check_whole, restrict_checkpoint_loading
from lt_det.datasets.feature_cache import FEATURES, FeatureCacheDataset
from lt_det.engine.checkpoint_hook import latest_checkpoint
from lt_det.errors import BadInputError, MissingFileError, UserError
from lt_det.evaluation import LVISEvaluator
from lt_det.evaluation.ground_truth import GroundTruth
from lt_det.evaluation.kept_detections import read_kept
from lt_det.formats import annotation_cache
from lt_det.formats.annotation_columns import read_columns
from lt_det.formats.foreign_results import read_foreign
from lt_det.formats.image_predictions import read_image_predictions
from lt_det.formats.json_file import read_json
from lt_det.formats.list_file import read_list_file
from lt_det.formats.result_files import record_blocks
from lt_det.report.page.classified import Classified
from lt_det.report.page.data import collect
from lt_det.report.page.extras import curves
from lt_det.report.page.run_files import find_run

from . import files
from .subjects.calibration import calibration_texts
from .subjects.results import evaluator_of


@pytest.fixture
def run(tmp_path):
    """A work dir of a detector."""
    files.detector_run(tmp_path / 'run')
    return tmp_path / 'run'


@pytest.mark.parametrize('kind', [BadInputError, MissingFileError, UserError])
def test_a_message_is_one_line_of_bounded_length(kind):
    assert str(kind('a\n  b\u2028c  d')) == 'a b c  d'
    message = str(kind('begin' + 'x' * 10**5 + 'end'))
    assert len(message) < 1000
    assert message.startswith('beginx') and message.endswith('xend')


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


def test_a_config_without_a_model():
    cfg = Config(dict(model=None))
    add_statistics(cfg)
    assert cfg.to_dict() == {'model': None}


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


@pytest.mark.parametrize('content', [b'\xff\xfe', b'9' * 5000, b'/' * 100_000, b'a\0b', b''])
def test_a_last_checkpoint_that_names_no_file(content, tmp_path):
    (tmp_path / 'epoch_2.pth').write_bytes(files.torch_bytes({'a': 1}))
    (tmp_path / 'last_checkpoint').write_bytes(content)
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_2.pth')


def test_keys_with_letters_of_all_languages_are_read(tmp_path):
    path = tmp_path / 'truth.json'
    text = json.dumps({'größe \\': 'ö\ud800', **files.annotations()}, ensure_ascii=False)
    path.write_text(text, encoding='utf-8', errors='surrogatepass')
    assert read_columns(path).num_images == 3


# ------------------------------------------------------------------------------------- checkpoints


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    restrict_checkpoint_loading()
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'w': torch.arange(1000.0)}}, path)
    return path


def test_a_weight_of_which_a_bit_has_changed(checkpoint):
    with zipfile.ZipFile(checkpoint) as archive:
        start = archive.getinfo('a/data/0').header_offset
    data = bytearray(checkpoint.read_bytes())
    place = data.index(torch.arange(1000.0).numpy().tobytes(), start) + 2000
    data[place] ^= 64
    checkpoint.write_bytes(data)
    read = torch.load(checkpoint, weights_only=True)['state_dict']['w']
    assert not torch.equal(read, torch.arange(1000.0))  # torch itself does not see it
    with pytest.raises(BadInputError, match=r'a\.pth cannot be read: .*a/data/0'):
        CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')


def test_files_without_checksums_are_read(checkpoint):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({'w': torch.ones(3)}, checkpoint)
    finally:
        torch.serialization.set_crc32_options(before)
    check_whole(checkpoint)
    torch.save({'w': torch.ones(3)}, checkpoint, _use_new_zipfile_serialization=False)
    check_whole(checkpoint)
    assert CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')['w'].sum() == 3


# ------------------------------------------------------------------------- arrays, with their kinds


def changed_arrays(path, **changes) -> None:
    with np.load(path) as file:
        arrays = dict(file.items())
    for name, value in changes.items():
        name = name.replace('__', '.')
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(group=np.array(['r', 'c', 'c'])), 'group has 3 entries'),
        (dict(group=np.array(['r', 'c', 'c', 'x'])), "group has 'x', expected one of"),
        (dict(train_images=np.zeros(4, 'datetime64[s]')), 'train_images is of type datetime'),
        (dict(segm__category_id=np.ones(9, int)), 'segm.category_id has 9 entries'),
        (dict(segm__category_id=np.full(8, 99)), 'has categories that are not in'),
        (dict(segm__lengths=np.full(8, 2**62)), 'segm.lengths adds up to'),
        (dict(segm__codes=None), 'segm.codes is missing'),
        (dict(bbox__score=np.full(8, np.nan)), 'bbox.score has a number that is not finite'),
        (dict(bbox__image_id=np.ones((8, 1), int)), 'bbox.image_id has the shape'),
        (dict(all_category_id=np.full(4, 2**63, np.uint64)), 'all_category_id has the number'),
    ],
)
def test_kept_detections_of_another_shape_or_kind(changes, message, run):
    changed_arrays(run / 'predictions.npz', **changes)
    truth = GroundTruth(str(run / 'truth.json'))
    before = truth.frequency.tolist()
    with pytest.raises(BadInputError, match=rf'predictions\.npz: {message}'):
        read_kept(run / 'predictions.npz', truth)
    assert truth.frequency.tolist() == before


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(label=np.full(12, 4)), r'label has 4, expected 0\.\.3'),
        (dict(predicted=np.full(12, -1)), r'predicted has -1, expected 0\.\.3'),
        (dict(confidence=np.ones(12, 'datetime64[s]')), 'confidence is of type'),
        (dict(image=np.array('a.jpg')), 'image has the shape'),
        (dict(name=np.array(['a'] * 5)), 'group has 4 entries, name has 5'),
        (dict(group=np.array(['few'] * 3 + ['x'])), r"group has \['x'\]"),
        (dict(num_bins=np.array(np.inf)), 'num_bins is of type float64'),
        (dict(num_bins=np.array(2**62)), f'.* num_bins is {2**62}, expected 1 to 10000'),
    ],
)
def test_predictions_of_a_classifier_of_another_shape_or_kind(changes, message, tmp_path):
    path = tmp_path / 'predictions.npz'
    path.write_bytes(files.npz_bytes(files.classified()))
    assert Classified.read(path).num_bins == 15
    changed_arrays(path, **changes)
    with pytest.raises(BadInputError, match=rf'predictions\.npz: {message}'):
        Classified.read(path)


@pytest.mark.parametrize('data', [b'', b'PK\x03\x04', b'\x93NUMPY\x01\x00v\x00{[', b'\x80\x04.'])
def test_bytes_that_are_no_arrays(data, run, tmp_path):
    (run / 'predictions.npz').write_bytes(data)
    for read in (
        lambda: read_kept(run / 'predictions.npz', GroundTruth(str(run / 'truth.json'))),
        lambda: Classified.read(run / 'predictions.npz'),
    ):
        with pytest.raises(BadInputError, match=r'predictions\.npz cannot be read'):
            read()
    cache = FeatureCacheDataset.__new__(FeatureCacheDataset)
    (tmp_path / FEATURES).write_bytes(data)
    with pytest.raises(BadInputError, match=r'features\.npy cannot be read'):
        cache._map(tmp_path)


def test_a_column_whose_header_is_no_python(tmp_path, monkeypatch):
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(files.annotations()))
    annotation_cache.load_columns(path)
    column = annotation_cache.cache_folder(path) / 'other.npy'
    data = column.read_bytes()
    column.write_bytes(data[:50] + b'[' + data[50:])
    with pytest.warns(UserWarning, match='made anew'):
        columns = annotation_cache.load_columns(path)
    assert columns.arrays['annotation_id'].tolist() == list(range(1, 8))


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


# -------------------------------------------------------------------------------- what runs leave


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('kind', [['detector']], 'kind is .* expected .detector. or .classifier.'),
        ('ann_file', 3, 'ann_file is 3, expected str or null'),
        ('ann_file', 'a\0', '.* which no file can be named'),
        ('max_dets', True, 'max_dets is True, expected int or null'),
        ('bounds', [1], 'bounds is .* expected two numbers'),
        ('checkpoint', {'file': 1}, 'checkpoint.file is 1'),
        ('versions', {'torch': float('nan')}, 'versions is .* expected a text'),
    ],
)
def test_a_note_of_a_run_with_another_value(key, value, message, run):
    note = json.loads((run / 'run.json').read_text())
    (run / 'run.json').write_text(json.dumps({**note, key: value}))
    with pytest.raises(BadInputError, match=rf'run\.json: {message}'):
        collect(run, resamples=1)


def test_a_note_of_a_checkpoint_with_more_in_it(run):
    from lt_det.report.page.build import build

    note = json.loads((run / 'run.json').read_text())
    note['checkpoint']['id'] = float('nan')
    (run / 'run.json').write_text(json.dumps(note))
    assert build(collect(run, resamples=1))


def test_lines_of_a_log_that_are_none(run):
    path = run / '1' / 'vis_data' / 'scalars.json'
    path.write_bytes(b'\xff\xfe{\n[1]\n{"loss": "x", "step": 1}\n{"loss": 1, "step": []}\n')
    assert curves(find_run(run)) is None
    with path.open('a') as file:
        file.write('{"loss": 2.0, "step": 3}\n')
    assert curves(find_run(run))['loss'] == [[3, 2.0]]


@pytest.mark.parametrize(
    'state',
    [
        *(1, [1], '', None),
        {'done': 3, 'rows': 0.5, 'of': {}},
        {'done': 3, 'rows': ['x', 0], 'of': {}},
        {'done': 3, 'rows': [0, 0], 'of': [[]]},
        {'done': 3, 'rows': [0], 'of': {}},
        {'done': -1, 'rows': [0, 0], 'of': {}},
        {'done': True, 'rows': [0, 0], 'of': {}},
    ],
)
def test_a_state_of_a_sweep_that_is_none(state, tmp_path):
    (tmp_path / 'state.json').write_text(json.dumps(state))
    with pytest.raises(BadInputError, match=r'state\.json cannot be read .*; remove'):
        Spool(tmp_path, 2, {}, resume=True)


def test_rows_of_a_sweep_that_are_fewer_than_noted_are_not_filled_up(tmp_path):
    spool = Spool(tmp_path, 1, {})
    spool.append([np.ones(4, ROW)], 2)
    path = tmp_path / '000.rows'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInputError, match=r'000\.rows has .* bytes, expected at least'):
        Spool(tmp_path, 1, {}, resume=True)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = (', 'SyntaxError'),
        ('a = b', r"NameError in line 1 of .*mine\.py: name 'b' is not defined"),
        ('1 / 0', 'ZeroDivisionError'),
        ('_base_ = 3', 'cannot be read'),
        ('custom_hooks = 99', 'custom_hooks is 99, expected a list'),
        ('custom_hooks = [{}, "x"]', "custom_hooks.1 is 'x', expected a dict"),
        ('val_evaluator = [3]', 'val_evaluator.0 is 3, expected a dict'),
        ('model = []', r'model is \[\], expected a dict'),
        ('train_dataloader = "x"', "train_dataloader is 'x', expected a dict"),
    ],
)
def test_a_config_that_cannot_be_read(text, message, tmp_path):
    (tmp_path / 'mine.py').write_text(text)
    with pytest.raises(BadInputError, match=rf'config .*mine\.py.*{message}'):
        load_config(Namespace(config=str(tmp_path / 'mine.py'), cfg_options=None))


def test_a_diagnosis_file_that_is_none_is_named(run, tmp_path):
    from lt_det.cli.evaluate import diagnose

    (tmp_path / 'd.json').write_text('[')
    evaluator = evaluator_of('bbox')
    detections = evaluator.read(files.results())
    with pytest.raises(BadInputError, match=r'd\.json: not a json file'):
        diagnose(evaluator, detections, Namespace(diagnose=str(tmp_path / 'd.json')))


@pytest.mark.parametrize('write', ['text', 'classes'])
def test_what_is_written_takes_its_place_at_once(write, tmp_path):
    """On a disk without space the old file stays, and one line says why."""
    from lt_det.evaluation.per_class import write_per_class
    from lt_det.formats.files import write_text

    path = tmp_path / 'a.csv'
    path.write_text('old')
    (tmp_path / 'a.csv.part').mkdir()  # nothing can be written there
    with pytest.raises(UserError, match=r'a\.csv cannot be written'):
        write_text(path, 'new') if write == 'text' else write_per_class([{'a': 1}], path)
    assert path.read_text() == 'old'


def test_half_a_character_of_a_json_does_not_stop_a_page(tmp_path):
    from lt_det.formats.files import write_text

    write_text(tmp_path / 'a.html', json.loads('"a \\ud800 b \\u00f6"'))
    assert (tmp_path / 'a.html').read_bytes().decode() == 'a ? b ö'


def test_half_a_character_in_a_choice_does_not_stop_its_page(tmp_path):
    from lt_det.calibration.page import write_page

    choice, sweep = calibration_texts()
    content = json.loads(choice)
    content['selection']['num_images']['first'] = '\ud800'
    (tmp_path / 'choice.json').write_text(json.dumps(content))
    (tmp_path / 'sweep.csv').write_text(sweep)
    assert write_page(tmp_path).read_bytes().decode().endswith('</html>\n')


@pytest.mark.parametrize('ending', ['csv', 'parquet'])
def test_half_a_character_in_a_class_name_does_not_stop_the_table_of_classes(ending, tmp_path):
    from lt_det.evaluation.per_class import write_per_class

    if ending == 'parquet':
        pytest.importorskip('pyarrow')
    write_per_class([{'name': 'a \ud800', 'AP': 0.5}], tmp_path / f'a.{ending}')
    assert b'a ?' in (tmp_path / f'a.{ending}').read_bytes()


@pytest.mark.parametrize('number', ['nan', 'inf', '1e39'])
def test_a_word_vector_that_is_not_finite_is_no_missing_word(number, tmp_path):
    from lt_det.models.layers.word_vectors import read_word_vectors

    (tmp_path / 'v.txt').write_text(f'a 1 2\nb 1 {number}\n')
    assert read_word_vectors(str(tmp_path / 'v.txt'), ['a'], 2).tolist() == [[1, 2]]
    with pytest.raises(BadInputError, match=r'v\.txt:2 has a number that is not finite'):
        read_word_vectors(str(tmp_path / 'v.txt'), ['a', 'b'], 2)


@pytest.mark.parametrize('name', ['ENOSPC', 'EROFS', 'EMFILE'])
def test_what_the_machine_refuses_is_one_line(name, capsys):
    from lt_det.cli.common import user_errors

    number = getattr(errno, name)
    with pytest.raises(SystemExit) as caught, user_errors():
        raise OSError(number, os.strerror(number), 'a/b.pth')
    assert caught.value.code == 2
    assert capsys.readouterr().err == f'error: a/b.pth: {os.strerror(number)}\n'
    with pytest.raises(IsADirectoryError), user_errors():
        raise IsADirectoryError(errno.EISDIR, 'a fault of ours')


def test_a_log_that_cannot_be_written_is_one_line(capsys):
    from lt_det.cli.common import user_errors

    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, 'No space left on device')

        def flush(self):
            pass

    logger = logging.Logger('full')
    logger.addHandler(logging.StreamHandler(Full()))
    with user_errors():
        logger.error('one')
        logger.error('two')
    assert capsys.readouterr().err == (
        'warning: the log cannot be written: No space left on device\n'
    )
