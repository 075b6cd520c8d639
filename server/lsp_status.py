"""What a bug report needs, as JSON: the command `deepcodeseek.status`."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict
from typing import Any

from . import __version__
from .engine import Engine
from .generation import IndexProblem, read_manifest
from .lsp_life import Server, Session, chosen_index, run_on


async def status(ls: Server) -> dict[str, Any]:
    """The state of everything; documents by hash, their text stays here."""
    session = ls.session
    engine = session.engine
    return {
        "versions": {"deepcodeseek": __version__, "python": sys.version.split()[0], "platform": sys.platform},
        "state": session.state,
        "settings": asdict(session.settings),
        "index": await run_on(ls.lookups, _manifest, session),
        "folders": [_folder(root.session) for root in ls.roots],
        "models": _models(engine),
        "documents": [
            {
                "uri": d.uri,
                "version": d.version,
                "sha256": hashlib.sha256(d.source.encode("utf-8", "surrogatepass")).hexdigest(),
            }
            for d in ls.workspace.text_documents.values()
        ],
        "counters": dict(ls.counters),
    }


def _folder(session: Session) -> dict[str, str]:
    return {
        "folder": str(session.workspace),
        "state": session.state,
        "directory": str(chosen_index(session)),
    }


def _manifest(session: Session) -> dict[str, Any]:
    directory = chosen_index(session)
    try:
        generation, manifest = read_manifest(directory)
    except IndexProblem as problem:
        return {"directory": str(directory), "problem": str(problem)}
    return {"directory": str(directory), "generation": generation.name, **manifest}


def _models(engine: Engine | None) -> list[dict[str, str]]:
    if engine is None:
        return []
    fusion = {"kind": "fusion", "name": "fusion", "state": "loaded"}
    fused = [fusion | {"sha256": engine.fusion.sha256}] if engine.fusion else []
    every = (engine.encoder, engine.query_encoder, engine.generator, engine.reranker, engine.causal)
    return fused + [
        {"kind": m.files.kind, "name": m.files.name, "sha256": m.files.sha256, "state": m.state}
        for m in every
        if m
    ]
