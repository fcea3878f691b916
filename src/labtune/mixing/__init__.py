"""Mixing: from samples to the training set of each phase, with replay, without leaks and duplicates.

Entry: `labtune.mixing.mix.mix`.
"""
