#pragma once
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "sing/core/dtype.h"

namespace sing {

// Spellings of the format for the dtypes we keep.
inline constexpr std::array<std::pair<std::string_view, DType>, 8> kSafetensorsDTypes = {
    {{"F64", DType::f64},
     {"F32", DType::f32},
     {"BF16", DType::bf16},
     {"F16", DType::f16},
     {"I64", DType::i64},
     {"I32", DType::i32},
     {"U8", DType::u8},
     {"BOOL", DType::boolean}}};

inline constexpr std::string_view kMetadataKey = "__metadata__";

inline std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const auto& [spelling, dtype] : kSafetensorsDTypes)
    if (spelling == name) return dtype;
  return std::nullopt;
}

inline std::string_view safetensors_name(DType dtype) {
  for (const auto& [spelling, value] : kSafetensorsDTypes)
    if (value == dtype) return spelling;
  return "";
}

}  // namespace sing
