// The checkpoints of one run: a folder with one `step-NNNNNNNNNN` per checkpoint. A save becomes
// visible by one rename, after every byte is on the device; so a checkpoint is whole or not there.
// A save that fails says why and leaves the older ones alone. The newest two checkpoints that
// verify are never deleted. One process writes a folder at a time (rank 0); any number may read it.
// Thread safety: one thread at a time per Store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/contents.h"
#include "checkpoints/verify.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"
#include "launch/base/log.h"

namespace atelier::checkpoints {

struct Policy {
  Path directory;                                  ///< RUN/checkpoints; made by the first save
  int keep_last = 3;                               ///< newest checkpoints to keep, >= 2
  std::uint64_t chunk_bytes = kDefaultChunkBytes;  ///< unit of writing and hashing

  /// Throws: ConfigError naming every fault.
  void validate() const;
};

struct SaveResult {
  bool ok = false;
  bool already_there = false;  ///< the same contents were published before
  Path directory;              ///< of the checkpoint
  std::uint64_t bytes = 0;
  double write_seconds = 0;    ///< laying out, hashing, writing, syncing the files
  double publish_seconds = 0;  ///< syncing folders, rename
  double retain_seconds = 0;   ///< verifying what stays, deleting what does not
  std::string reason;          ///< why not ok
};

struct Entry {
  std::int64_t step = 0;
  Path path;
};

/// A checkpoint that load_latest passed over.
struct Rejected {
  std::int64_t step = 0;
  Path path;  ///< where it lies now
  std::string reason;
};

struct FallbackReport {
  std::vector<Rejected> rejected;  ///< newest first
  /// One line per checkpoint passed over.
  [[nodiscard]] std::string to_text() const;
};

class Store {
 public:
  /// Lifetime: `files` and `log` outlive the store. Throws: ConfigError.
  Store(FileSystem& files, Log& log, Policy policy);

  /// Publishes `contents` as the checkpoint of its step and retires old ones. A step that is there
  /// with the same contents is a success without a write; with others, or damaged, it is replaced.
  /// Throws: InternalError when names and sizes in `contents` do not fit together; nothing else.
  [[nodiscard]] SaveResult save(const Contents& contents);

  /// Published checkpoints, newest first, not verified. Throws: IoError.
  [[nodiscard]] std::vector<Entry> list() const;

  /// The newest checkpoint that verifies; nothing when there is none. Once one is found, damaged
  /// newer ones are moved to `quarantine/`; ones that could not be read stay where they are.
  /// Throws: ConfigError when one is of a newer format, IoError when the folder cannot be listed.
  [[nodiscard]] std::optional<Loaded> load_latest(FallbackReport& report);

  /// Throws: CheckpointError, ConfigError, IoError as read_checkpoint; moves nothing.
  [[nodiscard]] Loaded load(const Path& path) const;

  /// Removes what a killed save of ours left behind, and finishes a replacement that was cut short.
  /// The first save and load_latest call it. Says in the log what it could not remove.
  void clean() noexcept;

  /// Moves checkpoints newer than `step` to `abandoned/`: the run goes on from there, and neither
  /// retention nor a later resume may take them for its newest. Throws: IoError.
  void set_aside_after(std::int64_t step);

  /// As the free function, in the files of this store.
  [[nodiscard]] bool is_checkpoint(const Path& path) const {
    return checkpoints::is_checkpoint(files_, path);
  }
  /// True when `quarantine/` holds something.
  [[nodiscard]] bool has_quarantine() const;
  [[nodiscard]] const Policy& policy() const { return policy_; }

 private:
  void prepare();
  [[nodiscard]] bool is_there(const Layout& layout, const Path& target);
  void require_space(std::uint64_t bytes) const;
  void write(const Layout& layout, const Path& temporary);
  void publish(const Path& temporary, const Path& target);
  void retain(const Path& written) noexcept;
  void hint(const std::string& name);
  void retire(const Entry& entry);
  void quarantine(std::vector<Rejected>& rejected);
  void remove_quietly(const Path& path) noexcept;
  void clean_one(const std::string& name);
  [[nodiscard]] Path scratch(std::string_view prefix, const std::string& name) const;

  FileSystem& files_;
  Log& log_;
  Policy policy_;
  SystemClock clock_;
  bool cleaned_ = false;
};

}  // namespace atelier::checkpoints
