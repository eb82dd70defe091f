"""The report page as one html file: template, style, scripts, chart library and data in one text.

Charts are drawn with D3 7.9.2 (``vendor/d3.min.js``, as published on npm; ISC, its license beside
it and in each page). Compared were, minified: uPlot 50 kB (lines on a canvas alone), D3 281 kB,
Observable Plot 209 kB and Vega-Lite 258 kB (both need others beside them), Chart.js 210 kB (canvas)
and Plotly's basic bundle 1.2 MB (no flows). D3 brings scales, axes, shapes and the search for the
nearest dot, and leaves the marks to us: SVG elements, which take their colours from the style sheet
(light, dark, print), can have the focus of the keyboard and a text for a screen reader, and are
filled through ``textContent`` alone. It needs no ``eval``, so the page may forbid it.

What is in the data may be hostile (names of classes and files): it is one json that cannot close
its element, scripts put it on the page as text, and a Content-Security-Policy lets only the
scripts written here run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .colours import colours

FOLDER = Path(__file__).parent
# in this order: the later ones use what the earlier ones define
SCRIPTS = ('base', 'charts', 'headline', 'scatter', 'errors', 'scores', 'table', 'gallery', 'more')


def build(data: dict) -> str:
    """Write the page.

    Args:
        data: What ``data.collect`` returns. Its 'calibration_html' is put into the page as it is.

    Returns:
        Html that needs no other file and makes no request.

    Raises:
        ValueError: A number is NaN or infinite, for which json has no word.
    """
    shown = {key: value for key, value in data.items() if key != 'calibration_html'}
    scripts = [
        f'/*\nD3\n{_read("vendor/d3.LICENSE")}*/\n{_read("vendor/d3.min.js")}',
        ''.join(["(() => {\n'use strict';\n", *(_read(f'js/{n}.js') for n in SCRIPTS), '})();\n']),
    ]
    for script in scripts:
        assert '</script' not in script.lower() and '<!--' not in script
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined
    )
    calibration = data['calibration_html']
    page = environment.get_template('page.html.j2').render(
        title=data['title'],
        kind=data['kind'],
        policy=_policy(scripts),
        style=Markup(colours() + _read('page.css')),
        scripts=[Markup(script) for script in scripts],
        data=Markup(as_script_data(shown)),
        calibration=None if calibration is None else Markup(calibration),
    )
    return page.encode('utf-8', 'replace').decode()  # names of files can hold half characters


def as_script_data(data: dict) -> str:
    """Json that stays one text inside ``<script type="application/json">``, whatever it holds."""
    text = json.dumps(data, allow_nan=False, separators=(',', ':'))
    return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')


def _policy(scripts: list[str]) -> str:
    """Only these scripts run; styles and pictures come from the file; nothing is fetched."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = ' '.join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return Path(FOLDER, name).read_text(encoding='utf-8')
