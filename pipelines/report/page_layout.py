"""The page that jobs with figures of their own fill: expert iteration, sweeps, linguistic RL, UNDO."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io
import plotly.offline
import yaml
from markupsafe import Markup

from pipelines.artifacts.run_folder import RunFolder


def sheet(folder: RunFolder, package: str, name: str, job: str, figures: Mapping[str, go.Figure], **values: Any) -> str:
    """The page as text: the template `name` of a package, which extends `sheet.html.jinja`, with `values`.

    `figures` are drawn into the elements of id chart-NAME. Everything else is escaped: what models wrote is text.
    """
    return (
        environment(package, "pipelines.report")
        .get_template(f"{name}.html.jinja")
        .render(
            name=folder.name,
            job=job,
            config=yaml.safe_dump(folder.config, sort_keys=False, allow_unicode=True),
            figures=as_script(
                {name: plotly.io.to_json(figure, validate=False) or "" for name, figure in figures.items()}
            ),
            plotly=Markup(plotly.offline.get_plotlyjs()),
            # Only scripts that carry it are run: text that slipped through as markup could not know it.
            nonce=secrets.token_urlsafe(16),
            written=time.strftime("%Y-%m-%d %H:%M"),
            **values,
        )
    )


def environment(*packages: str) -> jinja2.Environment:
    """For the templates of these packages. Everything is escaped: names, details and completions are text that a model
    may have written."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, "templates") for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def as_script(texts: Mapping[str, str]) -> Markup:
    """{name: JSON} as one JSON object, without any character that could end the script that holds it."""
    inner = ",".join(f'"{name}":{text}' for name, text in texts.items())
    return Markup("{" + inner.replace("<", "\\u003c").replace(">", "\\u003e") + "}")


def error_bars(estimates: Sequence[Mapping[str, float] | None]) -> dict[str, Any]:
    """Plotly's error bars of shares with their 95 % intervals; what was not measured has none."""
    shown = [one or {"value": 0.0, "low": 0.0, "high": 0.0} for one in estimates]
    return {
        "type": "data",
        "symmetric": False,
        "array": [one["high"] - one["value"] for one in shown],
        "arrayminus": [one["value"] - one["low"] for one in shown],
    }
