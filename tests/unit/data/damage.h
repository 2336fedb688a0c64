// Ways to damage a file on disk. Thread safety: pure functions.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "launch/base/file_system.h"

namespace atelier::data {

inline std::string file_content(const Path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_file(const Path& file, const std::string& content) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
}

/// Changes the bits of `mask` in one byte; a second call repairs it.
inline void flip_byte(const Path& file, std::uint64_t offset, int mask = 1) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(offset));
  const int old = stream.get();
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(static_cast<char>(old ^ mask));
}

}  // namespace atelier::data
