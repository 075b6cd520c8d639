"""Measures the server as an editor meets it: real lines are typed over stdin and stdout, key by key.

python -m deepcodeseek.index_builder.bench_lsp --workspace DIR --index DIR --out FILE      `make bench-lsp`

The editor is a quick one: it asks at the first letter of each name and at each further one, and shows what
comes. Beside it stands what one pass of the encoder takes in this process at the same time, so that the
figures can be compared between machines, and between idle and busy ones.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import click
import numpy as np

from deepcodeseek.server.index import Index, open_index
from deepcodeseek.server.lsp_anytime import PAUSE_SECONDS
from deepcodeseek.server.models import Encoder, find_model, load_encoder

from .atomic import write_lines
from .lsp_client import Client, Pending
from .typist import Site, call_sites, keys

SITES = 40
QUIET_SITES = 6  # typed without asking
REFINED_SECONDS = 5.0
LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "first list": 50,
        "next letter": 50,
        "the same again": 5,
        "refined list, after the pause": 400,
        "hover while a completion runs": 20,
        "resolve while a completion runs": 20,
        "cancelled": 50,
        "superseded": 50,
    }
)
"""Milliseconds at the 95th percentile."""
Times = defaultdict[str, list[float]]


@click.command()
@click.option("--workspace", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--index", "directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--sites", "count", default=SITES, help="How many lines are typed.")
@click.option("--seed", default=0)
def main(workspace: Path, directory: Path, out: Path, count: int, seed: int) -> None:
    """Type lines of WORKSPACE against its index and write the times."""
    files = find_model("encoder")
    assert files
    encoder = load_encoder(files)
    index = open_index(directory, encoder.files.sha256)
    result = measure(encoder, index, workspace.resolve(), directory.resolve(), count, seed)
    write_lines(out, [json.dumps(result, indent=2)])
    click.echo(latency_table(result))


def measure(
    encoder: Encoder,
    index: Index,
    workspace: Path,
    directory: Path,
    count: int,
    seed: int = 0,
    pace: float = 1.0,
) -> dict[str, Any]:
    """Type so many lines; the times by what was asked, processor share, memory."""
    sites = call_sites(index, workspace, count + QUIET_SITES, seed)
    typed, quiet = sites[:count], sites[-QUIET_SITES:]
    with Client() as client:
        options = {"indexDirectory": str(directory), "autoIndex": False}
        client.initialize(workspace, initializationOptions=options)
        client.ready()
        bench = Bench(client, encoder, seed, pace)
        bench.settle(typed[0])
        bench.refined = 0
        bench.times.clear()
        for site in typed:
            bench.type(site)
        share = _processor_share(client, quiet, pace)
        memory = {name: _peak_mb(pid) for name, pid in processes(client).items()}
    return {
        "command": f"make bench-lsp WORKSPACE=folder INDEX=folder  # --sites {count} --seed {seed}",
        "apis": index.count,
        "lines": len(typed),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "ms": {name: _summary(ms, LIMITS.get(name)) for name, ms in bench.times.items()},
        "refinements": len(bench.times["refined list, after the pause"]),
        "refined": bench.refined,
        "processor_share_percent": share,
        "peak_mb": memory,
    }


def latency_table(result: dict[str, Any]) -> str:
    """Markdown: the times, what they were measured beside, and what the server takes."""
    head = ("| what | n | p50 | p95 | p99 | p95 at most |", "|---|---|---|---|---|---|")
    order = (*LIMITS, "one encoder pass")
    rows = (
        f"| {name} | {ms['n']} | {ms['p50']:.1f} ms | {ms['p95']:.1f} ms | {ms['p99']:.1f} ms "
        f"| {ms['limit']} ms |"
        if "limit" in ms
        else f"| *{name}* | {ms['n']} | {ms['p50']:.1f} ms | {ms['p95']:.1f} ms | {ms['p99']:.1f} ms | |"
        for name, ms in sorted(result["ms"].items(), key=lambda item: order.index(item[0]))
    )
    peak = ", ".join(f"{name} {mb:,} MB" for name, mb in result["peak_mb"].items())
    notes = (
        f"- {result['lines']} lines typed, {result['apis']:,} APIs, {result['cores']} cores, "
        f"load {result['load'][0]:.1f} when it ended.",
        f"- {result['refined']} of {result['refinements']} refinements had ended when the deadline came.",
        f"- Typing without asking takes {result['processor_share_percent']:.1f} % of one core.",
        f"- Peak memory: {peak}.",
    )
    return "\n".join((*head, *rows, "", *notes)) + "\n"


class Bench:
    """One editor, typing."""

    def __init__(self, client: Client, encoder: Encoder, seed: int, pace: float) -> None:
        self._client, self._encoder, self._pace = client, encoder, pace
        self._chance = Random(seed)
        self._version = 1
        self.times: Times = defaultdict(list)
        self.refined = 0

    def settle(self, site: Site) -> None:
        """Type one line that does not count: models load with the first question."""
        self.type(site)

    def type(self, site: Site, waits: bool = True) -> None:
        """Type a line, wait for its refined list or not, then ask in its file what else an editor asks."""
        uri = site.path.as_uri()
        self._client.open(uri, site.text)
        last = self._type_line(site, uri)
        if waits:
            self._refined_list()
        self._at_once(site, uri, last)
        self._ended(site, uri)
        self._client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def _type_line(self, site: Site, uri: str) -> list[dict[str, Any]]:
        """The items of the last list."""
        so_far = site.indent
        items: list[dict[str, Any]] = []
        for number, key in enumerate(keys(site.typed, self._chance.randrange(1 << 30), self._pace)):
            time.sleep(key.seconds)
            before = so_far
            so_far = so_far + key.text if key.text else so_far[:-1]
            self._change(uri, site.line, len(before), key.text)
            if number % 10 == 0:
                self._encoder_pass(site)
            asked = _kind(before, key.text)
            if asked:
                items = self._ask(asked, uri, site.line, len(so_far)) or items
        return items

    def _change(self, uri: str, line: int, end: int, text: str) -> None:
        """Write `text` at the end of the line, or delete what stands last."""
        self._version += 1
        start = end if text else end - 1
        places = ({"line": line, "character": start}, {"line": line, "character": end})
        self._client.change(
            uri, self._version, {"range": dict(zip(("start", "end"), places, strict=True)), "text": text}
        )

    def _ask(self, name: str, uri: str, line: int, character: int) -> list[dict[str, Any]]:
        pending = self._client.complete(uri, line, character)
        items: list[dict[str, Any]] = pending.result()["items"]
        self.times[name].append(pending.ms)
        if name == "first list":
            again = self._client.complete(uri, line, character)
            self.times["the same again"].append(again.ms)
        return items

    def _encoder_pass(self, site: Site) -> None:
        text = site.text[-1000:]
        start = time.perf_counter()
        self._encoder.encode([text])
        self.times["one encoder pass"].append(1000 * (time.perf_counter() - start))

    def _refined_list(self) -> None:
        """From the last key until the refinement has ended, where there is a model for it."""
        if not any(model["kind"] in ("generator", "reranker") for model in self._client.status()["models"]):
            return
        start, before = time.perf_counter(), self._client.status()["counters"]
        while time.perf_counter() < start + REFINED_SECONDS:
            now = self._client.status()["counters"]
            ended = [name for name in ("refined", "not refined") if now.get(name, 0) > before.get(name, 0)]
            if ended:
                self.times["refined list, after the pause"].append(
                    max(0.0, 1000 * (time.perf_counter() - start - PAUSE_SECONDS))
                )
                self.refined += "refined" in ended
                return
            time.sleep(0.005)

    def _at_once(self, site: Site, uri: str, items: Sequence[dict[str, Any]]) -> None:
        """A hover, and a resolve, while a completion is being made for a place that nobody asked for."""
        for method in ("hover", "resolve"):
            running = self._elsewhere(site, uri)
            if method == "hover":
                asked = self._client.at("textDocument/hover", uri, site.line, len(site.indent) + 5)
            elif items:
                asked = self._client.request("completionItem/resolve", items[0])
            else:
                continue
            asked.wait()
            self.times[f"{method} while a completion runs"].append(asked.ms)
            running.wait()

    def _ended(self, site: Site, uri: str) -> None:
        """What is cancelled, and what the next question supersedes, from that moment on."""
        running = self._elsewhere(site, uri)
        time.sleep(0.004)
        start = time.perf_counter()
        self._client.cancel(running)
        self._count_if_ended("cancelled", running, start)
        running = self._elsewhere(site, uri)
        time.sleep(0.004)
        start = time.perf_counter()
        self._elsewhere(site, uri).wait()
        self._count_if_ended("superseded", running, start)

    def _count_if_ended(self, name: str, running: Pending, start: float) -> None:
        if "error" in running.wait():
            self.times[name].append(1000 * (running.answered - start))

    def _elsewhere(self, site: Site, uri: str) -> Pending:
        """A question at a line that was not looked at before."""
        line = self._chance.randrange(len(site.lines))
        return self._client.complete(uri, line, 0)


def _kind(before: str, key: str) -> str:
    """What an editor asks after a key, if it does."""
    is_name = bool(before) and (before[-1].isalnum() or before[-1] in "_$")
    if key.isalpha() and not is_name:
        return "first list"
    if key.isalnum() and is_name:
        return "next letter"
    return "first list" if key == " " and before.endswith("new") else ""


def _summary(ms: Sequence[float], limit: int | None) -> dict[str, Any]:
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(ms, (50, 95, 99)))
    return {"n": len(ms), "p50": p50, "p95": p95, "p99": p99} | ({"limit": limit} if limit else {})


# Processor and memory: of the server and of its generator


def _processor_share(client: Client, sites: Sequence[Site], pace: float) -> float:
    """Percent of one core that all of it takes while somebody types and asks nothing."""
    start, used = time.monotonic(), _processor_seconds(client)
    version = 1_000_000
    for site in sites:
        uri = site.path.as_uri()
        client.open(uri, site.text)
        column = len(site.indent)
        for key in keys(site.typed, 1, pace):
            time.sleep(key.seconds)
            version += 1
            place = {"line": site.line, "character": column}
            before = {"line": site.line, "character": column - (not key.text)}
            client.change(uri, version, {"range": {"start": before, "end": place}, "text": key.text})
            column += 1 if key.text else -1
    return round(100 * (_processor_seconds(client) - used) / (time.monotonic() - start), 1)


def processes(client: Client) -> dict[str, int]:
    """Process numbers of the server and of its generator, where that runs."""
    found = {"server": client.process.pid}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == client.process.pid:
            found["generator"] = int(path.parent.name)
    return found


def _processor_seconds(client: Client) -> float:
    ticks = 0
    for pid in processes(client).values():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
