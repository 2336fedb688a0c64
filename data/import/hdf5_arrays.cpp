#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <zlib.h>

#include "data/hdf5_api.h"
#include "data/import/array_file.h"
#include "data/raw_file.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{4} << 20U;
constexpr std::uint64_t kMostPieceBytes = std::uint64_t{1} << 30U;
constexpr std::uint64_t kMostPacked = 2000;  // to one; deflate reaches 1032

Number integer_of(std::size_t bytes, bool is_signed) {
  switch (bytes) {
    case 1:
      return is_signed ? Number::kI8 : Number::kU8;
    case 2:
      return is_signed ? Number::kI16 : Number::kU16;
    case 4:
      return is_signed ? Number::kI32 : Number::kU32;
    case 8:
      return is_signed ? Number::kI64 : Number::kU64;
    default:
      return Number::kOther;
  }
}

Number number_of(hid_t type) {
  const std::size_t bytes = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return integer_of(bytes, H5Tget_sign(type) == H5T_SGN_2);
    case H5T_FLOAT:
      return bytes == 4 ? Number::kF32 : bytes == 8 ? Number::kF64 : Number::kOther;
    case H5T_ENUM:  // how h5py writes truth values
      return bytes == 1 ? Number::kBool : Number::kOther;
    default:
      return Number::kOther;
  }
}

/// What HDF5 says about an array's bytes. They are read and unpacked here: HDF5 itself reads beyond
/// its buffers where a damaged chunk unpacks to less than it should.
struct Stored {
  H5D_layout_t layout = H5D_COMPACT;
  std::uint64_t offset = 0;           ///< of contiguous bytes, in the file
  std::vector<std::uint64_t> chunk;   ///< sides
  std::vector<H5Z_filter_t> filters;  ///< in the order they were applied
  bool big_endian = false;
};

/// The chunks that a filter pipeline made, the way back.
class Unpacking {
 public:
  Unpacking(const Stored& storage, std::size_t width, std::size_t bytes)
      : storage_(storage), width_(width), bytes_(bytes) {}

  /// `skipped`: a bit for each filter that was not applied to this chunk.
  std::vector<std::byte> operator()(std::vector<std::byte> packed, std::uint32_t skipped) const {
    for (std::size_t i = storage_.filters.size(); i-- > 0;) {
      if ((skipped >> i & 1U) != 0) continue;
      packed = storage_.filters[i] == H5Z_FILTER_DEFLATE ? inflated(packed) : unshuffled(packed);
    }
    if (packed.size() != bytes_) fail();
    return packed;
  }

 private:
  [[noreturn]] void fail() const {
    throw DataError(text("a chunk does not unpack to the ", bytes_, " bytes it should have"));
  }

  [[nodiscard]] std::vector<std::byte> inflated(const std::vector<std::byte>& packed) const {
    std::vector<std::byte> out(bytes_);
    uLongf size = out.size();
    const int code = ::uncompress(reinterpret_cast<Bytef*>(out.data()), &size,
                                  reinterpret_cast<const Bytef*>(packed.data()), packed.size());
    if (code != Z_OK || size != bytes_) fail();
    return out;
  }

  // First the first byte of each element, then the second ones, and so on.
  [[nodiscard]] std::vector<std::byte> unshuffled(const std::vector<std::byte>& packed) const {
    const std::size_t elements = packed.size() / width_;
    std::vector<std::byte> out(packed);
    for (std::size_t byte = 0; byte < width_; ++byte) {
      for (std::size_t i = 0; i < elements; ++i)
        out[i * width_ + byte] = packed[byte * elements + i];
    }
    return out;
  }

  const Stored& storage_;
  std::size_t width_;
  std::size_t bytes_;
};

/// An array that is read some rows of the first axis at a time.
class Rows final : public PieceStream {
 public:
  Rows(hid_t file, const Path& path, const ArrayInfo& info, Stored storage,
       const Hdf5Check<DataError>& check)
      : info_(info),
        storage_(std::move(storage)),
        check_(check),
        raw_(path, RawFile::Mode::kRead),
        dataset_(check.handle(H5Dopen2(file, info.name.c_str(), H5P_DEFAULT), H5Dclose,
                              "open '" + info.name + "'")) {
    row_bytes_ = info.shape[0] == 0 ? 0 : info.bytes() / info.shape[0];
    rows_ = std::max<std::uint64_t>(1, row_bytes_ == 0 ? 1 : kPieceBytes / row_bytes_);
    if (storage_.layout == H5D_COMPACT) rows_ = info.shape[0];
    if (storage_.layout == H5D_CHUNKED) rows_ = storage_.chunk[0];
  }

 private:
  std::span<const std::byte> next() override {
    const std::uint64_t rows = std::min(rows_, info_.shape[0] - row_);
    if (rows == 0 || row_bytes_ == 0) return {};
    if (rows > kMostPieceBytes / row_bytes_) throw DataError("its chunks are too large to be read");
    piece_.assign(rows * row_bytes_, std::byte{0});
    if (storage_.layout == H5D_CONTIGUOUS) {
      raw_.read_at(storage_.offset + row_ * row_bytes_, piece_);
    } else if (storage_.layout == H5D_CHUNKED) {
      read_chunks(rows);
    } else {
      const Hdf5Handle type =
          check_.handle(H5Dget_type(dataset_.get()), H5Tclose, "look at its type");
      check_(H5Dread(dataset_.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, piece_.data()),
             "read '" + info_.name + "'");
    }
    if (storage_.big_endian) turn();
    row_ += rows;
    return piece_;
  }

  void turn() {
    const std::size_t width = width_of(info_.number);
    for (std::size_t at = 0; at < piece_.size(); at += width) {
      const auto begin = piece_.begin() + static_cast<std::ptrdiff_t>(at);
      std::reverse(begin, begin + static_cast<std::ptrdiff_t>(width));
    }
  }

  // All chunks that begin in this row.
  void read_chunks(std::uint64_t rows) {
    std::vector<hsize_t> corner(info_.shape.size());
    corner[0] = row_;
    for (;;) {
      place(read_chunk(corner), corner, rows);
      std::size_t axis = corner.size();
      while (--axis > 0) {
        corner[axis] += storage_.chunk[axis];
        if (corner[axis] < info_.shape[axis]) break;
        corner[axis] = 0;
      }
      if (axis == 0) return;
    }
  }

  // Empty: it was never written, and holds zeros.
  std::vector<std::byte> read_chunk(const std::vector<hsize_t>& corner) {
    hsize_t packed = 0;
    haddr_t address = HADDR_UNDEF;
    unsigned skipped = 0;
    check_(H5Dget_chunk_info_by_coord(dataset_.get(), corner.data(), &skipped, &address, &packed),
           "find a chunk of '" + info_.name + "'");
    if (packed == 0 || address == HADDR_UNDEF) return {};
    if (packed > raw_.size()) throw DataError("a chunk is longer than the file");
    std::vector<std::byte> bytes(packed);
    raw_.read_at(address, bytes);
    std::size_t whole = width_of(info_.number);
    for (const std::uint64_t side : storage_.chunk) whole *= side;  // below 4 GiB, as HDF5 has it
    if (whole > kMostPieceBytes) throw DataError("its chunks are too large to be read");
    return Unpacking(storage_, width_of(info_.number), whole)(std::move(bytes), skipped);
  }

  // Copies the part of a chunk that lies within the array, line by line of its last axis.
  void place(const std::vector<std::byte>& bytes, const std::vector<hsize_t>& corner,
             std::uint64_t rows) {
    if (bytes.empty()) return;
    const std::size_t axes = corner.size();
    const std::size_t width = width_of(info_.number);
    std::vector<std::uint64_t> count(axes);  // of the chunk, on each axis
    for (std::size_t axis = 0; axis < axes; ++axis) {
      const std::uint64_t most = axis == 0 ? rows : info_.shape[axis] - corner[axis];
      count[axis] = std::min<std::uint64_t>(storage_.chunk[axis], most);
    }
    std::vector<std::uint64_t> at(axes);  // of a line, within the chunk
    for (;;) {
      std::uint64_t from = 0, to = 0;
      for (std::size_t axis = 0; axis < axes; ++axis) {
        from = from * storage_.chunk[axis] + at[axis];
        to =
            to * (axis == 0 ? rows : info_.shape[axis]) + at[axis] + (axis == 0 ? 0 : corner[axis]);
      }
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(from * width),
                  count[axes - 1] * width,
                  piece_.begin() + static_cast<std::ptrdiff_t>(to * width));
      std::size_t axis = axes - 1;
      while (axis-- > 0) {
        if (++at[axis] < count[axis]) break;
        at[axis] = 0;
      }
      if (axis >= axes) return;  // below 0: every line is there
    }
  }

  const ArrayInfo& info_;
  Stored storage_;
  const Hdf5Check<DataError>& check_;
  RawFile raw_;
  Hdf5Handle dataset_;
  std::uint64_t row_bytes_ = 0;
  std::uint64_t rows_ = 1;  ///< at a time
  std::uint64_t row_ = 0;
  std::vector<std::byte> piece_;
};

bool is_plain(hid_t type, Number number) {
  if (number == Number::kF32)
    return H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0;
  if (number == Number::kF64)
    return H5Tequal(type, H5T_IEEE_F64LE) > 0 || H5Tequal(type, H5T_IEEE_F64BE) > 0;
  return number == Number::kBool ||
         (H5Tget_offset(type) == 0 && H5Tget_precision(type) == 8 * H5Tget_size(type));
}

// Nothing when it is stored in a way that is not read here. Bytes that lie in other files are never
// read: an imported file could name any.
std::optional<Stored> storage_of(hid_t dataset, hid_t type, std::size_t axes) {
  const Hdf5Handle properties(H5Dget_create_plist(dataset), H5Pclose);
  if (properties.get() < 0 || H5Pget_external_count(properties.get()) != 0) return std::nullopt;
  Stored storage;
  storage.layout = H5Pget_layout(properties.get());
  storage.big_endian = H5Tget_order(type) == H5T_ORDER_BE;
  if (storage.layout == H5D_COMPACT) return storage;
  if (storage.layout == H5D_CONTIGUOUS) {
    storage.offset = H5Dget_offset(dataset);
    return storage.offset == HADDR_UNDEF ? std::nullopt : std::optional(storage);
  }
  H5D_fill_value_t fill = H5D_FILL_VALUE_ERROR;
  std::vector<hsize_t> chunk(axes);
  const bool has_zeros =
      H5Pfill_value_defined(properties.get(), &fill) >= 0 && fill != H5D_FILL_VALUE_USER_DEFINED;
  if (storage.layout != H5D_CHUNKED || !has_zeros ||
      H5Pget_chunk(properties.get(), static_cast<int>(axes), chunk.data()) !=
          static_cast<int>(axes))
    return std::nullopt;
  storage.chunk.assign(chunk.begin(), chunk.end());
  const int filters = H5Pget_nfilters(properties.get());
  for (int i = 0; i < filters; ++i) {
    std::size_t values = 0;
    unsigned flags = 0;
    const H5Z_filter_t filter = H5Pget_filter2(properties.get(), static_cast<unsigned>(i), &flags,
                                               &values, nullptr, 0, nullptr, nullptr);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE) return std::nullopt;
    storage.filters.push_back(filter);
  }
  return filters < 0 ? std::nullopt : std::optional(storage);
}

struct Found {
  ArrayInfo info;
  Stored storage;
};

std::optional<Found> describe(hid_t file, const char* name) {
  const Hdf5Handle dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (dataset.get() < 0) return std::nullopt;
  const Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
  const Hdf5Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const int axes = H5Sget_simple_extent_ndims(space.get());
  if (axes < 1 || type.get() < 0) return std::nullopt;
  std::vector<hsize_t> shape(static_cast<std::size_t>(axes));
  if (H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr) < 0) return std::nullopt;
  Found found{.info = {.name = name,
                       .number = number_of(type.get()),
                       .shape = {shape.begin(), shape.end()}},
              .storage = {}};
  const auto storage = storage_of(dataset.get(), type.get(), shape.size());
  const bool made_up = found.info.bytes() / kMostPacked > H5Dget_storage_size(dataset.get());
  if (storage) found.storage = *storage;
  if (!storage || made_up || !is_plain(type.get(), found.info.number))
    found.info.number = Number::kOther;
  return found;
}

herr_t note_dataset(hid_t /*file*/, const char* name, const H5O_info_t* info, void* found) {
  if (info->type != H5O_TYPE_DATASET) return 0;
  auto& names = *static_cast<std::vector<std::string>*>(found);
  names.emplace_back(name);
  return 0;
}

class Hdf5Arrays final : public ArrayFile {
 public:
  explicit Hdf5Arrays(Path path) : path_(std::move(path)), check_(path_.string()) {}

  std::vector<ArrayInfo> arrays() override {
    const Hdf5Session session;
    const Hdf5Handle file = open();
    std::vector<std::string> names;
    check_(H5Ovisit2(file.get(), H5_INDEX_NAME, H5_ITER_INC, note_dataset, &names, H5O_INFO_BASIC),
           "list the datasets");
    found_.clear();
    std::vector<ArrayInfo> infos;
    for (const std::string& name : names) {
      auto found = describe(file.get(), name.c_str());
      if (!found) continue;
      infos.push_back(found->info);
      found_.push_back(std::move(*found));
    }
    return infos;
  }

  void read(std::size_t array, const Use& use) override {
    const Hdf5Session session;
    const Hdf5Handle file = open();
    const Found& found = found_.at(array);
    about(path_.string(), [&] {
      Rows rows(file.get(), path_, found.info, found.storage, check_);
      use(rows);
    });
  }

 private:
  [[nodiscard]] Hdf5Handle open() const {
    return check_.handle(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, "open it");
  }

  Path path_;
  Hdf5Check<DataError> check_;
  std::vector<Found> found_;
};

}  // namespace

std::unique_ptr<ArrayFile> open_hdf5(const Path& file) {
  return std::make_unique<Hdf5Arrays>(file);
}

}  // namespace atelier::data
