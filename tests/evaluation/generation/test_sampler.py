"""Replies on disk: the same bits in any number of processes, and never under other settings."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from replies_support import END, LETTERS, Replies, SmallLlama, sampling

from arena.core.errors import DataError, OutOfMemoryError, UsageError
from arena.evaluation.generation.sampler import choose, generate, pieces


def make(folder, model=None, data=None, how=None, **options):
    options = {"batch_size": 4, "prompts": None} | options
    path = generate(model or SmallLlama(), data or Replies(), "test", how or sampling(), folder, **options)
    return pq.read_table(path)


def test_what_the_file_holds(tmp_path):
    table = make(tmp_path)
    names = ["id", "group", "sample", "prompt", "text", "reference", "tokens", "finished", "log_probability"]
    assert table.column_names == names
    # 10 rows, of which the last repeats a prompt: 9 prompts of 3 samples each, in the order of the split.
    assert table["id"].to_pylist() == [f"r{i}" for i in range(9) for _ in range(3)]
    assert table["sample"].to_pylist() == [0, 1, 2] * 9
    for row in table.to_pylist():
        assert row["tokens"] == len(row["text"]) + row["finished"]
        assert row["tokens"] == 6 or row["finished"]
        assert row["log_probability"] < 0
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["sampling"] == {
        "samples": 3, "max_new_tokens": 6, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": 0
    }  # fmt: skip
    assert (settings["split"], settings["fingerprint"], settings["rows"]) == ("test", "f", 9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generations.parquet", "settings.json"]


def test_log_probability_is_that_of_the_reply(tmp_path):
    """Read alone and unpadded, the model gives each reply the log probability that the file has."""
    model = SmallLlama()
    for row in make(tmp_path, model).to_pylist():
        prompt, reply = ([LETTERS.index(letter) for letter in row[name]] for name in ("prompt", "text"))
        reply += [END] * row["finished"]
        ids = torch.tensor([prompt + reply])
        with torch.no_grad():
            logits = model.bare(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None]).sum()
        assert row["log_probability"] == pytest.approx(float(expected), abs=1e-4)


def test_a_stopped_generation_goes_on_to_the_same_bits(tmp_path):
    whole = make(tmp_path / "whole")

    class Stops(SmallLlama):
        def sample(self, *given):
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().sample(*given)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "stopped", Stops())
    assert not (tmp_path / "stopped" / "generations.parquet").exists()
    partial = tmp_path / "stopped" / ".generations.parquet.partial"
    assert len(list(partial.glob("part-*.parquet"))) == 2
    # What a machine that lost its power leaves of a third is done again.
    (partial / "part-000000007.parquet").write_bytes(b"")
    model = SmallLlama()
    assert make(tmp_path / "stopped", model).equals(whole)
    assert model.calls == [1]  # 9 prompts in batches of 4, 4 and 1
    assert not partial.exists()


def test_replies_that_are_there_are_not_made_again(tmp_path, capsys):
    before = make(tmp_path)
    model = SmallLlama()
    assert make(tmp_path, model).equals(before)
    assert model.calls == []
    assert "these replies are there already" in capsys.readouterr().out


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused(tmp_path, finished):
    if finished:
        make(tmp_path)
    else:
        with pytest.raises(OutOfMemoryError):  # after the longer prompts were answered
            make(tmp_path, OnlyLong())
    others = {
        "samples=3, not samples=2": {"how": sampling(samples=2)},
        "temperature=1.0, not temperature=0.5": {"how": sampling(temperature=0.5)},
        "seed=0, not seed=1": {"seed": 1},
        "prompts=None, not prompts=5": {"prompts": 5},
        "batch_size=4, not batch_size=2": {"batch_size": 2},
        "weights=, not weights=other": {"weights": "other"},
        "fingerprint=f, not fingerprint=g": {"data": Replies(fingerprint="g")},
    }
    model = SmallLlama()
    for difference, options in others.items():
        with pytest.raises(UsageError, match=difference) as error:
            make(tmp_path, model, **options)
        assert "\n" not in str(error.value)
    assert model.calls == []


class OnlyLong(SmallLlama):
    """The first batch fits, and nothing else."""

    def sample(self, prompt_ids, mask, sampling, seed):
        if prompt_ids.shape[1] < 11:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().sample(prompt_ids, mask, sampling, seed)


def test_memory_halves_the_batches_and_the_process_after_knows(tmp_path, capsys):
    model = SmallLlama(room=6)  # two prompts of three samples
    table = make(tmp_path / "a", model)
    assert model.calls == [2, 2, 2, 2, 1]
    assert capsys.readouterr().out.count("out of memory: from here on 2 prompts at a time") == 1
    assert table.num_rows == 27

    class Stops(SmallLlama):
        def sample(self, *given):
            if len(self.calls) == 3:
                raise KeyboardInterrupt
            return super().sample(*given)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "b", Stops(room=6))
    model = SmallLlama()  # now there is room, but the batches stay as they were
    assert make(tmp_path / "b", model).equals(table)
    assert model.calls == [2, 1]


def test_a_prompt_that_never_fits(tmp_path):
    with pytest.raises(OutOfMemoryError, match="3 replies to one prompt do not fit; lower samples"):
        make(tmp_path, SmallLlama(room=2))


def test_other_errors_are_not_taken_for_memory(tmp_path):
    class Broken(SmallLlama):
        def sample(self, *given):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        make(tmp_path, Broken())


def test_the_seed_decides_and_the_state_of_torch_does_not(tmp_path):
    model = SmallLlama()
    torch.manual_seed(1)
    one = make(tmp_path / "one", model)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = make(tmp_path / "two", model)
    assert torch.equal(torch.get_rng_state(), state)
    assert one.equals(two)
    assert not make(tmp_path / "three", model, seed=1)["text"].equals(one["text"])


def test_every_part_of_the_model_trains_again_as_before(tmp_path):
    model = SmallLlama()
    model.train()
    model.dropout.eval()
    make(tmp_path, model)
    assert model.training
    assert not model.dropout.training


def test_choice_of_prompts():
    data = Replies(40)
    everything = choose(data, "test", None, 0)
    assert len(everything.row) == 39
    some, more = (choose(data, "test", number, 0) for number in (7, 8))
    assert len(some.row) == 7
    assert set(some.row) < set(more.row)
    # Groups of two rows: seven rows are three whole groups and one row of a fourth, unless a prompt was there already.
    sizes = np.unique(some.columns["group"].to_numpy(), return_counts=True)[1]
    assert sorted(sizes)[-3:] == [2, 2, 2]
    assert set(choose(data, "test", 7, 1).row) != set(some.row)
    assert some.columns["reference"].to_pylist() == [text[::-1] for text in some.columns["prompt"].to_pylist()]
    with pytest.raises(DataError, match="split=val: the run has no rows there"):
        choose(data, "val", 7, 0)


def test_pieces():
    assert [piece.tolist() for piece in pieces(np.arange(5), 1)] == [[0, 1, 2], [3, 4]]
    assert [piece.tolist() for piece in pieces(np.arange(5), 2)] == [[0, 1], [2], [3], [4]]
    assert [piece.tolist() for piece in pieces(np.arange(2), 3)] == [[0], [1]]


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits(tmp_path):
    """No cleaning up of any kind: the process is gone in the middle of its third batch."""
    code = (
        "import os, signal, sys; from pathlib import Path; from test_sampler import make; import replies_support as s\n"
        "class Killed(s.SmallLlama):\n"
        "    def sample(self, *given):\n"
        "        if len(self.calls) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().sample(*given)\n"
        "make(Path(sys.argv[1]), Killed())\n"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], cwd=here, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    model = SmallLlama()
    assert make(tmp_path / "killed", model).equals(make(tmp_path / "whole"))
    assert model.calls == [1]
