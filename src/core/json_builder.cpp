#include <algorithm>
#include <string_view>

#include "sing/core/json.h"
#include "sing/core/utf8.h"

namespace sing {
namespace {

// Builds a value from events. Open containers are kept beside each other, not inside one another,
// so that nothing here recurses.
class Builder : public JsonEvents {
 public:
  bool on_null() override { return put({}); }
  bool on_boolean(bool v) override { return put(v); }
  bool on_integer(int64_t v) override { return put(v); }
  bool on_unsigned(uint64_t v) override { return put(v); }
  bool on_number(double v) override { return put(v); }
  bool on_string(std::string_view v) override { return put(v); }
  bool on_key(std::string_view v) override {
    open_.back().key = v;
    return true;
  }
  bool on_start_object() override {
    open_.push_back({true, {}, {}, {}});
    return true;
  }
  bool on_start_array() override {
    open_.push_back({false, {}, {}, {}});
    return true;
  }
  bool on_end_array() override {
    JsonValue done = JsonValue::array(std::move(open_.back().items));
    open_.pop_back();
    return put(std::move(done));
  }
  bool on_end_object() override {
    JsonValue::Object members = std::move(open_.back().members);
    open_.pop_back();
    std::vector<std::string_view> keys;
    for (const auto& member : members) keys.push_back(member.first);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) {
      refusal_ = "the key '" + printable(*twice) + "' appears twice in one object";
      return false;
    }
    return put(JsonValue::object(std::move(members)));
  }
  std::string refusal() const override { return refusal_; }
  JsonValue take() { return std::move(root_); }

 private:
  struct Open {
    bool is_object;
    std::string key;
    JsonValue::Array items;
    JsonValue::Object members;
  };

  bool put(JsonValue value) {
    if (open_.empty())
      root_ = std::move(value);
    else if (open_.back().is_object)
      open_.back().members.emplace_back(std::move(open_.back().key), std::move(value));
    else
      open_.back().items.push_back(std::move(value));
    return true;
  }

  std::vector<Open> open_;
  JsonValue root_;
  std::string refusal_;
};

}  // namespace

Result<JsonValue> read_json(std::string_view text, const JsonLimits& limits) {
  Builder builder;
  const auto read = read_json_events(text, builder, limits);
  if (!read.ok()) return read.error();
  return builder.take();
}

JsonValue parse_json(std::string_view text, const std::string& name, const JsonLimits& limits) {
  auto value = read_json(text, limits);
  if (!value.ok())
    throw DataError(value.error().what, name + ", byte " + std::to_string(value.error().offset), {},
                    "E0310");
  return std::move(value).value();
}

}  // namespace sing
