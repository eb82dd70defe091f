"""The command ``lt_det train``: python tools/train.py configs/lvis/mask_rcnn_r50_iif.py"""

import sys

from lt_det.cli.main import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('train'))
