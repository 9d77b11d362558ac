#pragma once
#include <string>

#include "sing/core/export.h"
#include "sing/train/progress.h"

namespace sing::train {

enum class LogFormat : uint8_t { automatic, bar, line, json };
enum class Color : uint8_t { automatic, always, never };

struct ConsoleOptions {
  LogFormat format = LogFormat::automatic;  ///< automatic: bar on a terminal, else line
  Color color = Color::automatic;           ///< automatic: on a terminal unless NO_COLOR is set
  double every = 30;                        ///< seconds between `train` lines
  bool quiet = false;                       ///< warnings and errors only
  std::string log_file;                     ///< gets the line form as well; empty: none
};

/// The one place that writes progress: to stderr, as a bar that stays in place on a terminal (at
/// most 10 redraws a second) or as key=value or JSON lines elsewhere. One thread.
class SING_API Console {
 public:
  explicit Console(ConsoleOptions options);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// A line of the opening block: "model    vit_s ...". Lines form: one event with the fields.
  void head(const std::string& label, const std::string& text);
  /// An event with its key=value form; `sentence` is what a terminal shows instead ("" for
  /// nothing).
  void event(const std::string& name, const Fields& fields, const std::string& sentence);
  void warning(const std::string& code, const std::string& text, const std::string& hint = {});
  /// The moving part; shows it only when it is due.
  void progress(const Progress& progress);
  /// How far an evaluation is; shown like progress(), when it is due.
  void evaluating(int64_t done, int64_t total);
  /// True when progress() would show something now: collecting the numbers may cost something.
  bool progress_due() const;
  /// Takes the bar away for good.
  void finish();
  bool is_bar() const { return format_ == LogFormat::bar; }

 private:
  void print(const std::string& text);
  void erase_bar();
  void draw_bar();
  void to_file(const std::string& line);

  ConsoleOptions options_;
  LogFormat format_;
  bool color_;
  double last_progress_ = -1e9, last_line_ = -1e9;
  std::vector<std::string> bar_;
  int drawn_ = 0;
};

/// Whether `fd` is a terminal that wants colours under `color`.
SING_API bool use_color(Color color, int fd);
SING_API double monotonic_seconds();
SING_API double wall_seconds();

}  // namespace sing::train
