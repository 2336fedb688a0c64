#include <algorithm>
#include <array>
#include <optional>

#include "data/hdf5_api.h"
#include "data/import/array_file.h"
#include "launch/base/error.h"

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

hid_t in_memory(Number number, hid_t type) {
  switch (number) {
    case Number::kU8:
      return H5T_STD_U8LE;
    case Number::kI8:
      return H5T_STD_I8LE;
    case Number::kU16:
      return H5T_STD_U16LE;
    case Number::kI16:
      return H5T_STD_I16LE;
    case Number::kU32:
      return H5T_STD_U32LE;
    case Number::kI32:
      return H5T_STD_I32LE;
    case Number::kU64:
      return H5T_STD_U64LE;
    case Number::kI64:
      return H5T_STD_I64LE;
    case Number::kF32:
      return H5T_IEEE_F32LE;
    case Number::kF64:
      return H5T_IEEE_F64LE;
    default:
      return type;
  }
}

/// A dataset that is read some rows of the first axis at a time.
class Rows final : public ByteStream {
 public:
  Rows(hid_t file, const ArrayInfo& info, const Hdf5Check<DataError>& check)
      : info_(info),
        check_(check),
        dataset_(check.handle(H5Dopen2(file, info.name.c_str(), H5P_DEFAULT), H5Dclose,
                              "open '" + info.name + "'")),
        space_(check.handle(H5Dget_space(dataset_.get()), H5Sclose, "look at its shape")),
        type_(check.handle(H5Dget_type(dataset_.get()), H5Tclose, "look at its type")) {
    row_bytes_ = info.shape[0] == 0 ? 0 : info.bytes() / info.shape[0];
    rows_ = std::max<std::uint64_t>(1, row_bytes_ == 0 ? 1 : kPieceBytes / row_bytes_);
    const Hdf5Handle properties =
        check.handle(H5Dget_create_plist(dataset_.get()), H5Pclose, "look at its layout");
    std::vector<hsize_t> chunk(info.shape.size());
    if (H5Pget_layout(properties.get()) == H5D_CHUNKED &&
        H5Pget_chunk(properties.get(), static_cast<int>(chunk.size()), chunk.data()) > 0) {
      const std::uint64_t whole = std::max<std::uint64_t>(1, rows_ / chunk[0]) * chunk[0];
      if (whole * row_bytes_ <= kMostPieceBytes) rows_ = whole;  // each is unpacked once
    }
  }

  std::size_t read(std::span<std::byte> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      if (at_ == piece_.size() && !next()) break;
      const std::size_t bytes = std::min(out.size() - done, piece_.size() - at_);
      std::copy_n(piece_.begin() + static_cast<std::ptrdiff_t>(at_), bytes,
                  out.begin() + static_cast<std::ptrdiff_t>(done));
      at_ += bytes;
      done += bytes;
    }
    return done;
  }

 private:
  bool next() {
    const std::uint64_t rows = std::min(rows_, info_.shape[0] - row_);
    if (rows == 0 || row_bytes_ == 0) return false;
    std::vector<hsize_t> start(info_.shape.size()), count(info_.shape.begin(), info_.shape.end());
    start[0] = row_;
    count[0] = rows;
    check_(H5Sselect_hyperslab(space_.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(),
                               nullptr),
           "select rows");
    const Hdf5Handle memory =
        check_.handle(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr),
                      H5Sclose, "describe rows");
    piece_.resize(rows * row_bytes_);
    check_(H5Dread(dataset_.get(), in_memory(info_.number, type_.get()), memory.get(), space_.get(),
                   H5P_DEFAULT, piece_.data()),
           "read '" + info_.name + "'");
    row_ += rows;
    at_ = 0;
    return true;
  }

  const ArrayInfo& info_;
  const Hdf5Check<DataError>& check_;
  Hdf5Handle dataset_;
  Hdf5Handle space_;
  Hdf5Handle type_;
  std::uint64_t row_bytes_ = 0;
  std::uint64_t rows_ = 1;  ///< at a time
  std::uint64_t row_ = 0;
  std::vector<std::byte> piece_;
  std::size_t at_ = 0;
};

// Bytes that lie in other files are never read: an imported file could name any.
bool lies_elsewhere(hid_t properties) {
  return H5Pget_external_count(properties) != 0 || H5Pget_layout(properties) == H5D_VIRTUAL;
}

std::optional<ArrayInfo> describe(hid_t file, const char* name) {
  const Hdf5Handle dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (dataset.get() < 0) return std::nullopt;
  const Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
  const Hdf5Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const Hdf5Handle properties(H5Dget_create_plist(dataset.get()), H5Pclose);
  const int axes = H5Sget_simple_extent_ndims(space.get());
  if (axes < 1 || type.get() < 0 || properties.get() < 0) return std::nullopt;
  std::vector<hsize_t> shape(static_cast<std::size_t>(axes));
  if (H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr) < 0) return std::nullopt;
  ArrayInfo info{
      .name = name, .number = number_of(type.get()), .shape = {shape.begin(), shape.end()}};
  const bool made_up = info.bytes() / kMostPacked > H5Dget_storage_size(dataset.get());
  if (made_up || lies_elsewhere(properties.get())) info.number = Number::kOther;
  return info;
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
    infos_.clear();
    for (const std::string& name : names) {
      if (auto info = describe(file.get(), name.c_str())) infos_.push_back(std::move(*info));
    }
    return infos_;
  }

  void read(std::size_t array, const Use& use) override {
    const Hdf5Session session;
    const Hdf5Handle file = open();
    Rows rows(file.get(), infos_.at(array), check_);
    use(rows);
  }

 private:
  [[nodiscard]] Hdf5Handle open() const {
    return check_.handle(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, "open it");
  }

  Path path_;
  Hdf5Check<DataError> check_;
  std::vector<ArrayInfo> infos_;
};

}  // namespace

std::unique_ptr<ArrayFile> open_hdf5(const Path& file) {
  return std::make_unique<Hdf5Arrays>(file);
}

}  // namespace atelier::data
