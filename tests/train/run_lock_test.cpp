#include "sing/train/run_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "sing/core/error.h"
#include "support/sim_file_system.h"
#include "support/temporary_folder.h"

namespace sing::train {
namespace {

TEST(RunLock, KeepsASecondRunOutAndNamesTheHolder) {
  const test::TemporaryFolder folder;
  {
    const RunLock lock = RunLock::acquire(folder.path());
    const std::string before(read_file(posix_file_system(), folder / "run.lock", 4096).text());
    try {
      RunLock::acquire(folder.path());
      FAIL();
    } catch (const BusyError& e) {
      EXPECT_EQ(e.code(), "E0701");
      EXPECT_EQ(e.exit_code(), ExitCode::busy);
      EXPECT_THAT(e.what(), testing::HasSubstr("process " + std::to_string(::getpid()) + " on "));
    }
    EXPECT_EQ(read_file(posix_file_system(), folder / "run.lock", 4096).text(), before);
    const RunLock unlocked = RunLock::acquire(folder.path(), LockMode::none);
  }
  EXPECT_NO_THROW(RunLock::acquire(folder.path())) << "ended with its holder";
}

TEST(RunLock, MovesWithItsOwner) {
  const test::TemporaryFolder folder;
  RunLock first = RunLock::acquire(folder.path());
  RunLock second = std::move(first);
  EXPECT_THROW(RunLock::acquire(folder.path()), BusyError);
  const test::TemporaryFolder other;
  second = RunLock::acquire(other.path());
  EXPECT_THROW(RunLock::acquire(other.path()), BusyError);
  EXPECT_NO_THROW(RunLock::acquire(folder.path())) << "given up for the other";
}

TEST(RunLock, RefusesAFileSystemWithoutLocks) {
  test::SimFileSystem files;
  files.has_locks = false;
  files.put_folder("/run");
  try {
    RunLock::acquire("/run", LockMode::flock, files);
    FAIL();
  } catch (const BusyError& e) {
    EXPECT_EQ(e.code(), "E0702");
    EXPECT_THAT(e.hint(), testing::HasSubstr("--lock none"));
  }
  EXPECT_NO_THROW(RunLock::acquire("/run", LockMode::none, files));
}

TEST(RunLock, HoldsThroughInterruptsAndWithoutItsNote) {
  using Call = test::SimFileSystem::Call;
  test::SimFileSystem files;
  files.put_folder("/run");
  int left = 3;
  files.before = [&](Call call, const std::string&) {
    if (call == Call::lock && left-- > 0) return EINTR;
    return call == Call::truncate ? EIO : 0;  // the note cannot be written: no failure
  };
  const RunLock lock = RunLock::acquire("/run", LockMode::flock, files);
  const auto refusal = [&] {
    try {
      RunLock::acquire("/run", LockMode::flock, files);
    } catch (const BusyError& e) {
      return std::string(e.what());
    }
    return std::string("taken");
  };
  EXPECT_THAT(refusal(), testing::HasSubstr("in use by another process")) << "an empty note";
  files.before = [](Call call, const std::string&) { return call == Call::open ? EACCES : 0; };
  EXPECT_THAT(refusal(), testing::HasSubstr("in use by another process")) << "an unreadable one";
}

TEST(RunLock, NeverFollowsALink) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(::symlink("elsewhere", (folder / "run.lock").c_str()), 0);
  EXPECT_THROW(RunLock::acquire(folder.path()), CheckpointError);
  EXPECT_FALSE(posix_file_system().stat(folder / "elsewhere").ok());
}

// Eight processes at once, five rounds: exactly one proceeds, and a killed holder frees the lock.
TEST(RunLock, OneOfEightProcessesProceeds) {
  for (int round = 0; round < 5; ++round) {
    const test::TemporaryFolder folder;
    int start[2], hold[2];
    ASSERT_EQ(::pipe(start), 0);
    ASSERT_EQ(::pipe(hold), 0);
    std::vector<pid_t> children;
    int results[2];
    ASSERT_EQ(::pipe(results), 0);
    for (int i = 0; i < 8; ++i) {
      const pid_t child = ::fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        ::close(start[1]);
        ::close(hold[1]);
        char byte = 0;
        if (::read(start[0], &byte, 1) < 0) ::_exit(1);  // all start when the pipe closes
        char result = 'l';
        try {
          const RunLock lock = RunLock::acquire(folder.path());
          result = 'w';
          if (::write(results[1], &result, 1) != 1) ::_exit(1);
          if (::read(hold[0], &byte, 1) < 0) ::_exit(1);  // until the parent lets go
          ::_exit(0);
        } catch (const BusyError&) {
          if (::write(results[1], &result, 1) != 1) ::_exit(1);
          ::_exit(7);
        }
      }
      children.push_back(child);
    }
    ::close(start[0]);
    ::close(start[1]);
    std::string seen;
    for (int i = 0; i < 8; ++i) {
      char result = 0;
      ASSERT_EQ(::read(results[0], &result, 1), 1);
      seen += result;
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 'w'), 1) << seen;
    EXPECT_THROW(RunLock::acquire(folder.path()), BusyError);
    ::close(hold[1]);
    ::close(hold[0]);
    int proceeded = 0, busy = 0;
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      proceeded += WIFEXITED(status) && WEXITSTATUS(status) == 0;
      busy += WIFEXITED(status) && WEXITSTATUS(status) == 7;
    }
    ::close(results[0]);
    ::close(results[1]);
    EXPECT_EQ(proceeded, 1);
    EXPECT_EQ(busy, 7);
    EXPECT_NO_THROW(RunLock::acquire(folder.path()));
  }
}

}  // namespace
}  // namespace sing::train
