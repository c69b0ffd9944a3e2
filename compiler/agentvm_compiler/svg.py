"""Programs as SVG: layers from top to bottom, regions as boxes.

The layout is Sugiyama's (Sugiyama, Tagawa and Toda, 1981), done once for each
region from the inside out: nodes go to layers by longest path, an arrow over
several layers gets a point in each, layers are ordered by the mean position of
their neighbours, then placed as near to it as they fit. A region is laid out by
itself, so its box is a node of fixed size to the region around it.

What is not drawn: parameters, which the title of a program lists, and what a
region captures; an arrow to its box stands for it. Hovering shows all the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from .graph import label
from .ir import Module, Node, Program, Region, base
from .text import region_name

CHARACTER = 6.7
"""Width of a character, in pixels, at the font size used."""
LINE = 28.0
"""Height of a node of one line, and of a title."""
GAP = 16.0
"""Between neighbours in a layer."""
RISE = 26.0
"""Between layers."""
PAD = 12.0
SWEEPS = 8

_FILL = {
    "llm": "#dbeafe",
    "tool": "#dcfce7",
    "agent": "#ede9fe",
    "python": "#f3f4f6",
    "traced": "#ffedd5",
    "human": "#fce7f3",
}
_STYLE = (
    "text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#111827}"
    ".t{font-weight:bold}.n{stroke:#6b7280}.r{fill:#fff;stroke:#6b7280}.s{fill:#f9fafb;stroke:#d1d5db}"
    ".e{fill:none;stroke:#4b5563}.o{fill:none;stroke:#b45309;stroke-dasharray:4 3}"
)
_MARKER = (
    '<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0,0L8,4L0,8z" fill="#4b5563"/></marker>'
)


@dataclass(eq=False)
class Item:
    """What stands in a layer: a node, a region node with its panels, or a point of a long arrow."""

    width: float
    height: float
    node: Node | None = None
    panels: list[Panel] = field(default_factory=list)
    point: bool = False
    """Whether it is a point of an arrow."""
    layer: int = 0
    x: float = 0.0
    """Of the centre, within the panel."""
    y: float = 0.0
    """Of the upper edge, within the panel."""
    floor: float = 0.0
    """Distance from the upper edge to the layer's lower one: arrows bend below it only."""


@dataclass(eq=False)
class Panel:
    """A region, laid out."""

    title: str
    items: list[Item]
    arrows: list[tuple[list[Item], bool]]
    """The items an arrow goes through, and whether it only orders effects."""
    width: float
    height: float


def svg(module: Module) -> str:
    """The module as one SVG document, its programs side by side. Ends in a newline."""
    panels = [_program(each) for each in module.programs]
    width = sum(each.width for each in panels) + GAP * (len(panels) + 1)
    height = max(each.height for each in panels) + 2 * GAP
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{_STYLE}</style><defs>{_MARKER}</defs>",
    ]
    left = GAP
    for panel in panels:
        _draw_panel(panel, left, GAP, out)
        left += panel.width + GAP
    return "\n".join([*out, "</svg>"]) + "\n"


# -- layout ----------------------------------------------------------------------------


def _program(program: Program) -> Panel:
    name = program.name.rpartition(":")[2]
    title = f"{name}({', '.join(base(each) for each in program.body.params)})"
    return _panel(program.body, title, "return")


def _panel(region: Region, title: str, end: str = "") -> Panel:
    """Lay out a region.

    Args:
        end: what a last item is called that takes the region's results; by default there is none.
    """
    items = [_item(node) for node in region.nodes]
    sites = {node.site: item for node, item in zip(region.nodes, items, strict=True)}
    made = {name: item for node, item in zip(region.nodes, items, strict=True) for name in node.results}
    links: dict[tuple[Item, Item], bool] = {}
    for node, item in zip(region.nodes, items, strict=True):
        links |= {(made[each], item): False for each in node.operands if each in made}
        for site in node.after:
            links.setdefault((sites[site], item), True)
    if end:
        last = Item(_text_width(end), LINE)
        links |= {(made[each], last): False for each in region.results if each in made}
        items.append(last)
    arrows = _layered(items, links)
    points = [each for chain, _ in arrows for each in chain[1:-1]]
    width, height = _place([*items, *points], [chain for chain, _ in arrows])
    width = max(width, _text_width(title) - 2 * PAD)
    for each in [*items, *points]:
        each.x += PAD + width / 2
        each.y += LINE
    return Panel(title, items, arrows, width + 2 * PAD, height + LINE + PAD)


def _item(node: Node) -> Item:
    if not node.regions:
        return Item(_text_width(label(node)), LINE, node)
    panels = [_panel(each, region_name(node.kind, index)) for index, each in enumerate(node.regions)]
    width = sum(each.width for each in panels) + PAD * (len(panels) + 1)
    height = max(each.height for each in panels) + LINE + PAD
    return Item(max(width, _text_width(_heading(node))), height, node, panels)


def _layered(items: Sequence[Item], links: dict[tuple[Item, Item], bool]) -> list[tuple[list[Item], bool]]:
    """Set the layers, and return each arrow with a point in every layer it passes."""
    into: dict[Item, list[Item]] = {each: [] for each in items}
    for source, target in links:
        into[target].append(source)
    for each in items:  # program order: what is read stands before
        each.layer = max((source.layer + 1 for source in into[each]), default=0)
    if items and not items[-1].node:  # the end stands last even if nothing leads to it
        items[-1].layer = max(items[-1].layer, 1 + max((each.layer for each in items[:-1]), default=-1))
    arrows = []
    for (source, target), ordering in _needed(items, links).items():
        points = [Item(2.0, 0.0, point=True, layer=layer) for layer in range(source.layer + 1, target.layer)]
        arrows.append(([source, *points, target], ordering))
    return arrows


def _needed(items: Sequence[Item], links: dict[tuple[Item, Item], bool]) -> dict[tuple[Item, Item], bool]:
    """The links without those that only order what other links order already."""
    into: dict[Item, list[Item]] = {each: [] for each in items}
    for source, target in links:
        into[target].append(source)
    numbers = {each: number for number, each in enumerate(items)}
    before: dict[Item, int] = {}  # sets of items, as bits
    for each in items:
        before[each] = 0
        for source in into[each]:
            before[each] |= before[source] | 1 << numbers[source]
    return {
        (source, target): ordering
        for (source, target), ordering in links.items()
        if not (ordering and any(before[other] >> numbers[source] & 1 for other in into[target]))
    }


def _place(items: Sequence[Item], chains: Iterable[Sequence[Item]]) -> tuple[float, float]:
    """Set the items' coordinates about x = 0, and return width and height of them all."""
    layers: list[list[Item]] = [[] for _ in range(1 + max((each.layer for each in items), default=-1))]
    for each in items:
        layers[each.layer].append(each)
    above: dict[Item, list[Item]] = {each: [] for each in items}
    below: dict[Item, list[Item]] = {each: [] for each in items}
    for chain in chains:
        for source, target in pairwise(chain):
            above[target].append(source)
            below[source].append(target)
    for layer in layers:
        _spread(layer, [0.0] * len(layer))
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            near = above if down else below
            wanted = {each: _mean([other.x for other in near[each]], each.x) for each in layer}
            if sweep < SWEEPS - 2:
                layer.sort(key=lambda each: wanted[each])
            _spread(layer, [wanted[each] for each in layer])
    top = 0.0
    for layer in layers:
        tallest = max((each.height for each in layer), default=0.0)
        for each in layer:
            each.y = top
            each.floor = tallest
        top += tallest + RISE
    left = min((each.x - each.width / 2 for each in items), default=0.0)
    right = max((each.x + each.width / 2 for each in items), default=0.0)
    for each in items:
        each.x -= (left + right) / 2
    return right - left, max(0.0, top - RISE)


def _spread(layer: Sequence[Item], wanted: Sequence[float]) -> None:
    """Place a layer in its order, each item as near to where it is wanted as its neighbours let it.

    Least squares under the order: items that would overlap are merged into blocks
    that stand at the mean of what their items want (pool adjacent violators).
    """
    blocks: list[tuple[float, int]] = []  # the position of the block's first item and how many it has
    offsets: list[float] = []
    for index, each in enumerate(layer):
        step = (layer[index - 1].width + each.width) / 2 + GAP if index else 0.0
        offsets.append(offsets[-1] + step if index else 0.0)
    for index, want in enumerate(wanted):
        mean, count = want - offsets[index], 1
        while blocks and blocks[-1][0] > mean:
            other, many = blocks.pop()
            mean, count = (mean * count + other * many) / (count + many), count + many
        blocks.append((mean, count))
    placed = [mean for mean, count in blocks for _ in range(count)]
    for each, mean, offset in zip(layer, placed, offsets, strict=True):
        each.x = mean + offset


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _text_width(text: str) -> float:
    return len(text) * CHARACTER + 2 * PAD


# -- drawing ---------------------------------------------------------------------------


def _draw_panel(panel: Panel, left: float, top: float, out: list[str]) -> None:
    out.append(_box(left, top, panel.width, panel.height, "s", 6))
    out.append(_text(left + PAD, top, panel.title, bold=True))
    for chain, ordering in panel.arrows:
        out.append(_arrow(chain, left, top, ordering))
    for item in panel.items:
        _draw_item(item, left + item.x - item.width / 2, top + item.y, out)


def _draw_item(item: Item, left: float, top: float, out: list[str]) -> None:
    node = item.node
    if node is None:
        out.append(_box(left, top, item.width, item.height, "n", 14, "#fff"))
        out.append(_text(left + PAD, top, "return", bold=True))
        return
    title = f"{node.kind} {node.site} ({node.effect})" + (f"\n{node.code}" if node.code else "")
    out.append(f"<g><title>{_escaped(title)}</title>")
    if not item.panels:
        round_ = {"llm": 14, "agent": 8}.get(node.kind, 2)
        out.append(_box(left, top, item.width, item.height, "n", round_, _FILL.get(node.kind, "#fff")))
        out.append(_text(left + PAD, top, label(node)))
    else:
        out.append(_box(left, top, item.width, item.height, "r", 4))
        out.append(_text(left + PAD, top, _heading(node), bold=True))
        inside = sum(each.width for each in item.panels) + PAD * (len(item.panels) - 1)
        x = left + (item.width - inside) / 2
        for panel in item.panels:
            _draw_panel(panel, x, top + LINE, out)
            x += panel.width + PAD
    out.append("</g>")


def _heading(node: Node) -> str:
    return f"{node.kind} {label(node)}"


def _arrow(chain: Sequence[Item], left: float, top: float, ordering: bool) -> str:
    """A curve through the points of an arrow: vertical where it meets a layer."""
    source, *points, target = chain
    x, y = left + source.x, top + source.y + source.floor
    path = f"M{x:.1f},{top + source.y + source.height:.1f}V{y:.1f}"
    for each in [*points, target]:
        to_x, to_y = left + each.x, top + each.y
        middle = (y + to_y) / 2
        path += f"C{x:.1f},{middle:.1f} {to_x:.1f},{middle:.1f} {to_x:.1f},{to_y:.1f}"
        x, y = to_x, to_y + each.floor
        if each.point:
            path += f"V{y:.1f}"
    return f'<path class="{"o" if ordering else "e"}" marker-end="url(#a)" d="{path}"/>'


def _box(
    left: float, top: float, width: float, height: float, style: str, corner: int, fill: str = ""
) -> str:
    filled = f' fill="{fill}"' if fill else ""
    return (
        f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{corner}"{filled}/>'
    )


def _text(left: float, top: float, text: str, *, bold: bool = False) -> str:
    style = ' class="t"' if bold else ""
    return f'<text{style} x="{left:.1f}" y="{top + LINE / 2 + 4:.1f}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """The text for XML, which has no control characters and no lone surrogates."""
    kept = "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text
    )
    return escape(kept)
