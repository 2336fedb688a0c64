#include "data/image_source.h"

#include <algorithm>
#include <system_error>

#include <archive.h>
#include <archive_entry.h>

#include "data/raw_file.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

namespace fs = std::filesystem;

class FolderSource final : public ImageSource {
 public:
  explicit FolderSource(Path folder) : folder_(std::move(folder)) {}

  std::vector<std::string> names() override {
    std::error_code code;
    auto entry = fs::recursive_directory_iterator(folder_, code);
    while (!code && entry != fs::recursive_directory_iterator()) {
      // Links to files are followed, links to folders only named, so that no loop can arise.
      if (!entry->is_directory(code) || entry->is_symlink(code))
        names_.push_back(entry->path().lexically_relative(folder_).string());
      code.clear();
      entry.increment(code);
    }
    if (code)
      throw IoError(text("Cannot list the folder '", folder_.string(), "': ", code.message(), "."));
    std::sort(names_.begin(), names_.end());
    return names_;
  }

  void stream(const std::vector<bool>& wanted, const Take& take) override {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (!wanted.at(i)) continue;
      if (!take(i, read(names_[i]))) return;
    }
  }

 private:
  [[nodiscard]] SourceFile read(const std::string& name) const {
    SourceFile file{name, {}, {}};
    std::error_code code;
    if (!fs::is_regular_file(folder_ / name, code)) {
      file.problem = "it is no regular file";
      return file;
    }
    try {
      const RawFile raw(folder_ / name, RawFile::Mode::kRead);
      const std::uint64_t bytes = raw.size();
      if (bytes > kMaxFileBytes) {
        file.problem = text("it has ", bytes, " bytes, more than any image should");
        return file;
      }
      file.content.resize(bytes);
      raw.read_at(0, file.content);
    } catch (const Error& error) {
      file.problem = error.what();
    }
    return file;
  }

  Path folder_;
  std::vector<std::string> names_;
};

class ArchiveSource final : public ImageSource {
 public:
  explicit ArchiveSource(Path path) : path_(std::move(path)) {}

  std::vector<std::string> names() override {
    std::vector<std::string> out;
    walk([&](archive* /*reader*/, std::size_t /*stated*/, std::string name) {
      out.push_back(std::move(name));
      return true;
    });
    return out;
  }

  void stream(const std::vector<bool>& wanted, const Take& take) override {
    std::size_t position = 0;
    walk([&](archive* reader, std::size_t stated, std::string name) {
      const std::size_t at = position++;
      if (at >= wanted.size()) fail("its content changed while it was read");
      if (!wanted[at]) return true;
      SourceFile file{std::move(name), {}, {}};
      read_content(reader, stated, file);
      return take(at, std::move(file));
    });
  }

 private:
  struct Close {
    void operator()(archive* reader) const { archive_read_free(reader); }
  };

  [[noreturn]] void fail(const char* why) const {
    throw DataError(text("Cannot read the archive '", path_.string(),
                         "': ", why == nullptr ? "unknown format" : why, "."),
                    "Check that it is a complete zip or tar file.");
  }

  // Visits the files in archive order until `visit` returns false.
  using Visit = std::function<bool(archive*, std::size_t stated_bytes, std::string name)>;
  void walk(const Visit& visit) const {
    constexpr std::size_t kPiece = 1U << 18U;
    const std::unique_ptr<archive, Close> reader(archive_read_new());
    if (!reader) throw std::bad_alloc();
    archive_read_support_format_zip(reader.get());
    archive_read_support_format_tar(reader.get());
    archive_read_support_filter_gzip(reader.get());
    if (archive_read_open_filename(reader.get(), path_.c_str(), kPiece) != ARCHIVE_OK)
      fail(archive_error_string(reader.get()));
    archive_entry* entry = nullptr;
    for (;;) {
      const int status = archive_read_next_header(reader.get(), &entry);
      if (status == ARCHIVE_EOF) return;
      if (status < ARCHIVE_WARN) fail(archive_error_string(reader.get()));
      if (archive_entry_filetype(entry) != AE_IFREG) continue;
      const auto stated =
          static_cast<std::size_t>(std::max<la_int64_t>(0, archive_entry_size(entry)));
      if (!visit(reader.get(), stated, name_of(entry))) return;
    }
  }

  // In the C locale only one of the two forms may be there.
  static std::string name_of(archive_entry* entry) {
    const char* name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) name = archive_entry_pathname(entry);
    return name == nullptr ? "unreadable name" : name;
  }

  // The stated size is only a first guess: archives can lie.
  static void read_content(archive* reader, std::size_t stated, SourceFile& file) {
    constexpr std::size_t kPiece = 1U << 16U;
    std::size_t done = 0;
    file.content.resize(std::min(stated + 1, kPiece));
    for (;;) {
      const la_ssize_t got =
          archive_read_data(reader, &file.content[done], file.content.size() - done);
      if (got < 0) {
        const char* why = archive_error_string(reader);
        file.problem = why == nullptr ? "the archive is damaged here" : why;
      } else if (done + static_cast<std::size_t>(got) > kMaxFileBytes) {
        file.problem = "it is larger than any image should be";
      }
      if (got <= 0 || !file.problem.empty()) break;
      done += static_cast<std::size_t>(got);
      if (done == file.content.size()) file.content.resize(done + std::max(done, kPiece));
    }
    file.content.resize(file.problem.empty() ? done : 0);
  }

  Path path_;
};

}  // namespace

std::unique_ptr<ImageSource> open_source(const Path& path) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (fs::is_directory(status)) return std::make_unique<FolderSource>(path);
  if (fs::is_regular_file(status)) return std::make_unique<ArchiveSource>(path);
  throw DataError(text("There is no folder or archive '", path.string(), "' to import."),
                  "Name a folder with images, or a zip or tar file of one.");
}

}  // namespace atelier::data
