"""The kernel with the addon of boxes on both databases, an administrator and two packers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from core.config import load
from core.db import db
from core.model import model_of
from tests.core import kernel

FOLDER = Path(__file__).parent / "meta"


@pytest.fixture(name="boxes", scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def boxes_on_each_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """``boxes.admin``, ``boxes.ann`` and ``boxes.ben`` are ids of people, ``boxes.Box`` the model, ``boxes.kind`` the database."""
    kernel.FOLDERS.append(FOLDER)
    folder = tmp_path_factory.mktemp("boxes")
    try:
        with kernel.kernel(request.param, folder, name="boxes"):
            app = Flask("boxes")
            app.config["MORTISE"] = load({}, data_dir=str(folder))
            with app.app_context():
                yield SimpleNamespace(
                    kind=request.param, Box=model_of("meta_box"), Crate=model_of("meta_crate"), folder=folder,
                    admin=kernel.person("admin", level="administrator"),
                    ann=kernel.person("ann", roles=("Packer",)), ben=kernel.person("ben", roles=("Packer",)),
                )  # fmt: skip
                db.remove()
    finally:
        kernel.FOLDERS.remove(FOLDER)
