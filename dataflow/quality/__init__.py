"""Quality gates: the rule language, and checkpoints that decide what is published."""
