#include "sing/train/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sing/core/utf8.h"

namespace sing::train {
namespace {

// Colours that differ in lightness too (after Okabe and Ito), so that they survive grey printing
// and colour blindness.
constexpr std::array<const char*, 7> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#8a6d00", "#56b4e9", "#444444"};
constexpr double kLeft = 74, kRight = 22, kTop = 44, kBottom = 52;
constexpr size_t kThinAbove = 2000;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : is_printable_utf8(text) ? text : printable(text, 200)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
  double at(double value) const { return (value - low) / (high - low); }
};

// Maps values to positions of the picture.
class Frame {
 public:
  explicit Frame(const Plot& plot) : plot_(plot) {
    for (const PlotSeries& series : plot.series) {
      for (const auto& [x, y] : series.points) {
        if (!shown(x, y)) continue;
        x_range.add(x);
        y_range.add(scaled(y));
      }
    }
    for (const PlotNote& note : plot.notes) {
      if (!shown(note.x, note.y)) continue;
      x_range.add(note.x);
      y_range.add(scaled(note.y));
    }
    open_up(x_range, 0);
    open_up(y_range, 0.04);
  }

  bool shown(double x, double y) const {
    // Comparisons with NaN are false; beyond 1e300 the length of an axis could overflow.
    return std::abs(x) < 1e300 && std::abs(y) < 1e300 && (!plot_.log_y || y > 0);
  }
  double scaled(double y) const { return plot_.log_y ? std::log10(y) : y; }
  double px(double x) const { return kLeft + x_range.at(x) * (plot_.width - kLeft - kRight); }
  double py_scaled(double y) const {
    return plot_.height - kBottom - y_range.at(y) * (plot_.height - kTop - kBottom);
  }
  double py(double y) const { return py_scaled(scaled(y)); }

  Range x_range, y_range;

 private:
  static void open_up(Range& range, double margin) {
    if (range.empty()) range = {0, 1};
    if (range.low == range.high) {
      const double half = range.low == 0 ? 0.5 : std::abs(range.low) * 0.05;
      range = {range.low - half, range.high + half};
    }
    const double extra = (range.high - range.low) * margin;
    range.low -= extra;
    range.high += extra;
  }

  const Plot& plot_;
};

// "0.002", "50k", "1e-7": at most `digits` significant digits, whatever the locale.
std::string label(double value, int digits = 4) {
  const double size = std::abs(value);
  if (size >= 1e4 && size < 1e9) {
    const auto [unit, suffix] = size >= 1e6 ? std::pair(1e6, "M") : std::pair(1e3, "k");
    return fmt::format("{:.{}g}{}", value / unit, digits, suffix);
  }
  if (size != 0 && (size < 1e-4 || size >= 1e9)) return fmt::format("{:.{}g}", value, digits);
  const int exponent = size == 0 ? 0 : static_cast<int>(std::floor(std::log10(size)));
  std::string text = fmt::format("{:.{}f}", value, std::max(digits - 1 - exponent, 0));
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

// On a logarithmic axis: powers of ten, with 2 and 5 between them when there are few.
std::vector<std::pair<double, double>> log_ticks(const Range& range) {
  std::vector<std::pair<double, double>> ticks;  // position (log10) and value
  const double decades = range.high - range.low;
  const int step = std::max(1, static_cast<int>(std::ceil(decades / 6)));
  for (int power = static_cast<int>(std::floor(range.low)); power <= range.high; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && decades > 2.5) continue;
      if (factor == 1 && power % step != 0) continue;
      const double position = power + std::log10(factor);
      if (position >= range.low && position <= range.high)
        ticks.emplace_back(position, std::pow(10.0, position));
    }
  }
  if (ticks.size() >= 2) return ticks;
  ticks.clear();  // less than one decade: even steps of the value, at their logarithms
  for (const double value : nice_ticks(std::pow(10, range.low), std::pow(10, range.high), 5))
    if (value > 0) ticks.emplace_back(std::log10(value), value);
  return ticks;
}

void append_axes(std::string& out, const Plot& plot, const Frame& frame) {
  const double right = plot.width - kRight, bottom = plot.height - kBottom;
  out += "<g stroke=\"#e3e3e3\">\n";
  std::string labels;
  std::vector<std::pair<double, double>> y_ticks;
  if (plot.log_y)
    y_ticks = log_ticks(frame.y_range);
  else
    for (const double value : nice_ticks(frame.y_range.low, frame.y_range.high, 6))
      y_ticks.emplace_back(value, value);
  for (const auto& [position, value] : y_ticks) {
    const double y = frame.py_scaled(position);
    out += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", kLeft, y, right);
    labels += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                          kLeft - 8, y + 4, label(value));
  }
  for (const double value :
       nice_ticks(frame.x_range.low, frame.x_range.high, std::max(3, plot.width / 100))) {
    const double x = frame.px(value);
    out += fmt::format("<path d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", x, kTop, bottom);
    labels += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x,
                          bottom + 18, label(value));
  }
  out += "</g>\n";
  out +=
      fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}\" fill=\"none\" stroke=\"#555\"/>\n",
                  kLeft, kTop, bottom, right);
  out += "<g font-size=\"12\" fill=\"#444\">\n" + labels;
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                     (kLeft + right) / 2, plot.height - 12.0, escaped(plot.x_label));
  out += fmt::format(
      "<text transform=\"translate(18 {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>\n</g>\n",
      (kTop + bottom) / 2, escaped(plot.y_label + (plot.log_y ? " (log)" : "")));
}

struct Pixel {
  double x, y;
  bool starts;  // a gap before it
};

std::vector<Pixel> pixels_of(const PlotSeries& series, const Frame& frame) {
  std::vector<Pixel> pixels;
  bool gap = true;
  for (const auto& [x, y] : series.points) {
    if (!frame.shown(x, y)) {
      gap = true;
      continue;
    }
    pixels.push_back({frame.px(x), frame.py(y), gap});
    gap = false;
  }
  return pixels;
}

// Keeps first, lowest, highest and last of each pixel column.
std::vector<Pixel> thinned(const std::vector<Pixel>& pixels) {
  if (pixels.size() <= kThinAbove) return pixels;
  std::vector<Pixel> kept;
  for (size_t from = 0; from < pixels.size();) {
    size_t to = from + 1;
    while (to < pixels.size() && !pixels[to].starts &&
           std::floor(pixels[to].x) == std::floor(pixels[from].x))
      ++to;
    const auto by_y = [](const Pixel& a, const Pixel& b) { return a.y < b.y; };
    const auto begin = pixels.begin() + static_cast<ptrdiff_t>(from);
    const auto end = pixels.begin() + static_cast<ptrdiff_t>(to);
    const auto [low, high] = std::minmax_element(begin, end, by_y);
    std::array<ptrdiff_t, 4> chosen = {0, low - begin, high - begin, end - begin - 1};
    std::sort(chosen.begin(), chosen.end());
    for (size_t i = 0; i < chosen.size(); ++i)
      if (i == 0 || chosen[i] != chosen[i - 1]) kept.push_back(begin[chosen[i]]);
    from = to;
  }
  return kept;
}

// Upwards, higher the longer the jump.
std::string arc(const Pixel& from, const Pixel& to) {
  return fmt::format("Q{:.1f} {:.1f} {:.1f} {:.1f}", (from.x + to.x) / 2,
                     std::min(from.y, to.y) - 0.45 * std::abs(to.x - from.x), to.x, to.y);
}

// `below`: the value of the marked point is written under it, so that two series do not write over
// each other.
void append_series(std::string& out, const PlotSeries& series, const Frame& frame,
                   const char* colour, bool below) {
  const std::vector<Pixel> all = pixels_of(series, frame);
  const std::vector<Pixel> pixels = series.dots ? all : thinned(all);
  if (!pixels.empty()) {
    out += fmt::format(
        "<path class=\"series\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" "
        "stroke-linejoin=\"round\" stroke-linecap=\"round\"{} d=\"",
        colour, series.background || series.dots ? 1.0 : 1.8,
        series.background ? " opacity=\"0.35\""
        : series.dots     ? " opacity=\"0.6\""
                          : "");
    for (size_t i = 0; i < pixels.size(); ++i) {
      const Pixel& pixel = pixels[i];
      if (series.dots && !pixel.starts)
        out += arc(pixels[i - 1], pixel);
      else
        out += fmt::format("{}{:.1f} {:.1f}", pixel.starts ? 'M' : 'L', pixel.x, pixel.y);
    }
    // A single point is a line of no length, which round ends make visible.
    if (pixels.size() == 1) out += fmt::format("L{:.1f} {:.1f}", pixels[0].x, pixels[0].y);
    out += "\"/>\n";
  }
  for (size_t i = 0; series.dots && i < pixels.size(); ++i)
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\"/>\n", pixels[i].x,
                       pixels[i].y, i + 1 == pixels.size() ? 5 : 2.8, colour);
  if (series.marked < 0 || static_cast<size_t>(series.marked) >= series.points.size()) return;
  const auto [x, y] = series.points[static_cast<size_t>(series.marked)];
  if (!frame.shown(x, y)) return;
  out += fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\" fill=\"#fff\" stroke=\"{}\" "
      "stroke-width=\"2\"><title>best: {} at {}</title></circle>\n",
      frame.px(x), frame.py(y), colour, label(y), label(x, 8));
  const bool near_right = frame.px(x) > kLeft + 0.85 * (frame.px(frame.x_range.high) - kLeft);
  out += fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"12\" fill=\"{}\" text-anchor=\"{}\">{}</text>\n",
      frame.px(x) + (near_right ? -8 : 8),
      frame.py(y) + (below || frame.py(y) < kTop + 16 ? 18 : -8), colour,
      near_right ? "end" : "start", label(y));
}

// One line above the frame, from the right: the title has the left.
void append_legend(std::string& out, const Plot& plot, const std::vector<const char*>& colours) {
  std::string items;
  double x = plot.width - kRight;
  for (size_t i = plot.series.size(); i-- > 0;) {
    const PlotSeries& series = plot.series[i];
    if (series.background || series.name.empty()) continue;
    const double width = 7.0 * static_cast<double>(series.name.size()) + 34;  // about, at 12 px
    x -= width;
    items += fmt::format(
        "<path d=\"M{0:.1f} {1:.1f}h18\" stroke=\"{2}\" stroke-width=\"3\"/>"
        "<text x=\"{3:.1f}\" y=\"{4:.1f}\">{5}</text>\n",
        x, kTop - 14, colours[i], x + 24, kTop - 10, escaped(series.name));
  }
  if (!items.empty())
    out += "<g class=\"legend\" font-size=\"12\" fill=\"#222\">\n" + items + "</g>\n";
}

void append_notes(std::string& out, const Plot& plot, const Frame& frame) {
  for (const PlotNote& note : plot.notes)
    if (frame.shown(note.x, note.y))
      out += fmt::format(
          "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"12\" fill=\"#444\" "
          "text-anchor=\"middle\">{}</text>\n",
          frame.px(note.x), frame.py(note.y) + 4, escaped(note.text));
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int wanted) {
  std::vector<double> ticks;
  if (!(high > low) || wanted < 1 || !std::isfinite(high - low)) return ticks;
  const double rough = (high - low) / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double ratio = rough / power;
  const double step = power * (ratio < 1.42 ? 1 : ratio < 3.16 ? 2 : ratio < 7.07 ? 5 : 10);
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i <= 3 * wanted + 3; ++i) {
    const double value = (first + i) * step;
    if (value > high + 1e-9 * step) break;
    ticks.push_back(value == 0 ? 0.0 : value);  // no "-0"
  }
  return ticks;
}

std::string to_svg(const Plot& plot) {
  const Frame frame(plot);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"system-ui, Helvetica, Arial, sans-serif\">\n"
      "<title>{2}</title>\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n"
      "<text x=\"{3:.1f}\" y=\"{4:.1f}\" font-size=\"15\" font-weight=\"600\" "
      "fill=\"#111\">{2}</text>\n",
      plot.width, plot.height, escaped(plot.title), kLeft, kTop - 20);
  append_axes(out, plot, frame);
  std::vector<const char*> colours;
  size_t next = 0;
  for (const PlotSeries& series : plot.series) {
    const size_t number = series.colour < 0 ? next : static_cast<size_t>(series.colour);
    colours.push_back(kColours[number % kColours.size()]);
    if (!series.background && series.colour < 0)
      ++next;  // a background series has the colour of the one after it
  }
  for (size_t i = 0; i < plot.series.size(); ++i)
    append_series(out, plot.series[i], frame, colours[i], i % 2 == 1);
  append_notes(out, plot, frame);
  append_legend(out, plot, colours);
  return out + "</svg>\n";
}

}  // namespace sing::train
