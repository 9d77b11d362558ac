#include "sing/nn/freeze.h"

#include <algorithm>
#include <array>

namespace sing::nn {
namespace {

constexpr std::array kTags{Tag::weight,   Tag::bias,  Tag::norm,  Tag::embedding,
                           Tag::position, Tag::token, Tag::scale, Tag::head};

int64_t set_trainable(Module& module, const Matcher& matcher, bool on) {
  int64_t count = 0;
  for (Parameter* p : module.parameters()) {
    if (!matcher.matches(*p)) continue;
    ++count;
    p->trainable = on;
    if (!p->working.defined()) continue;
    if (!on && p->grad().defined()) p->working.set_grad({});
    p->working.set_requires_grad(on);
  }
  return count;
}

}  // namespace

std::string_view name_of(Tag tag) {
  switch (tag) {
    case Tag::weight:
      return "weight";
    case Tag::bias:
      return "bias";
    case Tag::norm:
      return "norm";
    case Tag::embedding:
      return "embedding";
    case Tag::position:
      return "position";
    case Tag::token:
      return "token";
    case Tag::scale:
      return "scale";
    case Tag::head:
      return "head";
  }
  return "";
}

std::span<const Tag> all_tags() {
  return kTags;
}

std::optional<Tag> tag_from_name(std::string_view name) {
  for (const Tag tag : kTags)
    if (name_of(tag) == name) return tag;
  return std::nullopt;
}

std::string tags_text(uint32_t tags) {
  std::string text;
  for (const Tag tag : kTags) {
    if (!has_tag(tags, tag)) continue;
    if (!text.empty()) text += ", ";
    text += name_of(tag);
  }
  return text;
}

// Linear with one memory: after a mismatch only the last star can usefully take one letter more.
bool fits_pattern(std::string_view text, std::string_view pattern) {
  size_t t = 0, p = 0, star = std::string_view::npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool Matcher::matches(std::string_view name, uint32_t parameter_tags) const {
  if (tags != 0 && (tags & parameter_tags) == 0) return false;
  return names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& pattern) {
           return fits_pattern(name, pattern);
         });
}

int64_t freeze(Module& module, const Matcher& matcher) {
  return set_trainable(module, matcher, false);
}
int64_t unfreeze(Module& module, const Matcher& matcher) {
  return set_trainable(module, matcher, true);
}
int64_t freeze_norm_affine(Module& module) {
  return freeze(module, {.tags = static_cast<uint32_t>(Tag::norm), .names = {}});
}

}  // namespace sing::nn
