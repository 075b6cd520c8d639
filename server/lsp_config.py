"""Settings: the options of initialize, and over them what the editor's configuration says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from lsprotocol import types as lsp

from .lsp_life import NAME, Root, Server, Session, log
from .settings import Settings, option_name, parse_settings

ANSWER_SECONDS = 2.0  # for an editor to say what its configuration is
LOADED_BY = (
    "index_directory",
    "models_directory",
    "lite",
    "expand_prompt",
)  # settings that say what is loaded


async def configure(ls: Server, pushed: object = None) -> list[Root]:
    """Read all settings anew and name what is wrong; the folders that must be loaded anew for them.

    `pushed` is the configuration where an editor sends it without being asked.
    """
    asked = await _ask(ls)
    configured = _of_this_server(asked if asked is not None else pushed)
    options = ls.options if isinstance(ls.options, Mapping) else {}
    settings, problems = parse_settings({**options, **configured} if configured else ls.options)
    for problem in problems:
        ls.say(problem)
    changed = [root for root in ls.roots if _begins_anew(root.session, settings)]
    for root in ls.roots:
        root.session = replace(root.session, settings=settings)
    return changed


async def watch_configuration(ls: Server) -> None:
    """Ask the editor to say when its configuration changes, where it can."""
    workspace = ls.client_capabilities.workspace
    changes = workspace.did_change_configuration if workspace else None
    if changes and changes.dynamic_registration:
        method = lsp.WORKSPACE_DID_CHANGE_CONFIGURATION
        await register(ls, lsp.Registration(f"{NAME} settings", method, {"section": NAME}))


async def register(ls: Server, registration: lsp.Registration) -> None:
    """Ask for what the editor says that it can do; it may refuse all the same."""
    try:
        await ls.client_register_capability_async(lsp.RegistrationParams([registration]))
    except Exception as error:
        log.info("the client does not register %s: %s", registration.method, error)


async def _ask(ls: Server) -> object:
    """What the editor's configuration says; None where it cannot be asked."""
    workspace = ls.client_capabilities.workspace
    if not (workspace and workspace.configuration):
        return None
    question = lsp.ConfigurationParams([lsp.ConfigurationItem(section=NAME)])
    try:
        answer = await asyncio.wait_for(ls.workspace_configuration_async(question), ANSWER_SECONDS)
        return answer[0] if answer else None
    except Exception as error:  # it may say that it can and refuse
        log.info("the client does not say what its configuration is: %s", type(error).__name__)
        return None


def _of_this_server(configured: object) -> dict[str, Any]:
    """The options of the server among those of its section, which may hold the editor extension's own."""
    if not isinstance(configured, Mapping):
        return {}
    section = configured.get(NAME, configured)
    names = {option_name(field.name) for field in fields(Settings)}
    if not isinstance(section, Mapping):
        return {}
    return {name: value for name, value in section.items() if name in names and value is not None}


def _begins_anew(session: Session, after: Settings) -> bool:
    """Whether something else is to be loaded, or an index to be built that nobody was to build before."""
    before = session.settings
    is_wanted = session.engine is None and after.auto_index and not before.auto_index
    return is_wanted or any(getattr(before, name) != getattr(after, name) for name in LOADED_BY)
