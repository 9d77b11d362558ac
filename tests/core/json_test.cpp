#include "sing/core/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sing/core/random.h"
#include "sing/core/utf8.h"

namespace sing {
namespace {

std::string fault_of(std::string_view text, const JsonLimits& limits = {}) {
  const auto value = read_json(text, limits);
  return value.ok() ? "accepted" : value.error().what;
}

TEST(Json, ReadsAndWritesTheSameText) {
  for (const std::string text :
       {R"({"z":1,"a":[true,false,null,"x\"\\\n"],"m":{"k":-5,"e":[],"o":{}}})", "[]", "{}", "3",
        "18446744073709551615", "-9223372036854775808", "0.1", "1e+300", "-0.0", R"("\u0000")",
        R"("äß漢🙂")"})
    EXPECT_EQ(to_json(read_json(text).value()), text);
}

TEST(Json, KeepsIntegersExact) {
  EXPECT_EQ(read_json("9223372036854775807").value().as_integer(),
            std::numeric_limits<int64_t>::max());
  EXPECT_EQ(read_json("18446744073709551615").value().as_unsigned(), ~uint64_t{0});
  EXPECT_THROW(read_json("9223372036854775808").value().as_integer(), DataError);
  EXPECT_THROW(read_json("-1").value().as_unsigned(), DataError);
  EXPECT_THROW(read_json("1.0").value().as_integer(), DataError);
  EXPECT_EQ(fault_of("18446744073709551616"),
            "the integer 18446744073709551616 does not fit 64 bits");
  EXPECT_EQ(fault_of("-9223372036854775809"),
            "the integer -9223372036854775809 does not fit 64 bits");
}

TEST(Json, DoublesReadBackBitForBit) {
  const double chosen[] = {0.1, -0.0, 5e-324, 1.7976931348623157e308, 1.0, 1e22, 123456789.0, 1e-7};
  for (const double value : chosen) {
    const JsonValue back = read_json(to_json(value)).value();
    EXPECT_FALSE(back.is_integer()) << value;
    EXPECT_EQ(std::bit_cast<uint64_t>(back.as_double()), std::bit_cast<uint64_t>(value));
  }
  uint64_t bits = 1;
  for (int i = 0; i < 2000; ++i) {
    bits = bits * 6364136223846793005u + 1442695040888963407u;
    const double value = std::bit_cast<double>(bits);
    const double back = read_json(to_json(value)).value().as_double();
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(back));
    else
      EXPECT_EQ(std::bit_cast<uint64_t>(back), bits);
  }
}

TEST(Json, NonFiniteNumbersSurviveAState) {
  JsonValue state = JsonValue::object();
  state.set("best", -std::numeric_limits<double>::infinity()).set("loss", std::nan(""));
  EXPECT_EQ(to_json(state), R"({"best":"-inf","loss":"nan"})");
  const JsonValue back = read_json(to_json(state)).value();
  EXPECT_EQ(back.at("best").as_double(), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(back.at("loss").as_double()));
  EXPECT_EQ(to_json(state, {.nonfinite_as_null = true}), R"({"best":null,"loss":null})");
}

TEST(Json, KeepsTheOrderInWhichMembersWereSet) {
  JsonValue value;
  value.set("b", 1).set("a", JsonValue::array({1, "two", 2.5})).set("b", true);
  EXPECT_EQ(to_json(value, {.indent = 2}),
            "{\n  \"b\": true,\n  \"a\": [\n    1,\n    \"two\",\n    2.5\n  ]\n}");
  EXPECT_EQ(value.find("c"), nullptr);
  EXPECT_THROW(value.at("c"), DataError);
  EXPECT_THROW(value.push_back(1), DataError);
  EXPECT_THROW(to_json("\xff"), DataError);
}

TEST(Json, SaysWhatWasWantedAndWhatIsThere) {
  const auto message = [](auto&& ask) -> std::string {
    try {
      ask(parse_json(R"({"a":1,"b":"x"})", "f"));
    } catch (const DataError& e) {
      return e.code() + " " + e.what();
    }
    return "";
  };
  using J = const JsonValue&;
  EXPECT_EQ(message([](J j) { j.at("a").as_string(); }),
            "E0313 JSON: wanted a string, got an integer");
  EXPECT_EQ(message([](J j) { j.at("b").as_integer(); }),
            "E0313 JSON: wanted an integer of 63 bits, got a string");
  EXPECT_EQ(message([](J j) { j.at("b").as_double(); }),
            "E0313 JSON: wanted a number, got a string");
  EXPECT_EQ(message([](J j) { j.as_boolean(); }), "E0313 JSON: wanted a boolean, got an object");
  EXPECT_EQ(message([](J j) { j.as_array(); }), "E0313 JSON: wanted an array, got an object");
  EXPECT_EQ(message([](J j) { j.at("a").as_object(); }),
            "E0313 JSON: wanted an object, got an integer");
  EXPECT_EQ(message([](J j) { j.at("c"); }), "E0313 JSON: the key 'c' is missing");
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const std::string_view text : {std::string_view(""),
                                      std::string_view(" "),
                                      std::string_view("{"),
                                      std::string_view("[1,]"),
                                      std::string_view("{\"a\":1,}"),
                                      std::string_view("{a:1}"),
                                      std::string_view("01"),
                                      std::string_view("+1"),
                                      std::string_view(".5"),
                                      std::string_view("1."),
                                      std::string_view("1e"),
                                      std::string_view("nan"),
                                      std::string_view("NaN"),
                                      std::string_view("tru"),
                                      std::string_view("\"a"),
                                      std::string_view("\"\t\""),
                                      std::string_view("\"\\x\""),
                                      std::string_view("1 2"),
                                      std::string_view("// c\n1"),
                                      std::string_view("'a'"),
                                      std::string_view("\xef\xbb\xbf{}"),
                                      std::string_view("{}\0", 3),
                                      std::string_view("{}\0x", 4),
                                      std::string_view("1e999"),
                                      std::string_view("]"),
                                      std::string_view("\"\xff\""),
                                      std::string_view("\"\xc0\x80\""),
                                      std::string_view("\"\xed\xa0\x80\""),
                                      std::string_view("\"\\ud800\""),
                                      std::string_view("\"\\udc00\\ud800\""),
                                      std::string_view("\"\\ud800\\u0041\"")})
    EXPECT_FALSE(read_json(text).ok()) << text;
}

TEST(Json, RefusesDuplicateKeysAtEveryDepth) {
  EXPECT_EQ(fault_of(R"({"a":1,"a":2})"), "the key 'a' appears twice in one object");
  EXPECT_EQ(fault_of(R"([{"x":{"b":1,"c":2,"b":3}}])"), "the key 'b' appears twice in one object");
  EXPECT_EQ(fault_of(R"({"a":{"a":1},"b":{"a":1}})"), "accepted");
  EXPECT_EQ(fault_of(R"({"a":1,"\u0061":2})"), "the key 'a' appears twice in one object");
}

TEST(Json, AppliesItsLimits) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(fault_of(nested(32)), "accepted");
  EXPECT_EQ(fault_of(nested(33)), "JSON is nested too deeply");
  EXPECT_EQ(fault_of(std::string(1000000, '[')), "JSON is nested too deeply");
  EXPECT_EQ(fault_of(std::string(1000000, '9')), "a JSON number is too long");
  EXPECT_EQ(fault_of("1." + std::string(1000000, '9')), "a JSON number is too long");
  const std::string long_text = '"' + std::string((1u << 20) + 1, 'x') + '"';
  EXPECT_EQ(fault_of(long_text), "a JSON string is too long");
  EXPECT_EQ(fault_of("{" + long_text + ":1}"), "a JSON string is too long");
  EXPECT_EQ(fault_of('"' + std::string(1u << 20, 'x') + '"'), "accepted");
  EXPECT_EQ(fault_of("[1,2,3]", {.tokens = 4}), "too many JSON tokens");
  EXPECT_EQ(fault_of("[1,2,3]", {.tokens = 5}), "accepted");
  EXPECT_EQ(fault_of("[1,2,3]", {.text_bytes = 6}), "the JSON text is too long");
}

TEST(Json, SaysWhere) {
  const auto value = read_json("{\"a\": tru}");
  ASSERT_FALSE(value.ok());
  EXPECT_NEAR(static_cast<double>(value.error().offset), 9.0, 1.0);
  try {
    parse_json("[1,\x01]", "state.json");
    FAIL();
  } catch (const DataError& e) {
    EXPECT_EQ(e.code(), "E0310");
    EXPECT_EQ(e.where(), "state.json, byte 3");
    EXPECT_STREQ(e.what(), "a byte that JSON does not allow here: '\\x01'");
  }
}

TEST(Utf8, KnowsWhatIsWellFormedAndPrintable) {
  EXPECT_TRUE(is_utf8("aß漢🙂"));
  EXPECT_EQ(utf8_error("ab\x80"), 2u);
  for (const std::string_view bad : {"\xc1\xbf", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xed\xbf\xbf",
                                     "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xff"})
    EXPECT_FALSE(is_utf8(bad));
  EXPECT_TRUE(is_printable_utf8("blocks.3.attn/qkv weight ß"));
  for (const std::string_view bad : {"a\n", "\x7f", "\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf"})
    EXPECT_FALSE(is_printable_utf8(bad));
  EXPECT_EQ(printable("a\x1b[31m\xff"), "a\\x1b[31m\\xff");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace sing
