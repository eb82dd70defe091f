"""The command: its page, its json and its exit status."""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from lt_det.cli import inspect
from lt_det.cli.common import user_errors
from lt_det.inspection import inspect_files
from tests.test_inspection.defects import ANNOTATIONS, OTHERS, REFUSED, content_of


def command(*words: object) -> int:
    parser = argparse.ArgumentParser()
    inspect.add_arguments(parser)
    with user_errors():
        return inspect.run(parser.parse_args([str(word) for word in words])) or 0


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(content_of()))
    return path


def test_a_page_for_plain_data(plain, tiny_glyphs, capsys):
    annotations = tiny_glyphs / 'annotations'
    words = annotations / 'glyphs_train.json', annotations / 'glyphs_val.json'
    assert command(*words, '--images', tiny_glyphs) == 0
    page = capsys.readouterr().out
    lines = page.splitlines()
    assert len(lines) <= 40  # a screen
    assert max(len(line) for line in lines[:-1]) <= 100  # the command may be longer
    assert 'nothing is lost or refused' in page
    assert '\x1b' not in page  # plain where it is piped
    assert f'lt_det init {words[0]} {words[1]} --images {tiny_glyphs} --model' in lines[-1]


def test_a_page_with_problems(plain, capsys):
    content = content_of()
    content['annotations'][3]['area'] = 0
    content['annotations'][4]['category_id'] = 99
    content['annotations'][5]['iscrowd'] = 1
    plain.write_text(json.dumps(content))
    assert command(plain) == 1
    page = capsys.readouterr().out
    assert 'lost or refused: 2 kinds' in page
    assert 'to know: 1 kind\n' in page
    assert 'train: annotations with an area of 0: 1 (4)\n' in page
    assert '    training: dropped (not trained on and not counted; its place is backgr' in page
    assert 'annotation 5 has category_id 99, which is not in categories' in page
    assert page.index('category_id 99') < page.index("with 'iscrowd' set: 1 (6)")


def test_the_json_says_the_same(plain, tmp_path, capsys):
    content = content_of()
    content['annotations'][3]['area'] = 0
    plain.write_text(json.dumps(content))
    assert command(plain, plain, '--json', '-') == 1
    printed = json.loads(capsys.readouterr().out)
    target = tmp_path / 'answer.json'
    assert command(plain, plain, '--json', target) == 1
    assert json.loads(target.read_bytes()) == printed
    assert 'with an area of 0' in capsys.readouterr().out  # the page too
    found = inspect_files(str(plain), str(plain))
    assert printed == orjson.loads(orjson.dumps(found.as_dict()))
    assert printed['problems'][0] == {
        'file': 'train',
        'kind': 'area_zero',
        'count': 1,
        'counted': 'annotations',
        'text': 'annotations with an area of 0',
        'first': [4],
        'training': {
            'what': 'dropped',
            'text': 'not trained on and not counted; its place is background',
        },
        'evaluation': {'what': 'dropped', 'text': 'not scored'},
        'lost': True,
    }


def test_the_help_names_every_key_of_the_json(plain):
    answer = inspect_files(plain, plain).as_dict()
    keys = {*answer, *answer['classes'], *answer['recommendation'], *answer['files']['val']}
    keys |= {key for problem in answer['problems'] for key in problem}
    assert {key for key in keys if key not in inspect.__doc__} == set()


@pytest.mark.parametrize(('kind', 'count', 'apply'), ANNOTATIONS + OTHERS + REFUSED)
def test_the_status_is_one_where_something_is_lost(plain, capsys, kind, count, apply):
    content = content_of()
    apply(content)
    plain.write_text(json.dumps(content))
    status = command(plain)
    assert status == inspect_files(plain).status
    assert ('nothing is lost or refused' in capsys.readouterr().out) == (status == 0)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['none.json'], 'annotation file none.json does not exist'),
        (['TRAIN', 'none.json'], 'annotation file none.json does not exist'),
        (['TRAIN', '--images', 'none'], '--images is none, expected a folder that exists'),
        (['TRAIN', '--json', 'none/a.json'], '--json is none/a.json, in a folder that does not'),
    ],
)
def test_a_wrong_call(plain, capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        command(*[plain if word == 'TRAIN' else word for word in words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('content', ['', '[', '[]', '{"images": 3}', 'null', '\x00'])
def test_the_other_file_is_inspected_where_one_cannot_be_read(plain, tmp_path, capsys, content):
    broken = tmp_path / 'broken.json'
    broken.write_text(content)
    assert command(broken, plain) == 1
    page = capsys.readouterr().out
    assert '  4 images, 13 annotations, 4 classes, evaluated by the rules of LVIS' in page
    assert 'train: files that cannot be read: 1 (broken.json)' in page
    assert 'recommendation' not in page
    assert command(plain, broken) == 1
    assert 'recommendation: softmax' in capsys.readouterr().out


def test_names_that_cannot_be_printed(plain, capsys):
    content = content_of()
    content['categories'][0]['name'] = 'caf\u00e9\ud800'
    plain.write_text(json.dumps(content))
    assert command(plain) == 0
    assert 'caf\u00e9\\ud800 4/4' in capsys.readouterr().out
    assert command(plain, '--json', '-') == 0
    rarest = json.loads(capsys.readouterr().out)['classes']['rarest']
    assert 'caf\u00e9\ud800' in [row['name'] for row in rarest]


def test_what_is_refused_is_to_be_mended_before_the_next_command(plain, tmp_path, capsys):
    content = content_of()
    content['categories'].append(dict(id=9, name='none'))
    plain.write_text(json.dumps(content))
    assert command(plain) == 1
    assert '\nnext:  lt_det init' in capsys.readouterr().out  # which leaves that class out
    content['images'][0]['file_name'] = None
    plain.write_text(json.dumps(content))
    assert command(plain) == 1
    assert '\nwhen that is mended:  lt_det init' in capsys.readouterr().out


def test_an_inspection_imports_no_framework():
    code = 'import sys, lt_det.inspection, lt_det.inspection.text; print({*sys.modules})'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout)
    assert not loaded & {'torch', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'hotcoco', 'matplotlib'}
