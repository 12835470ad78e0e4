"""Files that somebody changed: one line with file and key, in every command that reads them."""

import json
import math

import h5py
import numpy as np
import pytest
from run_folders import make

from ref import config, folder
from ref.common import schema
from ref.common.command import UserError
from ref.common.digest import digest
from runs import figure5, searches

NETWORK = ["--rule", "sdtp", "--arch", "dense 4, softmax 10"]


@pytest.fixture
def run(command, tiny, here):
    """A run of two epochs."""
    assert command("ref.train", *NETWORK, "--data", tiny, "--epochs", 2, "--out", "run").status == 0
    return here / "run"


def put(path, keys, value):
    """Another value in a JSON file; without one, the key is taken out."""
    found = json.loads(path.read_text())
    place = found
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(found))


CONFIG = {  # what the command line refuses, and what is of another type
    "arguments.rule": ["nosuch", None, ["bp"], ...], "arguments.seed": [-1, 2**128, "0", True, ...],
    "arguments.arch": [3, None, ...], "arguments.dtype": ["float16", None],
    "arguments.epochs": [0, -1, 1.5, math.inf, "2"], "arguments.validation": [-1, None, 10**400],
    "arguments.batch_size": [0, -5, []], "arguments.checkpoint_every": [0, {}],
    "arguments.backend": ["gpu"], "arguments.lr": [-1, math.nan], "arguments.angles": ["yes"],
    "hyperparameters.lr": [-1, 0, math.nan, "0.1", None, True, ...],
    "hyperparameters.beta1": [2, 1, -1], "hyperparameters.inverse_beta2": [1],
    "hyperparameters.sigma": [-1, {}, ...], "hyperparameters.epsilon": [0, 10**400],
    "hyperparameters.batch_size": [0, -1, 2.5], "hyperparameters.schedule": ["both", 1],
    "hyperparameters.optimizer": ["sgdm", 0], "hyperparameters.epsilon_form": ["tf"],
    "data.name": [None, 7, ...], "data.digest": [1], "data.in_shape": [[28, -1, 1], [], "28"],
    "data.classes": [[1, 2], ["a"], 3], "augmentation.crop_padding": [-1, 1e9],
    "augmentation.flip": ["up"], "augmentation.resized_crop": [2],
    "normalisation": [2, "a", {}, {"mean": ["x"], "deviation": [1]},
                      {"mean": [0, 1], "deviation": [1]}], "ranks": [0],
    "started": [5], "versions": [[]], "resumed": [{}],
    "arguments": [[], None, ...], "hyperparameters": [3, ...], "data": ["x", ...],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in CONFIG.items() for v in vs])
def test_config(here, key, value):
    """Named with its whole path, by the one reader."""
    path = make(here / "run", row="sdtp-parallel")
    put(path / "config.json", ["data", "in_shape"], [28, 28, 1])
    put(path / "config.json", ["data", "classes"], ["a", "b"])
    assert config.read(path)
    put(path / "config.json", key.split("."), value)
    with pytest.raises(folder.FolderError) as error:
        config.read(path)
    assert f"config.json: {key}" in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400


READERS = [("ref.evaluate", "run"), ("ref.train", "--resume", "run"),
           ("ref.watch", "run", "--once"), ("runs.collect", "run")]
COLUMNS = {  # of metrics.csv: what is done to its lines, and what the message names
    "no number": (lambda rows: [rows[0], rows[1].replace("1", "x"), rows[2]], "row 1"),
    "a NaN": (lambda rows: [rows[0], ",".join(["nan"] * rows[0].count(",") + ["nan"]), *rows[2:]],
              "row 1"),
    "an epoch twice": (lambda rows: [*rows, rows[1]], "row 3: epoch"),
    "a column is missing": (lambda rows: [row.partition(",")[2] for row in rows], "column epoch"),
    "one twice": (lambda rows: [row + "," + row for row in rows], "twice"),
    "a field over 128 KB": (lambda rows: [rows[0], "1" * 200_000, *rows[2:]], "field"),
    "a short row": (lambda rows: [rows[0], "1,2", rows[2]], "row 1"),
    "nothing": (lambda rows: [""], "column"),
    "not UTF-8": (lambda rows: [*rows, "\udcff"], "utf-8"),
}


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r[0])
def test_every_command_reads_config_so(command, run, reader):
    put(run / "config.json", ["hyperparameters", "lr"], -1)
    command.refused(*reader, names=["config.json", "hyperparameters.lr", "-1"])
    (run / "config.json").write_text("[" * 100_000)
    command.refused(*reader, names=["config.json", "nested"])


@pytest.mark.parametrize("reader", READERS[2:], ids=lambda r: r[0])
@pytest.mark.parametrize("what", COLUMNS)
def test_metrics(command, here, reader, what):
    path = make(here / "run") / "metrics.csv"
    change, named = COLUMNS[what]
    text = "\n".join(change(path.read_text().split("\n")[:3])) + "\n"
    path.write_bytes(text.encode(errors="surrogateescape"))
    command.refused(*reader, names=["metrics.csv", named])


def test_a_last_row_that_stops_in_the_middle_is_not_there(here):
    path = make(here / "run")
    whole = (path / "metrics.csv").read_bytes()
    rows = folder.read_metrics(path)
    for cut in (1, 2, 12):
        (path / "metrics.csv").write_bytes(whole[:-cut])
        assert folder.read_metrics(path) in (rows, rows[:-1])


# ---- searches ------------------------------------------------------------------------------------

HEAD = ("config,lr,state,epochs,selected_on,error,best_epoch,test_error_there,"
        "train_error_there,reason")


@pytest.fixture
def search(here):
    place = here / "runs/results/search_x"
    place.mkdir(parents=True)
    (place / "search.json").write_text(json.dumps({
        "command": "x", "rule": "bp", "schedule": None, "arch": "mnist-fc", "data": "mnist",
        "ranges": "Table 4", "selected_on": "test", "chance": 90.0, "epochs": 1, "keep": 1,
        "keep_epochs": None}))
    (place / "configs.csv").write_text(HEAD + "\n0,0.1,done,1,test,5.0,1,5.0,4.0,\n"
                                       "1,0.2,diverged,0,test,90.0,,,,NaN\n")
    return place


def test_a_search(search):
    about, rows = searches.read(search)
    assert about["rule"] == "bp" and searches.setting_of(rows[0]) == {"lr": "0.1"}
    assert figure5.read(search)[1] == {"ended": [95.0], "diverged": [10.0]}


@pytest.mark.parametrize(("key", "value"), [
    ("rule", "nosuch"), ("epochs", 0), ("epochs", ...), ("chance", "90"), ("chance", 101),
    ("selected_on", "x"), ("command", 3), ("keep_epochs", -1)])
def test_search_json(command, search, key, value):
    put(search / "search.json", [key], value)
    for name in ("runs.figure5", "runs.report"):
        command.refused(name, names=["search.json", key])


@pytest.mark.parametrize(("old", "new", "named"), [
    ("done", "finished", "row 1: state"), ("5.0,1", "x,1", "row 1: error"),
    ("5.0,1", ",1", "row 1"), ("5.0,1", "nan,1", "row 1: error"), ("done,", "", "row 1"),
    ("config,", "number,", "config"), ("5.0,1", "-1,1", "row 1: error")])
def test_configs_csv(command, search, old, new, named):
    path = search / "configs.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    command.refused("runs.figure5", names=["configs.csv", named])


# ---- a run's arrays ------------------------------------------------------------------------------


def write_state(path, change):
    """A checkpoint whose state or arrays are changed, and whose digest is right."""
    with h5py.File(path, "r+") as file:
        arrays = {}
        file["arrays"].visititems(lambda name, item: arrays.update({name: item[()]})
                                  if isinstance(item, h5py.Dataset) else None)
        state = json.loads(file["state"].asstr()[()])
        change(state, arrays)
        del file["arrays"], file["state"]
        file["state"] = json.dumps(state)
        for name, array in arrays.items():
            file[f"arrays/{name}"] = array
        file.attrs["digest"] = digest(arrays, json.dumps(state))


W = "parameters/W_1"
STATES = {
    "a column": lambda s, a: s["rows"][0].pop("train_loss"),
    "seconds": lambda s, a: [row.pop("seconds") for row in s["rows"]],
    "t": lambda s, a: s.update(t=7), "a negative t": lambda s, a: s.update(t=-1),
    "no epoch": lambda s, a: s.pop("epoch"), "epoch a text": lambda s, a: s.update(epoch="3"),
    "another epoch": lambda s, a: s.update(epoch=2), "no rows": lambda s, a: s.update(rows=[]),
    "batch": lambda s, a: s.update(batch=10**6), "pass": lambda s, a: s.update({"pass": 5}),
    "no optimiser": lambda s, a: s.update(optimiser_t={}), "tally": lambda s, a: s.update(tally=3),
    "its steps": lambda s, a: s["optimiser_t"].update(forward=10**9),
    "no array": lambda s, a: a.pop(W), "shape": lambda s, a: a.update({W: a[W].T}),
    "NaN": lambda s, a: a[W].__setitem__((0, 0), np.nan),
    "type": lambda s, a: a.update({W: a[W].astype("i4")}),
}


@pytest.mark.parametrize("what", STATES)
def test_a_checkpoint_of_no_run(command, run, what):
    for path in run.glob("checkpoint*.h5"):
        write_state(path, STATES[what])
    command.refused("ref.train", "--resume", "run", "--epochs", 3, names=["run", "checkpoint"])


def test_a_checkpoint_that_is_not_changed_goes_on(command, run):
    for path in run.glob("checkpoint*.h5"):
        write_state(path, lambda state, arrays: None)
    assert command("ref.train", "--resume", "run", "--epochs", 3).status == 0


def test_parameters_with_a_flipped_bit(command, run):
    with h5py.File(run / "parameters.h5", "r+") as file:
        file["W_1"][0, 0] += 1e-6
    command.refused("ref.evaluate", "run", names=["parameters.h5", "digest"])


def test_parameters_with_nan(command, run):
    with h5py.File(run / "parameters.h5", "r+") as file:
        file["W_1"][0, 0] = np.nan
        del file.attrs["digest"]
    command.refused("ref.evaluate", "run", names=["W_1", "finite"])


def test_parameters_with_a_dangling_link(command, run):
    with h5py.File(run / "parameters.h5", "r+") as file:
        del file["W_1"]
        file["W_1"] = h5py.SoftLink("/nowhere")
    command.refused("ref.evaluate", "run", names=["parameters.h5"])


# ---- the schema itself ---------------------------------------------------------------------------


def test_long_values_are_cut(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": {"b": "x" * 10**6}}))
    with pytest.raises(UserError) as error:
        schema.read_json(path, schema.keys({"a": schema.keys({"b": schema.whole()})}))
    assert len(str(error.value)) < 400 and ": a.b: " in str(error.value)


def test_what_is_no_plain_file(tmp_path):
    with pytest.raises(UserError, match="a folder"):
        schema.read_text(tmp_path)
    (tmp_path / "large").write_bytes(bytes(100))
    with pytest.raises(UserError, match="at most"):
        schema.read_text(tmp_path / "large", largest=99)


def test_columns_that_a_checkpoint_never_had(command, run):
    """All of its rows agree; those of the epochs to come do not."""
    for path in run.glob("checkpoint*.h5"):
        write_state(path, lambda state, arrays: [row.pop("train_loss") for row in state["rows"]])
    result = command("ref.train", "--resume", "run", "--epochs", 3)
    assert result.status == 2 and "columns" in result.err and result.err.count("\n") == 1
