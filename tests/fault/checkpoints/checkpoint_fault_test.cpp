// Real processes, real kills and a really full disk against promise 3 of DESIGN.md.
#include <chrono>
#include <functional>
#include <iostream>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoints/store.h"
#include "launch/base/random.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoints/sample_state.h"

namespace atelier::checkpoints {
namespace {

using ::testing::HasSubstr;

/// Runs `body` in a child; its return value is the exit status.
pid_t start(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  int status = 99;
  try {
    status = body();
  } catch (const std::exception& problem) {
    static_cast<void>(std::fputs(problem.what(), stderr));
  }
  ::_exit(status);
}

int wait_for(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

/// What a training process does: resume, then save one step after the other until it is killed.
/// Each step whose save was reported goes through `reported` to the parent.
int save_for_ever(const Path& folder, int reported) {
  LocalFileSystem files;
  NullLog log;
  Store store(files, log, {folder, 2, 4096});
  FallbackReport report;
  const auto loaded = store.load_latest(report);
  if (!report.rejected.empty()) return 1;
  for (std::int64_t step = loaded ? loaded->step + 1 : 1;; ++step) {
    const bool ok = store.save(SampleState(step, 5000).contents()).ok;
    if (!ok || ::write(reported, &step, sizeof step) != sizeof step) return 2;
  }
}

TEST(KilledSaver, at_any_moment_leaves_every_reported_checkpoint_loadable) {
  const test::TemporaryFolder folder;
  const Path checkpoints = folder.path() / "checkpoints";
  LocalFileSystem files;
  NullLog log;
  std::int64_t last_reported = 0;
  for (std::uint64_t round = 0; round < 30; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = start([&] { return save_for_ever(checkpoints, ends[1]); });
    ::close(ends[1]);
    // Two rounds of three strike somewhere in the saves, however slow the machine; the third early,
    // in the load and the first save.
    std::int64_t step = 0;
    if (round % 3 != 0 && ::read(ends[0], &step, sizeof step) == sizeof step) last_reported = step;
    std::this_thread::sleep_for(std::chrono::microseconds(mix64(round) % 50'000));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    const int status = wait_for(child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the saver ended by itself with " << WEXITSTATUS(status);
    while (::read(ends[0], &step, sizeof step) == sizeof step) last_reported = step;
    ::close(ends[0]);

    const auto entries = Store(files, log, {checkpoints, 2}).list();

    ASSERT_TRUE(last_reported == 0 || !entries.empty());
    if (!entries.empty()) {
      ASSERT_GE(entries.front().step, last_reported);
    }
    for (const Entry& entry : entries) {
      const Loaded loaded = read_checkpoint(files, entry.path);
      ASSERT_EQ(SampleState(entry.step, 5000).mismatch(loaded), "") << "round " << round;
    }
  }
  EXPECT_GE(last_reported, 20);
}

/// A file system that promises space it does not have, as when another program fills the disk
/// between the look and the write.
class Boastful final : public FileSystem {
 public:
  explicit Boastful(FileSystem& inner) : inner_(inner) {}
  std::unique_ptr<WritableFile> create(const Path& path) override { return inner_.create(path); }
  std::string read(const Path& path) override { return inner_.read(path); }
  void read_at(const Path& path, std::uint64_t offset, std::span<std::byte> out) override {
    inner_.read_at(path, offset, out);
  }
  bool exists(const Path& path) override { return inner_.exists(path); }
  std::uint64_t size(const Path& path) override { return inner_.size(path); }
  std::vector<std::string> list(const Path& directory) override { return inner_.list(directory); }
  void create_directories(const Path& path) override { inner_.create_directories(path); }
  void rename(const Path& from, const Path& to) override { inner_.rename(from, to); }
  void rename_new(const Path& from, const Path& to) override { inner_.rename_new(from, to); }
  void remove_all(const Path& path) override { inner_.remove_all(path); }
  void sync(const Path& path) override { inner_.sync(path); }
  std::uint64_t free_bytes(const Path& /*path*/) override { return std::uint64_t{1} << 50U; }

 private:
  FileSystem& inner_;
};

constexpr int kNotPermitted = 77;

bool put(const char* path, const std::string& line) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  const bool ok =
      file >= 0 && ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (file >= 0) ::close(file);
  return ok;
}

/// A file system of 1 MiB at `folder`, for this process alone, without being root: `unshare -Urm`.
bool mount_small_disk(const Path& folder) {
  const std::string user = text("0 ", ::getuid(), " 1");
  const std::string group = text("0 ", ::getgid(), " 1");
  return ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put("/proc/self/setgroups", "deny") &&
         put("/proc/self/uid_map", user) && put("/proc/self/gid_map", group) &&
         ::mount("disk", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
}

/// The steps of a run on the full disk at `folder`; 0 when all went as promised, else the number of
/// the first that did not.
int fill_the_disk(const Path& folder) {
  constexpr std::int64_t kSmall = 100;
  constexpr std::int64_t kTooLarge = 100'000;  // about 2 MB
  LocalFileSystem honest;
  Boastful boastful(honest);
  NullLog log;
  for (FileSystem* files :
       {static_cast<FileSystem*>(&honest), static_cast<FileSystem*>(&boastful)}) {
    Store store(*files, log, {folder / (files == &honest ? "honest" : "boastful"), 2, 4096});
    if (!store.save(SampleState(1, kSmall).contents()).ok) return 1;
    const std::uint64_t free = honest.free_bytes(folder);
    const SaveResult failed = store.save(SampleState(2, kTooLarge).contents());
    const std::string expected = files == &honest ? "are needed" : "No space left on device";
    std::cerr << failed.reason << '\n';
    if (failed.ok || failed.reason.find(expected) == std::string::npos) return 2;
    if (honest.free_bytes(folder) != free) return 3;
    FallbackReport report;
    const auto loaded = store.load_latest(report);
    if (!loaded || !SampleState(1, kSmall).mismatch(*loaded).empty()) return 4;
    if (!store.save(SampleState(3, kSmall).contents()).ok) return 5;
  }
  return 0;
}

TEST(FullDisk, drops_the_new_checkpoint_and_keeps_the_old) {
  const test::TemporaryFolder folder;

  const int status = wait_for(start([&] {
    if (!mount_small_disk(folder.path())) return kNotPermitted;
    return fill_the_disk(folder.path());
  }));

  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNotPermitted)
    GTEST_SKIP() << "this machine does not permit a file system of one's own (unshare -Urm)";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the step of fill_the_disk that went wrong";
}

}  // namespace
}  // namespace atelier::checkpoints
