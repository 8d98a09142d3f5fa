"""Adds outcomes and the gate's result to JUnit's XML once pytest has written it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_microcloud.session.outcome import PROPERTY, file_of
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    import pytest

    from pytest_microcloud.session.write_errors import WriteErrors


class JUnit:
    """Completes JUnit's XML, after pytest's plugins have written their reports."""

    def __init__(self, config: pytest.Config, write_errors: WriteErrors) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._write_errors = write_errors
        write_errors.after_reports(self._complete)

    def _complete(self) -> None:
        """Add our outcomes and the gate's result to JUnit's XML, if pytest wrote the file."""
        from pytest_microcloud.report import junit

        xml = self._config.getoption("xmlpath", None)
        if not xml or self._write_errors.lost("xmlpath") or not file_of(xml).is_file():
            return
        with self._write_errors.noted(f"the correction of outcomes in {xml}"):
            junit.correct(file_of(xml), PROPERTY)
        if (comparison := self._session.comparison) is not None:
            with self._write_errors.noted(f"the gate's verdict in {xml}"):
                junit.add_gate(file_of(xml), comparison)
