"""Every module of core that has tables or jobs: whoever imports this knows all of them."""

from core import (  # noqa: F401
    account_jobs,
    addons,
    api_keys,
    custom,
    custom_jobs,
    file_jobs,
    files,
    jobs,
    journal,
    journal_jobs,
    numbering,
    options,
    people,
    preferences,
    right_tests,
    search,
    second_factor,
    settings,
    state,
    statistics_jobs,
    trash,
    undo_jobs,
)
from core.transfer import draft_tables, export_jobs, import_jobs  # noqa: F401
