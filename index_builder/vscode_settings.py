"""The VS Code extension's settings, made from the server's: manifest, README and code never disagree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.settings import Settings, option_name

CLIENT = Path(__file__).parents[1] / "vscode-client"
PACKAGE, CLIENT_README = CLIENT / "package.json", CLIENT / "README.md"
OWN = ("deepcodeseek.pythonPath", "deepcodeseek.installFrom")
"""Settings of the extension that the server does not know."""

_TYPES: Mapping[type, str] = MappingProxyType(
    {bool: "boolean", int: "integer", str: "string", float: "number"}
)


def updated_package(package: str) -> str:
    """The text of package.json with the server's settings written anew."""
    content = json.loads(package)
    configuration = content["contributes"]["configuration"]
    own = {name: configuration["properties"][name] for name in OWN}
    served = {f"deepcodeseek.{option_name(f.name)}": _property(f) for f in fields(Settings)}
    configuration["properties"] = own | served
    # A workspace that nobody trusts names no program, no model and no place.
    restricted = [*OWN, *(name for name, schema in served.items() if schema["type"] == "string")]
    content["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"] = restricted
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def client_settings_table(package: str) -> str:
    """Markdown table of every setting of the extension."""
    properties = json.loads(package)["contributes"]["configuration"]["properties"]
    rows = (
        f"| `{name}` | `{json.dumps(p['default'])}` | {p['markdownDescription']} |"
        for name, p in properties.items()
    )
    return "\n".join(("| setting | default | |", "|---|---|---|", *rows)) + "\n"


def _property(field: Any) -> dict[str, Any]:
    kind, bounds = _TYPES[type(field.default)], field.metadata
    limits: dict[str, Any] = {}
    if bounds["high"]:
        limits = {"minimum": bounds["low"], "maximum": bounds["high"]}
    elif bounds["choices"]:
        limits = {"enum": list(bounds["choices"])}
    return {
        "type": kind,
        "default": field.default,
        **limits,
        "scope": "machine-overridable" if kind == "string" else "window",
        "markdownDescription": bounds["description"],
    }
