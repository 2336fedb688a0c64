#include "data/staging_folder.h"

#include <cerrno>
#include <exception>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr const char* kPurposeName = ".purpose";

}  // namespace

StagingFolder::StagingFolder(FileSystem& files, const Path& target, const std::string& purpose)
    : files_(files), target_(std::filesystem::absolute(target).lexically_normal()) {
  if (!target_.has_filename()) target_ = target_.parent_path();
  path_ = target_.parent_path() / text(".", target_.filename().string(), ".partial");
  if (files_.exists(target_)) {
    throw OutputError(text("Cannot create the dataset '", target_.string(), "': it exists."),
                      "Choose another name, or remove it first.");
  }
  try {
    files_.create_directories(path_);
  } catch (const IoError& error) {
    throw OutputError(error.what());
  }
  if (!lock_.take(path_)) {
    throw OutputError(text("Cannot create the dataset '", target_.string(),
                           "': another process is writing it in '", path_.string(), "'."),
                      "Wait for it, or choose another name.");
  }
  const Path note = path_ / kPurposeName;
  if (!purpose.empty() && files_.exists(note) && files_.read(note) == purpose) return;
  for (const std::string& name : files_.list(path_)) files_.remove_all(path_ / name);
  if (purpose.empty()) return;
  try {
    write_atomically(files_, note, purpose);
  } catch (const IoError&) {
    files_.remove_all(path_);
    throw;
  }
}

// The folder itself is locked, so that the lock moves with it when it is renamed. File systems
// without such locks (some network ones) go without.
bool StagingFolder::Lock::take(const Path& folder) {
  fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) {
    throw OutputError(text("Cannot open the folder '", folder.string(),
                           "': ", std::generic_category().message(errno), "."));
  }
  return ::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

StagingFolder::Lock::~Lock() {
  if (fd_ >= 0) ::close(fd_);
}

StagingFolder::~StagingFolder() {
  if (published_) return;
  try {
    files_.remove_all(path_);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next writer clears it
  }
}

void StagingFolder::publish() {
  files_.remove_all(path_ / kPurposeName);
  files_.sync(path_);
  if (files_.exists(target_)) {
    throw OutputError(text("Cannot create the dataset '", target_.string(), "': it exists."),
                      "Somebody made it meanwhile; choose another name.");
  }
  files_.rename_new(path_, target_);
  published_ = true;
  files_.sync(target_.parent_path());
}

}  // namespace atelier::data
