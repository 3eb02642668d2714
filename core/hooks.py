"""`@hook.after_save(Case)`: how addons say what happens by itself, and how core calls the ones that are on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pluggy

from core import hookspecs
from core.errors import Misbuilt
from core.model import loading

_mark = pluggy.HookimplMarker("mortise")
_pending: list[Any] = []
_manager = pluggy.PluginManager("mortise")
_manager.add_hookspecs(hookspecs)


class _Plugin(SimpleNamespace):
    """One hook function of one addon; pluggy keeps plugins in sets, so each is equal to itself alone."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Hook:
    """The decorators; one attribute for each spec in `core.hookspecs`."""

    def __getattr__(self, name: str) -> Any:
        if name not in hookspecs.NAMES:
            raise Misbuilt(f"There is no hook called {name!r}; the hooks are {', '.join(hookspecs.NAMES)}.")

        def decorator(*models: Any) -> Any:
            if len(models) == 1 and inspect.isfunction(models[0]):
                return _keep(name, models[0], ())
            if models and name not in hookspecs.BY_MODEL:
                raise Misbuilt(f"@hook.{name} takes no model.")
            return lambda function: _keep(name, function, models)

        return decorator


def _keep(name: str, function: Callable[..., Any], models: tuple[type, ...]) -> Callable[..., Any]:
    allowed = set(inspect.signature(getattr(hookspecs, name)).parameters)
    for argument in inspect.signature(function).parameters:
        if argument not in allowed:
            where = f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"
            raise Misbuilt(f"{function.__name__} ({where}): the hook {name} gives no {argument!r}; it gives {', '.join(sorted(allowed))}.")
    # The function stands in it once: pluggy calls a hook for each attribute that it finds its function under.
    plugin = _Plugin(addon=loading["addon"], models=models, title=function.__name__, **{name: _mark(function, specname=name)})
    _pending.append(plugin)
    return function


hook = Hook()


def forget(addon: str) -> None:
    """Drop what a broken addon had registered before it failed."""
    _pending[:] = [plugin for plugin in _pending if plugin.addon != addon]
    _concerned.clear()


def register_all(order: list[str]) -> None:
    """Hand all hooks to pluggy so that dependencies run first and, within an addon, in the order written."""
    for plugin in _manager.get_plugins():
        _manager.unregister(plugin)
    places = {name: place for place, name in enumerate(["core", *order])}
    _callers.clear()
    # pluggy calls the last registered first.
    for number, plugin in sorted(enumerate(_pending), key=lambda one: (places.get(one[1].addon, 999), one[0]), reverse=True):
        _manager.register(plugin, name=f"{plugin.addon}:{number}:{plugin.title}")


_callers: dict[Any, Any] = {}
_concerned: dict[tuple[str, type, Any], bool] = {}


def call(name: str, model: type | None = None, **arguments: Any) -> list[Any]:
    """Call a hook for the addons that are on; ``model`` leaves out hooks made for other models."""
    from core.addons import asleep

    sleeping = asleep()
    key = (name, model, sleeping)
    caller = _callers.get(key)
    if caller is None:
        out = [
            plugin for plugin in _manager.get_plugins()
            if plugin.addon in sleeping or (model is not None and not _concerns(plugin, model))
        ]  # fmt: skip
        _callers[key] = caller = _manager.subset_hook_caller(name, out)
    return caller(**arguments)


def has(name: str, model: type) -> bool:
    """True when any hook of this name could concern ``model``; spares work for the many models without hooks."""
    # The last one stands for all: they are only ever added, but for `forget`.
    key = name, model, _pending[-1] if _pending else None
    known = _concerned.get(key)
    if known is None:
        known = _concerned[key] = any(hasattr(plugin, name) and _concerns(plugin, model) for plugin in _pending)
    return known


def _concerns(plugin: Any, model: type) -> bool:
    return not plugin.models or any(issubclass(model, one) for one in plugin.models)
