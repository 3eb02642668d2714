"""What can go wrong for a person, each as a full sentence with the status a client of the API gets."""

from __future__ import annotations

from typing import Any


class Problem(Exception):
    """Anything that is told to the person instead of being done.

    ``sentence`` says what happened and what to do; ``status`` is the HTTP status; ``code`` is a stable word for programs.
    """

    status = 400
    code = "problem"

    def __init__(self, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.facts = facts


class Broken(Problem):
    """The request itself cannot be understood: a damaged query, filter or body."""

    status, code = 400, "broken"


class Refused(Problem):
    """The person may not do this; ``verdict`` holds the reasons."""

    status, code = 403, "refused"

    def __init__(self, sentence: str, verdict: Any = None) -> None:
        super().__init__(sentence)
        self.verdict = verdict


class Missing(Problem):
    """No such record, or none that this person may see: both answer alike."""

    status, code = 404, "missing"


class Asleep(Missing):
    """The addon behind this is switched off."""

    code = "asleep"


class Conflict(Problem):
    """Somebody changed the record meanwhile, or another record stands in the way."""

    status, code = 409, "conflict"


class Invalid(Problem):
    """Values that cannot be stored; ``errors`` gives one sentence per field name (``""`` for the record as a whole)."""

    status, code = 422, "invalid"

    def __init__(self, errors: dict[str, str], sentence: str | None = None) -> None:
        super().__init__(sentence or " ".join(dict.fromkeys(errors.values())))
        self.errors = errors


class Busy(Problem):
    """The system cannot do it now, but will later: locked database, full disk, migration under way."""

    status, code = 503, "busy"


class Wrong(ValueError):
    """One value does not fit its field; the text is the sentence shown beside the field."""


class Misbuilt(Exception):
    """An addon is built wrongly; raised at start-up and named, never at a person's request."""
