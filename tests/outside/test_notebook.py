"""The notebook in `examples/notebooks` runs from top to bottom, each cell in a kernel of its own process."""

import json

import pytest
from support import ROOT

NOTEBOOK = ROOT / "examples" / "notebooks" / "judge.ipynb"


def test_it_is_kept_without_outputs():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    import nbclient
    import nbformat
    from outside.conftest import environment

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in shown), "the curves are drawn"
    printed = "".join(output.get("text", "") for output in shown)
    assert "log_loss" in printed
    asked = next(o["data"]["text/plain"] for o in shown if "'model_a'" in o.get("data", {}).get("text/plain", ""))
    assert abs(sum(eval(asked).values()) - 1) < 1e-6
    assert (tmp_path / "outputs" / "notebook" / "plain" / "result.json").is_file()
