#include "checkpoints/resume.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <functional>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

// Reading and hashing the files, not moving bytes between ranks, is what takes time here.
constexpr std::chrono::minutes kLoadTimeout{30};
constexpr std::string_view kHowToStartOver =
    "Use '--resume never' in a new run folder to start over.";

/// What one rank tells the others: fixed size, so that it needs one collective.
struct Verdict {
  std::int64_t exit_code = 0;  ///< 0: fine
  std::int64_t fresh = 0;
  std::array<char, 1024> path{};  ///< of the checkpoint; absolute
  std::uint64_t hash = 0;         ///< of its manifest
  std::array<char, 2048> error{};
};

template <std::size_t size>
void put(std::array<char, size>& field, std::string_view word) {
  std::copy_n(word.begin(), std::min(word.size(), size), field.begin());
}

template <std::size_t size>
std::string get(const std::array<char, size>& field) {
  return std::string(field.begin(), std::find(field.begin(), field.end(), '\0'));
}

/// Runs `work`; what it throws becomes the verdict's error.
void attempt(Verdict& verdict, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& problem) {
    verdict.exit_code = static_cast<std::int64_t>(problem.exit_code());
    put(verdict.error, problem.what());
  } catch (const std::exception& problem) {
    verdict.exit_code = static_cast<std::int64_t>(ExitCode::kInternal);
    put(verdict.error, problem.what());
  }
}

[[noreturn]] void raise(std::int64_t exit_code, const std::string& what) {
  switch (static_cast<ExitCode>(exit_code)) {
    case ExitCode::kUsage:
      throw ConfigError(what);
    case ExitCode::kBadData:
      throw CheckpointError(what);
    case ExitCode::kIo:
      throw IoError(what);
    default:
      throw InternalError(what);  // kInternal, the only other one attempt() meets
  }
}

comm::Buffer buffer_of(Verdict* verdicts, std::size_t count) {
  return {verdicts, count * sizeof(Verdict), comm::DType::kUInt8, comm::Place::kHost};
}

comm::CallOptions call_options() { return {kLoadTimeout, nullptr, "choice of a checkpoint"}; }

/// Rank 0's choice, the same on every rank; throws on every rank when rank 0 found none.
Verdict choose(comm::Comm& comm, Store& store, const ResumeRequest& request, Resume& mine) {
  Verdict verdict;
  if (comm.rank() == 0) {
    attempt(verdict, [&] {
      mine = decide_resume(store, request);
      verdict.fresh = mine.loaded ? 0 : 1;
      if (!mine.loaded) return;
      const std::string path = std::filesystem::absolute(mine.loaded->directory).string();
      if (path.size() > verdict.path.size()) {
        throw ConfigError(text("The checkpoint's path has ", path.size(), " characters, at most ",
                               verdict.path.size(), " can be used: '", path, "'."));
      }
      put(verdict.path, path);
      verdict.hash = mine.loaded->manifest_hash;
    });
  }
  comm.broadcast(buffer_of(&verdict, 1), 0, call_options());
  if (verdict.exit_code != 0) raise(verdict.exit_code, get(verdict.error));
  return verdict;
}

void read_choice(Store& store, const Verdict& choice, Resume& mine) {
  const Path path = get(choice.path);
  mine.loaded = store.load(path);
  if (mine.loaded->manifest_hash != choice.hash) {
    throw CheckpointError(
        text("Checkpoint '", path.string(), "' is not the one that rank 0 reads at this path."),
        "Put the run folder on storage that all hosts share.");
  }
}

/// Throws on every rank, with one text, when any rank failed.
void agree(comm::Comm& comm, Verdict& mine) {
  std::vector<Verdict> all(static_cast<std::size_t>(comm.world()));
  comm.all_gather(buffer_of(&mine, 1), buffer_of(all.data(), all.size()), call_options());
  std::vector<std::string> lines;
  std::int64_t exit_code = 0;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].exit_code == 0) continue;
    if (exit_code == 0) exit_code = all[rank].exit_code;
    lines.push_back(text("rank ", rank, ": ", get(all[rank].error)));
  }
  if (exit_code != 0) {
    raise(exit_code, text("Cannot read the checkpoint that rank 0 chose on ", lines.size(), " of ",
                          all.size(), " ranks:\n", join(lines, "\n")));
  }
}

std::string passed_over(const FallbackReport& report) {
  return text("no checkpoint verifies:\n", report.to_text(), "\n");
}

}  // namespace

ResumeRequest parse_resume(std::string_view word) {
  if (word.empty()) throw ConfigError("--resume is empty.", "Use auto, must, never or a path.");
  if (word == "auto") return {ResumeMode::kAuto, {}};
  if (word == "must") return {ResumeMode::kMust, {}};
  if (word == "never") return {ResumeMode::kNever, {}};
  return {ResumeMode::kPath, Path(word)};
}

Resume decide_resume(Store& store, const ResumeRequest& request) {
  Resume resume;
  if (request.mode == ResumeMode::kNever) return resume;
  if (request.mode == ResumeMode::kPath) {
    if (!store.is_checkpoint(request.path)) {
      throw ConfigError(text("Cannot resume from '", request.path.string(), "': there is no ",
                             kManifestName, " in it."),
                        "Name a folder step-NNNNNNNNNN, or 'auto', 'must' or 'never'.");
    }
    resume.loaded = store.load(request.path);
    return resume;
  }
  resume.loaded = store.load_latest(resume.report);
  if (resume.loaded) return resume;
  const std::string folder = store.policy().directory.string();
  if (!resume.report.rejected.empty()) {
    throw CheckpointError(text("Cannot resume from '", folder, "': ", passed_over(resume.report)),
                          kHowToStartOver);
  }
  if (store.has_quarantine()) {
    throw CheckpointError(
        text("Cannot resume from '", folder, "': only its quarantine folder holds checkpoints."),
        kHowToStartOver);
  }
  if (request.mode == ResumeMode::kMust) {
    throw ConfigError(text("Cannot resume: '", folder, "' holds no checkpoint."),
                      "Use '--resume auto' to start fresh when there is none.");
  }
  return resume;
}

Resume resume_together(comm::Comm& comm, Store& store, const ResumeRequest& request) {
  Resume mine;
  const Verdict choice = choose(comm, store, request, mine);
  if (choice.fresh != 0) return mine;
  Verdict verdict;
  if (comm.rank() != 0) attempt(verdict, [&] { read_choice(store, choice, mine); });
  agree(comm, verdict);
  return mine;
}

}  // namespace atelier::checkpoints
