// Where a run starts: rank 0 verifies and decides, tells the others its choice, and every rank then
// reads that very checkpoint. A verdict is reached together: either all ranks return the same step
// or all throw the same error, so that none is left waiting in a collective. Thread safety: as Comm
// and Store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoints/store.h"
#include "checkpoints/verify.h"
#include "launch/comm/comm.h"

namespace atelier::checkpoints {

enum class ResumeMode : std::uint8_t {
  kAuto,   ///< the newest good checkpoint, else a fresh start
  kMust,   ///< the newest good checkpoint, else an error
  kNever,  ///< a fresh start
  kPath,   ///< the checkpoint at `path`, else an error
};

struct ResumeRequest {
  ResumeMode mode = ResumeMode::kAuto;
  Path path;  ///< kPath only: a folder with a MANIFEST.json
};

/// `auto`, `must`, `never`; anything else is a path. Throws: ConfigError when empty.
[[nodiscard]] ResumeRequest parse_resume(std::string_view word);

struct Resume {
  std::optional<Loaded> loaded;  ///< nothing: fresh start
  FallbackReport report;         ///< what was passed over; rank 0 only
};

/// For one process. Throws: ConfigError when there is nothing to resume from but it must,
/// CheckpointError when checkpoints exist and none verifies (also for kAuto: a run never starts
/// over in silence), and as Store.
[[nodiscard]] Resume decide_resume(Store& store, const ResumeRequest& request);

/// decide_resume on rank 0, then the same checkpoint on every rank, each verifying what it reads.
/// `store` of the other ranks names the same shared folder. Collective: all ranks; may take
/// minutes. Throws: the same kind of error with the same text on every rank; CommError.
[[nodiscard]] Resume resume_together(comm::Comm& comm, Store& store, const ResumeRequest& request);

}  // namespace atelier::checkpoints
