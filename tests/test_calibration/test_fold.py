"""Folded checkpoints in a process where MMDetection is alone, and what is refused."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from lt_det.calibration.choice import read_choice
from lt_det.calibration.fold import MARK, fold
from lt_det.cli.main import main
from lt_det.errors import BadInputError, DataWarning, MissingFileError
from lt_det.formats.files import sha256

from .folding import CASES, Files, calibrated, detector_of, few_classes, scores_of


@pytest.fixture(scope='module')
def image(tiny_glyphs) -> Path:
    entry = json.loads(few_classes(tiny_glyphs).read_text())['images'][0]
    return next(tiny_glyphs.rglob(Path(entry['file_name']).name))


@pytest.fixture(scope='module')
def files(tmp_path_factory, tiny_glyphs, image) -> Iterator[dict[str, Files]]:
    root = tmp_path_factory.mktemp('fold')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {
        name: calibrated(case, root / name.replace(' ', '_'), tiny_glyphs, image)
        for name, case in CASES.items()
    }
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def stock(tmp_path_factory, files, image) -> dict[str, dict]:
    """What a process with MMDetection alone predicts with each folded checkpoint."""
    root = tmp_path_factory.mktemp('stock')
    cases = []
    for name, each in files.items():
        folded = each.fold(root / f'{name.replace(" ", "_")}.pth')
        assert folded.needs == []
        cases.append(
            dict(
                name=name,
                kind='detector',
                config=str(folded.config),
                checkpoint=str(folded.checkpoint),
                test=name == 'Mask R-CNN',
            )
        )
    (root / 'cases.json').write_text(json.dumps(cases))
    script = Path(__file__).with_name('stock_process.py')
    command = [sys.executable, script, root / 'cases.json', image, root / 'found.pth']
    result = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return torch.load(root / 'found.pth')


@pytest.mark.parametrize('name', CASES)
def test_stock_mmdetection_predicts_what_we_predict(name, files, stock, image):
    ours = scores_of(files[name].adjusted, files[name].checkpoint, image)
    theirs = stock[name]
    assert len(ours) == len(theirs['scores']) > 0
    torch.testing.assert_close(theirs['scores'], ours.scores, rtol=0, atol=1e-5)
    assert torch.equal(theirs['labels'], ours.labels)
    torch.testing.assert_close(theirs['bboxes'], ours.bboxes, rtol=0, atol=1e-2)
    before = scores_of(files[name].plain, files[name].checkpoint, image).scores
    assert len(before) != len(ours) or (before - ours.scores).abs().max() > 1e-3
    assert theirs['classes'] == files[name].plain.test_dataloader.dataset.metainfo.classes


def test_stock_data_is_that_of_our_data_set(files, stock):
    from mmdet.registry import DATASETS

    init_default_scope('mmdet')
    ours = DATASETS.build(copy.deepcopy(files['RetinaNet'].plain.test_dataloader.dataset))
    for theirs in stock.values():
        assert theirs['data']['images'] == len(ours)
        labels = ours[0]['data_samples'].gt_instances.labels
        assert torch.equal(theirs['data']['labels'], labels)


def test_stock_test_measures_what_ours_measures(files, stock):
    """AP under the federated rules of the file, which stock LVISMetric rounds to three digits."""
    from mmdet.registry import DATASETS, METRICS

    init_default_scope('mmdet')
    config = copy.deepcopy(files['Mask R-CNN'].adjusted)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    model = detector_of(config, files['Mask R-CNN'].checkpoint)
    with torch.no_grad():
        for item in dataset:
            batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
            metric.process(None, [sample.to_dict() for sample in model.test_step(batch)])
    ours = metric.evaluate(len(dataset))
    theirs = stock['Mask R-CNN']['metrics']
    for key in ('AP', 'AP50', 'APr', 'APc', 'APf'):
        assert theirs[f'lvis/bbox_{key}'] == pytest.approx(ours[f'lvis/bbox_{key}'], abs=6e-4)
    assert ours['lvis/bbox_AP'] > 0


@pytest.fixture
def case(files) -> Files:
    return files['Faster R-CNN']


def test_what_is_in_the_file(case, tmp_path):
    folded = case.fold(tmp_path / 'new' / 'stock.pth')
    assert folded.checkpoint == tmp_path / 'new' / 'stock.pth'
    assert {path.name for path in folded.checkpoint.parent.iterdir()} == {'stock.pth', 'stock.py'}
    content = torch.load(folded.checkpoint)  # as data
    assert set(content) == {'meta', 'state_dict'}
    mark = content['meta'][MARK]
    assert mark['setting'] == read_choice(case.choice).setting
    assert mark['checkpoint'] == sha256(case.checkpoint)
    assert content['meta']['cfg'] == folded.config.read_text()

    before = torch.load(case.checkpoint)['state_dict']
    state = content['state_dict']
    weights = {f'roi_head.bbox_head.fc_cls.{part}' for part in ('weight', 'bias')}
    assert set(folded.layers) == weights
    assert set(before) - set(state) == set(folded.dropped)
    assert {name.split('.')[-2] for name in folded.dropped} == {'statistics'}
    scale, shift = (
        torch.tensor(getattr(read_choice(case.choice).heads[0], key)) for key in ('scale', 'shift')
    )
    for name, value in state.items():
        if name not in weights:  # the averaged weights, which MMEngine saves as those
            assert torch.equal(value, before[name])
    fc = 'roi_head.bbox_head.fc_cls'
    torch.testing.assert_close(state[f'{fc}.weight'], before[f'{fc}.weight'] * scale[:, None])
    torch.testing.assert_close(state[f'{fc}.bias'], before[f'{fc}.bias'] * scale + shift)


def test_shared_branches_are_folded_once(files, tmp_path):
    case = files['Deformable DETR']
    folded = case.fold(tmp_path / 'stock.pth')
    names = [f'bbox_head.cls_branches.{n}.weight' for n in range(2)]
    assert set(names) <= set(folded.layers)
    before = torch.load(case.checkpoint)['state_dict']
    after = torch.load(folded.checkpoint)['state_dict']
    scale = torch.tensor(read_choice(case.choice).heads[0].scale)[:, None]
    for name in names:
        torch.testing.assert_close(after[name], before[name] * scale)
    assert after[names[0]].data_ptr() == after[names[1]].data_ptr()


def test_the_stock_config_has_nothing_of_ours(files, tmp_path):
    for name in ('Mask R-CNN', 'cosine', 'normed', 'federated', 'DINO'):
        folded = files[name].fold(tmp_path / f'{name}.pth')
        text = folded.config.read_text().partition('\n')[2]
        for word in ('LongTail', 'lt_det', 'adjustment', 'Compact', 'ClassIndexed', 'Cosine'):
            assert word not in text, (name, word)
        config = Config.fromfile(folded.config)
        assert 'custom_imports' not in config and 'train_cfg' not in config
        assert config.test_evaluator.metric == ['bbox']
    assert config.model.type == 'DINO'


def test_command_line(case, tmp_path, capsys):
    out = tmp_path / 'stock.pth'
    arguments = ['fold', str(case.checkpoint), str(case.choice), str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert 'the setting is folded into roi_head.bbox_head.fc_cls.bias' in printed
    assert 'left out: 3 entries' in printed and f'{out}, {out.with_suffix(".py")}' in printed
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (f'error: {out} exists, expected the name of a new file\n')


def test_folding_twice_is_refused(case, tmp_path):
    folded = case.fold(tmp_path / 'stock.pth')
    with pytest.raises(BadInputError, match=r'has been folded already \(the setting\)'):
        fold(folded.checkpoint, case.choice, tmp_path / 'again.pth')
    assert not (tmp_path / 'again.pth').exists()


def changed(case: Files, tmp_path: Path, **changes) -> Path:
    record = {**json.loads(case.choice.read_text()), **changes}
    path = tmp_path / 'choice.json'
    path.write_text(json.dumps(record))
    return path


def test_what_is_refused(case, files, tmp_path):
    out = tmp_path / 'stock.pth'

    def refused(message: str, kind: type = BadInputError, checkpoint=case.checkpoint, **changes):
        with pytest.raises(kind, match=message):
            fold(checkpoint, changed(case, tmp_path, **changes), out)
        assert not out.exists() and not out.with_suffix('.py').exists()

    refused('fold is false.*no gain', fold=False, reason='no gain')
    refused('is not the one that .*choice.json was chosen for', checkpoint=files['DINO'].checkpoint)
    refused(
        'config .*mine.py is not the one',
        sha256=dict(config='0', checkpoint=sha256(case.checkpoint)),
    )
    refused('none.py.*does not exist; --trust-checkpoint uses', MissingFileError, config='none.py')
    refused('checkpoint .*none.pth does not exist', MissingFileError, checkpoint='none.pth')
    head = json.loads(case.choice.read_text())['heads'][0]
    none = dict(head, scale=None, shift=None, not_affine='scores are divided')
    refused('no affine map.*scores are divided', heads=[none])
    refused('has layer bbox_head.fc, which FasterRCNN', heads=[dict(head, layers=['bbox_head.fc'])])
    refused('layer backbone is a ResNet without', heads=[dict(head, layers=['backbone'])])
    refused(r'weight has \d+ of 192 values', heads=[dict(head, scale=[1e39] * 3 + [1.0] * 3)])
    with pytest.raises(BadInputError, match=r'OUT is .*stock.pt, expected .* ends in .pth'):
        case.fold(tmp_path / 'stock.pt')
    (tmp_path / 'there.py').write_text('')
    with pytest.raises(BadInputError, match=r'there.py exists'):
        case.fold(tmp_path / 'there.pth')


def test_a_config_whose_modules_are_not_found(case, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("custom_imports = dict(imports=['no_such_module'])\n")
    digests = dict(config=sha256(config), checkpoint=sha256(case.checkpoint))
    choice = changed(case, tmp_path, config=str(config), sha256=digests)
    with pytest.raises(BadInputError, match='mine.py cannot be read: ImportError.*no_such_module'):
        fold(case.checkpoint, choice, tmp_path / 'stock.pth')


def test_the_config_of_the_checkpoint_where_the_file_is_gone(case, files, tmp_path):
    gone = changed(case, tmp_path, config=str(tmp_path / 'gone.py'))
    with pytest.warns(DataWarning, match='gone.py.*that of the training'):
        folded = fold(case.checkpoint, gone, tmp_path / 'stock.pth', trust=True)
    assert Config.fromfile(folded.config).model.type == 'FasterRCNN'


def test_choice_and_config_that_were_moved_together(case, tmp_path):
    moved = changed(case, tmp_path, config=str(tmp_path / 'elsewhere' / case.config.name))
    shutil.copy(case.config, moved.with_name(case.config.name))
    folded = fold(case.checkpoint, moved, tmp_path / 'stock.pth')
    assert Config.fromfile(folded.config).model.type == 'FasterRCNN'


def test_a_rule_that_normalised_layers_cannot_take(files, tmp_path):
    case = files['cosine']
    head = json.loads(case.choice.read_text())['heads'][0]
    other = changed(case, tmp_path, heads=[dict(head, scale=[1.0, 2.0, 1.0, 1.0, 1.0, 1.0])])
    with pytest.raises(
        BadInputError, match='NormedLinear, which divides the weights of each class'
    ):
        fold(case.checkpoint, other, tmp_path / 'stock.pth')
