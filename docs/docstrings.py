"""A griffe extension: docstrings are written for readers of code, with a few marks of Sphinx."""

from __future__ import annotations

import re

import griffe

ROLE = re.compile(r':(?:class|func|meth|mod|attr|data):`~?\.*([^`<]+)`')
LITERAL = re.compile(r'::[ \t]*$', re.MULTILINE)


class PlainMarkdown(griffe.Extension):
    """Roles become code, and ``::`` a colon; the indented block behind it is code as it is."""

    def on_instance(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring:
            text = ROLE.sub(r'`\1`', obj.docstring.value)
            obj.docstring.value = LITERAL.sub(':', text)
