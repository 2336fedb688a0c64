#include "checkpoints/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensor bytes are written as they lie in memory, and the format is little endian");

constexpr std::uint64_t kLengthBytes = 8;

std::string json_text(std::string_view word) { return nlohmann::json(word).dump(); }

std::string entry(const TensorView& tensor, std::uint64_t begin) {
  return text(json_text(tensor.name), R"(:{"dtype":")", name_of(tensor.dtype), R"(","shape":[)",
              join_sizes(tensor.shape, ","), R"(],"data_offsets":[)", begin, ",",
              begin + tensor.bytes.size(), "]}");
}

std::string metadata_entry(const Metadata& metadata) {
  std::vector<std::string> members;
  members.reserve(metadata.size());
  for (const auto& [key, value] : metadata)
    members.push_back(text(json_text(key), ":", json_text(value)));
  return text(R"("__metadata__":{)", join(members, ","), "}");
}

/// The header's length, checked against the file's size before anything is read or allocated.
std::uint64_t header_length(std::span<const std::byte> first, std::uint64_t file_bytes,
                            std::string_view label) {
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), sizeof length);
  if (length > kMaxHeaderBytes) {
    throw CheckpointError(text("Cannot read '", label, "': header length ", length,
                               " at byte 0 is above the limit of ", kMaxHeaderBytes, "."));
  }
  if (length > file_bytes - kLengthBytes) {
    throw CheckpointError(text("Cannot read '", label, "': header of ", length,
                               " bytes at byte 8 goes past the end of the file at ", file_bytes,
                               "."));
  }
  return length;
}

void require_length(std::uint64_t file_bytes, std::string_view label) {
  if (file_bytes >= kLengthBytes) return;
  throw CheckpointError(text("Cannot read '", label, "': ", file_bytes,
                             " bytes are too few for the 8-byte header length at byte 0."));
}

template <typename Tensors>
auto& find(Tensors& tensors, std::string_view name, std::string_view label) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorSpec& tensor) { return tensor.name == name; });
  if (found == tensors.end()) {
    throw CheckpointError(
        text("Cannot find tensor '", name, "' in '", label, "', which holds ", tensors.size(), "."),
        "The checkpoint belongs to another model or version.");
  }
  return *found;
}

}  // namespace

SafetensorsImage::SafetensorsImage(std::span<const TensorView> tensors, const Metadata& metadata)
    : ordered_(tensors.begin(), tensors.end()) {
  std::sort(ordered_.begin(), ordered_.end(), [](const TensorView& a, const TensorView& b) {
    return std::make_pair(b.dtype, std::string_view(a.name)) <
           std::make_pair(a.dtype, std::string_view(b.name));
  });
  std::vector<std::string_view> names{"__metadata__"};
  std::vector<std::string> members;
  if (!metadata.empty()) members.push_back(metadata_entry(metadata));
  std::uint64_t data_bytes = 0;
  for (const TensorView& tensor : ordered_) {
    ATELIER_CHECK(byte_count(tensor) == tensor.bytes.size(),
                  text("tensor '", tensor.name, "' is ", describe(tensor), " but has ",
                       tensor.bytes.size(), " bytes"));
    members.push_back(entry(tensor, data_bytes));
    data_bytes += tensor.bytes.size();
    names.emplace_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  ATELIER_CHECK(twice == names.end(), text("tensor name '", *twice, "' is taken"));

  std::string json = text("{", join(members, ","), "}");
  json.append((8 - json.size() % 8) % 8, ' ');
  ATELIER_CHECK(json.size() <= kMaxHeaderBytes, "header above the format's limit");
  const std::uint64_t length = json.size();
  head_.assign(kLengthBytes, '\0');
  std::memcpy(head_.data(), &length, sizeof length);
  head_ += json;
  bytes_ = head_.size() + data_bytes;
}

void SafetensorsImage::write(const ByteSink& sink) const {
  sink(std::as_bytes(std::span(head_)));
  for (const TensorView& tensor : ordered_) sink(tensor.bytes);
}

SafetensorsFile SafetensorsFile::parse(std::vector<std::byte> bytes, std::string_view label) {
  require_length(bytes.size(), label);
  const std::uint64_t length = header_length(bytes, bytes.size(), label);
  SafetensorsFile file;
  file.label_ = label;
  file.bytes_ = std::move(bytes);
  const auto data = std::span<const std::byte>(file.bytes_).subspan(kLengthBytes + length);
  const std::string_view json(reinterpret_cast<const char*>(file.bytes_.data()) + kLengthBytes,
                              length);
  SafetensorsHeader header = parse_header(json, data.size(), label);
  file.metadata_ = std::move(header.metadata);
  for (TensorPlace& place : header.tensors) {
    const auto view = data.subspan(place.begin, place.end - place.begin);
    file.tensors_.push_back({std::move(static_cast<TensorSpec&>(place)), view});
  }
  return file;
}

const TensorView& SafetensorsFile::tensor(std::string_view name) const {
  return find(tensors_, name, label_);
}

SafetensorsReader::SafetensorsReader(FileSystem& files, Path path)
    : files_(files), path_(std::move(path)) {
  const std::uint64_t file_bytes = files_.size(path_);
  require_length(file_bytes, path_.string());
  std::array<std::byte, kLengthBytes> first{};
  files_.read_at(path_, 0, first);
  const std::uint64_t length = header_length(first, file_bytes, path_.string());
  std::string json(length, '\0');
  files_.read_at(path_, kLengthBytes, std::as_writable_bytes(std::span(json)));
  data_begin_ = kLengthBytes + length;
  header_ = parse_header(json, file_bytes - data_begin_, path_.string());
}

TensorData SafetensorsReader::read(const TensorPlace& place) const {
  TensorData tensor{static_cast<const TensorSpec&>(place),
                    std::vector<std::byte>(place.end - place.begin)};
  files_.read_at(path_, data_begin_ + place.begin, tensor.bytes);
  return tensor;
}

TensorData SafetensorsReader::read(std::string_view name) const {
  return read(find(header_.tensors, name, path_.string()));
}

}  // namespace atelier::checkpoints
