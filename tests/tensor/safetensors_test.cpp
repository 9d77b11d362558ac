#include "sing/tensor/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "sing/core/byte_reader.h"
#include "support/safetensors_bytes.h"
#include "support/sim_file_system.h"
#include "support/temporary_folder.h"
#include "tensor/safetensors_names.h"

namespace sing {
namespace {

using test::buffer_of;
using test::file_with;
using test::sample_file;

TEST(Safetensors, WritesTheFormatByteForByte) {
  SafetensorsWriter writer;
  const std::array<float, 2> a = {1.0f, -2.0f};
  const std::array<int64_t, 1> b = {7};
  writer.add("a", DType::f32, {2}, std::as_bytes(std::span(a)));
  writer.add("b", DType::i64, {}, std::as_bytes(std::span(b)));
  writer.set_metadata("k", "v");
  const std::string header =
      R"({"__metadata__":{"k":"v"},"b":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})";
  const size_t padded = (header.size() + 7) / 8 * 8;
  std::string wanted(8, '\0');
  wanted[0] = static_cast<char>(padded);
  wanted += header + std::string(padded - header.size(), ' ');
  wanted += std::string("\7\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\xc0", 16);
  const auto bytes = writer.to_bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), wanted);
}

TEST(Safetensors, TensorsOfEveryDTypeComeBackBitForBit) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "t.safetensors";
  const std::map<std::string, Tensor> tensors = {
      {"f64", Tensor::from<double>({1.5, NAN, -INFINITY, 5e-324}, {2, 2})},
      {"f32", Tensor::from<float>({1.0f, -0.0f, 3e38f}, {3, 1})},
      {"bf16", Tensor::from<bfloat16>({bfloat16(1.5f), bfloat16(NAN)}, {2})},
      {"f16", Tensor::from<float16>({float16(1.5f)}, {1, 1, 1})},
      {"i64", Tensor::from<int64_t>({-1, int64_t{1} << 62}, {2})},
      {"i32", Tensor::from<int32_t>({-5}, {})},
      {"u8", Tensor::from<uint8_t>({1, 2, 255}, {3})},
      {"bool", Tensor::full({2}, 1, {.dtype = DType::boolean})},
      {"empty", Tensor::empty({0, 4})},
      {"transposed", Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3}).transpose(0, 1)},
      {"ü/漢 .name", Tensor::scalar(3)}};
  save_tensors(path, tensors, {{"format", "pt"}, {"a", "b\n\""}});
  const auto back = load_tensors(path);
  ASSERT_EQ(back.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const Tensor& found = back.at(name);
    EXPECT_EQ(found.dtype(), tensor.dtype()) << name;
    EXPECT_EQ(found.shape(), tensor.shape()) << name;
    const Tensor dense = tensor.contiguous();
    EXPECT_EQ(std::memcmp(found.raw(), dense.raw(),
                          static_cast<size_t>(dense.numel()) * size_of(dense.dtype())),
              0)
        << name;
  }
  const SafetensorsFile file = SafetensorsFile::open(path);
  EXPECT_EQ(file.metadata(), (SafetensorsMetadata{{"a", "b\n\""}, {"format", "pt"}}));
  EXPECT_EQ(file.find("none"), nullptr);
  EXPECT_EQ(file.find("i32")->end - file.find("i32")->begin, 4u);
}

TEST(Safetensors, LoadedTensorsOutliveTheFileAndMayBeWritten) {
  const test::TemporaryFolder folder;
  save_tensors(folder / "t", {{"x", Tensor::full({4}, 2)}});
  Tensor x = load_tensors(folder / "t").at("x");
  x.fill(3);
  EXPECT_EQ(x.to_vector(), std::vector<double>(4, 3.0));
  EXPECT_EQ(load_tensors(folder / "t").at("x").to_vector(), std::vector<double>(4, 2.0));
}

TEST(Safetensors, CopiesValuesThatAreNotAligned) {
  // A header of odd length is legal; the f64 value then starts at an odd address.
  std::string header = R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})";
  if (header.size() % 2 == 0) header += ' ';
  const auto file =
      SafetensorsFile::parse(file_with(header, std::string("\0\0\0\0\0\0\xf8\x3f", 8)));
  ASSERT_TRUE(file.ok());
  const Tensor x = file.value().tensor(file.value().tensors()[0]);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(x.raw()) % 8, 0u);
  EXPECT_EQ(x.item(), 1.5);
}

TEST(Safetensors, TakesWhatOthersWrite) {
  const auto names = [](std::string_view header, size_t bytes) {
    auto file = SafetensorsFile::parse(file_with(header, std::string(bytes, '\0')));
    if (!file.ok()) return file.error().what;
    std::string all;
    for (const auto& entry : file.value().tensors()) all += entry.name + ";";
    return all;
  };
  EXPECT_EQ(names("{}", 0), "");
  EXPECT_EQ(names("{}      ", 0), "");
  EXPECT_EQ(names(R"({"__metadata__":{}})", 0), "");
  // Any order in the header and white space inside it; the order of the values counts.
  EXPECT_EQ(names(R"({ "b":{"data_offsets":[4,8],"shape":[1],"dtype":"F32"},
                       "a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]} })",
                  8),
            "a;b;");
  // Tensors without elements lie between others.
  EXPECT_EQ(names(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                  R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
                  R"("z":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                  8),
            "a;e;z;");
  EXPECT_EQ(names(R"({"r8":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1),
            "r8;");
}

TEST(Safetensors, RankAboveTheEnginesIsRefusedByName) {
  const auto file = SafetensorsFile::parse(
      file_with(R"({"seven":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "x"));
  ASSERT_TRUE(file.ok());
  try {
    file.value().tensor(file.value().tensors()[0]);
    FAIL();
  } catch (const DataError& e) {
    EXPECT_EQ(e.code(), "E0322");
    EXPECT_STREQ(e.what(), "tensor 'seven' has 7 dimensions; at most 6 are supported");
  }
}

TEST(Safetensors, TheWriterRefusesWhatTheReaderWould) {
  SafetensorsWriter writer;
  const std::array<std::byte, 4> four{};
  writer.add("a", DType::f32, {1}, four);
  const auto refused = [&](const std::string& name, std::vector<int64_t> shape) {
    EXPECT_THROW(writer.add(name, DType::f32, std::move(shape), four), DataError) << name;
  };
  refused("a", {1});
  refused("", {1});
  refused("b\n", {1});
  refused("__metadata__", {1});
  refused(std::string(513, 'x'), {1});
  refused("b", {2});
  refused("b", {1, 1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_THROW(writer.add("b", DType::f32, {int64_t{1} << 62, 4}, four), ShapeError);
  SafetensorsLimits limits;
  limits.tensors = 1;
  SafetensorsWriter one(SafetensorsOrder::by_name, limits);
  one.add("a", DType::f32, {1}, four);
  EXPECT_THROW(one.add("b", DType::f32, {1}, four), DataError);
  EXPECT_EQ(safetensors_name(static_cast<DType>(99)), "") << "of no dtype";
}

TEST(Safetensors, AFailedWriteLeavesTheOldFile) {
  test::SimFileSystem files;
  SafetensorsWriter small, large;
  const std::vector<std::byte> bytes(4096);
  small.add("x", DType::u8, {4}, std::span(bytes).first(4));
  large.add("x", DType::u8, {4096}, bytes);
  small.save("/f", files);
  files.budget = 1000;
  EXPECT_THROW(large.save("/f", files), CheckpointError);
  EXPECT_EQ(SafetensorsFile::open("/f", files).tensors().at(0).end, 4u);
}

TEST(Safetensors, ValuesMayBeProducedWhileWriting) {
  test::SimFileSystem files;
  const std::vector<std::byte> piece(3, std::byte{7});
  const auto produce = [&](int pieces) {
    return [&piece, pieces](FileWriter& writer) {
      for (int i = 0; i < pieces; ++i) writer.write(piece);
    };
  };
  SafetensorsWriter good, short_one;
  good.add("x", DType::u8, {2, 3}, produce(2));
  good.add("a", DType::f32, {1}, std::as_bytes(std::span("abc", 4)));
  good.save("/f", files);
  const auto file = SafetensorsFile::open("/f", files);
  EXPECT_EQ(file.tensor(*file.find("x")).to_vector(), std::vector<double>(6, 7));
  short_one.add("x", DType::u8, {2, 3}, produce(1));
  EXPECT_THROW(short_one.save("/f", files), DataError);
  EXPECT_THROW(short_one.to_bytes(), InternalError);
  EXPECT_EQ(SafetensorsFile::open("/f", files).tensors().size(), 2u) << "the old file stays";
}

TEST(Safetensors, SaysWhichFileAndWhere) {
  const test::TemporaryFolder folder;
  auto bytes = sample_file();
  bytes.pop_back();
  write_file_atomically(posix_file_system(), folder / "m.safetensors", bytes);
  try {
    SafetensorsFile::open(folder / "m.safetensors");
    FAIL();
  } catch (const DataError& e) {
    EXPECT_EQ(e.code(), "E0320");
    EXPECT_EQ(e.exit_code(), ExitCode::data);
    EXPECT_EQ(e.where(), folder / "m.safetensors" + ", byte " + std::to_string(bytes.size()));
    EXPECT_THAT(e.what(), testing::HasSubstr("the tensors need"));
  }
}

}  // namespace
}  // namespace sing
