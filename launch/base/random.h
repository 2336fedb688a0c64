// Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel Random
// Numbers: As Easy as 1, 2, 3", SC'11). A number is a pure function of its key and its position,
// never of what was drawn before, so that every rank and every resumed run draws the same ones.
// Numbers are drawn on the host, so every device sees the same bits. Thread safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace atelier {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Ten rounds of Philox 4x32.
[[nodiscard]] PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key);

/// What a number is for; two streams never share numbers. Values are part of the checkpoint
/// promise: append, never renumber.
enum class Stream : std::uint32_t {
  kInitialWeights = 1,
  kSampleOrder = 2,
  kLatents = 3,    ///< G's latents in G's phase
  kPosterior = 4,  ///< VAE reparameterisation
  kAugmentation = 5,
  kFixedLatents = 6,  ///< latents of the pictures a run draws again and again
  kEvaluation = 7,
  kSampling = 8,  ///< `atelier sample`
  kShapes = 9,    ///< the rendered dataset
  kSplit = 10,
  kDiscriminatorLatents = 11,
  kCorruption = 12,  ///< noise and masks a denoiser is trained on
};

/// Names one sequence of numbers. Noise and latents: (seed, stream, step, slot in the global
/// batch). Augmentation: (seed, stream, epoch, sample id). `major` and `minor` are below 2^48.
struct RandomKey {
  std::uint64_t seed = 0;
  Stream stream = Stream::kLatents;
  std::uint64_t major = 0;  ///< step or epoch
  std::uint64_t minor = 0;  ///< slot or sample id
};

/// Four 32-bit words at position `block` of the sequence.
[[nodiscard]] PhiloxCounter random_block(const RandomKey& key, std::uint32_t block);

/// Uniform in [0, 1), 24 random bits each.
void fill_uniform(const RandomKey& key, std::span<float> out);

/// Standard normal by Box-Muller (Box and Muller 1958), computed in double precision.
void fill_normal(const RandomKey& key, std::span<float> out);

/// Uniform integer in [0, bound). Requires: bound > 0. Bias below bound / 2^64.
[[nodiscard]] std::uint64_t uniform_below(const RandomKey& key, std::uint64_t bound);

/// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that mixes 64 bits well.
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31U);
}

}  // namespace atelier
