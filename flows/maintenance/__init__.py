"""Flows that a person starts: they mend, move and look after what a lake holds."""
