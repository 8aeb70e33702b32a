"""Benchmarks: each prints ratios against a named peer in one interleaved run; none asserts a time."""
