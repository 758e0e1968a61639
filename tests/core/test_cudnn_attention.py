"""cuDNN's attention: off by default, said once, and back where it is asked for."""

import logging

import pytest
import torch
from support import compose

from arena.config import build
from arena.config import compose as config


@pytest.fixture(autouse=True)
def restored():
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)  # torch's own default
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


def task(*overrides: str) -> None:
    build.task(config.resolved(compose("run_dir=out", *overrides)))


def test_it_is_off_for_every_task_and_the_log_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with caplog.at_level(logging.INFO, logger="arena"):
        task()
        task()
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert [record.message for record in caplog.records if "cuDNN" in record.message] == [
        "cuDNN attention is off, as lengths change from batch to batch; trainer.cudnn_attention=true: on"
    ]
    task("trainer.cudnn_attention=true")
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_nothing_is_said_without_a_gpu(caplog):
    with caplog.at_level(logging.INFO, logger="arena"):
        task()
    assert not any("cuDNN" in record.message for record in caplog.records)
