#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sing/config/duration.h"

// The grammar of scalars: text in, typed value or a reason out. Nothing depends on the locale.
namespace sing::config {

template <class T>
struct Parsed {
  std::optional<T> value;
  std::string wanted;  ///< on failure: "a whole number", "a number below 1.8e308"
  std::string hint;    ///< on failure, may be empty
  bool out_of_range = false;
};

/// `true` and `false` only.
SING_API Parsed<bool> parse_bool(std::string_view text);
/// Sign, digits, `1_000`, `1e3` and `1.5e3` when whole, `50k 1M 1G`, `64Ki 4Mi 1Gi`; no leading
/// zero.
SING_API Parsed<int64_t> parse_integer(std::string_view text);
/// The same without a sign, up to 2^64 - 1.
SING_API Parsed<uint64_t> parse_unsigned(std::string_view text);
/// `1e-3`, `.5`, `1_000`; `5%` when `percent`; `inf` and `-inf` when `infinite`; never `nan`.
SING_API Parsed<double> parse_real(std::string_view text, bool percent = false,
                                   bool infinite = false);
/// A number and one of ep, st, s, min, h, samples, tokens, %; k, M and G before the counted units.
SING_API Parsed<Duration> parse_duration(std::string_view text);

/// The shortest decimal text that reads back as the same number.
SING_API std::string format_real(double value);

}  // namespace sing::config
