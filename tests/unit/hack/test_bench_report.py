"""docs/performance.md says what the stored results say."""

from bench.report import PAGE, PICTURES, page, pictures, read_runs


def test_the_page_and_its_plots_are_those_of_the_stored_results() -> None:
    """After a change of results: `make bench-report`."""
    runs = read_runs()
    assert runs
    before = PAGE.read_text()
    assert page(before, runs) == before
    for name, svg in pictures(runs).items():
        assert (PICTURES / name).read_text() == svg


def test_every_result_says_where_and_how_it_was_measured() -> None:
    for run in read_runs():
        assert run.conditions.keys() >= {"command", "date", "hardware", "load", "load_after", "scale", "versions"}
        assert all(row.ours for row in run.rows)
