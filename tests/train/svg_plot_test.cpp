#include "sing/train/svg_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "train/session/pictures.h"

namespace sing::train {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++found;
  return found;
}

// Enough of XML for what we write: tags nest, attributes are quoted, text has no bare < or &.
std::string xml_fault(const std::string& text) {
  std::vector<std::string> open;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '&') {
      const size_t end = text.find(';', i);
      const std::string name = text.substr(i + 1, end - i - 1);
      if (name != "amp" && name != "lt" && name != "gt" && name != "quot") return "entity " + name;
      i = end + 1;
    } else if (text[i] == '<') {
      size_t end = i;
      bool quoted = false;
      while (++end < text.size() && (quoted || text[end] != '>')) {
        if (text[end] == '"') quoted = !quoted;
        if (text[end] == '<') return "< inside a tag";
      }
      if (end == text.size()) return "a tag never ends";
      const std::string tag = text.substr(i + 1, end - i - 1);
      const std::string name = tag.substr(0, tag.find_first_of(" \n"));
      if (name[0] == '/') {
        if (open.empty() || open.back() != name.substr(1)) return "unexpected <" + name + ">";
        open.pop_back();
      } else if (tag.back() != '/') {
        open.push_back(name);
      }
      i = end + 1;
    } else {
      ++i;
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> never ends";
}

// Points on the series' paths.
std::vector<size_t> points_of(const std::string& svg) {
  std::vector<size_t> found;
  for (size_t at = svg.find("class=\"series\""); at != std::string::npos;
       at = svg.find("class=\"series\"", at + 1)) {
    const size_t from = svg.find(" d=\"", at) + 4;
    const std::string path = svg.substr(from, svg.find('"', from) - from);
    found.push_back(count(path, "M") + count(path, "L"));
  }
  return found;
}

PlotSeries series(const std::string& name, int size) {
  PlotSeries made{name, {}, -1, false};
  for (int i = 0; i < size; ++i) made.points.emplace_back(i * 10, 1.0 / (1 + i));
  return made;
}

TEST(SvgPlot, IsWellFormedAndHasAllPoints) {
  Plot plot{"loss <of> \"a\" & b", "step", "train/loss", {series("sing", 50), series("adamw", 30)}};
  plot.series[0].marked = 49;
  const std::string svg = to_svg(plot);
  EXPECT_EQ(xml_fault(svg), "");
  EXPECT_EQ(points_of(svg), (std::vector<size_t>{50, 30}));
  EXPECT_EQ(count(svg, "<circle"), 1u);
  EXPECT_THAT(svg, testing::HasSubstr("loss &lt;of&gt; &quot;a&quot; &amp; b"));
  EXPECT_THAT(svg, testing::HasSubstr(">sing</text>"));
  EXPECT_EQ(count(svg, "http"), 1u) << "nothing but the name space";
  EXPECT_EQ(to_svg(plot), svg);
}

TEST(SvgPlot, TheCheckerSeesFaults) {
  EXPECT_NE(xml_fault("<a><b></a>"), "");
  EXPECT_NE(xml_fault("<a>x & y</a>"), "");
  EXPECT_NE(xml_fault("<a>"), "");
  EXPECT_EQ(xml_fault("<a b=\"1 > 0\">&lt;<c/></a>"), "");
}

TEST(SvgPlot, LeavesOutWhatCannotBeDrawn) {
  PlotSeries line{
      "x", {{0, 1}, {1, NAN}, {2, 3}, {3, 0}, {4, -1}, {5, INFINITY}, {6, 2}}, 3, false};
  Plot plot{"t", "x", "y", {line}};
  EXPECT_EQ(points_of(to_svg(plot)), std::vector<size_t>{5});
  EXPECT_EQ(count(to_svg(plot), "<circle"), 1u);
  plot.log_y = true;
  EXPECT_EQ(points_of(to_svg(plot)), std::vector<size_t>{3});
  EXPECT_EQ(count(to_svg(plot), "<circle"), 0u) << "the marked value is not positive";
  EXPECT_EQ(count(to_svg(plot), "nan"), 0u);
  EXPECT_EQ(count(to_svg(plot), "inf"), 0u);
}

TEST(SvgPlot, DrawsNothingOneAndEqualPoints) {
  for (const PlotSeries& line : {PlotSeries{}, PlotSeries{"one", {{5, 5}}, 0, false},
                                 PlotSeries{"flat", {{0, 0}, {1, 0}, {2, 0}}, -1, false},
                                 PlotSeries{"huge", {{0, -1e308}, {1, 1e308}}, -1, false}}) {
    for (const bool log_y : {false, true}) {
      Plot plot{"t", "x", "y", {line}, log_y};
      const std::string svg = to_svg(plot);
      EXPECT_EQ(xml_fault(svg), "") << line.name;
      EXPECT_EQ(count(svg, "nan"), 0u) << line.name;
    }
  }
  EXPECT_EQ(xml_fault(to_svg(Plot{})), "");
}

TEST(SvgPlot, ThinningKeepsTheSpike) {
  PlotSeries line{"loss", {}, -1, false};
  for (int i = 0; i < 50000; ++i) line.points.emplace_back(i, i == 31415 ? 100.0 : std::sin(i));
  const std::string svg = to_svg({"t", "x", "y", {line}});
  ASSERT_EQ(points_of(svg).size(), 1u);
  EXPECT_LT(points_of(svg)[0], 4000u);
  EXPECT_LT(svg.size(), 80000u);
  // The top of the frame is 4 % of the range above the spike: 44 + 0.037 * 304 pixels.
  EXPECT_THAT(svg, testing::HasSubstr(" 55.3L"));
}

TEST(SvgPlot, DotsAreJoinedByArcsAndNotesMakeRoom) {
  PlotSeries jumps{"walk", {{0, 5}, {3, 2}, {1, 4}, {NAN, 0}, {2, 2}}, -1, false};
  jumps.dots = true;
  jumps.colour = 6;
  Plot plot{"t", "x", "y", {jumps, series("line", 3)}};
  const std::string svg = to_svg(plot);
  EXPECT_EQ(xml_fault(svg), "");
  EXPECT_EQ(count(svg, "<circle"), 4u);
  EXPECT_EQ(count(svg, "Q"), 2u) << "no arc over a gap";
  EXPECT_THAT(svg, testing::HasSubstr("#444444"));
  EXPECT_THAT(svg, testing::HasSubstr("#0072b2")) << "a chosen colour uses up none";
  plot.notes.push_back({1, -100, "deep & <low>"});
  plot.notes.push_back({NAN, 0, "nowhere"});
  const std::string noted = to_svg(plot);
  EXPECT_EQ(xml_fault(noted), "");
  EXPECT_THAT(noted, testing::HasSubstr(">deep &amp; &lt;low&gt;</text>"));
  EXPECT_THAT(noted, testing::HasSubstr(">-100</text>")) << "the axis reaches down to the note";
  EXPECT_EQ(count(noted, "nowhere"), 0u);
}

TEST(DrawBudget, DrawingTakesATwentiethAtMost) {
  DrawBudget budget;
  EXPECT_TRUE(budget.due(100)) << "the first time";
  budget.drawn(100, 101);
  EXPECT_FALSE(budget.due(101));
  EXPECT_FALSE(budget.due(119.5));
  EXPECT_TRUE(budget.due(120));
  double now = 0, drawing = 0;
  for (DrawBudget long_run; now < 1000; now += 0.5) {  // an evaluation every half second
    if (!long_run.due(now)) continue;
    const double cost = 0.001 * (1 + now);  // the file grows
    long_run.drawn(now, now + cost);
    now += cost;
    drawing += cost;
  }
  EXPECT_LT(drawing, 0.05 * now);
  EXPECT_GT(drawing, 0.02 * now) << "and not needlessly seldom";
}

TEST(SvgPlot, TicksAreNice) {
  EXPECT_EQ(nice_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(nice_ticks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_THAT(nice_ticks(0.13, 0.88, 4),
              testing::Pointwise(testing::DoubleEq(), {0.2, 0.4, 0.6, 0.8}));
  EXPECT_TRUE(nice_ticks(1, 1, 5).empty());
  EXPECT_TRUE(nice_ticks(0, INFINITY, 5).empty());
  for (double high = 1e-12; high < 1e12; high *= 1.37) {
    const size_t ticks = nice_ticks(0, high, 6).size();
    EXPECT_GE(ticks, 4u) << high;
    EXPECT_LE(ticks, 10u) << high;
  }
}

}  // namespace
}  // namespace sing::train
