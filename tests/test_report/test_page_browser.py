"""The report page in a browser: what it shows is what the data says, and it can be used."""

from __future__ import annotations

import copy
import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from .page_browser import DATA, opened, shown, texts, written

NAMES = DATA['classes']['name']
GROUPS = ('r', 'c', 'f')


def column(page, title: str) -> list[str]:
    heads = [re.sub(r'\s*[▲▼]', '', text) for text in texts(page, '.classes thead th')]
    return texts(page, f'.classes tbody tr > :nth-child({heads.index(title) + 1})')


def numbers_of(data) -> set[float]:
    if isinstance(data, dict | list):
        values = data.values() if isinstance(data, dict) else data
        return set().union(*map(numbers_of, values))
    return {float(data)} if isinstance(data, int | float) else set()


# numbers


def test_tiles(page):
    tiles = page.locator('.tile').all()
    assert len(tiles) == len(DATA['tiles'])
    for tile, expected in zip(tiles, DATA['tiles']):
        assert expected['metric'] in tile.locator('.metric').text_content()
        assert tile.locator('.value').text_content() == shown(expected['value'])
        low, high = expected['difference_interval']
        line = tile.locator('.difference')
        text = shown(expected['difference'], sign=True)
        arrow = '▲ ' if low > 0 else '▼ ' if high < 0 else ''
        assert line.locator('.number').first.text_content().startswith(arrow + text)
        colour = 'up' if low > 0 else 'down' if high < 0 else 'same'
        assert line.get_attribute('class') == f'difference {colour}'
    colours = {c: page.locator(f'.difference.{c}').first for c in ('up', 'down', 'same')}
    seen = {c: at.evaluate('(e) => getComputedStyle(e).color') for c, at in colours.items()}
    assert len(set(seen.values())) == 3


def test_every_number_is_one_of_the_data(page):
    known = numbers_of(DATA)
    for scores in DATA['scores']['groups'].values():
        known |= {float(sum(scores['hits'])), float(sum(scores['false_positives']))}
    values = page.locator('[data-value]').evaluate_all('(all) => all.map((e) => e.dataset.value)')
    values = [float(value) for value in values if value not in ('null', 'undefined')]
    assert len(values) > 300
    assert set(values) <= known


def test_provenance(page):
    text = page.locator('.provenance').text_content()
    provenance = DATA['provenance']
    parts = [provenance[k] for k in ('protocol', 'comparable', 'config', 'command', 'against')]
    parts += [*provenance['checkpoint'].values(), provenance['data']['file'], '283 annotations']
    for part in [*parts, 'at most 300 detections', *map(' '.join, provenance['versions'].items())]:
        assert part in text


def test_table_shows_every_class(page):
    classes = DATA['classes']
    order = np.argsort(classes['train_images'], kind='stable')
    assert column(page, 'class') == [NAMES[i] for i in order]
    for title, values in (
        ('box AP', classes['ap']['bbox']),
        ('mask AP', classes['ap']['segm']),
        ('mask AR', classes['ar']['segm']),
    ):
        assert column(page, title) == [shown(values[i]) for i in order]
    for title in ('training_images', 'images', 'annotations', 'hits', 'misses', 'false_positives'):
        values = classes['train_images' if title == 'training_images' else title]
        assert column(page, title.replace('_', ' ')) == [f'{values[i]:,}' for i in order]
    differences = [shown(classes['against']['difference'][i], sign=True) for i in order]
    assert [text.lstrip('▲▼ ') for text in column(page, 'difference')] == differences
    confused = [classes['confused_with'][i] for i in order]
    expected = [f'{NAMES[c["class"]]} ×{c["count"]}' if c else '–' for c in confused]
    assert column(page, 'most confused with') == expected


def ticks(page, selector: str, attribute: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and places of the ticks of an axis."""
    found = page.locator(f'{selector} .tick').evaluate_all(
        '(all) => all.map((t) => [t.textContent, t.getAttribute("transform")])'
    )
    values = [
        float(t.replace('k', 'e3').replace(',', '').replace('\N{MINUS SIGN}', '-'))
        for t, _ in found
    ]
    places = [float(re.findall(r'-?[\d.]+', place)[attribute]) for _, place in found]
    return np.array(values), np.array(places)


def test_marks_are_where_the_data_says(page):
    """Recomputed from the ticks of the axes alone."""
    x, y = ticks(page, '.scatter .axis:not(.lines)', 0), ticks(page, '.scatter .axis.lines', 1)
    to_x = np.polyfit(np.log10(x[0]), x[1], 1)
    to_y = np.polyfit(y[0], y[1], 1)
    found = page.locator('.scatter .dot').evaluate_all(
        '(all) => all.map((d) => [d.dataset.class, d.getAttribute("transform")])'
    )
    judged = [i for i, ap in enumerate(DATA['classes']['ap']['segm']) if ap is not None]
    assert sorted(int(i) for i, _ in found) == judged
    for i, place in found:
        px, py = map(float, re.findall(r'-?[\d.]+', place))
        images, ap = DATA['classes']['train_images'][int(i)], DATA['classes']['ap']['segm'][int(i)]
        assert px == pytest.approx(np.polyval(to_x, np.log10(images)), abs=1)
        assert py == pytest.approx(np.polyval(to_y, ap), abs=1)
    groups, values = np.array(DATA['classes']['group']), DATA['classes']['ap']['segm']
    for text, group in zip(texts(page, '.mean-name'), GROUPS):
        mean = np.mean([values[i] for i in judged if groups[i] == group])
        assert text.endswith(shown(mean))


def test_bars_are_as_long_as_the_errors_cost(page):
    kinds, groups = DATA['errors']['kinds'], DATA['errors']['groups']
    costs = [groups[group]['cost'][kind] for kind in kinds for group in GROUPS]
    bars = page.locator('#errors .bars rect').evaluate_all(
        '(all) => all.map((r) => [Number(r.getAttribute("width")), r.getAttribute("aria-label")])'
    )
    widths = np.array([width for width, _ in bars])
    np.testing.assert_allclose(widths / widths.max(), np.array(costs) / max(costs), atol=0.01)
    assert [label.split('AP50 lost ')[1][:5] for _, label in bars] == [shown(c) for c in costs]


def test_flows_and_scores(page):
    columns, groups = DATA['flows']['columns'], DATA['flows']['groups']
    counts = [groups[g][k] for g in GROUPS for k in range(len(columns)) if groups[g][k]]
    labels = [e.get_attribute('aria-label') for e in page.locator('.flows path').all()]
    assert [int(re.search(r': (\d+) of', label)[1]) for label in labels] == counts
    cards = page.locator('#scores .card').all()
    assert len(cards) == 3
    for card, group in zip(cards, GROUPS):
        scores = DATA['scores']['groups'][group]
        assert card.locator('circle').count() == len(scores['bins'])
        assert card.locator('.bars rect').count() == len(scores['hits'])
        assert card.locator('.threshold').count() == (scores['best_f1'] is not None)
        assert shown(scores['ece']) in card.text_content()


# use


def test_hover_shows_the_class(page):
    page.locator('.scatter').scroll_into_view_if_needed()
    box = page.locator('.dot[data-class="1"]').bounding_box()
    page.mouse.move(
        box['x'] + box['width'] / 2, box['y'] + box['height'] / 2, steps=3
    )  # as by hand
    tip = page.locator('#tip')
    tip.wait_for(state='visible')
    lines = texts(page, '#tip div')
    assert lines[0] == NAMES[1]
    assert f'mask AP {shown(DATA["classes"]["ap"]["segm"][1])}' in lines
    assert '5 training images' in lines
    page.mouse.click(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
    assert f'only {NAMES[1]}' in page.locator('.only').text_content()


def test_scatter_is_filtered_and_steps_by_keyboard(page):
    find = page.locator('#frequency input[type=search]')
    find.fill('KIWI')
    assert page.locator('.scatter .dot:not(.dim)').count() == 1
    assert texts(page, '.dot-names text') == ['kiwi fruit']
    find.fill('')
    page.locator('#frequency input[type=checkbox]').first.uncheck()
    # two of the three rare classes have something to find
    assert page.locator('.scatter .dot').count() == 7
    page.locator('#frequency select').select_option('bbox')
    page.locator('.scatter').focus()
    page.keyboard.press('ArrowRight')
    page.keyboard.press('ArrowRight')
    said = page.locator('#live').text_content()
    assert '40 training images' in said and 'box AP' in said
    page.keyboard.press('Enter')
    assert page.locator('.only').is_visible()


def test_table_sorts_and_filters(page):
    values = DATA['classes']['ap']['segm']
    known = sorted((v for v in values if v is not None), reverse=True)
    button = page.get_by_role('button', name='mask AP', exact=True)
    for direction, expected in (('descending', known), ('ascending', known[::-1])):
        button.press('Enter')
        assert column(page, 'mask AP') == [*map(shown, expected), '–']  # unknown last, both ways
        sorted_by = page.locator(f'.classes th[aria-sort={direction}]')
        assert sorted_by.count() == 1 and 'mask AP' in sorted_by.text_content()
    page.locator('#classes input[type=search]').fill('o')
    page.locator('#classes select').first.select_option('f')
    expected = {n for n, g in zip(NAMES, DATA['classes']['group']) if g == 'f' and 'o' in n.lower()}
    assert set(column(page, 'class')) == expected


def test_csv_holds_the_data(browser, tmp_path):
    data = copy.deepcopy(DATA)
    data['classes']['name'][:3] = ['=1+1', 'a "b", c', 'x\ny']
    with opened(browser, written(data, tmp_path)) as page:
        with page.expect_download() as download:
            page.locator('#csv').click()
        text = Path(download.value.path()).read_text('utf-8-sig')
    rows = list(csv.DictReader(io.StringIO(text, newline='')))
    order = np.argsort(data['classes']['train_images'], kind='stable')
    names = [data['classes']['name'][i] for i in order]
    assert [row['class'] for row in rows] == ["'=1+1" if n == '=1+1' else n for n in names]
    exact = [float(row['mask AP']) if row['mask AP'] else None for row in rows]
    assert exact == [data['classes']['ap']['segm'][i] for i in order]
    exact = [float(row['difference']) if row['difference'] else None for row in rows]
    assert exact == [data['classes']['against']['difference'][i] for i in order]


def test_crops_of_a_class_by_keyboard(page):
    page.locator('.classes tbody button').first.press('Enter')
    expected = [c for c in DATA['gallery'] if 0 in (c['class'], c['truth'], c['predicted'])]
    assert page.locator('.crop').count() == len(expected)
    assert page.evaluate('document.activeElement.className') == 'crop'
    page.keyboard.press('Enter')
    dialog = page.locator('#crop')
    assert dialog.is_visible()
    assert expected[0]['image'] in dialog.text_content()
    assert dialog.locator('.found:not(.outline)').get_attribute('width') == str(
        int(expected[0]['box'][2])
    )
    page.keyboard.press('ArrowRight')
    assert f'2 of {len(expected)}' in dialog.text_content()
    page.keyboard.press('Escape')
    assert not dialog.is_visible()
    assert page.evaluate('document.activeElement.className') == 'crop'
    page.locator('.only').click()
    page.locator('#gallery select').first.select_option('hit')
    hits = [c for c in DATA['gallery'] if c['kind'] == 'hit']
    assert page.locator('.crop').count() == len(hits)


def test_crops_of_a_confusion(page):
    link = page.locator('.confusions button').first
    row = link.locator('xpath=ancestor::tr')
    link.click()
    number = int(re.match(r'\d+', row.locator('button').text_content())[0])
    assert page.locator('.crop').count() == number
    assert row.locator('bdi').first.text_content() in page.locator('.only').text_content()


def test_keyboard_comes_first_to_the_content(page):
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.className') == 'skip'
    unreachable = page.evaluate(
        "[...document.querySelectorAll('button, input, select, a')]"
        '.filter((e) => e.tabIndex < 0).length'
    )
    assert unreachable == 0


def test_everything_has_a_name(page):
    """What a screen reader says of pictures, charts, controls and tables."""
    nameless = page.evaluate(
        """() => [
          ...[...document.querySelectorAll('img')].filter((e) => !e.alt),
          ...[...document.querySelectorAll('.chart svg')].filter((e) => !e.ariaLabel),
          ...[...document.querySelectorAll('input, select')].filter((e) => !e.labels.length),
          ...[...document.querySelectorAll('main > section table')].filter((e) => !e.caption),
          ...[...document.querySelectorAll('button:not([hidden], [aria-label])')]
            .filter((e) => !e.innerText),
        ].map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


# safety


def test_hostile_names_are_text(page):
    assert sorted(column(page, 'class')) == sorted(NAMES)
    assert page.locator('script').count() == 3
    assert page.locator('main b', has_text='bold').count() == 0
    hostile = next(name for name in NAMES if '<script>' in name)
    page.locator('#frequency input[type=search]').fill('quo"te')
    assert texts(page, '.dot-names text') == [n for n in NAMES if 'quo"te' in n]
    page.locator('#classes input[type=search]').fill('</script>')
    assert column(page, 'class') == [hostile]


@pytest.mark.parametrize(
    ('attempt', 'directive'),
    [
        ("fetch('http://127.0.0.1:9/').catch(() => {})", 'connect-src'),
        ("new Image().src = 'http://127.0.0.1:9/a.png'", 'img-src'),
        (
            "document.body.append(Object.assign(document.createElement('script'), "
            "{textContent: 'window.ran = true'}))",
            'script-src-elem',
        ),
        ("document.body.setAttribute('onclick', 'window.ran = true')", 'script-src-attr'),
    ],
)
def test_nothing_else_runs_and_nothing_leaves_the_file(page, attempt, directive):
    refused = page.evaluate(
        f"""() => new Promise((resolve) => {{
          document.addEventListener('securitypolicyviolation',
            (event) => resolve(event.effectiveDirective));
          {attempt};
          document.body.click();
        }})"""
    )
    assert refused == directive
    assert page.evaluate('window.ran') is None
    assert all('Content Security Policy' in error for error in page.errors)
    page.errors.clear()
    page.requests[1:] = []  # what was refused is counted, too
