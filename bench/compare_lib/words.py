"""Numbers as people read them."""


def number(value):
    """Three digits that matter."""
    if value >= 100:
        return "{:,.0f}".format(value)
    return "%.1f" % value if value >= 10 else "%.2f" % value


def micros(value):
    return "%s ms" % number(value / 1000) if value >= 1000 else "%s µs" % number(value)


def octets(value):
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(value) >= size:
            return "%s %s" % (number(value / size), unit)
    return "%d B" % value


def spread(middle, show=number):
    """The median, and what the rounds differed."""
    if middle.low == middle.high:
        return show(middle.middle)
    return "%s (%s to %s)" % (show(middle.middle), show(middle.low), show(middle.high))
