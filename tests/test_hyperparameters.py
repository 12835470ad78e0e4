"""The tables of defaults: Table 5 is the paper's, and is what a run uses; what wins over it."""

import os
from pathlib import Path

import pytest
from training_runs import NETWORK

import ref.begin
import ref.train
from ref import architectures, conventions, hyperparameters, rules

ROOT = Path(__file__).resolve().parents[1]
APPENDIX = Path(os.environ.get("REF_SHARED", ROOT.parent / "shared")) / "paper" / "appendix.md"
WITH_INVERSES = [name for name in rules.NAMES if "V" in rules.get(name).symbols]
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
