"""Precision and attention follow the device that will be used; the driver's answer is typed in here."""

import os
import stat

import pytest
import yaml
from support import first_fast


@pytest.fixture
def precision(shell, tmp_path):
    """`precision("gpu", "7.5")`: what a command would compute in on GPUs of these compute capabilities."""

    def ask(accelerator: str, *capabilities: str) -> str:
        driver = tmp_path / "nvidia-smi"
        names = "\n".join(str(i) for i in range(len(capabilities)))
        driver.write_text(
            f"#!/bin/sh\ncase $1 in *compute_cap*) echo '{chr(10).join(capabilities)}';; *) echo '{names}';; esac\n"
        )
        driver.chmod(driver.stat().st_mode | stat.S_IXUSR)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": None}
        answer = shell("train", f"trainer.accelerator={accelerator}", "--cfg", "job", "--resolve", env=environment)
        return yaml.safe_load(answer.ok().out)["trainer"]["precision"]

    return ask


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    first_fast([(["8.0", "7.0"], "32-true"), (["7.5"], "32-true"), (["6.0"], "32-true"), (["9.0"], "bf16-mixed")], 1),
)
def test_precision_is_what_the_gpu_multiplies(precision, capabilities, expected):
    assert precision("gpu", *capabilities) == expected


@pytest.mark.slow
def test_auto_without_a_gpu_is_the_processors(precision):
    assert precision("auto") == precision("cpu")


@pytest.mark.slow
def test_cudnn_attention_is_a_switch(shell):
    shell("train", "trainer.cudnn_attention=1").refused(2, "trainer.cudnn_attention=1: true or false is needed")
    shell("train", "trainer.cudnn_atention=true").refused(2, "cudnn_attention")
