"""Tests of the arbiters, each under this machine's sh and under a busybox that has nothing else."""
