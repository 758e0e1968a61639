"""`python -m arena.explore`, end to end: a page, its tables, and a leak report that sees what was planted."""

import csv
import json

import pytest

from arena import explore
from arena.config.options import read
from arena.reporting.explored import headline

WORDS = [
    *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty"),
    *("knoll", "lagoon", "meadow", "northern", "orchard"),
]


def question(i: int) -> str:
    return " ".join(f"{WORDS[(i * step + step) % len(WORDS)]}{i % (step + 2)}" for step in (1, 2, 4, 7, 8, 11, 13))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def row(i, **changes):
    made = {
        "id": f"r{i}", "prompt": [question(i)], "response_a": [f"- first point {i}\n- second " * 6],
        "response_b": [f"A plain answer {i}, with commas, " * 8], "winner": ["model_a", "model_b", "tie"][i % 3],
        "model_a": f"m{i % 4}", "model_b": f"m{(i + 1) % 4}", "language": ["English", "Thai"][i % 2], "source": "made",
    }  # fmt: skip
    return made | changes


@pytest.fixture
def planted(tmp_path):
    """Sixty rows, an equal prompt, an exchanged pair, and a file in which two of the rows come again."""
    rows = [row(i) for i in range(60)]
    rows.append(row(3, id="copy", response_a=["something else"], response_b=["and another"]))
    rows.append(row(5, id="twin", response_a=row(5)["response_b"], response_b=row(5)["response_a"]))
    write(tmp_path / "rows.jsonl", rows)
    write(tmp_path / "other.jsonl", [row(7, id="o1"), row(200, id="o2"), row(9, id="o3", prompt=[question(9) + "."])])


@pytest.mark.slow
def test_a_page_with_tables_and_a_leak_report(planted, arena, tmp_path):
    done = arena(
        "explore", "data=pairs", "data.path=rows.jsonl", "output=page", "other=other.jsonl", "limits=[64,256]",
        "data.cache=null",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "62 rows read, 62 used" in done.stdout
    assert "rows.jsonl: read as arena" in done.stdout
    assert "read 62 = 62 kept + 0 rejected + 0 merged" in done.stdout
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched
    found = json.loads((tmp_path / "page" / "summary.json").read_text(encoding="utf-8"))
    assert found["rows"] == 62
    assert [limit["max_length"] for limit in found["truncation"]] == [64, 256]
    repeats = found["leaks"]["splits"]["repeats"]
    assert {kind: repeats[kind]["crossing"] for kind in repeats} == dict.fromkeys(repeats, 0)
    assert sum(map(sum, repeats["swapped"]["overlap"])) == 2
    assert sum(map(sum, repeats["prompt"]["overlap"])) == 4
    files = found["leaks"]["files"]["repeats"]
    assert files["row"]["overlap"][1][0] == 1  # o1
    assert files["near_prompt"]["overlap"][1][0] == 1  # o3
    with open(tmp_path / "page" / "tables" / "winners.csv", newline="") as file:
        table = list(csv.reader(file))
    assert sum(int(line[1]) for line in table[1:]) == 62


@pytest.mark.slow
def test_the_same_folder_is_written_again(planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for limit in (20, 30):
        given = ["data=pairs", "data.path=rows.jsonl", f"data.limit={limit}", "output=page"]
        found = explore.explore(read(explore.ExploreOptions, given))
        assert headline(found).startswith(f"62 rows read, {limit} used: ")
    assert json.loads((tmp_path / "page" / "summary.json").read_text())["rows"] == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.jsonl", "page", "rows.jsonl"]
