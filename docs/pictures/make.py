"""The picture of the report page in the README: its tiles and AP against training images.

    make demo
    python docs/pictures/make.py work_dirs/demo/iif --against work_dirs/demo/softmax

Needs Playwright and a Chromium (Debian: ``apt-get install chromium-headless-shell``).
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

# isort: split
from common.browser import BROWSERS, browser_path

LARGEST = 300_000  # bytes
WIDTH, SCALE, MARGIN = 1100, 2, 12
OUT = Path(__file__).with_name('report.png')


def photograph(page: Path, out: Path, scheme: str = 'light') -> None:
    """Write the upper part of a report page as a PNG of at most ``LARGEST`` bytes.

    Args:
        page: Html that ``lt_det report`` wrote.
        out: The picture.
        scheme: 'light' or 'dark'.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    found = browser_path()
    if not found:
        raise SystemExit(f'none of {", ".join(BROWSERS)} is installed')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=['--no-sandbox'])
        size = {'width': WIDTH, 'height': 1600}
        tab = browser.new_page(viewport=size, device_scale_factor=SCALE, color_scheme=scheme)
        tab.goto(page.resolve().as_uri())
        tab.locator('.scatter').wait_for()
        tab.locator('details.provenance[open] summary').click()
        tab.mouse.move(0, 0)
        title, chart = tab.locator('h1').bounding_box(), tab.locator('.scatter').bounding_box()
        top = title['y'] - MARGIN
        height = chart['y'] + chart['height'] + MARGIN - top
        clip = {'x': 0, 'y': top, 'width': WIDTH, 'height': height}
        pixels = tab.screenshot(clip=clip, full_page=True)
        browser.close()
    # few colours: a palette halves the file
    image = Image.open(io.BytesIO(pixels)).convert('RGB').quantize(256, dither=Image.Dither.NONE)
    image.save(out, optimize=True)
    if out.stat().st_size > LARGEST:
        raise SystemExit(f'{out} has {out.stat().st_size} bytes, expected at most {LARGEST}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('work_dir', metavar='WORK_DIR')
    parser.add_argument('--against', metavar='WORK_DIR')
    parser.add_argument('--out', type=Path, default=OUT)
    parser.add_argument('--scheme', choices=('light', 'dark'), default='light')
    args = parser.parse_args()
    from lt_det.report.page.write import write_report

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, 'report.html')
        write_report(args.work_dir, args.against, page)
        photograph(page, args.out, args.scheme)
    print(f'written: {args.out}, {args.out.stat().st_size} bytes')


if __name__ == '__main__':
    main()
