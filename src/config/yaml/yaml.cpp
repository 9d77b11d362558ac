#include "sing/config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "config/text.h"

// The only use of yaml-cpp, and only of its event interface: its node interface takes quadratic
// time, follows aliases without limit and drops duplicate keys, differently in each version.
namespace sing::config {
namespace {

// Ends the parsing from inside an event; the reason is in the problems already.
struct Abandon {};

// Byte positions in a text to lines and columns.
class Positions {
 public:
  explicit Positions(std::string_view text) : text_(text), starts_{0} {
    for (size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') starts_.push_back(i + 1);
  }

  Origin at(const std::shared_ptr<const Source>& source, size_t byte, int length) const {
    byte = std::min(byte, text_.size());
    const auto next = std::upper_bound(starts_.begin(), starts_.end(), byte);
    const size_t start = *(next - 1);
    const int column = detail::count_characters(text_.substr(start, byte - start)) + 1;
    return {source, static_cast<int>(next - starts_.begin()), column, length, {}};
  }

  /// The first line, from 1, of more than `bytes`.
  std::optional<int> longer_line(size_t bytes) const {
    for (size_t i = 0; i < starts_.size(); ++i)
      if ((i + 1 < starts_.size() ? starts_[i + 1] - 1 : text_.size()) - starts_[i] > bytes)
        return static_cast<int>(i) + 1;
    return std::nullopt;
  }

  std::vector<std::string> lines() const {
    std::vector<std::string> result;
    for (size_t i = 0; i < starts_.size(); ++i) {
      const size_t end = i + 1 < starts_.size() ? starts_[i + 1] - 1 : text_.size();
      result.emplace_back(text_.substr(starts_[i], end - starts_[i]));
      if (!result.back().empty() && result.back().back() == '\r') result.back().pop_back();
    }
    return result;
  }

 private:
  std::string_view text_;
  std::vector<size_t> starts_;
};

class Builder : public YAML::EventHandler {
 public:
  Builder(std::string_view text, size_t first_byte, std::shared_ptr<const Source> source,
          const Positions& positions, Problems& problems, const YamlLimits& limits)
      : text_(text),
        first_byte_(first_byte),
        source_(std::move(source)),
        positions_(positions),
        problems_(problems),
        limits_(limits) {}

  /// After the last event.
  std::optional<Value> take() {
    for (const Origin& at : long_keys_)
      problems_.error(code::kRefusedYaml, "a key must be a single word", at);
    return std::move(root_);
  }

  Origin origin(const YAML::Mark& mark, int length = 1) const {
    return positions_.at(source_, byte_of(mark), length);
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    if (text_.substr(std::min(byte_of(mark), text_.size())).substr(0, 3) != "---")
      problems_.error(code::kSyntax, "this is not YAML: the list or map before it ended already",
                      origin(mark));
    else
      problems_.error(code::kRefusedYaml, "a second document in one file", origin(mark),
                      "one file is one config");
    throw Abandon{};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_properties(mark, anchor, "?");
    const std::string_view rest = text_.substr(std::min(byte_of(mark), text_.size()));
    for (const std::string_view word : {"null", "~", "Null", "NULL"}) {
      if (rest.substr(0, word.size()) != word || (!expects_key() && is_key(rest, word.size())))
        continue;
      Origin at = origin(mark, static_cast<int>(word.size()));
      // Only `null` means null; the others are words like any other.
      add(word == "null" && !expects_key() ? Value::none(at)
                                           : Value::scalar(std::string(word), at));
      return;
    }
    if (expects_key()) {
      add(Value::scalar({}, origin(mark)));
      return;
    }
    Value nothing;
    nothing.origin = pending_ ? pending_key_.origin : origin(mark);
    add(std::move(nothing));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases (*name) are not read");
    add(Value::none(origin(mark)));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_properties(mark, anchor, tag);
    if (value.size() > limits_.scalar_bytes) too_large(mark, "a text over ", limits_.scalar_bytes);
    const size_t byte = byte_of(mark);
    const char first = byte < text_.size() ? text_[byte] : ' ';
    const bool quoted = first == '"' || first == '\'' || first == '|' || first == '>';
    // Characters to underline: those on the first line.
    const size_t line_end = std::min(value.find('\n'), value.size());
    const int length = detail::count_characters(std::string_view(value).substr(0, line_end)) +
                       (first == '"' || first == '\'' ? 2 : 0);
    add(Value::scalar(value, origin(mark, std::max(1, length)), quoted));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_properties(mark, anchor, tag);
    open(mark, Value::list(origin(mark)));
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_properties(mark, anchor, tag);
    open(mark, Value::map(origin(mark)));
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Value value;
    bool keyed = false;  // its key in the outer map: `key`
    bool dropped = false;
    Value::Entry key;
    std::unordered_map<std::string, int> lines;  // of the keys of this map
  };

  size_t byte_of(const YAML::Mark& mark) const {
    return first_byte_ + static_cast<size_t>(std::max(0, mark.pos));
  }
  bool expects_key() const { return !open_.empty() && open_.back().value.is_map() && !pending_; }

  // Whether a word is followed by ':' and so is the next key, not an explicit null.
  static bool is_key(std::string_view rest, size_t word) {
    const size_t next = rest.find_first_not_of(" \t", word);
    return next != std::string_view::npos && rest[next] == ':';
  }

  void refuse(const YAML::Mark& mark, std::string what) {
    problems_.error(code::kRefusedYaml, std::move(what), origin(mark),
                    "write the value out, or put it in a file for 'extends'");
  }

  void refuse_properties(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& tag) {
    const size_t byte = byte_of(mark);
    const char first = byte < text_.size() ? text_[byte] : ' ';
    if (anchor != 0 || first == '&') return refuse(mark, "anchors (&name) are not read");
    if (first == '!' || (tag != "?" && tag != "!" && !tag.empty()))
      refuse(mark, "tags (!name) are not read");
  }

  [[noreturn]] void too_large(const YAML::Mark& mark, const char* what, size_t limit) {
    problems_.error(code::kTooLarge, std::string(what) + std::to_string(limit), origin(mark));
    throw Abandon{};
  }

  void count(const YAML::Mark& mark) {
    if (++nodes_ > limits_.nodes)
      too_large(mark, "more values than ", static_cast<size_t>(limits_.nodes));
  }

  void open(const YAML::Mark& mark, Value value) {
    count(mark);
    if (static_cast<int>(open_.size()) >= limits_.depth)
      too_large(mark, "nested deeper than ", static_cast<size_t>(limits_.depth));
    Open next;
    if (expects_key()) {
      long_keys_.push_back(value.origin);
      next.dropped = true;
    } else if (pending_) {
      next.keyed = true;
      next.dropped = pending_dropped_;
      next.key = std::move(pending_key_);
      pending_ = false;
    }
    next.value = std::move(value);
    open_.push_back(std::move(next));
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    if (done.dropped && !done.keyed) {  // stood in a key's place
      pending_ = true;
      pending_dropped_ = true;
      pending_key_ = {};
      return;
    }
    if (done.keyed) {
      pending_ = true;
      pending_dropped_ = done.dropped;
      pending_key_ = std::move(done.key);
    }
    place(std::move(done.value));
  }

  void add(Value value) {
    if (++nodes_ > limits_.nodes) {
      problems_.error(code::kTooLarge, "more values than " + std::to_string(limits_.nodes),
                      value.origin);
      throw Abandon{};
    }
    if (expects_key()) {
      take_key(std::move(value));
    } else {
      place(std::move(value));
    }
  }

  void take_key(Value key) {
    Open& map = open_.back();
    pending_ = true;
    pending_dropped_ = false;
    if (key.text == "<<") {
      problems_.error(code::kRefusedYaml, "merge keys (<<) are not read", key.origin,
                      "use 'extends'");
      pending_dropped_ = true;
    }
    const auto [first, fresh] = map.lines.emplace(key.text, key.origin.line);
    if (!fresh) {
      problems_.error(code::kDuplicateKey, "duplicate key '" + detail::shorten(key.text) + "'",
                      key.origin,
                      "it is set in line " + std::to_string(first->second) + " already");
      pending_dropped_ = true;
    }
    pending_key_ = {std::move(key.text), std::move(key.origin), {}};
  }

  void place(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& outer = open_.back();
    if (outer.value.is_list()) {
      outer.value.items.push_back(std::move(value));
      return;
    }
    pending_ = false;
    if (pending_dropped_) return;
    pending_key_.value = std::move(value);
    outer.value.entries.push_back(std::move(pending_key_));
  }

  std::string_view text_;
  size_t first_byte_;
  std::shared_ptr<const Source> source_;
  const Positions& positions_;
  Problems& problems_;
  const YamlLimits& limits_;
  std::vector<Open> open_;
  std::optional<Value> root_;
  // Lists and maps in place of keys. Held back, since a list that is never closed looks like one
  // too.
  std::vector<Origin> long_keys_;
  Value::Entry pending_key_;
  bool pending_ = false, pending_dropped_ = false;
  int nodes_ = 0, documents_ = 0;
};

// Parses text.substr(first_byte); positions count in the whole text.
std::optional<Value> parse(std::string_view text, size_t first_byte,
                           const std::shared_ptr<const Source>& source, const Positions& positions,
                           Problems& problems, const YamlLimits& limits) {
  Builder builder(text, first_byte, source, positions, problems, limits);
  try {
    std::istringstream stream{std::string(text.substr(first_byte))};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Abandon&) {
  } catch (const YAML::Exception& e) {
    const Origin at = builder.origin(e.mark);
    const size_t byte = first_byte + static_cast<size_t>(std::max(0, e.mark.pos));
    if (byte < text.size() && text[byte] == '*') {
      problems.error(code::kRefusedYaml, "aliases (*name) are not read", at,
                     "a text that starts with * needs quotes");
    } else {
      problems.error(code::kSyntax, "this is not YAML: " + e.msg, at);
    }
  }
  return std::nullopt;
}

// What no config holds: a byte that is no UTF-8, or a control character.
size_t foreign_byte(std::string_view text) {
  const size_t end = utf8_error(text);
  for (size_t i = 0; i < end; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F) return i;
  }
  return end;
}

}  // namespace

std::optional<Value> read_yaml(std::string_view text, const std::string& source_name,
                               Problems& problems, const YamlLimits& limits) {
  auto source = std::make_shared<Source>();
  source->name = source_name;
  if (text.size() > limits.bytes) {
    problems.error(code::kTooLarge, "a config over " + std::to_string(limits.bytes) + " bytes",
                   {source, 0, 0, 0, {}});
    return std::nullopt;
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  const Positions positions(text);
  // The parser looks for a ':' up to the end of a line before it tells what is open, so lines have
  // the limit of scalars.
  if (const auto line = positions.longer_line(limits.scalar_bytes)) {
    problems.error(code::kTooLarge, "a line over " + std::to_string(limits.scalar_bytes) + " bytes",
                   {source, *line, 0, 0, {}});
    return std::nullopt;
  }
  source->lines = positions.lines();
  if (const size_t bad = foreign_byte(text); bad < text.size()) {
    problems.error(code::kSyntax, "this is not text in UTF-8", positions.at(source, bad, 1));
    return std::nullopt;
  }
  const size_t before = problems.error_count();
  std::optional<Value> tree = parse(text, 0, source, positions, problems, limits);
  if (tree && tree->is_null()) tree = Value::map(positions.at(source, 0, 1));
  if (!tree && problems.error_count() == before) tree = Value::map(positions.at(source, 0, 1));
  return tree;
}

std::optional<Value> read_override_value(const std::shared_ptr<const Source>& word, size_t start,
                                         Problems& problems, const YamlLimits& limits) {
  const std::string& text = word->name;
  const Positions positions(text);
  const std::string_view value = std::string_view(text).substr(start);
  const Origin at = positions.at(word, start, std::max(1, detail::count_characters(value)));
  if (text.size() > limits.scalar_bytes) {
    problems.error(code::kTooLarge,
                   "an override over " + std::to_string(limits.scalar_bytes) + " bytes", at);
    return std::nullopt;
  }
  if (foreign_byte(text) < text.size() || text.find('\n') != std::string::npos) {
    problems.error(code::kBadOverride, "an override is one line of UTF-8", at);
    return std::nullopt;
  }
  if (value == "null") return Value::none(at);
  if (value.empty()) {
    Value nothing;
    nothing.origin = at;
    return nothing;
  }
  if (std::string_view("{[\"'").find(value[0]) == std::string_view::npos)
    return Value::scalar(std::string(value), at);
  return parse(text, start, word, positions, problems, limits);
}

}  // namespace sing::config
