// A small training state whose every value follows from its step, so that a test can say of any
// loaded checkpoint whether it is whole and of which step. Thread safety: values.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "checkpoints/contents.h"
#include "checkpoints/verify.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {

inline TensorData sample_tensor(std::string name, DType dtype, std::vector<std::int64_t> shape,
                                std::uint64_t seed) {
  TensorData tensor{{std::move(name), dtype, std::move(shape)}, {}};
  tensor.bytes.resize(byte_count(tensor).value());
  for (std::size_t i = 0; i < tensor.bytes.size(); ++i)
    tensor.bytes[i] = static_cast<std::byte>(mix64(seed * 1'000'003 + i));
  return tensor;
}

class SampleState {
 public:
  /// `columns` sets the size: the model is about 12 × columns bytes.
  explicit SampleState(std::int64_t step, std::int64_t columns = 5) : step_(step) {
    const auto seed = static_cast<std::uint64_t>(step);
    model_.push_back(sample_tensor("conv.weight", DType::kF32, {3, columns}, seed));
    model_.push_back(sample_tensor("conv.bias", DType::kBF16, {3}, seed + 1));
    optimizer_.push_back(sample_tensor("moments", DType::kF64, {columns}, seed + 2));
    optimizer_.push_back(sample_tensor("count", DType::kI64, {}, seed + 3));
  }
  /// Lifetime: of this state.
  [[nodiscard]] Contents contents() const {
    return {step_,
            {{"model.safetensors", views(model_), {}},
             {"optimizer.safetensors", views(optimizer_), {}}},
            text("{\"step\": ", step_, "}")};
  }
  /// Empty when `loaded` is this state, else what is wrong.
  [[nodiscard]] std::string mismatch(const Loaded& loaded) const {
    const Contents expected = contents();
    if (loaded.step != step_) return text("step ", loaded.step, " instead of ", step_);
    if (loaded.state_json != expected.state_json) return "state.json differs";
    for (const NamedFile& file : expected.files) {
      for (const TensorView& tensor : file.tensors) {
        const TensorView& found = loaded.file(file.name).tensor(tensor.name);
        const bool equal =
            static_cast<const TensorSpec&>(found) == tensor &&
            found.bytes.size() == tensor.bytes.size() &&
            std::memcmp(found.bytes.data(), tensor.bytes.data(), tensor.bytes.size()) == 0;
        if (!equal) return text(file.name, ": ", tensor.name, " differs");
      }
    }
    return {};
  }

 private:
  static std::vector<TensorView> views(const std::vector<TensorData>& tensors) {
    std::vector<TensorView> result;
    for (const TensorData& tensor : tensors) result.push_back({tensor, tensor.bytes});
    return result;
  }

  std::int64_t step_;
  std::vector<TensorData> model_;
  std::vector<TensorData> optimizer_;
};

}  // namespace atelier::checkpoints
