// The header is read event by event: nothing is built that the format does not allow, so a hostile
// header costs no more memory than a few times its own length.
#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "checkpoints/safetensors.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::checkpoints {
namespace {

using Json = nlohmann::json;

/// Accepts {name: {dtype, shape, data_offsets}} and {"__metadata__": {text: text}}. Each event
/// returns false, with `fault()` set, at the first thing out of place.
class HeaderEvents final : public nlohmann::json_sax<Json> {
 public:
  bool start_object(std::size_t /*size*/) override {
    if (where_ == Where::kStart) return enter(Where::kTop);
    if (where_ != Where::kTop) return refuse("an object where none belongs");
    if (key_ == "__metadata__") return enter(Where::kMetadata);
    tensor_ = TensorPlace{};
    tensor_.name = key_;
    seen_ = 0;
    return enter(Where::kTensor);
  }
  bool key(string_t& word) override {
    key_ = word;
    if (where_ == Where::kTop && !names_.insert(word).second)
      return refuse(text("duplicate key '", word, "'"));
    if (where_ == Where::kMetadata && header_.metadata.contains(word))
      return refuse(text("duplicate key '", word, "' in __metadata__"));
    return where_ != Where::kTensor || mark_member();
  }
  bool end_object() override {
    if (where_ == Where::kTensor) {
      if (seen_ != 7) return refuse(text("tensor '", tensor_.name, "' lacks a member"));
      header_.tensors.push_back(std::move(tensor_));
    }
    where_ = where_ == Where::kTop ? Where::kEnd : Where::kTop;
    return true;
  }
  bool start_array(std::size_t /*size*/) override {
    if (where_ == Where::kTensor && key_ == "shape") return enter(Where::kShape);
    if (where_ == Where::kTensor && key_ == "data_offsets") return enter(Where::kOffsets);
    return refuse("an array where none belongs");
  }
  bool end_array() override {
    if (where_ == Where::kOffsets && offsets_ != 2)
      return refuse(text("data_offsets of '", tensor_.name, "' are not two numbers"));
    where_ = Where::kTensor;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (where_ == Where::kShape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return refuse(text("shape of '", tensor_.name, "' exceeds 63 bits"));
      tensor_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (where_ != Where::kOffsets || offsets_ == 2) return refuse("a number where none belongs");
    (offsets_++ == 0 ? tensor_.begin : tensor_.end) = value;
    return true;
  }
  bool string(string_t& word) override {
    if (where_ == Where::kMetadata) {
      header_.metadata.emplace(key_, word);
      return true;
    }
    if (where_ != Where::kTensor || key_ != "dtype") return refuse("a string where none belongs");
    const auto dtype = dtype_of(word);
    if (!dtype) return refuse(text("unknown dtype '", word, "' of '", tensor_.name, "'"));
    tensor_.dtype = *dtype;
    return true;
  }
  bool null() override { return refuse("null where a value belongs"); }
  bool boolean(bool /*value*/) override { return refuse("a boolean where none belongs"); }
  bool number_integer(number_integer_t value) override {
    return refuse(text("negative number ", value));
  }
  bool number_float(number_float_t /*value*/, const string_t& token) override {
    return refuse(text("'", token, "' is not a whole number of 64 bits"));
  }
  bool binary(binary_t& /*value*/) override { return refuse("binary data"); }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& problem) override {
    if (fault_.empty()) fault_ = text("bad JSON near header byte ", position, ": ", problem.what());
    return false;
  }
  [[nodiscard]] const std::string& fault() const { return fault_; }
  [[nodiscard]] SafetensorsHeader take() { return std::move(header_); }

 private:
  enum class Where { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };

  bool enter(Where where) {
    where_ = where;
    offsets_ = 0;
    return true;
  }
  bool refuse(std::string why) {
    fault_ = std::move(why);
    return false;
  }
  bool mark_member() {
    const unsigned bit = key_ == "dtype"          ? 1U
                         : key_ == "shape"        ? 2U
                         : key_ == "data_offsets" ? 4U
                                                  : 0U;
    if (bit == 0) return refuse(text("unknown member '", key_, "' of '", tensor_.name, "'"));
    if ((seen_ & bit) != 0)
      return refuse(text("duplicate key '", key_, "' of '", tensor_.name, "'"));
    seen_ |= bit;
    return true;
  }

  Where where_ = Where::kStart;
  std::string key_;
  TensorPlace tensor_;
  unsigned seen_ = 0;  ///< members of the tensor so far, one bit each
  int offsets_ = 0;
  std::set<std::string> names_;
  SafetensorsHeader header_;
  std::string fault_;
};

/// Tensors lie one behind the other, from 0 to the end of the data, each as long as it says.
std::string place_fault(const std::vector<TensorPlace>& tensors, std::uint64_t data_bytes) {
  std::uint64_t expected = 0;
  for (const TensorPlace& tensor : tensors) {
    const auto fault = [&](const auto&... why) {
      return text("tensor '", tensor.name, "' at data bytes ", tensor.begin, " to ", tensor.end,
                  " ", why...);
    };
    if (tensor.end < tensor.begin) return fault("ends before it begins");
    if (tensor.begin > expected) return fault("leaves a hole: expected ", expected);
    if (tensor.begin < expected) return fault("overlaps: expected ", expected);
    const auto bytes = byte_count(tensor);
    if (!bytes) return fault("has a shape that overflows 64 bits: ", describe(tensor));
    if (*bytes != tensor.end - tensor.begin)
      return fault("is ", describe(tensor), ", which takes ", *bytes, " bytes");
    expected = tensor.end;
  }
  if (expected != data_bytes)
    return text("tensors end at data byte ", expected, ", the file at ", data_bytes);
  return {};
}

[[noreturn]] void refuse(std::string_view label, std::string_view why) {
  throw CheckpointError(text("Cannot read '", label, "': ", why, "."));
}

}  // namespace

SafetensorsHeader parse_header(std::string_view json, std::uint64_t data_bytes,
                               std::string_view label) {
  if (!json.starts_with('{')) refuse(label, "the header at byte 8 does not start with '{'");
  // The JSON library takes a zero byte for the end of its input.
  if (const auto zero = json.find('\0'); zero != std::string_view::npos)
    refuse(label, text("zero byte in the header at byte ", 8 + zero));
  HeaderEvents events;
  if (!Json::sax_parse(json, &events)) refuse(label, events.fault());
  SafetensorsHeader header = events.take();
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorPlace& a, const TensorPlace& b) {
              return std::make_pair(a.begin, a.end) < std::make_pair(b.begin, b.end);
            });
  if (const std::string fault = place_fault(header.tensors, data_bytes); !fault.empty())
    refuse(label, fault);
  return header;
}

}  // namespace atelier::checkpoints
