#include "sing/config/scalar.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace sing::config {
namespace {

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// The number at the start of a text, before any suffix.
struct Number {
  bool negative = false;
  std::string whole, fraction;  // digits, without underscores
  int exponent = 0;
  std::string_view rest;
  std::string hint;  // why there is none
  bool valid = false;
};

// Digits with single underscores between them.
bool take_digits(std::string_view& text, std::string& digits) {
  bool underscore = false;
  while (!text.empty() && (digit(text[0]) || text[0] == '_')) {
    if (text[0] == '_' && (digits.empty() || underscore)) return false;
    underscore = text[0] == '_';
    if (!underscore) digits += text[0];
    text.remove_prefix(1);
  }
  return !underscore;
}

Number take_number(std::string_view text) {
  Number number;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    number.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (!take_digits(text, number.whole)) return number;
  if (number.whole.size() > 1 && number.whole[0] == '0') {
    const size_t first = number.whole.find_first_not_of('0');
    number.hint = "no leading zero: write " +
                  (first == std::string::npos ? std::string("0") : number.whole.substr(first));
    return number;
  }
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    if (!take_digits(text, number.fraction)) return number;
  }
  if (number.whole.empty() && number.fraction.empty()) return number;
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) {
    std::string_view after = text.substr(1);
    const bool minus = !after.empty() && after[0] == '-';
    if (!after.empty() && (after[0] == '-' || after[0] == '+')) after.remove_prefix(1);
    size_t length = 0;
    while (length < after.size() && digit(after[length])) ++length;
    if (length > 5) return number;
    if (length > 0) {  // else the 'e' belongs to a unit: 10ep
      std::from_chars(after.data(), after.data() + length, number.exponent);
      if (minus) number.exponent = -number.exponent;
      text = after.substr(length);
    }
  }
  number.rest = text;
  number.valid = true;
  return number;
}

// Powers of ten and of 1024 for the suffixes of whole numbers.
struct Scale {
  std::string_view suffix;
  int tens, kilobinary;
};
constexpr std::array<Scale, 7> kScales{
    {{"", 0, 0}, {"k", 3, 0}, {"M", 6, 0}, {"G", 9, 0}, {"Ki", 0, 1}, {"Mi", 0, 2}, {"Gi", 0, 3}}};

struct Magnitude {
  std::optional<uint64_t> value;
  bool fractional = false, overflow = false;
};

// whole.fraction * 10^tens * 1024^kilobinary, exactly or not at all.
Magnitude exact(const Number& number, const Scale& scale) {
  Magnitude result;
  uint64_t value = 0;
  const std::string digits = number.whole + number.fraction;
  const size_t last = digits.find_last_not_of('0');
  if (last == std::string::npos) {
    result.value = 0;
    return result;
  }
  for (const char c : std::string_view(digits).substr(0, last + 1))
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(c - '0'), &value)) {
      result.overflow = true;
      return result;
    }
  int tens = number.exponent + scale.tens - static_cast<int>(number.fraction.size()) +
             static_cast<int>(digits.size() - last - 1);
  const int kilobinary = scale.kilobinary;
  for (int i = 0; i < kilobinary; ++i)
    if (__builtin_mul_overflow(value, uint64_t{1024}, &value)) {
      result.overflow = true;
      return result;
    }
  for (; tens < 0; ++tens) {
    if (value % 10 != 0) {
      result.fractional = true;
      return result;
    }
    value /= 10;
  }
  for (; tens > 0; --tens)
    if (__builtin_mul_overflow(value, uint64_t{10}, &value)) {
      result.overflow = true;
      return result;
    }
  result.value = value;
  return result;
}

struct WholeNumber {
  std::optional<uint64_t> magnitude;
  bool negative = false;
  bool out_of_range = false;
  std::string hint;
};

WholeNumber read_whole(std::string_view text) {
  WholeNumber result;
  const Number number = take_number(text);
  result.hint = number.hint;
  result.negative = number.negative;
  if (!number.valid) return result;
  for (const Scale& scale : kScales) {
    if (number.rest != scale.suffix) continue;
    const Magnitude magnitude = exact(number, scale);
    if (magnitude.fractional) result.hint = "it has a fractional part";
    result.out_of_range = magnitude.overflow;
    result.magnitude = magnitude.value;
    return result;
  }
  if (number.rest == "K" || number.rest == "m" || number.rest == "g" || number.rest == "KiB")
    result.hint = "suffixes are k, M, G and Ki, Mi, Gi";
  return result;
}

std::optional<double> to_double(const Number& number, bool& out_of_range) {
  const std::string text = (number.negative ? "-" : "") +
                           (number.whole.empty() ? std::string("0") : number.whole) + "." +
                           (number.fraction.empty() ? std::string("0") : number.fraction) + "e" +
                           std::to_string(number.exponent);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  out_of_range = error == std::errc::result_out_of_range;
  if (error != std::errc()) return std::nullopt;
  return value;
}

}  // namespace

Parsed<bool> parse_bool(std::string_view text) {
  if (text == "true") return {true, {}, {}};
  if (text == "false") return {false, {}, {}};
  Parsed<bool> result{std::nullopt, "true or false", {}};
  std::string lower;
  for (const char c : text.substr(0, 6))
    lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (lower == "yes" || lower == "on" || lower == "true" || lower == "1" || lower == "y")
    result.hint = "write true";
  if (lower == "no" || lower == "off" || lower == "false" || lower == "0" || lower == "n")
    result.hint = "write false";
  return result;
}

Parsed<int64_t> parse_integer(std::string_view text) {
  const WholeNumber number = read_whole(text);
  Parsed<int64_t> result{std::nullopt, "a whole number", number.hint, number.out_of_range};
  if (!number.magnitude) return result;
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  if (*number.magnitude > kLimit - (number.negative ? 0 : 1)) {
    result.out_of_range = true;
    return result;
  }
  result.value = number.negative ? static_cast<int64_t>(uint64_t{0} - *number.magnitude)
                                 : static_cast<int64_t>(*number.magnitude);
  return result;
}

Parsed<uint64_t> parse_unsigned(std::string_view text) {
  const WholeNumber number = read_whole(text);
  Parsed<uint64_t> result{std::nullopt, "a whole number >= 0", number.hint, number.out_of_range};
  if (!number.magnitude) return result;
  if (number.negative && *number.magnitude > 0) {
    result.out_of_range = true;
    return result;
  }
  result.value = number.magnitude;
  return result;
}

Parsed<double> parse_real(std::string_view text, bool percent, bool infinite) {
  Parsed<double> result{std::nullopt, "a number", {}};
  if (text == "inf" || text == "-inf" || text == "+inf") {
    result.wanted = "a finite number";
    if (infinite)
      result.value = (text[0] == '-' ? -1 : 1) * std::numeric_limits<double>::infinity();
    return result;
  }
  const Number number = take_number(text);
  result.hint = number.hint;
  if (!number.valid) return result;
  if (number.rest == "%" && !percent) result.hint = "a percentage is not meant here";
  if (!(number.rest.empty() || (number.rest == "%" && percent))) return result;
  Number scaled = number;
  if (!number.rest.empty()) scaled.exponent -= 2;  // exact: 5% reads as 0.05 does
  result.value = to_double(scaled, result.out_of_range);
  return result;
}

Parsed<Duration> parse_duration(std::string_view text) {
  struct Suffix {
    std::string_view text;
    Duration::Unit unit;
    double factor;  // seconds in it
  };
  static constexpr std::array<Suffix, 8> kSuffixes{{{"ep", Duration::Unit::epochs, 1},
                                                    {"st", Duration::Unit::steps, 1},
                                                    {"s", Duration::Unit::seconds, 1},
                                                    {"min", Duration::Unit::seconds, 60},
                                                    {"h", Duration::Unit::seconds, 3600},
                                                    {"samples", Duration::Unit::samples, 1},
                                                    {"tokens", Duration::Unit::tokens, 1},
                                                    {"%", Duration::Unit::fraction, 1}}};
  Parsed<Duration> result{std::nullopt, "a duration such as 10ep, 500st, 15min or 5%", {}};
  Number number = take_number(text);
  result.hint = number.hint;
  if (!number.valid) return result;
  const std::string digits(text.substr(0, text.size() - number.rest.size()));
  if (number.rest.empty()) result.hint = "write " + digits + "ep or " + digits + "st";
  if (number.rest == "m")
    result.hint = "'m' could mean two things: write " + digits + "min for minutes";
  std::string_view suffix = number.rest;
  const bool scaled =
      suffix.size() > 2 && (suffix[0] == 'k' || suffix[0] == 'M' || suffix[0] == 'G');
  if (scaled) {
    number.exponent += suffix[0] == 'k' ? 3 : suffix[0] == 'M' ? 6 : 9;
    suffix.remove_prefix(1);
  }
  for (const Suffix& known : kSuffixes) {
    if (suffix != known.text) continue;
    const bool counted = known.unit == Duration::Unit::steps ||
                         known.unit == Duration::Unit::samples ||
                         known.unit == Duration::Unit::tokens;
    if (scaled && !counted) return result;
    if (known.unit == Duration::Unit::fraction) number.exponent -= 2;
    const auto value = to_double(number, result.out_of_range);
    if (!value) return result;
    // Beyond 2^53 a double no longer counts one by one.
    if (counted && (*value != std::floor(*value) || std::abs(*value) > 0x1p53)) {
      result.hint = "steps, samples and tokens are whole numbers";
      return result;
    }
    result.out_of_range = !std::isfinite(*value * known.factor);
    if (!result.out_of_range) result.value = Duration{*value * known.factor, known.unit};
    return result;
  }
  return result;
}

std::string format_real(double value) {
  std::array<char, 64> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), end);
  // 1e-08 and 1e+20 are written as people write them.
  if (const size_t e = text.find('e'); e != std::string::npos) {
    if (text[e + 1] == '+') text.erase(e + 1, 1);
    const size_t digits = e + 1 + (text[e + 1] == '-' ? 1 : 0);
    while (digits + 1 < text.size() && text[digits] == '0') text.erase(digits, 1);
  }
  return text;
}

std::string to_string(const Duration& duration) {
  const double value = duration.value;
  switch (duration.unit) {
    case Duration::Unit::epochs:
      return format_real(value) + "ep";
    case Duration::Unit::steps:
      return format_real(value) + "st";
    case Duration::Unit::seconds:
      if (value != 0 && std::fmod(value, 3600) == 0) return format_real(value / 3600) + "h";
      if (value != 0 && std::fmod(value, 60) == 0) return format_real(value / 60) + "min";
      return format_real(value) + "s";
    case Duration::Unit::samples:
      return format_real(value) + "samples";
    case Duration::Unit::tokens:
      return format_real(value) + "tokens";
    case Duration::Unit::fraction:
      break;
  }
  // A per cent text that reads back as the same number: reading divides decimally, so shift the
  // shortest decimal text of the fraction instead of multiplying.
  std::string text = format_real(value);
  const size_t e = text.find('e');
  int exponent = 2;
  if (e != std::string::npos) {
    exponent += std::stoi(text.substr(e + 1));
    text.erase(e);
  }
  const size_t sign = !text.empty() && text[0] == '-' ? 1 : 0;
  size_t point = text.find('.');
  if (point == std::string::npos)
    point = text.size();
  else
    text.erase(point, 1);
  int position = static_cast<int>(point - sign) + exponent;
  std::string digits = text.substr(sign);
  if (position <= 0) {
    digits.insert(0, static_cast<size_t>(1 - position), '0');
    position = 1;
  }
  if (static_cast<size_t>(position) > digits.size())
    digits.append(static_cast<size_t>(position) - digits.size(), '0');
  std::string whole = digits.substr(0, static_cast<size_t>(position));
  std::string rest = digits.substr(static_cast<size_t>(position));
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size() - 1));
  while (!rest.empty() && rest.back() == '0') rest.pop_back();
  return (sign ? "-" : "") + whole + (rest.empty() ? "" : "." + rest) + "%";
}

}  // namespace sing::config
