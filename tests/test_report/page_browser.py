"""A headless Chromium for tests of pages, and what the tests read from a page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lt_det.report.page.build import build

NAMES = ('chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome')
DATA = json.loads(Path(__file__).with_name('report_page.json').read_text())
PICTURES = Path(__file__).resolve().parents[2] / 'work_dirs/report_pages'


def written(data: dict, folder: Path) -> Path:
    path = folder / 'report.html'
    path.write_text(build(data), encoding='utf-8')
    return path


@contextmanager
def launch() -> Iterator:
    """A browser; skips the test where there is none."""
    api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f'no browser: none of {", ".join(NAMES)} is installed')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=['--no-sandbox'])
        yield browser
        browser.close()


@contextmanager
def opened(browser, path: Path, width: int = 1440, **context) -> Iterator:
    """The page of a file; afterwards it must have reported no error and asked for nothing."""
    context = browser.new_context(viewport={'width': width, 'height': 900}, **context)
    context.set_default_timeout(60_000)  # the machine may be busy
    page = context.new_page()
    errors, requests = [], []
    page.on('console', lambda m: errors.append(m.text) if m.type in ('error', 'warning') else None)
    page.on('pageerror', lambda error: errors.append(str(error)))
    page.on('dialog', lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
    page.on('request', lambda request: requests.append(request.url))
    page.errors, page.requests = errors, requests
    page.goto(path.as_uri())
    drawn(page)
    yield page
    words = re.findall(r'\b(?:null|undefined|NaN|Infinity)\b', page.locator('main').text_content())
    assert not errors and not words
    assert [url for url in requests if not url.startswith(('data:', 'blob:'))] == [path.as_uri()]
    context.close()


def drawn(page) -> None:
    """Wait until scripts have run and charts, which wait for the width of their place, are there.

    By selectors: Playwright's functions in the page need the eval that the page forbids.
    """
    page.locator('html[data-ready=yes]').wait_for(state='attached')
    page.locator('.chart:not(:has(svg))').first.wait_for(state='detached')


def shown(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number as the page writes it."""
    if value is None:
        return '–'
    text = f'{value:+.{digits}f}' if sign else f'{value:.{digits}f}'
    if sign and float(text) == 0:
        text = text[1:]
    return text.replace('-', '\N{MINUS SIGN}')


def picture(page, name: str) -> None:
    """Keep a picture of the whole page, for a person to look at."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for height in range(0, page.evaluate('document.body.scrollHeight'), 800):
        page.evaluate(f'scrollTo(0, {height})')  # pictures load when they come near
    page.evaluate('scrollTo(0, 0)')
    page.screenshot(path=PICTURES / f'{name}.png', full_page=True)


def texts(page, selector: str) -> list[str]:
    return page.locator(selector).all_text_contents()
