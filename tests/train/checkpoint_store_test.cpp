#include "sing/train/checkpoint_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>

#include "support/checkpoint_samples.h"
#include "support/sim_file_system.h"
#include "support/temporary_folder.h"

namespace sing::train {
namespace {

using test::contents_of;
using test::is_of_step;
using test::SimFileSystem;
using Steps = std::vector<int64_t>;

TEST(CheckpointStore, SavesAndLoadsOnRealFiles) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "run/checkpoints";
  CheckpointStore store(posix_file_system(), path);
  EXPECT_FALSE(store.load_newest().has_value());
  const SavedCheckpoint saved = store.save(12000, contents_of(12000), 0.25);
  EXPECT_EQ(saved.path, path + "/step-00012000");
  EXPECT_GT(saved.bytes, 2400u);
  EXPECT_TRUE(saved.is_best);
  EXPECT_TRUE(is_of_step(*store.load_newest(), 12000));
  EXPECT_EQ(store.load_newest()->score, 0.25);
  EXPECT_TRUE(is_of_step(load_checkpoint(path + "/last"), 12000)) << "through the link";
  EXPECT_TRUE(is_of_step(load_checkpoint(path + "/best"), 12000));
  const auto model = load_checkpoint(path + "/best", CheckpointParts::model);
  EXPECT_EQ(model.contents.model.size(), 3u);
  EXPECT_TRUE(model.contents.optimizer.empty());
  struct stat status {};
  ASSERT_EQ(::stat((saved.path + "/model.safetensors").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(saved.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST(CheckpointStore, NamesAreExact) {
  EXPECT_EQ(checkpoint_name(7), "step-00000007");
  EXPECT_EQ(checkpoint_name(123456789), "step-123456789");
  EXPECT_EQ(step_of_checkpoint("step-00000007"), 7);
  EXPECT_EQ(step_of_checkpoint("step-123456789"), 123456789);
  for (const char* name :
       {"step-7", "step-0000000x", "step--0000007", "step-000000007", "last",
        "step-99999999999999999999", "step-9007199254740992", ".old-step-00000007", "step-"})
    EXPECT_EQ(step_of_checkpoint(name), std::nullopt) << name;
}

TEST(CheckpointStore, KeepsTheNewestTheBestAndThePeriodicOnes) {
  SimFileSystem files;
  CheckpointStore store(files, "/c", {.keep_last = 2, .keep_best = 1, .keep_every = 30});
  const double scores[] = {0.1, 0.9, 0.2, 0.9, NAN, 0.3};
  for (int i = 0; i < 6; ++i) store.save(10 * (i + 1), contents_of(10 * (i + 1)), scores[i]);
  // 20 and 40 tie: the earlier wins; 50 is never best; 30 and 60 are periodic.
  EXPECT_EQ(store.steps(), (Steps{20, 30, 50, 60}));
  EXPECT_EQ(store.best_step(), 20);
  EXPECT_EQ(files.readlink("/c/best").value(), "step-00000020");
  EXPECT_EQ(files.readlink("/c/last").value(), "step-00000060");
  for (const int64_t step : store.steps()) EXPECT_TRUE(is_of_step(store.load_step(step), step));
  EXPECT_EQ(files.list("/c").value().size(), 6u) << "no leftovers";
}

TEST(CheckpointStore, LowerIsBetterWhenAsked) {
  SimFileSystem files;
  CheckpointStore store(files, "/c", {.higher_is_better = false});
  EXPECT_TRUE(store.save(1, contents_of(1), 0.5).is_best);
  EXPECT_FALSE(store.save(2, contents_of(2), 0.5).is_best);
  EXPECT_FALSE(store.save(3, contents_of(3), NAN).is_best);
  EXPECT_FALSE(store.save(4, contents_of(4)).is_best);
  EXPECT_TRUE(store.save(5, contents_of(5), -INFINITY).is_best);
  EXPECT_EQ(store.load_step(5).score, -INFINITY);
}

TEST(CheckpointStore, NeverPrunesBelowTwoUsableOnes) {
  SimFileSystem files;
  CheckpointStore store(files, "/c", {.keep_last = 0, .keep_best = 0});
  store.save(1, contents_of(1));
  store.save(2, contents_of(2));
  (*files.contents("/c/step-00000002/optimizer.safetensors"))[600] ^= std::byte{1};
  CheckpointStore next(files, "/c", {.keep_last = 1});  // knows nothing yet: must look
  next.save(3, contents_of(3));
  EXPECT_EQ(next.steps(), (Steps{1, 2, 3})) << "2 is damaged, so 1 must stay";
  next.save(4, contents_of(4));
  EXPECT_EQ(next.steps(), (Steps{3, 4}));
}

TEST(CheckpointStore, ReplacesACheckpointOfTheSameStep) {
  SimFileSystem files;
  CheckpointStore store(files, "/c");
  store.save(5, contents_of(4));
  store.save(5, contents_of(5));
  EXPECT_TRUE(is_of_step(*store.load_newest(), 5));
  EXPECT_EQ(files.list("/c").value(), (std::vector<std::string>{"last", "step-00000005"}));
}

TEST(CheckpointStore, UsesThePreviousOneAndSaysWhy) {
  SimFileSystem files;
  CheckpointStore store(files, "/c", {.keep_last = 4});
  for (const int64_t step : {1, 2, 3, 4}) store.save(step, contents_of(step));
  files.contents("/c/step-00000004/model.safetensors")->resize(100);
  (*files.contents("/c/step-00000003/optimizer.safetensors"))[900] ^= std::byte{16};
  ASSERT_EQ(files.unlink("/c/step-00000002/manifest.json"), 0);
  const auto loaded = store.load_newest();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_TRUE(is_of_step(*loaded, 1));
  ASSERT_EQ(loaded->passed_over.size(), 3u);
  EXPECT_THAT(loaded->passed_over[0],
              testing::MatchesRegex("step-00000004: model.safetensors has 100 of [0-9]+ bytes"));
  EXPECT_EQ(loaded->passed_over[1],
            "step-00000003: optimizer.safetensors: tensor 'blocks.0.weight/adamw/m' is damaged");
  EXPECT_EQ(loaded->passed_over[2],
            "step-00000002: manifest.json cannot be opened: No such file or directory");
  ASSERT_EQ(files.unlink("/c/step-00000001/state.json"), 0);
  try {
    (void)store.load_newest();
    FAIL();
  } catch (const CheckpointError& e) {
    EXPECT_EQ(e.code(), "E0402");
    EXPECT_EQ(e.exit_code(), ExitCode::checkpoint);
    EXPECT_THAT(e.what(), testing::StartsWith("none of the 4 checkpoints is usable"));
  }
}

TEST(CheckpointStore, FindsMissingEmptyShortSwappedAndLinkedFiles) {
  const char* names[] = {"model.safetensors", "optimizer.safetensors", "state.json",
                         "manifest.json"};
  int cases = 0;
  for (const char* name : names) {
    for (int kind = 0; kind < 6; ++kind) {
      SimFileSystem files;
      CheckpointStore store(files, "/c");
      store.save(1, contents_of(1));
      store.save(2, contents_of(2));
      const std::string path = std::string("/c/step-00000002/") + name;
      auto& bytes = *files.contents(path);
      if (kind == 0) files.unlink(path);
      if (kind == 1) bytes.clear();
      if (kind == 2) bytes.pop_back();
      if (kind == 3) bytes.push_back(std::byte{' '});
      if (kind == 4) bytes = *files.contents(std::string("/c/step-00000001/") + name);
      if (kind == 5) {
        files.unlink(path);
        files.symlink("../step-00000001/" + std::string(name), path);
      }
      const auto loaded = store.load_newest();
      EXPECT_TRUE(loaded && is_of_step(*loaded, 1) && loaded->passed_over.size() == 1)
          << name << " kind " << kind;
      ++cases;
    }
  }
  EXPECT_EQ(cases, 24);
}

TEST(CheckpointStore, EveryFlippedBitIsFound) {
  SimFileSystem files;
  CheckpointStore store(files, "/c");
  store.save(1, contents_of(1));
  store.save(2, contents_of(2), 0.5);
  test::Dice dice(11);
  int found = 0;
  for (const auto& [name, flips] :
       {std::pair("model.safetensors", 150), std::pair("optimizer.safetensors", 150),
        std::pair("state.json", 50), std::pair("manifest.json", 250)}) {
    auto& bytes = *files.contents(std::string("/c/step-00000002/") + name);
    for (int i = 0; i < flips; ++i) {
      const size_t at = dice(bytes.size());
      const auto mask = static_cast<std::byte>(1u << dice(8));
      bytes[at] ^= mask;
      const auto loaded = store.load_newest();
      ASSERT_TRUE(loaded && is_of_step(*loaded, 1)) << name << " byte " << at;
      found += loaded->passed_over.size() == 1;
      bytes[at] ^= mask;
    }
  }
  EXPECT_EQ(found, 600);
  EXPECT_TRUE(is_of_step(*store.load_newest(), 2)) << "all flips were taken back";
}

TEST(CheckpointStore, AFolderUnderAnotherStepsNameIsNotTrusted) {
  SimFileSystem files;
  CheckpointStore store(files, "/c");
  store.save(1, contents_of(1));
  ASSERT_EQ(files.rename("/c/step-00000001", "/c/step-00000009"), 0);
  EXPECT_THROW((void)store.load_newest(), CheckpointError);
}

TEST(CheckpointStore, ChecksForRoom) {
  SimFileSystem files;
  CheckpointStore store(files, "/c");
  const uint64_t bytes = store.save(0, contents_of(0)).bytes;
  files.budget = files.bytes_used() + 2 * bytes;
  EXPECT_NO_THROW(store.check_room(bytes));
  files.budget -= 1;
  files.before = [](SimFileSystem::Call call, const std::string&) {
    return call == SimFileSystem::Call::free_bytes ? ENOSYS : 0;
  };
  EXPECT_NO_THROW(store.check_room(bytes)) << "not known";
  files.before = {};
  try {
    store.check_room(bytes);
    FAIL();
  } catch (const CheckpointError& e) {
    EXPECT_EQ(e.code(), "E0403");
  }
}

TEST(SaveFailures, GivesUpAfterFiveInARow) {
  const CheckpointError reason("cannot write x: No space left on device", "x", "free some",
                               "E0401");
  SaveFailures failures;
  for (int i = 0; i < 4; ++i) EXPECT_NO_THROW(failures.failed(reason));
  failures.succeeded();
  for (int i = 0; i < 4; ++i) EXPECT_NO_THROW(failures.failed(reason));
  try {
    failures.failed(reason);
    FAIL();
  } catch (const CheckpointError& e) {
    EXPECT_EQ(e.code(), "E0404");
    EXPECT_EQ(e.exit_code(), ExitCode::checkpoint);
    EXPECT_THAT(e.what(), testing::HasSubstr("No space left"));
  }
}

}  // namespace
}  // namespace sing::train
