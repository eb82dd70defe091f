"""The report page in a browser: how it looks, what it leaves out, how fast it is."""

from __future__ import annotations

import base64
import copy
import re

import numpy as np
import pytest

from lt_det.report.page.thumbnails import veil

from .page_browser import DATA, drawn, opened, picture, texts, written

NAMES = DATA['classes']['name']
GROUPS = ('r', 'c', 'f')


# looks


def luminance(colour: str) -> float:
    value = np.array([float(v) for v in re.findall(r'[\d.]+', colour)[:3]]) / 255
    value = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(value @ [0.2126, 0.7152, 0.0722])


CONTRASTS = """(selectors) => selectors.map((s) => {
  const e = document.querySelector(s);
  return getComputedStyle(e)[s.startsWith('.chart') ? 'fill' : 'color'];
})"""


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_light_and_dark(browser, file, scheme):
    with opened(browser, file, color_scheme=scheme) as page:
        back = page.evaluate('getComputedStyle(document.body).backgroundColor')
        assert (luminance(back) > 0.5) == (scheme == 'light')
        selectors = ['main', '.small', 'nav a', '.difference.up', '.difference.down']
        selectors += ['.chart .axis text', '.chart .axis-name', '.chart .bar-names text']
        for selector, colour in zip(selectors, page.evaluate(CONTRASTS, selectors)):
            high, low = sorted((luminance(colour), luminance(back)), reverse=True)
            assert (high + 0.05) / (low + 0.05) > 4.5, selector  # WCAG 2.2, AA
        picture(page, f'detector_1440_{scheme}')
        page.locator('#theme').click()
        page.locator('#theme').click()
        assert luminance(page.evaluate('getComputedStyle(document.body).backgroundColor')) < 0.1


@pytest.mark.parametrize('kind', ['detector', 'classifier'])
def test_phone(browser, tmp_path, kind):
    file = written(DATA if kind == 'detector' else classifier(), tmp_path)
    with opened(browser, file, width=390, has_touch=True, is_mobile=True) as page:
        assert page.evaluate('document.documentElement.scrollWidth') <= 390
        small = page.evaluate(
            """() => [...document.querySelectorAll('main *, .chart text')]
              .filter((e) => e.childNodes.length && e.firstChild.nodeType === 3
                && e.offsetParent !== null && parseFloat(getComputedStyle(e).fontSize) < 12)
              .map((e) => e.outerHTML.slice(0, 100))"""
        )
        assert small == []
        cut = page.evaluate(
            """() => [...document.querySelectorAll('.chart text')].filter((e) => {
              const [box, host] = [e, e.closest('.chart')].map((x) => x.getBoundingClientRect());
              return box.width && (box.left < host.left - 2 || box.right > host.right + 2);
            }).map((e) => e.textContent)"""
        )
        assert cut == []
        picture(page, f'{kind}_390')


def test_print(browser, file):
    with opened(browser, file, color_scheme='dark') as page:
        page.emulate_media(media='print')
        assert luminance(page.evaluate('getComputedStyle(document.body).backgroundColor')) > 0.9
        assert not page.locator('.top').is_visible()
        assert not page.locator('.controls').first.is_visible()
        folded = page.locator('details:not([open])').count()
        assert folded > 0 and len(page.pdf()) > 20_000
        assert page.locator('details:not([open])').count() == folded  # again


def test_paper_has_all_classes_and_columns(browser, tmp_path):
    data = {**large(), 'gallery': []}
    with opened(browser, written(data, tmp_path), width=704) as page:  # A4, margins of 12 mm
        page.emulate_media(media='print')
        page.locator('#classes input[type=search]').evaluate(
            "e => { e.value = '11'; e.dispatchEvent(new Event('input')); }"
        )
        rows = page.locator('.classes tbody tr')
        expected = sum('11' in name for name in data['classes']['name'])
        assert expected > 25 == rows.count()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert rows.count() == expected
        table, room = (page.locator(s).bounding_box() for s in ('.classes', 'main'))
        assert table['x'] + table['width'] <= room['x'] + room['width']
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert rows.count() == 25


# other runs


def without(**parts) -> dict:
    return {**copy.deepcopy(DATA), **parts}


def classifier() -> dict:
    data = copy.deepcopy(DATA)
    new = {'r': 'few', 'c': 'medium', 'f': 'many', 'all': 'all'}
    data.update(kind='classifier', iou_type=None, errors=None, inspect=None)
    data['groups'] = {new[k]: v for k, v in data['groups'].items()}
    classes = data['classes']
    classes['group'] = [new[g] for g in classes['group']]
    classes.update(ap={'accuracy': classes['ap']['bbox']}, ar=None, false_positives=None)
    classes['against']['ap'] = {'accuracy': classes['against']['ap']['bbox']}
    data['tiles'] = data['tiles'][:5]
    for tile, metric in zip(data['tiles'], ('top1', 'macro', 'many', 'medium', 'few')):
        tile.update(metric=metric, iou_type=None)
    data['flows']['columns'] = ['correct', 'few', 'medium', 'many', 'missed']
    for part in ('flows', 'scores'):
        data[part]['groups'] = {new[k]: v for k, v in data[part]['groups'].items()}
    return data


def test_classifier(browser, tmp_path):
    data = classifier()
    png = base64.b64encode(veil(np.eye(4, dtype=np.float16))).decode()
    for crop in data['gallery']:
        crop['veil'] = f'data:image/png;base64,{png}'
    with opened(browser, written(data, tmp_path)) as page:
        assert page.locator('#gallery .veil').count() == page.locator('.crop').count() > 0
        page.get_by_label('attention').uncheck()
        assert not page.locator('#gallery .veil').first.is_visible()
        page.get_by_label('attention').check()
        assert page.locator('#gallery .veil').first.is_visible()
        assert texts(page, '.tile .metric')[0] == 'top1'
        assert page.locator('.dot').first.is_visible()
        assert 'accuracy' in texts(page, '.classes thead th')
        assert page.locator('#scores .card').count() == 3
        picture(page, 'classifier_1440')


def test_no_groups(browser, tmp_path):
    data = without(groups={})
    data['classes']['group'] = [''] * len(NAMES)
    for part in ('errors', 'scores'):
        data[part]['groups'] = {'all': data[part]['groups']['all']}
    data['flows'].update(columns=['correct', 'other', 'missed'], groups={'all': [5, 3, 2]})
    with opened(browser, written(data, tmp_path)) as page:
        assert page.locator('.scatter .dot').count() == 9
        assert page.locator('#errors .bars rect').count() == len(data['errors']['kinds'])
        assert page.locator('.flows path').count() == 3


def test_no_baseline(browser, tmp_path):
    data = without()
    data['classes']['against'] = None
    data['provenance']['against'] = None
    for tile in data['tiles']:
        tile.update(against=None, difference=None, difference_interval=None)
    with opened(browser, written(data, tmp_path)) as page:
        assert page.locator('.difference, .arrow').count() == 0
        assert 'difference' not in texts(page, '.classes thead th')


def test_what_is_missing_is_left_out(browser, tmp_path):
    nothing = dict.fromkeys(('classes', 'errors', 'flows', 'scores', 'curves', 'inspect'))
    data = without(**nothing, calibration_html=None, gallery=[], tiles=DATA['tiles'][:1])
    keys = ('checkpoint', 'data', 'config', 'command', 'date', 'against', 'max_dets')
    data['provenance'].update(dict.fromkeys(keys))
    with opened(browser, written(data, tmp_path)) as page:
        assert texts(page, 'nav a') == ['Numbers', 'Notes']
        assert page.locator('section:visible').count() == 2
        assert DATA['notes'][0] in page.locator('#notes').text_content()


# size


def large() -> dict:
    """1203 classes and 200 crops of 25 kB."""
    data, rng, size = copy.deepcopy(DATA), np.random.default_rng(0), 1203
    number = lambda high: rng.integers(1, high, size).tolist()  # noqa: E731
    images = np.sort(10 ** rng.uniform(0, 4, size)).astype(int)
    ap, old = (np.clip(np.log10(images) / 8 + rng.normal(0, 0.1, size), 0, 1) for _ in range(2))
    data['classes'] = {
        'name': [f'class number {i}' for i in range(size)],
        'group': [GROUPS[int(n > 10) + int(n > 100)] for n in images],
        'train_images': images.tolist(),
        'train_instances': (2 * images).tolist(),
        'images': number(100),
        'annotations': number(300),
        'ap': {'bbox': ap.tolist(), 'segm': (ap * 0.9).tolist()},
        'ar': {'bbox': ap.tolist(), 'segm': ap.tolist()},
        'hits': number(100),
        'misses': number(100),
        'false_positives': number(1000),
        'confused_with': [{'class': i, 'count': 3} for i in number(size)],
        'against': {
            'ap': {'bbox': old.tolist(), 'segm': old.tolist()},
            'difference': (ap * 0.9 - old).tolist(),
            'interval': np.stack([ap * 0.9 - old - 0.05, ap * 0.9 - old + 0.05], 1).tolist(),
        },
    }
    pairs = zip(number(size), number(size), sorted(number(900), reverse=True))
    confusions = [{'truth': a, 'predicted': b, 'count': n} for a, b, n in pairs]
    data['flows']['confusions'] = confusions
    crops = data['gallery']
    for crop in crops:  # what follows the picture is not looked at
        crop['src'] += 'A' * (25_000 * 4 // 3 - len(crop['src']))
    data['gallery'] = [crops[i % len(crops)] for i in range(200)]
    return data


def test_1203_classes(browser, tmp_path):
    file = written(large(), tmp_path)
    assert file.stat().st_size < 8e6
    context = browser.new_context(viewport={'width': 1440, 'height': 900})
    blank = context.new_page()
    tool = context.new_cdp_session(blank)
    # the processor's time of the page's thread, which other processes do not change
    tool.send('Performance.enable', {'timeDomain': 'threadTicks'})

    def seconds() -> float:
        metrics = {m['name']: m['value'] for m in tool.send('Performance.getMetrics')['metrics']}
        return metrics['ThreadTime']

    start = seconds()
    blank.goto(file.as_uri())
    drawn(blank)
    assert blank.locator('.scatter .dot').count() == 1203
    ready = seconds()
    assert ready - start < 2
    blank.get_by_role('button', name='box AP', exact=True).click()
    blank.locator('#classes input[type=search]').fill('7')
    assert blank.locator('.classes tbody tr').count() == 25
    assert seconds() - ready < 1
    context.close()
