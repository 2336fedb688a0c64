#include "data/import/named_files.h"

#include <algorithm>
#include <new>
#include <system_error>

#include <archive.h>
#include <archive_entry.h>

#include "data/import/class_folders.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

namespace fs = std::filesystem;

class FolderFile final : public ByteStream {
 public:
  explicit FolderFile(Path path) : path_(std::move(path)) {}
  std::size_t read(std::span<std::byte> out) override {
    if (!file_) {
      std::error_code code;
      if (!fs::is_regular_file(path_, code)) throw DataError("it is no regular file");
      file_ = open_file(path_);
    }
    return file_->read(out);
  }

 private:
  Path path_;
  std::unique_ptr<ByteStream> file_;  ///< null before it is read from
};

class Folder final : public NamedFiles {
 public:
  explicit Folder(Path folder) : folder_(std::move(folder)) {}

  std::vector<std::string> names() override {
    names_.clear();
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

  void visit(const std::vector<bool>& wanted, const Meet& meet) override {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (!wanted.at(i)) continue;
      FolderFile file(folder_ / names_[i]);
      if (!meet(i, file)) return;
    }
  }

 private:
  Path folder_;
  std::vector<std::string> names_;
};

class Single final : public NamedFiles {
 public:
  explicit Single(Path path) : path_(std::move(path)) {}
  std::vector<std::string> names() override { return {path_.filename().string()}; }
  void visit(const std::vector<bool>& wanted, const Meet& meet) override {
    if (!wanted.at(0)) return;
    FolderFile file(path_);
    static_cast<void>(meet(0, file));
  }

 private:
  Path path_;
};

class EntryStream final : public ByteStream {
 public:
  explicit EntryStream(archive* reader) : reader_(reader) {}
  std::size_t read(std::span<std::byte> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const la_ssize_t got = archive_read_data(reader_, &out[done], out.size() - done);
      if (got < 0) {
        const char* const why = archive_error_string(reader_);
        throw DataError(why == nullptr ? "the archive is damaged here" : why);
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  archive* reader_;
};

class Archive final : public NamedFiles {
 public:
  explicit Archive(Path path) : path_(std::move(path)) {}

  std::vector<std::string> names() override {
    std::vector<std::string> out;
    walk([&](archive* /*reader*/, std::string name) {
      out.push_back(std::move(name));
      return true;
    });
    return out;
  }

  void visit(const std::vector<bool>& wanted, const Meet& meet) override {
    std::size_t position = 0;
    walk([&](archive* reader, const std::string& /*name*/) {
      const std::size_t at = position++;
      if (at >= wanted.size()) fail("its content changed while it was read");
      EntryStream entry(reader);
      return !wanted[at] || meet(at, entry);
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
  using Visit = std::function<bool(archive*, std::string name)>;
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
      if (!visit(reader.get(), name_of(entry))) return;
    }
  }

  // In the C locale only one of the two forms may be there.
  static std::string name_of(archive_entry* entry) {
    const char* name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) name = archive_entry_pathname(entry);
    return name == nullptr ? "unreadable name" : name;
  }

  Path path_;
};

class Archives final : public NamedFiles {
 public:
  Archives(const Path& folder, const std::vector<std::string>& archives) {
    for (const std::string& name : archives) {
      parts_.push_back({.name = Path(name).replace_extension().string(),
                        .files = std::make_unique<Archive>(folder / name)});
    }
  }

  std::vector<std::string> names() override {
    std::vector<std::string> all;
    for (Part& part : parts_) {
      const std::vector<std::string> own = part.files->names();
      part.count = own.size();
      for (const std::string& name : own) all.push_back(part.name + "/" + name);
    }
    return all;
  }

  void visit(const std::vector<bool>& wanted, const Meet& meet) override {
    std::size_t first = 0;
    bool goes_on = true;
    for (const Part& part : parts_) {
      const auto begin = wanted.begin() + static_cast<std::ptrdiff_t>(first);
      const std::vector<bool> of_part(begin, begin + static_cast<std::ptrdiff_t>(part.count));
      part.files->visit(of_part, [&](std::size_t position, ByteStream& content) {
        return goes_on = meet(first + position, content);
      });
      if (!goes_on) return;
      first += part.count;
    }
  }

 private:
  struct Part {
    std::string name;
    std::unique_ptr<NamedFiles> files;
    std::size_t count = 0;
  };
  std::vector<Part> parts_;
};

}  // namespace

void fail_import(const std::string& name, std::string why) {
  if (why.starts_with("Cannot ")) throw DataError(why);
  if (why.ends_with('.')) why.pop_back();
  throw DataError(text("Cannot import '", clean_text(name), "': ", why, "."));
}

std::unique_ptr<NamedFiles> open_folder(const Path& folder) {
  return std::make_unique<Folder>(folder);
}
std::unique_ptr<NamedFiles> open_single(const Path& file) { return std::make_unique<Single>(file); }
std::unique_ptr<NamedFiles> open_archive(const Path& archive) {
  return std::make_unique<Archive>(archive);
}
std::unique_ptr<NamedFiles> open_archives(const Path& folder,
                                          const std::vector<std::string>& archives) {
  return std::make_unique<Archives>(folder, archives);
}

}  // namespace atelier::data
