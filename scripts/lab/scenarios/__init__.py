"""What a person starts: the demo, repeated failovers, measurements of gaps and of protection starts."""
