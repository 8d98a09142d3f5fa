"""pytest-benchmark's Elasticsearch storage, with a stand-in for the server: it takes runs as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest
from pytest_benchmark.logger import Logger
from pytest_benchmark.utils import load_storage

from pytest_microcloud import runs
from tests.support import run_files

PROGRAM = Path(sys.executable).parent / "pytest-benchmark"
ROOT = Path(__file__).parent.parent


class StandIn(BaseHTTPRequestHandler):
    """So much of Elasticsearch 7 as its client needs to keep documents and to find them."""

    documents: dict[str, dict[str, Any]]

    def do_GET(self) -> None:
        self._answer({"version": {"number": "7.17.13", "build_flavor": "default"}})

    def do_PUT(self) -> None:
        body = json.loads(self._body())
        if (at := re.fullmatch(r"/nightly/benchmark/(.+)", self.path)) is not None:
            self.documents[unquote(at[1])] = body
        self._answer({"result": "created"})

    def do_POST(self) -> None:
        self._body()
        hits = [{"_id": name, "_source": document} for name, document in self.documents.items()]
        self._answer({"hits": {"hits": hits}})

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Elasticsearch:
    """The stand-in, as a user sees it."""

    def __init__(self, server: ThreadingHTTPServer, documents: dict[str, dict[str, Any]]) -> None:
        self.storage = f"elasticsearch+http://127.0.0.1:{server.server_port}/nightly/benchmark"
        self.documents = documents


@pytest.fixture
def elasticsearch() -> Iterator[Elasticsearch]:
    documents: dict[str, dict[str, Any]] = {}
    handler = type("Handler", (StandIn,), {"documents": documents})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield Elasticsearch(server, documents)
        server.shutdown()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its client's and its storage's own affair
def test_it_takes_a_run_file_with_all_that_is_ours(tmp_path: Path, elasticsearch: Elasticsearch) -> None:
    pages = run_files.benchmark("serving.page_time", [0.2, 0.3], setting="docker", clients=50)
    file = run_files.store(tmp_path / "20260301T120000-1.json", [pages])
    storage = load_storage(elasticsearch.storage, logger=Logger(0), default_machine_id="m", netrc="")
    storage.save(runs.read(file), file.stem)
    ((name, document),) = elasticsearch.documents.items()
    assert name == f"m_{file.stem}_{pages['fullname']}"
    assert document["extra_info"] == pages["extra_info"]
    assert document["machine_info"]["microcloud"]["boards"]["desk"]["model"] == "pi3b"

    command = [str(PROGRAM), f"--storage={elasticsearch.storage}", "compare"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pages["name"] in done.stdout


@pytest.mark.engine
@pytest.mark.long
def test_a_session_with_a_board_saves_to_it(tmp_path: Path, elasticsearch: Elasticsearch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "hosts.ini").write_text((ROOT / "hosts.ini").read_text())
    (tmp_path / "test_mine.py").write_text(
        "from pytest_microcloud.experiments import io\n\n\n"
        "def test_memory(board, measure):\n"
        "    measure(io.memory, board, size=4096, repetitions=2, seconds=0.5)\n"
    )
    options = [f"--benchmark-storage={elasticsearch.storage}", "--benchmark-save=tonight", "--hosts=pi3b"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (document,) = elasticsearch.documents.values()
    (measurement,) = document["extra_info"]["microcloud"]["measurements"]
    assert (measurement["metric"], len(measurement["samples"])) == ("io.memory_time", 2)
    (file,) = (tmp_path / "reports" / "runs").glob("*.json")
    assert runs.load(file).boots("pi3b-emulated") == 1
