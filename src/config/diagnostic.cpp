#include "sing/config/diagnostic.h"

#include <algorithm>
#include <utility>

#include "config/text.h"

namespace sing::config {

std::span<const ErrorCode> error_codes() {
  static const std::vector<ErrorCode> codes{
      {code::kGeneral, "the command line or the config is not usable"},
      {code::kUnknownKey, "a key that nothing reads; keys are never ignored"},
      {code::kSyntax, "the text is not YAML"},
      {code::kRefusedYaml,
       "YAML that SING does not read: anchors, aliases, tags, merge keys, several documents"},
      {code::kDuplicateKey, "the same key twice in one map"},
      {code::kTooLarge, "a config larger or deeper than any real one"},
      {code::kMissingKey, "a required key is not there"},
      {code::kWrongType, "a value that cannot be read as what the key holds"},
      {code::kOutOfRange, "a value outside the allowed range"},
      {code::kUnknownWord, "a word that is not among the choices of the key"},
      {code::kUnknownComponent, "a component name that is not registered"},
      {code::kConflict, "values that do not fit together"},
      {code::kBadOverride, "an override on the command line that cannot be applied"},
      {code::kExtends, "a file named by 'extends' cannot be used"},
      {code::kReference, "a ${...} that cannot be replaced"},
      {code::kUnnamedComponent, "a component without its 'name'"},
      {code::kNotSet, "null or nothing where a value is needed"},
      {code::kUnreadable, "a config file that cannot be read"},
  };
  return codes;
}

namespace {

bool same_place(const Origin& a, const Origin& b) {
  return a.source && a.source == b.source && a.line == b.line && a.column == b.column;
}

}  // namespace

void Problems::add(Diagnostic diagnostic) {
  if (!diagnostic.code.empty() && diagnostic.code[0] == 'W') {
    if (warnings_.size() < limit_) warnings_.push_back(std::move(diagnostic));
    return;
  }
  // A ${...} that could not be replaced has no type either; saying so again would not help.
  for (const Diagnostic& known : errors_)
    if (known.code == code::kReference && same_place(known.origin, diagnostic.origin)) return;
  ++error_count_;
  if (errors_.size() < limit_) errors_.push_back(std::move(diagnostic));
}

void Problems::error(const char* error_code, std::string what, const Origin& origin,
                     std::string hint) {
  add({error_code, std::move(what), origin, std::move(hint), {}});
}

void Problems::raise() const {
  if (!ok()) throw ConfigErrors(errors_, error_count_);
}

namespace {

std::string first_what(const std::vector<Diagnostic>& all) {
  return all.empty() ? std::string("the config is not usable") : all.front().what;
}
std::string first_code(const std::vector<Diagnostic>& all) {
  return all.empty() ? std::string(code::kGeneral) : all.front().code;
}
std::string first_place(const std::vector<Diagnostic>& all) {
  return all.empty() || !all.front().origin.source ? std::string() : place(all.front().origin);
}
std::string first_hint(const std::vector<Diagnostic>& all) {
  return all.empty() ? std::string() : all.front().hint;
}

// What fits beside the gutter on one screen line. Tabs become blanks so that the caret stays below
// its column.
struct Excerpt {
  std::string text;
  int column;
};

Excerpt excerpt_of(const std::string& line, int column) {
  constexpr int kBefore = 70, kTotal = 160;
  std::vector<std::string> characters;
  for (const char c : line) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80 || characters.empty())
      characters.emplace_back();
    characters.back() += c == '\t' || c == '\r' ? ' ' : c;
  }
  const int size = static_cast<int>(characters.size());
  const int first = size > kTotal ? std::max(0, column - 1 - kBefore) : 0;
  Excerpt result{first > 0 ? "..." : "", column - first + (first > 0 ? 3 : 0)};
  for (int i = first; i < std::min(size, first + kTotal); ++i) result.text += characters[i];
  if (first + kTotal < size) result.text += "...";
  while (!result.text.empty() && result.text.back() == ' ') result.text.pop_back();
  return result;
}

}  // namespace

ConfigErrors::ConfigErrors(std::vector<Diagnostic> diagnostics, size_t count)
    : ConfigError(first_what(diagnostics), first_place(diagnostics), first_hint(diagnostics),
                  first_code(diagnostics)),
      diagnostics_(std::move(diagnostics)),
      count_(std::max(count, diagnostics_.size())) {}

ConfigErrors::~ConfigErrors() = default;

std::string render(const Diagnostic& diagnostic, std::string_view program) {
  const bool warning = !diagnostic.code.empty() && diagnostic.code[0] == 'W';
  std::string out = std::string(program) + (program.empty() ? "" : ": ") +
                    (warning ? "warning[" : "error[") + diagnostic.code + "]: " + diagnostic.what +
                    "\n";
  const Origin& origin = diagnostic.origin;
  bool hint_shown = diagnostic.hint.empty();
  if (origin.source) {
    out += "  --> " + place(origin) + "\n";
    const auto& lines = origin.source->lines;
    if (origin.line > 0 && origin.column > 0 && static_cast<size_t>(origin.line) <= lines.size()) {
      const Excerpt excerpt =
          excerpt_of(lines[static_cast<size_t>(origin.line) - 1], origin.column);
      const bool file = origin.source->kind == Source::Kind::file;
      std::string number = file ? std::to_string(origin.line) : "";
      number.insert(0, number.size() < 4 ? 4 - number.size() : 0, ' ');
      out += number + " | " + excerpt.text + "\n";
      const int room = detail::count_characters(excerpt.text) - excerpt.column + 1;
      const int carets = std::max(1, std::min(origin.length, room));
      out += std::string(number.size(), ' ') + " | " +
             std::string(static_cast<size_t>(std::max(0, excerpt.column - 1)), ' ') +
             std::string(static_cast<size_t>(carets), '^');
      if (!hint_shown) out += " " + diagnostic.hint;
      out += "\n";
      hint_shown = true;
    }
  }
  if (!hint_shown) out += "  " + diagnostic.hint + "\n";
  if (!diagnostic.known_keys.empty()) out += "  " + diagnostic.known_keys + "\n";
  return out;
}

std::string render(const ConfigErrors& errors, std::string_view program) {
  std::string out;
  for (const Diagnostic& diagnostic : errors.diagnostics()) out += render(diagnostic, program);
  if (errors.count() > errors.diagnostics().size())
    out += "... and " + std::to_string(errors.count() - errors.diagnostics().size()) + " more\n";
  out += std::to_string(errors.count()) + (errors.count() == 1 ? " error" : " errors") +
         "; nothing was started\n";
  return out;
}

}  // namespace sing::config
