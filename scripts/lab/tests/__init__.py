"""The lab's tests, a module for each thing that can go wrong. See `lab.testing`."""
