"""The figures of the paper: FROC curves (Figs. 2, 4), ROC curves with bands (Fig. 6), box plots (Fig. 9), convergence
(Fig. 10), fewer data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe_port.study.report.names import Style
from caffe_port.study.report.svg import svg
from caffe_port.study.statistics.binormal import Binormal
from caffe_port.study.statistics.boxes import Box
from caffe_port.study.statistics.intervals import Interval
from caffe_port.study.statistics.roc import Roc


@dataclass(frozen=True)
class Curve:
    """What a figure shows of one arm's ROC curve; ``band`` is None where the binormal fit does not exist."""

    title: str
    style: Style
    roc: Roc
    band: Binormal | None
    points: Mapping[float, Interval]


@dataclass(frozen=True)
class FrocAxis:
    """The horizontal axis of FROC curves: false positives per ``unit`` up to ``end``, with a line at every one of
    ``points``."""

    unit: str
    points: Sequence[float]
    end: float
    log: bool

    @property
    def start(self) -> float:
        """A logarithmic axis has no 0: it starts below the smallest point."""
        return min(self.points, default=self.end / 100) / 2 if self.log else 0.0


@dataclass(frozen=True)
class Froc:
    """What a figure shows of one arm's FROC curve.

    :param fp: false positives per unit, ascending, and the ``sensitivity`` from there up to the next: a step curve.
    :param model: the fitted curve: ``fp``, ``sensitivity``, and its band from ``low`` to ``high``; or None.
    :param points: the intervals at the operating points.
    """

    title: str
    style: Style
    fp: Sequence[float]
    sensitivity: Sequence[float]
    model: Mapping[str, Sequence[float]] | None
    points: Mapping[float, Interval]
    strong: bool = True


@dataclass(frozen=True)
class Line:
    """A line of a figure: validation AUC by epoch, or a measure by fraction.

    :param bars: low ends and high ends of the bars, or none; ``dots`` are drawn besides: (x, y).
    """

    title: str
    style: Style
    x: Sequence[float]
    y: Sequence[float]
    bars: Sequence[Sequence[float]] = ()
    dots: Sequence[tuple[float, float]] = ()
    strong: bool = True


def box_plot(name: str, what: str, unit: str, boxes: Sequence[tuple[str, Style, Box, str]]) -> str:
    """Tukey box plots, one row each, with mean and deviation written beside them.

    :param boxes: title, style, box, and what is written at the right.
    """

    def draw(axes: Any) -> None:
        places = list(range(len(boxes), 0, -1))
        drawn = axes.bxp(
            [_bxp(box) for _, _, box, _ in boxes], positions=places, orientation="horizontal", showmeans=True,
            patch_artist=True, widths=0.55, flierprops={"marker": "o", "markersize": 3.5, "markeredgecolor": "#555"},
            meanprops={"marker": "D", "markersize": 4.5, "markerfacecolor": "white", "markeredgecolor": "black"},
            medianprops={"color": "black", "linewidth": 1.6}, manage_ticks=False,
        )  # fmt: skip
        for patch, (_, style, _, _) in zip(drawn["boxes"], boxes, strict=True):
            patch.set(facecolor=style.color, alpha=0.45, edgecolor=style.color)
        axes.set_yticks(places, [title for title, *_ in boxes])
        axes.set_ylim(0.4, len(boxes) + 0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{what} ({unit})")
        axes.grid(visible=False, axis="y")
        right = axes.secondary_yaxis("right")
        right.set_yticks(places, [text for *_, text in boxes])
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)

    rows = "; ".join(f"{title}: median {b.median:.3f}, quartiles {b.q1:.3f} to {b.q3:.3f}" for title, _, b, _ in boxes)
    return svg(draw, name, f"Box plots of {what} in {unit}. {rows}.", (6.2, 1.1 + 0.42 * len(boxes)))


def _bxp(box: Box) -> dict[str, Any]:
    return {
        "med": box.median, "q1": box.q1, "q3": box.q3, "whislo": box.whisker_low, "whishi": box.whisker_high,
        "fliers": box.outliers, "mean": box.mean,
    }  # fmt: skip


def roc_curves(name: str, curves: Sequence[Curve], columns: int = 3) -> str:
    """Empirical ROC curves in one picture; the legend has ``columns``."""

    def draw(axes: Any) -> None:
        for curve in curves:
            axes.plot(
                curve.roc.fpr, curve.roc.tpr, color=curve.style.color, linestyle=curve.style.dashes, linewidth=1.5,
                label=curve.title,
            )  # fmt: skip
        _roc_axes(axes)
        axes.figure.legend(loc="outside lower center", ncols=columns, fontsize=9)

    return svg(draw, name, "ROC curves of " + ", ".join(curve.title for curve in curves) + ".", (5.6, 6.0))


def roc_band(name: str, curve: Curve, reference: Curve | None) -> str:
    """One arm's ROC curve with its binormal band and error bars, and a curve to compare with in thin grey."""

    def draw(axes: Any) -> None:
        color = curve.style.color
        if reference:
            axes.plot(reference.roc.fpr, reference.roc.tpr, color="#8a8a8a", linewidth=1, label=reference.title)
        if curve.band:
            fpr = np.linspace(0, 1, 201)
            low, high = curve.band.band(fpr)
            axes.fill_between(fpr, low, high, color=color, alpha=0.25, linewidth=0)
            axes.plot(fpr, curve.band.tpr(fpr), color=color, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.plot(curve.roc.fpr, curve.roc.tpr, color=color, linewidth=1.6, label=curve.title)
        for rate, interval in curve.points.items():
            axes.plot([rate, rate], [interval.low, interval.high], color="black", linewidth=1.2, marker="_")
        _roc_axes(axes)

    bars = ", ".join(f"{i.estimate:.2f} ({i.low:.2f} to {i.high:.2f}) at {f:g}" for f, i in curve.points.items())
    return svg(draw, name, f"ROC curve of {curve.title} with its 95 % band. True positive rate {bars}.", (3.6, 3.4))


def _roc_axes(axes: Any) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
    axes.set_aspect("equal")


def froc_curves(name: str, curves: Sequence[Froc], axis: FrocAxis, columns: int = 3) -> str:
    """FROC curves in one picture, those that are not ``strong`` thin; the legend has ``columns``."""

    def draw(axes: Any) -> None:
        for curve in sorted(curves, key=lambda curve: curve.strong):
            _steps(axes, axis, curve, linewidth=2 if curve.strong else 1.1, alpha=1 if curve.strong else 0.8)
        _froc_axes(axes, axis)
        handles, titles = axes.get_legend_handles_labels()
        order = [titles.index(curve.title) for curve in curves]
        axes.figure.legend(
            [handles[n] for n in order], [titles[n] for n in order], loc="outside lower center", ncols=columns,
            fontsize=9,
        )  # fmt: skip

    listed = "; ".join(f"{curve.title}: at most {max(curve.sensitivity):.2f}" for curve in curves)
    return svg(draw, name, f"Sensitivity by false positives per {axis.unit}. {listed}.", (6.2, 5.2))


def froc_band(name: str, curve: Froc, reference: Froc | None, axis: FrocAxis) -> str:
    """One arm's FROC curve with the band of its model and error bars, and a curve to compare with in thin grey."""

    def draw(axes: Any) -> None:
        color = curve.style.color
        if reference:
            _steps(axes, axis, reference, color="#8a8a8a", linestyle="-", linewidth=1)
        if curve.model:
            x = np.maximum(curve.model["fp"], axis.start)
            axes.fill_between(x, curve.model["low"], curve.model["high"], color=color, alpha=0.25, linewidth=0)
            axes.plot(x, curve.model["sensitivity"], color=color, linewidth=0.8, linestyle=(0, (4, 2)))
        _steps(axes, axis, curve, linestyle="-", linewidth=1.6)
        for point, interval in curve.points.items():
            axes.plot([point, point], [interval.low, interval.high], color="black", linewidth=1.2, marker="_")
        _froc_axes(axes, axis)

    bars = ", ".join(f"{i.estimate:.2f} ({i.low:.2f} to {i.high:.2f}) at {p:g}" for p, i in curve.points.items())
    band = "the 95 % band of its model" if curve.model else "no band"
    text = f"FROC curve of {curve.title} with {band}. Sensitivity {bars or 'without intervals'}."
    return svg(draw, name, text, (3.6, 3.2))


def _steps(axes: Any, axis: FrocAxis, curve: Froc, **look: Any) -> None:
    """The corners of the step curve; nothing beyond its last point."""
    fp, sensitivity = np.asarray(curve.fp, dtype=float), np.asarray(curve.sensitivity, dtype=float)
    corner = np.r_[True, np.diff(sensitivity) != 0]
    corner[-1] = True
    style = {"color": curve.style.color, "linestyle": curve.style.dashes, **look}
    axes.step(np.maximum(fp, axis.start)[corner], sensitivity[corner], where="post", label=curve.title, **style)


def _froc_axes(axes: Any, axis: FrocAxis) -> None:
    if axis.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    for point in axis.points:
        axes.axvline(point, color="#8792a0", linewidth=1, linestyle=(0, (1, 2)), zorder=0.9)
    axes.set(xlim=(axis.start, axis.end), ylim=(-0.02, 1.02))
    axes.set(xlabel=f"false positives per {axis.unit}", ylabel="sensitivity")


def convergence(name: str, lines: Sequence[Line]) -> str:
    """Validation AUC by epoch. A dot marks the best epoch, whose snapshot is the one that was tested."""

    def draw(axes: Any) -> None:
        for line in lines:
            axes.plot(
                line.x, line.y, color=line.style.color, linestyle=line.style.dashes, label=line.title,
                linewidth=1.8 if line.strong else 1, alpha=1 if line.strong else 0.75,
            )  # fmt: skip
            best = int(np.argmax(line.y))
            axes.plot(line.x[best], line.y[best], "o", color=line.style.color, markersize=5)
        axes.set(xlabel="epoch", ylabel="AUC on the validation set")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.figure.legend(loc="outside lower center", ncols=3, fontsize=9)

    listed = "; ".join(f"{line.title}: {line.y[0]:.3f} to {max(line.y):.3f}" for line in lines)
    return svg(draw, name, f"Validation AUC by epoch, first to best. {listed}.", (6.0, 4.8))


def reduced(name: str, what: str, lines: Sequence[Line]) -> str:
    """A measure by the part of the training set that was used, on a logarithmic axis. Lines stand a little beside one
    another, so that no bar hides another."""

    def draw(axes: Any) -> None:
        for number, line in enumerate(lines):
            color, aside = line.style.color, 1.025 ** (number - (len(lines) - 1) / 2)
            bars = np.abs(np.array(line.bars) - np.array(line.y)) if line.bars else None
            axes.errorbar(
                np.array(line.x) * aside, line.y, yerr=bars, color=color, linestyle=line.style.dashes, marker="o",
                markersize=5, capsize=3, elinewidth=1, label=line.title,
            )  # fmt: skip
            if line.dots:
                x, y = np.transpose(line.dots)
                axes.plot(x * aside, y, "o", color=color, markersize=3, alpha=0.5)
        axes.set_xscale("log")
        ticks = sorted({x for line in lines for x in line.x})
        axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="part of the training set", ylabel=what)
        axes.figure.legend(loc="outside lower center", ncols=3, fontsize=9)

    listed = "; ".join(f"{line.title}: {min(line.y):.3f} to {max(line.y):.3f}" for line in lines)
    return svg(draw, name, f"{what} by part of the training set. {listed}.", (5.6, 4.5))
