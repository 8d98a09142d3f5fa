"""Catalog files that tests write."""

from __future__ import annotations

from pathlib import Path

BOARD = """
[boards.mine]
name = "My board"
cores = { value = 2, source = "its data sheet" }
mem_total_bytes = { value = 500_000_000, source = "free" }
sevenzip_mips_all_cores = { value = 900, source = "7z b" }
"""

WORKLOAD = """
[workloads.mine]
name = "My server"
type = "Web server"
source = "my own"
port = 8080
typical_memory_bytes = 5_000_000
typical_start_s = 1.5
ready = { kind = "http", expect = "hello" }
"""

LIMIT = """
[limits.pi3b.serving.page_time]
max = 0.5
source = "my users"
"""


def written(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def without(text: str, key: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith(key))
