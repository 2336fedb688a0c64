#include "trainer/networks/geometry.h"

#include <algorithm>
#include <numeric>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::networks {

int Geometry::halvings() const {
  const std::int64_t common = std::gcd(height, width);
  int count = 0;
  while (common % (std::int64_t{1} << (count + 1)) == 0 &&
         (std::min(height, width) >> (count + 1)) >= 4) {
    ++count;
  }
  return count;
}

void Geometry::validate() const {
  const auto fits = [](std::int64_t side) { return side >= 16 && side <= 256 && side % 8 == 0; };
  if (fits(height) && fits(width) && (channels == 1 || channels == 3)) return;
  throw ConfigError(
      text("The networks take images of 16 to 256 pixels a side, a multiple of 8, with 1 or 3 "
           "channels; this dataset has ",
           height, "x", width, " pixels and ", channels, " channels."),
      "Import it again with `atelier data import --size`.");
}

std::int64_t channels_at(std::int64_t width, int halving) {
  return width << std::min(halving - 1, 3);
}

}  // namespace atelier::networks
