#!/usr/bin/env python3
"""Starts the lab: two Xen hosts in an emulator on this machine. `lab.py --help` lists what it can do.

The work is in the package `lab` beside this file; Python finds the package before this module.
"""

import sys

from lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
