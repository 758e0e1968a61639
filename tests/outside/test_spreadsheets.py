"""Tables that a spreadsheet opens hold no formula of a stranger's file."""

import csv
import random

import pytest
from support import head_settings

LIVE = tuple("=+-@\t\r")


def is_live(cell: str) -> bool:
    """Whether a spreadsheet would run a cell."""
    try:
        float(cell)
    except ValueError:
        return len(cell) > 1 and cell.startswith(LIVE)
    return False


@pytest.mark.slow
def test_ids_and_classes_that_begin_like_formulas_are_text_in_every_table(shell, tmp_path, pairwise_run):
    draw = random.Random(0)
    with open(tmp_path / "h.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "stance", "sentiment"])
        for i in range(160):
            a, b = draw.randrange(2), draw.randrange(2)
            text = f"{('xxxx', 'yyyy')[a]} {('----', '++++')[b]} {i}"
            writer.writerow([f"=cmd|{i}", text, ("=1+2", "+FAVOR")[a], ("@neg", "-pos")[b]])
    shell("train", *head_settings("h.csv", "trainer.max_steps=4"), "hydra.run.dir=heads").ok()
    shell("predict", "run=heads", "data.path=h.csv", "output=o.csv").ok()
    tables = [path for path in tmp_path.rglob("*.[ct]sv") if path.name != "h.csv"]
    assert len(tables) > 10
    for path in tables:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        lines = list(csv.reader(path.read_text().splitlines(), delimiter=delimiter))
        assert not [cell for line in lines for cell in line if is_live(cell)], path
    assert "\n'=cmd|0," in (tmp_path / "o.csv").read_text()

    (tmp_path / "p.csv").write_text('id,prompt,response_a,response_b\n=H(0),"[""q""]","[""a""]","[""b""]"\n')
    submission = ["data.path=p.csv", "output=s.csv", "format=kaggle"]
    shell("predict", f"run={pairwise_run}", *submission).ok()
    assert (tmp_path / "s.csv").read_text().splitlines()[1].startswith("=H(0),")
