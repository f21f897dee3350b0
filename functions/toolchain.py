"""Numba, imported without `coverage`: that it would load where it is installed, to tell it which lines were compiled.

A seventh of Numba's own import. Where coverage is measured it is loaded already, and Numba sees it as before.
"""

from functions.imports import without

with without("coverage"):
    import numba as numba
