"""What is hidden, and what looks like a secret and is none."""

import pytest

from arena.core import redact


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://u:PW@h/d", "postgresql://u:***@h/d"),
        ("postgresql+psycopg://u:P@W@h:5432/d", "postgresql+psycopg://u:***@h:5432/d"),
        ("redis://:PW@h", "redis://:***@h"),
        ("https://TOKEN@github.com/a", "https://***@github.com/a"),
        ("no such file: https://h/x.csv?api_key=PW&part=1", "no such file: https://h/x.csv?api_key=***&part=1"),
        ("+hydra.job.env_set.TOKEN=PW", "+hydra.job.env_set.TOKEN=***"),
        ("hydra.job.env_set={A: PW, B: PW}", "hydra.job.env_set=***"),
        ("+logger.mlflow.password=PW", "+logger.mlflow.password=***"),
        ("sqlite:///m.db", "sqlite:///m.db"),
        ("https://host:8080/x", "https://host:8080/x"),
        ("data.path=user@host.csv", "data.path=user@host.csv"),
        ("loss.max_new_tokens=48 tokenizer=x", "loss.max_new_tokens=48 tokenizer=x"),
    ],
)
def test_texts(text: str, hidden: str) -> None:
    assert redact.text(text) == hidden
    assert redact.text(hidden) == hidden


def test_configurations() -> None:
    shown = {
        "model": {"pad_token": "[PAD]", "width": 3},
        "job": {"env_set": {"A": "x"}},
        "password": "PW",
        "token": None,
    }
    hidden = {
        "model": {"pad_token": "[PAD]", "width": 3},
        "job": {"env_set": {"A": "***"}},
        "password": "***",
        "token": None,
    }
    assert redact.node(shown) == hidden
    assert list(redact.hidden_keys(hidden)) == ["job.env_set.A", "password"]
    assert list(redact.hidden_keys({"tags": ["a", redact.text("https://u:PW@h")], "star": "a*** b"})) == ["tags"]
