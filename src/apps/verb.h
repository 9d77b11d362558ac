#pragma once
#include <functional>
#include <string>
#include <vector>

#include "apps/command_line.h"

namespace sing::apps {

/// One verb of the program; registers itself in its own file (verbs/NAME.cpp).
struct Verb {
  std::string name;
  std::string usage;                  ///< after "sing NAME": "-c FILE [flags] [key=value ...]"
  std::string sentence;               ///< what it does
  std::vector<std::string> examples;  ///< whole command lines
  std::vector<Option> options;
  /// Returns the exit code; errors are thrown.
  std::function<int(const Arguments&)> run;
};

/// Used at namespace scope in the verb's file.
bool register_verb(Verb verb);
/// nullptr when there is none.
const Verb* find_verb(const std::string& name);
/// Sorted by name.
std::vector<const Verb*> verbs();

/// Flags that every verb has (help, version, color, quiet, verbose).
const std::vector<Option>& common_options();
/// The help screen on stdout.
void print_help(const Verb& verb, bool all);
void print_overview();
void print_version(bool json);

/// Words that were no flags and no overrides, where a verb takes none: throws ConfigError (E0273).
void no_words(const Arguments& arguments, const std::string& verb);

}  // namespace sing::apps
