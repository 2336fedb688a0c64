#include "data/import/array_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <type_traits>
#include <utility>

#include "data/import/class_folders.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20U;

bool is_decimal(Number number) { return number == Number::kF32 || number == Number::kF64; }

/// visit(value), where value(i) is element `i`: what it is made of is asked once for all.
template <typename Visit>
void visit_numbers(std::span<const std::byte> elements, Number number, Visit visit) {
  const auto as = [&]<typename T>(T /*type*/) {
    visit([&](std::size_t i) {
      T value{};
      std::memcpy(&value, &elements[i * sizeof(T)], sizeof(T));
      return value;
    });
  };
  switch (number) {
    case Number::kBool:
    case Number::kU8:
      return as(std::uint8_t{});
    case Number::kI8:
      return as(std::int8_t{});
    case Number::kU16:
      return as(std::uint16_t{});
    case Number::kI16:
      return as(std::int16_t{});
    case Number::kU32:
      return as(std::uint32_t{});
    case Number::kI32:
      return as(std::int32_t{});
    case Number::kU64:
      return as(std::uint64_t{});
    case Number::kI64:
      return as(std::int64_t{});
    case Number::kF32:
      return as(float{});
    case Number::kF64:
      return as(double{});
    case Number::kOther:
      break;
  }
  throw InternalError("Numbers of a type that is not read.");
}

/// How values become bytes: round(scale · value + shift).
struct Range {
  double scale = 1;
  double shift = 0;
  std::string_view words = "0 to 255";
  [[nodiscard]] std::uint8_t byte_of(double value) const {
    return static_cast<std::uint8_t>(std::lround(std::clamp(value * scale + shift, 0.0, 255.0)));
  }
};

struct Axes {
  ImageShape shape;
  bool planes = false;   ///< [C, H, W] instead of [H, W, C]
  bool columns = false;  ///< [W, H]
  /// Of an image's value `i` among the stored ones.
  [[nodiscard]] std::size_t stored_at(std::size_t i) const {
    const auto channels = static_cast<std::size_t>(shape.channels);
    const auto width = static_cast<std::size_t>(shape.width);
    const auto height = static_cast<std::size_t>(shape.height);
    if (planes) return i % channels * height * width + i / channels;
    return columns ? i % width * height + i / width : i;
  }
};

std::optional<Axes> axes_of(const ArrayInfo& info) {
  const std::vector<std::uint64_t>& sides = info.shape;
  if (sides.size() != 3 && sides.size() != 4) return std::nullopt;
  const auto all_fit = std::all_of(sides.begin() + 1, sides.end(), [](std::uint64_t side) {
    return side >= 1 && side <= static_cast<std::uint64_t>(kMaxImageSide);
  });
  if (!all_fit) return std::nullopt;
  const auto side = [&](std::size_t axis) { return static_cast<int>(sides[axis]); };
  const auto is_channels = [](int count) { return count == 1 || count == 3; };
  if (sides.size() == 3 && info.columns_first) return Axes{{side(2), side(1), 1}, false, true};
  if (sides.size() == 3) return Axes{{side(1), side(2), 1}};
  if (is_channels(side(3))) return Axes{{side(1), side(2), side(3)}};
  if (is_channels(side(1))) return Axes{{side(2), side(3), side(1)}, true};
  return std::nullopt;
}

Split split_of(const std::string& name) {
  const std::string word = lower(name);
  const auto has = [&](std::string_view part) { return word.find(part) != std::string::npos; };
  if (has("test") || has("t10k")) return Split::kTest;
  return has("val") ? Split::kValid : Split::kTrain;
}

/// Integers of one axis, or of one column.
struct LabelArray {
  std::size_t array;
  std::uint64_t columns = 1;
  std::uint64_t column = 0;
};

/// Names that go together: "train-images-idx3-ubyte" and "train-labels-idx1-ubyte".
bool are_a_pair(const std::string& images, const std::string& labels) {
  constexpr std::array<std::array<std::string_view, 2>, 9> kWords{{{"images-idx3", "labels-idx1"},
                                                                   {"images", "labels"},
                                                                   {"images", "label"},
                                                                   {"imgs", "labels"},
                                                                   {"data", "labels"},
                                                                   {"data", "targets"},
                                                                   {"x", "y"},
                                                                   {"X", "y"},
                                                                   {"arr_0", "arr_1"}}};
  return std::any_of(kWords.begin(), kWords.end(), [&](const auto& words) {
    const std::size_t at = images.rfind(words[0]);
    if (at == std::string::npos) return false;
    std::string other = images;
    other.replace(at, words[0].size(), words[1]);
    return other == labels;
  });
}

class ArraySource final : public ImageSource {
 public:
  ArraySource(std::string name, std::unique_ptr<ArrayFile> file, ArrayChoice choice)
      : name_(std::move(name)), file_(std::move(file)), choice_(std::move(choice)) {}

  Listing list(OnError /*on_error*/) override {
    infos_ = file_->arrays();
    Listing listing;
    listing.has_names = false;
    for (std::string& other : file_->others()) {
      const bool hidden = kind_of_name(other) == NameKind::kHidden;
      if (hidden) ++listing.hidden;
      if (!hidden) listing.skipped.push_back({clean_text(other), "it is no array"});
    }
    choose_images();
    std::vector<std::vector<std::int64_t>> labels;
    for (Part& part : parts_) {
      part.range = range_of(part);
      part.table = byte_table(info(part).number, part.range);
      labels.push_back(labels_of(part, listing));
    }
    name_classes(labels, listing);
    std::size_t first = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      add_items(parts_[i], labels[i], listing);
      parts_[i].first = first;
      first = listing.items.size();
    }
    return listing;
  }

  void stream(const std::vector<bool>& wanted, const Take& take) override {
    for (const Part& part : parts_) {
      bool goes_on = true;
      file_->read(part.array, [&](ByteStream& elements) {
        std::vector<std::byte> row(part.axes.shape.bytes() * width_of(info(part).number));
        for (std::uint64_t i = 0; goes_on && i < info(part).shape[0]; ++i) {
          read_exactly(elements, row);
          if (!wanted.at(part.first + i)) continue;
          SourceImage image;
          image.pixels = pixels_of(row, part);
          goes_on = take(part.first + i, std::move(image));
        }
      });
      if (!goes_on) return;
    }
  }

 private:
  struct Part {
    std::size_t array;
    Axes axes;
    Range range = {};
    std::vector<std::uint8_t> table = {};  ///< byte → pixel, where values are bytes
    std::size_t first = 0;                 ///< id
  };

  [[nodiscard]] const ArrayInfo& info(const Part& part) const { return infos_.at(part.array); }

  // Arrays of the same name in different splits belong together; of several others the user has to
  // choose.
  void choose_images() {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      const std::optional<Axes> axes = axes_of(infos_[i]);
      const bool named = choice_.images.empty() || infos_[i].name == choice_.images;
      if (!axes || infos_[i].number == Number::kOther || infos_[i].shape[0] == 0 || !named)
        continue;
      parts_.push_back({.array = i, .axes = *axes});
      names.push_back(infos_[i].name);
    }
    if (parts_.empty()) {
      throw DataError(
          text("There are no images in '", name_, "'",
               choice_.images.empty() ? "" : text(" under the name '", choice_.images, "'"),
               "; it holds ", listed(), "."),
          "Images are numbers of shape [N, H, W], [N, H, W, C] or "
          "[N, C, H, W], with C 1 "
          "or 3; --dataset NAME names them.");
    }
    std::set<std::string> kinds;
    for (const std::string& name : names) kinds.insert(without_split(name));
    if (kinds.size() > 1) {
      throw DataError(
          text("Several arrays of '", name_, "' could be the images: ", join(names), "."),
          "Name one with --dataset NAME.");
    }
  }

  // "x_train" and "x_test" → "x"; "train-images-idx3-ubyte" and "t10k-images-..." →
  // "imagesidxubyte".
  static std::string without_split(const std::string& name) {
    std::string word = lower(name.substr(name.find_last_of('/') + 1));
    for (const std::string_view part :
         {"training", "train", "testing", "test", "t10k", "validation", "valid", "val"}) {
      const std::size_t at = word.find(part);
      if (at != std::string::npos) word.erase(at, part.size());
    }
    std::erase_if(word, [](unsigned char letter) { return std::isalpha(letter) == 0; });
    return word;
  }

  [[nodiscard]] std::string listed() const {
    std::vector<std::string> words;
    for (const ArrayInfo& array : infos_) {
      std::vector<std::string> sides;
      sides.reserve(array.shape.size());
      for (const std::uint64_t side : array.shape) sides.push_back(std::to_string(side));
      words.push_back(text(array.name, " [", join(sides), "]",
                           array.number == Number::kOther ? " of a type that is not read" : ""));
    }
    return words.empty() ? "no arrays" : join(words);
  }

  Range range_of(const Part& part) {
    if (info(part).number == Number::kBool) return {255, 0, "truth values"};
    double least = std::numeric_limits<double>::infinity();
    double most = -least;
    each_piece(part.array, [&](auto value, std::size_t count) {
      auto low = value(0);
      auto high = low;
      bool finite = true;
      for (std::size_t i = 0; i < count; ++i) {
        low = std::min(low, value(i));
        high = std::max(high, value(i));
        if constexpr (std::is_floating_point_v<decltype(low)>) finite &= std::isfinite(value(i));
      }
      least = std::min(least, static_cast<double>(low));
      most = std::max(most, static_cast<double>(high));
      if (!finite) least = -std::numeric_limits<double>::infinity();
    });
    if (is_decimal(info(part).number)) {
      if (least >= 0 && most <= 1) return {255, 0, "decimals of 0 to 1"};
      if (least >= -1 && most <= 1) return {127.5, 127.5, "decimals of -1 to 1"};
    } else if (least >= 0 && most <= 1) {
      return {255, 0, "0 and 1"};
    }
    if (least >= 0 && most <= 255) return {};
    throw DataError(text("Cannot import the array '", info(part).name, "': its values go from ",
                         least, " to ", most, "."),
                    "Pixels are 0 to 255, or decimals of 0 to 1 or of -1 to 1.");
  }

  // see(value, count), for each piece: as visit_numbers().
  template <typename See>
  void each_piece(std::size_t array, See see) {
    const Number number = infos_.at(array).number;
    const std::size_t width = width_of(number);
    file_->read(array, [&](ByteStream& elements) {
      std::vector<std::byte> piece(kPieceBytes);
      std::uint64_t left = infos_.at(array).bytes();
      while (left > 0) {
        const std::span<std::byte> part =
            std::span(piece).first(std::min<std::uint64_t>(left, kPieceBytes));
        read_exactly(elements, part);
        visit_numbers(part, number, [&](auto value) { see(value, part.size() / width); });
        left -= part.size();
      }
    });
  }

  // Most arrays hold bytes, whose few values are worked out once.
  static std::vector<std::uint8_t> byte_table(Number number, const Range& range) {
    if (width_of(number) != 1) return {};
    std::vector<std::uint8_t> bytes(256);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
    std::vector<std::uint8_t> table(bytes.size());
    visit_numbers(std::as_bytes(std::span(bytes)), number, [&](auto value) {
      for (std::size_t i = 0; i < table.size(); ++i)
        table[i] = range.byte_of(static_cast<double>(value(i)));
    });
    return table;
  }

  Image pixels_of(std::span<const std::byte> row, const Part& part) const {
    Image image{part.axes.shape, std::vector<std::uint8_t>(part.axes.shape.bytes())};
    const auto fill = [&](auto byte) {
      for (std::size_t i = 0; i < image.pixels.size(); ++i)
        image.pixels[i] = byte(part.axes.stored_at(i));
    };
    if (!part.table.empty()) {
      fill([&](std::size_t i) { return part.table[std::to_integer<std::uint8_t>(row[i])]; });
      return image;
    }
    visit_numbers(row, info(part).number, [&](auto value) {
      fill([&](std::size_t i) { return part.range.byte_of(static_cast<double>(value(i))); });
    });
    return image;
  }

  [[nodiscard]] std::optional<LabelArray> label_array(const Part& part) const {
    std::string wanted = choice_.labels;
    std::uint64_t column = 0;
    if (const std::size_t colon = wanted.rfind(':'); colon != std::string::npos) {
      column = std::strtoull(wanted.c_str() + colon + 1, nullptr, 10);
      wanted.resize(colon);
    }
    std::vector<LabelArray> fitting;
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      const ArrayInfo& array = infos_[i];
      const std::uint64_t columns = array.shape.size() == 2 ? array.shape[1] : 1;
      const bool has_axes = array.shape.size() == 1 || array.shape.size() == 2;
      const bool is_integer = array.number != Number::kOther && !is_decimal(array.number);
      if (!has_axes || !is_integer || array.shape[0] != info(part).shape[0] || column >= columns)
        continue;
      if (wanted.empty() && (columns > 1 || split_of(array.name) != split_of(info(part).name)))
        continue;
      if (!wanted.empty() && array.name != wanted) continue;
      if (are_a_pair(info(part).name, array.name)) return LabelArray{i, columns, column};
      fitting.push_back({i, columns, column});
    }
    if (fitting.size() == 1) return fitting.front();
    if (wanted.empty()) return std::nullopt;
    throw DataError(text("There are no labels '", choice_.labels, "' for the ", info(part).shape[0],
                         " images of '", name_, "'; it holds ", listed(), "."),
                    "Labels are integers, as many as images; --labels NAME:K "
                    "takes column K.");
  }

  std::vector<std::int64_t> labels_of(const Part& part, Listing& listing) {
    std::vector<std::int64_t> labels;
    const std::optional<LabelArray> found = label_array(part);
    std::string labelled = "without labels";
    if (found) {
      std::uint64_t at = 0;
      each_piece(found->array, [&](auto value, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
          if (at++ % found->columns == found->column)
            labels.push_back(static_cast<std::int64_t>(value(i)));
        }
      });
      labelled = text("labels '", infos_[found->array].name, "'",
                      found->columns > 1 ? text(", column ", found->column) : "");
    }
    listing.notes.push_back(text("'", info(part).name, "': ", info(part).shape[0], " images of ",
                                 part.axes.shape.name(), part.axes.columns ? " turned upright" : "",
                                 ", values are ", part.range.words, ", ", labelled, ", ",
                                 split_name(split_of(info(part).name))));
    return labels;
  }

  // Labels become indices into the names: those of the file, or the numbers themselves in order.
  void name_classes(std::vector<std::vector<std::int64_t>>& labels, Listing& listing) {
    std::set<std::int64_t> values;
    for (const auto& of_part : labels) values.insert(of_part.begin(), of_part.end());
    listing.class_names = file_->class_names();
    const auto known = static_cast<std::int64_t>(listing.class_names.size());
    if (!values.empty() && *values.begin() >= 0 && *values.rbegin() < known) return;
    const std::vector<std::int64_t> sorted(values.begin(), values.end());
    listing.class_names.clear();
    for (const std::int64_t value : sorted) listing.class_names.push_back(std::to_string(value));
    if (sorted.empty()) listing.class_names.emplace_back(kNoClass);
    for (auto& of_part : labels) {
      for (std::int64_t& label : of_part)
        label = std::lower_bound(sorted.begin(), sorted.end(), label) - sorted.begin();
    }
  }

  void add_items(const Part& part, const std::vector<std::int64_t>& labels,
                 Listing& listing) const {
    const bool some_lack = labels.empty() && listing.class_names.size() > 1;
    if (some_lack) {
      throw DataError(text("Cannot import '", info(part).name,
                           "': there are no labels for it, as there "
                           "are for other images of '",
                           name_, "'."),
                      "Remove it, or name one array with --dataset NAME.");
    }
    for (std::uint64_t i = 0; i < info(part).shape[0]; ++i) {
      listing.items.push_back({.name = text(info(part).name, "[", i, "]"),
                               .split = split_of(info(part).name),
                               .label = labels.empty() ? 0 : labels[i]});
    }
  }

  std::string name_;
  std::unique_ptr<ArrayFile> file_;
  ArrayChoice choice_;
  std::vector<ArrayInfo> infos_;
  std::vector<Part> parts_;
};

}  // namespace

std::unique_ptr<ImageSource> make_array_source(std::string name, std::unique_ptr<ArrayFile> file,
                                               ArrayChoice choice) {
  return std::make_unique<ArraySource>(std::move(name), std::move(file), std::move(choice));
}

}  // namespace atelier::data
