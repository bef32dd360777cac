"""`python -m kernelbox.cli`: the command line of this very Python."""

from __future__ import annotations

import sys

from kernelbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
