"""The picture of runs.scaling: a panel a network, efficiency over machines, strong and weak."""

from ref import plots


def efficiency(plt, rows, networks, gbps):
    """rows as __main__ writes them; a line a rule, at the bandwidth `gbps`. Returns a figure."""
    kinds = ("strong", "weak")
    figure, axes = plt.subplots(len(kinds), len(networks), squeeze=False, sharey=True, sharex=True,
                                figsize=(3.6 * len(networks), 5.6), layout="constrained")
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    for i, kind in enumerate(kinds):
        for ax, name in zip(axes[i], networks, strict=True):
            for rule in rules:
                mine = [row for row in rows if (row["network"], row["rule"], row["scaling"],
                                                row["gbps"]) == (name, rule, kind, gbps)]
                machines = [row["machines"] for row in mine]
                for key, line in (("efficiency", "-"), ("efficiency_overlapped", ":"),
                                  ("efficiency_shared", "--")):
                    ax.plot(machines, [100 * row[key] for row in mine], line,
                            color=plots.COLOURS[rule], label=rule if line == "-" and mine else None)
            ax.axhline(50, color="0.7", linewidth=0.8, zorder=0)
            ax.set_xscale("log", base=2)
            ax.set_ylim(0, 120)  # less than its share of the update makes more than 100 %
            batch = next(row["batch"] for row in rows
                         if (row["network"], row["scaling"]) == (name, kind))
            whose = "in all" if kind == "strong" else "each"
            ax.set_title(f"{name}, {kind}: batch {batch} {whose}", fontsize=9)
        axes[i][0].set_ylabel("efficiency, %")
    for ax in axes[-1]:
        ax.set_xlabel("machines")
        ax.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9,
                  title=f"{gbps:g} Gb/s; dotted: messages overlapped with work, dashed: the update "
                        "shared out", title_fontsize=9)
    return figure
