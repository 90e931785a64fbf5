#!/usr/bin/env python3
"""Starts the benchmarks. `bench.py --help` lists them.

The work is in the package `bench` beside this file; Python finds the package before this module.
"""

import sys

from bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
