#include "train/profile/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "sing/core/json.h"

namespace sing::train {
namespace {

using backend::ProfileSpan;

constexpr int kHostRow = 1, kDeviceRow = 2, kLaunchRow = 3;

/// The outermost span around number i, itself if there is none: its phase.
const ProfileSpan& phase_of(const std::vector<ProfileSpan>& spans, size_t i) {
  while (spans[i].parent >= 0) i = static_cast<size_t>(spans[i].parent);
  return spans[i];
}

double microseconds(double seconds) {
  return seconds * 1e6;
}

JsonValue named(const char* what, int row, const std::string& name) {
  JsonValue event = JsonValue::object({{"name", what}, {"ph", "M"}, {"pid", 1}});
  if (row > 0) event.set("tid", row);
  event.set("args", JsonValue::object({{"name", name}}));
  return event;
}

JsonValue slice(const std::string& name, const std::string& category, int row, double begin,
                double end) {
  return JsonValue::object({{"name", name},
                            {"cat", category},
                            {"ph", "X"},
                            {"pid", 1},
                            {"tid", row},
                            {"ts", microseconds(begin)},
                            {"dur", microseconds(std::max(0.0, end - begin))}});
}

struct Row {
  std::string name;
  int64_t calls = 0;
  double seconds = 0, flops = 0;
  int64_t bytes = 0;
};

std::string share_of(double rate, double ceiling) {
  return rate > 0 && ceiling > 0 ? fmt::format("{:.0f} %", 100 * rate / ceiling) : "-";
}

}  // namespace

std::string profile_trace(const std::vector<ProfileSpan>& spans, const ProfileHead& head) {
  const bool device = head.device.type != DeviceType::cpu;
  JsonValue events = JsonValue::array();
  events.push_back(named(
      "process_name", 0,
      fmt::format("sing, steps {} to {}", head.first_step + 1, head.first_step + head.steps)));
  events.push_back(named("thread_name", kHostRow, "host"));
  if (device) {
    events.push_back(named("thread_name", kDeviceRow, to_string(head.device) + " ops"));
    events.push_back(named("thread_name", kLaunchRow, to_string(head.device) + " launches"));
  }
  for (size_t i = 0; i < spans.size(); ++i) {
    const ProfileSpan& span = spans[i];
    const std::string phase = phase_of(spans, i).name;
    JsonValue arguments = JsonValue::object(
        {{"operands", span.operands}, {"read", span.bytes_read}, {"written", span.bytes_written}});
    if (span.layer) arguments.set("layer", std::string(span.layer));
    if (span.flops > 0) arguments.set("flops", span.flops);
    JsonValue host = slice(span.name, phase, kHostRow, span.begin, span.end);
    host.set("args", arguments);
    events.push_back(host);
    if (!device) continue;
    JsonValue there = slice(span.name, phase, kDeviceRow, span.device_begin, span.device_end);
    there.set("args", arguments);
    events.push_back(there);
    double begin = span.device_begin;
    for (size_t k = 0; k < span.launches.size(); ++k) {
      events.push_back(slice(fmt::format("{} #{}", span.name, k + 1), phase, kLaunchRow, begin,
                             span.launches[k]));
      begin = span.launches[k];
    }
  }
  return to_json(JsonValue::object({{"displayTimeUnit", "ms"}, {"traceEvents", events}})) + "\n";
}

std::string profile_table(const std::vector<ProfileSpan>& spans, const ProfileHead& head) {
  std::vector<double> inside(spans.size(), 0);
  for (const ProfileSpan& span : spans)
    if (span.parent >= 0)
      inside[static_cast<size_t>(span.parent)] += span.device_end - span.device_begin;
  std::map<std::string, Row> rows;
  double total = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    const ProfileSpan& span = spans[i];
    const ProfileSpan& phase = phase_of(spans, i);
    const std::string name =
        &phase == &span ? std::string(span.name) : std::string(phase.name) + "/" + span.name;
    Row& row = rows[name];
    row.name = name;
    ++row.calls;
    const double seconds = std::max(0.0, span.device_end - span.device_begin - inside[i]);
    row.seconds += seconds;
    total += seconds;
    row.bytes += span.bytes_read + span.bytes_written;
    row.flops += span.flops;
  }
  std::vector<Row> sorted;
  for (auto& [name, row] : rows) sorted.push_back(std::move(row));
  std::ranges::stable_sort(sorted,
                           [](const Row& a, const Row& b) { return a.seconds > b.seconds; });

  const double steps = static_cast<double>(std::max<int64_t>(head.steps, 1));
  std::string text = fmt::format("steps {} to {} on {} ({}), {:.3f} ms a step\n",
                                 head.first_step + 1, head.first_step + head.steps,
                                 to_string(head.device), head.description, 1e3 * total / steps);
  text += fmt::format("ceilings measured before: copy {:.1f} GB/s, {} product {:.2f} TFLOP/s\n",
                      head.ceilings.copy / 1e9, head.ceilings.dtype, head.ceilings.product / 1e12);
  text += head.device.type == DeviceType::cpu
              ? "times are the host's; bytes are those of the operands, each counted once\n"
              : "times are between events on the device: gaps inside an op count as its time, "
                "library\ncalls are one launch; bytes are those of the operands, each counted "
                "once\n";
  text += fmt::format("\n{:<44} {:>7} {:>10} {:>7} {:>9} {:>8} {:>9} {:>8}\n", "op", "calls",
                      "ms a step", "share", "GB/s", "of copy", "TFLOP/s", "of prod.");
  for (const Row& row : sorted) {
    const double bytes = row.seconds > 0 ? static_cast<double>(row.bytes) / row.seconds : 0;
    const double flops = row.seconds > 0 ? row.flops / row.seconds : 0;
    text += fmt::format("{:<44} {:>7.1f} {:>10.4f} {:>5.1f} % {:>9} {:>8} {:>9} {:>8}\n", row.name,
                        static_cast<double>(row.calls) / steps, 1e3 * row.seconds / steps,
                        total > 0 ? 100 * row.seconds / total : 0,
                        bytes > 0 ? fmt::format("{:.2f}", bytes / 1e9) : "-",
                        share_of(bytes, head.ceilings.copy),
                        flops > 0 ? fmt::format("{:.3f}", flops / 1e12) : "-",
                        share_of(flops, head.ceilings.product));
  }
  return text;
}

}  // namespace sing::train
