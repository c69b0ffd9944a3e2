"""The page of the evaluation says what its result files say."""

from __future__ import annotations

from benchmarks import evaluation


def test_tables_are_those_of_the_results():
    """Written anew from the rows, the page stays as it is."""
    page = evaluation.PAGE.read_text(encoding="utf-8")
    assert evaluation.with_tables(page) == page
    assert page.count("<!-- table ") == page.count("<!-- end -->") > 4


def test_every_result_has_all_rows_of_its_study():
    """Each policy, load and seed that its command names."""
    for name, study in evaluation.STUDIES.items():
        said = dict(zip(study.arguments[::2], study.arguments[1::2], strict=False))
        path = evaluation.RESULTS / f"{name}.json"
        if study.command == "plan" or "--sensitivity" in study.arguments or not path.exists():
            continue
        rows = evaluation.read_json(path)
        wanted = 1
        for option in ("--policies", "--loads", "--seeds", "--forecast"):
            wanted *= len(said.get(option, "x").split(","))
        assert len(rows) == wanted, name
