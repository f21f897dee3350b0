"""Mutation runs: whether the tests would see a fault, by planting one small fault after the other.

    python -m tests.mutation --target views
    python -m tests.mutation --target functions --module risk

A mutant that the tests do not see has survived. Those that change nothing are listed with the reason in `survivors/`; the run
fails for any other, and for one that is listed and seen.
"""
