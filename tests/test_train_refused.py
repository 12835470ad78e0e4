"""Bad input to ref.train: one line, status 2, and every file and folder as it was."""

import resource
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import noise_images
from training_runs import NETWORK, config, start

from ref import architectures, conventions, find, hyperparameters, rules, settings

WITH_INVERSES = [name for name in rules.NAMES if "V" in rules.get(name).symbols]
ZERO, NAN = ["0", "-1"], ["nan", "inf", "x"]
NUMBERS = {
    "--batch-size": [*ZERO, *NAN, "2.5", "1e2"], "--epochs": [*ZERO, *NAN, "1.5"],
    "--seed": ["-1", "1.5", *NAN], "--validation": ["-1", "200", "1000", "x"],
    "--lr": [*ZERO, *NAN], "--inverse-lr": [*ZERO, *NAN],
    "--epsilon": [*ZERO, *NAN], "--inverse-epsilon": [*ZERO, *NAN],
    "--beta1": ["1", "-1", *NAN], "--beta2": ["1", "-1", *NAN],
    "--momentum": ["-0.1", "1", *NAN], "--weight-decay": ["-1", *NAN],
    "--inverse-momentum": ["-0.1", "1", *NAN], "--inverse-weight-decay": ["-1", *NAN],
    "--lr-step": ["-1", "0.5", *NAN], "--lr-factor": ["0", *NAN],
    "--lr-milestones": ["0", "5,5", "2,1", "1,,2", "1.5", "-1", *NAN],
    "--inverse-lr-step": ["-1", *NAN], "--inverse-lr-factor": ["0", *NAN],
    "--inverse-lr-milestones": ["0", "a", *NAN],
    "--inverse-steps": ["0", "1.5", *NAN], "--inverse-pretraining": ["-1", "1.5", *NAN],
    "--inverse-beta1": ["1", *NAN], "--inverse-beta2": ["1", *NAN],
    "--feedback-scale": ["0", "-1", *NAN],
    "--alpha": ["-1", *NAN], "--sigma": ["-1", *NAN], "--mu": ["-1", "1.5", *NAN],
    "--aux": ["-1", "2.5", *NAN], "--crop-padding": ["-1", "0.5", *NAN],
    "--resized-crop": ["0", "1.5", *NAN],
}
RULE_WITH = {"--alpha": "dtp", "--mu": "hybrid", "--aux": "ao-sdtp",
             "--feedback-scale": "fa"}  # otherwise sdtp


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
    "--normalise": ["none", "channels"], "--validation-split": ["last", "random"],
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
    ("", "it is empty"),
    (",", "layer 1"),
    (" ", "it is empty"),
])
def test_malformed_architectures(refused, arch, wrong):
    refused("--arch", arch, names=[wrong])


OPTIONS = {  # option: (a value that is valid where the rule has it, the rules that have it)
    "--alpha": ("0.1", ["dtp"]), "--first-target": ("hidden", ["dtp"]),
    "--mu": ("0.5", ["hybrid"]), "--aux": ("8", ["ao-sdtp"]),
    "--magnitude": ("uniform", ["sign-symmetry"]), "--feedback-scale": ("0.5", ["fa"]),
    "--decay": ("0.5", ["kolen-pollack", "weight-mirror"]),
    "--sigma": ("0.1", [*WITH_INVERSES, "weight-mirror"]),
    "--schedule": ("parallel", [*WITH_INVERSES, "weight-mirror"]),
    **{option: (value, ["weight-mirror"]) for option, value in {
        "--mirror-lr": "1e-3", "--mirror-beta1": "0.5", "--mirror-beta2": "0.5",
        "--mirror-epsilon": "1e-3", "--mirror-momentum": "0", "--mirror-weight-decay": "0.1",
        "--mirror-lr-step": "1", "--mirror-lr-milestones": "1", "--mirror-lr-factor": "0.1",
        "--mirror-steps": "2", "--mirror-pretraining": "1",
        }.items()},
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
    known |= {f"--{option.name.replace('_', '-')}" for rule in rules.WITH_OWN_NETWORK
              for option in rules.get(rule).options}  # tests/test_dendrites_training.py
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
