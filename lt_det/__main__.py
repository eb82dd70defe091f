"""``python -m lt_det``: the command ``lt_det``."""

import sys

from .cli.main import main

if __name__ == '__main__':
    sys.exit(main())
