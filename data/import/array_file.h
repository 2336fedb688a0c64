// Arrays of numbers with names: of npy and npz files, of MNIST's and CIFAR's own formats, of HDF5
// files. What of them is images and what labels, array_source.h finds out. Thread safety: one user.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/import/byte_stream.h"
#include "data/import/named_files.h"

namespace atelier::data {

/// Little-endian.
enum class Number : std::uint8_t {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kF32,
  kF64,
  kOther  ///< nothing that is read here
};
[[nodiscard]] std::size_t width_of(Number number);  ///< bytes; 0 for kOther

struct ArrayInfo {
  std::string name = {};
  Number number = Number::kOther;
  std::vector<std::uint64_t> shape = {};
  bool columns_first = false;  ///< [N, W, H]: images lie on their side
  /// Of all elements. Throws: DataError when that is more than any file holds.
  [[nodiscard]] std::uint64_t bytes() const;
};

class ArrayFile {
 public:
  virtual ~ArrayFile() = default;
  /// Throws: DataError, IoError.
  [[nodiscard]] virtual std::vector<ArrayInfo> arrays() = 0;
  /// Lets `use` read the elements of arrays()[array], the last axis first. Throws: what `use`
  /// throws; DataError, IoError.
  using Use = std::function<void(ByteStream& elements)>;
  virtual void read(std::size_t array, const Use& use) = 0;
  /// Of labels 0, 1, ...; empty when the file does not say.
  [[nodiscard]] virtual std::vector<std::string> class_names() { return {}; }
  /// Files that are no arrays.
  [[nodiscard]] virtual std::vector<std::string> others() { return {}; }
};

/// Those of `names` that are at none of `positions`.
[[nodiscard]] std::vector<std::string> without(const std::vector<std::string>& names,
                                               const std::vector<std::size_t>& positions);

/// Reads to the end. Throws: DataError unless that comes after `bytes`.
void require_bytes(ByteStream& stream, std::uint64_t bytes);

/// Those of `listed` that are in NumPy's format (its "npy" version 1 to 3). Takes its files, or
/// leaves them and gives null when there are none. Throws: DataError, IoError.
[[nodiscard]] std::unique_ptr<ArrayFile> open_npy(ListedFiles& listed);
/// In the format of MNIST (yann.lecun.com/exdb/mnist), packed by gzip or not. As above.
[[nodiscard]] std::unique_ptr<ArrayFile> open_idx(ListedFiles& listed);
/// The binary version of CIFAR-10 and CIFAR-100 (cs.toronto.edu/~kriz/cifar.html). As above.
[[nodiscard]] std::unique_ptr<ArrayFile> open_cifar(ListedFiles& listed);
/// Every dataset of an HDF5 file. Throws: DataError.
[[nodiscard]] std::unique_ptr<ArrayFile> open_hdf5(const Path& file);

}  // namespace atelier::data
