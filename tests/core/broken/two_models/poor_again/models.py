"""Two models that want one table."""

from core import Mapped, Model, field, links


class Paper(Model):
    """The first."""

    name: Mapped[str] = field()


class Folder(Model):
    """Has a link table, which has to go with it."""

    name: Mapped[str] = field()
    papers: Mapped[list[Paper]] = links()


class Paper(Model):  # noqa: F811
    """The second of the same name."""

    name: Mapped[str] = field()
