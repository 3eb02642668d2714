"""Who reads what in the library."""

from core import Role, everyone, rule

from .models import Author, Book, BookHalf, Mood

reader = Role("Library reader")
helper = Role("Library helper")

rule(Mood, everyone, "read")
rule(Author, reader, "read", scope="own")
rule(Book, reader, "read create edit", scope="own department", shared=True, hidden="secret phone")
rule(Book, helper, "read", scope="all", hidden="secret phone")
rule(BookHalf, reader, "read", scope="all")
