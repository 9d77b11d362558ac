// What a run looks like in text, and the metrics file.
#include "sing/train/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "sing/train/metrics_log.h"
#include "support/temporary_folder.h"

namespace sing::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(Text, NumbersAndTimes) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(4760), "4 760");
  EXPECT_EQ(grouped(-1234567), "-1 234 567");
  EXPECT_EQ(short_number(44123), "44 100");
  EXPECT_EQ(short_number(0.0018412), "0.00184");
  EXPECT_EQ(short_number(12.34), "12.3");
  EXPECT_EQ(short_time(14.2), "14s");
  EXPECT_EQ(short_time(63), "1m03s");
  EXPECT_EQ(short_time(7500), "2h05m");
  EXPECT_EQ(clock_time(63), "0:01:03");
  EXPECT_EQ(utc_time(1795281003), "2026-11-21T17:10:03Z");
  EXPECT_EQ(metric_text(0.8123, true), "81.2 %");
}

Progress example() {
  Progress p;
  p.step = 4760;
  p.total_steps = 9800;
  p.epoch = 48.57;
  p.total_epochs = 100;
  p.loss = 0.00184;
  p.learning_rate = 5.7e-3;
  p.raw_norm = 0.83;
  p.raw_norm_ratio = 1.05;
  p.samples_per_second = 44100;
  p.data_wait = 0.01;
  p.elapsed = 61;
  p.remaining = 63;
  p.memory_gib = 11.9;
  p.best = "depth_accuracy 81.2 % @ step 4 704";
  p.next_checkpoint = 840;
  return p;
}

/// Characters, not bytes.
size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

TEST(Bar, ThreeLinesThatFitTheWindow) {
  const std::vector<std::string> lines = bar_lines(example(), 100);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], HasSubstr("epoch 49/100"));
  EXPECT_THAT(lines[0], HasSubstr("49 %   step 4 760/9 800   1m01s, about 1m03s left"));
  EXPECT_THAT(
      lines[1],
      HasSubstr("loss 0.00184   lr 0.0057   raw |g| 0.83 (1.05 × median)   44 100 samples/s"));
  EXPECT_THAT(lines[2],
              HasSubstr("best depth_accuracy 81.2 % @ step 4 704   next checkpoint in 14m"));
  for (const int columns : {20, 40, 79, 120})
    for (const std::string& line : bar_lines(example(), columns))
      EXPECT_LE(characters(line), static_cast<size_t>(columns));
}

TEST(Line, KeyEqualsValue) {
  EXPECT_EQ(event_line("T", "train", {{"step", "3/9"}, {"what", "two words"}, {"empty", ""}}),
            "T train  step=3/9 what=\"two words\" empty=\"\"");
  EXPECT_THAT(progress_fields(example()), ::testing::Contains(Pair("step", "4760/9800")));
  EXPECT_THAT(progress_fields(example()), ::testing::Contains(Pair("eta", "0:01:03")));
}

TEST(Metrics, TornLinesAndSupersededRecordsAreDropped) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  {
    MetricsLog log(path);
    for (const int64_t step : {1, 2, 3, 4})
      log.write({step, 0.5, 32 * step}, {{"train/loss", 1.0 / static_cast<double>(step)}});
  }
  std::ofstream(path, std::ios::app) << "{\"t\":1,\"step\":5,\"train/lo";  // a kill in mid-write
  EXPECT_EQ(read_metrics(path).size(), 4u);
  {
    MetricsLog log(path);
    log.resume_at(2);
    log.write({3, 0.5, 96}, {{"train/loss", 0.25}, {"train/bad", std::nan("")}});
  }
  const auto records = read_metrics(path);
  EXPECT_THAT(series(records, "train/loss"),
              ElementsAre(Pair(1, 1.0), Pair(2, 0.5), Pair(3, 0.25)));
  EXPECT_TRUE(series(records, "train/bad").empty()) << "not finite is null";
  EXPECT_TRUE(read_metrics(folder / "absent").empty());
}

}  // namespace
}  // namespace sing::train
