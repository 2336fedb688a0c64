#include "trainer/quality/grid.h"

#include <algorithm>
#include <string>
#include <vector>

#include "data/image_codec.h"
#include "launch/base/error.h"
#include "trainer/quality/font.h"
#include "trainer/quality/pixels.h"

namespace atelier::quality {
namespace {

constexpr std::uint8_t kWhite = 255;
constexpr std::int64_t kVisibleWidth = 64;

torch::Tensor blank(std::int64_t height, std::int64_t width, std::int64_t channels,
                    std::uint8_t grey) {
  return torch::full({height, width, channels}, static_cast<std::int64_t>(grey), torch::kUInt8);
}

void check_picture(const torch::Tensor& picture) {
  ATELIER_CHECK(picture.dim() == 3 && picture.scalar_type() == torch::kUInt8 &&
                    (picture.size(2) == 1 || picture.size(2) == 3) && picture.numel() > 0,
                "a picture is uint8 [H,W,1 or 3]");
}

// Grey broadcasts over the channels of a coloured picture.
void paste(const torch::Tensor& picture, std::int64_t top, std::int64_t left,
           torch::Tensor& canvas) {
  canvas.slice(0, top, top + picture.size(0)).slice(1, left, left + picture.size(1)).copy_(picture);
}

torch::Tensor enlarged(const torch::Tensor& picture, std::int64_t scale) {
  return picture.repeat_interleave(scale, 0).repeat_interleave(scale, 1);
}

// Lays out images [N,H,W,C], `columns` a row.
torch::Tensor lay_out(const torch::Tensor& images, std::int64_t columns,
                      const GridOptions& options) {
  ATELIER_CHECK(images.size(0) >= 1 && columns >= 1, "a grid shows at least one image");
  ATELIER_CHECK(options.separator >= 0 && options.scale >= 1, "separator >= 0, scale >= 1");
  const auto across = std::min(columns, images.size(0));
  const auto down = (images.size(0) + columns - 1) / columns;
  const auto height = images.size(1) * options.scale + options.separator;
  const auto width = images.size(2) * options.scale + options.separator;
  auto canvas = blank(down * height + options.separator, across * width + options.separator,
                      images.size(3), options.background);
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    paste(enlarged(images[i], options.scale), i / columns * height + options.separator,
          i % columns * width + options.separator, canvas);
  }
  return canvas;
}

// Breaks a caption at spaces into lines of at most `columns` characters; longer words are cut.
std::vector<std::string> broken(std::string_view caption, std::size_t columns) {
  std::vector<std::string> lines;
  while (!caption.empty()) {
    auto length = std::min(caption.size(), columns);
    if (length < caption.size() && caption[length] != ' ') {
      const auto space = caption.rfind(' ', length);
      length = space == std::string_view::npos || space == 0 ? length : space;
    }
    lines.emplace_back(caption.substr(0, length));
    caption.remove_prefix(length);
    caption.remove_prefix(std::min(caption.find_first_not_of(' '), caption.size()));
  }
  return lines;
}

void write_line(std::string_view line, std::int64_t top, std::int64_t scale,
                torch::Tensor& canvas) {
  std::int64_t left = scale;
  for (const char character : line) {
    const auto& glyph = glyph_of(character);
    for (int y = 0; y < kGlyphHeight; ++y) {
      for (int x = 0; x < kGlyphWidth; ++x) {
        if ((glyph[static_cast<std::size_t>(y)] >> (kGlyphWidth - 1 - x) & 1) != 0) {
          canvas.slice(0, top + y * scale, top + (y + 1) * scale)
              .slice(1, left + x * scale, left + (x + 1) * scale)
              .zero_();
        }
      }
    }
    left += (kGlyphWidth + 1) * scale;
  }
}

// Panels one after another along `dim` (0: downwards, 1: to the right), on white.
torch::Tensor arranged(std::span<const torch::Tensor> panels, int dim, std::int64_t gap) {
  ATELIER_CHECK(!panels.empty() && gap >= 0, "at least one panel");
  std::int64_t length = -gap;
  std::int64_t across = 0;
  std::int64_t channels = 1;
  for (const auto& panel : panels) {
    check_picture(panel);
    length += panel.size(dim) + gap;
    across = std::max(across, panel.size(1 - dim));
    channels = std::max(channels, panel.size(2));
  }
  auto canvas =
      dim == 0 ? blank(length, across, channels, kWhite) : blank(across, length, channels, kWhite);
  std::int64_t at = 0;
  for (const auto& panel : panels) {
    paste(panel, dim == 0 ? at : 0, dim == 0 ? 0 : at, canvas);
    at += panel.size(dim) + gap;
  }
  return canvas;
}

}  // namespace

torch::Tensor grid(const torch::Tensor& images, const GridOptions& options) {
  return lay_out(to_bytes(images), options.columns, options);
}

torch::Tensor pairs_grid(const torch::Tensor& originals, const torch::Tensor& reconstructions,
                         const GridOptions& options) {
  const auto above = to_bytes(originals);
  const auto below = to_bytes(reconstructions);
  ATELIER_CHECK(above.sizes() == below.sizes(), "one reconstruction for each original");
  ATELIER_CHECK(options.columns >= 1, "at least one column");
  const auto columns = std::min(options.columns, above.size(0));
  std::vector<torch::Tensor> rows;
  for (std::int64_t i = 0; i < above.size(0); i += columns) {
    for (const auto& images : {above, below}) {
      auto row = images.slice(0, i, i + columns);
      const auto missing = columns - row.size(0);
      rows.push_back(row);
      if (missing > 0) {
        rows.push_back(torch::full_like(images.slice(0, 0, missing),
                                        static_cast<std::int64_t>(options.background)));
      }
    }
  }
  return lay_out(torch::cat(rows), columns, options);
}

torch::Tensor strips(std::span<const torch::Tensor> batches, const GridOptions& options) {
  std::vector<torch::Tensor> rows;
  for (const auto& batch : batches) {
    rows.push_back(lay_out(to_bytes(batch), batch.size(0), options));
  }
  // Rows bring their own separators above and below: let neighbours share one.
  for (std::size_t i = 1; i < rows.size(); ++i) {
    rows[i] = rows[i].slice(0, options.separator);
  }
  return arranged(rows, /*dim=*/0, /*gap=*/0);
}

torch::Tensor with_caption(const torch::Tensor& picture, std::string_view caption,
                           std::int64_t text_scale) {
  check_picture(picture);
  ATELIER_CHECK(text_scale >= 1, "text scale >= 1");
  const auto cell = (kGlyphWidth + 1) * text_scale;
  const auto columns = std::max<std::int64_t>(1, (picture.size(1) - text_scale) / cell);
  const auto lines = broken(caption, static_cast<std::size_t>(columns));
  const auto line_height = (kGlyphHeight + 3) * text_scale;
  const auto count = static_cast<std::int64_t>(lines.size());
  // A picture narrower than one character still gets a legible label.
  auto text_panel =
      blank(count * line_height, std::max(picture.size(1), columns * cell + text_scale), 1, kWhite);
  for (std::int64_t i = 0; i < count; ++i) {
    write_line(lines[static_cast<std::size_t>(i)], i * line_height + text_scale, text_scale,
               text_panel);
  }
  if (count == 0) {
    return picture.clone();
  }
  return stacked(std::vector<torch::Tensor>{text_panel, picture}, /*gap=*/0);
}

torch::Tensor side_by_side(std::span<const torch::Tensor> panels, std::int64_t gap) {
  return arranged(panels, /*dim=*/1, gap);
}

torch::Tensor stacked(std::span<const torch::Tensor> panels, std::int64_t gap) {
  return arranged(panels, /*dim=*/0, gap);
}

std::int64_t visible_scale(std::int64_t image_width) {
  ATELIER_CHECK(image_width >= 1, "images have a width");
  return std::max<std::int64_t>(1, (kVisibleWidth + image_width - 1) / image_width);
}

void write_picture(FileSystem& files, const Path& path, const torch::Tensor& picture) {
  check_picture(picture);
  const auto dots = picture.contiguous();
  data::write_png(files, path,
                  {static_cast<int>(dots.size(0)), static_cast<int>(dots.size(1)),
                   static_cast<int>(dots.size(2))},
                  {dots.data_ptr<std::uint8_t>(), static_cast<std::size_t>(dots.numel())});
}

}  // namespace atelier::quality
