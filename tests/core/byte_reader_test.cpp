#include "sing/core/byte_reader.h"

#include <gtest/gtest.h>

#include <array>

namespace sing {
namespace {

constexpr std::array<std::byte, 9> kBytes = {std::byte{1}, std::byte{2}, std::byte{3},
                                             std::byte{4}, std::byte{5}, std::byte{6},
                                             std::byte{7}, std::byte{8}, std::byte{9}};

TEST(ByteReader, ReadsLittleEndianAtAnyAlignment) {
  ByteReader reader(kBytes);
  EXPECT_EQ(reader.u8(), 1);
  EXPECT_EQ(reader.u16(), 0x0302);
  EXPECT_EQ(reader.u32(), 0x07060504u);
  EXPECT_EQ(reader.position(), 7u);
  EXPECT_EQ(reader.text(2), "\x08\x09");
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(ByteReader(bytes_of("\xff\xff\xff\xff")).i32(), -1);
  EXPECT_EQ(ByteReader(kBytes).u64(), 0x0807060504030201u);
  EXPECT_EQ(ByteReader(bytes_of(std::string_view("\0\0\x80\x3f", 4))).f32(), 1.0f);
}

TEST(ByteReader, AReadThatDoesNotFitMovesNothing) {
  ByteReader reader(kBytes);
  ASSERT_TRUE(reader.skip(5));
  EXPECT_EQ(reader.u64(), std::nullopt);
  EXPECT_EQ(reader.i64(), std::nullopt);
  EXPECT_EQ(reader.f64(), std::nullopt);
  EXPECT_EQ(reader.bytes(~uint64_t{0}), std::nullopt) << "a huge count must not wrap round";
  EXPECT_EQ(reader.position(), 5u);
  EXPECT_EQ(reader.u32(), 0x09080706u);
  EXPECT_EQ(reader.u8(), std::nullopt);
}

TEST(ByteReader, StopsAtItsLimit) {
  ByteReader reader(kBytes, 3);
  EXPECT_EQ(reader.remaining(), 3u);
  EXPECT_EQ(reader.u32(), std::nullopt);
  EXPECT_EQ(reader.u16(), 0x0201);
  EXPECT_EQ(ByteReader(kBytes, 100).remaining(), kBytes.size());
}

}  // namespace
}  // namespace sing
