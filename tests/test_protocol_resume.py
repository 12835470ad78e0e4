"""A run with any option of the protocol, killed anywhere and resumed, is the same run."""

import json

import numpy as np
import pytest
from test_checkpoint import Killed, call, kill_after, options, result
from test_checkpoint import data as data  # a fixture

from ref import folder

PROTOCOLS = {
    "momentum": ("bp", "--optimizer", "sgd", "--momentum", "0.9", "--weight-decay", "1e-3"),
    "batch-manhattan": ("dtp", "--optimizer", "batch-manhattan", "--inverse-momentum", "0.9"),
    "adam with decay": ("fa", "--weight-decay", "1e-2"),
    "rates": ("dtp", "--lr-step", "1", "--inverse-lr-milestones", "1,2"),
    "inverse steps": ("sdtp", "--inverse-steps", "3", "--inverse-pretraining", "2"),
    "best epoch": ("fa", "--validation", "40", "--validation-split", "random", "--patience", "2",
                   "--normalise", "channels", "--epochs", "9", "--lr", "0.05"),
    "mirror steps": ("weight-mirror", "--mirror-steps", "2", "--mirror-pretraining", "1",
                     "--schedule", "alternating"),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_run_killed_anywhere_and_resumed_is_the_same_run(name, data, tmp_path, monkeypatch):
    rule, *given = PROTOCOLS[name]
    assert call(monkeypatch, *options(data, tmp_path / "whole", rule), *given) == 0
    out = tmp_path / "killed"
    line = [*options(data, out, rule), *given, "--checkpoint-minutes", "1e-9"]
    for steps in np.random.default_rng(len(name)).integers(1, 12, 4):
        with monkeypatch.context() as patch:
            kill_after(patch, steps)
            try:
                call(patch, *line)
            except Killed:
                pass
        line = ["--resume", out]
    assert call(monkeypatch, "--resume", out) == 0
    assert result(out) == result(tmp_path / "whole")
    if "--validation" in given:
        ours, theirs = (folder.read_parameters(run, best=True) for run in (out, tmp_path / "whole"))
        assert {n: a.tobytes() for n, a in ours.items()} == {
            n: a.tobytes() for n, a in theirs.items()}


def test_a_run_from_before_there_was_a_protocol_goes_on(data, tmp_path, monkeypatch):
    """Its config.json has none of the options: they are off."""
    assert call(monkeypatch, *options(data, tmp_path / "whole", "dtp")) == 0
    out = tmp_path / "old"
    assert call(monkeypatch, *options(data, out, "dtp", epochs=2)) == 0
    config = json.loads((out / "config.json").read_text())
    new = ("momentum", "weight_decay", "lr_step", "lr_milestones", "lr_factor", "_steps",
           "_pretraining")
    for part in ("hyperparameters", "arguments"):
        config[part] = {k: v for k, v in config[part].items() if not k.endswith(new)}
    (out / "config.json").write_text(json.dumps(config))
    assert call(monkeypatch, "--resume", out, "--epochs", 3) == 0
    assert result(out) == result(tmp_path / "whole")
