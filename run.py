#!/usr/bin/env python3
"""The one door for whoever operates or develops Mortise: `run.py serve`, `run.py migrate`, `run.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from core.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
