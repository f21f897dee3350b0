"""Parameters: what of a strategy its configuration may set, and within which bounds."""

from collections.abc import Mapping

import msgspec

Value = int | float | bool | str


class StrategyError(ValueError):
    """A strategy that cannot be loaded or configured: which, why, and what would do."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a strategy: its default gives the type, the bounds are inclusive."""

    default: Value
    minimum: float | None = None
    maximum: float | None = None
    summary: str = ""

    def check(self, name: str, value: Value) -> Value:
        """The value in the parameter's type. Raises: `StrategyError`."""
        wanted = type(self.default)
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise StrategyError(f"parameter {name} takes {wanted.__name__}, was {value!r}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise StrategyError(f"parameter {name} is at least {self.minimum:g}, was {value!r}")
            if self.maximum is not None and value > self.maximum:
                raise StrategyError(f"parameter {name} is at most {self.maximum:g}, was {value!r}")
            if value != value:
                raise StrategyError(f"parameter {name} must be a number, was {value!r}")
        return value


def checked(specification: Mapping[str, Parameter], given: Mapping[str, Value]) -> dict[str, Value]:
    """All parameters with their values, in the order of the specification. Raises: `StrategyError`.

    >>> checked({"window": Parameter(20, minimum=2)}, {"window": 50})
    {'window': 50}
    """
    unknown = sorted(set(given) - set(specification))
    if unknown:
        raise StrategyError(f"unknown parameter {', '.join(unknown)}; known: {', '.join(specification) or 'none'}")
    return {name: p.check(name, given.get(name, p.default)) for name, p in specification.items()}


def declared(author: type) -> dict[str, Parameter]:
    """What a class says in `parameters`. Raises: `StrategyError` where that is no such thing."""
    said = getattr(author, "parameters", {})
    if not isinstance(said, Mapping) or not all(isinstance(p, Parameter) for p in said.values()):
        raise StrategyError(
            f"{author.__name__}: parameters is a dict of names and Parameter(default, minimum, maximum)"
        )
    return dict(said)
