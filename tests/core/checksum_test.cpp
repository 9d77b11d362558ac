#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sing/core/byte_reader.h"
#include "sing/core/crc32c.h"
#include "sing/core/sha256.h"

namespace sing {
namespace {

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 31 + i / 7) & 255);
  return text;
}

// Vectors of RFC 3720, appendix B.4, and the usual check value.
TEST(Crc32c, KnownVectors) {
  std::string up(32, '\0'), down(32, '\0');
  for (size_t i = 0; i < 32; ++i) {
    up[i] = static_cast<char>(i);
    down[i] = static_cast<char>(31 - i);
  }
  const std::pair<std::string, uint32_t> vectors[] = {
      {"", 0u},          {"123456789", 0xe3069283u}, {std::string(32, '\0'), 0x8a9136aau},
      {up, 0x46dd794eu}, {down, 0x113fdb5cu},        {std::string(32, '\xff'), 0x62a8ab43u}};
  for (const auto& [text, crc] : vectors) {
    EXPECT_EQ(crc32c(bytes_of(text)), crc);
    EXPECT_EQ(crc32c_by_table(bytes_of(text)), crc);
  }
}

TEST(Crc32c, PiecesEqualTheWholeAndBothWaysAgree) {
  const std::string text = pattern(1027);
  const auto bytes = bytes_of(text);
  const uint32_t whole = crc32c(bytes);
  EXPECT_EQ(crc32c_by_table(bytes), whole);
  for (size_t cut = 0; cut <= bytes.size(); cut += 13)
    EXPECT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), whole) << cut;
}

// FIPS 180-4 examples, and one million times 'a'.
TEST(Sha256, KnownVectors) {
  const std::pair<std::string, const char*> vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1000000, 'a'),
       "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const auto& [text, digest] : vectors) {
    for (const bool instructions : {true, false}) {
      Sha256 sha(instructions);
      sha.update(bytes_of(text));
      EXPECT_EQ(sha.hex(), digest) << "instructions " << instructions;
    }
  }
}

TEST(Sha256, PiecesEqualTheWholeAndBothWaysAgree) {
  const std::string text = pattern(300);
  for (size_t size = 0; size <= text.size(); ++size) {
    const auto bytes = bytes_of(text).first(size);
    Sha256 pieces(true), plain(false);
    plain.update(bytes);
    for (size_t from = 0; from < size; from += 37)
      pieces.update(bytes.subspan(from, std::min<size_t>(37, size - from)));
    ASSERT_EQ(pieces.hex(), plain.hex()) << size;
    ASSERT_EQ(sha256_hex(bytes), plain.hex()) << size;
  }
}

}  // namespace
}  // namespace sing
