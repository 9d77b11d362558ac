// Files that must be refused, and every small change of a good one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sing/tensor/safetensors.h"
#include "support/safetensors_bytes.h"

namespace sing {
namespace {

using test::buffer_of;
using test::file_with;

struct Bad {
  std::string header;
  size_t values;
  const char* message;  // a part of what must be said
};

// One tensor "x" of the given dtype, shape and offsets.
Bad one(const std::string& dtype, const std::string& shape, const std::string& offsets,
        size_t values, const char* message) {
  return {
      R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
      values, message};
}
Bad f32(const std::string& shape, const std::string& offsets, size_t values, const char* message) {
  return one(R"("F32")", shape, offsets, values, message);
}

const std::string kGood = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";

std::vector<Bad> bad_files() {
  const std::string entry = "{" + kGood + "}";
  return {
      // the header as text
      {"", 0, "does not start"},
      {" {}", 0, "does not start"},
      {"[]", 0, "does not start"},
      {"null", 0, "does not start"},
      {"\xef\xbb\xbf{}", 0, "does not start"},
      {"{", 0, "does not end"},
      {"{}}", 0, "not valid JSON"},
      {"{}{}", 0, "not valid JSON"},
      {"{}\n", 0, "does not end"},
      {"{}\t", 0, "does not end"},
      {std::string("{}\0", 3), 0, "does not end"},
      {std::string("{\0}", 3), 0, "a byte that JSON does not allow"},
      {"{\"x\":" + entry + ",}", 4, "not valid JSON"},
      {"{\"x\" " + entry + "}", 4, "not valid JSON"},
      {"{'x':" + entry + "}", 4, "does not allow"},
      {"{/**/}", 0, "does not allow"},
      {"{\"x\xff\":" + entry + "}", 4, "not valid JSON"},
      {"{\"\\ud800\":" + entry + "}", 4, "not valid JSON"},
      {"{\"x\":" + std::string(1000, '[') + "}", 4, "nested too deeply"},
      {"{\"x\":" + std::string(1000000, '{') + "}", 4, "nested too deeply"},
      // what stands under a name
      {R"({"x":1})", 4, "an integer where none belongs"},
      {R"({"x":"F32"})", 4, "a string where none belongs"},
      {R"({"x":null})", 4, "a null"},
      {R"({"x":true})", 4, "a boolean"},
      {R"({"x":[]})", 4, "an array where none belongs"},
      {R"({"x":{}})", 0, "missing"},
      {R"({"x":{"dtype":"F32","shape":[1]}})", 4, "missing"},
      {R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", 4, "missing"},
      {R"({"x":{"shape":[1],"data_offsets":[0,4]}})", 4, "missing"},
      {"{\"x\":{" + kGood + ",\"more\":1}}", 4, "unknown key 'more'"},
      {"{\"x\":{" + kGood + ",\"shape\":[1]}}", 4, "'shape' twice"},
      {"{\"x\":{" + kGood + ",\"dtype\":\"F32\"}}", 4, "'dtype' twice"},
      // names
      {"{\"x\":" + entry + ",\"x\":" + entry + "}", 4, "'x' twice"},
      {"{\"x\":" + entry + ",\"\\u0078\":" + entry + "}", 4, "'x' twice"},
      {"{\"\":" + entry + "}", 4, "a name that is empty"},
      {"{\"a\\nb\":" + entry + "}", 4, "a name that is empty"},
      {"{\"a\\u0000b\":" + entry + "}", 4, "a name that is empty"},
      {"{\"\\u202\x38\":" + entry + "}", 4, "a name that is empty"},
      {"{\"" + std::string(513, 'n') + "\":" + entry + "}", 4, "longer than 512"},
      // metadata
      {R"({"__metadata__":{"a":1}})", 0, "an integer where none belongs"},
      {R"({"__metadata__":{"a":{}}})", 0, "an object where none belongs"},
      {R"({"__metadata__":{"a":["b"]}})", 0, "an array where none belongs"},
      {R"({"__metadata__":{"a":null}})", 0, "a null"},
      {R"({"__metadata__":[]})", 0, "an array where none belongs"},
      {R"({"__metadata__":"a"})", 0, "a string where none belongs"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "metadata key 'a' twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "the metadata twice"},
      // dtypes
      one("\"I16\"", "[2]", "[0,4]", 4, "the dtype 'I16'"),
      one("\"F8_E4M3\"", "[4]", "[0,4]", 4, "the dtype 'F8_E4M3'"),
      one("\"f32\"", "[1]", "[0,4]", 4, "the dtype 'f32'"),
      one("\"\"", "[1]", "[0,4]", 4, "the dtype ''"),
      one("32", "[1]", "[0,4]", 4, "an integer where none belongs"),
      one("[\"F32\"]", "[1]", "[0,4]", 4, "an array where none belongs"),
      // shapes
      f32("1", "[0,4]", 4, "an integer where none belongs"),
      f32("[-1]", "[0,4]", 4, "negative"),
      f32("[1.0]", "[0,4]", 4, "not an integer"),
      f32("[1e0]", "[0,4]", 4, "not an integer"),
      f32("[\"1\"]", "[0,4]", 4, "a string where none belongs"),
      f32("[[1]]", "[0,4]", 4, "an array where none belongs"),
      f32("[null]", "[0,4]", 4, "a null"),
      f32("[1,1,1,1,1,1,1,1,1]", "[0,4]", 4, "more than 8 dimensions"),
      f32("[9007199254740992]", "[0,4]", 4, "2^53"),
      f32("[18446744073709551616]", "[0,4]", 4, "does not fit 64 bits"),
      f32("[4294967296,4294967296]", "[0,4]", 4, "63 bits"),
      f32("[4294967296,4294967296]", "[0,0]", 0, "63 bits"),
      f32("[0,4294967296,4294967296]", "[0,0]", 0, "63 bits"),
      f32("[4503599627370496,512]", "[0,0]", 0, "63 bits"),
      // offsets
      f32("[1]", "4", 4, "an integer where none belongs"),
      f32("[1]", "[]", 4, "fewer than two"),
      f32("[1]", "[0]", 4, "fewer than two"),
      f32("[1]", "[0,4,4]", 4, "more than two"),
      f32("[1]", "[4,0]", 4, "needs 4 bytes"),
      f32("[1]", "[0,3]", 3, "needs 4 bytes"),
      f32("[1]", "[0,5]", 5, "needs 4 bytes"),
      f32("[1]", "[-0,4]", 4, "negative"),
      f32("[1]", "[0,18446744073709551615]", 4, "2^53"),
      f32("[1]", "[9007199254740988,9007199254740991]", 4, "needs 4 bytes"),
      f32("[1]", "[1,5]", 5, "starts at 1, wanted 0"),
      f32("[0]", "[4,4]", 4, "starts at 4, wanted 0"),
      f32("[1]", "[0,4]", 5, "the tensors need 4 bytes, the file holds 5"),
      f32("[1]", "[0,4]", 3, "the tensors need 4 bytes, the file holds 3"),
      f32("[2]", "[0,8]", 4, "the tensors need 8 bytes"),
      {"{}", 1, "the tensors need 0 bytes"},
      {"{\"x\":" + entry + ",\"y\":" + entry + "}", 4, "starts at 0, wanted 4"},
      {"{\"x\":" + entry + R"(,"y":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", 6,
       "starts at 2, wanted 4"},
      {"{\"x\":" + entry + R"(,"y":{"dtype":"F32","shape":[1],"data_offsets":[5,9]}})", 9,
       "starts at 5, wanted 4"},
      {"{\"x\":" + entry + R"(,"y":{"dtype":"F32","shape":[0],"data_offsets":[2,2]}})", 4,
       "starts at 2, wanted 4"},
  };
}

TEST(SafetensorsHostile, HandMadeFilesAreRefusedForTheRightReason) {
  const auto files = bad_files();
  EXPECT_GE(files.size(), 60u);
  for (const Bad& bad : files) {
    const auto file = SafetensorsFile::parse(file_with(bad.header, std::string(bad.values, '\1')));
    ASSERT_FALSE(file.ok()) << bad.header.substr(0, 200);
    EXPECT_THAT(file.error().what, testing::HasSubstr(bad.message)) << bad.header.substr(0, 200);
    EXPECT_LE(file.error().what.size(), 300u) << "a message quotes too much of the file";
  }
}

TEST(SafetensorsHostile, TheLengthWordIsBounded) {
  const std::string header = R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  const auto fault = [&](uint64_t word) {
    auto file = SafetensorsFile::parse(file_with(header, "x", word));
    return file.ok() ? std::string("accepted") : file.error().what;
  };
  EXPECT_EQ(fault(header.size()), "accepted");
  for (const uint64_t word : {uint64_t{1} << 24, uint64_t{1} << 23, header.size() + 2})
    EXPECT_EQ(fault(word), "the file ends inside the header");
  for (const uint64_t word : {~uint64_t{0} - 1, uint64_t{1} << 63, (uint64_t{1} << 24) + 1})
    EXPECT_THAT(fault(word), testing::HasSubstr("the limit is 16777216"));
  EXPECT_FALSE(SafetensorsFile::parse(ByteBuffer(0)).ok());
  EXPECT_FALSE(SafetensorsFile::parse(buffer_of(bytes_of("1234567"))).ok());
}

TEST(SafetensorsHostile, BooleansAreZeroOrOne) {
  const std::string header = R"({"m":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})";
  EXPECT_TRUE(SafetensorsFile::parse(file_with(header, std::string("\0\1\1", 3))).ok());
  const auto bad = SafetensorsFile::parse(file_with(header, std::string("\0\1\2", 3)));
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().what, "tensor 'm' is BOOL but holds the value 2");
  EXPECT_EQ(bad.error().offset, 8 + header.size() + 2);
}

TEST(SafetensorsHostile, CountsAreLimited) {
  SafetensorsLimits limits;
  limits.tensors = 2;
  limits.metadata = 1;
  const std::string empty = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  const auto fault = [&](const std::string& header) {
    auto file = SafetensorsFile::parse(file_with(header, ""), limits);
    return file.ok() ? std::string("accepted") : file.error().what;
  };
  EXPECT_EQ(fault("{\"a\":" + empty + ",\"b\":" + empty + "}"), "accepted");
  EXPECT_THAT(fault("{\"a\":" + empty + ",\"b\":" + empty + ",\"c\":" + empty + "}"),
              testing::HasSubstr("more than 2 tensors"));
  EXPECT_EQ(fault(R"({"__metadata__":{"a":"b"}})"), "accepted");
  EXPECT_THAT(fault(R"({"__metadata__":{"a":"b","c":"d"}})"),
              testing::HasSubstr("more than 1 metadata"));
}

// Either refused, or it says the same thing after being written and read again.
bool refused_or_stable(std::span<const std::byte> bytes, bool* accepted) {
  auto file = SafetensorsFile::parse(buffer_of(bytes));
  *accepted = file.ok();
  if (!file.ok()) return !file.error().what.empty();
  const auto again = test::saved_again(file.value());
  auto back = SafetensorsFile::parse(buffer_of(again));
  return back.ok() && test::same_content(file.value(), back.value()) &&
         test::saved_again(back.value()) == again;
}

TEST(SafetensorsHostile, EveryTruncationAndEveryValueOfEveryByte) {
  const auto good = test::sample_file();
  ASSERT_NEAR(static_cast<double>(good.size()), 700.0, 60.0);
  bool accepted = false;
  ASSERT_TRUE(refused_or_stable(good, &accepted) && accepted);
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_TRUE(refused_or_stable(std::span(good).first(size), &accepted)) << size;
    ASSERT_FALSE(accepted) << "truncated to " << size;
  }
  size_t cases = good.size(), loaded = 0;
  auto changed = good;
  for (size_t i = 0; i < good.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      changed[i] = static_cast<std::byte>(value);
      ASSERT_TRUE(refused_or_stable(changed, &accepted)) << "byte " << i << " = " << value;
      loaded += accepted;
      ++cases;
    }
    changed[i] = good[i];
  }
  RecordProperty("cases", static_cast<int>(cases));
  RecordProperty("loaded", static_cast<int>(loaded));
  EXPECT_GT(cases, 160000u);
  EXPECT_GT(loaded, 15000u) << "changes of values must load";
  EXPECT_LT(loaded, cases / 2) << "most changes of the header must not";
}

}  // namespace
}  // namespace sing
