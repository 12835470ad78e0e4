"""Figures 4, 5 and 7 as matplotlib has them: points, bins and labels where the results are."""

import numpy as np
import pytest

from ref import plots
from runs import figure4, figure5, figure6_7

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plots)")


def rows(*errors, seed=0, whose="yours"):
    return [figure4.row_of(units, seed, 1, whose, [{"test_error": error, "epoch": 1}])
            for units, error in zip((0, 64, 512), errors, strict=True)]


def drawn(found, data_name="cifar10"):
    (axes,) = figure4.draw(plots.pyplot(), found, "cifar-fc", "title", data_name).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    return axes, dict(zip(texts, axes.lines, strict=True))


def test_figure_4_has_no_line_through_single_seeds():
    """The paper's two values where it has them, the axis on all of these."""
    axes, lines = drawn(rows(60, 58, 57))
    assert list(lines) == ["yours, each seed", "the paper, 500 epochs (about)"]
    assert lines["yours, each seed"].get_linestyle() == "None"
    published = lines["the paper, 500 epochs (about)"]
    assert list(published.get_xdata()) == [0, 1000] and list(published.get_ydata()) == [54, 45]
    low, high = axes.get_ylim()
    assert 43 < low < 45 and 60 < high < 62


def test_figure_4_has_a_line_of_means():
    _, lines = drawn(rows(60, 58, 57) + rows(62, 60, 59, seed=1), "other")
    assert list(lines) == ["yours, each seed", "yours, mean of seeds"]
    assert list(lines["yours, mean of seeds"].get_ydata()) == [61, 59, 58]


@pytest.mark.parametrize("ended", [[91.0, 95.0, 95.5], [95.0], [95.0, 95.0]])
def test_figure_5_has_its_bins_where_the_results_are(ended):
    about = {"rule": "fa", "schedule": None, "arch": "mnist-fc", "ranges": "Table 4", "epochs": 3,
             "keep": 0, "keep_epochs": None, "whose": "yours", "selected_on": "validation"}
    figure = figure5.histograms(plots.pyplot(), [(about, {"ended": ended, "diverged": [10.0]})])
    (axes,) = figure.axes
    bars = [bar for bar in axes.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in bars) == len(ended)
    low, high = axes.get_xlim()
    assert min(ended) - 1 < low < min(ended) and max(ended) < high < max(ended) + 1
    assert f"{len(ended) + 1} configurations, 1 diverged" in axes.get_title()


def test_figure_7_names_its_rows():
    images = np.zeros((3, 4, 4, 1), np.uint8)
    figure = figure6_7.draw_images(plots.pyplot(), images, {"BP\n5 epochs\nerror 0.0100": images})
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["input", "", "", "BP\n5 epochs\nerror 0.0100", "", ""]
