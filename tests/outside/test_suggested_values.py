"""What a model suggests and what is chosen beside it, typed: learning rate, epochs and rows of a batch."""

import pytest
import yaml


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        # 2e-5 of qwen05b, a fifth of it for Lion, ten times for adapters; what is typed or in an experiment wins.
        ("model=qwen05b", (2e-5, 8, 3)),
        pytest.param("model=qwen05b optim=lion", (4e-6, 8, 3), marks=pytest.mark.slow),
        ("optim=lion model=qwen7b adapter=qlora", (1e-5, 4, 3)),
        pytest.param("model=qwen7b adapter=lora optim.lr=3e-4 data.batch_size=2", (3e-4, 2, 3), marks=pytest.mark.slow),
        ("optim=lion", (1e-3, 64, 5)),
        pytest.param("trainer=debug", (5e-3, 64, 1), marks=pytest.mark.slow),
        ("trainer=debug model=minilm trainer.max_epochs=7", (3e-5, 16, 7)),
        ("experiment=arena55k_qlora optim=lion data.path=x.csv", (5e-5, 8, 3)),
        pytest.param("experiment=polychromic_0.3 data.path=x.jsonl", (2e-4, 4, 3), marks=pytest.mark.slow),
    ],
)
def test_choices_set_what_they_say(shell, typed, expected):
    found = yaml.safe_load(shell("train", *typed.split(), "--cfg", "job", "--resolve").ok().out)
    assert (found["optim"]["lr"], found["data"]["loader"]["batch_size"], found["trainer"]["max_epochs"]) == expected


@pytest.mark.slow
def test_a_suggestion_that_is_no_number_is_refused(shell):
    shell("train", "suggested.lr=fast").refused(2, "suggested.lr=fast", "number greater than 0")
    shell("train", "suggested.rate=1").refused(2, "suggested.rate")


@pytest.mark.slow
def test_the_learning_rate_is_printed_with_its_reason(shell):
    answer = shell("train", "trainer=debug", "optim=lion", "toy_rows=200", "resamples=0", "hydra.run.dir=r").ok()
    assert "lr 0.001 (0.005 suggested by the model x 0.2 for lion)" in answer.out
    assert "epoch 2" not in answer.out + answer.err
