#include "data/import/file_images.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>

#include "data/import/class_folders.h"
#include "data/import/label_files.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::string_view kListName = "dataset.json";
constexpr std::size_t kMostListBytes = std::size_t{1} << 30U;
constexpr std::size_t kMostLabelBytes = std::size_t{1} << 20U;

bool is_list(const std::string& name) {
  return name == kListName || name.ends_with(text("/", kListName));
}

class FileImages final : public ImageSource {
 public:
  FileImages(std::string name, ListedFiles listed)
      : name_(std::move(name)), listed_(std::move(listed)) {}

  Listing list(OnError on_error) override {
    Listing listing;
    std::vector<std::size_t> others;
    const std::vector<std::string> images = sort_out(on_error, listing, others);
    const std::vector<PlacedName> placed = place(images, others, listing);
    for (const std::size_t other : others)
      listing.skipped.push_back({clean_text(listed_.names[other]), "it is no image file"});
    std::map<std::string, std::int64_t> labels;
    for (const std::string& name : listing.class_names)
      labels.emplace(name, static_cast<std::int64_t>(labels.size()));
    for (std::size_t id = 0; id < images.size(); ++id) {
      SourceItem& item = listing.items.emplace_back();
      item.name = images[id];
      item.split = placed[id].split;
      item.problem = placed[id].problem;
      if (!item.problem.empty() && labelled_ && on_error == OnError::kFail)
        fail_import(item.name, item.problem);
      if (item.problem.empty()) item.label = labels.at(placed[id].class_name);
    }
    return listing;
  }

  void stream(const std::vector<bool>& wanted, const Take& take) override {
    std::vector<bool> files(listed_.names.size());
    std::vector<std::size_t> id_at(listed_.names.size());
    for (std::size_t id = 0; id < positions_.size(); ++id) {
      files[positions_[id]] = wanted.at(id);
      id_at[positions_[id]] = id;
    }
    listed_.files->visit(files, [&](std::size_t position, ByteStream& content) {
      SourceImage image;
      try {
        image.file = read_all(content, kMaxFileBytes);
      } catch (const Error& error) {
        image.problem = error.what();
      }
      return take(id_at[position], std::move(image));
    });
  }

 private:
  // The images, sorted by name, at positions_.
  std::vector<std::string> sort_out(OnError on_error, Listing& listing,
                                    std::vector<std::size_t>& others) {
    std::vector<std::pair<std::string, std::size_t>> images;
    std::unordered_set<std::string> seen;
    for (std::size_t position = 0; position < listed_.names.size(); ++position) {
      const std::string& name = listed_.names[position];
      switch (kind_of_name(name)) {
        case NameKind::kHidden:
          ++listing.hidden;
          break;
        case NameKind::kOther:
          others.push_back(position);
          break;
        case NameKind::kOtherImage:
          if (on_error == OnError::kFail) {
            throw DataError(
                text("Cannot import '", clean_text(name), "': only JPEG, PNG and WebP are read."),
                "Convert it, or skip such files with --on-error skip.");
          }
          listing.skipped.push_back({clean_text(name), "only JPEG, PNG and WebP are read"});
          break;
        case NameKind::kImage:
          if (seen.insert(name).second) {
            images.emplace_back(name, position);
          } else {
            listing.skipped.push_back({clean_text(name), "the name is there twice"});
          }
          break;
      }
    }
    if (images.empty()) {
      throw DataError(text("There is no image in '", name_, "'.", described(others)),
                      "Images are JPEG, PNG or WebP files in folders, a zip or tar; numpy "
                      "arrays; an "
                      "HDF5 file; the files of MNIST or CIFAR.");
    }
    std::sort(images.begin(), images.end());
    std::vector<std::string> names;
    positions_.clear();
    for (auto& [name, position] : images) {
      names.push_back(std::move(name));
      positions_.push_back(position);
    }
    return names;
  }

  [[nodiscard]] std::string described(const std::vector<std::size_t>& others) const {
    if (others.empty()) return "";
    return text(" It holds ", others.size(), " other files, such as '",
                clean_text(listed_.names[others.front()]), "'.");
  }

  // Files that gave labels are taken from `others`.
  std::vector<PlacedName> place(const std::vector<std::string>& images,
                                std::vector<std::size_t>& others, Listing& listing) {
    std::optional<std::vector<PlacedName>> placed = by_list(images, others, listing);
    if (!placed) placed = by_side_files(images, others, listing);
    labelled_ = placed.has_value();
    if (placed) {
      listing.class_names = class_order(*placed);
      if (listing.class_names.empty()) listing.class_names.emplace_back(kNoClass);
      return std::move(*placed);
    }
    placed = place_names(images);
    std::set<std::string> classes;
    for (const PlacedName& place : *placed)
      if (place.problem.empty()) classes.insert(place.class_name);
    listing.class_names.assign(classes.begin(), classes.end());
    return std::move(*placed);
  }

  std::optional<std::vector<PlacedName>> by_list(const std::vector<std::string>& images,
                                                 std::vector<std::size_t>& others,
                                                 Listing& listing) {
    const auto found = std::find_if(others.begin(), others.end(), [&](std::size_t position) {
      return is_list(listed_.names[position]);
    });
    if (found == others.end()) return std::nullopt;
    const std::string& name = listed_.names[*found];
    auto placed = about(name, [&] {
      return place_by_list(images, name, read_texts({*found}, kMostListBytes).at(name));
    });
    if (!placed) return std::nullopt;
    listing.notes.push_back(text("classes come from '", clean_text(name), "'"));
    others.erase(found);
    return placed;
  }

  std::optional<std::vector<PlacedName>> by_side_files(const std::vector<std::string>& images,
                                                       std::vector<std::size_t>& others,
                                                       Listing& listing) {
    std::set<std::string> keys;
    for (const std::string& image : images) keys.insert(sample_key(image));
    std::vector<std::size_t> labels, left;
    for (const std::size_t position : others) {
      const std::string& name = listed_.names[position];
      const std::string key = sample_key(name);
      const std::string kind = name.substr(key.size());
      const bool beside = (kind == ".cls" || kind == ".json") && keys.contains(key);
      (beside ? labels : left).push_back(position);
    }
    if (labels.empty()) return std::nullopt;
    auto placed = place_by_side_files(images, read_texts(labels, kMostLabelBytes));
    if (!placed) return std::nullopt;
    listing.notes.push_back(text("classes come from ", labels.size(),
                                 " files beside the images, such as '",
                                 clean_text(listed_.names[labels.front()]), "'"));
    others = std::move(left);
    return placed;
  }

  SideTexts read_texts(const std::vector<std::size_t>& positions, std::size_t most) {
    std::vector<bool> wanted(listed_.names.size());
    for (const std::size_t position : positions) wanted[position] = true;
    SideTexts texts;
    listed_.files->visit(wanted, [&](std::size_t position, ByteStream& content) {
      const std::string& name = listed_.names[position];
      const std::vector<std::byte> bytes = about(name, [&] { return read_all(content, most); });
      texts[name].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return true;
    });
    return texts;
  }

  std::string name_;
  ListedFiles listed_;
  std::vector<std::size_t> positions_;  ///< by id
  bool labelled_ = false;               ///< by files
};

}  // namespace

std::unique_ptr<ImageSource> make_file_images(std::string name, ListedFiles listed) {
  return std::make_unique<FileImages>(std::move(name), std::move(listed));
}

}  // namespace atelier::data
