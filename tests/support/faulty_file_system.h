// A FileSystem that fails on purpose. It counts every call, those on its open files included, makes
// the n-th one fail, and can act out a torn write, a crash after which nothing works any more, and
// the loss of power. A test runs its operation once to learn the number of calls, then once for
// each of them:
//   for (std::size_t n = 1; n <= total; ++n) { files.reset(); files.fail_at(n); ... }
// Thread safety: may be shared.
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "launch/base/file_system.h"

namespace atelier::test {

struct Fault {
  int error = ENOSPC;  ///< errno value whose text the IoError carries
  bool torn = false;   ///< an append writes the first half of its bytes before it fails
  bool crash = false;  ///< every later call fails too, so that nothing can be cleaned up
};

class FaultyFileSystem final : public FileSystem {
 public:
  /// Lifetime: `inner` outlives this object; this object outlives the files it creates.
  explicit FaultyFileSystem(FileSystem& inner) : inner_(inner) {}

  /// The n-th call from now on, counted from 1, fails; at most one fault is pending.
  void fail_at(std::size_t nth_call, Fault fault = {});
  /// Forgets the pending fault, a crash, the count and the history.
  void reset();
  /// Calls since construction or reset.
  [[nodiscard]] std::size_t calls() const;
  /// One line a call, e.g. "rename /t/.tmp-a /t/a"; failed ones included.
  [[nodiscard]] std::vector<std::string> history() const;
  /// Acts out a loss of power: files written here lose what was not synced since (renamed ones
  /// keep their name). Works after a crash as well.
  void lose_unsynced_bytes();

  [[nodiscard]] std::unique_ptr<WritableFile> create(const Path& path) override;
  [[nodiscard]] std::string read(const Path& path) override;
  void read_at(const Path& path, std::uint64_t offset, std::span<std::byte> out) override;
  [[nodiscard]] bool exists(const Path& path) override;
  [[nodiscard]] std::uint64_t size(const Path& path) override;
  [[nodiscard]] std::vector<std::string> list(const Path& directory) override;
  void create_directories(const Path& path) override;
  void rename(const Path& from, const Path& to) override;
  void rename_new(const Path& from, const Path& to) override;
  void remove_all(const Path& path) override;
  void sync(const Path& path) override;
  [[nodiscard]] std::uint64_t free_bytes(const Path& path) override;

 private:
  class File;
  struct Lengths {
    std::uint64_t written = 0;
    std::uint64_t synced = 0;
  };
  /// Counts a call and throws when it is one that fails. A torn append first writes `half`.
  void call(const std::string& what, const Path& path, WritableFile* torn_file = nullptr,
            std::span<const std::byte> half = {});
  void note_written(const Path& path, std::size_t bytes);
  void note_synced(const Path& path);
  void note_renamed(const Path& from, const Path& to);

  FileSystem& inner_;
  mutable std::mutex mutex_;
  std::size_t calls_ = 0;
  std::size_t failing_call_ = 0;  ///< 0: none
  Fault fault_;
  bool crashed_ = false;
  std::vector<std::string> history_;
  std::map<Path, Lengths> lengths_;
};

}  // namespace atelier::test
