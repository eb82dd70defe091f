"""Tests on the GPU that is not there run in a process of their own.

Torch has to know a device before the first backward pass of a process, and none can be forked from
a process that knows one and has had a backward pass, as other tests do it.
"""

from __future__ import annotations

import os

import pytest
from common.mock_gpu import KNOWN, MockGpu

OWN_PROCESS = os.environ.get('LT_DET_MOCK_GPU') == '1'
MARKS = [
    pytest.mark.mock_gpu,
    pytest.mark.skipif(not OWN_PROCESS, reason='runs in the process of test_mock_gpu_process.py'),
]

if OWN_PROCESS and KNOWN:
    MockGpu()


def on_mock_gpu(test):
    """Decorator of a test that uses MockGpu."""
    for mark in MARKS:
        test = mark(test)
    return test
