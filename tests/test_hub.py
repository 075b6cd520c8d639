"""`models get OWNER/NAME`: whatever a hub sends, the exact bytes stand in their place or nothing does."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import checkpoint, in_two
from conftest import environment
from hub_server import (
    COMMIT,
    NAME,
    Answer,
    Behaviour,
    a_range,
    breaks_off,
    chunked,
    hangs,
    honest,
    listing,
    no_ranges,
    raw,
    says,
    serving,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcodeseek.index_builder.checkpoints import checkpoints_directory, verify_checkpoint
from deepcodeseek.index_builder.download import RemoteFile
from deepcodeseek.index_builder.hub import HUB, Hub, Patience
from deepcodeseek.index_builder.hub_models import KNOWN, get_model, look_up
from deepcodeseek.index_builder.model_store import list_downloads, remove_model
from deepcodeseek.server.models import ModelProblem, data_directory, find_model

CONTENT = bytes(index * 7 % 251 for index in range(10_000))
SIZE = len(CONTENT)
OTHER = bytes(reversed(CONTENT))
PATH = f"/{NAME}/resolve/{COMMIT}/model.gguf"
FILE = RemoteFile("model.gguf", SIZE, sha256(CONTENT).hexdigest())
QUICK = Patience(timeout=10.0, pauses=(0.0, 0.0))
IMPATIENT = Patience(timeout=1.0, pauses=(0.0, 0.0))  # for a server that hangs
TOKEN = "hf_secret"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Behaviour, str]]:
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of its own, and no proxy before the loopback."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def hub(server: tuple[Behaviour, str]) -> Behaviour:
    """The server, honest again."""
    behaviour = server[0]
    behaviour.files = {"model.gguf": CONTENT}
    behaviour.about, behaviour.listing = {}, None
    behaviour.answers.clear()
    behaviour.asked.clear()
    return behaviour


@pytest.fixture
def address(server: tuple[Behaviour, str]) -> str:
    return f"http://{server[1]}"


def fetch(
    address: str, target: Path, file: RemoteFile = FILE, token: str = "", patience: Patience = QUICK
) -> str:
    """What the user is told where it fails; the file is in its place or it is not."""
    said: list[str] = []
    try:
        Hub(address, token, patience, said.append).fetch(PATH, file, target, lambda count: None)
    except ModelProblem as problem:
        assert not target.exists()
        said.append(str(problem))
        return said[-1]
    finally:
        assert all(line.isprintable() for line in said)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return ""


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


# One file, and a server that is not what it should be


ALL = f"bytes 0-{SIZE - 1}/{SIZE}"
UNSTATED = {"Content-Length": ""}
HTML = {"Content-Type": "text/html; charset=utf-8"}
RECOVERS: dict[str, list[Answer]] = {
    "honest": [honest],
    "breaks off once": [breaks_off(3000)],
    "breaks off twice": [breaks_off(3000), breaks_off(3000)],
    "breaks off at once": [breaks_off(0)],
    "breaks off before the last byte": [breaks_off(SIZE - 1)],
    "hangs": [hangs(4000)],
    "ends without a word": [raw(b"")],
    "is no web server": [raw(b"SSH-2.0-OpenSSH_9.2\r\n")],
    "writes to the terminal": [raw(b"HTTP/1.1 \x1b]0;x\x07 OK\r\n\r\n")],
    "an endless header": [raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)],
    "is overloaded": [says(503), says(429)],
    "chunked": [chunked(4000, 6000)],
    "chunked and broken off": [chunked(4000, ends=False)],
    "without a length": [says(200, headers=UNSTATED)],
    "without a length and broken off": [says(200, lambda content: content[:99], UNSTATED)],
    "a weak tag": [breaks_off(3000), says(200, ETag='W/"one"')],
    "changed meanwhile, and says so": [
        says(200, lambda content: OTHER[:500], {"ETag": '"other"', "Content-Length": str(SIZE)})
    ],
    "more than promised": [says(200, lambda content: content + b"xx", UNSTATED)],
    "more than promised, as stated": [says(200, lambda content: content + b"xx")],
    "fewer than promised, as stated": [says(200, lambda content: content[:-2])],
    "compressed": [says(200, Content_Encoding="gzip")],
    "a range without being asked": [a_range(ALL)],
    "ignores the range": [breaks_off(3000), says(200)],
    "another range": [breaks_off(3000), a_range(ALL)],
    "a range of another file": [breaks_off(3000), a_range(f"bytes 3000-{SIZE}/{SIZE + 1}")],
    "a range beyond the end": [breaks_off(3000), a_range(f"bytes 3000-{SIZE + 5}/{SIZE}")],
    "a range that is none": [breaks_off(3000), a_range("bytes")],
    "a shorter range": [breaks_off(3000), a_range(f"bytes 3000-4999/{SIZE}", lambda c: c[3000:5000])],
    "a range of unknown size": [breaks_off(3000), a_range(f"bytes 3000-{SIZE - 1}/*", lambda c: c[3000:])],
    "a range and other bytes": [
        breaks_off(3000),
        a_range(f"bytes 3000-{SIZE - 1}/{SIZE}", lambda content: OTHER[3000:]),
    ],
    "no ranges": [breaks_off(3000), no_ranges, no_ranges],
    "no content": [says(204, lambda content: b"")],
}


@pytest.mark.parametrize("what", RECOVERS)
def test_what_a_further_attempt_mends(what: str, hub: Behaviour, address: str, tmp_path: Path) -> None:
    hub.answers.extend(RECOVERS[what])
    patience = IMPATIENT if "hangs" in what else QUICK
    assert fetch(address, tmp_path / "got/model.gguf", patience=patience) == ""
    assert hub.answers == []


FAILS: dict[str, tuple[list[Answer], str]] = {
    "HTML": ([says(200, headers=HTML)], "a page of HTML came instead of model.gguf: is there a login"),
    "HTML for the rest": ([breaks_off(3000), says(206, headers=HTML)], "a page of HTML came instead"),
    "other bytes": (
        [says(200, lambda content: OTHER)],
        "has another hash than its listing states",
    ),
    "not there": ([says(404)], r"has no such model, commit or file, .* \(status 404\)"),
    "forbidden": ([says(403)], "accept its licence there and set HF_TOKEN"),
    "gone": ([says(410)], "answers with status 410"),
    "overloaded for long": ([says(500)] * 3, "status 500; 0 of 10,000 bytes are kept, and the same command"),
    "always breaks off": (
        [breaks_off(1000)] * 3,
        "at 3,000 of 10,000 bytes; 3,000 of 10,000 bytes are",
    ),
    "always hangs": ([hangs(1000)] * 3, r"broke off \(no answer in time\); 3,000 of 10,000 bytes are kept"),
    "always too much": (
        [says(200, lambda c: c + b"x", UNSTATED)] * 3,
        "sends more than the file",
    ),
    "always too little": ([says(200, lambda content: content[1:])] * 3, "has '9999' bytes instead of 10,000"),
    "a redirect to a file": ([says(302, Location="file:///etc/passwd")], "redirects to 'file:///etc/passwd'"),
    "a redirect to FTP": ([says(302, Location="ftp://127.0.0.1/x")], "which is not followed"),
    "a redirect to no address": ([says(302, Location="http://[")], "which is not followed"),
    "a redirect in circles": ([says(302, Location=PATH)] * 6, "is redirected more than 5 times"),
}


@pytest.mark.parametrize("what", FAILS)
def test_what_is_refused_or_given_up(what: str, hub: Behaviour, address: str, tmp_path: Path) -> None:
    answers, message = FAILS[what]
    hub.answers.extend(answers)
    target = tmp_path / "got/model.gguf"
    said = fetch(address, target, patience=IMPATIENT if "hangs" in what else QUICK)
    assert re.search(message, said), said
    assert hub.answers == []
    assert fetch(address, target) == ""  # an honest server mends it


def test_it_goes_on_where_it_ended(hub: Behaviour, address: str, tmp_path: Path) -> None:
    hub.answers.extend([breaks_off(3000), breaks_off(3000), breaks_off(3000)])
    target = tmp_path / "got/model.gguf"
    assert "9,000 of 10,000 bytes are kept" in fetch(address, target)
    assert part(target).read_bytes() == CONTENT[:9000]
    assert fetch(address, target) == ""
    ranges = [(each.headers.get("Range"), each.headers.get("If-Range")) for each in hub.fetched]
    tag = '"one"'
    assert ranges == [(None, None), ("bytes=3000-", tag), ("bytes=6000-", tag), ("bytes=9000-", None)]
    assert fetch(address, target) == ""
    assert len(hub.fetched) == 4  # what is there is not asked for


LEFT = {
    "nothing of it": (b"", None),
    "its beginning": (CONTENT[:4000], "bytes=4000-"),
    "something else": (OTHER[:4000], "bytes=4000-"),
    "all of it": (CONTENT, "no request"),
    "something else of its size": (OTHER, None),
    "more than it": (CONTENT + b"x", None),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_left_of_an_earlier_run(what: str, hub: Behaviour, address: str, tmp_path: Path) -> None:
    left, asked = LEFT[what]
    target = tmp_path / "got/model.gguf"
    target.parent.mkdir()
    part(target).write_bytes(left)
    assert fetch(address, target) == ""
    first = hub.fetched[0].headers.get("Range") if hub.fetched else "no request"
    assert first == asked


def test_small_files_count_by_their_git_blob(hub: Behaviour, address: str, tmp_path: Path) -> None:
    digest = sha1(b"blob %d\0" % SIZE + CONTENT).hexdigest()
    assert fetch(address, tmp_path / "got/model.gguf", RemoteFile("model.gguf", SIZE, digest)) == ""
    said = fetch(address, tmp_path / "more/model.gguf", RemoteFile("model.gguf", SIZE, "0" * 40))
    assert "another hash than its listing states" in said


def test_a_file_without_a_byte(hub: Behaviour, address: str, tmp_path: Path) -> None:
    empty = RemoteFile("empty.json", 0, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    Hub(address, "", QUICK).fetch(PATH, empty, tmp_path / "got/empty.json", lambda count: None)
    assert (tmp_path / "got/empty.json").read_bytes() == b""


def _any_answer() -> st.SearchStrategy[Answer]:
    lengths = st.integers(0, SIZE)
    statuses = st.sampled_from([200, 206, 204, 302, 400, 404, 416, 500, 503])
    stated = st.one_of(
        st.tuples(lengths, lengths, lengths).map(lambda each: f"bytes {each[0]}-{each[1]}/{each[2]}"),
        lengths.map(lambda begin: f"bytes {begin}-{SIZE - 1}/{SIZE}"),
        st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=10),
    )
    changed = st.sampled_from(
        [
            lambda content: content,
            lambda content: OTHER,
            lambda content: content[1:],
            lambda content: b"<html>",
        ]
    )
    wrong = st.fixed_dictionaries(
        {},
        optional={
            "Content-Length": st.one_of(st.just(""), lengths.map(str)),
            "Content-Range": stated,
            "Content-Type": st.sampled_from(["text/html", "application/octet-stream"]),
            "ETag": st.sampled_from(["", '"other"', 'W/"one"']),
        },
    )
    return st.one_of(
        st.just(honest),
        lengths.map(breaks_off),
        st.lists(st.integers(1, SIZE), max_size=3).map(lambda pieces: chunked(*pieces, ends=False)),
        st.binary(max_size=200).map(raw),
        st.builds(a_range, stated, changed),
        st.builds(says, statuses, changed, wrong),
    )


@given(answers=st.lists(_any_answer(), max_size=6), left=st.one_of(st.none(), st.binary(max_size=50)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_the_exact_bytes_stand_there_or_nothing_does(
    answers: list[Answer],
    left: bytes | None,
    hub: Behaviour,
    address: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    target = tmp_path_factory.mktemp("any") / "model.gguf"
    if left is not None:
        part(target).write_bytes(left)
    hub.answers[:] = answers
    fetch(address, target)
    hub.answers.clear()
    assert fetch(address, target) == ""


# Where a request goes


def test_a_token_stays_with_the_hub(hub: Behaviour, address: str, tmp_path: Path) -> None:
    with serving() as (elsewhere, there):
        elsewhere.files = hub.files
        hub.answers.extend([says(307, Location=PATH), says(302, Location=f"http://{there}{PATH}")])
        assert fetch(address, tmp_path / "got/model.gguf", token=TOKEN) == ""
        assert [each.headers.get("Authorization") for each in hub.fetched] == [f"Bearer {TOKEN}"] * 2
        assert [each.headers.get("Authorization") for each in elsewhere.asked] == [None]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc", "is no address of a hub"),
        ("huggingface.co", "is no address of a hub"),
        ("http://", "is no address of a hub"),
        ("https://host:port", "is no address of a hub"),
        ("https://h\u00f6st", "is no address of a hub"),
        (
            "http://127.0.0.1:1",
            r"127.0.0.1:1 cannot be reached \(.*refused\); where there is no net",
        ),
        ("http://no.such.host.invalid", "no.such.host.invalid cannot be reached"),
    ],
)
def test_an_address_that_leads_nowhere(url: str, message: str) -> None:
    with pytest.raises(ModelProblem, match=message):
        Hub(url, "", QUICK).ask("/api/models/a/b")


def test_a_token_that_is_none(address: str) -> None:
    with pytest.raises(ModelProblem, match="HF_TOKEN is no token"):
        Hub(address, "two\nlines")


def test_a_proxy_is_used(hub: Behaviour, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", address)
    assert Hub("http://hub.invalid", TOKEN, QUICK).ask("/api/models/a/b")["sha"] == COMMIT
    (asked,) = hub.asked
    assert asked.path == "http://hub.invalid/api/models/a/b"
    assert "Authorization" not in asked.headers  # anybody may listen in


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_https(hub: Behaviour, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout {key} -out {certificate}"
    subprocess.run([*make.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(lambda socket: context.wrap_socket(socket, server_side=True)) as (private, there):
        private.files = hub.files
        assert "has a certificate that is not trusted here" in fetch(f"https://{there}", tmp_path / "a/m")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(f"https://{there}", tmp_path / "b/m", token=TOKEN) == ""
        assert private.fetched[0].headers["Authorization"] == f"Bearer {TOKEN}"
        private.answers.append(says(302, Location=f"{address}{PATH}"))
        assert f"redirects to '{address}" in fetch(f"https://{there}", tmp_path / "c/m")
        assert hub.asked == []


# What a hub has


def test_a_checkpoint_is_offered_with_what_it_needs(hub: Behaviour, address: str, tmp_path: Path) -> None:
    hub.files = contents(in_two(tmp_path / "Tiny"))
    offer = look_up(Hub(address, "", QUICK), NAME)
    assert {file.path for file in offer.files} == {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert (offer.revision, offer.licence, offer.gguf) == (COMMIT, "apache-2.0", "")
    assert offer.size == sum(len(hub.files[file.path]) for file in offer.files)
    assert [asked.path for asked in hub.asked] == [
        f"/api/models/{NAME}",
        f"/api/models/{NAME}/tree/{COMMIT}?recursive=true",
    ]
    look_up(Hub(address, "", QUICK), NAME, COMMIT)
    assert hub.asked[2].path == f"/api/models/{NAME}/revision/{COMMIT}"


ONE, TWO = {"a-q4_0.gguf": b"a"}, {"a-q4_0.gguf": b"a", "more/b-q8_0.gguf": b"b"}
SPLIT = {f"a-0000{part}-of-00002.gguf": b"a" for part in (1, 2)}


@pytest.mark.parametrize(
    ("files", "file", "expected"),
    [
        (ONE, "", "a-q4_0.gguf"),
        (TWO, "more/b-q8_0.gguf", "b-q8_0.gguf"),
        (TWO, "", "several models: choose one with --file, of a-q4_0.gguf, more/b-q8_0.gguf"),
        (TWO, "c.gguf", "has no c.gguf in one piece; it has a-q4_0.gguf, more/b-q8_0.gguf"),
        (SPLIT, "", "neither weights as safetensors nor a GGUF"),
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "", "neither weights as safetensors nor a GGUF"),
        ({"config.json": b"{}", "model.safetensors": b"x"}, "", "there is no tokenizer.json"),
        ({}, "", "neither weights as safetensors nor a GGUF"),
    ],
)
def test_which_file_is_wanted(
    files: dict[str, bytes], file: str, expected: str, hub: Behaviour, address: str
) -> None:
    hub.files = files
    try:
        said = look_up(Hub(address, "", QUICK), NAME, file=file).gguf
    except ModelProblem as problem:
        said = str(problem)
    assert expected in said


FILES = {"model.gguf": CONTENT}
LIES: dict[
    str, tuple[dict[str, Any], Any, str]
] = {  # what is said of the model, the listing, and what comes of it
    "no commit": ({"sha": None}, None, "states another commit"),
    "a branch": ({"sha": "main"}, None, "states another commit"),
    "another commit": ({"sha": "f" * 40}, None, "states another commit"),
    "no listing": ({}, {"error": "none"}, "neither weights"),
    "a way out": ({}, [listing(FILES)[1] | {"path": "../model.gguf"}], "neither weights"),
    "a place elsewhere": ({}, [listing(FILES)[1] | {"path": "/model.gguf"}], "neither weights"),
    "a negative size": ({}, [listing(FILES)[1] | {"size": -1, "lfs": None}], "neither weights"),
    "no hash": ({}, [listing(FILES)[1] | {"oid": "x", "lfs": None}], "neither weights"),
    "no JSON": ({}, b"<html>", "is no hub: what it says at .* is no JSON"),
    "JSON too deep": ({}, b"[" * 100_000, "is no hub: what it says at .* is no JSON"),
    "JSON without end": ({}, b" " * (17 << 20), "does not end"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_hub_that_lies(what: str, hub: Behaviour, address: str) -> None:
    hub.about, hub.listing, message = LIES[what]
    with pytest.raises(ModelProblem, match=message):
        look_up(Hub(address, "", QUICK), NAME, COMMIT)


@pytest.mark.parametrize(
    "name", ["tiny", "../tiny", "owner/", "owner/tiny/more", "owner/ti ny", "owner/tiny?x"]
)
def test_what_is_no_name(name: str, address: str) -> None:
    with pytest.raises(ModelProblem, match="their names are OWNER/NAME"):
        look_up(Hub(address, "", QUICK), name)


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT[:12], COMMIT.upper(), "../" + COMMIT])
def test_a_revision_is_a_whole_commit(revision: str, address: str) -> None:
    with pytest.raises(ModelProblem, match="is no commit: 40 hexadecimal digits"):
        look_up(Hub(address, "", QUICK), NAME, revision)


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_has_to_be_so(name: str, hub: Behaviour, address: str, tmp_path: Path) -> None:
    known = KNOWN[name]
    hub.files = contents(checkpoint(tmp_path / "other")) | {known.file or "x.gguf": b"other"}
    hub.about = {"sha": known.revision}
    hub.listing = listing(hub.files)
    with pytest.raises(ModelProblem, match=r"lists another .*: nothing was fetched"):
        look_up(Hub(address, "", QUICK), name)
    assert hub.fetched == []
    help_text = " ".join(subprocess.run(command("--help"), capture_output=True, text=True).stdout.split())
    assert name in help_text
    assert f"[default: {HUB}]" in help_text


# The whole way


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def get(address: str, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `deepcodeseek models get`; nobody ever sees a traceback."""
    done = subprocess.run(
        command(*arguments, "--hub", address), capture_output=True, text=True, timeout=60, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", "models", "get", *arguments]


def test_a_checkpoint_is_fetched_once(hub: Behaviour, address: str, tmp_path: Path, home: Path) -> None:
    hub.files = contents(checkpoint(tmp_path / "Tiny"))
    hub.answers.extend([honest, honest, honest, breaks_off(100)])
    place = checkpoints_directory() / "Tiny"
    status, out, err = get(address, NAME)
    assert (status, out) == (0, f"fetched: {place}\n")
    said = err.splitlines()
    assert said[0] == f"{NAME} from {address}, commit {COMMIT}"
    assert said[1].startswith("4 files, 0.0 MB, licence apache-2.0")
    assert said[2].startswith("the connection broke off at 100 of")
    card = verify_checkpoint(place)
    assert (card["source"], card["revision"], card["licence"]) == (f"{address}/{NAME}", COMMIT, "apache-2.0")
    for name in card["sha256"]:
        assert (place / name).read_bytes() == hub.files[name]
    assert list((home / "models/downloads").iterdir()) == []
    asked = len(hub.fetched)
    assert get(address, NAME, "--revision", COMMIT)[:2] == (0, f"already there and whole: {place}\n")
    assert len(hub.fetched) == asked
    (place / "config.json").write_text("damaged")
    assert get(address, NAME)[:2] == (0, f"fetched: {place}\n")
    assert (place / "config.json").read_bytes() == hub.files["config.json"]


def test_a_killed_download_is_gone_on_with(hub: Behaviour, address: str, tmp_path: Path, home: Path) -> None:
    hub.files = contents(checkpoint(tmp_path / "Tiny"))
    hub.answers.extend([honest, honest, honest, hangs(100)])
    process = subprocess.Popen(
        command(NAME, "--hub", address),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kept = home / "models/downloads" / f"owner--Tiny--{COMMIT[:12]}/model.safetensors.part"
    wait_until(lambda: kept.exists() and kept.stat().st_size == 100)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not checkpoints_directory().exists()
    (left,) = list_downloads()
    assert (left.name, left.state) == (f"owner--Tiny--{COMMIT[:12]}", "not finished")
    asked = len(hub.fetched)
    assert get(address, NAME)[0] == 0
    assert [each.headers.get("Range") for each in hub.fetched[asked:]] == ["bytes=100-"]
    assert list_downloads() == ()
    verify_checkpoint(checkpoints_directory() / "Tiny")


def test_what_is_not_supported_is_not_fetched(hub: Behaviour, address: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "Tiny", {"architectures": ["BertModel"]})
    hub.files = contents(source)
    status, _, err = get(address, NAME)
    assert status == 1
    assert "supported are Qwen3ForCausalLM and LlamaForCausalLM" in err.splitlines()[-1]
    assert not any("safetensors" in each.path for each in hub.fetched)
    (left,) = list_downloads()
    remove_model(left.name)
    assert list_downloads() == ()


def _disk_full() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))


def test_a_full_disk(hub: Behaviour, address: str, tmp_path: Path, home: Path) -> None:
    hub.files = contents(checkpoint(tmp_path / "Tiny")) | {"tokenizer_config.json": b" " * 600 + b"{}"}
    status, _, err = get(address, NAME, preexec_fn=_disk_full)
    assert status == 1
    part = home / f"models/downloads/owner--Tiny--{COMMIT[:12]}/tokenizer_config.json.part"
    assert err.splitlines()[-1] == f"Error: {part} cannot be written: File too large"
    assert not checkpoints_directory().exists()
    assert get(address, NAME)[0] == 0


def test_the_command_says_in_one_line_what_is_wrong(hub: Behaviour, address: str, tmp_path: Path) -> None:
    hub.files = contents(checkpoint(tmp_path / "Tiny"))
    cases: list[tuple[tuple[str, ...], str]] = [
        (("Tiny",), "Error: 'Tiny' is no model on a hub"),
        ((NAME, "--revision", "main"), "Error: 'main' is no commit"),
        ((NAME, "--max-gb", "0"), f"Error: {NAME} takes 0.0 GB, more than --max-gb 0 allows"),
        ((NAME, "--file", "a.gguf"), f"Error: {NAME} has no a.gguf in one piece"),
    ]
    for arguments, message in cases:
        status, out, err = get(address, *arguments)
        assert (status, out) == (1, "")
        assert err.splitlines()[-1].startswith(message)
    assert hub.fetched == []


def test_the_variables_of_hugging_face(hub: Behaviour, address: str, tmp_path: Path) -> None:
    hub.files = contents(checkpoint(tmp_path / "Tiny"))
    variables = environment(HF_ENDPOINT=address, HF_TOKEN=TOKEN)
    done = subprocess.run(
        command(NAME), env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    assert TOKEN not in done.stdout + done.stderr
    assert {asked.headers.get("Authorization") for asked in hub.asked} == {f"Bearer {TOKEN}"}


def test_a_generator_is_fetched_and_tried(
    hub: Behaviour, address: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPCODESEEK_DATA_HOME")
    real = find_model("generator")
    if real is None:
        pytest.skip("no generator is installed")
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(home))
    hub.files = {"README.md": b"", "tiny-q4_1.gguf": real.path(real.file).read_bytes()}
    offer = look_up(Hub(address, "", QUICK), NAME)
    hub.answers.append(breaks_off(1 << 20))
    place, fetched = get_model(Hub(address, "", QUICK), offer)
    assert (place, fetched) == (data_directory() / "generator/tiny-q4_1.gguf", True)
    assert json.loads((place.parent / "model.json").read_text())["revision"] == COMMIT
    assert get_model(Hub(address, "", QUICK), offer) == (place, False)
    hub.files = {"tiny.gguf": b"GGUF, and nothing else"}
    with pytest.raises(ModelProblem):
        get_model(Hub(address, "", QUICK), look_up(Hub(address, "", QUICK), NAME))
    assert find_model("generator") is not None
    assert place.stat().st_size == real.path(real.file).stat().st_size


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
