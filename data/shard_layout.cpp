#include "data/shard_layout.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "data/hdf5_api.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::string_view kFormat = "atelier-shard";

using WriteCheck = Hdf5Check<IoError>;
using ReadCheck = Hdf5Check<DataError>;

template <typename Check>
Hdf5Handle text_type(const Check& check, std::size_t bytes) {
  Hdf5Handle type = check.handle(H5Tcopy(H5T_C_S1), H5Tclose, "make a text type");
  check(H5Tset_size(type.get(), std::max<std::size_t>(bytes, 1)), "size a text type");
  check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "pad a text type");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "mark a text type as UTF-8");
  return type;
}

template <typename Check>
Hdf5Handle element_type(const Check& check, const Table& table) {
  const auto copy = [&](hid_t type) {
    return check.handle(H5Tcopy(type), H5Tclose, "copy a type");
  };
  switch (table.element) {
    case Element::kU8:
      return copy(H5T_STD_U8LE);
    case Element::kI64:
      return copy(H5T_STD_I64LE);
    case Element::kU64:
      return copy(H5T_STD_U64LE);
    case Element::kF32:
      return copy(H5T_IEEE_F32LE);
    case Element::kText:
      return text_type(check, table.row_shape.at(0));
  }
  fail_check("element", "unknown element type");
}

std::vector<hsize_t> extents(const ShardLayout& layout, std::size_t index) {
  const Table& table = layout.tables[index];
  if (index == kImages && layout.packing.varies()) return {layout.image_bytes};
  std::vector<hsize_t> out{layout.num_samples};
  if (table.element != Element::kText)
    out.insert(out.end(), table.row_shape.begin(), table.row_shape.end());
  return out;
}

class ShardCreator {
 public:
  ShardCreator(const Path& file, const ShardLayout& layout)
      : check_(file.string()), layout_(layout), file_(create(file)) {}

  std::vector<TablePlace> run() {
    write_attributes();
    std::vector<TablePlace> places;
    places.reserve(layout_.tables.size());
    for (std::size_t i = 0; i < layout_.tables.size(); ++i)
      places.push_back({create_table(file_.get(), layout_.tables[i], extents(layout_, i)), 0});
    create_hash_tables(places);
    check_(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "flush");
    check_(file_.reset(), "close");
    return places;
  }

 private:
  void create_hash_tables(std::vector<TablePlace>& places) const {
    const Hdf5Handle creation =
        check_.handle(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, "make group properties");
    check_(H5Pset_obj_track_times(creation.get(), false), "switch off clocks");
    const Hdf5Handle group =
        check_.handle(H5Gcreate2(file_.get(), "hashes", H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                      H5Gclose, "create the group 'hashes'");
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Table hashes{layout_.tables[i].name, Element::kU64, {}};
      places[i].hash_offset =
          create_table(group.get(), hashes, {layout_.tables[i].blocks(layout_.num_samples)});
    }
  }

  Hdf5Handle create(const Path& file) const {
    const Hdf5Handle access =
        check_.handle(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make file access properties");
    // Superblock 2: no consistency flags, so a crash leaves no "already open for write".
    check_(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST), "set bounds");
    check_(H5Pset_alignment(access.get(), 1, kAlignment), "set the alignment");
    check_(H5Pset_file_locking(access.get(), false, true), "set file locking");
    const Hdf5Handle creation =
        check_.handle(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "make file creation properties");
    check_(H5Pset_obj_track_times(creation.get(), false), "switch off clocks");
    return check_.handle(H5Fcreate(file.c_str(), H5F_ACC_EXCL, creation.get(), access.get()),
                         H5Fclose, "create the shard");
  }

  std::uint64_t create_table(hid_t parent, const Table& table,
                             const std::vector<hsize_t>& shape) const {
    const Hdf5Handle space =
        check_.handle(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                      H5Sclose, "make a data space");
    const Hdf5Handle type = element_type(check_, table);
    const Hdf5Handle creation =
        check_.handle(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make dataset properties");
    check_(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), "ask for contiguous storage");
    check_(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "ask for early allocation");
    check_(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "switch off filling");
    check_(H5Pset_obj_track_times(creation.get(), false), "switch off clocks");
    const Hdf5Handle set =
        check_.handle(H5Dcreate2(parent, table.name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                                 creation.get(), H5P_DEFAULT),
                      H5Dclose, text("create /", table.name));
    const haddr_t offset = H5Dget_offset(set.get());
    if (offset == HADDR_UNDEF) check_.fail(text("place /", table.name), hdf5_error());
    return offset;
  }

  void write_attribute(std::string_view name, hid_t type, hid_t space, const void* data) const {
    const std::string key(name);
    const Hdf5Handle attribute =
        check_.handle(H5Acreate2(file_.get(), key.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                      H5Aclose, text("create the attribute '", name, "'"));
    check_(H5Awrite(attribute.get(), type, data), text("write the attribute '", name, "'"));
  }

  void write_text(std::string_view name, std::string_view value) const {
    const Hdf5Handle type = text_type(check_, value.size());
    const Hdf5Handle space = check_.handle(H5Screate(H5S_SCALAR), H5Sclose, "make a scalar");
    write_attribute(name, type.get(), space.get(), std::string(value).c_str());
  }

  void write_number(std::string_view name, std::uint64_t value) const {
    const Hdf5Handle space = check_.handle(H5Screate(H5S_SCALAR), H5Sclose, "make a scalar");
    write_attribute(name, H5T_STD_U64LE, space.get(), &value);
  }

  void write_texts(std::string_view name, const std::vector<std::string>& values) const {
    if (values.empty()) return;
    std::size_t longest = 1;
    for (const std::string& value : values) longest = std::max(longest, value.size());
    std::string bytes(longest * values.size(), '\0');
    for (std::size_t i = 0; i < values.size(); ++i) values[i].copy(&bytes[i * longest], longest);
    const Hdf5Handle type = text_type(check_, longest);
    const hsize_t count = values.size();
    const Hdf5Handle space =
        check_.handle(H5Screate_simple(1, &count, nullptr), H5Sclose, "make a data space");
    write_attribute(name, type.get(), space.get(), bytes.data());
  }

  void write_attributes() const {
    write_text("format", kFormat);
    write_text("format_version", format_version(layout_.packing));
    write_text("layout", "NHWC");
    write_text("storage", storage_name(layout_.packing.storage));
    if (layout_.packing.storage == Storage::kEncoded) {
      write_text("fit", fit_name(layout_.packing));
      write_text("filter", filter_name(layout_.packing));
    }
    write_text("color_space", layout_.shape.channels == 1 ? "grey" : "sRGB");
    write_text("split", split_name(layout_.split));
    write_number("height", static_cast<std::uint64_t>(layout_.shape.height));
    write_number("width", static_cast<std::uint64_t>(layout_.shape.width));
    write_number("channels", static_cast<std::uint64_t>(layout_.shape.channels));
    write_number("num_samples", layout_.num_samples);
    write_number("shard_index", layout_.shard_index);
    write_number("num_shards", layout_.num_shards);
    write_number("block_size", layout_.tables.at(kImages).block_rows());
    write_texts("class_names", layout_.class_names);
    write_texts("factor_names", layout_.factor_names);
  }

  WriteCheck check_;
  const ShardLayout& layout_;
  Hdf5Handle file_;
};

/// A shard that is looked at.
class OpenedShard {
 protected:
  explicit OpenedShard(const Path& file) : check_(file.string()), file_(open(file)) {}

  void require_readable() const {
    expect("attribute 'format'", read_text("format"), std::string(kFormat));
    const std::string version = read_text("format_version");
    if (!can_read_format(version)) {
      check_.fail("read the shard",
                  text("its format version is '", version, "' and this program reads ",
                       kReadFormats, "; use a newer program"));
    }
  }

  template <typename Value>
  void expect(std::string_view what, const Value& found, const Value& expected) const {
    if (found != expected)
      check_.fail(text("accept the ", what), text("found ", found, ", expected ", expected));
  }

  Hdf5Handle open(const Path& file) const {
    const Hdf5Handle access =
        check_.handle(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make file access properties");
    // Readers take no lock: network file systems refuse them, and shards never change.
    check_(H5Pset_file_locking(access.get(), false, true), "set file locking");
    return check_.handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose,
                         "open the shard");
  }

  Hdf5Handle attribute(const char* name) const {
    return check_.handle(H5Aopen(file_.get(), name, H5P_DEFAULT), H5Aclose,
                         text("find the attribute '", name, "'"));
  }

  std::string read_text(const char* name) const {
    const Hdf5Handle handle = attribute(name);
    const Hdf5Handle type = check_.handle(H5Aget_type(handle.get()), H5Tclose, "read a type");
    const Hdf5Handle space = check_.handle(H5Aget_space(handle.get()), H5Sclose, "read a space");
    constexpr std::size_t kLongest = 4096;
    const std::size_t bytes = H5Tget_size(type.get());
    if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0 ||
        bytes == 0 || bytes > kLongest || H5Sget_simple_extent_npoints(space.get()) != 1)
      check_.fail(text("read the attribute '", name, "'"), "it is no text of fixed length");
    std::string value(bytes, '\0');
    check_(H5Aread(handle.get(), type.get(), value.data()), text("read '", name, "'"));
    return value.substr(0, value.find('\0'));
  }

  std::uint64_t read_number(const char* name) const {
    const Hdf5Handle handle = attribute(name);
    const Hdf5Handle space = check_.handle(H5Aget_space(handle.get()), H5Sclose, "read a space");
    if (H5Sget_simple_extent_npoints(space.get()) != 1)
      check_.fail(text("read the attribute '", name, "'"), "it is no single number");
    std::uint64_t value = 0;
    check_(H5Aread(handle.get(), H5T_NATIVE_UINT64, &value), text("read '", name, "'"));
    return value;
  }

  Packing read_packing() const {
    const std::string storage = read_text("storage");
    const bool encoded = storage == storage_name(Storage::kEncoded);
    const auto packing = packing_from_names(storage, encoded ? read_text("fit") : kFitNames[0],
                                            encoded ? read_text("filter") : kFilterNames[0]);
    if (!packing)
      check_.fail("accept the attributes 'storage', 'fit' and 'filter'", "they name no known one");
    return *packing;
  }

  ReadCheck check_;
  Hdf5Handle file_;
};

class ShardInspector : private OpenedShard {
 public:
  ShardInspector(const Path& file, const ShardLayout& expected)
      : OpenedShard(file), expected_(expected) {}

  std::vector<TablePlace> run() const {
    require_readable();
    expect("attribute 'split'", read_text("split"), std::string(split_name(expected_.split)));
    expect("attribute 'num_samples'", read_number("num_samples"), expected_.num_samples);
    expect("attribute 'shard_index'", read_number("shard_index"), expected_.shard_index);
    expect("attribute 'num_shards'", read_number("num_shards"), expected_.num_shards);
    if (read_packing() != expected_.packing)
      check_.fail("accept the attribute 'storage'", "it is not the manifest's");
    expect("attribute 'block_size'", read_number("block_size"),
           expected_.tables.at(kImages).block_rows());
    std::vector<TablePlace> places;
    for (std::size_t i = 0; i < expected_.tables.size(); ++i) {
      const Table& table = expected_.tables[i];
      const Table hashes{"hashes/" + table.name, Element::kU64, {}};
      places.push_back({inspect_table(table, extents(expected_, i)),
                        inspect_table(hashes, {table.blocks(expected_.num_samples)})});
    }
    return places;
  }

 private:
  std::uint64_t inspect_table(const Table& table, const std::vector<hsize_t>& shape) const {
    const std::string name = "/" + table.name;
    const Hdf5Handle set = check_.handle(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), H5Dclose,
                                         text("open ", name));
    const Hdf5Handle type = check_.handle(H5Dget_type(set.get()), H5Tclose, "read a type");
    const Hdf5Handle wanted = element_type(check_, table);
    if (check_(H5Tequal(type.get(), wanted.get()), "compare types") == 0) {
      check_.fail(text("accept ", name),
                  text("its elements are not ", element_name(table.element)));
    }
    const Hdf5Handle space = check_.handle(H5Dget_space(set.get()), H5Sclose, "read a space");
    std::vector<hsize_t> found(H5S_MAX_RANK, 0);
    const int rank = check_(H5Sget_simple_extent_dims(space.get(), found.data(), nullptr),
                            text("read the shape of ", name));
    found.resize(static_cast<std::size_t>(rank));
    if (found != shape) check_.fail(text("accept ", name), "its shape is not the manifest's");
    const haddr_t offset = H5Dget_offset(set.get());
    if (offset == HADDR_UNDEF)
      check_.fail(text("accept ", name), "it is not stored as one contiguous array");
    return offset;
  }

  const ShardLayout& expected_;
};

/// Finds out what a shard holds, where nobody knows it.
class LayoutReader : private OpenedShard {
 public:
  explicit LayoutReader(const Path& file) : OpenedShard(file) {}

  ShardLayout run() const {
    require_readable();
    ShardLayout layout;
    layout.shape = {side("height"), side("width"), side("channels")};
    const std::string split = read_text("split");
    const auto known = split_from_name(split);
    if (!known) check_.fail("accept the attribute 'split'", text("found ", split));
    layout.split = *known;
    layout.num_samples = read_number("num_samples");
    layout.shard_index = read_number("shard_index");
    layout.num_shards = read_number("num_shards");
    layout.class_names = read_texts("class_names");
    layout.factor_names = read_texts("factor_names");
    layout.tables = required_tables(layout.shape);
    layout.packing = read_packing();
    if (layout.packing.varies()) layout.tables[kImages].fewer_rows = fewer_rows(layout.tables);
    for (const std::string& name : extra_names(layout.tables)) layout.tables.push_back(table(name));
    if (layout.packing.varies()) {
      layout.tables.push_back(ends_table());
      layout.image_bytes = image_bytes();
    }
    return layout;
  }

 private:
  int side(const char* name) const {
    const std::uint64_t side = read_number(name);
    if (side < 1 || side > static_cast<std::uint64_t>(kMaxImageSide))
      check_.fail(text("accept the attribute '", name, "'"), text("found ", side));
    return static_cast<int>(side);
  }

  // 0: as many as the pixels let a block have.
  std::uint64_t fewer_rows(const std::vector<Table>& tables) const {
    const std::uint64_t rows = read_number("block_size");
    const std::uint64_t most = tables[kImages].block_rows();
    if (rows > most || !std::has_single_bit(rows))
      check_.fail("accept the attribute 'block_size'", text("found ", rows));
    return rows == most ? 0 : rows;
  }

  std::uint64_t image_bytes() const {
    const Hdf5Handle set =
        check_.handle(H5Dopen2(file_.get(), "/images", H5P_DEFAULT), H5Dclose, "open /images");
    const Hdf5Handle space = check_.handle(H5Dget_space(set.get()), H5Sclose, "read a space");
    return static_cast<std::uint64_t>(
        check_(H5Sget_simple_extent_npoints(space.get()), "read the size of /images"));
  }

  // None when the attribute is not there.
  std::vector<std::string> read_texts(const char* name) const {
    if (check_(H5Aexists(file_.get(), name), text("look for '", name, "'")) == 0) return {};
    const Hdf5Handle handle = attribute(name);
    const Hdf5Handle type = check_.handle(H5Aget_type(handle.get()), H5Tclose, "read a type");
    const Hdf5Handle space = check_.handle(H5Aget_space(handle.get()), H5Sclose, "read a space");
    constexpr std::uint64_t kMost = std::uint64_t{1} << 28U;
    const std::size_t width = H5Tget_size(type.get());
    const auto count = static_cast<std::uint64_t>(H5Sget_simple_extent_npoints(space.get()));
    if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0 ||
        width == 0 || count > kMost / width) {
      check_.fail(text("read the attribute '", name, "'"), "it is no list of fixed-length texts");
    }
    std::string bytes(width * count, '\0');
    check_(H5Aread(handle.get(), type.get(), bytes.data()), text("read '", name, "'"));
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string padded = bytes.substr(i * width, width);
      texts.push_back(padded.substr(0, padded.find('\0')));
    }
    return texts;
  }

  static herr_t note(hid_t /*group*/, const char* name, const H5L_info_t* /*info*/, void* names) {
    static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    return 0;
  }

  // In alphabetical order.
  std::vector<std::string> extra_names(const std::vector<Table>& required) const {
    std::vector<std::string> names;
    hsize_t at = 0;
    check_(H5Literate(file_.get(), H5_INDEX_NAME, H5_ITER_INC, &at, &LayoutReader::note, &names),
           "list the tables");
    std::erase_if(names, [&](const std::string& name) {
      return name == "hashes" || name == ends_table().name ||
             std::any_of(required.begin(), required.end(),
                         [&](const Table& table) { return table.name == name; });
    });
    return names;
  }

  Table table(const std::string& name) const {
    const Hdf5Handle set = check_.handle(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), H5Dclose,
                                         text("open /", name));
    const Hdf5Handle type = check_.handle(H5Dget_type(set.get()), H5Tclose, "read a type");
    const Hdf5Handle space = check_.handle(H5Dget_space(set.get()), H5Sclose, "read a space");
    std::vector<hsize_t> shape(H5S_MAX_RANK, 0);
    const int rank = check_(H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr),
                            text("read the shape of /", name));
    shape.resize(static_cast<std::size_t>(rank));
    if (shape.empty()) check_.fail(text("accept /", name), "it has no rows");
    Table table{name, Element::kText, {H5Tget_size(type.get())}};
    if (H5Tget_class(type.get()) == H5T_STRING) return table;
    table.row_shape.assign(shape.begin() + 1, shape.end());
    for (const Element element : {Element::kU8, Element::kI64, Element::kU64, Element::kF32}) {
      table.element = element;
      const Hdf5Handle wanted = element_type(check_, table);
      if (check_(H5Tequal(type.get(), wanted.get()), "compare types") > 0) return table;
    }
    check_.fail(text("accept /", name), "its elements are of no type that tables have");
  }
};

}  // namespace

std::string_view format_version(const Packing& packing) { return packing.varies() ? "2.0" : "1.0"; }

bool can_read_format(std::string_view version) {
  return version.starts_with("1.") || version.starts_with("2.");
}

std::vector<TablePlace> create_shard(const Path& file, const ShardLayout& layout) {
  const Hdf5Session session;
  return ShardCreator(file, layout).run();
}

std::vector<TablePlace> inspect_shard(const Path& file, const ShardLayout& expected) {
  const Hdf5Session session;
  return ShardInspector(file, expected).run();
}

ShardLayout read_layout(const Path& file) {
  const Hdf5Session session;
  return LayoutReader(file).run();
}

}  // namespace atelier::data
