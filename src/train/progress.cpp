#include "sing/train/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "sing/core/json.h"

namespace sing::train {

std::string grouped(int64_t value) {
  std::string digits = std::to_string(value);
  for (int64_t i = static_cast<int64_t>(digits.size()) - 3; i > (value < 0 ? 1 : 0); i -= 3)
    digits.insert(static_cast<size_t>(i), " ");
  return digits;
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  const double size = std::abs(value);
  if (size >= 1000 && size < 1e15) {
    const double unit = std::pow(10.0, std::floor(std::log10(size)) - 2);
    return grouped(static_cast<int64_t>(std::llround(value / unit) * static_cast<int64_t>(unit)));
  }
  return fmt::format("{:.3g}", value);
}

std::string short_time(double seconds) {
  const int64_t s = std::llround(std::max(seconds, 0.0));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string clock_time(double seconds) {
  const int64_t s = std::llround(std::max(seconds, 0.0));
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string utc_time(double seconds_since_1970) {
  const std::time_t time = static_cast<std::time_t>(seconds_since_1970);
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string metric_text(double value, bool share) {
  return share ? fmt::format("{:.1f} %", 100 * value) : fmt::format("{:.3g}", value);
}

namespace {

/// Cuts to a number of characters, not bytes.
std::string cut(const std::string& text, int columns) {
  int seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;
    if (seen++ == columns) return text.substr(0, i);
  }
  return text;
}

std::string bar(double share, int columns) {
  const int filled = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * columns));
  std::string text;
  for (int i = 0; i < columns; ++i) text += i < filled ? "━" : i == filled ? "╸" : " ";
  return text;
}

}  // namespace

std::vector<std::string> bar_lines(const Progress& p, int columns) {
  std::vector<std::string> lines;
  std::string head = fmt::format("epoch {}", static_cast<int64_t>(std::floor(p.epoch)) + 1);
  if (p.total_epochs > 0)
    head = fmt::format("epoch {}/{}",
                       static_cast<int64_t>(std::min(std::floor(p.epoch) + 1, p.total_epochs)),
                       static_cast<int64_t>(std::ceil(p.total_epochs)));
  std::string tail = fmt::format("step {}", grouped(p.step));
  if (p.total_steps > 0) {
    const double share = static_cast<double>(p.step) / static_cast<double>(p.total_steps);
    tail =
        fmt::format("{:3.0f} %   step {}/{}", 100 * share, grouped(p.step), grouped(p.total_steps));
    const std::string times = "   " + short_time(p.elapsed) +
                              (p.remaining ? ", about " + short_time(*p.remaining) + " left" : "");
    const int room = columns - static_cast<int>(head.size() + tail.size() + times.size()) - 5;
    lines.push_back(head + "  " + bar(share, std::clamp(room, 8, 40)) + "  " + tail + times);
  } else {
    lines.push_back(head + "   " + tail + "   " + short_time(p.elapsed));
  }
  lines.push_back(
      fmt::format("loss {}   lr {}   raw |g| {} ({:.2f} × median)   {} samples/s   "
                  "data wait {:.0f} %",
                  short_number(p.loss), short_number(p.learning_rate), short_number(p.raw_norm),
                  p.raw_norm_ratio, short_number(p.samples_per_second), 100 * p.data_wait));
  std::string last = fmt::format("memory {:.1f} GiB", p.memory_gib);
  if (!p.best.empty()) last += "   best " + p.best;
  if (p.next_checkpoint) last += "   next checkpoint in " + short_time(*p.next_checkpoint);
  lines.push_back(last);
  for (std::string& line : lines) line = cut(line, columns);
  return lines;
}

std::string event_line(const std::string& time, const std::string& event, const Fields& fields) {
  std::string line = fmt::format("{} {:<6}", time, event);
  for (const auto& [key, value] : fields) {
    const bool plain = value.find_first_of(" \t\n\"=") == std::string::npos && !value.empty();
    line += " " + key + "=" + (plain ? value : json_quoted(value));
  }
  return line;
}

Fields progress_fields(const Progress& p) {
  Fields fields;
  fields.emplace_back("step", p.total_steps > 0 ? fmt::format("{}/{}", p.step, p.total_steps)
                                                : std::to_string(p.step));
  fields.emplace_back("epoch", fmt::format("{:.2f}", p.epoch));
  fields.emplace_back("loss", fmt::format("{:.3e}", p.loss));
  fields.emplace_back("lr", fmt::format("{:.2e}", p.learning_rate));
  fields.emplace_back("gnorm_raw", fmt::format("{:.3g}", p.raw_norm));
  fields.emplace_back("samples_per_s", fmt::format("{:.0f}", p.samples_per_second));
  fields.emplace_back("data_wait", fmt::format("{:.2f}", p.data_wait));
  fields.emplace_back("mem_gib", fmt::format("{:.2f}", p.memory_gib));
  if (p.remaining) fields.emplace_back("eta", clock_time(*p.remaining));
  return fields;
}

}  // namespace sing::train
