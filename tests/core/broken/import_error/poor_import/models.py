"""Needs a package that nobody has."""

import json

import no_such_package_anywhere
