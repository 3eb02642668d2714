"""Templates compiled once a language: fixed words, icons and addresses become part of the page's text instead of calls."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from flask import Flask, current_app, has_request_context
from flask.templating import Environment
from jinja2 import nodes
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from core.context import Actor, acting, actor
from core.i18n import catalogues_known


class FoldingEnvironment(Environment):
    """The environment of one language; the one without a language, which the app is set up with, folds nothing.

    What may be folded is marked by `foldable`: functions whose answer depends on their arguments and the language alone.
    """

    language = ""

    def _generate(self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False) -> str:
        if self.language:
            with acting(Actor(door="system", language=self.language)):
                source = _Folder(self).visit(source)
        return str(super()._generate(source, name, filename, defer_init))


def foldable(function: Any) -> Any:
    """Mark a function of templates: it answers the same for the same arguments in one language, as long as the process lives."""
    function.foldable = True
    return function


class LanguageApp(Flask):
    """Flask, with an environment of templates for each language."""

    jinja_environment = FoldingEnvironment

    @property
    def jinja_env(self) -> FoldingEnvironment:  # type: ignore[override]
        """The environment in the acting person's language; outside of requests the one that is set up."""
        kept = self.extensions.get("mortise_templates")
        if kept is None:
            kept = self.extensions["mortise_templates"] = {"": self.create_jinja_environment()}
        if not has_request_context():
            return kept[""]  # type: ignore[no-any-return]
        key = (actor().language, catalogues_known())
        found = kept.get(key)
        if found is None:
            found = kept[""].overlay()
            found.language = key[0]
            kept[key] = found
        return found  # type: ignore[no-any-return]


def drawn_once(template: str, **values: Hashable) -> Markup:
    """A piece of a page that these values and the language alone decide, drawn once for all pages that show the same.

    Its template knows nothing else: no person, no right, no form's own word.
    """
    return _drawn(template, actor().language, catalogues_known(), tuple(values.items()))


@lru_cache(maxsize=512)
def _drawn(template: str, _language: str, _catalogues: int, values: tuple[tuple[str, Hashable], ...]) -> Markup:
    return Markup(current_app.jinja_env.get_template(template).render(dict(values)))  # noqa: S704


class _Folder(NodeTransformer):
    """Puts the answer in the place of a call whose arguments are fixed; of a sentence with names in it, the translated sentence."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        node = self.generic_visit(node)
        if not isinstance(node.node, nodes.Name) or node.dyn_args or node.dyn_kwargs:
            return node
        function = self.environment.globals.get(node.node.name)
        if not getattr(function, "foldable", False):
            return node
        fixed = [one for one in node.args if isinstance(one, nodes.Const)]
        if len(fixed) == len(node.args) and all(isinstance(one.value, nodes.Const) for one in node.kwargs):
            answer = function(*(one.value for one in fixed), **{one.key: one.value.value for one in node.kwargs})
            return nodes.Const(answer, lineno=node.lineno)
        if function is self.environment.globals["_"] and len(fixed) == len(node.args) == 1:
            pairs = [nodes.Pair(nodes.Const(one.key), one.value) for one in node.kwargs]
            return nodes.Mod(nodes.Const(function(fixed[0].value)), nodes.Dict(pairs), lineno=node.lineno)
        return node
