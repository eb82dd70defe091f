"""The command ``lt_det test``: python tools/test.py CONFIG epoch_12.pth"""

import sys

from lt_det.cli.main import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('test'))
