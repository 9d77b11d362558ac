#pragma once
#include <string>
#include <utility>
#include <vector>

#include "sing/core/export.h"

namespace sing::train {

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< x ascending; values not finite break the line
  /// Index of a point to mark, as the best one; negative: none.
  int marked = -1;
  /// Drawn thin and pale, for raw values behind a smoothed line of the same colour (the next
  /// series).
  bool background = false;
  /// A dot at each point and a thin arc from each to the next, for jumps: x need not ascend.
  bool dots = false;
  /// Number in the palette; negative: the next one not used by a series before.
  int colour = -1;
};

/// Words centred at a place of the picture.
struct PlotNote {
  double x = 0, y = 0;
  std::string text;
};

struct Plot {
  std::string title, x_label, y_label;
  std::vector<PlotSeries> series;
  bool log_y = false;  ///< values that are not positive are left out
  int width = 720, height = 400;
  std::vector<PlotNote> notes;
};

/// A line chart as one self-contained SVG text: no fonts, scripts or links from elsewhere. A series
/// of more than 2,000 points is thinned to the lowest and highest of each column, so that spikes
/// stay visible; one with dots is not.
SING_API std::string to_svg(const Plot& plot);

/// Positions for axis labels: 1, 2 or 5 times a power of ten apart, about `wanted` of them inside
/// [low, high].
SING_API std::vector<double> nice_ticks(double low, double high, int wanted);

}  // namespace sing::train
