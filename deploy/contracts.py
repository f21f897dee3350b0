"""The contracts as documents: a JSON Schema for each event type and version, and AsyncAPI 3 for the topics.

Both are generated from `functions/events.py` and `functions/topics.py`, committed, and compared in a test: what others
read cannot drift from what we write. `python -m deploy.contracts write|check`.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.errors import PipelineError, exit_code_of
from functions.events import PAYLOADS, EventEnvelope
from functions.topics import Topic, all_topics
from functions.versions import payloads_of, version_of

ROOT: Final = Path(__file__).resolve().parent.parent
SCHEMAS: Final = ROOT / "docs" / "schemas"
ASYNCAPI: Final = ROOT / "docs" / "asyncapi.yaml"
BROKERS: Final = ("paper", "zerodha")
_FORMER: Final = re.compile(r"(?<=[a-z])V\d+(?=\W|$)")  # behind the name of a payload that is no longer written

Json = dict[str, Any]


# --- generated --------------------------------------------------------------------------------------------------------


def event_schema(name: str, version: int | None = None) -> Json:
    """The JSON Schema of one event type, its envelope with its payload; of today's version if none is given."""
    version = version or version_of(name)
    payload = payloads_of(name)[version - 1]
    (schema,), definitions = msgspec.json.schema_components(
        [EventEnvelope[payload]],  # type: ignore[valid-type]  # the parameter is known only here
        ref_template="#/$defs/{name}",
    )
    definitions = _under_first_names(_with_portable_patterns(definitions))
    envelope = definitions.pop(_FORMER.sub("", schema["$ref"].rpartition("/")[2]))
    envelope["properties"]["type"] = {"const": name}
    envelope["properties"]["version"] = {"const": version}
    envelope["title"] = name
    envelope["description"] = (payload.__doc__ or "").strip().splitlines()[0]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{name}.v{version}.json"}
    return head | envelope | {"$defs": dict(sorted(definitions.items()))}


def _with_portable_patterns(schema: Any) -> Any:
    """Regular expressions as JSON Schema has them: it knows no `\\A` and no `\\Z`, and its `$` is the end of the text."""
    if isinstance(schema, list):
        return [_with_portable_patterns(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: part.replace(r"\A", "^").replace(r"\Z", "$")
        if name == "pattern" and isinstance(part, str)
        else _with_portable_patterns(part)
        for name, part in schema.items()
    }


def _under_first_names(schema: Any) -> Any:
    """Payloads of earlier versions under the names that they had then: a raised version leaves their files as they are."""
    if isinstance(schema, list):
        return [_under_first_names(part) for part in schema]
    if not isinstance(schema, dict):
        return _FORMER.sub("", schema) if isinstance(schema, str) and schema.startswith("#/$defs/") else schema
    return {_FORMER.sub("", name): _under_first_names(part) for name, part in schema.items()}


def schema_files() -> dict[str, str]:
    """File name → text, for every version of every event type."""
    return {
        f"{name}.v{version}.json": json.dumps(event_schema(name, version), indent=2) + "\n"
        for name in sorted(PAYLOADS)
        for version in range(1, version_of(name) + 1)
    }


def _identifier(topic: Topic) -> str:
    return topic.name.replace(".", "_")


def _channel(topic: Topic) -> Json:
    configuration: Json = {"cleanup.policy": [topic.cleanup]}
    if topic.cleanup == "delete":
        configuration["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "description": f"{topic.summary}. Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.payloads},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations(topic: Topic) -> dict[str, Json]:
    channel = {"$ref": f"#/channels/{_identifier(topic)}"}
    sends = {f"{flow}_sends_{_identifier(topic)}": {"action": "send", "channel": channel} for flow in topic.writers}
    receives = {
        f"{flow}_receives_{_identifier(topic)}": {"action": "receive", "channel": channel} for flow in topic.readers
    }
    return sends | receives


def _any_version(name: str) -> Json:
    """Records of every version lie on the log; today's comes first."""
    files = [{"$ref": f"schemas/{name}.v{version}.json"} for version in range(version_of(name), 0, -1)]
    return files[0] if len(files) == 1 else {"oneOf": files}


def asyncapi() -> Json:
    """The AsyncAPI 3 document of a deployment with both brokers."""
    topics = all_topics(BROKERS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Alpha Panda",
            "version": "1.0.0",
            "description": "Topics and events, generated from functions/topics.py and functions/events.py.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {_identifier(topic): _channel(topic) for topic in topics},
        "operations": {name: operation for topic in topics for name, operation in _operations(topic).items()},
        "components": {
            "messages": {
                name: {
                    "name": name,
                    "summary": (payload.__doc__ or "").strip().splitlines()[0],
                    "contentType": "application/json",
                    "payload": _any_version(name),
                }
                for name, payload in sorted(PAYLOADS.items())
            }
        },
    }  # fmt: skip


def asyncapi_text() -> str:
    import yaml

    return yaml.safe_dump(asyncapi(), sort_keys=False, width=120, allow_unicode=True)


# --- compatible -------------------------------------------------------------------------------------------------------


def breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What a reader of the old schema could not read of a writer of the new one, or the other way round.

    Both ways, as the log is replayed by newer code and read by older; empty = compatible. Adding an optional field is
    fine. Removing a field, requiring a new one, and another type, constant, pattern or enumeration are not.
    """
    return _breaks(old, new, (old.get("$defs", {}), new.get("$defs", {})), "$")


Definitions = tuple[Mapping[str, Any], Mapping[str, Any]]  # of the old schema, of the new one
_KINDS: Final = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def _alternatives(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A schema by the kinds of value that it allows: references followed, unions opened."""
    if "$ref" in schema:
        return _alternatives(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return {kind: one for option in schema["anyOf"] for kind, one in _alternatives(option, definitions).items()}
    kinds = schema.get("type") or [_KINDS[type(value)] for value in schema.get("enum", [schema.get("const")])]
    return dict.fromkeys([kinds] if isinstance(kinds, str) else kinds, schema)


def _breaks(old: Mapping[str, Any], new: Mapping[str, Any], definitions: Definitions, at: str) -> list[str]:
    before, after = _alternatives(old, definitions[0]), _alternatives(new, definitions[1])
    found = [f"{at}: type was {sorted(before)}, is {sorted(after)}"] if set(before) != set(after) else []
    for kind in before:
        if kind in after:
            found += _values_break(before[kind], after[kind], at)
            found += _fields_break(before[kind], after[kind], definitions, at)
            found += _elements_break(before[kind], after[kind], definitions, at)
    return found


def _values_break(old: Mapping[str, Any], new: Mapping[str, Any], at: str) -> list[str]:
    if old.get("const") != new.get("const"):
        return [f"{at}: const was {old.get('const')!r}, is {new.get('const')!r}"]
    if old.get("pattern") != new.get("pattern"):
        return [f"{at}: pattern was {old.get('pattern')}, is {new.get('pattern')}"]
    if ("enum" in old) != ("enum" in new):
        return [f"{at}: was one of {old.get('enum', 'all')}, is one of {new.get('enum', 'all')}"]
    known, written = set(old.get("enum", ())), set(new.get("enum", ()))
    found = [f"{at}: readers do not know {sorted(written - known)}"] if written - known else []
    return found + ([f"{at}: {sorted(known - written)} is on the log and no longer known"] if known - written else [])


def _fields_break(old: Mapping[str, Any], new: Mapping[str, Any], definitions: Definitions, at: str) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed, needs = old.get("required", ()), new.get("required", ())
    found = [f"{at}.{name}: removed" for name in before if name not in after]
    found += [f"{at}.{name}: required, records on the log lack it" for name in needs if name not in needed]
    found += [
        f"{at}.{name}: no longer required, readers count on it"
        for name in needed
        if name in after and name not in needs
    ]
    for name in before:
        if name in after:
            found += _breaks(before[name], after[name], definitions, f"{at}.{name}")
    return found


def _elements_break(old: Mapping[str, Any], new: Mapping[str, Any], definitions: Definitions, at: str) -> list[str]:
    """The elements of lists, the places of tuples, the values of maps."""
    found: list[str] = []
    for word, place in (("items", f"{at}[]"), ("additionalProperties", f"{at}{{}}")):
        before, after = old.get(word), new.get(word)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _breaks(before, after, definitions, place)
        elif before != after:
            found.append(f"{place}: was {before}, is {after}")
    before, after = old.get("prefixItems", []), new.get("prefixItems", [])
    if len(before) != len(after):
        return [*found, f"{at}: had {len(before)} places, has {len(after)}"]
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        found += _breaks(one, other, definitions, f"{at}[{number}]")
    return found


# --- the command ------------------------------------------------------------------------------------------------------


def differences() -> list[str]:
    """Committed documents that are not what would be generated now, and schemas changed incompatibly."""
    made = schema_files()
    wrong = [
        f"{path.relative_to(ROOT)} is of no version that functions/versions.py knows: what was written once stays readable"
        for path in sorted(SCHEMAS.glob("*.json"))
        if path.name not in made
    ]
    for name, text in made.items():
        path = SCHEMAS / name
        if not path.exists():
            wrong.append(f"{path.relative_to(ROOT)} is missing")
            continue
        committed = path.read_text()
        wrong += [f"{name}: {broken}" for broken in breaks(json.loads(committed), json.loads(text))]
        if committed != text:
            wrong.append(f"{path.relative_to(ROOT)} is out of date")
    if not ASYNCAPI.exists() or ASYNCAPI.read_text() != asyncapi_text():
        wrong.append(f"{ASYNCAPI.relative_to(ROOT)} is out of date")
    return wrong


def write() -> None:
    """Writes all documents; an incompatible change is refused: it needs a new version of the event.

    Raises: `PipelineError` naming what would break.
    """
    for name, text in schema_files().items():
        path = SCHEMAS / name
        broken = breaks(json.loads(path.read_text()), json.loads(text)) if path.exists() else []
        if broken:
            raise PipelineError(
                f"{name} would break its readers: {'; '.join(broken)}",
                remedy="raise the event's version: docs/adr/0019 says how",
            )
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    for name, text in schema_files().items():
        (SCHEMAS / name).write_text(text)
    ASYNCAPI.write_text(asyncapi_text())


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    if arguments == ["write"]:
        return exit_code_of(write)
    if arguments == ["check"]:
        wrong = differences()
        for line in wrong:
            print(line, file=sys.stderr)  # noqa: T201 - the answer of a command
        return 1 if wrong else 0
    print("usage: python -m deploy.contracts write|check", file=sys.stderr)  # noqa: T201 - likewise
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
