// Images on disk, until the dataset is written: RGB pixels or files, and a journal that says whose
// they are. Each process writes files of its own and reads those of all, also of processes
// that were killed before: what their journals name, and whose bytes are as the journal says, need
// not be decoded again. Thread safety: add() and read() from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/raw_file.h"
#include "launch/base/file_system.h"

namespace atelier::data {

class Scratch {
 public:
  /// Files in `folder`, of a number that no process has used or will use. Throws: IoError.
  Scratch(FileSystem& files, const Path& folder, std::size_t number);

  /// Files that are in `folder` already. Throws: IoError.
  [[nodiscard]] static std::size_t count(FileSystem& files, const Path& folder);

  /// Removes them. Throws: IoError.
  static void remove(FileSystem& files, const Path& folder);

  /// What is stored of images, one after the other.
  struct Rows {
    struct Row {
      std::uint64_t id;
      int channels;  ///< of its file
      std::uint64_t bytes;
    };
    std::vector<Row> rows;
    std::vector<std::byte> bytes;

    void add(std::uint64_t id, int channels, std::span<const std::byte> row) {
      rows.push_back({id, channels, row.size()});
      bytes.insert(bytes.end(), row.begin(), row.end());
    }
  };
  /// Keeps them: many small ones together, as threads write one at a time. Throws: IoError.
  void add(const Rows& rows);
  /// So that others find everything. Throws: IoError.
  void flush();

  /// Opens the files of numbers below `end`, for ids below `images`; of several copies of an
  /// image the one in the file of the highest number counts. Of files below `checked`, which
  /// others left, every byte is looked at. Throws: IoError.
  void open_all(std::size_t end, std::uint64_t images, std::size_t checked);
  /// Channels of the image's file; 0: nothing of it is here. Requires: open_all().
  [[nodiscard]] int channels(std::uint64_t id) const { return places_.at(id).channels; }
  [[nodiscard]] std::uint64_t bytes(std::uint64_t id) const { return places_.at(id).bytes; }
  /// Requires: channels(id) is not 0; out has bytes(id). Throws: IoError.
  void read(std::uint64_t id, std::span<std::byte> out) const;

 private:
  struct Place {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint32_t file = 0;
    std::int32_t channels = 0;
  };
  void open(std::size_t number, bool check);

  FileSystem& files_;
  Path folder_;
  RawFile rows_;
  RawFile journal_;
  std::mutex mutex_;
  std::uint64_t end_ = 0;                    // guarded by mutex_: of the images kept
  std::string lines_;                        // guarded by mutex_: not in the journal yet
  std::uint64_t written_ = 0;                // guarded by mutex_: bytes of the journal
  std::vector<Place> places_;                ///< by id
  std::map<std::size_t, RawFile> readable_;  ///< by number
};

}  // namespace atelier::data
