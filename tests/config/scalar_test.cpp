#include "sing/config/scalar.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sing::config {
namespace {

TEST(Scalar, Booleans) {
  EXPECT_EQ(parse_bool("true").value, true);
  EXPECT_EQ(parse_bool("false").value, false);
  for (const char* text : {"yes", "no", "on", "off", "True", "TRUE", "1", "0", "y", "", "t", "tru",
                           "true ", " true", "null", "~"})
    EXPECT_FALSE(parse_bool(text).value) << text;
  EXPECT_EQ(parse_bool("yes").hint, "write true");
  EXPECT_EQ(parse_bool("Off").hint, "write false");
}

TEST(Scalar, WholeNumbers) {
  const struct {
    const char* text;
    int64_t value;
  } accepted[] = {{"0", 0},
                  {"-0", 0},
                  {"7", 7},
                  {"+7", 7},
                  {"-12", -12},
                  {"1_000", 1000},
                  {"1_000_000", 1000000},
                  {"1e3", 1000},
                  {"1E3", 1000},
                  {"1e+3", 1000},
                  {"1.5e3", 1500},
                  {"1000e-3", 1},
                  {"50k", 50000},
                  {"1.5k", 1500},
                  {"1M", 1000000},
                  {"2G", 2000000000},
                  {"64Ki", 65536},
                  {"4Mi", 4194304},
                  {"1Gi", 1073741824},
                  {"0.5Ki", 512},
                  {"-3k", -3000},
                  {"1.0", 1},
                  {"0e5", 0},
                  {"9223372036854775807", std::numeric_limits<int64_t>::max()},
                  {"-9223372036854775808", std::numeric_limits<int64_t>::min()}};
  for (const auto& [text, value] : accepted) EXPECT_EQ(parse_integer(text).value, value) << text;
  for (const char* text :
       {"",      "010", "00",    "0x10",  "0b1", "1__0", "_1", "1_",    "1e",       "1e-1",   "1.5",
        "1.5e0", "abc", "1 000", "1,000", "--1", "+-1",  "1K", "1m",    "1kB",      "1KiB",   "k",
        "nan",   "inf", ".",     "-",     "5%",  " 1",   "1 ", "1e3.5", "1e999999", "0.0001k"})
    EXPECT_FALSE(parse_integer(text).value) << text;
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "1e19", "1e9999",
                           "9999999999G", "99999999999999999999999"}) {
    EXPECT_FALSE(parse_integer(text).value) << text;
    EXPECT_TRUE(parse_integer(text).out_of_range) << text;
  }
  EXPECT_EQ(parse_integer("010").hint, "no leading zero: write 10");
  EXPECT_EQ(parse_unsigned("18446744073709551615").value, std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(parse_unsigned("18446744073709551616").out_of_range);
  EXPECT_TRUE(parse_unsigned("-1").out_of_range);
}

TEST(Scalar, RealNumbers) {
  const struct {
    const char* text;
    double value;
  } accepted[] = {
      {"1e-3", 1e-3},  {".5", 0.5},    {"-.5", -0.5},      {"5.", 5},           {"0.1", 0.1},
      {"1_000", 1000}, {"5e-2", 5e-2}, {"1_0.2_5", 10.25}, {"+3", 3},           {"0", 0},
      {"0.0", 0},      {"1E5", 1e5},   {"0e-9", 0},        {"1.7e308", 1.7e308}};
  for (const auto& [text, value] : accepted) EXPECT_EQ(parse_real(text).value, value) << text;
  for (const char* text :
       {"",      "010", "00.5", "nan", "NaN", "inf",   ".",      "e5", "1e",  "1e5x",
        "0x1p3", "1_",  "1._5", "5%",  "1,5", "1e400", "1e-400", "1k", "--1", "infinity"})
    EXPECT_FALSE(parse_real(text).value) << text;
  EXPECT_TRUE(parse_real("1e400").out_of_range);
  EXPECT_EQ(parse_real("5%", true).value, 0.05);
  EXPECT_EQ(parse_real("12.5%", true).value, 0.125);
  EXPECT_EQ(parse_real("inf", false, true).value, std::numeric_limits<double>::infinity());
  EXPECT_EQ(parse_real("-inf", false, true).value, -std::numeric_limits<double>::infinity());
  EXPECT_FALSE(parse_real("nan", true, true).value);
}

TEST(Scalar, Durations) {
  using D = Duration;
  const struct {
    const char* text;
    D value;
    const char* printed;
  } accepted[] = {{"10ep", D::epochs(10), "10ep"},
                  {"0.5ep", D::epochs(0.5), "0.5ep"},
                  {"5000st", D::steps(5000), "5000st"},
                  {"5kst", D::steps(5000), "5000st"},
                  {"1e3st", D::steps(1000), "1000st"},
                  {"90s", D::seconds(90), "90s"},
                  {"15min", D::seconds(900), "15min"},
                  {"2h", D::seconds(7200), "2h"},
                  {"1.5h", D::seconds(5400), "90min"},
                  {"1Gsamples", {1e9, D::Unit::samples}, "1e9samples"},
                  {"100Mtokens", {1e8, D::Unit::tokens}, "1e8tokens"},
                  {"5%", D::fraction(0.05), "5%"},
                  {"2.5%", D::fraction(0.025), "2.5%"},
                  {"100%", D::fraction(1), "100%"},
                  {"0.001%", D::fraction(0.00001), "0.001%"},
                  {"0st", D::steps(0), "0st"},
                  {"0%", D::fraction(0), "0%"}};
  for (const auto& [text, value, printed] : accepted) {
    EXPECT_EQ(parse_duration(text).value, value) << text;
    EXPECT_EQ(to_string(value), printed) << text;
  }
  for (const char* text :
       {"",     "10",   "15m",    "10 ep", "ep",    "10epochs",   "10steps",  "0.5st",
        "10x",  "1d",   "5kep",   "1ks",   "010ep", "nanep",      "1e300kst", "1.5samples",
        "10Ep", "10EP", "1e308h", "%",     "5 %",   "1Kisamples", "1min30s"})
    EXPECT_FALSE(parse_duration(text).value) << text;
  EXPECT_EQ(parse_duration("100").hint, "write 100ep or 100st");
  EXPECT_EQ(parse_duration("15m").hint, "'m' could mean two things: write 15min for minutes");
}

// Printed values must read back as the same number, or a resumed run would not be the same run.
TEST(Scalar, PrintedNumbersReadBack) {
  uint64_t state = 1;
  const auto next = [&] { return state = state * 6364136223846793005u + 1442695040888963407u; };
  for (int i = 0; i < 2000; ++i) {
    const double scale = std::pow(10.0, static_cast<double>(next() % 40) - 20);
    const double value = static_cast<double>(next() >> 11) * 0x1p-53 * scale;
    EXPECT_EQ(parse_real(format_real(value)).value, value) << format_real(value);
    EXPECT_EQ(parse_real(format_real(-value)).value, -value);
    for (const Duration& duration :
         {Duration::fraction(value), Duration::seconds(value), Duration::epochs(value)})
      EXPECT_EQ(parse_duration(to_string(duration)).value, duration) << to_string(duration);
  }
  EXPECT_EQ(format_real(0.05), "0.05");
  EXPECT_EQ(format_real(1e-8), "1e-8");
  EXPECT_EQ(format_real(1e20), "1e20");
  EXPECT_EQ(format_real(0), "0");
}

}  // namespace
}  // namespace sing::config
