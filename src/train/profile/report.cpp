#include "train/profile/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "train/profile/phase.h"

namespace sing::train {
namespace {

using backend::ProfileLaunch;
using backend::ProfileRecord;
using backend::ProfileSpan;

/// What bears one name.
struct Row {
  std::string name;
  int64_t calls = 0, with_bytes = 0, with_flops = 0;
  double seconds = 0;
  double bytes = 0, bytes_seconds = 0;  // of those whose bytes are known
  double flops = 0, flops_seconds = 0;

  void add(double time, const backend::Work& work) {
    ++calls;
    seconds += time;
    const int64_t moved = work.read + work.written;
    if (moved > 0) {
      ++with_bytes;
      bytes += static_cast<double>(moved);
      bytes_seconds += time;
    }
    if (work.flops > 0) {
      ++with_flops;
      flops += work.flops;
      flops_seconds += time;
    }
  }
};
using Rows = std::map<std::string, Row>;

/// With the op before the name: short names of kernels are used in more than one file.
Rows launches_by_name(const ProfileRecord& record) {
  Rows rows;
  for (const ProfileLaunch& launch : record.launches) {
    std::string name = launch.stream == 0 ? launch.name : launch.name + " (beside)";
    if (launch.span >= 0)
      name = record.spans[static_cast<size_t>(launch.span)].name + (": " + name);
    rows[name].add(std::max(0.0, launch.end - launch.begin), launch.work);
  }
  return rows;
}

Rows ops_by_name(const ProfileRecord& record) {
  std::vector<double> inside(record.spans.size(), 0);
  for (const ProfileSpan& span : record.spans)
    if (span.parent >= 0)
      inside[static_cast<size_t>(span.parent)] += span.device_end - span.device_begin;
  Rows rows;
  for (size_t i = 0; i < record.spans.size(); ++i) {
    const ProfileSpan& span = record.spans[i];
    const std::string phase = span.parent < 0 ? "" : phase_of(record, static_cast<int>(i)) + "/";
    rows[phase + span.name].add(std::max(0.0, span.device_end - span.device_begin - inside[i]),
                                span.work);
  }
  return rows;
}

/// From the first thing to the last, in seconds, and how much of it was spent in launches.
struct Whole {
  double seconds = 0, launches = 0;
};
Whole whole(const ProfileRecord& record) {
  double begin = 1e300, end = -1e300, launches = 0;
  const auto reach = [&](double from, double to) {
    begin = std::min(begin, from);
    end = std::max(end, to);
  };
  for (const ProfileLaunch& launch : record.launches) {
    if (launch.stream != 0) continue;
    reach(launch.begin, launch.end);
    launches += launch.end - launch.begin;
  }
  for (const ProfileSpan& span : record.spans)
    if (span.device_end > span.device_begin) reach(span.device_begin, span.device_end);
  return {std::max(0.0, end - begin), launches};
}

std::string number(double value, double unit, int digits) {
  return value > 0 ? fmt::format("{:.{}f}", value / unit, digits) : "-";
}
std::string share_of(double rate, double ceiling) {
  return rate > 0 && ceiling > 0 ? fmt::format("{:.0f} %", 100 * rate / ceiling) : "-";
}

/// By falling time.
std::string table(const char* title, Rows rows, const ProfileHead& head, double whole_seconds) {
  std::vector<Row> sorted;
  size_t width = 30;
  constexpr size_t kWidest = 90;
  for (auto& [name, row] : rows) {
    row.name = name.size() <= kWidest ? name : name.substr(0, kWidest - 3) + "...";
    width = std::max(width, row.name.size());
    sorted.push_back(std::move(row));
  }
  std::ranges::stable_sort(sorted,
                           [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  std::string text =
      fmt::format("\n{:<{}} {:>8} {:>10} {:>7} {:>10} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8}\n", title,
                  width, "calls", "ms a step", "share", "us each", "MB each", "GFLOP", "GB/s",
                  "of copy", "TFLOP/s", "of prod.");
  const double steps = static_cast<double>(std::max<int64_t>(head.steps, 1));
  for (const Row& row : sorted) {
    const auto each = [](double sum, int64_t count) {
      return count > 0 ? sum / static_cast<double>(count) : 0;
    };
    const double bytes = row.bytes_seconds > 0 ? row.bytes / row.bytes_seconds : 0;
    const double flops = row.flops_seconds > 0 ? row.flops / row.flops_seconds : 0;
    text += fmt::format(
        "{:<{}} {:>8.1f} {:>10.4f} {:>5.1f} % {:>10.1f} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8}\n",
        row.name, width, static_cast<double>(row.calls) / steps, 1e3 * row.seconds / steps,
        whole_seconds > 0 ? 100 * row.seconds / whole_seconds : 0,
        1e6 * each(row.seconds, row.calls), number(each(row.bytes, row.with_bytes), 1e6, 3),
        number(each(row.flops, row.with_flops), 1e9, 3), number(bytes, 1e9, 2),
        share_of(bytes, head.ceilings.copy), number(flops, 1e12, 3),
        share_of(flops, head.ceilings.product));
  }
  return text;
}

}  // namespace

std::string profile_table(const ProfileRecord& record, const ProfileHead& head) {
  const bool device = head.device.type != DeviceType::cpu;
  const Whole all = whole(record);
  const double steps = static_cast<double>(std::max<int64_t>(head.steps, 1));
  std::string text =
      fmt::format("steps {} to {} on {} ({}), {:.3f} ms a step\n", head.first_step + 1,
                  head.first_step + head.steps, to_string(head.device), head.description,
                  1e3 * all.seconds / steps);
  text += fmt::format(
      "ceilings, measured right before in this process: copy {:.1f} GB/s, {} product {:.2f} "
      "TFLOP/s\n",
      head.ceilings.copy / 1e9, head.ceilings.dtype, head.ceilings.product / 1e12);
  text += fmt::format("in kernels {:.3f} ms a step ({:.1f} %), between them {:.3f} ms\n",
                      1e3 * all.launches / steps,
                      all.seconds > 0 ? 100 * all.launches / all.seconds : 0,
                      1e3 * std::max(0.0, all.seconds - all.launches) / steps);
  if (device)
    text += fmt::format(
        "An event lies before and behind each launch. A profiled step goes op by op, without a "
        "graph:\nwhat lies between kernels is not what a replayed step shows. Around a fill of 256 "
        "bytes such an\ninterval is {:.1f} us: times near that say little.\n",
        1e6 * record.shortest);
  else
    text +=
        "Times are the host's; a kernel is a call of a kernel slot, with whose code served it.\n";
  text +=
      "Bytes are those of the operands, each counted once; more than the ceiling comes from a "
      "cache.\nA kernel has them where its op ran nothing else on these operands, or where it said "
      "itself.\n";
  text += table("kernel", launches_by_name(record), head, all.seconds);
  text += table("op, its own time", ops_by_name(record), head, all.seconds);
  return text;
}

}  // namespace sing::train
