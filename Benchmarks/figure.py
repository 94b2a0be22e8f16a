"""Draws the curves of a result file as an SVG image, for report.py. Python's standard library only."""

import math
from html import escape

WIDTH, HEIGHT, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 520, 330, 62, 44, 436, 216
COLOURS = ["#1a66cc", "#c2410c", "#15803d", "#7e22ce"]


def ticks(low, high, count=5):
    """Round values from low to high, and their number of decimals."""
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    values = [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return values, max(0, -math.floor(math.log10(step) + 1e-9))


def panel(part, x_title):
    """The elements of one diagram: its title, grid, labels and curves."""
    points = [point for curve in part["series"].values() for point in curve]
    steps, values = [point[0] for point in points], [point[1] for point in points]
    low, high = min(values), max(values)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)

    def x(step):
        return LEFT + PLOT_WIDTH * (step - min(steps)) / (max(steps) - min(steps))

    def y(value):
        return TOP + PLOT_HEIGHT * (high - value) / (high - low)

    lines = [
        f'<text x="{LEFT}" y="20" font-weight="bold">{escape(part["title"])}</text>',
        f'<text x="{LEFT}" y="36" fill="#666">{escape(part["y"])}</text>',
    ]
    marks, decimals = ticks(low, high)
    for value in marks:
        lines.append(f'<path d="M{LEFT} {y(value):.1f}h{PLOT_WIDTH}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#666">{value:.{decimals}f}</text>')
    for step in ticks(min(steps), max(steps))[0]:
        lines.append(f'<text x="{x(step):.1f}" y="{TOP + PLOT_HEIGHT + 18}" text-anchor="middle" fill="#666">{step}</text>')
    lines.append(
        f'<text x="{LEFT + PLOT_WIDTH}" y="{TOP + PLOT_HEIGHT + 36}" text-anchor="end" fill="#666">{escape(x_title)}</text>'
    )
    for index, (name, curve) in enumerate(part["series"].items()):
        colour = COLOURS[part.get("first colour", 0) + index]
        path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in curve)
        dashes = ' stroke-dasharray="6 3"' if index % 2 else ""
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')
        at = LEFT + index * 130
        lines.append(f'<path d="M{at} {HEIGHT - 14}h22" stroke="{colour}" stroke-width="2.5"{dashes}/>')
        lines.append(f'<text x="{at + 27}" y="{HEIGHT - 10}">{escape(name)}</text>')
    return lines


def svg(figure):
    """An image of the panels of a figure, side by side."""
    width = WIDTH * len(figure["panels"])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for index, part in enumerate(figure["panels"]):
        lines += [f'<g transform="translate({index * WIDTH} 0)">', *panel(part, figure["x"]), "</g>"]
    return "\n".join([*lines, "</svg>"]) + "\n"
