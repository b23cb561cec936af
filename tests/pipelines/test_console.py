"""What a job tells people: whole lines where they are captured, tables that fit everywhere."""

from rich.table import Table

from pipelines.console import open_console


def test_a_captured_line_stays_one_line_and_tables_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    line = "held-out pass@1 improved: " + "+25.2 points, 95 % interval [+21.3, +29.1] " * 4
    table = Table("what", "figure")
    table.add_row("a cell that is much longer than half of the width of the page", "1")
    console = open_console()
    console.print(line)
    console.print(table)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == line and max(map(len, said[1:])) <= 60 and len(said) > 5
