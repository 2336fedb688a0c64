// A disk in memory that knows which bytes and names have reached the platter, so that a test can
// cut the power at any call. What POSIX promises is modelled, and nothing more: the bytes of a file
// are safe after its own sync, a change of a folder's names after the sync of that folder. Unsynced
// changes of one folder survive up to a random point, in order; a rename within a folder survives
// whole or not at all; unsynced bytes of a file survive up to a random length. Thread safety: one
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "launch/base/file_system.h"

namespace atelier::test {

class SimulatedDisk final : public FileSystem {
 public:
  SimulatedDisk();
  ~SimulatedDisk() override;
  /// From the n-th call on (from 1, counted from now) every call fails, as for a dead process.
  void cut_power_at(std::size_t nth_call);
  /// Calls since construction or the last restart.
  [[nodiscard]] std::size_t calls() const { return calls_; }
  /// Loses what a loss of power may lose, as `seed` chooses, and works again.
  void restart(std::uint64_t seed);

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
  struct Node;
  class File;
  using NodePointer = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePointer>;

  void call();
  [[nodiscard]] NodePointer find(const Path& path) const;
  [[nodiscard]] NodePointer need(const Path& path) const;
  [[nodiscard]] NodePointer parent(const Path& path) const;
  void move(const Path& from, const Path& to);
  static void lose(Node& node, std::uint64_t& seed);

  NodePointer root_;
  std::size_t calls_ = 0;
  std::size_t dead_from_ = 0;  ///< 0: never
};

}  // namespace atelier::test
