#include "sing/tensor/safetensors_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/safetensors_bytes.h"
#include "support/sim_file_system.h"

namespace sing {
namespace {

using test::file_with;

std::string refusal(test::SimFileSystem& files, const std::string& path, std::string_view code,
                    const SafetensorsLimits& limits = {}) {
  try {
    const SafetensorsReader reader(path, files, limits);
    for (const SafetensorsEntry& entry : reader.tensors()) reader.read(entry);
  } catch (const DataError& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.where(), ::testing::HasSubstr(path));
    return error.what();
  }
  ADD_FAILURE() << path << " was taken";
  return {};
}

TEST(SafetensorsReader, GivesWhatTheWholeFileGives) {
  test::SimFileSystem files;
  const std::vector<std::byte> bytes = test::sample_file();
  files.put("/f", bytes);
  const SafetensorsFile whole = SafetensorsFile::open("/f", files);
  {
    const SafetensorsReader reader("/f", files);
    ASSERT_EQ(reader.tensors(), whole.tensors());
    for (size_t k = reader.tensors().size(); k-- > 0;) {  // in any order
      const SafetensorsEntry& entry = reader.tensors()[k];
      const Tensor a = reader.read(entry), b = whole.tensor(entry).contiguous();
      ASSERT_EQ(a.shape(), b.shape());
      EXPECT_EQ(std::memcmp(a.raw(), b.raw(), static_cast<size_t>(entry.end - entry.begin)), 0);
    }
  }
  EXPECT_EQ(files.open_files(), 0);
}

TEST(SafetensorsReader, TakesNoMemoryForValuesNotAskedFor) {
  test::SimFileSystem files;
  uint64_t read = 0;
  files.put("/f",
            test::file_with(R"({"a":{"dtype":"U8","shape":[1048576],"data_offsets":[0,1048576]}})",
                            std::string(1 << 20, '\1'))
                .span());
  files.before = [&](test::SimFileSystem::Call call, const std::string&) {
    read += call == test::SimFileSystem::Call::read;
    return 0;
  };
  const SafetensorsReader reader("/f", files);
  EXPECT_LE(read, 2u) << "length word and header";
}

TEST(SafetensorsReader, RefusesWhatCannotBeTrusted) {
  test::SimFileSystem files;
  EXPECT_THAT(refusal(files, "/none", "E0301"), ::testing::HasSubstr("cannot be opened"));
  const auto put = [&](const char* path, const ByteBuffer& bytes) {
    files.put(path, bytes.span());
  };
  put("/empty", ByteBuffer());
  refusal(files, "/empty", "E0320");
  put("/short", test::buffer_of(bytes_of("abc")));
  EXPECT_THAT(refusal(files, "/short", "E0320"), ::testing::HasSubstr("too short"));
  // A length word beyond the file or the limit costs no memory.
  put("/long", file_with("{}", "", uint64_t{1} << 60));
  EXPECT_THAT(refusal(files, "/long", "E0320"), ::testing::HasSubstr("the limit is"));
  put("/cut", file_with("{}", "", 1000));
  EXPECT_THAT(refusal(files, "/cut", "E0320"), ::testing::HasSubstr("ends inside the header"));
  put("/hole", file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "ab"));
  EXPECT_THAT(refusal(files, "/hole", "E0320"), ::testing::HasSubstr("hole"));
  put("/bool", file_with(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\1\2"));
  EXPECT_THAT(refusal(files, "/bool", "E0320"), ::testing::HasSubstr("BOOL"));
  put("/seven",
      file_with(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "a"));
  EXPECT_THAT(refusal(files, "/seven", "E0322"), ::testing::HasSubstr("7 dimensions"));
  EXPECT_EQ(files.open_files(), 0);
}

TEST(SafetensorsReader, NoticesAFileThatShrinks) {
  test::SimFileSystem files;
  const std::vector<std::byte> bytes = test::sample_file();
  files.put("/f", bytes);
  const SafetensorsReader reader("/f", files);
  files.contents("/f")->resize(bytes.size() / 2);
  EXPECT_THROW(reader.read(reader.tensors().back()), DataError);
}

TEST(SafetensorsReader, RetriesInterruptsAndReportsFaults) {
  using Call = test::SimFileSystem::Call;
  test::SimFileSystem files;
  files.put("/f", test::sample_file());
  const auto failing = [&](Call call, int code, int times) {
    files.before = [=, left = times](Call now, const std::string&) mutable {
      return now == call && left-- > 0 ? code : 0;
    };
  };
  for (const Call call : {Call::open, Call::read}) {
    failing(call, EINTR, 3);
    EXPECT_FALSE(SafetensorsReader("/f", files).tensors().empty());
    failing(call, EIO, 1);
    EXPECT_THAT(refusal(files, "/f", "E0301"), ::testing::HasSubstr("Input/output error"));
  }
  failing(Call::size, EIO, 1);
  EXPECT_THAT(refusal(files, "/f", "E0301"), ::testing::HasSubstr("cannot be read"));
  failing(Call::open, EINVAL, 1);
  EXPECT_THAT(refusal(files, "/f", "E0301"), ::testing::HasSubstr("is not a regular file"));
  EXPECT_EQ(files.open_files(), 0);
}

TEST(SafetensorsWriter, KeepsTheOrderOfAddingWithinAWidth) {
  SafetensorsWriter writer(SafetensorsOrder::as_added);
  const std::array<std::byte, 8> bytes{};
  const std::span<const std::byte> all(bytes);
  for (const char* name : {"c", "a", "b"}) writer.add(name, DType::f32, {1}, all.first(4));
  writer.add("wide", DType::f64, {1}, all);
  std::vector<std::string> names;
  for (const auto& item : writer.items()) names.push_back(item.entry.name);
  EXPECT_THAT(names, ::testing::ElementsAre("wide", "c", "a", "b"));
}

}  // namespace
}  // namespace sing
