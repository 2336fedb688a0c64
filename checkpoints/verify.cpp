#include "checkpoints/verify.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

constexpr std::string_view kStepPrefix = "step-";
constexpr std::size_t kStepDigits = 10;

[[noreturn]] void damaged(const Path& file, std::string_view why) {
  throw CheckpointError(text("Damaged checkpoint file '", file.string(), "': ", why, "."));
}

std::string read_manifest_text(FileSystem& files, const Path& directory) {
  const Path path = directory / kManifestName;
  if (!files.exists(path)) damaged(path, "it is not there");
  if (files.size(path) > kMaxManifestBytes) damaged(path, "it is too large for a manifest");
  return files.read(path);
}

/// A folder named for a step holds that step; others may be named freely.
Manifest parse_manifest(const std::string& document, const Path& directory) {
  Manifest manifest = Manifest::parse(document, (directory / kManifestName).string());
  const std::int64_t named = step_of(directory.filename().string());
  if (named >= 0 && named != manifest.step)
    damaged(directory / kManifestName, text("it is of step ", manifest.step));
  return manifest;
}

/// Compares size and hashes of one file. `room(offset, bytes)` says where a chunk is read to.
using Room = std::function<std::span<std::byte>(std::uint64_t offset, std::uint64_t bytes)>;
void check_chunks(FileSystem& files, const Path& path, const FileRecord& record,
                  std::uint64_t chunk_bytes, const Room& room) {
  std::uint64_t offset = 0;
  for (const std::uint64_t expected : record.hashes) {
    const std::uint64_t bytes = std::min(chunk_bytes, record.bytes - offset);
    const std::span<std::byte> chunk = room(offset, bytes);
    files.read_at(path, offset, chunk);
    if (const std::uint64_t found = xxh3_64(chunk); found != expected) {
      damaged(path, text("bytes ", offset, " to ", offset + bytes, " hash to ", to_hex(found),
                         ", not to ", expected));
    }
    offset += bytes;
  }
}

void check_size(FileSystem& files, const Path& path, const FileRecord& record) {
  if (!files.exists(path)) damaged(path, "it is not there");
  const std::uint64_t found = files.size(path);
  if (found != record.bytes) {
    damaged(path, text("it has ", found, " bytes, not ", record.bytes, ": differs from byte ",
                       std::min(found, record.bytes)));
  }
}

std::vector<std::byte> read_file(FileSystem& files, const Path& path, const FileRecord& record,
                                 std::uint64_t chunk_bytes) {
  check_size(files, path, record);
  std::vector<std::byte> content(record.bytes);
  check_chunks(files, path, record, chunk_bytes, [&](std::uint64_t offset, std::uint64_t bytes) {
    return std::span(content).subspan(offset, bytes);
  });
  return content;
}

void check_file(FileSystem& files, const Path& path, const FileRecord& record,
                std::uint64_t chunk_bytes) {
  check_size(files, path, record);
  std::vector<std::byte> chunk(std::min(chunk_bytes, record.bytes));
  check_chunks(
      files, path, record, chunk_bytes,
      [&](std::uint64_t /*offset*/, std::uint64_t bytes) { return std::span(chunk).first(bytes); });
  if (record.name != kStateName) static_cast<void>(SafetensorsReader(files, path));
}

}  // namespace

bool Loaded::has(std::string_view file) const {
  return std::any_of(files.begin(), files.end(),
                     [&](const LoadedFile& candidate) { return candidate.name == file; });
}

const SafetensorsFile& Loaded::file(std::string_view name) const {
  for (const LoadedFile& candidate : files) {
    if (candidate.name == name) return candidate.content;
  }
  throw CheckpointError(text("Cannot find '", name, "' in checkpoint '", directory.string(), "'."),
                        "It was written by a run of another kind.");
}

Loaded read_checkpoint(FileSystem& files, const Path& directory) {
  const std::string document = read_manifest_text(files, directory);
  const Manifest manifest = parse_manifest(document, directory);
  Loaded loaded;
  loaded.directory = directory;
  loaded.step = manifest.step;
  loaded.bytes = manifest.bytes();
  loaded.manifest_hash = xxh3_64(document);
  for (const FileRecord& record : manifest.files) {
    const Path path = directory / record.name;
    auto content = read_file(files, path, record, manifest.chunk_bytes);
    if (record.name == kStateName) {
      loaded.state_json.assign(reinterpret_cast<const char*>(content.data()), content.size());
    } else {
      loaded.files.push_back(
          {record.name, SafetensorsFile::parse(std::move(content), path.string())});
    }
  }
  return loaded;
}

VerifyReport verify(FileSystem& files, const Path& directory) {
  VerifyReport report;
  report.directory = directory;
  const auto note = [&](const std::function<void()>& check) {
    try {
      check();
    } catch (const Error& problem) {
      report.faults.emplace_back(problem.what());
    }
  };
  Manifest manifest;
  note([&] {
    manifest = parse_manifest(read_manifest_text(files, directory), directory);
    report.step = manifest.step;
    report.bytes = manifest.bytes();
  });
  for (const FileRecord& record : manifest.files)
    note([&] { check_file(files, directory / record.name, record, manifest.chunk_bytes); });
  return report;
}

bool is_checkpoint(FileSystem& files, const Path& path) {
  return files.exists(path) && files.exists(path / kManifestName);
}

std::string step_name(std::int64_t step) {
  const std::string digits = text(step);
  const std::size_t zeros = digits.size() < kStepDigits ? kStepDigits - digits.size() : 0;
  return text(kStepPrefix, std::string(zeros, '0'), digits);
}

std::int64_t step_of(std::string_view name) {
  if (!name.starts_with(kStepPrefix)) return -1;
  const std::string_view digits = name.substr(kStepPrefix.size());
  std::int64_t step = -1;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  const bool whole = problem == std::errc() && end == digits.data() + digits.size() && step >= 0;
  return whole && step_name(step) == name ? step : -1;
}

}  // namespace atelier::checkpoints
