"""Errors in a user's catalog files: each names the file and the key."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from pytest_microcloud.catalog import load
from pytest_microcloud.errors import CatalogError, UserMistake
from pytest_microcloud.verdict.gate import Rules
from tests.support.catalog_files import BOARD, LIMIT, WORKLOAD, without, written


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        pytest.param("boards = [", "", "is not TOML", id="not TOML"),
        pytest.param("[board.mine]", "board", "unknown; did you mean 'boards'?", id="unknown table"),
        pytest.param("boards = 5", "boards", "a table is needed, not 5", id="no table"),
        pytest.param(
            BOARD.replace("cores =", "coers ="),
            "boards.mine.coers",
            "unknown; did you mean 'cores'?",
            id="unknown figure",
        ),
        pytest.param(
            BOARD + 'sources = { value = 1, source = "me" }',
            "boards.mine.sources",
            "unknown",
            id="a figure that is none",
        ),
        pytest.param(
            '[boards.child]\nlike = "mine"\n' + BOARD.replace("cores =", "coers ="),
            "boards.mine.coers",
            "unknown; did you mean 'cores'?",
            id="unknown figure of the model that another is like",
        ),
        pytest.param(
            BOARD.replace("value = 2", 'value = "two"'),
            "boards.mine.cores",
            "a whole number is needed, not 'two'",
            id="text for a number",
        ),
        pytest.param(
            BOARD.replace("value = 2", "value = 2.5"),
            "boards.mine.cores",
            "a whole number is needed, not 2.5",
            id="fraction for a whole number",
        ),
        pytest.param(
            BOARD.replace("value = 2", "value = true"),
            "boards.mine.cores",
            "a whole number is needed, not True",
            id="truth for a number",
        ),
        pytest.param(
            BOARD.replace('"My board"', "5"),
            "boards.mine.name",
            "a string is needed, not 5",
            id="number for a text",
        ),
        pytest.param(
            BOARD + 'isa = { value = "armv7l", source = "uname -m" }',
            "boards.mine.isa",
            "a list is needed, not 'armv7l'",
            id="text for a list",
        ),
        pytest.param(
            BOARD.replace('{ value = 2, source = "its data sheet" }', "2"),
            "boards.mine.cores",
            "a figure is written cores = { value = …, source =",
            id="figure without a source",
        ),
        pytest.param(
            BOARD.replace('"its data sheet"', '" "'),
            "boards.mine.cores",
            "a figure is written",
            id="figure with an empty source",
        ),
        pytest.param(
            BOARD.replace('"its data sheet"', "5"),
            "boards.mine.cores",
            "a figure is written",
            id="source that is not a string",
        ),
        pytest.param(
            without(BOARD, "mem_total"), "boards.mine.mem_total_bytes", "missing", id="missing figure"
        ),
        pytest.param(without(BOARD, "name"), "boards.mine.name", "missing", id="missing name"),
        pytest.param(
            BOARD + 'like = "pi9"', "boards.mine.like", "no board model is named 'pi9'", id="like nothing"
        ),
        pytest.param(
            BOARD + 'like = ["pi3b"]',
            "boards.mine.like",
            "no board model is named ['pi3b']",
            id="like that is not a string",
        ),
        pytest.param(
            BOARD + 'like = "mine"',
            "boards.mine.like",
            "the `like` references from 'mine' lead back to 'mine'",
            id="like itself",
        ),
        pytest.param(
            BOARD + 'like = "two"\n[boards.two]\nlike = "three"\n[boards.three]\nlike = "mine"',
            "boards.three.like",
            "the `like` references from 'mine' lead back to 'three'",
            id="cyclic like",
        ),
        pytest.param(
            LIMIT.replace("pi3b", "pi3bb"),
            "limits.pi3bb",
            "no board model is named 'pi3bb'; did you mean 'pi3b'?",
            id="limit of an unknown model",
        ),
        pytest.param(
            LIMIT.replace("page_time", "page_tme"),
            "serving.page_tme",
            "unknown metric; did you mean 'serving.page_time'?",
            id="limit of an unknown metric",
        ),
        pytest.param(
            LIMIT + "min = 0.1", "serving.page_time", 'exactly one of "max" and "min"', id="limit with both"
        ),
        pytest.param(
            without(LIMIT, "max"), "serving.page_time", 'exactly one of "max" and "min"', id="limit with none"
        ),
        pytest.param(
            LIMIT + 'statistic = "p97"',
            "serving.page_time.statistic",
            "'p97' is not one of median, mean",
            id="unknown statistic",
        ),
        pytest.param(
            without(LIMIT, "source"), "serving.page_time.source", "missing", id="limit without a source"
        ),
        pytest.param(
            LIMIT.replace("max", "maxx"),
            "serving.page_time.maxx",
            "unknown; did you mean 'max'?",
            id="unknown key of a limit",
        ),
        pytest.param(
            LIMIT.replace("0.5", '"0.5"'),
            "serving.page_time.max",
            "a number is needed, not '0.5'",
            id="text for a limit",
        ),
        pytest.param(
            LIMIT + "labels = { clients = 0.5 }",
            "serving.page_time.labels",
            "not 0.5",
            id="label that is neither text nor whole number",
        ),
        pytest.param(
            "[limits.pi3b.serving]\npage_time = 0.5",
            "serving.page_time",
            "a table is needed, not 0.5",
            id="limit without a table",
        ),
        pytest.param(
            WORKLOAD.replace("port", "prot") + 'image = "httpd"',
            "workloads.mine.prot",
            "unknown; did you mean 'port'?",
            id="unknown key of a workload",
        ),
        pytest.param(
            without(WORKLOAD, "port") + '\nimage = "httpd"',
            "workloads.mine.port",
            'missing, and ready.kind = "http" needs it',
            id="workload without a port",
        ),
        pytest.param(
            without(WORKLOAD, "typical_start"), "workloads.mine.typical_start_s", "missing", id="missing key"
        ),
        pytest.param(
            without(WORKLOAD, "ready"),
            "mine.ready",
            "a table is needed, not None",
            id="workload without ready",
        ),
        pytest.param(
            WORKLOAD.replace('"http"', '"ping"'),
            "mine.ready.kind",
            "'ping' is not one of http, tcp, stdin",
            id="unknown kind of ready",
        ),
        pytest.param(
            WORKLOAD.replace("expect", "expects"),
            "mine.ready.expects",
            "unknown; did you mean 'expect'?",
            id="unknown key of ready",
        ),
    ],
)
def test_an_invalid_file_is_a_catalog_error_that_names_file_and_key(
    tmp_path: Path, text: str, key: str, expected: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(CatalogError) as caught:
        load([file])
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert not key or f'key "{key}": ' in message
    assert expected in message


def test_of_two_files_the_invalid_one_is_named(tmp_path: Path) -> None:
    right = written(tmp_path, BOARD, "right.toml")
    wrong = written(tmp_path, '[boards.other]\nlike = "mine"\nbord = 1\n', "wrong.toml")
    with pytest.raises(CatalogError, match=r'wrong\.toml: key "boards\.other\.bord": unknown'):
        load([right, wrong])


def test_a_workload_without_image_and_dockerfile_names_both(tmp_path: Path) -> None:
    file = written(tmp_path, WORKLOAD)
    with pytest.raises(CatalogError) as caught:
        load([file])
    dockerfile = tmp_path / "mine" / "Dockerfile"
    assert str(caught.value) == f"{file}: workload 'mine' names no \"image\", and there is no {dockerfile}"


def test_a_missing_file_is_a_catalog_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.toml: cannot be read: No such file or directory"):
        load([tmp_path / "none.toml"])


def test_a_directory_in_place_of_a_file_is_a_catalog_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read: Is a directory"):
        load([tmp_path])


def test_a_file_that_is_not_text_is_a_catalog_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogError, match=r"mine\.toml: is not TOML"):
        load([file])


def test_a_catalog_error_is_a_user_mistake() -> None:
    assert issubclass(CatalogError, UserMistake)


ROUND_TRIP = "[boards.mine]\nname = 'x'\nlike = 'pi3b'\nround_trip_s = { value = -1, source = 'x' }"
FIGURES = ("sevenzip_mips_all_cores", "ethernet_bits_per_s", "disk_read_iops", "boot_s")


@pytest.mark.parametrize("value", ["nan", "-1.0", "0.0", "inf", "1e300"])
@pytest.mark.parametrize("key", FIGURES)
def test_an_impossible_figure_is_reported_with_file_and_key(tmp_path: Path, key: str, value: str) -> None:
    like = f'[boards.mine]\nname = "Mine"\nlike = "pi3b"\n{key} = {{ value = {value}, source = "x" }}\n'
    file = tmp_path / "mine.toml"
    file.write_text(like)
    with pytest.raises(CatalogError, match=rf'mine.toml: key "boards.mine.{key}": a (finite )?number'):
        load([file])


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("[limits.pi3b.serving]\npage_time = { max = nan, source = 'x' }", "serving.page_time.max"),
        ("[limits.pi3b.serving]\npage_time = { max = -1, source = 'x' }", "serving.page_time.max"),
        ("[limits.pi3b.serving]\ncapacity = { min = inf, source = 'x' }", "serving.capacity.min"),
        (ROUND_TRIP, "round_trip_s"),
        ("[boards.mine]\nname = 'x'\nlike = 'pi3b'\ncores = { value = 0, source = 'x' }", "cores"),
    ],
)
def test_a_limit_or_figure_out_of_range_is_named_with_its_key(tmp_path: Path, table: str, key: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(table)
    with pytest.raises(CatalogError, match=rf'mine.toml: key "\S*{re.escape(key)}": a (finite )?number'):
        load([file])


WORKLOAD_TABLE = """
[workloads.{id}]
name = "Mine"
type = "Web server"
source = "x"
image = "x"
port = {port}
ready = {{ kind = "http", timeout_s = {timeout_s} }}
typical_memory_bytes = 1
typical_start_s = 1.0
"""


@pytest.mark.parametrize("name", ["", "a[b]", "a::b", "a\nb", "Upper", "-a", "a" * 65, "a b", "a/b", "../a"])
def test_a_workload_id_that_is_invalid_in_a_test_id_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(WORKLOAD_TABLE.format(id=json.dumps(name), port=80, timeout_s=5))
    with pytest.raises(CatalogError, match=r"key .workloads.*: an id consists of lower-case letters"):
        load([file])


@pytest.mark.parametrize("name", ["", "a[b]", "a::b", "a\nb", "-a", "a" * 65, "a b"])
def test_a_board_id_that_is_invalid_as_a_group_name_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'[boards.{json.dumps(name)}]\nname = "Mine"\nlike = "pi3b"\n')
    with pytest.raises(CatalogError, match=r"mine.toml: key .boards.*: an id consists of letters"):
        load([file])


@pytest.mark.parametrize(("port", "timeout_s"), [(0, 5), (65536, 5), (80, 0), (80, -1), (80, "nan")])
def test_ports_and_ready_times_have_a_range(tmp_path: Path, port: int, timeout_s: object) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(WORKLOAD_TABLE.format(id="mine", port=port, timeout_s=timeout_s))
    with pytest.raises(CatalogError, match=r"mine.toml: key .*(port|timeout_s).: a (finite )?number"):
        load([file])


def chain(length: int) -> str:
    tables = [f'[boards.m{n}]\nname = "x"\nlike = "m{n + 1}"\n' for n in range(length)]
    return "".join([*tables, f'[boards.m{length}]\nname = "x"\nlike = "pi3b"\n'])


@pytest.mark.parametrize(
    "content",
    ["a = " + "9" * 5000, "a = " + "[" * 100_000, "a = " + "{b = " * 5000, chain(1500)],
    ids=["an integer of 5,000 digits", "nested lists", "nested tables", "1,500 models like each other"],
)
def test_a_file_that_is_too_much_for_the_parser_is_an_error_that_names_it(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(CatalogError, match=r"mine\.toml: "):
        load([file])
    if content.startswith("a = "):
        with pytest.raises(CatalogError, match=r"mine\.toml: is not TOML"):
            Rules([file])


def test_a_fifo_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("fifo.toml", "zero.toml"):
        with pytest.raises(CatalogError, match="is not a regular file"):
            load([tmp_path / name])
