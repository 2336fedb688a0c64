// A folder tree, an archive (zip, tar, tar.gz) or a set of archives, seen as files with names.
// Nothing is written; names in archives are never used as paths. Thread safety: one user.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/import/byte_stream.h"
#include "launch/base/error.h"
#include "launch/base/file_system.h"

namespace atelier::data {

class NamedFiles {
 public:
  virtual ~NamedFiles() = default;
  /// Of all files, in the order visit() meets them. Throws: DataError, IoError.
  [[nodiscard]] virtual std::vector<std::string> names() = 0;
  /// Calls `meet` for each position with `wanted[position]`, in order, until it returns false. What
  /// is wrong with a file alone is thrown by its stream. Requires: names() was called. Throws: what
  /// `meet` throws; DataError when an archive itself is damaged; IoError.
  using Meet = std::function<bool(std::size_t position, ByteStream& content)>;
  virtual void visit(const std::vector<bool>& wanted, const Meet& meet) = 0;
};

/// A source and its names, which take long to list again.
struct ListedFiles {
  std::unique_ptr<NamedFiles> files;
  std::vector<std::string> names;
};

/// "Cannot import 'NAME': WHY." `why` comes without its full stop, or with it.
[[noreturn]] void fail_import(const std::string& name, std::string why);

/// What `work` returns; a DataError of the bytes of `name` says so.
template <typename Work>
auto about(const std::string& name, const Work& work) {
  try {
    return work();
  } catch (const DataError& error) {
    fail_import(name, error.what());
  }
}

[[nodiscard]] std::unique_ptr<NamedFiles> open_folder(const Path& folder);
/// One file, under its own name.
[[nodiscard]] std::unique_ptr<NamedFiles> open_single(const Path& file);
/// Throws: DataError when it is none.
[[nodiscard]] std::unique_ptr<NamedFiles> open_archive(const Path& archive);
/// The files of all `archives` of `folder`; each name begins with that of its archive, without its
/// extension.
[[nodiscard]] std::unique_ptr<NamedFiles> open_archives(const Path& folder,
                                                        const std::vector<std::string>& archives);

}  // namespace atelier::data
