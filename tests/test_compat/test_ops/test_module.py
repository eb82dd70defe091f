"""The module that stands for ``mmcv._ext``."""

from __future__ import annotations

from importlib import import_module
from inspect import signature

import pytest
import torch
from mmcv.utils import collect_env

from lt_det.compat import ops


def test_an_op_that_is_not_there_says_its_name_and_the_remedy():
    from mmcv.ops import border_align

    with pytest.raises(NotImplementedError, match='`border_align_forward`.*MMCV_WITH_OPS=1'):
        border_align(torch.zeros(1, 4, 3, 3), torch.zeros(1, 9, 4), 10)


def test_every_op_is_in_mmcv():
    """Under its own name, and asked for by mmcv at import; nothing here is left over."""
    stand_ins = import_module('mmcv._ext')
    families = [import_module(f'{ops.__name__}.{name}') for name in ops.FAMILIES]
    provided = {op.__name__: op for family in families for op in family.OPS}
    assert len(provided) == sum(len(family.OPS) for family in families)
    for name, op in provided.items():
        assert getattr(stand_ins, name) is op
        assert all(p.default is p.empty for p in signature(op).parameters.values()), name


def test_environment_report_works():
    assert 'torchvision' in collect_env()['MMCV Compiler']
