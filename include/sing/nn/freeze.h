#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sing/core/export.h"
#include "sing/nn/module.h"

namespace sing::nn {

/// "weight", "bias", "norm", "embedding", "position", "token", "scale", "head".
SING_API std::string_view name_of(Tag tag);
SING_API std::optional<Tag> tag_from_name(std::string_view name);
SING_API std::span<const Tag> all_tags();
/// "weight, norm".
SING_API std::string tags_text(uint32_t tags);

/// Chooses parameters: it must have one of the tags (if any are given) and a name that fits one of
/// the patterns (if any are given). `*` in a pattern stands for any text, dots included.
struct SING_API Matcher {
  uint32_t tags = 0;
  std::vector<std::string> names;

  bool matches(std::string_view name, uint32_t parameter_tags) const;
  bool matches(const Parameter& p) const { return matches(p.name, p.tags); }
};

SING_API bool fits_pattern(std::string_view text, std::string_view pattern);

/// Frozen parameters get no gradient, do not count in D and are left out of all norms. Before or
/// after `initialize`; a gradient they hold is dropped. Returns how many tensors match.
SING_API int64_t freeze(Module& module, const Matcher& matcher);
SING_API int64_t unfreeze(Module& module, const Matcher& matcher);
/// Freezes the affine part of every normalisation layer; the normalisation itself stays.
SING_API int64_t freeze_norm_affine(Module& module);

}  // namespace sing::nn
