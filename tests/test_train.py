"""ref.train, the command: bad input, what a run leaves, repeatability, and the tables of defaults.

Bad input ends with status 2 and one line on stderr that says what is wrong, and leaves every file
and folder as it was: `command.refused` in conftest.py.
"""

import csv
import errno
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import noise_images

import ref.begin
import ref.train
from ref import architectures, conventions, find, hyperparameters, rules, settings, training

ROOT = Path(__file__).resolve().parents[1]
APPENDIX = Path(os.environ.get("REF_SHARED", ROOT.parent / "shared")) / "paper" / "appendix.md"
NETWORK = "dense 8, dense 8, softmax 10"
WITH_INVERSES = [name for name in rules.NAMES if ("V" in rules.get(name).symbols)]


@pytest.fixture
def base(tiny):
    """Arguments for a short run of 4 steps; those that follow take the place of any of them."""
    return ["--data", tiny, "--rule", "bp", "--arch", NETWORK, "--epochs", 1, "--batch-size", 50]


@pytest.fixture
def train(command, base, here):
    """train(*arguments) -> Result, in an empty folder."""
    return lambda *arguments: command("ref.train", *base, *arguments)


@pytest.fixture
def refused(command, base, here):
    return lambda *arguments, names=(): command.refused(
        "ref.train", *base, *arguments, names=names)


def metrics(run):
    with open(Path(run) / "metrics.csv") as file:
        return list(csv.DictReader(file))


def config(run):
    return json.loads((Path(run) / "config.json").read_text())


def parameters(run):
    with h5py.File(Path(run) / "parameters.h5") as file:
        return {name: file[name][:] for name in file}


def assert_same_parameters(a, b, symbols=""):
    """Bit for bit, those whose names begin with one of the symbols."""
    a, b = parameters(a), parameters(b)
    assert a.keys() == b.keys() or symbols
    names = [name for name in a if name.startswith(tuple(symbols) or "")]
    assert names
    for name in names:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape)
        assert a[name].tobytes() == b[name].tobytes(), name


def assert_no_halves(folder):
    assert [p for p in Path(folder).rglob("*") if p.suffix in (".part", ".tmp")] == []


# ---- bad input -----------------------------------------------------------------------------------

ZERO, NAN = ["0", "-1"], ["nan", "inf", "x"]
NUMBERS = {
    "--batch-size": [*ZERO, *NAN, "2.5", "1e2"], "--epochs": [*ZERO, *NAN, "1.5"],
    "--seed": ["-1", "1.5", *NAN], "--validation": ["-1", "200", "1000", "x"],
    "--lr": [*ZERO, *NAN], "--inverse-lr": [*ZERO, *NAN],
    "--epsilon": [*ZERO, *NAN], "--inverse-epsilon": [*ZERO, *NAN],
    "--beta1": ["1", "-1", *NAN], "--beta2": ["1", "-1", *NAN],
    "--inverse-beta1": ["1", *NAN], "--inverse-beta2": ["1", *NAN],
    "--alpha": ["-1", *NAN], "--sigma": ["-1", *NAN], "--mu": ["-1", "1.5", *NAN],
    "--aux": ["-1", "2.5", *NAN], "--crop-padding": ["-1", "0.5", *NAN],
}
RULE_WITH = {"--alpha": "dtp", "--mu": "hybrid", "--aux": "ao-sdtp"}  # otherwise sdtp


@pytest.mark.parametrize(("option", "value"), [(o, v) for o, vs in NUMBERS.items() for v in vs])
def test_numbers_out_of_range(refused, option, value):
    rule = RULE_WITH.get(option, "sdtp")
    refused("--rule", rule, f"{option}={value}", names=[option, value])


@pytest.mark.parametrize("option", NUMBERS)
def test_a_missing_number(refused, option):
    refused(option, names=[option])


CHOICES = {
    "--rule": rules.NAMES,
    "--convention": conventions.PRESETS,
    **{f"--{key.replace('_', '-')}": option.choices for key, option in settings.every().items()
       if option.choices},
    "--schedule": ["parallel", "alternating"], "--inverse": ["same", "wide", "dense"],
    "--magnitude": ["uniform", "fixed", "batch"], "--optimizer": ["adam", "sgd"],
    "--epsilon-form": ["hat", "kingma"], "--hyperparameters": ["default", "paper"],
    "--dtype": ["float32", "float64"], "--backend": ["numpy", "cupy"],
    "--flip": ["none", "horizontal", "vertical"],
}


@pytest.mark.parametrize("option", CHOICES)
def test_unknown_names_are_answered_with_those_there_are(refused, option):
    refused(option, "nosuch", names=[option, "nosuch", *CHOICES[option]])


def test_an_unknown_architecture(refused):
    refused("--arch", "nosuch", names=["nosuch", *architectures.NAMED])


def test_an_unknown_data_set(refused):
    refused("--data", "nosuch", names=[
        "nosuch", "digits", "mnist", "cifar10", *find.PREPARE.values()])


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_data_that_are_not_there(refused, name):
    refused("--data", name, names=[f"python -m data_prep.{name}"])


def test_unknown_options_and_no_rule(command, refused, here):
    refused("--learning-rate", "1", names=["--learning-rate"])
    refused("left over", names=["left over"])
    command.refused("ref.train", names=["--rule"])


BAD_FILES = {  # what is wrong: (how to make it so, what the message names)
    "no labels": (lambda f: f.pop("test/labels"), "test/labels"),
    "flat images": (lambda f: put(f, "train/images", np.zeros((200, 784), np.uint8)),
                    "train/images"),
    "too few labels": (lambda f: put(f, "train/labels", np.zeros(3, np.uint8)), "train/labels"),
    "a label out of range": (lambda f: put(f, "train/labels", np.full(200, 10)), "train/labels"),
    "a label below 0": (lambda f: put(f, "test/labels", np.full(100, -1)), "test/labels"),
    "no classes": (lambda f: f.attrs.pop("classes"), "classes"),
}


def put(file, name, data):
    del file[name]
    file[name] = data


@pytest.mark.parametrize("problem", BAD_FILES)
def test_bad_data_files(refused, here, problem):
    """One of each sort; tests/test_data.py has them all."""
    spoil, named = BAD_FILES[problem]
    path = noise_images(here / "bad.h5")
    with h5py.File(path, "a") as file:
        spoil(file)
    refused("--data", path, names=[path, named])


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_truncated_and_empty_data_files(refused, here, cut):
    path = noise_images(here / "bad.h5")
    path.write_bytes(path.read_bytes()[:cut])
    refused("--data", path, names=[path])


@pytest.mark.parametrize("name", ["text.h5", "folder.h5", "missing.h5", "x" * 300,
                                  "x" * 300 + ".h5"], ids=lambda name: name[-12:])
def test_other_things_in_the_place_of_data(refused, here, name):
    (here / "text.h5").write_text("no HDF5\n" * 1000)
    (here / "folder.h5").mkdir()
    (here / "data").mkdir()
    refused("--data", name, names=[name])


@pytest.mark.parametrize("arch", ["mnist-fc", "mnist-lc", "mnist-conv", "mnist-autoencoder",
                                  "cifar-fc"])
def test_images_of_another_shape(refused, here, arch):
    path = noise_images(here / "small.h5", shape=(8, 8, 1))
    refused("--data", path, "--arch", arch, names=[arch, "8x8x1"])


@pytest.mark.parametrize("arch", ["mnist-fc", "softmax 10,", "dense 8, softmax 10", "softmax 4"])
def test_another_number_of_classes(refused, here, arch):
    path = noise_images(here / "seven.h5", n_classes=7)
    named = ["seven.h5", "7 classes"] if not arch.endswith(",") else ["layer"]
    refused("--data", path, "--arch", arch, names=named)


@pytest.mark.parametrize(("arch", "wrong"), [
    ("dense 8, tanh 8, softmax 10", "'tanh 8'"),
    ("dense 8, dense, softmax 10", "'dense'"),
    ("dense 8, dense x, softmax 10", "'dense x'"),
    ("dense 8, dense 0, softmax 10", "'dense 0'"),
    ("dense 8, dense -8, softmax 10", "'dense -8'"),
    ("dense 8, dense 8.5, softmax 10", "'dense 8.5'"),
    ("dense 8, dense 8 8, softmax 10", "'dense 8 8'"),
    ("dense 8 softmax 10", "'dense 8 softmax 10'"),
    ("dense 8,, softmax 10", "layer 2"),
    ("dense 8, softmax 10,", "layer"),
    ("dense 8, dense 10", "'dense 10'"),
    ("softmax 10, dense 8, softmax 10", "'softmax 10'"),
    ("dense 8, softmax 0", "'softmax 0'"),
    ("dense 8, softmax", "'softmax'"),
    ("dense 8, reconstruction 784", "'reconstruction 784'"),
    ("conv 3x3, softmax 10", "'3x3'"),
    ("conv 3x3x8/, softmax 10", "'3x3x8/'"),
    ("conv 3x3x8/0, softmax 10", "'3x3x8/0'"),
    ("local 0x3x8, softmax 10", "'0x3x8'"),
    ("local 3x3x8/2 2, softmax 10", "'local 3x3x8/2 2'"),
    ("local -3x3x8, softmax 10", "'-3x3x8'"),
    ("dense 8, local 3x3x8, softmax 10", "'local 3x3x8'"),
    ("DENSE 8, softmax 10", "'DENSE 8'"),
    ("", "''"),
    (",", "layer 1"),
    (" ", "' '"),
])
def test_malformed_architectures(refused, arch, wrong):
    refused("--arch", arch, names=[wrong])


OPTIONS = {  # option: (a value that is valid where the rule has it, the rules that have it)
    "--alpha": ("0.1", ["dtp"]), "--first-target": ("hidden", ["dtp"]),
    "--mu": ("0.5", ["hybrid"]), "--aux": ("8", ["ao-sdtp"]),
    "--magnitude": ("uniform", ["sign-symmetry"]),
    "--decay": ("0.5", ["kolen-pollack", "weight-mirror"]),
    "--sigma": ("0.1", [*WITH_INVERSES, "weight-mirror"]),
    "--schedule": ("parallel", [*WITH_INVERSES, "weight-mirror"]),
    **{option: (value, ["weight-mirror"]) for option, value in {
        "--mirror-lr": "1e-3", "--mirror-beta1": "0.5", "--mirror-beta2": "0.5",
        "--mirror-epsilon": "1e-3"}.items()},
    **{option: (value, WITH_INVERSES) for option, value in {
        "--inverse": "same",
        "--inverse-loss": "de-noising", "--reduction": "sum", "--order": "targets-first",
        "--output": "probabilities", "--convention": "bartunov2018", "--inverse-lr": "1e-3",
        "--inverse-beta1": "0.5", "--inverse-beta2": "0.5", "--inverse-epsilon": "1e-3",
    }.items()},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("rule", rules.NAMES)
def test_options_that_a_rule_does_not_have(refused, train, rule, option):
    """Refused with the names of both; accepted, and in config.json, where the rule has it."""
    value, having = OPTIONS[option]
    if rule not in having:
        refused("--rule", rule, option, value, names=[option, rule])
        return
    assert train("--rule", rule, option, value, "--out", "run").status == 0
    recorded = config("run")["hyperparameters"][option[2:].replace("-", "_")]
    assert str(recorded) == value or recorded == float(value)


def test_the_options_above_are_all_there_are():
    known = {*OPTIONS, *NUMBERS, *CHOICES}
    assert {f"--{key.replace('_', '-')}" for key in
            (*settings.every(), *hyperparameters.GENERIC)} <= known


@pytest.mark.parametrize("rule", [rule for rule in rules.NAMES if rule != "dtp"])
def test_conventions_that_a_rule_cannot_follow(refused, rule):
    """Both presets move DTP's first target; logits have no target of least loss."""
    refused("--rule", rule, "--convention", "lee2015", names=[rule])
    refused("--rule", rule, "--convention", "meulemans2020", names=[rule])
    refused("--rule", rule, "--output", "logits", names=[rule, "--output"])


@pytest.mark.parametrize("rule", ["tp", "ao-sdtp", "hybrid", "sign-symmetry"])
def test_no_column_in_table_5(refused, rule):
    refused("--rule", rule, "--arch", "mnist-fc", "--hyperparameters", "paper",
            names=["Table 5", rule, "mnist-fc"])


@pytest.mark.parametrize("rule", rules.NAMES)
def test_no_network_of_that_kind_in_table_5(refused, rule):
    refused("--rule", rule, "--hyperparameters", "paper", names=["Table 5", rule, NETWORK])


def test_no_device(refused, monkeypatch):
    monkeypatch.setattr("ref.backend.cupy", None)
    refused("--backend", "cupy", names=["--backend cupy", "pip install"])


@pytest.mark.parametrize("rule", ["bp", "sdtp"])
def test_a_folder_that_holds_a_run(train, refused, rule):
    assert train("--out", "run").status == 0
    refused("--rule", rule, "--out", "run", names=["--out run", "already holds a run"])


@pytest.mark.parametrize("out", ["file", "file/run", "/proc/nosuch/run", "/proc", "a" * 300])
def test_a_folder_that_cannot_be(refused, here, out):
    (here / "file").write_text("in the way")
    refused("--out", out, names=["--out"])


def test_a_file_in_the_place_of_runs(refused, here):
    (here / "runs").write_text("in the way")
    refused(names=["runs"])


@pytest.mark.parametrize("arguments", [
    ["--alpha", "1"], ["--hyperparameters", "paper"], ["--out", "old"],
])
def test_bad_arguments_are_found_before_digits_is_made(command, here, monkeypatch, arguments):
    monkeypatch.setattr("data_prep.digits.make", lambda path: pytest.fail(f"made {path}"))
    (here / "old").mkdir()
    (here / "old" / "config.json").write_text("{}")
    command.refused("ref.train", "--rule", "bp", "--arch", NETWORK, *arguments)


@pytest.mark.parametrize("hidden", ["", "dense 8, "])
@pytest.mark.parametrize("rule", rules.NAMES)
def test_networks_with_few_layers(train, rule, hidden):
    """With one hidden layer DTP has no inverse, and with none FA no feedback: nothing to fail on.

    A rule may refuse such a network, in one line, as any other bad input.
    """
    result = train("--rule", rule, "--arch", hidden + "softmax 10,"[:-1], "--out", "run")
    assert result.status == 0 or result.status == 2 and result.err.count("\n") == 1, result
    assert result.status == 0 or not Path("run").exists()


@pytest.mark.parametrize("rule", rules.NAMES)
def test_every_rule_trains_an_autoencoder_or_says_that_it_cannot(train, rule):
    result = train("--rule", rule, "--arch", "dense 8, dense 8, reconstruction", "--out", "run")
    assert result.status == 0 or result.status == 2 and result.err.count("\n") == 1, result
    assert result.status == 0 or not Path("run").exists()


# ---- as a process of its own ---------------------------------------------------------------------


def start(arguments, **options):
    """python -m ref.train in the current folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "ref.train", *map(str, arguments)], text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize(("arguments", "named"), [
    (["--rule", "nosuch"], "ao-sdtp"),
    (["--data", "mnist"], "python -m data_prep.mnist"),
    (["--arch", "dense 8, dense x, softmax 10"], "'dense x'"),
])
def test_exit_status_of_bad_input(base, here, arguments, named):
    process = start([*base, *arguments])
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and named in err
    assert list(here.iterdir()) == []


def test_a_network_too_large_for_the_memory(base, here):
    """With 8 GB of addresses, a first layer of 3 TB."""
    limit = 8 << 30
    process = start([*base, "--arch", "dense 999999999, softmax 10", "--out", "run"],
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err.startswith("error: ") and err.count("\n") == 1 and "memory" in err
    assert list(here.iterdir()) == []


def test_a_run_is_quiet_where_stderr_is_no_terminal_and_does_not_depend_on_the_process(
        base, train, here):
    """The same run here and elsewhere, with other hashes and threads: the same bits."""
    arguments = ["--rule", "sdtp", "--epochs", 2]
    process = start([*base, *arguments, "--out", "elsewhere"],
                    env={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"})
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert len(out.splitlines()) == 5  # two to begin with, two epochs, the best
    assert train(*arguments, "--out", "run").status == 0
    assert_same_parameters("run", "elsewhere")


@pytest.mark.parametrize("rule", ["bp", "dtp"])
def test_divergence(base, here, rule):
    """A learning rate of 1e38 overflows float32: one line with the epoch, the layer and a hint."""
    process = start([*base, "--rule", rule, "--optimizer", "sgd", "--lr", "1e38",
                     "--epochs", 9, "--out", "run"])
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "best test error" not in out
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert re.search(r"epoch \d", err) and "NaN or infinite" in err and "--lr" in err
    assert re.search(r"layer \d", err)
    assert_no_halves("run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c(base, here, number):
    """What was reached so far is kept, whole."""
    process = start([*base, "--epochs", 10**6, "--out", "run"],  # SIGINT may be off in a parent
                    preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    try:
        give_up = time.monotonic() + 300
        while not Path("run/metrics.csv").exists() and time.monotonic() < give_up:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert err.count("\n") == 1 and "--resume run" in err
    rows = metrics("run")
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1)) != []
    assert parameters("run").keys() == {"W_1", "W_2", "W_3", "b_1", "b_2", "b_3"}
    assert_no_halves("run")


# ---- runs that stop early ------------------------------------------------------------------------


STEPS = 4  # of an epoch of the base arguments


@pytest.fixture
def after_step(monkeypatch):
    """after_step(n, do): call do(trainer) when step n is over."""

    def arrange(n, do):
        def step(trainer, *args, **kwargs):
            out = real(trainer, *args, **kwargs)
            if trainer.t == n:
                do(trainer)
            return out

        real = training.Trainer.step
        monkeypatch.setattr(training.Trainer, "step", step)

    return arrange


def spoil(symbol, l):
    def do(trainer):
        trainer.params[symbol][l].flat[0] = np.nan

    return do


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_test_loss_that_is_nan_stops_the_run(train, after_step):
    """A weight that overflows in an epoch's last update: no NaN is reported as a result."""
    after_step(3 * STEPS, spoil("W", 2))
    result = train("--epochs", 3, "--out", "run")
    assert result.status == 1
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert "epoch 3" in result.err and "layer 2" in result.err and "W_2" in result.err
    assert [row["epoch"] for row in metrics("run")] == ["1", "2"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("rule", "l", "named"), [
    ("sdtp", 3, "inverse_loss_3"), ("dtp", 2, "inverse_loss_2"), ("hybrid", 2, "inverse_loss_2"),
])
def test_an_inverse_that_is_nan_stops_the_run(train, after_step, rule, l, named):
    """It is named, and the epochs before are kept."""
    after_step(2 * STEPS, spoil("V", l))
    result = train("--rule", rule, "--epochs", 5, "--out", "run")
    assert result.status == 1
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert "epoch 3" in result.err and named in result.err and "--inverse-lr" in result.err
    assert [row["epoch"] for row in metrics("run")] == ["1", "2"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_third_epoch(train, after_step, number):
    """The epochs before, and the parameters after the last step."""
    kept = {}

    def interrupt(trainer):
        kept.update({l: W.copy() for l, W in trainer.params["W"].items()})
        os.kill(os.getpid(), number)

    after_step(2 * STEPS + 2, interrupt)
    result = train("--epochs", 5, "--out", "run")
    assert (result.status, result.err.count("\n")) == (128 + number, 1)
    assert [row["epoch"] for row in metrics("run")] == ["1", "2"]
    for l, W in kept.items():
        assert (parameters("run")[f"W_{l}"] == W).all()


@pytest.mark.parametrize("name", ["metrics.csv", "parameters.h5"])
def test_a_full_disk_leaves_whole_files(train, after_step, monkeypatch, name):
    """Writing fails after the second epoch: one line, and what was there before stays."""

    def replace(source, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    real = os.replace
    after_step(2 * STEPS, lambda trainer: monkeypatch.setattr(os, "replace", replace))
    result = train("--epochs", 2, "--out", "run")
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert result.err.startswith("error: ") and name in result.err and "No space" in result.err
    assert len(metrics("run")) == (1 if name == "metrics.csv" else 2)
    assert_no_halves("run")


# ---- one seed, one run ---------------------------------------------------------------------------

REPEATED = [
    ["--rule", "bp", "--crop-padding", 2, "--flip", "horizontal"],
    ["--rule", "fa"],
    ["--rule", "dfa", "--optimizer", "sgd"],
    ["--rule", "sign-symmetry", "--magnitude", "batch"],
    ["--rule", "tp", "--dtype", "float64"],
    ["--rule", "dtp"],
    ["--rule", "sdtp", "--schedule", "alternating"],
    ["--rule", "ao-sdtp", "--aux", 8, "--order", "inverse-first"],
    ["--rule", "hybrid"],
]


@pytest.mark.parametrize("arguments", REPEATED, ids=lambda a: a[1])
def test_the_same_seed_gives_the_same_run(train, arguments):
    """Metrics but for the seconds, and every bit of the parameters; another seed does not."""
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        more = ["--angles", "--validation", 50, "--epochs", 2, "--seed", seed, "--out", out]
        assert train(*arguments, *more).status == 0
    a, b, c = ([{k: v for k, v in row.items() if k != "seconds"} for row in metrics(out)]
               for out in "abc")
    assert a == b
    assert all(a[0][k] != c[0][k] for k in a[0] if k.endswith("_loss") or "inverse_loss" in k)
    assert_same_parameters("a", "b")
    first, other = parameters("a"), parameters("c")
    assert all((first[name] != other[name]).any() for name in first if name != "b_z")


@pytest.mark.parametrize("arguments", [
    ["--rule", "sdtp"], ["--rule", "sign-symmetry", "--magnitude", "batch"]], ids=lambda a: a[1])
def test_angles_are_only_looked_at(train, arguments):
    assert train(*arguments, "--epochs", 2, "--out", "a").status == 0
    assert train(*arguments, "--epochs", 2, "--angles", "--out", "b").status == 0
    assert_same_parameters("a", "b")


def test_every_rule_starts_from_the_same_weights(train):
    """A learning rate too small to change a float32, so that what is kept is what it began with."""
    for rule in rules.NAMES:
        schedule = ["--schedule", "alternating"] if rule == "sdtp" else []
        assert train("--rule", rule, "--optimizer", "sgd", "--lr", "1e-30", *schedule,
                     "--out", rule).status == 0
    for rule in rules.NAMES:
        assert_same_parameters("bp", rule, symbols=["W_1", "W_2", "W_3"])
    for rule in WITH_INVERSES:
        assert (parameters(rule)["V_2"] != parameters("bp")["W_2"]).all()
    train("--optimizer", "sgd", "--lr", "1e-30", "--seed", 1, "--out", "other")
    assert (parameters("other")["W_1"] != parameters("bp")["W_1"]).mean() > 0.99


# ---- what a run leaves and prints ----------------------------------------------------------------


def test_config(train, base, monkeypatch):
    """The command, everything it resolved to, versions; the command can be given again."""
    assert train("--rule", "dtp", "--lr", "0.25", "--out", "run").status == 0
    stored = config("run")
    words = shlex.split(stored["command"])
    assert words[:3] == ["python", "-m", "ref.train"]
    arguments = [str(a) for a in base] + ["--rule", "dtp", "--lr", "0.25", "--out", "run"]
    assert words[3:] == arguments
    assert stored["arguments"] | {"seed": 0, "dtype": "float32"} == stored["arguments"]
    assert stored["versions"]["numpy"] == np.__version__
    assert stored["versions"].keys() >= {"ref", "python", "h5py"}
    generic, found = hyperparameters.GENERIC, stored["hyperparameters"]
    assert found == {
        **generic, "lr": 0.25, "batch_size": 50, "optimizer": "adam", "epsilon_form": "hat",
        "schedule": "parallel", "convention": "bartunov2018", "first_target": "hidden",
        "output": "probabilities", "inverse_loss": "noise-preserving", "reduction": "sum",
        "order": "targets-first", "inverse": "same",
    }


@pytest.mark.parametrize("rule", WITH_INVERSES)
def test_the_default_inverse_loss_is_section_5_1s(train, rule):
    assert train("--rule", rule, "--out", "run").status == 0
    expected = "noise-preserving" if rule == "dtp" else "de-noising"
    assert config("run")["hyperparameters"]["inverse_loss"] == expected


INVERSES = {"dtp": [2], "tp": [2, 3], "sdtp": [2, 3], "ao-sdtp": [2, 3], "hybrid": [2, 3]}


@pytest.mark.parametrize("extra", [[], ["--angles"], ["--validation", 50], ["alternating"]],
                         ids=lambda e: e[0] if e else "plain")
@pytest.mark.parametrize("rule", rules.NAMES)
def test_columns(train, rule, extra):
    """metrics.csv has a row an epoch and these columns, all of them filled in."""
    if extra == ["alternating"]:
        if rule not in WITH_INVERSES:
            pytest.skip("no schedule")
        extra = ["--schedule", "alternating"]
    assert train("--rule", rule, *extra, "--epochs", 2, "--out", "run").status == 0
    expected = {"epoch", "seconds", "train_error", "train_loss", "test_error", "test_loss"}
    expected |= {f"inverse_loss_{l}" for l in INVERSES.get(rule, ())}
    if "--angles" in extra:
        expected |= {"angle_1", "angle_2", "angle_3"}
        if "--angles" in extra and rules.get(rule).feedback:
            expected |= {"feedback_angle_2", "feedback_angle_3"}
    if "--validation" in extra:
        expected |= {"validation_error", "validation_loss"}
    rows = metrics("run")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        assert row.keys() == expected
        values = {key: float(value) for key, value in row.items()}
        assert all(np.isfinite(v) and v >= 0 for v in values.values())
        assert all(v <= 100 for key, v in values.items() if key.endswith("_error"))
    assert_no_halves("run")


def test_what_is_printed(train):
    """One line an epoch, then best and final error, as metrics.csv has them."""
    result = train("--arch", "softmax 10", "--epochs", 6, "--lr", "0.01", "--out", "run")
    errors = [float(row["test_error"]) for row in metrics("run")]
    lines = result.out.splitlines()
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 6 and result.err == ""
    for k, line in enumerate(epochs):
        assert re.match(rf"epoch +{k + 1} ", line) and f"test error {errors[k]:.2f} %" in line
    assert lines[-1] == (f"best test error {min(errors):.2f} % (epoch "
                         f"{1 + errors.index(min(errors))}), final {errors[-1]:.2f} %")
    assert len(set(errors)) > 1


def test_an_autoencoder_has_no_percents(train):
    result = train("--rule", "sdtp", "--arch", "dense 8, reconstruction", "--epochs", 2,
                   "--out", "run")
    assert result.status == 0 and "%" not in result.out
    rows = metrics("run")
    assert 0 < float(rows[1]["test_error"]) < 1
    # the loss is summed over the 784 pixels, the error a mean
    assert np.isclose(float(rows[1]["test_loss"]), 784 * float(rows[1]["test_error"]), rtol=1e-5)
    last = result.out.splitlines()[-1]
    assert last.startswith("best test error 0.") and "mean squared error" in last


def test_the_same_command_twice(train, here):
    """Without --out each run has a new folder under runs/out, named after what it is."""
    assert [train("--rule", "fa", "--arch", "mnist-fc").status for _ in range(2)] == [0, 0]
    names = sorted(path.name for path in (here / "runs" / "out").iterdir())
    assert len(names) == 2
    assert all(re.match("mnist-fc_fa_tiny_seed0", name) for name in names)
    assert_same_parameters(*((here / "runs" / "out" / name) for name in names))


def test_data_given_by_name(command, base, here):
    noise_images(here / "data" / "mine.h5")
    assert command("ref.train", *base, "--data", "mine", "--out", "run").status == 0
    assert config("run")["data"]["name"] == "mine"


def test_digits_are_the_default_and_made_once(command, here, monkeypatch):
    made = []
    monkeypatch.setattr("data_prep.digits.make", lambda path: made.append(noise_images(path)))
    for out in ("a", "b"):
        assert command("ref.train", "--rule", "bp", "--epochs", 1, "--out", out).status == 0
        assert config(out)["data"]["path"] == "data/digits.h5"  # not an absolute one
    assert made == [Path("data/digits.h5")]


@pytest.mark.parametrize("arguments", [["bp"], ["hybrid", "--mu", 1]], ids=lambda a: a[0])
def test_angle_of_bp_to_bp(train, arguments):
    """0 in every layer, up to the rounding of float32."""
    assert train("--rule", *arguments, "--angles", "--out", "run").status == 0
    angles = [float(metrics("run")[0][f"angle_{l}"]) for l in (1, 2, 3)]
    assert max(angles) < 1e-2


@pytest.mark.parametrize("rule", [rule for rule in rules.NAMES if rule != "bp"])
def test_angle_at_the_output(train, rule):
    """0: every rule takes dL/dθ_L there; below it the others differ from BP."""
    # Kolen-Pollack's dW has the decay of W in it
    more = ("--decay", "0") if rule == "kolen-pollack" else ()
    assert train("--rule", rule, "--angles", "--out", "run", *more).status == 0
    below, output = (float(metrics("run")[0][f"angle_{l}"]) for l in (1, 3))
    assert output < 1e-4 and 1 < below < 179


def test_angles_in_degrees(train, tiny):
    """FA's angles to BP, from the weights that a run hardly changed, computed here."""
    assert train("--rule", "fa", "--optimizer", "sgd", "--lr", "1e-30", "--angles",
                 "--out", "run").status == 0
    p = {name: array.astype(float) for name, array in parameters("run").items()}
    with h5py.File(tiny) as data:  # all 200 examples are in the fixed batch
        h = [data["train/images"][:].reshape(200, 784) / 255]
        y = np.eye(10)[data["train/labels"][:]]
    for l in (1, 2):
        h.append(np.tanh(h[-1] @ p[f"W_{l}"].T))
    o = np.exp(h[2] @ p["W_3"].T)
    updates = []
    for symbol in "WB":
        d = {3: o / o.sum(axis=1, keepdims=True) - y}
        for l in (2, 1):
            d[l] = (1 - h[l] ** 2) * (d[l + 1] @ p[f"{symbol}_{l + 1}"])
        updates.append({l: (d[l].T @ h[l - 1]).ravel() for l in d})
    for l in (1, 2):
        u, v = (update[l] for update in updates)
        expected = np.degrees(np.arccos(u @ v / np.sqrt(u @ u * (v @ v))))
        assert float(metrics("run")[0][f"angle_{l}"]) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize(("rule", "carried"), [
    (["fa"], lambda W, B: B),
    (["sign-symmetry", "--magnitude", "fixed"], lambda W, B: np.abs(B) * np.sign(W)),
    (["sign-symmetry"], lambda W, B: np.sign(W)),
    (["weight-mirror"], lambda W, B: B),
], ids=str)
def test_feedback_angles_in_degrees(train, rule, carried):
    """Between W_l and what is in its place on the way down, from the parameters at the end."""
    assert train("--rule", *rule, "--angles", "--out", "run").status == 0
    p = {name: array.astype(float) for name, array in parameters("run").items()}
    for l in (2, 3):
        W = p[f"W_{l}"]
        u, v = carried(W, p.get(f"B_{l}")).ravel(), W.ravel()
        expected = np.degrees(np.arccos(u @ v / np.sqrt(u @ u * (v @ v))))
        found = float(metrics("run")[-1][f"feedback_angle_{l}"])
        assert found == pytest.approx(expected, abs=1e-2)


# ---- the tables of defaults ----------------------------------------------------------------------

COLUMNS = {"DTP par": ("dtp", "parallel"), "DTP alt": ("dtp", "alternating"),
           "SDTP par": ("sdtp", "parallel"), "SDTP alt": ("sdtp", "alternating"),
           "BP": ("bp", None), "FA": ("fa", None), "DFA": ("dfa", None)}
ROWS = ["lr", "beta1", "beta2", "epsilon", "inverse_lr", "inverse_beta1", "inverse_beta2",
        "inverse_epsilon", "alpha", "sigma"]
TITLES = ["model lr", "beta1", "beta2", "epsilon", "inverse lr", "beta1", "beta2", "epsilon",
          "alpha", "sigma"]


def table_5(text):
    """{(architecture, rule, schedule): setting} as the appendix has them, in Markdown."""
    found = {}
    text = text[text.index("Table 5"):text.index("## Section 5.4")]
    for block in text.split("\n\n"):
        if not block.startswith("|"):
            continue
        table = [[cell.strip() for cell in line.strip("|").split("|")]
                 for line in block.splitlines()]
        (title, *columns), _, *rows = table
        assert [row[0] for row in rows] == TITLES
        data, kind = title.lower().split()
        for k, column in enumerate(columns, 1):
            rule, schedule = COLUMNS["BP" if column == "ConvNet" else column]
            arch = f"{data}-{'conv' if column == 'ConvNet' else kind}"
            found[arch, rule, schedule] = {
                key: float(row[k]) for key, row in zip(ROWS, rows, strict=True) if row[k]}
    return found


def test_table_5_is_the_papers():
    if not APPENDIX.is_file():
        pytest.skip(f"no {APPENDIX} (set REF_SHARED)")
    published = table_5(APPENDIX.read_text())
    assert len(published) == 7 + 8 + 7 + 8 + 6
    assert hyperparameters.TABLE_5 == published


def resolved(arch, rule, schedule, *more):
    arguments = ["--arch", arch, "--rule", rule, *more]
    arguments += ["--schedule", schedule] if schedule else []
    return ref.begin.resolve(ref.train.parser().parse_args(arguments))


@pytest.mark.parametrize("column", hyperparameters.TABLE_5, ids=lambda c: "-".join(filter(None, c)))
def test_table_5_is_what_a_run_uses(column):
    """On request whole, and by default unless FOUND has an entry of its own."""
    paper, source = resolved(*column, "--hyperparameters", "paper")
    assert source == "Table 5"
    for key, value in hyperparameters.TABLE_5[column].items():
        assert paper[key] == value
    default, _ = resolved(*column)
    for key, value in hyperparameters.FOUND.get(column, hyperparameters.TABLE_5[column]).items():
        assert default[key] == value


@pytest.mark.parametrize("arch", [*architectures.NAMED, NETWORK])
@pytest.mark.parametrize("rule", rules.NAMES)
def test_defaults_are_complete(arch, rule):
    """Every rule has all it needs on every network, and nothing that it does not use."""
    several = len(rules.get(rule).trains) > 1
    for schedule in ("parallel", "alternating") if several else (None,):
        setting, source = resolved(arch, rule, schedule)
        assert source
        assert 0 < setting["lr"] < 0.1 and 0 <= setting["beta1"] < 1 and 0 <= setting["beta2"] < 1
        assert ("alpha" in setting) == (rule == "dtp")
        assert ("mu" in setting) == (rule == "hybrid")
        assert ("aux" in setting) == (rule == "ao-sdtp")
        assert ("inverse_lr" in setting) == (rule in WITH_INVERSES)
        assert ("mirror_lr" in setting) == (rule == "weight-mirror")
        assert ("sigma" in setting) == several
        assert ("decay" in setting) == (rule in ("kolen-pollack", "weight-mirror"))
        assert setting.get("schedule") == schedule


def test_what_is_given_wins_over_every_table():
    setting, _ = resolved("mnist-fc", "dtp", "parallel", "--lr", "0.5", "--inverse-lr", "0.25",
                          "--alpha", "3", "--sigma", "0", "--convention", "meulemans2020",
                          "--reduction", "mean")
    expected = {"lr": 0.5, "inverse_lr": 0.25, "alpha": 3.0, "sigma": 0.0, "reduction": "mean",
                "first_target": "output-mean", "output": "logits"}
    assert {key: setting[key] for key in expected} == expected


@pytest.mark.parametrize("preset", conventions.PRESETS)
def test_presets(preset):
    setting, _ = resolved("mnist-fc", "dtp", "parallel", "--convention", preset)
    for key, value in {**conventions.PRESETS[preset], "convention": preset}.items():
        assert setting[key] == value
