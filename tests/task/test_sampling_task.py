"""Training with a diversity term, on a real run of a tiny language model: what trains and what is logged."""

import logging
import math

import pytest
import torch

from arena.config.weights import read_checkpoint
from arena.core.errors import UsageError
from arena.logger import journal

QUICK = [
    "task=sft", "model.architecture.hidden_size=16", "model.architecture.num_hidden_layers=1",
    "toy_rows=150", "data.limit=null", "trainer.max_steps=3", "test=false", "baselines=[]",
]  # fmt: skip
SAMPLED = ["loss=polychromic", "loss.n_generations=3", "loss.max_examples_for_diversity=2", "loss.max_new_tokens=8"]


def weights(run) -> dict[str, torch.Tensor]:
    return read_checkpoint(run.last)["state_dict"]


def same(one, other) -> bool:
    left, right = weights(one), weights(other)
    return all(torch.equal(left[name], right[name]) for name in left)


def scored(run, name: str) -> list[tuple[int, float]]:
    rows = journal.read(run.metrics)
    return [(row["step"], row["value"]) for row in rows if row["split"] == "train" and row["name"] == name]


@pytest.mark.slow
def test_a_detached_score_trains_exactly_as_lambda_zero_and_says_so(train_run, caplog) -> None:
    """The study's mistake: lambda 0.3, 1 and 2 give the same weights to the last bit, and a lower logged loss."""
    every = "loss.compute_every_n_steps=1"
    plain = train_run("plain", *QUICK, *SAMPLED, every, "loss.lambda=0")
    with caplog.at_level(logging.WARNING, logger="arena"):
        runs = [
            train_run(f"detached{weight}", *QUICK, *SAMPLED, every, "loss.estimator=detached", f"loss.lambda={weight}")
            for weight in (0.3, 2.0)
        ]
    assert sum("trains exactly as loss.lambda=0" in record.message for record in caplog.records) == 2
    assert all(same(plain, run) for run in runs)
    for run, weight in zip(runs, (0.3, 2.0), strict=True):
        assert [value for _, value in scored(run, "gradient_ratio")] == [0.0] * 3
        pairs = zip(scored(run, "combined"), scored(plain, "quality"), scored(plain, "diversity"), strict=True)
        for (_, combined), (_, quality), (_, diversity) in pairs:
            assert combined == pytest.approx(quality - weight * diversity, abs=1e-6)
            assert diversity > 0
    # Sampling draws from a stream of its own: a run without any has the same weights too.
    assert same(plain, train_run("none", *QUICK, "data.prompts=true"))


def test_the_estimator_trains_and_logs_every_scored_step(train_run) -> None:
    every = "loss.compute_every_n_steps=2"
    plain = train_run("plain", *QUICK, *SAMPLED, every, "loss.lambda=0")
    run = train_run("run", *QUICK, *SAMPLED, every, "loss.lambda=1")
    assert not same(plain, run)
    names = ["quality", "diversity", "combined", "diversity_share", "gradient_ratio", "token_entropy"]
    names += ["generation_seconds", "sampled_tokens", "duplicate_share", "empty_share", "scored_prompts"]
    for name in names:
        assert [step for step, _ in scored(run, name)] == [1, 3], name
    assert all(value > 0 for _, value in scored(run, "gradient_ratio"))
    assert scored(run, "quality")[0] == scored(plain, "quality")[0]
    assert math.isclose(scored(run, "diversity")[0][1], scored(plain, "diversity")[0][1])
    share, quality, diversity = (scored(run, name)[0][1] for name in ("diversity_share", "quality", "diversity"))
    assert share == pytest.approx(diversity / (quality + diversity), abs=1e-6)


def test_the_ratio_of_the_gradients_is_that_of_two_backward_passes(train_run) -> None:
    """For the entropy bonus it can be read off the optimiser: Adam's first moment after one step is the gradient."""
    step = [*QUICK, "trainer.max_steps=1", "trainer.gradient_clip_val=null", "loss=polychromic"]
    step += ["loss.estimator=entropy"]
    runs = {weight: train_run(f"run{weight}", *step, f"loss.lambda={weight}") for weight in (0.0, 0.5)}
    state = {weight: read_checkpoint(run.last)["optimizer_states"][0] for weight, run in runs.items()}
    # Times 1 - beta1, which the ratio does not see.
    moments = {
        weight: torch.cat([entry["exp_avg"].flatten() for entry in each["state"].values()])
        for weight, each in state.items()
    }
    ratio = (moments[0.5] - moments[0.0]).norm() / moments[0.0].norm()
    assert scored(runs[0.5], "gradient_ratio")[0][1] == pytest.approx(float(ratio), rel=1e-3)


@pytest.mark.slow
def test_a_reward_multiplies_the_score_and_what_cannot_be_judged_counts_nothing(train_run) -> None:
    """f(S) = mean(r) D(S): with a rule that all replies keep it is D(S), with one that none keeps it is 0; and replies
    of no number (exact_number) leave no set that could be scored."""
    step = [*QUICK, *SAMPLED, "trainer.max_steps=1", "loss.lambda=1"]
    rule = ["reward@loss.reward=regex"]
    runs = {
        "alone": train_run("alone", *step),
        "kept": train_run("kept", *step, *rule, "loss.reward.pattern='^'"),
        "broken": train_run("broken", *step, *rule, "loss.reward.pattern='(?!)'"),
        "unknown": train_run("unknown", *step, "reward@loss.reward=exact_number"),
    }
    value = {name: scored(run, "diversity")[0][1] for name, run in runs.items()}
    assert value["kept"] == pytest.approx(value["alone"]) != 0
    assert value["broken"] == 0
    assert scored(runs["unknown"], "scored_prompts")[0][1] == 0
    assert same(runs["kept"], runs["alone"])
    assert same(runs["broken"], runs["unknown"])


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(train_run) -> None:
    whole = train_run("whole", *QUICK, *SAMPLED, "trainer.max_steps=6", "loss.compute_every_n_steps=2")
    part = ["loss.compute_every_n_steps=2", "schedule.total_steps=6"]
    train_run("part", *QUICK, *SAMPLED, "trainer.max_steps=3", *part)
    folder = whole.path.parent / "part"
    again = train_run("part", *QUICK, *SAMPLED, "trainer.max_steps=6", *part, f"resume={folder}")
    assert same(whole, again)
    assert scored(whole, "diversity") == scored(again, "diversity")


@pytest.mark.slow
def test_two_processes_train_with_the_term(arena, tmp_path) -> None:
    """Each samples for its own prompts with its own stream; the weights stay one."""
    typed = [*QUICK, *SAMPLED, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "loss.lambda=1"]
    done = arena("train", *typed, "loss.compute_every_n_steps=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    import csv

    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    steps = [row["step"] for row in rows if row["name"] == "gradient_ratio"]
    assert steps == ["1", "2", "3"]
    assert all(float(row["value"]) > 0 for row in rows if row["name"] == "gradient_ratio")


def test_a_weak_term_is_said(train_run, caplog) -> None:
    few = ["callback.diversity.patience=2", "loss.lambda=0.000001"]
    with caplog.at_level(logging.WARNING, logger="arena"):
        train_run("run", *QUICK, "loss=polychromic", "loss.estimator=gem", "loss.compute_every_n_steps=1", *few)
    assert any("the diversity term is weak" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=sft", "loss=polychromic", "loss.lambda=-1"], r"loss\.lambda=-1: a number, 0 or more"),
        (["task=sft", "loss=polychromic", "loss.n_generations=1"], r"n_generations=1: at least 2"),
        (["task=sft", "loss=polychromic", "loss.estimator=loo"], "one of leave_one_out"),
        (["task=sft", "loss=polychromic", "data.prompts=false"], r"data\.prompts=true"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(train_run, overrides, message) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        train_run("run", *overrides, "toy_rows=60", "trainer.max_steps=1")
    assert "\n" not in str(caught.value)
