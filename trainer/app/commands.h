// The subcommands of the program, one source file each. A subcommand adds itself to the command
// line; when it is the one given, it leaves in `chosen` what is to be run. Thread safety: main.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "launch/base/clock.h"
#include "launch/base/error.h"
#include "launch/base/file_system.h"
#include "launch/base/log.h"
#include "launch/comm/comm.h"
#include "monitoring/metrics.h"
#include "trainer/loop/config.h"

namespace atelier::app {

/// What every subcommand works with. Lifetime: all outlive the run.
struct Context {
  FileSystem& files;
  const Clock& clock;
  ProcessLog& log;
  comm::Comm& comm;  ///< one rank unless the program was started by mpirun
};

using Action = std::function<ExitCode(Context&)>;

void add_data(CLI::App& app, Action& chosen);
void add_train(CLI::App& app, Action& chosen);
void add_sample(CLI::App& app, Action& chosen);
void add_reconstruct(CLI::App& app, Action& chosen);
void add_compare(CLI::App& app, Action& chosen);
void add_checkpoint(CLI::App& app, Action& chosen);
void add_bench(CLI::App& app, Action& chosen);
void add_doctor(CLI::App& app, Action& chosen);
void add_health(CLI::App& app, Action& chosen);
void add_config(CLI::App& app, Action& chosen);
void add_version(CLI::App& app, Action& chosen);

/// A preset's or a file's configuration with `--set` overrides.
/// Throws: ConfigError naming every fault, or the presets when there is no such preset or file.
[[nodiscard]] loop::RunConfig load_config(FileSystem& files, const std::string& preset_or_file,
                                          const std::vector<std::string>& overrides);

/// Sets the compute threads of this rank, and flushes denormals. Throws: RefusedError for more
/// threads than the rank has cores: they would only wait for each other.
void limit_threads(std::int64_t threads);

/// Lets the allocator keep what was freed: it is needed again in the next step.
void keep_freed_memory();

/// What this program was built from.
[[nodiscard]] monitoring::BuildVersions build_versions();

/// Prints a result: to standard output, whole. Throws: IoError.
void print(const std::string& text);

}  // namespace atelier::app
