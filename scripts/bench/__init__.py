"""The benchmarks: what Pollux costs, next to what it is compared with, in one run on one machine.

No Xen host is needed: `primary-helper rehearse` protects a synthetic guest through the real capture, ring
and link. Every method of a comparison takes its turn within one run, so that what else the machine does
hits all of them. Figures are printed, and kept as CSV and SVG in docs/bench.
"""
