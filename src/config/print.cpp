#include "sing/config/print.h"

#include <algorithm>
#include <functional>

#include "config/text.h"
#include "sing/config/component.h"
#include "sing/core/byte_reader.h"
#include "sing/core/sha256.h"

namespace sing::config {
namespace {

bool plain_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_./+-%:").find(c) != std::string_view::npos;
}

// Whether a text can stand without quotes anywhere in the YAML written here.
bool plain(std::string_view text) {
  if (text.empty() || text == "null" || text == "Null" || text == "NULL") return false;
  if (text[0] == '%' || text[0] == ':' || text.back() == ':') return false;
  if (text == "-" || text.substr(0, 3) == "---" || text.substr(0, 3) == "...") return false;
  return std::all_of(text.begin(), text.end(), plain_character);
}

std::string quote(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string word(std::string_view text) {
  return plain(text) ? std::string(text) : quote(text);
}

bool single(const Value& value) {
  return value.is_scalar() || value.is_null();
}

std::string single_text(const Value& value) {
  return value.is_null() ? std::string("null") : word(value.text);
}

using CommentFor = std::function<std::string(const std::string& path)>;

class Writer {
 public:
  explicit Writer(CommentFor comment) : comment_(std::move(comment)) {}

  void map(const Value& value, size_t indent, const std::string& path, bool first_indented) {
    for (const Value::Entry& entry : value.entries) {
      if (!first_indented) out_.append(indent, ' ');
      first_indented = false;
      out_ += word(entry.key) + ":";
      node(entry.value, indent + 2, detail::join(path, entry.key));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  // Behind "key:"; ends the line.
  void node(const Value& value, size_t indent, const std::string& path) {
    if (value.is_map() && !value.entries.empty()) {
      out_ += "\n";
      map(value, indent, path, false);
    } else if (value.is_list() && !std::all_of(value.items.begin(), value.items.end(), single)) {
      out_ += "\n";
      list(value, indent, path);
    } else {
      out_ += " ";
      leaf(value, path);
    }
  }

  void leaf(const Value& value, const std::string& path) {
    if (value.is_map()) {
      out_ += "{}";
    } else if (value.is_list()) {
      out_ += "[";
      for (const Value& item : value.items)
        out_ += (&item == &value.items.front() ? "" : ", ") + single_text(item);
      out_ += "]";
    } else {
      out_ += single_text(value);
    }
    if (comment_) out_ += "  # " + comment_(path);
    out_ += "\n";
  }

  void list(const Value& value, size_t indent, const std::string& path) {
    for (size_t i = 0; i < value.items.size(); ++i) {
      const Value& item = value.items[i];
      const std::string item_path = detail::join(path, std::to_string(i));
      out_.append(indent, ' ');
      out_ += "-";
      if (item.is_map() && !item.entries.empty()) {
        out_ += " ";
        map(item, indent + 2, item_path, true);
      } else {
        node(item, indent + 2, item_path);
      }
    }
  }

  CommentFor comment_;
  std::string out_;
};

std::string write_root(const Value& tree, CommentFor comment) {
  Writer writer(std::move(comment));
  if (!tree.is_map() || tree.entries.empty()) return tree.is_map() ? "{}\n" : "null\n";
  writer.map(tree, 0, {}, true);
  return writer.take();
}

// A comment stays on its line whatever a file or variable is called.
std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

Value minimal_struct(const StructSchema& schema, const Value& complete, const Value& defaults);

// Nothing to write when the value is the default one; `present` tells.
Value minimal_node(const Type& type, const Value& value, const Value* standard, bool& present) {
  present = !standard || !same_value(value, *standard);
  if (!present) return {};
  if (type.kind == TypeKind::structure && value.is_map()) {
    const bool like = standard && standard->is_map();
    return minimal_struct(type.structure(), value, like ? *standard : type.structure().defaults());
  }
  if (type.kind == TypeKind::component && value.is_map()) {
    const Value* name = value.find("name");
    const ComponentEntry& entry = type.components().get(name->text);
    const Value* standard_name = standard ? standard->find("name") : nullptr;
    const bool like = standard_name && standard_name->text == name->text;
    Value options =
        minimal_struct(entry.schema(), value,
                       like ? *standard : write_struct(entry.schema(), entry.defaults.get()));
    if (options.entries.empty()) return *name;
    Value result = Value::map();
    result.entries.push_back({"name", {}, *name});
    for (Value::Entry& option : options.entries) result.entries.push_back(std::move(option));
    return result;
  }
  if (!type.element) return value;
  Value result = value;
  bool kept = false;
  for (Value& item : result.items) item = minimal_node(*type.element, item, nullptr, kept);
  for (auto& entry : result.entries)
    entry.value = minimal_node(*type.element, entry.value, nullptr, kept);
  return result;
}

Value minimal_struct(const StructSchema& schema, const Value& complete, const Value& defaults) {
  Value result = Value::map();
  for (const Field& field : schema.fields) {
    const Value* value = complete.find(field.name);
    if (!value) continue;
    // A derived default is written out: dropping it would derive it again, maybe differently.
    const bool always = field.required || field.derive;
    bool present = false;
    Value kept =
        minimal_node(field.type, *value, always ? nullptr : defaults.find(field.name), present);
    if (present) result.entries.push_back({field.name, {}, std::move(kept)});
  }
  return result;
}

}  // namespace

std::string to_yaml_line(const Value& tree) {
  std::string out;
  if (tree.is_map()) {
    for (const Value::Entry& entry : tree.entries)
      out += (out.empty() ? "" : ", ") + word(entry.key) + ": " + to_yaml_line(entry.value);
    return "{" + out + "}";
  }
  if (tree.is_list()) {
    for (const Value& item : tree.items) out += (out.empty() ? "" : ", ") + to_yaml_line(item);
    return "[" + out + "]";
  }
  return single_text(tree);
}

std::string to_yaml(const Value& tree) {
  return write_root(tree, {});
}

std::string to_yaml_with_origins(const Value& complete, const Value& written,
                                 const std::vector<std::pair<std::string, std::string>>& derived) {
  return write_root(complete, [&](const std::string& path) -> std::string {
    if (const Value* value = written.find_path(path)) {
      std::string comment = origin_comment(value->origin);
      for (const Value& item : value->items)  // items appended by an override
        if (item.origin.source && item.origin.source != value->origin.source)
          comment += ", item: " + origin_comment(item.origin);
      return one_line(comment);
    }
    for (const auto& [key, reason] : derived)
      if (key == path) return one_line("default " + reason);
    return "default";
  });
}

std::string config_hash(const Value& complete) {
  return sha256_hex(bytes_of(to_yaml(complete)));
}

Value minimal(const StructSchema& schema, const Value& complete) {
  return minimal_struct(schema, complete, schema.defaults());
}

}  // namespace sing::config
