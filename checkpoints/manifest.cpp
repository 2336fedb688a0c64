#include "checkpoints/manifest.h"

#include <algorithm>
#include <array>
#include <set>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/json.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormatName = "atelier-checkpoint";
// The last line but one and the closing brace; the hash covers every byte before them.
constexpr std::string_view kSelfBegin = "\"self_xxh3_64\": \"";
constexpr std::string_view kSelfEnd = "\"\n}\n";
constexpr std::size_t kHashDigits = 16;
constexpr std::size_t kSelfBytes = kSelfBegin.size() + kHashDigits + kSelfEnd.size();

std::string self_line(std::string_view body) {
  return text(kSelfBegin, to_hex(xxh3_64(body)), kSelfEnd);
}

[[noreturn]] void refuse(std::string_view label, std::string_view why) {
  throw CheckpointError(text("Cannot use '", label, "': ", why, "."));
}

std::uint64_t unsigned_member(const Json& object, const char* key) {
  const Json& value = object.at(key);
  if (!value.is_number_unsigned()) throw std::runtime_error(text(key, " is not a whole number"));
  return value.get<std::uint64_t>();
}

FileRecord read_record(const Json& object, std::uint64_t chunk_bytes) {
  FileRecord record{object.at("name").get<std::string>(), unsigned_member(object, "bytes"), {}};
  if (!is_plain_name(record.name) || record.name == kManifestName)
    throw std::runtime_error(text("bad file name '", record.name, "'"));
  for (const Json& word : object.at("xxh3_64")) {
    const auto hash = from_hex(word.get<std::string>());
    if (!hash) throw std::runtime_error(text("'", record.name, "' has a bad hash ", word.dump()));
    record.hashes.push_back(*hash);
  }
  const std::uint64_t chunks =
      record.bytes / chunk_bytes + (record.bytes % chunk_bytes == 0 ? 0 : 1);
  if (record.hashes.size() != chunks) {
    throw std::runtime_error(
        text("'", record.name, "' has ", record.hashes.size(), " hashes, needs ", chunks));
  }
  return record;
}

Manifest read_members(const Json& object) {
  constexpr std::uint64_t kMaxChunkBytes = 1U << 30U;
  Manifest manifest;
  const std::uint64_t step = unsigned_member(object, "step");
  manifest.step = static_cast<std::int64_t>(step);
  if (manifest.step < 0) throw std::runtime_error("step exceeds 63 bits");
  manifest.chunk_bytes = unsigned_member(object, "chunk_bytes");
  if (manifest.chunk_bytes == 0 || manifest.chunk_bytes > kMaxChunkBytes)
    throw std::runtime_error(text("chunk_bytes ", manifest.chunk_bytes, " is out of range"));
  std::set<std::string> names;
  for (const Json& file : object.at("files")) {
    manifest.files.push_back(read_record(file, manifest.chunk_bytes));
    if (!names.insert(manifest.files.back().name).second)
      throw std::runtime_error(text("file '", manifest.files.back().name, "' is listed twice"));
  }
  if (!names.contains(std::string(kStateName))) throw std::runtime_error("state.json is missing");
  return manifest;
}

}  // namespace

bool is_plain_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return !name.empty() && name.size() <= 255 && name.front() != '.' &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::uint64_t Manifest::bytes() const {
  std::uint64_t total = 0;
  for (const FileRecord& file : files) total += file.bytes;
  return total;
}

std::string Manifest::to_text() const {
  std::vector<std::string> lines;
  for (const FileRecord& file : files) {
    std::vector<std::string> hashes;
    hashes.reserve(file.hashes.size());
    for (const std::uint64_t hash : file.hashes) hashes.push_back(text('"', to_hex(hash), '"'));
    lines.push_back(text("  {\"name\": \"", file.name, "\", \"bytes\": ", file.bytes,
                         ", \"xxh3_64\": [", join(hashes), "]}"));
  }
  const std::string body =
      text("{\n\"format\": \"", kFormatName, "\",\n\"format_version\": [", kFormatMajor, ", ",
           kFormatMinor, "],\n\"step\": ", step, ",\n\"chunk_bytes\": ", chunk_bytes,
           ",\n\"files\": [\n", join(lines, ",\n"), "\n],\n");
  ATELIER_CHECK(body.size() + kSelfBytes <= kMaxManifestBytes, "too many chunks for a manifest");
  return body + self_line(body);
}

Manifest Manifest::parse(std::string_view document, std::string_view label) {
  if (document.size() < kSelfBytes || document.size() > kMaxManifestBytes)
    refuse(label, text(document.size(), " bytes are not the size of a manifest"));
  const std::string_view body = document.substr(0, document.size() - kSelfBytes);
  const std::string_view self = document.substr(body.size());
  // Before the version: a damaged version number must count as damage.
  if (self != self_line(body))
    refuse(label, text("its own hash does not fit bytes 0 to ", document.size()));
  try {
    const Json object = parse_json_strict<CheckpointError>(document, label);
    if (object.at("format") != kFormatName) refuse(label, "its format is not ours");
    const auto version = object.at("format_version").get<std::array<std::int64_t, 2>>();
    if (version[0] != kFormatMajor) {
      throw ConfigError(text("Cannot use '", label, "': it has checkpoint format ", version[0], ".",
                             version[1], ", this program reads ", kFormatMajor, ".x."),
                        "Use the version of atelier that wrote it.");
    }
    return read_members(object);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& problem) {
    refuse(label, problem.what());
  }
}

}  // namespace atelier::checkpoints
