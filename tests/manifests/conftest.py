"""A web server for a test, which no proxy of the environment stands before."""

from __future__ import annotations

import pytest

from tests.manifests.server import serving


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running
