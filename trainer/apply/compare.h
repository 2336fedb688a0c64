// Runs beside each other: one table of what each cost and gave, and one sheet of pictures.
// Thread safety: one thread.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "trainer/loop/outcome.h"
#include "trainer/loop/run_folder.h"

namespace atelier::apply {

struct ComparedRun {
  std::string name;  ///< of the run folder
  Path folder;
  loop::Outcome outcome;
};

/// Throws: IoError, DataError when a folder holds no finished or stopped run.
[[nodiscard]] std::vector<ComparedRun> read_runs(FileSystem& files,
                                                 const std::vector<Path>& folders);

/// Markdown, one row per quantity, one column per run; quantities that no run has are left out.
[[nodiscard]] std::string comparison_table(const std::vector<ComparedRun>& runs);

/// Per run a column: samples and reconstructions, as its model has them.
/// Throws: CheckpointError, IoError. Shapes: → [H, W, C] uint8.
[[nodiscard]] at::Tensor comparison_sheet(FileSystem& files, Log& log,
                                          const std::vector<ComparedRun>& runs, const Path& data);

}  // namespace atelier::apply
