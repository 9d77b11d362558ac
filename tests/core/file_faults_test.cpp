// System calls that fail at odd moments, and paths at their edges.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "sing/core/atomic_file.h"
#include "sing/core/byte_reader.h"
#include "sing/core/error.h"
#include "support/sim_file_system.h"
#include "support/temporary_folder.h"

namespace sing {
namespace {

using test::SimFileSystem;
using ::testing::HasSubstr;
using Call = SimFileSystem::Call;

/// Fails the first `times` calls of a kind whose path holds `part`.
auto failing(Call call, int code, int times = 1, std::string part = {}) {
  return [=, left = times](Call now, const std::string& path) mutable {
    if (now != call || path.find(part) == std::string::npos || left == 0) return 0;
    --left;
    return code;
  };
}

TEST(Paths, AtTheirEdges) {
  EXPECT_EQ(join_path("", "x"), "x");
  EXPECT_EQ(join_path("a/", "x"), "a/x");
  EXPECT_EQ(folder_of("a/b//"), "a");
  EXPECT_EQ(folder_of("a"), ".");
  EXPECT_EQ(folder_of("/a"), "/");
  EXPECT_EQ(folder_of("/"), "/");
  EXPECT_EQ(name_of_path("a/b//"), "b");
  EXPECT_EQ(name_of_path("b"), "b");
  EXPECT_EQ(name_of_path("/"), "");
  EXPECT_FALSE(is_plain_name("a/b"));
  EXPECT_FALSE(is_plain_name(""));
}

TEST(PosixFiles, ReportWhatTheSystemSays) {
  const test::TemporaryFolder folder;
  FileSystem& files = posix_file_system();
  write_file_atomically(folder / "f", "0123456789");
  const FileSystem::FileId file = files.open(folder / "f", Links::follow).value();
  std::array<std::byte, 4> bytes{};
  EXPECT_EQ(files.read_at(file, 8, bytes).value(), 2u);
  EXPECT_EQ(bytes[0], std::byte{'8'});
  EXPECT_EQ(files.read(file, bytes).value(), 4u) << "goes on from the start";
  EXPECT_EQ(files.write(file, bytes).error().code, EBADF) << "open for reading";
  files.close(file);
  EXPECT_EQ(files.size(file).error().code, EBADF) << "closed";
  EXPECT_EQ(files.fsync_dir(folder / "none"), ENOENT);
  EXPECT_EQ(files.list(folder / "none").error().code, ENOENT);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(files.stat(folder / "pipe").value().kind, FileKind::other);
  EXPECT_EQ(files.open(folder / "pipe", Links::follow).error().code, EINVAL);
  EXPECT_THROW(read_file_beneath(files, folder.path(), "none", 9), DataError);
}

TEST(Reading, AFileThatGivesNothingMoreIsRefused) {
  SimFileSystem files;
  files.put("/f", bytes_of("0123"));
  files.before = failing(Call::read, SimFileSystem::kNothing);
  const auto bytes = try_read_file(files, "/f", 99);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.error().what, "became shorter while it was read");
}

TEST(Writing, ADeviceThatTakesNothingIsAnError) {
  SimFileSystem files;
  files.before = failing(Call::write, SimFileSystem::kNothing);
  EXPECT_THROW(write_file_atomically(files, "/f", bytes_of("0123")), CheckpointError);
  EXPECT_TRUE(files.list("/").value().empty());
}

TEST(Writing, HintsFitTheReason) {
  for (const auto& [code, hint] : {std::pair{ENOSPC, "free some space"},
                                   {EDQUOT, "free some space"},
                                   {EACCES, "you may write to"},
                                   {EROFS, "you may write to"},
                                   {EPERM, "you may write to"},
                                   {EIO, ""}}) {
    SimFileSystem files;
    files.before = failing(Call::create, code);
    try {
      write_file_atomically(files, "/f", bytes_of("x"));
      ADD_FAILURE() << code;
    } catch (const CheckpointError& e) {
      EXPECT_THAT(e.hint(), HasSubstr(hint)) << code;
      EXPECT_EQ(e.hint().empty(), std::string(hint).empty()) << code;
    }
  }
}

TEST(Writing, ATakenTemporaryNameIsPassedOver) {
  SimFileSystem files;
  int left = 2;
  files.before = [&](Call call, const std::string& path) {
    if (call == Call::stat && path.find(".new-") != std::string::npos && left > 0) {
      --left;  // an earlier process with our number left this
      files.put(path, bytes_of("old"));
    }
    return 0;
  };
  write_file_atomically(files, "/f", bytes_of("new"));
  EXPECT_EQ(read_file(files, "/f", 99).text(), "new");
  EXPECT_EQ(files.list("/").value().size(), 3u);
  for (const int code : {EEXIST, ENOTEMPTY, EINTR}) {
    SimFileSystem other;
    other.before = failing(Call::mkdir, code, 3);
    AtomicDirectory(other, "/d").commit();
    other.before = failing(Call::symlink, code, 3);
    write_link_atomically(other, "/l", "d");
    EXPECT_EQ(other.list("/").value(), (std::vector<std::string>{"d", "l"}));
    other.before = failing(Call::rename, code, 3);
    remove_folder_atomically(other, "/d");
    EXPECT_EQ(other.list("/").value(), std::vector<std::string>{"l"});
    // But not for ever.
    other.before = failing(Call::mkdir, code, 5000);
    EXPECT_THROW(AtomicDirectory(other, "/d"), CheckpointError);
    other.before = failing(Call::symlink, code, 5000);
    EXPECT_THROW(write_link_atomically(other, "/l", "d"), CheckpointError);
  }
}

TEST(AtomicDirectory, ARefusedExchangePutsTheOldOneBack) {
  SimFileSystem files;
  AtomicDirectory(files, "/d").commit();
  files.put("/d/old", bytes_of("x"));
  AtomicDirectory next(files, "/d");
  files.before = failing(Call::rename, EIO, 1, ".new-");
  EXPECT_THROW(next.commit(), CheckpointError);
  EXPECT_TRUE(files.stat("/d/old").ok());
}

TEST(Recover, KeepsTheOldOneWhileInDoubt) {
  SimFileSystem files;
  files.put_folder("/r");
  files.put_folder("/r/.old-a");
  // Whether the new one is there cannot be seen: the old one may be all there is.
  files.before = failing(Call::stat, EIO, 1, "/r/a");
  recover_folder(files, "/r");
  EXPECT_EQ(files.list("/r").value(), std::vector<std::string>{".old-a"});
  files.before = failing(Call::rename, EIO);
  recover_folder(files, "/r");
  EXPECT_EQ(files.list("/r").value(), std::vector<std::string>{".old-a"});
  recover_folder(files, "/r");
  EXPECT_EQ(files.list("/r").value(), std::vector<std::string>{"a"});
  recover_folder(files, "/none");
}

TEST(Folders, AnImpossibleRootEndsTheClimb) {
  SimFileSystem files;
  files.before = failing(Call::mkdir, ENOENT, 99);
  EXPECT_THROW(make_directories(files, "/a/b"), CheckpointError);
}

TEST(Folders, AreRemovedToABoundedDepth) {
  SimFileSystem files;
  std::string path = "/deep";
  for (int i = 0; i < 70; ++i, path += "/d") files.put_folder(path);
  EXPECT_EQ(remove_tree(files, "/deep"), ELOOP);
  EXPECT_TRUE(files.stat("/deep").ok());
  files.before = failing(Call::list, EIO);
  EXPECT_EQ(remove_tree(files, "/deep"), EIO);
  files.before = failing(Call::stat, EACCES);
  EXPECT_EQ(remove_tree(files, "/deep"), EACCES);
}

}  // namespace
}  // namespace sing
