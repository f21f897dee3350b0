"""Imports without what nobody needs: it is away meanwhile and there afterwards."""

import json
import sys

import pytest

from functions.imports import without


def test_what_is_left_out_cannot_be_imported_meanwhile_and_can_be_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)

    with pytest.raises(ModuleNotFoundError), without("this"):
        import this  # noqa: F401

    assert "this" not in sys.modules


def test_what_is_loaded_already_stays():
    with without("json"):
        import json as again

    assert again is json is sys.modules["json"]
