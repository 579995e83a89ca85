"""How people are shown all that `hilum doctor` says."""

from node.domain.health import DoctorFinding


def show(findings: list[DoctorFinding]) -> None:
    """Print them as a table, each with what to do."""
    from rich.table import Table
    from rich.text import Text

    from node.cli import screen

    marks = {"good": Text("✓", style="green"), "warning": Text("!", style="yellow"), "bad": Text("✗", style="red")}
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        fix = f"\n→ {finding.fix}" if finding.fix else ""
        table.add_row(marks[finding.level], finding.subject, Text.assemble(finding.detail, (fix, "dim")))
    screen.out().print(table)
