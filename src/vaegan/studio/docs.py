"""The page that documents the API, made from its OpenAPI description: no script, and nothing from the network."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
:root { --paper: #f6f7f9; --card: #fff; --ink: #1b1f24; --quiet: #535c66; --edge: #d5dae0; --accent: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0f1216; --card: #171b21; --ink: #e6e9ee; --quiet: #9fa9b5; --edge: #323a44; --accent: #82bbff; }
}
html { color-scheme: light dark; }
body { margin: 0 auto; max-width: 900px; padding: 24px 20px 48px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 36px 0 12px; text-transform: capitalize; }
h3 { margin: 0; font: 600 1rem/1.4 ui-monospace, monospace; }
article { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 16px 20px;
  margin: 12px 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 4px 16px 4px 0; border-top: 1px solid var(--edge); }
th { font-family: ui-monospace, monospace; font-weight: 600; }
td { color: var(--quiet); }
b { color: var(--accent); } a { color: var(--accent); }
code { font-family: ui-monospace, monospace; }
"""


def docs_page(api: Mapping[str, Any]) -> str:
    """Return HTML that lists every path of an OpenAPI 3 description with its parameters and purpose."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in api["paths"].items():
        for method, about in methods.items():
            by_tag.setdefault(about.get("tags", ["more"])[0], []).append(_article(api, path, method, about))
    sections = "".join(f"<section><h2>{escape(tag)}</h2>{''.join(parts)}</section>" for tag, parts in by_tag.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>vaegan API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body>'
        f"<h1>vaegan API</h1><p>JSON in, JSON out; images in JSON are PNGs as data URIs. Errors are answered "
        f"with <code>{{&quot;error&quot;: one line}}</code> and a status of 400 to 499. For programs: "
        f'<a href="/openapi.json">openapi.json</a>.</p>{sections}</body></html>'
    )


def _article(api: Mapping[str, Any], path: str, method: str, about: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(type_)}</td><td>{escape(words)}</td></tr>"
        for name, type_, words in _inputs(api, about)
    )
    table = f"<table>{rows}</table>" if rows else ""
    words = escape(about.get("description", about.get("summary", "")))
    return f"<article><h3><b>{method.upper()}</b> {escape(path)}</h3><p>{words}</p>{table}</article>"


def _inputs(api: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and meaning of each parameter and field of a request."""
    for parameter in about.get("parameters", []):
        yield parameter["name"], _type(api, parameter["schema"]), parameter.get("description", "")
    for content in about.get("requestBody", {}).get("content", {}).values():
        for name, schema in _resolved(api, content["schema"]).get("properties", {}).items():
            yield name, _type(api, schema), schema.get("description", "")


def _type(api: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return a type in words: its choices, bounds and default."""
    schema = _resolved(api, schema) | {key: value for key, value in schema.items() if key == "default"}
    types = [_type(api, option) for option in schema.get("anyOf", []) if option.get("type") != "null"]
    words = " or ".join(types) or " | ".join(map(str, schema.get("enum", []))) or str(schema.get("type", "value"))
    if schema.get("type") == "array":
        words = f"list of {_type(api, schema['items'])}" if "items" in schema else "list"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None and schema.get("type") == "integer":
        words += f", {low} to {high}"
    default = schema.get("default")
    return words + (f", default {default}" if default not in (None, {}, []) else "")


def _resolved(api: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return dict(schema)
    target: Any = api
    for key in reference.removeprefix("#/").split("/"):
        target = target[key]
    return dict(target)
