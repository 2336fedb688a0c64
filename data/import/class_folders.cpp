#include "data/import/class_folders.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace atelier::data {
namespace {

// Parts between slashes, without empty ones, "." and "..".
std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char letter : name) {
    if (letter == '/' || letter == '\\') {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  std::erase_if(
      parts, [](const std::string& part) { return part.empty() || part == "." || part == ".."; });
  return parts;
}

std::optional<Split> split_of_folder(const std::string& folder) {
  const std::string word = lower(folder);
  if (word == "val" || word == "validation") return Split::kValid;
  return split_from_name(word);
}

// Length of the wrapping folders that all names share and that are neither split nor class.
std::size_t wrapping(const std::vector<std::vector<std::string>>& folders) {
  for (std::size_t depth = 0;; ++depth) {
    for (const auto& parts : folders) {
      if (parts.size() < depth + 2 || parts[depth] != folders[0][depth] ||
          split_of_folder(parts[depth]))
        return depth;
    }
  }
}

// Bytes of the UTF-8 sequence at `at` (RFC 3629), 0 when there is no valid one.
std::size_t sequence_length(const std::string& raw, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < raw.size() ? static_cast<unsigned char>(raw[i]) : 0U;
  };
  const unsigned lead = byte(at);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(at + i) & 0xC0U) != 0x80) return 0;
  const unsigned second = byte(at + 1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool outside = (lead == 0xED && second >= 0xA0) || (lead == 0xF4 && second >= 0x90);
  return overlong || outside ? 0 : length;
}

}  // namespace

std::string lower(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return word;
}

std::string extension_of(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  const std::size_t slash = name.find_last_of("/\\");
  const bool in_folder = dot != std::string::npos && slash != std::string::npos && slash > dot;
  return dot == std::string::npos || in_folder ? "" : lower(name.substr(dot));
}

Split split_of_shard(const std::string& name) {
  const std::vector<std::string> parts = parts_of(name);
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    const auto letter = [](unsigned char c) { return std::isalpha(c) != 0; };
    const auto end = std::find_if_not(parts[i].begin(), parts[i].end(), letter);
    if (const auto split = split_of_folder({parts[i].begin(), end})) return *split;
  }
  return Split::kTrain;
}

NameKind kind_of_name(const std::string& name) {
  constexpr std::array<const char*, 6> kImageFiles{".jpg",  ".jpeg", ".jpe",
                                                   ".jfif", ".png",  ".webp"};
  constexpr std::array<const char*, 9> kOthers{".gif",  ".bmp", ".tif", ".tiff", ".heic",
                                               ".avif", ".ppm", ".pgm", ".jp2"};
  const std::vector<std::string> parts = parts_of(name);
  const auto hidden = [](const std::string& part) { return part[0] == '.' || part == "__MACOSX"; };
  if (parts.empty() || std::any_of(parts.begin(), parts.end(), hidden)) return NameKind::kHidden;
  const std::string extension = extension_of(parts.back());
  const auto is = [&](const char* known) { return extension == known; };
  if (std::any_of(kImageFiles.begin(), kImageFiles.end(), is)) return NameKind::kImage;
  if (std::any_of(kOthers.begin(), kOthers.end(), is)) return NameKind::kOtherImage;
  return NameKind::kOther;
}

std::vector<PlacedName> place_names(const std::vector<std::string>& names) {
  std::vector<std::vector<std::string>> folders;
  for (const std::string& name : names) {
    folders.push_back(parts_of(name));
    folders.back().pop_back();
  }
  const std::size_t skip = folders.empty() ? 0 : wrapping(folders);
  const bool has_splits = std::any_of(folders.begin(), folders.end(), [&](const auto& parts) {
    return parts.size() > skip && split_of_folder(parts[skip]);
  });
  std::vector<PlacedName> out;
  for (const auto& parts : folders) {
    PlacedName placed;
    std::size_t at = skip;
    if (has_splits) {
      const auto split = at < parts.size() ? split_of_folder(parts[at]) : std::nullopt;
      if (split) placed.split = *split;
      if (!split) placed.problem = "it lies outside the train, valid and test folders";
      ++at;
    }
    placed.class_name = at < parts.size() ? clean_text(parts[at]) : kNoClass;
    out.push_back(std::move(placed));
  }
  return out;
}

std::string clean_text(const std::string& raw) {
  std::string out;
  for (std::size_t at = 0; at < raw.size();) {
    const std::size_t length = sequence_length(raw, at);
    const bool control = static_cast<unsigned char>(raw[at]) < 0x20 || raw[at] == 0x7F;
    if (length == 0 || control) {
      out += '?';
      ++at;
    } else {
      out.append(raw, at, length);
      at += length;
    }
  }
  return out;
}

}  // namespace atelier::data
