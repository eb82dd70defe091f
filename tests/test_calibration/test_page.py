"""The page of a calibration: what it says, from choice.json and sweep.csv alone."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from lt_det.calibration.choice import Choice, HeadMap, read_choice
from lt_det.calibration.page import MINUS, STYLE, calibration_section, write_page
from lt_det.calibration.page_plots import SINGLE, arguments, breaks_keep, class_plot, panels
from lt_det.calibration.select import select
from lt_det.calibration.settings import Setting, default_settings
from lt_det.calibration.sweep_file import SweepRow, read_sweep, write_sweep
from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency
from lt_det.report.page.colours import colours

FAMILIES = ('NorCal', 'PriorShift', 'TauNorm + PriorShift', 'IIF(link=raw)')
HASHES = dict(config='1' * 64, checkpoint='2' * 64, held_out='3' * 64, train=None)


@cache
def calibrated(
    num_classes: int = 30, gain: float = 0.4, kind: str = 'detector', grid: str = 'some'
) -> tuple[Choice, tuple[Setting, ...]]:
    """A choice among settings of which NorCal or PriorShift help rare classes, by ``gain``.

    An image has one class and a score; the value of a class is the mean over its images. The last
    class has none.
    """
    rng = np.random.default_rng(0)
    settings = default_settings('softmax', kind == 'detector')
    if grid != 'default':
        families = FAMILIES if grid == 'some' else ()
        settings = [s for s in settings if not s.rules or s.family in families]
    count = np.geomspace(1, 2000, num_classes).astype(int)
    frequency = ClassFrequency(count, num_images=int(count.sum()))
    labels = np.repeat(np.arange(num_classes - 1), 8)
    rare = 1 - np.argsort(np.argsort(count)) / num_classes
    helps = ('NorCal', 'PriorShift')
    strength = np.array([s.strength if s.family in helps else -s.strength for s in settings])
    change = np.minimum(strength, 0.8)[:, None] * np.maximum(rare - 0.4, 0)
    change += 0.1 * strength[:, None] * np.minimum(rare - 0.4, 0)
    rises = gain * change[:, labels]
    scores = (
        rng.uniform(0.2, 0.4, len(labels)) + rises + rng.normal(0, 0.001 * (gain > 0), rises.shape)
    )

    def values(number: int, weights: np.ndarray) -> np.ndarray:
        rows = []
        for row in weights:
            with np.errstate(invalid='ignore'):
                total = np.bincount(labels, row, num_classes)
                rows.append(np.bincount(labels, row * scores[number], num_classes) / total)
        return np.array(rows)

    everything, counts = np.ones(num_classes, bool), np.bincount(labels, minlength=num_classes)
    if kind == 'detector':
        group = np.char.add('AP', frequency.groups('lvis'))
        groups = {'AP': everything, **{name: group == name for name in ('APr', 'APc', 'APf')}}
        held = {'annotations': 3 * counts, 'images': counts}
    else:
        group = frequency.groups('shot')
        groups = {'macro': everything, **{n: group == n for n in ('many', 'medium', 'few')}}
        held = {'images': counts}
    selection = select(
        settings,
        values,
        groups,
        np.ones(len(labels), bool),
        metric=next(iter(groups)),
        resamples=20,
        strata=labels,
        positives=held,
    )
    chosen = settings[selection.chosen]
    names = [f'class {number}' for number in range(num_classes)]
    names[:2] = ['<b>cat</b>', 'dög & "pup"']
    extra = kind == 'detector'
    size = num_classes + extra
    choice = Choice(
        kind=kind,
        fold=selection.fold,
        reason=selection.reason,
        setting=dict(name=chosen.name, rules=[dict(rule) for rule in chosen.rules]),
        classes=names,
        heads=[HeadMap('head', 'softmax', int(extra), ['head.fc'], [1.0] * size, [0.0] * size)],
        image_count=count.tolist(),
        instance_count=count.tolist(),
        num_images=frequency.num_images,
        metric=selection.metric,
        keep=selection.keep,
        selection=selection.as_dict(),
        config='configs/<mine>.py',
        checkpoint='epoch_12.pth',
        sha256=HASHES,
        iou_type='bbox' if extra else None,
        per_class={'group': group.tolist(), **{k: v.tolist() for k, v in held.items()}},
    )
    return choice, tuple(settings)


def rows_of(settings, choice: Choice) -> list[SweepRow]:
    metrics = choice.selection['metrics']
    return [SweepRow(s.name, s.family, s.strength, m) for s, m in zip(settings, metrics)]


def written(folder, choice: Choice, settings) -> None:
    choice.write(folder / 'choice.json')
    metrics = choice.selection['metrics']
    write_sweep(folder / 'sweep.csv', settings, SimpleNamespace(metrics=metrics))


class Reader(HTMLParser):
    """Text, attributes that may load something, and elements left open."""

    void = ('meta', 'img', 'br', 'link')
    optional = ('tr', 'td', 'th', 'li')  # html closes them

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.links, self.tags, self.open, self.wrong = [], [], [], [], []
        self.feed(text)
        self.text = ' '.join(' '.join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ('src', 'href')]
        if tag not in self.void + self.optional:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.optional and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != 'style':
            self.words.append(data)


def pictures(text: str) -> list[ElementTree.Element]:
    """The plots of a page, whose every reference is to a part of the same plot."""
    found = re.findall(r'<svg.*?</svg>', text, re.S)
    plots = [ElementTree.fromstring(plot.replace('xlink:href', 'href')) for plot in found]
    for text, plot in zip(found, plots):
        own = [element.get('id') for element in plot.iter() if element.get('id')]
        assert len(own) == len(set(own)) > 0
        assert set(re.findall(r'(?:href="#|url\(#)(.*?)[")]', text)) <= set(own)
    ids = [set(re.findall(r'\bid="(.*?)"', text)) for text in found]
    assert not (len(ids) == 2 and ids[0] & ids[1])
    return plots


def signed(value: float) -> str:
    return f'{value:+.4f}'.replace('-', MINUS)


@pytest.mark.parametrize('kind', ['detector', 'classifier'])
def test_the_page_is_whole_and_says_what_was_chosen(tmp_path, kind):
    choice, settings = calibrated(kind=kind)
    assert choice.fold
    written(tmp_path, choice, settings)
    page = write_page(tmp_path)
    assert page == tmp_path / 'calibration.html'
    text = page.read_text(encoding='utf-8')
    reader = Reader(text)
    assert reader.open == reader.wrong == []
    assert not {'script', 'img', 'link'} & set(reader.tags) and 'http' not in text
    assert reader.links == [] and len(pictures(text)) == 2
    gain = choice.selection['gains'][choice.metric]
    assert f'Take {choice.setting["name"]} :' in reader.text
    assert f'by {gain["gain"]:.4f} on images' in reader.text
    assert f'{signed(gain["interval"][0])} to {signed(gain["interval"][1])}' in reader.text
    assert f'compared on {29 * 8} images' in reader.text
    for name, metrics in choice.selection['metrics'][0].items():
        assert f'{name} ' in reader.text and f'{metrics:.4f}' in reader.text
    for found in choice.selection['positives'].values():
        objects = found['annotations' if kind == 'detector' else 'images']
        assert f'{found["classes"]} classes {objects} ' in reader.text
    for digest in HASHES.values():
        assert (digest or 'no such file') in reader.text
    # names are text, not html
    assert '<b>cat</b>' in reader.text and 'dög & "pup"' in reader.text
    assert 'configs/<mine>.py' in reader.text
    assert 'None' not in reader.text and 'nan' not in reader.text
    # the same files, the same page
    assert write_page(tmp_path).read_text(encoding='utf-8') == text


def test_the_section_alone():
    choice, settings = calibrated()
    section = calibration_section(choice, rows_of(settings, choice))
    assert section.startswith('<section class="calibration">') and section.endswith('</section>')
    assert '<style' not in section and '<body' not in section
    assert all(line.startswith('.calibration ') for line in STYLE.strip().splitlines())


@pytest.mark.parametrize('kind', ['detector', 'classifier'])
def test_plots_take_their_colours_from_the_page(kind):
    """None is fixed, so that a dark page has light letters; groups have those of all plots."""
    choice, settings = calibrated(kind=kind)
    section = calibration_section(choice, rows_of(settings, choice))
    assert not re.findall(r'#[0-9a-f]{6}\b', section.split('SHA-256')[0])
    used = set(re.findall(r'var\((--\w+)\)', section))
    assert used == {'--page', '--soft', '--chosen', '--rare', '--common', '--frequent'}
    assert used <= set(re.findall(r'(--\w+):', colours() + STYLE))
    assert '<style' not in section and '<!--' not in section
    labels = [plot.get('aria-label') for plot in pictures(section)]
    assert labels[1] == 'Change of 29 classes against their training images'
    names = 'AP, APr, APc, APf' if kind == 'detector' else 'macro, few, medium, many'
    assert labels[0] == f'Change of {names} against the strength of rules'


def test_masks_of_a_choice_by_boxes():
    choice, settings = calibrated()
    names = choice.selection['metrics'][0]
    masks = dict(before=dict.fromkeys(names, 0.25), after={**dict.fromkeys(names, 0.25), 'AP': 0.5})
    rows = rows_of(settings, choice)
    text = calibration_section(replace(choice, masks=masks), rows)
    assert '<td>0.2500<td>0.5000<td>+0.2500' in text and 'chosen by boxes' in text
    assert 'chosen by boxes' not in calibration_section(choice, rows)


def test_class_tables_have_the_largest_changes_in_order():
    choice, settings = calibrated(60)
    section = calibration_section(choice, rows_of(settings, choice))
    before, after = (np.array(choice.selection[k], float) for k in ('before', 'after'))
    change = after - before
    order = [n for n in np.argsort(-change, kind='stable') if not np.isnan(change[n])]
    ups = [n for n in order if change[n] > 0]
    downs = [n for n in order[::-1] if change[n] < 0]
    assert len(ups) > 20 and len(downs) > 20
    tables = re.findall(r'<table>.*?</table>', section, re.S)[1:]
    assert len(tables) == 3
    for table, wanted in zip(tables, (ups[:20], downs[:20], order)):
        cells = [line.split('<td>')[1:] for line in table.splitlines() if '<td>' in line]
        assert [float(row[5].split('<')[0].replace(MINUS, '-')) for row in cells] == [
            pytest.approx(change[n], abs=6e-4) for n in wanted
        ]
        assert [row[1:3] for row in cells] == [
            [str(choice.image_count[n]), str(choice.per_class['annotations'][n])] for n in wanted
        ]
    assert f'{len(ups)} of 59 classes rise and {len(downs)} fall' in section
    assert 'nothing to find there (1).' in section


def test_a_model_that_is_left_as_it_is():
    """The candidate is shown where there is one, and never as something to take."""
    choice, settings = calibrated(gain=0.0)
    assert not choice.fold
    section = calibration_section(choice, rows_of(settings, choice))
    text = Reader(section).text
    assert f'Leave the model as it is: {choice.reason}.' in text and 'Take ' not in text
    assert choice.selection['candidate'] == 0 and 'candidate' not in text
    shown = replace(choice, selection={**choice.selection, 'candidate': 5})
    text = Reader(calibration_section(shown, rows_of(settings, shown))).text
    assert f'The best candidate was {settings[5].name}.' in text
    assert '(not taken)' in text and 'Take ' not in text


def test_the_identity_alone():
    choice, settings = calibrated(grid='identity')
    section = calibration_section(choice, rows_of(settings, choice))
    reader = Reader(section)
    assert 'there is no setting but the identity' in reader.text
    assert reader.open == reader.wrong == [] and len(pictures(section)) == 1
    assert 'Class by class' not in reader.text


def test_many_classes_stay_small(tmp_path):
    choice, settings = calibrated(1203, grid='default')
    written(tmp_path, choice, settings)
    assert write_page(tmp_path).stat().st_size < 1_000_000
    several = {k: 3 * choice.selection[k] for k in ('before', 'after')}
    per_class = {k: 3 * values for k, values in choice.per_class.items()}
    selection = {**choice.selection, **several}
    larger = replace(
        choice, selection=selection, per_class=per_class, image_count=3 * choice.image_count
    )
    assert len(class_plot(larger)) < 200_000


def test_without_what_is_not_known():
    """Groups without classes, and a choice.json of before classes were described."""
    choice, settings = calibrated()
    selection = {**choice.selection, 'gains': dict(choice.selection['gains'])}
    selection['gains']['APr'] = dict(gain=None, interval=None, halves=[None, None])
    selection['metrics'] = [{**row, 'APr': None} for row in selection['metrics']]
    bare = replace(choice, selection=selection, per_class={}, iou_type=None)
    section = calibration_section(bare, rows_of(settings, bare))
    reader = Reader(section)
    assert '– to –' in reader.text and 'Class by class' not in reader.text
    assert reader.open == reader.wrong == [] and len(pictures(section)) == 1


def test_panels_and_their_axes():
    settings = default_settings('softmax', True)
    rows = [SweepRow(s.name, s.family, s.strength, {}) for s in settings]
    shown = panels(rows)
    assert sorted(n for numbers in shown.values() for n in numbers) == list(range(1, len(rows)))
    single = shown.pop(SINGLE)
    assert {rows[n].family for n in single} == {
        f'IIF(link={link})' for link in ('raw', 'smooth', 'rel', 'base10')
    }
    for family, numbers in shown.items():
        assert {rows[n].family for n in numbers} == {family}
    axes = {row.name: arguments(row) for row in rows}
    assert axes['NorCal(gamma=0.3)'] == {'gamma': 0.3}
    assert axes['PriorShift(tau=0.25, count=instance)'] == {'tau': 0.25}
    assert axes['Temperature(temperature=0.5)'] == {'temperature': 0.5}
    assert axes['TauNorm(tau=0.5) + NorCal(gamma=0.3)'] == {'tau': 0.5, 'gamma': 0.3}
    assert axes['IIF(link=raw)'] == {'strength': 1.0}
    both = Setting.of(dict(type='TauNorm', tau=0.5), dict(type='PriorShift', tau=1e-7))
    row = SweepRow(both.name, both.family, both.strength, {})
    assert arguments(row) == {'tau 1': 0.5, 'tau 2': 1e-7}
    mixed = Setting.of(dict(type='IIF', link='raw'), dict(type='Temperature', temperature=2.0))
    assert arguments(SweepRow(mixed.name, mixed.family, 1.0, {})) == {'temperature': 2.0}


def test_which_settings_are_hollow():
    identity = {'AP': 0.3, 'APf': 0.4}
    assert breaks_keep({'AP': 0.5, 'APf': 0.39}, identity, {'APf': 0.005})
    assert not breaks_keep({'AP': 0.2, 'APf': 0.396}, identity, {'APf': 0.005})
    assert not breaks_keep({'AP': 0.2, 'APf': 0.1}, identity, {})
    assert not breaks_keep({'APf': None}, {'APf': None}, {'APf': 0.005})


def test_sweep_is_read_as_it_was_written(tmp_path):
    choice, settings = calibrated()
    written(tmp_path, choice, settings)
    rows = read_sweep(tmp_path / 'sweep.csv')
    assert [(r.name, r.family, r.strength) for r in rows] == [
        (s.name, s.family, s.strength) for s in settings
    ]
    for row, metrics in zip(rows, choice.selection['metrics']):
        assert row.metrics == pytest.approx(metrics, abs=1e-6)


def test_files_that_do_not_fit_are_refused(tmp_path):
    choice, settings = calibrated()
    with pytest.raises(MissingFileError, match=r'choice\.json does not exist'):
        write_page(tmp_path)
    choice.write(tmp_path / 'choice.json')
    with pytest.raises(MissingFileError, match=r'sweep\.csv does not exist'):
        write_page(tmp_path)
    written(tmp_path, choice, settings)
    path = tmp_path / 'sweep.csv'
    lines = path.read_text().splitlines()
    for text, message in (
        ('\n'.join(lines[:-1]), 'settings are not those of choice.json'),
        ('\n'.join(lines).replace('strength', 'power', 1), 'there is no column strength'),
        ('\n'.join([*lines[:3], lines[3].replace(',0.', ',x.', 1)]), r'line 4: could not convert'),
    ):
        path.write_text(text)
        with pytest.raises(BadInputError, match=message) as error:
            write_page(tmp_path)
        assert str(error.value).startswith(str(path)) and '\n' not in str(error.value)
    assert not (tmp_path / 'calibration.html').exists()
    assert read_choice(tmp_path / 'choice.json') == choice
