#include "checkpoints/store.h"

#include <algorithm>
#include <random>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

constexpr std::string_view kQuarantine = "quarantine";
constexpr std::string_view kAbandoned = "abandoned";
constexpr std::string_view kLatest = "latest";
// Names of ours that are not checkpoints: PREFIX step-NNNNNNNNNN - 16 hex digits.
constexpr std::string_view kTemporary = ".tmp-";  // being written
constexpr std::string_view kTrash = ".trash-";    // being deleted
constexpr std::string_view kReplaced = ".old-";   // making way for another of the same step
constexpr std::size_t kNonceDigits = 16;
constexpr int kKeepGood = 2;
constexpr std::uint64_t kSlackBytes = 64U << 10U;  // folders, manifest, the `latest` hint

std::string nonce() {
  std::random_device device;
  const std::uint64_t bits = (std::uint64_t{device()} << 32U) | device();
  return to_hex(bits);
}

/// The step folder a scratch name belongs to; empty when the name is not one of ours.
std::string owner(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix) || name.size() < prefix.size() + kNonceDigits + 1) return {};
  const std::string_view digits = name.substr(name.size() - kNonceDigits);
  const std::string_view step =
      name.substr(prefix.size(), name.size() - prefix.size() - kNonceDigits - 1);
  const bool ours = step_of(step) >= 0 && name[prefix.size() + step.size()] == '-' &&
                    from_hex(digits).has_value();
  return ours ? std::string(step) : std::string();
}

/// What write_atomically leaves of the hint when it is killed: ".tmp-latest-PID".
bool is_hint_leftover(std::string_view name) {
  const std::string prefix = text(kTemporary, kLatest, "-");
  return name.size() > prefix.size() && name.starts_with(prefix) &&
         name.find_first_not_of("0123456789", prefix.size()) == std::string_view::npos;
}

}  // namespace

void Policy::validate() const {
  std::vector<std::string> faults;
  if (directory.empty()) faults.emplace_back("the checkpoint folder is not named");
  if (keep_last < kKeepGood)
    faults.push_back(text("keep_last is ", keep_last, ", the least is ", kKeepGood));
  constexpr std::uint64_t kMaxChunk = 1U << 30U;
  if (chunk_bytes == 0 || chunk_bytes > kMaxChunk)
    faults.push_back(text("chunk_bytes is ", chunk_bytes, ", not 1 to ", kMaxChunk));
  if (!faults.empty())
    throw ConfigError(text("Bad checkpoint settings: ", join(faults, "; "), "."));
}

std::string FallbackReport::to_text() const {
  std::vector<std::string> lines;
  lines.reserve(rejected.size());
  for (const Rejected& entry : rejected)
    lines.push_back(text("step ", entry.step, ": ", entry.reason));
  return join(lines, "\n");
}

Store::Store(FileSystem& files, Log& log, Policy policy)
    : files_(files), log_(log), policy_(std::move(policy)) {
  policy_.validate();
}

SaveResult Store::save(const Contents& contents) {
  const Layout layout(contents, policy_.chunk_bytes);
  SaveResult result;
  const std::string name = step_name(contents.step);
  result.directory = policy_.directory / name;
  result.bytes = layout.bytes();
  const Path temporary = scratch(kTemporary, name);
  const auto start = clock_.now();
  try {
    prepare();
    result.already_there = is_there(layout, result.directory);
    auto written = start;
    if (result.already_there) {
      files_.sync(policy_.directory);  // the save that published it may have failed at this call
    } else {
      require_space(result.bytes);
      write(layout, temporary);
      written = clock_.now();
      publish(temporary, result.directory);
    }
    result.write_seconds = seconds(written - start);
    result.publish_seconds = seconds(clock_.now() - written);
    result.ok = true;
  } catch (const std::exception& problem) {
    result.reason = problem.what();
    log_.warn(text("Checkpoint of step ", contents.step, " was not saved: ", result.reason));
    remove_quietly(temporary);
    return result;
  }
  const auto published = clock_.now();
  retain(result.directory);
  result.retain_seconds = seconds(clock_.now() - published);
  return result;
}

std::vector<Entry> Store::list() const {
  std::vector<Entry> entries;
  if (!files_.exists(policy_.directory)) return entries;
  for (const std::string& name : files_.list(policy_.directory)) {
    if (const std::int64_t step = step_of(name); step >= 0)
      entries.push_back({step, policy_.directory / name});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.step > b.step; });
  return entries;
}

std::optional<Loaded> Store::load_latest(FallbackReport& report) {
  clean();
  std::vector<Rejected> damaged;
  for (const Entry& entry : list()) {
    try {
      Loaded loaded = read_checkpoint(files_, entry.path);
      // Only now: with nothing to fall back on, everything stays where a person can look at it.
      quarantine(damaged);
      report.rejected.insert(report.rejected.end(), damaged.begin(), damaged.end());
      return loaded;
    } catch (const CheckpointError& problem) {
      damaged.push_back({entry.step, entry.path, problem.what()});
    } catch (const IoError& problem) {
      report.rejected.push_back({entry.step, entry.path, problem.what()});
    }
    log_.warn(text("Passing over checkpoint '", entry.path.string(), "'."));
  }
  report.rejected.insert(report.rejected.end(), damaged.begin(), damaged.end());
  return std::nullopt;
}

Loaded Store::load(const Path& path) const { return read_checkpoint(files_, path); }

void Store::clean() noexcept {
  try {
    cleaned_ = true;
    if (!files_.exists(policy_.directory)) return;
    for (const std::string& name : files_.list(policy_.directory)) clean_one(name);
  } catch (const std::exception& problem) {
    log_.warn(text("Could not clean the checkpoint folder: ", problem.what()));
  }
}

void Store::clean_one(const std::string& name) {
  const Path path = policy_.directory / name;
  if (const std::string step = owner(name, kReplaced);
      !step.empty() && !files_.exists(policy_.directory / step)) {
    files_.rename_new(path, policy_.directory / step);
    files_.sync(policy_.directory);
    return;
  }
  const bool ours = !owner(name, kTemporary).empty() || !owner(name, kTrash).empty() ||
                    !owner(name, kReplaced).empty() || is_hint_leftover(name);
  if (ours) {
    log_.info(text("Removing '", path.string(), "', left by a save that was cut short."));
    remove_quietly(path);
  }
}

void Store::set_aside_after(std::int64_t step) {
  for (const Entry& entry : list()) {
    if (entry.step <= step) break;  // newest first
    const Path folder = policy_.directory / kAbandoned;
    files_.create_directories(folder);
    const Path target = folder / text(entry.path.filename().string(), "-", nonce());
    files_.rename_new(entry.path, target);
    log_.info(text("Going on from step ", step, ": the checkpoint of step ", entry.step,
                   " is now '", target.string(), "'."));
  }
}

bool Store::has_quarantine() const {
  const Path path = policy_.directory / kQuarantine;
  return files_.exists(path) && !files_.list(path).empty();
}

void Store::prepare() {
  if (!files_.exists(policy_.directory)) {
    files_.create_directories(policy_.directory);
    const Path parent = policy_.directory.parent_path();
    files_.sync(parent.empty() ? Path(".") : parent);
  }
  if (!cleaned_) clean();
}

bool Store::is_there(const Layout& layout, const Path& target) {
  if (!files_.exists(target)) return false;
  const Path manifest = target / kManifestName;
  return files_.exists(manifest) && files_.size(manifest) <= kMaxManifestBytes &&
         files_.read(manifest) == layout.manifest().to_text() && verify(files_, target).ok();
}

void Store::require_space(std::uint64_t bytes) const {
  const std::uint64_t needed = bytes + bytes / 5 + kSlackBytes;
  const std::uint64_t free = files_.free_bytes(policy_.directory);
  if (free >= needed) return;
  throw IoError(text("Cannot save ", human_bytes(bytes), " below '", policy_.directory.string(),
                     "': ", human_bytes(free), " are free, ", human_bytes(needed), " are needed."),
                "Free some space.");
}

void Store::write(const Layout& layout, const Path& temporary) {
  files_.create_directories(temporary);
  const Manifest manifest = layout.write(files_, temporary);
  const auto file = files_.create(temporary / kManifestName);
  const std::string document = manifest.to_text();
  file->append(std::as_bytes(std::span(document)));
  file->sync();
  file->close();
}

void Store::publish(const Path& temporary, const Path& target) {
  files_.sync(temporary);
  if (files_.exists(target)) {
    const Path replaced = scratch(kReplaced, target.filename().string());
    log_.warn(text("Replacing '", target.string(), "': it is damaged or of another state."));
    files_.rename_new(target, replaced);
    try {
      files_.rename_new(temporary, target);
    } catch (...) {
      clean_one(replaced.filename().string());  // puts it back
      throw;
    }
    files_.sync(policy_.directory);
    remove_quietly(replaced);
    return;
  }
  files_.rename_new(temporary, target);
  files_.sync(policy_.directory);
}

void Store::retain(const Path& written) noexcept {
  try {
    const std::vector<Entry> entries = list();
    hint(written.filename().string());
    int good = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const bool may_go = i >= static_cast<std::size_t>(policy_.keep_last) && good >= kKeepGood;
      if (may_go && entries[i].path != written) {
        retire(entries[i]);
      } else if (entries.size() > static_cast<std::size_t>(policy_.keep_last) && good < kKeepGood &&
                 verify(files_, entries[i].path).ok()) {
        ++good;
      }
    }
  } catch (const std::exception& problem) {
    log_.warn(text("Old checkpoints were not all retired: ", problem.what()));
  }
}

void Store::hint(const std::string& name) {
  try {
    write_atomically(files_, policy_.directory / kLatest, name + "\n");
  } catch (const IoError& problem) {
    log_.warn(text("Could not note the latest checkpoint: ", problem.what()));
  }
}

void Store::retire(const Entry& entry) {
  const Path trash = scratch(kTrash, entry.path.filename().string());
  files_.rename_new(entry.path, trash);
  remove_quietly(trash);
}

void Store::quarantine(std::vector<Rejected>& rejected) {
  for (Rejected& entry : rejected) {
    try {
      const Path folder = policy_.directory / kQuarantine;
      files_.create_directories(folder);
      const Path target = folder / text(entry.path.filename().string(), "-", nonce());
      files_.rename_new(entry.path, target);
      log_.error(text("Moved a damaged checkpoint to '", target.string(), "': ", entry.reason));
      entry.path = target;
    } catch (const std::exception& problem) {
      log_.error(text("Damaged checkpoint '", entry.path.string(), "' (", entry.reason,
                      ") could not be moved to quarantine: ", problem.what()));
    }
  }
}

void Store::remove_quietly(const Path& path) noexcept {
  try {
    files_.remove_all(path);
  } catch (const std::exception& problem) {
    cleaned_ = false;  // the next save tries again
    log_.warn(text("Could not remove '", path.string(), "': ", problem.what()));
  }
}

Path Store::scratch(std::string_view prefix, const std::string& name) const {
  return policy_.directory / text(prefix, name, "-", nonce());
}

}  // namespace atelier::checkpoints
