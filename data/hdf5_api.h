// The HDF5 C library behind one wrapper: every call is checked, its error stack becomes one
// DataError or IoError, and every handle is closed. The library is used to lay out and to look at
// shards, never for their bytes. Thread safety: hold an Hdf5Session while using the library; it
// serialises all use in the process, since handles of any build break under concurrent calls.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include <hdf5.h>

namespace atelier::data {

/// Scope in which the calling thread may use HDF5; silences the library's own error printing.
class Hdf5Session {
 public:
  Hdf5Session();

 private:
  std::scoped_lock<std::mutex> lock_;
};

/// Of the library that is loaded: "1.10.8". Requires: no session on this thread.
[[nodiscard]] std::string hdf5_version();

/// The error stack of the last failed call, innermost cause last, on one line.
[[nodiscard]] std::string hdf5_error();

/// Owns one HDF5 identifier. Requires: destroyed inside the session it was made in.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() { reset(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
  Hdf5Handle& operator=(Hdf5Handle&&) = delete;
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;
  [[nodiscard]] hid_t get() const { return id_; }
  /// Closes now; negative when that failed.
  herr_t reset() noexcept;

 private:
  hid_t id_;
  Close close_;
};

/// What HDF5 calls are about, for messages; turns a negative result into ErrorType.
template <typename ErrorType>
class Hdf5Check {
 public:
  explicit Hdf5Check(std::string file) : file_(std::move(file)) {}

  template <typename Result>
  Result operator()(Result result, std::string_view attempted) const {
    if (result < 0) fail(attempted, hdf5_error());
    return result;
  }
  [[nodiscard]] Hdf5Handle handle(hid_t id, Hdf5Handle::Close close,
                                  std::string_view attempted) const {
    return {(*this)(id, attempted), close};
  }
  [[noreturn]] void fail(std::string_view attempted, std::string_view found) const {
    throw ErrorType("Cannot " + std::string(attempted) + " in '" + file_ +
                    "': " + std::string(found) + ".");
  }

 private:
  std::string file_;
};

}  // namespace atelier::data
