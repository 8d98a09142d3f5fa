"""Secrets are redacted on the terminal, in JUnit's XML, on the page and in the run file."""

from __future__ import annotations

import html
import json
import os

import pytest

from tests.support.fake_boards import Project, said

NAMES = [
    "DEPLOY_KEY",
    "SIGNING_KEY",
    "SSH_KEY",
    "ENCRYPTION_KEY",
    "SECRET_KEY_BASE",
    "GITHUB_PAT",
    "API_TOKEN2",
    "DOCKER_AUTH_CONFIG",
    "PASSWORDS",
    "JWT",
]
VALUES = {name: f"horse{number}-battery" for number, name in enumerate(NAMES)} | {
    "ROOT_PASSWORD": "horse\\battery",
    "DB_PASSWORD": "horse'stable\"battery",
}
SUITE = """\
    import json

    NAMES = json.loads(os.environ["NAMES"])

    @pytest.mark.parametrize("name", NAMES)
    def test_fails(board, name):
        secret = os.environ[name]
        as_json, as_repr = json.dumps(secret), repr(secret)
        print(secret, as_json, as_repr)
        assert secret == "harmless", [secret, as_json, as_repr]

    @pytest.mark.parametrize("name", NAMES)
    def test_measures(measure, name):
        secret = os.environ[name]
        measure(lambda: [Measurement("io.memory_time", [0.1], reason=f"{secret} {secret!r}")])
    """


def test_no_secret_is_shown_in_any_form_with_its_local_variables(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(pytester, monkeypatch)
    project.tests(SUITE)
    monkeypatch.setenv("NAMES", json.dumps(list(VALUES)))
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    result = project.run("--showlocals", "-rA", "--junitxml=junit.xml")
    result.assert_outcomes(failed=len(VALUES), passed=len(VALUES))
    texts = {
        "terminal": said(result),
        "JUnit": (project.path / "junit.xml").read_text(),
        "page": (project.path / "reports" / "feasibility.html").read_text(),
        "run file": project.files()[-1].read_text(),
    }
    assert os.environ["JWT"] == VALUES["JWT"]
    for where, text in texts.items():
        assert "[masked]" in text, where
        for value in VALUES.values():
            for form in (value, repr(value), json.dumps(value), html.escape(value), html.escape(repr(value))):
                for shown in (form, form.strip("\"'")):
                    assert shown not in text, f"{form} is on the {where}"
