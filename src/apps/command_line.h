#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sing::apps {

/// One flag. The table of a verb generates parsing and help; nothing about a flag is said twice.
struct Option {
  std::string name;          ///< long form without dashes
  char letter = 0;           ///< short form, 0 for none
  std::string argument;      ///< "FILE"; empty for a switch
  std::string group;         ///< heading in the help: Config, Run, Display, Help
  std::string help;          ///< one line
  std::string default_text;  ///< shown in brackets; empty for none
  bool repeatable = false;
  bool optional_argument = false;  ///< `--print-config[=full]`
  bool advanced = false;           ///< only in --help-all
};

/// What was typed, checked against the table.
class Arguments {
 public:
  bool has(std::string_view option) const { return values_.contains(std::string(option)); }
  /// The last value given, or the fallback.
  std::string get(std::string_view option, std::string fallback = {}) const;
  std::vector<std::string> all(std::string_view option) const;
  /// Throws ConfigError (E0270) unless a whole number in [low, high].
  std::optional<int64_t> integer(std::string_view option, int64_t low, int64_t high) const;

  std::vector<std::string> words;      ///< that are no overrides
  std::vector<std::string> overrides;  ///< `key=value`, `key+=value`, `~key`

 private:
  friend Arguments parse(const std::vector<Option>&, const std::vector<std::string>&,
                         const std::string&);
  std::map<std::string, std::vector<std::string>> values_;
};

/// Throws ConfigError (E0270..E0272) that names the nearest known flag. `program` is used in hints.
Arguments parse(const std::vector<Option>& options, const std::vector<std::string>& words,
                const std::string& program);

/// True for words that change a config: `a.b=c`, `a+=c`, `~a.b`.
bool is_override(std::string_view word);

}  // namespace sing::apps
