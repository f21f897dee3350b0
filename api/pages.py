"""Pages: an opaque cursor says after which item to go on, so that new items shift nothing."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import TypeVar

from api.models import Page

Cursor = tuple[str, str]

T = TypeVar("T")


class BadCursor(ValueError):
    """Text that is no cursor of ours."""


def written(cursor: Cursor) -> str:
    """A cursor as text for a URL.

    >>> written(("1-0", "a")), read(written(("1-0", "a")))
    ('WyIxLTAiLCJhIl0', ('1-0', 'a'))
    """
    return base64.urlsafe_b64encode(json.dumps(cursor, separators=(",", ":")).encode()).decode().rstrip("=")


def read(text: str) -> Cursor:
    """The cursor that `written` made. Raises: `BadCursor`."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        value = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadCursor(f"no cursor: {text[:100]!r}") from error
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))):
        raise BadCursor(f"no cursor: {text[:100]!r}")
    return value[0], value[1]


def _is_text(part: object) -> bool:
    """Whether this is text that every store can take: JSON can write half a character."""
    return isinstance(part, str) and not any("\ud800" <= character <= "\udfff" for character in part)


def page_of(keyed: Sequence[tuple[Cursor, T]], limit: int) -> Page[T]:
    """The first `limit` items, with a cursor behind the last one where more follow."""
    following = keyed[limit - 1][0] if len(keyed) > limit else None
    return Page(items=[item for _, item in keyed[:limit]], next=following and written(following))
