"""The contracts as documents: a JSON Schema for each event type and version, and AsyncAPI 3 for the topics.

Both are generated from `functions/events.py` and `functions/topics.py`, committed, and compared in a test: what others
read cannot drift from what we write. `python -m deploy.contracts write|check`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.errors import PipelineError
from functions.events import PAYLOADS, VERSION, EventEnvelope
from functions.topics import Topic, all_topics

ROOT: Final = Path(__file__).resolve().parent.parent
SCHEMAS: Final = ROOT / "docs" / "schemas"
ASYNCAPI: Final = ROOT / "docs" / "asyncapi.yaml"
BROKERS: Final = ("paper", "zerodha")

Json = dict[str, Any]


# --- generated --------------------------------------------------------------------------------------------------------


def event_schema(name: str) -> Json:
    """The JSON Schema of one event type: its envelope with its payload."""
    (schema,), definitions = msgspec.json.schema_components(
        [EventEnvelope[PAYLOADS[name]]],  # type: ignore[valid-type]  # the parameter is known only here
        ref_template="#/$defs/{name}",
    )
    envelope = definitions.pop(schema["$ref"].rpartition("/")[2])
    envelope["properties"]["type"] = {"const": name}
    envelope["properties"]["version"] = {"const": VERSION}
    envelope["title"] = name
    envelope["description"] = (PAYLOADS[name].__doc__ or "").strip().splitlines()[0]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{name}.v{VERSION}.json"}
    return head | envelope | {"$defs": dict(sorted(definitions.items()))}


def schema_files() -> dict[str, str]:
    """File name → text, for every event type of this version."""
    return {f"{name}.v{VERSION}.json": json.dumps(event_schema(name), indent=2) + "\n" for name in sorted(PAYLOADS)}


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


def asyncapi() -> Json:
    """The AsyncAPI 3 document of a deployment with both brokers."""
    topics = all_topics(BROKERS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Alpha Panda",
            "version": f"{VERSION}.0.0",
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
                    "payload": {"$ref": f"schemas/{name}.v{VERSION}.json"},
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
    """What a reader of the old schema could not read of a writer of the new one; empty = compatible.

    Adding an optional field is fine. Removing a field, requiring a new one, another type or constant, and values that
    an enumeration did not have, are not.
    """
    return _breaks(old, new, old.get("$defs", {}), new.get("$defs", {}), "$", ())


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return definitions[schema["$ref"].rpartition("/")[2]]
    return schema


def _types(schema: Mapping[str, Any]) -> set[str]:
    if "anyOf" in schema:
        return set().union(*(_types(option) for option in schema["anyOf"]))
    if "$ref" in schema:
        return {"object"}
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _breaks(
    old: Mapping[str, Any], new: Mapping[str, Any], was: Mapping[str, Any], is_: Mapping[str, Any], at: str,
    seen: tuple[str, ...],
) -> list[str]:  # fmt: skip
    old, new = _resolved(old, was), _resolved(new, is_)
    found = [
        f"{at}: {word} was {old.get(word)!r}, is {new.get(word)!r}"
        for word in ("const",)
        if old.get(word) != new.get(word)
    ]
    if not _types(new) <= (_types(old) | ({"number"} if "number" in _types(old) else set())) and _types(old):
        widened = _types(new) - _types(old)
        if not (widened == {"integer"} and "number" in _types(old)):
            found.append(f"{at}: type was {sorted(_types(old))}, is {sorted(_types(new))}")
    if "enum" in old and set(new.get("enum", ())) - set(old["enum"]):
        found.append(f"{at}: readers do not know {sorted(set(new.get('enum', ())) - set(old['enum']))}")
    if "enum" in old and "enum" not in new:
        found.append(f"{at}: was one of {old['enum']}, is anything")
    if "enum" in old and "enum" in new and set(old["enum"]) - set(new["enum"]):
        found.append(f"{at}: {sorted(set(old['enum']) - set(new['enum']))} is on the log and no longer known")
    found += _fields_break(old, new, was, is_, at, seen)
    if "items" in old and "items" in new and isinstance(old["items"], Mapping) and isinstance(new["items"], Mapping):
        found += _breaks(old["items"], new["items"], was, is_, f"{at}[]", seen)
    return found


def _fields_break(
    old: Mapping[str, Any], new: Mapping[str, Any], was: Mapping[str, Any], is_: Mapping[str, Any], at: str,
    seen: tuple[str, ...],
) -> list[str]:  # fmt: skip
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [f"{at}.{name}: removed" for name in before if name not in after]
    found += [
        f"{at}.{name}: required, records on the log lack it"
        for name in new.get("required", ())
        if name not in old.get("required", ())
    ]
    found += [
        f"{at}.{name}: no longer required, readers count on it"
        for name in old.get("required", ())
        if name in after and name not in new.get("required", ())
    ]
    for name in before:
        if name in after and f"{at}.{name}" not in seen:
            found += _breaks(before[name], after[name], was, is_, f"{at}.{name}", (*seen, f"{at}.{name}"))
    return found


# --- the command ------------------------------------------------------------------------------------------------------


def differences() -> list[str]:
    """Committed documents that are not what would be generated now, and schemas changed incompatibly."""
    wrong: list[str] = []
    for name, text in schema_files().items():
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
                f"{name} would break its readers: {'; '.join(broken)}", remedy="raise the event's version"
            )
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    for name, text in schema_files().items():
        (SCHEMAS / name).write_text(text)
    ASYNCAPI.write_text(asyncapi_text())


def main(arguments: list[str]) -> int:
    if arguments == ["write"]:
        write()
        return 0
    if arguments == ["check"]:
        wrong = differences()
        for line in wrong:
            print(line, file=sys.stderr)  # noqa: T201 - the answer of a command
        return 1 if wrong else 0
    print("usage: python -m deploy.contracts write|check", file=sys.stderr)  # noqa: T201 - likewise
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
