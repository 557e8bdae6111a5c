"""The chart: an SVG written by hand, no library. Bars on a scale of powers of ten."""
import math
import shutil
import subprocess

from compare_lib import packages
from compare_lib.results import HELD, MISSED, OURS, OUT_OF_REACH
from compare_lib.words import number

WIDTH, LEFT, RIGHT, ROW, BAR = 960, 390, 90, 24, 14
INK, FAINT, MARK = "#222222", "#d8d8d8", "#222222"
FILLS = {HELD: "#2a7f62", None: "#2a7f62", MISSED: "#c1553b", OUT_OF_REACH: "#9a9a9a"}
FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Drawing:
    def __init__(self):
        self.parts, self.y = [], 0

    def text(self, x, y, words, size=12, anchor="start", weight="normal", fill=INK):
        self.parts.append("<text x='%.1f' y='%.1f' font-size='%d' text-anchor='%s' font-weight='%s' fill='%s'>%s</text>"
                          % (x, y, size, anchor, weight, fill, escape(words)))

    def line(self, x1, y1, x2, y2, stroke=INK, width=1.0):
        self.parts.append("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s' stroke-width='%.1f'/>"
                          % (x1, y1, x2, y2, stroke, width))

    def box(self, x, y, width, height, fill):
        self.parts.append("<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'/>"
                          % (x, y, max(width, 0.5), height, fill))

    def svg(self):
        return ("<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d' %s>\n"
                "<rect width='100%%' height='100%%' fill='#ffffff'/>\n%s\n</svg>\n"
                % (WIDTH, self.y, WIDTH, self.y, FONT, "\n".join(self.parts)))


class Scale:
    """From a value to a place on the x axis."""

    def __init__(self, low, high, powers):
        self.low, self.high, self.powers = low, high, powers

    def at(self, value):
        value = min(max(value, self.low), self.high)
        if self.powers:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def ticks(self):
        if not self.powers:
            return [self.low + (self.high - self.low) * i / 5 for i in range(6)]
        return [10.0 ** p for p in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]


def panel(d, title, legend, bars, scale, unit):
    """bars: (words, median, low, high, target, verdict)."""
    d.y += 36
    d.text(16, d.y, title, 15, weight="bold")
    d.y += 18
    d.text(16, d.y, legend, 11, fill="#555555")
    d.y += 22
    top, bottom = d.y - 4, d.y + ROW * len(bars)
    for tick in scale.ticks():
        d.line(scale.at(tick), top, scale.at(tick), bottom, FAINT)
        d.text(scale.at(tick), bottom + 14, number_of_tick(tick) + unit, 10, "middle", fill="#555555")
    for words, middle, low, high, target, verdict in bars:
        centre = d.y + ROW / 2 - 2
        d.text(LEFT - 10, centre + 4, words, 12, "end")
        d.box(LEFT, centre - BAR / 2, scale.at(middle) - LEFT, BAR, FILLS[verdict])
        if high > low:
            d.line(scale.at(low), centre, scale.at(high), centre, INK, 1.2)
        if target:
            d.line(scale.at(target), centre - ROW / 2 + 2, scale.at(target), centre + ROW / 2 - 2, MARK, 2.4)
        words_at = scale.at(max(middle, high)) + 8
        if target and words_at - 6 < scale.at(target) < words_at + 60:
            words_at = scale.at(target) + 6
        d.text(words_at, centre + 4, number(middle) + unit, 11)
        d.y += ROW
    d.y = bottom + 24


def number_of_tick(value):
    return "{:,.0f}".format(value) if value >= 1 else "%g" % value


def cpu_bars(results, lines, counted):
    bars = []
    for line in lines:
        peer = results.best(line, "cpu_us", counted) if line.cpu_times else None
        ratio = results.ratio(line, "cpu_us", peer) if peer and results.of(line, OURS) else None
        if ratio:
            bars.append((line.title, ratio.middle, ratio.low, ratio.high, line.cpu_times,
                         results.ratio_verdict(line, "cpu_us", line.cpu_times, counted)))
    return bars


def own_bars(results, lines):
    """Without peers there is still what ringmail did each second."""
    bars = []
    for line in lines:
        rate = results.middle(line, OURS, "rate")
        if rate and line.kind == "load" and not line.sum_percent and rate.middle > 0:
            bars.append((line.title, rate.middle, rate.low, rate.high, 0, None))
    return bars


def ceiling_bars(results, lines):
    bars = []
    for line in lines:
        percent = results.middle(line, OURS, "ceiling_percent") if line.sum_percent else None
        if percent:
            bars.append((line.title, percent.middle, percent.low, percent.high, line.sum_percent,
                         results.verdict(line, ())))
    return bars


def powers_around(bars):
    values = [v for b in bars for v in (b[1], b[2], b[3], b[4]) if v > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return Scale(10.0 ** min(low, 0), 10.0 ** max(high, low + 1, 1), True)


def draw(results, lines, counted, subtitle):
    d = Drawing()
    d.y = 30
    d.text(16, d.y, "ringmail compared", 20, weight="bold")
    d.y += 20
    d.text(16, d.y, subtitle, 11, fill="#555555")
    bars = cpu_bars(results, lines, counted)
    if bars:
        panel(d, "Server CPU for each operation: times less than the best peer",
              "bar: median of the rounds; thin line: their spread; thick mark: the target; grey: out of reach here for any server",
              bars, powers_around(bars), "×")
    else:
        bars = own_bars(results, lines)
        if bars:
            panel(d, "Operations a second", "bar: median of the rounds; thin line: their spread", bars,
                  powers_around(bars), "")
    bars = ceiling_bars(results, lines)
    if bars:
        top = max(100, math.ceil(max(b[3] for b in bars) / 50) * 50)
        panel(d, "How close to the ceilings of this machine",
              "CPU of a server that did only what it must, in percent of ringmail's; thick mark: the target", bars,
              Scale(0, top, False), " %")
    d.y += 10
    return d.svg()


def write_png(svg, png):
    """By librsvg, where Debian's package of it can be had. False: there is none."""
    if not shutil.which("rsvg-convert"):
        try:
            packages.need(["librsvg2-bin", "fonts-dejavu-core"])
        except packages.Trouble:
            return False
    return subprocess.run(["rsvg-convert", "--zoom", "1.5", "-o", png, svg]).returncode == 0
