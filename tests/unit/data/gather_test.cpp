#include "data/gather.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "launch/base/random.h"

namespace atelier::data {
namespace {

// Labels and ids, images whose rows fill whole lanes, pieces and streams, and such that do not.
TEST(Gather, copies_each_sample_to_its_place_and_nothing_beside) {
  constexpr std::byte kUntouched{0xA5};
  for (const std::size_t bytes : {1U, 8U, 31U, 32U, 96U, 256U, 288U, 700U, 768U, 3072U, 12288U}) {
    std::vector<std::byte> source(bytes * 101 + 7);
    for (std::size_t i = 0; i < source.size(); ++i)
      source[i] = static_cast<std::byte>(uniform_below({.seed = 3, .major = i}, 256));
    for (const std::size_t count : {0U, 1U, 7U, 8U, 9U, 25U, 64U}) {
      std::vector<const std::byte*> from;
      for (std::size_t i = 0; i < count; ++i)
        from.push_back(&source[uniform_below({.seed = bytes, .major = i}, 100) * bytes + i % 8]);
      for (const std::size_t shift : {0U, 1U, 16U, 32U}) {
        std::vector<std::byte> memory(count * bytes + 128, kUntouched);
        const auto lead = (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64 + shift;
        Gather{from, bytes, &memory[lead]}();

        std::vector<std::byte> wanted(memory.size(), kUntouched);
        for (std::size_t i = 0; i < count; ++i)
          std::copy_n(from[i], bytes, &wanted[lead + i * bytes]);
        ASSERT_EQ(memory, wanted) << count << " of " << bytes << " bytes, shift " << shift;
      }
    }
  }
}

}  // namespace
}  // namespace atelier::data
