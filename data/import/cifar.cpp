#include <algorithm>
#include <array>
#include <optional>
#include <sstream>

#include "data/import/array_file.h"
#include "data/import/class_folders.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::size_t kSide = 32;
constexpr std::size_t kPixels = 3 * kSide * kSide;
constexpr std::size_t kMostNames = std::size_t{1} << 16U;

/// A record is its labels, then the image as three planes. CIFAR-100 has a coarse label before the
/// fine one, which is what is taken.
struct Kind {
  std::size_t labels;                 ///< bytes
  std::array<unsigned char, 2> most;  ///< each is below
  const char* names;                  ///< file with a name a line
};
constexpr std::array<Kind, 2> kKinds{
    {{1, {10, 0}, "batches.meta.txt"}, {2, {20, 100}, "fine_label_names.txt"}}};

/// The records of a file, if they are of that kind.
std::optional<std::uint64_t> count_records(ByteStream& stream, const Kind& kind) {
  std::vector<unsigned char> record(kind.labels + kPixels);
  for (std::uint64_t count = 0;; ++count) {
    const std::size_t got = stream.read(std::as_writable_bytes(std::span(record)));
    if (got == 0 && count > 0) return count;
    if (got < record.size()) return std::nullopt;
    for (std::size_t i = 0; i < kind.labels; ++i)
      if (record[i] >= kind.most.at(i)) return std::nullopt;
  }
}

/// The labels or the images of a file's records, without the other.
class Part final : public PieceStream {
 public:
  Part(ByteStream& records, std::size_t labels, bool images)
      : records_(records), record_(labels + kPixels), labels_(labels), images_(images) {}

 private:
  std::span<const std::byte> next() override {
    if (records_.read(record_) < record_.size()) return {};
    const std::span<const std::byte> record(record_);
    return images_ ? record.subspan(labels_) : record.subspan(labels_ - 1, 1);
  }

  ByteStream& records_;
  std::vector<std::byte> record_;
  std::size_t labels_;
  bool images_;
};

struct Batch {
  std::size_t position;
  std::uint64_t records;
};

class CifarFiles final : public ArrayFile {
 public:
  CifarFiles(ListedFiles listed, const Kind& kind, std::vector<Batch> batches)
      : listed_(std::move(listed)), kind_(kind), batches_(std::move(batches)) {}

  /// Images and labels of each file, in turns.
  std::vector<ArrayInfo> arrays() override {
    std::vector<ArrayInfo> found;
    for (const Batch& batch : batches_) {
      const std::string& file = listed_.names[batch.position];
      const std::string name = file.substr(0, file.size() - 4);
      found.push_back({name + "/images", Number::kU8, {batch.records, 3, kSide, kSide}});
      found.push_back({name + "/labels", Number::kU8, {batch.records}});
    }
    return found;
  }

  void read(std::size_t array, const Use& use) override {
    visit_one(batches_.at(array / 2).position, [&](ByteStream& content) {
      Part part(content, kind_.labels, array % 2 == 0);
      use(part);
    });
  }

  std::vector<std::string> class_names() override {
    std::string lines;
    for (std::size_t i = 0; i < listed_.names.size(); ++i) {
      if (!listed_.names[i].ends_with(kind_.names)) continue;
      visit_one(i, [&](ByteStream& content) {
        const std::vector<std::byte> bytes = read_all(content, kMostNames);
        lines.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      });
    }
    std::vector<std::string> names;
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) names.push_back(clean_text(line));
    }
    return names;
  }

  std::vector<std::string> others() override {
    std::vector<std::size_t> used;
    used.reserve(batches_.size());
    for (const Batch& batch : batches_) used.push_back(batch.position);
    std::vector<std::string> left = without(listed_.names, used);
    std::erase_if(left, [&](const std::string& name) { return name.ends_with(kind_.names); });
    return left;
  }

 private:
  void visit_one(std::size_t position, const Use& use) {
    std::vector<bool> wanted(listed_.names.size());
    wanted.at(position) = true;
    listed_.files->visit(wanted, [&](std::size_t /*position*/, ByteStream& content) {
      about(listed_.names[position], [&] { use(content); });
      return false;
    });
  }

  ListedFiles listed_;
  Kind kind_;
  std::vector<Batch> batches_;
};

}  // namespace

std::unique_ptr<ArrayFile> open_cifar(ListedFiles& listed) {
  std::vector<bool> wanted(listed.names.size());
  std::transform(listed.names.begin(), listed.names.end(), wanted.begin(),
                 [](const std::string& name) {
                   return extension_of(name) == ".bin" && kind_of_name(name) != NameKind::kHidden;
                 });
  for (const Kind& kind : kKinds) {
    std::vector<Batch> batches;
    std::string broken;
    listed.files->visit(wanted, [&](std::size_t position, ByteStream& content) {
      const auto records = count_records(content, kind);
      if (records) batches.push_back({position, *records});
      if (!records) broken = listed.names[position];
      return true;
    });
    if (batches.empty()) continue;
    if (!broken.empty()) {
      fail_import(broken, text("it does not hold whole records of ", kind.labels + kPixels,
                               " bytes with labels of CIFAR, as others do"));
    }
    return std::make_unique<CifarFiles>(std::move(listed), kind, std::move(batches));
  }
  return nullptr;
}

}  // namespace atelier::data
