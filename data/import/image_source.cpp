#include "data/import/image_source.h"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "data/import/array_source.h"
#include "data/import/class_folders.h"
#include "data/import/file_images.h"
#include "data/import/named_files.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

namespace fs = std::filesystem;

std::string first_bytes(const Path& file, std::size_t count) {
  std::string bytes(count, '\0');
  bytes.resize(open_file(file)->read(std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

bool has_images(const ListedFiles& listed) {
  return std::any_of(listed.names.begin(), listed.names.end(), [](const std::string& name) {
    const NameKind kind = kind_of_name(name);
    return kind == NameKind::kImage || kind == NameKind::kOtherImage;
  });
}

// Archives of one larger set; nothing when other files are there.
std::vector<std::string> all_archives(const ListedFiles& listed) {
  std::vector<std::string> archives;
  for (const std::string& name : listed.names) {
    if (kind_of_name(name) == NameKind::kHidden) continue;
    const std::string kind = extension_of(name);
    if (kind == ".tar" || kind == ".zip") archives.push_back(name);
    if (kind != ".tar" && kind != ".zip" && kind != ".json" && kind != ".txt") return {};
  }
  return archives;
}

std::unique_ptr<ArrayFile> arrays_among(ListedFiles& listed) {
  for (const auto open : {open_npy, open_cifar, open_idx}) {
    if (std::unique_ptr<ArrayFile> file = open(listed)) return file;
  }
  return nullptr;
}

ListedFiles list_of(std::unique_ptr<NamedFiles> files) {
  ListedFiles listed{std::move(files), {}};
  listed.names = listed.files->names();
  return listed;
}

std::unique_ptr<ImageSource> open_folder_source(const Path& path, const ArrayChoice& choice) {
  ListedFiles listed = list_of(open_folder(path));
  if (!has_images(listed)) {
    const std::vector<std::string> archives = all_archives(listed);
    if (!archives.empty()) listed = list_of(open_archives(path, archives));
    if (archives.empty()) {
      if (auto arrays = arrays_among(listed))
        return make_array_source(path.string(), std::move(arrays), choice);
    }
  }
  return make_file_images(path.string(), std::move(listed));
}

std::unique_ptr<ImageSource> open_file_source(const Path& path, const ArrayChoice& choice) {
  constexpr std::string_view kHdf5 = "\x89HDF\r\n\x1a\n";
  const std::string begin = first_bytes(path, kHdf5.size());
  if (begin == kHdf5) return make_array_source(path.string(), open_hdf5(path), choice);
  ListedFiles single = list_of(open_single(path));
  if (auto arrays = arrays_among(single))
    return make_array_source(path.string(), std::move(arrays), choice);
  ListedFiles listed = list_of(open_archive(path));
  if (!has_images(listed)) {
    if (auto arrays = arrays_among(listed))
      return make_array_source(path.string(), std::move(arrays), choice);
  }
  return make_file_images(path.string(), std::move(listed));
}

}  // namespace

std::unique_ptr<ImageSource> open_source(const Path& path, const ArrayChoice& choice) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (fs::is_directory(status)) return open_folder_source(path, choice);
  if (fs::is_regular_file(status)) return open_file_source(path, choice);
  throw DataError(text("There is no '", path.string(), "' to import."),
                  "Name a folder with images, a zip or tar file of one, or a "
                  "file with arrays.");
}

}  // namespace atelier::data
