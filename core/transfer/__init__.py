"""Records in and out as files: import with every wrong row explained, export of any list."""

from core.transfer.exporting import ExportOutcome, csv_lines, export_fields, export_rows, run_export
from core.transfer.importing import ImportOutcome, run_import

__all__ = ["ExportOutcome", "ImportOutcome", "csv_lines", "export_fields", "export_rows", "run_export", "run_import"]
