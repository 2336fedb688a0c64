// The folders a job reads images from and writes its run to: are they there, what are they on, how
// much room is left, how fast are they? Nothing is left behind: trial files lose their name before
// anything is written to them, so that the kernel frees them however the process ends.
// Thread safety: pure functions; several processes may probe one folder.
#pragma once

#include <cstdint>
#include <string>

#include "launch/base/file_system.h"

namespace atelier::doctor {

struct FolderFacts {
  std::string role = {};   ///< "data" or "run"
  std::string path = {};   ///< as it was named
  std::string fault = {};  ///< why it cannot be used, with the system's reason; empty: it can
  std::string kind = {};   ///< of file system: "ext4", "nfs"
  std::uint64_t free_bytes = 0;
  std::uint64_t read_bytes = 0;  ///< that were timed; 0: nothing was
  double read_seconds = 0;
  std::uint64_t written_bytes = 0;  ///< likewise
  double write_seconds = 0;
};

/// How much is written or read for a measurement at most. It also ends after kTrialSeconds.
inline constexpr std::uint64_t kTrialBytes = std::uint64_t{64} << 20U;
inline constexpr double kTrialSeconds = 10;

/// A folder that training reads from. With `measure`: reads the start of its largest file, after
/// asking the kernel to forget what it has of it. Nothing is written.
[[nodiscard]] FolderFacts probe_data_folder(const Path& path, bool measure);

/// A folder that training creates and writes to; where it does not exist yet, the folder above it
/// that does stands for it. Proves that a file can be created. With `measure`, and room for four
/// times as much: writes a file to the device, reads it back and compares.
[[nodiscard]] FolderFacts probe_run_folder(const Path& path, bool measure);

}  // namespace atelier::doctor
