#include "data/tools/export.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include "data/dataset_writer.h"
#include "data/image_codec.h"
#include "data/reader.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kRowsAtOnce = 256;

std::string folder_name(const std::string& class_name) {
  std::string name = class_name;
  std::replace(name.begin(), name.end(), '/', '_');
  return name.empty() || name.front() == '.' ? "_" + name : name;
}

std::string padded(std::uint64_t id) {
  std::string digits = std::to_string(id);
  return std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

/// Calls `see(first, images)` for some rows at a time.
template <typename See>
void each_rows(Reader& reader, const See& see) {
  std::vector<std::uint8_t> images;
  for (std::uint64_t first = 0; first < reader.size(); first += kRowsAtOnce) {
    std::vector<std::uint64_t> indices(std::min(kRowsAtOnce, reader.size() - first));
    std::iota(indices.begin(), indices.end(), first);
    images.resize(indices.size() * reader.shape().bytes());
    reader.read(indices, images);
    see(first, images);
  }
}

// NumPy's format 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
std::string npy_header(const std::string& type, const std::vector<std::uint64_t>& shape) {
  std::string sides;
  for (const std::uint64_t side : shape) sides += text(side, ", ");
  std::string header =
      text("{'descr': '", type, "', 'fortran_order': False, 'shape': (", sides, "), }");
  constexpr std::size_t kBefore = 10;
  header += std::string(63 - (kBefore + header.size()) % 64, ' ') + "\n";
  const auto length = static_cast<unsigned>(header.size());
  std::string begin("\x93NUMPY\x01\x00", 8);
  begin += static_cast<char>(length & 0xFFU);
  begin += static_cast<char>(length >> 8U);
  return begin + header;
}

class Npz {
 public:
  explicit Npz(const Path& file) : file_(file) {
    archive_write_set_format_zip(zip_.get());
    archive_write_zip_set_compression_store(zip_.get());
    check(archive_write_open_filename(zip_.get(), file.c_str()));
  }

  void begin(const std::string& name, const std::string& header, std::uint64_t bytes) {
    const std::unique_ptr<archive_entry, Free> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), (name + ".npy").c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(header.size() + bytes));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    check(archive_write_header(zip_.get(), entry.get()));
    add(header.data(), header.size());
  }
  void add(const void* bytes, std::size_t size) {
    if (archive_write_data(zip_.get(), bytes, size) != static_cast<la_ssize_t>(size)) fail();
  }
  void close() { check(archive_write_close(zip_.get())); }

 private:
  struct Free {
    void operator()(archive* zip) const { archive_write_free(zip); }
    void operator()(archive_entry* entry) const { archive_entry_free(entry); }
  };
  void check(int status) {
    if (status != ARCHIVE_OK) fail();
  }
  [[noreturn]] void fail() {
    const char* const why = archive_error_string(zip_.get());
    throw IoError(
        text("Cannot write '", file_.string(), "': ", why == nullptr ? "unknown" : why, "."));
  }

  Path file_;
  std::unique_ptr<archive, Free> zip_{archive_write_new()};
};

void add_split(Npz& npz, const Dataset& dataset, Split split) {
  Reader reader(dataset, split);
  const ImageShape& shape = reader.shape();
  std::vector<std::uint64_t> sides{reader.size(), static_cast<std::uint64_t>(shape.height),
                                   static_cast<std::uint64_t>(shape.width)};
  if (shape.channels > 1) sides.push_back(static_cast<std::uint64_t>(shape.channels));
  const std::string name(split_name(split));
  npz.begin(name + "_images", npy_header("|u1", sides), reader.size() * shape.bytes());
  each_rows(reader, [&](std::uint64_t /*first*/, const std::vector<std::uint8_t>& images) {
    npz.add(images.data(), images.size());
  });
  std::vector<std::uint64_t> indices(reader.size());
  std::iota(indices.begin(), indices.end(), std::uint64_t{0});
  std::vector<std::int64_t> labels(reader.size());
  reader.labels(indices, labels);
  const std::size_t bytes = labels.size() * sizeof(labels[0]);
  npz.begin(name + "_labels", npy_header("<i8", {reader.size()}), bytes);
  npz.add(labels.data(), bytes);
}

void add_class_names(Npz& npz, const std::vector<std::string>& names) {
  std::size_t longest = 1;
  for (const std::string& name : names) longest = std::max(longest, name.size());
  std::string bytes;
  for (const std::string& name : names) bytes += name + std::string(longest - name.size(), '\0');
  npz.begin("class_names", npy_header(text("|S", longest), {names.size()}), bytes.size());
  npz.add(bytes.data(), bytes.size());
}

std::uint64_t count(const Dataset& dataset) {
  std::uint64_t images = 0;
  for (const Split split : kSplits) images += dataset.size(split);
  return images;
}

}  // namespace

std::uint64_t export_folder(FileSystem& files, const Dataset& dataset, const Path& out) {
  StagingFolder staging(files, out);
  for (const Split split : kSplits) {
    if (dataset.size(split) == 0) continue;
    const Path folder = staging.path() / std::string(split_name(split));
    for (const std::string& name : dataset.class_names())
      files.create_directories(folder / folder_name(name));
    Reader reader(dataset, split);
    each_rows(reader, [&](std::uint64_t first, const std::vector<std::uint8_t>& images) {
      const std::size_t bytes = reader.shape().bytes();
      for (std::size_t i = 0; i * bytes < images.size(); ++i) {
        const auto label = static_cast<std::size_t>(reader.label(first + i));
        const Path file = folder / folder_name(dataset.class_names().at(label)) /
                          (padded(reader.id(first + i)) + ".png");
        const std::string png =
            encode_png(reader.shape(), std::span(images).subspan(i * bytes, bytes));
        const auto stream = files.create(file);
        stream->append(std::as_bytes(std::span(png)));
        stream->close();
      }
    });
  }
  staging.publish();
  return count(dataset);
}

std::uint64_t export_npz(FileSystem& files, const Dataset& dataset, const Path& out) {
  if (files.exists(out)) {
    throw OutputError(text("Cannot export to '", out.string(), "': it exists."),
                      "Choose another name, or remove it first.");
  }
  const Path temporary = out.string() + ".partial";
  try {
    Npz npz(temporary);
    for (const Split split : kSplits)
      if (dataset.size(split) > 0) add_split(npz, dataset, split);
    add_class_names(npz, dataset.class_names());
    npz.close();
  } catch (...) {
    files.remove_all(temporary);
    throw;
  }
  files.sync(temporary);
  files.rename(temporary, out);
  return count(dataset);
}

}  // namespace atelier::data
