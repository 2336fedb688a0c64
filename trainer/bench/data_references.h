// What the loader is measured beside: the least that anybody has to do to get the same images. No
// torch here. Thread safety: one thread each.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "data/dataset.h"

namespace atelier::bench {

class DataReference {
 public:
  virtual ~DataReference() = default;
  /// Does it once for all images of the split.
  virtual void run(std::size_t threads) = 0;
  [[nodiscard]] virtual std::string name() const = 0;   ///< "memcpy"
  [[nodiscard]] virtual std::size_t bytes() const = 0;  ///< that it moves
};

/// memcpy of all images from where the files are mapped to memory as large.
[[nodiscard]] std::unique_ptr<DataReference> plain_copy(const data::Dataset& dataset,
                                                        data::Split split);

/// Packed images, from memory: zlib inflates each, or libjpeg decodes each with one decompressor
/// that is used again. Throws: RefusedError for images of another kind or size.
[[nodiscard]] std::unique_ptr<DataReference> unpacking_alone(const data::Dataset& dataset,
                                                             data::Split split);

/// The shards, from the first byte to the last, past the page cache (O_DIRECT) to memory that no
/// cache of a processor holds: images that are to be mixed have to wait there too.
[[nodiscard]] std::unique_ptr<DataReference> direct_reads(const data::Dataset& dataset,
                                                          data::Split split);

/// Makes the system forget the split's shards. Throws: RefusedError when it keeps them.
void drop_from_cache(const data::Dataset& dataset, data::Split split);

}  // namespace atelier::bench
