"""Words for translators: collected from code, templates, models and manifests into .po files, compiled, and checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from core.config import ROOT, load
from core.errors import Problem
from core.i18n import LANGUAGES

CORE = ROOT / "core"
KEYWORDS = {"_": None, "gettext": None, "lazy": None, "t": None, "ngettext": (1, 2), "Role": None}
METHODS = [
    ("migrations/**", "ignore"),
    ("static/**", "ignore"),
    ("**.py", "python"),
    ("**/templates/**.html", "jinja2"),
    ("templates/**.html", "jinja2"),
]
TARGETS = tuple(language for language in LANGUAGES if language != "en")
SAME_ALLOWED = re.compile(r"[\W\d_]*|[A-Z][A-Z0-9 /-]*|https?:.*")
PLACE = re.compile(r"%\((\w+)\)s")


def owners(names: Iterable[str] = ()) -> dict[str, Path]:
    """Core and the addons by name with their folders; only those in ``names`` when there are any."""
    from core.addons import addons

    known = {"core": CORE, **{one.name: one.path for one in addons().values()}}
    if unknown := [name for name in names if name not in known]:
        raise Problem(f"There is no addon called {unknown[0]}; run.py addon list names them.")
    return {name: folder for name, folder in known.items() if not list(names) or name in names}


def po_file(folder: Path, language: str) -> Path:
    """Where the translations of one owner into one language lie."""
    return folder / "translations" / language / "LC_MESSAGES" / "messages.po"


def wanted(owner: str, folder: Path) -> Catalog:
    """All English words of core or of one addon; an addon's catalogue leaves out what core's has."""
    found = Catalog(charset="utf-8")
    for name, _line, message, comments, context in extract_from_dir(
        str(folder), METHODS, keywords=KEYWORDS, comment_tags=("Translators:",)
    ):
        found.add(message, None, [(name, 0)], auto_comments=comments, context=context)
    for text, place in _declared(owner):
        if text and text.strip():
            found.add(str.__str__(text), None, [(place, 0)])
    if owner != "core":
        for message in list(wanted("core", CORE)):
            if message.id and message.id in found:
                found.delete(message.id)
    return found


def _declared(owner: str) -> Iterator[tuple[str, str]]:
    """Words that stand in no call of gettext: what models, views, rules, jobs, settings and the manifest call things."""
    import core.web.bulk_jobs  # noqa: F401 - the one job that lies with the screens
    from core.addons import addons
    from core.jobs import jobs
    from core.model import SYSTEM_FIELDS, models, option_seeds
    from core.options import _seed_title
    from core.rules import EVERYONE, VERBS, rules_of
    from core.seeding import words_of_data
    from core.settings import declared_settings

    for model in models().values():
        own = {verb for one in rules_of(model) if one.addon == owner for verb in one.verbs} - set(VERBS)
        yield from ((verb.replace("_", " ").capitalize(), "rules.py") for verb in sorted(own))
        if model.addon == owner:
            yield from ((text, "models.py") for text in (model.label, model.label_many, model.description))
        for field in model.__fields__.values():
            if field.addon == owner:
                yield from ((text, "models.py") for text in (field.label, field.help))
    for key, (addon, options) in option_seeds().items():
        if addon == owner:
            yield from ((_seed_title(key, one), "models.py") for one in options)
    yield from ((text, "views.py") for text in _of_views(owner))
    # A job that a test has declared belongs to core for the time being, but not to its words.
    home = "core." if owner == "core" else f"addons.{owner}."
    yield from ((one.title, "jobs.py") for one in jobs().values() if one.addon == owner and one.function.__module__.startswith(home))
    for one in declared_settings().values():
        if one.addon == owner:
            yield from ((text, "settings.py") for text in (one.label, one.help))
    if owner == "core":
        yield EVERYONE, "rules.py"
        yield from ((field.label, "model.py") for field in SYSTEM_FIELDS.values())
    elif owner in addons():
        manifest = addons()[owner]
        yield from words_of_data(manifest.path)
        yield from ((text, "addon.toml") for text in (manifest.title, manifest.summary, manifest.menu))


def _of_views(owner: str) -> Iterator[str]:
    """Sections of forms, buttons, and the questions that buttons ask."""
    import core.web.core_views  # noqa: F401 - people, roles and rights get their views
    from core.web.views import AUTOMATIC_SECTIONS, places, views

    if owner == "core":
        yield from AUTOMATIC_SECTIONS
    for view in views():
        if view.addon == owner:
            yield from view.form
            for told in (getattr(one, "mortise_action", None) for one in vars(type(view)).values()):
                yield from (told["label"], told["confirm"] or "") if told else ()
    yield from (one.section or "" for one in places() if one.addon == owner)


def extract(names: Iterable[str] = ()) -> Iterator[str]:
    """Bring the .po files up to date: new words are added empty, words that are gone are removed; says what it did, a line a file."""
    for owner, folder in owners(names).items():
        template = wanted(owner, folder)
        for language in TARGETS:
            path = po_file(folder, language)
            before = _read(path, language)
            known = {message.id for message in before if message.id}
            before.update(template, no_fuzzy_matching=True)
            _write(path, before)
            fresh = sum(1 for message in before if message.id and message.id not in known)
            empty = sum(1 for message in before if message.id and not _filled(message))
            yield f"{path}: {len(before)} words, {fresh} new, {empty} to translate"


def _read(path: Path, language: str) -> Catalog:
    if not path.exists():
        return Catalog(locale=language, charset="utf-8", fuzzy=False)
    with path.open("rb") as stream:
        return read_po(stream, locale=language, charset="utf-8")


def _write(path: Path, catalogue: Catalog) -> None:
    """Without dates and line numbers, so that a file only changes when its words do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = BytesIO()
    write_po(
        draft, catalogue, width=120, omit_header=True, sort_output=True, ignore_obsolete=True, include_lineno=False, include_previous=False
    )
    facts = ("Content-Type: text/plain; charset=utf-8", f"Language: {path.parts[-3]}", "Plural-Forms: nplurals=1; plural=0;")
    head = 'msgid ""\nmsgstr ""\n' + "".join(f'"{fact}\\n"\n' for fact in facts) + "\n"
    path.write_bytes(head.encode() + draft.getvalue().lstrip())


def _filled(message: Message) -> bool:
    texts = message.string if isinstance(message.string, (list, tuple)) else [message.string]
    return bool(texts) and all(texts) and not message.fuzzy


def compile_all() -> int:
    """Make every .mo file that is older than its .po file; returns how many."""
    count = 0
    for place in [CORE, *(folder for parent in load().addons for folder in sorted(parent.glob("*/")))]:
        for path in sorted(place.glob("translations/*/LC_MESSAGES/messages.po")):
            target = path.with_suffix(".mo")
            if target.exists() and target.stat().st_mtime >= path.stat().st_mtime:
                continue
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            with draft.open("wb") as stream:
                write_mo(stream, _read(path, path.parts[-3]))
            os.replace(draft, target)
            count += 1
    return count


def missing(names: Iterable[str] = ()) -> list[str]:
    """What is not translated, or looks wrong, a line each."""
    found = []
    for owner, folder in owners(names).items():
        template = [message for message in wanted(owner, folder) if message.id]
        for language in TARGETS:
            path = po_file(folder, language)
            catalogue = _read(path, language)
            for message in template:
                there = catalogue.get(message.id)
                if there is None or not _filled(there):
                    found.append(f"{path}: not translated: {_short(message)}")
                else:
                    found += [f"{path}: {problem}: {_short(message)}" for problem in _faults(there)]
    return found


def _faults(message: Message) -> Iterator[str]:
    source = message.id if isinstance(message.id, str) else message.id[-1]
    texts = message.string if isinstance(message.string, (list, tuple)) else [message.string]
    for text in texts:
        if set(PLACE.findall(text)) != set(PLACE.findall(source)):
            yield "other places to fill in than the English"
        if text == source and len(re.sub(r"[^A-Za-z]", "", source)) > 3 and not SAME_ALLOWED.fullmatch(source):
            yield "the same as the English"


def _short(message: Message) -> str:
    text = message.id if isinstance(message.id, str) else message.id[0]
    return text if len(text) <= 80 else f"{text[:79]}…"
