"""The mutation runs themselves: which mutants they make, and that a survivor nobody knows fails the run."""

import pytest

from tests.mutation import mutants
from tests.mutation.mutants import Mutant, judged, written
from tests.mutation.source import mutants_of
from tests.mutation.sql import mutants_of as views_of

VIEW = """CREATE OR REPLACE VIEW held AS -- … and what is said beside it stays
SELECT sum(quantity) AS quantity, 'BUY' AS side FROM fills WHERE quantity > 0 AND price < 2 ORDER BY id;
"""


def test_of_a_view_operators_aggregates_constants_clauses_and_orders_are_changed():
    head, tail = (
        "SELECT sum(quantity) AS quantity, 'BUY' AS side FROM fills ",
        "WHERE quantity > 0 AND price < 2 ORDER BY id;",
    )

    assert {mutant.after for mutant in views_of(VIEW)} == {
        (head + tail).replace(*change)
        for change in (
            ("sum", "max"), ("'BUY'", "'BUY_'"), (">", ">="), ("0", "1"), ("AND", "OR"), ("<", "<="), ("2", "3"),
            ("id;", "id DESC;"), ("WHERE quantity > 0 AND price < 2", ""),
        )
    }  # fmt: skip
    assert {mutant.where for mutant in views_of(VIEW)} == {"held"}


MODULE = '''@kernel
def fee(price, bps):
    """A text that stands alone."""
    if free(price):
        told(price)
    total = price * bps // 10
    return max(total, 5) if price > 1 else 0
'''


def test_of_a_function_operators_numbers_conditions_and_calls_are_changed_though_it_is_decorated():
    found = mutants_of(MODULE)

    assert {mutant.where for mutant in found} == {"fee"}
    assert {mutant.after for mutant in found} == {
        "if not free(price):", "pass", "total = price / bps // 10", "total = price * bps * 10", "total = price * bps // 11",
        "return min(total, 5) if price > 1 else 0", "return max(total, 6) if price > 1 else 0",
        "return max(total, 5) if price>= 1 else 0", "return max(total, 5) if price > 2 else 0",
        "return max(total, 5) if price > 1 else 1", "return max(total, 5) if (price > 1) and False else 0",
        "return max(total, 5) if (price > 1) or True else 0",
    }  # fmt: skip


def test_a_survivor_that_is_not_listed_and_one_that_is_seen_by_now_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "SURVIVORS", tmp_path)
    known, other = Mutant("fee", "a > 1", "a >= 1"), Mutant("fee", "b", "c")
    (tmp_path / "fees.txt").write_text(written(known.change, "never 1"))

    assert judged("fees", [known]).is_good
    assert judged("fees", [known, other]).survived == [other.change]
    assert judged("fees", [known, known]).survived == [known.change]
    assert judged("fees", []).seen == [known.change]


def test_a_survivor_needs_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "SURVIVORS", tmp_path)
    (tmp_path / "fees.txt").write_text("fee\n- a\n+ b\n")

    with pytest.raises(ValueError, match="a survivor is a name"):
        judged("fees", [])
