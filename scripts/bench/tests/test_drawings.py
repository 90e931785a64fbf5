"""Plots are well-formed pictures whose points stand where they belong."""

import unittest
from xml.etree import ElementTree

from bench.bars import Bars
from bench.plot import Plot, Series
from bench.scale import Scale

SVG = "{http://www.w3.org/2000/svg}"


def _plot(is_log: bool) -> Plot:
    series = [
        Series("ours <p50>", [(1, 10), (10, 100), (100, 1000)], 0),
        Series("theirs & others", [(1, 1000), (100, 1000)], 1, is_dashed=True),
    ]
    return Plot("Pause & more", "pages", "us", is_log, is_log, series, [("1 ms", 1000)])


class Plots(unittest.TestCase):
    """Lines over two axes."""

    def test_a_picture_is_well_formed_and_holds_every_point_and_word(self) -> None:
        for is_log in (False, True):
            root = ElementTree.fromstring(_plot(is_log).svg())
            lines = root.findall(f"{SVG}polyline")
            self.assertEqual([len(line.attrib["points"].split()) for line in lines], [3, 2])
            words = {text.text for text in root.iter(f"{SVG}text")}
            self.assertLessEqual({"Pause & more", "pages", "us", "ours <p50>", "theirs & others", "1 ms"}, words)

    def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis(self) -> None:
        points = ElementTree.fromstring(_plot(True).svg()).findall(f"{SVG}polyline")[0].attrib["points"]
        (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, point.split(","))) for point in points.split()]
        self.assertAlmostEqual(x1 - x0, x2 - x1, delta=0.2)
        self.assertAlmostEqual(y1 - y0, y2 - y1, delta=0.2)
        self.assertGreater(x1, x0)
        self.assertLess(y1, y0)

    def test_everything_stays_within_the_picture(self) -> None:
        root = ElementTree.fromstring(_plot(True).svg())
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        for line in root.iter(f"{SVG}polyline"):
            for point in line.attrib["points"].split():
                x, y = map(float, point.split(","))
                self.assertTrue(0 < x < width and 0 < y < height, point)


class BarDrawings(unittest.TestCase):
    """Bars in groups."""

    def test_bars_are_as_long_as_their_values(self) -> None:
        bars = Bars("Ratio", "wire bytes / dirty bytes", ["with", "without"])
        bars.add("idle <guest>", [0.1, 0.2])
        bars.add("redis", [0.4, 0.8])
        root = ElementTree.fromstring(bars.svg())
        widths = [float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if bar.attrib["height"] == "16"]
        self.assertEqual(len(widths), 4)
        for value, width in zip((0.1, 0.2, 0.4), widths, strict=False):
            self.assertAlmostEqual(width / widths[3], value / 0.8, delta=0.01)

    def test_a_group_has_a_value_for_each_name(self) -> None:
        with self.assertRaises(ValueError):
            Bars("Ratio", "", ["with", "without"]).add("idle", [1])


class Scales(unittest.TestCase):
    """Ticks of axes."""

    def test_ticks_are_round_values_within(self) -> None:
        even = Scale.over([0, 97], False, (0, 100), from_zero=True)
        self.assertEqual([text for _, text in even.ticks(6)], ["0", "20", "40", "60", "80", "100"])
        powers = Scale.over([100, 10_000], True, (0, 100))
        self.assertEqual([text for _, text in powers.ticks(6)], ["100", "300", "1k", "3k", "10k"])

    def test_values_that_are_all_the_same_have_room(self) -> None:
        for is_log in (False, True):
            scale = Scale.over([5], is_log, (0, 100))
            self.assertTrue(0 < scale.position(5) < 100)

    def test_a_logarithmic_axis_refuses_zero(self) -> None:
        with self.assertRaises(ValueError):
            Scale.over([0, 1], True, (0, 100))


if __name__ == "__main__":
    unittest.main()
