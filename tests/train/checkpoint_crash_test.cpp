// What a crash, a failing call or a full disk at any moment leaves of the checkpoints.
#include <gtest/gtest.h>

#include "support/checkpoint_samples.h"
#include "support/sim_file_system.h"

namespace sing::train {
namespace {

using test::contents_of;
using test::is_of_step;
using test::SimFileSystem;
using test::Survival;

// Starts again after a crash: the newest usable checkpoint must be whole and at least as new as
// the last save that was reported done.
void check_restart(SimFileSystem files, int64_t done, bool save_again) {
  CheckpointStore store(files, "/run/checkpoints");
  store.recover();
  const auto loaded = store.load_newest();
  ASSERT_TRUE(loaded.has_value() || done < 0) << "nothing left, " << done << " was done";
  if (loaded) {
    ASSERT_TRUE(is_of_step(*loaded, loaded->step));
    ASSERT_GE(loaded->step, done);
    ASSERT_LE(loaded->step, done + 1);
  }
  if (!save_again) return;
  const int64_t next = done + 2;
  store.save(next, contents_of(next));
  ASSERT_TRUE(is_of_step(*store.load_newest(), next));
  const auto names = files.list("/run/checkpoints").value();
  for (const std::string& name : names) ASSERT_NE(name[0], '.') << "left behind: " << name;
}

TEST(CheckpointCrash, ACompleteCheckpointLoadsInEveryState) {
  SimFileSystem files;
  files.put_folder("/run");
  test::Dice dice(5);
  int64_t done = -1;
  int states = 0;
  files.after = [&] {
    if (testing::Test::HasFatalFailure()) return;
    for (int i = 0; i < 8; ++i) {
      const Survival survival = i == 0   ? Survival::nothing
                                : i == 1 ? Survival::everything
                                         : Survival::some;
      SimFileSystem next = files.after_crash(survival, dice);
      check_restart(next, done, i % 4 == 1);
      if (i == 2) {  // and a second crash while the first is being cleared up
        CheckpointStore(next, "/run/checkpoints").recover();
        check_restart(next.after_crash(Survival::some, dice), done, false);
        ++states;
      }
      ++states;
    }
  };
  CheckpointStore store(files, "/run/checkpoints");
  for (int64_t step = 0; step < 6; ++step) {
    store.save(step, contents_of(step), static_cast<double>(step % 3));
    if (testing::Test::HasFatalFailure()) return;
    done = step;
  }
  RecordProperty("states", states);
  EXPECT_GE(states, 1000);
}

TEST(CheckpointCrash, ReplacingAStepIsSafeToo) {
  SimFileSystem files;
  files.put_folder("/run");
  test::Dice dice(6);
  CheckpointStore store(files, "/run/checkpoints");
  store.save(3, contents_of(3));
  files.after = [&] {
    for (int i = 0; i < 10 && !testing::Test::HasFatalFailure(); ++i)
      check_restart(files.after_crash(i == 0 ? Survival::nothing : Survival::some, dice), 3, false);
  };
  store.save(3, contents_of(3));
}

TEST(CheckpointCrash, AnyFailingCallLeavesTheOldOnesAndTheNextSaveWorks) {
  int cases = 0, failed_saves = 0;
  for (const int failure : {EIO, ENOSPC, EINTR, SimFileSystem::kShortWrite}) {
    for (int at = 0;; ++at) {
      SimFileSystem files;
      files.put_folder("/run");
      CheckpointStore store(files, "/run/checkpoints");
      for (int64_t step = 0; step < 3; ++step) store.save(step, contents_of(step));
      int call = 0;
      files.before = [&](SimFileSystem::Call which, const std::string&) {
        if (call++ != at) return 0;
        return failure == SimFileSystem::kShortWrite && which != SimFileSystem::Call::write
                   ? 0
                   : failure;
      };
      bool saved = true;
      try {
        store.save(3, contents_of(3), 1.0);
      } catch (const CheckpointError&) {
        saved = false;
        ++failed_saves;
      }
      files.before = nullptr;
      ++cases;
      const auto loaded = store.load_newest();
      ASSERT_TRUE(loaded && is_of_step(*loaded, loaded->step)) << failure << " at " << at;
      ASSERT_TRUE(!saved || loaded->step == 3);
      EXPECT_GE(store.steps().size(), 2u);
      EXPECT_EQ(files.open_files(), 0);
      store.save(4, contents_of(4));
      ASSERT_TRUE(is_of_step(*store.load_newest(), 4));
      if (call <= at) break;  // the whole save went by before this call
    }
  }
  RecordProperty("cases", cases);
  EXPECT_GT(cases, 100);
  EXPECT_GT(failed_saves, 30);
}

TEST(CheckpointCrash, AFullDiskNeverCostsTheOldOnes) {
  SimFileSystem probe;
  const uint64_t one = CheckpointStore(probe, "/c").save(0, contents_of(0)).bytes;
  for (int tenth = 0; tenth <= 30; tenth += 2) {
    SimFileSystem files;
    CheckpointStore store(files, "/c");
    store.save(0, contents_of(0));
    const uint64_t used = files.bytes_used();
    files.budget = used + one * static_cast<uint64_t>(tenth) / 10;
    SaveFailures failures;
    int64_t newest = 0;
    bool gave_up = false;
    for (int64_t step = 1; step <= 12 && !gave_up; ++step) {
      try {
        store.save(step, contents_of(step));
        failures.succeeded();
        newest = step;
      } catch (const CheckpointError& e) {
        EXPECT_EQ(e.code(), "E0401");
        try {
          failures.failed(e);
        } catch (const CheckpointError& last) {
          EXPECT_EQ(last.code(), "E0404");
          gave_up = true;
        }
      }
      const auto loaded = store.load_newest();
      ASSERT_TRUE(loaded && is_of_step(*loaded, newest)) << "budget " << tenth;
      for (const std::string& name : files.list("/c").value()) ASSERT_NE(name[0], '.');
    }
    // Two stay while a third is written: with room for two more, nothing fails. (At 20 tenths the
    // few bytes by which steps differ decide.)
    if (tenth != 20) {
      EXPECT_EQ(gave_up, tenth < 20) << tenth;
    }
  }
}

// The check must be able to fail: a writer that leaves out one fsync is caught.
TEST(CheckpointCrash, AWriterThatDoesNotSyncIsCaught) {
  for (const auto skipped : {SimFileSystem::Call::fsync, SimFileSystem::Call::fsync_dir}) {
    SimFileSystem files;
    test::Dice dice(7);
    CheckpointStore store(files, "/c");
    store.save(0, contents_of(0));
    SimFileSystem lazy = files.after_crash(Survival::everything, dice);
    // Names and contents of step 1 as they would be without that call.
    lazy.skip = skipped;
    CheckpointStore careless(lazy, "/c");
    careless.save(1, contents_of(1));
    int lost = 0;
    for (int i = 0; i < 60; ++i) {
      SimFileSystem next = lazy.after_crash(Survival::some, dice);
      const auto loaded = CheckpointStore(next, "/c").load_newest();
      lost += !loaded || loaded->step != 1;
    }
    EXPECT_GT(lost, 20);
  }
}

}  // namespace
}  // namespace sing::train
