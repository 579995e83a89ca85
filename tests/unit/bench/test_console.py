"""The benchmark of the console looks at pages that hold what they should."""

from pathlib import Path

import pytest

from bench.console import logged_in, prepare


@pytest.mark.slow
def test_the_pages_that_are_measured_hold_studies(tmp_path: Path) -> None:
    """Real ones, found by the patient's ID and by the name, of the console's own process; a word that none has finds none."""
    with logged_in(prepare(tmp_path, 40)) as visitor:
        assert visitor.get("/studies").count(b'href="/studies/1.2.276.0.4711.') >= 25
        for words, found in (("P39", 1), ("jane", 25), ("nobody", 0)):
            page = visitor.get(f"/studies?q={words}")
            assert len({one.split(b'"')[0] for one in page.split(b'href="/studies/1.2.276.0.4711.')[1:]}) == found, words
        assert b"1.2.276.0.4711.39" in visitor.get("/studies/1.2.276.0.4711.39")
        with pytest.raises(RuntimeError, match="404"):
            visitor.get("/studies/1.2.276.0.4711.41")
