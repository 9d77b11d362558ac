#include "apps/command_line.h"

#include <algorithm>
#include <charconv>

#include "sing/core/error.h"
#include "sing/core/suggest.h"

namespace sing::apps {
namespace {

const Option* find(const std::vector<Option>& options, std::string_view name) {
  const auto it =
      std::find_if(options.begin(), options.end(), [&](const Option& o) { return o.name == name; });
  return it == options.end() ? nullptr : &*it;
}

const Option* find(const std::vector<Option>& options, char letter) {
  const auto it = std::find_if(options.begin(), options.end(),
                               [&](const Option& o) { return o.letter == letter; });
  return it == options.end() ? nullptr : &*it;
}

[[noreturn]] void unknown_flag(const std::vector<Option>& options, const std::string& flag,
                               const std::string& program) {
  std::vector<std::string> names;
  for (const Option& option : options) names.push_back(option.name);
  const size_t dashes = std::min(flag.find_first_not_of('-'), flag.size());
  const std::string near = nearest_name(flag.substr(dashes), names);
  throw ConfigError("unknown flag '" + flag + "'", {},
                    near.empty() ? "see " + program + " --help" : "did you mean '--" + near + "'?",
                    "E0270");
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

}  // namespace

bool is_override(std::string_view word) {
  if (word.size() > 1 && word[0] == '~') return true;
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  std::string_view key = word.substr(0, equals);
  if (key.ends_with('+')) key.remove_suffix(1);
  return !key.empty() && std::all_of(key.begin(), key.end(), is_name_character);
}

std::string Arguments::get(std::string_view option, std::string fallback) const {
  const auto it = values_.find(std::string(option));
  return it == values_.end() || it->second.empty() ? std::move(fallback) : it->second.back();
}

std::vector<std::string> Arguments::all(std::string_view option) const {
  const auto it = values_.find(std::string(option));
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

std::optional<int64_t> Arguments::integer(std::string_view option, int64_t low,
                                          int64_t high) const {
  if (!has(option)) return std::nullopt;
  const std::string text = get(option);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    throw ConfigError("--" + std::string(option) + " wants a whole number from " +
                          std::to_string(low) + " to " + std::to_string(high) + ", got '" + text +
                          "'",
                      {}, {}, "E0272");
  return value;
}

Arguments parse(const std::vector<Option>& options, const std::vector<std::string>& words,
                const std::string& program) {
  Arguments result;
  bool only_words = false;
  const auto set = [&](const Option& option, std::string value) {
    std::vector<std::string>& values = result.values_[option.name];
    if (!values.empty() && !option.repeatable)
      throw ConfigError("--" + option.name + " is given twice", {}, {}, "E0271");
    values.push_back(std::move(value));
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (only_words || word.size() < 2 || word[0] != '-') {
      (is_override(word) ? result.overrides : result.words).push_back(word);
      continue;
    }
    if (word == "--") {
      only_words = true;
      continue;
    }
    const size_t equals = word.find('=');
    const Option* option = nullptr;
    std::optional<std::string> attached;
    if (word[1] == '-') {
      option = find(options, word.substr(2, equals == std::string::npos ? equals : equals - 2));
      if (equals != std::string::npos) attached = word.substr(equals + 1);
    } else {
      option = find(options, word[1]);
      if (option && word.size() > 2) {
        if (option->argument.empty()) unknown_flag(options, word, program);
        attached = word.substr(word[2] == '=' ? 3 : 2);
      }
    }
    if (option == nullptr) unknown_flag(options, word.substr(0, equals), program);
    if (option->argument.empty()) {
      if (attached) throw ConfigError("--" + option->name + " takes no value", {}, {}, "E0271");
      set(*option, "");
    } else if (attached) {
      set(*option, *attached);
    } else if (option->optional_argument) {
      set(*option, "");
    } else if (i + 1 < words.size()) {
      set(*option, words[++i]);
    } else {
      throw ConfigError(
          "--" + option->name + " wants a value: --" + option->name + " " + option->argument, {},
          {}, "E0271");
    }
  }
  return result;
}

}  // namespace sing::apps
