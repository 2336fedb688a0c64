#include "data/hdf5_api.h"

#include <utility>

#include "launch/base/text.h"

namespace atelier::data {
namespace {

// The library's state is global to the process, so its lock is too.
std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

herr_t append_cause(unsigned /*depth*/, const H5E_error2_t* error, void* out) {
  auto& message = *static_cast<std::string*>(out);
  if (!message.empty()) message += ", because ";
  message += error->func_name == nullptr ? "" : error->func_name;
  message += " says '";
  message += error->desc == nullptr ? "" : error->desc;
  message += "'";
  return 0;
}

}  // namespace

Hdf5Session::Hdf5Session() : lock_(library_mutex()) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // per thread in thread-safe builds
}

std::string hdf5_version() {
  const Hdf5Session session;
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  if (H5get_libversion(&major, &minor, &release) < 0) return "unknown";
  return text(major, ".", minor, ".", release);
}

std::string hdf5_error() {
  std::string message;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, &append_cause, &message);
  H5Eclear2(H5E_DEFAULT);
  return message.empty() ? "HDF5 gave no reason" : message;
}

herr_t Hdf5Handle::reset() noexcept {
  const hid_t id = std::exchange(id_, -1);
  return id < 0 ? 0 : close_(id);
}

}  // namespace atelier::data
