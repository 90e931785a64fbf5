"""The arbiters that come with Pollux: `sh` programs for the helpers' --arbiter exec:PATH (docs/arbiter.md)."""
