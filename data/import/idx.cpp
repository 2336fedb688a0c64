#include <algorithm>
#include <array>

#include "data/import/array_file.h"
#include "data/import/class_folders.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr unsigned char kUnsignedBytes = 8;  // the only type of the MNIST family

/// Two zeros, the type of the elements, the number of axes, and each side as 32 bits, highest byte
/// first. No axes: it is no such file.
std::vector<std::uint64_t> read_header(ByteStream& stream) {
  std::array<unsigned char, 4> begin{};
  const std::size_t got = stream.read(std::as_writable_bytes(std::span(begin)));
  const std::size_t axes = begin[3];
  if (got < begin.size() || begin[0] != 0 || begin[1] != 0 || begin[2] != kUnsignedBytes) return {};
  if (axes != 1 && axes != 3 && axes != 4) return {};
  std::vector<std::uint64_t> shape;
  for (std::size_t i = 0; i < axes; ++i) {
    std::array<unsigned char, 4> side{};
    read_exactly(stream, std::as_writable_bytes(std::span(side)));
    std::uint64_t value = 0;
    for (const unsigned char byte : side) value = value << 8U | byte;
    shape.push_back(value);
  }
  return shape;
}

// NIST's images were turned when EMNIST was made (Cohen et al. 2017); its files are named like
// "emnist-letters-train-images-idx3-ubyte".
bool is_emnist(const std::string& name) { return lower(name).find("emnist") != std::string::npos; }

class IdxFiles final : public ArrayFile {
 public:
  IdxFiles(ListedFiles listed, std::vector<std::size_t> positions)
      : listed_(std::move(listed)), positions_(std::move(positions)) {}

  std::vector<ArrayInfo> arrays() override {
    std::vector<ArrayInfo> found;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      std::string name = listed_.names[positions_[i]];
      if (extension_of(name) == ".gz") name.resize(name.size() - 3);
      ArrayInfo info{.name = name, .number = Number::kU8, .columns_first = is_emnist(name)};
      open(i, [&](ByteStream& content) {
        info.shape = read_header(content);
        require_bytes(content, info.bytes());
      });
      found.push_back(std::move(info));
    }
    return found;
  }

  void read(std::size_t array, const Use& use) override {
    open(array, [&](ByteStream& content) {
      static_cast<void>(read_header(content));
      use(content);
    });
  }

  std::vector<std::string> others() override { return without(listed_.names, positions_); }

 private:
  void open(std::size_t array, const Use& use) {
    std::vector<bool> wanted(listed_.names.size());
    wanted.at(positions_.at(array)) = true;
    listed_.files->visit(wanted, [&](std::size_t position, ByteStream& content) {
      about(listed_.names[position], [&] { use(*unpacked(content)); });
      return false;
    });
  }

  ListedFiles listed_;
  std::vector<std::size_t> positions_;
};

// What else lies there may be of any kind.
bool is_idx(ByteStream& content) {
  try {
    return !read_header(*unpacked(content)).empty();
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

std::unique_ptr<ArrayFile> open_idx(ListedFiles& listed) {
  std::vector<bool> wanted(listed.names.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    wanted[i] = kind_of_name(listed.names[i]) != NameKind::kHidden;
  std::vector<std::size_t> positions;
  listed.files->visit(wanted, [&](std::size_t position, ByteStream& content) {
    if (is_idx(content)) positions.push_back(position);
    return true;
  });
  if (positions.empty()) return nullptr;
  return std::make_unique<IdxFiles>(std::move(listed), std::move(positions));
}

}  // namespace atelier::data
