"""What addons write down about rights: roles, and which role may do what with which model, as defaults for the administrator."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import Misbuilt
from core.model import is_half, is_owned, part_of

VERBS = ("read", "create", "edit", "delete", "import", "export", "print", "bulk", "share", "transfer")
WRITES = ("create", "edit", "delete", "import", "share", "transfer")
SCOPES = ("none", "own", "department", "below", "team", "all")
EVERYONE = "Everyone"


@dataclass(frozen=True, slots=True)
class Role:
    """A role that code brings along; `run.py migrate` makes it a row that administrators fill with people."""

    name: str

    def __post_init__(self) -> None:
        _roles.setdefault(self.name, self)


@dataclass(frozen=True, slots=True)
class CodeRule:
    """One `rule(…)` line of an addon."""

    model: type
    role: str
    verbs: frozenset[str]
    scopes: frozenset[str]
    shared: bool
    hidden: frozenset[str]
    read_only: frozenset[str]
    addon: str


_roles: dict[str, Role] = {}
lines_by_model: dict[str, list[CodeRule]] = {}
everyone = Role(EVERYONE)


def roles_of_code() -> list[str]:
    """Names of the roles that code asks for."""
    return list(_roles)


def model_key(model: type) -> str:
    """How a model is called in rights tables: its table, or ``table:Class`` for a half-visible class."""
    return f"{model.__tablename__}:{model.__name__}" if is_half(model) else model.__tablename__


def rule(model: type, role: Role, verbs: str, scope: str = "", *, shared: bool = False, hidden: str = "", read_only: str = "") -> None:
    """Give ``role`` the ``verbs`` on ``model`` within ``scope``; words are separated by blanks.

    Without a scope: own records where the model is `Owned`, records whose parent may be read where it is a part
    of another, all records else. The administrator's matrix overrides this line.
    """
    from core.model import loading

    scopes = set(scope.split())
    if unknown := scopes - set(SCOPES):
        raise Misbuilt(f"rule({model.__name__}, {role.name!r}): there is no scope {sorted(unknown)[0]!r}; use {', '.join(SCOPES)}.")
    if missing := (set(hidden.split()) | set(read_only.split())) - set(model.__fields__):
        raise Misbuilt(f"rule({model.__name__}, {role.name!r}): {model.__name__} has no field {sorted(missing)[0]!r}.")
    made = CodeRule(
        model, role.name, frozenset(verbs.split()), frozenset(scopes or {default_scope(model)}), shared,
        frozenset(hidden.split()), frozenset(read_only.split()), loading["addon"],
    )  # fmt: skip
    lines_by_model.setdefault(model_key(model), []).append(made)


def default_scope(model: type) -> str:
    """The scope of a rule that names none."""
    if is_owned(model) and not model.open_to_team:
        return "own"
    return "parent" if part_of(model) is not None else "all"


def verbs_of(model: type) -> list[str]:
    """The verbs that can be granted on ``model``: core's, then the words its addon's rules use."""
    extra = {verb for one in lines_by_model.get(model_key(model), []) for verb in one.verbs} - set(VERBS)
    return [*VERBS, *sorted(extra)]


def rules_of(model: type) -> list[CodeRule]:
    """The `rule` lines on ``model``."""
    return lines_by_model.get(model_key(model), [])
