"""A headless Chromium, where one is installed (Debian: ``chromium-headless-shell``)."""

from __future__ import annotations

import shutil

BROWSERS = ('chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome')


def browser_path() -> str | None:
    """The first of ``BROWSERS`` that is on the path."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
