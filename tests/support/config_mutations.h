#pragma once
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sing/config/yaml.h"

namespace sing::testing {

/// A config text with one key misspelt, and where and how.
struct KeyMutation {
  std::string text;
  std::string path;  ///< of the key as it was, "optimizer.host.lr"
  std::string key, mutated;
  int line = 0, column = 0;
};

namespace detail {

inline void mutate_map(const config::Value& node, const std::string& path, const std::string& text,
                       const std::vector<size_t>& starts, std::vector<KeyMutation>& out) {
  for (size_t i = 0; i < node.items.size(); ++i)
    mutate_map(node.items[i], path + "." + std::to_string(i), text, starts, out);
  std::set<std::string> present;
  for (const auto& entry : node.entries) present.insert(entry.key);
  for (const auto& entry : node.entries) {
    const std::string here = path.empty() ? entry.key : path + "." + entry.key;
    mutate_map(entry.value, here, text, starts, out);
    const size_t at = starts[static_cast<size_t>(entry.origin.line) - 1] +
                      static_cast<size_t>(entry.origin.column) - 1;
    if (text.compare(at, entry.key.size(), entry.key) != 0) continue;  // in quotes
    std::set<std::string> words;
    for (size_t i = 0; i < entry.key.size(); ++i) {
      std::string word = entry.key;
      words.insert(word.erase(i, 1));
      word = entry.key;
      if (i + 1 < word.size()) {
        std::swap(word[i], word[i + 1]);
        words.insert(word);
      }
    }
    for (const std::string& word : words) {
      if (word.empty() || word == entry.key || present.contains(word)) continue;
      std::string changed = text;
      changed.replace(at, entry.key.size(), word);
      out.push_back({changed, here, entry.key, word, entry.origin.line, entry.origin.column});
    }
  }
}

}  // namespace detail

/// Every text that comes from `text` (ASCII) by deleting one letter of one key or swapping two
/// neighbours in it. Keys that would become another key of the same map are left out; a word that
/// another schema key happens to have is for the caller to leave out.
inline std::vector<KeyMutation> mutate_keys(const std::string& text) {
  config::Problems problems;
  const auto tree = config::read_yaml(text, "mutations", problems);
  if (!tree || !problems.ok()) throw std::invalid_argument("the text to mutate is no config");
  std::vector<size_t> starts{0};
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n') starts.push_back(i + 1);
  std::vector<KeyMutation> result;
  detail::mutate_map(*tree, "", text, starts, result);
  return result;
}

}  // namespace sing::testing
