#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sing/core/json.h"
#include "train/profile/phase.h"
#include "train/profile/report.h"

namespace sing::train {
namespace {

using backend::ProfileLaunch;
using backend::ProfileSpan;

enum Row : int { kHost = 1, kOps, kLaunches, kCopies };

JsonValue described(const char* what, int row, const char* key, JsonValue value) {
  JsonValue event = JsonValue::object({{"name", what}, {"ph", "M"}, {"pid", 1}});
  if (row > 0) event.set("tid", row);
  event.set("args", JsonValue::object({{key, std::move(value)}}));
  return event;
}

/// Whole nanoseconds, so that ends that meet do so in print as well; the format counts
/// microseconds.
int64_t nanoseconds(double seconds) {
  return std::llround(seconds * 1e9);
}
double microseconds(int64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e3;
}

JsonValue slice(const std::string& name, const std::string& category, int row, double begin,
                double end, JsonValue arguments) {
  const int64_t from = nanoseconds(begin), to = std::max(from, nanoseconds(end));
  return JsonValue::object({{"name", name},
                            {"cat", category},
                            {"ph", "X"},
                            {"pid", 1},
                            {"tid", row},
                            {"ts", microseconds(from)},
                            {"dur", microseconds(to - from)},
                            {"args", std::move(arguments)}});
}

void set_work(JsonValue& arguments, const backend::Work& work) {
  if (work.read > 0) arguments.set("read", work.read);
  if (work.written > 0) arguments.set("written", work.written);
  if (work.flops > 0) arguments.set("flops", work.flops);
}

}  // namespace

std::string profile_trace(const backend::ProfileRecord& record, const ProfileHead& head) {
  const bool device = head.device.type != DeviceType::cpu;
  const std::string where = to_string(head.device);
  JsonValue events = JsonValue::array();
  events.push_back(described(
      "process_name", 0, "name",
      fmt::format("sing, steps {} to {}", head.first_step + 1, head.first_step + head.steps)));
  const auto row = [&](int number, const std::string& name) {
    events.push_back(described("thread_name", number, "name", name));
    events.push_back(described("thread_sort_index", number, "sort_index", number));
  };
  row(kHost, "host");
  if (device) row(kOps, where + " ops");
  row(kLaunches, device ? where + " kernels" : "kernels");
  if (std::ranges::any_of(record.launches, [](const ProfileLaunch& l) { return l.stream != 0; }))
    row(kCopies, where + " copies beside");

  for (size_t i = 0; i < record.spans.size(); ++i) {
    const ProfileSpan& span = record.spans[i];
    const std::string phase = phase_of(record, static_cast<int>(i));
    JsonValue arguments = JsonValue::object();
    if (!span.operands.empty()) arguments.set("operands", span.operands);
    if (span.layer) arguments.set("layer", std::string(span.layer));
    set_work(arguments, span.work);
    events.push_back(slice(span.name, phase, kHost, span.begin, span.end, arguments));
    if (device && span.device_end > span.device_begin)
      events.push_back(
          slice(span.name, phase, kOps, span.device_begin, span.device_end, arguments));
  }
  for (const ProfileLaunch& launch : record.launches) {
    JsonValue arguments = JsonValue::object();
    if (launch.span >= 0) {
      const ProfileSpan& span = record.spans[static_cast<size_t>(launch.span)];
      arguments.set("op", std::string(span.name));
      if (span.layer) arguments.set("layer", std::string(span.layer));
    }
    set_work(arguments, launch.work);
    events.push_back(slice(launch.name, phase_of(record, launch.span),
                           launch.stream == 0 ? kLaunches : kCopies, launch.begin, launch.end,
                           std::move(arguments)));
  }
  return to_json(JsonValue::object({{"displayTimeUnit", "ms"}, {"traceEvents", events}})) + "\n";
}

}  // namespace sing::train
