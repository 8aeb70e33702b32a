"""The lake: Delta tables, their journal, and the one way to write them."""
