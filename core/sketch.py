"""What stands for a new record that nothing watches: its values, to be written by `core.sketches`."""

from __future__ import annotations

from typing import Any


class Sketch:
    """A new record as values only (`core.sketches`); to the gate and to rights it answers like the record that it stands for."""

    def __init__(self, model: Any, blank: dict[str, Any]) -> None:
        self.__dict__.update(blank, sketch_of=model)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"A sketch of {self.sketch_of.__name__} has no {name!r}.")


def model_behind(record: Any) -> Any:
    """The model of a record, or of the sketch of one."""
    return record.sketch_of if type(record) is Sketch else type(record)
