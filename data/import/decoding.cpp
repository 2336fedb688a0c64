#include "data/import/decoding.h"

#include <algorithm>
#include <utility>

#include "data/import/decode_pool.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kReportEvery = 256;

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
  DecodePool pool(std::max(1, options_.threads),
                  [this](std::size_t id, const SourceImage& image) { decode(id, image); });
  std::uint64_t met = 0;
  source.stream(wanted, [&](std::size_t id, SourceImage image) {
    pool.add(id, std::move(image));
    if (options_.progress && ++met % kReportEvery == 0) options_.progress({"decode", met, total});
    return !failed_.load(std::memory_order_relaxed);
  });
  pool.finish();
  if (options_.progress && total > 0) options_.progress({"decode", total, total});
}

void Decoding::decode(std::size_t id, const SourceImage& image) {
  std::string problem = image.problem;
  try {
    if (problem.empty()) problem = store(id, pixels_of(image));
  } catch (const DataError& error) {
    problem = reason_of(error);
  }
  if (problem.empty()) return;
  const std::scoped_lock lock(mutex_);
  problems_[id] = problem;
  failed_ = options_.on_error == OnError::kFail;
}

// Returns what is wrong, or nothing.
std::string Decoding::store(std::size_t id, const Image& image) {
  const ImageShape& shape = image.shape;
  if (size_.height == 0) return {};  // there is no size before the first whole image
  const bool fits = shape.height == size_.height && shape.width == size_.width;
  if (!fits && !options_.size) {
    return text(kOtherSize, shape.width, " x ", shape.height, " pixels, '", first_, "' has ",
                size_.width, " x ", size_.height, "; --size WIDTHxHEIGHT brings all to one size");
  }
  const Geometry geometry{
      .height = size_.height, .width = size_.width, .fit = options_.fit, .filter = options_.filter};
  const Image ready = with_channels(fits ? image : resized(image, geometry), kScratchChannels);
  scratch_.add(id, shape.channels, ready.pixels);
  return {};
}

}  // namespace atelier::data
