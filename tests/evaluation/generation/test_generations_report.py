"""The table and the pictures of sampled replies."""

import pyarrow.parquet as pq
import pytest
from replies_support import write_generations

from arena.evaluation.generation.checkers import ExactNumber
from arena.evaluation.generation.evaluation import evaluate_generations
from arena.reporting import generations

PROMPTS = [("a", "so 5", ["5", "5", "7"]), ("b", "9", ["1", "2", "3"]), ("c", "4", ["4", "4", "4"])]


def test_table(tmp_path, capsys):
    judged = evaluate_generations(write_generations(tmp_path, PROMPTS), ExactNumber())
    rows = {line[0]: line[1:] for line in generations.rows_of(judged)[1:]}
    # Three prompts drawn with replacement: 1/27 of the draws are the second alone, so 0 is the lower end.
    assert rows["pass@1"] == ["0.5556", "0.0000 to 1.0000", "1.0000", "3"]
    assert rows["mean_words"] == ["1.0000", "1.0000 to 1.0000", "1.3333", "3"]
    assert rows["distinct_2"] == ["undefined", "", "", "0"]
    # Of the curves their ends; pass^1 is pass@1, and where a reply is right or wrong max@k is pass@k.
    assert [name for name in rows if name.startswith(("pass", "max"))] == ["pass@1", "pass@3", "pass^3"]
    generations.printed("default", judged)
    shown = capsys.readouterr().out
    assert "default: 3 prompts, 3 replies each" in shown
    assert "not defined everywhere: distinct_2, expectation_adjusted_distinct_2 (3 of 3 prompts: no text with" in shown
    assert "caution: 33.3% of the replies repeat another one" in shown


@pytest.mark.parametrize("samples", [1, 3])
def test_pictures(tmp_path, samples):
    prompts = [(group, reference, replies[:samples]) for group, reference, replies in PROMPTS]
    judged = evaluate_generations(write_generations(tmp_path, prompts), ExactNumber())
    table = pq.read_table(tmp_path / "measures.parquet")
    generations.curves(tmp_path / "curves.png", "all", judged)
    columns = {name: table[name].to_numpy() for name in table.column_names[2:]}
    generations.distributions(tmp_path / "distributions.png", judged, columns)
    for name in ("curves", "distributions"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
