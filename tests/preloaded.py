"""What tools import, for the process that ``tests.tool_process`` forks them from."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

from yapf.yapflib import yapf_api

gc.disable()
os.environ['OMP_NUM_THREADS'] = '1'  # before torch: threads do not outlive a fork
import_module('lt_det')  # first: what it provides is read by the others
for name in ('mmdet', 'mmpretrain'):
    import_module(f'{name}.apis')
    import_module(f'{name}.utils').register_all_modules(init_default_scope=False)
for name in ('torch.utils.cpp_extension', 'hotcoco', 'matplotlib.pyplot', 'lt_det.components'):
    import_module(name)
for name in import_module('lt_det.cli.main').COMMANDS:
    import_module(f'lt_det.cli.{name}')
import_module('lt_det.report.page.write')


def leave_as_it_is(text: str, **options) -> tuple[str, bool]:
    """In place of the formatter of MMEngine's configs, which takes a second a config."""
    return text, False


yapf_api.FormatCode = leave_as_it_is
gc.collect()
gc.enable()
gc.freeze()  # data sets call the collector, which need not look at all this again
for stream in (sys.stdout, sys.stderr):
    stream.flush()  # or every fork would write what they hold
