#include "sing/train/console.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "sing/core/json.h"

namespace sing::train {
namespace {

constexpr double kRedraw = 0.1;  // seconds between redraws of the bar

void write_all(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n <= 0) return;  // a closed terminal is no reason to end a run
    done += static_cast<size_t>(n);
  }
}

int terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 100;
}

LogFormat resolve(LogFormat wanted) {
  if (wanted != LogFormat::automatic) return wanted;
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string(term) == "dumb";
  return isatty(STDERR_FILENO) && !dumb ? LogFormat::bar : LogFormat::line;
}

}  // namespace

double monotonic_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

double wall_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

bool use_color(Color color, int fd) {
  if (color != Color::automatic) return color == Color::always;
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(fd) && (no_color == nullptr || *no_color == 0);
}

Console::Console(ConsoleOptions options)
    : options_(std::move(options)),
      format_(resolve(options_.format)),
      color_(use_color(options_.color, STDERR_FILENO)) {}

Console::~Console() {
  finish();
}

void Console::print(const std::string& text) {
  erase_bar();
  write_all(STDERR_FILENO, text + "\n");
  draw_bar();
}

void Console::erase_bar() {
  if (drawn_ == 0) return;
  std::string codes = "\r";
  for (int i = 0; i < drawn_ - 1; ++i) codes += "\x1b[2K\x1b[1A";
  write_all(STDERR_FILENO, codes + "\x1b[2K");
  drawn_ = 0;
}

void Console::draw_bar() {
  if (format_ != LogFormat::bar || bar_.empty()) return;
  std::string text;
  for (size_t i = 0; i < bar_.size(); ++i) {
    if (i > 0) text += "\n";
    text += color_ && i == 0 ? "\x1b[36m" + bar_[i] + "\x1b[0m" : bar_[i];
  }
  write_all(STDERR_FILENO, text);
  drawn_ = static_cast<int>(bar_.size());
}

void Console::to_file(const std::string& line) {
  if (options_.log_file.empty()) return;
  const int fd = open(options_.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;  // the log file is a copy of what was shown
  write_all(fd, line + "\n");
  close(fd);
}

void Console::head(const std::string& label, const std::string& text) {
  const std::string line = event_line(utc_time(wall_seconds()), "plan", {{label, text}});
  to_file(line);
  if (options_.quiet) return;
  if (format_ == LogFormat::bar) {
    std::string padded = label;
    padded.resize(std::max<size_t>(padded.size() + 1, 9), ' ');
    print("  " + padded + text);
  } else if (format_ == LogFormat::json) {
    event("plan", {{label, text}}, "");
  } else {
    print(line);
  }
}

void Console::event(const std::string& name, const Fields& fields, const std::string& sentence) {
  const std::string line = event_line(utc_time(wall_seconds()), name, fields);
  if (name != "plan" || format_ != LogFormat::json) to_file(line);
  if (options_.quiet && name != "warn") return;
  if (format_ == LogFormat::bar) {
    if (!sentence.empty()) print(sentence);
  } else if (format_ == LogFormat::json) {
    JsonValue object;
    object.set("time", utc_time(wall_seconds()));
    object.set("event", name);
    for (const auto& [key, value] : fields) object.set(key, value);
    print(to_json(object));
  } else {
    print(line);
  }
}

void Console::warning(const std::string& code, const std::string& text, const std::string& hint) {
  Fields fields{{"code", code}, {"what", text}};
  if (!hint.empty()) fields.emplace_back("hint", hint);
  const std::string label =
      color_ ? "\x1b[33mwarning[" + code + "]\x1b[0m" : "warning[" + code + "]";
  event("warn", fields, label + ": " + text + (hint.empty() ? "" : "; " + hint));
}

bool Console::progress_due() const {
  const double wait = format_ == LogFormat::bar ? kRedraw : options_.every;
  return monotonic_seconds() - last_progress_ >= wait;
}

void Console::progress(const Progress& p) {
  if (!progress_due()) return;
  last_progress_ = monotonic_seconds();
  if (format_ != LogFormat::bar) {
    event("train", progress_fields(p), "");
    return;
  }
  if (last_progress_ - last_line_ >= options_.every) {
    last_line_ = last_progress_;
    to_file(event_line(utc_time(wall_seconds()), "train", progress_fields(p)));
  }
  if (options_.quiet) return;
  erase_bar();
  bar_ = bar_lines(p, terminal_columns() - 1);
  draw_bar();
}

void Console::evaluating(int64_t done, int64_t total) {
  if (!progress_due()) return;
  last_progress_ = monotonic_seconds();
  if (format_ != LogFormat::bar) {
    event("evaluate", {{"done", std::to_string(done) + "/" + std::to_string(total)}}, "");
    return;
  }
  if (options_.quiet) return;
  erase_bar();
  bar_ = {"evaluating   " + grouped(done) + "/" + grouped(total) + " samples"};
  draw_bar();
}

void Console::finish() {
  erase_bar();
  bar_.clear();
}

}  // namespace sing::train
