#include "data/import/decoding.h"

#include <algorithm>
#include <utility>

#include "data/work_pool.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kReportEvery = 256;
constexpr std::size_t kKeptTogether = std::size_t{1} << 20U;  // bytes

/// Images that travel together, so that tiny ones do not cost a wake-up each.
struct Bundle {
  std::vector<std::pair<std::size_t, SourceImage>> images;
  std::size_t bytes = 0;

  void add(std::size_t id, SourceImage image) {
    bytes += image.file.size() + (image.pixels ? image.pixels->pixels.size() : 0);
    images.emplace_back(id, std::move(image));
  }
  [[nodiscard]] bool is_full() const {
    constexpr std::size_t kImages = 64;
    constexpr std::size_t kBytes = std::size_t{4} << 20U;
    return images.size() >= kImages || bytes >= kBytes;
  }
};

// "Cannot decode the image 'name': why." → why
std::string reason_of(const DataError& error) {
  std::string reason = error.what();
  const std::size_t why = reason.find("': ");
  if (why != std::string::npos) reason = reason.substr(why + 3);
  if (reason.ends_with('.')) reason.pop_back();
  return reason;
}

Image pixels_of(const SourceImage& image) {
  return image.pixels ? *image.pixels : decode_image(image.file, "");
}

}  // namespace

CommonSize size_of_images(const ImportOptions& options, ImageSource& source,
                          const std::vector<bool>& wanted) {
  if (options.size) return {.size = *options.size};
  CommonSize found;
  source.stream(wanted, [&](std::size_t id, const SourceImage& image) {
    try {
      if (image.problem.empty()) {
        const ImageShape shape = pixels_of(image).shape;
        found = {.size = {shape.height, shape.width}, .id = id};
      }
    } catch (const DataError&) {  // decode() will tell of it
    }
    // A bad image ends a strict import anyway.
    return found.size.height == 0 && options.on_error == OnError::kSkip;
  });
  return found;
}

void Decoding::run(ImageSource& source, const std::vector<bool>& wanted) {
  const auto total = static_cast<std::uint64_t>(std::count(wanted.begin(), wanted.end(), true));
  WorkPool pool(options_.threads, "atelier-decode");
  Bundle bundle;
  const auto send = [&] {
    pool.add([this, images = std::exchange(bundle, {}).images] {
      Scratch::Rows rows;
      for (const auto& [id, image] : images) {
        decode(id, image, rows);
        if (rows.bytes.size() >= kKeptTogether) scratch_.add(std::exchange(rows, {}));
      }
      if (!rows.rows.empty()) scratch_.add(rows);
    });
  };
  std::uint64_t met = 0;
  source.stream(wanted, [&](std::size_t id, SourceImage image) {
    bundle.add(id, std::move(image));
    if (bundle.is_full()) send();
    if (options_.progress && ++met % kReportEvery == 0) options_.progress({"decode", met, total});
    return !failed_.load(std::memory_order_relaxed);
  });
  send();
  pool.finish();
  if (options_.progress && total > 0) options_.progress({"decode", total, total});
}

void Decoding::decode(std::size_t id, const SourceImage& image, Scratch::Rows& rows) {
  std::string problem = image.problem;
  try {
    if (problem.empty()) problem = store(id, image, pixels_of(image), rows);
  } catch (const DataError& error) {
    problem = reason_of(error);
  }
  if (problem.empty()) return;
  const std::scoped_lock lock(mutex_);
  problems_[id] = problem;
  failed_ = options_.on_error == OnError::kFail;
}

// Returns what is wrong, or nothing.
std::string Decoding::store(std::size_t id, const SourceImage& source, const Image& image,
                            Scratch::Rows& rows) {
  const ImageShape& shape = image.shape;
  if (size_.height == 0) return {};  // there is no size before the first whole image
  const bool fits = shape.height == size_.height && shape.width == size_.width;
  if (!fits && !options_.size) {
    return text(kOtherSize, shape.width, " x ", shape.height, " pixels, '", first_, "' has ",
                size_.width, " x ", size_.height, "; --size WIDTHxHEIGHT brings all to one size");
  }
  if (options_.packing.storage == Storage::kEncoded) {
    if (source.pixels)
      return "it is part of an array, not an image file; --storage raw and deflate keep pixels";
    rows.add(id, shape.channels, source.file);
    return {};
  }
  const Geometry geometry{.height = size_.height,
                          .width = size_.width,
                          .fit = options_.packing.fit,
                          .filter = options_.packing.filter};
  const Image ready = with_channels(fits ? image : resized(image, geometry), kScratchChannels);
  rows.add(id, shape.channels, std::as_bytes(std::span(ready.pixels)));
  return {};
}

}  // namespace atelier::data
