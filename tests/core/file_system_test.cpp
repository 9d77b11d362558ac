#include "sing/core/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "sing/core/atomic_file.h"
#include "sing/core/byte_reader.h"
#include "support/sim_file_system.h"
#include "support/temporary_folder.h"

namespace sing {
namespace {

using test::SimFileSystem;
using test::Survival;
using test::TemporaryFolder;

std::string text_of(FileSystem& files, const std::string& path) {
  return std::string(read_file(files, path, 1 << 20).text());
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777;
}

TEST(FileSystem, WritesWholeFilesAndReplacesThem) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  write_file_atomically(path, "one");
  write_file_atomically(path, "two!");
  EXPECT_EQ(text_of(posix_file_system(), path), "two!");
  EXPECT_EQ(posix_file_system().list(folder.path()).value(), std::vector<std::string>{"a.txt"});
  write_file_atomically(posix_file_system(), folder / "b", bytes_of("x"), Access::user);
  EXPECT_EQ(mode_of(folder / "b"), 0600u);
  EXPECT_THROW(write_file_atomically(folder / "none/c", "x"), CheckpointError);
}

TEST(FileSystem, NeverWritesThroughALink) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "victim", "safe");
  ASSERT_EQ(::symlink("victim", (folder / "link").c_str()), 0);
  EXPECT_EQ(posix_file_system().create(folder / "link", Access::user).error().code, EEXIST);
  write_file_atomically(folder / "link", "new");  // replaces the link itself
  EXPECT_EQ(text_of(posix_file_system(), folder / "victim"), "safe");
  EXPECT_EQ(text_of(posix_file_system(), folder / "link"), "new");
}

TEST(FileSystem, ReadsOnlyRegularFilesWithinTheLimit) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "12345");
  FileSystem& files = posix_file_system();
  EXPECT_EQ(read_file(files, folder / "a", 5).size(), 5u);
  const auto code_of = [&](const std::string& path, uint64_t limit) -> std::string {
    try {
      read_file(files, path, limit, Links::refuse);
      return "read";
    } catch (const DataError& e) {
      return e.code() + " " + e.what();
    }
  };
  EXPECT_EQ(code_of(folder / "a", 4), "E0302 the file has 5 bytes, more than the limit of 4");
  EXPECT_EQ(code_of(folder / "b", 4), "E0301 the file cannot be opened: No such file or directory");
  EXPECT_EQ(code_of(folder.path(), 4), "E0301 the file cannot be opened: Is a directory");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(code_of(folder / "pipe", 4), "E0301 the file is not a regular file");
  ASSERT_EQ(::symlink("a", (folder / "link").c_str()), 0);
  EXPECT_EQ(code_of(folder / "link", 9),
            "E0301 the file is a link, and links are not followed here");
  EXPECT_EQ(read_file(files, folder / "link", 9).text(), "12345");
  ASSERT_EQ(::symlink("loop", (folder / "loop").c_str()), 0);
  EXPECT_THROW(read_file(files, folder / "loop", 9), DataError);
}

TEST(FileSystem, NamesFromAnIndexStayInTheirFolder) {
  const TemporaryFolder folder;
  FileSystem& files = posix_file_system();
  make_directories(files, folder / "root/sub/deep");
  write_file_atomically(folder / "secret", "no");
  write_file_atomically(folder / "root/ok", "yes");
  write_file_atomically(folder / "root/sub/deep/ok", "yes");
  ASSERT_EQ(::symlink("../secret", (folder / "root/link").c_str()), 0);
  ASSERT_EQ(::symlink("..", (folder / "root/up").c_str()), 0);
  ASSERT_EQ(::symlink("ok", (folder / "root/inner").c_str()), 0);
  ASSERT_EQ(::symlink("../..", (folder / "root/sub/up").c_str()), 0);
  ASSERT_EQ(::symlink("/etc", (folder / "root/etc").c_str()), 0);
  ASSERT_EQ(::symlink("gone", (folder / "root/dangling").c_str()), 0);
  EXPECT_EQ(read_file_beneath(files, folder / "root", "ok", 99).text(), "yes");
  EXPECT_EQ(read_file_beneath(files, folder / "root", "sub/deep/ok", 99).text(), "yes");
  const std::string bad[] = {"",
                             ".",
                             "..",
                             "/",
                             "../secret",
                             "sub/../../secret",
                             "sub/../ok",
                             "./ok",
                             "sub/./deep/ok",
                             "/etc/passwd",
                             "//etc/passwd",
                             "sub//deep/ok",
                             "ok/",
                             "/ok",
                             std::string("ok\0x", 4),
                             std::string("\0", 1),
                             "ok\n",
                             "\xff",
                             "link",
                             "up/secret",
                             "inner",
                             "sub/up/secret",
                             "etc/passwd",
                             "dangling",
                             std::string(300, 'x'),
                             "sub/" + std::string(5000, 'y'),
                             "sub/\x1b[31m"};
  EXPECT_GE(std::size(bad), 25u);
  for (const std::string& name : bad) {
    try {
      read_file_beneath(files, folder / "root", name, 99);
      ADD_FAILURE() << name;
    } catch (const DataError& e) {
      EXPECT_EQ(e.code(), "E0303") << name;
    }
  }
}

TEST(FileSystem, MakesAndRemovesFoldersWithoutFollowingLinks) {
  const TemporaryFolder folder;
  FileSystem& files = posix_file_system();
  make_directories(files, folder / "a/b/c");
  make_directories(files, folder / "a/b/c");
  write_file_atomically(folder / "keep", "x");
  ASSERT_EQ(::symlink(folder.path().c_str(), (folder / "a/b/out").c_str()), 0);
  EXPECT_EQ(remove_tree(files, folder / "a"), 0);
  EXPECT_EQ(files.list(folder.path()).value(), std::vector<std::string>{"keep"});
  EXPECT_EQ(remove_tree(files, folder / "a"), 0);
}

TEST(FileSystem, ReplacesLinksAndKnowsFreeRoom) {
  const test::TemporaryFolder folder;
  FileSystem& files = posix_file_system();
  write_link_atomically(files, folder / "last", "step-00000001");
  write_link_atomically(files, folder / "last", "step-00000002");
  EXPECT_EQ(files.readlink(folder / "last").value(), "step-00000002");
  EXPECT_EQ(files.readlink(folder.path()).error().code, EINVAL);
  EXPECT_GT(files.free_bytes(folder.path()).value(), 0u);
  EXPECT_EQ(files.free_bytes(folder / "none").error().code, ENOENT);
}

TEST(AtomicDirectory, AppearsWholeOrNotAtAll) {
  const TemporaryFolder folder;
  FileSystem& files = posix_file_system();
  const auto write = [&](const std::string& text, bool commit) {
    AtomicDirectory directory(files, folder / "d");
    FileWriter writer(files, directory.path_of("f"), Access::user);
    writer.write(bytes_of(text));
    writer.finish();
    EXPECT_EQ(writer.sha256(), sha256_hex(bytes_of(text)));
    if (commit) directory.commit();
  };
  write("lost", false);
  EXPECT_TRUE(files.list(folder.path()).value().empty());
  write("one", true);
  EXPECT_EQ(mode_of(folder / "d"), 0700u);
  EXPECT_EQ(mode_of(folder / "d/f"), 0600u);
  write("two", true);
  EXPECT_EQ(text_of(files, folder / "d/f"), "two");
  EXPECT_EQ(files.list(folder.path()).value(), std::vector<std::string>{"d"});
}

TEST(AtomicDirectory, RecoverEndsWhatACrashInterrupted) {
  SimFileSystem files;
  files.put_folder("/r");
  files.put_folder("/r/.old-a");
  files.put_folder("/r/.old-b");
  files.put_folder("/r/b");
  files.put_folder("/r/.new-0-1-c");
  files.put("/r/.new-0-1-c/x", bytes_of("x"));
  recover_folder(files, "/r");
  EXPECT_EQ(files.list("/r").value(), (std::vector<std::string>{"a", "b"}));
}

TEST(AtomicFile, EveryCrashLeavesTheOldOrTheNewFile) {
  const std::string before(1300, 'a'), after(2100, 'b');
  SimFileSystem files;
  test::Dice dice(1);
  int states = 0;
  bool done = false;
  std::set<std::string> seen;
  const auto check = [&] {
    for (int i = 0; i < 40; ++i) {
      const Survival survival = i == 0   ? Survival::nothing
                                : i == 1 ? Survival::everything
                                         : Survival::some;
      SimFileSystem next = files.after_crash(survival, dice);
      const std::string found = text_of(next, "/f");
      ASSERT_TRUE(found == before || found == after) << "state " << states;
      if (done) {
        ASSERT_EQ(found, after);
      }
      seen.insert(found);
      ++states;
    }
  };
  write_file_atomically(files, "/f", bytes_of(before));
  files.after = check;
  write_file_atomically(files, "/f", bytes_of(after));
  done = true;
  check();
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GE(states, 200);
}

TEST(AtomicFile, SurvivesInterruptsAndShortWritesAndReportsTheRest) {
  for (const int failure : {EINTR, SimFileSystem::kShortWrite, EIO, ENOSPC}) {
    for (int at = 0; at < 12; ++at) {
      SimFileSystem files;
      write_file_atomically(files, "/f", bytes_of("before"));
      int call = 0;
      SimFileSystem::Call failed{};
      files.before = [&](SimFileSystem::Call which, const std::string&) {
        if (call++ != at) return 0;
        failed = which;
        return failure == SimFileSystem::kShortWrite && which != SimFileSystem::Call::write
                   ? 0
                   : failure;
      };
      bool wrote = true;
      try {
        write_file_atomically(files, "/f", bytes_of("after"));
      } catch (const CheckpointError& e) {
        wrote = false;
        EXPECT_EQ(e.code(), "E0401");
      }
      files.before = nullptr;
      const bool harmless = failure == SimFileSystem::kShortWrite || call <= at ||
                            failed == SimFileSystem::Call::stat ||
                            (failure == EINTR && (failed == SimFileSystem::Call::create ||
                                                  failed == SimFileSystem::Call::write));
      EXPECT_EQ(wrote, harmless) << failure << " at " << at;
      const std::string found = text_of(files, "/f");
      EXPECT_TRUE(found == "before" || found == "after");
      if (wrote) {
        EXPECT_EQ(found, "after");
      }
      EXPECT_EQ(files.list("/").value(), std::vector<std::string>{"f"}) << "a leftover";
      EXPECT_EQ(files.open_files(), 0);
    }
  }
}

TEST(AtomicFile, AFailedSyncIsNeverRetriedOnTheSameFile) {
  SimFileSystem files;
  int syncs = 0;
  files.before = [&](SimFileSystem::Call which, const std::string&) {
    if (which != SimFileSystem::Call::fsync) return 0;
    ++syncs;
    return EIO;
  };
  EXPECT_THROW(write_file_atomically(files, "/f", bytes_of("x")), CheckpointError);
  EXPECT_EQ(syncs, 1);
}

// The simulation must be able to show a fault, or the tests above show nothing.
TEST(SimFileSystem, LosesWhatWasNotSynced) {
  test::Dice dice(3);
  const auto lost = [&](bool sync_file, bool sync_folder) {
    SimFileSystem files;
    const int id = files.create("/f", Access::user).value();
    files.write(id, bytes_of("content")).value();
    if (sync_file) files.fsync(id);
    if (sync_folder) files.fsync_dir("/");
    files.close(id);
    int count = 0;
    for (int i = 0; i < 50; ++i) {
      SimFileSystem next = files.after_crash(Survival::some, dice);
      const auto* found = next.contents("/f");
      count += found == nullptr || std::string_view(reinterpret_cast<const char*>(found->data()),
                                                    found->size()) != "content";
    }
    return count;
  };
  EXPECT_EQ(lost(true, true), 0);
  EXPECT_GT(lost(false, true), 10);
  EXPECT_GT(lost(true, false), 10);
}

}  // namespace
}  // namespace sing
