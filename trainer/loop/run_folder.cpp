#include "trainer/loop/run_folder.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/json.h"
#include "launch/base/random.h"
#include "launch/base/text.h"
#include "launch/comm/flight_recorder.h"

namespace atelier::loop {
namespace {

// Readable beside other runs in Grafana, and never twice the same.
std::string new_run_id(const Clock& clock, const RunPaths& paths) {
  std::string name = std::filesystem::absolute(paths.folder).lexically_normal().filename().string();
  if (name.empty()) name = "run";
  for (char& letter : name) {
    const bool plain = std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '-';
    if (!plain) letter = '_';
  }
  const auto microseconds = static_cast<std::uint64_t>(clock.unix_seconds() * 1e6);
  return text(
      name, "-",
      to_hex(mix64(microseconds ^ mix64(static_cast<std::uint64_t>(getpid())))).substr(0, 8));
}

void prove_writable(FileSystem& files, const RunPaths& paths) {
  try {
    files.create_directories(paths.folder);
    write_atomically(files, paths.folder / ".probe", "");
    files.remove_all(paths.folder / ".probe");
  } catch (const IoError& error) {
    throw OutputError(
        text("Cannot create the run folder '", paths.folder.string(), "': ", error.what()),
        "Choose another with --run.");
  }
}

// `folder`-2, or the next number that is free.
std::string free_name(FileSystem& files, const Path& folder) {
  const std::string name = folder.lexically_normal().string();
  int number = 2;
  while (files.exists(text(name, "-", number))) ++number;
  return text(name, "-", number);
}

}  // namespace

std::string to_json(const RunIdentity& identity) {
  const nlohmann::ordered_json json{{"run_id", identity.run_id}, {"attempt", identity.attempt}};
  return json.dump(2) + "\n";
}

RunIdentity parse_identity(const std::string& json, const std::string& label) {
  try {
    const nlohmann::json parsed = parse_json_strict(json, label);
    return {.run_id = parsed.at("run_id").get<std::string>(),
            .attempt = parsed.at("attempt").get<std::int64_t>()};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(text("Cannot read '", label, "': ", error.what(), "."),
                    "Is this the folder of a run?");
  }
}

void check_run_folder(FileSystem& files, const RunPaths& paths, const ResumeChoice& resume,
                      const std::string& command) {
  using checkpoints::ResumeMode;
  const std::string folder = paths.folder.string();
  const bool is_run = files.exists(paths.identity());
  const bool goes_on = resume.given && resume.request.mode != ResumeMode::kNever;
  if (is_run && !goes_on) {
    // A run that died before its first checkpoint can only start again.
    const char* mode = files.exists(paths.checkpoints()) ? "must" : "auto";
    throw OutputError(text("'", folder, "' already holds a run."),
                      text("Go on with it, or start another:\n  ", command, " --run ",
                           shell_word(folder), " --resume ", mode, "\n  ", command, " --run ",
                           shell_word(free_name(files, paths.folder))));
  }
  if (!is_run && files.exists(paths.folder) && !files.list(paths.folder).empty()) {
    throw OutputError(text("'", folder, "' exists, is not empty and is not the folder of a run."),
                      "Choose a new --run.");
  }
  if (!is_run && resume.given && resume.request.mode == ResumeMode::kMust) {
    throw ConfigError(text("There is no run in '", folder, "' to resume."),
                      "Start it without --resume, or correct --run.");
  }
}

std::string explain_ranks(FileSystem& files, const RunPaths& paths, double now) {
  if (!files.exists(paths.recorders())) return "";
  std::vector<comm::RankTrace> traces;
  std::string unreadable;
  for (const std::string& name : files.list(paths.recorders())) {
    try {
      traces.push_back(comm::read_trace(files, paths.recorders() / name));
    } catch (const Error& error) {  // the others' tell all the same
      unreadable += text(error.what(), "\n");
    }
  }
  std::sort(traces.begin(), traces.end(),
            [](const auto& left, const auto& right) { return left.rank < right.rank; });
  return unreadable + comm::explain(traces, now);
}

RunIdentity open_run_folder(FileSystem& files, const Clock& clock, const RunPaths& paths) {
  prove_writable(files, paths);
  const bool is_run = files.exists(paths.identity());
  RunIdentity identity{.run_id = new_run_id(clock, paths), .attempt = 1};
  if (is_run) {
    identity = parse_identity(files.read(paths.identity()), paths.identity().string());
    ++identity.attempt;
  }
  write_atomically(files, paths.identity(), to_json(identity));
  return identity;
}

}  // namespace atelier::loop
