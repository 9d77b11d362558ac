#include "sing/data/image_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <functional>

#include "sing/core/byte_reader.h"
#include "sing/core/error.h"
#include "support/temporary_folder.h"

namespace sing::data {
namespace {

using Bytes = std::vector<std::byte>;

Image8 sample(int64_t height, int64_t width, int64_t channels) {
  Image8 image{height, width, channels, {}};
  for (int64_t i = 0; i < height * width * channels; ++i)
    image.pixels.push_back(static_cast<uint8_t>(i * 7 + i / 5));
  return image;
}

std::string fault_of(std::span<const std::byte> file, const PngLimits& limits = {}) {
  const auto image = decode_png(file, limits);
  return image.ok() ? "accepted" : image.error().what;
}

uint32_t chunk_crc(std::span<const std::byte> bytes) {
  uint32_t crc = ~0u;
  for (const std::byte b : bytes) {
    crc ^= static_cast<uint32_t>(b);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

void append_big(Bytes& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::byte>(value >> shift));
}

Bytes chunk(std::string_view type, std::span<const std::byte> body) {
  Bytes out;
  append_big(out, static_cast<uint32_t>(body.size()));
  const auto name = bytes_of(type);
  out.insert(out.end(), name.begin(), name.end());
  out.insert(out.end(), body.begin(), body.end());
  append_big(out, chunk_crc(std::span(out).subspan(4)));
  return out;
}

Bytes joined(std::initializer_list<Bytes> parts) {
  const auto signature = bytes_of("\x89PNG\r\n\x1a\n");
  Bytes out(signature.begin(), signature.end());
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

Bytes header(uint32_t width, uint32_t height, int depth = 8, int colour = 0) {
  Bytes body;
  append_big(body, width);
  append_big(body, height);
  for (const int value : {depth, colour, 0, 0, 0}) body.push_back(static_cast<std::byte>(value));
  return chunk("IHDR", body);
}

// The data chunk of a file that was encoded by us.
Bytes data_chunk(const Bytes& file) {
  ByteReader reader(file);
  reader.skip(8);
  while (true) {
    const size_t start = reader.position();
    const uint32_t length = __builtin_bswap32(reader.u32().value());
    const std::string type(reader.text(4).value());
    reader.skip(length + 4);
    if (type == "IDAT")
      return Bytes(file.begin() + static_cast<ptrdiff_t>(start),
                   file.begin() + static_cast<ptrdiff_t>(reader.position()));
  }
}

TEST(Png, RoundTripsGrayAndRgb) {
  for (const int64_t channels : {1, 3})
    for (const auto& [height, width] : {std::pair(1, 1), {5, 7}, {64, 33}}) {
      const Image8 image = sample(height, width, channels);
      const auto file = encode_png(image);
      EXPECT_EQ(decode_png(file).value(), image);
      EXPECT_EQ(encode_png(image), file);
    }
  EXPECT_THROW(encode_png(sample(2, 2, 4)), ShapeError);
  Image8 wrong = sample(2, 2, 1);
  wrong.height = 3;
  EXPECT_THROW(encode_png(wrong), ShapeError);
  EXPECT_THROW(encode_png(Image8{0, 4, 1, {}}), ShapeError);
}

TEST(Png, ReadsWhatOtherProgramsWrite) {
  // RGBA through the library's own writer.
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = png.height = 2;
  png.format = PNG_FORMAT_RGBA;
  const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6, 7, 128, 9, 10, 11, 255, 13, 14, 15, 0};
  Bytes file(1000);
  png_alloc_size_t size = file.size();
  ASSERT_NE(png_image_write_to_memory(&png, file.data(), &size, 0, pixels.data(), 0, nullptr), 0);
  file.resize(size);
  EXPECT_EQ(decode_png(file).value(), (Image8{2, 2, 4, pixels}));
}

TEST(Png, SamplesComeOutAsStored) {
  // A gamma chunk that says "linear" must not change a value.
  const Image8 image = sample(4, 4, 1);
  Bytes gamma;
  append_big(gamma, 100000);
  const Bytes file = joined(
      {header(4, 4), chunk("gAMA", gamma), data_chunk(encode_png(image)), chunk("IEND", {})});
  EXPECT_EQ(decode_png(file).value(), image);
}

TEST(Png, ReadsAndWritesFiles) {
  const test::TemporaryFolder folder;
  write_png(folder / "a.png", sample(3, 4, 3));
  EXPECT_EQ(read_png(folder / "a.png"), sample(3, 4, 3));
  try {
    read_png(folder / "a.png", {.pixels = 11});
    FAIL();
  } catch (const DataError& e) {
    EXPECT_EQ(e.code(), "E0330");
    EXPECT_STREQ(e.what(), "the picture is 4 x 3, more than is allowed");
  }
  EXPECT_THROW(read_png(folder / "b.png"), DataError);
}

TEST(Png, HostileFilesAreRefused) {
  const Image8 image = sample(6, 5, 3);
  const Bytes good = encode_png(image), data = data_chunk(good), end = chunk("IEND", {});
  const Bytes text = [] {
    const auto bytes = bytes_of("just some text");
    return Bytes(bytes.begin(), bytes.end());
  }();
  const auto changed = [&](const std::function<void(Bytes&)>& change) {
    Bytes file = good;
    change(file);
    return file;
  };
  const std::pair<Bytes, const char*> files[] = {
      {{}, "not a PNG"},
      {text, "not a PNG"},
      {Bytes(good.begin(), good.begin() + 8), "ends too early"},
      {Bytes(good.begin(), good.begin() + 20), "ends too early"},
      {Bytes(good.begin(), good.end() - 1), "ends too early"},
      {Bytes(good.begin(), good.end() - 12), "ends too early"},
      {changed([](Bytes& f) { f[4] = std::byte{'\n'}; }), "not a PNG"},
      {changed([](Bytes& f) { f[8] = std::byte{0xff}; }), "ends too early"},
      {changed([](Bytes& f) { f[19] = std::byte{1}; }), "damaged"},   // width, its CRC is wrong
      {changed([](Bytes& f) { f[45] ^= std::byte{1}; }), "damaged"},  // the compressed data
      {joined({header(65537, 1), data, end}), "more than is allowed"},
      {joined({header(65536, 65536), data, end}), "more than is allowed"},
      {joined({header(0x7fffffff, 0x7fffffff), data, end}), "more than is allowed"},
      {joined({header(0, 5), data, end}), "impossible size"},
      {joined({header(5, 0x80000000u), data, end}), "impossible size"},
      {joined({header(5, 6, 16, 2), data, end}), "16 bits"},
      {joined({header(5, 6, 3, 2), data, end}), "damaged"},
      {joined({header(5, 6, 8, 7), data, end}), "damaged"},
      {joined({header(5, 6, 8, 3), data, end}), "damaged"},  // a palette picture without one
      {joined({chunk("IHDR", {}), data, end}), "wrong length"},
      {joined({data, header(5, 6, 8, 2), end}), "not where it belongs"},
      {joined({header(5, 6, 8, 2), header(5, 6, 8, 2), data, end}), "not where it belongs"},
      {joined({header(5, 6, 8, 2), end}), "holds no picture"},
      {joined({header(5, 6, 8, 2), chunk("ABCD", {}), data, end}), "unknown critical"},
      {joined({header(5, 600, 8, 2), data, end}), "damaged"},  // less data than it says
      {joined({header(5, 6, 8, 2), chunk("IDAT", text), end}), "damaged"}};
  EXPECT_GE(std::size(files), 20u);
  for (size_t i = 0; i < std::size(files); ++i)
    EXPECT_THAT(fault_of(files[i].first), testing::HasSubstr(files[i].second)) << "file " << i;
}

TEST(Png, SizesAtTheEdges) {
  const Bytes good = encode_png(sample(6, 5, 3)), data = data_chunk(good), end = chunk("IEND", {});
  const auto cut = [](size_t size) {  // a header of another length
    const Bytes whole = header(5, 6, 8, 2);
    return chunk("IHDR", std::span(whole).subspan(8, size));
  };
  for (const size_t size : {2, 4, 8, 9, 12, 14})
    EXPECT_EQ(fault_of(joined({cut(size), data, end})), "the PNG header has the wrong length");
  for (const auto& [width, height] : {std::pair{0u, 5u}, {5u, 0u}, {0x80000000u, 5u}})
    EXPECT_EQ(fault_of(joined({header(width, height), data, end})),
              "the PNG header has an impossible size");
  PngLimits limits;
  limits.side = 5;
  EXPECT_THAT(fault_of(good, limits), testing::HasSubstr("5 x 6, more than is allowed"));
  limits.side = 6;
  EXPECT_EQ(fault_of(good, limits), "accepted");
  for (const auto& [h, w] :
       {std::pair{int64_t{1} << 31, int64_t{1}}, {int64_t{1}, int64_t{1} << 31}})
    EXPECT_THROW(encode_png({h, w, 1, {}}), ShapeError);
}

TEST(Png, APaletteIsReadWithItsTransparency) {
  const Bytes palette = {std::byte{10}, std::byte{20}, std::byte{30},
                         std::byte{40}, std::byte{50}, std::byte{60}};
  const Bytes alpha = {std::byte{255}, std::byte{7}};
  // Two pixels of a row behind its filter byte, stored without compression.
  const Bytes row = {std::byte{0}, std::byte{0}, std::byte{1}};
  Bytes zlib = {std::byte{0x78}, std::byte{0x01}, std::byte{1},   std::byte{3},
                std::byte{0},    std::byte{0xfc}, std::byte{0xff}};
  zlib.insert(zlib.end(), row.begin(), row.end());
  append_big(zlib, 0x00040002);  // Adler-32 of 0 0 1: sums 2 and 4
  const Bytes file = joined({header(2, 1, 8, 3), chunk("PLTE", palette), chunk("tRNS", alpha),
                             chunk("IDAT", zlib), chunk("IEND", {})});
  const auto image = decode_png(file);
  ASSERT_TRUE(image.ok()) << image.error().what;
  EXPECT_EQ(image.value().channels, 4);
  EXPECT_EQ(image.value().pixels, (std::vector<uint8_t>{10, 20, 30, 255, 40, 50, 60, 7}));
}

TEST(Png, EveryTruncationAndEveryChangedByteIsRefused) {
  const Bytes good = encode_png(sample(6, 5, 3));
  for (size_t size = 0; size < good.size(); ++size)
    ASSERT_FALSE(decode_png(std::span(good).first(size)).ok()) << size;
  Bytes changed = good;
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int flip : {1, 4, 32, 128, 255}) {
      changed[i] ^= static_cast<std::byte>(flip);
      ASSERT_FALSE(decode_png(changed).ok()) << "byte " << i;
      changed[i] = good[i];
    }
  }
}

}  // namespace
}  // namespace sing::data
