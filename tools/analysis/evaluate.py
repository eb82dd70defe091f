"""The command ``lt_det evaluate``: python tools/analysis/evaluate.py results.json --ann val.json"""

import sys

from lt_det.cli.main import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('evaluate'))
