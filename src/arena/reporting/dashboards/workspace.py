"""The layout of a project's workspace and report: plain data first, panels of `wandb_workspaces` from it."""

from typing import Any

SCORES = ("log_loss", "loss", "accuracy", "macro_f1", "auroc", "mcc")
DIVERSITY = ("quality", "diversity", "combined", "diversity_share", "gradient_ratio", "token_entropy")
PARAMETERS = ("optim.lr", "loss.gamma", "loss.lambda", "seed")
"""Of the sweeps in `conf/sweep`."""


def layout(monitor: str = "val/log_loss", mode: str = "min") -> list[dict[str, Any]]:
    """Sections with their panels, each a dictionary with `kind`: `line`, `table`, `parallel_coordinates`, `importance`.

    Args:
        monitor: the value that sweeps are about.
        mode: which of its values is the best.
    """
    best = f"{monitor}.{mode}"

    def lines(split: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
        return [{"kind": "line", "title": f"{split}/{name}", "x": "step", "y": [f"{split}/{name}"]} for name in names]

    def tables(*names: str) -> list[dict[str, Any]]:
        return [{"kind": "table", "name": f"{name}"} for name in names]

    classes = ("confusion_table", "per_class", "precision_recall_table")
    return [
        {"name": "validation metrics", "panels": lines("val", SCORES) + lines("train", SCORES[1:2])},
        {
            "name": "calibration",
            "panels": lines("val", ("calibration_error", "brier")) + tables("calibration/val/reliability_table"),
        },
        {"name": "classes", "panels": tables(*(f"classes/val/{name}" for name in classes), "samples/val")},
        {"name": "diversity", "panels": lines("train", DIVERSITY) + tables("generations/default")},
        {
            "name": "sweep",
            "panels": [
                {
                    "kind": "parallel_coordinates",
                    "columns": [*(f"config:{name}" for name in PARAMETERS), f"summary:{best}"],
                },
                {"kind": "importance", "of": best},
            ],
        },
        {
            "name": "system",
            "panels": [
                {"kind": "line", "title": name, "x": "Relative Time (Process)", "y": [f"system/{name}"]}
                for name in ("cpu", "proc.memory.rssMB", "gpu.0.gpu", "gpu.0.memoryAllocated")
            ],
        },
    ]


def panel(described: dict[str, Any]) -> Any:
    """The panel of `wandb_workspaces` that a dictionary of the layout describes."""
    import wandb_workspaces.reports.v2 as report
    from wandb_workspaces.reports.v2 import interface

    kind = described["kind"]
    if kind == "line":
        return report.LinePlot(title=described["title"], x=described["x"], y=described["y"])
    if kind == "table":
        return report.WeavePanelSummaryTable(table_name=described["name"])
    if kind == "importance":
        return report.ParameterImportancePlot(with_respect_to=described["of"])
    columns = []
    for name in described["columns"]:
        where, _, key = name.partition(":")
        metric = report.Config(key) if where == "config" else report.SummaryMetric(key)
        columns.append(interface.ParallelCoordinatesPlotColumn(metric, log=key == "optim.lr" or None))
    return report.ParallelCoordinatesPlot(columns=columns)


def create(entity: str, project: str, study: str | None, sections: list[dict[str, Any]]) -> list[str]:
    """Make the workspace and the report on the server; returns their addresses.

    Args:
        entity, project: where.
        study: whose trials to show; None: all runs.
        sections: see `layout`.
    """
    import wandb_workspaces.reports.v2 as report
    import wandb_workspaces.workspaces as workspaces
    from wandb_workspaces.reports.v2 import interface

    title = study or "all studies"
    filters = f"Metric('Group') == '{study}'" if study else ""
    view = workspaces.Workspace(
        entity=entity, project=project, name=f"arena, {title}",
        sections=[
            workspaces.Section(name=each["name"], panels=[panel(p) for p in each["panels"]], is_open=not number)
            for number, each in enumerate(sections)
        ],
        settings=workspaces.WorkspaceSettings(x_axis="step"),
        runset_settings=workspaces.RunsetSettings(filters=filters),
    )  # fmt: skip
    view.save()
    blocks: list[Any] = [report.TableOfContents()]
    for each in sections:
        runs = interface.Runset(entity=entity, project=project, name=title, filters=filters)
        blocks += [
            report.H2(each["name"]),
            report.PanelGrid(runsets=[runs], panels=[panel(p) for p in each["panels"]]),
        ]
    made = interface.Report(project=project, entity=entity, title=f"arena, {title}", blocks=blocks)
    made.save()
    return [str(view.url), str(made.url)]
